//! Connections: bytes in, messages out, pings.

use super::config::Port;
use super::session::Session;
use super::{Server, Timer};
use crate::machine::{CloseHow, ConnId, Fault, Output, Ticket, Time};
use crate::msbd::hresult;
use crate::msbd::wire::{Described, Direction, MESSAGE_LEN_MAX, Message, Reader, ResConnect};
use crate::rate::bucket::TokenBucket;
use bytes::Bytes;
use std::net::SocketAddr;

/// Messages that a client may send per second, and at once. It has little to say.
const MESSAGE_RATE_MAX: u64 = 2;
const MESSAGE_BURST_MAX: u64 = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub peer: SocketAddr,
    pub port: Port,
    pub reader: Reader,
    pub stage: Stage,
    messages: TokenBucket,
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Stage {
    /// REQ_CONNECT is to come (MSBD-47).
    Waiting,
    /// It came; the application is asked.
    Asking {
        ticket: Ticket,
        multicast: bool,
    },
    Serving(Box<Session>),
}

/// A message of a client, without what it was read from.
enum Request {
    Pong,
    Info,
    Connect { flags: u32, channel: Option<String> },
}

impl Conn {
    pub fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Serving(session) => Some(session),
            _ => None,
        }
    }

    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Serving(session) => Some(session),
            _ => None,
        }
    }
}

impl Server {
    pub(super) fn on_opened(
        &mut self,
        now: Time,
        conn: ConnId,
        peer: SocketAddr,
        local: SocketAddr,
    ) {
        let port = self.config.ports.iter().find(|p| p.port == local.port());
        let Some(port) = port.cloned() else {
            let fault = Fault {
                offset: 0,
                reason: format!("nothing is published on port {}", local.port()),
            };
            return self.out.push_back(Output::Close {
                conn,
                how: CloseHow::Abort,
                fault: Some(fault),
            });
        };
        let entry = Conn {
            peer,
            port,
            reader: Reader::new(Direction::ToServer),
            stage: Stage::Waiting,
            messages: TokenBucket::new(MESSAGE_RATE_MAX, MESSAGE_BURST_MAX, now),
        };
        self.conns.insert(conn, Box::new(entry));
        let at = now + self.config.connect_timeout;
        self.timers.arm(Timer::Connect(conn), at);
    }

    pub(super) fn on_data(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.reader.push(bytes);
        self.pump(now, conn);
        // Of what waits behind a REQ_CONNECT that is not answered yet, one message's worth is kept.
        let buffered = self.conns.get(&conn).map(|c| c.reader.buffered());
        if buffered.is_some_and(|n| n > MESSAGE_LEN_MAX) {
            self.break_off(conn, "too many messages outstanding");
        }
    }

    /// Take messages as long as nothing stands in their way.
    pub(super) fn pump(&mut self, now: Time, conn: ConnId) {
        while let Some(c) = self.conns.get_mut(&conn) {
            if matches!(c.stage, Stage::Asking { .. }) {
                return;
            }
            let request = match c.reader.take() {
                Ok(None) => return,
                Ok(Some(message)) => Request::of(&message),
                Err(fault) => return self.close(conn, CloseHow::Abort, Some(fault)),
            };
            if !c.messages.take(1, now) {
                return self.break_off(conn, "too many messages");
            }
            self.on_request(now, conn, request);
        }
    }

    fn on_request(&mut self, now: Time, conn: ConnId, request: Option<Request>) {
        let waits = self.conns.get(&conn).is_some_and(|c| c.session().is_none());
        match request {
            Some(Request::Connect { flags, channel }) if waits => {
                self.on_connect(conn, flags, channel.as_deref());
            }
            // There is one to a connection (msbd.md 4.1).
            Some(Request::Connect { .. }) => self.owe(conn, |due| due.refusal = true),
            // MSBD-14
            Some(Request::Info) if waits => {
                let empty = Described::Empty(hresult::NS_E_NO_STREAM);
                self.say(conn, &Message::ResStreamInfo(empty));
            }
            Some(Request::Info) => self.owe(conn, |due| due.info = true),
            Some(Request::Pong) if waits => self.break_off(conn, "RES_PING before REQ_CONNECT"),
            Some(Request::Pong) => {
                self.timers.disarm(Timer::Answer(conn));
                self.arm_ping(now, conn);
            }
            // The reader knows who may say what.
            None => {}
        }
    }

