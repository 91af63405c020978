//! RTSP-WME with media in datagrams: ports, retransmission, correction, packet pair.

mod rtsp_support;

use protocols::machine::Channel;
use protocols::rtsp::fec;
use protocols::rtsp::rtcp::resend_requests;
use protocols::rtsp::server::Config;
use rtsp_support::*;
use std::time::Duration;

fn ssrc_of(got: &Got) -> u32 {
    let text = got.get("Transport").unwrap();
    let at = text.find("ssrc=").unwrap() + 5;
    u32::from_str_radix(&text[at..at + 8], 16).unwrap()
}

const UDP: &str = "RTP/AVP/UDP;unicast;client_port=2408;mode=PLAY";
const RTX: &str = "RTP/AVP/UDP;unicast;client_port=4958-4959;ssrc=b58db0de;mode=PLAY";

/// A player over UDP: what it learned of the retransmission stream and of the media.
struct Player {
    c: Client,
    rtx: u32,
    media: u32,
    first: u16,
}

fn player(b: &mut Rtsp) -> Player {
    let mut c = Client::player(b, "/pp");
    c.describe(b);
    let rtx = ssrc_of(&c.setup(b, "/rtx", RTX));
    let media = ssrc_of(&c.setup(b, "/audio", UDP));
    c.setup(b, "/video", UDP);
    let got = c.play(b, "Range: npt=0.000-");
    let info = got.get("RTP-Info").unwrap();
    let seq = info.split("seq=").nth(1).unwrap();
    let first = seq.split(';').next().unwrap().parse().unwrap();
    Player {
        c,
        rtx,
        media,
        first,
    }
}

fn nack(p: &Player, lost: &[u16]) -> Vec<u8> {
    let lost = lost.iter().map(|n| p.first.wrapping_add(*n));
    resend_requests(0x1122_3344, p.rtx, p.media, lost).remove(0)
}

// The reference's section 10.3.
#[test]
fn transports_of_the_reference() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    let got = c.setup(&mut b, "/rtx", RTX);
    let want = "RTP/AVP/UDP;unicast;server_port=5004-5005;client_port=4958-4959;ssrc=";
    assert!(got.get("Transport").unwrap().starts_with(want), "{got:?}");
    let both = "RTP/AVP/UDP;unicast;client_port=2408;ssrc=6dded651;mode=PLAY, \
                RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=6dded651;mode=PLAY";
    let got = c.setup(&mut b, "/audio", both);
    let want = "RTP/AVP/UDP;unicast;server_port=5004;client_port=2408;ssrc=";
    assert!(got.get("Transport").unwrap().starts_with(want), "{got:?}");
}

// RTSP-73, RTSP-75, RTSP-140, and TCP where UDP cannot be.
#[test]
fn ports_that_do_not_go_together() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    assert_eq!(
        c.setup(&mut b, "/rtx", "RTP/AVP/TCP;unicast;interleaved=0-1")
            .status(),
        461
    );
    assert_eq!(
        c.setup(&mut b, "/audio", "RTP/AVP/UDP;client_port=9")
            .status(),
        461,
        "no unicast"
    );
    assert_eq!(
        c.setup(&mut b, "/audio", "RTP/SAVP;unicast;client_port=9")
            .status(),
        461
    );
    assert_eq!(c.setup(&mut b, "/rtx", RTX).status(), 200);
    let same = "RTP/AVP/UDP;unicast;client_port=4958;mode=PLAY";
    assert_eq!(c.setup(&mut b, "/audio", same).status(), 461);
    assert_eq!(c.setup(&mut b, "/audio", UDP).status(), 200);
    let other = "RTP/AVP;unicast;client_port=2500-2501";
    assert_eq!(c.setup(&mut b, "/video", other).status(), 461);
    assert_eq!(
        c.setup(&mut b, "/video", "RTP/AVP/TCP;unicast").status(),
        461
    );
    assert_eq!(c.setup(&mut b, "/video", UDP).status(), 200);
    // A server without sockets.
    let mut b = bench_with(Config {
        rtp_port: 0,
        ..config()
    });
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    assert_eq!(c.setup(&mut b, "/rtx", RTX).status(), 461);
    let both = format!("{UDP}, RTP/AVP/TCP;unicast;interleaved=2-3;mode=PLAY");
    let got = c.setup(&mut b, "/audio", &both);
    assert!(
        got.get("Transport")
            .unwrap()
            .contains("TCP;unicast;interleaved=2-3;")
    );
}

