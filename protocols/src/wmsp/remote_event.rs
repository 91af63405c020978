//! The body of SendEvent (MS-WMSP 2.2.5).

use super::cdl::{self, Pair};

/// Event: a cache opened an item.
pub const REMOTE_OPEN: u8 = 28;
/// Event: a cache closed an item.
pub const REMOTE_CLOSE: u8 = 29;
/// Event: a rendering log.
pub const REMOTE_LOG: u8 = 30;

/// A remote event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEvent {
    /// [`REMOTE_OPEN`], [`REMOTE_CLOSE`] or [`REMOTE_LOG`].
    pub event: u8,
    /// HRESULT.
    pub reason: u32,
    /// Two for [`REMOTE_LOG`], none for the others.
    pub descriptions: Vec<Vec<Pair>>,
}

impl RemoteEvent {
    /// The event of a rendering log.
    pub fn log(user_agent: &str, user_guid: &str, url: &str, xml: &str) -> RemoteEvent {
        let context = |kind: &str| Pair {
            name: "context-type".into(),
            vt: cdl::I4,
            value: kind.into(),
        };
        RemoteEvent {
            event: REMOTE_LOG,
            reason: 0,
            descriptions: vec![
                vec![
                    context("2"),
                    Pair::text("WMS_USER_AGENT", user_agent),
                    Pair::text("WMS_USER_GUID", user_guid),
                ],
                vec![
                    context("5"),
                    Pair::text("@WMS_COMMAND_CONTEXT_URL", url),
                    Pair::text("@.REMOTE_LOG", xml),
                ],
            ],
        }
    }

    /// The XML of a rendering log.
    pub fn remote_log(&self) -> Option<&str> {
        let mut pairs = self.descriptions.iter().flatten();
        let log = pairs.find(|p| p.name.eq_ignore_ascii_case("@.REMOTE_LOG"))?;
        Some(&log.value)
    }

    /// Write the body.
    pub fn emit(&self) -> String {
        let mut text = format!("1\r\n1,{},{}\r\n", self.event, self.reason);
        for description in &self.descriptions {
            cdl::put(description, &mut text);
        }
        text
    }

    /// Read a body (WMSP-27, WMLOG-30).
    ///
    /// # Errors
    /// The place and the line or field that cannot be read.
    pub fn parse(body: &[u8]) -> Result<RemoteEvent, cdl::CdlFault> {
        let fault = |at, reason| Err(cdl::CdlFault { at, reason });
        let Some((first, rest)) = line(body) else {
            return fault(0, "version line");
        };
        if first != b"1" {
            return fault(0, "version line");
        }
        let at = body.len() - rest.len();
        let Some((second, rest)) = line(rest) else {
            return fault(at, "event line");
        };
        let text = std::str::from_utf8(second).unwrap_or("");
        let mut fields = text.split(',').map(str::trim);
        let numbers = (fields.next(), fields.next(), fields.next(), fields.next());
        let (Some("1"), Some(event), Some(reason), None) = numbers else {
            return fault(at, "event line");
        };
        let (Ok(event), Ok(reason)) = (event.parse(), reason.parse()) else {
            return fault(at, "event line");
        };
        let at = body.len() - rest.len();
        let descriptions = cdl::parse(rest).map_err(|f| cdl::CdlFault { at: at + f.at, ..f })?;
        match (event, descriptions.len()) {
            (REMOTE_LOG, 2) | (REMOTE_OPEN | REMOTE_CLOSE, 0) => {}
            (REMOTE_LOG | REMOTE_OPEN | REMOTE_CLOSE, _) => {
                return fault(at, "number of content descriptions");
            }
            _ => return fault(at, "event"),
        }
        Ok(RemoteEvent {
            event,
            reason,
            descriptions,
        })
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    Some((bytes[..end].trim_ascii(), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "1\r\n1,30,0\r\n\
        12,context-type,3,1,2,14,WMS_USER_AGENT,31,17,NSPlayer/12.0.0.1,13,WMS_USER_GUID,31,38,{11223344-1122-1122-1122-AABBCCDDEEFF}\r\n\
        12,context-type,3,1,5,24,@WMS_COMMAND_CONTEXT_URL,31,14,http://h/a.wmv,12,@.REMOTE_LOG,31,11,<XML></XML>\r\n";

    // WMSP-27, WMLOG-30, WMLOG-31
    #[test]
    fn the_example_of_the_reference() {
        let event = RemoteEvent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(event.remote_log(), Some("<XML></XML>"));
        assert_eq!(event.emit(), EXAMPLE);
        let guid = "{11223344-1122-1122-1122-AABBCCDDEEFF}";
        let made = RemoteEvent::log("NSPlayer/12.0.0.1", guid, "http://h/a.wmv", "<XML></XML>");
        assert_eq!(made, event);
    }

    #[test]
    fn events_of_caches_have_no_descriptions() {
        let open = RemoteEvent::parse(b"1\r\n1,28,0\r\n").unwrap();
        assert_eq!((open.event, open.remote_log()), (REMOTE_OPEN, None));
        assert_eq!(
            RemoteEvent::parse(b"1\r\n1,30,0\r\n").unwrap_err().reason,
            "number of content descriptions"
        );
        for bad in [
            "",
            "1",
            "2\r\n1,28,0\r\n",
            "1\r\n1,31,0\r\n",
            "1\r\n1,28\r\n",
            "1\r\n1,28,-1\r\n",
        ] {
            assert!(RemoteEvent::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
