//! Small ASF files made for a test: one video and one audio object in each packet, every byte of which
//! follows from the packet's number.

use super::asf_build::{FILE_PROPERTIES, Piece};
use super::asf_build::{audio, blob, extension, object, packet, video};
use protocols::asf::Packet;

/// Number of the video stream.
pub const PICTURE: u8 = 1;
/// Number of the audio stream.
pub const SOUND: u8 = 2;

/// Number of the second picture stream, where there is one.
pub const SMALL: u8 = 3;

/// How a file is made.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Bytes of a packet.
    pub packet_size: usize,
    /// Packets of the file.
    pub packets: u32,
    /// ms from one packet to the next.
    pub interval: u32,
    /// Every so many packets have a key frame.
    pub key_every: u32,
    /// ms between a packet's send time and its pictures.
    pub preroll: u32,
    /// Told apart from other clips by this.
    pub seed: u8,
}

/// Two seconds of 64 kbit/s, a key frame every half second.
pub const SHORT: Clip = Clip {
    packet_size: 800,
    packets: 20,
    interval: 100,
    key_every: 5,
    preroll: 300,
    seed: 0,
};

/// A second and a half, with padding in every packet.
pub const FIRST: Clip = Clip {
    packet_size: 1000,
    packets: 30,
    interval: 50,
    key_every: 5,
    preroll: 100,
    seed: 3,
};

/// Follows the first: other packets, and other ends.
pub const SECOND: Clip = Clip {
    packet_size: 1400,
    packets: 40,
    interval: 40,
    key_every: 8,
    preroll: 200,
    seed: 9,
};

impl Clip {
    /// The header and the first 50 bytes of the Data Object.
    pub fn head(&self) -> Vec<u8> {
        self.head_saying(self.packets)
    }

    /// A header that promises another number of packets than there are; 0 says nothing.
    pub fn head_saying(&self, packets: u32) -> Vec<u8> {
        let children = [
            self.file_properties(packets),
            extension(&[]),
            video(u16::from(PICTURE), 320),
            audio(u16::from(SOUND), 1000),
        ];
        let data = 50 + u64::from(packets) * self.packet_size as u64;
        blob(&children, data, u64::from(packets))
    }

    fn file_properties(&self, packets: u32) -> Vec<u8> {
        let span = u64::from(self.packets * self.interval) * 10_000;
        let size = (self.packet_size as u32).to_le_bytes();
        let rate = self.packet_size as u64 * 8000 / u64::from(self.interval);
        let mut body = vec![0x11; 16];
        body.extend(0u64.to_le_bytes());
        body.extend(116_444_736_000_000_000u64.to_le_bytes());
        body.extend(u64::from(packets).to_le_bytes());
        body.extend((span + u64::from(self.preroll) * 10_000).to_le_bytes());
        body.extend(span.to_le_bytes());
        body.extend(u64::from(self.preroll).to_le_bytes());
        body.extend(2u32.to_le_bytes());
        body.extend(size);
        body.extend(size);
        body.extend((rate as u32).to_le_bytes());
        object(FILE_PROPERTIES, &body)
    }

    /// The packet of a number, at full size.
    pub fn packet(&self, number: u32) -> Vec<u8> {
        let send = number * self.interval;
        let room = self.packet_size - 100;
        let shown = send + self.preroll;
        let key = number.is_multiple_of(self.key_every);
        let mut picture = Piece::whole(PICTURE, key, number as u8, shown, room * 3 / 4);
        let mut sound = Piece::whole(SOUND, true, number as u8, shown, room / 8);
        for (stream, piece) in [(PICTURE, &mut picture), (SOUND, &mut sound)] {
            for (at, byte) in piece.data.iter_mut().enumerate() {
                *byte = self.seed ^ stream ^ (number as usize * 31 + at * 7) as u8;
            }
        }
        let duration = self.interval as u16;
        packet(self.packet_size, send, duration, &[picture, sound])
    }

    /// The whole file, with a second picture stream, smaller than the first, in every packet.
    pub fn bytes_of_several_rates(&self) -> Vec<u8> {
        let children = [
            self.file_properties(self.packets),
            extension(&[]),
            video(u16::from(PICTURE), 320),
            audio(u16::from(SOUND), 1000),
            video(u16::from(SMALL), 160),
        ];
        let data = 50 + u64::from(self.packets) * self.packet_size as u64;
        let mut file = blob(&children, data, u64::from(self.packets));
        file.extend((0..self.packets).flat_map(|n| self.packet_of_several_rates(n)));
        file
    }

    /// A packet of such a file.
    pub fn packet_of_several_rates(&self, number: u32) -> Vec<u8> {
        let send = number * self.interval;
        let (room, shown) = (self.packet_size - 100, send + self.preroll);
        let key = number.is_multiple_of(self.key_every);
        let pieces = [(PICTURE, 2), (SOUND, 8), (SMALL, 6)].map(|(stream, share)| {
            let key = key || stream == SOUND;
            let mut piece = Piece::whole(stream, key, number as u8, shown, room / share);
            for (at, byte) in piece.data.iter_mut().enumerate() {
                *byte = self.seed ^ stream ^ (number as usize * 31 + at * 7) as u8;
            }
            piece
        });
        packet(self.packet_size, send, self.interval as u16, &pieces)
    }

    /// The whole file.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_to(self.packets)
    }

    /// The file with its first packets only.
    pub fn bytes_to(&self, packets: u32) -> Vec<u8> {
        let mut file = self.head();
        file.extend((0..packets).flat_map(|n| self.packet(n)));
        file
    }
}

/// What a packet says, however much padding it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub send: u32,
    pub duration: u16,
    pub payloads: Vec<SaidPayload>,
}

/// What a payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidPayload {
    pub stream: u8,
    pub key: bool,
    pub object: u32,
    pub offset: u32,
    pub shown: Option<u32>,
    pub data: Bulk,
}

/// Bytes that nobody wants to read when an assertion fails.
#[derive(Clone, PartialEq, Eq)]
pub struct Bulk(pub Vec<u8>);

impl std::fmt::Debug for Bulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = self
            .0
            .iter()
            .fold(0u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
        write!(f, "{} bytes {sum:08x}", self.0.len())
    }
}

/// Read a packet.
pub fn said(bytes: &[u8], packet_size: usize) -> Said {
    let packet = Packet::parse(bytes, packet_size as u32).expect("a packet");
    let payloads = packet.payloads().map(|p| SaidPayload {
        stream: p.stream,
        key: p.key,
        object: p.object_number,
        offset: p.offset,
        shown: p.presentation,
        data: Bulk(p.data.to_vec()),
    });
    Said {
        send: packet.send_time(),
        duration: packet.duration(),
        payloads: payloads.collect(),
    }
}

impl Said {
    /// With the payloads of these streams only.
    pub fn only(mut self, streams: &[u8]) -> Said {
        self.payloads.retain(|p| streams.contains(&p.stream));
        self
    }
}
