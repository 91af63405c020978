//! Requests out of a connection's byte stream, in any split.

use super::Refused;
use super::head::{BodyLength, Head};

/// Longest line of chunked framing: size with extensions, or a trailer.
const CHUNK_LINE_MAX: usize = 256;

/// Bounds on what one request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, blank line included.
    pub head_bytes_max: usize,
    /// Bytes of a body as it arrives, chunk framing included.
    pub body_bytes_max: usize,
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its head.
    pub head: Box<Head>,
    /// Its body, chunked coding removed.
    pub body: Vec<u8>,
    /// Offset of its first byte in the stream.
    pub offset: u64,
}

/// How far the reader came.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Wait,
    /// A head is complete: see [`Reader::head`]. Its body has not been looked at.
    Head,
    /// A request is complete.
    Request(Request),
}

/// The reading side of one connection. Holds no memory beside itself between requests.
#[derive(Debug, Default)]
pub struct Reader {
    buf: Vec<u8>,
    /// Bytes at the start of `buf` that are done with.
    done: usize,
    /// Stream offset of the first byte that is not.
    base: u64,
    /// Bytes after `done` known not to hold the end of a head.
    scanned: usize,
    body: Option<Box<Body>>,
}

/// A request whose head is complete. The raw head stays in the buffer until the body has arrived.
#[derive(Debug)]
struct Body {
    head: Box<Head>,
    head_len: usize,
    /// Chunked: what is decoded, and how far into the buffer.
    decoded: Vec<u8>,
    at: usize,
    last_chunk_seen: bool,
}

impl Reader {
    /// Take in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        // What is done with is moved over once for each input, not for each request.
        self.buf.drain(..self.done);
        self.done = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes taken in and not yet given out.
    pub fn buffered(&self) -> usize {
        self.unread().len()
    }

    /// All bytes not yet given out, beginning with the current request's head.
    pub fn unread(&self) -> &[u8] {
        self.buf.get(self.done..).unwrap_or(&[])
    }

    /// Stream offset of the current request.
    pub fn offset(&self) -> u64 {
        self.base
    }

    /// The head that [`Step::Head`] announced, until its request is complete.
    pub fn head(&self) -> Option<&Head> {
        self.body.as_ref().map(|b| &*b.head)
    }

    /// Bytes that have come behind the head that [`Step::Head`] announced: its body's, chunk framing
    /// included, and what follows. For who judges a body before it takes the request.
    pub fn behind_head(&self) -> &[u8] {
        let head_len = self.body.as_ref().map_or(0, |b| b.head_len);
        self.unread().get(head_len..).unwrap_or(&[])
    }

    /// Take the request at its head, for who reads its body as a stream: the head, and what has come
    /// behind it. What comes of the body from now on is not for [`Reader::push`]; when it is at its
    /// end, [`Reader::resume`] goes on.
    pub fn detach(&mut self) -> Option<(Box<Head>, Vec<u8>)> {
        let body = self.body.take()?;
        self.consume(body.head_len);
        let mut rest = std::mem::take(&mut self.buf);
        rest.drain(..self.done.min(rest.len()));
        self.done = 0;
        Some((body.head, rest))
    }

    /// Go on behind a body of `len` bytes that was read elsewhere; `rest` came with its last ones.
    pub fn resume(&mut self, len: u64, rest: &[u8]) {
        self.base = self.base.saturating_add(len);
        self.push(rest);
    }

    /// Go on as far as the bytes reach.
    ///
    /// # Errors
    /// The connection cannot be read further; answer with the status and close.
    pub fn next(&mut self, limits: &Limits) -> Result<Step, Refused> {
        let step = match &self.body {
            None => self.next_head(limits),
            Some(_) => self.next_body(limits),
        };
        if self.done == self.buf.len() {
            self.buf = Vec::new();
            self.done = 0;
        }
        step
    }

    fn refuse<T>(&self, at: usize, status: u16, reason: &'static str) -> Result<T, Refused> {
        Err(Refused {
            status,
            reason,
            offset: self.base + at as u64,
        })
    }

