//! Bodies of requests, and what `Content-Type` says that they are (MS-RTSP 2.2.6.3, 2.2.7).

use super::Fault;
use super::text::number;
use crate::content::Level;
use std::fmt;

/// The body of GetContentInfo (RTSP-87).
pub const CONTENT_INFO: &[u8] = &[0];
/// The number that stands for no stream.
pub const NO_STREAM: u32 = u32::MAX;
/// Most entries of one SelectStream.
pub const ENTRIES_MAX: usize = 128;

/// A media type of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// A description.
    Sdp,
    /// GetContentInfo.
    ContentInfo,
    /// TcpPacketPair.
    PacketPair,
    /// UdpPacketPair.
    UdpPacketPair,
    /// SelectStream.
    StreamSwitch,
    /// LogConnect.
    LogConnect,
    /// LogPlay.
    LogPlay,
    /// SendEvent.
    SendEvent,
    /// EndOfStream.
    ExtensionCommand,
    /// Content description; its use is not defined.
    ContentDescription,
    /// Templates; their use is not defined.
    Templates,
}

impl ContentType {
    const NAMES: [(ContentType, &'static str); 11] = [
        (ContentType::Sdp, "application/sdp"),
        (ContentType::ContentInfo, "application/x-wms-getcontentinfo"),
        (ContentType::PacketPair, "application/x-rtsp-packetpair"),
        (
            ContentType::UdpPacketPair,
            "application/x-rtsp-udp-packetpair",
        ),
        (ContentType::StreamSwitch, "application/x-wms-streamswitch"),
        (ContentType::LogConnect, "application/x-wms-Logconnectstats"),
        (ContentType::LogPlay, "application/x-wms-Logplaystats"),
        (ContentType::SendEvent, "application/x-wms-sendevent"),
        (
            ContentType::ExtensionCommand,
            "application/x-wms-extension-cmd",
        ),
        (
            ContentType::ContentDescription,
            "application/x-wms-contentdesc",
        ),
        (ContentType::Templates, "application/x-wms-gettemplates"),
    ];

    /// By the header's value, in any case, whatever its parameters (RTSP-64).
    pub fn parse(value: &str) -> Option<ContentType> {
        let name = value.split(';').next().unwrap_or("").trim();
        ContentType::NAMES
            .into_iter()
            .find(|(_, n)| n.eq_ignore_ascii_case(name))
            .map(|(t, _)| t)
    }

    /// As it stands in the header.
    pub fn name(self) -> &'static str {
        ContentType::NAMES
            .into_iter()
            .find(|(t, _)| *t == self)
            .map_or("", |(_, name)| name)
    }
}

/// One change of the selection: the body of SelectStream (RTSP-96).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSwitch {
    /// Number and URL of the stream that is dropped or replaced.
    pub old: Option<(u32, String)>,
    /// Number and URL of the stream that is set.
    pub new: Option<(u32, String)>,
    /// How much of the new one.
    pub thin: Level,
}

impl StreamSwitch {
    /// Read a body. The word `SSEntry:` may be missing and line ends may be missing or many, as in
    /// examples of the protocol document. A number may stand without its URL.
    ///
    /// # Errors
    /// A line that cannot be read, with its place; too many; none.
    pub fn parse(body: &[u8]) -> Result<Vec<StreamSwitch>, Fault> {
        let text = std::str::from_utf8(body)
            .map_err(|e| Fault::at(e.valid_up_to(), "SSEntry", "no UTF-8"))?;
        let mut list = Vec::new();
        let mut at = 0;
        for line in text.split('\n') {
            let start = at;
            at += line.len() + 1;
            let line = line.trim_matches(['\r', ' ', '\t', '\0']);
            if line.is_empty() {
                continue;
            }
            if list.len() == ENTRIES_MAX {
                return Err(Fault::at(start, "SSEntry", "too many entries"));
            }
            list.push(StreamSwitch::parse_line(line).map_err(|f| f.moved(start as u64))?);
        }
        if list.is_empty() {
            return Err(Fault::at(0, "SSEntry", "no entry"));
        }
        Ok(list)
    }

    fn parse_line(line: &str) -> Result<StreamSwitch, Fault> {
        let name = line.get(..8).filter(|n| n.eq_ignore_ascii_case("SSEntry:"));
        let rest = name.map_or(line, |n| &line[n.len()..]);
        let mut words = rest.split_ascii_whitespace();
        let mut next = |what: &'static str| {
            let word = words.next().unwrap_or("");
            number::<u32>(word, what).map_err(|f| Fault::at(0, what, f.reason))
        };
        let (old, new) = (next("old stream")?, next("new stream")?);
        let thin = match next("thinning level")? {
            0 => Level::Whole,
            1 => Level::KeyOnly,
            2 => Level::Off,
            _ => return Err(Fault::at(0, "thinning level", "not 0, 1 or 2")),
        };
        // The URL of a side that is missing is missing too, so the first one belongs to whichever
        // side is there.
        let mut side = |number: u32| {
            (number != NO_STREAM).then(|| (number, words.next().unwrap_or("").to_owned()))
        };
        let (old, new) = (side(old), side(new));
        if words.next().is_some() {
            return Err(Fault::at(0, "SSEntry", "something behind the URLs"));
        }
        Ok(StreamSwitch { old, new, thin })
    }
}

