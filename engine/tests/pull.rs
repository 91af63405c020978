//! Broadcasts whose source is another server: an origin and a relay in one process.

mod support;

use engine::Server;
use engine::ops::metrics::Metrics;
use protocols::msbd::wire::{Described, Message, Packet, ResConnect, StreamInfo};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::asf::{Clip, PICTURE, SMALL, SOUND, Said, said};
use support::client::*;
use support::*;

/// Half a second: a test sees many turns.
const BRIEF: Clip = Clip {
    packet_size: 1500,
    packets: 25,
    interval: 20,
    key_every: 5,
    preroll: 100,
    seed: 3,
};

/// An origin that broadcasts the clip.
fn origin(folder: &Folder, extra: &str) -> Server {
    let text = format!(
        "[server]\ncores = 1\n[listen]\nhttp = [\"127.0.0.1:0\"]\nmms = [\"127.0.0.1:0\"]\n\
         rtsp = [\"127.0.0.1:0\"]\n[[point]]\nname = \"live\"\nkind = \"broadcast\"\n\
         source = \"live.wmv\"\ncadence = \"20ms\"\nbuffer = \"4s\"\n{extra}"
    );
    start(config(folder, &text))
}

/// The way to an origin's ports, which can be cut and lead to another origin later.
struct Wire {
    at: [SocketAddr; 3],
    far: Arc<Mutex<Option<[SocketAddr; 3]>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(origin: &Server) -> Wire {
        let far = Arc::new(Mutex::new(Some(ports(origin))));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let at = [0, 1, 2].map(|port| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let at = listener.local_addr().expect("an address");
            let (far, open) = (Arc::clone(&far), Arc::clone(&open));
            std::thread::spawn(move || {
                for near in listener.incoming().flatten() {
                    let to = *far.lock().expect("lock");
                    if let Some(far) = to.and_then(|to| TcpStream::connect(to[port]).ok()) {
                        let copy = |s: &TcpStream| s.try_clone().expect("a descriptor");
                        open.lock().expect("lock").extend([copy(&near), copy(&far)]);
                        carry(copy(&near), copy(&far));
                        carry(far, near);
                    }
                }
            });
            at
        });
        Wire { at, far, open }
    }

    fn urls(&self) -> [String; 3] {
        let [http, mms, rtsp] = self.at;
        [
            format!("http://{http}/live"),
            format!("mms://{mms}/live"),
            format!("rtsp://{rtsp}/live"),
        ]
    }

    /// The origin is gone, and with it what was on the way.
    fn cut(&self) {
        *self.far.lock().expect("lock") = None;
        for stream in self.open.lock().expect("lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lead_to(&self, origin: &Server) {
        *self.far.lock().expect("lock") = Some(ports(origin));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn ports(origin: &Server) -> [SocketAddr; 3] {
    let at = origin.addresses();
    [at.http[0], at.mms[0], at.rtsp[0]]
}

/// A relay with one point.
fn relay(folder: &Folder, source: &str, extra: &str) -> Server {
    let text = format!(
        "[server]\ncores = 2\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[[point]]\nname = \"relay\"\n\
         kind = \"broadcast\"\nsource = \"{source}\"\ncadence = \"20ms\"\nbuffer = \"4s\"\n{extra}"
    );
    start(config(folder, &text))
}

fn serving(name: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("live.wmv"), BRIEF.bytes()).expect("a clip");
    let server = origin(&folder, "");
    (folder, server)
}

/// URLs of the origin's broadcast.
fn urls(origin: &Server) -> [String; 3] {
    let at = origin.addresses();
    [
        format!("http://{}/live", at.http[0]),
        format!("mms://{}/live", at.mms[0]),
        format!("rtsp://{}/live", at.rtsp[0]),
    ]
}

/// What the packet with this send time must say: the file's, moved on by the turns before it.
fn on_timeline(send: u32, packet: impl Fn(u32) -> Vec<u8>) -> Said {
    let number = send / BRIEF.interval;
    let shift = number / BRIEF.packets * BRIEF.packets * BRIEF.interval;
    let mut want = said(&packet(number % BRIEF.packets), BRIEF.packet_size);
    want.send += shift;
    for payload in &mut want.payloads {
        payload.shown = payload.shown.map(|at| at + shift);
    }
    want
}

fn watch(relay: &Server) -> (Client, Reply) {
    Client::ask(http(relay), &play("/relay", None, &[1, 2], ""))
}

fn status(relay: &Server) -> u16 {
    watch(relay).1.status
}

/// The value of a sample of the relay's point.
fn sample(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.exposition();
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(&format!("ringcast_source_{name} ")));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().expect("a number")
}

