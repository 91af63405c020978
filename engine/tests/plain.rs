//! Clients that speak HTTP and nothing else: downloads, ranges, listening to a broadcast, documents.

mod support;

use engine::Server;
use protocols::asf::{Header, header_len};
use support::asf::{Clip, SHORT, said};
use support::client::*;
use support::*;

/// More than a connection's buffers take at once.
const LARGE: Clip = Clip {
    packet_size: 8000,
    packets: 300,
    interval: 20,
    key_every: 10,
    preroll: 100,
    seed: 11,
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "content"
max_age = "1h"
[[point]]
name = "one"
kind = "on-demand"
source = "content/short.wmv"
[[point]]
name = "live"
kind = "broadcast"
source = "content/short.wmv"
cadence = "20ms"
[[point]]
name = "off"
kind = "on-demand"
source = "content"
enabled = false
[[point]]
name = "away"
kind = "on-demand"
source = "content"
redirect = "http://other.test:81/there"
"#;

fn serving(name: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    let content = folder.0.join("content");
    std::fs::create_dir(&content).expect("a folder");
    std::fs::write(content.join("short.wmv"), SHORT.bytes()).expect("a clip");
    std::fs::write(content.join("large & loud.wma"), LARGE.bytes()).expect("a clip");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

fn get(path: &str, lines: &[&str]) -> String {
    request("curl/8.5.0", &format!("GET {path}"), lines)
}

const LARGE_PATH: &str = "/vod/large%20%26%20loud.wma";

#[test]
fn files_are_downloaded_whole_and_in_parts() {
    let (_folder, server) = serving("plain-get");
    let at = http(&server);
    let file = LARGE.bytes();
    let len = file.len();
    // All on one connection.
    let mut client = Client::connect(at);
    client.send(&get(LARGE_PATH, &[]));
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.head);
    assert_eq!(reply.header("Content-Type"), Some("audio/x-ms-wma"));
    assert_eq!(reply.header("Accept-Ranges"), Some("bytes"));
    assert_eq!(reply.header("Cache-Control"), Some("max-age=3600"));
    assert_eq!(reply.pragma("client-id"), None, "no session");
    assert!(client.body() == file, "byte for byte");
    let etag = reply.header("Etag").expect("a tag").to_owned();
    let date = reply.header("Last-Modified").expect("a date").to_owned();

    client.send(&request("curl/8.5.0", &format!("HEAD {LARGE_PATH}"), &[]));
    let head = client.reply();
    client.no_body();
    for name in ["Content-Length", "Etag", "Last-Modified", "Content-Type"] {
        assert_eq!(head.header(name), reply.header(name), "{name}");
    }

    let last = len - 1;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=100-299".to_owned(), 100, 299),
        ("bytes=300000-".to_owned(), 300_000, last),
        ("bytes=-777".to_owned(), len - 777, last),
        (format!("bytes=5-{}", len * 2), 5, last),
    ] {
        client.send(&get(LARGE_PATH, &[&format!("Range: {range}")]));
        let reply = client.reply();
        assert_eq!(reply.status, 206, "{range}");
        let said = format!("bytes {from}-{to}/{len}");
        assert_eq!(reply.header("Content-Range"), Some(&*said));
        assert!(client.body() == file[from..=to], "{range}");
    }
    client.send(&get(LARGE_PATH, &[&format!("Range: bytes={len}-")]));
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.header("Content-Range")),
        (416, Some(&*format!("bytes */{len}")))
    );
    client.body();

    for (condition, status) in [
        (format!("If-None-Match: {etag}"), 304),
        ("If-None-Match: \"another\"".to_owned(), 200),
        (format!("If-Modified-Since: {date}"), 304),
        (
            "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
            200,
        ),
    ] {
        client.send(&get(LARGE_PATH, &[&condition]));
        let reply = client.reply();
        assert_eq!(reply.status, status, "{condition}");
        assert_eq!(reply.header("Etag"), Some(&*etag));
        assert_eq!(client.body().len(), if status == 200 { len } else { 0 });
    }
    let ranged = [&*format!("If-Range: {etag}"), "Range: bytes=0-9"];
    client.send(&get(LARGE_PATH, &ranged));
    assert_eq!(client.reply().status, 206);
    client.body();
    client.send(&get(
        LARGE_PATH,
        &["If-Range: \"another\"", "Range: bytes=0-9"],
    ));
    assert_eq!(client.reply().status, 200, "another version: all of it");
    client.body();

    // HTTP/1.0: closed at the end. Several requests in one write: answered in their order.
    let old = get("/one", &[]).replace("HTTP/1.1", "HTTP/1.0");
    let (mut one, reply) = Client::ask(at, &old);
    assert_eq!(reply.header("Connection"), Some("close"));
    assert!(one.body() == SHORT.bytes() && one.closes());
    let mut many = Client::connect(at);
    many.send(
        &(get("/one", &[]) + &get("/vod/none.wmv", &[]) + &get(LARGE_PATH, &["Range: bytes=1-2"])),
    );
    assert_eq!(
        (many.reply().status, many.body().len()),
        (200, SHORT.bytes().len())
    );
    assert_eq!(many.reply().status, 404);
    many.body();
    assert_eq!(
        (many.reply().status, many.body()),
        (206, file[1..=2].to_vec())
    );
    until("nobody is left", || server.metrics().totals().sessions == 0);
    server.stop();
}

