//! The server as a whole: starting its cores, changing its points, stopping it.

mod control;
mod feed;
mod listeners;

use crate::archive::Archive;
use crate::front::{Front, listen, receive};
use crate::lanes::Lanes;
use crate::ops::admin::{Admin, Control};
use crate::ops::config::{Config, PointConfig, Size};
use crate::ops::log::{LogIdentity, LogWriter};
use crate::ops::metrics::{Facts, Metrics};
use crate::points::PointMaker;
use crate::policy::Limiter;
use crate::rt::net::Bound;
use crate::rt::{self, BoundDatagrams, CoreThread, DoorbellHandle};
use crate::shard::{Message, Shard, ShardParts};
use crate::source::Indexing;
use control::Controller;
pub use feed::{Feed, NotTaken, SourceState};
use ipnet::IpNet;
use listeners::{Sockets, bind};
use protocols::content::Protocol;
use protocols::machine::{Channel, CoreId, Machine, Service};
use protocols::{mmsp, msbd, rtsp, wmhttp, wmsp};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Part of the configured memory that files' packets may take; the rest is for rings.
const CACHE_SHARE: u64 = 2;

/// How long sessions may take to end when they are told to.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

/// The name of an encoder that is pulled over HTTP (wmsp.md 7.9).
const REX: &str = "Rex/9.0.0.2980";

/// The local address of a front end without listeners.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How long the cores may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error("cannot listen on {address}: {error}{}", hint_of(error))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A UDP socket.
    #[error("cannot have UDP port {address}: {error}{}", hint_of(error))]
    Datagrams {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A publishing point.
    #[error("point \"{name}\": {path}: {error}")]
    Point {
        /// Which.
        name: String,
        /// Its source.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The log directory.
    #[error("the log cannot be written: {0}")]
    Log(io::Error),
    /// The archive's threads.
    #[error("recording cannot be started: {0}")]
    Archive(io::Error),
    /// The index cache.
    #[error("the index cache cannot be used: {0}")]
    Indexing(io::Error),
    /// A core's thread or its rings.
    #[error("a core could not be started: {0}")]
    Core(io::Error),
    /// Explicit CPUs that do not exist or may not be used.
    #[error("cpu {0} is not available to this process")]
    Cpu(usize),
}

fn hint_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has this port",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the CAP_NET_BIND_SERVICE capability"
        }
        io::ErrorKind::NotFound => {
            "; that congestion control is not in this kernel, see net.ipv4.tcp_available_congestion_control"
        }
        _ => "",
    }
}

/// Where the server can be reached.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// HTTP listeners, with the ports that were assigned.
    pub http: Vec<SocketAddr>,
    /// MMS listeners, likewise; datagrams have the same ports.
    pub mms: Vec<SocketAddr>,
    /// RTSP listeners, likewise.
    pub rtsp: Vec<SocketAddr>,
    /// MSBD listeners, each with the name of its point.
    pub msbd: Vec<(String, SocketAddr)>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
}

/// What a reload did.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// Points that are new.
    pub added: Vec<String>,
    /// Points that were changed: their sessions were ended.
    pub replaced: Vec<String>,
    /// Points that are gone: their sessions were ended.
    pub removed: Vec<String>,
    /// Sections that differ and need a restart.
    pub needs_restart: Vec<&'static str>,
}

/// A running server.
pub struct Server {
    controller: Arc<Controller>,
    cores: Mutex<Vec<CoreThread>>,
    /// Until they are shut: a number may be another descriptor's afterwards.
    listeners: Mutex<Vec<RawFd>>,
    addresses: Addresses,
    admin: Option<Admin>,
    log: Mutex<Option<LogWriter>>,
    archive: Mutex<Option<Archive>>,
}

