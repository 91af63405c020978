//! The connections of a core: who they are, what is still to be written, how they end.

use crate::policy::Admission;
use crate::rt::{self, Sent};
use bytes::Bytes;
use protocols::machine::{CloseHow, ConnId, Time};
use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::task::Waker;
use std::time::Duration;

/// After an orderly close the peer may take this long to close its side; what it still sends is
/// read and dropped, so that our last bytes are not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of replies that may wait for a peer that does not read; beyond it is closed.
const OUTBOX_BYTES_MAX: usize = 4 << 20;

/// One connection.
pub struct Conn {
    generation: u32,
    /// Which front end it belongs to.
    pub front: u8,
    /// Descriptor; the reading task owns it.
    pub fd: RawFd,
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
    /// The flow that writes to it.
    pub flow: Option<u32>,
    state: State,
    outbox: Option<Box<Outbox>>,
    /// False once the machine has closed it or given it away.
    known: bool,
    /// Its place in the limits, given back when it is dropped.
    admission: Option<Admission>,
    /// The reading task, to be woken when it has to let go.
    reader: Option<Waker>,
}

/// What goes along when a connection is given away.
pub struct Given {
    /// Its place in the limits.
    pub admission: Admission,
    /// Bytes of replies that the peer has not taken yet.
    pub unsent: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The machine is done with it; unsent bytes leave, then it is shut down.
    Flushing,
    /// Shut down by us; waits for the peer until then.
    Lingering(Time),
    /// Given to another core, or broken: the reading task only has to let go.
    Gone,
}

#[derive(Default)]
struct Outbox {
    queue: VecDeque<Bytes>,
    /// Bytes of the first that have left.
    sent: usize,
    bytes: usize,
}

/// The connection table of a core.
#[derive(Default)]
pub struct Conns {
    slots: Vec<Option<Conn>>,
    free: Vec<u32>,
    generation: u32,
    /// Connections with unsent bytes.
    waiting: Vec<ConnId>,
    /// Connections that linger.
    lingering: Vec<ConnId>,
    count: usize,
}

/// What became of bytes that were to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All left.
    All,
    /// Some wait.
    Queued,
    /// The connection is gone.
    Gone,
}

