//! What a client says of itself: logs, and what its content can.

use super::Client;
use crate::asf;
use crate::client::codecs;
use crate::content::{Start, StreamKind};
use crate::machine::Time;
use crate::rtsp::sdp::Types;
use crate::wmlog::client::Playback;

/// Names by which servers pass on what stands in cs-media-name and cs-media-role.
const MEDIA_NAME: &str = "WMS_CONTENT_DESCRIPTION_PLAYLIST_ENTRY_URL";
const MEDIA_ROLE: &str = "WMS_CONTENT_DESCRIPTION_ROLE";

/// `a=type`, in its words.
pub(super) fn features(mut types: Types) -> String {
    let tokens = types.tokens();
    let set = tokens.iter().filter(|(set, _)| **set);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// The facts of a log about what was played since the last start. Nothing is rendered here: content
/// counts as rendered when it came.
pub(super) fn playback(client: &Client, now: Time) -> Playback {
    let header = client.header.as_deref();
    let (receiving_ms, content_ms) = client.counters.spans();
    let description = client.content.as_ref().map(|d| &d.description[..]);
    let description: Vec<(String, String)> = description
        .unwrap_or_default()
        .iter()
        .map(|p| (p.name.clone(), p.value.clone()))
        .collect();
    let named = |wanted: &str| {
        let mut pairs = description.iter();
        pairs.find(|(n, _)| n == wanted).map(|(_, v)| v.clone())
    };
    let codecs = |kind| header.map_or(Vec::new(), |h| codecs(h, kind));
    let rate = i8::try_from(client.config.rate_milli / 1000).unwrap_or(1);
    let (all, before) = (client.transfer(), client.before);
    let udp = client.udp;
    Playback {
        unix_seconds: client.config.unix_seconds + now.millis() / 1000,
        requested_url: client.config.url.clone(),
        opened_url: client.url.to_string(),
        live: client.is_broadcast(),
        start_ms: match client.position {
            Start::Time(ms) => ms.into(),
            _ => 0,
        },
        rendered_ms: content_ms,
        receiving_ms,
        rate,
        playback_rate: rate,
        length_ms: header.and_then(asf::Header::play_duration_ms).unwrap_or(0),
        size: header.map_or(0, |h| h.file_properties().file_size),
        average_bandwidth: (client.counters.bytes * 8000)
            .checked_div(receiving_ms)
            .unwrap_or(0),
        protocol: "rtsp".into(),
        udp,
        audio_codecs: codecs(StreamKind::Audio),
        video_codecs: codecs(StreamKind::Video),
        bytes: client.counters.bytes,
        packets_received: match udp {
            true => all.received - before.received,
            false => client.counters.packets,
        },
        packets_lost: all.lost - before.lost,
        packets_lost_in_a_row: client.lost_in_a_row(),
        resend_requests: udp.then_some(all.requests - before.requests),
        packets_corrected: all.corrected - before.corrected,
        packets_resent: all.recovered - before.recovered,
        media_name: named(MEDIA_NAME),
        media_role: named(MEDIA_ROLE),
        description,
        ..Playback::default()
    }
}
