//! The server machine of MSBD against scripted clients.

mod asf_build;
mod msbd_support;
mod support;

use msbd_support::*;
use protocols::content::*;
use protocols::machine::{CloseHow, ConnId, Input, Report};
use protocols::media::{FlowEnd, Pace};
use protocols::msbd::hresult;
use protocols::msbd::server::{Config, Server};
use std::time::Duration;
use support::{Bench, FlowState, Point};

const SECOND: Duration = Duration::from_secs(1);

type Msbd = Bench<Server>;

fn bench_of(config: Config) -> Msbd {
    let mut bench = Bench::around(Server::new(config));
    bench.local = "192.0.2.1:7007".parse().unwrap();
    let live = Point::Media(s1_content(1));
    bench.points.insert("/point".to_owned(), live);
    bench
}

fn bench() -> Msbd {
    bench_of(config(None))
}

/// A client that gets media on its connection, and what it was told first.
fn connected(bench: &mut Msbd) -> ConnId {
    let conn = bench.open();
    bench.send(conn, example(1));
    assert_eq!(bench.take(conn), [example(3), info(1)].concat());
    conn
}

/// The packets of the reference, through the flow.
fn media(bench: &mut Msbd, conn: ConnId) {
    let flow = bench.flow(conn);
    bench.packet(flow, &f1());
    bench.packet(flow, &f2());
}

fn unavailable(bench: &mut Msbd) {
    let gone = Point::Refused(Refusal::Unavailable);
    bench.points.insert("/point".to_owned(), gone);
}

fn refusal(bench: &mut Msbd, bytes: Vec<u8>) -> (Vec<u8>, CloseHow) {
    let conn = bench.open();
    bench.send(conn, bytes);
    let (how, fault) = bench.closed[&conn].clone();
    assert!(fault.is_some());
    (bench.take(conn), how)
}

fn no_leaks(bench: &Msbd) {
    assert!(bench.held.is_empty(), "{:?}", bench.held);
    assert_eq!(bench.server.connection_count(), 0);
    assert_eq!(bench.server.session_count(), 0);
    assert_eq!(bench.wake, None);
}

// MSBD-10, MSBD-11, MSBD-16, MSBD-30, MSBD-35, MSBD-38, MSBD-47, MSBD-50, MSBD-52, MSBD-55,
// MSBD-65: example 16
#[test]
fn a_whole_session() {
    let mut bench = bench();
    let conn = bench.open();
    assert!(bench.take(conn).is_empty() && bench.opens.is_empty());
    bench.send(conn, example(1));
    let open = &bench.opens[0];
    assert_eq!(
        (&*open.path, open.protocol, open.play),
        ("/point", Protocol::Msbd, true)
    );
    let cue = &bench.cues[0];
    assert_eq!(
        (cue.start, cue.selection),
        (Start::Beginning, Selection::ALL)
    );
    let flow = bench.flow(conn);
    let start = bench.start_of(flow);
    let real_time = Pace::Media {
        accel: None,
        speed_milli: 1000,
    };
    assert!(start.whole && start.datagrams.is_none());
    assert_eq!((start.pace, start.selection), (real_time, Selection::ALL));
    media(&mut bench, conn);
    bench.sleep(120 * SECOND);
    // The flow is held for the ping.
    assert_eq!(bench.flows[&flow].state, FlowState::Holding);
    bench.held(flow);
    assert_eq!(bench.flows[&flow].commands, ["start", "hold", "go"]);
    bench.send(conn, example(9));
    bench.end(flow);
    let said = bench.take(conn);
    assert_eq!(said, example(16));
    assert!(bench.is_open(conn));
    bench.hang_up(conn);
    no_leaks(&bench);
}

// MSBD-17, MSBD-18, MSBD-41, MSBD-42, MSBD-52, MSBD-65: example 17
#[test]
fn entries_follow_each_other_and_numbers_go_on() {
    let mut bench = bench();
    bench.next.insert(1, s1_content(2));
    let conn = bench.open();
    bench.send(conn, example(1));
    let flow = bench.flow(conn);
    bench.packet(flow, &f1());
    bench.end(flow);
    assert_eq!(bench.held.len(), 1, "the first entry is given back");
    let flow = bench.flow(conn);
    bench.packet(flow, &f1());
    bench.end(flow);
    assert_eq!(bench.take(conn), example(17));
}

