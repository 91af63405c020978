//! What is sent, and when which token may stand in it (MS-WMSP 3.1.4).

use super::link::Request;
use super::request::{Envelope, Kind, Payload};
use super::{Client, State, Streams, Which, report};
use crate::content::{Selection, Start, StreamSwitch};
use crate::http::head::Version as HttpVersion;
use crate::machine::{CloseHow, Time};
use crate::wmlog::{w3c, xml};
use crate::wmsp::features::Supported;
use crate::wmsp::pragma::{RequestPragma, UNUSED};
use crate::wmsp::remote_event::RemoteEvent;
use crate::wmsp::switch::{StreamRef, SwitchEntry};
use crate::wmsp::version::{ClientToken, Version};

const V8: Version = Version::new(8, 0);
const V9: Version = Version::new(9, 0);

/// A byte offset with both halves unused.
const OFFSET_UNUSED: u64 = u64::MAX;

impl Client {
    pub(super) fn send_describe(&mut self, now: Time) {
        self.state = State::Describing;
        let pipelined = self.config.pipelined && self.config.http == HttpVersion::Http11;
        let pragma = RequestPragma {
            // 3.1.4.2.1: to servers of 5.0 and later, and those not yet known.
            packet_pair: self.config.packet_pair && self.session.is_5(),
            // WMSP-102
            pipeline_experiment: pipelined,
            version11: pipelined,
            ..self.common()
        };
        self.request(now, Kind::Describe, "GET", pragma, Payload::None);
    }

    pub(super) fn send_pipeline_test(&mut self, now: Time) {
        self.state = State::Testing;
        // Back to back: a hop that does not pipeline keeps the second until the first is answered.
        for kind in [Kind::Pipeline1, Kind::Pipeline2] {
            let pragma = RequestPragma {
                pipeline_request: true,
                ..self.common()
            };
            self.request(now, kind, "GET", pragma, Payload::None);
        }
    }

    pub(super) fn send_play(&mut self, now: Time) {
        self.state = State::Starting;
        self.counters = Default::default();
        let mut pragma = RequestPragma {
            play: true,
            rate_milli: Some(self.config.rate_milli),
            max_duration: self.config.max_duration,
            // WMSP-101
            version11: self.session.pipelined,
            ..self.common()
        };
        self.put_position(&mut pragma);
        self.put_rates(&mut pragma);
        self.put_selection(&mut pragma);
        self.request(now, Kind::Play, "GET", pragma, Payload::None);
    }

    /// Start the entry that waits.
    pub(super) fn select_entry(&mut self, now: Time) {
        if !self.session.pipelined {
            let all = self.entries(self.selection);
            return self.request_select(now, all);
        }
        let mut pragma = RequestPragma {
            next_entry: true,
            version11: true,
            playlist_gen_id: self.session.entry,
            ..self.common()
        };
        self.put_rates(&mut pragma);
        self.put_selection(&mut pragma);
        self.counters = Default::default();
        self.request(now, Kind::NextEntry, "GET", pragma, Payload::None);
    }

    pub(super) fn send_select(&mut self, now: Time, switches: &[StreamSwitch]) {
        let entries = switches.iter().map(|s| SwitchEntry {
            from: s.from.map(StreamRef::new),
            to: s.to.map(StreamRef::new),
            level: s.level,
        });
        self.request_select(now, entries.collect());
    }

    fn request_select(&mut self, now: Time, entries: Vec<SwitchEntry>) {
        let pragma = RequestPragma {
            version11: self.session.pipelined,
            switch_count: u32::try_from(entries.len()).ok(),
            switches: entries,
            ..self.common()
        };
        let (method, payload) = match self.session.pipelined {
            true => ("GET", Payload::None),
            false => ("POST", Payload::Empty),
        };
        self.request(now, Kind::Select, method, pragma, payload);
    }

