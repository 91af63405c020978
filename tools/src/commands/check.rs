//! `ringcast check`: is a configuration valid, and would it work on this machine?

use crate::output::{Answer, Output};
use engine::ops::config::{Config, ConfigError};
use engine::ops::startup::{self, Report, Scope};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `check`.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long)]
    config: PathBuf,
    /// Ask this machine too: kernel, limits, directories, sources
    #[arg(long)]
    system: bool,
    /// With --system: also whether the ports are free (they are not while the server runs)
    #[arg(long, requires = "system")]
    ports: bool,
}

#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a std::path::Path,
    valid: bool,
    points: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a ConfigError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Report>,
}

/// Exit 0 if it is valid (and, with `--system`, if the server could start), 1 if not, 2 if the file
/// cannot be read.
pub fn run(args: &Args, output: Output) -> Answer {
    std::fs::metadata(&args.config).map_err(|e| format!("{}: {e}", args.config.display()))?;
    let parsed = Config::load(&args.config);
    let scope = Scope {
        ports: args.ports,
        ..Scope::LOOK
    };
    let machine = match &parsed {
        Ok(config) if args.system => Some(startup::check(config, scope)),
        _ => None,
    };
    let fine = parsed.is_ok() && machine.as_ref().is_none_or(|m| m.fatal().is_none());
    let outcome = Outcome {
        file: &args.config,
        valid: parsed.is_ok(),
        points: parsed.as_ref().map_or(0, |c| c.points.len()),
        problems: parsed.as_ref().err(),
        machine,
    };
    output.print(&outcome, text);
    Ok(fine)
}

fn text(outcome: &Outcome<'_>) -> String {
    let mut text = match outcome.problems {
        Some(problems) => format!("{problems}\n"),
        None => {
            let (file, points) = (outcome.file.display(), outcome.points);
            format!("{file}: valid, {points} publishing points\n")
        }
    };
    for finding in outcome.machine.iter().flat_map(|m| &m.findings) {
        let severity = match finding.severity {
            startup::Severity::Fatal => "fatal",
            startup::Severity::Warning => "warning",
        };
        text += &format!("{severity}: {finding}\n");
    }
    if let Some(machine) = &outcome.machine {
        let (cpus, files, sessions) = (
            machine.cpus.len(),
            machine.descriptors,
            machine.connection_limit,
        );
        text += &format!("{cpus} cores, {files} open files, enough for {sessions} connections\n");
    }
    text
}