fn of_relay(relay: &Server, name: &str) -> u64 {
    sample(relay.metrics(), &format!("{name}{{point=\"relay\"}}"))
}

fn is_in_state(relay: &Server, state: &str) -> bool {
    let name = format!("state{{point=\"relay\",state=\"{state}\"}}");
    sample(relay.metrics(), &name) == 1
}

/// Packets of the relay are the origin's, none missing.
fn check_packets(player: &mut Client, count: u32, packet: impl Fn(u32) -> Vec<u8>) {
    let first = player.data();
    let mut last = said(&first.payload, BRIEF.packet_size);
    let mut number = first.number;
    for _ in 0..count {
        let data = player.data();
        number += 1;
        assert_eq!(data.number, number, "no gap in the numbers");
        let got = said(&data.payload, BRIEF.packet_size);
        assert_eq!(got.send, last.send + BRIEF.interval, "no gap in time");
        assert_eq!(got, on_timeline(got.send, &packet));
        last = got;
    }
}

#[test]
fn packets_are_the_origins_over_every_protocol() {
    let (folder, origin) = serving("pull-same");
    for url in urls(&origin) {
        let relay = relay(&folder, &url, "");
        let (mut player, reply) = watch(&relay);
        assert_eq!(reply.status, 200, "{url}");
        // More than three turns of the file.
        check_packets(&mut player, 80, |n| BRIEF.packet(n));
        assert!(is_in_state(&relay, "live"), "{url}");
        assert_eq!(of_relay(&relay, "attempts_total"), 1);
        assert_eq!(of_relay(&relay, "entries_total"), 1);
        assert_eq!(of_relay(&relay, "damaged_total"), 0);
        assert!(of_relay(&relay, "packets_total") > 80);
        relay.stop();
    }
    origin.stop();
}

// WMSP-99
#[test]
fn every_stream_of_several_rates_comes() {
    let folder = Folder::new("pull-rates");
    std::fs::write(folder.0.join("live.wmv"), BRIEF.bytes_of_several_rates()).expect("a clip");
    let origin = origin(&folder, "");
    let relays = urls(&origin).map(|url| (relay(&folder, &url, ""), url));
    for (relay, url) in &relays {
        let all = [PICTURE, SOUND, SMALL];
        let (mut player, reply) = Client::ask(http(relay), &play("/relay", None, &all, ""));
        assert_eq!(reply.status, 200, "{url}");
        check_packets(&mut player, 60, |n| BRIEF.packet_of_several_rates(n));
        // A player of ours chooses as it would at the origin.
        let (mut player, _) = Client::ask(http(relay), &play("/relay", None, &[SOUND, SMALL], ""));
        for _ in 0..30 {
            let data = player.data();
            let packet = said(&data.payload, BRIEF.packet_size);
            let streams: Vec<u8> = packet.payloads.iter().map(|p| p.stream).collect();
            assert!(
                streams.iter().all(|s| [SOUND, SMALL].contains(s)),
                "{streams:?}"
            );
        }
        relay.stop();
    }
    origin.stop();
}

/// What the origin sends in a rush becomes the relay's past; its viewers get it at their own pace.
// BW-54
#[test]
fn a_burst_of_the_origin_hurries_only_who_asks() {
    let (folder, origin) = serving("pull-burst");
    for url in urls(&origin) {
        let relay = relay(&folder, &url, "max_accel_bps = \"100Mbit/s\"\n");
        let (mut calm, reply) = watch(&relay);
        assert_eq!(reply.status, 200, "{url}");
        let (mut hasty, reply) = Client::ask(http(&relay), &play("/relay", None, &[1, 2], FAST));
        let span = reply.pragma("AccelDuration").and_then(|v| v.parse().ok());
        // So soon there would be no past if it had come in real time.
        assert!(span >= Some(2000u32), "{url}: {}", reply.head);
        assert!(hasty.data().hurried, "{url}");
        for _ in 0..100 {
            assert!(!calm.data().hurried, "{url}");
        }
        relay.stop();
    }
    origin.stop();
}

