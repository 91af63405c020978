use super::*;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn content(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("content")
        .join(name)
}

/// A copy of bundled content, changed; goes away with the test.
struct Changed(PathBuf);

impl Changed {
    fn new(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Changed {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = format!("ringcast-push-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let mut bytes = fs::read(content(name)).expect("content");
        change(&mut bytes);
        fs::write(&path, bytes).expect("a file");
        Changed(path)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A header, or a packet's send time.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Header,
    Packet(u32),
}

/// Everything until `until`, with the ms after `start` at which it was due, in virtual time.
fn play(files: &mut Files, start: Instant, until: Duration) -> Vec<(u64, Seen)> {
    let mut now = start;
    let mut seen = Vec::new();
    let mut packet_size = 0;
    if files.begin(now).expect("files").is_some() {
        seen.push((0, Seen::Header));
        packet_size = files.packet_size;
    }
    loop {
        match files.next(now).expect("files") {
            Next::Wait(due) => now = due.expect("a time"),
            Next::Give(piece) => {
                let what = match &piece {
                    Piece::Header(blob) => {
                        packet_size = Header::parse(blob).expect("a header").packet_size();
                        Seen::Header
                    }
                    Piece::Packet(packet) => {
                        let packet = asf::Packet::parse(packet, packet_size).expect("a packet");
                        Seen::Packet(packet.send_time())
                    }
                };
                seen.push((now.duration_since(start).as_millis() as u64, what));
            }
            Next::End => return seen,
            Next::Late => panic!("time is virtual"),
        }
        if now.duration_since(start) > until {
            return seen;
        }
    }
}

const FOREVER: Duration = Duration::MAX;

#[test]
fn packets_leave_at_their_send_time_with_a_small_lead() {
    let mut files = Files::open(&[content("clip.wmv")], false).expect("files");
    let seen = play(&mut files, Instant::now(), FOREVER);
    assert_eq!(seen[0], (0, Seen::Header));
    let packets: Vec<(u64, u32)> = seen[1..]
        .iter()
        .map(|(at, what)| match what {
            Seen::Packet(send_time) => (*at, *send_time),
            Seen::Header => panic!("one header"),
        })
        .collect();
    assert!(packets.len() > 50);
    for &(at, send_time) in &packets {
        let relative = u64::from(send_time - packets[0].1);
        assert_eq!(at, relative.saturating_sub(200));
    }
    assert!(packets.last().expect("packets").0 > 1000);
}

#[test]
fn every_file_is_an_entry_on_one_timeline() {
    let paths = [content("clip.wmv"), content("audio.wma")];
    let mut files = Files::open(&paths, false).expect("files");
    let seen = play(&mut files, Instant::now(), FOREVER);
    let headers: Vec<usize> = (0..seen.len())
        .filter(|&i| seen[i].1 == Seen::Header)
        .collect();
    assert_eq!(headers.len(), 2);
    let second = headers[1];
    assert!(seen[second].0 >= seen[second - 1].0, "time goes on");
    // The second file's own times begin anew.
    assert_eq!(seen[second + 1].1, Seen::Packet(0));
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0));
}

#[test]
fn a_file_that_is_repeated_goes_on_in_its_own_times() {
    let mut files = Files::open(&[content("audio.wma")], true).expect("files");
    let header =
        Header::parse(&fs::read(content("audio.wma")).expect("content")).expect("a header");
    let length = header.play_duration_ms().expect("a duration");
    let turns = Duration::from_millis(3 * length + 500);
    let seen = play(&mut files, Instant::now(), turns);
    assert_eq!(seen.iter().filter(|s| s.1 == Seen::Header).count(), 1);
    let times: Vec<u32> = seen[1..]
        .iter()
        .map(|(at, what)| match what {
            Seen::Packet(send_time) => {
                // Send times and the clock go together, over all turns.
                assert_eq!(*at, u64::from(*send_time).saturating_sub(200));
                *send_time
            }
            Seen::Header => panic!("one header"),
        })
        .collect();
    assert!(
        times.windows(2).all(|w| w[0] <= w[1]),
        "time never goes back"
    );
    assert!(u64::from(*times.last().expect("packets")) > 3 * length);
}

#[test]
fn what_is_missed_is_counted_and_the_timeline_goes_on() {
    let mut files =
        Files::open(&[content("clip.wmv"), content("audio.wma")], false).expect("files");
    let start = Instant::now();
    let whole = play(&mut files, start, Duration::from_millis(500));
    let later = start + Duration::from_secs(3);
    let seen = play(&mut files, later, FOREVER);
    assert_eq!(seen[0], (0, Seen::Header), "a session begins with a header");
    let Seen::Packet(first) = seen[1].1 else {
        panic!("packets of the same file");
    };
    assert!((3000..3500).contains(&first), "{first}");
    let mut all = Files::open(&[content("clip.wmv"), content("audio.wma")], false).expect("files");
    let all = play(&mut all, start, FOREVER).len();
    // The header of the first file was given twice.
    assert_eq!(whole.len() + seen.len() - 1 + files.skipped as usize, all);
    assert!(files.skipped > 0);

    // Into the second file, and beyond its end.
    let mut files =
        Files::open(&[content("clip.wmv"), content("audio.wma")], false).expect("files");
    play(&mut files, start, Duration::ZERO);
    let clip = Header::parse(&fs::read(content("clip.wmv")).expect("content")).expect("a header");
    let clip = clip.play_duration_ms().expect("a duration");
    let inside = start + Duration::from_millis(clip + 1000);
    let blob = files.begin(inside).expect("files").expect("a header");
    let second = fs::read(content("audio.wma")).expect("content");
    assert!(blob == live_header(&second).expect("a header").1);
    assert_eq!(files.skip(start + Duration::from_secs(3600)), Ok(true));
    assert!(matches!(files.next(inside), Ok(Next::End)));
}

#[test]
fn what_should_have_left_long_ago_is_told() {
    let mut files = Files::open(&[content("clip.wmv")], false).expect("files");
    let start = Instant::now();
    files.begin(start).expect("files");
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(matches!(files.next(at(9)), Ok(Next::Give(_))));
    assert!(matches!(files.next(at(11)), Ok(Next::Late)));
}

#[test]
fn a_broadcast_is_announced_as_one() {
    let blob = fs::read(content("clip.wmv")).expect("content");
    let (header, live) = live_header(&blob).expect("a header");
    assert!(header.is_broadcast() && !header.is_seekable());
    assert_eq!(live.len() as u64, header.blob_len());
}

#[test]
fn damaged_packets_are_left_out_and_told() {
    let header = Header::parse(&fs::read(content("clip.wmv")).expect("content")).expect("a header");
    let changed = Changed::new("clip.wmv", |bytes| {
        for number in [3, 5, 6, 7, 8] {
            let at = header.packet_offset(number) as usize;
            bytes[at..at + 16].fill(0xFF);
        }
    });
    let mut whole = Files::open(&[content("clip.wmv")], false).expect("files");
    let mut files = Files::open(std::slice::from_ref(&changed.0), false).expect("files");
    let now = Instant::now();
    let (whole, seen) = (
        play(&mut whole, now, FOREVER),
        play(&mut files, now, FOREVER),
    );
    assert_eq!(seen.len(), whole.len() - 5);
    assert_eq!((files.damaged, files.skipped), (5, 0));
    assert_eq!(files.warnings.len(), 3, "the first few are told");
    assert!(
        files.warnings[0].contains("packet 3 is left out: asf: "),
        "{:?}",
        files.warnings
    );
    assert!(
        files.warnings[1].contains("packet 5 "),
        "{:?}",
        files.warnings
    );
}

#[test]
fn files_that_end_early_are_told() {
    let changed = Changed::new("audio.wma", |bytes| bytes.truncate(bytes.len() / 2));
    let mut files = Files::open(std::slice::from_ref(&changed.0), false).expect("files");
    assert!(!play(&mut files, Instant::now(), FOREVER).is_empty());
    assert_eq!(files.warnings.len(), 1);
    assert!(
        files.warnings[0].contains(": byte "),
        "{:?}",
        files.warnings
    );
}

#[test]
fn files_that_cannot_be_played_are_refused_before_anything_is_pushed() {
    let open = |path: &Path| match Files::open(&[content("clip.wmv"), path.to_owned()], false) {
        Ok(_) => panic!("{} is taken", path.display()),
        Err(fault) => fault,
    };
    assert!(open(Path::new("/nonexistent.wmv")).starts_with("/nonexistent.wmv: "));
    let text = Changed::new("clip.wmv", |bytes| *bytes = b"some text".to_vec());
    assert!(open(&text.0).contains("byte 0: neither ASF nor"));
    // One without packets would be repeated without end.
    let empty = Changed::new("clip.wmv", |bytes| {
        let header = Header::parse(bytes).expect("a header");
        bytes.truncate(header.blob_len() as usize);
    });
    let paths = std::slice::from_ref(&empty.0);
    let fault = Files::open(paths, true).err().map(|_| ());
    let fault = fault.or_else(|| {
        let mut files = Files::open(paths, true).ok()?;
        files.begin(Instant::now()).ok()?;
        files.next(Instant::now()).err().map(|_| ())
    });
    assert_eq!(fault, Some(()));
}
