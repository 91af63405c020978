//! Streams, positions and names over RTSP: what players choose, and what is refused.

use crate::need;
use crate::rtsp_play::{LIMIT, by_both, sink};
use crate::seek::{key_frame_before, run_start};
use crate::support::{
    Relay, Server, Side, TempDir, at_once, content, decoded, ffmpeg, file_on_disk, gst_launch,
    mplayer, packets, run, vlc,
};
use std::process::Command;

/// FFmpeg sets all streams up, and drops what nobody wants.
// RTSP-98
#[test]
fn ffmpeg_takes_one_of_several_rates() {
    need!(Ffmpeg);
    let server = Server::shared();
    let file = decoded(&file_on_disk(&content("mbr.wmv")), &[], &[]);
    at_once(&by_both(&[0, 1, 2]), |&(video, transport)| {
        let url = server.rtsp_url("vod/mbr.wmv");
        let mut command = ffmpeg();
        command.args(["-rtsp_transport", transport, "-i", &url]);
        command.args(["-map", &format!("0:v:{video}"), "-fps_mode", "passthrough"]);
        let out = run(command.args(["-f", "framemd5", "-"]), LIMIT);
        let text = String::from_utf8_lossy(&out.stdout);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let got: Vec<&str> = lines
            .filter_map(|line| line.rsplit(',').next().map(str::trim))
            .collect();
        let want = &file[&format!("video {video}")];
        let want: Vec<&str> = want.iter().map(|unit| unit.hash.as_str()).collect();
        assert!(!want.is_empty() && got == want, "{video} by {transport}");
    });
}

/// Where packets can be found by themselves, FFmpeg can do it.
// RTSP-67
#[test]
fn ffmpeg_seeks_among_single_codecs() {
    need!(Ffmpeg);
    let server = Server::shared();
    let file = &decoded(&file_on_disk(&content("modern.asf")), &[], &[])["video 0"];
    let keys = &packets(&file_on_disk(&content("modern.asf")), &[])["video 0"];
    at_once(&by_both(&[1500_i64, 2500]), |&(asked, transport)| {
        let what = format!("from {asked} ms by {transport}");
        let position = format!("{}", asked as f64 / 1000.0);
        let url = server.rtsp_url("vod/modern.asf");
        let input = [
            "-rtsp_transport",
            transport,
            "-noaccurate_seek",
            "-ss",
            &position,
        ];
        let got = &decoded(&url, &input, &[])["video 0"];
        let start = run_start(&what, got, file);
        assert_eq!(start, key_frame_before(keys, asked), "{what}");
        assert_eq!(start + got.len(), file.len(), "{what}: not to the end");
    });
}

const PLAYERS: [&str; 4] = ["ffmpeg", "GStreamer", "MPlayer", "VLC"];

fn player(name: &str, transport: &str, url: &str, dir: &TempDir) -> Command {
    let file = dir.file("received");
    match name {
        "ffmpeg" => {
            let mut command = ffmpeg();
            command.args(["-rtsp_transport", transport, "-i", url]);
            command.args(["-c", "copy", "-f", "data", "-y"]).arg(file);
            command
        }
        "GStreamer" => gst_launch(url, transport, &["!", "filesink", &sink(&file)]),
        "MPlayer" => {
            let mut command = mplayer();
            command.args(["-dumpstream", "-dumpfile"]).arg(file);
            command.arg(url);
            command
        }
        _ => {
            let mut command = vlc(dir);
            command.args(["--demux", "dump", "--demuxdump-file"]);
            command.arg(file).arg(url);
            command
        }
    }
}

fn assert_nothing(what: &str, dir: &TempDir) {
    let size = std::fs::metadata(dir.file("received")).map_or(0, |m| m.len());
    assert_eq!(size, 0, "{what}: it got something");
}

#[test]
fn a_name_that_is_not_there_ends_every_player() {
    need!(Ffmpeg, Gstreamer, Mplayer, Vlc);
    let server = Server::shared();
    at_once(&by_both(&PLAYERS), |&(name, transport)| {
        for path in ["vod/none.wmv", "none", "vod/../Cargo.toml"] {
            let what = format!("{name} {path} by {transport}");
            let dir = TempDir::new();
            let url = server.rtsp_url(path);
            let out = run(&mut player(name, transport, &url, &dir), LIMIT);
            assert_nothing(&what, &dir);
            // The others end as they always end.
            if ["ffmpeg", "GStreamer"].contains(&name) {
                assert!(!out.status.success(), "{what}: {}", out.status);
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(said.contains("404"), "{what}: {said}");
            }
        }
    });
    assert!(server.admin("/readyz").is_some());
}

/// Its module of that name speaks to receivers of satellites only.
#[test]
fn vlc_without_a_module_for_it_is_refused() {
    need!(Vlc);
    let server = Server::shared();
    let dir = TempDir::new();
    let relay = Relay::to(server.rtsp_address());
    let url = relay.url("rtsp", "vod/clip.wmv");
    run(&mut player("VLC", "", &url, &dir), LIMIT);
    assert_nothing("VLC", &dir);
    let said = relay.look(|r| r.bytes(0, Side::Server));
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("RTSP/1.0 4"), "not refused: {said}");
    assert!(!said.contains("Transport:"), "set up: {said}");
}

#[test]
fn other_transports_are_refused() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&["udp_multicast", "http"], |transport| {
        let dir = TempDir::new();
        let url = server.rtsp_url("vod/clip.wmv");
        let out = run(&mut player("ffmpeg", transport, &url, &dir), LIMIT);
        assert!(!out.status.success(), "{transport}: {}", out.status);
        assert_nothing(transport, &dir);
    });
}
