//! Flows of live content: joining, following the head, jumping forward when they lag.

use super::{Reading, Rescue, Step, Turning, rescue_from};
use crate::points::{LiveFeed, LiveRing, age};
use crate::ring::PacketStore;
use crate::shard::outlet::{Cursor, Fetched, Outlet, Turn};
use crate::source::Variant;
use protocols::asf::Filter;
use protocols::content::Selection;
use protocols::media::{FlowEnd, Pace};
use protocols::rate::pacer::Pacer;
use std::rc::Rc;

/// A live session whose lag exceeds this share of the history jumps forward.
const LAG_NUMERATOR: u32 = 2;
const LAG_DENOMINATOR: u32 = 3;

/// A flow of live content.
pub struct Live {
    feed: Rc<LiveFeed>,
    /// It has been at the head of the stream: its clock is the stream's.
    at_head: bool,
    /// There is no ring for its selection: packets are filtered for it alone.
    pub stays_filtered: bool,
    /// Nothing may be left out: where others jump, it ends.
    whole: bool,
    pub reading: Reading<Rc<LiveRing>>,
}

impl Live {
    /// From the packet that the outlet has as next.
    pub fn new(feed: Rc<LiveFeed>, filter: Box<Filter>, whole: bool) -> Live {
        Live {
            feed,
            whole,
            at_head: false,
            stays_filtered: false,
            reading: Reading::Filtering(filter),
        }
    }

    /// True if something would have to be left out that must not be.
    pub fn is_lost(&self, outlet: &Outlet) -> bool {
        self.whole
            && match &self.reading {
                Reading::Framed { store, cursor } => {
                    lag_of(&*store.ring.borrow(), cursor) > lag_max(self.feed.buffer())
                }
                Reading::Filtering(_) => {
                    let (first, _) = self.feed.range();
                    (outlet.next_number.wrapping_sub(first) as i32) < 0
                }
            }
    }

    /// Send what is due.
    pub fn step(&mut self, outlet: &mut Outlet, selection: Selection, t: &mut Turning<'_>) -> Step {
        match &mut self.reading {
            Reading::Filtering(filter) => {
                let feed = &self.feed;
                let turn = outlet.turn_filtered(
                    filter,
                    !self.stays_filtered,
                    feed.head.header.packet_size(),
                    t.now,
                    t.scratch,
                    t.core,
                    |number, give| {
                        feed.with_packet(number, |p, bytes| give(p.send_time, p.duration, bytes))
                            .map_or(Fetched::Missing, |()| Fetched::Given)
                    },
                );
                match turn {
                    Turn::Settled => self.enter_ring(outlet, selection),
                    Turn::Starved => self.starved_in_filter(outlet, selection, t),
                    other => self.rest_or_end(outlet, other),
                }
            }
            Reading::Framed { store, cursor } => {
                let ring = Rc::clone(store);
                let ring = &mut *ring.ring.borrow_mut();
                match skip_ahead(ring, cursor, outlet, self.feed.buffer(), t) {
                    Skip::None => {}
                    Skip::Skipped => {
                        // Through the filter again: what precedes the key frame in its packet
                        // belongs to frames that were skipped (ASF-56).
                        self.at_head = false;
                        let streams = &self.feed.head.streams;
                        let filter = Filter::start(selection, streams);
                        self.reading = Reading::Filtering(Box::new(filter));
                        return Step::Again;
                    }
                    Skip::Lost => {
                        tracing::info!(
                            fd = outlet.fd,
                            "closed: the packet in flight was overwritten"
                        );
                        return Step::Dead;
                    }
                }
                let turn = outlet.turn(ring, cursor, t.now, t.scratch, t.core);
                self.rest_or_end(outlet, turn)
            }
        }
    }

    fn rest_or_end(&mut self, outlet: &mut Outlet, turn: Turn) -> Step {
        if turn == Turn::Starved && !self.at_head {
            self.reach_head(outlet);
        }
        match turn {
            Turn::Dead => Step::Dead,
            Turn::Over => Step::Ended(FlowEnd::Finished),
            Turn::Starved if self.feed.ended() => Step::Ended(FlowEnd::Finished),
            _ => Step::Rest,
        }
    }

    /// From here on the session is sent what comes as it comes.
    fn reach_head(&mut self, outlet: &mut Outlet) {
        if let Some((arrived, send_time)) = self.feed.clock() {
            self.at_head = true;
            outlet.pacer = Pacer::new(arrived, send_time, REAL_TIME);
        }
    }

    fn enter_ring(&mut self, outlet: &Outlet, selection: Selection) -> Step {
        let variant = Variant {
            selection,
            keep_padding: outlet.framer.keeps_padding(),
        };
        match self.feed.ring(variant) {
            Ok(Some(ring)) => {
                let seq = ring.ring.borrow().seek(outlet.next_number);
                self.reading = Reading::Framed {
                    store: ring,
                    cursor: Cursor::at(seq),
                };
            }
            Ok(None) => self.stays_filtered = true,
            Err(error) => {
                tracing::error!(%error, "no memory for a ring");
                self.stays_filtered = true;
            }
        }
        Step::Again
    }

