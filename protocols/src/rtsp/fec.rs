//! Forward error correction of RTP packets (MS-RTSP 2.2.2, 2.2.6.11; rtsp-wme.md 2.8).
//!
//! An erasure code: of k source packets and n - k correction packets any k bring back all sources.

use super::Fault;
use super::gf;
use super::payload::PayloadHead;
use super::rtp::{Header, Packet};
use std::collections::VecDeque;

/// Largest span and most packets of correction for one span.
pub const SPAN_MAX: u32 = 0x18;
/// Largest margin.
pub const MARGIN_MAX: u32 = 0xC;
/// Highest bit of the mask.
const MASK_BIT_MAX: u32 = 23;

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    span: u8,
    per_span: u8,
    margin: u8,
}

impl Params {
    /// `None` unless span and packets per span are 1 to 24 with no more of the latter, the margin is
    /// 1 to 12, and the mask's 24 bits reach: (span - 1) * margin at most 23 (RTSP-74).
    pub fn new(span: u32, per_span: u32, margin: u32) -> Option<Params> {
        let fits = (1..=SPAN_MAX).contains(&span)
            && (1..=span).contains(&per_span)
            && (1..=MARGIN_MAX).contains(&margin)
            && (span - 1) * margin <= MASK_BIT_MAX;
        fits.then_some(Params {
            span: span as u8,
            per_span: per_span as u8,
            margin: margin as u8,
        })
    }

    /// Source packets that are protected together.
    pub const fn span(self) -> usize {
        self.span as usize
    }

    /// Correction packets for them: as many may be lost.
    pub const fn per_span(self) -> usize {
        self.per_span as usize
    }

    /// How many spans are interleaved, so that a burst of losses hits several.
    pub const fn margin(self) -> usize {
        self.margin as usize
    }
}

/// Bytes between the RTP header and the correction data.
pub const HEAD_LEN: usize = 16;

/// The fields in front of the correction data (RTSP-24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairHead {
    /// Sequence number of the span's first packet.
    pub base: u16,
    /// Code over the lengths of everything behind the sources' RTP headers.
    pub length: [u8; 2],
    /// Code over the payload types; equal ones give themselves.
    pub payload_type: u8,
    /// Bit n: packet base + n is in the span; 24 bits.
    pub mask: u32,
    /// Code over the timestamps.
    pub timestamp: [u8; 4],
    /// Which of the span's correction packets, from 0; 5 bits.
    pub index: u8,
    /// How many there are for the span; 0 is not said; 5 bits.
    pub count: u8,
}

impl RepairHead {
    /// As on the wire. E, the padding fields, ExFlags and Reserved are 0.
    pub fn emit(&self) -> [u8; HEAD_LEN] {
        let [s0, s1] = self.base.to_be_bytes();
        let [l0, l1] = self.length;
        let [_, m0, m1, m2] = self.mask.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp;
        let (index, count) = (self.index & 0x1F, self.count & 0x1F);
        let kind = self.payload_type & 0x7F;
        [
            s0, s1, l0, l1, kind, m0, m1, m2, t0, t1, t2, t3, index, count, 0, 0,
        ]
    }

    /// Read the head and what follows it. Padding fields are ignored (RTSP-25), ExFlags and Reserved too.
    ///
    /// # Errors
    /// If it does not fit, or if the mask does not begin with the base.
    pub fn parse(payload: &[u8]) -> Result<(RepairHead, &[u8]), Fault> {
        let Some((head, data)) = payload.split_first_chunk::<HEAD_LEN>() else {
            return Err(Fault::at(payload.len(), "FEC header", "too short"));
        };
        let [
            s0,
            s1,
            l0,
            l1,
            kind,
            m0,
            m1,
            m2,
            t0,
            t1,
            t2,
            t3,
            index,
            count,
            _,
            _,
        ] = *head;
        let mask = u32::from_be_bytes([0, m0, m1, m2]);
        if mask & 1 == 0 {
            return Err(Fault::at(5, "FEC Mask", "SN Base is not in it"));
        }
        let head = RepairHead {
            base: u16::from_be_bytes([s0, s1]),
            length: [l0, l1],
            payload_type: kind & 0x7F,
            mask,
            timestamp: [t0, t1, t2, t3],
            index: index & 0x1F,
            count: count & 0x1F,
        };
        Ok((head, data))
    }

    /// Sequence numbers of the span in order.
    fn members(&self) -> impl Iterator<Item = u16> {
        let (base, mask) = (self.base, self.mask);
        (0..24u16)
            .filter(move |n| mask >> n & 1 != 0)
            .map(move |n| base.wrapping_add(n))
    }
}

/// What is coded of one packet: of a source as it is, of a correction packet the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Coded {
    length: [u8; 2],
    payload_type: u8,
    timestamp: [u8; 4],
    data: Vec<u8>,
}

impl Coded {
    /// Add `by` times a source. Shorter data counts as filled up with zeros.
    fn add(&mut self, by: u8, length: [u8; 2], kind: u8, timestamp: [u8; 4], data: &[u8]) {
        let table = gf::Multiplier::new(by);
        table.add(&mut self.length, &length);
        self.payload_type ^= table.of(kind);
        table.add(&mut self.timestamp, &timestamp);
        if self.data.len() < data.len() {
            self.data.resize(data.len(), 0);
        }
        table.add(&mut self.data, data);
    }

