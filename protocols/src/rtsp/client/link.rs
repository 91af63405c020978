//! The connection of a client: requests out, replies in their order (RTSP-119).

use crate::machine::{ConnId, Time};
use crate::rtsp::body::ContentType;
use crate::rtsp::head::Method;
use crate::rtsp::reader::{Limits, Reader};
use crate::rtsp::sdp_reader;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a server may send.
pub(super) const LIMITS: Limits = Limits {
    head_bytes_max: 64 * 1024,
    body_bytes_max: sdp_reader::BYTES_MAX,
    frame_bytes_max: 65_535,
};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Describe,
    ContentInfo,
    TcpPair,
    UdpPair,
    /// SETUP of retransmission.
    Rtx,
    /// SETUP of the stream with this URL.
    Setup(String),
    /// SETUP of the correction of the stream with this URL.
    Correct(String),
    /// TEARDOWN of a stream.
    Remove,
    /// SelectStream by SET_PARAMETER.
    Switch,
    Play,
    /// Play of what the server began already.
    Confirm,
    Pause,
    LogConnect,
    LogPlay,
    KeepAlive,
    Teardown,
}

impl Kind {
    /// As the specification names it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Describe => "Describe",
            Kind::ContentInfo => "GetContentInfo",
            Kind::TcpPair => "TcpPacketPair",
            Kind::UdpPair => "UdpPacketPair",
            Kind::Rtx | Kind::Setup(_) | Kind::Correct(_) | Kind::Remove | Kind::Switch => {
                "SelectStream"
            }
            Kind::Play | Kind::Confirm => "Play",
            Kind::Pause => "Pause",
            Kind::LogConnect => "LogConnect",
            Kind::LogPlay => "LogPlay",
            Kind::KeepAlive => "KeepAlive",
            Kind::Teardown => "Teardown",
        }
    }

    /// One of those that bring a session's streams about.
    pub fn selects(&self) -> bool {
        matches!(self, Kind::Setup(_) | Kind::Correct(_) | Kind::Remove)
    }
}

/// A request, as far as it can be written once more.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub kind: Kind,
    pub method: Method,
    pub uri: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<(ContentType, Vec<u8>)>,
    /// It was answered with a challenge once.
    pub proven: bool,
    pub cseq: u32,
    pub sent: Time,
}

impl Ask {
    pub fn new(kind: Kind, method: Method, uri: impl Into<String>) -> Ask {
        Ask {
            kind,
            method,
            uri: uri.into(),
            headers: Vec::new(),
            body: None,
            proven: false,
            cseq: 0,
            sent: Time::ZERO,
        }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Ask {
        self.headers.push((name, value.to_string()));
        self
    }

    pub fn body(mut self, kind: ContentType, body: impl Into<Vec<u8>>) -> Ask {
        self.body = Some((kind, body.into()));
        self
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    /// The server's end and ours, once it is open.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    pub reader: Reader,
    /// Bytes that came so far.
    pub taken: u64,
    pub next_cseq: u32,
    /// Asked for and not yet answered.
    pub due: VecDeque<Ask>,
    /// Last sign of progress towards what is due.
    pub since: Time,
}

impl Link {
    pub fn new(conn: ConnId, now: Time) -> Link {
        Link {
            conn,
            ends: None,
            reader: Reader::default(),
            taken: 0,
            next_cseq: 1,
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

    pub fn has(&self, is: impl Fn(&Kind) -> bool) -> bool {
        self.due.iter().any(|ask| is(&ask.kind))
    }
}
