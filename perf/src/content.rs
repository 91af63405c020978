//! Synthetic ASF files: valid, decodable, incompressible, made without an encoder. Video is
//! uncompressed RGB noise, audio is 8-bit PCM noise, so every player can show them; frames each
//! 2 s are marked as key frames.

mod layout;

use layout::{AUDIO_STREAM, Key, Shape, Streams, VIDEO_STREAM, header, simple_index};
use std::io::Write;
use std::path::{Path, PathBuf};

const PREROLL_MS: u64 = 3000;
const FRAME_MS: u64 = 40;
const KEY_EVERY_MS: u64 = 2000;
const AUDIO_CHUNK_MS: u64 = 100;
/// EC bytes, flags, padding length, send time, duration, payload flags.
const PACKET_HEAD: usize = 3 + 2 + 2 + 4 + 2 + 1;
/// Stream, object, offset, replicated length and data, payload length.
const PAYLOAD_HEAD: usize = 1 + 1 + 4 + 1 + 8 + 2;
const PAYLOADS_MAX: usize = 63;

/// xorshift64*: fast bytes that do not compress. Not for secrets.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Equal seeds give equal bytes.
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Fill with noise.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What a file is like.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Play time, s.
    pub seconds: u32,
    /// bit/s of ASF packets, met within 1 %.
    pub bit_rate: u32,
    /// Bytes of an ASF packet.
    pub packet_size: u16,
    /// No video; all of the rate is audio.
    pub audio_only: bool,
    /// Packets leave at even distances, as an encoder of constant bit rate sends them. Otherwise each
    /// has the send time of the first object in it, and those of a large frame all have the same.
    pub even: bool,
    /// Of the noise and the File ID.
    pub seed: u64,
}

impl Recipe {
    fn streams(&self) -> Streams {
        // What is left of the rate when packet and payload heads are paid.
        let packet = f64::from(self.packet_size);
        let per_packet = PACKET_HEAD as f64 + PAYLOAD_HEAD as f64;
        let usable = f64::from(self.bit_rate) / 8.0 * (packet - per_packet) / packet;
        if self.audio_only {
            let chunks = 1000.0 / AUDIO_CHUNK_MS as f64 * PAYLOAD_HEAD as f64;
            let rate = (usable - chunks).max(1000.0);
            return Streams {
                audio_rate: (rate / 10.0).round() as u32 * 10,
                video: None,
            };
        }
        let audio_rate = if self.bit_rate >= 200_000 { 8000 } else { 1000 };
        let objects = 1000.0 / FRAME_MS as f64 + 1000.0 / AUDIO_CHUNK_MS as f64;
        let video = usable - f64::from(audio_rate) - objects * PAYLOAD_HEAD as f64;
        let frame = (video * FRAME_MS as f64 / 1000.0).max(48.0);
        let width = if frame < 24_000.0 { 16 } else { 64 };
        let height = (frame / f64::from(width * 3)).round().max(1.0) as u32;
        Streams {
            audio_rate,
            video: Some((width, height)),
        }
    }

    /// The whole file.
    pub fn file(&self) -> Vec<u8> {
        self.assemble(self.streams(), self.pack())
    }

    /// What an encoder sends that makes this content: the header of a broadcast with the first 50
    /// bytes of the Data Object, and all packets.
    pub fn live(&self) -> (Vec<u8>, Vec<u8>) {
        let shape = Shape {
            file_id: file_id(self.seed),
            packet_size: u32::from(self.packet_size),
            bit_rate: self.bit_rate,
            packets: 0,
            duration_ms: 0,
            broadcast: true,
        };
        (header(&shape, self.streams(), 0, 50), self.pack().packets)
    }

    /// Numbers of the packets in which key frames begin, rising.
    pub fn key_packets(&self) -> Vec<u32> {
        self.pack().keys.iter().map(|k| k.packet).collect()
    }

