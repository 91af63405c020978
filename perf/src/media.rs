//! What is asked for and what is looked at in a packet of media, the same in all protocols.

/// Head of a packet of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// ASF packet number; `None`: not told (RTP, if it was not asked for or a packet is in pieces).
    pub location: Option<u32>,
    /// Sequence, of 8 bits but in RTP.
    pub sequence: u16,
    /// Bytes of the MMS header and its payload, as the framing or the datagram has them. What has
    /// another header is counted as if it had that.
    pub frame_len: u16,
    /// PacketSize of the MMS header; for RTP made of the length that stands before the ASF packet.
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
