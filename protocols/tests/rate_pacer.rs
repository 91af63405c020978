//! Deadlines of media packets.

use proptest::prelude::*;
use protocols::content::Accel;
use protocols::machine::Time;
use protocols::media::Pace;
use protocols::rate::pacer::{Pacer, STEP_MAX};
use std::time::Duration;

const T0: Time = Time(7_000_123);

fn media(accel: Option<(u32, u32)>, speed_milli: u32) -> Pace {
    Pace::Media {
        accel: accel.map(|(bits_per_second, duration_ms)| Accel {
            bits_per_second,
            duration_ms,
        }),
        speed_milli,
    }
}

/// Deadlines in ms after the start.
fn run(pacer: &mut Pacer, packets: &[(u32, u32)]) -> Vec<u64> {
    packets
        .iter()
        .map(|&(send, bytes)| {
            let due = pacer.due(send);
            pacer.sent(send, bytes);
            (due.micros() - T0.micros()) / 1000
        })
        .collect()
}

// E11, BW-30, BW-32
#[test]
fn accelerated_phase_goes_by_bytes_and_then_by_send_time() {
    let mut pacer = Pacer::new(T0, 0, media(Some((160_000, 500)), 1000));
    let packets: Vec<_> = (0..10).map(|i| (i * 100, 1000)).collect();
    assert_eq!(
        run(&mut pacer, &packets),
        [0, 50, 100, 150, 200, 250, 350, 450, 550, 650]
    );
    assert!(!pacer.rushed());
}

#[test]
fn rushed_lasts_as_long_as_the_phase() {
    let mut pacer = Pacer::new(T0, 0, media(Some((160_000, 500)), 1000));
    for send in (0..500).step_by(100) {
        assert!(pacer.rushed_at(send), "{send}");
        pacer.sent(send, 1000);
        assert!(pacer.rushed());
    }
    assert!(!pacer.rushed_at(500));
    pacer.sent(500, 1000);
    assert!(!pacer.rushed());
    assert!(!Pacer::new(T0, 0, media(None, 5000)).rushed());
}

#[test]
fn never_later_than_real_time() {
    // 100 kB packets at a granted 160 kbit/s would take 5 s each.
    let mut pacer = Pacer::new(T0, 40, media(Some((160_000, 10_000)), 1000));
    assert_eq!(
        run(
            &mut pacer,
            &[(40, 100_000), (140, 200_000), (10_140, 1), (10_240, 1)]
        ),
        [0, 100, 10_100, 10_200]
    );
}

// BW-33
#[test]
fn speed_scales_the_normal_phase() {
    let mut pacer = Pacer::new(T0, 1000, media(None, 2500));
    assert_eq!(
        run(&mut pacer, &[(1000, 1), (2000, 1), (6000, 1)]),
        [0, 400, 2000]
    );
    let mut pacer = Pacer::new(T0, 0, media(Some((80_000, 1000)), 5000));
    // 1000 bytes at 80 kbit/s: 100 ms; then five times real time from there.
    assert_eq!(
        run(&mut pacer, &[(0, 1000), (1000, 1000), (2000, 1000)]),
        [0, 100, 300]
    );
}

#[test]
fn zero_speed_is_real_time_and_zero_grants_are_none() {
    assert_eq!(
        Pacer::new(T0, 3, media(Some((0, 500)), 0)),
        Pacer::new(T0, 3, media(None, 1000))
    );
    assert_eq!(
        Pacer::new(T0, 3, media(Some((500, 0)), 1000)),
        Pacer::new(T0, 3, media(None, 1000))
    );
}

#[test]
fn unpaced_is_always_due() {
    let mut pacer = Pacer::new(T0, 5, Pace::Unpaced);
    assert_eq!(
        run(&mut pacer, &[(5, 1), (4_000_000_000, 1), (17, 9)]),
        [0, 0, 0]
    );
}