// msbd.md 3.4
#[test]
fn between_entries_the_end_can_be_left_out() {
    let mut bench = bench_of(Config {
        switch_eos: false,
        ..config(None)
    });
    bench.next.insert(1, s1_content(0x0800));
    let conn = connected(&mut bench);
    let flow = bench.flow(conn);
    bench.end(flow);
    // MSBD-67
    assert_eq!(bench.take(conn), info(0x8000));
    let flow = bench.flow(conn);
    bench.packet(flow, &f1());
    bench.end(flow);
    let end = [packet(0, 0x8000), example(10), example(11)].concat();
    assert_eq!(bench.take(conn), end);
}

// MSBD-16, MSBD-53, MSBD-54: there is no stream yet
#[test]
fn clients_wait_for_the_stream() {
    let mut bench = bench();
    unavailable(&mut bench);
    let conn = bench.open();
    bench.send(conn, example(1));
    assert_eq!(bench.take(conn), [example(3), example(11)].concat());
    assert!(!bench.has_flow(conn));
    bench.sleep(5 * SECOND);
    assert_eq!(bench.opens.len(), 3);
    // MSBD-14
    bench.send(conn, example(7));
    assert_eq!(bench.take(conn), with(example(11), 6, &[4]));
    bench
        .points
        .insert("/point".into(), Point::Media(s1_content(1)));
    bench.sleep(SECOND);
    assert_eq!(bench.take(conn), info(1));
    media(&mut bench, conn);
    assert_eq!(bench.take(conn), [example(14), example(15)].concat());
    bench.sleep(60 * SECOND);
    assert_eq!(bench.opens.len(), 4, "nobody asks while there is one");
}

// MSBD-35, MSBD-52
#[test]
fn after_the_end_another_stream_may_come() {
    for end in [FlowEnd::Finished, FlowEnd::SourceLost] {
        let mut bench = bench();
        let conn = connected(&mut bench);
        let flow = bench.flow(conn);
        bench.packet(flow, &f1());
        bench.take(conn);
        unavailable(&mut bench);
        bench.end_with(flow, end);
        assert_eq!(bench.take(conn), [example(10), example(11)].concat());
        assert!(bench.held.is_empty());
        bench.sleep(30 * SECOND);
        assert!(bench.take(conn).is_empty());
        bench
            .points
            .insert("/point".into(), Point::Media(s1_content(2)));
        bench.sleep(3 * SECOND);
        assert_eq!(bench.take(conn), info(2));
        let flow = bench.flow(conn);
        bench.packet(flow, &f1());
        assert_eq!(bench.take(conn), packet(1, 2));
        // The point itself goes.
        bench.points.remove("/point");
        bench.end_with(flow, end);
        bench.sleep(3 * SECOND);
        assert_eq!(bench.closed[&conn].0, CloseHow::Flush);
        no_leaks(&bench);
    }
}

// MSBD-14, MSBD-15, MSBD-65: example 13
#[test]
fn streams_are_described_on_request() {
    let mut bench = bench();
    let conn = bench.open();
    // Before REQ_CONNECT there is none (msbd.md 3.5).
    bench.send(conn, example(7));
    assert_eq!(bench.take(conn), with(example(11), 6, &[4]));
    bench.send(conn, example(1));
    bench.take(conn);
    let flow = bench.flow(conn);
    bench.send(conn, example(7));
    bench.send(conn, example(7));
    assert!(bench.take(conn).is_empty());
    bench.held(flow);
    assert_eq!(bench.take(conn), example(13));
    assert!(bench.has_flow(conn));
    // What was asked for while the entry ended is still about it.
    bench.send(conn, example(7));
    bench.end(flow);
    let said = [example(13), example(10), example(11)].concat();
    assert_eq!(bench.take(conn), said);
}

// MSBD-21, MSBD-22, MSBD-25
#[test]
fn what_is_known_of_a_stream_is_told() {
    let mut bench = bench();
    let content = Content {
        broadcast: false,
        duration: Some(10_000),
        preroll: 3000,
        packet_count: 77,
        ..s1_content(0x07FF)
    };
    bench.points.insert("/point".into(), Point::Media(content));
    let conn = bench.open();
    bench.send(conn, example(1));
    let said = bench.take(conn);
    let told = &said[36..];
    assert_eq!(told[16..20], [0xFF, 0x07, 64, 0]);
    assert_eq!(told[20..24], 77u32.to_le_bytes());
    assert_eq!(told[24..28], 64_000u32.to_le_bytes());
    assert_eq!(told[28..32], 13_000u32.to_le_bytes());
    assert_eq!(told[48..], s1());
}

