//! SelectStream, PlayNextEntry and Stop (MS-WMSP 3.2.5.7, 3.2.5.9, 3.2.5.10).
//!
//! On the data connection they end the body that is open there. While a flow writes to it, it is
//! asked to hold first, and what is to be done is done when it says so.

use super::Server;
use super::answer::{Answering, ReplyBody};
use super::conn::{Job, OpenBody};
use super::describe::media_head;
use super::exchange::{Exchange, Kind};
use super::play::{MEDIA_TYPE, granted, open_body};
use super::session::{Held, State};
use crate::content::{Cue, StreamSwitch};
use crate::machine::{CloseHow, ConnId, Output, Time};
use crate::media::{FlowCommand, FlowTotals};
use crate::wmsp::features;
use crate::wmsp::pragma::ReplyPragma;
use crate::wmsp::startup;
use crate::wmsp::switch;

impl Server {
    pub(super) fn select_stream(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return;
        };
        match s.state {
            State::Streaming => {}
            State::Waiting => {
                s.selected = Some(now);
                return self.cue(now, conn, ex);
            }
            State::Init | State::Idle => {
                return self.refuse(
                    now,
                    conn,
                    &ex,
                    400,
                    "SelectStream of a session that does not play",
                );
            }
        }
        s.selected = Some(now);
        let on_data = s.conn == Some(conn);
        if on_data && s.pipelined {
            return self.hold_for(now, conn, id, ex);
        }
        // Beside the data connection nothing needs to be interrupted.
        self.apply_switches(id, &ex);
        self.acknowledge(now, conn, &ex, 200, None);
    }

    pub(super) fn play_next_entry(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get(&id)?)))
        else {
            return;
        };
        if s.conn != Some(conn) || !s.pipelined {
            return self.refuse(
                now,
                conn,
                &ex,
                400,
                "PlayNextEntry beside the data connection",
            );
        }
        match s.state {
            State::Streaming => self.hold_for(now, conn, id, ex),
            State::Waiting => self.cue(now, conn, ex),
            State::Init | State::Idle => {
                self.refuse(
                    now,
                    conn,
                    &ex,
                    400,
                    "PlayNextEntry of a session that does not play",
                );
            }
        }
    }

    pub(super) fn stop(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get(&id)?)))
        else {
            return;
        };
        match s.state {
            State::Streaming => self.hold_for(now, conn, id, ex),
            State::Waiting => self.stopped(now, conn, id, Some(&ex)),
            // The media may have come to its end while the request was under way.
            State::Init | State::Idle => self.acknowledge(now, conn, &ex, 200, None),
        }
    }

    /// Have the session's flow held for a request; at once if none runs.
    fn hold_for(&mut self, now: Time, conn: ConnId, id: u32, ex: Box<Exchange>) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let (flow, play) = (s.flow, s.play.as_mut());
        match (flow, play) {
            (Some(flow), Some(play)) => {
                if play.holding.is_some() || play.stopping {
                    return self.refuse(now, conn, &ex, 400, "request while another one waits");
                }
                play.holding = Some(conn);
                play.stopping = ex.kind == Kind::Stop;
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.job = Some(Job::Holding(ex));
                }
                self.out.push_back(Output::Flow {
                    flow,
                    command: FlowCommand::Hold,
                });
            }
            // Between two entries nothing flows.
            _ => self.held_for(now, conn, id, &ex),
        }
    }

    /// The flow of a session is held, or has ended while it was asked to. True if a request waited.
    pub(super) fn on_held(&mut self, now: Time, id: u32, totals: FlowTotals, ended: bool) -> bool {
        let Some(s) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(play) = &mut s.play else {
            return false;
        };
        let (conn, stopping) = (play.holding.take(), play.stopping);
        if conn.is_none() && !stopping {
            return false;
        }
        if ended || stopping {
            if let Some(flow) = s.flow.take() {
                self.flows.remove(&flow);
                if !ended {
                    self.out.push_back(Output::Flow {
                        flow,
                        command: FlowCommand::Drop,
                    });
                }
            }
            self.account(id, totals);
        }
        let ex = conn
            .and_then(|conn| self.conns.get_mut(&conn))
            .and_then(|c| match c.job.take() {
                Some(Job::Holding(ex)) => Some(ex),
                other => {
                    c.job = other;
                    None
                }
            });
        match (conn, ex) {
            (Some(conn), Some(ex)) => {
                self.held_for(now, conn, id, &ex);
                self.pump(now, conn);
            }
            (Some(conn), None) if stopping => self.stopped(now, conn, id, None),
            _ => self.go_on(id),
        }
        true
    }

    /// Do what a request asked for; no flow is writing now.
    fn held_for(&mut self, now: Time, conn: ConnId, id: u32, ex: &Exchange) {
        match ex.kind {
            Kind::Stop => self.stopped(now, conn, id, Some(ex)),
            // WMSP-73, WMSP-77
            _ => {
                let mut bytes = self.end_body(conn);
                bytes.extend(self.compose(
                    ex,
                    200,
                    &Answering {
                        session: Some(id),
                        content_type: Some(MEDIA_TYPE),
                        body: ReplyBody::Chunked,
                        ..Answering::default()
                    },
                ));
                self.send(conn, bytes);
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.body = OpenBody::Chunked;
                    c.close_after |= ex.wants_close();
                }
                self.apply_switches(id, ex);
                self.go_on(id);
            }
        }
    }

    /// Let a held flow go on.
    pub(super) fn go_on(&mut self, id: u32) {
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        let (Some(flow), Some(conn)) = (s.flow, s.conn) else {
            return;
        };
        if let Some(c) = self.conns.get_mut(&conn) {
            c.flow = Some(flow);
            self.out.push_back(Output::Flow {
                flow,
                command: FlowCommand::Go,
            });
        }
    }

    /// Change the selection of a session that plays (WMSP-71 is the flow's to keep).
    fn apply_switches(&mut self, id: u32, ex: &Exchange) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let streams = s.held.as_ref().map_or(&[][..], Held::streams);
        let entries = ex.pragma.switches.iter();
        let switches: Vec<StreamSwitch> = entries.filter_map(|e| e.switch(streams)).collect();
        let Some(play) = &mut s.play else { return };
        if let Some(lag) = ex.pragma.client_lag {
            play.lag_ms = lag;
        }
        if switches.is_empty() {
            return;
        }
        play.selection = switch::changed(play.selection, &switches);
        if let Some(flow) = s.flow {
            self.out.push_back(Output::Flow {
                flow,
                command: FlowCommand::Select(switches),
            });
        }
    }

    /// Media stops: the body on the data connection ends, the session is IDLE (WMSP-79).
    fn stopped(&mut self, now: Time, conn: ConnId, id: u32, ex: Option<&Exchange>) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.state = State::Idle;
        let data = s.conn;
        // A seek is Stop and Play: what a playlist stands at is kept for it.
        let next = s.play.take().and_then(|p| p.change.abandoned());
        if let Some(content) = next {
            self.out.push_back(Output::Release { content });
        }
        self.timers.disarm(super::timers::Timer::Change(id));
        self.arm_idle(now, id);
        let reply = ex.map(|ex| {
            self.compose(
                ex,
                200,
                &Answering {
                    session: Some(id),
                    close: ex.wants_close(),
                    ..Answering::default()
                },
            )
        });
        let open = data.and_then(|d| self.conns.get(&d)).map(|c| c.body);
        if let (Some(data), Some(OpenBody::Raw)) = (data, open) {
            // Such a body ends only with its connection.
            if let Some(c) = self.conns.get_mut(&data) {
                c.session = None;
            }
            if let Some(s) = self.sessions.get_mut(&id) {
                s.conn = None;
            }
            self.close(now, data, CloseHow::Flush, None);
        } else if let Some(data) = data {
            let mut bytes = self.end_body(data);
            if data == conn {
                // One write: the last chunk, what waited, and this reply.
                bytes.extend(reply.as_deref().unwrap_or_default());
                self.send(data, bytes);
                let asked = ex.is_some_and(Exchange::wants_close);
                let after = self.conns.get(&data).is_some_and(|c| c.close_after);
                return self.close_if(now, data, asked || after);
            }
            self.send(data, bytes);
            let after = self.conns.get(&data).is_some_and(|c| c.close_after);
            self.close_if(now, data, after);
            self.pump(now, data);
        }
        if let (Some(ex), Some(reply)) = (ex, reply)
            && data != Some(conn)
        {
            self.respond(now, conn, reply, ex.wants_close());
        }
    }

    /// The flow that a request waited for is gone with its connection.
    pub(super) fn hold_is_moot(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match c.job.take() {
            Some(Job::Holding(ex)) if ex.kind == Kind::Stop => {
                self.acknowledge(now, conn, &ex, 200, None);
                self.pump(now, conn);
            }
            Some(Job::Holding(ex)) => {
                self.refuse(now, conn, &ex, 400, "the session no longer plays");
                self.pump(now, conn);
            }
            other => c.job = other,
        }
    }

    /// The cue for a session in WAITING: media begins (WMSP-72, WMSP-77).
    pub(super) fn resume(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>, cue: &Cue) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return;
        };
        let (Some(data), State::Waiting, Some(client)) = (s.conn, s.state, ex.client) else {
            return self.refuse(now, conn, &ex, 400, "the session no longer waits");
        };
        let (target, content) = match s.held.take() {
            Some(Held::Whole { target, content }) => (target, content),
            other => {
                s.held = other;
                return self.refuse(now, conn, &ex, 400, "no entry to play");
            }
        };
        let content_id = content.id;
        if data == conn && s.pipelined {
            s.incarnation = s
                .incarnation
                .wrapping_add(u8::from(ex.kind == Kind::PlayNextEntry));
            let mut bytes = self.end_body(conn);
            let next = ex.kind == Kind::PlayNextEntry;
            bytes.extend(self.compose(
                &ex,
                200,
                &Answering {
                    session: Some(id),
                    pragma: ReplyPragma {
                        features: next.then(|| features::features(&content, client)),
                        playlist_gen_id: (next && client.is_9()).then_some(content.entry),
                        ..granted(&ex.pragma, client, cue)
                    },
                    about: next.then_some(&*content),
                    content_type: Some(MEDIA_TYPE),
                    body: open_body(true),
                    profile: cue.profile.as_ref().map(startup::value),
                    ..Answering::default()
                },
            ));
            self.send(conn, bytes);
            if let Some(c) = self.conns.get_mut(&conn) {
                c.body = OpenBody::Chunked;
                c.close_after |= ex.wants_close();
            }
        }
        if let Some(s) = self.sessions.get_mut(&id) {
            s.held = Some(Held::playing(target.into(), content));
        }
        self.flow_for(now, id, data, content_id, &ex, cue);
        if data != conn || !self.sessions.get(&id).is_some_and(|s| s.pipelined) {
            self.acknowledge(now, conn, &ex, 200, None);
        }
    }

    /// A switch to another entry is announced on the data connection.
    pub(super) fn entry_head(&self, id: u32, content: &crate::content::Content) -> Vec<u8> {
        self.sessions.get(&id).map_or_else(Vec::new, |s| {
            media_head(content, s.client, s.incarnation, s.pipelined)
        })
    }
}
