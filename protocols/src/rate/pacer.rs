//! When the next media packet of a flow is due (asf.md 8.5, bandwidth-and-start.md 5).
//!
//! A deadline depends only on send times and, during a granted acceleration, on the bytes sent so
//! far; never on when earlier packets really left. A flow that was held up catches up by itself.

use crate::machine::Time;
use crate::media::Pace;

/// Adjacent send times further apart than this, ms, are a break in the time line, not a pause.
pub const STEP_MAX: u32 = 10_000;

/// The clock moves along when the running span has grown to this, ms, so that a broadcast may
/// run longer than the 49.7 days after which send times wrap.
const SPAN_MAX: u32 = 1 << 30;

const REAL_TIME: u32 = 1000;

/// The clock of one flow. Small and plain, one per session.
///
/// For every packet: ask [`Pacer::due`], send it when that has come, tell [`Pacer::sent`].
///
/// A rewind hands in negated send times (see [`Pacer::rewound`]); a play rate other than normal is
/// a speed of its absolute value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacer {
    /// Deadline of a packet whose send time is `anchor`, microseconds.
    origin: u64,
    /// Bytes sent since `origin`; counted in the accelerated phase only.
    bytes: u64,
    anchor: u32,
    /// Send time of the last packet sent; at first that of the first packet.
    last: u32,
    /// Granted bit/s; 0 outside the accelerated phase.
    accel_bps: u32,
    /// What is left of the phase, ms after `anchor`.
    accel_ms: u32,
    /// Thousandths; 0 unpaced.
    speed_milli: u32,
}

const _: () = assert!(size_of::<Pacer>() <= 48);

impl Pacer {
    /// A clock that starts at `start` with the packet whose send time is `first_send` (ms).
    ///
    /// An acceleration with a zero in it is none; a speed of 0 is real time.
    pub fn new(start: Time, first_send: u32, pace: Pace) -> Pacer {
        let (accel, speed_milli) = match pace {
            Pace::Media { accel, speed_milli } => (
                accel.filter(|a| a.bits_per_second > 0 && a.duration_ms > 0),
                if speed_milli == 0 {
                    REAL_TIME
                } else {
                    speed_milli
                },
            ),
            Pace::Unpaced => (None, 0),
        };
        Pacer {
            origin: start.micros(),
            bytes: 0,
            anchor: first_send,
            last: first_send,
            accel_bps: accel.map_or(0, |a| a.bits_per_second),
            accel_ms: accel.map_or(0, |a| a.duration_ms),
            speed_milli,
        }
    }

    /// The send time to hand in for a packet of a rewinding flow, so that time runs forward here.
    pub const fn rewound(send_time: u32) -> u32 {
        send_time.wrapping_neg()
    }

    /// Deadline of the next packet, given its send time (ms) and what was sent before it.
    #[inline]
    pub fn due(&self, send_time: u32) -> Time {
        // A backward step wraps round to a huge one. Either way the clock restarts here: the
        // packet follows its predecessor at once.
        let send_time = if self.breaks(send_time) {
            self.last
        } else {
            send_time
        };
        if self.accel_bps == 0 {
            self.paced(send_time)
        } else {
            self.accelerated(send_time)
        }
    }

    /// Note that the packet was sent: its send time (ms) and its bytes on the connection, framing
    /// included.
    #[inline]
    pub fn sent(&mut self, send_time: u32, bytes: u32) {
        let span = send_time.wrapping_sub(self.anchor);
        if self.accel_bps != 0 || span >= SPAN_MAX || self.breaks(send_time) {
            self.step(send_time);
            self.bytes += u64::from(bytes);
        }
        self.last = send_time;
    }

    /// True until the first packet after the accelerated phase has been sent.
    #[inline]
    pub fn rushed(&self) -> bool {
        self.accel_bps != 0
    }

    /// True if the packet with this send time (ms), coming next, still belongs to the accelerated
    /// phase.
    #[inline]
    pub fn rushed_at(&self, send_time: u32) -> bool {
        self.accel_bps != 0
            && (self.breaks(send_time) || send_time.wrapping_sub(self.anchor) < self.accel_ms)
    }

    /// End the accelerated phase with the packet that is next, whose send time is given: the head
    /// of a live content is reached, from now on packets come at the pace of their source.
    pub fn settle(&mut self, send_time: u32) {
        if self.accel_bps != 0 {
            self.restart(send_time);
            self.accel_bps = 0;
        }
    }

    /// Start the clock again at `now` with the packet that is next, keeping the speed: the peer
    /// stood still for so long that catching up would be a burst.
    pub fn rebase(&mut self, now: Time, send_time: u32) {
        self.origin = now.micros();
        self.anchor = send_time;
        self.last = send_time;
        self.bytes = 0;
    }

    fn breaks(&self, send_time: u32) -> bool {
        send_time.wrapping_sub(self.last) > STEP_MAX && self.speed_milli != 0
    }

    fn paced(&self, send_time: u32) -> Time {
        let span = u64::from(send_time.wrapping_sub(self.anchor));
        let micros = match self.speed_milli {
            REAL_TIME => span * 1000,
            0 => 0,
            speed => span * 1_000_000 / u64::from(speed),
        };
        Time(self.origin + micros)
    }

    // BW-31: never faster than granted. BW-32: nor later than real time.
    fn accelerated(&self, send_time: u32) -> Time {
        let by_bytes = self.bytes.saturating_mul(8_000_000) / u64::from(self.accel_bps);
        let real = u64::from(send_time.wrapping_sub(self.anchor)) * 1000;
        Time(self.origin + by_bytes.min(real))
    }

    /// The rarely taken part of `sent`: the phase, breaks, and the clock that moves along.
    #[cold]
    fn step(&mut self, send_time: u32) {
        if self.breaks(send_time) {
            let done = self.last.wrapping_sub(self.anchor);
            self.accel_ms = self.accel_ms.saturating_sub(done);
            self.restart(send_time);
            if self.accel_ms == 0 {
                self.accel_bps = 0;
            }
            return;
        }
        let span = send_time.wrapping_sub(self.anchor);
        if self.accel_bps != 0 && span >= self.accel_ms {
            // BW-30: from the first packet past the granted duration on, normal speed.
            self.restart(send_time);
            self.accel_bps = 0;
        } else if span >= SPAN_MAX {
            self.restart(send_time);
        }
    }

    fn restart(&mut self, send_time: u32) {
        self.origin = self.due(send_time).micros();
        self.anchor = send_time;
        self.bytes = 0;
    }
}
