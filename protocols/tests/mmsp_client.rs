//! The client of MMSP up to the first packet: what it says, and whom it follows.

mod asf_build;
mod mmsp_rig;

use mmsp_rig::*;
use protocols::auth::Password;
use protocols::content::{Accel, Level, Start};
use protocols::machine::{ConnId, Input};
use protocols::media::{IngestEvent, News};
use protocols::mmsp::client::{ClientConfig, Streams, Transport};
use protocols::mmsp::message::*;
use protocols::mmsp::wire::incarnation;
use protocols::rate::packet_pair::UNLIMITED;
use std::time::Duration;

const VERSION: &str = "9.01.01.3841";

fn tcp() -> ClientConfig {
    config("mmst://h/vod/a%20b.wmv?x=1")
}

fn udp() -> ClientConfig {
    config("mmsu://h/a.wmv")
}

// MMSP-05, MMSP-08, MMSP-22, MMSP-34, X12
#[test]
fn opens_over_tcp() {
    let mut rig = Rig::new(tcp());
    assert_eq!(rig.connects, [(ConnId(1), "h".into(), 1755)]);
    let (wants, name) = rig.open();
    assert_eq!(wants, incarnation::NO_PAIR);
    let guid = name.split_once("; ").expect("a GUID").1;
    assert!(name.starts_with("NSPlayer/9.0.0.3372; {"), "{name}");
    assert!(guid.contains("; Host: h"), "{name}");
    rig.say(connected(VERSION, true));
    let none = ToServer::FunnelInfo {
        play_incarnation: incarnation::NO_PAIR,
    };
    assert_eq!(rig.only(), none, "no pair is wanted");
    rig.say(funnel(incarnation::NO_PAIR, 0));
    let funnel = ToServer::ConnectFunnel {
        funnel_name: r"\\192.0.2.7\TCP\4321".into(),
    };
    assert_eq!(rig.only(), funnel);
    rig.say(ToClient::ReportConnectedFunnel);
    let open = ToServer::OpenFile {
        play_incarnation: 9,
        file_name: "vod/a b.wmv?x=1".into(),
        token: Vec::new(),
    };
    assert_eq!(rig.only(), open);
    let start = rig.describe(opened(), false);
    // The one video stream of the header, and the start with the next incarnation.
    let entries = vec![
        SwitchEntry {
            src: 0xFFFF,
            dst: 1,
            thinning: 0,
        },
        SwitchEntry {
            src: 0xFFFF,
            dst: 2,
            thinning: 0,
        },
    ];
    assert_eq!(start[0], ToServer::StreamSwitch { entries });
    let plain = StartPlaying {
        open_file_id: 1,
        position: Position {
            seconds: 0.0,
            asf_offset: u32::MAX,
            location_id: u32::MAX,
        },
        frame_offset: 0,
        play_incarnation: 10,
        accel: None,
        link_bandwidth: None,
    };
    assert_eq!(start[1], ToServer::StartPlaying(plain));
    assert_eq!(start.len(), 2);
    assert!(rig.events.contains(&IngestEvent::Header(header().into())));
    assert!(rig.has_news(&News::Described {
        server: VERSION.into(),
        features: "seekable,stridable".into(),
    }));
    let counted: Vec<u16> = (0..rig.seqs.len() as u16).collect();
    assert_eq!(rig.seqs, counted);
}

