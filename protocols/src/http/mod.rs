//! HTTP/1.x as the streaming protocols need it: request heads and bodies read incrementally under
//! limits, reply heads written exactly, byte ranges (RFC 9110, RFC 9112).
//!
//! [`reader::Reader`] stops at each complete head, before the body is read, so that a service which
//! takes its body as a stream can be chosen there.

pub mod head;
pub mod headers;
pub mod range;
pub mod reader;
pub(crate) mod replies;
pub mod reply;

/// A request that HTTP itself refuses, and where in the connection's byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct Refused {
    /// Status to answer with before the connection is closed.
    pub status: u16,
    /// What was wrong.
    pub reason: &'static str,
    /// Offset of the request, or of the place in its body.
    pub offset: u64,
}
