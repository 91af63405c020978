//! Indexes, ours and the files', seeking, the send clock and whole-file checks.

mod asf_build;

use asf_build::*;
use protocols::asf::check::{Verifier, check_header, check_packet};
use protocols::asf::clock::{Timeline, is_discontinuity, since};
use protocols::asf::fuzz::run;
use protocols::asf::index::{
    ENTRIES_MAX, IndexObject, KeyEntry, ObjectHead, SimpleIndex, Stamp, header_hash,
};
use protocols::asf::seek::{Hints, READS_MAX};
use protocols::asf::{
    Filter, Header, Indexer, KeyIndex, Packet, Reason, Seek, SeekStep, SeekTarget,
};
use protocols::content::Selection;
use std::cell::Cell;

const SIZE: u32 = 200;
const PREROLL: u32 = 3100;

struct File {
    header: Header,
    packets: Vec<Vec<u8>>,
}

impl File {
    fn count(&self) -> u32 {
        self.packets.len() as u32
    }

    fn index(&self) -> KeyIndex {
        let mut indexer = Indexer::new(&self.header);
        for (n, p) in self.packets.iter().enumerate() {
            indexer.packet(n as u32, p).unwrap();
        }
        indexer.finish()
    }

    /// Where a seek ends, and how many packets it wanted.
    fn seek(&self, target: SeekTarget, selection: Selection, hints: Hints<'_>) -> (u32, u32) {
        let reads = Cell::new(0);
        let seek = Seek::new(&self.header, target, selection, hints, self.count());
        let found = run(seek, |n| {
            reads.set(reads.get() + 1);
            self.packets.get(n as usize).map(Vec::as_slice)
        });
        (found, reads.get())
    }

    fn play(&self, ms: u32, hints: Hints<'_>) -> u32 {
        self.seek(SeekTarget::PlayTime(ms), Selection::of([1, 2]), hints)
            .0
    }

    /// The answer by looking at everything.
    fn last_key(&self, ms: u32) -> u32 {
        let keys = self.packets.iter().enumerate().filter(|(_, p)| {
            Packet::parse(p, SIZE).unwrap().payloads().any(|x| {
                x.stream == 1 && x.key && x.offset == 0 && x.presentation.unwrap() <= PREROLL + ms
            })
        });
        if ms == 0 {
            return 0;
        }
        keys.map(|(n, _)| n as u32).next_back().unwrap_or(0)
    }
}

/// 90 packets with the key frames of E10; 90 ms from packet to packet, audio in each.
fn e10() -> File {
    // Packet, payload in it, send time, presentation.
    let keys = [
        (0, 1, 0, 3146),
        (21, 4, 1966, 5146),
        (45, 2, 4006, 7146),
        (67, 3, 5990, 9146),
    ];
    let mut packets = Vec::new();
    for n in 0..90u32 {
        let send = keys.iter().find(|k| k.0 == n).map_or(n * 90, |k| k.2);
        let mut pieces = Vec::new();
        for place in 0..5 {
            let key = keys.iter().find(|k| k.0 == n && k.1 == place);
            let presentation = key.map_or(PREROLL + n * 90 + place, |k| k.3);
            let stream = if key.is_some() || place % 2 == 1 {
                1
            } else {
                2
            };
            let object = (n * 5 + place) as u8;
            pieces.push(Piece::whole(
                stream,
                key.is_some(),
                object,
                presentation,
                10,
            ));
        }
        packets.push(packet(SIZE as usize, send, 90, &pieces));
    }
    File {
        header: Header::parse(&simple_blob(90, SIZE, u64::from(PREROLL))).unwrap(),
        packets,
    }
}

const SIMPLE_INDEX: &str = "90 08 00 33 B1 E5 CF 11 89 F4 00 A0 C9 03 49 CB";

fn simple_index(entries: &[(u32, u16)]) -> Vec<u8> {
    let mut body = vec![0x11; 16];
    body.extend(hex("80 96 98 00 00 00 00 00"));
    body.extend(4u32.to_le_bytes());
    body.extend((entries.len() as u32).to_le_bytes());
    for (packet, count) in entries {
        body.extend(packet.to_le_bytes());
        body.extend(count.to_le_bytes());
    }
    object(SIMPLE_INDEX, &body)
}

