//! The datagrams of a group (MSBD-39): each is one IND_PACKET.

use super::stream::stream_id;
use super::wire::{PAYLOAD_LEN_MAX_UDP, Packet};
use crate::media::PacketMeta;
use bytes::Bytes;

/// Makes them. dwPacketId begins with 0 and counts on from entry to entry (MSBD-40, MSBD-41).
#[derive(Debug, Default)]
pub struct Caster {
    next_id: u32,
    stream_id: u16,
    out: Vec<u8>,
    dropped: u64,
}

impl Caster {
    /// At the beginning of its first entry.
    pub fn new() -> Caster {
        Caster::default()
    }

    /// Packets that no datagram can hold.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl crate::media::Caster for Caster {
    fn entry(&mut self, entry: u32, _: &Bytes, _: &mut dyn FnMut(&[u8])) {
        // As the server's connections say (MSBD-42).
        self.stream_id = stream_id(entry);
    }

    fn packet(&mut self, _: &PacketMeta, packet: &[u8], sink: &mut dyn FnMut(&[u8])) {
        let framed = Packet {
            id: self.next_id,
            stream_id: self.stream_id,
            payload: packet,
        };
        self.out.clear();
        if packet.len() > PAYLOAD_LEN_MAX_UDP || framed.put(&mut self.out).is_none() {
            self.dropped += 1;
            return;
        }
        self.next_id = self.next_id.wrapping_add(1);
        sink(&self.out);
    }

    fn pause(&mut self, _: &mut dyn FnMut(&[u8])) {}

    fn beacon(&self) -> Option<&[u8]> {
        None
    }

    // MSBD-44
    fn keeps_padding(&self) -> bool {
        true
    }
}