    fn next_head(&mut self, limits: &Limits) -> Result<Step, Refused> {
        // Empty lines before a request are ignored (RFC 9112, 2.2).
        let blank = self
            .unread()
            .iter()
            .take_while(|&&b| b == b'\r' || b == b'\n')
            .count();
        if blank > 0 {
            self.consume(blank);
        }
        match self.unread().first() {
            None => return Ok(Step::Wait),
            // What is no method at all (a TLS handshake, binary junk) need not be read to its end.
            Some(b) if !b.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(b) => {
                return self.refuse(0, 400, "no method in the request line");
            }
            Some(_) => {}
        }
        let buf = self.unread();
        let Some(head_len) = head_end(buf, self.scanned) else {
            self.scanned = buf.len();
            if self.scanned > limits.head_bytes_max {
                return self.refuse(0, 431, "head too long");
            }
            return Ok(Step::Wait);
        };
        if head_len > limits.head_bytes_max {
            return self.refuse(0, 431, "head too long");
        }
        match Head::parse(&buf[..head_len]) {
            Ok(head) => {
                self.body = Some(Box::new(Body {
                    head: Box::new(head),
                    head_len,
                    decoded: Vec::new(),
                    at: head_len,
                    last_chunk_seen: false,
                }));
                Ok(Step::Head)
            }
            Err((status, reason)) => self.refuse(0, status, reason),
        }
    }

    fn next_body(&mut self, limits: &Limits) -> Result<Step, Refused> {
        let Some(mut body) = self.body.take() else {
            return Ok(Step::Wait);
        };
        let max = limits.body_bytes_max;
        let buf = self.unread();
        let end = match body.head.body {
            BodyLength::Bytes(len) if len > max as u64 => {
                return self.refuse(body.head_len, 413, "body too long");
            }
            BodyLength::Bytes(len) => {
                let end = body.head_len + len as usize;
                if buf.len() < end {
                    self.body = Some(body);
                    return Ok(Step::Wait);
                }
                body.decoded.extend_from_slice(&buf[body.head_len..end]);
                end
            }
            BodyLength::Chunked => {
                // Looking no further than the limit makes the outcome the same at every split.
                let limit = body.head_len + max;
                let view = &buf[..buf.len().min(limit)];
                let done = decode(view, &mut body);
                match done {
                    Err(reason) => return self.refuse(body.at, 400, reason),
                    Ok(true) => body.at,
                    Ok(false) if buf.len() > limit => {
                        return self.refuse(body.head_len, 413, "body too long");
                    }
                    Ok(false) => {
                        self.body = Some(body);
                        return Ok(Step::Wait);
                    }
                }
            }
        };
        let offset = self.base;
        self.consume(end);
        Ok(Step::Request(Request {
            head: body.head,
            body: body.decoded,
            offset,
        }))
    }

    fn consume(&mut self, n: usize) {
        self.done += n;
        self.base += n as u64;
        self.scanned = 0;
    }
}

