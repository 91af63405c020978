//! Live media from the program that runs the server.

use super::control::Controller;
use crate::ops::config::Source;
use crate::points::Airing;
use crate::shard::Message;
use protocols::machine::CoreId;
use protocols::media::IngestEvent;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a core may leave what it is given lying before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives a point whose source is `push:` its media, as an encoder would. Usable from any thread; several of
/// one point get into each other's way.
pub struct Feed {
    controller: Arc<Controller>,
    point: u32,
    home: CoreId,
}

/// What a point's source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// Now.
    pub airing: Airing,
    /// Entries that were begun.
    pub entries: u32,
    /// Files of a list that were skipped because they cannot be played.
    pub skipped: u64,
    /// Packets that were left out because they cannot be read.
    pub damaged: u64,
}

/// The server does not take what it is fed: it stops, or has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server takes nothing any more")]
pub struct NotTaken;

impl Feed {
    pub(super) fn new(controller: &Arc<Controller>, point: &str) -> Option<Feed> {
        let point = controller.find(point)?;
        (point.config.source == Source::Push).then(|| Feed {
            controller: Arc::clone(controller),
            point: point.id,
            home: point.home,
        })
    }

    /// Give a header, a packet or the end. Waits while the point's core has not taken what was given
    /// before.
    ///
    /// # Errors
    /// If it does not take it at all.
    pub fn give(&self, event: IngestEvent) -> Result<(), NotTaken> {
        let begun = Instant::now();
        let mut message = Message::Fed(self.point, event);
        loop {
            match self.controller.offer(self.home, message) {
                Ok(()) => return Ok(()),
                Err(back) if begun.elapsed() < PATIENCE => message = back,
                Err(_) => return Err(NotTaken),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// See [`super::Server::source`].
pub fn state_of(controller: &Controller, point: &str) -> Option<SourceState> {
    let point = controller.find(point).filter(|p| p.is_broadcast())?;
    let facts = &point.facts;
    Some(SourceState {
        airing: facts.airing(),
        entries: facts.entries(),
        skipped: facts.skipped(),
        damaged: facts.damaged(),
    })
}
