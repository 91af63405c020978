//! The server side: encoders that push.
//!
//! # Shape
//! - Connections come from the HTTP port, each with a push request unread; a request of another kind
//!   sends them back there.
//! - A session lives beside its connections, under its push-id, on the core that has the point.
//! - A PushSetup asks the application. A PushStart is taken on the word of its session, which the
//!   encoder proves by knowing its push-id from the same address (WMHTTP-103); where that does not hold,
//!   it asks too.
//! - The body of a PushStart is read frame by frame as it comes and never kept; what is received of one
//!   frame is all that a connection holds.
//! - The cookie is looked at before the application is asked, since the question names the session; the
//!   specification has it behind authentication.

mod answer;
mod body;
mod conn;
mod ids;
mod receive;
mod session;
mod setup;
mod start;
mod timers;

use crate::access::explain;
use crate::content::{Answer, Question};
use crate::http::reader::Limits;
use crate::machine::{ConnId, CoreId, Input, Machine, Output, Ticket, Time};
use conn::Conn;
use ids::{PushIds, Strikes};
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

/// Shortest and longest Idle-Timeout (WMHTTP-55).
const IDLE_MIN: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_millis(u32::MAX as u64);

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The core that it runs on.
    pub core: CoreId,
    /// Number of cores, at least 1 and more than `core`.
    pub cores: u8,
    /// Seed of push-ids. Secret, and another one for each core and each start.
    pub seed: [u8; 32],
    /// Value of the `Server` header; encoders want `Cougar` or `Rex` at its start.
    pub server: String,
    /// Idle-Timeout: a PushStart without media ends after this; 10 s to 2^32 - 1 ms.
    pub idle_timeout: Duration,
    /// Inactivity-Timeout: a session without request ends after this.
    pub inactivity_timeout: Duration,
    /// A head, or the body of a PushSetup, must be complete this long after its first byte.
    pub request_timeout: Duration,
    /// Bounds on heads, and on the bodies of PushSetup.
    pub limits: Limits,
    /// Most bytes of a connection that are kept while the application is asked.
    pub waiting_bytes_max: usize,
    /// Most sessions of this core.
    pub session_count_max: usize,
    /// Of those, most whose encoders have not proved yet who they are.
    pub asked_count_max: usize,
    /// Encoders may go on with a session from another address.
    pub roam: bool,
    /// A PushStart with a push-id that is not known makes a session, where the point is open to all; an
    /// error otherwise (wmhttp.md 13, 13).
    pub compat_unknown_id: bool,
    /// Time since 1970 at [`Time::ZERO`], for `Date`; `None`: not known, no `Date`.
    pub unix_origin: Option<Duration>,
}

impl Config {
    /// The defaults, for one of `cores` cores.
    pub fn new(core: CoreId, cores: u8, seed: [u8; 32]) -> Config {
        Config {
            core,
            cores,
            seed,
            server: "Cougar/9.01.01.3814".to_owned(),
            idle_timeout: Duration::from_secs(60),
            inactivity_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(10),
            limits: Limits {
                head_bytes_max: 16 * 1024,
                body_bytes_max: 4 * 1024,
            },
            waiting_bytes_max: 256 * 1024,
            session_count_max: 4096,
            asked_count_max: 1024,
            roam: false,
            compat_unknown_id: false,
            unix_origin: None,
        }
    }
}

/// What was odd in what encoders sent, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were damaged and left out.
    pub damaged_packets: u64,
    /// Frames of kinds that nobody knows.
    pub unknown_frames: u64,
    /// Headers where none was to come.
    pub unexpected_headers: u64,
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
struct Asker {
    conn: ConnId,
    /// For which session, which need not exist yet.
    session: u64,
    /// What the question said about the point's end.
    destroy: bool,
}

/// The machine of one core's encoders.
#[derive(Debug)]
pub struct Server {
    config: Config,
    conns: Map<ConnId, Box<Conn>>,
    sessions: Map<u64, Box<Session>>,
    /// Sessions by their push-ids.
    ids: Map<u64, u64>,
    id_space: PushIds,
    strikes: Strikes,
    asks: Map<Ticket, Asker>,
    timers: Timers,
    out: VecDeque<Output>,
    rng: ChaCha20Rng,
    counter: u64,
    counts: Counts,
    draining: bool,
}

impl Server {
    /// Make one without connections.
    pub fn new(mut config: Config) -> Server {
        config.idle_timeout = config.idle_timeout.clamp(IDLE_MIN, IDLE_MAX);
        config.cores = config.cores.max(config.core.0.saturating_add(1));
        Server {
            rng: ChaCha20Rng::from_seed(config.seed),
            id_space: PushIds::new(config.core, config.cores),
            config,
            conns: Map::default(),
            sessions: Map::default(),
            ids: Map::default(),
            strikes: Strikes::default(),
            asks: Map::default(),
            timers: Timers::default(),
            out: VecDeque::new(),
            counter: 0,
            counts: Counts::default(),
            draining: false,
        }
    }

    /// Sessions alive on this core, those included whose encoders have not proved yet who they are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Connections known to this machine.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    /// What was odd so far.
    pub fn counts(&self) -> Counts {
        self.counts
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
        let Some(asker) = self.asks.remove(&ticket) else {
            return;
        };
        let (identity, answer) = match answer {
            Answer::Verified { identity, answer } => (Some(identity), *answer),
            answer => (None, answer),
        };
        self.answered(now, asker, ticket, identity, answer);
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Request(conn) => self.on_slow_request(now, conn),
            Timer::Quiet(conn) => self.on_quiet(now, conn),
            Timer::Idle(number) => self.on_idle(now, number),
            Timer::Inactivity(number) => self.on_inactivity(now, number),
        }
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, local } => self.on_opened(now, conn, peer, local),
            Input::Data { conn, bytes } => self.on_data(now, conn, bytes),
            Input::Closed { conn } => self.forget(now, conn),
            Input::Timeout => {
                while let Some(timer) = self.timers.pop(now) {
                    self.on_timer(now, timer);
                }
            }
            Input::Answer { ticket, answer } => self.on_answer(now, ticket, answer),
            Input::Evict { session, why } => {
                let (status, why) = explain(why);
                self.on_evict(now, session, status, why);
            }
            Input::Drain => self.draining = true,
            Input::Datagram { .. } | Input::Flow { .. } => {}
        }
    }

    fn poll(&mut self, _now: Time) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::Idle(self.timers.next()))
    }
}
