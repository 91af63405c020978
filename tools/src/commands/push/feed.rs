//! What is pushed: files at their real rate, or standard input as it comes.

use super::files::Files;
use super::live::Live;
use super::reader::Piece;
use crate::driver::Nudger;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How late something may leave before the session is given up: the server does not take it.
pub const LATE_MAX: Duration = Duration::from_secs(10);

/// What is to be done.
pub enum Next {
    /// Push this now.
    Give(Piece),
    /// Nothing until then, or until something comes.
    Wait(Option<Instant>),
    /// What should have left long ago has not.
    Late,
    /// All has been given.
    End,
}

/// See the module.
pub enum Feed {
    /// Files.
    Files(Box<Files>),
    /// Standard input.
    Live(Live),
}

/// Packets that were not pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// They came, or were due, while there was no session.
    pub skipped: u64,
    /// They cannot be read.
    pub damaged: u64,
}

impl Feed {
    /// Of these files; `-` alone is standard input.
    ///
    /// # Errors
    /// If one of them cannot be read or is none.
    pub fn open(paths: &[PathBuf], repeat: bool) -> Result<Feed, String> {
        let is_input = |p: &PathBuf| p == Path::new("-");
        if !paths.iter().any(is_input) {
            return Files::open(paths, repeat).map(|f| Feed::Files(Box::new(f)));
        }
        if paths.len() > 1 || repeat {
            return Err("standard input (-) goes alone and once".to_owned());
        }
        Live::start(std::io::stdin()).map(Feed::Live)
    }

    /// Waits until it is known what is pushed; false if it is not by then.
    pub fn wait(&self, patience: Duration) -> bool {
        match self {
            Feed::Files(_) => true,
            Feed::Live(live) => live.wait(patience),
        }
    }

    /// Whom to tell when something comes.
    pub fn tell(&mut self, nudger: Nudger) {
        if let Feed::Live(live) = self {
            live.tell(nudger);
        }
    }

    /// A session begins; the header that it begins with, unless that is what comes next.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn begin(&mut self, now: Instant) -> Result<Option<Bytes>, String> {
        match self {
            Feed::Files(files) => files.begin(now),
            Feed::Live(live) => Ok(live.begin()),
        }
    }

    /// There is no session for now.
    pub fn pause(&mut self) {
        if let Feed::Live(live) = self {
            live.pause();
        }
    }

    /// True if there is nothing left that a session could push.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn is_over(&mut self, now: Instant) -> Result<bool, String> {
        match self {
            Feed::Files(files) => files.skip(now),
            Feed::Live(live) => live.is_over(),
        }
    }

    /// What is to be done now.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn next(&mut self, now: Instant) -> Result<Next, String> {
        match self {
            Feed::Files(files) => files.next(now),
            Feed::Live(live) => live.next(),
        }
    }

    /// What was not pushed so far, beside what the session says.
    pub fn lost(&self) -> Lost {
        match self {
            Feed::Files(files) => Lost {
                skipped: files.skipped,
                damaged: files.damaged,
            },
            Feed::Live(live) => Lost {
                skipped: live.dropped(),
                damaged: 0,
            },
        }
    }

    /// What the user must know and was not told yet.
    pub fn take_warnings(&mut self) -> Vec<String> {
        match self {
            Feed::Files(files) => std::mem::take(&mut files.warnings),
            Feed::Live(live) => live.take_warnings(),
        }
    }
}
