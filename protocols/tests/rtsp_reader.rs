//! RTSP messages and interleaved frames out of a byte stream.

use proptest::prelude::*;
use protocols::rtsp::head::{self, Head, Method, Refused, Start, Target};
use protocols::rtsp::reader::{Limits, Reader, Step, frame_head};

const LIMITS: Limits = Limits {
    head_bytes_max: 600,
    body_bytes_max: 200,
    frame_bytes_max: 100,
};

/// A step, owned.
#[derive(Debug, PartialEq)]
enum Got {
    Message(Head, Vec<u8>, u64),
    Frame(u8, Vec<u8>),
    Skipped(u8),
}

/// Everything a stream gives when it arrives in pieces of `size` bytes.
fn run(bytes: &[u8], size: usize) -> (Vec<Got>, Option<Refused>) {
    let mut reader = Reader::default();
    let mut got = Vec::new();
    for piece in bytes.chunks(size) {
        reader.push(piece);
        loop {
            match reader.next(&LIMITS) {
                Ok(Step::Wait) => break,
                Ok(Step::Message(m)) => got.push(Got::Message(*m.head, m.body, m.offset)),
                Ok(Step::Frame { channel, bytes }) => got.push(Got::Frame(channel, bytes.to_vec())),
                Ok(Step::Skipped { channel }) => got.push(Got::Skipped(channel)),
                Err(refused) => return (got, Some(refused)),
            }
        }
    }
    (got, None)
}

fn at_every_split(bytes: &[u8]) -> (Vec<Got>, Option<Refused>) {
    let whole = run(bytes, bytes.len().max(1));
    for size in 1..bytes.len() {
        assert_eq!(run(bytes, size), whole, "in pieces of {size}");
    }
    whole
}

fn message(got: &Got) -> (&Head, &[u8], u64) {
    match got {
        Got::Message(head, body, offset) => (head, body, *offset),
        other => panic!("no message: {other:?}"),
    }
}

// RTSP-03
#[test]
fn requests_responses_and_frames_in_one_stream() {
    let (got, refused) = at_every_split(
        b"\r\n\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x00\x00\x03abc$\x01\x00\x00\
          SET_PARAMETER rtsp://h:554/a/?q RTSP/1.0\nCSeq:2\nContent-Length: 4\n\n$\x02\x00\x09\
          RTSP/1.0 454 Session Not Found\r\ncseq: 7\r\n\r\nRTSP/1.0 200\r\n\r\nPLAY",
    );
    assert_eq!(refused, None);
    let (first, body, offset) = message(&got[0]);
    assert_eq!(first.method(), Some(&Method::Options));
    assert_eq!((first.cseq(), body, offset), (Some(1), &b""[..], 3));
    assert_eq!(first.target().map(|t| &*t.path), Some("*"));
    assert_eq!(got[1], Got::Frame(0, b"abc".to_vec()));
    assert_eq!(got[2], Got::Frame(1, Vec::new()));
    let (second, body, _) = message(&got[3]);
    // A `$` inside a body is body.
    assert_eq!((second.cseq(), body), (Some(2), &b"$\x02\x00\x09"[..]));
    let target = second.target().unwrap();
    assert_eq!(
        (&*target.authority, &*target.path, &*target.query),
        ("h:554", "/a/", "q")
    );
    let (third, _, _) = message(&got[4]);
    assert_eq!((third.status(), third.cseq()), (Some(454), Some(7)));
    let (fourth, _, _) = message(&got[5]);
    let start = Start::Response {
        status: 200,
        phrase: String::new(),
    };
    assert_eq!((&fourth.start, fourth.cseq()), (&start, None));
    assert_eq!(got.len(), 6);
}

