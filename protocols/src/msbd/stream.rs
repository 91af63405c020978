//! Streams: their numbers, how a content is described as one, and the header out of a description.

use super::wire::{Described, Message, PAYLOAD_LEN_MAX_TCP, StreamInfo};
use crate::asf::header::DATA_HEAD;
use crate::asf::{FIXED_HEAD, Header, guid, header_len};
use crate::content::{Content, StreamInfo as Media};
use bytes::Bytes;

/// Numbers of each of the two ranges, 0x0000 and 0x8000 on.
const RANGE: u32 = 0x0800;

/// wStreamId of a playlist's entry: 0x0000 to 0x07FF, then 0x8000 to 0x87FF, then from the beginning, so
/// that the number which was used longest ago is used again (MSBD-19, MSBD-20, MSBD-67).
pub const fn stream_id(entry: u32) -> u16 {
    let place = entry % (2 * RANGE);
    let low = (place % RANGE) as u16;
    if place < RANGE { low } else { 0x8000 | low }
}

/// IND_STREAMINFO and RES_STREAMINFO of a content. `None` if the protocol cannot carry it: its header or,
/// at most `payload_max` bytes long, its packets are too long.
pub(super) fn describe(content: &Content, payload_max: usize) -> Option<[Bytes; 2]> {
    let size = usize::try_from(content.packet_size).ok()?;
    if size > payload_max.min(PAYLOAD_LEN_MAX_TCP) {
        return None;
    }
    let (bit_rate, duration_ms) = properties(content);
    let info = StreamInfo {
        stream_id: stream_id(content.entry),
        packet_size: u16::try_from(size).ok()?,
        // MSBD-21
        total_packets: u32::try_from(content.packet_count).unwrap_or(0),
        bit_rate,
        duration_ms,
        header: &content.header,
        ..StreamInfo::default()
    };
    let described = Described::Stream(info);
    Some([
        Message::IndStreamInfo(described).bytes()?,
        Message::ResStreamInfo(described).bytes()?,
    ])
}

/// bit/s and ms of the whole, preroll included, as the header states them (MSBD-22).
fn properties(content: &Content) -> (u32, Option<u32>) {
    let header = Header::parse(&content.header).ok();
    let stated = header.as_ref().map_or(0, Header::max_bit_rate);
    let rate = |s: &Media| s.peak_bit_rate.max(s.average_bit_rate);
    let sum = || content.streams.iter().map(rate);
    let bit_rate = match stated {
        0 => sum().fold(0, u32::saturating_add),
        stated => stated,
    };
    let duration = content.duration.filter(|_| !content.broadcast);
    let whole = duration.map(|ms| ms.saturating_add(u64::from(content.preroll)));
    let known = whole.and_then(|ms| u32::try_from(ms).ok());
    (bit_rate, known.filter(|ms| *ms != u32::MAX))
}

/// The Header Object and exactly 50 bytes of the Data Object: some senders count these 50 differently
/// (msbd.md 5.1).
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn header_of(blob: &[u8]) -> Result<Bytes, String> {
    let whole = header_len(blob).map_err(|e| e.to_string())?;
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    let object = whole.saturating_sub(DATA_HEAD);
    if blob.len() < object || object < FIXED_HEAD {
        let have = blob.len();
        return Err(format!("{have} of the {object} bytes of the ASF header"));
    }
    let mut header = blob.get(..whole.min(blob.len())).unwrap_or(blob).to_vec();
    if header.len() < whole {
        // What is missing says nothing that the Header Object does not say.
        let data = data_head();
        let there = header.len() - object;
        header.extend_from_slice(data.get(there..).unwrap_or_default());
    }
    Header::parse(&header).map_err(|e| e.to_string())?;
    Ok(header.into())
}

/// Of a Data Object that says nothing of its size, its file and its packets.
fn data_head() -> [u8; DATA_HEAD] {
    let mut head = [0; DATA_HEAD];
    let (name, rest) = head.split_at_mut(16);
    name.copy_from_slice(&guid::DATA_OBJECT.0);
    if let [.., a, b] = rest {
        // Reserved, 0x0101.
        (*a, *b) = (1, 1);
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    // MSBD-19, MSBD-20, MSBD-67
    #[test]
    fn numbers_of_streams_wrap() {
        let ids = [0, 1, 0x07FF, 0x0800, 0x0FFF, 0x1000, 0x1001, u32::MAX].map(stream_id);
        assert_eq!(ids, [0, 1, 0x07FF, 0x8000, 0x87FF, 0, 1, 0x87FF]);
        let mut all: Vec<u16> = (0..4096).map(stream_id).collect();
        assert!(all.iter().all(|id| id & 0x7800 == 0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4096);
    }
}
