//! Memory mapped twice in a row, so that any run of up to its size is contiguous.
//!
//! # Invariant
//! `base .. base + 2 * size` is mapped readable and writable for the life of the object, and the
//! second half maps the same pages as the first. All access goes through `&self` / `&mut self`
//! on the one core that owns it.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// See the module.
pub struct Mirror {
    base: NonNull<u8>,
    size: NonZeroUsize,
}

impl Mirror {
    /// Map at least `size_min` bytes; the size is rounded up to a power of two of whole pages.
    ///
    /// # Errors
    /// When memory or address space is short.
    pub fn new(size_min: usize) -> io::Result<Mirror> {
        let size = size_min.max(1 << 16).next_power_of_two();
        // SAFETY: the name is a NUL-terminated constant; the result is checked.
        let fd = unsafe { libc::memfd_create(c"ringcast-ring".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just created and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: plain system call on our descriptor.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: reserves fresh address space; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size * 2,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mirror = Mirror {
            base: NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?,
            size: NonZeroUsize::new(size).ok_or_else(|| io::Error::other("empty ring"))?,
        };
        for half in 0..2 {
            // SAFETY: replaces part of the reservation made above, which nobody else uses.
            let mapped = unsafe {
                libc::mmap(
                    base.byte_add(half * size),
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_FIXED,
                    fd.as_raw_fd(),
                    0,
                )
            };
            if mapped == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(mirror)
    }

    /// Size of one copy, bytes; a power of two.
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// `len` bytes from position `pos`, which is taken modulo the size.
    ///
    /// # Panics
    /// If `len` exceeds the size.
    pub fn slice_mut(&mut self, pos: u64, len: usize) -> &mut [u8] {
        assert!(len <= self.size(), "run longer than the ring");
        let offset = (pos % self.size() as u64) as usize;
        // SAFETY: offset < size and len <= size, so the range lies inside the double mapping, and
        // `&mut self` excludes any other reference into it (both halves alias, but only one
        // slice exists at a time).
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), len) }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no slice can outlive `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size() * 2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_across_the_end_is_contiguous_and_aliases_the_start() {
        let mut mirror = Mirror::new(1).unwrap();
        let size = mirror.size();
        assert_eq!(size, 1 << 16);
        let run: Vec<u8> = (0..100).collect();
        mirror
            .slice_mut(size as u64 - 40, 100)
            .copy_from_slice(&run);
        assert_eq!(mirror.slice_mut(0, 60), &run[40..]);
        assert_eq!(mirror.slice_mut(size as u64 * 7 - 40, 100), &run[..]);
        mirror.slice_mut(5, 1)[0] = 200;
        assert_eq!(mirror.slice_mut(size as u64 - 40, 100)[45], 200);
    }

    #[test]
    fn a_whole_turn_may_start_anywhere() {
        let mut mirror = Mirror::new(100_000).unwrap();
        let size = mirror.size();
        assert_eq!(size, 1 << 17);
        assert_eq!(mirror.slice_mut(size as u64 - 1, size).len(), size);
    }

    #[test]
    #[should_panic(expected = "run longer than the ring")]
    fn more_than_a_turn_is_refused() {
        let mut mirror = Mirror::new(1).unwrap();
        let size = mirror.size();
        mirror.slice_mut(0, size + 1);
    }
}
