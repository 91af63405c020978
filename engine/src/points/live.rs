//! Live content: batches of packets made on a point's home core, shared with the cores that have
//! viewers, and there framed into rings.

use super::home::HISTORY_BYTES_MAX;
use crate::ring::{PacketStore, Ring};
use crate::source::Variant;
use bytes::{Bytes, BytesMut};
use protocols::asf::{self, Filter, Header};
use protocols::content::{Selection, StreamInfo};
use protocols::machine::Time;
use protocols::media::PacketMeta;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Rings of one stream on a core: one per selection of streams in use. Clients choose selections, so
/// there must be an end; sessions of further ones are filtered packet by packet, each for itself.
const RING_COUNT_MAX: usize = 16;

/// Largest ring, bytes.
const RING_BYTES_MAX: u64 = 256 << 20;

/// How long a core is fed without having a viewer.
const FEED_IDLE_MAX: Duration = Duration::from_secs(30);

/// How much older than the newest packet one is, ms, by their send times. A source's send times may go
/// back a little: a packet from before that is not old.
pub fn age(newest: u32, send_time: u32) -> u32 {
    asf::clock::since(send_time, newest).max(0).unsigned_abs()
}

/// What is known of a live stream, the same on all cores.
pub struct LiveHead {
    /// Header as served: broadcast flag set, durations zero.
    pub blob: Bytes,
    /// Parsed.
    pub header: Header,
    /// Streams with the best known rates.
    pub streams: Arc<[StreamInfo]>,
    /// Title, author and so on.
    pub description: Arc<[(String, String)]>,
    /// Counts headers of this point from 1: a new one begins a new entry.
    pub generation: u32,
    /// The file that plays, if it is one of several.
    pub source: Option<Arc<str>>,
}

impl LiveHead {
    /// Of a header as it is to be served.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn parse(blob: Bytes) -> Result<LiveHead, asf::Error> {
        let header = Header::parse(&blob)?;
        Ok(LiveHead {
            streams: header.streams().into(),
            description: header.description().into(),
            header,
            blob,
            generation: 0,
            source: None,
        })
    }

    /// The same as the header of another entry.
    pub fn in_generation(&self, generation: u32) -> LiveHead {
        LiveHead {
            blob: self.blob.clone(),
            header: self.header.clone(),
            streams: Arc::clone(&self.streams),
            description: Arc::clone(&self.description),
            generation,
            source: self.source.clone(),
        }
    }
}

/// One packet of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchPacket {
    /// Number on the virtual timeline; consecutive within a point's life.
    pub number: u32,
    /// ms.
    pub send_time: u32,
    /// ms.
    pub duration: u16,
    /// A looped file begins again with it.
    pub turn: bool,
    start: u32,
    end: u32,
}

/// Packets that became due together, whole and untrimmed.
pub struct Batch {
    packets: Vec<BatchPacket>,
    bytes: Bytes,
}

/// Collects a batch.
#[derive(Default)]
pub struct BatchBuilder {
    packets: Vec<BatchPacket>,
    bytes: BytesMut,
    turn: bool,
}

impl BatchBuilder {
    /// With the next packet a looped file begins again.
    pub fn turn(&mut self) {
        self.turn = true;
    }

    /// Append a copy of a packet, after `change` did its work on the copy.
    pub fn push<E>(
        &mut self,
        number: u32,
        send_time: u32,
        duration: u16,
        packet: &[u8],
        change: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet);
        if change(&mut self.bytes[start..]).is_err() {
            self.bytes.truncate(start);
            return;
        }
        self.packets.push(BatchPacket {
            number,
            send_time,
            duration,
            turn: std::mem::take(&mut self.turn),
            start: start as u32,
            end: self.bytes.len() as u32,
        });
    }

    /// True if nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The batch, if there is anything in it.
    pub fn finish(self) -> Option<Arc<Batch>> {
        (!self.packets.is_empty()).then(|| {
            Arc::new(Batch {
                packets: self.packets,
                bytes: self.bytes.freeze(),
            })
        })
    }
}

impl Batch {
    /// Its packets.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&BatchPacket, &[u8])> {
        self.packets
            .iter()
            .map(|p| (p, &self.bytes[p.start as usize..p.end as usize]))
    }

    /// The packet in this place, from 0.
    pub fn get(&self, index: usize) -> Option<(&BatchPacket, &[u8])> {
        let packet = self.packets.get(index)?;
        let bytes = self.bytes.get(packet.start as usize..packet.end as usize)?;
        Some((packet, bytes))
    }

    /// Bytes of its packets.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a batch has packets.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Send time of the newest packet.
    pub fn last_send_time(&self) -> u32 {
        self.packets.last().map_or(0, |p| p.send_time)
    }
}

