//! Lateness on a timeline whose zero is only known at the end, and percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// How far below the first guess of the timeline's zero a value may lie, us.
const SLACK_US: i64 = 200_000;
const MAX_US: u64 = 120_000_000;

/// Percentiles, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// 99 in 100 are below.
    pub p99: f64,
    /// 999 in 1000 are below.
    pub p999: f64,
    /// The largest.
    pub max: f64,
    /// How many.
    pub count: u64,
}

/// Plain durations, us, up to two minutes.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u32>);

impl Default for Durations {
    fn default() -> Durations {
        Durations(histogram(3))
    }
}

impl Durations {
    /// Record one.
    pub fn record(&mut self, us: u64) {
        self.0.saturating_record(us.min(MAX_US));
    }

    /// What they are.
    pub fn percentiles(&self) -> Percentiles {
        percentiles(&self.0, 0)
    }
}

fn histogram(digits: u8) -> Histogram<u32> {
    Histogram::new_with_bounds(1, MAX_US * 2, digits).expect("constant bounds are valid")
}

fn percentiles(h: &Histogram<u32>, shift_us: i64) -> Percentiles {
    if h.is_empty() {
        return Percentiles::default();
    }
    let ms = |v: u64| (v as i64 - shift_us).max(0) as f64 / 1000.0;
    Percentiles {
        p50: ms(h.value_at_quantile(0.50)),
        p99: ms(h.value_at_quantile(0.99)),
        p999: ms(h.value_at_quantile(0.999)),
        max: ms(h.max()),
        count: h.len(),
    }
}

/// Deltas (receive time - send time) of one live timeline. Its zero is the smallest delta ever
/// noted, also of packets that are not recorded; the lateness of a packet is its delta above zero.
#[derive(Clone, Debug)]
pub struct Timeline {
    base_us: i64,
    min_us: i64,
    histogram: Histogram<u32>,
    below_slack: u64,
}

impl Timeline {
    /// A timeline whose first packet had this delta.
    pub fn new(first_us: i64) -> Timeline {
        Timeline {
            base_us: first_us - SLACK_US,
            min_us: first_us,
            histogram: histogram(4),
            below_slack: 0,
        }
    }

    /// Distance of a delta from the zero as known so far, us.
    pub fn distance(&self, delta_us: i64) -> u64 {
        delta_us.abs_diff(self.min_us)
    }

    /// Take note of a delta; count it if `record`.
    pub fn note(&mut self, delta_us: i64, record: bool) {
        self.min_us = self.min_us.min(delta_us);
        if !record {
            // Nothing recorded yet: the guess may still be improved.
            if self.histogram.is_empty() {
                self.base_us = self.min_us - SLACK_US;
            }
            return;
        }
        let value = delta_us - self.base_us;
        if value < 0 {
            self.below_slack += 1;
        }
        self.histogram.saturating_record(value.max(0) as u64);
    }

    fn percentiles(&self) -> Percentiles {
        percentiles(&self.histogram, self.min_us - self.base_us)
    }
}

/// All timelines of a run. There is one, unless the source was restarted.
#[derive(Clone, Debug, Default)]
pub struct Timelines(Vec<Timeline>);

/// Deltas nearer than this belong to one timeline, us.
const SAME_US: u64 = 5_000_000;

impl Timelines {
    /// The timeline of a session whose first packet has this delta: the nearest that exists.
    pub fn join(&mut self, delta_us: i64) -> usize {
        self.nearest(delta_us)
            .unwrap_or_else(|| self.open(delta_us))
    }

    /// The timeline after a session's send times went back: one that others found already, or new.
    pub fn restart(&mut self, delta_us: i64) -> usize {
        match self.nearest(delta_us) {
            Some(i) if self.0[i].distance(delta_us) < SAME_US => i,
            _ => self.open(delta_us),
        }
    }

    /// Note a delta on a timeline that `join` or `restart` gave.
    pub fn note(&mut self, index: usize, delta_us: i64, record: bool) {
        self.0[index].note(delta_us, record);
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Percentiles over all. Those of the restarts are joined by recording them again above their
    /// own zero.
    pub fn percentiles(&self) -> Percentiles {
        match &self.0[..] {
            [] => Percentiles::default(),
            [one] => one.percentiles(),
            many => {
                let mut sum = histogram(4);
                for t in many {
                    let shift = t.min_us - t.base_us;
                    for v in t.histogram.iter_recorded() {
                        let value = (v.value_iterated_to() as i64 - shift).max(0) as u64;
                        sum.saturating_record_n(value, v.count_since_last_iteration() as u32);
                    }
                }
                percentiles(&sum, 0)
            }
        }
    }

    /// Packets that came more than the slack before the zero assumed: their lateness is not told.
    pub fn unplaced(&self) -> u64 {
        self.0.iter().map(|t| t.below_slack).sum()
    }

    fn nearest(&self, delta_us: i64) -> Option<usize> {
        (0..self.0.len()).min_by_key(|&i| self.0[i].distance(delta_us))
    }

    fn open(&mut self, delta_us: i64) -> usize {
        self.0.push(Timeline::new(delta_us));
        self.0.len() - 1
    }
}

/// Median of sorted values; 0 of none.
pub fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match (sorted.get(n.saturating_sub(1) / 2), sorted.get(n / 2)) {
        (Some(a), Some(b)) => (a + b) / 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= b * 2e-4 + 0.02
    }

    #[test]
    fn zero_is_the_smallest_delta_even_when_it_comes_last() {
        let mut t = Timelines::default();
        let i = t.join(1_050_000);
        for k in 0..1000 {
            t.note(i, 1_050_000 + k * 10, true);
        }
        t.note(i, 1_000_000, true);
        let p = t.percentiles();
        assert_eq!(p.count, 1001);
        assert!(near(p.p50, 55.0), "{p:?}");
        assert!(near(p.max, 59.99), "{p:?}");
        assert_eq!(t.unplaced(), 0);
    }

    #[test]
    fn packets_before_the_window_set_the_zero_but_are_not_counted() {
        let mut t = Timelines::default();
        let i = t.join(9_000_000);
        t.note(i, 9_000_000, false);
        t.note(i, 4_000_000, false);
        t.note(i, 4_030_000, true);
        let p = t.percentiles();
        assert_eq!(p.count, 1);
        assert!(near(p.max, 30.0), "{p:?}");
    }

    #[test]
    fn far_too_early_packets_are_counted_not_hidden() {
        let mut t = Timeline::new(0);
        t.note(10, true);
        t.note(-300_000, true);
        assert_eq!(t.below_slack, 1);
    }

    #[test]
    fn a_late_joiner_shares_the_timeline_and_a_restart_opens_one() {
        let mut t = Timelines::default();
        let a = t.join(0);
        assert_eq!(t.join(8_000_000), a, "first packets may be seconds old");
        let b = t.restart(60_000_000);
        assert_ne!(a, b);
        assert_eq!(t.restart(60_100_000), b);
        t.note(a, 0, true);
        t.note(a, 20_000, true);
        t.note(b, 60_000_000, true);
        t.note(b, 60_040_000, true);
        let p = t.percentiles();
        assert_eq!((p.count, t.count()), (4, 2));
        assert!(near(p.max, 40.0), "{p:?}");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }

    #[test]
    fn durations() {
        let mut d = Durations::default();
        for us in 1..=1000 {
            d.record(us * 1000);
        }
        let p = d.percentiles();
        assert!(
            (p.p50 - 500.0).abs() < 1.0 && (p.p99 - 990.0).abs() < 1.5,
            "{p:?}"
        );
        assert_eq!(Durations::default().percentiles().count, 0);
    }
}
