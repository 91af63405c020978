//! A flow: one client being sent one content. Where its packets come from, and what a turn does.

use super::outlet::{Cursor, Fetched, Outlet, Scratch, Turn};
use super::rewind::{Rewind, Rewound};
use super::wheel::Seat;
use crate::ops::metrics::CoreCounters;
use crate::points::{LiveFeed, LiveRing, OpenContent};
use crate::ring::{Chunk, PacketStore};
use crate::rt;
use crate::source::{AsfFile, Cache, Piece, Variant};
use protocols::asf::{Filter, Packet};
use protocols::content::{Selection, StreamInfo, StreamSwitch};
use protocols::machine::{ConnId, Time};
use protocols::media::{FlowEnd, FlowId, Pace};
use protocols::rate::pacer::Pacer;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// A live session whose lag exceeds this share of the history jumps forward.
const LAG_NUMERATOR: u32 = 2;
const LAG_DENOMINATOR: u32 = 3;

/// An on-demand session that was held up for longer goes on from where it is in real time, instead
/// of bursting to catch up: its player was paused.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// A file that is being written is looked at this often for more, and is over after as long
/// without.
const GROWTH_POLL: Duration = Duration::from_secs(1);
const GROWTH_PATIENCE: Duration = Duration::from_secs(10);

/// Stores that one turn may walk through.
const STORES_PER_TURN_MAX: usize = 4;

/// See the module.
pub struct Flow {
    /// Front end and name there.
    pub key: (u8, FlowId),
    /// Where it writes.
    pub conn: ConnId,
    /// Its place in the wheels.
    pub seat: Seat,
    /// The content; also holds the player's place in the limits.
    pub content: Rc<OpenContent>,
    /// When it began.
    pub begun: Time,
    /// The sending side.
    pub outlet: Outlet,
    supply: Supply,
    /// Streams that are, or will be when the filter has settled, sent.
    selection: Selection,
    hold: Hold,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Running,
    /// The machine wants the connection at the next packet boundary.
    Asked,
    /// The server stops: the flow ends at the next packet boundary.
    Finishing,
    Held,
}

enum Supply {
    Live(Live),
    File(FromFile),
    Copy(Copying),
}

struct Live {
    feed: Rc<LiveFeed>,
    /// It has been at the head of the stream: its clock is the stream's.
    at_head: bool,
    /// There is no ring for its selection: packets are filtered for it alone.
    stays_filtered: bool,
    reading: Reading<Rc<LiveRing>>,
}

struct FromFile {
    file: Rc<AsfFile>,
    cache: Rc<Cache>,
    reading: Reading<Option<Rc<RefCell<Chunk>>>>,
    /// Chunk at the cursor.
    chunk: u32,
    /// Set if it is played backward.
    rewind: Option<Rewind>,
    /// When a growing file was last seen to have nothing more, and since when.
    dry: Option<(Time, Time)>,
}

/// The bytes of a file as they are.
struct Copying {
    file: Rc<AsfFile>,
    offset: u64,
    end: u64,
    block: Rc<RefCell<Option<std::io::Result<rt::Block>>>>,
    reading: Rc<Cell<bool>>,
    taken: usize,
}

enum Reading<S> {
    /// Packet by packet through a filter: at the start, and while the selection changes.
    Filtering(Box<Filter>),
    /// From packets that are framed once for all sessions of this selection.
    Framed { store: S, cursor: Cursor },
}

/// What a turn did to the flow as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// It goes on.
    Alive,
    /// It stands at a packet boundary, as was asked.
    Held,
    /// It is over.
    Ended(FlowEnd),
    /// Its connection is dead or cannot be continued.
    Dead,
}

/// What a turn needs of its core.
pub struct Turning<'a> {
    /// The time.
    pub now: Time,
    /// Buffers.
    pub scratch: &'a mut Scratch,
    /// Counters of the core.
    pub core: &'a CoreCounters,
}

