//! The client of WMHTTP: bodies of any length, replies in any split, and what goes wrong.

mod wmhttp_client_rig;

use proptest::prelude::*;
use protocols::auth::Password;
use protocols::machine::{CloseHow, Input};
use protocols::media::IngestEvent;
use protocols::wmhttp::client::*;
use std::time::Duration;
use wmhttp_client_rig::*;

/// A packet of `size` bytes with one payload of what is left behind its heads.
fn packet(size: usize) -> Vec<u8> {
    let data = size - 27;
    let mut packet = hex("82 00 00 08 5D 00 00 00 00 00 64 00 81 00 00 00 00 00 08");
    packet.extend((data as u32).to_le_bytes());
    packet.extend([0; 4]);
    packet.resize(size, 0x5A);
    packet
}

/// The synthetic header with another packet size.
fn header(packet_size: u32) -> bytes::Bytes {
    let mut blob = s1().to_vec();
    let at = (0..blob.len() - 8)
        .find(|&at| blob[at..at + 8] == hex("40 00 00 00 40 00 00 00")[..])
        .unwrap();
    blob[at..at + 4].copy_from_slice(&packet_size.to_le_bytes());
    blob[at + 4..at + 8].copy_from_slice(&packet_size.to_le_bytes());
    bytes::Bytes::from(blob)
}

/// What happens to a session in turn.
#[derive(Clone, Debug)]
enum Step {
    Packet(usize),
    Entry,
    Reply,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (27usize..3000).prop_map(Step::Packet),
        1 => Just(Step::Entry),
        2 => Just(Step::Reply),
    ]
}

/// Splits what was written on a connection into requests and their bodies; the last one may be cut.
fn bodies(mut bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let length: usize = line(head, "Content-Length").unwrap().parse().unwrap();
        let rest = &bytes[end..];
        let body = &rest[..length.min(rest.len())];
        found.push((length, body.to_vec()));
        bytes = &rest[body.len()..];
    }
    found
}

proptest! {
    // WMHTTP-36, WMHTTP-39, WMHTTP-40, WMHTTP-41, WMHTTP-42, WMHTTP-43, WMHTTP-45, WMHTTP-53
    #[test]
    fn bodies_are_filled_exactly_and_nothing_is_lost(
        content_length in 1u64..20_000,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let (mut rig, conn) = Rig::established(ClientConfig { content_length, ..config() });
        let first = header(3000);
        rig.header(first.clone());
        let mut want = vec![('H', first.to_vec())];
        for step in steps {
            match step {
                Step::Packet(size) => {
                    let packet = packet(size);
                    rig.client.packet(rig.now, &packet).unwrap();
                    want.push(('D', packet));
                }
                Step::Entry => {
                    rig.entry_end(EntryEnd::More);
                    rig.header(first.clone());
                    want.push(('E', vec![1, 0, 0, 0]));
                    want.push(('C', [&[0; 4], &first[..]].concat()));
                }
                // Nobody asked for it otherwise.
                Step::Reply if rig.deadline.is_some() => rig.reply(conn, NO_CONTENT),
                Step::Reply => {}
            }
            rig.drain();
        }
        rig.finish();
        want.push(('E', vec![0; 4]));
        while !rig.client.is_done() {
            rig.reply(conn, NO_CONTENT);
        }
        prop_assert_eq!(rig.ended(), Some(0));
        let bodies = bodies(&rig.take(conn));
        let (last, whole) = bodies.split_last().unwrap();
        for (length, body) in whole {
            prop_assert_eq!(*length, body.len());
        }
        prop_assert!(last.1.len() <= last.0);
        let mut got = Vec::new();
        for (length, body) in &bodies {
            prop_assert!(*length >= 3 * 3004, "WMHTTP-35");
            // No frame goes over the end of its body: frames() would not come out even.
            got.extend(frames(body).into_iter().filter(|f| f.0 != 'F'));
        }
        prop_assert_eq!(got, want);
        let sent: usize = bodies.iter().map(|b| b.1.len()).sum();
        prop_assert_eq!(rig.client.totals().bytes, sent as u64);
    }

    #[test]
    fn any_reply_is_survived(reply: Vec<u8>, head in "HTTP/1\\.[01] [0-9]{3} ?[a-zA-Z:=/ \r\n0-9-]{0,80}") {
        let mut rig = Rig::new(config());
        rig.header(s1());
        let conn = rig.open();
        for bytes in [head.as_bytes(), &reply, b"\r\n\r\n"] {
            if !bytes.is_empty() && rig.closed.is_empty() {
                rig.input(Input::Data { conn, bytes });
            }
        }
        // It failed, waits, or was sent elsewhere; never is it taken for accepted without a Server.
        prop_assert!(!rig.client.is_established());
    }
}

