//! The UDP sockets of a client machine: a thread reads each, and can lose some of what comes, so that what
//! a protocol does about losses can be seen.

use crate::arrivals::DatagramReader;
use crate::driver::Event;
use protocols::machine::Channel;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Largest datagram.
const DATAGRAM_BYTES: usize = 65_536;
/// Wanted for the queue of what was not read yet.
const QUEUE_BYTES: usize = 1 << 20;
/// How long the thread may outlive its socket's user.
const PATIENCE: Duration = Duration::from_millis(200);

/// A fault that stays must not make the thread spin.
const AFTER_FAULT: Duration = Duration::from_millis(1);

/// Which datagrams are dropped: the same ones for the same seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Share of datagrams, 0 to 1.
    share: f64,
    state: u64,
}

impl Loss {
    /// A share from 0 to 1.
    pub fn new(share: f64, seed: u64) -> Loss {
        Loss { share, state: seed }
    }

    /// Whether the next one is dropped.
    fn strikes(&mut self) -> bool {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 11) as f64) < self.share * (1u64 << 53) as f64
    }
}

/// On which network interface groups are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// The one that the host's routes lead to.
    #[default]
    Routed,
    /// The one of this number.
    Index(u32),
    /// The one that has this address; for groups of IPv4.
    Address(Ipv4Addr),
}

impl FromStr for Interface {
    type Err = String;

    /// Reads an IPv4 address of the interface, or its name.
    fn from_str(text: &str) -> Result<Interface, String> {
        if let Ok(address) = text.parse() {
            return Ok(Interface::Address(address));
        }
        let unknown = || format!("this host has no network interface \"{text}\"");
        if text.is_empty() || text.contains('/') {
            return Err(unknown());
        }
        let path = Path::new("/sys/class/net").join(text).join("ifindex");
        let index = std::fs::read_to_string(path).map_err(|_| unknown())?;
        let index = index.trim().parse().map_err(|_| unknown())?;
        Ok(Interface::Index(index))
    }
}

/// How groups are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joining {
    /// Where.
    pub interface: Interface,
    /// What is lost of what comes.
    pub loss: Option<Loss>,
}

/// A socket that nobody reads yet.
pub struct Datagrams {
    socket: UdpSocket,
    loss: Option<Loss>,
}

