//! The body of a PushStart: order of frames, headers and packets that lie, and anything else.

mod wmhttp_support;

use proptest::prelude::*;
use protocols::machine::*;
use protocols::media::IngestEvent;
use protocols::wmhttp::{frame::Kind, fuzz};
use std::path::Path;
use wmhttp_support::*;

/// A session whose body is this; its connection.
fn fed(body: &[u8]) -> (Bench, ConnId) {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.send(conn, start(&id, ENDLESS));
    b.send(conn, body);
    (b, conn)
}

/// Where in the body it ended, and why.
fn fault(body: &[u8]) -> (u64, String) {
    let (mut b, conn) = fed(body);
    let reply = b.reply(conn);
    assert_eq!(
        (reply.status(), reply.get("Connection")),
        (400, Some("close"))
    );
    let (how, fault) = b.closed[&conn].clone();
    assert_eq!((how, b.refused()), (CloseHow::Flush, vec![400]));
    assert_eq!((b.server.session_count(), b.wake), (0, None));
    assert_eq!(b.ingested.last(), Some(&Ingested::Withdrawn(1, true)));
    let fault = fault.unwrap();
    let begun = b.published().iter().any(|e| e.starts_with("header"));
    let told = b.published().contains(&format!("failed: {}", fault.reason));
    assert_eq!(told, begun, "who never began has nothing to end");
    let heads = setup("0", "AutoDestroy: 1\r\n").len() + start("1234567890", ENDLESS).len();
    (fault.offset - heads as u64, fault.reason)
}

// WMHTTP-80
#[test]
fn the_first_frame_is_the_header() {
    for first in [data(P1), change(S1), end(0), end(1), filler(20)] {
        assert_eq!(fault(&first), (0, "first frame is not $H".to_owned()));
    }
}

// wmhttp.md 5.2
#[test]
fn the_order_of_frames() {
    let h = header(S1);
    let at = |frames: &[Vec<u8>]| fault(&frames.concat());
    let (offset, reason) = at(&[h.clone(), data(P1), end(1), data(P2)]);
    assert_eq!((offset, &*reason), (330 + 45 + 8, "$D between $E and $C"));
    let (mut b, conn) = fed(&[
        h.clone(),
        filler(4),
        data(P1),
        end(1),
        filler(9),
        end(1),
        change(S1),
        filler(5),
        change(S1),
        header(S1),
        data(P2),
    ]
    .concat());
    assert_eq!(
        b.published(),
        [
            "header 326",
            "packet 0 42",
            "entry end",
            "header 326",
            "header 326",
            "header 326",
            "packet 1 36"
        ]
    );
    assert_eq!(b.server.counts().unexpected_headers, 2);
    b.send(conn, [end(1), end(0x8000_4005)].concat());
    assert_eq!(
        b.published()[7..],
        ["entry end", "end 2147500037", "withdrawn true"]
    );
    assert!(!b.is_open(conn));
}

// WMHTTP-89
#[test]
fn an_entry_may_end_with_its_body() {
    let body = [header(S1), data(P1), end(1)].concat();
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.send(conn, start(&id, body.len() as u64));
    b.send(conn, &body);
    assert_eq!(b.reply(conn).status(), 204);
    b.send(
        conn,
        [start(&id, ENDLESS).into_bytes(), change(S1), data(P2)].concat(),
    );
    assert_eq!(
        b.published(),
        [
            "header 326",
            "packet 0 42",
            "entry end",
            "header 326",
            "packet 1 36"
        ]
    );
    assert_eq!(b.server.counts().unexpected_headers, 0);
    // What the last body did not allow, the next one does not either.
    b.send(conn, end(1));
    b.send(conn, filler(20));
    b.send(conn, data(P1));
    assert_eq!(b.reply(conn).status(), 400);
}

// WMHTTP-104
#[test]
fn tolerated_frames() {
    let mut odd = [header(S1), data(P1)].concat();
    odd[0] |= 0x80;
    odd[330] |= 0x80;
    let unknown = [&[0x24, b'P', 5, 0][..], &[1; 5]].concat();
    let (mut b, conn) = fed(&[odd, unknown].concat());
    assert_eq!(b.published(), ["header 326", "packet 0 42"]);
    assert_eq!(b.server.counts().unknown_frames, 1);
    b.send(conn, [0x24, 0x45, 0, 0]);
    assert_eq!(b.published()[2..], ["end 0", "withdrawn true"]);
}

