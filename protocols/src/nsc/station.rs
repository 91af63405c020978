//! A station: a group, and what is sent to it.

use super::FormatIds;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// What a station file says. Properties that are absent are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Machine and publishing point, for people.
    pub name: Option<String>,
    /// From where datagrams come, as receivers see it: behind a translator of addresses its outer one.
    // NSC-33
    pub adapter: Option<IpAddr>,
    /// To where they go; its port is not 0.
    pub group: SocketAddr,
    /// Hops that datagrams may make.
    pub ttl: Option<u8>,
    /// Most data packets in a cycle of error correction.
    pub default_ecc: Option<u32>,
    /// Where logs go, `http://`.
    pub log_url: Option<String>,
    /// Where the same can be had without multicast.
    pub unicast_url: Option<String>,
    /// May be sent on to others.
    pub allow_splitting: Option<bool>,
    /// May be kept by caches.
    pub allow_caching: Option<bool>,
    /// How long a cache may keep it, seconds.
    pub cache_expiration_s: Option<u32>,
    /// How long receivers gather against jitter, ms; what decoders need comes on top.
    // NSC-27
    pub network_buffer_ms: Option<u32>,
    /// The headers of what is sent; at least one.
    pub formats: Vec<Format>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Names it in packets; below 2048, unique in the station.
    pub id: u16,
    /// Header Object and the first 50 bytes of the Data Object.
    pub header: Bytes,
    /// For people.
    pub description: Option<String>,
}

impl Station {
    /// Hops if nothing else is said.
    pub const TTL_DEFAULT: u8 = 32;
    /// ms of [`Station::network_buffer_ms`] if nothing else is said.
    pub const BUFFER_MS_DEFAULT: u32 = 500;
    /// Seconds of [`Station::cache_expiration_s`] if nothing else is said.
    pub const CACHE_EXPIRATION_S_DEFAULT: u32 = 86_400;

    /// A group with these headers and what is usual: error correction as recommended, not to be cached.
    // MSB-37, NSC-22, NSC-26, NSC-30
    pub fn new(group: SocketAddr, formats: &FormatIds) -> Station {
        let format = |(id, header): (u16, &Bytes)| Format {
            id,
            header: header.clone(),
            description: None,
        };
        Station {
            name: None,
            adapter: None,
            group,
            ttl: Some(Station::TTL_DEFAULT),
            default_ecc: Some(crate::msb::fec::SPAN_DEFAULT.into()),
            log_url: None,
            unicast_url: None,
            allow_splitting: Some(true),
            allow_caching: Some(false),
            cache_expiration_s: Some(Station::CACHE_EXPIRATION_S_DEFAULT),
            network_buffer_ms: Some(Station::BUFFER_MS_DEFAULT),
            formats: formats.iter().map(format).collect(),
        }
    }

    /// The header of a Format ID.
    pub fn header(&self, id: u16) -> Option<&Bytes> {
        self.formats.iter().find(|f| f.id == id).map(|f| &f.header)
    }
}
