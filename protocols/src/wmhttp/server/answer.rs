//! Answers, in the spelling and order of the ones that encoders know (WMHTTP-101).

use super::Server;
use super::conn::{Conn, Exchange, Phase};
use super::timers::Timer;
use crate::access::NEGOTIATE;
use crate::auth::{Challenge, Offer, Scheme};
use crate::http::head::{Head, Version};
use crate::http::reply::ReplyHead;
use crate::machine::{CloseHow, ConnId, Time};
use crate::wmhttp::request::Kind;
use std::time::{Duration, UNIX_EPOCH};

/// What the server can in other directions; an encoder makes nothing of it, and gets it from others too.
const SUPPORTED: &str = "com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, \
     com.microsoft.wm.predstrm, com.microsoft.wm.fastcache, com.microsoft.wm.startupprofile";

/// What an answer says beside its status.
#[derive(Debug, Default)]
pub(super) struct Saying {
    pub status: u16,
    /// The session's push-id.
    pub id: Option<u64>,
    /// Values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
    pub location: Option<String>,
    /// An announcement.
    pub document: Option<String>,
    pub connection: Option<&'static str>,
}

impl Saying {
    /// No, and the connection closes.
    pub fn refusal(status: u16) -> Saying {
        Saying {
            status,
            connection: Some("close"),
            ..Saying::default()
        }
    }
}

impl Server {
    /// The bytes of an answer.
    pub(super) fn compose(&self, now: Time, version: Version, say: &Saying) -> Vec<u8> {
        let mut head = ReplyHead::new(version, say.status);
        head.header("Server", &self.config.server);
        if say.document.is_some() {
            head.header("Content-Type", "video/x-ms-asf");
        }
        for challenge in &say.challenges {
            head.header("WWW-Authenticate", challenge);
        }
        if let Some(url) = &say.location {
            head.header("Location", url);
        }
        // The 408 of Windows has neither this nor Cache-Control.
        if say.status != 408 {
            let len = say.document.as_ref().map_or(0, String::len);
            head.header("Content-Length", len);
        }
        if let Some(origin) = self.config.unix_origin {
            let date = origin + Duration::from_micros(now.micros());
            head.header("Date", httpdate::fmt_http_date(UNIX_EPOCH + date));
        }
        match say.document {
            Some(_) => head.header("Pragma", "no-cache"),
            None => {
                let ms = self.config.idle_timeout.as_millis();
                head.header("Pragma", format_args!("no-cache, timeout={ms}"))
            }
        };
        if say.status != 408 {
            head.header("Cache-Control", "no-cache");
        }
        if let Some(id) = say.id {
            head.header("Set-Cookie", format_args!("push-id={id}"));
        }
        if say.document.is_none() {
            head.header("Supported", SUPPORTED);
        }
        if let Some(connection) = say.connection {
            head.header("Connection", connection);
        }
        let mut bytes = head.finish();
        bytes.extend_from_slice(say.document.as_deref().unwrap_or("").as_bytes());
        bytes
    }

    /// Answer the request that is at its end, or is left alone; the connection goes on if it can.
    pub(super) fn answer(&mut self, now: Time, conn: ConnId, head: &Head, mut say: Saying) {
        let close = say.connection == Some("close") || !head.keeps_alive();
        if close {
            say.connection = Some("close");
        } else if head.version == Version::Http10 {
            say.connection = Some("Keep-Alive");
        }
        let bytes = self.compose(now, head.version, &say);
        self.send(conn, bytes);
        if close {
            self.close(now, conn, CloseHow::Flush, None);
        }
    }

    /// Refuse a request, and say why in a report. A PushStart's body is not waited for, so that the
    /// connection closes (wmhttp.md 8).
    pub(super) fn refuse(&mut self, now: Time, conn: ConnId, kind: Kind, head: &Head, no: No) {
        let (status, why) = no;
        self.report(conn, head, status, why.to_owned());
        let connection = (kind == Kind::Start).then_some("close");
        let say = Saying {
            status,
            connection,
            ..Saying::default()
        };
        self.answer(now, conn, head, say);
    }

