//! The sources on other servers of this core's live streams: when they are fetched, and what becomes of
//! viewers when they cannot be.

use super::Shard;
use crate::points::Point;
use crate::pull::Puller;
use crate::rt;
use protocols::media::IngestEvent;
use std::rc::Rc;
use std::sync::Arc;

impl Shard {
    /// Somebody wants a point's source: fetch it if it is on another server. Viewers for whom that is in
    /// vain are told at once.
    pub(super) fn want_source(self: &Rc<Self>, point: &Arc<Point>) {
        if !point.is_pulled() {
            return;
        }
        let mut pullers = self.homes.pullers.borrow_mut();
        let puller = pullers
            .entry(point.id)
            .or_insert_with(|| Puller::new(point));
        let puller = Rc::clone(puller);
        drop(pullers);
        if let Err(why) = puller.want(self) {
            self.turn_away(point.id, why);
        }
    }

    /// True if the source of a point whose home is here should be fetched.
    pub fn wants_source(&self, point: u32) -> bool {
        let homes = self.homes.running.borrow();
        homes.get(&point).is_some_and(|home| home.wants_source())
    }

    /// A fetched source said that its stream is over. A point that runs whether somebody watches or not
    /// is to go on when the source does: its viewers wait for as long as for one that was lost.
    pub fn source_ended(self: &Rc<Self>, point: u32, reason: u32) {
        let goes_on = |point: Arc<Point>| point.config.runs_always();
        if self.point_by_id(point).is_some_and(goes_on) {
            return self.source_lost(point, "its source has ended".to_owned());
        }
        self.ingest_at(point, &IngestEvent::End(reason));
        self.turn_away(point, "its source has ended".to_owned());
    }

    /// A fetched source was lost, or could not be had.
    pub fn source_lost(self: &Rc<Self>, point: u32, why: String) {
        if let Some(home) = self.homes.running.borrow_mut().get_mut(&point) {
            home.source_lost(rt::now());
        }
        self.turn_away(point, why);
    }

    /// A source is no longer fetched, because nobody wants it.
    pub fn source_rests(self: &Rc<Self>, point: u32) {
        if let Some(home) = self.homes.running.borrow_mut().get_mut(&point) {
            home.source_rests(rt::now());
        }
    }

    /// Viewers wait for something that does not come, unless something else fills in.
    fn turn_away(self: &Rc<Self>, point: u32, why: String) {
        let mut homes = self.homes.running.borrow_mut();
        let Some(home) = homes.get_mut(&point) else {
            return;
        };
        home.point.set_failure(Some(why));
        if home.is_silent() && home.point.config.fallback.is_none() {
            home.turn_away();
        }
        drop(homes);
        self.hurry();
    }

    /// Sources that nobody wants any more are let go.
    pub(super) fn look_after_sources(&self) {
        for puller in self.homes.pullers.borrow().values() {
            puller.look(self);
        }
    }

    /// The point goes.
    pub(super) fn forget_source(&self, point: u32) {
        let puller = self.homes.pullers.borrow_mut().remove(&point);
        if let Some(puller) = puller {
            puller.look(self);
        }
    }

    /// The core stops.
    pub(super) fn leave_sources(&self) {
        for puller in self.homes.pullers.borrow().values() {
            puller.stop();
        }
    }
}
