//! One attempt at a source: a client machine, its connections, and what comes of it.

use super::client::Fetcher;
use super::link::{self, Link};
use crate::points::Point;
use crate::rt;
use crate::shard::Shard;
use protocols::client::REASON_CLOSED;
use protocols::machine::{CloseHow, ConnId, Input, Output, Time};
use protocols::media::{IngestEvent, News};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often bytes are offered to a source whose socket was full.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);

/// How long a source may take to answer a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a session ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The source said that its stream is over.
    Over(u32),
    /// Anything else, in words.
    Failed(String),
}

/// See the module.
pub struct Session {
    shard: Rc<Shard>,
    point: Arc<Point>,
    machine: RefCell<Box<dyn Fetcher>>,
    links: RefCell<HashMap<ConnId, Rc<Link>>>,
    deadline: Cell<Option<Time>>,
    /// When something useful came last; first the session's beginning.
    heard: Cell<Time>,
    /// When the first packet came.
    flows_since: Cell<Option<Time>>,
    /// Why the last connection failed.
    trouble: RefCell<Option<String>>,
    ending: RefCell<Option<Ending>>,
    leaving: Cell<bool>,
    /// How long a connection may take to open, per address.
    connect_limit: Duration,
    /// Rings when there is something to be looked at.
    alarm: Rc<rt::Alarm>,
}