// The request that GStreamer sends back, a NUL behind the body it names first.
#[test]
fn an_echoed_end_of_stream() {
    let (got, refused) = at_every_split(
        b"SET_PARAMETER rtsp://h/a RTSP/1.0\r\nCSeq: 12\r\nContent-Type: application/x-wms-extension-cmd\r\n\
          Content-Length: 9\r\nCSeq: 1\r\nContent-Length: 10\r\n\r\nEOF: true\0\
          \0\r\nTEARDOWN rtsp://h/a RTSP/1.0\r\nCSeq: 13\r\n\r\n",
    );
    assert_eq!(refused, None);
    let (echo, body, _) = message(&got[0]);
    assert_eq!((echo.cseq(), body), (Some(12), &b"EOF: true\0"[..]));
    assert_eq!(message(&got[1]).0.method(), Some(&Method::Teardown));
    // Elsewhere two lengths are two readings of where the next message begins.
    let (_, refused) = at_every_split(
        b"SET_PARAMETER rtsp://h/a RTSP/1.0\r\nContent-Length: 9\r\nContent-Length: 10\r\n\r\n",
    );
    assert_eq!(refused.map(|r| r.status), Some(400));
}

#[test]
fn long_frames_go_by_without_being_kept() {
    let mut bytes = frame_head(4, 5000).unwrap().to_vec();
    bytes.extend_from_slice(&[b'$'; 5000]);
    bytes.extend_from_slice(b"$\x06\x00\x01x");
    for size in [1, 3, 4, 5, 100, 5003, 5004, 5005, 6000] {
        let want = vec![Got::Skipped(4), Got::Frame(6, b"x".to_vec())];
        assert_eq!(run(&bytes, size), (want, None), "in pieces of {size}");
    }
    let mut reader = Reader::default();
    reader.push(&bytes[..3000]);
    assert_eq!(reader.next(&LIMITS), Ok(Step::Wait));
    assert_eq!(reader.buffered(), 0);
    assert_eq!(frame_head(0, 65_536), None);
}

#[test]
fn limits_and_damage_are_placed_alike_at_every_split() {
    let refused = |bytes: &[u8]| {
        let refused = at_every_split(bytes).1.expect("a refusal");
        (
            refused.status,
            refused.fault.production,
            refused.fault.offset,
        )
    };
    let long = format!("PLAY /{} RTSP/1.0\r\n\r\n", "a".repeat(700));
    assert_eq!(refused(long.as_bytes()), (431, "message head", 0));
    assert_eq!(refused(&[b'a'; 700]), (431, "message head", 0));
    assert_eq!(refused(b"\r\n\x16\x03\x01"), (400, "start line", 2));
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\nContent-Length: 201\r\n\r\n"),
        (413, "message body", 40)
    );
    assert_eq!(refused(b"PLAY / RTSP/2.0\r\n\r\n"), (505, "start line", 7));
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), (400, "start line", 6));
    assert_eq!(refused(b"PLAY\r\n\r\n"), (400, "start line", 0));
    assert_eq!(refused(b"PLAY x RTSP/1.0\r\n\r\n"), (400, "request URL", 5));
    assert_eq!(
        refused(b"PLAY http://h/ RTSP/1.0\r\n\r\n"),
        (400, "request URL", 5)
    );
    assert_eq!(refused(b"PLAY * RTSP/1.0\r\n\r\n"), (400, "request URL", 5));
    assert_eq!(refused(b"RTSP/1.0 20 OK\r\n\r\n"), (400, "status line", 9));
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\nab\r\n\r\n"),
        (400, "header line", 17)
    );
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\na b: c\r\n\r\n"),
        (400, "header name", 17)
    );
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\n b\r\n\r\n"),
        (400, "header line", 17)
    );
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\na: b\x01\r\n\r\n"),
        (400, "message head", 21)
    );
    assert_eq!(
        refused(b"PLAY / RTSP/1.0\r\nContent-Length: -1\r\n\r\n").1,
        "Content-Length"
    );
    let many = format!("PLAY / RTSP/1.0\r\n{}\r\n", "a:b\r\n".repeat(65));
    assert_eq!(refused(many.as_bytes()), (431, "header line", 17 + 64 * 5));
    // The place counts from the start of the connection.
    let two = b"PLAY / RTSP/1.0\r\n\r\n$\0\0\0PLAY / RTSP/1.0\r\nab\r\n\r\n";
    assert_eq!(refused(two), (400, "header line", 19 + 4 + 17));
    let text = at_every_split(two).1.unwrap().to_string();
    assert_eq!(text, "no colon in header line at byte 40");
}

