//! Frames out of the body of a PushStart, in any split (MS-WMHTTP 2.2.3).

use crate::wmhttp::frame::{HEAD_LEN, Head, Kind, REASON_LEN};
use bytes::Bytes;

/// What is set aside at once for a frame that has begun; a longer one gets more as it comes, so that a
/// length alone costs little.
const FIRST_BYTES: usize = 16 * 1024;

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: Kind,
    /// Of `$C` and `$E`, else 0.
    pub reason: u32,
    /// Of what is neither `$F` nor unknown; those are skipped.
    pub payload: Bytes,
}

/// How far the body came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed.
    Wait,
    /// A frame is complete.
    Frame(Frame),
    /// The body is complete.
    End,
}

/// A body that is being received. Counts its bytes; no frame reaches beyond its end.
#[derive(Debug)]
pub(super) struct Body {
    /// Bytes that it has.
    len: u64,
    /// Bytes that are still to come.
    left: u64,
    /// Offset of the frame that is being received, or was last.
    frame_at: u64,
    at: At,
}

#[derive(Debug)]
enum At {
    Head { bytes: [u8; HEAD_LEN], have: usize },
    Payload { head: Head, got: Vec<u8> },
    Skip { kind: Kind, left: u16 },
}

const BOUNDARY: At = At::Head {
    bytes: [0; HEAD_LEN],
    have: 0,
};

impl Body {
    /// One of `len` bytes.
    pub fn new(len: u64) -> Body {
        Body {
            len,
            left: len,
            frame_at: 0,
            at: BOUNDARY,
        }
    }

    /// Bytes that the whole body has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Offset of the current frame in the body.
    pub fn frame_at(&self) -> u64 {
        self.frame_at
    }

    /// True if every byte has come.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Go on as far as `input` reaches; what is used is cut off it.
    ///
    /// # Errors
    /// Bytes that are no frame, or one that is too short for itself or too long for the body. The body
    /// cannot be read further.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Step, &'static str> {
        loop {
            match &mut self.at {
                At::Head { have: 0, .. } if self.left == 0 => return Ok(Step::End),
                At::Head { bytes, have } => {
                    if *have == 0 {
                        self.frame_at = self.len - self.left;
                        // The client's rules never leave one, two or three bytes.
                        if self.left < HEAD_LEN as u64 {
                            return Err("no room for a frame at the end of the body");
                        }
                    }
                    let piece = take(input, HEAD_LEN - *have);
                    self.left -= piece.len() as u64;
                    bytes[*have..*have + piece.len()].copy_from_slice(piece);
                    *have += piece.len();
                    if *have < HEAD_LEN {
                        return Ok(Step::Wait);
                    }
                    let head = Head::read(*bytes).ok_or("start of a frame")?;
                    self.begin(head)?;
                }
                At::Payload { head, got } => {
                    let want = usize::from(head.length) - got.len();
                    let piece = take(input, want);
                    self.left -= piece.len() as u64;
                    let payload = if piece.len() < want {
                        if got.is_empty() {
                            got.reserve_exact(usize::from(head.length).min(FIRST_BYTES));
                        }
                        got.extend_from_slice(piece);
                        return Ok(Step::Wait);
                    } else if got.is_empty() {
                        Bytes::copy_from_slice(piece)
                    } else {
                        got.extend_from_slice(piece);
                        Bytes::from(std::mem::take(got))
                    };
                    let kind = head.kind;
                    self.at = BOUNDARY;
                    return Ok(Step::Frame(whole(kind, payload)));
                }
                At::Skip { kind, left } => {
                    let piece = take(input, usize::from(*left));
                    self.left -= piece.len() as u64;
                    *left -= u16::try_from(piece.len()).unwrap_or(*left);
                    if *left > 0 {
                        return Ok(Step::Wait);
                    }
                    let kind = *kind;
                    self.at = BOUNDARY;
                    return Ok(Step::Frame(whole(kind, Bytes::new())));
                }
            }
        }
    }

    /// The head of a frame is there.
    fn begin(&mut self, head: Head) -> Result<(), &'static str> {
        if u64::from(head.length) > self.left {
            return Err("frame that reaches beyond the body");
        }
        // WMHTTP-104: a `$E` without anything is one with Reason 0.
        let short = usize::from(head.length) < REASON_LEN;
        if head.kind.has_reason() && short && !(head.kind == Kind::End && head.length == 0) {
            return Err("frame too short for its Reason");
        }
        self.at = match head.kind {
            // WMHTTP-22
            Kind::Filler | Kind::Unknown(_) => At::Skip {
                kind: head.kind,
                left: head.length,
            },
            _ => At::Payload {
                head,
                got: Vec::new(),
            },
        };
        Ok(())
    }
}

