//! The packets of WMSP: framing header, MMS data header, and the seven kinds (MS-WMSP 2.2.3).
//!
//! All integers are little-endian (WMSP-01). A packet is a four-byte framing header and, by kind, a
//! Reason, an MMS packet, both or neither.

use crate::rate::packet_pair;

/// Bytes of the framing header.
pub const FRAMING_LEN: usize = 4;
/// Bytes of the MMS data header.
pub const MMS_HEAD_LEN: usize = 8;
/// Bytes in front of a payload: framing header and MMS data header.
pub const HEAD_LEN: usize = FRAMING_LEN + MMS_HEAD_LEN;
/// Largest payload of one packet: an MMS packet is at most 65,535 bytes (WMSP-06).
pub const PAYLOAD_MAX: usize = u16::MAX as usize - MMS_HEAD_LEN;
/// First byte of every packet when the B bit is clear.
pub const FRAME: u8 = 0x24;
/// The B bit: the next packet follows without deliberate delay.
pub const FRAME_B: u8 = 0x80;

/// Number of packets in a packet-pair set.
pub const PAIR_COUNT: u8 = 3;

/// Values of the Reason field.
pub mod reason {
    /// `$E`: finished. `$C`: the playlist goes forward.
    pub const OK: u32 = 0;
    /// `$E`: this entry finished, another follows.
    pub const MORE: u32 = 1;
    /// `$E`: a rewind reached the start of the entry.
    pub const RECEDING: u32 = 0x000D_2F09;
    /// `$C`: the playlist is walked backward.
    pub const PREVIOUS: u32 = 0x400D_14BE;
    /// `$E`: the source failed (E_FAIL).
    pub const FAILED: u32 = 0x8000_4005;
}

/// What a packet is: its second byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketId {
    /// `$C` stream change.
    StreamChange = b'C',
    /// `$D` one ASF packet.
    Data = b'D',
    /// `$E` end of stream.
    End = b'E',
    /// `$H` ASF header, whole or a piece.
    Header = b'H',
    /// `$M` metadata, whole or a piece.
    Metadata = b'M',
    /// `$P` packet pair.
    Pair = b'P',
    /// `$T` pipeline test.
    Test = b'T',
}

/// Which piece of an object a `$H` or `$M` is: its AFFlags (WMSP-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Piece {
    /// The whole object.
    Whole = 0x0C,
    /// The first of several.
    First = 0x04,
    /// Neither first nor last.
    Middle = 0x00,
    /// The last of several.
    Last = 0x08,
}

impl Piece {
    /// The piece that AFFlags name; other bits are ignored.
    pub const fn from_flags(flags: u8) -> Piece {
        match flags & 0x0C {
            0x0C => Piece::Whole,
            0x04 => Piece::First,
            0x08 => Piece::Last,
            _ => Piece::Middle,
        }
    }

    fn of(index: usize, count: usize) -> Piece {
        match (index == 0, index + 1 == count) {
            (true, true) => Piece::Whole,
            (true, false) => Piece::First,
            (false, true) => Piece::Last,
            (false, false) => Piece::Middle,
        }
    }
}

/// Framing header and MMS data header of a `$D`, `$H` or `$M` with `payload_len` bytes to follow.
///
/// `payload_len` must not exceed [`PAYLOAD_MAX`]; a longer one is written as [`PAYLOAD_MAX`].
pub fn head(
    id: PacketId,
    hurried: bool,
    location: u32,
    incarnation: u8,
    flags: u8,
    payload_len: usize,
) -> [u8; HEAD_LEN] {
    debug_assert!(payload_len <= PAYLOAD_MAX);
    // WMSP-09: PacketSize counts its own header, and is the framing header's PacketLength (WMSP-05).
    let size = (payload_len.min(PAYLOAD_MAX) + MMS_HEAD_LEN) as u16;
    let [s0, s1] = size.to_le_bytes();
    let [l0, l1, l2, l3] = location.to_le_bytes();
    let frame = if hurried { FRAME | FRAME_B } else { FRAME };
    [
        frame,
        id as u8,
        s0,
        s1,
        l0,
        l1,
        l2,
        l3,
        incarnation,
        flags,
        s0,
        s1,
    ]
}

/// The packets that carry a header or metadata object: each one's head and its part of the object.
///
/// LocationId counts the pieces from 0 (WMSP-07); an empty object is one packet without payload.
pub fn pieces(
    id: PacketId,
    incarnation: u8,
    object: &[u8],
) -> impl Iterator<Item = ([u8; HEAD_LEN], &[u8])> {
    let count = object.len().div_ceil(PAYLOAD_MAX).max(1);
    (0..count).map(move |index| {
        let start = index * PAYLOAD_MAX;
        let part = &object[start..object.len().min(start + PAYLOAD_MAX)];
        let flags = Piece::of(index, count) as u8;
        (
            head(id, false, index as u32, incarnation, flags, part.len()),
            part,
        )
    })
}

/// A packet that has a Reason and nothing else: `$C` and `$E` (WMSP-14, WMSP-18).
pub fn with_reason(id: PacketId, reason: u32) -> [u8; 8] {
    let [r0, r1, r2, r3] = reason.to_le_bytes();
    [FRAME, id as u8, 4, 0, r0, r1, r2, r3]
}

/// `$T`, four bytes in all (WMSP-24).
pub const TEST: [u8; 4] = [FRAME, b'T', 0, 0];

