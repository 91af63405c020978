//! Playlists over RTSP-WME: ends of entries, announcements, skips.

mod rtsp_support;

use protocols::content::*;
use protocols::media::FlowEnd;
use rtsp_support::*;
use std::time::Duration;

fn listed() -> Rtsp {
    let mut b = bench();
    for n in 1..4 {
        b.next.insert(n, entry(n + 1));
    }
    b
}

fn plays(b: &mut Rtsp, able: &str, headers: &str) -> Client {
    let mut c = Client::of(b, "/list", PLAYER, able);
    let sdp = c.describe(b).body().to_owned();
    assert!(
        sdp.contains("a=type:notstridable,playlist,skipforward\r\n"),
        "{sdp}"
    );
    for control in ["/audio", "/video"] {
        c.setup(b, control, "RTP/AVP/TCP;unicast;interleaved=0-1");
    }
    c.play(b, headers);
    c
}

// RTSP-110, RTSP-111, RTSP-112, RTSP-114, RTSP-118: the client chooses.
#[test]
fn an_entry_is_announced() {
    let mut b = listed();
    let mut c = plays(&mut b, ABLE, "");
    let flow = b.flow(c.conn);
    b.media(flow, 2);
    c.got(&mut b);
    b.end(flow);
    let got = c.got(&mut b);
    let names: Vec<_> = got.iter().map(Got::method).collect();
    assert_eq!(names, ["SET_PARAMETER", "ANNOUNCE"]);
    assert!(got[0].body().ends_with("End-Of-Playlist-Entry: true\r\n"));
    assert_eq!(got[0].get("X-Playlist-Gen-Id"), Some("1"));
    assert_eq!(got[1].get("X-Playlist-Gen-Id"), Some("2"));
    assert_eq!(got[1].get("Session"), Some(&*c.session));
    assert_eq!(got[1].get("X-RTP-Info"), None);
    assert_eq!(got[1].get("X-Receding-PlaylistChange"), None, "RTSP-85");
    assert!(got[1].body().starts_with("v=0\r\n"));
    c.answer(&mut b, 200, Some("1"));
    c.answer(&mut b, 200, Some("2"));
    // Nothing flows that was not chosen.
    assert_eq!(
        c.ask(&mut b, "PLAY", "/", "X-Playlist-Seek-Id: 2").status(),
        455
    );
    c.setup(&mut b, "/video", "RTP/AVP/TCP;unicast;interleaved=0-1");
    let got = c.play(&mut b, "X-Playlist-Seek-Id: 2");
    assert_eq!(got.get("X-Playlist-Gen-Id"), Some("2"));
    let flow = b.flow(c.conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([2]));
    assert_eq!(b.held.len(), 1, "the entry before is let go");
}

// RTSP-115, RTSP-86: streams begin by themselves, with the numbers going on.
#[test]
fn streams_are_predicted() {
    let mut b = listed();
    let mut c = plays(&mut b, ALL_ABLE, "");
    let flow = b.flow(c.conn);
    b.media(flow, 2);
    let Got::Frame(_, frame) = c.got(&mut b).remove(1) else {
        panic!()
    };
    let next = u16::from_be_bytes([frame[2], frame[3]]).wrapping_add(1);
    b.end(flow);
    let got = c.got(&mut b);
    let info = got[1].get("X-RTP-Info").unwrap();
    let want = "url=rtsp://wme.example/list/audio;transport=RTP/AVP/TCP;unicast;interleaved=0-1;";
    assert!(info.starts_with(want), "{info}");
    assert!(info.contains(&format!(
        ";blocksize=1460;thinlevel=0;seq={next};rtptime=0,"
    )));
    let flow = b.flow(c.conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([1, 2]));
    b.media(flow, 1);
    let Got::Frame(0, frame) = c.got(&mut b).remove(0) else {
        panic!()
    };
    assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), next);
    // The client confirms while it flows.
    c.send(
        &mut b,
        "PLAY",
        "/",
        "X-Playlist-Seek-Id: 2|Scale: 1.000|X-RTP-Info: url=rtsp://wme.example/list/audio",
        "",
    );
    c.hold(&mut b);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "go"]);
    for bad in ["url=rtsp://x/a;seq=4", ";;"] {
        c.send(&mut b, "PLAY", "/", &format!("X-RTP-Info: {bad}"), "");
        c.hold(&mut b);
        assert_eq!(c.got(&mut b)[0].status(), 400, "RTSP-86");
    }
}

