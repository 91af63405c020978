//! Replies out of a connection's byte stream, in any split, as clients read them. A body is handed out
//! as it arrives, since one that carries a stream has no end in sight.

use crate::http::head::Version;
use crate::http::headers::Headers;
use std::ops::Deref;

/// Most bytes of a reply head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header lines of a reply.
const HEADERS_MAX: usize = 128;
/// Longest line of chunked framing: size with extensions, or a trailer.
const CHUNK_LINE_MAX: usize = 1024;

/// A reply head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// Status.
    pub status: u16,
    /// Version.
    pub version: Version,
    /// Its length, blank line included.
    pub len: usize,
    headers: Headers,
}

impl Deref for ReplyHead {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.headers
    }
}

impl ReplyHead {
    /// True if the server says that it keeps the connection.
    pub fn keeps_alive(&self) -> bool {
        self.headers.keeps_alive(self.version)
    }

    fn body(&self) -> Result<Body, &'static str> {
        if self.status < 200 || self.status == 204 || self.status == 304 {
            return Ok(Body::Length(0));
        }
        // Chunked coding goes before a length (RFC 9112, 6.3).
        if let Some(coding) = self.list("Transfer-Encoding").last() {
            return match coding.eq_ignore_ascii_case("chunked") {
                true => Ok(Body::ChunkSize),
                false => Err("coding in Transfer-Encoding"),
            };
        }
        match self.get("Content-Length") {
            Some(text) => text
                .parse()
                .map(Body::Length)
                .map_err(|_| "number in Content-Length"),
            None => Ok(Body::Close),
        }
    }
}

/// How far the reader came.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Wait,
    /// A reply begins.
    Head(ReplyHead),
    /// So many body bytes were appended to the given buffer.
    Body(usize),
    /// The reply is complete.
    End,
}

/// A byte stream that is no HTTP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Offset in the stream.
    pub offset: u64,
    /// What was wrong.
    pub reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// Between replies.
    Outside,
    /// So many bytes are left.
    Length(u64),
    /// To the end of the connection.
    Close,
    /// A size line comes.
    ChunkSize,
    /// So many bytes of the chunk are left.
    Chunk(u64),
    /// The CRLF behind a chunk comes.
    ChunkEnd,
    /// Trailer lines come.
    Trailer,
}

/// The reading side of one connection.
#[derive(Debug)]
pub struct Reader {
    buf: Vec<u8>,
    /// Bytes of `buf` that are done with.
    at: usize,
    /// Stream offset of the first byte in `buf`.
    base: u64,
    body: Body,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            buf: Vec::new(),
            at: 0,
            base: 0,
            body: Body::Outside,
        }
    }
}

impl Reader {
    /// Take in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.base += self.at as u64;
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// Stream offset of what is read next.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// True between replies, with nothing of the next one there.
    pub fn is_idle(&self) -> bool {
        self.body == Body::Outside && self.at == self.buf.len()
    }

    /// True inside a body that ends with the connection.
    pub fn ends_by_close(&self) -> bool {
        self.body == Body::Close
    }

    /// The reply whose head came has no body, where its head leaves that open: for protocols whose
    /// replies are heads alone, even if no length of 0 is said.
    pub fn headers_only(&mut self) {
        if self.body == Body::Close {
            self.body = Body::Length(0);
        }
    }

