//! Media over UDP, and what was lost of it (mmsp.md 2.8, 2.9).

mod mmsp_support;

use mmsp_support::*;
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::net::SocketAddr;
use std::time::Duration;

fn client_id(b: &mut Bench, conn: ConnId) -> u32 {
    match b.reply(conn, &funnel_info(incarnation::NO_PAIR)) {
        ToClient::ReportFunnelInfo { client_id, .. } => client_id,
        other => panic!("{other:?}"),
    }
}

fn port() -> SocketAddr {
    "192.0.2.7:7000".parse().unwrap()
}

/// A client that gets media over UDP, and its Client-ID.
fn playing_udp(b: &mut Bench) -> (ConnId, FlowId, u32) {
    let conn = b.connected(WMP9);
    let id = client_id(b, conn);
    b.reply(conn, &connect_funnel(UDP));
    b.reply(conn, &open_file("pp"));
    b.talk(conn, &read_block(2));
    b.reply(conn, &select(&[(NONE, 1, 0)]));
    b.reply(conn, &start(4));
    let flow = b.flow(conn);
    b.datagrams.clear();
    (conn, flow, id)
}

fn request(client_id: u32, sequences: &[u32]) -> Vec<u8> {
    ResendRequest {
        client_id,
        source_id: 1,
        sequences: sequences.to_vec(),
    }
    .bytes()
}

// Exchange 2: MMSP-32, MMSP-56, MMSP-96
#[test]
fn play_over_udp() {
    let mut b = Bench::new();
    let conn = b.funneled(WMP9, UDP);
    b.reply(conn, &open_file("pp"));
    assert_eq!(b.opens[0].protocol, Protocol::Mmsu);
    let block = ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 2,
    };
    assert_eq!(b.reply(conn, &read_block(2)), block);
    // Not to the address in funnelName.
    let header = [&[0, 0, 0, 0, 2, 0x0C, 12, 0][..], &[0xAA; 4]].concat();
    assert_eq!(b.datagrams, [(conn, port(), header)]);
    b.reply(conn, &select(&[(NONE, 1, 0)]));
    assert_eq!(b.reply(conn, &start(10)), started(10));
    let flow = b.flow(conn);
    let d = b.start_of(flow).datagrams.clone().unwrap();
    let lane = Lane {
        to: port(),
        channel: Channel(0),
    };
    assert_eq!(d.lanes, [lane]);
    let resend = d.resend.unwrap();
    assert!(resend.window >= Duration::from_secs(8));
    assert_eq!((resend.count_max, resend.lane), (2, 0));
    b.datagrams.clear();
    b.media(flow, 2);
    assert_eq!(
        b.datagrams[1].2,
        [1, 0, 0, 0, 10, 1, 12, 0, 0xBB, 0xBB, 0xBB, 0xBB]
    );
    // Messages go beside media; nothing is held for them.
    let reply = b.reply(conn, &select(&[(NONE, 2, 0)]));
    assert_eq!(reply, ToClient::ReportStreamSwitch { hr: 0 });
    assert_eq!(b.flows[&flow].commands, ["start", "select 1"]);
    // But no media may follow EndOfStream (MMSP-87).
    b.tell(conn, &stop(10));
    assert!(b.is_quiet(conn));
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 10))]);
}

// MMSP-30, MMSP-56, MMSP-61, MMSP-62, BW-20; exchange 3
#[test]
fn packet_pairs_over_udp() {
    let mut b = Bench::new();
    let conn = b.connected(WMP9);
    let reply = b.reply(conn, &funnel_info(incarnation::PAIR_UDP));
    assert!(matches!(
        reply,
        ToClient::ReportFunnelInfo { play_incarnation: incarnation::PAIR_UDP, pair, .. } if pair.is_empty()
    ));
    b.reply(conn, &connect_funnel(UDP));
    b.reply(conn, &open_file("pp"));
    b.talk(conn, &read_block(1));
    let sizes: Vec<usize> = b.datagrams.iter().map(|d| d.2.len()).collect();
    assert_eq!(sizes, [1472, 1472, 12]);
    let heads: Vec<&[u8]> = b.datagrams.iter().map(|d| &d.2[..8]).collect();
    assert_eq!(heads[0], [0x00, 0xF0, 0xF0, 0xF0, 0xFF, 0x10, 0xC0, 0x05]);
    assert_eq!(heads[1], [0x01, 0xF0, 0xF0, 0xF0, 0xFF, 0x10, 0xC0, 0x05]);
    assert_ne!(b.datagrams[0].2[8..], b.datagrams[1].2[8..]);
    // The header was lost: the pair and the header come again.
    b.datagrams.clear();
    b.tell(
        conn,
        &ToServer::CancelReadBlock {
            play_incarnation: 1,
        },
    );
    b.talk(conn, &read_block(2));
    assert_eq!(b.datagrams.len(), 3);
    assert_eq!(b.datagrams[2].2[4], 2);
    // Where UDP is not offered, neither is its pair; over TCP none is sent.
    let mut b = Bench::with(Config {
        udp: false,
        ..config(0, 1)
    });
    let conn = b.connected(WMP9);
    let reply = b.reply(conn, &funnel_info(incarnation::PAIR_UDP));
    assert!(matches!(
        reply,
        ToClient::ReportFunnelInfo {
            play_incarnation: incarnation::NO_PAIR,
            ..
        }
    ));
}

