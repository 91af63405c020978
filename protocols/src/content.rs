//! What a machine may ask the application, and what the application answers.
//!
//! Everything here is said in terms of content and publishing points; no protocol's wire terms.

use crate::auth::{Challenge, Credentials, Identity};
use crate::machine::CoreId;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// An opened content (one publishing point entry, as seen by one session), named by the
/// application. Held until [`crate::machine::Output::Release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);

/// A question of a machine to the application.
#[derive(Clone, Debug)]
pub enum Question {
    /// Which content does this URL name, and may this client have it? Answered by
    /// [`Answer::Opened`], [`Answer::Moved`], [`Answer::Document`], [`Answer::Challenge`] or
    /// [`Answer::Refused`].
    Open(OpenRequest),
    /// May the client (still) have a [`Content::guarded`] content that is about to be played?
    /// Answered by [`Answer::Allowed`], [`Answer::Challenge`] or [`Answer::Refused`].
    Recheck(Recheck),
    /// Where would sending start, and what is granted? Answered by [`Answer::Cued`] or
    /// [`Answer::Refused`]. Changes nothing.
    Cue(CueRequest),
    /// What follows after the end of this content in its playlist? Answered by
    /// [`Answer::Opened`] (the old id stays valid until released) or
    /// [`Answer::Refused`] with [`Refusal::NotFound`]: nothing follows.
    NextEntry(ContentId),
    /// May this peer be the source of the point that this URL names? Answered by [`Answer::Publishing`],
    /// [`Answer::Elsewhere`], [`Answer::Moved`], [`Answer::Challenge`] or [`Answer::Refused`]. What it
    /// then sends goes out as [`crate::machine::Output::Ingest`] under `session`.
    Publish(PublishRequest),
}

/// See [`Question::Publish`].
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The machine's number for the session, not used for another one. Asking again with the number of
    /// a session that publishes changes `destroy` and checks the rest anew.
    pub session: u64,
    /// As in [`OpenRequest`].
    pub path: String,
    /// Value of `Host`; may be empty.
    pub authority: String,
    /// The peer.
    pub peer: SocketAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// What the peer gave to prove who it is.
    pub credentials: Option<Credentials>,
    /// Path of the point whose settings a new one takes, if the point does not exist; starts with `/`,
    /// percent-decoding not yet applied.
    pub template: Option<String>,
    /// The point is to go with the session, if it came into being for it.
    pub destroy: bool,
}

/// The protocol family of a session, for counters, logs and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// ASF over HTTP, Windows Media clients.
    Wmsp,
    /// An ordinary HTTP client that downloads or listens.
    Http,
    /// MMS over TCP.
    Mmst,
    /// MMS over UDP.
    Mmsu,
    /// RTSP, media interleaved.
    Rtspt,
    /// RTSP, media over UDP.
    Rtspu,
    /// Pushed by an encoder over HTTP.
    Push,
    /// Server to server.
    Msbd,
}

impl Protocol {
    /// The same family with media over UDP. A session may choose that after it has opened its content.
    pub const fn beside(self) -> Protocol {
        match self {
            Protocol::Mmst | Protocol::Mmsu => Protocol::Mmsu,
            Protocol::Rtspt | Protocol::Rtspu => Protocol::Rtspu,
            Protocol::Wmsp | Protocol::Http | Protocol::Push | Protocol::Msbd => self,
        }
    }

    /// The name used in metric labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Wmsp => "wmsp",
            Protocol::Http => "http",
            Protocol::Mmst => "mmst",
            Protocol::Mmsu => "mmsu",
            Protocol::Rtspt => "rtspt",
            Protocol::Rtspu => "rtspu",
            Protocol::Push => "push",
            Protocol::Msbd => "msbd",
        }
    }
}

/// See [`Question::Open`].
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Path of the URL: percent-decoding not yet applied, always starts with `/`, no query.
    pub path: String,
    /// Query without `?`; empty if none.
    pub query: String,
    /// Value of `Host`, or the authority the client named, for URLs we write; may be empty.
    pub authority: String,
    /// The client.
    pub peer: SocketAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// Through which protocol.
    pub protocol: Protocol,
    /// True if media will be asked for; false when only facts are wanted (GetContentInfo, HEAD).
    pub play: bool,
    /// What the client gave to prove who it is.
    pub credentials: Option<Credentials>,
}

