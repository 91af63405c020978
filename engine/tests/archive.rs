//! Recordings: what is in them, at every moment and in the end, and what happens when the disk fails.

mod support;

use engine::archive::Archive;
use engine::ops::config::{ArchiveConfig, Size, Span};
use engine::ops::metrics::{ArchiveTotals, Metrics};
use engine::points::{BatchBuilder, LiveHead, Tap};
use protocols::asf::index::SimpleIndex;
use protocols::asf::seek::Hints;
use protocols::asf::{self, Header, Packet, Seek, SeekStep, SeekTarget};
use protocols::content::Selection;
use protocols::machine::Time;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::asf::{Clip, SHORT, Said, said};
use support::client::*;
use support::*;

/// A minute of large packets, a key frame every 8.
const LARGE: Clip = Clip {
    packet_size: 8000,
    packets: 600,
    interval: 100,
    key_every: 8,
    preroll: 100,
    seed: 9,
};

/// Where the stream's clock stands at its first packet.
const LATE: u32 = 5_000_000;

/// A stream that is recorded as a home would have it done.
struct Stream {
    clip: Clip,
    tap: Box<dyn Tap>,
    metrics: Arc<Metrics>,
    archive: Archive,
}

fn archive_in(directory: &Path) -> ArchiveConfig {
    ArchiveConfig {
        directory: directory.to_path_buf(),
        max_size: Size::gib(1),
        max_duration: Span::secs(3600),
        keep: 0,
        free_space_floor: Size(0),
    }
}

impl Stream {
    fn new(clip: Clip, config: &ArchiveConfig) -> Stream {
        let metrics = Metrics::new();
        let archive = Archive::start(Arc::clone(&metrics)).expect("threads");
        let mut stream = Stream {
            clip,
            tap: archive.handle().tap("live", config),
            metrics,
            archive,
        };
        stream.begin(clip);
        stream
    }

    fn begin(&mut self, clip: Clip) {
        self.clip = clip;
        let blob = asf::broadcast_blob(&clip.head(), None).expect("a header");
        let head = LiveHead::parse(blob.into()).expect("a header");
        self.tap.begin(&Arc::new(head), Time(0));
    }

    /// Send packets as they come from an encoder: without padding, on a clock of its own.
    fn send(&mut self, numbers: std::ops::Range<u32>) {
        let mut builder = BatchBuilder::default();
        let size = self.clip.packet_size as u32;
        for number in numbers {
            let mut trimmed = Vec::new();
            asf::trim::trim(&self.clip.packet(number), size, &mut trimmed).expect("a packet");
            let due = LATE + number * self.clip.interval;
            builder.push(number, due, 0, &trimmed, |copy| {
                asf::retime(copy, size, LATE)
            });
        }
        self.tap.take(&builder.finish().expect("packets"), Time(0));
    }

    fn totals(&self) -> ArchiveTotals {
        self.metrics.archive_totals("live").expect("recorded")
    }

    fn wait(&self, what: &str, holds: impl Fn(&ArchiveTotals) -> bool) {
        until(what, || holds(&self.totals()));
    }

    fn end(self) -> ArchiveTotals {
        let Stream {
            mut tap,
            metrics,
            archive,
            ..
        } = self;
        tap.end(Time(0));
        drop(archive);
        metrics.archive_totals("live").expect("recorded")
    }
}

/// Names of the recordings, oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e != "rcx"));
    // A second one of the same second comes after the first, a tenth after the ninth.
    files.sort_by_key(|f| (f.as_os_str().len(), f.clone()));
    files
}

/// A file as a reader finds it.
struct Found {
    header: Header,
    bytes: Vec<u8>,
}

impl Found {
    fn read(path: &Path) -> Found {
        Found::of(fs::read(path).expect("a file"))
    }

    fn of(bytes: Vec<u8>) -> Found {
        let header = Header::parse(&bytes).expect("a header");
        assert!(!header.is_broadcast() && header.is_seekable());
        Found { header, bytes }
    }

    fn packet(&self, number: u32) -> Option<&[u8]> {
        let at = self.header.packet_offset(number) as usize;
        self.bytes.get(at..at + self.header.packet_size() as usize)
    }

    /// All packets that the header tells of.
    fn packets(&self) -> Vec<Said> {
        let count = self.header.packet_count().unwrap_or(0) as u32;
        let size = self.header.packet_size() as usize;
        (0..count)
            .map(|n| said(self.packet(n).expect("a packet that is told of"), size))
            .collect()
    }

    fn index(&self) -> Option<SimpleIndex> {
        let end = self
            .header
            .packet_offset(self.header.packet_count()? as u32);
        SimpleIndex::parse(self.bytes.get(end as usize..)?).ok()
    }
}

