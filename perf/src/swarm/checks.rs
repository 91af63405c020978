//! What is wrong or remarkable in the numbers of a session's packets.

use crate::media::DataHead;
use serde::Serialize;

/// Counts of what was wrong or remarkable in the packets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Checks {
    /// Packets of media looked at, all of them, whole run.
    pub packets: u64,
    /// Sequence (AFFlags, or that of RTP) not one more than before; of datagrams, a sequence that contradicts the
    /// packet number.
    pub sequence_breaks: u64,
    /// First sequence of a session not 0, or in RTP not the one that was announced.
    pub sequence_starts: u64,
    /// Jumps forward of LocationId.
    pub gaps: u64,
    /// Packets so left out.
    pub skipped: u64,
    /// Steps of LocationId that do not go forward within an entry; where there is none, of the send
    /// time that go back.
    pub backward: u64,
    /// Datagrams that did not come.
    pub lost: u64,
    /// Datagrams that came after later ones.
    pub reordered: u64,
    /// Datagrams that came again.
    pub duplicates: u64,
    /// Data of no start that is under way.
    pub strays: u64,
    /// PacketSize differs from PacketLength, or from the length of the datagram.
    pub size_mismatches: u64,
    /// Larger than the header's packet size.
    pub oversize: u64,
    /// ASF head without a readable send time.
    pub damaged: u64,
    /// Entry changes.
    pub stream_changes: u64,
    /// Send time went back within a session.
    pub restarts: u64,
}

impl Checks {
    /// Faults of the server, as opposed to events.
    pub fn faults(&self) -> u64 {
        self.sequence_breaks
            + self.sequence_starts
            + self.backward
            + self.strays
            + self.size_mismatches
            + self.oversize
            + self.damaged
    }
}

/// Send times that go back by more than this begin anew, ms.
const RESTART_MS: u32 = 1000;
/// Sequences behind the newest of which it is known whether they came.
const RECENT: u32 = u64::BITS;

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the one before.
    Next,
    /// At the beginning of a timeline: send times went back.
    Restart,
    /// Before one that came already.
    Late,
    /// Nowhere: it came already.
    Duplicate,
}

/// Numbers of a session's packets so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// They come as datagrams, which may get lost on the way.
    lossy: bool,
    begun: bool,
    /// The largest sequence.
    mask: u16,
    next_sequence: u16,
    /// LocationId of the newest packet of this entry that has one.
    location: Option<u32>,
    /// Send time of the newest packet of this entry.
    send_time: Option<u32>,
    /// There were packets without LocationId: it does not advance as the sequence does.
    unlocated: bool,
    /// Bit n: the nth sequence before the next one came.
    recent: u64,
}

impl Numbers {
    /// `mask`: the largest sequence, all bits set.
    pub fn new(lossy: bool, mask: u16) -> Numbers {
        Numbers {
            lossy,
            begun: false,
            mask,
            next_sequence: 0,
            location: None,
            send_time: None,
            unlocated: false,
            recent: 0,
        }
    }

    /// LocationIds start anew.
    pub fn next_entry(&mut self) {
        self.location = None;
        self.send_time = None;
    }

    /// Count what is wrong with a packet; where it belongs.
    pub fn check(&mut self, checks: &mut Checks, head: &DataHead, packet_size: u32) -> Place {
        checks.packets += 1;
        checks.size_mismatches += u64::from(head.frame_len != head.size_field);
        checks.oversize +=
            u64::from(packet_size > 0 && u32::from(head.frame_len) > packet_size + 8);
        checks.damaged += u64::from(head.send_time.is_none());
        self.unlocated |= head.location.is_none();
        let ahead = head.sequence.wrapping_sub(self.next_sequence) & self.mask;
        if !self.begun {
            checks.sequence_starts += u64::from(head.sequence != 0);
            self.begun = true;
            self.recent = 0;
            return self.advance(head, 0, Place::Next);
        }
        let times = self.send_time.zip(head.send_time);
        let back = times.is_some_and(|(last, now)| last.saturating_sub(now) > RESTART_MS);
        let place = if back { Place::Restart } else { Place::Next };
        let step = self
            .location
            .zip(head.location)
            .map(|(last, now)| i64::from(now) - i64::from(last));
        if !self.lossy {
            checks.sequence_breaks += u64::from(ahead != 0);
            checks.restarts += u64::from(back);
            match step {
                Some(step @ 1..) => note_gap(checks, step as u64 - 1),
                Some(_) if !back => checks.backward += 1,
                None if !back => {
                    checks.backward += u64::from(times.is_some_and(|(last, now)| now < last));
                }
                _ => {}
            }
            return self.advance(head, 0, place);
        }
        // A sequence of 8 bits comes round too soon to say it alone.
        let behind = step.map_or(self.unlocated && ahead > self.mask / 2, |s| s <= 0);
        if !back && behind {
            return self.behind(checks, head);
        }
        checks.restarts += u64::from(back);
        let mut missing = u64::from(ahead);
        if let Some(between) = step.filter(|_| !back).map(|s| s as u64 - 1) {
            match between.checked_sub(missing) {
                // Pieces of packets are lost as well.
                None => checks.sequence_breaks += u64::from(!self.unlocated),
                // The server is not believed to leave out just so many that the sequence comes round.
                Some(more) if more.is_multiple_of(u64::from(self.mask) + 1) => missing = between,
                Some(more) => note_gap(checks, more),
            }
        }
        checks.lost += missing;
        self.advance(head, missing, place)
    }

