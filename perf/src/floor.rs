//! The floor: the least that any server could do for the same sessions. One thread, no runtime,
//! no session state but a position: every 5 ms it walks the sessions of one slice and gives each
//! a single send of what has become due. Its socket options are those of the server.
//!
//! All sessions get identical bytes (the `$D` sequence runs with the packet number instead of
//! starting at 0 for each session), requests are hardly looked at, nobody is ever timed out.

use crate::content;
use crate::sys::{self, Epoll, Events};
use crate::wmsp;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Base of the sending wheel.
pub const SLICE: Duration = Duration::from_millis(5);
const SLICE_NS: u64 = SLICE.as_nanos() as u64;
const FRAME_HEAD: usize = 12;
/// How much of the past a session may lag behind before it is moved to the newest packet.
const RING_S: f64 = 10.0;
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
    let listener = listen(settings).map_err(|e| format!("cannot listen: {e}"))?;
    let port = listener
        .local_addr()
        .ok()
        .and_then(|a| a.as_socket())
        .map_or(0, |a| a.port());
    ready(port);
    let mut floor = Floor::new(settings, listener).map_err(|e| format!("epoll: {e}"))?;
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

fn listen(settings: &Settings) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(settings.listen),
        Type::STREAM,
        Some(Protocol::TCP),
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

struct Floor {
    epoll: Epoll,
    events: Events,
    listener: Socket,
    pending: BTreeMap<u64, (Socket, Vec<u8>)>,
    next_token: u64,
    slices: Vec<Vec<Sink>>,
    next_slice: usize,
    ring: Ring,
    describe: Vec<u8>,
    play: Vec<u8>,
}

