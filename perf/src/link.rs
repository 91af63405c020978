//! A slow link in user space: a TCP relay that passes each piece on when a link of the given rate
//! would have carried it. Used where the kernel cannot shape, or without root.

use crate::sys;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Serialisation on a link: one piece after the other, each as long as its bits need.
#[derive(Clone, Debug)]
pub struct Link {
    bits_per_second: u64,
    overhead: u64,
    free_at_ns: u64,
}

impl Link {
    /// `overhead`: bytes that the link carries around each piece (headers).
    pub fn new(bits_per_second: u64, overhead: u64) -> Link {
        Link {
            bits_per_second: bits_per_second.max(1),
            overhead,
            free_at_ns: 0,
        }
    }

    /// When the last bit of a piece has arrived that was ready at `now_ns`.
    pub fn carry(&mut self, now_ns: u64, len: usize) -> u64 {
        let bits = (len as u128 + u128::from(self.overhead)) * 8;
        let took = bits * 1_000_000_000 / u128::from(self.bits_per_second);
        let took = u64::try_from(took).unwrap_or(u64::MAX / 2);
        self.free_at_ns = self.free_at_ns.max(now_ns) + took;
        self.free_at_ns
    }
}

/// Headers of IPv4 and TCP without options.
pub const IP_TCP_HEADERS: u64 = 40;
/// Payload of the largest segment on the link.
const SEGMENT_MAX: usize = 1460;

/// A relay on a thread of its own; ends when dropped. While a connection lives the thread spins,
/// so that segments are told apart and released in time.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub addr: SocketAddr,
    stop: Arc<AtomicBool>,
    merged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Relay to `upstream` at this rate (from the server to the client; the other way is free).
    pub fn start(upstream: SocketAddr, bits_per_second: u64) -> io::Result<Relay> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let merged = Arc::new(AtomicU64::new(0));
        let (stop2, merged2) = (stop.clone(), merged.clone());
        let thread = std::thread::spawn(move || {
            while !stop2.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        let link = Link::new(bits_per_second, IP_TCP_HEADERS);
                        // A connection that fails is seen as closed by both ends.
                        let _ = serve(&client, upstream, link, &stop2, &merged2);
                    }
                    Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
                }
            }
        });
        Ok(Relay {
            addr,
            stop,
            merged,
            thread: Some(thread),
        })
    }

    /// Segments of the server that the relay read together with another one since the last call,
    /// so that it could not know their boundary.
    pub fn take_merged(&self) -> u64 {
        self.merged.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    client: &TcpStream,
    upstream: SocketAddr,
    mut link: Link,
    stop: &AtomicBool,
    merged: &AtomicU64,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    for socket in [client, &server] {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
    }
    let (c, s) = (client.as_raw_fd(), server.as_raw_fd());
    let mut buffer = vec![0; 64 * 1024];
    let mut on_link: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut reads = 0u64;
    let mut segments = 0u64;
    let mut server_open = true;
    while !stop.load(Ordering::Relaxed) {
        match sys::recv(c, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => send_whole(s, &buffer[..n])?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if server_open {
            match sys::recv(s, &mut buffer) {
                Ok(0) => server_open = false,
                Ok(n) => {
                    let now = sys::now_ns();
                    for piece in buffer[..n].chunks(SEGMENT_MAX) {
                        on_link.push_back((link.carry(now, piece.len()), piece.to_vec()));
                    }
                    reads += 1;
                    let all = u64::from(sys::data_segments_in(s)?);
                    // One read of k segments hides k - 1 boundaries.
                    merged.fetch_add(all.saturating_sub(segments + 1), Ordering::Relaxed);
                    segments = all.max(reads);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        while on_link.front().is_some_and(|(at, _)| *at <= sys::now_ns()) {
            if let Some((_, piece)) = on_link.pop_front() {
                send_whole(c, &piece)?;
            }
        }
        if !server_open && on_link.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

fn send_whole(fd: i32, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sys::send(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_one_another_at_the_rate() {
        let mut link = Link::new(1_000_000, 40);
        // 512 + 40 bytes are 4,416 bits.
        assert_eq!(link.carry(1_000, 512), 1_000 + 4_416_000);
        assert_eq!(link.carry(2_000, 512), 1_000 + 2 * 4_416_000);
        // After a rest the link is free at once.
        assert_eq!(link.carry(50_000_000, 85), 50_000_000 + 1_000_000);
    }

    #[test]
    fn distance_of_a_pair_gives_the_rate_back() {
        for rate in [1_000_000u64, 10_000_000, 50_000_000] {
            let mut link = Link::new(rate, IP_TCP_HEADERS);
            let first = link.carry(0, 512);
            let second = link.carry(10, 512);
            let measured = 552.0 * 8.0 / ((second - first) as f64 / 1e9);
            assert!((measured / rate as f64 - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn extreme_rates_do_not_overflow() {
        let mut slow = Link::new(0, 0);
        assert_eq!(slow.carry(0, 1), 8_000_000_000);
        let mut fast = Link::new(u64::MAX, 0);
        assert_eq!(fast.carry(5, 1_000_000), 5);
    }
}
