//! The WMSP client: sessions from their description to their log.

mod asf_build;
mod wmsp_rig;

use protocols::content::{Level, Start, StreamSwitch};
use protocols::machine::ClientLog;
use protocols::media::{IngestEvent, News};
use protocols::wmlog::{self, Field, Kind};
use protocols::wmsp::client::{ClientConfig, REASON_CLOSED};
use protocols::wmsp::packet::PacketId;
use std::time::Duration;
use wmsp_rig::talk::*;
use wmsp_rig::*;

// WMSP-109: the log goes beside the connection that carried media, in XML.
#[test]
fn plays_to_the_end_and_logs() {
    for size in [1, 7, 100_000] {
        let (mut rig, conn, _) = playing(plain());
        let mut body = open_reply("Content-Type: application/x-mms-framed\r\n");
        body.extend(played(0..10));
        body.extend(end(0));
        rig.feed_split(conn, &body, size);
        assert_eq!(rig.packets(), expected(0..10));
        assert_eq!(rig.failure(), None);
        assert!(rig.events.contains(&IngestEvent::End(0)));
        let headers = rig
            .events
            .iter()
            .filter(|e| matches!(e, IngestEvent::Header(_)));
        assert_eq!(headers.count(), 1, "the same header is told once");
        assert!(rig.is_closed(conn));
        let side = rig.open();
        assert_ne!(side, conn);
        let log = rig.request(side);
        assert!(log.starts_with("POST /vod/a.wmv?x=1 HTTP/1.1\r\n"));
        assert!(has(&log, "client-id=77"));
        assert_eq!(
            header(&log, "Content-Type"),
            Some("application/x-wms-LogStats;charset=UTF-8")
        );
        let xml = log.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(
            header(&log, "Content-Length"),
            Some(&*xml.len().to_string())
        );
        let entry = wmlog::parse(&ClientLog::Xml(xml)).unwrap();
        assert_eq!(entry.defects, Default::default());
        assert_eq!(entry.kind, Kind::Legacy);
        assert_eq!(entry.get(Field::CPktsReceived), Some("10"));
        assert_eq!(entry.get(Field::CBytes), Some("640"));
        assert_eq!(entry.get(Field::CsMediaRole), Some("AD"));
        assert_eq!(entry.get(Field::CsUrl), Some("http://h/vod/a.wmv?x=1"));
        assert!(!rig.client.is_done());
        rig.feed(side, reply("204 No Content", "", b""));
        assert!(rig.events.contains(&IngestEvent::LogSent));
        assert!(rig.client.is_done() && rig.is_closed(side));
        assert_eq!(rig.deadline, None);
    }
}

// WMSP-109, WMLOG-21: servers below 9.0 and encoders get a line.
#[test]
fn old_servers_get_a_log_line() {
    for (server, version) in [
        ("Cougar/4.1.0.3917", "12.0"),
        ("Rex/12.0.7600.16385", "12.0"),
        ("Cougar/9.1", "7.0"),
    ] {
        let mut rig = Rig::new(ClientConfig {
            version: version.into(),
            ..plain()
        });
        let conn = rig.open();
        let body = object(PacketId::Header, &asf_header());
        let head = format!("HTTP/1.0 200 OK\r\nServer: {server}\r\n{DESCRIBED}\r\n");
        rig.feed(conn, [head.as_bytes(), &body].concat());
        rig.peer_closes(conn);
        let conn = rig.open();
        rig.requests(conn);
        let head = format!("HTTP/1.0 200 OK\r\nServer: {server}\r\n\r\n");
        let mut stream = [head.as_bytes(), &body, &packets(0..3)].concat();
        stream.extend(end(0));
        rig.feed(conn, stream);
        let side = rig.open();
        let log = rig.request(side);
        assert_eq!(header(&log, "Content-Length"), Some("0"));
        assert_eq!(header(&log, "Content-Type"), None);
        let line = log
            .lines()
            .find_map(|l| l.strip_prefix("Pragma: log-line="))
            .unwrap();
        let columns = line.split(' ').count();
        assert_eq!(columns, if version == "7.0" { 44 } else { 47 });
        let entry = wmlog::parse(&ClientLog::W3c(line.into())).unwrap();
        assert_eq!(entry.defects, Default::default());
        assert_eq!(entry.get(Field::CPktsReceived), Some("3"));
    }
}

