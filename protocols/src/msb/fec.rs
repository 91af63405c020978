//! Error correction: one XOR parity packet for each cycle of packets (MS-MSB 2.2.2; msb-nsc.md 3).
//!
//! It works on packets as they are transmitted. Their first three bytes, flags and error-correction data,
//! are written for the group alone and take no part in the XOR.

use super::packet::ASF_PACKET_LEN_MAX;

/// Bytes of error-correction flags and data.
pub const EC_LEN: usize = 3;

/// Most data packets in a cycle.
// MSB-19
pub const SPAN_MAX: u8 = 15;

/// Most data packets in a cycle whose packets are numbered: the parity packet's number has four bits.
pub const NUMBERED_SPAN_MAX: u8 = 14;

/// Data packets in a cycle if nothing else is said.
// MSB-17
pub const SPAN_DEFAULT: u8 = 10;

/// Error Correction Present, two bytes of error-correction data.
const FLAGS: u8 = 0x82;
/// Opaque Data Present.
const OPAQUE: u8 = 0x10;
/// Error Correction Present.
const PRESENT: u8 = 0x80;

/// What the Number field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Number {
    /// The packet's place in its cycle, from 1.
    // MSB-29
    #[default]
    Sequence,
    /// 1 in every packet.
    // MSB-30
    Constant,
}

/// A span that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a span of {span} packets is not between 1 and {max}")]
pub struct SpanError {
    /// What was asked for.
    pub span: u8,
    /// The most that can be.
    pub max: u8,
}

/// Check a span.
///
/// # Errors
/// If it is 0, above [`SPAN_MAX`], or above [`NUMBERED_SPAN_MAX`] for numbered packets.
// MSB-18, MSB-19
pub fn check_span(span: u8, number: Number) -> Result<u8, SpanError> {
    let max = match number {
        Number::Sequence => NUMBERED_SPAN_MAX,
        Number::Constant => SPAN_MAX,
    };
    match span {
        0 => Err(SpanError { span, max }),
        _ if span > max => Err(SpanError { span, max }),
        _ => Ok(span),
    }
}

/// Flags and error-correction data of a data packet, `number` from 1.
// MSB-25, MSB-27, MSB-28
fn data_bytes(number: u8, cycle: u8) -> [u8; EC_LEN] {
    [FLAGS, 0x01 | number << 4, cycle]
}

/// Flags and error-correction data of a parity packet.
// MSB-26, MSB-28
fn parity_bytes(number: u8, cycle: u8) -> [u8; EC_LEN] {
    [FLAGS | OPAQUE, 0x02 | number << 4, cycle]
}

/// What a sender XORs of the cycle that runs.
#[derive(Debug)]
pub struct Cycles {
    span: u8,
    number: Number,
    cycle: u8,
    count: u8,
    parity: Vec<u8>,
}

impl Cycles {
    /// Before the first packet.
    ///
    /// # Errors
    /// As [`check_span`].
    // MSB-33
    pub fn new(span: u8, number: Number, first_cycle: u8) -> Result<Cycles, SpanError> {
        Ok(Cycles {
            span: check_span(span, number)?,
            number,
            cycle: first_cycle,
            count: 0,
            parity: Vec::new(),
        })
    }

    /// Data packets in a whole cycle.
    pub fn span(&self) -> u8 {
        self.span
    }

    /// Take the next packet's body, that is what follows its error-correction data; gives what goes in
    /// front of it.
    // MSB-16, MSB-22
    pub fn push(&mut self, body: &[u8]) -> [u8; EC_LEN] {
        if self.parity.len() < body.len() {
            self.parity.resize(body.len(), 0);
        }
        xor(&mut self.parity, body);
        self.count += 1;
        let number = match self.number {
            Number::Sequence => self.count,
            Number::Constant => 1,
        };
        data_bytes(number, self.cycle)
    }

    /// True if the cycle is complete.
    pub fn is_full(&self) -> bool {
        self.count >= self.span
    }

