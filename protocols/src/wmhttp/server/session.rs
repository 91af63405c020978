//! Sessions: what the server remembers of an encoder between its requests and connections
//! (MS-WMHTTP 3.2.1, wmhttp.md 6.4).

use super::Server;
use super::conn::Phase;
use super::setup::is_same_user;
use super::timers::Timer;
use crate::machine::{CloseHow, ConnId, Fault, Output, Time};
use crate::media::{Ingest, IngestEvent};
use crate::wmhttp::request::Directives;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its encoder was asked who it is; it may not send yet.
    Asked,
    /// It waits for a PushStart (S1).
    Waiting,
    /// A PushStart's body comes on this connection (S2).
    Receiving(ConnId),
    /// The connection was lost within a body; the encoder may come back (S3).
    Orphan,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// Push-ID: known to the encoder, and a secret.
    pub id: u64,
    pub state: State,
    /// Where the encoder is.
    pub address: IpAddr,
    /// Who it said to be, when the application took it.
    pub user: Option<Arc<str>>,
    /// Path of the point.
    pub path: Box<str>,
    /// AutoDestroy.
    pub destroy: bool,
    /// What the first of several rounds asked for, of which the next may say nothing.
    pub asked_for: Directives,
    /// The connection that its last request came on, while it is there.
    pub conn: Option<ConnId>,
    /// Packet size of the header; `None`: no header has come.
    pub packet_size: Option<u32>,
    /// `$E(1)` came, and no header since.
    pub between_entries: bool,
    /// The encoder resumes after a loss, and may repeat its header.
    pub resumed: bool,
    /// Number of the next packet.
    pub packet: u32,
    /// When media last came.
    pub heard: Time,
}

impl Session {
    /// True once the application has taken the encoder for the point's source.
    pub fn publishes(&self) -> bool {
        self.state != State::Asked
    }

    /// True if nobody would miss it: the encoder's connection is gone.
    fn is_left(&self) -> bool {
        match self.state {
            State::Orphan => true,
            State::Waiting => self.conn.is_none(),
            State::Asked | State::Receiving(_) => false,
        }
    }
}

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// As the encoder said, with its reason.
    Said(u32),
    /// Something went wrong.
    Failed(Fault),
    /// The application took back what it gave.
    Evicted,
}

impl Server {
    /// The session that has this push-id.
    pub(super) fn number_of(&self, id: u64) -> Option<u64> {
        self.ids.get(&id).copied()
    }

    /// Make a session, with an id of its own (WMHTTP-72).
    pub(super) fn make_session(&mut self, now: Time, number: u64, path: &str, address: IpAddr) {
        let ids = &self.ids;
        let id = self
            .id_space
            .draw(&mut self.rng, |id| ids.contains_key(&id));
        self.ids.insert(id, number);
        let session = Session {
            id,
            state: State::Asked,
            address,
            user: None,
            path: path.into(),
            destroy: false,
            asked_for: Directives::default(),
            conn: None,
            packet_size: None,
            between_entries: false,
            resumed: false,
            packet: 0,
            heard: now,
        };
        self.sessions.insert(number, Box::new(session));
    }

    /// The session's last request came on this connection.
    pub(super) fn bind(&mut self, number: u64, conn: ConnId) {
        self.unbind(conn);
        let Some(s) = self.sessions.get_mut(&number) else {
            return;
        };
        if let Some(before) = s.conn.replace(conn).filter(|before| *before != conn)
            && let Some(c) = self.conns.get_mut(&before)
        {
            c.session = None;
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.session = Some(number);
        }
    }

    /// The connection is no longer that of its session. Gives the session.
    pub(super) fn unbind(&mut self, conn: ConnId) -> Option<u64> {
        let number = self.conns.get_mut(&conn)?.session.take()?;
        if let Some(s) = self.sessions.get_mut(&number) {
            s.conn = None;
        }
        Some(number)
    }

    /// Inactivity-Timeout runs, unless media comes or may come back (WMHTTP-75, WMHTTP-84, WMHTTP-95).
    pub(super) fn await_request(&mut self, now: Time, number: u64) {
        let waits = |s: &Session| matches!(s.state, State::Asked | State::Waiting);
        if self.sessions.get(&number).is_some_and(|s| waits(s)) {
            self.timers.disarm(Timer::Idle(number));
            let at = now + self.config.inactivity_timeout;
            self.timers.arm(Timer::Inactivity(number), at);
        }
    }

