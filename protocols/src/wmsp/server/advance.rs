//! The end of an entry, and what follows it (MS-WMSP 3.2.4.1, 3.2.4.2; wmsp.md 7.5, 7.8).

use super::conn::OpenBody;
use super::play::signal;
use super::session::{Change, Coming, Held, State};
use super::timers::Timer;
use super::{Asker, Owner, Server};
use crate::content::{Answer, Content, Cue, CueRequest, Question, Start};
use crate::entry::predict;
use crate::machine::{ConnId, Output, Ticket, Time};
use crate::media::{FlowCommand, FlowEnd, FlowEvent, FlowId};
use crate::wmsp::features::Supported;
use crate::wmsp::packet::{self, PacketId, reason};
use std::time::Duration;

/// Longest delay of `$C` that a client may ask for (WMSP-86).
const LAG_MAX_MS: u32 = 15_000;
/// Shortest time from SelectStream to `$C` (WMSP-86).
const SELECT_GAP: Duration = Duration::from_secs(8);
/// `$E` packets at the end of a body that has no end of its own (WMSP-85).
const END_COUNT: usize = 512;

impl Server {
    pub(super) fn on_flow(&mut self, now: Time, flow: FlowId, event: FlowEvent) {
        let Some(owner) = self.flow_left(flow) else {
            return;
        };
        match (owner, event) {
            (Owner::Conn(conn), FlowEvent::Ended(end, _)) => self.downloaded(now, conn, end),
            // A download is never asked to hold.
            (Owner::Conn(_), FlowEvent::Held(_)) => {}
            (Owner::Session(id), FlowEvent::Held(totals)) => {
                if !self.on_held(now, id, totals, false) {
                    self.go_on(id);
                }
            }
            (Owner::Session(id), FlowEvent::Ended(end, totals)) => {
                self.out.push_back(Output::Flow {
                    flow,
                    command: FlowCommand::Drop,
                });
                if !self.on_held(now, id, totals, true) {
                    self.account(id, totals);
                    self.flows.remove(&flow);
                    if let Some(s) = self.sessions.get_mut(&id) {
                        s.flow = None;
                    }
                }
                self.advance(now, id, end);
            }
        }
    }

