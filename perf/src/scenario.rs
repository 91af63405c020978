//! Named scenarios: each writes content and a configuration, starts the server for it, measures,
//! and holds the result against its target.

mod config;
mod desk;
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
    /// Where the server's players' port is to be.
    pub http: SocketAddr,
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
    /// Loopback is set up like a card.
    pub card: bool,
}

/// One target and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Scenario.
    pub scenario: &'static str,
    /// What was to be shown.
    pub what: String,
    /// The bound, with its unit.
    pub wanted: String,
    /// The number, with its unit; or why there is none.
    pub measured: String,
    /// `None`: could not be measured.
    pub met: Option<bool>,
}

/// Two ports that nobody uses now.
pub fn free_ports() -> Result<[SocketAddr; 2], String> {
    let fault = |e: std::io::Error| format!("no free port: {e}");
    let a = TcpListener::bind(local(0)).map_err(fault)?;
    let b = TcpListener::bind(local(0)).map_err(fault)?;
    Ok([
        a.local_addr().map_err(fault)?,
        b.local_addr().map_err(fault)?,
    ])
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    /// The machine.
    pub environment: Environment,
    /// In order.
    pub checks: Vec<Check>,
    /// Every run behind them, by scenario.
    pub runs: Vec<(&'static str, Measurement)>,
}

impl Results {
    /// All met, some missed, or (`None`) some not measured.
    pub fn verdict(&self) -> Option<bool> {
        if self.checks.iter().any(|c| c.met.is_none()) {
            return None;
        }
        Some(self.checks.iter().all(|c| c.met == Some(true)))
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
        let mut desk = Desk {
            context,
            name: scenario.name,
            checks: Vec::new(),
            runs: Vec::new(),
        };
        if let Err(reason) = (scenario.run)(&mut desk) {
            eprintln!("{}: {reason}", scenario.name);
            desk.checks.push(Check {
                scenario: scenario.name,
                what: "the scenario runs".into(),
                wanted: "a result".into(),
                measured: reason,
                met: None,
            });
        }
        results.checks.append(&mut desk.checks);
        let runs = desk.runs.into_iter().map(|m| (scenario.name, m));
        results.runs.extend(runs);
    }
    Ok(results)
}

/// Targets as a table.
pub fn table(results: &Results) -> String {
    let mut s = format!(
        "\n{:<20}{:<44}{:<28}{:<34}\n",
        "scenario", "target", "wanted", "measured"
    );
    for c in &results.checks {
        let verdict = match c.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "NOT MEASURED",
        };
        s += &format!(
            "{:<20}{:<44}{:<28}{:<34} {verdict}\n",
            c.scenario, c.what, c.wanted, c.measured
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
            admin: local(2),
            scale: 1.0,
            server_cpu: 0,
            fifo: None,
            descriptors: 5000,
            card: false,
        }
    }

    fn desk(context: &Context) -> Desk<'_> {
        Desk {
            context,
            name: "live-1000",
            checks: Vec::new(),
            runs: Vec::new(),
        }
    }

    #[test]
    fn sessions_are_scaled_and_bounded_by_descriptors() {
        let mut c = context();
        assert_eq!(desk(&c).sessions(10_000), 4800);
        c.scale = 0.01;
        assert_eq!(desk(&c).sessions(1000), 10);
        assert_eq!(desk(&c).sessions(1), 1);
    }

    #[test]
    fn bounds_are_inclusive_and_the_verdict_knows_three_answers() {
        let c = context();
        let mut d = desk(&c);
        d.at_most("x", 1.15, 1.15, "x");
        d.at_most("y", 0.0, 0.0, "");
        let mut results = Results {
            checks: d.checks,
            ..Results::default()
        };
        assert_eq!(results.verdict(), Some(true));
        assert_eq!(results.checks[1].wanted, "at most 0.000");
        let mut d = desk(&c);
        d.at_most("x", 1.151, 1.15, "x");
        results.checks.append(&mut d.checks);
        assert_eq!(results.verdict(), Some(false));
        assert!(table(&results).contains("MISSED"));
        results.checks[0].met = None;
        assert_eq!(results.verdict(), None);
        assert!(table(&results).contains("NOT MEASURED"));
    }

    #[test]
    fn the_price_of_reception_is_allowed_for_on_plain_loopback() {
        let mut c = context();
        assert!((desk(&c).cpu_bound(0.35) - 0.56).abs() < 1e-9);
        c.card = true;
        assert!((desk(&c).cpu_bound(0.35) - 0.35).abs() < 1e-9);
    }

    #[test]
    fn unknown_scenarios_and_missing_servers_are_named() {
        let c = context();
        let e = run(&c, &["live-9".into()]).unwrap_err();
        assert!(e.contains("live-9") && e.contains("live-1000"));
        assert!(run(&c, &[]).unwrap_err().contains("/nonexistent"));
    }
}
