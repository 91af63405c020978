//! The worked exchanges of the reference, byte for byte, in every split.

mod wmhttp_support;

use protocols::auth::{Challenge, Credentials, Identity, Offer, digest};
use protocols::machine::*;
use protocols::media::IngestEvent;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wmhttp_support::*;

const SUPPORTED: &str = "Supported: com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, \
    com.microsoft.wm.predstrm, com.microsoft.wm.fastcache, com.microsoft.wm.startupprofile\r\n";

fn no_content(id: &str) -> String {
    format!(
        "HTTP/1.1 204 No Content\r\n\
         Server: Cougar/9.01.01.3814\r\n\
         Content-Length: 0\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Pragma: no-cache, timeout=60000\r\n\
         Cache-Control: no-cache\r\n\
         Set-Cookie: push-id={id}\r\n\
         {SUPPORTED}\r\n"
    )
}

fn events(b: &Bench) -> Vec<IngestEvent> {
    let events = b.ingested.iter().filter_map(|i| match i {
        Ingested::Event(1, event) => Some(event.clone()),
        Ingested::Event(..) => panic!("of which session? {i:?}"),
        Ingested::Withdrawn(..) => None,
    });
    events.collect()
}

fn packet(number: u32, text: &str) -> IngestEvent {
    IngestEvent::Packet {
        number,
        bytes: passed_on(text).into(),
    }
}

fn header_event() -> IngestEvent {
    IngestEvent::Header(unhex(S1).into())
}

