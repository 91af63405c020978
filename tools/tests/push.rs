//! `ringcast push` against a scripted server: what arrives there, what is said, exit codes, signals.

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

const ACCEPTED: &str = "HTTP/1.1 204 No Content\r\nServer: Cougar/9.01.01.3814\r\n\
                        Content-Length: 0\r\nSet-Cookie: push-id=3735928559\r\n\r\n";

fn content(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("content")
        .join(name)
}

/// A server that a test plays.
struct Peer(TcpListener);

impl Peer {
    fn bind() -> Peer {
        Peer(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn url(&self) -> String {
        format!("http://{}/studio", self.0.local_addr().expect("an address"))
    }

    fn accept(&self) -> Conn {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("option");
        Conn {
            stream,
            unread: Vec::new(),
        }
    }

    /// Accepts a connection, and the session that is asked for on it.
    fn session(&self) -> Conn {
        let mut conn = self.accept();
        let (head, _) = conn.request();
        assert!(head.contains("application/x-wms-pushsetup"), "{head}");
        assert!(head.contains("Cookie: push-id=0\r\n"), "{head}");
        conn.say(ACCEPTED);
        conn
    }
}

/// A connection of the command.
struct Conn {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Conn {
    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("write");
    }

    /// So many bytes; fewer only at the end of the connection.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = [0; 65_536];
        while self.unread.len() < len {
            match self.stream.read(&mut bytes).expect("read") {
                0 => break,
                n => self.unread.extend_from_slice(&bytes[..n]),
            }
        }
        let len = len.min(self.unread.len());
        self.unread.drain(..len).collect()
    }

    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.take(1);
            assert!(!byte.is_empty(), "the head is cut");
            head.extend(byte);
        }
        String::from_utf8(head).expect("UTF-8")
    }

    /// A head, and the whole body that it announces.
    fn request(&mut self) -> (String, Vec<u8>) {
        let head = self.head();
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "));
        let length = length.expect("a length").parse().expect("a number");
        let body = self.take(length);
        assert_eq!(body.len(), length);
        (head, body)
    }

    /// The head of a PushStart.
    fn start(&mut self) {
        let head = self.head();
        assert!(head.contains("application/x-wms-pushstart"), "{head}");
        assert!(head.contains("Content-Length: 2147483647\r\n"), "{head}");
        assert!(head.contains("Cookie: push-id=3735928559\r\n"), "{head}");
    }

    /// One frame: its letter and what follows its length; `None` at the end.
    fn frame(&mut self) -> Option<(char, Vec<u8>)> {
        let head = self.take(4);
        if head.is_empty() {
            return None;
        }
        assert_eq!((head.len(), head[0]), (4, b'$'));
        let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let payload = self.take(len);
        assert_eq!(payload.len(), len, "the frame is whole");
        Some((char::from(head[1]), payload))
    }

    /// Letters of all frames to the end, with the number of `$D` in a row, and the last `$E`'s Reason.
    fn frames(&mut self) -> (Vec<(char, usize)>, Option<Vec<u8>>) {
        let mut seen: Vec<(char, usize)> = Vec::new();
        let mut reason = None;
        while let Some((letter, payload)) = self.frame() {
            match seen.last_mut() {
                Some((last, count)) if *last == letter => *count += 1,
                _ => seen.push((letter, 1)),
            }
            if letter == 'E' {
                reason = Some(payload);
            }
        }
        (seen, reason)
    }
}

