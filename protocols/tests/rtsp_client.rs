//! The client of RTSP-WME against a server of few words: what it says, and what it makes of strange answers.

mod asf_build;

use protocols::auth::Password;
use protocols::auth::digest::{self, Authorization};
use protocols::client::Transport;
use protocols::content::Accel;
use protocols::machine::*;
use protocols::media::IngestEvent;
use protocols::rtsp::client::{Client, ClientConfig, MEDIA, RTX};
use protocols::rtsp::payload::{Form, Packetizer, Unit};
use protocols::rtsp::rtcp;
use protocols::rtsp::sdp::{Encoding, Media, MediaKind, Presentation, Types};
use std::net::SocketAddr;
use std::time::Duration;

const CONN: ConnId = ConnId(1);
const OK: &str = "RTSP/1.0 200 OK\r\nServer: WMServer/9.5\r\n";
const SUPPORTED: &str = "Supported: com.microsoft.wm.sswitch, com.microsoft.wm.eosmsg\r\n";

fn peer() -> SocketAddr {
    "192.0.2.1:554".parse().unwrap()
}

fn description(count: u64, control: &str) -> String {
    let section = |number, control: &str| Media {
        kind: MediaKind::Audio,
        payload_type: 96,
        encoding: Encoding::Asf,
        control: control.into(),
        kbits: Some(64),
        average_kbits: None,
        no_rtcp: true,
        stream: Some(number),
        reliable: false,
        fec: None,
    };
    let presentation = Presentation {
        id: 1,
        address: [192, 0, 2, 1].into(),
        name: "Tone".into(),
        control: control.into(),
        kbits: None,
        etag: Some("{11111111}".into()),
        range: None,
        packet_size: Some(400),
        types: Types::default(),
        description: Vec::new(),
        header: asf_build::simple_blob(count, 400, 1000),
        media: vec![
            section(1, "video"),
            section(2, "audio"),
            Media::retransmission(),
        ],
    };
    presentation.write()
}

/// A client, and what it said that was not looked at yet.
struct Rig {
    client: Client,
    now: Time,
    said: Vec<String>,
    sent: Vec<(Channel, SocketAddr, Vec<u8>)>,
    events: Vec<IngestEvent>,
    wake: Option<Time>,
    closed: bool,
}

fn config(transport: Transport) -> ClientConfig {
    ClientConfig {
        transport: Some(transport),
        media_port: 7000,
        rtx_port: 7002,
        packet_pair: false,
        ..ClientConfig::new("rtsp://wme.example/tone.wma", 1)
    }
}

impl Rig {
    fn new(config: ClientConfig) -> Rig {
        let mut rig = Rig {
            client: Client::new(config).unwrap(),
            now: Time(1_000_000),
            said: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            wake: None,
            closed: false,
        };
        rig.drain();
        rig.handle(Input::Opened {
            conn: CONN,
            peer: peer(),
            local: "192.0.2.7:4000".parse().unwrap(),
        });
        rig
    }

    fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Idle(wake) => {
                    self.wake = wake;
                    return;
                }
                Output::Send { bytes, .. } => {
                    self.said.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                Output::SendTo {
                    channel,
                    peer,
                    bytes,
                    ..
                } => self.sent.push((channel, peer, bytes.to_vec())),
                Output::Ingest(ingest) => self.events.push(ingest.event),
                Output::Close { .. } => self.closed = true,
                Output::Connect { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What was said since the last look: each begins with its request line.
    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    fn one(&mut self) -> String {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:#?}");
        heard.remove(0)
    }

    fn say(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.handle(Input::Data { conn: CONN, bytes });
    }

    fn describe(&mut self, extra: &str, control: &str) {
        let sdp = description(0, control);
        let len = sdp.len();
        self.say(&format!(
            "{OK}{SUPPORTED}{extra}Content-Type: application/sdp\r\nContent-Length: {len}\r\n\r\n{sdp}"
        ));
    }

    fn setup(&mut self, transport: &str) {
        self.say(&format!(
            "{OK}Session: 42;timeout=30\r\nTransport: {transport}\r\n\r\n"
        ));
    }

    /// Up to the reply to Play.
    fn play_udp(&mut self) {
        self.describe("", "");
        self.setup("RTP/AVP/UDP;unicast;server_port=5004-5005;client_port=7002-7003;ssrc=2f73682b");
        self.setup("RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=0000000a");
        self.setup("RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=0000000b");
        self.sent.clear();
        self.heard();
        self.say(&format!(
            "{OK}RTP-Info: url=rtsp://wme.example/tone.wma/video;seq=65535;rtptime=0, \
             url=\"rtsp://wme.example/tone.wma/audio\";seq=500\r\n\r\n"
        ));
    }

    fn datagram(&mut self, channel: Channel, from: &str, bytes: &[u8]) {
        let peer = from.parse().unwrap();
        self.handle(Input::Datagram {
            channel,
            peer,
            bytes,
        });
    }

    fn wait(&mut self) {
        self.now = self.wake.expect("something to wait for");
        self.handle(Input::Timeout);
    }

    fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::Failed(fault) => Some(&*fault.reason),
            _ => None,
        })
    }

    fn packets(&self) -> Vec<u32> {
        let packet = |e: &IngestEvent| match e {
            IngestEvent::Packet { number, .. } => Some(*number),
            _ => None,
        };
        self.events.iter().filter_map(packet).collect()
    }
}

