//! A slow link in user space: a TCP relay that passes each piece on when a link of the given rate
//! would have carried it. Used where the kernel cannot shape, or without root.

use crate::sys;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

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

/// A relay of one connection at a time. It does something only while it is pumped: whoever waits
/// at its other end calls [`Relay::pump`] in the meantime, so that one CPU is enough and nobody
/// has to be woken.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub addr: SocketAddr,
    listener: TcpListener,
    upstream: SocketAddr,
    bits_per_second: u64,
    flow: Option<Flow>,
    buffer: Vec<u8>,
    merged: u64,
}

/// A relayed connection.
#[derive(Debug)]
struct Flow {
    client: TcpStream,
    server: TcpStream,
    link: Link,
    on_link: VecDeque<(u64, Vec<u8>)>,
    /// Segments of the server that were read so far.
    segments: u32,
    server_open: bool,
}

impl Relay {
    /// Relay to `upstream` at this rate (from the server to the client; the other way is free).
    pub fn new(upstream: SocketAddr, bits_per_second: u64) -> io::Result<Relay> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        Ok(Relay {
            addr: listener.local_addr()?,
            listener,
            upstream,
            bits_per_second,
            flow: None,
            buffer: vec![0; 64 * 1024],
            merged: 0,
        })
    }

    /// Move what can be moved now.
    pub fn pump(&mut self) -> io::Result<()> {
        let Some(flow) = &mut self.flow else {
            match self.listener.accept() {
                Ok((client, _)) => self.flow = Some(self.open(client)?),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            return Ok(());
        };
        match flow.pump(&mut self.buffer, &mut self.merged) {
            Ok(true) => {}
            // A connection that fails is seen as closed by both ends.
            Ok(false) | Err(_) => self.flow = None,
        }
        Ok(())
    }

    fn open(&self, client: TcpStream) -> io::Result<Flow> {
        let server = TcpStream::connect(self.upstream)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
        }
        Ok(Flow {
            client,
            server,
            link: Link::new(self.bits_per_second, IP_TCP_HEADERS),
            on_link: VecDeque::new(),
            segments: 0,
            server_open: true,
        })
    }

    /// Segments of the server that were read together with another one since the last call, so
    /// that their boundary is not known.
    pub fn take_merged(&mut self) -> u64 {
        std::mem::take(&mut self.merged)
    }
}

impl Flow {
    /// False: the connection is over.
    fn pump(&mut self, buffer: &mut [u8], merged: &mut u64) -> io::Result<bool> {
        let (client, server) = (self.client.as_raw_fd(), self.server.as_raw_fd());
        match sys::recv(client, buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => send_whole(server, &buffer[..n])?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if self.server_open {
            let waiting = sys::data_segments_in(server)?;
            match sys::recv(server, buffer) {
                Ok(0) => self.server_open = false,
                Ok(n) => {
                    let now = sys::now_ns();
                    for piece in buffer[..n].chunks(SEGMENT_MAX) {
                        self.on_link
                            .push_back((self.link.carry(now, piece.len()), piece.to_vec()));
                    }
                    // What arrived meanwhile was read as well if nothing is left.
                    let read = if sys::bytes_waiting(server)? == 0 {
                        sys::data_segments_in(server)?
                    } else {
                        waiting
                    };
                    *merged += u64::from(read.saturating_sub(self.segments + 1));
                    self.segments = read.max(self.segments);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        while self
            .on_link
            .front()
            .is_some_and(|(at, _)| *at <= sys::now_ns())
        {
            if let Some((_, piece)) = self.on_link.pop_front() {
                send_whole(client, &piece)?;
            }
        }
        Ok(self.server_open || !self.on_link.is_empty())
    }
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