// RTSP-31, RTSP-42: where packets go, and where they go once more.
#[test]
fn lanes() {
    let mut b = bench();
    let p = player(&mut b);
    let flow = b.flow(p.c.conn);
    let start = b.start_of(flow);
    let datagrams = start.datagrams.as_ref().unwrap();
    let ports: Vec<u16> = datagrams.lanes.iter().map(|l| l.to.port()).collect();
    assert_eq!(ports, [2408, 4958]);
    assert!(datagrams.lanes.iter().all(|l| l.channel == Channel(0)));
    assert!(
        datagrams
            .lanes
            .iter()
            .all(|l| l.to.ip().to_string() == "192.0.2.7")
    );
    let resend = datagrams.resend.unwrap();
    assert_eq!((resend.window, resend.lane), (Duration::from_secs(10), 1));
    b.media(flow, 1);
    assert_eq!(b.datagrams[0].2[..2], [0x80, 0xe0]);
    assert_eq!(b.datagrams[0].2[8..12], p.media.to_be_bytes());
}

// RTSP-32, RTSP-40, RTSP-41, RTSP-43
#[test]
fn lost_packets_are_sent_again() {
    let mut b = bench();
    let p = player(&mut b);
    let flow = b.flow(p.c.conn);
    b.media(flow, 10);
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[1, 2, 4, 9, 10]));
    assert_eq!(b.resent, [vec![1, 2, 4, 9]], "10 was not sent yet");
    // Wrong key, wrong source, wrong address, no name: silence.
    let wrong = Player {
        rtx: p.rtx ^ 1,
        c: Client::of(&mut b, "/pp", "", ""),
        ..p
    };
    b.datagram_from("192.0.2.7:4959", &nack(&wrong, &[1]));
    let wrong = Player {
        rtx: p.rtx,
        media: p.media ^ 1,
        ..wrong
    };
    b.datagram_from("192.0.2.7:4959", &nack(&wrong, &[1]));
    b.datagram_from("192.0.2.8:4959", &nack(&p, &[1]));
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[1])[72..]);
    b.datagram_from("192.0.2.7:4959", &[0x80; 200]);
    b.datagram_from("192.0.2.7:4959", &[]);
    assert_eq!(b.resent.len(), 1);
}

// RTSP-30, RTSP-42: what the last packets were can be asked for after the end, for ten seconds.
#[test]
fn the_last_packets_can_be_asked_for() {
    let mut b = bench();
    let mut p = player(&mut b);
    let flow = b.flow(p.c.conn);
    b.media(flow, 10);
    b.end(flow);
    // Told when they have had time to arrive.
    assert!(p.c.got(&mut b).is_empty());
    b.sleep(Duration::from_millis(300));
    assert_eq!(p.c.got(&mut b)[0].method(), "SET_PARAMETER");
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[9]));
    assert_eq!(b.resent, [vec![9]]);
    assert_eq!(b.flows[&flow].state, FlowState::Ended);
    b.sleep(Duration::from_secs(11));
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[9]));
    assert_eq!(b.resent.len(), 1);
}

