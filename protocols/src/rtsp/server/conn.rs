//! Connections: requests in, one at a time; replies out, in order, between the packets of a flow.

use super::answer::Reply;
use super::request::{Exchange, Stage};
use super::session::State;
use super::{Server, Timer};
use crate::access::Access;
use crate::content::Content;
use crate::machine::{CloseHow, ConnId, CoreId, Fault, Output, Ticket, Time};
use crate::media::{FlowCommand, FlowId};
use crate::rtsp::head::Refused;
use crate::rtsp::reader::{Reader, Step};
use crate::wmsp::features::Supported;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Most of our own requests that a connection may owe an answer to.
const AWAITED_MAX: usize = 8;
/// How long a client that refused EndOfStream is kept (decision 12).
const REFUSED_GRACE: Duration = Duration::from_secs(2);

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub reader: Reader,
    pub access: Access,
    /// What it last said that it supports; `None`: it never said.
    pub supported: Option<Supported>,
    /// What a description opened.
    pub described: Option<Box<Described>>,
    /// Sessions that it controls.
    pub sessions: Vec<u64>,
    pub line: Line,
    /// Replies and requests that wait for the line, one write each.
    pub pending: VecDeque<Vec<u8>>,
    pub pending_bytes: usize,
    /// Close when they have left.
    pub close_after: bool,
    pub job: Option<Job>,
    /// CSeq of our last request.
    pub cseq: u32,
    /// Our requests that were not answered yet.
    pub awaited: VecDeque<Awaited>,
    pub beat: Beat,
}

/// A content that was described and not set up.
#[derive(Debug)]
pub(super) struct Described {
    /// Path of the presentation.
    pub path: String,
    /// URL of the presentation, without slash at its end, query or fragment.
    pub base: String,
    pub content: Box<Content>,
    /// Its streams, if they are served in payload formats of their own.
    pub plain: Option<super::media::plain::Streams>,
}

/// Who writes to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The machine.
    Free,
    /// A flow.
    Flow(FlowId),
    /// A flow that was asked to hold.
    Holding(FlowId),
    /// The machine, while this flow is held.
    Held(FlowId),
}

/// What the connection's current request waits for.
#[derive(Debug)]
pub(super) enum Job {
    /// An answer.
    Asking(Ticket, Stage, Box<Exchange>),
    /// The flow of a session to be held.
    Holding(FlowId, Box<Exchange>),
}

/// A request of ours that the client owes an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub cseq: u32,
    pub ends: bool,
}

/// Requests in the current heartbeat (RTSP-104).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beat {
    began: Time,
    count: u32,
    setups: u32,
}

impl Beat {
    /// Count a request; false if it is one too many. SETUPs count once for all streams of a content.
    pub fn admit(
        &mut self,
        now: Time,
        length: Duration,
        max: u32,
        setup: bool,
        streams: u32,
    ) -> bool {
        if now.since(self.began) >= length {
            *self = Beat {
                began: now,
                ..Beat::default()
            };
        }
        if setup {
            self.setups += 1;
            let first = self.setups == 1;
            if self.setups >= streams.max(1) {
                self.setups = 0;
            }
            if !first {
                return self.count <= max;
            }
        }
        self.count = self.count.saturating_add(1);
        self.count <= max
    }

