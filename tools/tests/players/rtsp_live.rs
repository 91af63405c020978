//! Broadcasts over RTSP: a player joins at a key frame and then gets every payload, across the loop's
//! seam, and the end of the server is the end of every player.

use crate::cores::{SESSIONS, counters};
use crate::live::{FEW_SECONDS, assert_joined_run, cut_off};
use crate::need;
use crate::rtsp_play::{LIMIT, TRANSPORTS, by_both, received};
use crate::support::{
    Running, Server, TempDir, assert_same, at_once, content, decoded, ffmpeg, file_on_disk,
    gst_launch, mplayer, packets, run, run_in_loop, run_until, shown_frames,
};
use std::fs;
use std::time::Duration;

// RTSP-98, RTSP-136
#[test]
fn ffmpeg_receives_a_gapless_run() {
    need!(Ffmpeg);
    let server = Server::shared();
    let points = [
        ("live", "clip.wmv", "%+9"),
        ("modern?format=wme", "modern.asf", "%+5"),
        ("radio", "audio.wma", "%+5"),
    ];
    at_once(
        &by_both(&points),
        |&((point, name, interval), transport)| {
            let url = server.rtsp_url(point);
            let got = received(&url, transport, &["-read_intervals", interval]);
            assert_joined_run(&format!("{point} by {transport}"), &got, name, 50);
        },
    );
}

#[test]
fn ffmpeg_decodes_the_frames_of_the_file() {
    need!(Ffmpeg);
    let server = Server::shared();
    let points = [("live", "clip.wmv"), ("modern", "modern.asf")];
    at_once(&by_both(&points), |&((point, name), transport)| {
        let what = format!("{point} by {transport}");
        let want = &decoded(&file_on_disk(&content(name)), &[], &[])["video 0"];
        let url = server.rtsp_url(point);
        let got = decoded(&url, &["-rtsp_transport", transport], &["-t", "5"]);
        let got = &got["video 0"];
        assert!(got.len() >= 50, "{what}: {} frames in 5 s", got.len());
        assert!(run_in_loop(got, want).is_some(), "{what}: damaged frames");
    });
}

// RTSP-98, RTSP-137
#[test]
fn gstreamer_receives_a_gapless_run() {
    need!(Gstreamer, Ffmpeg);
    let server = Server::shared();
    at_once(&TRANSPORTS, |transport| {
        let branch = ["!", "rtpasfdepay", "!", "fdsink", "fd=1"];
        let mut command = gst_launch(&server.rtsp_url("live"), transport, &branch);
        let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
        let dir = TempDir::new();
        let file = dir.file("received.asf");
        fs::write(&file, bytes).expect("temporary directory");
        let got = cut_off(packets(&file_on_disk(&file), &[]));
        assert_joined_run(&format!("GStreamer by {transport}"), &got, "clip.wmv", 40);
    });
}

#[test]
fn mplayer_shows_the_frames_of_the_file() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    at_once(&[&[][..], &["-rtsp-stream-over-tcp"]], |args| {
        let dir = TempDir::new();
        let file = dir.file("frames.md5");
        let mut command = mplayer();
        command.args(*args);
        command.args(["-benchmark", "-frames", "80", "-vo"]);
        command.arg(format!("md5sum:outfile={}", file.display()));
        run(command.arg(server.rtsp_url("live")), LIMIT);
        let got = shown_frames(&file);
        assert!(got.len() >= 75, "{args:?}: only {} frames", got.len());
        assert!(run_in_loop(&got, want).is_some(), "{args:?}: damaged");
    });
}

#[test]
fn many_players_at_a_time_on_both_cores() {
    need!(Ffmpeg);
    let server = Server::start();
    let want = packets(&file_on_disk(&content("captions.wmv")), &[]);
    let url = server.rtsp_url("vod/captions.wmv");
    let sessions: Vec<usize> = (0..SESSIONS).collect();
    at_once(&sessions, |&session| {
        let transport = TRANSPORTS[session % 2];
        let got = received(&url, transport, &[]);
        assert_same(&format!("session {session}"), &got, &want);
    });
    for family in ["ringcast_accepts_total", "ringcast_sends_total"] {
        let by_core = counters(&server, family);
        assert!(
            by_core.len() == 2 && by_core.values().all(|&n| n > 0),
            "{family}: a core did nothing: {by_core:?}"
        );
    }
}

// RTSP-112, RTSP-139
#[test]
fn a_stop_ends_every_player() {
    /// By when all of them are in the middle of it.
    const PLAYING: usize = 20_000;
    need!(Ffmpeg, Gstreamer);
    let mut server = Server::start();
    let mut players: Vec<(String, Running)> = Vec::new();
    for transport in TRANSPORTS {
        let url = server.rtsp_url("live");
        let mut command = ffmpeg();
        command.args(["-rtsp_transport", transport, "-i", &url]);
        command.args(["-c", "copy", "-f", "data", "-map", "0:v", "-"]);
        players.push((
            format!("ffmpeg by {transport}"),
            Running::start(&mut command),
        ));
        let branch = ["!", "rtpasfdepay", "!", "fdsink", "fd=1"];
        let mut command = gst_launch(&url, transport, &branch);
        let name = format!("GStreamer by {transport}");
        players.push((name, Running::start(&mut command)));
    }
    for (_, player) in &mut players {
        player.wait_written(PLAYING, LIMIT);
    }
    let status = server.ringcast().terminate();
    assert!(status.success(), "{status}\n{}", server.ringcast().log());
    for (name, player) in players {
        let out = player.finish(Duration::from_secs(30));
        assert!(out.stdout.len() >= PLAYING, "{name}");
    }
}
