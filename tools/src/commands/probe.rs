//! `ringcast probe`: plays a URL without decoding and says what came.

mod player;
mod save;
mod seen;
mod station;

use crate::datagrams::Interface;
use crate::driver::Driver;
use crate::output::{Answer, Output};
use clap::ArgAction;
use player::Player;
use protocols::client::Streams;
use protocols::content::Level;
use protocols::machine::Time;
use protocols::media::{Ingest, IngestEvent, News};
use protocols::playlist::asx::{self, Item};
use protocols::wmsp::client::Url;
use save::Saver;
use seen::{Playback, Seen};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the end of a session (stop, log) may take.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
/// How long a probe lasts if nothing else is said.
const DURATION: Duration = Duration::from_secs(10);
/// Announcements inside announcements.
const DEPTH_MAX: usize = 4;
/// URLs that are tried for one probe.
const ATTEMPT_COUNT_MAX: usize = 32;

/// Arguments of `probe`.
#[derive(clap::Args)]
pub struct Args {
    /// mms://, mmst://, mmsu://, rtsp://, rtspt://, rtspu://, http://, mmsh:// or msbd:// URL, or an
    /// .asx or .nsc file or URL
    ///
    /// mms:// is MMS over TCP, as mmst:// is, and HTTP if nobody speaks MMS there; mmsu:// is MMS with media
    /// in datagrams. rtspt:// is RTSP with media on the connection, rtspu:// in datagrams; with rtsp:// it
    /// comes on the connection if datagrams do not get through. msbd:// is what encoders and servers give to
    /// servers.
    url: String,
    /// Write what comes to an ASF file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How long to play, such as 10s, or "all" for until the end [default: 10s, with --save all]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Where to start, such as 90s
    #[arg(long, visible_alias = "seek", value_parser = duration, default_value = "0s")]
    start: Duration,
    /// Play rate, such as 5, or -5 for backwards; key frames only
    #[arg(long, value_parser = rate, default_value = "1", allow_negative_numbers = true)]
    rate: i32,
    /// "all", "fitting" (one of each alternative), or numbers; "3:key" is key frames only
    #[arg(long, value_parser = streams, default_value = "all")]
    streams: StreamsArg,
    /// Measure the link with a packet pair
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true")]
    packet_pair: bool,
    /// HTTP: try to send requests on the connection that carries media
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true")]
    pipelined: bool,
    /// Ask for Fast Start at this many bit/s
    #[arg(long, value_name = "BPS")]
    accel: Option<u32>,
    /// HTTP and RTSP: ask for this speed, times real time
    #[arg(long)]
    speed: Option<f64>,
    /// Player version that is announced [default: 12.0.7601.17514, for MMS 9.0.0.3372]
    #[arg(long)]
    player_version: Option<String>,
    /// MMS and RTSP: name and password; MMS servers ask for them in the clear, RTSP servers also for a digest
    #[arg(
        long,
        value_name = "NAME:PASSWORD",
        env = "RINGCAST_USER",
        hide_env_values = true
    )]
    user: Option<String>,
    /// Drop this share of the datagrams that come, such as 5%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    drop: Option<f64>,
    /// Which ones: the same for the same number
    #[arg(long, value_name = "N", default_value_t = 1, requires = "drop")]
    drop_seed: u64,
    /// MSBD: ask for media from a multicast group; it comes on the connection if there is none
    #[arg(long)]
    multicast: bool,
    /// MSBD: name of the channel [default: NetShow]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Multicast: join groups on this network interface, by its name or IPv4 address [default: as routed, or the loopback interface if the .nsc says that it comes from there]
    #[arg(long, value_name = "NAME")]
    interface: Option<Interface>,
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
    let mut rolled_over = Vec::new();
    while let Some((url, depth)) = waiting.pop() {
        attempts += 1;
        if attempts > ATTEMPT_COUNT_MAX {
            return Err(format!("{}: too many references", args.url));
        }
        let mut played = match station::names_one(&url) {
            true => station::play(args, &url, output)?,
            false => play(args, &url, output)?,
        };
        if let Some(other) = over_http(&url, &played) {
            let second = play(args, &other, output)?;
            if second.server.is_some() || second.announcement.is_some() {
                played = second;
            }
        }
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
        // Where a group is silent, its content is elsewhere.
        if let Some(next) = played.rolls_over.take().filter(|_| depth < DEPTH_MAX) {
            rolled_over.push(next.clone());
            waiting.push((next, depth + 1));
        }
        let fine = played.packets > 0 && played.failed.is_none();
        let is_announcement = played.announcement.is_some();
        playback = Some(played);
        if fine || (waiting.is_empty() && !is_announcement) {
            break;
        }
    }
    let Some(mut playback) = playback else {
        return Err(format!("{}: lists nothing that can be played", args.url));
    };
    playback.redirected_to.splice(0..0, rolled_over);
    output.print(&playback, Playback::text);
    if playback.server.is_none() && playback.packets == 0 && !playback.faults.is_empty() {
        return Err(playback.faults.join("; "));
    }
    Ok(playback.packets > 0 && playback.failed.is_none())
}

