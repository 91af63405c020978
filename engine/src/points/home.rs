//! The home of a live stream: its source, its history, and who gets it.
//!
//! What is on the air comes from files or from an intake, which a publisher or a puller fills. Each new
//! header begins an *entry*: the history starts anew, and cores that had the entry before get the new
//! one as if they joined.
//!
//! No viewer loses anything of an entry by that: its last packets go to every core before the next
//! entry's first ones do, and flows end only when they have sent them.

use super::airing::Airing;
use super::live::{Batch, BatchBuilder, LiveHead, age};
use super::reel::{Played, Reel};
use super::{Point, Tap};
use crate::source::{AsfFile, Cache, Intake};
use bytes::Bytes;
use protocols::asf;
use protocols::machine::{CoreId, Time};
use protocols::media::IngestEvent;
use protocols::rate::bucket::TokenBucket;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Most of the past that is kept, bytes: a source whose send times stand still must not fill memory.
pub const HISTORY_BYTES_MAX: usize = 128 << 20;

/// How long viewers wait at most while a source sends its past.
const RUSH_MAX: Duration = Duration::from_secs(2);

/// See the module. Lives on the point's home core.
pub struct LiveHome {
    /// Which point.
    pub point: Arc<Point>,
    on_air: OnAir,
    /// The point's own files, or what fills in for its source.
    files: Option<Reel>,
    /// Filled from outside.
    intake: Intake,
    /// The header of what comes in, while there is a source.
    incoming: Option<Arc<LiveHead>>,
    /// How soon its next entry may begin.
    entry_pace: TokenBucket,
    /// It began entries too fast: what it sends is left out until the next one may begin.
    held_back: bool,
    /// When the source last sent something, or was first waited for.
    heard: Time,
    /// When the entry on the air began.
    began: Time,
    head: Option<Arc<LiveHead>>,
    generation: u32,
    history: VecDeque<Arc<Batch>>,
    history_bytes: usize,
    /// Cores that get every batch.
    subscribers: Vec<CoreId>,
    /// Cores that wait for the history.
    newcomers: Vec<CoreId>,
    taps: Vec<Box<dyn Tap>>,
    parcels: Vec<Parcel>,
}

/// Entries that a source may begin in a row, and per second in the long run. Each costs every viewer a
/// header, and a recording or a station file may change with it.
const ENTRY_BURST: u64 = 8;
const ENTRY_RATE: u64 = 2;

/// Where the packets that are broadcast come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnAir {
    Nothing,
    Files,
    Intake,
    /// Nothing any more: all was played once.
    Over,
}

/// Entries that may begin in one call: short files in the time before the first viewer.
const ENTRIES_PER_CALL_MAX: usize = 16;

/// What a home wants sent.
pub enum Parcel {
    /// To cores that join: all there is.
    Past(CoreId, Arc<LiveHead>, Vec<Arc<Batch>>),
    /// To subscribers: what has just become due of an entry.
    Fresh(CoreId, u32, Arc<Batch>),
    /// To subscribers: nothing more comes of this.
    Gone(CoreId),
}

impl LiveHome {
    /// A home without any source yet.
    pub fn new(point: Arc<Point>, taps: Vec<Box<dyn Tap>>, now: Time) -> LiveHome {
        point.facts.set(Airing::Waiting);
        LiveHome {
            point,
            on_air: OnAir::Nothing,
            files: None,
            intake: Intake::default(),
            incoming: None,
            entry_pace: TokenBucket::new(ENTRY_RATE, ENTRY_BURST, now),
            held_back: false,
            heard: now,
            began: now,
            head: None,
            generation: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            subscribers: Vec::new(),
            newcomers: Vec::new(),
            taps,
            parcels: Vec::new(),
        }
    }

    /// Give it a file: of the point's own the one in this place, or what fills in while its source is
    /// silent.
    ///
    /// # Errors
    /// If the file's header cannot be made a live one.
    pub fn set_file(
        &mut self,
        place: usize,
        file: Rc<AsfFile>,
        cache: Rc<Cache>,
        now: Time,
    ) -> Result<(), asf::Error> {
        let reel = Reel::new(&self.point, place, file, cache, now)?;
        for tap in &mut self.taps {
            tap.expect(reel.head(), now);
        }
        self.files = Some(reel);
        if self.plays_files_only() && (self.point.config.runs_always() || self.is_watched()) {
            self.air_files(now);
        }
        Ok(())
    }

