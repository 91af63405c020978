//! The client of WMSP: opens a URL, reads its description, plays, logs (MS-WMSP 3.1).
//!
//! One [`Client`] is one session; it uses up to two connections, one for media and, without
//! pipelining, one for what must be said meanwhile. It opens the first one when it is polled for the
//! first time.
//!
//! It is a second reading of the wire beside the server's: nothing here looks at how the server
//! writes, both share the packet and token formats only.

mod access;
mod config;
mod link;
mod media;
mod report;
mod request;
mod send;
mod session;
mod stream;
mod url;

pub use crate::client::{REASON_CLOSED, Streams};
pub use config::ClientConfig;
pub use url::{Url, UrlFault};

use self::access::Access;
use self::link::{Link, Request};
use self::request::{Envelope, Kind};
use self::session::Session;
use self::stream::Packets;
use super::switch;
use crate::asf;
use crate::client::Counters;
use crate::content::{Selection, Start, StreamSwitch};
use crate::machine::{CloseHow, ConnId, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent, News};
use crate::rate::packet_pair;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::VecDeque;
use std::time::Duration;

/// A server may not know yet that the data connection was closed when the next Play comes.
const PLAY_RETRY: Duration = Duration::from_millis(250);
const PLAY_RETRY_MAX: u8 = 8;

/// A client session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    state: State,
    /// Where the content is, and the proxy to it if one was named.
    url: Url,
    proxy: Option<Url>,
    redirects: u8,
    session: Session,
    access: Access,
    data: Option<Link>,
    side: Option<Link>,
    next_conn: u64,
    body: Body,
    header: Option<Box<asf::Header>>,
    header_bytes: Bytes,
    description: Vec<(String, String)>,
    selection: Selection,
    pair: packet_pair::Estimate,
    counters: Counters,
    /// The entry that is received has a log coming to it.
    log_due: bool,
    /// The next header begins a new entry, whatever is in it.
    entry_is_new: bool,
    /// Close everything when the last log is through.
    finishing: bool,
    /// Play from there once stopped.
    next_play: Option<Position>,
    position: Position,
    /// Media was stopped once, by closing its connection.
    was_stopped: bool,
    play_retries: u8,
    play_again_at: Option<Time>,
    keep_alive_at: Option<Time>,
    out: VecDeque<Output>,
}

/// Where the session is (MS-WMSP 3.1.1, with what lies between its states).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Describing,
    /// The pipeline test runs.
    Testing,
    /// Described, waiting for [`Client::play`].
    Described,
    /// Play was sent.
    Starting,
    Streaming,
    /// The server said that another entry follows.
    EntryEnded,
    /// `$C` came; its header is due, and then data unless streams must be selected first.
    Changing {
        goes_on: bool,
    },
    /// The entry's streams must be selected.
    Waiting,
    /// Stop was sent.
    Stopping,
    Stopped,
    Ended,
    Done,
}

/// Where to play from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    start: Start,
    /// In a playlist: so many entries on or back.
    skip: Option<i32>,
}

/// What is done with the body that comes on the data connection.
#[derive(Debug)]
enum Body {
    Ignored,
    Packets(Packets),
    /// Text of a reply that is no media.
    Text(Vec<u8>),
}

impl Client {
    /// Make a session; it connects when it is polled.
    pub fn new(mut config: ClientConfig) -> Result<Client, UrlFault> {
        let url = Url::parse(&config.url)?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let guid = crate::wmlog::client::identify(&mut rng, &mut config.player);
        let position = Position {
            start: config.start,
            skip: None,
        };
        Ok(Client {
            session: Session::new(guid),
            access: Access::new(rng),
            config,
            state: State::New,
            url,
            proxy: None,
            redirects: 0,
            data: None,
            side: None,
            next_conn: 1,
            body: Body::Ignored,
            header: None,
            header_bytes: Bytes::new(),
            description: Vec::new(),
            selection: Selection::NONE,
            pair: packet_pair::Estimate::default(),
            counters: Counters::default(),
            log_due: false,
            entry_is_new: false,
            finishing: false,
            next_play: None,
            position,
            was_stopped: false,
            play_retries: 0,
            play_again_at: None,
            keep_alive_at: None,
            out: VecDeque::new(),
        })
    }

