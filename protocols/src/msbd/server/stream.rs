//! Streams: which one a client gets, its end, and what follows (MS-MSBD 3.1.5.3).

use super::Server;
use super::session::Asked;
use crate::content::{Answer, Content, CueRequest, Question, Refusal, Selection, Start};
use crate::machine::{CloseHow, ConnId, Time};
use crate::media::FlowEnd;
use crate::msbd::wire::{Described, Message, PAYLOAD_LEN_MAX_TCP, PAYLOAD_LEN_MAX_UDP};
use crate::msbd::{hresult, stream};
use bytes::Bytes;

impl Server {
    /// The two STREAMINFOs of a content, if it can be carried.
    pub(super) fn describe(&self, multicast: bool, content: &Content) -> Option<[Bytes; 2]> {
        let payload_max = match multicast {
            true => PAYLOAD_LEN_MAX_UDP,
            false => PAYLOAD_LEN_MAX_TCP,
        };
        stream::describe(content, payload_max)
    }

    /// There is a stream: tell it, and ask where it starts (MSBD-16, MSBD-17).
    pub(super) fn announce(
        &mut self,
        conn: ConnId,
        content: Box<Content>,
        [indication, reply]: [Bytes; 2],
    ) {
        let question = Question::Cue(CueRequest {
            content: content.id,
            start: Start::Beginning,
            selection: Selection::ALL,
            accel: None,
            speed_milli: None,
            profile: false,
            rate_milli: 1000,
        });
        self.send(conn, indication);
        let ticket = self.ask(conn, question);
        if let Some(session) = self.session(conn) {
            session.described = Some(reply);
            session.content = Some(content);
            session.asked = Some((ticket, Asked::Cue));
        }
    }

    /// The application has answered a session's question.
    pub(super) fn on_stream_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        asked: Asked,
        answer: Answer,
    ) {
        match (asked, answer) {
            (Asked::Cue, Answer::Cued(cue)) => self.start_flow(conn, &cue),
            (Asked::Cue, _) => self.end_stream(now, conn),
            (Asked::Open, Answer::Opened(content)) => {
                let multicast = self.session(conn).is_some_and(|s| s.multicast);
                match self.describe(multicast, &content) {
                    Some(described) => self.announce(conn, content, described),
                    None => {
                        self.release(content.id);
                        self.arm_retry(now, conn);
                    }
                }
            }
            // It may come yet.
            (
                Asked::Open,
                Answer::Refused(Refusal::Unavailable | Refusal::Busy | Refusal::Internal),
            ) => self.arm_retry(now, conn),
            (Asked::Open, _) => {
                self.close_for(conn, CloseHow::Flush, "the publishing point is gone");
            }
            (Asked::Next, Answer::Opened(content)) => self.change_to(now, conn, content),
            (Asked::Next, _) => self.end_stream(now, conn),
        }
    }

    /// The media of an entry has ended (MSBD-35, MSBD-52).
    pub(super) fn on_end(&mut self, now: Time, conn: ConnId, end: FlowEnd) {
        let Some(session) = self.session(conn) else {
            return;
        };
        let content = session.content.as_ref().map(|c| c.id);
        match (end, content) {
            // Packets are not left out: their numbers have no gaps.
            (FlowEnd::Lagged, _) => self.break_off(conn, "takes less than the stream needs"),
            (FlowEnd::Finished, Some(content)) => {
                let ticket = self.ask(conn, Question::NextEntry(content));
                if let Some(session) = self.session(conn) {
                    session.asked = Some((ticket, Asked::Next));
                }
            }
            _ => self.end_stream(now, conn),
        }
    }

    /// There is a next entry (MSBD-18).
    fn change_to(&mut self, now: Time, conn: ConnId, content: Box<Content>) {
        let Some(session) = self.session(conn) else {
            return self.release(content.id);
        };
        let (multicast, old) = (session.multicast, session.content.take());
        session.described = None;
        if let Some(old) = old {
            self.release(old.id);
        }
        let Some(described) = self.describe(multicast, &content) else {
            self.release(content.id);
            return self.end_stream(now, conn);
        };
        let of_port = self.conns.get(&conn).is_some_and(|c| c.port.switch_eos);
        if self.config.switch_eos && of_port {
            self.say(conn, &Message::IndEos);
        }
        self.announce(conn, content, described);
    }

    /// There is no stream any more, for now. The client says whether it waits (MSBD-52).
    fn end_stream(&mut self, now: Time, conn: ConnId) {
        let Some(session) = self.session(conn) else {
            return;
        };
        session.described = None;
        if let Some(old) = session.content.take() {
            self.release(old.id);
        }
        self.say(conn, &Message::IndEos);
        self.say_empty(conn);
        if self.draining {
            return self.close_in_order(conn);
        }
        self.arm_retry(now, conn);
    }

    // MSBD-53, MSBD-54
    pub(super) fn say_empty(&mut self, conn: ConnId) {
        let empty = Described::Empty(hresult::NS_E_NO_STREAM);
        self.say(conn, &Message::IndStreamInfo(empty));
    }
}
