//! Reading station files: strict about what a receiver relies on, generous about the rest (msb-nsc.md 9.8).

use super::block::{self, Block};
use super::properties::{ADDRESS, DESCRIPTION, FORMAT, FORMATS, Property, VERSION, numbered};
use super::station::{Format, Station};
use super::{FILE_BYTES_MAX, LINE_BYTES_MAX};
use crate::asf::header::header_len_within;
use crate::msb::packet::FORMAT_ID_COUNT;
use crate::wmlog::text;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Most headers of a file.
pub const FORMAT_COUNT_MAX: usize = 256;

/// Most remarks that are kept.
const WARNING_COUNT_MAX: usize = 100;

/// Most characters of a value that a remark quotes.
const QUOTED_MAX: usize = 40;

/// A station file that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub station: Station,
    /// What is not as it should be, the first hundred remarks.
    pub warnings: Vec<Warning>,
}

/// A remark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Warning {
    /// From 1; 0 if it is about the whole file.
    pub line: usize,
    /// In words.
    pub what: String,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Larger than [`FILE_BYTES_MAX`], or a line longer than [`LINE_BYTES_MAX`].
    #[error("line {line} is too long, or the file too large")]
    TooLong {
        /// From 1.
        line: usize,
    },
    /// A section is not there.
    #[error("no section {0}")]
    Section(&'static str),
    /// Another version.
    #[error("version {0:?} of the format is not known")]
    Version(String),
    /// The group is missing or wrong.
    #[error("no group to receive from: {what}")]
    Group {
        /// What is wrong.
        what: String,
        /// Where the same can be had without a group.
        unicast_url: Option<String>,
    },
    /// No header could be read.
    #[error("no format that could be read")]
    NoFormat,
}

/// Read a station file.
///
/// # Errors
/// If it cannot be used.
pub fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ReadError::TooLong { line: 1 });
    }
    let mut draft = Draft::default();
    draft.lines(bytes)?;
    for (section, seen) in [(ADDRESS, draft.address), (FORMATS, draft.formats)] {
        if !seen {
            return Err(ReadError::Section(section));
        }
    }
    draft.finish()
}

#[derive(Default)]
struct Draft {
    address: bool,
    formats: bool,
    strings: BTreeMap<Property, String>,
    integers: BTreeMap<Property, u32>,
    /// What is wrong with the port, if it is there and wrong.
    bad_port: Option<String>,
    last: Option<Property>,
    headers: Vec<(u32, Format)>,
    descriptions: BTreeMap<u32, String>,
    warnings: Vec<Warning>,
    line: usize,
    bare_line_ends: bool,
}

