//! What follows the end of an entry: `$E(1)`, holdback, `$C`, and who begins the next one.

mod wmsp_support;

use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::time::Duration;
use wmsp_support::*;

const UA: &str = "User-Agent: NSPlayer/9.0.0.2980\r\nHost: h\r\n";
const NO_PREDICTION: &str = "Supported: com.microsoft.wm.sswitch\r\n";
const PREDICTION: &str =
    "Supported: com.microsoft.wm.predstrm, com.microsoft.wm.startupprofile\r\n";

fn play(headers: &str, pragma: &str) -> String {
    format!(
        "GET /list HTTP/1.1\r\n{UA}{headers}Pragma: no-cache, xPlayStrm=1, version11-enabled=1{pragma}\r\n\
         Pragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n\r\n"
    )
}

/// A playlist of three entries; the first plays.
fn first_entry(headers: &str, pragma: &str) -> (Bench, ConnId, u32, FlowId) {
    let mut b = Bench::new();
    b.next.insert(1, entry(2));
    b.next.insert(2, entry(3));
    let (conn, r) = b.ask(play(headers, pragma));
    assert_eq!(r.pragma("playlist-gen-id").as_deref(), Some("1"));
    let flow = b.flow(conn);
    (b, conn, r.client_id(), flow)
}

/// `$C $M $H` of an entry.
fn change(n: u32) -> Vec<u8> {
    [
        &C0[..],
        &metadata(n, 0, "playlist,seekable,skipforward"),
        &H,
    ]
    .concat()
}

// WMSP-83, WMSP-87, WMSP-88
#[test]
fn prediction_on_both_sides() {
    for headers in [PREDICTION, ""] {
        let (mut b, conn, _, flow) = first_entry(headers, "");
        b.media(flow, 2);
        b.take(conn);
        b.end(flow);
        let (bytes, open) = dechunk(&b.take(conn));
        assert_eq!(bytes, [&E1[..], &change(2)].concat());
        assert_eq!(open, None, "$E(1) does not end the body");
        let flow = b.flow(conn);
        assert_eq!(b.start_of(flow).selection, Selection::of([1, 2]));
        assert_eq!(b.held.len(), 1, "the old entry is released");
        b.media(flow, 1);
        let (bytes, _) = dechunk(&b.take(conn));
        assert_eq!(
            bytes,
            d(0, 0, 2),
            "one sequence through all entries, one incarnation"
        );
        b.end(flow);
        let flow = b.flow(conn);
        b.take(conn);
        b.end(flow);
        let (bytes, end) = dechunk(&b.take(conn));
        assert_eq!((bytes, end), (E0.to_vec(), Some(vec![])));
        assert!(b.held.is_empty());
    }
}

