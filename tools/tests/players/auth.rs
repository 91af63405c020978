//! Points that want to know who plays, and the clients that can tell them.

use crate::need;
use crate::support::{
    Server, TempDir, Tool, assert_same, at_once, content, downloader, file_on_disk, mplayer,
    packets, run,
};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub const PASSWORD: &str = "Correct:Horse9";

/// Sets a user's password the way an operator does.
pub fn passwd(file: &Path, user: &str, password: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringcast"))
        .arg("passwd")
        .args([file.as_os_str(), user.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the ringcast binary");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{password}").expect("read");
    drop(stdin);
    assert!(child.wait().expect("own child").success());
}

/// A server with the users alice and bob and a point for each scheme, and `any` with all of them.
fn server() -> Server {
    let dir = TempDir::new();
    let users = dir.file("users.toml");
    passwd(&users, "alice", PASSWORD);
    passwd(&users, "bob", "another");
    let points = [
        ("basic", "[\"basic\"]"),
        ("digest", "[\"digest\"]"),
        ("ntlm", "[\"ntlm\"]"),
        ("any", "[\"ntlm\", \"digest\", \"basic\"]"),
    ];
    let text = points.map(|(name, methods)| {
        format!(
            "[[point]]\nname = \"{name}\"\nkind = \"on-demand\"\nsource = {:?}\n\
             [point.auth]\nmethods = {methods}\nusers = \"users.toml\"\n",
            content("")
        )
    });
    Server::start_with(dir, &text.concat())
}

/// What curl gets, and the status.
fn curl(server: &Server, point: &str, args: &[&str]) -> (Vec<u8>, u16) {
    let mut command = downloader(
        Tool::Curl,
        &server.url("http", &format!("{point}/clip.wmv")),
    );
    // A refusal is an answer here.
    command
        .args(args)
        .args(["--no-fail", "--write-out", "%{stderr}%{http_code}"]);
    let out = run(&mut command, LIMIT);
    let said = String::from_utf8_lossy(&out.stderr);
    let status = said.trim().parse();
    (
        out.stdout,
        status.unwrap_or_else(|_| panic!("curl {args:?}: {said}")),
    )
}

// WMSP-93, WMSP-94, WMSP-95
#[test]
fn curl_gets_the_file_by_every_scheme_with_the_right_password() {
    need!(Curl);
    let server = server();
    let clip = fs::read(content("clip.wmv")).expect("bundled");
    let user = |password: &str| format!("alice:{password}");
    for (scheme, points) in [
        ("--basic", ["basic", "any"]),
        ("--digest", ["digest", "any"]),
        ("--ntlm", ["ntlm", "any"]),
        ("--anyauth", ["digest", "any"]),
    ] {
        for point in points {
            let (got, status) = curl(&server, point, &[scheme, "--user", &user(PASSWORD)]);
            assert_eq!(status, 200, "{scheme} {point}");
            assert!(got == clip, "{scheme} {point}: another file");
            for wrong in ["another", "correct:horse9"] {
                let (got, status) = curl(&server, point, &[scheme, "--user", &user(wrong)]);
                assert_eq!((got.len(), status), (0, 401), "{scheme} {point} {wrong}");
            }
        }
    }
    for point in ["basic", "digest", "ntlm", "any"] {
        assert_eq!(curl(&server, point, &[]), (Vec::new(), 401), "{point}");
    }
    let (_, status) = curl(&server, "ntlm", &["--basic", "--user", &user(PASSWORD)]);
    assert_eq!(status, 401, "a scheme that the point does not offer");
    assert_eq!(curl(&server, "vod", &[]).1, 200, "other points are open");
}

// WMSP-94
#[test]
fn mplayer_plays_with_a_password_in_the_url() {
    need!(Mplayer, Ffmpeg);
    let mut server = server();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    let ways = [("mmshttp", "basic"), ("http", "basic"), ("mmshttp", "any")];
    at_once(&ways, |(scheme, point)| {
        let dir = TempDir::new();
        let file = dir.file("dump.asf");
        let url = server.url(scheme, &format!("{point}/clip.wmv"));
        let url = url.replace("://", &format!("://alice:{PASSWORD}@"));
        let mut command = mplayer();
        command
            .args(["-dumpstream", "-dumpfile"])
            .arg(&file)
            .arg(url);
        run(&mut command, LIMIT);
        let got = packets(&file_on_disk(&file), &[]);
        assert_same(&format!("{scheme} {point}"), &got, &want);
    });
    // The logs know who, and nothing more.
    assert!(server.ringcast().terminate().success());
    let json = fs::read_to_string(server.file("logs/ringcast.json.log")).expect("a log");
    assert!(json.contains("\"user\":\"alice\""), "{json}");
    let w3c = fs::read_dir(server.file("logs/basic")).expect("a directory of the point");
    let w3c: String = w3c
        .map(|f| fs::read_to_string(f.expect("a file").path()).expect("text"))
        .collect();
    assert!(w3c.contains(" alice "), "{w3c}");
    for text in [json, w3c, server.ringcast().log()] {
        assert!(!text.contains(PASSWORD), "a password in a log");
    }
}

// WMSP-94
#[test]
fn ffmpeg_downloads_with_a_password_in_the_url() {
    need!(Ffmpeg);
    let server = server();
    let want = packets(&file_on_disk(&content("clip.wmv")), &[]);
    // Over mmsh FFmpeg leaves the password out.
    for point in ["basic", "digest", "any"] {
        let url = server.url("http", &format!("{point}/clip.wmv"));
        let url = url.replace("://", &format!("://alice:{PASSWORD}@"));
        assert_same(point, &packets(&url, &[]), &want);
    }
}
