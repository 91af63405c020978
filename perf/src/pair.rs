//! Packet pair: what a client would take its link for, at links of known rates
//! (bandwidth-and-start.md 2.1, 2.4 and 3).

mod between;
mod mmsp;
mod wmsp;

pub use between::{Subjects, between, tbf_frame};

use crate::link::{IP_TCP_HEADERS, Relay};
use crate::swarm::{Protocol, Target};
use crate::sys::{self, Placement};
use crate::{probe, stats};
use serde::Serialize;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE_NS: u64 = 3_000_000_000;

/// When the last bytes of the first two packets arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    /// ns.
    at: [u64; 2],
    /// Bytes of the second on the wire, without lower headers.
    bytes: u64,
    /// They were read too late to be told apart, or have no times.
    late: bool,
}

impl Pair {
    /// bit/s between them; `None` if they came as one.
    fn rate(&self, headers: u64) -> Option<f64> {
        let [first, second] = self.at;
        let elapsed = second.checked_sub(first).filter(|&d| d > 0)?;
        Some((self.bytes + headers) as f64 * 8e9 / elapsed as f64)
    }
}

/// What is not asked for here.
pub const NO_PAIR: &str = "packet pairs are asked for over wmsp, mmst and mmsu only";

/// Moves the link while somebody waits at its end.
type Pump<'a> = dyn FnMut() -> Result<(), String> + 'a;

/// Ask for one packet pair. Times are those at which segments reached this host; spins while it
/// waits, so that segments are read apart.
fn ask(target: &Target, protocol: Protocol, pump: &mut Pump) -> Result<Pair, String> {
    match protocol {
        Protocol::Wmsp => wmsp::ask(target, pump),
        Protocol::Mmst => mmsp::ask(target, false, pump),
        Protocol::Mmsu => mmsp::ask(target, true, pump),
        Protocol::Rtspt | Protocol::Rtspu => Err(NO_PAIR.into()),
    }
}

/// A connection that does not wait and notes arrivals.
fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target.addr, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    sys::stamp_arrivals(stream.as_raw_fd())?;
    Ok(stream)
}

/// How the link is made slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Shaper {
    /// The kernel's token bucket between two network namespaces. Needs root.
    Tbf,
    /// A link in user space between two network namespaces. Needs root.
    Wire,
    /// The relay in user space.
    Relay,
}

/// Result at one rate.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// Rate of the link, bit/s.
    pub link: u64,
    /// How it was made.
    pub shaper: Shaper,
    /// Bytes of headers that the link counts for each segment.
    pub headers: u64,
    /// Median of the estimates, bit/s.
    pub median: f64,
    /// Smallest and largest.
    pub range: (f64, f64),
    /// Median against the link, %.
    pub error_percent: f64,
    /// Estimates that count.
    pub estimates: usize,
    /// The first two packets came in one read although nothing on the way joined them: the server
    /// does not keep them in segments of their own.
    pub unsegmented: usize,
    /// Tries that do not count as the relay itself was too slow to tell segments apart.
    pub unusable: usize,
    /// What `ringcast probe` says at the same link.
    pub probe: Option<Probed>,
}

/// What several runs of `ringcast probe` say.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Probed {
    /// Median, bit/s.
    pub median: f64,
    /// Smallest and largest.
    pub range: (f64, f64),
    /// How many.
    pub runs: usize,
}

/// What is measured and how.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Link rates, bit/s.
    pub rates: Vec<u64>,
    /// Tries at each.
    pub tries: usize,
    /// By which protocol.
    pub protocol: Protocol,
    /// Path on the server.
    pub path: String,
    /// `ringcast`, to ask its probe too.
    pub probe: Option<String>,
    /// Where the server and what belongs to it runs.
    pub placement: Placement,
}

/// Through the relay, to a server that runs at `server`.
pub fn through_relay(e: &Experiment, server: SocketAddr) -> Result<Vec<Estimate>, String> {
    if e.protocol.over_udp() {
        return Err("the relay carries no datagrams: links between namespaces do".into());
    }
    let each = |&rate: &u64| {
        let mut relay = Relay::new(server, rate).map_err(|e| format!("relay: {e}"))?;
        let target = probe::target(&e.protocol.url(relay.addr, &e.path), e.protocol)?;
        collect(e, rate, Shaper::Relay, &target, Some(&mut relay))
    };
    e.rates.iter().map(each).collect()
}

/// Ethernet 14, IPv4 20, TCP 20 and 12 for its time stamps: what links between namespaces count.
const FRAME_HEADERS: u64 = 66;
/// Ethernet 14, IPv4 20, UDP 8.
const DATAGRAM_HEADERS: u64 = 42;