#[test]
fn every_split_is_the_same() {
    let play = |size: usize| {
        let mut rig = Rig::new(tcp());
        rig.open();
        let mut talk = Vec::new();
        let mut seq = 0;
        let mut say = |m: ToClient| {
            talk.extend(protocols::mmsp::wire::packet(&m, seq, 0));
            seq += 1;
        };
        say(connected(VERSION, true));
        say(funnel(incarnation::NO_PAIR, 0));
        say(ToClient::ReportConnectedFunnel);
        say(ToClient::ReportOpenFile(opened()));
        say(ToClient::ReportReadBlock {
            hr: 0,
            play_incarnation: 1,
        });
        let header = header();
        for (head, payload) in protocols::mmsp::wire::fragments(&header, 100, 1) {
            talk.extend(head.bytes());
            talk.extend(payload);
        }
        for number in 0..5 {
            let payload = media(number);
            talk.extend(DataHead::of(number, 10, number as u8, payload.len()).bytes());
            talk.extend(payload);
        }
        let ping = protocols::mmsp::wire::packet(&ToClient::Ping, 5, 0);
        talk.extend(ping);
        for piece in talk.chunks(size) {
            rig.bytes(piece);
        }
        (rig.sent(), rig.events)
    };
    let whole = play(usize::MAX);
    assert_eq!(whole.0.last(), Some(&ToServer::Pong));
    let packets = |events: &[IngestEvent]| {
        let is = |e: &&IngestEvent| matches!(e, IngestEvent::Packet { .. });
        events.iter().filter(is).count()
    };
    assert_eq!(packets(&whole.1), 5);
    for size in [1, 2, 3, 7, 31, 33, 64, 1000] {
        assert_eq!(play(size), whole, "{size}");
    }
}

// MMSP-35, BW-18, BW-19
#[test]
fn a_packet_pair_over_tcp_measures_the_link() {
    let mut rig = Rig::new(ClientConfig {
        packet_pair: true,
        ..tcp()
    });
    assert_eq!(rig.open().0, incarnation::PAIR);
    rig.say(connected(VERSION, true));
    let asks = ToServer::FunnelInfo {
        play_incarnation: incarnation::PAIR_TCP,
    };
    assert_eq!(rig.only(), asks);
    // 512 bytes in 4.096 ms are 1 Mbit/s; the third comes no faster.
    for (random, micros) in [(432, 0), (432, 4096), (976, 8448)] {
        assert_eq!(rig.sent(), [], "not before the third");
        rig.now = rig.now + Duration::from_micros(micros);
        rig.say(funnel(incarnation::PAIR_TCP, random));
    }
    assert!(matches!(rig.only(), ToServer::ConnectFunnel { .. }));
    assert!(rig.events.contains(&IngestEvent::Bandwidth(1_000_000)));
    rig.say(funnel(incarnation::PAIR_TCP, 976));
    assert_eq!(
        rig.failure(),
        Some("ReportFunnelInfo that nothing asked for")
    );
}

// MMSP-34
#[test]
fn a_server_without_packet_pairs_is_not_asked_for_one() {
    for url in ["mmst://h/a", "mmsu://h/a"] {
        let mut rig = Rig::new(ClientConfig {
            packet_pair: true,
            ..config(url)
        });
        rig.open();
        rig.say(connected(VERSION, false));
        let none = ToServer::FunnelInfo {
            play_incarnation: incarnation::NO_PAIR,
        };
        assert_eq!(rig.only(), none);
        rig.say(funnel(incarnation::NO_PAIR, 0));
        assert!(matches!(rig.only(), ToServer::ConnectFunnel { .. }));
    }
}

// BW-20
#[test]
fn a_packet_pair_over_udp_measures_the_link() {
    let mut rig = Rig::new(ClientConfig {
        packet_pair: true,
        ..udp()
    });
    rig.open();
    rig.say(connected(VERSION, true));
    let asks = ToServer::FunnelInfo {
        play_incarnation: incarnation::PAIR_UDP,
    };
    assert_eq!(rig.only(), asks);
    rig.say(funnel(incarnation::PAIR_UDP, 0));
    let funnel = ToServer::ConnectFunnel {
        funnel_name: r"\\192.0.2.7\UDP\7000".into(),
    };
    assert_eq!(rig.only(), funnel);
    rig.say(ToClient::ReportConnectedFunnel);
    rig.sent();
    rig.say(ToClient::ReportOpenFile(opened()));
    let pair = [1; 1464];
    rig.data(DataHead::of_pair(0, 1464), &pair, true);
    rig.now = rig.now + Duration::from_micros(11_776);
    rig.data(DataHead::of_pair(1, 1464), &pair, true);
    assert!(rig.events.contains(&IngestEvent::Bandwidth(1_000_000)));
    // Another pair with the header that is asked for again changes nothing.
    rig.data(DataHead::of_pair(0, 1464), &pair, true);
    rig.data(DataHead::of_pair(1, 1464), &pair, true);
    assert!(!rig.events.contains(&IngestEvent::Bandwidth(UNLIMITED)));
}

