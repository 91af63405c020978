//! RTP packets of one source back in their order: sequence numbers extended beyond 16 bits, what is
//! missing asked for again or waited for, what came twice dropped (RTSP-121, MS-RTSP 3.1.5.12.2).

use crate::client::rtt::Rtt;
use crate::machine::Time;
use crate::rtsp::rtp::{QUEUE_MAX, ahead};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a packet may come after a later one before it counts as lost.
const REORDER_DELAY: Duration = Duration::from_millis(10);
/// How often one packet is asked for.
const ASK_COUNT_MAX: u8 = 4;
/// How long those behind a missing packet wait for one that is asked for.
const ASK_PATIENCE: Duration = Duration::from_secs(3);
/// And for one that is not, where only the order may have been upset.
const ORDER_PATIENCE: Duration = Duration::from_secs(1);
/// And where correction packets may bring it, which come behind a block of slow media.
const CORRECTION_PATIENCE: Duration = Duration::from_secs(15);
/// Packets from the first that is missing to the newest, at most.
const SPAN_MAX: u64 = 4096;
/// Where the first sequence number lies, so that others can lie before it.
const ORIGIN: u64 = 1 << 32;

/// By which way a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Media,
    /// Because it was asked for.
    Again,
    /// From correction packets.
    Corrected,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub received: u64,
    pub recovered: u64,
    pub corrected: u64,
    pub duplicates: u64,
    pub lost: u64,
    /// Most of those in a row since the last start.
    pub lost_in_a_row: u64,
}

/// How missing packets are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// They can be asked for.
    pub asks: bool,
    /// Packets of a block with those that correct it; 0 without correction.
    pub block: usize,
}

impl Rules {
    fn patience(self) -> Duration {
        match (self.asks, self.block) {
            (true, _) => ASK_PATIENCE,
            (false, 0) => ORDER_PATIENCE,
            (false, _) => CORRECTION_PATIENCE,
        }
    }

    /// RTP-Queue-Limit: packets that wait for one that nobody asks for.
    fn limit(self) -> u64 {
        match self.block {
            0 => QUEUE_MAX as u64,
            // The correction of a block may itself be late by as much as anything else.
            block => block.max(QUEUE_MAX) as u64,
        }
    }
}

#[derive(Debug)]
enum Slot {
    Packet(Bytes),
    Lost,
}

#[derive(Debug)]
struct Missing {
    noticed: Time,
    asked: u8,
    asked_at: Time,
    /// When to ask, or when to give it up.
    due: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub rules: Rules,
    /// The next packet that is handed on; `None` before the first start.
    next: Option<u64>,
    /// What is before belongs to an earlier start.
    floor: u64,
    /// One behind the newest known.
    end: u64,
    /// Packets from here on are not handed on yet.
    stop: Option<u64>,
    held: BTreeMap<u64, Slot>,
    missing: BTreeMap<u64, Missing>,
    lost_run: u64,
    ready: VecDeque<Bytes>,
    pub rtt: Rtt,
    pub tally: Tally,
}

impl Order {
    /// Media begins with this number; what was waited for before is of no interest any more.
    pub fn start(&mut self, sequence: u16) {
        let at = match self.next {
            Some(_) => self.extend(sequence),
            None => ORIGIN + u64::from(sequence),
        };
        self.abandon();
        self.next = Some(at);
        self.floor = at;
        self.end = at;
        self.lost_run = 0;
        self.tally.lost_in_a_row = 0;
    }

    /// Nothing more is waited for or handed on.
    pub fn abandon(&mut self) {
        self.held.clear();
        self.missing.clear();
        self.ready.clear();
        self.stop = None;
        // What still comes is late.
        self.next = self.next.map(|next| next.max(self.end));
    }

    /// A packet came.
    pub fn take(&mut self, now: Time, sequence: u16, way: Way, bytes: Bytes) {
        if self.next.is_none() {
            self.start(sequence);
        }
        let at = self.extend(sequence);
        let Some(next) = self.next else { return };
        if at < self.floor {
            return;
        }
        if at < next || self.held.contains_key(&at) {
            // What was made good comes itself after all, often enough.
            self.tally.duplicates += u64::from(way != Way::Corrected);
            return;
        }
        if at >= self.end {
            self.reach(now, at);
        } else if let Some(missing) = self.missing.remove(&at)
            && way == Way::Again
            && missing.asked == 1
        {
            self.rtt.sample(now.since(missing.asked_at));
        }
        match way {
            Way::Media => self.tally.received += 1,
            Way::Again => self.tally.recovered += 1,
            Way::Corrected => self.tally.corrected += 1,
        }
        self.held.insert(at, Slot::Packet(bytes));
        self.crowd_out();
        self.advance();
    }

