//! Packet pair: what a client would take its link for, at links of known rates
//! (bandwidth-and-start.md 2.1 and 3).

mod between;

pub use between::{Subjects, TBF_FRAME, between};

use crate::link::{IP_TCP_HEADERS, Relay};
use crate::media::{Player, Subject};
use crate::swarm::Target;
use crate::sys::{self, Placement};
use crate::wmsp;
use crate::{probe, stats};
use serde::Serialize;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE_NS: u64 = 3_000_000_000;

/// When the last byte of each `$P` arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// ns.
    pub at: [u64; 3],
    /// Bytes of each on the wire, without lower headers.
    pub size: [usize; 3],
}

impl Arrivals {
    /// bit/s between the first and the second; `None` if they came in one read.
    pub fn rate(&self, headers: u64) -> Option<f64> {
        rate(self.at[0], self.at[1], self.size[1] as u64 + headers)
    }
}

fn rate(from_ns: u64, to_ns: u64, bytes: u64) -> Option<f64> {
    let elapsed = to_ns.checked_sub(from_ns).filter(|&d| d > 0)?;
    Some(bytes as f64 * 8e9 / elapsed as f64)
}

/// Reads a Describe reply as it arrives and notes when each `$P` was complete.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    /// (bytes so far, time) after every read.
    marks: Vec<(usize, u64)>,
}

impl Reader {
    fn push(&mut self, bytes: &[u8], now_ns: u64) {
        self.bytes.extend_from_slice(bytes);
        self.marks.push((self.bytes.len(), now_ns));
    }

    /// `None`: not complete yet.
    fn arrivals(&self) -> Result<Option<Arrivals>, String> {
        let Some(head) = wmsp::response_head(&self.bytes)? else {
            return Ok(None);
        };
        if head.status != 200 {
            return Err(format!("Describe: status {}", head.status));
        }
        if !head.packet_pair {
            return Err("the server did not grant packet-pair-experiment".into());
        }
        let expect = head.len.min(504);
        let sizes = [512 - expect, 512, 1056 + expect];
        let mut found = Arrivals {
            at: [0; 3],
            size: sizes,
        };
        let mut end = head.len;
        for (i, (size, length)) in sizes.into_iter().zip([504u16, 504, 1048]).enumerate() {
            let start = end;
            end += size;
            let Some(packet) = self.bytes.get(start..end) else {
                return Ok(None);
            };
            check_pair_packet(packet, length, expect)
                .map_err(|e| format!("$P {} at offset {start}: {e}", i + 1))?;
            found.at[i] = self.marks.iter().find(|m| m.0 >= end).map_or(0, |m| m.1);
        }
        Ok(Some(found))
    }
}

// WMSP-22
fn check_pair_packet(packet: &[u8], length: u16, reason: usize) -> Result<(), String> {
    let [b'$', b'P', a, b, r0, r1, r2, r3, ..] = *packet else {
        return Err("not a $P".into());
    };
    let (len, r) = (
        u16::from_le_bytes([a, b]),
        u32::from_le_bytes([r0, r1, r2, r3]),
    );
    if len != length || r as usize != reason {
        return Err(format!(
            "PacketLength {len} and Reason {r}, expected {length} and {reason}"
        ));
    }
    Ok(())
}

/// Moves the link while somebody waits at its end.
type Pump<'a> = dyn FnMut() -> Result<(), String> + 'a;

/// One Describe with packet pair. Times are those at which segments reached this host; spins while
/// it waits, so that segments are read apart. The second value: they were not, or have no times.
fn ask(target: &Target, pump: &mut Pump) -> Result<(Arrivals, bool), String> {
    let fault = |e: io::Error| format!("{}: {e}", target.addr);
    let stream = TcpStream::connect_timeout(&target.addr, Duration::from_secs(5)).map_err(fault)?;
    stream.set_nodelay(true).map_err(fault)?;
    stream.set_nonblocking(true).map_err(fault)?;
    sys::stamp_arrivals(stream.as_raw_fd()).map_err(fault)?;
    let text = wmsp::describe(
        &Subject {
            target: &target.path,
            authority: &target.authority,
            player: Player::Nine,
            session: 0xF000_0001,
        },
        true,
    );
    let fd = stream.as_raw_fd();
    sys::send(fd, text.as_bytes()).map_err(fault)?;
    let mut reader = Reader::default();
    let mut buffer = [0; 4096];
    let begun = sys::now_ns();
    let mut late = false;
    loop {
        match sys::recv_stamped(fd, &mut buffer) {
            Ok((0, _)) => return Err("closed before three $P".into()),
            Ok((n, stamp)) => {
                late |= stamp.is_none();
                reader.push(&buffer[..n], stamp.unwrap_or(0));
                if let Some(found) = reader.arrivals()? {
                    return Ok((found, late));
                }
                // The pair in one read is the server's doing only if it was one segment.
                let segments = sys::data_segments_in(fd).map_err(fault)?;
                late |= reader.marks.len() == 1 && segments > 1 && n > 512;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                pump()?;
                if sys::now_ns() - begun > PATIENCE_NS {
                    return Err("three $P did not arrive in time".into());
                }
            }
            Err(e) => return Err(fault(e)),
        }
    }
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
    /// Path on the server.
    pub path: String,
    /// `ringcast`, to ask its probe too.
    pub probe: Option<String>,
    /// Where the server and what belongs to it runs.
    pub placement: Placement,
}

