//! A scenario's workplace: content, configuration, server, runs, and the book of checks.

use super::config::{Config, Point};
use super::{Check, Context, local};
use crate::bench::{Bench, Report, SERVER, Source};
use crate::content::{self, Recipe};
use crate::floor::Settings;
use crate::measure::{self, Given, Measurement, Subject};
use crate::server::{Ready, Running};
use crate::swarm::{Plan, Protocol, Target};
use crate::sys::Placement;
use crate::{environment, probe, procfs, report, wmsp};
use std::path::PathBuf;
use std::time::Duration;

/// A scenario's workplace.
pub struct Desk<'a> {
    pub context: &'a Context,
    pub name: &'static str,
    pub checks: Vec<Check>,
    pub runs: Vec<Measurement>,
}

/// One load of a scenario.
#[derive(Clone, Debug)]
pub struct Load {
    pub sessions: usize,
    pub point: Point,
    /// URL path with `{}` for the file's number.
    pub path: String,
    pub files: usize,
    pub live: bool,
    pub start_spread: Duration,
    pub ramp: Duration,
    pub window: Duration,
    pub slow: usize,
    pub cores: usize,
    /// Compare with the floor.
    pub floor: bool,
}

/// A live session begins at a key frame of the past and comes up to the head within some seconds.
const WARM_UP: Duration = Duration::from_secs(8);
const SETTLE: Duration = Duration::from_secs(30);
/// Longest window that content is made for.
const WINDOW_MAX: Duration = Duration::from_secs(20);
/// Rate at which slow readers read.
const SLOW_RATE: f64 = 0.06;

