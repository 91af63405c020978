//! Broadcasts of a file made for the test: what precisely is on the timeline, how a viewer joins it, and
//! what one that stops reading costs.

mod support;

use engine::ops::config::{PointConfig, PointKind};
use engine::ops::metrics::PointTotals;
use protocols::machine::CoreId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use support::asf::{Clip, PICTURE, Said, said};
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

/// 1.6 Mbit/s: fills buffers quickly.
const THICK: Clip = Clip {
    packet_size: 8000,
    packets: 50,
    interval: 40,
    key_every: 10,
    preroll: 100,
    seed: 4,
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "brief"
kind = "broadcast"
source = "brief.wmv"
cadence = "20ms"
buffer = "4s"
max_accel_bps = "100Mbit/s"
[[point]]
name = "thick"
kind = "broadcast"
source = "thick.wmv"
cadence = "20ms"
buffer = "3s"
[[point]]
name = "broken"
kind = "broadcast"
source = "broken.wmv"
"#;

fn serving(name: &str) -> (Folder, engine::Server) {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("brief.wmv"), BRIEF.bytes()).expect("a clip");
    std::fs::write(folder.0.join("thick.wmv"), THICK.bytes()).expect("a clip");
    std::fs::write(folder.0.join("broken.wmv"), b"no ASF at all").expect("a file");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

/// What the packet of this number on the timeline must say: the file's packet, moved on by the turns
/// before it.
fn on_timeline(clip: Clip, number: u32) -> Said {
    let turn = number / clip.packets;
    let shift = turn * clip.packets * clip.interval;
    let mut packet = said(&clip.packet(number % clip.packets), clip.packet_size);
    packet.send += shift;
    for payload in &mut packet.payloads {
        payload.shown = payload.shown.map(|at| at + shift);
    }
    packet
}

// ASF-36, ASF-57, WMSP-10
#[test]
fn the_timeline_is_the_file_again_and_again_on_every_core() {
    let (_folder, server) = serving("broadcast-turns");
    let at = http(&server);
    let mut homes = BTreeSet::new();
    let mut players = Vec::new();
    until("both cores have viewers", || {
        let (player, reply) = Client::ask(at, &play("/brief", None, &[1, 2], ""));
        homes.insert(reply.client_id() >> 31);
        players.push(player);
        homes.len() == 2 && players.len() >= 4
    });
    let mut turns = BTreeMap::new();
    for player in &mut players {
        let first = player.data();
        let packet = said(&first.payload, BRIEF.packet_size);
        assert!(packet.payloads.iter().any(|p| p.stream == PICTURE && p.key));
        assert_eq!(packet, on_timeline(BRIEF, first.number));
        let (mut number, mut flags) = (first.number, first.flags);
        // More than four turns.
        for _ in 0..4 * BRIEF.packets + 3 {
            let data = player.data();
            (number, flags) = (number + 1, flags.wrapping_add(1));
            assert_eq!(
                (data.number, data.flags, data.hurried),
                (number, flags, false)
            );
            let packet = said(&data.payload, BRIEF.packet_size);
            assert_eq!(packet, on_timeline(BRIEF, number));
        }
        *turns.entry(first.number / BRIEF.packets).or_insert(0) += 1;
    }
    assert!(turns.keys().all(|turn| *turn < 100), "{turns:?}");
    server.stop();
}

// WMSP-03, WMSP-04, WMSP-61, WMSP-63, BW-23, BW-26, BW-36
#[test]
fn a_burst_is_given_to_those_who_ask_and_marked_for_those_who_know() {
    let (_folder, server) = serving("broadcast-burst");
    let at = http(&server);
    let tokens = ",AccelBW=20000000,AccelDuration=1500";
    let (mut nine, reply) = Client::ask(at, &play("/brief", None, &[1, 2], tokens));
    let granted = |name: &str| reply.pragma(name).and_then(|v| v.parse::<u32>().ok());
    assert_eq!(granted("AccelBW"), Some(20_000_000));
    let span = granted("AccelDuration").expect("a duration");
    assert!(
        (1000..=1500).contains(&span),
        "{span} ms of a history of 4 s"
    );
    let mut hurried = 0;
    let mut number = None;
    loop {
        let data = nine.data();
        assert!(number.is_none_or(|n| data.number == n + 1));
        number = Some(data.number);
        if !data.hurried {
            break;
        }
        hurried += 1;
    }
    assert!(
        hurried * BRIEF.interval >= span / 2,
        "{hurried} packets of a burst of {span} ms"
    );
    for _ in 0..30 {
        assert!(!nine.data().hurried, "after the burst B is clear");
    }

    let (mut plain, reply) = Client::ask(at, &play("/brief", None, &[1, 2], ""));
    assert_eq!(reply.pragma("AccelBW"), None, "not asked for");
    assert!((0..30).all(|_| !plain.data().hurried));

    // 8.x may be told of acceleration but not of the B bit; older ones of neither.
    for (agent, told) in [
        ("NSPlayer/8.0.0.4477", Some("1048576")),
        ("NSPlayer/7.1.0.3055", None),
    ] {
        let request = play("/brief", None, &[1, 2], tokens).replace(NINE, agent);
        let (mut old, reply) = Client::ask(at, &request);
        assert_eq!(reply.pragma("AccelBW"), told, "{agent}");
        assert!((0..60).all(|_| !old.data().hurried), "{agent}");
    }
    server.stop();
}

/// Bytes that the kernel holds for a connection of this process, by the ports of the server's end.
fn queued(server: u16, client: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let (here, there) = (
        format!("0100007F:{server:04X}"),
        format!("0100007F:{client:04X}"),
    );
    let line = table
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>());
    let mut queues = line.filter(|l| l.get(1) == Some(&&*here) && l.get(2) == Some(&&*there));
    let queue = queues.next().and_then(|l| l.get(4)?.split(':').next());
    queue.map_or(0, |q| usize::from_str_radix(q, 16).expect("hexadecimal"))
}

