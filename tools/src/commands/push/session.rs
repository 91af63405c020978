//! One session after the other with the same source.

use super::feed::{Feed, Next};
use super::reader::Piece;
use super::report::{Ended, Numbers, Report};
use super::stop::Stop;
use crate::driver::Driver;
use protocols::media::{Ingest, IngestEvent, News};
use protocols::wmhttp::client::{
    Client, ClientConfig, EntryEnd, PushFault, REASON_FAILED, Refusal,
};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long the end of a session may take.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
/// How long at most nothing is looked at but the connection.
const LOOK: Duration = Duration::from_millis(500);

/// How a session ended.
pub enum Session {
    /// In order: all was pushed.
    Finished,
    /// In order: the end was asked for.
    Interrupted,
    /// What was to be pushed cannot be read; the server was told.
    Broken(String),
    /// The server does not want it and will not change its mind.
    Refused(String),
    /// It broke off, or did not come about.
    Lost(String),
}

/// What goes on over all sessions.
pub struct Pusher {
    report: Report,
    stop: Stop,
    /// Of the sessions that are over.
    past: Numbers,
    damaged: u64,
    since: Option<Instant>,
    /// Somebody answered, whatever it was.
    met: bool,
}

type Given = ControlFlow<()>;

impl Pusher {
    /// Nothing yet.
    pub fn new(report: Report, stop: Stop) -> Pusher {
        Pusher {
            report,
            stop,
            past: Numbers::default(),
            damaged: 0,
            since: None,
            met: false,
        }
    }

    /// True if a server accepted a session.
    pub fn has_pushed(&self) -> bool {
        self.past.sessions > 0
    }

    /// True if a server answered at all.
    pub fn has_met(&self) -> bool {
        self.met
    }

    /// Says that a session was lost.
    pub fn lost(&mut self, reason: &str, retry: Duration) {
        self.report.lost(reason, retry);
    }

    /// Waits; true if the end is asked for.
    pub fn wait(&self, patience: Duration) -> bool {
        self.stop.wait(patience)
    }

    /// Says how all ended.
    pub fn summary(&mut self, ended: Ended, reason: Option<&str>, feed: &Feed) {
        let numbers = self.numbers(None, feed);
        self.report.summary(ended, reason, numbers);
    }

    /// One session.
    ///
    /// # Errors
    /// If there can be none.
    pub fn session(&mut self, config: ClientConfig, feed: &mut Feed) -> Result<Session, String> {
        let client = Client::new(config).map_err(|e| e.to_string())?;
        let mut driver = Driver::new(client);
        feed.tell(driver.nudger());
        self.stop.tell(driver.nudger());
        let ended = self.push(&mut driver, feed);
        let totals = driver.machine().totals();
        self.past.add(totals);
        self.met |= driver.machine().is_established() || driver.machine().refusal().is_some();
        Ok(ended)
    }

    fn push(&mut self, driver: &mut Driver<Client>, feed: &mut Feed) -> Session {
        let mut lost = None;
        let mut begun = false;
        loop {
            if driver.machine().is_done() {
                return ended(driver, lost.unwrap_or_default());
            }
            if self.stop.is_asked() {
                finish(driver, EntryEnd::Finished);
                return Session::Interrupted;
            }
            if driver.machine().is_established() && !begun {
                begun = true;
                self.past.sessions += 1;
                self.since.get_or_insert_with(Instant::now);
                if let Err(e) = begin(driver, feed) {
                    finish(driver, EntryEnd::Failed(REASON_FAILED));
                    return Session::Broken(e);
                }
            }
            let mut until = Instant::now() + LOOK;
            // What cannot be taken waits where it is.
            if begun && driver.machine().is_ready() {
                match feed.next(Instant::now()) {
                    Ok(Next::Give(piece)) => {
                        if let Err(e) = self.give(driver, piece) {
                            finish(driver, EntryEnd::Failed(REASON_FAILED));
                            return Session::Broken(e);
                        }
                        until = Instant::now();
                    }
                    Ok(Next::Wait(due)) => until = due.map_or(until, |due| due.min(until)),
                    Ok(Next::Late) => {
                        finish(driver, EntryEnd::Failed(REASON_FAILED));
                        return Session::Lost("the server does not take it fast enough".to_owned());
                    }
                    Ok(Next::End) => {
                        finish(driver, EntryEnd::Finished);
                        return match driver.machine().is_done() {
                            true => Session::Finished,
                            false => Session::Lost("the server did not take the end".to_owned()),
                        };
                    }
                    Err(e) => {
                        finish(driver, EntryEnd::Failed(REASON_FAILED));
                        return Session::Broken(e);
                    }
                }
            }
            lost = self.run(driver, until).or(lost);
            self.tell(driver, feed);
        }
    }

