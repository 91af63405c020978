//! Positions over MMSP: each player's own way to ask for one.

use crate::need;
use crate::seek::{PACKET_SIZE, PREROLL_MS, clip, key_frame_before, run_start, tail_start};
use crate::support::{
    Libmms, Relay, Server, Side, TempDir, at_once, content, file_on_disk, mms, packets, run, vlc,
    vlc_udp,
};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// libmms does not stop before it seeks.
// MMSP-71, MMSP-76
#[test]
fn libmms_seeks_by_time_to_a_key_frame() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let file = clip();
    let seeks = [(0.0, 0), (1.0, 0), (2.5, 0), (0.0, 100_000), (2.5, 20_000)];
    at_once(&seeks, |&(seconds, seek_after)| {
        let what = format!("from {seconds} s after {seek_after} bytes");
        let seek = Libmms {
            seek_time: Some(seconds),
            seek_after,
            ..Libmms::default()
        };
        let (_dir, received) = seek.play(&server.mms_url("mmst", "vod/clip.wmv"), LIMIT);
        let got = packets(&file_on_disk(&received), &[]);
        let start = tail_start(&what, &got["video 0"], &file["video 0"]);
        // libmms asks for the time with the preroll added, which servers take as it stands.
        let key = key_frame_before(&file["video 0"], (seconds * 1000.0) as i64 + PREROLL_MS);
        assert_eq!(start, key, "{what}: the first frame's number");
        tail_start(&what, &got["audio 0"], &file["audio 0"]);
    });
}

// MMSP-72, MMSP-76
#[test]
fn libmms_seeks_by_packet() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let bytes = fs::read(content("clip.wmv")).expect("bundled content");
    let header = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")) + 50;
    let file = clip();
    at_once(
        &[(50, 0), (50, 60_000), (20, 250_000)],
        |&(packet, seek_after)| {
            let what = format!("to packet {packet} after {seek_after} bytes");
            let seek = Libmms {
                seek_offset: Some(header + packet * PACKET_SIZE),
                seek_after,
                ..Libmms::default()
            };
            let relay = Relay::to(server.mms_address());
            let (_dir, received) = seek.play(&relay.url("mmst", "vod/clip.wmv"), LIMIT);
            let got = packets(&file_on_disk(&received), &[]);
            let count = bytes.len() as u64 / PACKET_SIZE;
            for track in ["video 0", "audio 0"] {
                let what = format!("{what}: {track}");
                let start = tail_start(&what, &got[track], &file[track]) as u64;
                let share = |packet: u64| packet * file[track].len() as u64 / count;
                // From that packet on, or from a key frame a few seconds before it.
                assert!(
                    (share(packet.saturating_sub(30))..=share(packet + 10)).contains(&start),
                    "{what} begins at {start} of {}",
                    file[track].len()
                );
            }
            let starts = relay.look(|r| mms::ids(&r.bytes(r.last(), Side::Player)));
            let starts = starts.iter().filter(|&&id| id == mms::START_PLAYING);
            assert_eq!(starts.count(), 2, "{what}: StartPlaying");
        },
    );
}

fn vlc_starts_in_the_middle(scheme: &str, server: &Server) {
    let dir = TempDir::new();
    let mut command = vlc(&dir);
    command.args([
        "--start-time",
        "4",
        "--sout",
        "#std{access=file,mux=asf,dst=-}",
    ]);
    command.arg(server.mms_url(scheme, "vod/clip.wmv"));
    let out = run(&mut command, LIMIT);
    let received = dir.file("received.asf");
    fs::write(&received, out.stdout).expect("temporary directory");
    let got = &packets(&file_on_disk(&received), &[])["video 0"];
    let file = &clip()["video 0"];
    let start = run_start(scheme, got, file);
    // VLC's muxer does not write the last frames of any input.
    assert!(
        start + got.len() >= file.len() - 5,
        "{scheme}: VLC ends at frame {}",
        start + got.len()
    );
    // It looks for a key frame near the byte position that it guesses from the time.
    assert!(
        file[start].key && (30..=60).contains(&start),
        "{scheme}: VLC begins with frame {start}"
    );
}

/// VLC stops and starts in one go, and keeps its incarnation.
// MMSP-72, MMSP-86, MMSP-87
#[test]
fn vlc_starts_in_the_middle_by_tcp() {
    need!(Vlc, Ffmpeg);
    vlc_starts_in_the_middle("mmst", &Server::shared());
}

// MMSP-72, MMSP-86, MMSP-87, MMSP-96
#[test]
fn vlc_starts_in_the_middle_by_udp() {
    need!(Vlc, Ffmpeg);
    let _port = vlc_udp();
    vlc_starts_in_the_middle("mmsu", &Server::shared());
}
