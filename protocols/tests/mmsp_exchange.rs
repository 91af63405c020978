//! The exchanges of the reference (mmsp.md 3), from Connect to the last byte.

mod mmsp_support;

use bytes::Bytes;
use mmsp_support::*;
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::time::Duration;

fn header_data(play_incarnation: u8) -> Heard {
    Data(DataHead::of(0, play_incarnation, 0x0C, 4), vec![0xAA; 4])
}

fn media(number: u32, play_incarnation: u8, flags: u8) -> Heard {
    Data(
        DataHead::of(number, play_incarnation, flags, 4),
        vec![0xBB; 4],
    )
}

// Exchange 1: MMSP-05, MMSP-16, MMSP-27, MMSP-31, MMSP-39, MMSP-40, MMSP-41, MMSP-56, MMSP-57, MMSP-70, MMSP-79, MMSP-80, MMSP-88, MMSP-105
#[test]
fn play_over_tcp() {
    let mut b = Bench::new();
    let conn = b.open();
    match b.reply(conn, &connect(WMP9)) {
        ToClient::ReportConnectedEx {
            hr,
            play_incarnation,
            server_version,
            authen_package,
            ..
        } => {
            assert_eq!((hr, play_incarnation), (0, incarnation::NO_PAIR));
            assert_eq!(server_version, "9.01.01.3841");
            assert_eq!(authen_package, "NTLM");
        }
        other => panic!("{other:?}"),
    }
    let info = b.reply(conn, &funnel_info(incarnation::NO_PAIR));
    assert!(matches!(
        info,
        ToClient::ReportFunnelInfo {
            play_incarnation: incarnation::NO_PAIR,
            client_id: 1..,
            pair
        } if pair.is_empty()
    ));
    assert_eq!(
        b.reply(conn, &connect_funnel(TCP)),
        ToClient::ReportConnectedFunnel
    );
    assert_eq!(
        b.reply(conn, &open_file("pp")),
        ToClient::ReportOpenFile(opened_ok())
    );
    let open = b.opens.pop().unwrap();
    assert_eq!((&*open.path, open.protocol), ("/pp", Protocol::Mmst));
    assert_eq!(open.user_agent, "NSPlayer/9.0.0.2980");
    let block = ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 2,
    };
    assert_eq!(b.talk(conn, &read_block(2)), [Said(block), header_data(2)]);
    let reply = b.reply(conn, &select(&[(NONE, 1, 0), (NONE, 2, 1)]));
    assert_eq!(reply, ToClient::ReportStreamSwitch { hr: 0 });
    assert_eq!(b.reply(conn, &start(4)), started(4));
    let flow = b.flow(conn);
    let s = b.start_of(flow);
    assert_eq!(s.selection.level(1), Level::Whole);
    assert_eq!(s.selection.level(2), Level::KeyOnly);
    assert_eq!(
        (s.rate_milli, s.max_duration, s.datagrams.clone()),
        (1000, None, None)
    );
    b.media(flow, 3);
    assert_eq!(
        b.hear(conn),
        [media(0, 4, 0), media(1, 4, 1), media(2, 4, 2)]
    );
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 4))]);
    b.tell(conn, &ToServer::Logging(vec![b'x'; 1490]));
    assert!(matches!(b.logs()[..], [ClientLog::Mmsp(log)] if log.len() == 1490));
    b.tell(conn, &CLOSE);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    assert!(b.held.is_empty());
    assert_eq!(
        (b.server.session_count(), b.server.connection_count()),
        (0, 0)
    );
    assert_eq!(b.wake, None);
}

// MMSP-05
#[test]
fn packets_are_numbered_from_0() {
    let mut b = Bench::new();
    let conn = b.open();
    b.tell(conn, &connect(WMP9));
    b.sleep(Duration::from_millis(1500));
    b.tell(conn, &connect_funnel(TCP));
    b.tell(conn, &open_file("pp"));
    b.tell(conn, &read_block(1));
    let writes = b.writes[&conn].clone();
    let seqs: Vec<u8> = writes[..4].iter().map(|w| w[20]).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
    let times: Vec<u64> = writes[..4]
        .iter()
        .map(|w| u64::from_le_bytes(w[24..32].try_into().unwrap()))
        .collect();
    assert_eq!(times, [0, 1500, 1500, 1500]);
    assert_eq!(writes.len(), 5, "and the header, which is no packet");
}

