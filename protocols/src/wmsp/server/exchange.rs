//! One request on its way to its reply.

use super::conn::{Job, OpenBody, Stage};
use super::session::State;
use super::timers::Timer;
use super::{Asker, Server};
use crate::access::explain;
use crate::content::{Answer, Content, OpenRequest, Protocol, Question, Selection};
use crate::home::Home;
use crate::http::head::{Method, Version};
use crate::http::reader::Request;
use crate::http::reply::ReplyHead;
use crate::machine::{ConnId, Output, Service, Ticket, Time};
use crate::wmhttp::request as push;
use crate::wmsp::features::Supported;
use crate::wmsp::pragma::RequestPragma;
use crate::wmsp::version::Client;

/// What a request is (wmsp.md 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Describe,
    Play,
    PlayNextEntry,
    SelectStream,
    Stop,
    Pipeline,
    /// By OPTIONS.
    Options,
    /// By POST.
    KeepAlive,
    GetContentInfo,
    SendEvent,
    Log,
    /// To the web-side log sink, by whatever client.
    Sink,
    /// Of a client that does not speak WMSP: GET or HEAD.
    Download,
}

/// A request and what is known about it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub request: Request,
    pub pragma: RequestPragma,
    /// `None`: not a WMSP client.
    pub client: Option<Client>,
    pub kind: Kind,
    /// The session that the request names.
    pub session: Option<u32>,
    /// It named one that does not exist.
    pub unknown_session: bool,
    /// `Supported`, if the header was there.
    pub supported: Option<Supported>,
    /// Opened for this request.
    pub content: Option<Box<Content>>,
    /// The entry before it, when one is skipped.
    pub skipped: Option<Box<Content>>,
    /// What the cue was asked for.
    pub selection: Selection,
    pub rate_milli: i32,
}

impl Exchange {
    pub fn version(&self) -> Version {
        self.request.head.version
    }

    /// True if the client closes the connection after this request, or must be told to.
    ///
    /// FFmpeg leaves out a line end before its `Connection: Close`, which then stands in `Pragma`.
    pub fn wants_close(&self) -> bool {
        let head = &self.request.head;
        !head.keeps_alive() || head.all("Pragma").any(|p| p.contains("Connection: Close"))
    }

    /// Tell what becomes of the connection; Keep-Alive only to those who said it (wmsp.md 4.1).
    pub fn put_connection(&self, head: &mut ReplyHead, close: bool) {
        let mut said = self.request.head.list("Connection");
        if close {
            head.header("Connection", "close");
        } else if said.any(|v| v.eq_ignore_ascii_case("keep-alive")) {
            head.header("Connection", "Keep-Alive");
        }
    }

    pub fn user_agent(&self) -> &str {
        self.request.head.get("User-Agent").unwrap_or("")
    }

    pub fn target(&self) -> String {
        self.request.head.target()
    }
}

