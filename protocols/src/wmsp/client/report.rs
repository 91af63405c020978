//! What a client counts of an entry for its log.

use super::config::ClientConfig;
use super::url::Url;
use crate::asf;
use crate::client::{Counters, codecs};
use crate::content::StreamKind;
use crate::machine::Time;
use crate::wmlog::client::Playback;

/// Names by which servers pass on what stands in cs-media-name and cs-media-role.
const MEDIA_NAME: &str = "WMS_CONTENT_DESCRIPTION_PLAYLIST_ENTRY_URL";
const MEDIA_ROLE: &str = "WMS_CONTENT_DESCRIPTION_ROLE";

/// The facts of a log about an entry. Nothing is rendered here: content counts as rendered when it
/// came.
pub(super) fn playback(
    config: &ClientConfig,
    url: &Url,
    counters: &Counters,
    header: Option<&asf::Header>,
    description: &[(String, String)],
    start_ms: u64,
    now: Time,
) -> Playback {
    let (receiving_ms, content_ms) = counters.spans();
    let named = |wanted: &str| {
        let mut pairs = description.iter();
        pairs.find(|(n, _)| n == wanted).map(|(_, v)| v.clone())
    };
    let codecs = |kind| header.map_or(Vec::new(), |h| codecs(h, kind));
    Playback {
        unix_seconds: config.unix_seconds + now.millis() / 1000,
        requested_url: config.url.clone(),
        opened_url: url.to_string(),
        live: header.is_some_and(asf::Header::is_broadcast),
        start_ms,
        rendered_ms: content_ms,
        receiving_ms,
        rate: i8::try_from(config.rate_milli / 1000).unwrap_or(1),
        playback_rate: i8::try_from(config.rate_milli / 1000).unwrap_or(1),
        length_ms: header.and_then(asf::Header::play_duration_ms).unwrap_or(0),
        size: header.map_or(0, |h| h.file_properties().file_size),
        average_bandwidth: (counters.bytes * 8000)
            .checked_div(receiving_ms)
            .unwrap_or(0),
        protocol: "http".into(),
        audio_codecs: codecs(StreamKind::Audio),
        video_codecs: codecs(StreamKind::Video),
        bytes: counters.bytes,
        packets_received: counters.packets,
        media_name: named(MEDIA_NAME),
        media_role: named(MEDIA_ROLE),
        description: description.to_vec(),
        ..Playback::default()
    }
}
