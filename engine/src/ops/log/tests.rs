use super::*;
use crate::ops::config::{Log, Rotate, Size};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("ringcast-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }

    fn config(&self) -> Log {
        Log {
            directory: Some(self.0.clone()),
            free_space_floor: Size(0),
            ..Log::default()
        }
    }

    /// Every file below, by its path relative to the directory.
    fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.0.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).expect("readable") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let name = path
                    .strip_prefix(&self.0)
                    .expect("below")
                    .display()
                    .to_string();
                found.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
        found
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// 2026-01-02 23:59:00 UTC.
const EVENING: u64 = 1_767_398_340_000;
const MINUTE: u64 = 60_000;

fn record(session: u64, event: Event) -> LogRecord {
    let peer = "192.0.2.7:4000".parse().expect("address");
    let local = "192.0.2.1:80".parse().expect("address");
    LogRecord {
        session,
        point: Some("live".into()),
        target: "/live?a=b c".into(),
        user_agent: "NSPlayer/9.0 (x; y)".into(),
        sent_bytes: 5_000_000_000,
        sent_packets: 9,
        unix_ms: EVENING,
        started_ms: EVENING,
        ..LogRecord::new(event, Protocol::Wmsp, peer, local)
    }
}

fn sink(config: &Log) -> Sink {
    let identity = LogIdentity {
        host: Some("media.example.org".into()),
        cores: 2,
    };
    Sink::new(config, identity, Metrics::new()).expect("a sink")
}

/// Lines of the W3C file that are no header.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with('#'))
}

/// Column of a W3C line by its name in `#Fields`.
fn column<'t>(text: &'t str, line: &'t str, name: &str) -> &'t str {
    let fields = text
        .lines()
        .find_map(|l| l.strip_prefix("#Fields: "))
        .expect("#Fields");
    let at = fields.split(' ').position(|f| f == name).expect("a column");
    line.split(' ').nth(at).expect("a value")
}

// WMLOG-44, WMLOG-45
#[test]
fn a_session_without_a_client_log_is_a_line_of_what_the_server_knows() {
    let directory = Directory::new("ended");
    let mut sink = sink(&directory.config());
    sink.write(&record(77, Event::Ended { logged: false }), EVENING);
    sink.write(&record(78, Event::Ended { logged: true }), EVENING);
    sink.flush();
    let files = directory.files();
    let text = &files["live/WMS_20260102.log"];
    let written: Vec<&str> = lines(text).collect();
    assert_eq!(
        written.len(),
        1,
        "a session with a client log has its line already"
    );
    assert_eq!(written[0].split(' ').count(), 52);
    for (name, value) in [
        ("c-ip", "192.0.2.7"),
        ("date", "2026-01-02"),
        ("time", "23:59:00"),
        ("s-session-id", "77"),
        ("sc-bytes", "5000000000"),
        ("s-pkts-sent", "9"),
        ("s-ip", "192.0.2.1"),
        ("s-dns", "media.example.org"),
        ("c-status", "200"),
        ("cs-uri-stem", "/live"),
    ] {
        assert_eq!(column(text, written[0], name), value, "{name}");
    }
    assert_eq!(files["ringcast.json.log"].lines().count(), 2);
}

#[test]
fn every_event_is_a_json_object() {
    let directory = Directory::new("json");
    let mut sink = sink(&directory.config());
    let log = "0.0.0.0 2026-01-02 23:58:00 - http://h/live 0 3 1 200 - - - - - - - - - - - - - http TCP \
               - - - 9 9 9 9 0 0 0 0 0 0 0 0 100 - - - -";
    for event in [
        Event::ClientLog(ClientLog::W3c(log.into())),
        Event::Ended { logged: true },
        Event::Refused {
            reason: "the \"limit\"".into(),
        },
        Event::Fault {
            connection: 5,
            offset: 17,
            reason: "no\nmethod".into(),
        },
    ] {
        sink.write(&record(1, event), EVENING + 5);
    }
    sink.flush();
    let text = directory
        .files()
        .remove("ringcast.json.log")
        .expect("the file");
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("an object"))
        .collect();
    let events: Vec<&str> = objects.iter().filter_map(|o| o["event"].as_str()).collect();
    assert_eq!(events, ["client_log", "ended", "refused", "fault"]);
    assert_eq!(objects[0]["client_log"]["fields"]["c-pkts-received"], "9");
    assert_eq!(objects[0]["time"], "2026-01-02T23:59:00.000Z");
    assert_eq!(objects[0]["sent_bytes"], 5_000_000_000u64);
    assert_eq!(objects[2]["reason"], "the \"limit\"");
    assert_eq!(
        (&objects[3]["offset"], &objects[3]["connection"]),
        (&17.into(), &5.into())
    );
    assert_eq!(objects[3]["reason"], "no\nmethod");
}

