//! Counters. Each core owns its own and is their only writer, so counting is a plain load and
//! store without a locked instruction; a scrape reads what is there at that moment.
//!
//! Labels are bounded: publishing point, protocol, core, reason; never a session or an address.

mod archive;
mod cast;
mod exposition;
mod process;

pub use archive::{ArchiveCounters, ArchiveTotals};
pub use cast::CastCounters;

use crate::ops::config::POINT_COUNT_MAX;
use crate::points::SourceFacts;
use crossbeam::utils::CachePadded;
use protocols::content::{Protocol, Refusal};
use protocols::machine::CoreId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A number that only goes up. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Count one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Count several.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Take over a total that is kept elsewhere.
    #[inline]
    pub fn set(&self, total: u64) {
        self.0.store(total, Relaxed);
    }

    /// The total so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.set(self.get().saturating_add(1));
    }

    /// One less; stays at zero.
    #[inline]
    pub fn dec(&self) {
        self.set(self.get().saturating_sub(1));
    }

    /// Set it.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Its value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the lateness buckets, ms; above the last there is one more bucket.
pub const LATENESS_MS: [u32; 14] = [
    1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 500, 1000, 2000, 5000,
];

/// How late media left: time of the send minus the packet's due time.
#[derive(Debug, Default)]
pub struct Lateness {
    buckets: [Counter; LATENESS_MS.len() + 1],
    sum_ms: Counter,
}

impl Lateness {
    /// Count one send that was `ms` late (0: in time).
    #[inline]
    pub fn record(&self, ms: u32) {
        let bucket = LATENESS_MS.partition_point(|&bound| bound < ms);
        self.buckets[bucket].inc();
        self.sum_ms.add(u64::from(ms));
    }
}

/// Why a client was refused, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RefusedReason {
    /// No such point or file.
    NotFound,
    /// Not allowed to this client.
    Forbidden,
    /// Wrong user name or password.
    Credentials,
    /// `limits.player_connections`, or a point's.
    PlayerConnections,
    /// A bandwidth limit of the server or the point.
    Bandwidth,
    /// `limits.connection_rate`, or the one per address.
    ConnectionRate,
    /// `limits.connections_per_address`.
    ConnectionsPerAddress,
    /// `limits.memory`.
    Memory,
    /// Another limit.
    Busy,
    /// Another encoder publishes there.
    Taken,
    /// The point is stopped, disabled or without a source.
    Unavailable,
    /// Cannot be served in the way asked for.
    Unsupported,
    /// The content is damaged.
    Corrupt,
    /// The request was malformed.
    BadRequest,
    /// The server is draining.
    Draining,
    /// Our fault.
    Internal,
}

impl RefusedReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [RefusedReason; 16] = [
        RefusedReason::NotFound,
        RefusedReason::Forbidden,
        RefusedReason::Credentials,
        RefusedReason::PlayerConnections,
        RefusedReason::Bandwidth,
        RefusedReason::ConnectionRate,
        RefusedReason::ConnectionsPerAddress,
        RefusedReason::Memory,
        RefusedReason::Busy,
        RefusedReason::Taken,
        RefusedReason::Unavailable,
        RefusedReason::Unsupported,
        RefusedReason::Corrupt,
        RefusedReason::BadRequest,
        RefusedReason::Draining,
        RefusedReason::Internal,
    ];

    /// Value of the `reason` label.
    pub const fn name(self) -> &'static str {
        match self {
            RefusedReason::NotFound => "not_found",
            RefusedReason::Forbidden => "forbidden",
            RefusedReason::Credentials => "credentials",
            RefusedReason::PlayerConnections => "player_connections",
            RefusedReason::Bandwidth => "bandwidth",
            RefusedReason::ConnectionRate => "connection_rate",
            RefusedReason::ConnectionsPerAddress => "connections_per_address",
            RefusedReason::Memory => "memory",
            RefusedReason::Busy => "busy",
            RefusedReason::Taken => "taken",
            RefusedReason::Unavailable => "unavailable",
            RefusedReason::Unsupported => "unsupported",
            RefusedReason::Corrupt => "corrupt",
            RefusedReason::BadRequest => "bad_request",
            RefusedReason::Draining => "draining",
            RefusedReason::Internal => "internal",
        }
    }
}

