//! Packets: parsing every form, cutting and restoring padding, byte for byte.

mod asf_build;

use asf_build::{Piece, hex, packet};
use proptest::prelude::*;
use protocols::asf::digest::{ObjectStart, object_starts, starts_key};
use protocols::asf::trim::{Form, pad, trim, trim_as};
use protocols::asf::{Error, Packet, Reason};
use protocols::content::{Selection, StreamInfo, StreamKind};

const P1_BODY: &str = "81 07 00 00 00 00 08 0A 00 00 00 1C 0C 00 00 0A 00 A0 A1 A2 A3 A4 A5 A6 A7 \
    A8 A9 02 09 00 00 00 00 08 06 00 00 00 21 0C 00 00 06 00 B0 B1 B2 B3 B4 B5";
const P2: &str = "82 00 00 08 5D 0B 2E 00 00 00 00 00 81 07 0A 00 00 00 08 14 00 00 00 1C 0C 00 00 \
    C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 00 00 00 00 00 00 00 00 00 00 00";
const P2_CUT: &str = "82 00 00 40 5D 26 00 2E 00 00 00 00 00 81 07 0A 00 00 00 08 14 00 00 00 1C \
    0C 00 00 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9";
const P4: &str =
    "82 00 00 01 5D 00 00 00 00 3C 00 81 82 05 1C 0C 00 00 01 14 09 00 02 01 02 02 01 02 02 01 02";

fn p1() -> Vec<u8> {
    let mut p = hex("82 00 00 09 5D 11 2E 00 00 00 05 00 82");
    p.extend(hex(P1_BODY));
    p.resize(80, 0);
    p
}

fn p3() -> Vec<u8> {
    let mut p = hex("82 00 00 49 5D 44 00 03 2E 00 00 00 05 00 82");
    p.extend(hex(P1_BODY));
    p.extend([0; 3]);
    p
}

fn cut(form: Form, packet: &[u8], size: u32) -> Vec<u8> {
    let mut out = b"before".to_vec();
    trim_as(form, packet, size, &mut out).unwrap();
    assert_eq!(&out[..6], b"before", "appends");
    out.split_off(6)
}

fn padded(packet: &[u8], size: u32) -> Vec<u8> {
    let mut out = Vec::new();
    pad(packet, size, &mut out).unwrap();
    out
}

fn reason(bytes: &[u8], size: u32) -> (u64, Reason) {
    let Error { offset, reason, .. } = Packet::parse(bytes, size).unwrap_err();
    (offset, reason)
}

#[test]
fn reads_every_field_of_e5() {
    let bytes = p1();
    let p = Packet::parse(&bytes, 80).unwrap();
    assert_eq!((p.send_time(), p.duration(), p.padding()), (46, 5, 17));
    assert!(p.is_multiple() && p.explicit_length().is_none());
    assert_eq!(p.error_correction(), [0x82, 0, 0]);
    let all: Vec<_> = p.payloads().collect();
    assert_eq!(all.len(), 2);
    let [a, b] = all[..] else { panic!("two") };
    assert_eq!(
        (a.stream, a.key, a.object_number, a.offset),
        (1, true, 7, 0)
    );
    assert_eq!((a.object_size, a.presentation), (Some(10), Some(3100)));
    assert_eq!(a.data, hex("A0A1A2A3A4A5A6A7A8A9"));
    assert_eq!((b.stream, b.key, b.object_number), (2, false, 9));
    assert_eq!((b.object_size, b.presentation), (Some(6), Some(3105)));
    assert!(a.starts_object() && a.extensions.is_empty() && a.sub_objects().next().is_none());
}

