//! X-StartupProfile's values.

use protocols::content::{StartupProfile, StreamKind};
use protocols::rate::profile::{Object, Params, RATES, profile};

use StreamKind::{Audio, Video};

fn object(send_time: u32, kind: StreamKind, size: u32, presentation: u32) -> Object {
    Object {
        kind,
        selected: true,
        key: false,
        size,
        presentation,
        send_time,
    }
}

fn params(byte_rate: u64, accel_ms: u32, video: bool) -> Params {
    Params {
        accel_ms,
        average_bps: byte_rate * 8,
        live: false,
        video,
    }
}

fn e3() -> Vec<Object> {
    vec![
        object(0, Video, 4000, 3100),
        object(0, Audio, 400, 3100),
        object(40, Video, 1000, 3140),
        object(60, Audio, 400, 3150),
        object(80, Video, 1000, 3180),
        object(120, Video, 3000, 3220),
        object(120, Audio, 400, 3200),
        object(160, Video, 500, 3260),
        object(2200, Video, 500, 5300),
    ]
}

fn e3_profile() -> StartupProfile {
    StartupProfile {
        max_bytes: [7800, 7320, 6600, 5400, 4400],
        time: [120, 120, 120, 120, 0],
        start_time: 3100,
        last_time: 160,
        max_diff_time: 100,
        max_diff_snd_time: 20,
        byte_rate: [20_000; 5],
    }
}

// E3, BW-41, BW-42, BW-45
#[test]
fn audio_and_video() {
    assert_eq!(RATES, [10, 12, 15, 20, 30]);
    assert_eq!(
        profile(&params(20_000, 2000, true), e3()),
        Some(e3_profile())
    );
}

// BW-49
#[test]
fn unselected_streams_have_no_influence() {
    let mut objects = Vec::new();
    for o in e3() {
        objects.push(Object {
            selected: false,
            size: 99_999,
            presentation: 1,
            key: true,
            ..o
        });
        objects.push(o);
    }
    assert_eq!(
        profile(&params(20_000, 2000, true), objects),
        Some(e3_profile())
    );
}

// BW-46
#[test]
fn live_starts_at_a_key_of_selected_video() {
    let live = Params {
        live: true,
        ..params(20_000, 2000, true)
    };
    let mut objects = vec![
        object(0, Audio, 7777, 2900),
        object(0, Video, 8888, 2900),
        Object {
            key: true,
            ..object(0, Audio, 7777, 2900)
        },
    ];
    objects.extend(e3());
    assert_eq!(profile(&live, objects.clone()), None, "no key at all");
    objects[3].key = true;
    assert_eq!(profile(&live, objects), Some(e3_profile()));
    // Audio only: any object will do.
    let audio = Params {
        live: true,
        ..params(8000, 2000, false)
    };
    assert!(profile(&audio, [object(5, Audio, 371, 3100)]).is_some());
}

// E4, BW-42, BW-50
#[test]
fn audio_only() {
    let sends = [0, 46, 92, 139, 185];
    let objects = sends.map(|s| object(s, Audio, 371, s + 3100));
    assert_eq!(
        profile(&params(8000, 2000, false), objects),
        Some(StartupProfile {
            max_bytes: [377, 371, 371, 371, 371],
            time: [92, 0, 0, 0, 0],
            start_time: 3100,
            last_time: 185,
            max_diff_time: 0,
            max_diff_snd_time: 0,
            byte_rate: [8000; 5],
        })
    );
}

// WMSP-66: wmsp.md section 10, with a lag whose raw value is negative.
#[test]
fn lag_is_kept_raw() {
    let objects = [
        object(0, Video, 8000, 3000),
        object(100, Audio, 400, 3000),
        object(200, Video, 1500, 3100),
        object(300, Audio, 400, 3090),
        object(400, Video, 1500, 3200),
        object(500, Audio, 400, 3150),
        object(600, Video, 6000, 3300),
        object(700, Video, 1500, 3400),
        object(1200, Video, 1500, 3500),
    ];
    assert_eq!(
        profile(&params(20_000, 1000, true), objects),
        Some(StartupProfile {
            max_bytes: [12_200, 11_000, 9200, 8400, 8400],
            time: [300, 300, 300, 0, 0],
            start_time: 3000,
            last_time: 400,
            max_diff_time: 150,
            max_diff_snd_time: -50,
            byte_rate: [20_000; 5],
        })
    );
}

// WMSP-66: the audio-only sample.
#[test]
fn audio_only_sample() {
    let objects = (0..40).map(|i| object(i * 180, Audio, 459, 3290 + i * 181));
    assert_eq!(
        profile(&params(2538, 3000, false), objects),
        Some(StartupProfile {
            max_bytes: [459; 5],
            time: [0; 5],
            start_time: 3290,
            last_time: 2896,
            max_diff_time: 0,
            max_diff_snd_time: 0,
            byte_rate: [2538; 5],
        })
    );
}

// E1, BW-43: both divisions truncate.
#[test]
fn arithmetic_of_the_first_sample() {
    let objects = [
        object(0, Video, 7000, 0),
        object(0, Video, 3689, 34),
        object(0, Video, 1, 68),
    ];
    let p = profile(&params(31_469, 18_000, true), objects).unwrap();
    assert_eq!(p.max_bytes, [9620, 9407, 9086, 8551, 7482]);
    assert_eq!(p.time, [34; 5]);
    assert_eq!(p.byte_rate, [31_469; 5]);
}

// E2, BW-43: a measured rate below the average counts.
#[test]
fn arithmetic_of_the_second_sample() {
    let objects = [
        object(0, Video, 1828, 0),
        object(1, Video, 428_708, 10_666),
        object(12_072, Video, 12, 10_700),
    ];
    let p = profile(&params(39_318, 18_000, true), objects).unwrap();
    assert_eq!(p.max_bytes, [50_134, 1828, 1828, 1828, 1828]);
    assert_eq!(p.time, [10_666, 0, 0, 0, 0]);
    assert_eq!(p.byte_rate, [35_665, 39_318, 39_318, 39_318, 39_318]);
}

// BW-47
#[test]
fn nothing_to_say() {
    assert_eq!(profile(&params(20_000, 0, true), e3()), None);
    assert_eq!(profile(&params(0, 2000, true), e3()), None);
    assert_eq!(profile(&params(20_000, 2000, true), []), None);
}

// BW-48
#[test]
fn values_stay_in_range() {
    let lone = profile(&params(20_000, 2000, true), [object(0, Video, 4000, 3100)]).unwrap();
    assert_eq!(lone.max_bytes, [1; 5]);
    assert_eq!(lone.byte_rate, [20_000; 5]);
    let huge = (0..4).map(|i| object(i, Video, u32::MAX, i));
    let huge = profile(&params(20_000, 2000, true), huge).unwrap();
    assert_eq!(huge.max_bytes, [(1 << 31) - 1; 5]);
}

#[test]
fn times_wrap() {
    let shifted = e3().into_iter().map(|o| Object {
        send_time: o.send_time.wrapping_sub(70),
        presentation: o.presentation.wrapping_sub(3200),
        ..o
    });
    let p = profile(&params(20_000, 2000, true), shifted).unwrap();
    assert_eq!(
        p,
        StartupProfile {
            start_time: u64::from(3100u32.wrapping_sub(3200)),
            ..e3_profile()
        }
    );
}

#[test]
fn video_without_audio_has_no_lag() {
    let objects = e3().into_iter().filter(|o| o.kind == Video);
    let p = profile(&params(20_000, 2000, true), objects).unwrap();
    assert_eq!((p.max_diff_time, p.max_diff_snd_time), (0, 0));
}
