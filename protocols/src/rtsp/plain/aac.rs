//! MPEG-4 AAC (RFC 3640), mode AAC-hbr.

use super::super::Fault;
use super::super::sdp::Format;
use super::{PAYLOAD_MIN, Payloads, Wave};
use std::fmt::Write as _;

/// Format tag: raw access units, the extra data are an AudioSpecificConfig; what FFmpeg writes.
pub const TAG_RAW: u16 = 0x00FF;
/// Format tag: ADTS.
pub const TAG_ADTS: u16 = 0x1600;
/// Format tag: HEAACWAVEINFO; what Windows writes.
pub const TAG_HEAAC: u16 = 0x1610;

/// Bytes of HEAACWAVEINFO before the AudioSpecificConfig.
const HEAAC_HEAD: usize = 12;
/// Largest access unit that 13 bits can tell.
const UNIT_MAX: usize = 0x1FFF;
/// Samples of an access unit.
const UNIT_SAMPLES: u32 = 1024;
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// AudioSpecificConfig.
    pub specific: Vec<u8>,
    /// Clock, Hz: the rate of what is heard, which with explicit SBR is not that of the core.
    pub clock: u32,
    /// Channels.
    pub channels: u8,
    /// Units of the clock that one access unit lasts.
    pub unit_ticks: u32,
}

impl Config {
    /// Of an audio stream. `None` if it is another codec's, and for ADTS: see [`Config::of_adts`].
    pub fn of(wave: &Wave<'_>) -> Option<Config> {
        let specific = match wave.tag {
            TAG_RAW => wave.extra,
            TAG_HEAAC => wave.extra.get(HEAAC_HEAD..)?,
            _ => return None,
        };
        let channels = u8::try_from(wave.channels).unwrap_or(0);
        Config::parse(specific, channels)
    }

    /// Of the first object of a stream whose access units have ADTS headers.
    pub fn of_adts(object: &[u8]) -> Option<Config> {
        let header = Adts::parse(object)?;
        let first = header.object_type << 3 | header.rate >> 1;
        let second = header.rate << 7 | header.channels << 3;
        Config::parse(&[first, second], 0)
    }

    /// Read an AudioSpecificConfig; `channels` counts where it has none.
    pub fn parse(specific: &[u8], channels: u8) -> Option<Config> {
        let mut bits = Bits {
            bytes: specific,
            at: 0,
        };
        let kind = object_type(&mut bits)?;
        let rate = sampling_rate(&mut bits)?;
        let stated = match bits.take(4)? {
            0 => channels,
            7 => 8,
            n @ 1..=6 => n as u8,
            _ => return None,
        };
        // 5 and 29 say that spectral bands are replicated, at a rate of their own.
        let clock = match kind {
            5 | 29 => sampling_rate(&mut bits)?,
            _ => rate,
        };
        (rate > 0 && clock > 0).then(|| Config {
            specific: specific.to_vec(),
            clock,
            channels: stated.max(1),
            unit_ticks: (u64::from(UNIT_SAMPLES) * u64::from(clock) / u64::from(rate)) as u32,
        })
    }

    /// The format for SDP.
    pub fn format(&self) -> Format {
        let mut parameters = "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;\
                              indexlength=3;indexdeltalength=3;config="
            .to_owned();
        for byte in &self.specific {
            let _ = write!(parameters, "{byte:02X}");
        }
        Format {
            name: "mpeg4-generic".to_owned(),
            clock: self.clock,
            channels: Some(self.channels),
            parameters: Some(parameters),
        }
    }
}

/// The access units of a media object: what stands behind ADTS headers if these fill it exactly, else
/// the object.
pub fn units(object: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = object;
    while !rest.is_empty() {
        let unit = Adts::parse(rest).and_then(|h| rest.get(h.head_len..h.frame_len));
        let Some(unit) = unit else {
            return vec![object];
        };
        rest = rest
            .get(Adts::parse(rest).map_or(0, |h| h.frame_len)..)
            .unwrap_or(&[]);
        units.push(unit);
    }
    units
}