// WMSP-55, WMSP-122 and wmsp.md 7.5: $E(1) would make libmms and VLC begin anew.
#[test]
fn old_clients_get_no_end_before_the_change() {
    for version in ["4.1.0.3856", "7.10.0.3059", "8.0.0.4477"] {
        let mut b = Bench::new();
        b.next.insert(1, entry(2));
        let (conn, _) = b.ask(format!(
            "GET /list HTTP/1.0\r\nUser-Agent: NSPlayer/{version}\r\nPragma: xPlayStrm=1\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        let flow = b.flow(conn);
        b.end(flow);
        assert_eq!(b.take(conn), [&C0[..], &H].concat());
        assert!(b.has_flow(conn));
    }
}

// WMSP-86
#[test]
fn the_change_is_held_back() {
    let (mut b, conn, _, flow) = first_entry("", ", client-lag=3000");
    b.end(flow);
    assert_eq!(dechunk(&b.take(conn)).0, E1);
    b.sleep(Duration::from_millis(2900));
    assert_eq!(b.take(conn), b"");
    b.sleep(Duration::from_millis(200));
    assert_eq!(dechunk(&b.take(conn)).0, change(2));
    assert!(b.has_flow(conn));

    let (mut b, conn, _, flow) = first_entry("", ", client-lag=4294967295");
    b.end(flow);
    b.take(conn);
    b.sleep(Duration::from_millis(14_900));
    assert_eq!(b.take(conn), b"");
    b.sleep(Duration::from_millis(200));
    assert_eq!(dechunk(&b.take(conn)).0, change(2));
}

// WMSP-86
#[test]
fn the_change_waits_after_select_stream() {
    let select = |id: u32| {
        format!(
            "POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=2:2:1\r\n\r\n"
        )
    };
    let (mut b, conn, id, flow) = first_entry("", "");
    b.ask(select(id));
    b.sleep(Duration::from_secs(3));
    b.end(flow);
    b.take(conn);
    b.sleep(Duration::from_millis(2900));
    // Another one, while it is held back.
    let (_, r) = b.ask(select(id));
    assert_eq!(r.status(), 200);
    b.sleep(Duration::from_millis(7900));
    assert_eq!(b.take(conn), b"");
    b.sleep(Duration::from_millis(200));
    assert_eq!(dechunk(&b.take(conn)).0, change(2));
}

/// Waits at the second entry.
fn waiting(headers: &str) -> (Bench, ConnId, u32) {
    let (mut b, conn, id, flow) = first_entry(headers, "");
    b.media(flow, 3);
    b.take(conn);
    b.end(flow);
    let (bytes, open) = dechunk(&b.take(conn));
    assert_eq!((bytes, open), ([&E1[..], &change(2)].concat(), None));
    assert!(!b.has_flow(conn));
    (b, conn, id)
}

// WMSP-77, WMSP-78, WMSP-80, WMSP-88, BW-39
#[test]
fn play_next_entry() {
    let headers = "Supported: com.microsoft.wm.startupprofile\r\n";
    let (mut b, conn, id) = waiting(headers);
    // A reply waits although nothing streams: the body is open.
    b.send(
        conn,
        format!(
            "POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\n\
             Content-Type: application/x-wms-LogStats\r\nContent-Length: 1\r\n\r\nx"
        ),
    );
    assert_eq!(b.take(conn), b"");
    b.cue.accel = Some(Accel {
        bits_per_second: 1_000_000,
        duration_ms: 5000,
    });
    b.cue.profile = Some(StartupProfile {
        max_bytes: [1; 5],
        time: [0; 5],
        start_time: 0,
        last_time: 0,
        max_diff_time: 0,
        max_diff_snd_time: 0,
        byte_rate: [1; 5],
    });
    b.send(
        conn,
        format!(
            "GET /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xPlayNextEntry=1, AccelBW=1000000, AccelDuration=5000\r\n\
             Pragma: stream-switch-entry=ffff:2:0\r\n\r\n"
        ),
    );
    let cue = b.cues.last().unwrap();
    assert!(cue.profile);
    assert_eq!(cue.selection, Selection::of([2]));
    let bytes = b.take(conn);
    let log = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    assert_eq!(log.status(), 204);
    let r = Reply::parse(&log.body);
    assert_eq!(r.get("Transfer-Encoding"), Some("chunked"));
    assert_eq!(r.pragma("AccelBW").as_deref(), Some("1000000"));
    assert_eq!(r.pragma("playlist-gen-id").as_deref(), Some("2"));
    assert!(r.get("X-StartupProfile").is_some());
    assert_eq!(r.body, b"", "$M and $H stood behind $C");
    let flow = b.flow(conn);
    b.media(flow, 1);
    // WMSP-11, WMSP-13
    assert_eq!(dechunk(&b.take(conn)).0, d(0, 1, 3));
}

// WMSP-77, WMSP-78
#[test]
fn play_next_entry_while_streaming() {
    let (mut b, conn, id, flow) = first_entry(PREDICTION, "");
    b.send(
        conn,
        format!(
            "GET /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xPlayNextEntry=1, AccelBW=1, AccelDuration=1\r\n\
             Pragma: stream-switch-entry=ffff:2:2\r\n\r\n"
        ),
    );
    assert_eq!(b.take(conn), b"");
    b.held(flow);
    let bytes = b.take(conn);
    let r = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    assert_eq!((r.status(), r.get("X-StartupProfile")), (200, None));
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "select 1", "go"]);
    // Only on the data connection, only while something plays.
    let request =
        format!("GET /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xPlayNextEntry=1\r\n\r\n");
    assert_eq!(b.ask(&request).1.status(), 400);
    b.end(flow);
    let flow = b.flow(conn);
    b.end(flow);
    let flow = b.flow(conn);
    b.end(flow);
    b.take(conn);
    b.send(conn, &*request);
    assert_eq!(b.reply(conn).status(), 400);
}