// MMSP-18, MMSP-28, MMSP-29, BW-05, BW-18, BW-19
#[test]
fn packet_pairs_over_tcp() {
    let mut b = Bench::new();
    let conn = b.open();
    let asked = ToServer::Connect {
        play_incarnation: incarnation::PAIR,
        subscriber_name: WMP9.into(),
    };
    assert!(matches!(
        b.reply(conn, &asked),
        ToClient::ReportConnectedEx {
            play_incarnation: incarnation::PAIR,
            ..
        }
    ));
    for ask in [incarnation::PAIR_TCP, incarnation::PAIR] {
        b.tell(conn, &funnel_info(ask));
        let sizes: Vec<usize> = b.writes[&conn].iter().map(Vec::len).collect();
        assert_eq!(sizes, [512, 512, 1056]);
        let mut pairs = Vec::new();
        for heard in b.hear(conn) {
            match heard {
                Said(ToClient::ReportFunnelInfo {
                    play_incarnation: incarnation::PAIR_TCP,
                    client_id,
                    pair,
                }) => pairs.push((client_id, pair)),
                other => panic!("{other:?}"),
            }
        }
        assert!(pairs.windows(2).all(|w| w[0].0 == w[1].0));
        assert_ne!(pairs[0].1, pairs[1].1);
        assert_ne!(pairs[0].1[..], pairs[2].1[..432]);
        let distinct: std::collections::BTreeSet<u8> = pairs[2].1.iter().copied().collect();
        assert!(distinct.len() > 200, "high entropy");
    }
    // FFmpeg's 00F0F0F0, zeros, garbage, and more pairs than anybody needs: one report, no pair.
    for ask in [
        0x00F0_F0F0,
        0,
        7,
        incarnation::NO_PAIR,
        incarnation::PAIR_TCP,
    ] {
        b.tell(conn, &funnel_info(ask));
        assert_eq!(b.writes[&conn].concat().len(), 80);
        assert!(matches!(
            b.hear(conn)[..],
            [Said(ToClient::ReportFunnelInfo {
                play_incarnation: incarnation::NO_PAIR,
                ..
            })]
        ));
    }
}

// Exchange 4, 5: MMSP-80, MMSP-81, MMSP-82, MMSP-86, MMSP-87
#[test]
fn stop_and_seek() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "pp");
    b.media(flow, 0xFF);
    b.hear(conn);
    b.tell(conn, &stop(0x001F_FFFF));
    assert!(b.is_quiet(conn), "nothing is said before the flow is held");
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 0x001F_FFFF))]);
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
    // READY: answered as well.
    assert_eq!(b.reply(conn, &stop(3)), end(0, 3));
    b.cue.packet = 20;
    assert_eq!(b.reply(conn, &seek(0x0104, 5.0)), started(0x0104));
    assert_eq!(b.cues.last().unwrap().start, Start::Time(5000));
    let flow = b.flow(conn);
    b.media(flow, 2);
    // 254 was the last: 255 is left out.
    assert_eq!(b.hear(conn), [media(20, 4, 0), media(21, 4, 1)]);
}

// MMSP-87: VLC sends Stop and Start in one go.
#[test]
fn stop_and_start_pipelined() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "pp");
    b.media(flow, 2);
    b.hear(conn);
    let both = [stop(0x001F_FFFF), start(4)].map(|m| wire::packet(&m, 0, 0));
    b.send(conn, both.concat());
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 0x001F_FFFF)), Said(started(4))]);
    let again = b.flow(conn);
    assert_ne!(again, flow);
    b.media(again, 1);
    assert_eq!(b.hear(conn), [media(0, 4, 2)], "the Sequence goes on");
}