impl Draft {
    fn lines(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            self.line += 1;
            let end = rest.iter().position(|b| *b == b'\n');
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            rest = rest.get(line.len() + 1..).unwrap_or_default();
            if line.len() > LINE_BYTES_MAX {
                return Err(ReadError::TooLong { line: self.line });
            }
            let stripped = line.strip_suffix(b"\r");
            if end.is_none() {
                self.warn("the last line has no end");
            } else if stripped.is_none() && !self.bare_line_ends {
                self.bare_line_ends = true;
                self.warn("lines end without CR");
            }
            let line = stripped.unwrap_or(line);
            if !line.is_ascii() {
                self.warn("not ASCII");
            }
            self.take(text(line).trim());
        }
        self.line = 0;
        Ok(())
    }

    fn take(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        if line.starts_with('[') {
            return self.section(line);
        }
        let Some((name, value)) = line.split_once('=') else {
            return self.warn("neither a section nor name=value");
        };
        let (name, value) = (name.trim_end(), value.trim_start());
        if let Some(property) = Property::of(name) {
            if !self.address || self.formats {
                self.warn(&format!("{} is not in its section", property.name()));
            }
            self.property(property, value);
        } else if let Some(number) = numbered(name, FORMAT) {
            self.format(number, value);
        } else if let Some(number) = numbered(name, DESCRIPTION) {
            if let Some(string) = self.string(value) {
                self.descriptions.entry(number).or_insert(string);
            }
        } else {
            // NSC-38
            self.warn(&format!("{:?} is not known", quoted(name)));
        }
    }

    fn section(&mut self, line: &str) {
        let is = |name: &str| line.eq_ignore_ascii_case(name);
        let seen = if is(ADDRESS) {
            if self.formats {
                self.warn("[Address] stands behind [Formats]");
            }
            &mut self.address
        } else if is(FORMATS) {
            &mut self.formats
        } else {
            return self.warn(&format!("section {:?} is not known", quoted(line)));
        };
        if std::mem::replace(seen, true) {
            self.warn("the section is there twice");
        }
    }

    fn property(&mut self, property: Property, value: &str) {
        if self.last.is_some_and(|last| last > property) {
            self.warn(&format!("{} is out of order", property.name()));
        }
        self.last = Some(property);
        if self.strings.contains_key(&property) || self.integers.contains_key(&property) {
            return self.warn(&format!("{} is there twice", property.name()));
        }
        let Some(range) = property.range() else {
            if let Some(string) = self.string(value) {
                self.strings.insert(property, string);
            }
            return;
        };
        // NSC-04
        if value.is_empty() {
            return;
        }
        match integer(value).filter(|n| range.contains(n)) {
            Some(n) => {
                self.integers.insert(property, n);
            }
            None => {
                let what = format!("{} is {:?}", property.name(), quoted(value));
                self.warn(&what);
                if property == Property::Port {
                    self.bad_port = Some(what);
                }
            }
        }
    }

    /// A string in whatever form; `None` if it is absent after all.
    fn string(&mut self, value: &str) -> Option<String> {
        let decoded = block::decode(value).ok();
        let string = match decoded.and_then(|b| Some((block::text_of(&b.data)?, b))) {
            Some((string, block)) => {
                self.check_block(&block);
                string
            }
            None => value.to_owned(),
        };
        // NSC-04, NSC-35
        (!string.is_empty()).then_some(string)
    }

    // NSC-36
    fn check_block(&mut self, block: &Block) {
        if !block.is_sound() {
            let (stored, crc) = (block.stored_crc, block.crc);
            self.warn(&format!("the checksum is {stored:#04x}, not {crc:#04x}"));
        }
        if block.key != 0 {
            self.warn(&format!("a string has the key {:#x}", block.key));
        }
    }

    fn format(&mut self, number: u32, value: &str) {
        if self.headers.len() >= FORMAT_COUNT_MAX {
            return self.warn("too many formats");
        }
        match format_of(value) {
            Ok(format) if self.headers.iter().any(|(_, f)| f.id == format.id) => {
                self.warn(&format!("format id {:#05x} is there twice", format.id));
            }
            Ok(format) => self.headers.push((number, format)),
            Err(what) => self.warn(&format!("{FORMAT}{number}: {what}")),
        }
    }

    fn finish(mut self) -> Result<Reading, ReadError> {
        let version = self.strings.remove(&Property::Version);
        if let Some(version) = version.filter(|v| v != VERSION) {
            return Err(ReadError::Version(quoted(&version).to_owned()));
        }
        let group = self.group().map_err(|what| ReadError::Group {
            what,
            unicast_url: self.strings.get(&Property::UnicastUrl).cloned(),
        })?;
        if self.headers.is_empty() {
            return Err(ReadError::NoFormat);
        }
        let adapter = self.strings.remove(&Property::Adapter);
        let adapter = adapter.and_then(|text| {
            let parsed = text.trim().parse();
            if parsed.is_err() {
                self.warn(&format!("Multicast Adapter is {:?}", quoted(&text)));
            }
            parsed.ok()
        });
        let described = |(number, mut format): (u32, Format)| {
            format.description = self.descriptions.get(&number).cloned();
            format
        };
        let formats = self.headers.into_iter().map(described).collect();
        let (mut strings, integers) = (self.strings, self.integers);
        let integer = |p: Property| integers.get(&p).copied();
        let flag = |p: Property| integer(p).map(|n| n != 0);
        let station = Station {
            name: strings.remove(&Property::Name),
            adapter,
            group,
            ttl: integer(Property::Ttl).and_then(|n| u8::try_from(n).ok()),
            default_ecc: integer(Property::Ecc),
            log_url: strings.remove(&Property::LogUrl),
            unicast_url: strings.remove(&Property::UnicastUrl),
            allow_splitting: flag(Property::Splitting),
            allow_caching: flag(Property::Caching),
            cache_expiration_s: integer(Property::CacheExpiration),
            network_buffer_ms: integer(Property::BufferTime),
            formats,
        };
        let warnings = self.warnings;
        Ok(Reading { station, warnings })
    }

    fn group(&self) -> Result<SocketAddr, String> {
        let text = self.strings.get(&Property::Group);
        let text = text.ok_or("IP Address is missing")?.trim();
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let ip: Result<IpAddr, _> = bare.unwrap_or(text).parse();
        let ip = ip.ok().filter(IpAddr::is_multicast);
        let ip = ip.ok_or_else(|| format!("IP Address is {:?}", quoted(text)))?;
        let port = self.integers.get(&Property::Port).copied();
        match port.and_then(|port| u16::try_from(port).ok()) {
            Some(port) => Ok(SocketAddr::new(ip, port)),
            None => {
                let missing = || "IP Port is missing".to_owned();
                Err(self.bad_port.clone().unwrap_or_else(missing))
            }
        }
    }

    fn warn(&mut self, what: &str) {
        if self.warnings.len() < WARNING_COUNT_MAX {
            self.warnings.push(Warning {
                line: self.line,
                what: what.to_owned(),
            });
        }
    }
}

// NSC-07
fn integer(value: &str) -> Option<u32> {
    let (start, digits) = value.split_at_checked(2)?;
    let hex = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && start.eq_ignore_ascii_case("0x"))
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

// NSC-32
fn format_of(value: &str) -> Result<Format, String> {
    let block = block::decode(value).map_err(|e| e.to_string())?;
    if !block.is_sound() {
        let (stored, crc) = (block.stored_crc, block.crc);
        return Err(format!("the checksum is {stored:#04x}, not {crc:#04x}"));
    }
    let id = u16::try_from(block.key)
        .ok()
        .filter(|id| *id < FORMAT_ID_COUNT)
        .ok_or_else(|| format!("the format id {:#x} has more than 11 bits", block.key))?;
    let len = header_len_within(&block.data, u64::MAX).map_err(|e| e.to_string())?;
    if len != block.data.len() as u64 {
        let have = block.data.len();
        return Err(format!(
            "{have} bytes, but the header and what follows it are {len}"
        ));
    }
    Ok(Format {
        id,
        header: Bytes::from(block.data),
        description: None,
    })
}

/// As much of a text as a remark shows.
fn quoted(text: &str) -> &str {
    let end = text.char_indices().nth(QUOTED_MAX).map(|(at, _)| at);
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}
