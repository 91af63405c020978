//! What a receiver is, and what it wants.

use crate::client::player;
use crate::nsc::Station;
use crate::wmlog::client::Player;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What the Open timer may be.
// MSB-47
pub const OPEN_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(30);

/// Configuration of one session. Start from [`ReceiverConfig::new`].
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The group, and the headers of what is sent to it.
    pub station: Station,
    /// URL of the station file, for logs.
    pub channel_url: Option<String>,
    /// How long to wait for the first sign of a sender; taken into [`OPEN_TIMEOUT`]. `None`: for ever.
    pub open_timeout: Option<Duration>,
    /// How long to wait for media when there were beacons only. `None`: for ever.
    pub ready_timeout: Option<Duration>,
    /// How long no packet may come before the stream counts as ended. `None`: that does not end it.
    pub stream_timeout: Option<Duration>,
    /// End the stream when the Play Duration of its header has passed, unless that is 0.
    pub uses_play_duration: bool,
    /// Wait for another stream when one has ended.
    pub stay: bool,
    /// Take datagrams from the station's Multicast Adapter only; not where addresses are translated.
    pub filters_source: bool,
    /// Submit logs, if the station has a URL for them.
    pub send_log: bool,
    /// Who plays, for logs; the id is replaced by the session's anonymous one if it is empty.
    pub player: Player,
    /// Wall clock at the driver's time origin, seconds since 1970.
    pub unix_seconds: u64,
    /// How long the log's resource may take to reply.
    pub reply_timeout: Duration,
    /// Number of this session in what it reports.
    pub session: u64,
    /// Source of its anonymous id.
    pub seed: u64,
}

impl ReceiverConfig {
    /// A player of Windows 7, with the recommended times.
    // MSB-49, MSB-55, MSB-59
    pub fn new(station: Station, seed: u64) -> ReceiverConfig {
        ReceiverConfig {
            station,
            channel_url: None,
            open_timeout: Some(Duration::from_secs(20)),
            ready_timeout: None,
            stream_timeout: Some(Duration::from_secs(30)),
            uses_play_duration: true,
            stay: false,
            filters_source: false,
            send_log: true,
            player: player("12.0.7601.17514"),
            unix_seconds: 0,
            reply_timeout: Duration::from_secs(10),
            session: 1,
            seed,
        }
    }
}
