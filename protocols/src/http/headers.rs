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

    /// One more line behind the others.
    pub fn push(&mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        self.0.push((name.into(), value.into()));
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All lines, name and value, in order.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
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

    /// True if a Content-Type of this media type is there, whatever its parameters.
    pub fn has_type(&self, media_type: &str) -> bool {
        self.get("Content-Type").is_some_and(|v| {
            v.split(';')
                .next()
                .is_some_and(|t| t.trim().eq_ignore_ascii_case(media_type))
        })
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
