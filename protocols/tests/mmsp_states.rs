//! What the server makes of messages in every state, and of what real players send (mmsp.md 4.1, 7, 8).

mod mmsp_support;

use mmsp_support::*;
use protocols::content::*;
use protocols::machine::*;
use std::time::Duration;

/// A message as a player packs it: fields by hand, then the packet around.
fn raw(mid: u32, fields: &[u8]) -> Vec<u8> {
    let mut area = vec![0; 4];
    area.extend(mid.to_le_bytes());
    area.extend(fields);
    area.resize(area.len().next_multiple_of(8), 0);
    let chunks = area.len() as u32 / 8;
    area[..4].copy_from_slice(&chunks.to_le_bytes());
    packed(&area)
}

fn packed(area: &[u8]) -> Vec<u8> {
    let length = area.len() as u32 + 16;
    let head = [1, 0xB00B_FACE, length, 0x2053_4D4D, length / 8, 0, 0, 0];
    let mut bytes: Vec<u8> = head.iter().flat_map(|v: &u32| v.to_le_bytes()).collect();
    bytes.extend(area);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hear_raw(b: &mut Bench, conn: ConnId, bytes: &[u8]) -> Vec<Heard> {
    b.send(conn, bytes);
    b.hear(conn)
}

fn refused_open(hr: u32, play_incarnation: u32) -> ToClient {
    ToClient::ReportOpenFile(ReportOpenFile {
        hr,
        play_incarnation,
        ..ReportOpenFile::default()
    })
}

// mmsp.md 4.1 "any other", MMSP-38
#[test]
fn requests_out_of_place_are_refused_in_their_reports() {
    let wrong = hresult::NS_E_INVALID_REQUEST;
    let mut b = Bench::new();
    let conn = b.connected(WMP9);
    assert_eq!(b.reply(conn, &open_file("pp")), refused_open(wrong, 9));
    let block = ToClient::ReportReadBlock {
        hr: wrong,
        play_incarnation: 2,
    };
    assert_eq!(b.reply(conn, &read_block(2)), block);
    let switch = ToClient::ReportStreamSwitch { hr: wrong };
    assert_eq!(b.reply(conn, &select(&[])), switch);
    let refused = ToClient::ReportStartedPlaying {
        hr: wrong,
        play_incarnation: 4,
        tiger_file_id: 0,
    };
    assert_eq!(b.reply(conn, &start(4)), refused);
    let stride_refused = ToClient::ReportStartStriding {
        hr: wrong,
        play_incarnation: 5,
    };
    assert_eq!(b.reply(conn, &stride(5, 2.0)), stride_refused);
    assert_eq!(b.reply(conn, &stop(6)), end(wrong, 6));
    let again = b.reply(conn, &connect(WMP9));
    assert!(matches!(again, ToClient::ReportConnectedEx { hr, .. } if hr == wrong));
    // The session still works; one more is too many.
    assert_eq!(
        b.reply(conn, &connect_funnel(TCP)),
        ToClient::ReportConnectedFunnel
    );
    b.tell(conn, &read_block(2));
    assert_eq!(b.hear(conn), [Said(block)]);
    let (how, fault) = &b.closed[&conn];
    assert_eq!(*how, CloseHow::Flush);
    let fault = fault.as_ref().unwrap();
    assert!(fault.reason.contains("00030015"), "{fault:?}");
    assert!(fault.offset > 300);
}

// mmsp.md 4.1
#[test]
fn out_of_place_once_a_file_is_open() {
    let wrong = hresult::NS_E_INVALID_REQUEST;
    let mut b = Bench::new();
    let (conn, _) = b.opened(WMP9, TCP, "pp");
    let refused = ToClient::ReportStartedPlaying {
        hr: wrong,
        play_incarnation: 4,
        tiger_file_id: 0,
    };
    assert_eq!(b.reply(conn, &start(4)), refused, "the header comes first");
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.tell(conn, &connect_funnel(UDP));
    assert!(b.is_quiet(conn));
    b.held(flow);
    let no = ToClient::ReportDisconnectedFunnel { hr: wrong };
    assert_eq!(b.hear(conn), [Said(no)]);
    assert_eq!(b.flows[&flow].state, FlowState::Running);
    // MMSP-55, MMSP-70: another file.
    let conn = b.ready(WMP9, TCP, "pp");
    let other = ToServer::ReadBlock {
        open_file_id: 2,
        play_incarnation: 3,
    };
    let block = ToClient::ReportReadBlock {
        hr: wrong,
        play_incarnation: 3,
    };
    assert_eq!(b.reply(conn, &other), block);
    let other = StartPlaying {
        open_file_id: 2,
        ..playing(4)
    };
    assert_eq!(b.reply(conn, &ToServer::StartPlaying(other)), refused);
    assert!(!b.has_flow(conn));
}

// MMSP-33, MMSP-36
#[test]
fn funnels_can_be_tried_one_after_another() {
    let mut b = Bench::with(Config {
        udp: false,
        ..config(0, 1)
    });
    let conn = b.connected(WMP9);
    let no = |hr| ToClient::ReportDisconnectedFunnel { hr };
    let mismatch = no(hresult::NS_E_PROTOCOL_MISMATCH);
    assert_eq!(b.reply(conn, &connect_funnel(UDP)), mismatch);
    assert_eq!(
        b.reply(conn, &connect_funnel(r"\\a\UDP\0")),
        no(hresult::NS_E_BAD_PORT)
    );
    assert_eq!(
        b.reply(conn, &connect_funnel("")),
        no(hresult::E_INVALIDARG)
    );
    assert_eq!(
        b.reply(conn, &connect_funnel(TCP)),
        ToClient::ReportConnectedFunnel
    );
    assert_eq!(
        b.reply(conn, &open_file("pp")),
        ToClient::ReportOpenFile(opened_ok())
    );
}

// MMSP-37, MMSP-38
#[test]
fn after_a_refused_open_nothing_is_served() {
    let mut b = Bench::new();
    for (name, hr) in [
        ("nothing", hresult::NS_E_FILE_NOT_FOUND),
        ("busy", hresult::NS_E_NETWORK_BUSY),
        ("pp.asx", hresult::NS_E_FILE_NOT_FOUND),
        ("", hresult::NS_E_INVALID_NAME),
        ("a\tb", hresult::NS_E_INVALID_NAME),
    ] {
        let conn = b.funneled(OLD, TCP);
        let before = b.reports.len();
        b.tell(conn, &open_file(name));
        assert_eq!(b.writes[&conn][0].len(), 32 + 120);
        assert_eq!(b.hear(conn), [Said(refused_open(hr, 9))], "{name}");
        assert_eq!(b.reports.len(), before + 1);
        // MPlayer goes on as if nothing had happened.
        b.tell(conn, &read_block(2));
        b.tell(conn, &start(4));
        assert!(b.is_quiet(conn) && b.is_open(conn));
        b.sleep(Duration::from_millis(2100));
        assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    }
    assert_eq!(b.refused(), [404, 503, 404, 400, 400]);
}

// MMSP-43
#[test]
fn names_as_players_send_them() {
    let mut b = Bench::new();
    let spaced = clip();
    b.points.insert("/a%20b".into(), Point::Media(spaced));
    let (_, report) = b.opened(OLD, TCP, "a b");
    assert_eq!(report.hr, 0);
    assert_eq!(b.opens.len(), 1);
    // FFmpeg and VLC do not decode: first as it stands, then decoded.
    let (conn, report) = b.opened(OLD, TCP, "a%20b?WMCache=0&x=%20");
    assert_eq!(report.hr, 0);
    let paths: Vec<&str> = b.opens[1..].iter().map(|o| &*o.path).collect();
    assert_eq!(paths, ["/a%2520b", "/a%20b"]);
    assert!(b.opens[1..].iter().all(|o| o.query == "WMCache=0&x=%20"));
    assert!(b.is_open(conn));
    let (_, report) = b.opened(OLD, TCP, "/pp");
    assert_eq!(report.hr, 0);
    // The authority is what the client says it is.
    b.opened("NSPlayer/7.0.0.1956; {1}; Host: h:99", TCP, "pp");
    let last = b.opens.last().unwrap();
    assert_eq!(
        (&*last.authority, &*last.user_agent),
        ("h:99", "NSPlayer/7.0.0.1956")
    );
}

// MMSP-42
#[test]
fn live_content_is_told_as_each_can_take_it() {
    let mut b = Bench::new();
    let live = |attributes| ReportOpenFile {
        attributes,
        duration: 0.0,
        blocks: 0,
        packet_count: 0,
        ..opened_ok()
    };
    // libmms and VLC take 06000000 for a file.
    assert_eq!(b.opened(OLD, TCP, "live").1, live(0x0200_0000));
    assert_eq!(b.opened(WMP9, TCP, "live").1, live(0x0600_0000));
    let list = ReportOpenFile {
        attributes: 0x4000_0000,
        ..opened_ok()
    };
    assert_eq!(
        b.opened(WMP9, TCP, "list").1,
        list,
        "nobody seeks inside of a playlist"
    );
}

#[test]
fn packets_that_do_not_fit_are_not_opened() {
    let mut b = Bench::new();
    for (name, size) in [("big", 65_500), ("none", 0)] {
        let odd = Content {
            packet_size: size,
            ..clip()
        };
        b.points.insert(format!("/{name}"), Point::Media(odd));
        let (_, report) = b.opened(WMP9, UDP, name);
        assert_eq!(report.hr, hresult::NS_E_PROTOCOL_MISMATCH);
    }
    assert_eq!(b.opened(WMP9, TCP, "big").1.hr, 0);
    assert_eq!(b.held.len(), 1);
}

// MMSP-67, MMSP-84: Windows Media Services 4.x never selects, and wants its padding.
#[test]
fn old_servers_get_everything() {
    let mut b = Bench::new();
    let (conn, _) = b.opened("Spooooon!", TCP, "pp");
    b.talk(conn, &read_block(1));
    assert_eq!(b.reply(conn, &start(2)), started(2));
    let flow = b.flow(conn);
    let s = b.start_of(flow);
    assert_eq!(s.selection, Selection::of([1, 2]));
    assert!(s.framer.keeps_padding());
    let (conn, _) = b.opened(WMP9, TCP, "pp");
    b.talk(conn, &read_block(1));
    assert_eq!(b.reply(conn, &start(2)), started(2));
    let flow = b.flow(conn);
    let s = b.start_of(flow);
    assert_eq!(
        s.selection,
        Selection::NONE,
        "nothing selected, nothing sent"
    );
    assert!(!s.framer.keeps_padding());
}

// MMSP-65, MMSP-66
#[test]
fn streams_change_while_media_flows() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.tell(conn, &select(&[(2, 2, 1), (1, NONE, 0)]));
    assert!(b.is_quiet(conn) && b.selects.is_empty());
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(ToClient::ReportStreamSwitch { hr: 0 })]);
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "select 2", "go"]);
    let thinned = StreamSwitch {
        from: None,
        to: Some(2),
        level: Level::KeyOnly,
    };
    let off = StreamSwitch {
        from: Some(1),
        to: None,
        level: Level::Off,
    };
    assert_eq!(b.selects, [vec![thinned, off]]);
    // An unknown stream: nothing of it is applied.
    b.tell(conn, &select(&[(NONE, 1, 0), (NONE, 9, 0)]));
    b.held(flow);
    let hr = hresult::NS_E_INVALID_STREAM;
    assert_eq!(b.hear(conn), [Said(ToClient::ReportStreamSwitch { hr })]);
    assert_eq!(b.selects.len(), 1);
    // What was changed holds for the next start.
    b.tell(conn, &stop(4));
    b.held(flow);
    b.hear(conn);
    b.reply(conn, &start(5));
    let next = b.start_of(b.flow(conn)).selection;
    assert_eq!(next.level(1), Level::Off);
    assert_eq!(next.level(2), Level::KeyOnly);
}