#[test]
fn a_source_is_fetched_while_somebody_watches() {
    let (folder, origin) = serving("pull-demand");
    let relays = urls(&origin).map(|url| relay(&folder, &url, ""));
    let sessions = || origin.metrics().totals().sessions;
    for relay in &relays {
        assert!(is_in_state(relay, "idle"));
        assert_eq!(of_relay(relay, "attempts_total"), 0, "nobody has asked yet");
    }
    for relay in &relays {
        let (mut player, reply) = watch(relay);
        assert_eq!(reply.status, 200);
        player.data();
    }
    assert_eq!(sessions(), 3);
    // The players have gone.
    for relay in &relays {
        until("the source is let go", || is_in_state(relay, "idle"));
    }
    until("the origin was told", || sessions() == 0);
    for relay in &relays {
        assert_eq!(of_relay(relay, "losses_total"), 0);
        let (mut player, reply) = watch(relay);
        assert_eq!(reply.status, 200);
        player.data();
        assert_eq!(of_relay(relay, "attempts_total"), 2);
        assert_eq!(of_relay(relay, "entries_total"), 2);
        relay.stop();
    }
    origin.stop();
}

/// What a viewer of an old player, which goes on by itself, gets up to the next header, and then a packet.
fn sees_next_entry(player: &mut Player, what: &str) {
    loop {
        match player.next() {
            Event::Header(_) => break,
            Event::Data(_) | Event::Other => {}
            other => panic!("{what}: {other:?} instead of a new entry"),
        }
    }
    player.data();
}

#[test]
fn viewers_wait_for_an_origin_that_was_lost() {
    let (folder, first) = serving("pull-lost");
    let wire = Wire::to(&first);
    let places = wire.urls();
    let relays = places
        .each_ref()
        .map(|url| relay(&folder, url, "[point.pull]\nretry_max = \"1s\"\n"));
    let mut players: Vec<Player> = relays
        .iter()
        .map(|relay| {
            let mut player = Player::play(http(relay), "/relay", &[1, 2], "");
            player.header();
            player.data();
            player
        })
        .collect();
    wire.cut();
    first.stop();
    for relay in &relays {
        until("the loss is noticed", || is_in_state(relay, "lost"));
        until("it is asked again", || {
            of_relay(relay, "attempts_total") >= 2
        });
    }
    let second = origin(&folder, "");
    wire.lead_to(&second);
    for ((player, relay), url) in players.iter_mut().zip(&relays).zip(&places) {
        sees_next_entry(player, url);
        assert!(is_in_state(relay, "live"));
        assert_eq!(of_relay(relay, "entries_total"), 2, "{url}");
        assert_eq!(of_relay(relay, "losses_total"), 1, "{url}");
        relay.stop();
    }
    second.stop();
}

#[test]
fn an_end_is_an_end_unless_the_point_runs_always() {
    let (folder, first) = serving("pull-end");
    let wire = Wire::to(&first);
    let places = wire.urls();
    let brief = "[point.pull]\nretry_max = \"1s\"\n";
    let watched = places.each_ref().map(|url| relay(&folder, url, brief));
    let always = places
        .each_ref()
        .map(|url| relay(&folder, url, &format!("always = true\n{brief}")));
    for relay in &always {
        // Without a single viewer.
        until("it comes by itself", || is_in_state(relay, "live"));
    }
    let begin = |relay: &Server| {
        let mut player = Player::play(http(relay), "/relay", &[1, 2], "");
        player.header();
        player.data();
        player
    };
    let enders: Vec<Player> = watched.iter().map(begin).collect();
    let mut waiters: Vec<Player> = always.iter().map(begin).collect();
    first.drain(Duration::from_millis(100));
    wire.far.lock().expect("lock").take();
    for (player, url) in enders.into_iter().zip(&places) {
        let events = player.rest();
        assert!(
            matches!(events.last(), Some(Event::End(0))),
            "{url}: {:?}",
            events.last()
        );
    }
    for relay in &watched {
        assert_eq!(status(relay), 503, "nothing is there any more");
    }
    let second = origin(&folder, "");
    wire.lead_to(&second);
    for (player, url) in waiters.iter_mut().zip(&places) {
        sees_next_entry(player, url);
    }
    for relay in &watched {
        until("viewers are let in again", || status(relay) == 200);
        relay.stop();
    }
    always.iter().for_each(Server::stop);
    second.stop();
}

