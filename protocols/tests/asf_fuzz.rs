//! The fuzz bodies over a kept corpus and over mutations of good input.

mod asf_build;

use asf_build::*;
use proptest::prelude::*;
use protocols::asf::{Header, Packet, fuzz};
use std::path::PathBuf;

/// Every body takes any bytes.
fn all(bytes: &[u8]) {
    fuzz::header(bytes);
    fuzz::file(bytes);
    fuzz::kept_index(bytes);
    let len = bytes.len() as u32;
    for size in [len, len + 1, len + 2, len + 300, 3200] {
        fuzz::packet(bytes, size);
    }
}

/// Inputs that are kept: the reference's vectors, and whatever once failed.
#[test]
fn replays_the_corpus() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/asf");
    let mut seen = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        all(&std::fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen >= 6, "{seen} files in {}", dir.display());
}

#[test]
fn whole_files_pass() {
    let file = small_file();
    let header = Header::parse(&file).unwrap();
    assert_eq!(
        (header.streams().len(), header.packets_in(file.len() as u64)),
        (4, 6)
    );
    assert_eq!(header.remarks(), []);
    all(&file);
    for packet in packets() {
        let kept = Packet::parse(&packet, packet.len() as u32).unwrap();
        assert!(kept.payloads().count() > 0);
        fuzz::packet(&packet, packet.len() as u32);
    }
    for len in 0..file.len() {
        fuzz::file(&file[..len]);
    }
}

fn small_file() -> Vec<u8> {
    let children = [
        file_properties(6, 1000, 2, [150; 2]),
        extension(&[
            extended(1, [90_000, 0], 0, 0, &audio(5, 100)),
            hex(E4),
            priorities(&[(2, 1), (1, 0)]),
            languages(&["en", "fr"]),
        ]),
        video(1, 32),
        audio(2, 1000),
        video(3, 64),
        hex(E3),
    ];
    let mut out = blob(&children, 50 + 6 * 150, 6);
    for n in 0..6u32 {
        let pieces = [
            Piece::whole(2, false, n as u8, 1000 + n * 400, 12),
            Piece::whole(1, n % 2 == 0, n as u8, 1000 + n * 400, 20 + n as usize),
            Piece::whole(3, true, n as u8, 900 + n * 400, 9),
        ];
        out.extend(packet(150, n * 400, 400, &pieces));
    }
    out
}

/// Packets of all kinds: several payloads, one, compressed, no error correction, extensions.
fn packets() -> Vec<Vec<u8>> {
    vec![
        packet(
            120,
            7,
            9,
            &[
                Piece::whole(1, true, 1, 5, 9),
                Piece::whole(2, false, 2, 6, 11),
                Piece::whole(3, true, 3, 7, 13),
            ],
        ),
        hex(
            "82 00 00 49 5D 26 00 03 2E 00 00 00 05 00 81 02 09 00 00 00 00 08 06 00 00 00 21 0C 00 00 03 00 B0 B1 B2 00 00 00",
        ),
        hex(
            "82 00 00 08 5D 0B 2E 00 00 00 00 00 81 07 0A 00 00 00 08 14 00 00 00 1C 0C 00 00 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 00 00 00 00 00 00 00 00 00 00 00",
        ),
        hex(
            "82 00 00 01 5D 00 00 00 00 3C 00 81 82 05 1C 0C 00 00 01 14 09 00 02 01 02 02 01 02 02 01 02",
        ),
        hex(
            "13 5D 2A 01 00 2E 00 00 00 05 00 01 81 07 00 00 00 00 0A 04 00 00 00 1C 0C 00 00 E1 E2 01 02 03 04 00",
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        all(&bytes);
    }

    #[test]
    fn mutated_packets(
        which in 0usize..5,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        spare in 0u32..600,
    ) {
        let mut bytes = packets().swap_remove(which);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(len.index(bytes.len() + 1));
        }
        fuzz::packet(&bytes, bytes.len() as u32 + spare);
        fuzz::packet(&bytes, bytes.len() as u32);
    }

    /// The first bytes decide the form of a packet.
    #[test]
    fn mutated_packet_heads(
        which in 0usize..5,
        length_flags in any::<u8>(),
        properties in 0u8..64,
        correction in proptest::collection::vec(any::<u8>(), 0..16),
        spare in 0u32..300,
    ) {
        let tail = packets().swap_remove(which).split_off(5);
        let mut bytes = Vec::new();
        if !correction.is_empty() {
            bytes.push(0x80 | (correction.len() - 1) as u8);
            bytes.extend(&correction[1..]);
        }
        bytes.extend([length_flags & 0x7F, 0x40 | properties]);
        bytes.extend(tail);
        fuzz::packet(&bytes, bytes.len() as u32 + spare);
    }

    #[test]
    fn mutated_files(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut bytes = small_file();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        fuzz::header(&bytes);
        fuzz::file(&bytes);
    }
}
