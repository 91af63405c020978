//! Who asks: credentials out of requests, challenges into replies (MS-WMSP 3.2.5.1).

use super::answer::{Answering, ReplyBody};
use super::conn::Stage;
use super::exchange::Exchange;
use super::session::Held;
use super::{Asker, Server};
use crate::auth::{Challenge, Credentials};
use crate::content::{Answer, Question, Recheck};
use crate::http::head::{Method, Version};
use crate::machine::{ConnId, Output, Report, Time};

impl Server {
    /// What a request gives to prove who asks.
    pub(super) fn credentials(
        &mut self,
        conn: ConnId,
        ex: &Exchange,
    ) -> Result<Option<Credentials>, String> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Ok(None);
        };
        let head = &ex.request.head;
        c.access
            .credentials(head, name(&head.method), head.target())
    }

    /// Remember who a connection belongs to, if the answer says so. Gives the answer itself.
    pub(super) fn note_identity(&mut self, asker: Option<Asker>, answer: Answer) -> Answer {
        let Answer::Verified { identity, answer } = answer else {
            return answer;
        };
        if let Some(Asker::Conn(conn)) = asker
            && let Some(c) = self.conns.get_mut(&conn)
        {
            c.access.remember(identity);
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
        let demand = c
            .access
            .demand(challenge, ex.request.head.list("X-Accept-Authentication"));
        if let Some(user) = &demand.rejected {
            self.out.push_back(Output::Report(Box::new(Report::Refused {
                peer: c.peer,
                target: ex.target(),
                user_agent: ex.user_agent().to_owned(),
                status: 401,
                reason: format!("wrong credentials for user {user:?}"),
            })));
        }
        let tired = demand.tired;
        // WMSP-95: NTLM goes on where it began, also with a client of HTTP/1.0 that did not say so.
        let is_10 = ex.version() == Version::Http10;
        let refuses = ex
            .request
            .head
            .list("Connection")
            .any(|v| v.eq_ignore_ascii_case("close"));
        let keep = demand.binds && is_10 && !refuses && !tired;
        let close = tired || (ex.wants_close() && !keep);
        let bytes = self.compose(
            &ex,
            401,
            &Answering {
                challenges: demand.headers,
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
