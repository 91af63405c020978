//! The WMSP client: answers that are not what was asked for.

mod asf_build;
mod wmsp_rig;

use protocols::auth::Password;
use protocols::auth::digest::{self, Authorization};
use protocols::media::{IngestEvent, News};
use protocols::wmsp::client::ClientConfig;
use protocols::wmsp::packet::PacketId;
use protocols::wmsp::version::ClientToken;
use std::time::Duration;
use wmsp_rig::talk::*;
use wmsp_rig::*;

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

fn known() -> ClientConfig {
    ClientConfig {
        credentials: Some(("ann".into(), Password::new("secret".into()))),
        ..plain()
    }
}

const BASIC: &str = "WWW-Authenticate: Basic realm=\"x\"\r\n";

fn authorization(request: &str) -> Option<&str> {
    let mut lines = request.lines();
    lines.find_map(|l| l.strip_prefix("Authorization: "))
}

// WMSP-104
#[test]
fn challenges_are_answered_on_the_same_connection() {
    let digest = |nonce: &str, more: &str| {
        format!(
            "{BASIC}WWW-Authenticate: Digest realm=\"x\", qop=\"auth\", nonce=\"{nonce}\"{more}\r\n"
        )
    };
    let mut rig = Rig::new(known());
    let conn = rig.open();
    assert_eq!(authorization(&rig.request(conn)), None);
    rig.feed(conn, reply("401 Unauthorized", &digest("n1", ""), b"who?"));
    let describe = rig.request(conn);
    let proof = |request: &str, nonce: &str, count: u32| {
        let fields = authorization(request).and_then(|a| a.strip_prefix("Digest "));
        let read = Authorization::parse(fields.expect("a proof")).unwrap();
        assert!(read.proves(&digest::ha1("ann", "x", "secret"), "GET"));
        assert_eq!(
            (&*read.nonce, read.count.map(|c| c.nc), &*read.uri),
            (nonce, Some(count), "/vod/a.wmv?x=1")
        );
    };
    proof(&describe, "n1", 1);
    assert!(describe.starts_with("GET /vod/a.wmv?x=1 "));
    let described = reply("200 OK", &format!("{DESCRIBED}{SUPPORTS}"), &description());
    rig.feed(conn, described);
    // Play proves itself unasked, and once more if the nonce was too old.
    let play = rig.request(conn);
    assert!(play.contains("xPlayStrm=1"));
    proof(&play, "n1", 2);
    let stale = digest("n2", ", stale=true");
    rig.feed(conn, reply("401 Unauthorized", &stale, b""));
    let play = rig.request(conn);
    assert!(play.contains("xPlayStrm=1"));
    proof(&play, "n2", 1);
    rig.feed(conn, [open_reply(""), played(0..2)].concat());
    assert_eq!((rig.failure(), rig.connects.len()), (None, 1));
    assert_eq!(rig.packets(), expected(0..2));
}

#[test]
fn credentials_are_given_once_and_to_nobody_else() {
    let mut rig = Rig::new(known());
    let conn = rig.open();
    rig.requests(conn);
    rig.feed(conn, reply("401 Unauthorized", BASIC, b""));
    assert_eq!(
        authorization(&rig.request(conn)),
        Some("Basic YW5uOnNlY3JldA==")
    );
    rig.feed(conn, reply("401 Unauthorized", BASIC, b""));
    assert_eq!(
        rig.failure(),
        Some("status 401: the credentials are refused by Basic")
    );
    // A nonce that is always stale is not renewed for ever.
    let stale = "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", stale=true\r\n";
    let mut rig = Rig::new(known());
    let conn = rig.open();
    for _ in 0..4 {
        assert_eq!(rig.requests(conn).len(), 1);
        rig.feed(conn, reply("401 Unauthorized", stale, b""));
    }
    assert!(rig.failure().is_some_and(|f| f.starts_with("status 401")));
    // A proxy on the way, and another server, are not meant.
    for first in [
        reply(
            "407 Proxy",
            "Proxy-Authenticate: Basic realm=\"x\"\r\n",
            b"",
        ),
        reply("302 Found", "Location: http://other/b\r\n", b""),
    ] {
        let mut rig = Rig::new(known());
        let conn = rig.open();
        rig.requests(conn);
        rig.feed(conn, first);
        if rig.failure().is_none() {
            let other = rig.open();
            assert_eq!(authorization(&rig.request(other)), None);
            rig.feed(other, reply("401 Unauthorized", BASIC, b""));
        }
        assert!(
            rig.failure()
                .is_some_and(|f| f.contains("credentials are asked for"))
        );
    }
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

/// A whole session's bytes, as two replies: to Describe and to Play.
fn session_bytes() -> [Vec<u8>; 2] {
    let mut play = open_reply("Transfer-Encoding: chunked\r\n");
    play.extend(chunk(&played(0..3)));
    play.extend(chunk(
        &[&end(1)[..], &change(0), &played(0..2), &end(0)].concat(),
    ));
    play.extend(b"0\r\n\r\n");
    let headers = format!("{DESCRIBED}{SUPPORTS}");
    [reply("200 OK", &headers, &description()), play]
}

/// What the client makes of these two replies, given in pieces of `size` bytes.
fn outcome(replies: &[Vec<u8>; 2], size: usize) -> Vec<IngestEvent> {
    let mut rig = Rig::new(plain());
    let conn = rig.open();
    for reply in replies {
        rig.feed_split(conn, reply, size);
    }
    rig.peer_closes(conn);
    rig.take_events()
}

proptest::proptest! {
    /// Contract 6, and hostile input: whatever comes, in whatever pieces, the client makes the same of it.
    #[test]
    fn pieces_do_not_matter(
        which in 0usize..2, at in proptest::prelude::any::<proptest::sample::Index>(),
        damage in proptest::option::of(proptest::prelude::any::<u8>()), size in 1usize..200,
    ) {
        let mut replies = session_bytes();
        if let Some(byte) = damage {
            let at = at.index(replies[which].len());
            replies[which][at] = byte;
        }
        let whole = outcome(&replies, usize::MAX);
        if damage.is_none() {
            proptest::prop_assert!(whole.contains(&IngestEvent::End(0)));
        }
        proptest::prop_assert_eq!(outcome(&replies, size), whole);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let good = session_bytes();
        outcome(&[bytes.clone(), good[1].clone()], 50);
        outcome(&[good[0].clone(), bytes.clone()], 50);
        let framed = [open_reply(""), bytes].concat();
        outcome(&[good[0].clone(), framed], 50);
    }
}
