//! OpenFile: from a name to a file that is open (MS-MMSP 3.2.5.6, 3.2.5.7).

use super::conn::{Conn, Job};
use super::redirect;
use super::session::{FILE_ID, Open, State, bit_rate};
use super::{Server, Timer};
use crate::auth::Credentials;
use crate::content::{Answer, Content, OpenRequest, Protocol, Question, Refusal, Selection};
use crate::machine::{CloseHow, ConnId, Output, Report, Ticket, Time};
use crate::mmsp::hresult;
use crate::mmsp::message::{ReportOpenFile, ToClient};
use crate::mmsp::names::Funnel;
use crate::mmsp::wire::{Asks, DATA_PAYLOAD_MAX_TCP, DATA_PAYLOAD_MAX_UDP};
use std::time::Duration;

/// How long a refused client has to read why.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 2048;

/// fileAttributes.
mod attribute {
    pub const CAN_STRIDE: u32 = 0x0080_0000;
    pub const CAN_SEEK: u32 = 0x0100_0000;
    pub const BROADCAST: u32 = 0x0200_0000;
    pub const LIVE: u32 = 0x0400_0000;
    pub const PLAYLIST: u32 = 0x4000_0000;
}

/// An OpenFile on its way to its report.
#[derive(Debug)]
pub(super) struct Attempt {
    pub play_incarnation: u32,
    /// Path and query, for reports.
    pub target: String,
    path: String,
    /// Tried if `path` names nothing: some clients encode names (MMSP-43).
    other_path: Option<String>,
    query: String,
    credentials: Option<Credentials>,
}

impl Attempt {
    fn new(play_incarnation: u32, file_name: &str, root: bool) -> Result<Attempt, &'static str> {
        let (name, query) = file_name.split_once('?').unwrap_or((file_name, ""));
        let name = name.trim_start_matches('/');
        if (name.is_empty() && !root) || file_name.len() > NAME_BYTES_MAX {
            return Err("name of no length or too long");
        }
        if file_name.chars().any(char::is_control) {
            return Err("control characters in a name");
        }
        let path = format!("/{}", redirect::encoded(name, false));
        let decoded = format!("/{}", redirect::encoded(name, true));
        let mut target = path.clone();
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        Ok(Attempt {
            play_incarnation,
            target,
            other_path: (decoded != path).then_some(decoded),
            path,
            query: query.to_owned(),
            credentials: None,
        })
    }
}

impl Attempt {
    /// It is made again with others.
    pub(super) fn forget_credentials(&mut self) {
        self.credentials = None;
    }
}

impl Conn {
    fn protocol(&self) -> Protocol {
        match self.funnel {
            Funnel::Tcp => Protocol::Mmst,
            Funnel::Udp(_) => Protocol::Mmsu,
        }
    }

    fn payload_max(&self) -> usize {
        match self.funnel {
            Funnel::Tcp => DATA_PAYLOAD_MAX_TCP,
            Funnel::Udp(_) => DATA_PAYLOAD_MAX_UDP,
        }
    }

    /// True if the packets of a content fit into Data packets, and there is a size to speak of.
    pub(super) fn can_carry(&self, content: &Content) -> bool {
        (1..=self.payload_max()).contains(&(content.packet_size as usize))
    }
}

