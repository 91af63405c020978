//! Data packets as they come: header, media, packet pair (MS-MMSP 3.1.5.11, 3.1.5.12, 3.1.6.1).

use super::link::Due;
use super::{Client, HeaderBytes, State, report};
use crate::asf;
use crate::machine::Time;
use crate::media::{IngestEvent, News};
use crate::mmsp::message::{DataHead, ToClient, ToServer};
use crate::mmsp::wire::incarnation;
use crate::rate::packet_pair::{UNLIMITED, link_rate};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// A header that does not come is asked for so often.
const HEADER_RETRY_MAX: u8 = 4;
/// Bounds of the Header timer.
const HEADER_WAIT_MIN: Duration = Duration::from_secs(1);
const HEADER_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long the last datagrams of a stream are waited for behind its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
/// Messages that wait for them: StreamChange, and the answers to what was asked before it.
const HELD_MESSAGES_MAX: usize = 32;
/// How often datagrams are asked for that must have been sent behind the newest one.
const PROBE_COUNT_MAX: u8 = 4;
/// How often those are that may have been.
const PROBE_COUNT_UNSURE: u8 = 2;
/// How many of those.
const PROBE_UNSURE: u32 = 8;

/// Waits for a header in datagrams (MMSP-64).
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderTimer {
    pub at: Time,
    expired: u8,
}

/// The stream has ended, its last datagrams may not have come yet.
#[derive(Debug)]
pub(super) struct Drain {
    hr: u32,
    until: Time,
    probe_at: Time,
    probes: u8,
    held: VecDeque<ToClient>,
}

impl Drain {
    pub fn deadline(&self) -> Time {
        self.until.min(self.probe_at)
    }

    /// A message that follows the end. False if there are too many by now to wait for anything.
    pub fn hold(&mut self, message: ToClient) -> bool {
        self.held.push_back(message);
        self.held.len() < HELD_MESSAGES_MAX
    }
}

impl Client {
    pub(super) fn data(&mut self, now: Time, head: &DataHead, payload: &[u8], datagram: bool) {
        if datagram && head.is_pair() {
            return self.pair_packet(now, head, payload.len());
        }
        let number = u32::from(head.play_incarnation);
        let by_server = head.play_incarnation == incarnation::ENTRY;
        match self.state {
            State::Describing | State::Changing
                if number == self.incarnations.header
                    || (by_server && !self.udp && self.state == State::Changing) =>
            {
                self.header_fragment(now, head, payload);
            }
            State::Waiting | State::Starting | State::Streaming | State::Stopping
                if number == self.incarnations.play
                    || (by_server && !self.udp && self.begun_by_server) =>
            {
                if number == self.incarnations.play && self.state != State::Stopping {
                    self.begun_by_server = false;
                }
                self.media(now, head, payload);
            }
            // One of an earlier start, or of a header that is there already.
            _ if datagram && number == self.incarnations.before => {
                self.reorder.take_old(head.af_flags);
            }
            _ => {}
        }
    }

    /// The two packets of a pair over UDP (bandwidth-and-start.md 3, BW-20).
    fn pair_packet(&mut self, now: Time, head: &DataHead, payload: usize) {
        let wire_len = DataHead::LEN + payload + self.config.lower_headers.datagram;
        let Some((first, at)) = self.pair_udp.replace((head.location_id, now)) else {
            return;
        };
        // A header that is asked for again comes with another pair.
        if head.location_id == first.wrapping_add(1) && self.pair_bps.is_none() {
            let micros = now.micros().saturating_sub(at.micros());
            let rate = link_rate(wire_len, micros).unwrap_or(UNLIMITED);
            self.measured(rate.min(UNLIMITED));
        }
    }

    fn header_fragment(&mut self, now: Time, head: &DataHead, payload: &[u8]) {
        if let Some(link) = &mut self.link {
            link.since = now;
        }
        match self.gathering.take(head, payload) {
            Ok(None) => {}
            Ok(Some(bytes)) => match asf::Header::parse(&bytes) {
                Ok(header) => self.header(now, (bytes, Box::new(header))),
                Err(fault) => self.fail(format!("{fault} in the header")),
            },
            Err(reason) => self.fail(reason),
        }
    }

    fn header(&mut self, now: Time, (bytes, header): HeaderBytes) {
        self.header_timer = None;
        if let Some(link) = &mut self.link {
            link.settle(Due::Header);
        }
        self.header_due = false;
        let link_bw = self.link_bw();
        self.selection = self.config.streams.of(&header, &header.streams(), link_bw);
        self.header = Some(header);
        self.report(IngestEvent::Header(bytes));
        if self.state == State::Describing {
            self.state = State::Described;
            if self.config.autoplay {
                self.start(now, self.position);
            }
            return self.close_if_done(now);
        }
        self.state = State::Waiting;
        self.keep_tally();
        self.counters = Default::default();
        self.news(News::Waiting);
        if self.config.autoselect {
            // The position counts for nothing: the entry begins where it begins.
            let position = self.position;
            self.start(now, crate::content::Start::Beginning);
            self.position = position;
        }
    }

    fn media(&mut self, now: Time, head: &DataHead, payload: &[u8]) {
        if self.udp {
            self.reorder
                .take(now, head.af_flags, head.location_id, payload);
            return self.hand_on(now);
        }
        if self.state != State::Stopping {
            self.packet(now, head.location_id, Bytes::copy_from_slice(payload));
        }
    }

