//! Writing station files.

use super::block::{encode, encode_text};
use super::properties::{ADDRESS, DESCRIPTION, FORMAT, FORMATS, Property, VERSION};
use super::station::Station;
use crate::asf::header::header_len_within;
use crate::msb::packet::FORMAT_ID_COUNT;

/// How strings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Encoded, all of them, as Windows does it and as every reader can read it.
    // NSC-34
    #[default]
    Encoded,
    /// As they are, where that is possible.
    // NSC-08
    Plain,
}

/// Why a station cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The address is not one of a group, or the port is 0.
    #[error("{0} is no group's address and port")]
    Group(std::net::SocketAddr),
    /// There is no header.
    #[error("a station needs at least one format")]
    NoFormat,
    /// An id has more than 11 bits or is there twice.
    #[error("format id {0:#05x} is too large or there twice")]
    FormatId(u16),
    /// What should be a header is none, or has another length than it says.
    #[error("format {0:#05x} is not an ASF header and the start of its Data Object")]
    Header(u16),
    /// Logs can only be posted to `http://`.
    #[error("the log URL {0} is not http://")]
    LogUrl(String),
    /// A caller's string has a NUL inside, which would end it.
    #[error("{0} holds a NUL")]
    Nul(&'static str),
}

impl Station {
    /// The station's file.
    ///
    /// # Errors
    /// If it would not be a legal one.
    // NSC-01, NSC-02, NSC-03, NSC-05, NSC-20
    pub fn write(&self, style: Style) -> Result<String, WriteError> {
        self.check()?;
        let mut out = Writer {
            text: String::new(),
            style,
        };
        out.line(ADDRESS);
        for property in Property::ALL {
            self.put(property, &mut out)?;
        }
        out.line(FORMATS);
        for (n, format) in (1..).zip(&self.formats) {
            let block = encode(format.id.into(), &format.header);
            out.line(&format!("{FORMAT}{n}={block}"));
            if let Some(description) = &format.description {
                out.string("Description", &format!("{DESCRIPTION}{n}"), description)?;
            }
        }
        Ok(out.text)
    }

    // NSC-12, NSC-23, NSC-28, NSC-29
    fn check(&self) -> Result<(), WriteError> {
        if !self.group.ip().is_multicast() || self.group.port() == 0 {
            return Err(WriteError::Group(self.group));
        }
        if self.formats.is_empty() {
            return Err(WriteError::NoFormat);
        }
        for (n, format) in self.formats.iter().enumerate() {
            let before = self.formats.get(..n).unwrap_or_default();
            if format.id >= FORMAT_ID_COUNT || before.iter().any(|f| f.id == format.id) {
                return Err(WriteError::FormatId(format.id));
            }
            let len = header_len_within(&format.header, u32::MAX.into());
            if len != Ok(format.header.len() as u64) {
                return Err(WriteError::Header(format.id));
            }
        }
        match &self.log_url {
            Some(url) if !url.to_ascii_lowercase().starts_with("http://") => {
                Err(WriteError::LogUrl(url.clone()))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, property: Property, out: &mut Writer) -> Result<(), WriteError> {
        let string = match property {
            Property::Name => self.name.clone(),
            Property::Version => Some(VERSION.to_owned()),
            // NSC-21
            Property::Adapter => self.adapter.map(|ip| ip.to_string()),
            Property::Group => Some(self.group.ip().to_string()),
            Property::LogUrl => self.log_url.clone(),
            Property::UnicastUrl => self.unicast_url.clone(),
            _ => None,
        };
        if let Some(string) = string {
            return out.string(property.name(), property.name(), &string);
        }
        let integer = match property {
            Property::Port => Some(self.group.port().into()),
            Property::Ttl => self.ttl.map(u32::from),
            Property::Ecc => self.default_ecc,
            // NSC-25
            Property::Splitting => self.allow_splitting.map(u32::from),
            Property::Caching => self.allow_caching.map(u32::from),
            Property::CacheExpiration => self.cache_expiration_s,
            Property::BufferTime => self.network_buffer_ms,
            _ => None,
        };
        if let Some(integer) = integer {
            // NSC-07
            out.line(&format!("{}=0x{integer:08X}", property.name()));
        }
        Ok(())
    }
}

struct Writer {
    text: String,
    style: Style,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push_str("\r\n");
    }

    /// An empty string is as good as none and is left out (NSC-04).
    fn string(&mut self, what: &'static str, name: &str, value: &str) -> Result<(), WriteError> {
        if value.is_empty() {
            return Ok(());
        }
        if value.contains('\0') {
            return Err(WriteError::Nul(what));
        }
        match self.style == Style::Plain && may_be_plain(value) {
            true => self.line(&format!("{name}={value}")),
            false => self.line(&format!("{name}={}", encode_text(value))),
        }
        Ok(())
    }
}

/// True if readers take the string for itself.
// NSC-09, NSC-37
fn may_be_plain(value: &str) -> bool {
    let printable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let lower = value.get(..2).map(str::to_ascii_lowercase);
    let looks_coded = lower.is_some_and(|start| ["01", "02", "0x"].contains(&&*start));
    printable && !looks_coded && value.trim() == value
}
