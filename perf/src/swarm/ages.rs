//! How old packets are when viewers get them: since the encoder gave them to its socket.

use crate::encoder::Pushed;
use crate::stats::{Durations, Percentiles};
use serde::Serialize;
use std::sync::Arc;

/// Ages of the packets that were pushed inside of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ages {
    /// For each packet the age at which the last viewer had it.
    pub last: Percentiles,
    /// For each packet and viewer.
    pub each: Percentiles,
    /// Packets that were pushed.
    pub packets: u64,
    /// Of these, packets that not every viewer got.
    pub incomplete: u64,
    /// Packets received that have a number which was not pushed yet, whole run.
    pub unknown: u64,
}

/// Collects them. A packet's number is its LocationId, which counts from 0 in the only entry.
#[derive(Debug)]
pub(super) struct AgeBook {
    pushed: Arc<Pushed>,
    /// From, to; ns.
    window: Option<(u64, u64)>,
    /// By number: how many viewers had it, and when the last one did.
    seen: Vec<(u32, u64)>,
    each: Durations,
    unknown: u64,
}

impl AgeBook {
    pub fn new(pushed: Arc<Pushed>) -> AgeBook {
        AgeBook {
            seen: vec![(0, 0); pushed.capacity()],
            pushed,
            window: None,
            each: Durations::default(),
            unknown: 0,
        }
    }

    /// What is pushed in this time counts.
    pub fn open(&mut self, from_ns: u64, to_ns: u64) {
        self.window = Some((from_ns, to_ns));
    }

    /// A viewer has this packet now.
    pub fn note(&mut self, number: u32, now: u64) {
        let Some(at) = self.pushed.at(number) else {
            self.unknown += 1;
            return;
        };
        if !self.counts(at) {
            return;
        }
        self.each.record(now.saturating_sub(at) / 1000);
        if let Some((viewers, last)) = self.seen.get_mut(number as usize) {
            *viewers += 1;
            *last = now.max(*last);
        }
    }

    /// What came of it for so many viewers.
    pub fn ages(&self, viewers: usize) -> Ages {
        let mut last = Durations::default();
        let mut ages = Ages {
            each: self.each.percentiles(),
            unknown: self.unknown,
            ..Ages::default()
        };
        for (number, (had, at_last)) in (0..).zip(&self.seen) {
            let Some(at) = self.pushed.at(number).filter(|&at| self.counts(at)) else {
                continue;
            };
            ages.packets += 1;
            ages.incomplete += u64::from((*had as usize) < viewers);
            if *had > 0 {
                last.record(at_last.saturating_sub(at) / 1000);
            }
        }
        ages.last = last.percentiles();
        ages
    }

    fn counts(&self, pushed_ns: u64) -> bool {
        self.window
            .is_some_and(|(from, to)| (from..to).contains(&pushed_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_last_viewer_of_each_packet_counts_and_so_does_the_window() {
        let pushed = Pushed::at_times(&[10 * MS, 100 * MS, 140 * MS, 200 * MS, 0]);
        let mut book = AgeBook::new(Arc::new(pushed));
        book.note(1, 101 * MS);
        book.open(100 * MS, 200 * MS);
        // Pushed before, pushed behind, not pushed, of no such content.
        for number in [0, 3, 4, 5] {
            book.note(number, 500 * MS);
        }
        for (number, at) in [(1, 150), (1, 130), (2, 160)] {
            book.note(number, at * MS);
        }
        let a = book.ages(2);
        assert_eq!((a.packets, a.incomplete, a.unknown), (2, 1, 2));
        assert_eq!((a.last.count, a.each.count), (2, 3));
        assert!((a.last.max - 50.0).abs() < 0.1 && (a.last.p50 - 20.0).abs() < 0.1);
        assert!((a.each.p50 - 30.0).abs() < 0.1);
    }

    #[test]
    fn a_packet_that_nobody_got_is_told() {
        let pushed = Pushed::at_times(&[10 * MS]);
        let mut book = AgeBook::new(Arc::new(pushed));
        assert_eq!(book.ages(1), Ages::default());
        book.open(0, 20 * MS);
        let a = book.ages(1);
        assert_eq!((a.packets, a.incomplete, a.last.count), (1, 1, 0));
    }
}
