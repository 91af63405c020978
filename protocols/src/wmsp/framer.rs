//! How media packets are framed on a connection: `$D` for Windows Media clients, nothing for others.

use super::packet::{self, PacketId};
use crate::media::{Framer, PacketMeta, SLOT_HEAD};

/// Room that a write of chunked coding keeps for its size line: `00012c` and CRLF.
const CHUNK_SIZE_LINE: usize = 8;
/// Most bytes that one chunk can announce in that room.
const CHUNK_MAX: usize = 0xFF_FFFF;

const _: () = assert!(SLOT_HEAD == packet::HEAD_LEN);

/// `$D` packets, plain or in chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFramer {
    /// AFFlags of the flow's first packet (WMSP-11).
    pub first_flags: u8,
    /// Incarnation of every packet of the flow (WMSP-13).
    pub incarnation: u8,
    /// One HTTP chunk for each write.
    pub chunked: bool,
    /// The client understands the B bit (WMSP-04).
    pub marks_rush: bool,
    /// The client needs its padding (WMSP-16).
    pub keeps_padding: bool,
}

impl DataFramer {
    fn head(&self, sequence: u32, meta: &PacketMeta, rushed: bool) -> [u8; SLOT_HEAD] {
        packet::head(
            PacketId::Data,
            rushed && self.marks_rush,
            meta.number,
            self.incarnation,
            self.first_flags.wrapping_add(sequence as u8),
            meta.len as usize,
        )
    }
}

impl Framer for DataFramer {
    fn in_place(&self) -> bool {
        !self.chunked
    }

    fn stamp(&self, sequence: u32, meta: &PacketMeta, rushed: bool, head: &mut [u8; SLOT_HEAD]) {
        *head = self.head(sequence, meta, rushed);
    }

    fn begin(&self, out: &mut Vec<u8>) {
        if self.chunked {
            begin_chunk(out);
        }
    }

    fn put(
        &self,
        sequence: u32,
        meta: &PacketMeta,
        rushed: bool,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.head(sequence, meta, rushed));
        out.extend_from_slice(packet);
    }

    fn finish(&self, start: usize, out: &mut Vec<u8>) {
        if self.chunked {
            finish_chunk(start, out);
        }
    }

    fn overhead(&self) -> u32 {
        SLOT_HEAD as u32
    }

    fn keeps_padding(&self) -> bool {
        self.keeps_padding
    }
}

/// ASF packets at their full size with nothing around them: what follows an ASF header in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainFramer {
    /// One HTTP chunk for each write.
    pub chunked: bool,
}

impl Framer for PlainFramer {
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, out: &mut Vec<u8>) {
        if self.chunked {
            begin_chunk(out);
        }
    }

    fn put(&self, _: u32, _: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(packet);
    }

    fn finish(&self, start: usize, out: &mut Vec<u8>) {
        if self.chunked {
            finish_chunk(start, out);
        }
    }

    fn overhead(&self) -> u32 {
        0
    }

    fn keeps_padding(&self) -> bool {
        true
    }
}

// The size of a chunk is known when it is complete. Its line has a fixed width (leading zeros are
// legal), so that a batch of packets need not be moved to make room.
fn begin_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"000000\r\n");
}

fn finish_chunk(start: usize, out: &mut Vec<u8>) {
    let size = out.len().saturating_sub(start + CHUNK_SIZE_LINE);
    if size == 0 {
        // A chunk of no bytes would end the body.
        out.truncate(start);
        return;
    }
    debug_assert!(size <= CHUNK_MAX);
    let line = format!("{size:06x}");
    if let Some(room) = out.get_mut(start..start + 6) {
        room.copy_from_slice(&line.as_bytes()[..6]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMER: DataFramer = DataFramer {
        first_flags: 0,
        incarnation: 0,
        chunked: false,
        marks_rush: true,
        keeps_padding: false,
    };

    fn meta(number: u32, len: u32) -> PacketMeta {
        PacketMeta {
            number,
            send_time: 0,
            duration: 0,
            key: false,
            len,
        }
    }

    // WMSP-02, WMSP-10, WMSP-15
    #[test]
    fn stamps_the_head_of_the_reference() {
        let mut head = [0; SLOT_HEAD];
        let framer = DataFramer {
            incarnation: 2,
            first_flags: 0xFE,
            ..FRAMER
        };
        framer.stamp(0, &meta(0x0102_0304, 4), false, &mut head);
        assert_eq!(head, [0x24, 0x44, 0x0C, 0, 4, 3, 2, 1, 2, 0xFE, 0x0C, 0]);
    }

    // WMSP-03, WMSP-04, BW-36
    #[test]
    fn marks_haste_only_for_those_who_know() {
        let mut head = [0; SLOT_HEAD];
        FRAMER.stamp(0, &meta(5, 4), true, &mut head);
        assert_eq!(head, [0xA4, 0x44, 0x0C, 0, 5, 0, 0, 0, 0, 0, 0x0C, 0]);
        FRAMER.stamp(0, &meta(5, 4), false, &mut head);
        assert_eq!(head[0], 0x24);
        let old = DataFramer {
            marks_rush: false,
            ..FRAMER
        };
        old.stamp(0, &meta(5, 4), true, &mut head);
        assert_eq!(head[0], 0x24);
    }

    // WMSP-11
    #[test]
    fn flags_count_modulo_256() {
        let mut head = [0; SLOT_HEAD];
        let framer = DataFramer {
            first_flags: 250,
            ..FRAMER
        };
        let flags: Vec<u8> = (0..8)
            .map(|n| {
                framer.stamp(n, &meta(n, 1), false, &mut head);
                head[9]
            })
            .collect();
        assert_eq!(flags, [250, 251, 252, 253, 254, 255, 0, 1]);
        framer.stamp(u32::MAX, &meta(0, 1), false, &mut head);
        assert_eq!(head[9], 249);
    }

    #[test]
    fn a_write_is_one_chunk() {
        let framer = DataFramer {
            chunked: true,
            ..FRAMER
        };
        let mut out = b"before".to_vec();
        framer.begin(&mut out);
        framer.put(0, &meta(5, 4), false, &[0xBB; 4], &mut out);
        framer.put(1, &meta(6, 2), false, &[0xCC; 2], &mut out);
        framer.finish(6, &mut out);
        let mut want = b"before00001e\r\n".to_vec();
        want.extend([0x24, 0x44, 12, 0, 5, 0, 0, 0, 0, 0, 12, 0]);
        want.extend([0xBB; 4]);
        want.extend([0x24, 0x44, 10, 0, 6, 0, 0, 0, 0, 1, 10, 0]);
        want.extend([0xCC; 2]);
        want.extend(b"\r\n");
        assert_eq!(out, want);
    }

    #[test]
    fn an_empty_write_does_not_end_the_body() {
        let framer = PlainFramer { chunked: true };
        let mut out = vec![1];
        framer.begin(&mut out);
        framer.finish(1, &mut out);
        assert_eq!(out, [1]);
    }

    #[test]
    fn plain_packets_stand_alone() {
        let framer = PlainFramer { chunked: false };
        assert!(framer.keeps_padding() && !framer.in_place());
        let mut out = Vec::new();
        framer.begin(&mut out);
        framer.put(0, &meta(0, 3), true, b"asf", &mut out);
        framer.finish(0, &mut out);
        assert_eq!(out, b"asf");
    }
}
