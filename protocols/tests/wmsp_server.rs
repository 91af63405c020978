//! Every request in every state of a session, and the order of replies on a connection.

mod wmsp_support;

use protocols::machine::*;
use wmsp_support::requests::*;
use wmsp_support::*;

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

// WMSP-32, WMSP-75, WMSP-76, WMLOG-22, WMLOG-23
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
