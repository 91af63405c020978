//! The packets in the bodies of Describe, Play and their kin: what may follow what (MS-WMSP 3.1.5.6 to
//! 3.1.5.13).

use super::super::packet::{self, Mms, PAIR_COUNT, Packet, PacketId, Parsed, Piece, reason};
use crate::asf;
use crate::client::HEADER_BYTES_MAX;
use bytes::Bytes;

/// Most bytes of metadata of one entry.
const METADATA_BYTES_MAX: usize = 1 << 20;

/// A packet that came, pieces joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `$P`, its size on the connection.
    Pair(usize),
    /// All of `$M`.
    Metadata(Bytes),
    /// All of `$H`.
    Header(Bytes),
    /// `$D`: LocationId and ASF packet.
    Data(u32, Bytes),
    /// `$C`.
    Change(u32),
    /// `$E`.
    End(u32),
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Nothing.
    Nothing,
    /// `$T`.
    Test,
    /// `$P` as long as some are due, then `$M` or `$H`.
    Header,
    /// The pieces of this kind that are still missing.
    Pieces(PacketId),
    /// `$H`, after the last of `$M`.
    HeaderOnly,
    /// `$D`, `$C`, `$E`.
    Data,
    /// `$C`, after `$E` said that another entry follows.
    Change,
    /// Any of these: the body continues a stream that began in an earlier one.
    Any,
    /// More `$E`, which a server sends to push the first one through proxies.
    Ends,
}

/// What kind of body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// Reply to Describe; packet-pair packets come first if granted.
    Describe {
        /// Three `$P` were announced.
        pairs: bool,
    },
    /// Reply to the first Pipeline.
    Test,
    /// Reply to Play.
    Play,
    /// Reply to PlayNextEntry or pipelined SelectStream, or to a Play with xResetStrm.
    Continued,
}

/// A packet that does not belong where it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unexpected {
    /// Bytes from the start of the body.
    pub at: u64,
    /// What was wrong.
    pub reason: String,
}

/// Reads the packets of one body after the other.
#[derive(Debug)]
pub(super) struct Packets {
    buf: Vec<u8>,
    at: usize,
    /// Bytes of this body that left `buf`.
    base: u64,
    expect: Expect,
    pairs: u8,
    pairs_due: u8,
    describes: bool,
    object: Vec<u8>,
    /// Pieces came without a first one: their end is told by the header's own size.
    unmarked: bool,
}

impl Packets {
    pub fn new(kind: BodyKind) -> Packets {
        let (expect, pairs_due) = match kind {
            BodyKind::Describe { pairs } => (Expect::Header, if pairs { PAIR_COUNT } else { 0 }),
            BodyKind::Test => (Expect::Test, 0),
            BodyKind::Play => (Expect::Header, 0),
            BodyKind::Continued => (Expect::Any, 0),
        };
        Packets {
            buf: Vec::new(),
            at: 0,
            base: 0,
            expect,
            pairs: 0,
            pairs_due,
            describes: matches!(kind, BodyKind::Describe { .. }),
            object: Vec::new(),
            unmarked: false,
        }
    }

