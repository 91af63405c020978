//! What the kernel says about this process. Missing figures are left out, never made up.

use crate::ops::sys::{self, Limit};
use std::fs;

/// Resident memory, bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * sys::page_bytes()?)
}

/// CPU time of the whole process, seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    cpu_of_stat("/proc/self/stat")
}

/// CPU time of one thread, seconds. Nanoseconds where the kernel keeps them.
pub(super) fn thread_cpu_seconds(thread: u32) -> Option<f64> {
    let schedstat = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
    let nanos = schedstat
        .ok()
        .and_then(|s| s.split(' ').next()?.parse::<u64>().ok());
    match nanos {
        Some(nanos) => Some(nanos as f64 / 1e9),
        None => cpu_of_stat(&format!("/proc/self/task/{thread}/stat")),
    }
}

/// Open file descriptors, and how many there may be.
pub(super) fn descriptors() -> Option<(u64, u64)> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let (limit, _) = Limit::Descriptors.get()?;
    Some((open.saturating_sub(1), limit))
}

fn cpu_of_stat(path: &str) -> Option<f64> {
    let stat = fs::read_to_string(path).ok()?;
    // The name in parentheses may contain spaces; fields are counted after it.
    let after = stat.get(stat.rfind(')')? + 2..)?;
    let mut fields = after.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / sys::clock_ticks()? as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_process_has_memory_time_and_descriptors() {
        let resident = super::resident_bytes().expect("statm");
        assert!(resident > 100_000, "{resident} bytes resident");
        let before = super::thread_cpu_seconds(crate::ops::sys::thread_id()).expect("own thread");
        let mut x = 1u64;
        while super::thread_cpu_seconds(crate::ops::sys::thread_id()).expect("own thread") <= before
        {
            x = x.wrapping_mul(3);
        }
        assert!(super::cpu_seconds().expect("stat") >= 0.0, "{x}");
        let (open, limit) = super::descriptors().expect("fds");
        assert!(open >= 3 && open <= limit, "{open} of {limit}");
    }
}
