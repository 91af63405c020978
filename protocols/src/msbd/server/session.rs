//! What the server remembers of a client that was given the stream.

use crate::content::Content;
use crate::machine::Ticket;
use crate::media::FlowId;
use bytes::Bytes;

/// A client's session.
#[derive(Debug)]
pub(super) struct Session {
    /// It listens to the group.
    pub multicast: bool,
    /// The stream that was described last, unless it is over.
    pub content: Option<Box<Content>>,
    /// What REQ_STREAMINFO is answered with.
    pub described: Option<Bytes>,
    pub flow: Option<Flow>,
    pub asked: Option<(Ticket, Asked)>,
    /// dwPacketId of the next packet (MSBD-40, MSBD-41).
    pub next_id: u32,
    pub due: Due,
}

/// What the application was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Is there a stream by now?
    Open,
    /// Where does it start?
    Cue,
    /// What follows?
    Next,
}

/// What is to be said as soon as the connection is ours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    pub ping: bool,
    /// RES_STREAMINFO.
    pub info: bool,
    /// RES_CONNECT that refuses, and the end.
    pub refusal: bool,
}

impl Due {
    pub fn any(self) -> bool {
        self.ping || self.info || self.refusal
    }
}

/// A flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub id: FlowId,
    pub phase: Phase,
}

/// How far a flow on the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Asked to hold.
    Holding,
    Held,
}

impl Session {
    pub fn new(multicast: bool) -> Session {
        Session {
            multicast,
            content: None,
            described: None,
            flow: None,
            asked: None,
            next_id: 0,
            due: Due::default(),
        }
    }

    /// True if messages may be written: no flow has the connection.
    pub fn may_write(&self) -> bool {
        self.multicast || self.flow.is_none_or(|f| f.phase == Phase::Held)
    }
}
