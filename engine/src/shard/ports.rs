//! The UDP sockets of a core, each with the datagrams that wait to leave together.

use crate::ops::metrics::CoreCounters;
use crate::rt::{self, Path, Volley};
use protocols::machine::Channel;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// One socket.
pub struct Port {
    front: u8,
    channel: Channel,
    local: SocketAddr,
    fd: RawFd,
    volley: Volley,
}

/// All of them; they stay as long as the core runs.
#[derive(Default)]
pub struct Ports {
    ports: Vec<Port>,
}

impl Ports {
    /// Add a socket of a front end. `fd` must stay open.
    pub fn add(&mut self, front: u8, channel: Channel, local: SocketAddr, fd: RawFd) {
        self.ports.push(Port {
            front,
            channel,
            local,
            fd,
            volley: Volley::default(),
        });
    }

    /// The socket from which datagrams leave that belong to a connection whose end here is `local`, and
    /// their path.
    pub fn find(
        &self,
        front: u8,
        channel: Channel,
        local: SocketAddr,
        to: SocketAddr,
    ) -> Option<(usize, Path)> {
        // A connection over IPv4 that a socket for both families accepted does not exist: listeners for
        // IPv6 take that alone.
        let fits = |port: &Port| {
            let ip = port.local.ip();
            port.front == front
                && port.channel == channel
                && ip.is_ipv6() == to.is_ipv6()
                && (ip.is_unspecified() || ip == local.ip())
        };
        // Two listeners of one address have two ports of their own.
        let same = |port: &&Port| port.local.port() == local.port();
        let all = || self.ports.iter().enumerate().filter(|(_, port)| fits(port));
        let found = all().find(|(_, port)| same(port)).or_else(|| all().next());
        found.map(|(index, port)| {
            let from = port.local.ip().is_unspecified().then(|| local.ip());
            (index, Path { to, from })
        })
    }

    /// True while a socket takes no more.
    pub fn is_blocked(&self, port: usize) -> bool {
        self.ports
            .get(port)
            .is_none_or(|port| port.volley.is_blocked())
    }

    /// Add a datagram that `write` appends to those that leave together. Returns its length.
    pub fn put(
        &mut self,
        port: usize,
        path: &Path,
        core: &CoreCounters,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let Some(port) = self.ports.get_mut(port) else {
            return 0;
        };
        let len = port.volley.put(path, write);
        if port.volley.is_full() {
            flush(port, core);
        }
        len
    }

    /// Send one datagram now and alone.
    pub fn send_now(&self, port: usize, path: &Path, bytes: &[u8], core: &CoreCounters) {
        if let Some(port) = self.ports.get(port) {
            core.datagram_sends.inc();
            match rt::send_datagram(port.fd, path, bytes) {
                true => {
                    core.datagrams_sent.inc();
                    core.bytes_sent.add(bytes.len() as u64);
                }
                false => core.datagrams_dropped.inc(),
            }
        }
    }

    /// Send what waits.
    pub fn flush(&mut self, core: &CoreCounters) {
        for port in &mut self.ports {
            if !port.volley.is_empty() {
                flush(port, core);
            }
        }
    }
}

fn flush(port: &mut Port, core: &CoreCounters) {
    let flushed = port.volley.flush(port.fd);
    core.datagrams_sent.add(flushed.sent);
    core.datagram_sends.add(flushed.calls);
    core.datagrams_dropped.add(flushed.dropped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    #[test]
    fn datagrams_leave_from_the_address_that_the_client_connected_to() {
        let address = |s: &str| s.parse::<SocketAddr>().unwrap();
        let mut ports = Ports::default();
        for (channel, local) in [
            (0, "0.0.0.0:1755"),
            (0, "[::]:1755"),
            (0, "10.0.0.1:2000"),
            (1, "0.0.0.0:5004"),
        ] {
            ports.add(0, Channel(channel), address(local), -1);
        }
        let (v4, v6) = (address("10.9.9.9:7000"), address("[2001:db8::9]:7000"));
        let find = |channel, local, to| ports.find(0, Channel(channel), address(local), to);
        let from = |ip: IpAddr, to| Path { to, from: Some(ip) };
        let here = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(find(0, "10.0.0.1:1755", v4), Some((0, from(here, v4))));
        let here6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(find(0, "[::1]:1755", v6), Some((1, from(here6, v6))));
        let bound = Path { to: v4, from: None };
        assert_eq!(find(0, "10.0.0.1:2000", v4), Some((2, bound)));
        assert_eq!(find(1, "10.0.0.1:1755", v4), Some((3, from(here, v4))));
        assert_eq!(
            ports.find(1, Channel(0), address("10.0.0.1:1755"), v4),
            None
        );
        assert_eq!(find(1, "[::1]:1755", v6), None);
    }
}
