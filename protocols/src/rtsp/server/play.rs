//! Play: from the headers of the request to a running flow (MS-RTSP 3.2.5.8).

use super::answer::Reply;
use super::conn::{Job, Line};
use super::media::wme::{DatagramFramer, FrameFramer, Stream};
use super::media::{Mark, plain};
use super::request::{Exchange, Stage};
use super::session::{Change, Flow, Route, Session, State};
use super::wish::{goes_back, wish_of};
use super::{RTP, Server, Timer};
use crate::content::{Accel, Content, Cue, CueRequest, Question, Recheck, Start};
use crate::machine::{ConnId, Output, Time};
use crate::media::{Datagrams, FlowCommand, FlowId, FlowStart, Framer, Lane, Pace, Resend};
use crate::rtsp::body::EndReason;
use crate::rtsp::fields::{self, Skip, Streaming};
use crate::rtsp::range::{Npt, Range};
use crate::rtsp::rtp::HEAD_LEN;
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::rtsp::transport::Lower;
use crate::wmsp::features::Supported;
use crate::wmsp::startup;
use std::net::SocketAddr;
use std::time::Duration;

/// How long packets can be sent again (RTSP-42).
pub(super) const RESEND_WINDOW: Duration = Duration::from_secs(10);
/// How often one packet is sent again.
const RESEND_COUNT_MAX: u8 = 3;

impl Server {
    pub(super) fn play(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(s) = ex.session.and_then(|id| self.sessions.get_mut(&id)) else {
            return;
        };
        let moves = ex.head.get("X-Playlist").is_some() || goes_back(&ex, s);
        if s.selection().on == 0 && !moves {
            return self.refuse(now, conn, &ex, 455, "PLAY before SETUP");
        }
        let wish = match wish_of(&ex, s) {
            Ok(wish) => wish,
            Err((status, why)) => return self.refuse(now, conn, &ex, status, &why),
        };
        let rate = s.flow.as_ref().map_or(1000, |f| f.rate_milli);
        let confirms =
            s.state == State::Playing && wish.start.is_none() && wish.rate_milli == rate && !moves;
        if let Some(bandwidth) = ex.number("Bandwidth") {
            s.bandwidth = bandwidth;
        }
        // RTSP-84
        s.lag_ms = ex.number("X-Player-Lag-Time").unwrap_or(0);
        s.announced = false;
        // The entry that is confirmed is over already, and the next one waits for that.
        let overtaken = matches!(s.change, Change::Pending(_)) && wish.start.is_none() && !moves;
        if confirms || overtaken {
            return self.confirm(now, conn, &ex);
        }
        let Some(id) = ex.session else { return };
        self.stay(id);
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        ex.wish = Some(wish);
        if !s.content.guarded || ex.checked {
            return self.play_checked(now, conn, ex);
        }
        let content = s.content.id;
        match self.credentials(conn, &ex) {
            Ok(credentials) => {
                let question = Question::Recheck(Recheck {
                    content,
                    credentials,
                });
                self.ask_for(conn, ex, Stage::Recheck, question);
            }
            Err(why) => self.refuse(now, conn, &ex, 400, &why),
        }
    }

    /// The change to another entry that may be going on does not happen.
    pub(super) fn stay(&mut self, id: u64) {
        self.timers.disarm(Timer::Lag(id));
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let change = std::mem::replace(&mut s.change, Change::None);
        if let Some(next) = change.abandoned() {
            self.release(next);
        }
    }

