//! Sessions: what the server remembers of a client between its requests and connections.

use super::Server;
use super::timers::Timer;
use crate::content::{Content, ContentId, Selection, StreamInfo};
use crate::home::{Home, IdSpace};
use crate::machine::{CloseHow, ConnId, Output, Ticket, Time};
use crate::media::{FlowId, FlowTotals};
use crate::wmsp::features::Supported;
use crate::wmsp::version::Client;
use std::sync::Arc;

/// Where a session stands (wmsp.md 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Described.
    Init,
    /// Stopped, or at its end.
    Idle,
    /// Media flows, or will after the change of entry that is going on.
    Streaming,
    /// At the start of an entry, until the client selects streams.
    Waiting,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// For reports; unlike the client-id no secret.
    pub number: u64,
    pub client: Client,
    pub supported: Supported,
    pub state: State,
    /// The last Play was answered in chunks.
    pub pipelined: bool,
    /// The first request of a pipeline test has come.
    pub test_started: bool,
    /// A Play has come: the next one counts the incarnation on.
    pub played: bool,
    pub incarnation: u8,
    /// AFFlags of the last `$D`, if there was one.
    pub last_flags: Option<u8>,
    /// The data connection (WMSP-124).
    pub conn: Option<ConnId>,
    pub flow: Option<FlowId>,
    /// The flow that was started last; a log that comes after its end is about it.
    pub last_flow: Option<FlowId>,
    pub held: Option<Held>,
    /// When SelectStream was last used.
    pub selected: Option<Time>,
    /// While playing.
    pub play: Option<Box<Play>>,
}

/// The content that a session has opened.
#[derive(Debug)]
pub(super) enum Held {
    /// All about it, and under what target it was opened.
    Whole {
        target: Box<str>,
        content: Box<Content>,
    },
    /// As much as is needed while it plays.
    Slim {
        id: ContentId,
        streams: Arc<[StreamInfo]>,
    },
}

impl Held {
    pub fn id(&self) -> ContentId {
        match self {
            Held::Whole { content, .. } => content.id,
            Held::Slim { id, .. } => *id,
        }
    }

    pub fn streams(&self) -> &[StreamInfo] {
        match self {
            Held::Whole { content, .. } => &content.streams,
            Held::Slim { streams, .. } => streams,
        }
    }

    pub fn content(&self) -> Option<&Content> {
        match self {
            Held::Whole { content, .. } => Some(content),
            Held::Slim { .. } => None,
        }
    }

    /// What is kept of a content while it plays: of a playlist everything, since a seek must not
    /// open it anew and land in its first entry; of others the least.
    pub fn playing(target: String, content: Box<Content>) -> Held {
        if content.playlist {
            return Held::Whole {
                target: target.into(),
                content,
            };
        }
        Held::Slim {
            id: content.id,
            streams: content.streams,
        }
    }
}

/// What a session knows only while it plays.
#[derive(Debug)]
pub(super) struct Play {
    pub selection: Selection,
    pub rate_milli: i32,
    /// max-duration was asked for: the end of the flow is the end of all.
    pub limited: bool,
    pub speed_milli: Option<u32>,
    /// client-lag, ms.
    pub lag_ms: u32,
    /// LinkBW, bit/s; 0 unknown (BW-57).
    pub link_bw: u32,
    pub change: Change,
    /// The connection whose request waits until the flow is held.
    pub holding: Option<ConnId>,
    /// That request was a Stop, which is carried out even if its connection is gone.
    pub stopping: bool,
}

/// How far the change to the next entry is.
#[derive(Debug)]
pub(super) enum Change {
    /// None going on.
    None,
    /// Is there a next entry?
    Asked(Ticket),
    /// There is; `$C` is held back.
    Later(Box<Content>),
    /// Where does it begin?
    Cueing(Ticket, Box<Coming>),
}

/// The entry that comes next.
#[derive(Debug)]
pub(super) struct Coming {
    pub content: Box<Content>,
    pub selection: Selection,
}

impl Change {
    /// The content that was opened for the change, which does not happen.
    pub fn abandoned(self) -> Option<ContentId> {
        match self {
            Change::Later(content) => Some(content.id),
            Change::Cueing(_, coming) => Some(coming.content.id),
            Change::None | Change::Asked(_) => None,
        }
    }
}

impl Server {
    /// Where the session of this client-id is, if it is anywhere.
    pub(super) fn home(&self, client_id: u32) -> Home {
        self.space().home(client_id)
    }

    fn space(&self) -> IdSpace {
        IdSpace::new(self.config.core, self.config.cores)
    }

