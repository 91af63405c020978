//! Sessions that span connections of different cores: a request that names a session finds it wherever
//! its connection was accepted, and nothing on the connection is lost on the way.

mod support;

use engine::Server;
use protocols::machine::CoreId;
use std::net::SocketAddr;
use support::asf::{Clip, SHORT, said};
use support::client::*;
use support::*;

const LONG: Clip = Clip {
    packets: 600,
    ..SHORT
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "."
cadence = "20ms"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
"#;

const SHORT_PATH: &str = "/vod/short.wmv";
const LONG_PATH: &str = "/vod/long.wmv";

fn serving(name: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("short.wmv"), SHORT.bytes()).expect("a clip");
    std::fs::write(folder.0.join("long.wmv"), LONG.bytes()).expect("a clip");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

/// The core that a client-id of a server of two cores names.
fn home(client_id: u32) -> u32 {
    client_id >> 31
}

/// A described session on the other core than `conn` was accepted by, and `conn` itself. The core that
/// accepted a connection is known from the session that a Describe on it makes.
fn apart(at: SocketAddr) -> (Client, u32) {
    let (mut near, reply) = Client::ask(at, &describe(SHORT_PATH));
    near.body();
    let here = home(reply.client_id());
    let mut far = None;
    until("both cores accept connections", || {
        let (mut other, reply) = Client::ask(at, &describe(SHORT_PATH));
        other.body();
        far = Some(reply.client_id()).filter(|id| home(*id) != here);
        far.is_some()
    });
    (near, far.expect("a session there"))
}

fn accepts(server: &Server) -> [u64; 2] {
    [0, 1].map(|core| server.metrics().core(CoreId(core)).accepts.get())
}

#[test]
fn any_connection_reaches_any_session() {
    let (_folder, server) = serving("cores-any");
    let at = http(&server);
    for round in 0..12 {
        let (near, id) = apart(at);
        drop(near);
        // The Play comes on yet another connection, whole or in pieces.
        let mut player = Client::connect(at);
        let request = play(SHORT_PATH, Some(id), &[1, 2], FAST);
        let step = if round == 0 { request.len() } else { round * 7 };
        for piece in request.as_bytes().chunks(step) {
            player.send(std::str::from_utf8(piece).expect("ASCII"));
        }
        let reply = player.reply();
        assert_eq!(
            (reply.status, reply.client_id()),
            (200, id),
            "{}",
            reply.head
        );
        assert_eq!(reply.pragma("xResetStrm"), None, "the session was found");
        let (data, end) = player.all_data();
        assert_eq!(data.len() as u32, SHORT.packets);
        for (number, data) in data.iter().enumerate() {
            let original = SHORT.packet(number as u32);
            assert_eq!(said(&data.payload, 800), said(&original, 800));
        }
        assert!(matches!(end, Event::End(0)));
    }
    let accepts = accepts(&server);
    assert!(accepts[0] > 0 && accepts[1] > 0, "{accepts:?}");
    until("connections that left are forgotten", || {
        let totals = server.metrics().totals();
        (totals.sessions, totals.connections) == (0, 0)
    });
    server.stop();
}

/// The connection is at one core because of its first request, and moves because of its second,
/// which is taken up only when the first was answered: nothing new has to come from the client.
#[test]
fn a_connection_moves_between_pipelined_requests() {
    let (_folder, server) = serving("cores-pipelined");
    let at = http(&server);
    for _ in 0..8 {
        let (mut near, id) = apart(at);
        let first = request(NINE, "GET /vod/none.wmv", &["Pragma: no-cache"]);
        let second = play(LONG_PATH, Some(id), &[1, 2], ",version11-enabled=1");
        near.send(&(first + &second));
        let reply = near.reply();
        assert_eq!(reply.status, 404, "{}", reply.head);
        let reply = near.reply();
        assert_eq!(
            (reply.status, reply.client_id()),
            (200, id),
            "{}",
            reply.head
        );
        assert_eq!(near.data().number, 0);
        // What comes now is the new core's to read, every byte of it.
        let stop = of_session(&format!("POST {LONG_PATH}"), id, ",xStopStrm=1");
        for piece in stop.as_bytes().chunks(40) {
            near.send(std::str::from_utf8(piece).expect("ASCII"));
        }
        let (_, end) = near.all_data();
        assert!(matches!(end, Event::Closed), "{end:?}");
        assert_eq!(near.reply().status, 200, "Stop");
        // And the reply to it comes from the session's core, as does the next.
        near.send(&play(SHORT_PATH, Some(id), &[1, 2], FAST));
        assert_eq!(near.reply().client_id(), id);
        let (data, _) = near.all_data();
        assert_eq!(data.len() as u32, SHORT.packets);
    }
    until("connections that left are forgotten", || {
        let totals = server.metrics().totals();
        (totals.sessions, totals.connections) == (0, 0)
    });
    server.stop();
}

/// Back and forth: each request names a session of the other core than the one before.
#[test]
fn a_connection_may_serve_sessions_of_both_cores_in_turn() {
    let (_folder, server) = serving("cores-both");
    let at = http(&server);
    let (mut conn, far) = apart(at);
    let (mut other, near) = loop {
        let (mut other, reply) = Client::ask(at, &describe(SHORT_PATH));
        other.body();
        if home(reply.client_id()) != home(far) {
            break (other, reply.client_id());
        }
    };
    let options = |id: u32| of_session(&format!("OPTIONS {SHORT_PATH}"), id, "");
    for _ in 0..20 {
        for id in [far, near] {
            conn.send(&options(id));
            let reply = conn.reply();
            assert_eq!(
                (reply.status, reply.client_id()),
                (200, id),
                "{}",
                reply.head
            );
        }
    }
    // The same in one write.
    let all: String = (0..6).map(|n| options([far, near][n % 2])).collect();
    other.send(&all);
    for n in 0..6 {
        let reply = other.reply();
        assert_eq!((reply.status, reply.client_id()), (200, [far, near][n % 2]));
    }
    // A session that never was: the request is answered by the core that its id names.
    for unknown in [near ^ 1, far ^ 1] {
        conn.send(&play(SHORT_PATH, Some(unknown), &[1, 2], FAST));
        let reply = conn.reply();
        assert_eq!((reply.status, reply.pragma("xResetStrm")), (200, Some("1")));
        assert_ne!(reply.client_id(), unknown);
        let (data, _) = conn.all_data();
        assert_eq!(data.len() as u32, SHORT.packets);
        for _ in 1..512 {
            assert!(matches!(conn.next(), Event::End(0)));
        }
        conn = Client::connect(at);
    }
    server.stop();
}

/// Places in the limits go with a connection that moves, and come back when it ends.
#[test]
fn a_moved_connection_keeps_its_place_in_the_limits() {
    let folder = Folder::new("cores-places");
    std::fs::write(folder.0.join("short.wmv"), SHORT.bytes()).expect("a clip");
    let limited = format!("{SERVER}[limits]\nconnections_per_address = 30\n");
    let server = start(config(&folder, &limited));
    let at = http(&server);
    // Back and forth so often that one place lost with each move would be all of them.
    for _ in 0..8 {
        let (mut conn, far) = apart(at);
        for _ in 0..4 {
            conn.send(&of_session(&format!("OPTIONS {SHORT_PATH}"), far, ""));
            assert_eq!(conn.reply().status, 200);
            conn.send(&request(NINE, "GET /vod/none.wmv", &["Pragma: no-cache"]));
            assert_eq!(conn.reply().status, 404);
        }
    }
    let mut held = Vec::new();
    until("thirty connections have a place, and no more", || {
        let mut conn = Client::connect(at);
        conn.send(&request("curl/8", "GET /none", &[]));
        if conn.try_reply().is_some() {
            conn.body();
            held.push(conn);
            return false;
        }
        held.len() == 30
    });
    server.stop();
}
