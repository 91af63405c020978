//! Sockets that send to a multicast group.

use super::send::{get_option, set_option};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// Send buffer, bytes: a burst of large packets must not be refused.
const SEND_BUFFER: usize = 1 << 20;

/// Where IPv6 addresses are listed with their interfaces, as the calling thread sees them.
const IF_INET6: &str = "/proc/thread-self/net/if_inet6";

/// How a group is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Group and port.
    pub group: SocketAddr,
    /// Hops that datagrams may go.
    pub ttl: u8,
    /// Address of the interface to send from, of the group's family; `None`: what the routes say.
    pub interface: Option<IpAddr>,
    /// Receivers on this machine get them too.
    pub loopback: bool,
}

/// What the way to a group is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRoute {
    /// The address that datagrams come from.
    pub source: IpAddr,
    /// Bytes that a packet may have, IP header included, without being cut.
    pub mtu: u32,
}

/// See the module.
#[derive(Debug)]
pub struct GroupSocket {
    socket: Socket,
    to: SockAddr,
}

impl GroupSocket {
    /// Open and bind; nothing is sent.
    ///
    /// # Errors
    /// What the kernel says: the interface's address is not one of this machine.
    // MSB-02, MSB-34, MSB-35
    pub fn open(options: &GroupOptions) -> io::Result<GroupSocket> {
        let group = options.group;
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let fd = socket.as_raw_fd();
        // Packets that are larger than the path are cut on the way instead of being lost.
        let dont = libc::IP_PMTUDISC_DONT;
        if group.is_ipv4() {
            set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, dont)?;
            socket.set_multicast_ttl_v4(options.ttl.into())?;
            socket.set_multicast_loop_v4(options.loopback)?;
        } else {
            socket.set_only_v6(true)?;
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, dont)?;
            socket.set_multicast_hops_v6(options.ttl.into())?;
            socket.set_multicast_loop_v6(options.loopback)?;
        }
        match options.interface {
            Some(IpAddr::V4(address)) => socket.set_multicast_if_v4(&address)?,
            Some(IpAddr::V6(address)) => socket.set_multicast_if_v6(interface_of(address)?)?,
            None => {}
        }
        if let Some(address) = options.interface {
            socket.bind(&SocketAddr::new(address, 0).into())?;
        }
        Ok(GroupSocket {
            socket,
            to: group.into(),
        })
    }

    /// Send one datagram, now and alone.
    ///
    /// # Errors
    /// What the kernel says: no route, no room, too large.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, &self.to).map(|_| ())
    }
}

/// Find the way to a group. Sends nothing.
///
/// # Errors
/// As [`GroupSocket::open`], and if there is no route.
pub fn route_to_group(options: &GroupOptions) -> io::Result<GroupRoute> {
    let probe = GroupSocket::open(options)?;
    probe.socket.connect(&probe.to)?;
    let local = probe.socket.local_addr()?.as_socket();
    let local = local.ok_or_else(|| io::Error::other("not an internet socket"))?;
    let fd = probe.socket.as_raw_fd();
    let mtu = match options.group {
        SocketAddr::V4(_) => get_option(fd, libc::IPPROTO_IP, libc::IP_MTU)?,
        SocketAddr::V6(_) => get_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU)?,
    };
    Ok(GroupRoute {
        source: local.ip(),
        mtu: u32::try_from(mtu).unwrap_or(0),
    })
}

/// Whether receivers could join the group where it is sent to.
///
/// # Errors
/// What the kernel says: no such interface, none that can do multicast.
pub fn try_join(options: &GroupOptions) -> io::Result<()> {
    let domain = Domain::for_address(options.group);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    match (options.group, options.interface) {
        (SocketAddr::V4(group), Some(IpAddr::V4(interface))) => {
            socket.join_multicast_v4(group.ip(), &interface)
        }
        (SocketAddr::V4(group), _) => socket.join_multicast_v4(group.ip(), &Ipv4Addr::UNSPECIFIED),
        (SocketAddr::V6(group), Some(IpAddr::V6(interface))) => {
            socket.join_multicast_v6(group.ip(), interface_of(interface)?)
        }
        (SocketAddr::V6(group), _) => socket.join_multicast_v6(group.ip(), group.scope_id()),
    }
}

/// Number of the interface that has an address.
fn interface_of(address: Ipv6Addr) -> io::Result<u32> {
    let table = fs::read_to_string(IF_INET6).unwrap_or_default();
    interface_in(&table, address).ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
}

/// Lines of address, number, length of the prefix, scope, flags, all in hexadecimal, and name.
fn interface_in(table: &str, address: Ipv6Addr) -> Option<u32> {
    let wanted = format!("{:032x}", u128::from(address));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let is_it = fields.next()?.eq_ignore_ascii_case(&wanted);
        let number = u32::from_str_radix(fields.next()?, 16).ok()?;
        is_it.then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_its_address() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe80000000000000025056fffec00001 0a 40 20 80     eth0\n";
        assert_eq!(interface_in(table, Ipv6Addr::LOCALHOST), Some(1));
        let link: Ipv6Addr = "fe80::250:56ff:fec0:1".parse().expect("an address");
        assert_eq!(interface_in(table, link), Some(10));
        assert_eq!(interface_in(table, Ipv6Addr::UNSPECIFIED), None);
    }

    #[test]
    fn the_way_over_loopback_is_known_and_a_foreign_interface_refused() {
        let options = GroupOptions {
            group: "239.192.77.1:5001".parse().expect("a group"),
            ttl: 1,
            interface: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            loopback: true,
        };
        let route = route_to_group(&options).expect("a route");
        assert_eq!(route.source, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(route.mtu >= 1280, "{}", route.mtu);
        let foreign = GroupOptions {
            // TEST-NET-1 (RFC 5737) is on no machine.
            interface: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77))),
            ..options
        };
        assert!(GroupSocket::open(&foreign).is_err());
        assert!(try_join(&foreign).is_err());
    }
}
