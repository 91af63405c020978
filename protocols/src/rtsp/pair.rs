//! The packet pair over UDP (MS-RTSP 2.2.3.2, 3.2.5.7) and TCP (2.2.7.12). A client reads the latter
//! with [`crate::wmsp::packet::parse`].

use super::payload::PayloadHead;
use super::rtp::Header;
use crate::rate::packet_pair;
use crate::wmsp::packet::FRAME_B;
use rand_chacha::rand_core::RngCore;

/// Bytes of the payloads, of fixed sizes (RTSP-34).
pub const FIXED: [usize; 3] = [1454, 1455, 1456];
/// Bytes of the payloads for a client that tells them apart by their size modulo 3 (RTSP-35, RTSP-36).
pub const VARIABLE: [usize; 3] = [1283, 1284, 1285];
/// Least size of a payload for such a client.
pub const VARIABLE_MIN: usize = 482;

/// The three datagrams, to be sent back to back on the retransmission flow. Their payloads are random
/// and all different (RTSP-37), their timestamp is 0 (RTSP-33).
///
/// `sequence` is the first one's, of a counter of its own.
pub fn packets(
    variable_size: bool,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    rng: &mut impl RngCore,
) -> [Vec<u8>; 3] {
    let sizes = if variable_size { VARIABLE } else { FIXED };
    let mut index = 0u16;
    sizes.map(|size| {
        let header = Header {
            marker: true,
            payload_type,
            sequence: sequence.wrapping_add(index),
            timestamp: 0,
            ssrc,
        };
        let head = PayloadHead {
            key: index == 0,
            whole: true,
            // The text counts the payload alone here, and no client reads it.
            length_or_offset: size as u32,
            relative: None,
            duration: None,
            location: None,
        };
        index += 1;
        let mut packet = header.emit().to_vec();
        packet.extend_from_slice(head.emit().get(..head.wire_len()).unwrap_or(&[]));
        let start = packet.len();
        packet.resize(start + size, 0);
        if let Some(random) = packet.get_mut(start..) {
            rng.fill_bytes(random);
        }
        packet
    })
}

/// The body of TcpPacketPair, [`packet_pair::TOTAL`] bytes in all: three `$P` for a response whose head
/// has `head_len` bytes, the first to be written with it and the others each by itself (RTSP-91,
/// RTSP-92). All but the last say that another follows at once.
pub fn tcp_packets(head_len: usize, rng: &mut impl RngCore) -> [Vec<u8>; 3] {
    let mut packets = packet_pair::packets(head_len, rng);
    for packet in packets.iter_mut().take(2) {
        if let Some(frame) = packet.first_mut() {
            *frame |= FRAME_B;
        }
    }
    packets
}

/// Which packet of a set this is, for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first of three.
    First,
    /// The last but one.
    LastButOne,
    /// The last.
    Last,
}

/// The place of a packet by the bytes behind its payload header; `None` if it is none.
pub fn place(payload_len: usize) -> Option<Place> {
    if payload_len < VARIABLE_MIN {
        return None;
    }
    Some(match payload_len % 3 {
        0 => Place::LastButOne,
        1 => Place::Last,
        _ => Place::First,
    })
}
