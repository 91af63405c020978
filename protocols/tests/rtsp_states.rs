//! The server's state table (rtsp-wme.md 6.1), row by row.

mod rtsp_support;

use protocols::media::FlowId;
use rtsp_support::*;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    Init,
    Ready,
    Playing,
    /// At the end, without another entry.
    Ended,
    /// At the end of an entry that another one follows.
    Between,
}

const ALL: [In; 5] = [In::Init, In::Ready, In::Playing, In::Ended, In::Between];

fn at(state: In, udp: bool) -> (Rtsp, Client) {
    let mut b = bench();
    b.next.insert(1, entry(2));
    let path = if state == In::Between { "/list" } else { "/pp" };
    let mut c = Client::player(&mut b, path);
    if state == In::Init {
        c.describe(&mut b);
        return (b, c);
    }
    match udp {
        true => c.set_up_udp(&mut b),
        false => c.set_up_tcp(&mut b),
    }
    if state != In::Ready {
        c.play(&mut b, "");
    }
    if matches!(state, In::Ended | In::Between) {
        let flow = b.flow(c.conn);
        b.end(flow);
        c.got(&mut b);
    }
    (b, c)
}

/// Ask, and let the flow hold if it is asked to.
fn ask(b: &mut Rtsp, c: &mut Client, method: &str, rest: &str, headers: &str) -> u16 {
    c.send(b, method, rest, headers, "");
    let asked = b.flows.iter().find(|(_, f)| f.state == FlowState::Holding);
    let flow: Option<FlowId> = asked.map(|(id, _)| *id);
    if let Some(flow) = flow {
        b.held(flow);
    }
    c.got(b).remove(0).status()
}

fn in_both(check: impl Fn(In, &mut Rtsp, &mut Client)) {
    for state in ALL {
        for udp in [false, true] {
            let (mut b, mut c) = at(state, udp);
            check(state, &mut b, &mut c);
            // Whatever happened, nothing is left behind.
            if b.is_open(c.conn) {
                b.hang_up(c.conn);
            }
            b.sleep(Duration::from_secs(71));
            assert_eq!(b.server.session_count(), 0, "{state:?}");
            assert!(b.held.is_empty(), "{state:?}");
        }
    }
}

#[test]
fn describe_makes_a_state_of_its_own() {
    in_both(|state, b, c| {
        let playing = b.has_flow(c.conn);
        let session = std::mem::take(&mut c.session);
        assert_eq!(ask(b, c, "DESCRIBE", "", ""), 200);
        assert_eq!(b.has_flow(c.conn), playing, "{state:?}");
        let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=8-9";
        assert_eq!(ask(b, c, "SETUP", "/audio", tcp), 200);
        let expected = if state == In::Init { 1 } else { 2 };
        assert_eq!(b.server.session_count(), expected);
        c.session = session;
    });
}

#[test]
fn select_stream() {
    in_both(|state, b, c| {
        let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
        let udp = "Transport: RTP/AVP/UDP;unicast;client_port=2408, RTP/AVP/TCP;unicast";
        let first = ask(b, c, "SETUP", "/video", udp);
        let second = ask(b, c, "SETUP", "/video", tcp);
        assert!([first, second].contains(&200), "{state:?}");
        assert_eq!(b.has_flow(c.conn), state == In::Playing);
        assert_eq!(
            b.server.session_count(),
            if state == In::Init && second == 200 && first == 200 {
                2
            } else {
                1
            }
        );
    });
}

#[test]
fn play() {
    in_both(|state, b, c| {
        let status = ask(b, c, "PLAY", "/", "");
        match state {
            // Nothing is set up of the entry that was announced.
            In::Init | In::Between => assert_eq!(status, 455, "{state:?}"),
            _ => {
                assert_eq!(status, 200, "{state:?}");
                assert!(b.has_flow(c.conn));
            }
        }
    });
    // In PLAYING with a position: from there on.
    let (mut b, mut c) = at(In::Playing, false);
    let old = b.flow(c.conn);
    assert_eq!(ask(&mut b, &mut c, "PLAY", "/", "Range: npt=5-"), 200);
    assert_eq!(b.flows[&old].state, FlowState::Dropped);
    assert_ne!(b.flow(c.conn), old);
    // With another rate: from where it is.
    let (mut b, mut c) = at(In::Playing, true);
    b.media(b.flow(c.conn), 4);
    assert_eq!(ask(&mut b, &mut c, "PLAY", "/", "Scale: 1.0"), 200);
    assert_eq!(b.cues.len(), 1, "the rate that it has");
}

#[test]
fn pause() {
    in_both(|state, b, c| {
        let status = ask(b, c, "PAUSE", "/", "");
        let expected = match state {
            In::Playing | In::Between => 200,
            In::Init | In::Ready | In::Ended => 455,
        };
        assert_eq!(status, expected, "{state:?}");
        assert!(!b.has_flow(c.conn));
    });
}

#[test]
fn teardown() {
    in_both(|state, b, c| {
        let status = ask(b, c, "TEARDOWN", "/", "");
        if state == In::Init {
            assert_eq!(status, 454);
            assert!(b.is_open(c.conn));
        } else {
            assert_eq!(status, 200, "{state:?}");
            assert!(!b.is_open(c.conn));
            assert_eq!(b.server.session_count(), 0);
        }
    });
}

#[test]
fn the_connection_breaks() {
    in_both(|state, b, c| {
        b.hang_up(c.conn);
        let left = usize::from(state != In::Init);
        assert_eq!(b.server.session_count(), left, "{state:?}");
        assert_eq!(b.held.len(), left);
        if state == In::Ready || state == In::Playing {
            c.conn = b.open();
            assert_eq!(ask(b, c, "PLAY", "/", ""), 200);
        } else {
            c.conn = b.open();
        }
    });
}

#[test]
fn nobody_asks() {
    in_both(|state, b, c| {
        b.sleep(Duration::from_secs(69));
        assert!(b.is_open(c.conn), "{state:?}");
        b.sleep(Duration::from_secs(2));
        let tcp = b.flows.values().any(|f| f.writes_there());
        let plays_tcp = state == In::Playing && tcp;
        assert_eq!(b.is_open(c.conn), plays_tcp, "{state:?}");
        if plays_tcp {
            assert_eq!(ask(b, c, "TEARDOWN", "/", ""), 200);
        } else {
            c.conn = b.open();
        }
    });
}
