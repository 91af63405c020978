//! The client of MMSP: opens a URL, gathers its header, plays, logs (MS-MMSP 3.1).
//!
//! One [`Client`] is one session on one connection; its media comes there or to the driver's UDP socket. It
//! opens the connection when it is polled for the first time.
//!
//! It is a second reading of the wire beside the server's: both share the layouts of messages only.

mod config;
mod control;
mod header;
mod link;
mod media;
mod reorder;
mod report;
mod send;
mod url;

pub use self::config::ClientConfig;
pub use self::url::{Scheme, Url, UrlFault};
pub use crate::client::{LowerHeaders, Streams, Transfer, Transport};

use self::header::Gathering;
use self::link::{Due, Link};
use self::media::{Drain, HeaderTimer};
use self::reorder::Reorder;
use crate::asf;
use crate::client::Counters;
use crate::content::{Selection, Start, StreamSwitch};
use crate::machine::{Channel, CloseHow, ConnId, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent, News};
use crate::mmsp::message::ReportOpenFile;
use crate::rate::packet_pair;
use crate::version::Version;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::VecDeque;

/// The driver's only UDP socket.
const CHANNEL: Channel = Channel(0);

const V9: Version = Version::new(9, 0);

/// A client session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    state: State,
    url: Url,
    proxy: Option<(String, u16)>,
    redirects: u8,
    guid: String,
    /// Media comes in datagrams, as far as agreed on.
    udp: bool,
    /// And may still come on the connection instead.
    may_fall_back: bool,
    link: Option<Link>,
    next_conn: u64,
    server: Server,
    file: ReportOpenFile,
    incarnations: Incarnations,
    gathering: Gathering,
    header_timer: Option<HeaderTimer>,
    /// What is served has another header than the one that is known.
    header_due: bool,
    header: Option<Box<asf::Header>>,
    selection: Selection,
    pair: packet_pair::Estimate,
    pair_udp: Option<(u32, Time)>,
    pair_bps: Option<u64>,
    /// Media of an entry that the server began comes with its own incarnation.
    begun_by_server: bool,
    reorder: Reorder,
    drain: Option<Drain>,
    counters: Counters,
    /// Of the starts before this one.
    transfer: Transfer,
    /// The start that plays has a log coming to it.
    log_due: bool,
    answered_challenge: bool,
    finishing: bool,
    next_play: Option<Start>,
    position: Start,
    /// LocationId of the last packet handed on since the last start.
    last_packet: Option<u32>,
    out: VecDeque<Output>,
}

/// Where the session is (mmsp.md 4.2, with what lies between its states).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// Up to the file's report.
    Opening,
    /// The first header comes.
    Describing,
    /// Header there, nothing played yet.
    Described,
    /// A start was sent.
    Starting,
    Streaming,
    /// The server said that another entry follows.
    EntryEnded,
    /// Its header comes.
    Changing,
    /// Its streams must be selected.
    Waiting,
    /// StopPlaying was sent.
    Stopping,
    Stopped,
    Ended,
    Done,
}

/// What is known of the server.
#[derive(Clone, Debug, Default)]
struct Server {
    name: String,
    version: Version,
    /// Its AuthenPackage says BASIC.
    basic: bool,
    /// nCubs.
    client_id: u32,
    /// It sends packet pairs.
    pairs: bool,
}

/// The two counters (mmsp.md 4.2).
#[derive(Clone, Copy, Debug)]
struct Incarnations {
    header: u32,
    play: u32,
    /// That of the start before.
    before: u32,
}

impl Incarnations {
    const fn new() -> Incarnations {
        Incarnations {
            header: 0,
            play: 8,
            before: 0,
        }
    }

    fn next_header(&mut self) -> u32 {
        self.header = self.header % 8 + 1;
        self.header
    }

    fn next_play(&mut self) -> u32 {
        self.before = self.play;
        self.play = if self.play >= 0xFE { 9 } else { self.play + 1 };
        self.play
    }
}

