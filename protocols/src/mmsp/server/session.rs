//! What the server remembers of a session (mmsp.md 4.1).

use crate::content::{Content, Selection, StreamInfo};
use crate::machine::Time;
use crate::media::{FlowEnd, FlowId, FlowTotals};
use crate::mmsp::framer::Incarnation;
use crate::mmsp::names::Subscriber;
use crate::rate::bucket::TokenBucket;
use crate::version::Version;
use bytes::Bytes;

/// openFileId of every file that is open: players have it hard-wired (MMSP-41).
pub(super) const FILE_ID: u32 = 1;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// I0: nothing has come.
    Accepted,
    /// I1: Connect has come.
    Connected,
    /// I2: it is known where media goes.
    Funneled,
    /// I3: the client is to prove who it is.
    Challenged,
    /// I4: a file is open.
    Opened,
    /// The client has the header.
    Ready,
    /// Media flows, or will after the change of entry that is going on.
    Streaming,
    /// Refused; the connection closes when the client has had time to read that.
    Leaving,
}

/// The client, as much of it as counts later.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub product: Box<str>,
    pub host: Box<str>,
    pub version: Version,
    /// Windows Media Services 4.x: gets everything, with padding (MMSP-67, MMSP-84).
    pub is_old_server: bool,
}

impl Client {
    pub fn new(subscriber: Subscriber) -> Client {
        Client {
            product: subscriber.product.into(),
            host: subscriber.host.unwrap_or_default().into(),
            version: subscriber.version,
            is_old_server: subscriber.is_old_server,
        }
    }

    pub fn is_9(&self) -> bool {
        self.version.major >= 9
    }
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct Open {
    /// Path and query under which it was opened.
    pub target: Box<str>,
    pub content: Box<Content>,
    pub selection: Selection,
    /// The header that is on its way.
    pub header: Option<HeaderOut>,
    /// Of the session's next media packet (MMSP-80).
    pub sequence: u32,
    pub flow: Option<Flow>,
    /// The flow that was started last; a log that comes after its end is about it.
    pub last_flow: Option<FlowId>,
    /// Of the last Start (EndOfStream's).
    pub play_incarnation: u32,
    /// How the media ended, while that has not been told.
    pub ended: Option<FlowEnd>,
    pub change: Change,
    pub rate_milli: i32,
    /// A stop position was given: the end of the flow is the end of all.
    pub limited: bool,
    /// dwLinkBandwidth, bit/s; 0 unknown.
    pub link_bw: u32,
    /// Datagrams that may be sent again.
    pub resends: Option<TokenBucket>,
}

impl Open {
    pub fn new(target: Box<str>, content: Box<Content>, selection: Selection) -> Open {
        Open {
            target,
            content,
            selection,
            header: None,
            sequence: 0,
            flow: None,
            last_flow: None,
            play_incarnation: 0,
            ended: None,
            change: Change::None,
            rate_milli: 1000,
            limited: false,
            link_bw: 0,
            resends: None,
        }
    }

    /// The flow has stopped after sending this much.
    pub fn account(&mut self, totals: FlowTotals) {
        if let Some(flow) = &self.flow {
            self.sequence = flow.first_sequence.wrapping_add(totals.packets as u32);
        }
    }
}

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub id: FlowId,
    pub phase: Phase,
    /// Media goes where messages go.
    pub on_connection: bool,
    pub first_sequence: u32,
    pub incarnation: Incarnation,
    /// What it sent until it was held.
    pub totals: FlowTotals,
}

/// How far a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Asked to hold.
    Holding,
    Held,
    /// All was sent; of datagrams some may be asked for again.
    Ended,
}

/// How far the change to another entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Its header is on its way.
    Header,
    /// The client is to say Start.
    Waiting,
    /// Media was begun without a Start.
    Begun,
}

/// A header on its way.
#[derive(Debug)]
pub(super) struct HeaderOut {
    pub header: Bytes,
    pub payload_max: usize,
    pub play_incarnation: u8,
    /// The next fragment.
    pub next: u32,
    /// bit/s.
    pub rate: u32,
}

/// Bit rate of a content: the sum of what its streams need at most, 0 unknown (MMSP-40).
pub(super) fn bit_rate(streams: &[StreamInfo]) -> u32 {
    streams
        .iter()
        .map(|s| s.peak_bit_rate.max(s.average_bit_rate))
        .fold(0, u32::saturating_add)
}

/// A bucket for resends.
pub(super) fn resend_bucket(rate: u32, burst: u32, now: Time) -> TokenBucket {
    TokenBucket::new(u64::from(rate), u64::from(burst), now)
}
