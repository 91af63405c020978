//! What is sent, and when which header may stand in it (MS-RTSP 3.1.4, 3.1.5.1).

use super::link::{Ask, Kind};
use super::{Client, Place, State, report};
use crate::content::Start;
use crate::machine::{CloseHow, Output, Time};
use crate::media::News;
use crate::rtsp::body::{CONTENT_INFO, ContentType};
use crate::rtsp::fields::{BANDWIDTH_ANY, Role, Streaming, milli_text};
use crate::rtsp::head::{self, Method};
use crate::rtsp::range::{Npt, Range};
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::wmlog::xml;
use crate::wmsp::features::Supported;
use bytes::Bytes;
use rand_chacha::rand_core::RngCore;

/// Schemes that can be answered, the better one first.
const SCHEMES: &str = "Digest, Basic";

impl Client {
    /// Write a request; a reply is due.
    pub(super) fn request(&mut self, now: Time, mut ask: Ask) {
        let opened = |l: &&mut super::Link| l.opened();
        let Some(link) = self.link.as_mut().filter(opened) else {
            return;
        };
        ask.cseq = link.next_cseq;
        ask.sent = now;
        link.next_cseq = link.next_cseq.wrapping_add(1);
        if link.due.is_empty() {
            link.since = now;
        }
        let conn = link.conn;
        let bytes = Bytes::from(self.compose(&ask));
        if let Some(link) = &mut self.link {
            link.due.push_back(ask);
        }
        self.out.push_back(Output::Send { conn, bytes });
        self.arm_keep_alive(now);
    }

    fn compose(&mut self, ask: &Ask) -> Vec<u8> {
        let mut out = head::request(&ask.method, &ask.uri);
        out.header("CSeq", ask.cseq)
            .header("User-Agent", self.user_agent());
        if let Some(session) = self.session.as_ref().filter(|_| ask.kind != Kind::Describe) {
            out.header("Session", session);
        }
        if let Some(prover) = &mut self.prover {
            let cnonce = self.rng.next_u64().to_be_bytes();
            let value = prover.header(ask.method.name(), &ask.uri, cnonce);
            out.header("Authorization", value);
        }
        for (name, value) in &ask.headers {
            out.header(name, value);
        }
        let body = match &ask.body {
            Some((kind, body)) => {
                let charset = match kind {
                    ContentType::LogConnect | ContentType::LogPlay => ";charset=UTF-8",
                    _ => "",
                };
                out.header("Content-Type", format_args!("{}{charset}", kind.name()))
                    .header("Content-Length", body.len());
                &body[..]
            }
            None => &[],
        };
        let mut bytes = out.finish();
        bytes.extend_from_slice(body);
        bytes
    }

    // RTSP-77
    pub(super) fn user_agent(&self) -> String {
        let config = &self.config;
        let mut text = format!("{}/{}", config.role.name(), config.version);
        if config.role != Role::Server {
            let guid = self.guid.trim_matches(['{', '}']);
            text.push_str(&format!(" guid/{guid}"));
        }
        if !config.products.is_empty() {
            text.push(' ');
            text.push_str(&config.products);
        }
        text
    }

    // RTSP-72
    fn supported(&self) -> String {
        let mut all = Supported::SWITCH
            .with(Supported::END_OF_STREAM)
            .with(Supported::STARTUP_PROFILE);
        for (wanted, feature) in [
            (self.config.packet_pair, Supported::PACKET_PAIR),
            (self.config.predictive, Supported::PREDICTIVE),
            (self.config.locations, Supported::LOCATION_ID),
        ] {
            if wanted {
                all = all.with(feature);
            }
        }
        all.text()
    }

    /// With what is said in requests about streams.
    pub(super) fn about_streams(&self, ask: Ask) -> Ask {
        let ask = ask.with("Supported", self.supported());
        match self.entry {
            0 => ask,
            entry => ask.with("X-Playlist-Gen-Id", entry),
        }
    }

