//! Header lines of a request or a reply, by name.

use super::head::Version;

/// The header lines of one head, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

impl Headers {
    /// What the parser found. Values that are not UTF-8 are read as well as can be.
    pub fn new(lines: &[httparse::Header<'_>]) -> Headers {
        let owned = |h: &httparse::Header<'_>| {
            let value = String::from_utf8_lossy(h.value);
            (h.name.into(), value.into())
        };
        Headers(lines.iter().map(owned).collect())
    }

    /// The first header of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All headers of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| &**v)
    }

    /// Elements of all comma-separated headers of this name.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name)
            .flat_map(|v| v.split(','))
            .map(str::trim)
            .filter(|v| !v.is_empty())
    }

    /// True if the connection may carry another message after this one.
    pub fn keeps_alive(&self, version: Version) -> bool {
        let says = |word: &str| {
            self.list("Connection")
                .any(|v| v.eq_ignore_ascii_case(word))
        };
        match version {
            Version::Http11 => !says("close"),
            Version::Http10 => says("keep-alive") && !says("close"),
        }
    }
}
