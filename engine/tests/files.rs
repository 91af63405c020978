//! Files that change, grow, or cannot be written beside: what is served is what is on the disk.

mod support;

use engine::Server;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;
use support::asf::{Clip, PICTURE, SHORT, SOUND, said};
use support::client::*;
use support::*;

/// 32 packets in a piece of the cache.
const LARGE: Clip = Clip {
    packet_size: 8000,
    packets: 80,
    interval: 10,
    key_every: 8,
    preroll: 100,
    seed: 9,
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "content"
cadence = "20ms"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
[[point]]
name = "one"
kind = "on-demand"
source = "content/one.wmv"
"#;

fn content(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::create_dir(folder.0.join("content")).expect("a folder");
    fs::write(folder.0.join("content/one.wmv"), SHORT.bytes()).expect("a clip");
    folder
}

fn file(folder: &Folder, name: &str) -> std::path::PathBuf {
    folder.0.join("content").join(name)
}

fn played(server: &Server, path: &str) -> (Vec<Data>, Event) {
    let (mut client, reply) = Client::ask(http(server), &play(path, None, &[1, 2], FAST));
    assert_eq!(reply.status, 200, "{}", reply.head);
    client.all_data()
}

fn is(clip: Clip, data: &Data) -> bool {
    let original = clip.packet(data.number % clip.packets);
    said(&data.payload, clip.packet_size) == said(&original, clip.packet_size)
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .expect("the file");
    file.write_all(bytes).expect("appended");
}

#[test]
fn a_file_that_grows_is_followed_to_its_end() {
    let folder = content("files-grow");
    let path = file(&folder, "growing.wmv");
    fs::write(&path, LARGE.bytes_to(10)).expect("the beginning");
    let server = start(config(&folder, SERVER));
    let at = http(&server);
    // All of it; pictures only; and sound only, of packets that have none at the end of a piece.
    let mut viewers: Vec<(Client, &[u8])> = [&[PICTURE, SOUND][..], &[PICTURE], &[SOUND]]
        .into_iter()
        .map(|streams| {
            let (client, reply) = Client::ask(at, &play("/vod/growing.wmv", None, streams, FAST));
            assert_eq!(reply.status, 200, "{}", reply.head);
            (client, streams)
        })
        .collect();
    // Whole packets, parts of packets, across pieces of the cache.
    let rest: Vec<u8> = (10..LARGE.packets).flat_map(|n| LARGE.packet(n)).collect();
    let mut written = 10 * 8000;
    for step in rest.chunks(161_000) {
        append(&path, step);
        written += step.len();
        let whole = (written / 8000) as u32;
        for (client, streams) in &mut viewers {
            loop {
                let data = client.data();
                let want = said(&LARGE.packet(data.number), 8000).only(streams);
                assert_eq!(said(&data.payload, 8000), want);
                if data.number + 1 == whole {
                    break;
                }
            }
        }
    }
    // It has what its header promises. Who comes now is not kept waiting at its end.
    until("the file is known to be whole", || {
        let (_, reply) = Client::ask(at, &request("curl/8", "HEAD /vod/growing.wmv", &[]));
        reply.header("Content-Length") == Some(&*LARGE.bytes().len().to_string())
    });
    let (data, end) = played(&server, "/vod/growing.wmv");
    assert_eq!(data.len() as u32, LARGE.packets);
    assert!(matches!(end, Event::End(0)));
    server.stop();
}

/// At the end of a piece of the cache there are packets of which nothing is sent: they are no sign that
/// the file has ended.
#[test]
fn a_growing_file_is_not_over_where_nothing_is_sent() {
    let folder = content("files-holes");
    let path = file(&folder, "growing.wmv");
    // More promised than there is; damage in the last packets of the first piece.
    let mut bytes = LARGE.bytes_to(50);
    let blob = LARGE.head().len();
    for number in 29..32 {
        bytes[blob + number * 8000..][..8000].fill(0xEE);
    }
    fs::write(&path, &bytes).expect("a clip");
    let server = start(config(&folder, SERVER));
    let request = play("/vod/growing.wmv", None, &[1, 2], FAST);
    let (mut client, _) = Client::ask(http(&server), &request);
    let numbers: Vec<u32> = (0..47).map(|_| client.data().number).collect();
    let want: Vec<u32> = (0..50).filter(|n| !(29..32).contains(n)).collect();
    assert_eq!(numbers, want);
    // Key frames only: pieces whose last packets have none, and still to the end of what is there.
    let keys = request.replace(&on(&[1, 2]), "ffff:1:1");
    let (mut client, _) = Client::ask(http(&server), &keys);
    let numbers: Vec<u32> = (0..7).map(|_| client.data().number).collect();
    assert_eq!(numbers, [0, 8, 16, 24, 32, 40, 48]);
    server.stop();
}

#[test]
fn a_file_that_is_replaced_is_served_anew() {
    let folder = content("files-replace");
    let server = start(config(&folder, SERVER));
    let (data, _) = played(&server, "/vod/one.wmv");
    assert!(data.iter().all(|d| is(SHORT, d)));
    // Another length, under the same name; a viewer of the old one keeps what it has opened.
    let (mut old, _) = Client::ask(http(&server), &play("/vod/one.wmv", None, &[1, 2], ""));
    let other = Clip {
        seed: 50,
        packets: 30,
        ..SHORT
    };
    let new = file(&folder, "new");
    fs::write(&new, other.bytes()).expect("a clip");
    fs::rename(&new, file(&folder, "one.wmv")).expect("replaced");
    until("the new one is served", || {
        let (data, _) = played(&server, "/vod/one.wmv");
        data.len() == 30 && data.iter().all(|d| is(other, d))
    });
    let (data, end) = old.all_data();
    assert!(data.iter().all(|d| is(SHORT, d)));
    assert_eq!(data.last().map(|d| d.number), Some(SHORT.packets - 1));
    assert!(matches!(end, Event::End(0)));
    // The same length, and only the time of change tells.
    let third = Clip { seed: 99, ..other };
    fs::write(file(&folder, "one.wmv"), third.bytes()).expect("a clip");
    until("the third one is served", || {
        let (data, _) = played(&server, "/vod/one.wmv");
        data.iter().all(|d| is(third, d))
    });
    // Gone is gone; the point that names the file itself, and was never asked for it, waits for it.
    fs::remove_file(file(&folder, "one.wmv")).expect("removed");
    until("it is not there", || {
        let status = |path| Client::ask(http(&server), &describe(path)).1.status;
        status("/vod/one.wmv") == 404 && status("/one") == 503
    });
    server.stop();
}

/// Cut short in place while it is served: what is left is sent, and then the end comes.
#[test]
fn a_file_that_is_cut_short_ends_for_those_who_watch() {
    let folder = content("files-cut");
    let path = file(&folder, "cut.wmv");
    let slow = Clip {
        interval: 40,
        ..LARGE
    };
    fs::write(&path, slow.bytes()).expect("a clip");
    let server = start(config(&folder, SERVER));
    let mut viewers: Vec<Client> = (0..2)
        .map(|_| Client::ask(http(&server), &play("/vod/cut.wmv", None, &[1, 2], "")).0)
        .collect();
    for viewer in &mut viewers {
        viewer.data();
    }
    // In the middle of the second piece, of which nothing can be known yet.
    let cut = OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("the file");
    cut.set_len((slow.head().len() + 40 * 8000 + 4000) as u64)
        .expect("cut");
    for viewer in &mut viewers {
        let (data, end) = viewer.all_data();
        assert!(matches!(end, Event::End(_)), "{end:?}");
        assert_eq!(data.last().map(|d| d.number), Some(39));
    }
    server.stop();
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

// ASF-49
#[test]
fn the_index_is_written_once_used_again_and_thrown_away_when_it_is_old() {
    let folder = content("files-index");
    let media = file(&folder, "clip.wmv");
    fs::write(&media, LARGE.bytes()).expect("a clip");
    let index = file(&folder, "clip.wmv.rcx");
    let seek = |server: &Server| {
        let tokens = format!("{FAST},stream-time=330");
        let (mut client, _) =
            Client::ask(http(server), &play("/vod/clip.wmv", None, &[1, 2], &tokens));
        client.data().number
    };
    let server = start(config(&folder, SERVER));
    assert_eq!(seek(&server), 32);
    server.stop();
    let written = changed(&index).expect("an index beside the file");
    let bytes = fs::read(&index).expect("the index");
    // It is no content itself.
    let server = start(config(&folder, SERVER));
    let (_, reply) = Client::ask(http(&server), &describe("/vod/clip.wmv.rcx"));
    assert!(reply.status >= 400);
    let (mut page, _) = Client::ask(http(&server), &request("curl/8", "GET /", &[]));
    let page = String::from_utf8(page.body()).expect("text");
    assert!(
        page.contains("clip.wmv") && !page.contains(".rcx"),
        "{page}"
    );
    // Another server uses it: what it says is believed while the file is as it was.
    assert_eq!(seek(&server), 32);
    assert_eq!(changed(&index), Some(written), "not written again");
    server.stop();
    // Another file under the name: the index is made anew.
    let sparse = Clip {
        key_every: 20,
        seed: 1,
        ..LARGE
    };
    fs::write(&media, sparse.bytes()).expect("a clip");
    let server = start(config(&folder, SERVER));
    assert_eq!(seek(&server), 20);
    assert_ne!(fs::read(&index).expect("the index"), bytes);
    server.stop();
    // Nonsense in its place does no harm.
    fs::write(&index, b"nonsense").expect("written");
    let server = start(config(&folder, SERVER));
    assert_eq!(seek(&server), 20);
    server.stop();
}

#[test]
fn content_that_cannot_be_written_is_served_and_its_index_kept_elsewhere() {
    let folder = content("files-read-only");
    let inside = folder.0.join("content");
    fs::write(inside.join("clip.wmv"), LARGE.bytes()).expect("a clip");
    // A directory in the place of the index is in its way whoever runs the test.
    fs::create_dir(inside.join("clip.wmv.rcx")).expect("a folder");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o555)).expect("read-only");
    let server = start(config(&folder, SERVER));
    let (data, _) = played(&server, "/vod/clip.wmv");
    assert_eq!(data.len() as u32, LARGE.packets);
    server.stop();
    let elsewhere = SERVER.replace("cores = 2", "cores = 2\ncache_dir = \"indexes\"");
    let server = start(config(&folder, &elsewhere));
    let (data, _) = played(&server, "/vod/clip.wmv");
    assert_eq!(data.len() as u32, LARGE.packets);
    server.stop();
    let kept: Vec<_> = fs::read_dir(folder.0.join("indexes"))
        .expect("the folder of indexes")
        .flatten()
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].path().extension().is_some_and(|e| e == "rcx"));
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).expect("writable again");
}

