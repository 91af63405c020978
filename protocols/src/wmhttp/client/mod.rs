//! The client of WMHTTP: an encoder that pushes one live stream to a publishing point
//! (MS-WMHTTP 3.1).
//!
//! One [`Client`] is one session. It is told what to push with [`Client::header`],
//! [`Client::packet`] and [`Client::entry_end`], at the rate at which that is to arrive: the machine
//! paces nothing. What cannot be sent yet waits, up to a limit. It connects when it is polled for the
//! first time and says what happens with [`IngestEvent`]s: [`News::Described`] when the server has
//! accepted the session, [`IngestEvent::End`] when the stream was ended in order,
//! [`IngestEvent::Failed`] when it cannot go on. A session that failed is not resumed: a new one
//! begins with push-id 0 and the header again.

mod access;
mod body;
mod config;
mod cookies;
mod link;
mod queue;
mod reply;
mod send;
mod url;

pub use config::{CONTENT_LENGTH, ClientConfig, Packets};
pub use url::{Url, UrlFault};

use self::access::Access;
use self::body::Body;
use self::cookies::Cookies;
use self::link::Link;
use self::queue::{Entry, Item, MORE, Queue};
use crate::asf;
use crate::machine::{CloseHow, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent, News};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::VecDeque;
use std::time::Duration;

/// Some servers do not answer a body that ends with `$E(1)` (wmhttp.md 13.12).
const ENTRY_END_PATIENCE: Duration = Duration::from_secs(5);

/// Reason of an `$E` whose sender gives up: what it pushes could not be read further, or the server
/// does not take it as fast as it comes. One of our own (WMHTTP-98): the customer's bit is set.
pub const REASON_FAILED: u32 = 0xA004_0001;

/// How an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryEnd {
    /// Another one follows.
    More,
    /// It was the last one.
    Finished,
    /// Nothing follows, since something failed: an HRESULT, as [`REASON_FAILED`].
    Failed(u32),
}

/// Why something is not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushFault {
    /// The header is none that can be pushed.
    #[error("header: {0}")]
    Header(asf::Error),
    /// The header does not fit in a frame.
    #[error("header of {len} bytes, a frame takes {max}")]
    HeaderTooLong {
        /// Bytes.
        len: usize,
        /// Most bytes.
        max: usize,
    },
    /// The packet is damaged.
    #[error("packet: {0}")]
    Packet(asf::Error),
    /// No header was given, or its entry has ended.
    #[error("no entry that it could belong to")]
    NoEntry,
    /// Too much waits already: the packet is not taken.
    #[error("too much waits to be sent")]
    Full,
    /// The session is over, or its end is on its way.
    #[error("the session is over")]
    Over,
}

/// What a server does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answered with this status.
    Status(u16),
    /// It, or a proxy, wants other credentials than are there.
    Credentials,
    /// It is none that can be pushed to.
    Foreign,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// `$D` frames.
    pub packets: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Those of them that are filler.
    pub filler: u64,
    /// Bodies begun.
    pub bodies: u64,
}

/// Where the session is (wmhttp.md 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// The PushSetup is to be sent, or was.
    Setup,
    /// Accepted; there is no header yet.
    Ready,
    /// A PushStart waits for its connection.
    Starting,
    /// Length-Remaining is not 0.
    InProgress,
    /// Length-Remaining is 0, the reply is due.
    Full,
    Done,
}

/// What may be given next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Entry,
    EntryEnd,
    End,
}

/// What the server has been sent of the session, in the order of the frames.
#[derive(Debug, Default)]
struct Sent {
    /// Header of the entry that is being sent, or will be first.
    entry: Option<Box<Entry>>,
    /// It has been sent.
    begun: bool,
    /// Its `$E(1)` has been sent.
    ended: bool,
    /// That was the end of a body.
    ends_body: bool,
    /// A PushStart was accepted: the server has got what was sent.
    accepted: bool,
}

/// A push session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    state: State,
    url: Url,
    proxy: Option<Url>,
    using_proxy: bool,
    redirects: u8,
    cookies: Cookies,
    access: Access,
    proxy_access: Access,
    /// PushStarts are challenged, too.
    proves_start: bool,
    rng: ChaCha8Rng,
    link: Option<Link>,
    next_conn: u64,
    /// The PushSetup was lost once with a connection that was kept open for it.
    setup_retried: bool,
    established: bool,
    given: Given,
    packet_size: u32,
    queue: Queue,
    sent: Sent,
    body: Body,
    totals: Totals,
    refusal: Option<Refusal>,
    out: VecDeque<Output>,
}

