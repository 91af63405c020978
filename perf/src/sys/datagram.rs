//! Many datagrams with one call, in and out.

use super::{check, set_int};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

/// Datagrams of one call.
pub const BATCH: usize = 64;
/// Segments that the kernel makes of one send at most (UDP_MAX_SEGMENTS of older kernels).
pub const SEGMENTS_MAX: usize = 64;
/// Payload of the largest send.
pub const PAYLOAD_MAX: usize = 65_507;

/// Room for one control message of this size.
type Control = [u64; 8];

/// Takes up to [`BATCH`] datagrams with one call, of each only its first bytes.
pub struct Inbox {
    head: usize,
    bytes: Vec<u8>,
    control: Vec<Control>,
    arrived: Vec<(usize, Option<Ipv4Addr>)>,
}

/// A datagram that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Its first bytes, as many as the inbox keeps.
    pub head: &'a [u8],
    /// Length of the whole datagram.
    pub len: usize,
    /// Which of this host's addresses it was sent to; of sockets with [`tell_destination`].
    pub to: Option<Ipv4Addr>,
}

impl Inbox {
    /// Keep `head` bytes of each datagram.
    pub fn new(head: usize) -> Inbox {
        Inbox {
            head,
            bytes: vec![0; BATCH * head],
            control: vec![[0; 8]; BATCH],
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// Take what is there, without waiting. How many; an error if there is none.
    pub fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        self.arrived.clear();
        let mut parts = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: mmsghdr is plain data, all-zero is valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let heads = self.bytes.chunks_exact_mut(self.head);
        let rooms = heads.zip(&mut self.control);
        for ((message, part), (head, control)) in messages.iter_mut().zip(&mut parts).zip(rooms) {
            part.iov_base = head.as_mut_ptr().cast();
            part.iov_len = head.len();
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        // With MSG_TRUNC the length told is that of the datagram.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: every message points at a part and at rooms of this object or of this function,
        // of the sizes given; all outlive the call.
        let n = check(unsafe {
            libc::recvmmsg(
                fd,
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        })?;
        for message in &messages[..n as usize] {
            let to = destination(&message.msg_hdr);
            self.arrived.push((message.msg_len as usize, to));
        }
        Ok(n as usize)
    }

    /// The `index`th datagram of the last call.
    pub fn get(&self, index: usize) -> Option<Arrived<'_>> {
        let &(len, to) = self.arrived.get(index)?;
        let at = index * self.head;
        let head = self.bytes.get(at..at + len.min(self.head))?;
        Some(Arrived { head, len, to })
    }
}

/// Have the kernel tell where a datagram was sent to.
pub fn tell_destination(fd: RawFd) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
}

fn destination(message: &libc::msghdr) -> Option<Ipv4Addr> {
    // SAFETY: `message` was filled by the kernel and its control buffer lives.
    let mut cmsg = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !cmsg.is_null() {
        // SAFETY: the CMSG functions gave a valid header inside the control buffer.
        let head = unsafe { *cmsg };
        if head.cmsg_level == libc::IPPROTO_IP && head.cmsg_type == libc::IP_PKTINFO {
            // SAFETY: the kernel puts an in_pktinfo there; it may be unaligned.
            let info = unsafe {
                libc::CMSG_DATA(cmsg)
                    .cast::<libc::in_pktinfo>()
                    .read_unaligned()
            };
            return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)));
        }
        // SAFETY: as above.
        cmsg = unsafe { libc::CMSG_NXTHDR(message, cmsg) };
    }
    None
}

/// Let so many bytes wait in a socket, or as many as this process may; what it is now, as the
/// kernel counts (bookkeeping included).
pub fn set_receive_buffer(fd: RawFd, bytes: usize) -> io::Result<usize> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX / 2);
    if set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
        set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
    }
    let mut now: libc::c_int = 0;
    let mut len = size_of_val(&now) as libc::socklen_t;
    // SAFETY: pointer and size describe one int.
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw mut now).cast(),
            &mut len,
        )
    })?;
    Ok(usize::try_from(now).unwrap_or(0))
}

/// Datagrams that this socket has lost so far because nobody read it soon enough.
pub fn receive_drops(fd: RawFd) -> io::Result<u32> {
    // enum of SO_MEMINFO's values (include/uapi/linux/sock_diag.h): the last is the drops.
    const SK_MEMINFO_DROPS: usize = 8;
    let mut values = [0u32; SK_MEMINFO_DROPS + 1];
    let mut len = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the array is valid for `len` bytes.
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &mut len,
        )
    })?;
    if (len as usize) < size_of_val(&values) {
        return Err(io::Error::other("this kernel's SO_MEMINFO has no drops"));
    }
    Ok(values[SK_MEMINFO_DROPS])
}