impl Desk<'_> {
    /// The scenario's number of sessions on this machine.
    pub fn sessions(&self, wanted: usize) -> usize {
        let scaled = (wanted as f64 * self.context.scale).round().max(1.0) as usize;
        scaled.min(self.context.descriptors.saturating_sub(200))
    }

    /// Length of the window.
    pub fn window(&self, default_s: u64) -> Duration {
        self.context
            .seconds
            .unwrap_or(Duration::from_secs(default_s))
    }

    /// Bound of a share of CPU time: as stated where reception is charged elsewhere; where the
    /// sender pays for it too, 1.6 times that.
    pub fn cpu_bound(&self, stated: f64) -> f64 {
        if self.context.card {
            stated
        } else {
            stated * 1.6
        }
    }

    /// Note a number against its upper bound.
    pub fn at_most(&mut self, what: &str, value: f64, bound: f64, unit: &str) {
        let digits = if bound.abs() < 10.0 { 3 } else { 1 };
        self.check(
            what,
            format!("at most {bound:.digits$} {unit}"),
            format!("{value:.digits$} {unit}"),
            value <= bound,
        );
    }

    /// Note a comparison.
    pub fn check(&mut self, what: &str, wanted: String, measured: String, met: bool) {
        self.checks.push(Check {
            scenario: self.name,
            what: what.into(),
            wanted: wanted.trim_end().into(),
            measured: measured.trim_end().into(),
            met: Some(met),
        });
    }

    /// A directory of content, made once for each recipe.
    pub fn content(&self, recipe: &Recipe, files: usize) -> Result<PathBuf, String> {
        let kind = if recipe.audio_only { "audio" } else { "video" };
        let dir = self.context.dir.join(format!(
            "{kind}-{}-{}-{}s-{files}",
            recipe.bit_rate, recipe.packet_size, recipe.seconds
        ));
        let done = dir.join(".complete");
        if !done.exists() {
            content::write_files(recipe, files, &dir)?;
            std::fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))?;
        }
        Ok(dir)
    }

    /// Write a configuration; the command that serves it.
    pub fn configure(&self, point: &Point, cores: usize) -> Result<Vec<String>, String> {
        let text = Config {
            http: self.context.http,
            admin: self.context.admin,
            cpus: cpus(cores, self.context),
            cache_dir: self.context.dir.join("cache"),
            point: point.clone(),
        }
        .text();
        let path = self.context.dir.join(format!("{}.toml", self.name));
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(vec![
            self.context.server.to_string_lossy().into_owned(),
            "serve".into(),
            "--config".into(),
            path.to_string_lossy().into_owned(),
        ])
    }

    /// Where and how what is started runs.
    pub fn placement(&self, cores: usize) -> Placement {
        Placement {
            cpus: match cores {
                1 => vec![self.context.server_cpu],
                _ => Vec::new(),
            },
            fifo: self.context.fifo,
            ..Placement::default()
        }
    }

    /// Start the server alone.
    pub fn start(&self, point: &Point) -> Result<Running, String> {
        let words = self.configure(point, 1)?;
        let log = self.log();
        Running::start(
            &words,
            &self.placement(1),
            &ready(self.context),
            SETTLE,
            Some(&log),
        )
    }

    fn log(&self) -> PathBuf {
        self.context.dir.join(format!("{}.log", self.name))
    }

    /// Run a load, all rounds.
    pub fn bench(&mut self, load: &Load) -> Result<Report, String> {
        let targets: Result<Vec<Target>, String> = (0..load.files)
            .map(|i| {
                let path = load.path.replace("{}", &i.to_string());
                probe::target(&format!("http://{}{path}", self.context.http))
            })
            .collect();
        let cadence = Duration::from_millis(load.point.cadence_ms);
        let bench = Bench {
            server: Some(Source::Start {
                words: self.configure(&load.point, load.cores)?,
                ready: ready(self.context),
                log: Some(self.log()),
            }),
            targets: targets?,
            admin: Some(self.context.admin),
            server_cpus: cpus(load.cores, self.context),
            fifo: self.context.fifo,
            floor: load.floor.then(|| Settings {
                listen: local(0),
                bit_rate: 0,
                packet_size: 0,
                cadence,
                congestion: "cubic".into(),
            }),
            cadence,
            ring_depth: None,
            plan: plan(load),
            slow_rate: SLOW_RATE,
            sweep: vec![load.sessions],
            rounds: if load.floor { self.context.rounds } else { 1 },
        };
        let report = bench.run(|m| eprint!("{}", report::measurement(m)))?;
        self.runs.extend(report.runs.iter().cloned());
        Ok(report)
    }

    /// Run a load once against a server that is kept for the whole of it; also how the CPU time
    /// is spread over the server's threads, the busiest first.
    pub fn single(&mut self, load: &Load) -> Result<(Measurement, Vec<f64>), String> {
        let words = self.configure(&load.point, load.cores)?;
        let log = self.log();
        let placement = self.placement(load.cores);
        let server = Running::start(&words, &placement, &ready(self.context), SETTLE, Some(&log))?;
        let target = probe::target(&format!("http://{}{}", self.context.http, load.path))?;
        let facts = probe::header(&target, wmsp::Player::Nine)?;
        let plan = Plan {
            targets: vec![target],
            sessions: load.sessions,
            streams: facts.streams,
            packet_size: facts.packet_size,
            ..plan(load)
        };
        let given = Given {
            cadence_ms: Some(load.point.cadence_ms as f64),
            ring_depth: environment::ring_depth(self.context.admin),
            bit_rate: facts.bit_rate,
            packet_size: facts.packet_size,
        };
        let subject = Subject {
            given,
            label: SERVER.into(),
            pid: Some(server.pid()),
            cpus: cpus(load.cores, self.context),
            admin: Some(self.context.admin),
        };
        let before = procfs::thread_times(server.pid());
        let m = measure::measure(&plan, &subject)?;
        eprint!("{}", report::measurement(&m));
        self.runs.push(m.clone());
        let mut spent: Vec<f64> = procfs::thread_times(server.pid())
            .into_iter()
            .map(|(tid, s)| {
                let past = before.iter().find(|(t, _)| *t == tid);
                s - past.map_or(0.0, |(_, s)| *s)
            })
            .collect();
        spent.sort_unstable_by(|a, b| b.total_cmp(a));
        Ok((m, spent))
    }

    /// What every load is held against: nobody fails, is lost, or gets a faulty packet.
    pub fn all_served(&mut self, runs: &[&Measurement]) {
        let unserved: usize = runs.iter().map(|m| m.outcome.failed + m.outcome.lost).sum();
        let faults: u64 = runs.iter().map(|m| m.server_faults()).sum();
        let skips: u64 = runs.iter().map(|m| m.outcome.checks.gaps).sum();
        self.at_most("sessions failed or lost", unserved as f64, 0.0, "");
        self.at_most("faulty packets", faults as f64, 0.0, "");
        self.at_most("skips", skips as f64, 0.0, "");
    }

    /// Lateness at most the cadence and 5 ms, in the better round.
    pub fn punctual(&mut self, report: &Report, load: &Load) {
        let p999 = |m: &Measurement| {
            if load.live {
                m.outcome.lateness_ms.p999
            } else {
                m.outcome.own_lateness_ms.p999
            }
        };
        let best = least(servers(report).into_iter().map(p999));
        let bound = load.point.cadence_ms as f64 + 5.0;
        self.at_most("lateness p99.9", best, bound, "ms");
    }

    /// CPU against the floor.
    pub fn near_the_floor(&mut self, report: &Report, bound: f64) {
        match report.summaries.first().and_then(|s| s.ratio) {
            Some(ratio) => self.at_most("CPU against the floor", ratio, bound, "x"),
            None => self.checks.push(Check {
                scenario: self.name,
                what: "CPU against the floor".into(),
                wanted: format!("at most {bound} x"),
                measured: "no cost was measured".into(),
                met: None,
            }),
        }
    }

    /// Memory: at most 10 kB a session, the server's half of the kernel's memory included.
    pub fn small(&mut self, report: &Report) {
        let per_session = |m: &Measurement| {
            m.memory.map_or(f64::MAX, |mem| {
                mem.rss_per_session + mem.kernel_per_session_both_ends / 2.0
            })
        };
        let best = least(servers(report).into_iter().map(per_session));
        self.at_most("memory per session, kernel included", best, 10_000.0, "B");
    }
}

