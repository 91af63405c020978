//! The URLs that a client opens.

use crate::client::url::{self, AuthorityFault, target};
use std::fmt;

/// Where a content is: what of a URL goes into requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
}

/// Why a URL cannot be opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not `http`, `mms` or `mmsh`.
    #[error("the scheme is not http, mms or mmsh")]
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

const PORT: u16 = 80;

impl Url {
    /// Read an absolute URL. Users, passwords and fragments are left out; what must not stand in a
    /// request line is percent-encoded.
    pub fn parse(text: &str) -> Result<Url, UrlFault> {
        let (scheme, authority, local) = url::split(text).ok_or(UrlFault::Scheme)?;
        if !["http", "mms", "mmsh"]
            .iter()
            .any(|s| s.eq_ignore_ascii_case(scheme))
        {
            return Err(UrlFault::Scheme);
        }
        let (host, port) = url::host_and_port(authority, PORT)?;
        Ok(Url {
            host,
            port,
            target: target(local),
        })
    }

    /// The URL that a reference found at this one means.
    pub fn join(&self, reference: &str) -> Result<Url, UrlFault> {
        let reference = reference.trim();
        if reference.contains("://") {
            return Url::parse(reference);
        }
        let target = if let Some(rest) = reference.strip_prefix("//") {
            return Url::parse(&format!("http://{rest}"));
        } else if reference.starts_with('/') {
            target(reference)
        } else {
            let path = self.target.split('?').next().unwrap_or("/");
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            target(&format!("{folder}{reference}"))
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
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.host, url.port, url.target)
    }

    #[test]
    fn reads_what_players_open() {
        let want = |h: &str, p, t: &str| (h.to_owned(), p, t.to_owned());
        assert_eq!(parts("http://h"), want("h", 80, "/"));
        assert_eq!(parts(" mms://h:8080/a b?c#d "), want("h", 8080, "/a%20b?c"));
        assert_eq!(
            parts("MMSH://u:p@[::1]:81/x\r\ny"),
            want("::1", 81, "/x%0D%0Ay")
        );
        assert_eq!(parts("http://[::1]?q"), want("::1", 80, "/?q"));
        assert_eq!(parts("http://h:/"), want("h", 80, "/"));
        assert_eq!(parts("http://h/é%20"), want("h", 80, "/%C3%A9%20"));
    }

    #[test]
    fn refuses_what_it_cannot_open() {
        for (text, fault) in [
            ("rtsp://h/", UrlFault::Scheme),
            ("/a", UrlFault::Scheme),
            ("http://", UrlFault::Host),
            ("http:///a", UrlFault::Host),
            ("http://[::1/a", UrlFault::Host),
            ("http://a\u{7f}b/", UrlFault::Host),
            ("http://h:0/", UrlFault::Port),
            ("http://h:65536/", UrlFault::Port),
            ("http://h:+80/", UrlFault::Port),
            ("http://[::1]80/", UrlFault::Port),
        ] {
            assert_eq!(Url::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn joins_references() {
        let base = Url::parse("http://h:81/a/b.asx?q=/x/y").unwrap();
        let joined = |r: &str| base.join(r).unwrap().to_string();
        assert_eq!(joined("mms://x/y"), "http://x/y");
        assert_eq!(joined("//x/y"), "http://x/y");
        assert_eq!(joined("/y?z"), "http://h:81/y?z");
        assert_eq!(joined("y"), "http://h:81/a/y");
        assert_eq!(base.authority(), "h:81");
        assert_eq!(Url::parse("http://[::1]/").unwrap().authority(), "[::1]");
    }
}
