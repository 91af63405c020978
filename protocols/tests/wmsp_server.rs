//! Sessions of the WMSP server machine: every request in every state, timers, cores, refusals.

mod wmsp_support;

use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::time::Duration;
use wmsp_support::*;

const UA: &str = "User-Agent: NSPlayer/9.0.0.2980\r\nHost: h\r\n";

fn get(path: &str, pragma: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{UA}Pragma: no-cache, {pragma}\r\n\r\n")
}

fn post(path: &str, pragma: &str, headers: &str, body: &str) -> String {
    let n = body.len();
    format!(
        "POST {path} HTTP/1.1\r\n{UA}Pragma: no-cache, {pragma}\r\n{headers}Content-Length: {n}\r\n\r\n{body}"
    )
}

fn play(path: &str, pragma: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n{UA}Pragma: no-cache, xPlayStrm=1, {pragma}\r\n\
         Pragma: stream-switch-count=2\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n\r\n"
    )
}

fn describe(b: &mut Bench, path: &str) -> (ConnId, u32) {
    let (conn, r) = b.ask(get(path, "x=1"));
    assert_eq!(r.status(), 200);
    (conn, r.client_id())
}

/// A session that streams in chunks on a connection of its own.
fn streaming(b: &mut Bench, path: &str) -> (ConnId, u32, FlowId) {
    let (conn, id) = describe(b, path);
    b.send(
        conn,
        play(path, &format!("client-id={id}, version11-enabled=1")),
    );
    let r = b.reply(conn);
    assert_eq!(r.status(), 200);
    let flow = b.flow(conn);
    (conn, id, flow)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Init,
    Idle,
    Streaming,
    Waiting,
}

/// A session in this state, and its data connection.
fn session_at(at: At) -> (Bench, ConnId, u32) {
    let mut b = Bench::new();
    if at == At::Waiting {
        // Without prediction the client selects streams at each entry.
        b.next.insert(1, entry(2));
        let (conn, r) = b.ask(format!(
            "GET /list HTTP/1.1\r\n{UA}Supported: com.microsoft.wm.sswitch\r\n\r\n"
        ));
        let id = r.client_id();
        b.send(
            conn,
            play("/list", &format!("client-id={id}, version11-enabled=1")),
        );
        let flow = b.flow(conn);
        b.end(flow);
        b.take(conn);
        return (b, conn, id);
    }
    let (conn, id) = match at {
        At::Init => describe(&mut b, "/pp"),
        _ => {
            let (conn, id, flow) = streaming(&mut b, "/pp");
            if at == At::Idle {
                b.end(flow);
                b.take(conn);
            }
            (conn, id)
        }
    };
    (b, conn, id)
}

const ALL: [At; 4] = [At::Init, At::Idle, At::Streaming, At::Waiting];

/// Status of a request on a connection of its own.
fn side(b: &mut Bench, request: String) -> u16 {
    b.ask(request).1.status()
}

// WMSP-48
#[test]
fn describe_in_every_state() {
    for (at, want) in ALL.into_iter().zip([200, 200, 400, 400]) {
        let (mut b, _, id) = session_at(at);
        assert_eq!(
            side(&mut b, get("/pp", &format!("client-id={id}"))),
            want,
            "{at:?}"
        );
    }
}

// WMSP-56
#[test]
fn play_in_every_state() {
    for (at, want) in ALL.into_iter().zip([200, 200, 400, 200]) {
        let (mut b, old, id) = session_at(at);
        let path = if at == At::Waiting { "/list" } else { "/pp" };
        let (conn, r) = b.ask(play(path, &format!("client-id={id}")));
        assert_eq!(r.status(), want, "{at:?}");
        assert_eq!(b.has_flow(conn), want == 200);
        assert_eq!(
            b.has_flow(old),
            at == At::Streaming,
            "the session is not taken over"
        );
    }
}

// WMSP-32, WMSP-75, WMSP-76
#[test]
fn keep_alive_log_event_and_info_in_every_state() {
    for at in ALL {
        let (mut b, conn, id) = session_at(at);
        let id = format!("client-id={id}");
        let log = post(
            "/pp",
            &id,
            "Content-Type: application/x-wms-LogStats\r\n",
            "<XML/>",
        );
        let event = post(
            "/pp",
            &id,
            "Content-Type: application/x-wms-sendevent\r\n",
            "1\r\n1,28,0\r\n",
        );
        let info = post(
            "/pp",
            &id,
            "Content-Type: application/x-wms-getcontentinfo\r\n",
            "ignored",
        );
        let alive = post("/pp", &format!("{id}, xKeepAliveInPause=1"), "", "");
        let options = format!("OPTIONS * HTTP/1.1\r\n{UA}Pragma: {id}\r\n\r\n");
        for (request, status) in [
            (&log, 204),
            (&event, 200),
            (&info, 200),
            (&alive, 200),
            (&options, 200),
        ] {
            let (_, r) = b.ask(request);
            assert_eq!(r.status(), status, "{at:?} {request}");
            assert_eq!((r.get("Content-Length"), &*r.body), (Some("0"), &b""[..]));
            assert_eq!(r.pragma("timeout").as_deref(), Some("55000"));
        }
        // On the data connection they wait for the end of the body, if one is open.
        b.send(conn, &*log);
        let now = b.take(conn);
        let waits = matches!(at, At::Streaming | At::Waiting);
        assert_eq!(now.is_empty(), waits, "{at:?}");
        if at == At::Streaming {
            assert!(b.has_flow(conn), "media goes on");
        }
        assert_eq!(b.logs().len(), 3);
    }
}