    /// What came in datagrams and is in order by now.
    fn hand_on(&mut self, now: Time) {
        while let Some(packet) = self.reorder.pop() {
            // What was on its way when the stop was sent is of no interest.
            if self.state != State::Stopping {
                self.packet(now, packet.location, packet.bytes);
            }
        }
    }

    fn packet(&mut self, now: Time, number: u32, bytes: Bytes) {
        // An entry that waited may be started by the server all the same.
        if matches!(self.state, State::Starting | State::Waiting) {
            self.state = State::Streaming;
        }
        let size = self.header.as_ref().map_or(u32::MAX, |h| h.packet_size());
        let send_time = asf::Packet::parse(&bytes, size).ok().map(|p| p.send_time());
        self.counters.packet(now, bytes.len(), send_time);
        self.log_due = true;
        self.last_packet = Some(number);
        self.report(IngestEvent::Packet { number, bytes });
    }

    pub(super) fn start_header_timer(&mut self, now: Time) {
        let expired = self.header_timer.map_or(0, |t| t.expired);
        let bits = u64::from(self.file.header_size) * 8_000_000;
        let micros = bits.checked_div(u64::from(self.file.bit_rate)).unwrap_or(0);
        let transfer = Duration::from_micros(micros);
        let wait = (HEADER_WAIT_MIN + transfer).clamp(HEADER_WAIT_MIN, HEADER_WAIT_MAX);
        let at = now + wait;
        self.header_timer = Some(HeaderTimer { at, expired });
    }

    // MMSP-64
    pub(super) fn header_missed(&mut self, now: Time) {
        let Some(timer) = &mut self.header_timer else {
            return;
        };
        timer.expired += 1;
        if timer.expired <= HEADER_RETRY_MAX {
            let play_incarnation = self.incarnations.header;
            self.send(now, &ToServer::CancelReadBlock { play_incarnation });
            return self.send_read_block(now);
        }
        if self.may_fall_back && self.header.is_none() {
            return self.fall_back(now);
        }
        self.fail(format!(
            "no header in datagrams after {} requests",
            HEADER_RETRY_MAX + 1
        ));
    }

    /// What is due for datagrams: requests for those that are missing, the end behind the last one.
    pub(super) fn run_datagrams(&mut self, now: Time) {
        if !self.udp {
            return;
        }
        if self.reorder.deadline().is_some_and(|t| t <= now) {
            let requests = self.reorder.run(now);
            self.send_resend_requests(requests);
            self.hand_on(now);
        }
        let Some(drain) = &self.drain else { return };
        let (until, probe_at, probes) = (drain.until, drain.probe_at, drain.probes);
        let wanted = match self.tail() {
            Some(0) => (0, 0),
            Some(count) => (count, PROBE_COUNT_MAX),
            None => (PROBE_UNSURE, PROBE_COUNT_UNSURE),
        };
        if self.is_complete() || now >= until {
            return self.drained(now);
        }
        if now < probe_at {
            return;
        }
        if probes >= wanted.1 && self.reorder.is_whole() {
            return self.drained(now);
        }
        if let Some(drain) = &mut self.drain {
            drain.probe_at = now + self.reorder.rtt.timeout();
            drain.probes = probes.saturating_add(1);
        }
        if probes < wanted.1 {
            let requests = self.reorder.probe(now, wanted.0);
            self.send_resend_requests(requests);
        }
    }

    /// How many packets at most were sent behind the newest one, as far as the header tells.
    fn tail(&self) -> Option<u32> {
        if self.config.rate_milli != 1000 || self.config.max_duration.is_some() {
            return None;
        }
        let header = self.header.as_ref().filter(|h| !h.is_broadcast())?;
        let count = u32::try_from(header.packet_count()?)
            .ok()
            .filter(|c| *c > 0)?;
        let next = self.reorder.newest_location()?.checked_add(1)?;
        Some(count.saturating_sub(next))
    }

    /// True if nothing more can come.
    pub(super) fn is_complete(&self) -> bool {
        self.reorder.is_whole() && self.tail() == Some(0)
    }

    pub(super) fn start_drain(&mut self, now: Time, hr: u32) {
        self.drain = Some(Drain {
            hr,
            until: now + DRAIN_LIMIT,
            probe_at: now + super::reorder::REORDER_DELAY,
            probes: 0,
            held: VecDeque::new(),
        });
    }

    /// The last datagram is there, or given up: the end counts now, and what came behind it.
    pub(super) fn drained(&mut self, now: Time) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        self.reorder.give_all_up();
        self.hand_on(now);
        self.ended(now, drain.hr);
        for message in drain.held {
            self.take_message(now, message);
        }
    }

    /// A start is over: what was counted of it stays counted.
    pub(super) fn keep_tally(&mut self) {
        let mut transfer = self.transfer;
        self.add_tally(&mut transfer);
        self.transfer = transfer;
        self.reorder.tally = Default::default();
    }

    pub(super) fn add_tally(&self, transfer: &mut report::Transfer) {
        let tally = &self.reorder.tally;
        transfer.received += tally.received;
        transfer.recovered += tally.recovered;
        transfer.duplicates += tally.duplicates;
        transfer.lost += tally.lost;
        transfer.requests += tally.requests;
    }
}
