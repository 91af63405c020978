//! The tokens of the `Pragma` header, both directions (MS-WMSP 2.2.1.4).
//!
//! Read generously: names in any case, numbers up to the first character that is not a digit,
//! unknown names skipped (WMSP-29). Written exactly.

use super::switch::SwitchEntry;
use std::fmt::Write as _;

/// The position value that means "not used".
pub const UNUSED: u32 = u32::MAX;
/// Most stream-switch entries that are kept; streams have the numbers 1..=127.
pub const SWITCH_MAX: usize = 128;

/// Tokens of a request. Absent ones are `None`, `false` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestPragma {
    /// Stops HTTP caches.
    pub no_cache: bool,
    /// Session key.
    pub client_id: Option<u32>,
    /// Play.
    pub play: bool,
    /// PlayNextEntry.
    pub next_entry: bool,
    /// Stop.
    pub stop: bool,
    /// KeepAlive by POST.
    pub keep_alive: bool,
    /// Pipeline.
    pub pipeline_request: bool,
    /// Willing to test pipelining.
    pub pipeline_experiment: bool,
    /// Wants a packet pair.
    pub packet_pair: bool,
    /// Wants chunked coding.
    pub version11: bool,
    /// bit/s for the first part.
    pub accel_bw: Option<u32>,
    /// ms of media of the first part.
    pub accel_duration: Option<u32>,
    /// bit/s, an intermediary's own wish.
    pub burst_bw: Option<u32>,
    /// ms of media, an intermediary's own wish.
    pub burst_duration: Option<u32>,
    /// bit/s of the client's link, 0 unknown.
    pub link_bw: Option<u32>,
    /// Multiplier on the normal rate in thousandths.
    pub speed_milli: Option<u32>,
    /// Play rate in thousandths.
    pub rate_milli: Option<i32>,
    /// ms, [`UNUSED`] unused.
    pub stream_time: Option<u32>,
    /// Byte offset; both halves [`UNUSED`]: unused.
    pub stream_offset: Option<u64>,
    /// ASF packet, [`UNUSED`] unused.
    pub packet_num: Option<u32>,
    /// ms; bit 31 set: an absolute end.
    pub max_duration: Option<u32>,
    /// How many entries the client says there are.
    pub switch_count: Option<u32>,
    /// True if stream-switch-entry was there, even without a readable entry.
    pub has_switch: bool,
    /// Stream selection.
    pub switches: Vec<SwitchEntry>,
    /// Old request counter.
    pub request_context: Option<u32>,
    /// ms by which the next `$C` is delayed.
    pub client_lag: Option<u32>,
    /// Entry that the client is at.
    pub playlist_gen_id: Option<u32>,
    /// Entry to seek in.
    pub playlist_seek_id: Option<u32>,
    /// Stay (0), next (1), previous (-1).
    pub pl_offset: Option<i32>,
    /// A client's constant name for itself, as written; not always a GUID (VLC).
    pub client_guid: Option<String>,
    /// The original User-Agent behind a proxy.
    pub proxy_client_agent: Option<String>,
    /// A legacy log, verbatim.
    pub log_line: Option<String>,
}

