//! The swarm: very many player sessions on one thread. One epoll set, one receive buffer, no
//! allocation per packet; of the media only heads are looked at.

use crate::stats::{Durations, Percentiles, Timelines};
use crate::sys::{self, Epoll, Events};
use crate::wmsp::{self, DataHead, Deframer, Packet, Player, ResponseHead, Subject};
use serde::Serialize;
use socket2::{Domain, Protocol as IpProtocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Sessions per source address: below the limit that a server has by default for one address.
const SESSIONS_PER_ADDRESS: usize = 900;
const CONNECTS_PER_ROUND: usize = 64;
const SLOW_READ_EVERY_NS: u64 = 20_000_000;
const BUFFER: usize = 256 * 1024;

/// How media is asked for. MMS and RTSP over TCP are to join here; what differs is the dialogue
/// before media and the framing, see [`Session::on_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// ASF over HTTP.
    Wmsp,
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
}

impl Plan {
    /// True for the last `slow` sessions.
    pub fn is_slow(&self, session: usize) -> bool {
        session >= self.sessions - self.slow
    }

    /// Source address of a session; slow ones have a net of their own so that the server's
    /// queues toward them can be told apart.
    pub fn source(&self, session: usize) -> Ipv4Addr {
        let host = 2 + (session / SESSIONS_PER_ADDRESS) as u8;
        Ipv4Addr::new(127, 0, u8::from(self.is_slow(session)), host)
    }
}

/// When the swarm is where; the observer reads the server's counters then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All sessions play, warm-up is over.
    WindowOpens,
    /// The sessions are still open.
    WindowCloses,
}

/// Counts of what was wrong or remarkable in the packets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Checks {
    /// `$D` packets looked at, all of them, whole run.
    pub packets: u64,
    /// Sequence (AFFlags) not one more than before.
    pub sequence_breaks: u64,
    /// First sequence of a session not 0.
    pub sequence_starts: u64,
    /// Jumps forward of LocationId.
    pub gaps: u64,
    /// Packets so left out.
    pub skipped: u64,
    /// Steps of LocationId that do not go forward within an entry.
    pub backward: u64,
    /// PacketSize differs from PacketLength.
    pub size_mismatches: u64,
    /// Larger than the header's packet size.
    pub oversize: u64,
    /// ASF head without a readable send time.
    pub damaged: u64,
    /// `$C`: entry changes.
    pub stream_changes: u64,
    /// Send time went back within a session.
    pub restarts: u64,
}

impl Checks {
    /// Faults of the server, as opposed to events.
    pub fn faults(&self) -> u64 {
        self.sequence_breaks
            + self.sequence_starts
            + self.backward
            + self.size_mismatches
            + self.oversize
            + self.damaged
    }
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
    /// Sessions that came to their end (`$E`).
    pub ended: usize,
    /// Reasons of failures and losses.
    pub reasons: BTreeMap<String, usize>,
    /// Length of the window as measured, s.
    pub window_s: f64,
    /// Bytes received in the window, by all sessions.
    pub bytes: u64,
    /// `$D` packets in the window.
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
    /// From the first connect to the last session's first media, s.
    pub settled_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Connecting,
    DescribeHead,
    DescribeBody,
    PlayHead,
    Media,
    Over,
}

struct Session {
    socket: Option<Socket>,
    state: State,
    slow: bool,
    started_ns: u64,
    // Only during the dialogue.
    head: Vec<u8>,
    body_left: u64,
    client_id: Option<u32>,
    // Media.
    deframer: Deframer,
    played: bool,
    ended: bool,
    next_sequence: u8,
    last: Option<(u32, u32)>,
    timeline: usize,
    own_zero_us: i64,
    allowance: f64,
}

