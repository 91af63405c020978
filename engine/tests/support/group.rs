//! Members of multicast groups.

use super::PATIENCE;
use protocols::msb::packet::{Datagram, MsbPacket, classify};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A member.
pub struct Member {
    socket: UdpSocket,
    /// Where the last datagram came from.
    pub from: Option<SocketAddr>,
}

impl Member {
    /// Join a group over IPv4 at the interface that has an address; over IPv6 at the one with this number.
    pub fn join(group: SocketAddr, interface: IpAddr, number: u32) -> Member {
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP));
        let socket = socket.expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        socket.set_recv_buffer_size(4 << 20).expect("an option");
        socket.bind(&group.into()).expect("the group's port");
        match (group, interface) {
            (SocketAddr::V4(group), IpAddr::V4(interface)) => {
                socket.join_multicast_v4(group.ip(), &interface)
            }
            (SocketAddr::V6(group), _) => socket.join_multicast_v6(group.ip(), number),
            _ => panic!("two families"),
        }
        .expect("joined");
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Member { socket, from: None }
    }

    /// Join over loopback.
    pub fn here(group: &str) -> Member {
        let group = group.parse().expect("a group");
        Member::join(group, IpAddr::from([127, 0, 0, 1]), 0)
    }

    /// The next datagram.
    pub fn next(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let (n, from) = self.socket.recv_from(&mut buffer).expect("a datagram");
        self.from = Some(from);
        buffer.truncate(n);
        buffer
    }

    /// What is there already.
    pub fn all(&mut self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).expect("an option");
        let mut all = Vec::new();
        let mut buffer = vec![0; 70_000];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(n) => all.push(buffer[..n].to_vec()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{e}"),
            }
        }
        self.socket.set_nonblocking(false).expect("an option");
        all
    }

    /// The next packet; beacons before it are passed over.
    pub fn packet(&mut self) -> OwnedPacket {
        let begun = Instant::now();
        loop {
            let bytes = self.next();
            match classify(&bytes).expect("MSB") {
                Datagram::Packet(packet) => return OwnedPacket::of(&packet),
                Datagram::Beacon => {}
                Datagram::Msbd => panic!("MSBD in a group of MSB"),
            }
            assert!(begun.elapsed() < PATIENCE, "only beacons");
        }
    }

    /// True if nothing comes for a while.
    pub fn is_quiet_for(&mut self, span: Duration) -> bool {
        self.socket.set_read_timeout(Some(span)).expect("an option");
        let got = self.socket.recv(&mut [0; 8]);
        let timeout = self.socket.set_read_timeout(Some(PATIENCE));
        timeout.expect("an option");
        got.is_err()
    }
}

/// A packet that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPacket {
    pub id: u32,
    pub format: u16,
    pub toggle: bool,
    pub asf: Vec<u8>,
}

impl OwnedPacket {
    pub fn of(packet: &MsbPacket<'_>) -> OwnedPacket {
        OwnedPacket {
            id: packet.id,
            format: packet.stream.format(),
            toggle: packet.stream.toggle(),
            asf: packet.asf.to_vec(),
        }
    }
}

/// Packets out of datagrams, and how many of these were beacons.
pub fn packets_of(datagrams: &[Vec<u8>]) -> (Vec<OwnedPacket>, usize) {
    let (mut packets, mut beacons) = (Vec::new(), 0);
    for bytes in datagrams {
        match classify(bytes).expect("MSB") {
            Datagram::Packet(packet) => packets.push(OwnedPacket::of(&packet)),
            Datagram::Beacon => beacons += 1,
            Datagram::Msbd => panic!("MSBD in a group of MSB"),
        }
    }
    (packets, beacons)
}
