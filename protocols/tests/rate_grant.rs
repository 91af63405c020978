//! Negotiated rates and the token bucket.

use proptest::prelude::*;
use protocols::content::Accel;
use protocols::machine::Time;
use protocols::rate::bucket::TokenBucket;
use protocols::rate::grant::{Limits, Supply, accel_for_version, first_phase, upstream_burst};

const fn accel(bits_per_second: u32, duration_ms: u32) -> Option<Accel> {
    Some(Accel {
        bits_per_second,
        duration_ms,
    })
}

const PLENTY: Supply = Supply {
    average_bps: 300_000,
    buffered_ms: None,
    free_bps: u64::MAX,
};

// E10, BW-23, BW-24, BW-25, BW-26, BW-33
#[test]
fn grants_of_the_sample_request() {
    let limits = Limits::default();
    let asked = accel(2_147_483_647, 18_000);
    assert_eq!(limits.accel(asked, PLENTY), accel(3_500_000, 18_000));
    assert_eq!(limits.speed(Some(91_268_055), false), Some(5000));
    let v8 = accel_for_version(asked, 8);
    assert_eq!(limits.accel(v8, PLENTY), accel(1_048_576, 18_000));
    assert_eq!(accel_for_version(asked, 7), None);
    assert_eq!(accel_for_version(asked, 9), asked);
}

// BW-28, BW-29
#[test]
fn nothing_is_granted_that_was_not_asked_for_or_is_no_use() {
    let limits = Limits::default();
    assert_eq!(limits.accel(None, PLENTY), None);
    assert_eq!(limits.accel(accel(0, 1000), PLENTY), None);
    assert_eq!(limits.accel(accel(1_000_000, 0), PLENTY), None);
    assert_eq!(limits.accel(accel(300_000, 1000), PLENTY), None);
    assert_eq!(
        limits.accel(accel(300_001, 1000), PLENTY),
        accel(300_001, 1000)
    );
    assert_eq!(limits.speed(None, false), None);
    assert_eq!(limits.speed(Some(999), false), None);
    assert_eq!(limits.speed(Some(1000), false), Some(1000));
    assert_eq!(limits.speed(Some(5000), true), None);
}

#[test]
fn live_content_and_a_full_server_bound_the_grant() {
    let limits = Limits::default();
    let supply = |buffered_ms, free_bps| Supply {
        buffered_ms,
        free_bps,
        ..PLENTY
    };
    let asked = accel(2_000_000, 10_000);
    assert_eq!(
        limits.accel(asked, supply(Some(4000), u64::MAX)),
        accel(2_000_000, 4000)
    );
    assert_eq!(limits.accel(asked, supply(Some(0), u64::MAX)), None);
    assert_eq!(
        limits.accel(asked, supply(None, 900_000)),
        accel(900_000, 10_000)
    );
    assert_eq!(limits.accel(asked, supply(None, 200_000)), None);
}

// section 4.4
#[test]
fn an_intermediarys_burst_goes_first() {
    let (a, b) = (accel(1, 2), accel(3, 4));
    assert_eq!(first_phase(a, b), b);
    assert_eq!(first_phase(a, None), a);
    assert_eq!(first_phase(None, b), b);
    assert_eq!(first_phase(a, accel(3, 0)), a);
    assert_eq!(first_phase(accel(0, 1), None), None);
}

// E12, BW-51
#[test]
fn upstream_burst_exceeds_the_players_wish() {
    let player = Accel {
        bits_per_second: 1_048_576,
        duration_ms: 5000,
    };
    assert_eq!(
        Some(upstream_burst(player, u64::MAX)),
        accel(2_097_152, 10_000)
    );
    assert_eq!(
        Some(upstream_burst(player, 1_500_000)),
        accel(1_500_000, 10_000)
    );
    let most = Accel {
        bits_per_second: u32::MAX,
        duration_ms: u32::MAX,
    };
    assert_eq!(upstream_burst(most, u64::MAX), most);
}

proptest! {
    // BW-23, BW-24, BW-27
    #[test]
    fn grants_never_exceed_the_request(
        bps in any::<u32>(), ms in any::<u32>(), average in 0u64..10_000_000,
        buffered in proptest::option::of(any::<u32>()), free in any::<u64>(),
        limits in (any::<u32>(), any::<u32>(), any::<u32>()),
    ) {
        let limits = Limits {
            max_accel_bps: limits.0, max_accel_ms: limits.1, max_speed_milli: limits.2,
        };
        let supply = Supply { average_bps: average, buffered_ms: buffered, free_bps: free };
        if let Some(g) = limits.accel(accel(bps, ms), supply) {
            prop_assert!(g.bits_per_second <= bps.min(limits.max_accel_bps));
            prop_assert!(u64::from(g.bits_per_second) <= free);
            prop_assert!(u64::from(g.bits_per_second) > average);
            prop_assert!((1..=ms.min(limits.max_accel_ms)).contains(&g.duration_ms));
        }
        if let Some(speed) = limits.speed(Some(bps), false) {
            prop_assert!((1000..=bps).contains(&speed));
        }
    }

    #[test]
    fn a_bucket_never_gives_more_than_burst_and_rate(
        rate in 1u64..1_000_000_000, burst in 1u64..1_000_000,
        takes in proptest::collection::vec((0u64..200_000, 1u64..100_000), 1..100),
    ) {
        let mut bucket = TokenBucket::new(rate, burst, Time::ZERO);
        let (mut now, mut given) = (Time::ZERO, 0u64);
        for (wait, count) in takes {
            now = Time(now.micros() + wait);
            let ready = bucket.ready_at(count, now);
            if bucket.take(count, now) {
                prop_assert_eq!(ready, Some(now));
                given += count;
            } else {
                prop_assert!(ready != Some(now));
                prop_assert_eq!(ready.is_none(), count > burst);
            }
            let most = u128::from(burst) + u128::from(rate) * u128::from(now.micros()) / 1_000_000;
            prop_assert!(u128::from(given) <= most);
        }
    }
}

#[test]
fn a_bucket_says_when_it_is_ready() {
    let mut bucket = TokenBucket::new(10, 5, Time(500));
    assert_eq!(bucket.available(Time(500)), 5);
    assert!(bucket.take(5, Time(500)));
    assert!(!bucket.take(1, Time(500)));
    let ready = bucket.ready_at(2, Time(500)).unwrap();
    assert_eq!(ready, Time(200_500));
    assert!(!bucket.take(2, Time(ready.micros() - 1)));
    assert!(bucket.take(2, ready));
    assert_eq!(bucket.ready_at(6, ready), None);
    assert_eq!(bucket.take_up_to(9, Time(ready.micros() + 350_000)), 3);
    bucket.give_back(100);
    assert_eq!(bucket.available(ready), 5);
    // Time that seems to go back neither takes nor gives.
    assert_eq!(bucket.available(Time::ZERO), 5);
}
