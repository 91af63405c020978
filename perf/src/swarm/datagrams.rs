//! Where datagrams come in. A Data packet does not say whose it is, and a server sends to the
//! address of the session's connection: so on loopback every session has an address of its own,
//! and few sockets on all addresses serve them all. Elsewhere each session needs its own port.

use super::Plan;
use crate::procfs;
use crate::sys::datagram;
use serde::Serialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Sockets that serve all sessions. Several, so that where the kernel gives each only a small
/// buffer they have enough together.
const SHARED: usize = 16;
/// What may wait in one, bytes.
const BUFFER: usize = 64 << 20;
/// Behind this is the address of the first session.
const NET: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 2);

/// Source of a session that has its address for itself.
pub(super) fn address(session: usize) -> Ipv4Addr {
    // More sessions than there are ports do not come near the end of the net.
    Ipv4Addr::from(u32::from(NET).wrapping_add(session as u32))
}

fn session_at(address: Ipv4Addr) -> usize {
    u32::from(address).wrapping_sub(u32::from(NET)) as usize
}

/// Sockets that a plan's sessions need.
pub(super) fn ports(plan: &Plan) -> usize {
    if on_loopback(plan) {
        plan.sessions.min(SHARED)
    } else {
        plan.sessions
    }
}

fn on_loopback(plan: &Plan) -> bool {
    plan.targets.iter().all(|t| t.addr.ip().is_loopback())
}

/// This host's address on the way to the server. Nothing is sent.
fn local_address(plan: &Plan) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    if let Some(target) = plan.targets.first() {
        socket.connect(target.addr)?;
    }
    match socket.local_addr()? {
        SocketAddr::V4(at) => Ok(*at.ip()),
        SocketAddr::V6(_) => Err(io::Error::other("not IPv4")),
    }
}

/// What the receiving end did. What is lost is either the server's or somebody's here.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Received {
    /// Sockets that served the sessions.
    pub sockets: usize,
    /// What each may hold, bytes with the kernel's bookkeeping.
    pub buffer: usize,
    /// Datagrams that came to a full socket of the swarm.
    pub socket_drops: u64,
    /// Packets that came to a full queue of the kernel on the way, of all programs.
    pub queue_drops: u64,
    /// Datagrams of nobody.
    pub strangers: u64,
}

/// The sockets of a swarm.
pub(super) struct Ports {
    sockets: Vec<(UdpSocket, u16)>,
    shared: bool,
    /// This host's address where sessions do not have their own.
    local: Ipv4Addr,
    sessions: usize,
    buffer: usize,
    queue_drops: u64,
    pub strangers: u64,
}

impl Ports {
    pub fn open(plan: &Plan) -> io::Result<Ports> {
        let mut ports = Ports {
            sockets: Vec::new(),
            shared: on_loopback(plan),
            local: local_address(plan)?,
            sessions: plan.sessions,
            buffer: usize::MAX,
            queue_drops: procfs::queue_drops(),
            strangers: 0,
        };
        for _ in 0..self::ports(plan) {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            let got = datagram::set_receive_buffer(socket.as_raw_fd(), BUFFER)?;
            ports.buffer = ports.buffer.min(got);
            if ports.shared {
                datagram::tell_destination(socket.as_raw_fd())?;
            }
            let port = socket.local_addr()?.port();
            ports.sockets.push((socket, port));
        }
        Ok(ports)
    }

    /// Descriptors, in the order in which [`Ports::session`] counts them.
    pub fn descriptors(&self) -> impl Iterator<Item = i32> {
        self.sockets.iter().map(|(s, _)| s.as_raw_fd())
    }

    pub fn fd(&self, socket: usize) -> Option<i32> {
        self.sockets.get(socket).map(|(s, _)| s.as_raw_fd())
    }

    /// Where a session's datagrams are to go.
    pub fn address(&self, session: usize) -> Option<(Ipv4Addr, u16)> {
        let at = session.checked_rem(self.sockets.len())?;
        let (_, port) = self.sockets.get(at)?;
        let ip = if self.shared {
            address(session)
        } else {
            self.local
        };
        Some((ip, *port))
    }

    /// Whose a datagram is that came to this socket.
    pub fn session(&self, socket: usize, to: Option<Ipv4Addr>) -> Option<usize> {
        let session = if self.shared { session_at(to?) } else { socket };
        let fits = session < self.sessions && session % self.sockets.len() == socket;
        fits.then_some(session)
    }

    pub fn received(&self) -> io::Result<Received> {
        let mut socket_drops = 0;
        for fd in self.descriptors() {
            socket_drops += u64::from(datagram::receive_drops(fd)?);
        }
        Ok(Received {
            sockets: self.sockets.len(),
            buffer: self.buffer,
            socket_drops,
            queue_drops: procfs::queue_drops().saturating_sub(self.queue_drops),
            strangers: self.strangers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(shared: bool, sockets: usize, sessions: usize) -> Ports {
        let bind = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            (socket, port)
        };
        Ports {
            sockets: (0..sockets).map(bind).collect(),
            shared,
            local: Ipv4Addr::new(10, 0, 0, 1),
            sessions,
            buffer: 0,
            queue_drops: 0,
            strangers: 0,
        }
    }

    #[test]
    fn a_datagram_is_of_the_session_whose_address_it_was_sent_to() {
        let p = ports(true, 3, 700);
        for session in 0..700 {
            let (ip, port) = p.address(session).unwrap();
            assert!(ip.is_loopback());
            let socket = p.sockets.iter().position(|(_, at)| *at == port).unwrap();
            assert_eq!(p.session(socket, Some(ip)), Some(session));
            assert_eq!(p.session((socket + 1) % 3, Some(ip)), None);
        }
        assert_eq!(p.session(1, Some(address(700))), None);
        assert_eq!(p.session(0, Some(Ipv4Addr::LOCALHOST)), None);
        assert_eq!(p.session(0, None), None);
    }

    #[test]
    fn elsewhere_each_session_has_a_socket() {
        let p = ports(false, 4, 4);
        for session in 0..4 {
            let (ip, port) = p.address(session).unwrap();
            assert_eq!((ip, port), (p.local, p.sockets[session].1));
            assert_eq!(p.session(session, None), Some(session));
        }
    }
}
