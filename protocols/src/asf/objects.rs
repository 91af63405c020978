//! What the objects inside a header say (asf.md 3 and 4).

use super::guid::Guid;
use super::header::all_key;
use crate::content::{StreamInfo, StreamKind};

/// Most entries that are kept of one list; longer lists are refused as a whole.
pub const ENTRIES_MAX: usize = 8192;

/// A stream with all that the header says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// 1..=127.
    pub number: u8,
    /// What it carries.
    pub kind: StreamKind,
    /// The stream type.
    pub stream_type: Guid,
    /// What the type-specific data says, as far as it is known here.
    pub format: Format,
    /// 100 ns, added to presentation times.
    pub time_offset: u64,
    /// Bit 15 of the flags.
    // ASF-10
    pub encrypted: bool,
    /// Declared only inside an Extended Stream Properties object.
    pub hidden: bool,
    /// The Extended Stream Properties, if there are any.
    pub extended: Option<Extended>,
    /// bit/s of Stream Bitrate Properties: the peak, overhead included; 0 if absent.
    pub stated_peak: u32,
}

impl Stream {
    /// What protocols need. Averages: Extended Stream Properties, else the audio format. Peaks:
    /// alternate rate, else Stream Bitrate Properties, else the average.
    // ASF-13
    pub fn info(&self) -> StreamInfo {
        let first = |rates: [u32; 3]| rates.into_iter().find(|&r| r != 0).unwrap_or(0);
        let e = self.extended.as_ref();
        let format_rate = match self.format {
            Format::Audio {
                bytes_per_second, ..
            } => bytes_per_second.saturating_mul(8),
            _ => 0,
        };
        let average = first([e.map_or(0, |e| e.data_bit_rate), format_rate, 0]);
        let peak = first([
            e.map_or(0, |e| e.alternate_bit_rate),
            self.stated_peak,
            average,
        ]);
        StreamInfo {
            number: self.number,
            kind: self.kind,
            average_bit_rate: average,
            peak_bit_rate: peak.max(average),
            all_key: all_key(self.kind, e.is_some_and(|e| e.no_clean_points)),
        }
    }

    /// Loss of this stream is to be avoided (RTSP `a=reliable`).
    // ASF-18
    pub fn is_reliable(&self) -> bool {
        self.extended.as_ref().is_some_and(|e| e.reliable)
    }
}

/// Type-specific data of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// WAVEFORMATEX.
    Audio {
        /// Format tag, e.g. 0x0161 for Windows Media Audio.
        tag: u16,
        /// Channels.
        channels: u16,
        /// Hz.
        samples_per_second: u32,
        /// Average.
        bytes_per_second: u32,
        /// Bytes.
        block_align: u16,
        /// Per sample.
        bits: u16,
    },
    /// BITMAPINFOHEADER.
    Video {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// FourCC.
        compression: [u8; 4],
    },
    /// Not read.
    Other,
}

/// Extended Stream Properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extended {
    /// Of which stream.
    pub stream: u8,
    /// Average, bit/s, without ASF overhead.
    pub data_bit_rate: u32,
    /// ms of buffer for the average.
    pub buffer_ms: u32,
    /// Peak, bit/s.
    pub alternate_bit_rate: u32,
    /// Bytes; 0 unknown.
    pub object_size_max: u32,
    /// Prefer a transport that loses nothing.
    pub reliable: bool,
    /// The stream restricts seeking.
    pub seekable: bool,
    /// Any object may start the stream.
    pub no_clean_points: bool,
    /// A live client that joins gets the latest key object of this stream first.
    pub resend_live_clean_points: bool,
    /// Into the Language List.
    pub language: u16,
    /// 100 ns; 0 unknown.
    pub time_per_frame: u64,
    /// Language index and name.
    pub names: Vec<(u16, String)>,
    /// Payload extension systems with their data sizes (0xFFFF: variable), in declared order.
    pub payload_extensions: Vec<(Guid, u16)>,
}

/// Why streams exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExclusionKind {
    /// One language is to be chosen.
    Language,
    /// One bit rate is to be chosen.
    BitRate,
    /// Not said.
    Unknown,
}

/// At most one of the members is to be sent.
// ASF-17
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Why.
    pub kind: ExclusionKind,
    /// Sets of streams, bit n being stream n. One stream each, but for group exclusions.
    pub members: Vec<u128>,
    /// Not from the file, but assumed because the streams are of one type and language.
    pub assumed: bool,
}

/// A bandwidth sharing group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// At most one of the streams is active at any time.
    pub exclusive: bool,
    /// bit/s that the streams share.
    pub data_bit_rate: u32,
    /// ms.
    pub buffer_ms: u32,
    /// Bit n is stream n.
    pub streams: u128,
}

/// A marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// 100 ns, preroll included.
    pub presentation: u64,
    /// ms.
    pub send_time: u32,
    /// What it is called.
    pub description: String,
}

/// A script command of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// ms, preroll included.
    pub presentation: u32,
    /// `URL`, `FILENAME`, ...
    pub kind: String,
    /// Its parameter.
    pub name: String,
}

/// An entry of the Codec List.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Video or audio; `Other` if unknown.
    pub kind: StreamKind,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
}

/// A metadata entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// 0: of the whole file.
    pub stream: u16,
    /// Name.
    pub name: String,
    /// Value as text.
    pub value: String,
}

/// An entry of the Stream Prioritization object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 1..=127.
    pub stream: u8,
    /// Must be sent.
    pub mandatory: bool,
}