    fn add_coded(&mut self, by: u8, other: &Coded) {
        self.add(
            by,
            other.length,
            other.payload_type,
            other.timestamp,
            &other.data,
        );
    }
}

/// Makes correction packets for the packets of one source as they are sent.
#[derive(Clone, Debug)]
pub struct Encoder {
    params: Params,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    /// Coefficients of each correction packet.
    rows: Vec<[u8; SPAN_MAX as usize]>,
    spans: Vec<Span>,
    /// Packets of the current block so far, and what the next one must be.
    taken: usize,
    expected: (u16, u8),
}

/// One of the interleaved spans of a block.
#[derive(Clone, Debug, Default)]
struct Span {
    base: u16,
    mask: u32,
    last_timestamp: u32,
    sums: Vec<Coded>,
}

impl Encoder {
    /// `payload_type` must differ from the sources' (RTSP-22); `sequence` is that of the first
    /// correction packet, which count by themselves.
    pub fn new(params: Params, payload_type: u8, ssrc: u32, sequence: u16) -> Encoder {
        let rows = (0..params.per_span())
            .map(|f| gf::row(params.span(), f))
            .collect();
        Encoder {
            params,
            payload_type,
            ssrc,
            sequence,
            rows,
            spans: vec![Span::default(); params.margin()],
            taken: 0,
            expected: (0, 0),
        }
    }

    /// A source packet is sent: its header and everything behind it. After the last of a block the
    /// block's correction packets are returned, spans interleaved (RTSP-28, RTSP-29). A source packet that does
    /// not follow the one before it, or has another payload type, begins a new block.
    pub fn push(&mut self, header: &Header, body: &[u8]) -> Vec<Vec<u8>> {
        let now = (header.sequence, header.payload_type);
        if self.taken > 0 && self.expected != now {
            self.taken = 0;
        }
        self.expected = (header.sequence.wrapping_add(1), header.payload_type);
        let margin = self.params.margin();
        let place = self.taken / margin;
        if let Some(span) = self.spans.get_mut(self.taken % margin) {
            if place == 0 {
                *span = Span {
                    base: header.sequence,
                    sums: vec![Coded::default(); self.params.per_span()],
                    ..Span::default()
                };
            }
            span.mask |= 1 << (place * margin);
            span.last_timestamp = header.timestamp;
            let length = (body.len() as u16).to_be_bytes();
            let timestamp = header.timestamp.to_be_bytes();
            for (sum, row) in span.sums.iter_mut().zip(&self.rows) {
                let by = row.get(place).copied().unwrap_or(0);
                sum.add(by, length, header.payload_type, timestamp, body);
            }
        }
        self.taken += 1;
        if self.taken < self.params.span() * margin {
            return Vec::new();
        }
        self.taken = 0;
        self.finish()
    }

    fn finish(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::with_capacity(self.params.per_span() * self.params.margin());
        for index in 0..self.params.per_span() {
            for span in &self.spans {
                let Some(sum) = span.sums.get(index) else {
                    continue;
                };
                // RTSP-23
                let header = Header {
                    marker: true,
                    payload_type: self.payload_type,
                    sequence: self.sequence,
                    timestamp: span.last_timestamp,
                    ssrc: self.ssrc,
                };
                self.sequence = self.sequence.wrapping_add(1);
                let head = RepairHead {
                    base: span.base,
                    length: sum.length,
                    payload_type: sum.payload_type,
                    mask: span.mask,
                    timestamp: sum.timestamp,
                    index: index as u8,
                    count: self.params.per_span() as u8,
                };
                packets.push([&header.emit()[..], &head.emit(), &sum.data].concat());
            }
        }
        packets
    }
}

/// A packet that was lost and is there again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its header; the marker follows from the payload, as far as what is known of the next packet says.
    pub header: Header,
    /// Everything behind the header.
    pub body: Vec<u8>,
}

/// Brings back lost packets of one source (RTSP-27).
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    ssrc: u32,
    sources: VecDeque<(u16, Coded)>,
    repairs: VecDeque<(RepairHead, Coded)>,
}

/// Most source packets that are kept: two blocks of the largest size.
const SOURCES_MAX: usize = 64;
/// Most correction packets that are kept.
const REPAIRS_MAX: usize = 48;

impl Recovery {
    /// For the source `ssrc`.
    pub fn new(ssrc: u32) -> Recovery {
        Recovery {
            ssrc,
            ..Recovery::default()
        }
    }

    /// A source packet came; what it makes possible, in order.
    pub fn source(&mut self, packet: &Packet<'_>) -> Vec<Recovered> {
        let sequence = packet.header.sequence;
        if self.find(sequence).is_some() {
            return Vec::new();
        }
        let coded = Coded {
            length: (packet.body.len() as u16).to_be_bytes(),
            payload_type: packet.header.payload_type,
            timestamp: packet.header.timestamp.to_be_bytes(),
            data: packet.body.to_vec(),
        };
        self.keep(sequence, coded);
        let covers = |(head, _): &&(RepairHead, Coded)| head.members().any(|s| s == sequence);
        match self.repairs.iter().find(covers) {
            Some(&(head, _)) => self.solve(&head),
            None => Vec::new(),
        }
    }

