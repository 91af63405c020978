//! Sessions of encoders: statuses, states and timers, other connections, addresses and cores.

mod wmhttp_support;

use protocols::auth::{Challenge, Credentials, Offer};
use protocols::content::*;
use protocols::machine::*;
use protocols::wmhttp::server::Config;
use std::time::Duration;
use wmhttp_support::*;

const AUTO: &str = "AutoDestroy: 1\r\n";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Points that only enc1 with the password "x" may publish to.
fn guarded() -> Bench {
    let mut b = Bench::new();
    b.guard_publish = true;
    b.guard = Some(Box::new(|credentials, _| match credentials {
        Some(Credentials::Basic { user, password }) if password.reveal() == "x" => {
            assert!(user.starts_with("enc"));
            Verdict::Pass(None)
        }
        other => Verdict::Challenge(Challenge {
            offers: vec![
                Offer::Ntlm { handshake: None },
                Offer::Basic { realm: "r".into() },
            ],
            rejected: other.map(|_| "enc".to_owned()),
        }),
    }));
    b
}

fn basic(user: &str) -> String {
    let pair = protocols::auth::base64::encode(format!("{user}:x").as_bytes());
    format!("Authorization: Basic {pair}\r\n")
}

// WMHTTP-25, WMHTTP-62, WMHTTP-68, WMHTTP-72, WMHTTP-101
#[test]
fn statuses_of_pushsetup() {
    let whole = setup("0", AUTO);
    for (request, status, open) in [
        (without(&whole, "Content-Length"), 411, false),
        (
            whole.replace("Content-Length: 16", "Transfer-Encoding: chunked"),
            411,
            false,
        ),
        (
            whole.replace("Content-Length: 16", "Content-Length: 4097"),
            413,
            false,
        ),
        (whole.replace("AutoDestroy: 1", "AutoDestroy: 2"), 400, true),
        (with(&whole, "Authorization: Basic *\r\n"), 400, true),
        (setup("1234567890", AUTO), 404, true),
        (setup("junk", AUTO), 404, true),
        (whole.replace("HTTP/1.1", "HTTP/2.0"), 505, false),
        (without(&whole, "Cookie"), 204, true),
        (
            whole.replace("pushsetup", "pushsetup;charset=UTF-8"),
            204,
            true,
        ),
        (
            whole.replace("Connection: Keep-Alive", "Connection: close"),
            204,
            false,
        ),
        (whole.replace("HTTP/1.1", "HTTP/1.0"), 204, true),
        (
            without(&whole, "Connection").replace("HTTP/1.1", "HTTP/1.0"),
            204,
            false,
        ),
    ] {
        let mut b = Bench::new();
        let (conn, reply) = b.ask(&request);
        assert_eq!(
            (reply.status(), b.is_open(conn)),
            (status, open),
            "{request}"
        );
        assert_eq!(reply.get("Server"), Some("Cougar/9.01.01.3814"));
        assert_eq!(b.server.session_count(), usize::from(status == 204));
        let says_close = reply.get("Connection") == Some("close");
        assert_eq!(says_close, !open, "{request}");
    }
    for (refusal, status) in [
        (Refusal::NotFound, 404),
        (Refusal::Forbidden, 403),
        (Refusal::Taken, 409),
        (Refusal::Busy, 503),
        (Refusal::Internal, 500),
    ] {
        let mut b = Bench::new();
        b.publish = Some(Box::new(move |_| Answer::Refused(refusal)));
        let (conn, reply) = b.ask(&whole);
        assert_eq!((reply.status(), b.is_open(conn)), (status, true));
        assert_eq!(b.refused(), [status]);
        // The connection is good for another request.
        b.publish = None;
        b.send(conn, &whole);
        assert_eq!(b.reply(conn).line, "HTTP/1.1 204 No Content");
    }
}

