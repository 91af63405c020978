//! What the kernel's files say about a process, a core and the network. Parsers are apart from
//! the files so that they can be tested.

use serde::Serialize;
use std::fs;

/// /proc counts CPU time for users in 1/100 s whatever the kernel's own tick is.
const USER_TICK_S: f64 = 0.01;

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// utime + stime of all its threads, also those that ended, s; 10 ms grain.
    pub stat_s: f64,
    /// Run time of the threads that live, s; ns grain.
    pub sched_s: f64,
    /// Voluntary context switches of the threads that live.
    pub voluntary: u64,
    /// Involuntary ones.
    pub involuntary: u64,
    /// Resident bytes.
    pub rss: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// Read one.
    pub fn read(pid: u32) -> Result<Process, String> {
        let read = |path: String| fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"));
        let stat = read(format!("/proc/{pid}/stat"))?;
        let status = read(format!("/proc/{pid}/status"))?;
        let mut p = Process {
            stat_s: stat_cpu_s(&stat).ok_or("bad /proc/PID/stat")?,
            rss: status_value(&status, "VmRSS").unwrap_or(0) * 1024,
            ..Process::default()
        };
        let tasks = format!("/proc/{pid}/task");
        for entry in fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))? {
            let Ok(entry) = entry else { continue };
            // A thread may end while we look.
            let text = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            p.sched_s += schedstat_s(&text("schedstat")).unwrap_or(0.0);
            let status = text("status");
            p.voluntary += status_value(&status, "voluntary_ctxt_switches").unwrap_or(0);
            p.involuntary += status_value(&status, "nonvoluntary_ctxt_switches").unwrap_or(0);
            p.threads += 1;
        }
        Ok(p)
    }

    /// CPU seconds between two moments: the finer source unless a thread ended in between, which
    /// takes its run time with it.
    pub fn cpu_s_since(&self, earlier: &Process) -> f64 {
        let fine = self.sched_s - earlier.sched_s;
        let coarse = self.stat_s - earlier.stat_s;
        if fine + 2.0 * USER_TICK_S < coarse {
            coarse
        } else {
            fine
        }
    }
}

/// Run time of the threads that do these cores' soft interrupts when there are too many to be done
/// on the way (`ksoftirqd/N`), s; 0 where they cannot be seen. Whatever is sent from a core is
/// received there on loopback, so this is work of the sender.
pub fn ksoftirqd_s(cpus: &[usize]) -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0.0;
    };
    processes
        .flatten()
        .filter_map(|p| {
            let name = fs::read_to_string(p.path().join("comm")).ok()?;
            let cpu = name.trim().strip_prefix("ksoftirqd/")?.parse().ok()?;
            let times = fs::read_to_string(p.path().join("schedstat")).ok()?;
            cpus.contains(&cpu).then(|| schedstat_s(&times))?
        })
        .sum()
}

/// (thread id, run time in s) of the threads of a process.
pub fn thread_times(pid: u32) -> Vec<(u32, f64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|t| {
            let tid = t.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(t.path().join("schedstat")).ok()?;
            Some((tid, schedstat_s(&text)?))
        })
        .collect()
}

fn stat_cpu_s(stat: &str) -> Option<f64> {
    // The name may contain anything, also ')'.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some((utime + stime) as f64 * USER_TICK_S)
}

fn schedstat_s(text: &str) -> Option<f64> {
    let ns: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(ns as f64 / 1e9)
}

/// A number after `name:` in a file of such lines (/proc/PID/status, /proc/meminfo).
fn status_value(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|v| v.split_whitespace().next()?.parse().ok())
}

/// Busy times of some cores, s since boot.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cores {
    /// All but idle and waiting for disks.
    pub busy_s: f64,
    /// Of that, soft interrupts.
    pub softirq_s: f64,
    /// Of that, taken by the hypervisor.
    pub steal_s: f64,
}

impl Cores {
    /// Read the sum over `cpus`.
    pub fn read(cpus: &[usize]) -> Result<Cores, String> {
        let text = fs::read_to_string("/proc/stat").map_err(|e| format!("/proc/stat: {e}"))?;
        Ok(cores(&text, cpus))
    }

    /// Difference.
    pub fn since(&self, earlier: &Cores) -> Cores {
        Cores {
            busy_s: self.busy_s - earlier.busy_s,
            softirq_s: self.softirq_s - earlier.softirq_s,
            steal_s: self.steal_s - earlier.steal_s,
        }
    }
}

fn cores(text: &str, cpus: &[usize]) -> Cores {
    let mut sum = Cores::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(cpu) = fields
            .next()
            .and_then(|n| n.strip_prefix("cpu")?.parse::<usize>().ok())
        else {
            continue;
        };
        if !cpus.contains(&cpu) {
            continue;
        }
        // user nice system idle iowait irq softirq steal
        let t: Vec<f64> = fields
            .map(|f| f.parse::<u64>().unwrap_or(0) as f64 * USER_TICK_S)
            .collect();
        let at = |i: usize| t.get(i).copied().unwrap_or(0.0);
        sum.busy_s += at(0) + at(1) + at(2) + at(5) + at(6) + at(7);
        sum.softirq_s += at(6);
        sum.steal_s += at(7);
    }
    sum
}

