//! The server's own log: W3C lines as Windows Media Services wrote them, and JSON lines of the same
//! (wmlog.md 12).
//!
//! What the server knows goes before what a client claims (WMLOG-45).

use super::{Entry, Field};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

/// What the server knows of the period that a line describes.
#[derive(Clone, Debug)]
pub struct ServerFacts<'a> {
    /// Start of the period, seconds since 1970, UTC.
    pub unix_seconds: u64,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// This end.
    pub local: IpAddr,
    /// Configured host name, if any.
    pub host: Option<&'a str>,
    /// URL of the request, as absolute as it is known.
    pub url: &'a str,
    /// User-Agent of the request.
    pub user_agent: &'a str,
    /// `http`, `rtsp`, `mms`.
    pub protocol: &'a str,
    /// `TCP` or `UDP`.
    pub transport: &'a str,
    /// 200, or the HTTP-like code of a failure.
    pub status: u16,
    /// How long media was sent, ms.
    pub sent_ms: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Media packets sent.
    pub sent_packets: u64,
    /// Clients connected to the server now.
    pub clients: u32,
    /// Load, per cent.
    pub cpu: u8,
    /// Authenticated user, if any.
    pub user: Option<&'a str>,
    /// Server's number of the session.
    pub session: u64,
    /// Resolved file or source.
    pub content_path: &'a str,
    /// Granted rate, bit/s.
    pub granted_bps: Option<u64>,
}

/// The lines that begin a file, `#Fields` last; every file starts with them (WMLOG-44, -46).
pub fn header(unix_seconds: u64, server_name: &str, server_ip: IpAddr) -> String {
    let (date, time) = utc(unix_seconds);
    let name: String = server_name
        .chars()
        .filter(|c| !c.is_control())
        .take(256)
        .collect();
    let fields = Field::ALL.map(Field::column_name).join(" ");
    format!(
        "#StartDate: {date} {time}\r\n#TimeFormat: UTC\r\n#EncodingFormat: UTF-8\r\n\
         #ServerName: {name}\r\n#ServerIP: {server_ip}\r\n#Software: Ringcast\r\n\
         #Version: {version}\r\n#Fields: {fields}\r\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Append one line with its end: 52 values whatever came (WMLOG-44). Without a client's log the
/// server's facts stand alone.
pub fn write_w3c(entry: Option<&Entry>, facts: &ServerFacts<'_>, out: &mut String) {
    let merged = merge(entry, facts);
    for (column, field) in Field::ALL.into_iter().enumerate() {
        if column > 0 {
            out.push(' ');
        }
        match large(field, facts) {
            Some(number) => {
                let _ = write!(out, "{number}");
            }
            None => out.push_str(merged.get(field).unwrap_or("-")),
        }
    }
    out.push_str("\r\n");
}

/// A value of a JSON line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// A number.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
}

/// Append one JSON object with its line end: the fields that have a value, by their MS-WMLOG names,
/// then what the schema has no field for.
pub fn write_json(entry: Option<&Entry>, facts: &ServerFacts<'_>, out: &mut String) {
    let merged = merge(entry, facts);
    out.push('{');
    let mut first = true;
    let mut pair = |out: &mut String, name: &str, value: Json<'_>| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        json_text(name, out);
        out.push(':');
        match value {
            Json::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Json::Text(text) => json_text(&text, out),
        }
    };
    for field in Field::ALL {
        if let Some(value) = json_value(&merged, field, facts) {
            pair(out, field.name(), value);
        }
    }
    let Some(entry) = entry else {
        out.push_str("}\r\n");
        return;
    };
    pair(out, "log", Json::Text(entry.kind.name().into()));
    if entry.defects.values > 0 {
        pair(out, "bad-values", Json::Number(entry.defects.values.into()));
    }
    if let Some(raw) = &entry.raw {
        pair(out, "raw", Json::Text(raw.into()));
    }
    if !entry.extensions.is_empty() {
        out.push_str(",\"extensions\":[");
        for (i, e) in entry.extensions.iter().enumerate() {
            out.push_str(if i > 0 { ",[" } else { "[" });
            json_text(&e.namespace, out);
            out.push(',');
            json_text(&e.name, out);
            out.push(',');
            json_text(&e.value, out);
            out.push(']');
        }
        out.push(']');
    }
    out.push_str("}\r\n");
}

