//! Play: from the tokens of the request to a running flow (MS-WMSP 3.2.5.6).

use super::answer::{Answering, ReplyBody};
use super::conn::{OpenBody, Stage};
use super::describe::{is_too_large, media_head};
use super::exchange::{Exchange, Kind};
use super::session::{Change, Held, Play, State, first_flags};
use super::timers::Timer;
use super::{Owner, Server};
use crate::content::{
    Accel, Content, ContentId, Cue, CueRequest, Protocol, Question, Selection, Start,
};
use crate::http::head::Version;
use crate::http::reply;
use crate::machine::{CloseHow, ConnId, Output, Time};
use crate::media::{FlowCommand, FlowId, FlowStart, Pace};
use crate::wmsp::features::{self, Supported};
use crate::wmsp::framer::DataFramer;
use crate::wmsp::packet::{self, PacketId, reason};
use crate::wmsp::pragma::{ReplyPragma, RequestPragma, UNUSED};
use crate::wmsp::startup;
use crate::wmsp::switch;
use crate::wmsp::version::Client;

/// Content type of media (WMSP-67).
pub(super) const MEDIA_TYPE: &str = "application/x-mms-framed";
/// Fastest play rate either way, thousandths.
const RATE_MAX_MILLI: u32 = 5000;

impl Server {
    pub(super) fn play(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let session = ex.session.and_then(|id| self.sessions.get_mut(&id));
        match session {
            // WMSP-56: somebody who guessed the client-id must not take the session over.
            Some(s) if s.state == State::Streaming => {
                return self.refuse(now, conn, &ex, 400, "Play of a session that plays");
            }
            Some(s) => {
                // A Play in WAITING leaves the entry that waits.
                let left = std::mem::replace(&mut s.state, State::Idle) == State::Waiting;
                if left && s.conn == Some(conn) {
                    s.play = None;
                    let bytes = self.end_body(conn);
                    self.send(conn, bytes);
                }
                let Some(s) = ex.session.and_then(|id| self.sessions.get_mut(&id)) else {
                    return;
                };
                let target = ex.target();
                match s.held.take() {
                    Some(Held::Whole { target: t, content }) if *t == *target => {
                        ex.content = Some(content);
                    }
                    Some(other) => self.out.push_back(Output::Release {
                        content: other.id(),
                    }),
                    None => {}
                }
            }
            None => {
                if let Some((status, why)) = self.no_room() {
                    return self.refuse(now, conn, &ex, status, why);
                }
            }
        }
        match &ex.content {
            Some(content) if content.guarded => self.recheck(now, conn, ex),
            Some(_) => self.opened_to_play(now, conn, ex),
            None => self.open(now, conn, ex, Protocol::Wmsp, true),
        }
    }

    pub(super) fn opened_to_play(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some(content) = &ex.content else { return };
        if is_too_large(&ex) {
            return self.give_up(now, conn, ex, 500, "packets too large for WMSP");
        }
        // pl-offset: 1 goes to the next entry at once. Going back is not offered.
        match ex.pragma.pl_offset {
            Some(1) if content.playlist => {
                let question = Question::NextEntry(content.id);
                self.ask_for(conn, ex, Stage::Skip, question);
            }
            None | Some(0) => self.cue(now, conn, ex),
            Some(_) => self.give_up(now, conn, ex, 400, "pl-offset that is not offered"),
        }
    }

