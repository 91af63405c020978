//! MPEG audio, MP3 above all (RFC 2250, 3.5).

use super::super::Fault;
use super::super::sdp::Format;
use super::{PAYLOAD_MIN, Payloads, Wave};

/// Hz.
pub const CLOCK: u32 = 90_000;
/// The payload type that RFC 3551 gives it.
pub const PAYLOAD_TYPE: u8 = 14;
/// Format tag: MP3.
pub const TAG_MP3: u16 = 0x0055;
/// Format tag: MPEG audio of layer 1 or 2.
pub const TAG_MPEG: u16 = 0x0050;

/// Bytes of the payload header: zeros, and the offset in a frame that was cut.
const HEAD_LEN: usize = 4;

/// True if a stream is MPEG audio.
pub fn is_mpa(wave: &Wave<'_>) -> bool {
    matches!(wave.tag, TAG_MP3 | TAG_MPEG)
}

/// The format for SDP.
pub fn format() -> Format {
    Format {
        name: "MPA".to_owned(),
        clock: CLOCK,
        channels: None,
        parameters: None,
    }
}

/// One frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes, header included.
    pub len: usize,
    /// Samples per channel.
    pub samples: u32,
    /// Hz.
    pub rate: u32,
}

impl Frame {
    /// Read the header at the start of `bytes`. `None` for what is none, and for free format, whose
    /// length no header tells.
    pub fn parse(bytes: &[u8]) -> Option<Frame> {
        let [0xFF, b1, b2, _, ..] = *bytes else {
            return None;
        };
        if b1 & 0xE0 != 0xE0 {
            return None;
        }
        // 0: version 2.5, 2: version 2, 3: version 1.
        let version = b1 >> 3 & 3;
        let layer = 4 - (b1 >> 1 & 3);
        if version == 1 || layer == 4 {
            return None;
        }
        let table = match (version == 3, layer) {
            (true, 1) => &KBITS_1_1,
            (true, 2) => &KBITS_1_2,
            (true, _) => &KBITS_1_3,
            (false, 1) => &KBITS_2_1,
            (false, _) => &KBITS_2_23,
        };
        let kbits = *table.get(usize::from(b2 >> 4)).filter(|k| **k > 0)?;
        let rate = *RATES.get(usize::from(b2 >> 2 & 3))?;
        let rate = match version {
            3 => rate,
            2 => rate / 2,
            _ => rate / 4,
        };
        let padding = usize::from(b2 >> 1 & 1);
        let samples = match (layer, version) {
            (1, _) => 384,
            (3, 0 | 2) => 576,
            _ => 1152,
        };
        let len = match layer {
            1 => (12_000 * kbits / rate) as usize * 4 + padding * 4,
            _ => (samples / 8 * 1000 * kbits / rate) as usize + padding,
        };
        Some(Frame { len, samples, rate })
    }

    /// Units of the clock.
    pub fn ticks(&self) -> u32 {
        (u64::from(self.samples) * u64::from(CLOCK) / u64::from(self.rate)) as u32
    }
}

/// Cuts media objects into payloads.
#[derive(Clone, Copy, Debug)]
pub struct Payloader {
    payload_max: usize,
}

impl Payloader {
    /// `payload_max` is at least [`PAYLOAD_MIN`] and at most 65,535.
    pub fn new(payload_max: usize) -> Payloader {
        Payloader {
            payload_max: payload_max.clamp(PAYLOAD_MIN, usize::from(u16::MAX)),
        }
    }

    /// The payloads of one object, which is whole frames; a last frame may be cut short. Frames that
    /// fit together share a packet, a frame that fits in none is cut. The marker stands on the first
    /// packet after a silence, so it is for the caller to set: `resumed` is true for the first object
    /// of a flow and after each jump.
    ///
    /// # Errors
    /// Where a frame should begin and does not.
    pub fn payloads(&self, object: &[u8], resumed: bool, out: &mut Payloads) -> Result<(), Fault> {
        out.clear();
        let room = self.payload_max - HEAD_LEN;
        let mut ticks: u32 = 0;
        let mut at = 0;
        while let Some(rest) = object.get(at..).filter(|r| !r.is_empty()) {
            let frame = Frame::parse(rest).ok_or(Fault::at(at, "MPEG audio frame", "no header"))?;
            let len = frame.len.clamp(HEAD_LEN, rest.len());
            let resumed = resumed && at == 0;
            let start = ticks;
            let mut end = len;
            ticks = ticks.wrapping_add(frame.ticks());
            // As many of the next ones as fit whole.
            while let Some(next) = rest.get(end..).and_then(Frame::parse) {
                if len > room || next.len < HEAD_LEN || end + next.len > room.min(rest.len()) {
                    break;
                }
                end += next.len;
                ticks = ticks.wrapping_add(next.ticks());
            }
            let now = rest.get(..end).unwrap_or(rest);
            for (n, piece) in now.chunks(room).enumerate() {
                let [o0, o1] = ((n * room) as u16).to_be_bytes();
                out.put(&[&[0, 0, o0, o1], piece], resumed && n == 0, start);
            }
            at += end;
        }
        Ok(())
    }
}

const RATES: [u32; 3] = [44_100, 48_000, 32_000];
const KBITS_1_1: [u32; 15] = [
    0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
];
const KBITS_1_2: [u32; 15] = [
    0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
];
const KBITS_1_3: [u32; 15] = [
    0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const KBITS_2_1: [u32; 15] = [
    0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
];
const KBITS_2_23: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