impl From<Refusal> for RefusedReason {
    fn from(refusal: Refusal) -> RefusedReason {
        match refusal {
            Refusal::NotFound => RefusedReason::NotFound,
            Refusal::Forbidden => RefusedReason::Forbidden,
            Refusal::Busy => RefusedReason::Busy,
            Refusal::Taken => RefusedReason::Taken,
            Refusal::Unavailable => RefusedReason::Unavailable,
            Refusal::Unsupported => RefusedReason::Unsupported,
            Refusal::Corrupt => RefusedReason::Corrupt,
            Refusal::Internal => RefusedReason::Internal,
        }
    }
}

/// Counters of one core. Only that core's thread may write them.
#[derive(Debug)]
pub struct CoreCounters {
    /// Sessions that exist now.
    pub sessions: Gauge,
    /// Connections that are open now.
    pub connections: Gauge,
    /// Connections accepted.
    pub accepts: Counter,
    /// Bytes given to transports.
    pub bytes_sent: Counter,
    /// Bytes received.
    pub bytes_received: Counter,
    /// Writes to transports that carried media.
    pub sends: Counter,
    /// Datagrams given to transports.
    pub datagrams_sent: Counter,
    /// System calls that did that.
    pub datagram_sends: Counter,
    /// Datagrams that the kernel refused.
    pub datagrams_dropped: Counter,
    /// Datagrams that were asked for again and sent again.
    pub resends_sent: Counter,
    /// Datagrams that were asked for again and could not be sent again: too old, or too often.
    pub resends_missed: Counter,
    /// Ticks that began more than one base tick late.
    pub late_ticks: Counter,
    /// Sessions overrun by their ring.
    pub ring_overruns: Counter,
    /// Jumps to a newer key frame because a client was too slow.
    pub slow_client_skips: Counter,
    /// Batches lost between cores because a lane was full.
    pub lane_overruns: Counter,
    /// Peers that broke the protocol.
    pub peer_faults: Counter,
    /// Log records that found their queue full and pushed an older one out.
    pub log_records_dropped: Counter,
    /// Time spent in ticks, microseconds.
    pub busy_micros: Counter,
    /// Bytes held by this core's rings.
    pub ring_bytes: Gauge,
    /// Bytes held by this core's caches of framed chunks.
    pub cache_bytes: Gauge,
    /// Reads answered from the cache.
    pub cache_hits: Counter,
    /// Reads that went to the file.
    pub cache_misses: Counter,
    refused: [Counter; RefusedReason::ALL.len()],
    ticks: Counter,
    last_beat_ms: AtomicU64,
    thread: AtomicU32,
    origin: Instant,
}

impl CoreCounters {
    fn new(origin: Instant) -> CoreCounters {
        CoreCounters {
            sessions: Gauge::default(),
            connections: Gauge::default(),
            accepts: Counter::default(),
            bytes_sent: Counter::default(),
            bytes_received: Counter::default(),
            sends: Counter::default(),
            datagrams_sent: Counter::default(),
            datagram_sends: Counter::default(),
            datagrams_dropped: Counter::default(),
            resends_sent: Counter::default(),
            resends_missed: Counter::default(),
            late_ticks: Counter::default(),
            ring_overruns: Counter::default(),
            slow_client_skips: Counter::default(),
            lane_overruns: Counter::default(),
            peer_faults: Counter::default(),
            log_records_dropped: Counter::default(),
            busy_micros: Counter::default(),
            ring_bytes: Gauge::default(),
            cache_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            refused: Default::default(),
            ticks: Counter::default(),
            last_beat_ms: AtomicU64::new(millis(origin.elapsed())),
            thread: AtomicU32::new(0),
            origin,
        }
    }

    /// To be called once by the core's thread: its CPU time is reported from then on.
    pub fn bind_thread(&self) {
        self.thread.store(crate::ops::sys::thread_id(), Relaxed);
    }

    /// To be called by every tick: feeds the watchdog.
    #[inline]
    pub fn beat(&self) {
        self.ticks.inc();
        self.last_beat_ms
            .store(millis(self.origin.elapsed()), Relaxed);
    }

    /// Ticks so far.
    pub fn ticks(&self) -> u64 {
        self.ticks.get()
    }

