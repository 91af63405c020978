//! What operators do while players watch: reload, add and remove points over the admin port, drain.

mod support;

use engine::Server;
use engine::ops::config::Config;
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use support::asf::{Clip, SHORT};
use support::client::*;
use support::*;

/// A minute of 64 kbit/s.
const LONG: Clip = Clip {
    packets: 600,
    ..SHORT
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
"#;

const VOD: &str = r#"
[[point]]
name = "vod"
kind = "on-demand"
source = "."
cadence = "20ms"
"#;

const LIVE: &str = r#"
[[point]]
name = "live"
kind = "broadcast"
source = "long.wmv"
cadence = "20ms"
"#;

fn content(name: &str) -> Folder {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("short.wmv"), SHORT.bytes()).expect("a clip");
    std::fs::write(folder.0.join("long.wmv"), LONG.bytes()).expect("a clip");
    folder
}

fn watch(server: &Server, path: &str) -> Client {
    let (client, reply) = Client::ask(
        http(server),
        &play(path, None, &[1, 2], ",version11-enabled=1"),
    );
    assert_eq!(reply.status, 200, "{path}: {}", reply.head);
    client
}

fn status(server: &Server, path: &str) -> u16 {
    Client::ask(http(server), &describe(path)).1.status
}

/// One request to the admin port: status and body.
fn admin(server: &Server, what: &str, body: &str) -> (u16, String) {
    let at = server.addresses().admin.expect("an admin port");
    let length = format!("Content-Length: {}", body.len());
    let (mut client, reply) = Client::ask(at, &(request("test/1", what, &[&length]) + body));
    let body = String::from_utf8(client.body()).expect("text");
    (reply.status, body)
}

fn ends(client: &mut Client) {
    let (_, end) = client.all_data();
    assert!(matches!(end, Event::End(_) | Event::Closed), "{end:?}");
}

#[test]
fn a_reload_ends_sessions_of_what_is_changed_or_gone_and_of_nothing_else() {
    let folder = content("control-reload");
    let second = "[[point]]\nname = \"second\"\nkind = \"on-demand\"\nsource = \".\"\n";
    let server = start(config(&folder, &format!("{SERVER}{VOD}{LIVE}{second}")));
    let mut stays = watch(&server, "/vod/long.wmv");
    let mut changed = watch(&server, "/live");
    let mut gone = watch(&server, "/second/long.wmv");
    let mut last = stays.data().number;
    changed.data();
    gone.data();
    let described = Client::ask(http(&server), &describe("/second/short.wmv"))
        .1
        .client_id();

    let louder = LIVE.replace("20ms", "40ms");
    let report = server
        .reload(config(&folder, &format!("{SERVER}{VOD}{louder}")))
        .expect("a reload");
    assert_eq!(
        (&*report.replaced, &*report.removed),
        (&["live".to_owned()][..], &["second".to_owned()][..])
    );
    assert!(report.added.is_empty() && report.needs_restart.is_empty());
    ends(&mut changed);
    ends(&mut gone);
    until("their sessions are over", || {
        server.metrics().totals().sessions == 1
    });
    assert_eq!(status(&server, "/second/short.wmv"), 404);
    // What was described under the point can no longer be played.
    let (_, reply) = Client::ask(
        http(&server),
        &play("/second/short.wmv", Some(described), &[1, 2], ""),
    );
    assert_eq!(reply.status, 404, "{}", reply.head);
    // The changed one works under its name.
    watch(&server, "/live").data();
    for _ in 0..20 {
        let number = stays.data().number;
        assert_eq!(number, last + 1, "an unchanged point goes on");
        last = number;
    }

    // Sections that cannot be changed are named; limits can.
    let other =
        format!("{SERVER}{VOD}{louder}[limits]\nplayer_connections = 1\n[log]\njson = false\n");
    let report = server.reload(config(&folder, &other)).expect("a reload");
    assert_eq!(report.needs_restart, ["log"]);
    let (_, reply) = Client::ask(http(&server), &play("/vod/short.wmv", None, &[1, 2], ""));
    assert_eq!(reply.status, 503, "the new limit holds");
    let text = format!("{SERVER}{VOD}colour = \"red\"\n");
    let error = Config::parse(&text, &folder.0.join("test.toml")).expect_err("an unknown key");
    assert!(error.to_string().contains("colour"), "{error}");
    assert_eq!(stays.data().number, last + 1);
    server.stop();
}

/// A body of a known length that breaks off ends with its connection: nobody takes it for whole.
#[test]
fn a_download_of_a_point_that_goes_is_seen_to_break_off() {
    let folder = content("control-download");
    let big = Clip {
        packet_size: 8000,
        packets: 2000,
        ..SHORT
    };
    std::fs::write(folder.0.join("big.wmv"), big.bytes()).expect("a clip");
    let server = start(config(&folder, &format!("{SERVER}{VOD}")));
    let mut saver = Client::narrow(http(&server), 4096);
    saver.send(&request("curl/8", "GET /vod/big.wmv", &[]));
    let whole = saver
        .reply()
        .header("Content-Length")
        .and_then(|n| n.parse::<usize>().ok());
    let mut got = saver.part(10_000).len();
    server.reload(config(&folder, SERVER)).expect("a reload");
    let mut rest = Vec::new();
    let _ = saver.stream.read_to_end(&mut rest);
    got += rest.len();
    assert_eq!(whole, Some(big.bytes().len()));
    assert!(Some(got) < whole, "{got} of {whole:?}");
    until("the session is over", || {
        server.metrics().totals().sessions == 0
    });
    server.stop();
}

