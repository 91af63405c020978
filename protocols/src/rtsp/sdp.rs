//! Descriptions of presentations in SDP, written (RFC 4566, MS-RTSP 2.2.5; rtsp-wme.md 3). They are
//! read by [`super::sdp_reader`].

use super::fec;
use super::range::Range;
use crate::auth::base64;
use crate::content::{Content, StreamInfo, StreamKind};
use crate::wmsp::cdl::{self, Pair};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Characters of a line, its type left out, that FFmpeg keeps.
pub const LINE_MAX: usize = 16_383;
/// Bytes of an ASF header that fit in such a line (RTSP-53).
pub const HEADER_MAX: usize = (LINE_MAX - "pgmpu:".len() - HEADER_URL.len()) / 4 * 3;
/// Control URL of the retransmission section; Windows and FFmpeg look for exactly this (RTSP-60).
pub const RTX_CONTROL: &str = "rtx";
/// Its stream number; 65,536 to 131,070 are retransmission.
pub const RTX_STREAM: u32 = 65_536;
/// Payload type of everything but error correction.
pub const PAYLOAD_TYPE: u8 = 96;
/// Payload type of error correction (RTSP-59).
pub const FEC_PAYLOAD_TYPE: u8 = 98;
/// Clock of the three encodings, Hz.
pub const CLOCK: u32 = 1000;

pub(super) const HEADER_URL: &str = "data:application/vnd.ms.wms-hdr.asfv1;base64,";
pub(super) const DESCRIPTION_URL: &str = "data:application/x-wms-contentdesc,";

/// A presentation: everything that a description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// Number of the session and of its version.
    pub id: u64,
    /// The server's address.
    pub address: IpAddr,
    /// Name; may be empty.
    pub name: String,
    /// Aggregate control URL, with a slash at its end; empty if not said.
    pub control: String,
    /// kbit/s of all streams together; `None`: the sum of those of the sections (RTSP-46).
    pub kbits: Option<u32>,
    /// Entity tag, as it goes between the quotes of `If-Match`.
    pub etag: Option<String>,
    /// Where it can be played, preroll included.
    pub range: Option<Range>,
    /// Bytes of the largest ASF packet (RTSP-51); `None` for what is not ASF.
    pub packet_size: Option<u32>,
    /// What can be done with it (RTSP-57).
    pub types: Types,
    /// Title and so on (RTSP-54).
    pub description: Vec<Pair>,
    /// ASF header with the first 50 bytes of the Data Object (RTSP-52, RTSP-53); empty for what is not ASF.
    pub header: Vec<u8>,
    /// The sections.
    pub media: Vec<Media>,
}

/// `a=type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// Live.
    pub broadcast: bool,
    /// The last of a playlist.
    pub last_entry: bool,
    /// Positions cannot be asked for.
    pub not_seekable: bool,
    /// Rates cannot be asked for.
    pub not_stridable: bool,
    /// An entry of a playlist.
    pub playlist: bool,
    /// The entry before can be asked for.
    pub skip_backward: bool,
    /// The next entry can be asked for.
    pub skip_forward: bool,
}

impl Types {
    pub(super) fn tokens(&mut self) -> [(&mut bool, &'static str); 7] {
        [
            (&mut self.broadcast, "broadcast"),
            (&mut self.last_entry, "lastentry"),
            (&mut self.not_seekable, "notseekable"),
            (&mut self.not_stridable, "notstridable"),
            (&mut self.playlist, "playlist"),
            (&mut self.skip_backward, "skipbackward"),
            (&mut self.skip_forward, "skipforward"),
        ]
    }

    /// What a content says of itself. Whether an entry is the last is for the caller to add; going
    /// back is not offered.
    pub fn of(content: &Content) -> Types {
        Types {
            broadcast: content.broadcast,
            not_seekable: !content.seekable || content.broadcast,
            not_stridable: !content.stridable || content.broadcast,
            playlist: content.playlist,
            skip_forward: content.playlist && !content.broadcast,
            ..Types::default()
        }
    }
}

/// What a section is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// audio
    Audio,
    /// video
    Video,
    /// application
    Application,
}

impl MediaKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Application => "application",
        }
    }
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it is under.
    pub kind: MediaKind,
    /// Number of its encoding (RTSP-06).
    pub payload_type: u8,
    /// Its encoding.
    pub encoding: Encoding,
    /// Control URL, mostly relative (RTSP-49); empty if not said.
    pub control: String,
    /// kbit/s: peak, or average if there is no peak (RTSP-46).
    pub kbits: Option<u32>,
    /// kbit/s: average, if it differs from the peak (RTSP-48).
    pub average_kbits: Option<u32>,
    /// RTCP is not sent either way: the bandwidths of senders and receivers are 0 (RTSP-47).
    pub no_rtcp: bool,
    /// ASF stream number, or that of retransmission (RTSP-56).
    pub stream: Option<u32>,
    /// Prefer a transport that loses nothing (RTSP-55).
    pub reliable: bool,
    /// Error correction that can be had (RTSP-59).
    pub fec: Option<FecOffer>,
}