// MMSP-69: before a start the list is all there is.
#[test]
fn a_list_before_a_start_is_complete() {
    let mut b = Bench::new();
    let conn = b.ready(WMP9, TCP, "pp");
    b.reply(conn, &select(&[(NONE, 2, 0)]));
    b.reply(conn, &start(4));
    assert_eq!(b.start_of(b.flow(conn)).selection, Selection::of([2]));
    // VLC with no outputs turns everything off.
    let conn = b.ready(OLD, TCP, "pp");
    b.reply(conn, &select(&[(NONE, 1, 2), (NONE, 2, 2)]));
    assert_eq!(b.reply(conn, &start(4)), started(4));
    assert_eq!(b.start_of(b.flow(conn)).selection, Selection::NONE);
}

// mmsp.md 4.1: ReadBlock while media flows
#[test]
fn the_header_is_sent_again_between_media() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.tell(conn, &read_block(7));
    b.held(flow);
    let block = ToClient::ReportReadBlock {
        hr: 0,
        play_incarnation: 7,
    };
    let header = Data(DataHead::of(0, 7, 0x0C, 4), vec![0xAA; 4]);
    assert_eq!(b.hear(conn), [Said(block), header]);
    assert_eq!(b.flows[&flow].state, FlowState::Running);
}

// MMSP-87: what ended while Stop waited is stopped, not ended.
#[test]
fn the_end_comes_while_a_message_waits() {
    let mut b = Bench::new();
    b.next.insert(1, entry(2));
    let (conn, flow) = b.streaming(WMP9, TCP, "list");
    b.tell(conn, &stop(4));
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(end(0, 4))]);
    // A StreamSwitch is answered first, then the entry changes.
    b.reply(conn, &start(5));
    let flow = b.flow(conn);
    b.tell(conn, &select(&[(NONE, 1, 2)]));
    b.end(flow);
    let heard = b.hear(conn);
    assert_eq!(heard[0], Said(ToClient::ReportStreamSwitch { hr: 0 }));
    assert_eq!(heard[1], Said(end(1, 5)));
    // A seek wins over the end.
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.tell(conn, &seek(6, 1.0));
    b.end(flow);
    assert_eq!(b.hear(conn), [Said(started(6))]);
    assert!(b.has_flow(conn));
}