    /// Play from there: begins, goes on after [`Client::stop`], or seeks while playing.
    pub fn play(&mut self, now: Time, start: Start) {
        self.play_at(now, Position { start, skip: None });
    }

    /// Go to another entry of the playlist: 1 the next, -1 the one before.
    pub fn skip(&mut self, now: Time, entries: i32) {
        let start = Start::Beginning;
        let skip = Some(entries);
        self.play_at(now, Position { start, skip });
    }

    /// Stop the media; the session lives on (WMSP-110).
    pub fn stop(&mut self, now: Time) {
        self.next_play = None;
        self.stop_media(now);
    }

    /// Change the selection of what plays, or make that of an entry that waits for it.
    pub fn select(&mut self, now: Time, switches: &[StreamSwitch]) {
        self.selection = switch::changed(self.selection, switches);
        match self.state {
            State::Streaming => self.send_select(now, switches),
            State::Waiting => self.select_entry(now),
            _ => {}
        }
    }

    /// End the session: stop, submit what is to be logged, close.
    pub fn finish(&mut self, now: Time) {
        self.finishing = true;
        self.next_play = None;
        self.stop_media(now);
        self.close_if_done();
    }

    /// True when nothing more will come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// True while requests go where media comes.
    pub fn is_pipelined(&self) -> bool {
        self.session.pipelined
    }

    fn play_at(&mut self, now: Time, position: Position) {
        match self.state {
            State::Described | State::Stopped | State::Ended => {
                self.position = position;
                self.play_retries = 0;
                self.send_play(now);
            }
            State::New | State::Describing | State::Testing => {
                self.position = position;
                self.config.autoplay = true;
            }
            State::Done => {}
            State::Stopping => self.next_play = Some(position),
            _ => {
                self.next_play = Some(position);
                self.stop_media(now);
            }
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

    /// The session cannot go on.
    fn fail(&mut self, offset: u64, reason: impl Into<String>) {
        if self.state == State::Done {
            return;
        }
        let reason = reason.into();
        self.report(IngestEvent::Failed(Fault { offset, reason }));
        self.close_all(CloseHow::Abort);
    }

    fn close_all(&mut self, how: CloseHow) {
        self.state = State::Done;
        self.keep_alive_at = None;
        self.play_again_at = None;
        for which in [Which::Data, Which::Side] {
            self.close(which, how);
        }
    }
}

/// Which of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Data,
    Side,
}

impl Client {
    fn slot(&mut self, which: Which) -> &mut Option<Link> {
        match which {
            Which::Data => &mut self.data,
            Which::Side => &mut self.side,
        }
    }

    fn which(&self, conn: ConnId) -> Option<Which> {
        let is = |l: &Option<Link>| l.as_ref().is_some_and(|l| l.conn == conn);
        if is(&self.data) {
            Some(Which::Data)
        } else if is(&self.side) {
            Some(Which::Side)
        } else {
            None
        }
    }

    fn close(&mut self, which: Which, how: CloseHow) {
        if let Some(link) = self.slot(which).take_if(|l| !l.gone) {
            self.out.push_back(Output::Close {
                conn: link.conn,
                how,
                fault: None,
            });
        }
        *self.slot(which) = None;
        if which == Which::Data {
            self.body = Body::Ignored;
        }
    }