impl Server {
    pub(super) fn open_file(
        &mut self,
        now: Time,
        conn: ConnId,
        play_incarnation: u32,
        file_name: &str,
        token: &[u8],
    ) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match Attempt::new(play_incarnation, file_name, self.config.root) {
            Ok(mut attempt) => {
                attempt.credentials = Server::credentials(c, token, true);
                self.try_open(conn, Box::new(attempt));
            }
            Err(why) => {
                let attempt = Attempt {
                    play_incarnation,
                    target: String::new(),
                    path: String::new(),
                    other_path: None,
                    query: String::new(),
                    credentials: None,
                };
                let hr = hresult::NS_E_INVALID_NAME;
                self.refuse_open(now, conn, &attempt, hr, 400, why);
            }
        }
    }

    pub(super) fn security_response(
        &mut self,
        _now: Time,
        conn: ConnId,
        play_incarnation: u32,
        token: &[u8],
    ) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(mut attempt) = c.access.pending.take() else {
            return;
        };
        attempt.play_incarnation = play_incarnation;
        attempt.credentials = Server::credentials(c, token, false);
        self.try_open(conn, attempt);
    }

    fn try_open(&mut self, conn: ConnId, attempt: Box<Attempt>) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let question = Question::Open(OpenRequest {
            path: attempt.path.clone(),
            query: attempt.query.clone(),
            authority: c.client.host.to_string(),
            peer: c.peer,
            user_agent: c.client.product.to_string(),
            protocol: c.protocol(),
            play: true,
            credentials: attempt.credentials.clone(),
        });
        let ticket = self.ask(conn, question);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.job = Some(Job::Open(ticket, attempt));
        }
    }

    /// An answer for the connection. Gives back one that nobody waits for.
    pub(super) fn on_job_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<Answer> {
        let Some(c) = self.conns.get_mut(&conn) else {
            return Some(answer);
        };
        match c.job.take() {
            Some(Job::Open(t, attempt)) if t == ticket => {
                return self.on_open_answer(now, conn, attempt, answer);
            }
            Some(Job::Recheck(t, begin)) if t == ticket => match answer {
                Answer::Allowed => self.cue(now, conn, begin),
                _ => self.refuse_start(now, conn, &begin, hresult::E_ACCESSDENIED),
            },
            Some(Job::Cue(t, begin)) if t == ticket => match answer {
                Answer::Cued(cue) => self.begin(now, conn, &begin, &cue),
                Answer::Refused(refusal) => {
                    self.refuse_start(now, conn, &begin, start_result(refusal));
                }
                other => {
                    self.refuse_start(now, conn, &begin, hresult::NS_E_INTERNAL);
                    return Some(other);
                }
            },
            Some(Job::EntryCue(t)) if t == ticket => match answer {
                Answer::Cued(cue) => self.begin_entry(now, conn, &cue),
                _ => self.end_of_stream(now, conn, hresult::E_FAIL),
            },
            Some(Job::Next(t)) if t == ticket => match answer {
                Answer::Opened(content) => self.change_to(now, conn, content),
                _ => self.end_of_stream(now, conn, hresult::S_OK),
            },
            other => {
                c.job = other;
                return Some(answer);
            }
        }
        None
    }

    fn on_open_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        mut attempt: Box<Attempt>,
        answer: Answer,
    ) -> Option<Answer> {
        match answer {
            Answer::Opened(content) => self.opened(now, conn, *attempt, content),
            Answer::Challenge(challenge) => self.challenge(now, conn, attempt, &challenge),
            Answer::Moved { url } => self.redirect(now, conn, &attempt, &url),
            // An announcement has its place on the HTTP port.
            Answer::Document { .. } => {
                let hr = hresult::NS_E_FILE_NOT_FOUND;
                self.refuse_open(now, conn, &attempt, hr, 404, "a document over MMS");
            }
            Answer::Refused(Refusal::NotFound) if attempt.other_path.is_some() => {
                attempt.path = attempt.other_path.take().unwrap_or_default();
                self.try_open(conn, attempt);
            }
            Answer::Refused(refusal) => {
                let (hr, status, why) = open_result(refusal);
                self.refuse_open(now, conn, &attempt, hr, status, why);
            }
            other => {
                let hr = hresult::NS_E_INTERNAL;
                self.refuse_open(now, conn, &attempt, hr, 500, "answer of another kind");
                return Some(other);
            }
        }
        None
    }

    fn opened(&mut self, now: Time, conn: ConnId, attempt: Attempt, content: Box<Content>) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if !c.can_carry(&content) {
            self.out.push_back(Output::Release {
                content: content.id,
            });
            let hr = hresult::NS_E_PROTOCOL_MISMATCH;
            let why = "packets that do not fit MMS over this transport";
            return self.refuse_open(now, conn, &attempt, hr, 500, why);
        }
        c.access.believe(attempt.credentials);
        let report = describe(&content, attempt.play_incarnation, c.client.is_9());
        let selection = match c.client.is_old_server {
            true => Selection::ALL.within(&content.streams),
            // MMSP-67
            false => Selection::NONE,
        };
        let open = Open::new(attempt.target.into(), content, selection);
        c.open = Some(Box::new(open));
        c.state = State::Opened;
        self.say(now, conn, &ToClient::ReportOpenFile(report));
    }

    /// MMSP-45
    fn redirect(&mut self, now: Time, conn: ConnId, attempt: &Attempt, url: &str) {
        let Some(location) = redirect::location(url) else {
            let hr = hresult::NS_E_FILE_NOT_FOUND;
            let why = format!("moved where clients of MMS cannot follow: {url:?}");
            return self.refuse_open(now, conn, attempt, hr, 404, &why);
        };
        self.say(now, conn, &ToClient::ReportRedirect { kind: 1, location });
        self.close(conn, CloseHow::Flush, None);
    }

    /// MMSP-37, MMSP-38: nothing is served after it, whatever the client thinks.
    pub(super) fn refuse_open(
        &mut self,
        now: Time,
        conn: ConnId,
        attempt: &Attempt,
        hr: u32,
        status: u16,
        why: &str,
    ) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let code = hresult::name(hr).unwrap_or("failure");
        self.out.push_back(Output::Report(Box::new(Report::Refused {
            peer: c.peer,
            target: attempt.target.clone(),
            user_agent: c.client.product.to_string(),
            status,
            reason: format!("{why} ({code})"),
        })));
        self.refuse(now, conn, Asks::OpenFile, hr, attempt.play_incarnation);
        self.timers.disarm(Timer::Idle(conn));
        self.linger(now, conn);
    }
}