// WMSP-72, WMSP-88
#[test]
fn select_stream_starts_the_entry() {
    let mut b = Bench::new();
    b.next.insert(1, entry(2));
    let request = play(NO_PREDICTION, "").replace(", version11-enabled=1", "");
    let (conn, r) = b.ask(request);
    let id = r.client_id();
    let flow = b.flow(conn);
    b.end(flow);
    assert_eq!(b.take(conn), [&E1[..], &change(2)].concat());
    let select = format!(
        "POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
    );
    let (_, r) = b.ask(&select);
    assert_eq!((r.status(), &*r.body), (200, &b""[..]));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([1]));
    b.media(flow, 1);
    assert_eq!(b.take(conn), d(0, 0, 0));
    // Pipelined, in WAITING: as PlayNextEntry.
    let (mut b, conn, id) = waiting(NO_PREDICTION);
    b.send(
        conn,
        format!("GET /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"),
    );
    let bytes = b.take(conn);
    let r = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    assert_eq!(r.get("Transfer-Encoding"), Some("chunked"));
    assert!(b.has_flow(conn));
    // Both are refused when the cue is.
    let (mut b, conn, id) = waiting(NO_PREDICTION);
    b.refuse_cue = Some(Refusal::Unavailable);
    let (_, r) = b.ask(format!(
        "POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
    ));
    assert_eq!(r.status(), 503);
    assert!(!b.has_flow(conn));
    assert_eq!(b.held.len(), 1);
}

// WMSP-70
#[test]
fn skipping_forward() {
    let (mut b, conn, id, flow) = first_entry(PREDICTION, "");
    b.send(
        conn,
        format!("POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xStopStrm=1\r\n\r\n"),
    );
    b.held(flow);
    b.take(conn);
    b.send(
        conn,
        play(
            "",
            &format!(", client-id={id}, playlist-seek-id=1, pl-offset=1"),
        ),
    );
    let r = b.reply(conn);
    assert_eq!(r.pragma("expect-new-header").as_deref(), Some("1"));
    assert_eq!(r.pragma("playlist-gen-id").as_deref(), Some("2"));
    let features = "playlist,seekable,skipforward";
    let mut old = metadata(1, 0, features);
    let mut new = metadata(2, 0, features);
    let mut h = H;
    // The second Play counts the incarnation on.
    for packet in [&mut old[..], &mut new[..], &mut h[..]] {
        packet[8] = 1;
    }
    let want = [&old[..], &h, &C0, &new, &h].concat();
    assert_eq!(dechunk(&r.body).0, want);
    assert_eq!(b.opens.len(), 1, "the playlist is not opened anew");
    assert_eq!(b.held.len(), 1);
    // Beyond the last entry there is nothing.
    let flow = b.flow(conn);
    b.end(flow);
    b.take(conn);
    let stop = format!("POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xStopStrm=1\r\n\r\n");
    b.send(conn, &*stop);
    let flow = b.flow(conn);
    b.held(flow);
    b.take(conn);
    b.send(
        conn,
        play(
            "",
            &format!(", client-id={id}, playlist-seek-id=3, pl-offset=1"),
        ),
    );
    assert_eq!(b.reply(conn).status(), 404);
    assert!(b.held.is_empty());
}

// A seek in a playlist is Stop and Play, and stays in its entry.
#[test]
fn seeking_in_an_entry() {
    let (mut b, conn, id, flow) = first_entry(PREDICTION, "");
    b.end(flow);
    b.take(conn);
    let flow = b.flow(conn);
    b.send(
        conn,
        format!("POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xStopStrm=1\r\n\r\n"),
    );
    b.held(flow);
    b.take(conn);
    b.send(
        conn,
        play(
            "",
            &format!(", client-id={id}, stream-time=4000, playlist-seek-id=2, pl-offset=0"),
        ),
    );
    let r = b.reply(conn);
    assert_eq!(r.pragma("expect-new-header"), None);
    assert_eq!(r.pragma("playlist-gen-id").as_deref(), Some("2"));
    assert_eq!(b.cues.last().unwrap().start, Start::Time(4000));
    assert_eq!(b.opens.len(), 1);
}

