//! What comes in from an encoder or another server: checked, put on an unbroken timeline, batched.

use crate::points::{Batch, BatchBuilder};
use protocols::asf;
use protocols::machine::Time;
use std::sync::Arc;
use std::time::Duration;

/// A send time that goes back by more than this, ms, is a new start of the sender's clock.
const BACK_MAX: u32 = 1000;

/// The span over which it is found out whether packets come faster than in real time.
const PACE_SPAN: Duration = Duration::from_millis(200);

/// A send time that is further ahead of the one before than this, ms, likewise.
const AHEAD_MAX: u32 = 30_000;

/// See the module. One entry at a time: a new header makes a new one.
#[derive(Default)]
pub struct Intake {
    packet_size: u32,
    pending: BatchBuilder,
    /// Number of the next packet.
    number: u32,
    /// Added to what the sender says, ms.
    shift: u32,
    /// Send time of the newest packet on our timeline, and when it came.
    last: Option<(u32, Time)>,
    /// A moment ago, likewise: what the pace is measured from.
    mark: Option<(u32, Time)>,
    /// More came since the mark than real time has.
    rushing: bool,
}

impl Intake {
    /// A new entry begins with packets of this size.
    pub fn begin(&mut self, packet_size: u32) {
        *self = Intake {
            packet_size,
            ..Intake::default()
        };
    }

    /// Take a packet, which may be shorter than the packet size.
    ///
    /// # Errors
    /// As [`asf::Packet::parse`]; a damaged packet is left out (ASF-32).
    pub fn packet(&mut self, bytes: &[u8], now: Time) -> Result<(), asf::Error> {
        let packet = asf::Packet::parse(bytes, self.packet_size)?;
        let due = self.place(packet.send_time(), now);
        let (size, shift) = (self.packet_size, self.shift);
        let placed = |copy: &mut [u8]| match shift {
            0 => Ok(()),
            shift => asf::retime(copy, size, shift),
        };
        self.pending
            .push(self.number, due, packet.duration(), bytes, placed);
        self.number = self.number.wrapping_add(1);
        self.last = Some((due, now));
        self.measure(due, now);
        Ok(())
    }

    /// True while packets come faster than in real time, and until it is known that they do not.
    pub fn is_rushing(&self, now: Time) -> bool {
        let quiet = self
            .last
            .is_none_or(|(_, came)| now.since(came) >= PACE_SPAN);
        self.rushing && !quiet
    }

    fn measure(&mut self, due: u32, now: Time) {
        let Some((send_time, since)) = self.mark else {
            self.mark = Some((due, now));
            self.rushing = true;
            return;
        };
        let took = now.since(since);
        if took >= PACE_SPAN {
            let real = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
            let came = i64::from(asf::clock::since(send_time, due));
            self.rushing = came > real.saturating_mul(2);
            self.mark = Some((due, now));
        }
    }

    /// Where a packet belongs on our timeline.
    fn place(&mut self, send_time: u32, now: Time) -> u32 {
        let due = send_time.wrapping_add(self.shift);
        let Some((last, came)) = self.last else {
            return due;
        };
        let step = due.wrapping_sub(last);
        if step <= AHEAD_MAX || step.wrapping_neg() <= BACK_MAX {
            return due;
        }
        // The sender's clock jumped: go on as far behind the last packet as this one came after it.
        let paused = u32::try_from(now.since(came).as_millis()).unwrap_or(u32::MAX);
        let due = last.wrapping_add(paused.min(AHEAD_MAX));
        self.shift = due.wrapping_sub(send_time);
        due
    }

    /// What came since the last call.
    pub fn take(&mut self) -> Option<Arc<Batch>> {
        std::mem::take(&mut self.pending).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A packet of 64 bytes with one payload of one byte.
    fn packet(send_time: u32) -> Vec<u8> {
        let mut bytes = vec![0x82, 0, 0, 0x08, 0x5D, 36];
        bytes.extend_from_slice(&send_time.to_le_bytes());
        bytes.extend_from_slice(&[0, 0, 0x81, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]);
        bytes.extend_from_slice(&send_time.to_le_bytes());
        bytes.push(7);
        bytes.resize(64, 0);
        bytes
    }

    fn begun() -> Intake {
        let mut intake = Intake::default();
        intake.begin(64);
        intake
    }

    fn times(intake: &mut Intake) -> Vec<(u32, u32)> {
        let batch = intake.take();
        let batch = batch.iter().flat_map(|b| b.iter());
        batch.map(|(p, _)| (p.number, p.send_time)).collect()
    }

    #[test]
    fn packets_keep_their_times_and_get_numbers() {
        let mut intake = begun();
        for (ms, send_time) in [(0, 5000), (100, 5100), (200, 5050), (300, 30_000)] {
            intake.packet(&packet(send_time), Time(ms * 1000)).unwrap();
        }
        assert_eq!(
            times(&mut intake),
            [(0, 5000), (1, 5100), (2, 5050), (3, 30_000)]
        );
        assert_eq!(times(&mut intake), []);
    }

    #[test]
    fn a_clock_that_starts_anew_goes_on_where_it_was() {
        let mut intake = begun();
        intake.packet(&packet(90_000), Time(0)).unwrap();
        let later = Time(0) + Duration::from_secs(2);
        intake.packet(&packet(0), later).unwrap();
        intake.packet(&packet(40), later).unwrap();
        let batch = intake.take().unwrap();
        let sent: Vec<u32> = batch.iter().map(|(p, _)| p.send_time).collect();
        assert_eq!(sent, [90_000, 92_000, 92_040]);
        for (p, bytes) in batch.iter() {
            let parsed = asf::Packet::parse(bytes, 64).unwrap();
            assert_eq!(parsed.send_time(), p.send_time);
        }
    }

    #[test]
    fn damaged_packets_are_left_out() {
        let mut intake = begun();
        assert!(intake.packet(&[0x82, 0, 0], Time(0)).is_err());
        assert!(intake.packet(&[0; 65], Time(0)).is_err());
        intake.packet(&packet(1), Time(0)).unwrap();
        assert_eq!(times(&mut intake), [(0, 1)]);
    }
}
