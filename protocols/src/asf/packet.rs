//! One ASF data packet (asf.md 5.2 - 5.4), checked once and then read without failure.

use super::error::{Error, Reason};

/// A checked view of one packet. Holds no copy and allocates nothing.
///
/// The packet may be shorter than the packet size of its header: one that was sent without its
/// padding is as good as a whole one (ASF-63).
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    /// Where the length-type flags are: behind the error-correction bytes.
    flags_at: u8,
    /// Where the send time is.
    times_at: u8,
    /// Where the first payload is.
    first_at: u8,
    payload_count: u8,
    multiple: bool,
    length_flags: u8,
    property_flags: u8,
    payload_length_code: u8,
    explicit_length: Option<u32>,
    sequence: u32,
    send_time: u32,
    duration: u16,
    payloads_end: u32,
}

/// Property flags of nearly every packet: BYTE stream number, BYTE object number, DWORD offset,
/// BYTE replicated length.
pub const USUAL_PROPERTIES: u8 = 0x5D;

impl<'a> Packet<'a> {
    /// Check a packet. `packet_size` is that of the header; a longer packet is refused.
    ///
    /// # Errors
    /// If a field is illegal or something reaches past the packet's end (asf.md 5.2, 5.3).
    pub fn parse(bytes: &'a [u8], packet_size: u32) -> Result<Packet<'a>, Error> {
        if bytes.len() as u64 > u64::from(packet_size) {
            return Err(Error::at(
                0,
                Reason::PacketTooLarge {
                    len: bytes.len() as u64,
                    max: u64::from(packet_size),
                },
            ));
        }
        let mut packet = parse_head(bytes)?;
        packet.check_payloads()?;
        Ok(packet)
    }

    /// The packet as given to [`Packet::parse`].
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// ms; when the packet is due to be sent.
    pub fn send_time(&self) -> u32 {
        self.send_time
    }

    /// ms; how long the packet's share of the content lasts.
    pub fn duration(&self) -> u16 {
        self.duration
    }

    /// The sequence field, which nothing uses; 0 if absent.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The Packet Length field, if there is one.
    pub fn explicit_length(&self) -> Option<u32> {
        self.explicit_length
    }

    /// The error-correction flags and data in front, empty if there are none.
    pub fn error_correction(&self) -> &'a [u8] {
        part(self.bytes, 0, usize::from(self.flags_at))
    }

    /// True if the packet has the form for several payloads, even if it holds one.
    pub fn is_multiple(&self) -> bool {
        self.multiple
    }

    /// 1..=63.
    pub fn payload_count(&self) -> usize {
        usize::from(self.payload_count)
    }

    /// Bytes behind the last payload, declared as padding or not.
    pub fn padding(&self) -> usize {
        self.bytes.len() - self.payloads_end as usize
    }

    /// The payloads in their order.
    pub fn payloads(&self) -> Payloads<'a> {
        Payloads {
            bytes: part(self.bytes, 0, self.payloads_end as usize),
            at: usize::from(self.first_at),
            left: self.payload_count,
            length_code: self.payload_length_code,
            property_flags: self.property_flags,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            flags_at: usize::from(self.flags_at),
            times_at: usize::from(self.times_at),
            first_at: usize::from(self.first_at),
            payloads_end: self.payloads_end as usize,
            length_flags: self.length_flags,
        }
    }

    /// Walk the payloads once; finds where the last one ends.
    fn check_payloads(&mut self) -> Result<(), Error> {
        let mut at = usize::from(self.first_at);
        let end = self.payloads_end as usize;
        let bytes = part(self.bytes, 0, end);
        for _ in 0..self.payload_count {
            at = read_payload(bytes, at, self.property_flags, self.payload_length_code)?.end;
        }
        self.payloads_end = at as u32;
        Ok(())
    }
}

/// Where the rewriter finds the parts of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) flags_at: usize,
    pub(super) times_at: usize,
    pub(super) first_at: usize,
    pub(super) payloads_end: usize,
    pub(super) length_flags: u8,
}

/// Iterator over the payloads of a [`Packet`].
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u8,
    length_code: u8,
    property_flags: u8,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Payload<'a>;

    fn next(&mut self) -> Option<Payload<'a>> {
        self.left = self.left.checked_sub(1)?;
        let payload =
            read_payload(self.bytes, self.at, self.property_flags, self.length_code).ok()?;
        self.at = payload.end;
        Some(payload)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