// MMSP-36
#[test]
fn the_other_transport_is_tried_if_that_is_wanted() {
    for transport in [Transport::Udp, Transport::UdpThenTcp] {
        let mut rig = Rig::new(ClientConfig {
            transport: Some(transport),
            ..tcp()
        });
        rig.open();
        rig.say(connected(VERSION, false));
        rig.sent();
        rig.say(funnel(incarnation::NO_PAIR, 0));
        rig.sent();
        rig.say(ToClient::ReportDisconnectedFunnel { hr: 0xC00D_0012 });
        if transport == Transport::Udp {
            let failure = rig.failure().expect("an error");
            assert!(failure.contains("NS_E_PROTOCOL_MISMATCH"), "{failure}");
            continue;
        }
        let again = ToServer::ConnectFunnel {
            funnel_name: r"\\192.0.2.7\TCP\4321".into(),
        };
        assert_eq!(rig.only(), again);
        rig.say(ToClient::ReportConnectedFunnel);
        rig.sent();
        let start = rig.describe(opened(), false);
        let inc = rig.started(&start);
        rig.media(inc, 0, 0, false);
        assert_eq!(rig.numbers(), [0]);
        assert!(!rig.client.transfer().udp);
    }
}

#[test]
fn datagrams_that_never_come_lead_to_tcp() {
    let mut rig = Rig::new(ClientConfig {
        transport: Some(Transport::UdpThenTcp),
        ..tcp()
    });
    rig.open_up_to_file(VERSION);
    rig.say(ToClient::ReportOpenFile(opened()));
    rig.say(ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 1,
    });
    for inc in 2..6 {
        rig.wait();
        rig.say(ToClient::ReportReadBlock {
            hr: 0,
            play_incarnation: inc,
        });
    }
    rig.wait();
    assert_eq!(rig.failure(), None);
    assert_eq!((rig.connects.len(), rig.closed.len()), (2, 1));
    rig.sent();
    rig.open_up_to_file(VERSION);
    let start = rig.describe(opened(), false);
    rig.started(&start);
}

#[test]
fn refusals_end_the_session_and_say_why() {
    type Step = fn(&mut Rig);
    let steps: [(Step, &str); 4] = [
        (
            |rig| {
                rig.open();
                let ToClient::ReportConnectedEx {
                    play_incarnation,
                    server_version,
                    version_info,
                    version_url,
                    authen_package,
                    ..
                } = connected(VERSION, false)
                else {
                    unreachable!()
                };
                rig.say(ToClient::ReportConnectedEx {
                    hr: 0xC00D_000F,
                    play_incarnation,
                    server_version,
                    version_info,
                    version_url,
                    authen_package,
                });
            },
            "ReportConnectedEX says 0xC00D000F (NS_E_TOO_MANY_SESS)",
        ),
        (
            |rig| {
                rig.open_up_to_file(VERSION);
                rig.say(ToClient::ReportOpenFile(ReportOpenFile {
                    hr: REFUSED,
                    ..Default::default()
                }));
            },
            "ReportOpenFile says 0xC00D001A (NS_E_FILE_NOT_FOUND)",
        ),
        (
            |rig| {
                rig.open_up_to_file(VERSION);
                rig.describe(opened(), false);
                rig.say(ToClient::ReportStreamSwitch { hr: 0xC00D_003C });
            },
            "ReportStreamSwitch says 0xC00D003C (NS_E_INVALID_STREAM)",
        ),
        (
            |rig| {
                rig.open_up_to_file(VERSION);
                rig.describe(opened(), false);
                rig.say(ToClient::ReportStreamSwitch { hr: 0 });
                rig.say(ToClient::ReportStartedPlaying {
                    hr: 0x8765_4321,
                    play_incarnation: 10,
                    tiger_file_id: 1,
                });
            },
            "ReportStartedPlaying says 0x87654321",
        ),
    ];
    for (step, reason) in steps {
        let mut rig = Rig::new(tcp());
        step(&mut rig);
        assert_eq!(rig.failure(), Some(reason));
        assert!(rig.client.is_done());
        assert_eq!(rig.closed.len(), 1);
    }
}

