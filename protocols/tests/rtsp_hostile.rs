//! What must not bring the server of RTSP down, or give somebody else's session away.

mod rtsp_support;

use protocols::auth::{Challenge, Credentials, Identity, Offer, ntlm};
use protocols::content::Content;
use protocols::machine::*;
use protocols::rtsp::rtcp::resend_requests;
use protocols::rtsp::server::{Config, Server};
use rtsp_support::*;
use std::sync::Arc;
use std::time::Duration;

/// A whole session as a client would pipeline it, but for the session's id.
fn dialogue(session: &str) -> String {
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let s = format!("Session: {session}");
    let u = url("/pp");
    [
        request(1, &format!("OPTIONS {u}"), "", ""),
        "\r\n\r\n".into(),
        request(
            2,
            &format!("DESCRIBE {u}"),
            &format!("Supported: {ABLE}"),
            "",
        ),
        "$\x01\0\x03abc".into(),
        request(
            3,
            &format!("GET_PARAMETER {u}"),
            "Content-Type: application/x-rtsp-packetpair|Content-Length: 0",
            "",
        ),
        request(4, &format!("SETUP {u}/audio"), tcp, ""),
        request(5, &format!("SETUP {u}/video"), &format!("{tcp}|{s}"), ""),
        request(6, &format!("PLAY {u}/"), &s, ""),
        request(
            7,
            &format!("SET_PARAMETER {u}/"),
            &format!("{s}|Content-Type: application/x-wms-Logconnectstats"),
            "<XML>",
        ),
        request(8, &format!("GET_PARAMETER {u}/"), &s, ""),
        request(9, &format!("PAUSE {u}/"), &s, ""),
        request(10, &format!("TEARDOWN {u}/"), &s, ""),
    ]
    .concat()
}

/// Feed in pieces; the flow holds whenever it is asked to.
fn talk(pieces: &[&[u8]]) -> Vec<u8> {
    let mut b = bench();
    let conn = b.open();
    for piece in pieces {
        if b.is_open(conn) && !piece.is_empty() {
            b.send(conn, piece);
        }
        loop {
            let asked = b.flows.iter().find(|(_, f)| f.state == FlowState::Holding);
            let Some(flow) = asked.map(|(id, _)| *id) else {
                break;
            };
            b.held(flow);
        }
    }
    assert!(!b.is_open(conn));
    assert!(b.held.is_empty());
    b.take(conn)
}

/// The id that the first session of a machine with this seed gets.
fn first_session() -> String {
    let mut b = bench();
    let conn = b.open();
    let text = dialogue("x");
    let at = text.find("SETUP").unwrap();
    let end = at + text[at..].find("\r\n\r\n").unwrap() + 4;
    b.send(conn, &text[..end]);
    let got = parse(&b.take(conn));
    got.last().unwrap().get("Session").unwrap()[..20].to_owned()
}

