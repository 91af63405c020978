//! Sessions of RTSP-WME, from description to teardown.

mod asf_build;
mod rtsp_support;

use asf_build as build;
use protocols::content::*;
use protocols::machine::*;
use protocols::media::FlowEnd;
use rtsp_support::*;
use std::time::Duration;

// RTSP-135
#[test]
fn options_tells_whom_one_talks_to() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/tone.wma", "Lavf59.27.100", "");
    let got = c.ask(&mut b, "OPTIONS", "", "");
    assert_eq!(got.status(), 200);
    assert!(got.get("Server").unwrap().starts_with("WMServer/"));
    assert!(got.get("Public").unwrap().contains("SET_PARAMETER"));
    b.send(c.conn, "OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n");
    assert_eq!(c.got(&mut b)[0].status(), 200);
}

// RTSP-46, RTSP-51, RTSP-52, RTSP-53, RTSP-57, RTSP-60, RTSP-70, RTSP-71, RTSP-83, RTSP-107: the reference's exchange and description,
// byte for byte.
#[test]
fn the_description_of_the_reference() {
    let mut b = bench_with(protocols::rtsp::server::Config {
        remote_log: false,
        server: "WMServer/9.5".into(),
        ..config()
    });
    let conn = b.open();
    b.send(
        conn,
        format!(
            "DESCRIBE rtsp://wme.example/tone.wma RTSP/1.0\r\nUser-Agent: {PLAYER}\r\n\
             Accept: application/sdp\r\nX-Accept-Authentication: Negotiate, NTLM, Digest\r\n\
             CSeq: 2\r\nSupported: {ABLE}\r\n\r\n"
        ),
    );
    let got = parse(&b.take(conn)).remove(0);
    assert_eq!(got.status(), 200);
    for (name, value) in [
        ("Content-Type", "application/sdp"),
        ("Vary", "Accept"),
        ("X-Playlist-Gen-Id", "1"),
        ("X-Broadcast-Id", "0"),
        ("CSeq", "2"),
        ("Server", "WMServer/9.5"),
        (
            "Cache-Control",
            "max-age=86399, must-revalidate, proxy-revalidate, x-wms-content-size=710",
        ),
    ] {
        assert_eq!(got.get(name), Some(value), "{name}");
    }
    let supported = got.get("Supported").unwrap();
    for token in [
        "sswitch",
        "eosmsg",
        "srvppair",
        "fastcache",
        "packetpairssrc",
        "startupprofile",
    ] {
        assert!(supported.contains(&format!("com.microsoft.wm.{token}")));
    }
    // Only the number of the description is ours to choose.
    let body = got.body();
    let at = body.find("o=- ").unwrap();
    let end = at + body[at..].find(" IN ").unwrap();
    let want = include_str!("corpus/rtsp/tone.sdp");
    let text = format!(
        "{}o=- 202001010000000001 202001010000000001{}",
        &body[..at],
        &body[end..]
    );
    assert_eq!(text.replace("\r\n", "\n"), want.replace("\r\n", "\n"));
}

// BW-10, BW-11, BW-12, RTSP-91, RTSP-92: 117 bytes of head, 2080 of packet pair, three writes.
#[test]
fn the_packet_pair_of_the_reference() {
    let mut b = bench_with(protocols::rtsp::server::Config {
        server: "WMServer/9.5".into(),
        ..config()
    });
    let conn = b.open();
    b.send(
        conn,
        "GET_PARAMETER rtsp://wme.example/tone.wma RTSP/1.0\r\n\
         Content-Type: application/x-rtsp-packetpair\r\nContent-Length: 0\r\nCSeq: 3\r\n\r\n",
    );
    let writes = b.writes[&conn].clone();
    assert_eq!(writes.len(), 3);
    let head = "RTSP/1.0 200 OK\r\nContent-Type: application/x-rtsp-packetpair\r\n\
                Content-Length: 2080\r\nCSeq: 3\r\nServer: WMServer/9.5\r\n\r\n";
    assert_eq!(head.len(), 117);
    assert_eq!(writes[0].len(), 117 + 8 + 387);
    assert!(writes[0].starts_with(head.as_bytes()));
    assert_eq!(writes[0][117..125], [0x24, 0x50, 0xf8, 1, 0x75, 0, 0, 0]);
    assert_eq!(writes[1].len(), 8 + 504);
    assert_eq!(writes[2].len(), 8 + 1165);
    assert_eq!(writes.concat().len(), 117 + 2080);
}

