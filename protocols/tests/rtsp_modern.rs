//! Contents of other codecs for players of plain RTSP: descriptions, transports, packets, reports.

mod asf_build;
mod rtsp_support;

use asf_build as build;
use asf_build::Piece;
use protocols::content::*;
use protocols::machine::{Channel, Input};
use protocols::media::FlowId;
use protocols::rtsp::rtcp::{self, Compound};
use protocols::rtsp::rtp::Packet;
use protocols::rtsp::server::Config;
use rtsp_support::*;
use std::time::Duration;

const SPS: &str = "00 00 00 01 67 42 C0 1E D9 00 A0";
const PPS: &str = "00 00 00 01 68 CE 3C 80";
const SIZE: u32 = 1400;
const PREROLL: u32 = 3000;
const VLC: &str = "LibVLC/3.0.18 (LIVE555 Streaming Media v2016.11.28)";

fn h264() -> Vec<u8> {
    let extra = build::hex(&format!("{SPS}{PPS}"));
    let size = (40 + extra.len()) as u16;
    let mut data = [320u32.to_le_bytes(), 240u32.to_le_bytes()].concat();
    data.push(2);
    data.extend(size.to_le_bytes());
    data.extend(u32::from(size).to_le_bytes());
    data.extend([320u32.to_le_bytes(), 240u32.to_le_bytes()].concat());
    data.extend(build::hex("01 00 18 00"));
    data.extend(b"H264");
    data.extend([0; 20]);
    data.extend(extra);
    build::stream(1, build::VIDEO, &data)
}

fn mp3() -> Vec<u8> {
    let data = build::hex("55 00 02 00 44 AC 00 00 80 3E 00 00 01 00 00 00 00 00");
    build::stream(2, build::AUDIO, &data)
}

fn content(children: [Vec<u8>; 2]) -> Content {
    let [video, audio] = children;
    let children = [
        build::file_properties(10, u64::from(PREROLL), 2, [SIZE; 2]),
        build::extension(&[]),
        video,
        audio,
    ];
    let stream = |number, kind| StreamInfo {
        number,
        kind,
        average_bit_rate: 100_000,
        peak_bit_rate: 100_000,
        all_key: false,
    };
    Content {
        header: build::blob(&children, 0, 10).into(),
        packet_size: SIZE,
        preroll: PREROLL,
        streams: vec![stream(1, StreamKind::Video), stream(2, StreamKind::Audio)].into(),
        ..clip()
    }
}

fn modern() -> Rtsp {
    modern_with(config())
}

fn modern_with(config: Config) -> Rtsp {
    let mut b = bench_with(config);
    b.points
        .insert("/new".into(), Point::Media(content([h264(), mp3()])));
    b.points.insert(
        "/old".into(),
        Point::Media(content([build::video(1, 320), build::audio(2, 8000)])),
    );
    b.points.insert(
        "/mixed".into(),
        Point::Media(content([h264(), build::audio(2, 8000)])),
    );
    b
}

fn plays(b: &mut Rtsp, transports: [&str; 2]) -> (Client, FlowId) {
    let mut c = Client::of(b, "/new", VLC, "");
    c.describe(b);
    for (n, transport) in transports.iter().enumerate() {
        let got = c.setup(b, &format!("/track={}", n + 1), transport);
        assert_eq!(got.status(), 200);
    }
    c.play(b, "Range: npt=0.000-");
    let flow = b.flow(c.conn);
    (c, flow)
}

const UDP: [&str; 2] = [
    "RTP/AVP;unicast;client_port=6000-6001",
    "RTP/AVP;unicast;client_port=6002-6003",
];
const TCP: [&str; 2] = [
    "RTP/AVP/TCP;unicast;interleaved=0-1",
    "RTP/AVP/TCP;unicast;interleaved=2-3",
];

/// Two packets that hold a picture in two pieces, and a frame of audio.
fn packets() -> [Vec<u8>; 2] {
    let mut picture = build::hex("00 00 00 01 65");
    picture.extend((0..1800).map(|i| (i % 251) as u8 + 1));
    let piece = |from: usize, to: usize| Piece {
        stream: 1,
        key: true,
        object: 0,
        offset: from as u32,
        size: picture.len() as u32,
        presentation: PREROLL + 40,
        data: picture[from..to].to_vec(),
    };
    let mut frame = build::hex("FF FB 90 64");
    frame.resize(417, 0x55);
    let audio = Piece {
        stream: 2,
        key: true,
        object: 0,
        offset: 0,
        size: 417,
        presentation: PREROLL + 26,
        data: frame,
    };
    [
        build::packet(SIZE as usize, 0, 10, &[piece(0, 1300)]),
        build::packet(SIZE as usize, 10, 10, &[piece(1300, 1805), audio]),
    ]
}

