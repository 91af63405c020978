//! Broadcasts: what viewers on several cores get, what happens to one that is too slow, and what
//! operators can do while they watch.

mod support;

use protocols::asf::Packet;
use protocols::asf::digest::starts_key;
use protocols::content::Selection;
use protocols::machine::CoreId;
use socket2::SockRef;
use std::time::Duration;
use support::*;

const LIVE: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
sndbuf = "16KiB"
[[point]]
name = "live"
kind = "broadcast"
source = "clip.wmv"
buffer = "3s"
"#;

// ASF-36, ASF-57, WMSP-10, WMSP-11
#[test]
fn viewers_on_all_cores_begin_at_a_key_frame_and_get_the_same() {
    let folder = Folder::with_clip("live-same");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    // Enough connections that both cores have some.
    let mut players: Vec<Player> = (0..8)
        .map(|_| Player::play(at, "/live", &[1, 2], ""))
        .collect();
    let mut seen = std::collections::HashMap::new();
    for player in &mut players {
        let header = player.header();
        assert!(header.is_broadcast() && !header.is_seekable());
        let first = player.data();
        let video = Selection::of([1]);
        let size = header.packet_size();
        assert!(
            starts_key(&first.payload, size, video, &header.streams()),
            "begins with a key frame"
        );
        let mut last = first.clone();
        seen.entry(first.number).or_insert(first.payload.clone());
        for _ in 0..30 {
            let data = player.data();
            assert_eq!(data.number, last.number + 1, "no gap");
            assert_eq!(data.flags, last.flags.wrapping_add(1), "AFFlags count");
            assert!(!data.hurried, "an old player knows no B bit");
            // The first packet of a viewer lacks what precedes its key frame.
            let known = seen
                .entry(data.number)
                .or_insert_with(|| data.payload.clone());
            if known.len() >= data.payload.len() {
                assert_eq!(known, &data.payload, "packet {}", data.number);
            }
            last = data;
        }
    }
    server.stop();
}

/// The clip is 8 s long: its end comes after 8 s, and the timeline goes on.
#[test]
fn the_timeline_has_no_seam() {
    let folder = Folder::with_clip("live-seam");
    let server = start(config(&folder, LIVE));
    let mut player = Player::play(http(&server), "/live", &[1, 2], "");
    let header = player.header();
    let turn = header.preroll_ms() + 9000;
    let mut last_send = None;
    let mut first_send = None;
    loop {
        let data = player.data();
        let packet = Packet::parse(&data.payload, header.packet_size()).expect("a packet");
        let send = packet.send_time();
        if let Some(last) = last_send {
            assert!(send >= last, "time went back at packet {}", data.number);
            assert!(send - last < 1000, "a hole of {} ms", send - last);
        }
        let begun = *first_send.get_or_insert(send);
        for payload in packet.payloads() {
            if let Some(at) = payload.presentation {
                assert!(
                    at + 1000 > send && at < send + turn,
                    "shown when it is sent"
                );
            }
        }
        last_send = Some(send);
        if send - begun > 9000 {
            break;
        }
    }
    server.stop();
}

#[test]
fn a_slow_viewer_jumps_to_a_key_frame_and_harms_nobody() {
    let folder = Folder::with_clip("live-slow");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    let mut slow = Player::play(at, "/live", &[1, 2], "");
    SockRef::from(&slow.stream)
        .set_recv_buffer_size(4096)
        .expect("a small buffer");
    let header = slow.header();
    let watcher = std::thread::spawn(move || {
        let mut other = Player::play(at, "/live", &[1, 2], "");
        other.header();
        let mut last = other.data();
        for _ in 0..100 {
            let data = other.data();
            assert_eq!(
                data.number,
                last.number + 1,
                "the other viewer lost something"
            );
            last = data;
        }
    });
    let skips = || {
        (0..2)
            .map(|core| server.metrics().core(CoreId(core)).slow_client_skips.get())
            .sum::<u64>()
    };
    until("the slow viewer is moved forward", || skips() > 0);
    let mut last = slow.data();
    let mut gaps = 0;
    for _ in 0..60 {
        let data = slow.data();
        assert_eq!(
            data.flags,
            last.flags.wrapping_add(1),
            "AFFlags count what is sent"
        );
        assert!(Packet::parse(&data.payload, header.packet_size()).is_ok());
        if data.number != last.number + 1 {
            assert!(data.number > last.number, "forward");
            let video = Selection::of([1]);
            assert!(
                starts_key(
                    &data.payload,
                    header.packet_size(),
                    video,
                    &header.streams()
                ),
                "to a key frame"
            );
            gaps += 1;
        }
        last = data;
    }
    assert!(gaps >= 1, "the jump is seen");
    watcher.join().expect("the other viewer");
    server.stop();
}

