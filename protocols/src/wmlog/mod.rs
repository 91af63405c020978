//! Client logs: every submitted form read into one [`Entry`], the server's own files written from
//! it, and the logs that a client sends built (wmlog.md, MS-WMLOG).
//!
//! Reading never fails a session: a value that breaks its grammar becomes empty and is counted, a
//! line that cannot be taken apart is kept raw. What an entry holds is safe to write: no control
//! character, no white space, bounded lengths.

pub mod client;
pub mod field;
pub mod file;
pub mod fuzz;
pub mod mmsp;
pub mod relay;
mod value;
pub mod w3c;
pub mod web;
pub mod xml;

pub use field::Field;
pub use value::text;

use crate::machine::ClientLog;
use crate::wmsp::remote_event::RemoteEvent;

/// Largest W3C line that is read, bytes.
pub const W3C_BYTES_MAX: usize = 8 * 1024;

/// Largest XML log that is read, bytes.
pub const XML_BYTES_MAX: usize = 64 * 1024;

/// Most extension values that are kept of one log.
pub const EXTENSION_COUNT_MAX: usize = 64;

/// Which of the four logs it is (wmlog.md 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Streaming and rendering in one.
    Legacy,
    /// What was received.
    Streaming,
    /// What was played, maybe out of a cache.
    Rendering,
    /// Sent right after the first Play, with a schema of its own.
    Connect,
}

impl Kind {
    /// Name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Legacy => "legacy",
            Kind::Streaming => "streaming",
            Kind::Rendering => "rendering",
            Kind::Connect => "connect",
        }
    }
}

/// What was wrong with a submitted log. All zero for a clean one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Values that broke their grammar and were dropped, cut or altered.
    pub values: u16,
    /// Relations between values that do not hold (lost packets, quality).
    pub relations: u16,
    /// The line had to be taken apart by guess (white space inside the user agent).
    pub recovered: bool,
    /// Not to be taken apart at all; see [`Entry::raw`].
    pub invalid: bool,
}

/// A value that belongs to no field of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Enclosing element; empty for a stray field.
    pub namespace: String,
    /// Element name.
    pub name: String,
    /// Text, may hold spaces.
    pub value: String,
}

/// One log, whatever its form was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which log.
    pub kind: Kind,
    /// Values outside the schema, and the content description.
    pub extensions: Vec<Extension>,
    /// What was wrong with it.
    pub defects: Defects,
    /// The text of an invalid log, on one line.
    pub raw: Option<String>,
    values: [Option<Box<str>>; Field::COUNT],
}

/// Why a log was not even read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log of {len} bytes, at most {max} are read")]
pub struct TooLarge {
    /// Its size, bytes.
    pub len: usize,
    /// The bound, bytes.
    pub max: usize,
}

/// Read a submitted log. Only one that is too large is refused; the peer is told "success" in any
/// case (WMLOG-24), so this may run long after the reply.
pub fn parse(log: &ClientLog) -> Result<Entry, TooLarge> {
    let bounded = |len, max| match len <= max {
        true => Ok(()),
        false => Err(TooLarge { len, max }),
    };
    match log {
        ClientLog::W3c(line) => {
            bounded(line.len(), W3C_BYTES_MAX)?;
            Ok(w3c::parse(line))
        }
        ClientLog::Xml(xml) => {
            bounded(xml.len(), XML_BYTES_MAX)?;
            Ok(xml::parse(xml))
        }
        ClientLog::RemoteEvent(body) => {
            bounded(body.len(), XML_BYTES_MAX)?;
            Ok(remote_event(body))
        }
        ClientLog::Mmsp(body) => {
            bounded(body.len(), XML_BYTES_MAX)?;
            Ok(mmsp::parse(body))
        }
    }
}

impl Entry {
    /// An entry without any value.
    pub fn new(kind: Kind) -> Entry {
        Entry {
            kind,
            extensions: Vec::new(),
            defects: Defects::default(),
            raw: None,
            values: [const { None }; Field::COUNT],
        }
    }

    /// An entry for text that cannot be taken apart; the text is kept, on one line.
    pub fn invalid(text: &str) -> Entry {
        let mut entry = Entry::new(Kind::Legacy);
        entry.defects.invalid = true;
        entry.raw = Some(value::one_line(text, W3C_BYTES_MAX));
        entry
    }

    /// A field's value; `None` stands for `-`.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.values[field as usize].as_deref()
    }

    /// A field's value as a number, if it is one.
    pub fn number(&self, field: Field) -> Option<u32> {
        self.get(field)?.parse().ok()
    }

    /// Set a field from outside text: checked, made safe, defects counted (WMLOG-26). Empty text and
    /// `-` clear it.
    pub fn set(&mut self, field: Field, text: &str) {
        let (value, clean) = value::checked(field, text);
        if !clean {
            self.defects.values = self.defects.values.saturating_add(1);
        }
        self.values[field as usize] = value;
    }

    /// Clear a field.
    pub fn clear(&mut self, field: Field) {
        self.values[field as usize] = None;
    }

    /// Keep a value that has no field. Bounded in number and size.
    pub fn extend(&mut self, namespace: &str, name: &str, text: &str) {
        if self.extensions.len() < EXTENSION_COUNT_MAX {
            self.extensions.push(Extension {
                namespace: value::one_line(namespace, 64),
                name: value::one_line(name, 64),
                value: value::one_line(text, 256),
            });
        } else {
            self.defects.values = self.defects.values.saturating_add(1);
        }
    }

    /// True if the three optional fields of the 47-field line are to be written.
    fn has_triple(&self) -> bool {
        let triple = [Field::CsUrl, Field::CsMediaName, Field::CsMediaRole];
        self.kind == Kind::Streaming || triple.iter().any(|&f| self.get(f).is_some())
    }

    /// Count relations that do not hold (wmlog.md 11); nothing is rejected for them.
    fn check_relations(&mut self) {
        let n = |field| self.number(field).map(u64::from);
        let mut broken = 0;
        if let (Some(net), Some(client), Some(ecc)) = (
            n(Field::CPktsLostNet),
            n(Field::CPktsLostClient),
            n(Field::CPktsRecoveredEcc),
        ) && net != client + ecc
        {
            broken += 1;
        }
        if let (Some(quality), Some(received), Some(lost)) = (
            n(Field::CQuality),
            n(Field::CPktsReceived),
            n(Field::CPktsLostClient),
        ) {
            let recovered = n(Field::CPktsRecoveredEcc).unwrap_or(0)
                + n(Field::CPktsRecoveredResent).unwrap_or(0);
            let expected = client::quality(received + recovered, lost);
            broken += u16::from(quality.abs_diff(expected) > 1);
        }
        self.defects.relations = broken;
    }
}

/// The rendering log inside a remote event.
fn remote_event(body: &[u8]) -> Entry {
    match RemoteEvent::parse(body) {
        Ok(event) => match event.remote_log() {
            Some(log) => xml::parse(log),
            None => Entry::invalid(&text(body)),
        },
        Err(_) => Entry::invalid(&text(body)),
    }
}
