//! Our own index of a file: its key frames, its rates, its extent. Made by one pass over the
//! packets, small enough to keep for every open file, and kept on disk beside the content.

use super::clock::Timeline;
use super::digest::object_starts_in;
use super::error::{Error, Reason};
use super::header::Header;
use super::packet::Packet;
use crate::content::{StreamInfo, StreamKind};

pub use super::file_index::{IndexObject, ObjectHead, SimpleEntry, SimpleIndex};

/// Most entries of an index. A file with more key frames keeps fewer of them, evenly.
pub const ENTRIES_MAX: usize = 1 << 18;

/// ms between entries of streams of which every object is a key (audio-only files).
const ALL_KEY_SPACING_MS: u32 = 1000;

/// A place where decoding can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyEntry {
    /// 1..=127.
    pub stream: u8,
    /// Packet in which the key object starts.
    pub packet: u32,
    /// ms, preroll included.
    pub presentation: u32,
    /// ms, of that packet.
    pub send_time: u32,
}

/// How much a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// 1..=127.
    pub stream: u8,
    /// Payload bytes of the whole file, without heads.
    pub bytes: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyIndex {
    /// By stream, then by packet. One per key frame of the video streams; if there is no video,
    /// one per second of the audio streams (or of all, if there is no audio either).
    pub entries: Vec<KeyEntry>,
    /// Payload bytes per stream, by stream.
    pub measured: Vec<Measured>,
    /// Packets seen, bad ones included.
    pub packet_count: u32,
    /// Packets that could not be read.
    pub bad_packets: u32,
    /// ms, of the first good packet.
    pub first_send_time: u32,
    /// ms, of the last good packet.
    pub last_send_time: u32,
    /// ms from the first to the last packet, jumps of the clock left out.
    pub send_duration_ms: u64,
}

impl KeyIndex {
    /// Entries of one stream, by packet.
    pub fn of_stream(&self, stream: u8) -> &[KeyEntry] {
        let from = self.entries.partition_point(|e| e.stream < stream);
        let to = self.entries.partition_point(|e| e.stream <= stream);
        self.entries.get(from..to).unwrap_or_default()
    }

    /// The latest key of a stream that is presented at or before a time (ms, preroll included).
    pub fn at_or_before(&self, stream: u8, presentation: u32) -> Option<KeyEntry> {
        let entries = self.of_stream(stream);
        let found = if entries.is_sorted_by_key(|e| e.presentation) {
            let after = entries.partition_point(|e| e.presentation <= presentation);
            after.checked_sub(1).and_then(|i| entries.get(i))
        } else {
            entries.iter().rfind(|e| e.presentation <= presentation)
        };
        found.copied()
    }

    /// The first key of a stream in a packet behind this one.
    pub fn after_packet(&self, stream: u8, packet: u32) -> Option<KeyEntry> {
        let entries = self.of_stream(stream);
        entries
            .get(entries.partition_point(|e| e.packet <= packet))
            .copied()
    }

    /// The last key of a stream in a packet before this one.
    pub fn before_packet(&self, stream: u8, packet: u32) -> Option<KeyEntry> {
        let entries = self.of_stream(stream);
        let at = entries.partition_point(|e| e.packet < packet);
        at.checked_sub(1).and_then(|i| entries.get(i)).copied()
    }

    /// Average payload rate of a stream, bit/s; 0 if nothing was measured.
    // ASF-14
    pub fn bit_rate(&self, stream: u8) -> u32 {
        let found = self.measured.iter().find(|m| m.stream == stream);
        let bits = found.map_or(0, |m| m.bytes.saturating_mul(8_000));
        let rate = bits.checked_div(self.send_duration_ms).unwrap_or(0);
        u32::try_from(rate).unwrap_or(u32::MAX)
    }

    /// Put measured rates where the header knows none.
    // ASF-14
    pub fn complete(&self, streams: &mut [StreamInfo]) {
        for stream in streams {
            if stream.average_bit_rate == 0 {
                stream.average_bit_rate = self.bit_rate(stream.number);
            }
            stream.peak_bit_rate = stream.peak_bit_rate.max(stream.average_bit_rate);
        }
    }

