//! The index objects behind the packets of a file (asf.md 6.1 - 6.4). Only hints: writers disagree
//! about their time axis, so [`super::seek::Seek`] checks what they say.

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::read::Reader;

/// Bytes of an object's head: GUID and size.
pub const OBJECT_HEAD: usize = 24;

/// Largest index object that is read; larger ones are passed over.
pub const INDEX_LEN_MAX: u64 = 64 << 20;

/// Bytes of a Simple Index before its entries.
const SIMPLE_HEAD: usize = 56;

/// Offset in an Index Object that means "no entry".
const NO_ENTRY: u32 = u32::MAX;

/// The head of a top-level object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Which.
    pub guid: Guid,
    /// Bytes, head included; at least 24.
    pub size: u64,
}

impl ObjectHead {
    /// Read a head. `offset` is its place in the file, for the error.
    ///
    /// # Errors
    /// If fewer than 24 bytes are there or the size is below 24.
    // ASF-02
    pub fn parse(bytes: &[u8], offset: u64) -> Result<ObjectHead, Error> {
        let mut r = Reader::new(bytes, offset);
        let head = ObjectHead {
            guid: r.guid()?,
            size: r.u64()?,
        };
        if head.size < OBJECT_HEAD as u64 {
            let reason = Reason::ObjectSize {
                size: head.size,
                min: OBJECT_HEAD as u64,
                max: u64::MAX,
            };
            return Err(Error::at(offset, reason).within(head.guid));
        }
        Ok(head)
    }

    /// Worth reading whole: an index that seeking uses, of reasonable size. Media Object and
    /// Timecode indexes and unknown objects are passed over by their size.
    pub fn is_wanted(&self) -> bool {
        self.size <= INDEX_LEN_MAX
            && matches!(self.guid, guid::SIMPLE_INDEX_OBJECT | guid::INDEX_OBJECT)
    }
}

/// Simple Index: one per video stream, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleIndex {
    /// Of the file it belongs to.
    pub file_id: Guid,
    /// 100 ns between entries.
    pub interval_hns: u64,
    /// Most packets that any entry needs.
    pub packets_max: u32,
    /// Entry i: where the latest key frame at time i times the interval starts.
    pub entries: Vec<SimpleEntry>,
}

/// See [`SimpleIndex`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimpleEntry {
    /// Packet with the start of the key frame.
    pub packet: u32,
    /// Packets that hold it.
    pub count: u16,
}

impl SimpleIndex {
    /// Parse the object, head included. More entries stated than present: those present.
    ///
    /// # Errors
    /// If it is another object or a field is missing or illegal.
    // ASF-52
    pub fn parse(object: &[u8]) -> Result<SimpleIndex, Error> {
        let mut r = body(object, guid::SIMPLE_INDEX_OBJECT)?;
        let read = |r: &mut Reader<'_>| {
            let file_id = r.guid()?;
            let at = r.offset();
            let interval_hns = r.u64()?;
            if interval_hns == 0 {
                return Err(zero(at, "index entry interval"));
            }
            let packets_max = r.u32()?;
            let count = (r.u32()? as usize).min(r.left() / 6);
            let entries = r.take(count * 6)?;
            Ok(SimpleIndex {
                file_id,
                interval_hns,
                packets_max,
                entries: entries
                    .chunks_exact(6)
                    .map(|e| SimpleEntry {
                        packet: u32::from_le_bytes([e[0], e[1], e[2], e[3]]),
                        count: u16::from_le_bytes([e[4], e[5]]),
                    })
                    .collect(),
            })
        };
        read(&mut r).map_err(|e: Error| e.within(guid::SIMPLE_INDEX_OBJECT))
    }

    /// The object, head included.
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let size = SIMPLE_HEAD as u64 + u64::from(count) * 6;
        let mut out = Vec::with_capacity(size as usize);
        out.extend_from_slice(&guid::SIMPLE_INDEX_OBJECT.0);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&self.file_id.0);
        out.extend_from_slice(&self.interval_hns.to_le_bytes());
        out.extend_from_slice(&self.packets_max.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        for entry in self.entries.iter().take(count as usize) {
            out.extend_from_slice(&entry.packet.to_le_bytes());
            out.extend_from_slice(&entry.count.to_le_bytes());
        }
        out
    }

    /// Packets of the entry for a time and, behind it, of the `more` different ones before it.
    pub(super) fn candidates(&self, time_ms: u32, more: usize) -> Vec<u32> {
        let slot = u64::from(time_ms) * 10_000 / self.interval_hns;
        let last = self.entries.len().saturating_sub(1) as u64;
        let upto = slot.min(last) as usize + 1;
        let entries = self.entries.get(..upto).unwrap_or_default();
        distinct(entries.iter().rev().map(|e| e.packet), more + 1)
    }
}

