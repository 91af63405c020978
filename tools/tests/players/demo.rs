//! `ringcast demo`, as the README shows it.

use crate::need;
use crate::support::{Ringcast, TempDir, Tool, at_once, download, packets, run};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn every_url_that_it_prints_can_be_played() {
    need!(Ffmpeg, Curl);
    // If somebody else has the port, so much the better.
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 8080));
    let mut demo = Ringcast::start(&["demo", "--cores", "2"], TempDir::new());
    let text = demo.wait_until("announced", |demo| {
        let log = demo.log();
        log.contains("Ctrl-C").then_some(log)
    });
    assert!(text.contains("port 8080 is taken"), "{text}");
    let urls: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("http://"))
        .filter_map(|l| l.split(' ').next())
        .collect();
    assert!(urls.len() >= 9, "{text}");
    // No player joins a group over FFmpeg; the command's own tests do.
    let urls = urls.into_iter().filter(|url| !url.ends_with(".nsc"));
    let (documents, media): (Vec<&str>, Vec<&str>) = urls.partition(|url| url.ends_with(".asx"));
    at_once(&media, |url| {
        for scheme in ["http", "mmsh"] {
            let url = url.replacen("http", scheme, 1);
            let got = packets(&url, &["-read_intervals", "%+1"]);
            assert!(
                got.values().map(Vec::len).sum::<usize>() >= 10,
                "{url}: {got:?}"
            );
        }
    });
    for url in documents {
        let text = String::from_utf8(download(Tool::Curl, url, LIMIT)).expect("text");
        let target = url.trim_end_matches(".asx");
        assert!(text.contains(&format!("\"{target}\"")), "{url}: {text}");
    }
    push_what_it_says(&text);
    let status = demo.terminate();
    assert!(status.success(), "{status}\n{}", demo.log());
}

/// The command that it prints, pasted: what it pushes is played instead of the fallback.
fn push_what_it_says(text: &str) {
    let command = text.lines().find(|l| l.trim_start().starts_with("ffmpeg "));
    let command = command.expect("a command that pushes");
    let studio = text.lines().find(|l| l.contains("/studio "));
    let studio = studio.and_then(|l| l.split(' ').next()).expect("its URL");
    let url = studio.replacen("http", "mmsh", 1);
    let width = || {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "error", "-select_streams", "v"]);
        ffprobe.args(["-show_entries", "stream=width", "-of", "csv=p=0", &url]);
        String::from_utf8(run(&mut ffprobe, LIMIT).stdout).expect("text")
    };
    assert_ne!(width().trim(), "640", "nobody pushes yet");
    let shell = Command::new("sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut shell = shell.expect("a shell");
    let deadline = Instant::now() + LIMIT;
    let mut seen = String::new();
    while seen.trim() != "640" && Instant::now() < deadline {
        seen = width();
    }
    // As Ctrl-C does: to all of the pipe.
    let group = format!("-{}", shell.id());
    let _ = Command::new("kill").args(["-INT", "--", &group]).status();
    let _ = shell.wait();
    assert_eq!(seen.trim(), "640", "the test pattern is not played");
}