/// Cuts access units into payloads.
#[derive(Clone, Copy, Debug)]
pub struct Payloader {
    payload_max: usize,
    unit_ticks: u32,
}

impl Payloader {
    /// `payload_max` is at least [`PAYLOAD_MIN`].
    pub fn new(payload_max: usize, config: &Config) -> Payloader {
        Payloader {
            payload_max: payload_max.max(PAYLOAD_MIN),
            unit_ticks: config.unit_ticks,
        }
    }

    /// The payloads of one media object's access units. Those that fit together share a packet; one
    /// that does not fit in any is cut, and its last piece has the marker.
    ///
    /// # Errors
    /// An access unit that is empty or longer than 8191 bytes.
    pub fn payloads(&self, units: &[&[u8]], out: &mut Payloads) -> Result<(), Fault> {
        out.clear();
        let bad = |u: &&[u8]| !(1..=UNIT_MAX).contains(&u.len());
        if let Some(n) = units.iter().position(bad) {
            let offset = units.iter().take(n).map(|u| u.len()).sum();
            return Err(Fault::at(offset, "AAC access unit", "not 1 to 8191 bytes"));
        }
        let mut done = 0;
        while let Some(rest) = units.get(done..).filter(|r| !r.is_empty()) {
            let mut total = 2;
            let fits = |u: &&&[u8]| {
                total += 2 + u.len();
                total <= self.payload_max
            };
            let count = rest.iter().take_while(fits).count();
            let ticks = self.unit_ticks.wrapping_mul(done as u32);
            match (count, rest.first()) {
                (0, Some(unit)) => {
                    let pieces = unit.chunks(self.payload_max - 4);
                    let last = pieces.len() - 1;
                    for (n, piece) in pieces.enumerate() {
                        out.put(&[&heads(&[unit]), piece], n == last, ticks);
                    }
                    done += 1;
                }
                _ => {
                    let now = rest.get(..count).unwrap_or(rest);
                    let heads = heads(now);
                    let mut parts: Vec<&[u8]> = vec![&heads];
                    parts.extend_from_slice(now);
                    out.put(&parts, true, ticks);
                    done += count;
                }
            }
        }
        Ok(())
    }
}

/// AU-headers-length in bits and the headers: 13 bits of size, 3 of index (0).
fn heads(units: &[&[u8]]) -> Vec<u8> {
    let bits = (units.len() * 16) as u16;
    let sizes = units.iter().map(|u| (u.len() as u16) << 3);
    std::iter::once(bits)
        .chain(sizes)
        .flat_map(u16::to_be_bytes)
        .collect()
}

/// An ADTS header.
struct Adts {
    object_type: u8,
    rate: u8,
    channels: u8,
    head_len: usize,
    frame_len: usize,
}

impl Adts {
    fn parse(bytes: &[u8]) -> Option<Adts> {
        let [sync, b1, b2, b3, b4, b5, b6, ..] = *bytes else {
            return None;
        };
        // Sync word, and layer 0.
        if sync != 0xFF || b1 & 0xF6 != 0xF0 {
            return None;
        }
        let frame_len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        let head_len = if b1 & 1 == 0 { 9 } else { 7 };
        let rate = b2 >> 2 & 0x0F;
        // More than one block in a frame is not written by anybody.
        let sound = b6 & 3 == 0 && frame_len > head_len && usize::from(rate) < RATES.len();
        sound.then_some(Adts {
            object_type: (b2 >> 6) + 1,
            rate,
            channels: b2 << 2 & 4 | b3 >> 6,
            head_len,
            frame_len,
        })
    }
}

/// Reads bits, the most significant first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => bits.take(6).map(|n| n + 32),
        n => Some(n),
    }
}

fn sampling_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? as usize {
        15 => bits.take(24),
        n => RATES.get(n).copied(),
    }
}
