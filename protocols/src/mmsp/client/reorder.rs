//! Media datagrams back in their order: Sequences rebuilt from their low bytes, what is missing asked for
//! again, what came twice dropped (mmsp.md 2.6, 2.9).
//!
//! AFFlags holds eight bits of the Sequence. LocationIds only ever go one way within a start, so they
//! tell on which side of the newest packet another one lies; the eight bits then name one of 256
//! places there. Behind a gap of more packets than that, the share of packets that were sent so far
//! tells how many rounds were missed.

use crate::client::rtt::Rtt;
use crate::machine::Time;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a packet may come after a later one before it counts as lost.
pub(super) const REORDER_DELAY: Duration = Duration::from_millis(10);
/// How often one packet is asked for.
const ASK_COUNT_MAX: u8 = 4;
/// How often one that may never have been sent is.
const ASK_COUNT_UNSURE: u8 = 2;
/// How long those behind a missing packet wait for it at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// Packets from the first that is missing to the newest, at most: what comes again must lie where
/// eight bits name one place only.
const SPAN_MAX: u64 = 240;
/// More than this between the last packet of a start and the first of the next is not looked for.
const HEAD_GAP_MAX: u64 = 32;
/// Asking for packets that may be there behind the newest one at the end.
const PROBE_MAX: u32 = 32;

/// What was counted since the last start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Came without being asked for.
    pub received: u64,
    /// Came when asked for.
    pub recovered: u64,
    /// Came once more, or too late.
    pub duplicates: u64,
    /// Never came.
    pub lost: u64,
    /// Most of those in a row.
    pub lost_in_a_row: u64,
    /// Datagrams that asked for packets.
    pub requests: u64,
}

/// A packet in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    pub location: u32,
    pub bytes: Bytes,
}

/// What became of a Sequence.
#[derive(Debug)]
enum Slot {
    Packet(Ordered),
    Lost,
    /// None of this start's.
    Nothing,
}

#[derive(Debug)]
struct Missing {
    noticed: Time,
    asked: u8,
    /// Time of the last request.
    asked_at: Time,
    /// When to ask, or when to give it up.
    due: Time,
    /// It may never have been sent in this start.
    unsure: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    sequence: u64,
    location: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    /// Sequence of the next packet that is handed on.
    next: u64,
    /// One behind the newest Sequence known, in this start or before it.
    end: u64,
    /// Newest and first packet of this start.
    newest: Option<Seen>,
    first: Option<Seen>,
    /// LocationId of the last packet that was handed on.
    handed: Option<u32>,
    rewinds: bool,
    begun: bool,
    held: BTreeMap<u64, Slot>,
    missing: BTreeMap<u64, Missing>,
    /// Sequences beyond the newest that were asked for, and when.
    probed: Option<(u64, Time)>,
    lost_run: u64,
    ready: VecDeque<Ordered>,
    pub rtt: Rtt,
    pub tally: Tally,
}

fn low(sequence: u64) -> u8 {
    sequence.to_le_bytes()[0]
}

impl Reorder {
    /// A Start is sent: what comes from now on belongs to it.
    pub fn begin(&mut self, rewinds: bool) {
        // MMSP-81: a start after FE goes on at the next multiple of 256.
        if self.begun && low(self.end) == 0xFF {
            self.end += 1;
        }
        self.abandon();
        self.next = self.end;
        (self.newest, self.first, self.handed) = (None, None, None);
        self.rewinds = rewinds;
        self.lost_run = 0;
        self.tally = Tally::default();
    }

    /// Nothing is waited for any longer, nothing is handed on.
    pub fn abandon(&mut self) {
        self.held.clear();
        self.missing.clear();
        self.ready.clear();
        self.probed = None;
        self.next = self.end;
    }

    /// A packet of this start came.
    pub fn take(&mut self, now: Time, af_flags: u8, location: u32, bytes: &[u8]) {
        let Some(sequence) = self.sequence(af_flags, location) else {
            self.tally.duplicates += 1;
            return;
        };
        let mut asked = self.probed.is_some_and(|(to, _)| sequence < to);
        if sequence >= self.end {
            self.reach(now, sequence);
            self.newest = Some(Seen { sequence, location });
            self.first.get_or_insert(Seen { sequence, location });
        } else if let Some(missing) = self.missing.remove(&sequence) {
            if missing.asked == 1 {
                self.rtt.sample(now.since(missing.asked_at));
            }
            asked |= missing.asked > 0;
        } else {
            self.tally.duplicates += 1;
            return;
        }
        match asked {
            true => self.tally.recovered += 1,
            false => self.tally.received += 1,
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let packet = Ordered { location, bytes };
        self.held.insert(sequence, Slot::Packet(packet));
        self.advance();
    }

    /// A packet of the start before came: if its Sequence is waited for here, it is for nothing.
    pub fn take_old(&mut self, af_flags: u8) {
        let mut unsure = self.missing.iter().filter(|(_, m)| m.unsure);
        if let Some((&sequence, _)) = unsure.find(|(s, _)| low(**s) == af_flags) {
            self.missing.remove(&sequence);
            self.held.insert(sequence, Slot::Nothing);
            self.advance();
        }
    }

    /// The next packet, in order.
    pub fn pop(&mut self) -> Option<Ordered> {
        self.ready.pop_front()
    }

    /// Ask for what is due, give up what did not come. Each list is one request.
    pub fn run(&mut self, now: Time) -> Vec<Vec<u32>> {
        let rto = self.rtt.timeout();
        let mut wanted = Vec::new();
        let mut given_up = Vec::new();
        for (&sequence, m) in &mut self.missing {
            let asks = if m.unsure {
                ASK_COUNT_UNSURE
            } else {
                ASK_COUNT_MAX
            };
            let hopeless = m.noticed + PATIENCE <= now;
            if hopeless || (m.due <= now && m.asked >= asks) {
                given_up.push(sequence);
            } else if m.due <= now {
                m.due = now + rto * (1 << m.asked.min(3));
                m.asked += 1;
                m.asked_at = now;
                wanted.push(sequence as u32);
            }
        }
        given_up.into_iter().for_each(|s| self.give_up(s));
        self.advance();
        self.requests(&wanted)
    }

    /// Ask for up to `count` packets behind the newest one, which may be the last that were sent.
    pub fn probe(&mut self, now: Time, count: u32) -> Vec<Vec<u32>> {
        let count = u64::from(count.min(PROBE_MAX));
        self.probed = Some((self.end + count, now));
        let wanted: Vec<u32> = (self.end..self.end + count).map(|s| s as u32).collect();
        self.requests(&wanted)
    }

    /// The end: what is missing now does not come any more.
    pub fn give_all_up(&mut self) {
        while let Some((&sequence, _)) = self.missing.first_key_value() {
            self.give_up(sequence);
        }
        self.advance();
    }

    /// When [`Reorder::run`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        let dues = self.missing.values();
        dues.map(|m| m.due.min(m.noticed + PATIENCE)).min()
    }