impl RequestPragma {
    /// Take in one `Pragma` line. Of repeated tokens the last counts.
    pub fn absorb(&mut self, line: &str) {
        // WMLOG-21: a log is alone on its line and may hold commas.
        if let Some(("log-line", value)) = lone(line, &["log-line"]) {
            self.log_line = Some(value.to_owned());
            return;
        }
        // MS-WMSP prints `switch-stream-entry` in examples; entries are parted by spaces, and FFmpeg
        // leaves one at the end.
        if let Some((_, value)) = lone(line, &["stream-switch-entry", "switch-stream-entry"]) {
            self.has_switch = true;
            let room = SWITCH_MAX.saturating_sub(self.switches.len());
            self.switches
                .extend(SwitchEntry::parse_list(value).take(room));
            return;
        }
        for (name, value) in tokens(line) {
            self.set(&name.to_ascii_lowercase(), value);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || u32_prefix(value);
        let flag = || u32_prefix(value).is_some_and(|n| n != 0);
        match name {
            "no-cache" => self.no_cache = true,
            "client-id" => self.client_id = number(),
            "xplaystrm" => self.play = flag(),
            "xplaynextentry" => self.next_entry = flag(),
            "xstopstrm" => self.stop = flag(),
            // The server may ignore the value.
            "xkeepaliveinpause" => self.keep_alive = true,
            "pipeline-request" => self.pipeline_request = flag(),
            "pipeline-experiment" => self.pipeline_experiment = flag(),
            "packet-pair-experiment" => self.packet_pair = flag(),
            // A sample of the protocol document has the value 11.
            "version11-enabled" => self.version11 = flag(),
            "accelbw" => self.accel_bw = number(),
            "accelduration" => self.accel_duration = number(),
            "burstbw" => self.burst_bw = number(),
            "burstduration" => self.burst_duration = number(),
            "linkbw" => self.link_bw = number(),
            "speed" => {
                self.speed_milli = milli_prefix(value).map(|m| m.min(i64::from(u32::MAX)) as u32)
            }
            "rate" => self.rate_milli = signed_milli(value),
            "stream-time" => self.stream_time = number(),
            "stream-offset" => self.stream_offset = offset(value),
            "packet-num" => self.packet_num = number(),
            "max-duration" => self.max_duration = number(),
            "stream-switch-count" | "switch-stream-count" => self.switch_count = number(),
            // Not alone on its line after all: then it is one entry, or several parted by spaces.
            "stream-switch-entry" | "switch-stream-entry" => {
                self.has_switch = true;
                let room = SWITCH_MAX.saturating_sub(self.switches.len());
                self.switches
                    .extend(SwitchEntry::parse_list(value).take(room));
            }
            "request-context" => self.request_context = number(),
            "client-lag" => self.client_lag = number(),
            "playlist-gen-id" => self.playlist_gen_id = number(),
            "playlist-seek-id" => self.playlist_seek_id = number(),
            "pl-offset" => self.pl_offset = signed(value),
            "xclientguid" => self.client_guid = Some(value.to_owned()),
            "proxy-client-agent" => self.proxy_client_agent = Some(value.to_owned()),
            _ => {}
        }
    }

    /// Append the `Pragma` lines of a request, CRLF at each end.
    pub fn emit(&self, out: &mut String) {
        let mut line = List::default();
        line.flag("no-cache", self.no_cache);
        line.number("client-id", self.client_id);
        line.one("xPlayStrm", self.play);
        line.one("xPlayNextEntry", self.next_entry);
        line.one("xStopStrm", self.stop);
        line.one("xKeepAliveInPause", self.keep_alive);
        line.one("pipeline-request", self.pipeline_request);
        line.one("pipeline-experiment", self.pipeline_experiment);
        line.one("packet-pair-experiment", self.packet_pair);
        line.one("version11-enabled", self.version11);
        line.text("rate", self.rate_milli.map(milli_text));
        line.number("stream-time", self.stream_time);
        line.text(
            "stream-offset",
            self.stream_offset
                .map(|o| format!("{}:{}", o >> 32, o as u32)),
        );
        line.number("packet-num", self.packet_num);
        line.number("max-duration", self.max_duration);
        line.number("request-context", self.request_context);
        line.number("AccelBW", self.accel_bw);
        line.number("AccelDuration", self.accel_duration);
        line.number("BurstBW", self.burst_bw);
        line.number("BurstDuration", self.burst_duration);
        line.number("LinkBW", self.link_bw);
        line.text(
            "Speed",
            self.speed_milli
                .map(|s| format!("{}.{:03}", s / 1000, s % 1000)),
        );
        line.number("client-lag", self.client_lag);
        line.number("playlist-gen-id", self.playlist_gen_id);
        line.number("playlist-seek-id", self.playlist_seek_id);
        line.number("pl-offset", self.pl_offset);
        line.text("xClientGUID", self.client_guid.clone());
        line.text(
            "proxy-client-agent",
            self.proxy_client_agent.as_ref().map(|a| format!("\"{a}\"")),
        );
        line.number("stream-switch-count", self.switch_count);
        line.finish(out);
        // WMSP-99: the entries stand alone on a line.
        if !self.switches.is_empty() {
            out.push_str("Pragma: stream-switch-entry=");
            for (n, entry) in self.switches.iter().enumerate() {
                let gap = if n == 0 { "" } else { " " };
                let _ = write!(out, "{gap}{entry}");
            }
            out.push_str("\r\n");
        }
        if let Some(log) = &self.log_line {
            let _ = write!(out, "Pragma: log-line={log}\r\n");
        }
    }
}

/// Tokens of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyPragma {
    /// Session key.
    pub client_id: Option<u32>,
    /// What the content can, comma-separated, as it stands between the quotes.
    pub features: Option<String>,
    /// ms between two KeepAlives at most.
    pub timeout: Option<u32>,
    /// The reply begins with three `$P`.
    pub packet_pair: bool,
    /// The server will test pipelining.
    pub pipeline_experiment: bool,
    /// Outcome of the test.
    pub pipeline_result: Option<bool>,
    /// The old session is gone, a new one was made.
    pub reset: bool,
    /// `$M $H` are followed at once by `$C $M $H`.
    pub expect_new_header: bool,
    /// Granted bit/s.
    pub accel_bw: Option<u32>,
    /// Granted ms of media.
    pub accel_duration: Option<u32>,
    /// Granted bit/s.
    pub burst_bw: Option<u32>,
    /// Granted ms of media.
    pub burst_duration: Option<u32>,
    /// Granted multiplier in thousandths.
    pub speed_milli: Option<u32>,
    /// Current entry.
    pub playlist_gen_id: Option<u32>,
}