    /// Ask where to start, for Play, PlayNextEntry and a selection in WAITING.
    pub(super) fn cue(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(client) = ex.client else { return };
        let held = ex.session.and_then(|id| self.sessions.get(&id));
        let held = held.and_then(|s| s.held.as_ref()).and_then(Held::content);
        let Some(content) = ex.content.as_deref().or(held) else {
            return self.give_up(now, conn, ex, 400, "no entry to play");
        };
        let rate_milli = ex.pragma.rate_milli.unwrap_or(1000);
        let rate_is_odd = rate_milli != 1000;
        if rate_is_odd
            && (!content.stridable || rate_milli == 0 || rate_milli.unsigned_abs() > RATE_MAX_MILLI)
        {
            return self.give_up(now, conn, ex, 400, "rate that is not offered");
        }
        let selection = if ex.pragma.has_switch {
            switch::selection(&ex.pragma.switches, &content.streams)
        } else if client.defaults_to_all() {
            Selection::ALL.within(&content.streams)
        } else {
            // WMSP-58
            Selection::NONE
        };
        let accel = match rate_is_odd {
            true => None,
            false => asked_accel(&ex.pragma, client),
        };
        let has_speed = features::supported(content, false).has(Supported::FAST_CACHE);
        let request = CueRequest {
            content: content.id,
            start: start(&ex.pragma, content),
            selection,
            accel,
            // BW-33
            speed_milli: ex.pragma.speed_milli.filter(|s| has_speed && *s >= 1000),
            profile: accel.is_some() && self.wants_profile(&ex),
            rate_milli,
        };
        ex.selection = selection;
        ex.rate_milli = rate_milli;
        self.ask_for(conn, ex, Stage::Cue, Question::Cue(request));
    }

    /// WMSP-65, WMSP-78, BW-37, BW-39: only to clients that list it, and with PlayNextEntry only at
    /// the start of an entry.
    fn wants_profile(&self, ex: &Exchange) -> bool {
        let session = ex.session.and_then(|id| self.sessions.get(&id));
        let supported = ex
            .supported
            .or(session.map(|s| s.supported))
            .unwrap_or_default();
        let state = session.map(|s| s.state);
        supported.has(Supported::STARTUP_PROFILE)
            && (ex.kind != Kind::PlayNextEntry || state == Some(State::Waiting))
    }

