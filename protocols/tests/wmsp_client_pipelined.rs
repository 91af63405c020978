//! The WMSP client with pipelining: everything on one connection.

mod asf_build;
mod wmsp_rig;

use asf_build::simple_blob;
use protocols::content::{Level, Start, StreamSwitch};
use protocols::machine::ConnId;
use protocols::media::{IngestEvent, News};
use protocols::wmsp::client::{ClientConfig, REASON_CLOSED};
use protocols::wmsp::packet::PacketId;
use std::time::Duration;
use wmsp_rig::*;

const SUPPORTS: &str = "Supported: com.microsoft.wm.sswitch, com.microsoft.wm.predstrm\r\n";

fn config() -> ClientConfig {
    ClientConfig {
        packet_pair: false,
        ..ClientConfig::new("mms://h:8080/live", 7)
    }
}

fn description() -> Vec<u8> {
    [
        metadata(3),
        object(PacketId::Header, &simple_blob(0, 64, 1000)),
    ]
    .concat()
}

fn packet(n: u32) -> Vec<u8> {
    let piece = asf_build::Piece::whole(1, true, n as u8, 1000 + n * 100, 20);
    asf_build::packet(64, n * 100, 100, &[piece])
}

fn packets(range: std::ops::Range<u32>) -> Vec<u8> {
    range.flat_map(|n| data(n, &packet(n))).collect()
}