// MMSP-95
#[test]
fn logs_at_any_time_and_of_any_size() {
    let mut b = Bench::new();
    let conn = b.connected(WMP9);
    b.tell(conn, &ToServer::Logging(vec![1; 1490]));
    let (conn, flow) = b.streaming(WMP9, TCP, "pp?a=b");
    b.tell(conn, &ToServer::Logging(vec![2; 1490]));
    b.tell(conn, &ToServer::Logging(vec![3; 100]));
    b.tell(conn, &ToServer::Logging(vec![4; 3000]));
    assert_eq!(b.logs().len(), 2);
    match &b.reports[1] {
        Report::ClientLog {
            flow: of,
            target,
            user_agent,
            session,
            ..
        } => {
            assert_eq!((*of, &**target), (Some(flow), "/pp?a=b"));
            assert_eq!(user_agent, "NSPlayer/9.0.0.2980");
            assert!(*session > 0);
        }
        other => panic!("{other:?}"),
    }
    assert!(b.is_open(conn) && b.flows[&flow].commands == ["start"]);
}

// Decision 9: MPlayer asks over HTTP where MMS was refused.
#[test]
fn http_is_handed_on() {
    let mut b = Bench::new();
    let conn = b.open();
    b.send(conn, b"GE");
    b.send(
        conn,
        b"T /pp HTTP/1.0\r\nUser-Agent: NSPlayer/4.1.0.3856\r\n",
    );
    let (service, unread) = &b.switched[&conn];
    assert_eq!(*service, Service::Http);
    assert!(unread.starts_with(b"GET /pp HTTP/1.0\r\nUser"));
    assert_eq!((b.server.connection_count(), b.wake), (0, None));
    // Anything else is neither.
    for bytes in [&b"DESCRIBE rtsp://h/"[..], b"\x16\x03\x01", b"GEX"] {
        let conn = b.open();
        b.send(conn, bytes);
        let (_, fault) = &b.closed[&conn];
        assert_eq!(fault.as_ref().unwrap().offset, 0);
    }
    // Who says nothing does not stay.
    let conn = b.open();
    b.sleep(Duration::from_secs(11));
    let (_, fault) = &b.closed[&conn];
    assert!(fault.as_ref().unwrap().reason.contains("Connect"));
}