#[test]
fn splits_change_nothing() {
    let text = dialogue(&first_session());
    let bytes = text.as_bytes();
    let whole = talk(&[bytes]);
    let statuses: Vec<u16> = parse(&whole).iter().map(Got::status).collect();
    assert_eq!(statuses, [200; 10]);
    for at in 1..bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(talk(&[a, b]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(talk(&single), whole);
}

#[test]
fn random_bytes_do_no_harm() {
    let text = dialogue(&first_session());
    let mut state = 0x1234_5678_9abc_def1u64;
    for _ in 0..400 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        let mut b = bench();
        let conn = b.open();
        b.send(conn, &bytes);
        for _ in 0..20 {
            let asked = b.flows.iter().find(|(_, f)| f.state == FlowState::Holding);
            let Some(flow) = asked.map(|(id, _)| *id) else {
                break;
            };
            b.held(flow);
        }
        if b.is_open(conn) {
            b.hang_up(conn);
        }
        b.sleep(Duration::from_secs(80));
        assert_eq!(
            (b.server.session_count(), b.server.connection_count()),
            (0, 0)
        );
        assert!(b.held.is_empty());
    }
}

// The body of the fuzzer, with damaged dialogues.
#[test]
fn fuzzed_dialogues() {
    let text = dialogue("01234567890123456789").into_bytes();
    protocols::rtsp::fuzz::server(&text);
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..200 {
        let mut bytes = text.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        let end = (state >> 20) as usize % bytes.len();
        protocols::rtsp::fuzz::server(&bytes[..end]);
    }
}

#[test]
fn what_is_no_rtsp_is_closed() {
    for junk in [
        &b"\x16\x03\x01\x02\0\x01"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"OPTIONS * RTSP/2.0\r\n\r\n",
        b"\xff\xff\xff",
        b"PLAY\r\n\r\n",
    ] {
        let mut b = bench();
        let conn = b.open();
        b.send(conn, junk);
        assert!(!b.is_open(conn), "{junk:?}");
        assert!(b.closed[&conn].1.is_some());
        assert!(b.take(conn).starts_with(b"RTSP/1.0 "));
    }
}

// Bounded memory: heads, bodies, pipelines, numbers of sessions.
#[test]
fn sizes_are_bounded() {
    let mut b = bench();
    let conn = b.open();
    b.send(conn, b"DESCRIBE rtsp://h/");
    for _ in 0..40 {
        if b.is_open(conn) {
            b.send(conn, [b'a'; 1000]);
        }
    }
    assert!(!b.is_open(conn));
    let conn = b.open();
    b.send(
        conn,
        b"SET_PARAMETER rtsp://h/ RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n",
    );
    assert!(!b.is_open(conn));
    // Requests behind one that is not answered.
    b.slow = true;
    let conn = b.open();
    b.send(conn, request(1, "DESCRIBE rtsp://h/pp", "", ""));
    let more = request(2, "OPTIONS *", "", "");
    for _ in 0..4000 {
        if b.is_open(conn) {
            b.send(conn, &more);
        }
    }
    assert!(!b.is_open(conn));
    b.slow = false;
    b.answer_all();
    assert!(b.held.is_empty(), "what was opened for nobody is released");
    // Replies that nobody takes, while a flow does not let go of the connection.
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    for _ in 0..100 {
        let kind = "Content-Type: application/x-rtsp-packetpair";
        c.send(&mut b, "GET_PARAMETER", "/", kind, "");
    }
    assert!(c.got(&mut b).is_empty());
    b.held(flow);
    let got = b.take(c.conn);
    assert!(got.len() < 64 * 1024 + 4096, "{}", got.len());
    let mut b = bench_with(Config {
        session_count_max: 2,
        ..config()
    });
    for n in 0..3 {
        let mut c = Client::player(&mut b, "/pp");
        let got = c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
        assert_eq!(got.status(), if n < 2 { 200 } else { 503 });
    }
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    for n in 0..12 {
        c.session.clear();
        let got = c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
        assert_eq!(got.status(), if n < 8 { 200 } else { 503 });
    }
}

// More replies than may wait, and then a request that has to stop the flow.
#[test]
fn a_pause_behind_many_replies() {
    let mut b = bench();
    let mut c = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    let kind = "Content-Type: application/x-rtsp-packetpair";
    let mut text = String::new();
    for _ in 0..40 {
        text += &c.text("GET_PARAMETER", "/", kind, "");
    }
    text += &c.text("PAUSE", "/", "", "");
    b.send(c.conn, text);
    let mut got = Vec::new();
    for _ in 0..10 {
        if b.flows[&flow].state == FlowState::Holding {
            b.held(flow);
        }
        got.extend(c.got(&mut b));
    }
    assert_eq!(got.len(), 41);
    assert_eq!(got.last().unwrap().status(), 200);
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
}

// RTSP-104
#[test]
fn requests_of_a_heartbeat_are_counted() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    for _ in 0..240 {
        assert_eq!(c.ask(&mut b, "OPTIONS", "", "").status(), 200);
    }
    assert_eq!(c.ask(&mut b, "OPTIONS", "", "").status(), 503);
    b.sleep(Duration::from_secs(31));
    assert_eq!(c.ask(&mut b, "OPTIONS", "", "").status(), 200);
}

// A request that never becomes whole, and a connection that never asks.
#[test]
fn slow_clients() {
    let mut b = bench();
    let slow = b.open();
    let quiet = b.open();
    b.send(slow, b"OPTIONS * RTS");
    b.sleep(Duration::from_secs(9));
    assert!(b.is_open(slow));
    b.sleep(Duration::from_secs(2));
    assert!(!b.is_open(slow));
    assert!(b.take(slow).starts_with(b"RTSP/1.0 408 "));
    b.sleep(Duration::from_secs(60));
    assert!(!b.is_open(quiet));
}

