//! What is settled before the streams: retransmission, the link's rate, whether datagrams get through at all
//! (MS-RTSP 3.1.5.5 to 3.1.5.8; rtsp-wme.md 6.2, step 2).

use super::link::{Ask, Kind};
use super::pair::{Arrivals, Datagrams};
use super::setup::spec_of;
use super::{Client, RTX, State};
use crate::machine::{Channel, Output, Time};
use crate::media::IngestEvent;
use crate::rtsp::body::{ContentType, PairRequest};
use crate::rtsp::head::{Head, Method};
use crate::rtsp::rtcp::Compound;
use crate::rtsp::sdp::Encoding;
use crate::rtsp::sdp_reader::resolve;
use crate::wmsp::features::Supported;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the last packet of a pair may be behind the first of them that came.
const PAIR_WAIT: Duration = Duration::from_millis(500);

/// Retransmission that is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtx {
    pub ssrc: u32,
    /// Where requests go.
    pub port: u16,
}

/// Packet pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Measuring {
    pub arrivals: Arrivals,
    pub datagrams: Datagrams,
    /// The rest of the pair is waited for until then.
    pub until: Option<Time>,
    /// A pair is waited for, or was.
    pub tried: bool,
    pub bps: Option<u64>,
}

impl Client {
    /// Set up what is to be played, in a session that does not play: retransmission and packet pair
    /// first (rtsp-wme.md 6.2, steps 2 and 3).
    pub(super) fn set_up(&mut self, now: Time) {
        let sections = self.content.as_ref().map(|c| &c.media[..]).unwrap_or(&[]);
        let rtx = sections
            .iter()
            .find(|m| m.encoding == Encoding::Retransmission);
        let wants = self.config.resends || self.config.packet_pair;
        let port = self.config.rtx_port;
        let rtx = rtx.filter(|_| self.udp && wants && port != 0 && self.rtx.is_none());
        let Some(url) = rtx.map(|m| resolve(&self.base, &m.control)) else {
            return self.measure(now);
        };
        let spec = self.datagram_spec(port);
        let ask = Ask::new(Kind::Rtx, Method::Setup, url).with("Transport", spec);
        let ask = self.about_streams(ask);
        self.request(now, self.conditional(ask));
    }

    pub(super) fn rtx_replied(&mut self, now: Time, head: &Head) {
        if let Some(spec) = spec_of(head)
            && let (Some(ssrc), Some(port)) = (spec.ssrc, spec.server_port)
        {
            let port = port.second.unwrap_or(port.first.wrapping_add(1));
            self.rtx = Some(Rtx { ssrc, port });
            self.punch(RTX, port);
        }
        if self.state == State::SettingUp {
            self.measure(now);
        }
    }

    /// A packet pair, of servers that say they send one.
    fn measure(&mut self, now: Time) {
        let offered = self.server.supported.has(Supported::PACKET_PAIR);
        let wants = self.config.packet_pair && offered && !self.measuring.tried;
        match (wants, self.udp, self.rtx) {
            (true, true, Some(_)) => {
                let body = PairRequest {
                    variable_size: false,
                };
                let ask = Ask::new(Kind::UdpPair, Method::SetParameter, self.base.clone())
                    .body(ContentType::UdpPacketPair, body.text());
                let ask = self.about_streams(ask);
                self.measuring.tried = true;
                self.request(now, ask);
                self.arm_firewall(now);
            }
            (true, false, _) => {
                let ask = Ask::new(Kind::TcpPair, Method::GetParameter, self.url.to_string())
                    .body(ContentType::PacketPair, "");
                self.measuring.tried = true;
                self.measuring.arrivals = Arrivals::default();
                self.request(now, ask);
            }
            _ => self.set_up_streams(now),
        }
    }

    pub(super) fn pair_replied(&mut self, now: Time, body: &[u8]) {
        let end = self.link.as_ref().map_or(0, |l| l.reader.offset());
        let lower = self.config.lower_headers.segment;
        let rate = self.measuring.arrivals.rate(body, end, lower);
        self.measuring.arrivals = Arrivals::default();
        self.measured(rate);
        if self.state == State::SettingUp {
            self.set_up_streams(now);
        }
    }

    /// UdpPacketPair was answered; without an error the pair is waited for.
    pub(super) fn datagram_pair_replied(&mut self, now: Time, status: u16) {
        if status >= 300 && self.firewall.take().is_some() {
            self.measured_datagrams(now);
        }
    }

    /// One of the packets of a pair came.
    pub(super) fn pair_datagram(&mut self, now: Time, len: usize) {
        let lower = self.config.lower_headers.datagram;
        let last = self.measuring.datagrams.take(now, len, lower);
        if self.firewall.take().is_some() && self.state == State::SettingUp {
            self.measuring.until = Some(now + PAIR_WAIT);
        }
        if last && self.measuring.until.is_some() {
            self.measured_datagrams(now);
        }
    }

    /// The pair came as far as it will.
    pub(super) fn measured_datagrams(&mut self, now: Time) {
        self.measuring.until = None;
        self.measured(self.measuring.datagrams.rate());
        if self.state == State::SettingUp {
            self.set_up_streams(now);
        }
    }

    fn measured(&mut self, rate: Option<u64>) {
        if let Some(rate) = rate {
            self.measuring.bps = Some(rate);
            self.report(IngestEvent::Bandwidth(rate));
        }
    }

    // RTSP-122
    pub(super) fn firewall_expired(&mut self, now: Time) {
        let waits = self.state == State::SettingUp;
        if !waits || !self.may_fall_back {
            return self.fall_back(now);
        }
        self.udp = false;
        self.may_fall_back = false;
        self.measuring.tried = false;
        self.measure(now);
    }

    /// Open the way for what the server will send: an empty report of reception.
    pub(super) fn punch(&mut self, channel: Channel, port: u16) {
        let Some((conn, (peer, _))) = self.link.as_ref().and_then(|l| Some((l.conn, l.ends?)))
        else {
            return;
        };
        let mut report = Compound::default();
        report.receiver_report(self.ssrc, &[]);
        self.out.push_back(Output::SendTo {
            conn,
            channel,
            peer: SocketAddr::new(peer.ip(), port),
            bytes: Bytes::from(report.finish()),
        });
    }
}
