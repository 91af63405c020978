//! Client logs, access logs and faults of peers: from the cores through bounded queues to one
//! writer thread and its files (wmlog.md 12.3).
//!
//! A core only ever pushes into its queue; when the disk stalls, the queue's oldest record gives
//! way and is counted (WMLOG-47). Everything that costs time (taking client logs apart, writing,
//! telling the journal) happens on the writer's thread, which sleeps while nothing comes.

mod file;
mod sink;

use crate::ops::config;
use crate::ops::metrics::{CoreCounters, Metrics};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use protocols::content::Protocol;
use protocols::machine::{ClientLog, CoreId};
use sink::Sink;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Records that each core may have waiting.
const QUEUE_RECORD_COUNT_MAX: usize = 4096;
/// After a record came, how long others are waited for, so that they are written together.
const BATCH_WAIT: Duration = Duration::from_millis(250);
/// How long a stop waits for a disk that does not take what is left.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// One thing worth a line.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// When it happened, ms since 1970, UTC; see [`now_ms`].
    pub unix_ms: u64,
    /// What happened.
    pub event: Event,
    /// Publishing point; `None` if the request named none.
    pub point: Option<Arc<str>>,
    /// Protocol of the session.
    pub protocol: Protocol,
    /// The server's number of the session, 0 if there is none.
    pub session: u64,
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
    /// Host that the client named; may be empty.
    pub authority: String,
    /// Path and query of the URL.
    pub target: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// Who the client proved to be.
    pub user: Option<Arc<str>>,
    /// File or source that the URL stands for; empty if unknown.
    pub content: String,
    /// 200, or the HTTP-like code of a failure.
    pub status: u16,
    /// Start of the period that is logged, ms since 1970, UTC.
    pub started_ms: u64,
    /// How long media was sent, ms.
    pub sent_ms: u64,
    /// Bytes sent in the period.
    pub sent_bytes: u64,
    /// Media packets sent in the period.
    pub sent_packets: u64,
    /// Granted rate, bit/s.
    pub granted_bps: Option<u64>,
}

impl LogRecord {
    /// A record of now, with nothing sent.
    pub fn new(event: Event, protocol: Protocol, peer: SocketAddr, local: SocketAddr) -> LogRecord {
        let unix_ms = now_ms();
        LogRecord {
            unix_ms,
            event,
            point: None,
            protocol,
            session: 0,
            peer,
            local,
            authority: String::new(),
            target: String::new(),
            user_agent: String::new(),
            user: None,
            content: String::new(),
            status: 200,
            started_ms: unix_ms,
            sent_ms: 0,
            sent_bytes: 0,
            sent_packets: 0,
            granted_bps: None,
        }
    }
}

/// What a [`LogRecord`] is about.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client submitted a log; the period's counters are the server's own.
    ClientLog(ClientLog),
    /// A session ended. If the client sent a log before, that was its line in the W3C file.
    Ended {
        /// A client log of this session was recorded.
        logged: bool,
    },
    /// A request was refused.
    Refused {
        /// For the operator.
        reason: String,
    },
    /// A peer broke the protocol, or its connection failed.
    Fault {
        /// The driver's number of the connection.
        connection: u64,
        /// Offset in the byte stream where it was noticed.
        offset: u64,
        /// What was wrong.
        reason: String,
    },
}

/// ms since 1970, UTC.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A core's end of its queue.
#[derive(Clone)]
pub struct LogHandle {
    queue: Arc<ArrayQueue<LogRecord>>,
    counters: Arc<CachePadded<CoreCounters>>,
    shared: Arc<Shared>,
}

impl LogHandle {
    /// Passes a record on. Never waits: if the queue is full its oldest record is dropped and
    /// counted. At most one thread wake-up per batch.
    pub fn push(&self, record: LogRecord) {
        if self.queue.force_push(record).is_some() {
            self.counters.log_records_dropped.inc();
        }
        self.shared.wake_if_asleep();
    }
}

/// The writer thread. Writes out what is queued when dropped.
pub struct LogWriter {
    queues: Vec<Arc<ArrayQueue<LogRecord>>>,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    done: mpsc::Receiver<()>,
}

/// What the log says about the server.
#[derive(Clone, Debug, Default)]
pub struct LogIdentity {
    /// Host name, for `s-dns` and the file headers.
    pub host: Option<String>,
    /// Number of cores; the load is measured against it.
    pub cores: usize,
}

impl LogWriter {
    /// Starts the thread, with a queue for each of the cores 0 to `identity.cores`. Without a
    /// directory only faults are told, to the journal.
    ///
    /// # Errors
    /// If the directory cannot be made or written, or the thread cannot be started.
    pub fn start(
        config: &config::Log,
        identity: LogIdentity,
        metrics: Arc<Metrics>,
    ) -> io::Result<LogWriter> {
        let new_queue = |_| Arc::new(ArrayQueue::new(QUEUE_RECORD_COUNT_MAX));
        let queues: Vec<_> = (0..identity.cores.max(1)).map(new_queue).collect();
        let mut sink = Sink::new(config, identity, metrics.clone())?;
        let shared = Arc::new(Shared::default());
        let (finished, done) = mpsc::channel();
        let thread = std::thread::Builder::new().name("log".into()).spawn({
            let (queues, shared) = (queues.clone(), shared.clone());
            move || {
                run(&queues, &shared, &mut sink);
                let _ = finished.send(());
            }
        })?;
        let _ = shared.thread.set(thread.thread().clone());
        Ok(LogWriter {
            queues,
            metrics,
            shared,
            done,
        })
    }

    /// The queue of a core. Cores beyond those announced at the start share the last queue.
    pub fn handle(&self, core: CoreId) -> LogHandle {
        let index = usize::from(core.0).min(self.queues.len().saturating_sub(1));
        LogHandle {
            queue: self.queues[index].clone(),
            counters: self.metrics.core(core),
            shared: self.shared.clone(),
        }
    }

    /// Has every file closed and opened again by name, for a log rotation from outside.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
        if self.done.recv_timeout(STOP_WAIT).is_err() {
            tracing::error!("the log's disk does not answer; log records are lost");
        }
    }
}

#[derive(Default)]
struct Shared {
    asleep: AtomicBool,
    stop: AtomicBool,
    reopen: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Shared {
    fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn wake_if_asleep(&self) {
        // Pairs with the fence in `sleep`: either the writer sees the record, or this sees it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Until something comes.
    fn sleep(&self, queues: &[Arc<ArrayQueue<LogRecord>>]) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst)
            && queues.iter().all(|q| q.is_empty())
            && !self.stop.load(Ordering::SeqCst)
            && !self.reopen.load(Ordering::SeqCst)
        {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

fn run(queues: &[Arc<ArrayQueue<LogRecord>>], shared: &Shared, sink: &mut Sink) {
    loop {
        let stop = shared.stop.load(Ordering::SeqCst);
        if shared.reopen.swap(false, Ordering::SeqCst) {
            sink.close();
        }
        let mut drained = false;
        for queue in queues {
            // Not more than was there: a busy core must not keep the others' records waiting.
            for record in (0..queue.len()).map_while(|_| queue.pop()) {
                sink.write(&record, now_ms());
                drained = true;
            }
        }
        sink.flush();
        match (drained, stop) {
            (false, true) => return,
            (true, true) => {}
            (true, false) => std::thread::park_timeout(BATCH_WAIT),
            (false, false) => shared.sleep(queues),
        }
    }
}

#[cfg(test)]
mod tests;
