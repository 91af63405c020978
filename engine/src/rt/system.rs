//! Small questions to the system.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// CPUs that this process may use, ascending; never empty.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits; zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: passes a valid set with its size.
    let got = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the index is below CPU_SETSIZE.
        .filter(|cpu| got == 0 && unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Give the calling thread the lowest ordinary priority.
pub fn lowest_priority() {
    // SAFETY: affects the calling thread's own scheduling only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Open a file for reading, resolved beneath a directory: nothing on the way leads out of it.
///
/// # Errors
/// `EXDEV` if something did; otherwise as `open`.
pub fn open_beneath(directory: &OwnedFd, relative: &CStr) -> io::Result<File> {
    // SAFETY: open_how is plain integers; all zero is its documented default.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the pointers are to a live C string and a live open_how of the given size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            relative.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and has no other owner.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}

/// The system's host name.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is writable for the length given.
    let got = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let len = name.iter().position(|b| *b == 0).unwrap_or(0);
    match std::str::from_utf8(&name[..len]) {
        Ok(name) if got == 0 && !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// Bytes from the system's random number generator.
///
/// # Errors
/// When the system has none, which only happens early at boot.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0u8; 32];
    // SAFETY: the buffer is writable for the length given; 32 bytes come whole or not at all.
    let got = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
    if got == seed.len() as isize {
        Ok(seed)
    } else {
        Err(io::Error::last_os_error())
    }
}
