//! Limits: what is too much is refused with a reason or closed, counted, and does no harm to others;
//! what was taken is given back.

mod support;

use engine::Server;
use engine::ops::metrics::PointTotals;
use protocols::machine::CoreId;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::asf::{Clip, SHORT};
use support::client::*;
use support::*;

/// A minute of 64 kbit/s.
const LONG: Clip = Clip {
    packets: 600,
    ..SHORT
};

const POINTS: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[[point]]
name = "live"
kind = "broadcast"
source = "long.wmv"
cadence = "20ms"
[[point]]
name = "vod"
kind = "on-demand"
source = "."
cadence = "20ms"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
"#;

fn serving(name: &str, more: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("short.wmv"), SHORT.bytes()).expect("a clip");
    std::fs::write(folder.0.join("long.wmv"), LONG.bytes()).expect("a clip");
    let server = start(config(&folder, &format!("{POINTS}{more}")));
    (folder, server)
}

/// A viewer of the broadcast who must not notice anything.
struct Beside(Client, u32);

impl Beside {
    fn new(server: &Server) -> Beside {
        let (mut client, reply) = Client::ask(http(server), &play("/live", None, &[1, 2], ""));
        assert_eq!(reply.status, 200, "{}", reply.head);
        let number = client.data().number;
        Beside(client, number)
    }

    fn goes_on(&mut self) {
        for _ in 0..5 {
            let data = self.0.data();
            assert_eq!(data.number, self.1 + 1, "the viewer beside lost something");
            self.1 = data.number;
        }
    }
}

fn faults(server: &Server) -> u64 {
    let of = |core| server.metrics().core(CoreId(core)).peer_faults.get();
    of(0) + of(1)
}

/// Refusals of a reason, all cores.
fn refused(server: &Server, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    let text = server.metrics().exposition();
    let lines = text
        .lines()
        .filter(|l| !l.starts_with('#') && l.contains(&label));
    lines
        .map(|l| {
            l.rsplit(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0)
        })
        .sum()
}

fn totals(server: &Server, point: &str) -> Option<PointTotals> {
    server
        .metrics()
        .point_totals()
        .into_iter()
        .find(|p| p.point == point)
}

#[test]
fn players_are_limited_for_the_server_and_for_a_point() {
    let more = "[point.limits]\nplayer_connections = 2\n[limits]\nplayer_connections = 4\n";
    let (_folder, server) = serving("limits-players", more);
    let at = http(&server);
    let asked = |path: &str| Client::ask(at, &play(path, None, &[1, 2], ""));
    let mut beside = Beside::new(&server);
    let mut first = asked("/vod/long.wmv");
    let second = asked("/vod/long.wmv");
    assert_eq!((first.1.status, second.1.status), (200, 200));
    // The point is full, the server is not.
    let before = refused(&server, "player_connections");
    for request in [
        play("/vod/short.wmv", None, &[1, 2], ""),
        describe("/vod/short.wmv"),
    ] {
        assert_eq!(Client::ask(at, &request).1.status, 503);
    }
    let plain = request("curl/8", "GET /vod/short.wmv", &[]);
    assert_eq!(
        Client::ask(at, &plain).1.status,
        503,
        "a download is a player too"
    );
    // Asking about the content is not.
    let head = request("curl/8", "HEAD /vod/short.wmv", &[]);
    assert_eq!(Client::ask(at, &head).1.status, 200);
    assert_eq!(refused(&server, "player_connections"), before + 3);
    // Now the server is.
    let other = asked("/live");
    assert_eq!(other.1.status, 200);
    assert_eq!(asked("/live").1.status, 503);
    assert_eq!(refused(&server, "player_connections"), before + 4);
    beside.goes_on();
    // Places come back: by Stop and by leaving, and by the end of a download.
    drop(other);
    until("the place of one who left is free", || {
        asked("/live").1.status == 200
    });
    let id = first.1.client_id();
    first.0.data();
    drop(first);
    drop(second);
    until("a download finds a place", || {
        let (mut client, reply) = Client::ask(at, &plain);
        reply.status == 200 && client.body() == SHORT.bytes()
    });
    until("two have room again", || {
        let (one, two) = (asked("/vod/long.wmv"), asked("/vod/long.wmv"));
        one.1.status == 200 && two.1.status == 200
    });
    assert_ne!(id, 0);
    beside.goes_on();
    server.stop();
}

