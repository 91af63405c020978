//! What a flow of datagrams sent lately, so that it can be sent again.
//!
//! Packets are not kept for this: they lie in the core's ring or cache anyway. What is kept is which
//! packet had which sequence, as runs of consecutive numbers: a few bytes for seconds of media. Only
//! packets that a filter made for this flow alone are kept whole, at its start and while its
//! selection changes.

use protocols::machine::Time;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Runs that are remembered.
const RUNS_MAX: usize = 1024;

/// Bytes of packets that are kept whole.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// How finely time is remembered.
const MARK: Duration = Duration::from_secs(1);

/// See the module.
pub struct History {
    window: Duration,
    count_max: u8,
    /// When a sequence was sent, about once a second; the first is the oldest that is in the window.
    marks: VecDeque<(Time, u32)>,
    /// One past the newest sequence.
    end: u32,
    runs: VecDeque<Run>,
    kept: VecDeque<(u32, Box<[u8]>)>,
    kept_bytes: usize,
    /// How often a packet was sent again.
    again: HashMap<u32, u8>,
}

/// Packets with consecutive numbers, each sent as so many datagrams.
struct Run {
    sequence: u32,
    number: u32,
    count: u32,
    pieces: u32,
}

impl Run {
    /// Datagrams in it.
    fn len(&self) -> u32 {
        self.count.wrapping_mul(self.pieces)
    }
}

/// Where a packet that was sent is now.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent<'a> {
    /// Whole, with its framing.
    Kept(&'a [u8]),
    /// To be looked up by its number, and which of its datagrams.
    Packet(u32, u32),
}

impl History {
    /// Nothing sent. With a window of zero nothing is remembered.
    pub fn new(window: Duration, count_max: u8) -> History {
        History {
            window,
            count_max,
            marks: VecDeque::new(),
            end: 0,
            runs: VecDeque::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            again: HashMap::new(),
        }
    }

    /// The packet of a number was sent from a store that keeps it, as `pieces` datagrams.
    pub fn note(&mut self, sequence: u32, number: u32, pieces: u32, now: Time) {
        if pieces == 0 || !self.mark(sequence, pieces, now) {
            return;
        }
        if let Some(run) = self.runs.back_mut()
            && run.pieces == pieces
            && run.sequence.wrapping_add(run.len()) == sequence
            && run.number.wrapping_add(run.count) == number
        {
            run.count += 1;
            return;
        }
        if self.runs.len() == RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Run {
            sequence,
            number,
            count: 1,
            pieces,
        });
    }

    /// A packet was sent that no store has in this form.
    pub fn keep(&mut self, sequence: u32, framed: &[u8], now: Time) {
        if !self.mark(sequence, 1, now) {
            return;
        }
        self.kept_bytes += framed.len();
        self.kept.push_back((sequence, framed.into()));
        while self.kept_bytes > KEPT_BYTES_MAX {
            self.drop_oldest_kept();
        }
    }

    /// The stores have changed: what was only noted can no longer be looked up.
    pub fn forget_notes(&mut self) {
        self.runs.clear();
    }

    /// A packet that may be sent again now; counts it as sent again.
    pub fn take(&mut self, sequence: u32, now: Time) -> Option<Sent<'_>> {
        self.expire(now);
        let oldest = self.marks.front()?.1;
        if sequence.wrapping_sub(oldest) >= self.end.wrapping_sub(oldest) {
            return None;
        }
        let found = self.find(sequence, oldest)?;
        let again = self.again.entry(sequence).or_default();
        if *again >= self.count_max {
            return None;
        }
        *again += 1;
        Some(match found {
            Found::Kept(at) => Sent::Kept(&self.kept.get(at)?.1),
            Found::Packet(number, piece) => Sent::Packet(number, piece),
        })
    }

    fn find(&self, sequence: u32, oldest: u32) -> Option<Found> {
        // Sequences count up to four thousand million and then begin anew: ages are compared.
        let age = |s: u32| s.wrapping_sub(oldest);
        let at = self
            .kept
            .partition_point(|(s, _)| (age(*s) as i32) < age(sequence) as i32);
        if self.kept.get(at).is_some_and(|(s, _)| *s == sequence) {
            return Some(Found::Kept(at));
        }
        let after = self
            .runs
            .partition_point(|r| age(r.sequence) as i32 <= age(sequence) as i32);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let offset = sequence.wrapping_sub(run.sequence);
        (offset < run.len()).then(|| {
            let number = run.number.wrapping_add(offset / run.pieces);
            Found::Packet(number, offset % run.pieces)
        })
    }

    /// False if nothing is remembered.
    fn mark(&mut self, sequence: u32, pieces: u32, now: Time) -> bool {
        if self.window.is_zero() {
            return false;
        }
        self.end = sequence.wrapping_add(pieces);
        if self
            .marks
            .back()
            .is_none_or(|(at, _)| now.since(*at) >= MARK)
        {
            self.marks.push_back((now, sequence));
            self.expire(now);
        }
        true
    }

    fn expire(&mut self, now: Time) {
        let before = self.marks.len();
        while self.marks.len() > 1 && now.since(self.marks[1].0) >= self.window {
            self.marks.pop_front();
        }
        if self.marks.len() == before {
            return;
        }
        let Some((_, oldest)) = self.marks.front().copied() else {
            return;
        };
        let is_old = |s: u32| (s.wrapping_sub(oldest) as i32) < 0;
        while self
            .runs
            .front()
            .is_some_and(|r| is_old(r.sequence.wrapping_add(r.len().wrapping_sub(1))))
        {
            self.runs.pop_front();
        }
        while self.kept.front().is_some_and(|(s, _)| is_old(*s)) {
            self.drop_oldest_kept();
        }
        self.again.retain(|s, _| !is_old(*s));
    }

    fn drop_oldest_kept(&mut self) {
        if let Some((_, bytes)) = self.kept.pop_front() {
            self.kept_bytes -= bytes.len();
        }
    }
}