impl Client {
    /// Make a session; it connects when it is polled.
    ///
    /// # Errors
    /// If the URL cannot be opened here.
    pub fn new(mut config: ClientConfig) -> Result<Client, UrlFault> {
        let url = Url::parse(&config.url)?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let guid = crate::wmlog::client::identify(&mut rng, &mut config.player);
        let transport = config.transport.unwrap_or(url.scheme.transport());
        Ok(Client {
            state: State::New,
            proxy: config.proxy.clone(),
            redirects: 0,
            guid,
            udp: transport != Transport::Tcp,
            may_fall_back: transport == Transport::UdpThenTcp,
            link: None,
            next_conn: 1,
            server: Server::default(),
            file: ReportOpenFile::default(),
            incarnations: Incarnations::new(),
            gathering: Gathering::default(),
            header_timer: None,
            header_due: true,
            header: None,
            selection: Selection::NONE,
            pair: packet_pair::Estimate::default(),
            pair_udp: None,
            pair_bps: None,
            begun_by_server: false,
            reorder: Reorder::default(),
            drain: None,
            counters: Counters::default(),
            transfer: Transfer::default(),
            log_due: false,
            answered_challenge: false,
            finishing: false,
            next_play: None,
            position: config.start,
            last_packet: None,
            out: VecDeque::new(),
            url,
            config,
        })
    }

    /// Play from there: begins, goes on after [`Client::stop`], or seeks while playing.
    pub fn play(&mut self, now: Time, start: Start) {
        match self.state {
            State::Described | State::Stopped | State::Ended => self.start(now, start),
            State::New | State::Opening | State::Describing => {
                self.position = start;
                self.config.autoplay = true;
            }
            State::Done => {}
            State::Stopping => self.next_play = Some(start),
            _ => {
                self.next_play = Some(start);
                self.stop_media(now);
            }
        }
    }

    /// Stop the media; the session lives on. A broadcast goes on without this client.
    pub fn stop(&mut self, now: Time) {
        self.next_play = None;
        self.stop_media(now);
    }

    /// Go on behind the last packet that came, or live with what is live now.
    pub fn resume(&mut self, now: Time) {
        let rewinds = self.config.rate_milli < 0;
        let start = match self.last_packet {
            _ if self.is_broadcast() => Start::Beginning,
            Some(number) if rewinds => Start::Packet(number.saturating_sub(1)),
            Some(number) => Start::Packet(number.saturating_add(1)),
            None => self.position,
        };
        self.play(now, start);
    }

    /// Play from there at another rate: thousandths, -5000 to 5000.
    pub fn play_at_rate(&mut self, now: Time, start: Start, rate_milli: i32) {
        self.config.rate_milli = rate_milli;
        self.play(now, start);
    }

    /// Change the selection of what plays, or make that of an entry that waits for it (MMSP-69).
    pub fn select(&mut self, now: Time, switches: &[StreamSwitch]) {
        self.selection = self.selection.changed(switches);
        match self.state {
            State::Starting | State::Streaming => self.send_switches(now, switches),
            State::Waiting => self.start(now, Start::Beginning),
            _ => {}
        }
    }

    /// End the session: stop, submit what is to be logged, close.
    pub fn finish(&mut self, now: Time) {
        self.finishing = true;
        self.next_play = None;
        self.stop_media(now);
        self.close_if_done(now);
    }

    /// True when nothing more will come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How media came so far.
    pub fn transfer(&self) -> Transfer {
        let mut transfer = self.transfer;
        transfer.udp = self.udp;
        self.add_tally(&mut transfer);
        transfer
    }

