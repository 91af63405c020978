//! How media packets are framed: eight bytes in front of each, the same over TCP and UDP (mmsp.md 2.6).

use super::message::DataHead;
use crate::media::{Framer, PacketMeta, SLOT_HEAD};
use std::cell::Cell;
use std::rc::Rc;

/// playIncarnation and AFFlags with which a Data packet of [`COLLIDING_SIZE`] bytes would look like a
/// packet on a TCP connection: bytes 4 to 7 would be sessionId's (mmsp.md 2.1).
const COLLIDING: (u8, u8) = (0xCE, 0xFA);
const COLLIDING_SIZE: usize = 0xB00B;

/// The playIncarnation of a flow, which its machine can change while the flow is held.
#[derive(Clone, Debug)]
pub struct Incarnation(Rc<Cell<Turn>>);

/// Up to a packet it was one, from there on it is another.
#[derive(Clone, Copy, Debug)]
struct Turn {
    from: u32,
    before: u8,
    now: u8,
}

impl Incarnation {
    /// One for a whole flow. 0 is never sent (MMSP-82): 1 stands for it.
    pub fn new(incarnation: u8) -> Incarnation {
        let now = incarnation.max(1);
        Incarnation(Rc::new(Cell::new(Turn {
            from: 0,
            before: now,
            now,
        })))
    }

    /// Have the flow's packet `from`, and those after it, carry another one. Packets before it keep
    /// theirs, so that they are the same when they are sent again.
    pub fn turn(&self, from: u32, incarnation: u8) {
        self.0.set(Turn {
            from,
            before: self.0.get().now,
            now: incarnation.max(1),
        });
    }

    fn of(&self, sequence: u32) -> u8 {
        let turn = self.0.get();
        if sequence < turn.from {
            turn.before
        } else {
            turn.now
        }
    }
}

/// Data packets.
#[derive(Clone, Debug)]
pub struct MmspFramer {
    /// The session's Sequence of the flow's first packet (MMSP-80).
    pub first_sequence: u32,
    /// playIncarnation of its packets.
    pub incarnation: Incarnation,
    /// filePacketSize, bytes: no payload is longer.
    pub packet_size: u32,
    /// The packets go where packets of messages go.
    pub on_connection: bool,
    /// The client needs its padding (MMSP-84).
    pub keeps_padding: bool,
}

impl MmspFramer {
    /// For a flow over TCP to an ordinary client.
    pub fn new(first_sequence: u32, incarnation: u8, packet_size: u32) -> MmspFramer {
        MmspFramer {
            first_sequence,
            incarnation: Incarnation::new(incarnation),
            packet_size,
            on_connection: true,
            keeps_padding: false,
        }
    }
}

impl Framer for MmspFramer {
    // SLOT_HEAD is longer than the head.
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, sequence: u32, meta: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        let incarnation = self.incarnation.of(sequence);
        let mut flags = self.first_sequence.wrapping_add(sequence) as u8;
        let mut padding = 0;
        let size = packet.len() + DataHead::LEN;
        if self.on_connection && size == COLLIDING_SIZE && (incarnation, flags) == COLLIDING {
            if packet.len() < self.packet_size as usize {
                // One byte of the padding that was cut off, which clients put back anyway.
                padding = 1;
            } else {
                // Longer than filePacketSize is worse than a number that nobody needs over TCP.
                flags = flags.wrapping_add(1);
            }
        }
        let head = DataHead::of(meta.number, incarnation, flags, packet.len() + padding);
        out.reserve(size + padding);
        out.extend_from_slice(&head.bytes());
        out.extend_from_slice(packet);
        out.resize(out.len() + padding, 0);
    }

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        DataHead::LEN as u32
    }

    fn keeps_padding(&self) -> bool {
        self.keeps_padding
    }
}

/// The Sequence with which a start goes on when `next` would be the next one: never 255 behind 254
/// (MMSP-81).
pub fn sequence_at_start(next: u32) -> u32 {
    match next.checked_sub(1) {
        Some(last) if last as u8 == 0xFE => next.wrapping_add(1),
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(framer: &MmspFramer, sequence: u32, number: u32, packet: &[u8]) -> Vec<u8> {
        let mut out = vec![0x55];
        let meta = PacketMeta {
            number,
            send_time: 0,
            duration: 0,
            key: false,
            len: packet.len() as u32,
        };
        framer.begin(&mut out);
        framer.put(sequence, &meta, true, packet, &mut out);
        framer.finish(1, &mut out);
        assert_eq!(out.remove(0), 0x55);
        out
    }

    // MMSP-79, MMSP-80, MMSP-82, MMSP-83: X22's third
    #[test]
    fn frames_as_the_reference_does() {
        let framer = MmspFramer::new(0x100, 10, 1600);
        let out = framed(&framer, 5, 97, &[0xAB; 1592]);
        assert_eq!(out[..8], [0x61, 0, 0, 0, 0x0A, 0x05, 0x40, 0x06]);
        assert_eq!(out[8..], [0xAB; 1592]);
        assert_eq!((framer.overhead(), framer.in_place()), (8, false));
        assert!(!framer.keeps_padding());
        let wrapped = MmspFramer::new(u32::MAX, 10, 1600);
        assert_eq!(framed(&wrapped, 2, 0, &[1])[5], 1);
    }

    // MMSP-82
    #[test]
    fn the_incarnation_is_never_0_and_turns_at_a_packet() {
        let framer = MmspFramer::new(0, 0, 10);
        let at = |sequence| framed(&framer, sequence, 0, &[0])[4];
        assert_eq!(at(0), 1);
        framer.incarnation.turn(3, 0xFF);
        assert_eq!([2, 3, 4].map(at), [1, 0xFF, 0xFF]);
        framer.incarnation.turn(5, 12);
        assert_eq!([4, 5].map(at), [0xFF, 12]);
    }

    // MMSP-13, mmsp.md 2.1
    #[test]
    fn no_data_packet_looks_like_a_packet() {
        let packet = vec![1; COLLIDING_SIZE - 8];
        let trimmed = MmspFramer::new(0xFA, 0xCE, 60_000);
        let out = framed(&trimmed, 0, 9, &packet);
        assert_eq!(out.len(), COLLIDING_SIZE + 1);
        assert_eq!(out[4..8], [0xCE, 0xFA, 0x0C, 0xB0]);
        assert_eq!(out.last(), Some(&0));
        let next = framed(&trimmed, 1, 9, &packet);
        assert_eq!(
            next[4..8],
            [0xCE, 0xFB, 0x0B, 0xB0],
            "others are as they are"
        );
        // At its full size it must not grow (MPlayer, FFmpeg and libmms give up then).
        let full = MmspFramer::new(0xFA, 0xCE, packet.len() as u32);
        let out = framed(&full, 0, 9, &packet);
        assert_eq!(out[4..8], [0xCE, 0xFB, 0x0B, 0xB0]);
        let datagram = MmspFramer {
            on_connection: false,
            ..full
        };
        let out = framed(&datagram, 0, 9, &packet);
        assert_eq!(out[4..8], [0xCE, 0xFA, 0x0B, 0xB0]);
    }

    // MMSP-81
    #[test]
    fn a_start_does_not_use_255() {
        let starts = [0, 1, 0xFE, 0xFF, 0x100, 0x1FF, u32::MAX].map(sequence_at_start);
        assert_eq!(starts, [0, 1, 0xFE, 0x100, 0x100, 0x200, 0]);
    }
}
