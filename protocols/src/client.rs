//! What the clients of all protocols share: which streams they play, who they say they are, what they
//! count for their logs.

pub(crate) mod rtt;
pub(crate) mod url;

use crate::asf;
use crate::asf::objects::Format;
use crate::content::{Level, Selection, StreamInfo, StreamKind};
use crate::machine::Time;
use crate::wmlog::client::Player;
use crate::wmlog::text;

/// The processor that this was built for, as client logs name it.
const CPU: &str = if cfg!(target_arch = "x86_64") {
    "x86_64"
} else if cfg!(target_arch = "aarch64") {
    "aarch64"
} else {
    "unknown"
};

/// Reason of [`crate::media::IngestEvent::End`] when the connection ended without a word about the end
/// of the stream, as some servers end it (ERROR_INTERNET_CONNECTION_ABORTED).
pub const REASON_CLOSED: u32 = 0x8007_2EFE;

/// Largest ASF header that is gathered, bytes.
pub const HEADER_BYTES_MAX: usize = 16 << 20;

/// Most redirections that are followed.
pub const REDIRECT_MAX: u8 = 5;

/// How media comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// On the connection.
    Tcp,
    /// In datagrams.
    Udp,
    /// In datagrams; on the connection if the server refuses them, or none arrives (MMSP-36, RTSP-122).
    UdpThenTcp,
}

/// Bytes of lower layers' headers that the estimate of a packet pair counts as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LowerHeaders {
    /// Of a TCP segment.
    pub segment: usize,
    /// Of a datagram.
    pub datagram: usize,
}

/// Which streams to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streams {
    /// All there are.
    All,
    /// One of each group of alternatives, as far as the link goes.
    Fitting,
    /// These; others are off.
    Only(Vec<(u8, Level)>),
}

impl Streams {
    /// The streams of this header that are wanted.
    pub(crate) fn of(
        &self,
        header: &asf::Header,
        streams: &[StreamInfo],
        link_bw: Option<u32>,
    ) -> Selection {
        match self {
            Streams::All => Selection::ALL.within(streams),
            Streams::Fitting => header.auto_select(link_bw, true),
            Streams::Only(levels) => {
                let mut selection = Selection::NONE;
                for &(number, level) in levels {
                    selection.set(number, level);
                }
                selection.within(streams)
            }
        }
    }
}

/// This program as a player of the given version, without an id.
pub fn player(version: &str) -> Player {
    Player {
        id: String::new(),
        version: version.to_owned(),
        language: "en-US".into(),
        user_agent: concat!("Ringcast/", env!("CARGO_PKG_VERSION")).into(),
        host_exe: "ringcast".into(),
        host_exe_version: concat!(env!("CARGO_PKG_VERSION"), ".0").into(),
        os: "Linux".into(),
        os_version: "0.0.0.0".into(),
        cpu: CPU.into(),
    }
}

/// How media came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// In datagrams. The counters below are theirs, of the whole session.
    pub udp: bool,
    /// Came without being asked for.
    pub received: u64,
    /// Came when asked for again.
    pub recovered: u64,
    /// Made good from correction packets.
    pub corrected: u64,
    /// Came once more, or too late.
    pub duplicates: u64,
    /// Never came.
    pub lost: u64,
    /// Datagrams that asked for others.
    pub requests: u64,
}

/// Counters of one entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub packets: u64,
    pub bytes: u64,
    first: Option<(Time, u32)>,
    last: Option<(Time, u32)>,
}

impl Counters {
    /// A packet came; `send_time` is its own, if it could be read.
    pub fn packet(&mut self, now: Time, len: usize, send_time: Option<u32>) {
        self.packets += 1;
        self.bytes += len as u64;
        let Some(send_time) = send_time else { return };
        self.first.get_or_insert((now, send_time));
        self.last = Some((now, send_time));
    }

    /// Time of reception and span of content, ms.
    pub fn spans(&self) -> (u64, u64) {
        match (self.first, self.last) {
            (Some((t0, s0)), Some((t1, s1))) => (
                u64::try_from(t1.since(t0).as_millis()).unwrap_or(u64::MAX),
                u64::from(s1.wrapping_sub(s0)),
            ),
            _ => (0, 0),
        }
    }
}

/// The codecs of a kind by the names that the header lists, else by the codes of its streams.
pub(crate) fn codecs(header: &asf::Header, kind: StreamKind) -> Vec<String> {
    let streams = header.stream_details().iter().filter(|s| s.kind == kind);
    let codes: Vec<String> = streams
        .filter_map(|s| match s.format {
            Format::Audio { tag, .. } => Some(format!("0x{tag:04X}")),
            Format::Video { compression, .. } => Some(text(&compression).into_owned()),
            Format::Other => None,
        })
        .collect();
    let named = header.codecs().iter().filter(|c| c.kind == kind);
    let mut list: Vec<String> = named.map(|c| c.name.clone()).collect();
    if list.is_empty() {
        list = codes;
    }
    list.dedup();
    list
}
