//! The client of RTSP-WME: opens a URL, sets its streams up, plays, logs (MS-RTSP 3.1).
//!
//! One [`Client`] is one session on one connection; its media comes there, or to the driver's UDP sockets
//! [`MEDIA`] and [`RTX`]. It opens the connection when it is polled for the first time.
//!
//! # Shape
//! - Requests leave as soon as they may; replies are matched in their order ([`link`]).
//! - What the server asks is answered at once, and takes effect when all media in front of it came.
//! - RTP packets are brought into order source by source ([`order`]); packets of ASF come out of that.
//!
//! It is a second reading of the wire beside the server's: both share the layouts of messages only.

mod config;
mod entry;
mod link;
mod measure;
mod media;
mod order;
mod pair;
mod reply;
mod report;
mod send;
mod setup;
mod time;
mod url;

pub use self::config::ClientConfig;
pub use self::url::{Scheme, Url, UrlFault};
pub use crate::client::{LowerHeaders, Streams, Transfer, Transport};

use self::link::Link;
use self::measure::{Measuring, Rtx};
use self::media::{Drain, Lane};
use self::setup::{Correction, Leg, Setting};
use crate::asf;
use crate::auth::client::Prover;
use crate::client::Counters;
use crate::content::{Selection, Start, StreamSwitch};
use crate::machine::{Channel, CloseHow, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent, News};
use crate::rtsp::cache_control::CacheControl;
use crate::rtsp::sdp::Presentation;
use crate::wmsp::features::Supported;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

/// The driver's UDP socket for media.
pub const MEDIA: Channel = Channel(0);
/// The driver's UDP socket for packet pairs, and for what is asked for again.
pub const RTX: Channel = Channel(1);

/// A client session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    state: State,
    url: Url,
    proxy: Option<(String, u16)>,
    redirects: u8,
    guid: String,
    rng: ChaCha8Rng,
    /// In reports of reception.
    ssrc: u32,
    /// Media comes in datagrams, as far as agreed on.
    udp: bool,
    /// And may still come on the connection instead.
    may_fall_back: bool,
    link: Option<Link>,
    next_conn: u64,
    prover: Option<Prover>,
    server: Server,
    /// The session's id, once there is one.
    session: Option<String>,
    /// Seconds.
    session_timeout: u32,
    /// Number of the entry; 0 is none.
    entry: u32,
    /// Of requests about the whole content.
    base: String,
    content: Option<Box<Presentation>>,
    cache_control: Option<CacheControl>,
    header: Option<Box<asf::Header>>,
    selection: Selection,
    legs: Vec<Leg>,
    corrections: Vec<Correction>,
    rtx: Option<Rtx>,
    setting: Setting,
    measuring: Measuring,
    lanes: Vec<Lane>,
    /// Came before the reply to Play, which says where media begins.
    early: VecDeque<Bytes>,
    /// The server sent something in datagrams.
    heard: bool,
    /// It must have by then.
    firewall: Option<Time>,
    keep_alive_at: Option<Time>,
    drain: Option<Drain>,
    /// Media of the entry flows already; a Play that says so is owed.
    begun_by_server: bool,
    /// The reply to Play said that no media follows.
    change_notice: bool,
    counters: Counters,
    requests: u64,
    /// What was counted before this start.
    before: Transfer,
    log_due: bool,
    connect_logged: bool,
    finishing: bool,
    next_play: Option<Place>,
    position: Start,
    /// Number of the last packet handed on, and whether the server gave it.
    last_packet: Option<(u32, bool)>,
    next_number: u32,
    out: VecDeque<Output>,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// Up to the reply to Describe.
    Opening,
    /// Described, nothing set up yet.
    Described,
    /// Streams are set up or removed; then comes a Play.
    SettingUp,
    /// Play was sent.
    Starting,
    Streaming,
    /// The server said that another entry follows.
    EntryEnded,
    /// It is announced, and streams must be selected.
    Waiting,
    /// Pause was sent.
    Stopping,
    Stopped,
    Ended,
    /// Teardown was sent.
    Leaving,
    Done,
}

/// Where a Play begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At(Start),
    /// Where it was stopped, as the server knows it.
    Here,
}