impl Server {
    /// A head is there; its body is not. Here a request goes to another core, or to the service that
    /// takes its body as a stream.
    pub(super) fn on_head(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Some(head) = c.reader.head() else { return };
        if push::Kind::of(head).is_some() && c.body == OpenBody::None {
            self.switch_to(now, conn, Service::Push);
            return;
        }
        let mut pragma = RequestPragma::default();
        for line in head.all("Pragma") {
            pragma.absorb(line);
        }
        // A connection can move only while nothing is owed on it; otherwise the id stays unknown.
        if let Some(Home::Core(core)) = pragma.client_id.map(|id| self.home(id))
            && Client::parse(head.get("User-Agent").unwrap_or("")).is_some()
            && c.body == OpenBody::None
        {
            self.move_to(now, conn, core);
            return;
        }
        let waits = head.version == Version::Http11
            && head
                .list("Expect")
                .any(|e| e.eq_ignore_ascii_case("100-continue"));
        if waits && c.body == OpenBody::None {
            self.send(conn, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        }
    }

    pub(super) fn on_request(&mut self, now: Time, conn: ConnId, request: Request) {
        let mut pragma = RequestPragma::default();
        for line in request.head.all("Pragma") {
            pragma.absorb(line);
        }
        let client = Client::parse(request.head.get("User-Agent").unwrap_or(""));
        let supported = request
            .head
            .get("Supported")
            .map(|_| Supported::parse(request.head.list("Supported")));
        let mut ex = Box::new(Exchange {
            request,
            pragma,
            client,
            kind: Kind::Download,
            session: None,
            unknown_session: false,
            supported,
            content: None,
            skipped: None,
            selection: Selection::NONE,
            rate_milli: 1000,
        });
        let kind = match self.is_for_sink(&ex.request.head) {
            true => Ok(Kind::Sink),
            false => classify(&ex),
        };
        match kind {
            Ok(kind) => ex.kind = kind,
            Err((status, reason)) => return self.refuse(now, conn, &ex, status, reason),
        }
        if ex.kind != Kind::Pipeline {
            self.end_test(conn);
        }
        if let Err((status, reason)) = self.find_session(now, conn, &mut ex) {
            // The log of a cache is worth having even when its session has expired.
            if ex.kind == Kind::SendEvent {
                self.report_log(conn, &ex);
            }
            return self.refuse(now, conn, &ex, status, reason);
        }
        if let Err(reason) = self.may_come_now(conn, &ex) {
            return self.refuse(now, conn, &ex, 400, reason);
        }
        match ex.kind {
            Kind::Describe => self.describe(now, conn, ex),
            Kind::Play => self.play(now, conn, ex),
            Kind::PlayNextEntry => self.play_next_entry(now, conn, ex),
            Kind::SelectStream => self.select_stream(now, conn, ex),
            Kind::Stop => self.stop(now, conn, ex),
            Kind::Pipeline => self.pipeline(now, conn, &ex),
            Kind::Options | Kind::KeepAlive => self.keep_alive(now, conn, &ex),
            Kind::Log => self.log(now, conn, &ex),
            Kind::Sink => self.sink(now, conn, &ex),
            Kind::GetContentInfo | Kind::SendEvent => {
                self.open(now, conn, ex, Protocol::Wmsp, false)
            }
            Kind::Download => self.download(now, conn, ex),
        }
    }

    /// The session that the request names, and its rules (WMSP-38, WMSP-39).
    fn find_session(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &mut Exchange,
    ) -> Result<(), (u16, &'static str)> {
        let Some(client) = ex
            .client
            .filter(|_| !matches!(ex.kind, Kind::Download | Kind::Sink))
        else {
            return Ok(());
        };
        let Some(id) = ex.pragma.client_id else {
            return match ex.kind {
                Kind::Describe
                | Kind::Play
                | Kind::Options
                | Kind::GetContentInfo
                | Kind::SendEvent => Ok(()),
                _ => Err((400, "no client-id")),
            };
        };
        let Some(s) = self.sessions.get_mut(&id) else {
            ex.unknown_session = true;
            return match ex.kind {
                Kind::Describe | Kind::Play | Kind::Options => Ok(()),
                _ => Err((400, "unknown client-id")),
            };
        };
        ex.session = Some(id);
        s.client = client;
        // WMSP-40: a set that is said replaces the one before.
        if let Some(supported) = ex.supported {
            s.supported = supported;
        }
        if s.conn.is_none() {
            let free = self.conns.get(&conn).is_some_and(|c| c.session.is_none());
            if free {
                self.bind(now, id, conn);
            }
        }
        self.timers.disarm(Timer::Idle(id));
        Ok(())
    }

    /// While a body is open on a connection, only requests that leave it alone or end it may come.
    fn may_come_now(&self, conn: ConnId, ex: &Exchange) -> Result<(), &'static str> {
        let Some(c) = self.conns.get(&conn) else {
            return Ok(());
        };
        if !matches!(c.body, OpenBody::Chunked | OpenBody::Raw) {
            return Ok(());
        }
        match ex.kind {
            Kind::Log
            | Kind::KeepAlive
            | Kind::Options
            | Kind::SendEvent
            | Kind::GetContentInfo => Ok(()),
            Kind::PlayNextEntry | Kind::SelectStream | Kind::Stop => Ok(()),
            Kind::Play
                if c.body == OpenBody::Chunked
                    && c.session == ex.session
                    && self.plays_on(conn, State::Waiting) =>
            {
                Ok(())
            }
            _ => Err("request while a reply goes on"),
        }
    }