/// The client up to the two Pipeline requests.
fn testing(config: ClientConfig, more: &str) -> (Rig, ConnId) {
    let mut rig = Rig::new(config);
    let conn = rig.open();
    assert!(has(&rig.request(conn), "pipeline-experiment=1"));
    let headers = format!(
        "{more}{SUPPORTS}Pragma: no-cache, client-id=77, pipeline-experiment=1, \
         features=\"broadcast\", timeout=55000\r\n"
    );
    rig.feed(conn, reply("200 OK", &headers, &description()));
    (rig, conn)
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const LAST: &[u8] = b"0\r\n\r\n";

fn passed() -> Vec<u8> {
    let first = open_reply(&format!("{CHUNKED}Pragma: client-id=77\r\n"));
    let second = b"HTTP/1.1 204 No Content\r\nServer: Cougar/9.1\r\nContent-Length: 0\r\n\
                   Pragma: client-id=77, pipeline-result=1\r\n\r\n";
    [&first[..], b"4\r\n$T\0\0\r\n", LAST, second].concat()
}

/// The client after its test, its Play written.
fn playing(config: ClientConfig) -> (Rig, ConnId, String) {
    let (mut rig, conn) = testing(config, "");
    assert_eq!(rig.requests(conn).len(), 2);
    rig.feed(conn, passed());
    let play = rig.request(conn);
    (rig, conn, play)
}

/// A Play that was answered and runs.
fn streaming(config: ClientConfig) -> (Rig, ConnId) {
    let (mut rig, conn, _) = playing(config);
    rig.feed(conn, open_reply(CHUNKED));
    rig.feed(conn, chunk(&description()));
    rig.feed(conn, chunk(&packets(0..3)));
    assert_eq!(rig.packets().len(), 3);
    (rig, conn)
}

// WMSP-101
#[test]
fn both_test_requests_go_back_to_back() {
    let (mut rig, conn) = testing(config(), "");
    let requests = rig.requests(conn);
    assert_eq!(requests.len(), 2, "the second does not wait");
    for request in &requests {
        assert!(request.starts_with("GET /live HTTP/1.1\r\n"));
        assert!(has(request, "pipeline-request=1") && has(request, "client-id=77"));
    }
    rig.feed_split(conn, &passed(), 1);
    assert!(rig.news().contains(&&News::Pipelined(true)));
    let play = rig.request(conn);
    assert!(has(&play, "xPlayStrm=1") && has(&play, "version11-enabled=1"));
    assert_eq!(rig.connects.len(), 1);
}

#[test]
fn a_failed_test_means_no_pipelining() {
    let (mut rig, conn) = testing(config(), "");
    rig.requests(conn);
    let first = open_reply(CHUNKED);
    rig.feed(conn, [&first[..], b"4\r\n$T\0\0\r\n", LAST].concat());
    rig.feed(
        conn,
        b"HTTP/1.0 204 No Content\r\nServer: Cougar/9.1\r\nPragma: pipeline-result=0\r\n\r\n",
    );
    assert!(rig.news().contains(&&News::Pipelined(false)));
    // That reply was the last on its connection.
    let conn = rig.open();
    let play = rig.request(conn);
    assert!(has(&play, "xPlayStrm=1") && !play.contains("version11"));
}

#[test]
fn no_test_behind_an_old_proxy_or_without_consent() {
    let (mut rig, conn) = testing(config(), "Via: 1.0 proxy\r\n");
    assert!(has(&rig.request(conn), "xPlayStrm=1"));
    let (mut rig, conn) = testing(config(), "Via: 1.1 proxy\r\n");
    assert_eq!(rig.requests(conn).len(), 2);
    let mut rig = Rig::new(config());
    let conn = rig.open();
    rig.requests(conn);
    rig.feed(
        conn,
        reply("200 OK", "Pragma: client-id=1\r\n", &description()),
    );
    assert!(has(&rig.request(conn), "xPlayStrm=1"));
}

// WMSP-109: the log goes where media comes; its reply follows the body.
#[test]
fn plays_and_logs_on_one_connection() {
    let body = || {
        let mut all = open_reply(CHUNKED);
        all.extend(chunk(&description()));
        all.extend(chunk(&packets(0..1)));
        // Chunks need not respect packets.
        let more = [packets(1..4), end(0).to_vec()].concat();
        more.chunks(17).for_each(|c| all.extend(chunk(c)));
        all.extend(LAST);
        all
    };
    for size in [1, 13, 100_000] {
        let (mut rig, conn, _) = playing(config());
        rig.feed_split(conn, &body(), size);
        let got: Vec<u32> = rig.packets().iter().map(|(n, _)| *n).collect();
        assert_eq!(got, [0, 1, 2, 3]);
        assert!(rig.events.contains(&IngestEvent::End(0)));
        let log = rig.request(conn);
        assert!(log.starts_with("POST /live HTTP/1.1\r\n") && log.contains("LogStats"));
        assert!(!rig.client.is_done());
        rig.feed(conn, reply("204 No Content", "", b""));
        assert!(rig.events.contains(&IngestEvent::LogSent));
        assert!(rig.client.is_done() && rig.is_closed(conn));
        assert_eq!(rig.connects.len(), 1);
    }
}

// WMSP-110: Stop, then Log, then the next Play.
#[test]
fn a_seek_is_stop_log_play() {
    let (mut rig, conn) = streaming(config());
    rig.with(|c, now| c.play(now, Start::Time(9000)));
    let stop = rig.request(conn);
    assert!(stop.starts_with("POST /live HTTP/1.1\r\n") && has(&stop, "xStopStrm=1"));
    assert_eq!(header(&stop, "Content-Length"), Some("0"));
    // What was on its way is dropped.
    rig.feed(conn, chunk(&packets(3..5)));
    rig.feed(conn, LAST);
    assert_eq!(rig.packets().len(), 3);
    rig.feed(conn, reply("200 OK", "", b""));
    assert!(rig.news().contains(&&News::Stopped));
    let requests = rig.requests(conn);
    assert_eq!(requests.len(), 2);
    assert!(requests[0].contains("LogStats"));
    assert!(has(&requests[1], "xPlayStrm=1") && has(&requests[1], "stream-time=9000"));
    rig.feed(conn, reply("204 No Content", "", b""));
    rig.feed(conn, open_reply(CHUNKED));
    rig.feed(conn, chunk(&[description(), packets(9..10)].concat()));
    assert_eq!(rig.packets().len(), 4);
    assert_eq!(rig.failure(), None);
    assert_eq!(rig.connects.len(), 1);
}

// WMSP-111
#[test]
fn keep_alives_by_options() {
    let (mut rig, conn) = streaming(ClientConfig {
        send_log: false,
        ..config()
    });
    assert_eq!(rig.deadline, None);
    rig.with(|c, now| c.stop(now));
    rig.requests(conn);
    rig.feed(conn, [LAST, &reply("200 OK", "", b"")].concat());
    for _ in 0..3 {
        assert_eq!(rig.wait(), Duration::from_secs(55));
        let request = rig.request(conn);
        assert!(request.starts_with("OPTIONS * HTTP/1.1\r\n"));
        assert!(has(&request, "client-id=77") && !request.contains("xKeepAlive"));
        rig.feed(conn, reply("200 OK", "Public: GET\r\n", b""));
    }
    rig.with(|c, now| c.play(now, Start::Beginning));
    assert!(has(&rig.request(conn), "xPlayStrm=1"));
}

// PL-30: PlayNextEntry starts the entry that waits.
#[test]
fn a_waiting_entry_is_played() {
    let (mut rig, conn) = streaming(ClientConfig {
        predictive: false,
        send_log: false,
        ..config()
    });
    let next = [
        metadata(4),
        object(PacketId::Header, &simple_blob(0, 64, 2000)),
    ]
    .concat();
    rig.feed(conn, chunk(&[&end(1)[..], &change(0), &next].concat()));
    assert!(rig.news().contains(&&News::Waiting));
    let request = rig.request(conn);
    assert!(request.starts_with("GET /live HTTP/1.1\r\n"));
    for token in [
        "xPlayNextEntry=1",
        "playlist-gen-id=4",
        "version11-enabled=1",
        "stream-switch-count=2",
    ] {
        assert!(has(&request, token), "{token}");
    }
    assert!(!request.contains("xPlayStrm"));
    rig.feed(conn, LAST);
    rig.feed(conn, open_reply(CHUNKED));
    rig.feed(conn, chunk(&packets(0..2)));
    assert_eq!(rig.packets().len(), 5);
    rig.feed(conn, [chunk(&end(0)), LAST.to_vec()].concat());
    assert!(rig.events.contains(&IngestEvent::End(0)));
    assert_eq!(rig.failure(), None);
}

// WMSP-73 seen from the client: the body changes, the stream goes on.
#[test]
fn selection_changes_while_playing() {
    let (mut rig, conn) = streaming(config());
    let off = StreamSwitch {
        from: None,
        to: Some(1),
        level: Level::Off,
    };
    rig.with(|c, now| c.select(now, &[off]));
    let select = rig.request(conn);
    assert!(select.starts_with("GET ") && has(&select, "stream-switch-count=1"));
    assert!(select.contains("\r\nPragma: stream-switch-entry=ffff:1:2\r\n"));
    rig.feed(conn, chunk(&packets(3..4)));
    rig.feed(conn, LAST);
    rig.feed(conn, open_reply(CHUNKED));
    rig.feed(conn, chunk(&packets(4..6)));
    assert_eq!(rig.packets().len(), 6);
    rig.feed(conn, [chunk(&end(0)), LAST.to_vec()].concat());
    assert!(rig.events.contains(&IngestEvent::End(0)));
    assert_eq!(rig.failure(), None);
}

#[test]
fn a_body_without_an_end_is_told_apart() {
    let (mut rig, conn) = streaming(config());
    rig.feed(conn, LAST);
    assert!(rig.events.contains(&IngestEvent::End(REASON_CLOSED)));
    let (mut rig, conn) = streaming(config());
    rig.peer_closes(conn);
    assert!(rig.events.contains(&IngestEvent::End(REASON_CLOSED)));
    let (mut rig, conn) = streaming(config());
    rig.feed(conn, chunk(&packets(3..4)[..20]));
    rig.feed(conn, LAST);
    assert_eq!(rig.failure(), Some("the body ended inside a packet"));
}

// WMSP-107
#[test]
fn replies_that_nothing_asked_for_are_errors() {
    let (mut rig, conn) = streaming(ClientConfig {
        stay: true,
        send_log: false,
        ..config()
    });
    rig.feed(conn, [chunk(&end(0)), LAST.to_vec()].concat());
    assert_eq!(rig.failure(), None);
    rig.feed(conn, reply("200 OK", "", b""));
    assert_eq!(rig.failure(), Some("a reply that nothing asked for"));
    let (mut rig, conn) = testing(config(), "");
    rig.feed(conn, [open_reply(CHUNKED), chunk(&packets(0..1))].concat());
    assert_eq!(rig.failure(), Some("$D where $T was expected"));
}

#[test]
fn a_drained_client_ends_in_order() {
    let (mut rig, conn) = streaming(config());
    rig.handle(protocols::machine::Input::Drain);
    assert!(has(&rig.request(conn), "xStopStrm=1"));
    rig.feed(conn, [LAST, &reply("200 OK", "", b"")].concat());
    assert!(rig.request(conn).contains("LogStats"));
    rig.feed(conn, reply("204 No Content", "", b""));
    assert!(rig.client.is_done() && rig.is_closed(conn));
}