// MSBD-12, MSBD-56
#[test]
fn clients_that_do_not_answer_are_left() {
    let mut bench = bench();
    unavailable(&mut bench);
    let waiting = bench.open();
    bench.send(waiting, example(1));
    bench.take(waiting);
    bench.sleep(120 * SECOND);
    assert_eq!(bench.take(waiting), example(8));
    bench.sleep(119 * SECOND);
    // It is pinged again two minutes after its answer.
    bench.send(waiting, example(9));
    bench.sleep(119 * SECOND);
    assert!(bench.take(waiting).is_empty());
    bench.sleep(2 * SECOND);
    assert_eq!(bench.take(waiting), example(8));
    bench.sleep(120 * SECOND);
    let (how, fault) = &bench.closed[&waiting];
    assert_eq!(*how, CloseHow::Abort);
    assert_eq!(fault.as_ref().unwrap().reason, "no RES_PING in time");
    no_leaks(&bench);
}

// MSBD-56: not even the ping gets through
#[test]
fn clients_that_read_nothing_are_left() {
    let mut bench = bench();
    let conn = connected(&mut bench);
    bench.sleep(240 * SECOND);
    assert!(!bench.is_open(conn));
    no_leaks(&bench);
}

#[test]
fn clients_that_lag_are_left() {
    let mut bench = bench();
    let conn = connected(&mut bench);
    let flow = bench.flow(conn);
    bench.end_with(flow, FlowEnd::Lagged);
    assert!(bench.take(conn).is_empty());
    assert_eq!(bench.closed[&conn].0, CloseHow::Abort);
    no_leaks(&bench);
}

// MSBD-31, MSBD-32, MSBD-39, MSBD-65: example 4
#[test]
fn clients_of_the_group_have_their_connection_for_messages() {
    let mut bench = bench_of(config(Some(GROUP)));
    bench.next.insert(1, s1_content(2));
    let conn = bench.open();
    bench.send(conn, example(2));
    assert_eq!(bench.take(conn), [example(4), info(1)].concat());
    assert_eq!(bench.server.member_count(7007), 1);
    let flow = bench.flow(conn);
    // The flow sends nothing, but tells of the end, and leaves the connection to messages.
    let start = bench.start_of(flow);
    assert!(start.datagrams.as_ref().is_some_and(|d| d.lanes.is_empty()));
    assert!(start.framer.keeps_padding() && !start.whole);
    media(&mut bench, conn);
    assert!(bench.take(conn).is_empty() && bench.datagrams.is_empty());
    bench.sleep(120 * SECOND);
    assert_eq!(bench.take(conn), example(8));
    bench.send(conn, [example(9), example(7)].concat());
    assert_eq!(bench.take(conn), example(13));
    assert_eq!(bench.flows[&flow].commands, ["start"]);
    // MSBD-17, MSBD-18
    bench.end(flow);
    assert_eq!(bench.take(conn), [example(10), info(2)].concat());
    let flow = bench.flow(conn);
    bench.end(flow);
    assert_eq!(bench.take(conn), [example(10), example(11)].concat());
    // On the same port media is to be had on the connection, too.
    let other = bench.open();
    bench.send(other, example(1));
    assert_eq!(
        bench.take(other),
        [with(example(3), 16, &[2]), info(1)].concat()
    );
    assert_eq!(bench.server.member_count(7007), 1);
    bench.hang_up(conn);
    assert_eq!(bench.server.member_count(7007), 0);
}

