//! Headers: reading, refusing, choosing streams, rewriting.

mod asf_build;

use asf_build::*;
use protocols::asf::header::{HEADER_LEN_MAX, header_len_within};
use protocols::asf::objects::{ExclusionKind, Format};
use protocols::asf::rewrite::{blob_in, redirect_of};
use protocols::asf::select::Wish;
use protocols::asf::{FIXED_HEAD, Header, Reason, broadcast_blob, header_len, redirect_blob};
use protocols::content::{Selection, StreamKind};

const E1: &str =
    "30 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C 55 04 00 00 00 00 00 00 07 00 00 00 01 02";

fn with(children: &[Vec<u8>]) -> Vec<u8> {
    let mut all = vec![file_properties(90, 3100, 2, [3200; 2]), extension(&[])];
    all.extend_from_slice(children);
    blob(&all, 50 + 90 * 3200, 90)
}

fn parse(children: &[Vec<u8>]) -> Header {
    Header::parse(&with(children)).unwrap()
}

fn refusal(blob: &[u8]) -> Reason {
    Header::parse(blob).unwrap_err().reason
}

/// Three video streams and an audio stream with the rates of E3.
fn four_streams(more: &[Vec<u8>]) -> Header {
    let mut children = vec![
        video(1, 160),
        video(2, 320),
        video(3, 640),
        audio(4, 8000),
        hex(E3),
    ];
    children.extend_from_slice(more);
    parse(&children)
}

// ASF-19
#[test]
fn knows_the_length_of_e1_from_its_first_bytes() {
    assert_eq!(hex(E1).len(), FIXED_HEAD);
    assert_eq!(header_len(&hex(E1)).unwrap(), 1109 + 50);
    assert!(matches!(
        header_len(&hex(E1)[..29]).unwrap_err().reason,
        Reason::Truncated { .. }
    ));
    assert_eq!(
        header_len_within(&hex(E1), 1158).unwrap_err().reason,
        Reason::HeaderTooLarge {
            size: 1159,
            max: 1158
        }
    );
    assert!(header_len_within(&hex(E1), 1159).is_ok());
    let mut huge = hex(E1);
    huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        header_len(&huge).unwrap_err().reason,
        Reason::HeaderTooLarge {
            size: u64::MAX,
            max: HEADER_LEN_MAX
        }
    );
}

// ASF-03
#[test]
fn refuses_other_files() {
    let mut other = hex(E1);
    other[29] = 3;
    assert_eq!(
        header_len(&other).unwrap_err().reason,
        Reason::Value {
            field: "header byte 29",
            value: 3
        }
    );
    other[29] = 2;
    other[28] = 77;
    assert!(header_len(&other).is_ok(), "byte 28 is not checked");
    other[0] = 0;
    assert!(matches!(
        header_len(&other).unwrap_err().reason,
        Reason::WrongObject { .. }
    ));
}

// ASF-05
#[test]
fn reads_the_file_properties_of_e2() {
    let blob = simple_blob(90, 3200, 3100);
    let h = Header::parse(&blob).unwrap();
    assert_eq!(
        (h.packet_size(), h.preroll_ms(), h.max_bit_rate()),
        (3200, 3100, 364_000)
    );
    assert_eq!(h.play_duration_ms(), Some(8046));
    assert_eq!((h.packet_count(), h.data_size()), (Some(90), Some(288_000)));
    assert!(h.is_seekable() && !h.is_broadcast());
    assert_eq!(h.file_id(), [0x11; 16]);
    assert_eq!(h.blob_len(), blob.len() as u64);
    assert_eq!(header_len(&blob).unwrap(), blob.len() as u64);
}

// ASF-06, ASF-07
#[test]
fn a_broadcast_states_nothing_even_if_it_says_seekable() {
    let children = [file_properties(90, 3100, 3, [3200; 2]), audio(2, 8000)];
    let h = Header::parse(&blob(&children, 50, 90)).unwrap();
    assert!(h.is_broadcast() && !h.is_seekable());
    assert_eq!(
        (h.play_duration_ms(), h.packet_count(), h.data_size()),
        (None, None, None)
    );
    assert_eq!(h.packets_in(h.blob_len() + 3200 * 7 + 3199), 7);
}

