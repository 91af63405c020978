//! Finding the packet at which playing starts (asf.md 6.6), whatever the file's indexes say.
//!
//! A [`Seek`] asks for packets and is given them; it reads no files. It asks for at most
//! [`READS_MAX`] packets, in practice for one (with our own index), some dozens (with an index of
//! the file) or some hundreds (without).

use super::clock::since;
use super::digest::object_starts_in;
use super::header::Header;
use super::index::{IndexObject, KeyIndex, SimpleIndex};
use super::packet::Packet;
use crate::content::{Selection, StreamInfo, StreamKind};

/// Most packets that a seek asks for.
pub const READS_MAX: u32 = 16_384;

/// Most packets read forward from where an index of the file points.
const HINT_READS_MAX: u32 = 1024;

/// Entries of an index of the file that are tried, from the one for the time backward.
const HINTS_MAX: usize = 8;

/// First stretch that is searched for a key frame, going back; each next one is twice as long.
const WINDOW: u32 = 64;

/// Packets tried behind one that does not help a bisection.
const PROBES_MAX: u32 = 32;

/// How much later than due a packet may be sent, ms. Players could not use later ones.
const SLACK_MS: u32 = 1000;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// Play time, ms, preroll not counted.
    PlayTime(u32),
    /// A packet.
    Packet(u32),
    /// A byte of the file, header included; a byte inside a packet means that packet.
    Byte(u64),
}

/// What is known about where key frames are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Our own index.
    pub keys: Option<&'a KeyIndex>,
    /// Simple Index objects in file order; one per video stream.
    pub simple: &'a [SimpleIndex],
    /// The Index Object.
    pub index: Option<&'a IndexObject>,
}