impl Session {
    fn new(slow: bool) -> Session {
        Session {
            socket: None,
            state: State::Waiting,
            slow,
            started_ns: 0,
            head: Vec::new(),
            body_left: 0,
            client_id: None,
            deframer: Deframer::default(),
            played: false,
            ended: false,
            next_sequence: 0,
            last: None,
            timeline: 0,
            own_zero_us: i64::MAX,
            allowance: 0.0,
        }
    }

    fn fd(&self) -> Option<i32> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// Counters that sessions write to; apart from the sessions so that both can be borrowed.
struct Ledger {
    live: bool,
    packet_size: u32,
    record: bool,
    bytes: u64,
    packets: u64,
    receives: u64,
    timelines: Timelines,
    own: Durations,
    slow: Durations,
    first_media: Durations,
    response: Durations,
    checks: Checks,
    slow_checks: Checks,
    reasons: BTreeMap<String, usize>,
    playing: usize,
    failed: usize,
    lost: usize,
    ended: usize,
}

/// Run it. `observe` is called at the two moments.
pub fn run(
    plan: &Plan,
    mut observe: impl FnMut(Moment) -> Result<(), String>,
) -> Result<Outcome, String> {
    let mut swarm = Swarm::new(plan).map_err(|e| format!("cannot make an epoll set: {e}"))?;
    let start = sys::now_ns();
    swarm.start_ns = start;
    let give_up = start + nanos(plan.ramp) + nanos(plan.settle);
    while !swarm.settled() && sys::now_ns() < give_up {
        swarm.round(Duration::from_millis(20))?;
    }
    swarm.abandon_waiting("no media in time");
    let settled_s = (sys::now_ns() - start) as f64 / 1e9;
    swarm.run_for(plan.warm_up)?;

    let streaming = swarm.ledger.playing;
    observe(Moment::WindowOpens)?;
    let cpu = sys::thread_cpu_ns();
    let opened = sys::now_ns();
    swarm.ledger.record = true;
    swarm.run_for(plan.window)?;
    swarm.ledger.record = false;
    let closed = sys::now_ns();
    let swarm_cpu_s = (sys::thread_cpu_ns() - cpu) as f64 / 1e9;
    observe(Moment::WindowCloses)?;

    let l = swarm.ledger;
    Ok(Outcome {
        streaming,
        failed: l.failed,
        lost: l.lost,
        ended: l.ended,
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
        settled_s,
    })
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX / 4)
}

struct Swarm<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
    sessions: Vec<Session>,
    started: usize,
    start_ns: u64,
    next_slow_ns: u64,
    ledger: Ledger,
}

impl<'a> Swarm<'a> {
    fn new(plan: &'a Plan) -> io::Result<Swarm<'a>> {
        Ok(Swarm {
            plan,
            epoll: Epoll::new()?,
            events: Events::new(512),
            buffer: vec![0; BUFFER],
            sessions: (0..plan.sessions)
                .map(|i| Session::new(plan.is_slow(i)))
                .collect(),
            started: 0,
            start_ns: 0,
            next_slow_ns: 0,
            ledger: Ledger {
                live: plan.live,
                packet_size: plan.packet_size,
                record: false,
                bytes: 0,
                packets: 0,
                receives: 0,
                timelines: Timelines::default(),
                own: Durations::default(),
                slow: Durations::default(),
                first_media: Durations::default(),
                response: Durations::default(),
                checks: Checks::default(),
                slow_checks: Checks::default(),
                reasons: BTreeMap::new(),
                playing: 0,
                failed: 0,
                lost: 0,
                ended: 0,
            },
        })
    }

    fn settled(&self) -> bool {
        let l = &self.ledger;
        l.playing + l.failed + l.lost + l.ended >= self.plan.sessions
    }

    fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let end = sys::now_ns() + nanos(time);
        loop {
            let now = sys::now_ns();
            if now >= end {
                return Ok(());
            }
            self.round(Duration::from_nanos(end - now).min(Duration::from_millis(20)))?;
        }
    }