#[test]
fn counts_only_packets_that_are_there() {
    let h = Header::parse(&simple_blob(90, 3200, 3100)).unwrap();
    let end = h.packet_offset(90);
    assert_eq!(end, h.blob_len() + 288_000);
    assert_eq!(h.packets_in(end), 90);
    assert_eq!(h.packets_in(end + 1_000_000), 90, "indexes follow");
    assert_eq!(h.packets_in(end - 1), 89, "still being written");
    assert_eq!(h.packets_in(3), 0);
    // Data size 0 and count 0: a file that its writer has not finished.
    let children = [file_properties(0, 3100, 2, [3200; 2]), audio(2, 8000)];
    let h = Header::parse(&blob(&children, 0, 0)).unwrap();
    assert_eq!((h.packet_count(), h.data_size()), (None, None));
    assert_eq!(h.packets_in(h.packet_offset(12)), 12);
    assert_eq!(
        h.packet_offset(u32::MAX),
        h.blob_len() + u64::from(u32::MAX) * 3200
    );
}

// ASF-67
#[test]
fn turns_bytes_of_the_file_into_packets() {
    let h = Header::parse(&simple_blob(90, 3200, 3100)).unwrap();
    let at = |n: u64| h.packet_at(h.blob_len() + n);
    assert_eq!([at(0), at(3199), at(3200), at(9601)], [0, 0, 1, 3]);
    assert_eq!(h.packet_at(0), 0);
    assert_eq!(h.packet_at(u64::MAX), u32::MAX);
}

// ASF-08
#[test]
fn refuses_packet_sizes_that_differ_or_are_out_of_range() {
    for sizes in [[3200, 3201], [0, 0], [65_536, 65_536]] {
        let b = blob(&[file_properties(1, 0, 2, sizes), audio(2, 8000)], 50, 1);
        assert!(matches!(refusal(&b), Reason::Value { .. }), "{sizes:?}");
    }
    for size in [1, 65_535] {
        let b = blob(
            &[file_properties(1, 0, 2, [size; 2]), audio(2, 8000)],
            50,
            1,
        );
        assert_eq!(Header::parse(&b).unwrap().packet_size(), size);
    }
}

// ASF-02
#[test]
fn refuses_objects_that_do_not_fit() {
    let good = simple_blob(90, 3200, 3100);
    for (size, place) in [
        (23u64, 30),
        (0, 30),
        (u64::MAX, 30),
        (1 << 40, 30),
        (20_000, 30 + 104),
    ] {
        let mut bad = good.clone();
        bad[place + 16..place + 24].copy_from_slice(&size.to_le_bytes());
        let e = Header::parse(&bad).unwrap_err();
        assert!(matches!(e.reason, Reason::ObjectSize { .. }), "{e}");
        assert_eq!(e.offset, place as u64);
    }
    let short = file_properties(1, 0, 2, [64; 2]);
    let mut short_body = short[24..103].to_vec();
    short_body.truncate(79);
    let b = blob(
        &[object(FILE_PROPERTIES, &short_body), audio(2, 8000)],
        50,
        1,
    );
    assert!(matches!(
        refusal(&b),
        Reason::ObjectSize {
            size: 103,
            min: 104,
            ..
        }
    ));
    // Left-over bytes that cannot be an object.
    let b = blob(&[short, audio(2, 8000), vec![0; 10]], 50, 1);
    assert!(matches!(refusal(&b), Reason::Truncated { .. }));
    // Inside the extension as well.
    let mut inner = languages(&["en"]);
    inner[16] = 99;
    let e = Header::parse(&with(&[extension(&[inner]), audio(2, 8000)])).unwrap_err();
    assert_eq!(e.object.unwrap().name(), Some("Header Extension"));
    assert_eq!(
        e.to_string(),
        format!(
            "asf: object size 99 is not within 24..=33 at byte {} in Header Extension",
            e.offset
        )
    );
}

#[test]
fn refuses_a_blob_that_is_not_whole() {
    let good = simple_blob(90, 3200, 3100);
    for len in 0..good.len() {
        assert!(Header::parse(&good[..len]).is_err(), "{len} bytes");
        assert!(blob_in(&good[..len], HEADER_LEN_MAX).is_err());
    }
    let mut longer = good.clone();
    longer.extend([7; 100]);
    assert!(Header::parse(&longer).is_ok());
    assert_eq!(blob_in(&longer, HEADER_LEN_MAX).unwrap(), good);
    let mut no_data = good.clone();
    let at = no_data.len() - 50;
    no_data[at] = 0;
    assert!(matches!(refusal(&no_data), Reason::WrongObject { .. }));
}

