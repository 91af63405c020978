//! The WMSP client: what it asks, and what it makes of the answers.

mod asf_build;
mod wmsp_rig;

use asf_build::simple_blob;
use protocols::content::{Accel, Level, Start, StreamSwitch};
use protocols::http::head::Version as HttpVersion;
use protocols::machine::ClientLog;
use protocols::media::{IngestEvent, News};
use protocols::wmlog::{self, Field, Kind};
use protocols::wmsp::client::{ClientConfig, REASON_CLOSED, Streams};
use protocols::wmsp::packet::PacketId;
use protocols::wmsp::version::ClientToken;
use std::time::Duration;
use wmsp_rig::*;

const DESCRIBED: &str = "Content-Type: application/vnd.ms.wms-hdr.asfv1\r\nPragma: no-cache, client-id=77, \
     features=\"seekable,stridable\", timeout=55000\r\n";
const SUPPORTS: &str = "Supported: com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, \
     com.microsoft.wm.predstrm, com.microsoft.wm.startupprofile, com.microsoft.wm.fastcache\r\n";

fn config() -> ClientConfig {
    ClientConfig::new("http://h/vod/a.wmv?x=1", 7)
}

fn plain() -> ClientConfig {
    ClientConfig {
        pipelined: false,
        packet_pair: false,
        ..config()
    }
}

fn asf_header() -> Vec<u8> {
    simple_blob(10, 64, 1000)
}

fn description() -> Vec<u8> {
    [metadata(1), object(PacketId::Header, &asf_header())].concat()
}

/// A rig up to the Play request, without pipelining; returns it.
fn playing(config: ClientConfig) -> (Rig, protocols::machine::ConnId, String) {
    let mut rig = Rig::new(config);
    let conn = rig.open();
    rig.requests(conn);
    let headers = format!("{DESCRIBED}{SUPPORTS}");
    rig.feed(conn, reply("200 OK", &headers, &description()));
    let play = rig.request(conn);
    (rig, conn, play)
}

// WMSP-96, WMSP-98
#[test]
fn describe_says_who_asks() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.connects[0].1, "h");
    assert_eq!(rig.connects[0].2, 80);
    let conn = rig.open();
    let request = rig.request(conn);
    assert!(request.starts_with("GET /vod/a.wmv?x=1 HTTP/1.1\r\n"));
    assert!(request.ends_with("\r\n\r\n"));
    assert_eq!(
        header(&request, "User-Agent"),
        Some("NSPlayer/12.0.7601.17514")
    );
    assert_eq!(header(&request, "Host"), Some("h"));
    let supported = header(&request, "Supported").unwrap();
    assert!(supported.contains("com.microsoft.wm.sswitch"));
    assert!(
        !supported.contains("startupprofile"),
        "not before the server names it"
    );
    for token in [
        "no-cache",
        "packet-pair-experiment=1",
        "pipeline-experiment=1",
    ] {
        assert!(has(&request, token), "{token}");
    }
    let guid = pragmas(&request)
        .into_iter()
        .find(|t| t.starts_with("xClientGUID="))
        .unwrap();
    assert_eq!(guid.len(), "xClientGUID=".len() + 38);
    assert!(!request.contains("client-id"));
}

// WMSP-96
#[test]
fn roles() {
    let agent = |config| {
        let mut rig = Rig::new(config);
        let conn = rig.open();
        header(&rig.request(conn), "User-Agent").unwrap().to_owned()
    };
    let server = ClientConfig {
        role: ClientToken::NsServer,
        version: "9.1.1.3841".into(),
        ..config()
    };
    assert_eq!(agent(server.clone()), "NSServer/9.1.1.3841");
    let proxy = ClientConfig {
        via_cache_proxy: true,
        products: "Ringcast/1".into(),
        ..server
    };
    assert_eq!(
        agent(proxy),
        "NSServer/9.1.1.3841; via WMCacheProxy Ringcast/1"
    );
    let player = ClientConfig {
        via_cache_proxy: true,
        ..config()
    };
    assert_eq!(agent(player), "NSPlayer/12.0.7601.17514");
}

