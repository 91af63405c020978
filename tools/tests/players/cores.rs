//! Sessions whose connections land on different cores, many at a time, and the end of it all.

use crate::need;
use crate::support::{
    Libmms, Server, Tracks, assert_same, content, file_on_disk, packets, run_in_loop,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// With two connections a session and two cores the chance that all land on one is one in 2^23.
const SESSIONS: usize = 12;

#[test]
fn many_players_at_a_time_on_both_cores() {
    need!(Ffmpeg, Libmms);
    let server = Server::start();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    let url = server.url("mmsh", "vod/clip.wmv");
    let play = |session: usize| -> Tracks {
        if session.is_multiple_of(2) {
            return packets(&url, &[]);
        }
        let (_dir, file) = Libmms::default().play(&url, LIMIT);
        packets(&file_on_disk(&file), &[])
    };
    thread::scope(|scope| {
        let (play, want) = (&play, &want);
        for session in 0..SESSIONS {
            scope.spawn(move || assert_same(&format!("session {session}"), &play(session), want));
        }
    });
    for family in ["ringcast_accepts_total", "ringcast_sends_total"] {
        let by_core = counters(&server, family);
        assert_eq!(by_core.len(), 2, "{family}: {by_core:?}");
        assert!(
            by_core.values().all(|&n| n > 0),
            "{family}: a core did nothing: {by_core:?}"
        );
    }
}

/// A family's value for each core.
fn counters(server: &Server, family: &str) -> BTreeMap<String, u64> {
    let text = server.admin("/metrics").expect("metrics");
    let prefix = format!("{family}{{core=\"");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "))
        .map(|(core, value)| (core.to_owned(), value.parse().expect("a whole number")))
        .collect()
}

// WMSP-42, WMSP-49
#[test]
fn a_session_is_found_from_whatever_core_a_connection_lands_on() {
    let server = Server::start();
    let address = server.url("", "").trim_matches(['/', ':']).to_owned();
    let ask = |line: &str, pragma: &str| -> (String, TcpStream) {
        let mut stream = TcpStream::connect(&address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket");
        let request = format!(
            "{line} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: NSPlayer/11.0.0.1\r\n\
             Pragma: no-cache\r\n{pragma}Content-Length: 0\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(
                stream.read(&mut byte).expect("an answer"),
                1,
                "cut: {}",
                String::from_utf8_lossy(&head)
            );
            head.push(byte[0]);
        }
        (String::from_utf8(head).expect("text"), stream)
    };
    for _ in 0..SESSIONS {
        let (described, _) = ask("GET /live", "");
        let id = client_id(&described).expect("a client-id");
        let token = format!("Pragma: client-id={id}\r\n");
        let (played, mut media) = ask(
            "GET /live",
            &format!(
                "{token}Pragma: xPlayStrm=1\r\nPragma: stream-switch-count=2\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n"
            ),
        );
        assert!(played.starts_with("HTTP/1.0 200"), "{played}");
        assert_eq!(client_id(&played), Some(id), "{played}");
        assert!(!played.contains("xResetStrm"), "{played}");
        let mut byte = [0];
        media.read_exact(&mut byte).expect("a packet");
        assert_eq!(byte[0] & 0x7f, b'$');
        let (kept, _) = ask(
            "POST /live",
            &format!("{token}Pragma: xKeepAliveInPause=1\r\n"),
        );
        assert!(kept.starts_with("HTTP/1.0 200"), "{kept}");
    }
    let (unknown, _) = ask("GET /live", "Pragma: client-id=1\r\n");
    assert!(unknown.contains("xResetStrm=1"), "{unknown}");
}

fn client_id(head: &str) -> Option<u32> {
    let digits = head.split_once("client-id=")?.1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[test]
fn a_stop_ends_broadcasts_in_order() {
    need!(Libmms, Ffmpeg);
    let mut server = Server::start();
    let url = server.url("mmsh", "live");
    let player = thread::spawn(move || {
        let (dir, file) = Libmms::default().play(&url, LIMIT);
        (dir, packets(&file_on_disk(&file), &[]))
    });
    let deadline = Instant::now() + LIMIT;
    while counters(&server, "ringcast_sends_total")
        .values()
        .sum::<u64>()
        == 0
    {
        assert!(Instant::now() < deadline, "no player came");
        thread::sleep(Duration::from_millis(20));
    }
    let status = server.ringcast().terminate();
    assert!(status.success(), "{status}\n{}", server.ringcast().log());
    let (_dir, got) = player.join().expect("the player ends with the server");
    let file = packets(&file_on_disk(&content("clip.wmv")), &[]);
    for (track, units) in &got {
        let whole = &units[..units.len() - 1]; // the end may come inside a frame
        assert!(
            run_in_loop(whole, &file[track]).is_some(),
            "{track} has gaps"
        );
    }
    assert!(got.contains_key("video 0"), "the player got nothing");
}
