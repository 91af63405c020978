//! `ringcast demo`, as the README shows it.

use crate::need;
use crate::support::{Ringcast, TempDir, Tool, at_once, download, packets};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

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
    let (documents, media): (Vec<&str>, Vec<&str>) =
        urls.into_iter().partition(|url| url.ends_with(".asx"));
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
    let status = demo.terminate();
    assert!(status.success(), "{status}\n{}", demo.log());
}