fn rtp(ssrc: u32, sequence: u16, send_time: u32) -> Vec<u8> {
    let piece = asf_build::Piece::whole(1, true, 0, 1000 + send_time, 20);
    let asf = asf_build::packet(400, send_time, 100, &[piece]);
    let mut to = Packetizer::new(Form::Inclusive, 96, ssrc, sequence, 1460);
    let unit = Unit {
        send_time,
        key: true,
        duration: None,
        location: None,
    };
    let (head, range) = to.packets(unit, asf.len()).next().unwrap();
    let mut bytes = head.datagram().to_vec();
    bytes.extend_from_slice(&asf[range]);
    bytes
}

fn has(request: &str, line: &str) {
    assert!(request.lines().any(|l| l == line), "{line} in\n{request}");
}

fn lacks(request: &str, name: &str) {
    assert!(!request.contains(name), "{name} in\n{request}");
}

// RTSP-50, RTSP-72, RTSP-73, RTSP-75, RTSP-77, RTSP-90, RTSP-120
#[test]
fn requests_say_what_they_must() {
    let config = ClientConfig {
        speed_milli: Some(5000),
        accel: Some(Accel {
            bits_per_second: 1_024_128,
            duration_ms: 8000,
        }),
        ..config(Transport::Udp)
    };
    let mut rig = Rig::new(config);
    let describe = rig.one();
    assert!(describe.starts_with("DESCRIBE rtsp://wme.example/tone.wma RTSP/1.0\r\nCSeq: 1\r\n"));
    let agent = describe
        .lines()
        .find(|l| l.starts_with("User-Agent: "))
        .unwrap()
        .to_owned();
    let guid = "User-Agent: WMPlayer/12.0.7601.17514 guid/3300AD50-2C39-46c0-AE0A-";
    assert!(agent.starts_with(guid), "{agent}");
    for token in ["eosmsg", "sswitch", "predstrm", "startupprofile"] {
        assert!(describe.contains(&format!("com.microsoft.wm.{token}")));
    }
    lacks(&describe, "srvppair");
    lacks(&describe, "X-Playlist-Gen-Id");
    // No a=control in the session: C.1.1 of RFC 2326.
    rig.describe(
        "X-Playlist-Gen-Id: 7\r\nContent-Base: rtsp://wme.example/else/\r\n",
        "",
    );
    let rtx = rig.one();
    assert!(rtx.starts_with("SETUP rtsp://wme.example/else/rtx RTSP/1.0\r\nCSeq: 2\r\n"));
    assert!(rtx.contains("Transport: RTP/AVP/UDP;unicast;client_port=7002-7003;"));
    has(&rtx, "X-Playlist-Gen-Id: 7");
    has(&rtx, "If-Match: \"{11111111}\"");
    has(&rtx, &agent);
    lacks(&rtx, "Session:");
    rig.setup("RTP/AVP/UDP;unicast;server_port=5004-5005;client_port=7002-7003;ssrc=2f73682b");
    // There is a session: the streams together.
    let streams = rig.heard();
    assert_eq!(streams.len(), 2);
    for (stream, name) in streams.iter().zip(["video", "audio"]) {
        assert!(stream.starts_with(&format!("SETUP rtsp://wme.example/else/{name} ")));
        assert!(stream.contains("Transport: RTP/AVP/UDP;unicast;client_port=7000;"));
        has(stream, "Session: 42");
    }
    rig.setup("RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=0000000a");
    assert_eq!(rig.heard().len(), 0);
    rig.setup("RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=0000000b");
    let play = rig.one();
    assert!(
        play.starts_with("PLAY rtsp://wme.example/else/ RTSP/1.0\r\nCSeq: 5\r\n"),
        "{play}"
    );
    for line in [
        "Scale: 1.000",
        "Range: npt=0.000-",
        "Bandwidth: 2147483647",
        "X-Playlist-Seek-Id: 7",
        "X-Accelerate-Streaming: AccelDuration=8000;AccelBandwidth=1024128",
    ] {
        has(&play, line);
    }
    // The server did not say fastcache.
    lacks(&play, "Speed:");
    rig.say(&format!("{OK}\r\n"));
    let log = rig.one();
    assert!(log.starts_with("SET_PARAMETER rtsp://wme.example/else/ "));
    has(
        &log,
        "Content-Type: application/x-wms-Logconnectstats;charset=UTF-8",
    );
    assert!(log.contains("<transport>UDP</transport>"));
    rig.say(&format!("{OK}\r\n"));
    // No datagram comes; the session's 30 seconds are kept alive all the same.
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 1, 0));
    let before = rig.now;
    rig.wait();
    assert_eq!(rig.now.since(before), Duration::from_secs(20));
    let alive = rig.one();
    assert!(alive.starts_with("GET_PARAMETER rtsp://wme.example/else/ "));
    has(&alive, "Session: 42");
    lacks(&alive, "Content-");
}

