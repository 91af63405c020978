//! Ranges of addresses, for lists of who may come in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin with the same bits. An IPv4 address that came mapped into IPv6
/// (`::ffff:192.0.2.1`) counts as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// With zeros behind the bits that count.
    first: IpAddr,
    /// 0..=32 for IPv4, 0..=128 for IPv6.
    bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixFault {
    /// What stands before the slash.
    #[error("no IP address")]
    Address,
    /// What stands behind it.
    #[error("the number of bits is none from 0 to 32, or 128 for IPv6")]
    Bits,
}

impl Prefix {
    /// The addresses whose first `bits` bits are those of `address`.
    ///
    /// # Errors
    /// If an address has no so many bits.
    pub fn new(address: IpAddr, bits: u8) -> Result<Prefix, PrefixFault> {
        let first = match address {
            IpAddr::V4(ip) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
            }
            IpAddr::V6(ip) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
            }
            _ => return Err(PrefixFault::Bits),
        };
        Ok(Prefix { first, bits })
    }

    /// This address alone.
    pub fn of(address: IpAddr) -> Prefix {
        let first = address.to_canonical();
        let bits = if first.is_ipv4() { 32 } else { 128 };
        Prefix { first, bits }
    }

    /// True if the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && Prefix::new(address, self.bits).is_ok_and(|p| p.first == self.first)
    }
}

impl FromStr for Prefix {
    type Err = PrefixFault;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone.
    fn from_str(text: &str) -> Result<Prefix, PrefixFault> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address = address.parse().map_err(|_| PrefixFault::Address)?;
        match bits {
            None => Ok(Prefix::of(address)),
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                Prefix::new(address, bits.parse().map_err(|_| PrefixFault::Bits)?)
            }
            Some(_) => Err(PrefixFault::Bits),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(prefix: &str, address: &str) -> bool {
        let prefix: Prefix = prefix.parse().unwrap();
        prefix.contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_in_their_ranges() {
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("192.0.2.77/25", "192.0.2.1"));
        assert!(contains("0.0.0.0/0", "255.1.2.3"));
        assert!(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.2"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
    }

    #[test]
    fn versions_of_ip_are_kept_apart_but_for_mapped_addresses() {
        assert!(!contains("::/0", "192.0.2.1") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(contains("::ffff:192.0.2.9", "192.0.2.9"));
    }

    #[test]
    fn texts() {
        let text = |text: &str| text.parse::<Prefix>().map(|p| p.to_string());
        assert_eq!(text(" 192.0.2.7/24 ").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(text("::1").as_deref(), Ok("::1/128"));
        for bad in ["", "/8", "host/8", "1.2.3/8"] {
            assert_eq!(text(bad), Err(PrefixFault::Address), "{bad}");
        }
        for bad in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "::1/129", "::1/999"] {
            assert_eq!(text(bad), Err(PrefixFault::Bits), "{bad}");
        }
    }
}
