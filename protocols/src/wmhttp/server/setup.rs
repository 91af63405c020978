//! PushSetup: who is it, for which point (MS-WMHTTP 3.2.5.1).

use super::Server;
use super::answer::{No, Saying};
use super::conn::{Exchange, Phase, body_len};
use super::ids::PushIds;
use super::session::{Session, State};
use crate::access::explain;
use crate::auth::{Credentials, ntlm};
use crate::content::Answer;
use crate::http::Refused;
use crate::http::head::Head;
use crate::machine::{ConnId, CoreId, Time};
use crate::wmhttp::request::{Directives, Kind, NO_ID, is_encoder, push_ids};
use std::sync::Arc;

/// The session that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// None: the encoder wants one.
    New,
    /// This one.
    Here(u64),
    /// One of that core, perhaps.
    There(CoreId),
    /// One that does not exist, or that the encoder may not name.
    Unknown,
    /// The encoder has named too many of those.
    LockedOut,
}

/// Why a request is refused whose push-id leads nowhere.
pub(super) const UNKNOWN_ID: No = (404, "unknown push-id");
/// Why a request is refused that comes from who guesses.
pub(super) const LOCKED_OUT: No = (403, "too many unknown push-ids from this address");
const BUSY: No = (409, "the session is streaming");

impl Server {
    /// Which session a request names: the first that lives, or the last (WMHTTP-68, WMHTTP-100,
    /// WMHTTP-108).
    pub(super) fn named(&mut self, now: Time, conn: ConnId, head: &Head) -> Named {
        let Some(address) = self.conns.get(&conn).map(|c| c.peer.ip()) else {
            return Named::Unknown;
        };
        let Some(last) = push_ids(head).last() else {
            return Named::New;
        };
        if push_ids(head).all(|id| id == NO_ID) {
            return Named::New;
        }
        if self.strikes.is_out(now, address) {
            return Named::LockedOut;
        }
        let ids: Vec<u64> = push_ids(head).filter_map(PushIds::parse).collect();
        if let Some(number) = ids.iter().find_map(|id| self.number_of(*id)) {
            return Named::Here(number);
        }
        if let Some(core) = self.id_space.next_core(&ids) {
            return Named::There(core);
        }
        if last == NO_ID {
            return Named::New;
        }
        Named::Unknown
    }

    /// Refuse who names a session that is not there, or not theirs (WMHTTP-68, WMHTTP-77).
    pub(super) fn unknown(&mut self, now: Time, conn: ConnId) -> No {
        if let Some(address) = self.conns.get(&conn).map(|c| c.peer.ip()) {
            self.strikes.strike(now, address);
        }
        UNKNOWN_ID
    }

    /// A PushSetup's head is there. Its body is short and waited for.
    pub(super) fn on_setup_head(&mut self, now: Time, conn: ConnId) {
        let Some(head) = self.head(conn) else { return };
        let foreign = !is_encoder(head.get("User-Agent").unwrap_or(""));
        let len = body_len(&head).and_then(|len| usize::try_from(len).ok());
        let fits = len.filter(|len| *len <= self.config.limits.body_bytes_max);
        let Some(len) = fits else {
            if foreign {
                return self.announce(now, conn, &head, true);
            }
            let (status, reason) = match body_len(&head) {
                Some(_) => (413, "body of a PushSetup is too long"),
                None => (411, "PushSetup without Content-Length"),
            };
            self.report(conn, &head, status, reason.to_owned());
            let offset = self.conns.get(&conn).map_or(0, |c| c.reader.offset());
            let refused = Refused {
                status,
                reason,
                offset,
            };
            return self.refuse_stream(now, conn, refused);
        };
        if !foreign && let Named::There(core) = self.named(now, conn, &head) {
            return self.move_to(now, conn, core);
        }
        if len > 0 {
            self.invite(conn, &head);
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.phase = Phase::SetupBody(len);
        }
    }

    /// A PushSetup is whole.
    pub(super) fn setup(&mut self, now: Time, conn: ConnId, len: usize) {
        let Some(head) = self.head(conn) else { return };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let directives = Directives::parse(c.reader.behind_head().get(..len).unwrap_or(&[]));
        c.phase = Phase::Heads;
        if !is_encoder(head.get("User-Agent").unwrap_or("")) {
            let why = "PushSetup of what is no encoder".to_owned();
            self.report(conn, &head, 200, why);
            return self.announce(now, conn, &head, false);
        }
        let parsed = directives.map_err(|e| e.to_string());
        let said = parsed.and_then(|d| Ok((d, self.credentials(conn, &head)?)));
        let (directives, credentials) = match said {
            Ok(said) => said,
            Err(why) => {
                // WMHTTP-62
                self.report(conn, &head, 400, why);
                let say = Saying {
                    status: 400,
                    ..Saying::default()
                };
                return self.answer(now, conn, &head, say);
            }
        };
        match self.prepare_setup(now, conn, head.clone(), directives, credentials.as_ref()) {
            Ok(ex) => self.ask_to_publish(conn, ex, credentials),
            Err(no) => self.refuse(now, conn, Kind::Setup, &head, no),
        }
    }

