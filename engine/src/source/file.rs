//! ASF files: what is known about one, and its packets by number.

use super::Indexing;
use super::path::Root;
use crate::rt::ReadFile;
use bytes::Bytes;
use protocols::asf::file_index::{IndexObject, OBJECT_HEAD, ObjectHead, SimpleIndex};
use protocols::asf::index::{Stamp, header_hash};
use protocols::asf::{self, Header, KeyIndex};
use protocols::content::StreamInfo;
use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Bytes read at once; a chunk of packets is as many whole packets as fit.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Largest ASF header that is served.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Objects behind the data that are looked at when a file is opened.
const TAIL_OBJECTS_MAX: usize = 256;

/// What is known about a file; shared by all cores, replaced when the file changes.
pub struct FileFacts {
    /// For logs: path beneath the content directory.
    pub name: String,
    /// Identity and state: device, inode, size, modification time in ns.
    pub identity: Identity,
    /// The header as it stands in the file, with the first 50 bytes of the Data Object.
    pub blob: Bytes,
    /// The header, parsed.
    pub header: Header,
    /// Whole packets that were in the file when it was opened.
    pub packet_count: u32,
    /// What was known of its end when it was opened.
    pub growth: Growth,
    /// To look again, if it is being recorded.
    recording: Option<File>,
    /// Streams, with measured rates where the header has none.
    pub streams: Arc<[StreamInfo]>,
    /// Title, author and so on.
    pub description: Arc<[(String, String)]>,
    /// Our own index, when it is ready.
    pub index: Arc<OnceLock<KeyIndex>>,
    /// The file's own Simple Index objects: hints for seeking.
    pub simple_index: Vec<SimpleIndex>,
    /// The file's own Index Object: likewise.
    pub index_object: Option<IndexObject>,
}

/// Whether more comes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// No: it has so many packets.
    Finished(u32),
    /// It is locked by who records it, and its header tells of so many packets, which are there.
    Recording(u32),
    /// Its header promises more than is there, or does not say: it is being copied, or what wrote it
    /// broke off. What can be read is there.
    Promised,
}

impl FileFacts {
    /// True if more may come.
    pub fn is_growing(&self) -> bool {
        !matches!(self.growth, Growth::Finished(_))
    }

    /// Bytes of a consistent file: up to the packets that the header tells of while they are recorded.
    pub fn size(&self) -> u64 {
        match self.growth {
            Growth::Recording(count) => self.header.packet_offset(count),
            _ => self.identity.size,
        }
    }

    /// Look again at a file that is being recorded. Blocks on the disk.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn look_again(&self) -> io::Result<Growth> {
        let Some(file) = &self.recording else {
            return Ok(self.growth);
        };
        // In this order: what was written before the lock went is seen.
        let recorded = is_recorded(file);
        let mut head = [0; asf::header::DATA_HEAD];
        let at = self.header.blob_len() - head.len() as u64;
        file.read_exact_at(&mut head, at)?;
        let size = u64::from(self.header.packet_size());
        let room = file
            .metadata()?
            .len()
            .saturating_sub(self.header.blob_len())
            / size;
        let told = asf::recording::packets_stated(&head).min(room);
        let count = u32::try_from(told).unwrap_or(u32::MAX);
        Ok(match recorded {
            true => Growth::Recording(count),
            false => Growth::Finished(count),
        })
    }
}

/// True if somebody holds the lock that a recording has while it grows.
fn is_recorded(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            false
        }
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}

/// Identity and state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device and inode.
    pub node: (u64, u64),
    /// Bytes.
    pub size: u64,
    /// Modification time, ns since the epoch.
    pub mtime_ns: i64,
}

impl Identity {
    /// Of an open file.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of(file: &File) -> io::Result<Identity> {
        let meta = file.metadata()?;
        Ok(Identity {
            node: (meta.dev(), meta.ino()),
            size: meta.len(),
            mtime_ns: meta
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(meta.mtime_nsec()),
        })
    }
}

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not there, not a regular file, or outside of the directory.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not ASF, or damaged.
    #[error("{0}")]
    Asf(#[from] asf::Error),
    /// ASF, but nothing to send.
    #[error("no data packets in it")]
    Empty,
}

/// Open a file beneath `root` and learn what must be known to serve it. Blocks on the disk.
/// If `known` still describes the file it is returned again.
///
/// # Errors
/// See [`OpenError`].
pub fn open_facts(
    root: &Root,
    segments: &[String],
    known: Option<&Arc<FileFacts>>,
    indexing: &Indexing,
) -> Result<(File, Arc<FileFacts>), OpenError> {
    let file = root.open_file(segments)?;
    let identity = Identity::of(&file)?;
    if let Some(known) = known
        && known.identity == identity
    {
        return Ok((file, Arc::clone(known)));
    }
    let path = root.path.join(segments.join("/"));
    let facts = read_facts(&file, segments.join("/"), &path, identity, indexing)?;
    Ok((file, Arc::new(facts)))
}