impl Flow {
    /// A flow of media packets from the one that the outlet has as next.
    pub fn media(
        key: (u8, FlowId),
        conn: ConnId,
        content: Rc<OpenContent>,
        cache: &Rc<Cache>,
        selection: Selection,
        backward: bool,
        outlet: Outlet,
    ) -> Flow {
        let streams = content.streams();
        let filter = Box::new(Filter::start(selection, streams));
        let supply = match content.supply() {
            crate::points::ContentSupply::Live(feed) => Supply::Live(Live {
                feed: Rc::clone(feed),
                at_head: false,
                stays_filtered: false,
                reading: Reading::Filtering(filter),
            }),
            crate::points::ContentSupply::File(file) => Supply::File(FromFile {
                chunk: file.chunk_of(outlet.next_number),
                file: Rc::clone(file),
                cache: Rc::clone(cache),
                rewind: backward.then(|| {
                    let video = streams.iter().find(|s| selection.on >> s.number & 1 == 1);
                    let stream = video.map_or(0, |s| s.number);
                    Rewind::new(stream, outlet.next_number, file.facts.packet_count)
                }),
                reading: Reading::Filtering(filter),
                dry: None,
            }),
        };
        Flow {
            key,
            conn,
            seat: Seat::default(),
            begun: outlet.progress,
            content,
            outlet,
            supply,
            selection,
            hold: Hold::Running,
        }
    }

    /// A flow of a file's own bytes.
    pub fn copy(
        key: (u8, FlowId),
        conn: ConnId,
        content: Rc<OpenContent>,
        file: Rc<AsfFile>,
        range: std::ops::Range<u64>,
        outlet: Outlet,
    ) -> Flow {
        Flow {
            key,
            conn,
            seat: Seat::default(),
            begun: outlet.progress,
            content,
            outlet,
            supply: Supply::Copy(Copying {
                file,
                offset: range.start,
                end: range.end,
                block: Rc::default(),
                reading: Rc::default(),
                taken: 0,
            }),
            selection: Selection::NONE,
            hold: Hold::Running,
        }
    }

    /// True while it runs ahead of real time, or as fast as it can.
    pub fn is_eager(&self) -> bool {
        self.outlet.pacer.rushed() || self.is_copy()
    }

    /// True if it sends a file as it is.
    pub fn is_copy(&self) -> bool {
        matches!(self.supply, Supply::Copy(_))
    }

    /// Stop at the next packet boundary.
    pub fn hold(&mut self) {
        self.hold = Hold::Asked;
    }

    /// End at the next packet boundary, as if the content were over.
    pub fn finish(&mut self) {
        self.hold = Hold::Finishing;
    }

    /// Go on.
    pub fn go(&mut self) {
        self.hold = Hold::Running;
    }

    /// Change the selection; new streams begin at a key frame.
    pub fn select(&mut self, changes: &[StreamSwitch]) {
        let streams = self.content.streams();
        let mut filter = match &mut self.supply {
            Supply::Live(live) => live
                .reading
                .leave(&mut self.outlet, self.selection, streams),
            Supply::File(file) => file
                .reading
                .leave(&mut self.outlet, self.selection, streams),
            Supply::Copy(_) => return,
        };
        filter.switch(changes);
        self.selection = filter.target();
        match &mut self.supply {
            Supply::Live(live) => {
                live.reading = Reading::Filtering(filter);
                live.stays_filtered = false;
            }
            Supply::File(file) => file.reading = Reading::Filtering(filter),
            Supply::Copy(_) => {}
        }
    }

    /// Send what is due.
    pub fn pump(&mut self, t: &mut Turning<'_>) -> Pumped {
        if self.hold == Hold::Held {
            return Pumped::Alive;
        }
        for _ in 0..STORES_PER_TURN_MAX {
            match self.outlet.drain_spill(t.now, t.core) {
                Turn::Done => {}
                Turn::Dead => return Pumped::Dead,
                _ => return Pumped::Alive,
            }
            if self.hold != Hold::Running && self.reach_boundary() {
                if self.hold == Hold::Finishing {
                    return Pumped::Ended(FlowEnd::Finished);
                }
                self.hold = Hold::Held;
                return Pumped::Held;
            }
            let step = match &mut self.supply {
                Supply::Live(live) => live.step(&mut self.outlet, self.selection, t),
                Supply::File(file) => file.step(&mut self.outlet, self.selection, t),
                Supply::Copy(copying) => copying.step(&mut self.outlet, t),
            };
            match step {
                Step::Again => {}
                Step::Rest => return Pumped::Alive,
                Step::Ended(end) => return Pumped::Ended(end),
                Step::Dead => return Pumped::Dead,
            }
        }
        Pumped::Alive
    }