// WMSP-79, WMSP-80
#[test]
fn stop_in_every_state() {
    for at in ALL {
        let (mut b, conn, id) = session_at(at);
        let stop = post("/pp", &format!("client-id={id}, xStopStrm=1"), "", "");
        let log = post(
            "/pp",
            &format!("client-id={id}"),
            "Content-Type: application/x-wms-LogStats\r\n",
            "x",
        );
        if matches!(at, At::Streaming | At::Waiting) {
            b.send(conn, &*log);
        }
        b.send(conn, &*stop);
        if at == At::Streaming {
            assert_eq!(b.take(conn), b"", "nothing is written under the flow");
            let flow = b.flow(conn);
            b.held(flow);
            assert_eq!(b.flows[&flow].commands, ["start", "hold", "drop"]);
        }
        let bytes = b.take(conn);
        let reply = if matches!(at, At::Streaming | At::Waiting) {
            let rest = bytes.strip_prefix(b"0\r\n\r\n").expect("last chunk first");
            let log = Reply::parse(rest);
            assert_eq!(log.status(), 204, "then what waited");
            log.body
        } else {
            bytes
        };
        assert_eq!(Reply::parse(&reply).status(), 200, "{at:?}");
        // IDLE: it can be played again.
        b.send(
            conn,
            play("/pp", &format!("client-id={id}, version11-enabled=1")),
        );
        assert!(b.has_flow(conn), "{at:?}");
    }
}

#[test]
fn stop_beside_the_data_connection() {
    let (mut b, conn, id) = session_at(At::Streaming);
    let stop = post("/pp", &format!("client-id={id}, xStopStrm=1"), "", "");
    let other = b.open();
    b.send(other, &*stop);
    assert_eq!(b.take(other), b"");
    let flow = b.flow(conn);
    b.held(flow);
    assert_eq!(b.take(conn), b"0\r\n\r\n");
    assert_eq!(b.reply(other).status(), 200);

    // Without chunks the media connection has to close.
    let mut b = Bench::new();
    let (conn, r) = b.ask(play("/pp", "x=1"));
    let id = r.client_id();
    let other = b.open();
    b.send(
        other,
        post("/pp", &format!("client-id={id}, xStopStrm=1"), "", ""),
    );
    let flow = b.flow(conn);
    b.held(flow);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    assert_eq!(b.reply(other).status(), 200);
}

#[test]
fn a_stop_is_carried_out_for_a_client_that_left() {
    let (mut b, conn, id) = session_at(At::Streaming);
    let other = b.open();
    b.send(
        other,
        post("/pp", &format!("client-id={id}, xStopStrm=1"), "", ""),
    );
    b.hang_up(other);
    let flow = b.flow(conn);
    b.held(flow);
    assert_eq!(b.take(conn), b"0\r\n\r\n");
    assert_eq!(b.flows[&flow].state, FlowState::Dropped);

    // The other way round: the media connection is gone, the Stop is answered all the same.
    let (mut b, conn, id) = session_at(At::Streaming);
    let other = b.open();
    b.send(
        other,
        post("/pp", &format!("client-id={id}, xStopStrm=1"), "", ""),
    );
    b.hang_up(conn);
    assert_eq!(b.reply(other).status(), 200);
    assert!(b.held.is_empty());
}

// WMSP-73, WMSP-80
#[test]
fn select_stream_pipelined() {
    let (mut b, conn, id) = session_at(At::Streaming);
    let flow = b.flow(conn);
    b.media(flow, 1);
    b.take(conn);
    b.send(
        conn,
        post(
            "/pp",
            &format!("client-id={id}"),
            "Content-Type: application/x-wms-LogStats\r\n",
            "x",
        ),
    );
    b.send(
        conn,
        format!(
            "GET /pp HTTP/1.1\r\n{UA}Pragma: client-id={id}, version11-enabled=1\r\n\
             Pragma: stream-switch-count=1\r\nPragma: stream-switch-entry=2:2:1\r\n\r\n"
        ),
    );
    b.media(flow, 1);
    b.take(conn);
    b.held(flow);
    assert_eq!(b.writes[&conn].len(), 1, "one write");
    let bytes = b.take(conn);
    let log = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    assert_eq!(log.status(), 204);
    let select = Reply::parse(&log.body);
    assert_eq!(select.get("Transfer-Encoding"), Some("chunked"));
    assert_eq!(select.get("Content-Type"), Some("application/x-mms-framed"));
    assert_eq!(b.flows[&flow].commands, ["start", "hold", "select 1", "go"]);
    b.media(flow, 1);
    let (media, open) = dechunk(&b.take(conn));
    assert_eq!(
        (media, open),
        (d(2, 0, 2).to_vec(), None),
        "the sequence goes on"
    );
}

