//! `ringcast encode` as servers meet it that fetch from it: over HTTP at its root path, and over MSBD.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(40);

fn ringcast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    command.args(args).stdin(Stdio::null());
    command
}

fn content(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("content");
    folder.join(name)
}

/// A running encoder.
struct Encoder {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    http: String,
    msbd: String,
}

impl Encoder {
    fn start(input: &[&str]) -> Encoder {
        let mut args = vec!["encode", "--json", "--listen", "127.0.0.1:0"];
        args.extend(["--msbd", "127.0.0.1:0"]);
        args.extend(input);
        let mut child = ringcast(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("an encoder");
        let out = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(out).lines();
        let first = lines.next().expect("a line").expect("UTF-8");
        let listening: Value = serde_json::from_str(&first).expect("JSON");
        assert_eq!(listening["event"], "listening");
        let url = |kind: &str| listening[kind][0].as_str().expect("a URL").to_owned();
        Encoder {
            child,
            lines,
            http: url("http"),
            msbd: url("msbd"),
        }
    }

    fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -INT \"$0\"", &pid])
            .status();
        assert!(sent.expect("a shell").success());
    }

    /// Its exit code and its last line.
    fn ended(&mut self) -> (i32, Value) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("own child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut last = Value::Null;
        for line in self.lines.by_ref() {
            let value: Value = serde_json::from_str(&line.expect("UTF-8")).expect("JSON");
            if value["event"] == "summary" {
                last = value;
            }
        }
        (status.code().unwrap_or(-1), last)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Begin to probe.
fn probe(url: &str, more: &[&str]) -> Child {
    let mut args = vec!["probe", "--json", "--packet-pair=false"];
    args.extend(more);
    args.push(url);
    let mut command = ringcast(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("a probe")
}

/// What a probe found.
fn found(probe: Child) -> Value {
    let Output {
        status,
        stdout,
        stderr,
    } = probe.wait_with_output().expect("a probe");
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e} in {out}"))
}

fn packets_of(name: &str) -> u64 {
    let path = content(name).display().to_string();
    let out = ringcast(&["asf", "--json", &path]).output();
    let value: Value = serde_json::from_slice(&out.expect("asf").stdout).expect("JSON");
    value["packets"].as_u64().expect("a number")
}

#[test]
fn files_are_played_once_to_all_who_are_there_from_the_start() {
    let clip = content("clip.wmv").display().to_string();
    let mut encoder = Encoder::start(&["--once", &clip]);
    let probes = [probe(&encoder.http, &[]), probe(&encoder.msbd, &[])];
    let want = packets_of("clip.wmv");
    for probe in probes {
        let value = found(probe);
        assert_eq!(
            (&value["packets"], &value["gaps"]),
            (&want.into(), &0.into()),
            "{value}"
        );
    }
    let (code, summary) = encoder.ended();
    assert_eq!(
        (code, &summary["ended"]),
        (0, &"finished".into()),
        "{summary}"
    );
    assert_eq!(summary["connects"], 2);
}

#[test]
fn files_go_on_until_it_is_interrupted() {
    let (clip, audio) = (content("clip.wmv"), content("audio.wma"));
    let files = [clip.display().to_string(), audio.display().to_string()];
    let mut encoder = Encoder::start(&[&files[0], &files[1]]);
    let value = found(probe(&encoder.http, &["--duration", "2s"]));
    assert!(value["packets"].as_u64() > Some(1), "{value}");
    assert_eq!(value["server"], "Rex/9.0.0.2980");
    let address = encoder
        .http
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = "GET / HTTP/1.0\r\nUser-Agent: NSServer/9.1.1.3841\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("written");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    let mut head = [0; 600];
    stream.read_exact(&mut head).expect("a reply");
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("\r\nServer: Rex/9."), "{head}");
    assert!(head.contains("features=\"broadcast,playlist\""), "{head}");
    encoder.interrupt();
    let (code, summary) = encoder.ended();
    assert_eq!((code, &summary["ended"]), (0, &"interrupted".into()));
}

/// What an encoder writes in real time.
#[test]
fn standard_input_is_passed_on_as_it_comes() {
    let clip = std::fs::read(content("clip.wmv")).expect("the clip");
    let fixed = &clip[..protocols::asf::FIXED_HEAD];
    let len = protocols::asf::header_len(fixed).expect("a header") as usize;
    let size = protocols::asf::Header::parse(&clip[..len])
        .expect("a header")
        .packet_size();
    let mut encoder = Encoder::start(&["-"]);
    let mut input = encoder.input();
    let probes = [probe(&encoder.http, &[]), probe(&encoder.msbd, &[])];
    let begun = Instant::now();
    input.write_all(&clip[..len]).expect("taken");
    let mut count = 0;
    for packet in clip[len..].chunks_exact(size as usize) {
        let Ok(parsed) = protocols::asf::Packet::parse(packet, size) else {
            break;
        };
        let due = Duration::from_millis(parsed.send_time().into());
        if due > Duration::from_secs(4) {
            break;
        }
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        input.write_all(packet).expect("taken");
        count += 1;
    }
    drop(input);
    let (code, summary) = encoder.ended();
    assert_eq!(
        (code, &summary["ended"]),
        (0, &"finished".into()),
        "{summary}"
    );
    for probe in probes {
        let value = found(probe);
        let got = value["packets"].as_u64().expect("a number");
        // They may have been let in a little later.
        assert!(
            (count / 2..=count).contains(&got),
            "{got} of {count}: {value}"
        );
        assert_eq!(value["gaps"], 0, "{value}");
    }
}

#[test]
fn what_cannot_be_played_is_said_at_once() {
    let listen = ["encode", "--listen", "127.0.0.1:0"];
    let clip = content("clip.wmv").display().to_string();
    let no_asf = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let no_asf = no_asf.display().to_string();
    let wrong: [&[&str]; 4] = [
        &["none.wmv"],
        &[&clip, &no_asf],
        &["-", &clip],
        &["--once", "-"],
    ];
    for input in wrong {
        let out = ringcast(&[&listen[..], input].concat())
            .output()
            .expect("runs");
        assert_eq!(out.status.code(), Some(2), "{input:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("ringcast: "));
    }
    let mut encoder = Encoder::start(&["-"]);
    encoder.input().write_all(b"no ASF at all").expect("taken");
    let (code, summary) = encoder.ended();
    assert_eq!((code, &summary["ended"]), (2, &"broken".into()));
    // A port that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let out = ringcast(&["encode", "--listen", &address, &clip]).output();
    assert_eq!(out.expect("runs").status.code(), Some(2));
}
