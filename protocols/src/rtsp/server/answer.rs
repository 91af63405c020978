//! Replies of the machine, and refusals.

use super::Server;
use super::request::{Exchange, Kind};
use super::session::id_text;
use crate::access;
use crate::content::{Content, Refusal};
use crate::machine::{ConnId, Output, Report, Time};
use crate::rtsp::cache_control::CacheControl;
use crate::rtsp::fields::Session as SessionValue;
use crate::rtsp::head;
use crate::wmsp::features::{self, Supported};
use std::time::{Duration, UNIX_EPOCH};

/// Methods that are answered.
pub(super) const PUBLIC: &str =
    "DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER, OPTIONS";

/// What a reply says beside its status.
#[derive(Default)]
pub(super) struct Reply {
    /// Headers of this kind of reply, in their order.
    pub headers: Vec<(&'static str, String)>,
    pub session: Option<u64>,
    /// It is about a content of other codecs, though no session says so.
    pub plain: bool,
    /// Tell what the server can.
    pub supported: bool,
    pub cache: Option<CacheControl>,
    /// Media type and body.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// Bytes that follow in writes of their own and count as body.
    pub extra: usize,
    pub close: bool,
}

impl Reply {
    /// The bytes of a reply to something that could not be read.
    pub fn bare(status: u16, server: &str) -> Vec<u8> {
        let mut reply = head::response(status);
        reply.header("Server", server).header("Content-Length", 0);
        reply.finish()
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

impl Server {
    /// Give a whole reply, when the line is free for it.
    pub(super) fn respond(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        reply: &Reply,
    ) {
        let bytes = self.compose(now, ex, status, reply);
        self.post(conn, bytes);
        if let Some(id) = reply.session.or(ex.session) {
            self.arm_idle(now, id);
        }
        if reply.close
            && let Some(c) = self.conns.get_mut(&conn)
        {
            c.close_after = true;
        }
    }

    /// 200 and nothing else.
    pub(super) fn acknowledge(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        self.respond(now, conn, ex, 200, &Reply::default());
    }

    pub(super) fn compose(&self, now: Time, ex: &Exchange, status: u16, reply: &Reply) -> Vec<u8> {
        let mut out = head::response(status);
        for (name, value) in &reply.headers {
            out.header(name, value);
        }
        if let Some(id) = reply.session.or(ex.session)
            && let Some(s) = self.sessions.get(&id)
        {
            let timeout = self.config.announced_timeout.as_secs();
            out.header(
                "Session",
                SessionValue {
                    id: id_text(id),
                    timeout: u32::try_from(timeout).ok(),
                },
            );
            if s.gen_id != 0 && !s.is_plain() {
                out.header("X-Playlist-Gen-Id", s.gen_id);
            }
        }
        match &reply.body {
            Some((kind, body)) => {
                out.header("Content-Type", kind)
                    .header("Content-Length", body.len() + reply.extra);
            }
            None if reply.extra > 0 => {
                out.header("Content-Length", reply.extra);
            }
            None => {}
        }
        if let Some(cseq) = ex.head.cseq() {
            out.header("CSeq", cseq);
        }
        let session = reply.session.or(ex.session);
        let session = session.and_then(|id| self.sessions.get(&id));
        let plain = reply.plain || session.is_some_and(|s| s.is_plain());
        out.header(
            "Server",
            match plain {
                true => &self.config.plain_server,
                false => &self.config.server,
            },
        );
        if reply.supported {
            out.header("Supported", self.abilities(ex));
        }
        if let Some(cache) = &reply.cache {
            out.header("Cache-Control", cache);
        }
        if let Some(origin) = self.config.unix_origin {
            out.header("Date", http_date(origin + now.since(Time::ZERO)));
        }
        let mut bytes = out.finish();
        if let Some((_, body)) = &reply.body {
            bytes.extend_from_slice(body);
        }
        bytes
    }

    /// RTSP-70, RTSP-71: Speed only where there is something to run ahead into.
    pub(super) fn abilities(&self, ex: &Exchange) -> String {
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        let content = ex.content.as_deref().or(session.map(|s| &*s.content));
        self.abilities_of(content)
    }

    pub(super) fn abilities_of(&self, content: Option<&Content>) -> String {
        let all = Supported::SWITCH
            .with(Supported::END_OF_STREAM)
            .with(Supported::PACKET_PAIR_SSRC);
        let all = match content {
            Some(content) => all.with(features::supported(content, self.config.predictive)),
            None => all
                .with(Supported::PACKET_PAIR)
                .with(Supported::STARTUP_PROFILE)
                .with(Supported::FAST_CACHE),
        };
        all.text()
    }

    /// Answer with an error status, and say why in a report.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        why: &str,
    ) {
        self.report(conn, ex, status, why);
        let mut reply = Reply::default();
        match status {
            405 | 501 => reply = reply.with("Allow", PUBLIC),
            // RTSP-135: what is not understood still tells players whom they talk to.
            _ if ex.kind == Kind::Options => reply = reply.with("Public", PUBLIC),
            _ => {}
        }
        self.respond(now, conn, ex, status, &reply);
    }

    pub(super) fn report(&mut self, conn: ConnId, ex: &Exchange, status: u16, why: &str) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        self.out.push_back(Output::Report(Box::new(Report::Refused {
            peer: c.peer,
            target: ex.path_and_query(),
            user_agent: ex.user_agent().to_owned(),
            status,
            reason: why.to_owned(),
        })));
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
        self.abandon(&mut ex);
        self.refuse(now, conn, &ex, status, why);
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

/// Status and words for a refusal of the application; RTSP has a status more than HTTP for one.
pub(super) fn explain(refusal: Refusal) -> (u16, &'static str) {
    let (status, why) = access::explain(refusal);
    match refusal {
        Refusal::Unsupported => (415, why),
        _ => (status, why),
    }
}

/// `Date`, from the time since 1970 (RFC 7231, 7.1.1.1).
fn http_date(since_1970: Duration) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let date = |s| http_date(Duration::from_secs(s));
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
    }
}