impl Session {
    /// Begin.
    pub fn begin(
        shard: &Rc<Shard>,
        point: &Arc<Point>,
        machine: Box<dyn Fetcher>,
        connect_limit: Duration,
        alarm: &Rc<rt::Alarm>,
    ) -> Rc<Session> {
        let now = rt::now();
        let session = Rc::new(Session {
            shard: Rc::clone(shard),
            point: Arc::clone(point),
            machine: RefCell::new(machine),
            links: RefCell::default(),
            deadline: Cell::new(None),
            heard: Cell::new(now),
            flows_since: Cell::new(None),
            trouble: RefCell::default(),
            ending: RefCell::default(),
            leaving: Cell::new(false),
            connect_limit,
            alarm: Rc::clone(alarm),
        });
        session.drain(now);
        session
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<Ending> {
        let ending = self.ending.borrow().clone();
        ending.or_else(|| {
            let done = self.machine.borrow().is_done();
            done.then(|| Ending::Failed("the session is over".to_owned()))
        })
    }

    /// When something useful came last.
    pub fn heard(&self) -> Time {
        self.heard.get()
    }

    /// For how long media came.
    pub fn good_for(&self) -> Duration {
        let since = self.flows_since.get();
        since.map_or(Duration::ZERO, |since| self.heard.get().since(since))
    }

    /// Do what is due; says when to come back at the latest.
    pub fn tick(self: &Rc<Self>, now: Time) -> Option<Time> {
        if self.deadline.get().is_some_and(|at| at <= now) {
            self.feed(Input::Timeout);
        }
        let mut waiting = false;
        for link in self.links.borrow().values() {
            link.flush();
            waiting |= link.is_waiting();
        }
        let flush = waiting.then(|| now + FLUSH_PAUSE);
        [flush, self.deadline.get()].into_iter().flatten().min()
    }

    /// Say goodbye and go; nothing that still comes counts. What can be said without waiting is said
    /// before this returns.
    pub fn leave(self: &Rc<Self>) {
        if self.leaving.replace(true) {
            return;
        }
        let now = rt::now();
        self.machine.borrow_mut().finish(now);
        self.drain(now);
        if self.links.borrow().is_empty() {
            return;
        }
        let session = Rc::clone(self);
        rt::spawn(async move {
            rt::sleep(FAREWELL).await;
            let links: Vec<_> = session.links.borrow_mut().drain().collect();
            links.iter().for_each(|(_, link)| link.let_go());
        });
    }

    fn feed(self: &Rc<Self>, input: Input<'_>) {
        let now = rt::now();
        self.machine.borrow_mut().handle(now, input);
        self.drain(now);
    }

    /// Carry out what the machine wants. Nothing of that calls the machine.
    fn drain(self: &Rc<Self>, now: Time) {
        loop {
            let output = self.machine.borrow_mut().poll(now);
            match output {
                Output::Idle(deadline) => {
                    let sooner = match (deadline, self.deadline.replace(deadline)) {
                        (Some(new), Some(old)) => new < old,
                        (new, old) => new.is_some() && old.is_none(),
                    };
                    if sooner || self.ending().is_some() {
                        self.alarm.ring();
                    }
                    return;
                }
                Output::Connect { conn, host, port } => self.connect(conn, host, port),
                Output::Send { conn, bytes } => {
                    if let Some(link) = self.links.borrow().get(&conn) {
                        link.write(bytes);
                        if link.is_waiting() {
                            self.alarm.ring();
                        }
                    }
                }
                Output::Close { conn, how, fault } => {
                    if let Some(fault) = fault {
                        *self.trouble.borrow_mut() = Some(fault.reason);
                    }
                    if let Some(link) = self.links.borrow_mut().remove(&conn) {
                        match how {
                            CloseHow::Flush => link.close(),
                            CloseHow::Abort => link.let_go(),
                        }
                    }
                }
                Output::Ingest(ingest) if !self.leaving.get() => self.take(ingest.event, now),
                Output::Ingest(_) | Output::Report(_) => {}
                other => {
                    let what = "media is taken on connections only";
                    tracing::error!(?other, "{what}");
                    self.end(Ending::Failed(what.to_owned()));
                }
            }
        }
    }

    fn take(&self, event: IngestEvent, now: Time) {
        let name = &self.point.config.name;
        match &event {
            IngestEvent::Header(_) => {
                self.heard.set(now);
                if !self.shard.ingest_at(self.point.id, &event) {
                    let why = "its header cannot be broadcast";
                    self.end(Ending::Failed(why.to_owned()));
                }
            }
            IngestEvent::Packet { .. } => {
                let damaged = self.point.facts.damaged();
                self.shard.ingest_at(self.point.id, &event);
                if self.point.facts.damaged() == damaged {
                    self.heard.set(now);
                    if self.flows_since.get().is_none() {
                        self.flows_since.set(Some(now));
                    }
                }
            }
            IngestEvent::End(REASON_CLOSED) => {
                let why = "the connection ended in mid-stream";
                self.end(Ending::Failed(why.to_owned()));
            }
            IngestEvent::End(reason) => self.end(Ending::Over(*reason)),
            IngestEvent::Failed(fault) => {
                let trouble = self.trouble.take();
                let why = match trouble {
                    Some(trouble) => format!("{}: {trouble}", fault.reason),
                    None => fault.reason.clone(),
                };
                self.end(Ending::Failed(why));
            }
            IngestEvent::News(news) => match &**news {
                News::Redirected(to) => tracing::info!(point = name, to, "its source is elsewhere"),
                News::Described { server, .. } => {
                    self.heard.set(now);
                    tracing::info!(point = name, server, "its source answers");
                }
                _ => {}
            },
            IngestEvent::EntryEnd
            | IngestEvent::Bandwidth(_)
            | IngestEvent::Metadata(_)
            | IngestEvent::LogSent => {}
        }
    }

    /// The first word about the end counts.
    fn end(&self, ending: Ending) {
        self.ending.borrow_mut().get_or_insert(ending);
    }

    fn connect(self: &Rc<Self>, conn: ConnId, host: String, port: u16) {
        let link = Link::new();
        self.links.borrow_mut().insert(conn, Rc::clone(&link));
        let session = Rc::clone(self);
        rt::spawn(async move {
            session.serve(conn, &link, &host, port).await;
            link.ended();
            // A connection that broke under us is news to the machine; one that it closed is not.
            let known = session.links.borrow_mut().remove(&conn);
            if known.is_some() {
                session.feed(Input::Closed { conn });
            }
            session.alarm.ring();
        });
    }

    /// A connection's task: opens it, then reads until its end.
    async fn serve(self: &Rc<Self>, conn: ConnId, link: &Rc<Link>, host: &str, port: u16) {
        let opened = link::open(host, port, self.connect_limit).await;
        let opened = opened.and_then(|stream| Ok((stream.addresses()?, stream)));
        let ((peer, local), mut stream) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                *self.trouble.borrow_mut() = Some(format!("{host}:{port}: {error}"));
                return;
            }
        };
        if !link.opened(stream.fd()) {
            return;
        }
        self.feed(Input::Opened { conn, peer, local });
        loop {
            let read = stream
                .read(
                    self.shard.receive_buffer(),
                    |reader| link.may_read(reader),
                    |bytes| {
                        let count = &self.shard.counters().bytes_received;
                        count.add(bytes.len() as u64);
                        if link.is_open() {
                            self.feed(Input::Data { conn, bytes });
                        }
                    },
                )
                .await;
            if !matches!(read, Ok(n) if n > 0) {
                return;
            }
            // A source that sends as fast as it can must not keep players waiting.
            rt::give_way().await;
        }
    }
}