/// What is known of the server.
#[derive(Clone, Debug, Default)]
struct Server {
    name: String,
    /// What it said last (RTSP-69).
    supported: Supported,
    /// Of the last reply.
    round_trip: Duration,
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
        let has_port = config.media_port != 0;
        let udp = match transport {
            Transport::Tcp => false,
            Transport::Udp => true,
            Transport::UdpThenTcp => has_port,
        };
        Ok(Client {
            state: State::New,
            proxy: config.proxy.clone(),
            redirects: 0,
            guid,
            ssrc: rng.next_u32(),
            rng,
            udp,
            may_fall_back: transport == Transport::UdpThenTcp,
            link: None,
            next_conn: 1,
            prover: None,
            server: Server::default(),
            session: None,
            session_timeout: crate::rtsp::fields::SESSION_TIMEOUT,
            entry: 0,
            base: String::new(),
            content: None,
            cache_control: None,
            header: None,
            selection: Selection::NONE,
            legs: Vec::new(),
            corrections: Vec::new(),
            rtx: None,
            setting: Setting::default(),
            measuring: Measuring::default(),
            lanes: Vec::new(),
            early: VecDeque::new(),
            heard: false,
            firewall: None,
            keep_alive_at: None,
            drain: None,
            begun_by_server: false,
            change_notice: false,
            counters: Counters::default(),
            requests: 0,
            before: Transfer::default(),
            log_due: false,
            connect_logged: false,
            finishing: false,
            next_play: None,
            position: config.start,
            last_packet: None,
            next_number: 0,
            out: VecDeque::new(),
            url,
            config,
        })
    }

    /// Play from there: begins, goes on after [`Client::stop`], or seeks while playing.
    pub fn play(&mut self, now: Time, start: Start) {
        self.play_at(now, Place::At(start));
    }

    /// Stop the media; the session lives on. A broadcast goes on without this client.
    pub fn stop(&mut self, now: Time) {
        self.next_play = None;
        self.stop_media(now);
    }

    /// Go on behind the last packet that came, or live with what is live now.
    pub fn resume(&mut self, now: Time) {
        let rewinds = self.config.rate_milli < 0;
        let place = match self.last_packet {
            _ if self.is_broadcast() => Place::Here,
            Some((number, true)) if rewinds => Place::At(Start::Packet(number.saturating_sub(1))),
            Some((number, true)) => Place::At(Start::Packet(number.saturating_add(1))),
            Some((_, false)) => Place::Here,
            None => Place::At(self.position),
        };
        self.play_at(now, place);
    }

    /// Play from there at another rate: thousandths, -5000 to 5000.
    pub fn play_at_rate(&mut self, now: Time, start: Start, rate_milli: i32) {
        self.config.rate_milli = rate_milli;
        self.play(now, start);
    }

    /// Change the selection of what plays, or make that of an entry that waits for it.
    pub fn select(&mut self, now: Time, switches: &[StreamSwitch]) {
        self.selection = self.selection.changed(switches);
        match self.state {
            State::Waiting => self.enter(now),
            State::EntryEnded if self.begun_by_server => self.enter(now),
            State::Starting | State::Streaming | State::Stopped => {
                self.send_switches(now, switches);
            }
            _ => {}
        }
    }

    /// Ask once more what caches may do with the content (GetContentInfo); see [`Client::cache_control`].
    pub fn ask_content_info(&mut self, now: Time) {
        if self.content.is_some() {
            self.send_content_info(now);
        }
    }

    /// What the server said last of what caches may do with the content.
    pub fn cache_control(&self) -> Option<&CacheControl> {
        self.cache_control.as_ref()
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
        let mut transfer = Transfer {
            udp: self.udp,
            requests: self.requests,
            ..Transfer::default()
        };
        for tally in self.lanes.iter().map(|l| &l.order.tally) {
            transfer.received += tally.received;
            transfer.recovered += tally.recovered;
            transfer.corrected += tally.corrected;
            transfer.duplicates += tally.duplicates;
            transfer.lost += tally.lost;
        }
        transfer
    }

    fn lost_in_a_row(&self) -> u64 {
        let runs = self.lanes.iter().map(|l| l.order.tally.lost_in_a_row);
        runs.max().unwrap_or(0)
    }

    fn play_at(&mut self, now: Time, place: Place) {
        match self.state {
            State::Described | State::Stopped | State::Ended => self.start(now, place),
            State::New | State::Opening => {
                if let Place::At(start) = place {
                    self.position = start;
                }
                self.config.autoplay = true;
            }
            // Nothing is sent yet that would have to be stopped.
            State::SettingUp if !self.begun_by_server => self.setting.place = place,
            State::Leaving | State::Done => {}
            State::Stopping => self.next_play = Some(place),
            _ => {
                self.next_play = Some(place);
                self.stop_media(now);
            }
        }
    }

    fn is_broadcast(&self) -> bool {
        self.content.as_ref().is_some_and(|c| c.types.broadcast)
            || self.header.as_ref().is_some_and(|h| h.is_broadcast())
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
    fn fail(&mut self, now: Time, reason: impl Into<String>) {
        let offset = self.link.as_ref().map_or(0, |l| l.reader.offset());
        let reason = reason.into();
        self.fail_at(now, Fault { offset, reason });
    }

    fn fail_at(&mut self, now: Time, fault: Fault) {
        if self.state == State::Done {
            return;
        }
        self.report(IngestEvent::Failed(fault));
        // The server would keep the session for a while, waiting for its client to return.
        if self.session.is_some() && self.state != State::Leaving {
            self.send_teardown(now);
        }
        self.close(CloseHow::Flush);
        self.state = State::Done;
    }

    fn close(&mut self, how: CloseHow) {
        self.firewall = None;
        self.keep_alive_at = None;
        self.drain = None;
        self.measuring.until = None;
        self.lanes.iter_mut().for_each(|l| l.order.abandon());
        if let Some(link) = self.link.take() {
            self.out.push_back(Output::Close {
                conn: link.conn,
                how,
                fault: None,
            });
        }
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
                if let Some(link) = &mut self.link {
                    link.ends = Some((peer, local));
                }
                self.send_describe(now);
            }
            Input::Data { conn, bytes } if ours(self, conn) => self.receive(now, bytes),
            Input::Closed { conn } if ours(self, conn) => self.closed(now),
            Input::Datagram {
                channel,
                peer,
                bytes,
            } => self.datagram(now, channel, peer, bytes),
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