// ASF-09
#[test]
fn refuses_missing_illegal_and_duplicate_streams() {
    assert!(matches!(refusal(&with(&[])), Reason::Missing(_)));
    assert!(matches!(
        refusal(&with(&[audio(0, 1)])),
        Reason::Value {
            field: "stream number",
            ..
        }
    ));
    assert_eq!(
        refusal(&with(&[audio(5, 1), video(5, 16)])),
        Reason::Duplicate {
            what: "stream",
            value: 5
        }
    );
    assert_eq!(parse(&[audio(127, 1)]).streams()[0].number, 127);
    let twice = file_properties(1, 0, 2, [64; 2]);
    assert!(matches!(
        refusal(&with(&[twice, audio(1, 1)])),
        Reason::Duplicate { .. }
    ));
    assert!(matches!(
        refusal(&blob(&[audio(1, 1)], 50, 1)),
        Reason::Missing(_)
    ));
}

// ASF-01, ASF-04
#[test]
fn walks_by_size_and_skips_unknown_objects() {
    let unknown = object(
        "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F",
        &[1, 2, 3],
    );
    let mut b = with(&[unknown, video(2, 16), audio(1, 1)]);
    b[24] = 1;
    let h = Header::parse(&b).unwrap();
    assert_eq!(
        h.streams().iter().map(|s| s.number).collect::<Vec<_>>(),
        [1, 2],
        "by number"
    );
    assert_eq!(h.objects().len(), 5);
    let o = h.objects()[2];
    assert_eq!((o.guid.name(), o.size, o.in_extension), (None, 27, false));
    assert_eq!(b[o.offset as usize + 24], 1);
}

// ASF-10, ASF-11, ASF-12, ASF-18, ASF-62
#[test]
fn finds_hidden_encrypted_and_misplaced_streams() {
    let hidden = extended(7, [1000, 2000], 0b1001, 0, &audio(7 | 0x8000, 8000));
    let h = parse(&[
        extension(&[hidden, audio(3, 1)]),
        extended(3, [64_000, 0], 0b10, 0, &[]),
    ]);
    let all = h.stream_details();
    assert_eq!(all.iter().map(|s| s.number).collect::<Vec<_>>(), [3, 7]);
    assert!(!all[0].hidden && !all[0].encrypted && all[0].extended.as_ref().unwrap().seekable);
    assert!(all[1].hidden && all[1].encrypted && all[1].is_reliable());
    assert!(all[1].extended.as_ref().unwrap().resend_live_clean_points);
    assert!(h.is_protected() && !h.has_signature());
    assert!(matches!(
        all[1].format,
        Format::Audio {
            tag: 0x161,
            channels: 2,
            ..
        }
    ));
    assert_eq!(h.total_peak_bit_rate(), 64_000 + 2000);
}

// ASF-13, ASF-33
#[test]
fn takes_the_best_known_bit_rates() {
    let h = parse(&[
        video(1, 16),
        video(2, 16),
        audio(3, 8000),
        audio(4, 4000),
        stream(5, COMMAND, &[]),
        video(6, 16),
        hex(E3),
        extension(&[
            extended(2, [400_000, 500_000], 4, 0, &[]),
            extended(1, [90_000, 0], 0, 0, &[]),
        ]),
    ]);
    let rates: Vec<_> = h
        .streams()
        .iter()
        .map(|s| (s.number, s.average_bit_rate, s.peak_bit_rate, s.all_key))
        .collect();
    assert_eq!(
        rates,
        [
            (1, 90_000, 150_000, false),
            (2, 400_000, 500_000, true),
            (3, 64_000, 900_000, true),
            (4, 32_000, 64_500, true),
            (5, 0, 0, true),
            (6, 0, 0, false),
        ]
    );
    assert_eq!(h.streams()[4].kind, StreamKind::Command);
    assert!(
        matches!(h.stream_details()[0].format, Format::Video { width: 16, height: 12, compression } if &compression == b"WMV2")
    );
}

