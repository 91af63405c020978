//! A relay between a player and the server that writes down what both say, in the form of a capture
//! file. It needs no rights that a capture on the loopback interface would.

use super::mms;
use super::server::free_twice;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, iter};

const POLL: Duration = Duration::from_millis(10);

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Player,
    Server,
}

/// What passed by.
#[derive(Debug)]
enum Event {
    Opened,
    /// Bytes of the TCP connection, as much as one read gave.
    Bytes(Vec<u8>),
    /// One UDP datagram.
    Datagram(Vec<u8>),
    Closed,
}

#[derive(Debug)]
struct Record {
    at: Duration,
    /// Which of the TCP connections; for datagrams that of the last session.
    connection: usize,
    from: Side,
    event: Event,
}

/// Everything that passed by, in order.
#[derive(Debug, Default)]
pub struct Recording {
    records: Vec<Record>,
    /// The TCP ports of the connections' players.
    ports: Vec<u16>,
    /// Where the player of the last session takes datagrams.
    udp_port: u16,
}

impl Recording {
    /// The number of TCP connections so far.
    pub fn connections(&self) -> usize {
        self.ports.len()
    }

    /// The last of them. Some players try a connection before they play by another.
    pub fn last(&self) -> usize {
        self.ports.len().saturating_sub(1)
    }