/// The line with its end.
impl fmt::Display for StreamSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |side: &Option<(u32, String)>| side.as_ref().map_or(NO_STREAM, |s| s.0);
        let thin = match self.thin {
            Level::Whole => 0,
            Level::KeyOnly => 1,
            Level::Off => 2,
        };
        write!(
            f,
            "SSEntry: {} {} {thin}",
            number(&self.old),
            number(&self.new)
        )?;
        for (_, url) in [&self.old, &self.new].into_iter().flatten() {
            if !url.is_empty() {
                write!(f, " {url}")?;
            }
        }
        f.write_str("\r\n")
    }
}

/// What EndOfStream says beside that it is one; at most one of them (RTSP-111).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The server's operator ended it.
    AdministrativeDisconnection,
    /// Another entry of the playlist follows.
    EndOfPlaylistEntry,
    /// A rewind reached the start.
    RecedingEos,
}

impl EndReason {
    const ALL: [EndReason; 3] = [
        EndReason::AdministrativeDisconnection,
        EndReason::EndOfPlaylistEntry,
        EndReason::RecedingEos,
    ];

    const fn name(self) -> &'static str {
        match self {
            EndReason::AdministrativeDisconnection => "AdministrativeDisconnection",
            EndReason::EndOfPlaylistEntry => "End-Of-Playlist-Entry",
            EndReason::RecedingEos => "RecedingEos",
        }
    }
}

/// The body of EndOfStream (RTSP-110).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOfStream {
    /// The session's id; it belongs to the body.
    pub session: String,
    /// Why, if not merely because all was sent.
    pub reason: Option<EndReason>,
}

impl EndOfStream {
    /// Read a body. Unknown lines are passed over.
    ///
    /// # Errors
    /// If it does not say `EOF: true`.
    pub fn parse(body: &[u8]) -> Result<EndOfStream, Fault> {
        let text = String::from_utf8_lossy(body);
        let mut end = EndOfStream {
            session: String::new(),
            reason: None,
        };
        let mut eof = false;
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim_matches(['\0', ' ', '\t', '\r']));
            let set = value.eq_ignore_ascii_case("true");
            if name.eq_ignore_ascii_case("Session") {
                value.clone_into(&mut end.session);
            } else if name.eq_ignore_ascii_case("EOF") {
                eof = set;
            } else if set {
                let known = EndReason::ALL
                    .into_iter()
                    .find(|r| name.eq_ignore_ascii_case(r.name()));
                end.reason = known.or(end.reason);
            }
        }
        match eof {
            true => Ok(end),
            false => Err(Fault::at(0, "EndOfStream", "no 'EOF: true'")),
        }
    }
}

impl fmt::Display for EndOfStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session: {}\r\nEOF: true\r\n", self.session)?;
        match self.reason {
            Some(reason) => write!(f, "{}: true\r\n", reason.name()),
            None => Ok(()),
        }
    }
}

/// The body of UdpPacketPair: packets of any size that tells them apart are wanted, or those of fixed
/// sizes (RTSP-93).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PairRequest {
    /// `variable-size` is said.
    pub variable_size: bool,
}

impl PairRequest {
    /// Read a body.
    ///
    /// # Errors
    /// If it does not ask for high-entropy packets.
    pub fn parse(body: &[u8]) -> Result<PairRequest, Fault> {
        let text = String::from_utf8_lossy(body);
        let mut words = text
            .split(|c: char| c.is_ascii_whitespace() || c == '\0')
            .filter(|w| !w.is_empty());
        let is =
            |word: Option<&str>, name: &str| word.is_some_and(|w| w.eq_ignore_ascii_case(name));
        if !is(words.next(), "type:") || !is(words.next(), "high-entropy-packetpair") {
            return Err(Fault::at(0, "UdpPacketPair", "another type"));
        }
        Ok(PairRequest {
            variable_size: is(words.next(), "variable-size"),
        })
    }

    /// The body, which has no line end.
    pub const fn text(self) -> &'static str {
        match self.variable_size {
            true => "type: high-entropy-packetpair variable-size",
            false => "type: high-entropy-packetpair",
        }
    }
}
