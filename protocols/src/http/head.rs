//! A request head.

use super::headers::Headers;
use std::ops::Deref;

/// Most header lines of one request.
const HEADERS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// OPTIONS.
    Options,
    /// One that nothing here answers.
    Other(String),
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0
    Http10,
    /// 1.1
    Http11,
}

impl Version {
    /// As it stands in a start line.
    pub const fn name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes; a request that does not say has none.
    Bytes(u64),
    /// Chunked coding.
    Chunked,
}

/// A parsed request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// Version.
    pub version: Version,
    /// Path of the target, undecoded: begins with `/`, or is `*`.
    pub path: String,
    /// Query of the target without `?`.
    pub query: String,
    /// Authority of an absolute target, else the value of `Host`; may be empty.
    pub authority: String,
    /// Length of the body.
    pub body: BodyLength,
    headers: Headers,
}

impl Deref for Head {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.headers
    }
}

/// Status and words for a head that cannot be taken.
pub type Bad = (u16, &'static str);

impl Head {
    /// Read one whole head, its blank line included.
    ///
    /// # Errors
    /// 400 for what is no request, and for a body whose length is told twice or not at all in a way
    /// that two readers could understand differently; 431, 501 and 505 as HTTP has them.
    pub fn parse(bytes: &[u8]) -> Result<Head, Bad> {
        let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut raw = httparse::Request::new(&mut room);
        match raw.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err((400, "incomplete head")),
            Err(httparse::Error::TooManyHeaders) => return Err((431, "too many header lines")),
            Err(httparse::Error::Version) => return Err((505, "HTTP version")),
            Err(_) => return Err((400, "malformed head")),
        }
        let version = match raw.version {
            Some(0) => Version::Http10,
            Some(1) => Version::Http11,
            _ => return Err((505, "HTTP version")),
        };
        let headers = Headers::new(raw.headers);
        let method = match raw.method.unwrap_or("") {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.to_owned()),
        };
        let (authority, path, query) =
            split_target(raw.path.unwrap_or(""), method == Method::Options)?;
        let mut head = Head {
            method,
            version,
            path,
            query,
            authority,
            body: BodyLength::Bytes(0),
            headers,
        };
        head.body = head.body_length()?;
        if head.authority.is_empty() {
            head.authority = head.get("Host").unwrap_or("").to_owned();
        }
        Ok(head)
    }

    /// True if the connection may carry another request after this one.
    pub fn keeps_alive(&self) -> bool {
        self.headers.keeps_alive(self.version)
    }

    /// Path and query as they were asked for.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    fn body_length(&self) -> Result<BodyLength, Bad> {
        let mut length = None;
        for value in self.all("Content-Length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let value = if digits { value.parse().ok() } else { None };
            let value: u64 = value.ok_or((400, "number in Content-Length"))?;
            if length.is_some_and(|l| l != value) {
                return Err((400, "two values of Content-Length"));
            }
            length = Some(value);
        }
        if self.get("Transfer-Encoding").is_none() {
            return Ok(BodyLength::Bytes(length.unwrap_or(0)));
        }
        if length.is_some() {
            return Err((400, "Content-Length beside Transfer-Encoding"));
        }
        if self.version == Version::Http10 {
            return Err((400, "Transfer-Encoding in HTTP/1.0"));
        }
        let mut codings = self.list("Transfer-Encoding");
        match (codings.next(), codings.next()) {
            (Some(one), None) if one.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
            _ => Err((501, "coding in Transfer-Encoding")),
        }
    }
}

/// Authority, path and query of a request target; `*` is one for OPTIONS alone.
pub(crate) fn split_target(target: &str, options: bool) -> Result<(String, String, String), Bad> {
    let (authority, local) = if target == "*" {
        if !options {
            return Err((400, "target '*'"));
        }
        return Ok((String::new(), target.to_owned(), String::new()));
    } else if target.starts_with('/') {
        ("", target)
    } else if let Some((scheme, rest)) = target.split_once("://") {
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err((400, "scheme of the target"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        rest.split_at(end)
    } else {
        return Err((400, "form of the target"));
    };
    let local = local.split('#').next().unwrap_or("");
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let path = if path.is_empty() { "/" } else { path };
    Ok((authority.to_owned(), path.to_owned(), query.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, Bad> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn targets() {
        let t = |line: &str| {
            let h = parse(&format!("{line}\r\nHost: h:1\r\n\r\n")).unwrap();
            (h.authority, h.path, h.query)
        };
        let want = |a: &str, p: &str, q: &str| (a.to_owned(), p.to_owned(), q.to_owned());
        assert_eq!(
            t("GET /a/b?WMCache=0 HTTP/1.0"),
            want("h:1", "/a/b", "WMCache=0")
        );
        assert_eq!(t("GET http://x:2/a HTTP/1.1"), want("x:2", "/a", ""));
        assert_eq!(t("GET http://x HTTP/1.1"), want("x", "/", ""));
        assert_eq!(t("GET http://x?q HTTP/1.1"), want("x", "/", "q"));
        assert_eq!(t("OPTIONS * HTTP/1.1"), want("h:1", "*", ""));
        // Tricks are for the application to refuse.
        assert_eq!(
            t("GET /../%2e%2e/x%00 HTTP/1.1"),
            want("h:1", "/../%2e%2e/x%00", "")
        );
        assert!(parse("GET * HTTP/1.1\r\n\r\n").is_err());
        assert!(parse("GET a/b HTTP/1.1\r\n\r\n").is_err());
        assert!(parse("CONNECT h:80 HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn refused_heads() {
        let status = |text: &str| parse(text).unwrap_err().0;
        assert_eq!(status("GET / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(status("GET /\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\na\x01: b\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\na: b\x01\r\n\r\n"), 400);
        let many = "a: b\r\n".repeat(100);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
        let with = |lines: &str| status(&format!("POST / HTTP/1.1\r\n{lines}\r\n"));
        assert_eq!(with("Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
        assert_eq!(with("Content-Length: 99999999999999999999999\r\n"), 400);
        assert_eq!(with("Content-Length: -1\r\n"), 400);
        assert_eq!(with("Content-Length: +1\r\n"), 400);
        assert_eq!(
            with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            400
        );
        assert_eq!(with("Transfer-Encoding: gzip, chunked\r\n"), 501);
        assert_eq!(
            status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400
        );
    }

    #[test]
    fn lengths_and_lives() {
        let h = parse("POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n").unwrap();
        assert_eq!(h.body, BodyLength::Bytes(3));
        assert!(h.keeps_alive());
        let h = parse("POST / HTTP/1.1\r\nConnection: x, Close\r\n\r\n").unwrap();
        assert!(!h.keeps_alive());
        assert_eq!(h.body, BodyLength::Bytes(0));
        let h = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert!(!h.keeps_alive());
        let h = parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
        assert!(h.keeps_alive());
        let h = parse("GET / HTTP/1.0\r\nContent-Type: a/B; c=d\r\n\r\n").unwrap();
        assert!(h.has_type("A/b") && !h.has_type("a/bc"));
    }
}