    fn advance(&mut self, head: &DataHead, missing: u64, place: Place) -> Place {
        self.next_sequence = head.sequence.wrapping_add(1) & self.mask;
        let shift = u32::try_from(missing + 1).unwrap_or(RECENT);
        self.recent = self.recent.checked_shl(shift).unwrap_or(0) | 1;
        if head.send_time.is_some() {
            self.send_time = head.send_time;
            self.location = head.location.or(self.location);
        }
        place
    }

    fn behind(&mut self, checks: &mut Checks, head: &DataHead) -> Place {
        let distance = self.next_sequence.wrapping_sub(head.sequence) & self.mask;
        let distance = u32::from(distance).wrapping_sub(1);
        let Some(bit) = 1u64.checked_shl(distance) else {
            // Too old to know.
            checks.backward += 1;
            return Place::Duplicate;
        };
        if self.recent & bit != 0 {
            checks.duplicates += 1;
            return Place::Duplicate;
        }
        self.recent |= bit;
        checks.reordered += 1;
        checks.lost = checks.lost.saturating_sub(1);
        Place::Late
    }
}

fn note_gap(checks: &mut Checks, left_out: u64) {
    checks.gaps += u64::from(left_out > 0);
    checks.skipped += left_out;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(location: u32, sequence: u8, send_time: u32) -> DataHead {
        DataHead {
            location: Some(location),
            sequence: u16::from(sequence),
            frame_len: 108,
            size_field: 108,
            send_time: Some(send_time),
        }
    }

    fn places(heads: &[DataHead], lossy: bool) -> (Checks, Vec<Place>) {
        counted(heads, lossy, 0xFF)
    }

    fn counted(heads: &[DataHead], lossy: bool, mask: u16) -> (Checks, Vec<Place>) {
        let mut numbers = Numbers::new(lossy, mask);
        let mut checks = Checks::default();
        let places = heads
            .iter()
            .map(|h| numbers.check(&mut checks, h, 100))
            .collect();
        (checks, places)
    }

    fn feed(heads: &[DataHead]) -> Checks {
        places(heads, false).0
    }

    #[test]
    fn a_clean_session_has_no_faults_across_the_wrap() {
        let heads: Vec<_> = (0..600u32).map(|i| head(9 + i, i as u8, i * 20)).collect();
        let c = feed(&heads);
        assert_eq!((c.packets, c.faults(), c.gaps), (600, 0, 0));
    }

    #[test]
    fn faults_and_events_are_told_apart() {
        let mut wrong_size = head(8, 4, 60);
        wrong_size.size_field = 100;
        let mut large = head(9, 5, 60);
        (large.frame_len, large.size_field) = (200, 200);
        let c = feed(&[
            head(1, 1, 0),  // starts at 1
            head(2, 2, 20), // fine
            head(7, 3, 40), // a skip of four
            wrong_size,
            large,
            head(10, 9, 60),  // sequence break
            head(10, 10, 60), // does not advance
            head(0, 11, 0),   // 60 ms back: backward
        ]);
        assert_eq!((c.sequence_starts, c.sequence_breaks), (1, 1));
        assert_eq!((c.gaps, c.skipped), (1, 4));
        assert_eq!((c.size_mismatches, c.oversize, c.backward), (1, 1, 2));
        assert_eq!(c.faults(), 6);
    }

    #[test]
    fn a_loop_is_an_event_not_a_fault() {
        let c = feed(&[head(500, 0, 60_000), head(0, 1, 0), head(1, 2, 20)]);
        assert_eq!((c.restarts, c.faults()), (1, 0));
    }

    #[test]
    fn datagrams_that_do_not_come_are_lost_and_no_fault() {
        let heads = [
            head(10, 0, 0),
            head(13, 3, 60),   // two lost
            head(14, 4, 80),   // fine
            head(19, 5, 100),  // four left out by the server
            head(22, 7, 120),  // one lost, one left out
            head(278, 7, 140), // 255 lost: the sequence has come round
        ];
        let (c, places) = places(&heads, true);
        assert_eq!((c.lost, c.faults()), (2 + 1 + 255, 0), "{c:?}");
        assert_eq!((c.gaps, c.skipped), (2, 5));
        assert!(places.iter().all(|p| *p == Place::Next));
    }

    #[test]
    fn more_lost_than_the_sequence_counts() {
        let (c, _) = places(&[head(1, 0, 0), head(1 + 513, 1, 900)], true);
        assert_eq!((c.lost, c.skipped, c.faults()), (512, 0, 0));
    }

    #[test]
    fn late_and_repeated_datagrams_are_told_apart() {
        let heads = [
            head(1, 0, 0),
            head(4, 3, 60),
            head(2, 1, 20),
            head(3, 2, 40),
            head(3, 2, 40),
            head(4, 3, 60),
            head(5, 4, 80),
        ];
        let (c, places) = places(&heads, true);
        assert_eq!((c.lost, c.reordered, c.duplicates), (0, 2, 2));
        assert_eq!(c.faults(), 0, "{c:?}");
        use Place::{Duplicate, Late, Next};
        assert_eq!(places, [Next, Next, Late, Late, Duplicate, Duplicate, Next]);
    }

    /// Of RTP; `None`: LocationId was not asked for, or a packet is in pieces.
    fn rtp(location: Option<u32>, sequence: u16, send_time: u32) -> DataHead {
        DataHead {
            location,
            sequence,
            ..head(0, 0, send_time)
        }
    }

    // RTSP-121
    #[test]
    fn a_sequence_of_16_bits_says_alone_what_is_lost_late_or_repeated() {
        let at = |n: u32| rtp(None, n as u16, n * 10);
        let around: Vec<_> = (0..70_000).map(at).collect();
        let (c, _) = counted(&around, false, u16::MAX);
        assert_eq!((c.packets, c.faults(), c.gaps), (70_000, 0, 0));
        let heads = [0, 1, 4, 2, 2, 5, 305].map(at);
        let (c, places) = counted(&heads, true, u16::MAX);
        assert_eq!((c.lost, c.reordered, c.duplicates), (1 + 299, 1, 1));
        assert_eq!((c.faults(), c.skipped), (0, 0), "{c:?}");
        assert_eq!(places[3..5], [Place::Late, Place::Duplicate]);
        // On a connection nothing may be missing, and times do not go back a little.
        let (c, _) = counted(&[at(0), at(2), rtp(None, 3, 5)], false, u16::MAX);
        assert_eq!((c.sequence_breaks, c.backward), (1, 1));
    }

    #[test]
    fn pieces_of_packets_are_counted_by_the_sequence() {
        let heads = [
            rtp(None, 0, 0),
            rtp(Some(7), 1, 0),
            rtp(Some(8), 3, 10), // its first piece is lost
            rtp(None, 4, 20),
            rtp(Some(12), 5, 20), // three left out
        ];
        let (c, places) = counted(&heads, true, u16::MAX);
        assert_eq!((c.lost, c.skipped, c.faults()), (1, 3, 0), "{c:?}");
        assert!(places.iter().all(|p| *p == Place::Next));
    }

    #[test]
    fn a_sequence_that_jumps_alone_is_a_fault_also_of_datagrams() {
        let (c, _) = places(&[head(1, 0, 0), head(2, 2, 20)], true);
        assert_eq!(c.sequence_breaks, 1);
        let (c, _) = places(&[head(9, 0, 5000), head(0, 1, 0), head(1, 3, 9)], true);
        assert_eq!((c.restarts, c.sequence_breaks), (1, 1));
    }
}
