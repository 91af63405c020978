//! PushStart: decided at its head, before any of its body is read (MS-WMHTTP 3.2.5.2).

use super::Server;
use super::answer::{No, Saying};
use super::body::Body;
use super::conn::{Exchange, Phase, Receiving, body_len};
use super::session::State;
use super::setup::{LOCKED_OUT, Named, fits, user_of};
use super::timers::Timer;
use crate::access::explain;
use crate::content::Answer;
use crate::http::head::Head;
use crate::machine::{CloseHow, ConnId, Time};
use crate::wmhttp::request::{Directives, Kind};

/// Longest body: what every client can count to.
const BODY_LEN_MAX: u64 = i64::MAX as u64;

/// What a PushStart that is in order leads to.
enum Go {
    /// Its body is read.
    Begin(u64),
    /// The application is asked first.
    Ask(Box<Exchange>),
    /// Its session is on another core.
    Move(crate::machine::CoreId),
}

impl Server {
    pub(super) fn on_start_head(&mut self, now: Time, conn: ConnId) {
        let Some(head) = self.head(conn) else { return };
        match self.judge(now, conn, &head) {
            Ok(Go::Begin(number)) => self.begin(now, conn, number),
            Ok(Go::Move(core)) => self.move_to(now, conn, core),
            Ok(Go::Ask(mut ex)) => match self.credentials(conn, &head) {
                Ok(credentials) => {
                    ex.user = credentials.as_ref().and_then(user_of);
                    self.ask_to_publish(conn, ex, credentials);
                }
                Err(why) => {
                    self.report(conn, &head, 400, why);
                    self.answer(now, conn, &head, Saying::refusal(400));
                }
            },
            Err(no) => self.refuse(now, conn, Kind::Start, &head, no),
        }
    }

    /// What the head alone tells (wmhttp.md 4.3).
    fn judge(&mut self, now: Time, conn: ConnId, head: &Head) -> Result<Go, No> {
        match body_len(head) {
            None => return Err((411, "PushStart without Content-Length")),
            Some(len) if len > BODY_LEN_MAX => return Err((400, "number in Content-Length")),
            Some(_) => {}
        }
        if head.get("User-Agent").is_none_or(|v| v.trim().is_empty()) {
            return Err((400, "PushStart without User-Agent"));
        }
        let number = match self.named(now, conn, head) {
            Named::Here(number) => number,
            Named::There(core) => return Ok(Go::Move(core)),
            Named::LockedOut => return Err(LOCKED_OUT),
            Named::New | Named::Unknown if self.config.compat_unknown_id => {
                return self.adopt_start(head);
            }
            // WMHTTP-77
            Named::New => return Err((404, "PushStart without push-id")),
            Named::Unknown => return Err(self.unknown(now, conn)),
        };
        let address = self.conns.get(&conn).map(|c| c.peer.ip());
        let known = address.and_then(|a| Some((a, self.sessions.get(&number)?)));
        let Some((address, s)) = known else {
            return Err(self.unknown(now, conn));
        };
        if !fits(s, address, None, self.config.roam) {
            return Err(self.unknown(now, conn));
        }
        // WMHTTP-78
        if matches!(s.state, State::Receiving(_)) {
            return Err((409, "the session is streaming"));
        }
        if !s.path.eq_ignore_ascii_case(&head.path) {
            return Err((404, "the session is for another URL"));
        }
        // WMHTTP-97, WMHTTP-103: the id is enough from where the encoder has proved who it is.
        if s.publishes() && (self.config.roam || s.address == address) {
            return Ok(Go::Begin(number));
        }
        let directives = Directives {
            template: None,
            destroy: s.destroy,
        };
        let asked_for = s.asked_for.clone();
        let directives = if s.publishes() { directives } else { asked_for };
        Ok(Go::Ask(exchange(head, number, directives, false)))
    }

    /// A session for a PushStart that has none: as Windows servers do it (MS-WMHTTP appendix A, 13).
    fn adopt_start(&mut self, head: &Head) -> Result<Go, No> {
        self.room()?;
        let number = self.count();
        let directives = Directives::default();
        Ok(Go::Ask(exchange(head, number, directives, true)))
    }

    pub(super) fn start_answered(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: Box<Exchange>,
        answer: Answer,
    ) {
        let no = match answer {
            Answer::Publishing => match self.take_for_source(now, conn, &ex) {
                Ok(_) => return self.begin(now, conn, ex.number),
                Err(no) => no,
            },
            Answer::Challenge(_) if ex.open_only => self.unknown(now, conn),
            Answer::Challenge(challenge) => {
                let id = self.sessions.get(&ex.number).map(|s| s.id);
                return self.challenge(now, conn, &ex, id, &challenge);
            }
            Answer::Elsewhere(core) => return self.move_to(now, conn, core),
            Answer::Moved { url } => return self.redirect(now, conn, &ex, url),
            Answer::Refused(why) => explain(why),
            _ => (500, "answer of another kind"),
        };
        self.refuse(now, conn, Kind::Start, &ex.head, no);
    }

    /// The body is read as it comes (WMHTTP-76).
    fn begin(&mut self, now: Time, conn: ConnId, number: u64) {
        if let Some(head) = self.head(conn)
            && body_len(&head) != Some(0)
        {
            self.invite(conn, &head);
        }
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some((head, rest)) = c.reader.detach() else {
            return;
        };
        c.phase = Phase::Receiving(Box::new(Receiving {
            session: number,
            body: Body::new(body_len(&head).unwrap_or(0)),
            head,
        }));
        self.bind(number, conn);
        if let Some(s) = self.sessions.get_mut(&number) {
            s.resumed |= s.packet_size.is_some() && s.state == State::Orphan;
            s.state = State::Receiving(conn);
            s.heard = now;
        }
        // WMHTTP-79
        self.timers.disarm(Timer::Request(conn));
        self.timers.disarm(Timer::Quiet(conn));
        self.timers.disarm(Timer::Inactivity(number));
        let at = now + self.config.idle_timeout;
        self.timers.arm(Timer::Idle(number), at);
        self.receive(now, conn, &rest);
    }

    /// Every byte of the body has come; the session goes on (WMHTTP-82, WMHTTP-83, WMHTTP-84).
    pub(super) fn complete(&mut self, now: Time, conn: ConnId, rest: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Phase::Receiving(r) = std::mem::replace(&mut c.phase, Phase::Heads) else {
            return;
        };
        c.reader.resume(r.body.len(), rest);
        let mut id = None;
        if let Some(s) = self.sessions.get_mut(&r.session) {
            s.state = State::Waiting;
            id = Some(s.id);
        }
        self.await_request(now, r.session);
        let say = Saying {
            status: 204,
            id,
            ..Saying::default()
        };
        self.answer(now, conn, &r.head, say);
    }

    /// The session has ended as the encoder said. It is answered if that was the end of the body too, and
    /// not otherwise (WMHTTP-88).
    pub(super) fn finish(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Phase::Receiving(r) = &c.phase else {
            return;
        };
        if r.body.is_complete() {
            let bytes = self.compose(now, r.head.version, &Saying::refusal(204));
            self.send(conn, bytes);
        }
        self.close(now, conn, CloseHow::Flush, None);
    }
}

fn exchange(head: &Head, number: u64, directives: Directives, open_only: bool) -> Box<Exchange> {
    Box::new(Exchange {
        kind: Kind::Start,
        head: Box::new(head.clone()),
        number,
        before: None,
        directives,
        user: None,
        open_only,
    })
}
