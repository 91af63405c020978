//! Streams and their transports (MS-RTSP 3.1.5.5, 3.1.5.6).

use super::link::{Ask, Kind};
use super::media::Lane;
use super::{Client, MEDIA, Place, State};
use crate::content::{Level, Selection, Start, StreamSwitch};
use crate::machine::Time;
use crate::rtsp::body::{ContentType, StreamSwitch as SwitchEntry};
use crate::rtsp::fec::{MARGIN_MAX, Params};
use crate::rtsp::head::{Head, Method};

use crate::rtsp::sdp::{Encoding, Media};
use crate::rtsp::sdp_reader::resolve;
use crate::rtsp::transport::{Lower, Pair, Spec, specs};
use std::collections::VecDeque;

/// Channels of interleaved frames that are offered.
const CHANNEL_LAST: usize = 254;

/// A stream that is set up.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// With which it was set up; what replaces it goes on under it (RTSP-97).
    pub url: String,
    /// ASF stream number.
    pub number: u8,
    pub udp: bool,
    pub ssrc: Option<u32>,
}

/// Error correction that is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correction {
    pub ssrc: Option<u32>,
    pub payload_type: u8,
    pub params: Params,
    /// Of the stream that it was set up for.
    pub source: Option<u32>,
}

/// A stream that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub url: String,
    pub number: u8,
    pub level: Level,
}

/// Streams that are being set up.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Where to play then.
    pub place: Place,
    /// Behind the first one.
    pub waiting: VecDeque<Wanted>,
    /// The others.
    asked: Vec<Wanted>,
    /// Of those that the server began, what was right.
    untouched: Vec<String>,
    /// Datagrams were refused.
    refused: bool,
    corrected: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            place: Place::At(Start::Beginning),
            waiting: VecDeque::new(),
            asked: Vec::new(),
            untouched: Vec::new(),
            refused: false,
            corrected: false,
        }
    }
}

impl Client {
    /// The streams of the content that are wanted, as sections of its description.
    fn wanted(&mut self) -> Vec<Wanted> {
        let (Some(header), Some(content)) = (&self.header, &self.content) else {
            return Vec::new();
        };
        let all = header.streams();
        self.selection = self.config.streams.of(header, &all, self.link_bw());
        wanted(self.selection, &content.media, &self.base)
    }

    /// RTSP-75: the first stream alone while there is no session, the rest together.
    pub(super) fn set_up_streams(&mut self, now: Time) {
        self.legs.clear();
        self.setting.refused = false;
        self.setting.corrected = false;
        self.setting.untouched.clear();
        self.setting.waiting = self.wanted().into();
        if self.setting.waiting.is_empty() {
            return self.fail(now, "no stream to play in the description");
        }
        match self.session.is_some() {
            true => self.ask_rest(now),
            false => self.ask_next(now),
        }
    }

    fn ask_rest(&mut self, now: Time) {
        while !self.setting.waiting.is_empty() {
            self.ask_next(now);
        }
    }

    fn ask_next(&mut self, now: Time) {
        let Some(wanted) = self.setting.waiting.pop_front() else {
            return;
        };
        let index = self.legs.len() + self.setting.asked.len();
        let mut transport = String::new();
        if self.udp {
            transport = self.datagram_spec(self.config.media_port).to_string();
        }
        if !self.udp || self.may_fall_back {
            let comma = if self.udp { ", " } else { "" };
            let channel = (2 * index).min(CHANNEL_LAST) as u8;
            let spec = Spec {
                lower: Lower::Tcp,
                unicast: true,
                interleaved: Some(Pair::of(channel, channel + 1)),
                ssrc: Some(self.ssrc),
                play: Some(true),
                ..Spec::default()
            };
            transport.push_str(&format!("{comma}{spec}"));
        }
        let kind = Kind::Setup(wanted.url.clone());
        let ask = Ask::new(kind, Method::Setup, &wanted.url).with("Transport", transport);
        let mut ask = self.about_streams(ask);
        if wanted.level == Level::KeyOnly {
            let entry = SwitchEntry {
                old: None,
                new: Some((wanted.number.into(), wanted.url.clone())),
                thin: Level::KeyOnly,
            };
            ask = ask.body(ContentType::StreamSwitch, entry.to_string());
        }
        self.setting.asked.push(wanted);
        self.request(now, self.conditional(ask));
    }