    /// Count a refusal that belongs to no point.
    pub fn refuse(&self, reason: RefusedReason) {
        self.refused[reason as usize].inc();
    }

    fn silent_for(&self) -> Duration {
        let beat = Duration::from_millis(self.last_beat_ms.load(Relaxed));
        self.origin.elapsed().saturating_sub(beat)
    }
}

/// Counters of one publishing point and protocol on one core.
#[derive(Debug, Default)]
pub struct PointCounters {
    /// Sessions now.
    pub sessions: Gauge,
    /// Sessions begun.
    pub connects: Counter,
    /// Bytes of media with its framing.
    pub bytes: Counter,
    /// Media packets.
    pub packets: Counter,
    /// Sends that were later than the point's cadence allows for.
    pub late_sends: Counter,
    /// Jumps to a newer key frame.
    pub skips: Counter,
    /// Times that a session's place in the ring was overwritten.
    pub overruns: Counter,
    /// Clients refused.
    pub refused: Counter,
    /// How late media left.
    pub lateness: Lateness,
}

/// Counters of the log writer's thread.
#[derive(Debug, Default)]
pub struct LogCounters {
    /// Lines written, all files.
    pub lines: Counter,
    /// Bytes written.
    pub bytes: Counter,
    /// Lines lost because a write failed or the disk was full.
    pub lost: Counter,
    /// Files begun.
    pub files: Counter,
    /// 1 while logging is stopped by the free-space floor.
    pub stopped: Gauge,
}

/// Facts about the running engine that are shown as information metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Ring depth of each core's io_uring.
    pub ring_depth: u32,
    /// Address of each listener and the congestion control in effect there.
    pub congestion: Vec<(String, String)>,
}

