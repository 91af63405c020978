//! The client side: takes a stream from an encoder or a server (MS-MSBD 3.2, msbd.md 4.2).
//!
//! One [`Client`] is one session. It connects when it is polled for the first time; connecting again after a
//! failure is the driver's business.

mod config;
mod early;
mod media;

pub use self::config::ClientConfig;

use self::early::EarlyPackets;
use self::media::{Counts, Order};
use super::hresult;
use super::wire::{
    Described, Direction, Message, Oddities, Reader, ReqConnect, ResConnect, channel_bytes, flags,
};
use crate::client::{REASON_CLOSED, Transfer};
use crate::machine::{CloseHow, ConnId, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Why a URL cannot be opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Another scheme, or none.
    #[error("the scheme is not msbd")]
    Scheme,
    /// No host.
    #[error("no host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

/// Where the session is (msbd.md 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// C0.
    New,
    /// C1: the connection opens.
    Connecting,
    /// C2: REQ_CONNECT was sent.
    Asked,
    /// C3: there is no stream yet, or no more.
    Waiting,
    /// C4.
    Receiving,
    /// C5: IND_EOS came; what follows is not known.
    EntryEnded,
    /// C6, or failed.
    Done,
}

/// A stream that was described.
#[derive(Debug)]
struct Stream {
    id: u16,
    header: Bytes,
}

/// A client session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    host: String,
    port: u16,
    state: State,
    /// Media comes to a group, as far as asked for.
    multicast: bool,
    conn: Option<ConnId>,
    conns: u64,
    reader: Reader,
    stream: Option<Stream>,
    /// At least one was described.
    had_stream: bool,
    early: EarlyPackets,
    order: Order,
    counts: Counts,
    /// Since when something is waited for.
    since: Time,
    out: VecDeque<Output>,
}

impl Client {
    /// Make a session; it connects when it is polled.
    ///
    /// # Errors
    /// If the URL cannot be opened here.
    pub fn new(config: ClientConfig) -> Result<Client, UrlFault> {
        let (host, port) = config.place()?;
        Ok(Client {
            host,
            port,
            state: State::New,
            multicast: config.multicast,
            conn: None,
            conns: 0,
            reader: Reader::new(Direction::ToClient),
            stream: None,
            had_stream: false,
            early: EarlyPackets::default(),
            order: Order::default(),
            counts: Counts::default(),
            since: Time::ZERO,
            out: VecDeque::new(),
            config,
        })
    }

    /// End the session. If the server was there and had no stream all the while, that is told.
    pub fn finish(&mut self, _: Time) {
        if self.state == State::Waiting && !self.had_stream {
            self.report(IngestEvent::End(hresult::NS_E_NO_STREAM));
        }
        self.leave(CloseHow::Flush);
    }

    /// Nothing more will come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The server is there and has no stream: not yet, or no more.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// What was tolerated on the connection.
    pub fn oddities(&self) -> Oddities {
        self.reader.oddities()
    }

    /// How media came.
    pub fn transfer(&self) -> Transfer {
        self.counts.transfer(self.multicast)
    }