    /// Ask what the URL names.
    pub(super) fn open(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: Box<Exchange>,
        protocol: Protocol,
        play: bool,
    ) {
        let credentials = match self.credentials(conn, &ex) {
            Ok(credentials) => credentials,
            Err(why) => return self.refuse(now, conn, &ex, 400, &why),
        };
        let Some(peer) = self.conns.get(&conn).map(|c| c.peer) else {
            return;
        };
        let head = &ex.request.head;
        let request = OpenRequest {
            path: head.path.clone(),
            query: head.query.clone(),
            authority: head.authority.clone(),
            peer,
            user_agent: ex.user_agent().to_owned(),
            protocol,
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
        let job = c.job.take();
        let Some(Job::Asking(asked, stage, mut ex)) = job else {
            c.job = job;
            return Some(answer);
        };
        if asked != ticket {
            c.job = Some(Job::Asking(asked, stage, ex));
            return Some(answer);
        }
        match (stage, answer) {
            (Stage::Open, Answer::Opened(content)) => {
                ex.content = Some(content);
                self.opened(now, conn, ex);
            }
            (Stage::Recheck, Answer::Allowed) => self.opened_to_play(now, conn, ex),
            (_, Answer::Challenge(challenge)) => self.challenge(now, conn, ex, &challenge),
            (Stage::Skip, Answer::Opened(content)) => {
                ex.skipped = ex.content.replace(content);
                self.cue(now, conn, ex);
            }
            (Stage::Cue, Answer::Cued(cue)) => match ex.kind {
                Kind::Play => self.play_now(now, conn, ex, &cue),
                Kind::Download => self.listen(now, conn, ex, &cue),
                _ => self.resume(now, conn, ex, &cue),
            },
            (Stage::Open, Answer::Moved { url }) => self.redirect(now, conn, &ex, &url),
            (Stage::Open, Answer::Document { content_type, body }) => {
                self.document(now, conn, &ex, content_type, &body);
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
            Kind::Describe => self.described(now, conn, ex),
            Kind::Play => self.opened_to_play(now, conn, ex),
            Kind::Download => self.opened_to_download(now, conn, ex),
            _ => self.informed(now, conn, ex),
        }
    }

    /// Refuse a request for which contents may have been opened.
    pub(super) fn give_up(
        &mut self,
        now: Time,
        conn: ConnId,
        mut ex: Box<Exchange>,
        status: u16,
        why: &str,
    ) {
        self.release_opened(&mut ex);
        self.refuse(now, conn, &ex, status, why);
    }

    /// The request's connection is gone.
    pub(super) fn abandon(&mut self, now: Time, mut ex: Exchange) {
        self.release_opened(&mut ex);
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
    }

    pub(super) fn release_opened(&mut self, ex: &mut Exchange) {
        for content in [ex.content.take(), ex.skipped.take()].into_iter().flatten() {
            self.out.push_back(Output::Release {
                content: content.id,
            });
        }
    }

    /// A session may not be made now: the server is being drained or full.
    pub(super) fn no_room(&self) -> Option<(u16, &'static str)> {
        if self.draining {
            Some((503, "the server is being drained"))
        } else if self.sessions.len() >= self.config.session_count_max {
            Some((503, "too many sessions"))
        } else {
            None
        }
    }
}

/// What a request is, by method, tokens and Content-Type; first match (WMSP-28, WMLOG-20).
fn classify(ex: &Exchange) -> Result<Kind, (u16, &'static str)> {
    let head = &ex.request.head;
    let p = &ex.pragma;
    let known = ex.client.is_some();
    let is_11 = head.version == Version::Http11;
    let only_11 = |kind| {
        if is_11 {
            Ok(kind)
        } else {
            Err((400, "pipelining in HTTP/1.0"))
        }
    };
    match head.method {
        Method::Options => Ok(Kind::Options),
        Method::Head => Ok(Kind::Download),
        // WMSP-37: who is no Windows Media client gets something useful, if it asks plainly.
        Method::Get if !known => Ok(Kind::Download),
        Method::Get if p.pipeline_request => only_11(Kind::Pipeline),
        Method::Get if p.next_entry && !p.play => only_11(Kind::PlayNextEntry),
        Method::Get if p.play => Ok(Kind::Play),
        Method::Get if p.has_switch => Ok(Kind::SelectStream),
        Method::Get => Ok(Kind::Describe),
        Method::Post if !known => Err((405, "POST of a client that is not one of Windows Media")),
        Method::Post if head.has_type("application/x-wms-getcontentinfo") => {
            Ok(Kind::GetContentInfo)
        }
        Method::Post if head.has_type("application/x-wms-sendevent") => Ok(Kind::SendEvent),
        Method::Post if p.stop => Ok(Kind::Stop),
        Method::Post if p.keep_alive => Ok(Kind::KeepAlive),
        Method::Post if p.has_switch => Ok(Kind::SelectStream),
        Method::Post if p.log_line.is_some() || head.has_type("application/x-wms-LogStats") => {
            Ok(Kind::Log)
        }
        Method::Post => Err((400, "POST that is no request of WMSP")),
        Method::Other(_) => Err((501, "method")),
    }
}
