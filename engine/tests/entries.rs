//! Broadcasts of several files: viewers of every protocol go from one to the next, and what they get is the
//! files, whole and in order.

mod support;

use protocols::asf::{Header, broadcast_blob};
use protocols::machine::Machine;
use protocols::media::IngestEvent;
use protocols::{mmsp, rtsp, wmsp};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use support::asf::{Clip, FIRST, SECOND, Said, said};
use support::client::{self, Client};
use support::machine::Driven;
use support::*;

/// Other bytes behind the same header as the first one's.
const THIRD: Clip = Clip { seed: 77, ..FIRST };

const CLIPS: [Clip; 3] = [FIRST, SECOND, THIRD];

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
mms = ["127.0.0.1:0"]
rtsp = ["127.0.0.1:0"]
[[point]]
name = "list"
kind = "broadcast"
source = ["first.wmv", "second.wmv", "third.wmv"]
cadence = "20ms"
"#;

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    for (clip, name) in CLIPS.iter().zip(["first", "second", "third"]) {
        let path = folder.0.join(format!("{name}.wmv"));
        std::fs::write(path, clip.bytes()).expect("a clip");
    }
    assert_eq!(FIRST.head(), THIRD.head(), "identical headers");
    folder
}

fn head_of(clip: &Clip) -> Vec<u8> {
    broadcast_blob(&clip.head(), None).expect("a header")
}

/// What a viewer got of one entry.
#[derive(Default)]
struct Entry {
    header: Vec<u8>,
    packets: Vec<(u32, Said)>,
}

impl Entry {
    fn of(header: Vec<u8>) -> Entry {
        Entry {
            header,
            packets: Vec::new(),
        }
    }

    fn add(&mut self, number: u32, bytes: &[u8]) {
        let size = Header::parse(&self.header).expect("a header").packet_size();
        self.packets.push((number, said(bytes, size as usize)));
    }

    /// True if it is the end of this file from some packet on, with the file's own times.
    fn is_end_of(&self, clip: &Clip) -> bool {
        let Some(begun) = self.packets.first().map(|p| p.0) else {
            return false;
        };
        let want = (begun..clip.packets).map(|n| (n, said(&clip.packet(n), clip.packet_size)));
        self.header == head_of(clip) && self.packets.iter().cloned().eq(want)
    }

    fn is_whole(&self, clip: &Clip) -> bool {
        self.packets.first().is_some_and(|p| p.0 == 0) && self.is_end_of(clip)
    }
}

/// The last entry may have been left in its middle.
#[track_caller]
fn check(entries: &[Entry]) {
    let (first, rest) = entries.split_first().expect("entries");
    let begun = (0..CLIPS.len()).find(|at| first.is_end_of(&CLIPS[*at]));
    let begun = begun.unwrap_or_else(|| {
        let numbers: Vec<u32> = first.packets.iter().map(|p| p.0).collect();
        panic!("the first entry is no end of a file: {numbers:?}")
    });
    assert!(rest.len() >= 2);
    for (at, entry) in rest[..rest.len() - 1].iter().enumerate() {
        let clip = &CLIPS[(begun + 1 + at) % CLIPS.len()];
        let numbers: Vec<u32> = entry.packets.iter().map(|p| p.0).collect();
        assert!(entry.is_whole(clip), "entry {}: {numbers:?}", at + 1);
    }
}

/// So many entries of a client machine; the last one only begins.
fn watch<M: Machine>(machine: M, count: usize) -> Vec<Entry> {
    let mut driven = Driven::new(machine);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        match driven.next() {
            IngestEvent::Header(header) => {
                entries.push(Entry::of(header.to_vec()));
                if entries.len() == count {
                    return entries;
                }
            }
            IngestEvent::Packet { number, bytes } => {
                entries
                    .last_mut()
                    .expect("a header first")
                    .add(number, &bytes);
            }
            event @ (IngestEvent::End(_) | IngestEvent::Failed(_)) => {
                panic!("{event:?} in entry {}", entries.len())
            }
            _ => {}
        }
    }
}

fn wmsp(at: SocketAddr, seed: u64, pipelined: bool, predictive: bool) -> wmsp::client::Client {
    let config = wmsp::client::ClientConfig {
        packet_pair: false,
        pipelined,
        predictive,
        ..wmsp::client::ClientConfig::new(format!("http://{at}/list"), seed)
    };
    wmsp::client::Client::new(config).expect("a URL")
}

fn mmsp(at: SocketAddr, seed: u64) -> mmsp::client::Client {
    let config = mmsp::client::ClientConfig {
        packet_pair: false,
        ..mmsp::client::ClientConfig::new(format!("mmst://{at}/list"), seed)
    };
    mmsp::client::Client::new(config).expect("a URL")
}

