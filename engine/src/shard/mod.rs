//! One core: its connections, flows, machines and points, and the tick that moves it all.
//!
//! Everything here belongs to one thread. Three kinds of tasks share it: an accept task per
//! listener, a reading task per connection, which sleeps while media flows, and the tick, which
//! sends all media and does everything periodic.

mod conns;
mod flow;
mod flows;
mod history;
mod homes;
mod journal;
mod message;
mod outlet;
mod ports;
mod posted;
mod pulls;
mod spray;
mod tick;
mod wheel;

pub use conns::{Conns, Given, Written};
use flows::Flows;
use homes::Homes;
pub use message::{Adopted, Message};
pub use wheel::TICK;

use crate::archive::ArchiveHandle;
use crate::front::Front;
use crate::lanes::Lanes;
use crate::ops::log::LogHandle;
use crate::ops::metrics::{CoreCounters, Metrics};
use crate::points::{LiveFeed, OpenContent, Point, PointMaker};
use crate::policy::Limiter;
use crate::rt;
use crate::source::{AsfFile, Cache, FileFacts, Indexing};
use crossbeam::utils::CachePadded;
use journal::Journal;
use outlet::Scratch;
use protocols::content::{Content, ContentId, Protocol};
use protocols::machine::{ConnId, CoreId, Fault, Report, Service, Time};
use protocols::media::{FlowEvent, FlowId};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Files that a core keeps open without anybody using them.
const IDLE_FILES_MAX: usize = 256;

/// What a core is made of.
pub struct ShardParts {
    /// Its number.
    pub id: CoreId,
    /// Ways to and from the other cores.
    pub lanes: Lanes<Message>,
    /// All counters.
    pub metrics: Arc<Metrics>,
    /// Its end of the log.
    pub log: LogHandle,
    /// Records points.
    pub archive: ArchiveHandle,
    /// The limits that all cores share.
    pub limiter: Arc<Limiter>,
    /// The indexer.
    pub indexing: Indexing,
    /// Makes points for encoders.
    pub maker: Arc<dyn PointMaker>,
    /// Host name for URLs.
    pub host: String,
    /// Path at which players post logs, if they may.
    pub log_sink: Option<String>,
    /// Port of MMS, if it is served.
    pub mms_port: Option<u16>,
    /// Port of RTSP, if it is served.
    pub rtsp_port: Option<u16>,
    /// The point that the path "/" names, if it names one.
    pub root: Option<String>,
    /// Bytes that its cache may hold.
    pub cache_bytes: usize,
    /// Upper bound of each connection's send buffer, if the operator set one.
    pub send_buffer: Option<u32>,
}

/// See the module.
pub struct Shard {
    parts: ShardParts,
    counters: Arc<CachePadded<CoreCounters>>,
    fronts: RefCell<Vec<Rc<Front>>>,
    conns: RefCell<Conns>,
    flows: RefCell<Flows>,
    journal: RefCell<Journal>,
    scratch: RefCell<Scratch>,
    /// Buffer of the reading tasks.
    receive: RefCell<Vec<u8>>,
    contents: RefCell<HashMap<u64, Rc<OpenContent>>>,
    next_id: Cell<u64>,
    points: RefCell<Arc<Vec<Arc<Point>>>>,
    feeds: RefCell<HashMap<u32, Rc<LiveFeed>>>,
    /// The points whose homes were asked for their packets, and not told since that it is enough.
    followed: RefCell<HashSet<u32>>,
    homes: Homes,
    cache: Rc<Cache>,
    files: RefCell<HashMap<FileKey, (Rc<AsfFile>, Time)>>,
    events: RefCell<VecDeque<(u8, FlowId, FlowEvent)>>,
    delivering: Cell<bool>,
    alarm: rt::Alarm,
    /// Reading tasks that go on with the next tick.
    resting: RefCell<Vec<Waker>>,
    stopped: Cell<bool>,
    draining: Cell<bool>,
    housekeeping: Cell<Time>,
}

type FileKey = (u32, String);

