//! One measurement: the swarm against one process, and what that process and the machine paid.

use crate::bench::FLOOR;
use crate::probe;
use crate::procfs::{self, Cores, KernelMemory, Process};
use crate::swarm::{self, Moment, Outcome, Plan};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

/// What is measured.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Printed before its numbers.
    pub label: String,
    /// Process, if known.
    pub pid: Option<u32>,
    /// Its CPUs.
    pub cpus: Vec<usize>,
    /// Its admin port, for what only the server can count.
    pub admin: Option<SocketAddr>,
    /// Facts that cannot be seen from outside, as given.
    pub given: Given,
}

/// Facts about the sender, as given or read from its configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Given {
    /// Time between two sends to one session, ms.
    pub cadence_ms: Option<f64>,
    /// io_uring depth or the like.
    pub ring_depth: Option<String>,
    /// bit/s of the content.
    pub bit_rate: u32,
    /// Bytes of an ASF packet.
    pub packet_size: u32,
}

/// What the server paid in the window.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// CPU of the process, s, with that of `ksoftirqd` on its cores.
    pub process_s: f64,
    /// The part of `ksoftirqd`.
    pub ksoftirqd_s: f64,
    /// CPU of the process per 10^9 bytes delivered, s.
    pub process_s_per_gb: f64,
    /// Busy time of its cores per 10^9 bytes delivered, s: with the soft interrupts that are
    /// charged to nobody, and with other processes on these cores.
    pub cores_s_per_gb: f64,
    /// Share of the window in which its cores ran soft interrupts, %.
    pub softirq_percent: f64,
    /// Share of one core that the process used, %.
    pub percent_of_core: f64,
    /// Sessions that would fill a core at this price, counting process time.
    pub sessions_per_core: f64,
    /// Sleeps (voluntary context switches) per second.
    pub wakes_per_s: f64,
    /// Involuntary context switches per second.
    pub preempted_per_s: f64,
    /// TCP retransmissions per second, whole namespace.
    pub retransmissions_per_s: f64,
    /// CPU taken by the hypervisor, % of the window.
    pub steal_percent: f64,
}

/// Memory of the sessions: difference between before the first connect and the window's end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// Resident bytes of the process before.
    pub idle_rss: u64,
    /// When the window opened.
    pub window_rss: u64,
    /// When it closed.
    pub rss: u64,
    /// Difference for each session.
    pub rss_per_session: f64,
    /// Kernel memory for each session, both ends of the connection; the server's is about half.
    pub kernel_per_session_both_ends: f64,
}

/// What the server's kernel holds for slow sessions, bytes: queued data with its bookkeeping.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SlowQueue {
    /// Connections seen.
    pub connections: usize,
    /// Median.
    pub median: u64,
    /// Largest.
    pub max: u64,
}

/// Datagrams of the server in the window, as its metrics count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Datagrams {
    /// Sent.
    pub sent: f64,
    /// System calls for them.
    pub sends: f64,
    /// That its socket did not take.
    pub dropped: f64,
    /// Sent again because they were asked for.
    pub resends: f64,
}

impl Datagrams {
    /// System calls for each; `None`: nothing was sent.
    pub fn sends_each(&self) -> Option<f64> {
        (self.sent > 0.0).then(|| self.sends / self.sent)
    }

    fn in_metrics(text: &str) -> Option<Datagrams> {
        let count = |name| probe::metric(text, name);
        Some(Datagrams {
            sent: count("ringcast_datagrams_sent_total")?,
            sends: count("ringcast_datagram_sends_total")?,
            // There is no line before there is something to count.
            dropped: count("ringcast_datagrams_dropped_total").unwrap_or(0.0),
            resends: count("ringcast_resends_sent_total").unwrap_or(0.0),
        })
    }

    fn since(&self, earlier: &Datagrams) -> Datagrams {
        Datagrams {
            sent: self.sent - earlier.sent,
            sends: self.sends - earlier.sends,
            dropped: self.dropped - earlier.dropped,
            resends: self.resends - earlier.resends,
        }
    }
}

