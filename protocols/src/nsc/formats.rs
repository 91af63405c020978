//! Format IDs: eleven bits that name an ASF header in a station file and in every packet (MS-MSB 2.2.1.4;
//! msb-nsc.md 9.6).

use crate::asf::guid::FILE_PROPERTIES_OBJECT;
use crate::asf::header::DATA_HEAD;
use crate::asf::{self, header_len};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Most headers that are kept. The one that was not asked for longest goes.
pub const FORMAT_COUNT_MAX: usize = 64;

/// There are as many ids.
const ID_COUNT: u16 = crate::msb::packet::FORMAT_ID_COUNT;

/// What of a header tells one recording of the same streams from another.
mod field {
    use std::ops::Range;
    /// In File Properties: File ID, file size, creation date, packet count, play and send duration.
    pub(super) const FILE: Range<usize> = 24..80;
    /// In the Data Object: its size, File ID, and packet count.
    pub(super) const DATA: Range<usize> = 16..48;
}

/// The headers of one station and their ids, in the order in which they were first asked for.
///
/// An id follows from its header, unless another header of the station has it already. So the same headers
/// asked for in the same order have the same ids, in any process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatIds {
    stable: bool,
    entries: Vec<Entry>,
    uses: u64,
    revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: u16,
    header: Bytes,
    /// What is compared and hashed, if that is not the header itself.
    likeness: Option<Bytes>,
    used: u64,
}

impl FormatIds {
    /// No headers. Every other header is another format.
    pub fn new() -> FormatIds {
        FormatIds::default()
    }

    /// No headers. Headers that differ only in what changes when an encoder starts anew with the same
    /// profile (File ID, dates, sizes, counts, durations) are the same format, so that station files stay
    /// valid; the latest of them counts.
    pub fn stable() -> FormatIds {
        FormatIds {
            stable: true,
            ..FormatIds::default()
        }
    }

    /// The id of a header blob, below 2048; a new one if it has none yet.
    // MSB-08, NSC-12, NSC-29
    pub fn id(&mut self, header: &Bytes) -> u16 {
        let header = blob(header);
        self.uses += 1;
        let likeness = self.stable.then(|| likeness(&header));
        let key = likeness.as_ref().unwrap_or(&header);
        if let Some(entry) = self.entries.iter_mut().find(|e| e.key() == key) {
            entry.used = self.uses;
            if entry.header != header {
                entry.header = header;
                self.revision += 1;
            }
            return entry.id;
        }
        if self.entries.len() >= FORMAT_COUNT_MAX {
            let oldest = (0..self.entries.len()).min_by_key(|i| self.entries[*i].used);
            oldest.map(|i| self.entries.remove(i));
        }
        let id = self.free_from(hash(key));
        self.entries.push(Entry {
            id,
            header,
            likeness,
            used: self.uses,
        });
        self.revision += 1;
        id
    }

    /// Ids and headers, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Bytes)> {
        self.entries.iter().map(|e| (e.id, &e.header))
    }

    /// The header of an id.
    pub fn header(&self, id: u16) -> Option<&Bytes> {
        self.entries.iter().find(|e| e.id == id).map(|e| &e.header)
    }

    /// Changes whenever the list of ids and headers does: then station files have to be written anew.
    // NSC-31
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// True if there is no header.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of headers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first id from `start` on that no header has; there is one, as ids outnumber headers.
    fn free_from(&self, start: u16) -> u16 {
        let taken = |id: &u16| self.entries.iter().any(|e| e.id == *id);
        let mut ids = (0..ID_COUNT).map(|n| (start + n) % ID_COUNT);
        ids.find(|id| !taken(id)).unwrap_or(start)
    }
}

const _: () = assert!(FORMAT_COUNT_MAX < ID_COUNT as usize);

impl Entry {
    fn key(&self) -> &Bytes {
        self.likeness.as_ref().unwrap_or(&self.header)
    }
}

/// Header Object and the start of the Data Object, nothing behind them.
fn blob(header: &Bytes) -> Bytes {
    let len = header_len(header).map_or(header.len(), |len| len as usize);
    header.slice(..len.min(header.len()))
}

/// The low eleven bits of what the first two bytes of the SHA-256 are in network order.
fn hash(key: &[u8]) -> u16 {
    match Sha256::digest(key)[..] {
        [a, b, ..] => u16::from_be_bytes([a, b]) % ID_COUNT,
        _ => 0,
    }
}

/// The header without what changes from one recording to the next. One that cannot be parsed is left as
/// it is.
fn likeness(header: &Bytes) -> Bytes {
    let Ok(parsed) = asf::Header::parse(header) else {
        return header.clone();
    };
    let mut out = header.to_vec();
    let mut objects = parsed.objects().iter();
    let file = objects.find(|o| o.guid == FILE_PROPERTIES_OBJECT);
    let data = out.len().saturating_sub(DATA_HEAD);
    for (at, range) in [
        file.map(|o| (o.offset as usize, field::FILE)),
        Some((data, field::DATA)),
    ]
    .into_iter()
    .flatten()
    {
        if let Some(bytes) = out.get_mut(at + range.start..at + range.end) {
            bytes.fill(0);
        }
    }
    out.into()
}
