//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. The tests
//! replay a kept corpus and mutations through them; a fuzzer can call them as they are.

use super::check::{Verifier, check_packet};
use super::digest::{object_starts, starts_key};
use super::file_index::{IndexObject, SimpleIndex};
use super::filter::Filter;
use super::header::{Header, header_len};
use super::index::{Indexer, KeyIndex, Stamp, header_hash};
use super::packet::Packet;
use super::rewrite::{broadcast_blob, redirect_of};
use super::seek::{Hints, READS_MAX, Seek, SeekStep, SeekTarget};
use super::trim::{Form, pad, trim_as};
use crate::content::{Level, Selection, StreamInfo, StreamKind, StreamSwitch};

/// A header blob.
pub fn header(bytes: &[u8]) {
    let _ = header_len(bytes);
    let _ = redirect_of(bytes);
    let Ok(header) = Header::parse(bytes) else {
        return;
    };
    let on = header.auto_select(Some(300_000), true).on;
    assert_ne!(on, 0, "something is always selected");
    for group in header.exclusions(true) {
        assert!(group.holds(on), "{group:?} holds for {on:b}");
    }
    let live = broadcast_blob(bytes, Some([7; 16])).expect("what parses can be rewritten");
    let live = Header::parse(&live).expect("what was rewritten parses");
    assert!(live.is_broadcast() && !live.is_seekable() && live.play_duration_ms().is_none());
    assert_eq!(live.streams(), header.streams());
    assert_eq!(live.objects(), header.objects());
}

/// A packet of at most `packet_size` bytes.
pub fn packet(bytes: &[u8], packet_size: u32) {
    let streams = streams();
    let mut out = Vec::new();
    let Ok(packet) = Packet::parse(bytes, packet_size) else {
        assert!(trim_as(Form::Plain, bytes, packet_size, &mut out).is_err());
        assert!(check_packet(bytes, packet_size, &streams).is_err());
        assert!(out.is_empty());
        return;
    };
    assert_eq!(packet.payloads().count(), packet.payload_count());
    for form in [Form::ExplicitLength, Form::Plain] {
        out.clear();
        trim_as(form, bytes, packet_size, &mut out).expect("what parses can be cut");
        let came_short = (bytes.len() as u64) < u64::from(packet_size);
        let may_grow = came_short && packet.explicit_length().is_none();
        assert!(out.len() <= bytes.len() || may_grow);
        assert!(out.len() <= packet_size as usize);
        same_payloads(&packet, &out, packet_size);
        let mut again = Vec::new();
        trim_as(form, &out, packet_size, &mut again).expect("what was cut can be cut");
        assert_eq!(again, out, "cutting twice changes nothing more");
        let mut padded = Vec::new();
        pad(&out, packet_size, &mut padded).expect("what was cut can be padded");
        assert_eq!(padded.len(), packet_size as usize);
        same_payloads(&packet, &padded, packet_size);
    }
    object_starts(bytes, packet_size, &streams, |o| {
        assert!((1..=127).contains(&o.stream));
    })
    .expect("what parses has starts");
    filter(&packet, packet_size, &streams);
}

fn filter(packet: &Packet<'_>, packet_size: u32, streams: &[StreamInfo]) {
    let selection = Selection::of([1, 2]);
    let switch = StreamSwitch {
        from: Some(1),
        to: Some(3),
        level: Level::KeyOnly,
    };
    let mut switched = Filter::steady(selection, streams);
    switched.switch(&[switch]);
    for filter in [
        Filter::start(selection, streams),
        Filter::steady(selection, streams),
        switched,
    ] {
        for keep_padding in [false, true] {
            let mut out = vec![0xEE; 3];
            let mut filter = filter.clone();
            let kept = filter
                .apply(packet.bytes(), packet_size, keep_padding, &mut out)
                .expect("what parses can be filtered");
            let (before, after) = out.split_at(3);
            assert_eq!(before, [0xEE; 3]);
            let Some(kept) = kept else {
                assert!(after.is_empty());
                continue;
            };
            assert!(!keep_padding || after.len() == packet_size as usize);
            let result = Packet::parse(after, packet_size).expect("what is sent parses");
            assert_eq!(result.send_time(), kept.send_time);
            let mut originals = packet.payloads();
            for payload in result.payloads() {
                let known = [1, 2, 3].contains(&payload.stream);
                assert!(known, "only selected streams");
                assert!(originals.any(|o| o.data == payload.data && o.stream == payload.stream));
            }
            if filter.target() == selection {
                let starts = starts_key(after, packet_size, selection, streams);
                assert_eq!(kept.key, starts);
            }
        }
    }
}