// MSBD-26, MSBD-29, MSBD-48, MSBD-49, MSBD-51, MSBD-65, MSBD-66
#[test]
fn requests_are_refused() {
    let mut bench = bench();
    let flush = CloseHow::Flush;
    let invalid = (example(6), flush);
    // Example 5: this server sends to no group.
    assert_eq!(refusal(&mut bench, example(2)), (example(5), flush));
    assert_eq!(refusal(&mut bench, with(example(1), 16, &[3])), invalid);
    assert_eq!(refusal(&mut bench, with(example(1), 16, &[0])), invalid);
    let odd = with(example(1), 8, &[33])[..33].to_vec();
    assert_eq!(refusal(&mut bench, odd), invalid);
    let other = with(example(1), 20, b"M");
    assert_eq!(refusal(&mut bench, other), (example(5), flush));
    assert_eq!(bench.refused(), [400, 400, 400, 400, 404]);
    assert!(bench.opens.is_empty());
    for (refusal_, hr) in [
        (Refusal::NotFound, hresult::NS_E_FILE_NOT_FOUND),
        (Refusal::Forbidden, hresult::NS_E_FILE_NOT_FOUND),
        (Refusal::Busy, hresult::NS_E_TOO_MANY_SESS),
        (Refusal::Internal, hresult::E_FAIL),
    ] {
        let point = Point::Refused(refusal_);
        bench.points.insert("/point".into(), point);
        let reply = with(example(5), 12, &hr.to_le_bytes());
        assert_eq!(refusal(&mut bench, example(1)), (reply, flush));
    }
    no_leaks(&bench);
}

// MSBD-24: what does not fit is refused, not cut
#[test]
fn streams_that_do_not_fit_are_refused() {
    let refused = |content, group, request| {
        let mut bench = bench_of(config(group));
        bench.points.insert("/point".into(), Point::Media(content));
        let refused = refusal(&mut bench, example(request)).0 == example(5);
        no_leaks(&bench);
        refused
    };
    let header = |len| Content {
        header: vec![0; len].into(),
        ..s1_content(1)
    };
    let packets = |packet_size| Content {
        packet_size,
        ..s1_content(1)
    };
    assert!(refused(header(65_488), None, 1));
    assert!(refused(packets(65_512), None, 1));
    assert!(refused(packets(65_484), Some(GROUP), 2));
    let mut bench = bench();
    bench
        .points
        .insert("/point".into(), Point::Media(header(65_487)));
    let conn = bench.open();
    bench.send(conn, example(1));
    assert_eq!(bench.take(conn).len(), 36 + 65_535);
    // Nor as the next entry: then the stream is over.
    bench.next.insert(1, header(65_488));
    let flow = bench.flow(conn);
    bench.end(flow);
    assert_eq!(bench.take(conn), [example(10), example(11)].concat());
}

// MSBD-02, MSBD-68
#[test]
fn only_listed_addresses_get_in() {
    let mut listed = config(None);
    listed.ports[0].allow.push("::/0".parse().unwrap());
    let mut bench = bench_of(listed);
    for (peer, admitted) in [
        ("192.0.2.200:5", true),
        ("[::ffff:192.0.2.200]:5", true),
        ("192.0.3.1:5", false),
        ("[2001:db8::1]:5", false),
    ] {
        let conn = bench.open_from(peer);
        bench.send(conn, example(1));
        let first = bench.take(conn)[..36].to_vec();
        assert_eq!(first == example(3), admitted, "{peer}");
        assert_eq!(first == example(5), !admitted, "{peer}");
        assert_eq!(bench.is_open(conn), admitted, "{peer}");
    }
    assert_eq!(bench.refused(), [403, 403]);
    let Report::Refused { target, peer, .. } = &bench.reports[0] else {
        panic!("a refusal")
    };
    assert_eq!((&**target, peer.port()), ("/point", 5));
    // Without a list nobody does.
    let mut closed = config(None);
    closed.ports[0].allow.clear();
    let mut bench = bench_of(closed);
    assert_eq!(refusal(&mut bench, example(1)).0, example(5));
}

// MSBD-03
#[test]
fn each_port_is_a_point() {
    let mut config = config(None);
    config.ports.push(port(7008, "/other", None));
    let mut bench = bench_of(config);
    bench
        .points
        .insert("/other".into(), Point::Media(s1_content(5)));
    bench.local.set_port(7008);
    let conn = bench.open();
    bench.send(conn, example(1));
    assert_eq!(bench.take(conn), [example(3), info(5)].concat());
    // The point's own name, and any case, with a NUL.
    let name = protocols::msbd::wire::channel_bytes("Other\0");
    let request = protocols::msbd::wire::ReqConnect {
        flags: 1,
        channel: &name,
    };
    let conn = bench.open();
    bench.send(
        conn,
        bytes_of(protocols::msbd::wire::Message::ReqConnect(request)),
    );
    assert_eq!(bench.take(conn)[..36], example(3));
    bench.local.set_port(7009);
    let conn = bench.open();
    assert!(!bench.is_open(conn));
    // Ports can be changed.
    bench.server.set_ports(vec![port(7009, "/other", None)]);
    let conn = bench.open();
    bench.send(conn, example(1));
    assert_eq!(bench.take(conn)[..36], example(3));
}