#[test]
fn what_is_no_media_file_is_not_served_as_one() {
    let folder = content("files-strange");
    let inside = folder.0.join("content");
    fs::create_dir(inside.join("sub")).expect("a folder");
    fs::write(inside.join("sub/deep file.wmv"), SHORT.bytes()).expect("a clip");
    fs::write(inside.join("empty.wmv"), b"").expect("a file");
    fs::write(inside.join("head.wmv"), &SHORT.head()[..200]).expect("a file");
    fs::write(
        inside.join("dataless.wmv"),
        Clip {
            packets: 0,
            ..SHORT
        }
        .head(),
    )
    .expect("a file");
    let made = std::process::Command::new("mkfifo")
        .arg(inside.join("pipe.wmv"))
        .status();
    assert!(made.expect("mkfifo").success());
    let server = start(config(&folder, SERVER));
    let status = |path: &str| Client::ask(http(&server), &describe(path)).1.status;
    for path in [
        "/vod/sub",
        "/vod/sub/",
        "/vod",
        "/vod/",
        "/vod/pipe.wmv",
        "/one/sub",
        "/one/one.wmv",
    ] {
        assert_eq!(status(path), 404, "{path}");
    }
    for path in ["/vod/empty.wmv", "/vod/head.wmv"] {
        assert!(status(path) >= 400, "{path}");
    }
    assert!(
        [200, 500].contains(&status("/vod/dataless.wmv")),
        "it may still be written"
    );
    assert_eq!(status("/vod/sub/deep%20file.wmv"), 200);
    assert_eq!(status("/one"), 200);
    server.stop();
}
