//! Players and browsers that must prove who they are: each scheme, and each way to fail.

mod wmsp_support;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use protocols::auth::digest::{self, Nonces, Use};
use protocols::auth::ntlm::{self, Handshake, Message};
use protocols::auth::{Challenge, Credentials, Identity, Offer, Scheme, base64, hex};
use protocols::content::*;
use std::sync::Arc;
use std::time::Duration;
use wmsp_support::requests::*;
use wmsp_support::*;

const REALM: &str = "test";
const PASSWORD: &str = "open:sésame";
const BASIC: &str = "Authorization: Basic YWxpY2U6b3Blbjpzw6lzYW1l\r\n";

/// An application that knows alice, and offers these schemes.
fn guard(schemes: &'static [Scheme]) -> Guard {
    let mut nonces = Nonces::new([3; 32]);
    let mut challenges = 0u64;
    Box::new(move |credentials, now| {
        let (mut stale, mut begun, mut rejected) = (false, None, None);
        let secret = digest::ha1("alice", REALM, PASSWORD);
        match credentials {
            None => {}
            Some(Credentials::Connection(identity)) => {
                return Verdict::Pass(Some(Arc::clone(identity)));
            }
            Some(Credentials::Basic { user, password }) => {
                if user == "alice" && password.reveal() == PASSWORD {
                    return Verdict::Pass(None);
                }
                rejected = Some(user.clone());
            }
            Some(Credentials::Digest {
                authorization: a,
                method,
                target,
            }) => {
                if a.is_about(target) && a.proves(&secret, method) {
                    let count = a.count.as_ref().map(|c| c.nc);
                    match nonces.use_up(now, &a.nonce, count) {
                        Use::Fresh => return Verdict::Pass(None),
                        Use::Stale => stale = true,
                    }
                } else {
                    rejected = Some(a.username.clone());
                }
            }
            Some(Credentials::Ntlm { token, handshake }) => {
                match (Message::parse(token), handshake) {
                    (Ok(Message::Negotiate(n)), _) => {
                        challenges += 1;
                        let server = ntlm::Server {
                            netbios: "TEST",
                            dns: "",
                        };
                        let nonce = challenges.to_be_bytes();
                        begun = Some(Arc::new(Handshake::begin(&n, server, nonce, 0)));
                    }
                    (Ok(Message::Authenticate(a)), Some(h))
                        if h.proves(&a, &ntlm::nt_hash(PASSWORD)) =>
                    {
                        return Verdict::Pass(Some(Arc::new(Identity {
                            user: a.user.as_str().into(),
                            realm: REALM.into(),
                        })));
                    }
                    _ => rejected = Some("?".to_owned()),
                }
            }
        }
        let offers = schemes.iter().map(|scheme| match scheme {
            Scheme::Basic => Offer::Basic {
                realm: REALM.into(),
            },
            Scheme::Digest => Offer::Digest {
                realm: REALM.into(),
                nonce: nonces.issue(now),
                stale,
            },
            Scheme::Ntlm => Offer::Ntlm {
                handshake: begun.clone(),
            },
        });
        Verdict::Challenge(Challenge {
            offers: offers.collect(),
            rejected,
        })
    })
}

const ALL: &[Scheme] = &[Scheme::Ntlm, Scheme::Digest, Scheme::Basic];

fn bench(schemes: &'static [Scheme]) -> Bench {
    let mut b = Bench::new();
    let guarded = Content {
        guarded: true,
        ..clip()
    };
    b.points.insert("/secret".to_owned(), Point::Media(guarded));
    b.guard = Some(guard(schemes));
    b
}

/// A request of a player with more headers.
fn with(request: String, headers: &str) -> String {
    let end = request.find("\r\n\r\n").unwrap() + 2;
    format!("{}{headers}{}", &request[..end], &request[end..])
}

fn describe_with(headers: &str) -> String {
    with(get("/secret", "x=1"), headers)
}

