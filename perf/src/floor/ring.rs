//! What the floor sends: packets that are framed once for all sessions.

use super::Settings;
use crate::content;
use crate::mmsp::client::FIRST_START;
use crate::swarm::Protocol;
use crate::wmsp;
use protocols::mmsp::message::DataHead;
use protocols::rtsp::payload::{PAYLOAD_TYPE, PayloadHead};
use protocols::rtsp::reader::{FRAME_HEAD, frame_head};
use protocols::rtsp::rtp::{HEAD_LEN, Header};

/// How much of the past a session may lag behind before it is moved to the newest packet.
const RING_S: f64 = 10.0;

/// Of all RTP packets.
pub(super) const SSRC: u32 = 0x5247_4341;

/// What stands before each packet.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Wmsp,
    Mmsp,
    /// RTP in a datagram.
    Rtp,
    /// RTP in an interleaved frame.
    Interleaved,
}

/// Bytes before an ASF packet in RTP: the smallest payload header.
const RTP_HEADS: usize = HEAD_LEN + 4;

impl Framing {
    fn len(self) -> usize {
        match self {
            Framing::Wmsp => 12,
            Framing::Mmsp => DataHead::LEN,
            Framing::Rtp => RTP_HEADS,
            Framing::Interleaved => FRAME_HEAD + RTP_HEADS,
        }
    }

    fn write(self, number: u64, send_time: u32, payload: usize, out: &mut [u8]) {
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
            Framing::Rtp => {
                let rtp = Header {
                    marker: true,
                    payload_type: PAYLOAD_TYPE,
                    sequence: number as u16,
                    timestamp: send_time,
                    ssrc: SSRC,
                };
                let head = PayloadHead {
                    key: false,
                    whole: true,
                    length_or_offset: (payload + 4) as u32,
                    relative: None,
                    duration: None,
                    location: None,
                };
                let (first, second) = out.split_at_mut(HEAD_LEN);
                first.copy_from_slice(&rtp.emit());
                second.copy_from_slice(&head.emit()[..head.wire_len()]);
            }
            Framing::Interleaved => {
                let (frame, heads) = out.split_at_mut(FRAME_HEAD);
                if let Some(head) = frame_head(0, RTP_HEADS + payload) {
                    frame.copy_from_slice(&head);
                }
                Framing::Rtp.write(number, send_time, payload, heads);
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
            Protocol::Rtspt => Framing::Interleaved,
            Protocol::Rtspu => Framing::Rtp,
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
                self.framing
                    .write(self.head, send_time as u32, payload.len(), head);
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
    use crate::rtsp;
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
            .map(|i| {
                (
                    Some(i as u32),
                    i as u16 & 0xFF,
                    Some((i * 25_600 / 1000) as u32),
                )
            })
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
            assert_eq!(
                (d.incarnation, d.head.location),
                (FIRST_START, Some(number))
            );
            assert_eq!(d.head.sequence, number as u16 & 0xFF);
            assert_eq!(d.head.frame_len, d.head.size_field);
            assert_eq!(d.head.send_time, Some(number * 25_600 / 1000));
        }
    }

    #[test]
    fn frames_of_rtsp_are_the_same_on_both_ways() {
        let run_of = |protocol| {
            let mut ring = Ring::new(&Settings {
                protocol,
                ..settings()
            });
            ring.advance(300 * ring.interval_ns);
            ring.run(290, 0).to_vec()
        };
        let datagrams = run_of(Protocol::Rtspu);
        assert_eq!(datagrams.len(), 11 * 3216);
        let interleaved = run_of(Protocol::Rtspt);
        let pairs = interleaved.chunks(3220).zip(datagrams.chunks(3216));
        for (number, (frame, datagram)) in (290u32..).zip(pairs) {
            assert_eq!(frame[..4], [b'$', 0, 0x0C, 0x90]);
            let d = rtsp::packet(&frame[4..], 3216).unwrap();
            assert_eq!(rtsp::packet(datagram, 3216), Ok(d));
            assert_eq!((d.ssrc, d.payload_type), (SSRC, 96));
            assert_eq!(u32::from(d.head.sequence), number);
            assert_eq!(d.head.frame_len, d.head.size_field);
            assert_eq!(d.head.send_time, Some(number * 25_600 / 1000));
        }
    }
}