/// Point and protocol.
type PointKey = (Arc<str>, &'static str);
type PerCore<T> = BTreeMap<u8, Arc<CachePadded<T>>>;

/// All counters of a server.
#[derive(Debug)]
pub struct Metrics {
    origin: Instant,
    cores: Mutex<PerCore<CoreCounters>>,
    points: Mutex<BTreeMap<PointKey, PerCore<PointCounters>>>,
    /// Those of senders that are no more go with them.
    casts: Mutex<Vec<Weak<CachePadded<CastCounters>>>>,
    /// They live as long as somebody records.
    archives: Mutex<BTreeMap<Arc<str>, Weak<ArchiveCounters>>>,
    facts: Mutex<Facts>,
    /// What the broadcasts' sources do, by the points' names.
    sources: Mutex<BTreeMap<String, Arc<SourceFacts>>>,
    /// Written by the log writer.
    pub log: CachePadded<LogCounters>,
}

/// Most pairs of point and protocol that have series of their own.
const SERIES_COUNT_MAX: usize = POINT_COUNT_MAX * 2;

/// Name of the point that counts for points beyond the bound on labels.
pub const OTHER_POINT: &str = "_other";

impl Metrics {
    /// No cores, no points.
    pub fn new() -> Arc<Metrics> {
        Arc::new(Metrics {
            origin: Instant::now(),
            cores: Mutex::default(),
            points: Mutex::default(),
            casts: Mutex::default(),
            archives: Mutex::default(),
            facts: Mutex::default(),
            sources: Mutex::default(),
            log: CachePadded::default(),
        })
    }

    /// The counters of a core, made at the first call. To be kept; this takes a lock.
    pub fn core(&self, core: CoreId) -> Arc<CachePadded<CoreCounters>> {
        let origin = self.origin;
        lock(&self.cores)
            .entry(core.0)
            .or_insert_with(|| Arc::new(CachePadded::new(CoreCounters::new(origin))))
            .clone()
    }

    /// The counters of a point and protocol on a core, made at the first call. To be kept; this
    /// takes a lock. Beyond the bound on points, those of [`OTHER_POINT`].
    pub fn point(
        &self,
        core: CoreId,
        point: &str,
        protocol: Protocol,
    ) -> Arc<CachePadded<PointCounters>> {
        let mut points = lock(&self.points);
        let mut key: PointKey = (point.into(), protocol.name());
        if !points.contains_key(&key) && points.len() >= SERIES_COUNT_MAX {
            key.0 = OTHER_POINT.into();
        }
        let cores = points.entry(key).or_default();
        cores.entry(core.0).or_default().clone()
    }

    /// Counters for a sender to a group, which are shown as long as it keeps them. There are at most two
    /// for each point, which bounds their labels.
    pub fn cast(&self, point: &str, protocol: &'static str) -> Arc<CachePadded<CastCounters>> {
        let counters = Arc::new(CachePadded::new(CastCounters::new(point, protocol)));
        let mut casts = lock(&self.casts);
        casts.retain(|cast| cast.strong_count() > 0);
        casts.push(Arc::downgrade(&counters));
        counters
    }

    /// The counters of every sender to a group.
    pub fn casts(&self) -> Vec<Arc<CachePadded<CastCounters>>> {
        lock(&self.casts).iter().filter_map(Weak::upgrade).collect()
    }

    /// The counters of a point's recordings, made at the first call. To be kept; this takes a lock.
    pub fn archive(&self, point: &str) -> Arc<ArchiveCounters> {
        let mut archives = lock(&self.archives);
        if let Some(counters) = archives.get(point).and_then(Weak::upgrade) {
            return counters;
        }
        archives.retain(|_, counters| counters.strong_count() > 0);
        let counters = Arc::default();
        archives.insert(point.into(), Arc::downgrade(&counters));
        counters
    }

    /// What a point's recordings do, if it is recorded.
    pub fn archive_totals(&self, point: &str) -> Option<ArchiveTotals> {
        let counters = lock(&self.archives).get(point).and_then(Weak::upgrade);
        counters.map(|counters| counters.totals())
    }

    /// Drop a removed point's series. Counters that are still held go on uncounted.
    pub fn forget_point(&self, point: &str) {
        lock(&self.points).retain(|key, _| &*key.0 != point);
    }

    /// The broadcasts that exist from now on, and what is known of their sources.
    pub fn set_sources(&self, sources: BTreeMap<String, Arc<SourceFacts>>) {
        *lock(&self.sources) = sources;
    }

    /// Make facts known.
    pub fn set_facts(&self, facts: Facts) {
        *lock(&self.facts) = facts;
    }

    /// The cores whose tick has not come for `limit`, and for how long.
    pub fn stalled(&self, limit: Duration) -> Vec<(CoreId, Duration)> {
        lock(&self.cores)
            .iter()
            .map(|(&core, counters)| (CoreId(core), counters.silent_for()))
            .filter(|(_, silent)| *silent > limit)
            .collect()
    }

    /// Sums over all cores.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            uptime_seconds: self.origin.elapsed().as_secs(),
            ..Totals::default()
        };
        for core in lock(&self.cores).values() {
            totals.sessions += core.sessions.get();
            totals.connections += core.connections.get();
            totals.bytes_sent += core.bytes_sent.get();
            totals.refused += core.refused.iter().map(Counter::get).sum::<u64>();
        }
        totals
    }

    /// Sums per point and protocol, in order of their names.
    pub fn point_totals(&self) -> Vec<PointTotals> {
        let points = lock(&self.points);
        let each = points.iter().map(|((point, protocol), cores)| {
            let sum = |f: fn(&PointCounters) -> u64| cores.values().map(|c| f(c)).sum();
            PointTotals {
                point: point.to_string(),
                protocol,
                sessions: sum(|c| c.sessions.get()),
                connects: sum(|c| c.connects.get()),
                bytes: sum(|c| c.bytes.get()),
                packets: sum(|c| c.packets.get()),
                skips: sum(|c| c.skips.get()),
                refused: sum(|c| c.refused.get()),
            }
        });
        each.collect()
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub fn exposition(&self) -> String {
        exposition::write(self)
    }
}

/// Sums over all cores; see [`CoreCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Totals {
    pub uptime_seconds: u64,
    pub sessions: u64,
    pub connections: u64,
    pub bytes_sent: u64,
    pub refused: u64,
}

/// Sums of one point and protocol; see [`PointCounters`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct PointTotals {
    pub point: String,
    pub protocol: &'static str,
    pub sessions: u64,
    pub connects: u64,
    pub bytes: u64,
    pub packets: u64,
    pub skips: u64,
    pub refused: u64,
}

/// CPU time of the whole process, seconds.
pub(crate) fn process_cpu_seconds() -> Option<f64> {
    process::cpu_seconds()
}

/// A panic elsewhere leaves counters as they are; they stay readable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
