//! How long a request takes to be answered (RFC 6298, with a lower floor: nothing is congested by a
//! request of a few bytes, and a packet that comes late is as good as lost).

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const FLOOR: Duration = Duration::from_millis(40);
const CEILING: Duration = Duration::from_secs(1);
/// What may lie between an answer and the moment at which it counts as late.
const SLACK: Duration = Duration::from_millis(20);

/// An estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smooth: Option<(Duration, Duration)>,
}

impl Rtt {
    /// An answer took so long.
    pub fn sample(&mut self, took: Duration) {
        self.smooth = Some(match self.smooth {
            None => (took, took / 2),
            Some((mean, deviation)) => (
                (mean * 7 + took) / 8,
                (deviation * 3 + mean.abs_diff(took)) / 4,
            ),
        });
    }

    /// How long to wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.smooth.map_or(FIRST, |(mean, deviation)| {
            (mean + (deviation * 4).max(SLACK)).clamp(FLOOR, CEILING)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_it_sees() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), FIRST);
        rtt.sample(Duration::from_millis(100));
        assert_eq!(rtt.timeout(), Duration::from_millis(300));
        for _ in 0..100 {
            rtt.sample(Duration::from_millis(100));
        }
        assert!(rtt.timeout() < Duration::from_millis(125));
        for _ in 0..100 {
            rtt.sample(Duration::ZERO);
        }
        assert_eq!(rtt.timeout(), FLOOR);
    }
}