impl Floor {
    fn new(settings: &Settings, listener: Socket) -> io::Result<Floor> {
        let epoll = Epoll::new()?;
        epoll.add_read(listener.as_raw_fd(), LISTENER)?;
        let header = wmsp::header_packets(&content::noise_header(
            settings.packet_size,
            settings.bit_rate,
        ));
        Ok(Floor {
            epoll,
            events: Events::new(256),
            listener,
            pending: BTreeMap::new(),
            next_token: 0,
            slices: (0..settings.slices()).map(|_| Vec::new()).collect(),
            next_slice: 0,
            ring: Ring::new(settings),
            describe: describe_reply(&header),
            play: play_reply(&header),
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
            self.pending.insert(token, (socket, Vec::new()));
        }
    }

    fn request(&mut self, token: u64) {
        let Some((socket, bytes)) = self.pending.get_mut(&token) else {
            return;
        };
        let mut buffer = [0; 2048];
        match sys::recv(socket.as_raw_fd(), &mut buffer) {
            Ok(n) if n > 0 && bytes.len() < 16_384 => bytes.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            _ => {
                self.pending.remove(&token);
                return;
            }
        }
        if !bytes.ends_with(b"\r\n\r\n") {
            return;
        }
        let has = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        let play = has(b"xPlayStrm=1");
        let pair = has(b"packet-pair-experiment=1");
        bytes.clear();
        let fd = socket.as_raw_fd();
        if !play {
            let sent = if pair {
                send_packet_pair(fd, &self.describe)
            } else {
                send_all(fd, &self.describe)
            };
            if !sent {
                self.pending.remove(&token);
            }
            return;
        }
        let Some((socket, _)) = self.pending.remove(&token) else {
            return;
        };
        if self.epoll.remove(fd).is_err() || !send_all(fd, &self.play) {
            return;
        }
        let slices = self.slices.len();
        self.slices[self.next_slice % slices].push(Sink {
            socket,
            position: self.ring.head,
            offset: 0,
        });
        self.next_slice += 1;
    }

    fn send_slice(&mut self, slice: usize) {
        let ring = &self.ring;
        self.slices[slice].retain_mut(|sink| {
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

/// Three `$P` before the body of a Describe reply (wmsp.md 2.5), each its own segment.
fn send_packet_pair(fd: i32, describe: &[u8]) -> bool {
    let Ok(Some(plain)) = wmsp::response_head(describe) else {
        return false;
    };
    let body = &describe[plain.len..];
    let head = reply_head(
        "application/vnd.ms.wms-hdr.asfv1",
        ",packet-pair-experiment=1",
        Some(2080 + body.len()),
    );
    let r = head.len().min(504);
    let mut noise = content::Noise::new(sys::now_ns());
    let mut packet = |len: u16, payload: usize| {
        let mut p = vec![b'$', b'P'];
        p.extend(len.to_le_bytes());
        p.extend((r as u32).to_le_bytes());
        let at = p.len();
        p.resize(at + payload, 0);
        noise.fill(&mut p[at..]);
        p
    };
    let first = [head.into_bytes(), packet(504, 504 - r)].concat();
    let second = packet(504, 504);
    let third = [packet(1048, 1048 + r), body.to_vec()].concat();
    send_all(fd, &first) && send_all(fd, &second) && send_all(fd, &third)
}

fn reply_head(content_type: &str, pragma: &str, content_length: Option<usize>) -> String {
    let length = content_length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
    format!(
        "HTTP/1.1 200 OK\r\nServer: Cougar/9.01.01.3841\r\nContent-Type: {content_type}\r\n\
         Cache-Control: no-cache\r\n{length}\
         Pragma: no-cache,client-id=1,features=\"broadcast\"{pragma}\r\n\r\n"
    )
}

fn describe_reply(header: &[u8]) -> Vec<u8> {
    let head = reply_head("application/vnd.ms.wms-hdr.asfv1", "", Some(header.len()));
    [head.into_bytes(), header.to_vec()].concat()
}

fn play_reply(header: &[u8]) -> Vec<u8> {
    let head = reply_head("application/x-mms-framed", "", None);
    [head.into_bytes(), header.to_vec()].concat()
}

/// Framed packets of the last [`RING_S`] seconds. Stored twice in a row so that a run that wraps
/// is contiguous; the payload stays, only heads are rewritten.
struct Ring {
    bytes: Vec<u8>,
    slots: usize,
    /// Bytes of a framed packet.
    frame: usize,
    interval_ns: u64,
    /// Number of the next packet to become due.
    head: u64,
}

impl Ring {
    fn new(settings: &Settings) -> Ring {
        let frame = FRAME_HEAD + usize::from(settings.packet_size);
        let interval_ns = settings.interval_ns();
        let slots = ((RING_S * 1e9 / interval_ns as f64) as usize).max(16);
        let mut bytes = vec![0; 2 * slots * frame];
        content::Noise::new(1).fill(&mut bytes);
        Ring {
            bytes,
            slots,
            frame,
            interval_ns,
            head: 0,
        }
    }

    /// Make the packets that are due `elapsed_ns` after the start.
    fn advance(&mut self, elapsed_ns: u64) {
        while self.head * self.interval_ns <= elapsed_ns {
            let send_time = self.head * self.interval_ns / 1_000_000;
            let slot = (self.head % self.slots as u64) as usize;
            for copy in [slot, slot + self.slots] {
                let at = copy * self.frame;
                let packet = &mut self.bytes[at..at + self.frame];
                let (head, payload) = packet.split_at_mut(FRAME_HEAD);
                if let Ok(head) = head.try_into() {
                    wmsp::data_head(
                        self.head as u32,
                        self.head as u8,
                        payload.len() as u16,
                        head,
                    );
                }
                content::noise_packet_head(self.head, send_time as u32, payload);
            }
            self.head += 1;
        }
    }

    /// All that is due from `position`, less `offset` bytes.
    fn run(&self, position: u64, offset: usize) -> &[u8] {
        let count = (self.head - position) as usize;
        let at = (position % self.slots as u64) as usize * self.frame;
        &self.bytes[at + offset..at + count * self.frame]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wmsp::{Deframer, Packet};

    fn settings() -> Settings {
        Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            bit_rate: 1_000_000,
            packet_size: 3200,
            cadence: Duration::from_millis(100),
            congestion: "cubic".into(),
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
    fn runs_are_contiguous_and_framed_across_the_wrap() {
        let mut ring = Ring::new(&settings());
        let slots = ring.slots as u64;
        ring.advance((slots + 5) * ring.interval_ns);
        assert_eq!(ring.head, slots + 6);
        let from = slots - 3;
        let run = ring.run(from, 0);
        assert_eq!(run.len(), 9 * 3212);
        let mut seen = Vec::new();
        let mut deframer = Deframer::default();
        deframer
            .feed(run, |p| {
                if let Packet::Data(d) = p {
                    seen.push((d.location, d.sequence, d.send_time));
                }
            })
            .unwrap();
        let expect: Vec<_> = (from..slots + 6)
            .map(|i| (i as u32, i as u8, Some((i * 25_600 / 1000) as u32)))
            .collect();
        assert_eq!(seen, expect);
        assert!(deframer.at_boundary());
        assert_eq!(ring.run(from, 100).len(), 9 * 3212 - 100);
        assert!(ring.run(ring.head, 0).is_empty());
    }

    #[test]
    fn replies_are_valid_for_the_swarm() {
        let header = wmsp::header_packets(&content::noise_header(3200, 1_000_000));
        let describe = describe_reply(&header);
        let head = wmsp::response_head(&describe).unwrap().unwrap();
        assert_eq!(
            head.content_length,
            Some((describe.len() - head.len) as u64)
        );
        let play = play_reply(&header);
        let head = wmsp::response_head(&play).unwrap().unwrap();
        assert_eq!((head.status, head.content_length), (200, None));
    }
}
