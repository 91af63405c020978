//! Sessions of MMSP while they last: pauses, many at a time, and the end of it all.

use crate::cores::{SESSIONS, counters};
use crate::need;
use crate::support::{
    Libmms, Recording, Relay, Remote, Running, Server, Side, TempDir, Tracks, assert_same, at_once,
    content, file_on_disk, mms, mplayer, packets, vlc, vlc_udp,
};
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Enough for VLC to be in the midst of `clip.wmv`.
const SOME_BYTES: usize = 60_000;

/// How often a side has said something.
fn said(recording: &Recording, side: Side, id: u32) -> usize {
    let ids = mms::ids(&recording.bytes(recording.last(), side));
    ids.into_iter().filter(|&said| said == id).count()
}

/// The bytes that a server has sent in a session, by TCP and by UDP.
fn received(recording: &Recording) -> usize {
    let datagrams = recording.datagrams(Side::Server);
    let by_udp: usize = datagrams.iter().map(|d| d.len()).sum();
    by_udp + recording.bytes(recording.last(), Side::Server).len()
}

fn vlc_pauses_and_goes_on(scheme: &str) {
    let server = Server::shared();
    let relay = Relay::to(server.mms_address());
    let mut player = Remote::start(&relay.url(scheme, "vod/clip.wmv"), LIMIT);
    relay.wait_for("media", LIMIT, |r| {
        (received(r) >= SOME_BYTES).then_some(())
    });
    player.tell("pause");
    let heard = |side, id, times| move |r: &Recording| (said(r, side, id) >= times).then_some(());
    relay.wait_for("stop", LIMIT, heard(Side::Player, mms::STOP_PLAYING, 1));
    relay.wait_for("its end", LIMIT, heard(Side::Server, mms::END_OF_STREAM, 1));
    player.tell("pause");
    relay.wait_for("start", LIMIT, heard(Side::Player, mms::START_PLAYING, 2));
    // It stops once more before it starts, and takes the second answer for the end of all: what counts
    // is that every request of it is answered in order, and that it ends.
    player.finish(LIMIT);
    let said = relay.look(|r| mms::ids(&r.bytes(r.last(), Side::Server)));
    let started = said
        .iter()
        .position(|&id| id == mms::REPORT_STARTED_PLAYING)
        .expect("started");
    let after = [
        mms::END_OF_STREAM,
        mms::END_OF_STREAM,
        mms::REPORT_STARTED_PLAYING,
    ];
    assert!(
        said[started + 1..].starts_with(&after),
        "{scheme}: {said:x?}"
    );
}

// MMSP-72, MMSP-86, MMSP-87
#[test]
fn vlc_pauses_and_goes_on_by_tcp() {
    need!(Vlc, Ffmpeg);
    vlc_pauses_and_goes_on("mmst");
}

// MMSP-72, MMSP-86, MMSP-87, MMSP-96
#[test]
fn vlc_pauses_and_goes_on_by_udp() {
    need!(Vlc, Ffmpeg);
    let _port = vlc_udp();
    vlc_pauses_and_goes_on("mmsu");
}

// MMSP-21
#[test]
fn many_players_at_a_time_on_both_cores() {
    need!(Ffmpeg, Libmms);
    let server = Server::start();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    let url = server.mms_url("mmst", "vod/clip.wmv");
    let play = |session: usize| -> Tracks {
        if session.is_multiple_of(2) {
            return packets(&url, &[]);
        }
        let (_dir, file) = Libmms::default().play(&url, LIMIT);
        packets(&file_on_disk(&file), &[])
    };
    // One connection a session: twice as many as over HTTP.
    let sessions: Vec<usize> = (0..2 * SESSIONS).collect();
    at_once(&sessions, |&session| {
        assert_same(&format!("session {session}"), &play(session), &want);
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

/// VLC would wait for ever, and busily, on a connection that is closed without EndOfStream. FFmpeg does
/// so with it too, and is not asked.
// MMSP-108
#[test]
fn a_stop_ends_the_players() {
    need!(Vlc, Mplayer, Libmms);
    let _port = vlc_udp();
    let mut server = Server::start();
    let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new()).collect();
    let relays: Vec<Relay> = (0..4).map(|_| Relay::to(server.mms_address())).collect();
    let mut commands = Vec::new();
    for (i, scheme) in [(0, "mmst"), (1, "mmsu")] {
        let mut command = vlc(&dirs[i]);
        command
            .args(["--demux", "dump", "--demuxdump-file"])
            .arg(dirs[i].file("dump.asf"))
            .arg(relays[i].url(scheme, "live"));
        commands.push(command);
    }
    let mut command = mplayer();
    command
        .args(["-dumpstream", "-dumpfile"])
        .arg(dirs[2].file("dump.asf"))
        .arg(relays[2].url("mmst", "live"));
    commands.push(command);
    let libmms = dirs[3].file("dump.asf");
    commands.push(Libmms::default().command(&relays[3].url("mmst", "live"), &libmms));
    let players: Vec<Running> = commands.iter_mut().map(Running::start).collect();
    for relay in &relays {
        relay.wait_for("media", LIMIT, |r| {
            let started = said(r, Side::Server, mms::REPORT_STARTED_PLAYING) > 0;
            (started && received(r) > 20_000).then_some(())
        });
    }
    let status = server.ringcast().terminate();
    assert!(status.success(), "{status}\n{}", server.ringcast().log());
    let ends: Vec<_> = players
        .into_iter()
        .map(|player| thread::spawn(move || player.finish(LIMIT)))
        .collect();
    for end in ends {
        end.join().expect("the player ends with the server");
    }
    for (i, relay) in relays.iter().enumerate() {
        let ids = relay.look(|r| mms::ids(&r.bytes(r.last(), Side::Server)));
        assert_eq!(
            ids.last(),
            Some(&mms::END_OF_STREAM),
            "player {i}: {ids:x?}"
        );
    }
}