fn push(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    command.arg("push").args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn with_input(args: &[&str], path: &Path) -> Child {
    let input = fs::File::open(path).expect("a file");
    push(args).stdin(input).spawn().expect("the command")
}

/// Exit code, lines of standard output as JSON, and standard error.
fn end(child: Child) -> (i32, Vec<Value>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("its end");
    let text = String::from_utf8(stdout).expect("UTF-8");
    let lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
    (
        status.code().expect("an exit code"),
        lines.collect(),
        String::from_utf8(stderr).expect("UTF-8"),
    )
}

/// Number of packets in a bundled file.
fn packet_count(name: &str) -> usize {
    let bytes = fs::read(content(name)).expect("content");
    let header = protocols::asf::Header::parse(&bytes).expect("a header");
    header.packet_count().expect("a count") as usize
}

// WMHTTP-33, WMHTTP-44, WMHTTP-45
#[test]
fn files_are_entries_of_one_session() {
    let peer = Peer::bind();
    let files = [content("audio.wma"), content("mp3.asf")].map(|p| p.display().to_string());
    let child = push(&["--json", &peer.url(), &files[0], &files[1]])
        .spawn()
        .expect("the command");
    let mut conn = peer.session();
    conn.start();
    let (seen, reason) = conn.frames();
    let (first, second) = (packet_count("audio.wma"), packet_count("mp3.asf"));
    let want = [
        ('H', 1),
        ('D', first),
        ('E', 1),
        ('C', 1),
        ('D', second),
        ('E', 1),
    ];
    assert_eq!(seen, want);
    assert_eq!(reason, Some(vec![0; 4]));
    let (code, lines, _) = end(child);
    assert_eq!(code, 0);
    assert_eq!(lines[0]["event"], "connected");
    assert_eq!(lines[0]["server"], "Cougar/9.01.01.3814");
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (&summary["event"], &summary["ended"]),
        (&"summary".into(), &"finished".into())
    );
    assert_eq!(summary["packets"], first + second);
    assert_eq!(
        (&summary["skipped"], &summary["damaged"]),
        (&0.into(), &0.into())
    );
}

// WMHTTP-17, WMHTTP-111
#[test]
fn standard_input_is_pushed_as_it_comes_and_cut() {
    let peer = Peer::bind();
    let child = with_input(&["--json", &peer.url(), "-"], &content("clip.wmv"));
    let mut conn = peer.session();
    conn.start();
    let (letter, blob) = conn.frame().expect("a header");
    assert_eq!(letter, 'H');
    let header = protocols::asf::Header::parse(&blob).expect("a header");
    assert!(header.is_broadcast(), "as a broadcast");
    let mut packets = 0;
    while let Some((letter, payload)) = conn.frame() {
        if letter == 'D' {
            packets += 1;
            let packet = protocols::asf::Packet::parse(&payload, header.packet_size());
            let packet = packet.expect("a packet");
            assert_eq!(packet.padding(), 0);
            if payload.len() < header.packet_size() as usize {
                assert_eq!(packet.explicit_length(), Some(payload.len() as u32));
            }
        }
    }
    assert_eq!(packets, packet_count("clip.wmv"));
    assert_eq!(end(child).0, 0);
}

// WMHTTP-29, WMHTTP-30, WMHTTP-47
#[test]
fn directives_and_credentials_are_sent() {
    let peer = Peer::bind();
    let password = std::env::temp_dir().join(format!("ringcast-push-{}", std::process::id()));
    fs::write(&password, "s3:cret\nnot this\n").expect("a file");
    let file = password.display().to_string();
    let args = [
        "--user",
        "enc",
        "--password-file",
        &file,
        "--template",
        "/master",
        "--auto-destroy",
    ];
    let url = peer.url();
    let args: Vec<&str> = args.into_iter().chain([&*url, "-"]).collect();
    let child = with_input(&args, &content("audio.wma"));
    let mut conn = peer.accept();
    let (head, body) = conn.request();
    assert!(!head.contains("Authorization: "));
    assert_eq!(body, b"Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n");
    conn.say(
        "HTTP/1.1 401 Unauthorized\r\nServer: Cougar/9.01.01.3814\r\nContent-Length: 0\r\n\
         WWW-Authenticate: Basic realm=\"x\"\r\n\r\n",
    );
    let (head, again) = conn.request();
    assert!(
        head.contains("Authorization: Basic ZW5jOnMzOmNyZXQ=\r\n"),
        "{head}"
    );
    assert_eq!(again, body);
    conn.say(ACCEPTED);
    conn.start();
    assert_eq!(conn.frames().0.last(), Some(&('E', 1)));
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("pushing to http://127.0.0.1:"), "{text}");
    assert!(!text.contains("s3:cret"));
    let _ = fs::remove_file(password);
}

