//! Client and server machine against each other.

mod asf_build;
mod pair_world;

use pair_world::*;
use proptest::prelude::*;
use protocols::content::*;
use protocols::http::head::Version as HttpVersion;
use protocols::media::{IngestEvent, News};
use protocols::wmlog::{self, Field};
use protocols::wmsp::client::{ClientConfig, Streams};
use protocols::wmsp::version::ClientToken;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn config(pipelined: bool) -> ClientConfig {
    ClientConfig {
        pipelined,
        ..ClientConfig::new("http://server/clip", 11)
    }
}

fn net(delay_ms: u64, split: usize) -> Net {
    Net {
        delay: Duration::from_millis(delay_ms),
        split,
        ..LAN
    }
}

/// What every good session leaves behind.
fn assert_good(world: &World, packets: usize) {
    assert_eq!(world.failure(), None);
    assert_eq!(world.refused, []);
    assert_eq!(world.packets().len(), packets);
    assert_eq!(world.packets(), world.sent_packets());
    assert_eq!(world.count(|e| *e == IngestEvent::End(0)), 1);
    assert!(world.client.is_done());
    assert_eq!(world.held(), 0, "contents not given back");
    let logs = world.count(|e| *e == IngestEvent::LogSent);
    assert_eq!(logs, world.logs.len());
    for log in &world.logs {
        assert_eq!(wmlog::parse(log).unwrap().defects, Default::default());
    }
}

fn logged_packets(world: &World) -> Vec<u32> {
    let count = |log| {
        wmlog::parse(log)
            .unwrap()
            .number(Field::CPktsReceived)
            .unwrap()
    };
    world.logs.iter().map(count).collect()
}

#[test]
fn plays_on_demand_at_every_split() {
    for pipelined in [false, true] {
        for (delay, split) in [
            (0, 1),
            (1, 2),
            (30, 3),
            (5, 7),
            (200, 64),
            (1, 1000),
            (3, usize::MAX),
        ] {
            let clips = [("/clip", Clip::new(60, 1))];
            let mut world = World::new(config(pipelined), net(delay, split), &clips);
            let start = world.now;
            world.run(2 * MINUTE);
            assert_good(&world, 60);
            assert_eq!(logged_packets(&world), [60]);
            assert!(
                world
                    .events
                    .contains(&IngestEvent::Header(clips[0].1.header.clone()))
            );
            let told = News::Pipelined(true);
            let is = |e: &IngestEvent| matches!(e, IngestEvent::News(n) if **n == told);
            assert_eq!(world.count(is), usize::from(pipelined));
            assert_eq!(world.connections == 1, pipelined);
            // Real time: 60 packets, 100 ms each, and some round trips.
            let took = world.now.since(start).as_millis() as u64;
            assert!((5900..6100 + delay * 20).contains(&took), "{took} ms");
        }
    }
}

#[test]
fn joins_live() {
    for pipelined in [false, true] {
        let mut world = World::new(
            config(pipelined),
            net(5, 100),
            &[("/clip", Clip::new(300, 1).live())],
        );
        world.run(MINUTE);
        // Twenty seconds have passed, five are kept.
        assert_eq!(world.packets()[0].0, 150);
        assert_good(&world, 150);
        let first = &world.logs[0];
        assert!(wmlog::parse(first).unwrap().get(Field::CStarttime) == Some("0"));
    }
}

#[test]
fn leaves_live() {
    for pipelined in [false, true] {
        let mut world = World::new(
            config(pipelined),
            net(20, 100),
            &[("/clip", Clip::new(3000, 1).live())],
        );
        world.run_for(Duration::from_secs(10));
        world.with(|c, now| c.finish(now));
        world.run(MINUTE);
        assert!(world.client.is_done());
        assert_eq!(world.failure(), None);
        assert_eq!(world.count(|e| *e == IngestEvent::LogSent), 1);
        let got = world.packets();
        assert!((90..=110).contains(&got.len()), "{} packets", got.len());
        assert_eq!(got, world.sent_packets()[..got.len()]);
        // The session goes with its idle time, and its content with it.
        world.run_for(3 * MINUTE);
        assert_eq!(world.held(), 0);
    }
}

// BW-22, WMSP-53, WMSP-54
#[test]
fn packet_pairs_measure_the_link() {
    for rate in [56_000, 300_000, 1_000_000, 10_000_000] {
        let net = Net {
            rate: Some(rate),
            ..net(10, usize::MAX)
        };
        let mut world = World::new(config(true), net, &[("/clip", Clip::new(20, 1))]);
        world.run(MINUTE);
        assert_good(&world, 20);
        let measured = world.events.iter().find_map(|e| match e {
            IngestEvent::Bandwidth(rate) => Some(*rate),
            _ => None,
        });
        let measured = measured.expect("an estimate");
        assert!(
            measured.abs_diff(rate) * 10 <= rate,
            "{measured} for {rate}"
        );
    }
}

