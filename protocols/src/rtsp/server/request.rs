//! One request on its way to its reply.

use super::answer::{Reply, explain};
use super::conn::{Job, Line};
use super::session::id_of;
use super::wish::Wish;
use super::{Asker, Server, Timer};
use crate::content::{Answer, Content, OpenRequest, Protocol, Question};
use crate::home::Home;
use crate::machine::{ConnId, Output, Ticket, Time};
use crate::rtsp::body::ContentType;
use crate::rtsp::fields::{self, Condition};
use crate::rtsp::head::{Head, Method, Start, Target};
use crate::rtsp::reader::Message;
use crate::wmsp::features::Supported;

/// What a request is (rtsp-wme.md 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Options,
    Describe,
    ContentInfo,
    TcpPair,
    UdpPair,
    KeepAlive,
    Setup,
    /// By SET_PARAMETER, or by TEARDOWN of a stream.
    Select,
    Play,
    Pause,
    Teardown,
    Log,
    SendEvent,
    /// EndOfStream that GStreamer sends back.
    Echo,
    /// A method or type that is not served, and its status.
    Unserved(u16),
}

/// What was asked for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What does the URL name?
    Open,
    /// May what is held be played?
    Recheck,
    /// What follows the entry that is to be skipped?
    Skip,
    /// Where does it start?
    Cue,
}

/// A request and what is known about it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub head: Box<Head>,
    pub body: Vec<u8>,
    pub method: Method,
    pub target: Target,
    pub kind: Kind,
    /// The session that the request names.
    pub session: Option<u64>,
    /// Opened for this request.
    pub content: Option<Box<Content>>,
    /// Of what was opened for a SETUP: path of the presentation.
    pub presentation: Option<String>,
    pub wish: Option<Wish>,
    /// The application was asked whether it may be played.
    pub checked: bool,
}

impl Exchange {
    pub fn user_agent(&self) -> &str {
        self.head.get("User-Agent").unwrap_or("")
    }

    pub fn path_and_query(&self) -> String {
        match self.target.query.as_str() {
            "" => self.target.path.clone(),
            query => format!("{}?{query}", self.target.path),
        }
    }

    pub fn content_type(&self) -> Option<ContentType> {
        self.head.get("Content-Type").and_then(ContentType::parse)
    }

    /// A number in a header; one that cannot be read counts as none (RTSP-61).
    pub fn number(&self, name: &'static str) -> Option<u32> {
        let value = self.head.get(name)?;
        fields::u32_value(value, name).ok()
    }
}

impl Server {
    pub(super) fn on_message(&mut self, now: Time, conn: ConnId, message: Message) {
        let Message { head, body, offset } = message;
        match &head.start {
            Start::Response { status, .. } => self.on_response(now, conn, head.cseq(), *status),
            Start::Request { method, target } => {
                let ex = Box::new(Exchange {
                    method: method.clone(),
                    target: target.clone(),
                    kind: Kind::Unserved(501),
                    session: None,
                    content: None,
                    presentation: None,
                    wish: None,
                    checked: false,
                    head,
                    body,
                });
                self.on_request(now, conn, ex, offset);
            }
        }
    }

    fn on_request(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>, offset: u64) {
        let named = ex.head.get("Session").map(fields::Session::parse);
        let id = match &named {
            Some(Ok(session)) => id_of(&session.id),
            _ => None,
        };
        if let Some(Home::Core(core)) = id.map(|id| self.home(id))
            && self.can_move(conn)
        {
            return self.move_to(now, conn, core, offset);
        }
        ex.kind = classify(&ex);
        let unknown = match named {
            Some(_) => !self.join(now, conn, &mut ex, id),
            None => false,
        };
        if !self.admit(now, conn, &ex) {
            return self.refuse(now, conn, &ex, 503, "too many requests in this heartbeat");
        }
        // RTSP-69
        if ex.head.get("Supported").is_some() {
            let said = Supported::parse(ex.head.list("Supported"));
            if let Some(c) = self.conns.get_mut(&conn) {
                c.supported = Some(said);
            }
            if let Some(s) = ex.session.and_then(|id| self.sessions.get_mut(&id)) {
                s.supported = Some(said);
                s.follows |= said.has(Supported::END_OF_STREAM);
            }
        }
        if let Err((status, why)) = self.may_come(&ex, unknown) {
            return self.refuse(now, conn, &ex, status, why);
        }
        self.dispatch(now, conn, ex);
    }

