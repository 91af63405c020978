//! The URLs that a client opens (rtsp-wme.md 1).

use crate::client::Transport;
use crate::client::url::{self, AuthorityFault, target};
use std::fmt;

/// Where a content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// What carries media, as the scheme has it.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
}

/// The schemes. All are `rtsp` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Any transport.
    Rtsp,
    /// Media over TCP.
    Rtspt,
    /// Media over UDP.
    Rtspu,
}

impl Scheme {
    const ALL: [(Scheme, &'static str); 3] = [
        (Scheme::Rtsp, "rtsp"),
        (Scheme::Rtspt, "rtspt"),
        (Scheme::Rtspu, "rtspu"),
    ];

    /// The transport that the scheme asks for.
    pub fn transport(self) -> Transport {
        match self {
            Scheme::Rtsp => Transport::UdpThenTcp,
            Scheme::Rtspt => Transport::Tcp,
            Scheme::Rtspu => Transport::Udp,
        }
    }
}

/// Why a URL cannot be opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not `rtsp`, `rtspt` or `rtspu`.
    #[error("the scheme is not rtsp, rtspt or rtspu")]
    Scheme,
    /// No host.
    #[error("no host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl From<AuthorityFault> for UrlFault {
    fn from(fault: AuthorityFault) -> UrlFault {
        match fault {
            AuthorityFault::Host => UrlFault::Host,
            AuthorityFault::Port => UrlFault::Port,
        }
    }
}

const PORT: u16 = 554;

impl Url {
    /// Read an absolute URL. Users, passwords and fragments are left out; what must not stand in a
    /// request line is percent-encoded.
    ///
    /// # Errors
    /// Says which part cannot be used.
    pub fn parse(text: &str) -> Result<Url, UrlFault> {
        let (scheme, authority, local) = url::split(text).ok_or(UrlFault::Scheme)?;
        let known = |(_, name): &&(Scheme, &str)| name.eq_ignore_ascii_case(scheme);
        let scheme = Scheme::ALL.iter().find(known);
        let scheme = scheme.map(|(s, _)| *s).ok_or(UrlFault::Scheme)?;
        let (host, port) = url::host_and_port(authority, PORT)?;
        Ok(Url {
            scheme,
            host,
            port,
            target: target(local),
        })
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// As it stands in requests.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtsp://{}{}", self.authority(), self.target)
    }
}

/// `host`, and `:port` unless it is the usual one.
pub(super) fn authority(host: &str, port: u16) -> String {
    url::authority(host, port, PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_players_open() {
        for (text, transport, wire) in [
            ("rtsp://h", Transport::UdpThenTcp, "rtsp://h/"),
            (
                " RTSPT://u:p@h:7/a b?c#d",
                Transport::Tcp,
                "rtsp://h:7/a%20b?c",
            ),
            ("rtspu://[::1]:554/x", Transport::Udp, "rtsp://[::1]/x"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.scheme.transport(), transport, "{text}");
            assert_eq!(url.to_string(), wire);
        }
    }

    #[test]
    fn refuses_what_it_cannot_open() {
        for (text, fault) in [
            ("mms://h/", UrlFault::Scheme),
            ("/a", UrlFault::Scheme),
            ("rtsp:///a", UrlFault::Host),
            ("rtsp://[::1/a", UrlFault::Host),
            ("rtspt://h:0/", UrlFault::Port),
            ("rtspu://h:65536/", UrlFault::Port),
        ] {
            assert_eq!(Url::parse(text), Err(fault), "{text}");
        }
    }
}
