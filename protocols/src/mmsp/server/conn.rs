//! Connections: bytes in, one message at a time; packets out, one write each.

use super::access::Access;
use super::open::Attempt;
use super::play::Begin;
use super::request::Request;
use super::session::{Client, Open, Phase, State};
use super::{Server, Timer};
use crate::machine::{CloseHow, ConnId, Fault, Output, Service, Ticket, Time};
use crate::media::{FlowCommand, FlowId};
use crate::mmsp::hresult;
use crate::mmsp::message::{ToClient, ToServer};
use crate::mmsp::names::Funnel;
use crate::mmsp::wire::{self, Item, Reader};
use bytes::Bytes;
use std::net::SocketAddr;

/// Requests of HTTP that are handed on when they come here (decision 9).
const HTTP_METHODS: [&[u8]; 4] = [b"GET ", b"POST ", b"HEAD ", b"OPTIONS "];

/// One connection and its session.
#[derive(Debug)]
pub(super) struct Conn {
    pub peer: SocketAddr,
    pub reader: Reader<ToServer>,
    /// The first bytes were no HTTP.
    pub is_mmsp: bool,
    pub state: State,
    /// Of the next packet we send (MMSP-05).
    pub seq: u16,
    /// When the first packet was sent.
    pub began: Option<Time>,
    pub client: Client,
    /// 0 before Connect.
    pub client_id: u32,
    /// For reports; unlike the Client-ID no secret.
    pub number: u64,
    pub funnel: Funnel,
    /// A packet pair precedes the header.
    pub udp_pair: bool,
    /// It asks for packet pairs as FFmpeg alone does.
    pub is_ffmpeg: bool,
    /// Packet pairs sent over TCP.
    pub pairs: u8,
    pub violations: u8,
    pub job: Option<Job>,
    pub access: Access,
    pub open: Option<Box<Open>>,
}

/// What the connection's current message waits for.
#[derive(Debug)]
pub(super) enum Job {
    /// What does the name lead to?
    Open(Ticket, Box<Attempt>),
    /// May it be played?
    Recheck(Ticket, Box<Begin>),
    /// Where does it start?
    Cue(Ticket, Box<Begin>),
    /// Where does the entry start that the client did not start?
    EntryCue(Ticket),
    /// What follows?
    Next(Ticket),
    /// The flow to be held, or the header to be out.
    Parked(Box<Request>),
}

impl Conn {
    /// The flow that exists, unless it has ended.
    pub fn live_flow(&mut self) -> Option<&mut super::session::Flow> {
        let flow = self.open.as_mut()?.flow.as_mut()?;
        (flow.phase != Phase::Ended).then_some(flow)
    }

    /// True if messages may be written.
    pub fn may_write(&self) -> bool {
        let flow = self.open.as_ref().and_then(|o| o.flow.as_ref());
        flow.is_none_or(|f| !f.on_connection || matches!(f.phase, Phase::Held | Phase::Ended))
    }

    pub fn target(&self) -> String {
        self.open
            .as_ref()
            .map_or(String::new(), |o| o.target.to_string())
    }
}

impl Server {
    pub(super) fn on_opened(&mut self, now: Time, conn: ConnId, peer: SocketAddr) {
        self.conns.insert(
            conn,
            Box::new(Conn {
                peer,
                reader: Reader::default(),
                is_mmsp: false,
                state: State::Accepted,
                seq: 0,
                began: None,
                client: Client::default(),
                client_id: 0,
                number: 0,
                funnel: Funnel::Tcp,
                udp_pair: false,
                is_ffmpeg: false,
                pairs: 0,
                violations: 0,
                job: None,
                access: Access::default(),
                open: None,
            }),
        );
        let at = now + self.config.request_timeout;
        self.timers.arm(Timer::Request(conn), at);
    }

    pub(super) fn on_data(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.reader.push(bytes);
        self.pump(now, conn);
        // Of what waits behind a message that is not answered yet, one packet's worth is kept (MMSP-15).
        if let Some(c) = self.conns.get(&conn)
            && c.reader.buffered() > wire::PACKET_MAX
        {
            let fault = Fault {
                offset: c.reader.offset(),
                reason: "too many messages outstanding".into(),
            };
            self.close(conn, CloseHow::Abort, Some(fault));
        }
    }

