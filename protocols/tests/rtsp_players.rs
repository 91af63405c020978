//! What single players do that the protocol document does not foresee (rtsp-wme.md 8).

mod rtsp_support;

use protocols::machine::Channel;
use rtsp_support::*;
use std::time::Duration;

const FFMPEG: &str = "Lavf59.27.100";
const GSTREAMER: &str = "GStreamer/1.22.0";

// FFmpeg over UDP: rtx first, then one port for all streams; RTCP and holes for firewalls are ignored.
// RTSP-136
#[test]
fn ffmpeg_over_udp() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", FFMPEG, "");
    assert_eq!(c.ask(&mut b, "OPTIONS", "", "").status(), 200);
    assert!(c.describe(&mut b).body().contains("a=control:rtx\r\n"));
    let udp = |port: u16, second: &str| format!("RTP/AVP/UDP;unicast;client_port={port}{second}");
    let got = c.setup(&mut b, "/rtx", &udp(6970, "-6971;mode=play"));
    assert!(
        got.get("Transport")
            .unwrap()
            .contains("server_port=5004-5005;client_port=6970-6971")
    );
    for control in ["/audio", "/video"] {
        assert_eq!(c.setup(&mut b, control, &udp(6972, "")).status(), 200);
    }
    b.datagram_from("192.0.2.7:6972", b"\x80\0\0\0\0\0\0\0\0\0\0\0");
    b.datagram_from("192.0.2.7:6971", b"\x80\xc9\0\x01\0\0\0\0");
    c.play(&mut b, "Range: npt=0.000-");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    assert_eq!(b.datagrams.len(), 1);
    assert_eq!(b.datagrams[0].0.to_string(), "192.0.2.7:6972");
}

// RTSP-113, RTSP-139, decision 12: it refuses EndOfStream, says nothing of what it supports, and
// would wait for ever.
#[test]
fn ffmpeg_at_the_end() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", FFMPEG, "");
    c.set_up_tcp(&mut b);
    c.play(&mut b, "Range: npt=0.000-");
    b.end(b.flow(c.conn));
    assert_eq!(c.got(&mut b)[0].method(), "SET_PARAMETER");
    // Its answer has no CSeq.
    c.answer(&mut b, 501, None);
    b.sleep(Duration::from_millis(1900));
    assert!(b.is_open(c.conn));
    b.sleep(Duration::from_millis(200));
    assert!(!b.is_open(c.conn));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
    // Who plays again meanwhile stays, and so does who said what it supports.
    let mut c = Client::of(&mut b, "/pp", FFMPEG, "");
    c.set_up_tcp(&mut b);
    c.play(&mut b, "");
    b.end(b.flow(c.conn));
    c.got(&mut b);
    c.answer(&mut b, 501, None);
    c.play(&mut b, "Range: npt=0.000-");
    b.sleep(Duration::from_secs(5));
    assert!(b.is_open(c.conn));
    let mut c = Client::plays_tcp(&mut b, "/pp");
    b.end(b.flow(c.conn));
    c.got(&mut b);
    c.answer(&mut b, 501, Some("1"));
    b.sleep(Duration::from_secs(5));
    assert!(b.is_open(c.conn), "RTSP-113");
}

// FFmpeg falls back to TCP: PAUSE, then SETUP without Session on the same connection.
#[test]
fn ffmpeg_falls_back() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", FFMPEG, "");
    c.set_up_udp(&mut b);
    c.play(&mut b, "Range: npt=0.000-");
    let flow = b.flow(c.conn);
    c.send(&mut b, "PAUSE", "/", "", "");
    b.held(flow);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    let first = std::mem::take(&mut c.session);
    for (control, channels) in [("/audio", "0-1"), ("/video", "2-3")] {
        let spec = format!("RTP/AVP/TCP;unicast;interleaved={channels};mode=play");
        let got = c.setup(&mut b, control, &spec);
        assert!(
            got.get("Transport")
                .unwrap()
                .contains(&format!("interleaved={channels}"))
        );
    }
    assert_ne!(c.session, first);
    assert_eq!(b.server.session_count(), 2);
    c.play(&mut b, "Range: npt=0.000-");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    assert!(
        matches!(c.got(&mut b)[0], Got::Frame(0, _)),
        "all on the first stream's channel"
    );
    // The one that is left idle goes by itself, and only it: it must not take the other with it.
    b.sleep(Duration::from_secs(75));
    assert_eq!(b.server.session_count(), 1);
    assert!(b.is_open(c.conn) && b.has_flow(c.conn));
}

// RTSP-137, RTSP-140: one SETUP for all streams on demand; another port is answered so that it tries the
// first one again.
#[test]
fn gstreamer_sets_up_once() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", GSTREAMER, "");
    let sdp = c.describe(&mut b).body().to_owned();
    assert_eq!(sdp.matches("a=control:audio\r\n").count(), 2);
    assert!(!sdp.contains("a=control:video"));
    let got = c.setup(&mut b, "/audio", "RTP/AVP;unicast;client_port=5000-5001");
    let transport = got.get("Transport").unwrap();
    assert!(transport.contains("server_port=5004-5005;client_port=5000-5001"));
    c.play(&mut b, "Range: npt=3.1-13.1");
    let flow = b.flow(c.conn);
    assert_eq!(b.start_of(flow).selection.on, 0b110);
    assert_eq!(b.start_of(flow).max_duration, None);
    // What is live it sets up stream by stream.
    let mut c = Client::of(&mut b, "/live", GSTREAMER, "");
    assert!(c.describe(&mut b).body().contains("a=control:video\r\n"));
    let udp = "RTP/AVP;unicast;client_port=5000-5001";
    assert_eq!(c.setup(&mut b, "/audio", udp).status(), 200);
    let other = "RTP/AVP;unicast;client_port=5002-5003";
    assert_eq!(c.setup(&mut b, "/video", other).status(), 461);
    assert_eq!(c.setup(&mut b, "/video", udp).status(), 200);
}

