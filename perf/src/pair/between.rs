//! Slow links between two network namespaces, proved right by a plain pair before they are used.

use super::{Estimate, Experiment, Shaper, collect};
use crate::environment::{self, run_command};
use crate::probe;
use crate::server::{Ready, Running};
use crate::swarm::Protocol;
use crate::sys::{self, Placement};
use crate::wire::Wire;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// MTU of the link, so small that the bucket need not hold more than one segment of the pair; a
/// pair of datagrams needs a larger one to stay whole.
fn tbf_mtu(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Wmsp | Protocol::Mmst | Protocol::Rtspt => 576,
        Protocol::Mmsu | Protocol::Rtspu => WIRE_MTU,
    }
}

/// Largest frame: the smallest bucket that lets everything pass. What the shaper's timer is late by
/// makes such a link slower than its rate, which a plain pair tells.
pub fn tbf_frame(protocol: Protocol) -> u64 {
    tbf_mtu(protocol) + 14
}

const WIRE_MTU: u64 = 1500;
/// A link counts as right if a plain pair is off by this at most, %.
const LINK_ERROR_MAX: f64 = 5.0;
const SERVER_ADDRESS: &str = "10.198.0.2";

/// The server that is to be asked between namespaces.
pub struct Subjects<'a> {
    /// Program and arguments; listens on all addresses.
    pub words: &'a [String],
    /// At this port.
    pub port: u16,
    /// Where its stderr goes; else where ours goes.
    pub log: Option<&'a Path>,
}

/// What came of the links between namespaces: estimates, and for the other rates why there was no
/// link that a plain pair proves right.
pub type Between = (Vec<Estimate>, Vec<(u64, String)>);

/// Between two network namespaces, to a server started here in one of them: through the kernel's
/// token bucket or the wire.
pub fn between(e: &Experiment, server: &Subjects<'_>, how: Shaper) -> Result<Between, String> {
    // A namespace belongs to a thread and to the children that it starts.
    std::thread::scope(|s| {
        s.spawn(|| match how {
            Shaper::Wire => over(e, server, &WireLink::make(e)?),
            _ => over(e, server, &TbfLink::make(e)?),
        })
        .join()
        .unwrap_or_else(|_| Err("the thread in the namespace panicked".into()))
    })
}

/// A link from a namespace to that of the calling thread.
trait SlowLink {
    const HOW: Shaper;
    fn far(&self) -> &Holder;
    fn set_rate(&self, bits_per_second: u64) -> Result<(), String>;
}

fn over<L: SlowLink>(e: &Experiment, server: &Subjects<'_>, link: &L) -> Result<Between, String> {
    let placement = Placement {
        net: Some(link.far().net()),
        ..e.placement.clone()
    };
    let at = |port: u16| {
        let host = format!("{SERVER_ADDRESS}:{port}");
        probe::target(&e.protocol.url(host, &e.path), e.protocol)
    };
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    {
        let words = [
            "floor-sender".into(),
            "--listen=0.0.0.0:0".into(),
            format!("--protocol={}", e.protocol.name()),
        ];
        let (_floor, port) = Running::start_floor(&words, &placement)?;
        let plain = Experiment {
            probe: None,
            ..e.clone()
        };
        for &rate in &e.rates {
            link.set_rate(rate)?;
            let error = collect(&plain, rate, L::HOW, &at(port)?, None)?.error_percent;
            if error.abs() <= LINK_ERROR_MAX {
                right.push(rate);
            } else {
                wrong.push((rate, format!("a plain pair is off by {error:.1} %")));
            }
        }
    }
    let target = at(server.port)?;
    let ready = Ready::Accepts(target.addr);
    let patience = Duration::from_secs(20);
    let _server = Running::start(server.words, &placement, &ready, patience, server.log)?;
    let mut found = Vec::new();
    for rate in right {
        link.set_rate(rate)?;
        found.push(collect(e, rate, L::HOW, &target, None)?);
    }
    Ok((found, wrong))
}

/// The token bucket on the far end of a veth pair.
struct TbfLink {
    far: Holder,
    frame: u64,
    _awake: KeepAwake,
}

impl TbfLink {
    fn make(e: &Experiment) -> Result<TbfLink, String> {
        let far = Holder::start()?;
        enter_private_net()?;
        veth("near", "far", &far, tbf_mtu(e.protocol))?;
        environment::ip(&["addr", "add", "10.198.0.1/30", "dev", "near"])?;
        environment::ip(&["link", "set", "near", "up"])?;
        far.set_up("far", &format!("{SERVER_ADDRESS}/30"))?;
        // The slow link is meant to be somewhere on the way. As it is the server's own device here,
        // its kernel would fill up segments that wait for it.
        let path = "/proc/sys/net/ipv4/tcp_autocorking";
        far.run("sh", &["-c", &format!("echo 0 > {path}")])?;
        Ok(TbfLink {
            far,
            frame: tbf_frame(e.protocol),
            _awake: KeepAwake::start(&e.placement.cpus),
        })
    }
}