fn e10_index() -> SimpleIndex {
    let entries: Vec<(u32, u16)> = (0..13)
        .map(|i| match i {
            0..=5 => (0, 2),
            6 | 7 => (21, 4),
            8 | 9 => (45, 3),
            _ => (67, 4),
        })
        .collect();
    SimpleIndex::parse(&simple_index(&entries)).unwrap()
}

// ASF-52
#[test]
fn reads_the_simple_index_of_e10() {
    let index = e10_index();
    assert_eq!((index.interval_hns, index.packets_max), (10_000_000, 4));
    assert_eq!(index.entries.len(), 13);
    let entry = index.entries[6];
    assert_eq!((entry.packet, entry.count), (21, 4));

    let good = simple_index(&[(1, 1), (2, 1)]);
    let mut more = good.clone();
    more[52] = 200;
    assert_eq!(
        SimpleIndex::parse(&more).unwrap().entries.len(),
        2,
        "those present"
    );
    for len in 0..good.len() {
        assert!(SimpleIndex::parse(&good[..len]).is_err());
    }
    let mut zero = good.clone();
    zero[40..48].fill(0);
    assert!(matches!(
        SimpleIndex::parse(&zero).unwrap_err().reason,
        Reason::Value { .. }
    ));
    assert!(matches!(
        IndexObject::parse(&good).unwrap_err().reason,
        Reason::WrongObject { .. }
    ));
    let head = ObjectHead::parse(&good, 9).unwrap();
    assert!(head.is_wanted() && head.size == 68);
    let timecode = object("D0 3F B7 3C 4A 0C 03 48 95 3D ED F7 B6 22 8F 0C", &[]);
    assert!(!ObjectHead::parse(&timecode, 9).unwrap().is_wanted());
    let mut small = good;
    small[16] = 23;
    assert_eq!(ObjectHead::parse(&small, 9).unwrap_err().offset, 9);
}

fn index_object(entries: &[[u32; 2]]) -> Vec<u8> {
    let mut body = 500u32.to_le_bytes().to_vec();
    body.extend(hex("02 00 01 00 00 00 02 00 01 00 01 00 03 00"));
    body.extend((entries.len() as u32).to_le_bytes());
    // Positions beyond 32 bits prove that they are QWORDs.
    body.extend(0u64.to_le_bytes());
    body.extend(0u64.to_le_bytes());
    body.extend(entries.iter().flatten().flat_map(|e| e.to_le_bytes()));
    object("D3 29 E2 D6 DA 35 D1 11 90 34 00 A0 C9 03 49 BE", &body)
}

// ASF-53
#[test]
fn reads_an_index_object() {
    let mut bytes = index_object(&[[0, 0], [200, u32::MAX], [400, 4200]]);
    let index = IndexObject::parse(&bytes).unwrap();
    assert_eq!(
        (index.interval_ms, &index.specifiers[..]),
        (500, &[(2, 1), (1, 3)][..])
    );
    assert_eq!(
        index.rows,
        [
            [Some(0), Some(0)],
            [Some(200), None],
            [Some(400), Some(4200)]
        ]
    );
    // Second block position: 5 GiB.
    bytes[24 + 10 + 8 + 4 + 8..][..8].copy_from_slice(&(5u64 << 30).to_le_bytes());
    let index = IndexObject::parse(&bytes).unwrap();
    assert_eq!(index.rows[2], [Some(400), Some((5 << 30) + 4200)]);
    for len in 0..bytes.len() {
        assert!(IndexObject::parse(&bytes[..len]).is_err());
    }
    let mut many = bytes.clone();
    many[42..46].fill(0xFF);
    assert!(matches!(
        IndexObject::parse(&many).unwrap_err().reason,
        Reason::Truncated { .. }
    ));
}

// ASF-54, ASF-56
#[test]
fn seeks_as_e10_does() {
    let file = e10();
    let simple = [e10_index()];
    let hints = Hints {
        simple: &simple,
        ..Hints::default()
    };
    assert_eq!(file.play(2500, hints), 21);
    // The video that precedes the key frame in the first packet is left out, audio is kept.
    let mut filter = Filter::start(Selection::of([1, 2]), &file.header.streams());
    let mut out = Vec::new();
    filter
        .apply(&file.packets[21], SIZE, false, &mut out)
        .unwrap();
    let first = Packet::parse(&out, SIZE).unwrap();
    let sent: Vec<_> = first
        .payloads()
        .map(|p| (p.stream, p.presentation.unwrap()))
        .collect();
    assert_eq!(sent, [(2, 4990), (2, 4992), (1, 5146)]);
}

