//! Bytes of the protocol (msbd.md 2): messages, each behind the same sixteen bytes.
//!
//! Generous in reading: what nobody needs is not looked at. Exact in writing.

mod reader;

pub use reader::{Direction, Oddities, Reader, read_datagram};

use super::hresult;
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddrV4};

/// dwSignature (MSBD-05).
pub const SIGNATURE: [u8; 4] = *b"MSB ";
/// wVersion (MSBD-06).
pub const VERSION: u16 = 0x0106;
/// Bytes of MSBMSGBASE.
pub const BASE_LEN: usize = 16;
/// Largest cbMessage (MSBD-08).
pub const MESSAGE_LEN_MAX: usize = 0xFFFF;
/// Bytes of a packet in front of its payload.
pub const PACKET_HEAD_LEN: usize = 24;
/// Bytes of a packet's head that wPacketSize does not count.
const PACKET_UNCOUNTED: usize = 16;
/// Largest payload on a connection, bytes.
pub const PAYLOAD_LEN_MAX_TCP: usize = MESSAGE_LEN_MAX - PACKET_HEAD_LEN;
/// Largest payload in a datagram of IPv4, bytes.
pub const PAYLOAD_LEN_MAX_UDP: usize = 65_507 - PACKET_HEAD_LEN;
/// Bytes of a STREAMINFO in front of bBinaryData.
const STREAM_INFO_LEN: usize = 48;
/// Largest bBinaryData, bytes (MSBD-24).
pub const BINARY_LEN_MAX: usize = MESSAGE_LEN_MAX - STREAM_INFO_LEN;
const REQ_CONNECT_LEN: usize = 20;
const RES_CONNECT_LEN: usize = 36;
/// msDuration that is not known (MSBD-22).
const DURATION_UNKNOWN: u32 = u32::MAX;
/// sin_family of IPv4.
const AF_INET: u16 = 2;

/// wMessageId (MSBD-07).
mod id {
    pub const REQ_PING: u16 = 1;
    pub const RES_PING: u16 = 2;
    pub const REQ_STREAMINFO: u16 = 3;
    pub const RES_STREAMINFO: u16 = 4;
    pub const IND_STREAMINFO: u16 = 5;
    pub const REQ_CONNECT: u16 = 7;
    pub const RES_CONNECT: u16 = 8;
    pub const IND_EOS: u16 = 9;
    pub const IND_PACKET: u16 = 10;
}