/// How a section's packets are to be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// x-asf-pf (RTSP-58).
    Asf,
    /// x-wms-rtx (RTSP-60).
    Retransmission,
    /// A payload format of its own.
    Plain(Format),
}

/// A payload format that is not of this protocol's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Name, e.g. `H264`.
    pub name: String,
    /// Hz.
    pub clock: u32,
    /// Of audio, where it is not one.
    pub channels: Option<u8>,
    /// Parameters without the payload type in front.
    pub parameters: Option<String>,
}

/// `a=fmtp` of x-wms-fec: decimal, unlike everywhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FecOffer {
    /// Another than the section's (RTSP-22).
    pub payload_type: u8,
    /// Control URL.
    pub url: String,
    /// 1 to 24.
    pub span: u8,
    /// 1 to `span`.
    pub per_span: u8,
}

impl FecOffer {
    /// What a server offers; the margin is not part of it.
    pub fn of(params: fec::Params, url: String) -> FecOffer {
        FecOffer {
            payload_type: FEC_PAYLOAD_TYPE,
            url,
            span: params.span() as u8,
            per_span: params.per_span() as u8,
        }
    }
}

impl Media {
    fn of(kind: MediaKind, encoding: Encoding, control: String) -> Media {
        Media {
            kind,
            payload_type: PAYLOAD_TYPE,
            encoding,
            control,
            kbits: None,
            average_kbits: None,
            no_rtcp: true,
            stream: None,
            reliable: false,
            fec: None,
        }
    }

    /// The section of an ASF stream.
    pub fn asf(stream: &StreamInfo, control: String, reliable: bool) -> Media {
        let kind = match stream.kind {
            StreamKind::Audio => MediaKind::Audio,
            StreamKind::Video => MediaKind::Video,
            StreamKind::Command | StreamKind::Other => MediaKind::Application,
        };
        let (average, peak) = (stream.average_bit_rate, stream.peak_bit_rate);
        let shown = if peak == 0 { average } else { peak };
        let kbits = |bits: u32| bits.div_ceil(1000).max(1);
        Media {
            kbits: Some(kbits(shown)),
            average_kbits: (average != 0 && average != shown).then(|| kbits(average)),
            stream: Some(u32::from(stream.number)),
            reliable,
            ..Media::of(kind, Encoding::Asf, control)
        }
    }

    /// The section of retransmission, which is always offered: FFmpeg gives up over UDP without it.
    pub fn retransmission() -> Media {
        Media {
            stream: Some(RTX_STREAM),
            ..Media::of(
                MediaKind::Application,
                Encoding::Retransmission,
                RTX_CONTROL.to_owned(),
            )
        }
    }

    /// A section that has a payload format of its own, with RTCP.
    pub fn plain(kind: MediaKind, payload_type: u8, format: Format, control: String) -> Media {
        Media {
            payload_type,
            no_rtcp: false,
            ..Media::of(kind, Encoding::Plain(format), control)
        }
    }
}

/// Control URLs of ASF streams, in their order: `audio` and `video` where there is one of the kind,
/// else `stream=N`. With `one` all are the same: GStreamer stalls otherwise when it sets up a stream
/// that gets no data of its own, since all data comes on the first one's flow (RTSP-137).
pub fn controls(streams: &[StreamInfo], one: bool) -> Vec<String> {
    let alone = |kind| streams.iter().filter(|s| s.kind == kind).count() == 1;
    let name = |stream: &StreamInfo| match stream.kind {
        StreamKind::Audio if alone(StreamKind::Audio) => "audio".to_owned(),
        StreamKind::Video if alone(StreamKind::Video) => "video".to_owned(),
        _ => format!("stream={}", stream.number),
    };
    let Some(first) = streams.first().filter(|_| one) else {
        return streams.iter().map(name).collect();
    };
    vec![name(first); streams.len()]
}