fn rtsp(at: SocketAddr, seed: u64, predictive: bool) -> rtsp::client::Client {
    let config = rtsp::client::ClientConfig {
        packet_pair: false,
        predictive,
        ..rtsp::client::ClientConfig::new(format!("rtspt://{at}/list"), seed)
    };
    rtsp::client::Client::new(config).expect("a URL")
}

// WMSP-83, WMSP-87, WMSP-88, MMSP-88, MMSP-89, RTSP-114, RTSP-115
#[test]
fn every_player_goes_from_file_to_file_and_misses_nothing() {
    let folder = folder("entries-all");
    let server = start(config(&folder, SERVER));
    let at = server.addresses().clone();
    std::thread::scope(|scope| {
        let mut watching = Vec::new();
        // Enough of each that both cores have some.
        for seed in 0..4 {
            let (http, mms, rtsp_at) = (at.http[0], at.mms[0], at.rtsp[0]);
            for (pipelined, predictive) in [(true, true), (false, true), (false, false)] {
                let name = format!("WMSP {pipelined} {predictive}");
                // Who selects streams is given no other entry for 8 s (WMSP-86).
                let count = if predictive { 6 } else { 3 };
                let run = move || watch(wmsp(http, seed, pipelined, predictive), count);
                watching.push((name, scope.spawn(run)));
            }
            let run = move || watch(mmsp(mms, seed), 6);
            watching.push(("MMS".to_owned(), scope.spawn(run)));
            for predictive in [true, false] {
                let run = move || watch(rtsp(rtsp_at, seed, predictive), 6);
                watching.push((format!("RTSP {predictive}"), scope.spawn(run)));
            }
        }
        for (name, watching) in watching {
            let entries = watching.join().unwrap_or_else(|_| panic!("{name}"));
            println!("{name}");
            check(&entries);
        }
    });
    server.stop();
}

/// An old player knows `$C`, but not that something else comes between.
// WMSP-87
#[test]
fn old_players_and_all_cores_see_the_change() {
    let folder = folder("entries-old");
    let server = start(config(&folder, SERVER));
    let at = http(&server);
    let mut cores = BTreeSet::new();
    let mut players = Vec::new();
    until("both cores have viewers", || {
        let (player, reply) = Client::ask(at, &client::play("/list", None, &[1, 2], ""));
        // MPlayer reads no further than the first comma.
        assert!(reply.head.contains("features=\"broadcast,playlist\""));
        cores.insert(reply.client_id() >> 31);
        players.push(player);
        cores.len() == 2 && players.len() >= 4
    });
    for mut player in players {
        let mut entries: Vec<Entry> = Vec::new();
        while entries.len() < 4 {
            match player.next() {
                Event::Header(header) => entries.push(Entry::of(header)),
                Event::Data(data) => {
                    let entry = entries.last_mut().expect("a header first");
                    entry.add(data.number, &data.payload);
                }
                Event::End(reason) => assert_eq!(reason, 1, "another one follows"),
                Event::Other => {}
                Event::Closed => panic!("closed"),
            }
        }
        check(&entries);
    }
    let mut old = Player::play(at, "/list", &[1, 2], "");
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < 3 {
        match old.next() {
            Event::Header(header) => entries.push(Entry::of(header)),
            Event::Data(data) => {
                let entry = entries.last_mut().expect("a header first");
                entry.add(data.number, &data.payload);
            }
            Event::Other => {}
            other => panic!("{other:?}"),
        }
    }
    check(&entries);
    server.stop();
}

/// Of one packet to the next, the header first.
fn rest_of(mut player: Player) -> (Vec<Entry>, Vec<u32>) {
    let (mut entries, mut ends) = (Vec::<Entry>::new(), Vec::new());
    loop {
        match player.next() {
            Event::Header(header) => entries.push(Entry::of(header)),
            Event::Data(data) => {
                let entry = entries.last_mut().expect("a header first");
                entry.add(data.number, &data.payload);
            }
            Event::End(reason) => ends.push(reason),
            Event::Other => {}
            Event::Closed => return (entries, ends),
        }
    }
}

