//! The live streams whose home is this core: opening them, what publishers send to them, moving them on.

use super::{Message, Shard};
use crate::multicast::casts_of;
use crate::points::{LiveHome, Parcel, Point, Publisher, Tap, open_source};
use crate::pull::Puller;
use crate::rt;
use crate::source::AsfFile;
use protocols::asf::broadcast_blob;
use protocols::content::Refusal;
use protocols::machine::{CoreId, Time};
use protocols::media::{Ingest, IngestEvent};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The homes of a core, and who publishes to them.
#[derive(Default)]
pub struct Homes {
    /// By point.
    pub(super) running: RefCell<HashMap<u32, LiveHome>>,
    /// Homes whose file is being opened, and the cores that wait for them.
    opening: RefCell<HashMap<u32, Vec<CoreId>>>,
    /// By point.
    publishers: RefCell<HashMap<u32, Publisher>>,
    /// The point that a session publishes to.
    sessions: RefCell<HashMap<(u8, u64), u32>>,
    /// Who fetches sources from other servers, by point.
    pub(super) pullers: RefCell<HashMap<u32, Rc<Puller>>>,
    /// Sessions that have to be told that they are over.
    evicted: RefCell<VecDeque<((u8, u64), Refusal)>>,
    /// Cores that could not be told yet that a stream is over.
    untold: RefCell<Vec<(u32, CoreId)>>,
    /// When a tap wants to be called again.
    tap_due: Cell<Option<Time>>,
    /// Frames that publishers have sent so far.
    ingested: Cell<u64>,
}

impl Homes {
    /// True if somebody waits for what a home makes.
    pub fn any_watched(&self) -> bool {
        self.running.borrow().values().any(LiveHome::is_watched)
    }

    /// True if a session is the source of a point.
    pub fn any_published(&self) -> bool {
        !self.publishers.borrow().is_empty()
    }

    /// When a tap wants to be called again.
    pub fn tap_due(&self) -> Option<Time> {
        self.tap_due.get()
    }

    /// The next session that is to be told that it is over.
    pub fn next_evicted(&self) -> Option<((u8, u64), Refusal)> {
        self.evicted.borrow_mut().pop_front()
    }
}

impl Shard {
    /// Who publishes to a point.
    pub fn publisher(&self, point: u32) -> Option<Publisher> {
        self.homes.publishers.borrow().get(&point).cloned()
    }

    /// How long a point's source has sent nothing.
    pub fn source_silence(&self, point: u32) -> Duration {
        let homes = self.homes.running.borrow();
        homes
            .get(&point)
            .map_or(Duration::MAX, |home| home.silence(rt::now()))
    }

    /// A session is the source of a point from now on, or still.
    pub fn admit_publisher(self: &Rc<Self>, point: &Arc<Point>, publisher: Publisher) {
        self.ensure_home(point);
        let homes = &self.homes;
        homes
            .sessions
            .borrow_mut()
            .insert(publisher.session, point.id);
        homes.publishers.borrow_mut().insert(point.id, publisher);
    }

    /// Take a point from its publisher, who is told so.
    pub fn evict(&self, point: u32, why: Refusal) {
        if let Some(publisher) = self.forget_publisher(point) {
            self.homes
                .evicted
                .borrow_mut()
                .push_back((publisher.session, why));
            self.hurry();
        }
    }

    /// A publisher's session is over.
    pub fn withdraw(&self, front: u8, session: u64, destroy: bool) {
        let point = self.homes.sessions.borrow().get(&(front, session)).copied();
        let Some(point) = point else {
            return;
        };
        self.forget_publisher(point);
        let made = self
            .point_by_id(point)
            .filter(|point| destroy && point.config.made_by_push);
        if let Some(made) = made {
            // WMHTTP-71, WMHTTP-109
            let maker = Arc::clone(self.maker());
            rt::spawn(rt::blocking(move || maker.remove(&made.config.name)));
        }
    }