/// One payload: a media object, a piece of one, or (compressed) several whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// 0..=127; 0 is not legal in any header.
    pub stream: u8,
    /// The key-frame bit.
    pub key: bool,
    /// Media object number; wraps, normally modulo 256.
    pub object_number: u32,
    /// Bytes of the object that precede this piece; 0 in a compressed payload.
    pub offset: u32,
    /// Set if the payload is compressed.
    pub compressed: Option<Compressed>,
    /// Whole size of the media object, if this payload says it.
    pub object_size: Option<u32>,
    /// ms, preroll included, if this payload says it; the first object's if compressed.
    pub presentation: Option<u32>,
    /// Payload extensions: replicated data behind size and time.
    pub extensions: &'a [u8],
    /// The media bytes; of a compressed payload with the length bytes of its objects.
    pub data: &'a [u8],
    start: usize,
    end: usize,
}

/// What a compressed payload (replicated length 1) says instead of size and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// ms, presentation time of the first object.
    pub presentation: u32,
    /// ms from one object to the next.
    pub delta: u8,
}

impl<'a> Payload<'a> {
    /// True if a media object begins in this payload. The offset field of a compressed payload is
    /// a time and every such payload begins objects.
    // ASF-38
    pub fn starts_object(&self) -> bool {
        self.compressed.is_some() || self.offset == 0
    }

    /// The payload with its head, as it lies in the packet.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// The objects of a compressed payload; nothing for other payloads. Ends early where a length
    /// byte reaches past the payload.
    // ASF-31
    pub fn sub_objects(&self) -> SubObjects<'a> {
        let (rest, next) = match self.compressed {
            Some(c) => (self.data, c),
            None => (
                &[][..],
                Compressed {
                    presentation: 0,
                    delta: 0,
                },
            ),
        };
        SubObjects {
            rest,
            number: self.object_number,
            next,
        }
    }
}

/// One object of a compressed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubObject<'a> {
    /// Media object number, modulo 2^32; compare modulo 256 where the field is a BYTE.
    pub object_number: u32,
    /// ms, preroll included.
    pub presentation: u32,
    /// The whole object.
    pub data: &'a [u8],
}

/// Iterator over the objects of a compressed payload.
#[derive(Clone, Debug)]
pub struct SubObjects<'a> {
    rest: &'a [u8],
    number: u32,
    next: Compressed,
}

impl SubObjects<'_> {
    /// True if every byte was part of an object: asked after the iterator has ended.
    pub fn is_complete(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for SubObjects<'a> {
    type Item = SubObject<'a>;

    fn next(&mut self) -> Option<SubObject<'a>> {
        let (&len, rest) = self.rest.split_first()?;
        let data = rest.get(..usize::from(len))?;
        self.rest = rest.get(usize::from(len)..)?;
        let object = SubObject {
            object_number: self.number,
            presentation: self.next.presentation,
            data,
        };
        self.number = self.number.wrapping_add(1);
        self.next.presentation = self
            .next
            .presentation
            .wrapping_add(u32::from(self.next.delta));
        Some(object)
    }
}

/// Everything up to the first payload; `payloads_end` is still where payloads may end at most.
fn parse_head(bytes: &[u8]) -> Result<Packet<'_>, Error> {
    let flags_at = error_correction_len(bytes)?;
    let length_flags = byte(bytes, flags_at)?;
    let property_flags = byte(bytes, flags_at + 1)?;
    if property_flags >> 6 != 1 {
        return Err(value(
            flags_at + 1,
            "stream number type",
            u32::from(property_flags >> 6),
        ));
    }
    // ASF-26
    let mut at = flags_at + 2;
    let length = field(bytes, &mut at, length_flags >> 5)?;
    let sequence = field(bytes, &mut at, length_flags >> 1)?;
    let padding = field(bytes, &mut at, length_flags >> 3)?;
    let times_at = at;
    let send_time = field(bytes, &mut at, 3)?;
    let duration = field(bytes, &mut at, 2)? as u16;
    let multiple = length_flags & 1 != 0;
    let (payload_count, payload_length_code) = if multiple {
        let flags = byte(bytes, at)?;
        at += 1;
        payload_flags(flags, at - 1)?
    } else {
        (1, 0)
    };
    let explicit_length = (length_flags >> 5 & 3 != 0).then_some(length);
    let end = match explicit_length {
        None => bytes.len(),
        Some(n) if (at..=bytes.len()).contains(&(n as usize)) => n as usize,
        Some(n) => return Err(value(flags_at + 2, "packet length", n)),
    };
    let payloads_end = end
        .checked_sub(padding as usize)
        .filter(|&e| e >= at)
        .ok_or_else(|| past_end(at, "padding", padding as usize, end - at))?;
    // The head is at most 16 + 2 + 3 * 4 + 6 + 1 bytes, so its places fit in a byte.
    Ok(Packet {
        bytes,
        flags_at: flags_at as u8,
        times_at: times_at as u8,
        first_at: at as u8,
        payload_count,
        multiple,
        length_flags,
        property_flags,
        payload_length_code,
        explicit_length,
        sequence,
        send_time,
        duration,
        payloads_end: payloads_end as u32,
    })
}

