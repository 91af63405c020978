//! Media objects of other codecs in payload formats of their own, for players that know nothing of
//! Windows Media: H.264 (RFC 6184), AAC (RFC 3640), MPEG audio (RFC 2250), with RTCP (RFC 3550).

use super::super::session::Session;
use super::super::{Config, RTCP, RTP};
use super::Mark;
use super::demux::PlainFramer;
use super::wme::name_of;
use crate::asf::{Header, Payload};
use crate::content::{Content, Cue, StreamKind};
use crate::machine::Time;
use crate::media::{Datagrams, Framer, Lane};
use crate::rtsp::plain::{self, Bitmap, Payloads, Wave, aac, h264, mpa};
use crate::rtsp::range::{Npt, Range};
use crate::rtsp::reader::frame_head;
use crate::rtsp::rtcp::{Compound, SenderInfo};
use crate::rtsp::rtp::{HEAD_LEN, ticks};
use crate::rtsp::rtp_info::StreamEntry;
use crate::rtsp::sdp::{Format, Media, MediaKind, Presentation, Types};
use crate::rtsp::transport::{Lower, Spec};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// What control URLs begin with; the stream's number follows.
pub const TRACK_CONTROL: &str = "track=";
/// First payload type without a fixed meaning.
const DYNAMIC: u8 = 96;
/// Largest media object, bytes.
const OBJECT_MAX: u32 = 8 << 20;
/// Media time from one sender report to the next, ms.
const REPORT_EVERY_MS: u32 = 5000;
/// Seconds from 1900 to 1970.
const NTP_OF_1970: u64 = 2_208_988_800;

/// The streams of a content that can be served in this way.
#[derive(Clone, Debug)]
pub struct Streams {
    sources: Vec<Source>,
    tracks: Vec<Rc<RefCell<Track>>>,
}

/// A stream that can be served.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) number: u8,
    pub(super) payload_type: u8,
    codec: Codec,
    kbits: u32,
}

#[derive(Clone, Debug)]
enum Codec {
    H264(h264::Config),
    Aac(aac::Config),
    Mpa,
}

impl Codec {
    fn format(&self) -> Format {
        match self {
            Codec::H264(config) => config.format(),
            Codec::Aac(config) => config.format(),
            Codec::Mpa => mpa::format(),
        }
    }

    fn clock(&self) -> u32 {
        match self {
            Codec::H264(_) => h264::CLOCK,
            Codec::Aac(config) => config.clock,
            Codec::Mpa => mpa::CLOCK,
        }
    }
}

/// A stream that was set up: what goes on from one flow to the next.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) source: Source,
    url: String,
    spec: Spec,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    /// Added to all times, so that they cannot be guessed.
    offset: u32,
    pub(super) packets: u32,
    pub(super) bytes: u32,
    partial: Option<Partial>,
    /// Nothing was sent since the flow began.
    resumed: bool,
    /// Media time of the next sender report.
    report_at: Option<u32>,
    pub(super) payloads: Payloads,
}

/// A media object that is not whole yet.
#[derive(Debug)]
struct Partial {
    number: u32,
    size: u32,
    presentation: u32,
    bytes: Vec<u8>,
}

impl Streams {
    /// What of a content can be served; `None` if not all audio and video can, or with `some`, if none.
    pub fn of(content: &Content, some: bool) -> Option<Streams> {
        let header = Header::parse(&content.header).ok()?;
        let mut sources = Vec::new();
        for stream in content.streams.iter() {
            if !matches!(stream.kind, StreamKind::Audio | StreamKind::Video) {
                continue;
            }
            let data = plain::type_specific(&content.header, &header, stream.number);
            let codec = data.and_then(|data| codec_of(stream.kind, data));
            let Some(codec) = codec else {
                if some {
                    continue;
                }
                return None;
            };
            let payload_type = match codec {
                Codec::Mpa => mpa::PAYLOAD_TYPE,
                _ => DYNAMIC + sources.len() as u8 % 32,
            };
            let rate = stream.peak_bit_rate.max(stream.average_bit_rate);
            sources.push(Source {
                number: stream.number,
                payload_type,
                codec,
                kbits: rate.div_ceil(1000).max(1),
            });
        }
        (!sources.is_empty()).then_some(Streams {
            sources,
            tracks: Vec::new(),
        })
    }

    /// The description.
    pub(in crate::rtsp::server) fn describe(
        &self,
        content: &Content,
        base: &str,
        address: IpAddr,
        id: u64,
    ) -> String {
        let media = self.sources.iter().map(|source| {
            let kind = match source.codec {
                Codec::H264(_) => MediaKind::Video,
                Codec::Aac(_) | Codec::Mpa => MediaKind::Audio,
            };
            let control = format!("{TRACK_CONTROL}{}", source.number);
            Media {
                kbits: Some(source.kbits),
                ..Media::plain(kind, source.payload_type, source.codec.format(), control)
            }
        });
        Presentation {
            id,
            address,
            name: name_of(content),
            control: format!("{base}/"),
            kbits: None,
            etag: None,
            range: Some(range_of(content)),
            packet_size: None,
            types: Types::default(),
            description: Vec::new(),
            header: Vec::new(),
            media: media.collect(),
        }
        .write()
    }