#[test]
fn points_come_and_go_over_the_admin_port() {
    let folder = content("control-admin");
    let server = start(config(&folder, &format!("{SERVER}{VOD}")));
    let mut stays = watch(&server, "/vod/long.wmv");
    let mut last = stays.data().number;
    assert_eq!(admin(&server, "GET /readyz", "").0, 200);
    assert_eq!(admin(&server, "GET /healthz", "").0, 200);
    assert_eq!(admin(&server, "GET /api/points/radio", "").0, 404);

    let radio = "kind = \"broadcast\"\nsource = \"long.wmv\"\ncadence = \"20ms\"\n";
    let (created, body) = admin(&server, "PUT /api/points/radio", radio);
    assert_eq!(created, 201, "{body}");
    let (_, body) = admin(&server, "GET /api/points/radio", "");
    assert!(body.contains("\"idle\""), "nobody listens yet: {body}");
    let mut listener = watch(&server, "/radio");
    listener.data();
    let (_, body) = admin(&server, "GET /api/points/radio", "");
    assert!(
        body.contains("\"running\"") && body.contains("\"sessions\": 1"),
        "{body}"
    );
    let (_, metrics) = admin(&server, "GET /metrics", "");
    assert!(
        metrics.contains("point=\"radio\""),
        "its counters are shown"
    );
    // The same again changes nothing.
    let (same, body) = admin(&server, "PUT /api/points/radio", radio);
    assert!(same == 200 && body.contains("unchanged"), "{body}");
    listener.data();
    // Nonsense changes nothing either.
    for wrong in [
        "kind = \"broadcast\"\n",
        "kind = \"podcast\"\nsource = \"long.wmv\"\n",
        "kind = \"broadcast\"\nsource = \".\"\n",
        "not TOML at all {",
    ] {
        let (status, body) = admin(&server, "PUT /api/points/radio", wrong);
        assert!([400, 422].contains(&status), "{wrong}: {status} {body}");
        listener.data();
    }
    let browser = request(
        "Mozilla/5.0",
        "DELETE /api/points/radio",
        &["Origin: http://evil.test"],
    );
    let (_, reply) = Client::ask(server.addresses().admin.expect("a port"), &browser);
    assert_eq!(reply.status, 403, "not from web pages");
    listener.data();

    assert_eq!(admin(&server, "DELETE /api/points/radio", "").0, 200);
    ends(&mut listener);
    assert_eq!(admin(&server, "DELETE /api/points/radio", "").0, 404);
    until("its name is unknown", || status(&server, "/radio") == 404);
    for _ in 0..10 {
        let number = stays.data().number;
        assert_eq!(number, last + 1, "the others go on");
        last = number;
    }
    server.stop();
}

#[test]
fn a_drain_takes_nobody_in_and_lets_everybody_finish() {
    let folder = content("control-drain");
    let server = Arc::new(start(config(&folder, &format!("{SERVER}{VOD}"))));
    let at = http(&server);
    let mut waits = Client::connect(at);
    waits.send(&request("curl/8", "HEAD /vod/short.wmv", &[]));
    assert_eq!(waits.reply().status, 200);
    waits.no_body();
    // Two seconds of media.
    let mut finishes = watch(&server, "/vod/short.wmv");
    finishes.data();
    let draining = {
        let server = Arc::clone(&server);
        std::thread::spawn(move || server.drain(PATIENCE))
    };
    until("the listeners are closed", || {
        TcpStream::connect(at).is_err()
    });
    assert_eq!(
        admin(&server, "GET /readyz", "").0,
        503,
        "a balancer sends nobody any more"
    );
    assert_eq!(admin(&server, "GET /healthz", "").0, 200, "but it is well");
    // A connection that is open already gets no new session.
    waits.send(&describe("/vod/short.wmv"));
    assert_eq!(waits.reply().status, 503);
    let (status, _) = admin(
        &server,
        "PUT /api/points/late",
        "kind = \"on-demand\"\nsource = \".\"\n",
    );
    assert_eq!(status, 503, "nor a new point");
    let (data, end) = finishes.all_data();
    assert_eq!(data.len() as u32 + 1, SHORT.packets, "to the end");
    assert!(matches!(end, Event::End(0)));
    draining.join().expect("drained");
    assert_eq!(server.metrics().totals().sessions, 0);
}

#[test]
fn a_drain_without_patience_says_goodbye() {
    let folder = content("control-impatient");
    let server = start(config(&folder, &format!("{SERVER}{VOD}{LIVE}")));
    let mut viewers = [watch(&server, "/vod/long.wmv"), watch(&server, "/live")];
    for viewer in &mut viewers {
        viewer.data();
    }
    server.drain(Duration::ZERO);
    for viewer in &mut viewers {
        let (_, end) = viewer.all_data();
        assert!(matches!(end, Event::End(_)), "{end:?}");
        assert!(
            matches!(viewer.next(), Event::Closed),
            "the body is ended too"
        );
    }
}
