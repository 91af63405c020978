//! The requests of a client (MS-WMSP 2.2.2, 3.1.4).

use super::url::Url;
use crate::http::head::Version;
use crate::wmsp::pragma::RequestPragma;
use bytes::Bytes;
use std::fmt::Write as _;

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Describe,
    Pipeline1,
    Pipeline2,
    Play,
    NextEntry,
    /// SelectStream.
    Select,
    Stop,
    KeepAlive,
    Log,
    /// SendEvent with a rendering log.
    Event,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Describe => "Describe",
            Kind::Pipeline1 | Kind::Pipeline2 => "Pipeline",
            Kind::Play => "Play",
            Kind::NextEntry => "PlayNextEntry",
            Kind::Select => "SelectStream",
            Kind::Stop => "Stop",
            Kind::KeepAlive => "KeepAlive",
            Kind::Log => "Log",
            Kind::Event => "SendEvent",
        }
    }

    /// True if its reply may have media in its body.
    pub fn streams(self) -> bool {
        matches!(self, Kind::Play | Kind::NextEntry | Kind::Select)
    }
}

/// Everything of a request but its kind's tokens.
#[derive(Clone, Debug)]
pub(super) struct Envelope<'a> {
    pub url: &'a Url,
    /// The request goes to a proxy.
    pub absolute: bool,
    pub http: Version,
    pub user_agent: &'a str,
    /// Value of `Supported`; empty: no such header.
    pub supported: &'a str,
    /// Value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    /// GET and OPTIONS: no word about a body.
    None,
    /// POST without a body.
    Empty,
    /// POST with a body of this type.
    Body(&'static str, &'a [u8]),
}

impl Envelope<'_> {
    /// What stands in the request line.
    pub fn target(&self, method: &str) -> String {
        match (method, self.absolute) {
            ("OPTIONS", _) => "*".to_owned(),
            (_, true) => self.url.to_string(),
            (_, false) => self.url.target.clone(),
        }
    }

    /// Write a request.
    pub fn write(&self, method: &str, pragma: &RequestPragma, payload: Payload<'_>) -> Bytes {
        let target = self.target(method);
        let mut out = format!(
            "{method} {target} {}\r\nAccept: */*\r\nUser-Agent: {}\r\nHost: {}\r\n",
            self.http.name(),
            self.user_agent,
            self.url.authority(),
        );
        if !self.supported.is_empty() {
            let _ = write!(out, "Supported: {}\r\n", self.supported);
        }
        if let Some(authorization) = self.authorization {
            let _ = write!(out, "Authorization: {authorization}\r\n");
        }
        pragma.emit(&mut out);
        let body = match payload {
            Payload::None => &[][..],
            Payload::Empty => {
                out.push_str("Content-Length: 0\r\n");
                &[][..]
            }
            Payload::Body(content_type, body) => {
                let _ = write!(
                    out,
                    "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                    body.len()
                );
                body
            }
        };
        out.push_str("\r\n");
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(body);
        Bytes::from(bytes)
    }
}