impl Conns {
    /// Add a connection.
    pub fn open(
        &mut self,
        front: u8,
        fd: RawFd,
        peer: SocketAddr,
        local: SocketAddr,
        admission: Admission,
    ) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let conn = Conn {
            generation: self.generation,
            front,
            fd,
            peer,
            local,
            flow: None,
            state: State::Open,
            outbox: None,
            known: true,
            admission: Some(admission),
            reader: None,
        };
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        if index as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[index as usize] = Some(conn);
        self.count += 1;
        ConnId(u64::from(self.generation) << 32 | u64::from(index))
    }

    /// A connection, unless it is gone.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots
            .get(id.0 as u32 as usize)?
            .as_ref()
            .filter(|c| u64::from(c.generation) == id.0 >> 32)
    }

    fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots
            .get_mut(id.0 as u32 as usize)?
            .as_mut()
            .filter(|c| u64::from(c.generation) == id.0 >> 32)
    }

    /// Note the flow that writes to a connection. False if the connection is no longer open.
    pub fn set_flow(&mut self, id: ConnId, flow: Option<u32>) -> bool {
        match self.get_mut(id) {
            Some(conn) if conn.state == State::Open => {
                conn.flow = flow;
                true
            }
            _ => false,
        }
    }

    /// The flow is gone; another may have taken its place.
    pub fn clear_flow(&mut self, id: ConnId, flow: u32) {
        if let Some(conn) = self.get_mut(id)
            && conn.flow == Some(flow)
        {
            conn.flow = None;
        }
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.count
    }

    /// True if bytes for any connection wait, or one lingers.
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// True if the machine still speaks on it.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.get(id).is_some_and(|c| c.state == State::Open)
    }

    /// True if the reading task has to let go.
    pub fn is_gone(&self, id: ConnId) -> bool {
        self.get(id).is_none_or(|c| c.state == State::Gone)
    }

    /// True if the reading task may take bytes. The task is woken when that changes.
    pub fn may_read(&mut self, id: ConnId, reader: &Waker) -> bool {
        match self.get_mut(id) {
            Some(conn) if conn.state != State::Gone => {
                conn.reader = Some(reader.clone());
                true
            }
            _ => false,
        }
    }

    /// True if nothing waits in front of media.
    pub fn is_clear(&self, id: ConnId) -> bool {
        self.get(id)
            .is_some_and(|c| c.state == State::Open && c.outbox.is_none())
    }

    /// Write bytes: now if possible, else when the peer takes them.
    pub fn write(&mut self, id: ConnId, bytes: Bytes) -> Written {
        let Some(conn) = self.get_mut(id) else {
            return Written::Gone;
        };
        if conn.state != State::Open {
            return Written::Gone;
        }
        let mut sent = 0;
        if conn.outbox.is_none() {
            match rt::send(conn.fd, &bytes) {
                Sent::Bytes(n) if n == bytes.len() => return Written::All,
                Sent::Bytes(n) => sent = n,
                Sent::Full => {}
                Sent::Dead(_) => {
                    self.break_off(id);
                    return Written::Gone;
                }
            }
        }
        let rest = bytes.slice(sent..);
        let first = conn.outbox.is_none();
        let outbox = conn.outbox.get_or_insert_default();
        outbox.bytes += rest.len();
        outbox.queue.push_back(rest);
        if outbox.bytes > OUTBOX_BYTES_MAX {
            self.break_off(id);
            return Written::Gone;
        }
        if first {
            self.waiting.push(id);
        }
        Written::Queued
    }

    /// Close as the machine asked.
    pub fn close(&mut self, id: ConnId, how: CloseHow, now: Time) {
        let Some(conn) = self.get_mut(id) else { return };
        if conn.state != State::Open {
            return;
        }
        conn.flow = None;
        conn.known = false;
        match how {
            CloseHow::Abort => self.break_off(id),
            CloseHow::Flush if conn.outbox.is_some() => conn.state = State::Flushing,
            CloseHow::Flush => self.linger(id, now),
        }
    }

    /// Make the reading task see the end: the transport failed, or time is up.
    pub fn break_off(&mut self, id: ConnId) {
        if let Some(conn) = self.get_mut(id) {
            conn.state = State::Gone;
            conn.outbox = None;
            rt::shut_down(conn.fd, Shutdown::Both);
        }
    }

    /// Let go without touching the transport: it lives on on another core, with what belongs to it.
    /// From now on the reading task takes no byte from it.
    pub fn give_away(&mut self, id: ConnId) -> Option<Given> {
        let conn = self.get_mut(id)?;
        let admission = conn.admission.take()?;
        conn.state = State::Gone;
        conn.known = false;
        let outbox = conn.outbox.take();
        if let Some(reader) = conn.reader.take() {
            reader.wake();
        }
        let unsent = outbox.map_or_else(Bytes::new, |outbox| outbox.rest());
        Some(Given { admission, unsent })
    }

    /// Remove a connection whose reading task has ended; returns it if the machine still knew it.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        let index = id.0 as u32;
        let conn = self.slots[index as usize].take()?;
        self.free.push(index);
        self.count -= 1;
        Some(conn)
    }

    /// Send what waits, end what lingered long enough. Once a tick.
    pub fn flush(&mut self, now: Time) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|id| self.flush_one(*id, now));
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        let mut lingering = std::mem::take(&mut self.lingering);
        lingering.retain(|id| match self.get(*id).map(|c| c.state) {
            Some(State::Lingering(until)) if until > now => true,
            Some(State::Lingering(_)) => {
                self.break_off(*id);
                false
            }
            _ => false,
        });
        self.lingering = lingering;
    }

    /// True if bytes still wait.
    fn flush_one(&mut self, id: ConnId, now: Time) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let Some(outbox) = &mut conn.outbox else {
            return false;
        };
        while let Some(front) = outbox.queue.front() {
            match rt::send(conn.fd, &front[outbox.sent..]) {
                Sent::Bytes(n) => {
                    outbox.sent += n;
                    outbox.bytes -= n;
                    if outbox.sent < front.len() {
                        return true;
                    }
                    outbox.queue.pop_front();
                    outbox.sent = 0;
                }
                Sent::Full => return true,
                Sent::Dead(_) => {
                    self.break_off(id);
                    return false;
                }
            }
        }
        conn.outbox = None;
        if conn.state == State::Flushing {
            self.linger(id, now);
        }
        false
    }

    fn linger(&mut self, id: ConnId, now: Time) {
        if let Some(conn) = self.get_mut(id) {
            conn.state = State::Lingering(now + LINGER);
            rt::shut_down(conn.fd, Shutdown::Write);
            self.lingering.push(id);
        }
    }
}

impl Outbox {
    fn rest(&self) -> Bytes {
        let all: Vec<u8> = self.queue.iter().flatten().copied().collect();
        Bytes::from(all).slice(self.sent..)
    }
}

impl Conn {
    /// True if the machine still believes in it.
    pub fn machine_holds(&self) -> bool {
        self.known
    }
}