// WMHTTP-69, WMHTTP-76, WMHTTP-77, WMHTTP-78, WMHTTP-97, WMHTTP-110
#[test]
fn statuses_of_pushstart() {
    let first = |b: &mut Bench| b.set_up().1;
    let at = |b: &mut Bench, request: String| {
        let (conn, reply) = b.ask(request);
        assert_eq!(reply.get("Connection"), Some("close"));
        assert_eq!(b.closed[&conn].0, CloseHow::Flush);
        assert_eq!(reply.get("Content-Length"), Some("0"));
        reply.line
    };
    let mut b = Bench::new();
    let id = first(&mut b);
    let whole = start(&id, ENDLESS);
    assert_eq!(
        at(&mut b, without(&whole, "Content-Length")),
        "HTTP/1.1 411 Length Required"
    );
    assert_eq!(
        at(&mut b, whole.replace("2147483647", "9223372036854775808")),
        "HTTP/1.1 400 Bad Request"
    );
    assert_eq!(
        at(&mut b, without(&whole, "User-Agent")),
        "HTTP/1.1 400 Bad Request"
    );
    assert_eq!(
        at(&mut b, without(&whole, "Cookie")),
        "HTTP/1.1 404 Not Found"
    );
    assert_eq!(at(&mut b, start("0", 9)), "HTTP/1.1 404 Not Found");
    assert_eq!(at(&mut b, start("1234567890", 9)), "HTTP/1.1 404 Not Found");
    assert_eq!(
        at(&mut b, whole.replace("/ch1", "/ch2")),
        "HTTP/1.1 404 Not Found"
    );
    // The name is the same in any case; the longest length is taken.
    let conn = b.open();
    let longest = whole.replace("2147483647", "9223372036854775807");
    b.send(conn, longest.replace("/ch1", "/CH1"));
    assert_eq!(b.take(conn), b"");
    assert_eq!(at(&mut b, whole), "HTTP/1.1 409 Conflict");
    let (other, reply) = b.ask(setup(&id, AUTO));
    assert_eq!((reply.status(), b.is_open(other)), (409, true));
    b.send(conn, [header(S1), data(P1)].concat());
    assert_eq!(b.published(), ["header 326", "packet 0 42"]);
}

// WMHTTP-72, WMHTTP-100
#[test]
fn the_cookie_that_lives_is_taken() {
    let mut b = Bench::new();
    let (_, id) = b.set_up();
    let cookies = format!("__utma=1.2; push-id=1111111111, push-id={id}; push-id=2222222222");
    let (_, reply) = b.ask(setup("0", AUTO).replace("push-id=0", &cookies));
    assert_eq!((reply.status(), &*id_of(&reply)), (204, &*id));
    assert_eq!(b.server.session_count(), 1);
    let (_, reply) = b.ask(setup("0", AUTO).replace("push-id=0", "push-id=1111111111; push-id=0"));
    assert_eq!(reply.status(), 204);
    assert_eq!(b.server.session_count(), 2, "the last one says 0");
}

// WMHTTP-63
#[test]
fn a_point_that_is_elsewhere() {
    let mut b = Bench::new();
    b.publish = Some(Box::new(|_| Answer::Moved {
        url: "http://other/live".into(),
    }));
    let (conn, reply) = b.ask(setup("0", AUTO));
    assert_eq!(
        (reply.status(), reply.get("Location")),
        (302, Some("http://other/live"))
    );
    assert!(!b.is_open(conn));
    assert_eq!((b.server.session_count(), b.ingested.len()), (0, 0));
}

// WMHTTP-11, WMHTTP-71, WMHTTP-75: S1 and PushSetup again.
#[test]
fn a_later_setup_changes_what_becomes_of_the_point() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.sleep(secs(100));
    b.send(conn, setup(&id, ""));
    let reply = b.reply(conn);
    assert_eq!((reply.status(), &*id_of(&reply)), (204, &*id));
    let asked: Vec<_> = b.publishes.iter().map(|p| (p.session, p.destroy)).collect();
    assert_eq!(asked, [(1, true), (1, false)]);
    b.sleep(secs(119));
    assert!(b.is_open(conn), "Inactivity-Timeout began anew");
    b.sleep(secs(2));
    assert_eq!(b.published(), ["withdrawn false"]);
    assert!(!b.is_open(conn));
    assert_eq!(b.wake, None);
}