/// Every way to seek finds the last key frame at or before the time, at any time.
// ASF-52, ASF-53, ASF-54, ASF-55
#[test]
fn all_hints_lead_to_the_same_packet() {
    let file = e10();
    let keys = file.index();
    let right = [e10_index()];
    // The same index on the other time axis, without preroll: entries come 3.1 s early.
    let early: Vec<_> = right[0].entries[3..]
        .iter()
        .map(|e| (e.packet, e.count))
        .collect();
    let early = [SimpleIndex::parse(&simple_index(&early)).unwrap()];
    let wrong = [SimpleIndex::parse(&simple_index(&[(80, 1); 13])).unwrap()];
    let beyond = [SimpleIndex::parse(&simple_index(&[(9000, 1); 13])).unwrap()];
    let rows: Vec<_> = (0..26u32)
        .map(|i| [0, right[0].entries[i as usize / 2].packet * SIZE])
        .collect();
    let object = IndexObject::parse(&index_object(&rows)).unwrap();
    let of_keys = Hints {
        keys: Some(&keys),
        ..Hints::default()
    };
    for ms in (0..9000).step_by(37) {
        let expected = file.last_key(ms);
        for simple in [&right, &early, &wrong, &beyond] {
            let hints = Hints {
                simple,
                ..Hints::default()
            };
            assert_eq!(file.play(ms, hints), expected, "{ms} ms by a simple index");
        }
        let hints = Hints {
            index: Some(&object),
            ..Hints::default()
        };
        assert_eq!(file.play(ms, hints), expected, "{ms} ms by an index object");
        assert_eq!(
            file.play(ms, Hints::default()),
            expected,
            "{ms} ms without index"
        );
        let target = SeekTarget::PlayTime(ms);
        let (found, reads) = file.seek(target, Selection::of([1, 2]), of_keys);
        assert_eq!(found, expected, "{ms} ms by our index");
        assert!(reads <= 1, "{reads} reads");
    }
    assert_eq!(
        file.play(3_000_000, Hints::default()),
        67,
        "behind the end: the last key frame"
    );
}

// ASF-54
#[test]
fn does_not_trust_our_own_index_blindly() {
    let file = e10();
    let mut keys = file.index();
    for e in &mut keys.entries {
        e.packet += 1;
    }
    let hints = Hints {
        keys: Some(&keys),
        ..Hints::default()
    };
    assert_eq!(file.play(2500, hints), 21);
}

#[test]
fn a_bad_packet_and_an_early_end_do_not_stop_a_seek() {
    let mut file = e10();
    for n in [20, 44, 46, 61, 62] {
        file.packets[n] = vec![0; SIZE as usize];
    }
    assert_eq!(file.play(2500, Hints::default()), 21);
    let simple = [e10_index()];
    assert_eq!(
        file.play(
            4200,
            Hints {
                simple: &simple,
                ..Hints::default()
            }
        ),
        45
    );
    // The file ends long before the count says.
    for hints in [
        Hints::default(),
        Hints {
            simple: &simple,
            ..Hints::default()
        },
    ] {
        let target = SeekTarget::PlayTime(8000);
        let seek = Seek::new(&file.header, target, Selection::of([1]), hints, 90);
        let found = run(seek, |n| {
            (n < 50).then(|| file.packets[n as usize].as_slice())
        });
        assert_eq!(found, 45);
        let seek = Seek::new(&file.header, target, Selection::of([1]), hints, 90);
        assert_eq!(run(seek, |_| None), 0, "nothing can be read");
    }
}

// ASF-67
#[test]
fn packets_and_bytes_are_taken_at_their_word() {
    let file = e10();
    let all = Selection::of([1, 2]);
    let at = |target| file.seek(target, all, Hints::default());
    assert_eq!(at(SeekTarget::Packet(33)), (33, 0));
    assert_eq!(at(SeekTarget::Packet(5000)), (89, 0));
    let start = file.header.blob_len();
    assert_eq!(at(SeekTarget::Byte(start + 7 * 200 + 199)), (7, 0));
    assert_eq!(at(SeekTarget::Byte(0)), (0, 0));
    assert_eq!(at(SeekTarget::Byte(u64::MAX)), (89, 0));
    assert_eq!(at(SeekTarget::PlayTime(0)), (0, 0));
    let empty = Seek::new(
        &file.header,
        SeekTarget::PlayTime(9),
        all,
        Hints::default(),
        0,
    );
    assert_eq!(empty.step(), SeekStep::Done(0));
}

