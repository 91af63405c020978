//! Connections: requests in, one at a time; replies out, in order.

use super::exchange::Exchange;
use super::session::State;
use super::timers::Timer;
use super::{Owner, Server};
use crate::access::Access;
use crate::content::ContentId;
use crate::http::Refused;
use crate::http::head::Version;
use crate::http::reader::{Reader, Step};
use crate::http::reply::{self, ReplyHead};
use crate::machine::{CloseHow, ConnId, Fault, Output, Service, Ticket, Time};
use crate::media::FlowId;
use crate::wmsp::cache_control;
use bytes::Bytes;
use std::net::SocketAddr;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub peer: SocketAddr,
    pub reader: Reader,
    /// The session whose data connection this is.
    pub session: Option<u32>,
    /// The flow that has the writing side.
    pub flow: Option<FlowId>,
    pub body: OpenBody,
    /// Close when the open body has ended.
    pub close_after: bool,
    /// Replies that wait for the end of the open body.
    pub pending: Vec<u8>,
    pub job: Option<Job>,
    pub access: Access,
}

/// The reply body that is not at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenBody {
    /// None: a reply can be written.
    None,
    /// The `$T` of a pipeline test, in chunks.
    Test,
    /// Media in chunks.
    Chunked,
    /// Media until the end of the connection, or until 512 `$E`.
    Raw,
}

/// What the connection's current request waits for.
#[derive(Debug)]
pub(super) enum Job {
    /// An answer.
    Asking(Ticket, Stage, Box<Exchange>),
    /// The session's flow to be held.
    Holding(Box<Exchange>),
    /// The end of a download.
    Download {
        flow: FlowId,
        content: ContentId,
        chunked: bool,
        close: bool,
    },
}

/// What was asked for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What does the URL name?
    Open,
    /// May what is held be played?
    Recheck,
    /// What follows the entry that is to be skipped?
    Skip,
    /// Where does it start?
    Cue,
}

impl Server {
    pub(super) fn on_opened(&mut self, now: Time, conn: ConnId, peer: SocketAddr) {
        self.conns.insert(
            conn,
            Box::new(Conn {
                peer,
                reader: Reader::default(),
                session: None,
                flow: None,
                body: OpenBody::None,
                close_after: false,
                pending: Vec::new(),
                job: None,
                access: Access::default(),
            }),
        );
        let at = now + self.config.idle_timeout;
        self.timers.arm(Timer::Quiet(conn), at);
    }

    pub(super) fn on_data(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.reader.push(bytes);
        self.pump(now, conn);
        // Of what waits behind a request that is not answered yet, one request's worth is kept.
        let limits = self.config.limits;
        if let Some(c) = self.conns.get(&conn)
            && c.job.is_some()
            && c.reader.buffered() > limits.head_bytes_max + limits.body_bytes_max
        {
            let fault = Fault {
                offset: c.reader.offset(),
                reason: "too many pipelined requests".into(),
            };
            self.close(now, conn, CloseHow::Abort, Some(fault));
        }
    }

    /// Take requests as long as nothing stands in their way.
    pub(super) fn pump(&mut self, now: Time, conn: ConnId) {
        loop {
            let Some(c) = self.conns.get_mut(&conn) else {
                return;
            };
            if c.job.is_some() {
                self.timers.disarm(Timer::Request(conn));
                self.timers.disarm(Timer::Quiet(conn));
                return;
            }
            match c.reader.next(&self.config.limits) {
                Ok(Step::Wait) => break,
                Ok(Step::Head) => self.on_head(now, conn),
                Ok(Step::Request(request)) => {
                    self.timers.disarm(Timer::Request(conn));
                    self.on_request(now, conn, request);
                }
                Err(refused) => return self.refuse_stream(now, conn, refused),
            }
        }
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if c.reader.buffered() > 0 {
            self.timers.disarm(Timer::Quiet(conn));
            if !self.timers.is_armed(Timer::Request(conn)) {
                let at = now + self.config.request_timeout;
                self.timers.arm(Timer::Request(conn), at);
            }
        } else {
            self.timers.disarm(Timer::Request(conn));
            match c.body {
                OpenBody::None => {
                    let at = now + self.config.idle_timeout;
                    self.timers.arm(Timer::Quiet(conn), at);
                }
                _ => self.timers.disarm(Timer::Quiet(conn)),
            }
        }
    }

