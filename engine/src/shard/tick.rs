//! The tick: everything periodic on a core, and everything that arrived from other cores.

use super::wheel::TICK;
use super::{Message, Shard};
use crate::front;
use crate::points::{Batch, LiveFeed, LiveHead, Point};
use crate::rt::{self, Woken};
use protocols::machine::{CoreId, Input, Time};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The tick of a core on which nothing moves.
const IDLE_TICK: Duration = Duration::from_millis(100);

/// The tick of a core on which nothing moves but what publishers send, for nobody yet. What they send in
/// that time fits any socket.
const INTAKE_TICK: Duration = Duration::from_millis(20);

/// The tick of a core with few sessions. Waking the executor costs as much as a dozen sends, and the
/// slices of few sessions are short enough to be run two at a time.
const SPARSE_TICK: Duration = Duration::from_millis(10);

/// Sessions above which a core ticks at its base rate.
const SPARSE_SESSIONS_MAX: usize = 2000;

/// The shortest sleep: what else is ready on the core has its turn.
const PAUSE_MIN: Duration = Duration::from_micros(200);

/// How often slow things are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Shard {
    /// Run until told to stop.
    pub async fn run(self: Rc<Self>) {
        self.counters.bind_thread();
        let mut last = rt::now();
        while !self.stopped.get() {
            self.let_read().await;
            let now = rt::now();
            self.counters.beat();
            if now.since(last) > self.pace() + TICK {
                self.counters.late_ticks.inc();
            }
            self.tick(now);
            last = now;
            let done = rt::now();
            self.counters
                .busy_micros
                .add(done.since(now).as_micros() as u64);
            let pause = self.next_turn(now).since(done).max(PAUSE_MIN);
            let pause = pause.min(self.until_deadline(done));
            self.rest(done + pause).await;
        }
        self.leave_sources();
        self.drop_flows(rt::now());
        self.close_homes();
        self.journal.borrow_mut().close();
    }

    /// What publishers sent since the last tick comes in before it is passed on.
    async fn let_read(&self) {
        let resting = std::mem::take(&mut *self.resting.borrow_mut());
        if resting.is_empty() {
            return;
        }
        resting.into_iter().for_each(Waker::wake);
        rt::give_way().await;
    }

    /// Sleep until then or until the alarm rings. What has to leave at its own time meanwhile, leaves.
    async fn rest(&self, until: Time) {
        loop {
            let now = rt::now();
            if now >= until {
                return;
            }
            let due = self.homes.tap_due().map_or(until, |due| due.min(until));
            let pause = due.since(now).max(PAUSE_MIN);
            if self.alarm.sleep(pause).await == Woken::Rung || due >= until {
                return;
            }
            self.tick_taps(rt::now());
        }
    }

    /// Take in what other cores sent. Also called when the bell rings.
    pub fn receive_messages(self: &Rc<Self>) {
        let mut arrived = Vec::new();
        self.parts
            .lanes
            .drain(self.parts.id, |_, message| arrived.push(message));
        for message in arrived {
            self.receive(message);
        }
    }

    fn tick(self: &Rc<Self>, now: Time) {
        self.receive_messages();
        self.advance_homes(now);
        self.run_wheels(now);
        self.conns.borrow_mut().flush(now);
        for (number, front) in self.fronts() {
            if front.is_due(now) {
                front::feed(self, number, Input::Timeout);
            }
        }
        self.deliver_events();
        if now.since(self.housekeeping.get()) >= HOUSEKEEPING {
            self.housekeeping.set(now);
            self.keep_house(now);
        }
    }

    /// When the next tick is due. Ticks are on a grid, so that turns do not drift with the work, and the
    /// grids of the cores are evenly apart: what one hands to another waits there for a part of a tick
    /// that is always the same, and never for a whole one.
    fn next_turn(&self, now: Time) -> Time {
        grid(now, self.pace(), self.parts.id, self.parts.lanes.cores())
    }

    /// Time from one tick to the next.
    fn pace(&self) -> Duration {
        if !self.is_busy() {
            match self.homes.any_published() {
                true => INTAKE_TICK,
                false => IDLE_TICK,
            }
        } else if self.flow_count() <= SPARSE_SESSIONS_MAX {
            SPARSE_TICK
        } else {
            TICK
        }
    }

    fn is_busy(&self) -> bool {
        self.has_flows() || self.conns.borrow().is_busy() || self.homes.any_watched()
    }

    fn until_deadline(&self, now: Time) -> Duration {
        self.fronts
            .borrow()
            .iter()
            .filter_map(|f| f.deadline())
            .min()
            .map_or(IDLE_TICK, |at| at.since(now).max(TICK))
    }

    /// Tell the machines what happened to their flows and publishers. Their outputs may make more happen.
    pub fn deliver_events(self: &Rc<Self>) {
        if self.delivering.replace(true) {
            return;
        }
        loop {
            let event = self.events.borrow_mut().pop_front();
            if let Some((number, flow, event)) = event {
                front::feed(self, number, Input::Flow { flow, event });
                continue;
            }
            let Some(((number, session), why)) = self.homes.next_evicted() else {
                break;
            };
            front::feed(self, number, Input::Evict { session, why });
        }
        self.delivering.set(false);
    }

    fn receive(self: &Rc<Self>, message: Message) {
        match message {
            Message::Batch(point, entry, batch) => self.take_batch(point, entry, &batch),
            Message::Past(point, head, past) => self.take_past(point, head, &past),
            Message::Gone(point) => {
                if let Some(feed) = self.feeds.borrow_mut().remove(&point) {
                    feed.end();
                }
            }
            Message::Subscribe(point, core) => self.subscribe(&point, core),
            Message::Unsubscribe(point, core) => self.unsubscribe(point, core),
            Message::Fed(point, event) => self.take_fed(point, &event),
            Message::Adopt(adopted) => front::adopt(self, *adopted),
            Message::Datagram {
                front,
                channel,
                peer,
                bytes,
            } => front::feed(
                self,
                front,
                Input::Datagram {
                    channel,
                    peer,
                    bytes: &bytes,
                },
            ),
            Message::Points(points) => self.set_points(&points),
            Message::Drain => {
                self.draining.set(true);
                for (number, _) in self.fronts() {
                    front::feed(self, number, Input::Drain);
                }
            }
            Message::Finish => {
                self.finish_flows(rt::now(), |_| true);
                self.deliver_events();
            }
            Message::Stop => {
                self.stopped.set(true);
                self.hurry();
            }
        }
    }

    fn take_past(&self, point: u32, head: Arc<LiveHead>, past: &[Arc<Batch>]) {
        // It crossed our word that nobody wants it any more: nothing would follow.
        if !self.followed.borrow().contains(&point) {
            return;
        }
        let Some(buffer) = self.point_by_id(point).map(|p| p.buffer_ms()) else {
            return;
        };
        let now = rt::now();
        let current = self.feeds.borrow().get(&point).cloned();
        match current {
            // Several viewers came at once, and each asked for it.
            Some(feed) if Arc::ptr_eq(&feed.head, &head) => feed.catch_up(past, now),
            _ => {
                let feed = LiveFeed::new(point, head, buffer, past, now);
                let old = self.feeds.borrow_mut().insert(point, Rc::new(feed));
                if let Some(old) = old {
                    old.end();
                }
            }
        }
    }

    fn take_batch(self: &Rc<Self>, point: u32, entry: u32, batch: &Arc<Batch>) {
        let Some(feed) = self.feeds.borrow().get(&point).cloned() else {
            return;
        };
        if feed.head.generation == entry {
            feed.push(batch, rt::now());
            return;
        }
        // The beginning of the entry was lost on a full lane: what comes of it must not be taken for more
        // of the entry before.
        if let Some(point) = self.point_by_id(point) {
            self.pass_on(
                point.home,
                Message::Subscribe(Arc::clone(&point), self.parts.id),
            );
        }
    }

    /// The core's feed of a live point, if it has packets.
    pub fn feed(&self, point: &Point) -> Option<Rc<LiveFeed>> {
        let feed = self.feeds.borrow().get(&point.id).cloned();
        feed.filter(|feed| feed.head_send_time().is_some())
    }

    /// The core's feed of a live point. If there is none its home is asked for one.
    pub fn feed_or_subscribe(self: &Rc<Self>, point: &Arc<Point>) -> Option<Rc<LiveFeed>> {
        if let Some(feed) = self.feed(point) {
            return Some(feed);
        }
        self.followed.borrow_mut().insert(point.id);
        if point.home == self.parts.id {
            self.subscribe(point, self.parts.id);
            return None;
        }
        let message = Message::Subscribe(Arc::clone(point), self.parts.id);
        let sent = self.parts.lanes.call(self.parts.id, point.home, message);
        if sent.is_err() {
            self.counters.lane_overruns.inc();
        }
        None
    }

    /// Hand a message to a core, which may be this one. False if its lane is full.
    pub(super) fn pass_on(self: &Rc<Self>, core: CoreId, message: Message) -> bool {
        if core == self.parts.id {
            self.receive(message);
            return true;
        }
        // A core that joins sleeps longer than its newcomer should wait.
        let sent = match message {
            Message::Batch(..) => self.parts.lanes.post(self.parts.id, core, message),
            _ => self.parts.lanes.call(self.parts.id, core, message),
        };
        if sent.is_err() {
            self.counters.lane_overruns.inc();
        }
        sent.is_ok()
    }

    /// Put the points that exist from now on in force. Sessions of points that stay are untouched, those
    /// of points that are gone end.
    fn set_points(self: &Rc<Self>, points: &Arc<Vec<Arc<Point>>>) {
        let gone: Vec<Arc<Point>> = self
            .points
            .borrow()
            .iter()
            .filter(|old| !points.iter().any(|new| new.id == old.id))
            .cloned()
            .collect();
        *self.points.borrow_mut() = Arc::clone(points);
        let is_gone = |id: u32| gone.iter().any(|point| point.id == id);
        self.finish_flows(rt::now(), |content| is_gone(content.point.id));
        self.deliver_events();
        for point in gone {
            self.journal.borrow_mut().forget_point(&point.config.name);
            self.files.borrow_mut().retain(|key, _| key.0 != point.id);
            if let Some(feed) = self.feeds.borrow_mut().remove(&point.id) {
                feed.end();
            }
            self.followed.borrow_mut().remove(&point.id);
            self.close_home(point.id);
        }
        self.start_homes(points);
    }

    fn keep_house(self: &Rc<Self>, now: Time) {
        self.journal.borrow_mut().expire(now);
        self.look_after_sources();
        self.reap_stalled(now);
        let mut ring_bytes = 0;
        let mut idle = Vec::new();
        for (id, feed) in self.feeds.borrow().iter() {
            ring_bytes += feed.sweep();
            if feed.is_forgotten(now) {
                idle.push(*id);
            }
        }
        for id in idle {
            let home = self.point_by_id(id).map(|point| point.home);
            let unsubscribe = Message::Unsubscribe(id, self.parts.id);
            // A home that could not be told would go on sending: it is told the next time.
            if home.is_none_or(|home| self.pass_on(home, unsubscribe)) {
                self.feeds.borrow_mut().remove(&id);
                self.followed.borrow_mut().remove(&id);
            }
        }
        self.counters.ring_bytes.set(ring_bytes as u64);
        self.counters.cache_bytes.set(self.cache.used() as u64);
        self.counters
            .connections
            .set(self.conns.borrow().count() as u64);
    }
}

/// The first point of a core's grid after `now`.
fn grid(now: Time, pace: Duration, core: CoreId, cores: usize) -> Time {
    let pace = u64::try_from(pace.as_micros()).unwrap_or(u64::MAX).max(1);
    let shift = pace * u64::from(core.0) / cores.max(1) as u64;
    let past = (now.micros() + pace - shift % pace) % pace;
    Time(now.micros() + pace - past)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_tick_evenly_apart_whenever_they_look() {
        let pace = Duration::from_millis(10);
        for (core, cores, shift) in [(0, 1, 0), (0, 2, 0), (1, 2, 5000), (3, 4, 7500)] {
            for now in [0, 1, 4999, 5000, 7500, 9999, 10_000, 123_456_789] {
                let next = grid(Time(now), pace, CoreId(core), cores).micros();
                assert_eq!(next % 10_000, shift, "{now}");
                assert!((1..=10_000).contains(&(next - now)), "{now} to {next}");
            }
        }
    }
}
