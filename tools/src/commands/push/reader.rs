//! ASF out of a byte stream, piece by piece: a file as it is stored, or what FFmpeg's `asf_stream`
//! writes.
//!
//! The latter is ASF in the frames of WMSP: `$`, a letter, a length that counts what follows it, four bytes
//! of sequence, two of flags, and the length again (wmhttp.md 12).

use bytes::Bytes;
use protocols::asf::guid::{self, Guid};
use protocols::asf::header::header_len_within;
use protocols::asf::{FIXED_HEAD, Header};
use protocols::wmhttp::frame::{HEADER_MAX, Head, Kind};
use std::fmt;
use std::io::{self, Read};

/// Bytes of a frame's head.
const FRAME_HEAD: usize = 12;
/// How many of them its length counts.
const COUNTED: usize = 8;
/// What FFmpeg's `$E` has behind them, at most, and what else is passed over.
const SKIPPED_MAX: usize = u16::MAX as usize;

/// What follows the packets of a stored file.
const TRAILERS: [Guid; 4] = [
    guid::SIMPLE_INDEX_OBJECT,
    guid::INDEX_OBJECT,
    guid::MEDIA_OBJECT_INDEX_OBJECT,
    guid::TIMECODE_INDEX_OBJECT,
];

/// A part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A header and the head of the Data Object. Packets of it follow.
    Header(Bytes),
    /// One packet as it stands there. It may be damaged.
    Packet(Vec<u8>),
}

/// Where and why a stream cannot be read further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from its beginning.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.reason)
    }
}

/// See the module.
pub struct Reader<R> {
    input: R,
    /// Bytes read.
    offset: u64,
    form: Form,
    packet_size: usize,
    remark: Option<Fault>,
}

enum Form {
    Unknown,
    /// As stored; so many packets are still to come, if the header says how many there are.
    Stored {
        left: Option<u64>,
    },
    Framed,
    Ended,
}