/// The MMS packet inside a `$D`, `$H` or `$M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mms<'a> {
    /// Number of the ASF packet, or of the piece.
    pub location: u32,
    /// Counter of Play requests; may be ignored.
    pub incarnation: u8,
    /// AFFlags: sequence number of a `$D`, [`Piece`] of the others.
    pub flags: u8,
    /// The ASF packet, or the part of the object.
    pub payload: &'a [u8],
}

/// A packet as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `$C` with its Reason.
    StreamChange(u32),
    /// `$D`; `hurried` is the B bit.
    Data {
        /// The B bit.
        hurried: bool,
        /// Content.
        mms: Mms<'a>,
    },
    /// `$E` with its Reason.
    End(u32),
    /// `$H`.
    Header(Mms<'a>),
    /// `$M`.
    Metadata(Mms<'a>),
    /// `$P`; its random bytes are of no use.
    Pair {
        /// Reason: length of the HTTP response head, at most 504.
        reason: u32,
    },
    /// `$T`.
    Test,
    /// Another letter; the bytes after the framing header.
    Unknown(u8, &'a [u8]),
}

/// A packet that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at} of the packet")]
pub struct PacketFault {
    /// Offset in the packet.
    pub at: usize,
    /// What was wrong, ending in the name of the field.
    pub reason: &'static str,
}

/// How far a buffer reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole packet and its length on the wire.
    Whole(Packet<'a>, usize),
    /// At least so many bytes are needed in all before trying again.
    Needs(usize),
}

/// Read the packet at the start of `buf`.
///
/// `pairs` is the number of `$P` packets already read in this response: the size of a `$P` follows
/// from its ordinal and Reason, not from its PacketLength (BW-08).
///
/// # Errors
/// A first byte that is not `$`, an MMS packet that does not fit, a Reason that is missing or, in a
/// `$P`, out of range, and a fourth `$P` (BW-09).
pub fn parse(buf: &[u8], pairs: u8) -> Result<Parsed<'_>, PacketFault> {
    let fault = |at, reason| Err(PacketFault { at, reason });
    let Some(first) = buf.first() else {
        return Ok(Parsed::Needs(FRAMING_LEN));
    };
    if first & !FRAME_B != FRAME {
        return fault(0, "no '$' in Frame");
    }
    let Some(&[_, id, l0, l1]) = buf.first_chunk::<FRAMING_LEN>() else {
        return Ok(Parsed::Needs(FRAMING_LEN));
    };
    if id == PacketId::Pair as u8 {
        return parse_pair(buf, pairs);
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let total = FRAMING_LEN + length;
    let Some(rest) = buf.get(FRAMING_LEN..total) else {
        return Ok(Parsed::Needs(total));
    };
    let packet = match id {
        b'C' | b'E' => {
            // A `$E` of FFmpeg's muxer has PacketLength 8: what follows the Reason is skipped.
            let Some(reason) = rest.first_chunk::<4>() else {
                return fault(2, "PacketLength leaves no room for Reason");
            };
            let reason = u32::from_le_bytes(*reason);
            if id == b'C' {
                Packet::StreamChange(reason)
            } else {
                Packet::End(reason)
            }
        }
        b'D' => Packet::Data {
            hurried: first & FRAME_B != 0,
            mms: parse_mms(rest)?,
        },
        b'H' => Packet::Header(parse_mms(rest)?),
        b'M' => Packet::Metadata(parse_mms(rest)?),
        b'T' => Packet::Test,
        other => Packet::Unknown(other, rest),
    };
    Ok(Parsed::Whole(packet, total))
}

fn parse_mms(rest: &[u8]) -> Result<Mms<'_>, PacketFault> {
    let Some((head, payload)) = rest.split_first_chunk::<MMS_HEAD_LEN>() else {
        return Err(PacketFault {
            at: 2,
            reason: "PacketLength leaves no room for the MMS header",
        });
    };
    let [l0, l1, l2, l3, incarnation, flags, s0, s1] = *head;
    let size = usize::from(u16::from_le_bytes([s0, s1]));
    if size < MMS_HEAD_LEN || size > rest.len() {
        return Err(PacketFault {
            at: FRAMING_LEN + 6,
            reason: "PacketLength does not hold PacketSize",
        });
    }
    Ok(Mms {
        location: u32::from_le_bytes([l0, l1, l2, l3]),
        incarnation,
        flags,
        payload: &payload[..size - MMS_HEAD_LEN],
    })
}

fn parse_pair(buf: &[u8], pairs: u8) -> Result<Parsed<'_>, PacketFault> {
    if pairs >= PAIR_COUNT {
        return Err(PacketFault {
            at: 1,
            reason: "a fourth $P in PacketID",
        });
    }
    let Some(reason) = buf.get(4..8).and_then(|b| b.first_chunk::<4>()) else {
        return Ok(Parsed::Needs(8));
    };
    let reason = u32::from_le_bytes(*reason);
    if reason > packet_pair::REASON_MAX {
        return Err(PacketFault {
            at: 4,
            reason: "more than 504 in Reason",
        });
    }
    let total = packet_pair::wire_len(usize::from(pairs), reason);
    if buf.len() < total {
        return Ok(Parsed::Needs(total));
    }
    Ok(Parsed::Whole(Packet::Pair { reason }, total))
}
