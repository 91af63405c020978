//! The packet ring: framed packets one after another, with an index, on the core that sends them.
//!
//! Each packet lies behind [`SLOT_HEAD`] bytes of room, so that a session's few private bytes are
//! stamped in place and any number of packets leaves in one send. That is legal because a send
//! copies before it returns and the ring belongs to one thread.

mod mirror;

use mirror::Mirror;
use protocols::media::{PacketMeta, SLOT_HEAD};
use std::collections::VecDeque;
use std::io;

/// Index entry of a framed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where its head starts: absolute in a ring, from the start in a chunk.
    pub pos: u64,
    /// Facts about the packet.
    pub meta: PacketMeta,
}

impl Slot {
    /// Bytes of head and packet.
    pub fn framed_len(&self) -> usize {
        SLOT_HEAD + self.meta.len as usize
    }
}

/// Framed packets, numbered by a sequence of their own without gaps, contiguous in memory.
pub trait PacketStore {
    /// Sequence of the oldest packet held.
    fn first(&self) -> u64;
    /// One past the newest.
    fn end(&self) -> u64;
    /// Index entry of a packet that is held.
    fn slot(&self, seq: u64) -> Option<&Slot>;
    /// Framed bytes from a position inside held packets.
    fn bytes_mut(&mut self, pos: u64, len: usize) -> &mut [u8];

    /// Sequence of the first held packet whose number is at least `number`.
    fn seek(&self, number: u32) -> u64 {
        let (mut low, mut high) = (self.first(), self.end());
        while low < high {
            let middle = low + (high - low) / 2;
            let before = self
                .slot(middle)
                .is_some_and(|s| (s.meta.number.wrapping_sub(number) as i32) < 0);
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// A ring of live packets. The oldest give way to new ones.
pub struct Ring {
    memory: Mirror,
    slots: VecDeque<Slot>,
    /// Sequence of `slots[0]`.
    first: u64,
    /// Where the next head will lie.
    head: u64,
}

impl Ring {
    /// A ring that holds at least `bytes` of framed packets.
    ///
    /// # Errors
    /// When memory or address space is short.
    pub fn new(bytes: usize) -> io::Result<Ring> {
        Ok(Ring {
            memory: Mirror::new(bytes)?,
            slots: VecDeque::new(),
            first: 0,
            head: 0,
        })
    }

    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.memory.size()
    }

    /// Append a packet. One larger than a quarter of the ring is refused (`false`): rings are
    /// sized for many packets, so such a packet belongs to a stream that changed under us.
    pub fn push(&mut self, meta: PacketMeta, packet: &[u8]) -> bool {
        debug_assert_eq!(meta.len as usize, packet.len());
        let framed = SLOT_HEAD + packet.len();
        if framed > self.capacity() / 4 {
            return false;
        }
        let keep_from = (self.head + framed as u64).saturating_sub(self.capacity() as u64);
        while self.slots.front().is_some_and(|s| s.pos < keep_from) {
            self.slots.pop_front();
            self.first += 1;
        }
        self.memory
            .slice_mut(self.head + SLOT_HEAD as u64, packet.len())
            .copy_from_slice(packet);
        self.slots.push_back(Slot {
            pos: self.head,
            meta,
        });
        self.head += framed as u64;
        true
    }

    /// Forget packets sent before `send_time`, except the newest: history beyond the configured
    /// buffer is of no use, and a slow reader must be noticed by time, not by memory.
    pub fn expire(&mut self, send_time: u32) {
        while self.slots.len() > 1
            && self
                .slots
                .front()
                .is_some_and(|s| (s.meta.send_time.wrapping_sub(send_time) as i32) < 0)
        {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Sequence of the newest packet at which a key object starts.
    pub fn newest_key(&self) -> Option<u64> {
        let back = self.slots.iter().rev().position(|s| s.meta.key)?;
        Some(self.end() - 1 - back as u64)
    }
}

impl PacketStore for Ring {
    fn first(&self) -> u64 {
        self.first
    }

    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots
            .get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    fn bytes_mut(&mut self, pos: u64, len: usize) -> &mut [u8] {
        self.memory.slice_mut(pos, len)
    }
}

/// A fixed run of framed packets: a piece of a file.
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    /// One past the number of the last packet that it was made of, also if nothing of it is sent.
    pub end_number: u32,
}

impl Chunk {
    /// An empty chunk with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Chunk {
        Chunk {
            bytes: Vec::with_capacity(bytes),
            slots: Vec::new(),
            end_number: 0,
        }
    }

    /// Append what `write` appends as one packet, unless it appends nothing and returns `None`.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<PacketMeta>) {
        let pos = self.bytes.len();
        self.bytes.resize(pos + SLOT_HEAD, 0);
        match write(&mut self.bytes) {
            Some(mut meta) => {
                meta.len = (self.bytes.len() - pos - SLOT_HEAD) as u32;
                self.slots.push(Slot {
                    pos: pos as u64,
                    meta,
                });
            }
            None => self.bytes.truncate(pos),
        }
    }

    /// Give back memory that is not used.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.slots.shrink_to_fit();
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }
}

