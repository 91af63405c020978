//! The URLs that a client of MMSP opens (mmsp.md 1).

use crate::client::Transport;
use crate::client::url::{self, AuthorityFault};
use std::fmt;

/// Where a content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `mms`, `mmst` or `mmsu`.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port, and UDP port for requests to send again.
    pub port: u16,
    /// Path without the leading `/`, not percent-encoded, with its query.
    pub name: String,
}

/// The schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Any transport.
    Mms,
    /// Media over TCP.
    Mmst,
    /// Media over UDP.
    Mmsu,
}

/// Why a URL cannot be opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not `mms`, `mmst` or `mmsu`.
    #[error("the scheme is not mms, mmst or mmsu")]
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

const PORT: u16 = 1755;

impl Scheme {
    /// The transport that the scheme asks for. Open players take plain `mms` as TCP, which passes more
    /// firewalls than datagrams do.
    pub fn transport(self) -> Transport {
        match self {
            Scheme::Mms | Scheme::Mmst => Transport::Tcp,
            Scheme::Mmsu => Transport::Udp,
        }
    }

    /// As it stands in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Mms => "mms",
            Scheme::Mmst => "mmst",
            Scheme::Mmsu => "mmsu",
        }
    }
}

impl Url {
    /// Read an absolute URL. Users, passwords and fragments are left out; what is percent-encoded in
    /// the path is decoded, since names go onto the wire as they are (mmsp.md 2.4).
    ///
    /// # Errors
    /// Says which part cannot be used.
    pub fn parse(text: &str) -> Result<Url, UrlFault> {
        let (scheme, authority, local) = url::split(text).ok_or(UrlFault::Scheme)?;
        let schemes = [Scheme::Mms, Scheme::Mmst, Scheme::Mmsu];
        let scheme = schemes
            .into_iter()
            .find(|s| s.name().eq_ignore_ascii_case(scheme))
            .ok_or(UrlFault::Scheme)?;
        let (host, port) = url::host_and_port(authority, PORT)?;
        Ok(Url {
            scheme,
            host,
            port,
            name: name(local),
        })
    }

    /// Host and port, as `Host` names them.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, at) = (self.scheme.name(), self.authority());
        write!(f, "{scheme}://{at}/{}", self.name)
    }
}

/// `host`, and `:port` unless it is the usual one.
pub(super) fn authority(host: &str, port: u16) -> String {
    url::authority(host, port, PORT)
}

fn name(local: &str) -> String {
    let local = local.split('#').next().unwrap_or("");
    let local = local.strip_prefix('/').unwrap_or(local);
    let (path, query) = match local.find('?') {
        Some(at) => local.split_at(at),
        None => (local, ""),
    };
    format!("{}{query}", percent_decoded(path))
}

/// Text whose encoded bytes are no UTF-8 stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        rest = after;
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (&'static str, String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.scheme.name(), url.host, url.port, url.name)
    }

    #[test]
    fn reads_what_players_open() {
        let want = |s, h: &str, p, n: &str| (s, h.to_owned(), p, n.to_owned());
        assert_eq!(parts("mms://h"), want("mms", "h", 1755, ""));
        assert_eq!(
            parts(" MMST://u:p@h:7/a%20b/%C3%A9.wmv?x=%20#f "),
            want("mmst", "h", 7, "a b/é.wmv?x=%20")
        );
        assert_eq!(parts("mmsu://[::1]:8/%zz%"), want("mmsu", "::1", 8, "%zz%"));
        assert_eq!(parts("mmsu://h/%FF"), want("mmsu", "h", 1755, "%FF"));
        assert_eq!(
            Url::parse("mms://[::1]/a").unwrap().to_string(),
            "mms://[::1]/a"
        );
        assert_eq!(
            Url::parse("mmst://h:9/a").unwrap().to_string(),
            "mmst://h:9/a"
        );
    }

    #[test]
    fn refuses_what_it_cannot_open() {
        for (text, fault) in [
            ("http://h/", UrlFault::Scheme),
            ("/a", UrlFault::Scheme),
            ("mms:///a", UrlFault::Host),
            ("mms://[::1/a", UrlFault::Host),
            ("mms://h:0/", UrlFault::Port),
            ("mms://h:65536/", UrlFault::Port),
        ] {
            assert_eq!(Url::parse(text), Err(fault), "{text}");
        }
    }
}
