//! Stream selection, thinning and switching, packet by packet.

mod asf_build;

use asf_build::{Piece, hex, packet};
use protocols::asf::trim::Form;
use protocols::asf::{Filter, Kept, Packet};
use protocols::content::{Level, Selection, StreamInfo, StreamKind, StreamSwitch};

const AUDIO: u8 = 9;

fn streams() -> Vec<StreamInfo> {
    let info = |number, kind| StreamInfo {
        number,
        kind,
        average_bit_rate: 0,
        peak_bit_rate: 0,
        all_key: kind != StreamKind::Video,
    };
    vec![
        info(1, StreamKind::Video),
        info(2, StreamKind::Video),
        info(3, StreamKind::Video),
        info(AUDIO, StreamKind::Audio),
    ]
}

fn key(stream: u8, object: u8) -> Piece {
    Piece::whole(stream, true, object, 100, 10)
}

fn delta(stream: u8, object: u8) -> Piece {
    Piece::whole(stream, false, object, 100, 10)
}

/// The second half of a 20-byte key object.
fn rest(stream: u8, object: u8) -> Piece {
    Piece {
        offset: 10,
        size: 20,
        ..key(stream, object)
    }
}

fn switch(from: Option<u8>, to: Option<u8>, level: Level) -> StreamSwitch {
    StreamSwitch { from, to, level }
}

/// Stream and object number of each payload that comes through.
fn through(filter: &mut Filter, pieces: &[Piece]) -> Vec<(u8, u32)> {
    let mut out = Vec::new();
    let bytes = packet(600, 5, 6, pieces);
    match filter.apply(&bytes, 600, false, &mut out).unwrap() {
        Some(_) => {
            let p = Packet::parse(&out, 600).unwrap();
            p.payloads().map(|p| (p.stream, p.object_number)).collect()
        }
        None => {
            assert!(out.is_empty());
            Vec::new()
        }
    }
}

fn filtered(filter: Filter, bytes: &[u8], size: u32, keep: bool) -> Option<(Kept, Vec<u8>)> {
    let mut out = vec![9];
    let kept = filter.clone().apply(bytes, size, keep, &mut out).unwrap();
    kept.map(|k| (k, out.split_off(1)))
}

fn e5() -> Vec<u8> {
    let mut p = hex(
        "82 00 00 09 5D 11 2E 00 00 00 05 00 82 81 07 00 00 00 00 08 0A 00 00 00 1C \
        0C 00 00 0A 00 A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 02 09 00 00 00 00 08 06 00 00 00 21 0C 00 00 \
        06 00 B0 B1 B2 B3 B4 B5",
    );
    p.resize(80, 0);
    p
}

/// Stream 1 is video and stream 2 audio.
fn e5_streams() -> Vec<StreamInfo> {
    let mut s = streams();
    s[1].kind = StreamKind::Audio;
    s[1].all_key = true;
    s
}

// ASF-34, ASF-35, ASF-42, ASF-46
#[test]
fn reproduces_e5() {
    let s = e5_streams();
    let steady = |set: &[u8]| Filter::steady(Selection::of(set.iter().copied()), &s);
    let plain = |set: &[u8]| steady(set).with_form(Form::Plain);
    let first =
        hex("81 07 00 00 00 00 08 0A 00 00 00 1C 0C 00 00 0A 00 A0 A1 A2 A3 A4 A5 A6 A7 A8 A9");
    let second = hex("02 09 00 00 00 00 08 06 00 00 00 21 0C 00 00 06 00 B0 B1 B2 B3 B4 B5");
    let head = |count: &str| hex(&format!("82 00 00 01 5D 2E 00 00 00 05 00 {count}"));
    let long = |len: &str, count: &str| {
        hex(&format!(
            "82 00 00 41 5D {len} 00 2E 00 00 00 05 00 {count}"
        ))
    };
    for (set, plain_form, explicit) in [
        (
            &[1, 2][..],
            [head("82"), first.clone(), second.clone()].concat(),
            [long("40", "82"), first.clone(), second.clone()].concat(),
        ),
        (
            &[1],
            [head("81"), first.clone()].concat(),
            [long("29", "81"), first.clone()].concat(),
        ),
        (
            &[2],
            [head("81"), second.clone()].concat(),
            [long("25", "81"), second.clone()].concat(),
        ),
    ] {
        let (kept, bytes) = filtered(plain(set), &e5(), 80, false).unwrap();
        assert_eq!(bytes, plain_form);
        assert_eq!((kept.send_time, kept.duration), (46, 5));
        let (_, bytes) = filtered(steady(set), &e5(), 80, false).unwrap();
        assert_eq!(bytes, explicit);
    }
    assert!(filtered(steady(&[3]), &e5(), 80, false).is_none());
    assert!(filtered(steady(&[3]), &e5(), 80, true).is_none());
    // Key frames of 1 only, 2 off.
    let mut thin = Selection::NONE;
    thin.set(1, Level::KeyOnly);
    let (_, bytes) = filtered(
        Filter::steady(thin, &s).with_form(Form::Plain),
        &e5(),
        80,
        false,
    )
    .unwrap();
    assert_eq!(bytes, [head("81"), first].concat());
}

