//! Which media objects start in a packet: the input of startup profiles, indexes and key detection.

use super::error::Error;
use super::packet::Packet;
use crate::content::{Level, Selection, StreamInfo, StreamKind};

/// A media object whose first byte is in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectStart {
    /// 1..=127.
    pub stream: u8,
    /// What the stream carries.
    pub kind: StreamKind,
    /// It can be decoded without others.
    // ASF-33
    pub key: bool,
    /// Bytes of the whole object; if the packet does not say, of the piece that is here.
    pub size: u32,
    /// ms, preroll included; if the packet does not say, its send time.
    pub presentation: u32,
    /// ms, of the packet.
    pub send_time: u32,
}

/// Call `f` for every object of a declared stream that starts in the packet, in their order.
/// A compressed payload gives one call per object in it.
///
/// # Errors
/// As [`Packet::parse`]; `f` is not called then.
pub fn object_starts(
    packet: &[u8],
    packet_size: u32,
    streams: &[StreamInfo],
    f: impl FnMut(ObjectStart),
) -> Result<(), Error> {
    object_starts_in(&Packet::parse(packet, packet_size)?, streams, f);
    Ok(())
}

/// [`object_starts`] for a packet that is already parsed.
pub fn object_starts_in(
    packet: &Packet<'_>,
    streams: &[StreamInfo],
    mut f: impl FnMut(ObjectStart),
) {
    let send_time = packet.send_time();
    for payload in packet.payloads().filter(|p| p.starts_object()) {
        let Some(info) = streams.iter().find(|s| s.number == payload.stream) else {
            continue;
        };
        let start = ObjectStart {
            stream: info.number,
            kind: info.kind,
            key: payload.key || info.all_key || info.kind != StreamKind::Video,
            size: payload.object_size.unwrap_or(payload.data.len() as u32),
            presentation: payload.presentation.unwrap_or(send_time),
            send_time,
        };
        if payload.compressed.is_some() {
            for sub in payload.sub_objects() {
                f(ObjectStart {
                    size: sub.data.len() as u32,
                    presentation: sub.presentation,
                    ..start
                });
            }
        } else {
            f(start);
        }
    }
}

/// True if a key object of a selected video stream starts in the packet; if no video is selected,
/// any object of a selected stream. A bad packet starts nothing.
pub fn starts_key(
    packet: &[u8],
    packet_size: u32,
    selection: Selection,
    streams: &[StreamInfo],
) -> bool {
    let on = |s: &StreamInfo| selection.level(s.number) != Level::Off;
    let video = streams.iter().any(|s| s.kind == StreamKind::Video && on(s));
    let Ok(packet) = Packet::parse(packet, packet_size) else {
        return false;
    };
    packet.payloads().any(|p| {
        p.starts_object()
            && streams.iter().any(|s| {
                s.number == p.stream
                    && on(s)
                    && (s.kind == StreamKind::Video) >= video
                    && (p.key || s.all_key || s.kind != StreamKind::Video)
            })
    })
}