/// Through the relay, to a server that runs at `server`.
pub fn through_relay(e: &Experiment, server: SocketAddr) -> Result<Vec<Estimate>, String> {
    let each = |&rate: &u64| {
        let mut relay = Relay::new(server, rate).map_err(|e| format!("relay: {e}"))?;
        let target = probe::target(&format!("http://{}{}", relay.addr, e.path))?;
        collect(e, rate, Shaper::Relay, &target, Some(&mut relay))
    };
    e.rates.iter().map(each).collect()
}

/// Ethernet 14, IPv4 20, TCP 20 and 12 for its time stamps: what links between namespaces count.
const FRAME_HEADERS: u64 = 66;
fn collect(
    e: &Experiment,
    link: u64,
    shaper: Shaper,
    target: &Target,
    mut relay: Option<&mut Relay>,
) -> Result<Estimate, String> {
    let headers = match shaper {
        Shaper::Relay => IP_TCP_HEADERS,
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
        let (arrivals, late) = ask(target, &mut || pump(relay.as_deref_mut()))?;
        // The relay has to see the end of the connection.
        for _ in 0..4 {
            pump(relay.as_deref_mut())?;
        }
        let merged = relay.as_deref_mut().map_or(0, Relay::take_merged);
        match arrivals.rate(headers) {
            _ if late || merged > 0 => unusable += 1,
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
    let one = |_| ask_probe(program, target, &placement, relay.as_deref_mut());
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
    target: &Target,
    placement: &Placement,
    mut relay: Option<&mut Relay>,
) -> Result<f64, String> {
    let url = format!("http://{}{}", target.addr, target.path);
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

    fn reply(pair: &str) -> (Vec<u8>, usize) {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\nPragma: no-cache{pair}\r\n\r\n");
        let r = head.len();
        let mut bytes = head.into_bytes();
        for (len, payload) in [(504u16, 504 - r), (504, 504), (1048, 1048 + r)] {
            bytes.extend([b'$', b'P']);
            bytes.extend(len.to_le_bytes());
            bytes.extend((r as u32).to_le_bytes());
            bytes.resize(bytes.len() + payload, 0x5A);
        }
        (bytes, r)
    }

    // WMSP-22: 512, 512 and 1056 + R bytes, 2080 without the head.
    #[test]
    fn sizes_follow_the_head() {
        let (bytes, r) = reply(",packet-pair-experiment=1");
        assert_eq!(bytes.len(), r + 2080);
        let mut reader = Reader::default();
        reader.push(&bytes[..512], 1_000_000);
        assert_eq!(reader.arrivals(), Ok(None));
        reader.push(&bytes[512..1024], 5_416_000);
        reader.push(&bytes[1024..], 20_000_000);
        let a = reader.arrivals().unwrap().unwrap();
        assert_eq!(a.at, [1_000_000, 5_416_000, 20_000_000]);
        assert_eq!(a.size, [512 - r, 512, 1056 + r]);
        // 552 bytes in 4.416 ms.
        assert!((a.rate(40).unwrap() - 1e6).abs() < 1.0);
    }

    #[test]
    fn one_read_for_both_gives_no_estimate() {
        let (bytes, _) = reply(",packet-pair-experiment=1");
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        assert_eq!(reader.arrivals().unwrap().unwrap().rate(40), None);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let (bytes, _) = reply("");
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        assert!(reader.arrivals().unwrap_err().contains("grant"));
        let (mut bytes, r) = reply(",packet-pair-experiment=1");
        bytes[r + 512 - r + 2] = 0;
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        let e = reader.arrivals().unwrap_err();
        assert!(e.contains("$P 2 at offset 512"), "{e}");
    }
}
