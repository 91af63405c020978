//! Sources on other servers and encoders: fetched by our own client machines on the home core of their
//! point, as long as somebody wants them.
//!
//! A [`Puller`] belongs to a point. While the point's home wants its source it makes one attempt after
//! the other, with pauses that grow while they fail; otherwise it is nothing but a memory of the last
//! pause, so that impatient viewers do not become impatient requests.

mod backoff;
mod client;
mod link;
mod session;

pub use client::{check_url, place_of};

use crate::ops::config::{PullConfig, Source};
use crate::points::Point;
use crate::rt;
use crate::shard::Shard;
use backoff::Backoff;
use client::Wishes;
use protocols::auth::Password;
use protocols::content::Accel;
use protocols::machine::Time;
use session::{Ending, Session};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A reply or a connection that takes longer does not come; viewers are waiting.
const REPLY_LIMIT: Duration = Duration::from_secs(8);

/// So much media in a row, and the pauses begin anew.
const GOOD_STRETCH: Duration = Duration::from_secs(10);

/// The shortest sleep of a puller.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// What a puller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Idle,
    /// Waits until the source may be asked again.
    Resting,
    /// Asks, or receives.
    Trying,
}

/// See the module.
pub struct Puller {
    point: Arc<Point>,
    phase: Cell<Phase>,
    backoff: RefCell<Backoff>,
    /// No attempt before that.
    not_before: Cell<Time>,
    session: RefCell<Option<Rc<Session>>>,
    alarm: Rc<rt::Alarm>,
}

impl Puller {
    /// For a point whose source is a URL. Does nothing yet.
    pub fn new(point: &Arc<Point>) -> Rc<Puller> {
        Rc::new(Puller {
            point: Arc::clone(point),
            phase: Cell::new(Phase::Idle),
            backoff: RefCell::new(Backoff::new(seed(point))),
            not_before: Cell::new(Time::ZERO),
            session: RefCell::default(),
            alarm: Rc::default(),
        })
    }

    /// Somebody wants the source. Says why that is in vain for now, if it is.
    pub fn want(self: &Rc<Self>, shard: &Rc<Shard>) -> Result<(), String> {
        let early = rt::now() < self.not_before.get();
        let in_vain = match self.phase.get() {
            Phase::Trying => false,
            Phase::Resting => true,
            // What is to run without viewers, too, waits for its time by itself.
            Phase::Idle => early && !self.point.config.runs_always(),
        };
        if in_vain {
            let last = self.point.facts.last_error();
            return Err(last.unwrap_or_else(|| "its source has ended".to_owned()));
        }
        if self.phase.get() == Phase::Idle {
            self.phase.set(match early {
                true => Phase::Resting,
                false => Phase::Trying,
            });
            let (puller, shard) = (Rc::clone(self), Rc::clone(shard));
            rt::spawn(async move { puller.run(&shard).await });
        }
        Ok(())
    }

    /// Look whether the source is still wanted.
    pub fn look(&self, shard: &Shard) {
        if self.phase.get() != Phase::Idle && !shard.wants_source(self.point.id) {
            self.alarm.ring();
        }
    }

    /// The core stops: say goodbye, as far as that needs no waiting.
    pub fn stop(&self) {
        if let Some(session) = self.session.take() {
            session.leave();
        }
    }

    async fn run(&self, shard: &Rc<Shard>) {
        let id = self.point.id;
        while shard.wants_source(id) {
            let now = rt::now();
            if now < self.not_before.get() {
                self.phase.set(Phase::Resting);
                let pause = self.not_before.get().since(now).max(PAUSE_MIN);
                self.alarm.sleep(pause).await;
                continue;
            }
            self.phase.set(Phase::Trying);
            let (ending, good_for) = self.attempt(shard).await;
            if good_for >= GOOD_STRETCH {
                self.backoff.borrow_mut().reset();
            }
            let Some(ending) = ending else {
                break;
            };
            let pause = self
                .backoff
                .borrow_mut()
                .next(self.settings().retry_max.get());
            self.not_before.set(rt::now() + pause);
            self.phase.set(Phase::Resting);
            self.settle(shard, ending, pause);
        }
        self.phase.set(Phase::Idle);
        shard.source_rests(id);
    }