#[test]
fn who_gets_what() {
    let mut b = modern();
    let mut describe = |path: &str, agent: &str, able: &str| {
        let mut c = Client::of(&mut b, path, agent, able);
        let server = c
            .ask(&mut b, "OPTIONS", "", "")
            .get("Server")
            .unwrap()
            .to_owned();
        let got = c.describe(&mut b);
        assert_eq!(got.get("Server"), Some(&*server), "{path} {agent}");
        let wme = got.body().contains("x-asf-pf");
        assert_eq!(wme, server.starts_with("WMServer/"));
        assert_eq!(wme, got.get("X-Playlist-Gen-Id").is_some());
        assert_ne!(
            wme,
            got.body().contains("a=rtpmap:") && got.body().contains("H264/90000")
        );
        wme
    };
    assert!(!describe("/new", VLC, ""));
    assert!(!describe("/new", "Lavf59.27.100", ""));
    assert!(describe("/new", PLAYER, ""));
    assert!(describe("/new", VLC, ABLE));
    assert!(describe("/new?format=wme", VLC, ""));
    assert!(!describe("/new?format=rtp", PLAYER, ABLE));
    assert!(describe("/old", VLC, ""));
    assert!(describe("/mixed", VLC, ""));
    assert!(!describe("/mixed?format=rtp", VLC, ""));
    assert!(b.held.len() <= 9, "OPTIONS holds nothing");
    let mut b = modern_with(Config {
        plain: false,
        ..config()
    });
    let mut c = Client::of(&mut b, "/new", VLC, "");
    assert!(c.describe(&mut b).body().contains("x-asf-pf"));
    assert_eq!(c.ask(&mut b, "OPTIONS", "x", "").status(), 200);
}

#[test]
fn the_description() {
    let mut b = modern();
    let mut c = Client::of(&mut b, "/new", VLC, "");
    let sdp = c.describe(&mut b).body().to_owned();
    for line in [
        "a=control:rtsp://wme.example/new/",
        "a=range:npt=0.000-10.000",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=control:track=1",
        "m=audio 0 RTP/AVP 14",
        "a=rtpmap:14 MPA/90000",
        "a=control:track=2",
    ] {
        assert!(sdp.lines().any(|l| l == line), "{line} in {sdp}");
    }
    assert!(sdp.contains("sprop-parameter-sets="));
    for foreign in ["pgmpu", "maxps", "rtx", "b=RS", "a=type"] {
        assert!(!sdp.contains(foreign), "{foreign}");
    }
}

#[test]
fn streams_have_their_own_ports() {
    let mut b = modern();
    let mut c = Client::of(&mut b, "/new", VLC, "");
    c.describe(&mut b);
    let got = c.setup(&mut b, "/track=1", UDP[0]);
    let text = got.get("Transport").unwrap();
    assert!(
        text.contains("server_port=5004-5005;client_port=6000-6001;ssrc="),
        "{text}"
    );
    assert_eq!(
        c.setup(&mut b, "/track=2", UDP[0]).status(),
        461,
        "a port twice"
    );
    assert_eq!(
        c.setup(&mut b, "/track=2", TCP[1]).status(),
        461,
        "one kind for all"
    );
    assert_eq!(c.setup(&mut b, "/track=3", UDP[1]).status(), 400);
    assert_eq!(c.setup(&mut b, "/track=2", UDP[1]).status(), 200);
    let got = c.play(&mut b, "Range: npt=0.000-");
    assert_eq!(got.get("Range"), Some("npt=0.000-10.000"));
    let info = got.get("RTP-Info").unwrap();
    assert_eq!(info.matches("rtptime=").count(), 2);
    let flow = b.flow(c.conn);
    let lanes = &b.start_of(flow).datagrams.as_ref().unwrap().lanes;
    let ports: Vec<_> = lanes.iter().map(|l| (l.to.port(), l.channel.0)).collect();
    assert_eq!(ports, [(6000, 0), (6001, 1), (6002, 0), (6003, 1)]);
}

