//! A slow link in user space between two network devices: every frame that comes in at one leaves
//! at the other when a link of the given rate would have carried it. Unlike a shaper of the kernel
//! it does not wait for a timer, which on a virtual machine is late by a fifth of what a packet of
//! a pair takes at 50 Mbit/s. It occupies a CPU while it lives.

use crate::link::Link;
use crate::sys::{self, PacketSocket};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// The kernel's note on checksums and segmentation before each frame, and the largest frame.
const FRAME_MAX: usize = sys::VNET_HEAD + 65_536;
/// A frame that nobody takes: no addresses, and an EtherType for experiments (0x88B5).
const WARM_FRAME: [u8; sys::VNET_HEAD + 60] = {
    let mut frame = [0; sys::VNET_HEAD + 60];
    frame[sys::VNET_HEAD + 12] = 0x88;
    frame[sys::VNET_HEAD + 13] = 0xB5;
    frame
};
/// Until so long before the next frame is due.
const WARM_UNTIL_NS: u64 = 25_000;
/// Frames that wait; later ones are dropped as a router would.
const QUEUE_MAX: usize = 1000;

/// A link that runs on a thread of its own.
pub struct Wire {
    rate: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Between two devices of the calling thread's namespace: slow from `from` to `to`, immediate
    /// the other way. Runs on the calling thread's CPUs.
    pub fn start(from: &str, to: &str) -> io::Result<Wire> {
        let (from, to) = (PacketSocket::open(from)?, PacketSocket::open(to)?);
        let rate = Arc::new(AtomicU64::new(u64::MAX));
        let over = Arc::new(AtomicBool::new(false));
        let thread = {
            let (rate, over) = (rate.clone(), over.clone());
            std::thread::Builder::new()
                .name("wire".into())
                .spawn(move || {
                    // Without the right to it, company on this CPU makes frames late.
                    let _ = sys::set_fifo(10);
                    run(&from, &to, &rate, &over);
                })?
        };
        Ok(Wire {
            rate,
            over,
            thread: Some(thread),
        })
    }

    /// Carry so many bit/s from now on.
    pub fn set_rate(&self, bits_per_second: u64) {
        self.rate.store(bits_per_second, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(from: &PacketSocket, to: &PacketSocket, rate: &AtomicU64, over: &AtomicBool) {
    let mut buffer = vec![0; FRAME_MAX];
    let mut queue: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut bits_per_second = 0;
    let mut link = Link::new(1, 0);
    while !over.load(Ordering::Relaxed) {
        let wanted = rate.load(Ordering::Relaxed);
        if wanted != bits_per_second {
            bits_per_second = wanted;
            link = Link::new(wanted, 0);
        }
        if let Some(n) = receive(from, &mut buffer)
            && queue.len() < QUEUE_MAX
        {
            let at = link.carry(sys::now_ns(), n.saturating_sub(sys::VNET_HEAD));
            queue.push_back((at, buffer[..n].to_vec()));
        }
        if let Some(n) = receive(to, &mut buffer) {
            // A frame that is not taken is lost, as on any link.
            let _ = from.send(&buffer[..n]);
        }
        // The first frame after a rest would leave later than those behind it, and a pair would seem
        // to come over a faster link: walk the kernel's path while it waits.
        if let Some((at, _)) = queue.front()
            && *at > sys::now_ns() + WARM_UNTIL_NS
        {
            let _ = to.send(&WARM_FRAME);
        }
        while queue.front().is_some_and(|(at, _)| *at <= sys::now_ns()) {
            if let Some((_, frame)) = queue.pop_front() {
                let _ = to.send(&frame);
            }
        }
        std::hint::spin_loop();
    }
}

fn receive(socket: &PacketSocket, buffer: &mut [u8]) -> Option<usize> {
    socket.receive(buffer).ok().filter(|&n| n > sys::VNET_HEAD)
}