fn read_facts(
    file: &File,
    name: String,
    path: &Path,
    identity: Identity,
    indexing: &Indexing,
) -> Result<FileFacts, OpenError> {
    let recording = is_recorded(file).then(|| file.try_clone()).transpose()?;
    // A recording has grown since its state was taken; what its header tells is there by now.
    let size = match recording {
        Some(_) => None,
        None => Some(identity.size),
    };
    let mut fixed = [0u8; asf::FIXED_HEAD];
    file.read_exact_at(&mut fixed, 0)?;
    let blob_len = asf::header_len(&fixed)?;
    if blob_len > HEADER_BYTES_MAX || blob_len > identity.size {
        return Err(OpenError::Io(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("header of {blob_len} bytes in a file of {}", identity.size),
        )));
    }
    let mut blob = vec![0u8; blob_len as usize];
    file.read_exact_at(&mut blob, 0)?;
    let header = Header::parse(&blob)?;
    let size = size.map_or_else(|| file.metadata().map(|meta| meta.len()), Ok)?;
    let packet_size = u64::from(header.packet_size());
    let present = size.saturating_sub(blob_len) / packet_size;
    let promised = header
        .packet_count()
        .filter(|count| *count > 0)
        .or_else(|| {
            let data = header.data_size().map(|size| size.saturating_sub(50));
            data.map(|size| size / packet_size)
                .filter(|count| *count > 0)
        });
    let packet_count = header.packets_in(size);
    let growth = match promised {
        _ if recording.is_some() => Growth::Recording(packet_count),
        Some(promised) if promised <= present => Growth::Finished(packet_count),
        _ => Growth::Promised,
    };
    if packet_count == 0 && growth == Growth::Finished(0) {
        return Err(OpenError::Empty);
    }
    let data_end = blob_len + u64::from(packet_count) * packet_size;
    let (simple_index, index_object) = match recording {
        Some(_) => Default::default(),
        None => read_indexes(file, data_end, identity.size),
    };
    let stamp = Stamp {
        file_size: identity.size,
        mtime_ns: identity.mtime_ns,
        header_hash: header_hash(&blob),
        data_packets: u64::from(packet_count),
    };
    let index = match recording {
        Some(_) => indexing.index_so_far(file, identity.node, &header, packet_count),
        None => indexing.index_for(file, path, &header, stamp),
    };
    let description = header.description().into();
    let mut streams = header.streams();
    if let Some(index) = index.get() {
        index.complete(&mut streams);
    }
    Ok(FileFacts {
        name,
        identity,
        blob: Bytes::from(blob),
        header,
        packet_count,
        growth,
        recording,
        streams: streams.into(),
        description,
        index,
        simple_index,
        index_object,
    })
}

/// The index objects behind the data; damaged ones and what follows them are passed over.
fn read_indexes(file: &File, from: u64, end: u64) -> (Vec<SimpleIndex>, Option<IndexObject>) {
    let mut simple = Vec::new();
    let mut index = None;
    let mut at = from;
    for _ in 0..TAIL_OBJECTS_MAX {
        let mut head = [0u8; OBJECT_HEAD];
        if file.read_exact_at(&mut head, at).is_err() {
            break;
        }
        let Ok(head) = ObjectHead::parse(&head, at) else {
            break;
        };
        if head.is_wanted() && head.size <= end.saturating_sub(at) {
            let mut object = vec![0u8; head.size as usize];
            if file.read_exact_at(&mut object, at).is_err() {
                break;
            }
            if let Ok(parsed) = SimpleIndex::parse(&object) {
                simple.push(parsed);
            } else if let Ok(parsed) = IndexObject::parse(&object) {
                index = Some(parsed);
            }
        }
        at = at.saturating_add(head.size);
    }
    (simple, index)
}

/// A file as one core reads it.
pub struct AsfFile {
    /// Number of this object on its core, for cache keys.
    pub id: u64,
    /// What is known.
    pub facts: Arc<FileFacts>,
    /// Its bytes.
    pub reader: ReadFile,
    growth: Cell<Growth>,
}

impl AsfFile {
    /// An open file.
    pub fn new(id: u64, facts: Arc<FileFacts>, reader: ReadFile) -> AsfFile {
        AsfFile {
            id,
            growth: Cell::new(facts.growth),
            facts,
            reader,
        }
    }

    /// What is known of its end by now.
    pub fn growth(&self) -> Growth {
        self.growth.get()
    }

    /// See [`FileFacts::look_again`].
    pub fn set_growth(&self, growth: Growth) {
        self.growth.set(growth);
    }

    /// True if more may come.
    pub fn is_growing(&self) -> bool {
        !matches!(self.growth(), Growth::Finished(_))
    }

    /// Size of every packet.
    pub fn packet_size(&self) -> u32 {
        self.facts.header.packet_size()
    }

    /// Packets in a chunk.
    pub fn packets_per_chunk(&self) -> u32 {
        (CHUNK_BYTES as u32 / self.packet_size()).max(1)
    }

    /// The chunk that holds a packet.
    pub fn chunk_of(&self, packet: u32) -> u32 {
        packet / self.packets_per_chunk()
    }

    /// Number of the first packet of a chunk.
    pub fn chunk_start(&self, chunk: u32) -> u32 {
        chunk.saturating_mul(self.packets_per_chunk())
    }

    /// Byte offset in the file of a packet.
    pub fn offset_of(&self, packet: u32) -> u64 {
        self.facts.blob.len() as u64 + u64::from(packet) * u64::from(self.packet_size())
    }

    /// Sum of the average rates of some streams, bit/s; the file's own rate if none is known.
    pub fn average_bit_rate(&self, selection: protocols::content::Selection) -> u32 {
        average_bit_rate(
            &self.facts.streams,
            selection,
            self.facts.header.max_bit_rate(),
        )
    }
}

/// Sum of the average rates of the selected streams, bit/s; `fallback` if none is known.
pub fn average_bit_rate(
    streams: &[StreamInfo],
    selection: protocols::content::Selection,
    fallback: u32,
) -> u32 {
    let sum: u64 = streams
        .iter()
        .filter(|s| selection.on >> s.number & 1 == 1)
        .map(|s| u64::from(s.average_bit_rate))
        .sum();
    match u32::try_from(sum).unwrap_or(u32::MAX) {
        0 => fallback,
        sum => sum,
    }
}
