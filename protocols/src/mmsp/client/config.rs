//! What a client is, and what it wants.

use crate::auth::Password;
use crate::client::{LowerHeaders, Streams, Transport, player};
use crate::content::{Accel, Start};
use crate::wmlog::client::Player;
use std::time::Duration;

/// Configuration of one client session. Start from [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `mms`, `mmst` or `mmsu` URL.
    pub url: String,
    /// `None`: as the scheme of the URL says.
    pub transport: Option<Transport>,
    /// Port of the driver's UDP socket; 0 if it has none, and then media cannot come in datagrams.
    pub udp_port: u16,
    /// Version that it announces, dotted numbers.
    pub version: String,
    /// Name or address of a proxy, and its port.
    pub proxy: Option<(String, u16)>,
    /// Ask for a packet pair.
    pub packet_pair: bool,
    /// Bytes of lower layers' headers around each segment and each datagram, which the estimate of a packet pair
    /// is to count as well (bandwidth-and-start.md 3).
    pub lower_headers: LowerHeaders,
    /// Fast Start to ask for.
    pub accel: Option<Accel>,
    /// Speed of the link, bit/s; `None`: what a packet pair says.
    pub link_bw: Option<u32>,
    /// Play rate, thousandths; -5000 to 5000.
    pub rate_milli: i32,
    /// Where to start.
    pub start: Start,
    /// ms of content to play, counted from where it starts.
    pub max_duration: Option<u32>,
    /// Which streams to play.
    pub streams: Streams,
    /// User name and password, given to the server of the URL if it asks for Basic, and to nobody that it
    /// redirects to.
    pub credentials: Option<(String, Password)>,
    /// Begin to play when described; else wait for [`super::Client::play`].
    pub autoplay: bool,
    /// Select streams and start as soon as an entry waits for it.
    pub autoselect: bool,
    /// Stay connected after the end.
    pub stay: bool,
    /// Submit logs.
    pub send_log: bool,
    /// Who plays, for logs; the id is replaced by the session's anonymous one if it is empty.
    pub player: Player,
    /// Wall clock at the driver's time origin, seconds since 1970.
    pub unix_seconds: u64,
    /// How long to wait for a connection or a reply.
    pub reply_timeout: Duration,
    /// Number of this session in what it reports.
    pub session: u64,
    /// Source of its GUID.
    pub seed: u64,
}

impl ClientConfig {
    /// A player of Windows Media 9 that plays everything from the start.
    pub fn new(url: impl Into<String>, seed: u64) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            transport: None,
            udp_port: 0,
            version: "9.0.0.3372".into(),
            proxy: None,
            packet_pair: true,
            lower_headers: LowerHeaders::default(),
            accel: None,
            link_bw: None,
            rate_milli: 1000,
            start: Start::Beginning,
            max_duration: None,
            streams: Streams::All,
            credentials: None,
            autoplay: true,
            autoselect: true,
            stay: false,
            send_log: true,
            player: player("9.0.0.3372"),
            unix_seconds: 0,
            reply_timeout: Duration::from_secs(30),
            session: 1,
            seed,
        }
    }
}
