//! Sessions: what the server remembers of a client between its requests and connections.

use super::conn::{Conn, Described};
use super::media::Mark;
use super::{Server, Timer};
use crate::content::{Content, ContentId, Level, Selection};
use crate::home::Home;
use crate::machine::{CloseHow, ConnId, Output, Ticket, Time};
use crate::media::{FlowCommand, FlowId};
use crate::rate::bucket::TokenBucket;
use crate::rtsp::body::EndReason;
use crate::rtsp::fec::{Encoder, Params};
use crate::rtsp::transport::{Lower, Spec};
use crate::wmsp::features::Supported;
use rand_chacha::rand_core::RngCore;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Where a session stands (rtsp-wme.md 6.1). INIT is a connection's, before there is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Set up, or stopped.
    Ready,
    /// Media flows.
    Playing,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// For reports; unlike the id no secret.
    pub number: u64,
    /// Who made it: nobody else may use it.
    pub peer: IpAddr,
    pub supported: Option<Supported>,
    /// A player of this family: it follows from entry to entry.
    pub follows: bool,
    pub state: State,
    /// A Pause in READY is good (RTSP-95).
    pub pause_ok: bool,
    /// The end that is told when the last datagrams have had time to arrive, and its reason.
    pub ending: Option<Option<EndReason>>,
    /// An entry was announced and not played since (RTSP-114).
    pub announced: bool,
    /// Path of the presentation.
    pub path: Box<str>,
    /// URL of the presentation, without slash at its end.
    pub base: Box<str>,
    pub content: Box<Content>,
    /// Number of the entry as the client knows it, and of the one before; 0 is none.
    pub gen_id: u32,
    pub previous_id: u32,
    /// All streams have the same control URL (RTSP-137).
    pub one_control: bool,
    pub legs: Vec<Leg>,
    /// What was answered to the last SETUP.
    pub last_spec: Spec,
    /// Where media goes, from the first stream on.
    pub route: Option<Route>,
    /// Where retransmissions go.
    pub rtx: Option<Rtx>,
    pub fec: Option<Rc<RefCell<Encoder>>>,
    /// The connection that controls it.
    pub conn: Option<ConnId>,
    pub flow: Option<Flow>,
    /// The flow that has ended, whose packets can still be sent again.
    pub tail: Option<Flow>,
    /// The flow that was started last; a log that comes after its end is about it.
    pub last_flow: Option<FlowId>,
    /// Bit/s; 0 unknown (BW-57).
    pub bandwidth: u32,
    pub lag_ms: u32,
    pub speed_milli: Option<u32>,
    pub block_size: Option<u32>,
    /// The packet that a Play without a position goes on with.
    pub resume_at: Option<u32>,
    pub change: Change,
    pub resends: TokenBucket,
    /// Its streams are served in payload formats of their own.
    pub plain: Option<Box<super::media::plain::Streams>>,
    /// Where its receiver reports come from.
    pub reporters: Vec<SocketAddr>,
}

/// A stream that was set up.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// URL with which it was set up, and which goes on to name what replaces it (RTSP-97).
    pub url: String,
    /// Bit n: stream n of the content.
    pub streams: u128,
    pub level: Level,
    /// Error correction for these streams, not they themselves.
    pub fec: Option<Params>,
    /// What was answered.
    pub spec: Spec,
    /// What `RTP-Info` tells of a stream whose packets go with another's (rtsp-wme.md 2.6).
    pub sequence: u16,
}

/// Where the media of a session goes.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub lower: Lower,
    /// Client's RTP port.
    pub port: u16,
    pub channel: u8,
    pub ssrc: u32,
    /// RTP sequence number of the next packet, while no flow runs.
    pub sequence: u16,
}

/// A retransmission stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtx {
    pub ssrc: u32,
    /// v-port (RTSP-32).
    pub port: u16,
    pub pair_sequence: u16,
}

/// A flow of a session.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub id: FlowId,
    /// RTP sequence number of its first packet.
    pub first: u16,
    pub mark: Mark,
    pub on_connection: bool,
    pub rate_milli: i32,
    /// An end was asked for: it is the end of all.
    pub limited: bool,
}

