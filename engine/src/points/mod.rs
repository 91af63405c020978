//! Publishing points: what a URL names, what is open of it, and how live media gets from the
//! point's home core to the cores that have viewers.

mod airing;
mod answer;
mod cue;
mod document;
mod home;
mod live;
mod publish;
mod reel;
mod tap;

pub use airing::{Airing, SourceFacts};
pub use answer::{answer, open_source, reason_of};
pub use home::{LiveHome, Parcel};
pub use live::{Batch, BatchBuilder, BatchPacket, LiveFeed, LiveHead, LiveRing, age};
pub use publish::{PointMaker, Publisher};
pub use tap::Tap;

use crate::multicast::StationSlot;
use crate::ops::config::{PointConfig, PointKind, Source};
use crate::policy::{Guard, Player, PointLimiter};
use crate::source::{AsfFile, Root};
use protocols::content::{Content, Protocol, StreamInfo};
use protocols::machine::CoreId;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// A publishing point, the same object on every core.
pub struct Point {
    /// Number, never used again.
    pub id: u32,
    /// As configured.
    pub config: PointConfig,
    /// The core that runs its source, if it is a broadcast.
    pub home: CoreId,
    /// Its limits and what is used of them.
    pub limiter: Arc<PointLimiter>,
    /// Asks clients who they are, if the point wants to know.
    pub guard: Option<Guard>,
    /// Asks encoders who they are, if the point wants to know.
    pub push_guard: Option<Guard>,
    /// What its source does, if it is a broadcast.
    pub facts: Arc<SourceFacts>,
    /// What its station file lists, if it is sent to a group.
    pub station: StationSlot,
    /// Where its files are, once they are there.
    place: OnceLock<Place>,
    /// Why its source does not play.
    failure: Mutex<Option<String>>,
    /// How often its source was found not to play.
    failure_count: AtomicU32,
}

/// Where a point's files are.
pub struct Place {
    /// The directory.
    pub root: Root,
    /// The one file in it that the point names, if it names a file.
    pub file: Option<String>,
}

impl Place {
    /// Find a point's source.
    ///
    /// # Errors
    /// What the kernel says about the source's path.
    fn open(config: &PointConfig) -> io::Result<Place> {
        let Some(path) = config.source.path() else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its media does not come from files",
            ));
        };
        if path.is_dir() {
            if config.kind == PointKind::Broadcast {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "a broadcast plays one file, not a directory",
                ));
            }
            let root = Root::open(path)?;
            return Ok(Place { root, file: None });
        }
        Place::of_file(path)
    }

    /// The place of one file.
    ///
    /// # Errors
    /// What the kernel says about its path.
    fn of_file(path: &Path) -> io::Result<Place> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
        std::fs::metadata(path)?;
        Ok(Place {
            root: Root::open(parent.unwrap_or(Path::new(".")))?,
            file: Some(name.to_owned()),
        })
    }
}

impl Point {
    /// Make a point.
    ///
    /// # Errors
    /// What the kernel says about the source's path, or what is wrong with the users file.
    pub fn open(id: u32, config: PointConfig, cores: usize) -> io::Result<Point> {
        let point = Point::open_later(id, config, cores)?;
        match &point.config.source {
            Source::Path(_) => {
                let place = Place::open(&point.config)?;
                let _ = point.place.set(place);
            }
            Source::Files(paths) => {
                // One that is there is enough, the others are skipped.
                let mut places = paths.iter().map(|path| Place::of_file(path));
                let first = places.next().unwrap_or(Err(io::ErrorKind::NotFound.into()));
                if first.is_err() && !places.any(|place| place.is_ok()) {
                    first?;
                }
            }
            Source::Push | Source::Pull(..) => {}
        }
        Ok(point)
    }

    /// Make a point whose source need not be there yet: it is looked for when somebody asks.
    ///
    /// # Errors
    /// What is wrong with the users file.
    pub fn open_later(id: u32, config: PointConfig, cores: usize) -> io::Result<Point> {
        let push_auth = config.push.as_ref().and_then(|push| push.auth.as_ref());
        Ok(Point {
            id,
            guard: config.auth.as_ref().map(Guard::open).transpose()?,
            push_guard: push_auth.map(Guard::open).transpose()?,
            facts: Arc::default(),
            home: CoreId((id as usize % cores.max(1)) as u8),
            limiter: PointLimiter::new(config.limits.clone()),
            station: StationSlot::default(),
            place: OnceLock::new(),
            failure: Mutex::default(),
            failure_count: AtomicU32::new(0),
            config,
        })
    }

