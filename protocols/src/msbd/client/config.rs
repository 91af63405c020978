//! What a client wants.

use super::UrlFault;
use crate::client::url;
use crate::machine::Channel;
use crate::msbd::{CHANNEL, PORT};
use std::time::Duration;

/// Configuration of one client session. Start from [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `msbd://host[:port]`; anything behind that is left out.
    pub url: String,
    /// Name of the channel that is asked for.
    pub channel: String,
    /// Media is to come to a group; on the connection if the server sends to none.
    pub multicast: bool,
    /// The driver's socket that the group is joined on.
    pub socket: Channel,
    /// How long to wait for the connection and for RES_CONNECT.
    pub reply_timeout: Duration,
    /// The session failed when nothing came for this long. Servers need not ping, and a source may be silent
    /// (MSBD-64).
    pub idle_timeout: Duration,
    /// Wait for another stream after the end of one.
    pub stay: bool,
    /// Number of this session in what it reports.
    pub session: u64,
}

impl ClientConfig {
    /// A client that takes everything on the connection until it ends.
    pub fn new(url: impl Into<String>) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            channel: CHANNEL.to_owned(),
            multicast: false,
            socket: Channel(0),
            reply_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            stay: false,
            session: 1,
        }
    }

    /// Host and port of the URL.
    pub(super) fn place(&self) -> Result<(String, u16), UrlFault> {
        let (scheme, authority, _) = url::split(&self.url).ok_or(UrlFault::Scheme)?;
        if !scheme.eq_ignore_ascii_case("msbd") {
            return Err(UrlFault::Scheme);
        }
        url::host_and_port(authority, PORT).map_err(|fault| match fault {
            url::AuthorityFault::Host => UrlFault::Host,
            url::AuthorityFault::Port => UrlFault::Port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let place = |url: &str| ClientConfig::new(url).place();
        let at = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(place("msbd://origin"), at("origin", 7007));
        assert_eq!(place(" MSBD://192.0.2.1:7008/x?y "), at("192.0.2.1", 7008));
        assert_eq!(place("mms://origin"), Err(UrlFault::Scheme));
        assert_eq!(place("origin:7007"), Err(UrlFault::Scheme));
        assert_eq!(place("msbd:///x"), Err(UrlFault::Host));
        assert_eq!(place("msbd://origin:0"), Err(UrlFault::Port));
    }
}
