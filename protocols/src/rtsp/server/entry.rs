//! The end of an entry, and what follows it (MS-RTSP 3.2.4.1, 3.2.4.2; rtsp-wme.md 7).

use super::conn::{Job, Line};
use super::play::rtp_info;
use super::session::{Change, Leg, Session, State, id_text};
use super::{Asker, RTCP, Server, Timer, media};
use crate::content::{Answer, Content, Cue, CueRequest, Level, Question, Selection, Start};
use crate::entry::predict;
use crate::machine::{ConnId, Output, Ticket, Time};
use crate::media::{FlowEnd, FlowEvent, FlowId};
use crate::rtsp::body::{ContentType, EndOfStream, EndReason};
use crate::rtsp::cache_control::CacheControl;
use crate::rtsp::fields::NOTICE_END_OF_STREAM;
use crate::rtsp::head::{self, Method};
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::rtsp::sdp;
use crate::wmsp::features::Supported;
use bytes::Bytes;
use std::time::Duration;

/// Longest delay of an announcement that a client may ask for (RTSP-84).
const LAG_MAX_MS: u32 = 15_000;

/// From the last datagram to the goodbyes, and to EndOfStream.
const GOODBYE_LAG: Duration = Duration::from_millis(200);

impl Server {
    pub(super) fn on_flow(&mut self, now: Time, flow: FlowId, event: FlowEvent) {
        let Some(id) = self.flows.get(&flow).copied() else {
            return;
        };
        let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) else {
            return;
        };
        let waiting = self.conns.get_mut(&conn).and_then(|c| match c.job.take() {
            Some(Job::Holding(of, ex)) if of == flow => Some(ex),
            other => {
                c.job = other;
                None
            }
        });
        match (event, waiting) {
            (FlowEvent::Held(totals), Some(ex)) => {
                self.leave_flow(now, id, totals, false);
                self.stopped_for(now, conn, ex);
            }
            (FlowEvent::Ended(_, totals), Some(ex)) => {
                self.leave_flow(now, id, totals, true);
                self.stopped_for(now, conn, ex);
            }
            (FlowEvent::Held(_), None) => {
                if let Some(c) = self.conns.get_mut(&conn)
                    && c.line == Line::Holding(flow)
                {
                    c.line = Line::Held(flow);
                }
            }
            (FlowEvent::Ended(end, totals), None) => {
                let running = self
                    .sessions
                    .get(&id)
                    .and_then(|s| s.flow.clone())
                    .filter(|f| f.id == flow);
                if let Some(running) = running {
                    self.leave_flow(now, id, totals, true);
                    self.ended(now, id, end, running.rate_milli, running.limited);
                }
            }
        }
        self.pump(now, conn);
    }

    /// The media of an entry has ended.
    fn ended(&mut self, now: Time, id: u64, end: FlowEnd, rate_milli: i32, limited: bool) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.state = State::Ready;
        if s.is_plain() {
            self.end_plain(now, id);
            return;
        }
        let content = s.content.id;
        match end {
            // RTSP-111
            FlowEnd::Finished if rate_milli < 0 => {
                self.finish(now, id, Some(EndReason::RecedingEos));
            }
            FlowEnd::Finished if !limited && s.follows => {
                let ticket = self.ask(Asker::Session(id), Question::NextEntry(content));
                self.set_change(id, Change::Asked(ticket));
                // Nothing is asked of the client until the answer is there.
                self.arm_idle(now, id);
            }
            FlowEnd::Finished | FlowEnd::SourceLost | FlowEnd::Lagged => self.finish(now, id, None),
        }
    }

    fn set_change(&mut self, id: u64, change: Change) {
        if let Some(s) = self.sessions.get_mut(&id) {
            s.change = change;
        }
    }

    /// Media is over (RTSP-112). After datagrams it is told a little later: players (GStreamer) stop at
    /// EndOfStream and leave what else has come unread.
    fn finish(&mut self, now: Time, id: u64, reason: Option<EndReason>) {
        let draining = self.draining;
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        if s.is_on_connection() || draining {
            return self.tell_end(now, id, reason);
        }
        s.ending = Some(reason);
        self.timers.arm(Timer::Goodbye(id), now + GOODBYE_LAG);
        self.arm_idle(now, id);
    }

    /// The last datagrams should have arrived.
    pub(super) fn on_goodbye(&mut self, now: Time, id: u64) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        // Nothing is said of a session that plays again.
        match s.ending.take().filter(|_| s.flow.is_none()) {
            Some(reason) => self.tell_end(now, id, reason),
            None => self.say_goodbye(id),
        }
    }

    fn tell_end(&mut self, now: Time, id: u64, reason: Option<EndReason>) {
        self.send_end(id, reason);
        self.arm_idle(now, id);
        if let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) {
            self.settle(now, conn);
        }
    }

    /// The flow of single codecs has ended: each source says so. On datagrams it says so a little
    /// later, because players (FFmpeg) look at RTCP first and leave what else has come unread.
    fn end_plain(&mut self, now: Time, id: u64) {
        match self.sessions.get(&id).map(|s| s.is_on_connection()) {
            Some(true) => self.say_goodbye(id),
            Some(false) => self.timers.arm(Timer::Goodbye(id), now + GOODBYE_LAG),
            None => {}
        }
        self.arm_idle(now, id);
    }

    /// Nothing is said of a session that plays again.
    pub(super) fn say_goodbye(&mut self, id: u64) {
        let Some(s) = self.sessions.get(&id).filter(|s| s.flow.is_none()) else {
            return;
        };
        let (Some(plain), Some(conn)) = (&s.plain, s.conn) else {
            return;
        };
        let on_connection = s.is_on_connection();
        let peer = s.peer;
        for (to, bytes) in plain.goodbyes(s) {
            if on_connection {
                self.post(conn, bytes);
            } else {
                self.out.push_back(Output::SendTo {
                    conn,
                    channel: RTCP,
                    peer: std::net::SocketAddr::new(peer, to),
                    bytes: Bytes::from(bytes),
                });
            }
        }
    }

    /// EndOfStream (RTSP-110).
    pub(super) fn send_end(&mut self, id: u64, reason: Option<EndReason>) {
        let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) else {
            return;
        };
        let cseq = self.next_cseq(conn, true);
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.pause_ok = reason == Some(EndReason::EndOfPlaylistEntry);
        let body = EndOfStream {
            session: id_text(id),
            reason,
        }
        .to_string();
        let entries = rtp_info(s, None);
        let mut out = head::request(&Method::SetParameter, &s.base);
        out.header("Content-Type", ContentType::ExtensionCommand.name())
            .header("X-Notice", NOTICE_END_OF_STREAM);
        if !entries.is_empty() {
            out.header("RTP-Info", rtp_info::write(&entries));
        }
        if s.gen_id != 0 {
            out.header("X-Playlist-Gen-Id", s.gen_id);
        }
        out.header("Content-Length", body.len())
            .header("CSeq", cseq)
            .header("User-Agent", &self.config.server);
        let mut bytes = out.finish();
        bytes.extend_from_slice(body.as_bytes());
        self.post(conn, bytes);
    }

    /// An answer about what follows. Gives back one that nobody waits for.
    pub(super) fn on_entry_answer(
        &mut self,
        now: Time,
        id: u64,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<Answer> {
        let Some(s) = self.sessions.get_mut(&id) else {
            return Some(answer);
        };
        match std::mem::replace(&mut s.change, Change::None) {
            Change::Asked(asked) if asked == ticket => match answer {
                Answer::Opened(next) => {
                    self.send_end(id, Some(EndReason::EndOfPlaylistEntry));
                    self.header_came(now, id, next);
                }
                _ => self.finish(now, id, None),
            },
            Change::Cueing(asked, next, selection) if asked == ticket => {
                let cue = match answer {
                    Answer::Cued(cue) => Some(cue),
                    _ => None,
                };
                self.announce(now, id, Some(next), cue.map(|cue| (selection, cue)));
            }
            other => {
                s.change = other;
                return Some(answer);
            }
        }
        if let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) {
            self.pump(now, conn);
        }
        None
    }

    /// There is a next entry (RTSP-114).
    pub(super) fn header_came(&mut self, now: Time, id: u64, next: Box<Content>) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return self.release(next.id);
        };
        if s.announced {
            s.change = Change::Pending(next);
        } else {
            let lag = Duration::from_millis(u64::from(s.lag_ms.min(LAG_MAX_MS)));
            s.change = Change::Later(next);
            if lag.is_zero() {
                self.announce_due(now, id);
            } else {
                self.timers.arm(Timer::Lag(id), now + lag);
            }
        }
        self.arm_idle(now, id);
    }

    /// The client played what was announced before: what waited for that is announced.
    pub(super) fn announce_pending(&mut self, now: Time, id: u64) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut s.change, Change::None) {
            Change::Pending(next) => {
                s.change = Change::Later(next);
                self.announce_due(now, id);
            }
            other => s.change = other,
        }
    }

    pub(super) fn announce_due(&mut self, now: Time, id: u64) {
        let predictive = self.config.predictive;
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let next = match std::mem::replace(&mut s.change, Change::None) {
            Change::Later(next) => next,
            other => {
                s.change = other;
                return;
            }
        };
        // RTSP-115
        let known = s.supported.unwrap_or_default();
        let may = predictive && known.has(Supported::PREDICTIVE) && s.conn.is_some();
        if !may || super::setup::is_too_large(&next) {
            self.announce(now, id, Some(next), None);
        } else {
            let selection = predict(
                &s.content.streams,
                s.selection(),
                &next.streams,
                s.bandwidth,
            );
            let cue = CueRequest {
                content: next.id,
                start: Start::Beginning,
                selection,
                accel: None,
                speed_milli: s.speed_milli.filter(|_| !next.broadcast),
                profile: false,
                rate_milli: 1000,
            };
            let ticket = self.ask(Asker::Session(id), Question::Cue(cue));
            self.set_change(id, Change::Cueing(ticket, next, selection));
        }
        if let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) {
            self.settle(now, conn);
        }
    }

    /// Announce once more the entry that the session holds.
    pub(super) fn announce_held(&mut self, now: Time, id: u64) {
        self.announce(now, id, None, None);
    }

    /// ANNOUNCE: the session is at the next entry, and media begins if it can.
    fn announce(
        &mut self,
        now: Time,
        id: u64,
        next: Option<Box<Content>>,
        begins: Option<(Selection, Box<Cue>)>,
    ) {
        let Some(s) = self.sessions.get_mut(&id) else {
            if let Some(next) = next {
                self.release(next.id);
            }
            return;
        };
        s.state = State::Ready;
        let anew = next.is_none();
        s.previous_id = s.gen_id;
        let number = next.as_ref().map_or(0, |n| n.entry);
        s.gen_id = number.max(s.gen_id.saturating_add(1));
        s.announced = true;
        s.resume_at = None;
        let old = next.map(|next| std::mem::replace(&mut s.content, next).id);
        match &begins {
            Some((selection, _)) => s.legs = predicted(s, *selection),
            // What is announced again is set up as it was.
            None if anew => {}
            // RTSP-115: what the client does not choose does not flow.
            None => {
                s.legs.clear();
                s.fec = None;
            }
        }
        if let Some(old) = old {
            self.release(old);
        }
        let Some(conn) = self.sessions.get(&id).and_then(|s| s.conn) else {
            return;
        };
        self.send_announce(id, conn, begins.as_ref().map(|(_, cue)| &**cue));
        if let Some(c) = self.conns.get_mut(&conn) {
            c.beat.ease();
        }
        self.settle(now, conn);
        let free = self.conns.get(&conn).is_some_and(|c| c.line == Line::Free);
        let goes_there = self.sessions.get(&id).is_some_and(|s| s.is_on_connection());
        if let Some((_, cue)) = begins
            && (free || !goes_there)
        {
            self.start_flow(now, id, conn, &cue, 1000, None);
        }
        self.arm_idle(now, id);
    }

    fn send_announce(&mut self, id: u64, conn: ConnId, cue: Option<&Cue>) {
        let cseq = self.next_cseq(conn, false);
        let number = self.count();
        let (Some(s), Some(c)) = (self.sessions.get(&id), self.conns.get(&conn)) else {
            return;
        };
        let address = c.local.ip();
        let one = s.one_control;
        let body = media::wme::describe(&self.config, &s.content, &s.base, address, number, one);
        let mut out = head::request(&Method::Announce, &s.base);
        out.header("Content-Type", ContentType::Sdp.name())
            .header("Session", id_text(id))
            .header("X-Playlist-Gen-Id", s.gen_id)
            .header("X-Broadcast-Id", s.content.broadcast_id)
            .header(
                "Cache-Control",
                CacheControl::of(&s.content, self.config.remote_log),
            );
        if let Some(cue) = cue {
            let entries = self.predictions(s, cue);
            out.header("X-RTP-Info", rtp_info::write(&entries));
        }
        out.header("Supported", self.abilities_of(Some(&s.content)))
            .header("Content-Length", body.len())
            .header("CSeq", cseq)
            .header("User-Agent", &self.config.server);
        let mut bytes = out.finish();
        bytes.extend_from_slice(body.as_bytes());
        self.post(conn, bytes);
    }

    /// X-RTP-Info: where the streams go that begin by themselves (RTSP-86).
    fn predictions(&self, s: &Session, cue: &Cue) -> Vec<StreamEntry> {
        let largest = self.config.datagram_bytes_max.saturating_sub(12);
        let size = s.block_size.map_or(largest, |b| largest.min(b as usize));
        let numbers = rtp_info(s, Some(cue));
        s.legs
            .iter()
            .filter(|l| l.fec.is_none())
            .zip(numbers)
            .map(|(leg, entry)| StreamEntry {
                transport: Some(leg.spec.lower),
                unicast: true,
                server_port: leg.spec.server_port,
                client_port: leg.spec.client_port,
                interleaved: leg.spec.interleaved,
                ssrc: leg.spec.ssrc,
                play: true,
                block_size: u16::try_from(size).ok().filter(|s| *s <= 9999),
                thin: Some(leg.level),
                ..entry
            })
            .collect()
    }
}

/// The streams that begin by themselves, on the transports that the old ones had, in their order; what
/// is more goes the way of the first.
fn predicted(s: &Session, selection: Selection) -> Vec<Leg> {
    let old: Vec<&Leg> = s.legs.iter().filter(|l| l.fec.is_none()).collect();
    let Some(first) = old.first() else {
        return Vec::new();
    };
    let controls = sdp::controls(&s.content.streams, s.one_control);
    let mut legs: Vec<Leg> = Vec::new();
    for (stream, control) in s.content.streams.iter().zip(controls) {
        let level = selection.level(stream.number);
        if level == Level::Off {
            continue;
        }
        let url = format!("{}/{control}", s.base);
        let bit = 1u128 << (stream.number & 127);
        if let Some(same) = legs.iter_mut().find(|l| l.url == url) {
            same.streams |= bit;
            continue;
        }
        let model = old.get(legs.len()).unwrap_or(first);
        legs.push(Leg {
            url,
            streams: bit,
            level,
            ..(*model).clone()
        });
    }
    legs.extend(s.legs.iter().filter(|l| l.fec.is_some()).cloned());
    legs
}
