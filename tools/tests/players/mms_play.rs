//! Files over MMSP: every player gets every byte of what it selected, by TCP and by UDP.

use crate::need;
use crate::on_demand::{ALL, DECODABLE, SINGLE_RATE};
use crate::selection::{CHOICES, selected};
use crate::support::{
    Libmms, Relay, Server, Side, TempDir, Tool, Tracks, Xine, assert_same, at_once, content,
    decoded, download, file_on_disk, mms, mplayer, packets, run, run_in_loop, shown_frames,
    vlc_dump, vlc_udp,
};
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What MPlayer's client hands to its demultiplexer.
fn mplayer_dump(url: &str, args: &[&str]) -> Tracks {
    let dir = TempDir::new();
    let file = dir.file("dump.asf");
    let mut command = mplayer();
    command.args(args).args(["-dumpstream", "-dumpfile"]);
    run(command.arg(&file).arg(url), LIMIT);
    packets(&file_on_disk(&file), &[])
}

/// Fails unless MPlayer got a file, as far as it hands on what it gets: of the last packet, whatever that
/// is, it loses all but the first 2,048 bytes.
fn assert_all_but_the_last_packet(what: &str, got: &Tracks, file: &Path) {
    let bytes = fs::read(file).expect("a file");
    let header = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")) as usize;
    let data = u64::from_le_bytes(
        bytes[header + 16..header + 24]
            .try_into()
            .expect("eight bytes"),
    );
    let count = u64::from_le_bytes(
        bytes[header + 40..header + 48]
            .try_into()
            .expect("eight bytes"),
    );
    let packet_size = (data as usize - 50) / count as usize;
    let dir = TempDir::new();
    let cut = dir.file("cut.asf");
    fs::write(&cut, &bytes[..header + data as usize - packet_size]).expect("temporary directory");
    let sure = packets(&file_on_disk(&cut), &[]);
    for (track, want) in packets(&file_on_disk(file), &[]) {
        // The last one may go on in the last packet.
        let sure = sure[&track].len().saturating_sub(1);
        let got = &got[&track];
        assert!(got.len() <= want.len(), "{what}: {} units", got.len());
        assert!(got.len() >= sure, "{what}: {} units of {track}", got.len());
        assert!(got[..sure] == want[..sure], "{what}: {track} differs");
    }
}

// MMSP-28, MMSP-41, MMSP-58, MMSP-88
#[test]
fn ffmpeg_decodes_every_frame() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&DECODABLE, |&name| {
        let want = decoded(&file_on_disk(&content(name)), &[], &[]);
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        assert_same(name, &decoded(&url, &[], &[]), &want);
    });
}

// MMSP-66, MMSP-67, MMSP-84
#[test]
fn ffmpeg_receives_every_payload() {
    need!(Ffmpeg);
    let server = Server::shared();
    at_once(&ALL, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        assert_same(name, &packets(&url, &[]), &want);
    });
}

// MMSP-26, MMSP-31, MMSP-82, MMSP-84, MMSP-88
#[test]
fn vlc_receives_every_payload_by_tcp() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        let (_dir, file) = vlc_dump(&url, &[], LIMIT);
        assert_same(name, &packets(&file_on_disk(&file), &[]), &want);
    });
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    let (_dir, file) = vlc_dump(&server.mms_url("mms", "vod/clip.wmv"), &[], LIMIT);
    assert_same("mms://", &packets(&file_on_disk(&file), &[]), &want);
}

// MMSP-32, MMSP-96
#[test]
fn vlc_receives_every_payload_by_udp() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    let _port = vlc_udp();
    for name in ["clip.wmv", "mp3.asf", "protected.wmv"] {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let url = server.mms_url("mmsu", &format!("vod/{name}"));
        let (_dir, file) = vlc_dump(&url, &[], LIMIT);
        assert_same(name, &packets(&file_on_disk(&file), &[]), &want);
    }
}