    /// Take messages as long as nothing stands in their way.
    pub(super) fn pump(&mut self, now: Time, conn: ConnId) {
        loop {
            let Some(c) = self.conns.get_mut(&conn) else {
                return;
            };
            if c.job.is_some() {
                self.timers.disarm(Timer::Request(conn));
                return;
            }
            if !c.is_mmsp {
                match is_http(c.reader.unread()) {
                    None => break,
                    Some(true) => return self.switch_to_http(conn),
                    Some(false) => c.is_mmsp = true,
                }
            }
            let request = match c.reader.take() {
                Ok(None) => break,
                Ok(Some(Item::Message(message))) => Request::Message(message),
                Ok(Some(Item::Unknown { mid, offset })) => Request::Unknown { mid, offset },
                Ok(Some(Item::Malformed { mid, fault })) => Request::Malformed { mid, fault },
                Ok(Some(Item::Data { .. })) => continue,
                Err(fault) => return self.leave(now, conn, Some(fault)),
            };
            self.on_request(now, conn, request);
        }
        self.settle(now, conn);
    }

    /// Nothing is left to do for the client's messages: what was interrupted goes on.
    fn settle(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.reader.buffered() == 0 && c.state != State::Accepted {
            self.timers.disarm(Timer::Request(conn));
        } else if !self.timers.is_armed(Timer::Request(conn)) {
            let at = now + self.config.request_timeout;
            self.timers.arm(Timer::Request(conn), at);
        }
        let sends_header = c.open.as_ref().is_some_and(|o| o.header.is_some());
        if let Some(flow) = c.live_flow() {
            if flow.phase == Phase::Held && !(sends_header && flow.on_connection) {
                self.command(conn, FlowCommand::Go);
            }
        } else if c.state == State::Streaming
            && let Some(end) = c.open.as_mut().and_then(|o| o.ended.take())
        {
            self.advance(now, conn, end);
        }
    }

