//! What a Play asks for: its headers, and the rules about them (RTSP-67, RTSP-86).

use super::request::Exchange;
use super::session::Session;
use crate::content::{Accel, Content, Start};
use crate::rtsp::fields::{self, Streaming};
use crate::rtsp::range::{Npt, Range};
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::wmsp::features::{self, Supported};

/// Fastest play rate either way, thousandths.
const RATE_MAX_MILLI: u32 = 5000;

/// What a Play asks for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// `None`: where it stopped, or the beginning.
    pub start: Option<crate::content::Start>,
    /// ms of play time, from an end of the range that is before the content's.
    pub max_duration: Option<u32>,
    pub rate_milli: i32,
    pub speed_milli: Option<u32>,
    pub accel: Option<Accel>,
    pub burst: Option<Accel>,
    pub scaled: bool,
}

/// True for a Play that is about the entry before the one that was announced last.
pub(super) fn goes_back(ex: &Exchange, s: &Session) -> bool {
    let sought = ex.number("X-Playlist-Seek-Id").unwrap_or(0);
    sought != 0 && sought == s.previous_id
}

/// What a Play asks for, with the rules about what it may (RTSP-67, RTSP-86).
pub(super) fn wish_of(ex: &Exchange, s: &Session) -> Result<Wish, (u16, String)> {
    let content = &s.content;
    let axis = match s.is_plain() {
        true => 0,
        false => u64::from(content.preroll),
    };
    let mut ranges = ex.head.all("Range");
    let range = match (ranges.next(), ranges.next()) {
        (None, _) => None,
        (Some(value), None) => Some(Range::parse(value).map_err(|fault| (457, fault.to_string()))?),
        _ => return Err((457, "more than one range".into())),
    };
    let (start, max_duration) = match range {
        None => (None, None),
        Some(range) => {
            let (start, end) = place(range, content, axis)
                .ok_or_else(|| (457, "the range is outside of the content".to_owned()))?;
            (Some(start), end)
        }
    };
    if let Some(value) = ex.head.get("X-RTP-Info") {
        let entries = rtp_info::parse(value).map_err(|fault| (400, fault.to_string()))?;
        if !entries.iter().all(StreamEntry::is_bare) {
            return Err((400, "X-RTP-Info with parameters".into()));
        }
    }
    let milli = |name| {
        ex.head
            .get(name)
            .and_then(|v| fields::milli_value(v, name).ok())
    };
    let scale = milli("Scale");
    // RFC 2326, 12.34: what cannot be had is answered with what is given.
    let rate_milli = match scale {
        Some(rate)
            if content.stridable
                && !content.broadcast
                && rate != 0
                && rate.unsigned_abs() <= RATE_MAX_MILLI =>
        {
            rate
        }
        _ => 1000,
    };
    let runs_ahead = features::supported(content, false).has(Supported::FAST_CACHE);
    let speed = milli("Speed").and_then(|v| u32::try_from(v).ok());
    let streaming = |kind: Streaming| ex.head.get(kind.header()).and_then(|v| kind.parse(v));
    Ok(Wish {
        start,
        max_duration: max_duration.filter(|_| rate_milli > 0),
        rate_milli,
        speed_milli: speed.filter(|s| runs_ahead && *s >= 1000),
        accel: streaming(Streaming::Accelerate),
        burst: streaming(Streaming::Burst),
        scaled: scale.is_some(),
    })
}

/// Where a range begins and, if it ends before the content, its length in ms. `None` if it begins behind
/// the content's end. Time 0 of the content is `axis` in ranges. In what cannot be sought there is one place.
fn place(range: Range, content: &Content, axis: u64) -> Option<(Start, Option<u32>)> {
    if content.broadcast || !content.seekable {
        return Some((Start::Beginning, None));
    }
    let length = content.duration;
    let at = |ms: u64| ms.saturating_sub(axis);
    let time = |ms: u64, end: Option<u64>| {
        let from = at(ms);
        if length.is_some_and(|l| from > l) {
            return None;
        }
        let to = end.map(at).filter(|to| length.is_none_or(|l| *to < l));
        if to.is_some_and(|to| to <= from) {
            return None;
        }
        let max = to.map(|to| u32::try_from(to - from).unwrap_or(u32::MAX));
        let start = match u32::try_from(from).ok()? {
            0 => Start::Beginning,
            from => Start::Time(from),
        };
        Some((start, max))
    };
    match range {
        Range::Npt { start, end } => {
            let ms = |point: Option<Npt>| match point {
                Some(Npt::Millis(ms)) => Some(ms),
                Some(Npt::Now) | None => None,
            };
            time(ms(start).unwrap_or(0), ms(end))
        }
        // Relative time codes count from the start of the clip.
        Range::Smpte { rate, start, end } => time(
            start.millis(rate) + axis,
            end.map(|e| e.millis(rate) + axis),
        ),
        Range::Packet { first, .. } => {
            let outside = content.packet_count != 0 && first >= content.packet_count;
            let first = u32::try_from(first).ok().filter(|_| !outside)?;
            Some((Start::Packet(first), None))
        }
        Range::Byte { first, .. } => {
            let outside = content.file_size.is_some_and(|size| first >= size);
            (!outside).then_some((Start::Byte(first), None))
        }
    }
}
