//! Waking a sleeping core from another thread: an eventfd that the core reads through its ring.
//!
//! Only control messages ring it; media lanes are polled by the tick.

use glommio::io::BufferedFile;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

/// The sleeping side. Belongs to one core.
pub struct Doorbell {
    file: BufferedFile,
}

/// The ringing side, for any thread.
#[derive(Clone)]
pub struct DoorbellHandle {
    fd: Arc<OwnedFd>,
}

impl DoorbellHandle {
    /// A new bell; [`DoorbellHandle::listen`] on the core makes its other side.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<DoorbellHandle> {
        // SAFETY: no pointers involved; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just created and is owned by nobody else.
        let fd = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(DoorbellHandle { fd })
    }

    /// The listening side. Call on the core that sleeps, once.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn listen(&self) -> io::Result<Doorbell> {
        let fd = self.fd.try_clone()?.into_raw_fd();
        // SAFETY: `fd` is a fresh duplicate whose ownership passes to the file.
        let file = unsafe { BufferedFile::from_raw_fd(fd) };
        Ok(Doorbell { file })
    }

    /// Ring. Never blocks: the counter of an eventfd cannot be filled by single rings.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live array to an eventfd we own.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl Doorbell {
    /// Wait for a ring; rings since the last call count.
    ///
    /// # Errors
    /// When the read fails, which only happens while the executor is torn down.
    pub async fn wait(&self) -> io::Result<()> {
        self.file
            .read_at(0, 8)
            .await
            .map(|_| ())
            .map_err(Into::into)
    }
}
