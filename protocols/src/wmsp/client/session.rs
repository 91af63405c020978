//! Replies: what they say of the session, and what is done next (MS-WMSP 3.1.5).

use super::link::Request;
use super::request::Kind;
use super::stream::{BodyKind, Packets};
use super::{Body, Client, PLAY_RETRY, PLAY_RETRY_MAX, State, Which};
use crate::client::REDIRECT_MAX;
use crate::content::Accel;
use crate::http::head::Version as HttpVersion;
use crate::http::replies::{ReplyHead, Step};
use crate::machine::{CloseHow, Time};
use crate::media::{IngestEvent, News};
use crate::playlist::asx;
use crate::wmsp::features::Supported;
use crate::wmsp::pragma::ReplyPragma;
use crate::wmsp::version::{ClientToken, ServerProduct, ServerToken, Version};
use std::time::Duration;

const V5: Version = Version::new(5, 0);
const V9: Version = Version::new(9, 0);

/// What a client that says nothing about its server's features takes for granted (wmsp.md 4.3).
const SERVER_DEFAULT: Supported = Supported::PREDICTIVE
    .with(Supported::PACKET_PAIR)
    .with(Supported::SWITCH);

const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What replies said so far.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// xClientGUID (WMSP-98).
    pub guid: String,
    pub client_id: Option<u32>,
    pub timeout: Duration,
    pub server: Option<ServerProduct>,
    pub supported: Supported,
    pub features: String,
    /// playlist-gen-id of the current entry.
    pub entry: Option<u32>,
    pub pipelined: bool,
    /// The server wants to test pipelining.
    pub experiment: bool,
    /// The server wants rendering logs by SendEvent.
    pub remote_log: bool,
}

impl Session {
    pub fn new(guid: String) -> Session {
        Session {
            guid,
            client_id: None,
            timeout: KEEP_ALIVE,
            server: None,
            supported: SERVER_DEFAULT,
            features: String::new(),
            entry: None,
            pipelined: false,
            experiment: false,
            remote_log: false,
        }
    }

    /// True unless the server is known to be older than 5.0, which does not know many tokens.
    pub fn is_5(&self) -> bool {
        self.server.is_none_or(|s| s.version >= V5)
    }

    /// True if logs go there in XML.
    pub fn takes_xml(&self) -> bool {
        self.server
            .is_some_and(|s| s.token == ServerToken::Cougar && s.version >= V9)
    }

    /// Take in what every reply may carry.
    fn note(&mut self, head: &ReplyHead, pragma: &ReplyPragma) {
        if let Some(server) = head.get("Server").and_then(ServerProduct::parse) {
            self.server = Some(server);
        }
        if head.get("Supported").is_some() {
            self.supported = Supported::parse(head.list("Supported"));
        }
        // 401 and 407 may come from somebody else than the session's server.
        if head.status != 401 && head.status != 407 {
            self.client_id = pragma.client_id.or(self.client_id);
        }
        if let Some(ms) = pragma.timeout {
            self.timeout = Duration::from_millis(u64::from(ms.max(1000)));
        }
        if let Some(features) = &pragma.features {
            self.features.clone_from(features);
        }
        self.entry = pragma.playlist_gen_id.or(self.entry);
        self.remote_log |= head
            .all("Cache-Control")
            .any(|v| v.contains("x-wms-event-subscription") && v.contains("remote-log"));
    }
}

impl Client {
    pub(super) fn receive(&mut self, now: Time, which: Which, bytes: &[u8]) {
        let Some(link) = self.slot(which) else {
            return;
        };
        let conn = link.conn;
        link.since = now;
        link.reader.push(bytes);
        let mut ignored = Vec::new();
        loop {
            let mut body = std::mem::replace(&mut self.body, Body::Ignored);
            let room = match &mut body {
                Body::Packets(packets) if which == Which::Data => packets.room(),
                Body::Text(text) if which == Which::Data => text,
                _ => &mut ignored,
            };
            let step = self.slot(which).as_mut().map(|l| l.reader.next(room));
            self.body = body;
            match step {
                None | Some(Ok(Step::Wait)) => return,
                Some(Err(bad)) => return self.lost(now, which, bad.offset, bad.reason.to_owned()),
                Some(Ok(Step::Head(head))) => self.head(now, which, &head),
                Some(Ok(Step::Body(_))) => {
                    ignored.clear();
                    if which == Which::Data {
                        self.media(now);
                    }
                }
                Some(Ok(Step::End)) => self.reply_ended(now, which),
            }
            // The connection may be another one by now, or none.
            if self.which(conn) != Some(which) {
                return;
            }
        }
    }

