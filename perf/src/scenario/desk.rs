//! A scenario's workplace: content, configuration, server, runs, and the book of checks.

use super::config::{Config, Point};
use super::load::{Load, SETTLE, live_recipe};
use super::{Check, Context, Verdict, local};
use crate::bench::{Bench, Report, SERVER, Source};
use crate::content::{self, Recipe};
use crate::encoder::Pushed;
use crate::environment::{self, Environment};
use crate::floor::Settings;
use crate::measure::{self, Given, Measurement, Subject};
use crate::media::Player;
use crate::server::{Ready, Running};
use crate::swarm::{Plan, Protocol, Target};
use crate::sys::Placement;
use crate::{probe, procfs, report};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

/// A scenario's workplace.
pub struct Desk<'a> {
    pub context: &'a Context,
    pub name: &'static str,
    pub checks: Vec<Check>,
    pub runs: Vec<Measurement>,
    environment: Environment,
    /// Printed beside the following checks.
    pub facts: String,
    /// What disqualifies the runs that the following checks are about.
    invalid: Option<String>,
}

/// Descriptors of a process beside its sessions.
const DESCRIPTORS_SPARE: usize = 200;
/// Of all listeners.
const CONGESTION: &str = "cubic";
/// Rate at which slow readers read.
const SLOW_RATE: f64 = 0.06;

