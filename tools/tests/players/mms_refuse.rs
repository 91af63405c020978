//! What is refused over MMSP, and that every player notices.

use crate::auth::{PASSWORD, passwd};
use crate::need;
use crate::support::{
    Libmms, Relay, Server, Side, TempDir, Xine, at_once, content, ffmpeg, mms, mplayer, run, vlc,
};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

const PLAYERS: [&str; 5] = ["ffmpeg", "VLC", "MPlayer", "libmms", "xine"];

/// A player that wants to write what it gets below `dir`.
fn player(name: &str, url: &str, dir: &TempDir) -> Command {
    let file = dir.file("received");
    match name {
        "ffmpeg" => {
            let mut command = ffmpeg();
            command
                .args(["-i", url, "-c", "copy", "-f", "data", "-y"])
                .arg(file);
            command
        }
        "VLC" => {
            let mut command = vlc(dir);
            command
                .args(["--demux", "dump", "--demuxdump-file"])
                .arg(file)
                .arg(url);
            command
        }
        "MPlayer" => {
            let mut command = mplayer();
            command
                .args(["-dumpstream", "-dumpfile"])
                .arg(file)
                .arg(url);
            command
        }
        "libmms" => Libmms::default().command(url, &file),
        _ => Xine::default().command(url, &file),
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

// MMSP-37, MMSP-38
#[test]
fn a_name_that_is_not_there_ends_every_player() {
    need!(Ffmpeg, Vlc, Mplayer, Libmms, Xine);
    let server = Server::shared();
    let plays: Vec<(&str, &str)> = PLAYERS
        .into_iter()
        .flat_map(|player| ["vod/none.wmv", "none", "vod/../Cargo.toml"].map(|path| (player, path)))
        .collect();
    at_once(&plays, |&(name, path)| {
        let dir = TempDir::new();
        let relay = Relay::to(server.mms_address());
        let out = run(&mut player(name, &relay.url("mmst", path), &dir), LIMIT);
        let what = format!("{name} {path}");
        assert_eq!(size(&dir.file("received")), 0, "{what}: it got something");
        // The other two end as they always end.
        if !["VLC", "MPlayer"].contains(&name) {
            assert!(!out.status.success(), "{what}: {}", out.status);
        }
        let items = relay.look(|r| mms::items(&r.bytes(0, Side::Server)));
        let opened = mms::message(&items, mms::REPORT_OPEN_FILE);
        let opened = opened.unwrap_or_else(|| panic!("{what}: {items:x?}"));
        assert!(mms::field(opened, 8) > 0x8000_0000, "{what}: hr");
        assert_eq!(mms::field(opened, 16), 0, "{what}: openFileId");
        assert_eq!(opened.len(), 112, "{what}: not the whole message");
        assert!(
            items
                .iter()
                .all(|item| matches!(item, mms::Item::Message { .. })),
            "{what}: Data"
        );
    });
}

// MMSP-19, MMSP-48
#[test]
fn a_challenge_ends_every_player() {
    need!(Ffmpeg, Vlc, Mplayer, Libmms, Xine);
    let dir = TempDir::new();
    passwd(&dir.file("users.toml"), "alice", PASSWORD);
    let point = format!(
        "[[point]]\nname = \"closed\"\nkind = \"on-demand\"\nsource = {:?}\n\
         [point.auth]\nmethods = [\"ntlm\", \"basic\"]\nusers = \"users.toml\"\n",
        content("")
    );
    let server = Server::start_with(dir, &point);
    at_once(&PLAYERS, |name| {
        let dir = TempDir::new();
        let relay = Relay::to(server.mms_address());
        run(
            &mut player(name, &relay.url("mmst", "closed/clip.wmv"), &dir),
            LIMIT,
        );
        assert_eq!(size(&dir.file("received")), 0, "{name}: it got something");
        let items = relay.look(|r| mms::items(&r.bytes(0, Side::Server)));
        assert!(
            mms::message(&items, mms::SECURITY_CHALLENGE).is_some(),
            "{name}: {items:x?}"
        );
        assert!(
            items
                .iter()
                .all(|item| matches!(item, mms::Item::Message { .. })),
            "{name}: Data"
        );
    });
}

/// These clients have a limit of their own, and say so.
// MMSP-59
#[test]
fn a_header_beyond_its_limit_ends_a_player() {
    need!(Libmms);
    let server = Server::shared();
    let plays = [("libmms", "header-17k.wmv"), ("libmms", "large-header.wmv")];
    at_once(&plays, |&(name, file)| {
        let dir = TempDir::new();
        let url = server.mms_url("mmst", &format!("made/{file}"));
        let out = run(&mut player(name, &url, &dir), LIMIT);
        assert_eq!(size(&dir.file("received")), 0, "{name} {file}: {out:?}");
    });
    // None of them has harmed the others.
    assert!(server.admin("/readyz").is_some());
}
