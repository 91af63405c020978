//! The answers themselves, read byte by byte from the socket. No player is needed.

use crate::support::wire::{begin, client_id, exchange, framed, joined};
use crate::support::{LARGE_HEADER, Server, content};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};

const OLD: &str = "NSPlayer/4.1.0.3856";
const NEW: &str = "NSPlayer/12.0.7601.17514";

/// The bytes of `$H` for a file: its header and the first 50 bytes of its data object.
fn header_blob(file: &[u8]) -> &[u8] {
    let size = u64::from_le_bytes(file[16..24].try_into().expect("eight bytes"));
    &file[..size as usize + 50]
}

fn line_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

// WMSP-19, WMSP-30, WMSP-41, WMSP-55, WMSP-67, ASF-19
#[test]
fn a_describe_gives_the_header_and_says_who_answers() {
    let server = Server::shared();
    for name in ["clip.wmv", "captions.wmv", "protected.wmv"] {
        let file = fs::read(content(name)).expect("bundled content");
        for version in [OLD, NEW] {
            let reply = exchange(
                &server,
                &format!("GET /vod/{name}"),
                version,
                &["Pragma: no-cache"],
                b"",
            );
            assert!(
                reply.head.starts_with("HTTP/1.0 200 OK\r\n"),
                "{}",
                reply.head
            );
            assert_eq!(line_of(&reply.head, "Server"), Some("Cougar/9.01.01.3841"));
            assert_eq!(
                line_of(&reply.head, "Content-Type"),
                Some("application/vnd.ms.wms-hdr.asfv1")
            );
            assert_eq!(line_of(&reply.head, "Transfer-Encoding"), None);
            let length = line_of(&reply.head, "Content-Length").and_then(|l| l.parse().ok());
            assert_eq!(length, Some(reply.body.len()));
            let packets = framed(&reply.body);
            let kinds: String = packets.iter().map(|p| p.kind).collect();
            assert_eq!(kinds, if version == OLD { "H" } else { "MH" });
            assert_eq!(joined(&packets, 'H'), header_blob(&file), "{name}");
        }
    }
}

// WMSP-04, WMSP-10, WMSP-11, WMSP-18, WMSP-67, ASF-36
#[test]
fn a_play_numbers_its_packets_as_the_file_does() {
    let server = Server::shared();
    let headers = [
        "Pragma: xPlayStrm=1",
        "Pragma: stream-switch-count=1",
        "Pragma: stream-switch-entry=ffff:1:0",
    ];
    let reply = exchange(&server, "GET /vod/mp3.asf", OLD, &headers, b"");
    assert_eq!(
        line_of(&reply.head, "Content-Type"),
        Some("application/x-mms-framed")
    );
    let packets = framed(&reply.body);
    let (data, others): (Vec<_>, Vec<_>) = packets.iter().partition(|p| p.kind == 'D');
    let kinds: String = others.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, "HE");
    assert_eq!(others[1].payload, [0; 4], "the Reason of $E");
    assert!(data.len() >= 5, "{} packets", data.len());
    for (at, packet) in data.iter().enumerate() {
        assert_eq!(packet.location as usize, at, "LocationId");
        assert_eq!(usize::from(packet.flags), at % 256, "AFFlags");
        assert!(!packet.followed, "B toward an old player");
    }
}

// WMSP-58, ASF-41
#[test]
fn a_play_without_a_selection_gets_no_stream_unless_it_is_an_old_server() {
    let server = Server::shared();
    let kinds = |agent: &str| -> String {
        let reply = exchange(
            &server,
            "GET /vod/mp3.asf",
            agent,
            &["Pragma: xPlayStrm=1"],
            b"",
        );
        framed(&reply.body).iter().map(|p| p.kind).collect()
    };
    assert!(!kinds("NSPlayer/4.1.0.3856").contains('D'));
    assert!(kinds("NSServer/4.1.0.3856").contains('D'));
}