#[test]
fn losing_the_client_in_the_middle_of_a_change() {
    // While $C is held back.
    let (mut b, conn, _, flow) = first_entry("", ", client-lag=5000");
    b.end(flow);
    assert_eq!(b.held.len(), 2);
    b.hang_up(conn);
    assert!(b.held.is_empty());
    b.sleep(Duration::from_secs(70));
    assert_eq!((b.server.session_count(), b.wake), (0, None));
    // While the application looks for what follows, and where it begins.
    for answers in 0..2 {
        let (mut b, conn, _, flow) = first_entry("", "");
        b.slow = true;
        b.end(flow);
        for _ in 0..answers {
            b.answer_one();
        }
        b.hang_up(conn);
        b.answer_all();
        assert!(b.held.is_empty(), "after {answers}");
    }
    // A Stop instead.
    for answers in 0..2 {
        let (mut b, conn, id, flow) = first_entry("", "");
        b.slow = true;
        b.end(flow);
        for _ in 0..answers {
            b.answer_one();
        }
        b.take(conn);
        b.send(
            conn,
            format!("POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}, xStopStrm=1\r\n\r\n"),
        );
        let bytes = b.take(conn);
        assert!(bytes.starts_with(b"0\r\n\r\nHTTP/1.1 200 OK\r\n"));
        b.answer_all();
        assert_eq!(b.held.len(), 1, "the entry that was stopped");
        assert!(!b.has_flow(conn));
        b.sleep(Duration::from_secs(61));
        assert!(b.held.is_empty());
    }
}

#[test]
fn an_entry_that_cannot_begin() {
    let (mut b, conn, _, flow) = first_entry("", "");
    b.refuse_cue = Some(Refusal::Corrupt);
    b.end(flow);
    let (bytes, end) = dechunk(&b.take(conn));
    assert_eq!(bytes, [&E1[..], &hex("24 45 04 00 05 40 00 80")].concat());
    assert_eq!(end, Some(vec![]));
    assert!(b.held.is_empty());
    let (mut b, conn, _, flow) = first_entry("", "");
    let mut large = entry(2);
    large.packet_size = 65_535;
    b.next.insert(1, large);
    b.end(flow);
    assert_eq!(dechunk(&b.take(conn)).0, hex("24 45 04 00 05 40 00 80"));
    assert!(b.held.is_empty());
}

// WMSP-46, WMSP-88: a server that is told not to predict does not, and does not say so.
#[test]
fn prediction_can_be_switched_off() {
    let mut c = config(0, 1);
    c.predictive = false;
    let mut b = Bench::with(c);
    b.next.insert(1, entry(2));
    let (conn, r) = b.ask(play(PREDICTION, ""));
    assert!(!r.get("Supported").unwrap().contains("predstrm"));
    let flow = b.flow(conn);
    b.end(flow);
    assert!(!b.has_flow(conn));
    assert_eq!(dechunk(&b.take(conn)).0[8..], change(2));
}

// WMSP-40: a set that is said replaces the one before, even an empty one.
#[test]
fn supported_is_replaced() {
    let (mut b, conn, id, flow) = first_entry(PREDICTION, "");
    b.ask(format!(
        "OPTIONS * HTTP/1.1\r\n{UA}Supported: x\r\nPragma: client-id={id}\r\n\r\n"
    ));
    b.end(flow);
    assert!(!b.has_flow(conn), "no prediction any more");
    let (mut b, conn, id, flow) = first_entry(PREDICTION, "");
    b.ask(format!(
        "OPTIONS * HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\n\r\n"
    ));
    b.end(flow);
    assert!(b.has_flow(conn), "an absent header changes nothing");
}

// WMSP-86: the SelectStream that started an entry counts, too.
#[test]
fn the_change_waits_after_a_selection_in_waiting() {
    let (mut b, conn, id) = waiting(NO_PREDICTION);
    let (_, r) = b.ask(format!(
        "POST /list HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
    ));
    assert_eq!(r.status(), 200);
    let flow = b.flow(conn);
    b.sleep(Duration::from_secs(1));
    b.end(flow);
    b.take(conn);
    b.sleep(Duration::from_millis(6900));
    assert_eq!(b.take(conn), b"");
    b.sleep(Duration::from_millis(200));
    assert_eq!(dechunk(&b.take(conn)).0, change(3));
}