    fn head(&mut self, now: Time, which: Which, head: &ReplyHead) {
        let keeps = head.keeps_alive();
        let Some(link) = self.slot(which) else {
            return;
        };
        let offset = link.reader.offset();
        link.body = Some(offset);
        link.interim = head.status < 200;
        let Some(kind) = link.due.front().map(|r| r.kind) else {
            // WMSP-107
            return self.fail(offset - head.len as u64, "a reply that nothing asked for");
        };
        if link.interim {
            return;
        }
        link.last = !keeps;
        let mut pragma = ReplyPragma::default();
        head.all("Pragma").for_each(|line| pragma.absorb(line));
        self.session.note(head, &pragma);
        if which == Which::Data {
            self.body = Body::Ignored;
        }
        if head.status == 200 {
            self.access.accepted();
        }
        match (kind, head.status) {
            (Kind::Describe, 200) => self.describe_head(head, &pragma),
            (Kind::Play | Kind::NextEntry, 200) => self.play_head(kind, head, &pragma),
            (Kind::Select, 200) if which == Which::Data => {
                self.body = Body::Packets(Packets::new(BodyKind::Continued));
            }
            (Kind::Select, 200..=299) => {}
            (Kind::Pipeline1, 200) => self.body = Body::Packets(Packets::new(BodyKind::Test)),
            (Kind::Pipeline2, _) => {
                self.session.pipelined = pragma.pipeline_result == Some(true);
            }
            (Kind::Describe | Kind::Play, 300..=305) => self.redirect(now, offset, head),
            (Kind::Describe | Kind::Play | Kind::NextEntry, 401 | 407) => {
                self.challenged(now, kind, offset, head);
            }
            (Kind::Describe, 400) if self.becomes_server() => self.start_over(now),
            (Kind::Play, 400..=499) if self.may_play_again() => {
                self.play_retries += 1;
                self.play_again_at = Some(now + PLAY_RETRY);
            }
            (Kind::Describe | Kind::Play | Kind::NextEntry | Kind::Stop, status)
                if status != 200 =>
            {
                let name = kind.name();
                self.fail(offset, format!("status {status} in the reply to {name}"));
            }
            (Kind::Select, status) if which == Which::Data || self.state == State::Waiting => {
                self.fail(
                    offset,
                    format!("status {status} in the reply to SelectStream"),
                );
            }
            (Kind::Log, 200..=299) => self.report(IngestEvent::LogSent),
            _ => {}
        }
    }

    fn describe_head(&mut self, head: &ReplyHead, pragma: &ReplyPragma) {
        // A proxy on the way that speaks 1.0 cannot pipeline.
        let old_hop = head
            .list("Via")
            .any(|v| v.starts_with("1.0") || v.starts_with("HTTP/1.0"));
        self.session.experiment =
            pragma.pipeline_experiment && head.version == HttpVersion::Http11 && !old_hop;
        self.pair = Default::default();
        self.body = Body::Packets(Packets::new(BodyKind::Describe {
            pairs: pragma.packet_pair,
        }));
        if self.session.server.is_some() {
            self.news(News::Described {
                server: head.get("Server").unwrap_or_default().to_owned(),
                features: self.session.features.clone(),
            });
        }
    }

    fn play_head(&mut self, kind: Kind, head: &ReplyHead, pragma: &ReplyPragma) {
        if self.session.server.is_none() {
            // WMSP-103
            return self.fail(0, "neither Cougar nor Rex in Server");
        }
        let granted = |bps: Option<u32>, ms: Option<u32>| {
            Some(Accel {
                bits_per_second: bps?,
                duration_ms: ms?,
            })
        };
        let accel = granted(pragma.accel_bw, pragma.accel_duration);
        let burst = granted(pragma.burst_bw, pragma.burst_duration);
        self.news(News::Granted {
            accel: burst.or(accel),
            speed_milli: pragma.speed_milli,
            startup_profile: head.get("X-StartupProfile").map(str::to_owned),
        });
        // An entry that began in the body before goes on in this one. A session that was made anew
        // begins with $C, whose entry needs no PlayNextEntry.
        self.body = Body::Packets(Packets::new(match kind {
            Kind::Play if !pragma.reset => BodyKind::Play,
            _ => BodyKind::Continued,
        }));
        self.entry_is_new |= pragma.reset;
    }

    // WMSP-105
    fn redirect(&mut self, now: Time, offset: u64, head: &ReplyHead) {
        let status = head.status;
        let Some(location) = head.get("Location") else {
            return self.fail(offset, format!("status {status} without Location"));
        };
        self.redirects += 1;
        if self.redirects > REDIRECT_MAX {
            return self.fail(offset, format!("more than {REDIRECT_MAX} redirections"));
        }
        match self.url.join(location) {
            Ok(url) => {
                self.news(News::Redirected(location.to_owned()));
                match status {
                    305 => self.proxy = Some(url),
                    _ => self.url = url,
                }
                // They were given for the server that was named, not for whom it names.
                self.config.credentials = None;
                self.access.forget();
                self.start_over(now);
            }
            Err(fault) => {
                self.news(News::Redirected(location.to_owned()));
                self.fail(offset, format!("{fault} in Location"));
            }
        }
    }

