//! The floor: the least that any server could do for the same sessions. One thread, no runtime,
//! no session state but a position: every 5 ms it walks the sessions of one slice and gives each
//! a single send of what has become due. Its socket options are those of the server.
//!
//! All sessions get identical bytes (the sequence runs with the packet number instead of starting
//! at 0 for each session), requests are hardly looked at, nobody is ever timed out. Datagrams leave
//! in one of three ways, which are the bounds of what a server can do.

mod datagrams;
mod mmsp;
mod ring;
mod rtsp;
mod wmsp;

use crate::swarm::Protocol;
use crate::sys::{self, Epoll, Events};
pub use datagrams::Sending;
use datagrams::{Destination, Office};
use ring::Ring;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Base of the sending wheel.
pub const SLICE: Duration = Duration::from_millis(5);
const SLICE_NS: u64 = SLICE.as_nanos() as u64;
const LISTENER: u64 = u64::MAX;

/// What the floor sends and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0: any.
    pub listen: SocketAddr,
    /// bit/s of ASF packets, framing not counted.
    pub bit_rate: u32,
    /// Bytes of an ASF packet.
    pub packet_size: u16,
    /// Time between two sends to one session.
    pub cadence: Duration,
    /// Congestion control of the listener.
    pub congestion: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// How datagrams leave.
    pub sending: Sending,
}

impl Settings {
    /// SO_SNDBUF: the larger of 64 KiB and 2 s of the rate.
    pub fn send_buffer(&self) -> usize {
        (64 * 1024).max(self.bit_rate as usize / 8 * 2)
    }

    /// Slices of 5 ms that make a cadence, at least one.
    pub fn slices(&self) -> usize {
        ((self.cadence.as_nanos() + u128::from(SLICE_NS) / 2) / u128::from(SLICE_NS)).max(1)
            as usize
    }

    /// Time between two packets.
    fn interval_ns(&self) -> u64 {
        u64::from(self.packet_size) * 8 * 1_000_000_000 / u64::from(self.bit_rate.max(1))
    }
}

/// Serve until killed. `ready` gets the port once it listens.
pub fn serve(settings: &Settings, ready: impl FnOnce(u16)) -> Result<(), String> {
    let (listener, office) = open(settings).map_err(|e| format!("cannot listen: {e}"))?;
    let port = port_of(&listener);
    let mut floor = Floor::new(settings, listener, office).map_err(|e| format!("epoll: {e}"))?;
    ready(port);
    let start = sys::now_ns();
    for tick in 0u64.. {
        sys::sleep_until_ns(start + tick * SLICE_NS);
        floor
            .control()
            .map_err(|e| format!("control connections: {e}"))?;
        floor.ring.advance(sys::now_ns() - start);
        floor.send_slice((tick % floor.slices.len() as u64) as usize);
    }
    Ok(())
}

/// How often a port is looked for that is free for both transports.
const PORTS_TRIED: usize = 16;

/// The listener, and for datagrams a socket of the same number.
fn open(settings: &Settings) -> io::Result<(Socket, Option<Office>)> {
    let mut tries = PORTS_TRIED;
    loop {
        let listener = listen(settings)?;
        if !settings.protocol.over_udp() {
            return Ok((listener, None));
        }
        let mut at = settings.listen;
        at.set_port(port_of(&listener));
        match Office::open(at, settings) {
            Ok(office) => return Ok((listener, Some(office))),
            Err(e) if settings.listen.port() != 0 || tries == 0 => return Err(e),
            Err(_) => tries -= 1,
        }
    }
}

fn port_of(listener: &Socket) -> u16 {
    let address = listener.local_addr().ok().and_then(|a| a.as_socket());
    address.map_or(0, |a| a.port())
}

fn listen(settings: &Settings) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(settings.listen),
        Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    sys::set_congestion(socket.as_raw_fd(), &settings.congestion)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(settings.send_buffer())?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(settings.listen))?;
    socket.listen(4096)?;
    Ok(socket)
}

struct Sink {
    socket: Socket,
    /// Next packet.
    position: u64,
    /// Bytes of it that have gone.
    offset: usize,
}

/// Sessions that are served at the same time.
#[derive(Default)]
struct Slice {
    sinks: Vec<Sink>,
    destinations: Vec<Destination>,
}

/// The protocol that is spoken.
enum Host {
    Wmsp(wmsp::Host),
    Mmsp(mmsp::Host),
    Rtsp(rtsp::Host),
}

/// A connection before it gets media.
enum Guest {
    Wmsp(Vec<u8>),
    Mmsp(mmsp::Guest),
    Rtsp(rtsp::Guest),
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Wait,
    Close,
    /// Media is to be sent, on it or to this port.
    Play(Option<u16>),
}

impl Verdict {
    fn wait_if(good: bool) -> Verdict {
        if good { Verdict::Wait } else { Verdict::Close }
    }
}

struct Floor {
    epoll: Epoll,
    events: Events,
    listener: Socket,
    office: Option<Office>,
    pending: BTreeMap<u64, (Socket, Guest)>,
    next_token: u64,
    slices: Vec<Slice>,
    next_slice: usize,
    ring: Ring,
    host: Host,
}