    /// Media goes on as it does: the client took an entry that was begun for it.
    fn confirm(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get(&id)?)))
        else {
            return;
        };
        let entries = rtp_info(s, None);
        let reply = Reply {
            supported: !s.is_plain(),
            ..Reply::default()
        };
        let reply = reply
            .with("Range", whole_range(s).to_string())
            .with("RTP-Info", rtp_info::write(&entries));
        self.respond(now, conn, ex, 200, &reply);
        self.announce_pending(now, id);
    }

    /// The client is entitled to play: see what it wants, and stop what flows.
    pub(super) fn play_checked(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some(s) = ex.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        match ex.head.get("X-Playlist").map(Skip::parse) {
            None => self.stop_for(now, conn, ex),
            // Going back is not offered.
            Some(Ok(Skip::Forward)) if s.content.playlist => {
                let question = Question::NextEntry(s.content.id);
                self.ask_for(conn, ex, Stage::Skip, question);
            }
            Some(_) => self.refuse(now, conn, &ex, 400, "X-Playlist that is not offered"),
        }
    }

    /// Have the session's flow held for a request, which then goes on in `stopped_for`.
    pub(super) fn stop_for(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some(s) = ex.session.and_then(|id| self.sessions.get_mut(&id)) else {
            return;
        };
        let Some(flow) = s.flow.as_ref() else {
            return self.stopped_for(now, conn, ex);
        };
        let (id, on_connection) = (flow.id, flow.on_connection);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.job = Some(Job::Holding(id, ex));
        // The line may be waiting for the same flow already.
        if on_connection && c.line == Line::Flow(id) {
            c.line = Line::Holding(id);
        } else if on_connection {
            return;
        }
        self.out.push_back(Output::Flow {
            flow: id,
            command: FlowCommand::Hold,
        });
    }

    /// No flow of the session runs; play as the request has it.
    pub(super) fn play_stopped(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let busy = self.conns.get(&conn).is_some_and(|c| c.line != Line::Free);
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return self.abandon(&mut ex);
        };
        // RTSP-109: back to the entry before, which is over: what follows it is announced anew.
        if goes_back(&ex, s) {
            s.gen_id = std::mem::replace(&mut s.previous_id, 0);
            return self.turn_to(now, conn, &ex, id, None);
        }
        if let Some(next) = ex.content.take() {
            return self.turn_to(now, conn, &ex, id, Some(next));
        }
        if busy && s.is_on_connection() {
            return self.refuse(now, conn, &ex, 455, "another session has this connection");
        }
        let Some(wish) = &ex.wish else { return };
        let resume = s.resume_at.filter(|_| !s.content.broadcast);
        let start = wish.start.unwrap_or(match resume {
            Some(packet) => Start::Packet(packet),
            None => Start::Beginning,
        });
        let selection = s.selection();
        let accel = wish
            .burst
            .or(wish.accel)
            .filter(|_| wish.rate_milli == 1000);
        let known = s.supported.unwrap_or_default();
        let request = CueRequest {
            content: s.content.id,
            start,
            selection,
            accel,
            speed_milli: wish.speed_milli,
            // RTSP-81
            profile: accel.is_some() && known.has(Supported::STARTUP_PROFILE),
            rate_milli: wish.rate_milli,
        };
        self.ask_for(conn, ex, Stage::Cue, Question::Cue(request));
    }

    /// RTSP-108: the client is told that no media follows, and then what does.
    fn turn_to(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        id: u64,
        next: Option<Box<Content>>,
    ) {
        let Some(s) = self.sessions.get_mut(&id) else {
            if let Some(next) = next {
                self.release(next.id);
            }
            return;
        };
        s.state = State::Ready;
        s.resume_at = None;
        self.stay(id);
        let reply = Reply {
            supported: true,
            ..Reply::default()
        };
        let reply = reply.with("X-Playlist-Change-Notice", "true");
        self.respond(now, conn, ex, 200, &reply);
        self.send_end(id, Some(EndReason::EndOfPlaylistEntry));
        match next {
            Some(next) => self.header_came(now, id, next),
            // The entry that is held is the one that follows.
            None => self.announce_held(now, id),
        }
    }

    /// The cue for a Play: media begins.
    pub(super) fn play_now(&mut self, now: Time, conn: ConnId, ex: &Exchange, cue: &Cue) {
        if let Some(id) = ex.session {
            self.stay(id);
        }
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return;
        };
        let Some(wish) = &ex.wish else { return };
        s.speed_milli = cue.speed_milli;
        let mut reply = Reply {
            supported: !s.is_plain(),
            ..Reply::default()
        };
        let range = range_from(s, cue);
        let entries = rtp_info(s, Some(cue));
        reply = reply
            .with("Range", range.to_string())
            .with("RTP-Info", rtp_info::write(&entries));
        if wish.scaled {
            reply = reply.with("Scale", fields::milli_text(wish.rate_milli));
        }
        if let Some(speed) = cue.speed_milli.filter(|_| wish.speed_milli.is_some()) {
            let speed = i32::try_from(speed).unwrap_or(1000);
            reply = reply.with("Speed", fields::milli_text(speed));
        }
        // RTSP-78, RTSP-79, RTSP-80
        for (asked, kind) in [
            (wish.accel, Streaming::Accelerate),
            (wish.burst, Streaming::Burst),
        ] {
            if let (Some(asked), Some(granted)) = (asked, cue.accel) {
                let least = Accel {
                    bits_per_second: asked.bits_per_second.min(granted.bits_per_second),
                    duration_ms: asked.duration_ms.min(granted.duration_ms),
                };
                reply = reply.with(kind.header(), kind.write(least));
            }
        }
        let known = s.supported.unwrap_or_default();
        if let (Some(profile), true) = (&cue.profile, known.has(Supported::STARTUP_PROFILE)) {
            reply = reply.with("X-StartupProfile", startup::value(profile));
        }
        s.state = State::Playing;
        s.pause_ok = false;
        s.announced = false;
        let (max_duration, rate) = (wish.max_duration, wish.rate_milli);
        self.respond(now, conn, ex, 200, &reply);
        // What leaves before the first packet.
        self.settle(now, conn);
        self.start_flow(now, id, conn, cue, rate, max_duration);
    }

    /// Start the flow of a session that is PLAYING; the line must be free if it goes there.
    pub(super) fn start_flow(
        &mut self,
        now: Time,
        id: u64,
        conn: ConnId,
        cue: &Cue,
        rate_milli: i32,
        max_duration: Option<u32>,
    ) {
        self.drop_tail(id);
        let flow = FlowId(self.count());
        let (Some(s), Some(c)) = (self.sessions.get_mut(&id), self.conns.get_mut(&conn)) else {
            return;
        };
        let Some(route) = &s.route else { return };
        let mark = Mark::default();
        let on_connection = route.lower == Lower::Tcp;
        let first = route.sequence;
        let (framer, datagrams) = match &s.plain {
            Some(plain) => plain.outlet(&self.config, s, cue, now, &mark, c.peer.ip()),
            None => outlet(&self.config, s, route, &mark, c.peer),
        };
        if on_connection {
            c.line = Line::Flow(flow);
        }
        s.state = State::Playing;
        s.last_flow = Some(flow);
        s.resume_at = None;
        s.flow = Some(Flow {
            id: flow,
            first,
            mark,
            on_connection,
            rate_milli,
            limited: max_duration.is_some(),
        });
        let start = FlowStart {
            conn,
            datagrams,
            content: s.content.id,
            packet: cue.packet,
            send_time: cue.send_time,
            selection: s.selection(),
            resumes: false,
            pace: Pace::Media {
                accel: cue.accel,
                speed_milli: cue.speed_milli.unwrap_or(1000),
            },
            rate_milli,
            max_duration,
            whole: false,
            framer,
        };
        self.flows.insert(flow, id);
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Start(Box::new(start)),
        });
        self.timers.disarm(Timer::Lag(id));
        self.arm_idle(now, id);
    }
}