/// All values of `WWW-Authenticate`.
fn challenges(reply: &Reply) -> Vec<&str> {
    let named = reply
        .headers
        .iter()
        .filter(|(n, _)| n == "WWW-Authenticate");
    named.map(|(_, v)| v.as_str()).collect()
}

// WMSP-93, WMSP-94
#[test]
fn a_challenge_makes_no_session_and_offers_what_the_client_prefers() {
    let mut b = bench(ALL);
    let (conn, r) = b.ask(describe_with(""));
    assert_eq!(r.line, "HTTP/1.1 401 Unauthorized");
    assert_eq!(r.get("Content-Length"), Some("0"));
    assert_eq!(r.body, b"");
    assert_eq!(r.get("Pragma"), Some("no-cache"), "no client-id");
    let offered = challenges(&r);
    assert_eq!(offered.len(), 3);
    assert_eq!(offered[0], "NTLM");
    assert!(offered[1].starts_with("Digest realm=\"test\", qop=\"auth\", algorithm=MD5, nonce=\""));
    assert_eq!(offered[2], "Basic realm=\"test\"");
    assert!(b.is_open(conn));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
    assert_eq!(b.refused(), [], "asking is not a fault");

    for (accepted, scheme) in [
        ("Negotiate, NTLM, Digest, Basic", "NTLM"),
        ("Basic", "Basic "),
        ("Negotiate,Digest,NTLM", "Digest "),
    ] {
        let header = format!("X-Accept-Authentication: {accepted}\r\n");
        let (_, r) = b.ask(describe_with(&header));
        let offered = challenges(&r);
        assert_eq!(offered.len(), 1, "{accepted}");
        assert!(offered[0].starts_with(scheme), "{accepted}");
    }
    let (_, r) = b.ask(describe_with("X-Accept-Authentication: Negotiate\r\n"));
    assert_eq!(challenges(&r).len(), 3);
}

// WMSP-94
#[test]
fn basic_is_said_with_each_request() {
    let mut b = bench(ALL);
    let (conn, r) = b.ask(describe_with(BASIC));
    assert_eq!(r.status(), 200);
    let id = r.client_id();
    let request = play("/secret", &format!("client-id={id}, version11-enabled=1"));
    // A Play alone does not profit from the Describe before it.
    b.send(conn, &request);
    let r = b.reply(conn);
    assert_eq!((r.status(), challenges(&r).len()), (401, 3));
    assert_eq!(b.held.len(), 1, "the session is as it was");
    b.send(conn, with(request, BASIC));
    assert_eq!(b.reply(conn).status(), 200);
    assert_eq!((b.opens.len(), b.rechecks), (1, 2));
    let flow = b.flow(conn);
    b.end(flow);
    b.take(conn);
    // What is played again is opened again, and asked about again.
    let again = play("/secret", &format!("client-id={id}, version11-enabled=1"));
    b.send(conn, &again);
    assert_eq!(b.reply(conn).status(), 401);
    b.send(conn, with(again, BASIC));
    assert_eq!(b.reply(conn).status(), 200);
}

// WMSP-94
#[test]
fn a_wrong_password_is_refused_and_told_to_the_operator() {
    let mut b = bench(ALL);
    let conn = b.open();
    let wrong = "Authorization: Basic YWxpY2U6b3Blbg==\r\n";
    for attempt in 1..=8 {
        b.send(conn, describe_with(wrong));
        let r = b.reply(conn);
        assert_eq!(r.status(), 401);
        assert_eq!(b.is_open(conn), attempt < 8);
        assert_eq!(r.get("Connection"), (attempt == 8).then_some("close"));
    }
    assert_eq!(b.refused(), [401; 8]);
    let said = format!("{:?}", b.reports);
    assert!(said.contains("alice") && !said.contains("open"));
    assert_eq!(b.server.session_count(), 0);
}

