//! One connection to a source: opening it, writing without waiting, closing it in order.

use crate::rt::net::Stream;
use crate::rt::{self, Sent};
use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// Bytes of requests that may wait for a source that does not read.
const QUEUE_BYTES_MAX: usize = 256 << 10;

/// Addresses of a name that are tried.
const ADDRESS_COUNT_MAX: usize = 8;

/// After an orderly close the source may take this long to close its side; what it still sends is read
/// and dropped, so that our last bytes are not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    /// The machine is done with it; waits for the source.
    Lingering,
    Gone,
}

/// See the module. The reading task owns the socket.
pub struct Link {
    state: Cell<State>,
    fd: Cell<Option<RawFd>>,
    queue: RefCell<VecDeque<Bytes>>,
    reader: RefCell<Option<Waker>>,
}

impl Link {
    /// A connection that is being opened.
    pub fn new() -> Rc<Link> {
        Rc::new(Link {
            state: Cell::new(State::Opening),
            fd: Cell::new(None),
            queue: RefCell::default(),
            reader: RefCell::default(),
        })
    }

    /// It is open, with this socket. False if nobody wants it any more.
    pub fn opened(&self, fd: RawFd) -> bool {
        if self.state.get() != State::Opening {
            return false;
        }
        self.state.set(State::Open);
        self.fd.set(Some(fd));
        self.flush();
        true
    }

    /// The reading task lets go of the socket.
    pub fn ended(&self) {
        self.state.set(State::Gone);
        self.fd.set(None);
    }

    /// True if the machine has a use for what comes.
    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// True if the reading task may go on; it is woken when that changes.
    pub fn may_read(&self, reader: &Waker) -> bool {
        if self.state.get() == State::Gone {
            return false;
        }
        *self.reader.borrow_mut() = Some(reader.clone());
        true
    }

    /// True if bytes wait for the source to take them.
    pub fn is_waiting(&self) -> bool {
        self.is_open() && !self.queue.borrow().is_empty()
    }

    /// Write bytes now if possible, else when they are flushed.
    pub fn write(&self, bytes: Bytes) {
        if !matches!(self.state.get(), State::Opening | State::Open) {
            return;
        }
        self.queue.borrow_mut().push_back(bytes);
        self.flush();
        let queued: usize = self.queue.borrow().iter().map(Bytes::len).sum();
        if queued > QUEUE_BYTES_MAX {
            self.let_go();
        }
    }

    /// Write what waits, as far as the socket takes it.
    pub fn flush(&self) {
        let Some(fd) = self.fd.get().filter(|_| self.is_open()) else {
            return;
        };
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.front_mut() {
            match rt::send(fd, first) {
                Sent::Bytes(n) if n < first.len() => first.advance(n),
                Sent::Bytes(_) => drop(queue.pop_front()),
                Sent::Full => return,
                Sent::Dead(_) => {
                    drop(queue);
                    return self.let_go();
                }
            }
        }
    }

    /// The machine is done with it: say what is left to say, then go.
    pub fn close(self: &Rc<Self>) {
        self.flush();
        let Some(fd) = self.fd.get().filter(|_| self.is_open()) else {
            return self.let_go();
        };
        self.state.set(State::Lingering);
        rt::shut_down(fd, Shutdown::Write);
        let link = Rc::clone(self);
        rt::spawn(async move {
            rt::sleep(LINGER).await;
            link.let_go();
        });
    }

    /// Forget it now. Its reading task ends.
    pub fn let_go(&self) {
        self.state.set(State::Gone);
        if let Some(fd) = self.fd.get() {
            rt::shut_down(fd, Shutdown::Both);
        }
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

/// Connect to the first of a host's addresses that answers.
///
/// # Errors
/// What the last of them said.
pub async fn open(host: &str, port: u16, limit: Duration) -> io::Result<Stream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(host, port).await? {
        match Stream::connect(address, limit).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    rt::blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs()?;
        Ok(found.take(ADDRESS_COUNT_MAX).collect())
    })
    .await
}
