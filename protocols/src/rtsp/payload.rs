//! ASF packets in RTP packets, both ways (MS-RTSP 2.2.1; rtsp-wme.md 2.3 to 2.5).
//!
//! A [`Packetizer`] writes heads only: the bytes of an ASF packet follow each of them as they are,
//! out of wherever they are kept. What is written is what players read: one ASF packet for each
//! RTP packet, its length counted with the header (see [`Form`]).

use super::Fault;
use super::rtp::{self, HEAD_LEN, Header};
use std::ops::Range;

/// Most bytes of a payload header.
pub const PAYLOAD_HEAD_MAX: usize = 16;
/// Payload type of ASF, as Windows Media Services number it (RTSP-06).
pub const PAYLOAD_TYPE: u8 = 96;
/// Most bytes behind the RTP header on Ethernet with IPv4.
pub const PAYLOAD_MAX: usize = 1460;

const S: u8 = 0x80;
const L: u8 = 0x40;
const R: u8 = 0x20;
const D: u8 = 0x10;
const I: u8 = 0x08;

/// What the length in front of a whole ASF packet counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Payload header and ASF packet, as deployed servers and FFmpeg have it (RTSP-11).
    #[default]
    Inclusive,
    /// The ASF packet, as the protocol document has it (RTSP-10).
    Exclusive,
    /// There is none: every packet goes as fragments, if only as one. All players take it, and it
    /// breaks the rule that L is set before a whole packet.
    Fragment,
}

/// What is said of an ASF packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// ms.
    pub send_time: u32,
    /// It holds a payload of a key frame, after filtering (RTSP-08).
    pub key: bool,
    /// ms; `None` is unknown, which is not 0 (RTSP-15).
    pub duration: Option<u32>,
    /// Number of the packet in the file: for clients that asked for it, and for no others (RTSP-16).
    pub location: Option<u32>,
}

/// A payload header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHead {
    /// S.
    pub key: bool,
    /// L: a whole packet follows, of this length; otherwise a fragment, from this offset.
    pub whole: bool,
    /// 24 bits.
    pub length_or_offset: u32,
    /// Send time less the RTP timestamp, if not 0 (RTSP-14).
    pub relative: Option<i32>,
    /// ms.
    pub duration: Option<u32>,
    /// Number of the packet in the file.
    pub location: Option<u32>,
}

impl PayloadHead {
    /// Bytes on the wire: 4, 8, 12 or 16.
    pub const fn wire_len(&self) -> usize {
        4 + 4
            * (self.relative.is_some() as usize
                + self.duration.is_some() as usize
                + self.location.is_some() as usize)
    }

    /// As on the wire: [`PayloadHead::wire_len`] bytes count.
    pub fn emit(&self) -> [u8; PAYLOAD_HEAD_MAX] {
        let [_, l0, l1, l2] = self.length_or_offset.to_be_bytes();
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.key, S)
            | flag(self.whole, L)
            | flag(self.relative.is_some(), R)
            | flag(self.duration.is_some(), D)
            | flag(self.location.is_some(), I);
        let mut out = [0; PAYLOAD_HEAD_MAX];
        let relative = self.relative.map(i32::cast_unsigned);
        let words = [relative, self.duration, self.location];
        let words = words.into_iter().flatten().map(u32::to_be_bytes);
        let all = std::iter::once([flags, l0, l1, l2]).chain(words);
        out.as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(all)
            .for_each(|(slot, word)| *slot = word);
        out
    }

    /// Read what `bytes` begin with. The reserved bits are ignored (RTSP-18).
    ///
    /// # Errors
    /// If the header does not fit.
    pub fn parse(bytes: &[u8]) -> Result<PayloadHead, Fault> {
        let mut words = bytes.as_chunks::<4>().0.iter();
        let mut next = || {
            let fault = Fault::at(bytes.len(), "ASF payload header", "too short");
            words.next().copied().ok_or(fault)
        };
        let [flags, l0, l1, l2] = next()?;
        let mut optional = |bit: u8| match flags & bit {
            0 => Ok(None),
            _ => next().map(|w| Some(u32::from_be_bytes(w))),
        };
        Ok(PayloadHead {
            key: flags & S != 0,
            whole: flags & L != 0,
            length_or_offset: u32::from_be_bytes([0, l0, l1, l2]),
            relative: optional(R)?.map(u32::cast_signed),
            duration: optional(D)?,
            location: optional(I)?,
        })
    }
}

