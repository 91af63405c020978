//! What the commands do with their options.

mod args;

use crate::bench::{Bench, Source};
use crate::content::{self, Recipe};
use crate::environment;
use crate::floor::{self, Settings};
use crate::media::Player;
use crate::pair::{self, Experiment, Shaper};
use crate::scenario::{self, Context};
use crate::server::{Ready, Running};
use crate::swarm::{Plan, Protocol, Target};
use crate::sys::Placement;
use crate::{probe, report, sys};
use args::{Cli, Command, ContentArgs, Fanout, FloorArgs, Load, PairArgs, ScenarioCommon};
use clap::Parser;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// Run. `Ok(false)`: something was measured and found wanting.
pub fn run() -> Result<bool, String> {
    match Cli::parse().command {
        Command::Fanout(args) => fanout(&args),
        Command::Floor(args) => floor_alone(&args),
        Command::PacketPair(args) => packet_pair(&args),
        Command::Scenario(args) => targets(&args.common, std::slice::from_ref(&args.name)),
        Command::Targets(args) => targets(&args.common, &args.only),
        Command::Content(args) => make_content(&args),
        Command::FloorSender(args) => {
            sys::raise_descriptor_limit().map_err(|e| format!("descriptor limit: {e}"))?;
            let ready = |port| {
                println!("ready {port}");
                let _ = std::io::stdout().flush();
            };
            floor::serve(&args.settings(), ready).map(|()| true)
        }
    }
}

impl Load {
    /// Put this process where it is to run. Before anything is started.
    fn settle_in(&self) -> Result<(), String> {
        if self.slow > 0 && self.protocol.over_udp() {
            return Err("--slow: a server does not notice how datagrams are read".into());
        }
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
            player: Player::Nine,
            protocol: self.protocol,
            describe: false,
            locid: false,
            streams: Vec::new(),
            packet_size: 0,
            live: true,
            start_spread_ms: 0,
            slow: self.slow,
            slow_bytes_per_s: 0.0,
            pushed: None,
        }
    }

    fn settings(&self, bit_rate: u32, packet_size: u16) -> Settings {
        Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bit_rate,
            packet_size,
            cadence: self.cadence,
            congestion: self.congestion.clone(),
            protocol: self.protocol,
            sending: self.send,
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
            .all(|m| m.outcome.unserved() == 0 && m.server_faults() == 0))
    }
}

fn fanout(args: &Fanout) -> Result<bool, String> {
    let load = &args.load;
    if load.private_net && args.spawn.is_none() {
        return Err("--private-net cannot reach a server that runs outside: use --spawn".into());
    }
    if args.describe && load.protocol != Protocol::Wmsp {
        return Err("--describe is a request of wmsp".into());
    }
    if args.locid && !load.protocol.is_rtsp() {
        return Err("--locid: other protocols always have LocationIds".into());
    }
    if args.legacy && load.protocol.is_rtsp() {
        return Err("--legacy speaks wmsp, mmst and mmsu".into());
    }
    if load.slow > 0 && load.protocol == Protocol::Rtspt && !args.locid {
        return Err("--slow with rtspt needs --locid to see what is left out".into());
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
    plan.locid = args.locid;
    plan.start_spread_ms = u32::try_from(args.start_spread.as_millis()).unwrap_or(u32::MAX);
    if args.legacy {
        plan.player = Player::Legacy;
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
            None => numbered(&url_or_live(&self.url, self.load.protocol), self.files),
        };
        let protocol = self.load.protocol;
        urls.iter()
            .map(|url| probe::target(url, protocol))
            .collect()
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

fn url_or_live(url: &Option<String>, protocol: Protocol) -> String {
    let port = match protocol {
        Protocol::Wmsp => 8080,
        Protocol::Mmst | Protocol::Mmsu | Protocol::Rtspt | Protocol::Rtspu => {
            protocol.default_port()
        }
    };
    url.clone()
        .unwrap_or_else(|| protocol.url(format!("127.0.0.1:{port}"), "/live"))
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
    let [http, mms, rtsp, admin] = scenario::free_ports()?;
    let context = Context {
        http,
        mms,
        rtsp,
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
    if args.protocol.is_rtsp() {
        return Err(pair::NO_PAIR.into());
    }
    let target = probe::target(&url_or_live(&args.url, args.protocol), args.protocol)?;
    let experiment = Experiment {
        rates: args.rates.iter().map(|r| (r * 1e6) as u64).collect(),
        tries: args.tries.max(1),
        protocol: args.protocol,
        path: target.path.clone(),
        probe: args.probe.clone(),
        placement: Placement {
            cpus: args.server_cpu.clone(),
            ..Placement::default()
        },
    };
    let words = if args.floor {
        let program = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
        let listen = format!("--listen=0.0.0.0:{}", target.addr.port());
        Some(vec![
            program.to_string_lossy().into_owned(),
            "floor-sender".into(),
            listen,
            format!("--protocol={}", args.protocol.name()),
        ])
    } else {
        let split = |s: &String| s.split_whitespace().map(str::to_string).collect();
        args.spawn.as_ref().map(split)
    };
    sys::pin(&[args.cpu]).map_err(|e| format!("CPU {}: {e}", args.cpu))?;
    // For the clock's sake; without the right to it the spread of the estimates grows.
    let _ = sys::set_fifo(10);
    let estimates = match (args.link, words) {
        (Some(Shaper::Tbf | Shaper::Wire) | None, Some(words)) => {
            let server = pair::Subjects {
                words: &words,
                port: target.addr.port(),
                log: None,
            };
            let (found, wrong) =
                pair::between(&experiment, &server, args.link.unwrap_or(Shaper::Tbf))?;
            if let Some((rate, why)) = wrong.first() {
                return Err(format!("no link of {rate} bit/s: {why}; try --link wire"));
            }
            found
        }
        (Some(Shaper::Tbf | Shaper::Wire), None) => {
            return Err("a link between namespaces needs --spawn or --floor".into());
        }
        (_, Some(words)) => {
            let ready = Ready::Accepts(target.addr);
            let patience = Duration::from_secs(20);
            let _server = Running::start(&words, &experiment.placement, &ready, patience, None)?;
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
        .all(|e| e.estimates > 0 && e.unsegmented == 0 && e.error_percent.abs() <= args.tolerance)
        && estimates.iter().all(|e| {
            let off = |p: pair::Probed| (p.median / e.link as f64 - 1.0).abs() * 100.0;
            e.probe.is_none_or(|p| off(p) <= args.tolerance)
        }))
}

fn make_content(args: &ContentArgs) -> Result<bool, String> {
    let recipe = Recipe {
        seconds: u32::try_from(args.seconds.as_secs().max(1)).unwrap_or(u32::MAX),
        bit_rate: args.bit_rate,
        packet_size: args.packet_size,
        audio_only: args.audio,
        even: false,
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

    #[test]
    fn patterns() {
        assert_eq!(numbered("a{}.wmv", 3), ["a0.wmv", "a1.wmv", "a2.wmv"]);
        assert_eq!(numbered("a", 3), ["a"]);
    }
}