// WMSP-102
#[test]
fn a_client_of_http_1_0_does_not_pipeline() {
    let mut rig = Rig::new(ClientConfig {
        http: HttpVersion::Http10,
        ..config()
    });
    let conn = rig.open();
    let request = rig.request(conn);
    assert!(request.starts_with("GET /vod/a.wmv?x=1 HTTP/1.0\r\n"));
    assert!(!request.contains("pipeline") && !request.contains("version11"));
}

#[test]
fn an_old_player_says_nothing_new() {
    let (_, _, play) = playing(ClientConfig {
        version: "7.10.0.3059".into(),
        accel: Some(ACCEL),
        burst: Some(ACCEL),
        ..plain()
    });
    assert_eq!(header(&play, "Supported"), None);
    assert!(!play.contains("Accel") && !play.contains("Burst"));
}

const ACCEL: Accel = Accel {
    bits_per_second: 2_147_483_647,
    duration_ms: 18_000,
};

// WMSP-97, WMSP-98, WMSP-99
#[test]
fn play_names_every_stream() {
    let (rig, _, play) = playing(ClientConfig {
        streams: Streams::Only(vec![(2, Level::KeyOnly), (9, Level::Whole)]),
        ..plain()
    });
    for token in [
        "xPlayStrm=1",
        "client-id=77",
        "rate=1.000",
        "stream-time=0",
        "stream-offset=4294967295:4294967295",
        "packet-num=4294967295",
        "stream-switch-count=2",
    ] {
        assert!(has(&play, token), "{token} in {play}");
    }
    assert!(play.contains("\r\nPragma: stream-switch-entry=ffff:1:2 ffff:2:1\r\n"));
    assert!(!play.contains("version11") && !play.contains("Speed") && !play.contains("Accel"));
    assert!(
        header(&play, "Supported")
            .unwrap()
            .contains("startupprofile")
    );
    assert!(
        rig.events
            .iter()
            .any(|e| *e == IngestEvent::Header(asf_header().into()))
    );
}

// WMSP-99: a distribution server below 9.0 takes everything.
#[test]
fn an_old_server_takes_all_streams() {
    let (_, _, play) = playing(ClientConfig {
        role: ClientToken::NsServer,
        version: "4.1.0.3917".into(),
        ..plain()
    });
    assert!(!play.contains("stream-switch"));
}

#[test]
fn positions() {
    for (start, tokens) in [
        (
            Start::Time(5000),
            [
                "stream-time=5000",
                "packet-num=4294967295",
                "stream-offset=4294967295:4294967295",
            ],
        ),
        (
            Start::Packet(9),
            [
                "stream-time=4294967295",
                "packet-num=9",
                "stream-offset=4294967295:4294967295",
            ],
        ),
        (
            Start::Byte((1 << 32) + 5),
            [
                "stream-time=4294967295",
                "packet-num=4294967295",
                "stream-offset=1:5",
            ],
        ),
    ] {
        let (_, _, play) = playing(ClientConfig { start, ..plain() });
        for token in tokens {
            assert!(has(&play, token), "{token}");
        }
    }
}