/// `ringcast push` of what is written to the pipe.
fn push_from_pipe(url: &str) -> (Child, ChildStdin) {
    let mut child = push(&["--json", url, "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command");
    let input = child.stdin.take().expect("a pipe");
    (child, input)
}

// WMHTTP-54: and then with push-id 0 and the header again.
#[test]
fn a_session_that_breaks_off_is_followed_by_another() {
    let peer = Peer::bind();
    let url = peer.url();
    let (child, mut input) = push_from_pipe(&url);
    let bytes = fs::read(content("clip.wmv")).expect("content");
    let header = protocols::asf::Header::parse(&bytes).expect("a header");
    let at = |n| header.packet_offset(n) as usize;
    input.write_all(&bytes[..at(3)]).expect("write");
    let mut conn = peer.session();
    conn.start();
    let (_, first) = conn.frame().expect("a header");
    for _ in 0..3 {
        assert_eq!(conn.frame().map(|f| f.0), Some('D'));
    }
    drop(conn);
    let mut conn = peer.session();
    conn.start();
    assert_eq!(conn.frame(), Some(('H', first)));
    input.write_all(&bytes[at(3)..]).expect("write");
    drop(input);
    assert_eq!(conn.frames().1, Some(vec![0; 4]));
    let (code, lines, _) = end(child);
    assert_eq!(code, 0);
    let lost = lines
        .iter()
        .find(|l| l["event"] == "lost")
        .expect("it is said");
    let wait = lost["retry_seconds"].as_f64().expect("a number");
    assert!((0.75..=1.25).contains(&wait), "{wait}");
    assert_eq!(lines.last().expect("a summary")["sessions"], 2);
}

// WMHTTP-54
#[test]
fn a_session_that_is_not_to_be_followed_ends_the_command() {
    let peer = Peer::bind();
    let url = peer.url();
    let clip = content("clip.wmv").display().to_string();
    let child = push(&["--json", "--once", &url, &clip])
        .spawn()
        .expect("the command");
    drop(peer.session());
    let (code, lines, _) = end(child);
    assert_eq!(code, 1);
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["ended"], "lost");
    assert!(
        summary["reason"]
            .as_str()
            .expect("a reason")
            .contains("closed the connection")
    );
    // Nobody is there at all.
    drop(peer);
    let (code, _, err) = end(push(&["--json", "--once", &url, &clip])
        .spawn()
        .expect("the command"));
    assert_eq!(code, 2);
    assert!(err.contains("127.0.0.1:"), "{err}");
}

#[test]
fn a_server_that_says_no_is_not_asked_again() {
    for (reply, reason) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "status 403",
        ),
        (
            "HTTP/1.1 204 x\r\nServer: nginx\r\n\r\n",
            "not a Windows Media server: nginx",
        ),
        (
            "HTTP/1.1 401 x\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n\
             Content-Length: 0\r\n\r\n",
            "credentials are asked for",
        ),
    ] {
        let peer = Peer::bind();
        let child = with_input(&["--json", &peer.url(), "-"], &content("audio.wma"));
        let mut conn = peer.accept();
        conn.request();
        conn.say(reply);
        let (code, lines, _) = end(child);
        let summary = lines.last().expect("a summary");
        assert_eq!(
            (code, &summary["ended"]),
            (1, &"refused".into()),
            "{reason}"
        );
        assert!(
            summary["reason"]
                .as_str()
                .expect("a reason")
                .starts_with(reason)
        );
    }
}

