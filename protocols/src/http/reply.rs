//! Message heads, written exactly.

use super::head::Version;
use std::fmt::{Display, Write as _};

/// A head in the making: of a reply, or with [`ReplyHead::of`] of any message of this family.
#[derive(Debug)]
pub struct ReplyHead(String);

impl ReplyHead {
    /// Status line. Always with a phrase: libmms fails without one (WMSP-122).
    pub fn new(version: Version, status: u16) -> ReplyHead {
        ReplyHead::of(format_args!(
            "{} {status} {}",
            version.name(),
            phrase(status)
        ))
    }

    /// Any start line. Control characters in it, which could end the line, become `_`.
    pub fn of(start_line: impl Display) -> ReplyHead {
        let mut head = ReplyHead(String::with_capacity(512));
        head.line(start_line);
        head
    }

    /// One header line. Control characters in the value, which could end the line, become `_`.
    pub fn header(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.0, "{name}: ");
        self.line(value);
        self
    }

    /// Lines that were written elsewhere, CRLF included.
    pub fn lines(&mut self, write: impl FnOnce(&mut String)) -> &mut Self {
        write(&mut self.0);
        self
    }

    /// The rest of a line and its end.
    fn line(&mut self, text: impl Display) {
        let start = self.0.len();
        let _ = write!(self.0, "{text}");
        if self.0[start..].contains(char::is_control) {
            let clean = self.0[start..].replace(char::is_control, "_");
            self.0.truncate(start);
            self.0.push_str(&clean);
        }
        self.0.push_str("\r\n");
    }

    /// The head with its blank line.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

/// The phrase of a status.
pub const fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

/// One chunk of chunked coding; `bytes` must not be empty, or it would be the last one.
pub fn put_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    debug_assert!(!bytes.is_empty());
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The chunk that ends a body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_line() {
        let mut head = ReplyHead::new(Version::Http10, 302);
        head.header("Location", "http://h/\r\nSet-Cookie: x");
        assert_eq!(
            head.finish(),
            b"HTTP/1.0 302 Found\r\nLocation: http://h/__Set-Cookie: x\r\n\r\n"
        );
    }

    #[test]
    fn chunks() {
        let mut out = Vec::new();
        put_chunk(&[b'x'; 0x71], &mut out);
        assert_eq!(out[..4], *b"71\r\n");
        assert_eq!(out.len(), 4 + 0x71 + 2);
    }
}