// ASF-45, ASF-46
#[test]
fn reproduces_e7() {
    let mut p3 = hex("82 00 00 49 5D 44 00 03");
    p3.extend(&e5()[6..62 + 1]);
    p3.resize(68, 0);
    let expected = hex(
        "82 00 00 41 5D 25 00 2E 00 00 00 05 00 81 02 09 00 00 00 00 08 06 00 00 00 \
        21 0C 00 00 06 00 B0 B1 B2 B3 B4 B5",
    );
    for form in [Form::Plain, Form::ExplicitLength] {
        let filter = Filter::steady(Selection::of([2]), &e5_streams()).with_form(form);
        let (_, bytes) = filtered(filter, &p3, 68, false).unwrap();
        assert_eq!(bytes, expected);
    }
}

// ASF-46
#[test]
fn reproduces_the_lengths_of_e9() {
    let video = [
        Piece::whole(1, true, 1, 5, 1168),
        Piece::whole(1, false, 2, 5, 1168),
    ];
    let audio = [
        Piece::whole(AUDIO, false, 1, 5, 241),
        Piece::whole(AUDIO, false, 2, 5, 242),
        Piece::whole(AUDIO, false, 3, 5, 242),
    ];
    let bytes = packet(3200, 126, 80, &[&audio[..1], &video, &audio[1..]].concat());
    assert_eq!(&bytes[..6], hex("82 00 00 09 5D 29"));
    let len = |set: &[u8], form| {
        let filter = Filter::steady(Selection::of(set.iter().copied()), &streams()).with_form(form);
        filtered(filter, &bytes, 3200, false).unwrap().1.len()
    };
    assert_eq!(len(&[1, AUDIO], Form::Plain), 3158);
    assert_eq!(len(&[1], Form::Plain), 2382);
    assert_eq!(len(&[AUDIO], Form::Plain), 788);
    assert_eq!(len(&[AUDIO], Form::ExplicitLength), 790);
}

// ASF-37, ASF-38
#[test]
fn video_waits_for_the_start_of_a_key_object_and_audio_does_not() {
    let mut f = Filter::start(Selection::of([1, AUDIO]), &streams());
    assert_eq!(f.settled(), None);
    assert_eq!(
        through(&mut f, &[delta(1, 1), delta(AUDIO, 1), key(2, 1)]),
        [(AUDIO, 1)]
    );
    // Inside a key object is too late.
    assert_eq!(
        through(&mut f, &[rest(1, 2), delta(AUDIO, 2)]),
        [(AUDIO, 2)]
    );
    assert_eq!(f.settled(), None);
    assert_eq!(
        through(&mut f, &[delta(1, 3), key(1, 4), delta(1, 5)]),
        [(1, 4), (1, 5)],
        "what precedes the key payload in its packet is left out (ASF-56)"
    );
    assert_eq!(f.settled(), Some(Selection::of([1, AUDIO])));
    assert_eq!(through(&mut f, &[delta(1, 6)]), [(1, 6)]);
}

#[test]
fn nothing_waits_in_the_middle() {
    let mut f = Filter::steady(Selection::ALL, &streams());
    assert_eq!(
        f.settled(),
        Some(Selection::of([1, 2, 3, AUDIO])),
        "what the header has"
    );
    assert_eq!(
        through(&mut f, &[delta(1, 1), rest(2, 1)]),
        [(1, 1), (2, 1)]
    );
    assert_eq!(through(&mut f, &[key(77, 1)]), [], "not declared");
}