// RTSP-38, RTSP-39, RTSP-44, RTSP-68, RTSP-121
#[test]
fn gaps_are_asked_for_by_the_name_of_retransmission() {
    let mut rig = Rig::new(config(Transport::Udp));
    rig.play_udp();
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 2, 300));
    // From elsewhere, and of nobody.
    rig.datagram(MEDIA, "192.0.2.9:5004", &rtp(10, 65_535, 0));
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(12, 65_535, 0));
    assert_eq!(rig.packets(), []);
    rig.wait();
    let [(RTX, to, bytes)] = &rig.sent[..] else {
        panic!("{:?}", rig.sent)
    };
    assert_eq!(to.to_string(), "192.0.2.1:5005");
    let resend = rtcp::Resend::parse(bytes).expect("a request");
    assert_eq!(resend.rtx_ssrc, 0x2f73_682b);
    assert_eq!(resend.lost, [(10, 65_535), (10, 0), (10, 1)]);
    // E, and one entry for the three.
    let nack = &bytes[bytes.len() - 16..];
    assert_eq!(nack[..4], [0x91, 205, 0, 3]);
    assert_eq!(nack[12..], [0xff, 0xff, 0, 3]);
    rig.datagram(RTX, "192.0.2.1:5004", &rtp(10, 65_535, 0));
    rig.datagram(RTX, "192.0.2.1:5004", &rtp(10, 1, 200));
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 0, 100));
    assert_eq!(rig.packets(), [0, 1, 2, 3]);
    let transfer = rig.client.transfer();
    assert_eq!((transfer.received, transfer.recovered), (2, 2));
    // A source of its own has an order of its own.
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(11, 500, 0));
    assert_eq!(rig.packets().len(), 5);
    // At most 32 entries in one request.
    rig.sent.clear();
    for n in 0..40 {
        rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 20 + 18 * n, 400));
    }
    rig.wait();
    assert_eq!(rig.sent.len(), 2);
}

// RTSP-116, RTSP-117
#[test]
fn the_server_is_answered_at_once() {
    let mut rig = Rig::new(config(Transport::Udp));
    rig.play_udp();
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 65_535, 0));
    rig.heard();
    let ask = |rig: &mut Rig, start: &str, kind: &str, more: &str, body: &str| {
        let len = body.len();
        rig.say(&format!(
            "{start} rtsp://wme.example/tone.wma RTSP/1.0\r\nCSeq: 9\r\nContent-Type: {kind}\r\n{more}Content-Length: {len}\r\n\r\n{body}"
        ));
        let heard = rig.heard();
        let answer = heard.iter().find(|h| h.starts_with("RTSP/1.0")).cloned();
        let answer = answer.expect("an answer");
        has(&answer, "CSeq: 9");
        answer[9..12].to_owned()
    };
    let sdp = "application/sdp";
    assert_eq!(ask(&mut rig, "ANNOUNCE", sdp, "", "v=0\r\nnonsense"), "400");
    let good = description(3, "rtsp://wme.example/list/");
    let bad = "X-RTP-Info: url=\r\n";
    assert_eq!(ask(&mut rig, "ANNOUNCE", sdp, bad, &good), "400");
    assert_eq!(ask(&mut rig, "REDIRECT", sdp, "", ""), "501");
    let command = "application/x-wms-extension-cmd";
    assert_eq!(
        ask(&mut rig, "SET_PARAMETER", command, "", "EOF: no"),
        "400"
    );
    assert_eq!(rig.failure(), None);
    // The last two packets are missing; what follows waits for them, the answers do not.
    let end = "Session: 42\r\nEOF: true\r\nEnd-Of-Playlist-Entry: true\r\n";
    let info = "RTP-Info: url=rtsp://wme.example/tone.wma/video;seq=2\r\n";
    assert_eq!(ask(&mut rig, "SET_PARAMETER", command, info, end), "200");
    let predicted = "X-Playlist-Gen-Id: 2\r\nX-RTP-Info: url=rtsp://wme.example/list/video;transport=RTP/AVP/UDP;\
                     unicast;server_port=5004;client_port=7000;ssrc=0000000a;mode=PLAY;seq=2;rtptime=0\r\n";
    assert_eq!(ask(&mut rig, "ANNOUNCE", sdp, predicted, &good), "200");
    rig.datagram(MEDIA, "192.0.2.1:5004", &rtp(10, 2, 0));
    assert_eq!(rig.packets(), [0]);
    rig.datagram(RTX, "192.0.2.1:5004", &rtp(10, 0, 100));
    rig.datagram(RTX, "192.0.2.1:5004", &rtp(10, 1, 200));
    let order: Vec<&str> = rig
        .events
        .iter()
        .filter_map(|e| match e {
            IngestEvent::Packet { .. } => Some("packet"),
            IngestEvent::Header(_) => Some("header"),
            IngestEvent::EntryEnd => Some("end"),
            _ => None,
        })
        .collect();
    assert_eq!(
        order,
        [
            "header", "packet", "packet", "packet", "end", "header", "packet"
        ]
    );
    // RTSP-118: the other stream of the new entry is set up, then it is played as it runs.
    let heard = rig.heard();
    assert!(heard[0].contains("x-wms-Logplaystats"), "{heard:#?}");
    assert!(heard[1].starts_with("SETUP rtsp://wme.example/list/audio "));
    has(&heard[1], "X-Playlist-Gen-Id: 2");
    for _ in 0..2 {
        // LogConnect and LogPlay.
        rig.say(&format!("{OK}\r\n"));
    }
    rig.setup("RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=0000000b");
    let play = rig.one();
    assert!(play.starts_with("PLAY rtsp://wme.example/list/ "));
    has(&play, "X-Playlist-Seek-Id: 2");
    has(&play, "X-RTP-Info: url=rtsp://wme.example/list/video");
    lacks(&play, "Range:");
}

