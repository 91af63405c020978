//! The last step of every packet: from framed bytes to the socket, one send per flow and tick.

use super::journal::FlowCounters;
use super::ports::Ports;
use super::spray::{Beside, Sink};
use crate::ops::metrics::CoreCounters;
use crate::ring::{PacketStore, Slot};
use crate::rt::{self, Sent};
use protocols::asf::Filter;
use protocols::machine::Time;
use protocols::media::{FlowTotals, Framer, PacketMeta, SLOT_HEAD};
use protocols::rate::pacer::Pacer;
use std::os::fd::RawFd;

/// Bytes that one flow sends in one turn. A flow that is behind goes on in its next turn, so that
/// no other waits long.
const TURN_BYTES_MAX: usize = 256 << 10;

/// Buffers of a core that every turn uses.
#[derive(Default)]
pub struct Scratch {
    /// Framed packets of one write.
    out: Vec<u8>,
    /// One filtered packet.
    packet: Vec<u8>,
    /// The core's UDP sockets.
    pub ports: Ports,
}

/// Where a flow stands in a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The packet that is to leave next.
    pub seq: u64,
    /// Bytes of its framed form that have left.
    pub offset: u32,
    /// One past the last packet that the pacer has released.
    pub released: u64,
    /// One past the last of them that was released faster than real time.
    pub(super) rushed: u64,
}

impl Cursor {
    /// At the start of a packet.
    pub fn at(seq: u64) -> Cursor {
        Cursor {
            seq,
            offset: 0,
            released: seq,
            rushed: seq,
        }
    }
}

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The next packet is not due yet, or the flow has had its share.
    Done,
    /// Everything that is in the store has left.
    Starved,
    /// The socket takes no more now.
    Blocked,
    /// The selection is settled: go on from the framed store.
    Settled,
    /// The flow has reached the end of its time span.
    Over,
    /// The connection is dead.
    Dead,
}

/// Outcome of asking for a packet by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was handed over.
    Given,
    /// It is there and cannot be read.
    Damaged,
    /// It is not there.
    Missing,
}

/// The sending side of a flow.
pub struct Outlet {
    /// The connection's descriptor.
    pub fd: RawFd,
    /// The clock.
    pub pacer: Pacer,
    /// The protocol's framing.
    pub framer: Box<dyn Framer>,
    /// What the framing always answers, kept at hand.
    in_place: bool,
    overhead: u32,
    /// Packets before the one at the cursor.
    pub sequence: u32,
    /// What has left.
    pub totals: FlowTotals,
    /// Number of the packet after the last one released.
    pub next_number: u32,
    /// Bytes taken out of a store that the socket has not taken yet.
    spill: Option<Box<Spill>>,
    /// Send times from here on are beyond the span that was asked for.
    pub stop_at: Option<u32>,
    /// When the socket last took a byte.
    pub progress: Time,
    /// Longest that a send may be late before it counts.
    pub late_max_ms: u32,
    /// Counters of the point.
    pub counters: FlowCounters,
    /// Set if packets leave as datagrams.
    pub beside: Option<Box<Beside>>,
}

struct Spill {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outlet {
    /// A sending side that has sent nothing.
    pub fn new(
        fd: RawFd,
        pacer: Pacer,
        framer: Box<dyn Framer>,
        packet: u32,
        now: Time,
        late_max_ms: u32,
        counters: FlowCounters,
    ) -> Outlet {
        Outlet {
            fd,
            pacer,
            in_place: framer.in_place(),
            overhead: framer.overhead(),
            framer,
            sequence: 0,
            totals: FlowTotals::default(),
            next_number: packet,
            spill: None,
            stop_at: None,
            progress: now,
            late_max_ms,
            counters,
            beside: None,
        }
    }