    /// Make a session; its client-id is drawn at random and carries this core.
    pub(super) fn new_session(&mut self, client: Client, supported: Supported) -> u32 {
        let space = self.space();
        let taken = |id| self.sessions.contains_key(&id);
        let id = space.draw(&mut self.rng, taken);
        let number = self.count();
        self.sessions.insert(
            id,
            Box::new(Session {
                number,
                client,
                supported,
                state: State::Init,
                pipelined: false,
                test_started: false,
                played: false,
                incarnation: 0,
                last_flags: None,
                conn: None,
                flow: None,
                last_flow: None,
                held: None,
                selected: None,
                play: None,
            }),
        );
        id
    }

    /// Start the idle timer anew, unless media flows.
    pub(super) fn arm_idle(&mut self, now: Time, id: u32) {
        if let Some(s) = self.sessions.get(&id)
            && s.state != State::Streaming
        {
            self.timers
                .arm(Timer::Idle(id), now + self.config.idle_timeout);
        }
    }

    /// The connection is no session's data connection any more: it counts as idle from now on.
    fn unbind(&mut self, now: Time, conn: ConnId) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.session = None;
            let at = now + self.config.idle_timeout;
            self.timers.arm(Timer::Quiet(conn), at);
        }
    }

    /// Make `conn` the session's data connection.
    pub(super) fn bind(&mut self, now: Time, id: u32, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(other) = c.session.replace(id).filter(|o| *o != id)
            && let Some(s) = self.sessions.get_mut(&other)
        {
            s.conn = None;
        }
        if let Some(s) = self.sessions.get_mut(&id)
            && let Some(old) = s.conn.replace(conn).filter(|o| *o != conn)
        {
            self.unbind(now, old);
        }
    }

    /// Have the session hold a content; what it held before is released.
    pub(super) fn keep(&mut self, id: u32, held: Held) {
        let old = match self.sessions.get_mut(&id) {
            Some(s) => s.held.replace(held),
            None => Some(held),
        };
        if let Some(old) = old {
            self.out.push_back(Output::Release { content: old.id() });
        }
    }

    /// Let go of the content that the session holds, and of one that it was about to change to.
    pub(super) fn release_content(&mut self, id: u32) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let next = s.play.take().and_then(|p| p.change.abandoned());
        let held = s.held.take().map(|h| h.id());
        for content in held.into_iter().chain(next) {
            self.out.push_back(Output::Release { content });
        }
        self.timers.disarm(Timer::Change(id));
    }

    /// The data connection is gone, and the flow with it (WMSP-91).
    pub(super) fn lost_connection(&mut self, now: Time, id: u32) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.conn = None;
        // How much of the flow was sent is not known: the sequence starts anew.
        if let Some(flow) = s.flow.take() {
            s.last_flags = None;
            self.flows.remove(&flow);
        }
        let waiting = s.play.as_ref().and_then(|p| p.holding);
        let slim = matches!(s.held, Some(Held::Slim { .. }));
        if slim || matches!(s.state, State::Streaming | State::Waiting) {
            s.state = State::Idle;
            self.release_content(id);
        }
        self.arm_idle(now, id);
        if let Some(conn) = waiting {
            self.hold_is_moot(now, conn);
        }
    }

    /// A flow of the session has stopped after sending this much.
    pub(super) fn account(&mut self, id: u32, totals: FlowTotals) {
        if let Some(s) = self.sessions.get_mut(&id)
            && totals.packets > 0
        {
            let first = first_flags(s.last_flags);
            s.last_flags = Some(first.wrapping_add((totals.packets - 1) as u8));
        }
    }

    /// Idle expiry (WMSP-89): the session and its data connection go.
    pub(super) fn expire(&mut self, now: Time, id: u32) {
        self.release_content(id);
        if let Some(s) = self.sessions.remove(&id)
            && let Some(conn) = s.conn
        {
            if let Some(c) = self.conns.get_mut(&conn) {
                c.session = None;
            }
            self.close(now, conn, CloseHow::Flush, None);
        }
    }

    /// Forget a session that never came to anything; its connection stays.
    pub(super) fn delete_session(&mut self, now: Time, id: u32) {
        self.release_content(id);
        self.timers.disarm(Timer::Idle(id));
        if let Some(conn) = self.sessions.remove(&id).and_then(|s| s.conn) {
            self.unbind(now, conn);
        }
    }
}

/// AFFlags of the first `$D` of a flow when `last` were those of the one before (WMSP-11, WMSP-12).
pub(super) fn first_flags(last: Option<u8>) -> u8 {
    match last {
        None | Some(254) => 0,
        Some(n) => n.wrapping_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // WMSP-12
    #[test]
    fn flags_after_254_start_anew() {
        let first = [None, Some(0), Some(253), Some(254), Some(255)].map(first_flags);
        assert_eq!(first, [0, 1, 254, 0, 0]);
    }
}