impl Shard {
    /// A core with nothing on it yet. Call on its thread.
    pub fn new(parts: ShardParts) -> Rc<Shard> {
        let now = rt::now();
        Rc::new(Shard {
            counters: parts.metrics.core(parts.id),
            cache: Cache::new(parts.cache_bytes, parts.metrics.core(parts.id)),
            flows: RefCell::new(Flows::new()),
            journal: RefCell::new(Journal::new(parts.log.clone())),
            parts,
            fronts: RefCell::default(),
            conns: RefCell::default(),
            scratch: RefCell::default(),
            receive: RefCell::new(vec![0; 16 << 10]),
            contents: RefCell::default(),
            next_id: Cell::new(1),
            points: RefCell::default(),
            feeds: RefCell::default(),
            followed: RefCell::default(),
            homes: Homes::default(),
            files: RefCell::default(),
            events: RefCell::default(),
            delivering: Cell::new(false),
            alarm: rt::Alarm::default(),
            resting: RefCell::default(),
            stopped: Cell::new(false),
            draining: Cell::new(false),
            housekeeping: Cell::new(now),
        })
    }

    /// Its number.
    pub fn id(&self) -> CoreId {
        self.parts.id
    }

    /// Its counters.
    pub fn counters(&self) -> &CoreCounters {
        &self.counters
    }

    /// The limits that all cores share.
    pub fn limiter(&self) -> &Arc<Limiter> {
        &self.parts.limiter
    }

    /// The indexer.
    pub fn indexing(&self) -> &Indexing {
        &self.parts.indexing
    }

    /// Makes points for encoders.
    pub fn maker(&self) -> &Arc<dyn PointMaker> {
        &self.parts.maker
    }

    /// Host name for URLs.
    pub fn host(&self) -> &str {
        &self.parts.host
    }

    /// Path at which players post logs, if they may.
    pub fn log_sink(&self) -> Option<&str> {
        self.parts.log_sink.as_deref()
    }

    /// Port of MMS, if it is served.
    pub fn mms_port(&self) -> Option<u16> {
        self.parts.mms_port
    }

    /// Port of RTSP, if it is served.
    pub fn rtsp_port(&self) -> Option<u16> {
        self.parts.rtsp_port
    }

    /// The point that the path "/" names, if it names one.
    pub fn root(&self) -> Option<&str> {
        self.parts.root.as_deref()
    }

    /// Its cache of files.
    pub fn cache(&self) -> &Rc<Cache> {
        &self.cache
    }

    /// Buffer of the reading tasks.
    pub fn receive_buffer(&self) -> &RefCell<Vec<u8>> {
        &self.receive
    }

    /// Its connections.
    pub fn conns(&self) -> &RefCell<Conns> {
        &self.conns
    }

    /// True once no new sessions are taken.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Until the next tick begins, before which whatever is ready now has its turn. May be over sooner.
    pub async fn next_tick(&self) {
        let mut rested = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut rested, true) {
                return Poll::Ready(());
            }
            self.resting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The tick is wanted soon.
    pub fn hurry(&self) {
        self.alarm.ring();
    }

    /// Send a message that must not wait for the other core's tick.
    pub fn call(&self, core: CoreId, message: Message) {
        if self.parts.lanes.call(self.parts.id, core, message).is_err() {
            self.counters.lane_overruns.inc();
        }
    }

    /// Write down what a machine reports.
    pub fn report(&self, number: u8, report: Report, front: &Front) {
        let about = match &report {
            Report::ClientLog { flow, .. } => *flow,
            Report::Refused { .. } => None,
        };
        let running = about.and_then(|flow| self.running_record((number, flow)));
        let point = self.point_of_log(&report);
        self.journal
            .borrow_mut()
            .report(number, report, front, running, point);
    }

    /// Write down that a peer broke the protocol.
    pub fn report_fault(&self, protocol: Protocol, conn: ConnId, fault: Fault) {
        self.counters.peer_faults.inc();
        if let Some((peer, local)) = self.conns.borrow().get(conn).map(|c| (c.peer, c.local)) {
            self.journal
                .borrow()
                .fault(protocol, conn.0, peer, local, fault);
        }
    }

