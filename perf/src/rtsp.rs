//! RTSP with RTP as the swarm reads it: of media only heads, of everything else whole messages. The
//! order of the messages is in [`client`].

pub mod client;

use crate::asf;
use crate::media::DataHead;
use protocols::rtsp::payload::{PAYLOAD_HEAD_MAX, PayloadHead};
use protocols::rtsp::reader::{FRAME_HEAD, Limits, Message, Reader, Step};
use protocols::rtsp::rtp::{self, HEAD_LEN};
use protocols::rtsp::sdp_reader;

/// Bytes of an RTP packet that hold all that is looked at.
pub const HEAD_MAX: usize = HEAD_LEN + PAYLOAD_HEAD_MAX + asf::SEND_TIME_WITHIN;
/// Bytes of the MMS header, as which the one before the ASF packet is counted.
const MMS: usize = 8;
/// Longest messages that are taken.
pub const LIMITS: Limits = Limits {
    head_bytes_max: 16_384,
    body_bytes_max: sdp_reader::BYTES_MAX,
    frame_bytes_max: u16::MAX as usize,
};

/// Head of an RTP packet with ASF in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// What is in it.
    pub payload_type: u8,
    /// Whose it is.
    pub ssrc: u32,
    /// The rest; the sequence is that of RTP.
    pub head: DataHead,
}

/// An RTP packet of which these are the first bytes, [`HEAD_MAX`] of them if it is not shorter, and
/// this the length. One ASF packet or a piece of one is expected in it (RTSP-11).
pub fn packet(bytes: &[u8], len: usize) -> Result<Data, String> {
    let fault = |f: protocols::rtsp::Fault| format!("RTP packet of {len} bytes: {f}");
    // Version 2 and nothing else (rtsp-wme.md 2.2); padding could not be seen here.
    if bytes.first() != Some(&0x80) {
        return Err(format!("RTP packet of {len} bytes: not begun with 0x80"));
    }
    let rtp = rtp::Packet::parse(bytes).map_err(fault)?;
    let payload = PayloadHead::parse(rtp.payload).map_err(fault)?;
    let head_len = payload.wire_len();
    let asf_len = len.saturating_sub(HEAD_LEN + head_len);
    let said = payload.length_or_offset as usize;
    // RTSP-12: with this header or without.
    let fits = !payload.whole || said == asf_len || said == asf_len + head_len;
    let declared = if fits { asf_len } else { said };
    let counted = |n: usize| u16::try_from(n + MMS).unwrap_or(u16::MAX);
    let begins = payload.whole || said == 0;
    // RTSP-07, RTSP-14
    let time = rtp
        .header
        .timestamp
        .wrapping_add_signed(payload.relative.unwrap_or(0));
    let told = rtp.payload.get(head_len..).and_then(asf::send_time);
    Ok(Data {
        payload_type: rtp.header.payload_type,
        ssrc: rtp.header.ssrc,
        head: DataHead {
            location: payload.location,
            sequence: rtp.header.sequence,
            frame_len: counted(asf_len),
            size_field: counted(declared),
            send_time: (!begins || told == Some(time)).then_some(time),
        },
    })
}

/// One thing out of a connection's bytes.
#[derive(Debug)]
pub enum Item<'a> {
    /// A whole message.
    Message(Message),
    /// An interleaved frame.
    Frame {
        /// Channel.
        channel: u8,
        /// Its first bytes, [`HEAD_MAX`] of them if it is not shorter.
        head: &'a [u8],
        /// Its length.
        len: usize,
    },
}

/// Splits a connection's bytes whatever way they arrive, keeping heads and messages only.
#[derive(Debug, Default)]
pub struct Deframer {
    skip: usize,
    held: Vec<u8>,
    /// While a message is incomplete.
    message: Option<Box<Reader>>,
}