// ASF-42, ASF-46
#[test]
fn cuts_e5_in_both_forms() {
    let mut plain = hex("82 00 00 01 5D 2E 00 00 00 05 00 82");
    plain.extend(hex(P1_BODY));
    assert_eq!(plain.len(), 62);
    assert_eq!(cut(Form::Plain, &p1(), 80), plain);
    let mut explicit = hex("82 00 00 41 5D 40 00 2E 00 00 00 05 00 82");
    explicit.extend(hex(P1_BODY));
    assert_eq!(explicit.len(), 64);
    assert_eq!(cut(Form::ExplicitLength, &p1(), 80), explicit);
    let mut default = Vec::new();
    trim(&p1(), 80, &mut default).unwrap();
    assert_eq!(default, explicit);
    // What came cut and without a length gains one.
    assert_eq!(cut(Form::ExplicitLength, &plain, 80), explicit);
    assert_eq!(cut(Form::Plain, &plain, 80), plain);
    assert_eq!(padded(&plain, 80), p1());
    assert_eq!(padded(&explicit, 80), p1());
}

/// The length of the packet stays, so it is easily taken for one that has nothing to cut.
// RTSP-19, RTSP-20, RTSP-21
#[test]
fn cuts_a_single_byte_of_padding() {
    let mut stored = hex("82 00 00 09 5D 01 2E 00 00 00 05 00 82");
    stored.extend(hex(P1_BODY));
    stored.push(0);
    assert_eq!(stored.len(), 64);
    let mut explicit = hex("82 00 00 41 5D 40 00 2E 00 00 00 05 00 82");
    explicit.extend(hex(P1_BODY));
    assert_eq!(cut(Form::ExplicitLength, &stored, 64), explicit);
    assert_eq!(cut(Form::ExplicitLength, &explicit, 64), explicit);
    assert_eq!(padded(&explicit, 64), stored);
}

// ASF-28, ASF-42, WMSP-17
#[test]
fn cuts_e6_with_an_explicit_length_in_either_form() {
    assert_eq!(hex(P2).len(), 48);
    assert_eq!(cut(Form::ExplicitLength, &hex(P2), 48), hex(P2_CUT));
    assert_eq!(cut(Form::Plain, &hex(P2), 48), hex(P2_CUT));
    assert_eq!(padded(&hex(P2_CUT), 48), hex(P2));
    let cut = hex(P2_CUT);
    let p = Packet::parse(&cut, 48).unwrap();
    let payload = p.payloads().next().unwrap();
    assert_eq!((payload.offset, payload.data.len()), (10, 10));
    assert!(payload.key && !payload.starts_object());
}

// ASF-45
#[test]
fn updates_an_explicit_length() {
    assert_eq!(p3().len(), 68);
    let mut expected = hex("82 00 00 41 5D 40 00 2E 00 00 00 05 00 82");
    expected.extend(hex(P1_BODY));
    assert_eq!(cut(Form::ExplicitLength, &p3(), 68), expected);
    assert_eq!(cut(Form::Plain, &p3(), 68), expected);
}

// ASF-31
#[test]
fn expands_e8() {
    let bytes = hex(P4);
    let p = Packet::parse(&bytes, 31).unwrap();
    let payload = p.payloads().next().unwrap();
    assert!(payload.starts_object() && payload.offset == 0 && payload.object_size.is_none());
    let mut objects = payload.sub_objects();
    let found: Vec<_> = objects
        .by_ref()
        .map(|o| (o.object_number, o.presentation, o.data.to_vec()))
        .collect();
    let data = vec![1, 2];
    assert_eq!(
        found,
        [
            (5, 3100, data.clone()),
            (6, 3120, data.clone()),
            (7, 3140, data)
        ]
    );
    assert!(objects.is_complete());
    let mut starts = Vec::new();
    object_starts(&bytes, 31, &[info(2, StreamKind::Video)], |o| {
        starts.push(o)
    })
    .unwrap();
    assert_eq!(starts.len(), 3);
    assert_eq!(
        starts[2],
        ObjectStart {
            stream: 2,
            kind: StreamKind::Video,
            key: true,
            size: 2,
            presentation: 3140,
            send_time: 0
        }
    );
}

