//! Lanes: one bounded queue per ordered pair of cores, polled by the reader's tick.
//!
//! Media crosses cores as batches of shared bytes, handed over once per core and never once per
//! session. Nobody is woken for media; a message that cannot wait rings the reader's bell.

use crate::rt::DoorbellHandle;
use crossbeam::queue::ArrayQueue;
use protocols::machine::CoreId;
use std::sync::Arc;

/// Messages that a lane holds; at one batch per point and tick this is ten points for a second.
pub const LANE_MESSAGE_COUNT_MAX: usize = 2048;

/// All lanes among the cores, of messages `M`. Cheap to clone.
pub struct Lanes<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    cores: usize,
    /// `from * cores + to`.
    queues: Vec<ArrayQueue<M>>,
    bells: Vec<DoorbellHandle>,
}

impl<M> Clone for Lanes<M> {
    fn clone(&self) -> Self {
        Lanes {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M> Lanes<M> {
    /// Lanes among as many cores as there are bells, plus one outside sender (the control
    /// thread), which is numbered after the last core.
    pub fn new(bells: Vec<DoorbellHandle>) -> Lanes<M> {
        let cores = bells.len();
        let queues = (0..(cores + 1) * cores)
            .map(|_| ArrayQueue::new(LANE_MESSAGE_COUNT_MAX))
            .collect();
        Lanes {
            shared: Arc::new(Shared {
                cores,
                queues,
                bells,
            }),
        }
    }

    /// Number of cores.
    pub fn cores(&self) -> usize {
        self.shared.cores
    }

    /// The outside sender's number.
    pub fn outside(&self) -> CoreId {
        CoreId(self.shared.cores as u8)
    }

    /// Queue a message without waking the reader: its next tick finds it.
    ///
    /// # Errors
    /// Gives the message back when the lane is full.
    pub fn post(&self, from: CoreId, to: CoreId, message: M) -> Result<(), M> {
        match self.queue(from, to) {
            Some(queue) => queue.push(message),
            None => Err(message),
        }
    }

    /// Queue a message and wake the reader.
    ///
    /// # Errors
    /// Gives the message back when the lane is full.
    pub fn call(&self, from: CoreId, to: CoreId, message: M) -> Result<(), M> {
        self.post(from, to, message)?;
        if let Some(bell) = self.shared.bells.get(usize::from(to.0)) {
            bell.ring();
        }
        Ok(())
    }

    /// Take what has arrived for a core, at most one lane's worth from each sender.
    pub fn drain(&self, to: CoreId, mut each: impl FnMut(CoreId, M)) {
        for from in 0..=self.shared.cores {
            let from = CoreId(from as u8);
            let Some(queue) = self.queue(from, to) else {
                return;
            };
            for _ in 0..LANE_MESSAGE_COUNT_MAX {
                match queue.pop() {
                    Some(message) => each(from, message),
                    None => break,
                }
            }
        }
    }

    fn queue(&self, from: CoreId, to: CoreId) -> Option<&ArrayQueue<M>> {
        let cores = self.shared.cores;
        let (from, to) = (usize::from(from.0), usize::from(to.0));
        if to >= cores {
            return None;
        }
        self.shared.queues.get(from * cores + to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes<u32> {
        Lanes::new((0..2).map(|_| DoorbellHandle::new().unwrap()).collect())
    }

    #[test]
    fn each_pair_keeps_its_order_and_others_see_nothing() {
        let lanes = lanes();
        for n in 0..5 {
            lanes.post(CoreId(0), CoreId(1), n).unwrap();
            lanes.call(lanes.outside(), CoreId(1), 100 + n).unwrap();
        }
        let mut got = Vec::new();
        lanes.drain(CoreId(0), |_, m| got.push(m));
        assert!(got.is_empty());
        lanes.drain(CoreId(1), |from, m| got.push(m + u32::from(from.0) * 1000));
        assert_eq!(got, [0, 1, 2, 3, 4, 2100, 2101, 2102, 2103, 2104]);
    }

    #[test]
    fn a_full_lane_gives_the_message_back() {
        let lanes = lanes();
        for n in 0..LANE_MESSAGE_COUNT_MAX as u32 {
            lanes.post(CoreId(1), CoreId(0), n).unwrap();
        }
        assert_eq!(lanes.post(CoreId(1), CoreId(0), 7), Err(7));
        assert_eq!(lanes.post(CoreId(0), CoreId(9), 7), Err(7));
    }
}
