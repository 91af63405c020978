//! The swarm: very many player sessions on one thread. One epoll set, one receive buffer, no
//! allocation per packet; of the media only heads are looked at.

mod ages;
mod checks;
mod crowd;
mod datagrams;
mod session;
mod speech;

use crate::encoder::Pushed;
use crate::media::Player;
use crate::stats::Percentiles;
use crate::sys;
pub use ages::Ages;
pub use checks::Checks;
use crowd::Crowd;
pub use datagrams::Received;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Sessions per source address: below the limit that a server has by default for one address.
const SESSIONS_PER_ADDRESS: usize = 900;

/// How media is asked for. What differs is the dialogue before media and the framing, see `speech`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// ASF over HTTP.
    #[default]
    Wmsp,
    /// MMS over TCP.
    Mmst,
    /// MMS with media over UDP.
    Mmsu,
    /// RTSP with media over TCP, interleaved.
    Rtspt,
    /// RTSP with media over UDP.
    Rtspu,
}

impl Protocol {
    /// Where servers listen if a URL does not say.
    pub fn default_port(self) -> u16 {
        match self {
            Protocol::Wmsp => 80,
            Protocol::Mmst | Protocol::Mmsu => 1755,
            Protocol::Rtspt | Protocol::Rtspu => 554,
        }
    }

    /// Media comes as datagrams.
    pub fn over_udp(self) -> bool {
        match self {
            Protocol::Wmsp | Protocol::Mmst | Protocol::Rtspt => false,
            Protocol::Mmsu | Protocol::Rtspu => true,
        }
    }

    /// Of the RTSP family.
    pub fn is_rtsp(self) -> bool {
        matches!(self, Protocol::Rtspt | Protocol::Rtspu)
    }

    /// The largest sequence of its packets.
    fn sequence_max(self) -> u16 {
        if self.is_rtsp() {
            u16::MAX
        } else {
            u8::MAX.into()
        }
    }

    /// How often a session must say that it lives while it gets media.
    fn keep_alive(self) -> Option<Duration> {
        (self == Protocol::Rtspu).then_some(Duration::from_secs(30))
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Wmsp => "wmsp",
            Protocol::Mmst => "mmst",
            Protocol::Mmsu => "mmsu",
            Protocol::Rtspt => "rtspt",
            Protocol::Rtspu => "rtspu",
        }
    }

    /// Its URL of something.
    pub fn url(self, host: impl std::fmt::Display, path: &str) -> String {
        let scheme = match self {
            Protocol::Wmsp => "http",
            _ => self.name(),
        };
        format!("{scheme}://{host}{path}")
    }

    /// Schemes of its URLs.
    pub fn schemes(self) -> &'static [&'static str] {
        match self {
            Protocol::Wmsp => &["mmsh", "mms", "http"],
            Protocol::Mmst => &["mms", "mmst"],
            Protocol::Mmsu => &["mms", "mmsu"],
            Protocol::Rtspt => &["rtsp", "rtspt"],
            Protocol::Rtspu => &["rtsp", "rtspu"],
        }
    }
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Target {
    /// Server.
    pub addr: SocketAddr,
    /// For the Host header.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// What the swarm does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Session i plays target i modulo their number.
    pub targets: Vec<Target>,
    /// How many sessions.
    pub sessions: usize,
    /// All connects are spread over this time.
    pub ramp: Duration,
    /// Give up waiting for media after the ramp and this time.
    pub settle: Duration,
    /// Between the last session's first media and the window.
    pub warm_up: Duration,
    /// Length of the window.
    pub window: Duration,
    /// How.
    pub protocol: Protocol,
    /// As whom.
    pub player: Player,
    /// Each session asks with Describe first.
    pub describe: bool,
    /// Of RTSP: sessions ask for LocationIds, which players do not.
    pub locid: bool,
    /// Streams to select.
    pub streams: Vec<u8>,
    /// Full size of an ASF packet, from the header; larger `$D` are faults.
    pub packet_size: u32,
    /// One timeline shared by all (live) or one per session (on demand).
    pub live: bool,
    /// On demand: session i starts at i * 7919 ms modulo this.
    pub start_spread_ms: u32,
    /// The last `slow` sessions read slowly.
    pub slow: usize,
    /// Bytes per second that a slow session reads.
    pub slow_bytes_per_s: f64,
    /// When an encoder pushed what is played, if one does.
    pub pushed: Option<Arc<Pushed>>,
}