// MMSP-26, MMSP-28, MMSP-43, mmsp.md 8: FFmpeg
#[test]
fn ffmpeg() {
    let mut b = Bench::new();
    let conn = b.open();
    let name = "NSPlayer/7.0.0.1956; {7E667F5D-A661-495E-A512-F55686DDA178}; Host: h";
    let hello = [words(&[0, 0x0004_000B, 0x0003_001C]), utf16(name)].concat();
    let heard = hear_raw(&mut b, conn, &raw(0x30001, &hello));
    assert!(matches!(
        heard[..],
        [Said(ToClient::ReportConnectedEx { hr: 0, .. })]
    ));
    let info = raw(0x30018, &words(&[0x00F0_F0F0, 0x0004_000B]));
    assert_eq!(hear_raw(&mut b, conn, &info).len(), 1);
    let funnel = [
        words(&[0, u32::MAX, 0, 0x0098_9680, 2]),
        utf16("\\\\192.168.0.129\\TCP\\1037\0"),
    ]
    .concat();
    let heard = hear_raw(&mut b, conn, &raw(0x30002, &funnel));
    assert_eq!(heard, [Said(ToClient::ReportConnectedFunnel)]);
    let open = [words(&[1, u32::MAX, 0, 0]), utf16("pp\0")].concat();
    let heard = hear_raw(&mut b, conn, &raw(0x30005, &open));
    let report = ReportOpenFile {
        play_incarnation: 1,
        ..opened_ok()
    };
    assert_eq!(heard, [Said(ToClient::ReportOpenFile(report))]);
    let mut block = words(&[1, 0, 0, 0x0080_0000, u32::MAX, 0, 0, 0]);
    block.extend(3600f64.to_le_bytes());
    block.extend(words(&[2, 0]));
    assert_eq!(hear_raw(&mut b, conn, &raw(0x30015, &block)).len(), 2);
    let mut streams = words(&[2]);
    streams.extend([0xFF, 0xFF, 1, 0, 0, 0, 0xFF, 0xFF, 2, 0, 0, 0]);
    let heard = hear_raw(&mut b, conn, &raw(0x30033, &streams));
    assert_eq!(heard, [Said(ToClient::ReportStreamSwitch { hr: 0 })]);
    let mut begin = words(&[1, 0x0001_FFFF]);
    begin.extend(0f64.to_le_bytes());
    begin.extend(words(&[u32::MAX, u32::MAX, 0x00FF_FFFF, 4]));
    assert_eq!(
        hear_raw(&mut b, conn, &raw(0x30007, &begin)),
        [Said(started(4))]
    );
    let s = b.start_of(b.flow(conn));
    assert_eq!((s.max_duration, s.selection), (None, Selection::of([1, 2])));
    b.send(conn, raw(0x3001B, &words(&[1, 0x0100_FFFF])));
    b.hear(conn);
    // It ends by Data that is too long for it, and by nothing else.
    b.end(b.flow(conn));
    let heard = b.hear(conn);
    assert!(
        matches!(
            &heard[..],
            [Data(head, payload), .., Said(ToClient::ReportEndOfStream { hr: 0, .. })]
                if head.play_incarnation == 4 && payload.len() == 3201
        ),
        "{heard:?}"
    );
    b.send(conn, raw(0x3000D, &words(&[1, 1])));
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
}

