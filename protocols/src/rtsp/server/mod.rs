//! The server side of RTSP: Windows Media clients (RTSP-WME), and players that know nothing but
//! RTSP and the payload formats of single codecs.
//!
//! # Shape
//! - A connection gives requests one at a time. While one waits for an answer of the application or
//!   for a flow to be held, later bytes stay in the connection's reader.
//! - Replies leave in the order of their requests. While a flow writes to the connection they are
//!   gathered; one Hold lets all of them out, and the flow goes on.
//! - A session lives beside its connections, under its id: it outlives one that breaks, and the
//!   client may return to it from the same address.
//! - What a description opened belongs to the connection until the first SETUP makes it a session's.
//! - How media is put on the wire is [`media`]'s: one implementation for ASF packets, one for media
//!   objects of other codecs.

mod answer;
mod conn;
mod control;
mod datagram;
mod describe;
mod entry;
pub mod media;
mod names;
mod play;
mod request;
mod select;
mod session;
mod setup;
mod wish;

use super::payload::Form;
use super::reader::Limits;
use crate::content::{Answer, Question};
use crate::home::IdSpace;
use crate::machine::{Channel, ConnId, CoreId, Input, Machine, Output, Ticket, Time};
use crate::media::FlowId;
use crate::timers::Timers;
use conn::Conn;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use session::Session;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

/// Keys are chosen by us or by the driver, never by a peer: a fixed hash is enough, and makes runs
/// repeatable.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The UDP socket that RTP leaves from.
pub const RTP: Channel = Channel(0);
/// The UDP socket for RTCP and NACKs.
pub const RTCP: Channel = Channel(1);

/// Shortest idle timeout (RTSP-124).
const IDLE_MIN: Duration = Duration::from_secs(10);

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The core that it runs on.
    pub core: CoreId,
    /// Number of cores, at least 1 and more than `core`.
    pub cores: u8,
    /// Seed of session ids, SSRCs and packet pairs. Secret, and another one for each core and each start.
    pub seed: [u8; 32],
    /// Value of the `Server` header (decision 2); open players look for `WMServer/` at its start (RTSP-135).
    pub server: String,
    /// Port of this core's [`RTP`] socket, from which retransmissions leave too; that of its [`RTCP`]
    /// socket is the next one. 0: there are none, everything goes over TCP.
    pub rtp_port: u16,
    /// Bytes of the largest datagram that is sent: the path's MTU less IP and UDP.
    pub datagram_bytes_max: usize,
    /// What the length in front of an ASF packet counts (decision 6).
    pub rtp_length: Form,
    /// Error correction that is offered for UDP; `None`: not offered.
    pub fec: Option<super::fec::Params>,
    /// A session without request goes after this, unless media goes over TCP; at least 10 s.
    pub idle_timeout: Duration,
    /// What clients are told of it; never more than `idle_timeout` (RTSP-125).
    pub announced_timeout: Duration,
    /// A request must be complete this long after its first byte.
    pub request_timeout: Duration,
    /// Bounds on requests.
    pub limits: Limits,
    /// Most bytes of replies that wait on one connection; then no further request is taken.
    pub pending_bytes_max: usize,
    /// Most sessions of this core.
    pub session_count_max: usize,
    /// Most sessions of one connection.
    pub connection_sessions_max: usize,
    /// Requests of one connection that are served in `heartbeat`; others get 503 (RTSP-104).
    pub transactions_max: u32,
    /// See `transactions_max`.
    pub heartbeat: Duration,
    /// Datagrams that one session has sent again in a second at most (RTSP-45).
    pub resends_per_second_max: u32,
    /// Begin the next entry of a playlist with streams of our choice, if the client agrees (RTSP-115).
    pub predictive: bool,
    /// Ask caches for rendering logs.
    pub remote_log: bool,
    /// Serve contents of other codecs to players that do not ask for RTSP-WME.
    pub plain: bool,
    /// Value of the `Server` header in what is about such a content: behind `WMServer/` FFmpeg and
    /// GStreamer expect ASF and nothing else.
    pub plain_server: String,
    /// Time since 1970 at [`Time::ZERO`], for `Date` and sender reports; `None`: not known, no `Date`.
    pub unix_origin: Option<Duration>,
}