impl Plan {
    /// True for the last `slow` sessions.
    pub fn is_slow(&self, session: usize) -> bool {
        session >= self.sessions - self.slow
    }

    /// Source address of a session; slow ones have a net of their own so that the server's
    /// queues toward them can be told apart. With media over UDP every session has one of its
    /// own, as few ports are to serve all.
    pub fn source(&self, session: usize) -> Ipv4Addr {
        if self.protocol.over_udp() {
            return datagrams::address(session);
        }
        let host = 2 + (session / SESSIONS_PER_ADDRESS) as u8;
        Ipv4Addr::new(127, 0, u8::from(self.is_slow(session)), host)
    }

    /// Descriptors that the sessions need.
    pub fn descriptors(&self) -> usize {
        let ports = if self.protocol.over_udp() {
            datagrams::ports(self)
        } else {
            0
        };
        self.sessions + ports
    }
}

/// When the swarm is where; the observer reads the server's counters then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All sessions play, warm-up is over. The place for questions that take time.
    Nears,
    /// The window opens; what is done here delays its first packets.
    Opens,
    /// The sessions are still open.
    Closes,
    /// The slow sessions have read what waited for them.
    Drained,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Sessions that played when the window opened.
    pub streaming: usize,
    /// Sessions that never got media.
    pub failed: usize,
    /// Sessions that had media and lost the connection before the end.
    pub lost: usize,
    /// Sessions that came to their end.
    pub ended: usize,
    /// Live sessions that played to no end and got nothing in the last two seconds.
    pub silent: usize,
    /// Reasons of failures and losses.
    pub reasons: BTreeMap<String, usize>,
    /// Length of the window as measured, s.
    pub window_s: f64,
    /// Bytes received in the window, by all sessions.
    pub bytes: u64,
    /// Packets of media in the window.
    pub packets: u64,
    /// Receive calls with data in the window.
    pub receives: u64,
    /// CPU of the swarm's thread in the window, s.
    pub swarm_cpu_s: f64,
    /// Lateness on the live timeline, sessions that read normally.
    pub lateness_ms: Percentiles,
    /// Lateness on each session's own timeline, ditto.
    pub own_lateness_ms: Percentiles,
    /// Lateness of the slow sessions.
    pub slow_lateness_ms: Percentiles,
    /// Live timelines seen; more than one means that the source was restarted.
    pub timelines: usize,
    /// Packets too early to be placed.
    pub unplaced: u64,
    /// Connect to first byte of media.
    pub first_media_ms: Percentiles,
    /// Connect to the end of the response head.
    pub response_ms: Percentiles,
    /// Packet checks of sessions that read normally.
    pub checks: Checks,
    /// Packet checks of the slow ones.
    pub slow_checks: Checks,
    /// Slow sessions that were moved forward at least once.
    pub slow_moved: usize,
    /// Packet numbers that slow sessions were moved to.
    #[serde(skip)]
    pub landings: Vec<u32>,
    /// From the first connect to the last session's first media, s.
    pub settled_s: f64,
    /// Of media over UDP: what the swarm's own sockets did.
    pub received: Option<Received>,
    /// Of media that an encoder pushes: its age on arrival.
    pub ages: Option<Ages>,
}

impl Outcome {
    /// Sessions that did not get what they asked for, as far as they got on.
    pub fn unserved(&self) -> usize {
        self.failed + self.lost + self.silent
    }
}

/// After questions before the window, what waited meanwhile is read.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Behind the window, for what waits in the server's and the own kernel's queues.
const DRAIN: Duration = Duration::from_secs(2);
/// Behind the window, for packets that were pushed in it and are still on their way.
const TAIL: Duration = Duration::from_secs(1);