// ASF-39
#[test]
fn a_replaced_stream_goes_on_until_the_new_one_begins() {
    let mut f = Filter::steady(Selection::of([1, AUDIO]), &streams());
    f.switch(&[switch(Some(1), Some(2), Level::Whole)]);
    assert_eq!((f.settled(), f.target()), (None, Selection::of([2, AUDIO])));
    assert_eq!(through(&mut f, &[key(1, 1), delta(2, 1)]), [(1, 1)]);
    assert_eq!(through(&mut f, &[delta(1, 2), rest(2, 2)]), [(1, 2)]);
    // In the packet of the change, the old stream's earlier payloads still go.
    assert_eq!(
        through(&mut f, &[delta(1, 3), key(2, 3), delta(1, 4), delta(2, 4)]),
        [(1, 3), (2, 3), (2, 4)]
    );
    assert_eq!(f.settled(), Some(Selection::of([2, AUDIO])));
    assert_eq!(through(&mut f, &[key(1, 5)]), []);
}

// ASF-39
#[test]
fn a_change_of_mind_before_the_new_stream_begins() {
    let running = Filter::steady(Selection::of([1]), &streams());
    let replace = |from, to| switch(Some(from), Some(to), Level::Whole);

    // 1 -> 2 -> 3: stream 1 goes on until 3 begins, 2 never comes.
    let mut f = running.clone();
    f.switch(&[replace(1, 2), replace(2, 3)]);
    assert_eq!(
        through(&mut f, &[delta(1, 1), key(2, 1), delta(1, 2)]),
        [(1, 1), (1, 2)]
    );
    assert_eq!(through(&mut f, &[key(3, 1), delta(1, 3)]), [(3, 1)]);
    assert_eq!(f.settled(), Some(Selection::of([3])));

    // 1 -> 2 -> 1: nothing changes.
    let mut f = running.clone();
    f.switch(&[replace(1, 2)]);
    f.switch(&[replace(2, 1)]);
    assert_eq!(f.settled(), Some(Selection::of([1])));
    assert_eq!(
        through(&mut f, &[delta(1, 1), key(2, 1), delta(1, 2)]),
        [(1, 1), (1, 2)]
    );

    // 1 -> 2, then 2 off: both are off.
    let mut f = running.clone();
    f.switch(&[replace(1, 2), switch(None, Some(2), Level::Off)]);
    assert_eq!(f.settled(), Some(Selection::NONE));
    assert_eq!(through(&mut f, &[key(1, 1), key(2, 1)]), []);

    // 1 -> 2, then 1 on after all: both are on.
    let mut f = running.clone();
    f.switch(&[replace(1, 2), switch(None, Some(1), Level::Whole)]);
    assert_eq!(
        through(&mut f, &[delta(1, 1), key(2, 1), delta(1, 2)]),
        [(1, 1), (2, 1), (1, 2)]
    );
    assert_eq!(f.settled(), Some(Selection::of([1, 2])));

    // Replaced by a stream that is running already: over at once.
    let mut f = Filter::steady(Selection::of([1, 2]), &streams());
    f.switch(&[replace(1, 2)]);
    assert_eq!(f.settled(), Some(Selection::of([2])));
    assert_eq!(through(&mut f, &[key(1, 1), delta(2, 1)]), [(2, 1)]);

    // Two streams replaced by one.
    let mut f = Filter::steady(Selection::of([1, 2]), &streams());
    f.switch(&[replace(1, 3), replace(2, 3)]);
    assert_eq!(
        through(&mut f, &[delta(1, 1), delta(2, 1)]),
        [(1, 1), (2, 1)]
    );
    assert_eq!(
        through(&mut f, &[key(3, 1), delta(1, 2), delta(2, 2)]),
        [(3, 1)]
    );
    assert_eq!(f.settled(), Some(Selection::of([3])));
}

// ASF-40
#[test]
fn thinning_levels() {
    let mut f = Filter::steady(Selection::of([1, AUDIO]), &streams());
    f.switch(&[
        switch(None, Some(1), Level::KeyOnly),
        switch(Some(AUDIO), Some(AUDIO), Level::KeyOnly),
    ]);
    let mut thin = Selection::NONE;
    thin.set(1, Level::KeyOnly);
    thin.set(AUDIO, Level::KeyOnly);
    assert_eq!(f.settled(), Some(thin));
    // Every piece of a key object passes, and audio does without the bit (ASF-33).
    assert_eq!(
        through(
            &mut f,
            &[delta(1, 1), rest(1, 2), key(1, 3), delta(AUDIO, 1)]
        ),
        [(1, 2), (1, 3), (AUDIO, 1)]
    );
    // Back to whole: frames behind a gap cannot be decoded before the next key frame.
    f.switch(&[
        switch(None, Some(1), Level::Whole),
        switch(None, Some(AUDIO), Level::Whole),
    ]);
    assert_eq!(f.settled(), None);
    assert_eq!(through(&mut f, &[delta(1, 4), rest(1, 5)]), [(1, 5)]);
    assert_eq!(through(&mut f, &[key(1, 6), delta(1, 7)]), [(1, 6), (1, 7)]);
    assert_eq!(f.settled(), Some(Selection::of([1, AUDIO])));
    // Level 2 is off; so is "replace by nothing".
    f.switch(&[
        switch(None, Some(1), Level::Off),
        switch(Some(AUDIO), None, Level::Whole),
    ]);
    assert_eq!(f.settled(), Some(Selection::NONE));
    assert_eq!(through(&mut f, &[key(1, 8), key(AUDIO, 8)]), []);
}