// MMSP-56: the pair precedes ReportReadBlock.
#[test]
fn the_pair_leaves_first() {
    let mut server = Server::new(config(0, 1));
    let conn = ConnId(1);
    let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
    let mut outputs = Vec::new();
    let step = |server: &mut Server, input: Input<'_>, outputs: &mut Vec<&str>| {
        server.handle(Time(0), input);
        loop {
            match server.poll(Time(0)) {
                Output::Idle(_) => return,
                Output::Send { .. } => outputs.push("send"),
                Output::SendTo { .. } => outputs.push("to"),
                Output::Ask { ticket, .. } => {
                    let answer = Answer::Opened(Box::new(clip()));
                    server.handle(Time(0), Input::Answer { ticket, answer });
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let opened = Input::Opened {
        conn,
        peer,
        local: peer,
    };
    step(&mut server, opened, &mut outputs);
    for message in [
        connect(WMP9),
        funnel_info(incarnation::PAIR_UDP),
        connect_funnel(UDP),
        open_file("pp"),
        read_block(1),
    ] {
        let bytes = wire::packet(&message, 0, 0);
        step(
            &mut server,
            Input::Data {
                conn,
                bytes: &bytes,
            },
            &mut outputs,
        );
    }
    assert_eq!(
        outputs,
        ["send", "send", "send", "send", "to", "to", "send", "to"]
    );
}

// MMSP-97, MMSP-98
#[test]
fn resends() {
    let mut b = Bench::new();
    let (conn, flow, id) = playing_udp(&mut b);
    b.media(flow, 10);
    b.datagram(&request(id, &[3, 5]));
    assert_eq!(b.resent, [vec![3, 5]]);
    // Somebody else's, another file's, from another address, of nobody, cut short.
    b.datagram(&request(id ^ 1, &[1]));
    let mut other = request(id, &[1]);
    other[8] = 2;
    b.datagram(&other);
    b.datagram_from("192.0.2.8:7000", &request(id, &[1]));
    b.datagram(&request(id, &[1])[..14]);
    b.datagram(b"anything");
    b.datagram(&[]);
    assert_eq!(b.resent.len(), 1);
    // The port does not matter; a v4 address in v6 clothes is the same.
    b.datagram_from("192.0.2.7:9", &request(id, &[6]));
    b.datagram_from("[::ffff:192.0.2.7]:9", &request(id, &[7]));
    assert_eq!(b.resent[1..], [vec![6], vec![7]]);
    // After the end the last ones may still be missing.
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 4))]);
    b.datagram(&request(id, &[9]));
    assert_eq!(b.resent.len(), 4);
    // Sequences go on through the next start; those of the flow before are gone (MMSP-80).
    b.reply(conn, &start(5));
    let next = b.flow(conn);
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
    b.media(next, 2);
    assert_eq!(b.datagrams.last().unwrap().2[5], 11);
    b.datagram(&request(id, &[9, 10, 11]));
    assert_eq!(b.resent[4], [0, 1]);
    // Nothing of what was stopped comes after its EndOfStream.
    b.tell(conn, &stop(5));
    b.held(next);
    b.datagram(&request(id, &[11]));
    assert_eq!(b.resent.len(), 5);
    // Over TCP there is nothing to send again.
    let conn = b.connected(WMP9);
    let id = client_id(&mut b, conn);
    b.reply(conn, &connect_funnel(TCP));
    b.reply(conn, &open_file("pp"));
    b.talk(conn, &read_block(2));
    b.reply(conn, &start(4));
    b.datagram(&request(id, &[0]));
    assert_eq!(b.resent.len(), 5);
}

// MMSP-99
#[test]
fn resends_are_bounded() {
    let mut b = Bench::with(Config {
        resend_rate_max: 10,
        resend_burst_max: 40,
        ..config(0, 1)
    });
    let (_, flow, id) = playing_udp(&mut b);
    b.media(flow, 100);
    let all: Vec<u32> = (0..32).collect();
    for _ in 0..50 {
        b.datagram(&request(id, &all));
    }
    let lens = |b: &Bench| b.resent.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lens(&b), [32, 8]);
    b.sleep(Duration::from_secs(1));
    b.datagram(&request(id, &all));
    b.datagram(&request(id, &all));
    assert_eq!(lens(&b), [32, 8, 10]);
}

// MMSP-21, decision 7
#[test]
fn requests_find_their_core() {
    let mut other = Bench::with(config(1, 4));
    let (_, flow, id) = playing_udp(&mut other);
    other.media(flow, 3);
    assert_eq!(id >> 30, 1);
    let mut b = Bench::with(config(0, 4));
    let asked = request(id, &[2]);
    b.datagram(&asked);
    assert_eq!(b.passed, [(CoreId(1), asked.clone())]);
    other.datagram(&asked);
    assert!(other.passed.is_empty());
    assert_eq!(other.resent, [vec![2]]);
    // One of nobody is passed once at most.
    let nobody = request(id ^ 1, &[2]);
    other.datagram(&nobody);
    assert!(other.passed.is_empty());
    // Ids differ.
    let ids: std::collections::BTreeSet<u32> = (0..50)
        .map(|_| {
            let conn = b.connected(WMP9);
            client_id(&mut b, conn)
        })
        .collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| id >> 30 == 0));
}
