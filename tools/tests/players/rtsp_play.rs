//! Files over RTSP: every player gets every byte, by TCP and by UDP, and ends by itself.

use crate::need;
use crate::on_demand::{ALL, DECODABLE};
use crate::support::{
    Server, TempDir, Tracks, Unit, assert_same, at_once, content, decoded, file_on_disk,
    gst_launch, mplayer, packets, run, run_in_loop, shown_frames,
};
use std::path::Path;
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(60);

/// How media can come.
pub const TRANSPORTS: [&str; 2] = ["tcp", "udp"];

/// What has codecs that plain RTP has formats for: players get those unless they are known to want,
/// or ask for, Windows Media.
const MODERN: [&str; 2] = ["modern.asf", "mp3.asf"];

/// Every one of these by TCP and by UDP.
pub fn by_both<T: Copy>(things: &[T]) -> Vec<(T, &'static str)> {
    let both = |thing: &T| TRANSPORTS.map(|transport| (*thing, transport));
    things.iter().flat_map(both).collect()
}

/// What ffprobe receives.
pub fn received(url: &str, transport: &str, args: &[&str]) -> Tracks {
    packets(url, &[&["-rtsp_transport", transport], args].concat())
}

/// Where a file is to be had in the form of Windows Media.
fn windows_media(name: &str) -> String {
    match MODERN.contains(&name) {
        true => format!("vod/{name}?format=wme"),
        false => format!("vod/{name}"),
    }
}

/// The frames alone: times over plain RTP are those of a session.
fn frames(tracks: Tracks) -> Tracks {
    let timeless = |units: Vec<Unit>| units.into_iter().map(|u| Unit { pts: 0, ..u }).collect();
    let tracks = tracks.into_iter();
    tracks
        .map(|(name, units)| (name, timeless(units)))
        .collect()
}

// RTSP-11, RTSP-19, RTSP-21, RTSP-53, RTSP-135, RTSP-136, RTSP-139
#[test]
fn ffmpeg_receives_every_payload() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&by_both(&ALL), |&(name, transport)| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let url = server.rtsp_url(&windows_media(name));
        let got = received(&url, transport, &[]);
        assert_same(&format!("{name} by {transport}"), &got, &want);
    });
}

// RTSP-136
#[test]
fn ffmpeg_decodes_every_frame() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&by_both(&DECODABLE), |&(name, transport)| {
        let want = decoded(&file_on_disk(&content(name)), &[], &[]);
        let url = server.rtsp_url(&windows_media(name));
        let got = decoded(&url, &["-rtsp_transport", transport], &[]);
        assert_same(&format!("{name} by {transport}"), &got, &want);
    });
}

#[test]
fn ffmpeg_decodes_every_frame_of_single_codecs() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&by_both(&MODERN), |&(name, transport)| {
        let want = decoded(&file_on_disk(&content(name)), &[], &[]);
        let url = server.rtsp_url(&format!("vod/{name}"));
        let got = decoded(&url, &["-rtsp_transport", transport], &[]);
        let what = format!("{name} by {transport}");
        assert_same(&what, &frames(got), &frames(want));
    });
}

/// Plays to the end. GStreamer calls an end that is not clean an error.
fn gst_play(url: &str, transport: &str, pipeline: &[&str]) {
    let out = run(&mut gst_launch(url, transport, pipeline), LIMIT);
    assert!(
        out.status.success(),
        "GStreamer {url} by {transport}: {}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
}

pub fn sink(file: &Path) -> String {
    format!("location={}", file.display())
}

// RTSP-51, RTSP-110, RTSP-135, RTSP-138, RTSP-140
#[test]
fn gstreamer_receives_every_payload() {
    need!(Gstreamer, Ffmpeg);
    let server = Server::shared();
    at_once(&by_both(&ALL), |&(name, transport)| {
        let dir = TempDir::new();
        let file = dir.file("received.asf");
        let url = server.rtsp_url(&windows_media(name));
        let to = sink(&file);
        gst_play(&url, transport, &["!", "rtpasfdepay", "!", "filesink", &to]);
        let want = packets(&file_on_disk(&content(name)), &[]);
        let got = packets(&file_on_disk(&file), &[]);
        assert_same(&format!("{name} by {transport}"), &got, &want);
    });
}

/// The frames of the only track of an elementary stream, or of one track of a file.
fn frames_of(path: &Path, track: &str) -> Vec<Unit> {
    let mut tracks = frames(decoded(&file_on_disk(path), &[], &[]));
    let found = tracks.remove(track);
    found.unwrap_or_else(|| panic!("{}: no {track}: {tracks:?}", path.display()))
}

#[test]
fn gstreamer_receives_every_frame_of_single_codecs() {
    need!(Gstreamer, Ffmpeg);
    let server = Server::shared();
    at_once(&TRANSPORTS, |&transport| {
        let dir = TempDir::new();
        let (video, audio) = (dir.file("video.h264"), dir.file("audio.aac"));
        let mp3 = dir.file("audio.mp3");
        let (to_video, to_audio, to_mp3) = (sink(&video), sink(&audio), sink(&mp3));
        let video_branch = [
            "s.",
            "!",
            "application/x-rtp,media=video",
            "!",
            "rtph264depay",
            "!",
            "video/x-h264,stream-format=byte-stream",
            "!",
            "filesink",
            &to_video,
        ];
        let audio_branch = [
            "s.",
            "!",
            "application/x-rtp,media=audio",
            "!",
            "rtpmp4gdepay",
            "!",
            "aacparse",
            "!",
            "audio/mpeg,stream-format=adts",
            "!",
            "filesink",
            &to_audio,
        ];
        let branches = [&video_branch[..], &audio_branch].concat();
        gst_play(&server.rtsp_url("vod/modern.asf"), transport, &branches);
        let branch = ["!", "rtpmpadepay", "!", "filesink", &to_mp3];
        gst_play(&server.rtsp_url("vod/mp3.asf"), transport, &branch);
        for (file, name, track) in [
            (&video, "modern.asf", "video 0"),
            (&audio, "modern.asf", "audio 0"),
            (&mp3, "mp3.asf", "audio 0"),
        ] {
            let (got, want) = (frames_of(file, track), frames_of(&content(name), track));
            let what = format!("{track} of {name} by {transport}");
            assert_eq!(got.len(), want.len(), "{what}: the number of frames");
            assert!(got == want, "{what}: damaged frames");
        }
    });
}

// RTSP-136
#[test]
fn mplayer_shows_every_frame() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let plays = [
        ("clip.wmv", &[][..]),
        ("clip.wmv", &["-rtsp-stream-over-tcp"]),
        ("modern.asf", &[]),
        ("modern.asf", &["-rtsp-stream-over-tcp"]),
    ];
    at_once(&plays, |&(name, args)| {
        let what = format!("{name} {args:?}");
        let dir = TempDir::new();
        let file = dir.file("frames.md5");
        let mut command = mplayer();
        command.args(args).args(["-benchmark", "-vo"]);
        command.arg(format!("md5sum:outfile={}", file.display()));
        run(command.arg(server.rtsp_url(&format!("vod/{name}"))), LIMIT);
        let got = shown_frames(&file);
        let want = frames_of(&content(name), "video 0");
        assert_eq!(got.len(), want.len(), "{what}: the number of frames");
        assert_eq!(run_in_loop(&got, &want), Some(0), "{what}: damaged frames");
    });
}
