//! Flows: how a machine has media sent, and how media that a peer sends is passed on.
//!
//! A server machine decides *what* goes to whom; the driver owns the packets and decides *when*
//! each leaves, from send times and grants. The seam between them is the [`Framer`]: the
//! protocol's few bytes around each ASF packet.

use crate::content::{Accel, ContentId, Selection, StreamSwitch};
use crate::machine::{Channel, ConnId, Fault};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// A flow, named by the machine that starts it. Never reused within a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// Bytes of room that a ring slot keeps in front of each packet for an in-place head. Twelve is
/// WMSP's framing header and MMS data header together; the last eight alone are MMSP's.
pub const SLOT_HEAD: usize = 12;

/// Facts about one packet as it lies in a ring or chunk, after filtering and trimming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketMeta {
    /// LocationId: number in the (virtual) file.
    pub number: u32,
    /// ms, from the packet.
    pub send_time: u32,
    /// ms, from the packet.
    pub duration: u16,
    /// A key object of a selected stream starts here (video if any video is selected).
    pub key: bool,
    /// Bytes of the packet as it is sent.
    pub len: u32,
}

/// Takes the datagrams that a framer makes of a packet.
pub trait Spray {
    /// One datagram, which `write` appends, for the lane of that number.
    fn datagram(&mut self, lane: usize, write: &mut dyn FnMut(&mut Vec<u8>));
}

/// A protocol's framing of media packets on one flow.
///
/// `sequence` counts the packets, or datagrams of lane 0, that the flow sent before this one. `rushed` is true while the
/// flow runs faster than real time because of a granted acceleration.
pub trait Framer: std::fmt::Debug {
    /// True if a framed packet is exactly [`SLOT_HEAD`] bytes and then the packet, so that the
    /// driver may stamp the head in its own ring and send straight from there. Otherwise the
    /// driver assembles each write with `begin`, `put` and `finish`.
    fn in_place(&self) -> bool;

    /// Write the head of one packet. Only called if [`Framer::in_place`].
    fn stamp(&self, sequence: u32, meta: &PacketMeta, rushed: bool, head: &mut [u8; SLOT_HEAD]);

    /// Start a write: append to `out` what precedes the packets of one write.
    fn begin(&self, out: &mut Vec<u8>);

    /// Append one framed packet.
    fn put(&self, sequence: u32, meta: &PacketMeta, rushed: bool, packet: &[u8], out: &mut Vec<u8>);

    /// Give the datagrams of one packet to `sink`. Those on lane 0 count in the sequence: the first has
    /// `sequence`. Other lanes carry what goes beside the packets.
    fn spray(
        &self,
        sequence: u32,
        meta: &PacketMeta,
        rushed: bool,
        packet: &[u8],
        sink: &mut dyn Spray,
    ) {
        sink.datagram(0, &mut |out| self.put(sequence, meta, rushed, packet, out));
    }

    /// Append one datagram of a packet once more: the one on lane 0 that had `sequence`, `piece`
    /// datagrams after the packet's first.
    fn again(
        &self,
        sequence: u32,
        piece: u32,
        meta: &PacketMeta,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) {
        let _ = piece;
        self.put(sequence, meta, false, packet, out);
    }

    /// End a write that was begun at offset `start` of `out`.
    fn finish(&self, start: usize, out: &mut Vec<u8>);

    /// Bytes put around each packet, for rate accounting.
    fn overhead(&self) -> u32;

    /// True if packets must be sent at full size with their padding.
    fn keeps_padding(&self) -> bool;
}

/// Makes the datagrams of a multicast group out of one live stream. The driver owns pacing and socket; a
/// caster sees every packet once, in order, at the time when it leaves.
pub trait Caster: std::fmt::Debug {
    /// A new entry begins: the first one, one with another header, or one with the same header after a
    /// break in the timeline. `entry` differs from the one before. Datagrams that close the entry before
    /// (parity) go to `sink`.
    fn entry(&mut self, entry: u32, header: &Bytes, sink: &mut dyn FnMut(&[u8]));

    /// One packet leaves. `packet` is as [`Caster::keeps_padding`] asks for.
    fn packet(&mut self, meta: &PacketMeta, packet: &[u8], sink: &mut dyn FnMut(&[u8]));

    /// Nothing comes for now, or ever: close what is open.
    fn pause(&mut self, sink: &mut dyn FnMut(&[u8]));

    /// What says that the sender is alive while nothing is sent, if the protocol has that.
    fn beacon(&self) -> Option<&[u8]>;

    /// True if packets must come at full size with their padding; otherwise as
    /// [`crate::asf::trim`] makes them.
    fn keeps_padding(&self) -> bool;
}

/// How packets are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// By send time: first the granted acceleration, then `speed_milli` thousandths of real time.
    Media {
        /// Granted acceleration.
        accel: Option<Accel>,
        /// 1000 is real time.
        speed_milli: u32,
    },
    /// As fast as the transport takes it, within the server's limits.
    Unpaced,
}

/// Where datagrams go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// Destinations; framers name them by their place. The first is that of the packets themselves.
    pub lanes: Vec<Lane>,
    /// How packets can be asked for again; `None`: not at all.
    pub resend: Option<Resend>,
}

