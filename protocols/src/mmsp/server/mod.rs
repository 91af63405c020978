//! The server side of the MMS port (MS-MMSP 3.2).
//!
//! # Shape
//! - A connection is a session. It gives messages one at a time: while one waits for an answer of the
//!   application, for the flow to be held or for the header to be out, later bytes stay in the
//!   connection's reader ([`conn::Job`]).
//! - Over TCP media and messages share the connection, so a message that is answered while a flow runs
//!   has the flow held first; over UDP only those that end or replace the flow do.
//! - Requests for resends come as datagrams and find their session by its Client-ID, which carries its
//!   core.

mod access;
mod conn;
mod connect;
mod datagram;
mod end;
mod header;
mod open;
mod play;
mod redirect;
mod request;
mod select;
mod session;

use crate::auth::Scheme;
use crate::content::{Answer, Question};
use crate::home::IdSpace;
use crate::machine::{Channel, ConnId, CoreId, Input, Machine, Output, Ticket, Time};
use crate::media::FlowId;
use crate::timers::Timers;
use conn::Conn;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

/// Keys are chosen by us or by the driver, or looked up only: a fixed hash is enough, and makes runs
/// repeatable.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Shortest idle timeout and keep-alive (MMSP-101, MMSP-104).
const TIMEOUT_MIN: Duration = Duration::from_secs(10);
/// Shortest time for which resends are possible (mmsp.md 5).
const RESEND_WINDOW_MIN: Duration = Duration::from_secs(8);

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The core that it runs on.
    pub core: CoreId,
    /// Number of cores, at least 1 and more than `core`.
    pub cores: u8,
    /// Seed of Client-IDs and packet pairs. Secret, and another one for each core and each start.
    pub seed: [u8; 32],
    /// ServerVersionInfo, `major.minor[.x.y]` (decision 2).
    pub version: String,
    /// A session without request or media goes after this; at least 10 s.
    pub idle_timeout: Duration,
    /// A session is pinged when nothing passed between us for this long; at least 10 s.
    pub keep_alive: Duration,
    /// Connect must have come this long after the connection, and any message be complete this long
    /// after its first byte.
    pub request_timeout: Duration,
    /// Media over UDP is offered.
    pub udp: bool,
    /// An OpenFile without a name asks for the path `/`; else it is refused.
    pub root: bool,
    /// The socket that datagrams leave from and resend requests come to.
    pub channel: Channel,
    /// The scheme of challenges that is announced before it is known what will be opened, and that
    /// clients below 8.0 are held to: Basic or NTLM (MMSP-19, MMSP-49).
    pub authen_package: Option<Scheme>,
    /// Most sessions of this core.
    pub session_count_max: usize,
    /// How long a datagram can be asked for again; at least 8 s.
    pub resend_window: Duration,
    /// How often one datagram is sent again at most.
    pub resend_count_max: u8,
    /// Datagrams that one session gets again, per second.
    pub resend_rate_max: u32,
    /// Datagrams that one session gets again at once.
    pub resend_burst_max: u32,
}

impl Config {
    /// The defaults, for one of `cores` cores.
    pub fn new(core: CoreId, cores: u8, seed: [u8; 32]) -> Config {
        Config {
            core,
            cores,
            seed,
            version: "9.01.01.3841".to_owned(),
            idle_timeout: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            udp: true,
            root: false,
            channel: Channel(0),
            authen_package: Some(Scheme::Ntlm),
            session_count_max: 65_536,
            resend_window: Duration::from_secs(10),
            resend_count_max: 2,
            resend_rate_max: 100,
            resend_burst_max: 200,
        }
    }
}

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A message must be complete, or Connect have come.
    Request(ConnId),
    /// The session has been without a request for long.
    Idle(ConnId),
    /// Nothing passed between us for long.
    KeepAlive(ConnId),
    /// The next fragment of the header may go.
    Header(ConnId),
    /// The next entry begins, chosen by the client or not.
    Entry(ConnId),
    /// A refused client has had time to read.
    Linger(ConnId),
    /// The last datagrams have had time to arrive.
    Tail(ConnId),
}

/// The machine of one core's MMS port.
///
/// Connections are boxed: tables have room for twice as many entries as they hold.
#[derive(Debug)]
pub struct Server {
    config: Config,
    conns: Map<ConnId, Box<Conn>>,
    /// Sessions by Client-ID.
    ids: Map<u32, ConnId>,
    flows: Map<FlowId, ConnId>,
    asks: Map<Ticket, ConnId>,
    timers: Timers<Timer>,
    out: VecDeque<Output>,
    rng: ChaCha20Rng,
    counter: u64,
    draining: bool,
}

impl Server {
    /// Make one without connections.
    pub fn new(mut config: Config) -> Server {
        config.idle_timeout = config.idle_timeout.max(TIMEOUT_MIN);
        config.keep_alive = config.keep_alive.max(TIMEOUT_MIN);
        config.resend_window = config.resend_window.max(RESEND_WINDOW_MIN);
        config.cores = config.cores.max(config.core.0.saturating_add(1));
        Server {
            rng: ChaCha20Rng::from_seed(config.seed),
            config,
            conns: Map::default(),
            ids: Map::default(),
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
        self.ids.len()
    }

    /// Connections known to this machine.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn id_space(&self) -> IdSpace {
        IdSpace::new(self.config.core, self.config.cores)
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

    fn on_answer(&mut self, now: Time, ticket: Ticket, answer: Answer) {
        let conn = self.asks.remove(&ticket);
        let answer = self.note_identity(conn, answer);
        let unclaimed = match conn {
            Some(conn) => self.on_job_answer(now, conn, ticket, answer),
            None => Some(answer),
        };
        // Who asked is gone, but what was opened for them is not.
        if let Some(Answer::Opened(content)) = unclaimed {
            self.out.push_back(Output::Release {
                content: content.id,
            });
        }
        if let Some(conn) = conn {
            self.pump(now, conn);
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Request(conn) => self.on_slow_request(now, conn),
            Timer::Idle(conn) => self.leave(now, conn, None),
            Timer::KeepAlive(conn) => self.on_keep_alive(now, conn),
            Timer::Header(conn) => {
                self.next_fragment(now, conn);
                self.pump(now, conn);
            }
            Timer::Entry(conn) => self.on_entry_due(now, conn),
            Timer::Linger(conn) => self.close_in_order(conn),
            Timer::Tail(conn) => self.on_tail(now, conn),
        }
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, .. } => self.on_opened(now, conn, peer),
            Input::Data { conn, bytes } => self.on_data(now, conn, bytes),
            Input::Closed { conn } => self.forget(conn),
            Input::Datagram {
                channel,
                peer,
                bytes,
            } => self.on_datagram(now, channel, peer, bytes),
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