/// Index Object: byte offsets at regular times for several streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexObject {
    /// ms between entries.
    pub interval_ms: u32,
    /// Stream and index type (1 packet, 2 object, 3 clean point) of each column.
    pub specifiers: Vec<(u8, u16)>,
    /// Rows of one offset per column, counted from the first packet; `None`: no entry.
    pub rows: Vec<Vec<Option<u64>>>,
}

/// Index type that points at clean points.
pub const CLEAN_POINT: u16 = 3;

impl IndexObject {
    /// Parse the object, head included.
    ///
    /// # Errors
    /// If it is another object or a field is missing or illegal.
    // ASF-53
    pub fn parse(object: &[u8]) -> Result<IndexObject, Error> {
        let mut r = body(object, guid::INDEX_OBJECT)?;
        read_index(&mut r).map_err(|e| e.within(guid::INDEX_OBJECT))
    }

    /// As [`SimpleIndex::candidates`], from the clean points of a stream.
    pub(super) fn candidates(
        &self,
        stream: u8,
        packet_size: u32,
        time_ms: u32,
        more: usize,
    ) -> Vec<u32> {
        let wanted = (stream, CLEAN_POINT);
        let Some(column) = self.specifiers.iter().position(|s| *s == wanted) else {
            return Vec::new();
        };
        let slot = (time_ms / self.interval_ms) as usize;
        let upto = slot.saturating_add(1).min(self.rows.len());
        let rows = self.rows.get(..upto).unwrap_or_default();
        let packets = rows
            .iter()
            .rev()
            .filter_map(|row| row.get(column).copied().flatten())
            .filter_map(|offset| u32::try_from(offset / u64::from(packet_size)).ok());
        distinct(packets, more + 1)
    }
}

fn read_index(r: &mut Reader<'_>) -> Result<IndexObject, Error> {
    let at = r.offset();
    let interval_ms = r.u32()?;
    if interval_ms == 0 {
        return Err(zero(at, "index entry interval"));
    }
    let columns = usize::from(r.u16()?);
    let blocks = r.u32()?;
    let mut specifiers = Vec::new();
    for _ in 0..columns {
        specifiers.push(((r.u16()? & 0x7F) as u8, r.u16()?));
    }
    let mut rows = Vec::new();
    if columns == 0 {
        return Ok(IndexObject {
            interval_ms,
            specifiers,
            rows,
        });
    }
    for _ in 0..blocks {
        let count = r.u32()?;
        let mut positions = Vec::with_capacity(columns);
        for _ in 0..columns {
            positions.push(r.u64()?);
        }
        // Every row takes bytes of the object, so a wrong count ends soon.
        for _ in 0..count {
            let row = r.take(columns * 4)?.chunks_exact(4).zip(&positions);
            let row = row.map(|(c, position)| {
                let offset = u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
                (offset != NO_ENTRY).then(|| position.saturating_add(u64::from(offset)))
            });
            rows.push(row.collect());
        }
    }
    Ok(IndexObject {
        interval_ms,
        specifiers,
        rows,
    })
}

/// What follows the head, checked to be the object wanted.
fn body(object: &[u8], wanted: Guid) -> Result<Reader<'_>, Error> {
    let head = ObjectHead::parse(object, 0)?;
    if head.guid != wanted {
        let found = head.guid;
        return Err(Error::at(0, Reason::WrongObject { found, wanted }));
    }
    let len = usize::try_from(head.size).unwrap_or(usize::MAX);
    let Some(body) = object.get(OBJECT_HEAD..len) else {
        let reason = Reason::Truncated {
            need: head.size,
            have: object.len() as u64,
        };
        return Err(Error::at(0, reason).within(wanted));
    };
    Ok(Reader::new(body, OBJECT_HEAD as u64))
}

fn distinct(packets: impl Iterator<Item = u32>, max: usize) -> Vec<u32> {
    let mut out: Vec<u32> = Vec::new();
    for packet in packets {
        if out.last() != Some(&packet) {
            if out.len() == max {
                break;
            }
            out.push(packet);
        }
    }
    out
}

fn zero(at: u64, field: &'static str) -> Error {
    Error::at(at, Reason::Value { field, value: 0 })
}