/// What stands in front of the bytes of an ASF packet, with room for the frame head before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHead {
    bytes: [u8; FRAME + HEAD_LEN + PAYLOAD_HEAD_MAX],
    end: u8,
}

const FRAME: usize = super::reader::FRAME_HEAD;

impl PacketHead {
    fn new(rtp: &Header, head: &PayloadHead) -> PacketHead {
        let mut bytes = [0; FRAME + HEAD_LEN + PAYLOAD_HEAD_MAX];
        bytes[FRAME..FRAME + HEAD_LEN].copy_from_slice(&rtp.emit());
        bytes[FRAME + HEAD_LEN..].copy_from_slice(&head.emit());
        PacketHead {
            bytes,
            end: (FRAME + HEAD_LEN + head.wire_len()) as u8,
        }
    }

    /// Before the bytes in a datagram.
    pub fn datagram(&self) -> &[u8] {
        self.bytes.get(FRAME..usize::from(self.end)).unwrap_or(&[])
    }

    /// Before the `body_len` bytes on the control connection (RTSP-03). A packet is never too long for
    /// a frame as long as the [`Packetizer`]'s limit is kept.
    pub fn interleaved(&mut self, channel: u8, body_len: usize) -> &[u8] {
        let len = usize::from(self.end) - FRAME + body_len;
        let [l0, l1] = (len.min(usize::from(u16::MAX)) as u16).to_be_bytes();
        self.bytes[..FRAME].copy_from_slice(&[b'$', channel, l0, l1]);
        self.bytes.get(..usize::from(self.end)).unwrap_or(&[])
    }
}

/// Puts the ASF packets of one session into RTP packets.
#[derive(Clone, Debug)]
pub struct Packetizer {
    form: Form,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    payload_max: usize,
}

/// Fewer bytes for a payload make no sense.
const PAYLOAD_MIN: usize = 2 * PAYLOAD_HEAD_MAX;
/// What a frame can carry behind the RTP header.
const FRAME_PAYLOAD_MAX: usize = u16::MAX as usize - HEAD_LEN;

impl Packetizer {
    /// `sequence` is that of the first packet. `payload_max` counts the bytes behind the RTP header:
    /// `Blocksize`, or the path's MTU less 40; it is brought into 32..=65523.
    pub fn new(form: Form, payload_type: u8, ssrc: u32, sequence: u16, payload_max: usize) -> Self {
        Packetizer {
            form,
            payload_type,
            ssrc,
            sequence,
            payload_max: payload_max.clamp(PAYLOAD_MIN, FRAME_PAYLOAD_MAX),
        }
    }

    /// Sequence number of the next packet: for `RTP-Info` (RTSP-110).
    pub fn sequence(&self) -> u16 {
        self.sequence
    }

    /// The RTP packets of an ASF packet of `len` bytes: their heads, and which of the bytes follow.
    /// To be taken to the end: each one that is taken advances the sequence number.
    pub fn packets(&mut self, unit: Unit, len: usize) -> Packets<'_> {
        Packets {
            to: self,
            unit,
            len,
            at: 0,
            done: false,
        }
    }

    /// Several whole ASF packets in one RTP packet: its head, and the payload headers of all but the
    /// first. `None` if they do not fit, or in another form than the exclusive one, in which alone
    /// they can be told apart by all that the protocol document describes.
    pub fn group(&mut self, units: &[(Unit, usize)]) -> Option<(PacketHead, Vec<PayloadHead>)> {
        let ((first, _), _) = units.split_first()?;
        let timestamp = first.send_time;
        let heads: Vec<_> = units
            .iter()
            .map(|(unit, len)| whole(unit, timestamp, *len, Form::Exclusive))
            .collect();
        let total: usize = heads
            .iter()
            .zip(units)
            .map(|(h, (_, len))| h.wire_len() + len)
            .sum();
        if self.form != Form::Exclusive || total > self.payload_max {
            return None;
        }
        let (first, rest) = heads.split_first()?;
        let rtp = self.next_header(timestamp, true);
        Some((PacketHead::new(&rtp, first), rest.to_vec()))
    }

    fn next_header(&mut self, timestamp: u32, marker: bool) -> Header {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Header {
            marker,
            payload_type: self.payload_type,
            sequence,
            timestamp,
            ssrc: self.ssrc,
        }
    }
}