/// A destination of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Where to.
    pub to: SocketAddr,
    /// From which of the front end's sockets.
    pub channel: Channel,
}

/// How packets that were sent can be asked for again with [`FlowCommand::Resend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    /// How long. The driver may forget sooner what it no longer has.
    pub window: Duration,
    /// How often one datagram is sent again at most.
    pub count_max: u8,
    /// Which of the lanes they leave by.
    pub lane: usize,
}

/// What to send.
#[derive(Debug)]
pub struct FlowStart {
    /// On which connection, or with which: a flow goes when its connection goes.
    pub conn: ConnId,
    /// Set if packets leave as datagrams beside the connection, on which the machine then may write
    /// at any time.
    pub datagrams: Option<Datagrams>,
    /// From which content.
    pub content: ContentId,
    /// First packet, from a [`crate::content::Cue`].
    pub packet: u32,
    /// Its send time, from the same cue, ms.
    pub send_time: u32,
    /// Which streams. Video begins at a key frame, unless the client resumes.
    pub selection: Selection,
    /// The client was in the middle of this and counts packets itself: it gets them as they are, from
    /// the first one on.
    pub resumes: bool,
    /// How fast.
    pub pace: Pace,
    /// Play rate in thousandths: 1000 normal; others send key frames only, negative ones backward.
    pub rate_milli: i32,
    /// Send-time span after which the flow ends, ms.
    pub max_duration: Option<u32>,
    /// No packet of live content may be missing: where others are moved forward because they lag, this one
    /// ends with [`FlowEnd::Lagged`].
    pub whole: bool,
    /// The protocol's framing.
    pub framer: Box<dyn Framer>,
}

/// Command for a flow.
#[derive(Debug)]
pub enum FlowCommand {
    /// Begin it.
    Start(Box<FlowStart>),
    /// Begin a flow that sends `len` bytes of the content's file as they are, from `offset`.
    StartFile {
        /// On which connection.
        conn: ConnId,
        /// Of which content.
        content: ContentId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Change the selection while it runs or is held.
    Select(Vec<StreamSwitch>),
    /// Send packets again that a flow of datagrams sent, byte for byte, now. They are named by their
    /// sequence in the flow, which counts from 0; those that are no longer there are left out.
    Resend(Vec<u32>),
    /// Stop at the next packet boundary; [`FlowEvent::Held`] tells when that is reached.
    Hold,
    /// Go on after `Held`; the media clock did not stop.
    Go,
    /// Forget it. Only after `Held` or `Ended`, or when its connection is closed.
    Drop,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// Everything of this content was sent; for a rewind, its start was reached.
    Finished,
    /// The source of a live content is gone, or a file could not be read further.
    SourceLost,
    /// The peer does not take it as fast as it comes; only where [`FlowStart::whole`] is set.
    Lagged,
}

/// What a flow did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTotals {
    /// Media packets.
    pub packets: u64,
    /// Bytes on the connection, framing included.
    pub bytes: u64,
    /// What the sequence has come to: packets on a connection, datagrams of lane 0 beside one.
    pub sequence: u32,
}

/// News of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// A packet boundary is reached after [`FlowCommand::Hold`]; the connection is the machine's.
    Held(FlowTotals),
    /// The last byte has been given to the transport; the connection is the machine's.
    Ended(FlowEnd, FlowTotals),
}

/// Media from a peer.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The machine's number of the session that receives it.
    pub session: u64,
    /// What came.
    pub event: IngestEvent,
}

/// See [`Ingest`].
#[derive(Clone, Debug, PartialEq)]
pub enum IngestEvent {
    /// Packet-pair estimate, bit/s.
    Bandwidth(u64),
    /// Metadata text that precedes a header.
    Metadata(String),
    /// A whole ASF header (Header Object + 50 bytes); a later one replaces it (new entry).
    Header(Bytes),
    /// One ASF packet, possibly trimmed.
    Packet {
        /// LocationId.
        number: u32,
        /// The packet.
        bytes: Bytes,
    },
    /// This entry ended, another follows.
    EntryEnd,
    /// Media is over; the protocol's reason code.
    End(u32),
    /// The session failed.
    Failed(Fault),
    /// The client's log was accepted.
    LogSent,
    /// Something about the session itself.
    News(Box<News>),
}

/// What a client learns of its session beside the media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The content was described.
    Described {
        /// The server's name for itself.
        server: String,
        /// What the content can, in the protocol's words.
        features: String,
    },
    /// Whether requests may go where media comes.
    Pipelined(bool),
    /// The server accepted to send.
    Granted {
        /// First phase.
        accel: Option<Accel>,
        /// Thousandths of real time after it.
        speed_milli: Option<u32>,
        /// X-StartupProfile as it came.
        startup_profile: Option<String>,
    },
    /// The content is elsewhere; the client goes there.
    Redirected(String),
    /// Not media but an announcement file came; what to open next stands in it.
    Announcement(String),
    /// Credentials are asked for.
    Challenged {
        /// By a proxy on the way, not by the server.
        proxy: bool,
        /// The challenges, as they came.
        challenges: Vec<String>,
    },
    /// The next entry waits until streams are selected.
    Waiting,
    /// Sending was stopped on request.
    Stopped,
}
