//! io_uring, limits of the process, CPUs, memory.

use super::Finding;
use crate::ops::config::{Config, Size};
use crate::ops::sys::{self, Limit};
use std::fs;
use std::io;
use std::path::Path;

/// The runtime refuses to start below this soft limit (engine.md 1.1).
const MEMORY_LOCK_BYTES_MIN: u64 = 512 * 1024;
/// Descriptors that are not sessions': rings, listeners, files, logs.
const DESCRIPTORS_RESERVED: u64 = 512;
/// Below this many descriptors only a test makes sense.
const DESCRIPTORS_MIN: u64 = 1024;

/// Whether a ring can be made at all.
pub(super) fn io_uring() -> Option<Finding> {
    match sys::probe_io_uring() {
        Ok(()) => None,
        Err(e) => {
            let disabled = read_number(Path::new("/proc/sys/kernel/io_uring_disabled"));
            Some(explain_io_uring(&e, disabled, &kernel_release()))
        }
    }
}

pub(super) fn explain_io_uring(error: &io::Error, disabled: Option<u64>, release: &str) -> Finding {
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some(level @ 1..)) => Finding::fatal(
            format!(
                "io_uring is switched off on this machine (kernel.io_uring_disabled = {level})"
            ),
            if level == 1 {
                "run `sysctl kernel.io_uring_disabled=0`, or put the service's group into kernel.io_uring_group"
            } else {
                "run `sysctl kernel.io_uring_disabled=0` and put it into /etc/sysctl.d/"
            },
        ),
        (Some(libc::EPERM | libc::EACCES), _) => Finding::fatal(
            "io_uring is forbidden to this process, most likely by a container's seccomp profile",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile \
             (docker: see deploy/Containerfile; systemd: SystemCallFilter=@system-service)",
        ),
        (Some(libc::ENOSYS), _) => Finding::fatal(
            format!("io_uring is not there (kernel {release})"),
            "use Linux 5.8 or newer with CONFIG_IO_URING; in a container, allow io_uring in its seccomp profile",
        ),
        (Some(libc::ENOMEM), _) => Finding::fatal(
            "io_uring may not lock memory",
            "raise the limit on locked memory (systemd: LimitMEMLOCK=64M; shell: ulimit -l 65536)",
        ),
        _ => Finding::fatal(
            format!("io_uring does not work: {error}"),
            "see `dmesg`, and whether other programs can use io_uring",
        ),
    }
}

/// Whether enough memory may be locked; raises the soft limit if asked to.
pub(super) fn memory_lock(raise: bool) -> Option<Finding> {
    let limit = Limit::MemoryLock;
    let (soft, hard) = if raise { limit.raise()? } else { limit.get()? };
    judge_memory_lock(soft, hard, raise)
}

pub(super) fn judge_memory_lock(soft: u64, hard: u64, raise: bool) -> Option<Finding> {
    let enough = soft >= MEMORY_LOCK_BYTES_MIN || (!raise && hard >= MEMORY_LOCK_BYTES_MIN);
    (!enough).then(|| {
        Finding::fatal(
            format!(
                "the process may lock only {} of memory; {} are needed",
                Size(soft),
                Size(MEMORY_LOCK_BYTES_MIN)
            ),
            "raise the limit (systemd: LimitMEMLOCK=64M; docker: --ulimit memlock=67108864; \
             shell: ulimit -l 65536; else /etc/security/limits.conf)",
        )
    })
}

/// How many descriptors there may be, and whether they suffice.
pub(super) fn descriptors(config: &Config, raise: bool) -> (u64, Option<Finding>) {
    let limit = Limit::Descriptors;
    // A start would raise the soft limit.
    let usable = if raise {
        limit.raise().map(|l| l.0)
    } else {
        limit.get().map(|l| l.1)
    };
    let Some(usable) = usable else {
        return (0, None);
    };
    (
        usable,
        judge_descriptors(usable, config.limits.player_connections),
    )
}

/// Connections that a number of descriptors suffices for.
pub(super) fn connection_limit(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_RESERVED)
}

pub(super) fn judge_descriptors(usable: u64, wanted: u32) -> Option<Finding> {
    let sessions = connection_limit(usable);
    let mend = format!(
        "raise the limit on open files (systemd: LimitNOFILE={}; docker: --ulimit nofile=N; shell: ulimit -n N)",
        u64::from(wanted) * 2
    );
    if usable < DESCRIPTORS_MIN {
        let what =
            format!("the process may open only {usable} files; {DESCRIPTORS_MIN} are the least");
        return Some(Finding::fatal(what, mend));
    }
    (sessions < u64::from(wanted)).then(|| {
        Finding::warning(
            format!(
                "the process may open {usable} files, enough for {sessions} connections; \
                 limits.player_connections is {wanted}"
            ),
            mend,
        )
    })
}

/// The CPUs that the cores are pinned to.
pub(super) fn cpus(config: &Config) -> (Vec<usize>, Option<Finding>) {
    let allowed = allowed_cpus();
    choose_cpus(&allowed, config.server.cores, config.server.cpus.as_deref())
}

pub(super) fn choose_cpus(
    allowed: &[usize],
    cores: Option<usize>,
    named: Option<&[usize]>,
) -> (Vec<usize>, Option<Finding>) {
    if let Some(named) = named {
        let missing = named.iter().find(|cpu| !allowed.contains(cpu));
        let finding = missing.map(|cpu| {
            Finding::fatal(
                format!("server.cpus names CPU {cpu}, which this process may not use"),
                format!("choose from {}", list(allowed)),
            )
        });
        return (named.to_vec(), finding);
    }
    let cores = cores.unwrap_or(allowed.len()).max(1);
    let chosen: Vec<usize> = allowed.iter().copied().take(cores).collect();
    let finding = (chosen.len() < cores).then(|| {
        Finding::fatal(
            format!(
                "server.cores is {cores}, but the process may use {} CPUs",
                allowed.len()
            ),
            "lower it, or give the process more CPUs (cpuset, CPUAffinity)",
        )
    });
    (chosen, finding)
}

/// Whether the memory that the configuration allows is there.
pub(super) fn memory(config: &Config) -> Option<Finding> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let total: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    let group = read_number(Path::new("/sys/fs/cgroup/memory.max")).unwrap_or(u64::MAX);
    let total = (total << 10).min(group);
    let wanted = config.limits.memory.bytes();
    (wanted > total / 10 * 9).then(|| {
        Finding::warning(
            format!(
                "limits.memory is {}, but there are only {} MiB",
                config.limits.memory,
                total >> 20
            ),
            "lower it: sessions and the page cache need room too",
        )
    })
}

fn allowed_cpus() -> Vec<usize> {
    sys::allowed_cpus().unwrap_or_else(|| {
        let count = std::thread::available_parallelism();
        (0..count.map_or(1, usize::from)).collect()
    })
}

fn list(numbers: &[usize]) -> String {
    let shown: Vec<String> = numbers.iter().map(usize::to_string).collect();
    shown.join(", ")
}

fn kernel_release() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease");
    text.map_or("unknown".into(), |t| t.trim().to_owned())
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