fn collect(
    e: &Experiment,
    link: u64,
    shaper: Shaper,
    target: &Target,
    mut relay: Option<&mut Relay>,
) -> Result<Estimate, String> {
    let headers = match shaper {
        Shaper::Relay => IP_TCP_HEADERS,
        Shaper::Tbf | Shaper::Wire if e.protocol.over_udp() => DATAGRAM_HEADERS,
        Shaper::Tbf | Shaper::Wire => FRAME_HEADERS,
    };
    let mut rates = Vec::new();
    let (mut unsegmented, mut unusable) = (0, 0);
    // The kernel notes times only while some socket wants them, and turns to it at leisure.
    let keep = UdpSocket::bind(("127.0.0.1", 0)).map_err(|e| format!("time stamps: {e}"))?;
    sys::stamp_arrivals(keep.as_raw_fd()).map_err(|e| format!("time stamps: {e}"))?;
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..e.tries * 3 {
        if rates.len() == e.tries {
            break;
        }
        let pair = ask(target, e.protocol, &mut || pump(relay.as_deref_mut()))?;
        // The relay has to see the end of the connection.
        for _ in 0..4 {
            pump(relay.as_deref_mut())?;
        }
        let merged = relay.as_deref_mut().map_or(0, Relay::take_merged);
        match pair.rate(headers) {
            _ if pair.late || merged > 0 => unusable += 1,
            Some(rate) => rates.push(rate),
            None => unsegmented += 1,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    rates.sort_unstable_by(f64::total_cmp);
    let median = stats::median(&rates);
    Ok(Estimate {
        link,
        shaper,
        headers,
        median,
        range: ends(&rates),
        error_percent: (median / link as f64 - 1.0) * 100.0,
        estimates: rates.len(),
        unsegmented,
        unusable,
        probe: match &e.probe {
            Some(program) => Some(ask_probes(e, program, target, relay)?),
            None => None,
        },
    })
}

fn ends(sorted: &[f64]) -> (f64, f64) {
    let end = |v: Option<&f64>| v.copied().unwrap_or(0.0);
    (end(sorted.first()), end(sorted.last()))
}

fn ask_probes(
    e: &Experiment,
    program: &str,
    target: &Target,
    mut relay: Option<&mut Relay>,
) -> Result<Probed, String> {
    // The relay does not share its CPU.
    let placement = match &relay {
        Some(_) => e.placement.clone(),
        None => Placement::default(),
    };
    let one = |_| {
        ask_probe(
            program,
            e.protocol,
            target,
            &placement,
            relay.as_deref_mut(),
        )
    };
    let mut rates = (0..e.tries).map(one).collect::<Result<Vec<_>, _>>()?;
    rates.sort_unstable_by(f64::total_cmp);
    Ok(Probed {
        median: stats::median(&rates),
        range: ends(&rates),
        runs: rates.len(),
    })
}

fn pump(relay: Option<&mut Relay>) -> Result<(), String> {
    match relay {
        Some(relay) => relay.pump().map_err(|e| format!("relay: {e}")),
        None => {
            // The other end may be on this CPU.
            std::thread::yield_now();
            Ok(())
        }
    }
}

/// What one `ringcast probe` reports as packet pair.
fn ask_probe(
    program: &str,
    protocol: Protocol,
    target: &Target,
    placement: &Placement,
    mut relay: Option<&mut Relay>,
) -> Result<f64, String> {
    let url = protocol.url(target.addr, &target.path);
    let fault = |e: io::Error| format!("{program}: {e}");
    let mut command = Command::new(program);
    command
        .args(["probe", "--json", "--packet-pair", "true", "--no-log"])
        .args(["--duration", "300ms", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    sys::place(&mut command, placement).map_err(fault)?;
    let mut child = command.spawn().map_err(fault)?;
    while relay.is_some() && child.try_wait().map_err(fault)?.is_none() {
        pump(relay.as_deref_mut())?;
    }
    let out = child.wait_with_output().map_err(fault)?;
    let value: serde_json::Value = serde_json::from_slice(&out.stdout)
        .map_err(|e| format!("{program} probe --json {url}: {e}"))?;
    value["packet_pair_bps"]
        .as_f64()
        .ok_or_else(|| format!("{program} probe --json {url}: no packet_pair_bps"))
}

/// As a table.
pub fn table(estimates: &[Estimate]) -> String {
    let mut s = String::from(
        "link Mbit/s   estimate   from - to         error   of   unsegmented   unusable   probe\n",
    );
    for e in estimates {
        let mbit = |v: f64| format!("{:.3}", v / 1e6);
        s += &format!(
            "{:>11}   {:>8}   {:<16}  {:>5.1}%   {:>2}   {:>11}   {:>8}   {}\n",
            mbit(e.link as f64),
            mbit(e.median),
            format!("{} - {}", mbit(e.range.0), mbit(e.range.1)),
            e.error_percent,
            e.estimates,
            e.unsegmented,
            e.unusable,
            e.probe.map_or("-".into(), |p| mbit(p.median))
        );
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_gives_the_rate() {
        let mut pair = Pair {
            at: [1_000_000, 5_416_000],
            bytes: 512,
            late: false,
        };
        // 552 bytes in 4.416 ms.
        assert!((pair.rate(40).unwrap() - 1e6).abs() < 1.0);
        pair.at[1] = pair.at[0];
        assert_eq!(pair.rate(40), None);
    }
}