// A session's id is of no use from another address, nor beside its connection.
#[test]
fn sessions_are_not_taken_over() {
    let mut b = bench();
    let c = Client::plays_tcp(&mut b, "/pp");
    let thief = b.open_from("203.0.113.9:4000");
    let named = format!("Session: {}", c.session);
    for method in ["PAUSE", "TEARDOWN", "PLAY", "GET_PARAMETER"] {
        b.send(
            thief,
            request(1, &format!("{method} {}/", c.base), &named, ""),
        );
        assert_eq!(parse(&b.take(thief))[0].status(), 454, "{method}");
    }
    let beside = b.open();
    b.send(
        beside,
        request(1, &format!("TEARDOWN {}/", c.base), &named, ""),
    );
    assert_eq!(parse(&b.take(beside))[0].status(), 454);
    b.send(
        beside,
        request(2, &format!("GET_PARAMETER {}/", c.base), &named, ""),
    );
    assert_eq!(parse(&b.take(beside))[0].status(), 200);
    assert!(b.has_flow(c.conn));
    // destination= sends nothing elsewhere.
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    c.setup(
        &mut b,
        "/audio",
        "RTP/AVP;unicast;destination=203.0.113.9;client_port=53",
    );
    c.play(&mut b, "");
    let flow = b.flow(c.conn);
    let start = b.start_of(flow);
    let to = start.datagrams.as_ref().unwrap().lanes[0].to;
    assert_eq!(to.to_string(), "192.0.2.7:53");
}

// RTSP-41, RTSP-45: without the number there is no way in, and the numbers are not to be guessed.
#[test]
fn guesses() {
    let mut ids = Vec::new();
    for seed in 0..4 {
        let mut b = bench_with(Config::new(CoreId(0), 1, [seed; 32]));
        for _ in 0..50 {
            let mut c = Client::player(&mut b, "/pp");
            c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
            ids.push(c.session.parse::<u64>().unwrap());
        }
        let mut c = Client::plays_udp(&mut b, "/pp");
        let flow = b.flow(c.conn);
        b.media(flow, 5);
        for guess in 0..2000u32 {
            let nack = resend_requests(1, guess.wrapping_mul(0x9E37_79B9), 1, [0]).remove(0);
            b.datagram_from("192.0.2.7:4959", &nack);
        }
        assert!(b.resent.is_empty());
        assert!(c.got(&mut b).is_empty());
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    let high = ids.iter().filter(|id| **id > u64::MAX / 2).count();
    assert!((60..140).contains(&high), "{high} of {all}");
}

// Decision 7: a session of another core.
#[test]
fn a_session_of_another_core() {
    let of = |core| Config::new(CoreId(core), 2, [core + 1; 32]);
    let mut there = bench_with(of(1));
    let mut c = Client::player(&mut there, "/pp");
    c.set_up_tcp(&mut there);
    there.hang_up(c.conn);
    let mut here = bench_with(of(0));
    c.conn = here.open();
    let text = c.text("PLAY", "/", "", "") + "OPTIONS";
    for at in [text.len(), 5, text.len() - 9] {
        let conn = here.open();
        here.send(conn, &text[..at]);
        if at < text.len() && here.is_open(conn) {
            here.send(conn, &text[at..]);
        }
        let (core, unread) = &here.moved[&conn];
        assert_eq!(*core, CoreId(1));
        assert!(text.as_bytes().starts_with(unread));
        assert!(unread.len() >= text.len() - 9);
    }
    c.conn = there.open();
    there.send(c.conn, &text);
    assert_eq!(c.got(&mut there)[0].status(), 200);
    assert!(there.has_flow(c.conn));
    // What has something here does not go.
    let mut other = Client::player(&mut here, "/pp");
    other.set_up_tcp(&mut here);
    other.session = c.session;
    assert_eq!(other.ask(&mut here, "PAUSE", "/", "").status(), 454);
}

#[test]
fn no_new_sessions_while_draining() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    b.drain();
    assert_eq!(
        Client::player(&mut b, "/pp")
            .ask(&mut b, "DESCRIBE", "", "")
            .status(),
        503
    );
    c.play(&mut b, "");
}

fn guarded() -> Content {
    Content {
        guarded: true,
        ..clip()
    }
}

fn digest_offer() -> Challenge {
    Challenge {
        offers: vec![
            Offer::Ntlm { handshake: None },
            Offer::Digest {
                realm: "r".into(),
                nonce: "n1".into(),
                stale: false,
            },
            Offer::Basic { realm: "r".into() },
        ],
        rejected: None,
    }
}