    /// Cut back what the pacer released to the packet in flight; true if there is none.
    fn reach_boundary(&mut self) -> bool {
        let cursor = match &mut self.supply {
            Supply::Live(Live {
                reading: Reading::Framed { cursor, .. },
                ..
            })
            | Supply::File(FromFile {
                reading: Reading::Framed { cursor, .. },
                ..
            }) => cursor,
            _ => return true,
        };
        if cursor.offset == 0 {
            cursor.released = cursor.seq;
            return true;
        }
        cursor.released = cursor.seq + 1;
        false
    }
}

enum Step {
    /// Another store comes next.
    Again,
    /// Enough for this turn.
    Rest,
    Ended(FlowEnd),
    Dead,
}

impl<S> Reading<S> {
    /// Leave the framed store for a filter that starts where the store was left.
    fn leave(
        &mut self,
        outlet: &mut Outlet,
        selection: Selection,
        streams: &[StreamInfo],
    ) -> Box<Filter>
    where
        S: Rescue,
    {
        match self {
            Reading::Filtering(filter) => filter.clone(),
            Reading::Framed { store, cursor } => {
                if let Some(number) = store.rescue(outlet, cursor) {
                    outlet.next_number = number;
                }
                Box::new(Filter::steady(selection, streams))
            }
        }
    }
}

/// Taking the packet in flight out of a store that is left; says which packet comes after it.
trait Rescue {
    fn rescue(&mut self, outlet: &mut Outlet, cursor: &mut Cursor) -> Option<u32>;
}

fn rescue_from<P: PacketStore>(
    store: &mut P,
    outlet: &mut Outlet,
    cursor: &mut Cursor,
) -> Option<u32> {
    let in_flight = cursor.offset > 0;
    let number = store.slot(cursor.seq)?.meta.number;
    outlet.rescue(store, cursor);
    Some(if in_flight {
        number.wrapping_add(1)
    } else {
        number
    })
}

impl Rescue for Rc<LiveRing> {
    fn rescue(&mut self, outlet: &mut Outlet, cursor: &mut Cursor) -> Option<u32> {
        rescue_from(&mut *self.ring.borrow_mut(), outlet, cursor)
    }
}

impl Rescue for Option<Rc<RefCell<Chunk>>> {
    fn rescue(&mut self, outlet: &mut Outlet, cursor: &mut Cursor) -> Option<u32> {
        rescue_from(&mut *self.as_ref()?.borrow_mut(), outlet, cursor)
    }
}

impl Live {
    fn step(&mut self, outlet: &mut Outlet, selection: Selection, t: &mut Turning<'_>) -> Step {
        match &mut self.reading {
            Reading::Filtering(filter) => {
                let feed = &self.feed;
                let turn = outlet.turn_filtered(
                    filter,
                    !self.stays_filtered,
                    feed.head.header.packet_size(),
                    t.now,
                    t.scratch,
                    t.core,
                    |number, give| {
                        feed.with_packet(number, |p, bytes| give(p.send_time, p.duration, bytes))
                            .map_or(Fetched::Missing, |()| Fetched::Given)
                    },
                );
                match turn {
                    Turn::Settled => self.enter_ring(outlet, selection),
                    Turn::Starved => self.starved_in_filter(outlet, selection, t),
                    other => self.rest_or_end(outlet, other),
                }
            }
            Reading::Framed { store, cursor } => {
                let ring = Rc::clone(store);
                let ring = &mut *ring.ring.borrow_mut();
                match skip_ahead(ring, cursor, outlet, self.feed.buffer(), t) {
                    Skip::None => {}
                    Skip::Skipped => {
                        self.at_head = false;
                        return Step::Again;
                    }
                    Skip::Lost => return Step::Dead,
                }
                let turn = outlet.turn(ring, cursor, t.now, t.scratch, t.core);
                self.rest_or_end(outlet, turn)
            }
        }
    }

