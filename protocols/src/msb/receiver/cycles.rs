//! Cycles of error correction as they come: what was received of each, and what can be rebuilt
//! (MS-MSB 3.2.5.3; msb-nsc.md 3.4).
//!
//! Packets belong to a cycle by its number in them; which ids it has must be found out from the parity
//! packets of it and of the cycle before. Only when that is certain is a packet rebuilt.

use crate::msb::fec::{self, EC_LEN, SPAN_MAX};
use crate::msb::packet::{StreamId, distance};
use std::collections::VecDeque;

/// Cycles that are remembered: the one that runs and those that packets out of order may belong to.
const CYCLE_COUNT_MAX: usize = 4;

/// Packets further apart than this do not belong to one cycle, even if their numbers agree.
const REACH: i32 = 64;

/// A packet that was rebuilt. It is as long as the longest of its cycle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rebuilt {
    pub id: u32,
    pub stream: StreamId,
    pub asf: Vec<u8>,
}

#[derive(Debug)]
struct Cycle {
    stream: StreamId,
    number: u8,
    /// Of the data packets that came.
    ids: Vec<u32>,
    /// XOR of the bodies of all packets that came.
    sum: Vec<u8>,
    /// dwPacketID and body length of the parity packet.
    parity: Option<(u32, usize)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cycles {
    /// The latest ones, in the order in which they were first heard of.
    recent: VecDeque<Cycle>,
    /// Most packets of a cycle that was known from end to end.
    span: Option<u8>,
}

impl Cycles {
    /// Forget what was received; what is known of the sender stays.
    pub fn flush(&mut self) {
        self.recent.clear();
    }

    /// Most packets that a cycle has, as far as that is known.
    pub fn span(&self) -> u8 {
        self.span.unwrap_or(SPAN_MAX)
    }

    /// A data packet came, for the first time.
    pub fn data(&mut self, id: u32, stream: StreamId, asf: &[u8]) -> Option<Rebuilt> {
        let cycle = self.cycle(id, stream, asf)?;
        // More than a cycle can have is no cycle.
        if cycle.ids.len() < usize::from(SPAN_MAX) {
            cycle.ids.push(id);
            add(&mut cycle.sum, asf);
        }
        let number = cycle.number;
        self.rebuild(stream, number)
    }

    /// A parity packet came.
    pub fn parity(&mut self, id: u32, stream: StreamId, asf: &[u8]) -> Option<Rebuilt> {
        let cycle = self.cycle(id, stream, asf)?;
        if cycle.parity.is_some() {
            return None;
        }
        cycle.parity = Some((id, asf.len().saturating_sub(EC_LEN)));
        add(&mut cycle.sum, asf);
        let number = cycle.number;
        self.learn_span(stream, number);
        self.rebuild(stream, number)
    }

    /// The cycle that a packet says that it belongs to.
    fn cycle(&mut self, id: u32, stream: StreamId, asf: &[u8]) -> Option<&mut Cycle> {
        let number = fec::cycle_of(asf)?;
        let near = |c: &Cycle| {
            let known = c.ids.first().copied().or(c.parity.map(|(id, _)| id));
            known.is_some_and(|known| distance(known, id).abs() < REACH)
        };
        let mut cycles = self.recent.iter();
        let found = cycles.position(|c| c.stream == stream && c.number == number && near(c));
        let at = match found {
            Some(at) => at,
            None => {
                if self.recent.len() >= CYCLE_COUNT_MAX {
                    self.recent.pop_front();
                }
                self.recent.push_back(Cycle {
                    stream,
                    number,
                    ids: Vec::new(),
                    sum: Vec::new(),
                    parity: None,
                });
                self.recent.len() - 1
            }
        };
        self.recent.get_mut(at)
    }

    fn find(&self, stream: StreamId, number: u8) -> Option<&Cycle> {
        let mut latest_first = self.recent.iter().rev();
        latest_first.find(|c| c.stream == stream && c.number == number)
    }

    /// The id behind the parity packet of the cycle before: there a cycle surely begins.
    fn sure_first(&self, cycle: &Cycle, last: u32) -> Option<u32> {
        let before = cycle.number.wrapping_sub(1);
        let mut others = self.recent.iter().filter(|c| c.number == before);
        let end = others.find_map(|c| {
            let (end, _) = c.parity?;
            (0..REACH).contains(&distance(end, last)).then_some(end)
        });
        end.map(|end| end.wrapping_add(1))
    }

    /// Where a cycle begins that ends with `last`; the packets of others are not in it.
    fn first(&self, cycle: &Cycle, last: u32) -> Option<u32> {
        if let Some(first) = self.sure_first(cycle, last) {
            return Some(first);
        }
        let by_span = last.wrapping_sub(u32::from(self.span?) - 1);
        let is_other = |c: &&Cycle| !std::ptr::eq(*c, cycle);
        let others = self.recent.iter().filter(is_other);
        let foreign = others.flat_map(|c| c.ids.iter().copied().chain(c.parity.map(|p| p.0)));
        let before = foreign.filter(|id| (0..REACH).contains(&distance(*id, last)));
        let bound = before.min_by_key(|id| distance(*id, last));
        let bound = bound.map_or(by_span, |id| id.wrapping_add(1));
        Some(match distance(by_span, bound) > 0 {
            true => bound,
            false => by_span,
        })
    }

    fn learn_span(&mut self, stream: StreamId, number: u8) {
        let Some(cycle) = self.find(stream, number) else {
            return;
        };
        let Some((last, _)) = cycle.parity else {
            return;
        };
        let first = self.sure_first(cycle, last);
        let span = first.map(|first| distance(first, last).saturating_add(1));
        if let Some(span @ 1..=15) = span {
            self.span = self.span.max(Some(span.unsigned_abs() as u8));
        }
    }

    // MSB-56
    fn rebuild(&mut self, stream: StreamId, number: u8) -> Option<Rebuilt> {
        let cycle = self.find(stream, number)?;
        let (last, len) = cycle.parity?;
        let first = self.first(cycle, last)?;
        let count = distance(first, last).checked_add(1)?;
        let fits = (1..=i32::from(SPAN_MAX)).contains(&count)
            && cycle.ids.len() + 1 == count.unsigned_abs() as usize
            && cycle.sum.len() == len;
        if !fits {
            return None;
        }
        let mut all = (0..count.unsigned_abs()).map(|n| first.wrapping_add(n));
        let id = all.find(|id| !cycle.ids.contains(id))?;
        let inside = |id: &u32| (0..count).contains(&distance(first, *id));
        if !cycle.ids.iter().all(inside) {
            return None;
        }
        let mut asf = fec::rebuilt_bytes(number).to_vec();
        asf.extend_from_slice(&cycle.sum);
        let mut cycles = self.recent.iter_mut();
        let cycle = cycles.rfind(|c| c.stream == stream && c.number == number)?;
        // It is there now; should it come after all, it is a duplicate.
        cycle.ids.push(id);
        Some(Rebuilt { id, stream, asf })
    }
}

/// XOR a packet's body, extended with zeros.
fn add(sum: &mut Vec<u8>, asf: &[u8]) {
    let body = asf.get(EC_LEN..).unwrap_or_default();
    if sum.len() < body.len() {
        sum.resize(body.len(), 0);
    }
    fec::xor(sum, body);
}
