//! Pause, Teardown, packet pairs and logs (MS-RTSP 3.2.5.5, 3.2.5.7, 3.2.5.11, 3.2.5.12, 3.2.5.17).

use super::answer::Reply;
use super::conn::Line;
use super::request::{Exchange, Kind};
use super::session::State;
use super::{RTP, Server, Timer};
use crate::machine::{ClientLog, ConnId, Output, Time};
use crate::media::{FlowId, FlowTotals};
use crate::rate::packet_pair;
use crate::rtsp::body::PairRequest;
use crate::rtsp::pair;
use crate::rtsp::payload::PAYLOAD_TYPE;
use bytes::Bytes;
use std::net::SocketAddr;

impl Server {
    pub(super) fn pause(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some(s) = ex.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        match s.state {
            State::Playing => self.stop_for(now, conn, ex),
            // GStreamer pauses what has ended before it leaves, and takes a refusal for a failed play.
            State::Ready if s.is_plain() => self.stopped_for(now, conn, ex),
            // RTSP-95
            State::Ready if s.pause_ok => self.stopped_for(now, conn, ex),
            State::Ready => self.refuse(now, conn, &ex, 455, "PAUSE of what does not play"),
        }
    }

    pub(super) fn teardown(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        if self.remove_stream(now, conn, &ex) {
            return;
        }
        self.stop_for(now, conn, ex);
    }

    /// The session's flow no longer runs; do what the request asked for.
    pub(super) fn stopped_for(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        let Some((id, s)) = ex
            .session
            .and_then(|id| Some((id, self.sessions.get_mut(&id)?)))
        else {
            return self.give_up(now, conn, ex, 454, "the session is gone");
        };
        s.state = State::Ready;
        match ex.kind {
            Kind::Play => return self.play_stopped(now, conn, ex),
            Kind::Teardown => {
                // RTSP-127
                let close = !s.is_plain();
                let reply = Reply {
                    close,
                    ..Reply::default()
                };
                self.respond(now, conn, &ex, 200, &reply);
                return self.delete_session(id);
            }
            _ => {}
        }
        s.pause_ok = false;
        // What was to follow is asked for again when it is needed.
        self.stay(id);
        self.acknowledge(now, conn, &ex);
    }

    /// A flow was held, or has ended, that a session had. It is forgotten, unless what it sent may have
    /// to be sent again.
    pub(super) fn leave_flow(&mut self, now: Time, id: u64, totals: FlowTotals, ended: bool) {
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(flow) = s.flow.take() else { return };
        s.account(&flow, totals.sequence);
        if ended {
            s.resume_at = None;
        }
        self.free_line(flow.id);
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        if ended && !flow.on_connection && s.rtx.is_some() {
            s.tail = Some(flow);
            let at = now + super::play::RESEND_WINDOW;
            self.timers.arm(Timer::Tail(id), at);
        } else {
            self.flows.remove(&flow.id);
            self.drop_flow(flow.id);
        }
    }

    fn free_line(&mut self, flow: FlowId) {
        let session = self.flows.get(&flow).and_then(|id| self.sessions.get(id));
        let conn = session.and_then(|s| s.conn);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn))
            && matches!(c.line, Line::Flow(f) | Line::Holding(f) | Line::Held(f) if f == flow)
        {
            c.line = Line::Free;
        }
    }

    /// RTSP-91, RTSP-92: the head and the first `$P` are one write, the others one each.
    pub(super) fn tcp_pair(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let mut reply = Reply {
            extra: packet_pair::TOTAL,
            ..Reply::default()
        };
        reply.body = Some(("application/x-rtsp-packetpair", Vec::new()));
        let mut first = self.compose(now, ex, 200, &reply);
        let [one, two, three] = packet_pair::packets(first.len(), &mut self.rng);
        first.extend_from_slice(&one);
        for bytes in [first, two, three] {
            self.post(conn, bytes);
        }
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
    }

    /// RTSP-93: three datagrams back to back, to the port of retransmissions.
    pub(super) fn udp_pair(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let asked = match PairRequest::parse(&ex.body) {
            Ok(asked) => asked,
            Err(fault) => return self.refuse(now, conn, ex, 400, &fault.to_string()),
        };
        let Some(s) = ex.session.and_then(|id| self.sessions.get_mut(&id)) else {
            return;
        };
        let to = s.peer;
        let Some(rtx) = s.rtx.as_mut() else {
            return self.refuse(now, conn, ex, 455, "packet pair before SETUP of rtx");
        };
        let (ssrc, sequence, port) = (rtx.ssrc, rtx.pair_sequence, rtx.port);
        rtx.pair_sequence = sequence.wrapping_add(3);
        self.acknowledge(now, conn, ex);
        let packets = pair::packets(
            asked.variable_size,
            PAYLOAD_TYPE,
            ssrc,
            sequence,
            &mut self.rng,
        );
        for packet in packets {
            self.out.push_back(Output::SendTo {
                conn,
                channel: RTP,
                peer: SocketAddr::new(to, port),
                bytes: Bytes::from(packet),
            });
        }
    }

    /// LogConnect and LogPlay.
    pub(super) fn log(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let text = String::from_utf8_lossy(&ex.body).into_owned();
        self.report_log(conn, ex, ClientLog::Xml(text));
        self.acknowledge(now, conn, ex);
    }
}