    fn forget_publisher(&self, point: u32) -> Option<Publisher> {
        let publisher = self.homes.publishers.borrow_mut().remove(&point)?;
        self.homes.sessions.borrow_mut().remove(&publisher.session);
        Some(publisher)
    }

    /// A publisher sent something.
    pub fn ingest(&self, front: u8, ingest: &Ingest) {
        let point = self
            .homes
            .sessions
            .borrow()
            .get(&(front, ingest.session))
            .copied();
        if let Some(point) = point {
            let ingested = &self.homes.ingested;
            ingested.set(ingested.get().wrapping_add(1));
            self.ingest_at(point, &ingest.event);
        }
    }

    /// How many frames publishers on this core have sent so far.
    pub fn ingested(&self) -> u64 {
        self.homes.ingested.get()
    }

    /// Something came from the program that runs the server.
    pub(super) fn take_fed(self: &Rc<Self>, point: u32, event: &IngestEvent) {
        if let Some(point) = self.point_by_id(point) {
            self.ensure_home(&point);
        }
        self.ingest_at(point, event);
    }

    /// Something came from the source of a point. False if it is a header that cannot be broadcast.
    pub fn ingest_at(&self, point: u32, event: &IngestEvent) -> bool {
        let mut homes = self.homes.running.borrow_mut();
        let Some(home) = homes.get_mut(&point) else {
            return true;
        };
        let taken = home.ingest(event, rt::now());
        if let Err(error) = &taken {
            let name = &home.point.config.name;
            tracing::warn!(point = name, %error, "a header that cannot be broadcast");
        }
        if matches!(event, IngestEvent::Header(_)) {
            self.hurry();
        }
        taken.is_ok()
    }

    /// A core wants a live stream whose home is here.
    pub(super) fn subscribe(self: &Rc<Self>, point: &Arc<Point>, core: CoreId) {
        let now = rt::now();
        // A core that has not heard yet that the point went must not bring it back.
        if self.point_by_id(point.id).is_none() {
            return;
        }
        if !point.config.source.is_files() {
            self.ensure_home(point);
        }
        let mut homes = self.homes.running.borrow_mut();
        if let Some(home) = homes.get_mut(&point.id) {
            home.subscribe(core, now);
            if home.is_silent() && !point.is_pulled() && point.config.fallback.is_none() {
                // Nobody can say when an encoder will come. A fallback comes as soon as it is open.
                point.set_failure(Some("no encoder publishes here".to_owned()));
            }
            if home.is_over() {
                point.set_failure(Some("all of it was played".to_owned()));
            }
            self.hurry();
            drop(homes);
            self.want_source(point);
            return;
        }
        drop(homes);
        self.open_home(point, Some(core));
    }

    /// A core no longer wants a live stream.
    pub(super) fn unsubscribe(&self, point: u32, core: CoreId) {
        if let Some(home) = self.homes.running.borrow_mut().get_mut(&point) {
            home.unsubscribe(core);
        }
    }

    /// Start what runs whether somebody watches or not.
    pub(super) fn start_homes(self: &Rc<Self>, points: &[Arc<Point>]) {
        for point in points {
            let mine = point.is_broadcast() && point.home == self.parts.id;
            let runs = mine && point.config.enabled && point.config.runs_always();
            if !runs || self.homes.running.borrow().contains_key(&point.id) {
                continue;
            }
            match point.config.source.is_files() {
                true => self.open_home(point, None),
                false => {
                    self.ensure_home(point);
                    self.want_source(point);
                }
            }
        }
    }

    /// The home of a point whose media comes from outside.
    fn ensure_home(self: &Rc<Self>, point: &Arc<Point>) {
        if self.homes.running.borrow().contains_key(&point.id) {
            return;
        }
        let home = LiveHome::new(Arc::clone(point), taps_of(self, point), rt::now());
        self.homes.running.borrow_mut().insert(point.id, home);
        if point.config.fallback.is_some() {
            self.open_fallback(point);
        }
    }

