//! The value of `Range`, and of the attribute of that name in SDP (RFC 2326 3.5, 3.6, 12.29;
//! MS-RTSP 2.2.6.7).

use super::Fault;
use super::text::{milli, number};
use crate::content::{Content, Start};
use std::fmt;

const PRODUCTION: &str = "Range";

/// One range. There is one, never a list (RTSP-67).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Normal play time.
    Npt {
        /// Start; `None` if only an end is said.
        start: Option<Npt>,
        /// End.
        end: Option<Npt>,
    },
    /// Relative time codes.
    Smpte {
        /// How frames are counted.
        rate: SmpteRate,
        /// Start.
        start: Smpte,
        /// End.
        end: Option<Smpte>,
    },
    /// Bytes of the file.
    Byte {
        /// First.
        first: u64,
        /// Last.
        last: Option<u64>,
    },
    /// ASF packets of the file.
    Packet {
        /// First.
        first: u64,
        /// Last.
        last: Option<u64>,
    },
}

/// A point of normal play time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Npt {
    /// The live point.
    Now,
    /// ms, preroll included as Windows Media Services count.
    Millis(u64),
}

/// Frames per second of time codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmpteRate {
    /// `smpte`: 29.97, two numbers left out in each minute but every tenth.
    Drop,
    /// `smpte-30-drop`, the same under its other name.
    Drop30,
    /// `smpte-25`.
    Fps25,
}

/// A time code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smpte {
    /// 0..=99.
    pub hours: u8,
    /// 0..=59.
    pub minutes: u8,
    /// 0..=59.
    pub seconds: u8,
    /// 0..=29.
    pub frames: u8,
    /// Hundredths of a frame.
    pub subframes: u8,
}

impl Smpte {
    /// ms from the start.
    pub fn millis(self, rate: SmpteRate) -> u64 {
        let seconds =
            u64::from(self.hours) * 3600 + u64::from(self.minutes) * 60 + u64::from(self.seconds);
        let fine = u64::from(self.frames) * 100 + u64::from(self.subframes);
        match rate {
            SmpteRate::Fps25 => seconds * 1000 + fine * 10 / 25,
            SmpteRate::Drop | SmpteRate::Drop30 => {
                let minutes = seconds / 60;
                let dropped = 2 * (minutes - minutes / 10);
                // Frames last 1001/30 ms.
                let hundredths = (seconds * 30).saturating_sub(dropped) * 100 + fine;
                hundredths * 1001 / 3000
            }
        }
    }

    fn parse(text: &str) -> Option<Smpte> {
        let (time, sub) = text.split_once('.').unwrap_or((text, "0"));
        let mut parts = time.split(':');
        let mut next = |max: u8| {
            let part = parts.next()?;
            let n: u8 = number(part, PRODUCTION).ok()?;
            (n <= max).then_some(n)
        };
        let mut code = Smpte {
            hours: next(99)?,
            minutes: next(59)?,
            seconds: next(59)?,
            ..Smpte::default()
        };
        if time.split(':').count() > 3 {
            code.frames = next(29)?;
        }
        code.subframes = number::<u8>(sub, PRODUCTION).ok().filter(|s| *s <= 99)?;
        (time.split(':').count() <= 4).then_some(code)
    }
}

impl fmt::Display for Smpte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02}:{:02}:{:02}",
            self.hours, self.minutes, self.seconds
        )?;
        match (self.frames, self.subframes) {
            (0, 0) => Ok(()),
            (frames, 0) => write!(f, ":{frames:02}"),
            (frames, sub) => write!(f, ":{frames:02}.{sub:02}"),
        }
    }
}

impl Npt {
    fn parse(text: &str) -> Option<Npt> {
        if text == "now" {
            return Some(Npt::Now);
        }
        let mut parts = text.rsplitn(3, ':');
        let seconds = milli(parts.next()?, PRODUCTION).ok()?;
        let mut total = seconds;
        for (part, unit) in parts.zip([60_000u64, 3_600_000]) {
            let n: u64 = number(part, PRODUCTION).ok()?;
            total = total.checked_add(n.checked_mul(unit)?)?;
        }
        Some(Npt::Millis(total))
    }
}

/// Seconds with three decimals.
impl fmt::Display for Npt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Npt::Now => f.write_str("now"),
            Npt::Millis(ms) => write!(f, "{}.{:03}", ms / 1000, ms % 1000),
        }
    }
}

impl Range {
    /// From a point of play time on.
    pub const fn npt(start_ms: u64, end_ms: Option<u64>) -> Range {
        Range::Npt {
            start: Some(Npt::Millis(start_ms)),
            end: match end_ms {
                Some(ms) => Some(Npt::Millis(ms)),
                None => None,
            },
        }
    }

