//! Plain non-blocking socket calls on raw descriptors: what the media plane does all day.

use std::io;
use std::net::Shutdown;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Outcome of [`send`].
#[derive(Debug)]
pub enum Sent {
    /// So many bytes were taken, at least one.
    Bytes(usize),
    /// The socket's buffer is full.
    Full,
    /// The connection is dead.
    Dead(io::Error),
}

/// One non-blocking send.
pub fn send(fd: RawFd, bytes: &[u8]) -> Sent {
    loop {
        // SAFETY: the pointer and length are those of a live slice; a stale `fd` cannot occur
        // because a connection's entry is removed before its descriptor is closed.
        let n = unsafe {
            libc::send(
                fd,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if n > 0 {
            return Sent::Bytes(n as usize);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Sent::Full,
            io::ErrorKind::Interrupted => {}
            _ => return Sent::Dead(error),
        }
    }
}

/// Shut one or both directions down; errors mean that it is already gone.
pub fn shut_down(fd: RawFd, how: Shutdown) {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no pointers; see `send` for the descriptor.
    unsafe { libc::shutdown(fd, how) };
}

/// Bound the kernel's send buffer, bytes of payload. The kernel doubles the figure for its
/// bookkeeping and stops autotuning.
pub fn set_send_buffer(fd: RawFd, bytes: u32) {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    // Without it the kernel keeps the buffer that it has.
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, value);
}

/// Give a connection up when what was sent to it stays unacknowledged for so long.
pub fn set_user_timeout(fd: RawFd, timeout: Duration) {
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // The connection is served without it too.
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms);
}

/// Set a socket option that is a number.
pub(super) fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: passes a pointer to a live i32 with its size.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Read a socket option that is a number.
pub(super) fn get_option(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: i32 = 0;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: passes pointers to a live i32 and to its size.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes that the kernel holds unsent or unacknowledged.
pub fn queued_bytes(fd: RawFd) -> usize {
    let mut queued: libc::c_int = 0;
    // SAFETY: TIOCOUTQ writes one int to the given pointer.
    unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut queued) };
    usize::try_from(queued).unwrap_or(0)
}

/// A second descriptor for the same socket, to carry it to another core.
///
/// # Errors
/// When the process has no descriptor left.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain system call; the result is checked.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `copy` was just created and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// CPU time that the calling thread has used, microseconds.
pub fn thread_cpu_time() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid, writable timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut ts) };
    ts.tv_sec as u64 * 1_000_000 + ts.tv_nsec as u64 / 1000
}