    /// The place of a file that is to be opened for it, see [`LiveHome::next_file`].
    pub fn wanted_file(&mut self, now: Time) -> Option<usize> {
        match self.on_air {
            OnAir::Files => self.files.as_mut()?.wanted(now),
            _ => None,
        }
    }

    /// The file that was wanted, or none if it cannot be opened.
    pub fn next_file(&mut self, place: usize, file: Option<Rc<AsfFile>>, now: Time) {
        if let Some(reel) = &mut self.files {
            reel.give(place, file);
            if let Some(head) = reel.next_head() {
                for tap in &mut self.taps {
                    tap.expect(head, now);
                }
            }
        }
    }

    /// True if its files were to be played once, and have been.
    pub fn is_over(&self) -> bool {
        self.on_air == OnAir::Over
    }

    /// True if a core or a tap waits for its packets.
    pub fn is_watched(&self) -> bool {
        !self.subscribers.is_empty() || !self.newcomers.is_empty() || !self.taps.is_empty()
    }

    /// True if its source on another server should be fetched.
    pub fn wants_source(&self) -> bool {
        self.point.config.runs_always() || self.is_watched()
    }

    /// True if nothing is broadcast and nothing else fills in.
    pub fn is_silent(&self) -> bool {
        self.on_air == OnAir::Nothing && self.files.is_none()
    }

    /// Begin to send to a core.
    pub fn subscribe(&mut self, core: CoreId, now: Time) {
        if self.is_over() {
            return;
        }
        self.subscribers.retain(|c| *c != core);
        if !self.newcomers.contains(&core) {
            self.newcomers.push(core);
        }
        if self.on_air == OnAir::Nothing && self.plays_files_only() {
            self.air_files(now);
        }
    }

    /// A core's lane was full when it was to get the history: it gets it later.
    pub fn not_told(&mut self, core: CoreId) {
        if let Some(at) = self.subscribers.iter().position(|c| *c == core) {
            self.subscribers.swap_remove(at);
            self.newcomers.push(core);
        }
    }

    /// No longer send to a core.
    pub fn unsubscribe(&mut self, core: CoreId) {
        self.subscribers.retain(|c| *c != core);
        self.newcomers.retain(|c| *c != core);
        let rests = !self.is_watched() && !self.point.config.runs_always();
        if rests && self.on_air == OnAir::Files {
            self.leave_air();
            self.point.facts.set(match self.plays_files_only() {
                true => Airing::Idle,
                false => Airing::Waiting,
            });
        }
    }

    /// Something came from the source.
    ///
    /// # Errors
    /// If a header cannot be broadcast; what was on the air goes on.
    pub fn ingest(&mut self, event: &IngestEvent, now: Time) -> Result<(), asf::Error> {
        match event {
            IngestEvent::Header(blob) => {
                self.flush_intake(now);
                // If it is refused, what follows it is not taken for more of the entry before.
                self.incoming = None;
                let blob = asf::broadcast_blob(blob, None)?;
                let head = Arc::new(LiveHead::parse(Bytes::from(blob))?);
                asf::check::check_header(&head.header)?;
                self.heard = now;
                self.incoming = Some(head);
                self.held_back = !self.entry_pace.take(1, now);
                if !self.held_back {
                    self.air_intake(now);
                }
            }
            IngestEvent::Packet { bytes, .. } => {
                self.heard = now;
                if self.incoming.is_none() {
                    return Ok(());
                }
                if self.held_back && !self.entry_pace.take(1, now) {
                    self.point.facts.count_damaged();
                    return Ok(());
                }
                if std::mem::take(&mut self.held_back) || self.on_air != OnAir::Intake {
                    // Or it was silent for so long that something else is on the air.
                    self.air_intake(now);
                }
                self.point.facts.count_packet(bytes.len());
                if self.intake.packet(bytes, now).is_err() {
                    self.point.facts.count_damaged();
                }
            }
            IngestEvent::End(_) => {
                self.flush_intake(now);
                self.incoming = None;
                if self.on_air == OnAir::Intake {
                    self.source_over(now);
                }
            }
            IngestEvent::Failed(_)
            | IngestEvent::EntryEnd
            | IngestEvent::Bandwidth(_)
            | IngestEvent::Metadata(_)
            | IngestEvent::LogSent
            | IngestEvent::News(_) => {}
        }
        Ok(())
    }

