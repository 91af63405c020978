//! Named scenarios: each writes content and a configuration, starts the server for it, measures,
//! and holds the result against its target.

mod config;
mod desk;
mod load;
mod mms;
mod multicast;
mod pairs;
mod push;
mod rtsp;
mod targets;

use crate::environment::Environment;
use crate::measure::Measurement;
use desk::Desk;
use serde::Serialize;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

/// What all scenarios share.
#[derive(Clone, Debug)]
pub struct Context {
    /// The server's program.
    pub server: PathBuf,
    /// For content, configurations, logs.
    pub dir: PathBuf,
    /// Window, if not the scenario's own.
    pub seconds: Option<Duration>,
    /// Rounds of server and floor.
    pub rounds: usize,
    /// Where the server's port for players over HTTP is to be.
    pub http: SocketAddr,
    /// That for players over MMS.
    pub mms: SocketAddr,
    /// That for players over RTSP.
    pub rtsp: SocketAddr,
    /// And its admin port.
    pub admin: SocketAddr,
    /// Factor of the numbers of sessions.
    pub scale: f64,
    /// Server's CPU.
    pub server_cpu: usize,
    /// Real-time priority.
    pub fifo: Option<i32>,
    /// Descriptors that a process may have.
    pub descriptors: usize,
}

/// One target and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Scenario.
    pub scenario: &'static str,
    /// What was to be shown.
    pub target: String,
    /// The bound, with its unit.
    pub bound: String,
    /// The number, with its unit; or why there is none.
    pub measured: String,
    /// The answer.
    pub verdict: Verdict,
    /// Cadence, bytes per send, ring depth, congestion control, MTU, receive steering.
    pub facts: String,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within its bound.
    Met,
    /// Not so.
    Missed,
    /// It could not be found out.
    NotMeasured,
    /// There is no bound.
    Reported,
}

impl Verdict {
    fn of(met: bool) -> Verdict {
        if met { Verdict::Met } else { Verdict::Missed }
    }

    fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "NOT MEASURED",
            Verdict::Reported => "reported",
        }
    }
}

