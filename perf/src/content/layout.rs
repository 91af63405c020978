//! The objects around the packets: header and index.

use super::{AUDIO_CHUNK_MS, FRAME_MS, PREROLL_MS};
use crate::asf::{self, guid};

const HNS_PER_MS: u64 = 10_000;

const AUDIO: [u8; 16] = guid(0xF869_9E40, 0x5B4D, 0x11CF, 0xA8FD_0080_5F5C_442B);
const VIDEO: [u8; 16] = guid(0xBC19_EFC0, 0x5B4D, 0x11CF, 0xA8FD_0080_5F5C_442B);
const NO_CORRECTION: [u8; 16] = guid(0x20FB_5700, 0x5B55, 0x11CF, 0xA8FD_0080_5F5C_442B);
const HEADER_EXTENSION: [u8; 16] = guid(0x5FBF_03B5, 0xA92E, 0x11CF, 0x8EE3_00C0_0C20_5365);
const RESERVED_1: [u8; 16] = guid(0xABD3_D211, 0xA9BA, 0x11CF, 0x8EE6_00C0_0C20_5365);
const EXTENDED_STREAM: [u8; 16] = guid(0x14E6_A5CB, 0xC672, 0x4332, 0x8399_A969_5206_5B5A);
const STREAM_BIT_RATES: [u8; 16] = guid(0x7BF8_75CE, 0x468D, 0x11D1, 0x8D82_0060_97C9_A2B2);
const CONTENT_DESCRIPTION: [u8; 16] = guid(0x75B2_2633, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);
/// Simple Index Object's GUID.
pub const SIMPLE_INDEX: [u8; 16] = guid(0x3300_0890, 0xE5B1, 0x11CF, 0x89F4_00A0_C903_49CB);

/// Number of the stream.
pub const AUDIO_STREAM: u8 = 1;
/// Number of the stream.
pub const VIDEO_STREAM: u8 = 2;

/// The streams that a recipe leads to.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// Samples (bytes) per second.
    pub audio_rate: u32,
    /// Width and height, pixels.
    pub video: Option<(u32, u32)>,
}

/// A key frame's place, for the index.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub presentation_ms: u64,
    pub packet: u32,
    pub span: u16,
}

/// What a header says of the whole file.
pub struct Shape {
    pub file_id: [u8; 16],
    pub packet_size: u32,
    pub bit_rate: u32,
    pub packets: u64,
    pub duration_ms: u64,
    pub broadcast: bool,
}

fn object(id: [u8; 16], body: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend((body.len() as u64 + 24).to_le_bytes());
    out.extend(body);
    out
}

