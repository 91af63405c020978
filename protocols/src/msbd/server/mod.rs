//! The server side: gives a publishing point's stream to whoever connects to its port (MS-MSBD 3.1).
//!
//! # Shape
//! - A port is a publishing point. A connection asks for its stream once, and stays: when the stream ends, or is
//!   not there yet, it waits for one with the client.
//! - Media and messages share the connection, so whatever is said while a flow runs has the flow held first.
//! - Of a client that listens to the group only the connection is here. Its flow sends nothing: it tells where
//!   the stream's entries end, and leaves the connection to messages.

mod config;
mod conn;
mod connect;
mod flow;
mod session;
mod stream;

pub use config::{Config, Port};

use self::conn::Conn;
use self::session::Session;
use crate::content::{Answer, Question};
use crate::machine::{ConnId, Input, Machine, Output, Ticket, Time};
use crate::media::FlowId;
use crate::timers::Timers;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

/// Keys are chosen by us or by the driver: a fixed hash is enough, and makes runs repeatable.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// What is to happen (msbd.md 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// REQ_CONNECT must have come.
    Connect(ConnId),
    /// The client is pinged.
    Ping(ConnId),
    /// It must have answered.
    Answer(ConnId),
    /// Is there a stream by now?
    Retry(ConnId),
}

/// The machine of one core's MSBD ports.
#[derive(Debug)]
pub struct Server {
    config: Config,
    conns: Map<ConnId, Box<Conn>>,
    flows: Map<FlowId, ConnId>,
    asks: Map<Ticket, ConnId>,
    timers: Timers<Timer>,
    out: VecDeque<Output>,
    counter: u64,
    sessions: usize,
    draining: bool,
}

impl Server {
    /// Make one without connections.
    pub fn new(config: Config) -> Server {
        Server {
            config,
            conns: Map::default(),
            flows: Map::default(),
            asks: Map::default(),
            timers: Timers::default(),
            out: VecDeque::new(),
            counter: 0,
            sessions: 0,
            draining: false,
        }
    }

    /// Put other ports in force. Clients that are connected stay as they are.
    pub fn set_ports(&mut self, ports: Vec<Port>) {
        self.config.ports = ports;
    }

    /// Clients that were given a stream, or wait for it.
    pub fn session_count(&self) -> usize {
        self.sessions
    }

    /// Connections known to this machine.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    /// Clients of a port that listen to its group. Without any nobody is known to need it.
    pub fn member_count(&self, port: u16) -> usize {
        let listens = |c: &Conn| c.port.port == port && c.session().is_some_and(|s| s.multicast);
        self.conns.values().filter(|c| listens(c)).count()
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn ask(&mut self, conn: ConnId, question: Question) -> Ticket {
        let ticket = Ticket(self.count());
        self.asks.insert(ticket, conn);
        self.out.push_back(Output::Ask {
            ticket,
            question: Box::new(question),
        });
        ticket
    }

    fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.conns.get_mut(&conn)?.session_mut()
    }

    fn on_answer(&mut self, now: Time, ticket: Ticket, answer: Answer) {
        // What a connection gets to know of who it is, it has no use for: there are no proofs here.
        let answer = match answer {
            Answer::Verified { answer, .. } => *answer,
            answer => answer,
        };
        let unclaimed = match self.asks.remove(&ticket) {
            Some(conn) => self.settle(now, conn, ticket, answer),
            None => Some(answer),
        };
        // Who asked is gone, but what was opened for them is not.
        if let Some(Answer::Opened(content)) = unclaimed {
            self.release(content.id);
        }
    }

    fn release(&mut self, content: crate::content::ContentId) {
        self.out.push_back(Output::Release { content });
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Connect(conn) => self.break_off(conn, "no REQ_CONNECT in time"),
            Timer::Ping(conn) => self.on_ping_due(now, conn),
            // MSBD-12, MSBD-56
            Timer::Answer(conn) => self.break_off(conn, "no RES_PING in time"),
            Timer::Retry(conn) => self.look_again(conn),
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        let idle = |c: &Conn| c.session().is_none_or(|s| s.content.is_none());
        let idle = self.conns.iter().filter(|(_, c)| idle(c));
        let mut idle: Vec<ConnId> = idle.map(|(conn, _)| *conn).collect();
        idle.sort_unstable();
        for conn in idle {
            self.close_in_order(conn);
        }
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, local } => self.on_opened(now, conn, peer, local),
            Input::Data { conn, bytes } => self.on_data(now, conn, bytes),
            Input::Closed { conn } => self.forget(conn),
            Input::Timeout => {
                while let Some(timer) = self.timers.pop(now) {
                    self.on_timer(now, timer);
                }
            }
            Input::Answer { ticket, answer } => self.on_answer(now, ticket, answer),
            Input::Flow { flow, event } => self.on_flow(now, flow, event),
            // No datagrams come here, and nobody publishes.
            Input::Datagram { .. } | Input::Evict { .. } => {}
            Input::Drain => self.drain(),
        }
    }

    fn poll(&mut self, _: Time) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::Idle(self.timers.next()))
    }
}
