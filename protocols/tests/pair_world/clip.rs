//! Clips that are served.

use super::super::asf_build::{self, Piece};
use bytes::Bytes;
use protocols::asf;
use protocols::content::*;

pub const PACKET_SIZE: u32 = 400;
/// ms between two packets.
pub const STEP: u32 = 100;
/// Every so many packets a key frame.
pub const KEY_EVERY: u32 = 5;

/// One ASF packet of a clip: video (stream 1) in even ones, audio (stream 2) in odd ones.
#[derive(Clone, Debug)]
pub struct Pkt {
    pub stream: u8,
    pub key: bool,
    pub send_time: u32,
    pub len: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Clip {
    pub header: Bytes,
    pub packets: Vec<Pkt>,
    pub live: bool,
    pub playlist: bool,
    /// What follows.
    pub next: Option<&'static str>,
    /// bit/s of the two streams.
    pub rates: [u32; 2],
}

impl Clip {
    /// `count` packets, whose payloads differ with `seed`.
    pub fn new(count: u32, seed: u8) -> Clip {
        let packets = (0..count).map(|n| {
            let stream = if n % 2 == 0 { 1 } else { 2 };
            let key = stream == 2 || n % (2 * KEY_EVERY) == 0;
            let len = 20 + (n as usize * 37) % 300;
            let mut piece = Piece::whole(stream, key, n as u8, 1000 + n * STEP, len);
            piece
                .data
                .iter_mut()
                .for_each(|b| *b = b.wrapping_add(seed));
            let whole = asf_build::packet(PACKET_SIZE as usize, n * STEP, STEP as u16, &[piece]);
            let mut bytes = Vec::new();
            asf::trim::trim(&whole, PACKET_SIZE, &mut bytes).unwrap();
            Pkt {
                stream,
                key,
                send_time: n * STEP,
                len: len as u32,
                bytes,
            }
        });
        Clip {
            header: asf_build::simple_blob(u64::from(count), PACKET_SIZE, 1000 + u64::from(seed))
                .into(),
            packets: packets.collect(),
            live: false,
            playlist: false,
            next: None,
            rates: [16_000, 8_000],
        }
    }

    pub fn live(self) -> Clip {
        Clip { live: true, ..self }
    }

    pub fn then(self, next: &'static str) -> Clip {
        Clip {
            next: Some(next),
            playlist: true,
            ..self
        }
    }

    fn streams(&self) -> Vec<StreamInfo> {
        let kinds = [StreamKind::Video, StreamKind::Audio];
        let streams = kinds.iter().zip(self.rates).zip(1..);
        streams
            .map(|((&kind, rate), number)| StreamInfo {
                number,
                kind,
                average_bit_rate: rate,
                peak_bit_rate: rate,
                all_key: kind == StreamKind::Audio,
            })
            .collect()
    }

    pub fn content(&self, id: u64, entry: u32) -> Content {
        Content {
            id: ContentId(id),
            header: self.header.clone(),
            packet_size: PACKET_SIZE,
            packet_count: if self.live {
                0
            } else {
                self.packets.len() as u64
            },
            preroll: 1000,
            duration: (!self.live).then_some(self.packets.len() as u64 * u64::from(STEP)),
            streams: self.streams().into(),
            broadcast: self.live,
            seekable: !self.live,
            stridable: !self.live,
            playlist: self.playlist,
            entry,
            broadcast_id: if self.live { 9 } else { 0 },
            guarded: false,
            caching: Caching::default(),
            file_size: None,
            description: vec![("title".into(), "A clip".into())].into(),
        }
    }

    pub fn average(&self, selection: Selection) -> u64 {
        let on = self
            .streams()
            .into_iter()
            .filter(|s| selection.level(s.number) != Level::Off);
        on.map(|s| u64::from(s.average_bit_rate)).sum()
    }
}
