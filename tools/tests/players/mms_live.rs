//! Broadcasts over MMSP: a player joins at a key frame and then gets every payload, across the loop's
//! seam.

use crate::live::{FEW_SECONDS, assert_joined_run, cut_off};
use crate::need;
use crate::selection::{CHOICES, selected};
use crate::support::{
    Libmms, Relay, Server, TempDir, at_once, content, decoded, file_on_disk, mms, mplayer, packets,
    run, run_in_loop, run_until, shown_frames, vlc, vlc_udp,
};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

// MMSP-42, MMSP-79
#[test]
fn ffmpeg_receives_a_gapless_run() {
    need!(Ffmpeg);
    let server = Server::shared();
    let points = [
        ("live", "clip.wmv", "%+9"),
        ("modern", "modern.asf", "%+5"),
        ("radio", "audio.wma", "%+5"),
    ];
    at_once(&points, |&(point, name, interval)| {
        let url = server.mms_url("mmst", point);
        let got = packets(&url, &["-read_intervals", interval]);
        assert_joined_run(point, &got, name, 50);
    });
}

#[test]
fn ffmpeg_decodes_the_frames_of_the_file() {
    need!(Ffmpeg);
    let server = Server::shared();
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    let got = &decoded(&server.mms_url("mmst", "live"), &[], &["-t", "5"])["video 0"];
    assert!(got.len() >= 60, "only {} frames in 5 s", got.len());
    assert!(
        run_in_loop(got, want).is_some(),
        "frames are missing or damaged"
    );
}

fn vlc_receives_a_gapless_run(scheme: &str, server: &Server) {
    let dir = TempDir::new();
    let mut command = vlc(&dir);
    command.args(["--sout", "#std{access=file,mux=asf,dst=-}"]);
    command.arg(server.mms_url(scheme, "live"));
    let bytes = run_until(&mut command, FEW_SECONDS, LIMIT);
    let file = dir.file("received.asf");
    fs::write(&file, bytes).expect("temporary directory");
    let got = cut_off(packets(&file_on_disk(&file), &[]));
    assert_joined_run(&format!("VLC by {scheme}"), &got, "clip.wmv", 40);
}

// MMSP-42
#[test]
fn vlc_receives_a_gapless_run_by_tcp() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    at_once(&["mmst", "mms"], |scheme| {
        vlc_receives_a_gapless_run(scheme, &server);
    });
}

// MMSP-42, MMSP-96
#[test]
fn vlc_receives_a_gapless_run_by_udp() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    let _port = vlc_udp();
    vlc_receives_a_gapless_run("mmsu", &server);
}

#[test]
fn mplayer_shows_the_frames_of_the_file() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    at_once(&["mmst", "mms"], |&scheme| {
        let dir = TempDir::new();
        let file = dir.file("frames.md5");
        let mut command = mplayer();
        command.args(["-benchmark", "-frames", "80", "-vo"]);
        command.arg(format!("md5sum:outfile={}", file.display()));
        run(command.arg(server.mms_url(scheme, "live")), LIMIT);
        let got = shown_frames(&file);
        assert!(got.len() >= 75, "{scheme}: only {} frames", got.len());
        assert!(
            run_in_loop(&got, want).is_some(),
            "{scheme}: frames are missing or damaged"
        );
    });
}

// MMSP-42
#[test]
fn libmms_receives_a_gapless_run() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    let play = Libmms {
        bytes_max: FEW_SECONDS as u64,
        ..Libmms::default()
    };
    let (_dir, file) = play.play(&server.mms_url("mmst", "live"), LIMIT);
    let got = cut_off(packets(&file_on_disk(&file), &[]));
    assert_joined_run("libmms", &got, "clip.wmv", 40);
}

// MMSP-42
#[test]
fn old_players_are_told_a_broadcast_by_what_they_look_at() {
    const BROADCAST: u32 = 0x0200_0000;
    need!(Ffmpeg);
    let server = Server::shared();
    let relay = Relay::to(server.mms_address());
    packets(&relay.url("mmst", "live"), &["-read_intervals", "%+1"]);
    let body = relay.look(|r| {
        let said = r.bytes(r.last(), crate::support::Side::Server);
        mms::first(&said, mms::REPORT_OPEN_FILE).map(<[u8]>::to_vec)
    });
    let opened = body.expect("ReportOpenFile");
    assert_eq!(mms::field(&opened, 28), BROADCAST, "fileAttributes");
    assert_eq!(mms::field(&opened, 64), 0, "filePacketCount");
    assert_eq!(mms::field(&opened, 68), 0, "filePacketCount");
}

// MMSP-66, MMSP-68
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
        let (_dir, file) = play.play(&server.mms_url("mmst", "rates"), LIMIT);
        let want = selected(video);
        let got = cut_off(packets(&file_on_disk(&file), &[]));
        assert_eq!(
            got.keys().collect::<Vec<_>>(),
            want.keys().collect::<Vec<_>>(),
            "at {bandwidth}"
        );
        for (track, units) in &got {
            let count = units.len();
            assert!(count >= 10, "at {bandwidth}: {track}: only {count} units");
            assert!(
                run_in_loop(units, &want[track]).is_some(),
                "at {bandwidth}: {track} has gaps"
            );
        }
    });
}
