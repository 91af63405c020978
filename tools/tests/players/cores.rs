//! Sessions whose connections land on different cores, many at a time, and the end of it all.

use crate::need;
use crate::support::wire::{begin, client_id};
use crate::support::{
    Libmms, Server, Tracks, assert_same, content, file_on_disk, packets, run_in_loop,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// With two connections a session and two cores the chance that all land on one is one in 2^23.
pub const SESSIONS: usize = 12;

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
pub fn counters(server: &Server, family: &str) -> BTreeMap<String, u64> {
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
    const AGENT: &str = "NSPlayer/11.0.0.1";
    let server = Server::start();
    for _ in 0..SESSIONS {
        let (described, _) = begin(&server, "GET /live", AGENT, &["Pragma: no-cache"]);
        let id = client_id(&described).expect("a client-id");
        let token = format!("Pragma: client-id={id}");
        let play = [
            &token,
            "Pragma: xPlayStrm=1",
            "Pragma: stream-switch-count=2",
            "Pragma: stream-switch-entry=ffff:1:0 ffff:2:0",
        ];
        let (played, mut media) = begin(&server, "GET /live", AGENT, &play);
        assert!(played.starts_with("HTTP/1.0 200"), "{played}");
        assert_eq!(client_id(&played), Some(id), "{played}");
        assert!(!played.contains("xResetStrm"), "{played}");
        let mut byte = [0];
        media.read_exact(&mut byte).expect("a packet");
        assert_eq!(byte[0] & 0x7f, b'$');
        let keep = [&token, "Pragma: xKeepAliveInPause=1"];
        let (kept, _) = begin(&server, "POST /live", AGENT, &keep);
        assert!(kept.starts_with("HTTP/1.0 200"), "{kept}");
    }
    let (unknown, _) = begin(&server, "GET /live", AGENT, &["Pragma: client-id=1"]);
    assert!(unknown.contains("xResetStrm=1"), "{unknown}");
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
