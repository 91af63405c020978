//! The values of the smaller headers (MS-RTSP 2.2.6).

use super::Fault;
use super::text::{milli, number, pair, split};
use crate::auth::Scheme;
use crate::content::Accel;
use crate::wmsp::version::Version;
use std::fmt;

/// Most characters of a session's id.
pub const SESSION_ID_MAX: usize = 20;
/// Seconds of a session's life when nothing is said of it.
pub const SESSION_TIMEOUT: u32 = 60;
/// The notice of EndOfStream.
pub const NOTICE_END_OF_STREAM: &str = "2101 \"End-of-Stream Reached\"";
/// Most entity tags of a condition.
pub const ENTITY_TAGS_MAX: usize = 32;
/// Bandwidth that means "any", bit/s.
pub const BANDWIDTH_ANY: u32 = 2_147_483_647;

/// `Session`: an id, and from servers how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// 1 to 20 characters (RTSP-101).
    pub id: String,
    /// Seconds; `None` means [`SESSION_TIMEOUT`].
    pub timeout: Option<u32>,
}

impl Session {
    /// Read a value.
    ///
    /// # Errors
    /// An id that is empty or too long, which is answered as an unknown one (RTSP-103).
    pub fn parse(value: &str) -> Result<Session, Fault> {
        let mut parts = split(value, b';');
        let (at, id) = parts.next().unwrap_or((0, ""));
        if id.is_empty() || id.len() > SESSION_ID_MAX {
            return Err(Fault::at(at, "Session", "not 1 to 20 characters"));
        }
        let timeout = parts.find_map(|(_, part)| match pair(part) {
            (name, Some(value)) if name.eq_ignore_ascii_case("timeout") => {
                number(value, "timeout").ok()
            }
            _ => None,
        });
        Ok(Session {
            id: id.to_owned(),
            timeout,
        })
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeout {
            Some(timeout) => write!(f, "{};timeout={timeout}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// The two headers of accelerated starts (RTSP-78, RTSP-79, RTSP-80).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// `X-Accelerate-Streaming`: of players.
    Accelerate,
    /// `X-Burst-Streaming`: of intermediaries for themselves.
    Burst,
}

impl Streaming {
    /// Name of the header.
    pub const fn header(self) -> &'static str {
        match self {
            Streaming::Accelerate => "X-Accelerate-Streaming",
            Streaming::Burst => "X-Burst-Streaming",
        }
    }

    const fn names(self) -> [&'static str; 2] {
        match self {
            Streaming::Accelerate => ["AccelDuration", "AccelBandwidth"],
            Streaming::Burst => ["BurstDuration", "BurstBandwidth"],
        }
    }

    /// Largest value of either parameter.
    pub const fn max(self) -> u32 {
        match self {
            Streaming::Accelerate => u32::MAX,
            Streaming::Burst => i32::MAX as u32,
        }
    }

    /// Read a value. `None` if one of the two is missing, 0, out of range or no number: then nothing
    /// was asked for (BW-28). Some clients write spaces around `=`.
    pub fn parse(self, value: &str) -> Option<Accel> {
        let find = |wanted: &str| {
            split(value, b';').find_map(|(_, part)| match pair(part) {
                (name, Some(value)) if name.eq_ignore_ascii_case(wanted) => {
                    let max = self.max();
                    number::<u32>(value, "X-Accelerate-Streaming")
                        .ok()
                        .filter(|n| (1..=max).contains(n))
                }
                _ => None,
            })
        };
        let [duration, bandwidth] = self.names();
        Some(Accel {
            duration_ms: find(duration)?,
            bits_per_second: find(bandwidth)?,
        })
    }

    /// Write a value, brought into its range.
    pub fn write(self, accel: Accel) -> String {
        let [duration, bandwidth] = self.names();
        format!(
            "{duration}={};{bandwidth}={}",
            accel.duration_ms.min(self.max()),
            accel.bits_per_second.min(self.max())
        )
    }
}

/// A header that is a number: `Bandwidth`, `Blocksize`, `X-Broadcast-Id`, `X-Player-Lag-Time`,
/// `X-Playlist-Gen-Id`, `X-Playlist-Seek-Id`.
///
/// # Errors
/// No number, or one beyond 32 bits.
pub fn u32_value(value: &str, production: &'static str) -> Result<u32, Fault> {
    number(value, production)
}

/// An entry's number as in `X-Playlist-Gen-Id` and `X-Playlist-Seek-Id`: not 0.
///
/// # Errors
/// As [`u32_value`], and 0.
pub fn entry_id(value: &str, production: &'static str) -> Result<u32, Fault> {
    match number(value, production)? {
        0 => Err(Fault::at(0, production, "0 is no entry")),
        id => Ok(id),
    }
}

/// `Speed` and `Scale` in thousandths; negative goes backward.
///
/// # Errors
/// No decimal fraction, or one beyond 32 bits.
pub fn milli_value(value: &str, production: &'static str) -> Result<i32, Fault> {
    let text = value.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let n = i32::try_from(milli(digits, production)?)
        .map_err(|_| Fault::at(0, production, "number out of range"))?;
    Ok(if negative { -n } else { n })
}

/// The text of a `Speed` or `Scale`: three decimals.
pub fn milli_text(milli: i32) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let n = milli.unsigned_abs();
    format!("{sign}{}.{:03}", n / 1000, n % 1000)
}

/// `X-Playlist` in Play: where to go from the entry that `X-Playlist-Seek-Id` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `pl-offset=1`.
    Forward,
    /// `pl-offset=-1`.
    Backward,
}