    /// The stream that a relative control URL names.
    pub fn named(&self, control: &str) -> Option<u128> {
        let control = control.strip_suffix('/').unwrap_or(control);
        let number: u8 = control.strip_prefix(TRACK_CONTROL)?.parse().ok()?;
        self.sources
            .iter()
            .any(|s| s.number == number)
            .then_some(1 << (number & 127))
    }

    /// A stream was set up, perhaps anew.
    pub fn set_up(&mut self, streams: u128, url: &str, spec: &Spec, sequence: u16, offset: u32) {
        let found = self.sources.iter().find(|s| streams >> s.number & 1 == 1);
        let Some(source) = found.cloned() else {
            return;
        };
        self.remove(streams);
        self.tracks.push(Rc::new(RefCell::new(Track {
            source,
            url: url.to_owned(),
            spec: spec.clone(),
            ssrc: spec.ssrc.unwrap_or(0),
            sequence,
            offset,
            packets: 0,
            bytes: 0,
            partial: None,
            resumed: true,
            report_at: None,
            payloads: Payloads::new(),
        })));
    }

    /// A stream was torn down.
    pub fn remove(&mut self, streams: u128) {
        self.tracks
            .retain(|t| streams >> t.borrow().source.number & 1 == 0);
    }

    /// Where a flow begins, in the clocks of the streams.
    pub(in crate::rtsp::server) fn rtp_info(
        &self,
        _: &Session,
        cue: Option<&Cue>,
    ) -> Vec<StreamEntry> {
        let tracks = self.tracks.iter().map(|t| t.borrow());
        tracks
            .map(|t| StreamEntry {
                seq: Some(t.sequence),
                rtp_time: cue.map(|c| t.time(c.send_time)),
                ..StreamEntry::url(t.url.clone())
            })
            .collect()
    }

    /// How the streams leave.
    pub(in crate::rtsp::server) fn outlet(
        &self,
        config: &Config,
        s: &Session,
        cue: &Cue,
        now: Time,
        mark: &Mark,
        peer: IpAddr,
    ) -> (Box<dyn Framer>, Option<Datagrams>) {
        for track in &self.tracks {
            track.borrow_mut().begin();
        }
        let wall = config.unix_origin.unwrap_or(Duration::ZERO) + now.since(Time::ZERO);
        let on_connection = s.is_on_connection();
        let largest = config.datagram_bytes_max.saturating_sub(HEAD_LEN);
        let framer = PlainFramer {
            tracks: self.tracks.clone(),
            on_connection,
            packet_size: s.content.packet_size,
            preroll: s.content.preroll,
            payload_max: s.block_size.map_or(largest, |b| largest.min(b as usize)),
            origin: (cue.send_time, wall),
            name: format!("{}@{}", s.number, config.core.0),
            mark: mark.clone(),
        };
        let lanes = self.tracks.iter().flat_map(|t| {
            let port = t.borrow().spec.client_port;
            let rtp = port.map_or(0, |p| p.first);
            let rtcp = port.and_then(|p| p.second).unwrap_or(rtp.wrapping_add(1));
            let lane = |port, channel| Lane {
                to: SocketAddr::new(peer, port),
                channel,
            };
            [lane(rtp, RTP), lane(rtcp, RTCP)]
        });
        let datagrams = (!on_connection).then(|| Datagrams {
            lanes: lanes.collect(),
            resend: None,
        });
        (Box::new(framer), datagrams)
    }

    /// What each source says at its end: as frames, or as datagrams with the ports they go to.
    pub(in crate::rtsp::server) fn goodbyes(&self, s: &Session) -> Vec<(u16, Vec<u8>)> {
        let tracks = self.tracks.iter().map(|t| t.borrow());
        tracks
            .map(|t| {
                let mut compound = Compound::default();
                compound.receiver_report(t.ssrc, &[]).bye(t.ssrc);
                let bytes = compound.finish();
                let port = t.spec.client_port;
                let rtcp = port.map_or(0, |p| p.second.unwrap_or(p.first.wrapping_add(1)));
                match (s.is_on_connection(), frame_head(t.channel(1), bytes.len())) {
                    (true, Some(head)) => (0, [&head[..], &bytes].concat()),
                    _ => (rtcp, bytes),
                }
            })
            .collect()
    }
}

fn codec_of(kind: StreamKind, data: &[u8]) -> Option<Codec> {
    match kind {
        StreamKind::Video => h264::Config::of(&Bitmap::parse(data)?).map(Codec::H264),
        StreamKind::Audio => {
            let wave = Wave::parse(data)?;
            if mpa::is_mpa(&wave) {
                return Some(Codec::Mpa);
            }
            aac::Config::of(&wave).map(Codec::Aac)
        }
        StreamKind::Command | StreamKind::Other => None,
    }
}