impl Datagrams {
    /// On any port, for both versions of IP if the host has both.
    ///
    /// # Errors
    /// In words.
    pub fn bind(loss: Option<Loss>) -> Result<Datagrams, String> {
        let v6 = (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let v4 = (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let socket = open(v6).or_else(|_| open(v4));
        let socket = socket.map_err(|e| format!("no socket for datagrams: {e}"))?;
        Ok(Datagrams { socket, loss })
    }

    /// A member of a group, which receives what is sent to it and nothing else. Others on this host may be
    /// members, too.
    ///
    /// # Errors
    /// In words.
    pub fn join(group: SocketAddr, joining: Joining) -> Result<Datagrams, String> {
        if !group.ip().is_multicast() {
            return Err(format!("{group} is no multicast group"));
        }
        let socket = enter(group, joining.interface);
        let socket = socket.map_err(|e| format!("cannot join {group}: {e}"))?;
        Ok(Datagrams {
            socket,
            loss: joining.loss,
        })
    }

    /// Its port.
    ///
    /// # Errors
    /// In words.
    pub fn port(&self) -> Result<u16, String> {
        let address = self.socket.local_addr();
        address.map(|a| a.port()).map_err(|e| e.to_string())
    }

    /// Read it from now on, as the machine's socket of this number.
    pub(crate) fn run(
        self,
        channel: Channel,
        events: SyncSender<(Instant, Event)>,
    ) -> Result<Running, String> {
        let running = Running {
            is_v6: self.socket.local_addr().is_ok_and(|a| a.is_ipv6()),
            socket: Arc::new(self.socket),
            over: Arc::new(AtomicBool::new(false)),
            dropped: Arc::new(AtomicU64::new(0)),
        };
        let (socket, over) = (running.socket.clone(), running.over.clone());
        let dropped = running.dropped.clone();
        let mut loss = self.loss;
        let keep = move |_: &[u8]| {
            let lost = loss.as_mut().is_some_and(Loss::strikes);
            dropped.fetch_add(u64::from(lost), Ordering::Relaxed);
            !lost
        };
        std::thread::Builder::new()
            .name("datagrams".into())
            .spawn(move || read(channel, &socket, &over, keep, &events))
            .map_err(|e| format!("no thread for datagrams: {e}"))?;
        Ok(running)
    }
}

fn open((domain, ip): (Domain, IpAddr)) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    prepare(&socket)?;
    socket.bind(&SockAddr::from(SocketAddr::new(ip, 0)))?;
    Ok(socket.into())
}

/// Bound to the group's own address, so that the port's other groups and hosts do not get in.
fn enter(group: SocketAddr, interface: Interface) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(group);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    match group {
        SocketAddr::V4(v4) => {
            use socket2::InterfaceIndexOrAddress as On;
            let on = match interface {
                Interface::Routed => On::Address(Ipv4Addr::UNSPECIFIED),
                Interface::Index(index) => On::Index(index),
                Interface::Address(address) => On::Address(address),
            };
            socket.bind(&SockAddr::from(group))?;
            socket.join_multicast_v4_n(v4.ip(), &on)?;
        }
        SocketAddr::V6(v6) => {
            let index = match interface {
                Interface::Routed => v6.scope_id(),
                Interface::Index(index) => index,
                Interface::Address(_) => {
                    let what = "the interface of an IPv6 group is said by its name";
                    return Err(io::Error::new(ErrorKind::InvalidInput, what));
                }
            };
            let group = SocketAddrV6::new(*v6.ip(), v6.port(), 0, index);
            socket.set_only_v6(true)?;
            socket.bind(&SockAddr::from(group))?;
            socket.join_multicast_v6(v6.ip(), index)?;
        }
    }
    Ok(socket.into())
}

fn prepare(socket: &Socket) -> io::Result<()> {
    // As much of it as the host allows.
    let _ = socket.set_recv_buffer_size(QUEUE_BYTES);
    socket.set_read_timeout(Some(PATIENCE))
}

fn read(
    channel: Channel,
    socket: &UdpSocket,
    over: &AtomicBool,
    mut keep: impl FnMut(&[u8]) -> bool,
    events: &SyncSender<(Instant, Event)>,
) {
    let mut reader = DatagramReader::new(socket);
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while !over.load(Ordering::Relaxed) {
        let (at, len, sender) = match reader.next(socket, &mut buffer) {
            Ok(datagram) => datagram,
            Err(e) => {
                // Its time is over; or some host refused what was sent to it, which tells nothing new.
                if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    std::thread::sleep(AFTER_FAULT);
                }
                continue;
            }
        };
        let bytes = buffer.get(..len).unwrap_or_default();
        let sender = SocketAddr::new(sender.ip().to_canonical(), sender.port());
        if keep(bytes)
            && events
                .send((at, Event::Datagram(channel, sender, bytes.to_vec())))
                .is_err()
        {
            return;
        }
    }
}

/// A socket that is read. The reading ends when it is dropped.
pub(crate) struct Running {
    socket: Arc<UdpSocket>,
    is_v6: bool,
    over: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
}