impl Config {
    /// The defaults, for one of `cores` cores.
    pub fn new(core: CoreId, cores: u8, seed: [u8; 32]) -> Config {
        Config {
            core,
            cores,
            seed,
            server: "WMServer/9.1.1.3841".to_owned(),
            rtp_port: 5004,
            datagram_bytes_max: 1472,
            rtp_length: Form::Inclusive,
            fec: None,
            idle_timeout: Duration::from_secs(70),
            announced_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            limits: Limits {
                head_bytes_max: 16 * 1024,
                body_bytes_max: 64 * 1024,
                frame_bytes_max: 2 * 1024,
            },
            pending_bytes_max: 64 * 1024,
            session_count_max: 65_536,
            connection_sessions_max: 8,
            transactions_max: 240,
            heartbeat: Duration::from_secs(30),
            resends_per_second_max: 512,
            predictive: true,
            remote_log: true,
            plain: true,
            plain_server: "Ringcast".to_owned(),
            unix_origin: None,
        }
    }
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// The request that the connection is at.
    Conn(ConnId),
    /// A session, about what follows an entry.
    Session(u64),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A request must be complete.
    Request(ConnId),
    /// A connection has been without a request and without a session for long.
    Quiet(ConnId),
    /// A client that knows no EndOfStream is closed (decision 12).
    Refused(ConnId),
    /// The session has been without a request for long.
    Idle(u64),
    /// The next entry may be announced (RTSP-84).
    Lag(u64),
    /// What was sent last need not be sent again any more (RTSP-42).
    Tail(u64),
    /// The sources of a flow of datagrams say that they have ended.
    Goodbye(u64),
}

/// The machine of one core's RTSP port.
///
/// Connections and sessions are boxed: tables have room for twice as many entries as they hold.
#[derive(Debug)]
pub struct Server {
    config: Config,
    conns: Map<ConnId, Box<Conn>>,
    sessions: Map<u64, Box<Session>>,
    /// Sessions by the SSRC of their retransmission stream.
    resends: Map<u32, u64>,
    /// Sessions by the address that receiver reports come from.
    reporters: BTreeMap<std::net::SocketAddr, u64>,
    flows: Map<FlowId, u64>,
    asks: Map<Ticket, Asker>,
    timers: Timers<Timer>,
    out: VecDeque<Output>,
    rng: ChaCha20Rng,
    counter: u64,
    draining: bool,
}

impl Server {
    /// Make one without connections.
    pub fn new(mut config: Config) -> Server {
        config.idle_timeout = config.idle_timeout.max(IDLE_MIN);
        config.announced_timeout = config.announced_timeout.min(config.idle_timeout);
        config.cores = config.cores.max(config.core.0.saturating_add(1));
        Server {
            rng: ChaCha20Rng::from_seed(config.seed),
            config,
            conns: Map::default(),
            sessions: Map::default(),
            resends: Map::default(),
            reporters: BTreeMap::new(),
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

    fn space(&self) -> IdSpace {
        IdSpace::new(self.config.core, self.config.cores)
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

    fn release(&mut self, content: crate::content::ContentId) {
        self.out.push_back(Output::Release { content });
    }

    fn on_answer(&mut self, now: Time, ticket: Ticket, answer: Answer) {
        let asker = self.asks.remove(&ticket);
        let answer = match answer {
            Answer::Verified { identity, answer } => {
                if let Some(Asker::Conn(conn)) = asker
                    && let Some(c) = self.conns.get_mut(&conn)
                {
                    c.access.remember(identity);
                }
                *answer
            }
            answer => answer,
        };
        let unclaimed = match asker {
            Some(Asker::Conn(conn)) => self.on_request_answer(now, conn, ticket, answer),
            Some(Asker::Session(id)) => self.on_entry_answer(now, id, ticket, answer),
            None => Some(answer),
        };
        // Who asked is gone, but what was opened for them is not.
        if let Some(Answer::Opened(content)) = unclaimed {
            self.release(content.id);
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Request(conn) => self.on_slow_request(now, conn),
            Timer::Quiet(conn) => self.on_quiet(now, conn),
            Timer::Refused(conn) => self.on_refused_end(now, conn),
            Timer::Idle(id) => self.expire(now, id),
            Timer::Lag(id) => self.announce_due(now, id),
            Timer::Tail(id) => self.drop_tail(id),
            Timer::Goodbye(id) => self.on_goodbye(now, id),
        }
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, local } => self.on_opened(now, conn, peer, local),
            Input::Data { conn, bytes } => self.on_data(now, conn, bytes),
            Input::Closed { conn } => self.forget(now, conn),
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