    /// Go on; body bytes are appended to `out`.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<Step, Bad> {
        loop {
            match self.body {
                Body::Outside => return self.head(),
                Body::Length(0) => {
                    self.body = Body::Outside;
                    return Ok(Step::End);
                }
                Body::Length(left) | Body::Chunk(left) => {
                    let taken = self.take(left, out);
                    if taken == 0 {
                        return Ok(Step::Wait);
                    }
                    let left = left - taken as u64;
                    self.body = match self.body {
                        Body::Length(_) => Body::Length(left),
                        _ if left == 0 => Body::ChunkEnd,
                        _ => Body::Chunk(left),
                    };
                    return Ok(Step::Body(taken));
                }
                Body::Close => {
                    let taken = self.take(u64::MAX, out);
                    return Ok(match taken {
                        0 => Step::Wait,
                        taken => Step::Body(taken),
                    });
                }
                Body::ChunkSize | Body::ChunkEnd | Body::Trailer => {
                    let Some(line) = self.line()? else {
                        return Ok(Step::Wait);
                    };
                    if self.chunk_line(line)? {
                        self.body = Body::Outside;
                        return Ok(Step::End);
                    }
                }
            }
        }
    }

    fn bad<T>(&self, reason: &'static str) -> Result<T, Bad> {
        Err(Bad {
            offset: self.offset(),
            reason,
        })
    }

    fn take(&mut self, max: u64, out: &mut Vec<u8>) -> usize {
        let have = self.buf.len() - self.at;
        let taken = usize::try_from(max).map_or(have, |max| max.min(have));
        out.extend_from_slice(&self.buf[self.at..self.at + taken]);
        self.at += taken;
        taken
    }

    /// A whole line of chunked framing, without its end.
    fn line(&mut self) -> Result<Option<std::ops::Range<usize>>, Bad> {
        let rest = &self.buf[self.at..];
        let Some(len) = rest.iter().position(|&b| b == b'\n') else {
            return match rest.len() > CHUNK_LINE_MAX {
                true => self.bad("length of a line in chunked coding"),
                false => Ok(None),
            };
        };
        let start = self.at;
        self.at += len + 1;
        let end = start + len;
        let cr = len > 0 && self.buf[end - 1] == b'\r';
        Ok(Some(start..end - usize::from(cr)))
    }

    /// True if the line ends the body.
    fn chunk_line(&mut self, line: std::ops::Range<usize>) -> Result<bool, Bad> {
        let bad = |reason| {
            Err(Bad {
                offset: self.base + line.start as u64,
                reason,
            })
        };
        let line = &self.buf[line.clone()];
        match self.body {
            Body::ChunkEnd if line.is_empty() => self.body = Body::ChunkSize,
            Body::ChunkEnd => return bad("end of a chunk in chunked coding"),
            Body::Trailer => return Ok(line.is_empty()),
            _ => {
                let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
                let size = std::str::from_utf8(&line[..digits])
                    .ok()
                    .and_then(|s| u64::from_str_radix(s, 16).ok());
                self.body = match size {
                    None => return bad("size of a chunk in chunked coding"),
                    Some(0) => Body::Trailer,
                    Some(size) => Body::Chunk(size),
                };
            }
        }
        Ok(false)
    }

    fn head(&mut self) -> Result<Step, Bad> {
        let rest = &self.buf[self.at..];
        let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut raw = httparse::Response::new(&mut room);
        // Servers that pose as a media server are not all careful with their heads.
        let mut config = httparse::ParserConfig::default();
        config
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true);
        let len = match config.parse_response(&mut raw, rest) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if rest.len() > HEAD_BYTES_MAX => {
                return self.bad("length of the reply head");
            }
            Ok(httparse::Status::Partial) => return Ok(Step::Wait),
            Err(_) => return self.bad("no HTTP reply head"),
        };
        let head = ReplyHead {
            status: raw.code.unwrap_or(0),
            version: match raw.version {
                Some(0) => Version::Http10,
                _ => Version::Http11,
            },
            len,
            headers: Headers::new(raw.headers),
        };
        match head.body() {
            Ok(body) => self.body = body,
            Err(reason) => return self.bad(reason),
        }
        self.at += len;
        Ok(Step::Head(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statuses and bodies of a stream that arrives in pieces of `size` bytes.
    fn read(stream: &[u8], size: usize) -> Result<Vec<(u16, Vec<u8>, bool)>, Bad> {
        let mut reader = Reader::default();
        let mut replies = Vec::new();
        for piece in stream.chunks(size) {
            reader.push(piece);
            loop {
                let mut body = Vec::new();
                match reader.next(&mut body)? {
                    Step::Wait => break,
                    Step::Head(head) => replies.push((head.status, Vec::new(), false)),
                    Step::Body(n) => {
                        assert_eq!(n, body.len());
                        replies.last_mut().unwrap().1.extend(body);
                    }
                    Step::End => replies.last_mut().unwrap().2 = true,
                }
            }
        }
        Ok(replies)
    }

    #[test]
    fn replies_in_any_split() {
        let stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            4\r\n$T\0\0\r\n00000a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
            HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n\
            HTTP/1.0 200\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.0 200 OK\r\nServer : Cougar 4.1\r\n\r\nto the end";
        let want = vec![
            (200, b"$T\0\x000123456789".to_vec(), true),
            (204, vec![], true),
            (200, b"abc".to_vec(), true),
            (200, b"to the end".to_vec(), false),
        ];
        for size in 1..stream.len() {
            assert_eq!(read(stream, size), Ok(want.clone()), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_reply_says_where() {
        for (stream, offset, reason) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], 0, "no HTTP reply head"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
                53,
                "end of a chunk in chunked coding",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
                47,
                "size of a chunk in chunked coding",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                0,
                "number in Content-Length",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                0,
                "coding in Transfer-Encoding",
            ),
        ] {
            let mut with_end = stream.to_vec();
            with_end.extend(b"\r\n");
            assert_eq!(read(&with_end, 7), Err(Bad { offset, reason }));
        }
    }

    #[test]
    fn replies_without_a_length_can_be_heads_alone() {
        let mut reader = Reader::default();
        reader.push(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        let mut body = Vec::new();
        assert!(matches!(reader.next(&mut body), Ok(Step::Head(_))));
        reader.headers_only();
        assert_eq!(reader.next(&mut body), Ok(Step::End));
        assert!(matches!(reader.next(&mut body), Ok(Step::Head(_))));
        reader.headers_only();
        assert_eq!(reader.next(&mut body), Ok(Step::Body(1)));
        assert_eq!(reader.next(&mut body), Ok(Step::End));
        assert_eq!((&*body, reader.is_idle()), (&b"x"[..], true));
    }

    #[test]
    fn endless_heads_and_lines_are_refused() {
        let mut head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        head.extend(vec![b'a'; 70_000]);
        assert_eq!(
            read(&head, 1000).unwrap_err().reason,
            "length of the reply head"
        );
        let mut chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;".to_vec();
        chunk.extend(vec![b'a'; 2000]);
        assert_eq!(
            read(&chunk, 100).unwrap_err().reason,
            "length of a line in chunked coding"
        );
    }
}
