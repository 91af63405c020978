//! UDP sockets: bound by hand, read through the ring, written many datagrams at a time.

use super::send::set_option;
use glommio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Send buffer of a socket that carries the media of a whole core, bytes.
const SEND_BUFFER: usize = 4 << 20;

/// Messages of one system call. More save nothing that could be measured.
const BATCH: usize = 64;

/// Bytes that wait for one system call at most.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// Datagrams of one message that the kernel cuts into pieces (its own bound is 128).
const SEGMENTS_MAX: u32 = 40;

/// Bytes of such a message: it is limited like one datagram.
const SEGMENTED_BYTES_MAX: usize = 64_000;

/// Room for the control messages of one datagram: the length of its pieces and its source address.
const CONTROL_BYTES: usize = 64;

/// A bound UDP socket that has not yet been given to a core.
pub struct BoundDatagrams {
    fd: OwnedFd,
    /// Where it is bound; the port is known even if 0 was asked for.
    pub local: SocketAddr,
}

impl BoundDatagrams {
    /// Bind. Sockets of several cores may share an address.
    ///
    /// # Errors
    /// What the kernel says: address in use, no permission for the port.
    pub fn new(address: SocketAddr) -> io::Result<BoundDatagrams> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let fd = socket.as_raw_fd();
        // Packets that are larger than the path are cut on the way instead of being lost.
        let dont = libc::IP_PMTUDISC_DONT;
        match address {
            SocketAddr::V4(_) => set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, dont)?,
            SocketAddr::V6(_) => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, dont)?,
        }
        socket.bind(&address.into())?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("not an internet socket"))?;
        Ok(BoundDatagrams {
            fd: socket.into(),
            local,
        })
    }
}

/// A UDP socket on its core. Written to through a [`Volley`] or [`send_datagram`] on its descriptor.
pub struct Datagrams {
    socket: UdpSocket,
}

impl Datagrams {
    /// Give the socket to the calling core.
    pub fn new(bound: BoundDatagrams) -> Datagrams {
        // SAFETY: ownership of the descriptor passes to the socket.
        let socket = unsafe { UdpSocket::from_raw_fd(bound.fd.into_raw_fd()) };
        Datagrams { socket }
    }

    /// The descriptor; valid as long as the socket lives.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Wait for a datagram. Longer ones than `buffer` are cut.
    ///
    /// # Errors
    /// When the socket failed.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await.map_err(io::Error::from)
    }
}

/// Where a datagram goes and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Destination.
    pub to: SocketAddr,
    /// Source address, of the same family; `None`: what the socket is bound to or the routes say.
    pub from: Option<IpAddr>,
}

/// One datagram, now and alone. False if the socket does not take it.
pub fn send_datagram(fd: RawFd, path: &Path, bytes: &[u8]) -> bool {
    let mut volley = Volley::default();
    volley.put(path, |out| out.extend_from_slice(bytes));
    volley.flush(fd).sent == 1
}

/// Datagrams to any destinations that leave together.
#[derive(Default)]
pub struct Volley {
    bytes: Vec<u8>,
    queue: Vec<Message>,
    /// Pieces of this length and longer are not left to the kernel to cut: it refused.
    uncut_from: Option<u32>,
    blocked: bool,
}

/// One entry of a system call: one datagram, or several of the same length for one destination.
#[derive(Clone)]
struct Message {
    bytes: Range<usize>,
    path: Path,
    /// Length of each datagram but the last, which may be shorter.
    piece: u32,
    count: u32,
}

/// What became of a volley.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams that left.
    pub sent: u64,
    /// System calls.
    pub calls: u64,
    /// Datagrams that the kernel refused for good: no route, too large.
    pub dropped: u64,
}

impl Volley {
    /// Append the datagram that `write` appends, which must be something.
    pub fn put(&mut self, path: &Path, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - start;
        let piece = u32::try_from(len).unwrap_or(u32::MAX);
        let cut = self.uncut_from.is_none_or(|from| piece < from);
        match self.queue.last_mut() {
            Some(last) if cut && last.takes(path, piece) => {
                last.bytes.end += len;
                last.count += 1;
            }
            _ => self.queue.push(Message {
                bytes: start..self.bytes.len(),
                path: *path,
                piece,
                count: 1,
            }),
        }
        len
    }

