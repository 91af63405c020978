//! Our own client against our own server, over real sockets: what old players never ask for.

use crate::need;
use crate::support::{
    Probe, Server, assert_same, at_once, content, file_on_disk, packets, run_in_loop,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn it_receives_every_payload_in_every_mode() {
    need!(Ffmpeg);
    let server = Server::shared();
    let modes: [&[&str]; 5] = [
        &[],
        &["--pipelined=false", "--packet-pair=false"],
        &["--accel", "3500000", "--speed", "5"],
        &["--player-version", "9.0.0.3000"],
        &["--player-version", "4.1.0.3856", "--pipelined=false"],
    ];
    let files = ["clip.wmv", "audio.wma", "mbr.wmv", "protected.wmv"];
    let plays: Vec<(&[&str], &str)> = modes
        .iter()
        .flat_map(|mode| files.iter().map(|file| (*mode, *file)))
        .collect();
    at_once(&plays, |&(args, name)| {
        let (_dir, file) = Probe { args }.play(&server.url("http", &format!("vod/{name}")), LIMIT);
        let want = packets(&file_on_disk(&content(name)), &[]);
        assert_same(
            &format!("{name} with {args:?}"),
            &packets(&file_on_disk(&file), &[]),
            &want,
        );
    });
}

#[test]
fn it_receives_a_gapless_run_of_a_broadcast() {
    need!(Ffmpeg);
    let server = Server::shared();
    let modes: [&[&str]; 2] = [
        &["--duration", "9s"],
        &[
            "--duration",
            "9s",
            "--accel",
            "3500000",
            "--pipelined=false",
        ],
    ];
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    at_once(&modes, |args| {
        let (_dir, file) = Probe { args }.play(&server.url("http", "live"), LIMIT);
        let got = packets(&file_on_disk(&file), &[]);
        assert_eq!(
            got.keys().collect::<Vec<_>>(),
            want.keys().collect::<Vec<_>>(),
            "{args:?}"
        );
        for (track, units) in &got {
            let whole = &units[..units.len() - 1]; // the recording ends anywhere
            assert!(
                whole.len() >= 100,
                "{args:?}: only {} units of {track}",
                whole.len()
            );
            let start = run_in_loop(whole, &want[track]);
            assert!(
                start.is_some_and(|at| want[track][at].key),
                "{args:?}: {track}: {start:?}"
            );
        }
    });
}

#[test]
fn a_burst_from_the_past_has_no_gap_wherever_in_the_broadcast_it_begins() {
    need!(Ffmpeg);
    let server = Server::shared();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    // One after the other, half a second each: every distance to the key frames of the loop is met.
    for join in 0..20 {
        let args = ["--duration", "500ms", "--accel", "3500000"];
        let (_dir, file) = Probe { args: &args }.play(&server.url("http", "live"), LIMIT);
        for (track, units) in packets(&file_on_disk(&file), &[]) {
            let start = run_in_loop(&units[..units.len() - 1], &want[&track]);
            assert!(
                start.is_some_and(|at| want[&track][at].key),
                "join {join}: {track}: {start:?}"
            );
        }
    }
}
