//! What a receiver says of an entry in its log (MS-WMLOG 3.6; msb-nsc.md 8).

use super::config::ReceiverConfig;
use super::order::Tally;
use crate::asf;
use crate::client::{Counters, codecs};
use crate::content::StreamKind;
use crate::machine::Time;
use crate::wmlog::client::Playback;
use crate::wmlog::{Field, w3c};

/// The URL of a group, as logs have it.
// WMLOG-17
pub(super) fn group_url(config: &ReceiverConfig) -> String {
    format!("asfm://{}", config.station.group)
}

/// The record of an entry; `tally` is of that entry alone.
// MSB-60
pub(super) fn record(
    config: &ReceiverConfig,
    counters: &Counters,
    tally: &Tally,
    header: Option<&asf::Header>,
    now: Time,
) -> String {
    let (receiving_ms, content_ms) = counters.spans();
    let codecs = |kind| header.map_or(Vec::new(), |h| codecs(h, kind));
    let url = group_url(config);
    let playback = Playback {
        unix_seconds: config.unix_seconds + now.millis() / 1000,
        requested_url: url.clone(),
        opened_url: url,
        channel_url: config.channel_url.clone(),
        multicast: true,
        live: header.is_some_and(asf::Header::is_broadcast),
        rendered_ms: content_ms,
        receiving_ms,
        rate: 1,
        playback_rate: 1,
        length_ms: header.and_then(asf::Header::play_duration_ms).unwrap_or(0),
        size: header.map_or(0, |h| h.file_properties().file_size),
        average_bandwidth: (tally.bytes * 8000).checked_div(receiving_ms).unwrap_or(0),
        udp: true,
        audio_codecs: codecs(StreamKind::Audio),
        video_codecs: codecs(StreamKind::Video),
        bytes: tally.bytes,
        packets_received: tally.received,
        packets_lost: tally.lost,
        packets_lost_in_a_row: tally.lost_in_a_row,
        packets_corrected: tally.repaired,
        ..Playback::default()
    };
    let mut entry = playback.legacy(&config.player, true);
    entry.set(Field::SIp, &config.station.group.ip().to_string());
    w3c::web_line(&entry)
}
