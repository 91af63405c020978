//! Files played from beginning to end: every player gets every byte, at whatever speed.

use crate::need;
use crate::support::{
    Libmms, Server, TempDir, Tool, assert_same, at_once, content, decoded, download, ffmpeg,
    file_on_disk, mplayer, packets, run, run_in_loop, shown_frames, vlc_dump,
};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What FFmpeg can decode.
pub const DECODABLE: [&str; 6] = [
    "clip.wmv",
    "audio.wma",
    "mbr.wmv",
    "modern.asf",
    "mp3.asf",
    "captions.wmv",
];

/// Everything, also what nobody can decode.
pub const ALL: [&str; 7] = [
    "clip.wmv",
    "audio.wma",
    "mbr.wmv",
    "modern.asf",
    "mp3.asf",
    "captions.wmv",
    "protected.wmv",
];

/// What has no alternative streams: a player that selects gets all of it.
pub const SINGLE_RATE: [&str; 6] = [
    "clip.wmv",
    "audio.wma",
    "modern.asf",
    "mp3.asf",
    "captions.wmv",
    "protected.wmv",
];

#[test]
fn ffmpeg_decodes_every_frame_over_wmsp() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&DECODABLE, |&name| {
        let want = decoded(&file_on_disk(&content(name)), &[], &[]);
        let got = decoded(&server.url("mmsh", &format!("vod/{name}")), &[], &[]);
        assert_same(name, &got, &want);
    });
}

#[test]
fn ffmpeg_receives_every_payload_over_wmsp() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&ALL, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let got = packets(&server.url("mmsh", &format!("vod/{name}")), &[]);
        assert_same(name, &got, &want);
    });
}

#[test]
fn ffmpeg_decodes_every_frame_of_a_download() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&DECODABLE, |&name| {
        let want = decoded(&file_on_disk(&content(name)), &[], &[]);
        let got = decoded(&server.url("http", &format!("vod/{name}")), &[], &[]);
        assert_same(name, &got, &want);
    });
}

#[test]
fn vlc_receives_every_payload_over_wmsp() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let (_dir, file) = vlc_dump(&server.url("mmsh", &format!("vod/{name}")), &[], LIMIT);
        assert_same(name, &packets(&file_on_disk(&file), &[]), &want);
    });
}

#[test]
fn vlc_downloads_the_file_itself_over_http() {
    need!(Vlc);
    let server = Server::shared();
    at_once(&["clip.wmv", "protected.wmv"], |&name| {
        let (_dir, file) = vlc_dump(&server.url("http", &format!("vod/{name}")), &[], LIMIT);
        assert_identical(name, &fs::read(file).expect("VLC wrote it"));
    });
}

#[test]
fn mplayer_receives_every_payload_over_wmsp_and_http() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        for scheme in ["mmshttp", "http"] {
            let dir = TempDir::new();
            let file = dir.file("dump.asf");
            let mut command = mplayer();
            command
                .args(["-dumpstream", "-dumpfile"])
                .arg(&file)
                .arg(server.url(scheme, &format!("vod/{name}")));
            run(&mut command, LIMIT);
            assert_same(
                &format!("{name} by {scheme}"),
                &packets(&file_on_disk(&file), &[]),
                &want,
            );
        }
    });
}

#[test]
fn mplayer_shows_every_frame_over_wmsp() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let dir = TempDir::new();
    let file = dir.file("frames.md5");
    let mut command = mplayer();
    command.args([
        "-benchmark",
        "-vo",
        &format!("md5sum:outfile={}", file.display()),
    ]);
    run(command.arg(server.url("mmshttp", "vod/clip.wmv")), LIMIT);
    let got = shown_frames(&file);
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    // MPlayer does not show the last frame of any input.
    assert_eq!(got.len(), want.len() - 1, "the number of frames");
    assert_eq!(
        run_in_loop(&got, want),
        Some(0),
        "frames are missing or damaged"
    );
}

#[test]
fn libmms_receives_every_payload() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let (_dir, file) =
            Libmms::default().play(&server.url("mmsh", &format!("vod/{name}")), LIMIT);
        assert_same(name, &packets(&file_on_disk(&file), &[]), &want);
    });
}

#[test]
fn curl_downloads_the_file_itself() {
    need!(Curl);
    downloads_are_identical(Tool::Curl);
}

#[test]
fn wget_downloads_the_file_itself() {
    need!(Wget);
    downloads_are_identical(Tool::Wget);
}

fn downloads_are_identical(tool: Tool) {
    let server = Server::shared();
    at_once(&ALL, |&name| {
        assert_identical(
            name,
            &download(tool, &server.url("http", &format!("vod/{name}")), LIMIT),
        );
    });
}

fn assert_identical(name: &str, got: &[u8]) {
    let want = fs::read(content(name)).expect("bundled content");
    assert_eq!(
        got.len(),
        want.len(),
        "{name}: the size differs (got, want)"
    );
    if let Some(at) = (0..want.len()).find(|&i| got[i] != want[i]) {
        panic!(
            "{name}: byte {at} is {:#04x} and should be {:#04x}",
            got[at], want[at]
        );
    }
}

// WMSP-125
#[test]
fn what_is_not_there_is_refused_at_once() {
    need!(Curl, Ffmpeg);
    let server = Server::shared();
    for path in [
        "vod/none.wmv",
        "none",
        "vod/%2e%2e/Cargo.toml",
        "vod/../Cargo.toml",
    ] {
        let url = server.url("http", path);
        for agent in ["curl", "NSPlayer/4.1.0.3856", "NSPlayer/12.0.0.1"] {
            let mut curl = std::process::Command::new("curl");
            curl.args([
                "--silent",
                "--noproxy",
                "*",
                "--path-as-is",
                "--max-time",
                "10",
                "--output",
                "/dev/null",
            ]);
            curl.args(["--write-out", "%{http_code}", "--user-agent", agent, &url]);
            let out = run(&mut curl, LIMIT);
            let status = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(
                ["400", "403", "404"].contains(&status.as_str()),
                "{path} for {agent}: {status}"
            );
        }
    }
    let mut command = ffmpeg();
    command.args(["-i", &server.url("mmsh", "vod/none.wmv"), "-f", "null", "-"]);
    let out = run(&mut command, LIMIT);
    assert!(
        !out.status.success(),
        "ffmpeg plays a file that is not there"
    );
}