impl ReplyPragma {
    /// Take in one `Pragma` line.
    pub fn absorb(&mut self, line: &str) {
        for (name, value) in tokens(line) {
            let number = || u32_prefix(value);
            let flag = || u32_prefix(value).is_some_and(|n| n != 0);
            match &*name.to_ascii_lowercase() {
                "client-id" => self.client_id = number(),
                "features" => self.features = Some(value.to_owned()),
                "timeout" => self.timeout = number(),
                "packet-pair-experiment" => self.packet_pair = flag(),
                "pipeline-experiment" => self.pipeline_experiment = flag(),
                "pipeline-result" => self.pipeline_result = number().map(|n| n != 0),
                "xresetstrm" => self.reset = flag(),
                "expect-new-header" => self.expect_new_header = flag(),
                "accelbw" => self.accel_bw = number(),
                "accelduration" => self.accel_duration = number(),
                "burstbw" => self.burst_bw = number(),
                "burstduration" => self.burst_duration = number(),
                "speed" => {
                    self.speed_milli =
                        milli_prefix(value).map(|m| m.min(i64::from(u32::MAX)) as u32)
                }
                "playlist-gen-id" => self.playlist_gen_id = number(),
                _ => {}
            }
        }
    }

    /// Append the `Pragma` line of a reply, CRLF at its end; `no-cache` always leads.
    pub fn emit(&self, out: &mut String) {
        let mut line = List::default();
        line.flag("no-cache", true);
        line.number("client-id", self.client_id);
        line.one("xResetStrm", self.reset);
        line.one("packet-pair-experiment", self.packet_pair);
        line.one("pipeline-experiment", self.pipeline_experiment);
        line.text(
            "pipeline-result",
            self.pipeline_result.map(|r| u8::from(r).to_string()),
        );
        line.one("expect-new-header", self.expect_new_header);
        line.text(
            "features",
            self.features.as_ref().map(|f| format!("\"{f}\"")),
        );
        line.number("timeout", self.timeout);
        line.number("AccelBW", self.accel_bw);
        line.number("AccelDuration", self.accel_duration);
        line.number("BurstBW", self.burst_bw);
        line.number("BurstDuration", self.burst_duration);
        line.text(
            "Speed",
            self.speed_milli
                .map(|s| format!("{}.{:03}", s / 1000, s % 1000)),
        );
        line.number("playlist-gen-id", self.playlist_gen_id);
        line.finish(out);
    }
}

