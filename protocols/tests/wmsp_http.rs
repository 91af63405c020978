//! Clients that are none of Windows Media, and peers that mean no good.

mod wmsp_support;

use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::time::Duration;
use wmsp_support::*;

fn file() -> Content {
    let mut content = clip();
    content.caching = Caching {
        allowed: true,
        max_age: 60,
        last_modified: Some("Sat, 01 Jan 2022 00:00:00 GMT".into()),
        etag: Some("abc".into()),
    };
    content
}

fn bench() -> Bench {
    let mut b = Bench::new();
    b.points.insert("/f.wmv".into(), Point::Media(file()));
    b
}

fn get(more: &str) -> String {
    format!("GET /f.wmv HTTP/1.1\r\nHost: h\r\nUser-Agent: curl/8.5.0\r\n{more}\r\n")
}

// WMSP-37
#[test]
fn a_file_is_downloaded() {
    let mut b = bench();
    let (conn, r) = b.ask(get(""));
    assert_eq!(r.line, "HTTP/1.1 200 OK");
    assert_eq!(r.get("Content-Length"), Some("182000"));
    assert_eq!(r.get("Content-Type"), Some("video/x-ms-wmv"));
    assert_eq!(r.get("Accept-Ranges"), Some("bytes"));
    assert_eq!(r.get("Cache-Control"), Some("max-age=60"));
    assert_eq!(r.get("Pragma"), None);
    let flow = b.flow(conn);
    assert_eq!(b.flows[&flow].file, Some((0, 182_000)));
    assert_eq!(b.opens[0].protocol, Protocol::Http);
    // The next request waits for the end of the file.
    b.send(conn, get("Range: bytes=-1000\r\n"));
    assert_eq!(b.take(conn), b"");
    b.end(flow);
    let r = b.reply(conn);
    assert_eq!(r.line, "HTTP/1.1 206 Partial Content");
    assert_eq!(r.get("Content-Range"), Some("bytes 181000-181999/182000"));
    assert_eq!(r.get("Content-Length"), Some("1000"));
    let flow = b.flow(conn);
    assert_eq!(b.flows[&flow].file, Some((181_000, 1000)));
    b.end(flow);
    assert!(b.is_open(conn));
    assert!(b.held.is_empty());
    b.sleep(Duration::from_secs(61));
    assert!(!b.is_open(conn));
    // An absent User-Agent is as good as a foreign one; HTTP/1.0 closes.
    let (conn, r) = b.ask("GET /f.wmv HTTP/1.0\r\n\r\n");
    assert_eq!(
        (r.line.as_str(), r.get("Connection")),
        ("HTTP/1.0 200 OK", Some("close"))
    );
    let flow = b.flow(conn);
    b.end(flow);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    // A file that cannot be read to its end breaks off.
    let (conn, _) = b.ask(get(""));
    let flow = b.flow(conn);
    b.end_with(flow, FlowEnd::SourceLost);
    assert!(!b.is_open(conn));
    assert!(b.held.is_empty());
}

#[test]
fn heads_ranges_and_conditions() {
    let mut b = bench();
    let conn = b.open();
    let mut ask = |request: String| {
        b.send(conn, request);
        let r = b.reply(conn);
        assert!(r.body.is_empty());
        r
    };
    let r = ask(get("").replace("GET", "HEAD"));
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("182000")));
    let r = ask(get("Range: bytes=182000-\r\n"));
    assert_eq!(
        (r.status(), r.get("Content-Range")),
        (416, Some("bytes */182000"))
    );
    assert_eq!(r.get("Content-Length"), Some("0"));
    for condition in [
        "If-None-Match: \"abc\"\r\n",
        "If-None-Match: \"x\", W/\"abc\"\r\n",
        "If-None-Match: *\r\n",
        "If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT\r\n",
    ] {
        let r = ask(get(condition));
        assert_eq!(
            (r.status(), r.get("Content-Length")),
            (304, None),
            "{condition}"
        );
        assert_eq!(r.get("Etag"), Some("\"abc\""));
    }
    let r = ask(get("").replace("GET", "HEAD").replace("/f.wmv", "/live"));
    assert_eq!((r.status(), r.get("Content-Length")), (200, None));
    let r = ask(get("").replace("GET", "HEAD").replace("/f.wmv", "/pp.asx"));
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("6")));
    assert!(b.flows.is_empty() && b.held.is_empty());
    for (more, status) in [
        (
            "If-None-Match: \"x\"\r\nIf-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT\r\n",
            200,
        ),
        ("If-Modified-Since: Sun, 02 Jan 2022 00:00:00 GMT\r\n", 200),
        ("Range: bytes=0-9\r\nIf-Range: \"abc\"\r\n", 206),
        ("Range: bytes=0-9\r\nIf-Range: \"x\"\r\n", 200),
        ("Range: bytes=0-9,20-29\r\n", 200),
    ] {
        let (_, r) = b.ask(get(more));
        assert_eq!(r.status(), status, "{more}");
    }
    let mut empty = file();
    empty.file_size = Some(0);
    b.points.insert("/f.wmv".into(), Point::Media(empty));
    let before = b.flows.len();
    let (conn, r) = b.ask(get(""));
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("0")));
    assert!(b.is_open(conn) && b.flows.len() == before);
}