    /// The entry that was described, and no other.
    pub(super) fn conditional(&self, ask: Ask) -> Ask {
        let etag = self.content.as_ref().and_then(|c| c.etag.as_ref());
        match etag {
            Some(etag) => ask.with("If-Match", format_args!("\"{etag}\"")),
            None => ask,
        }
    }

    // RTSP-73
    pub(super) fn datagram_spec(&self, port: u16) -> Spec {
        Spec {
            lower: Lower::Udp,
            unicast: true,
            client_port: Some(match port == self.config.rtx_port {
                true => Pair::of(port, port.wrapping_add(1)),
                false => Pair::one(port),
            }),
            ssrc: Some(self.ssrc),
            play: Some(true),
            ..Spec::default()
        }
    }

    pub(super) fn setup_replied(&mut self, now: Time, url: &str, head: &Head) {
        let asked = &mut self.setting.asked;
        let at = asked.iter().position(|w| w.url == url);
        let Some(wanted) = at.map(|at| asked.remove(at)) else {
            return;
        };
        let status = head.status().unwrap_or(0);
        if status == 461 && self.udp && self.may_fall_back {
            self.setting.refused = true;
        } else if status >= 300 {
            return self.fail(now, format!("status {status} in the reply to SelectStream"));
        } else {
            let Some(spec) = spec_of(head) else {
                return self.fail(now, "no Transport in the reply to SelectStream");
            };
            self.add_leg(wanted, &spec);
        }
        if !self.setting.waiting.is_empty() {
            return self.ask_rest(now);
        }
        self.go_on_setting_up(now);
    }

    fn add_leg(&mut self, wanted: Wanted, spec: &Spec) {
        let udp = spec.lower == Lower::Udp;
        self.legs.retain(|l| l.url != wanted.url);
        self.legs.push(Leg {
            url: wanted.url,
            number: wanted.number,
            udp,
            ssrc: spec.ssrc,
        });
        if let Some(ssrc) = spec.ssrc {
            self.lane(ssrc);
        }
        let port = spec.server_port.map(|p| p.first);
        if let Some(port) = port.filter(|_| udp) {
            self.punch(MEDIA, port);
        }
    }

    /// Whatever was asked about streams may be answered by now.
    pub(super) fn go_on_setting_up(&mut self, now: Time) {
        if self.link.as_ref().is_none_or(|l| l.has(Kind::selects)) {
            return;
        }
        if self.setting.refused {
            return self.datagrams_refused(now);
        }
        if self.state == State::SettingUp
            && !self.setting.corrected
            && self.legs.iter().any(|l| l.udp)
        {
            self.setting.corrected = true;
            self.set_up_correction(now);
            if self.link.as_ref().is_some_and(|l| l.has(Kind::selects)) {
                return;
            }
        }
        self.apply_rules();
        let confirms = self.begun_by_server;
        let untouched = std::mem::take(&mut self.setting.untouched);
        match self.state {
            State::SettingUp if confirms => {
                self.state = State::Starting;
                self.send_confirm(now, &untouched);
            }
            State::SettingUp => {
                self.udp = self.legs.iter().any(|l| l.udp);
                self.may_fall_back &= self.udp;
                self.send_play(now, self.setting.place);
            }
            // What the server began has ended meanwhile; it waits for the Play all the same.
            State::EntryEnded if confirms => self.send_confirm(now, &untouched),
            _ => {}
        }
    }