    /// True if it should be flushed before more is added.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= BATCH || self.bytes.len() >= BATCH_BYTES_MAX
    }

    /// True while the socket takes no more: nothing should be added.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Send as much as the socket takes. What it does not take waits for the next call.
    pub fn flush(&mut self, fd: RawFd) -> Flushed {
        let mut flushed = Flushed::default();
        let mut next = 0;
        self.blocked = false;
        while next < self.queue.len() {
            let batch = &self.queue[next..self.queue.len().min(next + BATCH)];
            flushed.calls += 1;
            match send_batch(fd, &self.bytes, batch) {
                Ok(count) => {
                    let sent = batch.iter().take(count).map(|m| u64::from(m.count));
                    flushed.sent += sent.sum::<u64>();
                    next += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if self.queue[next].count > 1 => self.split(next),
                Err(_) => {
                    flushed.dropped += 1;
                    next += 1;
                }
            }
        }
        self.queue.drain(..next);
        if self.queue.is_empty() {
            self.bytes.clear();
        }
        flushed
    }

    /// The kernel does not cut pieces of this length here: on this path they are longer than a packet.
    fn split(&mut self, at: usize) {
        let whole = self.queue[at].clone();
        self.uncut_from = Some(self.uncut_from.unwrap_or(u32::MAX).min(whole.piece));
        let pieces = whole.bytes.clone().step_by(whole.piece as usize);
        let singles = pieces.map(|start| Message {
            bytes: start..whole.bytes.end.min(start + whole.piece as usize),
            path: whole.path,
            piece: whole.piece,
            count: 1,
        });
        self.queue.splice(at..=at, singles);
    }
}

impl Message {
    /// True if a datagram of `len` bytes can be one of this message's pieces.
    fn takes(&self, path: &Path, len: u32) -> bool {
        let is_whole = self.bytes.len() == (self.piece * self.count) as usize;
        is_whole
            && self.path == *path
            && len <= self.piece
            && self.count < SEGMENTS_MAX
            && self.bytes.len() + len as usize <= SEGMENTED_BYTES_MAX
    }
}

