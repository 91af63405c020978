//! Descriptions of presentations in SDP, read (RFC 4566, MS-RTSP 2.2.5). Lines may stand in any
//! order inside their section, since Windows Media Services do not keep to RFC 4566's.

use super::Fault;
use super::range::Range;
use super::sdp::{
    DESCRIPTION_URL, Encoding, FecOffer, Format, HEADER_URL, Media, MediaKind, Presentation, Types,
};
use super::text::number;
use crate::auth::base64;
use crate::wmsp::cdl;
use std::net::{IpAddr, Ipv4Addr};

/// Most bytes of a description.
pub const BYTES_MAX: usize = 2 << 20;
/// Most sections.
pub const MEDIA_MAX: usize = 256;
/// Most payload types of one section.
const PAYLOAD_TYPES_MAX: usize = 16;

/// Read a description (RTSP-61: what is unknown is passed over).
///
/// # Errors
/// A line that is none, an attribute of this protocol that breaks its grammar, and what exceeds the
/// limits; with its place.
pub fn parse(bytes: &[u8]) -> Result<Presentation, Fault> {
    if bytes.len() > BYTES_MAX {
        return Err(Fault::at(BYTES_MAX, "SDP", "too long"));
    }
    let mut to = Draft::default();
    let mut at = 0;
    for line in bytes.split(|&b| b == b'\n') {
        let start = at;
        at += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\0');
        if line.trim().is_empty() {
            continue;
        }
        let Some((kind, value)) = line.split_once('=').filter(|(k, _)| k.trim().len() == 1) else {
            return Err(Fault::at(start, "SDP line", "no type"));
        };
        let within = (start + kind.len() + 1) as u64;
        to.take(kind.trim(), value).map_err(|f| f.moved(within))?;
    }
    Ok(to.finish())
}

/// The absolute URL of a control attribute (RTSP-50). `base` is that of the session, or without one
/// Content-Base, Content-Location or the request's URL. A relative URL goes behind the base, as all
/// players have it: not in place of its last segment.
pub fn resolve(base: &str, control: &str) -> String {
    if control.contains("://") {
        return control.to_owned();
    }
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    let slash = if base.ends_with('/') { "" } else { "/" };
    if let Some(path) = control.strip_prefix('/') {
        let host = base.find("://").map_or(0, |n| n + 3);
        let end = base
            .get(host..)
            .and_then(|rest| rest.find('/'))
            .map_or(base.len(), |n| host + n);
        return format!("{}/{path}", base.get(..end).unwrap_or(base));
    }
    format!("{base}{slash}{control}")
}

/// A description in the making.
struct Draft {
    session: Presentation,
    sections: Vec<Section>,
    session_no_rtcp: [bool; 2],
}

/// A section in the making.
struct Section {
    media: Media,
    payload_types: Vec<u8>,
    formats: Vec<(u8, Format)>,
    no_rtcp: [bool; 2],
}

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            session: Presentation {
                id: 0,
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                name: String::new(),
                control: String::new(),
                kbits: None,
                etag: None,
                range: None,
                packet_size: None,
                types: Types::default(),
                description: Vec::new(),
                header: Vec::new(),
                media: Vec::new(),
            },
            sections: Vec::new(),
            session_no_rtcp: [false; 2],
        }
    }
}

