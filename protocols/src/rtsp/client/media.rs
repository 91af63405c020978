//! RTP packets as they come, and ASF packets out of them (MS-RTSP 3.1.5.12).

use super::order::{Order, Way};
use super::{Client, MEDIA, RTX, State};
use crate::asf;
use crate::machine::{Channel, Output, Time};
use crate::media::IngestEvent;
use crate::rtsp::body::EndReason;
use crate::rtsp::fec::Recovery;
use crate::rtsp::payload::{Depacketizer, PayloadHead, Unit};
use crate::rtsp::reader::Message;
use crate::rtsp::rtp::{HEAD_LEN, Packet};
use crate::rtsp::rtp_info::StreamEntry;
use crate::rtsp::{pair, rtcp};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// Most sources of media in one session.
pub(super) const LANES_MAX: usize = 128;
/// How long the last datagrams of a stream are waited for behind its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
/// Most datagrams that may be in front of the reply to Play.
const EARLY_COUNT_MAX: usize = 1024;

/// One source of RTP packets.
#[derive(Debug)]
pub(super) struct Lane {
    pub ssrc: u32,
    pub order: Order,
    /// Something came of it.
    pub heard: bool,
    pieces: Depacketizer,
    recovery: Recovery,
}

impl Lane {
    pub fn new(ssrc: u32, packet_max: usize) -> Lane {
        Lane {
            ssrc,
            order: Order::default(),
            heard: false,
            pieces: Depacketizer::new(packet_max),
            recovery: Recovery::new(ssrc),
        }
    }

    /// What comes now belongs to another entry.
    pub fn begin_entry(&mut self, packet_max: usize) {
        self.pieces = Depacketizer::new(packet_max);
    }

    /// A packet, and what error correction makes of it (RTSP-27).
    fn take(&mut self, now: Time, way: Way, packet: &Packet<'_>, bytes: Bytes) {
        self.heard = true;
        self.order.take(now, packet.header.sequence, way, bytes);
        if self.order.rules.block > 0 {
            for back in self.recovery.source(packet) {
                self.take_back(now, &back);
            }
        }
    }

    fn repair(&mut self, now: Time, payload: &[u8]) {
        for back in self.recovery.repair(payload).unwrap_or_default() {
            self.take_back(now, &back);
        }
    }

    fn take_back(&mut self, now: Time, back: &crate::rtsp::fec::Recovered) {
        let mut bytes = Vec::with_capacity(HEAD_LEN + back.body.len());
        bytes.extend_from_slice(&back.header.emit());
        bytes.extend_from_slice(&back.body);
        let sequence = back.header.sequence;
        self.order.take(now, sequence, Way::Corrected, bytes.into());
    }

    /// ASF packets that are whole by now.
    fn units(&mut self) -> Vec<(Unit, Bytes)> {
        let mut units = Vec::new();
        while let Some(bytes) = self.order.pop() {
            self.unpack(&bytes, &mut units);
        }
        units
    }

    fn unpack(&mut self, bytes: &[u8], units: &mut Vec<(Unit, Bytes)>) {
        let Ok(packet) = Packet::parse(bytes) else {
            return;
        };
        // What cannot be read is as good as lost.
        let _ = self.pieces.push(&packet, |unit, asf| {
            units.push((unit, Bytes::copy_from_slice(asf)));
        });
    }
}

/// The stream has ended, its last datagrams may not have come yet.
#[derive(Debug)]
pub(super) struct Drain {
    reason: Option<EndReason>,
    pub until: Time,
    /// What follows, and waits for them.
    pub announced: Option<Box<Message>>,
}

impl Drain {
    pub fn new(now: Time, reason: Option<EndReason>) -> Drain {
        Drain {
            reason,
            until: now + DRAIN_LIMIT,
            announced: None,
        }
    }
}