    /// True if no packet of the next cycle was there yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Give the parity packet of what the cycle has, and begin the next. `None` if it has nothing.
    // MSB-23, MSB-32
    pub fn close(&mut self, emit: impl FnOnce([u8; EC_LEN], &[u8])) {
        if self.count == 0 {
            return;
        }
        let number = match self.number {
            Number::Sequence => self.count + 1,
            Number::Constant => 1,
        };
        emit(parity_bytes(number, self.cycle), &self.parity);
        self.count = 0;
        self.cycle = self.cycle.wrapping_add(1);
        self.parity.clear();
    }
}

/// Why a packet cannot be given error-correction data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// With the field it would be larger than the packet size.
    #[error("packet has no padding to give for error-correction data")]
    Full,
    /// Not a packet of payloads.
    #[error("packet has no legal error-correction flags")]
    Flags,
}

/// Where the body of a packet begins and, if that is another place than [`EC_LEN`], what changes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitting {
    /// Bytes of flags and error-correction data that the packet has; 0 if none.
    had: usize,
    /// Bytes of its Packet Length field.
    length_field: usize,
}

/// See how a packet comes to have exactly [`EC_LEN`] bytes of error correction in front.
///
/// # Errors
/// If there is no room for that.
// MSB-21
pub fn fit(packet: &[u8], packet_size: u32) -> Result<Fitting, NoRoom> {
    let flags = *packet.first().ok_or(NoRoom::Flags)?;
    let had = match flags {
        0..0x80 => 0,
        _ if flags & 0x70 != 0 => return Err(NoRoom::Flags),
        _ => 1 + usize::from(flags & 0x0F),
    };
    if packet.len() < had + 2 {
        return Err(NoRoom::Flags);
    }
    if had == EC_LEN {
        return Ok(Fitting {
            had,
            length_field: 0,
        });
    }
    let length_type = packet.get(had).map_or(0, |f| f >> 5 & 3);
    let (length_field, length_max) = match length_type {
        0 => (0, usize::MAX),
        1 => (1, usize::from(u8::MAX)),
        2 => (2, usize::from(u16::MAX)),
        _ => (4, usize::MAX),
    };
    if packet.len() < had + 2 + length_field {
        return Err(NoRoom::Flags);
    }
    let len = packet.len() - had + EC_LEN;
    if len as u64 > u64::from(packet_size) || len > length_max || len > ASF_PACKET_LEN_MAX {
        return Err(NoRoom::Full);
    }
    Ok(Fitting { had, length_field })
}

impl Fitting {
    /// Append the packet's body: all that follows the error-correction data, with the Packet Length that
    /// it has once [`EC_LEN`] bytes stand in front.
    pub fn put_body(self, packet: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let body = packet.get(self.had..).unwrap_or_default();
        out.extend_from_slice(body);
        // Behind length-type and property flags.
        let at = start + 2;
        let Some(field) = out.get_mut(at..at + self.length_field) else {
            return;
        };
        let mut value = [0; 4];
        value.iter_mut().zip(&*field).for_each(|(v, f)| *v = *f);
        let length = u32::from_le_bytes(value)
            .wrapping_add(EC_LEN as u32)
            .wrapping_sub(self.had as u32);
        field
            .iter_mut()
            .zip(length.to_le_bytes())
            .for_each(|(f, v)| *f = v);
    }
}

/// True if an ASF packet is a parity packet.
pub fn is_parity(asf: &[u8]) -> bool {
    asf.first()
        .is_some_and(|flags| flags & (PRESENT | OPAQUE) == PRESENT | OPAQUE)
}

/// The cycle of a data or parity packet that takes part in error correction. Type and Number are not
/// looked at: their order in the byte is uncertain (msb-nsc.md 3.1).
pub fn cycle_of(asf: &[u8]) -> Option<u8> {
    match asf {
        [flags, numbers, cycle, ..] if flags & !OPAQUE == FLAGS && *numbers != 0 => Some(*cycle),
        _ => None,
    }
}

/// `sum ^= body`; `sum` is at least as long.
pub fn xor(sum: &mut [u8], body: &[u8]) {
    for (s, b) in sum.iter_mut().zip(body) {
        *s ^= b;
    }
}

/// Flags and error-correction data of a packet that was rebuilt.
pub fn rebuilt_bytes(cycle: u8) -> [u8; EC_LEN] {
    [FLAGS, 0x01, cycle]
}