    fn rest_or_end(&mut self, outlet: &mut Outlet, turn: Turn) -> Step {
        if turn == Turn::Starved && !self.at_head {
            self.reach_head(outlet);
        }
        match turn {
            Turn::Dead => Step::Dead,
            Turn::Over => Step::Ended(FlowEnd::Finished),
            Turn::Starved if self.feed.ended() => Step::Ended(FlowEnd::Finished),
            _ => Step::Rest,
        }
    }

    /// From here on the session is sent what comes as it comes.
    fn reach_head(&mut self, outlet: &mut Outlet) {
        if let Some((arrived, send_time)) = self.feed.clock() {
            self.at_head = true;
            outlet.pacer = Pacer::new(arrived, send_time, REAL_TIME);
        }
    }

    fn enter_ring(&mut self, outlet: &Outlet, selection: Selection) -> Step {
        let variant = Variant {
            selection,
            keep_padding: outlet.framer.keeps_padding(),
        };
        match self.feed.ring(variant) {
            Ok(Some(ring)) => {
                let seq = ring.ring.borrow().seek(outlet.next_number);
                self.reading = Reading::Framed {
                    store: ring,
                    cursor: Cursor::at(seq),
                };
            }
            Ok(None) => self.stays_filtered = true,
            Err(error) => {
                tracing::error!(%error, "no memory for a ring");
                self.stays_filtered = true;
            }
        }
        Step::Again
    }

    /// The filter wants a packet that is not there: not yet, lost between the cores, or no longer.
    fn starved_in_filter(
        &mut self,
        outlet: &mut Outlet,
        selection: Selection,
        t: &Turning<'_>,
    ) -> Step {
        let (first, end) = self.feed.range();
        let wanted = outlet.next_number;
        if (wanted.wrapping_sub(end) as i32) >= 0 {
            return self.rest_or_end(outlet, Turn::Starved);
        }
        if (wanted.wrapping_sub(first) as i32) < 0 {
            t.core.ring_overruns.inc();
            outlet.counters.overruns.inc();
            let Some((number, send_time)) = self.feed.join(selection, 0) else {
                return Step::Rest;
            };
            outlet.next_number = number;
            outlet.pacer = Pacer::new(t.now, send_time, CATCHING_UP);
            self.at_head = false;
            self.reading =
                Reading::Filtering(Box::new(Filter::start(selection, &self.feed.head.streams)));
        } else {
            outlet.next_number = wanted.wrapping_add(1);
        }
        Step::Again
    }
}

const REAL_TIME: Pace = Pace::Media {
    accel: None,
    speed_milli: 1000,
};

/// How a live session that begins at a key frame of the past comes to the head. It would else
/// stay up to a key-frame distance behind for ever; more speed would make a storm of joins a flood.
pub const CATCHING_UP: Pace = Pace::Media {
    accel: None,
    speed_milli: 2000,
};

enum Skip {
    None,
    Skipped,
    /// The packet in flight was overwritten: the connection cannot go on.
    Lost,
}

/// A live session that lags too far behind goes on at the newest key frame, after the packet that
/// is in flight.
fn skip_ahead<P: PacketStore + Newest>(
    ring: &mut P,
    cursor: &mut Cursor,
    outlet: &mut Outlet,
    buffer: u32,
    t: &Turning<'_>,
) -> Skip {
    if cursor.seq >= ring.end() {
        return Skip::None;
    }
    let overrun = cursor.seq < ring.first();
    if !overrun {
        let lag = match (ring.slot(cursor.seq), ring.slot(ring.end() - 1)) {
            (Some(here), Some(newest)) => newest.meta.send_time.wrapping_sub(here.meta.send_time),
            _ => 0,
        };
        let lag_max =
            (u64::from(buffer) * u64::from(LAG_NUMERATOR) / u64::from(LAG_DENOMINATOR)) as u32;
        if lag <= lag_max {
            return Skip::None;
        }
    }
    let to = match ring.newest_key() {
        Some(key) if key > cursor.seq => key,
        _ if overrun => ring.end() - 1,
        _ => return Skip::None,
    };
    if overrun {
        t.core.ring_overruns.inc();
        outlet.counters.overruns.inc();
    }
    if !outlet.rescue(ring, cursor) {
        return Skip::Lost;
    }
    t.core.slow_client_skips.inc();
    outlet.counters.skips.inc();
    *cursor = Cursor::at(to);
    if let Some(slot) = ring.slot(to) {
        outlet.next_number = slot.meta.number;
        outlet.pacer = Pacer::new(t.now, slot.meta.send_time, CATCHING_UP);
    }
    Skip::Skipped
}

