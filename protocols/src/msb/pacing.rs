//! When a packet may leave for a group (msb-nsc.md 5.2). Receivers cannot say that it is too fast, so
//! nothing leaves before its send time, and what was held up leaves little faster than real time.

use crate::asf::clock;
use crate::machine::Time;
use std::time::Duration;

/// Packets that are later than this are held up: they leave at the rate for catching up.
const LATE: Duration = Duration::from_millis(20);

/// A sender that has fallen back further no longer tries to catch up.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// How many times the greatest bit rate a sender that catches up may send at.
const CATCH_UP_PERCENT: u64 = 125;

/// The clock of one group. [`Pacing::due`] says when a packet may leave and changes nothing;
/// [`Pacing::sent`] is told when it has.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    max_bit_rate: u32,
    base: Option<Base>,
    /// Not before then, while catching up.
    free_at: Option<Time>,
}

/// Where send times lie in our time.
#[derive(Clone, Copy, Debug)]
struct Base {
    /// When the latest packet was due.
    due: Time,
    /// Its send time, ms.
    send_time: u32,
}

impl Pacing {
    /// Before the first packet. `max_bit_rate` is that of the header, bit/s; 0 if it says none: then a
    /// sender that was held up catches up at once.
    pub fn new(max_bit_rate: u32) -> Pacing {
        Pacing {
            max_bit_rate,
            base: None,
            free_at: None,
        }
    }

    /// Another entry begins, or the same one after a pause: its first packet leaves at once.
    pub fn rebase(&mut self, max_bit_rate: u32) {
        // What still catches up must not be followed by a burst.
        *self = Pacing {
            free_at: self.free_at,
            ..Pacing::new(max_bit_rate)
        };
    }

    /// When the next packet may leave, by its send time (ms); `now` if it is the first one.
    pub fn due(&self, send_time: u32, now: Time) -> Time {
        let ideal = self.ideal(send_time, now);
        self.free_at.map_or(ideal, |free_at| ideal.max(free_at))
    }

    /// A packet left, with `len` bytes; what leaves directly behind it, such as parity, counts with it.
    pub fn sent(&mut self, send_time: u32, len: u32, now: Time) {
        let mut ideal = self.ideal(send_time, now);
        let mut late = now.since(ideal);
        if late > BEHIND_MAX {
            (ideal, late) = (now, Duration::ZERO);
        }
        self.base = Some(Base {
            due: ideal,
            send_time,
        });
        // What is asked for only at ticks may leave later than it could have: that is no less of a rate.
        let on_time = self.free_at.filter(|at| now.since(*at) <= LATE);
        let began = on_time.unwrap_or(now);
        self.free_at = (late > LATE).then(|| began + self.airtime(len));
    }

    /// When a packet is due by its send time alone.
    fn ideal(&self, send_time: u32, now: Time) -> Time {
        match self.base {
            Some(base) if !clock::is_discontinuity(base.send_time, send_time) => {
                let ms = send_time.wrapping_sub(base.send_time);
                base.due + Duration::from_millis(ms.into())
            }
            _ => now,
        }
    }

    /// How long so many bytes take at the rate for catching up.
    fn airtime(&self, len: u32) -> Duration {
        let rate = u64::from(self.max_bit_rate) * CATCH_UP_PERCENT / 100;
        let us = (u64::from(len) * 8_000_000).checked_div(rate);
        Duration::from_micros(us.unwrap_or(0))
    }
}