/// Number and time that RTP-Info tells of each stream.
fn told(info: &str) -> Vec<(u16, u32)> {
    let value = |entry: &str, name: &str| -> u32 {
        let at = entry.find(name).unwrap() + name.len();
        entry[at..].split(';').next().unwrap().parse().unwrap()
    };
    info.split(',')
        .map(|e| (value(e, ";seq=") as u16, value(e, ";rtptime=")))
        .collect()
}

// Objects come out of ASF packets whole, with their times; numbers are those that were told.
#[test]
fn objects_leave_by_their_streams() {
    let mut b = modern();
    let (mut c, flow) = plays(&mut b, UDP);
    c.send(&mut b, "PAUSE", "/", "", "");
    b.held(flow);
    c.got(&mut b);
    let got = c.play(&mut b, "Range: npt=0.000-");
    let told = told(got.get("RTP-Info").unwrap());
    let flow = b.flow(c.conn);
    for packet in packets() {
        b.packet(flow, &packet);
    }
    let of = |port: u16| -> Vec<Vec<u8>> {
        let all = b.datagrams.iter().filter(|d| d.0.port() == port);
        all.map(|d| d.2.clone()).collect()
    };
    let video = of(6000);
    assert_eq!(video.len(), 2, "one picture, too long for one packet");
    let mut nal: Vec<u8> = Vec::new();
    for (n, bytes) in video.iter().enumerate() {
        assert!(bytes.len() <= 1472);
        let packet = Packet::parse(bytes).unwrap();
        assert_eq!(packet.header.sequence, told[0].0.wrapping_add(n as u16));
        assert_eq!(packet.header.timestamp, told[0].1.wrapping_add(40 * 90));
        assert_eq!(packet.header.marker, n == 1);
        assert_eq!(packet.header.payload_type, 96);
        nal.extend(&packet.payload[2..]);
    }
    assert_eq!(nal.len(), 1800);
    assert!(
        nal.iter()
            .enumerate()
            .all(|(i, b)| *b == (i % 251) as u8 + 1)
    );
    let audio = of(6002);
    let packet = Packet::parse(&audio[0]).unwrap();
    assert_eq!(packet.header.sequence, told[1].0);
    assert_eq!(packet.header.timestamp, told[1].1.wrapping_add(26 * 90));
    assert!(packet.header.marker, "the first after silence");
    assert_eq!(packet.payload.len(), 4 + 417);
    assert_eq!(b.totals(flow).sequence, 2, "lane 0 counts");
}