    fn round(&mut self, longest: Duration) -> Result<(), String> {
        let mut wait = longest;
        if self.started < self.plan.sessions {
            self.connect_due();
            wait = wait.min(Duration::from_millis(1));
        }
        if self.plan.slow > 0 {
            self.read_slow();
        }
        let n = self
            .epoll
            .wait(&mut self.events, wait)
            .map_err(|e| format!("epoll: {e}"))?;
        for i in 0..n {
            if let Some(ready) = self.events.get(i) {
                self.on_ready(ready.token as usize, ready.writable);
            }
        }
        Ok(())
    }

    /// Start the connects that the ramp has come to.
    fn connect_due(&mut self) {
        let elapsed = sys::now_ns() - self.start_ns;
        let due = connects_due(self.plan.sessions, nanos(self.plan.ramp), elapsed);
        for _ in 0..CONNECTS_PER_ROUND {
            if self.started >= due {
                break;
            }
            let index = self.started;
            self.started += 1;
            self.sessions[index].started_ns = sys::now_ns();
            self.connect(index);
        }
    }

    fn connect(&mut self, index: usize) {
        let target = &self.plan.targets[index % self.plan.targets.len()];
        let source = self.plan.source(index);
        match open_socket(target.addr, source, self.plan.is_slow(index)) {
            Ok(socket) => {
                let fd = socket.as_raw_fd();
                let session = &mut self.sessions[index];
                session.socket = Some(socket);
                session.state = State::Connecting;
                if let Err(e) = self.epoll.add_write(fd, index as u64) {
                    self.finish(index, &format!("epoll: {e}"));
                }
            }
            Err(e) => self.finish(index, &format!("connect: {e}")),
        }
    }