/// One line of tokens in the making.
#[derive(Default)]
struct List(String);

impl List {
    fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
    }

    fn flag(&mut self, name: &str, on: bool) {
        if on {
            self.gap();
            self.0.push_str(name);
        }
    }

    fn one(&mut self, name: &str, on: bool) {
        self.number(name, on.then_some(1));
    }

    fn number<N: std::fmt::Display>(&mut self, name: &str, value: Option<N>) {
        if let Some(value) = value {
            self.gap();
            let _ = write!(self.0, "{name}={value}");
        }
    }

    fn text(&mut self, name: &str, value: Option<String>) {
        self.number(name, value);
    }

    fn finish(self, out: &mut String) {
        if !self.0.is_empty() {
            let _ = write!(out, "Pragma: {}\r\n", self.0);
        }
    }
}

/// The name and value of a line that begins with one of these tokens.
fn lone<'l>(line: &'l str, names: &[&'static str]) -> Option<(&'static str, &'l str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let known = names.iter().find(|n| n.eq_ignore_ascii_case(name))?;
    Some((known, value))
}

/// Names and values of a token list; quotes are taken off, a value may hold commas inside them.
fn tokens(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut quoted = false;
            let end = rest
                .find(|c| {
                    quoted ^= c == '"';
                    c == ',' && !quoted
                })
                .unwrap_or(rest.len());
            let token = rest[..end].trim();
            rest = rest.get(end + 1..).unwrap_or("");
            if token.is_empty() {
                continue;
            }
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            return Some((name.trim(), value.trim().trim_matches('"')));
        }
        None
    })
}

/// Leading decimal digits of a value, if there are any and they fit.
///
/// FFmpeg leaves out the line end after `stream-time`: the value is `0Connection: Close`.
fn u32_prefix(value: &str) -> Option<u32> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    value[..end].parse().ok()
}

fn signed(value: &str) -> Option<i32> {
    let (negative, digits) = sign(value);
    let n = i32::try_from(u32_prefix(digits)?).ok()?;
    Some(if negative { -n } else { n })
}

fn sign(value: &str) -> (bool, &str) {
    match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    }
}

/// An unsigned decimal number in thousandths; digits beyond the third are dropped.
fn milli_prefix(value: &str) -> Option<i64> {
    let whole = i64::from(u32_prefix(value)?);
    let fraction = value
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix('.')
        .unwrap_or("");
    let mut milli = 0;
    let mut digits = fraction.bytes().take_while(u8::is_ascii_digit);
    for _ in 0..3 {
        milli = milli * 10 + digits.next().map_or(0, |d| i64::from(d - b'0'));
    }
    Some(whole * 1000 + milli)
}

fn signed_milli(value: &str) -> Option<i32> {
    let (negative, digits) = sign(value);
    let m = milli_prefix(digits)?.min(i64::from(i32::MAX)) as i32;
    Some(if negative { -m } else { m })
}

fn milli_text(milli: i32) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let m = milli.unsigned_abs();
    format!("{sign}{}.{:03}", m / 1000, m % 1000)
}

/// `hi:lo`, each 32 bits.
fn offset(value: &str) -> Option<u64> {
    let (high, low) = value.split_once(':')?;
    Some(u64::from(u32_prefix(high)?) << 32 | u64::from(u32_prefix(low)?))
}
