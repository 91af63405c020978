//! Describe, GetContentInfo, SendEvent, and who may ask (MS-RTSP 3.2.5.3, 3.2.5.4).

use super::answer::{PUBLIC, Reply};
use super::conn::Described;
use super::request::{Exchange, Kind};
use super::setup::is_too_large;
use super::{Server, media};
use crate::auth::{Challenge, Credentials};
use crate::content::Content;
use crate::machine::{ClientLog, ConnId, Output, Report, Time};
use crate::rtsp::cache_control::CacheControl;
use crate::rtsp::fields::wants_one_control;
use crate::rtsp::head::Target;

impl Server {
    /// RTSP-135. By the `Server` of this reply FFmpeg and GStreamer decide what they will speak, so it
    /// depends on what the URL names.
    pub(super) fn options(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let decides = self.config.plain
            && ex.session.is_none()
            && ex.target.path != "*"
            && !media::wants_wme(&ex);
        match decides {
            true => self.open(now, conn, ex, false),
            false => self.tell_options(now, conn, ex),
        }
    }

    pub(super) fn tell_options(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let content = ex.content.as_deref();
        let plain = content.and_then(|c| media::is_plain(&self.config, &ex, c));
        self.abandon(&mut ex);
        let reply = Reply {
            plain: plain.is_some(),
            ..Reply::default()
        };
        self.respond(now, conn, &ex, 200, &reply.with("Public", PUBLIC));
    }

    pub(super) fn describe(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        if let Some((status, why)) = self.no_room() {
            return self.refuse(now, conn, &ex, status, why);
        }
        self.open(now, conn, ex, true);
    }

    /// RTSP-107: what was opened is the connection's from now on.
    pub(super) fn described(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(local) = self.conns.get(&conn).map(|c| c.local) else {
            return self.abandon(&mut ex);
        };
        let Some(content) = ex.content.take() else {
            return;
        };
        if is_too_large(&content) {
            ex.content = Some(content);
            return self.give_up(now, conn, ex, 415, "packets too large for RTP");
        }
        let base = base_url(&ex.target, &local.to_string());
        let plain = media::is_plain(&self.config, &ex, &content);
        let one = wants_one_control(ex.user_agent()) && !content.broadcast;
        let id = self.count();
        let sdp = match &plain {
            Some(plain) => plain.describe(&content, &base, local.ip(), id),
            None => media::wme::describe(&self.config, &content, &base, local.ip(), id, one),
        };
        let mut reply = Reply {
            plain: plain.is_some(),
            cache: Some(CacheControl::of(&content, self.config.remote_log)),
            ..Reply::default()
        };
        reply = reply.with("Content-Base", format!("{base}/"));
        if plain.is_none() {
            // RTSP-83
            reply = reply
                .with("Vary", "Accept")
                .with("X-Playlist-Gen-Id", content.entry.to_string())
                .with("X-Broadcast-Id", content.broadcast_id.to_string())
                .with("Supported", self.abilities_of(Some(&content)));
        }
        if let Some(etag) = &content.caching.etag {
            reply = reply.with("ETag", format!("\"{etag}\""));
        }
        if let Some(date) = &content.caching.last_modified {
            reply = reply.with("Last-Modified", date.as_str());
        }
        reply.body = Some(("application/sdp", sdp.into_bytes()));
        // The session that the request may name has nothing to do with it (rtsp-wme.md 6.1).
        if let Some(id) = ex.session.take() {
            self.arm_idle(now, id);
        }
        let described = Box::new(Described {
            path: ex.target.path.clone(),
            base,
            content,
            plain,
        });
        let old = self
            .conns
            .get_mut(&conn)
            .and_then(|c| c.described.replace(described));
        if let Some(old) = old {
            self.release(old.content.id);
        }
        self.respond(now, conn, &ex, 200, &reply);
    }

    /// GetContentInfo and SendEvent: the URL is good (RTSP-88, RTSP-129).
    pub(super) fn informed(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let content = ex.content.take();
        let mut reply = Reply::default();
        if let Some(content) = content {
            if ex.kind == Kind::ContentInfo {
                reply.cache = Some(CacheControl::of(&content, self.config.remote_log));
            }
            self.release(content.id);
        }
        if ex.kind == Kind::SendEvent {
            self.report_log(conn, &ex, ClientLog::RemoteEvent(ex.body.clone()));
        }
        self.respond(now, conn, &ex, 200, &reply);
    }

    /// What a request gives to prove who asks.
    pub(super) fn credentials(
        &mut self,
        conn: ConnId,
        ex: &Exchange,
    ) -> Result<Option<Credentials>, String> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Ok(None);
        };
        c.access
            .credentials(&ex.head, ex.method.name(), ex.path_and_query())
    }

    /// 401 (RTSP-106). The connection stays, what is on it stays as it is.
    pub(super) fn challenge(
        &mut self,
        now: Time,
        conn: ConnId,
        mut ex: Box<Exchange>,
        challenge: &Challenge,
    ) {
        self.abandon(&mut ex);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let accepted = ex.head.list("X-Accept-Authentication");
        let demand = c.access.demand(challenge, accepted);
        if let Some(user) = &demand.rejected {
            let why = format!("wrong credentials for user {user:?}");
            self.report(conn, &ex, 401, &why);
        }
        let reply = Reply {
            headers: demand
                .headers
                .into_iter()
                .map(|value| ("WWW-Authenticate", value))
                .collect(),
            close: demand.tired,
            ..Reply::default()
        };
        self.respond(now, conn, &ex, 401, &reply);
    }

    /// A log is never refused for what it says (RTSP-128): it is looked at later, elsewhere.
    pub(super) fn report_log(&mut self, conn: ConnId, ex: &Exchange, log: ClientLog) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        self.out
            .push_back(Output::Report(Box::new(Report::ClientLog {
                session: session.map_or(0, |s| s.number),
                flow: session.and_then(|s| s.last_flow),
                peer: c.peer,
                target: ex.path_and_query(),
                user_agent: ex.user_agent().to_owned(),
                log,
            })));
    }
}

/// The URL of a presentation as we write it: without slash at its end, without query. What a player
/// calls rtspt:// or rtspu:// is rtsp:// on the wire.
pub(super) fn base_url(target: &Target, local: &str) -> String {
    let authority = match target.authority.as_str() {
        "" => local,
        authority => authority,
    };
    let path = target.path.strip_suffix('/').unwrap_or(&target.path);
    format!("rtsp://{authority}{path}")
}

/// What may be said of a content: name and value pairs in the form of content descriptions.
pub(super) fn description(content: &Content) -> Vec<crate::wmsp::cdl::Pair> {
    use crate::wmsp::cdl::Pair;
    let mut pairs = Vec::new();
    for (name, value) in content.description.iter() {
        if name.is_empty() || name.contains([',', '\r', '\n', '\0']) || pairs.len() == 64 {
            continue;
        }
        if pairs.is_empty() {
            pairs.push(Pair::text("language", ""));
        }
        pairs.push(Pair::text(name.as_str(), value.replace('\0', " ")));
    }
    pairs
}