    /// 461: everything over TCP, in this session if nothing of it goes over UDP.
    fn datagrams_refused(&mut self, now: Time) {
        self.setting.refused = false;
        if self.legs.iter().any(|l| l.udp) {
            return self.fall_back(now);
        }
        self.udp = false;
        self.may_fall_back = false;
        self.set_up_streams(now);
    }

    /// Correction for each stream over UDP that offers it.
    fn set_up_correction(&mut self, now: Time) {
        let Some(content) = self.content.as_ref().filter(|_| self.config.correction) else {
            return;
        };
        let mut asks = Vec::new();
        for leg in self.legs.iter().filter(|l| l.udp) {
            let section = section_of(&content.media, leg.number);
            let Some(offer) = section.and_then(|m| m.fec.as_ref()) else {
                continue;
            };
            let Some(params) = params_of(offer.span.into(), offer.per_span.into()) else {
                continue;
            };
            let spec = Spec {
                fec: Some(params),
                ..self.datagram_spec(self.config.media_port)
            };
            let url = resolve(&self.base, &offer.url);
            let ask = Ask::new(Kind::Correct(leg.url.clone()), Method::Setup, url)
                .with("Transport", spec);
            asks.push(self.about_streams(ask));
        }
        for ask in asks {
            self.request(now, ask);
        }
    }

    /// Without correction it goes, too: what refuses it is no error.
    pub(super) fn correction_replied(&mut self, now: Time, url: &str, head: &Head) {
        let leg = self.legs.iter().find(|l| l.url == url);
        let offer = leg.and_then(|leg| {
            let content = self.content.as_ref()?;
            let section = section_of(&content.media, leg.number)?;
            Some((leg.ssrc, section.fec.as_ref()?.payload_type))
        });
        let spec = spec_of(head).filter(|_| head.status().is_some_and(|s| s < 300));
        if let (Some((source, payload_type)), Some(spec)) = (offer, spec)
            && let Some(params) = spec.fec
        {
            self.corrections.retain(|c| c.source != source);
            self.corrections.push(Correction {
                ssrc: spec.ssrc,
                payload_type,
                params,
                source,
            });
        }
        self.go_on_setting_up(now);
    }

    /// What is waited for follows from what is set up.
    fn apply_rules(&mut self) {
        let asks = self.config.resends && self.rtx.is_some();
        let block = self
            .corrections
            .iter()
            .map(|c| c.params.span() * c.params.margin() + c.params.per_span() * c.params.margin())
            .max();
        for lane in &mut self.lanes {
            lane.order.rules.asks = asks;
            lane.order.rules.block = block.unwrap_or(0);
        }
    }

    /// An entry whose media may flow already: set up what is missing of it, remove what is not wanted
    /// (RTSP-118).
    pub(super) fn enter(&mut self, now: Time) {
        if self.state == State::Waiting {
            self.state = State::SettingUp;
        }
        self.setting.place = Place::At(Start::Beginning);
        if !self.begun_by_server {
            return self.set_up_streams(now);
        }
        self.setting.refused = false;
        self.setting.corrected = true;
        let wanted = match self.config.autoselect {
            true => self.wanted(),
            false => {
                let sections = self.content.as_ref().map(|c| &c.media[..]);
                wanted(self.selection, sections.unwrap_or(&[]), &self.base)
            }
        };
        let (kept, removed): (Vec<Leg>, Vec<Leg>) = std::mem::take(&mut self.legs)
            .into_iter()
            .partition(|l| wanted.iter().any(|w| w.url == l.url));
        self.setting.untouched = kept.iter().map(|l| l.url.clone()).collect();
        let missing = |w: &Wanted| !kept.iter().any(|l| l.url == w.url);
        self.setting.waiting = wanted.into_iter().filter(missing).collect();
        self.legs = kept;
        for leg in removed {
            self.remove(now, &leg.url);
        }
        self.ask_rest(now);
        self.go_on_setting_up(now);
    }

    fn remove(&mut self, now: Time, url: &str) {
        let ask = self.about_streams(Ask::new(Kind::Remove, Method::Teardown, url));
        self.request(now, ask);
    }