#[test]
fn bandwidth_is_limited_in_sum_and_for_each() {
    let more = "[point.limits]\nbandwidth_per_player_connection = \"1Mbit/s\"\n\
                [limits]\naggregate_player_bandwidth = \"200kbit/s\"\n";
    let (folder, server) = serving("limits-bandwidth", more);
    let at = http(&server);
    // 64 kbit/s in the file: some less without padding and headers.
    let mut beside = Beside::new(&server);
    let mut held = Vec::new();
    until("the sum is reached", || {
        let (client, reply) = Client::ask(at, &play("/vod/long.wmv", None, &[1, 2], ""));
        assert!([200, 503].contains(&reply.status));
        held.push(client);
        reply.status == 503
    });
    assert!(
        (3..=5).contains(&held.len()),
        "{} of at most 200 kbit/s",
        held.len()
    );
    assert_eq!(refused(&server, "bandwidth"), 1);
    beside.goes_on();
    drop(held);
    until("bandwidth is given back", || {
        Client::ask(at, &play("/vod/long.wmv", None, &[1, 2], ""))
            .1
            .status
            == 200
    });
    // One that is too much by itself.
    let fat = Clip {
        packet_size: 30_000,
        ..SHORT
    };
    std::fs::write(folder.0.join("fat.wmv"), fat.bytes()).expect("a clip");
    let (_, reply) = Client::ask(at, &play("/vod/fat.wmv", None, &[1, 2], ""));
    assert_eq!(reply.status, 503);
    beside.goes_on();
    server.stop();
}

#[test]
fn connects_are_limited_in_number_and_rate() {
    let more = "[limits]\nconnection_rate_per_address = 20\nconnections_per_address = 15\n";
    let (_folder, server) = serving("limits-connects", more);
    let at = http(&server);
    let mut beside = Beside::new(&server);
    let options = request("curl/8", "OPTIONS *", &[]);
    let mut held = Vec::new();
    until("no more connections from one address", || {
        let mut client = Client::connect(at);
        client.send(&options);
        let answered = client.try_reply().is_some();
        held.push(client);
        !answered
    });
    assert!(held.len() <= 15, "{} and the viewer", held.len());
    let refused_for = |reason: &str| refused(&server, reason);
    assert_eq!(refused_for("connections_per_address"), 1);
    beside.goes_on();
    // Another address has its own count.
    let mut other = from(Ipv4Addr::new(127, 0, 0, 2), at);
    other.write_all(options.as_bytes()).expect("written");
    assert_ne!(
        std::io::Read::read(&mut other, &mut [0; 64]).expect("a reply"),
        0
    );
    drop(held);
    // A storm: the rate's worth is taken, the rest is closed.
    until("the rate is reached", || {
        let _ = TcpStream::connect(at);
        refused_for("connection_rate") > 0
    });
    until("the rate recovers", || {
        let mut client = Client::connect(at);
        client.send(&options);
        client.try_reply().is_some_and(|r| r.status == 200)
    });
    beside.goes_on();
    server.stop();
}

/// Connect from another address of this machine.
fn from(local: Ipv4Addr, at: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((local, 0)).into())
        .expect("the address");
    socket.connect(&at.into()).expect("a connection");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