    fn pack(&self) -> Packer {
        let streams = self.streams();
        let even = self.even.then_some(u64::from(self.bit_rate));
        let mut packer = Packer::new(usize::from(self.packet_size), even);
        let mut noise = Noise::new(self.seed);
        let mut object = Vec::new();
        let end = u64::from(self.seconds) * 1000;
        let (mut audio_at, mut video_at) = (0, 0);
        let mut numbers = [0u8; 2];
        loop {
            let video_next = streams.video.filter(|_| video_at <= audio_at);
            let at = if video_next.is_some() {
                video_at
            } else {
                audio_at
            };
            if at >= end {
                break;
            }
            let (stream, key, size) = match video_next {
                Some((w, h)) => {
                    video_at += FRAME_MS;
                    let key = at.is_multiple_of(KEY_EVERY_MS);
                    (VIDEO_STREAM, key, w * h * 3)
                }
                None => {
                    audio_at += AUDIO_CHUNK_MS;
                    let bytes = streams.audio_rate * AUDIO_CHUNK_MS as u32 / 1000;
                    (AUDIO_STREAM, true, bytes)
                }
            };
            object.resize(size as usize, 0);
            noise.fill(&mut object);
            let number = &mut numbers[usize::from(stream - 1)];
            packer.object(stream, *number, key, at, &object);
            *number = number.wrapping_add(1);
        }
        packer.flush();
        packer
    }

    fn assemble(&self, streams: Streams, packer: Packer) -> Vec<u8> {
        let count = packer.packets.len() as u64 / u64::from(self.packet_size);
        let shape = Shape {
            file_id: file_id(self.seed),
            packet_size: u32::from(self.packet_size),
            bit_rate: self.bit_rate,
            packets: count,
            duration_ms: u64::from(self.seconds) * 1000,
            broadcast: false,
        };
        let index = match streams.video {
            Some(_) => simple_index(&shape, &packer.keys),
            None => Vec::new(),
        };
        let data_size = 50 + packer.packets.len() as u64;
        let header_len = header(&shape, streams, 0, data_size).len() as u64 - 50;
        let total = header_len + data_size + index.len() as u64;
        let mut out = header(&shape, streams, total, data_size);
        out.extend(packer.packets);
        out.extend(index);
        out
    }
}

fn file_id(seed: u64) -> [u8; 16] {
    let mut id = [0; 16];
    Noise::new(seed ^ 0x5253).fill(&mut id);
    id
}

/// Write files `f0.wmv`, `f1.wmv`, ... (or `.wma`) into `dir`, each with noise of its own.
/// Returns their paths.
pub fn write_files(recipe: &Recipe, count: usize, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let fault = |p: &Path, e: std::io::Error| format!("{}: {e}", p.display());
    std::fs::create_dir_all(dir).map_err(|e| fault(dir, e))?;
    let extension = if recipe.audio_only { "wma" } else { "wmv" };
    (0..count)
        .map(|i| {
            let path = dir.join(format!("f{i}.{extension}"));
            let bytes = Recipe {
                seed: recipe.seed + i as u64,
                ..*recipe
            }
            .file();
            let mut file = std::fs::File::create(&path).map_err(|e| fault(&path, e))?;
            file.write_all(&bytes).map_err(|e| fault(&path, e))?;
            Ok(path)
        })
        .collect()
}

/// Header of a live stream as the floor sends it: one video stream whose every packet is one
/// object (see [`noise_packet_head`]).
pub fn noise_header(packet_size: u16, bit_rate: u32) -> Vec<u8> {
    let shape = Shape {
        file_id: file_id(1),
        packet_size: u32::from(packet_size),
        bit_rate,
        packets: 0,
        duration_ms: 0,
        broadcast: true,
    };
    let streams = Streams {
        audio_rate: 8000,
        video: Some((16, 16)),
    };
    header(&shape, streams, 0, 50)
}

/// Rewrite the head of a packet of noise: a single payload that is a whole key object. The
/// packet must have at least 26 bytes, else it is left alone.
pub fn noise_packet_head(number: u64, send_time: u32, packet: &mut [u8]) {
    const HEAD: usize = 11 + 15;
    let size = packet.len().saturating_sub(HEAD) as u32;
    let Some(head) = packet.first_chunk_mut::<HEAD>() else {
        return;
    };
    let pres = send_time.wrapping_add(PREROLL_MS as u32).to_le_bytes();
    head[..5].copy_from_slice(&[0x82, 0, 0, 0, 0x5D]);
    head[5..9].copy_from_slice(&send_time.to_le_bytes());
    head[9..11].copy_from_slice(&[0, 0]);
    head[11..18].copy_from_slice(&[VIDEO_STREAM | 0x80, number as u8, 0, 0, 0, 0, 8]);
    head[18..22].copy_from_slice(&size.to_le_bytes());
    head[22..26].copy_from_slice(&pres);
}

