//! Heads of requests and responses, read and written (RFC 2326, 4 to 7).

use super::Fault;
use crate::http::head::split_target;
use crate::http::headers::Headers;
use crate::http::reply::ReplyHead;
use std::fmt;
use std::ops::Deref;

/// Most header lines of one message.
pub const HEADERS_MAX: usize = 64;

/// The version that is spoken.
pub const VERSION: &str = "RTSP/1.0";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// OPTIONS.
    Options,
    /// DESCRIBE.
    Describe,
    /// ANNOUNCE.
    Announce,
    /// SETUP.
    Setup,
    /// PLAY.
    Play,
    /// PAUSE.
    Pause,
    /// TEARDOWN.
    Teardown,
    /// GET_PARAMETER.
    GetParameter,
    /// SET_PARAMETER.
    SetParameter,
    /// REDIRECT, which nobody may send (RTSP-105).
    Redirect,
    /// RECORD, which nobody uses.
    Record,
    /// Another.
    Other(String),
}

const METHODS: [Method; 11] = [
    Method::Options,
    Method::Describe,
    Method::Announce,
    Method::Setup,
    Method::Play,
    Method::Pause,
    Method::Teardown,
    Method::GetParameter,
    Method::SetParameter,
    Method::Redirect,
    Method::Record,
];

impl Method {
    /// As it stands in a request line.
    pub fn name(&self) -> &str {
        match self {
            Method::Options => "OPTIONS",
            Method::Describe => "DESCRIBE",
            Method::Announce => "ANNOUNCE",
            Method::Setup => "SETUP",
            Method::Play => "PLAY",
            Method::Pause => "PAUSE",
            Method::Teardown => "TEARDOWN",
            Method::GetParameter => "GET_PARAMETER",
            Method::SetParameter => "SET_PARAMETER",
            Method::Redirect => "REDIRECT",
            Method::Record => "RECORD",
            Method::Other(name) => name,
        }
    }

    /// By its name; methods are case-sensitive.
    pub fn parse(name: &str) -> Method {
        let known = METHODS.into_iter().find(|m| m.name() == name);
        known.unwrap_or_else(|| Method::Other(name.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request URL, taken apart and not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it stood, for what is computed over it (Digest).
    pub uri: String,
    /// Host and port; empty for `*` and for a bare path.
    pub authority: String,
    /// Begins with `/`, or is `*`.
    pub path: String,
    /// Without `?`.
    pub query: String,
}

impl Target {
    /// Take a request URL apart. Any of the schemes `rtsp`, `rtspt` and `rtspu` will do: the last
    /// two are hints that a player should have kept to itself.
    ///
    /// # Errors
    /// Another scheme, and what is neither an absolute URL nor a path nor the `*` of OPTIONS.
    pub fn parse(uri: &str, options: bool) -> Result<Target, Fault> {
        if let Some((scheme, _)) = uri.split_once("://") {
            let known = ["rtsp", "rtspt", "rtspu"];
            if !known.iter().any(|k| scheme.eq_ignore_ascii_case(k)) {
                return Err(Fault::at(0, "request URL", "scheme is not rtsp"));
            }
        }
        let (authority, path, query) = split_target(uri, options)
            .map_err(|(_, reason)| Fault::at(0, "request URL", reason))?;
        Ok(Target {
            uri: uri.to_owned(),
            authority,
            path,
            query,
        })
    }

    /// True if this names the same presentation as `path`. The base URL of a description ends in
    /// `/`, so requests come with it that were described without it.
    pub fn is_at(&self, path: &str) -> bool {
        bare(&self.path) == bare(path)
    }

    /// What follows the presentation at `path`: the relative control URL of a stream. `None` if
    /// this is not below it; empty if it is the presentation itself.
    pub fn below(&self, path: &str) -> Option<&str> {
        let rest = self.path.strip_prefix(bare(path))?;
        if rest.is_empty() {
            return Some("");
        }
        rest.strip_prefix('/')
    }
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// First line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// Method.
        method: Method,
        /// URL.
        target: Target,
    },
    /// A response.
    Response {
        /// Status, 100..=999.
        status: u16,
        /// Phrase; may be empty.
        phrase: String,
    },
}

/// A parsed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// First line.
    pub start: Start,
    headers: Headers,
    content_length: u64,
}

impl Deref for Head {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.headers
    }
}

/// A message that is refused: the status to answer with, if it was a request, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Refused {
    /// 400, 413, 431 or 505.
    pub status: u16,
    /// What and where.
    pub fault: Fault,
}

impl Refused {
    pub(super) const fn new(status: u16, fault: Fault) -> Refused {
        Refused { status, fault }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused::new(400, fault)
    }
}

impl Head {
    /// Read one whole head, its blank line included. Lines may end in LF alone, and may be folded.
    ///
    /// # Errors
    /// Places are offsets in `bytes`. 505 for another version, 431 for too many lines, else 400.
    pub fn parse(bytes: &[u8]) -> Result<Head, Refused> {
        let mut lines = Lines { bytes, at: 0 };
        let (_, first) = lines
            .next()
            .ok_or(Fault::at(0, "start line", "it is missing"))?;
        let start = parse_start(first)?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for (at, line) in lines {
            if line.is_empty() {
                break;
            }
            if let [b' ' | b'\t', ..] = line {
                let Some((_, value)) = headers.last_mut() else {
                    return Err(Fault::at(at, "header line", "nothing to continue").into());
                };
                value.push(' ');
                value.push_str(text(line, at)?.trim());
                continue;
            }
            if headers.len() == HEADERS_MAX {
                let fault = Fault::at(at, "header line", "too many lines");
                return Err(Refused::new(431, fault));
            }
            headers.push(parse_line(line, at)?);
        }
        let mut kept = Headers::default();
        for (name, value) in headers {
            kept.push(name, value);
        }
        let content_length = content_length(&kept)?;
        Ok(Head {
            start,
            headers: kept,
            content_length,
        })
    }

