//! MMS over TCP and UDP, through the whole server.

mod support;

use protocols::mmsp::hresult;
use protocols::mmsp::message::{DataHead, ToClient, ToServer};
use std::collections::{BTreeMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use support::asf::{Said, said};
use support::mms;
use support::*;

const BOTH: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
mms = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "."
[[point]]
name = "live"
kind = "broadcast"
source = "clip.wmv"
"#;

fn mms_of(server: &engine::Server) -> SocketAddr {
    server.addresses().mms[0]
}

/// The file over HTTP: what its packets say, by their number.
fn over_http(server: &engine::Server, path: &str) -> BTreeMap<u32, Said> {
    let mut player = Player::play(http(server), path, &[1, 2], "");
    let size = player.header().packet_size() as usize;
    let packets = player.rest().into_iter();
    packets
        .filter_map(|event| match event {
            Event::Data(data) => Some((data.number, said(&data.payload, size))),
            _ => None,
        })
        .collect()
}

fn numbered(data: &[(DataHead, Vec<u8>)], packet_size: u32) -> BTreeMap<u32, Said> {
    data.iter()
        .map(|(head, bytes)| (head.location_id, said(bytes, packet_size as usize)))
        .collect()
}

// MMSP-79, MMSP-80, MMSP-82, MMSP-83, MMSP-96
#[test]
fn a_file_is_the_same_over_tcp_and_udp_and_http() {
    let folder = Folder::with_clip("mms-same");
    let server = start(config(&folder, BOTH));
    let want = over_http(&server, "/vod/clip.wmv");
    assert!(want.len() > 50);
    let at = mms_of(&server);
    // Side by side: the buffer of a socket that nobody reads holds less than the clip.
    std::thread::scope(|scope| {
        for udp in [false, true, true, false, true] {
            let want = &want;
            scope.spawn(move || {
                let mut player = mms::Player::connect(at, udp);
                let (report, header) = player.open("vod/clip.wmv");
                assert_eq!(report.header_size as usize, header.len());
                assert_eq!(header[header.len() - 2..], [1, 1]);
                player.play(&[1, 2], None);
                let got = player.all_data();
                let flags: HashSet<u8> = got.iter().map(|(head, _)| head.af_flags).collect();
                assert_eq!(flags.len(), got.len().min(256), "each Sequence once");
                assert!(got.iter().all(|(head, _)| head.play_incarnation == 10));
                assert_eq!(&numbered(&got, report.packet_size), want);
            });
        }
    });
    server.stop();
}

// MMSP-97, MMSP-98, MMSP-99
#[test]
fn lost_datagrams_come_again_byte_for_byte_and_not_for_ever() {
    let folder = Folder::with_clip("mms-resend");
    let server = start(config(&folder, BOTH));
    for path in ["live", "vod/clip.wmv"] {
        let mut player = mms::Player::connect(mms_of(&server), true);
        player.open(path);
        player.play(&[1, 2], None);
        let mut sent: Vec<_> = (0..40).map(|_| player.data()).collect();
        // On loopback they come in the order in which they were sent.
        let sequences: Vec<u32> = vec![0, 1, 5, 30, 39];
        // Requests come to either core, by the port that they come from.
        let sockets: Vec<UdpSocket> = (0..8)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket"))
            .collect();
        let id = player.client_id;
        // A wrong client, and sequences that were never sent, get nothing.
        player.ask_again(&sockets[0], id ^ 1, &sequences);
        player.ask_again(&sockets[0], id, &[1 << 20, u32::MAX]);
        for socket in &sockets {
            player.ask_again(socket, id, &sequences);
        }
        let mut again: BTreeMap<u32, u32> = BTreeMap::new();
        let mut seen = 0;
        // What was asked for comes before what follows it by seconds.
        while again.values().sum::<u32>() < 10 || seen < 20 {
            let (head, bytes) = player.data();
            let at = sent
                .iter()
                .position(|(old, _)| old.location_id == head.location_id);
            match at {
                Some(at) => {
                    assert!(sent[at] == (head, bytes), "byte for byte");
                    *again.entry(at as u32).or_default() += 1;
                }
                None => {
                    sent.push((head, bytes));
                    seen += 1;
                }
            }
        }
        let want: BTreeMap<u32, u32> = sequences.iter().map(|s| (*s, 2)).collect();
        assert_eq!(again, want, "each twice, whoever asks more often: {path}");
    }
    let totals = metric(&server, "ringcast_resends_sent_total");
    assert_eq!(totals, 20.0);
    server.stop();
}

fn metric(server: &engine::Server, name: &str) -> f64 {
    let text = server.metrics().exposition();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

// MMSP-65, MMSP-66, MMSP-68
#[test]
fn streams_are_switched_while_datagrams_flow() {
    let folder = Folder::with_clip("mms-switch");
    let server = start(config(&folder, BOTH));
    for udp in [false, true] {
        let mut player = mms::Player::connect(mms_of(&server), udp);
        player.open("live");
        player.play(&[2], None);
        for _ in 0..5 {
            player.data();
        }
        player.switch(&[(0xFFFF, 1, 0)]);
        assert_eq!(player.message(), ToClient::ReportStreamSwitch { hr: 0 });
        let has_video = |player: &mut mms::Player| {
            let (_, bytes) = player.data();
            let packet = protocols::asf::Packet::parse(&bytes, 3200).expect("a packet");
            packet.payloads().any(|p| p.stream == 1)
        };
        while !has_video(&mut player) {}
        player.switch(&[(0xFFFF, 1, 2)]);
        assert_eq!(player.message(), ToClient::ReportStreamSwitch { hr: 0 });
        let mut without = 0;
        while without < 5 {
            without = if has_video(&mut player) {
                0
            } else {
                without + 1
            };
        }
    }
    server.stop();
}

// MMSP-33
#[test]
fn without_udp_players_are_told_to_take_tcp() {
    let folder = Folder::with_clip("mms-no-udp");
    let text = BOTH.replace("[listen]", "[listen]\nmms_udp = false");
    let server = start(config(&folder, &text));
    let mut player = mms::Player::greet(mms_of(&server), true);
    let refused = player.message();
    let hr = hresult::NS_E_PROTOCOL_MISMATCH;
    assert_eq!(refused, ToClient::ReportDisconnectedFunnel { hr });
    player.udp = None;
    player.ask_for_funnel();
    assert_eq!(player.message(), ToClient::ReportConnectedFunnel);
    player.open("vod/clip.wmv");
    player.play(&[1, 2], None);
    assert!(player.all_data().len() > 50);
    server.stop();
}

#[test]
fn http_on_the_mms_port_is_served() {
    let folder = Folder::with_clip("mms-http");
    let server = start(config(&folder, BOTH));
    let want = over_http(&server, "/vod/clip.wmv");
    let mut player = Player::play(mms_of(&server), "/vod/clip.wmv", &[1, 2], "");
    assert_eq!(player.status(), 200);
    player.header();
    let got = player
        .rest()
        .into_iter()
        .filter(|e| matches!(e, Event::Data(_)));
    assert_eq!(got.count(), want.len());
    server.stop();
}

// MMSP-108
#[test]
fn a_server_that_stops_says_that_the_stream_is_over() {
    let folder = Folder::with_clip("mms-stop");
    let server = start(config(&folder, BOTH));
    let mut players: Vec<mms::Player> = [(false, "live"), (true, "live"), (false, "vod/clip.wmv")]
        .into_iter()
        .map(|(udp, path)| {
            let mut player = mms::Player::connect(mms_of(&server), udp);
            player.open(path);
            player.play(&[1, 2], None);
            player.data();
            player
        })
        .collect();
    server.drain(Duration::from_millis(50));
    for player in &mut players {
        loop {
            match player.next() {
                mms::Event::Message(ToClient::ReportEndOfStream { hr: 0, .. }) => break,
                mms::Event::Closed => panic!("closed without a word"),
                _ => {}
            }
        }
    }
}

// MMSP-86, MMSP-87
#[test]
fn stopping_and_starting_elsewhere_leaves_no_old_media() {
    let folder = Folder::with_clip("mms-seek");
    let server = start(config(&folder, BOTH));
    let want = over_http(&server, "/vod/clip.wmv");
    for udp in [false, true] {
        let mut player = mms::Player::connect(mms_of(&server), udp);
        let (report, _) = player.open("vod/clip.wmv");
        player.play(&[1, 2], None);
        player.data();
        player.send(&ToServer::StopPlaying {
            open_file_id: 1,
            play_incarnation: 77,
        });
        while player.message()
            != (ToClient::ReportEndOfStream {
                hr: 0,
                play_incarnation: 77,
            })
        {}
        let from = *want.keys().nth(want.len() / 2).expect("a packet");
        player.play(&[1, 2], Some(from));
        let got = player.all_data();
        // Video begins at the next key frame; every packet has sound.
        let sound = |packets: BTreeMap<u32, Said>| -> BTreeMap<u32, Said> {
            let packets = packets.into_iter();
            packets.map(|(n, said)| (n, said.only(&[2]))).collect()
        };
        let got = sound(numbered(&got, report.packet_size));
        assert_eq!(got, sound(want.clone().split_off(&from)));
    }
    server.stop();
}
