//! What is asked for and what is looked at in a packet of media, the same in all protocols.

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

/// Which player the swarm pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// A 9.x player, not pipelined.
    Nine,
    /// FFmpeg and its kin: an older NSPlayer, and over HTTP its version 1.0.
    Legacy,
}

/// What a request names.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Path and query.
    pub target: &'a str,
    /// Host header.
    pub authority: &'a str,
    /// As whom.
    pub player: Player,
    /// Number of the session, for its GUID.
    pub session: usize,
}