    pub(super) fn send_describe(&mut self, now: Time) {
        let ask = Ask::new(Kind::Describe, Method::Describe, self.url.to_string())
            .with("Accept", ContentType::Sdp.name())
            .with("X-Accept-Authentication", SCHEMES);
        let ask = self.about_streams(ask);
        self.request(now, ask);
    }

    // RTSP-87
    pub(super) fn send_content_info(&mut self, now: Time) {
        let ask = Ask::new(
            Kind::ContentInfo,
            Method::GetParameter,
            self.url.to_string(),
        )
        .body(ContentType::ContentInfo, CONTENT_INFO);
        self.request(now, ask);
    }

    /// Play, or set up first what is to be played.
    pub(super) fn start(&mut self, now: Time, place: Place) {
        self.next_play = None;
        if self.legs.is_empty() {
            self.state = State::SettingUp;
            self.setting.place = place;
            return self.set_up(now);
        }
        self.send_play(now, place);
    }

    pub(super) fn send_play(&mut self, now: Time, place: Place) {
        self.state = State::Starting;
        self.begun_by_server = false;
        self.change_notice = false;
        self.early.clear();
        if let Place::At(start) = place {
            self.position = start;
        }
        self.next_number = match place {
            Place::At(Start::Packet(number)) => number,
            Place::At(Start::Beginning) => 0,
            _ => self.next_number,
        };
        self.count_anew();
        self.last_packet = None;
        let mut ask = Ask::new(Kind::Play, Method::Play, self.base.clone());
        if let Some(range) = self.range(place) {
            ask = ask.with("Range", range);
        }
        let ask = self.rates(ask);
        self.request(now, ask);
        if self.udp && !self.heard {
            self.arm_firewall(now);
        }
    }

    /// RTSP-118: take what the server began; `untouched` are the URLs of streams that it chose right.
    pub(super) fn send_confirm(&mut self, now: Time, untouched: &[String]) {
        self.begun_by_server = false;
        self.change_notice = false;
        let mut ask = Ask::new(Kind::Confirm, Method::Play, self.base.clone());
        if !untouched.is_empty() {
            let entries: Vec<_> = untouched.iter().map(StreamEntry::url).collect();
            ask = ask.with("X-RTP-Info", rtp_info::write(&entries));
        }
        let ask = self.rates(ask);
        self.request(now, ask);
    }

    /// What every Play says.
    fn rates(&self, ask: Ask) -> Ask {
        let bandwidth = self.link_bw().unwrap_or(BANDWIDTH_ANY);
        let mut ask = self
            .about_streams(ask)
            .with("Scale", milli_text(self.config.rate_milli))
            .with("Bandwidth", bandwidth);
        if self.entry != 0 {
            ask = ask.with("X-Playlist-Seek-Id", self.entry);
        }
        // RTSP-120
        let fast = self.server.supported.has(Supported::FAST_CACHE);
        if let Some(speed) = self.config.speed_milli.filter(|_| fast) {
            let speed = i32::try_from(speed).unwrap_or(i32::MAX);
            ask = ask.with("Speed", milli_text(speed));
        }
        if let Some(accel) = self.config.accel {
            let kind = Streaming::Accelerate;
            ask = ask.with(kind.header(), kind.write(accel));
        }
        // BW-52
        let relays = self.config.role != Role::Player;
        if let Some(burst) = self.config.burst.filter(|_| relays) {
            let kind = Streaming::Burst;
            ask = ask.with(kind.header(), kind.write(burst));
        }
        match self.config.lag_ms {
            Some(lag) => ask.with("X-Player-Lag-Time", lag),
            None => ask,
        }
    }

    /// On the axis of the description, which counts the preroll (rtsp-wme.md 7).
    fn range(&self, place: Place) -> Option<Range> {
        let Place::At(start) = place else { return None };
        let types = self.content.as_ref().map(|c| c.types).unwrap_or_default();
        if types.broadcast || types.not_seekable {
            return Some(Range::npt(0, None));
        }
        let preroll = self.header.as_ref().map_or(0, |h| h.preroll_ms());
        let max = self.config.max_duration;
        let npt = |from: u64, ms: u32| Range::Npt {
            start: Some(Npt::Millis(from)),
            end: max.map(|max| Npt::Millis(u64::from(preroll) + u64::from(ms) + u64::from(max))),
        };
        Some(match start {
            Start::Beginning => npt(0, 0),
            Start::Time(ms) => npt(u64::from(preroll) + u64::from(ms), ms),
            Start::Packet(number) => Range::Packet {
                first: number.into(),
                last: None,
            },
            Start::Byte(offset) => Range::Byte {
                first: offset,
                last: None,
            },
        })
    }