/// All numbers of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub label: String,
    /// Sessions asked for.
    pub sessions: usize,
    /// What the sessions saw.
    pub outcome: Outcome,
    /// Bytes of a receive call on average: an estimate of the bytes of a send, as the swarm reads
    /// sooner than the sender comes round again.
    pub bytes_per_receive: f64,
    /// Bytes of a send as the server counts them, from its metrics.
    pub bytes_per_send: Option<f64>,
    /// Received in the window, Mbit/s.
    pub mbit_per_s: f64,
    /// CPU of the swarm's thread, % of the window.
    pub swarm_percent: f64,
    /// The swarm itself was near its limit: lateness may be its own.
    pub swarm_limited: bool,
    /// What the server paid, if its process is known.
    pub cost: Option<Cost>,
    /// Ditto.
    pub memory: Option<Memory>,
    /// Jumps forward as the server counts them, from its metrics.
    pub skips_by_metrics: Option<f64>,
    /// Of media over UDP, between two questions right before and after the window.
    pub datagrams: Option<Datagrams>,
    /// If there were slow sessions.
    pub slow_queue: Option<SlowQueue>,
    /// Congestion control of the server's end of a sample session.
    pub congestion: Option<String>,
    /// As given.
    pub given: Given,
}

impl Measurement {
    /// Faults in the packets of sessions that read normally. The floor's identical bytes cannot
    /// start each session at sequence 0; that is no fault of it.
    pub fn server_faults(&self) -> u64 {
        let c = &self.outcome.checks;
        if self.label == FLOOR {
            c.faults() - c.sequence_starts
        } else {
            c.faults()
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Snapshot {
    process: Process,
    ksoftirqd_s: f64,
    cores: Cores,
    retransmissions: u64,
}

fn snapshot(subject: &Subject) -> Result<Snapshot, String> {
    Ok(Snapshot {
        process: match subject.pid {
            Some(pid) => Process::read(pid)?,
            None => Process::default(),
        },
        ksoftirqd_s: procfs::ksoftirqd_s(&subject.cpus),
        cores: Cores::read(&subject.cpus)?,
        retransmissions: procfs::retransmissions(),
    })
}

/// Run the swarm and account.
pub fn measure(plan: &Plan, subject: &Subject) -> Result<Measurement, String> {
    let port = plan.targets.first().ok_or("no target")?.addr.port();
    let idle = snapshot(subject)?;
    let idle_kernel = KernelMemory::read();
    let (mut open, mut close) = (idle, idle);
    let mut kernel = idle_kernel;
    let mut slow_queue = None;
    let mut congestion = None;
    let mut skips = None;
    let (mut before, mut after) = (None, None);
    let outcome = swarm::run(plan, |moment| {
        match moment {
            // Asking costs the server something: outside of the window.
            Moment::Nears => before = metrics(subject),
            Moment::Opens => open = snapshot(subject)?,
            Moment::Closes => {
                // Nobody reads now: what is asked first is the least disturbed.
                kernel = KernelMemory::read();
                close = snapshot(subject)?;
                after = metrics(subject);
                slow_queue = (plan.slow > 0).then(|| slow_queues(port)).flatten();
                congestion = congestion_of(port, plan.source(0));
                skips = skips_of(after.as_deref());
            }
            Moment::Drained => skips = skips_of(metrics(subject).as_deref()),
        }
        Ok(())
    })?;
    let gb = outcome.bytes as f64 / 1e9;
    let window = outcome.window_s.max(1e-9);
    let playing = outcome.streaming.max(1) as f64;
    let cost = subject
        .pid
        .map(|_| cost(&open, &close, gb, window, playing));
    let memory = subject.pid.map(|_| Memory {
        idle_rss: idle.process.rss,
        window_rss: open.process.rss,
        rss: close.process.rss,
        rss_per_session: (close.process.rss as f64 - idle.process.rss as f64) / playing,
        kernel_per_session_both_ends: kernel.since(&idle_kernel).max(0) as f64 / playing,
    });
    let swarm_percent = outcome.swarm_cpu_s / window * 100.0;
    Ok(Measurement {
        label: subject.label.clone(),
        sessions: plan.sessions,
        bytes_per_receive: outcome.bytes as f64 / outcome.receives.max(1) as f64,
        bytes_per_send: bytes_per_send(
            before.as_deref().and_then(sends_in),
            after.as_deref().and_then(sends_in),
        ),
        mbit_per_s: outcome.bytes as f64 * 8e-6 / window,
        swarm_percent,
        swarm_limited: swarm_percent > 85.0,
        cost,
        memory,
        skips_by_metrics: skips,
        datagrams: plan
            .protocol
            .over_udp()
            .then(|| datagrams(before.as_deref()?, after.as_deref()?))
            .flatten(),
        slow_queue,
        congestion,
        given: subject.given.clone(),
        outcome,
    })
}

fn cost(open: &Snapshot, close: &Snapshot, gb: f64, window: f64, playing: f64) -> Cost {
    let ksoftirqd_s = close.ksoftirqd_s - open.ksoftirqd_s;
    let process_s = close.process.cpu_s_since(&open.process) + ksoftirqd_s;
    let cores = close.cores.since(&open.cores);
    let per_s = |a: u64, b: u64| b.saturating_sub(a) as f64 / window;
    let per_gb = |s: f64| if gb > 0.0 { s / gb } else { 0.0 };
    Cost {
        process_s,
        ksoftirqd_s,
        process_s_per_gb: per_gb(process_s),
        cores_s_per_gb: per_gb(cores.busy_s),
        softirq_percent: cores.softirq_s / window * 100.0,
        percent_of_core: process_s / window * 100.0,
        sessions_per_core: if process_s > 0.0 {
            playing * window / process_s
        } else {
            0.0
        },
        wakes_per_s: per_s(open.process.voluntary, close.process.voluntary),
        preempted_per_s: per_s(open.process.involuntary, close.process.involuntary),
        retransmissions_per_s: per_s(open.retransmissions, close.retransmissions),
        steal_percent: cores.steal_s / window * 100.0,
    }
}

/// The server's metrics now.
fn metrics(subject: &Subject) -> Option<String> {
    let (_, text) = probe::get(subject.admin?, "/metrics").ok()?;
    Some(text)
}

fn datagrams(before: &str, after: &str) -> Option<Datagrams> {
    let (before, after) = (
        Datagrams::in_metrics(before)?,
        Datagrams::in_metrics(after)?,
    );
    Some(after.since(&before))
}

/// (bytes, sends) that the server has counted so far.
fn sends_in(text: &str) -> Option<(f64, f64)> {
    Some((
        probe::metric(text, "ringcast_point_bytes_total")?,
        probe::metric(text, "ringcast_point_lateness_seconds_count")?,
    ))
}

fn bytes_per_send(before: Option<(f64, f64)>, after: Option<(f64, f64)>) -> Option<f64> {
    let ((b0, s0), (b1, s1)) = (before?, after?);
    (s1 > s0).then(|| (b1 - b0) / (s1 - s0))
}

fn skips_of(metrics: Option<&str>) -> Option<f64> {
    probe::metric(metrics?, "ringcast_point_skips_total")
}

/// Slow sessions come from a net of their own. `None` without `ss`.
fn slow_queues(port: u16) -> Option<SlowQueue> {
    let out = Command::new("ss")
        .args(["-tnmH", "state", "established", "sport"])
        .arg(format!("= :{port}"))
        .args(["dst", "127.0.1.0/24"])
        .output()
        .ok()?;
    let mut held = held_in(&String::from_utf8_lossy(&out.stdout));
    held.sort_unstable();
    Some(SlowQueue {
        connections: held.len(),
        median: held.get(held.len() / 2).copied().unwrap_or(0),
        max: held.last().copied().unwrap_or(0),
    })
}

/// Memory of each socket: received (r), reserved (f), queued for sending (w), options (o) and
/// backlog (bl); the limits (rb, tb) and drops (d) are no memory, t is a part of w.
fn held_in(text: &str) -> Vec<u64> {
    text.split("skmem:(")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(fields, _)| {
            fields
                .split(',')
                .filter_map(|f| {
                    let number = f.find(|c: char| c.is_ascii_digit())?;
                    let (name, value) = f.split_at(number);
                    ["r", "f", "w", "o", "bl"]
                        .contains(&name)
                        .then(|| value.parse::<u64>().ok())?
                })
                .sum()
        })
        .collect()
}

/// Congestion control in force at the server's end, from `ss`, if that is installed.
fn congestion_of(port: u16, client: Ipv4Addr) -> Option<String> {
    let out = Command::new("ss")
        .args(["-tinH", "state", "established", "sport"])
        .arg(format!("= :{port}"))
        .args(["dst", &client.to_string()])
        .output()
        .ok()?;
    congestion_in(&String::from_utf8_lossy(&out.stdout))
}

fn congestion_in(text: &str) -> Option<String> {
    // The first word of the detail line, unless that is a flag such as "ts" or "sack".
    text.lines()
        .filter(|l| l.starts_with(char::is_whitespace))
        .flat_map(str::split_whitespace)
        .find(|w| ["cubic", "reno", "bbr", "dctcp", "vegas", "westwood"].contains(w))
        .map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices() {
        let open = Snapshot::default();
        let mut close = Snapshot::default();
        close.process.sched_s = 1.25;
        close.ksoftirqd_s = 0.25;
        close.process.voluntary = 1000;
        close.cores.busy_s = 2.0;
        let c = cost(&open, &close, 5.0, 10.0, 4000.0);
        assert!((c.process_s_per_gb - 0.3).abs() < 1e-9);
        assert!((c.cores_s_per_gb - 0.4).abs() < 1e-9);
        assert!((c.percent_of_core - 15.0).abs() < 1e-9);
        assert!((c.sessions_per_core - 26_666.6).abs() < 0.1);
        assert!((c.wakes_per_s - 100.0).abs() < 1e-9);
        let nothing = cost(&open, &close, 0.0, 10.0, 1.0);
        assert!(nothing.process_s_per_gb == 0.0);
    }

    #[test]
    fn sends_are_counted_by_difference() {
        let (before, after) = (Some((1000.0, 10.0)), Some((13_000.0, 12.0)));
        assert_eq!(bytes_per_send(before, after), Some(6000.0));
        assert_eq!(bytes_per_send(before, before), None);
        assert_eq!(bytes_per_send(None, after), None);
    }

    #[test]
    fn datagrams_and_calls_are_counted_by_difference() {
        let before = "ringcast_datagrams_sent_total 100\nringcast_datagram_sends_total 40\n";
        let after = "ringcast_datagrams_sent_total{core=\"0\"} 200\n\
                     ringcast_datagrams_sent_total{core=\"1\"} 300\n\
                     ringcast_datagram_sends_total 90\nringcast_datagrams_dropped_total 3\n\
                     ringcast_resends_sent_total 2\n";
        let d = datagrams(before, after).unwrap();
        assert_eq!(
            (d.sent, d.sends, d.dropped, d.resends),
            (400.0, 50.0, 3.0, 2.0)
        );
        assert_eq!(d.sends_each(), Some(0.125));
        assert_eq!(datagrams("", after), None);
        assert_eq!(Datagrams::default().sends_each(), None);
    }

    #[test]
    fn held_memory_is_without_limits() {
        let text = "0 9 127.0.0.1:80 127.0.1.2:4\n\t skmem:(r1,rb131072,t5,tb500000,f10,w300,\
                    o4000,bl20000,d7)\n0 9 127.0.0.1:80 127.0.1.2:5\n\t skmem:(r0,rb1,t0,tb2,f0,\
                    w7,o0,bl0,d0)\n";
        assert_eq!(held_in(text), [24_311, 7]);
        assert!(held_in("").is_empty());
    }

    #[test]
    fn congestion_is_found_behind_flags() {
        let text = "0 0 127.0.0.1:8080 127.0.0.2:40000\n\t ts sack cubic wscale:7,7 rto:204\n";
        assert_eq!(congestion_in(text).as_deref(), Some("cubic"));
        assert_eq!(congestion_in(""), None);
    }
}
