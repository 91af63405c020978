//! ASF packets in RTP packets: what RTSP-WME is about (rtsp-wme.md 2.2 to 2.8).

use super::super::Config;
use super::super::describe::description;
use super::Mark;
use crate::asf::Header;
use crate::content::Content;
use crate::media::{Framer, PacketMeta, SLOT_HEAD, Spray};
use crate::rtsp::fec::Encoder;
use crate::rtsp::payload::{Form, PAYLOAD_TYPE, PacketHead, Packetizer, Unit};
use crate::rtsp::range::Range as PlayRange;
use crate::rtsp::rtp::{HEAD_LEN, Packet};
use crate::rtsp::sdp::{self, FecOffer, Media, Presentation, Types};
use crate::rtsp::slim::slim;
use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;

/// Behind a stream's control URL: that of its error correction.
pub const FEC_CONTROL: &str = "fec98";

/// What the packets of a flow have in common.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Of the session's first stream, for its whole life.
    pub ssrc: u32,
    /// RTP sequence number of the flow's first packet.
    pub first: u16,
    /// What the length counts.
    pub form: Form,
    /// Bytes behind an RTP header at most.
    pub payload_max: usize,
    /// Number the ASF packets, for clients that know `locid` (RTSP-16).
    pub locations: bool,
    /// Where the flow is, for its session.
    pub mark: Mark,
}

impl Stream {
    /// The RTP packets of an ASF packet, from the flow's datagram `sequence` on.
    ///
    /// They follow from the arguments alone, so what is made again is the same (RTSP-30).
    fn packets(
        &self,
        sequence: u32,
        meta: &PacketMeta,
        len: usize,
        mut each: impl FnMut(PacketHead, Range<usize>),
    ) -> u32 {
        let number = self.first.wrapping_add(sequence as u16);
        let mut to = Packetizer::new(self.form, PAYLOAD_TYPE, self.ssrc, number, self.payload_max);
        // RTSP-15: a duration is left out; it may be unknown for every packet alike.
        let unit = Unit {
            send_time: meta.send_time,
            key: meta.key,
            duration: None,
            location: self.locations.then_some(meta.number),
        };
        let mut count = 0;
        for (head, range) in to.packets(unit, len) {
            each(head, range);
            count += 1;
        }
        count
    }
}

/// Interleaved frames on the control connection: one for each ASF packet.
#[derive(Clone, Debug)]
pub struct FrameFramer {
    /// What the packets have in common; its `payload_max` has no meaning here.
    pub stream: Stream,
    /// Channel of the frames.
    pub channel: u8,
}

impl FrameFramer {
    /// Frames carry what datagrams do not: an ASF packet is never cut.
    pub fn new(stream: Stream, channel: u8) -> FrameFramer {
        let stream = Stream {
            payload_max: usize::MAX,
            ..stream
        };
        FrameFramer { stream, channel }
    }
}

impl Framer for FrameFramer {
    // SLOT_HEAD is shorter than the heads.
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, sequence: u32, meta: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        let s = &self.stream;
        s.packets(sequence, meta, packet.len(), |mut head, range| {
            out.extend_from_slice(head.interleaved(self.channel, range.len()));
            out.extend_from_slice(packet.get(range).unwrap_or(&[]));
        });
        s.mark.advance(sequence.wrapping_add(1), meta);
    }

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        (crate::rtsp::reader::FRAME_HEAD + HEAD_LEN + 4) as u32
    }

    fn keeps_padding(&self) -> bool {
        false
    }
}

/// Datagrams: packets on lane 0, error correction beside them.
#[derive(Clone, Debug)]
pub struct DatagramFramer {
    /// What the packets have in common.
    pub stream: Stream,
    /// Makes correction packets for the lane of this number.
    pub fec: Option<(usize, Rc<RefCell<Encoder>>)>,
}

impl Framer for DatagramFramer {
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, sequence: u32, meta: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        self.again(sequence, 0, meta, packet, out);
    }

    fn spray(
        &self,
        sequence: u32,
        meta: &PacketMeta,
        _: bool,
        packet: &[u8],
        sink: &mut dyn Spray,
    ) {
        let mut repairs = Vec::new();
        let count = self
            .stream
            .packets(sequence, meta, packet.len(), |head, range| {
                let body = packet.get(range).unwrap_or(&[]);
                let mut whole = Vec::new();
                sink.datagram(0, &mut |out| {
                    let start = out.len();
                    out.extend_from_slice(head.datagram());
                    out.extend_from_slice(body);
                    if self.fec.is_some() {
                        whole = out.get(start..).unwrap_or(&[]).to_vec();
                    }
                });
                if let Some((_, encoder)) = &self.fec
                    && let Ok(sent) = Packet::parse(&whole)
                {
                    repairs.extend(encoder.borrow_mut().push(&sent.header, sent.body));
                }
            });
        // RTSP-28: they follow the last source packet of their block.
        if let Some((lane, _)) = &self.fec {
            for repair in &repairs {
                sink.datagram(*lane, &mut |out| out.extend_from_slice(repair));
            }
        }
        self.stream.mark.advance(sequence.wrapping_add(count), meta);
    }

    fn again(
        &self,
        sequence: u32,
        piece: u32,
        meta: &PacketMeta,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut index = 0;
        let first = sequence.wrapping_sub(piece);
        self.stream
            .packets(first, meta, packet.len(), |head, range| {
                if index == piece {
                    out.extend_from_slice(head.datagram());
                    out.extend_from_slice(packet.get(range).unwrap_or(&[]));
                }
                index += 1;
            });
    }

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        (HEAD_LEN + 4) as u32
    }

    fn keeps_padding(&self) -> bool {
        false
    }
}

/// The description of a content (RTSP-46 to RTSP-60). With `one` all streams have the same control
/// URL (RTSP-137).
pub(in crate::rtsp::server) fn describe(
    config: &Config,
    content: &Content,
    base: &str,
    address: IpAddr,
    id: u64,
    one: bool,
) -> String {
    let details = Header::parse(&content.header).ok();
    let reliable = |number: u8| {
        let streams = details.as_ref().map_or(&[][..], Header::stream_details);
        streams
            .iter()
            .any(|s| s.info().number == number && s.is_reliable())
    };
    let controls = sdp::controls(&content.streams, one);
    let mut sections: Vec<Media> = content
        .streams
        .iter()
        .zip(controls)
        .map(|(stream, control)| {
            let url = format!("{base}/{control}/{FEC_CONTROL}");
            let mut section = Media::asf(stream, control, reliable(stream.number));
            section.fec = config
                .fec
                .filter(|_| config.rtp_port != 0)
                .map(|fec| FecOffer::of(fec, url));
            section
        })
        .collect();
    sections.push(Media::retransmission());
    let header = match content.header.len() > sdp::HEADER_MAX {
        true => slim(&content.header).unwrap_or_else(|_| content.header.to_vec()),
        false => content.header.to_vec(),
    };
    Presentation {
        id,
        address,
        name: name_of(content),
        control: format!("{base}/"),
        kbits: None,
        etag: content.caching.etag.clone(),
        range: Some(PlayRange::of(content)),
        packet_size: Some(content.packet_size),
        types: Types::of(content),
        description: description(content),
        header,
        media: sections,
    }
    .write()
}

pub(in crate::rtsp::server) fn name_of(content: &Content) -> String {
    let title = content
        .description
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("title"));
    title.map_or_else(String::new, |(_, title)| title.clone())
}
