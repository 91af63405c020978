//! Running rounds: server, floor, server, floor, ... each in a process of its own, so that the
//! drift of the machine falls on both alike.

use crate::environment::{self, Environment};
use crate::floor::Settings;
use crate::measure::{self, Given, Measurement, Subject};
use crate::media::Player;
use crate::probe;
use crate::server::{Ready, Running};
use crate::swarm::{Plan, Target};
use crate::sys::Placement;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the server comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It runs already.
    Running {
        /// Its process, if costs are to be told.
        pid: Option<u32>,
    },
    /// Start this command for every run.
    Start {
        /// Program and arguments.
        words: Vec<String>,
        /// When it is ready.
        ready: Ready,
        /// Where its stderr goes; else where ours goes.
        log: Option<PathBuf>,
    },
}

/// A benchmark.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The server, if one is measured.
    pub server: Option<Source>,
    /// What is played from it.
    pub targets: Vec<Target>,
    /// Its admin port, for facts.
    pub admin: Option<SocketAddr>,
    /// CPUs of server and floor.
    pub server_cpus: Vec<usize>,
    /// Real-time priority of server and floor.
    pub fifo: Option<i32>,
    /// Run the floor too. Rate and packet size are taken from the server's header if there is one.
    pub floor: Option<Settings>,
    /// Of the server, as given.
    pub cadence: Duration,
    /// Ditto.
    pub ring_depth: Option<String>,
    /// What the sessions do; `targets`, `sessions`, `slow` are filled in for each run.
    pub plan: Plan,
    /// Share of the content's rate at which slow sessions read.
    pub slow_rate: f64,
    /// Numbers of sessions to run with.
    pub sweep: Vec<usize>,
    /// How often each.
    pub rounds: usize,
}

/// Server against floor at one number of sessions, the cheapest round of each.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Sessions.
    pub sessions: usize,
    /// CPU s of the process per GB.
    pub server_s_per_gb: Option<f64>,
    /// Ditto.
    pub floor_s_per_gb: Option<f64>,
    /// The first divided by the second.
    pub ratio: Option<f64>,
    /// The same of the busy time of the cores, soft interrupts included.
    pub ratio_of_cores: Option<f64>,
}

/// Label of a server's runs.
pub const SERVER: &str = "server";
/// Label of the floor's runs.
pub const FLOOR: &str = "floor";

/// All results of a benchmark.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The machine.
    pub environment: Environment,
    /// In the order in which they were made.
    pub runs: Vec<Measurement>,
    /// One for each number of sessions.
    pub summaries: Vec<Summary>,
}

/// Start of a server: content of hundreds of files may have to be looked at.
const PATIENCE: Duration = Duration::from_secs(60);