/// What a recording says of some packets, its clock starting at the first one.
fn wanted(clip: Clip, numbers: std::ops::Range<u32>) -> Vec<Said> {
    let first = numbers.start * clip.interval;
    numbers
        .map(|n| {
            let mut packet = clip.packet(n);
            let size = clip.packet_size as u32;
            asf::retime(&mut packet, size, first.wrapping_neg()).expect("a packet");
            said(&packet, clip.packet_size)
        })
        .collect()
}

// ASF-23, ASF-63
#[test]
fn a_recording_has_every_payload_from_the_first_key_frame_on() {
    let folder = Folder::new("archive-whole");
    let directory = folder.0.join("made/by/it");
    let mut stream = Stream::new(SHORT, &archive_in(&directory));
    // The first key frame is in packet 5.
    stream.send(2..4);
    stream.send(4..11);
    stream.send(11..20);
    let totals = stream.end();
    let found = files(&directory);
    assert_eq!(found.len(), 1, "{found:?}");
    let name = found[0]
        .file_name()
        .and_then(|n| n.to_str())
        .expect("a name");
    assert!(
        name.starts_with("live-2") && name.ends_with("Z.wmv") && name.len() == 25,
        "{name}"
    );
    let file = Found::read(&found[0]);
    assert_eq!(file.packets(), wanted(SHORT, 5..20));
    let header = &file.header;
    assert_eq!(header.preroll_ms(), SHORT.preroll);
    assert_ne!(header.file_id(), [0x11; 16], "another version of the file");
    assert_eq!(header.play_duration_ms(), Some(1500));
    let properties = header.file_properties();
    assert_eq!(properties.send_duration, 15_000_000);
    assert_eq!(properties.file_size, file.bytes.len() as u64);
    assert_eq!(
        (totals.files, totals.errors, totals.dropped, totals.file),
        (1, 0, 0, None)
    );
    let media = file.bytes.len() as u64 - header.blob_len();
    assert_eq!(totals.bytes, media);
}

// ASF-52, ASF-54
#[test]
fn the_index_of_a_recording_leads_to_key_frames() {
    let folder = Folder::new("archive-index");
    let mut stream = Stream::new(LARGE, &archive_in(&folder.0));
    stream.send(0..100);
    stream.end();
    let file = Found::read(&files(&folder.0)[0]);
    let index = file.index().expect("an index");
    assert_eq!(index.file_id.0, file.header.file_id());
    // Key frames every 800 ms, the first one at 100 ms.
    let key_before = |ms: u32| ms.saturating_sub(LARGE.preroll) / 800 * 8;
    for (second, entry) in index.entries.iter().enumerate() {
        assert_eq!(
            (entry.packet, entry.count),
            (key_before(second as u32 * 1000), 1),
            "second {second}"
        );
    }
    assert_eq!(index.entries.len(), 11);
    for ms in [0, 500, 3333, 9900] {
        let hints = Hints {
            keys: None,
            simple: std::slice::from_ref(&index),
            index: None,
        };
        let target = SeekTarget::PlayTime(ms);
        let mut seek = Seek::new(&file.header, target, Selection::of([1, 2]), hints, 100);
        let landed = loop {
            match seek.step() {
                SeekStep::Done(packet) => break packet,
                SeekStep::NeedPacket(n) => seek.give(n, file.packet(n).expect("there")),
            }
        };
        assert_eq!(landed, ms / 800 * 8, "{ms} ms");
    }
}