#[test]
fn what_is_no_frame_ends_the_session() {
    let h = header(S1);
    let (offset, reason) = fault(&[h.clone(), b"HTTP".to_vec()].concat());
    assert_eq!((offset, &*reason), (330, "start of a frame"));
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.send(conn, start(&id, 374));
    b.send(conn, [h, data(P1)].concat());
    assert_eq!(b.reply(conn).status(), 400, "a frame beyond the body");
    assert_eq!(
        b.published()[1..],
        [
            "failed: frame that reaches beyond the body",
            "withdrawn true"
        ]
    );
}

// ASF-22, WMHTTP-85, WMHTTP-90
#[test]
fn headers_that_lie() {
    let good = unhex(S1);
    let mut short = good.clone();
    short.truncate(300);
    let mut no_data = good.clone();
    no_data[276] ^= 1;
    let mut sizes = good.clone();
    sizes[0x7A] = 65;
    let mut count = good.clone();
    count[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    // As a player gets it, with the data header of MMS.
    let mms = [&[0, 0, 0, 0, 0, 0x0C, 0x4E, 1][..], &good].concat();
    for lie in [vec![], short, no_data, sizes, count, vec![0; 326], mms] {
        let (offset, reason) = fault(&put(Kind::Header, 0, &lie));
        assert_eq!(offset, 0);
        assert!(reason.starts_with("ASF header: "), "{reason}");
        // Of a stream that runs, what came before stays.
        let later = [header(S1), data(P1), end(1), put(Kind::Change, 0, &lie)].concat();
        assert_eq!(fault(&later).0, 330 + 45 + 8);
    }
    // What is behind a header is none of it.
    let long = [good, vec![9; 20]].concat();
    let (b, _) = fed(&put(Kind::Header, 0, &long));
    assert_eq!(b.published(), ["header 326"]);
}

/// The synthetic header made this long by an object that nobody knows.
fn of_length(len: usize) -> Vec<u8> {
    let good = unhex(S1);
    let at = good.len() - 50;
    let size = len - good.len();
    let object = [
        &[0x77; 16][..],
        &(size as u64).to_le_bytes(),
        &vec![0; size - 24],
    ]
    .concat();
    let mut long = [&good[..at], &object, &good[at..]].concat();
    long[16..24].copy_from_slice(&(len as u64 - 50).to_le_bytes());
    long[24] += 1;
    long
}

// ASF-22
#[test]
fn headers_that_are_too_long() {
    let (b, _) = fed(&put(Kind::Header, 0, &of_length(65_531)));
    assert_eq!(b.published(), ["header 65531"]);
    let (offset, reason) = fault(&put(Kind::Header, 0, &of_length(65_532)));
    assert_eq!(
        (offset, &*reason),
        (0, "ASF header: 65532 bytes where 65531 are most")
    );
    let changed = |len| [header(S1), end(1), put(Kind::Change, 0, &of_length(len))].concat();
    let (b, _) = fed(&changed(65_527));
    assert_eq!(b.published()[2], "header 65527");
    let (offset, reason) = fault(&changed(65_528));
    assert_eq!(
        (offset, &*reason),
        (330 + 8, "ASF header: 65528 bytes where 65527 are most")
    );
}

// WMHTTP-86
#[test]
fn damaged_packets_are_left_out() {
    let mut damaged = unhex(P1);
    damaged[3] = 0x7F;
    let (b, conn) = fed(&[
        header(S1),
        put(Kind::Data, 0, &damaged),
        put(Kind::Data, 0, b""),
        data(P1),
        put(Kind::Data, 0, &[0x82; 10]),
        data(P2),
    ]
    .concat());
    assert_eq!(b.published(), ["header 326", "packet 0 42", "packet 1 36"]);
    assert_eq!(b.server.counts().damaged_packets, 3);
    assert!(b.is_open(conn));
    let (offset, reason) = fault(&[header(S1), put(Kind::Data, 0, &[0x82; 65])].concat());
    assert_eq!(
        (offset, &*reason),
        (330, "packet of 65 bytes where 64 are most")
    );
}

// WMHTTP-111
#[test]
fn no_packet_with_one_payload_stays_bare() {
    let (b, _) = fed(&[header(S1), data(F1), data(P1), data(P2)].concat());
    let packets: Vec<_> = b
        .ingested
        .iter()
        .filter_map(|i| match i {
            Ingested::Event(_, IngestEvent::Packet { bytes, .. }) => Some(bytes.to_vec()),
            _ => None,
        })
        .collect();
    assert_eq!(packets[0], unhex(F1), "whole ones stay as they are");
    assert_eq!(packets[1..], [passed_on(P1), passed_on(P2)]);
    for packet in &packets[1..] {
        let parsed = protocols::asf::Packet::parse(packet, 64).unwrap();
        assert_eq!(parsed.explicit_length(), Some(packet.len() as u32));
    }
    // Their own length is kept, and many payloads have lengths of their own.
    let (b, _) = fed(&[header(S1), put(Kind::Data, 0, &passed_on(P3))].concat());
    assert_eq!(
        b.published()[1],
        format!("packet 0 {}", passed_on(P3).len())
    );
}

// WMHTTP-112: FFmpeg's `asf_stream` frames, turned into a push as the reference tells.
#[test]
fn what_ffmpeg_writes_is_taken() {
    let pull = |id: u8, payload: &[u8]| {
        let len = (payload.len() as u16 + 8).to_le_bytes();
        let flags = if id == b'H' { 0x0C } else { 0 };
        let head = [
            b'$', id, len[0], len[1], 1, 0, 0, 0, 0, flags, len[0], len[1],
        ];
        [&head[..], payload].concat()
    };
    let stream = [
        pull(b'H', &unhex(S1)),
        pull(b'D', &unhex(F1)),
        pull(b'D', &unhex(F2)),
        pull(b'E', b""),
    ];
    let mut body = Vec::new();
    for frame in &stream {
        if frame[1] == b'E' {
            body.extend(end(0));
            continue;
        }
        let len = (frame.len() as u16 - 12).to_le_bytes();
        body.extend([&[b'$', frame[1], len[0], len[1]], &frame[12..]].concat());
    }
    let (b, _) = fed(&body);
    assert_eq!(
        b.published(),
        [
            "header 326",
            "packet 0 64",
            "packet 1 64",
            "end 0",
            "withdrawn true"
        ]
    );
}

fn corpus() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/push");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 3);
    let read = |file: &std::path::PathBuf| std::fs::read(file).expect("a corpus file");
    files.iter().map(read).collect()
}