impl<R: Read> Reader<R> {
    /// Of a stream from its beginning.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input,
            offset: 0,
            form: Form::Unknown,
            packet_size: 0,
            remark: None,
        }
    }

    /// The next piece; `None` at the end. The first one is a header.
    ///
    /// # Errors
    /// If this is no ASF, or cannot be read. Nothing comes after that.
    pub fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let piece = match self.form {
            Form::Unknown => self.first(),
            Form::Stored { left: Some(0) } | Form::Ended => Ok(None),
            Form::Stored { left } => self.stored(left),
            Form::Framed => self.framed(),
        };
        if !matches!(piece, Ok(Some(_))) {
            self.form = Form::Ended;
        }
        piece
    }

    /// Where and how the stream ended before its time, if it did.
    pub fn remark(&self) -> Option<&Fault> {
        self.remark.as_ref()
    }

    fn first(&mut self) -> Result<Option<Piece>, Fault> {
        let mut start = [0; 4];
        if self.read(&mut start)? < start.len() {
            return fault(0, "empty, or nearly so");
        }
        if start == guid::HEADER_OBJECT.0[..4] {
            return self.stored_header(start);
        }
        if Head::read(start).is_some_and(|head| head.kind == Kind::Header) {
            self.form = Form::Framed;
            return self.frame(start);
        }
        fault(0, "neither ASF nor what FFmpeg's asf_stream writes")
    }

    fn stored_header(&mut self, start: [u8; 4]) -> Result<Option<Piece>, Fault> {
        let mut fixed = [0; FIXED_HEAD];
        fixed[..4].copy_from_slice(&start);
        self.whole(&mut fixed[4..], "header")?;
        let len = header_len_within(&fixed, HEADER_MAX as u64).map_err(|e| at(0, e))?;
        // It is at most as long as a frame.
        let mut blob = vec![0; usize::try_from(len).unwrap_or(HEADER_MAX)];
        blob[..FIXED_HEAD].copy_from_slice(&fixed);
        self.whole(&mut blob[FIXED_HEAD..], "header")?;
        let header = Header::parse(&blob).map_err(|e| at(0, e))?;
        self.packet_size = header.packet_size() as usize;
        let packets = header
            .data_size()
            .map(|size| size / self.packet_size as u64);
        self.form = Form::Stored { left: packets };
        Ok(Some(Piece::Header(blob.into())))
    }

    fn stored(&mut self, left: Option<u64>) -> Result<Option<Piece>, Fault> {
        let start = self.offset;
        let mut packet = vec![0; self.packet_size];
        let len = self.read(&mut packet)?;
        let is_trailer = |g: &Guid| packet[..len].starts_with(&g.0);
        if TRAILERS.iter().any(is_trailer) || (len == 0 && left.is_none()) {
            return Ok(None);
        }
        if len < packet.len() {
            let reason = match (len, left) {
                (0, left) => format!("the file ends {} packets early", left.unwrap_or(0)),
                _ => format!("the file ends inside a packet, {len} bytes of it are there"),
            };
            self.remark = fault::<()>(start, reason).err();
            return Ok(None);
        }
        self.form = Form::Stored {
            left: left.map(|n| n - 1),
        };
        Ok(Some(Piece::Packet(packet)))
    }

    fn framed(&mut self) -> Result<Option<Piece>, Fault> {
        let start = self.offset;
        let mut first = [0; 4];
        match self.read(&mut first)? {
            4 => self.frame(first),
            len => {
                let reason = match len {
                    0 => "the stream ends without an $E",
                    _ => "the stream ends inside a frame",
                };
                self.remark = fault::<()>(start, reason).err();
                Ok(None)
            }
        }
    }

    /// The frame that begins with these bytes, or the next one of use.
    fn frame(&mut self, mut first: [u8; 4]) -> Result<Option<Piece>, Fault> {
        loop {
            let start = self.offset - 4;
            let Some(head) = Head::read(first) else {
                return fault(start, "no frame where one should begin");
            };
            if head.kind == Kind::End {
                return Ok(None);
            }
            let mut rest = [0; FRAME_HEAD - 4];
            if !self.goes_on(&mut rest, start)? {
                return Ok(None);
            }
            let length = usize::from(head.length);
            if length < COUNTED || rest[6..] != first[2..] {
                return fault(start, "the two lengths of a frame differ");
            }
            let mut payload = vec![0; (length - COUNTED).min(SKIPPED_MAX)];
            if !self.goes_on(&mut payload, start)? {
                return Ok(None);
            }
            let payload_at = start + FRAME_HEAD as u64;
            match head.kind {
                Kind::Header => {
                    let header = Header::parse(&payload).map_err(|e| at(payload_at, e))?;
                    self.packet_size = header.packet_size() as usize;
                    return Ok(Some(Piece::Header(payload.into())));
                }
                Kind::Data if payload.len() > self.packet_size => {
                    let (len, max) = (payload.len(), self.packet_size);
                    return fault(
                        payload_at,
                        format!("packet of {len} bytes, the header says {max}"),
                    );
                }
                Kind::Data => return Ok(Some(Piece::Packet(payload))),
                _ => {}
            }
            let next = self.offset;
            if !self.goes_on(&mut first, next)? {
                return Ok(None);
            }
        }
    }

    /// Reads on in what began at `start`; false, with a remark, if the stream ends there.
    fn goes_on(&mut self, buffer: &mut [u8], start: u64) -> Result<bool, Fault> {
        let whole = self.read(buffer)? == buffer.len();
        if !whole {
            self.remark = fault::<()>(start, "the stream ends inside a frame").err();
        }
        Ok(whole)
    }

    fn whole(&mut self, buffer: &mut [u8], what: &str) -> Result<(), Fault> {
        let start = self.offset;
        match self.read(buffer)? {
            len if len == buffer.len() => Ok(()),
            len => fault(start + len as u64, format!("ends inside the {what}")),
        }
    }

    /// Fills the buffer as far as the stream goes.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return fault(self.offset + filled as u64, e.to_string()),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

fn fault<T>(offset: u64, reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        offset,
        reason: reason.into(),
    })
}

/// A fault of some ASF that begins at `start`.
fn at(start: u64, error: protocols::asf::Error) -> Fault {
    Fault {
        offset: start + error.offset,
        reason: error.reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
