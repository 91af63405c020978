//! Deadlines of a machine, coarse and few: at most one of a kind for each thing.

use crate::machine::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines are rounded up to multiples of this, so that many fall together, microseconds.
const GRAIN_US: u64 = 50_000;

/// All deadlines of a machine; `T` says what each is for. Every operation costs the logarithm of their
/// number.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeSet<(Time, T)>,
    at: BTreeMap<T, Time>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Timers {
            due: BTreeSet::new(),
            at: BTreeMap::new(),
        }
    }
}

impl<T: Copy + Ord> Timers<T> {
    /// Set a deadline, replacing the one it had.
    pub fn arm(&mut self, timer: T, at: Time) {
        let at = Time(at.0.div_ceil(GRAIN_US).saturating_mul(GRAIN_US));
        if let Some(old) = self.at.insert(timer, at) {
            self.due.remove(&(old, timer));
        }
        self.due.insert((at, timer));
    }

    /// True if a deadline is set.
    pub fn is_armed(&self, timer: T) -> bool {
        self.at.contains_key(&timer)
    }

    /// Take a deadline back.
    pub fn disarm(&mut self, timer: T) {
        if let Some(old) = self.at.remove(&timer) {
            self.due.remove(&(old, timer));
        }
    }

    /// The next one that has come.
    pub fn pop(&mut self, now: Time) -> Option<T> {
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