/// Puts media objects into fixed-size packets.
struct Packer {
    size: usize,
    /// bit/s that the packets leave with, if that is even.
    even: Option<u64>,
    packets: Vec<u8>,
    open: Vec<u8>,
    payloads: usize,
    first_ms: u64,
    last_ms: u64,
    keys: Vec<Key>,
}

impl Packer {
    fn new(size: usize, even: Option<u64>) -> Packer {
        Packer {
            size,
            even,
            packets: Vec::new(),
            open: Vec::new(),
            payloads: 0,
            first_ms: 0,
            last_ms: 0,
            keys: Vec::new(),
        }
    }

    fn object(&mut self, stream: u8, number: u8, key: bool, at_ms: u64, data: &[u8]) {
        let mut offset = 0;
        while offset < data.len() {
            let used = PACKET_HEAD + self.open.len() + PAYLOAD_HEAD;
            let room = self.size.saturating_sub(used);
            // A sliver of an object is not worth its head.
            let sliver = room < 16 && room < data.len() - offset;
            if self.payloads == PAYLOADS_MAX || (sliver && self.payloads > 0) {
                self.flush();
                continue;
            }
            let n = room.max(1).min(data.len() - offset);
            if self.payloads == 0 {
                self.first_ms = at_ms;
            }
            self.last_ms = at_ms;
            if key && stream == VIDEO_STREAM {
                self.note_key(at_ms, offset == 0);
            }
            self.open
                .extend([stream | if key { 0x80 } else { 0 }, number]);
            self.open.extend((offset as u32).to_le_bytes());
            self.open.push(8);
            self.open.extend((data.len() as u32).to_le_bytes());
            self.open
                .extend(((at_ms + PREROLL_MS) as u32).to_le_bytes());
            self.open.extend((n as u16).to_le_bytes());
            self.open.extend_from_slice(&data[offset..offset + n]);
            self.payloads += 1;
            offset += n;
        }
    }

    fn note_key(&mut self, at_ms: u64, starts: bool) {
        let packet = (self.packets.len() / self.size) as u32;
        if starts {
            self.keys.push(Key {
                presentation_ms: at_ms + PREROLL_MS,
                packet,
                span: 1,
            });
        } else if let Some(k) = self.keys.last_mut() {
            k.span = (packet - k.packet + 1) as u16;
        }
    }

