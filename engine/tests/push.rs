//! Points that encoders push to: what viewers get, when the encoder goes, comes back, lies, or has no
//! right to be there.

mod support;

use protocols::asf::Packet;
use protocols::wmhttp::frame::Kind;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::asf::{Clip, said};
use support::client::*;
use support::push::{self, ENDLESS, Encoder};
use support::*;

/// Packets every 20 ms, a key frame five times a second.
const SHOW: Clip = Clip {
    packet_size: 1000,
    packets: 10_000,
    interval: 20,
    key_every: 10,
    preroll: 100,
    seed: 21,
};

/// Another programme, of another packet size.
const OTHER: Clip = Clip {
    packet_size: 1200,
    seed: 22,
    ..SHOW
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "studio"
kind = "broadcast"
source = "push:"
cadence = "20ms"
buffer = "4s"
max_accel_bps = "100Mbit/s"
[[point]]
name = "second"
kind = "broadcast"
source = "push:"
cadence = "20ms"
[point.push]
takeover = true
hold = "1s"
template = true
[[point]]
name = "guarded"
kind = "broadcast"
source = "push:"
[point.push.auth]
users = "users.toml"
methods = ["digest", "basic"]
[[point]]
name = "elsewhere"
kind = "broadcast"
source = "push:"
[point.push]
allow = ["192.0.2.0/24"]
[[point]]
name = "filled"
kind = "broadcast"
source = "push:"
cadence = "20ms"
[point.fallback]
source = "slate.wmv"
after = "500ms"
[[point]]
name = "file"
kind = "broadcast"
source = "slate.wmv"
"#;

/// What fills in.
const SLATE: Clip = Clip {
    packet_size: 900,
    packets: 50,
    seed: 23,
    ..SHOW
};

fn serving(name: &str) -> (Folder, engine::Server) {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("slate.wmv"), SLATE.bytes()).expect("a clip");
    std::fs::write(folder.0.join("users.toml"), "").expect("a users file");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

/// An encoder that sends a clip in real time from a thread, until it is told to stop.
struct Show {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Encoder>>,
}

impl Show {
    fn on(encoder: Encoder, clip: Clip) -> Show {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut encoder = encoder;
            let begun = Instant::now();
            for number in 0..clip.packets {
                if told.load(SeqCst) {
                    break;
                }
                let at = Duration::from_millis(u64::from(number * clip.interval));
                std::thread::sleep(at.saturating_sub(begun.elapsed()));
                encoder.packet(&clip.packet(number));
            }
            encoder
        });
        Show {
            stop,
            thread: Some(thread),
        }
    }

    fn begin(at: SocketAddr, path: &str, clip: Clip) -> Show {
        Show::on(Encoder::begin(at, path, &clip.head()), clip)
    }

    /// Stop sending; the connection stays.
    fn stop(mut self) -> Encoder {
        self.halt().expect("it ran")
    }

    fn halt(&mut self) -> Option<Encoder> {
        self.stop.store(true, SeqCst);
        let thread = self.thread.take()?;
        Some(thread.join().expect("the encoder"))
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.halt();
    }
}