/// A store that knows its newest key frame.
trait Newest {
    fn newest_key(&self) -> Option<u64>;
}

impl Newest for crate::ring::Ring {
    fn newest_key(&self) -> Option<u64> {
        crate::ring::Ring::newest_key(self)
    }
}

impl FromFile {
    fn step(&mut self, outlet: &mut Outlet, selection: Selection, t: &mut Turning<'_>) -> Step {
        if let (Some(rewind), Reading::Filtering(filter)) = (&mut self.rewind, &mut self.reading) {
            return match rewind.turn(&self.file, &self.cache, filter, outlet, t) {
                Rewound::Rest => Step::Rest,
                Rewound::AtStart => Step::Ended(FlowEnd::Finished),
                Rewound::Lost => Step::Ended(FlowEnd::SourceLost),
                Rewound::Dead => Step::Dead,
            };
        }
        match &mut self.reading {
            Reading::Filtering(filter) => {
                let chunk = self.file.chunk_of(outlet.next_number);
                let raw = match self.cache.raw(&self.file, chunk) {
                    Piece::Ready(raw) => raw,
                    Piece::Pending => return Step::Rest,
                    Piece::Failed => return self.run_dry(t.now),
                };
                let packet_size = self.file.packet_size();
                let turn = outlet.turn_filtered(
                    filter,
                    true,
                    packet_size,
                    t.now,
                    t.scratch,
                    t.core,
                    |number, give| match raw
                        .packet(number)
                        .map(|p| (p, Packet::parse(p, packet_size)))
                    {
                        None => Fetched::Missing,
                        Some((_, Err(_))) => Fetched::Damaged,
                        Some((bytes, Ok(parsed))) => {
                            give(parsed.send_time(), parsed.duration(), bytes);
                            Fetched::Given
                        }
                    },
                );
                match turn {
                    Turn::Settled => {
                        self.chunk = self.file.chunk_of(outlet.next_number);
                        self.reading = Reading::Framed {
                            store: None,
                            cursor: Cursor::default(),
                        };
                        Step::Again
                    }
                    Turn::Starved => self.next_chunk(outlet.next_number, t.now),
                    other => rest(other),
                }
            }
            Reading::Framed { store, cursor } => {
                let variant = Variant {
                    selection,
                    keep_padding: outlet.framer.keeps_padding(),
                };
                let piece = match store {
                    Some(piece) => Rc::clone(piece),
                    None => match self.cache.framed(&self.file, self.chunk, variant) {
                        Piece::Ready(piece) => {
                            *cursor = Cursor::at(piece.borrow().seek(outlet.next_number));
                            if cursor.seq < piece.borrow().end() {
                                self.dry = None;
                            }
                            *store = Some(Rc::clone(&piece));
                            piece
                        }
                        Piece::Pending => return Step::Rest,
                        Piece::Failed => return self.run_dry(t.now),
                    },
                };
                let piece = &mut *piece.borrow_mut();
                resume_after_pause(piece, cursor, outlet, t.now);
                let turn = outlet.turn(piece, cursor, t.now, t.scratch, t.core);
                let past_half = cursor.seq > piece.end() / 2;
                let used_up = turn == Turn::Starved && cursor.seq == piece.end();
                if past_half && !self.is_last(self.chunk) {
                    // Read ahead; the answer is asked for again when it is needed.
                    self.cache.framed(&self.file, self.chunk + 1, variant);
                }
                if used_up {
                    let end = self.file.chunk_start(self.chunk + 1);
                    let next = if self.file.facts.growing {
                        outlet.next_number
                    } else {
                        end
                    };
                    outlet.next_number = next;
                    return self.next_chunk(next, t.now);
                }
                rest(turn)
            }
        }
    }

