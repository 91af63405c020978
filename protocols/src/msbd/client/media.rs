//! Streams and their packets, as they come.

use super::{Client, State, Stream};
use crate::client::Transfer;
use crate::machine::Time;
use crate::media::IngestEvent;
use crate::msbd::stream::header_of;
use crate::msbd::wire::{Packet, StreamInfo, read_datagram};
use bytes::Bytes;

/// A packet that is so much behind the last one is late; one further behind begins a new count.
const LATE_MAX: u32 = 1024;

/// What became of packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    received: u64,
    /// Never came, as far as is known.
    lost: u64,
    late: u64,
    /// Of no stream that is known.
    pub stray: u64,
    parity: u64,
    empty: u64,
    /// Datagrams that are no packets.
    foreign: u64,
}

impl Counts {
    pub fn transfer(&self, udp: bool) -> Transfer {
        Transfer {
            udp,
            received: self.received,
            duplicates: self.late,
            lost: self.lost,
            ..Transfer::default()
        }
    }

    pub fn dropped(&self) -> u64 {
        self.stray + self.parity + self.empty + self.foreign
    }
}

/// The numbers of packets, which go on from stream to stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    next: Option<u32>,
}

impl Order {
    /// A packet came: how many before it did not; `None` if it, or one after it, was here already.
    fn admit(&mut self, id: u32) -> Option<u64> {
        let next = self.next.unwrap_or(id);
        if (1..=LATE_MAX).contains(&next.wrapping_sub(id)) {
            return None;
        }
        self.next = Some(id.wrapping_add(1));
        // A sender that counts anew lost nothing.
        let ahead = id.wrapping_sub(next);
        Some(u64::from(if ahead < u32::MAX / 2 { ahead } else { 0 }))
    }
}

impl Client {
    /// A stream is described: the first one, another one, or the same once more (MSBD-63).
    pub(super) fn on_stream(&mut self, info: &StreamInfo<'_>) -> Result<(), String> {
        let header = header_of(info.header)?;
        let id = info.stream_id;
        let goes_on = self.state == State::Receiving;
        let same = |s: &Stream| s.id == id && s.header == header;
        if goes_on && self.stream.as_ref().is_some_and(same) {
            return Ok(());
        }
        if self.stream.is_some() {
            self.report(IngestEvent::EntryEnd);
        }
        self.state = State::Receiving;
        self.had_stream = true;
        self.report(IngestEvent::Header(header.clone()));
        self.stream = Some(Stream { id, header });
        for (number, bytes) in self.early.take(id) {
            self.hand_on(number, bytes);
        }
        Ok(())
    }

    /// A datagram came to the group.
    pub(super) fn datagram(&mut self, now: Time, bytes: &[u8]) {
        let joined = matches!(
            self.state,
            State::Waiting | State::Receiving | State::EntryEnded
        );
        if !self.multicast || !joined {
            return;
        }
        match read_datagram(bytes) {
            Ok(packet) => {
                self.since = now;
                self.on_packet(now, &packet);
            }
            Err(_) => self.counts.foreign += 1,
        }
    }

    pub(super) fn on_packet(&mut self, now: Time, packet: &Packet<'_>) {
        if packet.payload.is_empty() {
            self.counts.empty += 1;
        } else if packet.is_parity() {
            // It has the number of a packet that came (msbd.md 6).
            self.counts.parity += 1;
        } else if self
            .stream
            .as_ref()
            .is_some_and(|s| s.id == packet.stream_id)
        {
            self.hand_on(packet.id, Bytes::copy_from_slice(packet.payload));
        } else if self.multicast {
            self.early.keep(now, packet);
        } else {
            self.counts.stray += 1;
        }
    }

    fn hand_on(&mut self, number: u32, bytes: Bytes) {
        match self.order.admit(number) {
            Some(lost) => {
                self.counts.lost += lost;
                self.counts.received += 1;
                self.report(IngestEvent::Packet { number, bytes });
            }
            None => self.counts.late += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_and_what_is_late_is_left_out() {
        let mut order = Order::default();
        let mut admit = |id| order.admit(id);
        // A late client begins where the sender is.
        assert_eq!(admit(0xFFFF_FFFE), Some(0));
        assert_eq!(admit(0xFFFF_FFFF), Some(0));
        assert_eq!(admit(2), Some(2));
        assert_eq!(admit(2), None);
        assert_eq!(admit(0xFFFF_FFFF), None);
        assert_eq!(admit(3), Some(0));
        assert_eq!(admit(5000), Some(4996));
        // It counts anew.
        assert_eq!(admit(0), Some(0));
        assert_eq!(admit(1), Some(0));
    }
}
