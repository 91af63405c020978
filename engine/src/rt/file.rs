//! Positioned reads of a file through the core's ring.

use glommio::io::BufferedFile;
pub use glommio::io::ReadResult as Block;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

/// An open file, read through io_uring and the page cache.
pub struct ReadFile {
    file: BufferedFile,
}

impl ReadFile {
    /// Take over an open file. Belongs to the calling core from then on.
    pub fn new(file: File) -> ReadFile {
        let fd = file.into_raw_fd();
        // SAFETY: ownership of `fd` passes from `file` to the new object.
        let file = unsafe { BufferedFile::from_raw_fd(fd) };
        ReadFile { file }
    }

    /// Up to `len` bytes at `pos`; shorter only at the end of the file.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn read_at(&self, pos: u64, len: usize) -> io::Result<Block> {
        self.file.read_at(pos, len).await.map_err(Into::into)
    }
}