impl Server {
    /// Start a server. When this returns every listener is bound and every core ticks.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Server, StartError> {
        let cpus = cpus_of(&config)?;
        let metrics = Metrics::new();
        let now = rt::now();
        let limiter = Limiter::new(config.limits.clone(), now);
        let indexing =
            Indexing::start(config.server.cache_dir.clone()).map_err(StartError::Indexing)?;
        let identity = LogIdentity {
            host: config.server.name.clone(),
            cores: cpus.len(),
        };
        let log = LogWriter::start(&config.log, identity, Arc::clone(&metrics))
            .map_err(StartError::Log)?;
        let archive = Archive::start(Arc::clone(&metrics)).map_err(StartError::Archive)?;
        let bells = cpus
            .iter()
            .map(|_| DoorbellHandle::new())
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Core)?;
        let lanes = Lanes::new(bells.clone());
        let (mut bound, addresses) = bind(&config, cpus.len())?;
        metrics.set_facts(Facts {
            ring_depth: rt::RING_DEPTH as u32,
            congestion: bound
                .first()
                .map(|core| {
                    core.listeners()
                        .map(|b| (b.local.to_string(), b.congestion()))
                        .collect()
                })
                .unwrap_or_default(),
        });
        let host = host_name(&config, &addresses);
        let cache_bytes = config.limits.memory.as_usize() / CACHE_SHARE as usize / cpus.len();
        let controller = Controller::new(
            config.clone(),
            lanes.clone(),
            Arc::clone(&metrics),
            Arc::clone(&limiter),
            cpus.len(),
        )?;
        let (ready, started) = mpsc::channel();
        let mut cores = Vec::new();
        for (number, cpu) in cpus.iter().enumerate() {
            let id = CoreId(number as u8);
            let parts = ShardParts {
                id,
                lanes: lanes.clone(),
                metrics: Arc::clone(&metrics),
                log: log.handle(id),
                archive: archive.handle(),
                limiter: Arc::clone(&limiter),
                indexing: indexing.clone(),
                maker: Arc::clone(&controller) as Arc<dyn PointMaker>,
                host: host.clone(),
                log_sink: log_sink(&config),
                mms_port: addresses.mms.first().map(SocketAddr::port),
                rtsp_port: addresses.rtsp.first().map(SocketAddr::port),
                root: config.server.root.clone(),
                cache_bytes,
                send_buffer: config.listen.sndbuf.map(buffer_bytes),
            };
            let machines = Machines::new(&config, id, cpus.len(), &addresses.msbd)
                .map_err(StartError::Core)?;
            let sockets = bound.pop().unwrap_or_default();
            let (ready, bell) = (ready.clone(), bells[number].clone());
            let thread = CoreThread::start(&format!("core-{number}"), *cpu, move || {
                run_core(parts, machines, sockets, bell, ready)
            });
            cores.push(thread.map_err(StartError::Core)?);
        }
        drop(ready);
        let mut listeners = Vec::new();
        for _ in 0..cores.len() {
            match started.recv_timeout(START_PATIENCE) {
                Ok(fds) => listeners.extend(fds),
                Err(_) => return Err(why_not_started(cores)),
            }
        }
        controller.publish();
        controller.set_ready();
        let admin = start_admin(&config, &controller, &metrics)?;
        let addresses = Addresses {
            admin: admin.as_ref().map(Admin::address),
            ..addresses
        };
        Ok(Server {
            controller,
            cores: Mutex::new(cores),
            listeners: Mutex::new(listeners),
            addresses,
            admin,
            log: Mutex::new(Some(log)),
            archive: Mutex::new(Some(archive)),
        })
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// All counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.controller.metrics()
    }

    /// Put a new configuration in force: points and limits. Sessions of unchanged points go on.
    ///
    /// # Errors
    /// Says which point cannot be opened; then everything is as before.
    pub fn reload(&self, config: Config) -> Result<ReloadReport, StartError> {
        self.controller.reload(config)
    }

    /// Feed a point whose source is `push:` from here; `None` if there is no such point.
    pub fn feed(&self, point: &str) -> Option<Feed> {
        Feed::new(&self.controller, point)
    }

    /// What the source of a broadcast point does; `None` if there is no such point.
    pub fn source(&self, point: &str) -> Option<SourceState> {
        feed::state_of(&self.controller, point)
    }

    /// Have the log files opened anew, for a rotation from outside.
    pub fn reopen_logs(&self) {
        if let Ok(log) = self.log.lock()
            && let Some(log) = log.as_ref()
        {
            log.reopen();
        }
    }

    /// Take no new connections, let running sessions end for `patience`, then stop.
    pub fn drain(&self, patience: Duration) {
        self.controller.set_draining();
        self.shut_listeners();
        self.controller.tell_all(|| Message::Drain);
        self.wait_for_sessions(patience);
        // What still runs is ended by the protocol's own words, not by a reset.
        self.controller.tell_all(|| Message::Finish);
        self.wait_for_sessions(FINISH_PATIENCE);
        self.stop();
    }

    /// Refuse new connections. Before the cores are told anything else, so that nobody else closes what is
    /// shut here.
    fn shut_listeners(&self) {
        if let Ok(mut listeners) = self.listeners.lock() {
            for fd in listeners.drain(..) {
                rt::shut_down(fd, Shutdown::Read);
            }
        }
    }

    fn wait_for_sessions(&self, patience: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < patience && self.controller.sessions() > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stop now.
    pub fn stop(&self) {
        self.shut_listeners();
        self.controller.tell_all(|| Message::Stop);
        let cores = match self.cores.lock() {
            Ok(mut cores) => std::mem::take(&mut *cores),
            Err(_) => return,
        };
        for core in cores {
            if let Err(error) = core.join() {
                tracing::error!(%error, "a core ended badly");
            }
        }
        if let Ok(mut archive) = self.archive.lock() {
            archive.take();
        }
        if let Ok(mut log) = self.log.lock() {
            log.take();
        }
    }

    /// True if an admin port is served.
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }
}