/// A live stream on one core that has viewers.
pub struct LiveFeed {
    /// Of which point.
    pub point: u32,
    /// What is known; replaced when the source's header changes.
    pub head: Arc<LiveHead>,
    /// ms of history.
    buffer: u32,
    packets: RefCell<VecDeque<(Arc<Batch>, u32)>>,
    /// Bytes of these packets.
    held: Cell<usize>,
    rings: RefCell<Vec<Rc<LiveRing>>>,
    /// The source ended or changed: no more packets will come.
    ended: Cell<bool>,
    /// Contents and flows that use it.
    pub viewers: Cell<u32>,
    /// Since when nobody uses it.
    idle_since: Cell<Option<Time>>,
    /// When packets come.
    arrival: Cell<Arrival>,
}

/// When packets of a stream come at the earliest: a time, and the send time that belongs to it. Batches are
/// late now and then, by a tick here and there; who took the time of one of those for the stream's clock
/// would be that late for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Arrival(Option<(Time, u32)>);

impl Arrival {
    /// A packet came. One that is earlier than expected sets the clock; later ones put it back slowly, in
    /// case that the source's clock is slow or had run ahead.
    fn noting(self, send_time: u32, now: Time) -> Arrival {
        /// Share of a delay by which the clock is put back.
        const SLOWLY: i64 = 64;
        let Some((at, sent)) = self.0 else {
            return Arrival(Some((now, send_time)));
        };
        let step = i64::from(send_time.wrapping_sub(sent) as i32) * 1000;
        let expected = (at.micros() as i64).saturating_add(step);
        let late = (now.micros() as i64).saturating_sub(expected);
        let clock = match late {
            ..=0 => now,
            late => Time(u64::try_from(expected + late / SLOWLY).unwrap_or(0)),
        };
        Arrival(Some((clock, send_time)))
    }
}

/// A live stream framed for one selection.
pub struct LiveRing {
    /// Which.
    pub variant: Variant,
    /// The packets.
    pub ring: RefCell<Ring>,
    filter: RefCell<Filter>,
}

impl LiveFeed {
    /// A feed that begins with what the home core still has.
    pub fn new(
        point: u32,
        head: Arc<LiveHead>,
        buffer: u32,
        past: &[Arc<Batch>],
        now: Time,
    ) -> LiveFeed {
        let feed = LiveFeed {
            point,
            head,
            buffer,
            packets: RefCell::default(),
            held: Cell::new(0),
            rings: RefCell::default(),
            ended: Cell::new(false),
            viewers: Cell::new(0),
            idle_since: Cell::new(None),
            arrival: Cell::default(),
        };
        for batch in past {
            feed.push(batch, now);
        }
        feed
    }

    /// Take a new batch.
    pub fn push(&self, batch: &Arc<Batch>, now: Time) {
        let arrival = self.arrival.get();
        self.arrival
            .set(arrival.noting(batch.last_send_time(), now));
        let oldest = batch.last_send_time().wrapping_sub(self.buffer);
        let mut packets = self.packets.borrow_mut();
        for index in 0..batch.packets.len() {
            packets.push_back((Arc::clone(batch), index as u32));
        }
        let mut held = self.held.get() + batch.len();
        while packets.len() > 1
            && let Some(first) = packets
                .front()
                .and_then(|(b, i)| b.packets.get(*i as usize))
            && ((first.send_time.wrapping_sub(oldest) as i32) < 0 || held > HISTORY_BYTES_MAX)
        {
            held = held.saturating_sub((first.end - first.start) as usize);
            packets.pop_front();
        }
        self.held.set(held);
        drop(packets);
        for ring in self.rings.borrow().iter() {
            ring.push(batch, self.head.header.packet_size());
            ring.ring.borrow_mut().expire(oldest);
        }
    }

    /// Take what it does not have yet of the past that its home sent once more.
    pub fn catch_up(&self, past: &[Arc<Batch>], now: Time) {
        for batch in past {
            let (_, end) = self.range();
            let first = batch.packets.first();
            if first.is_some_and(|p| asf::clock::since(end, p.number) >= 0) {
                self.push(batch, now);
            }
        }
    }

    /// No more packets will come.
    pub fn end(&self) {
        self.ended.set(true);
    }

    /// See [`LiveFeed::end`].
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    /// ms of history that is kept.
    pub fn buffer(&self) -> u32 {
        self.buffer
    }

