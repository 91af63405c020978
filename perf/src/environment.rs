//! Facts about the machine that every result must be read with.

use crate::{probe, sys};
use serde::Serialize;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// The machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Environment {
    /// Kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs of the machine.
    pub cpus: usize,
    /// MTU of the loopback device.
    pub lo_mtu: u32,
    /// CPUs that take received packets of loopback, as a mask; 0: whoever sends pays the
    /// receiver's work too.
    pub lo_rps_cpus: String,
    /// Congestion control where a program chooses none.
    pub default_congestion: String,
    /// Descriptors that a process may have: about the number of sessions that can be held.
    pub descriptors: u64,
    /// Load average of the last minute before the run, as a warning of company.
    pub load: f64,
}

impl Environment {
    /// Look around. Raises the descriptor limit of this process on the way.
    pub fn read() -> Environment {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|l| l.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, m)| m);
        Environment {
            kernel: line("/proc/sys/kernel/osrelease"),
            cpu: model.to_string(),
            cpus: cpuinfo.matches("processor\t").count(),
            lo_mtu: line("/sys/class/net/lo/mtu").parse().unwrap_or(0),
            lo_rps_cpus: line("/sys/class/net/lo/queues/rx-0/rps_cpus"),
            default_congestion: line("/proc/sys/net/ipv4/tcp_congestion_control"),
            descriptors: sys::raise_descriptor_limit().unwrap_or(0),
            load: load_average(),
        }
    }

    /// Whether the receiver's work is charged to another core than the sender's.
    pub fn steering(&self) -> &'static str {
        if self.lo_rps_cpus.chars().all(|c| c == '0' || c == ',') {
            "no receive steering: the server's core pays for reception"
        } else {
            "receive steering: reception is charged to the swarm's core"
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let rps = if self.lo_rps_cpus.chars().all(|c| c == '0' || c == ',') {
            "off (the sender's core also pays for reception)".to_string()
        } else {
            format!("mask {} (reception is charged there)", self.lo_rps_cpus)
        };
        format!(
            "kernel {}, {} x {}\nlo: mtu {}, receive packet steering {rps}\n\
             congestion control by default {}, {} descriptors per process, load {:.2}\n",
            self.kernel,
            self.cpus,
            self.cpu,
            self.lo_mtu,
            self.default_congestion,
            self.descriptors,
            self.load
        )
    }
}

/// Load average of the last minute.
pub fn load_average() -> f64 {
    let text = line("/proc/loadavg");
    let first = text.split(' ').next();
    first.and_then(|l| l.parse().ok()).unwrap_or(0.0)
}

fn line(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_string()
}

/// Put this process and what it starts into a network of its own, whose loopback device may be
/// changed without harm to others. Needs root.
pub fn private_network(mtu: Option<u32>, rps_cpu: Option<usize>) -> Result<(), String> {
    sys::unshare_net_and_sysfs().map_err(|e| format!("cannot make a private network: {e}"))?;
    ip(&["link", "set", "lo", "up"])?;
    if let Some(mtu) = mtu {
        ip(&["link", "set", "lo", "mtu", &mtu.to_string()])?;
    }
    if let Some(cpu) = rps_cpu {
        let mask = 1u64
            .checked_shl(cpu as u32)
            .ok_or("steering: CPU number above 63")?;
        let path = "/sys/class/net/lo/queues/rx-0/rps_cpus";
        fs::write(path, format!("{mask:x}")).map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(())
}

/// Run `ip` with these words.
pub fn ip(words: &[&str]) -> Result<(), String> {
    run("ip", words)
}

/// Run a program that is expected to succeed silently.
pub fn run(program: &str, words: &[&str]) -> Result<(), String> {
    run_command(Command::new(program).args(words))
}

/// Ditto, for a command made ready by the caller.
pub fn run_command(command: &mut Command) -> Result<(), String> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&out.stderr);
    Err(format!("{command:?}: {}", why.trim()))
}

/// Depth of the server's submission rings, from its metrics.
pub fn ring_depth(admin: SocketAddr) -> Option<String> {
    let (_, text) = probe::get(admin, "/metrics").ok()?;
    let depth = probe::metric(&text, "ringcast_ring_depth")?;
    Some(format!("{depth:.0}"))
}
