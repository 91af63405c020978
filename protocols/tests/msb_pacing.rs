//! When packets leave for a group.

use protocols::machine::Time;
use protocols::msb::Pacing;

fn ms(ms: u64) -> Time {
    Time(ms * 1000)
}

/// 1 Mbit/s: 1250 bytes in 8 ms of catching up.
const RATE: u32 = 1_000_000;
const LEN: u32 = 1250;

#[test]
fn nothing_leaves_before_its_send_time() {
    let mut pacing = Pacing::new(RATE);
    assert_eq!(
        pacing.due(5000, ms(100)),
        ms(100),
        "the first one sets the clock"
    );
    pacing.sent(5000, LEN, ms(100));
    for (send_time, due) in [(5000, 100), (5040, 140), (6000, 1100)] {
        assert_eq!(pacing.due(send_time, ms(100)), ms(due));
    }
    // Asking changes nothing; a little late changes nothing either.
    pacing.sent(5040, LEN, ms(145));
    assert_eq!(pacing.due(5080, ms(145)), ms(180));
}

#[test]
fn after_a_stall_it_catches_up_a_quarter_faster() {
    let mut pacing = Pacing::new(RATE);
    pacing.sent(0, LEN, ms(0));
    // A packet each 10 ms is the whole rate. Nothing left for a second.
    let (mut now, mut send_time, mut sent) = (ms(1000), 10, 0);
    let caught_up = loop {
        let due = pacing.due(send_time, now);
        let ideal = ms(send_time.into());
        assert!(due >= ideal);
        now = now.max(due);
        pacing.sent(send_time, LEN, now);
        sent += 1;
        if now <= Time(ideal.0 + 20_000) {
            break now;
        }
        send_time += 10;
    };
    // 1.25 times as fast: 8 ms make 2 ms good, and 970 ms are to be made good.
    assert!((4860..=4900).contains(&caught_up.millis()), "{caught_up:?}");
    assert!((480..=500).contains(&sent), "{sent}");
    // And then real time again.
    let next = send_time + 1000;
    assert_eq!(pacing.due(next, now), ms(next.into()));
}

#[test]
fn a_sender_that_looks_only_now_and_then_is_no_slower() {
    let mut pacing = Pacing::new(RATE);
    pacing.sent(0, LEN, ms(0));
    let (mut now, mut send_time) = (ms(1000), 10);
    for _ in 0..200 {
        while pacing.due(send_time, now) <= now {
            pacing.sent(send_time, LEN, now);
            send_time += 10;
        }
        now = Time(now.0 + 5000);
    }
    // 1 s at 8 ms a packet.
    assert!((1240..=1280).contains(&send_time), "{send_time}");
}

#[test]
fn too_late_is_not_made_good() {
    let mut pacing = Pacing::new(RATE);
    pacing.sent(0, LEN, ms(0));
    assert_eq!(pacing.due(10, ms(6000)), ms(10));
    pacing.sent(10, LEN, ms(6000));
    assert_eq!(pacing.due(20, ms(6000)), ms(6010));
}

#[test]
fn a_new_timeline_begins_at_once() {
    let mut pacing = Pacing::new(RATE);
    pacing.sent(50_000, LEN, ms(0));
    for send_time in [0, 49_999, 60_001] {
        assert_eq!(pacing.due(send_time, ms(7)), ms(7));
    }
    pacing.rebase(RATE);
    assert_eq!(pacing.due(50_010, ms(7)), ms(7));
    // Across the wrap of the 32-bit clock.
    pacing.sent(u32::MAX, LEN, ms(10));
    assert_eq!(pacing.due(4, ms(10)), ms(15));
}

#[test]
fn an_entry_does_not_begin_with_a_burst_after_a_stall() {
    let mut pacing = Pacing::new(RATE);
    pacing.sent(0, LEN, ms(0));
    pacing.sent(10, LEN, ms(1000));
    pacing.rebase(2 * RATE);
    assert_eq!(pacing.due(0, ms(1000)), ms(1008));
}

#[test]
fn without_a_rate_it_catches_up_at_once() {
    let mut pacing = Pacing::new(0);
    pacing.sent(0, LEN, ms(0));
    pacing.sent(10, LEN, ms(1000));
    assert!(pacing.due(20, ms(1000)) <= ms(1000));
}