    pub(super) fn play_now(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>, cue: &Cue) {
        let Some(client) = ex.client else { return };
        let alive = ex.session.and_then(|id| self.sessions.get(&id));
        // Another Play of the session may have overtaken this one.
        if alive.is_some_and(|s| s.state == State::Streaming) {
            return self.give_up(now, conn, ex, 400, "Play of a session that plays");
        }
        let id = match ex.session.filter(|_| alive.is_some()) {
            Some(id) => id,
            None => self.new_session(client, ex.supported.unwrap_or_default()),
        };
        let (Some(content), skipped) = (ex.content.take(), ex.skipped.take()) else {
            return;
        };
        let chunked = takes_chunks(&ex);
        let close = ex.wants_close() || (!chunked && ex.version() == Version::Http10);
        let mut bytes = self.take_over(now, conn, id);
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        // WMSP-13
        s.incarnation = s.incarnation.wrapping_add(u8::from(s.played));
        s.played = true;
        s.pipelined = chunked;
        s.test_started = false;
        let incarnation = s.incarnation;
        bytes.extend(self.compose(
            &ex,
            200,
            &Answering {
                session: Some(id),
                pragma: ReplyPragma {
                    features: Some(features::features(&content, client)),
                    reset: ex.unknown_session,
                    expect_new_header: skipped.is_some(),
                    playlist_gen_id: client.is_9().then_some(content.entry),
                    ..granted(&ex.pragma, client, cue)
                },
                about: Some(&content),
                content_type: Some(MEDIA_TYPE),
                body: open_body(chunked),
                profile: cue.profile.as_ref().map(startup::value),
                close,
                ..Answering::default()
            },
        ));
        self.put_beginning(
            &ex,
            &content,
            skipped.as_deref(),
            incarnation,
            chunked,
            &mut bytes,
        );
        self.send(conn, bytes);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.body = if chunked {
                OpenBody::Chunked
            } else {
                OpenBody::Raw
            };
            c.close_after = close;
        }
        if let Some(old) = skipped {
            self.out.push_back(Output::Release { content: old.id });
        }
        let content_id = content.id;
        self.keep(id, Held::playing(ex.target(), content));
        self.flow_for(now, id, conn, content_id, &ex, cue);
    }

    /// What stands before the first `$D`.
    fn put_beginning(
        &self,
        ex: &Exchange,
        content: &Content,
        skipped: Option<&Content>,
        incarnation: u8,
        chunked: bool,
        out: &mut Vec<u8>,
    ) {
        let Some(client) = ex.client else { return };
        let whole = media_head(content, client, incarnation, chunked);
        // WMSP-70: the entry that the client was in, then the one that it goes to.
        if let Some(old) = skipped {
            out.extend(media_head(old, client, incarnation, chunked));
            let change = packet::with_reason(PacketId::StreamChange, reason::OK);
            Server::put_media(chunked, &change, out);
        }
        out.extend_from_slice(&whole);
        // WMSP-68: an old client takes up a new session only through the end of an entry.
        let context = client.reset_context();
        if ex.unknown_session && context.is_some() && context == ex.pragma.request_context {
            let end = packet::with_reason(PacketId::End, reason::MORE);
            let change = packet::with_reason(PacketId::StreamChange, reason::OK);
            Server::put_media(chunked, &end, out);
            Server::put_media(chunked, &change, out);
            out.extend_from_slice(&whole);
        }
    }

    /// Make `conn` the data connection of a session that is about to play. What was open on the old
    /// one ends; what was open on this one ends with the bytes that are given back.
    pub(super) fn take_over(&mut self, now: Time, conn: ConnId, id: u32) -> Vec<u8> {
        let old = self.sessions.get(&id).and_then(|s| s.conn);
        if let Some(old) = old.filter(|o| *o != conn)
            && let Some(c) = self.conns.get_mut(&old)
        {
            c.session = None;
            let at = now + self.config.idle_timeout;
            self.timers.arm(Timer::Quiet(old), at);
            match c.body {
                OpenBody::Raw => self.close(now, old, CloseHow::Flush, None),
                _ => {
                    let close = c.close_after;
                    let bytes = self.end_body(old);
                    self.send(old, bytes);
                    self.close_if(now, old, close);
                }
            }
            if let Some(s) = self.sessions.get_mut(&id) {
                s.conn = None;
            }
        }
        self.bind(now, id, conn);
        self.end_body(conn)
    }

    /// Start the flow that a cue of this exchange was for. The session is STREAMING afterwards.
    pub(super) fn flow_for(
        &mut self,
        now: Time,
        id: u32,
        conn: ConnId,
        content: ContentId,
        ex: &Exchange,
        cue: &Cue,
    ) {
        let p = &ex.pragma;
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        // What an earlier request said of the client and its link still holds.
        let (lag_ms, link_bw) = s.play.as_ref().map_or((0, 0), |b| (b.lag_ms, b.link_bw));
        let max_duration = max_duration(p);
        s.play = Some(Box::new(Play {
            selection: ex.selection,
            rate_milli: ex.rate_milli,
            limited: max_duration.is_some(),
            speed_milli: cue.speed_milli,
            lag_ms: p.client_lag.unwrap_or(lag_ms),
            link_bw: p.link_bw.unwrap_or(link_bw),
            change: Change::None,
            holding: None,
            stopping: false,
        }));
        self.start_flow(now, id, conn, content, cue, max_duration);
    }

    pub(super) fn start_flow(
        &mut self,
        _now: Time,
        id: u32,
        conn: ConnId,
        content: ContentId,
        cue: &Cue,
        max_duration: Option<u32>,
    ) {
        let flow = FlowId(self.count());
        let (Some(s), Some(c)) = (self.sessions.get_mut(&id), self.conns.get_mut(&conn)) else {
            return;
        };
        let Some(play) = &s.play else { return };
        s.state = State::Streaming;
        s.flow = Some(flow);
        s.last_flow = Some(flow);
        c.flow = Some(flow);
        let framer = DataFramer {
            first_flags: first_flags(s.last_flags),
            incarnation: s.incarnation,
            chunked: s.pipelined,
            marks_rush: s.client.is_9(),
            keeps_padding: s.client.keeps_padding(),
        };
        let start = FlowStart {
            conn,
            datagrams: None,
            content,
            packet: cue.packet,
            send_time: cue.send_time,
            // WMSP-69: the driver sends nothing of other streams.
            selection: play.selection,
            resumes: false,
            pace: Pace::Media {
                accel: cue.accel,
                speed_milli: cue.speed_milli.unwrap_or(1000),
            },
            rate_milli: play.rate_milli,
            max_duration,
            whole: false,
            framer: Box::new(framer),
        };
        self.flows.insert(flow, Owner::Session(id));
        self.timers.disarm(Timer::Idle(id));
        self.timers.disarm(Timer::Quiet(conn));
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Start(Box::new(start)),
        });
    }
}