    /// A correction packet came, without its RTP header; what it makes possible, in order.
    ///
    /// # Errors
    /// As [`RepairHead::parse`].
    pub fn repair(&mut self, payload: &[u8]) -> Result<Vec<Recovered>, Fault> {
        let (head, data) = RepairHead::parse(payload)?;
        let same = |(h, _): &(RepairHead, Coded)| {
            (h.base, h.mask, h.index) == (head.base, head.mask, head.index)
        };
        if self.repairs.iter().any(same) {
            return Ok(Vec::new());
        }
        if self.repairs.len() == REPAIRS_MAX {
            self.repairs.pop_front();
        }
        let coded = Coded {
            length: head.length,
            payload_type: head.payload_type,
            timestamp: head.timestamp,
            data: data.to_vec(),
        };
        self.repairs.push_back((head, coded));
        Ok(self.solve(&head))
    }

    fn find(&self, sequence: u16) -> Option<&Coded> {
        let found = self.sources.iter().find(|(s, _)| *s == sequence);
        found.map(|(_, coded)| coded)
    }

    fn keep(&mut self, sequence: u16, coded: Coded) {
        if self.sources.len() == SOURCES_MAX {
            self.sources.pop_front();
        }
        self.sources.push_back((sequence, coded));
    }

    /// Recover what is missing of a span, if enough is there.
    fn solve(&mut self, span: &RepairHead) -> Vec<Recovered> {
        let members: Vec<u16> = span.members().collect();
        let missing: Vec<usize> = (0..members.len())
            .filter(|&n| self.find(members[n]).is_none())
            .collect();
        let of_span = |h: &RepairHead| (h.base, h.mask) == (span.base, span.mask);
        let repairs: Vec<_> = self.repairs.iter().filter(|(h, _)| of_span(h)).collect();
        if missing.len() > repairs.len() {
            return Vec::new();
        }
        let found = self.equations(&members, &missing, repairs.get(..missing.len()));
        self.repairs.retain(|(h, _)| !of_span(h));
        let found = found.unwrap_or_default();
        for (sequence, coded) in &found {
            self.keep(*sequence, coded.clone());
        }
        let ssrc = self.ssrc;
        let header = |sequence: u16, coded: &Coded| Header {
            marker: self.ends_something(sequence, &coded.data),
            payload_type: coded.payload_type,
            sequence,
            timestamp: u32::from_be_bytes(coded.timestamp),
            ssrc,
        };
        found
            .iter()
            .map(|(sequence, coded)| Recovered {
                header: header(*sequence, coded),
                body: coded.data.clone(),
            })
            .collect()
    }

    /// The missing sources as sums of correction packets and the sources that are there.
    fn equations(
        &self,
        members: &[u16],
        missing: &[usize],
        repairs: Option<&[&(RepairHead, Coded)]>,
    ) -> Option<Vec<(u16, Coded)>> {
        let mut matrix = Vec::with_capacity(missing.len());
        let mut sums = Vec::with_capacity(missing.len());
        for (head, coded) in repairs? {
            let row = gf::row(members.len(), usize::from(head.index));
            let mut sum = coded.clone();
            for (n, by) in row.iter().enumerate().take(members.len()) {
                if let Some(known) = members.get(n).and_then(|s| self.find(*s)) {
                    sum.add_coded(*by, known);
                }
            }
            matrix.push(
                missing
                    .iter()
                    .map(|&n| row.get(n).copied().unwrap_or(0))
                    .collect(),
            );
            sums.push(sum);
        }
        let inverse = gf::invert(matrix)?;
        let mut found = Vec::with_capacity(missing.len());
        for (n, by) in missing.iter().zip(inverse) {
            let mut source = Coded::default();
            for (by, sum) in by.iter().zip(&sums) {
                source.add_coded(*by, sum);
            }
            let len = usize::from(u16::from_be_bytes(source.length));
            // What is behind the length must be the zeros that filled it up.
            let fill = source.data.get(len..)?;
            if fill.iter().any(|&b| b != 0) || source.payload_type > 0x7F {
                return None;
            }
            source.data.truncate(len);
            found.push((*members.get(*n)?, source));
        }
        Some(found)
    }

    /// M is not part of the code. It is set on a whole ASF packet, and on a fragment that is followed
    /// by the beginning of something else.
    fn ends_something(&self, sequence: u16, body: &[u8]) -> bool {
        let head = |body: &[u8]| PayloadHead::parse(body).ok();
        let next = self.find(sequence.wrapping_add(1));
        let next_begins = || {
            let next = next.and_then(|n| head(&n.data));
            next.is_some_and(|h| h.whole || h.length_or_offset == 0)
        };
        head(body).is_some_and(|h| h.whole) || next_begins()
    }
}
