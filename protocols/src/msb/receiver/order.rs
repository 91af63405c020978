//! Packets back in their order: what came twice dropped, what is missing rebuilt or waited for
//! (msb-nsc.md 3.4).
//!
//! dwPacketID goes on over all streams of a group, so one queue serves them all, and packets out of order
//! may cross the change from one stream to the next.

use super::cycles::{Cycles, Rebuilt};
use super::length;
use crate::machine::Time;
use crate::msb::fec;
use crate::msb::packet::{MsbPacket, StreamId, distance};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a packet may come after a later one if nothing can bring it back.
const REORDER_DELAY: Duration = Duration::from_millis(50);
/// How long those behind a missing packet wait for it at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// Packets from the first that is missing to the newest, at most.
const WINDOW: i32 = 64;
/// More than this is no loss but a sender that began anew.
const JUMP_MAX: i32 = 1000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Data packets that came.
    pub received: u64,
    /// Bytes of these, without MSB's heads.
    pub bytes: u64,
    /// Parity packets that came.
    pub parity: u64,
    /// Data packets that did not come, or too late, before anything was rebuilt.
    pub lost_before_repair: u64,
    /// Of those, rebuilt.
    pub repaired: u64,
    /// Of those, not rebuilt.
    pub lost: u64,
    /// Most packets in a row that did not come.
    pub lost_in_a_row: u64,
    /// Came once more, or too late.
    pub duplicates: u64,
}

/// A packet in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    pub id: u32,
    pub stream: StreamId,
    pub asf: Bytes,
    pub rebuilt: bool,
}

#[derive(Debug)]
enum Slot {
    There(Ordered),
    /// Since then.
    Missing(Time),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The id of the first slot; `None` before the first packet.
    next: Option<u32>,
    slots: VecDeque<Slot>,
    /// What left the slots when a sender began anew.
    left: VecDeque<Ordered>,
    /// The stream of the packet that was given last.
    stream: Option<StreamId>,
    cycles: Cycles,
    /// Packets take part in error correction.
    corrects: bool,
    /// The id of the newest parity packet.
    last_parity: Option<u32>,
    /// When the first slot is given up, if it is missing.
    give_up_at: Option<Time>,
    /// What a sender that began anew would send next.
    elsewhere: Option<u32>,
    run: u64,
    tally: Tally,
}

impl Order {
    /// Take a packet. `packet_size` is that of its stream's header.
    pub fn push(&mut self, now: Time, packet: MsbPacket<'_>, packet_size: u32) {
        let MsbPacket { id, stream, asf } = packet;
        let is_parity = fec::is_parity(asf);
        let Some(wanted) = self.place(id, stream, is_parity) else {
            return;
        };
        while self.slots.len() < wanted {
            self.slots.push_back(Slot::Missing(now));
        }
        let rebuilt = if is_parity {
            self.tally.parity += 1;
            self.last_parity = Some(id);
            self.corrects = true;
            self.cycles.parity(id, stream, asf)
        } else {
            // Its own slot is the last of those that are wanted.
            let Some(slot @ Slot::Missing(_)) = self.slots.get_mut(wanted - 1) else {
                self.tally.duplicates += 1;
                return;
            };
            *slot = Slot::There(Ordered {
                id,
                stream,
                asf: Bytes::copy_from_slice(asf),
                rebuilt: false,
            });
            self.tally.received += 1;
            self.tally.bytes += asf.len() as u64;
            self.corrects = fec::cycle_of(asf).is_some();
            self.cycles.data(id, stream, asf)
        };
        if let Some(rebuilt) = rebuilt {
            self.put_back(rebuilt, packet_size);
        }
        self.watch();
    }

    /// The next packet, if it is there.
    pub fn pop(&mut self, now: Time) -> Option<Ordered> {
        if let Some(packet) = self.left.pop_front() {
            return Some(packet);
        }
        loop {
            let is_full = self.slots.len() > WINDOW as usize;
            match self.slots.front()? {
                Slot::There(_) => {}
                Slot::Missing(_) if is_full => {}
                Slot::Missing(_) if self.give_up_at.is_some_and(|at| at <= now) => {}
                Slot::Missing(_) => return None,
            }
            let slot = self.slots.pop_front()?;
            self.next = self.next.map(|next| next.wrapping_add(1));
            self.count(&slot);
            self.watch();
            if let Slot::There(packet) = slot {
                self.stream = Some(packet.stream);
                return Some(packet);
            }
        }
    }

