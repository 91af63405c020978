//! The client of WMHTTP: the worked exchanges, byte for byte, and each rule of its requests and bodies.

mod wmhttp_client_rig;

use protocols::auth::Password;
use protocols::auth::digest::{self, Authorization};
use protocols::http::head::Version as HttpVersion;
use protocols::machine::CloseHow;
use protocols::media::News;
use protocols::wmhttp::client::*;
use std::time::Duration;
use wmhttp_client_rig::*;

const SETUP: &str = "POST /live/ch1 HTTP/1.1\r\n\
    Content-Type: application/x-wms-pushsetup\r\n\
    X-Accept-Authentication: Negotiate, NTLM, Digest\r\n\
    User-Agent: WMEncoder/11.0.5721.5145\r\n\
    Host: media.example\r\n\
    Content-Length: 16\r\n\
    Connection: Keep-Alive\r\n\
    Cache-Control: no-cache\r\n\
    Cookie: push-id=0\r\n\r\n\
    AutoDestroy: 1\r\n";

const START: &str = "POST /live/ch1 HTTP/1.1\r\n\
    Content-Type: application/x-wms-pushstart\r\n\
    X-Accept-Authentication: Negotiate, NTLM, Digest\r\n\
    User-Agent: WMEncoder/11.0.5721.5145\r\n\
    Host: media.example\r\n\
    Content-Length: 2147483647\r\n\
    Connection: Keep-Alive\r\n\
    Cache-Control: no-cache\r\n\
    Cookie: push-id=3735928559\r\n\r\n";

// WMHTTP-106
#[test]
fn the_data_of_the_exchanges_is_that_of_the_reference() {
    assert_eq!(
        sha256(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        sha256(&s1()),
        "70dee301fb7190a23717c0cbe8e3b6ee95969f5150b5ca335ce5e01246ec4959"
    );
}

// WMHTTP-01, WMHTTP-03, WMHTTP-05, WMHTTP-06, WMHTTP-07, WMHTTP-12, WMHTTP-13, WMHTTP-14, WMHTTP-16,
// WMHTTP-18, WMHTTP-23, WMHTTP-24, WMHTTP-25, WMHTTP-26, WMHTTP-27, WMHTTP-30, WMHTTP-32, WMHTTP-33,
// WMHTTP-34, WMHTTP-36, WMHTTP-37, WMHTTP-44, WMHTTP-49, WMHTTP-51, WMHTTP-106
#[test]
fn exchange_a_one_body_without_authentication() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.connects[0].1, "media.example");
    assert_eq!(rig.connects[0].2, 80);
    rig.header(s1());
    let conn = rig.open();
    assert_eq!(rig.take(conn), SETUP.as_bytes());
    assert!(!rig.client.is_established());
    rig.reply(conn, NO_CONTENT);
    assert!(rig.client.is_established());
    rig.packet(P1);
    rig.packet(P2);
    rig.packet(P3);
    rig.finish();
    let (head, body) = rig.request(conn);
    assert_eq!(head, START);
    assert_eq!(body.len(), 473);
    assert_eq!(
        sha256(&body),
        "3ea22ea8f922a6af4252e89723b01b388326823b3d3cca2251762256c5e5f8b7"
    );
    assert_eq!(rig.closed, [(conn, CloseHow::Flush)]);
    assert_eq!((rig.ended(), rig.failure()), (Some(0), None));
    assert!(rig.client.is_done());
    assert_eq!(rig.connects.len(), 1, "all on one connection");
    assert_eq!(
        rig.client.totals(),
        Totals {
            packets: 3,
            bytes: 473,
            filler: 0,
            bodies: 1
        }
    );
    match rig.news()[..] {
        [News::Described { server, features }] => {
            assert_eq!(server, "Cougar/9.01.01.3814");
            assert!(features.starts_with("com.microsoft.wm.srvppair, "));
        }
        ref other => panic!("{other:?}"),
    }
}