enum Found {
    Kept(usize),
    Packet(u32, u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1000)
    }

    fn history() -> History {
        History::new(Duration::from_secs(8), 2)
    }

    // MMSP-98
    #[test]
    fn packets_are_found_by_their_sequence() {
        let mut h = history();
        h.keep(0, b"first", at(0));
        h.keep(1, b"second", at(10));
        // Of packets 7 and 8 nothing was sent.
        for (sequence, number) in [(2, 5), (3, 6), (4, 9), (5, 10)] {
            h.note(sequence, number, 1, at(20));
        }
        assert_eq!(h.runs.len(), 2);
        assert_eq!(h.take(1, at(30)), Some(Sent::Kept(b"second")));
        for (sequence, number) in [(2, 5), (3, 6), (4, 9), (5, 10)] {
            assert_eq!(h.take(sequence, at(30)), Some(Sent::Packet(number, 0)));
        }
        for unsent in [6, 7, u32::MAX, 1 << 31] {
            assert_eq!(h.take(unsent, at(30)), None);
        }
    }

    // MMSP-99
    #[test]
    fn a_packet_is_sent_again_twice_at_most() {
        let mut h = history();
        h.note(0, 0, 1, at(0));
        assert!(h.take(0, at(1)).is_some() && h.take(0, at(2)).is_some());
        assert_eq!(h.take(0, at(3)), None);
    }

    #[test]
    fn the_past_ends_behind_the_window() {
        let mut h = history();
        for n in 0..300u32 {
            h.note(n, n + 1000, 1, at(u64::from(n) * 100));
        }
        // The last was sent at 29.9 s; a second is as fine as it gets.
        assert_eq!(h.take(300 - 80, at(29_900)), Some(Sent::Packet(1220, 0)));
        assert_eq!(h.take(300 - 92, at(29_900)), None);
        assert!(h.marks.len() <= 10);
        // Long after, all that is left is what followed the last mark.
        assert_eq!(h.take(250, at(60_000)), None);
    }

    #[test]
    fn sequences_go_past_their_end() {
        let mut h = history();
        for n in 0..20u32 {
            h.note((u32::MAX - 9).wrapping_add(n), n, 1, at(0));
        }
        assert_eq!(h.take(u32::MAX, at(1)), Some(Sent::Packet(9, 0)));
        assert_eq!(h.take(0, at(1)), Some(Sent::Packet(10, 0)));
        assert_eq!(h.take(9, at(1)), Some(Sent::Packet(19, 0)));
        assert_eq!(h.take(10, at(1)), None);
        assert_eq!(h.take(u32::MAX - 10, at(1)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut h = history();
        for n in 0..10_000 {
            h.note(2 * n, 5 * n, 1, at(0));
            h.keep(2 * n + 1, &[0; 1400], at(0));
            h.take(2 * n, at(0));
        }
        assert!(h.runs.len() <= RUNS_MAX);
        assert!(h.kept_bytes <= KEPT_BYTES_MAX);
        assert_eq!(h.kept_bytes, h.kept.len() * 1400);
        h.note(20_000, 0, 1, at(20_000));
        h.note(20_001, 1, 1, at(40_000));
        assert!(h.runs.len() <= 2 && h.kept.is_empty() && h.again.is_empty());
    }

    #[test]
    fn packets_of_several_datagrams_are_found_by_each_of_them() {
        let mut h = history();
        for (sequence, number, pieces) in [(0, 7, 3), (3, 8, 3), (6, 9, 1), (7, 10, 2)] {
            h.note(sequence, number, pieces, at(0));
        }
        assert_eq!(h.runs.len(), 3);
        let want = [7, 7, 7, 8, 8, 8, 9, 10, 10];
        let pieces = [0, 1, 2, 0, 1, 2, 0, 0, 1];
        for (n, (number, piece)) in want.into_iter().zip(pieces).enumerate() {
            assert_eq!(h.take(n as u32, at(1)), Some(Sent::Packet(number, piece)));
        }
        assert_eq!(h.take(9, at(1)), None);
    }

    #[test]
    fn without_a_window_nothing_is_remembered() {
        let mut h = History::new(Duration::ZERO, 2);
        h.note(0, 0, 1, at(0));
        h.keep(1, b"x", at(0));
        assert_eq!(h.take(0, at(0)), None);
        assert!(h.kept.is_empty());
    }

    #[test]
    fn after_a_change_of_stores_only_kept_packets_are_found() {
        let mut h = history();
        h.note(0, 10, 1, at(0));
        h.keep(1, b"own", at(0));
        h.forget_notes();
        h.note(2, 12, 1, at(0));
        assert_eq!(h.take(0, at(0)), None);
        assert_eq!(h.take(1, at(0)), Some(Sent::Kept(b"own")));
        assert_eq!(h.take(2, at(0)), Some(Sent::Packet(12, 0)));
    }
}