#[test]
fn ends_a_broken_compressed_payload_where_it_breaks() {
    let mut bytes = hex(P4);
    bytes[28] = 9;
    let p = Packet::parse(&bytes, 31).unwrap();
    let mut objects = p.payloads().next().unwrap().sub_objects();
    assert_eq!(objects.by_ref().count(), 2);
    assert!(!objects.is_complete());
}

/// One packet of every combination of the three length types, multiple or single.
fn form(length: u8, sequence: u8, padding: u8, multiple: bool, correction: &[u8]) -> Vec<u8> {
    let sized =
        |code: u8, n: usize| (n as u32).to_le_bytes()[..[0, 1, 2, 4][code as usize]].to_vec();
    let pad_len = if padding == 0 { 0 } else { 5 };
    let mut tail = hex("2E 00 00 00 05 00");
    if multiple {
        tail.push(0x81);
    }
    tail.extend(hex("83 07 00 00 00 00 08 04 00 00 00 1C 0C 00 00"));
    if multiple {
        tail.extend([4, 0]);
    }
    tail.extend([0xD0, 0xD1, 0xD2, 0xD3]);
    tail.resize(tail.len() + pad_len, 0);
    let mut head = correction.to_vec();
    head.push(u8::from(multiple) | sequence << 1 | padding << 3 | length << 5);
    head.push(0x5D);
    let total = head.len()
        + sized(length, 0).len()
        + sized(sequence, 0).len()
        + sized(padding, 0).len()
        + tail.len();
    head.extend(sized(length, total));
    head.extend(sized(sequence, 0x2A));
    head.extend(sized(padding, pad_len));
    head.extend(tail);
    head
}

// ASF-25, ASF-26, ASF-28, ASF-66
#[test]
fn reads_and_cuts_all_combinations_of_length_types() {
    for n in 0..64u8 {
        for multiple in [false, true] {
            for ec in 0..=16usize {
                // 16 stands for no error correction at all.
                let correction: Vec<u8> = match ec {
                    16 => Vec::new(),
                    n => std::iter::once(0x80 | n as u8)
                        .chain((0..n).map(|i| i as u8))
                        .collect(),
                };
                let (length, sequence, padding) = (n & 3, n >> 2 & 3, n >> 4);
                let bytes = form(length, sequence, padding, multiple, &correction);
                let size = bytes.len() as u32;
                let p = Packet::parse(&bytes, size).unwrap();
                assert_eq!(p.error_correction(), correction);
                assert_eq!(p.explicit_length(), (length != 0).then_some(size));
                assert_eq!(p.sequence(), if sequence == 0 { 0 } else { 0x2A });
                assert_eq!(p.padding(), if padding == 0 { 0 } else { 5 });
                assert_eq!((p.send_time(), p.duration()), (46, 5));
                let payloads: Vec<_> = p.payloads().collect();
                assert_eq!(payloads.len(), 1);
                assert_eq!(payloads[0].data, [0xD0, 0xD1, 0xD2, 0xD3]);

                let cut = cut(Form::ExplicitLength, &bytes, size);
                let q = Packet::parse(&cut, size).unwrap();
                assert_eq!(
                    q.error_correction(),
                    correction,
                    "parity is the MSB sender's"
                );
                assert!(q.payloads().eq_by_data(&p));
                if padding == 0 {
                    assert_eq!(cut, bytes, "nothing to cut");
                } else {
                    assert_eq!(q.padding(), 0);
                    assert_eq!(q.explicit_length(), Some(cut.len() as u32));
                    assert_eq!(cut[correction.len()] >> 3 & 3, 0, "padding type is none");
                    assert!(cut.len() < bytes.len());
                }
                let restored = padded(&cut, size);
                assert_eq!(restored.len(), bytes.len());
                assert!(
                    Packet::parse(&restored, size)
                        .unwrap()
                        .payloads()
                        .eq_by_data(&p)
                );
            }
        }
    }
}

