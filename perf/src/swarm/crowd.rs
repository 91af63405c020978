//! Sockets and time: connecting by the ramp, reading what is ready, reading slowly, reminding,
//! giving up.

use super::datagrams::{Ports, Received};
use super::session::{Ledger, Session, State};
use super::speech::{Closing, Wish};
use super::{Plan, nanos};
use crate::sys::datagram::{BATCH, Inbox};
use crate::sys::{self, Epoll, Events};
use crate::{mmsp, rtsp};
use socket2::{Domain, Protocol as IpProtocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

const CONNECTS_PER_ROUND: usize = 64;
const SLOW_READ_EVERY_NS: u64 = 20_000_000;
const BUFFER: usize = 256 * 1024;
/// A segment of loopback fits, so that slowness comes from reading slowly alone and not from
/// segments that are dropped and sent again ever later.
const SLOW_RECEIVE_BUFFER: usize = 64 * 1024;
/// Tokens of sockets that take datagrams begin here.
const DATAGRAMS: u64 = 1 << 32;
/// Calls to one such socket before others have their turn.
const CALLS_IN_A_ROW: usize = 64;
/// How often it is seen who has to say that it lives, and how far apart neighbours do.
const LOOK_EVERY_NS: u64 = 100_000_000;
const SPREAD_STEP_NS: u64 = 7_919_000;
const REMIND_EVERY_NS: u64 = 1_000_000_000;
/// A session that plays and gets nothing for so long is silent.
const SILENT_NS: u64 = 2_000_000_000;

/// What came for a session: so many bytes of the shared buffer, or that datagram of the inbox.
#[derive(Clone, Copy)]
enum Came {
    Bytes(usize),
    Datagram(usize),
}

/// All sessions of a run.
pub(super) struct Crowd<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
    /// What is to be said next.
    reply: Vec<u8>,
    ports: Option<Ports>,
    inbox: Inbox,
    sessions: Vec<Session>,
    started: usize,
    pub start_ns: u64,
    next_slow_ns: u64,
    next_reminder_ns: u64,
    next_look_ns: u64,
    pub ledger: Ledger,
    /// Slow sessions read as fast as they can.
    pub drain: bool,
}

impl<'a> Crowd<'a> {
    pub fn new(plan: &'a Plan) -> io::Result<Crowd<'a>> {
        let epoll = Epoll::new()?;
        let ports = match plan.protocol.over_udp() {
            true => Some(Ports::open(plan)?),
            false => None,
        };
        for (token, fd) in (DATAGRAMS..).zip(ports.iter().flat_map(Ports::descriptors)) {
            epoll.add_read(fd, token)?;
        }
        Ok(Crowd {
            plan,
            epoll,
            events: Events::new(512),
            buffer: vec![0; BUFFER],
            reply: Vec::new(),
            ports,
            inbox: Inbox::new(if plan.protocol.is_rtsp() {
                rtsp::HEAD_MAX
            } else {
                mmsp::HEAD_MAX
            }),
            sessions: (0..plan.sessions)
                .map(|i| Session::new(plan.protocol, plan.is_slow(i)))
                .collect(),
            started: 0,
            start_ns: 0,
            next_slow_ns: 0,
            next_reminder_ns: 0,
            next_look_ns: 0,
            ledger: Ledger::new(plan),
            drain: false,
        })
    }

    pub fn settled(&self) -> bool {
        let l = &self.ledger;
        l.playing + l.failed + l.lost + l.ended >= self.plan.sessions
    }

    pub fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let end = sys::now_ns() + nanos(time);
        loop {
            let now = sys::now_ns();
            if now >= end {
                return Ok(());
            }
            self.round(Duration::from_nanos(end - now).min(Duration::from_millis(20)))?;
        }
    }