    /// Send what an earlier turn left over. `Done` if nothing is left.
    pub fn drain_spill(&mut self, now: Time, core: &CoreCounters) -> Turn {
        let Some(spill) = &mut self.spill else {
            return Turn::Done;
        };
        let rest = &spill.bytes[spill.sent..];
        match rt::send(self.fd, rest) {
            Sent::Bytes(n) => {
                let left = rest.len() - n;
                spill.sent += n;
                self.count(n, now, core);
                if left > 0 {
                    return Turn::Blocked;
                }
                self.spill = None;
                Turn::Done
            }
            Sent::Full => Turn::Blocked,
            Sent::Dead(_) => Turn::Dead,
        }
    }

    /// True if bytes that were taken out of a store have not left yet.
    pub fn is_spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Release and send the packets of a store that are due.
    pub fn turn<S: PacketStore>(
        &mut self,
        store: &mut S,
        cursor: &mut Cursor,
        now: Time,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> Turn {
        let released = self.release(store, cursor, now);
        if cursor.seq == cursor.released {
            return released;
        }
        let sent = if self.beside.is_some() {
            self.send_datagrams(store, cursor, now, scratch, core)
        } else if self.in_place {
            self.send_in_place(store, cursor, now, core)
        } else {
            self.send_assembled(store, cursor, now, scratch, core)
        };
        if sent == Turn::Done { released } else { sent }
    }

    fn release<S: PacketStore>(&mut self, store: &S, cursor: &mut Cursor, now: Time) -> Turn {
        let overhead = self.overhead;
        let mut bytes = 0;
        // Lateness is told of the first packet of a turn: the others are nearer to their time.
        let mut lateness = None;
        let bytes_max = self.turn_bytes_max();
        while bytes < bytes_max {
            let Some(slot) = store.slot(cursor.released) else {
                self.record(lateness);
                return Turn::Starved;
            };
            let send_time = slot.meta.send_time;
            if self.is_beyond(send_time) {
                self.record(lateness);
                return Turn::Over;
            }
            let due = self.pacer.due(send_time);
            if due > now {
                break;
            }
            if lateness.is_none() && !self.pacer.rushed() {
                lateness = Some(now.since(due));
            }
            if self.pacer.rushed_at(send_time) {
                cursor.rushed = cursor.released + 1;
            }
            self.pacer.sent(send_time, slot.meta.len + overhead);
            self.next_number = slot.meta.number.wrapping_add(1);
            bytes += slot.framed_len();
            cursor.released += 1;
        }
        self.record(lateness);
        Turn::Done
    }

    fn turn_bytes_max(&self) -> usize {
        match &self.beside {
            Some(beside) if !self.pacer.rushed() => beside.turn_bytes_max,
            _ => TURN_BYTES_MAX,
        }
    }

    fn record(&self, lateness: Option<std::time::Duration>) {
        if let Some(late) = lateness {
            let ms = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
            self.counters.lateness.record(ms);
            if ms > self.late_max_ms {
                self.counters.late_sends.inc();
            }
        }
    }

    fn is_beyond(&self, send_time: u32) -> bool {
        self.stop_at
            .is_some_and(|stop| (send_time.wrapping_sub(stop) as i32) >= 0)
    }

    /// Stamp the heads of the run in the store and send it from there.
    fn send_in_place<S: PacketStore>(
        &mut self,
        store: &mut S,
        cursor: &mut Cursor,
        now: Time,
        core: &CoreCounters,
    ) -> Turn {
        let Some(first) = store.slot(cursor.seq).copied() else {
            return Turn::Starved;
        };
        let mut len = 0;
        for (n, seq) in (cursor.seq..cursor.released).enumerate() {
            let Some(slot) = store.slot(seq).copied() else {
                break;
            };
            let head = store.bytes_mut(slot.pos, SLOT_HEAD);
            if let Ok(head) = head.try_into() {
                let rushed = seq < cursor.rushed;
                self.framer.stamp(
                    self.sequence.wrapping_add(n as u32),
                    &slot.meta,
                    rushed,
                    head,
                );
            }
            len += slot.framed_len();
        }
        let skip = cursor.offset as usize;
        let run = store.bytes_mut(first.pos + skip as u64, len - skip);
        match rt::send(self.fd, run) {
            Sent::Bytes(n) => {
                self.count(n, now, core);
                self.advance(store, cursor, n);
                if n < len - skip {
                    Turn::Blocked
                } else {
                    Turn::Done
                }
            }
            Sent::Full => Turn::Blocked,
            Sent::Dead(_) => Turn::Dead,
        }
    }

    fn advance<S: PacketStore>(&mut self, store: &S, cursor: &mut Cursor, sent: usize) {
        let mut left = sent;
        while left > 0 {
            let Some(slot) = store.slot(cursor.seq) else {
                return;
            };
            let rest = slot.framed_len() - cursor.offset as usize;
            if left < rest {
                cursor.offset += left as u32;
                return;
            }
            left -= rest;
            cursor.seq += 1;
            cursor.offset = 0;
            self.sent_one(1);
        }
    }

    /// Count a packet, and what it adds to the sequence.
    pub(super) fn sent_one(&mut self, pieces: u32) {
        self.sequence = self.sequence.wrapping_add(pieces);
        self.totals.sequence = self.sequence;
        self.totals.packets += 1;
        self.counters.packets.inc();
    }

    /// Put the run together in the scratch buffer, with the protocol's framing around it.
    fn send_assembled<S: PacketStore>(
        &mut self,
        store: &mut S,
        cursor: &mut Cursor,
        now: Time,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> Turn {
        scratch.out.clear();
        self.framer.begin(&mut scratch.out);
        while cursor.seq < cursor.released {
            let Some(slot) = store.slot(cursor.seq).copied() else {
                break;
            };
            let rushed = cursor.seq < cursor.rushed;
            let framed = store.bytes_mut(slot.pos, slot.framed_len());
            self.framer.put(
                self.sequence,
                &slot.meta,
                rushed,
                &framed[SLOT_HEAD..],
                &mut scratch.out,
            );
            cursor.seq += 1;
            self.sent_one(1);
        }
        self.framer.finish(0, &mut scratch.out);
        self.send_scratch(now, scratch, core)
    }

    fn send_scratch(&mut self, now: Time, scratch: &Scratch, core: &CoreCounters) -> Turn {
        let bytes = &scratch.out[..];
        match rt::send(self.fd, bytes) {
            Sent::Bytes(n) => {
                self.count(n, now, core);
                if n == bytes.len() {
                    return Turn::Done;
                }
                self.keep(&bytes[n..]);
                Turn::Blocked
            }
            Sent::Full => {
                self.keep(bytes);
                Turn::Blocked
            }
            Sent::Dead(_) => Turn::Dead,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.spill = Some(Box::new(Spill {
            bytes: bytes.to_vec(),
            sent: 0,
        }));
    }

    /// Move the rest of the packet in flight out of the store, so that the store may be left.
    /// False if it is no longer there.
    pub fn rescue<S: PacketStore>(&mut self, store: &mut S, cursor: &mut Cursor) -> bool {
        if cursor.offset == 0 {
            return true;
        }
        let Some(slot) = store.slot(cursor.seq).copied() else {
            return false;
        };
        self.stamp_one(store, &slot, cursor.seq < cursor.rushed);
        let framed = store.bytes_mut(slot.pos, slot.framed_len());
        self.spill = Some(Box::new(Spill {
            bytes: framed[cursor.offset as usize..].to_vec(),
            sent: 0,
        }));
        self.sent_one(1);
        cursor.seq += 1;
        cursor.offset = 0;
        true
    }

    fn stamp_one<S: PacketStore>(&self, store: &mut S, slot: &Slot, rushed: bool) {
        if let Ok(head) = store.bytes_mut(slot.pos, SLOT_HEAD).try_into() {
            self.framer.stamp(self.sequence, &slot.meta, rushed, head);
        }
    }

    /// Release, filter and send whole packets, if `until_settled` only as long as the selection is
    /// not settled. `fetch` hands the packet of a number to its second argument: send time,
    /// duration, bytes.
    #[expect(
        clippy::too_many_arguments,
        reason = "the turn's tools, which their owners lend one by one"
    )]
    pub fn turn_filtered(
        &mut self,
        filter: &mut Filter,
        until_settled: bool,
        packet_size: u32,
        now: Time,
        scratch: &mut Scratch,
        core: &CoreCounters,
        fetch: impl Fn(u32, &mut dyn FnMut(u32, u16, &[u8])) -> Fetched,
    ) -> Turn {
        let keep_padding = self.framer.keeps_padding();
        let overhead = self.overhead;
        let bytes_max = self.turn_bytes_max();
        let mut bytes_out = 0;
        let mut verdict = None;
        let mut any = false;
        scratch.out.clear();
        if let Some(beside) = &self.beside {
            if beside.is_blocked(&scratch.ports) {
                return Turn::Blocked;
            }
        } else {
            self.framer.begin(&mut scratch.out);
        }
        while bytes_out < bytes_max && verdict.is_none() {
            let number = self.next_number;
            let Scratch { out, packet, ports } = &mut *scratch;
            let fetched = fetch(number, &mut |send_time, duration, bytes| {
                if self.is_beyond(send_time) {
                    verdict = Some(Turn::Over);
                    return;
                }
                if self.pacer.due(send_time) > now {
                    verdict = Some(Turn::Done);
                    return;
                }
                packet.clear();
                let rushed = self.pacer.rushed_at(send_time);
                let kept = filter.apply(bytes, packet_size, keep_padding, packet);
                let mut len = 0;
                if let Ok(Some(kept)) = kept {
                    let meta = PacketMeta {
                        number,
                        send_time,
                        duration,
                        key: kept.key,
                        len: packet.len() as u32,
                    };
                    let sequence = self.sequence;
                    if let Some(beside) = self.beside.as_deref_mut() {
                        let mut sink = beside.sink(sequence, true, now, ports, core);
                        self.framer
                            .spray(sequence, &meta, rushed, packet, &mut sink);
                        let Sink { pieces, bytes, .. } = sink;
                        self.sent_one(pieces);
                        self.count_bytes(bytes, now, core);
                    } else {
                        self.framer.put(sequence, &meta, rushed, packet, out);
                        self.sent_one(1);
                        any = true;
                    }
                    len = meta.len + overhead;
                    bytes_out += len as usize;
                }
                self.pacer.sent(send_time, len);
                self.next_number = number.wrapping_add(1);
            });
            match fetched {
                Fetched::Missing => verdict = Some(Turn::Starved),
                // ASF-32: a damaged packet is left out.
                Fetched::Damaged => self.next_number = number.wrapping_add(1),
                Fetched::Given
                    if until_settled && verdict.is_none() && filter.settled().is_some() =>
                {
                    verdict = Some(Turn::Settled);
                }
                Fetched::Given => {}
            }
        }
        let verdict = verdict.unwrap_or(Turn::Done);
        if any {
            self.framer.finish(0, &mut scratch.out);
            match self.send_scratch(now, scratch, core) {
                Turn::Dead => return Turn::Dead,
                // What the socket did not take is spilled and leaves first.
                Turn::Blocked if verdict == Turn::Done => return Turn::Blocked,
                _ => {}
            }
        }
        verdict
    }

    /// Send bytes as they are; returns how many were taken.
    pub fn send_plain(
        &mut self,
        bytes: &[u8],
        now: Time,
        core: &CoreCounters,
    ) -> Result<usize, ()> {
        match rt::send(self.fd, bytes) {
            Sent::Bytes(n) => {
                self.count(n, now, core);
                Ok(n)
            }
            Sent::Full => Ok(0),
            Sent::Dead(_) => Err(()),
        }
    }

    fn count(&mut self, bytes: usize, now: Time, core: &CoreCounters) {
        self.count_bytes(bytes, now, core);
        core.sends.inc();
    }

    pub(super) fn count_bytes(&mut self, bytes: usize, now: Time, core: &CoreCounters) {
        self.totals.bytes += bytes as u64;
        self.progress = now;
        self.counters.bytes.add(bytes as u64);
        core.bytes_sent.add(bytes as u64);
    }
}