// MMSP-15
#[test]
fn nonsense_ends_the_session() {
    let mut rig = Rig::new(tcp());
    rig.open();
    // A Data packet of seven bytes.
    rig.bytes(&[1, 0, 0, 0, 4, 0, 7, 0]);
    assert_eq!(rig.failure(), Some("7 as PacketSize of a Data packet"));
    let mut rig = Rig::new(tcp());
    rig.open();
    rig.say(ToClient::ReportStreamSwitch { hr: 0 });
    assert_eq!(
        rig.failure(),
        Some("ReportStreamSwitch that nothing asked for")
    );
    let mut rig = Rig::new(tcp());
    rig.open_up_to_file(VERSION);
    rig.say(ToClient::ReportOpenFile(opened()));
    rig.data(DataHead::of(0, 1, 0x0C, 5), b"trash", false);
    assert!(rig.failure().is_some_and(|f| f.ends_with("in the header")));
}

#[test]
fn silence_is_not_waited_out_for_ever() {
    let mut rig = Rig::new(tcp());
    assert_eq!(rig.wait(), Duration::from_secs(30));
    assert_eq!(rig.failure(), Some("no connection in 30 s"));
    let mut rig = Rig::new(tcp());
    rig.open();
    rig.now = rig.now + Duration::from_secs(1);
    rig.say(connected(VERSION, false));
    rig.wait();
    assert_eq!(rig.failure(), Some("no reply to FunnelInfo in 30 s"));
    let mut rig = Rig::new(tcp());
    rig.open();
    let conn = rig.conn();
    rig.handle(Input::Closed { conn });
    assert_eq!(
        rig.failure(),
        Some("connection closed before the reply to Connect")
    );
    assert_eq!(rig.closed, [], "it is closed already");
}

// MMSP-53, MMSP-54
#[test]
fn basic_is_answered_and_asked_once() {
    let credentials = Some(("u".to_owned(), Password::new("pw".to_owned())));
    let realm = b"r\0e\0a\0l\0m\0=\0\"\0x\0\"\0\0\0".to_vec();
    let challenge = |cookie| ToClient::SecurityChallenge {
        play_incarnation: 9,
        cookie,
        token: realm.clone(),
    };
    let mut rig = Rig::new(ClientConfig {
        credentials,
        ..tcp()
    });
    rig.open_up_to_file(VERSION);
    rig.say(challenge(0x77));
    let response = ToServer::SecurityResponse {
        play_incarnation: 9,
        cookie: 0x77,
        token: b"dTpwdw==\0".to_vec(),
    };
    assert_eq!(rig.only(), response);
    let mut accepted = rig;
    accepted.describe(opened(), false);
    assert_eq!(accepted.failure(), None);

    // Who has none, or wrong ones, is told.
    let mut rig = Rig::new(tcp());
    rig.open_up_to_file(VERSION);
    rig.say(challenge(1));
    assert_eq!(
        rig.failure(),
        Some("credentials are asked for by Basic realm=\"x\"")
    );
    let credentials = Some(("u".to_owned(), Password::new("no".to_owned())));
    let mut rig = Rig::new(ClientConfig {
        credentials,
        ..tcp()
    });
    rig.open_up_to_file(VERSION);
    rig.say(challenge(1));
    rig.sent();
    rig.say(challenge(2));
    assert_eq!(
        rig.failure(),
        Some("the credentials are refused by Basic realm=\"x\"")
    );
}

