//! Quantities as an operator writes them: `"100ms"`, `"8MiB"`, `"3500kbit/s"`.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time, written with its unit: `ms`, `s`, `m`, `h` or `d`. A bare number is refused,
/// because nothing says whether it means seconds or milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// Whole milliseconds.
    pub const fn millis(ms: u64) -> Span {
        Span(Duration::from_millis(ms))
    }

    /// Whole seconds.
    pub const fn secs(s: u64) -> Span {
        Span(Duration::from_secs(s))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Milliseconds, saturating.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A number of bytes: a bare integer, or with `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// Kibibytes.
    pub const fn kib(n: u64) -> Size {
        Size(n << 10)
    }

    /// Mebibytes.
    pub const fn mib(n: u64) -> Size {
        Size(n << 20)
    }

    /// Gibibytes.
    pub const fn gib(n: u64) -> Size {
        Size(n << 30)
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes, saturating at the address space.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A bit rate: a bare integer in bit/s, or with `bit/s`, `kbit/s`, `Mbit/s`, `Gbit/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(pub u64);

impl BitRate {
    /// bit/s.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// bit/s, saturating, for wire fields of 32 bits.
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

const SPAN_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const RATE_UNITS: &[(&str, u64)] = &[
    ("bit/s", 1),
    ("kbit/s", 1000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
];

/// Digits, an optional fraction, a unit of the table. Exact: a fraction that does not come out
/// as a whole number of the base unit is an error, as is an overflow.
fn parse_quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let expected = || {
        let names: Vec<&str> = units.iter().map(|u| u.0).collect();
        format!(
            "\"{text}\" is not a number followed by one of {}",
            names.join(", ")
        )
    };
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(expected)?;
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim_start();
    let &(_, scale) = units.iter().find(|u| u.0 == unit).ok_or_else(expected)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
        return Err(expected());
    }
    let too_big = || format!("\"{text}\" is too large");
    let whole: u64 = whole.parse().map_err(|_| too_big())?;
    let mut value = whole.checked_mul(scale).ok_or_else(too_big)?;
    if !fraction.is_empty() {
        let digits: u64 = fraction.parse().map_err(|_| expected())?;
        let power = 10u64.pow(fraction.len() as u32);
        let part = u128::from(digits) * u128::from(scale);
        if part % u128::from(power) != 0 {
            return Err(format!(
                "\"{text}\" is not a whole number of {}",
                units[0].0
            ));
        }
        let part = u64::try_from(part / u128::from(power)).map_err(|_| too_big())?;
        value = value.checked_add(part).ok_or_else(too_big)?;
    }
    Ok(value)
}

/// The largest unit that divides the value, so that what was written is what is shown.
fn show_quantity(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut best = units[0];
    for &unit in units {
        if value != 0 && value.is_multiple_of(unit.1) && unit.1 > best.1 {
            best = unit;
        }
    }
    write!(f, "{}{}", value / best.1, best.0)
}

impl FromStr for Span {
    type Err = String;
    fn from_str(s: &str) -> Result<Span, String> {
        parse_quantity(s, SPAN_UNITS).map(Span::millis)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(s: &str) -> Result<Size, String> {
        parse_quantity(s, SIZE_UNITS).map(Size)
    }
}

impl FromStr for BitRate {
    type Err = String;
    fn from_str(s: &str) -> Result<BitRate, String> {
        parse_quantity(s, RATE_UNITS).map(BitRate)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_quantity(self.as_millis(), SPAN_UNITS, f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_quantity(self.0, SIZE_UNITS, f)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_quantity(self.0, RATE_UNITS, f)
    }
}

struct QuantityVisitor<T> {
    what: &'static str,
    bare: Option<fn(u64) -> T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for QuantityVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
        v.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<T, E> {
        match self.bare {
            Some(make) => Ok(make(v)),
            None => Err(E::custom(format!(
                "{v} has no unit; expected {}",
                self.what
            ))),
        }
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<T, E> {
        match u64::try_from(v) {
            Ok(v) => self.visit_u64(v),
            Err(_) => Err(E::custom(format!(
                "{v} is negative; expected {}",
                self.what
            ))),
        }
    }
}

macro_rules! quantity_serde {
    ($type:ident, $what:literal, $bare:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                d.deserialize_any(QuantityVisitor {
                    what: $what,
                    bare: $bare,
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    };
}

quantity_serde!(Span, "a duration such as \"100ms\", \"2s\" or \"5m\"", None);
quantity_serde!(
    Size,
    "a size such as \"64KiB\" or \"8MiB\", or a number of bytes",
    Some(Size)
);
quantity_serde!(
    BitRate,
    "a bit rate such as \"3500kbit/s\", or a number of bit/s",
    Some(BitRate)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_reads_as_its_multiple() {
        assert_eq!("100ms".parse(), Ok(Span::millis(100)));
        assert_eq!("2s".parse(), Ok(Span::secs(2)));
        assert_eq!("1.5s".parse(), Ok(Span::millis(1500)));
        assert_eq!("5m".parse(), Ok(Span::secs(300)));
        assert_eq!("1d".parse(), Ok(Span::secs(86_400)));
        assert_eq!("8MiB".parse(), Ok(Size(8_388_608)));
        assert_eq!("64 KiB".parse(), Ok(Size(65_536)));
        assert_eq!("1kB".parse(), Ok(Size(1000)));
        assert_eq!("3.5Mbit/s".parse(), Ok(BitRate(3_500_000)));
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for bad in [
            "",
            "s",
            "10",
            "10 parsecs",
            "-1s",
            "1.s",
            ".5s",
            "1.2.3s",
            "0.0001ms",
            "99999999999999999999s",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?} was accepted");
        }
        assert!("8mib".parse::<Size>().is_err());
        assert!("18446744073709551615KiB".parse::<Size>().is_err());
    }

    #[test]
    fn shown_and_read_again_is_the_same() {
        for ms in [0, 1, 5, 100, 1000, 1500, 60_000, 86_400_000] {
            let span = Span::millis(ms);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for n in [0, 1, 1000, 1024, 65_536, 1 << 30, 123_456_789] {
            assert_eq!(Size(n).to_string().parse(), Ok(Size(n)));
            assert_eq!(BitRate(n).to_string().parse(), Ok(BitRate(n)));
        }
    }
}
