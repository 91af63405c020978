//! Checking what comes in (asf.md 8.9): single packets of live sources, whole files.

use super::clock::Timeline;
use super::error::{Error, Reason};
use super::header::Header;
use super::packet::{Packet, Payload};
use crate::content::{StreamInfo, StreamKind};

/// Smallest packet size that a source may have.
pub const PACKET_SIZE_MIN: u32 = 32;

/// Most bad packets that a [`Report`] names; all are counted.
pub const FINDINGS_MAX: usize = 100;

/// Check a source's header beyond [`Header::parse`].
///
/// # Errors
/// If its packet size is below [`PACKET_SIZE_MIN`]. The session cannot go on.
pub fn check_header(header: &Header) -> Result<(), Error> {
    if header.packet_size() < PACKET_SIZE_MIN {
        return Err(Error::at(
            0,
            Reason::Value {
                field: "packet size",
                value: u64::from(header.packet_size()),
            },
        ));
    }
    Ok(())
}

/// Check one packet of a source: well-formed, of declared streams only, pieces within their
/// objects.
///
/// # Errors
/// What is wrong; the packet is to be dropped and counted, the session goes on.
// ASF-32
pub fn check_packet<'a>(
    bytes: &'a [u8],
    packet_size: u32,
    streams: &[StreamInfo],
) -> Result<Packet<'a>, Error> {
    let packet = Packet::parse(bytes, packet_size)?;
    for payload in packet.payloads() {
        check_payload(&payload, streams)?;
    }
    Ok(packet)
}

fn check_payload(payload: &Payload<'_>, streams: &[StreamInfo]) -> Result<(), Error> {
    let at = payload.range().start as u64;
    if !streams.iter().any(|s| s.number == payload.stream) {
        return Err(Error::at(at, Reason::UndeclaredStream(payload.stream)));
    }
    if payload.compressed.is_some() {
        let mut objects = payload.sub_objects();
        objects.by_ref().for_each(drop);
        if !objects.is_complete() {
            return Err(Error::at(
                at,
                Reason::PastEnd {
                    what: "object of a compressed payload",
                    need: payload.data.len() as u64 + 1,
                    have: payload.data.len() as u64,
                },
            ));
        }
    }
    let end = u64::from(payload.offset) + payload.data.len() as u64;
    if let Some(size) = payload.object_size.filter(|&s| end > u64::from(s)) {
        return Err(Error::at(
            at,
            Reason::PastEnd {
                what: "piece of a media object",
                need: end,
                have: u64::from(size),
            },
        ));
    }
    Ok(())
}

/// What a [`Verifier`] found out about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Packets given.
    pub packets: u32,
    /// Packets that are bad.
    pub bad_packets: u32,
    /// The first of them: number, place of the packet in the file, what is wrong in it.
    pub findings: Vec<(u32, u64, Error)>,
    /// Bytes of all packets.
    pub bytes: u64,
    /// Of those, padding.
    pub padding: u64,
    /// Packets of the multiple-payload form.
    pub multiple: u32,
    /// Jumps of the send clock.
    pub discontinuities: u32,
    /// ms of send time, jumps left out.
    pub send_duration_ms: u64,
    /// By stream.
    pub streams: Vec<StreamReport>,
}

/// See [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// The stream.
    pub stream: u8,
    /// What it carries.
    pub kind: StreamKind,
    /// Payloads.
    pub payloads: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Media objects that begin.
    pub objects: u64,
    /// Of those, the ones with the key bit.
    pub key_objects: u64,
    /// Objects of which a piece is missing or out of order.
    pub broken_objects: u64,
    /// ms, the earliest, preroll included.
    pub first_presentation: Option<u32>,
    /// ms, the latest.
    pub last_presentation: Option<u32>,
    /// Average, bit/s, 0 if the send time does not advance.
    pub bit_rate: u32,
    /// The object that is under way: number, next offset, size.
    open: Option<(u32, u32, u32)>,
}

