//! Recordings, as players find them: while they grow, and when they are finished.

use crate::live::assert_joined_run;
use crate::need;
use crate::support::{Server, TempDir, content, decoded, file_on_disk, packets};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

fn recording(server: &Server) -> Option<PathBuf> {
    let files = fs::read_dir(server.file("recordings")).ok()?;
    files
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "wmv"))
}

/// Wait for so many bytes of a recording.
fn grown_to(server: &Server, bytes: u64) -> PathBuf {
    let deadline = Instant::now() + LIMIT;
    loop {
        let path = recording(server);
        let len = path.as_ref().and_then(|p| fs::metadata(p).ok());
        if let (Some(path), true) = (path, len.is_some_and(|m| m.len() >= bytes)) {
            return path;
        }
        assert!(Instant::now() < deadline, "nothing is recorded");
        thread::sleep(Duration::from_millis(50));
    }
}

// ASF-23, ASF-52, ASF-63
#[test]
fn ffmpeg_plays_a_recording_while_it_grows_and_when_it_is_finished() {
    need!(Ffmpeg);
    let clip = content("clip.wmv");
    let more = format!(
        "[[point]]\nname = \"recorded\"\nkind = \"broadcast\"\nsource = {clip:?}\n\
         [point.archive]\ndirectory = \"recordings\"\nfree_space_floor = \"0B\"\n\
         [[point]]\nname = \"recordings\"\nkind = \"on-demand\"\nsource = \"recordings\"\n"
    );
    let dir = TempDir::new();
    fs::create_dir(dir.file("recordings")).expect("temporary directory");
    let mut server = Server::start_with(dir, &more);
    let path = grown_to(&server, 200_000);
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");

    // From the disk, as it is at this moment. FFmpeg goes no further than the header says when it opens a
    // file, and the header is brought up to date every two seconds: until it has promised enough.
    let deadline = Instant::now() + LIMIT;
    loop {
        let growing = packets(&file_on_disk(&path), &[]);
        assert_joined_run("growing", &growing, "clip.wmv", 20);
        if growing.values().all(|units| units.len() >= 120) {
            break;
        }
        assert!(Instant::now() < deadline, "its header promises too little");
    }
    // From the server.
    let url = server.url("mmsh", &format!("recordings/{name}"));
    let got = packets(&url, &["-read_intervals", "%+12"]);
    assert_joined_run("growing over WMSP", &got, "clip.wmv", 100);

    assert!(server.ringcast().terminate().success());
    let finished = packets(&file_on_disk(&path), &[]);
    assert_joined_run("finished", &finished, "clip.wmv", 200);
    let frames = decoded(&file_on_disk(&path), &["-xerror"], &[]);
    let (shown, sent) = (&frames["video 0"], &finished["video 0"]);
    assert_eq!(shown.len(), sent.len(), "every frame is decoded");
    // By its index.
    let sought = packets(&file_on_disk(&path), &["-read_intervals", "6.5%+1"]);
    let video = &sought["video 0"];
    assert!(video[0].key, "a seek lands on a key frame");
    let at = sent
        .iter()
        .position(|u| u.pts == video[0].pts)
        .expect("a frame of it");
    assert!(
        at > 0 && at < sent.len() - 1,
        "frame {at} of {}",
        sent.len()
    );
}