// WMSP-37
#[test]
fn a_broadcast_can_be_listened_to_and_saved() {
    let (_folder, server) = serving("plain-live");
    let at = http(&server);
    let old = get("/live", &[]).replace("HTTP/1.1", "HTTP/1.0");
    for (request, chunked) in [(get("/live", &[]), Some("chunked")), (old, None)] {
        let (mut client, reply) = Client::ask(at, &request);
        assert_eq!(reply.status, 200, "{}", reply.head);
        assert_eq!(reply.header("Transfer-Encoding"), chunked);
        assert_eq!(reply.header("Content-Length"), None);
        // A header and 30 packets: more than the file has.
        let saved = client.part(SHORT.head().len() + 30 * SHORT.packet_size);
        let blob = header_len(&saved).expect("a header") as usize;
        let header = Header::parse(&saved[..blob]).expect("a header");
        assert!(header.is_broadcast());
        assert_eq!(header.packet_size() as usize, SHORT.packet_size);
        let mut sent = None;
        for packet in saved[blob..].chunks_exact(SHORT.packet_size) {
            let packet = said(packet, SHORT.packet_size);
            assert!(packet.payloads.iter().all(|p| !p.data.0.is_empty()));
            assert!(
                sent.is_none_or(|last| packet.send == last + SHORT.interval),
                "one after another"
            );
            sent = Some(packet.send);
        }
        assert!(sent.is_some());
    }
    let (mut client, reply) = Client::ask(at, &request("curl/8.5.0", "HEAD /live", &[]));
    client.no_body();
    assert_eq!((reply.status, reply.header("Content-Length")), (200, None));
    until("nobody is left", || server.metrics().totals().sessions == 0);
    server.stop();
}

// PL-01
#[test]
fn documents_name_what_there_is_by_the_name_that_was_asked_for() {
    let (_folder, server) = serving("plain-documents");
    let at = http(&server);
    let text = |path: &str| {
        let (mut client, reply) = Client::ask(at, &get(path, &[]));
        let body = String::from_utf8(client.body()).expect("text");
        (reply, body)
    };
    for (path, urls) in [
        (
            "/live.asx",
            &["http://ringcast.test/live\"", "mms://ringcast.test/live\""][..],
        ),
        ("/one.asx", &["http://ringcast.test/one\""]),
        (
            "/vod/short.wmv.asx",
            &["http://ringcast.test/vod/short.wmv\""],
        ),
        (
            "/vod.asx",
            &[
                "http://ringcast.test/vod/short.wmv\"",
                "http://ringcast.test/vod/large%20%26%20loud.wma\"",
            ],
        ),
    ] {
        let (reply, body) = text(path);
        assert_eq!(
            (reply.status, reply.header("Content-Type")),
            (200, Some("video/x-ms-asf")),
            "{path}"
        );
        assert!(body.starts_with("<ASX VERSION=\"3.0\">"), "{body}");
        for url in urls {
            assert!(body.contains(url), "{path}: {url} in {body}");
        }
    }
    for path in ["/none.asx", "/vod/none.wmv.asx", "/vod/.asx", "/.asx"] {
        assert_eq!(text(path).0.status, 404, "{path}");
    }
    let (reply, page) = text("/");
    assert_eq!(reply.status, 200);
    assert!(
        page.contains("/live") && page.contains("large%20%26%20loud.wma") && !page.contains("/off")
    );
    // The host of a request goes into documents only if it is one.
    let evil = "GET /live.asx HTTP/1.1\r\nHost: a\"><script>\r\n\r\n";
    let (mut client, reply) = Client::ask(at, evil);
    let body = String::from_utf8(client.body()).expect("text");
    assert!(reply.status >= 400 || !body.contains("script"), "{body}");
    server.stop();
}

// WMSP-50, WMSP-51
#[test]
fn points_that_are_off_or_elsewhere_say_so() {
    let (_folder, server) = serving("plain-elsewhere");
    let at = http(&server);
    for request in [get("/off/short.wmv", &[]), describe("/off/short.wmv")] {
        assert_eq!(Client::ask(at, &request).1.status, 503);
    }
    for request in [
        get("/away/a.wmv", &[]),
        describe("/away/a.wmv"),
        play("/away/a.wmv", None, &[1], ""),
    ] {
        let (_, reply) = Client::ask(at, &request);
        assert_eq!(reply.status, 302);
        assert_eq!(
            reply.header("Location"),
            Some("http://other.test:81/there/a.wmv")
        );
    }
    for method in ["PUT", "DELETE", "BREW", "TRACE", "CONNECT"] {
        let (_, reply) = Client::ask(
            at,
            &request("curl/8", &format!("{method} /vod/short.wmv"), &[]),
        );
        assert!(
            [405, 501].contains(&reply.status),
            "{method}: {}",
            reply.status
        );
        assert!(reply.header("Allow").is_some());
    }
    server.stop();
}
