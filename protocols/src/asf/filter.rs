//! Sending only the selected streams of each packet (asf.md 8.3).

use super::error::Error;
use super::packet::{Packet, Payload};
use super::trim::{Form, Rewrite, pad_parsed, trim_parsed};
use crate::content::{Level, Selection, StreamInfo, StreamKind, StreamSwitch};

/// One client's stream selection, with the transitions that are still under way.
///
/// Payloads of streams that the header does not declare are never sent.
#[derive(Clone, Debug)]
pub struct Filter {
    form: Form,
    /// Streams whose payloads are sent now.
    sending: u128,
    /// Of those, the ones of which only key objects are sent now.
    key_only: u128,
    /// Streams that are to be sent from their next key object on.
    waiting: u128,
    /// Thinned streams that are to be sent whole from their next key object on.
    widening: u128,
    /// Streams that go on only until the other one begins.
    replaced: Vec<(u8, u8)>,
    target: Selection,
    known: u128,
    all_key: u128,
    video: u128,
}

/// What is known of a packet that [`Filter::apply`] kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// A key object of a sent video stream starts here; if no video is selected, any object.
    pub key: bool,
    /// A payload of a key object is in here, start or not.
    // ASF-51
    pub key_payload: bool,
    /// ms.
    pub send_time: u32,
    /// ms.
    pub duration: u16,
}

impl Filter {
    /// For a client that starts: streams that cannot be decoded from anywhere wait for the
    /// beginning of a key object, the others start at once.
    // ASF-37
    pub fn start(selection: Selection, streams: &[StreamInfo]) -> Filter {
        let mut filter = Filter::steady(selection, streams);
        filter.waiting = filter.sending & !filter.all_key;
        filter.sending &= filter.all_key;
        filter
    }

    /// For a client that is in the middle: nothing waits.
    pub fn steady(selection: Selection, streams: &[StreamInfo]) -> Filter {
        let target = selection.within(streams);
        let of = |f: fn(&StreamInfo) -> bool| {
            Selection::of(streams.iter().filter(|s| f(s)).map(|s| s.number)).on
        };
        Filter {
            form: Form::default(),
            sending: target.on,
            key_only: target.key_only,
            waiting: 0,
            widening: 0,
            replaced: Vec::new(),
            target,
            known: of(|_| true),
            all_key: of(|s| s.all_key || s.kind != StreamKind::Video),
            video: of(|s| s.kind == StreamKind::Video),
        }
    }