/// See [`Packetizer::packets`].
#[derive(Debug)]
pub struct Packets<'p> {
    to: &'p mut Packetizer,
    unit: Unit,
    len: usize,
    at: usize,
    done: bool,
}

impl Iterator for Packets<'_> {
    type Item = (PacketHead, Range<usize>);

    fn next(&mut self) -> Option<(PacketHead, Range<usize>)> {
        if self.done || self.len == 0 {
            return None;
        }
        let time = self.unit.send_time;
        let max = self.to.payload_max;
        if self.at == 0 && self.to.form != Form::Fragment {
            let head = whole(&self.unit, time, self.len, self.to.form);
            if head.wire_len() + self.len <= max {
                self.done = true;
                // RTSP-05, RTSP-07
                let rtp = self.to.next_header(time, true);
                return Some((PacketHead::new(&rtp, &head), 0..self.len));
            }
        }
        // RTSP-13
        let mut head = PayloadHead {
            whole: false,
            length_or_offset: self.at as u32,
            ..whole(&self.unit, time, 0, Form::Exclusive)
        };
        let left = self.len - self.at;
        let last = head.wire_len() + left <= max;
        let n = if last {
            left
        } else {
            // RTSP-16: LocationId stands in packets with M = 1 only. One byte at least is left.
            head.location = None;
            (max - head.wire_len()).min(left - 1)
        };
        let rtp = self.to.next_header(time, last);
        let start = self.at;
        self.at += n;
        self.done = last;
        Some((PacketHead::new(&rtp, &head), start..start + n))
    }
}

/// The header before a whole packet of `len` bytes.
fn whole(unit: &Unit, timestamp: u32, len: usize, form: Form) -> PayloadHead {
    // RTSP-14
    let relative = unit.send_time.wrapping_sub(timestamp).cast_signed();
    let head = PayloadHead {
        key: unit.key,
        whole: true,
        length_or_offset: len as u32,
        relative: (relative != 0).then_some(relative),
        duration: unit.duration,
        location: unit.location,
    };
    let counted = match form {
        Form::Inclusive => head.wire_len(),
        Form::Exclusive | Form::Fragment => 0,
    };
    PayloadHead {
        length_or_offset: (len + counted) as u32,
        ..head
    }
}

/// Takes ASF packets out of RTP packets that come in order (RTSP-04, RTSP-12).
#[derive(Clone, Debug)]
pub struct Depacketizer {
    packet_max: usize,
    partial: Option<Partial>,
    dropped: u64,
}

/// The beginning of an ASF packet.
#[derive(Clone, Debug)]
struct Partial {
    unit: Unit,
    bytes: Vec<u8>,
    sequence: u16,
    timestamp: u32,
}

impl Depacketizer {
    /// `packet_max`: bytes of the largest ASF packet (`a=maxps`).
    pub fn new(packet_max: usize) -> Depacketizer {
        Depacketizer {
            packet_max,
            partial: None,
            dropped: 0,
        }
    }