/// Ports that nobody uses now.
pub fn free_ports<const N: usize>() -> Result<[SocketAddr; N], String> {
    let fault = |e: std::io::Error| format!("no free port: {e}");
    let mut held = Vec::new();
    let mut ports = [local(0); N];
    for port in &mut ports {
        // Held until all are found, so that they differ.
        let listener = TcpListener::bind(local(0)).map_err(fault)?;
        *port = listener.local_addr().map_err(fault)?;
        held.push(listener);
    }
    Ok(ports)
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    /// The machine.
    pub environment: Environment,
    /// In order.
    pub checks: Vec<Check>,
    /// Factor of the numbers of sessions; with any other than 1 these are not the targets.
    pub scale: f64,
    /// Every run behind them, by scenario.
    pub runs: Vec<(&'static str, Measurement)>,
}

impl Results {
    /// All met, some missed, or (`None`) some not measured.
    pub fn verdict(&self) -> Option<bool> {
        let any = |v| self.checks.iter().any(|c| c.verdict == v);
        if any(Verdict::NotMeasured) {
            return None;
        }
        Some(!any(Verdict::Missed))
    }
}

/// Names and meanings.
pub fn list() -> String {
    targets::ALL
        .iter()
        .map(|s| format!("{:<20}{}\n", s.name, s.what))
        .collect()
}

/// Run scenarios: the named ones, or all that are not marked as only by name.
pub fn run(context: &Context, names: &[String]) -> Result<Results, String> {
    if let Some(unknown) = names
        .iter()
        .find(|n| !targets::ALL.iter().any(|s| s.name == n.as_str()))
    {
        return Err(format!("no scenario {unknown:?}; there are\n{}", list()));
    }
    if !context.server.is_file() {
        return Err(format!("{}: no such program", context.server.display()));
    }
    std::fs::create_dir_all(&context.dir).map_err(|e| format!("{}: {e}", context.dir.display()))?;
    let mut results = Results {
        environment: Environment::read(),
        scale: context.scale,
        ..Results::default()
    };
    for scenario in targets::ALL {
        let chosen = if names.is_empty() {
            !scenario.by_name_only
        } else {
            names.iter().any(|n| n == scenario.name)
        };
        if !chosen {
            continue;
        }
        eprintln!("{}: {}", scenario.name, scenario.what);
        let mut desk = Desk::new(context, scenario.name, results.environment.clone());
        if let Err(reason) = (scenario.run)(&mut desk) {
            eprintln!("{}: {reason}", scenario.name);
            desk.not_measured("the scenario runs", "a result", reason);
        }
        results.checks.append(&mut desk.checks);
        let runs = desk.runs.into_iter().map(|m| (scenario.name, m));
        results.runs.extend(runs);
    }
    Ok(results)
}

/// Targets as a table: each with its bound, the number, the answer, and what it must be read with.
pub fn table(results: &Results) -> String {
    let mut s = format!(
        "\n{:<17}{:<48}{:<26}{:<40}\n",
        "scenario", "target", "bound", "measured"
    );
    for c in &results.checks {
        s += &format!(
            "{:<17}{:<48}{:<26}{:<40} {}\n{:17}{}\n",
            c.scenario,
            c.target,
            c.bound,
            c.measured,
            c.verdict.word(),
            "",
            c.facts
        );
    }
    if results.scale != 1.0 {
        s += &format!(
            "\nA trial with {} times the sessions: says nothing about the targets.\n",
            results.scale
        );
    }
    s
}

/// A loopback address.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            server: PathBuf::from("/nonexistent"),
            dir: std::env::temp_dir(),
            seconds: None,
            rounds: 1,
            http: local(1),
            mms: local(3),
            rtsp: local(4),
            admin: local(2),
            scale: 1.0,
            server_cpu: 0,
            fifo: None,
            descriptors: 5000,
        }
    }

    fn desk(context: &Context) -> Desk<'_> {
        Desk::new(context, "live-1000", Environment::default())
    }

    #[test]
    fn sessions_are_scaled_and_what_does_not_fit_is_an_error() {
        let mut c = context();
        assert_eq!(desk(&c).sessions(4000), Ok(4000));
        assert!(desk(&c).sessions(8000).unwrap_err().contains("8200"));
        assert_eq!(desk(&c).sessions_up_to(10_000), 4800);
        c.scale = 0.01;
        assert_eq!(desk(&c).sessions(1000), Ok(10));
        assert_eq!(desk(&c).sessions(1), Ok(1));
    }

    #[test]
    fn bounds_are_kept_to_the_letter() {
        let c = context();
        let mut d = desk(&c);
        d.at_most("x", 1.15, 1.15, "x");
        d.at_most("y", 0.0, 0.0, "");
        d.under("z", 299.9, 300.0, "ms");
        let mut results = Results {
            checks: d.checks,
            scale: 1.0,
            ..Results::default()
        };
        assert_eq!(results.verdict(), Some(true));
        assert_eq!(results.checks[1].bound, "at most 0");
        assert_eq!(results.checks[2].bound, "under 300 ms");
        let mut d = desk(&c);
        d.at_most("x", 1.1501, 1.15, "x");
        d.under("z", 300.0, 300.0, "ms");
        assert!(d.checks.iter().all(|c| c.verdict == Verdict::Missed));
        results.checks.append(&mut d.checks);
        assert_eq!(results.verdict(), Some(false));
        assert!(table(&results).contains("MISSED"));
        assert!(!table(&results).contains("trial"));
        results.checks[0].verdict = Verdict::NotMeasured;
        assert_eq!(results.verdict(), None);
        assert!(table(&results).contains("NOT MEASURED"));
    }

    #[test]
    fn a_run_that_lost_sessions_or_damaged_packets_meets_nothing() {
        let c = context();
        let mut m = Measurement {
            label: crate::bench::SERVER.into(),
            ..Measurement::default()
        };
        let mut d = desk(&c);
        d.about(&[&m]);
        d.at_most("x", 1.0, 2.0, "");
        assert_eq!(d.checks[0].verdict, Verdict::Met);
        m.outcome.lost = 1;
        d.about(&[&m]);
        d.at_most("x", 1.0, 2.0, "");
        assert_eq!(d.checks[1].verdict, Verdict::Missed);
        assert!(
            d.checks[1]
                .measured
                .contains("1 sessions failed, lost or silent")
        );
    }

    #[test]
    fn unknown_scenarios_and_missing_servers_are_named() {
        let c = context();
        let e = run(&c, &["live-9".into()]).unwrap_err();
        assert!(e.contains("live-9") && e.contains("live-1000"));
        assert!(run(&c, &[]).unwrap_err().contains("/nonexistent"));
    }
}
