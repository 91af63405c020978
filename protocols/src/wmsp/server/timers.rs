//! Deadlines, coarse and few: at most one of a kind for each thing.

use crate::machine::{ConnId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines are rounded up to multiples of this, so that many fall together, microseconds.
const GRAIN_US: u64 = 50_000;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A request must be complete.
    Request(ConnId),
    /// A connection has been without a request for long.
    Quiet(ConnId),
    /// The pipeline test is over.
    Test(ConnId),
    /// The session has been without a request for long.
    Idle(u32),
    /// The next entry may begin.
    Change(u32),
}

/// All deadlines of a machine. Every operation costs the logarithm of their number.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Time, Timer)>,
    at: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Set a deadline, replacing the one it had.
    pub fn arm(&mut self, timer: Timer, at: Time) {
        let at = Time(at.0.div_ceil(GRAIN_US).saturating_mul(GRAIN_US));
        if let Some(old) = self.at.insert(timer, at) {
            self.due.remove(&(old, timer));
        }
        self.due.insert((at, timer));
    }

    /// True if a deadline is set.
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// Take a deadline back.
    pub fn disarm(&mut self, timer: Timer) {
        if let Some(old) = self.at.remove(&timer) {
            self.due.remove(&(old, timer));
        }
    }

    /// The next one that has come.
    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        let first = *self.due.first()?;
        if first.0 > now {
            return None;
        }
        self.due.remove(&first);
        self.at.remove(&first.1);
        Some(first.1)
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|d| d.0)
    }
}