// WMSP-71: what is done at which key frame is the flow's; the machine hands the entries on.
#[test]
fn select_stream_beside_the_data_connection() {
    let mut b = Bench::new();
    let (conn, r) = b.ask(play("/pp", "x=1"));
    let id = r.client_id();
    let flow = b.flow(conn);
    let switch = |entries: &str| {
        format!(
            "POST /pp HTTP/1.1\r\n{UA}Pragma: client-id={id}, no-cache\r\nPragma: stream-switch-count=1\r\n\
             Pragma: stream-switch-entry={entries}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let (_, r) = b.ask(switch("2:ffff:2 ffff:1:1"));
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("0")));
    assert_eq!(b.flows[&flow].commands, ["start", "select 2"]);
    let (_, r) = b.ask(switch("ffff:99:0"));
    assert_eq!(r.status(), 200);
    assert_eq!(b.flows[&flow].commands.len(), 2, "nothing to change");
    for at in [At::Init, At::Idle] {
        let (mut b, _, id) = session_at(at);
        let request = format!(
            "POST /pp HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        );
        assert_eq!(side(&mut b, request), 400);
    }
}

#[test]
fn the_flow_ends_while_a_request_waits_for_it() {
    let (mut b, conn, id) = session_at(At::Streaming);
    let flow = b.flow(conn);
    b.send(
        conn,
        format!("GET /pp HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\nPragma: stream-switch-entry=2:2:2\r\n\r\n"),
    );
    b.end(flow);
    let bytes = b.take(conn);
    let r = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    let (media, rest) = dechunk(&r.body);
    assert_eq!((media, rest), (E0.to_vec(), Some(vec![])));

    let (mut b, conn, id) = session_at(At::Streaming);
    let flow = b.flow(conn);
    b.send(
        conn,
        post("/pp", &format!("client-id={id}, xStopStrm=1"), "", ""),
    );
    b.end(flow);
    let bytes = b.take(conn);
    let r = Reply::parse(bytes.strip_prefix(b"0\r\n\r\n").unwrap());
    assert_eq!(
        (r.status(), &*r.body),
        (200, &b""[..]),
        "no $E after a Stop"
    );
}

// WMSP-38, WMSP-39, WMSP-49, WMSP-57
#[test]
fn client_ids() {
    let stats = "Content-Type: application/x-wms-LogStats\r\n";
    let event = "Content-Type: application/x-wms-sendevent\r\n";
    let info = "Content-Type: application/x-wms-getcontentinfo\r\n";
    let entries = "x=1\r\nPragma: stream-switch-entry=ffff:1:0";
    let with = |id: &str| {
        [
            (get("/pp", id), 0),
            (play("/pp", id), 1),
            (post("/pp", id, info, "x"), 2),
            (post("/pp", id, event, "x"), 3),
            (
                format!("OPTIONS * HTTP/1.1\r\n{UA}Pragma: x, {id}\r\n\r\n"),
                4,
            ),
            (post("/pp", id, stats, "x"), 5),
            (post("/pp", &format!("{id}, {entries}"), "", ""), 6),
            (post("/pp", &format!("{id}, xStopStrm=1"), "", ""), 7),
            (get("/pp", &format!("{id}, xPlayNextEntry=1")), 8),
            (get("/pp", &format!("{id}, pipeline-request=1")), 9),
            (
                post("/pp", &format!("{id}, xKeepAliveInPause=1"), "", ""),
                10,
            ),
        ]
    };
    let absent = [200, 200, 200, 200, 200, 400, 400, 400, 400, 400, 400];
    let unknown = [200, 200, 400, 400, 200, 400, 400, 400, 400, 400, 400];
    for (id, want) in [("x=1", absent), ("client-id=4711", unknown)] {
        for (request, n) in with(id) {
            let mut b = Bench::new();
            let (_, r) = b.ask(&request);
            assert_eq!(r.status(), want[n], "{request}");
            let reset = id != "x=1" && n < 2;
            assert_eq!(r.pragma("xResetStrm").is_some(), reset, "{request}");
            assert_eq!(r.pragma("client-id").is_some(), n < 2, "{request}");
            assert_eq!(b.refused().is_empty(), want[n] == 200);
        }
    }
    // The log of a cache is kept although its session is gone.
    let mut b = Bench::new();
    b.ask(post("/pp", "client-id=4711", event, "1\r\n1,28,0\r\n"));
    assert_eq!(b.logs().len(), 1);
}

// WMSP-47, decision 7
#[test]
fn client_ids_carry_their_core() {
    let mut seen = std::collections::BTreeSet::new();
    for core in 0..3 {
        let mut b = Bench::with(config(core, 3));
        for _ in 0..50 {
            let (_, id) = describe(&mut b, "/pp");
            assert_eq!(id >> 30, u32::from(core));
            assert!(seen.insert(id));
        }
    }
    let spread = seen
        .iter()
        .map(|id| id & 0xFF_FFFF)
        .fold((u32::MAX, 0), |(lo, hi), n| (lo.min(n), hi.max(n)));
    assert!(spread.1 - spread.0 > 1 << 22, "random: {spread:?}");
}

#[test]
fn a_request_goes_to_the_core_of_its_session() {
    let mut home = Bench::with(config(2, 4));
    let (_, id) = describe(&mut home, "/pp");
    let mut away = Bench::with(config(1, 4));
    let request = post(
        "/pp",
        &format!("client-id={id}, xKeepAliveInPause=1"),
        "",
        "",
    );
    let conn = away.open();
    // Behind another request, with half of a third one: everything unread goes along.
    let options = format!("OPTIONS * HTTP/1.1\r\n{UA}\r\n");
    away.send(conn, [&*options, &*request, "OPTIO"].concat());
    assert_eq!(away.reply(conn).status(), 200);
    let (core, unread) = &away.moved[&conn];
    assert_eq!(*core, CoreId(2));
    assert_eq!(unread, [&*request, "OPTIO"].concat().as_bytes());
    assert_eq!(away.server.connection_count(), 0);
    let (_, r) = home.ask(unread);
    assert_eq!(r.status(), 200);

    // Not while something is owed on the connection: then the id is unknown here.
    let (conn, _, flow) = streaming(&mut away, "/pp");
    away.send(conn, &*request);
    assert!(away.is_open(conn));
    away.end(flow);
    let bytes = away.take(conn);
    let (media, rest) = dechunk(&bytes);
    assert_eq!(media, E0);
    assert_eq!(Reply::parse(&rest.unwrap()).status(), 400);

    // An id of a core that does not exist stays.
    let mut three = Bench::with(config(0, 3));
    let (conn, _) = three.ask(get("/pp", &format!("client-id={}", u32::MAX)));
    assert!(three.is_open(conn));
    // Clients that are none do not move.
    let conn = three.open();
    three.send(
        conn,
        format!(
            "GET /pp HTTP/1.1\r\nPragma: client-id={}\r\n\r\n",
            1u32 << 30
        ),
    );
    assert!(three.moved.is_empty());
}

// WMSP-36, WMSP-90, WMSP-89, WMSP-43
#[test]
fn idle_sessions_expire() {
    for at in [At::Init, At::Idle, At::Waiting] {
        let (mut b, conn, id) = session_at(at);
        b.sleep(Duration::from_millis(54_900));
        assert_eq!(
            side(
                &mut b,
                post(
                    "/pp",
                    &format!("client-id={id}, xKeepAliveInPause=1"),
                    "",
                    ""
                )
            ),
            200
        );
        b.sleep(Duration::from_millis(54_900));
        assert_eq!(b.server.session_count(), 1, "{at:?}");
        assert!(b.is_open(conn), "{at:?}");
        b.sleep(Duration::from_secs(6));
        assert_eq!(b.server.session_count(), 0, "{at:?}");
        assert!(!b.is_open(conn), "{at:?}");
        assert!(b.held.is_empty(), "{at:?}");
        assert_eq!(b.server.connection_count(), 0);
        assert_eq!(b.wake, None);
    }
    let (mut b, conn, _) = session_at(At::Streaming);
    b.sleep(Duration::from_secs(3600));
    assert!(b.has_flow(conn), "a session that streams does not expire");
    // WMSP-91
    b.hang_up(conn);
    assert!(b.held.is_empty());
    assert_eq!(b.server.session_count(), 1);
    b.sleep(Duration::from_secs(61));
    assert_eq!((b.server.session_count(), b.wake), (0, None));
}

#[test]
fn a_short_idle_timeout_is_lengthened() {
    let mut c = config(0, 1);
    c.idle_timeout = Duration::from_millis(1);
    let mut b = Bench::with(c);
    let (_, r) = b.ask(get("/pp", "x"));
    assert_eq!(r.pragma("timeout").as_deref(), Some("5000"));
    b.sleep(Duration::from_millis(9_900));
    assert_eq!(b.server.session_count(), 1);
    b.sleep(Duration::from_millis(200));
    assert_eq!(b.server.session_count(), 0);
}

// WMSP-33 to WMSP-36
#[test]
fn pipeline_tests_that_fail() {
    let mut b = Bench::new();
    let (conn, id) = describe(&mut b, "/pp");
    let test = get("/pp", &format!("client-id={id}, pipeline-request=1"));
    b.send(conn, &*test);
    let first = b.reply(conn);
    assert_eq!(first.body, b"4\r\n$T\0\0\r\n");
    b.sleep(Duration::from_millis(950));
    assert_eq!(b.take(conn), b"");
    b.sleep(Duration::from_millis(100));
    assert_eq!(b.take(conn), b"0\r\n\r\n");
    b.send(conn, &*test);
    let second = b.reply(conn);
    assert_eq!(
        (second.status(), second.pragma("pipeline-result").as_deref()),
        (204, Some("0"))
    );
    // The next one is a first again.
    b.send(conn, &*test);
    assert_eq!(b.reply(conn).status(), 200);
    // Another request ends the test.
    b.send(
        conn,
        play("/pp", &format!("client-id={id}, version11-enabled=1")),
    );
    let bytes = b.take(conn);
    assert!(bytes.starts_with(b"0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert!(b.has_flow(conn));

    // On another connection nothing is pipelined.
    let mut b = Bench::new();
    let (conn, id) = describe(&mut b, "/pp");
    let test = get("/pp", &format!("client-id={id}, pipeline-request=1"));
    b.send(conn, &*test);
    b.take(conn);
    let (_, r) = b.ask(&test);
    assert_eq!(r.pragma("pipeline-result").as_deref(), Some("0"));
    b.sleep(Duration::from_secs(2));
    assert_eq!(b.take(conn), b"0\r\n\r\n");

    let old = test.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(side(&mut b, old), 400);
}

// WMSP-52
#[test]
fn pipelining_is_offered_only_where_it_can_work() {
    let ask = |version: &str, more: &str| {
        let mut b = Bench::new();
        let (_, r) = b.ask(format!(
            "GET /pp {version}\r\n{UA}{more}Pragma: pipeline-experiment=1\r\n\r\n"
        ));
        r.pragma("pipeline-experiment").is_some()
    };
    assert!(ask("HTTP/1.1", ""));
    assert!(ask("HTTP/1.1", "Via: 1.1 p\r\n"));
    assert!(!ask("HTTP/1.1", "Via: 1.1 p, 1.0 q\r\n"));
    assert!(!ask("HTTP/1.1", "Connection: close\r\n"));
    assert!(!ask("HTTP/1.0", ""));
    assert!(!ask("HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

// WMSP-60
#[test]
fn chunks_only_in_http_11() {
    let mut b = Bench::new();
    let request = play("/pp", "version11-enabled=1").replace("HTTP/1.1", "HTTP/1.0");
    let (conn, r) = b.ask(request);
    assert_eq!(r.get("Transfer-Encoding"), None);
    assert_eq!(r.line, "HTTP/1.0 200 OK");
    let flow = b.flow(conn);
    assert!(b.start_of(flow).framer.in_place());
}

// WMSP-50, WMSP-51
#[test]
fn redirections() {
    let go = |ua: &str| {
        let mut b = Bench::new();
        let (conn, r) = b.ask(format!(
            "GET /moved HTTP/1.0\r\nUser-Agent: {ua}\r\nHost: h\r\n\r\n"
        ));
        assert!(!b.is_open(conn));
        assert_eq!(b.server.session_count(), 0);
        r
    };
    let r = go("NSPlayer/9.0.0.2980");
    assert_eq!(
        (r.status(), r.get("Location")),
        (302, Some("http://other/x"))
    );
    assert_eq!(r.pragma("client-id"), None);
    let r = go("NSPlayer/7.0.0.1956");
    assert_eq!(
        (r.status(), r.get("Location")),
        (302, Some("http://other/x"))
    );
    // VLC 3 opens http:// as a plain file.
    let r = go("NSPlayer/7.10.0.3059");
    assert_eq!(r.get("Location"), Some("mmsh://other/x"));
    let r = go("curl/8.5.0");
    assert_eq!(
        (r.status(), r.get("Location")),
        (302, Some("http://other/x"))
    );
    let r = go("NSPlayer/6.4.9.1125");
    assert_eq!(r.status(), 200);
    assert_eq!(r.body[..2], *b"$H");
    let url: Vec<u8> = "http://other/x"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(r.body.windows(url.len()).any(|w| w == url));
    let kind: Vec<u8> = "FILENAME"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(r.body.windows(kind.len()).any(|w| w == kind));
    assert_eq!(
        r.body[12..],
        protocols::asf::redirect_blob("http://other/x")[..]
    );

    let mut b = Bench::new();
    let long: &'static str = format!("http://h/{}", "a".repeat(300)).leak();
    b.points.insert("/moved".into(), Point::Moved(long));
    let (_, r) = b.ask("GET /moved HTTP/1.0\r\nUser-Agent: NSPlayer/6.4\r\n\r\n");
    assert_eq!(r.status(), 500);
    let (_, r) = b.ask("GET /moved HTTP/1.0\r\nUser-Agent: NSPlayer/9.0\r\n\r\n");
    assert_eq!(r.status(), 302);

    // The session that asked is gone.
    let mut b = Bench::new();
    let (conn, id) = describe(&mut b, "/pp");
    b.send(conn, get("/moved", &format!("client-id={id}")));
    assert_eq!(b.reply(conn).status(), 302);
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty());
}

// WMSP-125, WMLOG-29
#[test]
fn bad_urls() {
    let mut b = Bench::new();
    for request in [
        get("/none", "x"),
        play("/none", "x"),
        post(
            "/none",
            "x",
            "Content-Type: application/x-wms-getcontentinfo\r\n",
            "x",
        ),
        post(
            "/none",
            "x",
            "Content-Type: application/x-wms-sendevent\r\n",
            "x",
        ),
    ] {
        assert_eq!(side(&mut b, request), 404);
    }
    assert_eq!(b.refused(), [404; 4]);
    assert_eq!(b.server.session_count(), 0);
    for (refusal, status) in [
        (Refusal::Forbidden, 403),
        (Refusal::Busy, 503),
        (Refusal::Unavailable, 503),
        (Refusal::Unsupported, 400),
        (Refusal::Corrupt, 500),
        (Refusal::Internal, 500),
    ] {
        b.points.insert("/r".into(), Point::Refused(refusal));
        assert_eq!(side(&mut b, get("/r", "x")), status);
        b.refuse_cue = Some(refusal);
        assert_eq!(side(&mut b, play("/pp", "x")), status);
        assert!(b.held.is_empty());
    }
}

// WMSP-31, WMSP-44, WMLOG-27 and wmsp.md 4.4
#[test]
fn cache_directives() {
    let mut content = clip();
    content.caching = Caching {
        allowed: true,
        max_age: 86_399,
        last_modified: Some("Sat, 01 Jan 2022 00:00:00 GMT".into()),
        etag: Some("abc".into()),
    };
    let mut b = Bench::new();
    b.points.insert("/pp".into(), Point::Media(content.clone()));
    b.points.insert(
        "/live".into(),
        Point::Media(Content {
            caching: content.caching.clone(),
            ..live()
        }),
    );
    let info = |path: &str| {
        post(
            path,
            "x",
            "Content-Type: application/x-wms-getcontentinfo\r\n",
            "x",
        )
    };
    let (conn, r) = b.ask(info("/pp"));
    assert_eq!(
        r.get("Cache-Control"),
        Some(
            "no-cache, x-wms-content-size=182000, max-age=86399, user-public, must-revalidate, \
             proxy-public, proxy-revalidate, x-wms-event-subscription=\"remote-log\""
        )
    );
    assert_eq!(
        r.get("Last-Modified"),
        Some("Sat, 01 Jan 2022 00:00:00 GMT")
    );
    assert_eq!(r.get("Etag"), Some("\"abc\""));
    assert_eq!(r.body, b"");
    // WMSP-76
    assert!(!b.is_open(conn));
    let (_, r) = b.ask(info("/live"));
    assert!(r.get("Cache-Control").unwrap().starts_with(
        "no-cache, max-age=0, x-wms-stream-type=\"broadcast\", user-public, must-revalidate, x-wms-proxy-split"
    ));
    let (_, r) = b.ask(get("/list", "x"));
    assert!(
        r.get("Cache-Control")
            .unwrap()
            .starts_with("no-cache, x-wms-stream-type=\"playlist\"")
    );
    assert_eq!(r.get("Etag"), None);
    assert!(!b.opens[0].play && b.opens[2].play);
    let (_, r) = b.ask(format!("OPTIONS * HTTP/1.1\r\n{UA}\r\n"));
    assert_eq!(r.get("Cache-Control"), Some("no-cache"));
}

// WMSP-45, WMSP-46, WMSP-92
#[test]
fn features_by_version() {
    let mut both = live();
    both.playlist = true;
    let mut rich = clip();
    rich.stridable = true;
    let features = |content: &Content, version: &str| {
        let mut b = Bench::new();
        b.points.insert("/x".into(), Point::Media(content.clone()));
        let (_, r) = b.ask(format!(
            "GET /x HTTP/1.1\r\nUser-Agent: NSPlayer/{version}\r\n\r\n"
        ));
        (
            r.pragma("features").unwrap(),
            r.get("Supported").map(str::to_owned),
        )
    };
    assert_eq!(features(&clip(), "9.0").0, "seekable");
    assert_eq!(features(&rich, "9.0").0, "seekable,stridable");
    assert_eq!(features(&live(), "9.0").0, "broadcast");
    assert_eq!(features(&both, "9.0").0, "broadcast,playlist");
    assert_eq!(
        features(&entry(1), "9.0").0,
        "playlist,seekable,skipforward"
    );
    assert_eq!(
        features(&entry(1), "8.0"),
        ("broadcast,playlist".into(), None)
    );
    assert_eq!(features(&both, "8.0").0, "broadcast,playlist");
    let said = features(&clip(), "9.0").1.unwrap();
    assert_eq!(
        said,
        "com.microsoft.wm.fastcache, com.microsoft.wm.predstrm, com.microsoft.wm.srvppair, \
         com.microsoft.wm.sswitch, com.microsoft.wm.startupprofile"
    );
    assert!(!features(&live(), "9.0").1.unwrap().contains("fastcache"));
}

// WMSP-81, WMLOG-20 to WMLOG-24
#[test]
fn logs() {
    let mut b = Bench::new();
    let (_, id) = describe(&mut b, "/pp");
    let line = "0.0.0.0 2022-01-01 00:00:00 - /pp, 0 1 200";
    let (_, r) = b.ask(format!(
        "POST /pp HTTP/1.0\r\nUser-Agent: NSPlayer/7.1\r\nPragma: client-id={id}\r\nPragma: log-line={line}\r\n\r\n"
    ));
    assert_eq!((r.status(), &*r.body), (204, &b""[..]));
    b.ask(post(
        "/pp",
        &format!("client-id={id}"),
        "Content-Type: application/x-wms-logstats\r\n",
        "not <XML",
    ));
    assert_eq!(
        b.logs(),
        [
            &ClientLog::W3c(line.into()),
            &ClientLog::Xml("not <XML".into())
        ]
    );
    // A line beyond 8 KiB is taken and dropped.
    let long = "x".repeat(9000);
    let (_, r) = b.ask(format!(
        "POST /pp HTTP/1.0\r\nUser-Agent: NSPlayer/7.1\r\nPragma: client-id={id}\r\nPragma: log-line={long}\r\n\r\n"
    ));
    assert_eq!(r.status(), 204);
    assert_eq!(b.logs().len(), 2);
    // WMLOG-28
    let body = "1\r\n1,28,0\r\n";
    let (_, r) = b.ask(post(
        "/pp",
        "x",
        "Content-Type: application/x-wms-sendevent\r\n",
        body,
    ));
    assert_eq!((r.status(), &*r.body), (200, &b""[..]));
    assert_eq!(b.logs()[2], &ClientLog::RemoteEvent(body.into()));
    // A log is about the flow that runs.
    let (conn, id, flow) = streaming(&mut b, "/pp");
    b.send(
        conn,
        post(
            "/pp",
            &format!("client-id={id}"),
            "Content-Type: application/x-wms-LogStats\r\n",
            "x",
        ),
    );
    let Some(Report::ClientLog {
        flow: of,
        target,
        user_agent,
        session,
        ..
    }) = b.reports.last()
    else {
        panic!()
    };
    assert_eq!(
        (*of, &**target, &**user_agent),
        (Some(flow), "/pp", "NSPlayer/9.0.0.2980")
    );
    assert!(
        *session > 0 && *session != u64::from(id),
        "no secret in the log"
    );
}

#[test]
fn documents() {
    let mut b = Bench::new();
    for ua in ["NSPlayer/9.0.0.2980", "NSPlayer/4.1.0.3856", "Mozilla/5.0"] {
        let (_, r) = b.ask(format!(
            "GET /pp.asx HTTP/1.1\r\nUser-Agent: {ua}\r\nHost: h\r\n\r\n"
        ));
        assert_eq!((r.status(), &*r.body), (200, &b"<ASX/>"[..]));
        assert_eq!(r.get("Content-Type"), Some("video/x-ms-asf"));
    }
    assert_eq!(b.server.session_count(), 0);
    assert_eq!(b.opens[0].authority, "h");
}

#[test]
fn draining() {
    let mut b = Bench::new();
    let (conn, id) = describe(&mut b, "/pp");
    let (live, _, flow) = streaming(&mut b, "/live");
    b.drain();
    assert_eq!(side(&mut b, get("/pp", "x")), 503);
    assert_eq!(side(&mut b, play("/pp", "x")), 503);
    assert_eq!(side(&mut b, "GET /pp HTTP/1.1\r\n\r\n".into()), 503);
    // Who has a session goes on.
    b.send(conn, play("/pp", &format!("client-id={id}")));
    assert_eq!(b.reply(conn).status(), 200);
    b.media(flow, 1);
    assert!(b.has_flow(live));
}

#[test]
fn sessions_are_bounded() {
    let mut c = config(0, 1);
    c.session_count_max = 3;
    let mut b = Bench::with(c);
    for _ in 0..3 {
        describe(&mut b, "/pp");
    }
    assert_eq!(side(&mut b, get("/pp", "x")), 503);
    assert_eq!(side(&mut b, play("/pp", "x")), 503);
    b.sleep(Duration::from_secs(61));
    assert_eq!(side(&mut b, get("/pp", "x")), 200);
}

#[test]
fn replies_that_wait_are_bounded() {
    let (mut b, conn, id) = session_at(At::Streaming);
    let options = format!("OPTIONS * HTTP/1.1\r\n{UA}Pragma: client-id={id}\r\n\r\n");
    let mut sent = 0;
    while b.is_open(conn) {
        b.send(conn, &*options);
        sent += 1;
        assert!(sent < 200);
    }
    let (how, fault) = b.closed[&conn].clone();
    assert_eq!(how, CloseHow::Abort);
    assert!(fault.unwrap().reason.contains("pipelined requests"));
    assert!(sent > 16);
    assert!(b.held.is_empty());
}

#[test]
fn answers_that_come_too_late() {
    let mut b = Bench::new();
    b.slow = true;
    // The client left.
    let conn = b.open();
    b.send(conn, get("/pp", "x"));
    b.hang_up(conn);
    b.answer_all();
    assert!(b.held.is_empty());
    assert_eq!(b.server.session_count(), 0);
    // It left between two questions.
    let conn = b.open();
    b.send(conn, play("/pp", "x"));
    b.answer_one();
    assert_eq!(b.held.len(), 1);
    b.hang_up(conn);
    assert!(b.held.is_empty());
    b.answer_all();
    assert!(b.held.is_empty() && b.flows.is_empty());
    // Two Plays of one session: only one may win.
    let (first, id) = {
        b.slow = false;
        describe(&mut b, "/pp")
    };
    b.slow = true;
    let second = b.open();
    b.send(first, play("/pp", &format!("client-id={id}")));
    b.send(second, play("/pp", &format!("client-id={id}")));
    b.answer_all();
    assert!(b.has_flow(first) && !b.has_flow(second));
    assert_eq!(b.reply(second).status(), 400);
    assert_eq!(b.held.len(), 1);
    // Idle expiry does not strike while an answer is awaited, and strikes after a client that left.
    let (conn, id) = {
        b.slow = false;
        describe(&mut b, "/pp")
    };
    b.slow = true;
    let other = b.open();
    b.send(
        other,
        post(
            "/pp",
            &format!("client-id={id}"),
            "Content-Type: application/x-wms-getcontentinfo\r\n",
            "x",
        ),
    );
    b.sleep(Duration::from_secs(120));
    assert!(b.is_open(conn));
    b.hang_up(other);
    b.sleep(Duration::from_secs(61));
    assert!(!b.is_open(conn));
    b.answer_all();
    assert_eq!(b.held.len(), 1, "the one that plays");
}

// WMSP-28
#[test]
fn requests_that_are_none() {
    let mut b = Bench::new();
    assert_eq!(
        side(
            &mut b,
            format!("POST /pp HTTP/1.1\r\n{UA}Content-Length: 0\r\n\r\n")
        ),
        400
    );
    assert_eq!(
        side(&mut b, format!("DELETE /pp HTTP/1.1\r\n{UA}\r\n")),
        501
    );
    assert_eq!(side(&mut b, "POST /pp HTTP/1.1\r\n\r\n".into()), 405);
    assert_eq!(side(&mut b, play("/pp", "rate=5.000")), 400);
    assert_eq!(side(&mut b, play("/pp", "rate=0.000")), 400);
    assert_eq!(
        side(&mut b, play("/list", "playlist-seek-id=1, pl-offset=-1")),
        400
    );
    assert_eq!(side(&mut b, play("/pp", "pl-offset=1")), 400);
    assert!(b.held.is_empty());
    // The body is media: no second request for it.
    let (conn, r) = b.ask(play("/pp", "x"));
    assert_eq!(r.status(), 200);
    b.send(conn, get("/pp", "x"));
    b.send(conn, play("/pp", "x"));
    assert_eq!(b.refused()[7..], [400, 400]);
    assert!(b.has_flow(conn));
}

// WMSP-18
#[test]
fn other_ends() {
    let mut rich = clip();
    rich.stridable = true;
    let mut b = Bench::new();
    b.points.insert("/pp".into(), Point::Media(rich));
    let (conn, r) = b.ask(play(
        "/pp",
        "rate=-5.000, stream-time=9000, version11-enabled=1",
    ));
    assert_eq!(r.status(), 200);
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).rate_milli, -5000);
    b.end(flow);
    let (media, rest) = dechunk(&b.take(conn));
    assert_eq!(
        (media, rest),
        (hex("24 45 04 00 09 2F 0D 00"), Some(vec![]))
    );

    let (conn, _, flow) = streaming(&mut b, "/live");
    b.end_with(flow, FlowEnd::SourceLost);
    let (media, _) = dechunk(&b.take(conn));
    assert_eq!(media, hex("24 45 04 00 05 40 00 80"));
    assert!(b.held.is_empty());

    // max-duration: the end of the span is the end of all, whatever follows in the playlist.
    b.next.insert(1, entry(2));
    let (conn, _) = b.ask(play("/list", "max-duration=2000, version11-enabled=1"));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).max_duration, Some(2000));
    b.end(flow);
    assert_eq!(dechunk(&b.take(conn)).0, E0);
    let absolute = (1u32 << 31) + 7000;
    let (conn, _) = b.ask(play(
        "/pp",
        &format!("stream-time=5000, max-duration={absolute}"),
    ));
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).max_duration, Some(2000));
}