impl Client {
    /// A frame on the connection: RTP on the even channel of a pair.
    pub(super) fn frame(&mut self, now: Time, channel: u8, bytes: &[u8]) {
        if !channel.is_multiple_of(2) || !self.takes_media() {
            return;
        }
        let Ok(packet) = Packet::parse(bytes) else {
            return;
        };
        let Some(lane) = self.lane(packet.header.ssrc) else {
            return;
        };
        lane.heard = true;
        let mut units = Vec::new();
        lane.unpack(bytes, &mut units);
        for (unit, bytes) in units {
            self.packet(now, unit, bytes);
        }
    }

    pub(super) fn datagram(&mut self, now: Time, channel: Channel, peer: SocketAddr, bytes: &[u8]) {
        let ends = self.link.as_ref().and_then(|l| l.ends);
        if !self.udp || ends.is_none_or(|(server, _)| server.ip() != peer.ip()) {
            return;
        }
        let Ok(packet) = Packet::parse(bytes) else {
            return;
        };
        let is_pair = |p: &Packet<'_>| {
            let rtx = self.rtx.is_some_and(|rtx| rtx.ssrc == p.header.ssrc);
            rtx || p.header.timestamp == 0 && self.measuring_datagrams()
        };
        if channel == RTX && is_pair(&packet) {
            return self.pair_packet(now, &packet);
        }
        if !self.takes_media() {
            return;
        }
        let known = |ssrc| self.lanes.iter().any(|l| l.ssrc == ssrc);
        if self.awaits_play() {
            if channel == MEDIA && self.early.len() < EARLY_COUNT_MAX {
                self.early.push_back(Bytes::copy_from_slice(bytes));
            }
        } else if channel == MEDIA && self.is_correction(&packet) {
            self.hear();
            self.correct(now, &packet);
        } else if known(packet.header.ssrc) || self.legs.iter().any(|l| l.ssrc.is_none()) {
            self.hear();
            let way = if channel == RTX {
                Way::Again
            } else {
                Way::Media
            };
            if let Some(lane) = self.lane(packet.header.ssrc) {
                lane.take(now, way, &packet, Bytes::copy_from_slice(bytes));
            }
        }
        self.hand_on(now);
        if self.drain.is_some() && self.is_complete() {
            self.drained(now);
        }
    }

    /// Datagrams get through.
    fn hear(&mut self) {
        self.heard = true;
        self.firewall = None;
    }

    fn measuring_datagrams(&self) -> bool {
        self.state == State::SettingUp
            && (self.firewall.is_some() || self.measuring.until.is_some())
    }

    fn pair_packet(&mut self, now: Time, packet: &Packet<'_>) {
        let head = PayloadHead::parse(packet.payload);
        let Ok(head) = head else { return };
        let len = packet.payload.len() - head.wire_len();
        if pair::place(len).is_some() {
            self.heard = true;
            self.pair_datagram(now, len);
        }
    }

    /// Media that comes now is what was asked for.
    fn takes_media(&self) -> bool {
        match self.state {
            State::Starting | State::Streaming | State::EntryEnded => true,
            State::Waiting | State::SettingUp => self.begun_by_server,
            _ => false,
        }
    }

    /// Where media begins is not known yet.
    fn awaits_play(&self) -> bool {
        let play = |k: &super::link::Kind| *k == super::link::Kind::Play;
        self.link.as_ref().is_some_and(|l| l.has(play))
    }

    fn is_correction(&self, packet: &Packet<'_>) -> bool {
        let media = self.lanes.iter().any(|l| l.ssrc == packet.header.ssrc);
        !media
            && self.corrections.iter().any(|c| {
                c.ssrc == Some(packet.header.ssrc) || c.payload_type == packet.header.payload_type
            })
    }

    /// Correction goes for the stream that it was set up for, unless all go with one.
    fn correct(&mut self, now: Time, packet: &Packet<'_>) {
        let own = self
            .corrections
            .iter()
            .find(|c| c.ssrc == Some(packet.header.ssrc));
        let source = own.and_then(|c| c.source);
        let at = self
            .lanes
            .iter()
            .position(|l| l.heard && Some(l.ssrc) == source);
        let at = at.or(self.lanes.iter().position(|l| l.heard));
        let at = at.or(self.lanes.iter().position(|l| Some(l.ssrc) == source));
        if let Some(lane) = at.and_then(|at| self.lanes.get_mut(at)) {
            lane.repair(now, packet.body);
        }
    }

    /// The reply to Play says where media begins.
    pub(super) fn media_begins(&mut self, now: Time, entries: &[StreamEntry]) {
        self.lanes.iter_mut().for_each(|l| l.order.abandon());
        for (ssrc, sequence) in self.sources(entries) {
            if let Some(lane) = self.lane(ssrc) {
                lane.order.start(sequence);
            }
        }
        for bytes in std::mem::take(&mut self.early) {
            self.datagram_again(now, &bytes);
        }
        self.hand_on(now);
    }

    /// One that came before the reply to Play.
    fn datagram_again(&mut self, now: Time, bytes: &Bytes) {
        let ends = self.link.as_ref().and_then(|l| l.ends);
        if let Some((peer, _)) = ends {
            self.datagram(now, MEDIA, peer, bytes);
        }
    }

    /// What came and is in order by now.
    pub(super) fn hand_on(&mut self, now: Time) {
        for at in 0..self.lanes.len() {
            let units = self.lanes.get_mut(at).map(Lane::units).unwrap_or_default();
            for (unit, bytes) in units {
                self.packet(now, unit, bytes);
            }
        }
    }

    fn packet(&mut self, now: Time, unit: Unit, bytes: Bytes) {
        if !self.takes_media() {
            return;
        }
        if self.state == State::Starting {
            self.state = State::Streaming;
        }
        let size = self.header.as_ref().map_or(u32::MAX, |h| h.packet_size());
        let send_time = asf::Packet::parse(&bytes, size).ok().map(|p| p.send_time());
        let send_time = send_time.unwrap_or(unit.send_time);
        self.counters.packet(now, bytes.len(), Some(send_time));
        self.log_due = true;
        let number = unit.location.unwrap_or(self.next_number);
        self.next_number = number.wrapping_add(1);
        self.last_packet = Some((number, unit.location.is_some()));
        self.report(IngestEvent::Packet { number, bytes });
    }

    /// What is due for datagrams: requests for those that are missing, the end behind the last one.
    pub(super) fn run_media(&mut self, now: Time) {
        let mut wanted = Vec::new();
        for lane in &mut self.lanes {
            if lane.order.deadline().is_some_and(|t| t <= now) {
                wanted.push((lane.ssrc, lane.order.run(now)));
            }
        }
        for (media, lost) in wanted {
            self.ask_again(media, lost);
        }
        self.hand_on(now);
        let over = |d: &Drain| d.until <= now;
        if self
            .drain
            .as_ref()
            .is_some_and(|d| over(d) || self.is_complete())
        {
            self.drained(now);
        }
    }

    // RTSP-38, RTSP-39, RTSP-44
    fn ask_again(&mut self, media: u32, lost: Vec<u16>) {
        let ends = self.link.as_ref().and_then(|l| Some((l.conn, l.ends?.0)));
        let (Some(rtx), Some((conn, server))) = (self.rtx, ends) else {
            return;
        };
        for compound in rtcp::resend_requests(self.ssrc, rtx.ssrc, media, lost) {
            self.requests += 1;
            self.out.push_back(Output::SendTo {
                conn,
                channel: RTX,
                peer: SocketAddr::new(server.ip(), rtx.port),
                bytes: Bytes::from(compound),
            });
        }
    }

    /// True if nothing more of what was sent can come.
    pub(super) fn is_complete(&self) -> bool {
        self.lanes.iter().all(|l| l.order.is_whole())
    }

    /// The last datagram is there, or given up: the end counts now, and what came behind it.
    pub(super) fn drained(&mut self, now: Time) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        self.lanes
            .iter_mut()
            .for_each(|l| l.order.give_up_before_stop());
        self.hand_on(now);
        if !self.heard {
            return self.fall_back(now);
        }
        self.ended(now, drain.reason);
        if let Some(message) = drain.announced {
            self.take_entry(now, &message);
        }
    }

    /// What is counted from now on is of another start.
    pub(super) fn count_anew(&mut self) {
        self.counters = Default::default();
        self.before = self.transfer();
    }
}