impl Draft {
    fn take(&mut self, kind: &str, value: &str) -> Result<(), Fault> {
        match kind {
            "m" => {
                if self.sections.len() == MEDIA_MAX {
                    return Err(Fault::at(0, "SDP media", "too many sections"));
                }
                self.sections.push(Section::new(value)?);
            }
            "o" if self.sections.is_empty() => self.origin(value),
            "s" if self.sections.is_empty() => value.trim().clone_into(&mut self.session.name),
            "b" => self.bandwidth(value),
            "a" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                let value_at = name.len() as u64 + 1;
                match self.sections.last_mut() {
                    Some(section) => section.attribute(name.trim(), value),
                    None => self.attribute(name.trim(), value),
                }
                .map_err(|f| f.moved(value_at))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn origin(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let id = words.nth(1).and_then(|w| w.parse().ok());
        self.session.id = id.unwrap_or(0);
        let address = words.nth(3).and_then(|w| w.parse().ok());
        self.session.address = address.unwrap_or(self.session.address);
    }

    fn bandwidth(&mut self, value: &str) {
        let Some((name, value)) = value.split_once(':') else {
            return;
        };
        let kbits: Option<u32> = number(value, "b").ok();
        let (shown, average, no_rtcp) = match self.sections.last_mut() {
            Some(s) => (
                &mut s.media.kbits,
                &mut s.media.average_kbits,
                &mut s.no_rtcp,
            ),
            None => (
                &mut self.session.kbits,
                &mut None,
                &mut self.session_no_rtcp,
            ),
        };
        match name.trim() {
            "AS" => *shown = kbits,
            "X-AV" => *average = kbits,
            "RS" => no_rtcp[0] = kbits == Some(0),
            "RR" => no_rtcp[1] = kbits == Some(0),
            _ => {}
        }
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let to = &mut self.session;
        match name {
            "control" => value.trim().clone_into(&mut to.control),
            "etag" => to.etag = Some(value.trim().to_owned()),
            "range" => to.range = Range::parse(value).ok(),
            "maxps" => {
                // 0 says nothing (RTSP-51).
                let size = number(value, "a=maxps")?;
                to.packet_size = (size != 0).then_some(size);
            }
            "type" => {
                for word in value.split(',').map(str::trim) {
                    let mut tokens = to.types.tokens();
                    if let Some(known) = tokens.iter_mut().find(|t| t.1 == word) {
                        *known.0 = true;
                    }
                }
            }
            "pgmpu" => self.document(value)?,
            _ => {}
        }
        Ok(())
    }

    /// A document in a `data` URL; others are passed over.
    fn document(&mut self, value: &str) -> Result<(), Fault> {
        let value = value.trim();
        let after = |prefix: &str| {
            let head = value.get(..prefix.len())?;
            head.eq_ignore_ascii_case(prefix)
                .then(|| value.get(prefix.len()..))
                .flatten()
        };
        if let Some(text) = after(HEADER_URL) {
            self.session.header = base64::decode(text)
                .map_err(|e| Fault::at(HEADER_URL.len() + e.offset, "ASF header", e.reason))?;
        } else if let Some(text) = after(DESCRIPTION_URL) {
            // Like all that is not needed for playing, it does no harm if it cannot be read.
            let lists = cdl::parse(&percent_decode(text)).unwrap_or_default();
            self.session.description = lists.into_iter().next().unwrap_or_default();
        }
        Ok(())
    }

    fn finish(self) -> Presentation {
        let mut session = self.session;
        let all = self.session_no_rtcp;
        session.media = self
            .sections
            .into_iter()
            .filter_map(|s| s.finish(all))
            .collect();
        session
    }
}

impl Section {
    fn new(value: &str) -> Result<Section, Fault> {
        let mut words = value.split_ascii_whitespace();
        let kind = match words.next() {
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            Some(_) => MediaKind::Application,
            None => return Err(Fault::at(0, "SDP media", "no kind")),
        };
        // Port and profile say nothing here: both are settled with SETUP.
        let payload_types: Vec<u8> = words
            .skip(2)
            .take(PAYLOAD_TYPES_MAX)
            .filter_map(|w| number(w, "m").ok().filter(|n| *n <= 127))
            .collect();
        let format = Format::default();
        Ok(Section {
            media: Media::plain(kind, 0, format, String::new()),
            payload_types,
            formats: Vec::new(),
            no_rtcp: [false; 2],
        })
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match name {
            "control" => value.trim().clone_into(&mut self.media.control),
            "stream" => self.media.stream = Some(number(value, "a=stream")?),
            "reliable" => self.media.reliable = true,
            "rtpmap" | "fmtp" => {
                let (word, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
                let Ok(number) = number::<u8>(word, "payload type") else {
                    return Ok(());
                };
                let Some(format) = self.format(number) else {
                    return Ok(());
                };
                let rest = rest.trim();
                if name == "fmtp" {
                    format.parameters = Some(rest.to_owned());
                } else {
                    read_map(rest, format);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The format of a payload type that the section has.
    fn format(&mut self, number: u8) -> Option<&mut Format> {
        let at = match self.formats.iter().position(|(n, _)| *n == number) {
            Some(at) => at,
            None if self.payload_types.contains(&number) => {
                self.formats.push((number, Format::default()));
                self.formats.len() - 1
            }
            None => return None,
        };
        self.formats.get_mut(at).map(|(_, format)| format)
    }

    /// `None` for a section without payload type.
    fn finish(mut self, session_no_rtcp: [bool; 2]) -> Option<Media> {
        let is = |format: &Format, name: &str| format.name.eq_ignore_ascii_case(name);
        self.media.fec = self
            .formats
            .iter()
            .filter(|(_, f)| is(f, "x-wms-fec"))
            .find_map(|(n, f)| read_fec(*n, f.parameters.as_deref()?));
        let own = self.payload_types.iter().copied().find(|n| {
            let fec = |(m, f): &(u8, Format)| m == n && is(f, "x-wms-fec");
            !self.formats.iter().any(fec)
        })?;
        self.media.payload_type = own;
        let format = self.format(own).cloned().unwrap_or_default();
        self.media.encoding = if is(&format, "x-asf-pf") {
            Encoding::Asf
        } else if is(&format, "x-wms-rtx") {
            Encoding::Retransmission
        } else {
            Encoding::Plain(format)
        };
        let no_rtcp = |n: usize| self.no_rtcp[n] || session_no_rtcp[n];
        self.media.no_rtcp = no_rtcp(0) && no_rtcp(1);
        Some(self.media)
    }
}

/// `name/clock[/channels]`.
fn read_map(text: &str, format: &mut Format) {
    let mut parts = text.split('/');
    parts.next().unwrap_or("").clone_into(&mut format.name);
    format.clock = parts
        .next()
        .and_then(|c| number(c, "clock").ok())
        .unwrap_or(0);
    format.channels = parts.next().and_then(|c| number(c, "channels").ok());
}

/// `URL span per-span`, the numbers decimal (RTSP-59). One that breaks its limits is no offer.
fn read_fec(payload_type: u8, parameters: &str) -> Option<FecOffer> {
    let mut words = parameters.split_ascii_whitespace();
    let url = words.next()?.to_owned();
    let span: u8 = number(words.next()?, "span").ok()?;
    let per_span: u8 = number(words.next()?, "per span").ok()?;
    let fits = (1..=24).contains(&span) && (1..=span).contains(&per_span);
    fits.then_some(FecOffer {
        payload_type,
        url,
        span,
        per_span,
    })
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |b: u8| char::from(b).to_digit(16);
        match (first, after) {
            (b'%', [a, b, tail @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push((hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0)) as u8);
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
