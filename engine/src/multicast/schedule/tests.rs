use super::*;
use crate::points::BatchBuilder;
use std::convert::Infallible;

const START: Time = Time(1_000_000_000);

fn at(ms: u64) -> Time {
    START + Duration::from_millis(ms)
}

fn batch(send_times: impl IntoIterator<Item = u32>) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for send_time in send_times {
        let change = |_: &mut [u8]| Ok::<(), Infallible>(());
        builder.push(0, send_time, 0, &[0; 10], change);
    }
    builder.finish().expect("packets")
}

/// Send times and when they leave, ms after the start, of what waits.
fn waiting(schedule: &mut Schedule) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    while let Some(item) = schedule.pop() {
        if let Item::Packet(waiting) = item {
            let (packet, _) = waiting.packet().expect("it is there");
            let due = waiting.due.since(START).as_millis() as u64;
            all.push((packet.send_time, due));
        }
    }
    all
}

#[test]
fn packets_of_a_batch_leave_one_by_one() {
    let mut schedule = Schedule::new(START);
    assert_eq!(schedule.take(&batch([500]), at(3)), 0);
    assert_eq!(schedule.take(&batch([504, 508, 512]), at(20)), 0);
    assert_eq!(
        waiting(&mut schedule),
        [(500, 53), (504, 57), (508, 61), (512, 65)]
    );
    assert_eq!(schedule.bytes, 0);
}

#[test]
fn times_that_go_back_a_little_keep_the_order() {
    let mut schedule = Schedule::new(START);
    schedule.take(&batch([100, 140, 120, 150]), at(0));
    assert_eq!(
        waiting(&mut schedule),
        [(100, 50), (140, 90), (120, 90), (150, 100)]
    );
}

#[test]
fn the_past_of_a_stream_that_begins_is_left_out() {
    let mut schedule = Schedule::new(START);
    // As much as a source has at once, in two pieces: 4 s and 6 s.
    let left_out = schedule.take(&batch((0..400).map(|n| n * 10)), at(0));
    assert_eq!(left_out, 394);
    let left_out = schedule.take(&batch((400..1000).map(|n| n * 10)), at(10));
    assert_eq!(left_out, 6 + 594);
    let kept: Vec<u32> = waiting(&mut schedule).iter().map(|(s, _)| *s).collect();
    assert_eq!(kept, [9940, 9950, 9960, 9970, 9980, 9990]);
    // What then comes in time goes on from there.
    assert_eq!(schedule.take(&batch([10_000]), at(20)), 0);
    assert_eq!(waiting(&mut schedule), [(10_000, 70)]);
}

#[test]
fn a_source_that_runs_ahead_is_waited_for_until_it_is_too_far() {
    let mut schedule = Schedule::new(START);
    schedule.take(&batch([0]), at(0));
    // Long after the entry began.
    assert_eq!(schedule.take(&batch([4000, 8500]), at(4000)), 0);
    assert_eq!(
        waiting(&mut schedule),
        [(0, 50), (4000, 4050), (8500, 8550)]
    );
    assert_eq!(schedule.take(&batch([9500, 15_000]), at(8500)), 1);
    assert_eq!(waiting(&mut schedule), [(15_000, 8550)]);
}

#[test]
fn another_timeline_begins_where_send_times_jump_or_come_much_too_late() {
    let mut schedule = Schedule::new(START);
    schedule.take(&batch([90_000]), at(0));
    schedule.take(&batch([0, 40]), at(100));
    assert_eq!(waiting(&mut schedule), [(90_000, 50), (0, 150), (40, 190)]);
    // 6 s late.
    schedule.take(&batch([80, 100]), at(6200));
    assert_eq!(waiting(&mut schedule), [(80, 6250), (100, 6270)]);
}

#[test]
fn an_entry_begins_on_its_own_timeline_behind_what_waits() {
    let mut schedule = Schedule::new(START);
    schedule.take(&batch([0, 30]), at(0));
    schedule.end(at(30));
    schedule.take(&batch([5, 25]), at(31));
    let kinds = |item: Item| match item {
        Item::Entry(_) => None,
        Item::Over => Some(0),
        Item::Packet(p) => Some(p.due.since(START).as_millis()),
    };
    let mut all = Vec::new();
    while let Some(item) = schedule.pop() {
        all.extend(kinds(item));
    }
    assert_eq!(all, [50, 80, 0, 81, 101]);
}

#[test]
fn memory_is_bounded() {
    let mut schedule = Schedule::new(START);
    let big = {
        let mut builder = BatchBuilder::default();
        let change = |_: &mut [u8]| Ok::<(), Infallible>(());
        builder.push(0, 0, 0, &vec![0; 1 << 20], change);
        builder.finish().expect("a packet")
    };
    let left_out: u64 = (0..100).map(|_| schedule.take(&big, at(0))).sum();
    assert!(schedule.bytes <= QUEUED_BYTES_MAX, "{}", schedule.bytes);
    assert!(left_out >= 80, "{left_out}");
    let held = schedule.bytes;
    assert_eq!(held, waiting(&mut schedule).len() << 20);
}

#[test]
fn a_turn_whose_first_packet_is_left_out_is_not_forgotten() {
    let mut builder = BatchBuilder::default();
    for n in 0..100 {
        if n == 50 {
            builder.turn();
        }
        let change = |_: &mut [u8]| Ok::<(), Infallible>(());
        builder.push(n, n * 100, 0, &[0; 10], change);
    }
    let mut schedule = Schedule::new(START);
    schedule.take(&builder.finish().expect("packets"), at(0));
    let Some(Item::Packet(first)) = schedule.pop() else {
        panic!("nothing waits");
    };
    assert!(first.turn);
}

/// Runs a source whose clock is off by `ppm` for an hour; the spare time of its packets at the end, ms.
fn drift(ppm: i64) -> i64 {
    let mut schedule = Schedule::new(START);
    let mut spare = 0;
    for n in 0..36_000_i64 {
        let now = at((n * (100_000_000 - 100 * ppm) / 1_000_000) as u64);
        assert_eq!(schedule.take(&batch([(n * 100) as u32]), now), 0);
        while let Some(item) = schedule.pop() {
            if let Item::Packet(waiting) = item {
                spare = (waiting.due.micros() as i64 - now.micros() as i64) / 1000;
            }
        }
        assert!((-100..200).contains(&spare), "{spare} ms after {n} packets");
    }
    spare
}

#[test]
fn a_clock_that_is_wrong_is_followed() {
    let lead = LEAD.as_millis() as i64;
    for ppm in [0, 50, -50, 500, -500] {
        let spare = drift(ppm);
        assert!((5..=lead + 40).contains(&spare), "{ppm} ppm: {spare} ms");
    }
}

#[test]
fn a_source_that_comes_in_bursts_is_smoothed() {
    let mut schedule = Schedule::new(START);
    let mut late = 0;
    for second in 0..60 {
        let now = at(1000 * second);
        let sends = (0..50).map(|n| second as u32 * 1000 + n * 20);
        schedule.take(&batch(sends), now);
        while let Some(item) = schedule.pop() {
            if let Item::Packet(waiting) = item {
                late = now.since(waiting.due).as_millis();
            }
        }
        if second > 40 {
            assert_eq!(late, 0, "after {second} s");
        }
    }
}
