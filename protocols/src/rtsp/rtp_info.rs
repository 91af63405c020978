//! The values of `RTP-Info` and `X-RTP-Info` (RFC 2326 12.33, MS-RTSP 2.2.6.8, 2.2.6.27).

use super::Fault;
use super::fec::Params as FecParams;
use super::text::{hex, number, pair, split, unquoted};
use super::transport::{FecDraft, Lower, Pair, parse_profile, profile, put, write_fec};
use crate::content::Level;
use std::fmt;

/// Most streams of one value: what ASF can number, and the retransmission stream.
pub const STREAMS_MAX: usize = 128;
/// Most parameters of one stream (RTSP-68).
pub const PARAMETERS_MAX: usize = 32;

const PRODUCTION: &str = "RTP-Info";

/// What is said of one stream. `RTP-Info` has URL, sequence number and time; `X-RTP-Info` can have
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its control URL.
    pub url: String,
    /// What carries it.
    pub transport: Option<Lower>,
    /// `unicast` is said.
    pub unicast: bool,
    /// Where the server sends from.
    pub server_port: Option<Pair<u16>>,
    /// Where the client receives.
    pub client_port: Option<Pair<u16>>,
    /// Channels of interleaved frames.
    pub interleaved: Option<Pair<u8>>,
    /// Of its packets.
    pub ssrc: Option<u32>,
    /// `mode=PLAY` is said.
    pub play: bool,
    /// Forward error correction.
    pub fec: Option<FecParams>,
    /// Bytes, 1 to 4 digits.
    pub block_size: Option<u16>,
    /// How much of it.
    pub thin: Option<Level>,
    /// Of its first packet.
    pub seq: Option<u16>,
    /// Of its first packet.
    pub rtp_time: Option<u32>,
}

impl StreamEntry {
    /// A URL alone, as it stands in the `X-RTP-Info` of a Play.
    pub fn url(url: impl Into<String>) -> StreamEntry {
        StreamEntry {
            url: url.into(),
            ..StreamEntry::default()
        }
    }

    /// True if nothing but the URL is said (RTSP-86: so it must be in Play).
    pub fn is_bare(&self) -> bool {
        let bare = StreamEntry {
            url: String::new(),
            ..self.clone()
        };
        bare == StreamEntry::default()
    }
}

/// Read a value (RTSP-68, RTSP-86). Unknown parameters are passed over.
///
/// # Errors
/// A stream without URL, a value that breaks its grammar, more than the limits.
pub fn parse(value: &str) -> Result<Vec<StreamEntry>, Fault> {
    let mut list = Vec::new();
    for (at, text) in split(value, b',') {
        if text.is_empty() {
            continue;
        }
        if list.len() == STREAMS_MAX {
            return Err(Fault::at(at, PRODUCTION, "too many streams"));
        }
        list.push(parse_entry(text).map_err(|fault| fault.moved(at as u64))?);
    }
    if list.is_empty() {
        return Err(Fault::at(0, PRODUCTION, "no stream"));
    }
    Ok(list)
}

fn parse_entry(text: &str) -> Result<StreamEntry, Fault> {
    let mut parts = split(text, b';');
    let (_, first) = parts.next().unwrap_or((0, ""));
    // `url=` stands in all examples, and is missing from the grammar of X-RTP-Info.
    let url = match pair(first) {
        (name, Some(url)) if name.eq_ignore_ascii_case("url") => url,
        _ => first,
    };
    let mut entry = StreamEntry::url(unquoted(url));
    if entry.url.is_empty() || entry.url.contains('"') {
        return Err(Fault::at(0, PRODUCTION, "no URL"));
    }
    let mut fec = FecDraft::default();
    for (n, (at, part)) in parts.enumerate() {
        if n == PARAMETERS_MAX {
            return Err(Fault::at(at, PRODUCTION, "too many parameters"));
        }
        let moved = |fault: Fault| fault.moved(at as u64);
        if !fec.take(part).map_err(moved)? {
            entry.take(part).map_err(moved)?;
        }
    }
    entry.fec = fec.finish()?;
    Ok(entry)
}

impl StreamEntry {
    fn take(&mut self, part: &str) -> Result<(), Fault> {
        let (name, value) = pair(part);
        let value = unquoted(value.unwrap_or(""));
        match name.to_ascii_lowercase().as_str() {
            "transport" => {
                let lower = parse_profile(value);
                self.transport = Some(lower.ok_or(Fault::at(0, "transport", "unknown profile"))?);
            }
            "unicast" => self.unicast = true,
            "server_port" => self.server_port = Some(Pair::parse(value, "server_port")?),
            "client_port" => self.client_port = Some(Pair::parse(value, "client_port")?),
            "interleaved" => self.interleaved = Some(Pair::parse(value, "interleaved")?),
            "ssrc" => self.ssrc = Some(hex(value, 8, "ssrc")?),
            "mode" => self.play = value.eq_ignore_ascii_case("PLAY"),
            "blocksize" => {
                let size = number(value, "blocksize")?;
                let fits = (1..=9999).contains(&size);
                self.block_size = fits.then_some(size);
            }
            "thinlevel" => {
                self.thin = Some(match number(value, "thinlevel")? {
                    0u8 => Level::Whole,
                    1 => Level::KeyOnly,
                    2 => Level::Off,
                    _ => return Err(Fault::at(0, "thinlevel", "not 0, 1 or 2")),
                });
            }
            // One to five digits: the grammar's 4 cannot hold every value.
            "seq" => self.seq = Some(number(value, "seq")?),
            "rtptime" => self.rtp_time = Some(number(value, "rtptime")?),
            _ => {}
        }
        Ok(())
    }
}

/// The value for these streams.
pub fn write(list: &[StreamEntry]) -> String {
    let texts: Vec<String> = list.iter().map(StreamEntry::to_string).collect();
    texts.join(",")
}

/// Parameters in the order of the reference's examples; a URL with `,` or `;` is quoted.
impl fmt::Display for StreamEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A quote cannot be written inside of quotes, and does not stand in a URL.
        let url = self.url.replace('"', "%22");
        if url.contains([',', ';', ' ']) {
            write!(f, "url=\"{url}\"")?;
        } else {
            write!(f, "url={url}")?;
        }
        put(f, "transport", self.transport.map(profile))?;
        if self.unicast {
            f.write_str(";unicast")?;
        }
        put(f, "server_port", self.server_port.as_ref())?;
        put(f, "client_port", self.client_port.as_ref())?;
        put(f, "interleaved", self.interleaved.as_ref())?;
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08x}")?;
        }
        if self.play {
            f.write_str(";mode=PLAY")?;
        }
        if let Some(fec) = &self.fec {
            write_fec(fec, f)?;
        }
        put(f, "blocksize", self.block_size)?;
        let thin = self.thin.map(|level| match level {
            Level::Whole => 0,
            Level::KeyOnly => 1,
            Level::Off => 2,
        });
        put(f, "thinlevel", thin)?;
        put(f, "seq", self.seq)?;
        put(f, "rtptime", self.rtp_time)
    }
}