trait EqByData {
    fn eq_by_data(self, other: &Packet<'_>) -> bool;
}

impl<'a, I: Iterator<Item = protocols::asf::Payload<'a>>> EqByData for I {
    fn eq_by_data(self, other: &Packet<'_>) -> bool {
        let key = |p: protocols::asf::Payload<'_>| {
            (
                p.stream,
                p.key,
                p.object_number,
                p.offset,
                p.object_size,
                p.presentation,
                p.data.to_vec(),
            )
        };
        self.map(key).eq(other.payloads().map(key))
    }
}

// ASF-27
#[test]
fn reads_all_property_codes_and_refuses_other_stream_number_types() {
    let sized = |code: u8, n: u32| n.to_le_bytes()[..[0, 1, 2, 4][code as usize]].to_vec();
    for code in 0..64u8 {
        let (replicated, offset, object) = (code & 3, code >> 2 & 3, code >> 4);
        let mut bytes = vec![0x00, 0x40 | code];
        bytes.extend([1, 0, 0, 0, 2, 0, 0x05]);
        bytes.extend(sized(object, 0xC1));
        bytes.extend(sized(offset, 0x21));
        bytes.extend(sized(replicated, 10));
        if replicated != 0 {
            bytes.extend(hex("64 00 00 00 2C 01 00 00 E1 E2"));
        }
        bytes.extend([7; 9]);
        let p = Packet::parse(&bytes, 100).unwrap();
        let payload = p.payloads().next().unwrap();
        assert_eq!(payload.object_number, if object == 0 { 0 } else { 0xC1 });
        assert_eq!(payload.offset, if offset == 0 { 0 } else { 0x21 });
        assert_eq!(payload.starts_object(), offset == 0);
        assert_eq!(payload.data, [7; 9]);
        if replicated == 0 {
            assert_eq!((payload.object_size, payload.presentation), (None, None));
        } else {
            assert_eq!(
                (payload.object_size, payload.presentation),
                (Some(100), Some(300))
            );
            assert_eq!(payload.extensions, [0xE1, 0xE2]);
        }
        for wrong in [0x00, 0x80, 0xC0] {
            bytes[1] = wrong | code;
            let (at, why) = reason(&bytes, 100);
            assert_eq!(at, 1);
            assert!(matches!(
                why,
                Reason::Value {
                    field: "stream number type",
                    ..
                }
            ));
        }
    }
}

// ASF-30
#[test]
fn refuses_replicated_lengths_two_to_seven() {
    for len in 0..=12u8 {
        let mut bytes = hex("82 00 00 01 5D 00 00 00 00 00 00 81 01 00 00 00 00 00");
        bytes.push(len);
        bytes.extend(vec![3; usize::from(len)]);
        bytes.extend([2, 0, 1, 9]);
        let parsed = Packet::parse(&bytes, 100);
        assert_eq!(parsed.is_err(), (2..=7).contains(&len), "length {len}");
        if let Ok(p) = parsed {
            assert_eq!(p.payloads().next().unwrap().data, [1, 9]);
        }
    }
}

// ASF-29
#[test]
fn takes_one_to_sixty_three_payloads() {
    for count in 1..=63u8 {
        let pieces: Vec<_> = (0..count).map(|n| Piece::whole(1, true, n, 5, 3)).collect();
        let bytes = packet(2000, 1, 2, &pieces);
        let p = Packet::parse(&bytes, 2000).unwrap();
        assert_eq!(p.payloads().count(), usize::from(count));
    }
    let mut none = packet(100, 1, 2, &[Piece::whole(1, true, 1, 5, 3)]);
    let at = none.iter().position(|&b| b == 0x81).unwrap();
    none[at] = 0x80;
    assert_eq!(
        reason(&none, 100),
        (
            at as u64,
            Reason::Value {
                field: "payload count",
                value: 0
            }
        )
    );
    // Without payload lengths, one payload reaches to the end, and two have no border.
    let one = hex("01 5D 00 00 00 00 00 00 01 81 00 00 00 00 00 00 0A 0B");
    let p = Packet::parse(&one, 100).unwrap();
    assert_eq!(p.payloads().next().unwrap().data, [0x0A, 0x0B]);
    let two = hex("01 5D 00 00 00 00 00 00 02 81 00 00 00 00 00 00 0A 0B");
    assert!(matches!(
        reason(&two, 100).1,
        Reason::Value {
            field: "payload length type",
            ..
        }
    ));
}