// RFC 3550: reports say when the times were, for all streams alike.
#[test]
fn reports() {
    let mut b = modern_with(Config {
        unix_origin: Some(Duration::from_secs(1_000_000_000)),
        ..config()
    });
    let (_, flow) = plays(&mut b, UDP);
    for packet in packets() {
        b.packet(flow, &packet);
    }
    let mut seen = Vec::new();
    for (to, channel, bytes) in b.datagrams.iter().filter(|d| d.0.port() % 2 == 1) {
        assert_eq!(*channel, Channel(1));
        let all: Vec<_> = rtcp::compound(bytes).map(Result::unwrap).collect();
        let rtcp::Packet::SenderReport { info, .. } = &all[0] else {
            panic!("{all:?}")
        };
        assert!(matches!(all[1], rtcp::Packet::Names(_)));
        seen.push((to.port(), info.ntp));
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(seen[0].1 >> 32, 2_208_988_800 + 1_000_000_001);
    // The next ones after five seconds of media.
    b.datagrams.clear();
    let packet = build::packet(SIZE as usize, 0, 0, &[]);
    for _ in 0..501 {
        b.packet(flow, &packet);
    }
    let reports = b.datagrams.iter().filter(|d| d.0.port() % 2 == 1).count();
    assert_eq!(reports, 2);
}

// Players look at RTCP first: a goodbye at once would overtake the last media.
#[test]
fn goodbyes_do_not_overtake_the_last_datagrams() {
    let mut b = modern();
    let (mut c, flow) = plays(&mut b, UDP);
    let before = b.datagrams.len();
    b.end(flow);
    assert_eq!(b.datagrams.len(), before, "too early");
    b.sleep(Duration::from_millis(200));
    let said = &b.datagrams[before..];
    assert_eq!(said.len(), 2);
    for (to, _, bytes) in said {
        assert_eq!(to.port() % 2, 1);
        assert!(rtcp::compound(bytes).any(|p| matches!(p, Ok(rtcp::Packet::Bye(_)))));
    }
    // GStreamer's last words.
    assert_eq!(c.ask(&mut b, "PAUSE", "/", "").status(), 200);
    assert_eq!(c.ask(&mut b, "TEARDOWN", "/", "").status(), 200);
    assert_eq!(b.server.session_count(), 0);
}

#[test]
fn frames_have_their_own_channels() {
    let mut b = modern();
    let (mut c, flow) = plays(&mut b, TCP);
    for packet in packets() {
        b.packet(flow, &packet);
    }
    let channels: Vec<u8> = c
        .got(&mut b)
        .iter()
        .map(|g| match g {
            Got::Frame(channel, _) => *channel,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(channels, [1, 3, 0, 0, 2]);
    // The end: goodbyes, and no request that such players do not know.
    b.end(flow);
    let got = c.got(&mut b);
    assert_eq!(got.len(), 2);
    for (frame, channel) in got.iter().zip([1, 3]) {
        let Got::Frame(at, bytes) = frame else {
            panic!()
        };
        assert_eq!(*at, channel);
        assert!(rtcp::compound(bytes).any(|p| matches!(p, Ok(rtcp::Packet::Bye(_)))));
    }
    assert_eq!(c.ask(&mut b, "TEARDOWN", "/", "").status(), 200);
    assert!(
        b.is_open(c.conn),
        "RFC 2326 leaves the connection to the client"
    );
    assert_eq!(b.server.session_count(), 0);
    b.hang_up(c.conn);
    assert!(b.held.is_empty());
}

// Receiver reports keep a session alive, those of others do not; over TCP nothing is needed.
#[test]
fn reports_keep_alive() {
    let mut b = modern();
    let (c, _) = plays(&mut b, UDP);
    let mut report = Compound::default();
    report.receiver_report(1, &[]);
    let report = report.finish();
    for _ in 0..20 {
        b.sleep(Duration::from_secs(30));
        b.datagram_from("192.0.2.7:6003", &report);
    }
    assert!(b.has_flow(c.conn));
    for _ in 0..4 {
        b.sleep(Duration::from_secs(20));
        b.datagram_from("192.0.2.7:7000", &report);
        b.datagram_from("192.0.2.8:6003", &report);
        b.datagram_from("192.0.2.7:6003", b"junk");
        b.input(Input::Datagram {
            channel: Channel(0),
            peer: "192.0.2.7:6003".parse().unwrap(),
            bytes: &report,
        });
    }
    assert!(!b.is_open(c.conn));
    let (c, _) = plays(&mut b, TCP);
    b.sleep(Duration::from_secs(600));
    assert!(b.has_flow(c.conn));
}

#[test]
fn seeks_start_clean() {
    let mut b = modern();
    let (mut c, flow) = plays(&mut b, UDP);
    // Half a picture, and then a seek: its other half must not be glued to anything.
    b.packet(flow, &packets()[0]);
    c.send(&mut b, "PAUSE", "/", "", "");
    b.held(flow);
    c.got(&mut b);
    b.cue.send_time = 5000;
    b.cue.packet = 9;
    let got = c.play(&mut b, "Range: npt=5.5-");
    assert_eq!(b.cues.last().unwrap().start, Start::Time(5500));
    assert_eq!(got.get("Range"), Some("npt=5.000-10.000"));
    let flow = b.flow(c.conn);
    b.datagrams.clear();
    b.packet(flow, &packets()[1]);
    assert!(b.datagrams.iter().all(|d| d.0.port() != 6000));
    assert!(b.datagrams.iter().any(|d| d.0.port() == 6002));
    // What is no ASF packet is left out.
    b.packet(flow, &[0xFF; 40]);
    let size = Duration::from_secs(1);
    b.sleep(size);
    assert!(b.has_flow(c.conn));
}

// FFmpeg falls back from UDP: PAUSE, then SETUP of the same streams without a session.
#[test]
fn a_fallback_to_tcp() {
    let mut b = modern();
    let (mut c, flow) = plays(&mut b, UDP);
    c.send(&mut b, "PAUSE", "/", "", "");
    b.held(flow);
    c.got(&mut b);
    c.session.clear();
    for (n, transport) in TCP.iter().enumerate() {
        let got = c.setup(&mut b, &format!("/track={}", n + 1), transport);
        assert_eq!(got.status(), 200);
    }
    c.play(&mut b, "Range: npt=0.000-");
    let flow = b.flow(c.conn);
    b.packet(flow, &packets()[1]);
    assert!(matches!(c.got(&mut b)[2], Got::Frame(2, _)));
}