// MMSP-09, MMSP-43, MMSP-82, MMSP-84
#[test]
fn mplayer_receives_every_payload() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        assert_all_but_the_last_packet(name, &mplayer_dump(&url, &[]), &content(name));
    });
}

// MMSP-09, MMSP-43
#[test]
fn mplayer_shows_every_frame() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let want = &decoded(&file_on_disk(&content("clip.wmv")), &[], &[])["video 0"];
    at_once(&["mmst", "mms", "mmsu"], |&scheme| {
        let dir = TempDir::new();
        let file = dir.file("frames.md5");
        let mut command = mplayer();
        command.args(["-benchmark", "-vo"]);
        command.arg(format!("md5sum:outfile={}", file.display()));
        run(command.arg(server.mms_url(scheme, "vod/clip.wmv")), LIMIT);
        let got = shown_frames(&file);
        // MPlayer does not show the last frame of any input.
        assert_eq!(got.len(), want.len() - 1, "{scheme}: the number of frames");
        assert_eq!(
            run_in_loop(&got, want),
            Some(0),
            "{scheme}: frames are missing or damaged"
        );
    });
}

/// MPlayer's client of MMS has no UDP: told to use it, it asks the same port for HTTP.
#[test]
fn mplayer_is_handed_to_http_on_the_same_port() {
    need!(Mplayer, Ffmpeg);
    let server = Server::shared();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    let relay = Relay::to(server.mms_address());
    let got = mplayer_dump(&relay.url("mmsu", "vod/clip.wmv"), &[]);
    assert_same("mmsu://", &got, &want);
    let asked = relay.look(|r| {
        (0..r.connections())
            .map(|c| r.bytes(c, Side::Player))
            .collect()
    });
    let asked: Vec<Vec<u8>> = asked;
    assert!(
        asked.iter().any(|said| said.starts_with(b"GET ")),
        "it did not ask for HTTP: {asked:02x?}"
    );
}

#[test]
fn the_port_serves_http_to_everybody() {
    need!(Curl, Wget, Libmms, Ffmpeg);
    let server = Server::shared();
    let clip = fs::read(content("clip.wmv")).expect("bundled content");
    for tool in [Tool::Curl, Tool::Wget] {
        let got = download(tool, &server.mms_url("http", "vod/clip.wmv"), LIMIT);
        assert!(got == clip, "{tool:?} got another file");
    }
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    // libmms asks for HTTP first, whatever `mms://` means to others.
    at_once(&["mmsh", "mms"], |&scheme| {
        let url = server.mms_url(scheme, "vod/clip.wmv");
        let (_dir, file) = Libmms::default().play(&url, LIMIT);
        assert_same(scheme, &packets(&file_on_disk(&file), &[]), &want);
    });
}

// MMSP-39, MMSP-41, MMSP-67, MMSP-82
#[test]
fn libmms_receives_every_payload() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    at_once(&SINGLE_RATE, |&name| {
        let want = packets(&file_on_disk(&content(name)), &[]);
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        let (_dir, file) = Libmms::default().play(&url, LIMIT);
        assert_same(name, &packets(&file_on_disk(&file), &[]), &want);
    });
}

// MMSP-12, MMSP-43, MMSP-66
#[test]
fn xine_decodes_every_frame() {
    need!(Xine, Ffmpeg);
    let server = Server::shared();
    let files = [
        ("clip.wmv", "320x240"),
        ("modern.asf", "320x240"),
        ("captions.wmv", "160x120"),
    ];
    at_once(&files, |&(name, size)| {
        let url = server.mms_url("mmst", &format!("vod/{name}"));
        let got = Xine::default().play(&url, size, LIMIT);
        let want = &decoded(&file_on_disk(&content(name)), &[], &[])["video 0"];
        assert_eq!(got.len(), want.len(), "{name}: the number of frames");
        assert_eq!(run_in_loop(&got, want), Some(0), "{name}: damaged frames");
    });
}

