//! `ringcast serve`: the server, and how it lives with its service manager.

use crate::logging;
use crate::notify::Notifier;
use crate::output::{Answer, Output};
use engine::Server;
use engine::ops::admin::STALL_LIMIT;
use engine::ops::config::Config;
use engine::ops::metrics::Metrics;
use engine::ops::startup::{self, Scope};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Arguments of `serve`.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long)]
    config: PathBuf,
}

/// Runs until a signal ends it. SIGTERM and SIGINT drain, a second SIGINT ends at once, SIGHUP reads
/// the configuration again and opens the log files anew.
pub fn run(args: &Args, logging: &logging::Options, output: Output) -> Answer {
    let config = Config::load(&args.config).map_err(|e| e.to_string())?;
    let _guard = logging::init(logging)?;
    let _ = output;
    let server = start(&config)?;
    operate(server, &config, Some(&args.config))
}

/// Asks the machine, then starts. The error is one line that says what is wrong and how to mend it.
pub fn start(config: &Config) -> Result<Server, String> {
    let report = startup::check(config, Scope::START);
    if let Some(finding) = report.fatal() {
        return Err(finding.to_string());
    }
    for finding in &report.findings {
        tracing::warn!("{finding}");
    }
    let server = Server::start(config.clone()).map_err(|e| e.to_string())?;
    let addresses = server.addresses();
    tracing::info!(
        http = ?addresses.http,
        mms = ?addresses.mms,
        rtsp = ?addresses.rtsp,
        msbd = ?addresses.msbd,
        admin = ?addresses.admin,
        cores = report.cpus.len(),
        cpus = ?report.cpus,
        points = config.points.len(),
        connection_limit = report.connection_limit,
        version = %config.server.version,
        "serving"
    );
    Ok(server)
}

/// What wakes the main thread.
enum Event {
    Signal(i32),
    Drained,
}

/// Stays with a running server until it has ended.
pub fn operate(server: Server, config: &Config, file: Option<&Path>) -> Answer {
    let server = Arc::new(server);
    let notifier = Arc::new(Notifier::from_environment());
    let (sender, events) = mpsc::channel();
    listen_for_signals(sender.clone())?;
    notifier.ready(&status(config));
    watch(&notifier, server.metrics())?;
    let mut draining = false;
    for event in events {
        match event {
            Event::Drained => break,
            Event::Signal(SIGHUP) if !draining => {
                notifier.reloading();
                server.reopen_logs();
                let status = file.map_or_else(|| status(config), |file| reload(&server, file));
                notifier.ready(&status);
            }
            Event::Signal(SIGINT) if draining => {
                tracing::warn!("interrupted twice: ending at once");
                server.stop();
                break;
            }
            Event::Signal(SIGINT | SIGTERM) if !draining => {
                draining = true;
                let limit = config.server.drain_timeout.get();
                tracing::info!(?limit, "draining");
                notifier.stopping(limit + Duration::from_secs(5));
                drain(&server, limit, sender.clone())?;
            }
            Event::Signal(_) => {}
        }
    }
    tracing::info!("ended");
    Ok(true)
}

fn listen_for_signals(sender: mpsc::Sender<Event>) -> Result<(), String> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| format!("signals: {e}"))?;
    spawn("signals", move || {
        for signal in signals.forever() {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })
}

fn drain(server: &Arc<Server>, limit: Duration, done: mpsc::Sender<Event>) -> Result<(), String> {
    let server = server.clone();
    spawn("drain", move || {
        server.drain(limit);
        let _ = done.send(Event::Drained);
    })
}

/// Says that the server is alive while every core ticks.
fn watch(notifier: &Arc<Notifier>, metrics: &Arc<Metrics>) -> Result<(), String> {
    let Some(interval) = notifier.watchdog_interval() else {
        return Ok(());
    };
    let (notifier, metrics) = (notifier.clone(), metrics.clone());
    spawn("watchdog", move || {
        loop {
            let stalled = metrics.stalled(STALL_LIMIT);
            match stalled.first() {
                None => notifier.alive(),
                Some((core, silent)) => {
                    tracing::error!(core = core.0, ?silent, "a core does not tick")
                }
            }
            std::thread::sleep(interval);
        }
    })
}

/// A configuration that is wrong leaves the old one in force.
fn reload(server: &Server, file: &Path) -> String {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(e) => {
            for line in e.to_string().lines() {
                tracing::error!("not reloaded: {line}");
            }
            return "serving; the last reload failed".to_owned();
        }
    };
    match server.reload(config.clone()) {
        Ok(report) => {
            tracing::info!(
                added = ?report.added,
                replaced = ?report.replaced,
                removed = ?report.removed,
                "reloaded"
            );
            if !report.needs_restart.is_empty() {
                tracing::warn!(sections = ?report.needs_restart, "changes here need a restart");
            }
            status(&config)
        }
        Err(e) => {
            tracing::error!("not reloaded: {e}");
            "serving; the last reload failed".to_owned()
        }
    }
}

fn status(config: &Config) -> String {
    format!("serving {} publishing points", config.points.len())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    thread
        .map(drop)
        .map_err(|e| format!("no thread \"{name}\": {e}"))
}