// MMSP-76: libmms seeks without Stop.
#[test]
fn start_while_streaming_seeks() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "pp");
    b.media(flow, 2);
    b.hear(conn);
    b.tell(conn, &seek(5, 7.5));
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(started(5))]);
    assert_eq!(b.cues.last().unwrap().start, Start::Time(7500));
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);
    let flow = b.flow(conn);
    // A seek that is refused leaves what runs as it is.
    b.refuse_cue = Some(Refusal::NotFound);
    b.tell(conn, &seek(6, 1e6));
    b.held(flow);
    let refused = ToClient::ReportStartedPlaying {
        hr: hresult::E_INVALIDARG,
        play_incarnation: 6,
        tiger_file_id: 0,
    };
    assert_eq!(b.hear(conn), [Said(refused)]);
    assert_eq!(b.flows[&flow].state, FlowState::Running);
}

// Exchange 6: MMSP-85
#[test]
fn striding() {
    let mut b = Bench::new();
    let strided = Content {
        stridable: true,
        ..clip()
    };
    b.points.insert("/s".into(), Point::Media(strided));
    let conn = b.ready(WMP9, TCP, "s");
    let report = |hr, play_incarnation| ToClient::ReportStartStriding {
        hr,
        play_incarnation,
    };
    assert_eq!(
        b.reply(conn, &stride(11, 6.0)),
        report(hresult::E_INVALIDARG, 11)
    );
    assert_eq!(
        b.reply(conn, &stride(11, 0.0)),
        report(hresult::E_INVALIDARG, 11)
    );
    assert_eq!(b.reply(conn, &stride(11, -2.0)), report(0, 11));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).rate_milli, -2000);
    b.end(flow);
    assert_eq!(
        b.hear(conn),
        [Said(end(0, 11))],
        "a rewind ends at the start"
    );
    let conn = b.ready(WMP9, TCP, "pp");
    let refused = report(hresult::NS_E_STRIDE_REFUSED, 11);
    assert_eq!(b.reply(conn, &stride(11, 2.0)), refused);
}

fn next_entry() -> Content {
    Content {
        header: Bytes::from_static(&[0xAC; 6]),
        packet_size: 1400,
        ..entry(2)
    }
}

fn change() -> ToClient {
    ToClient::ReportStreamChange {
        packet_size: 1400,
        header_size: 6,
        bit_rate: 364_000,
    }
}

// Exchange 7: MMSP-75, MMSP-88, MMSP-89, MMSP-90
#[test]
fn the_next_entry_over_tcp() {
    let mut b = Bench::new();
    b.next.insert(1, next_entry());
    let (conn, flow) = b.streaming(WMP9, TCP, "list");
    b.media(flow, 2);
    b.hear(conn);
    b.end(flow);
    let header = Data(DataHead::of(0, 0xFF, 0x0C, 6), vec![0xAC; 6]);
    assert_eq!(b.hear(conn), [Said(end(1, 4)), Said(change()), header]);
    assert_eq!(b.held.len(), 1, "the old entry is released");
    let reply = b.reply(conn, &select(&[(NONE, 2, 0)]));
    assert_eq!(reply, ToClient::ReportStreamSwitch { hr: 0 });
    // The position does not count.
    assert_eq!(b.reply(conn, &seek(12, 99.0)), started(12));
    assert_eq!(b.cues.last().unwrap().start, Start::Beginning);
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([2]));
    b.sleep(Duration::from_secs(5));
    b.media(flow, 1);
    assert_eq!(b.hear(conn), [media(0, 12, 2)]);
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 12))]);
}

// MMSP-75, MMSP-89, MMSP-90
#[test]
fn an_entry_that_is_not_started_begins_by_itself() {
    let mut b = Bench::new();
    b.next.insert(1, next_entry());
    let (conn, flow) = b.streaming(WMP9, TCP, "list");
    b.end(flow);
    b.hear(conn);
    b.sleep(Duration::from_millis(1900));
    assert!(!b.has_flow(conn));
    b.sleep(Duration::from_millis(200));
    let flow = b.flow(conn);
    assert_eq!(
        b.start_of(flow).selection,
        Selection::of([1, 2]),
        "what was selected"
    );
    b.media(flow, 2);
    assert_eq!(b.hear(conn), [media(0, 0xFF, 0), media(1, 0xFF, 1)]);
    // A late Start only changes the incarnation.
    b.tell(conn, &start(13));
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(started(13))]);
    assert_eq!(b.flow(conn), flow);
    assert_eq!(b.flows[&flow].state, FlowState::Running);
    b.media(flow, 1);
    assert_eq!(b.hear(conn), [media(2, 13, 2)]);
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 13))]);
}