    fn open_fallback(self: &Rc<Self>, point: &Arc<Point>) {
        let (shard, point) = (Rc::clone(self), Arc::clone(point));
        rt::spawn(async move {
            match open_source(&shard, &point, 0).await {
                Ok(file) => shard.give_file(&point, 0, file),
                Err(refusal) => {
                    tracing::warn!(
                        point = point.config.name,
                        ?refusal,
                        "its fallback cannot be played"
                    );
                    point.set_failure(Some("its fallback cannot be played".to_owned()));
                }
            }
        });
    }

    /// The home of a point that plays a file, once the file is open.
    fn open_home(self: &Rc<Self>, point: &Arc<Point>, core: Option<CoreId>) {
        let mut opening = self.homes.opening.borrow_mut();
        if let Some(waiting) = opening.get_mut(&point.id) {
            waiting.extend(core);
            return;
        }
        opening.insert(point.id, core.into_iter().collect());
        let (shard, point) = (Rc::clone(self), Arc::clone(point));
        rt::spawn(async move {
            let opened = open_first(&shard, &point).await;
            let waiting = shard.homes.opening.borrow_mut().remove(&point.id);
            if shard.point_by_id(point.id).is_none() {
                // It went meanwhile.
                return;
            }
            let (place, file) = match opened {
                Ok(found) => found,
                Err(refusal) => {
                    point.set_failure(Some(format!("its file cannot be played: {refusal:?}")));
                    return;
                }
            };
            let now = rt::now();
            let mut home = LiveHome::new(Arc::clone(&point), taps_of(&shard, &point), now);
            for core in waiting.unwrap_or_default() {
                home.subscribe(core, now);
            }
            shard.homes.running.borrow_mut().insert(point.id, home);
            shard.give_file(&point, place, file);
        });
    }

    /// The next file of a home that plays several.
    fn open_next(self: &Rc<Self>, point: Arc<Point>, place: usize) {
        let shard = Rc::clone(self);
        rt::spawn(async move {
            let opened = open_source(&shard, &point, place).await;
            let opened = opened.map_err(|refusal| warn_skipped(&point, place, refusal));
            if let Some(home) = shard.homes.running.borrow_mut().get_mut(&point.id) {
                home.next_file(place, opened.ok(), rt::now());
            }
            shard.hurry();
        });
    }

