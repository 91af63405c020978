//! Connections: push requests in, one at a time.

use super::Server;
use super::body::Body;
use super::timers::Timer;
use crate::access::Access;
use crate::auth::Credentials;
use crate::content::{Answer, PublishRequest, Question};
use crate::http::Refused;
use crate::http::head::{BodyLength, Head, Version};
use crate::http::reader::{Reader, Step};
use crate::machine::{CloseHow, ConnId, CoreId, Fault, Output, Report, Service, Ticket, Time};
use crate::wmhttp::request::{Directives, Kind};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub reader: Reader,
    pub phase: Phase,
    /// The session that its last request was about.
    pub session: Option<u64>,
    pub access: Access,
}

/// What comes next on a connection.
#[derive(Debug)]
pub(super) enum Phase {
    /// A request's head.
    Heads,
    /// The body of a PushSetup, of so many bytes. The request stays in the reader until it is answered,
    /// so that it can go elsewhere whole.
    SetupBody(usize),
    /// Nothing: the application was asked. The request is in the reader.
    Asking(Ticket, Box<Exchange>),
    /// The body of a PushStart.
    Receiving(Box<Receiving>),
    /// A body that nobody wants; so much is left of it.
    Discarding { len: u64, left: u64 },
}

/// A request on its way to its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub kind: Kind,
    pub head: Box<Head>,
    /// The session that the application is asked about.
    pub number: u64,
    /// The session whose push-id the encoder has, if that is not the same.
    pub before: Option<u64>,
    pub directives: Directives,
    /// Who the encoder says to be.
    pub user: Option<Arc<str>>,
    /// No session is made of this unless the point is open to all.
    pub open_only: bool,
}

/// A PushStart whose body comes.
#[derive(Debug)]
pub(super) struct Receiving {
    pub session: u64,
    pub head: Box<Head>,
    pub body: Body,
}

impl Server {
    pub(super) fn on_opened(
        &mut self,
        now: Time,
        conn: ConnId,
        peer: SocketAddr,
        local: SocketAddr,
    ) {
        self.conns.insert(
            conn,
            Box::new(Conn {
                peer,
                local,
                reader: Reader::default(),
                phase: Phase::Heads,
                session: None,
                access: Access::default(),
            }),
        );
        self.expect_request(now, conn);
    }

    pub(super) fn on_data(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match c.phase {
            Phase::Receiving(_) => self.receive(now, conn, bytes),
            Phase::Discarding { .. } => self.discard(conn, bytes),
            _ => c.reader.push(bytes),
        }
        self.pump(now, conn);
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if matches!(c.phase, Phase::Asking(..))
            && c.reader.buffered() > self.config.waiting_bytes_max
        {
            let fault = Fault {
                offset: c.reader.offset(),
                reason: "too many bytes before the answer".into(),
            };
            self.close(now, conn, CloseHow::Abort, Some(fault));
        }
    }

    /// Take requests as long as nothing stands in their way.
    pub(super) fn pump(&mut self, now: Time, conn: ConnId) {
        loop {
            let Some(c) = self.conns.get_mut(&conn) else {
                return;
            };
            match c.phase {
                Phase::Asking(..) | Phase::Receiving(_) => {
                    self.timers.disarm(Timer::Request(conn));
                    self.timers.disarm(Timer::Quiet(conn));
                    return;
                }
                // Idle-Timeout was started with it (WMHTTP-81).
                Phase::Discarding { .. } => return self.timers.disarm(Timer::Request(conn)),
                Phase::SetupBody(len) if c.reader.behind_head().len() < len => break,
                Phase::SetupBody(len) => self.setup(now, conn, len),
                Phase::Heads => match c.reader.next(&self.config.limits) {
                    Ok(Step::Wait) => break,
                    Ok(Step::Head) => self.on_head(now, conn),
                    // Its answer was given.
                    Ok(Step::Request(_)) => self.timers.disarm(Timer::Request(conn)),
                    Err(refused) => return self.refuse_stream(now, conn, refused),
                },
            }
        }
        self.expect_request(now, conn);
    }