#[test]
fn packets_that_wmsp_cannot_frame_are_refused() {
    let mut b = Bench::new();
    let mut large = clip();
    large.packet_size = 65_528;
    b.points.insert("/large".into(), Point::Media(large));
    assert_eq!(side(&mut b, get("/large", "x")), 500);
    assert_eq!(side(&mut b, play("/large", "x")), 500);
    assert!(b.held.is_empty());
}

// WMSP-124
#[test]
fn the_data_connection_moves_to_the_play() {
    let mut b = Bench::new();
    let (first, id) = describe(&mut b, "/pp");
    let (second, _) = b.ask(play("/pp", &format!("client-id={id}")));
    assert!(b.has_flow(second));
    // The first is an ordinary idle connection now.
    b.hang_up(first);
    assert!(b.has_flow(second));
    b.hang_up(second);
    assert!(b.held.is_empty());
}

// WMSP-76, WMSP-80: a reply that waits may also be the connection's last.
#[test]
fn a_close_waits_for_the_end_of_the_body() {
    let (mut b, conn, id) = session_at(At::Streaming);
    b.send(
        conn,
        post(
            "/pp",
            &format!("client-id={id}, xKeepAliveInPause=1"),
            "",
            "",
        ),
    );
    assert!(b.is_open(conn) && b.has_flow(conn));
    let flow = b.flow(conn);
    b.end(flow);
    let (media, rest) = dechunk(&b.take(conn));
    assert_eq!(media, E0);
    assert_eq!(
        Reply::parse(&rest.unwrap()).get("Connection"),
        Some("close")
    );
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
}

// Nothing can follow a body that only the end of its connection ends.
#[test]
fn no_reply_behind_a_body_that_closes() {
    for (request, replies) in [
        (play("/pp", "x").replace("/1.1", "/1.0"), 0),
        (play("/pp", "x"), 1),
    ] {
        let mut b = Bench::new();
        let (conn, r) = b.ask(request);
        let id = r.client_id();
        b.send(
            conn,
            post(
                "/pp",
                &format!("client-id={id}"),
                "Content-Type: application/x-wms-LogStats\r\n",
                "x",
            ),
        );
        assert_eq!(b.logs().len(), 1);
        let flow = b.flow(conn);
        b.end(flow);
        let bytes = b.take(conn);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("204 No Content").count(), replies);
        assert_eq!(b.is_open(conn), replies == 1);
    }
}