    /// True if nothing is waited for.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// LocationId of the newest packet of this start.
    pub fn newest_location(&self) -> Option<u32> {
        self.newest.map(|n| n.location)
    }

    // MMSP-100
    fn requests(&mut self, wanted: &[u32]) -> Vec<Vec<u32>> {
        let requests = wanted.chunks(PROBE_MAX as usize).map(<[u32]>::to_vec);
        let requests: Vec<_> = requests.collect();
        self.tally.requests += requests.len() as u64;
        requests
    }

    fn give_up(&mut self, sequence: u64) {
        let unsure = self.missing.remove(&sequence).is_some_and(|m| m.unsure);
        let slot = if unsure { Slot::Nothing } else { Slot::Lost };
        self.held.insert(sequence, slot);
    }

    /// How far `location` lies ahead of `from` in the direction of play.
    fn ahead(&self, location: u32, from: u32) -> i32 {
        let distance = location.wrapping_sub(from).cast_signed();
        if self.rewinds {
            distance.wrapping_neg()
        } else {
            distance
        }
    }

    /// The Sequence of a packet; `None` if it is of no use any more.
    fn sequence(&self, af_flags: u8, location: u32) -> Option<u64> {
        if self.handed.is_some_and(|h| self.ahead(location, h) <= 0) {
            return None;
        }
        let Some(newest) = self.newest else {
            return Some(self.end + u64::from(af_flags.wrapping_sub(low(self.end))));
        };
        let span = self.ahead(location, newest.location);
        if span <= 0 {
            let back = u64::from(low(newest.sequence).wrapping_sub(af_flags));
            // Eight bits equal, another place: a whole round before, which is given up by now.
            let same = (back == 0) == (span == 0);
            return newest.sequence.checked_sub(back).filter(|_| same);
        }
        let span = u64::from(span.unsigned_abs());
        let step = match af_flags.wrapping_sub(low(newest.sequence)) {
            0 => 256,
            step => u64::from(step),
        };
        // Each packet that was sent has its own place: there cannot be more of them than places.
        let most = span.checked_sub(step)? / 256;
        let rounds = (self.guess(newest, span).saturating_sub(step) + 128) / 256;
        Some(newest.sequence + step + 256 * rounds.min(most))
    }

    /// How many packets were sent for so many places, as far as seen.
    fn guess(&self, newest: Seen, span: u64) -> u64 {
        let Some(first) = self.first else { return span };
        let places = u64::from(self.ahead(newest.location, first.location).unsigned_abs());
        let packets = newest.sequence.saturating_sub(first.sequence);
        match places {
            0 => span,
            places => (u128::from(span) * u128::from(packets) / u128::from(places)) as u64,
        }
    }

    /// A new newest packet: what lies between is missing.
    fn reach(&mut self, now: Time, sequence: u64) {
        let head = self.newest.is_none();
        // Before the very first start nothing was sent: then all of the gap is this one's.
        let unsure = head && self.begun;
        self.begun = true;
        let gap = sequence - self.end;
        let from = if head && gap > HEAD_GAP_MAX {
            sequence
        } else {
            self.end
        };
        if head {
            self.next = from;
        }
        // What is too far back to be named is lost.
        let named = sequence.saturating_sub(SPAN_MAX);
        let far: Vec<u64> = self.missing.range(..named).map(|(s, _)| *s).collect();
        far.into_iter().for_each(|s| self.give_up(s));
        self.advance();
        if named > from {
            self.lose(named - from);
            self.next = named;
        }
        let named = named.max(from);
        for number in named..sequence {
            let missing = Missing {
                noticed: now,
                asked: 0,
                asked_at: now,
                due: now + REORDER_DELAY,
                unsure,
            };
            self.missing.insert(number, missing);
        }
        self.end = sequence + 1;
    }

    /// Hand on what is next; lost ones are passed over.
    fn advance(&mut self) {
        while let Some(slot) = self.held.remove(&self.next) {
            self.next += 1;
            match slot {
                Slot::Packet(packet) => {
                    self.handed = Some(packet.location);
                    self.lost_run = 0;
                    self.ready.push_back(packet);
                }
                Slot::Lost => self.lose(1),
                Slot::Nothing => {}
            }
        }
    }

    fn lose(&mut self, count: u64) {
        self.tally.lost += count;
        self.lost_run += count;
        self.tally.lost_in_a_row = self.tally.lost_in_a_row.max(self.lost_run);
    }
}
