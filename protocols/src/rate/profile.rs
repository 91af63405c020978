//! The values of X-StartupProfile (bandwidth-and-start.md 6.3, wmsp.md 4.7, MS-RTSP 3.2.7.7).
//!
//! They tell a player how much it must hold before it may start, given the rate at which it
//! receives. One pass over the media objects of the accelerated phase, no payload byte is touched.
//!
//! The text of the algorithm has faults; the readings chosen here are those that reproduce the
//! printed samples: initial values of first and last send time swapped back, and "not video *and*
//! video is selected" in the last step.

use crate::content::{StartupProfile, StreamKind};

/// Speeds the profile is computed for, tenths of the average rate (BW-41).
pub const RATES: [u32; 5] = [10, 12, 15, 20, 30];

/// The start of one media object: a payload with offset 0, or one sub-object of a compressed
/// payload (BW-44).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// What its stream carries.
    pub kind: StreamKind,
    /// False if its stream is not sent; the object then has no influence (BW-49).
    pub selected: bool,
    /// Key bit of the payload.
    pub key: bool,
    /// Bytes of the whole object.
    pub size: u32,
    /// Presentation time as in the packet, ms, preroll included.
    pub presentation: u32,
    /// Send time of its packet, ms.
    pub send_time: u32,
}

/// What the profile is computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Granted acceleration, ms of content.
    pub accel_ms: u32,
    /// Sum of the average bit rates of the selected streams, bit/s.
    pub average_bps: u64,
    /// Live content: the interval starts at the first key object of video.
    pub live: bool,
    /// Some video stream is selected.
    pub video: bool,
}

/// The profile of what is about to be sent, in sending order, or `None` if there is nothing to say:
/// no acceleration, an unknown average rate, no object (BW-47).
///
/// `max_diff_snd_time` is the algorithm's raw result and can be negative: the syntax has room for a
/// sign and one sample computes to -50. The header's range starts at 0 (BW-48), and a player that
/// reads it as an unsigned number is the one that would suffer, so whoever writes the header
/// writes `max(0, value)`: audio that is not late needs no extra buffer.
pub fn profile(
    params: &Params,
    objects: impl IntoIterator<Item = Object>,
) -> Option<StartupProfile> {
    let byte_rate = params.average_bps / 8;
    if params.accel_ms == 0 || byte_rate == 0 {
        return None;
    }
    let mut run = Run {
        video: params.video,
        live: params.live,
        accel_ms: i64::from(params.accel_ms),
        byte_rate,
        ..Run::default()
    };
    for object in objects.into_iter().filter(|o| o.selected) {
        if !run.take(&object) {
            break;
        }
    }
    run.result()
}

#[derive(Default)]
struct Run {
    video: bool,
    live: bool,
    accel_ms: i64,
    /// Playback bytes/s.
    byte_rate: u64,
    /// Send and presentation times on a line that does not wrap, from the first object's.
    send_line: Line,
    presentation_line: Line,
    first_send: Option<i64>,
    last_send: i64,
    first_presentation: Option<i64>,
    last_presentation: i64,
    bytes: u64,
    max_bytes: [u64; 5],
    time: [i64; 5],
    rate: [u64; 5],
    lag: i64,
    lag_time: Option<i64>,
}

impl Run {
    /// Take one object; false once the interval is over. Steps as numbered in the references.
    fn take(&mut self, o: &Object) -> bool {
        let s = self.send_line.place(o.send_time);
        let is_video = o.kind == StreamKind::Video;
        // BW-46
        let begins = !self.live || !self.video || (is_video && o.key);
        let Some(first_send) = self.first_send.or(begins.then_some(s)) else {
            return true;
        };
        self.first_send = Some(first_send);
        // BW-45
        if s - first_send > self.accel_ms {
            return false;
        }
        let p = self.presentation_line.place(o.presentation);
        let first = match self.first_presentation {
            Some(first) => first.min(p),
            None => {
                self.last_presentation = p;
                p
            }
        };
        self.first_presentation = Some(first);
        if o.kind == StreamKind::Audio && self.video && self.last_send != 0 {
            self.lag_at(p, s);
        }
        self.last_send = s;
        let size = u64::from(o.size);
        if is_video || !self.video {
            self.shortfall(first, p, s - first_send, size);
        } else if p - first == self.time[0] {
            for i in 0..RATES.len() {
                if self.time[i] == p - first {
                    self.max_bytes[i] += size;
                }
            }
        }
        self.bytes += size;
        true
    }

    // What is compared is the lag, what is kept is the lag less the sending delay: a later and
    // smaller lag may replace it. So says the text.
    fn lag_at(&mut self, p: i64, s: i64) {
        let lag = self.last_presentation - p;
        if lag > 0 && lag > self.lag {
            self.lag_time = Some(p);
            self.lag = lag + (self.last_send - s);
        }
    }

    // BW-43: both divisions truncate.
    fn shortfall(&mut self, first: i64, p: i64, sent_ms: i64, size: u64) {
        let measured = match u64::try_from(sent_ms) {
            Ok(ms @ 1..) => (self.bytes + size) * 1000 / ms,
            _ => 0,
        };
        let rate = if measured == 0 || measured > self.byte_rate {
            self.byte_rate
        } else {
            measured
        };
        if p <= self.last_presentation {
            return;
        }
        let played_ms = self.last_presentation - first;
        let played = u64::try_from(played_ms).unwrap_or(0).saturating_mul(rate) / 1000;
        for (i, factor) in RATES.into_iter().enumerate() {
            let delivered = played.saturating_mul(u64::from(factor)) / 10;
            let missing = self.bytes.saturating_sub(delivered);
            if missing > self.max_bytes[i] {
                self.max_bytes[i] = missing;
                self.time[i] = played_ms;
                self.rate[i] = rate;
            }
        }
        self.last_presentation = p;
    }

    fn result(&self) -> Option<StartupProfile> {
        let first = self.first_presentation?;
        let span = |time: i64| u64::try_from(time - first).unwrap_or(0);
        Some(StartupProfile {
            // BW-48: a slot that never grew still needs values in range.
            max_bytes: self.max_bytes.map(|m| m.clamp(1, (1 << 31) - 1)),
            time: self.time.map(|t| u64::try_from(t).unwrap_or(0)),
            start_time: u64::from(first as u32),
            last_time: span(self.last_presentation),
            max_diff_time: self.lag_time.map_or(0, span),
            max_diff_snd_time: self.lag,
            byte_rate: self.rate.map(|r| if r == 0 { self.byte_rate } else { r }),
        })
    }
}

/// Unrolls 32-bit times that wrap: each is placed nearest to the one before.
#[derive(Default)]
struct Line {
    last: Option<i64>,
}

impl Line {
    fn place(&mut self, time: u32) -> i64 {
        let at = match self.last {
            None => i64::from(time),
            Some(last) => last + i64::from(time.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(at);
        at
    }
}