/// One system call. Returns how many of the messages were taken, at least one.
fn send_batch(fd: RawFd, bytes: &[u8], batch: &[Message]) -> io::Result<usize> {
    let mut addresses: [MaybeUninit<libc::sockaddr_storage>; BATCH] =
        [const { MaybeUninit::uninit() }; BATCH];
    let mut vectors: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
    let mut controls = [const { Control([0; CONTROL_BYTES]) }; BATCH];
    // SAFETY: all-zero is a valid mmsghdr: null pointers with zero lengths.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for (n, message) in batch.iter().enumerate() {
        let payload = &bytes[message.bytes.clone()];
        let header = &mut headers[n].msg_hdr;
        header.msg_namelen = write_address(&message.path.to, &mut addresses[n]);
        header.msg_name = addresses[n].as_mut_ptr().cast();
        header.msg_iov = vectors[n].write(libc::iovec {
            iov_base: payload.as_ptr().cast_mut().cast(),
            iov_len: payload.len(),
        });
        header.msg_iovlen = 1;
        let used = write_control(message, &mut controls[n]);
        if used > 0 {
            header.msg_control = controls[n].0.as_mut_ptr().cast();
            header.msg_controllen = used;
        }
    }
    // SAFETY: the first `batch.len()` headers were filled above; all they point to outlives the call,
    // which reads the payloads and does not write to them.
    let sent = unsafe {
        libc::sendmmsg(
            fd,
            headers.as_mut_ptr(),
            batch.len() as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Control messages have the alignment of their header.
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

fn write_address(address: &SocketAddr, to: &mut MaybeUninit<libc::sockaddr_storage>) -> u32 {
    let made = socket2::SockAddr::from(*address);
    // SAFETY: `SockAddr` holds a sockaddr_storage of which `len` bytes are the address.
    to.write(unsafe { *made.as_ptr().cast::<libc::sockaddr_storage>() });
    made.len()
}

/// Returns the bytes used.
fn write_control(message: &Message, control: &mut Control) -> usize {
    let mut used = 0;
    if message.count > 1 {
        let piece = u16::try_from(message.piece).unwrap_or(u16::MAX);
        used += put_control(
            &mut control.0[used..],
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            &piece.to_ne_bytes(),
        );
    }
    match message.path.from {
        Some(IpAddr::V4(from)) => {
            // in_pktinfo: interface 0, source address, destination unused.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&from.octets());
            used += put_control(
                &mut control.0[used..],
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                &info,
            );
        }
        Some(IpAddr::V6(from)) => {
            // in6_pktinfo: source address, interface 0.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&from.octets());
            used += put_control(
                &mut control.0[used..],
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                &info,
            );
        }
        None => {}
    }
    used
}

/// One control message, as the kernel's `cmsghdr` lays it out on 64-bit machines.
fn put_control(to: &mut [u8], level: i32, kind: i32, data: &[u8]) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let len = HEADER + data.len();
    to[..8].copy_from_slice(&len.to_ne_bytes());
    to[8..12].copy_from_slice(&level.to_ne_bytes());
    to[12..16].copy_from_slice(&kind.to_ne_bytes());
    to[HEADER..len].copy_from_slice(data);
    len.next_multiple_of(8)
}

const _: () = assert!(size_of::<libc::cmsghdr>() == 16 && size_of::<usize>() == 8);
// in_pktinfo and in6_pktinfo with their headers, after the piece length with its own.
const _: () = assert!(24 + 40 <= CONTROL_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket as StdSocket};

    fn pair(address: &str) -> (BoundDatagrams, StdSocket, Path) {
        let sender = BoundDatagrams::new(address.parse().unwrap()).unwrap();
        let receiver = StdSocket::bind(address).unwrap();
        let path = Path {
            to: receiver.local_addr().unwrap(),
            from: None,
        };
        (sender, receiver, path)
    }

    fn receive(socket: &StdSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 70_000];
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        buffer.truncate(n);
        (buffer, from)
    }

    #[test]
    fn datagrams_keep_their_bounds_and_order() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver, path) = pair(address);
            let other = StdSocket::bind(address).unwrap();
            let elsewhere = Path {
                to: other.local_addr().unwrap(),
                from: None,
            };
            let mut volley = Volley::default();
            let lengths = [500, 500, 500, 200, 500, 900, 1];
            for (n, len) in lengths.into_iter().enumerate() {
                volley.put(&path, |out| out.resize(out.len() + len, n as u8));
            }
            volley.put(&elsewhere, |out| out.extend(b"there"));
            // Three full pieces and a short last one are one message, 500 is alone, then 900 and 1.
            assert_eq!(volley.queue.len(), 4);
            let flushed = volley.flush(sender.fd.as_raw_fd());
            assert_eq!(
                flushed,
                Flushed {
                    sent: 8,
                    calls: 1,
                    dropped: 0
                }
            );
            assert!(volley.is_empty() && !volley.is_blocked());
            for (n, len) in lengths.into_iter().enumerate() {
                let (bytes, from) = receive(&receiver);
                assert_eq!(bytes, vec![n as u8; len]);
                assert_eq!(from.port(), sender.local.port());
            }
            assert_eq!(receive(&other).0, b"there");
        }
    }

    #[test]
    fn the_source_address_can_be_chosen() {
        let sender = BoundDatagrams::new("0.0.0.0:0".parse().unwrap()).unwrap();
        let receiver = StdSocket::bind("127.0.0.1:0").unwrap();
        let path = Path {
            to: receiver.local_addr().unwrap(),
            from: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7))),
        };
        assert!(send_datagram(sender.fd.as_raw_fd(), &path, b"x"));
        assert_eq!(receive(&receiver).1.ip(), path.from.unwrap());
        // Two pieces in one message have it too.
        let mut volley = Volley::default();
        volley.put(&path, |out| out.extend(b"ab"));
        volley.put(&path, |out| out.extend(b"cd"));
        assert_eq!(volley.flush(sender.fd.as_raw_fd()).calls, 1);
        for want in [b"ab", b"cd"] {
            let (bytes, from) = receive(&receiver);
            assert_eq!((&bytes[..], from.ip()), (&want[..], path.from.unwrap()));
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_dropped_and_the_rest_leaves() {
        let (sender, receiver, path) = pair("127.0.0.1:0");
        let mut volley = Volley::default();
        volley.put(&path, |out| out.extend(b"first"));
        volley.put(&path, |out| out.resize(out.len() + 65_530, 0));
        volley.put(&path, |out| out.extend(b"second"));
        let flushed = volley.flush(sender.fd.as_raw_fd());
        assert_eq!((flushed.sent, flushed.dropped), (2, 1));
        assert_eq!(receive(&receiver).0, b"first");
        assert_eq!(receive(&receiver).0, b"second");
    }

    #[test]
    fn pieces_that_the_kernel_does_not_cut_leave_one_by_one() {
        let (sender, receiver, path) = pair("127.0.0.1:0");
        let fd = sender.fd.as_raw_fd();
        // Cutting needs checksums: without them the kernel refuses it, as it does on a path whose
        // packets are smaller than the pieces.
        set_option(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let mut volley = Volley::default();
        for n in 0..3 {
            volley.put(&path, |out| out.resize(out.len() + 100, n));
        }
        assert_eq!(volley.queue.len(), 1);
        let flushed = volley.flush(fd);
        assert_eq!((flushed.sent, flushed.dropped), (3, 0));
        for n in 0..3 {
            assert_eq!(receive(&receiver).0, [n; 100]);
        }
        // From now on such lengths are not put together.
        volley.put(&path, |out| out.resize(out.len() + 100, 7));
        volley.put(&path, |out| out.resize(out.len() + 100, 8));
        assert_eq!(volley.queue.len(), 2);
        volley.put(&path, |out| out.resize(out.len() + 50, 9));
        volley.put(&path, |out| out.resize(out.len() + 50, 9));
        assert_eq!(volley.queue.len(), 3);
    }
}