impl Desk<'_> {
    pub fn new<'a>(context: &'a Context, name: &'static str, environment: Environment) -> Desk<'a> {
        Desk {
            context,
            name,
            checks: Vec::new(),
            runs: Vec::new(),
            environment,
            facts: String::new(),
            invalid: None,
        }
    }

    /// The scenario's number of sessions. An error if the machine cannot have so many.
    pub fn sessions(&self, wanted: usize) -> Result<usize, String> {
        let scaled = self.scaled(wanted);
        let need = scaled + DESCRIPTORS_SPARE;
        if need > self.context.descriptors {
            return Err(format!(
                "{scaled} sessions need {need} descriptors, a process may have {} (ulimit -Hn)",
                self.context.descriptors
            ));
        }
        Ok(scaled)
    }

    /// As many of these sessions as the machine can have.
    pub fn sessions_up_to(&self, wanted: usize) -> usize {
        let most = self.context.descriptors.saturating_sub(DESCRIPTORS_SPARE);
        self.scaled(wanted).min(most)
    }

    fn scaled(&self, wanted: usize) -> usize {
        (wanted as f64 * self.context.scale).round().max(1.0) as usize
    }

    /// Length of the window.
    pub fn window(&self, default_s: u64) -> Duration {
        self.context
            .seconds
            .unwrap_or(Duration::from_secs(default_s))
    }

    /// The following checks are about these runs. One that lost sessions or sent faulty packets
    /// meets no target, whatever it cost.
    pub fn about(&mut self, runs: &[&Measurement]) {
        let unserved: usize = runs.iter().map(|m| m.outcome.unserved()).sum();
        let faults: u64 = runs.iter().map(|m| m.server_faults()).sum();
        self.invalid = (unserved > 0 || faults > 0).then(|| {
            format!("{unserved} sessions failed, lost or silent, {faults} faulty packets")
        });
        self.facts = runs
            .first()
            .map_or(String::new(), |m| report::facts(m, &self.environment));
    }

    /// Facts about a server that sends nothing.
    pub fn about_silence(&mut self, ring_depth: Option<String>, cadence_ms: u64) {
        let m = Measurement {
            congestion: Some(CONGESTION.into()),
            given: Given {
                cadence_ms: Some(cadence_ms as f64),
                ring_depth,
                ..Given::default()
            },
            bytes_per_send: Some(0.0),
            ..Measurement::default()
        };
        self.about(&[&m]);
    }

    /// Note a number against its upper bound.
    pub fn at_most(&mut self, target: &str, value: f64, bound: f64, unit: &str) {
        self.at_most_with(target, value, bound, unit, "");
    }

    /// Ditto, with a remark beside the number.
    pub fn at_most_with(&mut self, target: &str, value: f64, bound: f64, unit: &str, note: &str) {
        self.check(
            target,
            format!("at most {bound} {unit}"),
            format!("{} {unit}{note}", shown(value, bound)),
            value <= bound,
        );
    }

    /// Note a number against a bound that it must not reach.
    pub fn under(&mut self, target: &str, value: f64, bound: f64, unit: &str) {
        self.under_with(target, value, bound, unit, "");
    }

    /// Ditto, with a remark beside the number.
    pub fn under_with(&mut self, target: &str, value: f64, bound: f64, unit: &str, note: &str) {
        self.check(
            target,
            format!("under {bound} {unit}"),
            format!("{} {unit}{note}", shown(value, bound)),
            value < bound,
        );
    }

    /// Note a comparison.
    pub fn check(&mut self, target: &str, bound: String, mut measured: String, met: bool) {
        if let Some(why) = &self.invalid {
            measured = format!("{measured}, but {why}");
        }
        let verdict = Verdict::of(met && self.invalid.is_none());
        self.note(target, bound, measured, verdict);
    }

    /// Note that something could not be found out.
    pub fn not_measured(&mut self, target: &str, bound: &str, why: String) {
        self.note(target, bound.into(), why, Verdict::NotMeasured);
    }

    /// Note a number that has no bound.
    pub fn reported(&mut self, target: &str, measured: String) {
        self.note(target, "-".into(), measured, Verdict::Reported);
    }

    fn note(&mut self, target: &str, bound: String, measured: String, verdict: Verdict) {
        self.checks.push(Check {
            scenario: self.name,
            target: target.into(),
            bound: bound.trim_end().into(),
            measured: measured.trim_end().into(),
            verdict,
            facts: self.facts.clone(),
        });
    }

    /// Where the server listens for players of this protocol.
    pub fn players(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Wmsp => self.context.http,
            Protocol::Mmst | Protocol::Mmsu => self.context.mms,
            Protocol::Rtspt | Protocol::Rtspu => self.context.rtsp,
        }
    }

    /// Something that the server serves.
    fn target(&self, protocol: Protocol, path: &str) -> Result<Target, String> {
        probe::target(&protocol.url(self.players(protocol), path), protocol)
    }

    /// A file for a live point, with packets of this size.
    pub fn live_file(&self, bit_rate: u32, packet_size: u16) -> Result<PathBuf, String> {
        let recipe = Recipe {
            packet_size,
            ..live_recipe(bit_rate)
        };
        let file = if recipe.audio_only {
            "f0.wma"
        } else {
            "f0.wmv"
        };
        Ok(self.content(&recipe, 1)?.join(file))
    }

    /// A directory of content, made once for each recipe.
    pub fn content(&self, recipe: &Recipe, files: usize) -> Result<PathBuf, String> {
        let kind = if recipe.audio_only { "audio" } else { "video" };
        let even = if recipe.even { "-even" } else { "" };
        let dir = self.context.dir.join(format!(
            "{kind}-{}-{}-{}s-{files}{even}",
            recipe.bit_rate, recipe.packet_size, recipe.seconds
        ));
        let done = dir.join(".complete");
        if !done.exists() {
            content::write_files(recipe, files, &dir)?;
            std::fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))?;
        }
        Ok(dir)
    }

    /// Write a configuration for players of this protocol at this address; the command that serves
    /// it.
    pub fn configure(
        &self,
        points: &[Point],
        cores: usize,
        protocol: Protocol,
        ip: Ipv4Addr,
    ) -> Result<Vec<String>, String> {
        let at = |port: SocketAddr| SocketAddr::from((ip, port.port()));
        let text = Config {
            http: at(self.context.http),
            mms: matches!(protocol, Protocol::Mmst | Protocol::Mmsu).then(|| at(self.context.mms)),
            rtsp: protocol.is_rtsp().then(|| at(self.context.rtsp)),
            admin: self.context.admin,
            cpus: cpus(cores, self.context),
            cache_dir: self.context.dir.join("cache"),
            points: points.to_vec(),
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
            cpus: cpus(cores, self.context),
            fifo: self.context.fifo,
            ..Placement::default()
        }
    }

    /// Start the server alone, on one core.
    pub fn start(&self, points: &[Point], protocol: Protocol) -> Result<Running, String> {
        self.start_on(points, 1, protocol)
    }

    fn start_on(
        &self,
        points: &[Point],
        cores: usize,
        protocol: Protocol,
    ) -> Result<Running, String> {
        let words = self.configure(points, cores, protocol, Ipv4Addr::LOCALHOST)?;
        Running::start(
            &words,
            &self.placement(cores),
            &ready(self.context),
            SETTLE,
            Some(&self.log()),
        )
    }

    /// Start the server for a load.
    pub fn serve(&self, load: &Load) -> Result<Running, String> {
        self.start_on(from_ref(&load.point), load.cores, load.protocol)
    }

    /// Where the server's stderr goes.
    pub fn log(&self) -> PathBuf {
        self.context.dir.join(format!("{}.log", self.name))
    }

    /// Run a load, all rounds.
    pub fn bench(&mut self, load: &Load) -> Result<Report, String> {
        let targets: Result<Vec<Target>, String> = (0..load.files)
            .map(|i| {
                let path = load.path.replace("{}", &i.to_string());
                self.target(load.protocol, &path)
            })
            .collect();
        let server = Source::Start {
            words: self.configure(
                from_ref(&load.point),
                load.cores,
                load.protocol,
                Ipv4Addr::LOCALHOST,
            )?,
            ready: ready(self.context),
            log: Some(self.log()),
        };
        let bench = Bench {
            server: Some(server),
            targets: targets?,
            // Rate and packet size are the server's.
            floor: load.floor.then(|| floor_settings(load, 0, 0)),
            rounds: if load.floor { self.context.rounds } else { 1 },
            ..self.empty_bench(load)
        };
        self.execute(&bench)
    }

    /// Run a load against the floor alone, all rounds.
    pub fn floor(
        &mut self,
        load: &Load,
        bit_rate: u32,
        packet_size: u16,
    ) -> Result<Report, String> {
        let bench = Bench {
            floor: Some(floor_settings(load, bit_rate, packet_size)),
            rounds: self.context.rounds,
            ..self.empty_bench(load)
        };
        self.execute(&bench)
    }

    fn empty_bench(&self, load: &Load) -> Bench {
        Bench {
            server: None,
            targets: Vec::new(),
            admin: Some(self.context.admin),
            server_cpus: cpus(load.cores, self.context),
            fifo: self.context.fifo,
            floor: None,
            cadence: Duration::from_millis(load.point.cadence_ms),
            ring_depth: None,
            plan: load.plan(),
            slow_rate: SLOW_RATE,
            sweep: vec![load.sessions],
            rounds: 1,
        }
    }

    fn execute(&mut self, bench: &Bench) -> Result<Report, String> {
        let report = bench.run(|m| eprint!("{}", report::measurement(m)))?;
        self.runs.extend(report.runs.iter().cloned());
        Ok(report)
    }

    /// Run a load once against a server that is kept for the whole of it; also how the CPU time
    /// is spread over the server's threads, the busiest first.
    pub fn single(&mut self, load: &Load) -> Result<(Measurement, Vec<f64>), String> {
        let server = self.serve(load)?;
        self.play(load, &server, None)
    }

    /// The same with a server that runs already, and perhaps with an encoder whose packets are to be
    /// recognized.
    pub fn play(
        &mut self,
        load: &Load,
        server: &Running,
        pushed: Option<Arc<Pushed>>,
    ) -> Result<(Measurement, Vec<f64>), String> {
        let target = self.target(load.protocol, &load.path)?;
        let facts = probe::header(&target, load.protocol, Player::Nine)?;
        let plan = Plan {
            targets: vec![target],
            sessions: load.sessions,
            streams: facts.streams,
            packet_size: facts.packet_size,
            slow_bytes_per_s: f64::from(facts.bit_rate) / 8.0 * SLOW_RATE,
            pushed,
            ..load.plan()
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

    /// CPU s per GB in the cheapest of the runs.
    pub fn price(&mut self, target: &str, runs: &[&Measurement], bound: f64) {
        let cheapest = cheapest(runs);
        self.at_most(target, cheapest, bound, "s/GB");
    }

    /// CPU against the floor.
    pub fn near_the_floor(&mut self, report: &Report, bound: f64) {
        let target = format!("CPU against floor, N = {}", sessions_of(report));
        match report.summaries.first() {
            Some(s) if s.ratio.is_some() => self.at_most_with(
                &target,
                s.ratio.unwrap_or(f64::MAX),
                bound,
                "x",
                &format!(
                    " ({:.3} against {:.3} s/GB)",
                    s.server_s_per_gb.unwrap_or(0.0),
                    s.floor_s_per_gb.unwrap_or(0.0)
                ),
            ),
            _ => self.not_measured(&target, "a ratio", "no cost was measured".into()),
        }
    }
}

fn sessions_of(report: &Report) -> usize {
    report.summaries.first().map_or(0, |s| s.sessions)
}

/// As many digits as the bound deserves.
fn shown(value: f64, bound: f64) -> String {
    let digits = match bound.abs() {
        b if b == 0.0 || b >= 1000.0 => 0,
        b if b >= 10.0 => 1,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Runs of the server, not of the floor.
pub fn servers(report: &Report) -> Vec<&Measurement> {
    report.runs.iter().filter(|m| m.label == SERVER).collect()
}

/// CPU s per GB of the cheapest run that has a cost.
pub fn cheapest(runs: &[&Measurement]) -> f64 {
    least(
        runs.iter()
            .filter_map(|m| m.cost.map(|c| c.process_s_per_gb))
            .filter(|&s| s > 0.0),
    )
}

pub fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MAX, f64::min)
}

/// CPUs of a server on so many cores.
pub fn cpus(cores: usize, context: &Context) -> Vec<usize> {
    match cores {
        1 => vec![context.server_cpu],
        n => (0..n).collect(),
    }
}

fn floor_settings(load: &Load, bit_rate: u32, packet_size: u16) -> Settings {
    Settings {
        listen: local(0),
        bit_rate,
        packet_size,
        cadence: Duration::from_millis(load.point.cadence_ms),
        congestion: CONGESTION.into(),
        protocol: load.protocol,
        sending: load.sending,
    }
}

fn ready(context: &Context) -> Ready {
    Ready::Http(context.admin, "/readyz".into())
}