    // WMSP-110
    pub(super) fn stop_media(&mut self, now: Time) {
        match self.state {
            State::Starting
            | State::Streaming
            | State::EntryEnded
            | State::Changing { .. }
            | State::Waiting => {}
            _ => return,
        }
        self.play_again_at = None;
        if self.session.pipelined {
            self.state = State::Stopping;
            let pragma = RequestPragma {
                stop: true,
                ..self.common()
            };
            self.request(now, Kind::Stop, "POST", pragma, Payload::Empty);
        } else {
            self.was_stopped = true;
            self.close(Which::Data, CloseHow::Flush);
            self.stopped(now);
        }
    }

    // WMSP-111
    pub(super) fn send_keep_alive(&mut self, now: Time) {
        let common = self.common();
        if self.session.pipelined {
            self.request(now, Kind::KeepAlive, "OPTIONS", common, Payload::None);
        } else {
            let pragma = RequestPragma {
                keep_alive: self.session.is_5(),
                ..common
            };
            self.request(now, Kind::KeepAlive, "POST", pragma, Payload::Empty);
        }
    }

    /// Submit what is to be said of the entry that ended (WMSP-109, WMSP-112).
    pub(super) fn send_log(&mut self, now: Time) {
        let due = std::mem::take(&mut self.log_due);
        let counters = std::mem::take(&mut self.counters);
        if !due || !self.config.send_log || self.session.client_id.is_none() {
            return;
        }
        let start_ms = match self.position.start {
            Start::Time(ms) => u64::from(ms),
            _ => 0,
        };
        let playback = report::playback(
            &self.config,
            &self.url,
            &counters,
            self.header.as_deref(),
            &self.description,
            start_ms,
            now,
        );
        let modern = self.config.client_version() >= V9;
        let as_xml = modern && self.session.takes_xml();
        let renders_apart = as_xml && self.session.remote_log && self.asks_speed();
        let log = match renders_apart {
            true => playback.streaming(&self.config.player),
            false => playback.legacy(&self.config.player, modern),
        };
        if as_xml {
            let body = xml::write(&log);
            let kind = "application/x-wms-LogStats;charset=UTF-8";
            let payload = Payload::Body(kind, body.as_bytes());
            self.request(now, Kind::Log, "POST", self.common(), payload);
        } else {
            let pragma = RequestPragma {
                log_line: Some(w3c::line(&log)),
                ..self.common()
            };
            self.request(now, Kind::Log, "POST", pragma, Payload::Empty);
        }
        if renders_apart {
            let log = xml::write(&playback.rendering(&self.config.player));
            let url = self.url.to_string();
            let event = RemoteEvent::log(&self.user_agent(), &self.session.guid, &url, &log);
            let body = event.emit();
            let payload = Payload::Body("application/x-wms-sendevent", body.as_bytes());
            self.request(now, Kind::Event, "POST", self.common(), payload);
        }
    }

    fn request(
        &mut self,
        now: Time,
        kind: Kind,
        method: &str,
        pragma: RequestPragma,
        payload: Payload<'_>,
    ) {
        let user_agent = self.user_agent();
        let supported = self.supported(kind);
        let target = self.envelope(&user_agent, &supported, None).target(method);
        let authorization = self.access.prove(method, &target);
        let envelope: Envelope<'_> =
            self.envelope(&user_agent, &supported, authorization.as_deref());
        let bytes = envelope.write(method, &pragma, payload);
        let on_data = self.session.pipelined
            || matches!(
                kind,
                Kind::Describe | Kind::Pipeline1 | Kind::Pipeline2 | Kind::Play
            );
        let which = if on_data { Which::Data } else { Which::Side };
        let request = Request {
            kind,
            bytes,
            retried: false,
        };
        self.send(now, which, request);
    }

