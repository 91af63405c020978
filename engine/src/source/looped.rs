//! A file played in real time: over and over on one unbroken timeline, or once.
//!
//! Over and over, every turn's send and presentation times are moved on by the length of the turns before it, so
//! that no client sees time go back and none needs a new header.

use super::cache::{Cache, Piece};
use super::file::AsfFile;
use crate::points::BatchBuilder;
use protocols::asf;
use protocols::machine::Time;
use std::rc::Rc;
use std::time::Duration;

/// Packets taken in one call; the next tick goes on.
const PACKETS_PER_CALL_MAX: usize = 4096;

/// See the module.
pub struct LoopSource {
    file: Rc<AsfFile>,
    cache: Rc<Cache>,
    /// When send time 0 of the timeline is.
    origin: Time,
    /// Added to the file's times on this turn, ms.
    shift: u32,
    /// Next packet of the file.
    next: u32,
    /// Number of the next packet on the virtual timeline.
    number: u32,
    /// End of what was sent on this turn, in the file's own time, ms.
    turn_end: u32,
    /// The next packet is the first one of another turn.
    turned: bool,
    caught_up: bool,
    failed: bool,
    /// Once only.
    single: bool,
    /// When a file that is played once is over, known as soon as its last packet was taken.
    end: Option<Time>,
}

impl LoopSource {
    /// Play `file` so that by `now` it has run for `past` already.
    pub fn new(file: Rc<AsfFile>, cache: Rc<Cache>, now: Time, past: Duration) -> LoopSource {
        LoopSource {
            file,
            cache,
            origin: Time(now.micros().saturating_sub(past.as_micros() as u64)),
            shift: 0,
            next: 0,
            number: 0,
            turn_end: 0,
            turned: false,
            caught_up: false,
            failed: false,
            single: false,
            end: None,
        }
    }

    /// Play `file` once, with its own times, so that its send time 0 is at `origin`.
    pub fn single(file: Rc<AsfFile>, cache: Rc<Cache>, origin: Time) -> LoopSource {
        LoopSource {
            single: true,
            ..LoopSource::new(file, cache, origin, Duration::ZERO)
        }
    }

    /// When a file that is played once is over, known as soon as its last packet was taken.
    pub fn end(&self) -> Option<Time> {
        self.end
    }

    /// How long a file that is played once will go on, as far as its header tells.
    pub fn remaining(&self, now: Time) -> Duration {
        let end = self.end.unwrap_or(self.origin + self.turn_length());
        end.since(now)
    }

    /// True if the last [`LoopSource::advance`] took everything that was due. False while a piece of
    /// the file is being read, as after the start, when there is much to catch up with.
    pub fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// True if the file can no longer be read.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Start again at the beginning of the file so that by `now` it has run for `past`; times and
    /// numbers go on rising.
    pub fn resume(&mut self, now: Time, past: Duration) {
        let elapsed = now.since(self.origin).saturating_sub(past);
        self.shift = elapsed.as_millis() as u32;
        self.next = 0;
        self.turn_end = 0;
        self.turned = false;
    }

    /// Append the packets that are due by `now`.
    pub fn advance(&mut self, now: Time, batch: &mut BatchBuilder) {
        let elapsed = now.since(self.origin).as_millis() as u32;
        let packet_size = self.file.packet_size();
        self.caught_up = false;
        for _ in 0..PACKETS_PER_CALL_MAX {
            if self.next >= self.file.facts.packet_count {
                if self.single {
                    self.end = Some(self.origin + self.turn_length());
                    self.caught_up = true;
                    return;
                }
                self.turn();
            }
            let chunk = self.file.chunk_of(self.next);
            let raw = match self.cache.raw(&self.file, chunk) {
                Piece::Ready(raw) => raw,
                Piece::Pending => return,
                Piece::Failed => {
                    self.failed = true;
                    return;
                }
            };
            let Some(packet) = raw.packet(self.next) else {
                self.failed = true;
                return;
            };
            let (send_time, duration) = match asf::Packet::parse(packet, packet_size) {
                Ok(parsed) => (parsed.send_time(), parsed.duration()),
                Err(_) => {
                    // ASF-32: a damaged packet is left out, the stream goes on.
                    self.next += 1;
                    continue;
                }
            };
            let due = send_time.wrapping_add(self.shift);
            if (due.wrapping_sub(elapsed) as i32) > 0 {
                self.caught_up = true;
                return;
            }
            let shift = self.shift;
            if std::mem::take(&mut self.turned) {
                batch.turn();
            }
            batch.push(self.number, due, duration, packet, |copy| {
                asf::retime(copy, packet_size, shift)
            });
            self.turn_end = self
                .turn_end
                .max(send_time.saturating_add(u32::from(duration)));
            self.number = self.number.wrapping_add(1);
            self.next += 1;
        }
    }

    fn turn(&mut self) {
        let length = self.turn_length().as_millis() as u32;
        self.shift = self.shift.wrapping_add(length);
        self.next = 0;
        self.turn_end = 0;
        self.turned = true;
    }

    fn turn_length(&self) -> Duration {
        let play = self.file.facts.header.play_duration_ms().unwrap_or(0);
        let length = u32::try_from(play).unwrap_or(0).max(self.turn_end).max(1);
        Duration::from_millis(u64::from(length))
    }
}