// WMHTTP-56, WMHTTP-93, WMHTTP-95
#[test]
fn inactivity() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.sleep(secs(60));
    b.hang_up(conn);
    b.sleep(secs(119));
    assert_eq!(b.server.session_count(), 1, "the loss began it anew");
    let (conn, _) = b.ask(setup(&id, AUTO));
    b.sleep(secs(119));
    assert!(b.is_open(conn));
    b.sleep(secs(1));
    assert_eq!(b.published(), ["withdrawn true"]);
    assert_eq!(
        (b.is_open(conn), b.server.session_count(), b.wake),
        (false, 0, None)
    );
}

// WMHTTP-55, WMHTTP-79, WMHTTP-92
#[test]
fn idle_counts_from_the_last_media() {
    let mut b = Bench::new();
    let (conn, _) = b.streaming();
    b.sleep(secs(50));
    b.send(conn, data(P2));
    b.sleep(secs(50));
    // What is no media does not count.
    b.send(conn, [filler(100), end(1), put_unknown()].concat());
    b.sleep(secs(9));
    assert!(b.is_open(conn));
    b.sleep(secs(1));
    assert_eq!(b.reply(conn).status(), 408);
    assert_eq!(
        b.published(),
        [
            "packet 1 36",
            "entry end",
            "failed: no media for too long",
            "withdrawn true"
        ]
    );
    assert_eq!((b.server.session_count(), b.wake), (0, None));

    let short = Config {
        idle_timeout: secs(1),
        ..config(0, 1)
    };
    let mut b = Bench::with(short);
    let (conn, reply) = b.ask(setup("0", AUTO));
    assert_eq!(reply.get("Pragma"), Some("no-cache, timeout=10000"));
    b.send(conn, start(&id_of(&reply), ENDLESS));
    b.sleep(secs(9));
    assert!(b.is_open(conn));
    b.sleep(secs(1));
    assert!(!b.is_open(conn));
    let long = Config {
        idle_timeout: Duration::MAX,
        ..config(0, 1)
    };
    let (_, reply) = Bench::with(long).ask(setup("0", AUTO));
    assert_eq!(reply.get("Pragma"), Some("no-cache, timeout=4294967295"));
}

// WMHTTP-79, WMHTTP-84
#[test]
fn inactivity_counts_between_bodies_only() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.sleep(secs(100));
    let body = [header(S1), data(P1)];
    b.send(conn, start(&id, 375));
    b.sleep(secs(50));
    b.send(conn, &body[0]);
    b.sleep(secs(59));
    assert!(b.is_open(conn), "Inactivity-Timeout stands still");
    b.send(conn, &body[1]);
    assert_eq!(b.reply(conn).status(), 204);
    b.sleep(secs(119));
    assert!(b.is_open(conn), "Idle-Timeout stands still");
    assert_eq!(b.published(), ["header 326", "packet 0 42"]);
    b.sleep(secs(1));
    assert_eq!(b.published().last().unwrap(), "withdrawn true");
    assert_eq!(
        (b.is_open(conn), b.server.session_count(), b.wake),
        (false, 0, None)
    );
}

// WMHTTP-02
#[test]
fn what_is_not_known_is_passed_over() {
    let more = "X-Unknown: 1\r\nPragma: xyzzy=1, timeout=5\r\nSupported: com.example.nothing\r\n";
    let mut b = Bench::new();
    let (conn, reply) = b.ask(with(&setup("0", "X-Other: 1\r\nAutoDestroy: 1\r\n"), more));
    assert_eq!(reply.line, "HTTP/1.1 204 No Content");
    assert_eq!(reply.get("Pragma"), Some("no-cache, timeout=60000"));
    assert!(b.publishes[0].destroy);
    b.send(conn, with(&start(&id_of(&reply), ENDLESS), more));
    b.send(conn, header(S1));
    assert_eq!(b.published(), ["header 326"]);
}