impl Client {
    /// Make a session; it connects when it is polled.
    ///
    /// # Errors
    /// If nothing can be pushed to its URL, or that of its proxy is none.
    pub fn new(config: ClientConfig) -> Result<Client, UrlFault> {
        let url = Url::parse(&config.url)?;
        let proxy = config.proxy.as_deref().map(Url::parse).transpose()?;
        Ok(Client {
            state: State::New,
            url,
            using_proxy: proxy.is_some(),
            proxy,
            redirects: 0,
            cookies: Cookies::default(),
            access: Access::new(config.credentials.clone()),
            proxy_access: Access::new(config.proxy_credentials.clone()),
            proves_start: false,
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            link: None,
            next_conn: 1,
            setup_retried: false,
            established: false,
            given: Given::Nothing,
            packet_size: 0,
            queue: Queue::default(),
            sent: Sent::default(),
            body: Body::default(),
            totals: Totals::default(),
            refusal: None,
            out: VecDeque::new(),
            config,
        })
    }

    /// Begin an entry: the ASF Header Object and the first 50 bytes of the Data Object; what is behind
    /// them is left out. An entry that runs is ended before.
    ///
    /// # Errors
    /// If it cannot be pushed. Nothing has changed then.
    // WMHTTP-33, WMHTTP-45
    pub fn header(&mut self, now: Time, header: Bytes) -> Result<(), PushFault> {
        self.check_open()?;
        let first = self.given == Given::Nothing;
        let entry = Box::new(Entry::new(header, first)?);
        self.packet_size = entry.packet_size;
        if self.given == Given::Entry {
            self.queue.push(Item::End(MORE));
        }
        self.given = Given::Entry;
        match first {
            true => self.sent.entry = Some(entry),
            false => self.queue.push(Item::Change(entry)),
        }
        if self.state == State::Ready {
            self.start(now);
        }
        self.pump(now);
        Ok(())
    }

    /// Push one ASF packet of the entry that was begun last.
    ///
    /// # Errors
    /// If it cannot be pushed; it is left out then.
    // WMHTTP-16, WMHTTP-39
    pub fn packet(&mut self, now: Time, packet: &[u8]) -> Result<(), PushFault> {
        self.check_open()?;
        if self.given != Given::Entry {
            return Err(PushFault::NoEntry);
        }
        if !self.is_ready() {
            return Err(PushFault::Full);
        }
        let frame = queue::packet_frame(packet, self.packet_size, self.config.packets)
            .map_err(PushFault::Packet)?;
        self.queue.push(Item::Packet(frame));
        self.pump(now);
        Ok(())
    }

    /// End the entry that was begun last, or all.
    ///
    /// # Errors
    /// If there is none, where another is to follow; if the session is over.
    // WMHTTP-19
    pub fn entry_end(&mut self, now: Time, end: EntryEnd) -> Result<(), PushFault> {
        self.check_open()?;
        let reason = match end {
            EntryEnd::More if self.given != Given::Entry => return Err(PushFault::NoEntry),
            EntryEnd::More => MORE,
            EntryEnd::Finished => 0,
            // These two say something else.
            EntryEnd::Failed(0 | MORE) => REASON_FAILED,
            EntryEnd::Failed(reason) => reason,
        };
        if reason == MORE {
            self.given = Given::EntryEnd;
        } else {
            let nothing = self.given == Given::Nothing;
            self.given = Given::End;
            if nothing || !self.established {
                // Nobody has got anything that could be ended.
                self.end(reason);
                return Ok(());
            }
        }
        self.queue.push(Item::End(reason));
        self.pump(now);
        Ok(())
    }

    /// End the stream in order: what waits is sent, then that it is over. A session that was not
    /// accepted yet is given up at once.
    pub fn finish(&mut self, now: Time) {
        // All that can be wrong is that it is over already.
        let _ = self.entry_end(now, EntryEnd::Finished);
    }

    /// True while packets are taken.
    pub fn is_ready(&self) -> bool {
        self.state != State::Done && self.queue.bytes() < self.config.queue_bytes_max
    }

