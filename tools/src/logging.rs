//! The server's journal: one line per event on standard error, text or JSON.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Flags of every command; those that log use them.
#[derive(clap::Args)]
pub struct Options {
    /// Form of the journal on standard error
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: Format,
    /// What is logged: error, warn, info, debug, trace, or filters such as engine=debug
    #[arg(long, global = true, env = "RINGCAST_LOG", default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Begins to log. Lines are written by a thread of their own and dropped when standard error
/// stalls, so no core waits for a journal. What is left is written when the guard is dropped.
///
/// # Errors
/// If the level cannot be understood.
pub fn init(options: &Options) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(&options.log_level)
        .map_err(|e| format!("--log-level \"{}\": {e}", options.log_level))?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    // A second start in one process (tests) keeps the first one's journal.
    let _ = match options.log_format {
        Format::Text => text(filter, writer),
        Format::Json => tracing_subscriber::fmt()
            .json()
            .with_env_filter(filter)
            .with_writer(writer)
            .try_init(),
    };
    Ok(guard)
}

fn text(
    filter: EnvFilter,
    writer: NonBlocking,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal());
    // systemd's journal puts its own time on every line.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    }
}