impl Skip {
    /// Read a value.
    ///
    /// # Errors
    /// Everything but one entry forward or backward.
    pub fn parse(value: &str) -> Result<Skip, Fault> {
        match pair(value.trim()) {
            (name, Some("1" | "+1")) if name.eq_ignore_ascii_case("pl-offset") => Ok(Skip::Forward),
            (name, Some("-1")) if name.eq_ignore_ascii_case("pl-offset") => Ok(Skip::Backward),
            _ => Err(Fault::at(0, "X-Playlist", "neither 1 nor -1")),
        }
    }

    /// The header's value.
    pub const fn text(self) -> &'static str {
        match self {
            Skip::Forward => "pl-offset=1",
            Skip::Backward => "pl-offset=-1",
        }
    }
}

/// True if a flag header is set: `X-Playlist-Change-Notice: true`, `X-Receding-PlaylistChange: 1`.
pub fn is_set(value: &str) -> bool {
    let value = value.trim();
    value == "1" || value.eq_ignore_ascii_case("true")
}

/// The number in front of an `X-Notice`.
pub fn notice(value: &str) -> Option<u32> {
    number(value.split_whitespace().next()?, "X-Notice").ok()
}

/// `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `*`.
    Any,
    /// One of these entity tags, without quotes.
    Tags(Vec<String>),
}

impl Condition {
    /// Read a value.
    ///
    /// # Errors
    /// A tag without quotes, none at all, more than 32: answered with 412 for `If-Match` (RTSP-65), 400 for
    /// `If-None-Match` (RTSP-66).
    pub fn parse(value: &str, production: &'static str) -> Result<Condition, Fault> {
        if value.trim() == "*" {
            return Ok(Condition::Any);
        }
        let mut tags = Vec::new();
        for (at, text) in split(value, b',') {
            let opaque = text.strip_prefix("W/").unwrap_or(text);
            let tag = opaque.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            let Some(tag) = tag.filter(|t| !t.contains('"')) else {
                return Err(Fault::at(at, production, "no entity tag"));
            };
            if tags.len() == ENTITY_TAGS_MAX {
                return Err(Fault::at(at, production, "too many entity tags"));
            }
            tags.push(tag.to_owned());
        }
        Ok(Condition::Tags(tags))
    }

    /// True if something with this tag is meant.
    pub fn holds(&self, tag: &str) -> bool {
        match self {
            Condition::Any => true,
            Condition::Tags(tags) => tags.iter().any(|t| t == tag),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Any => f.write_str("*"),
            Condition::Tags(tags) => {
                for (n, tag) in tags.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}\"{tag}\"")?;
                }
                Ok(())
            }
        }
    }
}

/// `X-Accept-Authentication`: the schemes that are known here, in the client's order.
pub fn accepted_schemes<'v>(elements: impl Iterator<Item = &'v str>) -> Vec<Scheme> {
    let mut schemes = Vec::new();
    for scheme in elements.filter_map(|e| Scheme::parse(e.trim())) {
        if !schemes.contains(&scheme) {
            schemes.push(scheme);
        }
    }
    schemes
}

/// What a client is, by the first token of its `User-Agent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// WMPlayer.
    Player,
    /// WMServer: a distribution server; also what servers call themselves in their requests.
    Server,
    /// WMCacheProxy.
    CacheProxy,
}

impl Role {
    /// The token.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Player => "WMPlayer",
            Role::Server => "WMServer",
            Role::CacheProxy => "WMCacheProxy",
        }
    }
}

/// A `User-Agent` of this family, read (RTSP-77).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent {
    /// Token.
    pub role: Role,
    /// Version.
    pub version: Version,
    /// The client's own number, without braces; all but servers must have one.
    pub guid: Option<String>,
}

impl UserAgent {
    /// Read a value; `None` for every other product.
    pub fn parse(value: &str) -> Option<UserAgent> {
        let mut words = value.split_whitespace();
        let (name, version) = words.next()?.split_once('/')?;
        let role = [Role::Player, Role::Server, Role::CacheProxy]
            .into_iter()
            .find(|r| name.eq_ignore_ascii_case(r.name()))?;
        let guid = words.find_map(|word| {
            let (name, guid) = word.split_once('/')?;
            let guid = guid.trim_matches(['{', '}']);
            let form = guid.len() == 36 && guid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            (name.eq_ignore_ascii_case("guid") && form).then(|| guid.to_owned())
        });
        Some(UserAgent {
            role,
            version: Version::parse(version)?,
            guid,
        })
    }
}

/// True for a player that stalls when one of several streams it set up gets no data, as GStreamer does:
/// all sections of its description must have the same control URL (rtsp-wme.md 8.2).
pub fn wants_one_control(user_agent: &str) -> bool {
    user_agent.trim_start().starts_with("GStreamer/")
}
