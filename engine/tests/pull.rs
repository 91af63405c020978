//! Broadcasts whose source is another server: an origin and a relay in one process.

mod support;

use engine::Server;
use engine::ops::metrics::Metrics;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;
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

/// An origin that broadcasts the clip, on ports of its own or on these.
fn origin(folder: &Folder, at: Option<&Server>, extra: &str) -> Server {
    let listen = |list: fn(&engine::Addresses) -> &Vec<SocketAddr>| {
        let known = at.map(|server| list(server.addresses())[0].to_string());
        known.unwrap_or("127.0.0.1:0".to_owned())
    };
    let (http, mms, rtsp) = (listen(|a| &a.http), listen(|a| &a.mms), listen(|a| &a.rtsp));
    let text = format!(
        "[server]\ncores = 1\n[listen]\nhttp = [\"{http}\"]\nmms = [\"{mms}\"]\nrtsp = [\"{rtsp}\"]\n\
         [[point]]\nname = \"live\"\nkind = \"broadcast\"\nsource = \"live.wmv\"\ncadence = \"20ms\"\n\
         buffer = \"4s\"\n{extra}"
    );
    start(config(folder, &text))
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
    let server = origin(&folder, None, "");
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

// WMSP-58, WMSP-96, WMSP-99, BW-52, RTSP-77
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