/// See [`Question::Recheck`].
#[derive(Clone, Debug)]
pub struct Recheck {
    /// The content.
    pub content: ContentId,
    /// What the client gave to prove who it is.
    pub credentials: Option<Credentials>,
}

/// See [`Question::Cue`].
#[derive(Clone, Debug)]
pub struct CueRequest {
    /// Of which content.
    pub content: ContentId,
    /// From where.
    pub start: Start,
    /// Which streams.
    pub selection: Selection,
    /// Accelerated start asked for, after the protocol's own version rules.
    pub accel: Option<Accel>,
    /// Speed asked for, in thousandths of real time; `None`: real time.
    pub speed_milli: Option<u32>,
    /// True if a startup profile is wanted.
    pub profile: bool,
    /// Play rate in thousandths: 1000 normal, negative rewinds.
    pub rate_milli: i32,
}

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Start of the content; "now" for live.
    Beginning,
    /// Play time in ms, preroll not counted.
    Time(u32),
    /// ASF packet number.
    Packet(u32),
    /// Byte offset from the start of the ASF file.
    Byte(u64),
}

/// Fast Start: a rate for the first part of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accel {
    /// bit/s on the wire, framing included.
    pub bits_per_second: u32,
    /// ms of content (send time), not of wall time.
    pub duration_ms: u32,
}

/// The application's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The content, ready to be described and cued.
    Opened(Box<Content>),
    /// It is elsewhere.
    Moved {
        /// Absolute URL.
        url: String,
    },
    /// Not media: a small document (an announcement, a status page).
    Document {
        /// Media type.
        content_type: &'static str,
        /// Body.
        body: Bytes,
    },
    /// The peer is the source now.
    Publishing,
    /// The point's packets are made on that core: hand the connection over and ask there.
    Elsewhere(CoreId),
    /// Cue found.
    Cued(Box<Cue>),
    /// It may be had.
    Allowed,
    /// Not before the client has proved who it is.
    Challenge(Box<Challenge>),
    /// The client has proved who it is in a way that holds for its connection; what is inside
    /// answers the question. Never inside of another.
    Verified {
        /// To be given as [`Credentials::Connection`] with what the connection asks from now on.
        identity: Arc<Identity>,
        /// The answer.
        answer: Box<Answer>,
    },
    /// No.
    Refused(Refusal),
}

/// Why not. Machines translate to their own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such publishing point or file, or no next entry.
    NotFound,
    /// The address or the user may not have it.
    Forbidden,
    /// A limit is reached.
    Busy,
    /// Another one publishes there.
    Taken,
    /// The point exists but is stopped or has no source now.
    Unavailable,
    /// The content cannot be served in the way asked for.
    Unsupported,
    /// The content is damaged.
    Corrupt,
    /// Our fault.
    Internal,
}

/// Where sending would start and what was granted.
#[derive(Clone, Debug)]
pub struct Cue {
    /// First packet that would be sent (LocationId).
    pub packet: u32,
    /// Its send time, ms.
    pub send_time: u32,
    /// Granted acceleration, never more than asked.
    pub accel: Option<Accel>,
    /// Granted speed in thousandths (>= 1000), `None` if not asked or not possible.
    pub speed_milli: Option<u32>,
    /// Computed if asked for and an acceleration was granted.
    pub profile: Option<StartupProfile>,
}

/// X-StartupProfile's values (bandwidth-and-start.md 6.2); written by `rate::profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupProfile {
    /// Bytes to hold before playing, per rate of 1.0, 1.2, 1.5, 2.0, 3.0.
    pub max_bytes: [u64; 5],
    /// When the worst shortfall occurs, ms after `start_time`.
    pub time: [u64; 5],
    /// Lowest presentation time in the interval, ms.
    pub start_time: u64,
    /// Length of the interval, ms of presentation time.
    pub last_time: u64,
    /// When the worst audio lag occurs, ms after `start_time`.
    pub max_diff_time: u64,
    /// The worst lag of audio behind video, ms.
    pub max_diff_snd_time: i64,
    /// bytes/s in force when the matching `max_bytes` was set.
    pub byte_rate: [u64; 5],
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// Script commands.
    Command,
    /// Anything else (images, files, binary).
    Other,
}

/// A stream that can be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// 1..=127.
    pub number: u8,
    /// What it carries.
    pub kind: StreamKind,
    /// Average bit rate, bit/s, 0 unknown.
    pub average_bit_rate: u32,
    /// Peak bit rate, bit/s, 0 unknown.
    pub peak_bit_rate: u32,
    /// Every object can be decoded alone: audio, commands, or a "no clean points" stream.
    pub all_key: bool,
}

