//! The command line.

use crate::bench::{Bench, Source};
use crate::content::{self, Recipe};
use crate::environment;
use crate::floor::{self, Settings};
use crate::pair::{self, Experiment, Shaper};
use crate::scenario::{self, Context};
use crate::server::{Ready, Running};
use crate::swarm::{Plan, Protocol, Target};
use crate::sys::Placement;
use crate::{probe, report, sys, wmsp};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "ringcast-perf",
    version,
    about = "Load generators and benchmarks for Ringcast"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Very many players against a server: cost, lateness, memory, faults
    #[command(alias = "bench")]
    Fanout(Box<Fanout>),
    /// The same with no server: the least that these sends cost on this machine
    Floor(Box<FloorArgs>),
    /// What a client takes its link for, at links of known rates
    PacketPair(PairArgs),
    /// One named scenario against a server that is configured and started for it
    Scenario(ScenarioArgs),
    /// All scenarios, each against its target: met or missed
    Targets(TargetsArgs),
    /// Write synthetic ASF files
    Content(ContentArgs),
    /// The sender of `floor`, alone, until it is killed
    #[command(hide = true)]
    FloorSender(SenderArgs),
}

/// Run. `Ok(false)`: something was measured and found wanting.
pub fn run() -> Result<bool, String> {
    match Cli::parse().command {
        Command::Fanout(args) => fanout(&args),
        Command::Floor(args) => floor_alone(&args),
        Command::PacketPair(args) => packet_pair(&args),
        Command::Scenario(args) => targets(&args.common, &[args.name.clone()]),
        Command::Targets(args) => targets(&args.common, &args.only),
        Command::Content(args) => make_content(&args),
        Command::FloorSender(args) => {
            sys::raise_descriptor_limit().map_err(|e| format!("descriptor limit: {e}"))?;
            floor::serve(&args.settings()).map(|()| true)
        }
    }
}

/// A duration such as `500ms`, `2s`, `5m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unit {unit:?} is none of ms, s, m, h")),
    };
    match number.parse::<f64>() {
        Ok(n) if (0.0..1e7).contains(&n) => Ok(Duration::from_secs_f64(n * factor)),
        _ => Err(format!("{number:?} is not a positive number")),
    }
}

#[derive(Args, Clone)]
struct Load {
    /// Numbers of sessions to run with, e.g. 500,1000,2000
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    sessions: Vec<usize>,
    /// Length of the window that is measured
    #[arg(long, default_value = "10", value_parser = duration)]
    seconds: Duration,
    /// Spread the connects over this time (default: 1 ms for each session)
    #[arg(long, value_parser = duration)]
    ramp: Option<Duration>,
    /// Connect everybody within this time instead
    #[arg(long, value_parser = duration, conflicts_with = "ramp")]
    storm: Option<Duration>,
    /// Between the last session's first media and the window
    #[arg(long, default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// Give up on sessions that have no media so long after the ramp
    #[arg(long, default_value = "30s", value_parser = duration)]
    settle: Duration,
    /// How often each number of sessions is measured
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// CPU of the swarm
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// CPUs of the server
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpu: Vec<usize>,
    /// Real-time priority (SCHED_FIFO) for the swarm and for what is started
    #[arg(long)]
    fifo: Option<i32>,
    /// Time between two sends to one session: of the floor, and as given of the server
    #[arg(long, default_value = "100ms", value_parser = duration)]
    cadence: Duration,
    /// Congestion control of the floor's listener
    #[arg(long, default_value = "cubic")]
    congestion: String,
    /// Of the sessions, this many read slowly
    #[arg(long, default_value_t = 0)]
    slow: usize,
    /// At this share of the content's rate
    #[arg(long, default_value_t = 0.06)]
    slow_rate: f64,
    /// Work in a network of its own (root): its loopback may be changed without harm
    #[arg(long)]
    private_net: bool,
    /// In it: charge reception to this CPU (receive packet steering)
    #[arg(long, requires = "private_net")]
    rps_cpu: Option<usize>,
    /// In it: MTU of loopback
    #[arg(long, requires = "private_net")]
    lo_mtu: Option<u32>,
    /// Write all numbers as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a chart of lateness and CPU against the number of sessions
    #[arg(long)]
    plot: Option<PathBuf>,
}