/// A crash leaves what was in the file at some moment: here one is taken after the other while it is
/// written.
#[test]
fn a_recording_is_whole_at_every_moment() {
    let folder = Folder::new("archive-moments");
    let mut stream = Stream::new(LARGE, &archive_in(&folder.0));
    stream.send(0..8);
    until("the file is begun", || {
        files(&folder.0).iter().any(|f| {
            let bytes = fs::read(f).unwrap_or_default();
            Header::parse(&bytes).is_ok_and(|h| h.packet_count() == Some(8))
        })
    });
    let path = files(&folder.0).remove(0);
    let looker = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut seen = std::collections::BTreeSet::new();
            while seen.last().is_none_or(|count| *count < 300) {
                let file = Found::read(&path);
                let packets = file.packets();
                assert_eq!(packets, wanted(LARGE, 0..packets.len() as u32));
                seen.insert(packets.len());
            }
            seen
        }
    });
    // Longer than headers go without being brought up to date.
    let mut next = 8;
    let told = || {
        Header::parse(&fs::read(&path).expect("a file"))
            .ok()?
            .packet_count()
    };
    while told().is_none_or(|count| count < 300) {
        if next < LARGE.packets {
            stream.send(next..next + 4);
            next += 4;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let crashed = fs::read(&path).expect("a file");
    let seen = looker.join().expect("always whole");
    assert!(seen.len() >= 2, "{seen:?}");
    // Cut off in a packet, as a full disk or a lost page does it.
    let header = Header::parse(&crashed).expect("a header");
    let cut = header.packet_offset(40) as usize + 4000;
    assert_eq!(header.packets_in(cut as u64), 40);
    let vod = folder.0.join("vod");
    fs::create_dir(&vod).expect("a folder");
    fs::write(vod.join("crashed.wmv"), &crashed).expect("written");
    fs::write(vod.join("cut.wmv"), &crashed[..cut]).expect("written");
    let server = start(config(&folder, VOD));
    for (name, least) in [("crashed.wmv", 300), ("cut.wmv", 40)] {
        let path = format!("/vod/{name}");
        let (mut client, reply) = Client::ask(http(&server), &play(&path, None, &[1, 2], FAST));
        assert_eq!(reply.status, 200, "{}", reply.head);
        let (data, end) = client.all_data();
        assert!(data.len() >= least, "{name}: {}", data.len());
        assert!(matches!(end, Event::End(0)), "{name}: {end:?}");
    }
    server.stop();
}

const VOD: &str = r#"
[server]
cores = 1
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "vod"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
"#;

#[test]
fn files_rotate_at_key_frames_and_the_oldest_go() {
    let folder = Folder::new("archive-rotate");
    let config = ArchiveConfig {
        max_size: Size::mib(1),
        keep: 2,
        ..archive_in(&folder.0)
    };
    fs::write(folder.0.join("live-notes.wmv"), "not a recording").expect("written");
    let mut stream = Stream::new(LARGE, &config);
    for at in (0..600).step_by(20) {
        stream.send(at..at + 20);
    }
    let totals = stream.end();
    // 131 packets fit, the next key frame is in packet 136.
    assert_eq!(totals.files, 5);
    let left: Vec<PathBuf> = files(&folder.0)
        .into_iter()
        .filter(|f| !f.ends_with("live-notes.wmv"))
        .collect();
    assert!(folder.0.join("live-notes.wmv").exists());
    assert_eq!(left.len(), 2, "{left:?}");
    let of = |file: &PathBuf| Found::read(file).packets();
    assert_eq!(of(&left[0]), wanted(LARGE, 408..544));
    assert_eq!(of(&left[1]), wanted(LARGE, 544..600));
}

#[test]
fn files_rotate_with_time_and_with_the_streams() {
    let folder = Folder::new("archive-entries");
    let config = ArchiveConfig {
        max_duration: Span::secs(10),
        ..archive_in(&folder.0)
    };
    let mut stream = Stream::new(LARGE, &config);
    stream.send(0..150);
    // The encoder comes back with the same streams: the file goes on, its clock too.
    stream.begin(LARGE);
    stream.send(3..20);
    // With others there is another file.
    stream.begin(SHORT);
    stream.send(0..20);
    let totals = stream.end();
    assert_eq!(totals.files, 3);
    let found: Vec<Found> = files(&folder.0).iter().map(|f| Found::read(f)).collect();
    assert_eq!(found[0].packets(), wanted(LARGE, 0..104));
    let second = found[1].packets();
    assert_eq!(second[..46], wanted(LARGE, 104..150)[..]);
    // From the key frame in packet 8 on.
    assert_eq!(second.len(), 46 + 12);
    let again = &second[46..];
    let sent: Vec<u32> = again.iter().map(|p| p.send).collect();
    let expected: Vec<u32> = (46..58).map(|n| n * LARGE.interval).collect();
    assert_eq!(sent, expected, "no hole and no way back");
    let data =
        |said: &[Said]| -> Vec<_> { said.iter().map(|p| p.payloads[0].data.clone()).collect() };
    assert_eq!(data(again), data(&wanted(LARGE, 8..20)));
    assert_eq!(found[2].packets(), wanted(SHORT, 0..20));
}

#[test]
fn what_cannot_be_written_is_reported() {
    let folder = Folder::new("archive-nowhere");
    fs::write(folder.0.join("file"), "").expect("written");
    let mut stream = Stream::new(SHORT, &archive_in(&folder.0.join("file/below")));
    stream.send(0..10);
    stream.wait("the failure is told", |t| t.errors == 1);
    stream.send(10..20);
    stream.wait("packets are counted", |t| t.dropped == 20);
    let totals = stream.end();
    assert!(totals.error.is_some_and(|e| e.contains("file/below")));
    assert_eq!((totals.files, totals.errors), (0, 1));
}

#[test]
fn the_free_space_floor_is_kept() {
    let folder = Folder::new("archive-floor");
    let config = ArchiveConfig {
        free_space_floor: Size(1 << 60),
        ..archive_in(&folder.0)
    };
    let mut stream = Stream::new(SHORT, &config);
    stream.send(0..10);
    stream.wait("the failure is told", |t| t.errors == 1);
    let totals = stream.end();
    assert!(totals.error.is_some_and(|e| e.contains("free_space_floor")));
    assert!(files(&folder.0).is_empty());
}

/// A file system of 2 MiB, if this process may make one.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: &Path) -> Option<Tiny> {
        fs::create_dir(at).expect("a folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "none"])
            .arg(at)
            .status();
        done.is_ok_and(|s| s.success())
            .then(|| Tiny(at.to_path_buf()))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_a_whole_file() {
    let folder = Folder::new("archive-full");
    let Some(tiny) = Tiny::mount(&folder.0.join("tiny")) else {
        eprintln!("not tested: no file system can be mounted here");
        return;
    };
    let mut stream = Stream::new(LARGE, &archive_in(&tiny.0));
    for at in (0..400).step_by(8) {
        stream.send(at..at + 8);
    }
    stream.wait("the failure is told", |t| t.errors == 1);
    let totals = stream.end();
    assert!(
        totals.error.is_some() && totals.file.is_none(),
        "{totals:?}"
    );
    let found = files(&tiny.0);
    assert_eq!(found.len(), 1);
    let file = Found::read(&found[0]);
    let packets = file.packets();
    assert!((200..262).contains(&packets.len()), "{}", packets.len());
    assert_eq!(packets, wanted(LARGE, 0..packets.len() as u32));
    let end = file.header.packet_offset(packets.len() as u32);
    assert_eq!(file.bytes.len() as u64, end, "nothing half written");
    assert_eq!(totals.dropped, 400 - packets.len() as u64);
}

const LIVE: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "archive"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
[[point]]
name = "live"
kind = "broadcast"
source = "clip.wmv"
buffer = "3s"
[point.archive]
directory = "archive"
free_space_floor = "0B"
"#;

/// What is recorded is played from its beginning while it grows, and ends in order with it.
#[test]
fn a_growing_recording_is_played_sought_and_ended() {
    let folder = Folder::with_clip("archive-growing");
    fs::create_dir(folder.0.join("archive")).expect("a folder");
    let server = start(config(&folder, LIVE));
    let at = http(&server);
    let recording = || server.metrics().archive_totals("live")?.file;
    until("it is recorded, though nobody watches", || {
        recording().is_some()
    });
    let path = PathBuf::from(recording().expect("a file"));
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
    let url = format!("/vod/{name}");
    until("some seconds are told of", || {
        let header = Header::parse(&fs::read(&path).expect("a file"));
        header.is_ok_and(|h| h.play_duration_ms() > Some(2500))
    });
    let mut viewer = Player::play(at, &url, &[1, 2], "");
    let header = viewer.header();
    assert!(!header.is_broadcast());
    let known = header.packet_count().expect("a number");
    let clip = Found::read(&clip());
    let mut data = vec![viewer.data()];
    while data.len() < known as usize + 40 {
        data.push(viewer.data());
    }
    for (n, data) in data.iter().enumerate() {
        assert_eq!(data.number as usize, n, "no gap");
        let got = said(&data.payload, header.packet_size() as usize);
        let turn = clip.header.packet_count().expect("a number") as usize;
        let want = &clip.packets()[n % turn];
        let bytes =
            |said: &Said| -> Vec<_> { said.payloads.iter().map(|p| p.data.clone()).collect() };
        assert_eq!(bytes(&got), bytes(want), "packet {n}");
    }
    // Another one starts at the key frame that is shown before 3.5 s.
    let mut seeker = Player::play(at, &url, &[1, 2], "Pragma: stream-time=3500\r\n");
    let header = seeker.header();
    let first = seeker.data();
    let size = header.packet_size();
    let packet = Packet::parse(&first.payload, size).expect("a packet");
    let video = packet
        .payloads()
        .find(|p| p.stream == 1)
        .expect("a picture");
    assert!(video.key && video.starts_object());
    let shown = video.presentation.expect("a time") - header.preroll_ms();
    assert!((1900..=3500).contains(&shown), "{shown}");
    assert!(
        !folder.0.join(format!("archive/{name}.rcx")).exists(),
        "no index of what still grows is kept"
    );
    // The point goes: the recording ends, and who watches it comes to its end.
    let without = LIVE
        .split("[[point]]\nname = \"live\"")
        .next()
        .expect("a part");
    server.reload(config(&folder, without)).expect("a reload");
    let events = viewer.rest();
    assert!(
        matches!(events.last(), Some(support::Event::End(0))),
        "{:?}",
        events.last()
    );
    let whole = Found::read(&path);
    let last = events.iter().rev().find_map(|e| match e {
        support::Event::Data(data) => Some(data.number),
        _ => None,
    });
    let count = whole.header.packet_count().expect("a number") as u32;
    assert_eq!(last, Some(count - 1), "to the last packet");
    assert!(whole.index().is_some());
    server.stop();
}