    // WMSP-96
    fn user_agent(&self) -> String {
        let config = &self.config;
        let mut text = format!("{}/{}", config.role.name(), config.version);
        if config.via_cache_proxy && config.role == ClientToken::NsServer {
            text.push_str("; via WMCacheProxy");
        }
        if !config.products.is_empty() {
            text.push(' ');
            text.extend(config.products.chars().filter(|c| !c.is_control()));
        }
        text
    }

    /// What is said to be supported; nothing by clients below 9.0.
    fn supported(&self, kind: Kind) -> String {
        if self.config.client_version() < V9 {
            return String::new();
        }
        let mut all = Supported::SWITCH;
        if self.config.packet_pair {
            all = all.with(Supported::PACKET_PAIR);
        }
        if self.config.predictive {
            all = all.with(Supported::PREDICTIVE);
        }
        // A player asks for the profile only where it is announced.
        let announced = self.session.supported.has(Supported::STARTUP_PROFILE);
        if kind != Kind::Describe && announced {
            all = all.with(Supported::STARTUP_PROFILE);
        }
        all.text()
    }

    /// Tokens of every request (WMSP-97, WMSP-98).
    fn common(&self) -> RequestPragma {
        RequestPragma {
            no_cache: true,
            client_id: self.session.client_id,
            client_guid: Some(self.session.guid.clone()),
            ..RequestPragma::default()
        }
    }

    fn put_position(&self, pragma: &mut RequestPragma) {
        pragma.stream_time = Some(UNUSED);
        pragma.packet_num = Some(UNUSED);
        pragma.stream_offset = Some(OFFSET_UNUSED);
        match self.position.start {
            Start::Beginning => pragma.stream_time = Some(0),
            Start::Time(ms) => pragma.stream_time = Some(ms),
            Start::Packet(number) => pragma.packet_num = Some(number),
            Start::Byte(offset) => pragma.stream_offset = Some(offset),
        }
        if self.session.is_5()
            && let Some(skip) = self.position.skip
        {
            pragma.playlist_seek_id = self.session.entry;
            pragma.pl_offset = Some(skip.clamp(-1, 1));
        }
    }

    fn put_rates(&self, pragma: &mut RequestPragma) {
        // Servers of 4.x know none of these.
        if !self.session.is_5() {
            return;
        }
        let version = self.config.client_version();
        pragma.link_bw = self.link_bw();
        if let Some(accel) = self.config.accel.filter(|_| version >= V8) {
            pragma.accel_bw = Some(accel.bits_per_second);
            pragma.accel_duration = Some(accel.duration_ms);
        }
        let relays = self.config.role != ClientToken::NsPlayer && version >= V9;
        // BW-52
        if let Some(burst) = self.config.burst.filter(|_| relays) {
            pragma.burst_bw = Some(burst.bits_per_second);
            pragma.burst_duration = Some(burst.duration_ms);
        }
        if self.asks_speed() {
            pragma.speed_milli = self.config.speed_milli;
        }
    }

    // WMSP-100
    fn asks_speed(&self) -> bool {
        let wants = self.config.speed_milli.is_some_and(|s| s > 1000);
        wants && self.session.is_5() && self.session.supported.has(Supported::FAST_CACHE)
    }

    // WMSP-99: every stream is named, on or off, unless an old server takes all.
    fn put_selection(&self, pragma: &mut RequestPragma) {
        let takes_all = self.config.role == ClientToken::NsServer
            && self.config.client_version() < V9
            && self.config.streams == Streams::All;
        if takes_all {
            return;
        }
        pragma.switches = self.entries(self.selection);
        pragma.switch_count = u32::try_from(pragma.switches.len()).ok();
    }

    fn entries(&self, selection: Selection) -> Vec<SwitchEntry> {
        let streams = self
            .header
            .as_ref()
            .map(|h| h.streams())
            .unwrap_or_default();
        streams
            .iter()
            .map(|stream| SwitchEntry {
                from: None,
                to: Some(StreamRef::new(stream.number)),
                level: selection.level(stream.number),
            })
            .collect()
    }
}