#[test]
fn audio_alone_starts_where_its_time_begins() {
    let file = e10();
    let audio = Selection::of([2]);
    for ms in (1..8000).step_by(61) {
        // Packet n holds audio from 90 n ms on and lasts 90 ms.
        let expected = (0..90).find(|n| n * 90 + 90 >= ms).unwrap();
        let (found, reads) = file.seek(SeekTarget::PlayTime(ms), audio, Hints::default());
        assert_eq!(found, expected, "{ms} ms");
        assert!(reads <= 8, "{reads} reads of 90 packets");
    }
    // Packets without audio between those with it are passed over.
    let mut sparse = e10();
    for (n, p) in sparse.packets.iter_mut().enumerate() {
        if n % 10 != 0 {
            *p = packet(
                SIZE as usize,
                n as u32 * 90,
                90,
                &[Piece::whole(1, false, 1, 5, 10)],
            );
        }
    }
    let (found, _) = sparse.seek(SeekTarget::PlayTime(4500), audio, Hints::default());
    assert!((41..=50).contains(&found), "{found}");
}

/// One key frame at the start of a long file: the search is bounded.
#[test]
fn a_seek_reads_a_bounded_number_of_packets() {
    let count = 100_000;
    let delta = |n: u32| packet(60, n, 1, &[Piece::whole(1, n == 0, 1, n + PREROLL, 9)]);
    let header = Header::parse(&simple_blob(count, 60, u64::from(PREROLL))).unwrap();
    let target = SeekTarget::PlayTime(90_000);
    let mut seek = Seek::new(
        &header,
        target,
        Selection::of([1]),
        Hints::default(),
        count as u32,
    );
    let mut reads = 0;
    let found = loop {
        match seek.step() {
            SeekStep::Done(n) => break n,
            SeekStep::NeedPacket(n) => {
                reads += 1;
                seek.give(n + 1, &[]);
                seek.give(n, &delta(n));
            }
        }
    };
    assert!(reads <= READS_MAX, "{reads}");
    assert_eq!(found, 90_000, "at the right time, though without picture");
}

// ASF-14
#[test]
fn our_index_holds_key_frames_and_rates() {
    let file = e10();
    let index = file.index();
    let entry = |packet, presentation, send_time| KeyEntry {
        stream: 1,
        packet,
        presentation,
        send_time,
    };
    assert_eq!(
        index.entries,
        [
            entry(0, 3146, 0),
            entry(21, 5146, 1966),
            entry(45, 7146, 4006),
            entry(67, 9146, 5990)
        ]
    );
    assert_eq!(index.at_or_before(1, 7145), Some(entry(21, 5146, 1966)));
    assert_eq!(index.at_or_before(1, 3000), None);
    assert_eq!(index.after_packet(1, 21), Some(entry(45, 7146, 4006)));
    assert_eq!(index.before_packet(1, 21), Some(entry(0, 3146, 0)));
    assert_eq!(index.before_packet(2, 21), None);
    assert_eq!((index.packet_count, index.last_send_time), (90, 8010));
    assert_eq!(index.send_duration_ms, 8100);
    // 2 or 3 of 5 objects of 10 bytes in each packet are video.
    let video = file.packets.iter().flat_map(|p| {
        let p = Packet::parse(p, SIZE).unwrap();
        p.payloads()
            .filter(|x| x.stream == 1)
            .map(|x| x.data.len())
            .collect::<Vec<_>>()
    });
    let bytes: usize = video.sum();
    assert_eq!(index.bit_rate(1) as usize, bytes * 8000 / 8100);
    let mut streams = file.header.streams();
    assert_eq!(
        (streams[0].average_bit_rate, streams[1].average_bit_rate),
        (0, 64_000)
    );
    index.complete(&mut streams);
    assert_eq!(streams[0].average_bit_rate, index.bit_rate(1));
    assert_eq!(streams[0].peak_bit_rate, index.bit_rate(1));
    assert_eq!(
        streams[1].average_bit_rate, 64_000,
        "what the header knows stays"
    );
}