// WMHTTP-65, WMHTTP-66
#[test]
fn an_encoder_is_asked_for_what_it_has() {
    let accept = "X-Accept-Authentication: Negotiate, NTLM, Digest\r\n";
    let asked = |accepts: &str| {
        let mut b = guarded();
        let conn = b.open();
        b.send(conn, setup("0", AUTO).replace(accept, accepts));
        let text = String::from_utf8(b.take(conn)).unwrap();
        assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
        let schemes = text.lines().filter_map(|l| {
            let value = l.strip_prefix("WWW-Authenticate: ")?;
            value.split(' ').next().map(str::to_owned)
        });
        schemes.collect::<Vec<_>>()
    };
    assert_eq!(asked(accept), ["NTLM"]);
    assert_eq!(asked("X-Accept-Authentication: basic\r\n"), ["Basic"]);
    assert_eq!(
        asked("X-Accept-Authentication: Digest, Basic\r\n"),
        ["Basic"]
    );
    assert_eq!(asked(""), ["NTLM", "Basic"]);
}

fn put_unknown() -> Vec<u8> {
    vec![0x24, b'Z', 2, 0, 1, 2]
}

// WMHTTP-107: bodies of the usual length, one after the other, are one stream.
#[test]
fn a_stream_goes_on_in_the_next_body() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    let body = [header(S1), data(P1)].concat();
    let fill = ENDLESS - body.len() as u64;
    b.send(conn, start(&id, ENDLESS));
    b.send(conn, &body);
    let largest = filler(65_535);
    let (whole, rest) = (fill / 65_535, usize::try_from(fill % 65_535).unwrap());
    let many = largest.repeat(64);
    for n in 0..whole / 64 {
        b.send(conn, &many);
        assert!(n > 500 || b.writes[&conn].is_empty());
    }
    b.send(conn, largest.repeat(usize::try_from(whole % 64).unwrap()));
    assert_eq!(b.take(conn), b"");
    // The next request comes with the last bytes.
    b.send(
        conn,
        [filler(rest), start(&id, ENDLESS).into_bytes(), data(P2)].concat(),
    );
    assert_eq!(id_of(&b.reply(conn)), id);
    assert_eq!(b.published(), ["header 326", "packet 0 42", "packet 1 36"]);
    // The first one counted to its end; a fault says where in the connection it is.
    b.send(conn, [0; 4]);
    let fault = b.closed[&conn].1.clone().unwrap();
    let heads = setup("0", AUTO).len() + 2 * start(&id, ENDLESS).len();
    assert_eq!(fault.offset, heads as u64 + ENDLESS + data(P2).len() as u64);
}

// WMHTTP-94: S3.
#[test]
fn a_lost_encoder_may_come_back() {
    for again in ["pushstart", "pushsetup"] {
        let mut b = Bench::new();
        let (conn, id) = b.streaming();
        b.sleep(secs(30));
        b.send(conn, &data(P2)[..20]);
        b.hang_up(conn);
        b.sleep(secs(29));
        let conn = b.open();
        if again == "pushsetup" {
            b.send(conn, setup(&id, AUTO));
            assert_eq!(b.reply(conn).status(), 204);
            b.sleep(secs(100));
        }
        b.send(conn, start(&id, ENDLESS));
        // The partial frame is gone, the header is still known.
        b.send(conn, data(P3));
        assert_eq!(b.published(), ["packet 1 48"], "{again}");
        b.sleep(secs(59));
        assert!(b.is_open(conn));
    }
    let mut b = Bench::new();
    let (conn, id) = b.streaming();
    b.hang_up(conn);
    let conn = b.open();
    b.send(
        conn,
        [start(&id, ENDLESS).into_bytes(), header(S1), data(P2)].concat(),
    );
    assert_eq!(b.published(), ["header 326", "packet 1 36"]);
    assert_eq!(b.server.counts().unexpected_headers, 0);
    b.hang_up(conn);
    b.sleep(secs(60));
    assert_eq!(
        b.published()[2..],
        [
            "failed: the encoder's connection was lost",
            "withdrawn true"
        ]
    );
    assert_eq!((b.server.session_count(), b.wake), (0, None));
}

