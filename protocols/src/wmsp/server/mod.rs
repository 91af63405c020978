//! The server side of the HTTP port: Windows Media clients (WMSP), and ordinary ones that download
//! or listen.
//!
//! # Shape
//! - A connection gives requests one at a time. While one waits for an answer of the application or
//!   for a flow to be held, later bytes stay in the connection's reader.
//! - A reply is written at once, unless a body is open on the connection: then it waits until that
//!   body has ended (WMSP-80). Whether a body is open is a fact of the connection, not of the
//!   session's state.
//! - A session lives beside its connections, under its client-id.
//! - [`Server::on_head`](Server) sees each head before its body: there other services of the port
//!   (push, log sink) are told apart. An encoder's connection is handed over with its request unread.

mod access;
mod advance;
mod answer;
mod conn;
mod control;
mod describe;
mod exchange;
mod feedback;
mod plain;
mod play;
mod session;
mod sink;
mod timers;

use crate::content::{Answer, Question};
use crate::http::reader::Limits;
use crate::machine::{ConnId, CoreId, Input, Machine, Output, Ticket, Time};
use crate::media::FlowId;
use conn::Conn;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use session::Session;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;
use timers::{Timer, Timers};

/// Keys are chosen by us or by the driver, never by a peer: a fixed hash is enough, and makes runs
/// repeatable.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Shortest idle timeout (WMSP-90).
const IDLE_MIN: Duration = Duration::from_secs(10);

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The core that it runs on.
    pub core: CoreId,
    /// Number of cores, at least 1 and more than `core`.
    pub cores: u8,
    /// Seed of client-ids and packet pairs. Secret, and another one for each core and each start.
    pub seed: [u8; 32],
    /// Value of the `Server` header (decision 2).
    pub server: String,
    /// A session without request or media goes after this; at least 10 s.
    pub idle_timeout: Duration,
    /// A request must be complete this long after its first byte.
    pub request_timeout: Duration,
    /// How long the second request of a pipeline test may take; 100 ms to 1 s are sensible.
    pub pipeline_test: Duration,
    /// Bounds on requests.
    pub limits: Limits,
    /// Most bytes of replies that wait on one connection for the end of a body.
    pub pending_bytes_max: usize,
    /// Most sessions of this core.
    pub session_count_max: usize,
    /// Begin the next entry of a playlist with streams of our choice, if the client agrees.
    pub predictive: bool,
    /// Ask caches and players for rendering logs.
    pub remote_log: bool,
    /// Path to which viewers of multicasts post their logs; nothing else is reached under it.
    pub log_sink: Option<String>,
}

impl Config {
    /// The defaults, for one of `cores` cores.
    pub fn new(core: CoreId, cores: u8, seed: [u8; 32]) -> Config {
        Config {
            core,
            cores,
            seed,
            server: "Cougar/9.01.01.3841".to_owned(),
            idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            pipeline_test: Duration::from_secs(1),
            limits: Limits {
                head_bytes_max: 16 * 1024,
                body_bytes_max: 64 * 1024,
            },
            pending_bytes_max: 16 * 1024,
            session_count_max: 65_536,
            predictive: true,
            remote_log: true,
            log_sink: None,
        }
    }
}

/// Whose flow it is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// A session's.
    Session(u32),
    /// A download's.
    Conn(ConnId),
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// The request that the connection is at.
    Conn(ConnId),
    /// A session, about what follows an entry.
    Session(u32),
}

/// The machine of one core's HTTP port.
///
/// Connections and sessions are boxed: tables have room for twice as many entries as they hold.
#[derive(Debug)]
pub struct Server {
    config: Config,
    conns: Map<ConnId, Box<Conn>>,
    sessions: Map<u32, Box<Session>>,
    flows: Map<FlowId, Owner>,
    asks: Map<Ticket, Asker>,
    timers: Timers,
    out: VecDeque<Output>,
    rng: ChaCha20Rng,
    counter: u64,
    draining: bool,
}

impl Server {
    /// Make one without connections.
    pub fn new(mut config: Config) -> Server {
        config.idle_timeout = config.idle_timeout.max(IDLE_MIN);
        config.cores = config.cores.max(config.core.0.saturating_add(1));
        Server {
            rng: ChaCha20Rng::from_seed(config.seed),
            config,
            conns: Map::default(),
            sessions: Map::default(),
            flows: Map::default(),
            asks: Map::default(),
            timers: Timers::default(),
            out: VecDeque::new(),
            counter: 0,
            draining: false,
        }
    }

    /// Sessions alive on this core.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Connections known to this machine.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn ask(&mut self, asker: Asker, question: Question) -> Ticket {
        let ticket = Ticket(self.count());
        self.asks.insert(ticket, asker);
        self.out.push_back(Output::Ask {
            ticket,
            question: Box::new(question),
        });
        ticket
    }

    fn on_answer(&mut self, now: Time, ticket: Ticket, answer: Answer) {
        let asker = self.asks.remove(&ticket);
        let answer = self.note_identity(asker, answer);
        let unclaimed = match asker {
            Some(Asker::Conn(conn)) => self.on_request_answer(now, conn, ticket, answer),
            Some(Asker::Session(id)) => self.on_change_answer(now, id, ticket, answer),
            None => Some(answer),
        };
        // Who asked is gone, but what was opened for them is not.
        if let Some(Answer::Opened(content)) = unclaimed {
            self.out.push_back(Output::Release {
                content: content.id,
            });
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Request(conn) => self.on_slow_request(now, conn),
            Timer::Quiet(conn) => self.on_quiet(now, conn),
            Timer::Test(conn) => {
                self.end_test(conn);
                self.pump(now, conn);
            }
            Timer::Idle(id) => self.expire(now, id),
            Timer::Change(id) => self.on_change_due(now, id),
        }
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, .. } => self.on_opened(now, conn, peer),
            Input::Data { conn, bytes } => self.on_data(now, conn, bytes),
            Input::Closed { conn } => self.forget(now, conn),
            Input::Datagram { .. } => {}
            Input::Timeout => {
                while let Some(timer) = self.timers.pop(now) {
                    self.on_timer(now, timer);
                }
            }
            Input::Answer { ticket, answer } => self.on_answer(now, ticket, answer),
            Input::Flow { flow, event } => self.on_flow(now, flow, event),
            // Nobody publishes here.
            Input::Evict { .. } => {}
            Input::Drain => self.draining = true,
        }
    }

    fn poll(&mut self, _now: Time) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::Idle(self.timers.next()))
    }
}