/// What a [`Seek`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekStep {
    /// This packet, by [`Seek::give`] or, if it cannot be read, [`Seek::missing`].
    NeedPacket(u32),
    /// Nothing more: this is the first packet to send (LocationId). Video that precedes the key
    /// frame in it is left out by [`super::filter::Filter::start`] (ASF-56).
    Done(u32),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Seek {
    packet_size: u32,
    streams: Vec<StreamInfo>,
    preroll: u32,
    /// Presentation time wanted.
    time: u32,
    /// Video stream whose key frame is sought; else the selected streams.
    video: Option<u8>,
    selection: Selection,
    /// Packets there are.
    count: u32,
    reads: u32,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Done(u32),
    /// See whether the key frame that our index names is there.
    Verify(u32),
    /// Read forward from what the file's index says; `earlier` are the next guesses.
    Hint {
        at: u32,
        read: u32,
        best: Option<u32>,
        earlier: Vec<u32>,
    },
    /// First packet in `lo..hi` of which the test is true, else `hi`.
    Bisect {
        lo: u32,
        hi: u32,
        at: u32,
        test: Test,
    },
    /// Read forward over a stretch; `best` is the last key frame found in it that fits.
    Window {
        from: u32,
        to: u32,
        at: u32,
        width: u32,
        best: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// Sent after anything that is presented at the time wanted: search back from here.
    SentTooLate,
    /// Sent at the time wanted: good enough when no key frame can be found.
    SentInTime,
    /// Holds something presented at the time wanted or later.
    Presented,
}

impl Seek {
    /// Start a seek in a file of `packet_count` packets.
    // ASF-64: markers are sought by passing their time.
    pub fn new(
        header: &Header,
        target: SeekTarget,
        selection: Selection,
        hints: Hints<'_>,
        packet_count: u32,
    ) -> Seek {
        let streams = header.streams();
        let video = streams
            .iter()
            .find(|s| {
                s.kind == StreamKind::Video && !s.all_key && selection.on >> s.number & 1 != 0
            })
            .map(|s| s.number);
        let preroll = header.preroll_ms();
        let mut seek = Seek {
            packet_size: header.packet_size(),
            streams,
            preroll,
            time: preroll,
            video,
            selection,
            count: packet_count,
            reads: 0,
            state: State::Done(0),
        };
        let last = packet_count.saturating_sub(1);
        match target {
            SeekTarget::Packet(n) => seek.state = State::Done(n.min(last)),
            // ASF-67
            SeekTarget::Byte(b) => seek.state = State::Done(header.packet_at(b).min(last)),
            SeekTarget::PlayTime(0) => {}
            SeekTarget::PlayTime(ms) => {
                seek.time = preroll.saturating_add(ms);
                seek.state = seek.plan(hints);
            }
        }
        seek
    }

    /// What is wanted now; the same until something is given.
    pub fn step(&self) -> SeekStep {
        match self.state {
            State::Done(n) => SeekStep::Done(n),
            State::Verify(at)
            | State::Hint { at, .. }
            | State::Bisect { at, .. }
            | State::Window { at, .. } => SeekStep::NeedPacket(at),
        }
    }

    /// The packet that was wanted. Another one is ignored; a bad one is passed over.
    pub fn give(&mut self, number: u32, bytes: &[u8]) {
        if self.step() != SeekStep::NeedPacket(number) {
            return;
        }
        self.reads += 1;
        let packet = Packet::parse(bytes, self.packet_size).ok();
        self.state = match std::mem::replace(&mut self.state, State::Done(0)) {
            State::Verify(at) => match packet.map(|p| self.keys_in(&p)) {
                Some(Keys { fits: true, .. }) => State::Done(at),
                _ => self.search(),
            },
            State::Hint {
                at,
                read,
                best,
                earlier,
            } => self.hint(packet, at, read, best, earlier),
            State::Bisect { lo, hi, at, test } => self.bisect(packet, lo, hi, at, test),
            State::Window {
                from,
                to,
                at,
                width,
                best,
            } => self.window(packet, from, to, at, width, best),
            done @ State::Done(_) => done,
        };
        self.limit_reads();
    }

    /// The packet that was wanted cannot be read: the file ends before it.
    pub fn missing(&mut self, number: u32) {
        if self.step() != SeekStep::NeedPacket(number) {
            return;
        }
        self.reads += 1;
        self.count = self.count.min(number);
        self.state = if self.count == 0 {
            State::Done(0)
        } else {
            self.search()
        };
        self.limit_reads();
    }

    fn plan(&self, hints: Hints<'_>) -> State {
        let Some(video) = self.video else {
            return self.plan_presented(hints.keys);
        };
        if let Some(keys) = hints.keys.filter(|k| !k.of_stream(video).is_empty()) {
            return match keys.at_or_before(video, self.time) {
                Some(entry) if entry.packet < self.count => State::Verify(entry.packet),
                Some(_) => self.search(),
                None => State::Done(0),
            };
        }
        let mut candidates = hints.index.map_or(Vec::new(), |i| {
            i.candidates(video, self.packet_size, self.time, HINTS_MAX)
        });
        if candidates.is_empty() {
            let videos = self.streams.iter().filter(|s| s.kind == StreamKind::Video);
            let place = videos.map(|s| s.number).position(|n| n == video);
            if let Some(simple) = place.and_then(|i| hints.simple.get(i)) {
                candidates = simple.candidates(self.time, HINTS_MAX);
            }
        }
        candidates.retain(|&c| c < self.count);
        candidates.reverse();
        match candidates.pop() {
            Some(at) => State::Hint {
                at,
                read: 0,
                best: None,
                earlier: candidates,
            },
            None => self.search(),
        }
    }

    /// Without video: narrow the range by our own index, if there is one.
    fn plan_presented(&self, keys: Option<&KeyIndex>) -> State {
        let selected = self.streams.iter().find(|s| self.is_selected(s.number));
        let (mut lo, mut hi) = (0, self.count);
        if let (Some(keys), Some(stream)) = (keys, selected) {
            let before = self.time.saturating_sub(SLACK_MS);
            if let Some(entry) = keys.at_or_before(stream.number, before) {
                lo = entry.packet.min(hi);
                let after = keys.of_stream(stream.number).iter();
                let mut after = after.filter(|e| e.packet >= entry.packet);
                if let Some(end) = after.find(|e| e.presentation > self.time) {
                    hi = end.packet.saturating_add(1).clamp(lo, hi);
                }
            }
        }
        self.bisection(lo, hi, Test::Presented)
    }

    /// Without help of an index.
    // ASF-55
    fn search(&self) -> State {
        let test = match self.video {
            Some(_) => Test::SentTooLate,
            None => Test::Presented,
        };
        self.bisection(0, self.count, test)
    }

    fn bisection(&self, lo: u32, hi: u32, test: Test) -> State {
        if lo < hi {
            let at = lo + (hi - lo) / 2;
            return State::Bisect { lo, hi, at, test };
        }
        match test {
            Test::SentTooLate => self.back_from(lo, WINDOW),
            Test::SentInTime | Test::Presented => State::Done(lo.min(self.count.saturating_sub(1))),
        }
    }

    fn bisect(&self, packet: Option<Packet<'_>>, lo: u32, hi: u32, at: u32, test: Test) -> State {
        let mid = lo + (hi - lo) / 2;
        match packet.and_then(|p| self.holds(&p, test)) {
            Some(true) => self.bisection(lo, mid, test),
            Some(false) => self.bisection(at + 1, hi, test),
            None if at + 1 < hi && at - mid < PROBES_MAX => State::Bisect {
                lo,
                hi,
                at: at + 1,
                test,
            },
            // Nothing behind the middle helps, so look before it.
            None => self.bisection(lo, mid, test),
        }
    }

    fn holds(&self, packet: &Packet<'_>, test: Test) -> Option<bool> {
        let sent_by = |limit: u32| since(limit, packet.send_time()) > 0;
        match test {
            Test::SentTooLate => Some(sent_by(self.time.saturating_add(SLACK_MS))),
            Test::SentInTime => {
                let due = self.time.saturating_sub(self.preroll);
                Some(since(due, packet.send_time()) >= 0)
            }
            Test::Presented => {
                let payloads = packet.payloads().filter(|p| self.is_selected(p.stream));
                let earliest = payloads.filter_map(|p| p.presentation).min()?;
                Some(earliest.saturating_add(u32::from(packet.duration())) >= self.time)
            }
        }
    }

    // ASF-54
    fn hint(
        &self,
        packet: Option<Packet<'_>>,
        at: u32,
        read: u32,
        best: Option<u32>,
        mut earlier: Vec<u32>,
    ) -> State {
        let keys = packet.as_ref().map(|p| self.keys_in(p)).unwrap_or_default();
        let best = if keys.fits { Some(at) } else { best };
        let sent_too_late = packet
            .and_then(|p| self.holds(&p, Test::SentTooLate))
            .unwrap_or(false);
        if !(keys.later || sent_too_late || at + 1 >= self.count) {
            return if read < HINT_READS_MAX {
                State::Hint {
                    at: at + 1,
                    read: read + 1,
                    best,
                    earlier,
                }
            } else {
                self.search()
            };
        }
        match (best, earlier.pop()) {
            (Some(best), _) => State::Done(best),
            (None, Some(at)) => State::Hint {
                at,
                read,
                best,
                earlier,
            },
            (None, None) => self.search(),
        }
    }

    /// Search the stretch that ends at `to`.
    fn back_from(&self, to: u32, width: u32) -> State {
        let from = to.saturating_sub(width);
        if from == to {
            // Nothing fits: the time is before the first key frame.
            return State::Done(0);
        }
        if self.reads + width > READS_MAX / 2 {
            return self.bisection(0, self.count, Test::SentInTime);
        }
        State::Window {
            from,
            to,
            at: from,
            width,
            best: None,
        }
    }

    fn window(
        &self,
        packet: Option<Packet<'_>>,
        from: u32,
        to: u32,
        at: u32,
        width: u32,
        best: Option<u32>,
    ) -> State {
        let keys = packet.map(|p| self.keys_in(&p)).unwrap_or_default();
        let best = if keys.fits { Some(at) } else { best };
        if at + 1 < to && !keys.later {
            return State::Window {
                from,
                to,
                at: at + 1,
                width,
                best,
            };
        }
        match best {
            Some(best) => State::Done(best),
            None => self.back_from(from, width.saturating_mul(2)),
        }
    }

    fn limit_reads(&mut self) {
        if self.reads >= READS_MAX {
            self.state = State::Done(self.best_so_far());
        }
    }

    fn best_so_far(&self) -> u32 {
        match self.state {
            State::Hint {
                best: Some(best), ..
            }
            | State::Window {
                best: Some(best), ..
            } => best,
            State::Hint { at, .. } | State::Window { from: at, .. } => at,
            State::Bisect { lo, .. } => lo.min(self.count.saturating_sub(1)),
            State::Verify(n) | State::Done(n) => n,
        }
    }

    fn keys_in(&self, packet: &Packet<'_>) -> Keys {
        let mut keys = Keys::default();
        object_starts_in(packet, &self.streams, |o| {
            if o.key && Some(o.stream) == self.video {
                keys.fits |= o.presentation <= self.time;
                keys.later |= o.presentation > self.time;
            }
        });
        keys
    }

    fn is_selected(&self, number: u8) -> bool {
        self.selection.on >> number & 1 != 0
    }
}

/// Key frames of the sought stream that start in a packet.
#[derive(Clone, Copy, Debug, Default)]
struct Keys {
    /// One at or before the time.
    fits: bool,
    /// One after it.
    later: bool,
}