    /// True once the server has accepted the session.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// True when nothing more will happen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// What was sent so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// If the session failed because it was not wanted: how that was said.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn check_open(&self) -> Result<(), PushFault> {
        match self.state == State::Done || self.given == Given::End {
            true => Err(PushFault::Over),
            false => Ok(()),
        }
    }

    fn report(&mut self, event: IngestEvent) {
        self.out.push_back(Output::Ingest(Ingest {
            session: self.config.session,
            event,
        }));
    }

    fn news(&mut self, news: News) {
        self.report(IngestEvent::News(Box::new(news)));
    }

    /// The stream was ended, or never begun.
    // WMHTTP-44
    fn end(&mut self, reason: u32) {
        self.state = State::Done;
        self.close(CloseHow::Flush);
        self.report(IngestEvent::End(reason));
    }

    /// The session cannot go on.
    // WMHTTP-54
    fn fail(&mut self, reason: impl Into<String>) {
        if self.state == State::Done {
            return;
        }
        let offset = self.link.as_ref().map_or(0, |l| l.reader.offset());
        let reason = reason.into();
        self.state = State::Done;
        self.report(IngestEvent::Failed(Fault { offset, reason }));
        self.close(CloseHow::Abort);
    }

    fn refuse(&mut self, refusal: Refusal, reason: impl Into<String>) {
        self.refusal = Some(refusal);
        self.fail(reason);
    }

    fn close(&mut self, how: CloseHow) {
        if let Some(link) = self.link.take() {
            self.out.push_back(Output::Close {
                conn: link.conn,
                how,
                fault: None,
            });
        }
    }

    // WMHTTP-38, WMHTTP-54
    fn closed(&mut self, now: Time) {
        let Some(link) = self.link.take() else { return };
        let again = link.due && link.served > 0 && link.reader.is_idle() && link.head.is_none();
        match self.state {
            _ if !link.opened => {
                let at = self.proxy.as_ref().unwrap_or(&self.url);
                let reason = format!("no connection to {}", at.authority());
                self.fail(reason);
            }
            // The server may have given up waiting just when we wrote.
            State::Setup if again && !self.setup_retried => {
                self.setup_retried = true;
                self.connect(now);
            }
            State::Setup => self.lost(&link, "the PushSetup was not answered"),
            State::Ready => {}
            State::Full if self.sent.ends_body => self.start(now),
            _ => self.lost(&link, "the PushStart was not answered"),
        }
    }

    fn lost(&mut self, link: &Link, what: &str) {
        let offset = link.reader.offset();
        let reason = format!("the server closed the connection: {what}");
        self.state = State::Done;
        self.report(IngestEvent::Failed(Fault { offset, reason }));
    }

    fn deadline(&self) -> Option<Time> {
        let link = self.link.as_ref()?;
        let limit = match self.state {
            _ if !link.opened => self.config.reply_timeout,
            State::Setup => self.config.reply_timeout,
            State::Full if self.sent.ends_body => ENTRY_END_PATIENCE,
            State::Full => self.config.reply_timeout,
            _ => return None,
        };
        Some(link.since + limit)
    }

    fn timeout(&mut self, now: Time) {
        if self.deadline().is_none_or(|t| now < t) {
            return;
        }
        let seconds = self.config.reply_timeout.as_secs();
        match (self.state, self.link.as_ref().is_some_and(|l| l.opened)) {
            (_, false) => self.fail(format!("no connection in {seconds} s")),
            (State::Full, true) if self.sent.ends_body => {
                self.close(CloseHow::Flush);
                self.start(now);
            }
            (state, true) => {
                let what = match state {
                    State::Setup => "PushSetup",
                    _ => "PushStart",
                };
                self.fail(format!("no reply to the {what} in {seconds} s"));
            }
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        let of = |conn| self.link.as_ref().is_some_and(|l| l.conn == conn);
        match input {
            Input::Opened { conn, .. } if of(conn) => {
                if let Some(link) = &mut self.link {
                    link.opened = true;
                    link.since = now;
                }
                match self.state {
                    State::Setup => self.send_setup(now),
                    State::Starting => self.send_start(now),
                    _ => {}
                }
            }
            Input::Data { conn, bytes } if of(conn) => self.receive(now, bytes),
            Input::Closed { conn } if of(conn) => self.closed(now),
            Input::Timeout => self.timeout(now),
            Input::Drain => self.finish(now),
            _ => {}
        }
    }

    fn poll(&mut self, now: Time) -> Output {
        if self.state == State::New {
            self.setup(now);
        }
        match self.out.pop_front() {
            Some(output) => output,
            None => Output::Idle(self.deadline()),
        }
    }
}