#[test]
fn malformed_credentials_are_a_bad_request() {
    let mut b = bench(ALL);
    for bad in ["Basic *", "Digest a", "Digest username=\"x", "NTLM \u{1}"] {
        let (_, r) = b.ask(describe_with(&format!("Authorization: {bad}\r\n")));
        assert_eq!(r.status(), 400, "{bad}");
    }
    let (_, r) = b.ask(describe_with("Authorization: Bearer abc\r\n"));
    assert_eq!(r.status(), 401, "another scheme");
    assert_eq!(b.server.session_count(), 0);
    // Open content is given to those who offer a password unasked.
    let (_, r) = b.ask(with(get("/pp", "x=1"), BASIC));
    assert_eq!(r.status(), 200);
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn nonce_of(reply: &Reply) -> String {
    let offered = challenges(reply);
    let digest = offered.iter().find(|o| o.starts_with("Digest")).unwrap();
    let (_, rest) = digest.split_once("nonce=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn digest_header(nonce: &str, nc: u32, method: &str, uri: &str, password: &str) -> String {
    let first = md5(&format!("alice:{REALM}:{password}"));
    let second = md5(&format!("{method}:{uri}"));
    let response = md5(&format!("{first}:{nonce}:{nc:08x}:c0:auth:{second}"));
    format!(
        "Authorization: Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", qop=auth, nc={nc:08x}, cnonce=\"c0\", response=\"{response}\"\r\n"
    )
}

// WMSP-94
#[test]
fn digest_is_taken_once_for_each_count() {
    let mut b = bench(&[Scheme::Digest]);
    let (conn, r) = b.ask(describe_with(""));
    let nonce = nonce_of(&r);
    let first = digest_header(&nonce, 1, "GET", "/secret", PASSWORD);
    b.send(conn, describe_with(&first));
    let r = b.reply(conn);
    assert_eq!(r.status(), 200);
    let id = r.client_id();
    // The next count, on another connection.
    let second = digest_header(&nonce, 2, "GET", "/secret", PASSWORD);
    let pragma = format!("client-id={id}, version11-enabled=1");
    let (other, r) = b.ask(with(play("/secret", &pragma), &second));
    assert_eq!(r.status(), 200);
    assert!(b.has_flow(other));
    // Replayed by somebody who listened.
    let (conn, r) = b.ask(describe_with(&first));
    assert_eq!(r.status(), 401);
    assert!(challenges(&r)[0].ends_with(", stale=true"));
    assert_eq!(b.refused(), [], "the password was right");
    let fresh = digest_header(&nonce_of(&r), 1, "GET", "/secret", PASSWORD);
    b.send(conn, describe_with(&fresh));
    assert_eq!(b.reply(conn).status(), 200);
}

// WMSP-94
#[test]
fn digest_fails_for_other_passwords_methods_and_places() {
    let mut b = bench(&[Scheme::Digest]);
    let nonce = nonce_of(&b.ask(describe_with("")).1);
    let mut status = |header: String| {
        let (_, r) = b.ask(describe_with(&header));
        assert!(!challenges(&r).iter().any(|c| c.contains("stale")));
        r.status()
    };
    assert_eq!(
        status(digest_header(&nonce, 1, "GET", "/secret", "open")),
        401
    );
    assert_eq!(
        status(digest_header(&nonce, 1, "POST", "/secret", PASSWORD)),
        401
    );
    assert_eq!(
        status(digest_header(&nonce, 1, "GET", "/pp", PASSWORD)),
        401
    );
    // A proxy says which method the player has signed.
    let described = digest_header(&nonce, 1, "DESCRIBE", "rtsp://h/secret", PASSWORD);
    assert_eq!(status(described.clone()), 401);
    let translated = format!("{described}X-Proxy-Client-Verb: DESCRIBE\r\n");
    assert_eq!(status(translated), 200);
    assert_eq!(b.refused(), [401; 4]);
}

// WMSP-94
#[test]
fn a_nonce_that_is_too_old_is_replaced() {
    let mut b = bench(ALL);
    let nonce = nonce_of(&b.ask(describe_with("")).1);
    b.sleep(digest::NONCE_LIFETIME + Duration::from_secs(1));
    let old = digest_header(&nonce, 1, "GET", "/secret", PASSWORD);
    let (conn, r) = b.ask(describe_with(&old));
    assert_eq!(r.status(), 401);
    assert_eq!(challenges(&r).len(), 1, "the client goes on with Digest");
    assert!(challenges(&r)[0].ends_with(", stale=true"));
    let fresh = digest_header(&nonce_of(&r), 1, "GET", "/secret", PASSWORD);
    b.send(conn, describe_with(&fresh));
    assert_eq!(b.reply(conn).status(), 200);
}

const NEGOTIATE: &str = "Authorization: NTLM TlRMTVNTUAABAAAABwIIAAAAAAAAAAAAAAAAAAAAAAA=\r\n";

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The third message of NTLM, in answer to the second.
fn authenticate(reply: &Reply, password: &str) -> String {
    let offered = challenges(reply);
    let [one] = offered[..] else {
        panic!("{offered:?}");
    };
    let challenge = base64::decode(one.strip_prefix("NTLM ").unwrap()).unwrap();
    let utf16 = |t: &str| -> Vec<u8> { t.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let key = hmac(&ntlm::nt_hash(password), &utf16("ALICEDOM"));
    let mut temp = vec![0; 32];
    temp[..2].fill(1);
    let proof = hmac(&key, &[&challenge[24..32], &temp].concat());
    let fields = [
        Vec::new(),
        [proof, temp].concat(),
        utf16("DOM"),
        utf16("alice"),
        Vec::new(),
        Vec::new(),
    ];
    let mut out = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut offset = 64u32;
    for field in &fields {
        let len = u16::try_from(field.len()).unwrap().to_le_bytes();
        out.extend([len, len].concat());
        out.extend(offset.to_le_bytes());
        offset += field.len() as u32;
    }
    out.extend(0x0000_0201u32.to_le_bytes());
    out.extend(fields.concat());
    format!("Authorization: NTLM {}\r\n", base64::encode(&out))
}

// WMSP-94, WMSP-95
#[test]
fn ntlm_belongs_to_its_connection() {
    let mut b = bench(ALL);
    let (conn, r) = b.ask(describe_with(NEGOTIATE));
    assert_eq!(r.status(), 401);
    assert!(b.is_open(conn));
    let answer = authenticate(&r, PASSWORD);
    b.send(conn, describe_with(&answer));
    let r = b.reply(conn);
    assert_eq!(r.status(), 200);
    let id = r.client_id();
    // What follows on the connection needs nothing more.
    let request = play("/secret", &format!("client-id={id}, version11-enabled=1"));
    let (other, r) = b.ask(&request);
    assert_eq!(r.status(), 401, "another connection");
    assert_eq!(challenges(&r).len(), 3);
    // An answer is good for its own challenge on its own connection.
    b.send(other, with(request.clone(), &answer));
    assert_eq!(b.reply(other).status(), 401);
    b.send(conn, &request);
    assert_eq!(b.reply(conn).status(), 200);
    assert!(b.has_flow(conn));
    assert_eq!(b.refused(), [401], "the answer on the other connection");
}

// WMSP-95
#[test]
fn ntlm_with_a_wrong_password_or_a_used_challenge_fails() {
    let mut b = bench(&[Scheme::Ntlm]);
    let (conn, r) = b.ask(describe_with(NEGOTIATE));
    let (right, wrong) = (authenticate(&r, PASSWORD), authenticate(&r, "open"));
    b.send(conn, describe_with(&wrong));
    let r = b.reply(conn);
    assert_eq!(r.status(), 401);
    assert_eq!(challenges(&r), ["NTLM"], "from the start");
    assert!(b.is_open(conn));
    b.send(conn, describe_with(&right));
    assert_eq!(b.reply(conn).status(), 401, "a challenge is good once");
    b.send(conn, describe_with(NEGOTIATE));
    let answer = authenticate(&b.reply(conn), PASSWORD);
    b.send(conn, describe_with(&answer));
    assert_eq!(b.reply(conn).status(), 200);
    // Who begins anew is nobody until it is done.
    b.send(conn, describe_with(NEGOTIATE));
    assert_eq!(b.reply(conn).status(), 401);
    b.send(conn, describe_with(""));
    assert_eq!(b.reply(conn).status(), 401);
}

// WMSP-95
#[test]
fn ntlm_keeps_connections_of_http_10() {
    let request = |headers: &str| {
        format!(
            "GET /secret HTTP/1.0\r\nUser-Agent: NSPlayer/7.1.0.3055\r\nHost: h\r\n{headers}\r\n"
        )
    };
    let mut b = bench(ALL);
    let (conn, r) = b.ask(request(""));
    assert_eq!(r.line, "HTTP/1.0 401 Unauthorized");
    assert_eq!(r.get("Connection"), Some("Keep-Alive"));
    assert!(b.is_open(conn));
    b.send(conn, request(NEGOTIATE));
    let r = b.reply(conn);
    assert_eq!(r.get("Connection"), Some("Keep-Alive"));
    let answer = authenticate(&r, PASSWORD);
    b.send(conn, request(&answer));
    assert_eq!(b.reply(conn).status(), 200);
    // Where NTLM is not on offer, and where the client says so, it closes as ever.
    let (conn, r) = b.ask(request("X-Accept-Authentication: Basic\r\n"));
    assert_eq!(
        (r.get("Connection"), b.is_open(conn)),
        (Some("close"), false)
    );
    let (conn, r) = b.ask(request("Connection: close\r\n"));
    assert_eq!(
        (r.get("Connection"), b.is_open(conn)),
        (Some("close"), false)
    );
}

// WMSP-94
#[test]
fn browsers_are_asked_as_well() {
    let mut b = bench(ALL);
    let request = |headers: &str| format!("GET /secret HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let (conn, r) = b.ask(request(""));
    assert_eq!((r.status(), challenges(&r).len()), (401, 3));
    assert_eq!((r.get("Content-Length"), r.body.len()), (Some("0"), 0));
    b.send(conn, request(BASIC));
    let r = b.reply(conn);
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("182000")));
}

// WMSP-95
#[test]
fn splits_change_nothing() {
    let run = |cuts: &[usize]| {
        let mut b = bench(ALL);
        let conn = b.open();
        let mut replies = Vec::new();
        let mut header = NEGOTIATE.to_owned();
        for _ in 0..3 {
            let request = describe_with(&header);
            let mut rest = request.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(*cut.min(&rest.len()));
                rest = later;
                if !now.is_empty() {
                    b.send(conn, now);
                }
            }
            if !rest.is_empty() {
                b.send(conn, rest);
            }
            let bytes = b.take(conn);
            let reply = Reply::parse(&bytes);
            header = match reply.status() {
                401 => authenticate(&reply, PASSWORD),
                _ => String::new(),
            };
            replies.push(bytes);
        }
        replies
    };
    let whole = run(&[]);
    assert_eq!(whole.len(), 3);
    assert!(whole[2].starts_with(b"HTTP/1.1 200"));
    for at in 1..describe_with(NEGOTIATE).len() {
        assert_eq!(run(&[at]), whole, "split at {at}");
    }
    assert_eq!(run(&[1; 400]), whole);
}

#[test]
fn a_connection_that_goes_while_it_is_asked_about_leaves_nothing() {
    let mut b = bench(ALL);
    let (conn, r) = b.ask(describe_with(BASIC));
    let id = r.client_id();
    b.slow = true;
    b.send(
        conn,
        with(play("/secret", &format!("client-id={id}")), BASIC),
    );
    b.hang_up(conn);
    b.answer_all();
    b.sleep(Duration::from_secs(200));
    assert!(b.held.is_empty());
    assert_eq!(b.server.session_count(), 0);
}