// RTSP-114: the next announcement waits for a Play of the one before.
#[test]
fn announcements_wait_for_play() {
    let mut b = listed();
    let mut c = plays(&mut b, ALL_ABLE, "");
    for _ in 0..2 {
        let flow = b.flow(c.conn);
        b.end(flow);
    }
    let got = c.got(&mut b);
    let names: Vec<_> = got.iter().map(Got::method).collect();
    assert_eq!(names, ["SET_PARAMETER", "ANNOUNCE", "SET_PARAMETER"]);
    assert!(!b.has_flow(c.conn));
    c.send(&mut b, "PLAY", "/", "X-Playlist-Seek-Id: 2", "");
    let got = c.got(&mut b);
    assert_eq!(got[0].status(), 200);
    assert_eq!(got[1].method(), "ANNOUNCE");
    assert_eq!(got[1].get("X-Playlist-Gen-Id"), Some("3"));
    assert!(b.has_flow(c.conn));
}

// RTSP-84
#[test]
fn a_slow_player_gets_its_time() {
    for (lag, wait) in [(4000, 4), (60_000, 15)] {
        let mut b = listed();
        let mut c = plays(&mut b, ABLE, &format!("X-Player-Lag-Time: {lag}"));
        b.end(b.flow(c.conn));
        assert_eq!(c.got(&mut b).len(), 1);
        b.sleep(Duration::from_secs(wait - 1));
        assert!(c.got(&mut b).is_empty());
        b.sleep(Duration::from_millis(1100));
        assert_eq!(c.got(&mut b)[0].method(), "ANNOUNCE");
    }
}

// RTSP-108: skipping forward; backward is not offered.
#[test]
fn skips() {
    let mut b = listed();
    let mut c = plays(&mut b, ALL_ABLE, "");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    c.got(&mut b);
    c.send(
        &mut b,
        "PLAY",
        "/",
        "X-Playlist: pl-offset=1|X-Playlist-Seek-Id: 1",
        "",
    );
    b.held(flow);
    let got = c.got(&mut b);
    assert_eq!(got[0].get("X-Playlist-Change-Notice"), Some("true"));
    assert_eq!(got[1].method(), "SET_PARAMETER");
    assert!(got[1].body().contains("End-Of-Playlist-Entry: true"));
    assert_eq!(got[2].method(), "ANNOUNCE");
    assert_eq!(got[2].get("X-Playlist-Gen-Id"), Some("2"));
    let flow = b.flow(c.conn);
    assert_eq!(b.held.len(), 1);
    c.send(&mut b, "PLAY", "/", "X-Playlist: pl-offset=-1", "");
    b.held(flow);
    assert_eq!(c.got(&mut b)[0].status(), 400);
    b.next.clear();
    c.send(&mut b, "PLAY", "/", "X-Playlist: pl-offset=1", "");
    b.held(flow);
    assert_eq!(c.got(&mut b)[0].status(), 400, "there is none");
    assert!(b.has_flow(c.conn), "and what played goes on");
}

// RTSP-109: a seek in the entry before.
#[test]
fn a_seek_in_the_entry_before() {
    let mut b = listed();
    let mut c = plays(&mut b, ABLE, "");
    b.end(b.flow(c.conn));
    c.got(&mut b);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast;interleaved=0-1");
    c.send(
        &mut b,
        "PLAY",
        "/",
        "X-Playlist-Seek-Id: 1|Range: npt=5-",
        "",
    );
    let got = c.got(&mut b);
    assert_eq!(got[0].status(), 200);
    assert_eq!(got[0].get("X-Playlist-Change-Notice"), Some("true"));
    assert_eq!(got[0].get("X-Playlist-Gen-Id"), Some("1"));
    assert_eq!(got[1].get("X-Playlist-Gen-Id"), Some("1"));
    assert_eq!(got[2].method(), "ANNOUNCE");
    assert_eq!(got[2].get("X-Playlist-Gen-Id"), Some("2"));
}