// RTSP-106
#[test]
fn digest_is_proven_with_each_request() {
    let config = ClientConfig {
        credentials: Some(("u".into(), Password::new("pw".into()))),
        ..config(Transport::Tcp)
    };
    let mut rig = Rig::new(config);
    rig.heard();
    let challenge = |nonce: &str, more: &str| {
        format!(
            "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{more}\r\n\r\n"
        )
    };
    let check = |request: &str, method: &str, nonce: &str, nc: u32| {
        let line = request
            .lines()
            .find_map(|l| l.strip_prefix("Authorization: Digest "));
        let proof = Authorization::parse(line.expect("a proof")).unwrap();
        assert!(proof.proves(&digest::ha1("u", "r", "pw"), method));
        assert!(proof.is_about(request.split(' ').nth(1).unwrap()) || request.contains(&proof.uri));
        assert_eq!(proof.nonce, nonce);
        assert_eq!(proof.count.unwrap().nc, nc);
    };
    rig.say(&challenge("one", ""));
    check(&rig.one(), "DESCRIBE", "one", 1);
    rig.describe("", "rtsp://wme.example/tone.wma/");
    check(&rig.one(), "SETUP", "one", 2);
    // It has become stale.
    rig.say(&challenge("two", ", stale=true"));
    check(&rig.one(), "SETUP", "two", 1);
    rig.setup("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000000a");
    check(&rig.one(), "SETUP", "two", 2);
    rig.say(&challenge("three", ""));
    let failure = "status 401: the credentials are refused by Basic, Digest";
    assert_eq!(rig.failure(), Some(failure));
}

// RTSP-119
#[test]
fn replies_come_in_their_order() {
    for (reply, failure) in [
        (
            "CSeq: 5\r\n",
            "a reply out of order, where one to Describe is due",
        ),
        ("", "no description in the reply to Describe"),
    ] {
        let mut rig = Rig::new(config(Transport::Tcp));
        rig.say(&format!("{OK}{reply}\r\n"));
        assert_eq!(rig.failure(), Some(failure));
        assert!(rig.closed && rig.client.is_done());
    }
    let mut rig = Rig::new(config(Transport::Tcp));
    rig.describe("CSeq: 1\r\n", "");
    rig.setup("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000000a");
    rig.setup("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000000b");
    rig.say(&format!("{OK}\r\n"));
    // KeepAlive, logs and Pause may fail.
    rig.now = rig.now + Duration::from_secs(1);
    rig.client.stop(rig.now);
    rig.drain();
    rig.heard();
    rig.say("RTSP/1.0 400 Bad Request\r\n\r\n");
    rig.say("RTSP/1.0 455 Method Not Valid\r\n\r\n");
    rig.client.finish(rig.now);
    rig.drain();
    assert_eq!(rig.failure(), None);
    assert!(
        rig.one()
            .starts_with("TEARDOWN rtsp://wme.example/tone.wma")
    );
    rig.handle(Input::Closed { conn: CONN });
    assert!(rig.client.is_done());
    assert_eq!(rig.failure(), None);
}
