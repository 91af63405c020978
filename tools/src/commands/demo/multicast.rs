//! Whether multicast works on this machine's loopback interface: some containers and kernels have none.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long a datagram may take from one socket of this machine to another.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends one datagram to the group and receives it again.
///
/// # Errors
/// Why it did not come, in words.
pub fn try_loopback(group: SocketAddr) -> Result<(), String> {
    there_and_back(group).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "what is sent to a group on the loopback interface does not come back".to_owned()
        }
        _ => format!("the loopback interface takes no datagrams for a group: {error}"),
    })
}

fn there_and_back(group: SocketAddr) -> io::Result<()> {
    let IpAddr::V4(ip) = group.ip() else {
        return Err(ErrorKind::InvalidInput.into());
    };
    // Another port than the one that is used: who is a member already must not read this.
    let listener = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    listener.bind(&SockAddr::from(SocketAddr::from((ip, 0))))?;
    listener.join_multicast_v4(&ip, &Ipv4Addr::LOCALHOST)?;
    let listener = UdpSocket::from(listener);
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    sender.set_multicast_loop_v4(true)?;
    sender.set_multicast_ttl_v4(0)?;
    sender.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    sender.connect(&SockAddr::from(listener.local_addr()?))?;
    let sender = UdpSocket::from(sender);
    let from = sender.local_addr()?;
    sender.send(b"ringcast demo")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        listener.set_read_timeout(Some(left))?;
        if listener.recv_from(&mut [0; 64])?.1 == from {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_group_is_not_taken_for_multicast() {
        let why = try_loopback(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        assert!(why.is_err(), "127.0.0.1 cannot be joined");
    }
}