impl Running {
    pub fn send(&self, bytes: &[u8], peer: SocketAddr) {
        let ip = match peer.ip() {
            IpAddr::V4(ip) if self.is_v6 => IpAddr::V6(ip.to_ipv6_mapped()),
            ip => ip,
        };
        let _ = self.socket.send_to(bytes, SocketAddr::new(ip, peer.port()));
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn loss_is_the_same_for_the_same_seed() {
        let struck = |share, seed| -> Vec<bool> {
            let mut loss = Loss::new(share, seed);
            (0..10_000).map(|_| loss.strikes()).collect()
        };
        let count = |struck: &[bool]| struck.iter().filter(|s| **s).count();
        assert_eq!(struck(0.05, 1), struck(0.05, 1));
        assert_ne!(struck(0.05, 1), struck(0.05, 2));
        assert!((400..600).contains(&count(&struck(0.05, 1))));
        assert_eq!(count(&struck(0.0, 1)), 0);
        assert_eq!(count(&struck(1.0, 1)), 10_000);
    }

    #[test]
    fn interfaces_have_names_and_addresses() {
        assert_eq!(
            "127.0.0.1".parse(),
            Ok(Interface::Address(Ipv4Addr::LOCALHOST))
        );
        assert!(matches!("lo".parse(), Ok(Interface::Index(1..))));
        for bad in ["", "..", "no-such", "../net/lo", "::1"] {
            assert!(bad.parse::<Interface>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn members_of_a_group_get_what_is_sent_to_it_and_nothing_else() {
        let on = |interface| Joining {
            interface,
            loss: None,
        };
        let lo = "lo".parse().expect("loopback");
        let address = Interface::Address(Ipv4Addr::LOCALHOST);
        let port = Datagrams::bind(None)
            .and_then(|d| d.port())
            .expect("a port");
        let group = SocketAddr::from(([239, 255, 77, 1], port));
        let (sender, events) = sync_channel(256);
        let members = [on(lo), on(address)].map(|joining| {
            let member = Datagrams::join(group, joining).expect("a member");
            member.run(Channel(5), sender.clone()).expect("a reader")
        });
        let far = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        far.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .expect("the interface");
        let to = |to: SocketAddr, bytes: &[u8]| far.send_to(bytes, &SockAddr::from(to));
        // Neither is for the group: the second goes to another one at the same port.
        let _ = to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), b"host");
        to(SocketAddr::from(([239, 255, 77, 2], port)), b"other").expect("send");
        to(group, b"here").expect("send");
        for _ in &members {
            let event = events.recv_timeout(Duration::from_secs(10));
            let Ok((_, Event::Datagram(channel, _, bytes))) = event else {
                panic!("no datagram")
            };
            assert_eq!((channel, &bytes[..]), (Channel(5), &b"here"[..]));
        }
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn only_groups_are_joined() {
        let join = |address: &str, interface| {
            let address = address.parse().expect("an address");
            let joined = Datagrams::join(
                address,
                Joining {
                    interface,
                    loss: None,
                },
            );
            joined.err().expect("refused")
        };
        let fault = join("127.0.0.1:5000", Interface::Routed);
        assert!(fault.contains("no multicast group"), "{fault}");
        let address = Interface::Address(Ipv4Addr::LOCALHOST);
        let fault = join("[ff02::5]:5000", address);
        assert!(fault.contains("by its name"), "{fault}");
    }

    #[test]
    fn datagrams_go_both_ways_and_some_are_dropped() {
        let datagrams = Datagrams::bind(Some(Loss::new(0.5, 7))).expect("a socket");
        let port = datagrams.port().expect("a port");
        let (sender, events) = sync_channel(256);
        let running = datagrams.run(Channel(3), sender).expect("a reader");
        let far = UdpSocket::bind("127.0.0.1:0").expect("bind");
        far.set_read_timeout(Some(Duration::from_secs(10)))
            .expect("timeout");
        let address = far.local_addr().expect("address");
        running.send(b"hello", address);
        let mut buffer = [0; 10];
        let (n, from) = far.recv_from(&mut buffer).expect("a datagram");
        assert_eq!((&buffer[..n], from.port()), (&b"hello"[..], port));
        for n in 0..100 {
            far.send_to(&[n], ("127.0.0.1", port)).expect("send");
        }
        let mut strikes = Loss::new(0.5, 7);
        let kept: Vec<u8> = (0..100).filter(|_| !strikes.strikes()).collect();
        let mut got = Vec::new();
        while got.len() < kept.len() {
            let (_, event) = events
                .recv_timeout(Duration::from_secs(10))
                .expect("an event");
            let Event::Datagram(channel, peer, bytes) = event else {
                panic!("no datagram")
            };
            assert_eq!((channel, peer), (Channel(3), address));
            got.extend(bytes);
        }
        assert_eq!(got, kept);
    }
}
