//! Commands and options.

use crate::floor::{Sending, Settings};
use crate::pair::Shaper;
use crate::swarm::Protocol;
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
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
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

/// A duration such as `500ms`, `2s`, `5m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
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
pub(super) struct Load {
    /// How media is asked for
    #[arg(long, value_enum, default_value = "wmsp")]
    pub protocol: Protocol,
    /// How the floor sends the datagrams of mmsu and rtspu
    #[arg(long, value_enum, default_value = "sendto")]
    pub send: Sending,
    /// Numbers of sessions to run with, e.g. 500,1000,2000
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    pub sessions: Vec<usize>,
    /// Length of the window that is measured
    #[arg(long, default_value = "10", value_parser = duration)]
    pub seconds: Duration,
    /// Spread the connects over this time (default: 1 ms for each session)
    #[arg(long, value_parser = duration)]
    pub ramp: Option<Duration>,
    /// Connect everybody within this time instead
    #[arg(long, value_parser = duration, conflicts_with = "ramp")]
    pub storm: Option<Duration>,
    /// Between the last session's first media and the window
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub warm_up: Duration,
    /// Give up on sessions that have no media so long after the ramp
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub settle: Duration,
    /// How often each number of sessions is measured
    #[arg(long, default_value_t = 1)]
    pub rounds: usize,
    /// CPU of the swarm
    #[arg(long, default_value_t = 1)]
    pub cpu: usize,
    /// CPUs of the server
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub server_cpu: Vec<usize>,
    /// Real-time priority (SCHED_FIFO) for the swarm and for what is started
    #[arg(long)]
    pub fifo: Option<i32>,
    /// Time between two sends to one session: of the floor, and as given of the server
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub cadence: Duration,
    /// Congestion control of the floor's listener
    #[arg(long, default_value = "cubic")]
    pub congestion: String,
    /// Of the sessions, this many read slowly; not of mmsu and rtspu, where that makes no difference
    #[arg(long, default_value_t = 0)]
    pub slow: usize,
    /// At this share of the content's rate
    #[arg(long, default_value_t = 0.06)]
    pub slow_rate: f64,
    /// Work in a network of its own (root): its loopback may be changed without harm
    #[arg(long)]
    pub private_net: bool,
    /// In it: charge reception to this CPU (receive packet steering)
    #[arg(long, requires = "private_net")]
    pub rps_cpu: Option<usize>,
    /// In it: MTU of loopback
    #[arg(long, requires = "private_net")]
    pub lo_mtu: Option<u32>,
    /// Write all numbers as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a chart of lateness and CPU against the number of sessions
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Fanout {
    /// What to play; `{}` counts through --files. Default: /live on this host, at port 8080 with
    /// wmsp, 1755 with mmst and mmsu, 554 with rtspt and rtspu
    #[arg(long)]
    pub url: Option<String>,
    /// Play the URLs of this file in turn, one on each line
    #[arg(long, conflicts_with = "url")]
    pub urls: Option<PathBuf>,
    /// Put 0 up to this for `{}` in --url
    #[arg(long, default_value_t = 1)]
    pub files: usize,
    /// Each session has a timeline of its own
    #[arg(long)]
    pub vod: bool,
    /// On demand: sessions start anywhere within this
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub start_spread: Duration,
    /// Ask as FFmpeg does (an older NSPlayer; HTTP/1.0)
    #[arg(long)]
    pub legacy: bool,
    /// Each session asks with Describe before Play; of wmsp only
    #[arg(long)]
    pub describe: bool,
    /// Ask for LocationIds, which players do not; of rtspt and rtspu only
    #[arg(long)]
    pub locid: bool,
    /// Process of the server, for its cost
    #[arg(long)]
    pub pid: Option<u32>,
    /// Start this server instead: program and arguments, split at blanks
    #[arg(long, conflicts_with = "pid")]
    pub spawn: Option<String>,
    /// Admin port: readiness and facts
    #[arg(long)]
    pub admin: Option<SocketAddr>,
    /// Ring depth of the server, as given; its metrics know better
    #[arg(long)]
    pub ring: Option<String>,
    /// Run the floor in turn with the server and print the ratio
    #[arg(long)]
    pub floor: bool,
    #[command(flatten)]
    pub load: Load,
}

#[derive(Args)]
pub(super) struct FloorArgs {
    /// bit/s of ASF packets
    #[arg(long, default_value_t = 1_000_000)]
    pub bit_rate: u32,
    /// Bytes of an ASF packet
    #[arg(long, default_value_t = 3200, value_parser = clap::value_parser!(u16).range(64..=60_000))]
    pub packet_size: u16,
    #[command(flatten)]
    pub load: Load,
}

#[derive(Args)]
pub(super) struct SenderArgs {
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    #[arg(long, default_value_t = 1_000_000)]
    pub bit_rate: u32,
    #[arg(long, default_value_t = 3200)]
    pub packet_size: u16,
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub cadence: Duration,
    #[arg(long, default_value = "cubic")]
    pub congestion: String,
    #[arg(long, value_enum, default_value = "wmsp")]
    pub protocol: Protocol,
    #[arg(long, value_enum, default_value = "sendto")]
    pub send: Sending,
}

impl SenderArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            listen: self.listen,
            bit_rate: self.bit_rate,
            packet_size: self.packet_size,
            cadence: self.cadence,
            congestion: self.congestion.clone(),
            protocol: self.protocol,
            sending: self.send,
        }
    }
}