    /// What can be said about a PushSetup without the application, and for which session it is asked.
    fn prepare_setup(
        &mut self,
        now: Time,
        conn: ConnId,
        head: Box<Head>,
        directives: Directives,
        credentials: Option<&Credentials>,
    ) -> Result<Box<Exchange>, No> {
        let peer = self.conns.get(&conn).map(|c| c.peer);
        let address = peer.ok_or(UNKNOWN_ID)?.ip();
        let user = credentials.and_then(user_of);
        let mut directives = directives;
        let before = match self.named(now, conn, &head) {
            Named::New => None,
            Named::Here(number) => Some(number),
            Named::LockedOut => return Err(LOCKED_OUT),
            Named::There(_) | Named::Unknown => return Err(self.unknown(now, conn)),
        };
        let known = before.and_then(|n| Some((n, self.sessions.get(&n)?)));
        if let Some((number, s)) = known {
            let fits = fits(s, address, user.as_deref(), self.config.roam);
            let other_path = !s.path.eq_ignore_ascii_case(&head.path);
            match s.state {
                // WMHTTP-69
                State::Receiving(_) => return Err(BUSY),
                State::Waiting | State::Orphan if fits && other_path => {
                    return Err((409, "the session is for another URL"));
                }
                State::Waiting | State::Orphan | State::Asked if fits => {}
                _ => return Err(self.unknown(now, conn)),
            }
            // A round that only begins NTLM may leave out what the one before it said (WMHTTP-102).
            if begins_ntlm(credentials) && directives == Directives::default() {
                directives = s.asked_for.clone();
            }
            if s.publishes() {
                return Ok(Box::new(Exchange {
                    kind: Kind::Setup,
                    head,
                    number,
                    before: None,
                    directives,
                    user,
                    open_only: false,
                }));
            }
        }
        let left = self.left_behind(&head.path, user.as_deref(), address);
        if left.is_none() && before.is_none() {
            self.room()?;
        }
        let number = match left.or(before) {
            Some(number) => number,
            None => self.count(),
        };
        Ok(Box::new(Exchange {
            kind: Kind::Setup,
            head,
            number,
            before: before.filter(|b| *b != number),
            directives,
            user,
            open_only: false,
        }))
    }

    /// A session may be made now.
    pub(super) fn room(&self) -> Result<(), No> {
        if self.draining {
            Err((503, "the server is being drained"))
        } else if self.sessions.len() >= self.config.session_count_max {
            Err((503, "too many sessions"))
        } else {
            Ok(())
        }
    }

    pub(super) fn setup_answered(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: Box<Exchange>,
        answer: Answer,
    ) {
        match answer {
            Answer::Publishing => self.set_up(now, conn, &ex),
            Answer::Challenge(challenge) => {
                let id = self.remember_asked(now, conn, &ex);
                self.challenge(now, conn, &ex, id, &challenge);
            }
            Answer::Elsewhere(core) => self.move_to(now, conn, core),
            Answer::Moved { url } => self.redirect(now, conn, &ex, url),
            Answer::Refused(why) => {
                self.refuse(now, conn, Kind::Setup, &ex.head, explain(why));
            }
            _ => {
                let no = (500, "answer of another kind");
                self.refuse(now, conn, Kind::Setup, &ex.head, no);
            }
        }
    }

    /// The encoder is the point's source (WMHTTP-71 to WMHTTP-75).
    fn set_up(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        match self.take_for_source(now, conn, ex) {
            Ok(id) => {
                let say = Saying {
                    status: 204,
                    id: Some(id),
                    ..Saying::default()
                };
                self.answer(now, conn, &ex.head, say);
            }
            Err(no) => self.refuse(now, conn, ex.kind, &ex.head, no),
        }
    }

