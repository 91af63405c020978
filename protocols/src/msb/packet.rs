//! What is in a datagram (MS-MSB 2.2.3, 2.2.4; msb-nsc.md 2).

/// "The sender is alive and may send later": the whole datagram.
// MSB-03
pub const BEACON: [u8; 4] = *b"MSB ";

/// Bytes in front of the ASF packet.
pub const HEAD_LEN: usize = 8;

/// Largest UDP payload over IPv4.
pub const DATAGRAM_LEN_MAX: usize = 65_507;

/// Largest ASF packet that fits in a datagram over IPv4, and so over both versions of IP.
pub const ASF_PACKET_LEN_MAX: usize = DATAGRAM_LEN_MAX - HEAD_LEN;

/// Format IDs are smaller than this.
pub const FORMAT_ID_COUNT: u16 = 1 << 11;

/// Bits of wStreamID.
mod bits {
    pub(super) const FORMAT: u16 = 0x07FF;
    pub(super) const ZERO: u16 = 0x7800;
    pub(super) const TOGGLE: u16 = 0x8000;
}

/// Largest ASF packet that leaves unfragmented where links take `mtu` bytes; IP options not counted.
pub const fn unfragmented_len_max(mtu: u16, is_v6: bool) -> usize {
    let around = if is_v6 { 40 } else { 20 } + 8 + HEAD_LEN;
    (mtu as usize).saturating_sub(around)
}

/// wStreamID: which header, and which of two successive streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u16);

impl StreamId {
    /// Of a format and a toggle; only the low 11 bits of `format` count.
    // MSB-08, MSB-10
    pub const fn new(format: u16, toggle: bool) -> StreamId {
        let toggle = if toggle { bits::TOGGLE } else { 0 };
        StreamId(format & bits::FORMAT | toggle)
    }

    /// As it stands in the packet; `None` if bits are set that must be zero.
    pub const fn from_bits(value: u16) -> Option<StreamId> {
        match value & bits::ZERO {
            0 => Some(StreamId(value)),
            _ => None,
        }
    }

    /// As it stands in the packet.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The format's 11-bit number.
    pub const fn format(self) -> u16 {
        self.0 & bits::FORMAT
    }

    /// Flips with every playlist entry.
    pub const fn toggle(self) -> bool {
        self.0 & bits::TOGGLE != 0
    }
}

/// A packet as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsbPacket<'a> {
    /// dwPacketID: counts data packets modulo 2^32; a parity packet repeats that of the packet before it.
    pub id: u32,
    /// wStreamID.
    pub stream: StreamId,
    /// One whole ASF packet, or parity; never empty.
    pub asf: &'a [u8],
}

/// A datagram that belongs to MSB, or at least to its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// The sender is alive.
    Beacon,
    /// A packet.
    Packet(MsbPacket<'a>),
    /// A packet of MSBD that was sent to a group.
    Msbd,
}

/// Why a datagram is not ours (msb-nsc.md 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// Shorter than any packet.
    #[error("{0} bytes are no packet")]
    Short(usize),
    /// wPacketSize differs from what came.
    #[error("wPacketSize is {stated}, {len} bytes came")]
    Size {
        /// wPacketSize.
        stated: u16,
        /// Bytes of the datagram.
        len: usize,
    },
    /// Nothing behind the head.
    #[error("no ASF packet behind the head")]
    Empty,
    /// Bits 11 to 14 of wStreamID are not zero.
    #[error("wStreamID {0:#06x} has bits set that must be zero")]
    StreamId(u16),
}

/// Say what a datagram is.
///
/// # Errors
/// If it is nothing of MSB.
// MSB-01, MSB-65
pub fn classify(bytes: &[u8]) -> Result<Datagram<'_>, Foreign> {
    // MSB-66: dwPacketID may come to look like a beacon.
    if bytes == BEACON {
        return Ok(Datagram::Beacon);
    }
    if is_msbd_packet(bytes) {
        return Ok(Datagram::Msbd);
    }
    let [i0, i1, i2, i3, s0, s1, l0, l1, asf @ ..] = bytes else {
        return Err(Foreign::Short(bytes.len()));
    };
    let stated = u16::from_le_bytes([*l0, *l1]);
    if usize::from(stated) != bytes.len() {
        let len = bytes.len();
        return Err(Foreign::Size { stated, len });
    }
    let stream = u16::from_le_bytes([*s0, *s1]);
    let stream = StreamId::from_bits(stream).ok_or(Foreign::StreamId(stream))?;
    if asf.is_empty() {
        return Err(Foreign::Empty);
    }
    Ok(Datagram::Packet(MsbPacket {
        id: u32::from_le_bytes([*i0, *i1, *i2, *i3]),
        stream,
        asf,
    }))
}

/// Append the head of a packet; `asf_len` is at most [`ASF_PACKET_LEN_MAX`].
// MSB-01, MSB-11
pub fn put_head(id: u32, stream: StreamId, asf_len: usize, out: &mut Vec<u8>) {
    let size = u16::try_from(HEAD_LEN + asf_len).unwrap_or(u16::MAX);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&stream.bits().to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
}

/// Clear what the error-correction data of an ASF packet say: it meant something to its group only, and
/// some players skip packets whose data differ.
// MSB-31, MSB-67
pub fn clear_correction(asf: &mut [u8]) {
    if let Some(flags) = asf.first().copied().filter(|flags| flags & 0x80 != 0)
        && let Some(data) = asf.get_mut(1..1 + usize::from(flags & 0x0F))
    {
        data.fill(0);
    }
}

/// How much later `id` is than `from`; negative if earlier.
// MSB-72
pub const fn distance(from: u32, id: u32) -> i32 {
    id.wrapping_sub(from).cast_signed()
}

/// MSB_MSG_IND_PACKET of MSBD: its mark, version 1.6, message 0x000A, and its own length.
fn is_msbd_packet(bytes: &[u8]) -> bool {
    const START: [u8; 8] = *b"MSB \x06\x01\x0A\x00";
    let len = match bytes.strip_prefix(&START) {
        Some([a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => return false,
    };
    bytes.len() >= 24 && len as usize == bytes.len()
}
