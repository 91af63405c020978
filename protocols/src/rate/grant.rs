//! What a client is granted of the acceleration and speed it asks for (bandwidth-and-start.md 4).

use crate::content::Accel;

/// The highest AccelBW that a client of version 8.x can take in a reply, bit/s.
pub const ACCEL_BPS_MAX_V8: u32 = 1_048_576;

/// What an operator allows, per publishing point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fast Start rate, bit/s.
    pub max_accel_bps: u32,
    /// Fast Start duration, ms of content.
    pub max_accel_ms: u32,
    /// Fast Cache speed, thousandths of real time.
    pub max_speed_milli: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_accel_bps: 3_500_000,
            max_accel_ms: 20_000,
            max_speed_milli: 5_000,
        }
    }
}

/// What the content and the server have to give at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Sum of the average bit rates of the selected streams, bit/s; 0 if unknown.
    pub average_bps: u64,
    /// Live content: ms of send time between the start point and the head. `None`: all is there.
    pub buffered_ms: Option<u32>,
    /// Egress that is not spoken for, bit/s; `u64::MAX` without a limit.
    pub free_bps: u64,
}

impl Limits {
    /// The granted acceleration: never more than asked (BW-23, BW-24, BW-27), and none at all where
    /// it would not be faster than the content itself.
    pub fn accel(&self, asked: Option<Accel>, supply: Supply) -> Option<Accel> {
        let asked = asked?;
        let free = u32::try_from(supply.free_bps).unwrap_or(u32::MAX);
        let granted = Accel {
            bits_per_second: asked.bits_per_second.min(self.max_accel_bps).min(free),
            duration_ms: asked
                .duration_ms
                .min(self.max_accel_ms)
                .min(supply.buffered_ms.unwrap_or(u32::MAX)),
        };
        // BW-28: a zero is as good as no token.
        let useful = granted.duration_ms > 0
            && granted.bits_per_second > 0
            && u64::from(granted.bits_per_second) > supply.average_bps;
        useful.then_some(granted)
    }

    /// The granted speed in thousandths, at least 1000 (BW-33); `None` if not asked for, below real
    /// time, or if live content leaves nothing to be ahead of.
    pub fn speed(&self, asked_milli: Option<u32>, live: bool) -> Option<u32> {
        let asked = asked_milli.filter(|&s| s >= 1000)?;
        (!live).then(|| asked.min(self.max_speed_milli.max(1000)))
    }
}

/// What of an asked acceleration a client of this major version can be granted in WMSP: nothing
/// below 8 (BW-26), a bounded rate for 8 (BW-25).
pub fn accel_for_version(asked: Option<Accel>, major: u32) -> Option<Accel> {
    let asked = asked?;
    match major {
        0..8 => None,
        8 => Some(Accel {
            bits_per_second: asked.bits_per_second.min(ACCEL_BPS_MAX_V8),
            ..asked
        }),
        _ => Some(asked),
    }
}

/// The acceleration that rules this connection: an intermediary's own wish (Burst) goes before the
/// wish of the client behind it (Accel). A wish with a zero in it is none.
pub fn first_phase(accel: Option<Accel>, burst: Option<Accel>) -> Option<Accel> {
    let whole = |a: &Accel| a.bits_per_second > 0 && a.duration_ms > 0;
    burst.filter(whole).or(accel.filter(whole))
}

/// The Burst that a distribution server adds upstream when a player asked for `accel`: more in
/// both rate and duration, as far as its own link goes (BW-51).
pub fn upstream_burst(accel: Accel, uplink_bps: u64) -> Accel {
    let asked = u64::from(accel.bits_per_second);
    let wanted = (asked * 2).max(asked + 500_000).min(uplink_bps);
    Accel {
        bits_per_second: u32::try_from(wanted).unwrap_or(u32::MAX),
        duration_ms: accel.duration_ms.saturating_add(5_000),
    }
}