    /// Make the session that the application agreed to, or the one that is there ready. Gives its
    /// push-id.
    pub(super) fn take_for_source(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
    ) -> Result<u64, No> {
        let number = ex.number;
        let Some(address) = self.conns.get(&conn).map(|c| c.peer.ip()) else {
            return Err(UNKNOWN_ID);
        };
        match self.sessions.get(&number) {
            None => self.make_session(now, number, &ex.head.path, address),
            // It came back while the application was asked.
            Some(s) if matches!(s.state, State::Receiving(_)) => return Err(BUSY),
            Some(_) => {}
        }
        // What was left behind gets the id that the encoder has, or one that it alone has.
        let resets = self
            .sessions
            .get(&number)
            .is_some_and(|s| s.publishes() && (ex.before.is_some() || !names(&ex.head, s.id)));
        if resets {
            let told = ex.before.and_then(|b| Some(self.sessions.get(&b)?.id));
            if let Some(before) = ex.before {
                self.drop_asked(before);
            }
            self.rename(number, told);
        }
        let Some(s) = self.sessions.get_mut(&number) else {
            return Err(UNKNOWN_ID);
        };
        if s.publishes() && !resets {
            let proved = is_same_user(s.user.as_deref(), ex.user.as_deref());
            if s.user.is_some() && ex.user.is_some() && !proved {
                return Err((403, "the session is another user's"));
            }
            // Elsewhere the id alone is not enough.
            if s.address != address && !self.config.roam && !(proved && ex.user.is_some()) {
                return Err(self.unknown(now, conn));
            }
        }
        if resets {
            s.packet_size = None;
            s.between_entries = false;
        }
        s.resumed = s.packet_size.is_some();
        s.state = State::Waiting;
        s.destroy = ex.directives.destroy;
        s.address = address;
        s.path = ex.head.path.as_str().into();
        s.asked_for = Directives::default();
        if ex.user.is_some() || resets {
            s.user.clone_from(&ex.user);
        }
        let id = s.id;
        self.bind(number, conn);
        self.await_request(now, number);
        Ok(id)
    }

    /// Keep a session for an encoder that is asked who it is, so that the push-id of the answer is known
    /// when it comes back (wmhttp.md 2.3). Gives the id, if there is room.
    fn remember_asked(&mut self, now: Time, conn: ConnId, ex: &Exchange) -> Option<u64> {
        let address = self.conns.get(&conn)?.peer.ip();
        let mut number = ex.before.unwrap_or(ex.number);
        let known = self.sessions.get(&number).filter(|s| names(&ex.head, s.id));
        if known.is_none() {
            let asked = self.sessions.values().filter(|s| !s.publishes()).count();
            if self.room().is_err() || asked >= self.config.asked_count_max {
                return None;
            }
            number = self.count();
            self.make_session(now, number, &ex.head.path, address);
        }
        let s = self.sessions.get_mut(&number)?;
        if !s.publishes() {
            s.path = ex.head.path.as_str().into();
            s.asked_for = ex.directives.clone();
        }
        let id = s.id;
        self.bind(number, conn);
        // WMHTTP-67
        self.await_request(now, number);
        Some(id)
    }

    /// Forget a session that never published.
    fn drop_asked(&mut self, number: u64) {
        if self.sessions.get(&number).is_some_and(|s| !s.publishes()) {
            self.end_session(number, super::session::End::Evicted);
        }
    }

    /// Give a session another push-id.
    fn rename(&mut self, number: u64, id: Option<u64>) {
        let ids = &self.ids;
        let id = id.unwrap_or_else(|| {
            self.id_space
                .draw(&mut self.rng, |id| ids.contains_key(&id))
        });
        if let Some(s) = self.sessions.get_mut(&number) {
            self.ids.remove(&s.id);
            s.id = id;
            self.ids.insert(id, number);
        }
    }
}

/// True if the request has this push-id.
fn names(head: &Head, id: u64) -> bool {
    push_ids(head).any(|text| PushIds::parse(text) == Some(id))
}

/// True if the session may be named by who asks: its push-id holds for its address, elsewhere its user
/// must prove who it is.
pub(super) fn fits(s: &Session, address: std::net::IpAddr, user: Option<&str>, roam: bool) -> bool {
    let may_prove = s.publishes() && s.user.is_some();
    let another = s.user.is_some() && user.is_some() && !is_same_user(s.user.as_deref(), user);
    (roam || s.address == address || may_prove) && !another
}

/// True for the same name, and for nobody twice. NTLM does not tell case apart.
pub(super) fn is_same_user(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The user's name, as it is claimed.
pub(super) fn user_of(credentials: &Credentials) -> Option<Arc<str>> {
    match credentials {
        Credentials::Basic { user, .. } => Some(user.as_str().into()),
        Credentials::Digest { authorization, .. } => Some(authorization.username.as_str().into()),
        Credentials::Connection(identity) => Some(Arc::clone(&identity.user)),
        Credentials::Ntlm { token, .. } => match ntlm::Message::parse(token) {
            Ok(ntlm::Message::Authenticate(a)) => Some(a.user.as_str().into()),
            _ => None,
        },
    }
}

/// True for the first message of NTLM.
fn begins_ntlm(credentials: Option<&Credentials>) -> bool {
    let Some(Credentials::Ntlm { token, .. }) = credentials else {
        return false;
    };
    matches!(ntlm::Message::parse(token), Ok(ntlm::Message::Negotiate(_)))
}
