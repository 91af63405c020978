//! Counters of recordings.

use super::Counter;
use super::{Gauge, lock};
use serde::Serialize;
use std::sync::Mutex;

/// Of one point's recordings.
#[derive(Debug, Default)]
pub struct ArchiveCounters {
    /// Packets dropped because too much waited for the disk. Written by the point's home core, all
    /// others by the archive's threads.
    pub dropped: Counter,
    /// Packets left out because writing failed, or because they followed dropped ones and preceded a
    /// key frame.
    pub missed: Counter,
    /// Bytes written.
    pub bytes: Counter,
    /// Files begun.
    pub files: Counter,
    /// Size of the file that is written, or was written last.
    pub file_bytes: Gauge,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    file: Option<String>,
    error: Option<String>,
    errors: u64,
}

/// [`ArchiveCounters`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ArchiveTotals {
    /// The file that is written, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its size, or that of the last one.
    pub file_bytes: u64,
    /// Why nothing is recorded, if something failed; gone once recording works again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Failures.
    pub errors: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Packets that were not recorded.
    pub dropped: u64,
}

impl ArchiveCounters {
    /// Count a failure.
    pub fn fail(&self, why: String) {
        let mut now = lock(&self.now);
        now.error = Some(why);
        now.errors += 1;
    }

    /// Recording works.
    pub fn recover(&self) {
        lock(&self.now).error = None;
    }

    /// Which file is written.
    pub fn set_file(&self, file: Option<String>) {
        lock(&self.now).file = file;
    }

    /// All of it.
    pub fn totals(&self) -> ArchiveTotals {
        let now = lock(&self.now);
        ArchiveTotals {
            file: now.file.clone(),
            file_bytes: self.file_bytes.get(),
            error: now.error.clone(),
            errors: now.errors,
            bytes: self.bytes.get(),
            files: self.files.get(),
            dropped: self.dropped.get() + self.missed.get(),
        }
    }
}