    fn is_broadcast(&self) -> bool {
        self.file.attributes & report::attribute::BROADCAST != 0
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
    fn fail(&mut self, reason: impl Into<String>) {
        let offset = self.link.as_ref().map_or(0, |l| l.reader.offset());
        let reason = reason.into();
        self.fail_at(Fault { offset, reason });
    }

    fn fail_at(&mut self, fault: Fault) {
        if self.state != State::Done {
            self.report(IngestEvent::Failed(fault));
            self.close(CloseHow::Abort);
            self.state = State::Done;
        }
    }

    fn close(&mut self, how: CloseHow) {
        self.header_timer = None;
        self.drain = None;
        self.reorder.abandon();
        if let Some(link) = self.link.take() {
            self.out.push_back(Output::Close {
                conn: link.conn,
                how,
                fault: None,
            });
        }
    }

    /// Connect, as a new session.
    fn connect(&mut self, now: Time) {
        self.state = State::Opening;
        self.server = Server::default();
        self.file = ReportOpenFile::default();
        self.incarnations = Incarnations::new();
        self.pair = packet_pair::Estimate::default();
        self.pair_udp = None;
        self.header_due = true;
        self.answered_challenge = false;
        self.keep_tally();
        self.reorder = Reorder::default();
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.link = Some(Link::new(conn, now));
        let (host, port) = match &self.proxy {
            Some((host, port)) => (host.clone(), *port),
            None => (self.url.host.clone(), self.url.port),
        };
        self.out.push_back(Output::Connect { conn, host, port });
    }

    fn deadline(&self) -> Option<Time> {
        let limit = self.config.reply_timeout;
        let owed = self.link.as_ref().and_then(Link::owed_since);
        let owed = owed.map(|since| since + limit);
        let header = self.header_timer.as_ref().map(|t| t.at);
        let drain = self.drain.as_ref().map(Drain::deadline);
        let dues = [owed, header, drain, self.reorder.deadline()];
        dues.into_iter().flatten().min()
    }

    fn timeout(&mut self, now: Time) {
        if self.header_timer.as_ref().is_some_and(|t| t.at <= now) {
            self.header_missed(now);
        }
        self.run_datagrams(now);
        let limit = self.config.reply_timeout;
        let Some(link) = &self.link else { return };
        let Some(since) = link.owed_since().filter(|s| *s + limit <= now) else {
            return;
        };
        debug_assert!(since <= now);
        let what = match (link.opened(), link.due.front()) {
            (false, _) => "no connection".to_owned(),
            (true, Some(due)) => format!("no reply to {}", due.name()),
            (true, None) => "no header".to_owned(),
        };
        self.fail(format!("{what} in {} s", limit.as_secs()));
    }

    fn closed(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.header_timer = None;
        self.drain = None;
        let reason = match (self.state, link.due.front()) {
            _ if !link.opened() => {
                let at = match &self.proxy {
                    Some((host, port)) => url::authority(host, *port),
                    None => self.url.authority(),
                };
                format!("no connection to {at}")
            }
            // Whoever leaves does not mind.
            (State::Stopping, _) if self.finishing => {
                self.state = State::Done;
                return;
            }
            (State::Starting | State::Streaming, None | Some(Due::Stop)) => {
                "connection closed before EndOfStream".to_owned()
            }
            (_, Some(due)) => format!("connection closed before the reply to {}", due.name()),
            (_, None) => "connection closed".to_owned(),
        };
        let offset = link.reader.offset();
        self.fail_at(Fault { offset, reason });
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        if self.state == State::Done {
            return;
        }
        let ours = |client: &Client, conn| client.link.as_ref().is_some_and(|l| l.conn == conn);
        match input {
            Input::Opened { conn, peer, local } if ours(self, conn) => {
                self.opened(now, peer, local);
            }
            Input::Data { conn, bytes } if ours(self, conn) => self.receive(now, bytes),
            Input::Closed { conn } if ours(self, conn) => self.closed(),
            Input::Datagram { peer, bytes, .. } => self.datagram(now, peer, bytes),
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

/// A header as it came, and what it says.
type HeaderBytes = (Bytes, Box<asf::Header>);