    // RTSP-94
    pub(super) fn stop_media(&mut self, now: Time) {
        if self.drain.is_some() {
            self.drained(now);
        }
        match self.state {
            State::Starting
            | State::Streaming
            | State::EntryEnded
            | State::SettingUp
            | State::Waiting => {}
            _ => return,
        }
        self.firewall = None;
        self.measuring.until = None;
        self.setting.waiting.clear();
        if self.session.is_none() {
            // Nothing to stop: it is being set up.
            self.state = State::Described;
            return;
        }
        self.state = State::Stopping;
        self.lanes.iter_mut().for_each(|l| l.order.abandon());
        let ask = Ask::new(Kind::Pause, Method::Pause, self.base.clone());
        self.request(now, ask);
        self.send_log(now);
    }

    /// Connect log, once in a session (RTSP-120).
    pub(super) fn log_connect(&mut self, now: Time) {
        if std::mem::replace(&mut self.connect_logged, true) || !self.config.send_log {
            return;
        }
        let playback = report::playback(self, now);
        let log = xml::write(&playback.connect(&self.config.player));
        self.send_log_as(now, Kind::LogConnect, ContentType::LogConnect, log);
    }

    /// Submit what is to be said of what was played.
    pub(super) fn send_log(&mut self, now: Time) {
        let due = std::mem::take(&mut self.log_due);
        if !due || !self.config.send_log {
            return;
        }
        let playback = report::playback(self, now);
        let log = xml::write(&playback.legacy(&self.config.player, true));
        self.send_log_as(now, Kind::LogPlay, ContentType::LogPlay, log);
    }

    fn send_log_as(&mut self, now: Time, kind: Kind, body: ContentType, log: String) {
        let ask = Ask::new(kind, Method::SetParameter, self.base.clone()).body(body, log);
        self.request(now, ask);
    }

    // RTSP-90
    pub(super) fn keep_alive_due(&mut self, now: Time) {
        let on_connection = self.legs.iter().any(|l| !l.udp);
        let playing = matches!(self.state, State::Starting | State::Streaming);
        if playing && on_connection || self.state == State::Leaving {
            // RTSP-123: media tells as much. What ends it begins anew.
            self.keep_alive_at = None;
            return;
        }
        let ask = Ask::new(Kind::KeepAlive, Method::GetParameter, self.base.clone());
        self.request(now, ask);
    }

    pub(super) fn send_teardown(&mut self, now: Time) {
        let ask = Ask::new(Kind::Teardown, Method::Teardown, self.base.clone());
        let ask = match self.entry {
            0 => ask,
            entry => ask.with("X-Playlist-Gen-Id", entry),
        };
        self.request(now, ask);
    }

    /// Leave, if that is wanted and nothing plays.
    pub(super) fn close_if_done(&mut self, now: Time) {
        let busy = matches!(
            self.state,
            State::Stopping | State::Leaving | State::Done | State::SettingUp
        );
        if !self.finishing || busy || self.drain.is_some() {
            return;
        }
        if self.session.is_some() {
            self.state = State::Leaving;
            return self.send_teardown(now);
        }
        self.close(CloseHow::Flush);
        self.state = State::Done;
    }

    /// Sending was stopped on request.
    pub(super) fn stopped(&mut self, now: Time) {
        self.state = State::Stopped;
        self.begun_by_server = false;
        self.news(News::Stopped);
        if let Some(place) = self.next_play.take() {
            self.start(now, place);
        }
        self.close_if_done(now);
    }

    pub(super) fn link_bw(&self) -> Option<u32> {
        let measured = self.measuring.bps;
        let measured = measured.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        self.config.link_bw.or(measured)
    }
}