/// Length of the head at the start of `buf`; the first `scanned` bytes are known to hold no end.
pub(crate) fn head_end(buf: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(2);
    let mut at = from;
    while let Some(n) = buf.get(at..)?.iter().position(|&b| b == b'\n') {
        at += n + 1;
        match buf.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Decode chunked coding from `body.at` on; true when its end was found.
fn decode(buf: &[u8], body: &mut Body) -> Result<bool, &'static str> {
    loop {
        let rest = buf.get(body.at..).unwrap_or(&[]);
        let Some(line_len) = rest.iter().take(CHUNK_LINE_MAX).position(|&b| b == b'\n') else {
            if rest.len() >= CHUNK_LINE_MAX {
                return Err("line of chunked coding");
            }
            return Ok(false);
        };
        let line = rest[..line_len].trim_ascii_end();
        let after = body.at + line_len + 1;
        if body.last_chunk_seen {
            body.at = after;
            if line.is_empty() {
                return Ok(true);
            }
            continue;
        }
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let text = std::str::from_utf8(&line[..digits]).unwrap_or("");
        let extension = line[digits..].trim_ascii_start();
        if digits == 0 || digits > 8 || !(extension.is_empty() || extension[0] == b';') {
            return Err("chunk-size");
        }
        let size = usize::from_str_radix(text, 16).map_err(|_| "chunk-size")?;
        if size == 0 {
            body.last_chunk_seen = true;
            body.at = after;
            continue;
        }
        match buf.get(after..after + size + 2) {
            None => return Ok(false),
            Some(chunk) if chunk.ends_with(b"\r\n") => {
                body.decoded.extend_from_slice(&chunk[..size]);
                body.at = after + size + 2;
            }
            Some(_) => return Err("end of chunk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        head_bytes_max: 100,
        body_bytes_max: 50,
    };

    /// Everything a stream gives when it arrives in pieces of `size` bytes.
    fn run(bytes: &[u8], size: usize) -> (Vec<Request>, Option<Refused>) {
        let mut reader = Reader::default();
        let mut requests = Vec::new();
        for piece in bytes.chunks(size) {
            reader.push(piece);
            loop {
                match reader.next(&LIMITS) {
                    Ok(Step::Wait) => break,
                    Ok(Step::Head) => assert!(reader.head().is_some()),
                    Ok(Step::Request(r)) => requests.push(r),
                    Err(refused) => return (requests, Some(refused)),
                }
            }
        }
        (requests, None)
    }

    fn at_every_split(bytes: &[u8]) -> (Vec<Request>, Option<Refused>) {
        let whole = run(bytes, bytes.len());
        for size in 1..bytes.len() {
            assert_eq!(run(bytes, size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn pipelined_requests() {
        let (requests, refused) = at_every_split(
            b"\r\n\nGET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz\
              POST /c HTTP/1.1\nTransfer-Encoding: chunked\n\n2;e=f\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n\
              OPTIONS * HTTP/1.1\r\n\r\nGE",
        );
        assert_eq!(refused, None);
        let got: Vec<_> = requests
            .iter()
            .map(|r| (&*r.head.path, &*r.body, r.offset))
            .collect();
        assert_eq!(got[0], ("/a", &b""[..], 3));
        assert_eq!(got[1], ("/b", &b"xyz"[..], 22));
        assert_eq!((got[2].0, got[2].1), ("/c", &b"abc"[..]));
        assert_eq!((got[3].0, got[3].1), ("*", &b""[..]));
        assert_eq!(got.len(), 4);
    }

    #[test]
    fn limits_hold_at_every_split() {
        let status = |bytes: &[u8]| at_every_split(bytes).1.map(|r| r.status);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200));
        assert_eq!(status(long.as_bytes()), Some(431));
        assert_eq!(status(&[b'a'; 200]), Some(431));
        assert_eq!(status(b"\x16\x03\x01\x02\x00"), Some(400));
        assert_eq!(
            status(b"POST / HTTP/1.1\r\nContent-Length: 51\r\n\r\n"),
            Some(413)
        );
        assert_eq!(
            status(b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n"),
            Some(413)
        );
        let chunked = |body: &str| {
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            status(format!("{head}{body}").as_bytes())
        };
        assert_eq!(chunked(&"1\r\na\r\n".repeat(20)), Some(413));
        assert_eq!(
            chunked("ffffffff\r\n"),
            None,
            "waits for bytes that cannot come"
        );
        assert_eq!(chunked("fffffffff\r\n"), Some(400));
        assert_eq!(chunked("x\r\n"), Some(400));
        assert_eq!(chunked("1 x\r\n"), Some(400));
        assert_eq!(chunked("1\r\nabc"), Some(400));
        assert_eq!(chunked(&format!("ff\r\n{}", "a".repeat(60))), Some(413));
    }

    #[test]
    fn a_body_can_be_read_elsewhere() {
        let head = b"POST /a HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n";
        let mut reader = Reader::default();
        reader.push(b"GET / HTTP/1.1\r\n\r\n");
        reader.push(&[&head[..], b"abc"].concat());
        while reader.next(&LIMITS) != Ok(Step::Head) || reader.unread().starts_with(b"GET") {}
        assert_eq!(reader.behind_head(), b"abc");
        let (taken, rest) = reader.detach().unwrap();
        assert_eq!((&*taken.path, &*rest), ("/a", &b"abc"[..]));
        assert_eq!(
            (reader.buffered(), reader.offset()),
            (0, 18 + head.len() as u64)
        );
        assert_eq!(reader.detach(), None);
        reader.resume(9_999_999_999, b"GET /b HTTP/1.1\r\n\r\n");
        assert_eq!(reader.next(&LIMITS), Ok(Step::Head));
        assert_eq!(reader.head().unwrap().path, "/b");
        assert_eq!(reader.offset(), 18 + head.len() as u64 + 9_999_999_999);
    }

    #[test]
    fn nothing_is_kept_between_requests() {
        let mut reader = Reader::default();
        reader.push(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(reader.next(&LIMITS), Ok(Step::Head));
        assert_eq!(reader.unread(), b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(reader.next(&LIMITS), Ok(Step::Request(_))));
        assert_eq!(reader.next(&LIMITS), Ok(Step::Wait));
        assert_eq!((reader.buf.capacity(), reader.offset()), (0, 18));
    }
}
