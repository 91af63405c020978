//! What a client says of itself: the log, and what its content can.

use super::Client;
use crate::client::codecs;
use crate::content::{Start, StreamKind};
use crate::machine::Time;
use crate::wmlog::client::Playback;
use crate::wmlog::mmsp::{self, Source};

pub(super) use crate::client::Transfer;

/// Bytes of a ReportFunnelInfo in its packet, the packet pair's not counted.
pub(super) const FUNNEL_INFO_BYTES: usize = 80;

/// fileAttributes (mmsp.md 2.5).
pub(super) mod attribute {
    pub const BROADCAST: u32 = 0x0200_0000;

    const NAMES: [(u32, &str); 5] = [
        (0x0100_0000, "seekable"),
        (0x0080_0000, "stridable"),
        (BROADCAST, "broadcast"),
        (0x0400_0000, "live"),
        (0x4000_0000, "playlist"),
    ];

    /// In words, with commas.
    pub fn names(attributes: u32) -> String {
        let set = NAMES.iter().filter(|(bit, _)| attributes & bit != 0);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }
}

/// CLIENT_LOG of what was played since the last start (MMSP-94). Nothing is rendered here: content counts
/// as rendered when it came.
pub(super) fn log(client: &Client, now: Time) -> Vec<u8> {
    let header = client.header.as_deref();
    let tally = &client.reorder.tally;
    let counters = &client.counters;
    let (receiving_ms, content_ms) = counters.spans();
    let codecs = |kind| header.map_or(Vec::new(), |h| codecs(h, kind));
    let rate = i8::try_from(client.config.rate_milli / 1000).unwrap_or(1);
    let playback = Playback {
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
        length_ms: header.and_then(|h| h.play_duration_ms()).unwrap_or(0),
        size: header.map_or(0, |h| h.file_properties().file_size),
        average_bandwidth: (counters.bytes * 8000)
            .checked_div(receiving_ms)
            .unwrap_or(0),
        protocol: "mms".into(),
        udp: client.udp,
        audio_codecs: codecs(StreamKind::Audio),
        video_codecs: codecs(StreamKind::Video),
        bytes: counters.bytes,
        packets_received: match client.udp {
            true => tally.received,
            false => counters.packets,
        },
        packets_lost: tally.lost,
        packets_lost_in_a_row: tally.lost_in_a_row,
        resend_requests: Some(tally.requests),
        packets_resent: tally.recovered,
        ..Playback::default()
    };
    let source = Source {
        id: client.file.open_file_id,
        packets_resent: u32::try_from(tally.recovered).unwrap_or(u32::MAX),
    };
    mmsp::write(&playback, &client.config.player, source).to_vec()
}