    /// The source was lost without a word. Viewers wait for it for a while.
    pub fn source_lost(&mut self, now: Time) {
        self.flush_intake(now);
        let was_there = self.incoming.take().is_some();
        if was_there {
            self.point.facts.count_loss();
        }
        if was_there && self.on_air == OnAir::Intake {
            self.point.facts.set(Airing::Lost);
        }
    }

    /// The source is no longer asked for anything, because nobody wants it.
    pub fn source_rests(&mut self, now: Time) {
        self.flush_intake(now);
        self.incoming = None;
        if self.on_air == OnAir::Intake {
            self.leave_air();
        }
        if self.on_air == OnAir::Nothing {
            self.point.facts.set(Airing::Idle);
        }
    }

    /// Who waits for a first packet waits in vain.
    pub fn turn_away(&mut self) {
        self.newcomers.clear();
    }

    /// How long the source has sent nothing.
    pub fn silence(&self, now: Time) -> Duration {
        now.since(self.heard)
    }

    /// Make what is due and say where it goes. False if the source failed for good.
    pub fn advance(&mut self, now: Time, mut send: impl FnMut(Parcel)) -> bool {
        let mut fine = true;
        match self.on_air {
            OnAir::Nothing => self.fill_in(now),
            OnAir::Files => fine = self.play_files(now) || self.give_up_fallback(now),
            OnAir::Over => {}
            OnAir::Intake => {
                self.flush_intake(now);
                self.mind_silence(now);
            }
        }
        self.welcome(now);
        self.parcels.drain(..).for_each(&mut send);
        fine
    }

    /// Let the taps do what is due; the earliest time at which one wants to be called again.
    pub fn tick_taps(&mut self, now: Time) -> Option<Time> {
        self.taps.iter_mut().filter_map(|tap| tap.tick(now)).min()
    }

    /// The point goes: end what is on the air.
    pub fn close(&mut self, now: Time) -> Vec<CoreId> {
        // What came since the last tick is recorded, too.
        self.flush_intake(now);
        for tap in &mut self.taps {
            tap.close(now);
        }
        self.point.facts.set(Airing::Idle);
        self.subscribers
            .drain(..)
            .chain(self.newcomers.drain(..))
            .collect()
    }

    /// True if there is no source but the file.
    fn plays_files_only(&self) -> bool {
        self.point.config.source.is_files()
    }

    /// Take what is due of the files. False if none can be played.
    fn play_files(&mut self, now: Time) -> bool {
        for _ in 0..ENTRIES_PER_CALL_MAX {
            let Some(reel) = &mut self.files else {
                return true;
            };
            let mut builder = BatchBuilder::default();
            let played = reel.advance(now, &mut builder);
            // When the next entry plays, this is the end of the one before.
            if let Some(batch) = builder.finish() {
                self.give_out(batch, now);
            }
            match played {
                Played::Goes => return true,
                Played::Failed => return false,
                Played::Over => {
                    self.end_broadcast(now, OnAir::Over, Airing::Over);
                    return true;
                }
                Played::Next => {
                    if let Some(head) = self.files.as_ref().map(|reel| Arc::clone(reel.head())) {
                        self.begin_entry(&head, now);
                    }
                }
            }
        }
        true
    }

    /// What fills in cannot be read any more: that is not the end of the source. False if it is the source.
    fn give_up_fallback(&mut self, now: Time) -> bool {
        if self.plays_files_only() {
            return false;
        }
        tracing::error!(
            point = self.point.config.name,
            "its fallback can no longer be read"
        );
        self.files = None;
        self.end_broadcast(now, OnAir::Nothing, Airing::Waiting);
        true
    }

    fn air_files(&mut self, now: Time) {
        let Some(reel) = &mut self.files else {
            return;
        };
        reel.begin(now);
        let head = Arc::clone(reel.head());
        self.on_air = OnAir::Files;
        self.begin_entry(&head, now);
        self.point.facts.set(match self.plays_files_only() {
            true => Airing::Live,
            false => Airing::Fallback,
        });
    }

    fn air_intake(&mut self, now: Time) {
        let Some(head) = self.incoming.clone() else {
            return;
        };
        self.intake.begin(head.header.packet_size());
        self.on_air = OnAir::Intake;
        self.begin_entry(&head, now);
        self.point.facts.set(Airing::Live);
        self.point.set_failure(None);
    }

