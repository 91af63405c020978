//! Reply heads of the machine, and refusals.

use super::Server;
use super::exchange::Exchange;
use crate::content::Content;
use crate::http::head::Method;
use crate::http::reply::{self, ReplyHead};
use crate::machine::{CloseHow, ConnId, Output, Report, Time};
use crate::wmsp::cache_control;
use crate::wmsp::features;
use crate::wmsp::pragma::ReplyPragma;

/// What a reply says beside its status.
#[derive(Default)]
pub(super) struct Answering<'a> {
    pub session: Option<u32>,
    pub pragma: ReplyPragma,
    pub about: Option<&'a Content>,
    pub content_type: Option<&'a str>,
    pub body: ReplyBody,
    pub profile: Option<String>,
    pub location: Option<&'a str>,
    pub allow: bool,
    /// Values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
    /// Say that the connection stays, even to a client of HTTP/1.0 that did not ask.
    pub keep: bool,
    pub close: bool,
}

/// How the end of a reply's body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReplyBody {
    #[default]
    Empty,
    Length(usize),
    Chunked,
    ToTheEnd,
}

/// Methods that this port answers.
pub(super) const ALLOW: &str = "GET, HEAD, POST, OPTIONS";

impl Server {
    /// Answer with an error status, and say why in a report.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        why: &str,
    ) {
        self.refuse_with(now, conn, ex, status, why, ex.wants_close());
    }

    /// [`Server::refuse`], and end the connection.
    pub(super) fn refuse_and_close(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        why: &str,
    ) {
        self.refuse_with(now, conn, ex, status, why, true);
    }

    fn refuse_with(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        why: &str,
        close: bool,
    ) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        self.out.push_back(Output::Report(Box::new(Report::Refused {
            peer: c.peer,
            target: ex.target(),
            user_agent: ex.user_agent().to_owned(),
            status,
            reason: why.to_owned(),
        })));
        let body = match ex.client {
            Some(_) => String::new(),
            None => format!("{status} {}\r\n", reply::phrase(status)),
        };
        let mut bytes = self.compose(
            ex,
            status,
            &Answering {
                session: ex.session,
                content_type: (!body.is_empty()).then_some("text/plain"),
                body: ReplyBody::Length(body.len()),
                allow: matches!(status, 405 | 501),
                close,
                ..Answering::default()
            },
        );
        if ex.request.head.method != Method::Head {
            bytes.extend_from_slice(body.as_bytes());
        }
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
        self.respond(now, conn, bytes, close);
    }

    /// The bytes of a reply head.
    pub(super) fn compose(&self, ex: &Exchange, status: u16, answer: &Answering<'_>) -> Vec<u8> {
        let mut head = ReplyHead::new(ex.version(), status);
        // WMSP-41
        head.header("Server", &self.config.server);
        let cache = match answer.about {
            Some(content) => cache_control::of(content, self.config.remote_log),
            None => cache_control::NO_CACHE.to_owned(),
        };
        head.header("Cache-Control", cache);
        if let Some(client) = ex.client {
            let mut pragma = answer.pragma.clone();
            // WMSP-42, WMSP-43: an id always comes with the longest gap between KeepAlives.
            pragma.client_id = answer.session;
            pragma.timeout = answer.session.map(|_| self.keep_alive_ms());
            head.lines(|text| pragma.emit(text));
            // WMSP-45: only clients of Windows Media 9 know Supported.
            if let Some(content) = answer.about.filter(|_| client.is_9()) {
                let all = features::supported(content, self.config.predictive);
                head.header("Supported", all.text());
            }
        }
        if let Some(caching) = answer.about.map(|c| &c.caching).filter(|c| c.allowed) {
            if let Some(date) = &caching.last_modified {
                head.header("Last-Modified", date);
            }
            if let Some(etag) = &caching.etag {
                head.header("Etag", format_args!("\"{etag}\""));
            }
        }
        if let Some(url) = answer.location {
            head.header("Location", url);
        }
        for challenge in &answer.challenges {
            head.header("WWW-Authenticate", challenge);
        }
        if answer.allow {
            head.header("Allow", ALLOW);
        }
        if let Some(profile) = &answer.profile {
            head.header("X-StartupProfile", profile);
        }
        if let Some(media_type) = answer.content_type {
            head.header("Content-Type", media_type);
        }
        match answer.body {
            ReplyBody::Empty => {
                head.header("Content-Length", 0);
            }
            ReplyBody::Length(n) => {
                head.header("Content-Length", n);
            }
            ReplyBody::Chunked => {
                head.header("Transfer-Encoding", "chunked");
            }
            ReplyBody::ToTheEnd => {}
        }
        match answer.keep {
            true => {
                head.header("Connection", "Keep-Alive");
            }
            false => ex.put_connection(&mut head, answer.close),
        }
        head.finish()
    }

    /// The timeout that clients are told, ms: a little below the real one (WMSP-43).
    fn keep_alive_ms(&self) -> u32 {
        let ms = self.config.idle_timeout.as_millis().saturating_sub(5000);
        u32::try_from(ms).unwrap_or(u32::MAX).max(1000)
    }

    /// End a connection that was told so.
    pub(super) fn close_if(&mut self, now: Time, conn: ConnId, close: bool) {
        if close {
            self.close(now, conn, CloseHow::Flush, None);
        }
    }
}
