//! Sessions of the WMSP server machine: their ids, cores, timers and bounds.

mod wmsp_support;

use protocols::machine::*;
use std::time::Duration;
use wmsp_support::requests::*;
use wmsp_support::*;

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

// WMSP-33, WMSP-34, WMSP-35, WMSP-36
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