    /// The connection waits for a request, or for the rest of one.
    fn expect_request(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if c.reader.buffered() > 0 {
            self.timers.disarm(Timer::Quiet(conn));
            if !self.timers.is_armed(Timer::Request(conn)) {
                let at = now + self.config.request_timeout;
                self.timers.arm(Timer::Request(conn), at);
            }
        } else {
            self.timers.disarm(Timer::Request(conn));
            let at = now + self.config.idle_timeout;
            self.timers.arm(Timer::Quiet(conn), at);
        }
    }

    /// A head is there; of its body nothing is sure (WMHTTP-76).
    fn on_head(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Some(head) = c.reader.head() else { return };
        match Kind::of(head) {
            Some(Kind::Setup) => self.on_setup_head(now, conn),
            Some(Kind::Start) => self.on_start_head(now, conn),
            None => {
                let unread = self.take_unread(now, conn);
                self.out.push_back(Output::Switch {
                    conn,
                    service: Service::Http,
                    unread,
                });
            }
        }
    }

    /// A copy of the current request's head.
    pub(super) fn head(&self, conn: ConnId) -> Option<Box<Head>> {
        let head = self.conns.get(&conn)?.reader.head()?;
        Some(Box::new(head.clone()))
    }

    /// Tell a client that waits for it to send its body.
    pub(super) fn invite(&mut self, conn: ConnId, head: &Head) {
        let waits = head.version == Version::Http11
            && head
                .list("Expect")
                .any(|e| e.eq_ignore_ascii_case("100-continue"));
        let nothing_yet = self
            .conns
            .get(&conn)
            .is_some_and(|c| c.reader.behind_head().is_empty());
        if waits && nothing_yet {
            self.send(conn, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        }
    }

    /// What a request gives to prove who asks.
    pub(super) fn credentials(
        &mut self,
        conn: ConnId,
        head: &Head,
    ) -> Result<Option<Credentials>, String> {
        match self.conns.get_mut(&conn) {
            Some(c) => c.access.credentials(head, "POST", head.target()),
            None => Ok(None),
        }
    }

    /// Ask whether the encoder may be the source. The request waits.
    pub(super) fn ask_to_publish(
        &mut self,
        conn: ConnId,
        ex: Box<Exchange>,
        credentials: Option<Credentials>,
    ) {
        let Some(peer) = self.conns.get(&conn).map(|c| c.peer) else {
            return;
        };
        self.timers.disarm(Timer::Inactivity(ex.number));
        if let Some(before) = ex.before {
            self.timers.disarm(Timer::Inactivity(before));
        }
        let question = Question::Publish(PublishRequest {
            session: ex.number,
            path: ex.head.path.clone(),
            authority: ex.head.authority.clone(),
            peer,
            user_agent: ex.head.get("User-Agent").unwrap_or("").to_owned(),
            credentials,
            template: ex.directives.template.clone(),
            destroy: ex.directives.destroy,
        });
        let asker = super::Asker {
            conn,
            session: ex.number,
            destroy: ex.directives.destroy,
        };
        let ticket = self.ask(asker, question);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.phase = Phase::Asking(ticket, ex);
        }
    }

    /// The application has answered.
    pub(super) fn answered(
        &mut self,
        now: Time,
        asker: super::Asker,
        ticket: Ticket,
        identity: Option<Arc<crate::auth::Identity>>,
        answer: Answer,
    ) {
        let conn = asker.conn;
        let waiting = self
            .conns
            .get_mut(&conn)
            .filter(|c| matches!(&c.phase, Phase::Asking(asked, _) if *asked == ticket));
        let Some(c) = waiting else {
            return self.answered_too_late(now, asker, &answer);
        };
        let Phase::Asking(_, mut ex) = std::mem::replace(&mut c.phase, Phase::Heads) else {
            return;
        };
        if let Some(identity) = identity {
            ex.user = Some(Arc::clone(&identity.user));
            c.access.remember(identity);
        }
        let numbers = [Some(ex.number), ex.before];
        match ex.kind {
            Kind::Setup => self.setup_answered(now, conn, ex, answer),
            Kind::Start => self.start_answered(now, conn, ex, answer),
        }
        for number in numbers.into_iter().flatten() {
            if !self.timers.is_armed(Timer::Inactivity(number)) {
                self.await_request(now, number);
            }
        }
        self.pump(now, conn);
    }