    fn is_last(&self, chunk: u32) -> bool {
        !self.file.facts.growing && self.file.chunk_start(chunk + 1) >= self.file.facts.packet_count
    }

    /// The packets of a chunk are used up: go on with the next, or end.
    fn next_chunk(&mut self, next_packet: u32, now: Time) -> Step {
        let next = self.file.chunk_of(next_packet);
        if !self.file.facts.growing && next_packet >= self.file.facts.packet_count {
            return Step::Ended(FlowEnd::Finished);
        }
        if next == self.chunk && self.file.facts.growing {
            return self.run_dry(now);
        }
        self.dry = None;
        self.chunk = next;
        if let Reading::Framed { store, .. } = &mut self.reading {
            *store = None;
        }
        Step::Again
    }

    /// Nothing more can be read: the end of a file that may still grow, or a failure.
    fn run_dry(&mut self, now: Time) -> Step {
        if !self.file.facts.growing {
            return Step::Ended(FlowEnd::SourceLost);
        }
        let (asked, since) = *self.dry.get_or_insert((now, now));
        if now.since(since) >= GROWTH_PATIENCE {
            return Step::Ended(FlowEnd::Finished);
        }
        if now.since(asked) >= GROWTH_POLL {
            self.dry = Some((now, since));
            self.cache.forget(self.file.id);
            if let Reading::Framed { store, .. } = &mut self.reading {
                *store = None;
            }
        }
        Step::Rest
    }
}

fn rest(turn: Turn) -> Step {
    match turn {
        Turn::Dead => Step::Dead,
        Turn::Over => Step::Ended(FlowEnd::Finished),
        _ => Step::Rest,
    }
}

/// After a long standstill of the client the clock starts again at the packet that is next.
fn resume_after_pause(chunk: &Chunk, cursor: &Cursor, outlet: &mut Outlet, now: Time) {
    if cursor.seq != cursor.released || outlet.pacer.rushed() {
        return;
    }
    let Some(slot) = chunk.slot(cursor.seq) else {
        return;
    };
    let send_time = slot.meta.send_time;
    if now.since(outlet.pacer.due(send_time)) > PAUSE_MIN {
        outlet.pacer.rebase(now, send_time);
    }
}

impl Copying {
    fn step(&mut self, outlet: &mut Outlet, t: &Turning<'_>) -> Step {
        if self.offset >= self.end {
            return Step::Ended(FlowEnd::Finished);
        }
        if self.reading.get() {
            return Step::Rest;
        }
        let mut slot = self.block.borrow_mut();
        let Some(block) = slot.as_ref() else {
            drop(slot);
            self.read();
            return Step::Rest;
        };
        let block = match block {
            Ok(block) if !block.is_empty() => block,
            _ => return Step::Ended(FlowEnd::SourceLost),
        };
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let rest = &block[self.taken..];
        let rest = &rest[..rest.len().min(left)];
        let Ok(sent) = outlet.send_plain(rest, t.now, t.core) else {
            return Step::Dead;
        };
        self.taken += sent;
        self.offset += sent as u64;
        if sent < rest.len() {
            return Step::Rest;
        }
        *slot = None;
        drop(slot);
        if self.offset >= self.end {
            return Step::Ended(FlowEnd::Finished);
        }
        self.read();
        Step::Rest
    }

    fn read(&mut self) {
        self.taken = 0;
        self.reading.set(true);
        let (file, offset) = (Rc::clone(&self.file), self.offset);
        let len = (self.end - offset).min(crate::source::CHUNK_BYTES as u64) as usize;
        let (block, reading) = (Rc::clone(&self.block), Rc::clone(&self.reading));
        rt::spawn(async move {
            let read = file.reader.read_at(offset, len).await;
            *block.borrow_mut() = Some(read);
            reading.set(false);
        });
    }
}
