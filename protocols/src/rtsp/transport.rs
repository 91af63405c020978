//! The value of `Transport` (RFC 2326 12.39, MS-RTSP 2.2.6.11).

use super::Fault;
use super::fec::Params as FecParams;
use super::text::{hex, number, pair, split, unquoted};
use std::fmt;

/// Most alternatives of one header.
pub const SPECS_MAX: usize = 16;
/// Most parameters of one alternative.
const PARAMETERS_MAX: usize = 32;

const PRODUCTION: &str = "Transport";

/// What carries the RTP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lower {
    /// Datagrams; also what is meant when nothing is said.
    #[default]
    Udp,
    /// Interleaved frames on the control connection.
    Tcp,
}

/// One number or two, `a` or `a-b`: ports, or channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair<T> {
    /// For RTP.
    pub first: T,
    /// For RTCP, and on a retransmission flow for its NACKs.
    pub second: Option<T>,
}

impl<T> Pair<T> {
    /// Both.
    pub const fn of(first: T, second: T) -> Pair<T> {
        Pair {
            first,
            second: Some(second),
        }
    }

    /// One alone.
    pub const fn one(first: T) -> Pair<T> {
        Pair {
            first,
            second: None,
        }
    }
}

impl<T: std::str::FromStr> Pair<T> {
    pub(super) fn parse(text: &str, production: &'static str) -> Result<Pair<T>, Fault> {
        Ok(match text.split_once('-') {
            Some((first, second)) => Pair {
                first: number(first, production)?,
                second: Some(number(second, production)?),
            },
            None => Pair::one(number(text, production)?),
        })
    }
}

impl<T: fmt::Display> fmt::Display for Pair<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.second {
            Some(second) => write!(f, "{}-{second}", self.first),
            None => write!(f, "{}", self.first),
        }
    }
}

/// One alternative that a client offers, or the one that a server took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// What carries the packets.
    pub lower: Lower,
    /// `unicast` was said; clients must for datagrams (RTSP-73).
    pub unicast: bool,
    /// `source`.
    pub source: Option<String>,
    /// Where the server sends from and, on a retransmission flow, takes NACKs.
    pub server_port: Option<Pair<u16>>,
    /// Where the client receives.
    pub client_port: Option<Pair<u16>>,
    /// Channels of interleaved frames.
    pub interleaved: Option<Pair<u8>>,
    /// Of what is sent; a client's is a suggestion without effect.
    pub ssrc: Option<u32>,
    /// True for `mode=PLAY`, false for another mode; `None` from GStreamer, which says nothing.
    pub play: Option<bool>,
    /// Forward error correction (RTSP-74).
    pub fec: Option<FecParams>,
    /// Parameters that have no meaning here, as they stood (RTSP-61).
    pub other: Vec<String>,
}

/// The alternatives of a header value, best first. One that nothing can be made of (another
/// profile, a parameter that breaks its grammar) is an error by itself and does not spoil the others.
pub fn specs(value: &str) -> impl Iterator<Item = Result<Spec, Fault>> {
    split(value, b',')
        .filter(|(_, text)| !text.is_empty())
        .take(SPECS_MAX)
        .map(|(at, text)| Spec::parse(text).map_err(|fault| fault.moved(at as u64)))
}

impl Spec {
    /// Read one alternative.
    ///
    /// # Errors
    /// A profile that is not RTP/AVP over UDP or TCP, a value that breaks its grammar, FEC values out
    /// of their limits (RTSP-74), too many parameters.
    pub fn parse(text: &str) -> Result<Spec, Fault> {
        let mut parts = split(text, b';');
        let (at, profile) = parts.next().unwrap_or((0, ""));
        let mut spec = Spec {
            lower: parse_profile(profile).ok_or(Fault::at(at, PRODUCTION, "unknown profile"))?,
            ..Spec::default()
        };
        let mut fec = FecDraft::default();
        for (n, (at, part)) in parts.enumerate() {
            if n == PARAMETERS_MAX {
                return Err(Fault::at(at, PRODUCTION, "too many parameters"));
            }
            let moved = |fault: Fault| fault.moved(at as u64);
            if !fec.take(part).map_err(moved)? {
                spec.take(part).map_err(moved)?;
            }
        }
        spec.fec = fec.finish()?;
        Ok(spec)
    }

