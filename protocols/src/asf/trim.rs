//! Cutting the padding off a packet, and putting it back (asf.md 8.4).
//!
//! Players fill a packet that came short up to the header's packet size, and a payload without a
//! length of its own then swallows the zeros. So a packet that is cut says its own length, unless
//! the caller asks otherwise.

use super::error::Error;
use super::packet::{Layout, Packet, field_size, part};

/// What a cut packet says about its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Every packet that is shorter than the packet size has a Packet Length field. This is the
    /// form that players decode over every protocol (over RTSP nothing else works), so it is what
    /// the server uses.
    #[default]
    ExplicitLength,
    /// Packets of the multiple-payload form do without, as the specifications' text has it; two
    /// bytes shorter. Single-payload packets have the field all the same.
    Plain,
}

/// Append the packet without its padding, in the default [`Form`].
///
/// The result is never longer than `packet_size`, and never longer than the input, with one
/// exception: an input that came short and without a Packet Length field gains that field
/// (RTSP rule 6). A packet that would become longer is copied as it is, and so is one without
/// padding that keeps its length. Nothing is appended on error.
///
/// # Errors
/// As [`Packet::parse`].
pub fn trim(packet: &[u8], packet_size: u32, out: &mut Vec<u8>) -> Result<(), Error> {
    trim_as(Form::default(), packet, packet_size, out)
}

/// [`trim`] in a chosen form.
///
/// # Errors
/// As [`Packet::parse`].
pub fn trim_as(
    form: Form,
    packet: &[u8],
    packet_size: u32,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let packet = Packet::parse(packet, packet_size)?;
    trim_parsed(form, &packet, packet_size, out);
    Ok(())
}

/// Append the packet at full size, its Packet Length field removed and padding put in, as it is
/// stored in files. A packet of full size is copied as it is, but for one whose only peculiarity is a
/// two-byte Packet Length: [`trim`] makes those out of packets with one byte of padding.
///
/// # Errors
/// As [`Packet::parse`].
// ASF-63
pub fn pad(packet: &[u8], packet_size: u32, out: &mut Vec<u8>) -> Result<(), Error> {
    let packet = Packet::parse(packet, packet_size)?;
    pad_parsed(&packet, packet_size, out);
    Ok(())
}

// ASF-42, ASF-45, ASF-46
pub(super) fn trim_parsed(form: Form, packet: &Packet<'_>, packet_size: u32, out: &mut Vec<u8>) {
    let len = packet.bytes().len();
    let full = len as u64 == u64::from(packet_size);
    let cut = Rewrite::all(packet).cut(form);
    let lengthless = form == Form::ExplicitLength || !packet.is_multiple();
    // One byte of padding behind a one-byte field gives way to a Packet Length of the same size: it
    // has to go, because FFmpeg takes padding for the start of the RTP packet that follows (RTSP-19).
    let worth = form == Form::ExplicitLength && packet.padding() > 0 && cut.total() == len;
    if cut.total() < len || worth {
        cut.emit(out);
    } else if full || packet.explicit_length().is_some() || !lengthless {
        out.extend_from_slice(packet.bytes());
    } else {
        // Short and without a length: the field must come in, or the gap be filled.
        cut.within(packet_size).emit(out);
    }
}

pub(super) fn pad_parsed(packet: &Packet<'_>, packet_size: u32, out: &mut Vec<u8>) {
    let full = packet.bytes().len() as u64 == u64::from(packet_size);
    let codes = packet.layout().length_flags >> 3 & 0b1111;
    let gave_way = codes == 0b10_00 && packet.padding() == 0;
    if full && !gave_way {
        out.extend_from_slice(packet.bytes());
    } else {
        Rewrite::all(packet).fill(packet_size).emit(out);
    }
}

/// A packet about to be written anew with some or all of its payloads, each byte for byte.
pub(super) struct Rewrite<'p, 'a> {
    packet: &'p Packet<'a>,
    layout: Layout,
    /// Bit n: payload n stays.
    kept: u64,
    body: usize,
}

impl<'p, 'a> Rewrite<'p, 'a> {
    /// With all payloads.
    pub(super) fn all(packet: &'p Packet<'a>) -> Rewrite<'p, 'a> {
        let layout = packet.layout();
        Rewrite {
            packet,
            layout,
            kept: u64::MAX,
            body: layout.payloads_end - layout.first_at,
        }
    }