// MMSP-54
#[test]
fn the_scheme_is_taken_from_the_token_and_the_server() {
    let credentials = || Some(("u".to_owned(), Password::new("pw".to_owned())));
    for (version, token, basic) in [
        ("9.1", &[0, 0][..], false),
        ("9.1", &[1, 0], true),
        ("8.0", &[1, 0], true),
        // Unchanged: what AuthenPackage said, which is BASIC here.
        ("8.0", &[0, 0], true),
    ] {
        let mut rig = Rig::new(ClientConfig {
            credentials: credentials(),
            ..tcp()
        });
        rig.open_up_to_file(version);
        rig.say(ToClient::SecurityChallenge {
            play_incarnation: 9,
            cookie: 1,
            token: token.to_vec(),
        });
        let answered = matches!(rig.sent()[..], [ToServer::SecurityResponse { .. }]);
        assert_eq!(answered, basic, "{version} {token:?}");
        let told = rig.failure() == Some("credentials are asked for by NTLM");
        assert_eq!(told, !basic);
    }
}

// MMSP-23, MMSP-47
#[test]
fn redirects_are_followed() {
    let mut rig = Rig::new(udp());
    let redirect = |kind, location: &str| ToClient::ReportRedirect {
        kind,
        location: location.into(),
    };
    let guid = |name: &str| name.split("; ").nth(1).unwrap().to_owned();
    let first = rig.open().1;
    rig.say(connected(VERSION, false));
    rig.say(funnel(incarnation::NO_PAIR, 0));
    rig.say(ToClient::ReportConnectedFunnel);
    rig.sent();
    rig.say(redirect(1, "mmst://other:99/x y/z"));
    assert_eq!(rig.connects[1], (ConnId(2), "other".into(), 99));
    assert_eq!(rig.closed, [ConnId(1)]);
    let second = rig.open().1;
    assert_eq!(guid(&first), guid(&second), "one GUID for the session");
    assert!(second.contains("; Host: other:99"));
    rig.say(connected(VERSION, false));
    rig.say(funnel(incarnation::NO_PAIR, 0));
    let choice = rig.sent().pop().unwrap();
    assert_eq!(
        choice,
        ToServer::ConnectFunnel {
            funnel_name: r"\\192.0.2.7\UDP\7000".into()
        },
        "the transport stays"
    );
    rig.say(ToClient::ReportConnectedFunnel);
    let ToServer::OpenFile { file_name, .. } = rig.only() else {
        panic!()
    };
    assert_eq!(file_name, "x y/z");
    // Through a proxy, to the same content.
    rig.say(redirect(2, "mms://proxy:88"));
    assert_eq!(rig.connects[2], (ConnId(3), "proxy".into(), 88));
    let ToServer::OpenFile { file_name, .. } = rig.open_up_to_file(VERSION) else {
        panic!()
    };
    assert_eq!(file_name, "x y/z");
    // And without it again.
    rig.say(redirect(2, ""));
    assert_eq!(rig.connects[3], (ConnId(4), "other".into(), 99));
    for _ in 0..2 {
        rig.open_up_to_file(VERSION);
        rig.say(redirect(1, "mms://h/a"));
    }
    rig.open_up_to_file(VERSION);
    rig.say(redirect(1, "mms://h/a"));
    assert_eq!(rig.failure(), Some("more than 5 redirections"));
}

#[test]
fn credentials_are_not_given_to_whom_a_server_names() {
    let credentials = Some(("u".to_owned(), Password::new("pw".to_owned())));
    let mut rig = Rig::new(ClientConfig {
        credentials,
        ..tcp()
    });
    rig.open_up_to_file(VERSION);
    rig.say(ToClient::ReportRedirect {
        kind: 1,
        location: "mms://other/a".into(),
    });
    rig.open_up_to_file(VERSION);
    rig.say(ToClient::SecurityChallenge {
        play_incarnation: 9,
        cookie: 1,
        token: b"r\0".to_vec(),
    });
    assert_eq!(rig.sent(), []);
    assert!(
        rig.failure()
            .is_some_and(|f| f.starts_with("credentials are asked for"))
    );
}

