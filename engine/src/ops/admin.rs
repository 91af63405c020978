//! The admin port: metrics, health and the API that adds and removes points.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /metrics` | all counters, Prometheus text |
//! | `GET /healthz` | 200 while every core ticks, else 503 with the cores that do not |
//! | `GET /readyz` | 200 once every listener is bound; 503 before that and while draining |
//! | `GET /api/points`, `/api/points/NAME` | points and their state, JSON |
//! | `PUT /api/points/NAME` | adds or replaces a point; body: its table, TOML or JSON |
//! | `DELETE /api/points/NAME` | removes a point; its sessions end |
//! | `GET /api/sessions` | sums per point and protocol, JSON |
//!
//! A few threads sleep in `accept`; nothing wakes while nobody asks. Each connection serves one
//! request within a deadline, so a peer that stalls holds one thread for that long at most.

mod http;

use crate::ops::config::{ConfigError, PointConfig, parse_point};
use crate::ops::metrics::{ArchiveTotals, Metrics};
use http::{Request, Response};
use serde::Serialize;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that serve, hence requests at a time.
const THREAD_COUNT: usize = 3;
/// From accept to the last byte of the answer.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// A core that has not ticked for this long is not alive.
pub const STALL_LIMIT: Duration = Duration::from_secs(3);

/// What the admin port needs from the engine. Called from its threads; may block for as long as
/// a core needs to answer, but no longer than a second or so.
pub trait Control: Send + Sync {
    /// Where the server is in its life.
    fn readiness(&self) -> Readiness;

    /// The points that exist, in order of their names.
    fn points(&self) -> Vec<PointStatus>;

    /// Adds a point, or replaces the one of that name; one that is equal is left alone.
    ///
    /// # Errors
    /// If it cannot be opened; then everything is as before.
    fn add_point(&self, point: PointConfig) -> Result<Added, ControlError>;

    /// Removes a point. Its sessions are ended.
    ///
    /// # Errors
    /// If there is none of that name.
    fn remove_point(&self, name: &str) -> Result<(), ControlError>;
}

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Not every listener is bound yet.
    Starting,
    /// Takes players.
    Ready,
    /// Takes no new sessions.
    Draining,
}

/// A publishing point, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointStatus {
    /// Name, first segment of its URLs.
    pub name: String,
    /// `on-demand` or `broadcast`.
    pub kind: &'static str,
    /// As configured.
    pub source: String,
    /// What it does now.
    pub state: PointState,
    /// Why it is [`PointState::Failed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Sessions now, all protocols and cores.
    pub sessions: u64,
    /// What its source does, if it is a broadcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<InputStatus>,
    /// What its recordings do, if it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveTotals>,
}

/// What a broadcast's source does and did, as the API shows it; see [`crate::points::SourceFacts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct InputStatus {
    /// `idle`, `waiting`, `live`, `lost`, `fallback` or `over`.
    pub state: &'static str,
    pub packets: u64,
    pub bytes: u64,
    pub damaged: u64,
    pub entries: u32,
    pub losses: u64,
    pub attempts: u64,
    pub skipped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a point does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PointState {
    /// Serves, or would.
    Running,
    /// Its source starts with the first player.
    Idle,
    /// `enabled = false`.
    Disabled,
    /// Its source cannot be read.
    Failed,
}