#[derive(Args)]
pub(super) struct PairArgs {
    /// Rates of the link, Mbit/s
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    pub rates: Vec<f64>,
    /// Describes at each rate
    #[arg(long, default_value_t = 9)]
    pub tries: usize,
    /// How the link is made; default: tbf with --spawn, else relay
    #[arg(long, value_enum)]
    pub link: Option<Shaper>,
    /// By which protocol the pair is asked for
    #[arg(long, value_enum, default_value = "wmsp")]
    pub protocol: Protocol,
    /// The content that is asked for. With --spawn only port and path count, and the server must
    /// listen on all addresses. Default: /live on this host, at port 8080 with wmsp, else 1755
    #[arg(long)]
    pub url: Option<String>,
    /// Start this server: program and arguments, split at blanks
    #[arg(long)]
    pub spawn: Option<String>,
    /// Use the floor sender instead of a server (a check of the method)
    #[arg(long, conflicts_with = "spawn")]
    pub floor: bool,
    /// Also ask this `ringcast` for its probe's estimate
    #[arg(long)]
    pub probe: Option<String>,
    /// CPU of the client
    #[arg(long, default_value_t = 1)]
    pub cpu: usize,
    /// CPUs of the server
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub server_cpu: Vec<usize>,
    /// Fail if an estimate is further off than this, %
    #[arg(long, default_value_t = 10.0)]
    pub tolerance: f64,
    /// Write all numbers as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ScenarioArgs {
    /// Which; `list` prints their names
    pub name: String,
    #[command(flatten)]
    pub common: ScenarioCommon,
}

#[derive(Args)]
pub(super) struct TargetsArgs {
    /// Only these scenarios
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub common: ScenarioCommon,
}

#[derive(Args)]
pub(super) struct ScenarioCommon {
    /// The server's program; started as `PROGRAM serve --config FILE`
    #[arg(long, default_value = "target/release/ringcast")]
    pub server: PathBuf,
    /// Where content, configurations and logs are put; content is kept for the next time
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Length of the window that is measured (default 10 s, soak 10 min)
    #[arg(long, value_parser = duration)]
    pub seconds: Option<Duration>,
    /// How often server and floor are measured in turn
    #[arg(long, default_value_t = 2)]
    pub rounds: usize,
    /// Multiply numbers of sessions by this, for a quick trial
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// CPU of the swarm
    #[arg(long, default_value_t = 1)]
    pub cpu: usize,
    /// CPU of the server
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// Real-time priority (SCHED_FIFO) for the swarm and for what is started
    #[arg(long)]
    pub fifo: Option<i32>,
    /// Work in a network of its own (root), with reception charged to the swarm's CPU and an MTU
    /// of 1500: the nearest to a network card that loopback can be
    #[arg(long)]
    pub card: bool,
    /// Write all numbers as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ContentArgs {
    /// Directory to write to; made if it does not exist
    #[arg(long)]
    pub out: PathBuf,
    /// How many files
    #[arg(long, default_value_t = 1)]
    pub files: usize,
    /// Play time of each
    #[arg(long, default_value = "60", value_parser = duration)]
    pub seconds: Duration,
    /// bit/s of ASF packets
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(24_000..=50_000_000))]
    pub bit_rate: u32,
    /// Bytes of an ASF packet
    #[arg(long, default_value_t = 3200, value_parser = clap::value_parser!(u16).range(128..=60_000))]
    pub packet_size: u16,
    /// No video
    #[arg(long)]
    pub audio: bool,
    /// Equal seeds give equal files
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
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
}
