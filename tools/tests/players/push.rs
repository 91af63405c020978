//! Live streams from encoders: pushed by our encoder, also out of FFmpeg's, and what players of every
//! protocol get of them, while encoders come and go, and through a chain of servers.

use crate::live::{FEW_SECONDS, assert_joined_run, cut_off};
use crate::need;
use crate::support::{
    Libmms, Running, Server, TempDir, at_once, content, decoded, ffmpeg, file_on_disk, gst_launch,
    mplayer, packets, run, run_in_loop, run_until, shown_frames, vlc,
};
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A point that is pushed to, beside the usual ones.
const STUDIO: &str = r#"
[[point]]
name = "studio"
kind = "broadcast"
source = "push:"
"#;

fn serving() -> Server {
    Server::start_with(TempDir::new(), STUDIO)
}

/// `clip.wmv`, over and over, in real time.
fn pushing(server: &Server) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    command.args(["push", "--loop"]);
    command.arg(server.url("http", "studio"));
    let encoder = Running::start(command.arg(content("clip.wmv")));
    server.wait_for_source("studio", "live");
    encoder
}

// WMHTTP-112: FFmpeg's own stream, encoded while it is pushed.
#[test]
fn ffmpeg_s_stream_reaches_players_of_every_protocol() {
    need!(Ffmpeg, Mplayer);
    let server = serving();
    let dir = TempDir::new();
    let script = format!(
        "ffmpeg -nostdin -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 \
         -f lavfi -i sine=frequency=440 -t 40 -c:v wmv2 -g 25 -b:v 300k -c:a wmav2 -b:a 64k \
         -f asf_stream - 2>'{log}' | '{ringcast}' push '{url}' -",
        log = dir.file("ffmpeg.log").display(),
        ringcast = env!("CARGO_BIN_EXE_ringcast"),
        url = server.url("http", "studio"),
    );
    let _encoder = Running::start(Command::new("sh").args(["-c", &script]));
    server.wait_for_source("studio", "live");
    let urls = [
        server.url("mmsh", "studio"),
        server.url("http", "studio"),
        server.mms_url("mmst", "studio"),
        server.rtsp_url("studio"),
    ];
    at_once(&urls, |url| {
        // Fails if a single packet cannot be decoded.
        let mut command = ffmpeg();
        command.args([
            "-v", "error", "-xerror", "-i", url, "-t", "4", "-f", "null", "-",
        ]);
        let output = run(&mut command, LIMIT);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && errors.is_empty(),
            "{url}: {errors}"
        );
    });
    let shown = dir.file("frames.md5");
    let mut command = mplayer();
    command.args(["-benchmark", "-frames", "60", "-vo"]);
    command.arg(format!("md5sum:outfile={}", shown.display()));
    run(command.arg(server.mms_url("mmst", "studio")), LIMIT);
    assert!(
        shown_frames(&shown).len() >= 55,
        "MPlayer showed too little"
    );
}

#[test]
fn ffmpeg_receives_what_was_pushed_without_a_gap() {
    need!(Ffmpeg);
    let server = serving();
    let _encoder = pushing(&server);
    let urls = [
        ("mmsh", server.url("mmsh", "studio")),
        ("http", server.url("http", "studio")),
        ("mmst", server.mms_url("mmst", "studio")),
        ("rtsp", server.rtsp_url("studio")),
    ];
    at_once(&urls, |(what, url)| {
        let got = packets(url, &["-read_intervals", "%+9"]);
        assert_joined_run(what, &got, "clip.wmv", 100);
    });
}

#[test]
fn other_players_receive_what_was_pushed_without_a_gap() {
    need!(Vlc, Mplayer, Libmms, Gstreamer, Ffmpeg);
    let server = serving();
    let _encoder = pushing(&server);
    for scheme in ["mmsh", "mmst"] {
        let dir = TempDir::new();
        let mut command = vlc(&dir);
        command.args(["--sout", "#std{access=file,mux=asf,dst=-}"]);
        command.arg(match scheme {
            "mmsh" => server.url(scheme, "studio"),
            _ => server.mms_url(scheme, "studio"),
        });
        let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
        received(&format!("VLC by {scheme}"), &bytes);
    }
    let play = Libmms {
        bytes_max: FEW_SECONDS as u64,
        ..Libmms::default()
    };
    let (_dir, file) = play.play(&server.mms_url("mmst", "studio"), LIMIT);
    let got = cut_off(packets(&file_on_disk(&file), &[]));
    assert_joined_run("libmms", &got, "clip.wmv", 40);
    let branch = ["!", "rtpasfdepay", "!", "fdsink", "fd=1"];
    let mut command = gst_launch(&server.rtsp_url("studio"), "tcp", &branch);
    let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
    received("GStreamer", &bytes);
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    let dir = TempDir::new();
    let shown = dir.file("frames.md5");
    let mut command = mplayer();
    command.args(["-benchmark", "-frames", "80", "-vo"]);
    command.arg(format!("md5sum:outfile={}", shown.display()));
    run(command.arg(server.url("mmshttp", "studio")), LIMIT);
    let got = shown_frames(&shown);
    assert!(got.len() >= 75, "MPlayer: only {} frames", got.len());
    assert!(run_in_loop(&got, want).is_some(), "MPlayer: damaged frames");
}

fn received(what: &str, bytes: &[u8]) {
    let dir = TempDir::new();
    let file = dir.file("received.asf");
    fs::write(&file, bytes).expect("temporary directory");
    let got = cut_off(packets(&file_on_disk(&file), &[]));
    assert_joined_run(what, &got, "clip.wmv", 40);
}

// WMHTTP-94: an encoder is killed and started again; FFmpeg plays on.
#[test]
fn a_killed_encoder_comes_back_and_ffmpeg_plays_on() {
    need!(Ffmpeg);
    let server = serving();
    let encoder = pushing(&server);
    let mut command = ffmpeg();
    command.args(["-v", "error", "-i", &server.url("mmsh", "studio")]);
    command.args(["-map", "0:v", "-t", "14", "-f", "framemd5", "-"]);
    let mut player = Running::start(&mut command);
    player.wait_written(4000, LIMIT);
    drop(encoder);
    server.wait_for_source("studio", "lost");
    let _again = pushing(&server);
    // It ends by itself once it has seen 14 s of pictures, most of them of the second encoder's.
    let output = player.finish(LIMIT);
    let text = String::from_utf8_lossy(&output.stdout);
    let frames = text.lines().filter(|l| !l.starts_with('#')).count();
    assert!(frames >= 150, "only {frames} frames");
}

/// Encoder, origin, relay, player: what comes out is what went in.
#[test]
fn a_chain_of_servers_passes_everything_on() {
    need!(Ffmpeg);
    let origin = serving();
    let _encoder = pushing(&origin);
    let points = [
        ("by-wmsp", origin.url("http", "studio")),
        ("by-mms", origin.mms_url("mms", "studio")),
        ("by-rtsp", origin.rtsp_url("studio")),
    ];
    let more: String = points
        .iter()
        .map(|(name, url)| {
            format!("[[point]]\nname = \"{name}\"\nkind = \"broadcast\"\nsource = \"{url}\"\n")
        })
        .collect();
    let relay = Server::start_with(TempDir::new(), &more);
    at_once(&points, |(name, _)| {
        let got = packets(&relay.mms_url("mmst", name), &["-read_intervals", "%+9"]);
        assert_joined_run(name, &got, "clip.wmv", 100);
    });
}
