//! What a session says and how it understands the answers: a file for each protocol. A session's
//! sockets, its checks and its clock are the same for all of them.

mod mmsp;
mod rtsp;
mod wmsp;

use super::{Plan, Protocol, Target};
use crate::media::{DataHead, Subject};
use std::net::Ipv4Addr;

/// What a session asks for, and as whom.
pub(super) struct Wish<'a> {
    pub plan: &'a Plan,
    pub target: &'a Target,
    /// Number of the session.
    pub session: usize,
    /// Where datagrams are to go, if media is to come so.
    pub udp: Option<(Ipv4Addr, u16)>,
}

impl<'a> Wish<'a> {
    /// Of session `index` of a plan.
    pub fn new(plan: &'a Plan, index: usize, udp: Option<(Ipv4Addr, u16)>) -> Wish<'a> {
        Wish {
            plan,
            target: &plan.targets[index % plan.targets.len()],
            session: index,
            udp,
        }
    }

    fn subject(&self) -> Subject<'a> {
        Subject {
            target: &self.target.path,
            authority: &self.target.authority,
            player: self.plan.player,
            session: self.session,
        }
    }

    /// Where the session begins, ms.
    fn start_ms(&self) -> u32 {
        let spread = u64::from(self.plan.start_spread_ms);
        // Less than the spread, which has 32 bits.
        (self.session as u64 * 7919)
            .checked_rem(spread)
            .unwrap_or(0) as u32
    }
}

/// What the server says, as far as a session is interested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The wish is granted: media follows.
    Accepted,
    /// A packet of media.
    Data(DataHead),
    /// Another entry follows.
    StreamChange,
    /// Media that nobody asked for, or not any more.
    Stray,
    /// The end, with its reason; 1: of an entry only.
    End(u32),
}

/// What the server means that closes a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The next request wants a new connection.
    Again,
    /// Nothing is incomplete.
    Whole,
    /// It broke off inside a packet.
    Inside,
}

/// A session's side of the dialogue.
pub(super) enum Speech {
    Wmsp(wmsp::Talk),
    Mmsp(mmsp::Talk),
    Rtsp(Box<rtsp::Talk>),
}

impl Speech {
    pub fn new(protocol: Protocol) -> Speech {
        match protocol {
            Protocol::Wmsp => Speech::Wmsp(wmsp::Talk::default()),
            Protocol::Mmst | Protocol::Mmsu => Speech::Mmsp(mmsp::Talk::default()),
            Protocol::Rtspt | Protocol::Rtspu => Speech::Rtsp(Box::default()),
        }
    }

    /// A connection is there: what is said first goes to `out`.
    pub fn open(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        match self {
            Speech::Wmsp(talk) => talk.open(wish, out),
            Speech::Mmsp(talk) => talk.open(wish, out),
            Speech::Rtsp(talk) => talk.open(wish, out),
        }
    }

    /// Bytes of the connection, split in any way. What is to be said next goes to `out`. An error
    /// means that the session is over.
    pub fn hear(
        &mut self,
        wish: &Wish<'_>,
        data: &[u8],
        out: &mut Vec<u8>,
        each: impl FnMut(Heard),
    ) -> Result<(), String> {
        match self {
            Speech::Wmsp(talk) => talk.hear(wish, data, out, each),
            Speech::Mmsp(talk) => talk.hear(wish, data, out, each),
            Speech::Rtsp(talk) => talk.hear(wish, data, out, each),
        }
    }

    /// A datagram: its first bytes and its length. As [`Speech::hear`].
    pub fn hear_datagram(
        &mut self,
        wish: &Wish<'_>,
        head: &[u8],
        len: usize,
        out: &mut Vec<u8>,
        each: impl FnMut(Heard),
    ) -> Result<(), String> {
        match self {
            Speech::Wmsp(_) => Err("a datagram".into()),
            Speech::Mmsp(talk) => talk.hear_datagram(wish, head, len, out, each),
            Speech::Rtsp(talk) => talk.hear_datagram(wish, head, len, each),
        }
    }

    /// Called once a second while media has not come: what got lost is asked for again.
    pub fn remind(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Speech::Wmsp(_) | Speech::Rtsp(_) => Ok(()),
            Speech::Mmsp(talk) => talk.remind(wish, out),
        }
    }

    /// Called as often as the protocol wants it while there is media.
    pub fn keep_alive(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        if let Speech::Rtsp(talk) = self {
            talk.keep_alive(wish, out);
        }
    }

    /// The server has closed the connection.
    pub fn closing(&mut self) -> Closing {
        match self {
            Speech::Wmsp(talk) => talk.closing(),
            Speech::Mmsp(talk) => talk.closing(),
            Speech::Rtsp(talk) => talk.closing(),
        }
    }
}