// WMSP-100, BW-52
#[test]
fn rates_are_asked_for_where_they_are_known() {
    let eager = ClientConfig {
        accel: Some(ACCEL),
        burst: Some(ACCEL),
        speed_milli: Some(91_268_055),
        link_bw: Some(1_000_000),
        max_duration: Some(30_000),
        ..plain()
    };
    let (_, _, play) = playing(eager.clone());
    for token in [
        "AccelBW=2147483647",
        "AccelDuration=18000",
        "Speed=91268.055",
        "LinkBW=1000000",
        "max-duration=30000",
    ] {
        assert!(has(&play, token), "{token}");
    }
    assert!(!play.contains("Burst"), "a player has no burst");
    let (_, _, play) = playing(ClientConfig {
        role: ClientToken::NsServer,
        version: "9.0".into(),
        ..eager.clone()
    });
    assert!(has(&play, "BurstBW=2147483647") && has(&play, "BurstDuration=18000"));

    let play_to = |headers: &str, server: &str| {
        let mut rig = Rig::new(eager.clone());
        let conn = rig.open();
        rig.requests(conn);
        let body = object(PacketId::Header, &asf_header());
        let text = format!(
            "HTTP/1.1 200 OK\r\nServer: {server}\r\n{DESCRIBED}{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        rig.feed(conn, [text.as_bytes(), &body].concat());
        rig.request(conn)
    };
    // Fast cache is not announced.
    let play = play_to("", "Cougar/9.0");
    assert!(!play.contains("Speed") && play.contains("AccelBW"));
    // Servers of 4.x know none of it.
    let play = play_to(SUPPORTS, "Cougar 4.1.0.3921");
    for token in ["Speed", "Accel", "LinkBW"] {
        assert!(!play.contains(token), "{token}");
    }
}

#[test]
fn what_is_granted_is_reported() {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(
        conn,
        open_reply(
            "Content-Type: application/x-mms-framed\r\nPragma: no-cache, AccelBW=3500000, \
             AccelDuration=18000, Speed=5.000\r\nX-StartupProfile: Rate=10;\r\n",
        ),
    );
    assert!(rig.news().contains(&&News::Granted {
        accel: Some(Accel {
            bits_per_second: 3_500_000,
            duration_ms: 18_000
        }),
        speed_milli: Some(5000),
        startup_profile: Some("Rate=10;".into()),
    }));
}

fn packets(range: std::ops::Range<u32>) -> Vec<u8> {
    range.flat_map(|n| data(n, &asf_packet(n))).collect()
}

fn asf_packet(n: u32) -> Vec<u8> {
    let piece = asf_build::Piece::whole(1, true, n as u8, 1000 + n * 100, 20);
    asf_build::packet(64, n * 100, 100, &[piece])
}

fn expected(range: std::ops::Range<u32>) -> Vec<(u32, Vec<u8>)> {
    range.map(|n| (n, asf_packet(n))).collect()
}

/// The body of a Play: description and packets.
fn played(range: std::ops::Range<u32>) -> Vec<u8> {
    [description(), packets(range)].concat()
}

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

/// The reply that breaks off `events`; why.
fn failure_of(body: Vec<u8>) -> String {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(conn, [open_reply(""), body].concat());
    rig.failure().unwrap_or("none").to_owned()
}

// WMSP-107
#[test]
fn packets_out_of_order_are_errors() {
    let h = || object(PacketId::Header, &asf_header());
    let cat = |parts: &[&[u8]]| parts.concat();
    let d = data(0, &asf_packet(0));
    for (body, reason) in [
        (d.clone(), "$D where $M or $H was expected"),
        (end(0).to_vec(), "$E where $M or $H was expected"),
        (cat(&[&h(), &h()]), "$H where $D, $C or $E was expected"),
        (cat(&[&metadata(1), &d]), "$D where $H was expected"),
        (cat(&[&h(), &d, &h()]), "$H where $D, $C or $E was expected"),
        (
            cat(&[&h(), b"$T\0\0"]),
            "$T where $D, $C or $E was expected",
        ),
        (cat(&[&h(), &d, &end(1), &d]), "$D where $C was expected"),
        (
            cat(&[&h(), &d, &change(0), &d]),
            "$D where $M or $H was expected",
        ),
        (
            cat(&[&h(), b"$P\xF8\x01\0\0\0\0", &[0; 504]]),
            "$P where $D, $C or $E was expected",
        ),
        (
            cat(&[&h(), &d, b"junk"]),
            "no '$' in Frame at byte 0 of the packet",
        ),
        (
            cat(&[&h(), b"$D\x04\0\0\0\0\0"]),
            "PacketLength leaves no room for the MMS header at byte 2 of the packet",
        ),
    ] {
        assert_eq!(failure_of(body), reason);
    }
    // A letter that nobody knows is skipped.
    let ok = cat(&[&h(), b"$Z\x02\0ab", &d, &end(0)]);
    assert_eq!(failure_of(ok), "none");
}

// WMSP-107: where it was.
#[test]
fn a_fault_says_where() {
    let (mut rig, conn, _) = playing(plain());
    let head = open_reply("");
    let good = object(PacketId::Header, &asf_header());
    let first = reply("200 OK", &format!("{DESCRIBED}{SUPPORTS}"), &description()).len();
    let want = (first + head.len() + good.len()) as u64;
    rig.feed(conn, [head, good, b"x".to_vec()].concat());
    let fault = rig.events.iter().find_map(|e| match e {
        IngestEvent::Failed(fault) => Some(fault.clone()),
        _ => None,
    });
    assert_eq!(fault.unwrap().offset, want);
    assert!(rig.client.is_done() && rig.is_closed(conn));
}

// WMSP-103
#[test]
fn other_servers_are_refused() {
    for (server, refused) in [
        ("Server: Apache\r\n", true),
        ("", true),
        ("Server: Cougar 4.1.0.3921\r\n", false),
        ("Server: Rex/9.0.2980\r\n", false),
    ] {
        let mut rig = Rig::new(plain());
        let conn = rig.open();
        let body = object(PacketId::Header, &asf_header());
        let head = format!(
            "HTTP/1.1 200 OK\r\n{server}Content-Length: {}\r\n\r\n",
            body.len()
        );
        rig.feed(conn, [head.as_bytes(), &body].concat());
        let reason = refused.then_some("neither Cougar nor Rex in Server");
        assert_eq!(rig.failure(), reason, "{server}");
    }
}

#[test]
fn statuses_are_errors() {
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.feed(conn, reply("404 Not Found", "", b"gone"));
    assert_eq!(rig.failure(), Some("status 404 in the reply to Describe"));
    let (mut rig, conn, _) = playing(plain());
    rig.feed(conn, reply("503 Service Unavailable", "", b""));
    assert_eq!(rig.failure(), Some("status 503 in the reply to Play"));
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.feed(conn, reply("200 OK", DESCRIBED, b""));
    assert_eq!(
        rig.failure(),
        Some("the reply to Describe ended before its $H")
    );
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    rig.feed(conn, b"RTSP/1.0 200 OK\r\n\r\n");
    assert_eq!(rig.failure(), Some("no HTTP reply head"));
}

// WMSP-104, as far as it goes without credentials.
#[test]
fn challenges_are_reported() {
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    let asks = "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Basic realm=\"x, y\"\r\n";
    rig.feed(conn, reply("401 Unauthorized", asks, b""));
    assert_eq!(
        rig.failure(),
        Some("status 401: credentials are asked for by Negotiate, Basic")
    );
    assert!(rig.news().contains(&&News::Challenged {
        proxy: false,
        challenges: vec!["Negotiate".into(), "Basic realm=\"x, y\"".into()],
    }));
}

// WMSP-105
#[test]
fn redirections_are_followed() {
    for (status, location, host, port, line) in [
        (
            "302 Found",
            "http://other:81/b",
            "other",
            81,
            "GET /b HTTP/1.1",
        ),
        (
            "301 Moved",
            "mmsh://other/b",
            "other",
            80,
            "GET /b HTTP/1.1",
        ),
        ("300 Choose", "/c?d", "h", 80, "GET /c?d HTTP/1.1"),
        (
            "305 Use Proxy",
            "http://px:8080/",
            "px",
            8080,
            "GET http://h/vod/a.wmv?x=1 HTTP/1.1",
        ),
    ] {
        let mut rig = Rig::new(config());
        let conn = rig.open();
        rig.requests(conn);
        let headers = format!("Location: {location}\r\nPragma: client-id=5\r\n");
        rig.feed(conn, reply(status, &headers, b"moved"));
        assert!(rig.is_closed(conn));
        assert_eq!(rig.news(), [&News::Redirected(location.into())]);
        let (_, to, at) = rig.connects.last().unwrap().clone();
        assert_eq!((&*to, at), (host, port));
        let conn = rig.open();
        let request = rig.request(conn);
        assert!(request.starts_with(line), "{request}");
        assert!(!request.contains("client-id"), "it is another session");
    }
    let mut rig = Rig::new(config());
    for n in 0..6 {
        assert_eq!(rig.failure(), None, "{n}");
        let conn = rig.open();
        rig.feed(conn, reply("302 Found", "Location: /again\r\n", b""));
    }
    assert_eq!(rig.failure(), Some("more than 5 redirections"));
    let mut rig = Rig::new(config());
    let conn = rig.open();
    rig.feed(conn, reply("302 Found", "Location: rtsp://h/\r\n", b""));
    assert!(rig.news().contains(&&News::Redirected("rtsp://h/".into())));
    assert_eq!(
        rig.failure(),
        Some("the scheme is not http, mms or mmsh in Location")
    );
}

#[test]
fn an_announcement_is_handed_on() {
    let mut rig = Rig::new(config());
    let conn = rig.open();
    let text = "<ASX version=\"3.0\"><ENTRY><REF HREF=\"http://h/a\"/></ENTRY></ASX>";
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: video/x-ms-asf\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    rig.feed_split(conn, reply.as_bytes(), 3);
    assert_eq!(rig.news(), [&News::Announcement(text.into())]);
    assert_eq!(rig.failure(), Some("an announcement instead of media"));
}

// WMSP-106
#[test]
fn a_cache_becomes_a_server_for_old_servers() {
    let cache = |server: &str| {
        let mut rig = Rig::new(ClientConfig {
            role: ClientToken::WmCacheProxy,
            version: "9.0.0.1".into(),
            ..plain()
        });
        let conn = rig.open();
        rig.requests(conn);
        let text =
            format!("HTTP/1.1 400 Bad Request\r\nServer: {server}\r\nContent-Length: 0\r\n\r\n");
        rig.feed(conn, text);
        rig
    };
    let mut rig = cache("Cougar/4.1.0.3917");
    let conn = rig.open();
    assert_eq!(rig.connects.len(), 2, "on a new connection");
    assert_eq!(
        header(&rig.request(conn), "User-Agent"),
        Some("NSServer/9.0.0.1")
    );
    let rig = cache("Cougar/9.0");
    assert_eq!(rig.failure(), Some("status 400 in the reply to Describe"));
}

#[test]
fn a_closed_connection_is_replaced_once() {
    let (mut rig, conn, play) = playing(plain());
    // The server closes between its reply and the next request.
    rig.peer_closes(conn);
    assert_eq!(rig.failure(), None);
    let conn = rig.open();
    assert_eq!(rig.request(conn), play);
    rig.peer_closes(conn);
    assert_eq!(
        rig.failure(),
        Some("connection closed before the reply to Play")
    );
}

#[test]
fn what_does_not_answer_is_given_up() {
    let mut rig = Rig::new(plain());
    assert_eq!(rig.wait(), Duration::from_secs(30));
    assert_eq!(rig.failure(), Some("no connection in 30 s"));
    let mut rig = Rig::new(plain());
    rig.open();
    rig.wait();
    assert_eq!(rig.failure(), Some("no reply to Describe in 30 s"));
    let mut rig = Rig::new(plain());
    let conn = rig.connects[0].0;
    rig.peer_closes(conn);
    assert_eq!(rig.failure(), Some("no connection to h"));
    // A log that nobody takes does not make the session a failure.
    let (mut rig, conn, _) = playing(plain());
    rig.feed(
        conn,
        [open_reply(""), played(0..1), end(0).to_vec()].concat(),
    );
    rig.open();
    rig.wait();
    assert_eq!(rig.failure(), None);
    assert!(rig.client.is_done());
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

// WMSP-107 of 3.1.5.14, PL-26: a new entry with prediction.
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

// WMSP-112 of 2.2.1.4: expect-new-header.
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