/// Where a content can be played: from 0, as players of other things expect.
pub(in crate::rtsp::server) fn range_of(content: &Content) -> Range {
    if content.broadcast {
        return Range::Npt {
            start: Some(Npt::Now),
            end: None,
        };
    }
    Range::npt(0, content.duration)
}

impl Track {
    /// In the stream's clock: `ms` of play time.
    fn time(&self, ms: u32) -> u32 {
        let clock = self.source.codec.clock();
        self.offset.wrapping_add(ticks(u64::from(ms), clock))
    }

    /// That of an object; before the start of play time counts backward.
    pub(super) fn time_of(&self, presentation: u32, preroll: u32) -> u32 {
        let clock = self.source.codec.clock();
        self.offset
            .wrapping_add(ticks(u64::from(presentation), clock))
            .wrapping_sub(ticks(u64::from(preroll), clock))
    }

    pub(super) fn channel(&self, place: u8) -> u8 {
        let pair = self.spec.interleaved;
        pair.map_or(place, |p| match place {
            0 => p.first,
            _ => p.second.unwrap_or(p.first.wrapping_add(1)),
        })
    }

    fn begin(&mut self) {
        self.partial = None;
        self.resumed = true;
        self.report_at = None;
    }

    /// A piece of an object; the object when it is whole, with its time.
    pub(super) fn take(&mut self, payload: &Payload<'_>, send_time: u32) -> Option<(u32, Vec<u8>)> {
        let size = payload.object_size.unwrap_or(payload.data.len() as u32);
        if payload.offset == 0 {
            self.partial = (size <= OBJECT_MAX).then(|| Partial {
                number: payload.object_number,
                size,
                presentation: payload.presentation.unwrap_or(send_time),
                bytes: Vec::new(),
            });
        }
        let mut partial = self.partial.take()?;
        let follows = partial.number == payload.object_number
            && partial.bytes.len() == payload.offset as usize
            && partial.bytes.len() + payload.data.len() <= partial.size as usize;
        if !follows {
            return None;
        }
        partial.bytes.extend_from_slice(payload.data);
        if partial.bytes.len() < partial.size as usize {
            self.partial = Some(partial);
            return None;
        }
        Some((partial.presentation, partial.bytes))
    }

    /// Cut an object; what cannot be cut is left out.
    pub(super) fn cut(&mut self, object: &[u8], payload_max: usize) {
        let out = &mut self.payloads;
        let done = match &mut self.source.codec {
            Codec::H264(config) => config.nals(object).map(|nals| {
                config.learn(&nals);
                h264::Payloader::new(payload_max, true).payloads(&nals, out);
            }),
            Codec::Aac(config) => {
                let units = aac::units(object);
                aac::Payloader::new(payload_max, config).payloads(&units, out)
            }
            Codec::Mpa => mpa::Payloader::new(payload_max).payloads(object, self.resumed, out),
        };
        if done.is_err() {
            self.payloads = Payloads::new();
        }
        self.resumed = false;
    }

    /// A sender report, if one is due.
    pub(super) fn report(
        &mut self,
        send_time: u32,
        origin: (u32, Duration),
        name: &str,
    ) -> Option<Vec<u8>> {
        let due = self.report_at.is_none_or(|at| send_time >= at);
        if !due {
            return None;
        }
        self.report_at = Some(send_time.saturating_add(REPORT_EVERY_MS));
        let (first, wall) = origin;
        let at = wall + Duration::from_millis(u64::from(send_time.saturating_sub(first)));
        let fraction = (u64::from(at.subsec_nanos()) << 32) / 1_000_000_000;
        let info = SenderInfo {
            ntp: (at.as_secs() + NTP_OF_1970) << 32 | fraction,
            timestamp: self.time(send_time),
            packets: self.packets,
            bytes: self.bytes,
        };
        let mut compound = Compound::default();
        compound
            .sender_report(self.ssrc, &info, &[])
            .name(self.ssrc, name);
        Some(compound.finish())
    }
}

/// Whether a transport fits beside those that other streams have: one kind for all, and channels of
/// their own.
pub(in crate::rtsp::server) fn fits(s: &Session, url: &str, offer: &Spec, rtp_port: u16) -> bool {
    let others = || s.legs.iter().filter(|l| l.url != url);
    if others().any(|l| l.spec.lower != offer.lower) {
        return false;
    }
    match offer.lower {
        Lower::Udp => {
            let taken = |p: u16| others().any(|l| l.spec.client_port.is_some_and(|c| c.first == p));
            rtp_port != 0 && offer.client_port.is_some_and(|p| !taken(p.first))
        }
        Lower::Tcp => offer.interleaved.is_none_or(|c| {
            !others().any(|l| l.spec.interleaved.is_some_and(|o| o.first == c.first))
        }),
    }
}