    /// Where a content can be played: from its preroll on, to the end if there is one.
    pub fn of(content: &Content) -> Range {
        let start = u64::from(content.preroll);
        let duration = content.duration.filter(|_| !content.broadcast);
        Range::npt(start, duration.map(|d| start.saturating_add(d)))
    }

    /// The point that is asked for. Play time counts the preroll (ms), and what is before its end is the
    /// beginning: FFmpeg asks for 0. Only an end, and the live point, are the beginning too.
    pub fn start(&self, preroll: u32) -> Start {
        let time = |ms: u64| match ms.saturating_sub(u64::from(preroll)) {
            0 => Start::Beginning,
            ms => Start::Time(u32::try_from(ms).unwrap_or(u32::MAX)),
        };
        match *self {
            Range::Npt { start, .. } => match start {
                Some(Npt::Millis(ms)) => time(ms),
                Some(Npt::Now) | None => Start::Beginning,
            },
            Range::Smpte { rate, start, .. } => time(start.millis(rate)),
            Range::Byte { first, .. } => Start::Byte(first),
            Range::Packet { first, .. } => Start::Packet(u32::try_from(first).unwrap_or(u32::MAX)),
        }
    }

    /// Read a value. A `;time= behind it has no meaning here and is passed over (RTSP-61).
    ///
    /// # Errors
    /// Another unit (`clock` among them), several ranges, a value that breaks its grammar.
    pub fn parse(value: &str) -> Result<Range, Fault> {
        let body = value.split(';').next().unwrap_or("").trim_end();
        let lead = body.len() - body.trim_start().len();
        let (unit, range) = body
            .trim_start()
            .split_once('=')
            .ok_or(Fault::at(lead, PRODUCTION, "no unit"))?;
        let at = lead + unit.len() + 1;
        if range.contains(',') {
            return Err(Fault::at(at, PRODUCTION, "more than one range"));
        }
        let (first, last) = range
            .split_once('-')
            .ok_or(Fault::at(at, PRODUCTION, "no '-'"))?;
        let (first, last) = (first.trim(), last.trim());
        let bad = Fault::at(at, PRODUCTION, "a point that cannot be read");
        match unit.trim().to_ascii_lowercase().as_str() {
            "npt" => npt(first, last).ok_or(bad),
            "smpte" => smpte(SmpteRate::Drop, first, last).ok_or(bad),
            "smpte-30-drop" => smpte(SmpteRate::Drop30, first, last).ok_or(bad),
            "smpte-25" => smpte(SmpteRate::Fps25, first, last).ok_or(bad),
            "x-asf-byte" => {
                let (first, last) = counted(first, last).ok_or(bad)?;
                Ok(Range::Byte { first, last })
            }
            "x-asf-packet" => {
                let (first, last) = counted(first, last).ok_or(bad)?;
                Ok(Range::Packet { first, last })
            }
            _ => Err(Fault::at(lead, PRODUCTION, "unknown unit")),
        }
    }
}

fn optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() {
        return Some(None);
    }
    parse(text).map(Some)
}

fn npt(first: &str, last: &str) -> Option<Range> {
    let (start, end) = (optional(first, Npt::parse)?, optional(last, Npt::parse)?);
    (start.is_some() || end.is_some()).then_some(Range::Npt { start, end })
}

fn smpte(rate: SmpteRate, first: &str, last: &str) -> Option<Range> {
    Some(Range::Smpte {
        rate,
        start: Smpte::parse(first)?,
        end: optional(last, Smpte::parse)?,
    })
}

/// 0 to 2^64 - 2.
fn counted(first: &str, last: &str) -> Option<(u64, Option<u64>)> {
    let n = |text: &str| number(text, PRODUCTION).ok().filter(|n| *n != u64::MAX);
    Some((n(first)?, optional(last, n)?))
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn ends(
            f: &mut fmt::Formatter<'_>,
            unit: &str,
            start: Option<impl fmt::Display>,
            end: Option<impl fmt::Display>,
        ) -> fmt::Result {
            write!(f, "{unit}=")?;
            start.map_or(Ok(()), |s| write!(f, "{s}"))?;
            f.write_str("-")?;
            end.map_or(Ok(()), |e| write!(f, "{e}"))
        }
        match *self {
            Range::Npt { start, end } => ends(f, "npt", start, end),
            Range::Smpte { rate, start, end } => {
                let unit = match rate {
                    SmpteRate::Drop => "smpte",
                    SmpteRate::Drop30 => "smpte-30-drop",
                    SmpteRate::Fps25 => "smpte-25",
                };
                ends(f, unit, Some(start), end)
            }
            Range::Byte { first, last } => ends(f, "x-asf-byte", Some(first), last),
            Range::Packet { first, last } => ends(f, "x-asf-packet", Some(first), last),
        }
    }
}
