//! The control plane: which points exist, who may change them, and what state they are in.

use super::{ReloadReport, StartError};
use crate::lanes::Lanes;
use crate::ops::admin::{
    Added, Control, ControlError, InputStatus, PointState, PointStatus, Readiness,
};
use crate::ops::config::{Config, MsbdConfig, POINT_COUNT_MAX, PointConfig, point_name};
use crate::ops::metrics::Metrics;
use crate::points::{Point, PointMaker, SourceFacts};
use crate::policy::Limiter;
use crate::rt;
use crate::shard::Message;
use protocols::machine::CoreId;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// Times that a message is offered to a core whose lane is full, a millisecond apart.
const OFFERS_MAX: usize = 2000;

/// See the module. Shared with the admin threads.
pub struct Controller {
    state: Mutex<State>,
    changing: Mutex<()>,
    readiness: AtomicU8,
    lanes: Lanes<Message>,
    metrics: Arc<Metrics>,
    limiter: Arc<Limiter>,
    cores: usize,
}

struct State {
    config: Config,
    points: Arc<Vec<Arc<Point>>>,
    next_id: u32,
}

impl Controller {
    /// Open every point of the configuration.
    ///
    /// # Errors
    /// Names the first one that cannot be opened.
    pub fn new(
        config: Config,
        lanes: Lanes<Message>,
        metrics: Arc<Metrics>,
        limiter: Arc<Limiter>,
        cores: usize,
    ) -> Result<Arc<Controller>, StartError> {
        let controller = Controller {
            state: Mutex::new(State {
                config: Config::default(),
                points: Arc::default(),
                next_id: 0,
            }),
            changing: Mutex::default(),
            readiness: AtomicU8::new(STARTING),
            lanes,
            metrics,
            limiter,
            cores,
        };
        // A source that is not there yet does not keep the other points from starting; what is added
        // to a running server has to be right.
        controller.exchange(&mut controller.lock(), config, Point::open_later)?;
        Ok(Arc::new(controller))
    }

    /// All counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The cores take sessions.
    pub fn set_ready(&self) {
        self.readiness.store(READY, SeqCst);
    }

    /// The server is being stopped.
    pub fn set_draining(&self) {
        self.readiness.store(DRAINING, SeqCst);
    }

    /// Sessions now.
    pub fn sessions(&self) -> u64 {
        self.metrics.totals().sessions
    }

    /// Tell the cores which points exist.
    pub fn publish(&self) {
        let points = Arc::clone(&self.lock().points);
        let broadcasts = points.iter().filter(|point| point.is_broadcast());
        let facts = |p: &Arc<Point>| (p.config.name.clone(), Arc::clone(&p.facts));
        self.metrics.set_sources(broadcasts.map(facts).collect());
        self.tell_all(|| Message::Points(Arc::clone(&points)));
    }

    /// Give a core a message, which comes back if its lane is full.
    pub fn offer(&self, core: CoreId, message: Message) -> Result<(), Message> {
        self.lanes.call(self.lanes.outside(), core, message)
    }

