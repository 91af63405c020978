//! Playing a file backward: its key frames, last first, each with its packets in order.

use super::Turning;
use crate::shard::outlet::{Fetched, Outlet, Turn};
use crate::source::{AsfFile, Cache, Piece, RawChunk};
use protocols::asf::{Filter, Packet};
use protocols::rate::pacer::Pacer;
use std::rc::Rc;

/// Packets that are looked at in one turn.
const PACKETS_PER_TURN_MAX: usize = 256;

/// Where a rewinding flow stands.
pub struct Rewind {
    /// The video stream whose key frames are sent.
    stream: u8,
    /// First packet of the key frame that is being sent.
    group: u32,
    /// First packet of the one that was sent before; the end of the file at first.
    upper: u32,
    /// Something of it has been sent.
    begun: bool,
}

/// How a turn went.
pub enum Rewound {
    /// It goes on.
    Rest,
    /// The start of the file is reached.
    AtStart,
    /// A packet cannot be read.
    Lost,
    /// The connection is dead.
    Dead,
}

impl Rewind {
    /// From the key frame that starts in `packet`, or the last one before it.
    pub fn new(stream: u8, packet: u32, packet_count: u32) -> Rewind {
        Rewind {
            stream,
            group: packet,
            upper: packet_count,
            begun: false,
        }
    }

    /// Send what is due.
    // WMSP-10: LocationIds go down from key frame to key frame.
    pub fn turn(
        &mut self,
        file: &Rc<AsfFile>,
        cache: &Rc<Cache>,
        filter: &mut Filter,
        outlet: &mut Outlet,
        t: &mut Turning<'_>,
    ) -> Rewound {
        for _ in 0..PACKETS_PER_TURN_MAX {
            let number = outlet.next_number;
            if number >= self.upper && !self.step_back(file, outlet) {
                return Rewound::AtStart;
            }
            let number = outlet.next_number;
            let raw = match cache.raw(file, file.chunk_of(number)) {
                Piece::Ready(raw) => raw,
                Piece::Pending => return Rewound::Rest,
                Piece::Failed => return Rewound::Lost,
            };
            let sent = outlet.totals.packets;
            let fetch = |n, give: &mut dyn FnMut(u32, u16, &[u8])| fetch(&raw, file, n, give);
            let turn = outlet.turn_filtered(
                filter,
                true,
                file.packet_size(),
                t.now,
                t.scratch,
                t.core,
                fetch,
            );
            match turn {
                Turn::Dead => return Rewound::Dead,
                Turn::Settled if outlet.totals.packets > sent => self.begun = true,
                // Behind the last piece of the key frame.
                Turn::Settled if self.begun && !self.step_back(file, outlet) => {
                    return Rewound::AtStart;
                }
                Turn::Settled => {}
                _ => return Rewound::Rest,
            }
            if outlet.is_spilled() {
                return Rewound::Rest;
            }
        }
        Rewound::Rest
    }

    fn step_back(&mut self, file: &AsfFile, outlet: &mut Outlet) -> bool {
        let index = file.facts.index.get();
        match index.and_then(|i| i.before_packet(self.stream, self.group)) {
            Some(key) => {
                self.upper = self.group;
                self.group = key.packet;
                self.begun = false;
                outlet.next_number = key.packet;
                true
            }
            None => false,
        }
    }
}

/// The pacer sees time run forward.
fn fetch(
    raw: &RawChunk,
    file: &AsfFile,
    number: u32,
    give: &mut dyn FnMut(u32, u16, &[u8]),
) -> Fetched {
    match raw
        .packet(number)
        .map(|p| (p, Packet::parse(p, file.packet_size())))
    {
        None => Fetched::Missing,
        Some((_, Err(_))) => Fetched::Damaged,
        Some((bytes, Ok(packet))) => {
            give(Pacer::rewound(packet.send_time()), packet.duration(), bytes);
            Fetched::Given
        }
    }
}