/// The URL, or those that a local announcement file lists, in reverse order.
fn first_urls(url: &str) -> Result<Vec<(String, usize)>, String> {
    if url.contains("://") || station::names_one(url) {
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

/// The URL that players try when nobody speaks MMS at the one that they were given: nothing came from
/// there that belongs to it.
fn over_http(url: &str, played: &Playback) -> Option<String> {
    url.get(..6).filter(|s| s.eq_ignore_ascii_case("mms://"))?;
    let silent = played.failed.as_ref().is_some_and(|f| f.offset == 0);
    let other = format!("mmsh://{}", url.get(6..)?);
    (silent && played.redirected_to.is_empty()).then_some(other)
}

fn play(args: &Args, url: &str, output: Output) -> Result<Playback, String> {
    let scheme = url.split("://").next().unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "mms" | "mmst" | "mmsu" => play_with(args, url, output, player::mmsp(args, url)?),
        "rtsp" | "rtspt" | "rtspu" => play_with(args, url, output, player::rtsp(args, url)?),
        "msbd" => play_with(args, url, output, player::msbd(args, url)?),
        _ => play_with(args, url, output, player::wmsp(args, url)?),
    }
}

/// Plays until the end, or as long as is wanted.
fn play_with<M: Player>(
    args: &Args,
    url: &str,
    output: Output,
    mut driver: Driver<M>,
) -> Result<Playback, String> {
    let mut saver = args.save.as_deref().map(Saver::new);
    let mut seen = Seen::new(url, args.rate);
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
    // What has to be waited for is not played yet.
    let patience = Time::ZERO + driver.machine().patience();
    let mut fault = driver.run(patience, |m| m.is_done() || m.has_begun(), &mut each);
    if fault.is_none() {
        let until = driver.now() + limit;
        fault = driver.run(until, M::is_done, &mut each);
    }
    if fault.is_none() {
        let now = driver.now();
        driver.machine().finish(now);
        fault = driver.run(now + FINISH_LIMIT, M::is_done, &mut each);
    }
    progress.end();
    if let Some(fault) = fault {
        return Err(fault);
    }
    seen.transfer(driver.machine().pipelined(), driver.machine().transfer());
    seen.multicast(driver.machine().multicast());
    let dropped = driver.dropped();
    let saved = saver.map(Saver::finish).transpose()?.flatten();
    Ok(seen.finish(dropped, driver.faults(), saved))
}

fn duration(text: &str) -> Result<Duration, String> {
    if text == "all" {
        return Ok(Duration::MAX);
    }
    text.parse().map(engine::ops::config::Span::get)
}

fn rate(text: &str) -> Result<i32, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate != 0.0 && rate.abs() <= 5.0 => Ok((rate * 1000.0).round() as i32),
        _ => Err(format!("\"{text}\" is no rate from -5 to 5 other than 0")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|n| n.trim().parse().ok());
    match number {
        Some(per_cent @ 0.0..=100.0) => Ok(per_cent / 100.0),
        _ => Err(format!("\"{text}\" is no share from 0% to 100%")),
    }
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
    fn rates_and_shares_are_read() {
        assert_eq!(rate("1"), Ok(1000));
        assert_eq!(rate("-2.5"), Ok(-2500));
        for bad in ["0", "6", "x", "NaN"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!(share("5%"), Ok(0.05));
        for bad in ["5", "101%", "-1%", "%", "NaN%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_plain_mms_is_tried_over_http() {
        let failed_at = |offset| Playback {
            failed: Some(seen::Failed {
                offset,
                reason: String::new(),
            }),
            ..Playback::default()
        };
        let other = over_http("MMS://h:1/a", &failed_at(0));
        assert_eq!(other.as_deref(), Some("mmsh://h:1/a"));
        assert_eq!(over_http("mmst://h/a", &failed_at(0)), None);
        // Somebody said no, or yes.
        assert_eq!(over_http("mms://h/a", &failed_at(312)), None);
        assert_eq!(over_http("mms://h/a", &Playback::default()), None);
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