/// A viewer, once the stream is there.
fn viewer(at: SocketAddr, path: &str) -> (Client, Reply) {
    let begun = Instant::now();
    loop {
        let (client, reply) = Client::ask(at, &play(path, None, &[1, 2], ""));
        if reply.status == 200 {
            return (client, reply);
        }
        assert_eq!(reply.status, 503, "{}", reply.head);
        assert!(begun.elapsed() < PATIENCE, "the stream never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The next `$D` must be this clip's packet of some number.
fn see(client: &mut Client, clip: Clip) -> u32 {
    let data = client.data();
    let got = said(&data.payload, clip.packet_size);
    let number = got.send / clip.interval;
    assert_eq!(got, said(&clip.packet(number), clip.packet_size));
    number
}

/// Go on until the entry ends, then the header of the next.
fn next_entry(client: &mut Client) -> Vec<u8> {
    let (_, end) = client.all_data();
    assert!(matches!(end, Event::End(1)), "{end:?}");
    first_header(client)
}

/// The header that media begins with.
fn first_header(client: &mut Client) -> Vec<u8> {
    loop {
        match client.next() {
            Event::Header(blob) => return blob,
            Event::Other => {}
            other => panic!("{other:?}"),
        }
    }
}

fn packet_size_of(blob: &[u8]) -> u32 {
    protocols::asf::Header::parse(blob)
        .expect("a header")
        .packet_size()
}

// WMHTTP-85, WMHTTP-86, WMHTTP-108
#[test]
fn what_is_pushed_is_what_viewers_on_every_core_get() {
    let (_folder, server) = serving("push-viewers");
    let at = http(&server);
    let _show = Show::begin(at, "/studio", SHOW);
    let mut homes = BTreeSet::new();
    let mut viewers = Vec::new();
    until("both cores have viewers", || {
        let (client, reply) = viewer(at, "/studio");
        homes.insert(reply.client_id() >> 31);
        viewers.push(client);
        homes.len() == 2 && viewers.len() >= 4
    });
    for client in &mut viewers {
        let first = see(client, SHOW);
        for number in first + 1..first + 60 {
            assert_eq!(see(client, SHOW), number);
        }
    }
}

// WMHTTP-69, WMHTTP-78
#[test]
fn a_second_encoder_is_refused_and_harms_nobody() {
    let (_folder, server) = serving("push-second");
    let at = http(&server);
    let _show = Show::begin(at, "/studio", SHOW);
    let (mut client, _) = viewer(at, "/studio");
    let first = see(&mut client, SHOW);
    let (_, reply) = push::setup(at, "/STUDIO", &[], "");
    assert_eq!(reply.status, 409, "{}", reply.head);
    for number in first + 1..first + 20 {
        assert_eq!(see(&mut client, SHOW), number);
    }
}

// WMHTTP-110
#[test]
fn a_second_encoder_takes_over_where_that_is_wanted() {
    let (_folder, server) = serving("push-takeover");
    let at = http(&server);
    let first = Show::begin(at, "/second", SHOW);
    let (mut client, _) = viewer(at, "/second");
    see(&mut client, SHOW);
    let _second = Show::begin(at, "/second", OTHER);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1200);
    see(&mut client, OTHER);
    // The first one is told.
    let mut first = first.stop();
    let reply = first.client.reply();
    assert!(reply.status >= 400, "{}", reply.head);
}

// WMHTTP-94
#[test]
fn viewers_wait_for_a_lost_encoder_and_go_on_with_the_next() {
    let (_folder, server) = serving("push-lost");
    let at = http(&server);
    let show = Show::begin(at, "/studio", SHOW);
    let (mut client, _) = viewer(at, "/studio");
    see(&mut client, SHOW);
    drop(show.stop());
    // The point is held by the dead session until it has been silent for a while.
    let begun = Instant::now();
    let again = loop {
        let (client, reply) = push::setup(at, "/studio", &[], "");
        if reply.status == 204 {
            let push_id = push::push_id(&reply).expect("a push-id");
            break Encoder { client, push_id };
        }
        assert_eq!(reply.status, 409, "{}", reply.head);
        assert!(begun.elapsed() < PATIENCE, "never free again");
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut again = again;
    again.start("/studio", ENDLESS);
    again.frame(Kind::Header, 0, &OTHER.head());
    let _show = Show::on(again, OTHER);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1200);
    let first = see(&mut client, OTHER);
    assert_eq!(see(&mut client, OTHER), first + 1);
}

// WMHTTP-94, WMHTTP-108: the same session on another connection, which may reach another core.
#[test]
fn a_session_goes_on_over_another_connection() {
    let (_folder, server) = serving("push-resume");
    let at = http(&server);
    let mut first = Encoder::begin(at, "/studio", &SHOW.head());
    for number in 0..20 {
        first.packet(&SHOW.packet(number));
    }
    let (mut client, _) = viewer(at, "/studio");
    let mut seen = see(&mut client, SHOW);
    while seen < 19 {
        seen = see(&mut client, SHOW);
    }
    let push_id = first.push_id.clone();
    // In the middle of a frame.
    first.bytes(&[0x24, 0x44, 0xE8, 0x03, 0x82]);
    drop(first);
    for number in 20..60 {
        let begun = Instant::now();
        let mut next = loop {
            let client = Client::connect(at);
            let mut next = Encoder {
                client,
                push_id: push_id.clone(),
            };
            // One packet and filler make a body of 1,100 bytes: each is a request of its own.
            next.start("/studio", 1100);
            next.packet(&SHOW.packet(number));
            next.frame(Kind::Filler, 0, &[0; 1100 - 1004 - 4]);
            let reply = next.client.reply();
            if reply.status == 204 {
                break next;
            }
            // Until the server has noticed that the first connection is gone.
            assert_eq!((reply.status, number), (409, 20), "{}", reply.head);
            assert!(begun.elapsed() < PATIENCE, "never free again");
            std::thread::sleep(Duration::from_millis(20));
        };
        next.bytes(b"");
        assert_eq!(see(&mut client, SHOW), number);
    }
}

// WMHTTP-87
#[test]
fn an_ended_stream_ends_for_its_viewers() {
    let (_folder, server) = serving("push-end");
    let at = http(&server);
    let show = Show::begin(at, "/studio", SHOW);
    let (mut client, _) = viewer(at, "/studio");
    see(&mut client, SHOW);
    show.stop().end();
    let (_, end) = client.all_data();
    assert!(matches!(end, Event::End(0)), "{end:?}");
    let (_, reply) = Client::ask(at, &play("/studio", None, &[1, 2], ""));
    assert_eq!(reply.status, 503);
}

// WMHTTP-19, WMHTTP-89, WMHTTP-90
#[test]
fn an_encoder_s_entries_are_its_viewers_entries() {
    let (_folder, server) = serving("push-entries");
    let at = http(&server);
    let mut encoder = Encoder::begin(at, "/studio", &SHOW.head());
    for number in 0..30 {
        encoder.packet(&SHOW.packet(number));
    }
    let (mut client, _) = viewer(at, "/studio");
    let mut seen = see(&mut client, SHOW);
    while seen < 29 {
        assert_eq!(see(&mut client, SHOW), seen + 1);
        seen += 1;
    }
    encoder.frame(Kind::End, 1, &[]);
    encoder.frame(Kind::Change, 0, &OTHER.head());
    let _show = Show::on(encoder, OTHER);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1200);
    assert_eq!(see(&mut client, OTHER), 0);
}

#[test]
fn a_fallback_fills_in_before_and_after() {
    let (_folder, server) = serving("push-fallback");
    let at = http(&server);
    // The first who asks waits until the fallback is open.
    let (mut client, reply) = Client::ask(at, &play("/filled", None, &[1, 2], ""));
    assert_eq!(reply.status, 200, "{}", reply.head);
    assert_eq!(packet_size_of(&first_header(&mut client)), 900);
    client.data();
    let show = Show::begin(at, "/filled", SHOW);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1000);
    see(&mut client, SHOW);
    // It stands still; its connection stays.
    let encoder = show.stop();
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 900);
    client.data();
    // It goes on without a word.
    let _show = Show::on(encoder, SHOW);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1000);
    see(&mut client, SHOW);
}