// WMSP-112: with Speed and a subscription the rendering log goes apart.
#[test]
fn rendering_logs_are_sent_as_events() {
    let mut rig = Rig::new(ClientConfig {
        speed_milli: Some(5000),
        ..plain()
    });
    let conn = rig.open();
    let subscribed = format!(
        "{DESCRIBED}{SUPPORTS}Cache-Control: no-cache, x-wms-event-subscription=\"remote-log\"\r\n"
    );
    rig.feed(conn, reply("200 OK", &subscribed, &description()));
    let mut stream = open_reply("");
    stream.extend(played(0..2));
    stream.extend(end(0));
    rig.feed(conn, stream);
    let side = rig.open();
    let log = rig.request(side);
    let xml = log.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        wmlog::parse(&ClientLog::Xml(xml.into())).unwrap().kind,
        Kind::Streaming
    );
    rig.feed(side, reply("200 OK", "", b""));
    let event = rig.request(side);
    assert_eq!(
        header(&event, "Content-Type"),
        Some("application/x-wms-sendevent")
    );
    let body = event.split_once("\r\n\r\n").unwrap().1;
    // W5, WMLOG-30, WMLOG-31
    let entry = wmlog::parse(&ClientLog::RemoteEvent(body.into())).unwrap();
    assert_eq!(entry.defects, Default::default());
    assert_eq!(entry.kind, Kind::Rendering);
    assert!(!rig.client.is_done());
    rig.feed(side, reply("200 OK", "", b""));
    assert!(rig.client.is_done());
}

#[test]
fn no_client_id_no_log() {
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.feed(
        conn,
        reply("200 OK", "Content-Type: x/y\r\n", &description()),
    );
    let mut stream = open_reply("");
    stream.extend(played(0..2));
    stream.extend(end(0));
    rig.feed(conn, stream);
    assert!(rig.client.is_done());
    assert_eq!(rig.connects.len(), 1);
}