    /// Where its files are; `None` as long as they are nowhere. Asks the disk only until then.
    pub fn place(&self) -> Option<&Place> {
        if let Some(place) = self.place.get() {
            return Some(place);
        }
        self.config.source.path()?;
        match Place::open(&self.config) {
            Ok(place) => {
                self.set_failure(None);
                Some(self.place.get_or_init(|| place))
            }
            Err(error) => {
                self.set_failure(Some(error.to_string()));
                None
            }
        }
    }

    /// True if all its clients share one timeline.
    pub fn is_broadcast(&self) -> bool {
        self.config.kind == PointKind::Broadcast
    }

    /// True if its source is on another server.
    pub fn is_pulled(&self) -> bool {
        matches!(self.config.source, Source::Pull(..))
    }

    /// Why its source does not play, if it does not.
    pub fn failure(&self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }

    /// How often its source was found not to play: who waits for it knows by a change that the wait is
    /// in vain.
    pub fn failure_count(&self) -> u32 {
        self.failure_count.load(Relaxed)
    }

    /// Note why its source does not play, or that it does.
    pub fn set_failure(&self, why: Option<String>) {
        if why.is_some() {
            self.failure_count.fetch_add(1, Relaxed);
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// ms of live history.
    pub fn buffer_ms(&self) -> u32 {
        u32::try_from(self.config.buffer.get().as_millis()).unwrap_or(u32::MAX)
    }
}

/// A content that a session has open. Shared by the machine's name for it and the flow.
pub struct OpenContent {
    /// Of which point.
    pub point: Arc<Point>,
    /// What the machine was told.
    pub facts: Content,
    /// Where its packets come from.
    supply: ContentSupply,
    /// Who asked.
    pub client: ClientFacts,
    /// Its place in the limits, if media was asked for.
    pub player: Cell<Option<Player>>,
    /// Its client had the entry before.
    pub follows: bool,
}

/// Who opened a content, for logs.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    /// Address.
    pub peer: SocketAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// Path and query.
    pub target: String,
    /// Host that it named; may be empty.
    pub authority: String,
    /// Who it proved to be.
    pub user: Option<Arc<str>>,
    /// Through which protocol.
    pub protocol: Protocol,
    /// When.
    pub since: SystemTime,
}

/// Where packets come from.
pub enum ContentSupply {
    /// A live stream.
    Live(Rc<LiveFeed>),
    /// A file.
    File(Rc<AsfFile>),
}

impl OpenContent {
    /// A content of a point.
    pub fn new(
        point: Arc<Point>,
        facts: Content,
        supply: ContentSupply,
        client: ClientFacts,
        player: Option<Player>,
    ) -> OpenContent {
        if let ContentSupply::Live(feed) = &supply {
            feed.viewers.set(feed.viewers.get() + 1);
        }
        OpenContent {
            point,
            facts,
            supply,
            client,
            player: Cell::new(player),
            follows: false,
        }
    }

    /// The same as the next entry of a client that had the one before.
    pub fn following(self) -> OpenContent {
        let mut content = self;
        content.follows = true;
        content
    }

    /// Where its packets come from.
    pub fn supply(&self) -> &ContentSupply {
        &self.supply
    }

    /// The file that its media comes from.
    pub fn source_name(&self) -> String {
        match &self.supply {
            ContentSupply::File(file) => {
                let place = self.point.place();
                let path = place.map(|p| p.root.path.join(&file.facts.name));
                path.unwrap_or_default().display().to_string()
            }
            ContentSupply::Live(feed) => match &feed.head.source {
                Some(file) => file.to_string(),
                None => self.point.config.source.to_string(),
            },
        }
    }

    /// Its streams.
    pub fn streams(&self) -> &[StreamInfo] {
        &self.facts.streams
    }
}

impl Drop for OpenContent {
    fn drop(&mut self) {
        if let ContentSupply::Live(feed) = &self.supply {
            feed.viewers.set(feed.viewers.get().saturating_sub(1));
        }
    }
}