// WMHTTP-60
#[test]
fn the_operator_ends_a_session() {
    let mut b = Bench::new();
    let (conn, id) = b.streaming();
    b.input(Input::Evict {
        session: 1,
        why: Refusal::Unavailable,
    });
    let reply = b.reply(conn);
    assert_eq!(
        (reply.status(), reply.get("Connection")),
        (503, Some("close"))
    );
    assert!(!b.is_open(conn));
    assert_eq!(b.published(), [""; 0], "the application knows already");
    assert_eq!((b.server.session_count(), b.wake), (0, None));
    assert_eq!(b.ask(start(&id, 9)).1.status(), 404);

    let mut b = Bench::new();
    let (conn, _) = b.streaming();
    b.input(Input::Evict {
        session: 1,
        why: Refusal::Taken,
    });
    assert_eq!(b.reply(conn).status(), 409);
    // Between requests there is nothing to answer.
    let mut b = Bench::new();
    let (conn, _) = b.set_up();
    b.input(Input::Evict {
        session: 1,
        why: Refusal::Taken,
    });
    assert_eq!((b.take(conn), b.is_open(conn)), (vec![], false));
    b.input(Input::Evict {
        session: 77,
        why: Refusal::Taken,
    });
    assert_eq!(b.ingested, []);
}

// WMHTTP-97, WMHTTP-103
#[test]
fn an_id_is_good_from_its_own_address() {
    let mut b = guarded();
    let (_, asked) = b.ask(setup("0", AUTO));
    assert_eq!(asked.status(), 401);
    let id = id_of(&asked);
    let (_, reply) = b.ask(with(&setup(&id, AUTO), &basic("enc1")));
    assert_eq!((reply.status(), &*id_of(&reply)), (204, &*id));
    // From elsewhere the user is asked, and the connection stays.
    let far = b.open_from("198.51.100.9:1");
    b.send(far, start(&id, 30));
    let reply = b.reply(far);
    assert_eq!(
        reply.get("WWW-Authenticate"),
        Some("Basic realm=\"r\""),
        "NTLM is left out"
    );
    assert!(b.is_open(far));
    // The body that nobody wants goes by.
    b.send(far, [vec![7; 30], start(&id, 30).into_bytes()].concat());
    assert_eq!(b.reply(far).status(), 401);
    b.send(far, [0; 30]);
    b.send(far, with(&start(&id, ENDLESS), &basic("enc2")));
    assert_eq!((b.reply(far).status(), b.is_open(far)), (403, false));
    let far = b.open_from("198.51.100.9:2");
    b.send(far, with(&start(&id, ENDLESS), &basic("enc1")));
    b.send(far, header(S1));
    assert_eq!(
        (b.take(far), b.published()),
        (vec![], vec!["header 326".to_owned()])
    );
    // A body that never ends is not waited for.
    let (conn, _) = b.ask(setup(&id, AUTO));
    assert!(b.is_open(conn));

    // A session without a user stays where it was made.
    let mut b = Bench::new();
    let (_, id) = b.set_up();
    let far = b.open_from("198.51.100.9:1");
    b.send(far, start(&id, ENDLESS));
    assert_eq!(b.reply(far).status(), 404);
    let far = b.open_from("198.51.100.9:1");
    b.send(far, setup(&id, AUTO));
    assert_eq!(b.reply(far).status(), 404);
    assert_eq!(b.publishes.len(), 1);

    let mut b = Bench::with(Config {
        roam: true,
        ..config(0, 1)
    });
    let (_, id) = b.set_up();
    let far = b.open_from("198.51.100.9:1");
    b.send(far, start(&id, ENDLESS));
    b.send(far, header(S1));
    assert_eq!(b.published(), ["header 326"]);
}

// WMHTTP-81
#[test]
fn a_body_after_a_challenge_has_a_limit_in_time() {
    let mut b = guarded();
    let (_, asked) = b.ask(setup("0", AUTO));
    // An encoder that was asked and sends all the same is asked again.
    let (conn, reply) = b.ask(start(&id_of(&asked), ENDLESS));
    assert_eq!((reply.status(), b.is_open(conn)), (401, true));
    b.sleep(secs(59));
    b.send(conn, [0; 100]);
    assert!(b.is_open(conn));
    b.sleep(secs(1));
    assert!(!b.is_open(conn));
    b.sleep(secs(200));
    assert_eq!((b.server.session_count(), b.ingested.len()), (0, 0));
}