    /// Nothing from this number on belongs to what plays, and all before it was sent.
    pub fn stop_at(&mut self, now: Time, sequence: u16) {
        if self.next.is_none() {
            self.start(sequence);
        }
        let stop = self.extend(sequence);
        // A number that cannot be is none.
        if stop.saturating_sub(self.end) > SPAN_MAX || stop < self.floor {
            return;
        }
        self.miss(now, self.end, stop);
        self.end = self.end.max(stop);
        self.stop = Some(stop);
    }

    /// Everything before the stop was handed on, or nothing is waited for.
    pub fn is_whole(&self) -> bool {
        let stop = self.stop.unwrap_or(u64::MAX);
        self.missing.range(..stop).next().is_none()
    }

    /// What is missing before the stop is lost.
    pub fn give_up_before_stop(&mut self) {
        let stop = self.stop.unwrap_or(u64::MAX);
        let all: Vec<u64> = self.missing.range(..stop).map(|(n, _)| *n).collect();
        all.into_iter().for_each(|n| self.give_up(n));
        self.advance();
    }

    /// What comes behind the stop is handed on, too.
    pub fn go_on(&mut self) {
        self.stop = None;
        self.advance();
    }

    /// The next packet in order.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    pub fn deadline(&self) -> Option<Time> {
        self.missing.values().map(|m| m.due).min()
    }

    /// Do what is due: gives the numbers to ask for now.
    pub fn run(&mut self, now: Time) -> Vec<u16> {
        let (patience, timeout) = (self.rules.patience(), self.rtt.timeout());
        let mut wanted = Vec::new();
        let mut over = Vec::new();
        for (&number, missing) in &mut self.missing {
            if missing.due > now {
                continue;
            }
            let late = missing.noticed + patience <= now;
            if late || missing.asked >= ASK_COUNT_MAX || !self.rules.asks {
                over.push(number);
                continue;
            }
            missing.asked += 1;
            missing.asked_at = now;
            missing.due = (now + timeout).min(missing.noticed + patience);
            wanted.push(number as u16);
        }
        // With correction, a packet that was asked for in vain may still be made good.
        for number in over {
            self.give_up(number);
        }
        self.advance();
        wanted
    }

    fn extend(&self, sequence: u16) -> u64 {
        let distance = ahead(sequence, self.end as u16);
        self.end.saturating_add_signed(distance.into())
    }

    /// A new newest packet: what lies between is missing.
    fn reach(&mut self, now: Time, at: u64) {
        self.miss(now, self.end, at);
        self.end = at + 1;
        let named = self.end.saturating_sub(SPAN_MAX);
        let far: Vec<u64> = self.missing.range(..named).map(|(n, _)| *n).collect();
        far.into_iter().for_each(|n| self.give_up(n));
    }

    fn miss(&mut self, now: Time, from: u64, to: u64) {
        let due = match self.rules.asks {
            true => now + REORDER_DELAY,
            false => now + self.rules.patience(),
        };
        // Of a jump that no loss explains only the last part is waited for.
        let from = from.max(to.saturating_sub(SPAN_MAX));
        if let Some(next) = &mut self.next
            && *next < from
            && self.held.is_empty()
            && self.missing.is_empty()
        {
            self.tally.lost += from - *next;
            *next = from;
        }
        for number in from..to {
            let missing = Missing {
                noticed: now,
                asked: 0,
                asked_at: now,
                due,
            };
            self.missing.insert(number, missing);
        }
    }

    /// No more than the limit wait for one that nobody asks for.
    fn crowd_out(&mut self) {
        if self.rules.asks {
            return;
        }
        let named = self.end.saturating_sub(self.rules.limit() + 1);
        let far: Vec<u64> = self.missing.range(..named).map(|(n, _)| *n).collect();
        far.into_iter().for_each(|n| self.give_up(n));
    }

    fn give_up(&mut self, number: u64) {
        self.missing.remove(&number);
        self.held.insert(number, Slot::Lost);
    }

    /// Hand on what is next; lost ones are passed over.
    fn advance(&mut self) {
        let Some(mut next) = self.next else { return };
        while self.stop.is_none_or(|stop| next < stop)
            && let Some(slot) = self.held.remove(&next)
        {
            next += 1;
            match slot {
                Slot::Packet(bytes) => {
                    self.lost_run = 0;
                    self.ready.push_back(bytes);
                }
                Slot::Lost => {
                    self.tally.lost += 1;
                    self.lost_run += 1;
                    let most = &mut self.tally.lost_in_a_row;
                    *most = self.lost_run.max(*most);
                }
            }
        }
        self.next = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn order(asks: bool, first: u16) -> Order {
        let mut order = Order {
            rules: Rules { asks, block: 0 },
            ..Order::default()
        };
        order.start(first);
        order
    }

    fn give(order: &mut Order, now: u64, sequence: u16, way: Way) {
        let bytes = Bytes::copy_from_slice(&sequence.to_be_bytes());
        order.take(Time(now * 1000), sequence, way, bytes);
    }

    fn got(order: &mut Order) -> Vec<u16> {
        let number = |b: Bytes| u16::from_be_bytes([b[0], b[1]]);
        std::iter::from_fn(|| order.pop()).map(number).collect()
    }

    // RTSP-121
    #[test]
    fn order_is_restored_over_the_wrap() {
        let mut order = order(true, 65_534);
        for sequence in [65_534, 1, 0, 0, 65_535, 2, 65_533] {
            give(&mut order, 1, sequence, Way::Media);
        }
        assert_eq!(got(&mut order), [65_534, 65_535, 0, 1, 2]);
        assert_eq!((order.tally.received, order.tally.duplicates), (5, 1));
        assert!(order.is_whole());
    }

    #[test]
    fn what_is_missing_is_asked_for_and_given_up_in_the_end() {
        let mut order = order(true, 10);
        give(&mut order, 0, 12, Way::Media);
        assert_eq!(order.deadline(), Some(Time(10_000)));
        assert_eq!(order.run(Time(10_000)), [10, 11]);
        give(&mut order, 50, 11, Way::Again);
        assert_eq!(got(&mut order), []);
        let mut asked = 0;
        while let Some(at) = order.deadline() {
            asked += order.run(at).len();
        }
        assert_eq!(asked, 3, "four times in all");
        assert_eq!(got(&mut order), [11, 12]);
        assert_eq!((order.tally.recovered, order.tally.lost), (1, 1));
        // It comes too late.
        give(&mut order, 9000, 10, Way::Again);
        assert_eq!(got(&mut order), []);
        assert_eq!(order.tally.duplicates, 1);
    }

    #[test]
    fn without_requests_the_queue_limit_counts() {
        let mut order = order(false, 0);
        for sequence in 1..=48 {
            give(&mut order, 0, sequence, Way::Media);
        }
        assert_eq!(got(&mut order), []);
        give(&mut order, 0, 49, Way::Media);
        assert_eq!(got(&mut order).len(), 49);
        give(&mut order, 0, 51, Way::Media);
        assert_eq!(order.deadline(), Some(Time::ZERO + ORDER_PATIENCE));
        assert_eq!(order.run(Time::ZERO + ORDER_PATIENCE), []);
        assert_eq!(got(&mut order), [51]);
        assert_eq!(order.tally.lost, 2);
    }

    #[test]
    fn the_end_is_reached_when_all_before_it_came() {
        let mut order = order(true, 5);
        give(&mut order, 0, 5, Way::Media);
        order.stop_at(Time::ZERO, 8);
        assert!(!order.is_whole());
        // The next entry waits behind it.
        give(&mut order, 1, 8, Way::Media);
        assert_eq!(order.run(Time::ZERO + 10 * MS), [6, 7]);
        give(&mut order, 20, 7, Way::Again);
        order.give_up_before_stop();
        assert!(order.is_whole());
        assert_eq!(got(&mut order), [5, 7]);
        order.go_on();
        assert_eq!(got(&mut order), [8]);
        // What cannot be the end is none.
        order.stop_at(Time::ZERO, 30_000);
        assert!(order.is_whole());
    }

    #[test]
    fn a_new_start_forgets_the_old_one() {
        let mut order = order(true, 100);
        give(&mut order, 0, 103, Way::Media);
        order.start(120);
        give(&mut order, 1, 101, Way::Media);
        give(&mut order, 1, 120, Way::Media);
        assert_eq!(got(&mut order), [120]);
        assert_eq!((order.tally.lost, order.tally.duplicates), (0, 0));
        assert_eq!(order.deadline(), None);
    }
}