/// The kernel's memory that sessions may cost, bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KernelMemory {
    /// Socket buffers of TCP (page-wise).
    pub tcp_buffers: u64,
    /// Slab: sockets, inodes, files, buffer heads of all kinds.
    pub slab: u64,
}

impl KernelMemory {
    /// Read it. The whole machine's, so only differences in a quiet time mean something.
    pub fn read() -> KernelMemory {
        let net = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        KernelMemory {
            tcp_buffers: sockstat_tcp_pages(&net).unwrap_or(0) * 4096,
            slab: status_value(&memory, "Slab").unwrap_or(0) * 1024,
        }
    }

    /// Difference in bytes, both kinds.
    pub fn since(&self, earlier: &KernelMemory) -> i64 {
        (self.tcp_buffers + self.slab) as i64 - (earlier.tcp_buffers + earlier.slab) as i64
    }
}

fn sockstat_tcp_pages(text: &str) -> Option<u64> {
    let line = text.lines().find(|l| l.starts_with("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|&w| w == "mem")?;
    words.next()?.parse().ok()
}

/// Retransmitted TCP segments since boot, of the namespace.
pub fn retransmissions() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    snmp_value(&text, "Tcp:", "RetransSegs").unwrap_or(0)
}

/// Packets that came to a full queue of a core (`net.core.netdev_max_backlog`) since boot; loopback
/// passes through it.
pub fn queue_drops() -> u64 {
    softnet_drops(&fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default())
}

/// A line for each core, hexadecimal: packets, drops, ...
fn softnet_drops(text: &str) -> u64 {
    text.lines()
        .filter_map(|l| u64::from_str_radix(l.split_whitespace().nth(1)?, 16).ok())
        .sum()
}

fn snmp_value(text: &str, table: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|l| l.starts_with(table));
    let column = lines.next()?.split_whitespace().position(|w| w == name)?;
    lines.next()?.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_survives_a_hostile_process_name() {
        let stat = "77 (a) b) 1 2) S 1 77 77 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 9 1 1";
        assert_eq!(stat_cpu_s(stat), Some(3.0));
        assert_eq!(stat_cpu_s("77 (x) S 1"), None);
    }

    #[test]
    fn finer_source_unless_a_thread_ended() {
        let a = Process {
            stat_s: 10.0,
            sched_s: 10.0,
            ..Process::default()
        };
        let fine = Process {
            stat_s: 10.01,
            sched_s: 10.0145,
            ..Process::default()
        };
        assert!((fine.cpu_s_since(&a) - 0.0145).abs() < 1e-9);
        let ended = Process {
            stat_s: 12.0,
            sched_s: 4.0,
            ..Process::default()
        };
        assert!((ended.cpu_s_since(&a) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn lines_of_status_and_sockstat() {
        let status = "Name:\tx\nVmRSS:\t    3584 kB\nvoluntary_ctxt_switches:\t42\n\
                      nonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(status_value(status, "VmRSS"), Some(3584));
        assert_eq!(status_value(status, "voluntary_ctxt_switches"), Some(42));
        assert_eq!(status_value(status, "nonvoluntary_ctxt_switches"), Some(7));
        assert_eq!(status_value(status, "Vm"), None);
        let sockstat =
            "sockets: used 200\nTCP: inuse 5 orphan 0 tw 0 alloc 9 mem 12\nUDP: inuse 1 mem 3\n";
        assert_eq!(sockstat_tcp_pages(sockstat), Some(12));
        assert_eq!(schedstat_s("1500000000 84765 1\n"), Some(1.5));
    }

    #[test]
    fn own_threads_have_run_times() {
        let times = thread_times(std::process::id());
        assert!(times.iter().any(|(tid, _)| *tid == std::process::id()));
        let total = Process::read(std::process::id()).unwrap();
        assert!(total.rss > 0 && total.threads > 0);
    }

    #[test]
    fn core_times() {
        let text = "cpu  9 9 9 9 9 9 9 9\ncpu0 100 0 200 5000 10 1 40 5 0 0\ncpu1 1 0 0 9 0 0 0 0 0 0\nintr 1\n";
        let c = cores(text, &[0]);
        assert!((c.busy_s - 3.46).abs() < 1e-9, "{c:?}");
        assert!((c.softirq_s - 0.4).abs() < 1e-9);
        assert!((cores(text, &[0, 1]).busy_s - 3.47).abs() < 1e-9);
    }

    #[test]
    fn queue_drops_are_summed_over_cores() {
        let text = "0000f2a1 0000000a 00000000\n00000001 00000010 00000000\n";
        assert_eq!(softnet_drops(text), 26);
        assert_eq!(softnet_drops(""), 0);
    }

    #[test]
    fn snmp_columns_go_by_name() {
        let text = "Ip: A\nIp: 1\nTcp: InSegs RetransSegs\nTcp: 9 4\n";
        assert_eq!(snmp_value(text, "Tcp:", "RetransSegs"), Some(4));
        assert_eq!(snmp_value(text, "Udp:", "RetransSegs"), None);
    }
}