// WMSP-43, WMSP-89
#[test]
fn peers_that_dawdle_are_told_or_closed() {
    let more = "[limits]\nheader_timeout = \"300ms\"\nidle_timeout = \"1s\"\n";
    let (folder, server) = serving("limits-slow", more);
    let at = http(&server);
    let mut beside = Beside::new(&server);
    // One that is quiet from the start is closed without a word. Sessions live 10 s at least.
    let mut quiet = Client::connect(at);
    // A head byte by byte, and a body that stops coming: 408 either way.
    let before = faults(&server);
    let mut drip = Client::connect(at);
    let began = Instant::now();
    let mut head = request(NINE, "GET /live", &["Pragma: no-cache"])
        .into_bytes()
        .into_iter();
    drip.stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a time-out");
    let mut peek = [0];
    while drip.stream.peek(&mut peek).is_err() && began.elapsed() < PATIENCE {
        if let Some(byte) = head.next() {
            let _ = drip.stream.write_all(&[byte]);
        }
    }
    drip.stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out");
    assert_eq!(drip.reply().status, 408);
    assert!(drip.closes());
    let half = request(
        NINE,
        "POST /vod/short.wmv",
        &[
            "Content-Type: application/x-wms-LogStats",
            "Content-Length: 50",
        ],
    );
    let (mut body, reply) = Client::ask(at, &(half + "half of it"));
    assert_eq!(reply.status, 408);
    assert!(body.closes());
    assert_eq!(faults(&server), before + 2, "one record each");
    // A viewer who takes nothing for the idle time, though there is something to take.
    let fat = Clip {
        packet_size: 60_000,
        packets: 100,
        interval: 20,
        ..SHORT
    };
    std::fs::write(folder.0.join("fat.wmv"), fat.bytes()).expect("a clip");
    let mut stalled = Client::narrow(at, 4096);
    stalled.send(&play("/vod/fat.wmv", None, &[1, 2], FAST));
    assert_eq!(stalled.reply().status, 200);
    until("it plays", || {
        totals(&server, "vod").is_some_and(|p| p.connects == 1)
    });
    until("one who takes nothing is let go", || {
        totals(&server, "vod").is_some_and(|p| p.sessions == 0)
    });
    assert!(quiet.closes(), "without a request there is nothing to say");
    beside.goes_on();
    server.stop();
}

#[test]
fn each_kind_of_nonsense_is_one_fault_and_one_answer() {
    let (_folder, server) = serving("limits-nonsense", "");
    let at = http(&server);
    let mut beside = Beside::new(&server);
    let post = |lines: &[&str]| request(NINE, "POST /vod/short.wmv", lines);
    let head_of = |bytes: usize| {
        let line = format!("X-Long: {}", "a".repeat(bytes));
        request(NINE, "GET /vod/short.wmv", &[&line])
    };
    let cases = [
        ("a head over 16 KiB", head_of(17 << 10), 431),
        (
            "a giant body",
            post(&["Content-Length: 18446744073709551615"]),
            413,
        ),
        (
            "a body over the limit",
            post(&["Content-Length: 65537"]),
            413,
        ),
        ("a length that is none", post(&["Content-Length: -1"]), 400),
        (
            "a chunk that is none",
            post(&["Transfer-Encoding: chunked"]) + "zz\r\n",
            400,
        ),
        ("binary", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
        ("no version", "GET /vod/short.wmv\r\n\r\n".to_owned(), 400),
    ];
    for (what, bytes, status) in cases {
        let before = faults(&server);
        let (mut client, reply) = Client::ask(at, &bytes);
        assert_eq!(reply.status, status, "{what}");
        client.body();
        assert!(client.closes(), "{what}");
        assert_eq!(faults(&server), before + 1, "{what}");
    }
    // Just inside of the limits: a request like any other.
    assert_eq!(Client::ask(at, &head_of(15 << 10)).1.status, 200);
    // Wrong, but HTTP: answered and no reason to close.
    let before = faults(&server);
    let mut client = Client::connect(at);
    for (bytes, status) in [
        (request(NINE, "BREW /vod/short.wmv", &[]), 501),
        (
            request(NINE, "POST /vod/short.wmv", &["Content-Length: 0"]),
            400,
        ),
        (of_session("POST /vod/short.wmv", 7, ",xStopStrm=1"), 400),
        (describe("/vod/none.wmv"), 404),
        (
            request("curl/8", "POST /vod/short.wmv", &["Content-Length: 0"]),
            405,
        ),
    ] {
        client.send(&bytes);
        let reply = client.reply();
        assert!([status, 400].contains(&reply.status), "{}", reply.head);
        client.body();
        if reply.header("Connection") == Some("close") {
            client = Client::connect(at);
        }
    }
    assert_eq!(faults(&server), before);
    // Requests without end while one is under way: cut off, once.
    let mut flood = Client::connect(at);
    flood.send(&play(
        "/vod/long.wmv",
        None,
        &[1, 2],
        ",version11-enabled=1",
    ));
    let id = flood.reply().client_id();
    let options = of_session("OPTIONS /vod/long.wmv", id, "").repeat(50);
    until("the flood is cut off", || {
        flood.stream.write_all(options.as_bytes()).is_err()
    });
    assert_eq!(faults(&server), before + 1);
    beside.goes_on();
    server.stop();
}