// RTSP-03, RTSP-06, RTSP-64, RTSP-76, RTSP-101, RTSP-125, RTSP-128, RTSP-110, RTSP-112, RTSP-127: the reference's session over TCP.
#[test]
fn a_whole_session_over_tcp() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/tone.wma");
    c.describe(&mut b);
    let got = c.ask(
        &mut b,
        "SETUP",
        "/audio",
        "X-Playlist-Gen-Id: 1|If-Match: \"{11111111-2222-3333-4444-555555555555}\"|\
         Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=6095d7d7;mode=PLAY",
    );
    let session = got.get("Session").unwrap().to_owned();
    let (id, timeout) = session.split_once(';').unwrap();
    assert_eq!((id.len(), timeout), (20, "timeout=60"));
    c.session = id.to_owned();
    let transport = got.get("Transport").unwrap().to_owned();
    let ssrc = transport.split("ssrc=").nth(1).unwrap()[..8].to_owned();
    assert_eq!(
        transport,
        format!("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc={ssrc};mode=PLAY")
    );
    let got = c.play(
        &mut b,
        "Range: npt=0.000-|Scale: 1.000|Bandwidth: 2147483647|X-Playlist-Seek-Id: 1",
    );
    assert_eq!(got.get("Range"), Some("npt=3.000-3.040"));
    assert_eq!(got.get("X-Playlist-Gen-Id"), Some("1"));
    let info = got.get("RTP-Info").unwrap();
    let seq: u16 = info
        .strip_prefix("url=rtsp://wme.example/tone.wma/audio;seq=")
        .and_then(|r| r.strip_suffix(";rtptime=0"))
        .unwrap()
        .parse()
        .unwrap();
    let flow = b.flow(c.conn);
    b.media(flow, 4);
    let frames = c.got(&mut b);
    assert_eq!(frames.len(), 4);
    for (n, frame) in frames.iter().enumerate() {
        let Got::Frame(0, bytes) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(bytes[..2], [0x80, 0xe0]);
        let number = u16::from_be_bytes([bytes[2], bytes[3]]);
        assert_eq!(number, seq.wrapping_add(n as u16));
        assert_eq!(bytes[7], 10 * n as u8, "send time");
        assert_eq!(
            bytes[8..12]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>(),
            ssrc
        );
        assert_eq!(bytes[12..16], [0xc0, 0, 0, 52]);
    }
    b.end(flow);
    let got = c.got(&mut b).remove(0);
    assert_eq!(got.method(), "SET_PARAMETER");
    let next = seq.wrapping_add(4);
    for (name, value) in [
        ("Content-Type", "application/x-wms-extension-cmd"),
        ("X-Notice", "2101 \"End-of-Stream Reached\""),
        (
            "RTP-Info",
            &format!("url=rtsp://wme.example/tone.wma/audio;seq={next}"),
        ),
        ("X-Playlist-Gen-Id", "1"),
        ("CSeq", "1"),
    ] {
        assert_eq!(got.get(name), Some(value), "{name}");
    }
    assert_eq!(got.body(), format!("Session: {id}\r\nEOF: true\r\n"));
    c.answer(&mut b, 200, Some("1"));
    let log = c.ask_with(
        &mut b,
        "SET_PARAMETER",
        "/",
        "Content-Type: application/x-wms-Logplaystats;charset=UTF-8",
        "<XML>",
    );
    assert_eq!(log.status(), 200);
    assert_eq!(b.logs(), [&ClientLog::Xml("<XML>".into())]);
    let got = c.ask(&mut b, "TEARDOWN", "/", "");
    assert_eq!(got.status(), 200);
    assert!(b.closed.contains_key(&c.conn));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty(), "contents are left behind");
}