// Exchange 8: MMSP-89
#[test]
fn the_next_entry_over_udp() {
    let mut b = Bench::new();
    b.next.insert(1, next_entry());
    let (conn, flow) = b.streaming(WMP9, UDP, "list");
    b.media(flow, 1);
    b.datagrams.clear();
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(1, 4)), Said(change())]);
    b.sleep(Duration::from_secs(5));
    assert!(
        b.datagrams.is_empty() && !b.has_flow(conn),
        "it waits for ReadBlock"
    );
    let block = ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 3,
    };
    assert_eq!(b.reply(conn, &read_block(3)), block);
    assert_eq!(b.datagrams.len(), 1);
    assert_eq!(b.reply(conn, &start(14)), started(14));
    let flow = b.flow(conn);
    b.media(flow, 1);
    let last = &b.datagrams.last().unwrap().2;
    assert_eq!(last[4..6], [14, 1]);
}

// Exchange 9, MMSP-88
#[test]
fn after_the_end_it_can_be_played_again() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "pp");
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 4))]);
    assert_eq!(b.reply(conn, &start(4)), started(4));
    let flow = b.flow(conn);
    // MMSP-73: a stop position ends it for good.
    b.next.insert(7, entry(8));
    b.tell(conn, &stop(4));
    b.held(flow);
    b.hear(conn);
    let limited = StartPlaying {
        frame_offset: 8000,
        ..playing(5)
    };
    assert_eq!(b.reply(conn, &ToServer::StartPlaying(limited)), started(5));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).max_duration, Some(8000));
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 5))]);
}

// Exchange 11: MMSP-45, MMSP-46
#[test]
fn redirection() {
    let mut b = Bench::new();
    let conn = b.funneled(WMP9, TCP);
    let reply = b.reply(conn, &open_file("moved"));
    let there = ToClient::ReportRedirect {
        kind: 1,
        location: "mmst://b/c".into(),
    };
    assert_eq!(reply, there);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    assert_eq!(b.server.session_count(), 0);
    // Where MMS does not lead there is nothing.
    b.points.insert("/web".into(), Point::Moved("https://b/c"));
    let (_, report) = b.opened(WMP9, TCP, "web");
    assert_eq!(report.hr, hresult::NS_E_FILE_NOT_FOUND);
}

// Exchange 12: MMSP-101, MMSP-103, MMSP-104
#[test]
fn keep_alive_and_idle() {
    let mut b = Bench::new();
    let conn = b.ready(WMP9, TCP, "pp");
    b.sleep(Duration::from_secs(31));
    assert_eq!(b.hear(conn), [Said(ToClient::Ping)]);
    b.tell(conn, &ToServer::Pong);
    b.tell(conn, &ToServer::Pong);
    assert!(b.is_quiet(conn));
    b.sleep(Duration::from_secs(61));
    assert_eq!(b.hear(conn), [Said(ToClient::Ping), Said(ToClient::Ping)]);
    // VLC's Pong every ten seconds does not keep a session for ever.
    for _ in 0..400 {
        if b.is_open(conn) {
            b.tell(conn, &ToServer::Pong);
            b.sleep(Duration::from_secs(10));
        }
    }
    assert!(b.closed.contains_key(&conn));
    assert_eq!(b.server.session_count(), 0);
    // While media flows nothing expires, and nothing is said over TCP.
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.sleep(Duration::from_secs(8000));
    assert!(b.is_open(conn) && b.is_quiet(conn));
    b.end(flow);
    b.sleep(Duration::from_secs(4000));
    assert!(!b.is_open(conn));
}

// MMSP-101: over UDP the connection is probed while media flows.
#[test]
fn keep_alive_beside_datagrams() {
    let mut b = Bench::new();
    let (conn, _) = b.streaming(WMP9, UDP, "pp");
    b.sleep(Duration::from_secs(31));
    assert_eq!(b.hear(conn), [Said(ToClient::Ping)]);
    b.tell(conn, &ToServer::Pong);
    b.sleep(Duration::from_secs(31));
    assert_eq!(b.hear(conn), [Said(ToClient::Ping)]);
    assert!(b.is_open(conn));
}