/// How far the change to the next entry is.
#[derive(Debug)]
pub(super) enum Change {
    /// None going on.
    None,
    /// Is there a next entry?
    Asked(Ticket),
    /// There is; its announcement waits for the client's lag.
    Later(Box<Content>),
    /// There is; it is announced after the next Play (RTSP-114).
    Pending(Box<Content>),
    /// Where does it begin?
    Cueing(Ticket, Box<Content>, Selection),
}

impl Change {
    /// The content that was opened for the change, which does not happen.
    pub fn abandoned(self) -> Option<ContentId> {
        match self {
            Change::Later(content) | Change::Pending(content) | Change::Cueing(_, content, _) => {
                Some(content.id)
            }
            Change::None | Change::Asked(_) => None,
        }
    }
}

impl Session {
    /// The streams that are set up, and how much of them.
    pub fn selection(&self) -> Selection {
        let mut selection = Selection::NONE;
        for leg in self.legs.iter().filter(|l| l.fec.is_none()) {
            for number in 1..=127 {
                if leg.streams >> number & 1 == 1 {
                    selection.set(number, leg.level);
                }
            }
        }
        selection
    }

    /// RTP sequence number of the next packet.
    pub fn next_sequence(&self) -> u16 {
        match (&self.flow, &self.route) {
            (Some(flow), _) => flow.first.wrapping_add(flow.mark.get().sequence as u16),
            (None, Some(route)) => route.sequence,
            (None, None) => 0,
        }
    }

    /// The flow is over: numbering goes on behind it.
    pub fn account(&mut self, flow: &Flow, sequence: u32) {
        if let Some(route) = &mut self.route {
            route.sequence = flow.first.wrapping_add(sequence as u16);
        }
        self.resume_at = flow.mark.get().packet.map(|p| p.saturating_add(1));
    }

    pub fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    pub fn is_on_connection(&self) -> bool {
        self.route.as_ref().is_some_and(|r| r.lower == Lower::Tcp)
    }
}

impl Session {
    /// A session that holds what was described.
    pub fn new(
        described: Described,
        number: u64,
        peer: IpAddr,
        resends: u64,
        now: Time,
    ) -> Session {
        let Described {
            path,
            base,
            content,
            plain,
        } = described;
        Session {
            number,
            peer,
            supported: None,
            follows: false,
            state: State::Ready,
            pause_ok: false,
            ending: None,
            announced: false,
            path: path.into(),
            base: base.into(),
            gen_id: content.entry,
            previous_id: 0,
            one_control: false,
            legs: Vec::new(),
            last_spec: Spec::default(),
            route: None,
            rtx: None,
            fec: None,
            conn: None,
            flow: None,
            tail: None,
            last_flow: None,
            bandwidth: 0,
            lag_ms: 0,
            speed_milli: None,
            block_size: None,
            resume_at: None,
            change: Change::None,
            resends: TokenBucket::new(resends, resends, now),
            plain: plain.map(Box::new),
            reporters: Vec::new(),
            content,
        }
    }

    pub fn by(self, supported: Option<Supported>, follows: bool, one_control: bool) -> Session {
        Session {
            supported,
            follows,
            one_control,
            ..self
        }
    }

    pub fn into_described(self) -> Described {
        Described {
            path: self.path.into(),
            base: self.base.into(),
            plain: self.plain.map(|p| *p),
            content: self.content,
        }
    }

    /// The first of two channels that no stream has.
    pub fn free_channel(&self) -> u8 {
        let used = |c: u8| {
            self.legs
                .iter()
                .filter_map(|l| l.spec.interleaved)
                .any(|p| p.first == c || p.second == Some(c))
        };
        (0..=252)
            .step_by(2)
            .find(|c| !used(*c) && !used(*c + 1))
            .unwrap_or(254)
    }
}

/// The text of a session's id: 20 digits.
pub(super) fn id_text(id: u64) -> String {
    format!("{id:020}")
}