#[test]
fn redirects_that_lead_nowhere() {
    for (kind, location, reason) in [
        (
            1,
            "http://h/",
            "the scheme is not mms, mmst or mmsu in ReportRedirect",
        ),
        (
            1,
            "",
            "the scheme is not mms, mmst or mmsu in ReportRedirect",
        ),
        (3, "mms://h/", "RedirectType 3 in ReportRedirect"),
    ] {
        let mut rig = Rig::new(tcp());
        rig.open_up_to_file(VERSION);
        rig.say(ToClient::ReportRedirect {
            kind,
            location: location.into(),
        });
        assert_eq!(rig.failure(), Some(reason));
    }
}

// MMSP-23
#[test]
fn a_proxy_is_told_the_host() {
    let proxy = Some(("p".to_owned(), 88));
    let mut rig = Rig::new(ClientConfig {
        proxy,
        ..config("mms://[2001:db8::1]:7/a")
    });
    assert_eq!(rig.connects, [(ConnId(1), "p".into(), 88)]);
    let name = rig.open().1;
    assert!(name.contains("; Host: [2001:db8::1]:7"), "{name}");
}

// MMSP-78, BW-35, X13
#[test]
fn the_start_says_where_and_how_fast() {
    let start = |version: &str, change: fn(&mut ClientConfig)| {
        let mut config = tcp();
        change(&mut config);
        let mut rig = Rig::new(config);
        rig.open_up_to_file(version);
        let mut messages = rig.describe(opened(), false);
        match messages.pop() {
            Some(ToServer::StartPlaying(start)) => start,
            other => panic!("{other:?}"),
        }
    };
    let fast: fn(&mut ClientConfig) = |c| {
        c.accel = Some(Accel {
            bits_per_second: 2_000_000,
            duration_ms: 5000,
        });
        c.link_bw = Some(10_000_000);
        c.start = Start::Packet(97);
        c.max_duration = Some(7000);
    };
    let modern = start("9.1", fast);
    assert_eq!(modern.accel, Some((2_000_000, 5000)));
    assert_eq!(modern.link_bandwidth, Some(10_000_000));
    let at = Position {
        seconds: f64::MAX,
        asf_offset: u32::MAX,
        location_id: 97,
    };
    assert_eq!(modern.position, at);
    assert_eq!(modern.frame_offset, 0x8000_0000 | 7000);
    let old = start("4.1", fast);
    assert_eq!((old.accel, old.link_bandwidth), (None, None));
    let link_only = start("9.1", |c| c.link_bw = Some(1));
    assert_eq!((link_only.accel, link_only.link_bandwidth), (None, None));
    let byte = start("9.1", |c| c.start = Start::Byte(4000));
    assert_eq!(
        (byte.position.seconds, byte.position.asf_offset),
        (f64::MAX, 4000)
    );
    let time = start("9.1", |c| c.start = Start::Time(30_500));
    assert_eq!(time.position.seconds, 30.5);
    let zero = start("9.1", |c| c.start = Start::Packet(0));
    assert_eq!(
        (zero.position.seconds, zero.position.location_id),
        (0.0, u32::MAX)
    );
}

// MMSP-69
#[test]
fn streams_are_all_named_before_the_start() {
    let mut rig = Rig::new(ClientConfig {
        streams: Streams::Only(vec![(2, Level::KeyOnly)]),
        rate_milli: -2000,
        start: Start::Time(5000),
        ..tcp()
    });
    rig.open_up_to_file(VERSION);
    let start = rig.describe(opened(), false);
    let entries = vec![
        SwitchEntry {
            src: 1,
            dst: 0xFFFF,
            thinning: 0,
        },
        SwitchEntry {
            src: 0xFFFF,
            dst: 2,
            thinning: 1,
        },
    ];
    assert_eq!(start[0], ToServer::StreamSwitch { entries });
    let ToServer::StartStriding {
        rate,
        position,
        play_incarnation,
        ..
    } = start[1]
    else {
        panic!()
    };
    assert_eq!((rate, position.seconds, play_incarnation), (-2.0, 5.0, 10));
}