// ASF-17, ASF-24
#[test]
fn chooses_one_of_a_stated_group_that_fits() {
    let h = four_streams(&[extension(&[hex(E4)])]);
    assert_eq!(h.streams().len(), 4, "all that can be selected");
    let groups = h.exclusions(false);
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].kind, groups[0].assumed),
        (ExclusionKind::BitRate, false)
    );
    assert_eq!(groups[0].members, [1 << 1, 1 << 2, 1 << 3]);
    let on = |link| h.auto_select(link, false);
    assert_eq!(on(None), Selection::of([3, 4]));
    assert_eq!(on(Some(964_500)), Selection::of([3, 4]));
    assert_eq!(on(Some(964_499)), Selection::of([2, 4]));
    assert_eq!(on(Some(514_500)), Selection::of([2, 4]));
    assert_eq!(on(Some(514_499)), Selection::of([1, 4]));
    assert_eq!(
        on(Some(214_499)),
        Selection::of([4]),
        "audio outlives video"
    );
    assert_eq!(on(Some(1)), Selection::of([4]), "something is always sent");
}

// ASF-17
#[test]
fn streams_of_several_groups_break_none() {
    let pairs = [
        mutex(MUTEX_BIT_RATE, &[1, 3]),
        mutex(MUTEX_BIT_RATE, &[3, 2]),
    ];
    let h = four_streams(&[extension(&pairs)]);
    // Raising 1 to 3 would put 3 beside 2.
    assert_eq!(h.auto_select(None, false), Selection::of([1, 2, 4]));
    let groups = h.exclusions(false);
    assert!(groups[0].holds(1 << 1 | 1 << 2) && !groups[0].holds(1 << 1 | 1 << 3));
}

// ASF-15
#[test]
fn assumes_a_group_where_the_file_states_none() {
    let h = four_streams(&[]);
    assert!(h.exclusions(false).is_empty());
    let groups = h.exclusions(true);
    assert_eq!(groups.len(), 1);
    assert!(groups[0].assumed);
    assert_eq!(h.auto_select(Some(600_000), true), Selection::of([2, 4]));
    assert_eq!(h.auto_select(None, false), Selection::of([1, 2, 3, 4]));
    // A stated group between any two of a type stands alone.
    let stated = mutex(MUTEX_BIT_RATE, &[1, 2]);
    let h = four_streams(&[stated]);
    assert_eq!(h.exclusions(true).len(), 1);
    // Without any rate the larger picture is the higher one.
    let h = parse(&[video(1, 640), video(2, 160), video(3, 320)]);
    assert_eq!(h.auto_select(None, true), Selection::of([1]));
}

// ASF-15, ASF-17
#[test]
fn chooses_languages() {
    let esp = |n, language| extended(n, [32_000, 0], 0, language, &[]);
    let h = parse(&[
        audio(1, 1),
        audio(2, 1),
        audio(3, 1),
        audio(4, 1),
        extension(&[
            languages(&["en-us", "fr", "de"]),
            esp(1, 0),
            esp(2, 1),
            esp(3, 2),
            esp(4, 1),
            mutex(MUTEX_LANGUAGE, &[1, 2, 3, 4]),
        ]),
    ]);
    assert_eq!(h.languages(), ["en-us", "fr", "de"]);
    assert_eq!(h.language_of(3), Some("de"));
    let choose = |languages: &[&str]| {
        h.select(
            &h.streams(),
            &Wish {
                link_bits_per_second: None,
                languages,
                auto_exclude: true,
            },
        )
    };
    assert_eq!(choose(&[]), Selection::of([1]), "the first");
    assert_eq!(choose(&["de"]), Selection::of([3]));
    assert_eq!(
        choose(&["FR-ca", "de"]),
        Selection::of([2]),
        "by the first letters"
    );
    assert_eq!(choose(&["en-US"]), Selection::of([1]));
    assert_eq!(choose(&["zh"]), Selection::of([1]));
    // Assumed groups are of one language each.
    let h = parse(&[
        audio(1, 1),
        audio(2, 1),
        audio(4, 1),
        extension(&[languages(&["en", "fr"]), esp(1, 0), esp(2, 1), esp(4, 1)]),
    ]);
    let groups = h.exclusions(true);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].members, [1 << 2, 1 << 4]);
}

