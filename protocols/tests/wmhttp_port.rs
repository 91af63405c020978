//! Encoders on the HTTP port: its machine hands their connections to the one that knows them.

mod wmsp_support;

use protocols::machine::*;
use protocols::wmhttp::server as push;
use wmsp_support::requests::*;
use wmsp_support::*;

const SETUP: &str = "POST /live HTTP/1.1\r\nHost: h\r\nUser-Agent: WMEncoder/12.0\r\n\
    Content-Type: application/x-wms-pushsetup\r\nContent-Length: 16\r\n\r\n";
const BODY: &str = "AutoDestroy: 1\r\n";

// WMHTTP-76
#[test]
fn the_head_alone_decides() {
    for request in [
        SETUP.to_owned(),
        SETUP.replace("pushsetup", "pushstart;charset=UTF-8"),
        SETUP.replace("WMEncoder/12.0", "NSPlayer/12.0"),
        SETUP.replace(
            "Content-Length: 16",
            "Expect: 100-continue\r\nContent-Length: 2147483647",
        ),
        SETUP.replace("Content-Length: 16\r\n", "Transfer-Encoding: chunked\r\n"),
    ] {
        for at in 1..request.len() {
            let mut b = Bench::new();
            let conn = b.open();
            b.send(conn, &request[..at]);
            assert!(b.is_open(conn));
            b.send(conn, &request[at..]);
            assert_eq!(
                b.switched[&conn],
                (Service::Push, request.clone().into_bytes())
            );
            assert_eq!(b.take(conn), b"");
            assert_eq!((b.server.connection_count(), b.wake), (0, None));
        }
    }
}

#[test]
fn what_was_answered_before_is_no_hindrance() {
    let mut b = Bench::new();
    let (conn, reply) = b.ask(get("/pp", "x=1"));
    assert_eq!(reply.status(), 200);
    assert_eq!(b.server.session_count(), 1);
    let whole = format!("{SETUP}{BODY}");
    b.send(conn, &whole);
    assert_eq!(b.switched[&conn], (Service::Push, whole.into_bytes()));
    assert_eq!(
        b.server.session_count(),
        1,
        "its session goes on without it"
    );
    // Both at once: the answer leaves first.
    let conn = b.open();
    b.send(conn, format!("{}{SETUP}", get("/pp", "x=1")));
    assert_eq!(b.reply(conn).status(), 200);
    assert_eq!(b.switched[&conn].1, SETUP.as_bytes());
}

#[test]
fn not_while_a_reply_goes_on() {
    let mut b = Bench::new();
    let (conn, reply) = b.ask(get("/live", "x=1"));
    let id = reply.client_id();
    b.send(
        conn,
        play("/live", &format!("client-id={id}, version11-enabled=1")),
    );
    assert!(b.has_flow(conn));
    b.take(conn);
    b.send(conn, format!("{SETUP}{BODY}"));
    assert!(b.is_open(conn) && b.has_flow(conn));
    assert_eq!(b.refused(), [405]);
}

#[test]
fn there_and_back() {
    let mut http = Bench::new();
    let conn = http.open();
    http.send(conn, format!("{SETUP}{BODY}"));
    let (service, unread) = http.switched.remove(&conn).unwrap();
    assert_eq!(service, Service::Push);
    let config = push::Config::new(CoreId(0), 1, [1; 32]);
    let mut encoders = support::Bench::around(push::Server::new(config));
    let there = encoders.open();
    encoders.send(there, unread);
    assert_eq!(Reply::parse(&encoders.take(there)).status(), 204);
    let describe = get("/pp", "x=1");
    encoders.send(there, &describe);
    let (service, unread) = encoders.switched.remove(&there).unwrap();
    assert_eq!((service, &*unread), (Service::Http, describe.as_bytes()));
    let (_, reply) = http.ask(unread);
    assert_eq!(reply.status(), 200);
}