// RTSP-111: the last entry ends without more; a lost source says nothing of entries.
#[test]
fn ends() {
    let mut b = listed();
    b.next.clear();
    let mut c = plays(&mut b, ABLE, "");
    b.end(b.flow(c.conn));
    let got = c.got(&mut b);
    assert_eq!(got.len(), 1);
    assert!(got[0].body().ends_with("EOF: true\r\n"));
    let mut b = listed();
    let mut c = plays(&mut b, ABLE, "");
    b.end_with(b.flow(c.conn), FlowEnd::SourceLost);
    assert!(c.got(&mut b)[0].body().ends_with("EOF: true\r\n"));
    // A rewind reaches the start.
    let mut b = bench();
    let mut content = clip();
    content.stridable = true;
    b.points.insert("/pp".into(), Point::Media(content));
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    let got = c.play(&mut b, "Scale: -5.000");
    assert_eq!(got.get("Scale"), Some("-5.000"));
    let flow = b.flow(c.conn);
    assert_eq!(b.start_of(flow).rate_milli, -5000);
    b.end(flow);
    assert!(c.got(&mut b)[0].body().ends_with("RecedingEos: true\r\n"));
    // RFC 2326, 12.34: a rate that cannot be had is answered with the one that is given.
    let mut c = Client::player(&mut b, "/list");
    c.set_up_tcp(&mut b);
    assert_eq!(c.play(&mut b, "Scale: 2").get("Scale"), Some("1.000"));
}

// Clients that cannot follow get one entry and its end.
#[test]
fn who_cannot_follow() {
    let mut b = listed();
    let mut c = Client::of(&mut b, "/list", "Lavf59.27.100", "");
    c.set_up_tcp(&mut b);
    c.play(&mut b, "Range: npt=0.000-");
    b.end(b.flow(c.conn));
    let got = c.got(&mut b);
    assert_eq!(got.len(), 1);
    assert!(got[0].body().ends_with("EOF: true\r\n"));
}

// A Play that comes while the next entry is being looked for: what is played is what was asked for.
#[test]
fn play_between_entries() {
    let mut b = listed();
    let mut c = plays(&mut b, ALL_ABLE, "");
    b.slow = true;
    b.end(b.flow(c.conn));
    assert_eq!(b.unanswered.len(), 1, "what follows?");
    c.send(&mut b, "PLAY", "/", "Range: npt=5-", "");
    b.answer_all();
    b.slow = false;
    assert!(b.has_flow(c.conn));
    let got = c.got(&mut b);
    assert_eq!(got.iter().map(Got::status).collect::<Vec<_>>(), [200]);
    assert_eq!(b.held.len(), 1);
    let flow = b.flow(c.conn);
    b.end(flow);
    let got = c.got(&mut b);
    assert_eq!(got[1].get("X-Playlist-Gen-Id"), Some("2"));
}

// RTSP-109 without a new SETUP: the entry before is what it is about.
#[test]
fn back_without_setup() {
    let mut b = listed();
    let mut c = plays(&mut b, ABLE, "");
    b.end(b.flow(c.conn));
    c.got(&mut b);
    c.send(&mut b, "PLAY", "/", "X-Playlist-Seek-Id: 1", "");
    let got = c.got(&mut b);
    assert_eq!(got[0].get("X-Playlist-Change-Notice"), Some("true"));
    assert_eq!(got[2].method(), "ANNOUNCE");
}

// RTSP-86 over UDP, and the retransmission stream stays what it was.
#[test]
fn predicted_over_udp() {
    let mut b = listed();
    let mut c = Client::of(&mut b, "/list", PLAYER, ALL_ABLE);
    c.set_up_udp(&mut b);
    c.play(&mut b, "");
    let flow = b.flow(c.conn);
    b.media(flow, 3);
    b.end(flow);
    let got = c.got(&mut b);
    let info = got[1].get("X-RTP-Info").unwrap();
    let want = "transport=RTP/AVP/UDP;unicast;server_port=5004;client_port=2408;ssrc=";
    assert!(info.contains(want), "{info}");
    let lanes = |b: &Rtsp, flow| {
        let start = b.start_of(flow).datagrams.clone().unwrap();
        start.lanes.iter().map(|l| l.to.port()).collect::<Vec<_>>()
    };
    assert_eq!(lanes(&b, b.flow(c.conn)), [2408, 4958]);
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
}
