//! Packet pairs: what their arrival says about the link (bandwidth-and-start.md 3, MS-RTSP 3.1.5.7, 3.1.5.8).

use crate::machine::Time;
use crate::rate::packet_pair::{Estimate, TOTAL, UNLIMITED, link_rate, wire_len};
use crate::rtsp::pair::{Place, place};
use crate::rtsp::rtp;

/// Most arrivals that are remembered while a pair comes over TCP.
const ARRIVAL_COUNT_MAX: usize = 8192;
/// Bytes in front of the random ones in a packet over UDP.
const HEADS: usize = rtp::HEAD_LEN + 4;

/// When the bytes of a reply came.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Vec<(u64, Time)>);

impl Arrivals {
    /// By now `taken` bytes of the connection have come.
    pub fn note(&mut self, taken: u64, now: Time) {
        if self.0.len() < ARRIVAL_COUNT_MAX {
            self.0.push((taken, now));
        }
    }

    /// What the three `$P` say that are the body of a reply, which ends at this offset of the
    /// connection. `lower` is added to the size of each.
    pub fn rate(&self, body: &[u8], end: u64, lower: usize) -> Option<u64> {
        let reason: [u8; 4] = body.get(4..8)?.try_into().ok()?;
        let reason = u32::from_le_bytes(reason);
        if body.len() != TOTAL || !body.starts_with(b"$P") {
            return None;
        }
        let mut at = end.checked_sub(TOTAL as u64)?;
        let mut estimate = Estimate::default();
        for index in 0..3 {
            let len = wire_len(index, reason);
            at += len as u64;
            let (_, came) = self.0.iter().find(|(taken, _)| *taken >= at)?;
            estimate.arrived(len + lower, *came);
        }
        estimate.bits_per_second()
    }
}

/// A pair, or three, over UDP.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Datagrams {
    last: Option<(Place, Time)>,
    best: Option<u64>,
}

impl Datagrams {
    /// A packet with so many bytes behind its payload header came. True if it was the last.
    pub fn take(&mut self, now: Time, len: usize, lower: usize) -> bool {
        let Some(place) = place(len) else {
            return false;
        };
        let follows = matches!(
            (self.last.map(|(p, _)| p), place),
            (Some(Place::First), Place::LastButOne) | (Some(Place::LastButOne), Place::Last)
        );
        if let Some((_, before)) = self.last.filter(|_| follows) {
            let micros = now.micros().saturating_sub(before.micros());
            let rate = link_rate(HEADS + len + lower, micros).unwrap_or(UNLIMITED);
            // A delay on the way can only make an interval longer.
            self.best = Some(self.best.unwrap_or(0).max(rate.min(UNLIMITED)));
        }
        self.last = Some((place, now));
        place == Place::Last
    }

    /// Bit/s; `None` if no two packets came one behind the other.
    pub fn rate(&self) -> Option<u64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::packet_pair::packets;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    // RTSP-91
    #[test]
    fn a_pair_over_tcp_is_measured_by_its_arrivals() {
        let [one, two, three] = packets(117, &mut ChaCha8Rng::seed_from_u64(1));
        let mut arrivals = Arrivals::default();
        arrivals.note(1000 + 117 + one.len() as u64, Time(0));
        let at = 1117 + one.len() + two.len();
        arrivals.note(at as u64, Time(4096));
        let end = at + three.len();
        arrivals.note(end as u64, Time(20_000));
        let body = [one, two, three].concat();
        // 512 bytes in 4.096 ms.
        assert_eq!(arrivals.rate(&body, end as u64, 0), Some(1_000_000));
        assert_eq!(arrivals.rate(&body[1..], end as u64, 0), None);
        assert_eq!(arrivals.rate(&body, 2000, 0), None);
    }

    // BW-20
    #[test]
    fn packets_over_udp_are_told_by_their_sizes() {
        let mut pair = Datagrams::default();
        assert!(!pair.take(Time(0), 1454, 0));
        assert!(!pair.take(Time(11_768), 1455, 0));
        assert!(pair.take(Time(30_000), 1456, 0));
        assert_eq!(pair.rate(), Some(1_000_000));
        let mut torn = Datagrams::default();
        torn.take(Time(0), 1454, 0);
        assert!(torn.take(Time(1), 1456, 0));
        assert_eq!(torn.rate(), None);
    }
}