#[derive(Args)]
struct Fanout {
    /// What to play; `{}` counts through --files
    #[arg(long, default_value = "http://127.0.0.1:8080/live")]
    url: String,
    /// Play the URLs of this file in turn, one on each line
    #[arg(long, conflicts_with = "url")]
    urls: Option<PathBuf>,
    /// Put 0 up to this for `{}` in --url
    #[arg(long, default_value_t = 1)]
    files: usize,
    /// How media is asked for
    #[arg(long, value_enum, default_value = "wmsp")]
    protocol: Protocol,
    /// Each session has a timeline of its own
    #[arg(long)]
    vod: bool,
    /// On demand: sessions start anywhere within this
    #[arg(long, default_value = "0s", value_parser = duration)]
    start_spread: Duration,
    /// Ask as FFmpeg does (NSPlayer 4.1, HTTP/1.0)
    #[arg(long)]
    legacy: bool,
    /// Each session asks with Describe before Play
    #[arg(long)]
    describe: bool,
    /// Process of the server, for its cost
    #[arg(long)]
    pid: Option<u32>,
    /// Start this server instead: program and arguments, split at blanks
    #[arg(long, conflicts_with = "pid")]
    spawn: Option<String>,
    /// Admin port: readiness and facts
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Ring depth of the server, as given; its metrics know better
    #[arg(long)]
    ring: Option<String>,
    /// Run the floor in turn with the server and print the ratio
    #[arg(long)]
    floor: bool,
    #[command(flatten)]
    load: Load,
}

#[derive(Args)]
struct FloorArgs {
    /// bit/s of ASF packets
    #[arg(long, default_value_t = 1_000_000)]
    bit_rate: u32,
    /// Bytes of an ASF packet
    #[arg(long, default_value_t = 3200, value_parser = clap::value_parser!(u16).range(64..=60_000))]
    packet_size: u16,
    #[command(flatten)]
    load: Load,
}

#[derive(Args)]
struct SenderArgs {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, default_value_t = 1_000_000)]
    bit_rate: u32,
    #[arg(long, default_value_t = 3200)]
    packet_size: u16,
    #[arg(long, default_value = "100ms", value_parser = duration)]
    cadence: Duration,
    #[arg(long, default_value = "cubic")]
    congestion: String,
}

impl SenderArgs {
    fn settings(&self) -> Settings {
        Settings {
            listen: self.listen,
            bit_rate: self.bit_rate,
            packet_size: self.packet_size,
            cadence: self.cadence,
            congestion: self.congestion.clone(),
        }
    }
}

#[derive(Args)]
struct PairArgs {
    /// Rates of the link, Mbit/s
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    rates: Vec<f64>,
    /// Describes at each rate
    #[arg(long, default_value_t = 9)]
    tries: usize,
    /// How the link is made; default: tbf with --spawn, else relay
    #[arg(long, value_enum)]
    link: Option<Shaper>,
    /// The content that is described. With --spawn only port and path count, and the server must
    /// listen on all addresses
    #[arg(long, default_value = "http://127.0.0.1:8080/live")]
    url: String,
    /// Start this server: program and arguments, split at blanks
    #[arg(long)]
    spawn: Option<String>,
    /// Use the floor sender instead of a server (a check of the method)
    #[arg(long, conflicts_with = "spawn")]
    floor: bool,
    /// Also ask this `ringcast` for its probe's estimate
    #[arg(long)]
    probe: Option<String>,
    /// CPU of the client
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// CPUs of the server
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpu: Vec<usize>,
    /// Fail if an estimate is further off than this, %
    #[arg(long, default_value_t = 10.0)]
    tolerance: f64,
    /// Write all numbers as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct ScenarioArgs {
    /// Which; `list` prints their names
    name: String,
    #[command(flatten)]
    common: ScenarioCommon,
}

#[derive(Args)]
struct TargetsArgs {
    /// Only these scenarios
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    common: ScenarioCommon,
}