    /// The same with another form of cut packets.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Filter {
        self.form = form;
        self
    }

    /// Take changes of the selection. A stream that is turned on begins at its next key object; a
    /// replaced one goes on until then. Entries for streams that the header lacks change nothing.
    // ASF-39, ASF-40
    pub fn switch(&mut self, changes: &[StreamSwitch]) {
        for change in changes {
            match (change.from, change.to) {
                (_, Some(to)) if self.known & bit(to) == 0 => {}
                (Some(from), Some(to)) if from != to => match change.level {
                    Level::Off => {
                        self.turn_off(from);
                        self.turn_off(to);
                    }
                    level => self.replace(from, to, level),
                },
                (_, Some(to)) => match change.level {
                    Level::Off => self.turn_off(to),
                    level => self.turn_on(to, level),
                },
                (Some(from), None) => self.turn_off(from),
                (None, None) => {}
            }
        }
    }

    /// Append what of the packet is to be sent. `None`: nothing, and `out` is untouched.
    ///
    /// With `keep_padding` the result always has full size (old servers, MSBD); without, padding
    /// is cut as [`super::trim::trim`] does.
    ///
    /// # Errors
    /// As [`Packet::parse`]; the packet is then to be dropped, the session goes on (ASF-32).
    // ASF-34, ASF-35, ASF-43, ASF-44
    pub fn apply(
        &mut self,
        packet: &[u8],
        packet_size: u32,
        keep_padding: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Kept>, Error> {
        let packet = Packet::parse(packet, packet_size)?;
        let chosen = self.choose(&packet);
        if chosen.kept == 0 {
            return Ok(None);
        }
        if chosen.kept.count_ones() as usize == packet.payload_count() {
            if keep_padding {
                pad_parsed(&packet, packet_size, out);
            } else {
                trim_parsed(self.form, &packet, packet_size, out);
            }
        } else {
            let rewrite = Rewrite::some(&packet, chosen.kept, chosen.body);
            if keep_padding {
                rewrite.fill(packet_size).emit(out);
            } else {
                rewrite.cut(self.form).within(packet_size).emit(out);
            }
        }
        Ok(Some(Kept {
            key: chosen.key,
            key_payload: chosen.key_payload,
            send_time: packet.send_time(),
            duration: packet.duration(),
        }))
    }

    /// The selection (without streams that the header lacks) once every change has taken effect;
    /// `None` while a stream still waits for a key object.
    pub fn settled(&self) -> Option<Selection> {
        let pending = self.waiting | self.widening;
        (pending == 0 && self.replaced.is_empty()).then_some(self.target)
    }

    /// The selection that the changes so far lead to.
    pub fn target(&self) -> Selection {
        self.target
    }

    /// Decide for each payload, in their order, and carry out the transitions on the way.
    fn choose(&mut self, packet: &Packet<'_>) -> Chosen {
        let mut chosen = Chosen::default();
        let mut any_start = false;
        let mut video_start = false;
        for (n, payload) in packet.payloads().enumerate() {
            if !self.wants(&payload) {
                continue;
            }
            chosen.kept |= 1 << n;
            chosen.body += payload.range().len();
            let stream = bit(payload.stream);
            let key = payload.key || self.all_key & stream != 0;
            let starts = key && payload.starts_object();
            chosen.key_payload |= key;
            any_start |= starts;
            video_start |= starts && self.video & stream != 0;
        }
        let video_selected = (self.sending | self.waiting) & self.video != 0;
        chosen.key = if video_selected {
            video_start
        } else {
            any_start
        };
        chosen
    }

    #[inline]
    fn wants(&mut self, payload: &Payload<'_>) -> bool {
        let stream = bit(payload.stream);
        let key = payload.key || self.all_key & stream != 0;
        if (self.waiting | self.widening) & stream != 0 && key && payload.starts_object() {
            self.begin(payload.stream);
        }
        self.sending & stream != 0 && (key || self.key_only & stream == 0)
    }

    /// The key object that `number` waited for is here.
    #[cold]
    fn begin(&mut self, number: u8) {
        let stream = bit(number);
        if self.waiting & stream != 0 {
            self.waiting &= !stream;
            self.sending |= stream;
        }
        if self.widening & stream != 0 {
            self.widening &= !stream;
            self.key_only &= !stream;
        }
        let mut ended = 0;
        self.replaced.retain(|&(from, to)| {
            if to == number {
                ended |= bit(from);
            }
            to != number
        });
        self.sending &= !ended;
        self.key_only &= !ended;
    }

    fn turn_on(&mut self, number: u8, level: Level) {
        let stream = bit(number);
        self.target.set(number, level);
        self.replaced.retain(|&(from, _)| from != number);
        if self.sending & stream == 0 {
            self.waiting |= stream;
            self.key_only &= !stream;
            self.widening &= !stream;
            if level == Level::KeyOnly {
                self.key_only |= stream;
            }
            return;
        }
        match level {
            Level::KeyOnly => {
                self.key_only |= stream;
                self.widening &= !stream;
            }
            // What follows a left-out frame cannot be decoded before the next key frame.
            _ if self.key_only & stream & !self.all_key != 0 => self.widening |= stream,
            _ => self.key_only &= !stream,
        }
    }

    fn turn_off(&mut self, number: u8) {
        let mut gone = bit(number);
        self.target.set(number, Level::Off);
        // What this stream was to replace has been given up already.
        self.replaced.retain(|&(from, to)| {
            if to == number {
                gone |= bit(from);
            }
            to != number && from != number
        });
        self.sending &= !gone;
        self.waiting &= !gone;
        self.widening &= !gone;
        self.key_only &= !gone;
    }

    fn replace(&mut self, from: u8, to: u8, level: Level) {
        let waited = self.waiting & bit(from) != 0;
        self.target.set(from, Level::Off);
        self.turn_on(to, level);
        if waited {
            // It never began: what it was to replace now goes on until `to` begins.
            self.waiting &= !bit(from);
            self.key_only &= !bit(from);
            for pair in &mut self.replaced {
                if pair.1 == from {
                    pair.1 = to;
                }
            }
            self.replaced.retain(|&(f, t)| f != t);
        }
        if self.waiting & bit(to) == 0 {
            // Already running, so there is nothing to wait for.
            let mut ended = bit(from);
            self.replaced.retain(|&(f, t)| {
                if t == to {
                    ended |= bit(f);
                }
                t != to && f != from
            });
            self.sending &= !ended;
            self.key_only &= !ended;
            self.widening &= !ended;
        } else if self.sending & bit(from) != 0 {
            self.widening &= !bit(from);
            self.replaced.retain(|&(f, _)| f != from);
            self.replaced.push((from, to));
        }
    }
}

#[derive(Default)]
struct Chosen {
    kept: u64,
    body: usize,
    key: bool,
    key_payload: bool,
}

fn bit(number: u8) -> u128 {
    1u128.checked_shl(u32::from(number)).unwrap_or(0)
}
