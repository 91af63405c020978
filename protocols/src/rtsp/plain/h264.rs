//! H.264 (RFC 6184), packetization mode 1.

use super::super::Fault;
use super::super::sdp::Format;
use super::{Bitmap, PAYLOAD_MIN, Payloads};
use crate::auth::base64;

/// Hz.
pub const CLOCK: u32 = 90_000;
/// FourCCs that ASF files name it by.
pub const FOUR_CCS: [[u8; 4]; 6] = [*b"H264", *b"h264", *b"AVC1", *b"avc1", *b"X264", *b"DAVC"];

const SPS: u8 = 7;
const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Parameter sets that are kept of one kind.
const SETS_MAX: usize = 32;

/// How NAL units stand in a media object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Start codes before each.
    #[default]
    AnnexB,
    /// A length of so many bytes, 1 to 4, before each.
    Lengths(u8),
}

/// What is known of a stream before its first object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// As the extra data say.
    pub framing: Framing,
    /// Sequence parameter sets.
    pub sps: Vec<Vec<u8>>,
    /// Picture parameter sets.
    pub pps: Vec<Vec<u8>>,
}

impl Config {
    /// Of a video stream; `None` if it is another codec's.
    pub fn of(bitmap: &Bitmap<'_>) -> Option<Config> {
        FOUR_CCS
            .contains(&bitmap.compression)
            .then(|| Config::parse(bitmap.extra))
    }

    /// Read extra data: an AVCDecoderConfigurationRecord, NAL units with start codes, or nothing.
    /// What is damaged is left out; the parameter sets may come in the stream.
    pub fn parse(extra: &[u8]) -> Config {
        if let Some(config) = Config::parse_record(extra) {
            return config;
        }
        let mut config = Config::default();
        config.learn(&annex_b(extra));
        config
    }

    fn parse_record(extra: &[u8]) -> Option<Config> {
        let [1, _, _, _, lengths, count, rest @ ..] = extra else {
            return None;
        };
        let mut config = Config {
            framing: Framing::Lengths((lengths & 3) + 1),
            ..Config::default()
        };
        let mut sets = Vec::new();
        if let Some([count, rest @ ..]) = take_sets(rest, count & 0x1F, &mut sets) {
            take_sets(rest, *count, &mut sets);
        }
        config.learn(&sets);
        Some(config)
    }

    /// Keep the parameter sets among these NAL units; true if there were new ones.
    pub fn learn(&mut self, nals: &[&[u8]]) -> bool {
        let mut new = false;
        for nal in nals {
            let sets = match nal.first().map(|b| b & 0x1F) {
                Some(SPS) => &mut self.sps,
                Some(PPS) => &mut self.pps,
                _ => continue,
            };
            if sets.len() < SETS_MAX && !sets.iter().any(|s| s == nal) {
                sets.push(nal.to_vec());
                new = true;
            }
        }
        new
    }

    /// The NAL units of a media object. The framing that the extra data name is tried first, then the
    /// other one: files are about that copy a stream and not its framing.
    ///
    /// # Errors
    /// If neither fits.
    pub fn nals<'a>(&self, object: &'a [u8]) -> Result<Vec<&'a [u8]>, Fault> {
        let starts = |o: &[u8]| {
            let zeros = o.iter().take_while(|&&b| b == 0).count();
            zeros >= 2 && o.get(zeros) == Some(&1)
        };
        let found = match self.framing {
            Framing::Lengths(size) => {
                lengths(object, size).or_else(|| starts(object).then(|| annex_b(object)))
            }
            Framing::AnnexB if starts(object) => Some(annex_b(object)),
            Framing::AnnexB => lengths(object, 4),
        };
        let mut nals = found.ok_or(Fault::at(0, "H.264 object", "no NAL units"))?;
        // Types 0 and 24 to 31 would mean something else in a payload.
        nals.retain(|n| n.first().is_some_and(|b| (1..STAP_A).contains(&(b & 0x1F))));
        Ok(nals)
    }

    /// The format for SDP. Without parameter sets players wait for those in the stream.
    pub fn format(&self) -> Format {
        let mut parameters = "packetization-mode=1".to_owned();
        if let Some([_, profile, constraints, level, ..]) = self.sps.first().map(|s| &s[..]) {
            parameters += &format!(";profile-level-id={profile:02X}{constraints:02X}{level:02X}");
        }
        let sets: Vec<String> = self
            .sps
            .iter()
            .chain(&self.pps)
            .map(|s| base64::encode(s))
            .collect();
        if !sets.is_empty() {
            parameters += &format!(";sprop-parameter-sets={}", sets.join(","));
        }
        Format {
            name: "H264".to_owned(),
            clock: CLOCK,
            channels: None,
            parameters: Some(parameters),
        }
    }
}