#[test]
fn a_point_that_goes_lets_its_source_go() {
    let (folder, origin) = serving("pull-gone");
    let [url, ..] = urls(&origin);
    let relay = relay(&folder, &url, "always = true\n");
    let sessions = || origin.metrics().totals().sessions;
    until("the source is fetched", || sessions() == 1);
    let rest = "[server]\ncores = 2\n[listen]\nhttp = [\"127.0.0.1:0\"]\n";
    relay.reload(config(&folder, rest)).expect("a reload");
    until("the source is let go", || sessions() == 0);
    assert_eq!(status(&relay), 404);
    relay.stop();
    origin.stop();
}

/// An encoder that sends its clip once and ends when it is told to.
fn msbd_encoder(end: mpsc::Receiver<()>) -> Stranger {
    let end = Arc::new(Mutex::new(end));
    Stranger::new(move |mut stream| {
        let mut request = [0; 256];
        let _ = stream.read(&mut request);
        assert_eq!(request[..4], *b"MSB ");
        let header = BRIEF.head();
        let packets: Vec<_> = (0..BRIEF.packets).map(|n| BRIEF.packet(n)).collect();
        let info = StreamInfo {
            stream_id: 5,
            packet_size: BRIEF.packet_size as u16,
            header: &header,
            ..StreamInfo::default()
        };
        let mut messages = vec![
            Message::ResConnect(ResConnect::accepted(None, false)),
            Message::IndStreamInfo(Described::Stream(info)),
        ];
        messages.extend(packets.iter().zip(70..).map(|(payload, id)| {
            Message::IndPacket(Packet {
                id,
                stream_id: 5,
                payload,
            })
        }));
        let mut say = |message: &Message<'_>| {
            let bytes = message.bytes().expect("it fits");
            stream.write_all(&bytes).expect("the relay reads");
        };
        messages.iter().for_each(&mut say);
        let _ = end.lock().expect("lock").recv();
        say(&Message::IndEos);
        say(&Message::IndStreamInfo(Described::Empty(0)));
        hold(stream);
    })
}

// MSBD-57, MSBD-59
#[test]
fn an_encoder_is_fetched_over_msbd() {
    let (done, end) = mpsc::channel();
    let encoder = msbd_encoder(end);
    let folder = Folder::new("pull-msbd");
    let relay = relay(&folder, &format!("msbd://{}", encoder.at), "");
    let mut player = Player::play(http(&relay), "/relay", &[1, 2], "");
    player.header();
    let first = said(&player.data().payload, BRIEF.packet_size).send;
    for send in (first + BRIEF.interval..).step_by(BRIEF.interval as usize) {
        let packet = said(&player.data().payload, BRIEF.packet_size);
        assert_eq!(packet, on_timeline(send, |n| BRIEF.packet(n)));
        if send == (BRIEF.packets - 1) * BRIEF.interval {
            break;
        }
    }
    assert_eq!(of_relay(&relay, "packets_total"), u64::from(BRIEF.packets));
    done.send(()).expect("the encoder waits");
    assert!(matches!(player.rest().last(), Some(Event::End(0))));
    relay.stop();
}

/// Accepts, and does something with what it accepted.
struct Stranger {
    at: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Stranger {
    fn new(act: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> Stranger {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let at = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, SeqCst);
                let act = act.clone();
                std::thread::spawn(move || act(stream));
            }
        });
        Stranger { at, accepted }
    }

    fn urls(&self) -> [String; 3] {
        ["http", "mms", "rtsp"].map(|scheme| format!("{scheme}://{}/live", self.at))
    }
}

/// Keep a connection until the other side closes it.
fn hold(mut stream: TcpStream) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink), Ok(n) if n > 0) {}
}