// MMSP-12, MMSP-26, MMSP-43, MMSP-72, mmsp.md 8: MPlayer, old xine, VLC
#[test]
fn mplayer_xine_and_vlc() {
    let mut b = Bench::new();
    // MPlayer's playIncarnation of 0, and zeros wherever it can; xine's odd lengths on top.
    let conn = b.connected("NSPlayer/7.0.0.1956");
    let mut area = [words(&[0, 0x30005, 0, 0, 0, 0]), utf16("pp")].concat();
    area[..4].copy_from_slice(&9u32.to_le_bytes());
    b.tell(conn, &connect_funnel("\\\\192.168.0.1\\TCP\\1037\0\u{30}"));
    b.hear(conn);
    let heard = hear_raw(&mut b, conn, &packed(&area));
    let report = ReportOpenFile {
        play_incarnation: 0,
        ..opened_ok()
    };
    assert_eq!(heard, [Said(ToClient::ReportOpenFile(report))]);
    let block = [words(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), words(&[2, 0])].concat();
    assert_eq!(hear_raw(&mut b, conn, &raw(0x30015, &block)).len(), 2);
    let mut begin = words(&[1, 0x0001_FFFF]);
    begin.extend(0f64.to_le_bytes());
    begin.extend(words(&[u32::MAX, u32::MAX, 0, 4]));
    assert_eq!(
        hear_raw(&mut b, conn, &raw(0x30007, &begin)),
        [Said(started(4))]
    );
    // VLC: a seek by packet number, 0.0 seconds beside it.
    let conn = b.ready(OLD, TCP, "pp");
    let by_packet = StartPlaying {
        position: Position {
            location_id: 33,
            ..playing(4).position
        },
        ..playing(4)
    };
    assert_eq!(
        b.reply(conn, &ToServer::StartPlaying(by_packet)),
        started(4)
    );
    assert_eq!(b.cues.last().unwrap().start, Start::Packet(33));
    // libmms and MPlayer just close.
    b.hang_up(conn);
    assert_eq!(b.server.session_count(), 1);
}