// WMSP-37
#[test]
fn live_content_is_listened_to() {
    let mut b = bench();
    let (conn, r) = b.ask("GET /live HTTP/1.1\r\nHost: h\r\nUser-Agent: Lavf/59\r\n\r\n");
    assert_eq!(r.get("Transfer-Encoding"), Some("chunked"));
    assert_eq!(r.get("Content-Type"), Some("video/x-ms-asf"));
    assert_eq!(r.body, b"4\r\n\xAA\xAA\xAA\xAA\r\n");
    let flow = b.flow(conn);
    let start = b.start_of(flow);
    assert!(start.framer.keeps_padding());
    assert_eq!(start.selection, Selection::of([1, 2]));
    assert_eq!(
        start.pace,
        Pace::Media {
            accel: None,
            speed_milli: 1000
        }
    );
    b.media(flow, 2);
    assert_eq!(dechunk(&b.take(conn)).0, [0xBB; 8]);
    b.end(flow);
    assert_eq!(b.take(conn), b"0\r\n\r\n");
    assert!(b.is_open(conn));

    let (conn, r) = b.ask("GET /live HTTP/1.0\r\n\r\n");
    assert_eq!(
        (r.get("Transfer-Encoding"), &*r.body),
        (None, &[0xAA; 4][..])
    );
    let flow = b.flow(conn);
    b.media(flow, 1);
    assert_eq!(b.take(conn), [0xBB; 4]);
    b.end(flow);
    assert!(!b.is_open(conn));
    assert!(b.held.is_empty());

    // Sound alone; a source that goes away leaves the body without its end.
    let mut radio = live();
    radio.streams = radio.streams[..1].into();
    b.points.insert("/radio".into(), Point::Media(radio));
    let (conn, r) = b.ask("GET /radio HTTP/1.1\r\n\r\n");
    assert_eq!(r.get("Content-Type"), Some("audio/x-ms-wma"));
    let flow = b.flow(conn);
    b.end_with(flow, FlowEnd::SourceLost);
    assert_eq!(b.take(conn), b"");
    assert!(!b.is_open(conn));
    b.refuse_cue = Some(Refusal::Unavailable);
    assert_eq!(b.ask("GET /live HTTP/1.1\r\n\r\n").1.status(), 503);
    assert!(b.held.is_empty());
}

#[test]
fn targets_are_passed_on_as_they_are() {
    let mut b = bench();
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%00",
        "//x",
        "/a%0d%0ab",
        "/\u{e4}",
    ] {
        b.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(b.opens.last().unwrap().path, path);
    }
    b.ask("GET http://a:8080/pp?WMCache=0 HTTP/1.1\r\nHost: h\r\n\r\n");
    let open = b.opens.last().unwrap();
    assert_eq!(
        (&*open.path, &*open.query, &*open.authority),
        ("/pp", "WMCache=0", "a:8080")
    );
}

/// Status and fault of a connection on which this arrived.
fn hostile(bytes: &[u8]) -> (Option<u16>, Option<Fault>) {
    let mut b = bench();
    let conn = b.open();
    b.send(conn, bytes);
    let sent = b.take(conn);
    let status = (!sent.is_empty()).then(|| Reply::parse(&sent).status());
    assert!(!b.is_open(conn), "{:?}", String::from_utf8_lossy(bytes));
    assert!(b.held.is_empty());
    let (how, fault) = b.closed[&conn].clone();
    assert_eq!(how, CloseHow::Flush);
    (status, fault)
}