    /// The index as bytes to be kept, for exactly the file that `stamp` names.
    pub fn encode(&self, stamp: &Stamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.entries.len() * ENTRY_LEN);
        out.extend_from_slice(MAGIC);
        stamp.put(&mut out);
        for n in [
            self.packet_count,
            self.bad_packets,
            self.first_send_time,
            self.last_send_time,
        ] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.send_duration_ms.to_le_bytes());
        out.extend_from_slice(&(self.measured.len() as u32).to_le_bytes());
        for m in &self.measured {
            out.push(m.stream);
            out.extend_from_slice(&m.bytes.to_le_bytes());
        }
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for e in &self.entries {
            out.push(e.stream);
            for n in [e.packet, e.presentation, e.send_time] {
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        let sum = fnv1a(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Read back what [`KeyIndex::encode`] wrote.
    ///
    /// # Errors
    /// [`Reason::Stale`] names what has changed about the file; [`Reason::Damaged`] if the bytes
    /// are not such an index.
    pub fn decode(bytes: &[u8], stamp: &Stamp) -> Result<KeyIndex, Error> {
        let damaged = |what| Error::at(0, Reason::Damaged(what));
        let short = |_: Error| damaged("too short");
        let (body, sum) = bytes
            .split_last_chunk::<8>()
            .ok_or_else(|| damaged("too short"))?;
        let mut r = super::read::Reader::new(body, 0);
        if r.take(MAGIC.len()).map_err(short)? != MAGIC {
            return Err(damaged("not an index of this version"));
        }
        if fnv1a(body) != u64::from_le_bytes(*sum) {
            return Err(damaged("checksum differs"));
        }
        let mut saved = [0; 4];
        for field in &mut saved {
            *field = r.u64().map_err(short)?;
        }
        stamp.compare(saved)?;
        let mut read = || -> Result<KeyIndex, Error> {
            let mut index = KeyIndex {
                packet_count: r.u32()?,
                bad_packets: r.u32()?,
                first_send_time: r.u32()?,
                last_send_time: r.u32()?,
                send_duration_ms: r.u64()?,
                ..KeyIndex::default()
            };
            for _ in 0..r.u32()? {
                index.measured.push(Measured {
                    stream: r.u8()?,
                    bytes: r.u64()?,
                });
            }
            for _ in 0..r.u32()? {
                index.entries.push(KeyEntry {
                    stream: r.u8()?,
                    packet: r.u32()?,
                    presentation: r.u32()?,
                    send_time: r.u32()?,
                });
            }
            Ok(index)
        };
        let index = read().map_err(short)?;
        if r.left() != 0 || !index.entries.is_sorted() {
            return Err(damaged("entries"));
        }
        Ok(index)
    }
}

/// What a kept index belongs to. If any of it differs, the index is for another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes of the file.
    pub file_size: u64,
    /// Time of its last change, ns since 1970.
    pub mtime_ns: i64,
    /// [`header_hash`] of its header blob.
    pub header_hash: u64,
    /// Packets in it.
    pub data_packets: u64,
}

impl Stamp {
    fn fields(&self) -> [u64; 4] {
        [
            self.file_size,
            self.mtime_ns.cast_unsigned(),
            self.header_hash,
            self.data_packets,
        ]
    }

    fn put(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    fn compare(&self, saved: [u64; 4]) -> Result<(), Error> {
        const NAMES: [&str; 4] = [
            "file size",
            "modification time",
            "header",
            "number of packets",
        ];
        let pairs = self.fields().into_iter().zip(saved);
        for (name, (now, then)) in NAMES.into_iter().zip(pairs) {
            if now != then {
                return Err(Error::at(0, Reason::Stale(name)));
            }
        }
        Ok(())
    }
}

/// A hash of a header blob that stays the same from run to run (FNV-1a, 64 bits). Tells changed
/// files apart, not hostile ones.
pub fn header_hash(blob: &[u8]) -> u64 {
    fnv1a(blob)
}

/// Makes a [`KeyIndex`] from the packets of a file in their order.
#[derive(Clone, Debug)]
pub struct Indexer {
    packet_size: u32,
    streams: Vec<StreamInfo>,
    /// Streams that get entries; bit n is stream n.
    indexed: u128,
    /// Presentation time of the latest entry per indexed stream.
    latest: Vec<(u8, u32)>,
    /// ms between entries, of frequent key frames; grows when there are too many.
    spacing_ms: u32,
    bytes: Vec<u64>,
    timeline: Timeline,
    last_duration: u16,
    index: KeyIndex,
}

impl Indexer {
    /// For the packets of this header's file.
    pub fn new(header: &Header) -> Indexer {
        let streams = header.streams();
        let indexed = [StreamKind::Video, StreamKind::Audio]
            .into_iter()
            .map(|kind| numbers(&streams, |s| s.kind == kind))
            .find(|&set| set != 0)
            .unwrap_or_else(|| numbers(&streams, |_| true));
        Indexer {
            packet_size: header.packet_size(),
            bytes: vec![0; streams.len()],
            streams,
            indexed,
            latest: Vec::new(),
            spacing_ms: 0,
            timeline: Timeline::new(),
            last_duration: 0,
            index: KeyIndex::default(),
        }
    }

    /// Take the next packet.
    ///
    /// # Errors
    /// If it is bad; it is counted, and the next one can be given.
    // ASF-32, ASF-65, ASF-68
    pub fn packet(&mut self, number: u32, bytes: &[u8]) -> Result<(), Error> {
        self.index.packet_count = self.index.packet_count.max(number.saturating_add(1));
        let packet = match Packet::parse(bytes, self.packet_size) {
            Ok(packet) => packet,
            Err(e) => {
                self.index.bad_packets += 1;
                return Err(e);
            }
        };
        let send_time = packet.send_time();
        if self.timeline.last().is_none() {
            self.index.first_send_time = send_time;
        }
        self.index.last_send_time = send_time;
        self.timeline.push(send_time);
        self.last_duration = packet.duration();
        for payload in packet.payloads() {
            let at = self.streams.iter().position(|s| s.number == payload.stream);
            if let Some(total) = at.and_then(|i| self.bytes.get_mut(i)) {
                *total += payload.data.len() as u64;
            }
        }
        let Indexer {
            streams,
            indexed,
            latest,
            spacing_ms,
            index,
            ..
        } = self;
        object_starts_in(&packet, streams, |o| {
            if o.key && *indexed >> o.stream & 1 != 0 {
                let all_key = streams.iter().any(|s| s.number == o.stream && s.all_key);
                let spacing = if all_key {
                    ALL_KEY_SPACING_MS.max(*spacing_ms)
                } else {
                    *spacing_ms
                };
                if is_due(latest, o.stream, o.presentation, spacing) {
                    index.entries.push(KeyEntry {
                        stream: o.stream,
                        packet: number,
                        presentation: o.presentation,
                        send_time,
                    });
                }
            }
        });
        if self.index.entries.len() > ENTRIES_MAX {
            self.thin_out();
        }
        Ok(())
    }

    /// The index of everything so far; more packets may follow (a file that is being written).
    pub fn snapshot(&self) -> KeyIndex {
        self.clone().finish()
    }

    /// The index.
    pub fn finish(mut self) -> KeyIndex {
        self.index.entries.sort_unstable();
        self.index.send_duration_ms = self.timeline.elapsed_ms() + u64::from(self.last_duration);
        self.index.measured = self
            .streams
            .iter()
            .zip(&self.bytes)
            .map(|(s, &bytes)| Measured {
                stream: s.number,
                bytes,
            })
            .collect();
        self.index
    }

    /// Double the spacing until half of the entries are gone.
    fn thin_out(&mut self) {
        while self.index.entries.len() > ENTRIES_MAX / 2 && self.spacing_ms < 1 << 30 {
            self.spacing_ms = (self.spacing_ms * 2).max(250);
            self.latest.clear();
            let (latest, spacing) = (&mut self.latest, self.spacing_ms);
            self.index
                .entries
                .retain(|e| is_due(latest, e.stream, e.presentation, spacing));
        }
        self.index.entries.truncate(ENTRIES_MAX);
    }
}

/// True, and remembered, if the stream's latest entry is at least `spacing` ms away; time that
/// goes back is always due.
fn is_due(latest: &mut Vec<(u8, u32)>, stream: u8, presentation: u32, spacing: u32) -> bool {
    match latest.iter_mut().find(|(s, _)| *s == stream) {
        Some((_, last)) => {
            let due = presentation.checked_sub(*last).is_none_or(|d| d >= spacing);
            if due {
                *last = presentation;
            }
            due
        }
        None => {
            latest.push((stream, presentation));
            true
        }
    }
}

fn numbers(streams: &[StreamInfo], f: impl Fn(&StreamInfo) -> bool) -> u128 {
    let chosen = streams.iter().filter(|s| f(s));
    chosen.fold(0, |m, s| m | 1 << s.number)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Name and version of the kept form.
const MAGIC: &[u8; 8] = b"RCKEYS\x01\0";

/// Bytes of a kept entry.
const ENTRY_LEN: usize = 13;