#[test]
fn an_origin_that_says_nothing_is_given_up() {
    let stranger = Stranger::new(hold);
    let folder = Folder::new("pull-silent");
    let brief = "[point.pull]\nsilence = \"1s\"\nretry_max = \"1s\"\n";
    for url in stranger.urls() {
        let relay = relay(&folder, &url, brief);
        assert_eq!(status(&relay), 503, "{url}");
        assert!(of_relay(&relay, "attempts_total") >= 1);
        assert_eq!(of_relay(&relay, "entries_total"), 0);
        until("it rests", || is_in_state(&relay, "idle"));
        relay.stop();
    }
    assert!(stranger.accepted.load(SeqCst) >= 3);
}

/// Viewers who come again and again do not become requests to an origin in trouble.
#[test]
fn an_origin_that_refuses_is_not_stormed() {
    let folder = Folder::new("pull-refused");
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    for scheme in ["http", "mms", "rtsp"] {
        let url = format!("{scheme}://127.0.0.1:{port}/live");
        let begun = Instant::now();
        let relay = relay(&folder, &url, "");
        for _ in 0..50 {
            assert_eq!(status(&relay), 503, "{url}");
        }
        // Pauses are three quarters of a second at least.
        let most = 1 + begun.elapsed().as_millis() as u64 / 750;
        let attempts = of_relay(&relay, "attempts_total");
        assert!((1..=most).contains(&attempts), "{attempts} attempts");
        relay.stop();
    }
}

#[test]
fn what_is_wrong_is_told_to_the_operator() {
    let (folder, origin) = serving("pull-told");
    let [url, ..] = urls(&origin);
    let nowhere = url.replace("/live", "/none");
    let text = format!(
        "[server]\ncores = 1\n[listen]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[point]]\nname = \"relay\"\nkind = \"broadcast\"\nsource = \"{nowhere}\"\n"
    );
    let relay = start(config(&folder, &text));
    assert_eq!(status(&relay), 503);
    let admin = relay.addresses().admin.expect("an admin port");
    let ask = "GET /api/points/relay HTTP/1.0\r\n\r\n";
    let (mut client, reply) = Client::ask(admin, ask);
    assert_eq!(reply.status, 200);
    let told: serde_json::Value = serde_json::from_slice(&client.body()).expect("JSON");
    let why = "status 404 in the reply to Describe";
    assert_eq!(told["state"], "failed");
    assert_eq!(
        (&told["error"], &told["input"]["last_error"]),
        (&why.into(), &why.into())
    );
    assert_eq!(told["input"]["attempts"], 1);
    assert_eq!(told["input"]["packets"], 0);
    relay.stop();
    origin.stop();
}

// WMSP-104
#[test]
fn a_guarded_origin_is_given_the_password() {
    let folder = Folder::new("pull-guarded");
    std::fs::write(folder.0.join("live.wmv"), BRIEF.bytes()).expect("a clip");
    let users = folder.0.join("users.toml");
    engine::policy::users::set_password(&users, "edge", "r", "secret", [1; 16]).expect("a user");
    std::fs::write(folder.0.join("right"), "secret\nmore\n").expect("a file");
    std::fs::write(folder.0.join("wrong"), "guess\n").expect("a file");
    let auth = |methods: &str| {
        format!("[point.auth]\nusers = \"users.toml\"\nrealm = \"r\"\nmethods = [{methods}]\n")
    };
    let pull = |file: &str| format!("[point.pull]\nuser = \"edge\"\npassword_file = \"{file}\"\n");
    for methods in ["\"digest\"", "\"basic\""] {
        let origin = origin(&folder, &auth(methods));
        for url in urls(&origin) {
            // MMS has nothing of Digest.
            if url.starts_with("mms") && methods.contains("digest") {
                continue;
            }
            let knows = relay(&folder, &url, &pull("right"));
            let (mut player, reply) = watch(&knows);
            assert_eq!(reply.status, 200, "{url} {methods}");
            check_packets(&mut player, 30, |n| BRIEF.packet(n));
            knows.stop();
            for table in [pull("wrong"), pull("missing"), String::new()] {
                let guesses = relay(&folder, &url, &table);
                assert_eq!(status(&guesses), 503, "{url} {methods} {table}");
                guesses.stop();
            }
        }
        origin.stop();
    }
}

