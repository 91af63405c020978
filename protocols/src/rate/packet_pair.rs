//! The packet-pair experiment over TCP: three `$P` packets at the head of a reply's body, and what
//! their arrival says about the link (bandwidth-and-start.md 2.1 and 3, MS-WMSP 2.2.3.7).
//!
//! PacketLength is a constant in each of the three and does not count what follows; sizes come from
//! the Reason field, which holds the length of the reply's head (at most 504).

use crate::machine::Time;
use rand_chacha::rand_core::RngCore;

/// Bytes of the three packets together, whatever the head's length (BW-07).
pub const TOTAL: usize = 2080;

/// The largest Reason.
pub const REASON_MAX: u32 = 504;

/// What "no limit found" looks like in LinkBW, bit/s.
pub const UNLIMITED: u64 = 2_147_483_647;

/// PacketLength of the three packets.
const LENGTH: [u16; 3] = [504, 504, 1048];

/// Framing header and Reason.
const HEAD: usize = 8;

/// Arrivals closer together than this, microseconds, say nothing about the link.
const RESOLUTION: u64 = 20;

/// The Reason for a reply whose head (status line to blank line, inclusive) has `head_len` bytes.
pub fn reason(head_len: usize) -> u32 {
    u32::try_from(head_len)
        .unwrap_or(REASON_MAX)
        .min(REASON_MAX)
}

/// Random bytes after the Reason of packet `index` (0, 1, 2; others: 0), given the Reason field. A
/// Reason beyond its range counts as the largest (BW-08).
pub fn random_len(index: usize, reason: u32) -> usize {
    let r = reason.min(REASON_MAX) as usize;
    match index {
        0 => 504 - r,
        1 => 504,
        2 => 1048 + r,
        _ => 0,
    }
}

/// Size of packet `index` on the connection.
pub fn wire_len(index: usize, reason: u32) -> usize {
    HEAD + random_len(index, reason)
}

/// The three packets for a reply whose head has `head_len` bytes, to be written so that the first
/// shares a segment with the head and the second stands alone (BW-03, BW-04, BW-05, BW-06). Every byte after
/// the Reason comes from `rng`, so that nothing on the way can compress it.
pub fn packets(head_len: usize, rng: &mut impl RngCore) -> [Vec<u8>; 3] {
    let reason = reason(head_len);
    std::array::from_fn(|index| {
        let mut packet = vec![0; wire_len(index, reason)];
        packet[0] = b'$';
        packet[1] = b'P';
        packet[2..4].copy_from_slice(&LENGTH[index].to_le_bytes());
        packet[4..8].copy_from_slice(&reason.to_le_bytes());
        rng.fill_bytes(&mut packet[HEAD..]);
        packet
    })
}

/// Bit rate of a link over which `bytes` arrived `micros` after what was sent just before them;
/// `None` if the interval is too short to measure.
pub fn link_rate(bytes: usize, micros: u64) -> Option<u64> {
    (micros >= RESOLUTION).then(|| bytes as u64 * 8_000_000 / micros)
}

/// The receiving side: told when the last byte of each packet came, it estimates the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    seen: u8,
    last: Time,
    best: u64,
}

impl Estimate {
    /// The last byte of the next packet arrived; `wire_len` is its size on the connection, or on
    /// the link if the headers around it are to count. Packets after the third are ignored.
    pub fn arrived(&mut self, wire_len: usize, now: Time) {
        if self.seen >= 3 {
            return;
        }
        if self.seen > 0 {
            let micros = now.micros().saturating_sub(self.last.micros());
            if let Some(rate) = link_rate(wire_len, micros) {
                self.best = self.best.max(rate);
            }
        }
        self.seen += 1;
        self.last = now;
    }

    /// How many packets came, 0..=3.
    pub fn packets(&self) -> u8 {
        self.seen
    }

    /// Bit/s once all three are there: the better of the two intervals, since a delay on the way
    /// can only make one longer; [`UNLIMITED`] if both were too short to measure.
    pub fn bits_per_second(&self) -> Option<u64> {
        (self.seen == 3).then(|| match self.best {
            0 => UNLIMITED,
            rate => rate.min(UNLIMITED),
        })
    }
}
