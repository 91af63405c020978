//! The few system calls that the standard library does not offer, each wrapped so that its callers
//! need no `unsafe`.
//!
//! Invariant of all of them: every pointer that is handed to the kernel is to a local or borrowed
//! value of the size that the call expects, and the kernel keeps none of them after the call.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Kernel id of the calling thread; 0 if there is none.
pub(super) fn thread_id() -> u32 {
    // SAFETY: gettid takes no arguments and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    u32::try_from(id).unwrap_or(0)
}

/// Bytes of a page of memory.
pub(super) fn page_bytes() -> Option<u64> {
    sysconf(libc::_SC_PAGESIZE)
}

/// Units of CPU time in `/proc/PID/stat` per second.
pub(super) fn clock_ticks() -> Option<u64> {
    sysconf(libc::_SC_CLK_TCK)
}

fn sysconf(name: libc::c_int) -> Option<u64> {
    // SAFETY: sysconf reads a constant of the system.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|&n| n > 0)
}

/// A limit of the process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Open files.
    Descriptors,
    /// Bytes of memory that may be locked.
    MemoryLock,
}

impl Limit {
    fn resource(self) -> libc::__rlimit_resource_t {
        match self {
            Limit::Descriptors => libc::RLIMIT_NOFILE,
            Limit::MemoryLock => libc::RLIMIT_MEMLOCK,
        }
    }

    /// Soft and hard.
    pub(super) fn get(self) -> Option<(u64, u64)> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: see the module.
        let done = unsafe { libc::getrlimit(self.resource(), &mut limit) };
        (done == 0).then_some((limit.rlim_cur, limit.rlim_max))
    }

    /// Raises the soft limit to the hard one.
    pub(super) fn raise(self) -> Option<(u64, u64)> {
        let (soft, hard) = self.get()?;
        let limit = libc::rlimit {
            rlim_cur: hard,
            rlim_max: hard,
        };
        // SAFETY: see the module.
        let done = soft < hard && unsafe { libc::setrlimit(self.resource(), &limit) } == 0;
        Some((if done { hard } else { soft }, hard))
    }
}

/// Makes an io_uring of the smallest size, and closes it.
pub(super) fn probe_io_uring() -> io::Result<()> {
    // struct io_uring_params is 120 bytes of integers; all zero asks for defaults.
    let mut params = [0u64; 15];
    // SAFETY: `params` has the size and alignment of the structure that the kernel fills.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Ok(fd) = libc::c_int::try_from(fd) {
        // SAFETY: the descriptor was made above and is nobody else's.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// CPUs that the process may use.
pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    let size = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: cpu_set_t is a bit field, for which all zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: see the module.
    if unsafe { libc::sched_getaffinity(0, size, &mut set) } != 0 {
        return None;
    }
    // SAFETY: every number is below the size of the set in bits.
    let allowed = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
    Some((0..size * 8).filter(allowed).collect())
}

/// Bytes that an ordinary user may still write to the file system of a path.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs is a plain structure of integers, for which all zero is a value.
    let mut facts: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: `path` ends with NUL; see the module.
    let done = unsafe { libc::statvfs(path.as_ptr(), &mut facts) };
    (done == 0).then(|| facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Whether files may be made in a directory, with the rights that writing will use.
pub(super) fn may_write(directory: &Path) -> io::Result<()> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let mode = libc::W_OK | libc::X_OK;
    // SAFETY: `path` ends with NUL; see the module.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a FIFO.
#[cfg(test)]
pub(super) fn make_fifo(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` ends with NUL; see the module.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