    /// An entry was announced, which makes the client ask more.
    pub fn ease(&mut self) {
        self.count = self.count.saturating_sub(4);
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
        let c = Conn {
            peer,
            local,
            reader: Reader::default(),
            access: Access::default(),
            supported: None,
            described: None,
            sessions: Vec::new(),
            line: Line::Free,
            pending: VecDeque::new(),
            pending_bytes: 0,
            close_after: false,
            job: None,
            cseq: 0,
            awaited: VecDeque::new(),
            beat: Beat::default(),
        };
        self.conns.insert(conn, Box::new(c));
        self.timers
            .arm(Timer::Quiet(conn), now + self.config.idle_timeout);
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
            && c.reader.buffered()
                > limits.head_bytes_max + limits.body_bytes_max + limits.frame_bytes_max
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
            let refused = self.take_requests(now, conn);
            if let Some(refused) = refused {
                return self.refuse_stream(now, conn, refused);
            }
            let full = self.is_full(conn);
            self.settle(now, conn);
            // What did not fit behind the replies that left just now.
            if !full || self.is_full(conn) {
                break;
            }
        }
        self.watch(now, conn);
    }

    /// As many replies wait as may.
    fn is_full(&self, conn: ConnId) -> bool {
        let max = self.config.pending_bytes_max;
        self.conns.get(&conn).is_some_and(|c| c.pending_bytes > max)
    }

    fn take_requests(&mut self, now: Time, conn: ConnId) -> Option<Refused> {
        loop {
            let full = self.is_full(conn);
            let c = self.conns.get_mut(&conn)?;
            if c.job.is_some() || c.close_after || full {
                return None;
            }
            match c.reader.next(&self.config.limits) {
                Ok(Step::Wait) => return None,
                Ok(Step::Message(message)) => {
                    self.timers.disarm(Timer::Request(conn));
                    self.on_message(now, conn, message);
                }
                // Nothing that clients send in frames has a meaning here (rtsp-wme.md 2.1), but a player
                // of plain RTSP shows with them that it is alive.
                Ok(Step::Frame { .. } | Step::Skipped { .. }) => {
                    self.timers.disarm(Timer::Request(conn));
                    self.touch(now, conn);
                }
                Err(refused) => return Some(refused),
            }
        }
    }

    /// The deadlines of a connection whose input was taken as far as it goes.
    fn watch(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let waits = c.job.is_some() || self.is_full(conn);
        if c.reader.buffered() > 0 && !waits {
            if !self.timers.is_armed(Timer::Request(conn)) {
                let at = now + self.config.request_timeout;
                self.timers.arm(Timer::Request(conn), at);
            }
        } else {
            self.timers.disarm(Timer::Request(conn));
        }
        if c.sessions.is_empty() && !waits && c.reader.buffered() == 0 {
            let at = now + self.config.idle_timeout;
            self.timers.arm(Timer::Quiet(conn), at);
        } else {
            self.timers.disarm(Timer::Quiet(conn));
        }
    }

    /// Have a message leave when the line is free for it.
    pub(super) fn post(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if let Some(c) = self.conns.get_mut(&conn)
            && !bytes.is_empty()
        {
            c.pending_bytes += bytes.len();
            c.pending.push_back(bytes);
        }
    }

    /// Let out what waits, or see to it that it can leave; then the flow goes on.
    pub(super) fn settle(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match c.line {
            Line::Flow(flow) if !c.pending.is_empty() => {
                c.line = Line::Holding(flow);
                self.out.push_back(Output::Flow {
                    flow,
                    command: FlowCommand::Hold,
                });
            }
            Line::Flow(_) | Line::Holding(_) => {}
            Line::Free | Line::Held(_) => {
                c.pending_bytes = 0;
                for bytes in std::mem::take(&mut c.pending) {
                    self.out.push_back(Output::Send {
                        conn,
                        bytes: Bytes::from(bytes),
                    });
                }
                if c.close_after {
                    return self.close(now, conn, CloseHow::Flush, None);
                }
                if let Line::Held(flow) = c.line {
                    self.out.push_back(Output::Flow {
                        flow,
                        command: FlowCommand::Go,
                    });
                    c.line = Line::Flow(flow);
                    // A request that came since waits for the same flow.
                    if matches!(&c.job, Some(Job::Holding(of, _)) if *of == flow) {
                        c.line = Line::Holding(flow);
                        self.out.push_back(Output::Flow {
                            flow,
                            command: FlowCommand::Hold,
                        });
                    }
                }
            }
        }
    }

    /// A request of ours: its CSeq, after noting that an answer is owed.
    pub(super) fn next_cseq(&mut self, conn: ConnId, ends: bool) -> u32 {
        let Some(c) = self.conns.get_mut(&conn) else {
            return 0;
        };
        c.cseq = c.cseq.wrapping_add(1);
        // A client that never answers is not waited for.
        if c.awaited.len() == AWAITED_MAX {
            c.awaited.pop_front();
        }
        c.awaited.push_back(Awaited { cseq: c.cseq, ends });
        c.cseq
    }

    /// An answer to a request of ours. FFmpeg's has no CSeq: it is about the oldest one (RTSP-113).
    pub(super) fn on_response(&mut self, now: Time, conn: ConnId, cseq: Option<u32>, status: u16) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let at = match cseq {
            Some(cseq) => c.awaited.iter().position(|a| a.cseq == cseq),
            None => (!c.awaited.is_empty()).then_some(0),
        };
        let Some(answered) = at.and_then(|at| c.awaited.remove(at)) else {
            return;
        };
        // RTSP-139, decision 12: FFmpeg waits for ever otherwise.
        let refused = !(200..300).contains(&status);
        if answered.ends && refused && c.supported.is_none() {
            self.timers.arm(Timer::Refused(conn), now + REFUSED_GRACE);
        }
    }

    pub(super) fn on_refused_end(&mut self, now: Time, conn: ConnId) {
        let plays = self.conns.get(&conn).is_some_and(|c| {
            let playing = |id| {
                self.sessions
                    .get(id)
                    .is_some_and(|s| s.state == State::Playing)
            };
            c.sessions.iter().any(playing)
        });
        if plays {
            return;
        }
        let sessions = self
            .conns
            .get_mut(&conn)
            .map(|c| std::mem::take(&mut c.sessions));
        for id in sessions.unwrap_or_default() {
            self.delete_session(id);
        }
        self.close(now, conn, CloseHow::Flush, None);
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
        for timer in [
            Timer::Request(conn),
            Timer::Quiet(conn),
            Timer::Refused(conn),
        ] {
            self.timers.disarm(timer);
        }
        match c.job {
            // The answer finds nobody and is released there.
            Some(Job::Asking(_, _, mut ex) | Job::Holding(_, mut ex)) => self.abandon(&mut ex),
            None => {}
        }
        // RTSP-126: what was only described goes.
        if let Some(described) = c.described {
            self.release(described.content.id);
        }
        for id in c.sessions {
            self.lost_connection(now, id);
        }
    }

    /// Hand the connection over, with the message at `offset` and what follows it.
    pub(super) fn move_to(&mut self, now: Time, conn: ConnId, core: u8, offset: u64) {
        let unread = self
            .conns
            .get(&conn)
            .map(|c| Bytes::copy_from_slice(c.reader.unread_from(offset)))
            .unwrap_or_default();
        self.forget(now, conn);
        self.out.push_back(Output::Move {
            conn,
            core: CoreId(core),
            unread,
        });
    }

    /// What came is not RTSP that we take: say so, and close.
    fn refuse_stream(&mut self, now: Time, conn: ConnId, refused: Refused) {
        let fault = Fault {
            offset: refused.fault.offset,
            reason: format!("{} ({})", refused.fault, refused.status),
        };
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if !matches!(c.line, Line::Free | Line::Held(_)) {
            return self.close(now, conn, CloseHow::Abort, Some(fault));
        }
        let reply = Reply::bare(refused.status, &self.config.server);
        self.post(conn, reply);
        for bytes in self
            .conns
            .get_mut(&conn)
            .map(|c| std::mem::take(&mut c.pending))
            .unwrap_or_default()
        {
            self.out.push_back(Output::Send {
                conn,
                bytes: Bytes::from(bytes),
            });
        }
        self.close(now, conn, CloseHow::Flush, Some(fault));
    }

    pub(super) fn on_slow_request(&mut self, now: Time, conn: ConnId) {
        if let Some(c) = self.conns.get(&conn) {
            let fault = crate::rtsp::Fault {
                production: "request",
                reason: "takes too long",
                offset: c.reader.offset(),
            };
            self.refuse_stream(now, conn, Refused { status: 408, fault });
        }
    }

    pub(super) fn on_quiet(&mut self, now: Time, conn: ConnId) {
        if self.conns.get(&conn).is_some_and(|c| c.sessions.is_empty()) {
            self.close(now, conn, CloseHow::Flush, None);
        }
    }

    /// Something came that shows that the sessions of a connection are wanted.
    fn touch(&mut self, now: Time, conn: ConnId) {
        let sessions = self.conns.get(&conn).map(|c| c.sessions.clone());
        for id in sessions.unwrap_or_default() {
            self.arm_idle(now, id);
        }
    }
}
