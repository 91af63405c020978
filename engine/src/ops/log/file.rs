//! A log file that is written in batches and set aside when its time is over.

use super::super::config::Rotate;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes that are gathered before a write.
const BATCH_BYTES: usize = 64 * 1024;
/// Files of one day and size limit; beyond this the last one goes on growing.
const PART_COUNT_MAX: u32 = 99_999;

/// How files are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `STEM_yyyymmdd.log` from the start; `STEM_yyyymmdd_n.log` once it was set aside for size.
    Dated,
    /// `STEM.log` while it is written, then `STEM_yyyymmdd.log`.
    Current,
}

/// What became of gathered lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    /// The last failure.
    pub(super) fault: Option<String>,
}

impl Written {
    /// Lines that could not be written to a place, and why.
    pub(super) fn lose(&mut self, lines: u64, place: &Path, error: &io::Error) {
        self.lost += lines;
        self.fault = Some(format!("{}: {error}", place.display()));
    }
}

/// See the module.
pub(super) struct LogFile {
    directory: PathBuf,
    stem: &'static str,
    naming: Naming,
    rotate: Rotate,
    max_size: u64,
    open: Option<Open>,
    buffer: Vec<u8>,
    lines: u64,
}

struct Open {
    file: File,
    path: PathBuf,
    /// Up to the end of the last whole batch.
    len: u64,
    /// Of the time when it was begun.
    stamp: String,
}

impl LogFile {
    pub(super) fn new(
        directory: PathBuf,
        stem: &'static str,
        naming: Naming,
        rotate: Rotate,
        max_size: u64,
    ) -> LogFile {
        LogFile {
            directory,
            stem,
            naming,
            rotate,
            max_size,
            open: None,
            buffer: Vec::new(),
            lines: 0,
        }
    }

    /// Makes sure that a file of the present period is open and has room for a line of that
    /// length; true if it was begun and needs its header.
    ///
    /// # Errors
    /// If it cannot be made; lines gathered before are written or counted as lost.
    pub(super) fn prepare(
        &mut self,
        line: usize,
        now_ms: u64,
        done: &mut Written,
    ) -> io::Result<bool> {
        let stamp = stamp(self.rotate, now_ms);
        if let Some(open) = &self.open {
            let full = open.len + (self.buffer.len() + line) as u64 > self.max_size;
            let over = self.rotate != Rotate::Size && open.stamp != stamp;
            let empty = open.len == 0 && self.buffer.is_empty();
            if !over && (!full || empty) {
                return Ok(false);
            }
            self.flush(done);
            self.set_aside(full && !over)?;
        }
        self.open(stamp)
    }

    /// Gathers a line with its end.
    pub(super) fn append(&mut self, line: &str, counts: bool, done: &mut Written) {
        self.buffer.extend_from_slice(line.as_bytes());
        self.lines += u64::from(counts);
        if self.buffer.len() >= BATCH_BYTES {
            self.flush(done);
        }
    }

    /// Writes what is gathered. After a failure the file ends where it ended before, so that no
    /// torn line stays, and the lines are lost.
    pub(super) fn flush(&mut self, done: &mut Written) {
        if self.buffer.is_empty() {
            return;
        }
        let wrote = match &mut self.open {
            Some(open) => open.file.write_all(&self.buffer).inspect_err(|_| {
                let _ = open.file.set_len(open.len);
            }),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match (wrote, &mut self.open) {
            (Ok(()), Some(open)) => {
                open.len += self.buffer.len() as u64;
                done.bytes += self.buffer.len() as u64;
                done.lines += self.lines;
            }
            (Err(e), _) => {
                done.lose(self.lines, &self.directory, &e);
                self.open = None;
            }
            (Ok(()), None) => {}
        }
        self.lines = 0;
        self.buffer.clear();
        if self.buffer.capacity() > 2 * BATCH_BYTES {
            self.buffer.shrink_to(BATCH_BYTES);
        }
    }

    /// Closes the file; the next line opens it again by name.
    pub(super) fn close(&mut self, done: &mut Written) {
        self.flush(done);
        self.open = None;
        self.buffer = Vec::new();
    }

    fn open(&mut self, stamp: String) -> io::Result<bool> {
        fs::create_dir_all(&self.directory)?;
        let path = match self.naming {
            Naming::Dated => self.directory.join(format!("{}_{stamp}.log", self.stem)),
            Naming::Current => self.directory.join(format!("{}.log", self.stem)),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let metadata = file.metadata()?;
        let mut open = Open {
            file,
            path,
            len: metadata.len(),
            stamp,
        };
        if open.len == 0 {
            self.open = Some(open);
            return Ok(true);
        }
        // Left by an earlier run, maybe in another period, maybe in the middle of a line.
        if self.naming == Naming::Current && self.rotate != Rotate::Size {
            let modified = metadata
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let modified = u64::try_from(modified.as_millis()).unwrap_or(0);
            let then = self::stamp(self.rotate, modified);
            if then != open.stamp {
                let now = std::mem::replace(&mut open.stamp, then);
                self.open = Some(open);
                self.set_aside(false)?;
                return self.open(now);
            }
        }
        if !ends_with_line_end(&open.path)? {
            open.file.write_all(b"\r\n")?;
            open.len += 2;
        }
        self.open = Some(open);
        Ok(false)
    }

    /// Closes the file and gives it the name under which it is kept.
    fn set_aside(&mut self, full: bool) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if self.naming == Naming::Dated && !full {
            return Ok(());
        }
        let plain = format!("{}_{}.log", self.stem, open.stamp);
        let numbered = |n| format!("{}_{}_{n}.log", self.stem, open.stamp);
        let plain = (self.naming == Naming::Current).then_some(plain);
        let mut names = plain.into_iter().chain((1..=PART_COUNT_MAX).map(numbered));
        let free = names.find(|name| !self.directory.join(name).exists());
        let Some(free) = free else {
            return Err(io::Error::other(
                "every name for a set-aside log file is taken",
            ));
        };
        fs::rename(&open.path, self.directory.join(free))
    }
}

/// Names the period that a time belongs to.
fn stamp(rotate: Rotate, unix_ms: u64) -> String {
    let (date, time) = protocols::wmlog::file::utc(unix_ms / 1000);
    let mut stamp = date.replace('-', "");
    if rotate == Rotate::Hour {
        stamp.push_str(time.get(..2).unwrap_or_default());
    }
    stamp
}

fn ends_with_line_end(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
