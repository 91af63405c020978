//! SETUP: a stream of a presentation gets its transport (MS-RTSP 3.2.5.6.4).

use super::Server;
use super::answer::Reply;
use super::conn::Described;
use super::describe::base_url;
use super::media;
use super::media::plain::TRACK_CONTROL;
use super::names::{Named, named, presentation_of};
use super::request::Exchange;
use super::session::{Leg, Route, Rtx, Session};
use crate::content::{Content, Level, StreamSwitch};
use crate::machine::{ConnId, Time};
use crate::media::FlowCommand;
use crate::rtsp::body::{ContentType, StreamSwitch as SwitchEntry};
use crate::rtsp::fec::Encoder;
use crate::rtsp::fields::{UserAgent, wants_one_control};
use crate::rtsp::sdp;
use crate::rtsp::transport::{self, Lower, Pair, Spec};
use crate::wmsp::features::Supported;
use rand_chacha::rand_core::RngCore;
use std::cell::RefCell;
use std::rc::Rc;

/// Most ports of one session that its receiver reports may come from.
const REPORTERS_MAX: usize = 16;

/// Why a SETUP is refused.
type No = (u16, &'static str);

impl Server {
    pub(super) fn setup(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        if let Some(id) = ex.session {
            return self.setup_in(now, conn, ex, id);
        }
        if let Some((status, why)) = self.no_room() {
            return self.refuse(now, conn, &ex, status, why);
        }
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.sessions.len() >= self.config.connection_sessions_max {
            return self.refuse(now, conn, &ex, 503, "too many sessions on this connection");
        }
        let is_below = |d: &Described| ex.target.below(&d.path).is_some();
        if c.described.as_deref().is_some_and(is_below) {
            return self.setup_new(now, conn, ex);
        }
        // Who did not ask for a description: what comes last in the URL is the stream. VLC without its
        // RTSP module asks for the presentation itself, and gets nowhere anyway.
        let Some(path) = presentation_of(&ex.target.path) else {
            return self.refuse(now, conn, &ex, 461, "SETUP of what is no stream");
        };
        ex.presentation = Some(path);
        self.open(now, conn, ex, true);
    }

    /// What the SETUP's presentation is.
    pub(super) fn setup_opened(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let (Some(content), Some(path)) = (ex.content.take(), ex.presentation.take()) else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return self.release(content.id);
        };
        let mut target = ex.target.clone();
        target.path.clone_from(&path);
        let control = ex.target.below(&path).unwrap_or("");
        let plain = match control.starts_with(TRACK_CONTROL) && self.config.plain {
            true => media::plain::Streams::of(&content, true),
            false => None,
        };
        let old = c.described.replace(Box::new(Described {
            base: base_url(&target, &c.local.to_string()),
            path,
            plain,
            content,
        }));
        if let Some(old) = old {
            self.release(old.content.id);
        }
        self.setup_new(now, conn, ex);
    }

    /// The first SETUP of a session: it takes what was described.
    fn setup_new(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(described) = c.described.take() else {
            return;
        };
        let (peer, supported) = (c.peer.ip(), c.supported);
        let user_agent = ex.user_agent();
        let follows = UserAgent::parse(user_agent).is_some()
            || supported.is_some_and(|s| s.has(Supported::END_OF_STREAM));
        let one_control = wants_one_control(user_agent) && !described.content.broadcast;
        let resends = u64::from(self.config.resends_per_second_max);
        let id = self.new_id();
        let number = self.count();
        let session = Session::new(*described, number, peer, resends, now).by(
            supported,
            follows,
            one_control,
        );
        self.sessions.insert(id, Box::new(session));
        match self.add_leg(id, &ex) {
            Ok(()) => {
                if let Some(s) = self.sessions.get_mut(&id) {
                    s.conn = Some(conn);
                }
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.sessions.push(id);
                }
                ex.session = Some(id);
                self.answer_setup(now, conn, &ex, id);
            }
            Err((status, why)) => {
                // The description stays for another attempt: GStreamer tries up to three.
                if let Some(s) = self.sessions.remove(&id)
                    && let Some(c) = self.conns.get_mut(&conn)
                {
                    c.described = Some(Box::new(s.into_described()));
                }
                self.refuse(now, conn, &ex, status, why);
            }
        }
    }

    fn setup_in(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>, id: u64) {
        match self.add_leg(id, &ex) {
            Ok(()) => self.answer_setup(now, conn, &ex, id),
            Err((status, why)) => self.refuse(now, conn, &ex, status, why),
        }
    }

    fn answer_setup(&mut self, now: Time, conn: ConnId, ex: &Exchange, id: u64) {
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        // RTSP-76
        let spec = s.last_spec.to_string();
        let reply = Reply {
            session: Some(id),
            supported: !s.is_plain(),
            ..Reply::default()
        };
        self.respond(now, conn, ex, 200, &reply.with("Transport", spec));
    }

    /// Set up the stream that the URL names. The session is as before if that cannot be.
    fn add_leg(&mut self, id: u64, ex: &Exchange) -> Result<(), No> {
        let Some(s) = self.sessions.get(&id) else {
            return Err((454, "unknown session"));
        };
        // RTSP-100
        let control = ex.target.below(&s.path).unwrap_or("");
        let named = match &s.plain {
            Some(plain) => plain.named(control).map(Named::Streams),
            None => named(control, &s.content.streams, s.one_control),
        };
        let Some(named) = named else {
            return Err((400, "the URL is not in the description"));
        };
        let value = ex.head.all("Transport").collect::<Vec<_>>().join(",");
        let offers: Vec<Spec> = transport::specs(&value)
            .filter_map(Result::ok)
            .filter(Spec::is_acceptable)
            .collect();
        match named {
            Named::Rtx => self.set_up_rtx(id, &offers),
            Named::Fec(streams) => self.set_up_fec(id, streams, &ex.target.uri, &offers),
            Named::Streams(streams) if s.is_plain() => {
                self.set_up_plain(id, streams, &ex.target.uri, &offers)
            }
            Named::Streams(streams) => {
                let level = match ex.content_type() {
                    Some(ContentType::StreamSwitch) => {
                        let entries = SwitchEntry::parse(&ex.body);
                        let entries = entries.map_err(|_| (400, "SSEntry cannot be read"))?;
                        entries.first().map_or(Level::Whole, |e| e.thin)
                    }
                    _ => Level::Whole,
                };
                if let Some(size) = ex.number("Blocksize").filter(|n| *n > 0)
                    && let Some(s) = self.sessions.get_mut(&id)
                {
                    s.block_size = Some(size);
                }
                self.set_up_streams(id, streams, level, &ex.target.uri, &offers)
            }
        }
    }

    /// RTSP-31: a flow of its own, over UDP or not at all.
    fn set_up_rtx(&mut self, id: u64, offers: &[Spec]) -> Result<(), No> {
        let rtp_port = self.config.rtp_port;
        let offer = offers
            .iter()
            .find(|o| o.lower == Lower::Udp && rtp_port != 0);
        let Some(port) = offer.and_then(|o| o.client_port) else {
            return Err((461, "retransmission goes over UDP only"));
        };
        let Some(s) = self.sessions.get(&id) else {
            return Err((454, "unknown session"));
        };
        // RTSP-75
        if s.route
            .as_ref()
            .is_some_and(|r| r.lower == Lower::Tcp || r.port == port.first)
        {
            return Err((461, "retransmission on the port of media, or beside TCP"));
        }
        // RTSP-45: this number is the only key to the session that a datagram has.
        let old = s.rtx.map(|r| r.ssrc);
        let ssrc = loop {
            let ssrc = self.rng.next_u32();
            if !self.resends.contains_key(&ssrc) {
                break ssrc;
            }
        };
        let pair_sequence = self.rng.next_u32() as u16;
        if let Some(old) = old {
            self.resends.remove(&old);
        }
        self.resends.insert(ssrc, id);
        if let Some(s) = self.sessions.get_mut(&id) {
            s.rtx = Some(Rtx {
                ssrc,
                port: port.first,
                pair_sequence,
            });
            s.last_spec = Spec {
                lower: Lower::Udp,
                unicast: true,
                server_port: Some(Pair::of(rtp_port, rtp_port.wrapping_add(1))),
                client_port: Some(port),
                ssrc: Some(ssrc),
                play: Some(true),
                ..Spec::default()
            };
        }
        Ok(())
    }

    /// A stream of ASF packets. The first one decides where all of them go: they are in one flow.
    fn set_up_streams(
        &mut self,
        id: u64,
        streams: u128,
        level: Level,
        url: &str,
        offers: &[Spec],
    ) -> Result<(), No> {
        let rtp_port = self.config.rtp_port;
        let ssrc = self.rng.next_u32();
        let sequence = self.rng.next_u32() as u16;
        let Some(s) = self.sessions.get_mut(&id) else {
            return Err((454, "unknown session"));
        };
        let rtx_port = s.rtx.map(|r| r.port);
        // A stream that is set up again may go another way, if it is alone and nothing flows.
        let alone = s.flow.is_none() && s.legs.iter().all(|l| l.url == url);
        let route = s.route.as_ref().filter(|_| !alone);
        let fits = |o: &&Spec| match (o.lower, route) {
            (Lower::Udp, _) if rtp_port == 0 => false,
            (lower, Some(route)) if lower != route.lower => false,
            // RTSP-140: this makes GStreamer try again with the first port.
            (Lower::Udp, Some(route)) => o.client_port.is_some_and(|p| p.first == route.port),
            (Lower::Udp, None) => o.client_port.is_some_and(|p| Some(p.first) != rtx_port),
            (Lower::Tcp, _) => true,
        };
        let Some(offer) = offers.iter().find(fits) else {
            return Err((461, "no transport that can be taken"));
        };
        let own = s.route.as_ref().map_or(ssrc, |r| r.ssrc);
        let first = s.route.is_none() || alone;
        let mut spec = Spec {
            lower: offer.lower,
            unicast: true,
            ssrc: Some(if first { own } else { ssrc }),
            play: Some(true),
            ..Spec::default()
        };
        match offer.lower {
            Lower::Udp => {
                spec.client_port = offer.client_port;
                // As many ports as the client named.
                spec.server_port = offer.client_port.map(|p| Pair {
                    first: rtp_port,
                    second: p.second.map(|_| rtp_port.wrapping_add(1)),
                });
            }
            Lower::Tcp => {
                let free = s.free_channel();
                spec.interleaved = Some(offer.interleaved.unwrap_or(Pair::of(free, free + 1)));
            }
        }
        let port = spec.client_port.map_or(0, |p| p.first);
        let channel = spec.interleaved.map_or(0, |c| c.first);
        match &mut s.route {
            Some(route) if first => {
                route.lower = spec.lower;
                route.port = port;
                route.channel = channel;
            }
            Some(_) => {}
            None => {
                s.route = Some(Route {
                    lower: spec.lower,
                    port,
                    channel,
                    ssrc,
                    sequence,
                });
            }
        }
        s.legs.retain(|l| l.url != url);
        s.last_spec = spec.clone();
        s.legs.push(Leg {
            url: url.to_owned(),
            streams,
            level,
            fec: None,
            spec,
            sequence,
        });
        self.tell_flow(id, streams, level);
        Ok(())
    }

    /// A stream with a payload format of its own, and a transport of its own.
    fn set_up_plain(
        &mut self,
        id: u64,
        streams: u128,
        url: &str,
        offers: &[Spec],
    ) -> Result<(), No> {
        let rtp_port = self.config.rtp_port;
        let [ssrc, offset, random] = std::array::from_fn(|_| self.rng.next_u32());
        let Some(s) = self.sessions.get_mut(&id) else {
            return Err((454, "unknown session"));
        };
        if s.flow.is_some() {
            return Err((455, "SETUP while media flows"));
        }
        let offer = offers
            .iter()
            .find(|o| media::plain::fits(s, url, o, rtp_port));
        let Some(offer) = offer else {
            return Err((461, "no transport that can be taken"));
        };
        let mut spec = Spec {
            lower: offer.lower,
            unicast: true,
            ssrc: Some(ssrc),
            play: Some(true),
            ..Spec::default()
        };
        match offer.lower {
            Lower::Udp => {
                spec.client_port = offer.client_port;
                spec.server_port = Some(Pair::of(rtp_port, rtp_port.wrapping_add(1)));
            }
            Lower::Tcp => {
                let free = s.free_channel();
                spec.interleaved = Some(offer.interleaved.unwrap_or(Pair::of(free, free + 1)));
            }
        }
        let sequence = random as u16;
        if let Some(plain) = &mut s.plain {
            plain.set_up(streams, url, &spec, sequence, offset);
        }
        s.route = Some(Route {
            lower: spec.lower,
            port: spec.client_port.map_or(0, |p| p.first),
            channel: 0,
            ssrc,
            sequence: 0,
        });
        s.legs.retain(|l| l.url != url);
        s.last_spec = spec.clone();
        let peer = s.peer;
        if let Some(port) = spec.client_port {
            let rtcp = port.second.unwrap_or(port.first.wrapping_add(1));
            let address = std::net::SocketAddr::new(peer, rtcp);
            if !s.reporters.contains(&address) && s.reporters.len() < REPORTERS_MAX {
                s.reporters.push(address);
                self.reporters.insert(address, id);
            }
        }
        if let Some(s) = self.sessions.get_mut(&id) {
            s.legs.push(Leg {
                url: url.to_owned(),
                streams,
                level: Level::Whole,
                fec: None,
                spec,
                sequence,
            });
        }
        Ok(())
    }

    /// RTSP-59, RTSP-74: correction for streams that go over UDP, to the same port.
    fn set_up_fec(&mut self, id: u64, streams: u128, url: &str, offers: &[Spec]) -> Result<(), No> {
        let Some(offered) = self.config.fec else {
            return Err((400, "the URL is not in the description"));
        };
        let ssrc = self.rng.next_u32();
        let sequence = self.rng.next_u32() as u16;
        let rtp_port = self.config.rtp_port;
        let Some(s) = self.sessions.get_mut(&id) else {
            return Err((454, "unknown session"));
        };
        let route = s.route.as_ref().filter(|r| r.lower == Lower::Udp);
        let offer = offers.iter().find(|o| {
            o.lower == Lower::Udp
                && o.client_port.map(|p| p.first) == route.map(|r| r.port)
                && rtp_port != 0
        });
        let (Some(offer), Some(_)) = (offer, route) else {
            return Err((461, "correction goes with media over UDP"));
        };
        // What the client wants, as long as it costs no more than what was offered.
        let params = offer.fec.unwrap_or(offered);
        if params.per_span() * offered.span() > offered.per_span() * params.span() {
            return Err((461, "more correction than is offered"));
        }
        if s.fec.is_none() {
            let encoder = Encoder::new(params, sdp::FEC_PAYLOAD_TYPE, ssrc, sequence);
            s.fec = Some(Rc::new(RefCell::new(encoder)));
        } else if !s.legs.iter().any(|l| l.fec == Some(params)) {
            // All streams are in one flow, which is protected once.
            return Err((461, "another correction is set up"));
        }
        let spec = Spec {
            lower: Lower::Udp,
            unicast: true,
            server_port: Some(Pair::one(rtp_port)),
            client_port: offer.client_port,
            ssrc: Some(ssrc),
            play: Some(true),
            fec: Some(params),
            ..Spec::default()
        };
        s.last_spec = spec.clone();
        s.legs.retain(|l| l.url != url);
        s.legs.push(Leg {
            url: url.to_owned(),
            streams,
            level: Level::Whole,
            fec: Some(params),
            spec,
            sequence,
        });
        Ok(())
    }

    /// The flow that runs gains streams, or has them at another level (RTSP-98).
    pub(super) fn tell_flow(&mut self, id: u64, streams: u128, level: Level) {
        let Some(s) = self.sessions.get(&id) else {
            return;
        };
        let switches: Vec<StreamSwitch> = (1..=127u8)
            .filter(|n| streams >> n & 1 == 1)
            .map(|n| StreamSwitch {
                from: None,
                to: Some(n),
                level,
            })
            .collect();
        self.switch_flow(s.flow.as_ref().map(|f| f.id), switches);
    }

    pub(super) fn switch_flow(
        &mut self,
        flow: Option<crate::media::FlowId>,
        switches: Vec<StreamSwitch>,
    ) {
        if let Some(flow) = flow
            && !switches.is_empty()
        {
            self.out.push_back(crate::machine::Output::Flow {
                flow,
                command: FlowCommand::Select(switches),
            });
        }
    }
}

/// True for packets that do not fit in a frame with their heads.
pub(super) fn is_too_large(content: &Content) -> bool {
    content.packet_size as usize > usize::from(u16::MAX) - 64
}