// WMSP-113
#[test]
fn what_other_servers_do_is_taken() {
    // VLC's server: 1.0, a space in Server, no length, the reply ends by close, no $E at the end.
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    let head = "HTTP/1.0 200 OK\r\nContent-type: application/octet-stream\r\n\
                Server: Cougar 4.1.0.3921\r\nPragma: no-cache\r\nPragma: client-id=1234\r\n\
                Pragma: features=\"broadcast\"\r\nConnection: close\r\n\r\n";
    let body = object(PacketId::Header, &asf_header());
    rig.feed(conn, [head.as_bytes(), &body].concat());
    assert_eq!(rig.connects.len(), 1);
    rig.peer_closes(conn);
    let conn = rig.open();
    let play = rig.request(conn);
    assert!(has(&play, "client-id=1234"));
    // AFFlags 0 on all packets.
    let mut stream = [head.as_bytes(), &body].concat();
    for n in 0..3 {
        let mut packet = data(n + 50, &asf_packet(n));
        packet[9] = 0;
        stream.extend(packet);
    }
    rig.feed(conn, stream);
    rig.peer_closes(conn);
    assert_eq!(rig.packets().len(), 3);
    assert_eq!(rig.packets()[0].0, 50);
    assert!(rig.events.contains(&IngestEvent::End(REASON_CLOSED)));
    assert_eq!(rig.failure(), None);

    // FFmpeg's $E of 12 bytes, and more $E behind the first.
    let (mut rig, conn, _) = playing(ClientConfig {
        stay: true,
        ..plain()
    });
    let mut stream = open_reply("");
    stream.extend(played(0..1));
    stream.extend([0x24, 0x45, 8, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    stream.extend([end(0); 511].concat());
    rig.feed(conn, stream);
    assert_eq!(rig.failure(), None);
    assert_eq!(
        rig.events
            .iter()
            .filter(|e| matches!(e, IngestEvent::End(_)))
            .count(),
        1
    );

    // A header whose pieces have AFFlags 0.
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    let bytes = asf_header();
    let (a, b) = bytes.split_at(70);
    let mut pieces = [object(PacketId::Header, a), object(PacketId::Header, b)];
    pieces.iter_mut().for_each(|p| p[9] = 0);
    rig.feed(conn, reply("200 OK", DESCRIBED, &pieces.concat()));
    assert_eq!(rig.failure(), None);
    assert!(has(&rig.requests(conn)[1], "xPlayStrm=1"));
}

// WMSP-108
#[test]
fn a_header_in_pieces_is_joined() {
    let mut big = asf_header();
    // Grow the Header Object by an unknown object, before the Data Object's 50 bytes.
    let at = big.len() - 50;
    let filler = asf_build::object("00000000-0000-0000-0000-0000000000FF", &vec![7; 140_000]);
    big.splice(at..at, filler.iter().copied());
    let size = (big.len() - 50) as u64;
    big[16..24].copy_from_slice(&size.to_le_bytes());
    let count = u32::from_le_bytes(big[24..28].try_into().unwrap()) + 1;
    big[24..28].copy_from_slice(&count.to_le_bytes());
    let body = [metadata(1), object(PacketId::Header, &big)].concat();
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.feed_split(conn, &reply("200 OK", DESCRIBED, &body), 999);
    assert_eq!(rig.failure(), None);
    assert!(rig.events.contains(&IngestEvent::Header(big.into())));
}

// WMSP-111
#[test]
fn keep_alives_on_a_side_connection() {
    let (mut rig, conn, _) = playing(ClientConfig {
        stay: true,
        send_log: false,
        ..plain()
    });
    rig.feed(conn, [open_reply(""), played(0..1)].concat());
    assert_eq!(rig.deadline, None, "not while media comes");
    rig.feed(conn, end(0));
    assert_eq!(rig.wait(), Duration::from_millis(55_000));
    let side = rig.open();
    let request = rig.request(side);
    assert!(request.starts_with("POST /vod/a.wmv?x=1 HTTP/1.1\r\n"));
    assert!(has(&request, "xKeepAliveInPause=1") && has(&request, "client-id=77"));
    assert_eq!(header(&request, "Content-Length"), Some("0"));
    assert_eq!(header(&request, "Content-Type"), None);
    // The server closes after each (WMSP-76), the next goes elsewhere.
    rig.feed(side, reply("200 OK", "Connection: close\r\n", b""));
    assert_eq!(rig.wait(), Duration::from_millis(55_000));
    let next = rig.open();
    assert_ne!(next, side);
    assert!(has(&rig.request(next), "xKeepAliveInPause=1"));
}

// WMSP-110: without pipelining, closing stops.
#[test]
fn stop_and_seek_without_pipelining() {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(conn, [open_reply(""), played(0..3)].concat());
    rig.with(|c, now| c.play(now, Start::Time(5000)));
    assert!(rig.is_closed(conn));
    assert!(rig.news().contains(&&News::Stopped));
    let side = rig.open();
    assert!(rig.request(side).contains("LogStats"));
    rig.feed(side, reply("204 No Content", "", b""));
    let conn = rig.open();
    let play = rig.request(conn);
    assert!(
        has(&play, "xPlayStrm=1") && has(&play, "stream-time=5000") && has(&play, "client-id=77")
    );
    // The server did not notice yet that the other connection is gone.
    rig.feed(conn, reply("400 Bad Request", "Connection: close\r\n", b""));
    assert_eq!(rig.failure(), None);
    assert_eq!(rig.wait(), Duration::from_millis(250));
    let conn = rig.open();
    assert_eq!(rig.request(conn), play);
    rig.feed(
        conn,
        [open_reply(""), played(5..7), end(0).to_vec()].concat(),
    );
    assert_eq!(rig.packets(), [expected(0..3), expected(5..7)].concat());
}

#[test]
fn a_stopped_session_is_finished_with_its_log() {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(conn, [open_reply(""), played(0..3)].concat());
    rig.with(|c, now| c.finish(now));
    assert!(rig.is_closed(conn));
    let side = rig.open();
    rig.feed(side, reply("200 OK", "", b""));
    assert!(rig.client.is_done());
}

// PL-26: a new entry with prediction.
#[test]
fn entries_follow_each_other() {
    for announced in [true, false] {
        let (mut rig, conn, _) = playing(plain());
        let mut stream = [open_reply(""), played(0..2)].concat();
        if announced {
            stream.extend(end(1));
        }
        stream.extend(change(0));
        stream.extend(played(0..2));
        stream.extend(end(0));
        rig.feed(conn, stream);
        let kinds: Vec<&str> = rig
            .events
            .iter()
            .filter_map(|e| match e {
                IngestEvent::Header(_) => Some("header"),
                IngestEvent::Packet { .. } => Some("packet"),
                IngestEvent::EntryEnd => Some("entry"),
                IngestEvent::End(_) => Some("end"),
                IngestEvent::Failed(_) => Some("failed"),
                _ => None,
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "header", "packet", "packet", "entry", "header", "packet", "packet", "end"
            ]
        );
        // One log for each entry (WMLOG-50).
        let side = rig.open();
        assert!(rig.request(side).contains("LogStats"));
        rig.feed(side, reply("204 No Content", "", b""));
        assert!(rig.request(side).contains("LogStats"));
    }
}

// PL-27: without prediction an entry waits; without pipelining SelectStream starts it.
#[test]
fn a_waiting_entry_is_selected() {
    let (mut rig, conn, _) = playing(ClientConfig {
        predictive: false,
        send_log: false,
        ..plain()
    });
    rig.feed(
        conn,
        [
            open_reply(""),
            played(0..2),
            end(1).to_vec(),
            change(0).to_vec(),
            description(),
        ]
        .concat(),
    );
    assert!(rig.news().contains(&&News::Waiting));
    let side = rig.open();
    let select = rig.request(side);
    assert!(select.starts_with("POST ") && has(&select, "stream-switch-count=2"));
    assert!(select.contains("\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n"));
    assert_eq!(header(&select, "Content-Length"), Some("0"));
    rig.feed(side, reply("200 OK", "", b""));
    rig.feed(conn, packets(0..2));
    assert_eq!(rig.packets().len(), 4);
}

#[test]
fn selection_changes_while_playing() {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(conn, [open_reply(""), played(0..2)].concat());
    let switch = StreamSwitch {
        from: Some(1),
        to: Some(2),
        level: Level::KeyOnly,
    };
    rig.with(|c, now| c.select(now, &[switch]));
    let side = rig.open();
    let select = rig.request(side);
    assert!(
        select.contains("\r\nPragma: stream-switch-entry=1:2:1\r\n"),
        "{select}"
    );
    rig.feed(side, reply("200 OK", "", b""));
    rig.feed(conn, packets(2..3));
    assert_eq!(rig.packets().len(), 3);
}

// expect-new-header (WMSP-70 as the client sees it).
#[test]
fn a_header_may_be_replaced_at_once() {
    let (mut rig, conn, _) = playing(plain());
    let head = open_reply("Pragma: expect-new-header=1\r\n");
    rig.feed(
        conn,
        [head, description(), change(0).to_vec(), played(0..1)].concat(),
    );
    assert_eq!(rig.failure(), None);
    assert_eq!(rig.packets().len(), 1);
}

#[test]
fn skipping_names_the_entry() {
    let (mut rig, conn, _) = playing(ClientConfig {
        send_log: false,
        ..plain()
    });
    rig.feed(conn, [open_reply(""), played(0..1)].concat());
    rig.with(|c, now| c.skip(now, 1));
    let conn = rig.open();
    let play = rig.request(conn);
    assert!(has(&play, "playlist-seek-id=1") && has(&play, "pl-offset=1"));
}

#[test]
fn interim_replies_are_passed_over() {
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.requests(conn);
    rig.feed(conn, b"HTTP/1.1 100 Continue\r\n\r\n");
    rig.feed(conn, reply("200 OK", DESCRIBED, &description()));
    assert_eq!(rig.failure(), None);
    assert!(has(&rig.request(conn), "xPlayStrm=1"));
    rig.feed(
        conn,
        [open_reply(""), played(0..1), end(0).to_vec()].concat(),
    );
    assert!(rig.events.contains(&IngestEvent::End(0)));
}

// BW-08, BW-09, BW-22: the packet pair.
#[test]
fn a_packet_pair_is_measured() {
    use protocols::rate::packet_pair;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    let mut rig = Rig::new(ClientConfig {
        pipelined: false,
        ..config()
    });
    let conn = rig.open();
    rig.requests(conn);
    let length = packet_pair::TOTAL + description().len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: Cougar/9.1\r\n{DESCRIBED}Pragma: packet-pair-experiment=1\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let pairs = packet_pair::packets(head.len(), &mut ChaCha8Rng::seed_from_u64(3));
    rig.feed(conn, [head.as_bytes(), &pairs[0]].concat());
    // 512 bytes at 1 Mbit/s.
    rig.now = rig.now + Duration::from_micros(4096);
    rig.feed(conn, &pairs[1]);
    rig.now = rig.now + Duration::from_micros(8 * pairs[2].len() as u64);
    rig.feed(conn, &pairs[2]);
    assert!(rig.events.contains(&IngestEvent::Bandwidth(1_000_000)));
    rig.feed(conn, description());
    assert_eq!(rig.failure(), None);
    assert!(has(&rig.request(conn), "LinkBW=1000000"));

    let mut rig = Rig::new(config());
    let conn = rig.open();
    rig.feed(conn, &head);
    rig.feed(conn, pairs.concat());
    rig.feed(conn, &pairs[1]);
    assert_eq!(
        rig.failure(),
        Some("a fourth $P in PacketID at byte 1 of the packet")
    );

    let mut rig = Rig::new(config());
    let conn = rig.open();
    rig.feed(conn, &head);
    rig.feed(conn, description());
    assert_eq!(rig.failure(), Some("$M where $P was expected"));
}
