//! Alternative bit rates: a player gets the streams it selected, whole, and no others.
//!
//! Which streams each player selects at which limit was taken from its own requests: the highest
//! video bit rate of `mbr.wmv` (40, 80, 130 kbit/s) that fits beside the audio (32 kbit/s).

use crate::need;
use crate::support::{
    Libmms, Server, TempDir, Tracks, assert_same, at_once, content, file_on_disk, mplayer, packets,
    run, run_in_loop, vlc_dump,
};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A player's limit in bit/s, and the video stream of the file (from 0) that it selects for that.
pub const CHOICES: [(u32, usize); 3] = [(80_000, 0), (130_000, 1), (300_000, 2)];

/// The tracks of `mbr.wmv`, as a player sees them that selected one video stream and the audio.
pub fn selected(video: usize) -> Tracks {
    let mut file = packets(&file_on_disk(&content("mbr.wmv")), &[]);
    let mut take = |name: &str| file.remove(name).expect("mbr.wmv has it");
    BTreeMap::from([
        ("video 0".to_owned(), take(&format!("video {video}"))),
        ("audio 0".to_owned(), take("audio 0")),
    ])
}

// WMSP-69
#[test]
fn libmms_gets_only_what_it_selected() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    at_once(&CHOICES, |&(bandwidth, video)| {
        let play = Libmms {
            bandwidth,
            ..Libmms::default()
        };
        let (_dir, file) = play.play(&server.url("mmsh", "vod/mbr.wmv"), LIMIT);
        assert_same(
            &format!("at {bandwidth}"),
            &packets(&file_on_disk(&file), &[]),
            &selected(video),
        );
    });
}

// WMSP-69
#[test]
fn vlc_gets_only_what_it_selected() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    at_once(&CHOICES, |&(bandwidth, video)| {
        let limit = format!("--mms-maxbitrate={bandwidth}");
        let (_dir, file) = vlc_dump(&server.url("mmsh", "vod/mbr.wmv"), &[&limit], LIMIT);
        assert_same(
            &format!("at {bandwidth}"),
            &packets(&file_on_disk(&file), &[]),
            &selected(video),
        );
    });
}

// WMSP-69
#[test]
fn vlc_gets_all_streams_if_it_asks_for_all() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    let (_dir, file) = vlc_dump(&server.url("mmsh", "vod/mbr.wmv"), &["--mms-all"], LIMIT);
    let want = packets(&file_on_disk(&content("mbr.wmv")), &[]);
    assert_same("all", &packets(&file_on_disk(&file), &[]), &want);
}

// WMSP-69
#[test]
fn mplayer_gets_only_what_it_selected() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    at_once(&CHOICES, |&(bandwidth, video)| {
        let dir = TempDir::new();
        let file = dir.file("dump.asf");
        let mut command = mplayer();
        command
            .args([
                "-bandwidth",
                &bandwidth.to_string(),
                "-dumpstream",
                "-dumpfile",
            ])
            .arg(&file);
        run(command.arg(server.url("mmshttp", "vod/mbr.wmv")), LIMIT);
        assert_same(
            &format!("at {bandwidth}"),
            &packets(&file_on_disk(&file), &[]),
            &selected(video),
        );
    });
}

// WMSP-69
#[test]
fn a_broadcast_is_cut_down_to_the_selection() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    at_once(&CHOICES, |&(bandwidth, video)| {
        let play = Libmms {
            bandwidth,
            bytes_max: 60_000,
            ..Libmms::default()
        };
        let (_dir, file) = play.play(&server.url("mmsh", "rates"), LIMIT);
        let want = selected(video);
        let got = packets(&file_on_disk(&file), &[]);
        assert_eq!(
            got.keys().collect::<Vec<_>>(),
            want.keys().collect::<Vec<_>>(),
            "at {bandwidth}"
        );
        for (track, units) in &got {
            let whole = &units[..units.len() - 1]; // the recording ends anywhere
            assert!(
                whole.len() >= 10,
                "at {bandwidth}: {track}: only {} units",
                whole.len()
            );
            assert!(
                run_in_loop(whole, &want[track]).is_some(),
                "at {bandwidth}: {track} has gaps"
            );
        }
    });
}
