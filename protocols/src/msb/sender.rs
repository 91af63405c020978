//! Makes a group's datagrams out of one live stream (MS-MSB 3.1; msb-nsc.md 6).

use super::fec::{self, Cycles, NoRoom, Number, SpanError};
use super::packet::{self, ASF_PACKET_LEN_MAX, BEACON, HEAD_LEN, StreamId};
use crate::asf;
use crate::media::{Caster, PacketMeta};
use crate::nsc::FormatIds;
use bytes::Bytes;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What beacons may be apart.
// MSB-36
pub const BEACON_INTERVAL: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(10);

/// How far beacons are apart if nothing else is said: one may be lost and the next still comes before a
/// receiver gives up.
pub const BEACON_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// How a sender numbers, and how it corrects errors.
#[derive(Clone, Debug, Default)]
pub struct SenderConfig {
    /// Most data packets in a cycle of error correction, also `Default Ecc` of the station file; `None`:
    /// no error correction. [`fec::SPAN_DEFAULT`] is recommended.
    // MSB-15, MSB-20
    pub fec_span: Option<u8>,
    /// What packets say of their place in a cycle.
    pub number: Number,
    /// Ids of the headers that the station file lists. A header that it does not have gets one when its
    /// entry begins; then the file must be written again (MSB-37).
    pub formats: FormatIds,
    /// dwPacketID of the first packet: 0, or random.
    // MSB-04, MSB-05
    pub first_packet_id: u32,
    /// Number of the first cycle: 0, or random.
    pub first_cycle: u8,
}

impl SenderConfig {
    /// With the recommended error correction.
    pub fn new(formats: FormatIds) -> SenderConfig {
        SenderConfig {
            fec_span: Some(fec::SPAN_DEFAULT),
            formats,
            ..SenderConfig::default()
        }
    }
}

/// What a sender did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderCounts {
    /// Data packets.
    pub packets: u64,
    /// Parity packets.
    pub parity: u64,
    /// Bytes of both, heads included.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Packets that were not sent: no ASF, too large for a datagram, or without an entry.
    pub refused: u64,
    /// Entries that went on without error correction: a packet had no room for it.
    pub uncorrected_entries: u64,
}

/// See the module. One sender serves one group for as long as its station file is out; numbers go on over
/// all entries.
#[derive(Debug)]
pub struct Sender {
    formats: FormatIds,
    /// `None`: no error correction is asked for.
    cycles: Option<Cycles>,
    /// This entry has a packet without room for error-correction data.
    bare: bool,
    /// Of the entry that runs.
    stream: Option<StreamId>,
    packet_size: u32,
    next_id: u32,
    counts: SenderCounts,
    datagram: Vec<u8>,
}

impl Sender {
    /// Before the first entry.
    ///
    /// # Errors
    /// If the span is not possible.
    pub fn new(config: SenderConfig) -> Result<Sender, SpanError> {
        let cycles = |span| Cycles::new(span, config.number, config.first_cycle);
        Ok(Sender {
            cycles: config.fec_span.map(cycles).transpose()?,
            formats: config.formats,
            bare: false,
            stream: None,
            packet_size: 0,
            next_id: config.first_packet_id,
            counts: SenderCounts::default(),
            datagram: Vec::new(),
        })
    }

    /// The headers that were announced or sent.
    pub fn formats(&self) -> &FormatIds {
        &self.formats
    }

    /// An entry with this header may come: it gets an id now, so that a station file can list it in time.
    // MSB-37, NSC-30
    pub fn expect(&mut self, header: &Bytes) -> u16 {
        self.formats.id(header)
    }

    /// wStreamID of the entry that runs.
    pub fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// What was done so far.
    pub fn counts(&self) -> SenderCounts {
        self.counts
    }