/// dwFlags of REQ_CONNECT (MSBD-26).
pub mod flags {
    /// Media comes on the connection.
    pub const TCP: u32 = 1;
    /// Media comes to a multicast group.
    pub const MULTICAST: u32 = 2;
    /// Of RES_CONNECT: the header is in a station file, too (MSBD-31).
    pub const ANNOUNCED: u32 = 2;
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Is the client there?
    ReqPing,
    /// It is.
    ResPing,
    /// Which stream is it?
    ReqStreamInfo,
    /// That one (RES_STREAMINFO).
    ResStreamInfo(Described<'a>),
    /// It is that one from now on (IND_STREAMINFO).
    IndStreamInfo(Described<'a>),
    /// The client wants the stream.
    ReqConnect(ReqConnect<'a>),
    /// It gets it, or not.
    ResConnect(ResConnect),
    /// The stream is over.
    IndEos,
    /// A packet of it.
    IndPacket(Packet<'a>),
}

/// What a STREAMINFO says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described<'a> {
    /// There is no stream now, or no more; with the reason.
    Empty(u32),
    /// This one.
    Stream(StreamInfo<'a>),
}

/// A stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo<'a> {
    /// Its number, other than those of the playlist's other streams.
    pub stream_id: u16,
    /// Largest payload of its packets, bytes.
    pub packet_size: u16,
    /// How many packets it has; 0 unknown.
    pub total_packets: u32,
    /// bit/s.
    pub bit_rate: u32,
    /// ms; `None` unknown.
    pub duration_ms: Option<u32>,
    /// In no certain encoding.
    pub title: &'a [u8],
    /// In no certain encoding.
    pub description: &'a [u8],
    /// In no certain encoding.
    pub link: &'a [u8],
    /// ASF: the Header Object and 50 bytes of the Data Object (MSBD-25).
    pub header: &'a [u8],
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReqConnect<'a> {
    /// See [`flags`]; anything may have come.
    pub flags: u32,
    /// UTF-16LE; anything may have come.
    pub channel: &'a [u8],
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResConnect {
    /// Failure: nothing.
    pub hr: u32,
    /// [`flags::ANNOUNCED`], or 0.
    pub flags: u32,
    /// sin_family.
    pub family: u16,
    /// sin_addr and sin_port.
    pub address: SocketAddrV4,
}

/// A packet of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// dwPacketId: counts packets; parity repeats the one before.
    pub id: u32,
    /// wStreamId: of which stream.
    pub stream_id: u16,
    /// One ASF packet, with its padding.
    pub payload: &'a [u8],
}

impl<'a> ReqConnect<'a> {
    /// Name of the channel, without a terminating NUL (MSBD-28 tolerated); `None` if it is no UTF-16
    /// (MSBD-29).
    pub fn channel_name(&self) -> Option<String> {
        let pairs = self.channel.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        let units: Vec<u16> = pairs.map(|p| u16::from_le_bytes([p[0], p[1]])).collect();
        let units = units.strip_suffix(&[0]).unwrap_or(&units);
        String::from_utf16(units).ok()
    }
}

/// Bytes of a channel's name, as [`ReqConnect::channel`] wants them (MSBD-27, MSBD-28).
pub fn channel_bytes(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl ResConnect {
    /// It gets the stream: here, or from a group (MSBD-31, MSBD-32, MSBD-33).
    pub fn accepted(group: Option<SocketAddrV4>, announced: bool) -> ResConnect {
        ResConnect {
            flags: if announced { flags::ANNOUNCED } else { 0 },
            family: if group.is_some() { AF_INET } else { 0 },
            address: group.unwrap_or(UNSPECIFIED),
            ..ResConnect::refused(hresult::S_OK)
        }
    }

    /// It gets nothing.
    pub fn refused(hr: u32) -> ResConnect {
        ResConnect {
            hr,
            flags: 0,
            family: 0,
            address: UNSPECIFIED,
        }
    }

    /// The group, if a valid one is named (MSBD-32).
    pub fn group(&self) -> Option<SocketAddrV4> {
        let valid =
            self.family == AF_INET && self.address.ip().is_multicast() && self.address.port() != 0;
        valid.then_some(self.address)
    }
}

const UNSPECIFIED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

impl StreamInfo<'_> {
    fn binary(&self) -> [&[u8]; 4] {
        // MSBD-23
        [self.title, self.description, self.link, self.header]
    }

    /// True if a message can hold it (MSBD-24).
    pub fn fits(&self) -> bool {
        self.binary().iter().map(|part| part.len()).sum::<usize>() <= BINARY_LEN_MAX
    }
}

impl Message<'_> {
    /// Its bytes; `None` if it is longer than a message can be.
    // MSBD-04, MSBD-09
    pub fn bytes(&self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(64);
        self.put(&mut out)?;
        Some(out.into())
    }

    /// Append its bytes. `None`, and nothing is appended, if it is longer than a message can be.
    pub fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Message::ReqPing => base(out, id::REQ_PING, BASE_LEN, hresult::S_OK),
            Message::ResPing => base(out, id::RES_PING, BASE_LEN, hresult::S_OK),
            Message::ReqStreamInfo => base(out, id::REQ_STREAMINFO, BASE_LEN, hresult::S_OK),
            Message::IndEos => base(out, id::IND_EOS, BASE_LEN, hresult::S_OK),
            Message::ResStreamInfo(described) => put_described(out, id::RES_STREAMINFO, described),
            Message::IndStreamInfo(described) => put_described(out, id::IND_STREAMINFO, described),
            Message::ReqConnect(request) => {
                let len = REQ_CONNECT_LEN + request.channel.len();
                base(out, id::REQ_CONNECT, len, hresult::S_OK)?;
                out.extend_from_slice(&request.flags.to_le_bytes());
                out.extend_from_slice(request.channel);
                Some(())
            }
            Message::ResConnect(reply) => {
                base(out, id::RES_CONNECT, RES_CONNECT_LEN, reply.hr)?;
                out.extend_from_slice(&reply.flags.to_le_bytes());
                out.extend_from_slice(&reply.family.to_le_bytes());
                // The two that are big-endian (MSBD-32).
                out.extend_from_slice(&reply.address.port().to_be_bytes());
                out.extend_from_slice(&reply.address.ip().octets());
                out.extend_from_slice(&[0; 8]);
                Some(())
            }
            Message::IndPacket(packet) => packet.put(out),
        }
    }
}

impl Packet<'_> {
    /// Append its bytes: head and payload as they are, never put together or taken apart (MSBD-36, MSBD-37).
    /// `None`, and nothing is appended, if it is longer than a message can be.
    pub fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let len = PACKET_HEAD_LEN + self.payload.len();
        base(out, id::IND_PACKET, len, hresult::S_OK)?;
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.stream_id.to_le_bytes());
        // MSBD-43; no more than cbMessage, which fits.
        let size = (len - PACKET_UNCOUNTED) as u16;
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(self.payload);
        Some(())
    }

    /// True if it is an error correction packet: opaque data in the error correction data
    /// (MSBD-46, msbd.md 6). We send none (MSBD-45).
    pub fn is_parity(&self) -> bool {
        self.payload
            .first()
            .is_some_and(|flags| flags & 0x90 == 0x90)
    }
}

fn base(out: &mut Vec<u8>, id: u16, len: usize, hr: u32) -> Option<()> {
    let length = u32::try_from(len).ok().filter(|_| len <= MESSAGE_LEN_MAX)?;
    out.reserve(len);
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&hr.to_le_bytes());
    Some(())
}

fn put_described(out: &mut Vec<u8>, id: u16, described: &Described<'_>) -> Option<()> {
    let info = match described {
        // MSBD-53, MSBD-54
        Described::Empty(hr) => {
            base(out, id, STREAM_INFO_LEN, *hr)?;
            out.extend_from_slice(&[0; STREAM_INFO_LEN - BASE_LEN]);
            return Some(());
        }
        Described::Stream(info) => info,
    };
    let parts = info.binary();
    let len = STREAM_INFO_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    base(out, id, len, hresult::S_OK)?;
    out.extend_from_slice(&info.stream_id.to_le_bytes());
    out.extend_from_slice(&info.packet_size.to_le_bytes());
    let duration = info.duration_ms.unwrap_or(DURATION_UNKNOWN);
    for number in [info.total_packets, info.bit_rate, duration] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for part in parts {
        // Less than the message's length, which fits.
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Some(())
}