    fn dispatch(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        match ex.kind {
            Kind::Options => self.options(now, conn, ex),
            Kind::Describe => self.describe(now, conn, ex),
            Kind::ContentInfo | Kind::SendEvent => self.open(now, conn, ex, false),
            Kind::TcpPair => self.tcp_pair(now, conn, &ex),
            Kind::UdpPair => self.udp_pair(now, conn, &ex),
            Kind::KeepAlive | Kind::Echo => {
                if ex.kind == Kind::Echo {
                    // RTSP-138: it is the answer to ours, and wants one itself.
                    self.on_response(now, conn, None, 200);
                }
                self.acknowledge(now, conn, &ex);
            }
            Kind::Setup => self.setup(now, conn, ex),
            Kind::Select => self.select(now, conn, &ex),
            Kind::Play => self.play(now, conn, ex),
            Kind::Pause => self.pause(now, conn, ex),
            Kind::Teardown => self.teardown(now, conn, ex),
            Kind::Log => self.log(now, conn, &ex),
            Kind::Unserved(status) => {
                self.refuse(now, conn, &ex, status, "not served");
            }
        }
    }

    /// Count the request (RTSP-104).
    fn admit(&mut self, now: Time, conn: ConnId, ex: &Exchange) -> bool {
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        let Some(c) = self.conns.get_mut(&conn) else {
            return false;
        };
        let described = c.described.as_ref().map(|d| d.content.streams.len());
        let streams = session.map(|s| s.content.streams.len()).or(described);
        c.beat.admit(
            now,
            self.config.heartbeat,
            self.config.transactions_max,
            ex.kind == Kind::Setup,
            streams.map_or(3, |n| n as u32),
        )
    }

    /// A connection can move only while nothing is owed on it and nothing belongs to it.
    fn can_move(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|c| {
            c.sessions.is_empty()
                && c.described.is_none()
                && c.pending.is_empty()
                && c.line == Line::Free
        })
    }

    /// Take up the session that the request names; false if there is none that it may use. An id is no
    /// secret to those on its path, but an address cannot be taken over as easily.
    fn join(&mut self, _now: Time, conn: ConnId, ex: &mut Exchange, id: Option<u64>) -> bool {
        let Some((id, s)) = id.and_then(|id| Some((id, self.sessions.get_mut(&id)?))) else {
            return false;
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return false;
        };
        if s.peer != c.peer.ip() {
            return false;
        }
        match s.conn {
            Some(at) if at == conn => {}
            // From beside its connection a session can be kept alive and logged, not changed.
            Some(_) if matches!(ex.kind, Kind::KeepAlive | Kind::Log | Kind::SendEvent) => {}
            Some(_) => return false,
            None => {
                if c.sessions.len() >= self.config.connection_sessions_max {
                    return false;
                }
                c.sessions.push(id);
                s.conn = Some(conn);
            }
        }
        ex.session = Some(id);
        self.timers.disarm(Timer::Idle(id));
        true
    }

    /// The rules that hold for every request (MS-RTSP 3.2.5.1).
    fn may_come(&self, ex: &Exchange, unknown: bool) -> Result<(), (u16, &'static str)> {
        // RTSP-103
        let needs_none = matches!(
            ex.kind,
            Kind::SendEvent | Kind::Options | Kind::Describe | Kind::Unserved(_) | Kind::Echo
        );
        if unknown && !needs_none {
            return Err((454, "unknown session"));
        }
        let needs_one = matches!(
            ex.kind,
            Kind::Select | Kind::Play | Kind::Pause | Kind::Teardown | Kind::UdpPair
        );
        if needs_one && ex.session.is_none() {
            let status = match ex.kind {
                Kind::Play | Kind::Pause => 455,
                _ => 454,
            };
            return Err((status, "no session"));
        }
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        // RTSP-102
        if let (Some(s), Some(id)) = (session, ex.number("X-Playlist-Gen-Id"))
            && id != 0
            && s.gen_id != 0
            && id != s.gen_id
            && !matches!(ex.kind, Kind::Play | Kind::Teardown)
        {
            return Err((412, "another entry of the playlist"));
        }
        // RTSP-66
        let conditions = ex.head.all("If-None-Match");
        let bad = |v: &str| Condition::parse(v, "If-None-Match").is_err();
        if conditions.into_iter().any(bad) {
            return Err((400, "If-None-Match cannot be read"));
        }
        // RTSP-65
        let Some(value) = ex.head.get("If-Match") else {
            return Ok(());
        };
        let tag = session.and_then(|s| s.content.caching.etag.as_deref());
        match (Condition::parse(value, "If-Match"), tag) {
            (Err(_), _) => Err((412, "If-Match cannot be read")),
            (Ok(condition), Some(tag)) if !condition.holds(tag) => {
                Err((412, "the content is another one now"))
            }
            _ => Ok(()),
        }
    }

    /// Ask what the URL names.
    pub(super) fn open(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>, play: bool) {
        let credentials = match self.credentials(conn, &ex) {
            Ok(credentials) => credentials,
            Err(why) => return self.refuse(now, conn, &ex, 400, &why),
        };
        let Some(peer) = self.conns.get(&conn).map(|c| c.peer) else {
            return;
        };
        let path = ex.presentation.as_ref().unwrap_or(&ex.target.path);
        let request = OpenRequest {
            path: path.clone(),
            query: ex.target.query.clone(),
            authority: ex.target.authority.clone(),
            peer,
            user_agent: ex.user_agent().to_owned(),
            // Which it will be is not known before SETUP.
            protocol: Protocol::Rtspt,
            play,
            credentials,
        };
        self.ask_for(conn, ex, Stage::Open, Question::Open(request));
    }

    /// Ask something for a request, which then waits.
    pub(super) fn ask_for(
        &mut self,
        conn: ConnId,
        ex: Box<Exchange>,
        stage: Stage,
        question: Question,
    ) {
        let ticket = self.ask(Asker::Conn(conn), question);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.job = Some(Job::Asking(ticket, stage, ex));
        }
    }

    /// An answer for a request. Gives back one that nobody waits for.
    pub(super) fn on_request_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<Answer> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Some(answer);
        };
        let (stage, mut ex) = match c.job.take() {
            Some(Job::Asking(asked, stage, ex)) if asked == ticket => (stage, ex),
            other => {
                c.job = other;
                return Some(answer);
            }
        };
        // The session may have gone meanwhile.
        if ex
            .session
            .is_some_and(|id| !self.sessions.contains_key(&id))
        {
            self.give_up(now, conn, ex, 454, "the session is gone");
            self.pump(now, conn);
            return Some(answer);
        }
        match (stage, answer) {
            (Stage::Open, Answer::Opened(content)) => {
                ex.content = Some(content);
                self.opened(now, conn, ex);
            }
            // Whatever became of the question, the methods are the same.
            (Stage::Open, _) if ex.kind == Kind::Options => self.tell_options(now, conn, ex),
            (Stage::Recheck, Answer::Allowed) => {
                ex.checked = true;
                self.play_checked(now, conn, ex);
            }
            (Stage::Skip, Answer::Opened(content)) => {
                ex.content = Some(content);
                self.stop_for(now, conn, ex);
            }
            (Stage::Skip, Answer::Refused(_)) => {
                self.give_up(now, conn, ex, 400, "no entry to skip to");
            }
            (Stage::Cue, Answer::Cued(cue)) => self.play_now(now, conn, &ex, &cue),
            (_, Answer::Challenge(challenge)) => self.challenge(now, conn, ex, &challenge),
            (Stage::Open, Answer::Moved { url }) => {
                // RTSP-105
                let reply = Reply {
                    close: true,
                    ..Reply::default()
                };
                self.respond(now, conn, &ex, 302, &reply.with("Location", url));
            }
            (Stage::Open, Answer::Document { .. }) => {
                self.give_up(now, conn, ex, 415, "a document, not media");
            }
            (_, Answer::Refused(refusal)) => {
                let (status, reason) = explain(refusal);
                self.give_up(now, conn, ex, status, reason);
            }
            (_, answer) => {
                self.give_up(now, conn, ex, 500, "answer of another kind");
                self.pump(now, conn);
                return Some(answer);
            }
        }
        self.pump(now, conn);
        None
    }

    fn opened(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        match ex.kind {
            Kind::Options => self.tell_options(now, conn, ex),
            Kind::Describe => self.described(now, conn, ex),
            Kind::Setup => self.setup_opened(now, conn, ex),
            _ => self.informed(now, conn, ex),
        }
    }

    /// What was opened for a request is not needed.
    pub(super) fn abandon(&mut self, ex: &mut Exchange) {
        if let Some(content) = ex.content.take() {
            self.out.push_back(Output::Release {
                content: content.id,
            });
        }
    }
}