    /// One session: how it ended, unless it was no longer wanted, and for how long it was good.
    async fn attempt(&self, shard: &Rc<Shard>) -> (Option<Ending>, Duration) {
        self.point.facts.count_attempt();
        let session = match self.begin(shard).await {
            Ok(session) => session,
            Err(why) => return (Some(Ending::Failed(why)), Duration::ZERO),
        };
        *self.session.borrow_mut() = Some(Rc::clone(&session));
        let silence = self.settings().silence.get();
        let ending = loop {
            if let Some(ending) = session.ending() {
                break Some(ending);
            }
            if !shard.wants_source(self.point.id) {
                break None;
            }
            let now = rt::now();
            let patient_until = session.heard() + silence;
            if now >= patient_until {
                let why = format!("nothing came for {} s", silence.as_secs_f64());
                break Some(Ending::Failed(why));
            }
            let due = session.tick(now).unwrap_or(patient_until);
            let pause = due.min(patient_until).since(rt::now()).max(PAUSE_MIN);
            self.alarm.sleep(pause).await;
        };
        self.session.take();
        session.leave();
        (ending, session.good_for())
    }

    async fn begin(&self, shard: &Rc<Shard>) -> Result<Rc<Session>, String> {
        let Source::Pull(scheme, url) = &self.point.config.source else {
            return Err("its source is no URL".to_owned());
        };
        let settings = self.settings();
        let limit = settings.silence.get().min(REPLY_LIMIT);
        let wishes = Wishes {
            credentials: credentials(&settings).await?,
            burst: Accel {
                bits_per_second: self
                    .point
                    .config
                    .max_accel_bps
                    .as_u32()
                    .min(i32::MAX as u32),
                duration_ms: self.point.buffer_ms().min(i32::MAX as u32),
            },
            reply_timeout: limit,
            seed: seed(&self.point),
        };
        let machine = client::fetcher(*scheme, url, wishes)?;
        tracing::debug!(point = self.point.config.name, url, "asks for its source");
        Ok(Session::begin(
            shard,
            &self.point,
            machine,
            limit,
            &self.alarm,
        ))
    }

    /// An attempt is over: tell those who wait.
    fn settle(&self, shard: &Rc<Shard>, ending: Ending, pause: Duration) {
        let (name, id) = (&self.point.config.name, self.point.id);
        let seconds = pause.as_secs_f64();
        match ending {
            Ending::Over(reason) => {
                tracing::info!(point = name, reason, seconds, "its source has ended");
                self.point.facts.set_error(None);
                shard.source_ended(id, reason);
            }
            Ending::Failed(why) => {
                tracing::warn!(point = name, why, seconds, "its source failed");
                self.point.facts.set_error(Some(why.clone()));
                shard.source_lost(id, why);
            }
        }
    }

    fn settings(&self) -> PullConfig {
        self.point.config.pull.clone().unwrap_or_default()
    }
}

/// User and password as they are configured now.
async fn credentials(settings: &PullConfig) -> Result<Option<(String, Password)>, String> {
    let (Some(user), Some(path)) = (&settings.user, &settings.password_file) else {
        return Ok(None);
    };
    let file = path.clone();
    let password = rt::blocking(move || first_line(&file)).await;
    match password {
        Ok(password) => Ok(Some((user.clone(), Password::new(password)))),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Different for each server, point and moment.
fn seed(point: &Point) -> u64 {
    let random = rt::random_seed().map(|s| u64::from_le_bytes(std::array::from_fn(|i| s[i])));
    random.unwrap_or_else(|_| rt::now().micros() ^ u64::from(point.id) << 48)
}
