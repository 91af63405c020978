//! Peers that mean harm or are broken, and content that is damaged: each gets its status or is
//! closed, and the session beside it notices nothing.

mod support;

use protocols::asf::{Header, header_len};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use support::*;

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[limits]
header_timeout = "1s"
[[point]]
name = "vod"
kind = "on-demand"
source = "content"
[[point]]
name = "live"
kind = "broadcast"
source = "content/clip.wmv"
"#;

fn content(name: &str) -> Folder {
    let folder = Folder::new(name);
    let content = folder.0.join("content");
    std::fs::create_dir(&content).expect("a folder");
    std::fs::copy(clip(), content.join("clip.wmv")).expect("the clip");
    folder
}

/// Send bytes, say no more, and read what comes until the server closes.
fn exchange(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // The server may answer and close before everything is written.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

fn status_of(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    code.unwrap_or(0)
}

#[test]
fn malformed_requests_get_their_status_and_the_session_beside_them_goes_on() {
    let folder = content("hostile");
    let server = start(config(&folder, SERVER));
    let at = http(&server);
    let mut beside = Player::play(at, "/live", &[1, 2], "");
    beside.header();
    let mut last = beside.data();
    let long_head = format!("GET /live HTTP/1.0\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let many_heads = format!("GET /live HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    let flood = "GET /none HTTP/1.1\r\nHost: h\r\nUser-Agent: NSPlayer/9.0\r\n\r\n".repeat(2000);
    let cases: Vec<(&str, &[u8], &[u16])> = vec![
        ("garbage", b"\x00\x01\x02\xFF\xFE garbage\r\n\r\n", &[400]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n", &[400]),
        ("a long head", long_head.as_bytes(), &[400, 431]),
        ("many header lines", many_heads.as_bytes(), &[400, 431]),
        (
            "a huge body",
            b"POST /live HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
            &[400, 413],
        ),
        (
            "two lengths",
            b"POST /live HTTP/1.1\r\nUser-Agent: NSPlayer/9.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            &[400],
        ),
        ("a strange method", b"BREW /live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &[501, 405]),
        ("a strange version", b"GET /live HTTP/7.3\r\nHost: h\r\nConnection: close\r\n\r\n", &[400, 505]),
        // Closed with a word in the log; what was answered before may be lost with it.
        ("a flood", flood.as_bytes(), &[0, 404]),
    ];
    for (what, bytes, wanted) in cases {
        let answer = exchange(at, bytes);
        assert!(
            wanted.contains(&status_of(&answer)),
            "{what}: {:?}",
            answer.lines().next()
        );
    }
    // A head that never ends is cut off after `header_timeout`, byte by byte or not at all.
    let answer = exchange(at, b"GET /live HTTP/1.0\r\nUser-Agent: NSPl");
    assert!([0, 408].contains(&status_of(&answer)), "{answer:?}");
    for _ in 0..40 {
        let data = beside.data();
        assert_eq!(
            data.number,
            last.number + 1,
            "the session beside lost something"
        );
        last = data;
    }
    server.stop();
}

#[test]
fn nothing_outside_of_the_content_can_be_had() {
    let folder = content("hostile-paths");
    std::fs::write(folder.0.join("secret.wmv"), b"secret").expect("a file");
    let inside = folder.0.join("content");
    for (target, link) in [
        ("../secret.wmv", "out.wmv"),
        ("/etc/passwd", "abs.wmv"),
        ("..", "up"),
    ] {
        std::os::unix::fs::symlink(target, inside.join(link)).expect("a link");
    }
    std::os::unix::fs::symlink("clip.wmv", inside.join("in.wmv")).expect("a link");
    let server = start(config(&folder, SERVER));
    let at = http(&server);
    for path in [
        "/vod/../secret.wmv",
        "/vod/%2e%2e/secret.wmv",
        "/vod/..%2fsecret.wmv",
        "/vod/%2e%2e%2fsecret.wmv",
        "/vod/..%5csecret.wmv",
        "/vod/%252e%252e/secret.wmv",
        "/vod/..%c0%afsecret.wmv",
        "/vod/clip.wmv%00.asf",
        "/vod//etc/passwd",
        "/vod/out.wmv",
        "/vod/abs.wmv",
        "/vod/up/secret.wmv",
        "/vod/",
        "/vod",
        "/none/clip.wmv",
    ] {
        for agent in ["NSPlayer/4.1.0.3856", "curl/8"] {
            let request =
                format!("GET {path} HTTP/1.0\r\nUser-Agent: {agent}\r\nPragma: no-cache\r\n\r\n");
            let answer = exchange(at, request.as_bytes());
            assert!(
                [400, 404].contains(&status_of(&answer)),
                "{path} for {agent}: {:?}",
                answer.lines().next()
            );
            assert!(!answer.contains("secret") || answer.contains("secret.wmv"));
        }
    }
    let answer = exchange(
        at,
        b"GET /vod/in.wmv HTTP/1.0\r\nUser-Agent: curl/8\r\n\r\n",
    );
    assert_eq!(status_of(&answer), 200, "a link that stays inside is fine");
    server.stop();
}

// ASF-02, ASF-03, ASF-32
#[test]
fn damaged_files_are_refused_or_served_without_the_damage() {
    let folder = content("hostile-asf");
    let inside = folder.0.join("content");
    let good = std::fs::read(clip()).expect("the clip");
    let blob_len = header_len(&good).expect("its header") as usize;
    let header = Header::parse(&good[..blob_len]).expect("its header");
    let size = header.packet_size() as usize;
    let write = |name: &str, bytes: &[u8]| std::fs::write(inside.join(name), bytes).expect(name);
    write("empty.wmv", b"");
    write("text.wmv", &[b'x'; 5000]);
    write("short.wmv", &good[..blob_len / 2]);
    let mut lying = good.clone();
    lying[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    write("lying.wmv", &lying);
    let mut children = good.clone();
    // The first child's size reaches beyond its parent.
    children[46..54].copy_from_slice(&(1u64 << 40).to_le_bytes());
    write("children.wmv", &children);
    // Whole packets of nonsense in the middle, and a file that ends inside a packet.
    let mut damaged = good.clone();
    for packet in [3, 4, 9] {
        damaged[blob_len + packet * size..][..size].fill(0xEE);
    }
    damaged.truncate(blob_len + 20 * size + size / 2);
    write("damaged.wmv", &damaged);
    let server = start(config(&folder, SERVER));
    let at = http(&server);
    for name in [
        "empty.wmv",
        "text.wmv",
        "short.wmv",
        "lying.wmv",
        "children.wmv",
    ] {
        let player = Player::play(at, &format!("/vod/{name}"), &[1, 2], "");
        assert!(
            (400..600).contains(&player.status()),
            "{name}: {}",
            player.head
        );
    }
    let mut player = Player::play(at, "/vod/damaged.wmv", &[1, 2], "");
    player.header();
    let mut numbers = Vec::new();
    loop {
        match player.next() {
            Event::Data(data) => numbers.push(data.number),
            Event::End(_) | Event::Closed => break,
            other => panic!("{other:?}"),
        }
        // A file shorter than its header says may still be written: its end is waited for.
        if numbers.len() == 17 {
            break;
        }
    }
    let want: Vec<u32> = (0..20).filter(|n| ![3, 4, 9].contains(n)).collect();
    assert_eq!(numbers, want, "everything but the damage");
    server.stop();
}

#[test]
fn limits_refuse_what_is_too_much_and_take_it_when_there_is_room() {
    let folder = content("hostile-limits");
    let limits = SERVER.replace(
        "[limits]\n",
        "[limits]\nconnections_per_address = 6\nplayer_connections = 3\n",
    );
    let server = start(config(&folder, &limits));
    let at = http(&server);
    let mut players: Vec<Player> = (0..3)
        .map(|_| Player::play(at, "/live", &[1, 2], ""))
        .collect();
    for player in &mut players {
        assert_eq!(player.status(), 200);
        player.header();
    }
    assert_eq!(Player::play(at, "/live", &[1, 2], "").status(), 503);
    assert_eq!(Player::play(at, "/vod/clip.wmv", &[1, 2], "").status(), 503);
    players.pop();
    until("the place of a player that left is free", || {
        Player::play(at, "/vod/clip.wmv", &[1, 2], "").status() == 200
    });
    // Seven connections from one address: the last is closed without a word.
    let mut open: Vec<TcpStream> = Vec::new();
    until("an address has no more than six connections", || {
        let mut stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let request = b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut byte = [0];
        let answered = stream.write_all(request).is_ok() && matches!(stream.read(&mut byte), Ok(1));
        open.push(stream);
        !answered
    });
    assert!(open.len() <= 6, "{} were taken", open.len());
    for player in &mut players {
        player.data();
    }
    drop(open);
    until("connections that left make room", || {
        exchange(at, b"GET /none HTTP/1.0\r\n\r\n").contains("404")
    });
    server.stop();
}
