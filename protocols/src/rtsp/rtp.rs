//! RTP packets (RFC 3550, 5.1) and their order.

use super::Fault;
use std::collections::VecDeque;

/// Bytes of a header without contributing sources.
pub const HEAD_LEN: usize = 12;

/// Most packets that wait for one before them (MS-RTSP RTP-Queue-Limit).
pub const QUEUE_MAX: usize = 48;

/// The fields of a header. Written packets have no padding, extension or contributing sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// M: with ASF, something ends in this packet (RTSP-05).
    pub marker: bool,
    /// 0..=127 (RTSP-06).
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// In units of the payload type's clock (RTSP-07).
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// As on the wire.
    pub fn emit(&self) -> [u8; HEAD_LEN] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        let second = u8::from(self.marker) << 7 | (self.payload_type & 0x7F);
        [0x80, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

/// A packet as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Header.
    pub header: Header,
    /// Without extension and padding.
    pub payload: &'a [u8],
    /// Everything behind the first 12 bytes: what error correction covers.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Read a whole datagram or frame.
    ///
    /// # Errors
    /// Another version, or something that reaches past the end.
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Fault> {
        let Some((head, body)) = bytes.split_first_chunk::<HEAD_LEN>() else {
            return Err(Fault::at(bytes.len(), "RTP header", "too short"));
        };
        let [flags, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *head;
        if flags >> 6 != 2 {
            return Err(Fault::at(0, "RTP header", "version is not 2"));
        }
        let mut at = usize::from(flags & 0x0F) * 4;
        if flags & 0x10 != 0 {
            let Some(&[_, _, l0, l1]) = body.get(at..).and_then(|b| b.first_chunk::<4>()) else {
                return Err(Fault::at(HEAD_LEN + at, "RTP extension", "too short"));
            };
            at += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        }
        let padding = match (flags & 0x20 != 0, body.last()) {
            (false, _) => 0,
            (true, Some(&n)) if n > 0 => usize::from(n),
            (true, _) => return Err(Fault::at(bytes.len(), "RTP padding", "no length")),
        };
        let end = body.len().checked_sub(padding);
        let Some(payload) = end.and_then(|end| body.get(at..end)) else {
            return Err(Fault::at(HEAD_LEN + at, "RTP payload", "too short"));
        };
        Ok(Packet {
            header: Header {
                marker: second & 0x80 != 0,
                payload_type: second & 0x7F,
                sequence: u16::from_be_bytes([s0, s1]),
                timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
                ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            },
            payload,
            body,
        })
    }
}

/// How far `a` is ahead of `b`, the wrap of 16 bits considered (RTSP-121).
pub const fn ahead(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b) as i16
}

/// ms in units of a clock, modulo 2^32.
pub const fn ticks(ms: u64, clock: u32) -> u32 {
    (ms as u128 * clock as u128 / 1000) as u32
}

/// What comes out of [`Reorder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived<T> {
    /// The next packet.
    Packet(T),
    /// Packets that did not come in time.
    Lost {
        /// Sequence number of the first.
        first: u16,
        /// How many.
        count: u16,
    },
}

/// Brings the packets of one source into their order: a packet waits while one before it is missing
/// and no more than the limit are waiting; duplicates and what comes too late are dropped (RTSP-121).
#[derive(Clone, Debug)]
pub struct Reorder<T> {
    limit: usize,
    next: Option<u16>,
    /// Packets from `next` on; the first is always missing.
    held: VecDeque<Option<T>>,
    ready: VecDeque<Arrived<T>>,
}

impl<T> Reorder<T> {
    /// A queue that begins with the first packet that comes, or with `next` where the peer said so
    /// (`RTP-Info`). `limit` is at most [`QUEUE_MAX`]; with 0 nothing waits.
    pub fn new(limit: usize, next: Option<u16>) -> Reorder<T> {
        Reorder {
            limit: limit.min(QUEUE_MAX),
            next,
            held: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// A packet came. False if it was a duplicate or too late.
    pub fn push(&mut self, sequence: u16, packet: T) -> bool {
        let next = *self.next.get_or_insert(sequence);
        let Ok(mut index) = usize::try_from(ahead(sequence, next)) else {
            return false;
        };
        while index > self.limit {
            index -= self.give_up(index - self.limit);
        }
        if self.held.len() <= index {
            self.held.resize_with(index + 1, || None);
        }
        match self.held.get_mut(index) {
            Some(slot @ None) => *slot = Some(packet),
            _ => return false,
        }
        while let Some(Some(_)) = self.held.front() {
            self.advance();
        }
        true
    }

    /// The next thing in order.
    pub fn pop(&mut self) -> Option<Arrived<T>> {
        self.ready.pop_front()
    }

    /// Nothing more is worth waiting for.
    pub fn flush(&mut self) {
        while !self.held.is_empty() {
            self.advance();
        }
    }

    /// Sequence numbers that packets are waiting for: what to ask for again.
    pub fn missing(&self) -> impl Iterator<Item = u16> {
        let next = self.next.unwrap_or(0);
        let gaps = self.held.iter().enumerate().filter(|(_, p)| p.is_none());
        gaps.map(move |(n, _)| next.wrapping_add(n as u16))
    }

    /// Pass on the first place or, if there is nothing at all, up to `most` of them; how many went.
    fn give_up(&mut self, most: usize) -> usize {
        if self.held.is_empty() {
            self.lose(most);
            return most;
        }
        self.advance();
        1
    }

    fn advance(&mut self) {
        match self.held.pop_front() {
            Some(Some(packet)) => {
                self.next = self.next.map(|n| n.wrapping_add(1));
                self.ready.push_back(Arrived::Packet(packet));
            }
            Some(None) => self.lose(1),
            None => {}
        }
    }

    fn lose(&mut self, n: usize) {
        let first = self.next.unwrap_or(0);
        self.next = Some(first.wrapping_add(n as u16));
        match self.ready.back_mut() {
            Some(Arrived::Lost { count, .. }) => *count = count.saturating_add(n as u16),
            _ => self.ready.push_back(Arrived::Lost {
                first,
                count: n as u16,
            }),
        }
    }
}
