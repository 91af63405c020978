//! ASF packets in, RTP packets of single codecs out.

use super::Mark;
use super::plain::Track;
use crate::asf::Packet;
use crate::media::{Framer, PacketMeta, SLOT_HEAD, Spray};
use crate::rtsp::reader::{FRAME_HEAD, frame_head};
use crate::rtsp::rtp::{HEAD_LEN, Header};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Takes ASF packets apart and sends what is in them, stream by stream: as frames of each stream's
/// channels, or on two lanes for each stream, RTP and RTCP.
#[derive(Debug)]
pub(super) struct PlainFramer {
    pub(super) tracks: Vec<Rc<RefCell<Track>>>,
    pub(super) on_connection: bool,
    pub(super) packet_size: u32,
    pub(super) preroll: u32,
    pub(super) payload_max: usize,
    /// Play time of the start, and the time since 1970 then.
    pub(super) origin: (u32, Duration),
    pub(super) name: String,
    pub(super) mark: Mark,
}

impl PlainFramer {
    /// Give what an ASF packet becomes: number of the track, whether it is RTCP, the bytes.
    fn each(&self, meta: &PacketMeta, packet: &[u8], emit: &mut dyn FnMut(usize, bool, &[u8])) {
        for (n, track) in self.tracks.iter().enumerate() {
            let report = track
                .borrow_mut()
                .report(meta.send_time, self.origin, &self.name);
            if let Some(bytes) = report {
                emit(n, true, &bytes);
            }
        }
        // A bad packet is left out, the session goes on (ASF-32).
        let Ok(packet) = Packet::parse(packet, self.packet_size) else {
            return;
        };
        for payload in packet.payloads() {
            let of = |t: &Rc<RefCell<Track>>| t.borrow().source.number == payload.stream;
            let Some(n) = self.tracks.iter().position(of) else {
                continue;
            };
            let Some(track) = self.tracks.get(n) else {
                continue;
            };
            let mut track = track.borrow_mut();
            if payload.compressed.is_some() {
                for sub in payload.sub_objects() {
                    self.object(&mut track, n, sub.presentation, sub.data, emit);
                }
            } else if let Some((at, bytes)) = track.take(&payload, meta.send_time) {
                self.object(&mut track, n, at, &bytes, emit);
            }
        }
    }

    fn object(
        &self,
        track: &mut Track,
        n: usize,
        presentation: u32,
        bytes: &[u8],
        emit: &mut dyn FnMut(usize, bool, &[u8]),
    ) {
        track.cut(bytes, self.payload_max);
        let time = track.time_of(presentation, self.preroll);
        let mut whole = Vec::with_capacity(HEAD_LEN + self.payload_max);
        let payloads = std::mem::take(&mut track.payloads);
        for payload in payloads.iter() {
            let header = Header {
                marker: payload.marker,
                payload_type: track.source.payload_type,
                sequence: track.sequence,
                timestamp: time.wrapping_add(payload.ticks),
                ssrc: track.ssrc,
            };
            whole.clear();
            whole.extend_from_slice(&header.emit());
            whole.extend_from_slice(payload.bytes);
            track.sequence = track.sequence.wrapping_add(1);
            track.packets = track.packets.wrapping_add(1);
            track.bytes = track.bytes.wrapping_add(payload.bytes.len() as u32);
            emit(n, false, &whole);
        }
        track.payloads = payloads;
    }
}

impl Framer for PlainFramer {
    fn in_place(&self) -> bool {
        false
    }

    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}

    fn begin(&self, _: &mut Vec<u8>) {}

    fn put(&self, sequence: u32, meta: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        debug_assert!(self.on_connection);
        let mut frames: Vec<(usize, bool, Vec<u8>)> = Vec::new();
        self.each(meta, packet, &mut |n, rtcp, bytes| {
            frames.push((n, rtcp, bytes.to_vec()));
        });
        for (n, rtcp, bytes) in frames {
            let Some(track) = self.tracks.get(n) else {
                continue;
            };
            let channel = track.borrow().channel(u8::from(rtcp));
            if let Some(head) = frame_head(channel, bytes.len()) {
                out.extend_from_slice(&head);
                out.extend_from_slice(&bytes);
            }
        }
        self.mark.advance(sequence.wrapping_add(1), meta);
    }

    fn spray(
        &self,
        sequence: u32,
        meta: &PacketMeta,
        _: bool,
        packet: &[u8],
        sink: &mut dyn Spray,
    ) {
        let mut first = 0u32;
        self.each(meta, packet, &mut |n, rtcp, bytes| {
            let lane = 2 * n + usize::from(rtcp);
            first += u32::from(lane == 0);
            sink.datagram(lane, &mut |out| out.extend_from_slice(bytes));
        });
        self.mark.advance(sequence.wrapping_add(first), meta);
    }

    fn finish(&self, _: usize, _: &mut Vec<u8>) {}

    fn overhead(&self) -> u32 {
        (FRAME_HEAD + HEAD_LEN) as u32
    }

    fn keeps_padding(&self) -> bool {
        false
    }
}