// RTSP-61
#[test]
fn folded_and_foreign_lines() {
    let head = Head::parse(
        b"DESCRIBE rtspt://H/a RTSP/1.0\r\nSupported: a,\r\n\t b\r\nsupported: c\r\nX-Unknown: \xff\r\nEmpty:\r\n\r\n",
    )
    .unwrap();
    let all: Vec<_> = head.list("Supported").collect();
    assert_eq!(all, ["a", "b", "c"]);
    assert_eq!(head.get("x-unknown"), Some("\u{FFFD}"));
    assert_eq!(head.get("EMPTY"), Some(""));
    assert_eq!(head.content_length(), 0);
}

#[test]
fn targets_with_and_without_the_slash() {
    let t = |uri: &str| Target::parse(uri, false).unwrap();
    assert!(t("rtsp://h/tone.wma/").is_at("/tone.wma"));
    assert!(t("rtsp://h/tone.wma").is_at("/tone.wma/"));
    assert!(!t("rtsp://h/tone.wma2").is_at("/tone.wma"));
    assert!(t("rtsp://h").is_at("/"));
    assert_eq!(
        t("rtsp://h/tone.wma/audio").below("/tone.wma"),
        Some("audio")
    );
    assert_eq!(t("RTSPU://h/tone.wma/").below("/tone.wma/"), Some(""));
    assert_eq!(t("rtsp://h/tone.wmaaudio").below("/tone.wma/"), None);
    assert_eq!(t("rtsp://h/rtx").below("/"), Some("rtx"));
}

#[test]
fn heads_are_written_exactly() {
    let mut head = head::response(461);
    head.header("CSeq", 3).header("Session", "a\r\nb");
    assert_eq!(
        head.finish(),
        b"RTSP/1.0 461 Unsupported transport\r\nCSeq: 3\r\nSession: a__b\r\n\r\n"
    );
    let mut head = head::request(&Method::GetParameter, "rtsp://h/a");
    head.header("CSeq", 1);
    assert_eq!(
        head.finish(),
        b"GET_PARAMETER rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    );
}

#[test]
fn nothing_is_kept_between_messages() {
    let mut reader = Reader::default();
    reader.push(b"PLAY / RTSP/1.0\r\n\r\n");
    assert!(matches!(reader.next(&LIMITS), Ok(Step::Message(_))));
    assert_eq!(reader.next(&LIMITS), Ok(Step::Wait));
    assert_eq!((reader.buffered(), reader.offset()), (0, 19));
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"PLAY rtsp://h/a RTSP/1.0\r\n".to_vec()),
        Just(b"RTSP/1.0 200 OK\r\n".to_vec()),
        Just(b"CSeq: 1\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"$\0\0\x02ab".to_vec()),
        Just(b"$\0\x01\0".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_split_changes_nothing(pieces in proptest::collection::vec(piece(), 0..12), size in 1usize..50) {
        let bytes = pieces.concat();
        prop_assert_eq!(run(&bytes, bytes.len().max(1)), run(&bytes, size));
    }

    #[test]
    fn what_is_written_is_read(
        name in "[A-Za-z][A-Za-z-]{0,20}",
        value in "[!-~]([ -~]{0,40}[!-~])?",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        status in 100u16..1000,
    ) {
        prop_assume!(!name.eq_ignore_ascii_case("Content-Length"));
        let mut head = head::response(status);
        head.header(&name, &value).header("Content-Length", body.len());
        let mut bytes = head.finish();
        bytes.extend_from_slice(&body);
        let (got, refused) = run(&bytes, 7);
        prop_assert_eq!(refused, None);
        let (head, got_body, _) = message(&got[0]);
        prop_assert_eq!(head.status(), Some(status));
        prop_assert_eq!(head.get(&name), Some(&*value));
        prop_assert_eq!(got_body, &*body);
    }
}
