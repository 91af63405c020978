//! What a client is, and what it wants.

use crate::auth::Password;
use crate::client::{LowerHeaders, Streams, Transport, player};
use crate::content::{Accel, Start};
use crate::rtsp::fields::Role;
use crate::wmlog::client::Player;
use std::time::Duration;

/// Configuration of one client session. Start from [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `rtsp`, `rtspt` or `rtspu` URL.
    pub url: String,
    /// `None`: as the scheme of the URL says.
    pub transport: Option<Transport>,
    /// Port of the driver's UDP socket for media, [`super::MEDIA`]; 0 if it has none, and then media cannot
    /// come in datagrams.
    pub media_port: u16,
    /// Port of the one for what is asked for again, [`super::RTX`]; 0: nothing is asked for again.
    pub rtx_port: u16,
    /// What it announces itself as.
    pub role: Role,
    /// Version that it announces, dotted numbers.
    pub version: String,
    /// More words of the User-Agent.
    pub products: String,
    /// Name or address of a proxy, and its port.
    pub proxy: Option<(String, u16)>,
    /// Ask for a packet pair, of servers that say they send it.
    pub packet_pair: bool,
    /// Bytes of lower layers' headers around each segment and each datagram, which the estimate of a packet pair
    /// is to count as well (bandwidth-and-start.md 3).
    pub lower_headers: LowerHeaders,
    /// Ask for lost packets again, where the server offers that.
    pub resends: bool,
    /// Set up error correction for media over UDP, where the server offers it.
    pub correction: bool,
    /// Have the server choose streams at the start of the next entry.
    pub predictive: bool,
    /// Have packets numbered by the server; else they are counted here.
    pub locations: bool,
    /// Fast Start to ask for.
    pub accel: Option<Accel>,
    /// Fast Start of an intermediary, for its own needs.
    pub burst: Option<Accel>,
    /// Speed to ask for, thousandths; only of servers that say they have it.
    pub speed_milli: Option<u32>,
    /// Speed of the link, bit/s; `None`: what a packet pair says.
    pub link_bw: Option<u32>,
    /// Play rate, thousandths; -5000 to 5000.
    pub rate_milli: i32,
    /// Where to start.
    pub start: Start,
    /// ms of content to play, counted from where it starts, if that is a time.
    pub max_duration: Option<u32>,
    /// ms by which the announcement of the next entry is to wait, at most 15,000; `None`: not said.
    pub lag_ms: Option<u32>,
    /// Which streams to play.
    pub streams: Streams,
    /// User name and password, given to the server of the URL if it asks for Basic or Digest, and to nobody
    /// that it redirects to.
    pub credentials: Option<(String, Password)>,
    /// Begin to play when described; else wait for [`super::Client::play`].
    pub autoplay: bool,
    /// Select streams and start as soon as an entry is announced.
    pub autoselect: bool,
    /// Stay connected after the end and keep the session alive.
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
    /// Source of its GUID and SSRC.
    pub seed: u64,
}

impl ClientConfig {
    /// A player of Windows 7 that plays everything from the start.
    pub fn new(url: impl Into<String>, seed: u64) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            transport: None,
            media_port: 0,
            rtx_port: 0,
            role: Role::Player,
            version: "12.0.7601.17514".into(),
            products: String::new(),
            proxy: None,
            packet_pair: true,
            lower_headers: LowerHeaders::default(),
            resends: true,
            correction: true,
            predictive: true,
            locations: true,
            accel: None,
            burst: None,
            speed_milli: None,
            link_bw: None,
            rate_milli: 1000,
            start: Start::Beginning,
            max_duration: None,
            lag_ms: None,
            streams: Streams::All,
            credentials: None,
            autoplay: true,
            autoselect: true,
            stay: false,
            send_log: true,
            player: player("12.0.7601.17514"),
            unix_seconds: 0,
            reply_timeout: Duration::from_secs(30),
            session: 1,
            seed,
        }
    }
}