    pub(super) fn arm_ping(&mut self, now: Time, conn: ConnId) {
        let at = now + self.config.ping_interval;
        self.timers.arm(Timer::Ping(conn), at);
    }

    // MSBD-55
    pub(super) fn on_ping_due(&mut self, now: Time, conn: ConnId) {
        self.owe(conn, |due| due.ping = true);
        // Counted from now: whoever reads nothing lets no ping through either.
        let at = now + self.config.ping_timeout;
        self.timers.arm(Timer::Answer(conn), at);
    }

    /// Something is to be said, as soon as that is possible.
    fn owe(&mut self, conn: ConnId, note: impl FnOnce(&mut super::session::Due)) {
        if let Some(session) = self.session(conn) {
            note(&mut session.due);
            self.pay(conn);
        }
    }

    /// Say what is to be said, or have the flow held for it.
    pub(super) fn pay(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn).filter(|s| s.due.any()) else {
            return;
        };
        if !session.may_write() {
            return self.hold(conn);
        }
        let due = std::mem::take(&mut session.due);
        let described = session.described.clone();
        if due.info {
            match described {
                // MSBD-15
                Some(bytes) => self.send(conn, bytes),
                None => {
                    let empty = Described::Empty(hresult::NS_E_NO_STREAM);
                    self.say(conn, &Message::ResStreamInfo(empty));
                }
            }
        }
        if due.refusal {
            let reply = ResConnect::refused(hresult::E_INVALIDARG);
            self.say(conn, &Message::ResConnect(reply));
            return self.close_for(conn, CloseHow::Flush, "a second REQ_CONNECT");
        }
        if due.ping {
            self.say(conn, &Message::ReqPing);
        }
    }

    /// Say one message.
    pub(super) fn say(&mut self, conn: ConnId, message: &Message<'_>) {
        if let Some(bytes) = message.bytes() {
            self.send(conn, bytes);
        }
    }

    pub(super) fn send(&mut self, conn: ConnId, bytes: Bytes) {
        let session = self.conns.get(&conn).and_then(|c| c.session());
        debug_assert!(session.is_none_or(Session::may_write));
        self.out.push_back(Output::Send { conn, bytes });
    }

    pub(super) fn break_off(&mut self, conn: ConnId, reason: &str) {
        self.close_for(conn, CloseHow::Abort, reason);
    }

    pub(super) fn close_in_order(&mut self, conn: ConnId) {
        self.close(conn, CloseHow::Flush, None);
    }

    pub(super) fn close_for(&mut self, conn: ConnId, how: CloseHow, reason: &str) {
        let offset = self.conns.get(&conn).map_or(0, |c| c.reader.offset());
        let reason = reason.to_owned();
        self.close(conn, how, Some(Fault { offset, reason }));
    }

    pub(super) fn close(&mut self, conn: ConnId, how: CloseHow, fault: Option<Fault>) {
        if self.conns.contains_key(&conn) {
            self.forget(conn);
            self.out.push_back(Output::Close { conn, how, fault });
        }
    }

    /// The connection is gone, or about to go.
    pub(super) fn forget(&mut self, conn: ConnId) {
        let Some(c) = self.conns.remove(&conn) else {
            return;
        };
        for timer in [
            Timer::Connect(conn),
            Timer::Ping(conn),
            Timer::Answer(conn),
            Timer::Retry(conn),
        ] {
            self.timers.disarm(timer);
        }
        if !matches!(c.stage, Stage::Waiting) {
            self.sessions -= 1;
        }
        // An answer that is to come finds nobody and is released there.
        if let Stage::Serving(session) = c.stage {
            if let Some(flow) = session.flow {
                self.flows.remove(&flow.id);
            }
            if let Some(content) = session.content {
                self.release(content.id);
            }
        }
    }
}

impl Request {
    /// `None`: not a client's.
    fn of(message: &Message<'_>) -> Option<Request> {
        match message {
            Message::ResPing => Some(Request::Pong),
            Message::ReqStreamInfo => Some(Request::Info),
            Message::ReqConnect(connect) => Some(Request::Connect {
                flags: connect.flags,
                channel: connect.channel_name(),
            }),
            _ => None,
        }
    }
}
