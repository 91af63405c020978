//! Send times: milliseconds modulo 2^32, with jumps (asf.md 8.5).

/// A jump forward of more than this between adjacent packets starts a new timeline, ms.
pub const GAP_MAX_MS: i32 = 10_000;

/// How much later `to` is than `from`, ms; negative if earlier. Exact for distances below 2^31 ms
/// (24.8 days), across the wrap of the 32-bit clock.
// ASF-47
pub const fn since(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// True if a packet sent at `next` does not continue the timeline of the packet before it:
/// the clock went back, or forward by more than [`GAP_MAX_MS`].
pub const fn is_discontinuity(previous: u32, next: u32) -> bool {
    let d = since(previous, next);
    d < 0 || d > GAP_MAX_MS
}

/// Adds up the send times of successive packets into time that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    last: Option<u32>,
    elapsed_ms: u64,
    discontinuities: u32,
}

impl Timeline {
    /// Nothing seen yet.
    pub const fn new() -> Timeline {
        Timeline {
            last: None,
            elapsed_ms: 0,
            discontinuities: 0,
        }
    }

    /// Take the next packet's send time. Gives ms since the first packet; a discontinuity counts
    /// as no time.
    // ASF-48
    pub fn push(&mut self, send_time: u32) -> u64 {
        if let Some(last) = self.last {
            if is_discontinuity(last, send_time) {
                self.discontinuities = self.discontinuities.saturating_add(1);
            } else {
                self.elapsed_ms += u64::from(send_time.wrapping_sub(last));
            }
        }
        self.last = Some(send_time);
        self.elapsed_ms
    }

    /// ms between the first and the latest packet, jumps left out.
    pub const fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    /// Jumps so far.
    pub const fn discontinuities(&self) -> u32 {
        self.discontinuities
    }

    /// Send time of the latest packet.
    pub const fn last(&self) -> Option<u32> {
        self.last
    }
}