/// Run it. `observe` is called at every [`Moment`].
pub fn run(
    plan: &Plan,
    mut observe: impl FnMut(Moment) -> Result<(), String>,
) -> Result<Outcome, String> {
    let mut swarm = Crowd::new(plan).map_err(|e| format!("cannot make an epoll set: {e}"))?;
    let start = sys::now_ns();
    swarm.start_ns = start;
    let give_up = start + nanos(plan.ramp) + nanos(plan.settle);
    while !swarm.settled() && sys::now_ns() < give_up {
        swarm.round(Duration::from_millis(20))?;
    }
    swarm.abandon_waiting("no media in time");
    let settled_s = (sys::now_ns() - start) as f64 / 1e9;
    swarm.run_for(plan.warm_up)?;

    observe(Moment::Nears)?;
    swarm.run_for(CATCH_UP)?;
    observe(Moment::Opens)?;
    let streaming = swarm.ledger.playing;
    let cpu = sys::thread_cpu_ns();
    let opened = sys::now_ns();
    swarm.ledger.record = true;
    if let Some(ages) = &mut swarm.ledger.ages {
        ages.open(opened, opened + nanos(plan.window));
    }
    swarm.run_for(plan.window)?;
    swarm.ledger.record = false;
    let closed = sys::now_ns();
    let swarm_cpu_s = (sys::thread_cpu_ns() - cpu) as f64 / 1e9;
    let silent = swarm.silent(closed);
    observe(Moment::Closes)?;
    if plan.pushed.is_some() {
        swarm.run_for(TAIL)?;
    }
    if plan.slow > 0 {
        // At 6 % of the rate a session would come to its first gap after a minute.
        swarm.drain = true;
        swarm.run_for(DRAIN)?;
        observe(Moment::Drained)?;
    }

    let received = swarm.received()?;
    let l = swarm.ledger;
    Ok(Outcome {
        streaming,
        failed: l.failed,
        lost: l.lost,
        ended: l.ended,
        silent,
        reasons: l.reasons,
        window_s: (closed - opened) as f64 / 1e9,
        bytes: l.bytes,
        packets: l.packets,
        receives: l.receives,
        swarm_cpu_s,
        lateness_ms: l.timelines.percentiles(),
        own_lateness_ms: l.own.percentiles(),
        slow_lateness_ms: l.slow.percentiles(),
        timelines: l.timelines.count(),
        unplaced: l.timelines.unplaced(),
        first_media_ms: l.first_media.percentiles(),
        response_ms: l.response.percentiles(),
        checks: l.checks,
        slow_checks: l.slow_checks,
        slow_moved: l.slow_moved,
        landings: l.landings,
        settled_s,
        received,
        ages: l.ages.map(|a| a.ages(streaming)),
    })
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::{self, Sending, Settings};
    use crate::probe;

    /// A floor sender on a thread that ends with the test's process.
    fn floor_url(bit_rate: u32, protocol: Protocol, sending: Sending) -> String {
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bit_rate,
            packet_size: 1000,
            cadence: Duration::from_millis(20),
            congestion: "cubic".into(),
            protocol,
            sending,
        };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || floor::serve(&settings, |port| tell.send(port).unwrap()));
        let port = told.recv().unwrap();
        protocol.url(format!("127.0.0.1:{port}"), "/x")
    }

    fn plan(url: &str, protocol: Protocol) -> Plan {
        let target = probe::target(url, protocol).unwrap();
        let facts = probe::header(&target, protocol, Player::Nine).unwrap();
        Plan {
            targets: vec![target],
            sessions: 12,
            ramp: Duration::from_millis(20),
            settle: Duration::from_secs(20),
            warm_up: Duration::ZERO,
            window: Duration::from_millis(300),
            protocol,
            player: Player::Nine,
            describe: false,
            locid: false,
            streams: facts.streams,
            packet_size: facts.packet_size,
            live: true,
            start_spread_ms: 0,
            slow: 0,
            slow_bytes_per_s: 0.0,
            pushed: None,
        }
    }

    fn play(plan: &Plan) -> Outcome {
        let mut moments = Vec::new();
        let o = run(plan, |m| {
            moments.push(m);
            Ok(())
        })
        .unwrap();
        assert_eq!(moments, [Moment::Nears, Moment::Opens, Moment::Closes]);
        assert_eq!((o.streaming, o.failed, o.lost), (12, 0, 0), "{o:?}");
        assert_eq!(o.checks.faults(), o.checks.sequence_starts, "{o:?}");
        assert!(o.packets > 0 && o.bytes >= o.packets * 1000, "{o:?}");
        assert_eq!(o.lateness_ms.count, o.packets);
        assert_eq!((o.timelines, o.first_media_ms.count), (1, 12));
        assert_eq!((o.silent, o.response_ms.count), (0, 12));
        o
    }

    #[test]
    fn all_sessions_play_and_are_checked() {
        let url = floor_url(1_000_000, Protocol::Wmsp, Sending::Sendto);
        for (describe, player) in [
            (false, Player::Nine),
            (true, Player::Nine),
            (true, Player::Legacy),
        ] {
            let o = play(&Plan {
                describe,
                player,
                ..plan(&url, Protocol::Wmsp)
            });
            assert!(o.received.is_none());
        }
    }

    #[test]
    fn all_play_over_mms_and_tcp() {
        let url = floor_url(1_000_000, Protocol::Mmst, Sending::Sendto);
        for player in [Player::Nine, Player::Legacy] {
            play(&Plan {
                player,
                ..plan(&url, Protocol::Mmst)
            });
        }
    }

    #[test]
    fn all_play_over_datagrams_however_they_are_sent() {
        for sending in [Sending::Sendto, Sending::Sendmmsg, Sending::Gso] {
            let url = floor_url(1_000_000, Protocol::Mmsu, sending);
            let o = play(&plan(&url, Protocol::Mmsu));
            let c = &o.checks;
            assert_eq!((c.lost, c.skipped, c.duplicates), (0, 0, 0), "{sending:?}");
            let received = o.received.unwrap();
            assert_eq!((received.sockets, received.strangers), (12, 0));
            assert_eq!(received.socket_drops, 0);
        }
    }

    #[test]
    fn all_play_over_rtsp_with_and_without_location_ids() {
        let url = floor_url(1_000_000, Protocol::Rtspt, Sending::Sendto);
        for locid in [false, true] {
            let o = play(&Plan {
                locid,
                ..plan(&url, Protocol::Rtspt)
            });
            assert_eq!(o.checks.faults(), 0, "{o:?}");
        }
        for sending in [Sending::Sendto, Sending::Sendmmsg, Sending::Gso] {
            let url = floor_url(1_000_000, Protocol::Rtspu, sending);
            let o = play(&plan(&url, Protocol::Rtspu));
            let c = &o.checks;
            assert_eq!((c.lost, c.duplicates, c.faults()), (0, 0, 0), "{sending:?}");
            assert_eq!(o.received.unwrap().strangers, 0);
        }
    }

    #[test]
    fn slow_sessions_are_counted_apart() {
        let url = floor_url(8_000_000, Protocol::Wmsp, Sending::Sendto);
        let plan = Plan {
            slow: 4,
            slow_bytes_per_s: 60_000.0,
            ..plan(&url, Protocol::Wmsp)
        };
        let o = run(&plan, |_| Ok(())).unwrap();
        assert_eq!(o.streaming, 12, "{o:?}");
        let normal = o.own_lateness_ms.count / 8;
        let slow = o.slow_lateness_ms.count / 4;
        assert!(slow > 0 && slow < normal / 2, "{slow} of {normal}");
        // At the end they catch up with what waited for them.
        let (normal, slow) = (o.checks.packets / 8, o.slow_checks.packets / 4);
        assert!(slow * 10 > normal * 9, "{slow} of {normal}");
    }

    #[test]
    fn refusals_are_told_with_their_reason() {
        // A port that was free a moment ago.
        let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = gone.local_addr().unwrap();
        let url = floor_url(1_000_000, Protocol::Wmsp, Sending::Sendto);
        let mut plan = plan(&url, Protocol::Wmsp);
        plan.targets[0].addr = addr;
        drop(gone);
        let o = run(&plan, |_| Ok(())).unwrap();
        assert_eq!((o.streaming, o.failed), (0, 12));
        let (reason, count) = o.reasons.first_key_value().unwrap();
        assert!(reason.contains("refused") && *count == 12, "{reason}");
    }
}