    fn begin_entry(&mut self, head: &Arc<LiveHead>, now: Time) {
        self.generation = self.generation.wrapping_add(1);
        self.began = now;
        self.point.facts.count_entry();
        let head = Arc::new(head.in_generation(self.generation));
        self.leave_air_for_next();
        for tap in &mut self.taps {
            tap.begin(&head, now);
        }
        self.head = Some(head);
    }

    /// Who had the entry before waits for the next.
    fn leave_air_for_next(&mut self) {
        self.history.clear();
        self.history_bytes = 0;
        let waiting = std::mem::take(&mut self.subscribers);
        self.newcomers.extend(waiting);
    }

    fn leave_air(&mut self) {
        self.on_air = OnAir::Nothing;
        self.head = None;
        self.history.clear();
        self.history_bytes = 0;
    }

    fn flush_intake(&mut self, now: Time) {
        if let Some(batch) = self.intake.take() {
            self.give_out(batch, now);
        }
    }

    fn give_out(&mut self, batch: Arc<Batch>, now: Time) {
        for tap in &mut self.taps {
            tap.take(&batch, now);
        }
        for core in &self.subscribers {
            let parcel = Parcel::Fresh(*core, self.generation, Arc::clone(&batch));
            self.parcels.push(parcel);
        }
        let oldest = batch.last_send_time().wrapping_sub(self.point.buffer_ms());
        self.history_bytes += batch.len();
        self.history.push_back(batch);
        while let Some(first) = self.history.front()
            && self.history.len() > 1
            && ((first.last_send_time().wrapping_sub(oldest) as i32) < 0
                || self.history_bytes > HISTORY_BYTES_MAX)
        {
            self.history_bytes -= first.len();
            self.history.pop_front();
        }
    }

    /// A viewer who joined in a part of the history would lag as soon as the rest of it came.
    fn welcome(&mut self, now: Time) {
        let caught_up = match (self.on_air, &self.files) {
            (OnAir::Files, Some(reel)) => reel.caught_up(now),
            (OnAir::Intake, _) if self.point.is_pulled() => self.intake_caught_up(now),
            _ => true,
        };
        let Some(head) = &self.head else {
            return;
        };
        if !caught_up || self.history.is_empty() || self.newcomers.is_empty() {
            return;
        }
        let past: Vec<_> = self.history.iter().cloned().collect();
        for core in self.newcomers.drain(..) {
            self.parcels
                .push(Parcel::Past(core, Arc::clone(head), past.clone()));
            self.subscribers.push(core);
        }
    }

    /// A source on another server may send some of its past first, faster than in real time.
    fn intake_caught_up(&self, now: Time) -> bool {
        let is_full = match (self.history.front(), self.history.back()) {
            (Some(first), Some(last)) => {
                let span = age(last.last_send_time(), first.last_send_time());
                span >= self.point.buffer_ms() / 10 * 9
            }
            _ => false,
        };
        is_full || !self.intake.is_rushing(now) || now.since(self.began) >= RUSH_MAX
    }

    /// The source is on the air and may have been lost.
    fn mind_silence(&mut self, now: Time) {
        let silence = self.silence(now);
        let config = &self.point.config;
        let replaced = config
            .fallback
            .as_ref()
            .is_some_and(|fallback| silence >= fallback.after.get())
            && self.files.is_some();
        let patience = Duration::from_secs(1);
        let known = self.incoming.is_none();
        if replaced || silence >= config.hold().max(patience) {
            if !known {
                self.point.facts.count_loss();
            }
            self.source_over(now);
        } else if silence >= patience || known {
            self.point.facts.set(Airing::Lost);
        } else {
            self.point.facts.set(Airing::Live);
        }
    }

    /// What came in is over: go on with the fallback, or end.
    fn source_over(&mut self, now: Time) {
        if self.files.is_some() && self.is_watched() {
            self.air_files(now);
            return;
        }
        self.end_broadcast(now, OnAir::Nothing, Airing::Waiting);
    }

    fn end_broadcast(&mut self, now: Time, to: OnAir, airing: Airing) {
        self.leave_air();
        self.on_air = to;
        for tap in &mut self.taps {
            tap.end(now);
        }
        let audience = self.subscribers.drain(..).chain(self.newcomers.drain(..));
        self.parcels.extend(audience.map(Parcel::Gone));
        self.point.facts.set(airing);
    }

    /// Nothing is on the air: the fallback, if somebody waits and there is one.
    fn fill_in(&mut self, now: Time) {
        if !self.plays_files_only() && self.files.is_some() && self.is_watched() {
            self.air_files(now);
        }
    }
}