    fn take(&mut self, part: &str) -> Result<(), Fault> {
        let (name, value) = pair(part);
        let value = unquoted(value.unwrap_or(""));
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("unicast") {
            self.unicast = true;
        } else if is("client_port") {
            self.client_port = Some(Pair::parse(value, "client_port")?);
        } else if is("server_port") {
            self.server_port = Some(Pair::parse(value, "server_port")?);
        } else if is("interleaved") {
            self.interleaved = Some(Pair::parse(value, "interleaved")?);
        } else if is("ssrc") {
            self.ssrc = Some(hex(value, 8, "ssrc")?);
        } else if is("mode") {
            self.play = Some(value.eq_ignore_ascii_case("PLAY"));
        } else if is("source") {
            self.source = Some(value.to_owned());
        } else if !name.is_empty() {
            self.other.push(part.to_owned());
        }
        Ok(())
    }

    /// True if a server can take it: datagrams need `unicast` and a port other than 0 (RTSP-73), nothing
    /// but PLAY is served, and channels must be two of one pair or one alone.
    pub fn is_acceptable(&self) -> bool {
        let lower = match self.lower {
            Lower::Udp => self.unicast && self.client_port.is_some_and(|p| p.first != 0),
            Lower::Tcp => self.interleaved.is_none_or(|c| c.second != Some(c.first)),
        };
        lower && self.play != Some(false)
    }
}

/// Written in the order of the reference's examples; `RTP/AVP/UDP` in full.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(profile(self.lower))?;
        if self.unicast {
            f.write_str(";unicast")?;
        }
        if let Some(source) = &self.source {
            write!(f, ";source={source}")?;
        }
        put(f, "server_port", self.server_port.as_ref())?;
        put(f, "client_port", self.client_port.as_ref())?;
        put(f, "interleaved", self.interleaved.as_ref())?;
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08x}")?;
        }
        if self.play == Some(true) {
            f.write_str(";mode=PLAY")?;
        }
        if let Some(fec) = &self.fec {
            write_fec(fec, f)?;
        }
        self.other.iter().try_for_each(|o| write!(f, ";{o}"))
    }
}

pub(super) const fn profile(lower: Lower) -> &'static str {
    match lower {
        Lower::Udp => "RTP/AVP/UDP",
        Lower::Tcp => "RTP/AVP/TCP",
    }
}

pub(super) fn parse_profile(text: &str) -> Option<Lower> {
    [
        ("RTP/AVP", Lower::Udp),
        ("RTP/AVP/UDP", Lower::Udp),
        ("RTP/AVP/TCP", Lower::Tcp),
    ]
    .into_iter()
    .find(|(name, _)| text.eq_ignore_ascii_case(name))
    .map(|(_, lower)| lower)
}

pub(super) fn put<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: Option<T>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, ";{name}={value}"))
}

/// Hexadecimal, as everywhere but in SDP.
pub(super) fn write_fec(fec: &FecParams, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (span, per, margin) = (fec.span(), fec.per_span(), fec.margin());
    write!(
        f,
        ";FecSpan={span:X};FecPerSpan={per:X};FecBurstMargin={margin:X}"
    )
}

/// The three parameters of forward error correction, until all of them were seen.
#[derive(Debug, Default)]
pub(super) struct FecDraft {
    span: Option<u32>,
    per_span: Option<u32>,
    margin: Option<u32>,
}

impl FecDraft {
    /// True if `part` was one of them.
    pub(super) fn take(&mut self, part: &str) -> Result<bool, Fault> {
        let (name, value) = pair(part);
        let (slot, production) = if name.eq_ignore_ascii_case("FecSpan") {
            (&mut self.span, "FecSpan")
        } else if name.eq_ignore_ascii_case("FecPerSpan") {
            (&mut self.per_span, "FecPerSpan")
        } else if name.eq_ignore_ascii_case("FecBurstMargin") {
            (&mut self.margin, "FecBurstMargin")
        } else {
            return Ok(false);
        };
        *slot = Some(hex(value.unwrap_or(""), 2, production)?);
        Ok(true)
    }

    /// The margin may be left out and is 1 then.
    pub(super) fn finish(self) -> Result<Option<FecParams>, Fault> {
        let fault = Fault::at(0, "FecSpan", "values that do not go together");
        match (self.span, self.per_span, self.margin) {
            (None, None, None) => Ok(None),
            (Some(span), Some(per), margin) => FecParams::new(span, per, margin.unwrap_or(1))
                .map(Some)
                .ok_or(fault),
            _ => Err(fault),
        }
    }
}
