//! Files made of a live stream: the header at every moment, and the index at the end.

mod asf_build;

use asf_build::*;
use protocols::asf::header::DATA_HEAD;
use protocols::asf::index::SimpleIndex;
use protocols::asf::recording::{self, Extent, Ledger, RecordingHeader};
use protocols::asf::{Header, broadcast_blob};

const SIZE: u32 = 400;
const PREROLL: u64 = 1000;
const ID: [u8; 16] = [0xAB; 16];

/// The header that a live stream has.
fn live() -> Vec<u8> {
    broadcast_blob(&simple_blob(7, SIZE, PREROLL), None).unwrap()
}

fn patched(header: &RecordingHeader, extent: &Extent, patches: usize) -> Vec<u8> {
    let mut file = header.blob().to_vec();
    for patch in header.patches(extent).iter().take(patches) {
        let at = patch.at as usize;
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

// ASF-07, ASF-23
#[test]
fn the_header_is_one_on_demand_again() {
    let made = RecordingHeader::new(&live(), ID, 1_700_000_000).unwrap();
    let header = Header::parse(made.blob()).unwrap();
    assert!(!header.is_broadcast() && header.is_seekable());
    assert_eq!(header.file_id(), ID);
    assert_eq!(header.preroll_ms(), 1000);
    let file = header.file_properties();
    assert_eq!(file.creation_date, 133_444_736_000_000_000);
    assert_eq!((file.packet_count, file.play_duration), (0, 0));
    assert_eq!(file.file_size, made.blob().len() as u64);
    // Nothing else has changed.
    let live = live();
    let differing: Vec<usize> = (0..live.len())
        .filter(|&at| live[at] != made.blob()[at])
        .collect();
    let properties = 30 + 24..30 + 92;
    let data = live.len() - DATA_HEAD + 16..live.len();
    assert!(
        differing
            .iter()
            .all(|at| properties.contains(at) || data.contains(at)),
        "{differing:?}"
    );
}

#[test]
fn the_header_tells_what_there_is_at_every_moment() {
    let made = RecordingHeader::new(&live(), ID, 0).unwrap();
    let extent = Extent {
        packets: 12,
        send_ms: 1200,
        play_ms: 2300,
        index_bytes: 62,
    };
    // A crash between the two leaves a header that says the right number all the same.
    let half = Header::parse(&patched(&made, &extent, 1)).unwrap();
    assert_eq!(half.packet_count(), Some(12));
    assert_eq!(half.packets_in(u64::MAX), 12);
    let blob = patched(&made, &extent, 2);
    let whole = Header::parse(&blob).unwrap();
    assert_eq!(whole.packet_count(), Some(12));
    assert_eq!(whole.data_size(), Some(12 * u64::from(SIZE)));
    assert_eq!(whole.play_duration_ms(), Some(1300));
    let file = whole.file_properties();
    assert_eq!(file.packet_count, 12);
    assert_eq!(file.send_duration, 12_000_000);
    assert_eq!(file.file_size, blob.len() as u64 + 12 * 400 + 62);
    let mut data = [0; DATA_HEAD];
    data.copy_from_slice(&blob[blob.len() - DATA_HEAD..]);
    assert_eq!(recording::packets_stated(&data), 12);
    assert_eq!(data[24..40], ID);
    // And back.
    let empty = Header::parse(&patched(&made, &Extent::default(), 2)).unwrap();
    assert_eq!(empty.packet_count(), None);
}

/// A key frame that takes two packets every four packets of 700 ms each.
fn packets() -> Vec<Vec<u8>> {
    let piece = |n: u32, key: bool, object: u8, offset: u32, at: u32| Piece {
        offset,
        size: 300,
        ..Piece::whole(
            1,
            key,
            object,
            at + PREROLL as u32,
            if n == 0 { 100 } else { 150 },
        )
    };
    (0..12u32)
        .map(|n| {
            let sent = n * 700;
            let pieces = match n % 4 {
                0 => vec![piece(n, true, n as u8, 0, sent)],
                1 => vec![
                    piece(n, true, n as u8 - 1, 150, sent - 700),
                    piece(n, false, n as u8, 0, sent),
                ],
                _ => vec![piece(n, false, n as u8, 0, sent)],
            };
            packet(SIZE as usize, sent, 700, &pieces)
        })
        .collect()
}

// ASF-52
#[test]
fn the_index_names_the_latest_key_frame_of_every_second() {
    let made = RecordingHeader::new(&live(), ID, 0).unwrap();
    let mut ledger = Ledger::new(made.header());
    assert_eq!(ledger.simple_indexes(ID), Vec::<u8>::new());
    for packet in packets() {
        ledger.packet(&packet).unwrap();
    }
    assert!(
        ledger.packet(&[0x82, 0, 0]).is_err(),
        "damage is not counted"
    );
    let extent = ledger.extent();
    assert_eq!(
        (extent.packets, extent.send_ms, extent.play_ms),
        (12, 11 * 700 + 700, 11 * 700 + 1000 + 700)
    );
    let bytes = ledger.simple_indexes(ID);
    let index = SimpleIndex::parse(&bytes).unwrap();
    assert_eq!(index.encode(), bytes);
    assert_eq!((index.interval_hns, index.packets_max), (10_000_000, 2));
    assert_eq!(index.file_id.0, ID);
    // Key frames are shown at 1000, 3800 and 6600 ms; the last picture at 8700.
    let entries: Vec<(u32, u16)> = index.entries.iter().map(|e| (e.packet, e.count)).collect();
    let wanted = [0, 0, 0, 0, 4, 4, 4, 8, 8].map(|packet| (packet, 2));
    assert_eq!(entries, wanted);
}

/// A sender cannot make the index as long as it likes.
#[test]
fn times_out_of_reach_do_not_fill_memory() {
    let made = RecordingHeader::new(&live(), ID, 0).unwrap();
    let mut ledger = Ledger::new(made.header());
    for shown in [1000, u32::MAX] {
        let piece = Piece::whole(1, true, 0, shown, 100);
        ledger
            .packet(&packet(SIZE as usize, 0, 0, &[piece]))
            .unwrap();
    }
    assert!(ledger.simple_indexes(ID).len() < 56 + 70 * 6);
    assert!(ledger.extent().play_ms < 70_000);
}

#[test]
fn a_header_of_the_same_streams_is_known_whatever_its_file_id() {
    let one = live();
    let other = broadcast_blob(&simple_blob(99, SIZE, PREROLL), Some([7; 16])).unwrap();
    assert!(recording::same_streams(&one, &other));
    let changed = simple_blob(7, SIZE, PREROLL + 1);
    assert!(!recording::same_streams(&one, &changed));
    assert!(!recording::same_streams(&one[..40], &one[..40]));
}

#[test]
fn the_extension_tells_windows_media_from_others() {
    let of = |streams: &[Vec<u8>]| {
        let mut children = vec![file_properties(0, 0, 2, [SIZE; 2]), extension(&[])];
        children.extend_from_slice(streams);
        recording::extension(&Header::parse(&blob(&children, 50, 0)).unwrap())
    };
    assert_eq!(of(&[video(1, 320), audio(2, 1000)]), "wmv");
    assert_eq!(of(&[audio(2, 1000)]), "wma");
    let mut h264 = video(1, 320);
    let at = h264.windows(4).position(|w| w == b"WMV2").unwrap();
    h264[at..at + 4].copy_from_slice(b"H264");
    assert_eq!(of(&[h264, audio(2, 1000)]), "asf");
}