/// What a request is, by method and Content-Type (RTSP-64).
fn classify(ex: &Exchange) -> Kind {
    let kind = ex.content_type();
    match &ex.method {
        Method::Options => Kind::Options,
        Method::Describe => Kind::Describe,
        Method::Setup => Kind::Setup,
        Method::Play => Kind::Play,
        Method::Pause => Kind::Pause,
        Method::Teardown if kind == Some(ContentType::StreamSwitch) => Kind::Select,
        Method::Teardown => Kind::Teardown,
        Method::GetParameter => match kind {
            Some(ContentType::PacketPair) => Kind::TcpPair,
            Some(ContentType::ContentInfo) => Kind::ContentInfo,
            _ => Kind::KeepAlive,
        },
        Method::SetParameter => match kind {
            Some(ContentType::StreamSwitch) => Kind::Select,
            Some(ContentType::UdpPacketPair) => Kind::UdpPair,
            Some(ContentType::LogConnect | ContentType::LogPlay) => Kind::Log,
            Some(ContentType::SendEvent) => Kind::SendEvent,
            Some(ContentType::ExtensionCommand) => Kind::Echo,
            // Old download tools send an empty one before PLAY and want no trouble.
            _ if ex.body.is_empty() => Kind::KeepAlive,
            _ => Kind::Unserved(451),
        },
        // RTSP-105: nobody redirects a server; nothing is recorded.
        Method::Announce | Method::Record | Method::Redirect => Kind::Unserved(405),
        Method::Other(_) => Kind::Unserved(501),
    }
}