#[test]
fn replies_are_understood_in_any_split() {
    let unauthorized = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\n\
        WWW-Authenticate: NTLM\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n";
    let run = |piece| {
        let mut rig = Rig::new(ClientConfig {
            credentials: Some(("a".into(), Password::new("b".into()))),
            content_length: 512,
            ..config()
        });
        rig.piece = piece;
        rig.header(s1());
        let conn = rig.open();
        rig.reply(conn, unauthorized);
        rig.reply(conn, NO_CONTENT);
        for _ in 0..5 {
            rig.packet(P1);
        }
        rig.reply(conn, NO_CONTENT);
        rig.finish();
        assert_eq!(rig.ended(), Some(0), "pieces of {piece}");
        rig.take(conn)
    };
    let whole = run(usize::MAX);
    assert!(String::from_utf8_lossy(&whole).contains("Authorization: Basic YTpi\r\n"));
    for piece in 1..40 {
        assert_eq!(run(piece), whole, "pieces of {piece}");
    }
}

/// What the session fails of if this answers its PushSetup.
fn setup_fails(reply: &str) -> (String, Option<Refusal>) {
    let mut rig = Rig::new(config());
    rig.header(s1());
    let conn = rig.open();
    rig.reply(conn, reply);
    let failure = rig.failure().expect(reply).to_owned();
    assert!(rig.client.is_done());
    assert_eq!(rig.closed, [(conn, CloseHow::Abort)], "{reply}");
    (failure, rig.client.refusal())
}

// WMHTTP-48
#[test]
fn other_servers_are_told_apart() {
    for server in ["", "Server: Apache/2.4\r\n", "Server: NotCougar/9.0\r\n"] {
        let reply = format!("HTTP/1.1 204 No Content\r\n{server}Set-Cookie: push-id=1\r\n\r\n");
        let (failure, refusal) = setup_fails(&reply);
        assert!(
            failure.starts_with("not a Windows Media server"),
            "{failure}"
        );
        assert_eq!(refusal, Some(Refusal::Foreign));
    }
    for server in ["Rex/11.0.5721.5145", "Cougar/9.6.7600.16564", "cougar 4.1"] {
        let mut rig = Rig::new(config());
        let conn = rig.open();
        rig.reply(
            conn,
            &format!("HTTP/1.1 200 OK\r\nServer: {server}\r\nContent-Length: 0\r\n\r\n"),
        );
        assert!(rig.client.is_established(), "{server}");
    }
    // Later replies are looked at, too.
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 512,
        ..config()
    });
    rig.header(s1());
    for _ in 0..5 {
        rig.packet(P1);
    }
    rig.reply(conn, "HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n");
    assert_eq!(rig.client.refusal(), Some(Refusal::Foreign));
}

#[test]
fn servers_that_give_no_cookie_and_no_length_are_taken() {
    let mut rig = Rig::new(config());
    rig.header(s1());
    let conn = rig.open();
    rig.take(conn);
    rig.reply(conn, "HTTP/1.1 200 OK\r\nServer: Cougar/9.5\r\n\r\n");
    let (head, body) = rig.request(conn);
    assert_eq!(line(&head, "Cookie"), Some("push-id=0"));
    assert_eq!(letters(&body), "H");
}

