//! What is known of a broadcast's source, for those who run the server.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a broadcast's source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Airing {
    /// Nothing is asked of it.
    Idle = 0,
    /// It is waited for: an encoder that has not come, a server that has not answered.
    Waiting = 1,
    /// It sends.
    Live = 2,
    /// It was lost a moment ago; viewers wait.
    Lost = 3,
    /// It sends nothing, and something else is broadcast in its place.
    Fallback = 4,
    /// What was to be played once has been.
    Over = 5,
}

impl Airing {
    /// All, in the order of their numbers.
    pub const ALL: [Airing; 6] = [
        Airing::Idle,
        Airing::Waiting,
        Airing::Live,
        Airing::Lost,
        Airing::Fallback,
        Airing::Over,
    ];

    /// Value of the `state` label.
    pub const fn name(self) -> &'static str {
        match self {
            Airing::Idle => "idle",
            Airing::Waiting => "waiting",
            Airing::Live => "live",
            Airing::Lost => "lost",
            Airing::Fallback => "fallback",
            Airing::Over => "over",
        }
    }
}

/// Written by the home core, read by everybody.
#[derive(Debug, Default)]
pub struct SourceFacts {
    airing: AtomicU8,
    packets: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
    entries: AtomicU32,
    losses: AtomicU64,
    attempts: AtomicU64,
    /// Why the last attempt failed.
    error: Mutex<Option<String>>,
    skipped: AtomicU64,
}

impl SourceFacts {
    /// What the source does.
    pub fn airing(&self) -> Airing {
        let number = usize::from(self.airing.load(Relaxed));
        Airing::ALL.get(number).copied().unwrap_or(Airing::Idle)
    }

    /// Packets that came from it.
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    /// Bytes of these packets.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Packets that were left out because they cannot be read.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Relaxed)
    }

    /// Entries that were begun.
    pub fn entries(&self) -> u32 {
        self.entries.load(Relaxed)
    }

    /// How often it was lost without having ended.
    pub fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    /// How often it was asked, if it is on another server.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Relaxed)
    }

    /// Why it could not be had the last time, if it could not.
    pub fn last_error(&self) -> Option<String> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }

    pub(crate) fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// Files of a list that were skipped because they cannot be played.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    pub(super) fn set(&self, airing: Airing) {
        self.airing.store(airing as u8, Relaxed);
    }

    pub(super) fn count_packet(&self, bytes: usize) {
        self.packets.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_damaged(&self) {
        self.damaged.fetch_add(1, Relaxed);
    }

    pub(super) fn count_entry(&self) {
        self.entries.fetch_add(1, Relaxed);
    }

    /// A file of a list was skipped.
    pub fn count_skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    pub(super) fn count_loss(&self) {
        self.losses.fetch_add(1, Relaxed);
    }
}