    /// Where body bytes are to be appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.base += self.at as u64;
        self.buf.drain(..self.at);
        self.at = 0;
        &mut self.buf
    }

    /// The first byte that came, if any did.
    pub fn first_byte(&self) -> Option<u8> {
        self.buf.first().copied()
    }

    /// True if a packet or an object has begun and not ended.
    pub fn is_cut(&self) -> bool {
        self.at < self.buf.len() || matches!(self.expect, Expect::Pieces(_) | Expect::HeaderOnly)
    }

    /// The next event; `None` if more bytes are needed.
    pub fn next(&mut self) -> Result<Option<Event>, Unexpected> {
        loop {
            let at = self.base + self.at as u64;
            let fault = |reason: String| Unexpected { at, reason };
            // Taken out so that the packet may borrow it while the state changes.
            let buf = std::mem::take(&mut self.buf);
            let parsed = packet::parse(&buf[self.at..], self.pairs);
            let result = match parsed {
                Err(f) => Err(fault(f.to_string())),
                Ok(Parsed::Needs(_)) => Ok(None),
                Ok(Parsed::Whole(packet, len)) => {
                    self.at += len;
                    self.take(packet, len).map(Some).map_err(fault)
                }
            };
            self.buf = buf;
            match result? {
                None => return Ok(None),
                Some(Some(event)) => return Ok(Some(event)),
                Some(None) => {}
            }
        }
    }

    fn take(&mut self, packet: Packet<'_>, len: usize) -> Result<Option<Event>, String> {
        use Expect::*;
        let unexpected = |name: &str, expect: Expect| {
            Err(format!("{name} where {} was expected", expect.name()))
        };
        match (packet, self.expect) {
            // BW-09: a fourth one is refused by the parser.
            (Packet::Pair { .. }, Header) if self.pairs < self.pairs_due => {
                self.pairs += 1;
                Ok(Some(Event::Pair(len)))
            }
            (Packet::Test, Test) => {
                self.expect = Nothing;
                Ok(None)
            }
            (_, Header) if self.pairs < self.pairs_due => {
                Err(format!("{} where $P was expected", name(&packet)))
            }
            (Packet::Metadata(mms), Header | Any | Pieces(PacketId::Metadata)) => {
                self.piece(PacketId::Metadata, mms)
            }
            (Packet::Header(mms), Header | HeaderOnly | Any | Pieces(PacketId::Header)) => {
                self.piece(PacketId::Header, mms)
            }
            (Packet::Data { mms, .. }, Data | Any) => {
                self.expect = Data;
                let bytes = Bytes::copy_from_slice(mms.payload);
                Ok(Some(Event::Data(mms.location, bytes)))
            }
            (Packet::StreamChange(why), Data | Any | Change) => {
                self.expect = Header;
                Ok(Some(Event::Change(why)))
            }
            (Packet::End(why), Data | Any) => {
                self.expect = if why == reason::MORE { Change } else { Ends };
                Ok(Some(Event::End(why)))
            }
            (Packet::End(_), Ends) => Ok(None),
            // A letter of a later version: skipped by its length, like an unknown token.
            (Packet::Unknown(..), _) => Ok(None),
            (packet, expect) => unexpected(name(&packet), expect),
        }
    }

    fn piece(&mut self, kind: PacketId, mms: Mms<'_>) -> Result<Option<Event>, String> {
        let begun = matches!(self.expect, Expect::Pieces(_));
        let piece = Piece::from_flags(mms.flags);
        match piece {
            Piece::Whole | Piece::First if begun => {
                return Err("a new first piece before the last of the object".into());
            }
            Piece::Whole | Piece::First => {
                self.object.clear();
                self.unmarked = false;
            }
            // Servers that do not count AFFlags leave them 0.
            Piece::Middle | Piece::Last if !begun => {
                self.object.clear();
                self.unmarked = true;
            }
            Piece::Middle | Piece::Last => {}
        }
        let max = match kind {
            PacketId::Metadata => METADATA_BYTES_MAX,
            _ => HEADER_BYTES_MAX,
        };
        if self.object.len() + mms.payload.len() > max {
            return Err(format!("more than {max} bytes in one object"));
        }
        self.object.extend_from_slice(mms.payload);
        let complete = match piece {
            Piece::Whole | Piece::Last => true,
            Piece::First => false,
            Piece::Middle => self.unmarked && self.is_whole_header(),
        };
        if !complete {
            self.expect = Expect::Pieces(kind);
            return Ok(None);
        }
        let object = Bytes::from(std::mem::take(&mut self.object));
        Ok(Some(if kind == PacketId::Metadata {
            self.expect = Expect::HeaderOnly;
            Event::Metadata(object)
        } else {
            self.expect = match self.describes {
                true => Expect::Nothing,
                false => Expect::Data,
            };
            Event::Header(object)
        }))
    }

    fn is_whole_header(&self) -> bool {
        asf::header_len(&self.object).is_ok_and(|len| self.object.len() as u64 >= len)
    }
}

impl Expect {
    fn name(self) -> &'static str {
        match self {
            Expect::Nothing => "nothing",
            Expect::Test => "$T",
            Expect::Header => "$M or $H",
            Expect::Pieces(PacketId::Metadata) => "the rest of $M",
            Expect::Pieces(_) => "the rest of $H",
            Expect::HeaderOnly => "$H",
            Expect::Data => "$D, $C or $E",
            Expect::Change => "$C",
            Expect::Any => "$M, $H, $D, $C or $E",
            Expect::Ends => "$E",
        }
    }
}

fn name(packet: &Packet<'_>) -> &'static str {
    match packet {
        Packet::StreamChange(_) => "$C",
        Packet::Data { .. } => "$D",
        Packet::End(_) => "$E",
        Packet::Header(_) => "$H",
        Packet::Metadata(_) => "$M",
        Packet::Pair { .. } => "$P",
        Packet::Test => "$T",
        Packet::Unknown(..) => "an unknown packet",
    }
}