fn whole(kind: Kind, mut payload: Bytes) -> Frame {
    let mut reason = 0;
    if kind.has_reason()
        && let Some(first) = payload.first_chunk::<REASON_LEN>()
    {
        reason = u32::from_le_bytes(*first);
        payload = payload.slice(REASON_LEN..);
    }
    Frame {
        kind,
        reason,
        payload,
    }
}

/// At most `want` bytes off the front.
fn take<'a>(input: &mut &'a [u8], want: usize) -> &'a [u8] {
    let (piece, rest) = input.split_at(want.min(input.len()));
    *input = rest;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wmhttp::frame;

    fn read(
        bytes: &[u8],
        len: u64,
        piece: usize,
    ) -> (Vec<Frame>, Result<bool, (u64, &'static str)>) {
        let mut body = Body::new(len);
        let mut frames = Vec::new();
        for mut input in bytes.chunks(piece) {
            loop {
                match body.next(&mut input) {
                    Ok(Step::Wait) => break,
                    Ok(Step::Frame(frame)) => frames.push(frame),
                    Ok(Step::End) => return (frames, Ok(true)),
                    Err(reason) => return (frames, Err((body.frame_at(), reason))),
                }
            }
        }
        (frames, Ok(body.is_complete()))
    }

    fn at_every_split(bytes: &[u8], len: u64) -> (Vec<Frame>, Result<bool, (u64, &'static str)>) {
        let whole = read(bytes, len, bytes.len());
        for piece in 1..bytes.len() {
            assert_eq!(read(bytes, len, piece), whole, "in pieces of {piece}");
        }
        whole
    }

    // WMHTTP-13, WMHTTP-14, WMHTTP-22, WMHTTP-104
    #[test]
    fn frames_at_every_split() {
        let mut bytes = Vec::new();
        assert!(frame::put(Kind::Header, 0, b"head", &mut bytes));
        assert!(frame::put(Kind::Data, 0, b"packet", &mut bytes));
        assert!(frame::put(Kind::Data, 0, b"", &mut bytes));
        assert!(frame::put(Kind::Filler, 0, &[1; 300], &mut bytes));
        assert!(frame::put(Kind::Unknown(b'Z'), 0, &[2; 3], &mut bytes));
        bytes[4 + 4] |= 0x80;
        assert!(frame::put(Kind::Change, 5, b"new", &mut bytes));
        assert!(frame::put(Kind::End, 0x8000_4005, b"", &mut bytes));
        bytes.extend([0x24, 0x45, 0, 0]);
        let (frames, end) = at_every_split(&bytes, bytes.len() as u64);
        assert_eq!(end, Ok(true));
        let got: Vec<_> = frames
            .iter()
            .map(|f| (f.kind, f.reason, &*f.payload))
            .collect();
        assert_eq!(
            got,
            [
                (Kind::Header, 0, &b"head"[..]),
                (Kind::Data, 0, b"packet"),
                (Kind::Data, 0, b""),
                (Kind::Filler, 0, b""),
                (Kind::Unknown(b'Z'), 0, b""),
                (Kind::Change, 5, b"new"),
                (Kind::End, 0x8000_4005, b""),
                (Kind::End, 0, b""),
            ]
        );
    }

    #[test]
    fn no_frame_reaches_beyond_the_body() {
        let frame = [0x24, 0x44, 4, 0, 1, 2, 3, 4];
        let (frames, end) = at_every_split(&frame, 7);
        assert_eq!(
            (frames.len(), end),
            (0, Err((0, "frame that reaches beyond the body")))
        );
        let two = [frame, frame].concat();
        let (frames, end) = at_every_split(&two, 11);
        let reason = "no room for a frame at the end of the body";
        assert_eq!((frames.len(), end), (1, Err((8, reason))));
        let (frames, end) = at_every_split(&two, 12);
        assert_eq!(
            (frames.len(), end),
            (1, Err((8, "frame that reaches beyond the body")))
        );
        let (frames, end) = at_every_split(&two, 8);
        assert_eq!(
            (frames.len(), end),
            (1, Ok(true)),
            "what follows is another request"
        );
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for (bytes, reason) in [
            (&[0x25, 0x44, 0, 0][..], "start of a frame"),
            (
                &[0x24, 0x45, 3, 0, 0, 0, 0],
                "frame too short for its Reason",
            ),
            (&[0x24, 0x43, 0, 0], "frame too short for its Reason"),
        ] {
            assert_eq!(at_every_split(bytes, 100).1, Err((0, reason)));
        }
    }

    #[test]
    fn a_length_alone_costs_little() {
        let mut body = Body::new(u64::MAX);
        let mut input = &[0x24, 0x44, 0xFF, 0xFF, 0][..];
        assert_eq!(body.next(&mut input), Ok(Step::Wait));
        let At::Payload { got, .. } = &body.at else {
            panic!("{body:?}");
        };
        assert_eq!(got.capacity(), FIRST_BYTES);
    }
}
