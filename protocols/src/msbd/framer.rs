//! Packets of a flow: twenty-four bytes in front of each (MSBD-36, MSBD-37, MSBD-44).

use super::wire::{PACKET_HEAD_LEN, Packet};
use crate::media::{Framer, PacketMeta, SLOT_HEAD, Spray};

/// IND_PACKETs on the connection (MSBD-38).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsbdFramer {
    /// dwPacketId of the flow's first packet (MSBD-41).
    pub first_id: u32,
    /// Of the stream that was described last (MSBD-42).
    pub stream_id: u16,
}

impl Framer for MsbdFramer {
    // SLOT_HEAD is shorter than the head.
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, sequence: u32, _: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        let packet = Packet {
            id: self.first_id.wrapping_add(sequence),
            stream_id: self.stream_id,
            payload: packet,
        };
        // Contents whose packets are too long are not described, and so not sent.
        let put = packet.put(out);
        debug_assert!(put.is_some(), "a packet that is too long");
    }

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        PACKET_HEAD_LEN as u32
    }

    fn keeps_padding(&self) -> bool {
        true
    }
}

/// Nothing: the packets reach the client through a group, and the flow tells only where the stream is.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Framer for Silent {
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, _: u32, _: &PacketMeta, _: bool, _: &[u8], _: &mut Vec<u8>) {}

    fn spray(&self, _: u32, _: &PacketMeta, _: bool, _: &[u8], _: &mut dyn Spray) {}

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        0
    }

    /// As those that packets are sent to, so that the same ones serve both.
    fn keeps_padding(&self) -> bool {
        true
    }
}