impl SlowLink for TbfLink {
    const HOW: Shaper = Shaper::Tbf;

    fn far(&self) -> &Holder {
        &self.far
    }

    fn set_rate(&self, bits_per_second: u64) -> Result<(), String> {
        let (bits, burst) = (format!("{bits_per_second}bit"), format!("{}b", self.frame));
        self.far.run(
            "tc",
            &[
                "qdisc", "replace", "dev", "far", "root", "tbf", "rate", &bits, "burst", &burst,
                "limit", "200000",
            ],
        )
    }
}

/// The wire between two veth pairs.
struct WireLink {
    // Its thread ends before the namespaces do.
    wire: Wire,
    far: Holder,
    _near: Holder,
}

impl WireLink {
    /// The wire stays on this thread's CPUs; what else is done here moves to the server's.
    fn make(e: &Experiment) -> Result<WireLink, String> {
        let (near, far) = (Holder::start()?, Holder::start()?);
        enter_private_net()?;
        for (middle, end, holder, address) in [
            ("to-near", "near", &near, "10.198.0.1/30".to_string()),
            ("to-far", "far", &far, format!("{SERVER_ADDRESS}/30")),
        ] {
            veth(middle, end, holder, WIRE_MTU)?;
            environment::ip(&["link", "set", middle, "addrgenmode", "none"])?;
            environment::ip(&["link", "set", middle, "up"])?;
            // A link carries segments, not what the kernel has joined.
            holder.run("ip", &["link", "set", end, "gso_max_segs", "1"])?;
            holder.set_up(end, &address)?;
        }
        let wire = Wire::start("to-far", "to-near").map_err(|e| format!("wire: {e}"))?;
        sys::enter_net(&near.net()).map_err(|e| format!("network of the near end: {e}"))?;
        sys::pin(&e.placement.cpus).map_err(|e| format!("CPUs of the server: {e}"))?;
        sys::set_ordinary().map_err(|e| format!("priority: {e}"))?;
        Ok(WireLink {
            wire,
            far,
            _near: near,
        })
    }
}

impl SlowLink for WireLink {
    const HOW: Shaper = Shaper::Wire;

    fn far(&self) -> &Holder {
        &self.far
    }

    fn set_rate(&self, bits_per_second: u64) -> Result<(), String> {
        self.wire.set_rate(bits_per_second);
        Ok(())
    }
}

fn enter_private_net() -> Result<(), String> {
    sys::unshare_net().map_err(|e| format!("cannot make a private network: {e}"))?;
    environment::ip(&["link", "set", "lo", "up"])
}

/// A pair of devices, one here and one in another namespace.
fn veth(here: &str, there: &str, holder: &Holder, mtu: u64) -> Result<(), String> {
    let (mtu, pid) = (mtu.to_string(), holder.0.id().to_string());
    environment::ip(&[
        "link", "add", "name", here, "mtu", &mtu, "type", "veth", "peer", "name", there, "mtu",
        &mtu, "netns", &pid,
    ])
}

/// Keeps CPUs from halting while it lives, without taking time from anybody: a halted virtual CPU
/// wakes up later than a packet takes at 50 Mbit/s, and the shaper's timer with it.
struct KeepAwake {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl KeepAwake {
    fn start(cpus: &[usize]) -> KeepAwake {
        let over = Arc::new(AtomicBool::new(false));
        let one = |&cpu: &usize| {
            let over = over.clone();
            std::thread::spawn(move || {
                if sys::pin(&[cpu]).and_then(|()| sys::set_idle()).is_ok() {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
            })
        };
        let threads = cpus.iter().map(one).collect();
        KeepAwake { over, threads }
    }
}

impl Drop for KeepAwake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A process that keeps a network namespace alive.
struct Holder(Child);

impl Holder {
    fn start() -> Result<Holder, String> {
        let mut command = Command::new("sleep");
        command.arg("3600").stdin(Stdio::null());
        let placement = Placement {
            new_net: true,
            ..Placement::default()
        };
        sys::place(&mut command, &placement).map_err(|e| format!("sleep: {e}"))?;
        command
            .spawn()
            .map(Holder)
            .map_err(|e| format!("cannot make a second network: {e}"))
    }

    fn net(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn set_up(&self, device: &str, address: &str) -> Result<(), String> {
        self.run("ip", &["link", "set", "lo", "up"])?;
        self.run("ip", &["addr", "add", address, "dev", device])?;
        self.run("ip", &["link", "set", device, "up"])
    }

    /// Run a program in the namespace.
    fn run(&self, program: &str, words: &[&str]) -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(words);
        let placement = Placement {
            net: Some(self.net()),
            ..Placement::default()
        };
        sys::place(&mut command, &placement).map_err(|e| format!("{program}: {e}"))?;
        run_command(&mut command)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
