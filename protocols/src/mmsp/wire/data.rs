//! Data packets and requests for resends (mmsp.md 2.6, 2.7, 2.9).

use crate::machine::Fault;
use crate::mmsp::message::{DataHead, ResendRequest};

const RESEND_SIGNATURE: u32 = 0xBEEF_F00D;
const RESEND_HEAD_LEN: usize = 12;
/// Most Sequences in one request.
pub const RESEND_SEQUENCES_MAX: usize = 32;

/// AFFlags of a header's fragment that is not the last (MMSP-58).
const FRAGMENT: u8 = 0x04;
/// AFFlags of the last or only one.
const LAST_FRAGMENT: u8 = 0x0C;
/// LocationId of the first packet of a pair; the second's is one more (MMSP-61).
const PAIR_LOCATION: u32 = 0xF0F0_F000;
/// AFFlags of a packet pair.
const PAIR_FLAGS: u8 = 0x10;

impl DataHead {
    /// Bytes of a head.
    pub const LEN: usize = 8;

    /// Head of a payload of this many bytes; more than fit count as the most (MMSP-83).
    pub fn of(location_id: u32, play_incarnation: u8, af_flags: u8, payload: usize) -> DataHead {
        DataHead {
            location_id,
            play_incarnation,
            af_flags,
            packet_size: u16::try_from(payload + DataHead::LEN).unwrap_or(u16::MAX),
        }
    }

    /// Head of the first (0) or second (1) packet of a pair over UDP.
    pub fn of_pair(index: u32, payload: usize) -> DataHead {
        let location = PAIR_LOCATION.wrapping_add(index);
        DataHead::of(location, super::incarnation::ENTRY, PAIR_FLAGS, payload)
    }

    /// True if the Data packet belongs to a packet pair and is no media.
    pub fn is_pair(&self) -> bool {
        self.location_id & !1 == PAIR_LOCATION && self.af_flags == PAIR_FLAGS
    }

    /// As bytes.
    pub fn bytes(self) -> [u8; DataHead::LEN] {
        let [a, b, c, d] = self.location_id.to_le_bytes();
        let [e, f] = self.packet_size.to_le_bytes();
        [a, b, c, d, self.play_incarnation, self.af_flags, e, f]
    }

    /// From bytes.
    pub fn read(bytes: [u8; DataHead::LEN]) -> DataHead {
        let [a, b, c, d, play_incarnation, af_flags, e, f] = bytes;
        DataHead {
            location_id: u32::from_le_bytes([a, b, c, d]),
            play_incarnation,
            af_flags,
            packet_size: u16::from_le_bytes([e, f]),
        }
    }
}

/// A datagram of media: head and payload. What follows the payload is ignored.
///
/// # Errors
/// If it is shorter than it says.
pub fn split_data(datagram: &[u8]) -> Result<(DataHead, &[u8]), Fault> {
    let fault = |offset, reason: &str| Fault {
        offset,
        reason: reason.to_owned(),
    };
    let head = datagram
        .first_chunk()
        .ok_or_else(|| fault(0, "datagram too short for a Data packet"))?;
    let head = DataHead::read(*head);
    let payload = datagram
        .get(DataHead::LEN..usize::from(head.packet_size))
        .ok_or_else(|| fault(6, "PacketSize of a Data packet"))?;
    Ok((head, payload))
}

impl ResendRequest {
    /// As a datagram. Sequences beyond the 32nd are left out.
    pub fn bytes(&self) -> Vec<u8> {
        let sequences = self.sequences.iter().take(RESEND_SEQUENCES_MAX);
        let count = sequences.len() as u16;
        let mut out = Vec::with_capacity(RESEND_HEAD_LEN + 4 * sequences.len());
        out.extend_from_slice(&RESEND_SIGNATURE.to_le_bytes());
        out.extend_from_slice(&self.client_id.to_le_bytes());
        out.extend_from_slice(&self.source_id.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        for sequence in sequences {
            out.extend_from_slice(&sequence.to_le_bytes());
        }
        out
    }

    /// Read a datagram (MMSP-97): at least as long as it says, 1 to 32 Sequences.
    pub fn read(datagram: &[u8]) -> Option<ResendRequest> {
        let (head, rest) = datagram.split_first_chunk::<RESEND_HEAD_LEN>()?;
        let [s0, s1, s2, s3, c0, c1, c2, c3, i0, i1, n0, n1] = *head;
        let count = usize::from(u16::from_le_bytes([n0, n1]));
        if u32::from_le_bytes([s0, s1, s2, s3]) != RESEND_SIGNATURE
            || !(1..=RESEND_SEQUENCES_MAX).contains(&count)
        {
            return None;
        }
        let sequences = rest.get(..count * 4)?.chunks_exact(4);
        Some(ResendRequest {
            client_id: u32::from_le_bytes([c0, c1, c2, c3]),
            source_id: u16::from_le_bytes([i0, i1]),
            sequences: sequences
                .map(|s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]))
                .collect(),
        })
    }
}

/// An ASF header as Data packets: see [`fragments`].
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    rest: &'a [u8],
    payload_max: usize,
    play_incarnation: u8,
    location_id: u32,
}

/// Cut an ASF header into payloads of at most `payload_max` bytes (MMSP-57, MMSP-58, MMSP-59). No payload but the
/// last ends in 01 01, where MPlayer and xine would stop.
pub fn fragments(header: &[u8], payload_max: usize, play_incarnation: u8) -> Fragments<'_> {
    Fragments {
        rest: header,
        payload_max: payload_max.clamp(1, super::DATA_PAYLOAD_MAX_UDP),
        play_incarnation,
        location_id: 0,
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = (DataHead, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let len = cut(self.rest, self.payload_max);
        let (payload, rest) = self.rest.split_at(len);
        let flags = if rest.is_empty() {
            LAST_FRAGMENT
        } else {
            FRAGMENT
        };
        let head = DataHead::of(
            self.location_id,
            self.play_incarnation,
            flags,
            payload.len(),
        );
        self.rest = rest;
        self.location_id += 1;
        Some((head, payload))
    }
}

/// Length of the next payload.
fn cut(rest: &[u8], payload_max: usize) -> usize {
    if rest.len() <= payload_max {
        return rest.len();
    }
    let ends_well = |len: &usize| rest.get(..*len).is_some_and(|p| !p.ends_with(&[1, 1]));
    // Nothing but 01 as far as a payload goes: cut anywhere.
    (1..=payload_max)
        .rev()
        .find(|len| *len >= 2 && ends_well(len))
        .unwrap_or(payload_max)
}