impl Deframer {
    /// Take bytes; `each` gets every frame as soon as its head is complete, and every message when
    /// it is whole. An error means that the bytes cannot be followed any further, or is that of
    /// `each`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some(&first) = bytes.first() {
            if self.skip > 0 {
                let n = bytes.len().min(self.skip);
                self.skip -= n;
                bytes = &bytes[n..];
                continue;
            }
            if self.message.is_some() {
                bytes = self.read_on(bytes, &mut each)?;
                continue;
            }
            if self.held.is_empty() {
                match first {
                    b'$' => {}
                    b'\r' | b'\n' | 0 => {
                        bytes = &bytes[1..];
                        continue;
                    }
                    _ => {
                        self.message = Some(Box::default());
                        continue;
                    }
                }
                let wanted = wanted(bytes);
                if bytes.len() >= wanted && wanted > FRAME_HEAD {
                    self.give(&bytes[..wanted], &mut each)?;
                    bytes = &bytes[wanted..];
                    continue;
                }
            }
            bytes = self.gather(bytes, &mut each)?;
        }
        Ok(())
    }

    /// True between two frames or messages.
    pub fn at_boundary(&self) -> bool {
        self.skip == 0 && self.held.is_empty() && self.message.is_none()
    }

    /// Go on with a message; what is left behind it.
    fn read_on<'a>(
        &mut self,
        bytes: &'a [u8],
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<&'a [u8], String> {
        let Some(reader) = &mut self.message else {
            return Ok(bytes);
        };
        reader.push(bytes);
        let message = match reader.next(&LIMITS).map_err(|r| r.to_string())? {
            Step::Wait => return Ok(&[]),
            Step::Message(message) => message,
            Step::Frame { .. } | Step::Skipped { .. } => {
                return Err("frame inside a message".into());
            }
        };
        // It was incomplete without these bytes: what is left are the last of them.
        let left = reader.buffered().min(bytes.len());
        self.message = None;
        each(Item::Message(message))?;
        Ok(&bytes[bytes.len() - left..])
    }

    fn give(
        &mut self,
        frame: &[u8],
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some((&[_, channel, a, b], head)) = frame.split_first_chunk::<FRAME_HEAD>() else {
            return Ok(());
        };
        let len = usize::from(u16::from_be_bytes([a, b]));
        self.skip = len - head.len();
        each(Item::Frame { channel, head, len })
    }

    fn gather<'a>(
        &mut self,
        mut bytes: &'a [u8],
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<&'a [u8], String> {
        loop {
            let lacks = match self.held.len() {
                n @ 0..FRAME_HEAD => FRAME_HEAD - n,
                n => wanted(&self.held) - n,
            };
            if lacks == 0 {
                break;
            }
            if bytes.is_empty() {
                return Ok(bytes);
            }
            let n = lacks.min(bytes.len());
            self.held.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
        }
        let mut held = std::mem::take(&mut self.held);
        let given = self.give(&held, each);
        held.clear();
        self.held = held;
        given.map(|()| bytes)
    }
}

