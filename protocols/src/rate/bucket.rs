//! A token bucket: connects per second, bytes per second of a whole server.

use crate::machine::Time;

const MICRO: u64 = 1_000_000;

/// Tokens that come back at a steady rate up to a burst. Exact: a microsecond at `rate` tokens a
/// second adds `rate` millionths, nothing is rounded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Tokens per second.
    rate: u64,
    /// Millionths of a token.
    burst: u64,
    /// Millionths of a token.
    level: u64,
    last: Time,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens (at most 1.8e13) that refills with `rate` tokens a second.
    pub fn new(rate: u64, burst: u64, now: Time) -> TokenBucket {
        let burst = burst.saturating_mul(MICRO);
        TokenBucket {
            rate,
            burst,
            level: burst,
            last: now,
        }
    }

    /// Take `count` tokens if they are all there.
    pub fn take(&mut self, count: u64, now: Time) -> bool {
        self.refill(now);
        match self.level.checked_sub(count.saturating_mul(MICRO)) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }

    /// Take as many of `count` tokens as there are; says how many.
    pub fn take_up_to(&mut self, count: u64, now: Time) -> u64 {
        self.refill(now);
        let taken = count.min(self.level / MICRO);
        self.level -= taken * MICRO;
        taken
    }

    /// Give back tokens that were taken but not used.
    pub fn give_back(&mut self, count: u64) {
        self.level = self
            .level
            .saturating_add(count.saturating_mul(MICRO))
            .min(self.burst);
    }

    /// Whole tokens there are now.
    pub fn available(&mut self, now: Time) -> u64 {
        self.refill(now);
        self.level / MICRO
    }

    /// When `count` tokens will be there if none are taken; `None` if they never will.
    pub fn ready_at(&mut self, count: u64, now: Time) -> Option<Time> {
        self.refill(now);
        let wanted = count.saturating_mul(MICRO);
        if wanted <= self.level {
            return Some(now);
        }
        if wanted > self.burst || self.rate == 0 {
            return None;
        }
        let micros = (wanted - self.level).div_ceil(self.rate);
        Some(Time(now.micros().saturating_add(micros)))
    }

    fn refill(&mut self, now: Time) {
        let micros = now.micros().saturating_sub(self.last.micros());
        self.last = self.last.max(now);
        self.level = self
            .level
            .saturating_add(micros.saturating_mul(self.rate))
            .min(self.burst);
    }
}
