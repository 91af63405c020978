//! Our own index of key frames for each file: built once, kept beside the content or in a cache
//! directory, built in the background when the file is large.

use crate::rt;
use protocols::asf::index::{Stamp, header_hash};
use protocols::asf::{Header, Indexer, KeyIndex};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};

/// Files up to this size are indexed while they are opened.
const INLINE_BYTES_MAX: u64 = 8 << 20;

/// Files that wait for the background indexer; more are served without an index, by bisection.
const QUEUE_COUNT_MAX: usize = 1024;

/// An index file larger than this is not read.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// The indexer. One per server; cheap to clone.
#[derive(Clone)]
pub struct Indexing {
    cache_dir: Option<PathBuf>,
    queue: mpsc::SyncSender<Job>,
}

struct Job {
    file: File,
    path: PathBuf,
    blob_len: u64,
    header: Header,
    stamp: Stamp,
    into: Arc<OnceLock<KeyIndex>>,
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
        };
        let keeper = indexing.cache_dir.clone();
        std::thread::Builder::new()
            .name("indexer".into())
            .spawn(move || {
                rt::lowest_priority();
                for job in jobs {
                    work(&job, keeper.as_deref());
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
        blob_len: u64,
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
        let job = Job {
            file,
            path: path.to_path_buf(),
            blob_len,
            header: header.clone(),
            stamp,
            into: Arc::clone(&into),
        };
        if job.stamp.file_size <= INLINE_BYTES_MAX {
            work(&job, self.cache_dir.as_deref());
        } else if self.queue.try_send(job).is_err() {
            tracing::warn!(file = %path.display(), "too many files wait for an index; seeking by bisection");
        }
        into
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

fn work(job: &Job, cache_dir: Option<&Path>) {
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

fn build(job: &Job) -> Option<KeyIndex> {
    let size = job.header.packet_size() as usize;
    let mut indexer = Indexer::new(&job.header);
    let per_read = (super::file::CHUNK_BYTES / size).max(1);
    let mut buffer = vec![0u8; per_read * size];
    let mut number = 0u64;
    while number < job.stamp.data_packets {
        let count = per_read.min((job.stamp.data_packets - number) as usize);
        let run = &mut buffer[..count * size];
        if let Err(error) = job
            .file
            .read_exact_at(run, job.blob_len + number * size as u64)
        {
            tracing::warn!(file = %job.path.display(), %error, "cannot be indexed");
            return None;
        }
        for packet in run.chunks_exact(size) {
            // A damaged packet is counted by the indexer and left out.
            let _ = indexer.packet(number as u32, packet);
            number += 1;
        }
    }
    Some(indexer.finish())
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
