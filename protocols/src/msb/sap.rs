//! Announcing a station to session directories: SAP packets (RFC 2974) that carry a description (SDP).
//!
//! MSB has no name in SDP, so the description says where the group is and who sends, and points to the
//! station file, without which nobody can play it.

use crate::nsc::Station;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// UDP port of announcements.
pub const PORT: u16 = 9875;

/// TTL of announcements (RFC 2974, 3).
pub const TTL: u8 = 255;

/// Largest announcement that should be sent; more would be fragmented somewhere (RFC 2974, 6).
pub const LEN_MAX: usize = 1024;

/// What a payload is said to be.
const PAYLOAD_TYPE: &str = "application/sdp";

/// Bits of the first byte.
mod bits {
    pub(super) const VERSION_1: u8 = 1 << 5;
    pub(super) const VERSION: u8 = 7 << 5;
    pub(super) const IPV6: u8 = 1 << 4;
    pub(super) const DELETION: u8 = 1 << 2;
    pub(super) const ENCRYPTED: u8 = 1 << 1;
    pub(super) const COMPRESSED: u8 = 1;
}

/// An announcement, or the word that one is no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who announces.
    pub origin: IpAddr,
    /// Tells the versions of descriptions of one origin apart; not 0.
    pub hash: u16,
    /// It is taken back.
    pub is_deletion: bool,
    /// The description; of a deletion its `o=` line alone.
    pub sdp: String,
}

/// Why a packet is no announcement that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SapError {
    /// It ends too early.
    #[error("{0} bytes are too few for an announcement")]
    Short(usize),
    /// Another version than 1.
    #[error("version {0} of announcements is not known")]
    Version(u8),
    /// Encrypted or compressed.
    #[error("the announcement is encrypted or compressed")]
    Packed,
    /// Something else than a description.
    #[error("the announcement does not carry SDP")]
    Payload,
}

impl Announcement {
    /// Announce a description.
    pub fn new(origin: IpAddr, sdp: String) -> Announcement {
        Announcement {
            origin,
            hash: hash(&sdp),
            is_deletion: false,
            sdp,
        }
    }

    /// Take it back: the same origin and hash, and the line that names the session.
    pub fn deletion(&self) -> Announcement {
        let line = self.sdp.lines().find(|line| line.starts_with("o="));
        Announcement {
            is_deletion: true,
            sdp: line.map_or(String::new(), |line| format!("{line}\r\n")),
            ..self.clone()
        }
    }

