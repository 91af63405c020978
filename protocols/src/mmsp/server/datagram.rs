//! Requests for resends (MS-MMSP 3.2.5.13). What came over UDP proves nothing: a request counts only
//! with a Client-ID that nobody else knows and from the address that media goes to anyway, and
//! answers are bounded in number, so that nobody can be flooded through us (MMSP-97, MMSP-99).

use super::Server;
use super::session::resend_bucket;
use crate::home::Home;
use crate::machine::{Channel, CoreId, Output, Time};
use crate::media::FlowCommand;
use crate::mmsp::message::ResendRequest;
use bytes::Bytes;
use std::net::SocketAddr;

impl Server {
    pub(super) fn on_datagram(
        &mut self,
        now: Time,
        channel: Channel,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(request) = ResendRequest::read(bytes) else {
            return;
        };
        // Where it is passed to it is at home: it is not passed again.
        if let Home::Core(core) = self.id_space().home(request.client_id) {
            return self.out.push_back(Output::Pass {
                core: CoreId(core),
                channel,
                peer,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
        self.resend(now, peer, &request);
    }

    fn resend(&mut self, now: Time, peer: SocketAddr, request: &ResendRequest) {
        let (rate, burst) = (self.config.resend_rate_max, self.config.resend_burst_max);
        let Some(conn) = self.ids.get(&request.client_id).copied() else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if peer.ip().to_canonical() != c.peer.ip().to_canonical()
            || u32::from(request.source_id) != super::session::FILE_ID
        {
            return;
        }
        let Some(open) = &mut c.open else { return };
        let Some(flow) = open.flow.as_ref().filter(|f| !f.on_connection) else {
            return;
        };
        // What an earlier flow sent is forgotten; what this one has not sent yet its driver knows.
        let mut wanted: Vec<u32> = request
            .sequences
            .iter()
            .map(|sequence| sequence.wrapping_sub(flow.first_sequence))
            .filter(|n| i32::try_from(*n).is_ok())
            .collect();
        let bucket = open
            .resends
            .get_or_insert_with(|| resend_bucket(rate, burst, now));
        let granted = bucket.take_up_to(wanted.len() as u64, now);
        wanted.truncate(granted as usize);
        if !wanted.is_empty() {
            self.command(conn, FlowCommand::Resend(wanted));
        }
    }
}
