//! What is wrong with some ASF, and where.

use super::guid::Guid;
use std::fmt;

/// Something in a header, packet or index cannot be accepted.
///
/// Small and free of allocations: a damaged live source may cause one per packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Bytes from the start of what was parsed (header blob, packet, index object).
    pub offset: u64,
    /// What is wrong there.
    pub reason: Reason,
    /// The innermost known object that holds the place, if it is in one.
    pub object: Option<Guid>,
}

impl Error {
    /// At a place that is in no object.
    pub const fn at(offset: u64, reason: Reason) -> Error {
        Error {
            offset,
            reason,
            object: None,
        }
    }

    /// The same, inside `object` unless a deeper one is already named.
    #[must_use]
    pub fn within(mut self, object: Guid) -> Error {
        self.object.get_or_insert(object);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asf: {} at byte {}", self.reason, self.offset)?;
        match self.object {
            Some(guid) => write!(f, " in {guid:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// See [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The input ends inside a field or object.
    #[error("{need} bytes needed, {have} present")]
    Truncated {
        /// Bytes from the place on that should be there.
        need: u64,
        /// Bytes that are.
        have: u64,
    },
    /// Another object was expected.
    #[error("object {found:?} where {wanted:?} should be")]
    WrongObject {
        /// The one that is there.
        found: Guid,
        /// The one that should be.
        wanted: Guid,
    },
    /// An object is smaller than its own head or its fixed fields, or larger than its parent.
    #[error("object size {size} is not within {min}..={max}")]
    ObjectSize {
        /// As stated.
        size: u64,
        /// Least legal.
        min: u64,
        /// Most legal.
        max: u64,
    },
    /// A header is larger than the caller allows.
    #[error("header of {size} bytes exceeds the limit of {max}")]
    HeaderTooLarge {
        /// With the 50 bytes of the Data Object.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A mandatory object is absent.
    #[error("{0:?} is missing")]
    Missing(Guid),
    /// An object or stream number appears twice.
    #[error("{what} {value} appears twice")]
    Duplicate {
        /// What.
        what: &'static str,
        /// Which one.
        value: u64,
    },
    /// A field has a value that is not legal.
    #[error("{field} has the illegal value {value}")]
    Value {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A list is longer than this implementation keeps.
    #[error("more than {max} entries of {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A packet is larger than the packet size of its header.
    #[error("packet of {len} bytes exceeds the packet size {max}")]
    PacketTooLarge {
        /// Bytes of the packet.
        len: u64,
        /// Packet size.
        max: u64,
    },
    /// A packet carries opaque data (parity) instead of payloads.
    #[error("packet holds opaque data, not payloads")]
    OpaqueData,
    /// A payload or the padding reaches past the end of the packet.
    #[error("{what} of {need} bytes reaches past the packet, {have} are left")]
    PastEnd {
        /// What does.
        what: &'static str,
        /// Its length.
        need: u64,
        /// What is left.
        have: u64,
    },
    /// A payload's stream is not declared in the header.
    #[error("stream {0} is not declared")]
    UndeclaredStream(u8),
    /// A saved index was made for something else.
    #[error("saved index does not belong to this file: {0} differs")]
    Stale(&'static str),
    /// A saved index is damaged.
    #[error("saved index is damaged: {0}")]
    Damaged(&'static str),
}