    /// The packet.
    pub fn emit(&self) -> Vec<u8> {
        let mut flags = bits::VERSION_1;
        if self.is_deletion {
            flags |= bits::DELETION;
        }
        let mut out = Vec::with_capacity(40 + self.sdp.len());
        match self.origin {
            IpAddr::V4(ip) => {
                out.extend_from_slice(&[flags, 0]);
                out.extend_from_slice(&self.hash.to_be_bytes());
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.extend_from_slice(&[flags | bits::IPV6, 0]);
                out.extend_from_slice(&self.hash.to_be_bytes());
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(PAYLOAD_TYPE.as_bytes());
        out.push(0);
        out.extend_from_slice(self.sdp.as_bytes());
        out
    }

    /// Read a packet. Authentication is skipped, not checked.
    ///
    /// # Errors
    /// If it is none, or carries something else than a description.
    pub fn parse(bytes: &[u8]) -> Result<Announcement, SapError> {
        let short = SapError::Short(bytes.len());
        let [flags, auth_words, h0, h1, rest @ ..] = bytes else {
            return Err(short);
        };
        if flags & bits::VERSION != bits::VERSION_1 {
            return Err(SapError::Version(flags >> 5));
        }
        if flags & (bits::ENCRYPTED | bits::COMPRESSED) != 0 {
            return Err(SapError::Packed);
        }
        let (origin, rest) = if flags & bits::IPV6 == 0 {
            let (ip, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
        } else {
            let (ip, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
        };
        let rest = rest.get(4 * usize::from(*auth_words)..).ok_or(short)?;
        Ok(Announcement {
            origin,
            hash: u16::from_be_bytes([*h0, *h1]),
            is_deletion: flags & bits::DELETION != 0,
            sdp: crate::wmlog::text(payload(rest)?).into_owned(),
        })
    }
}

/// A payload without its type, which descriptions may lack.
fn payload(bytes: &[u8]) -> Result<&[u8], SapError> {
    if [&b"v="[..], b"o="]
        .iter()
        .any(|start| bytes.starts_with(start))
    {
        return Ok(bytes);
    }
    let end = bytes.iter().position(|b| *b == 0);
    let (kind, rest) = bytes.split_at(end.ok_or(SapError::Payload)?);
    match kind.eq_ignore_ascii_case(PAYLOAD_TYPE.as_bytes()) {
        true => Ok(rest.get(1..).unwrap_or_default()),
        false => Err(SapError::Payload),
    }
}

/// Where a session's announcements go: they have its group's scope (RFC 2974, 3).
pub fn group_for(session: IpAddr) -> SocketAddr {
    let group = match session {
        // Organization-local and site-local scope (RFC 2365): the scope's highest address.
        IpAddr::V4(ip) => match ip.octets() {
            [239, 192..=195, ..] => Ipv4Addr::new(239, 195, 255, 255).into(),
            [239, 255, ..] => Ipv4Addr::new(239, 255, 255, 255).into(),
            _ => IpAddr::V4(Ipv4Addr::new(224, 2, 127, 254)),
        },
        IpAddr::V6(ip) => {
            let scope = ip.segments().first().map_or(0xE, |s| s & 0xF);
            IpAddr::V6(Ipv6Addr::new(0xFF00 | scope, 0, 0, 0, 0, 0, 2, 0x7FFE))
        }
    };
    SocketAddr::new(group, PORT)
}

/// How long to the next announcement, where all of the scope together may take 4000 bit/s (RFC 2974, 3.1).
/// `heard_bytes` are those of every session that is announced there, this one included; `dice` is
/// uniformly distributed, so that not all announce at once.
pub fn interval(heard_bytes: u64, dice: u32) -> Duration {
    const BITS_PER_SECOND: u64 = 4000;
    const LEAST_MS: u64 = 300_000;
    let base = (heard_bytes.saturating_mul(8000) / BITS_PER_SECOND).max(LEAST_MS);
    // From two thirds to four thirds of it.
    let span = base / 3 * 2;
    Duration::from_millis(base - base / 3 + span * u64::from(dice) / u64::from(u32::MAX))
}

/// What a description says beside the station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Where the sender is.
    pub origin: IpAddr,
    /// Names the session at its origin for good.
    pub id: u64,
    /// Grows with every change of the description.
    pub version: u64,
    /// URL of the station file.
    pub nsc_url: &'a str,
    /// bit/s of the group, 0 unknown.
    pub bit_rate: u64,
}

/// The description of a station.
pub fn describe(station: &Station, session: &Session<'_>) -> String {
    let family = |ip: IpAddr| if ip.is_ipv4() { "IP4" } else { "IP6" };
    let group = station.group.ip();
    let ttl = match (group, station.ttl) {
        // IPv6 has no TTL in SDP; IPv4 must have one.
        (IpAddr::V6(_), _) => String::new(),
        (IpAddr::V4(_), ttl) => format!("/{}", ttl.unwrap_or(Station::TTL_DEFAULT)),
    };
    let Session {
        origin,
        id,
        version,
        ..
    } = session;
    let name = station.name.as_deref().map(one_line);
    let mut sdp = String::from("v=0\r\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = sdp.write_fmt(text);
        sdp.push_str("\r\n");
    };
    line(format_args!(
        "o=- {id} {version} IN {} {origin}",
        family(*origin)
    ));
    // A session must have a name.
    let name = name.filter(|n| !n.is_empty());
    line(format_args!("s={}", name.as_deref().unwrap_or("-")));
    line(format_args!("u={}", one_line(session.nsc_url)));
    line(format_args!("c=IN {} {group}{ttl}", family(group)));
    if session.bit_rate > 0 {
        line(format_args!("b=AS:{}", session.bit_rate.div_ceil(1000)));
    }
    line(format_args!("t=0 0"));
    line(format_args!("a=type:broadcast"));
    line(format_args!("a=recvonly"));
    let port = station.group.port();
    line(format_args!("m=application {port} udp x-ms-msb"));
    sdp
}

/// Text without what would end its line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// FNV-1a, folded to what the packet has room for; 0 means "unknown" there.
fn hash(sdp: &str) -> u16 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = sdp.bytes().fold(0x811C_9DC5, step);
    match (hash >> 16 ^ hash) as u16 {
        0 => 1,
        hash => hash,
    }
}