    /// Packets that were left out: of no stream that is known, without payload, parity, or no packets.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped() + self.early.dropped()
    }

    fn report(&mut self, event: IngestEvent) {
        self.out.push_back(Output::Ingest(Ingest {
            session: self.config.session,
            event,
        }));
    }

    fn connect(&mut self, now: Time) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.conn = Some(conn);
        self.reader = Reader::new(Direction::ToClient);
        self.state = State::Connecting;
        self.since = now;
        self.out.push_back(Output::Connect {
            conn,
            host: self.host.clone(),
            port: self.port,
        });
    }

    // MSBD-57
    fn opened(&mut self, now: Time, peer: SocketAddr) {
        if self.state != State::Connecting {
            return;
        }
        // MSBD-02
        if !peer.ip().to_canonical().is_ipv4() {
            return self.fail(format!("{peer} is not of IPv4, which MSBD needs"));
        }
        self.state = State::Asked;
        self.since = now;
        let channel = channel_bytes(&self.config.channel);
        let flags = match self.multicast {
            true => flags::MULTICAST,
            false => flags::TCP,
        };
        let request = ReqConnect {
            flags,
            channel: &channel,
        };
        if !self.say(&Message::ReqConnect(request)) {
            self.fail("the channel's name is too long");
        }
    }

    /// False if it is longer than a message can be.
    fn say(&mut self, message: &Message<'_>) -> bool {
        let (Some(conn), Some(bytes)) = (self.conn, message.bytes()) else {
            return false;
        };
        self.out.push_back(Output::Send { conn, bytes });
        true
    }

    fn data(&mut self, now: Time, bytes: &[u8]) {
        // Out of the way while its messages are looked at.
        let direction = Direction::ToClient;
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(direction));
        reader.push(bytes);
        let conn = self.conn;
        while self.conn == conn && self.state != State::Done {
            let at = reader.offset();
            let took = match reader.take() {
                Ok(None) => break,
                Ok(Some(message)) => self.message(now, &message),
                Err(fault) => {
                    self.fail_at(fault);
                    break;
                }
            };
            self.since = now;
            if let Err(reason) = took {
                self.fail_at(Fault { offset: at, reason });
            }
        }
        // Another connection has another one.
        if self.conn == conn || self.conn.is_none() {
            self.reader = reader;
        }
    }

    /// A message came; `Err` says why it cannot be.
    fn message(&mut self, now: Time, message: &Message<'_>) -> Result<(), String> {
        match message {
            // MSBD-10
            Message::ReqPing => {
                self.say(&Message::ResPing);
                Ok(())
            }
            Message::ResConnect(reply) => self.on_reply(now, reply),
            _ if matches!(self.state, State::Connecting | State::Asked) => {
                Err("media before RES_CONNECT".to_owned())
            }
            Message::IndStreamInfo(Described::Stream(info)) => self.on_stream(info),
            Message::IndStreamInfo(Described::Empty(_)) => {
                self.on_no_stream();
                Ok(())
            }
            Message::IndEos => {
                if self.state == State::Receiving {
                    self.state = State::EntryEnded;
                }
                Ok(())
            }
            // There they come to the group.
            Message::IndPacket(_) if self.multicast => {
                self.counts.stray += 1;
                Ok(())
            }
            Message::IndPacket(packet) => {
                self.on_packet(now, packet);
                Ok(())
            }
            // Nobody asked (MSBD-13); and the reader knows who may say what.
            _ => Ok(()),
        }
    }

    fn on_reply(&mut self, now: Time, reply: &ResConnect) -> Result<(), String> {
        if self.state != State::Asked {
            return Err("a second RES_CONNECT".to_owned());
        }
        if hresult::is_failure(reply.hr) {
            if self.multicast {
                // It may be had on the connection.
                self.multicast = false;
                self.hang_up(CloseHow::Flush);
                self.connect(now);
                return Ok(());
            }
            return Err(format!("refused with {:08X}", reply.hr));
        }
        if self.multicast {
            // MSBD-32
            let group = reply.group().ok_or_else(|| {
                let (family, at) = (reply.family, reply.address);
                format!("family {family}, {at} as multicast group")
            })?;
            self.out.push_back(Output::Join {
                channel: self.config.socket,
                group: SocketAddr::V4(group),
            });
        }
        self.state = State::Waiting;
        Ok(())
    }

    /// Unless a stream has just ended, it is one that is not there yet (msbd.md 3.6).
    fn on_no_stream(&mut self) {
        if self.state != State::EntryEnded {
            return;
        }
        self.stream = None;
        self.state = State::Waiting;
        self.report(IngestEvent::End(hresult::S_OK));
        if !self.config.stay {
            // MSBD-59
            self.leave(CloseHow::Flush);
        }
    }

    fn fail(&mut self, reason: impl Into<String>) {
        let offset = self.reader.offset();
        let reason = reason.into();
        self.fail_at(Fault { offset, reason });
    }

    fn fail_at(&mut self, fault: Fault) {
        if self.state != State::Done {
            self.report(IngestEvent::Failed(fault));
            self.leave(CloseHow::Abort);
        }
    }

    fn hang_up(&mut self, how: CloseHow) {
        if let Some(conn) = self.conn.take() {
            let fault = None;
            self.out.push_back(Output::Close { conn, how, fault });
        }
    }

    fn leave(&mut self, how: CloseHow) {
        self.hang_up(how);
        self.state = State::Done;
    }

    fn closed(&mut self) {
        self.conn = None;
        match self.state {
            State::Done => {}
            // The stream was over, only the last word is missing.
            State::EntryEnded => {
                self.report(IngestEvent::End(REASON_CLOSED));
                self.state = State::Done;
            }
            State::New | State::Connecting => {
                let (host, port) = (&self.host, self.port);
                let at = crate::client::url::authority(host, port, super::PORT);
                self.fail(format!("no connection to {at}"));
            }
            State::Asked => self.fail("connection closed before RES_CONNECT"),
            State::Waiting => self.fail("connection closed without a stream"),
            State::Receiving => self.fail("connection closed before IND_EOS"),
        }
    }

    fn deadline(&self) -> Option<Time> {
        let patience = match self.state {
            State::New | State::Done => return None,
            State::Connecting | State::Asked => self.config.reply_timeout,
            _ => self.config.idle_timeout,
        };
        let early = self.early.deadline();
        [Some(self.since + patience), early]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, now: Time) {
        self.early.expire(now);
        let (what, patience) = match self.state {
            State::New | State::Done => return,
            State::Connecting => ("no connection", self.config.reply_timeout),
            State::Asked => ("no RES_CONNECT", self.config.reply_timeout),
            _ => ("nothing came", self.config.idle_timeout),
        };
        if self.since + patience <= now {
            self.fail(format!("{what} in {} s", patience.as_secs()));
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Opened { conn, peer, .. } if self.conn == Some(conn) => self.opened(now, peer),
            Input::Data { conn, bytes } if self.conn == Some(conn) => self.data(now, bytes),
            Input::Closed { conn } if self.conn == Some(conn) => self.closed(),
            Input::Datagram { channel, bytes, .. } if channel == self.config.socket => {
                self.datagram(now, bytes);
            }
            Input::Timeout => self.timeout(now),
            Input::Drain => self.finish(now),
            _ => {}
        }
    }

    fn poll(&mut self, now: Time) -> Output {
        if self.state == State::New {
            self.connect(now);
        }
        match self.out.pop_front() {
            Some(output) => output,
            None => Output::Idle(self.deadline()),
        }
    }
}