// WMHTTP-96
#[test]
fn who_guesses_is_locked_out() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    for n in 0..20u64 {
        let guess = (1_000_000_000 + n).to_string();
        assert_eq!(b.ask(start(&guess, 9)).1.status(), 404);
    }
    assert_eq!(b.ask(start(&id, 9)).1.status(), 403);
    b.send(conn, setup(&id, AUTO));
    assert_eq!(b.reply(conn).status(), 403);
    // A new session may be made, another address is not meant, and it passes.
    assert_eq!(b.ask(setup("0", AUTO)).1.status(), 204);
    let far = b.open_from("198.51.100.9:1");
    b.send(far, start("1000000000", 9));
    assert_eq!(b.reply(far).status(), 404);
    b.sleep(secs(60));
    let conn = b.open();
    b.send(conn, start(&id, 9));
    assert_eq!(b.take(conn), b"");
}

// MS-WMHTTP appendix A, 13
#[test]
fn unknown_ids_can_be_let_in() {
    let compat = || {
        Bench::with(Config {
            compat_unknown_id: true,
            ..config(0, 1)
        })
    };
    for cookie in ["0", "1234567890", "x"] {
        let mut b = compat();
        let conn = b.open();
        let body = [header(S1), data(P1)].concat();
        let request = start(cookie, body.len() as u64).into_bytes();
        b.send(conn, [request, body].concat());
        let reply = b.reply(conn);
        assert_eq!(
            (reply.status(), b.published()[0].as_str()),
            (204, "header 326")
        );
        let id = id_of(&reply);
        b.send(conn, [start(&id, ENDLESS).into_bytes(), data(P2)].concat());
        assert_eq!(b.published()[2], "packet 1 36");
    }
    let mut b = compat();
    b.guard_publish = true;
    b.guard = guarded().guard;
    assert_eq!(b.ask(start("0", 9)).1.status(), 404);
    assert_eq!(b.server.session_count(), 0);
}

// WMHTTP-108
#[test]
fn requests_go_to_the_core_of_their_session() {
    let mut home = Bench::with(config(2, 3));
    let (_, id) = home.set_up();
    for (request, body) in [
        (start(&id, ENDLESS), header(S1)),
        (setup(&id, AUTO), vec![]),
    ] {
        let mut b = Bench::with(config(0, 3));
        let conn = b.open();
        let whole = [request.clone().into_bytes(), body].concat();
        let (first, rest) = whole.split_at(request.find("\r\n\r\n").unwrap());
        b.send(conn, first);
        b.send(conn, rest);
        assert_eq!(b.moved[&conn], (CoreId(2), whole.clone()));
        assert_eq!((b.take(conn), b.server.connection_count()), (vec![], 0));
        let conn = home.open();
        home.send(conn, &whole);
        match request.contains("pushstart") {
            true => {
                assert_eq!(home.published(), ["header 326"]);
                home.hang_up(conn);
            }
            false => assert_eq!(home.reply(conn).status(), 204),
        }
    }
    // A session is made where its point is: the whole request goes there, in its body's last piece.
    let mut b = Bench::with(config(0, 3));
    b.publish = Some(Box::new(|_| Answer::Elsewhere(CoreId(1))));
    let conn = b.open();
    let request = with(&setup("0", AUTO), "Expect: 100-continue\r\n");
    let (head, body) = request.split_at(request.len() - 16);
    b.send(conn, head);
    assert_eq!(b.take(conn), b"HTTP/1.1 100 Continue\r\n\r\n");
    b.send(conn, body);
    assert_eq!(b.moved[&conn], (CoreId(1), request.clone().into_bytes()));
    assert_eq!((b.server.session_count(), b.ingested.len()), (0, 0));
    let mut there = Bench::with(config(1, 3));
    let (_, reply) = there.ask(&request);
    assert_eq!(reply.status(), 204, "and no second invitation");
}

// WMHTTP-76
#[test]
fn an_encoder_that_waits_is_invited() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.send(conn, with(&start(&id, ENDLESS), "Expect: 100-Continue\r\n"));
    assert_eq!(b.take(conn), b"HTTP/1.1 100 Continue\r\n\r\n");
    b.send(conn, header(S1));
    assert_eq!(b.published(), ["header 326"]);
}