    fn flush(&mut self) {
        if self.payloads == 0 {
            return;
        }
        let send_time = match self.even {
            Some(rate) => self.packets.len() as u64 * 8000 / rate.max(1),
            None => self.first_ms,
        };
        let padding = self.size - PACKET_HEAD - self.open.len();
        // Error correction 2 bytes; several payloads, WORD padding length (asf.md 5.2).
        self.packets.extend([0x82, 0, 0, 0x11, 0x5D]);
        self.packets.extend((padding as u16).to_le_bytes());
        self.packets.extend((send_time as u32).to_le_bytes());
        let duration = self.last_ms - self.first_ms;
        self.packets.extend((duration as u16).to_le_bytes());
        self.packets.push(0x80 | self.payloads as u8);
        self.packets.append(&mut self.open);
        self.packets.resize(self.packets.len() + padding, 0);
        self.payloads = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::layout::SIMPLE_INDEX;
    use super::*;
    use crate::asf;

    fn recipe(bit_rate: u32, audio_only: bool) -> Recipe {
        Recipe {
            seconds: 20,
            bit_rate,
            packet_size: 3200,
            audio_only,
            even: false,
            seed: 7,
        }
    }

    fn packets(file: &[u8]) -> (asf::HeaderFacts, &[u8]) {
        let facts = asf::header_facts(file).unwrap();
        let header_len = u64::from_le_bytes(file[16..24].try_into().unwrap()) as usize;
        let data = &file[header_len..];
        assert_eq!(data[..16], asf::DATA);
        let size = u64::from_le_bytes(data[16..24].try_into().unwrap()) as usize;
        let count = u64::from_le_bytes(data[40..48].try_into().unwrap()) as usize;
        assert_eq!(size, 50 + count * facts.packet_size as usize);
        (facts, &data[50..size])
    }

    #[test]
    fn rate_and_pace_are_as_asked() {
        for (rate, audio_only) in [(1_000_000, false), (300_000, false), (138_000, true)] {
            let file = recipe(rate, audio_only).file();
            let (facts, data) = packets(&file);
            assert_eq!(facts.bit_rate, rate);
            assert_eq!(facts.preroll, PREROLL_MS);
            assert_eq!(facts.streams, if audio_only { vec![1] } else { vec![1, 2] });
            let measured = data.len() as f64 * 8.0 / 20.0;
            let off = (measured / f64::from(rate) - 1.0).abs();
            assert!(off < 0.012, "{measured} for {rate}");
            let times: Vec<_> = data
                .chunks(3200)
                .map(|p| asf::send_time(p).unwrap())
                .collect();
            assert!(times.is_sorted());
            assert_eq!(times[0], 0);
            let interval = f64::from(times[times.len() - 1]) / (times.len() - 1) as f64;
            let expect = 3200.0 * 8000.0 / f64::from(rate);
            assert!(
                (interval / expect - 1.0).abs() < 0.03,
                "{interval} {expect}"
            );
        }
    }

    #[test]
    fn an_encoder_sends_at_even_distances_and_before_anything_is_shown() {
        let uneven = recipe(10_000_000, false);
        let (header, data) = Recipe {
            even: true,
            ..uneven
        }
        .live();
        let facts = asf::header_facts(&header).unwrap();
        assert_eq!((facts.bit_rate, facts.packet_size), (10_000_000, 3200));
        let (file, before) = (uneven.file(), uneven.live().1);
        assert_eq!(packets(&file).1, before);
        assert_eq!(data.len(), before.len());
        for (n, (even, uneven)) in data.chunks(3200).zip(before.chunks(3200)).enumerate() {
            let at = asf::send_time(even).unwrap();
            assert_eq!(u64::from(at), n as u64 * 256 / 100);
            let shown = u64::from(asf::send_time(uneven).unwrap()) + PREROLL_MS;
            assert!(u64::from(at) < shown);
            assert_eq!((&even[..7], &even[11..]), (&uneven[..7], &uneven[11..]));
        }
    }

    #[test]
    fn every_object_is_whole_and_in_order() {
        let file = recipe(1_000_000, false).file();
        let (_, data) = packets(&file);
        let mut open: [Option<(u8, u32, u32)>; 3] = [None; 3];
        let mut objects = [0u32; 3];
        for packet in data.chunks(3200) {
            let padding = usize::from(u16::from_le_bytes([packet[5], packet[6]]));
            let count = packet[13] & 0x3F;
            let mut rest = &packet[14..3200 - padding];
            for _ in 0..count {
                let stream = usize::from(rest[0] & 0x7F);
                let number = rest[1];
                let offset = u32::from_le_bytes(rest[2..6].try_into().unwrap());
                let size = u32::from_le_bytes(rest[7..11].try_into().unwrap());
                let len = u32::from(u16::from_le_bytes([rest[15], rest[16]]));
                match open[stream] {
                    None => assert_eq!((number, offset), (objects[stream] as u8, 0)),
                    Some(o) => assert_eq!((number, offset, size), o),
                }
                let end = offset + len;
                open[stream] = (end < size).then_some((number, end, size));
                objects[stream] += u32::from(end == size);
                rest = &rest[17 + len as usize..];
            }
            assert!(rest.is_empty());
        }
        assert_eq!(open, [None; 3]);
        assert_eq!(objects, [0, 200, 500]);
    }

    #[test]
    fn index_points_at_key_frames() {
        let file = recipe(1_000_000, false).file();
        let (_, data) = packets(&file);
        let at = file.windows(16).rposition(|w| w == SIMPLE_INDEX).unwrap();
        let index = &file[at..];
        let count = u32::from_le_bytes(index[52..56].try_into().unwrap()) as usize;
        assert_eq!(count, 23);
        assert_eq!(index.len(), 56 + 6 * count);
        let entry = |i: usize| {
            let e = &index[56 + 6 * i..];
            u32::from_le_bytes(e[..4].try_into().unwrap()) as usize
        };
        assert_eq!((entry(0), entry(3), entry(4)), (0, 0, 0));
        let send = asf::send_time(&data[entry(5) * 3200..]).unwrap();
        assert!((1900..=2000).contains(&send), "{send}");
        assert_eq!(entry(5), entry(6));
    }

    #[test]
    fn noise_does_not_repeat() {
        let mut a = [0; 4096];
        Noise::new(1).fill(&mut a);
        let mut seen = std::collections::HashSet::new();
        assert!(a.chunks(8).all(|c| seen.insert(c.to_vec())));
        let mut counts = [0u32; 256];
        a.iter().for_each(|&b| counts[usize::from(b)] += 1);
        assert!(counts.iter().all(|&n| n < 48), "flat enough");
    }
}
