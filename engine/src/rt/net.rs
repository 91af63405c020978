//! Listeners made by hand and streams read through the ring.

use futures_io::AsyncRead;
use glommio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Duration;

/// What every listener of the server gets.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Length of the accept queue.
    pub backlog: i32,
    /// Congestion control, chosen on the listener: on an accepted socket BBR's pacing timers
    /// would stay armed.
    pub congestion: String,
    /// Send buffer that connections inherit, bytes of payload.
    pub send_buffer: usize,
}

/// A bound, listening socket that has not yet been given to a core.
pub struct Bound {
    fd: OwnedFd,
    /// Where it listens; the port is known even if 0 was asked for.
    pub local: SocketAddr,
}

impl Bound {
    /// Bind and listen.
    ///
    /// # Errors
    /// What the kernel says: address in use, no permission for the port, unknown congestion control.
    pub fn new(address: SocketAddr, options: &ListenOptions) -> io::Result<Bound> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(options.send_buffer)?;
        socket.set_tcp_congestion(options.congestion.as_bytes())?;
        socket.bind(&address.into())?;
        socket.listen(options.backlog)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("not an internet socket"))?;
        Ok(Bound {
            fd: socket.into(),
            local,
        })
    }

    /// The congestion control in force.
    pub fn congestion(&self) -> String {
        let socket = socket2::SockRef::from(&self.fd);
        socket
            .tcp_congestion()
            .map(|name| {
                String::from_utf8_lossy(&name)
                    .trim_end_matches('\0')
                    .to_owned()
            })
            .unwrap_or_default()
    }
}

/// A listening socket on its core.
pub struct Listener {
    listener: TcpListener,
    fd: RawFd,
}

impl Listener {
    /// Give the socket to the calling core.
    pub fn new(bound: Bound) -> Listener {
        let fd = bound.fd.into_raw_fd();
        // SAFETY: ownership of `fd` passes to the listener.
        let listener = unsafe { TcpListener::from_raw_fd(fd) };
        Listener { listener, fd }
    }

    /// The descriptor, for [`super::shut_down`], which makes [`Listener::accept`] fail for good.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Wait for connections and take all that are queued, at most `count_max`. Never cancel this
    /// future: a connection would be lost.
    ///
    /// # Errors
    /// When accepting fails: out of descriptors, or the listener was shut down.
    pub async fn accept(&self, count_max: usize, into: &mut Vec<Stream>) -> io::Result<()> {
        let first = self.listener.shared_accept().await?;
        into.push(Stream::from(first.bind_to_executor()));
        while into.len() < count_max && readable(self.fd) {
            // SAFETY: null address pointers are allowed; the result is checked.
            let fd = unsafe {
                libc::accept4(
                    self.fd,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    libc::SOCK_CLOEXEC,
                )
            };
            if fd < 0 {
                break;
            }
            // SAFETY: `fd` was just created and has no other owner.
            into.push(Stream::adopt(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        Ok(())
    }
}

/// A connection on its core. Written to through [`super::send`] on its descriptor.
pub struct Stream {
    stream: TcpStream,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream { stream }
    }
}

impl Stream {
    /// Open a connection.
    ///
    /// # Errors
    /// What the kernel says, and after `limit` that nobody answered.
    pub async fn connect(to: SocketAddr, limit: Duration) -> io::Result<Stream> {
        let stream = TcpStream::connect_timeout(to, limit).await;
        let stream = stream.map_err(io::Error::from)?;
        stream.set_nodelay(true).map_err(io::Error::from)?;
        Ok(Stream { stream })
    }

    /// Take over a connected socket.
    pub fn adopt(fd: OwnedFd) -> Stream {
        // SAFETY: ownership of the descriptor passes to the stream.
        let stream = unsafe { TcpStream::from_raw_fd(fd.into_raw_fd()) };
        Stream { stream }
    }

    /// The descriptor; valid as long as the stream lives.
    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Both ends' addresses.
    ///
    /// # Errors
    /// When the peer has already gone.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.peer_addr()?, self.stream.local_addr()?))
    }

    /// Wait for bytes and hand them to `sink` in `scratch`, which is borrowed only while bytes are
    /// there: idle connections hold no buffer. Returns the number of bytes, 0 at the end.
    ///
    /// `may_read` is asked before each look at the socket and may keep the waker, to have itself
    /// asked again: once it says no, not a byte is taken any more and the wait is over with 0.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn read(
        &mut self,
        scratch: &std::cell::RefCell<Vec<u8>>,
        may_read: impl Fn(&Waker) -> bool,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        poll_fn(|cx| {
            if !may_read(cx.waker()) {
                return Poll::Ready(Ok(0));
            }
            let mut buffer = scratch.borrow_mut();
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            if let Poll::Ready(Ok(n)) = polled
                && n > 0
            {
                sink(&buffer[..n]);
            }
            polled
        })
        .await
    }
}

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd, zero timeout.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLIN != 0 }
}