impl PacketStore for Chunk {
    fn first(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.slots.len() as u64
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(seq).ok()?)
    }

    fn bytes_mut(&mut self, pos: u64, len: usize) -> &mut [u8] {
        let pos = pos as usize;
        &mut self.bytes[pos..pos + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(number: u32, len: usize, key: bool) -> PacketMeta {
        PacketMeta {
            number,
            send_time: number * 10,
            duration: 10,
            key,
            len: len as u32,
        }
    }

    #[test]
    fn packets_stay_whole_and_in_order_over_many_turns() {
        let mut ring = Ring::new(1 << 16).unwrap();
        let mut number = 0u32;
        for turn in 0..2000usize {
            let packet = vec![(turn % 251) as u8; 100 + turn % 900];
            assert!(ring.push(meta(number, packet.len(), false), &packet));
            number += 1 + (turn as u32 % 3);
            for seq in ring.first()..ring.end() {
                let slot = *ring.slot(seq).unwrap();
                let framed = ring.bytes_mut(slot.pos, slot.framed_len());
                let body = &framed[SLOT_HEAD..];
                assert!(body.iter().all(|b| *b == body[0]), "packet overwritten");
            }
            let held: usize = (ring.first()..ring.end())
                .map(|s| ring.slot(s).unwrap().framed_len())
                .sum();
            assert!(held <= ring.capacity());
        }
        assert!(ring.slot(ring.first().wrapping_sub(1)).is_none());
        assert!(ring.slot(ring.end()).is_none());
    }

    #[test]
    fn seek_finds_the_first_number_not_below_also_in_gaps_and_across_the_wrap() {
        let mut ring = Ring::new(1 << 16).unwrap();
        let numbers = [u32::MAX - 4, u32::MAX - 1, 0, 3, 9];
        for number in numbers {
            ring.push(
                PacketMeta {
                    number,
                    ..meta(0, 10, false)
                },
                &[0; 10],
            );
        }
        let at = |n: u32| ring.seek(n) - ring.first();
        assert_eq!(at(u32::MAX - 10), 0);
        assert_eq!(at(u32::MAX - 4), 0);
        assert_eq!(at(u32::MAX - 3), 1);
        assert_eq!(at(u32::MAX), 2);
        assert_eq!(at(1), 3);
        assert_eq!(at(9), 4);
        assert_eq!(at(10), 5);
    }

    #[test]
    fn expiry_keeps_the_newest_and_newest_key_is_found() {
        let mut ring = Ring::new(1 << 16).unwrap();
        assert_eq!(ring.newest_key(), None);
        for n in 0..10 {
            ring.push(meta(n, 10, n % 4 == 0), &[0; 10]);
        }
        assert_eq!(ring.newest_key(), Some(8));
        ring.expire(55);
        assert_eq!(ring.first(), 6);
        ring.expire(1000);
        assert_eq!((ring.first(), ring.end()), (9, 10));
        assert_eq!(ring.newest_key(), None);
    }

    #[test]
    fn an_oversized_packet_is_refused_and_harms_nothing() {
        let mut ring = Ring::new(1 << 16).unwrap();
        assert!(ring.push(meta(1, 100, true), &[7; 100]));
        assert!(!ring.push(meta(2, 20_000, true), &vec![0; 20_000]));
        assert_eq!((ring.first(), ring.end()), (0, 1));
    }

    #[test]
    fn a_chunk_skips_what_the_filter_dropped() {
        let mut chunk = Chunk::with_capacity(0);
        for n in 0..5u32 {
            chunk.push_with(|out| {
                if n % 2 == 1 {
                    return None;
                }
                out.extend_from_slice(&[n as u8; 20]);
                Some(meta(n, 0, n == 0))
            });
        }
        assert_eq!(chunk.end(), 3);
        let slot = *chunk.slot(1).unwrap();
        assert_eq!((slot.meta.number, slot.meta.len, slot.pos), (2, 20, 32));
        assert_eq!(&chunk.bytes_mut(slot.pos, 32)[SLOT_HEAD..], &[2; 20]);
        assert_eq!(chunk.seek(1), 1);
    }
}