    /// A session's connection is gone (MS-WMHTTP 3.2.7.1).
    pub(super) fn lost_connection(&mut self, now: Time, conn: ConnId, number: u64) {
        let Some(s) = self.sessions.get_mut(&number) else {
            return;
        };
        if s.conn == Some(conn) {
            s.conn = None;
        }
        if s.state == State::Receiving(conn) {
            // WMHTTP-94: not fatal, Idle-Timeout goes on.
            s.state = State::Orphan;
        } else {
            self.await_request(now, number);
        }
    }

    /// Forget a session, and tell what became of it.
    pub(super) fn end_session(&mut self, number: u64, end: End) {
        let Some(s) = self.sessions.remove(&number) else {
            return;
        };
        self.ids.remove(&s.id);
        self.timers.disarm(Timer::Idle(number));
        self.timers.disarm(Timer::Inactivity(number));
        if let Some(c) = s.conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.session = None;
        }
        let event = match end {
            End::Evicted => return,
            End::Said(reason) => IngestEvent::End(reason),
            End::Failed(fault) => IngestEvent::Failed(fault),
        };
        if !s.publishes() {
            return;
        }
        // Who never sent a header has nothing to end.
        if s.packet_size.is_some() {
            self.ingest(number, event);
        }
        // WMHTTP-60, WMHTTP-87, WMHTTP-92, WMHTTP-93
        self.out.push_back(Output::Withdraw {
            session: number,
            destroy: s.destroy,
        });
    }

    pub(super) fn ingest(&mut self, session: u64, event: IngestEvent) {
        self.out
            .push_back(Output::Ingest(Ingest { session, event }));
    }

    /// Idle-Timeout: no media came for long, in a body or after its connection was lost (WMHTTP-92).
    pub(super) fn on_idle(&mut self, now: Time, number: u64) {
        let Some(s) = self.sessions.get(&number) else {
            return;
        };
        let due = s.heard + self.config.idle_timeout;
        if due > now {
            // Media came since; the deadline is moved here and not with each packet.
            self.timers.arm(Timer::Idle(number), due);
            return;
        }
        match s.state {
            State::Receiving(conn) => self.fail_body(now, conn, 408, "no media for too long"),
            State::Orphan => {
                let fault = Fault {
                    offset: 0,
                    reason: "the encoder's connection was lost".to_owned(),
                };
                self.end_session(number, End::Failed(fault));
            }
            State::Asked | State::Waiting => {}
        }
    }

    /// Inactivity-Timeout: no request came for long (WMHTTP-93).
    pub(super) fn on_inactivity(&mut self, now: Time, number: u64) {
        let Some(s) = self.sessions.get(&number) else {
            return;
        };
        let conn = s.conn;
        let fault = Fault {
            offset: 0,
            reason: "no request of the encoder for too long".to_owned(),
        };
        self.end_session(number, End::Failed(fault));
        if let Some(conn) = conn {
            self.close_unless_busy(now, conn);
        }
    }

    /// The application takes a point back (WMHTTP-60).
    pub(super) fn on_evict(&mut self, now: Time, number: u64, status: u16, why: &str) {
        let Some(s) = self.sessions.get(&number) else {
            return;
        };
        let (state, conn) = (s.state, s.conn);
        self.end_session(number, End::Evicted);
        match state {
            State::Receiving(conn) => self.refuse_body(now, conn, status, why, None),
            _ => {
                if let Some(conn) = conn {
                    self.close_unless_busy(now, conn);
                }
            }
        }
    }

    /// Close a connection that nothing is owed on.
    fn close_unless_busy(&mut self, now: Time, conn: ConnId) {
        let idle =
            |c: &super::conn::Conn| matches!(c.phase, Phase::Heads) && c.reader.buffered() == 0;
        if self.conns.get(&conn).is_some_and(|c| idle(c)) {
            self.close(now, conn, CloseHow::Flush, None);
        }
    }

    /// A session that has this path, that nobody would miss, and that seems to be of this encoder: it was
    /// cut off and begins anew (wmhttp.md 6.3). Whether it is who it says is for the application to find.
    pub(super) fn left_behind(
        &self,
        path: &str,
        user: Option<&str>,
        address: IpAddr,
    ) -> Option<u64> {
        let same = |s: &Session| {
            is_same_user(s.user.as_deref(), user) && (user.is_some() || s.address == address)
        };
        let mut all = self.sessions.iter();
        all.find(|(_, s)| s.is_left() && s.path.eq_ignore_ascii_case(path) && same(s))
            .map(|(n, _)| *n)
    }
}