// MMSP-66, MMSP-68
#[test]
fn libmms_gets_only_what_it_selected() {
    need!(Libmms, Ffmpeg);
    let server = Server::shared();
    at_once(&CHOICES, |&(bandwidth, video)| {
        let play = Libmms {
            bandwidth,
            ..Libmms::default()
        };
        let (_dir, file) = play.play(&server.mms_url("mmst", "vod/mbr.wmv"), LIMIT);
        assert_same(
            &format!("at {bandwidth}"),
            &packets(&file_on_disk(&file), &[]),
            &selected(video),
        );
    });
}

// MMSP-66, MMSP-68
#[test]
fn vlc_gets_only_what_it_selected() {
    need!(Vlc, Ffmpeg);
    let server = Server::shared();
    let choose = |scheme: &str, bandwidth: u32, video: usize| {
        let limit = format!("--mms-maxbitrate={bandwidth}");
        let url = server.mms_url(scheme, "vod/mbr.wmv");
        let (_dir, file) = vlc_dump(&url, &[&limit], LIMIT);
        assert_same(
            &format!("{scheme} at {bandwidth}"),
            &packets(&file_on_disk(&file), &[]),
            &selected(video),
        );
    };
    at_once(&CHOICES, |&(bandwidth, video)| {
        choose("mmst", bandwidth, video);
    });
    let _port = vlc_udp();
    let (bandwidth, video) = CHOICES[0];
    choose("mmsu", bandwidth, video);
}

// MMSP-67
#[test]
fn players_that_ask_for_all_streams_get_all() {
    need!(Vlc, Mplayer, Ffmpeg);
    let server = Server::shared();
    let url = server.mms_url("mmst", "vod/mbr.wmv");
    let want = packets(&file_on_disk(&content("mbr.wmv")), &[]);
    let (_dir, file) = vlc_dump(&url, &["--mms-all"], LIMIT);
    assert_same("VLC", &packets(&file_on_disk(&file), &[]), &want);
    let got = mplayer_dump(&url, &[]);
    assert_all_but_the_last_packet("MPlayer", &got, &content("mbr.wmv"));
}

/// The header exceeds a packet's size, so that it comes in pieces, in one piece more than FFmpeg
/// could put together by the rules of Windows Media over HTTP.
// MMSP-57, MMSP-58, MMSP-59, ASF-21
#[test]
fn a_header_longer_than_a_packet_comes_in_pieces() {
    need!(Ffmpeg, Vlc, Mplayer, Libmms, Xine);
    let server = Server::shared();
    let want = &packets(&file_on_disk(&content("clip.wmv")), &[]);
    let plays = [
        ("ffmpeg", "large-header.wmv"),
        ("ffmpeg", "header-8k.wmv"),
        ("VLC", "large-header.wmv"),
        ("VLC", "header-12k.wmv"),
        ("MPlayer", "header-8k.wmv"),
        ("libmms", "header-8k.wmv"),
        ("libmms", "header-16k.wmv"),
    ];
    at_once(&plays, |&(player, name)| {
        let relay = Relay::to(server.mms_address());
        let url = relay.url("mmst", &format!("made/{name}"));
        let got = match player {
            "ffmpeg" => packets(&url, &[]),
            "VLC" => packets(&file_on_disk(&vlc_dump(&url, &[], LIMIT).1), &[]),
            "MPlayer" => mplayer_dump(&url, &[]),
            _ => packets(&file_on_disk(&Libmms::default().play(&url, LIMIT).1), &[]),
        };
        match player {
            "MPlayer" => assert_all_but_the_last_packet(name, &got, &content("clip.wmv")),
            _ => assert_same(&format!("{player} {name}"), &got, want),
        }
        let session = relay.look(mms::Session::of);
        let pieces = session.header.len();
        assert!(pieces >= 3, "{player} {name}: {pieces} pieces");
    });
    let frames = Xine::default().play(
        &server.mms_url("mmst", "made/header-8k.wmv"),
        "320x240",
        LIMIT,
    );
    assert_eq!(frames.len(), want["video 0"].len(), "frames of xine");
}