/// How much of a frame is gathered before it is given on; its own head if that is not known yet.
fn wanted(bytes: &[u8]) -> usize {
    match bytes {
        &[_, _, a, b, ..] => FRAME_HEAD + usize::from(u16::from_be_bytes([a, b])).min(HEAD_MAX),
        _ => FRAME_HEAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// rtsp-wme.md 10.4: the ASF packet of 48 bytes, and heads before it.
    const ASF: [u8; 48] = [
        0x82, 0, 0, 0x40, 0x5D, 0x30, 0, 0x0A, 0, 0, 0, 0x0A, 0, 0x81, 1, 0, 0, 0, 0, 8, 0x14, 0,
        0, 0, 0xC2, 0x0B, 0, 0, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2, 0xA3,
    ];
    const RTP: [u8; 12] = [
        0x80, 0xE0, 0x69, 0x58, 0, 0, 0, 0x0A, 0x38, 0x74, 0xDD, 0x27,
    ];

    fn rtp_packet(payload_head: &[u8], asf: &[u8]) -> Vec<u8> {
        [&RTP, payload_head, asf].concat()
    }

    fn read(bytes: &[u8]) -> Result<Data, String> {
        packet(&bytes[..bytes.len().min(HEAD_MAX)], bytes.len())
    }

    // RTSP-07, RTSP-12
    #[test]
    fn both_meanings_of_the_length_fit() {
        for length in [0x34, 0x30] {
            let d = read(&rtp_packet(&[0xC0, 0, 0, length], &ASF)).unwrap();
            assert_eq!((d.payload_type, d.ssrc), (96, 0x3874_DD27));
            let h = d.head;
            assert_eq!((h.sequence, h.location), (26968, None));
            assert_eq!((h.frame_len, h.size_field), (56, 56));
            assert_eq!(h.send_time, Some(10));
        }
        let d = read(&rtp_packet(&[0xC0, 0, 0, 0x33], &ASF)).unwrap();
        assert_eq!((d.head.frame_len, d.head.size_field), (56, 0x33 + 8));
    }

    #[test]
    fn all_fields_are_read() {
        let head = [0xD8, 0, 0, 0x3C, 0, 0, 0, 10, 0, 0, 0, 1];
        let h = read(&rtp_packet(&head, &ASF)).unwrap().head;
        assert_eq!((h.location, h.frame_len, h.size_field), (Some(1), 56, 56));
        // RTSP-14: this one is 10 ms behind the timestamp, which its own head does not confirm.
        let head = [0xE0, 0, 0, 0x38, 0, 0, 0, 10];
        assert_eq!(read(&rtp_packet(&head, &ASF)).unwrap().head.send_time, None);
    }

    #[test]
    fn pieces_have_the_time_of_their_packet() {
        let first = read(&rtp_packet(&[0x80, 0, 0, 0], &ASF[..32]))
            .unwrap()
            .head;
        let second = read(&rtp_packet(&[0x80, 0, 0, 32], &ASF[32..]))
            .unwrap()
            .head;
        assert_eq!((first.send_time, second.send_time), (Some(10), Some(10)));
        assert_eq!((first.frame_len, first.size_field), (40, 40));
        assert_eq!((second.frame_len, second.size_field), (24, 24));
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        let whole = rtp_packet(&[0xC0, 0, 0, 0x34], &ASF);
        for len in 0..16 {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        let mut padded = whole.clone();
        padded[0] = 0xA0;
        assert!(read(&padded).unwrap_err().contains("0x80"));
    }

    #[derive(Debug, PartialEq)]
    enum Seen {
        Status(Option<u16>, Vec<u8>),
        Frame(u8, Vec<u8>, usize),
    }

    fn all(bytes: &[u8], split: impl Iterator<Item = usize>) -> (Vec<Seen>, bool) {
        let mut deframer = Deframer::default();
        let mut seen = Vec::new();
        let mut note = |item: Item<'_>| {
            seen.push(match item {
                Item::Message(m) => Seen::Status(m.head.status(), m.body),
                Item::Frame { channel, head, len } => Seen::Frame(channel, head.to_vec(), len),
            });
            Ok(())
        };
        let mut rest = bytes;
        for n in split {
            let n = n.min(rest.len());
            deframer.feed(&rest[..n], &mut note).unwrap();
            rest = &rest[n..];
        }
        deframer.feed(rest, &mut note).unwrap();
        (seen, deframer.at_boundary())
    }

    fn stream() -> (Vec<u8>, Vec<Seen>) {
        let (mut bytes, mut expect) = (Vec::new(), Vec::new());
        for (i, len) in [200usize, 0, HEAD_MAX, 5, 3000].into_iter().enumerate() {
            let frame: Vec<u8> = (0..len).map(|n| b'$'.wrapping_add(n as u8)).collect();
            bytes.extend([b'$', i as u8]);
            bytes.extend((len as u16).to_be_bytes());
            bytes.extend(&frame);
            let head = frame[..len.min(HEAD_MAX)].to_vec();
            expect.push(Seen::Frame(i as u8, head, len));
            bytes.extend(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\n$$$\r\n\0");
            expect.push(Seen::Status(Some(200), b"$$$".to_vec()));
            bytes.extend(b"RTSP/1.0 454 No\r\n\r\n");
            expect.push(Seen::Status(Some(454), Vec::new()));
        }
        (bytes, expect)
    }

    // RTSP-03
    #[test]
    fn every_single_split_gives_the_same() {
        let (bytes, expect) = stream();
        for at in 0..bytes.len() {
            let (seen, boundary) = all(&bytes, [at].into_iter());
            assert_eq!(seen, expect, "split at {at}");
            assert!(boundary);
        }
        let (seen, _) = all(&bytes, std::iter::repeat_n(1, bytes.len()));
        assert_eq!(seen, expect, "byte by byte");
        assert!(!all(&bytes[..bytes.len() - 1], std::iter::empty()).1);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(cuts in prop::collection::vec(1usize..900, 0..12)) {
            let (bytes, expect) = stream();
            let (seen, boundary) = all(&bytes, cuts.into_iter());
            prop_assert_eq!(seen, expect);
            prop_assert!(boundary);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            let at = at.min(bytes.len());
            let mut deframer = Deframer::default();
            let mut count = 0;
            let mut each = |item: Item<'_>| {
                if let Item::Frame { head, len, .. } = item {
                    let _ = packet(head, len);
                }
                count += 1;
                Ok(())
            };
            if deframer.feed(&bytes[..at], &mut each).is_ok() {
                let _ = deframer.feed(&bytes[at..], &mut each);
            }
            prop_assert!(count <= bytes.len() / 4 + 1);
        }
    }
}
