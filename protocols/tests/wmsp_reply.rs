//! What replies say: redirections, refusals, caching, features, logs, documents.

mod wmsp_support;

use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use wmsp_support::requests::*;
use wmsp_support::*;

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

// WMSP-81, WMLOG-25, WMLOG-28, WMLOG-20, WMLOG-21, WMLOG-22, WMLOG-23, WMLOG-24
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