/// Exchange B up to the second PushSetup, which is given.
fn challenged(challenge: &str) -> (Rig, protocols::machine::ConnId, String, Vec<u8>) {
    let mut rig = Rig::new(ClientConfig {
        template: Some("/master".into()),
        credentials: Some(("enc1".into(), Password::new("secret".into()))),
        ..config()
    });
    rig.header(s1());
    let conn = rig.open();
    let (head, body) = rig.request(conn);
    assert_eq!(body, b"Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n");
    assert_eq!(line(&head, "Content-Length"), Some("41"));
    assert_eq!(line(&head, "Authorization"), None);
    rig.reply(
        conn,
        &format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n\
             Set-Cookie: push-id=3735928559\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    let (head, body) = rig.request(conn);
    (rig, conn, head, body)
}

const DIGEST: &str = "Digest realm=\"wms\",qop=auth,nonce=\"0123456789abcdef0123456789abcdef\",\
                      opaque=\"5ccc069c403ebaf9f0171e9517f40e41\",algorithm=MD5";

// WMHTTP-28, WMHTTP-29, WMHTTP-30, WMHTTP-47, WMHTTP-49, WMHTTP-106
#[test]
fn exchange_b_template_and_digest() {
    let (mut rig, conn, head, body) = challenged(DIGEST);
    assert_eq!(body, b"Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n");
    assert_eq!(line(&head, "Cookie"), Some("push-id=3735928559"));
    let fields = line(&head, "Authorization")
        .unwrap()
        .strip_prefix("Digest ")
        .unwrap();
    assert!(fields.contains("uri=\"/live/ch1\"") && fields.contains("nc=00000001"));
    let proof = Authorization::parse(fields).unwrap();
    let key = digest::ha1("enc1", "wms", "secret");
    assert!(proof.proves(&key, "POST"));
    let challenges = vec![DIGEST.to_owned()];
    assert_eq!(
        rig.news(),
        [&News::Challenged {
            proxy: false,
            challenges
        }]
    );
    rig.reply(conn, NO_CONTENT);
    // The push-id is proof enough.
    let (head, body) = rig.request(conn);
    assert_eq!(head, START);
    assert_eq!(letters(&body), "H");
    // The same password without a counter gives the reference's other number.
    let plain = DIGEST.replace("qop=auth,", "");
    let (_, _, head, _) = challenged(&plain);
    let proof = line(&head, "Authorization").unwrap();
    assert!(proof.contains("response=\"42a64edf1e12fb5eb2901b43b4a0c239\""));
}

// WMHTTP-20, WMHTTP-21, WMHTTP-34, WMHTTP-36, WMHTTP-39, WMHTTP-40, WMHTTP-41, WMHTTP-53, WMHTTP-106
#[test]
fn exchange_c_finite_bodies_with_filler() {
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 512,
        ..config()
    });
    rig.header(s1());
    for packet in [P1, P2, P3, P1] {
        rig.packet(packet);
    }
    let (head, body) = rig.request(conn);
    assert_eq!(line(&head, "Content-Length"), Some("512"));
    assert_eq!(letters(&body), "HDDDF");
    assert_eq!(body.len(), 512);
    assert_eq!(
        sha256(&body),
        "4c65d6985932711e2baa3c2d4e986af79b226bd6a5e4894713da8b8b94ad1faa"
    );
    // Held until the reply.
    rig.finish();
    assert_eq!(rig.take(conn), b"");
    rig.reply(conn, NO_CONTENT);
    let (head, body) = rig.request(conn);
    assert_eq!(line(&head, "Content-Length"), Some("512"));
    assert_eq!((letters(&body), body.len()), ("DE".to_owned(), 53));
    assert_eq!(
        sha256(&body),
        "e55cf94002e8fee7eac288127de21da27382b220ad779b416300e2978abb5f31"
    );
    assert_eq!(rig.ended(), Some(0));
    assert_eq!(rig.client.totals().filler, 47);
    assert_eq!(rig.client.totals().bodies, 2);
}