    /// Number of the oldest packet held and one past the newest.
    pub fn range(&self) -> (u32, u32) {
        let packets = self.packets.borrow();
        let number = |(b, i): &(Arc<Batch>, u32)| b.packets.get(*i as usize).map(|p| p.number);
        match (
            packets.front().and_then(number),
            packets.back().and_then(number),
        ) {
            (Some(first), Some(last)) => (first, last.wrapping_add(1)),
            _ => (0, 0),
        }
    }

    /// Call `f` with a packet, if it is held.
    pub fn with_packet<R>(
        &self,
        number: u32,
        f: impl FnOnce(&BatchPacket, &[u8]) -> R,
    ) -> Option<R> {
        let packets = self.packets.borrow();
        let (first_batch, first_index) = packets.front()?;
        let first = first_batch.packets.get(*first_index as usize)?.number;
        // Numbers are consecutive but for packets that were lost between the cores, so the guess
        // is exact or too high.
        let mut at = (number.wrapping_sub(first) as usize).min(packets.len().checked_sub(1)?);
        loop {
            let (batch, index) = packets.get(at)?;
            let packet = batch.packets.get(*index as usize)?;
            match packet.number.wrapping_sub(number) as i32 {
                0 => {
                    let bytes = batch
                        .bytes
                        .get(packet.start as usize..packet.end as usize)?;
                    return Some(f(packet, bytes));
                }
                1.. if at > 0 => at -= 1,
                _ => return None,
            }
        }
    }

    /// True while the entry is so young that a viewer can be given all of it.
    pub fn is_young(&self) -> bool {
        let packets = self.packets.borrow();
        let packet =
            |(batch, index): &(Arc<Batch>, u32)| batch.packets.get(*index as usize).copied();
        match (
            packets.front().and_then(packet),
            packets.back().and_then(packet),
        ) {
            (Some(first), Some(last)) => {
                first.number == 0 && age(last.send_time, first.send_time) <= self.depth()
            }
            _ => false,
        }
    }

    /// How far behind the head a viewer may begin, ms. Further behind it would at once be taken for one
    /// that lags, and jump.
    fn depth(&self) -> u32 {
        self.buffer / 5 * 3
    }

    /// Send time of the newest packet.
    pub fn head_send_time(&self) -> Option<u32> {
        let packets = self.packets.borrow();
        let (batch, index) = packets.back()?;
        Some(batch.packets.get(*index as usize)?.send_time)
    }

    /// A time and the send time that belongs to it: what the clocks of sessions at the head go by.
    pub fn clock(&self) -> Option<(Time, u32)> {
        self.arrival.get().0
    }

    /// Where a viewer joins (asf.md 8.6): the newest packet at which a key object of the selection
    /// starts and that is at least `wanted` ms old; else the oldest such that leaves the session room
    /// before it counts as lagging; else the head.
    // ASF-57
    pub fn join(&self, selection: Selection, wanted: u32) -> Option<(u32, u32)> {
        let packets = self.packets.borrow();
        let (head_batch, head_index) = packets.back()?;
        let head = head_batch.packets.get(*head_index as usize)?;
        let oldest = self.depth();
        let mut best = None;
        for (batch, index) in packets.iter().rev() {
            let Some(packet) = batch.packets.get(*index as usize) else {
                continue;
            };
            let bytes = &batch.bytes[packet.start as usize..packet.end as usize];
            if !asf::digest::starts_key(
                bytes,
                self.head.header.packet_size(),
                selection,
                &self.head.streams,
            ) {
                continue;
            }
            let age = age(head.send_time, packet.send_time);
            if best.is_some() && age > oldest {
                break;
            }
            best = Some((packet.number, packet.send_time));
            if age >= wanted {
                break;
            }
        }
        best.or(Some((head.number, head.send_time)))
    }