// MMSP-74, MMSP-75: live content has one position, now.
#[test]
fn live_content_starts_now() {
    let mut b = Bench::new();
    let conn = b.ready(OLD, TCP, "live");
    let asked = StartPlaying {
        frame_offset: 5000,
        ..playing(4)
    };
    b.reply(conn, &ToServer::StartPlaying(asked));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).max_duration, None);
    assert_eq!(b.cues.last().unwrap().start, Start::Beginning);
    // A Start more only changes the incarnation of what flows.
    b.tell(conn, &seek(5, 60.0));
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(started(5))]);
    assert_eq!((b.flow(conn), b.cues.len()), (flow, 1));
}

// MMSP-11
#[test]
fn unknown_messages_are_skipped_eight_are_too_many() {
    let mut b = Bench::new();
    let conn = b.connected(WMP9);
    for _ in 0..7 {
        b.send(conn, raw(0x30030, &[0; 8]));
        b.send(conn, raw(0x40003, &[0; 8]));
        if !b.is_open(conn) {
            break;
        }
    }
    assert!(b.closed[&conn].1.is_some());
    let conn = b.connected(WMP9);
    b.send(conn, raw(0x30003, &[0; 8]));
    assert_eq!(
        b.reply(conn, &connect_funnel(TCP)),
        ToClient::ReportConnectedFunnel
    );
}

// MMSP-10
#[test]
fn several_messages_in_one_packet() {
    let mut b = Bench::new();
    let conn = b.connected(WMP9);
    let area = [
        wire::message(&connect_funnel(TCP)),
        wire::message(&ToServer::Pong),
        wire::message(&open_file("pp")),
        wire::message(&read_block(1)),
    ]
    .concat();
    let heard = hear_raw(&mut b, conn, &packed(&area));
    assert_eq!(heard.len(), 4);
    assert_eq!(heard[1], Said(ToClient::ReportOpenFile(opened_ok())));
}

// mmsp.md 6: malformed fields
#[test]
fn malformed_messages_are_told() {
    let mut b = Bench::new();
    let conn = b.open();
    b.send(conn, raw(0x30001, &[0; 4]));
    assert!(matches!(
        b.hear(conn)[..],
        [Said(ToClient::ReportConnectedEx {
            hr: hresult::E_INVALIDARG,
            ..
        })]
    ));
    assert!(b.closed[&conn].1.is_some());
    let (conn, flow) = b.streaming(WMP9, TCP, "pp");
    b.send(conn, raw(0x30033, &words(&[500])));
    b.held(flow);
    let hr = hresult::E_INVALIDARG;
    assert_eq!(b.hear(conn), [Said(ToClient::ReportStreamSwitch { hr })]);
    assert_eq!(b.flows[&flow].state, FlowState::Running);
}

// MMSP-108: also where the client is at fault.
#[test]
fn a_broken_stream_ends_in_words() {
    let mut b = Bench::new();
    let (conn, flow) = b.streaming(OLD, TCP, "pp");
    b.send(conn, b"garbage!");
    assert!(b.is_open(conn) && b.is_quiet(conn));
    b.held(flow);
    assert_eq!(b.hear(conn), [Said(end(hresult::E_FAIL, 4))]);
    let (how, fault) = &b.closed[&conn];
    assert_eq!(*how, CloseHow::Flush);
    assert!(fault.as_ref().unwrap().reason.contains("rep"));
}

// mmsp.md 6: limits
#[test]
fn too_many_sessions() {
    let mut b = Bench::with(Config {
        session_count_max: 1,
        ..config(0, 1)
    });
    let first = b.connected(WMP9);
    let conn = b.open();
    b.tell(conn, &connect(WMP9));
    assert!(matches!(
        b.hear(conn)[..],
        [Said(ToClient::ReportConnectedEx {
            hr: hresult::NS_E_TOO_MANY_SESS,
            ..
        })]
    ));
    assert!(b.closed.contains_key(&conn));
    assert_eq!(b.refused(), [503]);
    b.hang_up(first);
    b.connected(WMP9);
}

// Answers to those who have gone are given back.
#[test]
fn answers_that_come_too_late() {
    let mut b = Bench::new();
    b.slow = true;
    let conn = b.funneled(WMP9, TCP);
    b.tell(conn, &open_file("pp"));
    b.hang_up(conn);
    b.answer_all();
    assert!(b.held.is_empty());
    assert_eq!(b.server.connection_count(), 0);
}