#[test]
fn an_index_of_audio_has_an_entry_per_second() {
    let blob = blob(
        &[file_properties(9, 500, 2, [100; 2]), audio(3, 8000)],
        950,
        9,
    );
    let header = Header::parse(&blob).unwrap();
    let mut indexer = Indexer::new(&header);
    for n in 0..100u32 {
        let p = packet(
            100,
            n * 130,
            130,
            &[Piece::whole(3, false, n as u8, 500 + n * 130, 40)],
        );
        indexer.packet(n, &p).unwrap();
    }
    assert!(indexer.packet(100, &[9; 100]).is_err());
    let part = indexer.snapshot();
    let index = indexer.finish();
    assert_eq!(part, index);
    assert_eq!((index.packet_count, index.bad_packets), (101, 1));
    assert_eq!(index.entries.len(), 13);
    assert!(
        index
            .entries
            .windows(2)
            .all(|w| w[1].presentation - w[0].presentation >= 1000)
    );
    let hints = Hints {
        keys: Some(&index),
        ..Hints::default()
    };
    let target = SeekTarget::PlayTime(7000);
    let make = |n: u32| {
        packet(
            100,
            n * 130,
            130,
            &[Piece::whole(3, false, n as u8, 500 + n * 130, 40)],
        )
    };
    let packets: Vec<_> = (0..100).map(make).collect();
    for hints in [hints, Hints::default()] {
        let seek = Seek::new(&header, target, Selection::of([3]), hints, 100);
        let found = run(seek, |n| packets.get(n as usize).map(Vec::as_slice));
        assert_eq!(found, 53, "53 * 130 + 130 >= 7000");
    }
}

#[test]
fn an_index_keeps_its_bound_and_its_reach() {
    let header = Header::parse(&simple_blob(9, 60, 0)).unwrap();
    let mut indexer = Indexer::new(&header);
    let count = ENTRIES_MAX as u32 + 5000;
    for n in 0..count {
        let p = packet(60, n * 40, 40, &[Piece::whole(1, true, n as u8, n * 40, 4)]);
        indexer.packet(n, &p).unwrap();
    }
    let index = indexer.finish();
    assert!(index.entries.len() <= ENTRIES_MAX);
    let last = index.at_or_before(1, u32::MAX).unwrap();
    assert!(count - last.packet < 100, "evenly over the whole file");
    let gaps = index
        .entries
        .windows(2)
        .map(|w| w[1].presentation - w[0].presentation);
    assert!(gaps.max().unwrap() < 1000);
}

fn stamp() -> Stamp {
    Stamp {
        file_size: 5 << 32,
        mtime_ns: -7,
        header_hash: header_hash(b"abc"),
        data_packets: 90,
    }
}

#[test]
fn a_kept_index_is_read_back_only_for_the_same_file() {
    let index = e10().index();
    let kept = index.encode(&stamp());
    assert_eq!(KeyIndex::decode(&kept, &stamp()), Ok(index));
    for (other, what) in [
        (
            Stamp {
                file_size: 1,
                ..stamp()
            },
            "file size",
        ),
        (
            Stamp {
                mtime_ns: 1,
                ..stamp()
            },
            "modification time",
        ),
        (
            Stamp {
                header_hash: 1,
                ..stamp()
            },
            "header",
        ),
        (
            Stamp {
                data_packets: 1,
                ..stamp()
            },
            "number of packets",
        ),
    ] {
        let e = KeyIndex::decode(&kept, &other).unwrap_err();
        assert_eq!(e.reason, Reason::Stale(what));
    }
    for len in 0..kept.len() {
        let e = KeyIndex::decode(&kept[..len], &stamp()).unwrap_err();
        assert!(matches!(e.reason, Reason::Damaged(_)));
        let mut flipped = kept.clone();
        flipped[len] ^= 4;
        let e = KeyIndex::decode(&flipped, &stamp()).unwrap_err();
        assert!(matches!(e.reason, Reason::Damaged(_)));
    }
    // The published value of FNV-1a for "a"; kept files depend on it.
    assert_eq!(header_hash(b"a"), 0xAF63_DC4C_8601_EC8C);
}

// ASF-47, ASF-48
#[test]
fn the_send_clock_wraps_and_jumps() {
    assert_eq!(since(u32::MAX - 9, 10), 20);
    assert_eq!(since(10, u32::MAX - 9), -20);
    assert!(!is_discontinuity(u32::MAX - 9, 10));
    assert!(!is_discontinuity(5, 5) && !is_discontinuity(0, 10_000));
    assert!(is_discontinuity(0, 10_001) && is_discontinuity(5, 4));
    let mut t = Timeline::new();
    let elapsed: Vec<_> = [u32::MAX - 99, 0, 400, 20_000, 20_100, 50]
        .into_iter()
        .map(|s| t.push(s))
        .collect();
    assert_eq!(elapsed, [0, 100, 500, 500, 600, 600]);
    assert_eq!(
        (t.discontinuities(), t.elapsed_ms(), t.last()),
        (2, 600, Some(50))
    );
}

