//! `ringcast probe`: plays a URL without decoding and says what came.

mod save;
mod seen;

use crate::driver::Driver;
use crate::output::{Answer, Output};
use clap::ArgAction;
use protocols::content::{Accel, Level, Start};
use protocols::machine::Time;
use protocols::media::{Ingest, IngestEvent, News};
use protocols::playlist::asx::{self, Item};
use protocols::wmsp::client::{Client, ClientConfig, Streams, Url};
use save::Saver;
use seen::{Playback, Seen};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the end of a session (stop, log) may take.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of IPv4 (20) and TCP (20, and 12 for the time stamps that Linux asks for) around each
/// segment: they take their time on the link, too.
const SEGMENT_HEADERS: usize = 52;
/// How long a probe lasts if nothing else is said.
const DURATION: Duration = Duration::from_secs(10);
/// Announcements inside announcements.
const DEPTH_MAX: usize = 4;
/// URLs that are tried for one probe.
const ATTEMPT_COUNT_MAX: usize = 32;

/// Arguments of `probe`.
#[derive(clap::Args)]
pub struct Args {
    /// http://, mms:// or mmsh:// URL, or an .asx file or URL
    url: String,
    /// Write what comes to an ASF file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How long to play, such as 10s, or "all" for until the end [default: 10s, with --save all]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Where to start, such as 90s
    #[arg(long, value_parser = duration, default_value = "0s")]
    start: Duration,
    /// "all", "fitting" (one of each alternative), or numbers; "3:key" is key frames only
    #[arg(long, value_parser = streams, default_value = "all")]
    streams: StreamsArg,
    /// Measure the link with a packet pair
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true")]
    packet_pair: bool,
    /// Try to send requests on the connection that carries media
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true")]
    pipelined: bool,
    /// Ask for Fast Start at this many bit/s
    #[arg(long, value_name = "BPS")]
    accel: Option<u32>,
    /// Ask for this speed, times real time
    #[arg(long)]
    speed: Option<f64>,
    /// Player version that is announced
    #[arg(long, default_value = "12.0.7601.17514")]
    player_version: String,
    /// Submit no client log at the end
    #[arg(long)]
    no_log: bool,
    /// How long to wait for a connection or a reply
    #[arg(long, value_parser = duration, default_value = "10s")]
    timeout: Duration,
}

#[derive(Clone)]
struct StreamsArg(Streams);

/// Exit 0 if media came, 1 if the server refused or broke off, 2 if it could not be asked.
pub fn run(args: &Args, output: Output) -> Answer {
    let mut waiting = first_urls(&args.url)?;
    let mut playback = None;
    let mut attempts = 0;
    while let Some((url, depth)) = waiting.pop() {
        attempts += 1;
        if attempts > ATTEMPT_COUNT_MAX {
            return Err(format!("{}: too many references", args.url));
        }
        let played = play(args, &url, output)?;
        let announced = played.announcement.as_deref().filter(|_| depth < DEPTH_MAX);
        if let Some(text) = announced {
            let base = Url::parse(&url).ok();
            waiting.extend(
                references(text, base.as_ref())
                    .into_iter()
                    .rev()
                    .map(|u| (u, depth + 1)),
            );
        }
        let fine = played.packets > 0 && played.failed.is_none();
        let is_announcement = played.announcement.is_some();
        playback = Some(played);
        if fine || (waiting.is_empty() && !is_announcement) {
            break;
        }
    }
    let Some(playback) = playback else {
        return Err(format!("{}: lists nothing that can be played", args.url));
    };
    output.print(&playback, Playback::text);
    if playback.server.is_none() && playback.packets == 0 && !playback.faults.is_empty() {
        return Err(playback.faults.join("; "));
    }
    Ok(playback.packets > 0 && playback.failed.is_none())
}

/// The URL, or those that a local announcement file lists, in reverse order.
fn first_urls(url: &str) -> Result<Vec<(String, usize)>, String> {
    if url.contains("://") {
        return Ok(vec![(url.to_owned(), 0)]);
    }
    let bytes = super::read_file(Path::new(url), asx::BYTES_MAX as u64)?;
    let found = references(&protocols::wmlog::text(&bytes), None);
    if found.is_empty() {
        return Err(format!(
            "{url}: neither a URL nor an announcement file that lists one"
        ));
    }
    Ok(found.into_iter().rev().map(|u| (u, 0)).collect())
}

/// URLs of the first entry, alternatives in order; includes after it.
fn references(text: &str, base: Option<&Url>) -> Vec<String> {
    let absolute = |reference: &str| match base {
        Some(base) => base
            .join(reference)
            .map_or(reference.to_owned(), |u| u.to_string()),
        None => reference.to_owned(),
    };
    let mut entries = Vec::new();
    let mut includes = Vec::new();
    for item in asx::read(text).unwrap_or_default() {
        match item {
            Item::Entry(list) if entries.is_empty() => {
                entries.extend(list.iter().map(|r| absolute(&r.url)));
            }
            Item::Entry(_) => {}
            Item::Include(url) => includes.push(absolute(&url)),
        }
    }
    entries.extend(includes);
    entries
}

