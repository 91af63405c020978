//! What a client is, and what it wants.

use crate::auth::Password;
use crate::client::{Streams, player};
use crate::content::{Accel, Start};
use crate::http::head::Version as HttpVersion;
use crate::wmlog::client::Player;
use crate::wmsp::version::{ClientToken, Version};
use std::time::Duration;

/// Configuration of one client session. Start from [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `http`, `mms` or `mmsh` URL.
    pub url: String,
    /// What it announces itself as.
    pub role: ClientToken,
    /// Version it announces, dotted numbers; rules by version follow from it.
    pub version: String,
    /// More words of the User-Agent, behind the version.
    pub products: String,
    /// A proxy that does not cache: says so behind its `NSServer` version (WMSP-96).
    pub via_cache_proxy: bool,
    /// Version of its requests; 1.0 rules pipelining out.
    pub http: HttpVersion,
    /// Ask for a packet pair.
    pub packet_pair: bool,
    /// Bytes of lower layers' headers around each segment, which the estimate of a packet pair is
    /// to count as well (bandwidth-and-start.md 3: 40 for TCP over IPv4, 12 more with
    /// time stamps). 0: only what this layer sees.
    pub segment_headers: usize,
    /// Try pipelining.
    pub pipelined: bool,
    /// Let the server choose streams at the start of the next entry.
    pub predictive: bool,
    /// Fast Start to ask for.
    pub accel: Option<Accel>,
    /// Fast Start of an intermediary, for its own needs.
    pub burst: Option<Accel>,
    /// Speed to ask for, thousandths.
    pub speed_milli: Option<u32>,
    /// Speed of the link, bit/s; `None`: what a packet pair says.
    pub link_bw: Option<u32>,
    /// Play rate, thousandths.
    pub rate_milli: i32,
    /// Where to start.
    pub start: Start,
    /// ms of content to play.
    pub max_duration: Option<u32>,
    /// Which streams to play.
    pub streams: Streams,
    /// User name and password, given to the server of the URL if it asks for Basic or Digest, and to nobody
    /// that it redirects to.
    pub credentials: Option<(String, Password)>,
    /// Begin to play when described; else wait for [`super::Client::play`].
    pub autoplay: bool,
    /// Select streams as soon as an entry waits for it.
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
    /// Source of its GUID.
    pub seed: u64,
}

impl ClientConfig {
    /// A player of Windows 7 that plays everything from the start.
    pub fn new(url: impl Into<String>, seed: u64) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            role: ClientToken::NsPlayer,
            version: "12.0.7601.17514".into(),
            products: String::new(),
            via_cache_proxy: false,
            http: HttpVersion::Http11,
            packet_pair: true,
            segment_headers: 0,
            pipelined: true,
            predictive: true,
            accel: None,
            burst: None,
            speed_milli: None,
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
            player: player("12.0.7601.17514"),
            unix_seconds: 0,
            reply_timeout: Duration::from_secs(30),
            session: 1,
            seed,
        }
    }

    /// The announced version as a number; unreadable ones count as 9.0.
    pub(super) fn client_version(&self) -> Version {
        Version::parse(&self.version).unwrap_or(Version::new(9, 0))
    }
}
