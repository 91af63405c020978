//! Taps: what else is done with a live stream on its home core, beside serving players.

use super::live::{Batch, LiveHead};
use protocols::machine::Time;
use std::sync::Arc;

/// Takes all that a live stream's home makes. Everything is called on the home's core and must not
/// block.
pub trait Tap {
    /// An entry with this header may come later.
    fn expect(&mut self, _head: &Arc<LiveHead>, _now: Time) {}

    /// A new entry begins.
    fn begin(&mut self, head: &Arc<LiveHead>, now: Time);

    /// Packets have become due, whole and untrimmed.
    fn take(&mut self, batch: &Arc<Batch>, now: Time);

    /// The source is gone, or its point: nothing comes before the next [`Tap::begin`].
    fn end(&mut self, now: Time);

    /// The point goes, or the server stops: nothing comes any more, and what waits has to go now.
    fn close(&mut self, now: Time) {
        self.end(now);
        self.tick(now);
    }

    /// Do what is due; says when it wants to be called again at the latest.
    fn tick(&mut self, now: Time) -> Option<Time>;
}
