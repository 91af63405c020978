//! What waits to be sent, in order.

use super::PushFault;
use super::body::Part;
use super::config::Packets;
use crate::asf::{self, trim};
use crate::wmhttp::frame::{CHANGED_HEADER_MAX, HEAD_LEN, HEADER_MAX, Head, Kind, LENGTH_MAX, put};
use bytes::Bytes;
use std::collections::VecDeque;

/// Reason of an `$E` that another entry follows (WMHTTP-19).
pub const MORE: u32 = 1;

/// A header and what of it the session must know.
#[derive(Clone, Debug)]
pub struct Entry {
    blob: Bytes,
    /// Bytes of an uncut packet.
    pub packet_size: u32,
    /// bit/s; 0 if the header does not say.
    pub bit_rate: u32,
}

impl Entry {
    // WMHTTP-15, WMHTTP-23
    pub fn new(blob: Bytes, is_first: bool) -> Result<Entry, PushFault> {
        let header = asf::Header::parse(&blob).map_err(PushFault::Header)?;
        // The parser has seen that many bytes.
        let len = usize::try_from(header.blob_len())
            .unwrap_or(usize::MAX)
            .min(blob.len());
        let max = match is_first {
            true => HEADER_MAX,
            false => CHANGED_HEADER_MAX,
        };
        if len > max {
            return Err(PushFault::HeaderTooLong { len, max });
        }
        Ok(Entry {
            blob: blob.slice(..len),
            packet_size: header.packet_size(),
            bit_rate: match header.max_bit_rate() {
                0 => header.total_peak_bit_rate(),
                rate => rate,
            },
        })
    }

    /// Its `$H` or `$C`.
    pub fn frame(&self, kind: Kind) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.blob.len() + 8);
        let whole = put(kind, 0, &self.blob, &mut out);
        debug_assert!(whole, "its length was checked");
        out
    }

    /// Bytes that every body has to have at least for this entry.
    // WMHTTP-35
    pub fn body_min(&self, kind: Kind) -> u64 {
        let packets = 3 * (u64::from(self.packet_size) + HEAD_LEN as u64);
        packets.max((self.frame(kind).len() + HEAD_LEN) as u64)
    }
}

/// What waits.
#[derive(Clone, Debug)]
pub enum Item {
    /// A `$D`.
    Packet(Vec<u8>),
    /// An `$E`.
    End(u32),
    /// A `$C`.
    Change(Box<Entry>),
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Packet(frame) => frame.len(),
            Item::End(_) => HEAD_LEN + 4,
            Item::Change(entry) => HEAD_LEN + 4 + entry.blob.len(),
        }
    }

    pub fn part(&self) -> Part {
        match self {
            Item::End(MORE) => Part::EntryEnd,
            Item::End(_) => Part::End,
            other => Part::Media(other.len()),
        }
    }

    /// Append its frame.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Item::Packet(frame) => out.extend_from_slice(frame),
            // WMHTTP-18
            Item::End(reason) => {
                let _ = put(Kind::End, *reason, &[], out);
            }
            Item::Change(entry) => out.extend_from_slice(&entry.frame(Kind::Change)),
        }
    }
}

/// Make the `$D` of a packet.
// WMHTTP-13, WMHTTP-16, WMHTTP-17, WMHTTP-111
pub fn packet_frame(
    packet: &[u8],
    packet_size: u32,
    packets: Packets,
) -> Result<Vec<u8>, asf::Error> {
    let mut frame = Vec::with_capacity(packet.len() + HEAD_LEN + 2);
    frame.extend_from_slice(&[0; HEAD_LEN]);
    match packets {
        Packets::Trimmed => trim::trim(packet, packet_size, &mut frame)?,
        Packets::AsGiven => {
            let parsed = asf::Packet::parse(packet, packet_size)?;
            frame.extend_from_slice(parsed.bytes());
        }
    }
    // No packet is longer than the packet size, whose most a length can say.
    let length = (frame.len() - HEAD_LEN).min(LENGTH_MAX) as u16;
    let kind = Kind::Data;
    frame[..HEAD_LEN].copy_from_slice(&Head { kind, length }.bytes());
    Ok(frame)
}

/// Items in order, and their size.
#[derive(Debug, Default)]
pub struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, item: Item) {
        self.bytes += item.len();
        self.items.push_back(item);
    }

    pub fn push_front(&mut self, item: Item) {
        self.bytes += item.len();
        self.items.push_front(item);
    }

    pub fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        Some(item)
    }

    /// Headers that wait.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.items.iter().filter_map(|item| match item {
            Item::Change(entry) => Some(&**entry),
            _ => None,
        })
    }
}
