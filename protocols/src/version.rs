//! Version numbers as clients and servers announce them.

use std::fmt;

/// `major.minor`, compared as numbers: `9.00`, `9.0` and `9` are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
}

impl Version {
    /// Make one.
    pub const fn new(major: u16, minor: u16) -> Version {
        Version { major, minor }
    }

    /// Read `major[.minor]` at the start of `text`; whatever follows is ignored. Numbers that are
    /// too large count as 65535.
    pub fn parse(text: &str) -> Option<Version> {
        let (major, rest) = leading_number(text)?;
        let minor = rest
            .strip_prefix('.')
            .and_then(leading_number)
            .map_or(0, |(n, _)| n);
        Some(Version { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

fn leading_number(text: &str) -> Option<(u16, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let first = digits.chars().next()?;
    debug_assert!(first.is_ascii_digit());
    let n = digits.bytes().fold(0u16, |n, d| {
        n.saturating_mul(10).saturating_add(u16::from(d - b'0'))
    });
    Some((n, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(Version::parse("9.00.00.3372"), Some(Version::new(9, 0)));
        assert_eq!(Version::parse("9"), Some(Version::new(9, 0)));
        assert_eq!(Version::parse("9.01.01.3841"), Some(Version::new(9, 1)));
        assert_eq!(
            Version::parse("99999999.1"),
            Some(Version::new(u16::MAX, 1))
        );
        assert_eq!(Version::parse("x9"), None);
        assert!(Version::new(10, 0) > Version::new(9, 6));
        assert!(Version::new(7, 10) > Version::new(7, 1));
    }
}
