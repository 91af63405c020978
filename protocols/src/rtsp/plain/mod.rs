//! Media objects in payload formats of their own, for players that know no ASF: H.264 (RFC 6184), AAC
//! (RFC 3640), MPEG audio (RFC 2250).
//!
//! Each module reads a stream's type-specific data, describes the stream for SDP, and cuts one media
//! object at a time into payloads. The RTP header is the caller's: the object's time in the format's
//! clock ([`super::rtp::ticks`]) and what a [`Payload`] adds to it.

pub mod aac;
pub mod h264;
pub mod mpa;

use crate::asf::Header;
use crate::asf::guid::STREAM_PROPERTIES_OBJECT;

/// Least room for a payload, bytes.
pub const PAYLOAD_MIN: usize = 64;

/// What goes into one RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Behind the RTP header.
    pub bytes: &'a [u8],
    /// M.
    pub marker: bool,
    /// To be added to the object's time, in units of the clock.
    pub ticks: u32,
}

/// The payloads of one media object; kept and used again, it allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool, u32)>,
}

impl Payloads {
    /// None yet.
    pub fn new() -> Payloads {
        Payloads::default()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Payload<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, marker, ticks)| {
            let bytes = self.bytes.get(start..end).unwrap_or(&[]);
            start = end;
            Payload {
                bytes,
                marker,
                ticks,
            }
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn put(&mut self, parts: &[&[u8]], marker: bool, ticks: u32) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push((self.bytes.len(), marker, ticks));
    }

    fn mark_last(&mut self) {
        if let Some(last) = self.ends.last_mut() {
            last.1 = true;
        }
    }
}

/// The type-specific data of a stream, out of the header blob that was parsed. `None` for a stream that
/// is not there, or only inside of an Extended Stream Properties object.
pub fn type_specific<'a>(blob: &'a [u8], header: &Header, stream: u8) -> Option<&'a [u8]> {
    /// Fields of Stream Properties: length of the data, flags, the data.
    const LEN_AT: usize = 64;
    const FLAGS_AT: usize = 72;
    const DATA_AT: usize = 78;
    header
        .objects()
        .iter()
        .filter(|o| o.guid == STREAM_PROPERTIES_OBJECT)
        .find_map(|o| {
            let object = blob.get(o.offset as usize..)?.get(..o.size as usize)?;
            let flags = object.get(FLAGS_AT..)?.first_chunk::<2>()?;
            let number = u16::from_le_bytes(*flags) & 0x7F;
            let len = u32::from_le_bytes(*object.get(LEN_AT..)?.first_chunk()?) as usize;
            let data = object.get(DATA_AT..)?.get(..len)?;
            (number == u16::from(stream)).then_some(data)
        })
}

/// WAVEFORMATEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave<'a> {
    /// Format tag.
    pub tag: u16,
    /// Channels.
    pub channels: u16,
    /// Hz.
    pub rate: u32,
    /// What follows the fixed fields.
    pub extra: &'a [u8],
}

impl<'a> Wave<'a> {
    /// Read the type-specific data of an audio stream; `None` if it is too short.
    pub fn parse(data: &'a [u8]) -> Option<Wave<'a>> {
        let (head, rest) = data.split_first_chunk::<16>()?;
        let [t0, t1, c0, c1, r0, r1, r2, r3, ..] = *head;
        let extra = match rest.split_first_chunk::<2>() {
            Some((len, rest)) => {
                let len = usize::from(u16::from_le_bytes(*len));
                rest.get(..len).unwrap_or(rest)
            }
            None => &[],
        };
        Some(Wave {
            tag: u16::from_le_bytes([t0, t1]),
            channels: u16::from_le_bytes([c0, c1]),
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            extra,
        })
    }
}

/// The BITMAPINFOHEADER of a video stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitmap<'a> {
    /// FourCC.
    pub compression: [u8; 4],
    /// What follows the fixed fields.
    pub extra: &'a [u8],
}

impl<'a> Bitmap<'a> {
    /// Read the type-specific data of a video stream; `None` if it is too short.
    pub fn parse(data: &'a [u8]) -> Option<Bitmap<'a>> {
        /// Picture size and flags stand before the header, which is 40 bytes.
        const SIZE_AT: usize = 9;
        const HEADER_AT: usize = 11;
        const HEADER_LEN: usize = 40;
        let size = u16::from_le_bytes(*data.get(SIZE_AT..)?.first_chunk()?);
        let header = data.get(HEADER_AT..)?;
        let header = header.get(..usize::from(size)).unwrap_or(header);
        Some(Bitmap {
            compression: *header.get(16..)?.first_chunk()?,
            extra: header.get(HEADER_LEN..)?,
        })
    }
}
