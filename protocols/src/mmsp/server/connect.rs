//! From Connect to the funnel (MS-MMSP 3.2.5.3 to 3.2.5.5).

use super::session::{Client, State};
use super::{Server, Timer};
use crate::auth::Scheme;
use crate::machine::{CloseHow, ConnId, Output, Report, Time};
use crate::mmsp::hresult;
use crate::mmsp::message::ToClient;
use crate::mmsp::names::{Funnel, Subscriber};
use crate::mmsp::wire::{Asks, incarnation};
use rand_chacha::rand_core::RngCore;

/// Random bytes of the three packets of a pair over TCP (MMSP-29, BW-19).
const PAIR_BYTES: [usize; 3] = [432, 432, 976];
/// Packet pairs over TCP that one session gets.
const PAIRS_MAX: u8 = 2;

/// FunnelInfo.playIncarnation of FFmpeg, and of nobody else.
const FFMPEG_PAIR: u32 = 0x00F0_F0F0;

impl Server {
    pub(super) fn connect(
        &mut self,
        now: Time,
        conn: ConnId,
        play_incarnation: u32,
        subscriber_name: &str,
    ) {
        let client = Client::new(Subscriber::parse(subscriber_name));
        let refusal = if self.draining {
            Some((
                hresult::NS_E_NO_NEW_CONNECTIONS,
                "the server is being drained",
            ))
        } else if self.ids.len() >= self.config.session_count_max {
            Some((hresult::NS_E_TOO_MANY_SESS, "too many sessions"))
        } else {
            None
        };
        if let Some((hr, reason)) = refusal {
            if let Some(c) = self.conns.get(&conn) {
                self.out.push_back(Output::Report(Box::new(Report::Refused {
                    peer: c.peer,
                    target: String::new(),
                    user_agent: client.product.into(),
                    status: 503,
                    reason: reason.into(),
                })));
            }
            self.refuse(now, conn, Asks::Connect, hr, 0);
            return self.close(conn, CloseHow::Flush, None);
        }
        // MMSP-21
        let taken = |id| self.ids.contains_key(&id);
        let space = super::IdSpace::new(self.config.core, self.config.cores);
        let client_id = space.draw(&mut self.rng, taken);
        self.ids.insert(client_id, conn);
        let number = self.count();
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.client = client;
        c.client_id = client_id;
        c.number = number;
        c.state = State::Connected;
        self.timers.disarm(Timer::Request(conn));
        self.arm_idle(now, conn);
        // MMSP-18
        let offered = match play_incarnation {
            incarnation::PAIR => incarnation::PAIR,
            _ => incarnation::NO_PAIR,
        };
        let report = self.connected_ex(hresult::S_OK, offered);
        self.say(now, conn, &report);
    }

    /// MMSP-16, MMSP-20. VersionInfo stays empty, or old players would want to replace themselves.
    pub(super) fn connected_ex(&self, hr: u32, play_incarnation: u32) -> ToClient {
        // MMSP-19
        let package = match self.config.authen_package {
            Some(Scheme::Basic) => "BASIC",
            Some(Scheme::Ntlm) => "NTLM",
            Some(Scheme::Digest) | None => "",
        };
        ToClient::ReportConnectedEx {
            hr,
            play_incarnation,
            server_version: self.config.version.clone(),
            version_info: String::new(),
            version_url: String::new(),
            authen_package: package.into(),
        }
    }

    pub(super) fn funnel_info(&mut self, now: Time, conn: ConnId, play_incarnation: u32) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let client_id = c.client_id;
        c.is_ffmpeg = play_incarnation == FFMPEG_PAIR;
        let mut sizes = &[0][..];
        let granted = match play_incarnation {
            incarnation::PAIR | incarnation::PAIR_TCP if c.pairs < PAIRS_MAX => {
                c.pairs += 1;
                sizes = &PAIR_BYTES;
                incarnation::PAIR_TCP
            }
            // MMSP-30
            incarnation::PAIR_UDP if self.config.udp => {
                c.udp_pair = true;
                incarnation::PAIR_UDP
            }
            // MMSP-28: FFmpeg asks with 00F0F0F0 and dies of a second report.
            _ => incarnation::NO_PAIR,
        };
        // Three writes, so that each is a segment of its own: packets that share one arrive together
        // and measure nothing.
        for size in sizes {
            let mut pair = vec![0; *size];
            self.rng.fill_bytes(&mut pair);
            let report = ToClient::ReportFunnelInfo {
                play_incarnation: granted,
                client_id,
                pair,
            };
            self.say(now, conn, &report);
        }
    }

    // MMSP-31, MMSP-32, MMSP-33
    pub(super) fn connect_funnel(&mut self, now: Time, conn: ConnId, name: &str) {
        let funnel = match Funnel::parse(name) {
            Ok(Funnel::Udp(_)) if !self.config.udp => Err(hresult::NS_E_PROTOCOL_MISMATCH),
            other => other,
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        match funnel {
            Ok(funnel) => {
                c.funnel = funnel;
                c.state = State::Funneled;
                self.say(now, conn, &ToClient::ReportConnectedFunnel);
            }
            Err(hr) => {
                c.state = State::Connected;
                self.say(now, conn, &ToClient::ReportDisconnectedFunnel { hr });
            }
        }
    }
}