    /// The ring for a selection, made now if it is the first viewer's; `None` if there are enough.
    ///
    /// # Errors
    /// When memory for a new ring is short.
    pub fn ring(&self, variant: Variant) -> io::Result<Option<Rc<LiveRing>>> {
        if let Some(ring) = self.rings.borrow().iter().find(|r| r.variant == variant) {
            return Ok(Some(Rc::clone(ring)));
        }
        if self.rings.borrow().len() >= RING_COUNT_MAX {
            self.sweep();
            if self.rings.borrow().len() >= RING_COUNT_MAX {
                return Ok(None);
            }
        }
        let packets = self.packets.borrow();
        let packet_size = self.head.header.packet_size();
        let held: usize = packets
            .iter()
            .filter_map(|(b, i)| b.packets.get(*i as usize))
            .map(|p| (p.end - p.start) as usize + protocols::media::SLOT_HEAD)
            .sum();
        let span = match (packets.front(), packets.back()) {
            (Some((first, i)), Some((last, j))) => age(
                last.packets[*j as usize].send_time,
                first.packets[*i as usize].send_time,
            ),
            _ => 0,
        };
        // As much as a full history at the rate seen or announced and a quarter more, and never so
        // small that a few packets fill it.
        let seen = held as u64 * u64::from(self.buffer) / u64::from(span.max(1000));
        let announced =
            u64::from(self.head.header.max_bit_rate()) / 8 * u64::from(self.buffer) / 1000;
        let bytes = (seen.max(announced) * 5 / 4)
            .max(u64::from(packet_size) * 64)
            .min(RING_BYTES_MAX);
        let ring = Rc::new(LiveRing {
            variant,
            ring: RefCell::new(Ring::new(bytes as usize)?),
            filter: RefCell::new(Filter::steady(variant.selection, &self.head.streams)),
        });
        for (batch, index) in packets.iter() {
            if let Some(packet) = batch.packets.get(*index as usize) {
                let body = &batch.bytes[packet.start as usize..packet.end as usize];
                ring.push_packet(packet, body, packet_size, &mut Vec::new());
            }
        }
        self.rings.borrow_mut().push(Rc::clone(&ring));
        Ok(Some(ring))
    }

    /// True if nobody has used it for a while, so that it need not be fed any more.
    pub fn is_forgotten(&self, now: Time) -> bool {
        if self.viewers.get() > 0 {
            self.idle_since.set(None);
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.since(since) >= FEED_IDLE_MAX
    }

    /// Drop rings that nobody uses; returns bytes of the others.
    pub fn sweep(&self) -> usize {
        let mut rings = self.rings.borrow_mut();
        rings.retain(|ring| Rc::strong_count(ring) > 1);
        rings.iter().map(|r| r.ring.borrow().capacity()).sum()
    }
}

impl LiveRing {
    fn push(&self, batch: &Batch, packet_size: u32) {
        let mut scratch = Vec::with_capacity(packet_size as usize + 16);
        for (packet, bytes) in batch.iter() {
            self.push_packet(packet, bytes, packet_size, &mut scratch);
        }
    }

    fn push_packet(
        &self,
        packet: &BatchPacket,
        bytes: &[u8],
        packet_size: u32,
        scratch: &mut Vec<u8>,
    ) {
        scratch.clear();
        let kept =
            self.filter
                .borrow_mut()
                .apply(bytes, packet_size, self.variant.keep_padding, scratch);
        if let Ok(Some(kept)) = kept {
            let meta = PacketMeta {
                number: packet.number,
                send_time: packet.send_time,
                duration: packet.duration,
                key: kept.key,
                len: scratch.len() as u32,
            };
            self.ring.borrow_mut().push(meta, scratch);
        }
    }

    /// Send time of the newest packet in it.
    pub fn head_send_time(&self) -> Option<u32> {
        let ring = self.ring.borrow();
        ring.slot(ring.end().checked_sub(1)?)
            .map(|s| s.meta.send_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time(ms * 1000)
    }

    #[test]
    fn the_clock_of_a_stream_is_that_of_its_punctual_packets() {
        let mut arrival = Arrival::default();
        // Every third batch is 12 ms late.
        for n in 0..300u32 {
            let late = if n % 3 == 1 { 12 } else { 0 };
            let send_time = n * 20;
            arrival = arrival.noting(send_time, ms(5000 + u64::from(send_time) + late));
            let (at, sent) = arrival.0.expect("packets came");
            let off = at.micros() as i64 - ms(5000 + u64::from(sent)).micros() as i64;
            assert!((0..=400).contains(&off), "{off} us at {n}");
        }
    }

    #[test]
    fn the_clock_follows_a_source_that_is_slow_and_one_that_was_ahead() {
        let mut arrival = Arrival::default().noting(0, ms(1000));
        // Ten seconds in one go, then in real time.
        arrival = arrival.noting(10_000, ms(1000));
        assert_eq!(arrival.0, Some((ms(1000), 10_000)));
        for n in 1..1000u32 {
            arrival = arrival.noting(10_000 + n * 20, ms(3000 + u64::from(n) * 20));
        }
        let (at, sent) = arrival.0.expect("packets came");
        let real = ms(3000 + u64::from(sent - 10_000));
        assert!(real.since(at) < Duration::from_millis(1), "{at:?} {real:?}");
    }
}