    /// Fragments, and packets too long, that nothing could be made of.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Take an RTP packet; `emit` is called with each ASF packet that is whole now. A jump in the
    /// sequence numbers drops what was begun.
    ///
    /// # Errors
    /// A payload header that does not fit. ASF packets before it were given out.
    pub fn push(
        &mut self,
        packet: &rtp::Packet<'_>,
        mut emit: impl FnMut(Unit, &[u8]),
    ) -> Result<(), Fault> {
        let follows = |p: &Partial| p.sequence.wrapping_add(1) == packet.header.sequence;
        if self.partial.as_ref().is_some_and(|p| !follows(p)) {
            self.drop_partial();
        }
        let form = Reading::of(packet.payload);
        let mut at = 0;
        while let Some(rest) = packet.payload.get(at..).filter(|r| !r.is_empty()) {
            let head = PayloadHead::parse(rest).map_err(|f| f.moved(at as u64))?;
            let from = at + head.wire_len();
            let to = form.end(&head, at, packet.payload.len());
            let data = packet.payload.get(from..to).unwrap_or(&[]);
            at = to.max(from);
            if head.whole {
                self.drop_partial();
                if data.is_empty() || data.len() > self.packet_max {
                    self.dropped += 1;
                } else {
                    emit(unit_of(&head, packet.header.timestamp), data);
                }
            } else {
                self.fragment(&packet.header, &head, data, &mut emit);
            }
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        rtp: &Header,
        head: &PayloadHead,
        data: &[u8],
        emit: &mut impl FnMut(Unit, &[u8]),
    ) {
        let offset = head.length_or_offset as usize;
        if offset == 0 {
            self.drop_partial();
            self.partial = Some(Partial {
                unit: unit_of(head, rtp.timestamp),
                bytes: Vec::new(),
                sequence: rtp.sequence,
                timestamp: rtp.timestamp,
            });
        }
        let Some(mut partial) = self.partial.take() else {
            self.dropped += 1;
            return;
        };
        let fits = partial.bytes.len() == offset
            && partial.timestamp == rtp.timestamp
            && offset + data.len() <= self.packet_max
            && !data.is_empty();
        if !fits {
            self.dropped += 1;
            return;
        }
        partial.bytes.extend_from_slice(data);
        partial.sequence = rtp.sequence;
        // Said in the last fragment only.
        partial.unit.location = head.location.or(partial.unit.location);
        if rtp.marker {
            emit(partial.unit, &partial.bytes);
        } else {
            self.partial = Some(partial);
        }
    }

    fn drop_partial(&mut self) {
        if self.partial.take().is_some() {
            self.dropped += 1;
        }
    }
}

fn unit_of(head: &PayloadHead, timestamp: u32) -> Unit {
    Unit {
        send_time: timestamp.wrapping_add(head.relative.unwrap_or(0).cast_unsigned()),
        key: head.key,
        duration: head.duration,
        location: head.location,
    }
}

/// How the lengths of one RTP packet are to be understood: as the reading that ends where the
/// packet ends, and if neither does, as no longer than what is there (RTSP-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Exact(Form),
    Clamped,
}

impl Reading {
    fn of(payload: &[u8]) -> Reading {
        [Form::Exclusive, Form::Inclusive]
            .into_iter()
            .find(|form| ends_exactly(payload, *form))
            .map_or(Reading::Clamped, Reading::Exact)
    }

    /// Where the data ends whose header is at `at`.
    fn end(self, head: &PayloadHead, at: usize, len: usize) -> usize {
        match self {
            Reading::Exact(form) if head.whole => end_of(head, at, form).min(len),
            _ => len,
        }
    }
}

fn ends_exactly(payload: &[u8], form: Form) -> bool {
    let mut at = 0;
    while at < payload.len() {
        let Some(Ok(head)) = payload.get(at..).map(PayloadHead::parse) else {
            return false;
        };
        if !head.whole {
            return true;
        }
        let end = end_of(&head, at, form);
        if end < at + head.wire_len() {
            return false;
        }
        at = end;
    }
    at == payload.len()
}

fn end_of(head: &PayloadHead, at: usize, form: Form) -> usize {
    let counted = head.length_or_offset as usize;
    match form {
        Form::Inclusive => at + counted,
        Form::Exclusive | Form::Fragment => at + head.wire_len() + counted,
    }
}