    /// What one side has sent on a connection.
    pub fn bytes(&self, connection: usize, from: Side) -> Vec<u8> {
        let of_connection = self.of(connection, from);
        of_connection
            .filter_map(|event| match event {
                Event::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .concat()
    }

    /// Whether this side closed the connection, first or second.
    pub fn closed(&self, connection: usize, from: Side) -> bool {
        self.of(connection, from)
            .any(|event| matches!(event, Event::Closed))
    }

    /// The UDP datagrams of one side.
    pub fn datagrams(&self, from: Side) -> Vec<&[u8]> {
        let of_side = self.records.iter().filter(|r| r.from == from);
        of_side
            .filter_map(|r| match &r.event {
                Event::Datagram(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
            .collect()
    }

    fn of(&self, connection: usize, from: Side) -> impl Iterator<Item = &Event> {
        self.records
            .iter()
            .filter(move |r| r.connection == connection && r.from == from)
            .map(|r| &r.event)
    }

    /// Writes it as a capture file. The server's port is that of MMS in it, so that programs which
    /// read such files know what they see.
    pub fn write_pcap(&self, file: &Path) {
        fs::write(file, self.pcap()).expect("temporary directory");
    }

    fn pcap(&self) -> Vec<u8> {
        const RAW_IP: u32 = 101;
        let mut out = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0xffff, RAW_IP] {
            out.extend(u32::to_le_bytes(word));
        }
        let mut next = vec![[1u32, 1]; self.ports.len()];
        let mut held = vec![[Vec::new(), Vec::new()]; self.ports.len()];
        for record in &self.records {
            let (side, peer) = (record.from as usize, 1 - record.from as usize);
            let mut segment = |flags: u8, payload: &[u8]| {
                let next = &mut next[record.connection];
                let port = self.ports[record.connection];
                let packet = tcp(record.from, port, next[side], next[peer], flags, payload);
                let counts = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
                next[side] = next[side].wrapping_add(counts);
                pcap_packet(&mut out, record.at, &packet);
            };
            match &record.event {
                Event::Opened => segment(if side == 0 { SYN } else { SYN | ACK }, &[]),
                Event::Closed => {
                    segment(ACK | PSH, &held[record.connection][side]);
                    segment(FIN | ACK, &[]);
                }
                // Wireshark looks at the first thing in a segment only.
                Event::Bytes(bytes) => {
                    let held: &mut Vec<u8> = &mut held[record.connection][side];
                    held.extend(bytes);
                    while let Some(length) = mms::item_length(held) {
                        segment(ACK | PSH, &held[..length]);
                        held.drain(..length);
                    }
                }
                Event::Datagram(bytes) => {
                    let packet = udp(record.from, self.udp_port, bytes);
                    pcap_packet(&mut out, record.at, &packet);
                }
            }
        }
        out
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

fn pcap_packet(out: &mut Vec<u8>, at: Duration, packet: &[u8]) {
    let length = packet.len() as u32;
    for word in [at.as_secs() as u32, at.subsec_micros(), length, length] {
        out.extend(word.to_le_bytes());
    }
    out.extend(packet);
}

fn tcp(from: Side, port: u16, sequence: u32, acknowledged: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    const WORDS: u8 = 5 << 4;
    let mut segment = Vec::new();
    for port in ports(from, port) {
        segment.extend(port.to_be_bytes());
    }
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledged.to_be_bytes());
    segment.extend([WORDS, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    ip(from, 6, &segment)
}

fn udp(from: Side, port: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for port in ports(from, port) {
        datagram.extend(port.to_be_bytes());
    }
    datagram.extend((data.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]); // no checksum
    datagram.extend(data);
    ip(from, 17, &datagram)
}

fn ports(from: Side, player: u16) -> [u16; 2] {
    match from {
        Side::Player => [player, mms::PORT],
        Side::Server => [mms::PORT, player],
    }
}

/// An IPv4 packet between two addresses of the documentation range.
fn ip(from: Side, protocol: u8, payload: &[u8]) -> Vec<u8> {
    const VERSION_AND_WORDS: u8 = 0x45;
    let (source, destination) = match from {
        Side::Player => (2, 1),
        Side::Server => (1, 2),
    };
    let [high, low] = (payload.len() as u16 + 20).to_be_bytes();
    let mut packet = vec![VERSION_AND_WORDS, 0, high, low];
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend([192, 0, 2, source, 192, 0, 2, destination]);
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    packet.extend(payload);
    packet
}

/// A running relay, on a port of its own, TCP and UDP. Datagrams can flow for one session at a time.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    /// Towards the player: as the server's own, on the port of the TCP listener.
    near: UdpSocket,
    /// Towards the server: as the player's own.
    far: UdpSocket,
    recording: Mutex<Recording>,
    began: Instant,
    stopping: AtomicBool,
}

impl Relay {
    /// Begins to relay to a server.
    pub fn to(server: SocketAddr) -> Relay {
        let (listener, near) = free_twice();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(POLL)).expect("a socket");
        }
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            server,
            near,
            far,
            recording: Mutex::default(),
            began: Instant::now(),
            stopping: AtomicBool::new(false),
        });
        let threads = vec![
            spawn(&shared, move |shared| shared.accept(&listener)),
            spawn(&shared, |shared| shared.carry_datagrams(Side::Player)),
            spawn(&shared, |shared| shared.carry_datagrams(Side::Server)),
        ];
        Relay {
            address,
            shared,
            threads,
        }
    }

    /// `scheme://` and the relay's address and `path`.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}/{path}", self.address)
    }

    /// Looks at what passed by so far.
    pub fn look<T>(&self, at: impl FnOnce(&Recording) -> T) -> T {
        at(&self.shared.recording())
    }

    /// Waits until what passed by contains something.
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        found: impl Fn(&Recording) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = self.look(&found) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} after {limit:?}; the player said {:?}, the server {:?}",
                self.look(|r| mms::ids(&r.bytes(r.last(), Side::Player))),
                self.look(|r| mms::ids(&r.bytes(r.last(), Side::Server))),
            );
            thread::sleep(POLL);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(shared: &Arc<Shared>, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

impl Shared {
    fn recording(&self) -> std::sync::MutexGuard<'_, Recording> {
        // A test that failed while it looked has changed nothing.
        self.recording.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn record(&self, connection: usize, from: Side, event: Event) {
        let at = self.began.elapsed();
        self.recording().records.push(Record {
            at,
            connection,
            from,
            event,
        });
    }

    fn stops(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((player, address)) = listener.accept() {
            if self.stops() {
                return;
            }
            let Ok(server) = TcpStream::connect(self.server) else {
                continue; // the player sees a connection that is closed at once
            };
            let connection = {
                let mut recording = self.recording();
                recording.ports.push(address.port());
                recording.ports.len() - 1
            };
            self.record(connection, Side::Player, Event::Opened);
            self.record(connection, Side::Server, Event::Opened);
            for from in [Side::Player, Side::Server] {
                let [player, server] = [&player, &server].map(|s| s.try_clone().expect("a socket"));
                let (source, sink) = match from {
                    Side::Player => (player, server),
                    Side::Server => (server, player),
                };
                spawn(self, move |shared| {
                    shared.carry(connection, from, source, sink)
                });
            }
        }
    }

    /// Carries the bytes of one direction to their end, and the end too.
    fn carry(&self, connection: usize, from: Side, mut source: TcpStream, mut sink: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        let mut held = Vec::new();
        let _ = sink.set_nodelay(true);
        while let Ok(n @ 1..) = source.read(&mut buffer) {
            self.record(connection, from, Event::Bytes(buffer[..n].to_vec()));
            let onward = match from {
                Side::Player => self.with_own_port(&mut held, &buffer[..n]),
                Side::Server => buffer[..n].to_vec(),
            };
            if sink.write_all(&onward).is_err() {
                break;
            }
        }
        self.record(connection, from, Event::Closed);
        let _ = sink.shutdown(Shutdown::Write);
    }

    /// What goes on to the server of what the player said: a player that asks for datagrams gets them
    /// through the relay. Incomplete packets wait in `held` for their rest.
    fn with_own_port(&self, held: &mut Vec<u8>, bytes: &[u8]) -> Vec<u8> {
        held.extend(bytes);
        if !mms::is_packet(held) {
            return std::mem::take(held);
        }
        let mut onward = Vec::new();
        while let Some(length) = mms::packet_length(held) {
            let packet: Vec<u8> = held.drain(..length).collect();
            match mms::udp_port(&packet) {
                Some(port) => {
                    self.recording().udp_port = port;
                    let own = self.far.local_addr().expect("bound").port();
                    onward.extend(mms::with_udp_port(&packet, own));
                }
                None => onward.extend(packet),
            }
        }
        onward
    }

    fn carry_datagrams(&self, from: Side) {
        let mut buffer = vec![0; 64 * 1024];
        let source = match from {
            Side::Player => &self.near,
            Side::Server => &self.far,
        };
        while !self.stops() {
            let Ok(n) = source.recv(&mut buffer) else {
                continue;
            };
            let (connection, port) = {
                let recording = self.recording();
                (recording.last(), recording.udp_port)
            };
            self.record(connection, from, Event::Datagram(buffer[..n].to_vec()));
            let _ = match from {
                Side::Player => self.far.send_to(&buffer[..n], self.server),
                Side::Server => self.near.send_to(&buffer[..n], (Ipv4Addr::LOCALHOST, port)),
            };
        }
    }
}

#[test]
fn a_recording_becomes_a_capture_of_both_directions() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let relay = Relay::to(listener.local_addr().expect("bound"));
    let mut player = TcpStream::connect(relay.address).expect("the relay listens");
    let (mut server, _) = listener.accept().expect("the relay connects");
    player.write_all(b"question").expect("the relay reads");
    player.shutdown(Shutdown::Write).expect("open");
    let mut got = String::new();
    server.read_to_string(&mut got).expect("text");
    assert_eq!(got, "question");
    server.write_all(b"answer").expect("the relay reads");
    drop(server);
    got.clear();
    player.read_to_string(&mut got).expect("text");
    assert_eq!(got, "answer");
    let closed = |r: &Recording| r.closed(0, Side::Server).then_some(());
    relay.wait_for("end", Duration::from_secs(10), closed);
    relay.look(|recording| {
        assert_eq!(recording.connections(), 1);
        assert_eq!(recording.bytes(0, Side::Player), b"question");
        assert_eq!(recording.bytes(0, Side::Server), b"answer");
        let pcap = recording.pcap();
        let lengths: Vec<usize> = iter::successors(Some(24usize), |&at| {
            Some(at + 16 + u32::from_le_bytes(pcap.get(at + 8..at + 12)?.try_into().ok()?) as usize)
        })
        .collect();
        assert_eq!(lengths.len(), 7, "two openings, two closings, two segments");
        assert_eq!(lengths.last(), Some(&pcap.len()));
    });
}