// WMLOG-33, WMLOG-34, RTSP-03: nothing is written while a flow has the connection; all replies leave in one hold.
#[test]
fn replies_wait_for_one_hold() {
    let mut b = bench();
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    b.media(flow, 2);
    c.got(&mut b);
    let mut text = c.text("GET_PARAMETER", "/", "", "");
    text += &c.text(
        "SET_PARAMETER",
        "/",
        "Content-Type: application/x-wms-Logconnectstats",
        "x",
    );
    b.send(c.conn, text);
    b.media(flow, 1);
    assert_eq!(c.got(&mut b).len(), 1, "a packet and nothing else");
    b.held(flow);
    let got = c.got(&mut b);
    assert_eq!(got.iter().map(Got::status).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "go"]);
    assert!(b.has_flow(c.conn));
}

// RTSP-94, RTSP-95 and the numbers that go on over a seek.
#[test]
fn pause_and_seek() {
    let mut b = bench();
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    b.media(flow, 3);
    let first = seq_of(&c.got(&mut b)[0]);
    c.send(&mut b, "PAUSE", "/", "", "");
    assert!(c.got(&mut b).is_empty());
    b.held(flow);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "drop"]);
    // In READY there is nothing to pause.
    assert_eq!(c.ask(&mut b, "PAUSE", "/", "").status(), 455);
    b.cue.packet = 20;
    b.cue.send_time = 5000;
    let got = c.play(&mut b, "Range: npt=8.200-");
    assert_eq!(b.cues.last().unwrap().start, Start::Time(5100));
    assert_eq!(got.get("Range"), Some("npt=8.100-13.100"));
    let info = got.get("RTP-Info").unwrap().to_owned();
    let want = format!("/audio;seq={};rtptime=5000", first.wrapping_add(3));
    assert!(info.contains(&want), "{info}");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    assert_eq!(seq_of(&c.got(&mut b)[0]), first.wrapping_add(3));
    // Without a position it goes on where it stopped.
    c.send(&mut b, "PAUSE", "/", "", "");
    b.held(flow);
    c.got(&mut b);
    c.play(&mut b, "");
    assert_eq!(b.cues.last().unwrap().start, Start::Packet(21));
}

fn seq_of(frame: &Got) -> u16 {
    match frame {
        Got::Frame(_, bytes) => u16::from_be_bytes([bytes[2], bytes[3]]),
        other => panic!("{other:?}"),
    }
}

// RTSP-67: every unit, and ranges that are outside.
#[test]
fn ranges() {
    for (range, start) in [
        ("npt=0.000-", Start::Beginning),
        ("npt=3.100-13.100", Start::Beginning),
        ("npt=now-", Start::Beginning),
        ("npt=4.1-", Start::Time(1000)),
        ("smpte-25=00:00:02-", Start::Time(2000)),
        ("x-asf-packet=5-", Start::Packet(5)),
        ("x-asf-byte=6400-", Start::Byte(6400)),
    ] {
        let mut b = bench();
        let mut c = Client::player(&mut b, "/pp");
        c.set_up_tcp(&mut b);
        c.play(&mut b, &format!("Range: {range}"));
        assert_eq!(b.cues[0].start, start, "{range}");
        assert_eq!(b.start_of(b.flow(c.conn)).max_duration, None, "{range}");
    }
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    for bad in [
        "npt=99.0-",
        "x-asf-packet=56-",
        "x-asf-byte=182000-",
        "clock=1-",
        "npt=5-4",
        "npt=1-2,npt=3-4",
    ] {
        let got = c.ask(&mut b, "PLAY", "/", &format!("Range: {bad}"));
        assert_eq!(got.status(), 457, "{bad}");
    }
    c.play(&mut b, "Range: npt=4.1-6.1");
    let flow = b.flow(c.conn);
    assert_eq!(b.start_of(flow).max_duration, Some(2000));
    // What was cut short by the client is not followed by another entry.
    b.end(flow);
    assert!(!c.got(&mut b)[0].body().contains("End-Of-Playlist-Entry"));
}