/// Checks a whole file, packet by packet.
#[derive(Clone, Debug)]
pub struct Verifier {
    packet_size: u32,
    first_packet_at: u64,
    infos: Vec<StreamInfo>,
    timeline: Timeline,
    last_duration: u16,
    report: Report,
}

impl Verifier {
    /// For the file with this header.
    pub fn new(header: &Header) -> Verifier {
        let infos = header.streams();
        Verifier {
            packet_size: header.packet_size(),
            first_packet_at: header.blob_len(),
            timeline: Timeline::new(),
            last_duration: 0,
            report: Report {
                streams: infos.iter().map(StreamReport::new).collect(),
                ..Report::default()
            },
            infos,
        }
    }

    /// Take the next packet.
    pub fn packet(&mut self, number: u32, bytes: &[u8]) {
        self.report.packets += 1;
        self.report.bytes += bytes.len() as u64;
        let packet = match check_packet(bytes, self.packet_size, &self.infos) {
            Ok(packet) => packet,
            Err(e) => {
                self.report.bad_packets += 1;
                if self.report.findings.len() < FINDINGS_MAX {
                    let at = self.first_packet_at + u64::from(number) * u64::from(self.packet_size);
                    self.report.findings.push((number, at, e));
                }
                return;
            }
        };
        self.timeline.push(packet.send_time());
        self.last_duration = packet.duration();
        self.report.padding += packet.padding() as u64;
        self.report.multiple += u32::from(packet.is_multiple());
        for payload in packet.payloads() {
            let mut streams = self.report.streams.iter_mut();
            if let Some(stream) = streams.find(|s| s.stream == payload.stream) {
                stream.take(&payload);
            }
        }
    }

    /// Everything found out.
    pub fn finish(mut self) -> Report {
        let duration = self.timeline.elapsed_ms() + u64::from(self.last_duration);
        self.report.discontinuities = self.timeline.discontinuities();
        self.report.send_duration_ms = duration;
        for stream in &mut self.report.streams {
            stream.close();
            let rate = stream.bytes.saturating_mul(8000).checked_div(duration);
            stream.bit_rate = u32::try_from(rate.unwrap_or(0)).unwrap_or(u32::MAX);
        }
        self.report
    }
}

impl StreamReport {
    fn new(info: &StreamInfo) -> StreamReport {
        StreamReport {
            stream: info.number,
            kind: info.kind,
            payloads: 0,
            bytes: 0,
            objects: 0,
            key_objects: 0,
            broken_objects: 0,
            first_presentation: None,
            last_presentation: None,
            bit_rate: 0,
            open: None,
        }
    }

    // ASF-65, ASF-68
    fn take(&mut self, payload: &Payload<'_>) {
        self.payloads += 1;
        self.bytes += payload.data.len() as u64;
        if payload.compressed.is_some() {
            self.close();
            for object in payload.sub_objects() {
                self.objects += 1;
                self.key_objects += u64::from(payload.key);
                self.present(object.presentation);
            }
            return;
        }
        if let Some(presentation) = payload.presentation {
            self.present(presentation);
        }
        let len = payload.data.len() as u32;
        if payload.starts_object() {
            self.close();
            self.objects += 1;
            self.key_objects += u64::from(payload.key);
            let size = payload.object_size.unwrap_or(len);
            self.open = Some((payload.object_number, 0, size));
        }
        match &mut self.open {
            Some((number, next, size))
                if *number == payload.object_number && *next == payload.offset =>
            {
                *next = next.saturating_add(len);
                if *next >= *size {
                    self.open = None;
                }
            }
            _ => {
                // One object counts once, however many of its pieces are out of place.
                self.broken_objects += u64::from(self.open.is_some());
                self.open = None;
            }
        }
    }

    fn close(&mut self) {
        self.broken_objects += u64::from(self.open.take().is_some());
    }

    fn present(&mut self, time: u32) {
        let first = self.first_presentation.get_or_insert(time);
        *first = time.min(*first);
        let last = self.last_presentation.get_or_insert(time);
        *last = time.max(*last);
    }
}