// RTSP-106: at DESCRIBE, at SETUP without one, and again at PLAY.
#[test]
fn who_asks() {
    let mut b = bench();
    b.points.insert("/pp".into(), Point::Media(guarded()));
    b.guard = Some(Box::new(|credentials, _| match credentials {
        Some(Credentials::Basic { user, password })
            if user == "Aladdin" && password.reveal() == "open sesame" =>
        {
            Verdict::Pass(None)
        }
        Some(_) => Verdict::Challenge(Challenge {
            rejected: Some("x".into()),
            ..digest_offer()
        }),
        None => Verdict::Challenge(digest_offer()),
    }));
    let mut c = Client::player(&mut b, "/pp");
    let got = c.ask(&mut b, "DESCRIBE", "", "");
    assert_eq!(got.status(), 401);
    let Got::Reply { head, .. } = &got else {
        panic!()
    };
    assert_eq!(head.all("WWW-Authenticate").count(), 3, "a line for each");
    let got = c.ask(
        &mut b,
        "DESCRIBE",
        "",
        "X-Accept-Authentication: Negotiate, Digest",
    );
    assert!(
        got.get("WWW-Authenticate")
            .unwrap()
            .starts_with("Digest realm=\"r\"")
    );
    assert!(b.held.is_empty() && b.is_open(c.conn));
    let got = c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    assert_eq!(got.status(), 401);
    assert_eq!(b.server.session_count(), 0, "RTSP-107");
    let good = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(c.ask(&mut b, "DESCRIBE", "", good).status(), 200);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    assert_eq!(c.ask(&mut b, "PLAY", "/", "").status(), 401);
    assert!(b.flows.is_empty());
    assert_eq!(c.ask(&mut b, "PLAY", "/", good).status(), 200);
    assert_eq!(b.rechecks, 2);
    // Guesses end.
    let mut c = Client::player(&mut b, "/pp");
    let bad = "Authorization: Basic QTpi";
    for _ in 0..8 {
        assert_eq!(c.ask(&mut b, "DESCRIBE", "", bad).status(), 401);
    }
    assert!(!b.is_open(c.conn));
}

// NTLM binds to the connection; Digest has the request's URL and method.
#[test]
fn proofs() {
    let mut b = bench();
    b.points.insert("/pp".into(), Point::Media(guarded()));
    let identity = Arc::new(Identity {
        user: "u".into(),
        realm: "r".into(),
    });
    b.guard = Some(Box::new(move |credentials, _| match credentials {
        Some(Credentials::Digest {
            method,
            target,
            authorization,
        }) => {
            assert!(authorization.is_about(target), "{target}");
            assert!(["DESCRIBE", "PLAY"].contains(&&**method));
            Verdict::Pass(None)
        }
        Some(Credentials::Ntlm { .. }) => Verdict::Pass(Some(identity.clone())),
        Some(Credentials::Connection(who)) => {
            assert_eq!(&*who.user, "u");
            Verdict::Pass(None)
        }
        _ => Verdict::Challenge(digest_offer()),
    }));
    let mut c = Client::player(&mut b, "/pp");
    let digest = |uri: &str| {
        format!(
            "Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n1\", uri=\"{uri}\", \
             response=\"00000000000000000000000000000000\""
        )
    };
    let got = c.ask(&mut b, "DESCRIBE", "", &digest(&url("/pp")));
    assert_eq!(got.status(), 200);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    assert_eq!(
        c.ask(&mut b, "PLAY", "/", &digest(&url("/pp/"))).status(),
        200
    );
    let mut c = Client::player(&mut b, "/pp");
    let token = "Authorization: NTLM TlRMTVNTUAABAAAAB4IIAA==";
    assert_eq!(c.ask(&mut b, "DESCRIBE", "", token).status(), 200);
    c.setup(&mut b, "/audio", "RTP/AVP/TCP;unicast");
    assert_eq!(c.ask(&mut b, "PLAY", "/", "").status(), 200);
    let _ = ntlm::Handshake::challenge;
}

// The answer of an application that takes its time finds whoever asked, or nobody.
#[test]
fn slow_answers() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    b.slow = true;
    c.send(&mut b, "PLAY", "/", "", "");
    b.sleep(Duration::from_secs(75));
    assert!(!b.is_open(c.conn) || b.server.session_count() == 1);
    b.answer_all();
    if b.is_open(c.conn) {
        b.hang_up(c.conn);
    }
    b.slow = false;
    b.sleep(Duration::from_secs(75));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
}

#[test]
fn a_server_that_is_made_anew_knows_nobody() {
    let server = Server::new(config());
    assert_eq!((server.session_count(), server.connection_count()), (0, 0));
}