    pub fn round(&mut self, longest: Duration) -> Result<(), String> {
        let mut wait = longest;
        if self.started < self.plan.sessions {
            self.connect_due();
            wait = wait.min(Duration::from_millis(1));
        }
        if self.plan.slow > 0 {
            self.read_slow();
        }
        if self.ports.is_some() && !self.settled() {
            self.remind();
        }
        if let Some(every) = self.plan.protocol.keep_alive() {
            self.keep_alive(nanos(every));
        }
        let n = self
            .epoll
            .wait(&mut self.events, wait)
            .map_err(|e| format!("epoll: {e}"))?;
        for i in 0..n {
            match self.events.get(i) {
                Some(ready) if ready.token >= DATAGRAMS => {
                    self.on_datagrams((ready.token - DATAGRAMS) as usize);
                }
                Some(ready) => self.on_ready(ready.token as usize, ready.writable),
                None => {}
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
            self.sessions[index].track.started_ns = sys::now_ns();
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
        let wish = self.wish(index);
        let session = &mut self.sessions[index];
        session.state = State::Dialogue;
        self.reply.clear();
        session.speech.open(&wish, &mut self.reply);
        self.say(index);
    }

    fn wish(&self, index: usize) -> Wish<'a> {
        let udp = self.ports.as_ref().and_then(|p| p.address(index));
        Wish::new(self.plan, index, udp)
    }

    /// Send the reply.
    fn say(&mut self, index: usize) {
        let Some(fd) = self.sessions[index].fd() else {
            return;
        };
        match sys::send(fd, &self.reply) {
            Ok(n) if n == self.reply.len() => {}
            Ok(_) => self.finish(index, "request did not fit the socket"),
            Err(e) => self.finish(index, &format!("send: {e}")),
        }
    }

    fn on_closed(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        if session.track.ended {
            session.state = State::Over;
            session.socket = None;
            return;
        }
        match session.speech.closing() {
            Closing::Again => {
                session.socket = None;
                self.connect(index);
            }
            Closing::Whole => self.finish(index, "closed by the server"),
            Closing::Inside => self.finish(index, "closed by the server inside a packet"),
        }
    }

    /// `n` bytes of the shared buffer are for this session.
    fn on_bytes(&mut self, index: usize, n: usize) {
        if self.ledger.record {
            self.ledger.bytes += n as u64;
            self.ledger.receives += 1;
        }
        self.hear(index, sys::now_ns(), Came::Bytes(n));
    }

    fn on_datagrams(&mut self, socket: usize) {
        let Some(fd) = self.ports.as_ref().and_then(|p| p.fd(socket)) else {
            return;
        };
        for _ in 0..CALLS_IN_A_ROW {
            // What cannot be read now comes with the next report, if it is not lost.
            let Ok(n) = self.inbox.receive(fd) else {
                return;
            };
            let now = sys::now_ns();
            self.ledger.receives += u64::from(self.ledger.record);
            for at in 0..n {
                self.on_datagram(socket, at, now);
            }
            if n < BATCH {
                return;
            }
        }
    }

    /// The `at`th of the inbox.
    fn on_datagram(&mut self, socket: usize, at: usize, now: u64) {
        let (Some(ports), Some(arrived)) = (&mut self.ports, self.inbox.get(at)) else {
            return;
        };
        let Some(index) = ports.session(socket, arrived.to) else {
            ports.strangers += 1;
            return;
        };
        if self.ledger.record {
            self.ledger.bytes += arrived.len as u64;
        }
        self.hear(index, now, Came::Datagram(at));
    }

    /// Let a session have what came for it, and answer.
    fn hear(&mut self, index: usize, now: u64, came: Came) {
        let wish = self.wish(index);
        let session = &mut self.sessions[index];
        if !matches!(session.state, State::Dialogue | State::Media) {
            return;
        }
        let (track, ledger) = (&mut session.track, &mut self.ledger);
        let each = |heard| track.hear(ledger, heard, now);
        self.reply.clear();
        let result = match came {
            Came::Bytes(n) => {
                let data = &self.buffer[..n];
                session.speech.hear(&wish, data, &mut self.reply, each)
            }
            Came::Datagram(at) => match self.inbox.get(at) {
                Some(a) => {
                    let out = &mut self.reply;
                    session
                        .speech
                        .hear_datagram(&wish, a.head, a.len, out, each)
                }
                None => Ok(()),
            },
        };
        if let Err(reason) = result {
            self.finish(index, &reason);
            return;
        }
        if session.state == State::Dialogue && session.track.accepted {
            session.state = State::Media;
            // From now on read by the clock, not when there is something.
            if session.track.slow
                && let Some(fd) = session.fd()
            {
                let _ = self.epoll.remove(fd);
            }
        }
        if !self.reply.is_empty() {
            self.say(index);
        }
    }

    /// What was lost on the way to those that wait for media is asked for again.
    fn remind(&mut self) {
        let now = sys::now_ns();
        if now < self.next_reminder_ns {
            return;
        }
        self.next_reminder_ns = now + REMIND_EVERY_NS;
        for index in 0..self.started {
            let wish = self.wish(index);
            let session = &mut self.sessions[index];
            if session.state != State::Dialogue || session.track.played {
                continue;
            }
            self.reply.clear();
            match session.speech.remind(&wish, &mut self.reply) {
                Ok(()) if self.reply.is_empty() => {}
                Ok(()) => self.say(index),
                Err(reason) => self.finish(index, &reason),
            }
        }
    }

    /// Sessions that have to say that they live do so, spread over the time between.
    fn keep_alive(&mut self, every_ns: u64) {
        let now = sys::now_ns();
        if now < self.next_look_ns {
            return;
        }
        self.next_look_ns = now + LOOK_EVERY_NS;
        for index in 0..self.started {
            let wish = self.wish(index);
            let session = &mut self.sessions[index];
            if session.state != State::Media {
                continue;
            }
            if session.keep_alive_ns == 0 {
                // Not all at once, and never later than promised.
                let early = SPREAD_STEP_NS * index as u64 % (every_ns / 2);
                session.keep_alive_ns = now + every_ns - early;
            }
            if now < session.keep_alive_ns {
                continue;
            }
            session.keep_alive_ns = now + every_ns;
            self.reply.clear();
            session.speech.keep_alive(&wish, &mut self.reply);
            if !self.reply.is_empty() {
                self.say(index);
            }
        }
    }

    /// Sessions that play something live, at a normal pace, and have heard nothing for long.
    pub fn silent(&self, now: u64) -> usize {
        if !self.plan.live {
            return 0;
        }
        let silent = |s: &&Session| {
            let t = &s.track;
            let plays = t.played && !t.ended && !t.slow && s.state != State::Over;
            plays && now.saturating_sub(t.heard_ns) > SILENT_NS
        };
        self.sessions.iter().filter(silent).count()
    }

    /// What became of datagrams here.
    pub fn received(&self) -> Result<Option<Received>, String> {
        let received = self.ports.as_ref().map(Ports::received).transpose();
        received.map_err(|e| format!("drops of the swarm's sockets: {e}"))
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
            if self.drain {
                session.allowance = BUFFER as f64;
            }
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

    pub fn abandon_waiting(&mut self, reason: &str) {
        for index in 0..self.sessions.len() {
            let s = &self.sessions[index];
            if s.state != State::Over && !s.track.played {
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
        let track = &session.track;
        let kind = if track.slow { "slow session: " } else { "" };
        *self
            .ledger
            .reasons
            .entry(format!("{kind}{reason}"))
            .or_default() += 1;
        if track.ended {
            return;
        }
        if track.played {
            self.ledger.playing -= 1;
            self.ledger.lost += 1;
        } else {
            self.ledger.failed += 1;
        }
    }
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
        socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn ramp_is_even_and_complete() {
        assert_eq!(connects_due(1000, 10 * SECOND, 0), 1);
        assert_eq!(connects_due(1000, 10 * SECOND, 5 * SECOND), 501);
        assert_eq!(connects_due(1000, 10 * SECOND, 10 * SECOND), 1000);
        assert_eq!(connects_due(1000, 0, 0), 1000);
    }
}