/// What [`Control::add_point`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Added {
    /// There was none of that name.
    Created,
    /// The earlier one's sessions were ended.
    Replaced,
    /// The earlier one was equal.
    Unchanged,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No point of that name.
    #[error("there is no point \"{0}\"")]
    NoSuchPoint(String),
    /// The point cannot work.
    #[error("{0}")]
    Invalid(String),
    /// Not now: starting, draining, or a core does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// The running admin port. Stops when dropped.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Admin {
    /// Begins to serve on a bound listener. `base` is what relative paths in points are relative to.
    ///
    /// # Errors
    /// If the listener cannot be shared or no thread can be started.
    pub fn start(
        listener: TcpListener,
        metrics: Arc<Metrics>,
        control: Arc<dyn Control>,
        base: PathBuf,
    ) -> io::Result<Admin> {
        let stall_limit = STALL_LIMIT;
        Admin::serve(
            listener,
            Api {
                metrics,
                control,
                base,
                stall_limit,
            },
        )
    }

    fn serve(listener: TcpListener, api: Api) -> io::Result<Admin> {
        let mut admin = Admin {
            address: listener.local_addr()?,
            listener,
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let api = Arc::new(api);
        for i in 0..THREAD_COUNT {
            let listener = admin.listener.try_clone()?;
            let (api, stop) = (api.clone(), admin.stop.clone());
            let thread = std::thread::Builder::new()
                .name(format!("admin-{i}"))
                .stack_size(256 * 1024)
                .spawn(move || api.accept(&listener, &stop))?;
            admin.threads.push(thread);
        }
        Ok(admin)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes every thread that sleeps in accept.
        let _ = socket2::SockRef::from(&self.listener).shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Api {
    metrics: Arc<Metrics>,
    control: Arc<dyn Control>,
    base: PathBuf,
    stall_limit: Duration,
}

impl Api {
    fn accept(&self, listener: &TcpListener, stop: &AtomicBool) {
        loop {
            let accepted = listener.accept();
            if stop.load(Ordering::SeqCst) {
                return;
            }
            match accepted {
                Ok((stream, _)) => self.connection(&stream),
                // Out of descriptors, most likely: others must get a chance to give some back.
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn connection(&self, stream: &TcpStream) {
        let deadline = Instant::now() + REQUEST_DEADLINE;
        let response = match http::read(stream, deadline) {
            Ok(Some(request)) => self.answer(&request),
            Ok(None) => return,
            Err(response) => response,
        };
        http::write(stream, &response, deadline);
    }

    fn answer(&self, request: &Request) -> Response {
        let name = request.path.strip_prefix("/api/points/");
        match (request.method.as_str(), request.path.as_str(), name) {
            ("GET" | "HEAD", "/", _) => Response::text(200, INDEX),
            ("GET" | "HEAD", "/metrics", _) => Response {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: self.metrics.exposition(),
            },
            ("GET" | "HEAD", "/healthz", _) => self.health(),
            ("GET" | "HEAD", "/readyz", _) => self.readiness(),
            ("GET" | "HEAD", "/api/points", _) => Response::json(200, &self.control.points()),
            ("GET" | "HEAD", "/api/sessions", _) => self.sessions(),
            ("GET" | "HEAD", _, Some(name)) => self.get_point(name),
            ("PUT" | "DELETE", _, Some(_)) if request.from_browser => {
                Response::error(403, "changes are not taken from web pages")
            }
            ("PUT", _, Some(name)) => self.put_point(name, &request.body),
            ("DELETE", _, Some(name)) => match self.control.remove_point(name) {
                Ok(()) => Response::json(200, &serde_json::json!({ "removed": name })),
                Err(e) => refused(&e),
            },
            (_, "/" | "/metrics" | "/healthz" | "/readyz" | "/api/points" | "/api/sessions", _) => {
                Response::error(405, "only GET is possible here")
            }
            (_, _, Some(_)) => Response::error(405, "only GET, PUT and DELETE are possible here"),
            _ => Response::error(404, "there is nothing here; GET / lists what there is"),
        }
    }

    fn health(&self) -> Response {
        let stalled = self.metrics.stalled(self.stall_limit);
        if stalled.is_empty() {
            return Response::text(200, "ok\n");
        }
        let lines: Vec<String> = stalled
            .iter()
            .map(|(core, silent)| {
                format!(
                    "core {} has not ticked for {:.1} s\n",
                    core.0,
                    silent.as_secs_f64()
                )
            })
            .collect();
        Response::text(503, &lines.concat())
    }

    fn readiness(&self) -> Response {
        match self.control.readiness() {
            Readiness::Ready => Response::text(200, "ready\n"),
            Readiness::Starting => Response::text(503, "starting\n"),
            Readiness::Draining => Response::text(503, "draining\n"),
        }
    }

    fn sessions(&self) -> Response {
        Response::json(
            200,
            &serde_json::json!({
                "state": self.control.readiness(),
                "total": self.metrics.totals(),
                "points": self.metrics.point_totals(),
            }),
        )
    }

    fn get_point(&self, name: &str) -> Response {
        match self.control.points().iter().find(|p| p.name == name) {
            Some(point) => Response::json(200, point),
            None => refused(&ControlError::NoSuchPoint(name.to_owned())),
        }
    }

    fn put_point(&self, name: &str, body: &str) -> Response {
        let point = match parse_point(name, body, &self.base) {
            Ok(point) => point,
            Err(e) => return invalid(&e),
        };
        match self.control.add_point(point) {
            Ok(added) => {
                let status = if added == Added::Created { 201 } else { 200 };
                Response::json(
                    status,
                    &serde_json::json!({ "point": name, "result": added }),
                )
            }
            Err(e) => refused(&e),
        }
    }
}

fn refused(error: &ControlError) -> Response {
    let status = match error {
        ControlError::NoSuchPoint(_) => 404,
        ControlError::Invalid(_) => 422,
        ControlError::Unavailable(_) => 503,
    };
    Response::error(status, &error.to_string())
}

fn invalid(error: &ConfigError) -> Response {
    let value =
        serde_json::json!({ "error": "the point is not valid", "problems": error.problems });
    Response::json(422, &value)
}

const INDEX: &str = "\
GET    /metrics\n\
GET    /healthz\n\
GET    /readyz\n\
GET    /api/points\n\
GET    /api/points/NAME\n\
PUT    /api/points/NAME   body: the point's table, TOML or JSON\n\
DELETE /api/points/NAME\n\
GET    /api/sessions\n";

#[cfg(test)]
mod tests;