// BW-38, RTSP-78, RTSP-79, RTSP-80, RTSP-81, RTSP-82
#[test]
fn grants_are_never_more_than_asked() {
    let mut b = bench();
    b.cue.accel = Some(Accel {
        bits_per_second: 2_000_000,
        duration_ms: 9000,
    });
    b.cue.profile = Some(StartupProfile {
        max_bytes: [1; 5],
        time: [0; 5],
        start_time: 0,
        last_time: 0,
        max_diff_time: 0,
        max_diff_snd_time: 0,
        byte_rate: [1; 5],
    });
    let mut c = Client::of(&mut b, "/pp", PLAYER, ALL_ABLE);
    c.set_up_tcp(&mut b);
    // Spaces as old download tools write them.
    let got = c.play(
        &mut b,
        "X-Accelerate-Streaming: AccelDuration = 8000;AccelBandwidth = 1024128",
    );
    assert_eq!(
        got.get("X-Accelerate-Streaming"),
        Some("AccelDuration=8000;AccelBandwidth=1024128")
    );
    assert!(got.get("X-StartupProfile").unwrap().starts_with("Rate=10,"));
    assert!(b.cues[0].profile);
    // Who does not know it gets none, and no grant if none was asked.
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    let got = c.play(
        &mut b,
        "X-Burst-Streaming: BurstDuration=5000;BurstBandwidth=3000000",
    );
    assert_eq!(
        got.get("X-Burst-Streaming"),
        Some("BurstDuration=5000;BurstBandwidth=2000000")
    );
    assert_eq!(got.get("X-StartupProfile"), None);
    assert_eq!(got.get("X-Accelerate-Streaming"), None);
}

// RTSP-96, RTSP-97, RTSP-98, RTSP-99, RTSP-100
#[test]
fn streams_are_switched() {
    let mut b = bench();
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let select = "Content-Type: application/x-wms-streamswitch";
    let ask = |b: &mut Rtsp, c: &mut Client, method: &str, rest: &str, body: &str| {
        c.send(b, method, rest, select, body);
        c.hold(b);
        c.got(b).remove(0).status()
    };
    let u = url("/pp/video");
    let thin = format!("SSEntry: 2 2 1 {u} {u}\r\n");
    assert_eq!(ask(&mut b, &mut c, "SET_PARAMETER", "/video", &thin), 200);
    // Without the word, and without a line end: examples of the protocol document.
    let off = format!("2 2 2 {u} {u}");
    assert_eq!(ask(&mut b, &mut c, "TEARDOWN", "/video", &off), 200);
    let replace = format!("SSEntry: 1 2 0 {} {u}\r\n", url("/pp/audio"));
    assert_eq!(
        ask(&mut b, &mut c, "SET_PARAMETER", "/audio", &replace),
        200
    );
    let remove = format!("SSEntry: 2 4294967295 0 {u}\r\n");
    assert_eq!(ask(&mut b, &mut c, "TEARDOWN", "/audio", &remove), 200);
    let switch = |from, to, level| StreamSwitch { from, to, level };
    assert_eq!(
        b.selects.concat(),
        [
            switch(None, Some(2), Level::KeyOnly),
            switch(None, Some(2), Level::Off),
            switch(Some(1), Some(2), Level::Whole),
            switch(None, Some(2), Level::Off),
        ]
    );
    let unknown = "SSEntry: 1 9 0 rtsp://a/b rtsp://a/c\r\n";
    assert_eq!(ask(&mut b, &mut c, "SET_PARAMETER", "/audio", unknown), 400);
    assert_eq!(ask(&mut b, &mut c, "SET_PARAMETER", "/audio", "junk"), 400);
    assert_eq!(b.selects.len(), 4, "a bad body changes nothing");
    // SETUP adds, TEARDOWN of the same URL takes away; both while it plays.
    c.send(
        &mut b,
        "SETUP",
        "/video",
        "Transport: RTP/AVP/TCP;unicast;interleaved=0-1",
        "",
    );
    c.hold(&mut b);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    assert_eq!(b.selects[4], [switch(None, Some(2), Level::Whole)]);
    c.send(&mut b, "TEARDOWN", "/video", "", "");
    c.hold(&mut b);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    assert_eq!(b.selects[5], [switch(None, Some(2), Level::Off)]);
    c.send(&mut b, "SETUP", "/nothing", "Transport: RTP/AVP/TCP", "");
    c.hold(&mut b);
    assert_eq!(c.got(&mut b)[0].status(), 400);
}

