//! The tick: everything periodic on a core, and everything that arrived from other cores.

use super::wheel::TICK;
use super::{Message, Shard};
use crate::front;
use crate::points::{LiveFeed, LiveHome, Parcel, Point, open_source};
use crate::rt;
use protocols::machine::{CoreId, Input, Time};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The tick of a core on which nothing moves.
const IDLE_TICK: Duration = Duration::from_millis(100);

/// The tick of a core with few sessions. Waking the executor costs as much as a dozen sends, and the
/// slices of few sessions are short enough to be run two at a time.
const SPARSE_TICK: Duration = Duration::from_millis(10);

/// Sessions above which a core ticks at its base rate.
const SPARSE_SESSIONS_MAX: usize = 2000;

/// How often slow things are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Shard {
    /// Run until told to stop.
    pub async fn run(self: Rc<Self>) {
        self.counters.bind_thread();
        let mut last = rt::now();
        while !self.stopped.get() {
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
            // The next multiple of the tick, so that turns do not drift with the work.
            let next = now + self.pace();
            let pause = next.since(done).max(Duration::from_micros(200));
            self.alarm.sleep(pause.min(self.until_deadline(done))).await;
        }
        self.drop_flows(rt::now());
        self.journal.borrow_mut().close();
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

    /// Time from one tick to the next.
    fn pace(&self) -> Duration {
        if !self.is_busy() {
            IDLE_TICK
        } else if self.flow_count() <= SPARSE_SESSIONS_MAX {
            SPARSE_TICK
        } else {
            TICK
        }
    }

    fn is_busy(&self) -> bool {
        self.has_flows()
            || self.conns.borrow().is_busy()
            || self.homes.borrow().values().any(LiveHome::is_watched)
    }

    fn until_deadline(&self, now: Time) -> Duration {
        self.fronts
            .borrow()
            .iter()
            .filter_map(|f| f.deadline())
            .min()
            .map_or(IDLE_TICK, |at| at.since(now).max(TICK))
    }

    /// Tell the machines what happened to their flows. Their outputs may make more happen.
    pub fn deliver_events(self: &Rc<Self>) {
        if self.delivering.replace(true) {
            return;
        }
        loop {
            let event = self.events.borrow_mut().pop_front();
            let Some((number, flow, event)) = event else {
                break;
            };
            front::feed(self, number, Input::Flow { flow, event });
        }
        self.delivering.set(false);
    }

    fn receive(self: &Rc<Self>, message: Message) {
        match message {
            Message::Batch(point, batch) => {
                if let Some(feed) = self.feeds.borrow().get(&point) {
                    feed.push(&batch, rt::now());
                }
            }
            Message::Past(point, head, past) => {
                let buffer = self
                    .points
                    .borrow()
                    .iter()
                    .find(|p| p.id == point)
                    .map(|p| p.buffer_ms());
                if let Some(buffer) = buffer {
                    let feed = LiveFeed::new(point, head, buffer, &past, rt::now());
                    let old = self.feeds.borrow_mut().insert(point, Rc::new(feed));
                    if let Some(old) = old {
                        old.end();
                    }
                }
            }
            Message::Gone(point) => {
                if let Some(feed) = self.feeds.borrow_mut().remove(&point) {
                    feed.end();
                }
            }
            Message::Subscribe(point, core) => self.subscribe(&point, core),
            Message::Unsubscribe(point, core) => {
                if let Some(home) = self.homes.borrow_mut().get_mut(&point) {
                    home.unsubscribe(core);
                }
            }
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

    /// The core's feed of a live point. If there is none its home is asked for one.
    pub fn feed_or_subscribe(self: &Rc<Self>, point: &Arc<Point>) -> Option<Rc<LiveFeed>> {
        let feed = self.feeds.borrow().get(&point.id).cloned();
        if feed.as_ref().is_some_and(|f| f.head_send_time().is_some()) {
            return feed;
        }
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

    fn subscribe(self: &Rc<Self>, point: &Arc<Point>, core: CoreId) {
        let now = rt::now();
        if let Some(home) = self.homes.borrow_mut().get_mut(&point.id) {
            home.subscribe(core, now);
            self.hurry();
            return;
        }
        self.open_home(point, Some(core));
    }

    fn open_home(self: &Rc<Self>, point: &Arc<Point>, core: Option<CoreId>) {
        let mut opening = self.opening.borrow_mut();
        if let Some(waiting) = opening.get_mut(&point.id) {
            waiting.extend(core);
            return;
        }
        opening.insert(point.id, core.into_iter().collect());
        let (shard, point) = (Rc::clone(self), Arc::clone(point));
        rt::spawn(async move {
            let opened = open_source(&shard, &point).await;
            let waiting = shard
                .opening
                .borrow_mut()
                .remove(&point.id)
                .unwrap_or_default();
            let now = rt::now();
            let file = match opened {
                Ok(file) => file,
                Err(refusal) => {
                    point.set_failure(Some(format!("its file cannot be played: {refusal:?}")));
                    return;
                }
            };
            match LiveHome::new(Arc::clone(&point), file, Rc::clone(&shard.cache), now) {
                Ok(mut home) => {
                    point.set_failure(None);
                    for core in waiting {
                        home.subscribe(core, now);
                    }
                    shard.homes.borrow_mut().insert(point.id, home);
                    shard.hurry();
                }
                Err(error) => {
                    tracing::error!(point = point.config.name, %error, "cannot be broadcast");
                    point.set_failure(Some(error.to_string()));
                }
            }
        });
    }

    fn advance_homes(self: &Rc<Self>, now: Time) {
        let mut parcels = Vec::new();
        let mut failed = Vec::new();
        for (id, home) in self.homes.borrow_mut().iter_mut() {
            if !home.advance(now, |parcel| parcels.push((*id, parcel))) {
                tracing::error!(point = home.point.config.name, "its source failed");
                home.point
                    .set_failure(Some("its file can no longer be read".to_owned()));
                failed.push(*id);
            }
        }
        for (point, parcel) in parcels {
            let (core, message) = match parcel {
                Parcel::Past(core, head, past) => (core, Message::Past(point, head, past)),
                Parcel::Fresh(core, batch) => (core, Message::Batch(point, batch)),
            };
            self.pass_on(core, message);
        }
        for point in failed {
            self.close_home(point);
        }
    }

    fn close_home(self: &Rc<Self>, point: u32) {
        let home = self.homes.borrow_mut().remove(&point);
        for core in home.map(|h| h.audience()).unwrap_or_default() {
            self.pass_on(core, Message::Gone(point));
        }
    }

    /// Hand a message to a core, which may be this one.
    fn pass_on(self: &Rc<Self>, core: CoreId, message: Message) {
        if core == self.parts.id {
            self.receive(message);
            return;
        }
        // A core that joins sleeps longer than its newcomer should wait.
        let sent = match message {
            Message::Batch(..) => self.parts.lanes.post(self.parts.id, core, message),
            _ => self.parts.lanes.call(self.parts.id, core, message),
        };
        if sent.is_err() {
            self.counters.lane_overruns.inc();
        }
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
            self.close_home(point.id);
        }
        for point in points.iter() {
            let mine = point.is_broadcast() && point.home == self.parts.id;
            if mine && point.config.always && !self.homes.borrow().contains_key(&point.id) {
                self.open_home(point, None);
            }
        }
    }

    fn keep_house(self: &Rc<Self>, now: Time) {
        self.journal.borrow_mut().expire(now);
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
            self.feeds.borrow_mut().remove(&id);
            let home = self
                .points
                .borrow()
                .iter()
                .find(|p| p.id == id)
                .map(|p| p.home);
            if let Some(home) = home {
                let message = Message::Unsubscribe(id, self.parts.id);
                self.pass_on(home, message);
            }
        }
        self.counters.ring_bytes.set(ring_bytes as u64);
        self.counters.cache_bytes.set(self.cache.used() as u64);
        self.counters
            .connections
            .set(self.conns.borrow().count() as u64);
    }
}
