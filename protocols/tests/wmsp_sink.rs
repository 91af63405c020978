//! The web-side log sink on the HTTP port.

mod wmsp_support;

use protocols::machine::{ClientLog, Report};
use protocols::wmlog::web;
use wmsp_support::requests::*;
use wmsp_support::*;

const LINE: &str = "192.0.2.7 2024-05-01 12:00:30 - asfm://239.192.1.1:5555 0 30 1 200 \
    {3300AD50-2C39-46c0-AE0A-000000000001} 10.0.0.3802 en-US WMFSDK/10.0.0.3802 - wmplayer.exe \
    10.0.0.3802 Windows_XP 5.1.0.2600 Pentium 60 1500000 200000 asfm UDP Windows_Media_Audio_9 \
    Windows_Media_Video_9 http://h/studio.nsc - 4711 - 240 0 0 0 - 0 0 1 2 100 239.192.1.1 - - -";

fn bench() -> Bench {
    Bench::with(protocols::wmsp::server::Config {
        log_sink: Some("/wmsiislog.dll".into()),
        ..config(0, 1)
    })
}

fn posting(agent: &str, body: &str) -> String {
    let n = body.len();
    format!(
        "POST /wmsiislog.dll HTTP/1.1\r\nHost: h\r\n{agent}Content-Type: text/plain\r\n\
         Content-Length: {n}\r\n\r\n{body}"
    )
}

// WMLOG-38
#[test]
fn every_client_recognises_the_sink() {
    let mut b = bench();
    for agent in [UA, "User-Agent: WMFSDK/10.0\r\nHost: h\r\n", "Host: h\r\n"] {
        for path in ["/wmsiislog.dll", "/WMSIISLOG.DLL", "/wmsiislog.dll?x"] {
            let (_, r) = b.ask(format!("GET {path} HTTP/1.1\r\n{agent}\r\n"));
            assert_eq!(r.status(), 200, "{path}");
            let page = String::from_utf8(r.body.clone()).unwrap();
            assert!(web::is_log_resource(&page), "{page}");
            assert_eq!(r.get("Content-Length"), Some(&*page.len().to_string()));
        }
    }
    let (_, r) = b.ask("HEAD /wmsiislog.dll HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((r.status(), r.body.len()), (200, 0));
    let (_, r) = b.ask("OPTIONS /wmsiislog.dll HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(r.status(), 405);
    assert!(b.logs().is_empty());
}

// WMLOG-39
#[test]
fn a_posted_log_is_taken_whoever_posts_it() {
    for agent in [UA, "User-Agent: WMFSDK/10.0\r\n", ""] {
        let mut b = bench();
        // On the connection on which it was asked what this is.
        let conn = b.open();
        b.send(
            conn,
            format!("GET /wmsiislog.dll HTTP/1.1\r\nHost: h\r\n{agent}\r\n"),
        );
        assert_eq!(b.reply(conn).status(), 200);
        b.send(conn, posting(agent, &web::body(LINE)));
        let r = b.reply(conn);
        assert_eq!((r.status(), r.get("Content-Length")), (200, Some("0")));
        assert_eq!(r.get("Connection"), Some("close"));
        assert_eq!(b.logs().len(), 1);
        let Report::ClientLog {
            session,
            flow,
            log,
            target,
            ..
        } = &b.reports[0]
        else {
            panic!("{:?}", b.reports);
        };
        assert_eq!((*session, *flow, &**target), (0, None, "/wmsiislog.dll"));
        let words: Vec<&str> = LINE.split_ascii_whitespace().collect();
        assert_eq!(*log, ClientLog::W3c(words.join(" ")));
    }
}

// WMLOG-26
#[test]
fn line_ends_in_a_posted_log_make_no_second_line() {
    let mut b = bench();
    let forged = LINE
        .replacen(" - ", "\r\n-\n", 2)
        .replace("en-US", "en\u{85}US");
    let (_, r) = b.ask(posting("", &web::body(&forged)));
    assert_eq!(r.status(), 200);
    let logs = b.logs();
    let log = logs[0];
    let ClientLog::W3c(line) = log else {
        panic!("{log:?}");
    };
    assert!(!line.contains(['\r', '\n', '\t']));
    let entry = protocols::wmlog::parse(log).unwrap();
    let safe = |c: char| !c.is_control() && !c.is_whitespace();
    for field in protocols::wmlog::Field::ALL {
        assert!(
            entry.get(field).unwrap_or("").chars().all(safe),
            "{field:?}"
        );
    }
    // Two logs in one body are none.
    let two = format!("{}\r\n{}", web::body(LINE), web::body(LINE));
    let (_, r) = b.ask(posting("", &two));
    assert_eq!(r.status(), 400);
}

#[test]
fn what_is_no_log_is_refused() {
    let mut b = bench();
    let short = LINE.rsplit_once(' ').unwrap().0;
    for (body, status) in [
        (String::new(), 400),
        (LINE.to_owned(), 400),
        (web::body(""), 400),
        (web::body(short), 400),
        ("MX_STATS_LogLine".to_owned(), 400),
        (web::body(&"x".repeat(web::BODY_BYTES_MAX)), 413),
        (
            web::body(&LINE.replace("wmplayer.exe", &"w".repeat(9000))),
            413,
        ),
        (web::body(&"x".repeat(70_000)), 413),
    ] {
        let (_, r) = b.ask(posting("", &body));
        assert_eq!(r.status(), status, "{} bytes", body.len());
        assert_eq!(r.get("Connection"), Some("close"));
    }
    assert!(b.logs().is_empty());
    // Without a sink a POST is what it was.
    let mut b = Bench::new();
    let (_, r) = b.ask(posting("", &web::body(LINE)));
    assert_eq!(r.status(), 405);
}
