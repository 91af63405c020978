//! Recording: what a live stream's home makes, written to ASF files that can be played at any
//! moment, also while they grow.
//!
//! A [`Tap`] on the home core hands batches on, uncopied, through a bounded queue to one thread that
//! writes the files of all points. The core never waits: a batch that finds the queue full, or too
//! much of its own point in it, is dropped, and recording goes on at the next key frame.
//!
//! # Invariants
//! - Packets are written before the header tells of them, so what the header tells is always there.
//! - A file that grows has an exclusive lock (`flock`), which also a crash takes away: who finds a
//!   file locked knows that more may come.
//! - Only whole packets that were written are ever told of; after a failed write the file ends where
//!   it ended before.

mod file;
mod finish;
mod name;
mod recorder;
mod tap;
mod writer;

use crate::ops::config::ArchiveConfig;
use crate::ops::metrics::{ArchiveCounters, Metrics};
use crate::points::{Batch, LiveHead, Tap};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Batches of all points that may wait.
const QUEUE_COUNT_MAX: usize = 4096;

/// Bytes of one point that may wait.
const QUEUE_BYTES_MAX: u64 = 32 << 20;

/// How long a stop waits for a disk that does not take what is left.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// What a tap tells the writer.
enum Job {
    /// An entry begins.
    Begin(Arc<Lane>, Arc<LiveHead>),
    /// Packets of it.
    Take {
        lane: u64,
        batch: Arc<Batch>,
        /// Batches before it were dropped.
        gap: bool,
    },
    /// The stream ended.
    End(u64),
    /// The server stops.
    Stop,
}

/// What the tap of a point and the writer share.
struct Lane {
    id: u64,
    point: Arc<str>,
    config: ArchiveConfig,
    counters: Arc<ArchiveCounters>,
    /// Bytes of its batches that wait.
    queued: AtomicU64,
    /// Gone with the tap.
    alive: Weak<()>,
}

/// The writer's thread. Ends every file when dropped.
pub struct Archive {
    handle: ArchiveHandle,
    done: Receiver<()>,
}

/// Makes taps. Cheap to clone.
#[derive(Clone)]
pub struct ArchiveHandle {
    sender: Sender<Job>,
    metrics: Arc<Metrics>,
    next_lane: Arc<AtomicU64>,
}

impl Archive {
    /// Start the thread. It sleeps until something is recorded.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<Archive> {
        let (sender, jobs) = bounded(QUEUE_COUNT_MAX);
        let done = writer::start(jobs)?;
        Ok(Archive {
            handle: ArchiveHandle {
                sender,
                metrics,
                next_lane: Arc::default(),
            },
            done,
        })
    }

    /// Makes taps.
    pub fn handle(&self) -> ArchiveHandle {
        self.handle.clone()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let told = self.handle.sender.send_timeout(Job::Stop, STOP_WAIT);
        if told.is_err() || self.done.recv_timeout(STOP_WAIT).is_err() {
            tracing::error!("the archive's disk does not answer; recordings lack their end");
        }
    }
}

impl ArchiveHandle {
    /// A tap that records a point.
    pub fn tap(&self, point: &str, config: &ArchiveConfig) -> Box<dyn Tap> {
        let alive = Arc::new(());
        let lane = Arc::new(Lane {
            id: self.next_lane.fetch_add(1, Relaxed),
            point: point.into(),
            config: config.clone(),
            counters: self.metrics.archive(point),
            queued: AtomicU64::new(0),
            alive: Arc::downgrade(&alive),
        });
        Box::new(tap::ArchiveTap::new(lane, self.sender.clone(), alive))
    }
}