    fn on_ready(&mut self, index: usize, writable: bool) {
        if self.sessions[index].state == State::Connecting && writable {
            self.on_connected(index);
            return;
        }
        let Some(fd) = self.sessions[index].fd() else {
            return;
        };
        match sys::recv(fd, &mut self.buffer) {
            Ok(0) => self.on_closed(index),
            Ok(n) => self.on_bytes(index, n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => self.finish(index, &format!("receive: {e}")),
        }
    }

    fn on_connected(&mut self, index: usize) {
        let session = &self.sessions[index];
        let Some(socket) = &session.socket else {
            return;
        };
        let fd = socket.as_raw_fd();
        let error = match socket.take_error() {
            Ok(None) => None,
            Ok(Some(e)) | Err(e) => Some(e),
        };
        if let Some(e) = error.or_else(|| self.epoll.turn_to_read(fd, index as u64).err()) {
            self.finish(index, &format!("connect: {e}"));
            return;
        }
        let describe_first = self.plan.describe && session.client_id.is_none();
        self.ask(index, describe_first);
    }

    fn ask(&mut self, index: usize, describe: bool) {
        let plan = self.plan;
        let target = &plan.targets[index % plan.targets.len()];
        let subject = Subject {
            target: &target.path,
            authority: &target.authority,
            player: plan.player,
            session: index,
        };
        let session = &mut self.sessions[index];
        let text = if describe {
            wmsp::describe(&subject, false)
        } else {
            let start = (index as u64 * 7919)
                .checked_rem(u64::from(plan.start_spread_ms))
                .unwrap_or(0);
            wmsp::play(&subject, session.client_id, &plan.streams, start as u32)
        };
        session.state = if describe {
            State::DescribeHead
        } else {
            State::PlayHead
        };
        let Some(fd) = session.fd() else { return };
        match sys::send(fd, text.as_bytes()) {
            Ok(n) if n == text.len() => {}
            Ok(_) => self.finish(index, "request did not fit the socket"),
            Err(e) => self.finish(index, &format!("send: {e}")),
        }
    }

    fn on_closed(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        // A server may close after Describe; Play then goes on a new connection.
        if session.state == State::DescribeBody && session.body_left == 0 {
            session.socket = None;
            self.connect(index);
        } else if session.ended {
            session.state = State::Over;
            session.socket = None;
        } else if session.deframer.at_boundary() {
            self.finish(index, "closed by the server");
        } else {
            self.finish(index, "closed by the server inside a packet");
        }
    }

    /// `n` bytes of the shared buffer are for this session.
    fn on_bytes(&mut self, index: usize, n: usize) {
        let now = sys::now_ns();
        let session = &mut self.sessions[index];
        if self.ledger.record {
            self.ledger.bytes += n as u64;
            self.ledger.receives += 1;
        }
        let data = &self.buffer[..n];
        let step = match session.state {
            State::Media => media(session, &mut self.ledger, data, now),
            State::DescribeHead | State::DescribeBody | State::PlayHead => {
                dialogue(session, &mut self.ledger, data, now)
            }
            State::Waiting | State::Connecting | State::Over => Ok(Step::Go),
        };
        match step {
            Ok(Step::Go) => {}
            Ok(Step::Play) => self.ask(index, false),
            Ok(Step::Slow) => {
                // From now on read by the clock, not when there is something.
                if let Some(fd) = self.sessions[index].fd() {
                    let _ = self.epoll.remove(fd);
                }
            }
            Err(reason) => self.finish(index, &reason),
        }
    }

    fn read_slow(&mut self) {
        let now = sys::now_ns();
        if now < self.next_slow_ns {
            return;
        }
        self.next_slow_ns = now + SLOW_READ_EVERY_NS;
        let share = self.plan.slow_bytes_per_s * SLOW_READ_EVERY_NS as f64 / 1e9;
        for index in self.plan.sessions - self.plan.slow..self.plan.sessions {
            let session = &mut self.sessions[index];
            let (State::Media, Some(fd)) = (session.state, session.fd()) else {
                continue;
            };
            session.allowance = (session.allowance + share).min(share * 50.0);
            let want = (session.allowance as usize).min(BUFFER);
            if want < 256 {
                continue;
            }
            match sys::recv(fd, &mut self.buffer[..want]) {
                Ok(0) => self.on_closed(index),
                Ok(n) => {
                    self.sessions[index].allowance -= n as f64;
                    self.on_bytes(index, n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => self.finish(index, &format!("receive: {e}")),
            }
        }
    }

    fn abandon_waiting(&mut self, reason: &str) {
        for index in 0..self.sessions.len() {
            let s = &self.sessions[index];
            if s.state != State::Over && !s.played {
                self.finish(index, reason);
            }
        }
        self.started = self.plan.sessions;
    }

    /// The session is over before its time.
    fn finish(&mut self, index: usize, reason: &str) {
        let session = &mut self.sessions[index];
        if session.state == State::Over {
            return;
        }
        session.state = State::Over;
        session.socket = None;
        session.head = Vec::new();
        let kind = if session.slow { "slow session: " } else { "" };
        *self
            .ledger
            .reasons
            .entry(format!("{kind}{reason}"))
            .or_default() += 1;
        if session.ended {
            return;
        }
        if session.played {
            self.ledger.playing -= 1;
            self.ledger.lost += 1;
        } else {
            self.ledger.failed += 1;
        }
    }
}

/// What a session needs after a piece of input.
enum Step {
    Go,
    Play,
    Slow,
}

/// How many of `sessions` connects should have begun.
fn connects_due(sessions: usize, ramp_ns: u64, elapsed_ns: u64) -> usize {
    if elapsed_ns >= ramp_ns {
        return sessions;
    }
    let share = (sessions as u128 * u128::from(elapsed_ns)) / u128::from(ramp_ns);
    (share as usize + 1).min(sessions)
}

fn open_socket(to: SocketAddr, from: Ipv4Addr, slow: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(IpProtocol::TCP))?;
    socket.set_nonblocking(true)?;
    if slow {
        socket.set_recv_buffer_size(4096)?;
    }
    if to.is_ipv4() && to.ip().is_loopback() {
        sys::bind_without_port(socket.as_raw_fd())?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(from, 0)))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    Ok(socket)
}

/// Response heads and Describe bodies.
fn dialogue(
    session: &mut Session,
    ledger: &mut Ledger,
    data: &[u8],
    now: u64,
) -> Result<Step, String> {
    if session.state == State::DescribeBody {
        return body(session, data.len());
    }
    session.head.extend_from_slice(data);
    let Some(head) = wmsp::response_head(&session.head)? else {
        return Ok(Step::Go);
    };
    accept(&head)?;
    session.client_id = head.client_id.or(session.client_id);
    let rest = std::mem::take(&mut session.head).split_off(head.len);
    if session.state == State::DescribeHead {
        session.state = State::DescribeBody;
        session.body_left = head
            .content_length
            .ok_or("Describe reply without Content-Length")?;
        return body(session, rest.len());
    }
    ledger.response.record((now - session.started_ns) / 1000);
    session.state = State::Media;
    if !rest.is_empty() {
        media(session, ledger, &rest, now)?;
    }
    Ok(if session.slow { Step::Slow } else { Step::Go })
}

fn accept(head: &ResponseHead) -> Result<(), String> {
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    if head.chunked {
        // wmsp.md 1: never toward a client that did not ask for pipelining.
        return Err("chunked reply to a non-pipelined request".into());
    }
    Ok(())
}

fn body(session: &mut Session, n: usize) -> Result<Step, String> {
    session.body_left = session
        .body_left
        .checked_sub(n as u64)
        .ok_or("more bytes than Content-Length")?;
    Ok(if session.body_left == 0 {
        Step::Play
    } else {
        Step::Go
    })
}

fn media(
    session: &mut Session,
    ledger: &mut Ledger,
    data: &[u8],
    now: u64,
) -> Result<Step, String> {
    // Taken out so that the closure may have the rest of the session.
    let mut deframer = std::mem::take(&mut session.deframer);
    let result = deframer.feed(data, |packet| match packet {
        Packet::Data(head) => on_data(session, ledger, &head, now),
        Packet::StreamChange => {
            ledger.checks_of(session.slow).stream_changes += 1;
            session.last = None;
        }
        Packet::End(reason) => on_end(session, ledger, reason),
        Packet::Header(_) | Packet::Test => {}
    });
    session.deframer = deframer;
    result.map(|()| Step::Go)
}

fn on_end(session: &mut Session, ledger: &mut Ledger, reason: u32) {
    // $E(1): more entries follow.
    if reason == 1 || session.ended {
        return;
    }
    session.ended = true;
    ledger.ended += 1;
    if session.played {
        ledger.playing -= 1;
    }
    if reason != 0 {
        *ledger
            .reasons
            .entry(format!("$E with {reason:#010x}"))
            .or_default() += 1;
    }
}

fn on_data(session: &mut Session, ledger: &mut Ledger, head: &DataHead, now: u64) {
    let packet_size = ledger.packet_size;
    let first = !session.played;
    if first {
        session.played = true;
        ledger.playing += 1;
        ledger.first_media.record((now - session.started_ns) / 1000);
    }
    let restarted = check_packet(
        session,
        first,
        ledger.checks_of(session.slow),
        head,
        packet_size,
    );
    let Some(send_time) = head.send_time else {
        return;
    };
    session.last = Some((head.location, send_time));
    ledger.packets += u64::from(ledger.record);

    let delta = (now / 1000) as i64 - i64::from(send_time) * 1000;
    if first || restarted {
        session.own_zero_us = delta;
    } else {
        session.own_zero_us = session.own_zero_us.min(delta);
    }
    let own = (delta - session.own_zero_us) as u64;
    if session.slow {
        if ledger.record {
            ledger.slow.record(own);
        }
        return;
    }
    if ledger.record {
        ledger.own.record(own);
    }
    if ledger.live {
        if first {
            session.timeline = ledger.timelines.join(delta);
        } else if restarted {
            session.timeline = ledger.timelines.restart(delta);
        }
        ledger
            .timelines
            .note(session.timeline, delta, ledger.record);
    }
}

/// Count what is wrong with a packet; true if the timeline began anew.
fn check_packet(
    session: &mut Session,
    first: bool,
    checks: &mut Checks,
    head: &DataHead,
    packet_size: u32,
) -> bool {
    checks.packets += 1;
    if first {
        checks.sequence_starts += u64::from(head.sequence != 0);
    } else {
        checks.sequence_breaks += u64::from(head.sequence != session.next_sequence);
    }
    session.next_sequence = head.sequence.wrapping_add(1);
    checks.size_mismatches += u64::from(head.frame_len != head.size_field);
    checks.oversize += u64::from(packet_size > 0 && u32::from(head.frame_len) > packet_size + 8);
    checks.damaged += u64::from(head.send_time.is_none());
    let Some((location, send_time)) = session.last else {
        return false;
    };
    let back = head
        .send_time
        .is_some_and(|t| send_time.saturating_sub(t) > 1000);
    checks.restarts += u64::from(back);
    if head.location > location {
        let step = u64::from(head.location - location);
        checks.gaps += u64::from(step > 1);
        checks.skipped += step - 1;
    } else if !back {
        checks.backward += 1;
    }
    back
}

impl Ledger {
    fn checks_of(&mut self, slow: bool) -> &mut Checks {
        if slow {
            &mut self.slow_checks
        } else {
            &mut self.checks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn head(location: u32, sequence: u8, send_time: u32) -> DataHead {
        DataHead {
            location,
            sequence,
            frame_len: 108,
            size_field: 108,
            send_time: Some(send_time),
        }
    }

    fn feed(heads: &[DataHead]) -> Checks {
        let mut session = Session::new(false);
        let mut checks = Checks::default();
        for (i, h) in heads.iter().enumerate() {
            check_packet(&mut session, i == 0, &mut checks, h, 100);
            session.last = h.send_time.map(|t| (h.location, t));
        }
        checks
    }

    #[test]
    fn a_clean_session_has_no_faults_across_the_wrap() {
        let heads: Vec<_> = (0..600u32).map(|i| head(9 + i, i as u8, i * 20)).collect();
        let c = feed(&heads);
        assert_eq!((c.packets, c.faults(), c.gaps), (600, 0, 0));
    }

    #[test]
    fn faults_and_events_are_told_apart() {
        let mut wrong_size = head(8, 4, 60);
        wrong_size.size_field = 100;
        let mut large = head(9, 5, 60);
        (large.frame_len, large.size_field) = (200, 200);
        let c = feed(&[
            head(1, 1, 0),  // starts at 1
            head(2, 2, 20), // fine
            head(7, 3, 40), // a skip of four
            wrong_size,
            large,
            head(10, 9, 60),  // sequence break
            head(10, 10, 60), // does not advance
            head(0, 11, 0),   // 60 ms back: backward
        ]);
        assert_eq!((c.sequence_starts, c.sequence_breaks), (1, 1));
        assert_eq!((c.gaps, c.skipped), (1, 4));
        assert_eq!((c.size_mismatches, c.oversize, c.backward), (1, 1, 2));
        assert_eq!(c.faults(), 6);
    }

    #[test]
    fn a_loop_is_an_event_not_a_fault() {
        let c = feed(&[head(500, 0, 60_000), head(0, 1, 0), head(1, 2, 20)]);
        assert_eq!((c.restarts, c.faults()), (1, 0));
    }

    #[test]
    fn ramp_is_even_and_complete() {
        assert_eq!(connects_due(1000, 10 * SECOND, 0), 1);
        assert_eq!(connects_due(1000, 10 * SECOND, 5 * SECOND), 501);
        assert_eq!(connects_due(1000, 10 * SECOND, 10 * SECOND), 1000);
        assert_eq!(connects_due(1000, 0, 0), 1000);
    }
}
