//! A connection's bytes, and datagrams, taken apart (msbd.md 5.1, 5.3).

use super::{
    BASE_LEN, DURATION_UNKNOWN, Described, MESSAGE_LEN_MAX, Message, PACKET_HEAD_LEN,
    PACKET_UNCOUNTED, Packet, REQ_CONNECT_LEN, RES_CONNECT_LEN, ReqConnect, ResConnect, SIGNATURE,
    STREAM_INFO_LEN, StreamInfo, VERSION, id,
};
use crate::machine::Fault;
use crate::msbd::hresult;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Room that is kept when a reader has nothing to keep, bytes.
const IDLE_CAPACITY: usize = 4096;

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What a server reads.
    ToServer,
    /// What a client reads.
    ToClient,
}

/// Peculiarities that were tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Messages that nobody knows.
    pub unknown: u64,
    /// Messages of another minor version.
    pub versions: u64,
}

/// Reads messages of one direction, in any split.
#[derive(Debug)]
pub struct Reader {
    direction: Direction,
    bytes: Vec<u8>,
    start: usize,
    /// Of `start` in the byte stream.
    offset: u64,
    oddities: Oddities,
}

impl Reader {
    /// At the beginning of a connection.
    pub fn new(direction: Direction) -> Reader {
        Reader {
            direction,
            bytes: Vec::new(),
            start: 0,
            offset: 0,
            oddities: Oddities::default(),
        }
    }

    /// Append bytes that arrived. Take out what there is before the next push, so that no more than
    /// one message beyond them stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_CAPACITY {
            self.bytes = Vec::new();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are kept.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Where in the byte stream the next unread byte is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What was tolerated.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// The next message, if it is there whole.
    ///
    /// # Errors
    /// If what comes is no message, or one that is impossible: the stream cannot be followed any
    /// further.
    pub fn take(&mut self) -> Result<Option<Message<'_>>, Fault> {
        loop {
            let unread = self.bytes.get(self.start..).unwrap_or_default();
            if unread.len() < BASE_LEN {
                return Ok(None);
            }
            let base = Base::read(unread, self.offset)?;
            base.check_id(self.direction, self.offset)?;
            if unread.len() < base.len {
                return Ok(None);
            }
            let (at, offset) = (self.start, self.offset);
            self.start += base.len;
            self.offset += base.len as u64;
            self.oddities.versions += u64::from(base.version != VERSION);
            if !base.is_known() {
                self.oddities.unknown += 1;
                continue;
            }
            let fields = Fields {
                bytes: self.bytes.get(at..at + base.len).unwrap_or_default(),
                offset,
            };
            return base.message(&fields).map(Some);
        }
    }
}

/// Read what came to a group; nothing but packets do (MSBD-01).
///
/// # Errors
/// Says why it is none; it is to be dropped.
pub fn read_datagram(bytes: &[u8]) -> Result<Packet<'_>, Fault> {
    let fields = Fields { bytes, offset: 0 };
    if bytes.len() < PACKET_HEAD_LEN {
        return fields.fault(bytes.len(), "datagram ends in its head");
    }
    let base = Base::read(bytes, 0)?;
    if base.id != id::IND_PACKET {
        return fields.fault(6, format!("message {} in a datagram", base.id));
    }
    if base.len != bytes.len() {
        return fields.fault(8, "cbMessage is not the datagram's length");
    }
    packet(&fields)
}

/// MSBMSGBASE.
#[derive(Clone, Copy)]
struct Base {
    version: u16,
    id: u16,
    len: usize,
    hr: u32,
}

impl Base {
    /// From at least [`BASE_LEN`] bytes.
    fn read(bytes: &[u8], offset: u64) -> Result<Base, Fault> {
        let fields = Fields { bytes, offset };
        // MSBD-05
        if !bytes.starts_with(&SIGNATURE) {
            return fields.fault(0, "no dwSignature");
        }
        let length = fields.u32(8, "cbMessage")?;
        // MSBD-08
        let len = match usize::try_from(length) {
            Ok(len @ BASE_LEN..=MESSAGE_LEN_MAX) => len,
            _ => return fields.fault(8, format!("{length} as cbMessage")),
        };
        let version = fields.u16(4, "wVersion")?;
        if version >> 8 != VERSION >> 8 {
            return fields.fault(4, format!("{version:#06X} as wVersion"));
        }
        Ok(Base {
            version,
            id: fields.u16(6, "wMessageId")?,
            len,
            hr: fields.u32(12, "hr")?,
        })
    }

    fn is_known(&self) -> bool {
        matches!(self.id, id::REQ_PING..=id::IND_STREAMINFO | id::REQ_CONNECT..=id::IND_PACKET)
    }

