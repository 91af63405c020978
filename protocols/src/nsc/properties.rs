//! The names of a station file, in the order in which they stand (MS-MSB 2.2.1.4; msb-nsc.md 9.3).

use std::ops::RangeInclusive;

/// Section of everything but the headers.
pub(super) const ADDRESS: &str = "[Address]";
/// Section of the headers.
pub(super) const FORMATS: &str = "[Formats]";
/// The only version there is.
pub(super) const VERSION: &str = "3.0";

/// A property of the station as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    Name,
    Version,
    Adapter,
    Group,
    Port,
    Ttl,
    Ecc,
    LogUrl,
    UnicastUrl,
    Splitting,
    Caching,
    CacheExpiration,
    BufferTime,
}

impl Property {
    /// All, in order.
    // NSC-06
    pub(super) const ALL: [Property; 13] = [
        Property::Name,
        Property::Version,
        Property::Adapter,
        Property::Group,
        Property::Port,
        Property::Ttl,
        Property::Ecc,
        Property::LogUrl,
        Property::UnicastUrl,
        Property::Splitting,
        Property::Caching,
        Property::CacheExpiration,
        Property::BufferTime,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Property::Name => "Name",
            Property::Version => "NSC Format Version",
            Property::Adapter => "Multicast Adapter",
            Property::Group => "IP Address",
            Property::Port => "IP Port",
            Property::Ttl => "Time To Live",
            Property::Ecc => "Default Ecc",
            Property::LogUrl => "Log URL",
            Property::UnicastUrl => "Unicast URL",
            Property::Splitting => "Allow Splitting",
            Property::Caching => "Allow Caching",
            Property::CacheExpiration => "Cache Expiration Time",
            Property::BufferTime => "Network Buffer Time",
        }
    }

    pub(super) fn of(name: &str) -> Option<Property> {
        let mut all = Property::ALL.into_iter();
        all.find(|p| p.name().eq_ignore_ascii_case(name))
    }

    /// What an integer may be; `None` for a string.
    pub(super) const fn range(self) -> Option<RangeInclusive<u32>> {
        match self {
            Property::Port => Some(1..=65_535),
            Property::Ttl => Some(0..=255),
            Property::Splitting | Property::Caching => Some(0..=1),
            Property::Ecc | Property::CacheExpiration | Property::BufferTime => Some(0..=u32::MAX),
            _ => None,
        }
    }
}

/// The start of a header's name, before its number.
pub(super) const FORMAT: &str = "Format";
/// The start of the name of a header's description, before the header's number.
pub(super) const DESCRIPTION: &str = "Description";

/// The number behind a name that begins with `start`.
pub(super) fn numbered(name: &str, start: &str) -> Option<u32> {
    let (head, number) = name.split_at_checked(start.len())?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (digits && head.eq_ignore_ascii_case(start))
        .then(|| number.parse().ok())
        .flatten()
}