/// Cuts access units into payloads.
#[derive(Clone, Copy, Debug)]
pub struct Payloader {
    payload_max: usize,
    aggregate: bool,
}

impl Payloader {
    /// `payload_max` is at least [`PAYLOAD_MIN`] and at most 65,535. With `aggregate`, neighbouring units that fit in one
    /// packet together share it (STAP-A).
    pub fn new(payload_max: usize, aggregate: bool) -> Payloader {
        Payloader {
            payload_max: payload_max.clamp(PAYLOAD_MIN, usize::from(u16::MAX)),
            aggregate,
        }
    }

    /// The payloads of one access unit; the last has the marker.
    pub fn payloads(&self, nals: &[&[u8]], out: &mut Payloads) {
        out.clear();
        let mut rest = nals;
        while let Some((first, after)) = rest.split_first() {
            let together = if self.aggregate {
                self.fitting(rest)
            } else {
                1
            };
            if together > 1 {
                let (now, after) = rest.split_at(together);
                put_aggregate(now, out);
                rest = after;
                continue;
            }
            if first.len() <= self.payload_max {
                out.put(&[first], false, 0);
            } else {
                self.fragment(first, out);
            }
            rest = after;
        }
        out.mark_last();
    }

    /// How many of the units fit in one aggregate.
    fn fitting(&self, nals: &[&[u8]]) -> usize {
        let mut total = 1;
        nals.iter()
            .take_while(|n| {
                total += 2 + n.len();
                total <= self.payload_max
            })
            .count()
    }

    fn fragment(&self, nal: &[u8], out: &mut Payloads) {
        let Some((&head, body)) = nal.split_first() else {
            return;
        };
        let pieces = body.chunks(self.payload_max - 2);
        let count = pieces.len();
        for (n, piece) in pieces.enumerate() {
            let start = if n == 0 { 0x80 } else { 0 };
            let end = if n + 1 == count { 0x40 } else { 0 };
            let heads = [head & 0xE0 | FU_A, start | end | head & 0x1F];
            out.put(&[&heads, piece], false, 0);
        }
    }
}

fn put_aggregate(nals: &[&[u8]], out: &mut Payloads) {
    let heads = nals.iter().filter_map(|n| n.first());
    // Forbidden bit of any, importance of the most important.
    let flags = heads.fold(0, |all, head| {
        (all | head) & 0x80 | (all & 0x60).max(head & 0x60)
    });
    let lengths: Vec<_> = nals
        .iter()
        .map(|n| (n.len() as u16).to_be_bytes())
        .collect();
    let head = [flags | STAP_A];
    let mut parts: Vec<&[u8]> = vec![&head];
    for (len, nal) in lengths.iter().zip(nals) {
        parts.push(len);
        parts.push(nal);
    }
    out.put(&parts, false, 0);
}

/// Take `count` parameter sets, each behind a length of two bytes; what is behind them.
fn take_sets<'a>(mut bytes: &'a [u8], count: u8, sets: &mut Vec<&'a [u8]>) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len));
        sets.push(rest.get(..len)?);
        bytes = rest.get(len..)?;
    }
    Some(bytes)
}

/// Units behind start codes; zeros before the next start code belong to it.
fn annex_b(bytes: &[u8]) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    let mut start = None;
    let mut at = 0;
    let mut close = |start: Option<usize>, end: usize| {
        let nal = start.and_then(|s| bytes.get(s..end)).unwrap_or(&[]);
        let zeros = nal.iter().rev().take_while(|&&b| b == 0).count();
        let nal = nal.get(..nal.len() - zeros).unwrap_or(nal);
        if !nal.is_empty() {
            nals.push(nal);
        }
    };
    while let Some(window) = bytes.get(at..at + 3) {
        if window == [0, 0, 1] {
            close(start, at);
            at += 3;
            start = Some(at);
        } else {
            at += 1;
        }
    }
    close(start, bytes.len());
    nals
}

/// Units behind lengths; `None` unless they fill the object exactly.
fn lengths(mut bytes: &[u8], size: u8) -> Option<Vec<&[u8]>> {
    let mut nals = Vec::new();
    while !bytes.is_empty() {
        let field = bytes.get(..usize::from(size))?;
        let len = field.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let rest = bytes.get(usize::from(size)..)?;
        let nal = rest.get(..len)?;
        if !nal.is_empty() {
            nals.push(nal);
        }
        bytes = rest.get(len..)?;
    }
    (!nals.is_empty()).then_some(nals)
}