// WMSP-22, WMSP-52, WMSP-53, BW-01, BW-02, BW-03, BW-04, BW-07
#[test]
fn packet_pairs_come_if_asked_for_and_before_everything() {
    const PAIR: &str = "packet-pair-experiment=1";
    let server = Server::shared();
    let asked = format!("Pragma: {PAIR}");
    let reply = exchange(&server, "GET /vod/clip.wmv", NEW, &[&asked], b"");
    assert!(reply.head.contains(PAIR), "{}", reply.head);
    let length = line_of(&reply.head, "Content-Length").and_then(|l| l.parse().ok());
    assert_eq!(length, Some(reply.body.len()));
    let mut body = &reply.body[..];
    let reason = reply.head.len().min(504);
    for (length, size) in [(504_u16, 512 - reason), (504, 512), (1048, 1056 + reason)] {
        let mut start = b"$P".to_vec();
        start.extend(length.to_le_bytes());
        start.extend((reason as u32).to_le_bytes());
        assert_eq!(body[..8], start);
        body = &body[size..];
    }
    let kinds: String = framed(body).iter().map(|p| p.kind).collect();
    assert_eq!(kinds, "MH");

    let reply = exchange(
        &server,
        "GET /vod/clip.wmv",
        NEW,
        &["Pragma: no-cache"],
        b"",
    );
    assert!(!reply.head.contains("packet-pair"), "{}", reply.head);
    assert_eq!(framed(&reply.body).len(), 2);
}

// WMSP-06, WMSP-07, WMSP-08, ASF-20
#[test]
fn a_header_too_large_for_one_packet_comes_in_pieces() {
    let server = Server::shared();
    let reply = exchange(
        &server,
        "GET /made/large-header.wmv",
        NEW,
        &["Pragma: no-cache"],
        b"",
    );
    let packets = framed(&reply.body);
    let pieces: Vec<_> = packets.iter().filter(|p| p.kind == 'H').collect();
    let shape: Vec<_> = pieces.iter().map(|p| (p.location, p.flags)).collect();
    assert_eq!(shape, [(0, 0x04), (1, 0x00), (2, 0x08)]);
    assert!(pieces[..2].iter().all(|p| p.payload.len() == 65_527));
    assert!(joined(&packets, 'H').len() > LARGE_HEADER);
}

// WMSP-32, WMLOG-22, WMLOG-28
#[test]
fn logs_and_events_get_an_empty_answer() {
    let server = Server::shared();
    let headers = [
        "Pragma: xPlayStrm=1",
        "Pragma: stream-switch-count=1",
        "Pragma: stream-switch-entry=ffff:1:0",
    ];
    let (head, mut media) = begin(&server, "GET /radio", NEW, &headers);
    let id = client_id(&head).expect("a client-id");
    media.read_exact(&mut [0; 100]).expect("media");
    let id = format!("Pragma: client-id={id}");
    let log = [
        "Content-Type: application/x-wms-LogStats;charset=UTF-8",
        &id,
    ];
    let text = b"<XML><Summary>0.0.0.0</Summary></XML>";
    let reply = exchange(&server, "POST /radio", NEW, &log, text);
    assert!(
        ["200", "204"].contains(&&reply.head[9..12]),
        "{}",
        reply.head
    );
    assert!(reply.body.is_empty(), "{}", reply.head);

    let event = ["Content-Type: application/x-wms-sendevent"];
    let reply = exchange(&server, "POST /radio", NEW, &event, b"1\r\n1,28,0\r\n");
    assert!(
        ["200", "204"].contains(&&reply.head[9..12]),
        "{}",
        reply.head
    );
    assert!(reply.body.is_empty(), "{}", reply.head);
}

// WMSP-33, WMSP-34, WMSP-35
#[test]
fn a_pipeline_test_that_takes_too_long_has_failed() {
    let server = Server::shared();
    let line = "GET /vod/mp3.asf HTTP/1.1";
    let (head, _) = begin(&server, line, NEW, &["Pragma: pipeline-experiment=1"]);
    let id = format!(
        "Pragma: client-id={}",
        client_id(&head).expect("a client-id")
    );
    let (head, mut stream) = begin(&server, line, NEW, &[&id, "Pragma: pipeline-request=1"]);
    assert_eq!(
        line_of(&head, "Transfer-Encoding"),
        Some("chunked"),
        "{head}"
    );
    // $T as a chunk, and then, without our asking again, the end of the body.
    let mut body = [0; 14];
    stream.read_exact(&mut body).expect("two chunks");
    assert_eq!(&body, b"4\r\n$T\0\0\r\n0\r\n\r\n");
    let again = format!(
        "{line}\r\nHost: h\r\nUser-Agent: {NEW}\r\n{id}\r\nPragma: pipeline-request=1\r\n\r\n"
    );
    stream
        .write_all(again.as_bytes())
        .expect("the server reads");
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(
            reader.read_line(&mut head).expect("an answer"),
            0,
            "cut: {head}"
        );
    }
    assert!(
        head.starts_with("HTTP/1.1 204 ") && head.contains("pipeline-result=0"),
        "{head}"
    );
}