// PL-26, PL-30, WMSP-88: with prediction at once, without by SelectStream or PlayNextEntry.
#[test]
fn entries_change() {
    for pipelined in [false, true] {
        for predictive in [false, true] {
            for split in [1, 50, usize::MAX] {
                let clips = [
                    ("/clip", Clip::new(30, 1).then("/second")),
                    ("/second", Clip::new(20, 2).then("/third")),
                    (
                        "/third",
                        Clip {
                            playlist: true,
                            ..Clip::new(10, 3)
                        },
                    ),
                ];
                let config = ClientConfig {
                    predictive,
                    ..config(pipelined)
                };
                let mut world = World::new(config, net(10, split), &clips);
                world.run(3 * MINUTE);
                assert_good(&world, 60);
                assert_eq!(world.count(|e| *e == IngestEvent::EntryEnd), 2);
                assert_eq!(world.count(|e| matches!(e, IngestEvent::Header(_))), 3);
                let waited = IngestEvent::News(Box::new(News::Waiting));
                assert_eq!(
                    world.count(|e| *e == waited),
                    if predictive { 0 } else { 2 }
                );
                let mut logged = logged_packets(&world);
                logged.sort();
                assert_eq!(logged, [10, 20, 30]);
            }
        }
    }
}

// WMSP-79, WMSP-110
#[test]
fn seeks() {
    for pipelined in [false, true] {
        for delay in [0, 40] {
            let mut world = World::new(
                config(pipelined),
                net(delay, 333),
                &[("/clip", Clip::new(200, 1))],
            );
            world.run_for(Duration::from_secs(5));
            let before = world.packets();
            assert!(before.len() > 30);
            world.with(|c, now| c.play(now, Start::Time(15_000)));
            world.run(MINUTE);
            assert_eq!(world.failure(), None);
            let got = world.packets();
            let after = got.iter().position(|(n, _)| *n == 150).unwrap();
            // Nothing between: what was on its way at the stop is dropped.
            assert!(
                got[..after]
                    .iter()
                    .zip(0..)
                    .all(|((n, _), want)| *n == want)
            );
            assert!(after >= before.len() && after < 60);
            let rest: Vec<u32> = got[after..].iter().map(|(n, _)| *n).collect();
            assert_eq!(rest, (150..200).collect::<Vec<_>>());
            for (n, bytes) in &got {
                assert_eq!(bytes, &world.clips["/clip"].packets[*n as usize].bytes);
            }
            assert!(world.client.is_done());
            assert_eq!(world.logs.len(), 2);
            assert_eq!(world.held(), 0);
        }
    }
}

// WMSP-69, WMSP-99
#[test]
fn streams_are_selected_at_the_start() {
    for pipelined in [false, true] {
        for (levels, want) in [
            (vec![(2, Level::Whole)], 30),
            (vec![(1, Level::KeyOnly)], 6),
            (vec![(1, Level::KeyOnly), (2, Level::Whole)], 36),
        ] {
            let config = ClientConfig {
                streams: Streams::Only(levels),
                ..config(pipelined)
            };
            let mut world = World::new(config, net(1, 10), &[("/clip", Clip::new(60, 1))]);
            world.run(MINUTE);
            assert_good(&world, want);
        }
    }
}

// WMSP-71, WMSP-73
#[test]
fn streams_are_switched_while_playing() {
    for pipelined in [false, true] {
        let mut world = World::new(
            config(pipelined),
            net(10, 50),
            &[("/clip", Clip::new(100, 1))],
        );
        world.run_for(Duration::from_secs(4));
        let off = StreamSwitch {
            from: None,
            to: Some(1),
            level: Level::Off,
        };
        world.with(|c, now| c.select(now, &[off]));
        world.run(MINUTE);
        assert_eq!(world.failure(), None);
        assert_eq!(world.packets(), world.sent_packets());
        let got = world.packets();
        let video = got.iter().filter(|(n, _)| n % 2 == 0).count();
        assert!((15..25).contains(&video), "{video} packets of video");
        assert_eq!(got.len() - video, 50, "audio goes on");
        assert!(world.client.is_done());
    }
}

