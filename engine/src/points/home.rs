//! The home of a live stream: its source, its history, and who gets it.

use super::Point;
use super::live::{Batch, BatchBuilder, LiveHead};
use crate::source::{Cache, LoopSource};
use bytes::Bytes;
use protocols::asf;
use protocols::machine::{CoreId, Time};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// See the module. Lives on the point's home core.
pub struct LiveHome {
    /// Which point.
    pub point: Arc<Point>,
    source: LoopSource,
    head: Arc<LiveHead>,
    history: VecDeque<Arc<Batch>>,
    /// Cores that get every batch.
    subscribers: Vec<CoreId>,
    /// Cores that wait for the history.
    newcomers: Vec<CoreId>,
    running: bool,
}

/// What a home wants sent.
pub enum Parcel {
    /// To cores that join: all there is.
    Past(CoreId, Arc<LiveHead>, Vec<Arc<Batch>>),
    /// To subscribers: what has just become due.
    Fresh(CoreId, Arc<Batch>),
}

impl LiveHome {
    /// A home whose source is a looped file.
    ///
    /// # Errors
    /// If the file's header cannot be made a live one.
    pub fn new(
        point: Arc<Point>,
        file: Rc<crate::source::AsfFile>,
        cache: Rc<Cache>,
        now: Time,
    ) -> Result<LiveHome, asf::Error> {
        let blob = Bytes::from(asf::broadcast_blob(&file.facts.blob, None)?);
        let head = Arc::new(LiveHead {
            header: asf::Header::parse(&blob)?,
            blob,
            streams: Arc::clone(&file.facts.streams),
            description: Arc::clone(&file.facts.description),
            generation: 1,
        });
        let past = point.config.buffer.get();
        Ok(LiveHome {
            running: point.config.always,
            source: LoopSource::new(file, cache, now, past),
            point,
            head,
            history: VecDeque::new(),
            subscribers: Vec::new(),
            newcomers: Vec::new(),
        })
    }

    /// True if its packets are being made.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// True if a core waits for its packets.
    pub fn is_watched(&self) -> bool {
        !self.subscribers.is_empty() || !self.newcomers.is_empty()
    }

    /// Begin to send to a core.
    pub fn subscribe(&mut self, core: CoreId, now: Time) {
        self.subscribers.retain(|c| *c != core);
        if !self.newcomers.contains(&core) {
            self.newcomers.push(core);
        }
        if !self.running {
            self.running = true;
            self.history.clear();
            self.source.resume(now, self.past());
        }
    }

    /// No longer send to a core.
    pub fn unsubscribe(&mut self, core: CoreId) {
        self.subscribers.retain(|c| *c != core);
        self.newcomers.retain(|c| *c != core);
        if !self.is_watched() && !self.point.config.always {
            self.running = false;
            self.history.clear();
        }
    }

    /// Make what is due and say where it goes. False if the source failed.
    pub fn advance(&mut self, now: Time, mut send: impl FnMut(Parcel)) -> bool {
        if !self.running {
            return true;
        }
        let mut builder = BatchBuilder::default();
        self.source.advance(now, &mut builder);
        if let Some(batch) = builder.finish() {
            for core in &self.subscribers {
                send(Parcel::Fresh(*core, Arc::clone(&batch)));
            }
            let oldest = batch.last_send_time().wrapping_sub(self.point.buffer_ms());
            self.history.push_back(batch);
            while self
                .history
                .front()
                .is_some_and(|b| (b.last_send_time().wrapping_sub(oldest) as i32) < 0)
            {
                self.history.pop_front();
            }
        }
        // A viewer who joined in a part of the history would lag as soon as the rest of it came.
        if self.source.caught_up() && !self.history.is_empty() && !self.newcomers.is_empty() {
            let past: Vec<_> = self.history.iter().cloned().collect();
            for core in self.newcomers.drain(..) {
                send(Parcel::Past(core, Arc::clone(&self.head), past.clone()));
                self.subscribers.push(core);
            }
        }
        !self.source.failed()
    }

    /// All cores that know of it.
    pub fn audience(&self) -> Vec<CoreId> {
        self.subscribers
            .iter()
            .chain(&self.newcomers)
            .copied()
            .collect()
    }

    fn past(&self) -> Duration {
        self.point.config.buffer.get()
    }
}
