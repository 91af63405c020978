//! The files that a broadcast plays in real time: one over and over on one timeline, or several one
//! after the other, each as an entry with a timeline of its own.

use super::Point;
use super::live::{BatchBuilder, LiveHead};
use crate::source::{AsfFile, Cache, LoopSource};
use bytes::Bytes;
use protocols::asf;
use protocols::machine::Time;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long before the end of a file the next one is opened. Not sooner: it may still be changed.
const OPEN_AHEAD: Duration = Duration::from_secs(5);

/// See the module.
pub struct Reel {
    point: Arc<Point>,
    cache: Rc<Cache>,
    playing: Playing,
    next: Next,
    /// Place of the file that was last opened or tried.
    tried: usize,
    /// Files that could not be played, since the first packet of the one that plays.
    bad: usize,
    /// The file that plays has had its first packet.
    begun: bool,
    /// When the file that plays could not be read further.
    cut: Option<Time>,
}

struct Playing {
    file: Rc<AsfFile>,
    source: LoopSource,
    head: Arc<LiveHead>,
}

enum Next {
    Unknown,
    Opening(usize),
    Ready(Rc<AsfFile>, Arc<LiveHead>),
}

/// What [`Reel::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// What was due is there.
    Goes,
    /// The file is over; from now on the next one plays, which is a new entry.
    Next,
    /// Everything was played, and nothing is to be repeated.
    Over,
    /// No file can be played.
    Failed,
}

impl Reel {
    /// Begin with the file in this place of the point's list.
    ///
    /// # Errors
    /// If the file's header cannot be made a live one.
    pub fn new(
        point: &Arc<Point>,
        place: usize,
        file: Rc<AsfFile>,
        cache: Rc<Cache>,
        now: Time,
    ) -> Result<Reel, asf::Error> {
        let head = head_of(&file, point, place)?;
        let origin = before(now, point.config.head_start());
        let source = source_of(point, &file, &cache, origin);
        Ok(Reel {
            point: Arc::clone(point),
            cache,
            playing: Playing { file, source, head },
            next: Next::Unknown,
            tried: place,
            bad: 0,
            begun: false,
            cut: None,
        })
    }

    /// Go on the air: with the file that plays, from its beginning, as if it had run for a while.
    pub fn begin(&mut self, now: Time) {
        let past = self.point.config.head_start();
        if is_unbroken(&self.point) {
            self.playing.source.resume(now, past);
            return;
        }
        self.cut = None;
        let origin = before(now, past);
        self.playing.source = source_of(&self.point, &self.playing.file, &self.cache, origin);
    }

    /// The header of the entry that plays.
    pub fn head(&self) -> &Arc<LiveHead> {
        &self.playing.head
    }

    /// True if everything that is due by `now` was taken. Not in the gap before a file that is late.
    pub fn caught_up(&self, now: Time) -> bool {
        self.playing.source.caught_up() && self.end().is_none_or(|end| now < end)
    }

    /// Append what is due by `now`.
    pub fn advance(&mut self, now: Time, batch: &mut BatchBuilder) -> Played {
        if self.cut.is_none() {
            self.playing.source.advance(now, batch);
            if !batch.is_empty() && !self.begun {
                self.begun = true;
                self.bad = 0;
            }
            if self.playing.source.failed() {
                if is_unbroken(&self.point) {
                    return Played::Failed;
                }
                tracing::warn!(
                    point = self.point.config.name,
                    file = self.playing.file.facts.name,
                    "cannot be read further: skipped"
                );
                self.cut = Some(now);
                self.skip();
            }
        }
        match self.end() {
            Some(end) if end <= now => self.turn(end, now),
            _ => Played::Goes,
        }
    }

    /// The place of a file that is to be opened now and then given to [`Reel::give`].
    pub fn wanted(&mut self, now: Time) -> Option<usize> {
        if is_unbroken(&self.point) || !matches!(self.next, Next::Unknown) || self.bad >= self.len()
        {
            return None;
        }
        if self.cut.is_none() && self.playing.source.remaining(now) > OPEN_AHEAD {
            return None;
        }
        let place = self.following()?;
        self.next = Next::Opening(place);
        Some(place)
    }

    /// The file of a place, or none if it cannot be opened.
    pub fn give(&mut self, place: usize, file: Option<Rc<AsfFile>>) {
        if !matches!(self.next, Next::Opening(wanted) if wanted == place) {
            return;
        }
        self.tried = place;
        let head = file.and_then(|file| match head_of(&file, &self.point, place) {
            Ok(head) => Some((file, head)),
            Err(error) => {
                let point = &self.point.config.name;
                tracing::warn!(point, file = file.facts.name, %error, "cannot be broadcast");
                None
            }
        });
        self.next = match head {
            Some((file, head)) => Next::Ready(file, head),
            None => {
                self.skip();
                Next::Unknown
            }
        };
    }

    /// The header of the entry that comes next, once its file is open.
    pub fn next_head(&self) -> Option<&Arc<LiveHead>> {
        match &self.next {
            Next::Ready(_, head) => Some(head),
            Next::Unknown | Next::Opening(_) => None,
        }
    }

    fn turn(&mut self, end: Time, now: Time) -> Played {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Ready(file, head) => {
                // One that was late goes on as if it had not been, if viewers can be given so much.
                let origin = end.max(before(now, self.point.config.buffer.get()));
                let source = source_of(&self.point, &file, &self.cache, origin);
                self.playing = Playing { file, source, head };
                self.begun = false;
                self.cut = None;
                Played::Next
            }
            other => {
                let opening = matches!(other, Next::Opening(_));
                self.next = other;
                match () {
                    () if opening => Played::Goes,
                    () if self.following().is_none() => Played::Over,
                    () if self.bad >= self.len() => Played::Failed,
                    () => Played::Goes,
                }
            }
        }
    }

    fn end(&self) -> Option<Time> {
        self.cut.or_else(|| self.playing.source.end())
    }

    /// What comes after the place that was last tried.
    fn following(&self) -> Option<usize> {
        match self.tried + 1 {
            next if next < self.len() => Some(next),
            _ => self.point.config.repeat.then_some(0),
        }
    }

    fn len(&self) -> usize {
        self.point.config.source.paths().len()
    }

    fn skip(&mut self) {
        self.bad += 1;
        self.point.facts.count_skipped();
    }
}

/// One file over and over: nothing ever changes. What fills in for a source is such a file.
fn is_unbroken(point: &Point) -> bool {
    point.config.source.paths().len() <= 1 && point.config.repeat
}

fn source_of(point: &Point, file: &Rc<AsfFile>, cache: &Rc<Cache>, origin: Time) -> LoopSource {
    let (file, cache) = (Rc::clone(file), Rc::clone(cache));
    match is_unbroken(point) {
        true => LoopSource::new(file, cache, origin, Duration::ZERO),
        false => LoopSource::single(file, cache, origin),
    }
}

fn head_of(file: &AsfFile, point: &Point, place: usize) -> Result<Arc<LiveHead>, asf::Error> {
    let blob = asf::broadcast_blob(&file.facts.blob, None)?;
    let mut head = LiveHead::parse(Bytes::from(blob))?;
    // The file's index knows the rates better than its header does.
    head.streams = Arc::clone(&file.facts.streams);
    let path = point.config.source.paths().get(place);
    head.source = path.map(|path| path.display().to_string().into());
    Ok(Arc::new(head))
}

fn before(now: Time, past: Duration) -> Time {
    Time(now.micros().saturating_sub(past.as_micros() as u64))
}