/// Bytes of error-correction flags and data; they are there if bit 7 of the first byte is set.
// ASF-25
fn error_correction_len(bytes: &[u8]) -> Result<usize, Error> {
    let flags = byte(bytes, 0)?;
    if flags & 0x80 == 0 {
        return Ok(0);
    }
    if flags & 0x60 != 0 {
        return Err(value(
            0,
            "error correction length type",
            u32::from(flags >> 5 & 3),
        ));
    }
    if flags & 0x10 != 0 {
        return Err(Error::at(0, Reason::OpaqueData));
    }
    Ok(1 + usize::from(flags & 0x0F))
}

/// Payload count and the code of the payload length's size.
// ASF-29
fn payload_flags(flags: u8, at: usize) -> Result<(u8, u8), Error> {
    let count = flags & 0x3F;
    if count == 0 {
        return Err(value(at, "payload count", 0));
    }
    let code = flags >> 6;
    // Without lengths only a single payload has an end.
    if code == 0 && count > 1 {
        return Err(value(at, "payload length type", 0));
    }
    Ok((count, code))
}

/// One payload at `at`; `bytes` end where payloads must end.
// ASF-27, ASF-30, ASF-32
fn read_payload(
    bytes: &[u8],
    start: usize,
    properties: u8,
    length_code: u8,
) -> Result<Payload<'_>, Error> {
    let mut at = start;
    let stream = byte(bytes, at)?;
    at += 1;
    let object_number = field(bytes, &mut at, properties >> 4)?;
    let offset = field(bytes, &mut at, properties >> 2)?;
    let replicated_at = at;
    let replicated_len = field(bytes, &mut at, properties)? as usize;
    let replicated = slice(bytes, &mut at, replicated_len, "replicated data")?;
    let data = if length_code == 0 {
        // ASF-28
        let n = bytes.len() - at;
        slice(bytes, &mut at, n, "payload")?
    } else {
        let n = field(bytes, &mut at, length_code)? as usize;
        slice(bytes, &mut at, n, "payload")?
    };
    let mut payload = Payload {
        stream: stream & 0x7F,
        key: stream & 0x80 != 0,
        object_number,
        offset,
        compressed: None,
        object_size: None,
        presentation: None,
        extensions: &[],
        data,
        start,
        end: at,
    };
    match *replicated {
        [] => {}
        [delta] => {
            payload.offset = 0;
            payload.presentation = Some(offset);
            payload.compressed = Some(Compressed {
                presentation: offset,
                delta,
            });
        }
        [s0, s1, s2, s3, t0, t1, t2, t3, ref extensions @ ..] => {
            payload.object_size = Some(u32::from_le_bytes([s0, s1, s2, s3]));
            payload.presentation = Some(u32::from_le_bytes([t0, t1, t2, t3]));
            payload.extensions = extensions;
        }
        _ => {
            return Err(value(
                replicated_at,
                "replicated data length",
                replicated_len as u32,
            ));
        }
    }
    Ok(payload)
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Error> {
    bytes.get(at).copied().ok_or_else(|| {
        Error::at(
            at as u64,
            Reason::Truncated {
                need: 1,
                have: bytes.len().saturating_sub(at) as u64,
            },
        )
    })
}

/// A field whose size is given by two bits of a code: absent (reads as 0), BYTE, WORD, DWORD.
#[inline]
fn field(bytes: &[u8], at: &mut usize, code: u8) -> Result<u32, Error> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let (value, size) = match (code & 3, rest) {
        (0, _) => (0, 0),
        (1, [a, ..]) => (u32::from(*a), 1),
        (2, [a, b, ..]) => (u32::from(u16::from_le_bytes([*a, *b])), 2),
        (3, [a, b, c, d, ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), 4),
        (code, _) => {
            return Err(Error::at(
                *at as u64,
                Reason::Truncated {
                    need: field_size(code) as u64,
                    have: rest.len() as u64,
                },
            ));
        }
    };
    *at += size;
    Ok(value)
}

/// Bytes of a field by its type code.
pub(super) const fn field_size(code: u8) -> usize {
    match code & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    }
}

fn slice<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    len: usize,
    what: &'static str,
) -> Result<&'a [u8], Error> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let taken = rest
        .get(..len)
        .ok_or_else(|| past_end(*at, what, len, rest.len()))?;
    *at += len;
    Ok(taken)
}

/// A part whose ends were checked before; empty if they were not.
pub(super) fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

fn past_end(at: usize, what: &'static str, need: usize, have: usize) -> Error {
    Error::at(
        at as u64,
        Reason::PastEnd {
            what,
            need: need as u64,
            have: have as u64,
        },
    )
}

fn value(at: usize, field: &'static str, value: u32) -> Error {
    Error::at(
        at as u64,
        Reason::Value {
            field,
            value: u64::from(value),
        },
    )
}
