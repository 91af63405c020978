//! The floor's datagrams: three ways to send them.

use super::Settings;
use super::ring::Ring;
use crate::sys::datagram::{self, BATCH, PAYLOAD_MAX, SEGMENTS_MAX};
use socket2::Socket;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// How datagrams leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sending {
    /// One call for each.
    Sendto,
    /// 64 to any destinations with one call.
    Sendmmsg,
    /// All to one destination with one call, cut apart below it (segmentation offload).
    Gso,
}

impl Sending {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Sending::Sendto => "sendto",
            Sending::Sendmmsg => "sendmmsg",
            Sending::Gso => "gso",
        }
    }
}

/// A session that gets datagrams.
pub(super) struct Destination {
    to: SocketAddrV4,
    /// Next packet.
    position: u64,
    /// The session is the connection's.
    _control: Socket,
}

impl Destination {
    /// At the address of its connection. `None`: it is gone already.
    pub fn new(control: Socket, port: u16, position: u64) -> Option<Destination> {
        let ip = peer_ip(&control)?;
        Some(Destination {
            to: SocketAddrV4::new(ip, port),
            position,
            _control: control,
        })
    }
}

/// Address of the other end of a connection.
pub(super) fn peer_ip(socket: &Socket) -> Option<Ipv4Addr> {
    Some(*socket.peer_addr().ok()?.as_socket_ipv4()?.ip())
}

/// The socket that sends datagrams.
pub(super) struct Office {
    socket: UdpSocket,
    sending: Sending,
    /// Something other than a full socket kept a datagram from leaving.
    told: bool,
}

/// What waits below the socket at most, bytes; nothing does on loopback.
const SEND_BUFFER: usize = 4 << 20;

impl Office {
    pub fn open(at: SocketAddr, settings: &Settings) -> io::Result<Office> {
        let socket = UdpSocket::bind(at)?;
        socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER)?;
        Ok(Office {
            socket,
            sending: settings.sending,
            told: false,
        })
    }

    #[cfg(test)]
    pub fn port(&self) -> Option<u16> {
        Some(self.socket.local_addr().ok()?.port())
    }

    /// One datagram, now and alone. One that is not taken is lost.
    pub fn send_one(&self, bytes: &[u8], to: SocketAddrV4) {
        let _ = datagram::send_to(self.socket.as_raw_fd(), bytes, to);
    }

    /// All that is due, to each.
    pub fn send(&mut self, ring: &Ring, destinations: &mut [Destination]) {
        let fd = self.socket.as_raw_fd();
        let segments = SEGMENTS_MAX.min(PAYLOAD_MAX / ring.frame).max(1);
        let mut batch = Batch::new(fd);
        for d in destinations {
            if ring.head - d.position >= ring.slots as u64 {
                d.position = ring.head - 1;
            }
            let run = ring.run(d.position, 0);
            d.position = ring.head;
            // What is not taken is lost, as it is on the way.
            match self.sending {
                Sending::Sendto => {
                    for frame in run.chunks_exact(ring.frame) {
                        tell(&mut self.told, datagram::send_to(fd, frame, d.to));
                    }
                }
                Sending::Sendmmsg => {
                    for frame in run.chunks_exact(ring.frame) {
                        batch.push(frame, d.to);
                    }
                }
                Sending::Gso => {
                    for frames in run.chunks(segments * ring.frame) {
                        let sent = datagram::send_segments(fd, frames, ring.frame as u16, d.to);
                        tell(&mut self.told, sent);
                    }
                }
            }
        }
        batch.flush();
        tell(&mut self.told, batch.fault.map_or(Ok(()), Err));
    }
}

/// Say once why datagrams do not leave: a floor that sends nothing would look cheap.
fn tell(told: &mut bool, sent: io::Result<()>) {
    if let Err(e) = sent
        && e.kind() != io::ErrorKind::WouldBlock
        && !*told
    {
        *told = true;
        eprintln!("floor: cannot send: {e}");
    }
}

/// Gathers what leaves with one call.
struct Batch<'a> {
    fd: i32,
    items: [(&'a [u8], SocketAddrV4); BATCH],
    count: usize,
    fault: Option<io::Error>,
}

impl<'a> Batch<'a> {
    fn new(fd: i32) -> Batch<'a> {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Batch {
            fd,
            items: [(&[], nowhere); BATCH],
            count: 0,
            fault: None,
        }
    }

    fn push(&mut self, bytes: &'a [u8], to: SocketAddrV4) {
        self.items[self.count] = (bytes, to);
        self.count += 1;
        if self.count == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut rest = &self.items[..self.count];
        while !rest.is_empty() {
            match datagram::send_batch(self.fd, rest) {
                Ok(taken) if taken > 0 => rest = &rest[taken..],
                // That one is lost, what is behind it is not.
                other => {
                    rest = &rest[1..];
                    self.fault = other.err().or(self.fault.take());
                }
            }
        }
        self.count = 0;
    }
}