#[test]
fn what_cannot_be_pushed_is_told_before_anybody_is_asked() {
    // Nobody is asked, so nobody need be there.
    let url = "http://127.0.0.1:9/x";
    let readme = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("Cargo.toml")
        .display()
        .to_string();
    for (args, what) in [
        (vec![url, &*readme], "Cargo.toml: byte 0: neither ASF nor"),
        (vec![url, "/nonexistent"], "/nonexistent: "),
        (vec!["mms://h/x", "-"], "mms://h/x: the scheme is not http"),
        (vec![url, "-", &*readme], "standard input (-) goes alone"),
        (vec!["--loop", url, "-"], "standard input (-) goes alone"),
        (
            vec!["--user", "a:b", "--password-file", &*readme, url, "-"],
            "given twice",
        ),
    ] {
        let output = push(&args).output().expect("the command");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(what), "{err}");
    }
    let child = with_input(&["--json", url, "-"], Path::new(&readme));
    let (code, lines, _) = end(child);
    assert_eq!(code, 2);
    assert!(lines.iter().any(|l| l["ended"] == "broken"));
}

// WMHTTP-19: a fault of the input is no ordinary end.
#[test]
fn input_that_breaks_ends_the_stream_with_a_fault() {
    let peer = Peer::bind();
    let url = peer.url();
    let (child, mut input) = push_from_pipe(&url);
    let bytes = fs::read(content("audio.wma")).expect("content");
    let header = protocols::asf::Header::parse(&bytes).expect("a header");
    let blob = &bytes[..header.blob_len() as usize];
    let length = (blob.len() as u16 + 8).to_le_bytes();
    let head = [&b"$H"[..], &length, &[0, 0, 0, 0, 0, 0x0C], &length].concat();
    input
        .write_all(&[&head, blob, &b"no frame"[..]].concat())
        .expect("write");
    drop(input);
    let mut conn = peer.session();
    conn.start();
    let (seen, reason) = conn.frames();
    assert_eq!(seen, [('H', 1), ('E', 1)]);
    assert_eq!(reason, Some(0xA004_0001u32.to_le_bytes().to_vec()));
    let (code, _, err) = end(child);
    let place = format!("byte {}: no frame where one should begin", 12 + blob.len());
    assert_eq!(code, 2);
    assert!(err.contains(&place), "{err}");
}

// WMHTTP-44
#[test]
fn an_interrupt_ends_the_stream_in_order() {
    let peer = Peer::bind();
    let clip = content("clip.wmv").display().to_string();
    let url = peer.url();
    let child = push(&["--json", "--loop", &url, &clip])
        .spawn()
        .expect("the command");
    let mut conn = peer.session();
    conn.start();
    assert_eq!(conn.frame().map(|f| f.0), Some('H'));
    assert_eq!(conn.frame().map(|f| f.0), Some('D'));
    let kill = format!("kill -INT {}", child.id());
    let killed = Command::new("sh")
        .args(["-c", &kill])
        .status()
        .expect("a shell");
    assert!(killed.success());
    let (seen, reason) = conn.frames();
    assert_eq!(seen.last(), Some(&('E', 1)));
    assert_eq!(reason, Some(vec![0; 4]));
    let (code, lines, _) = end(child);
    assert_eq!(code, 0);
    assert_eq!(lines.last().expect("a summary")["ended"], "interrupted");
}

// WMHTTP-36, WMHTTP-41, WMHTTP-53
#[test]
fn bodies_follow_one_another() {
    let peer = Peer::bind();
    let args = ["--json", "--content-length", "50000", &*peer.url(), "-"];
    let child = with_input(&args, &content("clip.wmv"));
    let mut conn = peer.session();
    let (mut packets, mut bodies) = (0, 0);
    loop {
        let head = conn.head();
        assert!(head.contains("Content-Length: 50000\r\n"), "{head}");
        bodies += 1;
        let (mut len, mut ended) = (0, false);
        while len < 50_000 && !ended {
            let (letter, payload) = conn.frame().expect("a frame");
            len += payload.len() + 4;
            packets += usize::from(letter == 'D');
            ended = letter == 'E';
        }
        assert!(len <= 50_000, "no frame goes over the end");
        if ended {
            break;
        }
        conn.say(ACCEPTED);
    }
    assert_eq!(packets, packet_count("clip.wmv"));
    let (code, lines, _) = end(child);
    assert_eq!(code, 0);
    assert_eq!(lines.last().expect("a summary")["requests"], bodies);
    assert!(bodies > 3, "{bodies}");
}