async fn run_core(
    parts: ShardParts,
    machines: Machines,
    sockets: Sockets,
    bell: DoorbellHandle,
    ready: mpsc::Sender<Vec<RawFd>>,
) {
    let shard = Shard::new(parts);
    let Machines {
        http,
        mms,
        mut rtsp,
        push,
        msbd,
    } = machines;
    let mut rtp = Vec::new();
    if let Some(pair) = sockets.rtp {
        rtsp.rtp_port = pair.port;
        rtp.extend(pair.rtp.into_iter().map(|s| (rtsp::server::RTP, s)));
        rtp.extend(pair.rtcp.into_iter().map(|s| (rtsp::server::RTCP, s)));
    }
    let channel = mms.channel;
    let mms_datagrams = sockets.mms_datagrams.into_iter();
    let mms_datagrams = mms_datagrams.map(|socket| (channel, socket)).collect();
    let fds = [
        serve(
            &shard,
            Box::new(wmsp::server::Server::new(http)),
            (Service::Http, Protocol::Http),
            sockets.http,
            Vec::new(),
        ),
        serve(
            &shard,
            Box::new(mmsp::server::Server::new(mms)),
            (Service::Mms, Protocol::Mmst),
            sockets.mms,
            mms_datagrams,
        ),
        serve(
            &shard,
            Box::new(rtsp::server::Server::new(rtsp)),
            (Service::Rtsp, Protocol::Rtspt),
            sockets.rtsp,
            rtp,
        ),
        // Its connections come from the HTTP port.
        serve(
            &shard,
            Box::new(wmhttp::server::Server::new(push)),
            (Service::Push, Protocol::Push),
            Vec::new(),
            Vec::new(),
        ),
        serve(
            &shard,
            Box::new(msbd::server::Server::new(msbd)),
            (Service::Msbd, Protocol::Msbd),
            sockets.msbd,
            Vec::new(),
        ),
    ]
    .concat();
    match bell.listen() {
        Ok(bell) => {
            let shard = Rc::clone(&shard);
            rt::spawn(async move {
                while bell.wait().await.is_ok() {
                    shard.receive_messages();
                }
            });
        }
        Err(error) => tracing::error!(%error, "no bell: messages wait for the tick"),
    }
    if ready.send(fds).is_ok() {
        shard.run().await;
    }
}

/// Put a front end on a core. Returns the descriptors of its listeners.
fn serve(
    shard: &Rc<Shard>,
    machine: Box<dyn Machine>,
    (service, protocol): (Service, Protocol),
    listeners: Vec<Bound>,
    datagrams: Vec<(Channel, BoundDatagrams)>,
) -> Vec<RawFd> {
    let local = listeners.first().map_or(NOWHERE, |bound| bound.local);
    let front = shard.add_front(Front::new(machine, service, protocol, local));
    for (channel, socket) in datagrams {
        receive(shard, front, channel, socket);
    }
    let listen_on = |bound| listen(shard, front, bound);
    listeners.into_iter().map(listen_on).collect()
}

/// The cores did not report: the first one's error says why.
fn why_not_started(cores: Vec<CoreThread>) -> StartError {
    for core in cores {
        if let Err(error) = core.join() {
            return StartError::Core(error);
        }
    }
    StartError::Core(io::Error::new(
        io::ErrorKind::TimedOut,
        "the cores did not come up in time",
    ))
}