// ASF-16
#[test]
fn keeps_mandatory_streams_and_drops_from_the_end_of_the_list() {
    let list = priorities(&[(1, 1), (4, 0), (2, 0), (99, 0)]);
    let h = four_streams(&[extension(&[list])]);
    assert_eq!(h.priorities().len(), 3, "streams that exist");
    // Rates 150, 450, 900 and 64.5 kbit/s; stream 3 is not listed and goes first.
    assert_eq!(
        h.auto_select(Some(700_000), false),
        Selection::of([1, 2, 4])
    );
    assert_eq!(h.auto_select(Some(300_000), false), Selection::of([1, 4]));
    assert_eq!(
        h.auto_select(Some(100_000), false),
        Selection::of([1]),
        "mandatory stays"
    );
    // In a group the mandatory one is taken, whatever fits better.
    let h = four_streams(&[extension(&[hex(E4), priorities(&[(1, 1)])])]);
    assert_eq!(h.auto_select(None, false), Selection::of([1, 4]));
    // Two mandatory ones exclude each other all the same.
    let h = four_streams(&[extension(&[hex(E4), priorities(&[(3, 1), (1, 1)])])]);
    assert_eq!(h.auto_select(None, false), Selection::of([3, 4]));
}

#[test]
fn damaged_optional_objects_are_remarked() {
    let mut bad = hex(E4);
    bad[40] = 9;
    let h = parse(&[audio(1, 1), bad]);
    assert!(h.exclusions(true).is_empty());
    assert_eq!(h.remarks().len(), 1);
    assert_eq!(
        h.remarks()[0].object.unwrap().name(),
        Some("Advanced Mutual Exclusion")
    );
}

// ASF-64
#[test]
fn reads_what_describes_the_content() {
    let text = |s: &str| [utf16(s), vec![0, 0]].concat();
    let sized = |b: &[u8]| [(b.len() as u16).to_le_bytes().to_vec(), b.to_vec()].concat();
    let chars = |s: &str| {
        [
            ((utf16(s).len() / 2) as u16).to_le_bytes().to_vec(),
            utf16(s),
        ]
        .concat()
    };
    let title = text("Clip ä𝄞");
    let mut description = Vec::new();
    for field in [&title[..], &[], &text("(c)"), &[], &[]] {
        description.extend((field.len() as u16).to_le_bytes());
    }
    description.extend([title, text("(c)")].concat());
    let mut more = 4u16.to_le_bytes().to_vec();
    for (name, kind, value) in [
        ("WM/Year", 0u16, text("2004")),
        ("IsVBR", 2, vec![1, 0, 0, 0]),
        ("Size", 4, 77u64.to_le_bytes().to_vec()),
        ("Picture", 1, vec![9; 9]),
    ] {
        more.extend(sized(&text(name)));
        more.extend(kind.to_le_bytes());
        more.extend(sized(&value));
    }
    let mut script = hex("E3 CB 1A 4B 0B 10 D0 11 A3 9B 00 A0 C9 03 48 F6 02 00 02 00");
    script.extend([chars("URL"), chars("TEXT")].concat());
    script.extend(hex("DC 05 00 00 01 00"));
    script.extend(chars("hello"));
    script.extend(hex("D0 07 00 00 00 00"));
    script.extend(chars("http://h/"));
    let mut markers = hex("20 DB FE 4C F6 75 CF 11 9C 0F 00 A0 C9 03 49 CB 01 00 00 00 00 00");
    markers.extend(sized(&text("list")));
    markers.extend([9; 8]);
    markers.extend(31_000_000u64.to_le_bytes());
    markers.extend((12 + 12u16).to_le_bytes());
    markers.extend(hex("05 00 00 00 00 00 00 00 06 00 00 00"));
    markers.extend(text("start"));
    let mut codecs = hex("41 52 D1 86 1D 31 D0 11 A3 A4 00 A0 C9 03 48 F6 01 00 00 00 02 00");
    codecs.extend([chars("WMA 9"), chars("64 kbps"), sized(&[0x61, 1])].concat());
    let mut metadata = hex("01 00 00 00 02 00");
    metadata.extend(hex("0A 00 02 00 02 00 00 00"));
    metadata.extend(text("Flag"));
    metadata.extend([1, 0]);
    let h = parse(&[
        audio(1, 1),
        object(
            "33 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C",
            &description,
        ),
        object("40 A4 D0 D2 07 E3 D2 11 97 F0 00 A0 C9 5E A8 50", &more),
        object("30 1A FB 1E 62 0B D0 11 A3 9B 00 A0 C9 03 48 F6", &script),
        object("01 CD 87 F4 51 A9 CF 11 8E E6 00 C0 0C 20 53 65", &markers),
        object("40 52 D1 86 1D 31 D0 11 A3 A4 00 A0 C9 03 48 F6", &codecs),
        extension(&[object(
            "EA CB F8 C5 AF 5B 77 48 84 67 AA 8C 44 FA 4C CA",
            &metadata,
        )]),
    ]);
    assert_eq!(h.remarks(), []);
    let pairs = h.description();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("Title", "Clip ä𝄞"),
            ("Copyright", "(c)"),
            ("WM/Year", "2004"),
            ("IsVBR", "true"),
            ("Size", "77")
        ]
    );
    let script: Vec<_> = h
        .script_commands()
        .iter()
        .map(|c| (c.presentation, c.kind.as_str(), c.name.as_str()))
        .collect();
    assert_eq!(
        script,
        [(1500, "TEXT", "hello"), (2000, "URL", "http://h/")]
    );
    assert_eq!(h.markers().len(), 1);
    assert_eq!(h.markers()[0].presentation, 31_000_000);
    assert_eq!(h.markers()[0].description, "start");
    assert_eq!(h.codecs()[0].name, "WMA 9");
    assert_eq!(
        (h.metadata()[0].stream, h.metadata()[0].value.as_str()),
        (2, "true")
    );
}

