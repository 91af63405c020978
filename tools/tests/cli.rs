//! The `ringcast` command as its users meet it: arguments, output, exit codes, signals.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything that a server is to do.
const PATIENCE: Duration = Duration::from_secs(20);

fn ringcast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = ringcast(args).output().expect("the command");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        status.code().expect("an exit code"),
        text(stdout),
        text(stderr),
    )
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in\n{text}"))
}

fn content(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("content")
        .join(name)
}

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("ringcast-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server of one test.
struct Server {
    child: Child,
    directory: Directory,
    config: String,
    manager: UnixDatagram,
    http: u16,
    admin: u16,
}

impl Server {
    /// Starts and waits for the word that it is ready.
    fn start(more: &str) -> Server {
        let directory = Directory::new();
        let name = format!("{}/notify", directory.0.display());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("bind");
        manager.set_read_timeout(Some(PATIENCE)).expect("option");
        let (http, admin) = (free_port(), free_port());
        let config = directory.write("ringcast.toml", &config_text(http, admin, more));
        let log = fs::File::create(directory.0.join("journal")).expect("a file");
        let child = ringcast(&["serve", "--config", &config])
            .env("NOTIFY_SOCKET", format!("@{name}"))
            .env("WATCHDOG_USEC", "200000")
            .stderr(log)
            .spawn()
            .expect("a server");
        let server = Server {
            child,
            directory,
            config,
            manager,
            http,
            admin,
        };
        server.hear("READY=1");
        server
    }

    /// Waits for a word to the service manager.
    fn hear(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut words = [0; 512];
        while Instant::now() < deadline {
            let heard = self
                .manager
                .recv(&mut words)
                .map(|n| String::from_utf8_lossy(&words[..n]).into_owned());
            match heard {
                Ok(heard) if heard.contains(word) => return,
                Ok(_) => {}
                Err(e) => panic!("{word} is not said: {e}\n{}", self.journal()),
            }
        }
        panic!("{word} is not said\n{}", self.journal());
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.directory.0.join("journal")).unwrap_or_default()
    }

    /// Waits for a line in the journal, which is written by a thread of its own.
    fn journal_says(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.journal().contains(text) {
            assert!(
                Instant::now() < deadline,
                "{text:?} is missing\n{}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.expect("a shell").success());
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.http)
    }

    /// Exit code, once it has ended.
    fn ended(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("own child") {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end\n{}", self.journal());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config_text(http: u16, admin: u16, more: &str) -> String {
    let vod = content("");
    format!(
        "[server]\ncores = 1\ndrain_timeout = \"20s\"\n\
         [listen]\nhttp = [\"127.0.0.1:{http}\"]\nadmin = \"127.0.0.1:{admin}\"\n\
         [[point]]\nname = \"vod\"\nkind = \"on-demand\"\nsource = {vod:?}\n{more}"
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let directory = Directory::new();
    let good = directory.write("good.toml", "[listen]\nhttp = [\"0.0.0.0:80\"]\n");
    let (code, out, _) = run(&["check", "--config", &good]);
    assert_eq!(
        (code, out),
        (0, format!("{good}: valid, 0 publishing points\n"))
    );
    let bad = directory.write(
        "bad.toml",
        "[limits]\nmax_head = \"1B\"\nmax_body = \"1B\"\n",
    );
    let (code, out, _) = run(&["check", "--config", &bad]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (1, 2));
    assert!(
        lines[1].starts_with(&format!("{bad}:3:1: limits.max_body: is 1B; allowed are ")),
        "{out}"
    );
    let (code, out, _) = run(&["check", "--json", "--config", &bad]);
    let value = json(&out);
    assert_eq!((code, &value["valid"]), (1, &false.into()));
    assert_eq!(value["problems"]["problems"][0]["line"], 2);
    let (code, _, err) = run(&["check", "--config", "/nowhere.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("/nowhere.toml"), "{err}");
}

#[test]
fn the_reference_configuration_is_valid() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ringcast.toml");
    let (code, out, _) = run(&["check", "--config", &reference.display().to_string()]);
    assert_eq!(code, 0, "{out}");
}

/// Runs `ringcast passwd` with a password on standard input.
fn passwd(args: &[&str], password: &str) -> (i32, String) {
    let mut child = ringcast(&[&["passwd", "--json"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that fails before it reads may have gone.
    let _ = writeln!(stdin, "{password}");
    drop(stdin);
    let out = child.wait_with_output().expect("own child");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    (out.status.code().expect("an exit code"), text)
}

// WMSP-94
#[test]
fn users_are_added_changed_and_deleted_and_check_knows_them() {
    let directory = Directory::new();
    let users = directory.0.join("users.toml").display().to_string();
    let done = |args: &[&str], password: &str| {
        let (code, out) = passwd(args, password);
        (code, json(&out)["done"].as_str().map(str::to_owned))
    };
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(done(&[&users, "alice"], "one"), (0, word("added")));
    assert_eq!(done(&[&users, "alice"], "two"), (0, word("changed")));
    assert_eq!(done(&[&users, "bob"], ""), (2, None));
    assert_eq!(done(&[&users, "a:b"], "x"), (2, None));
    let text = fs::read_to_string(&users).expect("the users file");
    assert!(!text.contains("two") && text.contains("argon2"), "{text}");
    let point = |realm: &str| {
        let text = format!(
            "[[point]]\nname = \"a\"\nkind = \"on-demand\"\nsource = \".\"\n\
             [point.auth]\nusers = \"users.toml\"\nrealm = \"{realm}\"\n"
        );
        directory.write("ringcast.toml", &text)
    };
    let findings = |config: &str| {
        let (_, out, _) = run(&["check", "--system", "--json", "--config", config]);
        json(&out)["machine"]["findings"].to_string()
    };
    let fine = findings(&point("ringcast"));
    assert!(!fine.contains("point"), "{fine}");
    let other = findings(&point("elsewhere"));
    assert!(
        other.contains("nobody in") && other.contains("can use digest"),
        "{other}"
    );
    assert_eq!(
        done(&[&users, "alice", "--delete"], ""),
        (0, word("removed"))
    );
    assert_eq!(
        done(&[&users, "alice", "--delete"], ""),
        (1, word("absent"))
    );
    fs::write(&users, "nonsense").expect("a file");
    let broken = findings(&point("ringcast"));
    assert!(
        broken.contains("fatal") && broken.contains("line 1 is no TOML"),
        "{broken}"
    );
}

#[test]
fn asf_files_are_inspected_verified_and_indexed() {
    let directory = Directory::new();
    let clip = content("clip.wmv").display().to_string();
    let (code, out, _) = run(&["asf", "--verify", "--json", &clip]);
    let value = json(&out);
    assert_eq!(code, 0);
    assert_eq!(value["verified"]["sound"], true);
    assert_eq!(value["streams"][0]["kind"], "video");
    // A byte of a packet's head changed: the packet, and its place, are named.
    let mut bytes = fs::read(&clip).expect("the clip");
    let at = value["header_bytes"].as_u64().expect("a number") as usize
        + 3 * value["packet_size"].as_u64().expect("a number") as usize;
    bytes[at] = 0xFF;
    let bad = directory.0.join("bad.wmv");
    fs::write(&bad, &bytes).expect("a file");
    let (code, out, _) = run(&["asf", "--verify", "--json", &bad.display().to_string()]);
    let value = json(&out);
    assert_eq!(code, 1);
    assert_eq!(value["verified"]["findings"][0]["packet"], 3);
    assert_eq!(value["verified"]["findings"][0]["file_offset"], at);
    let (code, out, _) = run(&["asf", "--index", "--json", &bad.display().to_string()]);
    assert_eq!(code, 0);
    let index = json(&out)["index"]["file"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert_eq!(index, directory.0.join("bad.wmv.rcx").display().to_string());
    assert!(fs::metadata(index).expect("the index").len() > 100);
    let (code, out, _) = run(&["asf", "--json", &directory.write("x", "no ASF")]);
    assert_eq!(code, 1);
    assert!(json(&out)["error"].is_string());
    assert_eq!(run(&["asf", "/nowhere.wmv"]).0, 2);
}

#[test]
fn metafiles_are_listed() {
    let directory = Directory::new();
    let asx = directory.write(
        "a.asx",
        "<ASX VERSION=\"3.0\"><ENTRY><REF HREF=\"mms://h/a\"/><REF HREF=\"http://h/a\"/></ENTRY></ASX>",
    );
    let (code, out, _) = run(&["asx", &asx]);
    assert_eq!(
        (code, out.as_str()),
        (0, "  1  mms://h/a\n or  http://h/a\n")
    );
    let (code, out, _) = run(&["asx", "--json", &asx]);
    assert_eq!(
        (code, &json(&out)["items"][0]["entry"][1]["url"]),
        (0, &"http://h/a".into())
    );
    assert_eq!(run(&["asx", &directory.write("b", "hello")]).0, 1);
}

#[test]
fn client_logs_are_read_in_every_form() {
    let directory = Directory::new();
    let line = "0.0.0.0 2026-01-02 23:58:00 - http://h/live 0 3 1 200 {3300AD50-2C39-46c0-AE0A-000000000000} \
                9.0.0.1 en-US x - y.exe 1.0 Windows 5.1 Pentium 0 0 100 http TCP a v - - 9 - 9 0 0 0 0 0 0 0 0 100 - - - -";
    let log = directory.write("WMS.log", &format!("#Fields: x\r\n{line}\r\nnonsense\r\n"));
    let (code, out, _) = run(&["wmlog", "--json", &log]);
    let lines: Vec<Value> = out.lines().map(json).collect();
    assert_eq!(code, 1, "a line cannot be taken apart");
    assert_eq!(lines[0]["fields"]["cs-uri-stem"], "http://h/live");
    assert_eq!(lines[1]["valid"], false);
    assert_eq!(
        (&lines[2]["entries"], &lines[2]["invalid"]),
        (&2.into(), &1.into())
    );
    let posted = directory.write("posted", &format!("MX_STATS_LogLine: \t{line}"));
    assert_eq!(run(&["wmlog", &posted]).0, 0);
}

#[test]
fn a_server_that_cannot_start_says_why_in_its_first_line() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = holder.local_addr().expect("bound").port();
    let directory = Directory::new();
    let config = directory.write("ringcast.toml", &config_text(port, free_port(), ""));
    let (code, _, err) = run(&["serve", "--config", &config]);
    let first = err.lines().next().unwrap_or_default();
    assert_eq!(code, 2);
    assert!(
        first.starts_with(&format!(
            "ringcast: listen.http: 127.0.0.1:{port} is taken by "
        )),
        "{err}"
    );
    assert!(
        first.contains(&format!("(pid {})", std::process::id())),
        "{err}"
    );
    let config = directory.write("bad.toml", "[server]\ncoers = 1\n");
    let (code, _, err) = run(&["serve", "--config", &config]);
    assert_eq!(code, 2);
    assert!(
        err.starts_with(&format!(
            "ringcast: {config}:2:1: server.coers: unknown field"
        )),
        "{err}"
    );
}

#[test]
fn a_probe_saves_a_sound_file() {
    let server = Server::start("");
    let saved = server.directory.0.join("saved.asf").display().to_string();
    let (code, out, err) = run(&[
        "probe",
        "--json",
        "--save",
        &saved,
        "--speed",
        "5",
        &server.url("vod/clip.wmv"),
    ]);
    let value = json(&out);
    assert_eq!(code, 0, "{out}{err}");
    let (_, clip, _) = run(&["asf", "--json", &content("clip.wmv").display().to_string()]);
    assert_eq!(value["packets"], json(&clip)["packets"]);
    assert_eq!(
        (&value["gaps"], &value["log_sent"]),
        (&0.into(), &true.into())
    );
    let (code, out, _) = run(&["asf", "--verify", &saved]);
    assert_eq!(code, 0, "{out}");
    // What is not there is "false", who is not there "cannot be found out".
    let (code, out, _) = run(&["probe", "--json", &server.url("vod/none.wmv")]);
    assert_eq!(code, 1, "{out}");
    assert!(json(&out)["failed"]["reason"].is_string());
    let nobody = format!("http://127.0.0.1:{}/x", free_port());
    assert_eq!(run(&["probe", &nobody]).0, 2);
    assert_eq!(run(&["probe", "gopher://x/"]).0, 2);
}

#[test]
fn a_probe_follows_announcements() {
    let server = Server::start("");
    let (good, bad) = (server.url("vod/audio.wma"), server.url("vod/none.wma"));
    let asx = server.directory.write(
        "a.asx",
        &format!("<ASX><ENTRY><REF HREF=\"{bad}\"/><REF HREF=\"{good}\"/></ENTRY></ASX>"),
    );
    let (code, out, err) = run(&["probe", "--json", "--duration", "1s", &asx]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(json(&out)["url"], good);
}

#[test]
fn top_shows_a_running_server() {
    let server = Server::start("");
    let address = format!("127.0.0.1:{}", server.admin);
    let (code, out, _) = run(&["top", "--count", "1", "--json", &address]);
    let value = json(&out);
    assert_eq!((code, &value["state"]), (0, &"ready".into()));
    assert_eq!(value["cores"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        run(&["top", "--count", "1", &format!("127.0.0.1:{}", free_port())]).0,
        2
    );
}

#[test]
fn a_reload_takes_over_points_and_keeps_them_when_the_file_is_wrong() {
    let server = Server::start("");
    let clip = content("clip.wmv");
    let point = format!("[[point]]\nname = \"live\"\nkind = \"broadcast\"\nsource = {clip:?}\n");
    fs::write(
        &server.config,
        config_text(server.http, server.admin, &point),
    )
    .expect("a file");
    server.signal("HUP");
    server.hear("RELOADING=1");
    server.hear("STATUS=serving 2 publishing points");
    let (code, out, _) = run(&["probe", "--duration", "1s", &server.url("live")]);
    assert_eq!(code, 0, "{out}\n{}", server.journal());
    fs::write(&server.config, "[nonsense]\n").expect("a file");
    server.signal("HUP");
    server.hear("STATUS=serving; the last reload failed");
    server.journal_says("nonsense");
    assert_eq!(
        run(&["probe", "--duration", "1s", &server.url("live")]).0,
        0
    );
}

#[test]
fn termination_drains_and_says_so() {
    let mut server = Server::start("");
    server.hear("WATCHDOG=1");
    server.signal("TERM");
    server.hear("STOPPING=1");
    assert_eq!(server.ended(), 0, "{}", server.journal());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.http)).is_err());
}

#[test]
fn a_second_interrupt_does_not_wait_for_players() {
    let mut server = Server::start("");
    // A player that holds the drain up for longer than the test waits.
    let mut player = ringcast(&["probe", "--duration", "all", &server.url("vod/clip.wmv")])
        .stdout(Stdio::null())
        .spawn()
        .expect("a player");
    let deadline = Instant::now() + PATIENCE;
    let sessions = || {
        let (_, out, _) = run(&[
            "top",
            "--count",
            "1",
            "--json",
            &format!("127.0.0.1:{}", server.admin),
        ]);
        json(&out)["sessions"].as_f64()
    };
    while sessions() != Some(1.0) {
        assert!(
            Instant::now() < deadline,
            "no session\n{}",
            server.journal()
        );
    }
    server.signal("INT");
    server.hear("STOPPING=1");
    server.signal("INT");
    assert_eq!(server.ended(), 0, "{}", server.journal());
    server.journal_says("interrupted twice");
    let _ = player.kill();
    let _ = player.wait();
}

#[test]
fn the_demo_prints_urls_that_play() {
    let mut child = ringcast(&["demo", "--cores", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a demo");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut urls = Vec::new();
    let mut has_multicast = true;
    for line in out.lines() {
        let line = line.expect("text");
        let url = line.split(' ').next().unwrap_or_default();
        if url.contains("://") {
            urls.push(url.to_owned());
        }
        has_multicast &= !line.contains("no multicast here");
        if line.contains("Ctrl-C") {
            break;
        }
    }
    let codes: Vec<i32> = urls
        .iter()
        .map(|url| run(&["probe", "--duration", "300ms", url]).0)
        .collect();
    let station = urls.iter().find(|url| url.ends_with("/group.nsc"));
    assert_eq!(station.is_some(), has_multicast, "{urls:?}");
    let heard = station.map(|url| json(&run(&["--json", "probe", "--duration", "1s", url]).1));
    let pid = child.id().to_string();
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -TERM {pid}")])
        .status();
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    for part in ["/studio", "mms://", "rtsp://", "msbd://"] {
        assert!(urls.iter().any(|url| url.contains(part)), "{part} {urls:?}");
    }
    if let Some(heard) = heard {
        assert_eq!(heard["transport"], "UDP", "{heard}");
        assert_ne!(heard["packets"], 0, "{heard}");
    }
    assert_eq!(codes, vec![0; urls.len()], "{urls:?}");
    let left = std::env::temp_dir().join(format!("ringcast-demo-{pid}"));
    assert!(!left.exists(), "{} is left behind", left.display());
}