// RTSP-138: it sends EndOfStream back, with its own CSeq first, two lengths and a NUL.
#[test]
fn gstreamer_echoes_the_end() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", GSTREAMER, "");
    c.describe(&mut b);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast;interleaved=0-1");
    c.play(&mut b, "");
    b.end(b.flow(c.conn));
    let end = c.got(&mut b).remove(0);
    let body = end.body().to_owned();
    let n = body.len();
    b.send(
        c.conn,
        format!(
            "SET_PARAMETER rtsp://wme.example/pp RTSP/1.0\r\nCSeq: 17\r\n\
             Content-Type: application/x-wms-extension-cmd\r\nContent-Length: {n}\r\nCSeq: 1\r\n\
             Session: {}\r\nContent-Length: {}\r\n\r\n{body}\0",
            c.session,
            n + 1
        ),
    );
    let got = c.got(&mut b);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].status(), got[0].get("CSeq")), (200, Some("17")));
    c.cseq = 17;
    assert_eq!(c.ask(&mut b, "TEARDOWN", "/", "").status(), 200);
    b.sleep(Duration::from_secs(3));
}

// VLC's SAT>IP module: nothing to play, and no session.
#[test]
fn vlc_without_its_module() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", "", "");
    let got = c.setup(&mut b, "", "RTP/AVP;unicast;client_port=5000-5001");
    assert_eq!(got.status(), 461);
    assert!(b.opens.is_empty());
    assert_eq!(b.server.session_count(), 0);
}

// A client that skips DESCRIBE, as the protocol allows.
#[test]
fn setup_without_description() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    let got = c.setup(&mut b, "/stream=2", "RTP/AVP/TCP;unicast");
    assert_eq!(got.status(), 200);
    assert_eq!(b.opens[0].path, "/pp");
    c.play(&mut b, "");
    assert_eq!(b.start_of(b.flow(c.conn)).selection.on, 0b100);
    let got = Client::player(&mut b, "/pp").setup(&mut b, "/stream=9", "RTP/AVP/TCP;unicast");
    assert_eq!(got.status(), 400);
    let got = Client::player(&mut b, "/none").setup(&mut b, "/video", "RTP/AVP/TCP;unicast");
    assert_eq!(got.status(), 404);
}

// Old download tools: an empty SET_PARAMETER, time codes, keep-alives under the flow.
#[test]
fn old_download_tools() {
    let mut b = bench();
    let mut c = Client::of(&mut b, "/pp", "WMPlayer/9.0.0.2980 guid/x", "");
    c.set_up_tcp(&mut b);
    assert_eq!(c.ask(&mut b, "SET_PARAMETER", "/", "").status(), 200);
    c.play(
        &mut b,
        "Range: smpte=00:00:00-|X-Accelerate-Streaming: AccelDuration = 18000",
    );
    let flow = b.flow(c.conn);
    for _ in 0..3 {
        b.media(flow, 200);
        c.send(&mut b, "GET_PARAMETER", "/", "", "");
        b.held(flow);
        assert_eq!(c.got(&mut b).last().unwrap().status(), 200);
    }
    assert_eq!(
        c.ask_unknown(&mut b, flow),
        451,
        "a parameter that is not known"
    );
}

impl Client {
    fn ask_unknown(&mut self, b: &mut Rtsp, flow: protocols::media::FlowId) -> u16 {
        self.send(
            b,
            "SET_PARAMETER",
            "/",
            "Content-Type: text/parameters",
            "a: b",
        );
        b.held(flow);
        self.got(b).remove(0).status()
    }
}

// rtspt:// and rtspu:// are hints that some players leave in; what is written is rtsp://.
#[test]
fn hints_in_urls() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.base = "rtspt://wme.example/pp".into();
    let sdp = c.describe(&mut b).body().to_owned();
    assert!(sdp.contains("a=control:rtsp://wme.example/pp/\r\n"));
    c.base = "rtspu://wme.example/pp".into();
    assert_eq!(
        c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast").status(),
        200
    );
}

// Frames that clients send are ignored between requests, whatever their size.
#[test]
fn frames_of_clients() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    let mut bytes = b"$\x01\0\x04rrrr".to_vec();
    bytes.extend(b"$\x01\xff\xff");
    bytes.extend(vec![b'x'; 65_535]);
    bytes.extend(c.text("GET_PARAMETER", "/", "", "").into_bytes());
    b.send(c.conn, bytes);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    b.input(protocols::machine::Input::Datagram {
        channel: Channel(0),
        peer: "192.0.2.7:2408".parse().unwrap(),
        bytes: &[0; 200],
    });
    assert!(b.is_open(c.conn));
}