    /// The filter wants a packet that is not there: not yet, lost between the cores, or no longer.
    fn starved_in_filter(
        &mut self,
        outlet: &mut Outlet,
        selection: Selection,
        t: &Turning<'_>,
    ) -> Step {
        let (first, end) = self.feed.range();
        let wanted = outlet.next_number;
        if (wanted.wrapping_sub(end) as i32) >= 0 {
            return self.rest_or_end(outlet, Turn::Starved);
        }
        if (wanted.wrapping_sub(first) as i32) < 0 {
            t.core.ring_overruns.inc();
            outlet.counters.overruns.inc();
            let Some((number, send_time)) = self.feed.join(selection, 0) else {
                return Step::Rest;
            };
            outlet.next_number = number;
            outlet.pacer = Pacer::new(t.now, send_time, CATCHING_UP);
            self.at_head = false;
            self.reading =
                Reading::Filtering(Box::new(Filter::start(selection, &self.feed.head.streams)));
        } else {
            outlet.next_number = wanted.wrapping_add(1);
        }
        Step::Again
    }
}

const REAL_TIME: Pace = Pace::Media {
    accel: None,
    speed_milli: 1000,
};

/// How a live session that begins at a key frame of the past comes to the head. It would else
/// stay up to a key-frame distance behind for ever; more speed would make a storm of joins a flood.
pub const CATCHING_UP: Pace = Pace::Media {
    accel: None,
    speed_milli: 2000,
};

enum Skip {
    None,
    Skipped,
    /// The packet in flight was overwritten: the connection cannot go on.
    Lost,
}

/// How far behind the head a cursor is, ms; what it stands at may have been overwritten.
fn lag_of<P: PacketStore>(ring: &P, cursor: &Cursor) -> u32 {
    if cursor.seq >= ring.end() {
        return 0;
    }
    if cursor.seq < ring.first() {
        return u32::MAX;
    }
    match (ring.slot(cursor.seq), ring.slot(ring.end() - 1)) {
        (Some(here), Some(newest)) => age(newest.meta.send_time, here.meta.send_time),
        _ => 0,
    }
}

fn lag_max(buffer: u32) -> u32 {
    (u64::from(buffer) * u64::from(LAG_NUMERATOR) / u64::from(LAG_DENOMINATOR)) as u32
}

/// A live session that lags too far behind goes on at the newest key frame, after the packet that
/// is in flight.
fn skip_ahead<P: PacketStore + Newest>(
    ring: &mut P,
    cursor: &mut Cursor,
    outlet: &mut Outlet,
    buffer: u32,
    t: &Turning<'_>,
) -> Skip {
    if lag_of(ring, cursor) <= lag_max(buffer) {
        return Skip::None;
    }
    let overrun = cursor.seq < ring.first();
    let to = match ring.newest_key() {
        Some(key) if key > cursor.seq => key,
        _ if overrun => ring.end() - 1,
        _ => return Skip::None,
    };
    if overrun {
        t.core.ring_overruns.inc();
        outlet.counters.overruns.inc();
    }
    if !outlet.rescue(ring, cursor) {
        return Skip::Lost;
    }
    t.core.slow_client_skips.inc();
    outlet.counters.skips.inc();
    *cursor = Cursor::at(to);
    if let Some(slot) = ring.slot(to) {
        outlet.next_number = slot.meta.number;
        outlet.pacer = Pacer::new(t.now, slot.meta.send_time, CATCHING_UP);
    }
    Skip::Skipped
}

/// A store that knows its newest key frame.
trait Newest {
    fn newest_key(&self) -> Option<u64>;
}

impl Newest for crate::ring::Ring {
    fn newest_key(&self) -> Option<u64> {
        crate::ring::Ring::newest_key(self)
    }
}

impl Rescue for Rc<LiveRing> {
    fn rescue(&mut self, outlet: &mut Outlet, cursor: &mut Cursor) -> Option<u32> {
        rescue_from(&mut *self.ring.borrow_mut(), outlet, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Ring;
    use protocols::media::PacketMeta;

    /// The lag of a flow at a packet behind which others came.
    fn lag(send_times: [u32; 3], at: u64) -> u32 {
        let mut ring = Ring::new(64 << 10).expect("memory");
        for (number, send_time) in (0..).zip(send_times) {
            let meta = PacketMeta {
                number,
                send_time,
                duration: 0,
                key: true,
                len: 4,
            };
            assert!(ring.push(meta, b"abcd"));
        }
        lag_of(&ring, &Cursor::at(at))
    }

    #[test]
    fn send_times_that_go_back_a_little_or_wrap_are_no_lag() {
        assert_eq!(lag([5000, 5100, 5300], 0), 300);
        assert_eq!(lag([5000, 5100, 5050], 1), 0);
        assert_eq!(lag([5000, 5100, 5050], 3), 0, "at the head");
        assert_eq!(lag([u32::MAX - 99, 0, 100], 0), 200);
    }
}