#[derive(Args)]
struct ScenarioCommon {
    /// The server's program; started as `PROGRAM serve --config FILE`
    #[arg(long, default_value = "target/release/ringcast")]
    server: PathBuf,
    /// Where content, configurations and logs are put; content is kept for the next time
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Length of the window that is measured (default 10 s, soak 10 min)
    #[arg(long, value_parser = duration)]
    seconds: Option<Duration>,
    /// How often server and floor are measured in turn
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Multiply numbers of sessions by this, for a quick trial
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// CPU of the swarm
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// CPU of the server
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Real-time priority (SCHED_FIFO) for the swarm and for what is started
    #[arg(long)]
    fifo: Option<i32>,
    /// Work in a network of its own (root), with reception charged to the swarm's CPU and an MTU
    /// of 1500: the nearest to a network card that loopback can be
    #[arg(long)]
    card: bool,
    /// Write all numbers as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct ContentArgs {
    /// Directory to write to; made if it does not exist
    #[arg(long)]
    out: PathBuf,
    /// How many files
    #[arg(long, default_value_t = 1)]
    files: usize,
    /// Play time of each
    #[arg(long, default_value = "60", value_parser = duration)]
    seconds: Duration,
    /// bit/s of ASF packets
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(24_000..=50_000_000))]
    bit_rate: u32,
    /// Bytes of an ASF packet
    #[arg(long, default_value_t = 3200, value_parser = clap::value_parser!(u16).range(128..=60_000))]
    packet_size: u16,
    /// No video
    #[arg(long)]
    audio: bool,
    /// Equal seeds give equal files
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Load {
    /// Put this process where it is to run. Before anything is started.
    fn settle_in(&self) -> Result<(), String> {
        if self.private_net {
            environment::private_network(self.lo_mtu, self.rps_cpu)?;
        }
        sys::pin(&[self.cpu]).map_err(|e| format!("CPU {}: {e}", self.cpu))?;
        if let Some(priority) = self.fifo {
            sys::set_fifo(priority).map_err(|e| format!("priority {priority}: {e}"))?;
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let most = self.sessions.iter().copied().max().unwrap_or(0);
        Plan {
            targets: Vec::new(),
            sessions: 0,
            ramp: self
                .storm
                .or(self.ramp)
                .unwrap_or(Duration::from_millis(most as u64)),
            settle: self.settle,
            warm_up: self.warm_up,
            window: self.seconds,
            player: wmsp::Player::Nine,
            protocol: Protocol::Wmsp,
            describe: false,
            streams: Vec::new(),
            packet_size: 0,
            live: true,
            start_spread_ms: 0,
            slow: self.slow,
            slow_bytes_per_s: 0.0,
        }
    }

    fn settings(&self, bit_rate: u32, packet_size: u16) -> Settings {
        Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bit_rate,
            packet_size,
            cadence: self.cadence,
            congestion: self.congestion.clone(),
        }
    }

    fn bench(&self) -> Bench {
        Bench {
            server: None,
            targets: Vec::new(),
            admin: None,
            server_cpus: self.server_cpu.clone(),
            fifo: self.fifo,
            floor: None,
            cadence: self.cadence,
            ring_depth: None,
            plan: self.plan(),
            slow_rate: self.slow_rate,
            sweep: self.sessions.clone(),
            rounds: self.rounds.max(1),
        }
    }

    fn execute(&self, bench: &Bench) -> Result<bool, String> {
        let report = bench.run(|m| println!("{}", report::measurement(m)))?;
        print!("{}", report.environment.text());
        println!("\n{}", report::summaries(&report));
        if let Some(path) = &self.json {
            report::write_json(path, &report)?;
        }
        if let Some(path) = &self.plot {
            std::fs::write(path, report::plot(&report))
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(report
            .runs
            .iter()
            .all(|m| m.outcome.failed == 0 && m.outcome.lost == 0 && m.server_faults() == 0))
    }
}

fn fanout(args: &Fanout) -> Result<bool, String> {
    let load = &args.load;
    if load.private_net && args.spawn.is_none() {
        return Err("--private-net cannot reach a server that runs outside: use --spawn".into());
    }
    load.settle_in()?;
    let targets = args.targets()?;
    let mut bench = load.bench();
    bench.server = Some(args.source(&targets));
    bench.targets = targets;
    bench.admin = args.admin;
    bench.ring_depth = args.ring.clone();
    bench.floor = args.floor.then(|| load.settings(0, 0));
    let plan = &mut bench.plan;
    plan.live = !args.vod;
    plan.describe = args.describe;
    plan.protocol = args.protocol;
    plan.start_spread_ms = u32::try_from(args.start_spread.as_millis()).unwrap_or(u32::MAX);
    if args.legacy {
        plan.player = wmsp::Player::Legacy;
    }
    load.execute(&bench)
}

impl Fanout {
    fn targets(&self) -> Result<Vec<Target>, String> {
        let urls = match &self.urls {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| format!("{}: {e}", path.display()))?
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty() && !l.starts_with('#'))
                .map(str::to_string)
                .collect(),
            None => numbered(&self.url, self.files),
        };
        urls.iter().map(|url| probe::target(url)).collect()
    }

    fn source(&self, targets: &[Target]) -> Source {
        let Some(command) = &self.spawn else {
            return Source::Running { pid: self.pid };
        };
        let ready = match (self.admin, targets.first()) {
            (Some(admin), _) => Ready::Http(admin, "/readyz".into()),
            (None, Some(t)) => Ready::Accepts(t.addr),
            (None, None) => Ready::Accepts(SocketAddr::from(([127, 0, 0, 1], 8080))),
        };
        Source::Start {
            words: command.split_whitespace().map(str::to_string).collect(),
            ready,
            log: None,
        }
    }
}

/// `pattern` once for every number below `count`, if it has a place for it.
fn numbered(pattern: &str, count: usize) -> Vec<String> {
    if pattern.contains("{}") {
        (0..count.max(1))
            .map(|i| pattern.replace("{}", &i.to_string()))
            .collect()
    } else {
        vec![pattern.to_string()]
    }
}

