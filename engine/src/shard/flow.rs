//! A flow: one client being sent one content. Where its packets come from, and what a turn does.

mod again;
mod copy;
mod file;
mod live;
mod rewind;

pub use live::CATCHING_UP;

use super::outlet::{Cursor, Outlet, Scratch, Turn};
use super::wheel::Seat;
use crate::ops::metrics::CoreCounters;
use crate::points::OpenContent;
use crate::ring::PacketStore;
use crate::rt;
use crate::source::{AsfFile, Cache};
use copy::Copying;
use file::FromFile;
use live::Live;
use protocols::asf::Filter;
use protocols::content::{Selection, StreamInfo, StreamSwitch};
use protocols::machine::{ConnId, Time};
use protocols::media::{FlowEnd, FlowId};
use rewind::Rewind;
use std::rc::Rc;
use std::time::Duration;

/// How long a flow of datagrams stays after its end, so that the last ones can be sent again.
const AFTERLIFE: Duration = Duration::from_secs(10);

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
    /// Nothing that the machine wrote waits in front of the media. Stays so: while a flow runs the
    /// machine writes nothing.
    pub clear: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Running,
    /// The machine wants the connection at the next packet boundary.
    Asked,
    /// The server stops, or the point is gone: the flow ends at the next packet boundary.
    Finishing,
    Held,
    /// It is over. Flows of datagrams stay for a while: the last ones may be asked for again.
    Over(Time),
}

enum Supply {
    Live(Live),
    File(FromFile),
    Copy(Copying),
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
    /// It ended long ago, and nobody asks for its datagrams any more.
    Forgotten,
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
    #[expect(clippy::too_many_arguments, reason = "one caller")]
    pub fn media(
        key: (u8, FlowId),
        conn: ConnId,
        content: Rc<OpenContent>,
        cache: &Rc<Cache>,
        filter: Filter,
        backward: bool,
        whole: bool,
        outlet: Outlet,
    ) -> Flow {
        let streams = content.streams();
        let selection = filter.target();
        let filter = Box::new(filter);
        let supply = match content.supply() {
            crate::points::ContentSupply::Live(feed) => {
                Supply::Live(Live::new(Rc::clone(feed), filter, whole))
            }
            crate::points::ContentSupply::File(file) => {
                let rewind = backward.then(|| {
                    let video = streams.iter().find(|s| selection.on >> s.number & 1 == 1);
                    let stream = video.map_or(0, |s| s.number);
                    Rewind::new(stream, outlet.next_number, file.facts.packet_count)
                });
                let (file, cache) = (Rc::clone(file), Rc::clone(cache));
                Supply::File(FromFile::new(
                    file,
                    cache,
                    filter,
                    rewind,
                    outlet.next_number,
                ))
            }
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
            clear: false,
        }
    }

    /// True if it waits for nothing on its connection: datagrams leave beside it.
    pub fn is_beside(&self) -> bool {
        self.outlet.beside.is_some()
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
            supply: Supply::Copy(Copying::new(file, range)),
            selection: Selection::NONE,
            hold: Hold::Running,
            clear: false,
        }
    }

    /// True while it runs ahead of real time, or as fast as it can.
    pub fn is_eager(&self) -> bool {
        self.outlet.pacer.rushed() || self.is_copy()
    }

    /// Begin to load what its turn needs; `near` adds what only the loaded flow points to.
    pub fn prefetch(&self, near: bool) {
        if near {
            rt::prefetch(&raw const *self.outlet.framer, 16);
        } else {
            rt::prefetch(self, size_of::<Flow>());
        }
    }

    /// True if it sends a file as it is.
    pub fn is_copy(&self) -> bool {
        matches!(self.supply, Supply::Copy(_))
    }

    /// Stop at the next packet boundary.
    pub fn hold(&mut self) {
        if !self.is_over() {
            self.hold = Hold::Asked;
        }
    }

    /// End at the next packet boundary, as if the content were over.
    pub fn finish(&mut self) {
        if !self.is_over() {
            self.hold = Hold::Finishing;
        }
    }

    /// Go on.
    pub fn go(&mut self) {
        if !self.is_over() {
            self.hold = Hold::Running;
            self.clear = false;
        }
    }

    /// It has ended; from now on it only sends again.
    pub fn end(&mut self, now: Time) {
        self.hold = Hold::Over(now);
    }

    /// True if it has ended and stays for what may be asked for again.
    pub fn is_over(&self) -> bool {
        matches!(self.hold, Hold::Over(_))
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
        if let Some(beside) = &mut self.outlet.beside {
            beside.history.forget_notes();
            beside.owed.clear();
        }
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
        match self.hold {
            Hold::Held => return Pumped::Alive,
            Hold::Over(since) if t.now.since(since) > AFTERLIFE => return Pumped::Forgotten,
            Hold::Over(_) => {
                self.pay_owed(t);
                return Pumped::Alive;
            }
            _ => self.pay_owed(t),
        }
        // Asked first: what waits to be taken may wait for ever.
        if let Supply::Live(live) = &self.supply
            && live.is_lost(&self.outlet)
        {
            return Pumped::Ended(FlowEnd::Lagged);
        }
        for _ in 0..STORES_PER_TURN_MAX {
            match self.outlet.drain_spill(t.now, t.core) {
                Turn::Done => {}
                Turn::Dead => return Pumped::Dead,
                _ => return Pumped::Alive,
            }
            if self.hold != Hold::Running && self.reach_boundary() {
                if self.hold == Hold::Finishing {
                    // A download that breaks off must not look like a whole one.
                    return Pumped::Ended(match self.is_copy() {
                        true => FlowEnd::SourceLost,
                        false => FlowEnd::Finished,
                    });
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