    /// Changes in a session whose streams are set up.
    pub(super) fn send_switches(&mut self, now: Time, switches: &[StreamSwitch]) {
        let sections = self.content.as_ref().map(|c| c.media.clone());
        let sections = sections.unwrap_or_default();
        for switch in switches {
            let Some(to) = switch.to.or(switch.from) else {
                continue;
            };
            let url_of = |number: u8| {
                let section = section_of(&sections, number)?;
                Some(resolve(&self.base, &section.control))
            };
            let Some(to_url) = url_of(to) else { continue };
            let from = switch.from.filter(|_| switch.to.is_some()).unwrap_or(to);
            let at = self.legs.iter().position(|l| l.number == from);
            let off = switch.to.is_none() || switch.level == Level::Off;
            match at {
                None if off => {}
                None => {
                    self.setting.waiting.push_back(Wanted {
                        url: to_url,
                        number: to,
                        level: switch.level,
                    });
                    self.ask_rest(now);
                }
                Some(at) if off && from == to => {
                    let leg = self.legs.remove(at);
                    self.remove(now, &leg.url);
                }
                Some(at) => {
                    let entry = SwitchEntry {
                        old: Some((from.into(), url_of(from).unwrap_or_default())),
                        new: Some((to.into(), to_url)),
                        thin: switch.level,
                    };
                    let Some(leg) = self.legs.get_mut(at) else {
                        continue;
                    };
                    leg.number = to;
                    // RTSP-97
                    let ask = Ask::new(Kind::Switch, Method::SetParameter, leg.url.clone())
                        .body(ContentType::StreamSwitch, entry.to_string());
                    let ask = self.about_streams(ask);
                    self.request(now, ask);
                }
            }
        }
    }

    /// The lane of a source.
    pub(super) fn lane(&mut self, ssrc: u32) -> Option<&mut Lane> {
        let at = self.lanes.iter().position(|l| l.ssrc == ssrc);
        let at = match at {
            Some(at) => at,
            None if self.lanes.len() < super::media::LANES_MAX => {
                let rules = self
                    .lanes
                    .first()
                    .map(|l| l.order.rules)
                    .unwrap_or_default();
                let mut lane = Lane::new(ssrc, self.packet_max());
                lane.order.rules = rules;
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
            None => return None,
        };
        self.lanes.get_mut(at)
    }
}

pub(super) fn spec_of(head: &Head) -> Option<Spec> {
    if head.status()? >= 300 {
        return None;
    }
    specs(head.get("Transport")?).find_map(Result::ok)
}

fn section_of(media: &[Media], number: u8) -> Option<&Media> {
    let number = Some(u32::from(number));
    media
        .iter()
        .find(|m| m.encoding == Encoding::Asf && m.stream == number)
}

/// Sections with the same URL are one stream.
fn wanted(selection: Selection, media: &[Media], base: &str) -> Vec<Wanted> {
    let mut list: Vec<Wanted> = Vec::new();
    for section in media.iter().filter(|m| m.encoding == Encoding::Asf) {
        let number = section.stream.and_then(|n| u8::try_from(n).ok());
        let Some(number) = number else { continue };
        let level = selection.level(number);
        let url = resolve(base, &section.control);
        if level != Level::Off && !list.iter().any(|w| w.url == url) {
            list.push(Wanted { url, number, level });
        }
    }
    list
}

/// As many packets between those of a span as can be named: then a burst of losses hits many spans.
fn params_of(span: u32, per_span: u32) -> Option<Params> {
    (1..=MARGIN_MAX)
        .rev()
        .find_map(|margin| Params::new(span, per_span, margin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_as_wide_as_the_mask() {
        let margin = |span, per| params_of(span, per).map(Params::margin);
        assert_eq!(margin(4, 1), Some(7));
        assert_eq!(margin(24, 4), Some(1));
        assert_eq!(margin(1, 1), Some(12));
        assert_eq!(margin(4, 5), None);
    }
}