    /// Let the connection have its way until then. Why the session is lost, if it is.
    fn run(&mut self, driver: &mut Driver<Client>, until: Instant) -> Option<String> {
        let until = driver.time_of(until);
        let (was_ready, was_open) = {
            let machine = driver.machine();
            (machine.is_ready(), machine.is_established())
        };
        let changed = |machine: &Client| {
            machine.is_done()
                || machine.is_ready() != was_ready
                || machine.is_established() != was_open
        };
        let mut lost = None;
        let report = &mut self.report;
        let _ = driver.run(until, changed, |_, given: Ingest| -> Given {
            match given.event {
                IngestEvent::Failed(fault) => lost = Some(fault.reason),
                IngestEvent::News(news) => match *news {
                    News::Described { server, .. } => report.connected(&server),
                    News::Redirected(to) => report.redirected(&to),
                    _ => {}
                },
                _ => {}
            }
            ControlFlow::Continue(())
        });
        lost
    }

    /// Push one piece. A packet that is damaged is left out.
    fn give(&mut self, driver: &mut Driver<Client>, piece: Piece) -> Result<(), String> {
        let now = driver.now();
        match piece {
            Piece::Header(blob) => match driver.machine().header(now, blob) {
                Err(PushFault::Over) | Ok(()) => Ok(()),
                Err(e) => Err(e.to_string()),
            },
            Piece::Packet(packet) => {
                if let Err(PushFault::Packet(e)) = driver.machine().packet(now, &packet) {
                    self.damaged += 1;
                    if self.damaged == 1 {
                        self.report
                            .warning(&format!("damaged packets are left out: {e}"));
                    }
                }
                Ok(())
            }
        }
    }

    /// What is to be said now and then.
    fn tell(&mut self, driver: &mut Driver<Client>, feed: &mut Feed) {
        for what in feed.take_warnings() {
            self.report.warning(&what);
        }
        let now = Instant::now();
        if self.report.wants_progress(now) {
            let numbers = self.numbers(Some(driver), feed);
            self.report.progress(now, numbers);
        }
    }

    fn numbers(&self, driver: Option<&mut Driver<Client>>, feed: &Feed) -> Numbers {
        let mut numbers = self.past;
        if let Some(driver) = driver {
            numbers.add(driver.machine().totals());
        }
        numbers.seconds = self.since.map_or(0, |since| since.elapsed().as_secs());
        numbers.with(feed.lost(), self.damaged)
    }
}

/// The first header of a session.
fn begin(driver: &mut Driver<Client>, feed: &mut Feed) -> Result<(), String> {
    let now = driver.now();
    match feed.begin(Instant::now())? {
        Some(blob) => driver
            .machine()
            .header(now, blob)
            .map_err(|e| e.to_string()),
        None => Ok(()),
    }
}

/// End the session in order, if the peer lets us in time.
fn finish(driver: &mut Driver<Client>, end: EntryEnd) {
    let now = driver.now();
    // That it is over already is no reason to worry.
    let _ = driver.machine().entry_end(now, end);
    let until = driver.time_of(Instant::now() + FINISH_LIMIT);
    let nothing = |_, _| -> Given { ControlFlow::Continue(()) };
    // A nudge, of which some may still wait, makes it return early.
    while !driver.machine().is_done() && driver.now() < until {
        let _ = driver.run(until, Client::is_done, nothing);
    }
    let _ = driver.run(driver.now(), |_| true, nothing);
}

/// What became of a session that ended by itself.
fn ended(driver: &mut Driver<Client>, reason: String) -> Session {
    // The machine knows less of a connection that was not there.
    let reason = match driver.faults().last() {
        Some(fault) if reason.starts_with("no connection to") => fault.clone(),
        _ => reason,
    };
    match driver.machine().refusal() {
        Some(Refusal::Credentials | Refusal::Foreign | Refusal::Status(401 | 403 | 407)) => {
            Session::Refused(reason)
        }
        _ => Session::Lost(reason),
    }
}
