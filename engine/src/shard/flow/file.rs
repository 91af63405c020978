//! Flows of files: chunk after chunk, read ahead; files that are still being written.

use super::rewind::{Rewind, Rewound};
use super::{Reading, Rescue, Step, Turning, rescue_from};
use crate::ring::{Chunk, PacketStore};
use crate::rt;
use crate::shard::outlet::{Cursor, Fetched, Outlet, Turn};
use crate::source::{AsfFile, Cache, Growth, Piece, Variant};
use protocols::asf::{Filter, Packet};
use protocols::content::Selection;
use protocols::machine::Time;
use protocols::media::FlowEnd;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// An on-demand session that was held up for longer goes on from where it is in real time, instead
/// of bursting to catch up: its player was paused.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// A file that is being written is looked at this often for more, and is over after as long
/// without.
const GROWTH_POLL: Duration = Duration::from_secs(1);
const GROWTH_PATIENCE: Duration = Duration::from_secs(10);

/// A flow of a file's packets.
pub struct FromFile {
    file: Rc<AsfFile>,
    cache: Rc<Cache>,
    pub reading: Reading<Option<Rc<RefCell<Chunk>>>>,
    /// Chunk at the cursor.
    chunk: u32,
    /// Set if it is played backward.
    rewind: Option<Rewind>,
    /// When a growing file was last seen to have nothing more, and since when.
    dry: Option<(Time, Time)>,
    /// The packet for which a piece was read again, because there was more of it.
    again: Option<u32>,
}

impl FromFile {
    /// From packet `first` on.
    pub fn new(
        file: Rc<AsfFile>,
        cache: Rc<Cache>,
        filter: Box<Filter>,
        rewind: Option<Rewind>,
        first: u32,
    ) -> FromFile {
        FromFile {
            chunk: file.chunk_of(first),
            file,
            cache,
            rewind,
            reading: Reading::Filtering(filter),
            dry: None,
            again: None,
        }
    }

    /// Send what is due.
    pub fn step(&mut self, outlet: &mut Outlet, selection: Selection, t: &mut Turning<'_>) -> Step {
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
                    // A piece of a growing file may be a part of one. What tells is what was read:
                    // behind the last packet sent may be some of which nothing is sent.
                    let next = if self.file.facts.is_growing() {
                        piece.end_number
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

    /// The piece that holds a packet, as it is sent in this selection.
    pub(super) fn framed(
        &self,
        outlet: &Outlet,
        selection: Selection,
        number: u32,
    ) -> Piece<RefCell<Chunk>> {
        let variant = Variant {
            selection,
            keep_padding: outlet.framer.keeps_padding(),
        };
        self.cache
            .framed(&self.file, self.file.chunk_of(number), variant)
    }

    fn is_last(&self, chunk: u32) -> bool {
        match self.file.growth() {
            Growth::Finished(count) => self.file.chunk_start(chunk + 1) >= count,
            _ => false,
        }
    }

    /// The packets of a chunk are used up: go on with the next, or end.
    fn next_chunk(&mut self, next_packet: u32, now: Time) -> Step {
        let next = self.file.chunk_of(next_packet);
        match self.file.growth() {
            Growth::Finished(count) if next_packet >= count => {
                return Step::Ended(FlowEnd::Finished);
            }
            Growth::Recording(count) if next_packet >= count => return self.run_dry(now),
            // Less of a piece was read than there is by now.
            Growth::Recording(_) | Growth::Finished(_) if next == self.chunk => {
                if self.again == Some(next_packet) {
                    return self.run_dry(now);
                }
                self.again = Some(next_packet);
                self.cache.forget(self.file.id);
            }
            Growth::Promised if next == self.chunk => return self.run_dry(now),
            _ => {}
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
        if !self.file.is_growing() {
            return Step::Ended(FlowEnd::SourceLost);
        }
        let (asked, since) = *self.dry.get_or_insert((now, now));
        if now.since(since) >= GROWTH_PATIENCE {
            return Step::Ended(FlowEnd::Finished);
        }
        if now.since(asked) >= GROWTH_POLL {
            self.dry = Some((now, since));
            look_again(&self.file, &self.cache);
            if let Reading::Framed { store, .. } = &mut self.reading {
                *store = None;
            }
        }
        Step::Rest
    }
}

/// Find out whether there is more of a file, beside the tick.
fn look_again(file: &Rc<AsfFile>, cache: &Rc<Cache>) {
    let Growth::Recording(_) = file.growth() else {
        return cache.forget(file.id);
    };
    let (file, cache) = (Rc::clone(file), Rc::clone(cache));
    rt::spawn(async move {
        let facts = Arc::clone(&file.facts);
        match rt::blocking(move || facts.look_again()).await {
            Ok(growth) if growth == file.growth() => {}
            Ok(growth) => {
                file.set_growth(growth);
                cache.forget(file.id);
            }
            Err(error) => {
                tracing::warn!(file = file.facts.name, %error, "a recording cannot be read");
            }
        }
    });
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

impl Rescue for Option<Rc<RefCell<Chunk>>> {
    fn rescue(&mut self, outlet: &mut Outlet, cursor: &mut Cursor) -> Option<u32> {
        rescue_from(&mut *self.as_ref()?.borrow_mut(), outlet, cursor)
    }
}