// WMSP-61, WMSP-65, BW-23, BW-24, BW-33, BW-36, BW-37
#[test]
fn starts_fast() {
    for pipelined in [false, true] {
        let config = ClientConfig {
            accel: Some(Accel {
                bits_per_second: 240_000,
                duration_ms: 3000,
            }),
            speed_milli: Some(91_268_055),
            ..config(pipelined)
        };
        let mut world = World::new(config, net(1, 1000), &[("/clip", Clip::new(100, 1))]);
        let start = world.now;
        world.run(MINUTE);
        assert_eq!(world.failure(), None);
        assert_eq!(world.packets(), world.sent_packets());
        assert_eq!(world.rushed, 30);
        let granted = world.events.iter().find_map(|e| match e {
            IngestEvent::News(news) => match &**news {
                News::Granted {
                    accel,
                    speed_milli,
                    startup_profile,
                } => Some((*accel, *speed_milli, startup_profile.clone())),
                _ => None,
            },
            _ => None,
        });
        let (accel, speed, profile) = granted.unwrap();
        assert_eq!(accel.unwrap().bits_per_second, 240_000);
        assert_eq!(accel.unwrap().duration_ms, 3000);
        assert_eq!(speed, Some(5000));
        let profile = profile.expect("a profile");
        assert!(
            profile.starts_with("Rate=10,12,15,20,30;MaxBytes="),
            "{profile}"
        );
        assert!(
            profile.contains(";StartTime=1000;LastTime=3000;"),
            "{profile}"
        );
        assert!(profile.ends_with(";"));
        // Three seconds by bytes (30 packets of about 200 bytes at 30 kB/s), seven at five times
        // real time.
        let took = world.now.since(start).as_millis() as u64;
        assert!((1500..1900).contains(&took), "{took} ms");
    }
}

// WMSP-89, WMSP-90, WMSP-111: a paused session outlives its idle time many times over.
#[test]
fn pauses() {
    for pipelined in [false, true] {
        let mut world = World::new(
            config(pipelined),
            net(10, 100),
            &[("/clip", Clip::new(100, 1))],
        );
        world.run_for(Duration::from_secs(3));
        world.with(|c, now| c.stop(now));
        world.run_for(10 * MINUTE);
        assert_eq!(world.failure(), None);
        assert_eq!(world.server.session_count(), 1, "kept alive");
        let before = world.packets().len();
        world.with(|c, now| c.play(now, Start::Time(8000)));
        world.run(MINUTE);
        assert_eq!(world.failure(), None);
        assert_eq!(world.packets().len() - before, 20);
        assert_eq!(world.refused, []);
        assert!(world.client.is_done());
    }
}

#[test]
fn old_clients_play() {
    for (version, http) in [
        ("4.1.0.3856", HttpVersion::Http10),
        ("8.0.0.4477", HttpVersion::Http11),
    ] {
        let config = ClientConfig {
            version: version.into(),
            http,
            ..config(false)
        };
        let mut world = World::new(config, net(3, 99), &[("/clip", Clip::new(40, 1))]);
        world.run(MINUTE);
        assert_good(&world, 40);
        // WMSP-04, WMSP-55
        assert_eq!(world.count(|e| matches!(e, IngestEvent::Metadata(_))), 0);
    }
}

#[test]
fn servers_pull() {
    let config = ClientConfig {
        role: ClientToken::NsServer,
        version: "9.1.1.3841".into(),
        burst: Some(Accel {
            bits_per_second: 3_500_000,
            duration_ms: 5000,
        }),
        ..config(true)
    };
    let mut world = World::new(config, net(3, 99), &[("/clip", Clip::new(300, 1).live())]);
    world.run(MINUTE);
    assert_good(&world, 150);
    assert_eq!(world.rushed, 50);
}

#[test]
fn what_is_not_there_is_an_error() {
    let mut world = World::new(config(true), LAN, &[]);
    world.run(MINUTE);
    assert_eq!(world.failure(), Some("status 404 in the reply to Describe"));
    assert_eq!(world.refused.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_arrives(
        pipelined in any::<bool>(), predictive in any::<bool>(), pair in any::<bool>(),
        live in any::<bool>(), delay in 0u64..300, split in 1usize..3000,
        rate in proptest::option::of(200_000u64..5_000_000), accel in any::<bool>(),
        count in 11u32..80, seed in any::<u64>(),
    ) {
        let config = ClientConfig {
            predictive,
            packet_pair: pair,
            seed,
            accel: accel.then_some(Accel { bits_per_second: 1_000_000, duration_ms: 2000 }),
            ..config(pipelined)
        };
        let net = Net { delay: Duration::from_millis(delay), split, rate, ..LAN };
        let first = Clip::new(count, 1).then("/second");
        let clips = match live {
            true => [("/clip", Clip::new(220, 1).live()), ("/second", Clip::new(1, 0))],
            false => [("/clip", first), ("/second", Clip { playlist: true, ..Clip::new(count, 2) })],
        };
        let mut world = World::new(config, net, &clips);
        world.run(5 * MINUTE);
        prop_assert_eq!(world.failure(), None);
        prop_assert_eq!(world.packets(), world.sent_packets());
        prop_assert!(world.client.is_done());
        if !live {
            prop_assert_eq!(world.packets().len(), 2 * count as usize);
        }
        prop_assert_eq!(world.held(), 0);
    }
}
