//! The URL that is pushed to.

use crate::client::url::{self, AuthorityFault, target};
use std::fmt;

/// Where a publishing point is: what of a URL goes into requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
}

/// Why nothing can be pushed to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not `http`.
    #[error("the scheme is not http")]
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

/// No port is assigned to the protocol; this is the customary one.
const PORT: u16 = 80;

impl Url {
    /// Read an absolute URL. Users, passwords and fragments are left out; what must not stand in a
    /// request line is percent-encoded.
    ///
    /// # Errors
    /// If nothing can be pushed there.
    pub fn parse(text: &str) -> Result<Url, UrlFault> {
        let (scheme, authority, local) = url::split(text).ok_or(UrlFault::Scheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlFault::Scheme);
        }
        let (host, port) = url::host_and_port(authority, PORT)?;
        Ok(Url {
            host,
            port,
            target: target(local),
        })
    }

    /// The URL that a `Location` found at this one means.
    pub(super) fn join(&self, reference: &str) -> Result<Url, UrlFault> {
        let reference = reference.trim();
        if reference.contains("://") {
            return Url::parse(reference);
        }
        let target = match reference.strip_prefix("//") {
            Some(rest) => return Url::parse(&format!("http://{rest}")),
            None if reference.starts_with('/') => target(reference),
            None => {
                let path = self.target.split('?').next().unwrap_or("/");
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                target(&format!("{folder}{reference}"))
            }
        };
        Ok(Url {
            target,
            ..self.clone()
        })
    }

    /// The value of `Host`.
    pub fn authority(&self) -> String {
        url::authority(&self.host, self.port, PORT)
    }

    /// True if both are served by the same server.
    pub(super) fn same_server(&self, other: &Url) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_pushed_to() {
        let url = Url::parse("HTTP://u:p@[::1]:8080/a b?c#d").unwrap();
        assert_eq!(url.to_string(), "http://[::1]:8080/a%20b?c");
        assert_eq!(Url::parse("http://h").unwrap().to_string(), "http://h/");
        assert_eq!(Url::parse("mms://h/"), Err(UrlFault::Scheme));
        assert_eq!(Url::parse("http:///a"), Err(UrlFault::Host));
        assert_eq!(Url::parse("http://h:0/"), Err(UrlFault::Port));
    }

    #[test]
    fn locations_are_taken_relative_to_where_they_stood() {
        let base = Url::parse("http://h:81/a/b?c=/d").unwrap();
        let joined = |r: &str| base.join(r).unwrap().to_string();
        assert_eq!(joined("http://x/y"), "http://x/y");
        assert_eq!(joined("//x:82/y"), "http://x:82/y");
        assert_eq!(joined("/y"), "http://h:81/y");
        assert_eq!(joined(" y "), "http://h:81/a/y");
        assert_eq!(base.join("https://x/"), Err(UrlFault::Scheme));
    }
}