    /// The media of an entry has ended.
    fn advance(&mut self, now: Time, id: u32, end: FlowEnd) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let (State::Streaming, None, Some(play)) = (s.state, s.flow, &s.play) else {
            return;
        };
        let Some(content) = s.held.as_ref().map(Held::id) else {
            return;
        };
        match end {
            FlowEnd::SourceLost | FlowEnd::Lagged => self.finish(now, id, reason::FAILED),
            FlowEnd::Finished if play.rate_milli < 0 => self.finish(now, id, reason::RECEDING),
            // The client wanted no more than this.
            FlowEnd::Finished if play.limited => self.finish(now, id, reason::OK),
            FlowEnd::Finished => {
                let ticket = self.ask(Asker::Session(id), Question::NextEntry(content));
                self.set_change(id, Change::Asked(ticket));
            }
        }
    }

    fn set_change(&mut self, id: u32, change: Change) {
        if let Some(play) = self.sessions.get_mut(&id).and_then(|s| s.play.as_mut()) {
            play.change = change;
        }
    }

    /// An answer about what follows. Gives back one that nobody waits for.
    pub(super) fn on_change_answer(
        &mut self,
        now: Time,
        id: u32,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<Answer> {
        let play = self.sessions.get_mut(&id).and_then(|s| s.play.as_mut());
        let Some(play) = play else {
            return Some(answer);
        };
        match std::mem::replace(&mut play.change, Change::None) {
            Change::Asked(asked) if asked == ticket => match answer {
                Answer::Opened(content) => self.change_to(now, id, content),
                _ => self.finish(now, id, reason::OK),
            },
            Change::Cueing(asked, coming) if asked == ticket => match answer {
                Answer::Cued(cue) => self.begin_entry(now, id, *coming, &cue),
                _ => {
                    self.out.push_back(Output::Release {
                        content: coming.content.id,
                    });
                    self.finish(now, id, reason::FAILED);
                }
            },
            other => {
                play.change = other;
                return Some(answer);
            }
        }
        None
    }

    /// There is a next entry.
    fn change_to(&mut self, now: Time, id: u32, content: Box<Content>) {
        if content.packet_size as usize > packet::PAYLOAD_MAX {
            self.out.push_back(Output::Release {
                content: content.id,
            });
            return self.finish(now, id, reason::FAILED);
        }
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        // Below 9.0 libmms (always) and VLC (broadcasts) take $E(1) for the end, and begin anew.
        let (tell, conn, chunked) = (s.client.is_9(), s.conn, s.pipelined);
        if let Some(conn) = conn.filter(|_| tell) {
            self.send(conn, signal(PacketId::End, reason::MORE, chunked));
        }
        let lag = s_lag(self, id);
        self.set_change(id, Change::Later(content));
        self.hold_change(now, id, now + lag);
    }

    /// Let `$C` wait until `at`, or longer if streams were selected lately.
    fn hold_change(&mut self, now: Time, id: u32, at: Time) {
        let selected = self.sessions.get(&id).and_then(|s| s.selected);
        let due = selected.map_or(at, |t| at.max(t + SELECT_GAP));
        if due > now {
            self.timers.arm(Timer::Change(id), due);
        } else {
            self.change_now(now, id);
        }
    }

    pub(super) fn on_change_due(&mut self, now: Time, id: u32) {
        self.hold_change(now, id, now);
    }

    fn change_now(&mut self, now: Time, id: u32) {
        let predictive = self.config.predictive;
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(play) = s.play.as_mut() else { return };
        let content = match std::mem::replace(&mut play.change, Change::None) {
            Change::Later(content) => content,
            other => {
                play.change = other;
                return;
            }
        };
        let said = s.supported;
        let known = if said == Supported::default() {
            Supported::CLIENT_DEFAULT
        } else {
            said
        };
        // WMSP-88
        if !(predictive && known.has(Supported::PREDICTIVE)) {
            return self.wait_at_entry(now, id, content);
        }
        let old = s.held.as_ref().map_or(&[][..], Held::streams);
        let selection = predict(old, play.selection, &content.streams, play.link_bw);
        let cue = CueRequest {
            content: content.id,
            start: Start::Beginning,
            selection,
            accel: None,
            speed_milli: play.speed_milli.filter(|_| !content.broadcast),
            profile: false,
            rate_milli: 1000,
        };
        let ticket = self.ask(Asker::Session(id), Question::Cue(cue));
        let coming = Box::new(Coming { content, selection });
        self.set_change(id, Change::Cueing(ticket, coming));
    }

    /// Announce the entry on the data connection and take it up in place of the old one.
    fn enter(&mut self, id: u32, content: Box<Content>) -> Option<ConnId> {
        let mut bytes = {
            let s = self.sessions.get(&id)?;
            signal(PacketId::StreamChange, reason::OK, s.pipelined)
        };
        bytes.extend(self.entry_head(id, &content));
        let s = self.sessions.get_mut(&id)?;
        let target = match &s.held {
            Some(Held::Whole { target, .. }) => target.clone(),
            _ => "".into(),
        };
        let whole = Held::Whole { target, content };
        if let Some(old) = s.held.replace(whole) {
            self.out.push_back(Output::Release { content: old.id() });
        }
        let conn = s.conn?;
        self.send(conn, bytes);
        Some(conn)
    }

    /// The client is to select streams before media goes on.
    fn wait_at_entry(&mut self, now: Time, id: u32, content: Box<Content>) {
        self.enter(id, content);
        if let Some(s) = self.sessions.get_mut(&id) {
            s.state = State::Waiting;
        }
        self.arm_idle(now, id);
    }

    fn begin_entry(&mut self, now: Time, id: u32, coming: Coming, cue: &Cue) {
        let Coming { content, selection } = coming;
        let content_id = content.id;
        let Some(conn) = self.enter(id, content) else {
            return;
        };
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(Held::Whole { target, content }) = s.held.take() {
            s.held = Some(Held::playing(target.into(), content));
        }
        if let Some(play) = &mut s.play {
            play.selection = selection;
            play.rate_milli = 1000;
        }
        self.start_flow(now, id, conn, content_id, cue, None);
    }

    /// Media is over (WMSP-83, WMSP-84, WMSP-85).
    fn finish(&mut self, now: Time, id: u32, why: u32) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        s.state = State::Idle;
        let conn = s.conn;
        self.release_content(id);
        self.arm_idle(now, id);
        let Some(conn) = conn else { return };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let (chunked, close) = (c.body == OpenBody::Chunked, c.close_after);
        let mut bytes = signal(PacketId::End, why, chunked);
        if !chunked {
            if close {
                // What follows a body that only its connection ends can reach nobody.
                c.pending.clear();
            } else {
                let one = bytes.clone();
                for _ in 1..END_COUNT {
                    bytes.extend_from_slice(&one);
                }
            }
        }
        bytes.extend(self.end_body(conn));
        self.send(conn, bytes);
        self.close_if(now, conn, close);
        self.pump(now, conn);
    }
}

fn s_lag(server: &Server, id: u32) -> Duration {
    let play = server.sessions.get(&id).and_then(|s| s.play.as_ref());
    let ms = play.map_or(0, |p| p.lag_ms).min(LAG_MAX_MS);
    Duration::from_millis(u64::from(ms))
}