    /// Queue a request; the connection is opened if there is none.
    fn send(&mut self, now: Time, which: Which, request: Request) {
        self.keep_alive_at = None;
        let gone = self.slot(which).take_if(|l| l.gone);
        if self.slot(which).is_none() {
            let conn = ConnId(self.next_conn);
            self.next_conn += 1;
            *self.slot(which) = Some(Link::new(conn, now));
            let at = self.proxy.as_ref().unwrap_or(&self.url);
            self.out.push_back(Output::Connect {
                conn,
                host: at.host.clone(),
                port: at.port,
            });
        }
        if let Some(link) = self.slot(which) {
            link.waiting
                .extend(gone.into_iter().flat_map(|l| l.waiting));
            link.waiting.push_back(request);
        }
        self.write(now, which);
    }

    fn write(&mut self, now: Time, which: Which) {
        let pipelined = self.session.pipelined && which == Which::Data;
        while let Some(link) = self.slot(which) {
            let conn = link.conn;
            let Some(bytes) = link.next_request(pipelined) else {
                break;
            };
            link.since = now;
            self.out.push_back(Output::Send { conn, bytes });
        }
    }

    fn envelope<'a>(
        &'a self,
        user_agent: &'a str,
        supported: &'a str,
        authorization: Option<&'a str>,
    ) -> Envelope<'a> {
        Envelope {
            url: &self.url,
            absolute: self.proxy.is_some(),
            http: self.config.http,
            user_agent,
            supported,
            authorization,
        }
    }

    fn deadline(&self) -> Option<Time> {
        let owed = [&self.data, &self.side].into_iter().flatten();
        let owed = owed
            .filter(|l| l.is_owed())
            .map(|l| l.since + self.config.reply_timeout);
        owed.chain(self.keep_alive_at)
            .chain(self.play_again_at)
            .min()
    }

    fn timeout(&mut self, now: Time) {
        if self.keep_alive_at.is_some_and(|t| t <= now) {
            self.send_keep_alive(now);
        }
        if self.play_again_at.is_some_and(|t| t <= now) {
            self.play_again_at = None;
            self.send_play(now);
        }
        for which in [Which::Data, Which::Side] {
            let limit = self.config.reply_timeout;
            let Some(link) = self.slot(which) else {
                continue;
            };
            if link.is_owed() && link.since + limit <= now {
                let offset = link.reader.offset();
                let what = match (link.opened, link.due.front()) {
                    (true, Some(request)) => format!("no reply to {}", request.kind.name()),
                    _ => "no connection".to_owned(),
                };
                self.lost(
                    now,
                    which,
                    offset,
                    format!("{what} in {} s", limit.as_secs()),
                );
            }
        }
    }

    /// A connection is of no more use. What only the log needs is given up quietly.
    fn lost(&mut self, now: Time, which: Which, offset: u64, reason: String) {
        let only_logs = self.slot(which).as_ref().is_none_or(|link| {
            let mut requests = link.due.iter().chain(&link.waiting);
            requests.all(|r| matches!(r.kind, Kind::Log | Kind::Event | Kind::KeepAlive))
        });
        if !only_logs {
            return self.fail(offset, reason);
        }
        self.close(which, CloseHow::Abort);
        self.logged(now);
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        if self.state == State::Done {
            return;
        }
        match input {
            Input::Opened { conn, .. } => {
                let Some(which) = self.which(conn) else {
                    return;
                };
                if let Some(link) = self.slot(which) {
                    link.opened = true;
                    link.since = now;
                }
                self.write(now, which);
            }
            Input::Data { conn, bytes } => {
                if let Some(which) = self.which(conn) {
                    self.receive(now, which, bytes);
                }
            }
            Input::Closed { conn } => {
                if let Some(which) = self.which(conn) {
                    self.closed(now, which);
                }
            }
            Input::Timeout => self.timeout(now),
            Input::Drain => self.finish(now),
            Input::Datagram { .. }
            | Input::Answer { .. }
            | Input::Flow { .. }
            | Input::Evict { .. } => {}
        }
    }

    fn poll(&mut self, now: Time) -> Output {
        if self.state == State::New {
            self.send_describe(now);
        }
        match self.out.pop_front() {
            Some(output) => output,
            None => Output::Idle(self.deadline()),
        }
    }
}