// RTSP-45: a flood is served in part.
#[test]
fn floods_of_requests_are_bounded() {
    let mut b = bench_with(Config {
        resends_per_second_max: 100,
        ..config()
    });
    let p = player(&mut b);
    let flow = b.flow(p.c.conn);
    b.media(flow, 3000);
    for round in 0..20u16 {
        let lost: Vec<u16> = (0..128).map(|n| round * 128 + n).collect();
        b.datagram_from("192.0.2.7:4959", &nack(&p, &lost));
    }
    let total: usize = b.resent.iter().map(Vec::len).sum();
    assert_eq!(total, 100);
    b.sleep(Duration::from_secs(1));
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[5]));
    assert_eq!(b.resent.iter().map(Vec::len).sum::<usize>(), 101);
}

// Numbers wrap on the wire, not in the flow.
#[test]
fn numbers_wrap() {
    let mut b = bench();
    let p = player(&mut b);
    let flow = b.flow(p.c.conn);
    b.media(flow, 70_000);
    b.datagrams.clear();
    b.datagram_from("192.0.2.7:4959", &nack(&p, &[(69_999u32 - 65_536) as u16]));
    assert_eq!(b.resent, [vec![69_999]]);
}

// BW-13, RTSP-33 to RTSP-37, RTSP-93
#[test]
fn packet_pair() {
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    c.describe(&mut b);
    let rtx = ssrc_of(&c.setup(&mut b, "/rtx", RTX));
    let kind = "Content-Type: application/x-rtsp-udp-packetpair";
    let body = "type: high-entropy-packetpair variable-size";
    let got = c.ask_with(&mut b, "SET_PARAMETER", "", kind, body);
    assert_eq!((got.status(), got.body()), (200, ""));
    let sizes: Vec<usize> = b.datagrams.iter().map(|d| d.2.len() - 16).collect();
    assert_eq!(sizes, [1283, 1284, 1285]);
    for (n, (to, channel, bytes)) in b.datagrams.iter().enumerate() {
        assert_eq!(to.to_string(), "192.0.2.7:4958");
        assert_eq!(*channel, Channel(0));
        assert_eq!(bytes[8..12], rtx.to_be_bytes());
        assert_eq!(bytes[4..8], [0; 4]);
        assert_eq!(bytes[12], if n == 0 { 0xc0 } else { 0x40 });
    }
    b.datagrams.clear();
    let body = "type: high-entropy-packetpair";
    c.ask_with(&mut b, "SET_PARAMETER", "", kind, body);
    let sizes: Vec<usize> = b.datagrams.iter().map(|d| d.2.len() - 16).collect();
    assert_eq!(sizes, [1454, 1455, 1456]);
    assert_eq!(
        c.ask_with(&mut b, "SET_PARAMETER", "", kind, "x").status(),
        400
    );
    // Without a retransmission stream there is no port to send it to.
    let mut c = Client::player(&mut b, "/pp");
    c.set_up_tcp(&mut b);
    assert_eq!(
        c.ask_with(&mut b, "SET_PARAMETER", "", kind, body).status(),
        455
    );
}

// RTSP-59, RTSP-74: correction.
#[test]
fn correction_is_set_up() {
    let mut b = bench_with(Config {
        fec: fec::Params::new(4, 1, 6),
        ..config()
    });
    let mut c = Client::player(&mut b, "/pp");
    let sdp = c.describe(&mut b).body().to_owned();
    assert!(sdp.contains("a=fmtp:98 rtsp://wme.example/pp/audio/fec98 4 1\r\n"));
    let fec =
        "RTP/AVP/UDP;unicast;client_port=2408;mode=PLAY;FecSpan=4;FecPerSpan=1;FecBurstMargin=6";
    assert_eq!(
        c.setup(&mut b, "/audio/fec98", fec).status(),
        461,
        "before its stream"
    );
    c.setup(&mut b, "/audio", UDP);
    let greedy = fec.replace("PerSpan=1", "PerSpan=3");
    assert_eq!(c.setup(&mut b, "/audio/fec98", &greedy).status(), 461);
    let got = c.setup(&mut b, "/audio/fec98", fec);
    let text = got.get("Transport").unwrap();
    assert!(
        text.ends_with(";FecSpan=4;FecPerSpan=1;FecBurstMargin=6"),
        "{text}"
    );
    let got = c.play(&mut b, "");
    assert!(!got.get("RTP-Info").unwrap().contains("fec98"));
    let flow = b.flow(c.conn);
    b.media(flow, 24);
    assert_eq!(b.datagrams.len(), 24 + 6, "RTSP-28");
    assert!(b.datagrams.iter().all(|d| d.0.port() == 2408));
    assert_eq!(b.datagrams[24].2[1], 0x80 | 98, "RTSP-22");
    assert_eq!(b.totals(flow).sequence, 24);
    // Without an offer there is none.
    let mut b = bench();
    let mut c = Client::player(&mut b, "/pp");
    assert!(!c.describe(&mut b).body().contains("fec"));
    c.setup(&mut b, "/audio", UDP);
    assert_eq!(c.setup(&mut b, "/audio/fec98", fec).status(), 400);
}

