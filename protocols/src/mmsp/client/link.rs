//! The connection of a client: messages out, replies in their order.

use crate::machine::{ConnId, Time};
use crate::mmsp::message::ToClient;
use crate::mmsp::wire::Reader;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What the server owes an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Connect,
    FunnelInfo,
    ConnectFunnel,
    OpenFile,
    ReadBlock,
    /// The header's fragments on the connection.
    Header,
    StreamSwitch,
    Start,
    Stride,
    Stop,
}

impl Due {
    /// The message that asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Due::Connect => "Connect",
            Due::FunnelInfo => "FunnelInfo",
            Due::ConnectFunnel => "ConnectFunnel",
            Due::OpenFile => "OpenFile",
            Due::ReadBlock => "ReadBlock",
            Due::Header => "ReadBlock (header)",
            Due::StreamSwitch => "StreamSwitch",
            Due::Start => "StartPlaying",
            Due::Stride => "StartStriding",
            Due::Stop => "StopPlaying",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    /// The server's end and ours, once it is open.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    pub reader: Reader<ToClient>,
    /// Of the next packet that is written (MMSP-05).
    pub seq: u16,
    /// When the first one was.
    pub first_sent: Option<Time>,
    /// Asked for and not yet answered.
    pub due: VecDeque<Due>,
    /// Last sign of progress towards what is due.
    pub since: Time,
}

impl Link {
    pub fn new(conn: ConnId, now: Time) -> Link {
        Link {
            conn,
            ends: None,
            reader: Reader::default(),
            seq: 0,
            first_sent: None,
            due: VecDeque::new(),
            since: now,
        }
    }

    pub fn opened(&self) -> bool {
        self.ends.is_some()
    }

    /// Since when the connection or an answer is waited for.
    pub fn owed_since(&self) -> Option<Time> {
        (!self.opened() || !self.due.is_empty()).then_some(self.since)
    }

    /// True if the answer was owed; it no longer is.
    pub fn settle(&mut self, what: Due) -> bool {
        let at = self.due.iter().position(|d| *d == what);
        at.and_then(|at| self.due.remove(at)).is_some()
    }
}