#[test]
fn damaged_requests() {
    let post = |more: &str| format!("POST / HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\n{more}\r\n");
    for (bytes, status) in [
        ("\u{16}\u{3}\u{1}".into(), 400),
        ("GET\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nX: a\u{1}b\r\n\r\n".into(), 400),
        ("GET /\u{7f} HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/3.0\r\n\r\n".into(), 505),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)), 431),
        (format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(20_000)), 431),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)),
            431,
        ),
        (post("Content-Length: 65537\r\n"), 413),
        (post("Content-Length: 18446744073709551615\r\n"), 413),
        (post("Content-Length: 18446744073709551616\r\n"), 400),
        (post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        (post("Transfer-Encoding: identity\r\n"), 501),
    ] {
        let (got, fault) = hostile(bytes.as_bytes());
        assert_eq!(got, Some(status), "{bytes:.80}");
        assert!(fault.is_some(), "the log has a line");
    }
    let (_, fault) = hostile(b"OPTIONS * HTTP/1.1\r\n\r\nGET / HTTP/9\r\n\r\n");
    assert_eq!(fault.unwrap().offset, 22);
}

#[test]
fn slow_requests() {
    let mut b = bench();
    let conn = b.open();
    b.sleep(Duration::from_secs(30));
    for byte in b"GET /f.wmv HTTP/1.1\r\n" {
        b.sleep(Duration::from_millis(400));
        b.send(conn, [*byte]);
    }
    assert!(b.is_open(conn));
    b.sleep(Duration::from_secs(2));
    assert_eq!(b.reply(conn).status(), 408);
    assert!(b.closed[&conn].1.is_some());
    // A body may not be slow either.
    let conn = b.open();
    b.send(
        conn,
        "POST / HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\nContent-Length: 9\r\n\r\nabc",
    );
    b.sleep(Duration::from_secs(11));
    assert_eq!(b.reply(conn).status(), 408);
    // Nothing at all.
    let conn = b.open();
    b.sleep(Duration::from_secs(61));
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    // Beside media nothing can be said.
    let (conn, _) = b.ask(
        "GET /pp HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\nPragma: xPlayStrm=1, version11-enabled=1\r\n\r\n",
    );
    b.send(conn, "POST");
    b.sleep(Duration::from_secs(11));
    assert_eq!(b.closed[&conn].0, CloseHow::Abort);
    assert!(b.held.is_empty());
    assert_eq!(b.server.connection_count(), 0);
}

#[test]
fn ten_thousand_pipelined_requests() {
    let mut b = bench();
    let conn = b.open();
    b.send(conn, "OPTIONS * HTTP/1.1\r\n\r\n".repeat(10_000));
    assert_eq!(b.writes[&conn].len(), 10_000);
    b.take(conn);
    // Behind one that waits for an answer only so much is kept.
    b.slow = true;
    let conn = b.open();
    b.send(conn, "GET /live HTTP/1.1\r\n\r\n".repeat(10_000));
    let (how, fault) = b.closed[&conn].clone();
    assert_eq!(how, CloseHow::Abort);
    assert_eq!(fault.unwrap().reason, "too many pipelined requests");
    b.answer_all();
    assert!(b.held.is_empty());
}

#[test]
fn methods() {
    let mut b = bench();
    let (_, r) = b.ask("OPTIONS * HTTP/1.1\r\n\r\n");
    assert_eq!(
        (r.status(), r.get("Allow")),
        (200, Some("GET, HEAD, POST, OPTIONS"))
    );
    let (_, r) = b.ask("POST /f.wmv HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx");
    assert_eq!(
        (r.status(), r.get("Allow")),
        (405, Some("GET, HEAD, POST, OPTIONS"))
    );
    let (conn, r) = b.ask("PUT /f.wmv HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx");
    assert_eq!(
        (r.status(), &*r.body),
        (501, &b"501 Not Implemented\r\n"[..])
    );
    assert!(b.is_open(conn));
    b.send(conn, "HEAD /none HTTP/1.1\r\n\r\n");
    let r = b.reply(conn);
    assert_eq!(
        (r.status(), &*r.body, r.get("Content-Length")),
        (404, &b""[..], Some("15"))
    );
    assert_eq!(b.refused(), [405, 501, 404]);
    let Report::Refused { peer, target, .. } = &b.reports[2] else {
        panic!()
    };
    assert_eq!(
        (peer.to_string(), &**target),
        ("192.0.2.7:4321".into(), "/none")
    );
}

#[test]
fn expectations_are_met() {
    let mut b = bench();
    let conn = b.open();
    let head = "POST /pp HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\nExpect: 100-continue\r\n\
         Content-Type: application/x-wms-sendevent\r\nContent-Length: 11\r\n\r\n";
    b.send(conn, head);
    assert_eq!(b.take(conn), b"HTTP/1.1 100 Continue\r\n\r\n");
    b.send(conn, "1\r\n1,28,0\r\n");
    assert_eq!(b.reply(conn).status(), 200);
    b.send(conn, head.replace("/1.1", "/1.0"));
    assert_eq!(b.take(conn), b"");
}
