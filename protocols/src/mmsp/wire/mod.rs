//! Bytes of the protocol (mmsp.md 2): messages in packets, Data packets, requests for resends.
//!
//! Generous in reading: packets are framed by messageLength alone, reserved fields are not looked at.
//! Exact in writing: one message in each packet, all fields as in the reference.

mod data;
mod fields;
mod reader;
mod to_client;
mod to_server;

pub use data::{Fragments, RESEND_SEQUENCES_MAX, fragments, split_data};
pub use fields::Fields;
pub use reader::{Item, Reader};
pub use to_server::Asks;

use crate::machine::Fault;
use fields::Put;

/// sessionId of every packet (MMSP-02).
pub const SESSION_ID: u32 = 0xB00B_FACE;
/// seal: `MMS `.
pub const SEAL: u32 = 0x2053_4D4D;
/// Bytes of TcpMessageHeader.
pub const HEADER_LEN: usize = 32;
/// Bytes of the whole packet that messageLength does not count.
const UNCOUNTED: usize = 16;
/// Smallest messageLength: a message with no fields.
const MESSAGE_LENGTH_MIN: usize = 24;
/// Largest messageLength that is accepted.
pub const MESSAGE_LENGTH_MAX: usize = 65_536;
/// Largest packet that is accepted, bytes.
pub const PACKET_MAX: usize = MESSAGE_LENGTH_MAX + UNCOUNTED;
/// Largest payload of a Data packet over TCP, bytes.
pub const DATA_PAYLOAD_MAX_TCP: usize = 65_527;
/// Largest payload of a Data packet over UDP, bytes.
pub const DATA_PAYLOAD_MAX_UDP: usize = 65_499;

const REVISION_TO_CLIENT: u32 = 0x0004_000B;
const REVISION_TO_SERVER: u32 = 0x0003_001C;
const MAX_BIT_RATE: u32 = 10_000_000;

/// playIncarnation with which packet pairs are asked for and offered in Connect, and where they are not.
pub mod incarnation {
    /// Connect, ReportConnectedEX: packet pair possible.
    pub const PAIR: u32 = 0xF0F0_F0F0;
    /// Anywhere: no packet pair.
    pub const NO_PAIR: u32 = 0xF0F0_F0EF;
    /// FunnelInfo: over TCP.
    pub const PAIR_TCP: u32 = 0xF0F0_F0F1;
    /// FunnelInfo: over UDP.
    pub const PAIR_UDP: u32 = 0xF0F0_F901;
    /// Header and media Data packets of an entry that the server began by itself.
    pub const ENTRY: u8 = 0xFF;
}

/// A set of messages, of one direction.
pub trait Message: Sized {
    /// High word of its MIDs.
    const TO: u16;
    /// True if Data packets stand between packets of this direction.
    const WITH_DATA: bool;
    /// Its MID.
    fn mid(&self) -> u32;
    /// Append the fields behind the MID, without padding.
    fn put(&self, out: &mut Vec<u8>);
    /// Read one; `None`: a MID that is not known (MMSP-11).
    ///
    /// # Errors
    /// Says where it ends early, or what is impossible in it.
    fn read(mid: u32, fields: &Fields<'_>) -> Result<Option<Self>, Fault>;
}

/// Bytes of one message, with its padding (MMSP-07).
pub fn message(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put_message(message, &mut out);
    out
}

/// Bytes of one packet that carries one message (MMSP-02, MMSP-03, MMSP-04, MMSP-08, MMSP-09). `seq` counts the packets of
/// the direction and wraps (MMSP-05); `time_ms` is counted from the direction's first packet.
pub fn packet(message: &impl Message, seq: u16, time_ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.zeros(HEADER_LEN);
    put_message(message, &mut out);
    let length = u32::try_from(out.len() - UNCOUNTED).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(HEADER_LEN);
    // rep, version, versionMinor, padding
    head.u32(1);
    head.u32s(&[SESSION_ID, length, SEAL, length / 8, u32::from(seq)]);
    head.u64(time_ms);
    out[..HEADER_LEN].copy_from_slice(&head);
    out
}

fn put_message(message: &impl Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.u32s(&[0, message.mid()]);
    message.put(out);
    let len = (out.len() - start).next_multiple_of(8);
    out.resize(start + len, 0);
    let chunks = u32::try_from(len / 8).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&chunks.to_le_bytes());
}

/// Read one message that stands alone, from its chunkLen on.
///
/// # Errors
/// Says where it ends early, or what is impossible in it.
pub fn read_message<M: Message>(bytes: &[u8]) -> Result<Option<M>, Fault> {
    let fields = Fields::new(bytes, 0);
    M::read(fields.u32(4, "MID")?, &fields)
}