/// Header Object and the first 50 bytes of the Data Object.
pub fn header(shape: &Shape, streams: Streams, file_size: u64, data_size: u64) -> Vec<u8> {
    let mut children = vec![
        file_properties(shape, file_size),
        extension(shape, streams),
        audio_stream(streams.audio_rate),
    ];
    if let Some((w, h)) = streams.video {
        children.push(video_stream(w, h));
    }
    children.push(bit_rates(streams));
    children.push(description());
    let count = children.len() as u32;
    let children = children.concat();
    let mut out = asf::HEADER.to_vec();
    out.extend((children.len() as u64 + 30).to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend([1, 2]);
    out.extend(children);
    out.extend(asf::DATA);
    out.extend(if shape.broadcast { 0 } else { data_size }.to_le_bytes());
    out.extend(shape.file_id);
    out.extend(shape.packets.to_le_bytes());
    out.extend([1, 1]);
    out
}

fn file_properties(shape: &Shape, file_size: u64) -> Vec<u8> {
    let mut b = shape.file_id.to_vec();
    let (size, play, send) = if shape.broadcast {
        (0, 0, 0)
    } else {
        let send = shape.duration_ms * HNS_PER_MS;
        (file_size, send + PREROLL_MS * HNS_PER_MS, send)
    };
    for n in [size, 0, shape.packets, play, send, PREROLL_MS] {
        b.extend(n.to_le_bytes());
    }
    let flags = if shape.broadcast { 1u32 } else { 2 };
    for n in [flags, shape.packet_size, shape.packet_size, shape.bit_rate] {
        b.extend(n.to_le_bytes());
    }
    object(asf::FILE_PROPERTIES, &b)
}

/// bit/s of the media in each stream, packet heads not counted.
fn stream_rates(streams: Streams) -> Vec<(u8, u32)> {
    let mut rates = vec![(AUDIO_STREAM, streams.audio_rate * 8)];
    if let Some((w, h)) = streams.video {
        rates.push((VIDEO_STREAM, w * h * 3 * 8 * 1000 / FRAME_MS as u32));
    }
    rates
}

fn extension(shape: &Shape, streams: Streams) -> Vec<u8> {
    let mut inner = Vec::new();
    for (stream, rate) in stream_rates(streams) {
        let frame_ms = if stream == VIDEO_STREAM {
            FRAME_MS
        } else {
            AUDIO_CHUNK_MS
        };
        let mut b = Vec::new();
        b.extend(0u64.to_le_bytes());
        b.extend((shape.duration_ms + PREROLL_MS).to_le_bytes());
        for n in [rate, PREROLL_MS as u32, 0, rate, PREROLL_MS as u32, 0, 0, 2] {
            b.extend(n.to_le_bytes());
        }
        b.extend(u16::from(stream).to_le_bytes());
        b.extend(0u16.to_le_bytes());
        b.extend((frame_ms * HNS_PER_MS).to_le_bytes());
        b.extend([0; 4]);
        inner.extend(object(EXTENDED_STREAM, &b));
    }
    let mut b = RESERVED_1.to_vec();
    b.extend(6u16.to_le_bytes());
    b.extend((inner.len() as u32).to_le_bytes());
    b.extend(inner);
    object(HEADER_EXTENSION, &b)
}

fn stream_properties(kind: [u8; 16], stream: u8, specific: &[u8]) -> Vec<u8> {
    let mut b = kind.to_vec();
    b.extend(NO_CORRECTION);
    b.extend(0u64.to_le_bytes());
    b.extend((specific.len() as u32).to_le_bytes());
    b.extend(0u32.to_le_bytes());
    b.extend(u16::from(stream).to_le_bytes());
    b.extend(0u32.to_le_bytes());
    b.extend(specific);
    object(asf::STREAM_PROPERTIES, &b)
}

fn audio_stream(rate: u32) -> Vec<u8> {
    // PCM, mono, 8 bits.
    let mut b = vec![1, 0, 1, 0];
    b.extend(rate.to_le_bytes());
    b.extend(rate.to_le_bytes());
    b.extend([1, 0, 8, 0, 0, 0]);
    stream_properties(AUDIO, AUDIO_STREAM, &b)
}

fn video_stream(width: u32, height: u32) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(width.to_le_bytes());
    b.extend(height.to_le_bytes());
    b.push(2);
    b.extend(40u16.to_le_bytes());
    // BITMAPINFOHEADER: BI_RGB, 24 bits.
    for n in [
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        width * height * 3,
        0,
        0,
        0,
        0,
    ] {
        b.extend(n.to_le_bytes());
    }
    stream_properties(VIDEO, VIDEO_STREAM, &b)
}

fn bit_rates(streams: Streams) -> Vec<u8> {
    let rates = stream_rates(streams);
    let mut b = (rates.len() as u16).to_le_bytes().to_vec();
    for (stream, rate) in rates {
        b.extend(u16::from(stream).to_le_bytes());
        b.extend(rate.to_le_bytes());
    }
    object(STREAM_BIT_RATES, &b)
}

fn description() -> Vec<u8> {
    let title: Vec<u8> = "Noise\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut b = (title.len() as u16).to_le_bytes().to_vec();
    b.extend([0; 8]);
    b.extend(title);
    object(CONTENT_DESCRIPTION, &b)
}

/// One entry a second of presentation time, preroll included (asf.md 6.1).
pub fn simple_index(shape: &Shape, keys: &[Key]) -> Vec<u8> {
    let end = shape.duration_ms + PREROLL_MS;
    let count = end.div_ceil(1000);
    let mut b = shape.file_id.to_vec();
    b.extend((1000 * HNS_PER_MS).to_le_bytes());
    let span = keys.iter().map(|k| k.span).max().unwrap_or(0);
    b.extend(u32::from(span).to_le_bytes());
    b.extend((count as u32).to_le_bytes());
    for second in 0..count {
        let past = keys
            .partition_point(|k| k.presentation_ms <= second * 1000)
            .saturating_sub(1);
        let (packet, span) = keys.get(past).map_or((0, 0), |k| (k.packet, k.span));
        b.extend(packet.to_le_bytes());
        b.extend(span.to_le_bytes());
    }
    object(SIMPLE_INDEX, &b)
}