    /// Command the session's flow.
    pub(super) fn command(&mut self, conn: ConnId, command: FlowCommand) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        let Some(flow) = &mut open.flow else { return };
        let id = flow.id;
        match command {
            FlowCommand::Hold => flow.phase = Phase::Holding,
            FlowCommand::Go => {
                flow.phase = Phase::Running;
                if flow.on_connection {
                    // Media is sign of life enough.
                    self.timers.disarm(Timer::KeepAlive(conn));
                }
            }
            FlowCommand::Drop => {
                open.flow = None;
                self.flows.remove(&id);
            }
            _ => {}
        }
        self.out.push_back(Output::Flow { flow: id, command });
    }

    /// Send one message (MMSP-09).
    pub(super) fn say(&mut self, now: Time, conn: ConnId, message: &ToClient) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        debug_assert!(c.may_write());
        let began = *c.began.get_or_insert(now);
        let bytes = wire::packet(message, c.seq, now.millis().saturating_sub(began.millis()));
        c.seq = c.seq.wrapping_add(1);
        self.out.push_back(Output::Send {
            conn,
            bytes: Bytes::from(bytes),
        });
        self.arm_keep_alive(now, conn);
    }

    pub(super) fn arm_keep_alive(&mut self, now: Time, conn: ConnId) {
        let at = now + self.config.keep_alive;
        self.timers.arm(Timer::KeepAlive(conn), at);
    }

    /// Start the idle timer anew, unless media flows (MMSP-104).
    pub(super) fn arm_idle(&mut self, now: Time, conn: ConnId) {
        let streaming = |c: &Conn| c.state == State::Streaming;
        if self.conns.get(&conn).is_some_and(|c| !streaming(c)) {
            let at = now + self.config.idle_timeout;
            self.timers.arm(Timer::Idle(conn), at);
        } else {
            self.timers.disarm(Timer::Idle(conn));
        }
    }

    // MMSP-101
    pub(super) fn on_keep_alive(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if c.may_write() && c.state != State::Leaving {
            self.say(now, conn, &ToClient::Ping);
        }
    }

    pub(super) fn on_slow_request(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let reason = match c.state {
            State::Accepted => "Connect takes too long",
            _ => "message takes too long",
        };
        let fault = Fault {
            offset: c.reader.offset(),
            reason: reason.into(),
        };
        self.leave(now, conn, Some(fault));
    }

    /// Close from our side: a client that gets media is told before, since VLC spins otherwise (MMSP-108).
    pub(super) fn leave(&mut self, now: Time, conn: ConnId, fault: Option<Fault>) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.live_flow().is_some_and(|f| f.phase != Phase::Held) {
            return self.park(conn, Request::Leave(fault));
        }
        if c.state == State::Streaming {
            let play_incarnation = c.open.as_ref().map_or(0, |o| o.play_incarnation);
            let hr = match fault {
                Some(_) => hresult::E_FAIL,
                None => hresult::S_OK,
            };
            let end = ToClient::ReportEndOfStream {
                hr,
                play_incarnation,
            };
            self.release_ffmpeg(conn);
            self.say(now, conn, &end);
        }
        self.close(conn, CloseHow::Flush, fault);
    }

    /// Keep a request until the flow is held or the header is out.
    pub(super) fn park(&mut self, conn: ConnId, request: Request) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.job = Some(Job::Parked(Box::new(request)));
        if c.live_flow().is_some_and(|f| f.phase == Phase::Running) {
            self.command(conn, FlowCommand::Hold);
        }
    }

    /// What a request waited for has come.
    pub(super) fn unpark(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match c.job.take() {
            Some(Job::Parked(request)) => self.on_request(now, conn, *request),
            other => c.job = other,
        }
    }

    pub(super) fn close_in_order(&mut self, conn: ConnId) {
        if self.conns.contains_key(&conn) {
            self.close(conn, CloseHow::Flush, None);
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, how: CloseHow, fault: Option<Fault>) {
        self.forget(conn);
        self.out.push_back(Output::Close { conn, how, fault });
    }

    /// The connection is gone, or about to go (MMSP-106).
    pub(super) fn forget(&mut self, conn: ConnId) {
        let Some(c) = self.conns.remove(&conn) else {
            return;
        };
        for timer in [
            Timer::Request(conn),
            Timer::Idle(conn),
            Timer::KeepAlive(conn),
            Timer::Header(conn),
            Timer::Entry(conn),
            Timer::Linger(conn),
        ] {
            self.timers.disarm(timer);
        }
        self.ids.remove(&c.client_id);
        // The answer of a job finds nobody and is released there.
        if let Some(open) = c.open {
            if let Some(flow) = open.flow {
                self.flows.remove(&flow.id);
            }
            self.out.push_back(Output::Release {
                content: open.content.id,
            });
        }
    }

    fn switch_to_http(&mut self, conn: ConnId) {
        let unread = self
            .conns
            .get(&conn)
            .map(|c| Bytes::copy_from_slice(c.reader.unread()))
            .unwrap_or_default();
        self.forget(conn);
        self.out.push_back(Output::Switch {
            conn,
            service: Service::Http,
            unread,
        });
    }

    /// The connection of a flow, if the flow is still its own.
    pub(super) fn conn_of(&self, flow: FlowId) -> Option<ConnId> {
        self.flows.get(&flow).copied()
    }
}

/// True if a connection begins with a request of HTTP; `None` if that cannot be said yet.
fn is_http(bytes: &[u8]) -> Option<bool> {
    let mut open = false;
    for method in HTTP_METHODS {
        if bytes.starts_with(method) {
            return Some(true);
        }
        open |= method.starts_with(bytes);
    }
    (!open).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::is_http;

    // Decision 9: MPlayer asks over HTTP where MMS was refused.
    #[test]
    fn http_is_told_by_its_first_bytes() {
        for http in [&b"GET / HTTP/1.0"[..], b"POST ", b"HEAD /x", b"OPTIONS *"] {
            assert_eq!(is_http(http), Some(true));
        }
        for not_yet in [&b""[..], b"G", b"GET", b"OPTIONS"] {
            assert_eq!(is_http(not_yet), None);
        }
        for other in [&[1u8][..], b"GETX", b"PUT ", b"get ", &[0]] {
            assert_eq!(is_http(other), Some(false));
        }
    }
}
