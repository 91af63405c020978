//! The frames in the body of a PushStart (MS-WMHTTP 2.2.3).
//!
//! They are those of WMSP without an MMS data header: two bytes of identity, a length (WMHTTP-14:
//! little-endian), in `$C` and `$E` a Reason, and the payload.

/// Bytes in front of the Reason or the payload.
pub const HEAD_LEN: usize = 4;
/// Bytes of a Reason.
pub const REASON_LEN: usize = 4;
/// Most that a frame's length field can say: Reason and payload.
pub const LENGTH_MAX: usize = u16::MAX as usize;
/// Longest `$F` that fills a body: the frame, with its head (WMHTTP-42).
pub const FILLER_MAX: usize = 65_535;
/// Longest header in a `$H` (WMHTTP-23).
pub const HEADER_MAX: usize = 65_531;
/// Longest header in a `$C` (WMHTTP-15).
pub const CHANGED_HEADER_MAX: usize = 65_527;

const FRAME: u8 = b'$';
/// Its meaning belongs to WMSP; a sender must leave it clear (WMHTTP-12), one was seen to set it.
const FRAME_B: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `$H`: an ASF header.
    Header,
    /// `$D`: one ASF packet.
    Data,
    /// `$E`: the entry, or all, is over.
    End,
    /// `$C`: the header of the next entry.
    Change,
    /// `$F`: nothing, to fill a body.
    Filler,
    /// Another one; to be skipped.
    Unknown(u8),
}

impl Kind {
    /// By its second byte.
    pub const fn from_byte(byte: u8) -> Kind {
        match byte {
            b'H' => Kind::Header,
            b'D' => Kind::Data,
            b'E' => Kind::End,
            b'C' => Kind::Change,
            b'F' => Kind::Filler,
            other => Kind::Unknown(other),
        }
    }

    /// Its second byte.
    pub const fn byte(self) -> u8 {
        match self {
            Kind::Header => b'H',
            Kind::Data => b'D',
            Kind::End => b'E',
            Kind::Change => b'C',
            Kind::Filler => b'F',
            Kind::Unknown(other) => other,
        }
    }

    /// True if a Reason precedes the payload (WMHTTP-15, 16, 18, 20, 23).
    pub const fn has_reason(self) -> bool {
        matches!(self, Kind::End | Kind::Change)
    }
}

/// The first four bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Bytes that follow these four (WMHTTP-13).
    pub length: u16,
}

impl Head {
    /// Read it; `None` if this is not the start of a frame. The B bit is passed over (WMHTTP-104).
    pub const fn read(bytes: [u8; HEAD_LEN]) -> Option<Head> {
        if bytes[0] & !FRAME_B != FRAME {
            return None;
        }
        Some(Head {
            kind: Kind::from_byte(bytes[1]),
            length: u16::from_le_bytes([bytes[2], bytes[3]]),
        })
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; HEAD_LEN] {
        let [l0, l1] = self.length.to_le_bytes();
        [FRAME, self.kind.byte(), l0, l1]
    }
}

/// Append a frame. Returns false, and appends nothing, if it is longer than a frame can be.
#[must_use]
pub fn put(kind: Kind, reason: u32, payload: &[u8], out: &mut Vec<u8>) -> bool {
    let with_reason = kind.has_reason();
    let length = payload.len() + if with_reason { REASON_LEN } else { 0 };
    let Ok(length) = u16::try_from(length) else {
        return false;
    };
    out.extend_from_slice(&Head { kind, length }.bytes());
    if with_reason {
        out.extend_from_slice(&reason.to_le_bytes());
    }
    out.extend_from_slice(payload);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: Kind, reason: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(put(kind, reason, payload, &mut out));
        out
    }

    // WMHTTP-13, WMHTTP-14, WMHTTP-18: the frames of the worked exchanges.
    #[test]
    fn frames_byte_for_byte() {
        assert_eq!(framed(Kind::End, 0, b""), [0x24, 0x45, 4, 0, 0, 0, 0, 0]);
        assert_eq!(framed(Kind::End, 1, b""), [0x24, 0x45, 4, 0, 1, 0, 0, 0]);
        assert_eq!(
            framed(Kind::End, 0x8000_4005, b""),
            [0x24, 0x45, 4, 0, 5, 0x40, 0, 0x80]
        );
        assert_eq!(framed(Kind::Filler, 9, b""), [0x24, 0x46, 0, 0]);
        assert_eq!(
            framed(Kind::Change, 0, &[7; 326])[..8],
            [0x24, 0x43, 0x4A, 1, 0, 0, 0, 0]
        );
        assert_eq!(
            framed(Kind::Header, 0, &[7; 326])[..5],
            [0x24, 0x48, 0x46, 1, 7]
        );
        let largest = framed(Kind::Filler, 0, &[0; FILLER_MAX - HEAD_LEN]);
        assert_eq!(
            (largest.len(), &largest[..4]),
            (FILLER_MAX, &[0x24, 0x46, 0xFB, 0xFF][..])
        );
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_begun() {
        let mut out = vec![1];
        assert!(!put(
            Kind::Change,
            0,
            &[0; CHANGED_HEADER_MAX + 5],
            &mut out
        ));
        assert_eq!(out, [1]);
    }

    // WMHTTP-104
    #[test]
    fn heads_are_read_with_the_b_bit() {
        let head = Head {
            kind: Kind::Data,
            length: 0x0129,
        };
        assert_eq!(Head::read(head.bytes()), Some(head));
        assert_eq!(Head::read([0xA4, 0x44, 0x29, 1]), Some(head));
        assert_eq!(Head::read([0x25, 0x44, 0x29, 1]), None);
        let unknown = Head {
            kind: Kind::Unknown(0x50),
            length: 3,
        };
        assert_eq!(Head::read(unknown.bytes()), Some(unknown));
    }
}