/// How ASF packets of a session leave.
fn outlet(
    config: &super::Config,
    s: &Session,
    route: &Route,
    mark: &Mark,
    peer: SocketAddr,
) -> (Box<dyn Framer>, Option<Datagrams>) {
    let largest = config.datagram_bytes_max.saturating_sub(HEAD_LEN);
    let asked = s.block_size.map_or(usize::MAX, |b| b as usize);
    let stream = Stream {
        ssrc: route.ssrc,
        first: route.sequence,
        form: config.rtp_length,
        payload_max: largest.min(asked),
        locations: s
            .supported
            .is_some_and(|known| known.has(Supported::LOCATION_ID)),
        mark: mark.clone(),
    };
    if route.lower == Lower::Tcp {
        return (Box::new(FrameFramer::new(stream, route.channel)), None);
    }
    let lane = |port| Lane {
        to: SocketAddr::new(peer.ip(), port),
        channel: RTP,
    };
    let mut lanes = vec![lane(route.port)];
    let resend = s.rtx.map(|rtx| {
        lanes.push(lane(rtx.port));
        Resend {
            window: RESEND_WINDOW,
            count_max: RESEND_COUNT_MAX,
            lane: lanes.len() - 1,
        }
    });
    let fec = s.fec.as_ref().map(|encoder| {
        lanes.push(lane(route.port));
        (lanes.len() - 1, encoder.clone())
    });
    let framer = DatagramFramer { stream, fec };
    (Box::new(framer), Some(Datagrams { lanes, resend }))
}

/// RTSP-110: one entry for each stream that is set up; only with a cue it has a time.
pub(super) fn rtp_info(s: &Session, cue: Option<&Cue>) -> Vec<StreamEntry> {
    if let Some(plain) = &s.plain {
        return plain.rtp_info(s, cue);
    }
    let legs = s.legs.iter().filter(|l| l.fec.is_none());
    legs.enumerate()
        .map(|(n, leg)| StreamEntry {
            seq: Some(if n == 0 {
                s.next_sequence()
            } else {
                leg.sequence
            }),
            rtp_time: cue.map(|c| c.send_time),
            ..StreamEntry::url(leg.url.clone())
        })
        .collect()
}

/// Where a session's content can be played, on the axis that its description uses.
fn whole_range(s: &Session) -> Range {
    match s.is_plain() {
        true => plain::range_of(&s.content),
        false => Range::of(&s.content),
    }
}

/// The range that is played from a cue on.
fn range_from(s: &Session, cue: &Cue) -> Range {
    match whole_range(s) {
        Range::Npt {
            start: Some(Npt::Millis(first)),
            end,
        } if !s.content.broadcast => Range::Npt {
            start: Some(Npt::Millis(first + u64::from(cue.send_time))),
            end,
        },
        live => live,
    }
}