impl Bench {
    /// Run everything. `each` is told of every run as soon as it is over.
    pub fn run(&self, mut each: impl FnMut(&Measurement)) -> Result<Report, String> {
        let mut report = Report {
            environment: Environment::read(),
            ..Report::default()
        };
        let descriptors = report.environment.descriptors as usize;
        for &sessions in &self.sweep {
            let need = self.descriptors(sessions) + 64;
            if need > descriptors {
                return Err(format!(
                    "{sessions} sessions need {need} descriptors, this process may have {descriptors} (ulimit -Hn)"
                ));
            }
            let mut runs = Vec::new();
            for round in 0..self.rounds {
                let mut facts = None;
                if let Some(source) = &self.server {
                    let m = self.server_run(source, sessions)?;
                    each(&m);
                    facts = Some(m.given.clone());
                    runs.push(m);
                }
                if let Some(settings) = &self.floor {
                    let m = self.floor_run(settings, facts.as_ref(), sessions)?;
                    each(&m);
                    runs.push(m);
                }
                if round + 1 < self.rounds {
                    // Closed connections and their memory are cleared away.
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
            report.summaries.push(summary(sessions, &runs));
            report.runs.append(&mut runs);
        }
        Ok(report)
    }

    fn descriptors(&self, sessions: usize) -> usize {
        let plan = Plan {
            targets: self.targets.clone(),
            sessions,
            ..self.plan.clone()
        };
        plan.descriptors()
    }

    fn placement(&self) -> Placement {
        Placement {
            cpus: self.server_cpus.clone(),
            fifo: self.fifo,
            ..Placement::default()
        }
    }

    fn server_run(&self, source: &Source, sessions: usize) -> Result<Measurement, String> {
        // Held until the run is over.
        let started;
        let pid = match source {
            Source::Running { pid } => *pid,
            Source::Start { words, ready, log } => {
                let placement = self.placement();
                started = Running::start(words, &placement, ready, PATIENCE, log.as_deref())?;
                Some(started.pid())
            }
        };
        let subject = Subject {
            label: SERVER.into(),
            pid,
            cpus: self.server_cpus.clone(),
            admin: self.admin,
            given: Given {
                cadence_ms: Some(self.cadence.as_secs_f64() * 1000.0),
                ring_depth: self
                    .admin
                    .and_then(environment::ring_depth)
                    .or(self.ring_depth.clone()),
                ..Given::default()
            },
        };
        self.swarm_run(self.targets.clone(), subject, sessions, self.plan.live)
    }

    fn floor_run(
        &self,
        settings: &Settings,
        facts: Option<&Given>,
        sessions: usize,
    ) -> Result<Measurement, String> {
        let bit_rate = facts.map_or(settings.bit_rate, |f| f.bit_rate);
        let packet_size = facts.map_or(u32::from(settings.packet_size), |f| f.packet_size);
        let words = [
            "floor-sender".to_string(),
            format!("--bit-rate={bit_rate}"),
            format!("--packet-size={packet_size}"),
            format!("--cadence={}ms", settings.cadence.as_millis()),
            format!("--congestion={}", settings.congestion),
            format!("--protocol={}", settings.protocol.name()),
            format!("--send={}", settings.sending.name()),
        ];
        let (running, port) = Running::start_floor(&words, &self.placement())?;
        let subject = Subject {
            label: FLOOR.into(),
            pid: Some(running.pid()),
            cpus: self.server_cpus.clone(),
            admin: None,
            given: Given {
                cadence_ms: Some(settings.cadence.as_secs_f64() * 1000.0),
                ring_depth: Some("none".into()),
                ..Given::default()
            },
        };
        let protocol = settings.protocol;
        let host = format!("127.0.0.1:{port}");
        let target = probe::target(&protocol.url(host, "/floor"), protocol)?;
        self.swarm_run(vec![target], subject, sessions, true)
    }

    fn swarm_run(
        &self,
        targets: Vec<Target>,
        mut subject: Subject,
        sessions: usize,
        live: bool,
    ) -> Result<Measurement, String> {
        let first = targets.first().ok_or("nothing to play")?;
        let facts = probe::header(first, self.plan.protocol, Player::Nine)?;
        subject.given.bit_rate = facts.bit_rate;
        subject.given.packet_size = facts.packet_size;
        let slow = self.plan.slow.min(sessions);
        let plan = Plan {
            targets,
            sessions,
            live,
            slow,
            slow_bytes_per_s: f64::from(facts.bit_rate) / 8.0 * self.slow_rate,
            packet_size: facts.packet_size,
            streams: facts.streams,
            ..self.plan.clone()
        };
        measure::measure(&plan, &subject)
    }
}

fn summary(sessions: usize, runs: &[Measurement]) -> Summary {
    let least = |label: &str, pick: fn(&measure::Cost) -> f64| {
        runs.iter()
            .filter(|m| m.label == label)
            .filter_map(|m| m.cost.as_ref().map(pick))
            .filter(|&s| s > 0.0)
            .min_by(f64::total_cmp)
    };
    let server = least(SERVER, |c| c.process_s_per_gb);
    let floor = least(FLOOR, |c| c.process_s_per_gb);
    let cores = |label| least(label, |c| c.cores_s_per_gb);
    Summary {
        sessions,
        server_s_per_gb: server,
        floor_s_per_gb: floor,
        ratio: server.zip(floor).map(|(s, f)| s / f),
        ratio_of_cores: cores(SERVER).zip(cores(FLOOR)).map(|(s, f)| s / f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Cost;

    fn run(label: &str, process: f64, cores: f64) -> Measurement {
        Measurement {
            label: label.into(),
            cost: Some(Cost {
                process_s_per_gb: process,
                cores_s_per_gb: cores,
                ..Cost::default()
            }),
            ..Measurement::default()
        }
    }

    #[test]
    fn the_cheapest_round_of_each_counts() {
        let s = summary(
            9,
            &[
                run(SERVER, 0.33, 0.5),
                run(FLOOR, 0.30, 0.5),
                run(SERVER, 0.40, 0.44),
                run(FLOOR, 0.60, 0.4),
            ],
        );
        assert!((s.ratio.unwrap() - 1.1).abs() < 1e-9);
        assert!((s.ratio_of_cores.unwrap() - 1.1).abs() < 1e-9);
        assert_eq!(s.sessions, 9);
        let alone = summary(9, &[run(FLOOR, 0.3, 0.5)]);
        assert_eq!((alone.ratio, alone.floor_s_per_gb), (None, Some(0.3)));
    }
}
