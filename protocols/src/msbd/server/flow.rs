//! Flows: a stream's packets on the connection, or the course of a stream whose packets go to the group.

use super::Server;
use super::session::{Flow, Phase};
use crate::content::{Cue, Selection};
use crate::machine::{ConnId, Output, Time};
use crate::media::{Datagrams, FlowCommand, FlowEvent, FlowId, FlowStart, Framer, Pace};
use crate::msbd::framer::{MsbdFramer, Silent};
use crate::msbd::stream::stream_id;

impl Server {
    pub(super) fn start_flow(&mut self, conn: ConnId, cue: &Cue) {
        let id = FlowId(self.count());
        let Some(session) = self.session(conn) else {
            return;
        };
        let Some(content) = &session.content else {
            return;
        };
        // MSBD-38, MSBD-42
        let framer = MsbdFramer {
            first_id: session.next_id,
            stream_id: stream_id(content.entry),
        };
        let multicast = session.multicast;
        let framer: Box<dyn Framer> = match multicast {
            true => Box::new(Silent),
            false => Box::new(framer),
        };
        // Datagrams that go nowhere.
        let nowhere = Datagrams {
            lanes: Vec::new(),
            resend: None,
        };
        let start = FlowStart {
            conn,
            datagrams: multicast.then_some(nowhere),
            content: content.id,
            packet: cue.packet,
            send_time: cue.send_time,
            selection: Selection::ALL,
            resumes: false,
            pace: Pace::Media {
                accel: None,
                speed_milli: 1000,
            },
            rate_milli: 1000,
            max_duration: None,
            // One that sends nothing may jump.
            whole: !multicast,
            framer,
        };
        session.flow = Some(Flow {
            id,
            phase: Phase::Running,
        });
        self.flows.insert(id, conn);
        self.out.push_back(Output::Flow {
            flow: id,
            command: FlowCommand::Start(Box::new(start)),
        });
    }

    /// Have the flow held, if it is not about to be.
    pub(super) fn hold(&mut self, conn: ConnId) {
        let flow = self.session(conn).and_then(|s| s.flow.as_mut());
        if let Some(flow) = flow.filter(|f| f.phase == Phase::Running) {
            flow.phase = Phase::Holding;
            let (flow, command) = (flow.id, FlowCommand::Hold);
            self.out.push_back(Output::Flow { flow, command });
        }
    }

    pub(super) fn on_flow(&mut self, now: Time, flow: FlowId, event: FlowEvent) {
        let Some(conn) = self.flows.get(&flow).copied() else {
            return;
        };
        let Some(session) = self.session(conn) else {
            return;
        };
        let Some(current) = session.flow.as_mut().filter(|f| f.id == flow) else {
            return;
        };
        match event {
            FlowEvent::Held(_) => {
                current.phase = Phase::Held;
                self.pay(conn);
                self.go_on(conn, flow);
            }
            FlowEvent::Ended(end, totals) => {
                session.flow = None;
                // On the connection the numbers go on from entry to entry (MSBD-41).
                session.next_id = session.next_id.wrapping_add(totals.sequence);
                self.flows.remove(&flow);
                let command = FlowCommand::Drop;
                self.out.push_back(Output::Flow { flow, command });
                // What the flow was to be held for.
                self.pay(conn);
                self.on_end(now, conn, end);
            }
        }
    }

    /// The connection is still there, and said what it had to say.
    fn go_on(&mut self, conn: ConnId, flow: FlowId) {
        let held = self.session(conn).and_then(|s| s.flow.as_mut());
        if let Some(held) = held.filter(|f| f.id == flow && f.phase == Phase::Held) {
            held.phase = Phase::Running;
            let command = FlowCommand::Go;
            self.out.push_back(Output::Flow { flow, command });
        }
    }
}