// WMHTTP-08, WMHTTP-09, WMHTTP-70, WMHTTP-71, WMHTTP-109
#[test]
fn a_point_is_made_from_a_template_and_goes_with_its_encoder() {
    let (_folder, server) = serving("push-template");
    let at = http(&server);
    let (_, reply) = push::setup(at, "/new", &[], "AutoDestroy: 1\r\n");
    assert_eq!(reply.status, 404, "{}", reply.head);
    let (_, reply) = push::setup(at, "/new", &[], "Template-URL: \"/studio\"\r\n");
    assert_eq!(reply.status, 403, "not a template: {}", reply.head);
    let directives = "Template-URL: \"/second\"\r\nAutoDestroy: 1\r\n";
    // Names that an operator could not give either.
    let long = format!("/{}", "n".repeat(200));
    for name in ["/new%20one", "/new.nsc", "/n%22ew", "/n%C3%A9w", &long] {
        let (_, reply) = push::setup(at, name, &[], directives);
        assert_eq!(reply.status, 403, "{name}: {}", reply.head);
    }
    let encoder = Encoder::begin_with(at, "/new", &SHOW.head(), directives);
    let show = Show::on(encoder, SHOW);
    let (mut client, _) = viewer(at, "/new");
    see(&mut client, SHOW);
    // Like its template it lets the next encoder take over. It is there: what that one names as a template
    // does not matter.
    let directives = "Template-URL: \"/none\"\r\nAutoDestroy: 1\r\n";
    let next = Encoder::begin_with(at, "/new", &OTHER.head(), directives);
    let next = Show::on(next, OTHER);
    let header = next_entry(&mut client);
    assert_eq!(packet_size_of(&header), 1200);
    see(&mut client, OTHER);
    drop(show);
    next.stop().end();
    client.all_data();
    until("the point is gone", || {
        let (_, reply) = Client::ask(at, &play("/new", None, &[1, 2], ""));
        reply.status == 404
    });
    // A configured point does not go.
    let mut encoder = Encoder::begin_with(at, "/second", &SHOW.head(), "AutoDestroy: 1\r\n");
    encoder.packet(&SHOW.packet(0));
    encoder.end();
    let (_, reply) = Client::ask(at, &play("/second", None, &[1, 2], ""));
    assert_ne!(reply.status, 404);
}