/// Runs of the server, not of the floor.
pub fn servers(report: &Report) -> Vec<&Measurement> {
    report.runs.iter().filter(|m| m.label == SERVER).collect()
}

pub fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MAX, f64::min)
}

fn cpus(cores: usize, context: &Context) -> Vec<usize> {
    match cores {
        1 => vec![context.server_cpu],
        n => (0..n).collect(),
    }
}

fn ready(context: &Context) -> Ready {
    Ready::Http(context.admin, "/readyz".into())
}

fn plan(load: &Load) -> Plan {
    Plan {
        targets: Vec::new(),
        sessions: 0,
        ramp: load.ramp,
        settle: SETTLE,
        warm_up: WARM_UP,
        window: load.window,
        protocol: Protocol::Wmsp,
        player: wmsp::Player::Nine,
        describe: false,
        streams: Vec::new(),
        packet_size: 0,
        live: load.live,
        start_spread_ms: u32::try_from(load.start_spread.as_millis()).unwrap_or(u32::MAX),
        slow: load.slow,
        slow_bytes_per_s: 0.0,
    }
}

/// A live load from a file that does not come round within the run.
pub fn live(
    desk: &Desk<'_>,
    sessions: usize,
    bit_rate: u32,
    packet_size: u16,
    cadence_ms: u64,
) -> Result<Load, String> {
    let sessions = desk.sessions(sessions);
    let recipe = Recipe {
        seconds: 120,
        bit_rate,
        packet_size,
        audio_only: bit_rate == AUDIO_RATE,
        seed: 1,
    };
    let dir = desk.content(&recipe, 1)?;
    let file = if recipe.audio_only {
        "f0.wma"
    } else {
        "f0.wmv"
    };
    Ok(Load {
        sessions,
        point: Point {
            name: "live",
            broadcast: true,
            source: dir.join(file),
            cadence_ms,
        },
        path: "/live".into(),
        files: 1,
        live: true,
        start_spread: Duration::ZERO,
        ramp: Duration::from_millis(2 * sessions as u64).min(Duration::from_secs(10)),
        window: desk.window(10),
        slow: 0,
        cores: 1,
        floor: true,
    })
}

/// Rate of the audio scenario, bit/s.
pub const AUDIO_RATE: u32 = 138_000;

/// An on-demand load over this many files.
pub fn on_demand(
    desk: &Desk<'_>,
    sessions: usize,
    files: usize,
    bit_rate: u32,
) -> Result<Load, String> {
    let recipe = Recipe {
        seconds: 60,
        bit_rate,
        packet_size: 3200,
        audio_only: false,
        seed: 1,
    };
    let dir = desk.content(&recipe, files)?;
    let sessions = desk.sessions(sessions);
    Ok(Load {
        sessions,
        point: Point {
            name: "vod",
            broadcast: false,
            source: dir,
            cadence_ms: 100,
        },
        path: "/vod/f{}.wmv".into(),
        files,
        live: false,
        start_spread: Duration::from_secs(20),
        ramp: Duration::from_millis(2 * sessions as u64).min(Duration::from_secs(10)),
        window: desk.window(10).min(WINDOW_MAX),
        slow: 0,
        cores: 1,
        floor: true,
    })
}