/// WMSP-60: chunks only for those who asked and speak HTTP/1.1.
pub(super) fn takes_chunks(ex: &Exchange) -> bool {
    ex.pragma.version11 && ex.version() == Version::Http11
}

pub(super) fn open_body(chunked: bool) -> ReplyBody {
    if chunked {
        ReplyBody::Chunked
    } else {
        ReplyBody::ToTheEnd
    }
}

/// Where the request wants to start: time, else packet, else offset, else the beginning (WMSP-59).
/// Of a broadcast there is only now.
fn start(p: &RequestPragma, content: &Content) -> Start {
    if content.broadcast {
        return Start::Beginning;
    }
    let used = |n: &u32| *n != UNUSED;
    if let Some(time) = p.stream_time.filter(used).filter(|t| *t != 0) {
        return Start::Time(time);
    }
    if let Some(number) = p.packet_num.filter(used) {
        return Start::Packet(number);
    }
    match p.stream_offset {
        None | Some(0 | u64::MAX) => Start::Beginning,
        Some(offset) => Start::Byte(offset),
    }
}

/// max-duration as a span of media. With bit 31 set it names the end, not the length.
fn max_duration(p: &RequestPragma) -> Option<u32> {
    const ABSOLUTE: u32 = 1 << 31;
    let value = p.max_duration.filter(|d| *d != 0 && *d != UNUSED)?;
    if value & ABSOLUTE == 0 {
        return Some(value);
    }
    let begin = p.stream_time.filter(|t| *t != UNUSED).unwrap_or(0);
    (value & !ABSOLUTE).checked_sub(begin).filter(|d| *d != 0)
}

/// A rate and a duration that are both there and not 0 (BW-28).
fn pair(bits_per_second: Option<u32>, duration_ms: Option<u32>) -> Option<Accel> {
    let accel = Accel {
        bits_per_second: bits_per_second?,
        duration_ms: duration_ms?,
    };
    (accel.bits_per_second != 0 && accel.duration_ms != 0).then_some(accel)
}

/// The player's own wish for a fast start, by what its version may be told (BW-25, BW-26).
fn players_accel(p: &RequestPragma, client: Client) -> Option<Accel> {
    let limit = client.accel_limit()?;
    let asked = pair(p.accel_bw, p.accel_duration)?;
    Some(Accel {
        bits_per_second: asked.bits_per_second.min(limit),
        ..asked
    })
}

/// An intermediary's wish for itself.
fn burst(p: &RequestPragma, client: Client) -> Option<Accel> {
    pair(p.burst_bw, p.burst_duration).filter(|_| client.may_burst())
}

/// The rate of the first phase: an intermediary's own wish goes before its player's.
fn asked_accel(p: &RequestPragma, client: Client) -> Option<Accel> {
    burst(p, client).or(players_accel(p, client))
}

/// What was granted, token by token as it was asked, and never more (WMSP-61, WMSP-62, WMSP-63, WMSP-64, BW-23,
/// BW-24, BW-27, BW-29).
pub(super) fn granted(p: &RequestPragma, client: Client, cue: &Cue) -> ReplyPragma {
    let mut reply = ReplyPragma {
        speed_milli: cue.speed_milli.filter(|_| p.speed_milli.is_some()),
        ..ReplyPragma::default()
    };
    let Some(grant) = cue.accel else {
        return reply;
    };
    if let Some(asked) = players_accel(p, client) {
        reply.accel_bw = Some(asked.bits_per_second.min(grant.bits_per_second));
        reply.accel_duration = Some(asked.duration_ms.min(grant.duration_ms));
    }
    if let Some(asked) = burst(p, client) {
        reply.burst_bw = Some(asked.bits_per_second.min(grant.bits_per_second));
        reply.burst_duration = Some(asked.duration_ms.min(grant.duration_ms));
    }
    reply
}

/// A packet that has only a Reason, ready for the open body of a connection.
pub(super) fn signal(id: PacketId, why: u32, chunked: bool) -> Vec<u8> {
    let packet = packet::with_reason(id, why);
    let mut out = Vec::with_capacity(16);
    if chunked {
        reply::put_chunk(&packet, &mut out);
    } else {
        out.extend_from_slice(&packet);
    }
    out
}