// ASF-23, ASF-59, ASF-60
#[test]
fn a_live_header_changes_only_what_it_must() {
    let drm = object(
        "FB B3 11 22 23 BD D2 11 B4 B7 00 A0 C9 55 FC 6E",
        &[0xD5; 40],
    );
    let signature = object(
        "FC B3 11 22 23 BD D2 11 B4 B7 00 A0 C9 55 FC 6E",
        &[0x51; 24],
    );
    let original = with(&[drm, video(1 | 0x8000, 16), signature]);
    let live = broadcast_blob(&original, None).unwrap();
    let h = Header::parse(&live).unwrap();
    assert!(h.is_broadcast() && !h.is_seekable() && h.is_protected() && h.has_signature());
    let f = h.file_properties();
    assert_eq!((f.file_size, f.creation_date, f.packet_count), (0, 0, 0));
    assert_eq!((f.play_duration, f.send_duration, f.flags), (0, 0, 1));
    assert_eq!(
        (h.preroll_ms(), h.packet_size(), h.max_bit_rate()),
        (3100, 3200, 364_000)
    );
    assert_eq!(h.file_id(), [0x11; 16]);
    assert_eq!(live.len(), original.len());
    // File Properties are first; the Data Object is the last 50 bytes.
    let data = live.len() - 50;
    let may_change = |i: usize| {
        (30 + 40..30 + 80).contains(&i)
            || (30 + 88..30 + 92).contains(&i)
            || (data + 16..data + 24).contains(&i)
            || (data + 40..data + 48).contains(&i)
    };
    for (i, (a, b)) in original.iter().zip(&live).enumerate() {
        assert!(a == b || may_change(i), "byte {i}");
    }
    assert_eq!(live[data + 16..data + 24], 50u64.to_le_bytes());

    let other = broadcast_blob(&original, Some([0xAB; 16])).unwrap();
    assert_eq!(Header::parse(&other).unwrap().file_id(), [0xAB; 16]);
    assert_eq!(other[data + 24..data + 40], [0xAB; 16]);
    assert_eq!(broadcast_blob(&live, None).unwrap(), live);
    assert!(broadcast_blob(&original[..100], None).is_err());
}

// ASF-61
#[test]
fn a_redirection_is_a_header_with_one_command() {
    let url = "http://example.org/a/ü.wmv";
    let made = redirect_blob(url);
    assert_eq!(header_len(&made).unwrap(), made.len() as u64);
    assert_eq!(redirect_of(&made).unwrap().as_deref(), Some(url));
    assert_eq!(redirect_of(&simple_blob(1, 64, 0)).unwrap(), None);
    // File Properties first, preroll 479 ms; the command at the same time.
    assert_eq!(made[24..30], [3, 0, 0, 0, 1, 2]);
    assert_eq!(made[30..46], hex(FILE_PROPERTIES));
    assert_eq!(made[30 + 80..30 + 88], 479u64.to_le_bytes());
    let script = hex("E3 CB 1A 4B 0B 10 D0 11 A3 9B 00 A0 C9 03 48 F6 01 00 01 00 08 00");
    let at = made
        .windows(script.len())
        .position(|w| w == script)
        .unwrap()
        + script.len();
    let mut command = utf16("FILENAME");
    command.extend(hex("DF 01 00 00 00 00"));
    command.extend((url.encode_utf16().count() as u16).to_le_bytes());
    command.extend(utf16(url));
    assert_eq!(made[at..at + command.len()], command);
    assert_eq!(at + command.len() + 50, made.len());
}