/// The rewritten packet holds the same payloads, byte for byte.
fn same_payloads(packet: &Packet<'_>, rewritten: &[u8], packet_size: u32) {
    let again = Packet::parse(rewritten, packet_size).expect("what was rewritten parses");
    assert_eq!(again.payload_count(), packet.payload_count());
    assert_eq!(again.send_time(), packet.send_time());
    assert_eq!(again.duration(), packet.duration());
    assert_eq!(again.sequence(), packet.sequence());
    assert_eq!(again.error_correction(), packet.error_correction());
    for (a, b) in packet.payloads().zip(again.payloads()) {
        assert_eq!(packet.bytes()[a.range()], rewritten[b.range()]);
        assert_eq!(a.data, b.data);
    }
}

/// A whole file, or what claims to be one: header, packets, index objects.
pub fn file(bytes: &[u8]) {
    let _ = IndexObject::parse(bytes);
    let _ = SimpleIndex::parse(bytes);
    let Ok(header) = Header::parse(bytes) else {
        return;
    };
    let count = header.packets_in(bytes.len() as u64).min(4096);
    let read = |n: u32| {
        let at = usize::try_from(header.packet_offset(n)).ok()?;
        bytes.get(at..at + header.packet_size() as usize)
    };
    let mut indexer = Indexer::new(&header);
    let mut verifier = Verifier::new(&header);
    for n in 0..count {
        let packet = read(n).expect("packets_in counts whole packets");
        let _ = indexer.packet(n, packet);
        verifier.packet(n, packet);
    }
    let keys = indexer.finish();
    let report = verifier.finish();
    assert!(keys.bad_packets <= report.bad_packets && report.padding <= report.bytes);
    let stamp = Stamp {
        file_size: bytes.len() as u64,
        mtime_ns: -1,
        header_hash: header_hash(&bytes[..header.blob_len() as usize]),
        data_packets: u64::from(count),
    };
    let kept = keys.encode(&stamp);
    assert_eq!(KeyIndex::decode(&kept, &stamp).as_ref(), Ok(&keys));
    for keys in [None, Some(&keys)] {
        let hints = Hints {
            keys,
            ..Hints::default()
        };
        let target = SeekTarget::PlayTime(1500);
        let seek = Seek::new(&header, target, Selection::ALL, hints, count);
        let found = run(seek, read);
        assert!(found == 0 || found < count);
    }
}

/// A kept index.
pub fn kept_index(bytes: &[u8]) {
    let stamp = Stamp {
        file_size: 1,
        mtime_ns: 2,
        header_hash: 3,
        data_packets: 4,
    };
    if let Ok(index) = KeyIndex::decode(bytes, &stamp) {
        assert_eq!(index.encode(&stamp), bytes);
    }
}

/// Run a seek over packets in memory.
pub fn run<'a>(mut seek: Seek, read: impl Fn(u32) -> Option<&'a [u8]>) -> u32 {
    for _ in 0..=READS_MAX {
        match seek.step() {
            SeekStep::Done(packet) => return packet,
            SeekStep::NeedPacket(n) => match read(n) {
                Some(bytes) => seek.give(n, bytes),
                None => seek.missing(n),
            },
        }
    }
    panic!("a seek reads at most {READS_MAX} packets");
}

fn streams() -> Vec<StreamInfo> {
    let kinds = [StreamKind::Video, StreamKind::Audio, StreamKind::Video];
    (1u8..)
        .zip(kinds)
        .map(|(number, kind)| StreamInfo {
            number,
            kind,
            average_bit_rate: 0,
            peak_bit_rate: 0,
            all_key: kind != StreamKind::Video,
        })
        .collect()
}