/// Send in pieces of `size`; what follows the end of the connection is not sent.
fn send_in(b: &mut Bench, conn: ConnId, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        if b.is_open(conn) {
            b.send(conn, piece);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

// WMHTTP-01, WMHTTP-04, WMHTTP-73, WMHTTP-74, WMHTTP-85, WMHTTP-86, WMHTTP-87, WMHTTP-88, WMHTTP-101, WMHTTP-106
#[test]
fn exchange_a_at_every_split() {
    let body = [header(S1), data(P1), data(P2), data(P3), end(0)].concat();
    assert_eq!(body.len(), 473);
    assert_eq!(
        sha256(&body),
        "3ea22ea8f922a6af4252e89723b01b388326823b3d3cca2251762256c5e5f8b7"
    );
    for size in (1..60).chain([100, 255, 330, 400, 10_000]) {
        let mut b = Bench::new();
        let conn = b.open();
        send_in(
            &mut b,
            conn,
            setup("0", "AutoDestroy: 1\r\n").as_bytes(),
            size,
        );
        let answer = text(b.take(conn));
        let id = id_of(&Reply::parse(answer.as_bytes()));
        assert_eq!(answer, no_content(&id));
        let started = [start(&id, ENDLESS).into_bytes(), body.clone()].concat();
        send_in(&mut b, conn, &started, size);
        assert_eq!(
            events(&b),
            [
                header_event(),
                packet(0, P1),
                packet(1, P2),
                packet(2, P3),
                IngestEvent::End(0)
            ],
            "in pieces of {size}"
        );
        assert_eq!(b.ingested.last(), Some(&Ingested::Withdrawn(1, true)));
        assert_eq!(b.take(conn), b"", "no answer within a body");
        assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
        assert_eq!((b.server.session_count(), b.wake), (0, None));
    }
}

// WMHTTP-64, WMHTTP-65, WMHTTP-66, WMHTTP-106
#[test]
fn exchange_b_template_and_digest() {
    const NONCE: &str = "0123456789abcdef0123456789abcdef";
    for (proof, qop) in [
        (
            "40354fe4df90771dd94b781f77b7fc4b",
            ", qop=auth, nc=00000001, cnonce=\"c0ffee00\"",
        ),
        ("42a64edf1e12fb5eb2901b43b4a0c239", ""),
    ] {
        let mut b = Bench::new();
        b.guard_publish = true;
        b.guard = Some(Box::new(|credentials, _| {
            let secret = digest::ha1("enc1", "wms", "secret");
            match credentials {
                Some(Credentials::Digest {
                    authorization: a,
                    method,
                    target,
                }) if a.is_about(target) && a.nonce == NONCE && a.proves(&secret, method) => {
                    Verdict::Pass(None)
                }
                other => Verdict::Challenge(Challenge {
                    offers: vec![Offer::Digest {
                        realm: "wms".into(),
                        nonce: NONCE.into(),
                        stale: false,
                    }],
                    rejected: other.map(|_| "enc1".to_owned()),
                }),
            }
        }));
        let body = "Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n";
        assert_eq!(body.len(), 41);
        let (conn, asked) = b.ask(setup("0", body));
        assert_eq!(asked.line, "HTTP/1.1 401 Unauthorized");
        assert_eq!(asked.get("Content-Length"), Some("0"));
        let offered = asked.get("WWW-Authenticate").unwrap();
        assert_eq!(
            offered,
            format!("Digest realm=\"wms\", qop=\"auth\", algorithm=MD5, nonce=\"{NONCE}\"")
        );
        let id = id_of(&asked);
        assert!(b.publishes[0].credentials.is_none());
        let header = |proof: &str| {
            format!(
                "Authorization: Digest username=\"enc1\", realm=\"wms\", nonce=\"{NONCE}\", \
                 uri=\"/live/ch1\"{qop}, response=\"{proof}\"\r\n"
            )
        };
        b.send(
            conn,
            with(&setup(&id, body), &header(&proof.replace('4', "5"))),
        );
        assert_eq!(b.reply(conn).status(), 401);
        b.send(conn, with(&setup(&id, body), &header(proof)));
        assert_eq!(text(b.take(conn)), no_content(&id));
        let asked = b.publishes.last().unwrap();
        assert_eq!(
            (&*asked.path, asked.template.as_deref(), asked.destroy),
            ("/live/ch1", Some("/master"), true)
        );
        assert_eq!(
            (&*asked.authority, &*asked.user_agent),
            ("media.example", AGENT)
        );
        assert!(b.publishes[1..].iter().all(|p| p.session == asked.session));
        assert_eq!(b.refused(), [401]);
    }
}

// WMHTTP-82, WMHTTP-83, WMHTTP-91, WMHTTP-106
#[test]
fn exchange_c_a_finite_body_with_filler() {
    let first = [header(S1), data(P1), data(P2), data(P3), filler(47)].concat();
    assert_eq!(
        (first.len(), &*sha256(&first)),
        (
            512,
            "4c65d6985932711e2baa3c2d4e986af79b226bd6a5e4894713da8b8b94ad1faa"
        )
    );
    let second = [data(P1), end(0)].concat();
    assert_eq!(
        (second.len(), &*sha256(&second)),
        (
            53,
            "e55cf94002e8fee7eac288127de21da27382b220ad779b416300e2978abb5f31"
        )
    );
    for size in [1, 2, 3, 7, 47, 100, 2000] {
        let mut b = Bench::new();
        let (conn, id) = b.set_up();
        send_in(
            &mut b,
            conn,
            &[start(&id, 512).into_bytes(), first.clone()].concat(),
            size,
        );
        assert_eq!(text(b.take(conn)), no_content(&id));
        assert!(b.is_open(conn));
        send_in(
            &mut b,
            conn,
            &[start(&id, 53).into_bytes(), second.clone()].concat(),
            size,
        );
        assert_eq!(
            events(&b),
            [
                header_event(),
                packet(0, P1),
                packet(1, P2),
                packet(2, P3),
                packet(3, P1),
                IngestEvent::End(0)
            ]
        );
        let last = b.reply(conn);
        assert_eq!(
            (last.status(), last.get("Connection")),
            (204, Some("close"))
        );
        assert!(!b.is_open(conn));
    }
}

// WMHTTP-19, WMHTTP-90, WMHTTP-106
#[test]
fn exchange_d_a_change_of_entry() {
    let body = [header(S1), data(P1), end(1), change(S1), data(P2), end(0)].concat();
    assert_eq!(
        (body.len(), &*sha256(&body)),
        (
            764,
            "59ce4fcbaee422b9471c6f1c1fb6df93eecaba130e612feb4eb28760b9dcc2a9"
        )
    );
    for size in [1, 5, 64, 1000] {
        let mut b = Bench::new();
        let (conn, id) = b.set_up();
        send_in(
            &mut b,
            conn,
            &[start(&id, ENDLESS).into_bytes(), body.clone()].concat(),
            size,
        );
        assert_eq!(
            events(&b),
            [
                header_event(),
                packet(0, P1),
                IngestEvent::EntryEnd,
                header_event(),
                packet(1, P2),
                IngestEvent::End(0)
            ]
        );
        assert_eq!(b.server.counts(), Default::default());
    }
}

// WMHTTP-92, WMHTTP-106
#[test]
fn exchange_e_idle_expiry() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.send(conn, start(&id, ENDLESS));
    b.sleep(Duration::from_secs(59));
    assert!(b.is_open(conn));
    b.sleep(Duration::from_secs(1));
    assert_eq!(
        text(b.take(conn)),
        format!(
            "HTTP/1.1 408 Request Timeout\r\n\
             Server: Cougar/9.01.01.3814\r\n\
             Date: Thu, 01 Jan 2026 00:01:00 GMT\r\n\
             Pragma: no-cache, timeout=60000\r\n\
             Set-Cookie: push-id={id}\r\n\
             {SUPPORTED}\
             Connection: close\r\n\r\n"
        )
    );
    assert_eq!(b.closed[&conn].0, CloseHow::Flush);
    assert_eq!(b.published(), ["withdrawn true"], "nothing was published");
    let (conn, reply) = b.ask(start(&id, ENDLESS));
    assert_eq!(reply.status(), 404);
    assert!(!b.is_open(conn));
}

// WMHTTP-61, WMHTTP-106
#[test]
fn exchange_f_what_is_no_encoder() {
    let wanted = "HTTP/1.1 200 OK\r\n\
        Server: Cougar/9.01.01.3814\r\n\
        Content-Type: video/x-ms-asf\r\n\
        Content-Length: 85\r\n\
        Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
        Pragma: no-cache\r\n\
        Cache-Control: no-cache\r\n\r\n\
        <ASX version=\"3.0\"><Entry><Ref href=\"http://media.example/live/ch1\"/></Entry></ASX>\r\n";
    let encoder = setup("0", "AutoDestroy: 1\r\n");
    for request in [
        encoder.replace(AGENT, "Mozilla/5.0"),
        encoder.replace(AGENT, "NSPlayer/11.0.5721.5145"),
        encoder.replace(AGENT, "WMEncoder/8.1"),
        without(&encoder, "User-Agent"),
    ] {
        let mut b = Bench::new();
        let conn = b.open();
        b.send(conn, &request);
        assert_eq!(text(b.take(conn)), wanted);
        assert!(b.is_open(conn) && b.publishes.is_empty());
    }
    // A URL that must be escaped, and no host at all.
    let mut b = Bench::new();
    let odd = encoder.replace(AGENT, "x").replace("/ch1 ", "/a?b=\"&c=1 ");
    let (_, reply) = b.ask(without(&odd, "Host"));
    let document = text(reply.body);
    assert!(
        document.contains("href=\"http://192.0.2.1:80/live/a?b=&quot;&amp;c=1\""),
        "{document}"
    );
}

// WMHTTP-67, WMHTTP-102, WMHTTP-103, WMHTTP-105: exchange G.
#[test]
fn exchange_g_ntlm_under_the_name_of_negotiate() {
    use protocols::auth::ntlm::{self, Handshake, Message};
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut b = Bench::new();
    b.guard_publish = true;
    let log = Arc::clone(&seen);
    b.guard = Some(Box::new(move |credentials, _| {
        let mut begun = None;
        if let Some(Credentials::Ntlm { token, handshake }) = credentials {
            match (Message::parse(token), handshake) {
                (Ok(Message::Negotiate(n)), _) => {
                    log.lock().unwrap().push("negotiate");
                    let server = ntlm::Server {
                        netbios: "TEST",
                        dns: "",
                    };
                    begun = Some(Arc::new(Handshake::begin(&n, server, [9; 8], 0)));
                }
                (Ok(Message::Authenticate(a)), Some(_)) => {
                    log.lock().unwrap().push("authenticate");
                    return Verdict::Pass(Some(Arc::new(Identity {
                        user: a.user.as_str().into(),
                        realm: "test".into(),
                    })));
                }
                other => panic!("{other:?}"),
            }
        }
        Verdict::Challenge(Challenge {
            offers: vec![Offer::Ntlm { handshake: begun }],
            rejected: None,
        })
    }));
    let only_negotiate = |r: String| r.replace("Negotiate, NTLM, Digest", "Negotiate");
    let template = "Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n";
    let (conn, one) = b.ask(only_negotiate(setup("0", template)));
    assert_eq!(
        (one.status(), one.get("WWW-Authenticate")),
        (401, Some("Negotiate"))
    );
    let id = id_of(&one);
    b.sleep(Duration::from_secs(100));
    let begin = "Authorization: Negotiate TlRMTVNTUAABAAAABwIIAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    b.send(conn, with(&only_negotiate(setup(&id, "")), begin));
    let two = b.reply(conn);
    assert_eq!((two.status(), &*id_of(&two)), (401, &*id));
    let token = two
        .get("WWW-Authenticate")
        .unwrap()
        .strip_prefix("Negotiate TlRMTVNTUAACAAAA");
    assert!(token.is_some(), "{two:?}");
    // Without a body, the round still has the template that the first one named.
    let round = &b.publishes[1];
    assert_eq!(
        (round.template.as_deref(), round.destroy),
        (Some("/master"), true)
    );
    // Inactivity-Timeout began anew with the challenge.
    b.sleep(Duration::from_secs(100));
    let mut token = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let user: Vec<u8> = "enc".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (len, at) in [(0u16, 64u32), (48, 70), (0, 64), (6, 64), (0, 64), (0, 64)] {
        token.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
        token.extend(at.to_le_bytes());
    }
    token.extend(0x0000_0201u32.to_le_bytes());
    token.extend(user);
    token.extend([[0; 16], [1; 16], [0; 16]].concat());
    let third = format!(
        "Authorization: Negotiate {}\r\n",
        protocols::auth::base64::encode(&token)
    );
    b.send(
        conn,
        with(&only_negotiate(setup(&id, "AutoDestroy: 0\r\n")), &third),
    );
    let three = b.reply(conn);
    assert_eq!((three.status(), &*id_of(&three)), (204, &*id));
    let last = b.publishes.last().unwrap();
    assert_eq!(
        (last.template.clone(), last.destroy),
        (None, false),
        "the accepted body counts"
    );
    assert_eq!(*seen.lock().unwrap(), ["negotiate", "authenticate"]);
    // The PushStart needs nothing but its id, on this connection or another.
    let other = b.open();
    b.send(other, start(&id, ENDLESS));
    b.send(other, header(S1));
    assert_eq!(b.published(), ["header 326"]);
    assert_eq!(b.publishes.len(), 3);
}
