//! What the floor sends: packets that are framed once for all sessions.

use super::Settings;
use crate::content;
use crate::mmsp::client::FIRST_START;
use crate::swarm::Protocol;
use crate::wmsp;
use protocols::mmsp::message::DataHead;

/// How much of the past a session may lag behind before it is moved to the newest packet.
const RING_S: f64 = 10.0;

/// What stands before each packet.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Wmsp,
    Mmsp,
}

impl Framing {
    fn len(self) -> usize {
        match self {
            Framing::Wmsp => 12,
            Framing::Mmsp => DataHead::LEN,
        }
    }

    fn write(self, number: u64, payload: usize, out: &mut [u8]) {
        let (location, sequence) = (number as u32, number as u8);
        match self {
            Framing::Wmsp => {
                if let Ok(out) = out.try_into() {
                    wmsp::data_head(location, sequence, payload as u16, out);
                }
            }
            Framing::Mmsp => {
                let head = DataHead::of(location, FIRST_START, sequence, payload);
                out.copy_from_slice(&head.bytes());
            }
        }
    }
}

/// Framed packets of the last [`RING_S`] seconds. Stored twice in a row so that a run that wraps
/// is contiguous; the payload stays, only heads are rewritten.
pub(super) struct Ring {
    bytes: Vec<u8>,
    pub slots: usize,
    /// Bytes of a framed packet.
    pub frame: usize,
    framing: Framing,
    interval_ns: u64,
    /// Number of the next packet to become due.
    pub head: u64,
}

impl Ring {
    pub fn new(settings: &Settings) -> Ring {
        let framing = match settings.protocol {
            Protocol::Wmsp => Framing::Wmsp,
            Protocol::Mmst | Protocol::Mmsu => Framing::Mmsp,
        };
        let frame = framing.len() + usize::from(settings.packet_size);
        let interval_ns = settings.interval_ns();
        let slots = ((RING_S * 1e9 / interval_ns as f64) as usize).max(16);
        let mut bytes = vec![0; 2 * slots * frame];
        content::Noise::new(1).fill(&mut bytes);
        Ring {
            bytes,
            slots,
            frame,
            framing,
            interval_ns,
            head: 0,
        }
    }

    /// Make the packets that are due `elapsed_ns` after the start.
    pub fn advance(&mut self, elapsed_ns: u64) {
        while self.head * self.interval_ns <= elapsed_ns {
            let send_time = self.head * self.interval_ns / 1_000_000;
            let slot = (self.head % self.slots as u64) as usize;
            for copy in [slot, slot + self.slots] {
                let at = copy * self.frame;
                let packet = &mut self.bytes[at..at + self.frame];
                let (head, payload) = packet.split_at_mut(self.framing.len());
                self.framing.write(self.head, payload.len(), head);
                content::noise_packet_head(self.head, send_time as u32, payload);
            }
            self.head += 1;
        }
    }

    /// All that is due from `position`, less `offset` bytes.
    pub fn run(&self, position: u64, offset: usize) -> &[u8] {
        let count = (self.head - position) as usize;
        let at = (position % self.slots as u64) as usize * self.frame;
        &self.bytes[at + offset..at + count * self.frame]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::tests::settings;
    use crate::mmsp;
    use crate::wmsp::{Deframer, Packet};

    #[test]
    fn runs_are_contiguous_and_framed_across_the_wrap() {
        let mut ring = Ring::new(&settings());
        let slots = ring.slots as u64;
        ring.advance((slots + 5) * ring.interval_ns);
        assert_eq!(ring.head, slots + 6);
        let from = slots - 3;
        let run = ring.run(from, 0);
        assert_eq!(run.len(), 9 * 3212);
        let mut seen = Vec::new();
        let mut deframer = Deframer::default();
        deframer
            .feed(run, |p| {
                if let Packet::Data(d) = p {
                    seen.push((d.location, d.sequence, d.send_time));
                }
            })
            .unwrap();
        let expect: Vec<_> = (from..slots + 6)
            .map(|i| (i as u32, i as u8, Some((i * 25_600 / 1000) as u32)))
            .collect();
        assert_eq!(seen, expect);
        assert!(deframer.at_boundary());
        assert_eq!(ring.run(from, 100).len(), 9 * 3212 - 100);
        assert!(ring.run(ring.head, 0).is_empty());
    }

    #[test]
    fn frames_of_mmsp_are_one_datagram_each() {
        let mut ring = Ring::new(&Settings {
            protocol: Protocol::Mmsu,
            ..settings()
        });
        ring.advance(300 * ring.interval_ns);
        let run = ring.run(290, 0);
        assert_eq!(run.len(), 11 * 3208);
        for (i, frame) in run.chunks(3208).enumerate() {
            let d = mmsp::datagram(frame, frame.len()).unwrap();
            let number = 290 + i as u32;
            assert_eq!((d.incarnation, d.head.location), (FIRST_START, number));
            assert_eq!(d.head.sequence, number as u8);
            assert_eq!(d.head.frame_len, d.head.size_field);
            assert_eq!(d.head.send_time, Some(number * 25_600 / 1000));
        }
    }
}
