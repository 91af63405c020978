//! What an encoder is, and where it pushes to.

use crate::auth::Password;
use crate::http::head::Version as HttpVersion;
use std::time::Duration;

/// Length of a body that nobody expects the end of (WMHTTP-34).
pub const CONTENT_LENGTH: u64 = 2_147_483_647;

/// What is done with the packets that are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packets {
    /// Their padding is cut, and they say their length (WMHTTP-17, WMHTTP-111).
    #[default]
    Trimmed,
    /// They are sent as they are: whoever gives them has done that already.
    AsGiven,
}

/// Configuration of one push session. Start from [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `http://host[:port]/point`.
    pub url: String,
    /// Settings of a point that does not exist yet come from the one at this path.
    pub template: Option<String>,
    /// The point is to be removed when the session ends. `None`: not said, unless a template is named.
    pub auto_destroy: Option<bool>,
    /// Name and password for the server; given to the server of `url` alone, not to one that it
    /// redirects to.
    pub credentials: Option<(String, Password)>,
    /// `http://host[:port]` of a proxy to go through.
    pub proxy: Option<String>,
    /// Name and password for a proxy.
    pub proxy_credentials: Option<(String, Password)>,
    /// `WMEncoder/` and a version of 9.0, 10.0, 11.0 or 12.0 (WMHTTP-05).
    pub user_agent: String,
    /// Schemes that can be answered, for X-Accept-Authentication (WMHTTP-26). Basic is answered too, but
    /// not asked for.
    pub accept_authentication: String,
    /// Version of its requests.
    pub http: HttpVersion,
    /// Bytes of each body if no proxy is in the path; raised to what a body must have at least
    /// (WMHTTP-35).
    pub content_length: u64,
    /// Bytes of each body if a proxy is in the path. `None`: a minute of the stream (WMHTTP-34).
    pub proxied_length: Option<u64>,
    /// What is done with packets.
    pub packets: Packets,
    /// Bytes that may wait while nothing can be sent. What is given then is refused when they are
    /// exceeded, except for headers and ends.
    pub queue_bytes_max: usize,
    /// How long to wait for a connection or a reply.
    pub reply_timeout: Duration,
    /// Number of this session in what it reports.
    pub session: u64,
    /// Source of what is random in proofs.
    pub seed: u64,
}

impl ClientConfig {
    /// An encoder that pushes to a point that exists.
    pub fn new(url: impl Into<String>, seed: u64) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            template: None,
            auto_destroy: None,
            credentials: None,
            proxy: None,
            proxy_credentials: None,
            user_agent: "WMEncoder/11.0.5721.5145".into(),
            accept_authentication: "Digest".into(),
            http: HttpVersion::Http11,
            content_length: CONTENT_LENGTH,
            proxied_length: None,
            packets: Packets::Trimmed,
            queue_bytes_max: 4 << 20,
            reply_timeout: Duration::from_secs(30),
            session: 1,
            seed,
        }
    }
}
