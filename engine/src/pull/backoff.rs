//! How long to wait before a source is asked again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// Doublings after which the pause no longer matters: it is above any `retry_max`.
const DOUBLINGS_MAX: u32 = 16;

/// Pauses that double, spread by a quarter to either side so that the servers that lost one origin do
/// not return to it at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Begin; equal seeds make equal pauses.
    pub fn new(seed: u64) -> Backoff {
        Backoff {
            failures: 0,
            random: seed,
        }
    }

    /// The source was good for a while: the next pause is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after an attempt that is over: from three to five quarters of the nominal one, which is
    /// `max` at most.
    pub fn next(&mut self, max: Duration) -> Duration {
        let nominal = FIRST * (1 << self.failures.min(DOUBLINGS_MAX));
        self.failures += 1;
        nominal.min(max).mul_f64(0.75 + 0.5 * self.share())
    }

    /// From 0 to 1 (SplitMix64).
    fn share(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let max = Duration::from_secs(30);
        let mut backoff = Backoff::new(1);
        for nominal in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let pause = backoff.next(max).as_secs_f64();
            assert!(
                (nominal * 0.75..=nominal * 1.25).contains(&pause),
                "{pause}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next(max) <= max.mul_f64(1.25));
        }
        backoff.reset();
        assert!(backoff.next(max) <= FIRST.mul_f64(1.25));
    }

    #[test]
    fn servers_do_not_return_together() {
        let max = Duration::from_secs(30);
        let mut pauses: Vec<_> = (0..200).map(|s| Backoff::new(s).next(max)).collect();
        pauses.sort();
        let (first, last) = (pauses[0], pauses[199]);
        assert!(first < Duration::from_millis(800) && last > Duration::from_millis(1200));
        pauses.dedup();
        assert!(pauses.len() > 190);
    }
}