    /// It is elsewhere (WMHTTP-63): what is known of the session is forgotten.
    pub(super) fn redirect(&mut self, now: Time, conn: ConnId, ex: &Exchange, url: String) {
        let fault = crate::machine::Fault {
            offset: 0,
            reason: "the point is elsewhere".to_owned(),
        };
        for number in [Some(ex.number), ex.before].into_iter().flatten() {
            self.end_session(number, super::session::End::Failed(fault.clone()));
        }
        let say = Saying {
            location: Some(url),
            ..Saying::refusal(302)
        };
        self.answer(now, conn, &ex.head, say);
    }

    /// 401 (WMHTTP-66). NTLM goes on where it began, also with a client of HTTP/1.0 that did not say so
    /// (WMHTTP-67); after a PushStart the connection stays as well, and its body goes by (WMHTTP-81).
    pub(super) fn challenge(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        id: Option<u64>,
        challenge: &Challenge,
    ) {
        let accepted: Vec<&str> = ex.head.list("X-Accept-Authentication").collect();
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let mut challenge = challenge.clone();
        if ex.kind == Kind::Start {
            leave_out_ntlm(&mut challenge);
        }
        let mut demand = c.access.demand(&challenge, accepted.iter().copied());
        offer_negotiate(&mut demand.headers, &accepted);
        if let Some(user) = &demand.rejected {
            let why = format!("wrong credentials for user {user:?}");
            self.report(conn, &ex.head, 401, why);
        }
        let refuses = |v: &str| v.eq_ignore_ascii_case("close");
        let keep = demand.binds && !ex.head.list("Connection").any(refuses);
        let close = demand.tired || !(keep || ex.head.keeps_alive());
        let is_10 = ex.head.version == Version::Http10;
        let say = Saying {
            status: 401,
            id,
            challenges: demand.headers,
            connection: match close {
                true => Some("close"),
                false => is_10.then_some("Keep-Alive"),
            },
            ..Saying::default()
        };
        let bytes = self.compose(now, ex.head.version, &say);
        self.send(conn, bytes);
        if close {
            self.close(now, conn, CloseHow::Flush, None);
        } else if ex.kind == Kind::Start {
            self.let_body_pass(now, conn);
        }
    }

    /// Read past the body of a PushStart that was answered.
    fn let_body_pass(&mut self, now: Time, conn: ConnId) {
        let at = now + self.config.idle_timeout;
        self.timers.arm(Timer::Quiet(conn), at);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some((head, rest)) = c.reader.detach() else {
            return;
        };
        let len = super::conn::body_len(&head).unwrap_or(0);
        c.phase = Phase::Discarding { len, left: len };
        self.discard(conn, &rest);
    }

    /// What is no encoder gets an announcement whose only reference is what it asked for (WMHTTP-61).
    pub(super) fn announce(&mut self, now: Time, conn: ConnId, head: &Head, close: bool) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let say = Saying {
            status: 200,
            document: Some(announcement(c, head)),
            connection: close.then_some("close"),
            ..Saying::default()
        };
        self.answer(now, conn, head, say);
    }
}

/// Status and words of a refusal.
pub(super) type No = (u16, &'static str);

fn announcement(c: &Conn, head: &Head) -> String {
    let authority = match head.authority.as_str() {
        "" => c.local.to_string(),
        authority => authority.to_owned(),
    };
    let url = escaped(&format!("http://{authority}{}", head.target()));
    format!("<ASX version=\"3.0\"><Entry><Ref href=\"{url}\"/></Entry></ASX>\r\n")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Its rounds do not fit where a body of two gigabytes follows each head (wmhttp.md 4.3).
fn leave_out_ntlm(challenge: &mut Challenge) {
    let is_ntlm = |o: &Offer| o.scheme() == Scheme::Ntlm;
    if !challenge.offers.iter().all(is_ntlm) {
        challenge.offers.retain(|o| !is_ntlm(o));
    }
}

/// Who has Negotiate and nothing that is offered may mean NTLM by it (WMHTTP-65, WMHTTP-105).
fn offer_negotiate(headers: &mut Vec<String>, accepted: &[&str]) {
    let has = |name: &str| accepted.iter().any(|a| a.eq_ignore_ascii_case(name));
    let begins_ntlm = headers.iter().any(|h| h == Scheme::Ntlm.name());
    if begins_ntlm && has(NEGOTIATE) && !has(Scheme::Ntlm.name()) {
        headers.retain(|h| h != Scheme::Ntlm.name());
        headers.insert(0, NEGOTIATE.to_owned());
    }
}
