//! Telling the processor what is needed soon. At thousands of sessions each one's state has left the
//! caches by its next turn, and waiting for it costs more than all that is done with it.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Begin to load a value. Has no effect but on speed, and none on processors without the means.
#[inline]
pub fn prefetch<T: ?Sized>(value: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..bytes.div_ceil(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = value.cast::<i8>().wrapping_add(line * LINE);
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { _mm_prefetch(at, _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value.cast::<u8>(), bytes, LINE);
}