    /// WMSP-106: an old server does not know caches; it is asked again by a plain server.
    fn becomes_server(&mut self) -> bool {
        let old = self.session.server.is_some_and(|s| s.version < V9);
        let becomes = old && self.config.role == ClientToken::WmCacheProxy;
        if becomes {
            self.config.role = ClientToken::NsServer;
        }
        becomes
    }

    /// Describe again, as a new session on a new connection.
    fn start_over(&mut self, now: Time) {
        self.close(Which::Data, CloseHow::Flush);
        self.close(Which::Side, CloseHow::Flush);
        self.session = Session::new(std::mem::take(&mut self.session.guid));
        self.send_describe(now);
    }

    /// A Play right behind a stop on another connection may come before the server noticed the stop.
    fn may_play_again(&self) -> bool {
        self.was_stopped && self.play_retries < PLAY_RETRY_MAX
    }

    fn reply_ended(&mut self, now: Time, which: Which) {
        let Some(link) = self.slot(which) else {
            return;
        };
        let body = link.body.take();
        if std::mem::take(&mut link.interim) {
            return;
        }
        let Some(Request { kind, .. }) = link.due.pop_front() else {
            return;
        };
        link.served += 1;
        if link.last {
            self.reopen(now, which);
        }
        self.write(now, which);
        if self.access.is_asked_again(kind) {
            return;
        }
        let offset = body.unwrap_or(0);
        match kind {
            Kind::Describe => self.described(now, offset),
            Kind::Pipeline2 if self.state == State::Testing => {
                self.news(News::Pipelined(self.session.pipelined));
                self.ready(now);
            }
            Kind::Play | Kind::NextEntry | Kind::Select if which == Which::Data => {
                self.media_ended(now, offset);
            }
            Kind::Stop => self.stopped(now),
            Kind::Log | Kind::Event => self.logged(now),
            Kind::KeepAlive => self.rest(now),
            _ => {}
        }
    }

    /// The connection is used up; what still waits goes to another one.
    fn reopen(&mut self, now: Time, which: Which) {
        let Some(link) = self.slot(which).as_mut() else {
            return;
        };
        let waiting = std::mem::take(&mut link.waiting);
        let body = std::mem::replace(&mut self.body, Body::Ignored);
        self.close(which, CloseHow::Flush);
        self.body = body;
        for request in waiting {
            self.send(now, which, request);
        }
    }

    fn described(&mut self, now: Time, offset: u64) {
        if self.state != State::Describing {
            return;
        }
        match std::mem::replace(&mut self.body, Body::Ignored) {
            Body::Text(text) => self.no_media(offset, &text),
            Body::Packets(packets) if self.header.is_none() || packets.is_cut() => {
                self.fail(offset, "the reply to Describe ended before its $H");
            }
            _ if self.session.experiment && self.config.pipelined => self.send_pipeline_test(now),
            _ => self.ready(now),
        }
    }

    /// The reply to Describe was something else: perhaps an announcement.
    fn no_media(&mut self, offset: u64, text: &[u8]) {
        let text = crate::wmlog::text(text);
        if asx::read(&text).is_some() {
            self.news(News::Announcement(text.into_owned()));
            return self.fail(offset, "an announcement instead of media");
        }
        self.fail(offset, "no '$' at the start of the reply to Describe");
    }

    /// Described, tested: play, or wait to be told.
    fn ready(&mut self, now: Time) {
        if self.config.autoplay {
            self.send_play(now);
        } else {
            self.state = State::Described;
            self.rest(now);
        }
    }

    /// Nothing is going on: keep the session alive (WMSP-111).
    pub(super) fn rest(&mut self, now: Time) {
        let resting = matches!(
            self.state,
            State::Described | State::Waiting | State::Stopped | State::Ended
        );
        if resting && self.session.client_id.is_some() {
            self.keep_alive_at = Some(now + self.session.timeout);
        }
    }

    pub(super) fn closed(&mut self, now: Time, which: Which) {
        let Some(link) = self.slot(which) else {
            return;
        };
        link.gone = true;
        let conn = link.conn;
        let offset = link.reader.offset();
        let fresh = link.body.is_none() && link.reader.is_idle();
        let again = fresh && link.served > 0 && link.due.len() == 1;
        let first = link.due.front().map(|r| (r.kind, r.retried));
        if !link.opened {
            let at = self.proxy.as_ref().unwrap_or(&self.url);
            let reason = format!("no connection to {}", at.authority());
            self.lost(now, which, offset, reason);
        } else if link.reader.ends_by_close() {
            self.reply_ended(now, which);
        } else {
            match first {
                None => {}
                // The server closed between two requests, just as the second was written.
                Some((_, false)) if again => link.ask_again(),
                Some((kind, _)) if kind.streams() && link.body.is_some() => {
                    self.media_ended(now, offset);
                }
                Some((kind, _)) => {
                    let name = kind.name();
                    let reason = format!("connection closed before the reply to {name}");
                    self.lost(now, which, offset, reason);
                }
            }
        }
        if let Some(link) = self.slot(which).take_if(|l| l.conn == conn) {
            for request in link.waiting {
                self.send(now, which, request);
            }
        }
    }
}