    /// Write bytes, as one segment if they fit. Only when no flow has the connection.
    pub(super) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            debug_assert!(self.conns.get(&conn).is_none_or(|c| c.flow.is_none()));
            self.out.push_back(Output::Send {
                conn,
                bytes: Bytes::from(bytes),
            });
        }
    }

    /// Give a whole reply, now or when the open body has ended (WMSP-75, WMSP-80).
    pub(super) fn respond(&mut self, now: Time, conn: ConnId, bytes: Vec<u8>, close: bool) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.body == OpenBody::None {
            self.send(conn, bytes);
            if close {
                self.close(now, conn, CloseHow::Flush, None);
            }
            return;
        }
        c.pending.extend_from_slice(&bytes);
        c.close_after |= close;
        if c.pending.len() > self.config.pending_bytes_max {
            let fault = Fault {
                offset: c.reader.offset(),
                reason: "too many replies outstanding for pipelined requests".into(),
            };
            self.close(now, conn, CloseHow::Abort, Some(fault));
        }
    }

    /// The bytes that end the open body, and the replies that waited for it.
    pub(super) fn end_body(&mut self, conn: ConnId) -> Vec<u8> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        if matches!(c.body, OpenBody::Chunked | OpenBody::Test) {
            bytes.extend_from_slice(reply::LAST_CHUNK);
        }
        c.body = OpenBody::None;
        bytes.append(&mut std::mem::take(&mut c.pending));
        bytes
    }

    /// The test's body ends; the connection can be used for other replies.
    pub(super) fn end_test(&mut self, conn: ConnId) {
        self.timers.disarm(Timer::Test(conn));
        if self
            .conns
            .get(&conn)
            .is_some_and(|c| c.body == OpenBody::Test)
        {
            let bytes = self.end_body(conn);
            self.send(conn, bytes);
        }
    }

    /// Append one packet, or a piece of one, to a reply whose body is open.
    pub(super) fn put_media(chunked: bool, packet: &[u8], out: &mut Vec<u8>) {
        if chunked {
            reply::put_chunk(packet, out);
        } else {
            out.extend_from_slice(packet);
        }
    }

    pub(super) fn close(&mut self, now: Time, conn: ConnId, how: CloseHow, fault: Option<Fault>) {
        self.forget(now, conn);
        self.out.push_back(Output::Close { conn, how, fault });
    }

    /// The connection is gone, or about to go.
    pub(super) fn forget(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.remove(&conn) else {
            return;
        };
        for timer in [Timer::Request(conn), Timer::Quiet(conn), Timer::Test(conn)] {
            self.timers.disarm(timer);
        }
        match c.job {
            // The answer finds nobody and is released there.
            Some(Job::Asking(_, _, exchange)) => self.abandon(now, *exchange),
            Some(Job::Download { flow, content, .. }) => {
                self.flows.remove(&flow);
                self.out.push_back(Output::Release { content });
            }
            Some(Job::Holding(_)) | None => {}
        }
        if let Some(id) = c.session {
            self.lost_connection(now, id);
        }
    }

    /// Hand the connection over; its session, if it has one here, goes on without it.
    pub(super) fn move_to(&mut self, now: Time, conn: ConnId, core: u8) {
        let unread = self.take_unread(now, conn);
        self.out.push_back(Output::Move {
            conn,
            core: crate::machine::CoreId(core),
            unread,
        });
    }

    /// Hand the connection to another front end of this core, from the current request on.
    pub(super) fn switch_to(&mut self, now: Time, conn: ConnId, service: Service) {
        let unread = self.take_unread(now, conn);
        self.out.push_back(Output::Switch {
            conn,
            service,
            unread,
        });
    }

    /// Forget a connection that goes on elsewhere; gives what is to be read there.
    fn take_unread(&mut self, now: Time, conn: ConnId) -> Bytes {
        let c = self.conns.get(&conn);
        let unread = c.map(|c| Bytes::copy_from_slice(c.reader.unread()));
        self.forget(now, conn);
        unread.unwrap_or_default()
    }

    /// What came is not HTTP that we take: say so if nothing is in the way, and close.
    fn refuse_stream(&mut self, now: Time, conn: ConnId, refused: Refused) {
        let fault = Fault {
            offset: refused.offset,
            reason: format!("{} ({})", refused.reason, refused.status),
        };
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if c.body != OpenBody::None {
            return self.close(now, conn, CloseHow::Abort, Some(fault));
        }
        let version = c.reader.head().map_or(Version::Http10, |h| h.version);
        let mut head = ReplyHead::new(version, refused.status);
        head.header("Server", &self.config.server)
            .header("Cache-Control", cache_control::NO_CACHE)
            .header("Content-Length", 0)
            .header("Connection", "close");
        self.send(conn, head.finish());
        self.close(now, conn, CloseHow::Flush, Some(fault));
    }

    pub(super) fn on_slow_request(&mut self, now: Time, conn: ConnId) {
        if let Some(c) = self.conns.get(&conn) {
            let offset = c.reader.offset();
            let reason = "request takes too long";
            self.refuse_stream(
                now,
                conn,
                Refused {
                    status: 408,
                    reason,
                    offset,
                },
            );
        }
    }

    pub(super) fn on_quiet(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        // A data connection lives as long as its session, whose KeepAlives come on others.
        if c.session.is_some_and(|id| self.sessions.contains_key(&id)) {
            return;
        }
        self.close(now, conn, CloseHow::Flush, None);
    }

    /// The flow that has this connection has let go of it.
    pub(super) fn flow_left(&mut self, flow: FlowId) -> Option<Owner> {
        let owner = self.flows.get(&flow).copied()?;
        let conn = match owner {
            Owner::Conn(conn) => Some(conn),
            Owner::Session(id) => self.sessions.get(&id).and_then(|s| s.conn),
        };
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.flow = None;
        }
        Some(owner)
    }

    /// The session that plays on this connection, in this state.
    pub(super) fn plays_on(&self, conn: ConnId, state: State) -> bool {
        let session = self.conns.get(&conn).and_then(|c| c.session);
        session
            .and_then(|id| self.sessions.get(&id))
            .is_some_and(|s| s.state == state)
    }
}