// ASF-32
#[test]
fn checks_packets_of_a_source() {
    let header = Header::parse(&simple_blob(90, SIZE, 0)).unwrap();
    let streams = header.streams();
    assert!(check_header(&header).is_ok());
    assert!(check_header(&Header::parse(&simple_blob(90, 31, 0)).unwrap()).is_err());
    let good = packet(200, 1, 2, &[Piece::whole(1, true, 1, 5, 9)]);
    assert!(check_packet(&good, SIZE, &streams).is_ok());
    let other = packet(
        200,
        1,
        2,
        &[
            Piece::whole(2, true, 1, 5, 9),
            Piece::whole(3, true, 1, 5, 9),
        ],
    );
    let e = check_packet(&other, SIZE, &streams).unwrap_err();
    assert_eq!(e.reason, Reason::UndeclaredStream(3));
    assert_eq!(
        e.offset,
        13 + 17 + 9,
        "behind the head and the first payload"
    );
    let beyond = Piece {
        offset: 5,
        ..Piece::whole(1, true, 1, 5, 9)
    };
    let e = check_packet(&packet(200, 1, 2, &[beyond]), SIZE, &streams).unwrap_err();
    assert!(matches!(
        e.reason,
        Reason::PastEnd {
            need: 14,
            have: 9,
            ..
        }
    ));
    let mut broken = hex(
        "82 00 00 01 5D 00 00 00 00 3C 00 81 82 05 1C 0C 00 00 01 14 09 00 02 01 02 02 01 02 02 01 02",
    );
    assert!(check_packet(&broken, SIZE, &streams).is_ok());
    broken[28] = 9;
    assert!(check_packet(&broken, SIZE, &streams).is_err());
}

// ASF-65, ASF-68
#[test]
fn verifies_a_file() {
    let header = Header::parse(&simple_blob(90, SIZE, 0)).unwrap();
    let mut v = Verifier::new(&header);
    let part = |object, offset, len, key| Piece {
        offset,
        size: 30,
        ..Piece::whole(1, key, object, 100 - u32::from(object) % 7, len)
    };
    let mut send = 0;
    let mut number = 0;
    let mut put = |pieces: &[Piece]| {
        send += 50;
        v.packet(number, &packet(200, send, 50, pieces));
        number += 1;
    };
    // 300 objects in two pieces each: numbers wrap, presentation times go back and forth.
    for n in 0..300u32 {
        put(&[
            part(n as u8, 0, 10, n % 50 == 0),
            Piece::whole(2, false, n as u8, n, 8),
        ]);
        put(&[part(n as u8, 10, 20, n % 50 == 0)]);
    }
    // A missing second piece, a missing first piece, and one that is cut off by the end.
    put(&[part(10, 0, 10, false)]);
    put(&[part(11, 10, 20, false)]);
    put(&[part(12, 0, 10, false)]);
    v.packet(603, &[0xFF; 200]);
    let report = v.finish();
    assert_eq!(
        (report.packets, report.bad_packets, report.multiple),
        (604, 1, 603)
    );
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].0, 603);
    assert_eq!(report.findings[0].1, header.packet_offset(603));
    assert_eq!(report.bytes, 604 * 200);
    assert_eq!(report.send_duration_ms, 603 * 50);
    assert_eq!(report.discontinuities, 0);
    let used = 300 * (12 + 27 + 25) + 300 * (12 + 37) + 2 * (12 + 27) + (12 + 37);
    assert_eq!(
        report.padding,
        603 * 200 - used - 603,
        "the BYTE field is not padding"
    );
    let [video, audio] = &report.streams[..] else {
        panic!("two streams")
    };
    assert_eq!(
        (video.objects, video.key_objects, video.payloads),
        (302, 6, 603)
    );
    assert_eq!(
        video.broken_objects, 2,
        "the piece without a beginning is no object"
    );
    assert_eq!(
        (video.first_presentation, video.last_presentation),
        (Some(94), Some(100))
    );
    assert_eq!(
        (audio.objects, audio.broken_objects, audio.bytes),
        (300, 0, 2400)
    );
    assert_eq!(u64::from(audio.bit_rate), 2400 * 8000 / (603 * 50));
}