fn totals(server: &engine::Server, point: &str) -> PointTotals {
    let mut all = server.metrics().point_totals().into_iter();
    all.find(|p| p.point == point)
        .expect("the point's counters")
}

// WMSP-11
#[test]
fn a_viewer_that_stops_reading_goes_on_at_a_key_frame_and_costs_little() {
    let (_folder, server) = serving("broadcast-slow");
    let at = http(&server);
    let mut slow = Client::narrow(at, 4096);
    slow.send(&play("/thick", None, &[1, 2], ""));
    let id = slow.reply().client_id();
    assert_ne!(id, 0);
    let mut last = slow.data();
    let port = slow.stream.local_addr().expect("an address").port();
    // One that reads, to the end of it all.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let (mut other, _) = Client::ask(at, &play("/thick", None, &[1, 2], ""));
        let mut number = other.data().number;
        while stopped.try_recv().is_err() {
            let data = other.data();
            assert_eq!(data.number, number + 1, "the other viewer lost something");
            number = data.number;
        }
    });
    let mut most = 0;
    until("the one that does not read is moved on", || {
        most = most.max(queued(at.port(), port));
        totals(&server, "thick").skips > 0
    });
    assert!(
        (1..=512 << 10).contains(&most),
        "{most} bytes are kept for it"
    );
    let skips: u64 = (0..2)
        .map(|core| server.metrics().core(CoreId(core)).slow_client_skips.get())
        .sum();
    assert_eq!(skips, 1, "only the one");
    // It reads again: what was kept, whole to the last packet, and then from a key frame on.
    let mut jumps = 0;
    while jumps == 0 || !last.number.is_multiple_of(THICK.packets) {
        let data = slow.data();
        assert_eq!(
            data.flags,
            last.flags.wrapping_add(1),
            "AFFlags count what is sent"
        );
        let packet = said(&data.payload, THICK.packet_size);
        assert_eq!(packet, on_timeline(THICK, data.number), "whole");
        if data.number != last.number + 1 {
            assert!(data.number > last.number, "forward");
            let first = &packet.payloads[0];
            assert!((first.stream, first.key, first.offset) == (PICTURE, true, 0));
            jumps += 1;
        }
        last = data;
    }
    stop.send(()).expect("the reader is still there");
    reader.join().expect("the other viewer");
    server.stop();
}

#[test]
fn a_broken_source_is_told_to_viewers_and_operators() {
    let (folder, server) = serving("broadcast-broken");
    let at = http(&server);
    let begun = Instant::now();
    for _ in 0..20 {
        let (_, reply) = Client::ask(at, &play("/broken", None, &[1, 2], ""));
        assert_eq!(reply.status, 503);
    }
    assert!(
        begun.elapsed() < PATIENCE,
        "told at once, not after waiting for it"
    );
    // Mended, the point works without a restart.
    std::fs::write(folder.0.join("broken.wmv"), BRIEF.bytes()).expect("a clip");
    until("it plays", || {
        let (_, reply) = Client::ask(at, &play("/broken", None, &[1, 2], ""));
        reply.status == 200
    });
    // A directory cannot be broadcast; that is told when it is configured.
    let directory = PointConfig::new("dir", PointKind::Broadcast, &folder.0);
    let mut changed = config(&folder, SERVER);
    changed.points.push(directory);
    let refused = server.reload(changed).expect_err("a directory");
    assert!(refused.to_string().contains("dir"), "{refused}");
    server.stop();
}
