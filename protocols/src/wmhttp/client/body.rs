//! The body of one PushStart: so many bytes were announced, and exactly so many are sent
//! (MS-WMHTTP 3.1.4.2.1 - 3.1.4.5).

use crate::wmhttp::frame::{FILLER_MAX, HEAD_LEN, Head, Kind};

/// Bytes of an `$E`.
const END_LEN: u64 = 8;

/// What is to be sent, as far as its place in a body depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `$H`, `$C` or `$D` of so many bytes, head included.
    Media(usize),
    /// `$E` with Reason 1: the session goes on behind it.
    EntryEnd,
    /// `$E` with another Reason: nothing comes behind it.
    End,
}

/// Length-Remaining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    left: u64,
}

impl Body {
    /// Of a PushStart with this Content-Length.
    pub const fn new(content_length: u64) -> Body {
        Body {
            left: content_length,
        }
    }

    /// Length-Remaining.
    pub const fn left(self) -> u64 {
        self.left
    }

    /// True if the part can be sent in this body. What is left behind it is nothing, or enough for a
    /// filler's head.
    pub fn has_room(self, part: Part) -> bool {
        let head = HEAD_LEN as u64;
        match part {
            // WMHTTP-40. The text leaves open what happens if just the four bytes are left: they
            // are an empty filler.
            Part::Media(len) => self.left >= len as u64 + head,
            // WMHTTP-43. Of 9 to 11 bytes it would leave a rest that nothing fits into (WMHTTP-41), so
            // those are filled first.
            Part::EntryEnd => self.left == END_LEN || self.left >= END_LEN + head,
            // Nothing is filled behind it: the connection is closed.
            Part::End => self.left >= END_LEN,
        }
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, len: usize) {
        debug_assert!(len as u64 <= self.left);
        self.left = self.left.saturating_sub(len as u64);
    }

    /// Append the next filler of those that fill the body; false if it is full. Called until then, it
    /// appends no more than one frame at a time.
    // WMHTTP-20, WMHTTP-21, WMHTTP-41, WMHTTP-42
    pub fn fill(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(len) = next_filler(self.left) else {
            return false;
        };
        let length = (len - HEAD_LEN) as u16;
        let kind = Kind::Filler;
        out.extend_from_slice(&Head { kind, length }.bytes());
        out.resize(out.len() + usize::from(length), 0);
        self.left -= len as u64;
        true
    }
}

/// Bytes of the next filler for so many bytes; never leaves one to three.
fn next_filler(left: u64) -> Option<usize> {
    let head = HEAD_LEN as u64;
    if left < head {
        return None;
    }
    let len = left.min(FILLER_MAX as u64);
    let rest = left - len;
    let len = match rest {
        1..=3 => len - head,
        _ => len,
    };
    usize::try_from(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the frames that fill so many bytes.
    fn frames(left: u64) -> Vec<usize> {
        let mut body = Body::new(left);
        let mut frames = Vec::new();
        loop {
            let mut out = Vec::new();
            if !body.fill(&mut out) {
                return frames;
            }
            let head = Head::read([out[0], out[1], out[2], out[3]]).unwrap();
            assert_eq!(head.kind, Kind::Filler);
            assert_eq!(usize::from(head.length), out.len() - 4);
            assert!(out[4..].iter().all(|&b| b == 0));
            frames.push(out.len());
        }
    }

    // WMHTTP-20, WMHTTP-21, WMHTTP-41, WMHTTP-42: the table of section 4.2.
    #[test]
    fn fillers_byte_for_byte() {
        assert_eq!(frames(4), [4]);
        assert_eq!(frames(47), [47]);
        assert_eq!(frames(65_535), [65_535]);
        assert_eq!(frames(65_537), [65_531, 6]);
        assert_eq!(frames(65_539), [65_535, 4]);
        assert_eq!(frames(200_000), [65_535, 65_535, 65_535, 3_395]);
        assert_eq!(frames(0), []);
    }

    #[test]
    fn every_length_is_filled_exactly() {
        for left in (4..2000).chain(65_520..65_560).chain(131_050..131_090) {
            let frames = frames(left);
            assert_eq!(frames.iter().sum::<usize>() as u64, left);
            assert!(frames.iter().all(|f| (4..=FILLER_MAX).contains(f)));
        }
    }

    // WMHTTP-40, WMHTTP-43
    #[test]
    fn a_part_leaves_nothing_or_room_for_a_filler() {
        for left in 0..200 {
            for part in [Part::Media(45), Part::Media(4), Part::EntryEnd] {
                let mut body = Body::new(left);
                if body.has_room(part) {
                    let len = match part {
                        Part::Media(len) => len,
                        _ => 8,
                    };
                    body.sent(len);
                    assert!(!(1..4).contains(&body.left()), "{part:?} in {left}");
                }
            }
        }
        assert!(!Body::new(48).has_room(Part::Media(45)));
        assert!(Body::new(49).has_room(Part::Media(45)));
        let ends = |left| {
            (
                Body::new(left).has_room(Part::EntryEnd),
                Body::new(left).has_room(Part::End),
            )
        };
        assert_eq!(ends(7), (false, false));
        assert_eq!(ends(8), (true, true));
        assert_eq!(ends(9), (false, true));
        assert_eq!(ends(12), (true, true));
    }
}