// WMHTTP-64, WMHTTP-66, WMHTTP-68, WMHTTP-70, WMHTTP-77
#[test]
fn who_has_no_right_is_refused() {
    let (_folder, server) = serving("push-rights");
    let at = http(&server);
    let status = |path: &str| push::setup(at, path, &[], "").1.status;
    assert_eq!(status("/elsewhere"), 403);
    assert_eq!(status("/file"), 403);
    assert_eq!(status("/none"), 404);
    assert_eq!(status("/studio/below"), 404);
    let (_, reply) = push::setup(at, "/guarded", &[], "");
    assert_eq!(reply.status, 401);
    assert!(
        reply.head.contains("WWW-Authenticate: Digest"),
        "{}",
        reply.head
    );
    let _show = Show::begin(at, "/studio", SHOW);
    for guess in ["1", "4124758405", "3735928559", "abc", ""] {
        let text = push::request("pushstart", "/studio", guess, ENDLESS, &[]);
        let (_, reply) = Client::ask(at, &text);
        assert!(
            [400, 404].contains(&reply.status),
            "{guess}: {}",
            reply.head
        );
    }
    let (mut client, _) = viewer(at, "/studio");
    let first = see(&mut client, SHOW);
    assert_eq!(see(&mut client, SHOW), first + 1);
}

/// What an encoder may send instead of a stream, and viewers must not notice.
// WMHTTP-62, WMHTTP-85, WMHTTP-86
#[test]
fn lies_cost_the_liar_only() {
    let lies: [(&str, Vec<u8>); 6] = [
        ("garbage", vec![0; 400]),
        ("a header that is none", framed(Kind::Change, &[7; 300])),
        (
            "a header cut short",
            framed(Kind::Change, &OTHER.head()[..200]),
        ),
        ("a packet of one byte", framed(Kind::Data, &[0x82])),
        ("a packet too long", framed(Kind::Data, &[0x82; 60_000])),
        ("a packet that lies", framed(Kind::Data, &[0xFF; 1000])),
    ];
    let (_folder, server) = serving("push-lies");
    let at = http(&server);
    let _show = Show::begin(at, "/studio", SHOW);
    let (mut client, _) = viewer(at, "/studio");
    for (what, lie) in lies {
        let mut liar = Encoder::begin(at, "/second", &SHOW.head());
        liar.packet(&SHOW.packet(0));
        let (mut watching, _) = viewer(at, "/second");
        see(&mut watching, SHOW);
        liar.bytes(&lie);
        for number in 1..10 {
            liar.packet(&SHOW.packet(number));
        }
        let first = see(&mut client, SHOW);
        for number in first + 1..first + 5 {
            assert_eq!(see(&mut client, SHOW), number, "after {what}");
        }
        // Nothing but true packets reaches who watches the liar.
        drop(liar);
        loop {
            match watching.next() {
                Event::Data(data) => {
                    Packet::parse(&data.payload, 1000).expect("a packet");
                }
                Event::End(_) | Event::Closed => break,
                _ => {}
            }
        }
    }
}

fn framed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(protocols::wmhttp::frame::put(kind, 0, payload, &mut bytes));
    bytes
}

#[test]
fn an_encoder_that_stalls_in_a_frame_holds_nobody_up() {
    let (_folder, server) = serving("push-stall");
    let at = http(&server);
    let _show = Show::begin(at, "/studio", SHOW);
    let (mut client, _) = viewer(at, "/studio");
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut socket = std::net::TcpStream::connect(at).expect("a connection");
        let text = push::request("pushsetup", "/second", "0", 1000, &[]);
        socket.write_all(text.as_bytes()).expect("written");
        stalled.push(socket);
    }
    let mut encoder = Encoder::begin(at, "/second", &SHOW.head());
    encoder.bytes(&[0x24, 0x44, 0xE8, 0x03, 0x82, 0]);
    let first = see(&mut client, SHOW);
    for number in first + 1..first + 50 {
        assert_eq!(see(&mut client, SHOW), number);
    }
}