#[test]
fn send_times_wrap() {
    let first = u32::MAX - 999;
    let mut pacer = Pacer::new(T0, first, media(None, 1000));
    assert_eq!(
        run(&mut pacer, &[(first, 1), (0, 1), (500, 1)]),
        [0, 1000, 1500]
    );
}

#[test]
fn breaks_in_the_time_line_restart_the_clock() {
    let mut pacer = Pacer::new(T0, 100, media(None, 1000));
    let packets = [
        (100, 1),
        (1100, 1),
        (50, 1),                     // backward
        (150, 1),                    // goes on from there
        (150 + STEP_MAX, 1),         // the largest ordinary step
        (150 + 2 * STEP_MAX + 1, 1), // one more is a break
        (250 + 2 * STEP_MAX + 1, 1),
    ];
    assert_eq!(
        run(&mut pacer, &packets),
        [0, 1000, 1000, 1100, 11_100, 11_100, 11_200]
    );
}

#[test]
fn a_break_inside_the_phase_keeps_the_rest_of_it() {
    let mut pacer = Pacer::new(T0, 0, media(Some((80_000, 1000)), 1000));
    // 500 bytes are 50 ms.
    let packets = [
        (0, 500),
        (600, 500),
        (100_000, 500), // 600 of 1000 ms are used
        (100_300, 500),
        (100_400, 500), // first normal one
        (100_900, 500),
    ];
    assert_eq!(run(&mut pacer, &packets), [0, 50, 100, 150, 200, 700]);
}

#[test]
fn settling_at_the_live_head_goes_on_in_real_time() {
    let mut pacer = Pacer::new(T0, 0, media(Some((80_000, 60_000)), 1000));
    assert_eq!(run(&mut pacer, &[(0, 1000), (1000, 1000)]), [0, 100]);
    pacer.settle(2000);
    assert!(!pacer.rushed());
    assert_eq!(run(&mut pacer, &[(2000, 1000), (3000, 1000)]), [200, 1200]);
}

#[test]
fn a_rewind_runs_forward_in_negated_time() {
    let mut pacer = Pacer::new(T0, Pacer::rewound(9000), media(None, 5000));
    let packets = [9000, 4000, 0].map(|s| (Pacer::rewound(s), 1));
    assert_eq!(run(&mut pacer, &packets), [0, 1000, 1800]);
}

#[test]
fn a_broadcast_outlives_the_wrap_many_times() {
    let mut pacer = Pacer::new(T0, 0, media(None, 1000));
    let step = 9_999u32;
    let mut send = 0u32;
    for i in 0..1_500_000u64 {
        assert_eq!(
            pacer.due(send),
            T0 + Duration::from_millis(i * u64::from(step))
        );
        pacer.sent(send, 1400);
        send = send.wrapping_add(step);
    }
}

proptest! {
    // BW-31
    #[test]
    fn deadlines_never_run_back_and_keep_the_rate(
        first in any::<u32>(),
        accel in proptest::option::of((1u32..4_000_000, 1u32..20_000)),
        speed in 1000u32..5001,
        steps in proptest::collection::vec((0u32..2000, 1u32..3000), 1..200),
    ) {
        let mut pacer = Pacer::new(T0, first, media(accel, speed));
        let (mut send, mut bytes, mut last) = (first, 0u64, T0);
        for (step, len) in steps {
            send = send.wrapping_add(step);
            let due = pacer.due(send);
            prop_assert!(due >= last);
            let elapsed = due.since(T0).as_micros() as u64;
            let real = u64::from(send.wrapping_sub(first)) * 1000;
            prop_assert!(elapsed <= real, "later than real time");
            if let Some((rate, _)) = accel.filter(|_| pacer.rushed_at(send)) {
                let by_rate = bytes * 8_000_000 / u64::from(rate);
                prop_assert_eq!(elapsed, by_rate.min(real));
            }
            pacer.sent(send, len);
            bytes += u64::from(len);
            last = due;
        }
    }
}