#[test]
fn a_reload_leaves_what_is_unchanged_and_ends_what_is_gone() {
    let folder = Folder::with_clip("live-reload");
    let two = format!(
        "{LIVE}[[point]]\nname = \"second\"\nkind = \"broadcast\"\nsource = \"clip.wmv\"\n"
    );
    let server = start(config(&folder, &two));
    let at = http(&server);
    let mut stays = Player::play(at, "/live", &[1, 2], "");
    let mut goes = Player::play(at, "/second", &[1, 2], "");
    stays.header();
    goes.header();
    goes.data();
    let mut last = stays.data();
    let third =
        format!("{LIVE}[[point]]\nname = \"third\"\nkind = \"on-demand\"\nsource = \".\"\n");
    let report = server.reload(config(&folder, &third)).expect("a reload");
    assert_eq!(
        (&*report.added, &*report.removed, report.replaced.len()),
        (&["third".to_owned()][..], &["second".to_owned()][..], 0)
    );
    let events = goes.rest();
    assert!(
        matches!(events.last(), Some(Event::End(0))),
        "a removed point says goodbye: {:?}",
        events.last()
    );
    for _ in 0..40 {
        let data = stays.data();
        assert_eq!(data.number, last.number + 1, "an unchanged point goes on");
        last = data;
    }
    assert_eq!(Player::play(at, "/second", &[1], "").status(), 404);
    assert_eq!(Player::play(at, "/third/clip.wmv", &[1], "").status(), 200);
    // What cannot be opened leaves everything as it is.
    let bad = format!("{LIVE}[[point]]\nname = \"bad\"\nkind = \"on-demand\"\nsource = \"none\"\n");
    let refused = server
        .reload(config(&folder, &bad))
        .expect_err("no such folder");
    assert!(refused.to_string().contains("bad"), "{refused}");
    assert_eq!(Player::play(at, "/third/clip.wmv", &[1], "").status(), 200);
    assert_eq!(stays.data().number, last.number + 1);
    server.stop();
}

/// Operators start servers before their content is mounted.
#[test]
fn a_source_that_comes_later_is_found() {
    let folder = Folder::new("live-later");
    let text = LIVE.replace("clip.wmv", "late/clip.wmv");
    let server = start(config(&folder, &text));
    let at = http(&server);
    assert_eq!(Player::play(at, "/live", &[1, 2], "").status(), 503);
    let late = folder.0.join("late");
    std::fs::create_dir(&late).expect("a folder");
    std::fs::copy(clip(), late.join("clip.wmv")).expect("the clip");
    until("the source is found", || {
        Player::play(at, "/live", &[1, 2], "").status() == 200
    });
    server.stop();
}

#[test]
fn a_stop_ends_sessions_in_order() {
    let folder = Folder::with_clip("live-drain");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    let mut player = Player::play(at, "/live", &[1, 2], "");
    player.header();
    player.data();
    server.drain(Duration::from_millis(200));
    let events = player.rest();
    assert!(
        matches!(events.last(), Some(Event::End(0))),
        "{:?}",
        events.last()
    );
    assert!(
        std::net::TcpStream::connect(at).is_err(),
        "nobody listens any more"
    );
}

/// Each of them has its core ask the point's home, and the answers cross.
#[test]
fn viewers_who_come_all_at_once_stay() {
    let folder = Folder::with_clip("live-crowd");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(move || {
                let mut player = Player::play(at, "/live", &[1, 2], "");
                player.header();
                let mut last = player.data().number;
                for _ in 0..60 {
                    let number = player.data().number;
                    assert_eq!(number, last + 1);
                    last = number;
                }
            });
        }
    });
    server.stop();
}

/// Nothing listens to what a stopped server listened to, and another one can.
#[test]
fn ports_are_free_after_a_stop() {
    let folder = Folder::with_clip("live-ports");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    Player::play(at, "/live", &[1, 2], "").header();
    server.stop();
    let refused = std::net::TcpStream::connect(at).expect_err("nobody is there");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let same = LIVE.replace("127.0.0.1:0", &at.to_string());
    let server = start(config(&folder, &same));
    assert_eq!(http(&server), at);
    Player::play(at, "/live", &[1, 2], "").header();
    server.stop();
}