    /// Nothing more comes, or something else: every packet that is there leaves with [`Order::pop`].
    pub fn end(&mut self) {
        for slot in std::mem::take(&mut self.slots) {
            self.count(&slot);
            if let Slot::There(packet) = slot {
                self.left.push_back(packet);
            }
        }
        self.give_up_at = None;
        self.next = None;
        self.last_parity = None;
        self.cycles.flush();
    }

    /// When to ask for the next packet again though none came.
    pub fn deadline(&self) -> Option<Time> {
        self.give_up_at
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How many slots there must be for the packet to have its own; `None` if it is of no use.
    fn place(&mut self, id: u32, stream: StreamId, is_parity: bool) -> Option<usize> {
        let Some(next) = self.next else {
            return Some(self.begin(id, is_parity));
        };
        let ahead = distance(next, id);
        // A parity packet has the id of one that may have been given already.
        let first = if is_parity { -1 } else { 0 };
        if (first..JUMP_MAX).contains(&ahead) {
            self.elsewhere = None;
            return usize::try_from(ahead + 1).ok();
        }
        if (-WINDOW..first).contains(&ahead) {
            self.tally.duplicates += u64::from(!is_parity);
            return None;
        }
        // Two in a row are no accident.
        if self.elsewhere == Some(id) || self.is_new(stream) {
            self.end();
            return Some(self.begin(id, is_parity));
        }
        self.elsewhere = Some(id.wrapping_add(u32::from(!is_parity)));
        None
    }

    fn begin(&mut self, id: u32, is_parity: bool) -> usize {
        self.elsewhere = None;
        self.next = Some(id.wrapping_add(u32::from(is_parity)));
        usize::from(!is_parity)
    }

    /// A stream that was not there before may begin with any id.
    fn is_new(&self, stream: StreamId) -> bool {
        let is_other = |slot: &Slot| match slot {
            Slot::There(packet) => packet.stream != stream,
            Slot::Missing(_) => true,
        };
        self.stream != Some(stream) && self.slots.iter().all(is_other)
    }

    fn put_back(&mut self, rebuilt: Rebuilt, packet_size: u32) {
        let Rebuilt {
            id,
            stream,
            mut asf,
        } = rebuilt;
        let ahead = self.next.map(|next| distance(next, id));
        let Some(ahead) = ahead.and_then(|ahead| usize::try_from(ahead).ok()) else {
            return;
        };
        let behind = self.slots.iter().skip(ahead + 1).filter_map(Slot::packet);
        let behind = behind.filter(|p| p.stream == stream).map(|p| &*p.asf);
        let Some(len) = length::length(&asf, packet_size, behind) else {
            return;
        };
        asf.truncate(len);
        if let Some(slot @ Slot::Missing(_)) = self.slots.get_mut(ahead) {
            *slot = Slot::There(Ordered {
                id,
                stream,
                asf: asf.into(),
                rebuilt: true,
            });
        }
    }

    fn count(&mut self, slot: &Slot) {
        let tally = &mut self.tally;
        match slot {
            Slot::There(packet) if !packet.rebuilt => {
                self.run = 0;
                return;
            }
            Slot::There(_) => tally.repaired += 1,
            Slot::Missing(_) => tally.lost += 1,
        }
        tally.lost_before_repair += 1;
        self.run += 1;
        tally.lost_in_a_row = tally.lost_in_a_row.max(self.run);
    }

    /// Set how long the first slot is waited for, if it is missing.
    fn watch(&mut self) {
        self.give_up_at = match self.slots.front() {
            // Too many wait already: it is given up without that.
            _ if self.slots.len() > WINDOW as usize => None,
            Some(Slot::Missing(since)) if !self.corrects || self.cycle_is_over() => {
                Some(*since + REORDER_DELAY)
            }
            Some(Slot::Missing(since)) => Some(*since + PATIENCE),
            _ => None,
        };
    }

    /// The first slot is missing, and no packet can bring it back but itself.
    fn cycle_is_over(&self) -> bool {
        let Some(next) = self.next else {
            return false;
        };
        let by_parity = self
            .last_parity
            .is_some_and(|id| (0..JUMP_MAX).contains(&distance(next, id)));
        // It is of the cycle of the first packet that is there, or of an earlier one.
        let there = self.slots.iter().filter_map(Slot::packet);
        let mut cycles = there.map(|p| fec::cycle_of(&p.asf));
        let first = cycles.next();
        let by_cycle = cycles.any(|cycle| Some(cycle) != first);
        by_parity || by_cycle || self.slots.len() > usize::from(self.cycles.span())
    }
}

impl Slot {
    fn packet(&self) -> Option<&Ordered> {
        match self {
            Slot::There(packet) => Some(packet),
            Slot::Missing(_) => None,
        }
    }
}