// WMHTTP-15, WMHTTP-18, WMHTTP-19, WMHTTP-45, WMHTTP-106
#[test]
fn exchange_d_another_entry() {
    let (mut rig, conn) = Rig::established(config());
    rig.header(s1());
    rig.packet(P1);
    rig.entry_end(EntryEnd::More);
    assert_eq!(
        rig.client.packet(rig.now, &hex(P2)),
        Err(PushFault::NoEntry),
        "not before the next header"
    );
    rig.header(s1());
    rig.packet(P2);
    rig.finish();
    let (_, body) = rig.request(conn);
    assert_eq!((letters(&body), body.len()), ("HDECDE".to_owned(), 764));
    assert_eq!(
        sha256(&body),
        "59ce4fcbaee422b9471c6f1c1fb6df93eecaba130e612feb4eb28760b9dcc2a9"
    );
}

// WMHTTP-45
#[test]
fn a_header_ends_the_entry_before_it() {
    let (mut rig, conn) = Rig::established(config());
    rig.header(s1());
    rig.header(s1());
    let (_, body) = rig.request(conn);
    let frames = frames(&body);
    assert_eq!(frames[1], ('E', vec![1, 0, 0, 0]));
    assert_eq!(frames[2].1[..4], [0; 4], "the Reason of a $C is 0");
    assert_eq!(frames[2].1[4..], s1());
}

// WMHTTP-54, WMHTTP-106
#[test]
fn exchange_e_the_server_gave_up_waiting() {
    let (mut rig, conn) = Rig::established(config());
    rig.header(s1());
    rig.reply(
        conn,
        "HTTP/1.1 408 Request Timeout\r\nServer: Cougar/9.01.01.3814\r\n\
         Date: Thu, 01 Jan 2026 00:01:00 GMT\r\nPragma: no-cache, timeout=60000\r\n\
         Set-Cookie: push-id=3735928559\r\nConnection: close\r\n\r\n",
    );
    assert!(
        rig.failure()
            .unwrap()
            .starts_with("status 408 to the PushStart")
    );
    assert_eq!(rig.client.refusal(), Some(Refusal::Status(408)));
    assert_eq!(rig.closed, [(conn, CloseHow::Abort)]);
}

// WMHTTP-106
#[test]
fn exchange_f_what_a_player_would_get_is_no_session() {
    let asx =
        "<ASX version=\"3.0\"><Entry><Ref href=\"http://media.example/live/ch1\"/></Entry></ASX>";
    let asx = format!("{asx}\r\n");
    let mut rig = Rig::new(config());
    rig.header(s1());
    let conn = rig.open();
    rig.reply(
        conn,
        &format!(
            "HTTP/1.1 200 OK\r\nServer: Cougar/9.01.01.3814\r\nContent-Type: video/x-ms-asf\r\n\
             Content-Length: {}\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n{asx}",
            asx.len()
        ),
    );
    assert_eq!(rig.failure(), Some("the server takes this for a player"));
    assert_eq!(rig.client.refusal(), Some(Refusal::Foreign));
}

// WMHTTP-17, WMHTTP-111
#[test]
fn packets_are_cut_and_say_their_length() {
    let (mut rig, conn) = Rig::established(ClientConfig {
        packets: Packets::Trimmed,
        ..config()
    });
    rig.header(s1());
    rig.packet(F1);
    let (_, body) = rig.request(conn);
    let (kind, packet) = &frames(&body)[1];
    // Length flags say a WORD of Packet Length and no Padding Length; 42 bytes are left of 64.
    let mut want = hex(P1);
    want.splice(3..6, [0x40, 0x5D, 42, 0]);
    assert_eq!((*kind, packet), ('D', &want));
}