    /// Send what the parity has of a cycle, whole or not.
    // MSB-07, MSB-24, MSB-43
    fn close_cycle(&mut self, sink: &mut dyn FnMut(&[u8])) {
        let (Some(cycles), Some(stream)) = (&mut self.cycles, self.stream) else {
            return;
        };
        let (out, counts) = (&mut self.datagram, &mut self.counts);
        let id = self.next_id.wrapping_sub(1);
        cycles.close(|head, body| {
            out.clear();
            packet::put_head(id, stream, head.len() + body.len(), out);
            out.extend_from_slice(&head);
            out.extend_from_slice(body);
            counts.parity += 1;
            counts.bytes += out.len() as u64;
            sink(out);
        });
    }

    /// Send a packet that takes part in error correction.
    fn corrected(&mut self, fitting: fec::Fitting, asf: &[u8], stream: StreamId) {
        let Some(cycles) = &mut self.cycles else {
            return;
        };
        let out = &mut self.datagram;
        out.clear();
        out.resize(HEAD_LEN + fec::EC_LEN, 0);
        fitting.put_body(asf, out);
        let asf_len = out.len() - HEAD_LEN;
        let ec = cycles.push(out.get(HEAD_LEN + fec::EC_LEN..).unwrap_or_default());
        let mut head = Vec::with_capacity(HEAD_LEN);
        packet::put_head(self.next_id, stream, asf_len, &mut head);
        head.extend_from_slice(&ec);
        out.iter_mut().zip(head).for_each(|(o, h)| *o = h);
    }

    /// Send a packet that does not.
    // MSB-28, MSB-31
    fn uncorrected(&mut self, asf: &[u8], stream: StreamId) {
        let out = &mut self.datagram;
        out.clear();
        packet::put_head(self.next_id, stream, asf.len(), out);
        out.extend_from_slice(asf);
        packet::clear_correction(out.get_mut(HEAD_LEN..).unwrap_or_default());
    }
}

impl Caster for Sender {
    fn entry(&mut self, _entry: u32, header: &Bytes, sink: &mut dyn FnMut(&[u8])) {
        self.close_cycle(sink);
        let format = self.formats.id(header);
        // MSB-09, MSB-40, MSB-41
        let toggle = self.stream.is_some_and(|before| !before.toggle());
        self.stream = Some(StreamId::new(format, toggle));
        self.packet_size = asf::Header::parse(header)
            .map_or(ASF_PACKET_LEN_MAX as u32, |header| header.packet_size());
        self.bare = false;
        self.counts.entries += 1;
    }

    fn packet(&mut self, _meta: &PacketMeta, packet: &[u8], sink: &mut dyn FnMut(&[u8])) {
        let fitting = fec::fit(packet, self.packet_size);
        let is_asf = fitting != Err(NoRoom::Flags) && packet.len() <= ASF_PACKET_LEN_MAX;
        let Some(stream) = self.stream.filter(|_| is_asf) else {
            self.counts.refused += 1;
            return;
        };
        match fitting {
            Ok(fitting) if self.cycles.is_some() && !self.bare => {
                self.corrected(fitting, packet, stream);
            }
            _ => {
                if self.cycles.is_some() && !self.bare {
                    // MSB-25: from here on no packet of the entry is corrected.
                    self.close_cycle(sink);
                    self.bare = true;
                    self.counts.uncorrected_entries += 1;
                }
                self.uncorrected(packet, stream);
            }
        }
        // MSB-06
        self.next_id = self.next_id.wrapping_add(1);
        self.counts.packets += 1;
        self.counts.bytes += self.datagram.len() as u64;
        sink(&self.datagram);
        if self.cycles.as_ref().is_some_and(Cycles::is_full) {
            self.close_cycle(sink);
        }
    }

    // MSB-44
    fn pause(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.close_cycle(sink);
    }

    // MSB-46
    fn beacon(&self) -> Option<&[u8]> {
        Some(&BEACON)
    }

    // MSB-13
    fn keeps_padding(&self) -> bool {
        false
    }
}