/// Writes sessions 1 to `count`, a second apart.
fn write_many(config: &Log, count: u64) {
    let mut sink = sink(config);
    for session in 1..=count {
        let now = EVENING + session * 1000;
        sink.write(&record(session, Event::Ended { logged: false }), now);
        if session % 7 == 0 {
            sink.flush();
        }
        if session % 50 == 0 {
            sink.close();
            // As if the clock of the file system were the test's.
            let path = config
                .directory
                .as_ref()
                .expect("set")
                .join("ringcast.json.log");
            let file = fs::OpenOptions::new()
                .append(true)
                .open(path)
                .expect("there");
            let then = UNIX_EPOCH + Duration::from_millis(now);
            file.set_modified(then).expect("own file");
        }
    }
    sink.flush();
}

/// Every session stands in exactly one W3C line and one JSON line, every W3C file has its header.
fn assert_complete(directory: &Directory, count: u64) {
    let (mut w3c, mut json) = (Vec::<u64>::new(), Vec::<u64>::new());
    for (name, text) in directory.files() {
        if !name.contains("WMS_") {
            json.extend(text.lines().map(|l| {
                let value: serde_json::Value = serde_json::from_str(l).expect("an object");
                value["session"].as_u64().expect("a number")
            }));
            continue;
        }
        assert_eq!(text.matches("#Fields: ").count(), 1, "{name}");
        assert!(text.starts_with('#'), "{name}");
        for line in lines(&text) {
            assert_eq!(line.split(' ').count(), 52, "{name}: {line}");
            w3c.push(
                column(&text, line, "s-session-id")
                    .parse()
                    .expect("a number"),
            );
        }
    }
    let all: Vec<u64> = (1..=count).collect();
    w3c.sort_unstable();
    json.sort_unstable();
    assert_eq!(w3c, all);
    assert_eq!(json, all);
}

// WMLOG-46
#[test]
fn rotation_at_midnight_loses_and_repeats_nothing() {
    let directory = Directory::new("day");
    write_many(&directory.config(), 200);
    assert_complete(&directory, 200);
    let files = directory.files();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "live/WMS_20260102.log",
            "live/WMS_20260103.log",
            "ringcast.json.log",
            "ringcast.json_20260102.log"
        ]
    );
    assert_eq!(lines(&files["live/WMS_20260102.log"]).count(), 59);
}

// WMLOG-46
#[test]
fn rotation_by_size_loses_and_repeats_nothing() {
    let directory = Directory::new("size");
    let config = Log {
        rotate: Rotate::Size,
        max_size: Size(4000),
        ..directory.config()
    };
    write_many(&config, 200);
    assert_complete(&directory, 200);
    let files = directory.files();
    assert!(files.len() > 20, "{} files", files.len());
    for (name, text) in &files {
        assert!(text.len() <= 4000, "{name} has {} bytes", text.len());
    }
    assert!(files.contains_key("live/WMS_20260102_1.log"));
}

// WMLOG-46
#[test]
fn rotation_by_the_hour_names_the_hour() {
    let directory = Directory::new("hour");
    let config = Log {
        rotate: Rotate::Hour,
        ..directory.config()
    };
    write_many(&config, 100);
    assert_complete(&directory, 100);
    let files = directory.files();
    assert!(files.contains_key("live/WMS_2026010223.log"));
    assert!(files.contains_key("live/WMS_2026010300.log"));
}

#[test]
fn a_line_torn_by_a_crash_is_ended_before_the_next() {
    let directory = Directory::new("torn");
    fs::create_dir_all(directory.0.join("live")).expect("directory");
    let path = directory.0.join("live/WMS_20260102.log");
    fs::write(&path, "#Fields: c-ip\r\n192.0.2.").expect("write");
    let mut sink = sink(&directory.config());
    sink.write(&record(1, Event::Ended { logged: false }), EVENING);
    sink.flush();
    let text = fs::read_to_string(&path).expect("text");
    assert!(
        text.starts_with("#Fields: c-ip\r\n192.0.2.\r\n192.0.2.7 2026"),
        "{text}"
    );
}