// MSBD-47, MSBD-66
#[test]
fn what_is_no_request_ends_the_connection() {
    for bytes in [
        with(example(1), 0, &[0x4E]),
        with(example(1), 8, &[15]),
        with(example(1), 8, &[0, 0, 1]),
        example(9),
        example(8),
    ] {
        let mut bench = bench();
        let (said, how) = refusal(&mut bench, bytes);
        assert_eq!((said.len(), how), (0, CloseHow::Abort));
        no_leaks(&bench);
    }
    let mut bench = bench();
    let conn = bench.open();
    // Unknown messages are passed over, in any split.
    let mut unknown = with(example(1), 6, &[6])[..20].to_vec();
    unknown[8] = 20;
    for byte in [unknown, example(1)].concat() {
        bench.send(conn, [byte]);
    }
    assert_eq!(bench.take(conn), [example(3), info(1)].concat());
    let silent = bench.open();
    bench.sleep(10 * SECOND);
    assert!(!bench.is_open(silent) && bench.is_open(conn));
    assert_eq!(bench.closed[&silent].0, CloseHow::Abort);
}

#[test]
fn a_second_request_ends_the_session() {
    let mut bench = bench();
    let conn = connected(&mut bench);
    let flow = bench.flow(conn);
    bench.send(conn, example(1));
    assert!(bench.is_open(conn));
    bench.held(flow);
    assert_eq!(bench.take(conn), example(6));
    assert_eq!(bench.closed[&conn].0, CloseHow::Flush);
    no_leaks(&bench);
}

#[test]
fn talkative_clients_are_left() {
    let mut bench = bench();
    unavailable(&mut bench);
    let conn = bench.open();
    bench.send(conn, example(1));
    bench.send(conn, example(7).repeat(100));
    assert!(!bench.is_open(conn));
    assert!(bench.take(conn).len() < 20 * 48);
    // Neither are they stored behind a question that takes long.
    bench.slow = true;
    let conn = bench.open();
    bench.send(conn, example(1));
    bench.send(conn, example(7).repeat(4200));
    assert!(!bench.is_open(conn));
    bench.answer_all();
    no_leaks(&bench);
}

#[test]
fn answers_that_come_too_late_are_given_back() {
    for answered in 0..3 {
        let mut bench = bench();
        bench.next.insert(1, s1_content(2));
        bench.slow = true;
        let conn = bench.open();
        bench.send(conn, example(1));
        (0..answered.min(2)).for_each(|_| bench.answer_one());
        if answered == 2 {
            let flow = bench.flow(conn);
            bench.end(flow);
        }
        bench.hang_up(conn);
        bench.answer_all();
        no_leaks(&bench);
    }
}

#[test]
fn a_cue_that_fails_is_the_end_of_the_stream() {
    let mut bench = bench();
    bench.refuse_cue = Some(Refusal::Unavailable);
    let conn = bench.open();
    bench.send(conn, example(1));
    let said = [example(3), info(1), example(10), example(11)].concat();
    assert_eq!(bench.take(conn), said);
    bench.refuse_cue = None;
    bench.sleep(3 * SECOND);
    assert_eq!(bench.take(conn), info(1));
    assert!(bench.has_flow(conn));
}

// msbd.md 5.2
#[test]
fn sessions_are_limited_and_none_begin_while_the_server_stops() {
    let mut bench = bench_of(Config {
        session_count_max: 1,
        ..config(None)
    });
    let conn = connected(&mut bench);
    let full = hresult::NS_E_TOO_MANY_SESS.to_le_bytes();
    let full = with(example(5), 12, &full);
    assert_eq!(refusal(&mut bench, example(1)).0, full);
    bench.hang_up(conn);
    let conn = connected(&mut bench);
    let idle = bench.open();
    bench.input(Input::Drain);
    assert!(!bench.is_open(idle) && bench.is_open(conn));
    assert_eq!(refusal(&mut bench, example(1)).0, full);
    let flow = bench.flow(conn);
    bench.end(flow);
    assert_eq!(bench.take(conn), [example(10), example(11)].concat());
    assert_eq!(bench.closed[&conn], (CloseHow::Flush, None));
    no_leaks(&bench);
}