    /// The message goes this way, and is long enough for what it is.
    fn check_id(&self, direction: Direction, offset: u64) -> Result<(), Fault> {
        let (to, least) = match self.id {
            id::RES_PING | id::REQ_STREAMINFO => (Direction::ToServer, BASE_LEN),
            id::REQ_CONNECT => (Direction::ToServer, REQ_CONNECT_LEN),
            // Empty ones may be of any length.
            id::REQ_PING | id::IND_EOS | id::RES_STREAMINFO | id::IND_STREAMINFO => {
                (Direction::ToClient, BASE_LEN)
            }
            id::RES_CONNECT => (Direction::ToClient, RES_CONNECT_LEN),
            id::IND_PACKET => (Direction::ToClient, PACKET_HEAD_LEN),
            _ => return Ok(()),
        };
        let fields = Fields { bytes: &[], offset };
        if to != direction {
            return fields.fault(6, format!("message {} from the wrong side", self.id));
        }
        if self.len < least {
            let (id, len) = (self.id, self.len);
            return fields.fault(8, format!("{len} as cbMessage of message {id}"));
        }
        Ok(())
    }

    fn message<'a>(&self, fields: &Fields<'a>) -> Result<Message<'a>, Fault> {
        Ok(match self.id {
            id::REQ_PING => Message::ReqPing,
            id::RES_PING => Message::ResPing,
            id::REQ_STREAMINFO => Message::ReqStreamInfo,
            id::RES_STREAMINFO => Message::ResStreamInfo(self.described(fields)?),
            id::IND_STREAMINFO => Message::IndStreamInfo(self.described(fields)?),
            id::REQ_CONNECT => Message::ReqConnect(ReqConnect {
                flags: fields.u32(16, "dwFlags")?,
                channel: fields.part(REQ_CONNECT_LEN, self.len - REQ_CONNECT_LEN, "szChannel")?,
            }),
            id::RES_CONNECT => Message::ResConnect(ResConnect {
                hr: self.hr,
                flags: fields.u32(16, "dwFlags")?,
                family: fields.u16(20, "sin_family")?,
                // sin_zero is not looked at (MSBD-34).
                address: SocketAddrV4::new(
                    Ipv4Addr::from(fields.u32(24, "sin_addr")?.swap_bytes()),
                    fields.u16(22, "sin_port")?.swap_bytes(),
                ),
            }),
            id::IND_EOS => Message::IndEos,
            _ => Message::IndPacket(packet(fields)?),
        })
    }

    /// Whether it is empty is looked at first: its fields then may be anything (MSBD-58, MSBD-62).
    fn described<'a>(&self, fields: &Fields<'a>) -> Result<Described<'a>, Fault> {
        if hresult::is_failure(self.hr) || self.len <= STREAM_INFO_LEN {
            return Ok(Described::Empty(self.hr));
        }
        let duration = fields.u32(28, "msDuration")?;
        let mut at = STREAM_INFO_LEN;
        // MSBD-60: none of them is longer than what is there. What lies behind them is nobody's.
        let mut part = |size_at, what| {
            let len = fields.u32(size_at, what)? as usize;
            let part = fields.part(at, len, what)?;
            at += len;
            Ok(part)
        };
        Ok(Described::Stream(StreamInfo {
            title: part(32, "cbTitle")?,
            description: part(36, "cbDescription")?,
            link: part(40, "cbLink")?,
            header: part(44, "cbHeader")?,
            stream_id: fields.u16(16, "wStreamId")?,
            packet_size: fields.u16(18, "cbPacketSize")?,
            total_packets: fields.u32(20, "cTotalPackets")?,
            bit_rate: fields.u32(24, "dwBitRate")?,
            duration_ms: (duration != DURATION_UNKNOWN).then_some(duration),
        }))
    }
}

/// Of a whole message of at least [`PACKET_HEAD_LEN`] bytes.
fn packet<'a>(fields: &Fields<'a>) -> Result<Packet<'a>, Fault> {
    let size = fields.u16(22, "wPacketSize")?;
    let len = fields.bytes.len();
    if usize::from(size) + PACKET_UNCOUNTED != len {
        return fields.fault(22, format!("{size} as wPacketSize in {len} bytes"));
    }
    Ok(Packet {
        id: fields.u32(16, "dwPacketId")?,
        stream_id: fields.u16(20, "wStreamId")?,
        payload: fields.part(PACKET_HEAD_LEN, len - PACKET_HEAD_LEN, "bPayload")?,
    })
}

/// Checked access to a message, whose first byte is at `offset` of the byte stream.
struct Fields<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Fields<'a> {
    fn fault<T>(&self, at: usize, reason: impl Into<String>) -> Result<T, Fault> {
        Err(Fault {
            offset: self.offset + at as u64,
            reason: reason.into(),
        })
    }

    fn part(&self, at: usize, len: usize, what: &str) -> Result<&'a [u8], Fault> {
        let part = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        match part {
            Some(part) => Ok(part),
            None => self.fault(at, format!("message ends in what {what} tells of")),
        }
    }

    fn array<const N: usize>(&self, at: usize, what: &str) -> Result<[u8; N], Fault> {
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => Ok(*bytes),
            None => self.fault(at, format!("message ends in {what}")),
        }
    }

    fn u16(&self, at: usize, what: &str) -> Result<u16, Fault> {
        self.array(at, what).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize, what: &str) -> Result<u32, Fault> {
        self.array(at, what).map(u32::from_le_bytes)
    }
}
