//! A connection's bytes taken apart, in any split.

use super::fields::Fields;
use super::{
    HEADER_LEN, MESSAGE_LENGTH_MAX, MESSAGE_LENGTH_MIN, Message, SEAL, SESSION_ID, UNCOUNTED,
};
use crate::machine::Fault;
use crate::mmsp::message::DataHead;
use std::marker::PhantomData;
use std::ops::Range;

/// Room that is kept when a reader has nothing to keep, bytes.
const IDLE_CAPACITY: usize = 4096;

/// One thing out of a connection's bytes.
#[derive(Debug, PartialEq)]
pub enum Item<'a, M> {
    /// A message.
    Message(M),
    /// A message that nobody knows (MMSP-11). The bytes go on behind it.
    Unknown {
        /// Its MID.
        mid: u32,
        /// Where it begins in the byte stream.
        offset: u64,
    },
    /// A message that ends too early or says something impossible. The bytes go on behind it.
    Malformed {
        /// Its MID.
        mid: u32,
        /// Where and what.
        fault: Fault,
    },
    /// A Data packet.
    Data {
        /// Its head.
        head: DataHead,
        /// ASF header, ASF packet or packet pair.
        payload: &'a [u8],
    },
}

/// Reads messages of one direction, and on the client's side Data packets between them.
#[derive(Debug)]
pub struct Reader<M> {
    bytes: Vec<u8>,
    start: usize,
    /// Offset of `start` in the byte stream.
    offset: u64,
    /// Messages of the packet that has been entered which were not given yet.
    area: Option<Range<usize>>,
    /// At least one message of the area was given.
    inside: bool,
    of: PhantomData<fn() -> M>,
}

impl<M> Default for Reader<M> {
    fn default() -> Self {
        Reader {
            bytes: Vec::new(),
            start: 0,
            offset: 0,
            area: None,
            inside: false,
            of: PhantomData,
        }
    }
}

impl<M: Message> Reader<M> {
    /// Append bytes that arrived. Take out what there is before the next push, so that no more than
    /// one packet beyond them stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            if let Some(area) = &mut self.area {
                *area = area.start - self.start..area.end - self.start;
            }
            self.start = 0;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_CAPACITY {
            self.bytes = Vec::new();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are kept.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Those bytes.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Where in the byte stream the next unread byte is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next thing, if it is there whole.
    ///
    /// # Errors
    /// If what comes is no packet: the stream cannot be followed any further.
    pub fn take(&mut self) -> Result<Option<Item<'_, M>>, Fault> {
        loop {
            if let Some(area) = self.area.clone() {
                match self.message(&area) {
                    Some(range) => return Ok(Some(self.read(range))),
                    None => {
                        self.consume(area.end);
                        self.area = None;
                    }
                }
            }
            match self.enter()? {
                Entered::Nothing => {
                    // A client that says little is to cost little.
                    if !M::WITH_DATA && self.buffered() == 0 {
                        self.bytes = Vec::new();
                        self.start = 0;
                    }
                    return Ok(None);
                }
                Entered::Packet => {}
                Entered::Data(head, len) => {
                    let at = self.start;
                    self.consume(at + len);
                    let payload = self.bytes.get(at + DataHead::LEN..at + len);
                    let payload = payload.unwrap_or_default();
                    return Ok(Some(Item::Data { head, payload }));
                }
            }
        }
    }

    fn consume(&mut self, to: usize) {
        self.offset += (to - self.start) as u64;
        self.start = to;
    }

    fn fault<T>(&self, at: usize, reason: impl Into<String>) -> Result<T, Fault> {
        Err(Fault {
            offset: self.offset + at as u64,
            reason: reason.into(),
        })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.unread().get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Look at what begins at `start` (MMSP-13).
    fn enter(&mut self) -> Result<Entered, Fault> {
        if !M::WITH_DATA && self.unread().first().is_some_and(|rep| *rep != 1) {
            return self.fault(0, "no packet begins here: rep of TcpMessageHeader");
        }
        let Some(session) = self.u32_at(4) else {
            return Ok(Entered::Nothing);
        };
        if session != SESSION_ID {
            return if M::WITH_DATA {
                self.data()
            } else {
                self.fault(4, "no packet begins here: sessionId of TcpMessageHeader")
            };
        }
        let Some(length) = self.u32_at(8) else {
            return Ok(Entered::Nothing);
        };
        let length = length as usize;
        if !(MESSAGE_LENGTH_MIN..=MESSAGE_LENGTH_MAX).contains(&length) {
            let reason = format!("{length} as messageLength of TcpMessageHeader");
            return self.fault(8, reason);
        }
        match self.u32_at(12) {
            Some(SEAL) => {}
            Some(_) => return self.fault(12, "seal of TcpMessageHeader"),
            None => return Ok(Entered::Nothing),
        }
        let whole = length + UNCOUNTED;
        if self.buffered() < whole {
            return Ok(Entered::Nothing);
        }
        self.area = Some(self.start + HEADER_LEN..self.start + whole);
        self.inside = false;
        Ok(Entered::Packet)
    }

    fn data(&mut self) -> Result<Entered, Fault> {
        let Some(bytes) = self.unread().first_chunk() else {
            return Ok(Entered::Nothing);
        };
        let head = DataHead::read(*bytes);
        let len = usize::from(head.packet_size);
        if len < DataHead::LEN {
            return self.fault(6, format!("{len} as PacketSize of a Data packet"));
        }
        if self.buffered() < len {
            return Ok(Entered::Nothing);
        }
        Ok(Entered::Data(head, len))
    }

    /// The next message in the area, and the area behind it (MMSP-10, MMSP-12). A chunkLen that leads
    /// nowhere sensible does not count: the message is then all that is left. `None`: the rest is padding.
    fn message(&mut self, area: &Range<usize>) -> Option<Range<usize>> {
        let rest = self.bytes.get(area.clone())?;
        if rest.len() < 8 || (self.inside && !looks_like_message::<M>(rest)) {
            return None;
        }
        let declared = declared_len(rest);
        let behind = declared.and_then(|len| rest.get(len..));
        let len = match (declared, behind) {
            (Some(len), Some(behind)) if looks_like_message::<M>(behind) => len,
            _ => rest.len(),
        };
        self.inside = true;
        self.area = Some(area.start + len..area.end);
        Some(area.start..area.start + len)
    }

    fn read(&self, range: Range<usize>) -> Item<'_, M> {
        let offset = self.offset + (range.start - self.start) as u64;
        let fields = Fields::new(self.bytes.get(range).unwrap_or_default(), offset);
        let mid = fields.u32(4, "MID").unwrap_or_default();
        match M::read(mid, &fields) {
            Ok(Some(message)) => Item::Message(message),
            Ok(None) => Item::Unknown { mid, offset },
            Err(fault) => Item::Malformed { mid, fault },
        }
    }
}

enum Entered {
    Nothing,
    Packet,
    Data(DataHead, usize),
}

/// chunkLen in bytes, if it lies within what is there.
fn declared_len(bytes: &[u8]) -> Option<usize> {
    let chunks = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let len = chunks.checked_mul(8)?;
    (len > 0 && len <= bytes.len()).then_some(len)
}

fn looks_like_message<M: Message>(bytes: &[u8]) -> bool {
    declared_len(bytes).is_some() && bytes.get(6..8) == Some(&M::TO.to_le_bytes())
}
