//! When the packets of a live stream leave for a group.
//!
//! They arrive in batches, at ticks, when they are due or a little later. Each leaves a fixed time after it
//! should have come, so that what arrived together leaves one by one, at the distances of the send times.

use crate::points::{Batch, BatchPacket, LiveHead};
use protocols::asf::clock;
use protocols::machine::Time;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long packets wait, if the source is as regular as its send times.
pub const LEAD: Duration = Duration::from_millis(50);

/// How long after its begin an entry may still be at its past: sources give what they have at once, and
/// receivers of a group want what is new.
const SETTLING: Duration = Duration::from_secs(3);

/// How far ahead of its time a packet may come in that time, before all that is older is left out.
const AHEAD_SETTLING: Duration = Duration::from_millis(500);

/// The same later. A source that sends ahead is waited for, but not without end.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// A packet that comes later than this begins its timeline anew.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// Send times may go back by this much within one timeline, ms.
const BACK_MAX_MS: i32 = 1000;

/// Most bytes that wait.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// How long packets are watched before the source's clock is judged.
const WATCH: Duration = Duration::from_secs(10);

/// Spare time that is too much for being chance, beyond [`LEAD`].
const SPARE_MAX: Duration = Duration::from_millis(20);

/// How much sooner packets leave after such a watch. A clock that is wrong by a thousandth is followed.
const STEP: Duration = Duration::from_millis(10);

/// A packet that waits.
#[derive(Clone)]
pub struct Waiting {
    batch: Arc<Batch>,
    index: usize,
    /// When it should leave.
    pub due: Time,
    /// A looped file begins again here.
    pub turn: bool,
}

impl Waiting {
    /// The packet and its bytes.
    pub fn packet(&self) -> Option<(&BatchPacket, &[u8])> {
        self.batch.get(self.index)
    }
}

/// What is next.
pub enum Item {
    /// A new entry.
    Entry(Arc<LiveHead>),
    /// A packet of the entry.
    Packet(Waiting),
    /// Nothing more comes for now.
    Over,
}

/// See the module.
pub struct Schedule {
    items: VecDeque<Item>,
    bytes: usize,
    /// A send time and when packets of that time leave.
    anchor: Option<(Time, u32)>,
    /// When the latest packet leaves.
    last_due: Time,
    /// When the entry began.
    begun: Time,
    /// A turn began with a packet that was left out.
    turned: bool,
    watch: Watch,
}

impl Schedule {
    /// Nothing waits.
    pub fn new(now: Time) -> Schedule {
        Schedule {
            items: VecDeque::new(),
            bytes: 0,
            anchor: None,
            last_due: now,
            begun: now,
            turned: false,
            watch: Watch::new(now),
        }
    }

    /// A new entry begins behind what waits.
    pub fn begin(&mut self, head: &Arc<LiveHead>, now: Time) {
        self.items.push_back(Item::Entry(Arc::clone(head)));
        self.restart(now);
        self.begun = now;
    }

    /// Nothing comes behind what waits.
    pub fn end(&mut self, now: Time) {
        self.items.push_back(Item::Over);
        self.restart(now);
    }

    /// Packets came. Returns how many are left out: of the past of a stream that begins, or of one that is
    /// too far ahead.
    pub fn take(&mut self, batch: &Arc<Batch>, now: Time) -> u64 {
        let (mut left_out, mut floor) = (0, None);
        let newest = batch.last_send_time();
        if let Some((first, _)) = batch.get(0) {
            self.place(first.send_time, now);
        }
        let limit = match now.since(self.begun) < SETTLING {
            true => AHEAD_SETTLING,
            false => AHEAD_MAX,
        };
        let full = self.bytes + batch.len() > QUEUED_BYTES_MAX;
        if full
            || self
                .ideal(newest)
                .is_some_and(|due| due > now + LEAD + limit)
        {
            left_out += self.leave_out_waiting();
            self.restart(now);
            self.anchor = Some((now + LEAD, newest));
            floor = Some(now);
        }
        for index in 0.. {
            let Some((packet, bytes)) = batch.get(index) else {
                break;
            };
            self.turned |= packet.turn;
            if floor.is_some() && self.ideal(packet.send_time) < floor {
                left_out += 1;
                continue;
            }
            let due = self.place(packet.send_time, now);
            self.watch.note(due, now);
            self.last_due = self.last_due.max(due);
            self.bytes += bytes.len();
            self.items.push_back(Item::Packet(Waiting {
                batch: Arc::clone(batch),
                index,
                due: self.last_due,
                turn: std::mem::take(&mut self.turned),
            }));
        }
        self.follow(now);
        left_out
    }