// WMHTTP-10, WMHTTP-29, WMHTTP-30, WMHTTP-31
#[test]
fn directives() {
    let body = |template: Option<&str>, auto_destroy| {
        let mut rig = Rig::new(ClientConfig {
            template: template.map(str::to_owned),
            auto_destroy,
            ..config()
        });
        let conn = rig.open();
        let (head, body) = rig.request(conn);
        assert_eq!(
            line(&head, "Content-Length"),
            Some(&*body.len().to_string())
        );
        assert_eq!(line(&head, "Transfer-Encoding"), None);
        String::from_utf8(body).unwrap()
    };
    assert_eq!(body(None, None), "");
    assert_eq!(body(None, Some(false)), "AutoDestroy: 0\r\n");
    let with_template = body(Some("/master"), None);
    assert_eq!(
        with_template,
        "Template-URL: \"/master\"\r\nAutoDestroy: 0\r\n"
    );
    let strange = body(Some("m\u{e4}ster \"x\"\r\n"), Some(true));
    assert_eq!(
        strange,
        "Template-URL: \"/m%C3%A4ster%20%22x%22%0D%0A\"\r\nAutoDestroy: 1\r\n"
    );
}

// WMHTTP-01, WMHTTP-38, WMHTTP-51
#[test]
fn a_connection_that_is_not_kept_is_replaced() {
    let mut rig = Rig::new(ClientConfig {
        http: HttpVersion::Http10,
        ..config()
    });
    rig.header(s1());
    let first = rig.open();
    assert!(
        rig.request(first)
            .0
            .starts_with("POST /live/ch1 HTTP/1.0\r\n")
    );
    rig.reply(
        first,
        "HTTP/1.0 204 No Content\r\nServer: Rex/9.0\r\nSet-Cookie: push-id=7\r\n\r\n",
    );
    assert_eq!(rig.closed, [(first, CloseHow::Flush)]);
    let second = rig.open();
    let (head, _) = rig.request(second);
    assert_eq!(line(&head, "Cookie"), Some("push-id=7"));
    assert_eq!(
        line(&head, "Content-Type"),
        Some("application/x-wms-pushstart")
    );
    assert_eq!(rig.connects[1].1, "media.example");
}

// WMHTTP-38
#[test]
fn a_session_without_a_header_survives_its_connection() {
    let (mut rig, first) = Rig::established(config());
    rig.hang_up(first);
    assert_eq!(rig.failure(), None);
    rig.header(s1());
    let second = rig.open();
    let (head, body) = rig.request(second);
    assert_eq!((head.as_str(), letters(&body)), (START, "H".into()));
}

