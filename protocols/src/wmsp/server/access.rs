//! Who asks: credentials out of requests, challenges into replies (MS-WMSP 3.2.5.1).
//!
//! The machine knows no secrets and believes nobody: it hands on what a client gave and remembers
//! for each connection what the application said about it.

use super::answer::{Answering, ReplyBody};
use super::conn::Stage;
use super::exchange::Exchange;
use super::session::Held;
use super::{Asker, Server};
use crate::auth::{Authorization, Challenge, Credentials, Identity, Offer, Scheme, ntlm};
use crate::content::{Answer, Question, Recheck};
use crate::http::head::{Method, Version};
use crate::machine::{ConnId, Output, Report, Time};
use std::sync::Arc;

/// Wrong proofs that one connection may give before it is closed.
const FAILURES_MAX: u8 = 8;

/// How much of a wrong user name is told.
const NAME_CHARS_TOLD: usize = 64;

/// What is known of a connection's client.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// It proved to be them (WMSP-95).
    identity: Option<Arc<Identity>>,
    /// NTLM has begun; good for the next message.
    handshake: Option<Arc<ntlm::Handshake>>,
    failures: u8,
}

impl Server {
    /// What a request gives to prove who asks.
    ///
    /// A scheme that is not known counts as nothing, so that the client is told which ones are.
    pub(super) fn credentials(
        &mut self,
        conn: ConnId,
        ex: &Exchange,
    ) -> Result<Option<Credentials>, String> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Ok(None);
        };
        let head = &ex.request.head;
        let given = match head.get("Authorization") {
            Some(value) => Authorization::parse(value).map_err(|e| e.to_string())?,
            None => None,
        };
        Ok(match given {
            Some(Authorization::Basic { user, password }) => {
                Some(Credentials::Basic { user, password })
            }
            Some(Authorization::Digest(authorization)) => {
                // A proxy between protocols tells what the client signed (wmsp.md 6).
                let verb = head.get("X-Proxy-Client-Verb").map(str::trim);
                let method = verb.filter(|v| !v.is_empty()).unwrap_or(name(&head.method));
                Some(Credentials::Digest {
                    authorization,
                    method: method.to_owned(),
                    target: head.target(),
                })
            }
            Some(Authorization::Ntlm(token)) => {
                // Who begins anew may be somebody else.
                c.access.identity = None;
                Some(Credentials::Ntlm {
                    token,
                    handshake: c.access.handshake.take(),
                })
            }
            None => c.access.identity.clone().map(Credentials::Connection),
        })
    }

    /// Remember who a connection belongs to, if the answer says so. Gives the answer itself.
    pub(super) fn note_identity(&mut self, asker: Option<Asker>, answer: Answer) -> Answer {
        let Answer::Verified { identity, answer } = answer else {
            return answer;
        };
        if let Some(Asker::Conn(conn)) = asker
            && let Some(c) = self.conns.get_mut(&conn)
        {
            c.access.identity = Some(identity);
        }
        *answer
    }

    /// A Play of what the session holds: the client of this connection must be entitled to it too.
    pub(super) fn recheck(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(content) = ex.content.as_ref().map(|c| c.id) else {
            return;
        };
        match self.credentials(conn, &ex) {
            Ok(credentials) => {
                let question = Question::Recheck(Recheck {
                    content,
                    credentials,
                });
                self.ask_for(conn, ex, Stage::Recheck, question);
            }
            Err(why) => {
                self.give_back(&mut ex);
                self.refuse(now, conn, &ex, 400, &why);
            }
        }
    }

    /// 401 (WMSP-94). It has no body, makes no session, and leaves one that exists as it is.
    pub(super) fn challenge(
        &mut self,
        now: Time,
        conn: ConnId,
        mut ex: Box<Exchange>,
        challenge: &Challenge,
    ) {
        self.give_back(&mut ex);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        // WMSP-93
        let offers = challenge.choose(ex.request.head.list("X-Accept-Authentication"));
        for offer in &offers {
            if let Offer::Ntlm { handshake } = offer {
                c.access.handshake.clone_from(handshake);
            }
        }
        if let Some(user) = &challenge.rejected {
            let user: String = user.chars().take(NAME_CHARS_TOLD).collect();
            c.access.failures = c.access.failures.saturating_add(1);
            self.out.push_back(Output::Report(Box::new(Report::Refused {
                peer: c.peer,
                target: ex.target(),
                user_agent: ex.user_agent().to_owned(),
                status: 401,
                reason: format!("wrong credentials for user {user:?}"),
            })));
        }
        let tired = c.access.failures >= FAILURES_MAX;
        // WMSP-95: NTLM goes on where it began, also with a client of HTTP/1.0 that did not say so.
        let binds = offers.iter().any(|o| o.scheme() == Scheme::Ntlm);
        let is_10 = ex.version() == Version::Http10;
        let refuses = ex
            .request
            .head
            .list("Connection")
            .any(|v| v.eq_ignore_ascii_case("close"));
        let keep = binds && is_10 && !refuses && !tired;
        let close = tired || (ex.wants_close() && !keep);
        let bytes = self.compose(
            &ex,
            401,
            &Answering {
                challenges: offers.iter().map(|o| o.header()).collect(),
                body: ReplyBody::Length(0),
                keep,
                close,
                ..Answering::default()
            },
        );
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
        self.respond(now, conn, bytes, close);
    }

    /// What was taken from the session for a Play that does not happen yet is its own again.
    fn give_back(&mut self, ex: &mut Exchange) {
        let free = ex
            .session
            .filter(|id| self.sessions.get(id).is_some_and(|s| s.held.is_none()));
        match (free, ex.content.take()) {
            (Some(id), Some(content)) => {
                let target = ex.target().into();
                self.keep(id, Held::Whole { target, content });
            }
            (None, Some(content)) => self.out.push_back(Output::Release {
                content: content.id,
            }),
            (_, None) => {}
        }
    }
}

fn name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Options => "OPTIONS",
        Method::Other(name) => name,
    }
}