    fn give_file(&self, point: &Arc<Point>, place: usize, file: Rc<AsfFile>) {
        let mut homes = self.homes.running.borrow_mut();
        let Some(home) = homes.get_mut(&point.id) else {
            return;
        };
        match home.set_file(place, file, Rc::clone(&self.cache), rt::now()) {
            Ok(()) if point.config.source.is_files() => point.set_failure(None),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(point = point.config.name, %error, "cannot be broadcast");
                point.set_failure(Some(error.to_string()));
            }
        }
        drop(homes);
        self.hurry();
    }

    /// Move every live stream on.
    pub(super) fn advance_homes(self: &Rc<Self>, now: Time) {
        let untold = self.homes.untold.take();
        self.deliver(
            untold
                .into_iter()
                .map(|(point, core)| (point, Parcel::Gone(core))),
        );
        let mut parcels = Vec::new();
        let mut failed = Vec::new();
        let mut wanted = Vec::new();
        for (id, home) in self.homes.running.borrow_mut().iter_mut() {
            if let Some(place) = home.wanted_file(now) {
                wanted.push((Arc::clone(&home.point), place));
            }
            if !home.advance(now, |parcel| parcels.push((*id, parcel))) {
                tracing::error!(point = home.point.config.name, "its source failed");
                home.point
                    .set_failure(Some("its file can no longer be read".to_owned()));
                failed.push(*id);
            }
        }
        self.deliver(parcels);
        for point in failed {
            self.close_home(point);
        }
        for (point, place) in wanted {
            self.open_next(point, place);
        }
        self.tick_taps(now);
    }

    /// Send what homes want sent. Batches may be lost on a full lane. That an entry begins or the stream is
    /// over is told again later: else viewers would wait in the old entry for ever.
    fn deliver(self: &Rc<Self>, parcels: impl IntoIterator<Item = (u32, Parcel)>) {
        for (point, parcel) in parcels {
            match parcel {
                Parcel::Fresh(core, entry, batch) => {
                    self.pass_on(core, Message::Batch(point, entry, batch));
                }
                Parcel::Past(core, head, past) => {
                    let told = self.pass_on(core, Message::Past(point, head, past));
                    if told {
                        // Which ends what the core had before.
                        let mut untold = self.homes.untold.borrow_mut();
                        untold.retain(|owed| *owed != (point, core));
                    } else if let Some(home) = self.homes.running.borrow_mut().get_mut(&point) {
                        home.not_told(core);
                    }
                }
                Parcel::Gone(core) => self.tell_gone(point, core),
            }
        }
    }

    fn tell_gone(self: &Rc<Self>, point: u32, core: CoreId) {
        if !self.pass_on(core, Message::Gone(point)) {
            let mut untold = self.homes.untold.borrow_mut();
            if !untold.contains(&(point, core)) {
                untold.push((point, core));
            }
        }
    }

    /// Let the taps do what is due.
    pub(super) fn tick_taps(&self, now: Time) {
        let mut homes = self.homes.running.borrow_mut();
        let due = homes.values_mut().filter_map(|home| home.tick_taps(now));
        self.homes.tap_due.set(due.min());
    }

    /// The core stops: what its streams have begun elsewhere is brought to an end.
    pub(super) fn close_homes(&self) {
        for (_, mut home) in self.homes.running.borrow_mut().drain() {
            home.close(rt::now());
        }
    }

    /// A live stream ends: its point is gone, or its file.
    pub(super) fn close_home(self: &Rc<Self>, point: u32) {
        self.evict(point, Refusal::Unavailable);
        let home = self.homes.running.borrow_mut().remove(&point);
        self.forget_source(point);
        for core in home.map(|mut h| h.close(rt::now())).unwrap_or_default() {
            self.tell_gone(point, core);
        }
    }
}

/// The first of a point's files that can be opened, and its place.
async fn open_first(
    shard: &Rc<Shard>,
    point: &Arc<Point>,
) -> Result<(usize, Rc<AsfFile>), Refusal> {
    let count = point.config.source.paths().len().max(1);
    let mut place = 0;
    loop {
        let opened = open_source(shard, point, place).await;
        let opened = opened.and_then(|file| match broadcast_blob(&file.facts.blob, None) {
            Ok(_) => Ok(file),
            Err(_) => Err(Refusal::Corrupt),
        });
        match opened {
            Ok(file) => return Ok((place, file)),
            Err(refusal) if place + 1 == count => return Err(refusal),
            Err(refusal) => {
                warn_skipped(point, place, refusal);
                point.facts.count_skipped();
            }
        }
        place += 1;
    }
}

fn warn_skipped(point: &Point, place: usize, why: Refusal) {
    let file = point.config.source.paths().get(place);
    let file = file.map(|path| path.display().to_string());
    tracing::warn!(
        point = point.config.name,
        file,
        ?why,
        "skipped: cannot be played"
    );
}

/// What else is done with a point's stream.
fn taps_of(shard: &Rc<Shard>, point: &Arc<Point>) -> Vec<Box<dyn Tap>> {
    let mut taps = casts_of(point, &shard.parts.metrics, shard.host(), rt::now());
    let config = &point.config;
    let archive = config.archive.as_ref();
    taps.extend(archive.map(|to| shard.parts.archive.tap(&config.name, to)));
    taps
}