    fn fresh_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    // Points and contents.

    /// The points that exist.
    pub fn points(&self) -> Vec<Arc<Point>> {
        self.points.borrow().iter().cloned().collect()
    }

    /// The point of that name.
    pub fn point(&self, name: &str) -> Option<Arc<Point>> {
        let points = self.points.borrow();
        points.iter().find(|p| p.config.name == name).cloned()
    }

    /// The point of that number.
    pub fn point_by_id(&self, id: u32) -> Option<Arc<Point>> {
        self.points.borrow().iter().find(|p| p.id == id).cloned()
    }

    /// The point of that name, however it is capitalised: names of points are unique without regard to
    /// case, and encoders' users type them (wmhttp.md 12).
    pub fn point_of_any_case(&self, name: &str) -> Option<Arc<Point>> {
        let points = self.points.borrow();
        let named = |p: &&Arc<Point>| p.config.name.eq_ignore_ascii_case(name);
        points.iter().find(named).cloned()
    }

    /// Note an opened content under a new name, which is also put into the facts.
    pub fn keep_content(&self, mut content: OpenContent) -> Content {
        let id = self.fresh_id();
        content.facts.id = ContentId(id);
        let facts = content.facts.clone();
        self.contents.borrow_mut().insert(id, Rc::new(content));
        facts
    }

    /// An opened content.
    pub fn content(&self, id: ContentId) -> Option<Rc<OpenContent>> {
        self.contents.borrow().get(&id.0).cloned()
    }

    /// The machine no longer needs it.
    pub fn release_content(&self, id: ContentId) {
        self.contents.borrow_mut().remove(&id.0);
    }

    // Files.

    /// A file that is known, and when it was last compared with the disk.
    pub fn file(&self, key: &FileKey) -> Option<(Rc<AsfFile>, Time)> {
        self.files.borrow().get(key).cloned()
    }

    /// A known file was found to be as it was.
    pub fn keep_file(&self, key: FileKey, file: Rc<AsfFile>) {
        self.files.borrow_mut().insert(key, (file, rt::now()));
    }

    /// A file was opened, or has changed.
    pub fn new_file(&self, key: FileKey, handle: File, facts: Arc<FileFacts>) -> Rc<AsfFile> {
        let file = Rc::new(AsfFile::new(
            self.fresh_id(),
            facts,
            rt::ReadFile::new(handle),
        ));
        let mut files = self.files.borrow_mut();
        if files.len() >= IDLE_FILES_MAX {
            let cache = &self.cache;
            files.retain(|_, (file, _)| {
                let used = Rc::strong_count(file) > 1;
                if !used {
                    cache.forget(file.id);
                }
                used
            });
        }
        if let Some((old, _)) = files.insert(key, (Rc::clone(&file), rt::now())) {
            self.cache.forget(old.id);
        }
        file
    }

    // Front ends.

    /// Add a front end; returns its number.
    pub fn add_front(&self, front: Front) -> u8 {
        let mut fronts = self.fronts.borrow_mut();
        fronts.push(Rc::new(front));
        (fronts.len() - 1) as u8
    }

    /// A front end by number.
    pub fn front(&self, number: u8) -> Option<Rc<Front>> {
        self.fronts.borrow().get(usize::from(number)).cloned()
    }

    /// Number of the front end that takes connections of this kind.
    pub fn front_of(&self, service: Service) -> Option<u8> {
        let fronts = self.fronts.borrow();
        let number = fronts.iter().position(|f| f.service == service)?;
        u8::try_from(number).ok()
    }

    fn fronts(&self) -> Vec<(u8, Rc<Front>)> {
        let fronts = self.fronts.borrow();
        fronts
            .iter()
            .enumerate()
            .map(|(n, f)| (n as u8, Rc::clone(f)))
            .collect()
    }
}
