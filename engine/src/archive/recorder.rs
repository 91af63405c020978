//! What the writer knows of one point: the entry that is recorded, and the file it goes to.

use super::Lane;
use super::file::RecordingFile;
use super::finish::Finisher;
use crate::ops::sys;
use crate::points::{Batch, LiveHead};
use protocols::asf::digest::starts_key;
use protocols::asf::recording::same_streams;
use protocols::content::Selection;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How soon recording is tried again after a failure.
const RETRY: Duration = Duration::from_secs(30);

/// A file without a key frame may grow beyond its size limit by this factor; then it ends all the
/// same, and the next one waits for a key frame.
const OVERSIZE: u64 = 2;

/// See the module.
pub(super) struct Recorder {
    pub(super) lane: Arc<Lane>,
    head: Arc<LiveHead>,
    state: State,
    /// Packets are missing before the next one.
    gap: bool,
    /// Second since 1970 in which the latest file was begun, and which one of that second it was: a
    /// name is not used again when its file is removed.
    latest: (u64, u32),
}

enum State {
    /// For a key frame.
    Waiting,
    Recording(Box<RecordingFile>),
    /// Recording failed and is tried again then.
    Failed(Instant),
}

impl Recorder {
    pub(super) fn new(lane: Arc<Lane>, head: Arc<LiveHead>) -> Recorder {
        Recorder {
            lane,
            head,
            state: State::Waiting,
            gap: false,
            latest: (0, 0),
        }
    }

    /// Another entry begins: in the same file if its streams are the same.
    pub(super) fn begin(&mut self, head: Arc<LiveHead>, finisher: &Finisher) {
        if same_streams(&self.head.blob, &head.blob) {
            if let State::Recording(file) = &mut self.state {
                file.begin_entry();
                self.gap = true;
            }
        } else {
            self.close(finisher);
        }
        self.head = head;
    }

    /// Record packets.
    pub(super) fn take(&mut self, batch: &Batch, gap: bool, finisher: &Finisher) {
        if gap {
            self.gap = true;
            let dropped = self.lane.counters.dropped.get();
            tracing::warn!(
                point = &*self.lane.point,
                dropped,
                "the archive is too slow: packets were not recorded"
            );
        }
        if let State::Failed(until) = self.state {
            if Instant::now() < until {
                let missed = batch.iter().count() as u64;
                return self.lane.counters.missed.add(missed);
            }
            self.state = State::Waiting;
        }
        for (at, (_, bytes)) in batch.iter().enumerate() {
            if let Err(error) = self.packet(bytes, finisher) {
                // Where a file is open, this packet counts as one that was not written to it.
                let with_it = usize::from(!matches!(self.state, State::Recording(_)));
                let left = batch.iter().count() - at - 1 + with_it;
                self.lane.counters.missed.add(left as u64);
                return self.fail(&error.to_string(), finisher);
            }
        }
        let State::Recording(file) = &mut self.state else {
            return;
        };
        match file.flush() {
            Ok(bytes) => {
                let counters = &self.lane.counters;
                counters.bytes.add(bytes);
                counters.file_bytes.set(file.size());
                counters.recover();
            }
            Err(error) => self.fail(&error.to_string(), finisher),
        }
    }

    fn packet(&mut self, bytes: &[u8], finisher: &Finisher) -> io::Result<()> {
        let (full, oversize) = match &self.state {
            State::Recording(file) => {
                let config = &self.lane.config;
                let size = file.size() + u64::from(self.head.header.packet_size());
                let span = u128::from(file.duration_ms());
                let long = span >= config.max_duration.get().as_millis();
                let max = config.max_size.bytes();
                (long || size > max, size > max.saturating_mul(OVERSIZE))
            }
            _ => (true, false),
        };
        if full || self.gap {
            let key = self.starts_key(bytes);
            if oversize && !key {
                self.close(finisher);
            }
            if !key && (self.gap || oversize || matches!(self.state, State::Waiting)) {
                if self.gap {
                    self.lane.counters.missed.inc();
                }
                return Ok(());
            }
            if key {
                self.gap = false;
                if full {
                    self.open(finisher)?;
                }
            }
        }
        match &mut self.state {
            State::Recording(file) => file.push(bytes),
            _ => Ok(()),
        }
    }

    /// Do what is due every now and then.
    pub(super) fn tick(&mut self, finisher: &Finisher) {
        let State::Recording(file) = &mut self.state else {
            return;
        };
        if let Err(error) = file.tell() {
            return self.fail(&error.to_string(), finisher);
        }
        if let Err(why) = self.room() {
            self.close(finisher);
            self.fail(&why.to_string(), finisher);
        }
    }

    /// The stream is over, or the server stops.
    pub(super) fn close(&mut self, finisher: &Finisher) {
        let state = std::mem::replace(&mut self.state, State::Waiting);
        let State::Recording(file) = state else {
            return;
        };
        self.lane.counters.set_file(None);
        let (file, path, done) = file.close();
        match done {
            Ok(bytes) => {
                self.lane.counters.bytes.add(bytes);
                tracing::info!(file = %path.display(), "recorded");
            }
            Err(error) => {
                self.lane
                    .counters
                    .fail(format!("{}: {error}", path.display()));
                tracing::error!(file = %path.display(), %error, "a recording lacks its end");
            }
        }
        finisher.finish(file, path, &self.lane);
    }

    fn open(&mut self, finisher: &Finisher) -> io::Result<()> {
        self.close(finisher);
        self.room()?;
        let file = RecordingFile::create(&self.lane, &self.head, &mut self.latest)?;
        tracing::info!(point = &*self.lane.point, file = %file.path.display(), "recording begins");
        let counters = &self.lane.counters;
        counters.files.inc();
        counters.file_bytes.set(file.size());
        counters.set_file(Some(file.path.display().to_string()));
        self.state = State::Recording(Box::new(file));
        Ok(())
    }

    /// Fails if the file system has less left than it has to keep.
    fn room(&self) -> io::Result<()> {
        let config = &self.lane.config;
        let free = sys::free_space(&config.directory);
        match free {
            Some(free) if free < config.free_space_floor.bytes() => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{free} bytes are left, less than archive.free_space_floor"),
            )),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, why: &str, finisher: &Finisher) {
        let state = std::mem::replace(&mut self.state, State::Failed(Instant::now() + RETRY));
        if let State::Recording(file) = state {
            let empty = file.is_empty();
            self.lane.counters.missed.add(file.unwritten());
            let (file, path) = file.abandon();
            if empty {
                let _ = std::fs::remove_file(&path);
            } else {
                finisher.finish(file, path, &self.lane);
            }
        }
        let directory = self.lane.config.directory.display();
        let point = &*self.lane.point;
        tracing::error!(point, %directory, "recording stops for {RETRY:?}: {why}");
        self.lane.counters.set_file(None);
        self.lane.counters.fail(format!("{directory}: {why}"));
    }

    fn starts_key(&self, bytes: &[u8]) -> bool {
        let size = self.head.header.packet_size();
        starts_key(bytes, size, Selection::ALL, &self.head.streams)
    }
}
