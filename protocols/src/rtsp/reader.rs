//! Messages and interleaved frames out of a connection's byte stream, in any split, for both ends.

use super::Fault;
use super::head::{Head, Refused, is_token};
use crate::http::reader::head_end;
use std::ops::Range;

/// Bytes of the head of an interleaved frame: `$`, channel, length.
pub const FRAME_HEAD: usize = 4;

/// Bounds on what one message or frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, blank line included.
    pub head_bytes_max: usize,
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Bytes of an interleaved frame that is given out; longer ones are passed over as they
    /// arrive, without being kept. A server, which ignores frames, needs few; a client 65,535.
    pub frame_bytes_max: usize,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its head.
    pub head: Box<Head>,
    /// Its body.
    pub body: Vec<u8>,
    /// Offset of its first byte in the stream.
    pub offset: u64,
}

/// How far the reader came.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// More bytes are needed.
    Wait,
    /// A message is complete.
    Message(Message),
    /// An interleaved frame is complete (RTSP-03).
    Frame {
        /// Channel: even RTP, odd RTCP of a pair.
        channel: u8,
        /// What is in it.
        bytes: &'a [u8],
    },
    /// An interleaved frame that was longer than the limit has gone by.
    Skipped {
        /// Channel.
        channel: u8,
    },
}

/// The reading side of one connection. Holds no memory beside itself between messages.
#[derive(Debug, Default)]
pub struct Reader {
    buf: Vec<u8>,
    /// Bytes at the start of `buf` that are done with.
    done: usize,
    /// Stream offset of the first byte that is not.
    base: u64,
    /// Bytes after `done` known not to hold the end of a head.
    scanned: usize,
    /// A message whose head is complete, and the head's length.
    head: Option<(Box<Head>, usize)>,
    /// Bytes to pass over, and the channel they belong to.
    skip: Option<(usize, u8)>,
}

/// What [`Reader::next`] found, before it is borrowed from the buffer.
enum Found {
    Wait,
    Message(Message),
    Frame(u8, Range<usize>),
    Skipped(u8),
}

impl Reader {
    /// Take in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.done);
        self.done = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes taken in and not yet given out.
    pub fn buffered(&self) -> usize {
        self.unread().len()
    }

    /// Stream offset of the current message or frame.
    pub fn offset(&self) -> u64 {
        self.base
    }

    /// Everything from this offset of the stream on that was taken in, as long as nothing was pushed
    /// since it was given out: with a message's own offset, it and what waits behind it.
    pub fn unread_from(&self, offset: u64) -> &[u8] {
        let back = usize::try_from(self.base.saturating_sub(offset)).unwrap_or(usize::MAX);
        let start = self.done.checked_sub(back);
        start.and_then(|start| self.buf.get(start..)).unwrap_or(&[])
    }

    /// Go on as far as the bytes reach.
    ///
    /// # Errors
    /// The stream cannot be read further: a server answers with the status and closes.
    pub fn next(&mut self, limits: &Limits) -> Result<Step<'_>, Refused> {
        let found = self.find(limits)?;
        Ok(match found {
            Found::Wait => {
                if self.done == self.buf.len() {
                    self.buf = Vec::new();
                    self.done = 0;
                }
                Step::Wait
            }
            Found::Message(message) => Step::Message(message),
            Found::Skipped(channel) => Step::Skipped { channel },
            Found::Frame(channel, range) => Step::Frame {
                channel,
                bytes: self.buf.get(range).unwrap_or(&[]),
            },
        })
    }

    fn find(&mut self, limits: &Limits) -> Result<Found, Refused> {
        if self.head.is_some() {
            return self.find_body(limits);
        }
        if let Some((left, channel)) = self.skip {
            return Ok(self.pass_over(left, channel));
        }
        // Line ends before a message are ignored (RFC 2326, 4.1), and the NUL that GStreamer puts
        // behind a body (RTSP-138).
        let idle = |b: &&u8| matches!(**b, b'\r' | b'\n' | 0);
        let blank = self.unread().iter().take_while(idle).count();
        self.consume(blank);
        match self.unread().first() {
            None => Ok(Found::Wait),
            Some(b'$') => Ok(self.find_frame(limits)),
            // What can begin no message (a TLS handshake, binary junk) need not be read further.
            Some(&b) if !is_token(b) => self.refuse(0, 400, "start line", "no method"),
            Some(_) => self.find_head(limits),
        }
    }

    fn find_frame(&mut self, limits: &Limits) -> Found {
        let Some(&[_, channel, l0, l1]) = self.unread().first_chunk::<FRAME_HEAD>() else {
            return Found::Wait;
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len > limits.frame_bytes_max {
            self.consume(FRAME_HEAD);
            return self.pass_over(len, channel);
        }
        if self.buffered() < FRAME_HEAD + len {
            return Found::Wait;
        }
        let start = self.done + FRAME_HEAD;
        self.consume(FRAME_HEAD + len);
        Found::Frame(channel, start..start + len)
    }

    fn pass_over(&mut self, left: usize, channel: u8) -> Found {
        let n = left.min(self.buffered());
        self.consume(n);
        self.skip = (n < left).then_some((left - n, channel));
        match self.skip {
            Some(_) => Found::Wait,
            None => Found::Skipped(channel),
        }
    }

    fn find_head(&mut self, limits: &Limits) -> Result<Found, Refused> {
        let buf = self.unread();
        let Some(head_len) = head_end(buf, self.scanned) else {
            self.scanned = buf.len();
            if self.scanned > limits.head_bytes_max {
                return self.refuse(0, 431, "message head", "too long");
            }
            return Ok(Found::Wait);
        };
        if head_len > limits.head_bytes_max {
            return self.refuse(0, 431, "message head", "too long");
        }
        let head = Head::parse(buf.get(..head_len).unwrap_or(buf)).map_err(|refused| Refused {
            fault: refused.fault.moved(self.base),
            ..refused
        })?;
        self.head = Some((Box::new(head), head_len));
        self.find_body(limits)
    }

    fn find_body(&mut self, limits: &Limits) -> Result<Found, Refused> {
        let Some((head, head_len)) = self.head.take() else {
            return Ok(Found::Wait);
        };
        if head.content_length() > limits.body_bytes_max as u64 {
            return self.refuse(head_len, 413, "message body", "too long");
        }
        let end = head_len + head.content_length() as usize;
        let Some(body) = self.unread().get(head_len..end) else {
            self.head = Some((head, head_len));
            return Ok(Found::Wait);
        };
        let body = body.to_vec();
        let offset = self.base;
        self.consume(end);
        Ok(Found::Message(Message { head, body, offset }))
    }

    fn unread(&self) -> &[u8] {
        self.buf.get(self.done..).unwrap_or(&[])
    }

    fn consume(&mut self, n: usize) {
        self.done += n;
        self.base += n as u64;
        if n > 0 {
            self.scanned = 0;
        }
    }

    fn refuse<T>(
        &self,
        at: usize,
        status: u16,
        production: &'static str,
        reason: &'static str,
    ) -> Result<T, Refused> {
        let fault = Fault::at(at, production, reason).moved(self.base);
        Err(Refused::new(status, fault))
    }
}

/// The head of an interleaved frame with `len` bytes; `None` if they do not fit in one (RTSP-03).
pub fn frame_head(channel: u8, len: usize) -> Option<[u8; FRAME_HEAD]> {
    let [l0, l1] = u16::try_from(len).ok()?.to_be_bytes();
    Some([b'$', channel, l0, l1])
}
