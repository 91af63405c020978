//! Datagrams: requests to send packets again, and signs of life (MS-RTSP 3.2.5.10).

use super::session::State;
use super::{RTCP, Server};
use crate::machine::{Channel, Output, Time};
use crate::media::FlowCommand;
use crate::rtsp::rtcp;
use std::net::SocketAddr;

impl Server {
    /// Whatever cannot be told apart from noise is ignored, silently: what opens holes in firewalls comes
    /// here too, and an answer would reach whoever's address was forged.
    pub(super) fn on_datagram(
        &mut self,
        now: Time,
        channel: Channel,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        if channel != RTCP {
            return;
        }
        match rtcp::Resend::parse(bytes) {
            Some(resend) => self.on_resend(now, peer, &resend),
            None => self.on_report(now, peer, bytes),
        }
    }

    /// RTSP-32, RTSP-41: the SSRC in the name is the key, the address must be the session's.
    fn on_resend(&mut self, now: Time, peer: SocketAddr, resend: &rtcp::Resend) {
        let Some(id) = self.resends.get(&resend.rtx_ssrc).copied() else {
            return;
        };
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(route) = &s.route else { return };
        if s.peer != peer.ip() {
            return;
        }
        // What ended a moment ago can still be asked for.
        let Some(flow) = s.flow.as_ref().or(s.tail.as_ref()) else {
            return;
        };
        let mut sequences: Vec<u32> = Vec::new();
        for (media, number) in &resend.lost {
            if *media != route.ssrc {
                continue;
            }
            if let Some(sequence) = flow.mark.sequence_of(flow.first, *number)
                && !sequences.contains(&sequence)
            {
                sequences.push(sequence);
            }
        }
        // RTSP-45: what is asked beyond that is lost.
        let allowed = sequences
            .iter()
            .take_while(|_| s.resends.take(1, now))
            .count();
        sequences.truncate(allowed);
        if sequences.is_empty() {
            return;
        }
        let flow = flow.id;
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Resend(sequences),
        });
    }

    /// A receiver report keeps a session of plain RTSP alive. It is known by the address that its
    /// reports must come from.
    fn on_report(&mut self, now: Time, peer: SocketAddr, bytes: &[u8]) {
        let Some(id) = self.reporters.get(&peer).copied() else {
            return;
        };
        let reports =
            |p: &Result<rtcp::Packet<'_>, _>| matches!(p, Ok(rtcp::Packet::ReceiverReport { .. }));
        let playing = self
            .sessions
            .get(&id)
            .is_some_and(|s| s.state == State::Playing);
        if playing && rtcp::compound(bytes).any(|p| reports(&p)) {
            self.arm_idle(now, id);
        }
    }
}