fn floor_alone(args: &FloorArgs) -> Result<bool, String> {
    args.load.settle_in()?;
    let mut bench = args.load.bench();
    bench.floor = Some(args.load.settings(args.bit_rate, args.packet_size));
    args.load.execute(&bench)
}

fn targets(args: &ScenarioCommon, names: &[String]) -> Result<bool, String> {
    if names.iter().any(|n| n == "list") {
        print!("{}", scenario::list());
        return Ok(true);
    }
    if args.card {
        environment::private_network(Some(1500), Some(args.cpu))?;
    }
    sys::pin(&[args.cpu]).map_err(|e| format!("CPU {}: {e}", args.cpu))?;
    if let Some(priority) = args.fifo {
        sys::set_fifo(priority).map_err(|e| format!("priority {priority}: {e}"))?;
    }
    let [http, admin] = scenario::free_ports()?;
    let context = Context {
        http,
        admin,
        server: args.server.clone(),
        dir: args
            .dir
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join("ringcast-perf")),
        seconds: args.seconds,
        rounds: args.rounds.max(1),
        scale: args.scale,
        server_cpu: args.server_cpu,
        fifo: args.fifo,
        descriptors: sys::raise_descriptor_limit().map_err(|e| format!("descriptor limit: {e}"))?
            as usize,
        card: args.card,
    };
    let results = scenario::run(&context, names)?;
    print!(
        "{}{}",
        results.environment.text(),
        scenario::table(&results)
    );
    if let Some(path) = &args.json {
        report::write_json(path, &results)?;
    }
    match results.verdict() {
        Some(met) => Ok(met),
        None => Err("some targets could not be measured".into()),
    }
}

fn packet_pair(args: &PairArgs) -> Result<bool, String> {
    let target = probe::target(&args.url)?;
    let experiment = Experiment {
        rates: args.rates.iter().map(|r| (r * 1e6) as u64).collect(),
        tries: args.tries.max(1),
        path: target.path.clone(),
        probe: args.probe.clone(),
    };
    let placement = Placement {
        cpus: args.server_cpu.clone(),
        ..Placement::default()
    };
    let words = if args.floor {
        let program = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
        let listen = format!("--listen=0.0.0.0:{}", target.addr.port());
        Some(vec![
            program.to_string_lossy().into_owned(),
            "floor-sender".into(),
            listen,
        ])
    } else {
        let split = |s: &String| s.split_whitespace().map(str::to_string).collect();
        args.spawn.as_ref().map(split)
    };
    sys::pin(&[args.cpu]).map_err(|e| format!("CPU {}: {e}", args.cpu))?;
    // For the clock's sake; without the right to it the spread of the estimates grows.
    let _ = sys::set_fifo(10);
    let estimates = match (args.link, words) {
        (Some(Shaper::Tbf) | None, Some(words)) => {
            pair::through_tbf(&experiment, &words, target.addr.port(), &placement)?
        }
        (Some(Shaper::Tbf), None) => return Err("--link tbf needs --spawn or --floor".into()),
        (_, Some(words)) => {
            let ready = Ready::Accepts(target.addr);
            let patience = Duration::from_secs(20);
            let _server = Running::start(&words, &placement, &ready, patience, None)?;
            pair::through_relay(&experiment, target.addr)?
        }
        (_, None) => pair::through_relay(&experiment, target.addr)?,
    };
    print!("{}", pair::table(&estimates));
    if let Some(path) = &args.json {
        report::write_json(path, &estimates)?;
    }
    Ok(estimates
        .iter()
        .all(|e| e.estimates > 0 && e.unsegmented == 0 && e.error_percent.abs() <= args.tolerance))
}

fn make_content(args: &ContentArgs) -> Result<bool, String> {
    let recipe = Recipe {
        seconds: u32::try_from(args.seconds.as_secs().max(1)).unwrap_or(u32::MAX),
        bit_rate: args.bit_rate,
        packet_size: args.packet_size,
        audio_only: args.audio,
        seed: args.seed,
    };
    let paths = content::write_files(&recipe, args.files, &args.out)?;
    let bytes: u64 = paths
        .iter()
        .filter_map(|p| p.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!(
        "{} files, {:.1} MB, in {}",
        paths.len(),
        bytes as f64 / 1e6,
        args.out.display()
    );
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "x", "-1s", "3 weeks", "infs", "NaN"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        assert_eq!(numbered("a{}.wmv", 3), ["a0.wmv", "a1.wmv", "a2.wmv"]);
        assert_eq!(numbered("a", 3), ["a"]);
    }
}