// ASF-32
#[test]
fn refuses_what_reaches_past_the_packet() {
    let good = p1();
    for len in 0..good.len() {
        let mut cut_off = good[..len].to_vec();
        // From 62 bytes on only padding would be missing, but the field says it is there.
        assert!(Packet::parse(&cut_off, 80).is_err(), "{len} bytes");
        cut_off.resize(80, 0xFF);
        let _ = Packet::parse(&cut_off, 80);
    }
    let mut long = p1();
    long[28] = 0xFF;
    assert!(matches!(
        reason(&long, 80).1,
        Reason::PastEnd {
            what: "payload",
            ..
        }
    ));
    let mut padding = p1();
    padding[5] = 81;
    assert!(matches!(
        reason(&padding, 80).1,
        Reason::PastEnd {
            what: "padding",
            ..
        }
    ));
    let mut overlap = p1();
    overlap[5] = 18;
    assert!(matches!(
        reason(&overlap, 80).1,
        Reason::PastEnd {
            what: "payload",
            ..
        }
    ));
    assert_eq!(
        reason(&p1(), 79),
        (0, Reason::PacketTooLarge { len: 80, max: 79 })
    );
    let mut length = p3();
    length[5] = 69;
    assert_eq!(
        reason(&length, 80),
        (
            5,
            Reason::Value {
                field: "packet length",
                value: 69
            }
        )
    );
}

// ASF-25
#[test]
fn refuses_parity_and_reserved_error_correction() {
    let mut opaque = p1();
    opaque[0] = 0x92;
    assert_eq!(reason(&opaque, 80), (0, Reason::OpaqueData));
    let mut reserved = p1();
    reserved[0] = 0xA2;
    assert!(matches!(reason(&reserved, 80).1, Reason::Value { .. }));
    assert_eq!(
        Packet::parse(&reserved, 80).unwrap_err().to_string(),
        "asf: error correction length type has the illegal value 1 at byte 0"
    );
}

#[test]
fn counts_what_lies_behind_an_explicit_length_as_padding() {
    let mut bytes = p3();
    bytes.resize(75, 0);
    let p = Packet::parse(&bytes, 75).unwrap();
    assert_eq!(p.padding(), 10);
    assert_eq!(
        cut(Form::ExplicitLength, &bytes, 75),
        cut(Form::ExplicitLength, &p3(), 68)
    );
}

// ASF-63
#[test]
fn pads_by_the_smallest_field_that_says_the_gap() {
    let bare = packet(40, 1, 2, &[Piece::whole(1, true, 1, 5, 11)]);
    assert_eq!(bare[3], 0x01);
    for (gap, flags, field) in [
        (0, 0x01, &[][..]),
        (1, 0x09, &[0][..]),
        (2, 0x09, &[1]),
        (256, 0x09, &[255]),
        (257, 0x11, &[255, 0]),
        (258, 0x11, &[0, 1]),
        (65_000, 0x11, &[0xE6, 0xFD]),
    ] {
        let size = 40 + gap as u32;
        let out = padded(&bare, size);
        assert_eq!(out.len(), size as usize, "gap {gap}");
        assert_eq!(out[3], flags);
        assert_eq!(&out[5..5 + field.len()], field);
        let p = Packet::parse(&out, size).unwrap();
        assert_eq!(p.payloads().next().unwrap().data.len(), 11);
        assert_eq!(padded(&cut(Form::ExplicitLength, &out, size), size), out);
        assert_eq!(padded(&cut(Form::Plain, &out, size), size), out);
    }
}