// RTSP-96: a thinned stream from its SETUP on.
#[test]
fn a_stream_is_set_up_thinned() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast;interleaved=0-1");
    let body = format!("SSEntry: 4294967295 2 1 {}\r\n", url("/pp/video"));
    let got = c.ask_with(
        &mut b,
        "SETUP",
        "/video",
        "Transport: RTP/AVP/TCP;unicast;interleaved=0-1|\
         Content-Type: application/x-wms-streamswitch",
        &body,
    );
    assert_eq!(got.status(), 200);
    c.play(&mut b, "");
    assert_eq!(b.cues[0].selection.level(2), Level::KeyOnly);
}

// Table 6.1, INIT: what needs a session.
#[test]
fn before_the_first_setup() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    for (method, status) in [("PLAY", 455), ("PAUSE", 455), ("TEARDOWN", 454)] {
        assert_eq!(c.ask(&mut b, method, "/", "").status(), status, "{method}");
    }
    // RTSP-126: what was only described goes with its connection.
    b.hang_up(c.conn);
    assert!(b.held.is_empty());
    assert_eq!(b.server.connection_count(), 0);
}

// RTSP-126: a session outlives its connection, and its client comes back.
#[test]
fn a_session_is_returned_to() {
    let mut b = bench();
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    b.media(flow, 5);
    let first = seq_of(&c.got(&mut b)[0]);
    b.hang_up(c.conn);
    assert_eq!(b.server.session_count(), 1);
    c.conn = b.open();
    c.play(&mut b, "");
    assert_eq!(b.cues.last().unwrap().start, Start::Packet(5));
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    assert_eq!(seq_of(&c.got(&mut b)[0]), first.wrapping_add(5));
    b.hang_up(c.conn);
    b.sleep(Duration::from_secs(71));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
}

// RTSP-102, RTSP-103
#[test]
fn sessions_and_entries_that_are_not_there() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    let got = c.ask(&mut b, "GET_PARAMETER", "/", "X-Playlist-Gen-Id: 8");
    assert_eq!(got.status(), 412);
    let got = c.ask(&mut b, "GET_PARAMETER", "/", "X-Playlist-Gen-Id: 7");
    assert_eq!(got.status(), 200);
    let right = std::mem::take(&mut c.session);
    for wrong in [
        "00000000000000000000".to_owned(),
        format!("{right}0"),
        "x".to_owned(),
        right[1..].to_owned(),
    ] {
        let got = c.ask(&mut b, "GET_PARAMETER", "/", &format!("Session: {wrong}"));
        assert_eq!(got.status(), 454, "{wrong}");
    }
    // SendEvent needs none, and a wrong one does no harm.
    let got = c.ask_with(
        &mut b,
        "SET_PARAMETER",
        "",
        "Session: x|Content-Type: application/x-wms-sendevent",
        "event",
    );
    assert_eq!(got.status(), 200);
    assert_eq!(b.logs(), [&ClientLog::RemoteEvent(b"event".to_vec())]);
}

// RTSP-65, RTSP-66
#[test]
fn conditions() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/tone.wma");
    c.describe(&mut b);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    for (header, status) in [
        ("If-Match: \"{22222222-2222-3333-4444-555555555555}\"", 412),
        ("If-Match: bare", 412),
        ("If-Match: *", 200),
        ("If-None-Match: bare", 400),
    ] {
        let got = c.ask(&mut b, "GET_PARAMETER", "/", header);
        assert_eq!(got.status(), status, "{header}");
    }
}

