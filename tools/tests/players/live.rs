//! Broadcasts: a player joins at a key frame and then gets every payload, across the loop's seam.

use crate::need;
use crate::support::{
    Libmms, Server, TempDir, Tool, Tracks, at_once, content, decoded, file_on_disk, mplayer,
    packets, run, run_in_loop, run_until, shown_frames, vlc,
};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What a few seconds of `clip.wmv` come to, in bytes.
pub const FEW_SECONDS: usize = 200_000;

/// Fails unless each track of `got` is a gapless run of the looped file, at least `least` units long
/// where the file has more than that, and video begins with a key frame.
pub fn assert_joined_run(what: &str, got: &Tracks, name: &str, least: usize) {
    let file = packets(&file_on_disk(&content(name)), &[]);
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        file.keys().collect::<Vec<_>>(),
        "{what}: the tracks differ (got, want)"
    );
    for (track, units) in got {
        assert!(
            units.len() >= least,
            "{what}: only {} units of {track}",
            units.len()
        );
        let Some(start) = run_in_loop(units, &file[track]) else {
            panic!("{what}: {track} is no gapless run of the looped file");
        };
        assert!(
            file[track][start].key,
            "{what}: {track} begins with unit {start}, not a key frame"
        );
        assert!(
            units.is_sorted_by_key(|u| u.pts),
            "{what}: {track}: time goes back"
        );
    }
}

/// A recording cut off at some byte: its last units may be incomplete, so they do not count.
pub fn cut_off(mut tracks: Tracks) -> Tracks {
    for units in tracks.values_mut() {
        units.pop();
    }
    tracks
}

// ASF-57
#[test]
fn ffmpeg_receives_a_gapless_run_over_wmsp_and_http() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&["mmsh", "http"], |&scheme| {
        // Long enough to meet the seam of the loop wherever it joins.
        let got = packets(&server.url(scheme, "live"), &["-read_intervals", "%+9"]);
        assert_joined_run(scheme, &got, "clip.wmv", 100);
    });
}

#[test]
fn ffmpeg_receives_later_codecs_and_audio_alone() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(
        &[("modern", "modern.asf"), ("radio", "audio.wma")],
        |&(point, name)| {
            let got = packets(&server.url("mmsh", point), &["-read_intervals", "%+5"]);
            assert_joined_run(point, &got, name, 50);
        },
    );
}

#[test]
fn ffmpeg_decodes_the_frames_of_the_file() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&["mmsh", "http"], |&scheme| {
        let want = decoded(&file_on_disk(&content("clip.wmv")), &[], &[]);
        let got = decoded(&server.url(scheme, "live"), &[], &["-t", "5"]);
        let (got, want) = (&got["video 0"], &want["video 0"]);
        assert!(
            got.len() >= 60,
            "{scheme}: only {} frames in 5 s",
            got.len()
        );
        assert!(
            run_in_loop(got, want).is_some(),
            "{scheme}: frames are missing or damaged"
        );
    });
}

#[test]
fn vlc_demultiplexes_a_gapless_run() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    at_once(&["mmsh", "http"], |&scheme| {
        let dir = TempDir::new();
        let mut command = vlc(&dir);
        command.args(["--sout", "#std{access=file,mux=asf,dst=-}"]);
        command.arg(server.url(scheme, "live"));
        let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
        let file = dir.file("received.asf");
        fs::write(&file, bytes).expect("temporary directory");
        let got = cut_off(packets(&file_on_disk(&file), &[]));
        assert_joined_run(&format!("VLC by {scheme}"), &got, "clip.wmv", 40);
    });
}

#[test]
fn mplayer_shows_the_frames_of_the_file() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    at_once(&["mmshttp", "http"], |&scheme| {
        let dir = TempDir::new();
        let file = dir.file("frames.md5");
        let mut command = mplayer();
        command.args(["-benchmark", "-frames", "80", "-vo"]);
        command.arg(format!("md5sum:outfile={}", file.display()));
        run(command.arg(server.url(scheme, "live")), LIMIT);
        let got = shown_frames(&file);
        assert!(got.len() >= 75, "{scheme}: only {} frames", got.len());
        assert!(
            run_in_loop(&got, want).is_some(),
            "{scheme}: frames are missing or damaged"
        );
    });
}

#[test]
fn libmms_receives_a_gapless_run() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let play = Libmms {
        bytes_max: FEW_SECONDS as u64,
        ..Libmms::default()
    };
    let (_dir, file) = play.play(&server.url("mmsh", "live"), LIMIT);
    assert_joined_run(
        "libmms",
        &cut_off(packets(&file_on_disk(&file), &[])),
        "clip.wmv",
        40,
    );
}

#[test]
fn curl_and_wget_record_a_valid_file() {
    need!(Curl, Wget, Ffmpeg);
    let server = Server::shared();
    at_once(&[Tool::Curl, Tool::Wget], |&tool| {
        let mut command = crate::support::downloader(tool, &server.url("http", "live"));
        let dir = TempDir::new();
        let file = dir.file("received.asf");
        let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
        fs::write(&file, bytes).expect("temporary directory");
        assert_joined_run(
            &format!("{tool:?}"),
            &cut_off(packets(&file_on_disk(&file), &[])),
            "clip.wmv",
            40,
        );
    });
}
