//! Positions: each player's own way to ask for one.

use crate::need;
use crate::support::{
    Libmms, Server, TempDir, Tracks, Unit, at_once, content, decoded, file_on_disk, packets, run,
    vlc,
};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The preroll that ffmpeg's muxer writes; libmms adds it to the time it asks for.
pub const PREROLL_MS: i64 = 3100;

/// The packet size that ffmpeg's muxer writes.
pub const PACKET_SIZE: u64 = 3200;

/// Where in `file` the run `got`, which must go on to the file's end, begins.
pub fn tail_start(what: &str, got: &[Unit], file: &[Unit]) -> usize {
    let start = file
        .len()
        .checked_sub(got.len())
        .unwrap_or_else(|| panic!("{what}: more units than the file has"));
    let same = got
        .iter()
        .zip(&file[start..])
        .all(|(a, b)| a.hash == b.hash);
    assert!(same && !got.is_empty(), "{what}: not the rest of the file");
    start
}

/// Where in `file` the gapless run `got`, a second at least, begins.
pub fn run_start(what: &str, got: &[Unit], file: &[Unit]) -> usize {
    assert!(got.len() >= 15, "{what}: only {} units", got.len());
    (0..=file.len() - got.len())
        .find(|&at| got.iter().zip(&file[at..]).all(|(a, b)| a.hash == b.hash))
        .unwrap_or_else(|| panic!("{what}: no gapless run of the file"))
}

pub fn clip() -> Tracks {
    packets(&file_on_disk(&content("clip.wmv")), &[])
}

/// The last key frame of `file` at or before `asked` ms, which is where a seek must begin.
pub fn key_frame_before(file: &[Unit], asked: i64) -> usize {
    file.iter()
        .rposition(|u| u.key && u.pts <= asked)
        .unwrap_or(0)
}

// WMSP-59
#[test]
fn ffmpeg_seeks_to_the_key_frame_before() {
    need!(Ffmpeg);
    let server = Server::shared();
    let file = clip();
    at_once(&[500, 2500, 3900, 4500], |&asked| {
        let what = format!("from {asked} ms");
        // Not to the end: after a seek FFmpeg counts bytes from the wrong place and stops early.
        let interval = format!("{}%+2", asked as f64 / 1000.0);
        let got = packets(
            &server.url("mmsh", "vod/clip.wmv"),
            &["-read_intervals", &interval],
        );
        let start = run_start(&what, &got["video 0"], &file["video 0"]);
        assert_eq!(
            start,
            key_frame_before(&file["video 0"], asked),
            "{what}: the first frame's number"
        );
        let start = run_start(&what, &got["audio 0"], &file["audio 0"]);
        let first = file["audio 0"][start].pts;
        assert!(
            first <= asked && first >= asked - 3000,
            "{what}: audio begins at {first} ms"
        );
    });
}

// WMSP-59
#[test]
fn ffmpeg_decodes_the_frames_after_a_seek() {
    need!(Ffmpeg);
    let server = Server::shared();
    let file = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    let keys = &clip()["video 0"];
    at_once(&[2500_i64, 4500], |&asked| {
        let what = format!("from {asked} ms");
        let position = format!("{}", asked as f64 / 1000.0);
        let url = server.url("mmsh", "vod/clip.wmv");
        let got = decoded(&url, &["-noaccurate_seek", "-ss", &position], &["-t", "2"]);
        let start = run_start(&what, &got["video 0"], file);
        assert_eq!(
            start,
            key_frame_before(keys, asked),
            "{what}: the first frame's number"
        );
    });
}

// WMSP-59
#[test]
fn libmms_seeks_by_time_to_a_key_frame() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let file = clip();
    at_once(&[0.0, 1.0, 2.5], |&seconds| {
        let what = format!("from {seconds} s");
        let seek = Libmms {
            seek_time: Some(seconds),
            ..Libmms::default()
        };
        let (_dir, received) = seek.play(&server.url("mmsh", "vod/clip.wmv"), LIMIT);
        let got = packets(&file_on_disk(&received), &[]);
        let start = tail_start(&what, &got["video 0"], &file["video 0"]);
        // libmms asks for the time with the preroll added, which servers take as it stands.
        let key = key_frame_before(&file["video 0"], (seconds * 1000.0) as i64 + PREROLL_MS);
        assert_eq!(start, key, "{what}: the first frame's number");
    });
}

// WMSP-59
#[test]
fn libmms_seeks_by_offset() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let bytes = fs::read(content("clip.wmv")).expect("bundled content");
    let header = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")) + 50;
    let file = clip();
    let offset = header + 50 * PACKET_SIZE;
    let seek = Libmms {
        seek_offset: Some(offset),
        ..Libmms::default()
    };
    let (_dir, received) = seek.play(&server.url("mmsh", "vod/clip.wmv"), LIMIT);
    let got = packets(&file_on_disk(&received), &[]);
    for track in ["video 0", "audio 0"] {
        let start = tail_start(track, &got[track], &file[track]);
        let (least, most) = (file[track].len() / 4, file[track].len() / 2);
        assert!(
            (least..=most).contains(&start),
            "{track} begins at {start} of {}",
            file[track].len()
        );
    }
}

#[test]
fn vlc_starts_in_the_middle() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    let dir = TempDir::new();
    let mut command = vlc(&dir);
    command.args([
        "--start-time",
        "4",
        "--sout",
        "#std{access=file,mux=asf,dst=-}",
    ]);
    command.arg(server.url("mmsh", "vod/clip.wmv"));
    let out = run(&mut command, LIMIT);
    let received = dir.file("received.asf");
    fs::write(&received, out.stdout).expect("temporary directory");
    let got = &packets(&file_on_disk(&received), &[])["video 0"];
    let file = &clip()["video 0"];
    let start = run_start("VLC", got, file);
    // VLC's muxer does not write the last frames of any input.
    assert!(
        start + got.len() >= file.len() - 5,
        "VLC ends at frame {}",
        start + got.len()
    );
    // It looks for a key frame near the byte position that it guesses from the time.
    assert!(
        file[start].key && (30..=60).contains(&start),
        "VLC begins with frame {start}"
    );
}