    /// What is next.
    pub fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    /// Take what is next.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Packet(waiting) = &item {
            let len = waiting.packet().map_or(0, |(_, bytes)| bytes.len());
            self.bytes = self.bytes.saturating_sub(len);
        }
        Some(item)
    }

    fn restart(&mut self, now: Time) {
        self.anchor = None;
        self.last_due = now;
        self.watch = Watch::new(now);
    }

    /// When packets of this send time leave, by the timeline so far.
    fn ideal(&self, send_time: u32) -> Option<Time> {
        let (due, from) = self.anchor?;
        let ms = clock::since(from, send_time);
        let us = u64::from(ms.unsigned_abs()) * 1000;
        Some(match ms < 0 {
            true => Time(due.micros().saturating_sub(us)),
            false => due + Duration::from_micros(us),
        })
    }

    /// When the next packet leaves, which came now.
    fn place(&mut self, send_time: u32, now: Time) -> Time {
        let goes_on = self.anchor.is_some_and(|(_, from)| {
            (-BACK_MAX_MS..=clock::GAP_MAX_MS).contains(&clock::since(from, send_time))
        });
        let ideal = self.ideal(send_time).filter(|_| goes_on);
        let due = match ideal {
            Some(due) if now.since(due) <= BEHIND_MAX => due,
            _ => now + LEAD,
        };
        self.anchor = Some((due, send_time));
        due
    }

    /// Packets of the entry that came last go unsent.
    fn leave_out_waiting(&mut self) -> u64 {
        let mut count = 0;
        while let Some(Item::Packet(waiting)) = self.items.back() {
            self.turned |= waiting.turn;
            let len = waiting.packet().map_or(0, |(_, bytes)| bytes.len());
            self.bytes = self.bytes.saturating_sub(len);
            self.items.pop_back();
            count += 1;
        }
        count
    }

    /// Follow the source's clock.
    fn follow(&mut self, now: Time) {
        let shift = self.watch.judge(now);
        if let Some((due, _)) = &mut self.anchor {
            let us = due.micros().saturating_add_signed(shift);
            *due = Time(us);
        }
    }
}

/// How long packets waited at least, in two successive spans of time: a clock that goes wrong shows in
/// both, a source or a core that was held up once in one of them.
struct Watch {
    since: Time,
    least: Option<i64>,
    before: Option<i64>,
}

impl Watch {
    fn new(now: Time) -> Watch {
        Watch {
            since: now,
            least: None,
            before: None,
        }
    }

    fn note(&mut self, due: Time, now: Time) {
        let spare = due.micros().cast_signed() - now.micros().cast_signed();
        self.least = Some(self.least.map_or(spare, |least| least.min(spare)));
    }

    /// By how much packets should leave later, µs; negative: sooner.
    fn judge(&mut self, now: Time) -> i64 {
        if now.since(self.since) < WATCH {
            return 0;
        }
        let pair = self.least.zip(self.before);
        *self = Watch {
            since: now,
            least: None,
            before: self.least,
        };
        let lead = micros(LEAD);
        let shift = match pair {
            Some((a, b)) if a.max(b) < lead / 5 => lead - a.max(b),
            Some((a, b)) if a.min(b) > lead + micros(SPARE_MAX) => -micros(STEP),
            _ => return 0,
        };
        // What was measured before the change says nothing about the time after it.
        self.before = self.before.map(|spare| spare + shift);
        shift
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