    /// Send a message to every core.
    pub fn tell_all(&self, make: impl Fn() -> Message) {
        for core in (0..self.cores).map(|number| CoreId(number as u8)) {
            let mut message = make();
            let mut offers = 0;
            while let Err(back) = self.offer(core, message) {
                message = back;
                offers += 1;
                if offers == OFFERS_MAX {
                    tracing::error!(core = core.0, "a core takes nothing: it was not told");
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// See [`super::Server::reload`].
    pub fn reload(&self, mut config: Config) -> Result<ReloadReport, StartError> {
        let _one = self.change_one_at_a_time();
        // Points that encoders asked for are in no file.
        let made: Vec<PointConfig> = {
            let state = self.lock();
            let made = state.config.points.iter().filter(|p| p.made_by_push);
            made.filter(|made| {
                let taken = |p: &PointConfig| p.name.eq_ignore_ascii_case(&made.name);
                !config.points.iter().any(taken)
            })
            .cloned()
            .collect()
        };
        config.points.extend(made);
        self.put_in_force(config)
    }

    fn put_in_force(&self, config: Config) -> Result<ReloadReport, StartError> {
        let report = {
            let mut state = self.lock();
            let report = self.exchange(&mut state, config, Point::open)?;
            self.limiter.set(state.config.limits.clone(), rt::now());
            report
        };
        self.publish();
        for name in report.removed.iter().chain(&report.replaced) {
            self.metrics.forget_point(name);
        }
        Ok(report)
    }

    /// Make the points of a configuration, keeping those that are the same.
    fn exchange(
        &self,
        state: &mut State,
        config: Config,
        open: fn(u32, PointConfig, usize) -> io::Result<Point>,
    ) -> Result<ReloadReport, StartError> {
        let mut report = ReloadReport::default();
        let mut points = Vec::new();
        let mut next_id = state.next_id;
        for wanted in &config.points {
            let old = state.points.iter().find(|p| p.config.name == wanted.name);
            match old {
                Some(old) if old.config == *wanted => {
                    // The configuration is the same, what it names may not be.
                    if let Some(guard) = &old.guard {
                        guard.reload().map_err(|e| unusable(wanted, e))?;
                    }
                    points.push(Arc::clone(old));
                    continue;
                }
                Some(_) => report.replaced.push(wanted.name.clone()),
                None => report.added.push(wanted.name.clone()),
            }
            let made = open(next_id, wanted.clone(), self.cores);
            points.push(Arc::new(made.map_err(|error| not_opened(wanted, error))?));
            next_id += 1;
        }
        report.removed = state
            .points
            .iter()
            .map(|p| p.config.name.clone())
            .filter(|name| !config.points.iter().any(|p| p.name == *name))
            .collect();
        let sections = [
            ("server", state.config.server != config.server),
            ("listen", state.config.listen != config.listen),
            ("log", state.config.log != config.log),
            ("point.msbd", msbd_of(&state.config).ne(msbd_of(&config))),
        ];
        report.needs_restart = sections.iter().filter(|s| s.1).map(|s| s.0).collect();
        state.points = Arc::new(points);
        state.next_id = next_id;
        state.config = config;
        Ok(report)
    }

    fn change(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Vec<PointConfig>) -> Result<Added, ControlError>,
    ) -> Result<Added, ControlError> {
        if self.readiness.load(SeqCst) != READY {
            return Err(ControlError::Unavailable("starting or draining".into()));
        }
        let _one = self.change_one_at_a_time();
        let mut config = self.lock().config.clone();
        let added = edit(&mut config.points)?;
        if added != Added::Unchanged {
            let report = self
                .put_in_force(config)
                .map_err(|error| ControlError::Invalid(error.to_string()))?;
            if !report.needs_restart.is_empty() {
                tracing::warn!(point = name, sections = ?report.needs_restart, "changes here need a restart");
            }
            tracing::info!(point = name, "points changed through the API");
        }
        Ok(added)
    }

    /// What is made of the configuration that is in force must not meet another change on its way back.
    fn change_one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The point of that name.
    pub fn find(&self, name: &str) -> Option<Arc<Point>> {
        let state = self.lock();
        let named = |p: &&Arc<Point>| p.config.name == name;
        state.points.iter().find(named).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PointMaker for Controller {
    fn make(&self, config: PointConfig) -> io::Result<Arc<Point>> {
        let name = config.name.clone();
        // It comes from outside, and stands in logs, documents and names of files.
        point_name(&name).map_err(|what| io::Error::new(io::ErrorKind::InvalidInput, what))?;
        let added = self.change(&name, |points| {
            // Encoders on several cores may have asked for it at once.
            if points.iter().any(|p| p.name.eq_ignore_ascii_case(&name)) {
                return Ok(Added::Unchanged);
            }
            if points.len() >= POINT_COUNT_MAX {
                return Err(ControlError::Invalid("there are too many points".into()));
            }
            points.push(config);
            Ok(Added::Created)
        });
        added.map_err(|error| io::Error::other(error.to_string()))?;
        let state = self.lock();
        let named = |p: &&Arc<Point>| p.config.name.eq_ignore_ascii_case(&name);
        let made = state.points.iter().find(named).cloned();
        made.ok_or_else(|| io::Error::other("the point went again"))
    }

    fn remove(&self, name: &str) {
        // Not one that the operator has put in its place since.
        let made = self.find(name).is_some_and(|p| p.config.made_by_push);
        if made && let Err(error) = self.remove_point(name) {
            tracing::warn!(point = name, %error, "a point made by an encoder stays");
        }
    }
}

/// What is listened to from the start on.
fn msbd_of(config: &Config) -> impl Iterator<Item = (&str, &MsbdConfig)> {
    let points = config.points.iter();
    points.filter_map(|p| Some((p.name.as_str(), p.msbd.as_ref()?)))
}

fn unusable(config: &PointConfig, error: std::io::Error) -> StartError {
    StartError::Point {
        name: config.name.clone(),
        path: config.source.paths().first().cloned().unwrap_or_default(),
        error,
    }
}

fn not_opened(config: &PointConfig, error: io::Error) -> StartError {
    StartError::Point {
        name: config.name.clone(),
        path: config.source.paths().first().cloned().unwrap_or_default(),
        error,
    }
}

fn input_of(facts: &SourceFacts) -> InputStatus {
    InputStatus {
        state: facts.airing().name(),
        packets: facts.packets(),
        bytes: facts.bytes(),
        damaged: facts.damaged(),
        entries: facts.entries(),
        losses: facts.losses(),
        attempts: facts.attempts(),
        skipped: facts.skipped(),
        last_error: facts.last_error(),
    }
}

impl Control for Controller {
    fn readiness(&self) -> Readiness {
        match self.readiness.load(SeqCst) {
            STARTING => Readiness::Starting,
            READY => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }

    fn points(&self) -> Vec<PointStatus> {
        let points = Arc::clone(&self.lock().points);
        let mut list: Vec<PointStatus> = points
            .iter()
            .map(|point| {
                let error = point.failure();
                let sessions = point.limiter.players();
                PointStatus {
                    name: point.config.name.clone(),
                    kind: point.config.kind.name(),
                    source: point.config.source.to_string(),
                    state: match &error {
                        _ if !point.config.enabled => PointState::Disabled,
                        Some(_) => PointState::Failed,
                        None if point.is_broadcast() && !point.config.always && sessions == 0 => {
                            PointState::Idle
                        }
                        None => PointState::Running,
                    },
                    error,
                    sessions,
                    input: point.is_broadcast().then(|| input_of(&point.facts)),
                    archive: self.metrics.archive_totals(&point.config.name),
                }
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    fn add_point(&self, point: PointConfig) -> Result<Added, ControlError> {
        let name = point.name.clone();
        self.change(&name, |points| {
            match points.iter_mut().find(|p| p.name == point.name) {
                Some(old) if *old == point => Ok(Added::Unchanged),
                Some(old) => {
                    *old = point;
                    Ok(Added::Replaced)
                }
                None => {
                    points.push(point);
                    Ok(Added::Created)
                }
            }
        })
    }

    fn remove_point(&self, name: &str) -> Result<(), ControlError> {
        self.change(name, |points| {
            let before = points.len();
            points.retain(|p| p.name != name);
            if points.len() == before {
                return Err(ControlError::NoSuchPoint(name.to_owned()));
            }
            Ok(Added::Replaced)
        })
        .map(|_| ())
    }
}