fn play(args: &Args, url: &str, output: Output) -> Result<Playback, String> {
    let client = Client::new(client_config(args, url)).map_err(|e| format!("{url}: {e}"))?;
    let mut driver = Driver::new(client);
    if args.packet_pair {
        driver = driver.precise();
    }
    let mut saver = args.save.as_deref().map(Saver::new);
    let mut seen = Seen::new(url);
    let mut progress = Progress::new(output);
    let limit = match (args.duration, &args.save) {
        (Some(limit), _) => limit,
        (None, Some(_)) => Duration::MAX,
        (None, None) => DURATION,
    };
    let mut each = |now: Time, ingest: Ingest| -> ControlFlow<String> {
        progress.show(now, &seen);
        if let Some(saver) = &mut saver
            && let Err(e) = saver.take(&ingest.event)
        {
            return ControlFlow::Break(e);
        }
        seen.take(now, &ingest.event);
        ControlFlow::Continue(())
    };
    let mut fault = driver.run(Time::ZERO + limit, Client::is_done, &mut each);
    if fault.is_none() {
        let now = driver.now();
        driver.machine().finish(now);
        fault = driver.run(now + FINISH_LIMIT, Client::is_done, &mut each);
    }
    progress.end();
    if let Some(fault) = fault {
        return Err(fault);
    }
    let pipelined = driver.machine().is_pipelined();
    let saved = saver.map(Saver::finish).transpose()?.flatten();
    Ok(seen.finish(pipelined, driver.faults(), saved))
}

fn client_config(args: &Args, url: &str) -> ClientConfig {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seed = since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32);
    let start_ms = u32::try_from(args.start.as_millis()).unwrap_or(u32::MAX);
    ClientConfig {
        version: args.player_version.clone(),
        packet_pair: args.packet_pair,
        segment_headers: SEGMENT_HEADERS,
        pipelined: args.pipelined,
        accel: args.accel.map(|bits_per_second| Accel {
            bits_per_second,
            duration_ms: 20_000,
        }),
        speed_milli: args
            .speed
            .map(|s| (s * 1000.0).round().clamp(0.0, 1e9) as u32),
        start: if start_ms == 0 {
            Start::Beginning
        } else {
            Start::Time(start_ms)
        },
        streams: args.streams.0.clone(),
        send_log: !args.no_log,
        unix_seconds: since.as_secs(),
        reply_timeout: args.timeout,
        ..ClientConfig::new(url, seed)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if text == "all" {
        return Ok(Duration::MAX);
    }
    text.parse().map(engine::ops::config::Span::get)
}

fn streams(text: &str) -> Result<StreamsArg, String> {
    let one = |part: &str| {
        let (number, level) = match part.split_once(':') {
            None => (part, Level::Whole),
            Some((number, "key")) => (number, Level::KeyOnly),
            Some(_) => {
                return Err(format!(
                    "\"{part}\": after the number comes nothing or \":key\""
                ));
            }
        };
        match number.parse() {
            Ok(number @ 1..=127) => Ok((number, level)),
            _ => Err(format!("\"{number}\" is no stream number from 1 to 127")),
        }
    };
    Ok(StreamsArg(match text {
        "all" => Streams::All,
        "fitting" => Streams::Fitting,
        list => Streams::Only(list.split(',').map(one).collect::<Result<_, _>>()?),
    }))
}

/// A line on a terminal while it lasts.
struct Progress {
    shown: bool,
    next: Time,
    wanted: bool,
}

impl Progress {
    fn new(output: Output) -> Progress {
        Progress {
            shown: false,
            next: Time(500_000),
            wanted: !output.json && std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, now: Time, seen: &Seen) {
        if self.wanted && now >= self.next {
            self.shown = true;
            self.next = now + Duration::from_millis(500);
            let mut err = std::io::stderr();
            let _ = write!(err, "\r{} ", seen.progress(now)).and_then(|()| err.flush());
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The text of an announcement, if that is what the event is about.
fn announcement(event: &IngestEvent) -> Option<&str> {
    match event {
        IngestEvent::News(news) => match &**news {
            News::Announcement(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_read_with_their_levels() {
        assert_eq!(streams("all").map(|s| s.0), Ok(Streams::All));
        let some = Streams::Only(vec![(1, Level::Whole), (3, Level::KeyOnly)]);
        assert_eq!(streams("1,3:key").map(|s| s.0), Ok(some));
        for bad in ["", "0", "128", "1:all", "x"] {
            assert!(streams(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn references_are_tried_in_their_order() {
        let text = "<ASX><ENTRYREF HREF=\"more.asx\"/><ENTRY><REF HREF=\"mms://a/b\"/>\
                    <REF HREF=\"c.wmv\"/></ENTRY></ASX>";
        let base = Url::parse("http://h:81/x/y.asx").expect("a URL");
        let found = references(text, Some(&base));
        assert_eq!(found.len(), 3);
        assert!(
            found[0].contains("a") && found[0].ends_with("/b"),
            "{found:?}"
        );
        assert_eq!(found[1], "http://h:81/x/c.wmv");
        assert_eq!(found[2], "http://h:81/x/more.asx");
    }
}