#[test]
fn what_belongs_to_no_point_goes_to_the_global_directory() {
    let directory = Directory::new("global");
    let mut sink = sink(&directory.config());
    for point in [None, Some("../up"), Some(".."), Some("")] {
        let refused = LogRecord {
            point: point.map(Into::into),
            status: 404,
            ..record(
                0,
                Event::Refused {
                    reason: "no such point".into(),
                },
            )
        };
        sink.write(&refused, EVENING);
    }
    sink.flush();
    let files = directory.files();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["[Global]/WMS_20260102.log", "ringcast.json.log"]);
    assert!(!directory.0.with_file_name("up").exists());
    let text = &files["[Global]/WMS_20260102.log"];
    let statuses: Vec<&str> = lines(text).map(|l| column(text, l, "c-status")).collect();
    assert_eq!(statuses, ["404"; 4]);
}

#[test]
fn under_the_floor_logging_stops_and_goes_on_later() {
    let directory = Directory::new("floor");
    let config = Log {
        free_space_floor: Size::mib(1),
        ..directory.config()
    };
    let metrics = Metrics::new();
    let mut sink = Sink::new(&config, LogIdentity::default(), metrics.clone()).expect("a sink");
    sink.free_space = |_| Some(1000);
    sink.write(&record(1, Event::Ended { logged: false }), EVENING);
    sink.flush();
    assert!(directory.files().is_empty());
    assert_eq!((metrics.log.stopped.get(), metrics.log.lost.get()), (1, 1));
    sink.free_space = |_| Some(1 << 30);
    sink.write(
        &record(2, Event::Ended { logged: false }),
        EVENING + MINUTE / 2,
    );
    sink.flush();
    assert_eq!(metrics.log.stopped.get(), 0);
    assert_eq!(metrics.log.lines.get(), 2);
}

#[test]
fn a_file_that_cannot_be_made_costs_lines_and_nothing_else() {
    let directory = Directory::new("blocked");
    fs::write(
        directory.0.join("live"),
        "a file where a directory should be",
    )
    .expect("write");
    let metrics = Metrics::new();
    let mut sink =
        Sink::new(&directory.config(), LogIdentity::default(), metrics.clone()).expect("a sink");
    sink.write(&record(1, Event::Ended { logged: false }), EVENING);
    sink.flush();
    assert_eq!((metrics.log.lines.get(), metrics.log.lost.get()), (1, 1));
}

// WMLOG-47
#[test]
fn a_stalled_disk_drops_the_oldest_and_never_waits() {
    let directory = Directory::new("stall");
    // Opening a FIFO without a reader blocks: the writer's thread is stuck there.
    let path = directory.0.join("ringcast.json.log");
    crate::ops::sys::make_fifo(&path).expect("a FIFO");
    let config = Log {
        w3c: false,
        ..directory.config()
    };
    let metrics = Metrics::new();
    let identity = LogIdentity {
        host: None,
        cores: 1,
    };
    let writer = LogWriter::start(&config, identity, metrics.clone()).expect("start");
    let handle = writer.handle(CoreId(0));
    let count = QUEUE_RECORD_COUNT_MAX as u64 * 3;
    for session in 1..=count {
        handle.push(record(session, Event::Ended { logged: false }));
    }
    // The writer took at most what was queued when it began, and is stuck with it since.
    let dropped = metrics.core(CoreId(0)).log_records_dropped.get();
    let most = count - QUEUE_RECORD_COUNT_MAX as u64;
    assert!(dropped > 0 && dropped <= most, "{dropped} dropped");
    // The disk comes back: what is still queued arrives, the newest included.
    let reader = std::thread::spawn(move || fs::read_to_string(path).expect("text"));
    drop(writer);
    let text = reader.join().expect("reader");
    let last: serde_json::Value =
        serde_json::from_str(text.lines().last().expect("lines")).expect("an object");
    assert_eq!(last["session"], count);
    assert_eq!(text.lines().count() as u64, count - dropped);
}

#[test]
fn the_thread_writes_what_comes_from_every_core() {
    let directory = Directory::new("thread");
    let metrics = Metrics::new();
    let identity = LogIdentity {
        host: None,
        cores: 2,
    };
    let writer = LogWriter::start(&directory.config(), identity, metrics.clone()).expect("start");
    let cores: Vec<_> = (0..2)
        .map(|core| {
            let handle = writer.handle(CoreId(core));
            std::thread::spawn(move || {
                for i in 0..500 {
                    handle.push(record(
                        u64::from(core) * 500 + i + 1,
                        Event::Ended { logged: false },
                    ));
                }
            })
        })
        .collect();
    for core in cores {
        core.join().expect("core");
    }
    writer.reopen();
    drop(writer);
    assert_eq!(metrics.log.lines.get(), 2000);
    assert_complete(&directory, 1000);
}