#[test]
fn other_requests_go_back_to_the_http_port() {
    let mut b = Bench::new();
    let (conn, _) = b.set_up();
    let get = b"GET /live/ch1 HTTP/1.1\r\nHost: h\r\n\r\nmore";
    b.send(conn, &get[..10]);
    b.send(conn, &get[10..]);
    assert_eq!(
        b.switched[&conn],
        (Service::Http, get[10..].to_vec()).into_whole(&get[..10])
    );
    assert_eq!(
        (b.server.connection_count(), b.server.session_count()),
        (0, 1)
    );
    b.sleep(secs(120));
    assert_eq!(b.published(), ["withdrawn true"]);
}

trait Whole {
    fn into_whole(self, first: &[u8]) -> Self;
}

impl Whole for (Service, Vec<u8>) {
    fn into_whole(self, first: &[u8]) -> Self {
        (self.0, [first, &self.1].concat())
    }
}

/// An application with one point that only one session can publish to.
fn one_point() -> Bench {
    let mut b = Bench::new();
    let mut owner = None;
    b.publish = Some(Box::new(move |p| {
        if *owner.get_or_insert(p.session) == p.session {
            Answer::Publishing
        } else {
            Answer::Refused(Refusal::Taken)
        }
    }));
    b
}

#[test]
fn the_second_of_two_encoders_is_refused() {
    let mut b = one_point();
    b.slow = true;
    let (one, two) = (b.open(), b.open_from("198.51.100.9:1"));
    b.send(one, setup("0", AUTO));
    b.send(two, setup("0", AUTO));
    // A request that comes too early waits.
    b.send(two, setup("0", AUTO));
    assert_eq!(b.unanswered.len(), 2);
    b.slow = false;
    b.answer_all();
    assert_eq!(b.reply(one).status(), 204);
    let both = String::from_utf8(b.take(two)).unwrap();
    assert_eq!(both.matches("HTTP/1.1 409 Conflict\r\n").count(), 2);
    assert_eq!(b.refused(), [409, 409]);
}

// wmhttp.md 6.3
#[test]
fn an_encoder_that_was_cut_off_begins_anew() {
    let mut b = one_point();
    let (conn, old) = b.streaming();
    // While it streams nobody takes its place.
    assert_eq!(b.ask(setup("0", AUTO)).1.status(), 409);
    b.hang_up(conn);
    let far = b.open_from("198.51.100.9:1");
    b.send(far, setup("0", AUTO));
    assert_eq!(b.reply(far).status(), 409, "another encoder");
    let (conn, reply) = b.ask(setup("0", ""));
    assert_eq!(reply.status(), 204);
    let id = id_of(&reply);
    assert_ne!(id, old);
    assert_eq!(b.ask(start(&old, 9)).1.status(), 404);
    assert_eq!(b.server.session_count(), 1);
    b.send(
        conn,
        [
            start(&id, ENDLESS).into_bytes(),
            header(S1),
            data(P2),
            end(0),
        ]
        .concat(),
    );
    assert_eq!(
        b.published(),
        ["header 326", "packet 1 36", "end 0", "withdrawn false"]
    );
}

// wmhttp.md 6.3
#[test]
fn only_the_same_user_takes_over() {
    let mut b = guarded();
    b.publish = one_point().publish;
    let (conn, reply) = b.ask(with(&setup("0", AUTO), &basic("enc1")));
    let old = id_of(&reply);
    b.send(
        conn,
        [start(&old, ENDLESS).into_bytes(), header(S1)].concat(),
    );
    b.hang_up(conn);
    let far = b.open_from("198.51.100.9:1");
    b.send(far, setup("0", AUTO));
    let asked = id_of(&b.reply(far));
    assert_ne!(asked, old);
    b.send(far, with(&setup(&asked, AUTO), &basic("enc2")));
    assert_eq!(b.reply(far).status(), 409);
    let wrong = "Authorization: Basic ZW5jMTp5\r\n";
    b.send(far, with(&setup(&asked, AUTO), wrong));
    assert_eq!(b.reply(far).status(), 401);
    assert_eq!(b.server.session_count(), 2, "the old one is as it was");
    b.send(far, with(&setup(&asked, AUTO), &basic("enc1")));
    let reply = b.reply(far);
    assert_eq!((reply.status(), &*id_of(&reply)), (204, &*asked));
    assert_eq!(b.server.session_count(), 1);
    // It begins with its header again, from where it is now.
    b.send(
        far,
        [start(&asked, ENDLESS).into_bytes(), data(P1)].concat(),
    );
    assert_eq!(b.reply(far).status(), 400);
}

