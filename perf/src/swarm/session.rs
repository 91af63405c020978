//! One player: its sockets, and what it checks in the packets it gets.

use super::ages::AgeBook;
use super::checks::{Numbers, Place};
use super::speech::{Heard, Speech};
use super::{Checks, Plan, Protocol};
use crate::media::DataHead;
use crate::stats::{Durations, Timelines};
use socket2::Socket;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Connecting,
    Dialogue,
    Media,
    Over,
}

/// One player.
pub(super) struct Session {
    pub socket: Option<Socket>,
    pub state: State,
    /// Bytes that a slow session may read now.
    pub allowance: f64,
    /// When it says next that it lives, if it must.
    pub keep_alive_ns: u64,
    pub speech: Speech,
    pub track: Track,
}

impl Session {
    pub fn new(protocol: Protocol, slow: bool) -> Session {
        Session {
            socket: None,
            state: State::Waiting,
            allowance: 0.0,
            keep_alive_ns: 0,
            speech: Speech::new(protocol),
            track: Track::new(slow, protocol),
        }
    }

    pub fn fd(&self) -> Option<i32> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// What a session has got so far.
pub(super) struct Track {
    pub slow: bool,
    pub started_ns: u64,
    pub accepted: bool,
    pub played: bool,
    pub ended: bool,
    /// When media came last.
    pub heard_ns: u64,
    numbers: Numbers,
    timeline: usize,
    own_zero_us: i64,
    moved: bool,
}

impl Track {
    fn new(slow: bool, protocol: Protocol) -> Track {
        Track {
            slow,
            started_ns: 0,
            accepted: false,
            played: false,
            ended: false,
            heard_ns: 0,
            numbers: Numbers::new(protocol.over_udp(), protocol.sequence_max()),
            timeline: 0,
            own_zero_us: i64::MAX,
            moved: false,
        }
    }

    /// Take note of what the server says.
    pub fn hear(&mut self, ledger: &mut Ledger, heard: Heard, now: u64) {
        match heard {
            Heard::Data(head) => self.on_data(ledger, &head, now),
            // Each entry is granted anew.
            Heard::Accepted if self.accepted => {}
            Heard::Accepted => {
                self.accepted = true;
                ledger.response.record((now - self.started_ns) / 1000);
            }
            Heard::StreamChange => {
                ledger.checks_of(self.slow).stream_changes += 1;
                self.numbers.next_entry();
            }
            Heard::Stray => ledger.checks_of(self.slow).strays += 1,
            Heard::End(reason) => self.on_end(ledger, reason),
        }
    }

    fn on_end(&mut self, ledger: &mut Ledger, reason: u32) {
        // 1: more entries follow.
        if reason == 1 || self.ended {
            return;
        }
        self.ended = true;
        ledger.ended += 1;
        if self.played {
            ledger.playing -= 1;
        }
        if reason != 0 {
            *ledger
                .reasons
                .entry(format!("end with {reason:#010x}"))
                .or_default() += 1;
        }
    }

    fn on_data(&mut self, ledger: &mut Ledger, head: &DataHead, now: u64) {
        let packet_size = ledger.packet_size;
        self.heard_ns = now;
        let first = !self.played;
        if first {
            self.played = true;
            ledger.playing += 1;
            ledger.first_media.record((now - self.started_ns) / 1000);
        }
        let checks = ledger.checks_of(self.slow);
        let gaps = checks.gaps;
        let place = self.numbers.check(checks, head, packet_size);
        if self.slow && ledger.slow_checks.gaps > gaps {
            ledger.landings.extend(head.location);
            ledger.slow_moved += usize::from(!self.moved);
            self.moved = true;
        }
        let (Some(send_time), false) = (head.send_time, place == Place::Duplicate) else {
            return;
        };
        ledger.packets += u64::from(ledger.record);
        if let (Some(ages), Some(number)) = (&mut ledger.ages, head.location) {
            ages.note(number, now);
        }
        self.note_lateness(ledger, send_time, first, place == Place::Restart, now);
    }

    fn note_lateness(
        &mut self,
        ledger: &mut Ledger,
        send_time: u32,
        first: bool,
        restarted: bool,
        now: u64,
    ) {
        let delta = (now / 1000) as i64 - i64::from(send_time) * 1000;
        if first || restarted {
            self.own_zero_us = delta;
        } else {
            self.own_zero_us = self.own_zero_us.min(delta);
        }
        let own = (delta - self.own_zero_us) as u64;
        if self.slow {
            if ledger.record {
                ledger.slow.record(own);
            }
            return;
        }
        if ledger.record {
            ledger.own.record(own);
        }
        if ledger.live {
            if first {
                self.timeline = ledger.timelines.join(delta);
            } else if restarted {
                self.timeline = ledger.timelines.restart(delta);
            }
            ledger.timelines.note(self.timeline, delta, ledger.record);
        }
    }
}

/// Counters that sessions write to; apart from the sessions so that both can be borrowed.
pub(super) struct Ledger {
    pub live: bool,
    pub packet_size: u32,
    pub record: bool,
    pub bytes: u64,
    pub packets: u64,
    pub receives: u64,
    pub timelines: Timelines,
    pub ages: Option<AgeBook>,
    pub own: Durations,
    pub slow: Durations,
    pub first_media: Durations,
    pub response: Durations,
    pub checks: Checks,
    pub slow_checks: Checks,
    pub slow_moved: usize,
    pub landings: Vec<u32>,
    pub reasons: BTreeMap<String, usize>,
    pub playing: usize,
    pub failed: usize,
    pub lost: usize,
    pub ended: usize,
}

impl Ledger {
    pub fn new(plan: &Plan) -> Ledger {
        Ledger {
            live: plan.live,
            packet_size: plan.packet_size,
            record: false,
            bytes: 0,
            packets: 0,
            receives: 0,
            timelines: Timelines::default(),
            ages: plan.pushed.clone().map(AgeBook::new),
            own: Durations::default(),
            slow: Durations::default(),
            first_media: Durations::default(),
            response: Durations::default(),
            checks: Checks::default(),
            slow_checks: Checks::default(),
            slow_moved: 0,
            landings: Vec::new(),
            reasons: BTreeMap::new(),
            playing: 0,
            failed: 0,
            lost: 0,
            ended: 0,
        }
    }

    fn checks_of(&mut self, slow: bool) -> &mut Checks {
        if slow {
            &mut self.slow_checks
        } else {
            &mut self.checks
        }
    }
}