// RTSP-88, RTSP-89, RTSP-105, and what the application refuses.
#[test]
fn other_answers() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "");
    let info = "Content-Type: application/x-wms-getcontentinfo";
    let got = c.ask_with(&mut b, "GET_PARAMETER", "/pp", info, "\0");
    assert_eq!(got.status(), 200);
    assert_eq!(got.get("Cache-Control"), Some("no-cache"));
    assert_eq!((got.body(), got.get("Supported")), ("", None));
    assert_eq!(c.ask(&mut b, "DESCRIBE", "/busy", "").status(), 503);
    assert_eq!(c.ask(&mut b, "DESCRIBE", "/none", "").status(), 404);
    assert_eq!(c.ask(&mut b, "DESCRIBE", "/pp.asx", "").status(), 415);
    for (method, status) in [("RECORD", 405), ("REDIRECT", 405), ("BREW", 501)] {
        assert_eq!(c.ask(&mut b, method, "/pp", "").status(), status);
    }
    let got = c.ask(&mut b, "DESCRIBE", "/moved", "");
    assert_eq!(got.status(), 302);
    assert_eq!(got.get("Location"), Some("http://other/x"));
    assert!(b.closed.contains_key(&c.conn));
    assert!(b.held.is_empty());
}

// RTSP-55
#[test]
fn streams_that_must_not_be_lost_are_described_so() {
    let rates = [64_000, 64_000];
    let children = [
        build::file_properties(56, 3100, 2, [3200; 2]),
        build::extension(&[
            build::extended(1, rates, 0, 0, &[0; 4]),
            build::extended(2, rates, 1, 0, &[0; 4]),
        ]),
        build::audio(1, 8000),
        build::video(2, 320),
    ];
    let mut b = bench();
    let content = Content {
        header: build::blob(&children, 50 + 56 * 3200, 56).into(),
        ..clip()
    };
    b.points.insert("/pp".to_owned(), Point::Media(content));
    let mut c = Client::player(&mut b, "/pp");
    let got = c.describe(&mut b);
    let sections: Vec<&str> = got.body().split("\r\nm=").skip(1).collect();
    let mut reliable = sections.iter().filter(|s| s.contains("\r\na=reliable"));
    assert!(reliable.next().is_some_and(|s| s.starts_with("video")));
    assert_eq!(reliable.next(), None);
    assert!(sections.iter().any(|s| s.starts_with("audio")));
}

// RTSP-63: what a live one says of itself.
#[test]
fn a_broadcast() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/live");
    let got = c.describe(&mut b);
    assert!(got.body().contains("a=range:npt=3.100-\r\n"));
    assert!(got.body().contains("a=type:broadcast,"));
    assert_eq!(got.get("X-Broadcast-Id"), Some("5"));
    assert!(!got.get("Supported").unwrap().contains("fastcache"));
    assert!(!got.get("Cache-Control").unwrap().contains("content-size"));
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    let got = c.play(&mut b, "Range: npt=20-|Speed: 5.0");
    assert_eq!(got.get("Range"), Some("npt=3.100-"));
    assert_eq!(b.cues[0].start, Start::Beginning);
    assert_eq!(b.cues[0].speed_milli, None);
    let flow = b.flow(c.conn);
    b.end_with(flow, FlowEnd::SourceLost);
    let got = c.got(&mut b).remove(0);
    assert_eq!(got.method(), "SET_PARAMETER");
    assert!(!got.body().contains("Administrative"));
}

// RTSP-69: what is said replaces what was said; nothing said changes nothing.
#[test]
fn abilities_are_remembered() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", PLAYER, "com.microsoft.wm.locid");
    c.set_up_tcp(&mut b);
    c.supported.clear();
    c.play(&mut b, "");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    let Got::Frame(_, bytes) = c.got(&mut b).remove(0) else {
        panic!()
    };
    assert_eq!(bytes[12], 0xc8, "RTSP-16");
    c.send(
        &mut b,
        "PAUSE",
        "/",
        "Supported: com.microsoft.wm.eosmsg",
        "",
    );
    b.held(flow);
    c.got(&mut b);
    c.play(&mut b, "");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    let Got::Frame(_, bytes) = c.got(&mut b).remove(0) else {
        panic!()
    };
    assert_eq!(bytes[12], 0xc0);
}
