//! Our own index of key frames for each file: built once, kept beside the content or in a cache
//! directory, built in the background when the file is large.

use crate::rt;
use protocols::asf::index::{Stamp, header_hash};
use protocols::asf::{Header, Indexer, KeyIndex};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

/// Files up to this size are indexed while they are opened.
const INLINE_BYTES_MAX: u64 = 8 << 20;

/// Files that wait for the background indexer; more are served without an index, by bisection.
const QUEUE_COUNT_MAX: usize = 1024;

/// Files that are being recorded of which an index is kept in memory, the one asked for longest ago
/// goes first.
const RECORDING_COUNT_MAX: usize = 64;

/// An index file larger than this is not read.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// The indexer. One per server; cheap to clone.
#[derive(Clone)]
pub struct Indexing {
    cache_dir: Option<PathBuf>,
    queue: mpsc::SyncSender<Job>,
    /// Files that are being recorded, the one asked for last at the end.
    recordings: Arc<Mutex<Vec<Recording>>>,
}

enum Job {
    /// A finished file.
    Whole(Whole),
    /// One that is being recorded.
    SoFar {
        file: File,
        known: Arc<Mutex<SoFar>>,
        header: Header,
        packet_count: u32,
        into: Arc<OnceLock<KeyIndex>>,
    },
}

struct Whole {
    file: File,
    path: PathBuf,
    header: Header,
    stamp: Stamp,
    into: Arc<OnceLock<KeyIndex>>,
}

/// A file that is being recorded.
struct Recording {
    node: (u64, u64),
    file_id: [u8; 16],
    index: Arc<Mutex<SoFar>>,
}

/// How far it is indexed.
struct SoFar {
    indexer: Indexer,
    next: u32,
}

impl Indexing {
    /// Start the background indexer. With `cache_dir` all index files go there.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn start(cache_dir: Option<PathBuf>) -> io::Result<Indexing> {
        if let Some(dir) = &cache_dir {
            std::fs::create_dir_all(dir)?;
        }
        let (sender, jobs) = mpsc::sync_channel::<Job>(QUEUE_COUNT_MAX);
        let indexing = Indexing {
            cache_dir,
            queue: sender,
            recordings: Arc::default(),
        };
        let keeper = indexing.cache_dir.clone();
        std::thread::Builder::new()
            .name("indexer".into())
            .spawn(move || {
                rt::lowest_priority();
                for job in jobs {
                    job.work(keeper.as_deref());
                }
            })?;
        Ok(indexing)
    }

    /// The index of an open file: from its kept copy, built now if the file is small, or filled in
    /// later. Blocks on the disk.
    pub fn index_for(
        &self,
        file: &File,
        path: &Path,
        header: &Header,
        stamp: Stamp,
    ) -> Arc<OnceLock<KeyIndex>> {
        let into = Arc::new(OnceLock::new());
        if let Some(index) = self.kept(path, &stamp) {
            let _ = into.set(index);
            return into;
        }
        let Ok(file) = file.try_clone() else {
            return into;
        };
        let whole = Whole {
            file,
            path: path.to_path_buf(),
            header: header.clone(),
            stamp,
            into: Arc::clone(&into),
        };
        if whole.stamp.file_size <= INLINE_BYTES_MAX {
            work(&whole, self.cache_dir.as_deref());
        } else if self.queue.try_send(Job::Whole(whole)).is_err() {
            tracing::warn!(file = %path.display(), "too many files wait for an index; seeking by bisection");
        }
        into
    }

    /// The index of a file that is being recorded, up to a packet. What was indexed before is not read
    /// again; where too much is left to read now, the index comes later. Nothing is kept on disk.
    /// Blocks on the disk.
    pub fn index_so_far(
        &self,
        file: &File,
        node: (u64, u64),
        header: &Header,
        packet_count: u32,
    ) -> Arc<OnceLock<KeyIndex>> {
        let into = Arc::new(OnceLock::new());
        let known = self.recording(node, header);
        let Ok(file) = file.try_clone() else {
            return into;
        };
        let job = Job::SoFar {
            file,
            known: Arc::clone(&known),
            header: header.clone(),
            packet_count,
            into: Arc::clone(&into),
        };
        let Ok(indexed) = known.try_lock().map(|known| known.next) else {
            return into;
        };
        let left =
            u64::from(packet_count.saturating_sub(indexed)) * u64::from(header.packet_size());
        if left <= INLINE_BYTES_MAX {
            job.work(None);
        } else if self.queue.try_send(job).is_err() {
            tracing::warn!("too many files wait for an index; seeking by bisection");
        }
        into
    }

    fn recording(&self, node: (u64, u64), header: &Header) -> Arc<Mutex<SoFar>> {
        let mut list = self
            .recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let id = header.file_id();
        if let Some(at) = list.iter().position(|r| r.node == node && r.file_id == id) {
            let found = list.remove(at);
            let index = Arc::clone(&found.index);
            list.push(found);
            return index;
        }
        if list.len() >= RECORDING_COUNT_MAX {
            list.remove(0);
        }
        let index = Arc::new(Mutex::new(SoFar {
            indexer: Indexer::new(header),
            next: 0,
        }));
        list.push(Recording {
            node,
            file_id: id,
            index: Arc::clone(&index),
        });
        index
    }

    fn kept(&self, path: &Path, stamp: &Stamp) -> Option<KeyIndex> {
        for place in places(path, self.cache_dir.as_deref()) {
            let Ok(meta) = std::fs::metadata(&place) else {
                continue;
            };
            if meta.len() > INDEX_BYTES_MAX {
                continue;
            }
            let Ok(bytes) = std::fs::read(&place) else {
                continue;
            };
            match KeyIndex::decode(&bytes, stamp) {
                Ok(index) => return Some(index),
                Err(error) => {
                    tracing::debug!(index = %place.display(), %error, "index not used");
                }
            }
        }
        None
    }
}