impl Floor {
    fn new(settings: &Settings, listener: Socket, office: Option<Office>) -> io::Result<Floor> {
        let epoll = Epoll::new()?;
        epoll.add_read(listener.as_raw_fd(), LISTENER)?;
        Ok(Floor {
            epoll,
            events: Events::new(256),
            listener,
            office,
            pending: BTreeMap::new(),
            next_token: 0,
            slices: (0..settings.slices()).map(|_| Slice::default()).collect(),
            next_slice: 0,
            ring: Ring::new(settings),
            host: match settings.protocol {
                Protocol::Wmsp => Host::Wmsp(wmsp::Host::new(settings)),
                Protocol::Mmst | Protocol::Mmsu => Host::Mmsp(mmsp::Host::new(settings)),
                Protocol::Rtspt | Protocol::Rtspu => Host::Rtsp(rtsp::Host::new(settings)),
            },
        })
    }

    /// Accept, read requests, answer. Nothing waits.
    fn control(&mut self) -> io::Result<()> {
        let n = self.epoll.wait(&mut self.events, Duration::ZERO)?;
        for i in 0..n {
            match self.events.get(i).map(|r| r.token) {
                Some(LISTENER) => self.accept()?,
                Some(token) => self.request(token),
                None => {}
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.raw_os_error() == Some(libc::ECONNABORTED) => continue,
                Err(e) => return Err(e),
            };
            let token = self.next_token;
            self.next_token += 1;
            self.epoll.add_read(socket.as_raw_fd(), token)?;
            let guest = match self.host {
                Host::Wmsp(_) => Guest::Wmsp(Vec::new()),
                Host::Mmsp(_) => Guest::Mmsp(mmsp::Guest::default()),
                Host::Rtsp(_) => Guest::Rtsp(rtsp::Guest::default()),
            };
            self.pending.insert(token, (socket, guest));
        }
    }

    fn request(&mut self, token: u64) {
        let Some((socket, guest)) = self.pending.get_mut(&token) else {
            return;
        };
        let fd = socket.as_raw_fd();
        let mut buffer = [0; 2048];
        let came = match sys::recv(fd, &mut buffer) {
            Ok(n) if n > 0 => &buffer[..n],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            _ => {
                self.pending.remove(&token);
                return;
            }
        };
        let verdict = match (&self.host, guest) {
            (Host::Wmsp(host), Guest::Wmsp(bytes)) => {
                bytes.extend_from_slice(came);
                host.answer(fd, bytes)
            }
            (Host::Mmsp(host), Guest::Mmsp(guest)) => {
                host.answer(socket, self.office.as_ref(), guest, came)
            }
            (Host::Rtsp(host), Guest::Rtsp(guest)) => host.answer(fd, guest, came),
            _ => Verdict::Close,
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Close => drop(self.pending.remove(&token)),
            Verdict::Play(udp) => {
                if let Some((socket, _)) = self.pending.remove(&token)
                    && self.epoll.remove(fd).is_ok()
                {
                    self.admit(socket, udp);
                }
            }
        }
    }

    fn admit(&mut self, socket: Socket, udp: Option<u16>) {
        let at = self.next_slice % self.slices.len();
        self.next_slice += 1;
        let position = self.ring.head;
        match udp {
            None => self.slices[at].sinks.push(Sink {
                socket,
                position,
                offset: 0,
            }),
            Some(port) => {
                let destination = Destination::new(socket, port, position);
                self.slices[at].destinations.extend(destination);
            }
        }
    }

    fn send_slice(&mut self, slice: usize) {
        let ring = &self.ring;
        let Slice {
            sinks,
            destinations,
        } = &mut self.slices[slice];
        if let Some(office) = &mut self.office {
            office.send(ring, destinations);
        }
        sinks.retain_mut(|sink| {
            if ring.head - sink.position >= ring.slots as u64 {
                // Finish the packet in flight is impossible by now: the stream would be broken.
                if sink.offset != 0 {
                    return false;
                }
                sink.position = ring.head - 1;
            }
            let run = ring.run(sink.position, sink.offset);
            if run.is_empty() {
                return true;
            }
            match sys::send(sink.socket.as_raw_fd(), run) {
                Ok(n) => {
                    let done = sink.offset + n;
                    sink.position += (done / ring.frame) as u64;
                    sink.offset = done % ring.frame;
                    true
                }
                Err(e) => e.kind() == io::ErrorKind::WouldBlock,
            }
        });
    }
}

fn send_all(fd: i32, bytes: &[u8]) -> bool {
    sys::send(fd, bytes).is_ok_and(|n| n == bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings() -> Settings {
        Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            bit_rate: 1_000_000,
            packet_size: 3200,
            cadence: Duration::from_millis(100),
            congestion: "cubic".into(),
            protocol: Protocol::Wmsp,
            sending: Sending::Sendto,
        }
    }

    #[test]
    fn options_follow_the_rate() {
        let mut s = settings();
        assert_eq!(s.send_buffer(), 250_000);
        assert_eq!((s.slices(), s.interval_ns()), (20, 25_600_000));
        s.bit_rate = 100_000;
        s.cadence = Duration::from_millis(57);
        assert_eq!((s.send_buffer(), s.slices()), (65_536, 11));
        s.cadence = Duration::ZERO;
        assert_eq!(s.slices(), 1);
    }

    #[test]
    fn datagrams_leave_from_the_port_of_the_listener() {
        let (listener, office) = open(&Settings {
            protocol: Protocol::Mmsu,
            ..settings()
        })
        .unwrap();
        assert_eq!(office.unwrap().port(), Some(port_of(&listener)));
    }
}