/// Date and time of day, UTC, of a number of seconds since 1970.
pub fn utc(unix_seconds: u64) -> (String, String) {
    // Up to the end of the year 9999, which is as far as the format goes.
    let unix_seconds = unix_seconds.min(253_402_300_799);
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days since 0000-03-01, so that a leap day ends its year; 400 years are 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        ),
    )
}

/// The client's log with the server's facts on top (wmlog.md 12.2).
fn merge(entry: Option<&Entry>, facts: &ServerFacts<'_>) -> Entry {
    let mut line = entry
        .cloned()
        .unwrap_or_else(|| Entry::new(super::Kind::Legacy));
    line.defects = super::Defects::default();
    // Behind a proxy the socket's address is the proxy's.
    if line.get(Field::SProxied) != Some("1") || line.get(Field::CIp).is_none() {
        line.set(Field::CIp, &facts.peer.to_canonical().to_string());
    }
    let (date, time) = utc(facts.unix_seconds);
    line.set(Field::Date, &date);
    line.set(Field::Time, &time);
    line.set(Field::SIp, &facts.local.to_canonical().to_string());
    line.set(Field::SDns, facts.host.unwrap_or("-"));
    line.set(Field::STotalclients, &facts.clients.to_string());
    line.set(Field::SCpuUtil, &facts.cpu.min(100).to_string());
    line.set(Field::CsUserName, facts.user.unwrap_or("-"));
    line.set(Field::SSessionId, &facts.session.to_string());
    line.set(Field::SContentPath, facts.content_path);
    // The path only; the whole URL has a column of its own.
    let stem = line.get(Field::CsUriStem).unwrap_or(facts.url).to_owned();
    if line.get(Field::CsUrl).is_none() && names_group(&stem) {
        line.set(Field::CsUrl, &stem);
    }
    line.set(Field::CsUriStem, path_of(&stem));
    fill(&mut line, facts, entry.is_none_or(|e| e.defects.invalid));
    line
}

/// What the server knows only stands in where the client said nothing.
fn fill(line: &mut Entry, facts: &ServerFacts<'_>, alone: bool) {
    let fallback = |line: &mut Entry, field, value: &str| {
        if line.get(field).is_none() {
            line.set(field, value);
        }
    };
    fallback(line, Field::CsUrl, facts.url);
    fallback(line, Field::CsUserAgent, facts.user_agent);
    fallback(line, Field::SProxied, "0");
    fallback(line, Field::CStatus, &facts.status.to_string());
    if alone {
        fallback(line, Field::Protocol, facts.protocol);
        fallback(line, Field::Transport, facts.transport);
        let seconds = facts.sent_ms.div_ceil(1000).min(u32::MAX.into());
        fallback(line, Field::XDuration, &seconds.to_string());
    }
}

/// Server counters may be larger than the grammar of client logs allows.
fn large(field: Field, facts: &ServerFacts<'_>) -> Option<u64> {
    match field {
        Field::ScBytes => Some(facts.sent_bytes),
        Field::SPktsSent => Some(facts.sent_packets),
        Field::CMaxBandwidth => facts.granted_bps,
        _ => None,
    }
}

fn json_value<'a>(line: &'a Entry, field: Field, facts: &ServerFacts<'_>) -> Option<Json<'a>> {
    if let Some(number) = large(field, facts) {
        return Some(Json::Number(number));
    }
    let value = line.get(field)?;
    Some(match value.parse() {
        Ok(number) if field.is_number() => Json::Number(number),
        _ => Json::Text(value.into()),
    })
}

// WMLOG-17
fn names_group(url: &str) -> bool {
    url.get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("asfm://"))
}

fn path_of(url: &str) -> &str {
    // A group has no path, its address is all there is.
    if names_group(url) {
        return url;
    }
    let Some((_, rest)) = url.split_once("://") else {
        return url.split('?').next().unwrap_or(url);
    };
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split('?').next().unwrap_or(path)
}

fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