// ASF-37, ASF-40
#[test]
fn a_stream_that_is_turned_on_begins_at_a_key_object() {
    let mut f = Filter::steady(Selection::of([AUDIO]), &streams());
    f.switch(&[
        switch(None, Some(2), Level::KeyOnly),
        switch(None, Some(100), Level::Whole),
    ]);
    assert_eq!(through(&mut f, &[delta(2, 1), rest(2, 2)]), []);
    assert_eq!(through(&mut f, &[key(2, 3), delta(2, 4)]), [(2, 3)]);
    let mut target = Selection::of([AUDIO]);
    target.set(2, Level::KeyOnly);
    assert_eq!(
        f.settled(),
        Some(target),
        "a stream that the header lacks changes nothing"
    );
    // A change while it still waits counts from its beginning.
    let mut f = Filter::steady(Selection::NONE, &streams());
    f.switch(&[
        switch(None, Some(2), Level::KeyOnly),
        switch(None, Some(2), Level::Whole),
    ]);
    assert_eq!(through(&mut f, &[key(2, 3), delta(2, 4)]), [(2, 3), (2, 4)]);
}

// ASF-43, ASF-44
#[test]
fn keeps_full_size_where_padding_must_stay() {
    let s = e5_streams();
    let (_, whole) = filtered(Filter::steady(Selection::ALL, &s), &e5(), 80, true).unwrap();
    assert_eq!(whole, e5(), "untouched");
    let (_, first) = filtered(Filter::steady(Selection::of([1]), &s), &e5(), 80, true).unwrap();
    assert_eq!(first.len(), 80);
    let p = Packet::parse(&first, 80).unwrap();
    assert_eq!((p.payload_count(), p.padding()), (1, 40));
    assert_eq!(&first[..6], hex("82 00 00 09 5D 28"));
    // A packet that was cut on its way in is filled up again.
    let (_, cut) = filtered(Filter::steady(Selection::ALL, &s), &e5(), 80, false).unwrap();
    let (_, again) = filtered(Filter::steady(Selection::ALL, &s), &cut, 80, true).unwrap();
    assert_eq!(again, e5());
}

// ASF-51
#[test]
fn says_whether_a_key_starts_or_is_inside() {
    let kept = |set: &[u8], pieces: &[Piece]| {
        let f = Filter::steady(Selection::of(set.iter().copied()), &streams());
        let (kept, _) = filtered(f, &packet(600, 5, 6, pieces), 600, false).unwrap();
        (kept.key, kept.key_payload)
    };
    assert_eq!(kept(&[1, AUDIO], &[key(1, 1)]), (true, true));
    assert_eq!(kept(&[1, AUDIO], &[rest(1, 1)]), (false, true));
    assert_eq!(kept(&[1, AUDIO], &[delta(1, 1)]), (false, false));
    assert_eq!(kept(&[1, AUDIO], &[delta(AUDIO, 1)]), (false, true));
    assert_eq!(kept(&[AUDIO], &[delta(AUDIO, 1), key(1, 1)]), (true, true));
    assert_eq!(kept(&[AUDIO], &[rest(AUDIO, 1)]), (false, true));
}

// ASF-32
#[test]
fn a_bad_packet_changes_nothing() {
    let mut f = Filter::start(Selection::of([1]), &streams());
    let mut out = vec![1, 2];
    let mut bad = packet(600, 5, 6, &[key(1, 1)]);
    bad[4] = 0;
    assert!(f.apply(&bad, 600, false, &mut out).is_err());
    assert_eq!(out, [1, 2]);
    assert_eq!(f.settled(), None);
    assert_eq!(through(&mut f, &[key(1, 2)]), [(1, 2)]);
}

// ASF-33
#[test]
fn video_without_clean_points_starts_anywhere() {
    let mut s = streams();
    s[0].all_key = true;
    let mut f = Filter::start(Selection::of([1]), &s);
    assert_eq!(f.settled(), Some(Selection::of([1])));
    assert_eq!(through(&mut f, &[delta(1, 1)]), [(1, 1)]);
}