    /// Who asked has gone.
    fn answered_too_late(&mut self, now: Time, asker: super::Asker, answer: &Answer) {
        if !matches!(answer, Answer::Publishing) {
            return;
        }
        match self.sessions.get_mut(&asker.session) {
            Some(s) if s.publishes() => {}
            // Its id was given out with the question who it is: it may come back.
            Some(s) => {
                s.state = super::session::State::Waiting;
                s.destroy = asker.destroy;
                self.await_request(now, asker.session);
            }
            None => self.out.push_back(Output::Withdraw {
                session: asker.session,
                destroy: asker.destroy,
            }),
        }
    }

    pub(super) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.out.push_back(Output::Send {
            conn,
            bytes: Bytes::from(bytes),
        });
    }

    pub(super) fn close(&mut self, now: Time, conn: ConnId, how: CloseHow, fault: Option<Fault>) {
        self.forget(now, conn);
        self.out.push_back(Output::Close { conn, how, fault });
    }

    /// The connection is gone, or about to go.
    pub(super) fn forget(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.remove(&conn) else {
            return;
        };
        self.timers.disarm(Timer::Request(conn));
        self.timers.disarm(Timer::Quiet(conn));
        if let Phase::Asking(_, ex) = &c.phase {
            for number in [Some(ex.number), ex.before].into_iter().flatten() {
                self.await_request(now, number);
            }
        }
        if let Some(number) = c.session {
            self.lost_connection(now, conn, number);
        }
    }

    /// Forget a connection that goes on elsewhere; gives what is to be read there.
    fn take_unread(&mut self, now: Time, conn: ConnId) -> Bytes {
        let c = self.conns.get(&conn);
        let unread = c.map(|c| Bytes::copy_from_slice(c.reader.unread()));
        self.forget(now, conn);
        unread.unwrap_or_default()
    }

    /// Hand the connection over, from the current request on (WMHTTP-108).
    pub(super) fn move_to(&mut self, now: Time, conn: ConnId, core: CoreId) {
        let unread = self.take_unread(now, conn);
        self.out.push_back(Output::Move { conn, core, unread });
    }

    /// What came is not HTTP that we take: say so, and close.
    pub(super) fn refuse_stream(&mut self, now: Time, conn: ConnId, refused: Refused) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let version = c.reader.head().map_or(Version::Http10, |h| h.version);
        let fault = Fault {
            offset: refused.offset,
            reason: format!("{} ({})", refused.reason, refused.status),
        };
        let bytes = self.compose(
            now,
            version,
            &super::answer::Saying::refusal(refused.status),
        );
        self.send(conn, bytes);
        self.close(now, conn, CloseHow::Flush, Some(fault));
    }

    pub(super) fn on_slow_request(&mut self, now: Time, conn: ConnId) {
        if let Some(c) = self.conns.get(&conn) {
            let refused = Refused {
                status: 408,
                reason: "request takes too long",
                offset: c.reader.offset(),
            };
            self.refuse_stream(now, conn, refused);
        }
    }

    /// A connection has been quiet. While it has a session, that one's timer decides.
    pub(super) fn on_quiet(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if c.session.is_none() || matches!(c.phase, Phase::Discarding { .. }) {
            self.close(now, conn, CloseHow::Flush, None);
        } else {
            self.expect_request(now, conn);
        }
    }

    /// Bytes of a body that nobody wants.
    pub(super) fn discard(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Phase::Discarding { len, left } = &mut c.phase else {
            return;
        };
        let used = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
        *left -= used as u64;
        if *left == 0 {
            let len = *len;
            c.phase = Phase::Heads;
            c.reader.resume(len, bytes.get(used..).unwrap_or(&[]));
        }
    }

    /// One access-log line.
    pub(super) fn report(&mut self, conn: ConnId, head: &Head, status: u16, reason: String) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        self.out.push_back(Output::Report(Box::new(Report::Refused {
            peer: c.peer,
            target: head.target(),
            user_agent: head.get("User-Agent").unwrap_or("").to_owned(),
            status,
            reason,
        })));
    }
}

/// Length of a request's body; `None`: it does not say, or in chunks (WMHTTP-25, WMHTTP-36).
pub(super) fn body_len(head: &Head) -> Option<u64> {
    match head.body {
        BodyLength::Bytes(len) if head.get("Content-Length").is_some() => Some(len),
        _ => None,
    }
}