#[test]
fn what_is_no_answer_fails_with_its_place() {
    let fails = |reply| setup_fails(reply).0;
    assert_eq!(fails("SSH-2.0-x\r\n\r\n"), "no HTTP reply head");
    assert_eq!(
        fails("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        "status 302 without a Location"
    );
    assert_eq!(
        fails("HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n"),
        "Location https://x/: the scheme is not http"
    );
    assert!(fails("HTTP/1.1 304 Not Modified\r\n\r\n").contains("without a Location"));
    assert_eq!(
        setup_fails("HTTP/1.1 409 Conflict\r\nContent-Length: 9\r\n\r\n"),
        (
            "status 409 to the PushSetup (the publishing point is in use)".to_owned(),
            Some(Refusal::Status(409))
        )
    );
}

#[test]
fn endless_bodies_of_replies_end_the_session() {
    let mut reply = "HTTP/1.1 401 x\r\nContent-Length: 99999\r\n\r\n".to_owned();
    reply += &"x".repeat(70_000);
    assert_eq!(setup_fails(&reply).0, "length of a reply's body");
}

// WMHTTP-46, WMHTTP-47
#[test]
fn rounds_have_an_end() {
    // Redirections.
    let mut rig = Rig::new(config());
    for _ in 0..6 {
        let conn = rig.open();
        rig.reply(
            conn,
            "HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        );
    }
    assert_eq!(rig.failure(), Some("more than 5 redirections"));
    // Wrong passwords, and nonces that are stale ever again.
    let credentials = Some(("a".to_owned(), Password::new("b".into())));
    for (challenge, rounds) in [
        ("Basic realm=\"x\"", 1),
        ("Digest realm=\"x\", nonce=\"n\", qop=\"auth\"", 1),
        ("Digest realm=\"x\", nonce=\"n\", stale=true", 4),
    ] {
        let mut rig = Rig::new(ClientConfig {
            credentials: credentials.clone(),
            ..config()
        });
        let conn = rig.open();
        let mut replies = 0;
        while rig.failure().is_none() {
            replies += 1;
            rig.reply(
                conn,
                &format!(
                    "HTTP/1.1 401 x\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
                ),
            );
        }
        assert_eq!(replies, rounds + 1, "{challenge}");
        assert_eq!(
            rig.failure(),
            Some("the credentials are refused (by the server)")
        );
        assert_eq!(rig.client.refusal(), Some(Refusal::Credentials));
    }
    assert_eq!(
        setup_fails("HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n").0,
        "credentials are asked for (by the server)"
    );
}

// WMHTTP-46
#[test]
fn passwords_do_not_follow_to_another_server() {
    let mut rig = Rig::new(ClientConfig {
        credentials: Some(("a".into(), Password::new("b".into()))),
        ..config()
    });
    let conn = rig.open();
    rig.reply(
        conn,
        "HTTP/1.1 302 x\r\nLocation: http://thief/live/ch1\r\nContent-Length: 0\r\n\r\n",
    );
    let conn = rig.open();
    rig.reply(
        conn,
        "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(
        rig.failure(),
        Some("credentials are asked for (by the server)")
    );
}

// WMHTTP-54
#[test]
fn lost_connections_are_reported() {
    let mut rig = Rig::new(config());
    let conn = rig.connects[0].0;
    rig.hang_up(conn);
    assert_eq!(rig.failure(), Some("no connection to media.example"));

    let mut rig = Rig::new(config());
    let conn = rig.open();
    rig.hang_up(conn);
    assert!(
        rig.failure()
            .unwrap()
            .ends_with("the PushSetup was not answered")
    );

    for content_length in [512, 5000] {
        let (mut rig, conn) = Rig::established(ClientConfig {
            content_length,
            ..config()
        });
        rig.header(s1());
        for _ in 0..5 {
            rig.packet(P1);
        }
        rig.hang_up(conn);
        assert!(
            rig.failure()
                .unwrap()
                .ends_with("the PushStart was not answered")
        );
        assert_eq!(rig.closed, [], "it is not named again");
        assert_eq!(rig.client.packet(rig.now, &hex(P1)), Err(PushFault::Over));
    }
}

#[test]
fn a_kept_connection_that_goes_under_the_second_setup_is_replaced_once() {
    let mut rig = Rig::new(ClientConfig {
        credentials: Some(("a".into(), Password::new("b".into()))),
        ..config()
    });
    let conn = rig.open();
    let basic = "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    rig.reply(conn, basic);
    rig.hang_up(conn);
    assert_eq!(rig.failure(), None);
    let conn = rig.open();
    let (head, _) = rig.request(conn);
    assert!(line(&head, "Authorization").is_some());
    rig.hang_up(conn);
    assert!(rig.failure().is_some());
}

#[test]
fn silence_has_an_end() {
    let half_a_minute = Duration::from_secs(30);
    let mut rig = Rig::new(config());
    rig.wait(half_a_minute);
    assert_eq!(rig.failure(), Some("no connection in 30 s"));
    let mut rig = Rig::new(config());
    rig.open();
    rig.wait(half_a_minute);
    assert_eq!(rig.failure(), Some("no reply to the PushSetup in 30 s"));
    let (mut rig, _) = Rig::established(ClientConfig {
        content_length: 512,
        ..config()
    });
    assert_eq!(rig.deadline, None, "nothing is owed");
    rig.header(s1());
    assert_eq!(rig.deadline, None, "nothing is owed inside a body");
    for _ in 0..5 {
        rig.packet(P1);
    }
    rig.wait(half_a_minute);
    assert_eq!(rig.failure(), Some("no reply to the PushStart in 30 s"));
}

#[test]
fn replies_to_nothing_end_the_session() {
    let (mut rig, conn) = Rig::established(config());
    rig.reply(conn, NO_CONTENT);
    assert_eq!(rig.failure(), Some("a reply to nothing"));
}

/// Some relays answer at once and read on.
#[test]
fn an_early_success_does_not_cut_the_body() {
    let (mut rig, conn) = Rig::established(ClientConfig {
        content_length: 512,
        ..config()
    });
    rig.header(s1());
    rig.reply(conn, NO_CONTENT);
    for _ in 0..4 {
        rig.packet(P1);
    }
    let bodies = bodies(&rig.take(conn));
    assert_eq!(bodies[0].1.len(), 512);
    assert_eq!(letters(&bodies[1].1), "D", "the next one is not waited for");
}

// WMHTTP-39
#[test]
fn what_waits_is_bounded() {
    let mut rig = Rig::new(ClientConfig {
        queue_bytes_max: 100,
        ..config()
    });
    rig.header(s1());
    for _ in 0..3 {
        assert!(rig.client.is_ready());
        rig.packet(P1);
    }
    assert!(!rig.client.is_ready());
    assert_eq!(rig.client.packet(rig.now, &hex(P1)), Err(PushFault::Full));
    assert_eq!(rig.client.queued_bytes(), 3 * 45);
    let conn = rig.open();
    rig.take(conn);
    rig.reply(conn, NO_CONTENT);
    assert!(rig.client.is_ready());
    assert_eq!(letters(&rig.request(conn).1), "HDDD");
}

#[test]
fn damage_is_refused_where_it_is_given() {
    let (mut rig, conn) = Rig::established(config());
    let now = rig.now;
    assert_eq!(rig.client.packet(now, &hex(P1)), Err(PushFault::NoEntry));
    assert_eq!(
        rig.client.entry_end(now, EntryEnd::More),
        Err(PushFault::NoEntry)
    );
    assert!(matches!(
        rig.client.header(now, s1().slice(..300)),
        Err(PushFault::Header(_))
    ));
    rig.header(s1());
    for bad in [&b""[..], &[0x82, 0, 0], &[0; 65]] {
        assert!(matches!(
            rig.client.packet(now, bad),
            Err(PushFault::Packet(_))
        ));
    }
    assert_eq!(letters(&rig.request(conn).1), "H", "nothing of it went out");
}

#[test]
fn a_session_can_be_given_up_at_any_time() {
    let mut rig = Rig::new(config());
    rig.header(s1());
    rig.finish();
    assert_eq!((rig.ended(), rig.closed.len()), (Some(0), 1));
    let (mut rig, conn) = Rig::established(config());
    rig.finish();
    assert_eq!(rig.take(conn), b"", "there is nothing to be ended");
    assert_eq!((rig.ended(), rig.closed.len()), (Some(0), 1));
    rig.finish();
    assert_eq!(
        rig.events
            .iter()
            .filter(|e| matches!(e, IngestEvent::End(_)))
            .count(),
        1
    );
    // Between two entries.
    let (mut rig, conn) = Rig::established(config());
    rig.header(s1());
    rig.entry_end(EntryEnd::More);
    rig.finish();
    assert_eq!(letters(&rig.request(conn).1), "HEE");
}

#[test]
fn nobody_reads_the_push_id_in_a_debug_output() {
    let (rig, _) = Rig::established(config());
    assert!(!format!("{:?}", rig.client).contains("3735928559"));
}