#[test]
fn an_encoder_that_goes_while_it_is_asked_about_leaves_nothing() {
    let mut b = Bench::new();
    b.slow = true;
    let conn = b.open();
    b.send(conn, setup("0", AUTO));
    b.hang_up(conn);
    b.answer_all();
    assert_eq!(b.ingested, [Ingested::Withdrawn(1, true)]);
    assert_eq!(
        (
            b.server.session_count(),
            b.server.connection_count(),
            b.wake
        ),
        (0, 0, None)
    );
    // One that knows its id may still come back.
    let mut b = guarded();
    let (conn, asked) = b.ask(setup("0", AUTO));
    b.slow = true;
    b.send(conn, with(&setup(&id_of(&asked), AUTO), &basic("enc1")));
    b.hang_up(conn);
    b.answer_all();
    b.slow = false;
    assert_eq!(b.ingested, []);
    let conn = b.open();
    b.send(
        conn,
        [start(&id_of(&asked), ENDLESS).into_bytes(), header(S1)].concat(),
    );
    assert_eq!(b.published(), ["header 326"]);
}

#[test]
fn what_comes_before_the_answer_is_bounded() {
    let mut b = Bench::with(Config {
        compat_unknown_id: true,
        ..config(0, 1)
    });
    b.slow = true;
    let conn = b.open();
    b.send(conn, start("0", ENDLESS));
    b.send(conn, vec![0; 200 * 1024]);
    assert!(b.is_open(conn));
    b.send(conn, vec![0; 100 * 1024]);
    assert_eq!(b.closed[&conn].0, CloseHow::Abort);
    b.answer_all();
    assert_eq!(b.server.session_count(), 0);
}

#[test]
fn drained_or_full() {
    let mut b = Bench::new();
    let (conn, id) = b.set_up();
    b.drain();
    assert_eq!(b.ask(setup("0", AUTO)).1.status(), 503);
    b.send(
        conn,
        [start(&id, ENDLESS).into_bytes(), header(S1)].concat(),
    );
    assert_eq!(b.published(), ["header 326"], "what runs goes on");
    let mut b = Bench::with(Config {
        session_count_max: 1,
        ..config(0, 1)
    });
    b.set_up();
    assert_eq!(b.ask(setup("0", AUTO)).1.status(), 503);
}

#[test]
fn who_is_asked_and_never_answers_costs_little() {
    let mut b = guarded();
    for _ in 0..1100 {
        assert_eq!(b.ask(setup("0", AUTO)).1.status(), 401);
    }
    assert_eq!(b.server.session_count(), 1024);
    // Without an id it still goes.
    let (_, reply) = b.ask(setup("0", AUTO));
    assert_eq!((reply.status(), reply.get("Set-Cookie")), (401, None));
    assert_eq!(
        b.ask(with(&setup("0", AUTO), &basic("enc1"))).1.status(),
        204
    );
    b.sleep(secs(121));
    assert_eq!((b.server.session_count(), b.ingested.len()), (0, 1));
}

#[test]
fn slow_and_quiet_connections_are_closed() {
    let mut b = Bench::new();
    let (slow, quiet) = (b.open(), b.open());
    b.send(slow, &setup("0", AUTO)[..200]);
    b.sleep(secs(10));
    assert_eq!(b.reply(slow).status(), 408);
    assert!(!b.is_open(slow) && b.is_open(quiet));
    b.sleep(secs(50));
    assert!(!b.is_open(quiet));
    assert_eq!((b.server.connection_count(), b.wake), (0, None));
    // One that another took the session from is quiet too.
    let (one, id) = b.set_up();
    let (two, _) = b.ask(setup(&id, AUTO));
    b.sleep(secs(119));
    assert_eq!((b.is_open(one), b.is_open(two)), (false, true));
}
