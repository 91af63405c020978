//! Requests about a session that do not touch its media: Log, KeepAlive, SendEvent, GetContentInfo
//! and the pipeline test (MS-WMSP 3.2.5.5, 3.2.5.8, 3.2.5.11, 3.2.5.12).

use super::Server;
use super::answer::{Answering, ReplyBody};
use super::conn::OpenBody;
use super::exchange::{Exchange, Kind};
use super::play::MEDIA_TYPE;
use super::timers::Timer;
use crate::content::Content;
use crate::http::reply;
use crate::machine::{ClientLog, ConnId, Output, Report, Time};
use crate::wmsp::packet;
use crate::wmsp::pragma::ReplyPragma;

/// Longest W3C line that is passed on; a longer one is taken and dropped (wmlog.md 11).
const LOG_LINE_MAX: usize = 8 * 1024;

impl Server {
    /// A reply without body (WMSP-32, WMLOG-22).
    pub(super) fn acknowledge(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        status: u16,
        about: Option<&Content>,
    ) {
        // WMSP-76: a client that does not pipeline finds these connections closed.
        let pipelined = ex
            .session
            .and_then(|id| self.sessions.get(&id))
            .is_some_and(|s| s.pipelined);
        let close = ex.wants_close()
            || match ex.kind {
                Kind::KeepAlive => true,
                Kind::GetContentInfo => !pipelined,
                _ => false,
            };
        let bytes = self.compose(
            ex,
            status,
            &Answering {
                session: ex.session,
                about,
                allow: ex.kind == Kind::Options,
                close,
                ..Answering::default()
            },
        );
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
        self.respond(now, conn, bytes, close);
    }

    pub(super) fn keep_alive(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        self.acknowledge(now, conn, ex, 200, None);
    }

    /// A log is never refused for what it says (WMSP-81, WMLOG-24): it is looked at later, elsewhere.
    pub(super) fn log(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        self.report_log(conn, ex);
        self.acknowledge(now, conn, ex, 204, None);
    }

    pub(super) fn report_log(&mut self, conn: ConnId, ex: &Exchange) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let body = &ex.request.body;
        let log = match (&ex.pragma.log_line, ex.kind) {
            (_, Kind::SendEvent) => ClientLog::RemoteEvent(body.clone()),
            (Some(line), _) if line.len() > LOG_LINE_MAX => return,
            (Some(line), _) => ClientLog::W3c(line.clone()),
            (None, _) => ClientLog::Xml(String::from_utf8_lossy(body).into_owned()),
        };
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        self.out
            .push_back(Output::Report(Box::new(Report::ClientLog {
                session: session.map_or(0, |s| s.number),
                flow: session.and_then(|s| s.last_flow),
                peer: c.peer,
                target: ex.target(),
                user_agent: ex.user_agent().to_owned(),
                log,
            })));
    }

    /// The two requests of a pipeline test (wmsp.md 5.2).
    pub(super) fn pipeline(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return;
        };
        let open = self.conns.get(&conn).map(|c| c.body);
        if s.test_started {
            s.test_started = false;
            // WMSP-34, WMSP-35: in time is while the first reply is still open, here.
            let in_time = open == Some(OpenBody::Test);
            self.timers.disarm(Timer::Test(conn));
            let mut bytes = self.end_body(conn);
            bytes.extend(self.compose(
                ex,
                204,
                &Answering {
                    session: Some(id),
                    pragma: ReplyPragma {
                        pipeline_result: Some(in_time),
                        ..ReplyPragma::default()
                    },
                    close: ex.wants_close(),
                    ..Answering::default()
                },
            ));
            self.arm_idle(now, id);
            return self.respond(now, conn, bytes, ex.wants_close());
        }
        s.test_started = true;
        self.end_test(conn);
        // WMSP-33
        let mut bytes = self.compose(
            ex,
            200,
            &Answering {
                session: Some(id),
                content_type: Some(MEDIA_TYPE),
                body: ReplyBody::Chunked,
                ..Answering::default()
            },
        );
        reply::put_chunk(&packet::TEST, &mut bytes);
        self.send(conn, bytes);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.body = OpenBody::Test;
        }
        let at = now + self.config.pipeline_test;
        self.timers.arm(Timer::Test(conn), at);
        self.arm_idle(now, id);
    }
}