fn start_admin(
    config: &Config,
    controller: &Arc<Controller>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Admin>, StartError> {
    let Some(address) = config.listen.admin else {
        return Ok(None);
    };
    let failed = |error| StartError::Listen { address, error };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    let control: Arc<dyn Control> = Arc::clone(controller) as Arc<dyn Control>;
    Admin::start(listener, Arc::clone(metrics), control, config.base())
        .map(Some)
        .map_err(failed)
}

/// What the machines of a core are told.
struct Machines {
    http: wmsp::server::Config,
    mms: mmsp::server::Config,
    rtsp: rtsp::server::Config,
    push: wmhttp::server::Config,
    msbd: msbd::server::Config,
}

impl Machines {
    fn new(
        config: &Config,
        core: CoreId,
        cores: usize,
        msbd_ports: &[(String, SocketAddr)],
    ) -> io::Result<Machines> {
        let mut http = wmsp::server::Config::new(core, cores as u8, rt::random_seed()?);
        http.server = match config.server.encoder {
            true => REX.to_owned(),
            false => config.server.version.cougar(),
        };
        http.idle_timeout = config.limits.idle_timeout.get();
        http.request_timeout = config.limits.header_timeout.get();
        http.log_sink = log_sink(config);
        http.limits.head_bytes_max = config.limits.max_head.as_usize();
        http.limits.body_bytes_max = config.limits.max_body.as_usize();
        let mut mms = mmsp::server::Config::new(core, cores as u8, rt::random_seed()?);
        mms.version = config.server.version.announced();
        mms.request_timeout = config.limits.header_timeout.get();
        mms.udp = config.listen.mms_udp;
        mms.root = config.server.root.is_some();
        let mut rtsp = rtsp::server::Config::new(core, cores as u8, rt::random_seed()?);
        rtsp.server = config.server.version.wm_server();
        rtsp.request_timeout = config.limits.header_timeout.get();
        // Until the sockets are known.
        rtsp.rtp_port = 0;
        rtsp.unix_origin = unix_origin();
        let mut push = wmhttp::server::Config::new(core, cores as u8, rt::random_seed()?);
        push.server = config.server.version.cougar();
        push.roam = config.listen.push_roam;
        push.idle_timeout = config.limits.push_idle_timeout.get();
        push.inactivity_timeout = config.limits.push_inactivity_timeout.get();
        push.request_timeout = config.limits.header_timeout.get();
        push.limits.head_bytes_max = config.limits.max_head.as_usize();
        push.unix_origin = unix_origin();
        let ports = msbd_ports.iter();
        let ports = ports.filter_map(|(name, at)| msbd_port(config.point(name)?, *at));
        let mut msbd = msbd::server::Config::new(ports.collect());
        msbd.session_count_max = config.limits.outgoing_distribution_connections as usize;
        msbd.connect_timeout = config.limits.header_timeout.get();
        Ok(Machines {
            http,
            mms,
            rtsp,
            push,
            msbd,
        })
    }
}

/// What stands behind a point's MSBD port.
fn msbd_port(point: &PointConfig, at: SocketAddr) -> Option<msbd::server::Port> {
    let msbd = point.msbd.as_ref()?;
    let this_machine = IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8);
    let allow = match msbd.allow.is_empty() {
        true => vec![this_machine],
        false => msbd.allow.clone(),
    };
    Some(msbd::server::Port {
        port: at.port(),
        path: format!("/{}", point.name),
        allow,
        group: msbd.group.and_then(|group| match group {
            SocketAddr::V4(group) => Some(group),
            SocketAddr::V6(_) => None,
        }),
        announced: point.multicast.is_some(),
        switch_eos: msbd.switch_eos,
    })
}

/// Where players post logs, if they may.
fn log_sink(config: &Config) -> Option<String> {
    Some(config.log.sink.clone()).filter(|sink| !sink.is_empty())
}

/// The wall clock's time at the origin of the cores' clock.
fn unix_origin() -> Option<Duration> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    unix.checked_sub(Duration::from_micros(rt::now().micros()))
}

/// The CPUs to pin cores to.
fn cpus_of(config: &Config) -> Result<Vec<usize>, StartError> {
    let allowed = rt::allowed_cpus();
    if let Some(cpus) = &config.server.cpus {
        return match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(missing) => Err(StartError::Cpu(*missing)),
            None => Ok(cpus.clone()),
        };
    }
    let count = config.server.cores.unwrap_or(allowed.len()).max(1);
    // More cores than CPUs share them in turn: of use in tests only, and allowed.
    Ok((0..count).map(|n| allowed[n % allowed.len()]).collect())
}

fn host_name(config: &Config, addresses: &Addresses) -> String {
    let name = config.server.name.clone().unwrap_or_else(rt::host_name);
    match addresses.http.first().map(SocketAddr::port) {
        None | Some(80) => name,
        Some(port) => format!("{name}:{port}"),
    }
}

fn buffer_bytes(size: Size) -> u32 {
    u32::try_from(size.as_usize()).unwrap_or(u32::MAX)
}
