//! What a push request says: which of the two it is, who sends it, for which session, and what the body
//! of a PushSetup asks for (MS-WMHTTP 2.2.1, 2.2.2).

use crate::http::head::{Head, Method};
use crate::http::headers::Headers;

/// Content-Type of a PushSetup (WMHTTP-06).
pub const SETUP_TYPE: &str = "application/x-wms-pushsetup";
/// Content-Type of a PushStart (WMHTTP-07).
pub const START_TYPE: &str = "application/x-wms-pushstart";

/// Name of the cookie that names a session.
const COOKIE: &str = "push-id";
/// Its value for who has no session yet.
pub const NO_ID: &str = "0";

/// Which of the two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PushSetup: make a session.
    Setup,
    /// PushStart: media is in its body.
    Start,
}

impl Kind {
    /// What a request is by method and Content-Type; `None`: not for this protocol.
    pub fn of(head: &Head) -> Option<Kind> {
        if head.method != Method::Post {
            None
        } else if head.has_type(SETUP_TYPE) {
            Some(Kind::Setup)
        } else if head.has_type(START_TYPE) {
            Some(Kind::Start)
        } else {
            None
        }
    }
}

/// True if a `User-Agent` is that of an encoder: `WMEncoder/` and version 9.0, 10.0, 11.0 or 12.0, of
/// which real ones have parts of five digits (WMHTTP-05, WMHTTP-99).
pub fn is_encoder(user_agent: &str) -> bool {
    const NAME: &str = "WMEncoder/";
    let text = user_agent.trim();
    let Some((name, rest)) = text.split_at_checked(NAME.len()) else {
        return false;
    };
    let version = rest.split([' ', '\t']).next().unwrap_or("");
    let parts: Option<Vec<u32>> = version
        .split('.')
        .map(|part| {
            let digits = (1..=5).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect();
    name.eq_ignore_ascii_case(NAME)
        && matches!(
            parts.as_deref(),
            Some([9..=12, 0] | [9..=12, 0, _] | [9..=12, 0, _, _])
        )
}

/// All push-ids of a request, in order. Encoders send several, and cookies of others among them, in one
/// header (WMHTTP-100).
pub fn push_ids(headers: &Headers) -> impl Iterator<Item = &str> {
    headers
        .all("Cookie")
        .flat_map(|v| v.split([';', ',']))
        .filter_map(|cookie| {
            let (name, value) = cookie.split_once('=')?;
            let named = name.trim().eq_ignore_ascii_case(COOKIE);
            named.then(|| value.trim().trim_matches('"'))
        })
}

/// The body of a PushSetup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Template-URL: path of the point whose settings a new one takes; starts with `/`, not decoded.
    pub template: Option<String>,
    /// AutoDestroy: the point goes with the session.
    pub destroy: bool,
}

/// A body that is none of a PushSetup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset} of the body")]
pub struct Malformed {
    /// Offset of the line.
    pub offset: usize,
    /// What was wrong.
    pub reason: &'static str,
}

impl Directives {
    /// Read a body. The directives may come in any order, unknown ones are passed over, and what is not
    /// there is off (WMHTTP-11).
    ///
    /// # Errors
    /// For a value that a directive cannot have, and for a second Template-URL.
    pub fn parse(body: &[u8]) -> Result<Directives, Malformed> {
        let mut directives = Directives::default();
        let mut offset = 0;
        for line in body.split_inclusive(|&b| b == b'\n') {
            let bad = |reason| Malformed { offset, reason };
            // WMHTTP-10
            let text = std::str::from_utf8(line).ok().filter(|t| t.is_ascii());
            let text = text.ok_or(bad("character that is not ASCII"))?.trim();
            if let Some((name, value)) = text.split_once(':') {
                directives.put(name.trim_end(), value.trim()).map_err(bad)?;
            }
            offset += line.len();
        }
        Ok(directives)
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        if name.eq_ignore_ascii_case("Template-URL") {
            let path = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            let path = path.unwrap_or(value);
            if !path.starts_with('/') || path.contains(['"', ' ', '\t']) {
                return Err("path in Template-URL");
            }
            if self.template.replace(path.to_owned()).is_some() {
                return Err("second Template-URL");
            }
        } else if name.eq_ignore_ascii_case("AutoDestroy") {
            self.destroy = match value {
                "0" => false,
                "1" => true,
                _ => return Err("value of AutoDestroy"),
            };
        }
        Ok(())
    }

    /// The body that says this, AutoDestroy always (WMHTTP-29, WMHTTP-30, WMHTTP-31).
    pub fn text(&self) -> String {
        let destroy = format!("AutoDestroy: {}\r\n", u8::from(self.destroy));
        match &self.template {
            Some(path) => format!("Template-URL: \"{path}\"\r\n{destroy}"),
            None => destroy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        Head::parse(format!("POST /live HTTP/1.1\r\n{lines}\r\n").as_bytes()).unwrap()
    }

    // WMHTTP-06, WMHTTP-07
    #[test]
    fn kinds() {
        let of = |lines: &str| Kind::of(&head(lines));
        assert_eq!(
            of("Content-Type: application/x-wms-pushsetup;charset=UTF-8\r\n"),
            Some(Kind::Setup)
        );
        assert_eq!(
            of("content-type: Application/X-WMS-PushStart\r\n"),
            Some(Kind::Start)
        );
        assert_eq!(of("Content-Type: application/x-wms-LogStats\r\n"), None);
        assert_eq!(of(""), None);
        let get = b"GET / HTTP/1.1\r\nContent-Type: application/x-wms-pushsetup\r\n\r\n";
        assert_eq!(Kind::of(&Head::parse(get).unwrap()), None);
    }

    // WMHTTP-05, WMHTTP-99
    #[test]
    fn encoders() {
        for good in [
            "WMEncoder/9.0",
            "WMEncoder/11.0.5721.5145",
            "WMEncoder/12.0.10011.16384",
            "WMEncoder/9.00.00.2980 x/1",
            "wmencoder/10.0",
        ] {
            assert!(is_encoder(good), "{good}");
        }
        for bad in [
            "",
            "WMEncoder",
            "WMEncoder/",
            "WMEncoder/8.0",
            "WMEncoder/9.1",
            "WMEncoder/13.0",
            "WMEncoder/9",
            "WMEncoder/9.0.1.2.3",
            "WMEncoder/12.0.100111.1",
            "WMEncoder/9.x",
            "NSPlayer/12.0",
            "Mozilla/5.0 WMEncoder/9.0",
            "WMEncodeé/9.0",
        ] {
            assert!(!is_encoder(bad), "{bad}");
        }
    }

    // WMHTTP-100
    #[test]
    fn cookies() {
        let ids = |lines: &str| {
            let head = head(lines);
            let ids: Vec<String> = push_ids(&head).map(str::to_owned).collect();
            ids
        };
        assert_eq!(ids("Cookie: push-id=0\r\n"), ["0"]);
        assert_eq!(
            ids(
                "Cookie: __utma=1.2.3; push-id=11, push-id=22 ;x; Push-Id = \"33\"\r\ncookie: push-id=44\r\n"
            ),
            ["11", "22", "33", "44"]
        );
        assert!(ids("Cookie: xpush-id=1; push-idx=2\r\n").is_empty());
        assert!(ids("").is_empty());
    }

    // WMHTTP-10, WMHTTP-11, WMHTTP-30, WMHTTP-31
    #[test]
    fn directives() {
        let parse = |body: &str| Directives::parse(body.as_bytes());
        let said = |template: Option<&str>, destroy| Directives {
            template: template.map(str::to_owned),
            destroy,
        };
        assert_eq!(parse(""), Ok(said(None, false)));
        assert_eq!(parse("AutoDestroy: 1\r\n"), Ok(said(None, true)));
        assert_eq!(parse("AutoDestroy:0"), Ok(said(None, false)));
        let both = "Template-URL: \"/master\"\r\nAutoDestroy: 1\r\n";
        assert_eq!(both.len(), 41);
        assert_eq!(parse(both), Ok(said(Some("/master"), true)));
        assert_eq!(said(Some("/master"), true).text(), both);
        assert_eq!(said(None, false).text(), "AutoDestroy: 0\r\n");
        assert_eq!(
            parse("x\nAutoDestroy: 1\nOther: y\nTemplate-URL:\"/a%20b\"\n"),
            Ok(said(Some("/a%20b"), true))
        );
        let fault = |body: &str| parse(body).unwrap_err().to_string();
        assert_eq!(
            fault("AutoDestroy: 1\r\nTemplate-URL: \"master\"\r\n"),
            "path in Template-URL at byte 16 of the body"
        );
        assert_eq!(
            fault("Template-URL: \"/a\"\nTemplate-URL: \"/b\"\n"),
            "second Template-URL at byte 19 of the body"
        );
        assert_eq!(
            fault("AutoDestroy: 2"),
            "value of AutoDestroy at byte 0 of the body"
        );
        assert_eq!(
            fault("é"),
            "character that is not ASCII at byte 0 of the body"
        );
    }
}
