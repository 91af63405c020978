//! The driver contract that every protocol machine fulfils, server and client side, TCP and UDP.
//!
//! # The contract
//!
//! 1. The driver calls [`Machine::handle`] with one input and the time, then [`Machine::poll`]
//!    until it answers [`Output::Idle`]. Only then comes the next input.
//! 2. One machine serves *all* connections that one core has for its protocol, because sessions
//!    span connections (a WMSP `Log` arrives beside the connection that plays, an MMSP resend
//!    request arrives as a datagram). Connections are named by the driver's [`ConnId`].
//! 3. Time is an argument and never goes back. Deadlines are coarse: a driver may be late by one
//!    of its ticks. A machine that returned `Idle(Some(t))` gets [`Input::Timeout`] at or after `t`.
//! 4. What the machine must learn from outside it asks with [`Output::Ask`]; the answer returns as
//!    [`Input::Answer`] with the same [`Ticket`]. Other inputs may come in between; an answer to a
//!    session that has gone is ignored.
//! 5. Media leaves as a *flow* (see [`crate::media`]). While a flow runs on a connection the
//!    machine writes nothing to it: it first asks for [`FlowCommand::Hold`] and waits for
//!    [`FlowEvent::Held`], or gets [`FlowEvent::Ended`]. Each `Send` is one write to the transport,
//!    so a reply that must be one segment is one `Send`.
//! 6. Bytes may arrive in any split; a machine's outputs do not depend on the split.
//! 7. After `Output::Close`, `Output::Move` or `Output::Switch` the driver sends no further input for that connection,
//!    and the machine has already forgotten it. A flow on a closed connection is dropped silently.
//!    After `Input::Closed` the machine must not name the connection again.

use crate::content::{Answer, ContentId, Question, Refusal};
use crate::media::{FlowCommand, FlowEvent, FlowId, Ingest};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// A point in time: microseconds since an origin that the driver chose. Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);

    /// Microseconds since the origin.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// Time elapsed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, rhs: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// A stream transport (TCP connection), named by the driver. Never reused within a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A question's number, chosen by the machine. Never reused within a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A core of the server; sessions carry it in their public ids (decision 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u8);

/// One of a front end's UDP sockets: 0 is MMSP's only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(pub u8);

/// A front end that a connection can be handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The HTTP port's: WMSP and plain HTTP.
    Http,
    /// The MMS port's.
    Mms,
    /// The RTSP port's.
    Rtsp,
    /// WMHTTP: encoders that push. Their connections arrive on the HTTP port.
    Push,
    /// The MSBD ports'.
    Msbd,
}