// WMHTTP-46
#[test]
fn redirections_replace_the_url_and_a_proxy_does_not() {
    let mut rig = Rig::new(config());
    rig.header(s1());
    let first = rig.open();
    rig.take(first);
    rig.reply(
        first,
        "HTTP/1.1 302 Found\r\nLocation: http://other:8080/x\r\nSet-Cookie: push-id=5\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert_eq!(rig.connects[1].1, "other");
    assert_eq!(rig.connects[1].2, 8080);
    let second = rig.open();
    let (head, body) = rig.request(second);
    assert!(head.starts_with("POST /x HTTP/1.1\r\n"));
    assert_eq!(line(&head, "Host"), Some("other:8080"));
    assert_eq!(
        line(&head, "Cookie"),
        Some("push-id=0"),
        "another server, another session"
    );
    assert_eq!(body, b"AutoDestroy: 1\r\n");
    rig.reply(
        second,
        "HTTP/1.1 305 Use Proxy\r\nLocation: http://proxy:3128/\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!((&*rig.connects[2].1, rig.connects[2].2), ("proxy", 3128));
    let third = rig.open();
    let (head, _) = rig.request(third);
    assert!(
        head.starts_with("POST http://other:8080/x HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(line(&head, "Host"), Some("other:8080"));
    rig.reply(third, NO_CONTENT);
    // A minute of the 64 kbit/s that the header states.
    let (head, _) = rig.request(third);
    assert_eq!(line(&head, "Content-Length"), Some("480000"));
    let places: Vec<_> = rig.news().into_iter().cloned().collect();
    assert_eq!(places[0], News::Redirected("http://other:8080/x".into()));
    assert_eq!(places[1], News::Redirected("http://proxy:3128/".into()));
}

// WMHTTP-46
#[test]
fn every_redirection_is_followed() {
    for status in 300..=304 {
        let mut rig = Rig::new(config());
        let conn = rig.open();
        rig.reply(
            conn,
            &format!(
                "HTTP/1.1 {status} x\r\nLocation: http://other/x\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        assert_eq!(rig.connects[1].1, "other", "{status}");
        let conn = rig.open();
        let (head, _) = rig.request(conn);
        assert!(head.starts_with("POST /x HTTP/1.1\r\n"), "{head}");
    }
}

// WMHTTP-02
#[test]
fn what_is_not_known_in_a_reply_is_passed_over() {
    let more = "X-Unknown: a\r\nPragma: xyzzy=1\r\nSupported: com.example.nothing\r\nDate:";
    let mut rig = Rig::new(config());
    rig.header(s1());
    let conn = rig.open();
    rig.take(conn);
    rig.reply(conn, &NO_CONTENT.replace("Date:", more));
    assert!(rig.client.is_established());
    let (head, body) = rig.request(conn);
    assert_eq!((head.as_str(), letters(&body)), (START, "H".into()));
}

// WMHTTP-34, WMHTTP-50
#[test]
fn a_proxy_that_shows_itself_shortens_bodies() {
    let via = NO_CONTENT.replace("Date:", "Via: 1.1 cache\r\nDate:");
    let mut rig = Rig::new(config());
    rig.header(s1());
    let conn = rig.open();
    rig.take(conn);
    rig.reply(conn, &via);
    let (head, _) = rig.request(conn);
    assert_eq!(line(&head, "Content-Length"), Some("480000"));
    assert!(head.starts_with("POST /live/ch1 "), "it is transparent");
}

// WMHTTP-35
#[test]
fn no_body_is_too_short_for_what_it_must_hold() {
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 1,
        ..config()
    });
    rig.header(s1());
    let (head, body) = rig.request(conn);
    assert_eq!(
        line(&head, "Content-Length"),
        Some("334"),
        "the $H and four bytes"
    );
    assert_eq!(letters(&body), "H");
    // The four are an empty filler.
    rig.packet(P1);
    assert_eq!(rig.take(conn), [0x24, 0x46, 0, 0]);
    // A header that waits makes the next body longer: its $C has four bytes more.
    rig.entry_end(EntryEnd::More);
    rig.header(s1());
    rig.reply(conn, NO_CONTENT);
    let (head, body) = rig.request(conn);
    assert_eq!(line(&head, "Content-Length"), Some("338"));
    assert_eq!(letters(&body), "DEF", "it does not fit behind the others");
    rig.reply(conn, NO_CONTENT);
    let (head, body) = rig.request(conn);
    assert_eq!(line(&head, "Content-Length"), Some("338"));
    assert_eq!(letters(&body), "C");
}

/// A session whose body has so many bytes left behind `$H` and `$D`(P1).
fn with_left(left: u64) -> (Rig, protocols::machine::ConnId) {
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 330 + 45 + left,
        ..config()
    });
    rig.header(s1());
    rig.packet(P1);
    let (head, body) = rig.request(conn);
    assert_eq!(letters(&body), "HD", "{head}");
    (rig, conn)
}

// WMHTTP-40, WMHTTP-41
#[test]
fn a_packet_leaves_room_for_a_filler_or_waits() {
    for (left, sent) in [(48, "F"), (49, "D"), (50, "D")] {
        let (mut rig, conn) = with_left(left);
        rig.packet(P1);
        let body = rig.take(conn);
        assert_eq!(letters(&body), sent, "{left} left");
        if sent == "F" {
            assert_eq!(body.len() as u64, left);
        }
    }
}

// WMHTTP-43
#[test]
fn an_end_that_does_not_fit_waits_for_the_next_body() {
    for (left, sent) in [(4, "F"), (7, "F"), (8, "E"), (9, "E"), (12, "E")] {
        let (mut rig, conn) = with_left(left);
        rig.finish();
        assert_eq!(letters(&rig.take(conn)), sent, "{left} left");
        assert_eq!(rig.client.is_done(), sent == "E");
        if sent == "F" {
            rig.reply(conn, NO_CONTENT);
            assert_eq!(letters(&rig.request(conn).1), "E");
            assert_eq!(rig.ended(), Some(0));
        }
    }
    // With another entry behind it, a rest of one to three bytes could not be filled.
    for (left, sent) in [(7, "F"), (8, "E"), (9, "F"), (11, "F"), (12, "E")] {
        let (mut rig, conn) = with_left(left);
        rig.entry_end(EntryEnd::More);
        assert_eq!(letters(&rig.take(conn)), sent, "{left} left");
    }
}

// WMHTTP-19, WMHTTP-98
#[test]
fn an_end_by_a_fault_says_so() {
    let reason = |end| {
        let (mut rig, conn) = Rig::established(config());
        rig.header(s1());
        rig.take(conn);
        rig.entry_end(end);
        let body = rig.take(conn);
        assert_eq!(body[..4], [0x24, 0x45, 4, 0]);
        assert_eq!(rig.closed.len(), 1, "nothing follows");
        u32::from_le_bytes([body[4], body[5], body[6], body[7]])
    };
    assert_eq!(reason(EntryEnd::Failed(0x8000_4005)), 0x8000_4005);
    // Reasons that mean something else are not passed off as faults.
    assert_eq!(reason(EntryEnd::Failed(1)), REASON_FAILED);
    assert_eq!(reason(EntryEnd::Failed(0)), REASON_FAILED);
    assert_eq!(REASON_FAILED & 0x2000_0000, 0x2000_0000);
}

// WMHTTP-19, WMHTTP-38: servers that do not answer an entry's end at the end of a body.
#[test]
fn an_answer_that_never_comes_behind_an_entry_is_not_waited_for() {
    let (mut rig, first) = with_left(8);
    rig.entry_end(EntryEnd::More);
    rig.header(s1());
    assert_eq!(letters(&rig.take(first)), "E");
    rig.wait(Duration::from_millis(4999));
    assert_eq!(rig.connects.len(), 1);
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.closed, [(first, CloseHow::Flush)]);
    let second = rig.open();
    let (_, body) = rig.request(second);
    assert_eq!(letters(&body), "C");
    // The same when the server closes.
    let (mut rig, first) = with_left(8);
    rig.entry_end(EntryEnd::More);
    rig.hang_up(first);
    assert_eq!(rig.failure(), None);
    let second = rig.open();
    assert_eq!(rig.request(second).1, b"");
}

fn unauthorized(more: &str) -> String {
    format!(
        "HTTP/1.1 401 Unauthorized\r\nServer: Cougar/9.6\r\nWWW-Authenticate: {DIGEST}\r\n\
         {more}Content-Length: 0\r\n\r\n"
    )
}

// WMHTTP-28, WMHTTP-47, WMHTTP-52
#[test]
fn a_challenge_inside_a_body_costs_the_connection() {
    let credentials = Some(("enc1".to_owned(), Password::new("secret".into())));
    let (mut rig, first) = Rig::established(ClientConfig {
        credentials: credentials.clone(),
        ..config()
    });
    rig.header(s1());
    rig.packet(P1);
    rig.entry_end(EntryEnd::More);
    rig.take(first);
    rig.reply(first, &unauthorized(""));
    assert_eq!(rig.closed, [(first, CloseHow::Flush)]);
    rig.header(s1());
    let second = rig.open();
    let (head, body) = rig.request(second);
    assert!(line(&head, "Authorization").unwrap().starts_with("Digest "));
    assert_eq!(letters(&body), "HEC", "all of the session's start again");

    // With nothing left of the body the connection is kept.
    let (mut rig, conn) = Rig::established(ClientConfig {
        credentials,
        content_length: 512,
        ..config()
    });
    rig.header(s1());
    for _ in 0..5 {
        rig.packet(P1);
    }
    assert_eq!(rig.request(conn).1.len(), 512);
    rig.reply(conn, &unauthorized(""));
    assert_eq!(rig.closed, []);
    let (head, body) = rig.request(conn);
    assert!(line(&head, "Authorization").is_some());
    assert_eq!(letters(&body)[..2], *"HD");
}

// WMHTTP-28, WMHTTP-47
#[test]
fn proxies_are_told_who_asks_with_every_request() {
    let mut rig = Rig::new(ClientConfig {
        proxy: Some("http://proxy:3128".into()),
        proxy_credentials: Some(("p".into(), Password::new("q".into()))),
        proxied_length: Some(1000),
        ..config()
    });
    rig.header(s1());
    assert_eq!(rig.connects[0].1, "proxy");
    let conn = rig.open();
    rig.take(conn);
    rig.reply(
        conn,
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
         Set-Cookie: push-id=9\r\nContent-Length: 3\r\n\r\nno!",
    );
    let (head, _) = rig.request(conn);
    assert_eq!(line(&head, "Proxy-Authorization"), Some("Basic cDpx"));
    assert_eq!(line(&head, "Authorization"), None);
    assert_eq!(
        line(&head, "Cookie"),
        Some("push-id=0"),
        "not the server's word"
    );
    rig.reply(conn, NO_CONTENT);
    let (head, _) = rig.request(conn);
    assert_eq!(line(&head, "Proxy-Authorization"), Some("Basic cDpx"));
    assert_eq!(line(&head, "Content-Length"), Some("1000"));
}

// WMHTTP-49
#[test]
fn cookies_of_every_reply_are_kept() {
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 512,
        ..config()
    });
    rig.header(s1());
    for _ in 0..5 {
        rig.packet(P1);
    }
    rig.take(conn);
    let next = NO_CONTENT.replace(
        "push-id=3735928559",
        "push-id=77; path=/\r\nSet-Cookie: balancer=b2",
    );
    rig.reply(conn, &next);
    let (head, _) = rig.request(conn);
    assert_eq!(line(&head, "Cookie"), Some("push-id=77; balancer=b2"));
}