impl Presentation {
    /// The description.
    pub fn write(&self) -> String {
        let room = 1024 + self.header.len() / 3 * 4 + self.media.len() * 256;
        let mut out = Lines(String::with_capacity(room));
        let family = if self.address.is_ipv6() { "IP6" } else { "IP4" };
        let any = if self.address.is_ipv6() {
            "::"
        } else {
            "0.0.0.0"
        };
        out.line(format_args!("v=0"));
        out.line(format_args!(
            "o=- {0} {0} IN {family} {1}",
            self.id, self.address
        ));
        // A name may not be empty (RFC 4566, 5.3).
        let name = if self.name.is_empty() {
            " "
        } else {
            &self.name
        };
        out.line(format_args!("s={name}"));
        out.line(format_args!("c=IN {family} {any}"));
        // RTSP-46
        let sum = || {
            self.media
                .iter()
                .filter_map(|m| m.kbits)
                .fold(0, u32::saturating_add)
        };
        out.line(format_args!("b=AS:{}", self.kbits.unwrap_or_else(sum)));
        out.line(format_args!("t=0 0"));
        self.write_attributes(&mut out);
        self.media.iter().for_each(|m| m.write(&mut out));
        out.0
    }

    fn write_attributes(&self, out: &mut Lines) {
        if let Some(size) = self.packet_size {
            out.line(format_args!("a=maxps:{size}"));
        }
        if !self.control.is_empty() {
            out.line(format_args!("a=control:{}", self.control));
        }
        if let Some(etag) = &self.etag {
            out.line(format_args!("a=etag:{etag}"));
        }
        if let Some(range) = &self.range {
            out.line(format_args!("a=range:{range}"));
        }
        out.line(format_args!("a=recvonly"));
        let mut types = self.types;
        let types: Vec<_> = types.tokens().into_iter().filter(|t| *t.0).collect();
        let types: Vec<_> = types.into_iter().map(|t| t.1).collect();
        if !types.is_empty() {
            out.line(format_args!("a=type:{}", types.join(",")));
        }
        if !self.description.is_empty() {
            let mut list = String::new();
            cdl::put(&self.description, &mut list);
            let list = percent_encode(&list);
            out.line(format_args!("a=pgmpu:{DESCRIPTION_URL}{list}"));
        }
        if !self.header.is_empty() {
            let header = base64::encode(&self.header);
            out.line(format_args!("a=pgmpu:{HEADER_URL}{header}"));
        }
    }
}

impl Media {
    fn write(&self, out: &mut Lines) {
        let kind = self.kind.name();
        let number = self.payload_type;
        match &self.fec {
            Some(fec) => out.line(format_args!(
                "m={kind} 0 RTP/AVP {number} {}",
                fec.payload_type
            )),
            None => out.line(format_args!("m={kind} 0 RTP/AVP {number}")),
        }
        if let Some(kbits) = self.kbits {
            out.line(format_args!("b=AS:{kbits}"));
        }
        if let Some(kbits) = self.average_kbits {
            out.line(format_args!("b=X-AV:{kbits}"));
        }
        if self.no_rtcp {
            out.line(format_args!("b=RS:0"));
            out.line(format_args!("b=RR:0"));
        }
        match &self.encoding {
            Encoding::Asf => out.line(format_args!("a=rtpmap:{number} x-asf-pf/{CLOCK}")),
            Encoding::Retransmission => {
                out.line(format_args!("a=rtpmap:{number} x-wms-rtx/{CLOCK}"));
            }
            Encoding::Plain(f) => {
                let (name, clock) = (&f.name, f.clock);
                match f.channels {
                    Some(n) => out.line(format_args!("a=rtpmap:{number} {name}/{clock}/{n}")),
                    None => out.line(format_args!("a=rtpmap:{number} {name}/{clock}")),
                }
                if let Some(parameters) = &f.parameters {
                    out.line(format_args!("a=fmtp:{number} {parameters}"));
                }
            }
        }
        if let Some(fec) = &self.fec {
            let (number, url) = (fec.payload_type, &fec.url);
            out.line(format_args!("a=rtpmap:{number} x-wms-fec/{CLOCK}"));
            let (span, per) = (fec.span, fec.per_span);
            out.line(format_args!("a=fmtp:{number} {url} {span} {per}"));
        }
        if !self.control.is_empty() {
            out.line(format_args!("a=control:{}", self.control));
        }
        if let Some(stream) = self.stream {
            out.line(format_args!("a=stream:{stream}"));
        }
        // RTSP-60: not of retransmission.
        if self.reliable && self.encoding == Encoding::Asf {
            out.line(format_args!("a=reliable"));
        }
    }
}

/// Lines in the making. What could end a line becomes `_`.
struct Lines(String);

impl Lines {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let start = self.0.len();
        let _ = write!(self.0, "{text}");
        if self.0[start..].contains(char::is_control) {
            let clean = self.0[start..].replace(char::is_control, "_");
            self.0.truncate(start);
            self.0.push_str(&clean);
        }
        self.0.push_str("\r\n");
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'(),;/?:@&=+$".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}
