//! Client and server machine of MMSP against each other.

mod asf_build;
mod pair_world;

use pair_world::*;
use proptest::prelude::*;
use protocols::auth::{Password, Scheme};
use protocols::content::*;
use protocols::machine::{CoreId, Input, Machine, Time};
use protocols::media::{IngestEvent, News};
use protocols::mmsp::client::{Client, ClientConfig, Streams, Transport};
use protocols::mmsp::message::ResendRequest;
use protocols::mmsp::server::{Config, Server};
use protocols::wmlog::{self, Field};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);
const BOTH: [&str; 2] = ["mmst", "mmsu"];

type Pair = World<Client, Server>;

fn config(scheme: &str) -> ClientConfig {
    ClientConfig {
        udp_port: 7000,
        ..ClientConfig::new(format!("{scheme}://server/clip"), 11)
    }
}

fn net(delay_ms: u64, split: usize) -> Net {
    Net {
        delay: delay_ms as u32 * MS,
        split,
        ..LAN
    }
}

fn server() -> Config {
    Config {
        authen_package: Some(Scheme::Basic),
        ..Config::new(CoreId(0), 1, [3; 32])
    }
}

fn pair(config: ClientConfig, net: Net, clips: &[(&'static str, Clip)]) -> Pair {
    let client = Client::new(config).unwrap();
    World::of(client, Server::new(server()), 1755, net, clips)
}

fn clip(count: u32) -> [(&'static str, Clip); 1] {
    [("/clip", Clip::new(count, 1))]
}

fn numbers(world: &Pair) -> Vec<u32> {
    world.packets().into_iter().map(|(n, _)| n).collect()
}

/// What every session leaves behind that met no trouble.
fn assert_good(world: &Pair, packets: usize) {
    assert_fair(world);
    assert_eq!(world.packets().len(), packets);
    assert_eq!(world.packets(), world.sent_packets());
    assert_eq!(world.count(|e| *e == IngestEvent::End(0)), 1);
    assert_eq!(world.client.transfer().lost, 0);
}

/// What every session leaves behind.
fn assert_fair(world: &Pair) {
    assert_eq!(world.failure(), None);
    assert_eq!(world.refused, []);
    assert!(world.client.is_done());
    assert_eq!(world.server.session_count(), 0);
    assert_eq!(world.server.connection_count(), 0);
    assert_eq!(world.held(), 0, "contents not given back");
    let logs = world.count(|e| *e == IngestEvent::LogSent);
    assert_eq!(logs, world.logs.len());
    for log in &world.logs {
        assert_eq!(wmlog::parse(log).unwrap().defects, Default::default());
    }
}

fn logged(world: &Pair, field: Field) -> Vec<u32> {
    let number = |log| wmlog::parse(log).unwrap().number(field).unwrap();
    world.logs.iter().map(number).collect()
}

#[test]
fn plays_on_demand_at_every_split() {
    for scheme in BOTH {
        for (delay, split) in [
            (0, 1),
            (1, 2),
            (30, 3),
            (5, 7),
            (200, 64),
            (1, 1000),
            (3, usize::MAX),
        ] {
            let clips = clip(60);
            let mut world = pair(config(scheme), net(delay, split), &clips);
            let start = world.now;
            world.run(2 * MINUTE);
            assert_good(&world, 60);
            assert_eq!(logged(&world, Field::CPktsReceived), [60]);
            assert_eq!(world.connections, 1);
            let header = IngestEvent::Header(clips[0].1.header.clone());
            assert!(world.events.contains(&header));
            assert_eq!(world.client.transfer().udp, scheme == "mmsu");
            assert_eq!(world.air.trace.len(), if scheme == "mmsu" { 60 } else { 0 });
            // Real time: 60 packets, 100 ms each, the header at the content's rate, some round trips.
            let took = world.now.since(start).as_millis() as u64;
            assert!((5900..6500 + delay * 20).contains(&took), "{took} ms");
        }
    }
}

fn rough(loss: u32, seed: u64) -> Net {
    Net {
        weather: Weather { loss, seed, ..FINE },
        ..net(20, usize::MAX)
    }
}

/// What was lost in the middle is counted, all else came in order and as it was.
fn assert_counted(world: &Pair) {
    assert_fair(world);
    let got = world.packets();
    let sent: BTreeMap<u32, Vec<u8>> = world.sent_packets().into_iter().collect();
    assert!(got.iter().all(|(n, bytes)| sent.get(n) == Some(bytes)));
    assert!(got.is_sorted_by(|a, b| a.0 < b.0));
    let newest = got.last().expect("packets").0;
    let had: BTreeSet<u32> = got.iter().map(|(n, _)| *n).collect();
    let missing = sent.keys().filter(|n| **n < newest && !had.contains(n));
    let missing = missing.count() as u64;
    let transfer = world.client.transfer();
    assert_eq!(transfer.lost, missing);
    assert_eq!(transfer.received + transfer.recovered, got.len() as u64);
    assert_eq!(
        logged(world, Field::CPktsReceived),
        [transfer.received as u32]
    );
    assert_eq!(
        logged(world, Field::CPktsRecoveredResent),
        [transfer.recovered as u32]
    );
    assert_eq!(
        logged(world, Field::CPktsLostClient),
        [transfer.lost as u32]
    );
    assert_eq!(
        logged(world, Field::CResendreqs),
        [transfer.requests as u32]
    );
}

// MMSP-96, MMSP-97, MMSP-98, MMSP-100
#[test]
fn datagrams_that_are_lost_come_again() {
    for loss in [0, 10, 50, 200] {
        let (mut sent, mut got, mut lost_once) = (0, 0, 0);
        for seed in 0..12 {
            let mut world = pair(config("mmsu"), rough(loss, seed), &clip(300));
            world.run(2 * MINUTE);
            assert_counted(&world);
            sent += world.sent.len();
            got += world.packets().len();
            let first = world.air.trace.iter().filter(|t| t.again == 0);
            lost_once += first.filter(|t| t.arrived.is_none()).count();
            if lost_once == 0 {
                assert_eq!(world.client.transfer().requests, 0, "nothing to ask for");
            }
        }
        assert_eq!(lost_once == 0, loss == 0);
        // A server sends a datagram again twice at most: one of 8 is lost for good, of those that are
        // lost, if one of five is; with requests that are lost, too, a few more.
        let for_good = match loss {
            0 | 10 => 0,
            50 => 2,
            _ => lost_once / 8,
        };
        assert!(
            sent - got <= for_good,
            "{loss}: {} of {lost_once}",
            sent - got
        );
    }
}

#[test]
fn the_last_datagrams_come_again_too() {
    for lost in [1, 3, 20] {
        let mut world = pair(config("mmsu"), net(20, usize::MAX), &clip(60));
        let sent = |w: &Pair| w.air.trace.iter().filter(|t| t.again == 0).count();
        while sent(&world) < 60 - lost {
            world.run_for(10 * MS);
        }
        world.air.blocked = true;
        while sent(&world) < 60 {
            world.run_for(10 * MS);
        }
        assert!(!world.client.is_done());
        world.air.blocked = false;
        world.run(MINUTE);
        assert_good(&world, 60);
        assert_eq!(world.client.transfer().recovered, lost as u64);
        assert_eq!(world.client.transfer().requests, 1);
    }
}

/// Times by which each datagram that was lost at first could have been asked for and came, of those whose
/// request and answer met with no other loss.
fn recoveries(world: &Pair) -> Vec<Duration> {
    let asked_in_vain: BTreeSet<u32> = world
        .air
        .lost_up
        .iter()
        .filter_map(|bytes| ResendRequest::read(bytes))
        .flat_map(|r| r.sequences)
        .collect();
    let trace = &world.air.trace;
    let lost = trace.iter().filter(|t| t.again == 0 && t.arrived.is_none());
    lost.filter(|t| !asked_in_vain.contains(&t.n))
        .filter_map(|lost| {
            let later = trace.iter().filter(|t| t.n > lost.n && t.again == 0);
            let noticed: Time = later.filter_map(|t| t.arrived).min()?;
            let again = trace.iter().find(|t| t.n == lost.n && t.again == 1);
            let arrived = again.expect("sent again").arrived?;
            Some(arrived.since(noticed))
        })
        .collect()
}

#[test]
fn a_lost_datagram_is_there_a_round_trip_later() {
    let mut seen = 0;
    for delay in [1, 20, 150] {
        for seed in 0..10 {
            let net = Net {
                delay: delay * MS,
                ..rough(50, seed)
            };
            let mut world = pair(config("mmsu"), net, &clip(200));
            world.run(2 * MINUTE);
            assert_counted(&world);
            let took = recoveries(&world);
            seen += took.len();
            let limit = 2 * delay * MS + 20 * MS;
            assert!(took.iter().all(|t| *t <= limit), "{took:?} in {limit:?}");
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn datagrams_that_are_late_or_doubled_are_put_right() {
    for seed in 0..20 {
        let weather = Weather {
            doubles: 300,
            jitter: 150 * MS,
            seed,
            ..FINE
        };
        let net = Net {
            weather,
            ..net(20, usize::MAX)
        };
        let mut world = pair(config("mmsu"), net, &clip(100));
        world.run(2 * MINUTE);
        assert_fair(&world);
        assert_eq!(world.packets(), world.sent_packets());
        let transfer = world.client.transfer();
        assert!(transfer.duplicates > 10, "{transfer:?}");
        assert_eq!(transfer.lost, 0);
    }
}

#[test]
fn joins_and_leaves_live() {
    for scheme in BOTH {
        let clips = [("/clip", Clip::new(300, 1).live())];
        let mut world = pair(config(scheme), net(5, 100), &clips);
        world.run(MINUTE);
        // Twenty seconds have passed, five are kept.
        assert_eq!(world.packets()[0].0, 150);
        assert_good(&world, 150);
        assert_eq!(logged(&world, Field::CStarttime), [0]);

        let clips = [("/clip", Clip::new(3000, 1).live())];
        let mut world = pair(config(scheme), net(20, 100), &clips);
        world.run_for(Duration::from_secs(10));
        world.with(|c, now| c.finish(now));
        world.run(MINUTE);
        assert_fair(&world);
        let got = world.packets();
        assert!((80..=110).contains(&got.len()), "{} packets", got.len());
        assert_eq!(got, world.sent_packets()[..got.len()]);
        assert_eq!(world.logs.len(), 1);
    }
}

// BW-20, BW-22
#[test]
fn packet_pairs_measure_the_link() {
    for scheme in BOTH {
        for rate in [56_000, 300_000, 1_000_000, 10_000_000] {
            let net = Net {
                rate: Some(rate),
                ..net(10, usize::MAX)
            };
            let mut world = pair(config(scheme), net, &clip(20));
            world.run(MINUTE);
            assert_good(&world, 20);
            let measured = world.events.iter().filter_map(|e| match e {
                IngestEvent::Bandwidth(rate) => Some(*rate),
                _ => None,
            });
            let measured: Vec<u64> = measured.collect();
            assert_eq!(measured.len(), 1);
            let off = measured[0].abs_diff(rate);
            assert!(off * 10 <= rate, "{measured:?} for {rate} by {scheme}");
        }
    }
}

// MMSP-62, MMSP-64
#[test]
fn a_header_that_is_lost_is_asked_for_again() {
    let mut world = pair(config("mmsu"), net(10, 100), &clip(60));
    world.air.blocked = true;
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.packets().len(), 0);
    world.air.blocked = false;
    world.run(MINUTE);
    assert_good(&world, 60);

    // Nothing ever gets through: an error, or the other transport.
    for transport in [Transport::Udp, Transport::UdpThenTcp] {
        let config = ClientConfig {
            transport: Some(transport),
            ..config("mms")
        };
        let mut world = pair(config, net(10, 100), &clip(60));
        world.air.blocked = true;
        world.run(MINUTE);
        if transport == Transport::Udp {
            let reason = "no header in datagrams after 5 requests";
            assert_eq!(world.failure(), Some(reason));
        } else {
            assert_good(&world, 60);
            assert_eq!(world.connections, 2);
        }
    }
    // Some of its fragments are lost, time and again.
    for seed in 0..10 {
        let config = ClientConfig {
            reply_timeout: MINUTE,
            ..config("mmsu")
        };
        let mut world = pair(config, rough(200, seed), &clip(20));
        world.run(2 * MINUTE);
        assert!(world.client.is_done());
        let told = world.failure().is_some();
        assert_ne!(told, world.packets().len() > 10, "all or an error");
    }
}

// MMSP-36
#[test]
fn a_server_without_datagrams_says_so() {
    for (transport, plays) in [(Transport::Udp, false), (Transport::UdpThenTcp, true)] {
        let config = ClientConfig {
            transport: Some(transport),
            ..config("mms")
        };
        let no_udp = Config {
            udp: false,
            ..server()
        };
        let client = Client::new(config).unwrap();
        let mut world = World::of(client, Server::new(no_udp), 1755, LAN, &clip(30));
        world.run(MINUTE);
        if plays {
            assert_good(&world, 30);
        } else {
            let failure = world.failure().expect("an error");
            assert!(failure.contains("NS_E_PROTOCOL_MISMATCH"), "{failure}");
        }
    }
}

// MMSP-71, MMSP-86, MMSP-87, MMSP-93
#[test]
fn seeks() {
    for scheme in BOTH {
        for (delay, loss) in [(0, 0), (40, 0), (40, 50)] {
            let net = Net {
                delay: delay * MS,
                split: 333,
                ..rough(loss, 5)
            };
            let mut world = pair(config(scheme), net, &clip(200));
            world.run_for(Duration::from_secs(5));
            let before = world.packets().len();
            assert!(before > 30);
            world.with(|c, now| c.play(now, Start::Time(15_000)));
            world.run(MINUTE);
            assert_fair(&world);
            let got = world.packets();
            let after = got.iter().position(|(n, _)| *n >= 150).unwrap();
            // Nothing between: what was on its way at the stop is dropped.
            assert_eq!(after, before);
            assert!(got.is_sorted_by(|a, b| a.0 < b.0));
            let rest = &numbers(&world)[after..];
            if loss == 0 || scheme == "mmst" {
                assert_eq!(rest, (150..200).collect::<Vec<_>>());
                assert_eq!(world.client.transfer().lost, 0);
            } else {
                assert!(rest.len() >= 48, "{rest:?}");
            }
            for (n, bytes) in &got {
                assert_eq!(bytes, &world.clips["/clip"].packets[*n as usize].bytes);
            }
            assert_eq!(world.logs.len(), 2);
        }
    }
}

// MMSP-101, MMSP-102, MMSP-104
#[test]
fn pauses_for_ten_minutes() {
    for scheme in BOTH {
        let mut world = pair(config(scheme), net(10, 100), &clip(100));
        world.run_for(Duration::from_secs(3));
        world.with(|c, now| c.stop(now));
        world.run_for(MINUTE);
        let (before, writes) = (world.packets().len(), world.writes);
        world.run_for(9 * MINUTE);
        assert_eq!(world.packets().len(), before);
        // A Pong for each Ping, one in thirty seconds.
        let pongs = world.writes - writes;
        assert!((17..=19).contains(&pongs), "{pongs}");
        assert_eq!(world.server.session_count(), 1);
        world.with(|c, now| c.resume(now));
        world.run(MINUTE);
        assert_fair(&world);
        // From the key frame in front of where it stopped, to the end.
        let resumed = before as u32 - before as u32 % (2 * KEY_EVERY);
        let rest = numbers(&world)[before..].to_vec();
        assert_eq!(rest, (resumed..100).collect::<Vec<_>>());
    }
}

// MMSP-65, MMSP-66, MMSP-68
#[test]
fn streams_are_selected_at_the_start() {
    for scheme in BOTH {
        for (levels, want) in [
            (vec![(2, Level::Whole)], 30),
            (vec![(1, Level::KeyOnly)], 6),
            (vec![(1, Level::KeyOnly), (2, Level::Whole)], 36),
        ] {
            let config = ClientConfig {
                streams: Streams::Only(levels),
                ..config(scheme)
            };
            let mut world = pair(config, net(1, 10), &clip(60));
            world.run(MINUTE);
            assert_good(&world, want);
        }
    }
}

// MMSP-65
#[test]
fn streams_are_switched_while_playing() {
    for scheme in BOTH {
        for (level, most) in [(Level::Off, 25), (Level::KeyOnly, 32)] {
            let mut world = pair(config(scheme), net(10, 50), &clip(100));
            world.run_for(Duration::from_secs(4));
            let switch = StreamSwitch {
                from: None,
                to: Some(1),
                level,
            };
            world.with(|c, now| c.select(now, &[switch]));
            world.run(MINUTE);
            assert_fair(&world);
            assert_eq!(world.packets(), world.sent_packets());
            let got = numbers(&world);
            let video = got.iter().filter(|n| **n % 2 == 0).count();
            assert!((15..most).contains(&video), "{video} packets of video");
            assert_eq!(got.len() - video, 50, "audio goes on");
            // What was left out took no Sequence: nothing is missing, nothing was asked for.
            assert_eq!(world.client.transfer().requests, 0);
        }
    }
}

// MMSP-85
#[test]
fn winds_forward_and_back() {
    for scheme in BOTH {
        let mut world = pair(config(scheme), net(10, 50), &clip(200));
        world.run_for(Duration::from_secs(5));
        let before = world.packets().len();
        world.with(|c, now| c.play_at_rate(now, Start::Time(15_000), -5000));
        world.run(MINUTE);
        assert_fair(&world);
        let wound = numbers(&world)[before..].to_vec();
        let want: Vec<u32> = (0..=15).rev().map(|n| 10 * n).collect();
        assert_eq!(wound, want);
        let config = ClientConfig {
            rate_milli: 5000,
            ..config(scheme)
        };
        let mut world = pair(config, net(10, 50), &clip(200));
        let start = world.now;
        world.run(MINUTE);
        assert_good(&world, 20);
        let took = world.now.since(start).as_millis();
        assert!((3900..4900).contains(&took), "{took} ms");
        assert_eq!(
            wmlog::parse(&world.logs[0]).unwrap().get(Field::CRate),
            Some("5")
        );
    }
}

// MMSP-73
#[test]
fn stops_where_it_was_asked_to() {
    for scheme in BOTH {
        let config = ClientConfig {
            start: Start::Time(3000),
            max_duration: Some(2000),
            ..config(scheme)
        };
        let mut world = pair(config, net(10, 50), &clip(200));
        world.run(MINUTE);
        assert_good(&world, 20);
        assert_eq!(numbers(&world), (30..50).collect::<Vec<_>>());
    }
}

// MMSP-77
#[test]
fn starts_fast() {
    for scheme in BOTH {
        let config = ClientConfig {
            accel: Some(Accel {
                bits_per_second: 240_000,
                duration_ms: 3000,
            }),
            ..config(scheme)
        };
        let mut world = pair(config, net(1, 1000), &clip(100));
        let start = world.now;
        world.run(MINUTE);
        assert_good(&world, 100);
        assert_eq!(world.rushed, 30);
        // Three seconds of content in a quarter of a second; header and the rest in real time.
        let took = world.now.since(start).as_millis() as u64;
        assert!((7100..8200).contains(&took), "{took} ms");
    }
}

fn entries() -> [(&'static str, Clip); 3] {
    let last = Clip {
        playlist: true,
        ..Clip::new(10, 3)
    };
    [
        ("/clip", Clip::new(30, 1).then("/second")),
        ("/second", Clip::new(20, 2).then("/third")),
        ("/third", last),
    ]
}

// MMSP-88, MMSP-89, MMSP-90, MMSP-91
#[test]
fn entries_change() {
    for scheme in BOTH {
        for autoselect in [true, false] {
            for split in [1, 50, usize::MAX] {
                let config = ClientConfig {
                    autoselect,
                    ..config(scheme)
                };
                let mut world = pair(config, net(10, split), &entries());
                if !autoselect {
                    // By hand, or by the server two seconds later over TCP.
                    world.run_for(Duration::from_secs(5));
                    if scheme == "mmsu" {
                        world.with(|c, now| c.select(now, &[]));
                        world.run_for(Duration::from_secs(4));
                        world.with(|c, now| c.select(now, &[]));
                    }
                }
                world.run(3 * MINUTE);
                assert_good(&world, 60);
                assert_eq!(world.count(|e| *e == IngestEvent::EntryEnd), 2);
                assert_eq!(world.count(|e| matches!(e, IngestEvent::Header(_))), 3);
                assert_eq!(logged(&world, Field::CPktsReceived), [30, 20, 10]);
            }
        }
    }
}

#[test]
fn entries_change_in_bad_weather() {
    for seed in 0..10 {
        let mut world = pair(config("mmsu"), rough(20, seed), &entries());
        world.run(3 * MINUTE);
        assert_fair(&world);
        assert_eq!(world.count(|e| matches!(e, IngestEvent::Header(_))), 3);
        // Of what was lost at the very end of an entry the server has nothing left to send again.
        let got = world.packets().len();
        assert!(got >= 57, "{got} of 60");
        let starts = numbers(&world).windows(2).filter(|w| w[1] < w[0]).count();
        assert_eq!(starts, 2, "each entry in its order");
    }
}

// MMSP-108
#[test]
fn a_source_that_goes_ends_the_stream() {
    for scheme in BOTH {
        let clips = [("/clip", Clip::new(3000, 1).live())];
        let mut world = pair(config(scheme), net(10, 100), &clips);
        world.run_for(Duration::from_secs(5));
        world.lose_sources();
        world.run(MINUTE);
        assert_fair(&world);
        let ends = world.count(|e| *e == IngestEvent::End(0xC00D_145E));
        assert_eq!(ends, 1);
        assert_eq!(world.packets(), world.sent_packets());
    }
}

// MMSP-108
#[test]
fn a_server_that_is_drained_finishes_what_runs() {
    for scheme in BOTH {
        let mut world = pair(config(scheme), net(10, 100), &clip(50));
        world.run_for(Duration::from_secs(2));
        world.server.handle(world.now, Input::Drain);
        world.run(MINUTE);
        assert_eq!(world.packets(), world.sent_packets());
        assert_eq!(world.packets().len(), 50);
        assert_eq!(world.count(|e| *e == IngestEvent::End(0)), 1);
        assert_eq!(world.failure(), None);
    }
}

// MMSP-45, MMSP-47
#[test]
fn redirects_are_followed() {
    for scheme in BOTH {
        let clips = [("/a%20b", Clip::new(30, 1))];
        let mut world = pair(config(scheme), net(10, 7), &clips);
        world.moved.insert("/clip", "mms://server/a b".into());
        world.run(MINUTE);
        assert_fair(&world);
        assert_eq!(world.packets().len(), 30);
        assert_eq!(world.connections, 2);
        let told = News::Redirected("mms://server/a b".into());
        let is = |e: &IngestEvent| matches!(e, IngestEvent::News(n) if **n == told);
        assert_eq!(world.count(is), 1);
        assert_eq!(world.client.transfer().udp, scheme == "mmsu");
    }
}

// MMSP-48, MMSP-50, MMSP-51, MMSP-53
#[test]
fn basic_lets_in_who_knows_the_word() {
    for (word, plays) in [(Some("pw"), true), (Some("no"), false), (None, false)] {
        let word = word.map(|w| ("u".to_owned(), Password::new(w.to_owned())));
        let config = ClientConfig {
            credentials: word,
            ..config("mmst")
        };
        let mut world = pair(config, net(10, 7), &clip(30));
        world.user = Some(("u", "pw"));
        world.run(MINUTE);
        if plays {
            assert_good(&world, 30);
        } else {
            let failure = world.failure().expect("an error");
            assert!(failure.ends_with("by Basic realm=\"clips\""), "{failure}");
            assert_eq!(world.packets().len(), 0);
            assert_eq!(world.held(), 0);
        }
    }
}

#[test]
fn what_is_not_there_is_an_error() {
    let mut world = pair(config("mmst"), LAN, &[]);
    world.run(MINUTE);
    let reason = "ReportOpenFile says 0xC00D001A (NS_E_FILE_NOT_FOUND)";
    assert_eq!(world.failure(), Some(reason));
    assert_eq!(world.refused.len(), 1);
}

// MMSP-78, MMSP-42
#[test]
fn old_clients_and_old_servers_play() {
    for scheme in BOTH {
        for (client, server_version) in [("4.1.0.3857", "9.01.01.3841"), ("9.0.0.3372", "4.1")] {
            let config = ClientConfig {
                version: client.into(),
                accel: Some(Accel {
                    bits_per_second: 240_000,
                    duration_ms: 3000,
                }),
                ..config(scheme)
            };
            let server = Config {
                version: server_version.into(),
                ..server()
            };
            let client = Client::new(config).unwrap();
            let mut world = World::of(client, Server::new(server), 1755, LAN, &clip(40));
            world.run(MINUTE);
            assert_good(&world, 40);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_arrives(
        udp in any::<bool>(), pair_wanted in any::<bool>(), live in any::<bool>(), delay in 0u32..300,
        split in 1usize..3000, rate in proptest::option::of(200_000u64..5_000_000),
        accel in any::<bool>(), jitter in 0u32..9, doubles in 0u32..200, count in 11u32..80,
        seed in any::<u64>(),
    ) {
        let config = ClientConfig {
            packet_pair: pair_wanted,
            seed,
            accel: accel.then_some(Accel { bits_per_second: 1_000_000, duration_ms: 2000 }),
            ..config(BOTH[usize::from(udp)])
        };
        let weather = Weather { jitter: jitter * MS, doubles, seed, loss: 0 };
        let net = Net { delay: delay * MS, split, rate, weather };
        let first = Clip::new(count, 1).then("/second");
        let clips = match live {
            true => [("/clip", Clip::new(220, 1).live()), ("/second", Clip::new(1, 0))],
            false => [("/clip", first), ("/second", Clip { playlist: true, ..Clip::new(count, 2) })],
        };
        let mut world = pair(config, net, &clips);
        world.run(5 * MINUTE);
        prop_assert_eq!(world.failure(), None);
        prop_assert_eq!(world.packets(), world.sent_packets());
        prop_assert!(world.client.is_done());
        if !live {
            prop_assert_eq!(world.packets().len(), 2 * count as usize);
        }
        prop_assert_eq!(world.held(), 0);
        prop_assert_eq!(world.client.transfer().lost, 0);
    }

    /// In any weather the session ends in order, with everything counted.
    #[test]
    fn any_weather_is_lived_through(
        loss in 0u32..300, doubles in 0u32..200, jitter in 0u32..200, delay in 0u32..150,
        seed in any::<u64>(), seek in proptest::option::of(0u32..20_000), at in 0u32..9000,
    ) {
        let weather = Weather { loss, doubles, jitter: jitter * MS, seed };
        let net = Net { delay: delay * MS, weather, ..LAN };
        let mut world = pair(config("mmsu"), net, &clip(200));
        world.run_for(at * MS);
        if let Some(ms) = seek {
            world.with(|c, now| c.play(now, Start::Time(ms)));
        }
        world.run(5 * MINUTE);
        prop_assert!(world.client.is_done());
        prop_assert_eq!(world.held(), 0);
        // Only a header that never came is an error.
        if let Some(reason) = world.failure() {
            prop_assert_eq!(reason, "no header in datagrams after 5 requests");
            return Ok(());
        }
        for (n, bytes) in world.packets() {
            prop_assert_eq!(&bytes, &world.clips["/clip"].packets[n as usize].bytes);
        }
        let backward = numbers(&world).windows(2).filter(|w| w[1] <= w[0]).count();
        prop_assert!(backward <= 1, "one seek at most");
        let transfer = world.client.transfer();
        let got = world.packets().len() as u64;
        prop_assert!(transfer.received + transfer.recovered >= got);
        if loss == 0 && jitter < 10 {
            prop_assert_eq!(transfer.lost, 0);
        }
    }
}