// rtsp-wme.md 2.5: Blocksize and the path bound datagrams; what is cut has one sequence number a piece.
#[test]
fn datagrams_are_bounded() {
    for (block, size) in [("", 1472), ("Blocksize: 600", 612)] {
        let mut b = bench();
        let mut c = Client::player(&mut b, "/pp");
        c.describe(&mut b);
        let got = c.ask(
            &mut b,
            "SETUP",
            "/audio",
            &format!("Transport: {UDP}|{block}"),
        );
        c.session = got.get("Session").unwrap()[..20].to_owned();
        c.play(&mut b, "");
        let flow = b.flow(c.conn);
        b.packet(flow, &[0; 3200]);
        let largest = b.datagrams.iter().map(|d| d.2.len()).max().unwrap();
        assert_eq!(largest, size);
        let data: usize = b.datagrams.iter().map(|d| d.2.len() - 16).sum();
        assert_eq!(data, 3200);
        let last = b.datagrams.len() - 1;
        for (n, d) in b.datagrams.iter().enumerate() {
            assert_eq!(d.2[1] & 0x80 != 0, n == last, "RTSP-05");
        }
        assert_eq!(b.totals(flow).sequence as usize, b.datagrams.len());
    }
}

// RTSP-123, RTSP-124, decision 13: silence over TCP is well, over UDP it is the end.
#[test]
fn who_is_silent() {
    let mut b = bench();
    let tcp = Client::plays_tcp(&mut b, "/pp");
    let flow = b.flow(tcp.conn);
    for _ in 0..600 {
        b.sleep(Duration::from_secs(1));
        b.media(flow, 1);
    }
    assert!(b.is_open(tcp.conn) && b.has_flow(tcp.conn));
    let udp = Client::plays_udp(&mut b, "/pp");
    b.sleep(Duration::from_secs(69));
    assert!(b.is_open(udp.conn));
    b.sleep(Duration::from_secs(2));
    assert!(!b.is_open(udp.conn));
    assert_eq!(b.server.session_count(), 1);
    // A keep-alive keeps, as the last one says, for 70 s.
    let mut udp = Client::plays_udp(&mut b, "/pp");
    for _ in 0..10 {
        b.sleep(Duration::from_secs(60));
        assert_eq!(udp.ask(&mut b, "GET_PARAMETER", "/", "").status(), 200);
    }
    b.sleep(Duration::from_secs(71));
    assert!(!b.is_open(udp.conn));
    // After the end the session over TCP is idle too.
    b.end(flow);
    b.sleep(Duration::from_secs(71));
    assert!(!b.is_open(tcp.conn));
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
}

// RTSP-127: Teardown stops what flows beside the connection too.
#[test]
fn teardown_over_udp() {
    let mut b = bench();
    let mut c = Client::plays_udp(&mut b, "/pp");
    let flow = b.flow(c.conn);
    b.media(flow, 1);
    c.send(&mut b, "TEARDOWN", "/", "", "");
    b.held(flow);
    assert_eq!(c.got(&mut b)[0].status(), 200);
    assert!(!b.is_open(c.conn));
    assert_eq!(b.server.session_count(), 0);
}