fn raw(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// One datagram, without waiting.
pub fn send_to(fd: RawFd, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
    let name = raw(to);
    // SAFETY: the slice and the address are valid for the sizes given.
    let n = unsafe {
        libc::sendto(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            (&raw const name).cast(),
            size_of_val(&name) as libc::socklen_t,
        )
    };
    check(if n < 0 { -1 } else { 0 }).map(|_| ())
}

/// Up to [`BATCH`] datagrams with one call, without waiting; how many were taken.
pub fn send_batch(fd: RawFd, datagrams: &[(&[u8], SocketAddrV4)]) -> io::Result<usize> {
    let mut names = [raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH];
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    // SAFETY: mmsghdr is plain data, all-zero is valid.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let rooms = messages.iter_mut().zip(&mut parts).zip(&mut names);
    for (((message, part), name), (bytes, to)) in rooms.zip(datagrams) {
        *name = raw(*to);
        // The kernel only reads from there.
        part.iov_base = bytes.as_ptr().cast_mut().cast();
        part.iov_len = bytes.len();
        message.msg_hdr.msg_name = (&raw mut *name).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: as many messages as are told point at live parts and addresses of the sizes given.
    let n = check(unsafe {
        libc::sendmmsg(
            fd,
            messages.as_mut_ptr(),
            datagrams.len().min(BATCH) as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    })?;
    Ok(n as usize)
}

/// Several datagrams of `segment` bytes (the last may be shorter) to one destination with one
/// call: the kernel or the card cuts them apart. At most [`SEGMENTS_MAX`] and [`PAYLOAD_MAX`].
pub fn send_segments(fd: RawFd, bytes: &[u8], segment: u16, to: SocketAddrV4) -> io::Result<()> {
    let mut name = raw(to);
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // u64 for the alignment that control messages need.
    let mut control = [0u64; 4];
    // SAFETY: msghdr is plain data, all-zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of_val(&name) as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: plain arithmetic on a size.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<u16>() as libc::c_uint) } as _;
    // SAFETY: the control buffer has room for one message of a u16, which is written whole.
    unsafe {
        let cmsg = libc::CMSG_FIRSTHDR(&message);
        (*cmsg).cmsg_level = libc::SOL_UDP;
        (*cmsg).cmsg_type = libc::UDP_SEGMENT;
        (*cmsg).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) as _;
        libc::CMSG_DATA(cmsg).cast::<u16>().write_unaligned(segment);
    }
    // SAFETY: all pointers in `message` are to live values of the given sizes.
    let n = unsafe { libc::sendmsg(fd, &message, libc::MSG_DONTWAIT) };
    check(if n < 0 { -1 } else { 0 }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    fn pair() -> (UdpSocket, UdpSocket, u16) {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = UdpSocket::bind("0.0.0.0:0").unwrap();
        tell_destination(to.as_raw_fd()).unwrap();
        let port = to.local_addr().unwrap().port();
        (from, to, port)
    }

    fn at(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(127, 64, 0, last), port)
    }

    /// Loopback delivers before the send returns.
    fn all(inbox: &mut Inbox, socket: &UdpSocket) -> Vec<(Vec<u8>, usize, Option<Ipv4Addr>)> {
        let n = inbox.receive(socket.as_raw_fd()).unwrap();
        (0..n)
            .filter_map(|i| inbox.get(i))
            .map(|a| (a.head.to_vec(), a.len, a.to))
            .collect()
    }

    #[test]
    fn destinations_heads_and_lengths_are_told() {
        let (from, to, port) = pair();
        let fd = from.as_raw_fd();
        let long = [7u8; 1000];
        send_to(fd, b"abc", at(2, port)).unwrap();
        let sent = send_batch(fd, &[(&long[..], at(3, port)), (&long[..9], at(4, port))]);
        assert_eq!(sent.unwrap(), 2);
        let mut inbox = Inbox::new(8);
        let ip = |last| Some(Ipv4Addr::new(127, 64, 0, last));
        assert_eq!(
            all(&mut inbox, &to),
            [
                (b"abc".to_vec(), 3, ip(2)),
                (vec![7; 8], 1000, ip(3)),
                (vec![7; 8], 9, ip(4)),
            ]
        );
        let none = inbox.receive(to.as_raw_fd()).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        assert!(inbox.get(0).is_none());
    }

    #[test]
    fn one_send_becomes_several_datagrams() {
        let (from, to, port) = pair();
        let bytes: Vec<u8> = (0..250).collect();
        send_segments(from.as_raw_fd(), &bytes, 100, at(2, port)).unwrap();
        let lens: Vec<_> = all(&mut Inbox::new(4), &to)
            .into_iter()
            .map(|(head, len, _)| (head[0], len))
            .collect();
        assert_eq!(lens, [(0, 100), (100, 100), (200, 50)]);
    }

    #[test]
    fn drops_of_a_full_socket_are_counted() {
        let (from, to, port) = pair();
        let fd = to.as_raw_fd();
        let room = set_receive_buffer(fd, 1).unwrap();
        assert_eq!(receive_drops(fd).unwrap(), 0);
        let bytes = [0; 1000];
        let sent = room as u32 / 1000 + 10;
        for _ in 0..sent {
            send_to(from.as_raw_fd(), &bytes, at(2, port)).unwrap();
        }
        let read = all(&mut Inbox::new(4), &to).len() as u32;
        assert_eq!(receive_drops(fd).unwrap() + read, sent);
        assert!(read < sent);
    }

    #[test]
    fn a_larger_buffer_is_had() {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let least = set_receive_buffer(socket.as_raw_fd(), 1).unwrap();
        assert!(set_receive_buffer(socket.as_raw_fd(), 1 << 20).unwrap() > least);
    }
}