#[test]
fn what_cannot_be_played_is_skipped_and_what_is_over_says_so() {
    let folder = folder("entries-once");
    std::fs::write(folder.0.join("bad.wmv"), b"no ASF at all").expect("a file");
    let text = SERVER.replace(
        "source = [\"first.wmv\", \"second.wmv\", \"third.wmv\"]",
        "source = [\"none.wmv\", \"first.wmv\", \"bad.wmv\", \"second.wmv\", \"none.wmv\"]\n\
         repeat = false",
    );
    let bad =
        "[[point]]\nname = \"bad\"\nkind = \"broadcast\"\nsource = [\"bad.wmv\", \"none.wmv\"]\n";
    let server = start(config(&folder, &format!("{text}{bad}")));
    let at = http(&server);
    // Nothing plays before somebody asks, who then gets all of it.
    let players: Vec<Player> = (0..6)
        .map(|_| Player::play(at, "/list", &[1, 2], ""))
        .collect();
    for player in players {
        let (entries, ends) = rest_of(player);
        assert_eq!(entries.len(), 2);
        assert!(entries[0].is_whole(&FIRST) && entries[1].is_whole(&SECOND));
        assert!(
            ends.iter().all(|reason| *reason == 0) && !ends.is_empty(),
            "{ends:?}"
        );
    }
    let source = server.source("list").expect("a broadcast");
    assert_eq!(source.airing, engine::points::Airing::Over);
    assert_eq!((source.entries, source.skipped), (2, 3));
    assert_eq!(Player::play(at, "/list", &[1, 2], "").status(), 503);
    assert_eq!(Player::play(at, "/bad", &[1, 2], "").status(), 503);
    server.stop();
}

/// What the program itself gives is broadcast at the root path, and its entries follow one another.
#[test]
fn a_program_feeds_its_own_server() {
    let folder = folder("entries-fed");
    let text = SERVER
        .replace("cores = 2", "cores = 2\nroot = \"list\"")
        .replace(
            "source = [\"first.wmv\", \"second.wmv\", \"third.wmv\"]",
            "source = \"push:\"",
        );
    let server = start(config(&folder, &text));
    assert!(server.feed("none").is_none());
    let feed = server.feed("list").expect("a point that is fed");
    let give = |event| feed.give(event).expect("taken");
    give(IngestEvent::Header(FIRST.head().into()));
    let packet = |clip: &Clip, number| IngestEvent::Packet {
        number,
        bytes: clip.packet(number).into(),
    };
    give(packet(&FIRST, 0));
    let at = server.addresses().clone();
    let paths = [
        format!("http://{}/", at.http[0]),
        format!("mmst://{}/", at.mms[0]),
        format!("rtspt://{}/", at.rtsp[0]),
    ];
    let (sender, begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for url in &paths {
            let sender = sender.clone();
            scope.spawn(move || {
                let count = |driven: &mut dyn FnMut() -> IngestEvent| {
                    let (mut headers, mut packets) = (0, 0);
                    loop {
                        match driven() {
                            IngestEvent::Header(_) => {
                                headers += 1;
                                sender.send(()).expect("still there");
                            }
                            IngestEvent::Packet { .. } => packets += 1,
                            IngestEvent::End(_) => return (headers, packets),
                            IngestEvent::Failed(fault) => panic!("{url}: {fault:?}"),
                            _ => {}
                        }
                    }
                };
                let got = match url.split_once(':').map(|u| u.0) {
                    Some("http") => {
                        let config = wmsp::client::ClientConfig {
                            packet_pair: false,
                            ..wmsp::client::ClientConfig::new(url.as_str(), 1)
                        };
                        let mut driven =
                            Driven::new(wmsp::client::Client::new(config).expect("a URL"));
                        count(&mut || driven.next())
                    }
                    Some("mmst") => {
                        let config = mmsp::client::ClientConfig {
                            packet_pair: false,
                            ..mmsp::client::ClientConfig::new(url.as_str(), 1)
                        };
                        let mut driven =
                            Driven::new(mmsp::client::Client::new(config).expect("a URL"));
                        count(&mut || driven.next())
                    }
                    _ => {
                        let config = rtsp::client::ClientConfig {
                            packet_pair: false,
                            ..rtsp::client::ClientConfig::new(url.as_str(), 1)
                        };
                        let mut driven =
                            Driven::new(rtsp::client::Client::new(config).expect("a URL"));
                        count(&mut || driven.next())
                    }
                };
                assert_eq!(got.0, 2, "{url}");
                assert!(got.1 >= SECOND.packets as usize, "{url}: {} packets", got.1);
            });
        }
        for _ in &paths {
            begun.recv_timeout(PATIENCE).expect("a header");
        }
        for number in 1..FIRST.packets {
            give(packet(&FIRST, number));
        }
        give(IngestEvent::Header(SECOND.head().into()));
        for number in 0..SECOND.packets {
            give(packet(&SECOND, number));
        }
        for _ in &paths {
            begun.recv_timeout(PATIENCE).expect("the next header");
        }
        give(IngestEvent::End(0));
    });
    server.stop();
}