    /// Bytes of the body.
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// The sequence number. Of several the first counts: GStreamer sends EndOfStream back with its
    /// own number before ours (RTSP-138). `None` in the answers of FFmpeg, which have none.
    pub fn cseq(&self) -> Option<u32> {
        let digits = self.get("CSeq")?.trim();
        let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    }

    /// Method, if this is a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// URL, if this is a request.
    pub fn target(&self) -> Option<&Target> {
        match &self.start {
            Start::Request { target, .. } => Some(target),
            Start::Response { .. } => None,
        }
    }

    /// Status, if this is a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }
}

/// The head of a request, to be given its headers.
pub fn request(method: &Method, uri: &str) -> ReplyHead {
    ReplyHead::of(format_args!("{method} {uri} {VERSION}"))
}

/// The head of a response, to be given its headers.
pub fn response(status: u16) -> ReplyHead {
    ReplyHead::of(format_args!("{VERSION} {status} {}", phrase(status)))
}

/// The phrase of a status (RFC 2326, 7.1.1).
pub const fn phrase(status: u16) -> &'static str {
    match status {
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        401 => "Unauthorized",
        402 => "Payment Required",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Time-out",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        451 => "Parameter Not Understood",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        456 => "Header Field Not Valid for Resource",
        457 => "Invalid Range",
        458 => "Parameter Is Read-Only",
        459 => "Aggregate operation not allowed",
        460 => "Only aggregate operation allowed",
        461 => "Unsupported transport",
        502 => "Bad Gateway",
        504 => "Gateway Time-out",
        505 => "RTSP Version not supported",
        551 => "Option not supported",
        other => crate::http::reply::phrase(other),
    }
}

/// Lines with their offsets; the line end is taken off.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let rest = self.bytes.get(self.at..).filter(|r| !r.is_empty())?;
        let len = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let line = rest.get(..len).unwrap_or(rest);
        let start = self.at;
        self.at += len + 1;
        Some((start, line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

fn parse_start(line: &[u8]) -> Result<Start, Refused> {
    let line = text(line, 0)?;
    let mut words = line.splitn(3, ' ');
    let (first, second, third) = (words.next(), words.next(), words.next());
    let (Some(first), Some(second)) = (first, second) else {
        return Err(Fault::at(0, "start line", "it has one word").into());
    };
    let second_at = first.len() + 1;
    if first.len() >= 5 && first.as_bytes()[..5].eq_ignore_ascii_case(b"RTSP/") {
        version(first, 0)?;
        let digits = second.len() == 3 && second.bytes().all(|b| b.is_ascii_digit());
        let status = second.parse().ok().filter(|s| digits && *s >= 100);
        let status = status.ok_or(Fault::at(second_at, "status line", "no status"))?;
        return Ok(Start::Response {
            status,
            phrase: third.unwrap_or("").trim().to_owned(),
        });
    }
    if first.is_empty() || !first.bytes().all(is_token) {
        return Err(Fault::at(0, "request line", "no method").into());
    }
    let Some(third) = third else {
        return Err(Fault::at(second_at, "request line", "no version").into());
    };
    version(third, second_at + second.len() + 1)?;
    let method = Method::parse(first);
    let target = Target::parse(second, method == Method::Options)
        .map_err(|fault| fault.moved(second_at as u64))?;
    Ok(Start::Request { method, target })
}

fn version(word: &str, at: usize) -> Result<(), Refused> {
    let word = word.trim_end();
    if word.eq_ignore_ascii_case(VERSION) {
        return Ok(());
    }
    let other = word
        .get(..5)
        .is_some_and(|w| w.eq_ignore_ascii_case("RTSP/"));
    let fault = Fault::at(at, "start line", "version is not RTSP/1.0");
    Err(Refused::new(if other { 505 } else { 400 }, fault))
}

fn parse_line(line: &[u8], at: usize) -> Result<(String, String), Refused> {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        return Err(Fault::at(at, "header line", "no colon").into());
    };
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Fault::at(at, "header name", "character that is not of a token").into());
    }
    let name = text(name, at)?;
    let value = text(&value[1..], at + colon + 1)?;
    Ok((name.into_owned(), value.trim().to_owned()))
}

/// Text without control characters. What is not UTF-8 is read as well as can be.
fn text(bytes: &[u8], at: usize) -> Result<std::borrow::Cow<'_, str>, Fault> {
    let control = |&b: &u8| (b < 0x20 && b != b'\t') || b == 0x7F;
    match bytes.iter().position(control) {
        Some(n) => Err(Fault::at(at + n, "message head", "control character")),
        None => Ok(String::from_utf8_lossy(bytes)),
    }
}

pub(super) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Of several values that differ the last counts, in an EndOfStream that GStreamer sends back: it
/// appends a NUL to the body and says so in a second line (RTSP-138). Elsewhere they are an error.
fn content_length(headers: &Headers) -> Result<u64, Refused> {
    let echoed = headers.has_type("application/x-wms-extension-cmd");
    let mut length = None;
    for value in headers.all("Content-Length") {
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let value = if digits { value.parse().ok() } else { None };
        let value: u64 = value.ok_or(Fault::at(0, "Content-Length", "no number"))?;
        if length.is_some_and(|l| l != value) && !echoed {
            return Err(Fault::at(0, "Content-Length", "two values").into());
        }
        length = Some(value);
    }
    Ok(length.unwrap_or(0))
}