/// What happens to a machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection exists: accepted (server), or opened after [`Output::Connect`] (client).
    Opened {
        /// Its name from now on.
        conn: ConnId,
        /// The other end.
        peer: SocketAddr,
        /// This end.
        local: SocketAddr,
    },
    /// Bytes arrived on a connection, in order.
    Data {
        /// Where.
        conn: ConnId,
        /// Any number of bytes, at least one.
        bytes: &'a [u8],
    },
    /// The peer closed, or the transport failed; nothing more can be read or written.
    Closed {
        /// Which connection.
        conn: ConnId,
    },
    /// A datagram arrived on one of the front end's UDP sockets.
    Datagram {
        /// On which socket.
        channel: Channel,
        /// Its sender, which may be forged.
        peer: SocketAddr,
        /// The whole datagram.
        bytes: &'a [u8],
    },
    /// The deadline of the last [`Output::Idle`] has passed.
    Timeout,
    /// The answer to [`Output::Ask`].
    Answer {
        /// The question's number.
        ticket: Ticket,
        /// What was found out.
        answer: Answer,
    },
    /// Something happened to a flow.
    Flow {
        /// Which.
        flow: FlowId,
        /// What.
        event: FlowEvent,
    },
    /// The application takes back what [`crate::content::Answer::Publishing`] gave: another publisher
    /// takes over, or the operator ended it. The session is over; [`Output::Withdraw`] is not expected.
    Evict {
        /// The machine's number of the session, as the question had it.
        session: u64,
        /// Why, for the status shown to the peer.
        why: Refusal,
    },
    /// The server is being drained: take no new sessions, finish what runs.
    Drain,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseHow {
    /// Deliver what was sent, then close in order.
    Flush,
    /// Forget unsent bytes and close now.
    Abort,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Output {
    /// Write to a connection, one write per `Send`, in order.
    Send {
        /// Where.
        conn: ConnId,
        /// Never empty.
        bytes: Bytes,
    },
    /// Send one datagram from one of the front end's UDP sockets, now and alone. Several in a row leave
    /// back to back. One that the socket does not take at once is lost, as it may be on the way.
    SendTo {
        /// Leaves from the address that this connection has at this end.
        conn: ConnId,
        /// From which socket.
        channel: Channel,
        /// Destination.
        peer: SocketAddr,
        /// Payload.
        bytes: Bytes,
    },
    /// Close a connection. The machine has forgotten it.
    Close {
        /// Which.
        conn: ConnId,
        /// How.
        how: CloseHow,
        /// For the one log line of a refused or failed peer; `None` at an ordinary end.
        fault: Option<Fault>,
    },
    /// Hand the connection to another core, together with bytes not yet consumed; the other
    /// core's machine sees it as newly opened. Only issued between requests.
    Move {
        /// Which.
        conn: ConnId,
        /// To which core.
        core: CoreId,
        /// Bytes to be fed to the machine there first.
        unread: Bytes,
    },
    /// The datagram belongs to a session of another core: its machine sees it as arrived there.
    Pass {
        /// To which core.
        core: CoreId,
        /// On which socket it arrived.
        channel: Channel,
        /// Its sender.
        peer: SocketAddr,
        /// Payload.
        bytes: Bytes,
    },
    /// The connection speaks another protocol: the machine of that one on the same core sees it as newly
    /// opened. Only issued between requests; what was sent and not yet written goes first.
    Switch {
        /// Which.
        conn: ConnId,
        /// To whom.
        service: Service,
        /// Bytes to be fed to the machine there first.
        unread: Bytes,
    },
    /// Client machines: open a connection; `Opened` or `Closed` follows.
    Connect {
        /// Its name, chosen by the machine from the driver's spare ids (client machines own the id space).
        conn: ConnId,
        /// Host name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Client machines: receive what is sent to a group, on one of the driver's UDP sockets.
    Join {
        /// On which socket.
        channel: Channel,
        /// The group's address and port.
        group: SocketAddr,
    },
    /// Ask the application.
    Ask {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What is asked.
        question: Box<Question>,
    },
    /// Command a flow.
    Flow {
        /// Which; named by the machine at `Start`.
        flow: FlowId,
        /// What.
        command: FlowCommand,
    },
    /// The session no longer needs a content that an answer opened.
    Release {
        /// Which.
        content: ContentId,
    },
    /// Media that arrived from the peer (client and ingest machines).
    Ingest(Ingest),
    /// The session that was given a point to publish to is over. What it published stays, viewers are told
    /// by the events before.
    Withdraw {
        /// The machine's number of the session, as the question had it.
        session: u64,
        /// The peer wants the point gone if it came into being for this session.
        destroy: bool,
    },
    /// Something worth recording, off the media path.
    Report(Box<Report>),
    /// Nothing more to do until the given time (`None`: until the next input).
    Idle(Option<Time>),
}

/// A fault of the peer: enough to find the place in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset in the byte stream of the connection where it was noticed.
    pub offset: u64,
    /// What was wrong, in a few words that end in the production's name.
    pub reason: String,
}

/// Things a machine reports about its sessions.
#[derive(Debug)]
pub enum Report {
    /// A client log was submitted; the text is unvalidated (wmlog.md 11).
    ClientLog {
        /// Session number inside this machine, 0 if the log belongs to no session.
        session: u64,
        /// The flow that it most likely describes.
        flow: Option<FlowId>,
        /// Address of the submitting peer.
        peer: SocketAddr,
        /// URL path and query of the submitting request.
        target: String,
        /// User-Agent of the submitting request.
        user_agent: String,
        /// In which form it came.
        log: ClientLog,
    },
    /// A request was refused; one access-log line.
    Refused {
        /// The peer.
        peer: SocketAddr,
        /// Request path and query.
        target: String,
        /// User-Agent, possibly empty.
        user_agent: String,
        /// Protocol status shown to the client (HTTP-like).
        status: u16,
        /// Why, for the operator.
        reason: String,
    },
}

/// A submitted client log, as it came off the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientLog {
    /// Space-separated W3C fields (WMSP `log-line`, web POST).
    W3c(String),
    /// The XML form.
    Xml(String),
    /// A remote event body (WMSP/RTSP SendEvent).
    RemoteEvent(Vec<u8>),
    /// The MMSP `CLIENT_LOG` structure.
    Mmsp(Vec<u8>),
}

/// A protocol machine. See the module for the contract.
pub trait Machine {
    /// Take one input.
    fn handle(&mut self, now: Time, input: Input<'_>);
    /// Give the next output; [`Output::Idle`] ends a round.
    fn poll(&mut self, now: Time) -> Output;
}
