//! Encoded blocks and Format IDs.

mod msb_support;

use bytes::Bytes;
use msb_support::{S1, hex};
use proptest::prelude::*;
use protocols::nsc::FormatIds;
use protocols::nsc::block::{BlockError, decode, encode, encode_text, text_of};
use protocols::nsc::formats::FORMAT_COUNT_MAX;

/// msb-nsc.md 10.6 and 10.7: text, block, checksum.
const VECTORS: [(&str, &str, u8); 9] = [
    ("3.0", "029G0000000008Cm0k0300000", 0x25),
    ("", "020W0000000002000", 0x02),
    (
        "192.0.2.10",
        "020G000000000MCG0v0380BW0m02u0CW0k0340C00000",
        0x01,
    ),
    (
        "239.192.1.2",
        "02Dm000000000OCW0p03a0BW0n03a0CW0k0340BW0o0000",
        0x37,
    ),
    ("Café", "02fm000000000AGm1X06O0wG0000", 0xA7),
    (
        "239.192.48.179",
        "020G000000000UCW0p03a0BW0n03a0CW0k03G0E00k0340Dm0v0000",
        0x01,
    ),
    (
        "157.55.149.102",
        "0230000000000UCG0r03S0BW0r03K0BW0n03G0EG0k0340C00o0000",
        0x0C,
    ),
    (
        "Windows Media",
        "029m000000000SLm1f06u0P01l07S0Sm0W04q0PG1a06a0OG0000",
        0x27,
    ),
    (
        "WMRELAY02 , A",
        "02AW000000000SLm1D0580HG1C0440MG0m0380800i0200GG0000",
        0x2A,
    ),
];

// NSC-09, NSC-10, NSC-11, NSC-13, NSC-14, NSC-15, NSC-16, NSC-17, NSC-40
#[test]
fn the_vectors_are_encoded_and_decoded() {
    for (text, block, crc) in VECTORS {
        assert_eq!(encode_text(text), block);
        let decoded = decode(block).expect(block);
        assert_eq!(
            (decoded.key, decoded.crc, decoded.stored_crc),
            (0, crc, crc)
        );
        assert_eq!(decoded.data.len(), 2 * (text.encode_utf16().count() + 1));
        assert_eq!(text_of(&decoded.data).as_deref(), Some(text));
    }
}

// NSC-36
#[test]
fn a_wrong_checksum_is_told_and_no_more() {
    let block = "029W000000000YJG1P05y0Gm1F04q0K01L05G0HG1I02m0801Y0700S00000";
    let decoded = decode(block).expect("a block");
    assert_eq!(text_of(&decoded.data).as_deref(), Some("MY_COMPUTER, bpp"));
    assert_eq!((decoded.stored_crc, decoded.crc), (0x26, 0x00));
    assert!(!decoded.is_sound());
}

// NSC-12, NSC-19
#[test]
fn lengths_are_as_computed() {
    for (n, chars) in [
        (0, 12),
        (2, 15),
        (8, 23),
        (326, 447),
        (937, 1262),
        (65_531, 87_387),
    ] {
        let block = encode(0x7FF, &vec![7; n]);
        assert_eq!(block.len(), 2 + chars);
        let decoded = decode(&block).expect("a block");
        assert_eq!((decoded.key, decoded.data.len()), (0x7FF, n));
    }
}

// NSC-18, NSC-19
#[test]
fn what_is_no_block_is_refused() {
    let good = "029G0000000008Cm0k0300000";
    assert_eq!(decode(""), Err(BlockError::Prefix));
    assert_eq!(decode("3.0"), Err(BlockError::Prefix));
    assert_eq!(decode("02"), Err(BlockError::Short(0)));
    assert_eq!(decode("0200000000000"), Err(BlockError::Short(11)));
    for character in [
        ' ', '=', '+', '/', '-', 'é', '\u{7f}', '@', '[', '`', '|', '~', ':',
    ] {
        let bad = good.replacen('G', &character.to_string(), 1);
        assert_eq!(decode(&bad), Err(BlockError::Character { at: 3 }), "{bad}");
    }
    // Cut short, and with something behind.
    for bad in [
        &good[..good.len() - 1],
        &format!("{good}0"),
        &format!("{good}000"),
    ] {
        let error = decode(bad).expect_err(bad);
        assert!(
            matches!(error, BlockError::Length { .. } | BlockError::Short(_)),
            "{error}"
        );
    }
    let lies = encode(0, &[0; 8]).replacen("0008", "000G", 1);
    assert!(decode(&lies).is_err(), "{lies}");
}

// NSC-42
#[test]
fn hexadecimal_digits_are_read_too() {
    let block = decode("01250000000000000008330 02E0030000000").err();
    assert_eq!(block, Some(BlockError::Character { at: 23 }));
    let block = decode(
        "01250000000000000008330 02E0030000000"
            .replace(' ', "")
            .as_str(),
    );
    let block = block.expect("a block");
    assert!(block.is_sound());
    assert_eq!(text_of(&block.data).as_deref(), Some("3.0"));
    assert!(
        decode("012500000000000000083").is_err(),
        "an odd number of digits"
    );
}

