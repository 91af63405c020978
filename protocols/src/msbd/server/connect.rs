//! REQ_CONNECT: who gets the stream (MS-MSBD 3.1.5.1, msbd.md 5.2).

use super::conn::Stage;
use super::session::{Asked, Session};
use super::{Server, Timer};
use crate::access;
use crate::content::{Answer, OpenRequest, Protocol, Question, Refusal};
use crate::machine::{CloseHow, ConnId, Output, Report, Ticket, Time};
use crate::msbd::wire::{Message, ResConnect, flags};
use crate::msbd::{CHANNEL, hresult};

/// A refusal: what the client is told, what the operator is.
struct No {
    hr: u32,
    status: u16,
    reason: &'static str,
}

const fn no(hr: u32, status: u16, reason: &'static str) -> No {
    No { hr, status, reason }
}

impl Server {
    pub(super) fn on_connect(&mut self, conn: ConnId, asked_for: u32, channel: Option<&str>) {
        self.timers.disarm(Timer::Connect(conn));
        if let Err(no) = self.judge(conn, asked_for, channel) {
            return self.refuse(conn, &no);
        }
        let Some(question) = self.question(conn) else {
            return;
        };
        let ticket = self.ask(conn, question);
        if let Some(c) = self.conns.get_mut(&conn) {
            let multicast = asked_for == flags::MULTICAST;
            c.stage = Stage::Asking { ticket, multicast };
            self.sessions += 1;
        }
    }

    /// Whether a client may have what it asks for, as far as can be said here.
    fn judge(&self, conn: ConnId, asked_for: u32, channel: Option<&str>) -> Result<(), No> {
        let Some(c) = self.conns.get(&conn) else {
            return Ok(());
        };
        // MSBD-68: before anything else is told.
        if !c.port.admits(c.peer.ip()) {
            let reason = "the address is not in the port's list";
            return Err(no(hresult::NS_E_FILE_NOT_FOUND, 403, reason));
        }
        // MSBD-29
        let Some(channel) = channel else {
            return Err(no(hresult::E_INVALIDARG, 400, "szChannel is no UTF-16"));
        };
        match asked_for {
            flags::TCP => {}
            flags::MULTICAST if c.port.group.is_some() => {}
            // MSBD-48, MSBD-49
            flags::MULTICAST => {
                let reason = "the point is not sent to a group";
                return Err(no(hresult::NS_E_FILE_NOT_FOUND, 400, reason));
            }
            // MSBD-26
            _ => return Err(no(hresult::E_INVALIDARG, 400, "dwFlags")),
        }
        // MSBD-27; our own servers may say which point they take the port for.
        let point = c.port.path.trim_matches('/');
        let same = |name: &str| channel.trim_matches('/').eq_ignore_ascii_case(name);
        if !same(CHANNEL) && !same(point) {
            return Err(no(hresult::NS_E_FILE_NOT_FOUND, 404, "no such channel"));
        }
        if self.draining {
            return Err(no(hresult::NS_E_TOO_MANY_SESS, 503, "the server stops"));
        }
        if self.sessions >= self.config.session_count_max {
            let reason = "too many sessions";
            return Err(no(hresult::NS_E_TOO_MANY_SESS, 503, reason));
        }
        Ok(())
    }

    /// What does the port lead to?
    pub(super) fn question(&self, conn: ConnId) -> Option<Question> {
        let c = self.conns.get(&conn)?;
        Some(Question::Open(OpenRequest {
            path: c.port.path.clone(),
            query: String::new(),
            authority: String::new(),
            peer: c.peer,
            user_agent: String::new(),
            protocol: Protocol::Msbd,
            play: true,
            credentials: None,
        }))
    }

    /// The application has answered the question of this connection; what is given back is nobody's.
    pub(super) fn settle(
        &mut self,
        now: Time,
        conn: ConnId,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<Answer> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Some(answer);
        };
        match &mut c.stage {
            Stage::Asking {
                ticket: due,
                multicast,
            } if *due == ticket => {
                let multicast = *multicast;
                self.on_first_answer(now, conn, multicast, answer);
                self.pump(now, conn);
                None
            }
            Stage::Serving(session) => match session.asked.take() {
                Some((due, asked)) if due == ticket => {
                    self.on_stream_answer(now, conn, asked, answer);
                    None
                }
                other => {
                    session.asked = other;
                    Some(answer)
                }
            },
            _ => Some(answer),
        }
    }

    fn on_first_answer(&mut self, now: Time, conn: ConnId, multicast: bool, answer: Answer) {
        let refusal = match answer {
            Answer::Opened(content) => match self.describe(multicast, &content) {
                Some(described) => {
                    self.accept(now, conn, multicast);
                    return self.announce(conn, content, described);
                }
                None => {
                    self.release(content.id);
                    let reason = "header or packets are too long for MSBD";
                    return self.refuse(conn, &no(hresult::NS_E_FILE_NOT_FOUND, 400, reason));
                }
            },
            Answer::Refused(refusal) => refusal,
            // There are no redirections, no documents and no proofs.
            Answer::Challenge(_) => Refusal::Forbidden,
            _ => Refusal::NotFound,
        };
        if refusal == Refusal::Unavailable {
            self.accept(now, conn, multicast);
            // Not yet (msbd.md 3.6, MSBD-16).
            self.say_empty(conn);
            return self.arm_retry(now, conn);
        }
        let (status, reason) = access::explain(refusal);
        let hr = match refusal {
            Refusal::Busy => hresult::NS_E_TOO_MANY_SESS,
            Refusal::Internal | Refusal::Corrupt => hresult::E_FAIL,
            _ => hresult::NS_E_FILE_NOT_FOUND,
        };
        self.refuse(conn, &no(hr, status, reason));
    }

    /// RES_CONNECT; a STREAMINFO is to follow at once (MSBD-30, MSBD-50).
    fn accept(&mut self, now: Time, conn: ConnId, multicast: bool) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let group = c.port.group.filter(|_| multicast);
        let reply = ResConnect::accepted(group, c.port.announced);
        c.stage = Stage::Serving(Box::new(Session::new(multicast)));
        self.say(conn, &Message::ResConnect(reply));
        self.arm_ping(now, conn);
    }

    /// RES_CONNECT, and the end (MSBD-51).
    fn refuse(&mut self, conn: ConnId, no: &No) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let report = Report::Refused {
            peer: c.peer,
            target: c.port.path.clone(),
            user_agent: String::new(),
            status: no.status,
            reason: no.reason.to_owned(),
        };
        self.out.push_back(Output::Report(Box::new(report)));
        self.say(conn, &Message::ResConnect(ResConnect::refused(no.hr)));
        self.close_for(conn, CloseHow::Flush, no.reason);
    }

    /// Is there a stream by now?
    pub(super) fn look_again(&mut self, conn: ConnId) {
        let Some(question) = self.question(conn) else {
            return;
        };
        let ticket = self.ask(conn, question);
        if let Some(session) = self.session(conn) {
            session.asked = Some((ticket, Asked::Open));
        }
    }

    pub(super) fn arm_retry(&mut self, now: Time, conn: ConnId) {
        let at = now + self.config.retry_interval;
        self.timers.arm(Timer::Retry(conn), at);
    }
}