    /// With the payloads whose bits are set in `kept`, of which there is at least one; together
    /// they are `body` bytes.
    pub(super) fn some(packet: &'p Packet<'a>, kept: u64, body: usize) -> Rewrite<'p, 'a> {
        Rewrite {
            packet,
            layout: packet.layout(),
            kept,
            body,
        }
    }

    /// Without padding.
    pub(super) fn cut(self, form: Form) -> Written<'p, 'a> {
        let present = self.layout.length_flags >> 5 & 3;
        let length_code = match (present, form) {
            (0, Form::Plain) if self.packet.is_multiple() => 0,
            (0, _) if self.bare() + 2 > usize::from(u16::MAX) => 3,
            (0, _) => 2,
            // What the old length fitted in, the new and smaller one does too.
            (code, _) => code,
        };
        Written {
            length_code,
            padding_code: 0,
            padding: 0,
            rewrite: self,
        }
    }

    /// With padding up to `packet_size`.
    pub(super) fn fill(self, packet_size: u32) -> Written<'p, 'a> {
        let gap = (packet_size as usize).saturating_sub(self.bare());
        let padding_code = match gap {
            0 => 0,
            1..=256 => 1,
            257..=65_537 => 2,
            _ => 3,
        };
        Written {
            length_code: 0,
            padding_code,
            padding: gap - field_size(padding_code),
            rewrite: self,
        }
    }

    /// Bytes without Packet Length, Padding Length and padding.
    fn bare(&self) -> usize {
        let sequence = field_size(self.layout.length_flags >> 1);
        self.layout.flags_at
            + 2
            + sequence
            + (self.layout.first_at - self.layout.times_at)
            + self.body
    }
}

/// A [`Rewrite`] with its length decided.
pub(super) struct Written<'p, 'a> {
    rewrite: Rewrite<'p, 'a>,
    length_code: u8,
    padding_code: u8,
    padding: usize,
}

impl Written<'_, '_> {
    /// Bytes that [`Written::emit`] appends.
    pub(super) fn total(&self) -> usize {
        self.rewrite.bare()
            + field_size(self.length_code)
            + field_size(self.padding_code)
            + self.padding
    }

    /// The same if it does not exceed `packet_size`, else padded instead of cut.
    pub(super) fn within(self, packet_size: u32) -> Self {
        if self.total() as u64 <= u64::from(packet_size) {
            self
        } else {
            self.rewrite.fill(packet_size)
        }
    }

    /// Append the packet.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let total = self.total();
        let Rewrite {
            packet,
            layout,
            kept,
            ..
        } = self.rewrite;
        let bytes = packet.bytes();
        out.reserve(total);
        // ASF-66
        out.extend_from_slice(packet.error_correction());
        out.push(
            layout.length_flags & !0b0111_1000 | self.length_code << 5 | self.padding_code << 3,
        );
        out.extend_from_slice(part(bytes, layout.flags_at + 1, layout.flags_at + 2));
        put_field(out, self.length_code, total);
        put_field(
            out,
            layout.length_flags >> 1 & 3,
            packet.sequence() as usize,
        );
        put_field(out, self.padding_code, self.padding);
        if packet.is_multiple() {
            out.extend_from_slice(part(bytes, layout.times_at, layout.first_at - 1));
            let flags = part(bytes, layout.first_at - 1, layout.first_at);
            let count = self.rewrite.count() as u8;
            out.extend(flags.iter().map(|f| f & 0xC0 | count));
        } else {
            out.extend_from_slice(part(bytes, layout.times_at, layout.first_at));
        }
        if kept == u64::MAX {
            out.extend_from_slice(part(bytes, layout.first_at, layout.payloads_end));
        } else {
            for (n, payload) in packet.payloads().enumerate() {
                if kept >> n & 1 != 0 {
                    let range = payload.range();
                    out.extend_from_slice(part(bytes, range.start, range.end));
                }
            }
        }
        out.resize(out.len() + self.padding, 0);
    }
}

impl Rewrite<'_, '_> {
    fn count(&self) -> usize {
        if self.kept == u64::MAX {
            self.packet.payload_count()
        } else {
            self.kept.count_ones() as usize
        }
    }
}

fn put_field(out: &mut Vec<u8>, code: u8, value: usize) {
    let bytes = (value as u32).to_le_bytes();
    out.extend_from_slice(part(&bytes, 0, field_size(code)));
}