proptest! {
    #[test]
    fn blocks_come_back(key: u32, data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let text = encode(key, &data);
        let block = decode(&text).expect("a block");
        prop_assert!(block.is_sound());
        prop_assert_eq!((block.key, &block.data), (key, &data));
        for cut in 0..text.len() {
            prop_assert!(decode(&text[..cut]).is_err());
        }
    }

    #[test]
    fn texts_come_back(text in "[^\0]{0,60}") {
        let block = decode(&encode_text(&text)).expect("a block");
        prop_assert_eq!(text_of(&block.data), Some(text));
    }

    // NSC-11
    #[test]
    fn a_changed_character_is_noticed(data in proptest::collection::vec(any::<u8>(), 1..100), at in 4usize..12, by in 1u8..=255) {
        let mut bytes = data.clone();
        let at = at % bytes.len();
        bytes[at] ^= by;
        let (one, other) = (encode(1, &data), encode(1, &bytes));
        let (one, other) = (decode(&one).expect("a block"), decode(&other).expect("a block"));
        prop_assert_ne!(one.crc, other.crc);
    }
}

fn header() -> Bytes {
    hex(S1).into()
}

/// The header, changed at some places.
fn changed(places: &[(usize, u8)]) -> Bytes {
    let mut header = hex(S1);
    for (at, value) in places {
        header[*at] = *value;
    }
    header.into()
}

// MSB-08, NSC-12
#[test]
fn equal_headers_have_equal_ids() {
    let mut ids = FormatIds::new();
    assert_eq!(ids.id(&header()), 0x0DE);
    let revision = ids.revision();
    let longer = [&header()[..], b"packets"].concat();
    assert_eq!(ids.id(&longer.into()), 0x0DE);
    assert_eq!((ids.len(), ids.revision()), (1, revision));
    assert_eq!(ids.header(0x0DE), Some(&header()));
    assert_eq!(ids.header(0x0DF), None);
}

// MSB-37, NSC-29
#[test]
fn ids_are_unique_whatever_the_headers_are() {
    let mut ids = FormatIds::new();
    let headers: Vec<Bytes> = (0..60).map(|n| changed(&[(0x30, n)])).collect();
    let given: Vec<u16> = headers.iter().map(|h| ids.id(h)).collect();
    let distinct: std::collections::BTreeSet<u16> = given.iter().copied().collect();
    assert_eq!(distinct.len(), 60);
    assert!(given.iter().all(|id| *id < 2048));
    let again: Vec<u16> = headers.iter().map(|h| ids.id(h)).collect();
    assert_eq!(again, given);
    let mut elsewhere = FormatIds::new();
    let same: Vec<u16> = headers.iter().map(|h| elsewhere.id(h)).collect();
    assert_eq!(same, given);
}

// NSC-29
#[test]
fn a_collision_takes_the_next_id() {
    // Two headers that hash to the same id, found by trying.
    let alone = |header: &Bytes| FormatIds::new().id(header);
    let mut seen = std::collections::BTreeMap::new();
    let mut pair = None;
    for n in 0..u16::MAX {
        let [a, b] = n.to_le_bytes();
        let header = changed(&[(0x30, a), (0x31, b)]);
        if let Some(other) = seen.insert(alone(&header), header.clone()) {
            pair = Some((other, header));
            break;
        }
    }
    let (one, other) = pair.expect("a collision");
    let mut ids = FormatIds::new();
    let first = ids.id(&one);
    assert_eq!(ids.id(&other), (first + 1) % 2048);
    assert_eq!(ids.id(&one), first);
}

#[test]
fn headers_that_nobody_asks_for_are_forgotten() {
    let mut ids = FormatIds::new();
    let first = changed(&[(0x30, 0)]);
    let kept = ids.id(&first);
    for n in 1..=255 {
        ids.id(&changed(&[(0x30, n)]));
        assert_eq!(ids.id(&first), kept);
    }
    assert_eq!(ids.len(), FORMAT_COUNT_MAX);
    assert_eq!(ids.iter().next(), Some((kept, &first)));
}

#[test]
fn a_stable_id_outlives_an_encoder() {
    // File ID, creation date, and both again in the Data Object.
    let restarted = changed(&[(0x37, 0xAA), (0x4E, 0xBB), (0x12D, 0xAA)]);
    assert_ne!(
        FormatIds::new().id(&restarted),
        FormatIds::new().id(&header())
    );
    let mut ids = FormatIds::stable();
    let id = ids.id(&header());
    let revision = ids.revision();
    assert_eq!(ids.id(&restarted), id);
    assert_eq!(ids.header(id), Some(&restarted), "the latest counts");
    assert_eq!(ids.len(), 1);
    assert_ne!(ids.revision(), revision);
    assert_eq!(FormatIds::stable().id(&restarted), id);
    // Another bit rate is another format.
    let other = changed(&[(0x82, 0x01)]);
    assert_ne!(ids.id(&other), id);
    // What is no header has an id of its own all the same.
    ids.id(&Bytes::from_static(b"nothing"));
    assert_eq!(ids.len(), 3);
}
