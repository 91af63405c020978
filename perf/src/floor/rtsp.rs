//! The floor's side of RTSP: the answers that lead to media, and no more.

use super::ring::SSRC;
use super::{Settings, Verdict, send_all};
use crate::content;
use crate::rtsp::LIMITS;
use protocols::rtsp::head::{self, Method};
use protocols::rtsp::reader::{Message, Reader, Step};
use protocols::rtsp::sdp::{Encoding, Media, MediaKind, Presentation, Types};
use protocols::rtsp::transport::{Lower, Pair, Spec};
use std::net::{IpAddr, Ipv4Addr};

/// Session of everybody: nobody comes back to one.
const SESSION: &str = "1;timeout=60";
/// The streams of [`content::noise_header`].
const STREAMS: [(u32, MediaKind, &str); 2] = [
    (1, MediaKind::Audio, "audio"),
    (2, MediaKind::Video, "video"),
];

/// What is the same for everybody.
pub(super) struct Host {
    description: String,
    over_udp: bool,
}

/// A connection before it gets media.
#[derive(Default)]
pub(super) struct Guest {
    reader: Reader,
    /// Where datagrams go.
    port: Option<u16>,
}

impl Host {
    pub fn new(settings: &Settings) -> Host {
        Host {
            description: description(settings),
            over_udp: settings.protocol.over_udp(),
        }
    }

    /// Answer what came.
    pub fn answer(&self, fd: i32, guest: &mut Guest, came: &[u8]) -> Verdict {
        guest.reader.push(came);
        loop {
            let message = match guest.reader.next(&LIMITS) {
                Ok(Step::Wait) => return Verdict::Wait,
                Ok(Step::Message(message)) => message,
                Ok(Step::Frame { .. } | Step::Skipped { .. }) => continue,
                Err(_) => return Verdict::Close,
            };
            let (reply, plays) = self.reply(&message, &mut guest.port);
            if !send_all(fd, &reply) {
                return Verdict::Close;
            }
            if plays {
                return Verdict::Play(guest.port);
            }
        }
    }

    /// The answer, and whether media follows. Where it begins is not said: the position is not
    /// known before the session has its place.
    fn reply(&self, message: &Message, port: &mut Option<u16>) -> (Vec<u8>, bool) {
        let method = message.head.method();
        let transport = match method {
            Some(Method::Setup) => self.transport(message),
            _ => None,
        };
        let status = match method {
            Some(Method::Describe | Method::Play | Method::GetParameter) => 200,
            Some(Method::Setup) if transport.is_some() => 200,
            Some(Method::Setup) => 461,
            _ => 501,
        };
        let mut out = head::response(status);
        if let Some(cseq) = message.head.cseq() {
            out.header("CSeq", cseq);
        }
        out.header("Server", "WMServer/9.1.1.3841");
        let body = match method {
            Some(Method::Describe) => self.description.as_str(),
            _ => {
                out.header("Session", SESSION);
                ""
            }
        };
        if let Some(spec) = transport {
            *port = spec.client_port.map(|p| p.first);
            out.header("Transport", spec);
        }
        if !body.is_empty() {
            out.header("Content-Type", "application/sdp")
                .header("Content-Length", body.len());
        }
        let mut bytes = out.finish();
        bytes.extend_from_slice(body.as_bytes());
        (bytes, method == Some(&Method::Play))
    }

    fn transport(&self, message: &Message) -> Option<Spec> {
        let asked = Spec::parse(message.head.get("Transport")?).ok()?;
        let way = if self.over_udp {
            Lower::Udp
        } else {
            Lower::Tcp
        };
        let spec = Spec {
            ssrc: Some(SSRC),
            interleaved: (way == Lower::Tcp).then_some(Pair::of(0, 1)),
            ..asked
        };
        (spec.lower == way && spec.is_acceptable()).then_some(spec)
    }
}

fn description(settings: &Settings) -> String {
    let media = |(number, kind, control): (u32, MediaKind, &str)| Media {
        kind,
        payload_type: protocols::rtsp::payload::PAYLOAD_TYPE,
        encoding: Encoding::Asf,
        control: control.into(),
        kbits: Some(settings.bit_rate / 1000),
        average_kbits: None,
        no_rtcp: true,
        stream: Some(number),
        reliable: false,
        fec: None,
    };
    Presentation {
        id: 1,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        name: "floor".into(),
        control: String::new(),
        kbits: None,
        etag: None,
        range: None,
        packet_size: Some(u32::from(settings.packet_size)),
        types: Types {
            broadcast: true,
            ..Types::default()
        },
        description: Vec::new(),
        header: content::noise_header(settings.packet_size, settings.bit_rate),
        media: STREAMS.map(media).to_vec(),
    }
    .write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asf;
    use crate::floor::tests::settings;
    use protocols::rtsp::sdp_reader;

    #[test]
    fn the_description_has_the_header_and_its_streams() {
        let sdp = sdp_reader::parse(description(&settings()).as_bytes()).unwrap();
        let facts = asf::header_facts(&sdp.header).unwrap();
        assert_eq!((facts.packet_size, facts.streams), (3200, vec![1, 2]));
        let streams: Vec<_> = sdp.media.iter().filter_map(|m| m.stream).collect();
        assert_eq!(streams, [1, 2]);
    }
}