/// MMSP-39, MMSP-40, MMSP-41, MMSP-42
fn describe(content: &Content, play_incarnation: u32, is_9: bool) -> ReportOpenFile {
    let mut attributes = 0;
    let mut set = |bit, on| attributes |= if on { bit } else { 0 };
    // Inside a playlist nobody can seek (mmsp.md 1).
    let still = !content.broadcast && !content.playlist;
    set(attribute::CAN_SEEK, content.seekable && still);
    set(attribute::CAN_STRIDE, content.stridable && still);
    set(attribute::BROADCAST, content.broadcast);
    // With these libmms and VLC would take live content for a file.
    set(attribute::LIVE, content.broadcast && is_9);
    set(attribute::PLAYLIST, content.playlist && is_9);
    let millis = content.duration.filter(|_| !content.broadcast).unwrap_or(0);
    ReportOpenFile {
        hr: hresult::S_OK,
        play_incarnation,
        open_file_id: FILE_ID,
        attributes,
        duration: millis as f64 / 1000.0,
        blocks: u32::try_from(millis.div_ceil(1000)).unwrap_or(u32::MAX),
        packet_size: content.packet_size,
        packet_count: match content.broadcast {
            true => 0,
            false => content.packet_count,
        },
        bit_rate: bit_rate(&content.streams),
        header_size: u32::try_from(content.header.len()).unwrap_or(u32::MAX),
    }
}

fn open_result(refusal: Refusal) -> (u32, u16, &'static str) {
    match refusal {
        Refusal::NotFound => (hresult::NS_E_FILE_NOT_FOUND, 404, "no such content"),
        Refusal::Forbidden => (hresult::E_ACCESSDENIED, 403, "access denied"),
        Refusal::Busy | Refusal::Taken => (hresult::NS_E_NETWORK_BUSY, 503, "a limit is reached"),
        Refusal::Unavailable => (hresult::NS_E_NO_STREAM, 503, "no source now"),
        Refusal::Unsupported => (hresult::NS_E_INVALID_REQUEST, 500, "not over MMS"),
        Refusal::Corrupt => (
            hresult::NS_E_MEDIA_PARSER_INVALID_FORMAT,
            500,
            "content is damaged",
        ),
        Refusal::Internal => (hresult::NS_E_INTERNAL, 500, "internal"),
    }
}

fn start_result(refusal: Refusal) -> u32 {
    match refusal {
        // Past the end.
        Refusal::NotFound => hresult::E_INVALIDARG,
        Refusal::Busy => hresult::NS_E_FILE_BANDWIDTH_LIMIT,
        other => open_result(other).0,
    }
}