// WMSP-17
#[test]
fn never_makes_a_packet_longer_than_its_size() {
    // A BYTE padding field of 0: a WORD length would be longer.
    let full = packet(41, 1, 2, &[Piece::whole(1, true, 1, 5, 11)]);
    assert_eq!(cut(Form::ExplicitLength, &full, 41), full);
    // One byte short of full and without a length: there is no room for the field, only to pad.
    let mut short =
        hex("82 00 00 00 5D 2E 00 00 00 00 00 81 07 0A 00 00 00 08 14 00 00 00 1C 0C 00 00");
    short.extend([0xC0; 10]);
    let out = cut(Form::ExplicitLength, &short, 37);
    assert_eq!(out.len(), 37);
    assert_eq!(out[3], 0x08);
    assert_eq!(
        Packet::parse(&out, 37)
            .unwrap()
            .payloads()
            .next()
            .unwrap()
            .data,
        [0xC0; 10]
    );
    let out = cut(Form::Plain, &short, 38);
    assert_eq!((out.len(), out[3]), (38, 0x40));
}

fn info(number: u8, kind: StreamKind) -> StreamInfo {
    StreamInfo {
        number,
        kind,
        average_bit_rate: 0,
        peak_bit_rate: 0,
        all_key: kind != StreamKind::Video,
    }
}

// ASF-33, ASF-38, ASF-51, BW-44
#[test]
fn tells_where_objects_and_keys_start() {
    let streams = [info(1, StreamKind::Video), info(2, StreamKind::Audio)];
    let mut starts = Vec::new();
    object_starts(&p1(), 80, &streams, |o| {
        starts.push((o.stream, o.key, o.size, o.presentation))
    })
    .unwrap();
    assert_eq!(starts, [(1, true, 10, 3100), (2, true, 6, 3105)]);
    starts.clear();
    object_starts(&hex(P2), 48, &streams, |o| {
        starts.push((o.stream, o.key, o.size, o.presentation))
    })
    .unwrap();
    assert!(starts.is_empty(), "a later piece starts nothing");
    // Undeclared streams are passed over.
    object_starts(&p1(), 80, &streams[1..], |o| assert_eq!(o.stream, 2)).unwrap();

    let both = Selection::of([1, 2]);
    assert!(starts_key(&p1(), 80, both, &streams));
    assert!(!starts_key(&hex(P2), 48, both, &streams));
    let late_audio = packet(80, 1, 2, &[Piece::whole(2, false, 1, 5, 3)]);
    assert!(
        !starts_key(&late_audio, 80, both, &streams),
        "video is selected"
    );
    assert!(starts_key(&late_audio, 80, Selection::of([2]), &streams));
    let delta = packet(80, 1, 2, &[Piece::whole(1, false, 1, 5, 3)]);
    assert!(!starts_key(&delta, 80, both, &streams));
    assert!(!starts_key(&[1, 2, 3], 80, both, &streams));
    assert!(!starts_key(&p1(), 80, Selection::NONE, &streams));
}

proptest! {
    // ASF-46
    #[test]
    fn cutting_and_padding_restores_what_usual_writers_make(
        lens in proptest::collection::vec(0usize..60, 1..12),
        spare in 0usize..900,
        send in any::<u32>(),
    ) {
        let pieces: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(n, &len)| Piece::whole(1 + n as u8 % 3, n % 4 == 0, n as u8, n as u32, len))
            .collect();
        let used: usize = pieces.iter().map(|p| p.bytes().len()).sum();
        let size = 12 + used + spare;
        let full = packet(size, send, 7, &pieces);
        for form in [Form::ExplicitLength, Form::Plain] {
            let cut = cut(form, &full, size as u32);
            prop_assert!(cut.len() <= full.len());
            prop_assert_eq!(padded(&cut, size as u32), full.clone());
        }
    }
}