/// The id of a text, if it can be one of ours.
pub(super) fn id_of(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Server {
    /// Where the session of this id is, if it is anywhere.
    pub(super) fn home(&self, id: u64) -> Home {
        self.space().home((id >> 32) as u32)
    }

    /// A number for a new session: 56 bits or more of it are random, the rest names this core.
    pub(super) fn new_id(&mut self) -> u64 {
        loop {
            let space = self.space();
            let top = space.draw(&mut self.rng, |_| false);
            let id = u64::from(top) << 32 | u64::from(self.rng.next_u32());
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Start the idle timer anew, unless media goes over TCP (decision 13).
    pub(super) fn arm_idle(&mut self, now: Time, id: u64) {
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        if s.state == State::Playing && s.is_on_connection() {
            self.timers.disarm(Timer::Idle(id));
        } else {
            self.timers
                .arm(Timer::Idle(id), now + self.config.idle_timeout);
        }
    }

    /// The connection is gone, and with it the flow (RTSP-126).
    pub(super) fn lost_connection(&mut self, now: Time, id: u64) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.conn = None;
        s.state = State::Ready;
        if let Some(flow) = s.flow.take() {
            self.flows.remove(&flow.id);
            let sequence = flow.mark.get().sequence;
            s.account(&flow, sequence);
        }
        if let Some(tail) = s.tail.take() {
            self.flows.remove(&tail.id);
        }
        self.timers.disarm(Timer::Tail(id));
        self.arm_idle(now, id);
    }

    /// Idle expiry (RTSP-124): the session goes, and its connection.
    pub(super) fn expire(&mut self, now: Time, id: u64) {
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        // FFmpeg leaves a session over UDP behind, and goes on over TCP on the same connection.
        let others = |c: &Conn| s.flow.is_none() && c.sessions.len() > 1;
        let shared = |conn: &ConnId| self.conns.get(conn).is_some_and(|c| others(c));
        if let Some(conn) = s.conn.filter(|conn| !shared(conn)) {
            // The connection goes first: a flow that runs goes with it.
            self.close(now, conn, CloseHow::Flush, None);
        }
        self.delete_session(id);
    }

    /// Forget a session. Its flow must be held, have ended, or have gone with its connection.
    pub(super) fn delete_session(&mut self, id: u64) {
        let Some(s) = self.sessions.remove(&id) else {
            return;
        };
        for timer in [
            Timer::Idle(id),
            Timer::Lag(id),
            Timer::Tail(id),
            Timer::Goodbye(id),
        ] {
            self.timers.disarm(timer);
        }
        if let Some(tail) = s.tail {
            self.flows.remove(&tail.id);
            self.drop_flow(tail.id);
        }
        if let Some(rtx) = s.rtx {
            self.resends.remove(&rtx.ssrc);
        }
        for address in &s.reporters {
            if self.reporters.get(address) == Some(&id) {
                self.reporters.remove(address);
            }
        }
        if let Some(conn) = s.conn
            && let Some(c) = self.conns.get_mut(&conn)
        {
            c.sessions.retain(|other| *other != id);
        }
        self.release(s.content.id);
        if let Some(next) = s.change.abandoned() {
            self.release(next);
        }
    }

    pub(super) fn drop_flow(&mut self, flow: FlowId) {
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Drop,
        });
    }

    /// What was sent last is too old to be sent again.
    pub(super) fn drop_tail(&mut self, id: u64) {
        self.timers.disarm(Timer::Tail(id));
        let tail = self.sessions.get_mut(&id).and_then(|s| s.tail.take());
        if let Some(tail) = tail {
            self.flows.remove(&tail.id);
            self.drop_flow(tail.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RTSP-101
    #[test]
    fn ids_are_twenty_digits() {
        for id in [1, u64::MAX, 0x0123_4567_89AB_CDEF] {
            assert_eq!(id_text(id).len(), 20);
            assert_eq!(id_of(&id_text(id)), Some(id));
        }
        for bad in ["", "1", "18446744073709551616", "+0000000000000000001"] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
    }
}
