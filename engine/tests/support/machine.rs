//! Drives one client machine over real connections, without threads, for media on connections only.

use super::PATIENCE;
use protocols::machine::{ConnId, Input, Machine, Output, Time};
use protocols::media::IngestEvent;
use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A machine and its connections.
pub struct Driven<M> {
    pub machine: M,
    origin: Instant,
    conns: BTreeMap<ConnId, TcpStream>,
    events: VecDeque<IngestEvent>,
    wake: Option<Time>,
    buffer: Vec<u8>,
}

impl<M: Machine> Driven<M> {
    /// Takes a machine whose first outputs are waiting.
    pub fn new(machine: M) -> Driven<M> {
        let mut driven = Driven {
            machine,
            origin: Instant::now(),
            conns: BTreeMap::new(),
            events: VecDeque::new(),
            wake: None,
            buffer: vec![0; 64 << 10],
        };
        driven.drain();
        driven
    }

    /// Time on the machine's clock.
    pub fn now(&self) -> Time {
        Time(self.origin.elapsed().as_micros() as u64)
    }

    /// What comes next; nothing for too long fails the test.
    pub fn next(&mut self) -> IngestEvent {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.poll() {
                return event;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
        }
    }

    /// What has come, after a look at the connections.
    pub fn poll(&mut self) -> Option<IngestEvent> {
        if self.events.is_empty() {
            self.read();
        }
        self.events.pop_front()
    }

    /// The near ends of its connections.
    pub fn local_ports(&self) -> Vec<u16> {
        let local = self.conns.values().filter_map(|c| c.local_addr().ok());
        local.map(|a| a.port()).collect()
    }

    /// Tell the machine something.
    pub fn with(&mut self, tell: impl FnOnce(&mut M, Time)) {
        let now = self.now();
        tell(&mut self.machine, now);
        self.drain();
    }

    fn read(&mut self) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            let Some(stream) = self.conns.get_mut(&conn) else {
                continue;
            };
            let now = Time(self.origin.elapsed().as_micros() as u64);
            match stream.read(&mut self.buffer) {
                Ok(0) => self.closed(conn, now),
                Ok(n) => {
                    let bytes = &self.buffer[..n];
                    self.machine.handle(now, Input::Data { conn, bytes });
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.closed(conn, now),
            }
            self.drain();
        }
        let now = self.now();
        if self.wake.is_some_and(|wake| wake <= now) {
            self.machine.handle(now, Input::Timeout);
            self.drain();
        }
        if self.conns.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn closed(&mut self, conn: ConnId, now: Time) {
        self.conns.remove(&conn);
        self.machine.handle(now, Input::Closed { conn });
    }

    fn drain(&mut self) {
        loop {
            let now = self.now();
            match self.machine.poll(now) {
                Output::Connect { conn, host, port } => {
                    let stream = TcpStream::connect((&*host, port)).expect("a connection");
                    let pause = Duration::from_millis(2);
                    stream.set_read_timeout(Some(pause)).expect("a time-out");
                    let (peer, local) = (stream.peer_addr(), stream.local_addr());
                    let (peer, local) = (peer.expect("an end"), local.expect("an end"));
                    self.conns.insert(conn, stream);
                    let now = self.now();
                    self.machine
                        .handle(now, Input::Opened { conn, peer, local });
                }
                Output::Send { conn, bytes } => {
                    if let Some(stream) = self.conns.get_mut(&conn) {
                        // One that is gone is noticed when it is read.
                        let _ = stream.write_all(&bytes);
                    }
                }
                Output::Close { conn, .. } => {
                    self.conns.remove(&conn);
                }
                Output::Ingest(ingest) => self.events.push_back(ingest.event),
                Output::Idle(wake) => {
                    self.wake = wake;
                    return;
                }
                _ => {}
            }
        }
    }
}
