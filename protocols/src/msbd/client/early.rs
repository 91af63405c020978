//! Datagrams of a stream that is not described yet: TCP and UDP race (msbd.md 3.2).

use crate::machine::Time;
use crate::msbd::wire::Packet;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Packets that are kept.
pub(super) const PACKET_COUNT_MAX: usize = 64;
/// For how long.
pub(super) const AGE_MAX: Duration = Duration::from_millis(500);

/// A packet that came too early.
#[derive(Debug)]
struct Early {
    at: Time,
    stream_id: u16,
    id: u32,
    payload: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EarlyPackets {
    packets: VecDeque<Early>,
    dropped: u64,
}

impl EarlyPackets {
    /// Keep one; the oldest goes if there are too many.
    pub fn keep(&mut self, now: Time, packet: &Packet<'_>) {
        if self.packets.len() >= PACKET_COUNT_MAX {
            self.packets.pop_front();
            self.dropped += 1;
        }
        self.packets.push_back(Early {
            at: now,
            stream_id: packet.stream_id,
            id: packet.id,
            payload: Bytes::copy_from_slice(packet.payload),
        });
    }

    /// Those of a stream, in their order, with their numbers.
    pub fn take(&mut self, stream_id: u16) -> Vec<(u32, Bytes)> {
        let kept = std::mem::take(&mut self.packets);
        let (taken, kept): (VecDeque<Early>, _) =
            kept.into_iter().partition(|p| p.stream_id == stream_id);
        self.packets = kept;
        taken.into_iter().map(|p| (p.id, p.payload)).collect()
    }

    /// When the oldest one goes.
    pub fn deadline(&self) -> Option<Time> {
        self.packets.front().map(|p| p.at + AGE_MAX)
    }

    /// Let go of what is too old.
    pub fn expire(&mut self, now: Time) {
        while self.deadline().is_some_and(|at| at <= now) {
            self.packets.pop_front();
            self.dropped += 1;
        }
    }

    /// Packets that nobody described in time.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
