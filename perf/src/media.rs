//! What is looked at in a packet of media, the same in all protocols.

/// Head of a packet of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// ASF packet number.
    pub location: u32,
    /// 8-bit sequence.
    pub sequence: u8,
    /// Bytes of the MMS header and its payload, as the framing or the datagram has them.
    pub frame_len: u16,
    /// PacketSize of the MMS header.
    pub size_field: u16,
    /// ms, from the ASF packet; `None`: damaged.
    pub send_time: Option<u32>,
}