impl Job {
    fn work(self, cache_dir: Option<&Path>) {
        match self {
            Job::Whole(whole) => work(&whole, cache_dir),
            Job::SoFar {
                file,
                known,
                header,
                packet_count,
                into,
            } => {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                let from = known.next;
                let SoFar { indexer, next } = &mut *known;
                let read = read_packets(&file, &header, from..packet_count, |number, packet| {
                    let _ = indexer.packet(number, packet);
                    *next = number + 1;
                });
                match read {
                    Ok(()) => {
                        let _ = into.set(known.indexer.snapshot());
                    }
                    Err(error) => tracing::warn!(%error, "a recording cannot be indexed"),
                }
            }
        }
    }
}

fn work(job: &Whole, cache_dir: Option<&Path>) {
    let Some(index) = build(job) else { return };
    let bytes = index.encode(&job.stamp);
    let _ = job.into.set(index);
    // Kept where the first write succeeds; content directories are often read-only.
    for place in places(&job.path, cache_dir) {
        let partial = place.with_extension(format!("rcx.{}", std::process::id()));
        let kept =
            std::fs::write(&partial, &bytes).and_then(|()| std::fs::rename(&partial, &place));
        match kept {
            Ok(()) => return,
            Err(error) => {
                let _ = std::fs::remove_file(&partial);
                tracing::debug!(index = %place.display(), %error, "index not kept here");
            }
        }
    }
}

fn build(job: &Whole) -> Option<KeyIndex> {
    let mut indexer = Indexer::new(&job.header);
    let count = u32::try_from(job.stamp.data_packets).unwrap_or(u32::MAX);
    let read = read_packets(&job.file, &job.header, 0..count, |number, packet| {
        // A damaged packet is counted by the indexer and left out.
        let _ = indexer.packet(number, packet);
    });
    match read {
        Ok(()) => Some(indexer.finish()),
        Err(error) => {
            tracing::warn!(file = %job.path.display(), %error, "cannot be indexed");
            None
        }
    }
}

/// Give packets of a file to `f`.
fn read_packets(
    file: &File,
    header: &Header,
    numbers: Range<u32>,
    mut f: impl FnMut(u32, &[u8]),
) -> io::Result<()> {
    let size = header.packet_size() as usize;
    let per_read = (super::file::CHUNK_BYTES / size).max(1);
    let mut buffer = vec![0u8; per_read.min(numbers.len()) * size];
    let mut number = numbers.start;
    while number < numbers.end {
        let count = per_read.min((numbers.end - number) as usize);
        let run = &mut buffer[..count * size];
        file.read_exact_at(run, header.packet_offset(number))?;
        for packet in run.chunks_exact(size) {
            f(number, packet);
            number += 1;
        }
    }
    Ok(())
}

/// Where the index of a file may lie, best first.
fn places(path: &Path, cache_dir: Option<&Path>) -> Vec<PathBuf> {
    match cache_dir {
        Some(dir) => {
            let hash = header_hash(path.as_os_str().as_bytes());
            vec![dir.join(format!("{hash:016x}.rcx"))]
        }
        None => {
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            name.push(".rcx");
            vec![path.with_file_name(name)]
        }
    }
}
