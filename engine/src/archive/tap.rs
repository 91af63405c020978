//! The core's end of a recording.

use super::{Job, Lane, QUEUE_BYTES_MAX};
use crate::points::{Batch, LiveHead, Tap};
use crossbeam::channel::Sender;
use protocols::machine::Time;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How soon a full queue is tried again for what must not be lost.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct ArchiveTap {
    lane: Arc<Lane>,
    sender: Sender<Job>,
    /// What the writer must be told first.
    owed: Option<Owed>,
    /// Batches were dropped since the last one that got through.
    gap: bool,
    _alive: Arc<()>,
}

enum Owed {
    Begin(Arc<LiveHead>),
    End,
}

impl ArchiveTap {
    pub(super) fn new(lane: Arc<Lane>, sender: Sender<Job>, alive: Arc<()>) -> ArchiveTap {
        ArchiveTap {
            lane,
            sender,
            owed: None,
            gap: false,
            _alive: alive,
        }
    }

    /// Tell what is owed; false if there is still no room for it.
    fn settle(&mut self) -> bool {
        let job = match &self.owed {
            None => return true,
            Some(Owed::Begin(head)) => Job::Begin(Arc::clone(&self.lane), Arc::clone(head)),
            Some(Owed::End) => Job::End(self.lane.id),
        };
        let told = self.sender.try_send(job).is_ok();
        if told {
            self.owed = None;
        }
        told
    }
}

impl Tap for ArchiveTap {
    fn begin(&mut self, head: &Arc<LiveHead>, _now: Time) {
        self.owed = Some(Owed::Begin(Arc::clone(head)));
        self.settle();
    }

    fn take(&mut self, batch: &Arc<Batch>, _now: Time) {
        let len = batch.len() as u64;
        let room = self.lane.queued.load(Relaxed) <= QUEUE_BYTES_MAX;
        if room && self.settle() {
            self.lane.queued.fetch_add(len, Relaxed);
            let job = Job::Take {
                lane: self.lane.id,
                batch: Arc::clone(batch),
                gap: self.gap,
            };
            if self.sender.try_send(job).is_ok() {
                self.gap = false;
                return;
            }
            self.lane.queued.fetch_sub(len, Relaxed);
        }
        self.gap = true;
        self.lane.counters.dropped.add(batch.iter().count() as u64);
    }

    fn end(&mut self, _now: Time) {
        self.owed = Some(Owed::End);
        self.settle();
    }

    fn tick(&mut self, now: Time) -> Option<Time> {
        (!self.settle()).then(|| now + AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::config::{ArchiveConfig, Size, Span};
    use crate::points::BatchBuilder;
    use crossbeam::channel::{Receiver, bounded};
    use std::sync::atomic::AtomicU64;

    fn tap(room: usize) -> (ArchiveTap, Receiver<Job>) {
        let (sender, jobs) = bounded(room);
        let alive = Arc::new(());
        let lane = Arc::new(Lane {
            id: 3,
            point: "live".into(),
            config: ArchiveConfig {
                directory: "nowhere".into(),
                max_size: Size::mib(1),
                max_duration: Span::secs(10),
                keep: 0,
                free_space_floor: Size(0),
            },
            counters: Arc::default(),
            queued: AtomicU64::new(0),
            alive: Arc::downgrade(&alive),
        });
        (ArchiveTap::new(lane, sender, alive), jobs)
    }

    fn batch(packets: u32, len: usize) -> Arc<Batch> {
        let mut builder = BatchBuilder::default();
        for number in 0..packets {
            builder.push(number, 0, 0, &vec![0; len], |_| Ok::<(), ()>(()));
        }
        builder.finish().expect("packets")
    }

    #[test]
    fn a_full_queue_drops_whole_batches_and_says_so() {
        let (mut tap, jobs) = tap(2);
        let two = batch(2, 10);
        for _ in 0..4 {
            tap.take(&two, Time(0));
        }
        assert_eq!(tap.lane.counters.dropped.get(), 4);
        assert_eq!(tap.lane.queued.load(Relaxed), 40);
        for _ in 0..2 {
            assert!(matches!(jobs.try_recv(), Ok(Job::Take { gap: false, .. })));
        }
        tap.take(&two, Time(0));
        tap.take(&two, Time(0));
        assert!(matches!(jobs.try_recv(), Ok(Job::Take { gap: true, .. })));
        assert!(matches!(jobs.try_recv(), Ok(Job::Take { gap: false, .. })));
        assert_eq!(tap.lane.counters.dropped.get(), 4);
    }

    #[test]
    fn one_point_does_not_hold_all_memory() {
        let (mut tap, jobs) = tap(8);
        let large = batch(1, QUEUE_BYTES_MAX as usize + 1);
        tap.take(&large, Time(0));
        tap.take(&large, Time(0));
        assert_eq!(jobs.len(), 1);
        assert_eq!(tap.lane.counters.dropped.get(), 1);
    }

    #[test]
    fn the_end_of_a_stream_is_never_lost() {
        let (mut tap, jobs) = tap(1);
        tap.take(&batch(1, 10), Time(0));
        tap.end(Time(0));
        let again = tap.tick(Time(0));
        assert_eq!(again, Some(Time(0) + AGAIN));
        assert!(matches!(jobs.try_recv(), Ok(Job::Take { .. })));
        assert_eq!(tap.tick(Time(0) + AGAIN), None);
        assert!(matches!(jobs.try_recv(), Ok(Job::End(3))));
        assert!(jobs.is_empty());
    }
}