/// The streams that are sent, and how much of them. Bit n is stream number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// Streams that are sent.
    pub on: u128,
    /// Of those, the ones thinned to key frames.
    pub key_only: u128,
}

impl Selection {
    /// Nothing.
    pub const NONE: Selection = Selection { on: 0, key_only: 0 };

    /// Everything, whatever the content has.
    pub const ALL: Selection = Selection {
        on: u128::MAX,
        key_only: 0,
    };

    /// Exactly these streams, whole.
    pub fn of(numbers: impl IntoIterator<Item = u8>) -> Selection {
        let mut s = Selection::NONE;
        for n in numbers {
            s.set(n, Level::Whole);
        }
        s
    }

    /// Set one stream's level. Numbers outside 1..=127 are ignored.
    pub fn set(&mut self, number: u8, level: Level) {
        if !(1..=127).contains(&number) {
            return;
        }
        let bit = 1u128 << number;
        self.on &= !bit;
        self.key_only &= !bit;
        match level {
            Level::Whole => self.on |= bit,
            Level::KeyOnly => {
                self.on |= bit;
                self.key_only |= bit;
            }
            Level::Off => {}
        }
    }

    /// One stream's level.
    pub fn level(&self, number: u8) -> Level {
        let bit = 1u128.checked_shl(u32::from(number)).unwrap_or(0);
        if self.on & bit == 0 {
            Level::Off
        } else if self.key_only & bit != 0 {
            Level::KeyOnly
        } else {
            Level::Whole
        }
    }

    /// What it is after these changes, all of them done.
    pub fn changed(mut self, switches: &[StreamSwitch]) -> Selection {
        for switch in switches {
            if let Some(from) = switch.from.filter(|f| Some(*f) != switch.to) {
                self.set(from, Level::Off);
            }
            if let Some(to) = switch.to {
                self.set(to, switch.level);
            }
        }
        self
    }

    /// Only the streams that the content has.
    pub fn within(self, streams: &[StreamInfo]) -> Selection {
        let have = Selection::of(streams.iter().map(|s| s.number)).on;
        Selection {
            on: self.on & have,
            key_only: self.key_only & have,
        }
    }
}

/// Thinning level of a stream (WMSP 2.2.1.4.27: 0, 1, 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// All objects.
    Whole,
    /// Key frames only.
    KeyOnly,
    /// Nothing.
    Off,
}

/// One change of the selection of a running flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSwitch {
    /// The stream that is replaced, if any; it goes on until the new one's first key frame.
    pub from: Option<u8>,
    /// The stream that is set, if any.
    pub to: Option<u8>,
    /// Its level from then on.
    pub level: Level,
}

/// An opened content, as much of it as protocols tell their clients.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its name.
    pub id: ContentId,
    /// ASF header as it is to be served: the Header Object and the first 50 bytes of the Data Object.
    pub header: Bytes,
    /// Size of every ASF packet before trimming, bytes.
    pub packet_size: u32,
    /// Number of packets; 0 unknown or live.
    pub packet_count: u64,
    /// ms.
    pub preroll: u32,
    /// Play time in ms without preroll; `None` unknown or live.
    pub duration: Option<u64>,
    /// Streams in order of their numbers.
    pub streams: Arc<[StreamInfo]>,
    /// Live: shared timeline, no seeking.
    pub broadcast: bool,
    /// Positions can be asked for.
    pub seekable: bool,
    /// Rates other than normal can be asked for.
    pub stridable: bool,
    /// Part of a server-side playlist; features say so.
    pub playlist: bool,
    /// Number of this entry, unique within the session's playlist, from 1 (playlist-gen-id).
    pub entry: u32,
    /// 0 if not live, else unique per live source.
    pub broadcast_id: u32,
    /// Who wants it must prove who they are, again for each Play.
    pub guarded: bool,
    /// Facts for caches.
    pub caching: Caching,
    /// The whole file can be fetched unpaced, in bytes: its length.
    pub file_size: Option<u64>,
    /// Name/value pairs for content descriptions (title, author, ...).
    pub description: Arc<[(String, String)]>,
}

/// What caches may know and do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caching {
    /// Whether shared caches and players may keep it.
    pub allowed: bool,
    /// Seconds.
    pub max_age: u32,
    /// RFC 7231 date.
    pub last_modified: Option<String>,
    /// Without quotes.
    pub etag: Option<String>,
}
