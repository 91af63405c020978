//! What a client counts of an entry for its log.

use super::config::ClientConfig;
use super::url::Url;
use crate::asf;
use crate::asf::objects::Format;
use crate::content::StreamKind;
use crate::machine::Time;
use crate::wmlog::client::Playback;
use crate::wmlog::text;

/// Counters of one entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub packets: u64,
    pub bytes: u64,
    first: Option<(Time, u32)>,
    last: Option<(Time, u32)>,
}

impl Counters {
    /// A packet came; `send_time` is its own, if it could be read.
    pub fn packet(&mut self, now: Time, len: usize, send_time: Option<u32>) {
        self.packets += 1;
        self.bytes += len as u64;
        let Some(send_time) = send_time else { return };
        self.first.get_or_insert((now, send_time));
        self.last = Some((now, send_time));
    }

    /// Time of reception and span of content, ms.
    fn spans(&self) -> (u64, u64) {
        match (self.first, self.last) {
            (Some((t0, s0)), Some((t1, s1))) => (
                u64::try_from(t1.since(t0).as_millis()).unwrap_or(u64::MAX),
                u64::from(s1.wrapping_sub(s0)),
            ),
            _ => (0, 0),
        }
    }
}

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

/// The codecs of a kind by the names that the header lists, else by the codes of its streams.
fn codecs(header: &asf::Header, kind: StreamKind) -> Vec<String> {
    let streams = header.stream_details().iter().filter(|s| s.kind == kind);
    let codes: Vec<String> = streams
        .filter_map(|s| match s.format {
            Format::Audio { tag, .. } => Some(format!("0x{tag:04X}")),
            Format::Video { compression, .. } => Some(text(&compression).into_owned()),
            Format::Other => None,
        })
        .collect();
    let named = header.codecs().iter().filter(|c| c.kind == kind);
    let mut list: Vec<String> = named.map(|c| c.name.clone()).collect();
    if list.is_empty() {
        list = codes;
    }
    list.dedup();
    list
}