// MMSP-108
#[test]
fn a_lost_source_and_a_drained_server_end_in_words() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "live");
    b.end_with(flow, FlowEnd::SourceLost);
    assert_eq!(b.hear(conn), [Said(end(hresult::NS_E_POINT_STOPPED, 4))]);
    assert!(b.is_open(conn));

    let (conn, flow) = b.streaming(OLD, TCP, "live");
    b.drain();
    assert!(b.is_open(conn), "what runs is finished");
    b.end_with(flow, FlowEnd::SourceLost);
    assert_eq!(b.hear(conn), [Said(end(hresult::NS_E_POINT_STOPPED, 4))]);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    let conn = b.open();
    b.tell(conn, &connect(WMP9));
    assert!(matches!(
        b.hear(conn)[..],
        [Said(ToClient::ReportConnectedEx {
            hr: hresult::NS_E_NO_NEW_CONNECTIONS,
            ..
        })]
    ));
    assert!(b.closed.contains_key(&conn));
}

// MMSP-77, BW-28, BW-34
#[test]
fn accelerated_starts() {
    let mut b = Bench::new();
    let granted = Accel {
        bits_per_second: 1_000_000,
        duration_ms: 3000,
    };
    b.cue.accel = Some(granted);
    let ask = |b: &mut Bench, accel| {
        let conn = b.ready(WMP9, TCP, "pp");
        let asked = StartPlaying {
            accel,
            ..playing(11)
        };
        assert_eq!(b.reply(conn, &ToServer::StartPlaying(asked)), started(11));
        let flow = b.flow(conn);
        (b.cues.last().unwrap().accel, b.start_of(flow).pace)
    };
    let asked = Accel {
        bits_per_second: 2_000_000,
        duration_ms: 5000,
    };
    let pace = |accel| Pace::Media {
        accel,
        speed_milli: 1000,
    };
    let got = ask(&mut b, Some((2_000_000, 5000)));
    assert_eq!(got, (Some(asked), pace(Some(granted))));
    for nothing in [None, Some((0, 5000)), Some((2_000_000, 0))] {
        assert_eq!(ask(&mut b, nothing), (None, pace(None)));
    }
}

// MMSP-57, MMSP-58, MMSP-59, MMSP-60, MMSP-62
#[test]
fn long_headers_come_in_pieces() {
    let mut b = Bench::new();
    let long = Content {
        header: vec![0xAD; 5306].into(),
        packet_size: 1400,
        ..clip()
    };
    b.points.insert("/long".into(), Point::Media(long));
    let (conn, report) = b.opened(WMP9, TCP, "long");
    assert_eq!(report.header_size, 5306);
    let piece = |n, flags, len| Data(DataHead::of(n, 3, flags, len), vec![0xAD; len]);
    let block = Said(ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 3,
    });
    let began = b.now;
    assert_eq!(
        b.talk(conn, &read_block(3)),
        [block.clone(), piece(0, 4, 1400)]
    );
    b.sleep(Duration::from_millis(30));
    assert!(b.is_quiet(conn), "faster than the content's bit rate");
    b.sleep(Duration::from_secs(2));
    let rest = [piece(1, 4, 1400), piece(2, 4, 1400), piece(3, 0x0C, 1106)];
    assert_eq!(b.hear(conn), rest);
    // Cancelled, and begun anew from the start.
    b.talk(conn, &read_block(3));
    assert_eq!(
        b.talk(
            conn,
            &ToServer::CancelReadBlock {
                play_incarnation: 3
            }
        ),
        []
    );
    b.sleep(Duration::from_secs(2));
    assert!(b.is_quiet(conn));
    assert_eq!(b.talk(conn, &read_block(3)), [block, piece(0, 4, 1400)]);
    // A Start that comes too early waits for the rest.
    b.tell(conn, &start(4));
    assert!(b.is_quiet(conn) && b.cues.is_empty());
    b.sleep(Duration::from_secs(2));
    let heard = b.hear(conn);
    assert_eq!(heard[..3], rest);
    assert_eq!(heard[3..], [Said(started(4))]);
    assert!(b.now.since(began) > Duration::from_secs(6));
}
