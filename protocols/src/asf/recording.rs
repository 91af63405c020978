//! Files that are made of a live stream (asf.md 3.1, 5.1, 6.1): their header, what has to be changed
//! in it while packets are appended, and the index at their end.

use super::error::Error;
use super::file_index::{SimpleEntry, SimpleIndex};
use super::guid::{self, Guid};
use super::header::{DATA_HEAD, Header};
use super::packet::Packet;
use super::rewrite::{broadcast_blob, file_properties_at, put, put_on_demand_flags};
use crate::content::StreamKind;

/// Seconds from 1601, where ASF's dates begin, to 1970.
const EPOCH_SHIFT_SECONDS: u64 = 11_644_473_600;

/// Time between the entries of the index, ms.
pub const INDEX_INTERVAL_MS: u32 = 1000;

/// A presentation time that is further ahead of its packet's send time than this, ms, besides the
/// preroll, is not believed: the index would be as long as the sender likes.
const AHEAD_MAX_MS: u32 = 60_000;

/// How much of a recording there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Whole data packets.
    pub packets: u32,
    /// ms from the start to the end of sending.
    pub send_ms: u64,
    /// ms from 0 to the end of the last thing shown, preroll included.
    pub play_ms: u64,
    /// Bytes behind the packets: the index.
    pub index_bytes: u64,
}

/// Bytes to be overwritten in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Offset in the file.
    pub at: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
}

/// The header of a recording, and how it changes.
#[derive(Clone, Debug)]
pub struct RecordingHeader {
    blob: Vec<u8>,
    properties_at: u64,
    header: Header,
    created_hns: u64,
}

impl RecordingHeader {
    /// From the header of any stream: not a broadcast, seekable, with a File ID and creation time
    /// (seconds since 1970) of its own, and still without packets. All other objects are kept.
    ///
    /// # Errors
    /// As [`Header::parse`].
    // ASF-23, ASF-59
    pub fn new(blob: &[u8], file_id: [u8; 16], unix_seconds: u64) -> Result<Self, Error> {
        let mut blob = broadcast_blob(blob, Some(file_id))?;
        put_on_demand_flags(&mut blob)?;
        let header = Header::parse(&blob)?;
        let created_hns = unix_seconds
            .saturating_add(EPOCH_SHIFT_SECONDS)
            .saturating_mul(10_000_000);
        let properties_at = file_properties_at(&header) as u64;
        let mut made = RecordingHeader {
            blob,
            properties_at,
            header,
            created_hns,
        };
        for patch in made.patches(&Extent::default()) {
            put(
                &mut made.blob,
                patch.at as usize,
                0..patch.bytes.len(),
                &patch.bytes,
            );
        }
        Ok(made)
    }

    /// The bytes that the file begins with.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Parsed; its counts are those of an empty file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What makes the header tell of so many packets, in the order of writing. Each may be written
    /// without the other, and the file can be read in between; but not before the packets.
    pub fn patches(&self, extent: &Extent) -> [Patch; 2] {
        let packets = u64::from(extent.packets);
        let data = DATA_HEAD as u64 + packets * u64::from(self.header.packet_size());
        let blob_len = self.blob.len() as u64;
        let file = blob_len - DATA_HEAD as u64 + data + extent.index_bytes;
        let mut object = data.to_le_bytes().to_vec();
        object.extend_from_slice(&self.header.file_id());
        object.extend_from_slice(&packets.to_le_bytes());
        let sizes = [
            file,
            self.created_hns,
            packets,
            extent.play_ms.saturating_mul(10_000),
            extent.send_ms.saturating_mul(10_000),
        ];
        [
            Patch {
                at: blob_len - DATA_HEAD as u64 + 16,
                bytes: object,
            },
            Patch {
                at: self.properties_at + 40,
                bytes: sizes.iter().flat_map(|n| n.to_le_bytes()).collect(),
            },
        ]
    }
}

/// The packet count in the first 50 bytes of a Data Object, which stand at the end of a header blob.
pub fn packets_stated(data_head: &[u8; DATA_HEAD]) -> u64 {
    let mut count = [0; 8];
    count.copy_from_slice(&data_head[40..48]);
    u64::from_le_bytes(count)
}

/// Watches the packets of a recording: its extent, and where its key frames are.
#[derive(Clone, Debug)]
pub struct Ledger {
    packet_size: u32,
    preroll: u32,
    videos: Vec<Track>,
    extent: Extent,
}

/// The key frames of one video stream.
#[derive(Clone, Debug)]
struct Track {
    stream: u8,
    entries: Vec<SimpleEntry>,
    /// The latest key frame.
    key: Option<SimpleEntry>,
    /// Its object number, while more of it may come.
    open: Option<u32>,
    shown_ms: u32,
}