#[test]
fn the_server_takes_the_corpus() {
    for bytes in corpus() {
        fuzz::body(&bytes);
        fuzz::server(&bytes);
    }
    let (id, body) = ("0", [header(S1), data(P1), end(0)].concat());
    fuzz::server(
        &[
            setup(id, "AutoDestroy: 1\r\n").into_bytes(),
            start(id, 383).into_bytes(),
            body,
        ]
        .concat(),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_bodies(
        which in 0usize..64,
        at in 0usize..4096,
        with in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        let corpus = corpus();
        let mut bytes = corpus[which % corpus.len()].clone();
        let at = at % bytes.len();
        bytes.splice(at..(at + with.len() / 2).min(bytes.len()), with);
        fuzz::body(&bytes);
    }

    #[test]
    fn bodies_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        fuzz::body(&[header(S1), bytes.clone()].concat());
        fuzz::server(&bytes);
    }

    #[test]
    fn damaged_requests(at in 0usize..800, with in proptest::collection::vec(any::<u8>(), 0..24)) {
        let body = [header(S1), data(P1)].concat();
        let setup = setup("0", "Template-URL: \"/a\"\r\nAutoDestroy: 1\r\n");
        let mut bytes = [setup.into_bytes(), start("0", 375).into_bytes(), body].concat();
        let at = at % bytes.len();
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        fuzz::server(&bytes);
    }

    /// Frames of any kind, order and length.
    #[test]
    fn frames_of_anything(frames in proptest::collection::vec(
        (prop_oneof![Just(b'H'), Just(b'D'), Just(b'C'), Just(b'E'), Just(b'F'), any::<u8>()],
         prop_oneof![Just(unhex(S1)), Just(unhex(P1)), Just(unhex(F2)), proptest::collection::vec(any::<u8>(), 0..80)],
         0u32..3),
        0..12,
    )) {
        let mut bytes = header(S1);
        for (kind, payload, reason) in frames {
            bytes.extend(put(Kind::from_byte(kind), reason, &payload));
        }
        fuzz::body(&bytes);
    }
}