// WMHTTP-20, WMHTTP-23, WMHTTP-15
#[test]
fn headers_that_no_frame_takes_are_refused() {
    let long = |len: usize| {
        // A padding object makes up for what is missing.
        let s1 = s1();
        let (head, data) = s1.split_at(s1.len() - 50);
        let mut blob = head.to_vec();
        blob.extend(hex("74 D4 06 18 DF CA 09 45 A4 BA 9A AB CB 96 AA E8"));
        blob.extend(((len - s1.len()) as u64).to_le_bytes());
        blob.resize(len - 50, 0);
        blob[16..24].copy_from_slice(&(len as u64 - 50).to_le_bytes());
        blob.extend(data);
        bytes::Bytes::from(blob)
    };
    let (mut rig, conn) = Rig::established(config());
    let too_long = |len, max| Err(PushFault::HeaderTooLong { len, max });
    let mut header = |len| rig.client.header(rig.now, long(len));
    assert_eq!(header(65_532), too_long(65_532, 65_531));
    assert_eq!(header(65_531), Ok(()));
    assert_eq!(header(65_528), too_long(65_528, 65_527));
    assert_eq!(header(65_527), Ok(()));
    rig.drain();
    let (_, body) = rig.request(conn);
    let lengths: Vec<usize> = frames(&body).iter().map(|f| f.1.len()).collect();
    assert_eq!(lengths, [65_531, 4, 65_531]);
}