impl Ledger {
    /// For the packets behind this header.
    pub fn new(header: &Header) -> Ledger {
        let streams = header.streams();
        let videos = streams.iter().filter(|s| s.kind == StreamKind::Video);
        Ledger {
            packet_size: header.packet_size(),
            preroll: header.preroll_ms(),
            videos: videos
                .map(|s| Track {
                    stream: s.number,
                    entries: Vec::new(),
                    key: None,
                    open: None,
                    shown_ms: 0,
                })
                .collect(),
            extent: Extent::default(),
        }
    }

    /// The next packet, its times counted from the start of the file.
    ///
    /// # Errors
    /// As [`Packet::parse`]; the packet is not counted then.
    pub fn packet(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let packet = Packet::parse(bytes, self.packet_size)?;
        let number = self.extent.packets;
        let sent = packet.send_time();
        let duration = u32::from(packet.duration());
        let last_shown = sent
            .saturating_add(self.preroll)
            .saturating_add(AHEAD_MAX_MS);
        for payload in packet.payloads() {
            let shown = payload.presentation.unwrap_or(sent).min(last_shown);
            let until = u64::from(shown) + u64::from(duration);
            self.extent.play_ms = self.extent.play_ms.max(until);
            let track = self.videos.iter_mut().find(|t| t.stream == payload.stream);
            if let Some(track) = track {
                let starts_key = payload.key && payload.starts_object();
                track.payload(number, payload.object_number, starts_key, shown);
            }
        }
        let sent_until = u64::from(sent) + u64::from(duration);
        self.extent.send_ms = self.extent.send_ms.max(sent_until);
        self.extent.packets = number.saturating_add(1);
        Ok(())
    }

    /// What there is so far, without an index.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The Simple Index objects: one for each video stream in the order of their numbers, none if
    /// nothing was recorded.
    // ASF-52
    pub fn simple_indexes(&self, file_id: [u8; 16]) -> Vec<u8> {
        let mut out = Vec::new();
        if self.extent.packets > 0 {
            for track in &self.videos {
                out.extend(track.clone().finish(file_id).encode());
            }
        }
        out
    }
}

impl Track {
    fn payload(&mut self, packet: u32, object: u32, starts_key: bool, shown: u32) {
        self.shown_ms = self.shown_ms.max(shown);
        if starts_key {
            // Times before this key frame are reached from the one before it.
            if let Some(before) = self.key {
                self.fill(before, shown.div_ceil(INDEX_INTERVAL_MS));
            }
            self.key = Some(SimpleEntry { packet, count: 1 });
            self.open = Some(object);
        } else if self.open == Some(object) {
            if let Some(key) = &mut self.key {
                let count = packet.saturating_sub(key.packet).saturating_add(1);
                key.count = u16::try_from(count).unwrap_or(u16::MAX);
            }
        } else {
            self.open = None;
        }
    }

    /// Entries up to that many.
    fn fill(&mut self, entry: SimpleEntry, count: u32) {
        if self.entries.len() < count as usize {
            self.entries.resize(count as usize, entry);
        }
    }

    fn finish(mut self, file_id: [u8; 16]) -> SimpleIndex {
        let last = self.key.unwrap_or_default();
        let count = self.shown_ms / INDEX_INTERVAL_MS + 1;
        self.fill(last, count);
        SimpleIndex {
            file_id: Guid(file_id),
            interval_hns: u64::from(INDEX_INTERVAL_MS) * 10_000,
            packets_max: self
                .entries
                .iter()
                .map(|e| u32::from(e.count))
                .max()
                .unwrap_or(0),
            entries: self.entries,
        }
    }
}

/// What a recording is called, by what is in it: `wmv` and `wma` if everything is of Windows Media,
/// else `asf`.
pub fn extension(header: &Header) -> &'static str {
    use super::objects::Format;
    let mut video = false;
    let mut all_known = true;
    for stream in header.stream_details() {
        match (&stream.kind, &stream.format) {
            (StreamKind::Video, Format::Video { compression, .. }) => {
                video = true;
                all_known &= matches!(
                    compression,
                    b"WMV1"
                        | b"WMV2"
                        | b"WMV3"
                        | b"WMVA"
                        | b"WVC1"
                        | b"WMVP"
                        | b"WVP2"
                        | b"MSS1"
                        | b"MSS2"
                );
            }
            (StreamKind::Audio, Format::Audio { tag, .. }) => {
                all_known &= matches!(tag, 0x000A | 0x000B | 0x0160..=0x0163);
            }
            (StreamKind::Command, _) => {}
            _ => all_known = false,
        }
    }
    match (all_known, video) {
        (true, true) => "wmv",
        (true, false) => "wma",
        (false, _) => "asf",
    }
}

/// Two headers describe the same streams: they differ in nothing but File ID, sizes and times.
pub fn same_streams(one: &[u8], other: &[u8]) -> bool {
    let plain = |blob: &[u8]| broadcast_blob(blob, Some(guid::Guid::ZERO.0)).ok();
    let (one, other) = (plain(one), plain(other));
    one.is_some() && one == other
}