/// Answers every request with a redirection.
fn redirecting(to: String) -> Stranger {
    Stranger::new(move |mut stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
        hold(stream);
    })
}

// WMSP-105
#[test]
fn redirections_are_followed_but_not_in_circles() {
    let (folder, origin) = serving("pull-moved");
    let [url, ..] = urls(&origin);
    let stranger = redirecting(url);
    let [moved, ..] = stranger.urls();
    let follows = relay(&folder, &moved, "");
    let (mut player, reply) = watch(&follows);
    assert_eq!(reply.status, 200);
    check_packets(&mut player, 30, |n| BRIEF.packet(n));
    follows.stop();
    origin.stop();
    // To the relay itself, which waits for itself until it gives up.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let [circle, ..] = redirecting(format!("http://127.0.0.1:{port}/relay")).urls();
    let text = format!(
        "[server]\ncores = 2\n[listen]\nhttp = [\"127.0.0.1:{port}\"]\n[[point]]\nname = \"relay\"\n\
         kind = \"broadcast\"\nsource = \"{circle}\"\n[point.pull]\nsilence = \"2s\"\n"
    );
    let begun = Instant::now();
    let relay = start(config(&folder, &text));
    assert_eq!(status(&relay), 503);
    let most = 1 + begun.elapsed().as_millis() as u64 / 750;
    assert!(of_relay(&relay, "attempts_total") <= most);
    relay.stop();
}

#[test]
fn garbage_harms_nobody() {
    let folder = Folder::with_clip("pull-garbage");
    let noise: Vec<u8> = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let begins = |start: &str| [start.as_bytes(), &noise].concat();
    let header = {
        let mut bytes = BRIEF.head();
        let len = bytes.len();
        bytes[30..len - 20].fill(0xEE);
        bytes
    };
    let framed = [
        b"$H",
        &(header.len() as u16 + 8).to_le_bytes()[..],
        &[0; 4],
        &[0, 0x0C],
        &(header.len() as u16 + 8).to_le_bytes()[..],
        &header,
    ]
    .concat();
    let kinds = [
        noise.clone(),
        begins("HTTP/1.1 200 OK\r\nServer: Cougar/9.6\r\n\r\n"),
        begins("HTTP/1.1 200 OK\r\nServer: Cougar/9.6\r\nContent-Length: 99999999999\r\n\r\n$H"),
        [
            &b"HTTP/1.1 200 OK\r\nServer: Cougar/9.6\r\n\r\n"[..],
            &framed,
        ]
        .concat(),
        b"HTTP/1.1 200 OK\r\nX: "
            .iter()
            .copied()
            .chain(std::iter::repeat_n(b'a', 300_000))
            .collect(),
        begins("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4294967295\r\n\r\n"),
        begins("\x01\0\0\0\u{e}\0\0\0"),
    ];
    for bytes in kinds {
        let stranger = Stranger::new(move |mut stream| {
            let _ = stream.write_all(&bytes);
            hold(stream);
        });
        let points: Vec<String> = stranger.urls().iter().enumerate().map(|(n, url)| format!(
            "[[point]]\nname = \"p{n}\"\nkind = \"broadcast\"\nsource = \"{url}\"\n[point.pull]\nsilence = \"1s\"\n"
        )).collect();
        let text = format!(
            "[server]\ncores = 1\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[[point]]\nname = \"clip\"\n\
             kind = \"broadcast\"\nsource = \"clip.wmv\"\n{}",
            points.concat()
        );
        let server = start(config(&folder, &text));
        let mut watcher = Player::play(http(&server), "/clip", &[1, 2], "");
        watcher.header();
        let mut last = watcher.data();
        for n in 0..3 {
            let path = format!("/p{n}");
            let (_, reply) = Client::ask(http(&server), &play(&path, None, &[1, 2], ""));
            assert_eq!(reply.status, 503, "{path}");
        }
        for _ in 0..20 {
            let data = watcher.data();
            assert_eq!(data.number, last.number + 1, "another point suffered");
            last = data;
        }
        server.stop();
    }
}
