//! What comes on the connection: replies, requests of the server, frames (MS-RTSP 3.1.5.2 to 3.1.5.9).

use super::link::{Ask, Kind, LIMITS};
use super::url::Url;
use super::{Client, Place, State, report};
use crate::auth::client::{Answerable, Prover};
use crate::client::REDIRECT_MAX;
use crate::content::Accel;
use crate::machine::{CloseHow, Fault, Time};
use crate::media::{IngestEvent, News};
use crate::rtsp::body::ContentType;
use crate::rtsp::cache_control::CacheControl;
use crate::rtsp::fields::{Session, Streaming, entry_id, is_set, milli_value};
use crate::rtsp::head::{Head, Refused};
use crate::rtsp::reader::{Message, Step};
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::rtsp::sdp_reader;
use crate::wmsp::features::Supported;

/// One thing off the connection, apart from the bytes that it came in.
enum Event {
    Message(Message),
    Frame(u8, Vec<u8>),
}

impl Client {
    pub(super) fn receive(&mut self, now: Time, bytes: &[u8]) {
        let Some(link) = &mut self.link else { return };
        let conn = link.conn;
        link.reader.push(bytes);
        link.taken += bytes.len() as u64;
        if link.has(|k| *k == Kind::TcpPair) {
            self.measuring.arrivals.note(link.taken, now);
        }
        // The connection may be another one by then, or none.
        while let Some(link) = self.link.as_mut().filter(|l| l.conn == conn) {
            let event = match link.reader.next(&LIMITS) {
                Ok(Step::Wait) => return,
                Ok(Step::Message(message)) => Event::Message(message),
                Ok(Step::Frame { channel, bytes }) => Event::Frame(channel, bytes.to_vec()),
                Ok(Step::Skipped { .. }) => continue,
                Err(refused) => return self.unreadable(now, &refused),
            };
            match event {
                Event::Message(message) if message.head.status().is_some() => {
                    self.reply(now, &message);
                }
                Event::Message(message) => self.asked(now, message),
                Event::Frame(channel, bytes) => self.frame(now, channel, &bytes),
            }
        }
    }

    fn unreadable(&mut self, now: Time, refused: &Refused) {
        let offset = self.link.as_ref().map_or(0, |l| l.reader.offset());
        let reason = refused.to_string();
        self.fail_at(now, Fault { offset, reason });
    }

    /// RTSP-119
    fn reply(&mut self, now: Time, message: &Message) {
        let head = &message.head;
        let status = head.status().unwrap_or(0);
        if status < 200 {
            return;
        }
        let Some(link) = &mut self.link else { return };
        link.since = now;
        let Some(ask) = link.due.pop_front() else {
            return self.fail(now, "a reply that nothing asked for");
        };
        if head.cseq().is_some_and(|cseq| cseq != ask.cseq) {
            let name = ask.kind.name();
            return self.fail(
                now,
                format!("a reply out of order, where one to {name} is due"),
            );
        }
        self.server.round_trip = now.since(ask.sent);
        self.note(head);
        match status {
            401 | 407 => self.challenged(now, ask, head),
            _ => self.replied(now, &ask, message),
        }
    }

    /// What any reply can say.
    fn note(&mut self, head: &Head) {
        if let Some(server) = head.get("Server") {
            server.clone_into(&mut self.server.name);
        }
        self.note_supported(head);
        if let Some(Ok(session)) = head.get("Session").map(Session::parse) {
            self.session_timeout = session.timeout.unwrap_or(self.session_timeout);
            self.session = Some(session.id);
        }
    }

    // RTSP-69
    pub(super) fn note_supported(&mut self, head: &Head) {
        if head.get("Supported").is_some() {
            self.server.supported = Supported::parse(head.list("Supported"));
        }
    }

    fn replied(&mut self, now: Time, ask: &Ask, message: &Message) {
        let head = &message.head;
        let status = head.status().unwrap_or(0);
        let good = status < 300;
        match &ask.kind {
            Kind::Describe if good => self.described(now, message),
            Kind::Describe if (300..=305).contains(&status) && status != 304 => {
                self.redirected(now, status, head);
            }
            Kind::Describe | Kind::Switch if !good => {
                let name = ask.kind.name();
                self.fail(now, format!("status {status} in the reply to {name}"));
            }
            // A stop overtook it: what it would have begun has ended before.
            Kind::Play | Kind::Confirm
                if !matches!(
                    self.state,
                    State::Starting | State::Streaming | State::EntryEnded
                ) => {}
            Kind::Play | Kind::Confirm if !good => {
                self.fail(now, format!("status {status} in the reply to Play"));
            }
            Kind::Play => self.played(now, head),
            Kind::Confirm => self.granted(head),
            Kind::Rtx => self.rtx_replied(now, head),
            Kind::TcpPair => self.pair_replied(now, &message.body),
            Kind::UdpPair => self.datagram_pair_replied(now, status),
            Kind::Setup(url) => self.setup_replied(now, url, head),
            Kind::Correct(url) => self.correction_replied(now, url, head),
            Kind::Remove => self.go_on_setting_up(now),
            // Failure of these is no failure (rtsp-wme.md 4.2).
            Kind::Pause if self.state == State::Stopping => self.stopped(now),
            Kind::LogPlay if good => self.report(IngestEvent::LogSent),
            Kind::ContentInfo if good => self.note_caching(head),
            Kind::Teardown if self.state == State::Leaving => {
                self.close(CloseHow::Flush);
                self.state = State::Done;
            }
            _ => {}
        }
    }

    fn note_caching(&mut self, head: &Head) {
        self.cache_control = head.get("Cache-Control").map(CacheControl::parse);
    }

    fn described(&mut self, now: Time, message: &Message) {
        let head = &message.head;
        let is_sdp =
            head.get("Content-Type").and_then(ContentType::parse) == Some(ContentType::Sdp);
        if !is_sdp {
            return self.fail(now, "no description in the reply to Describe");
        }
        // RTSP-50
        let request = self.url.to_string();
        let base = head.get("Content-Base").or(head.get("Content-Location"));
        let base = base
            .filter(|b| b.contains("://"))
            .unwrap_or(&request)
            .to_owned();
        let entry = head.get("X-Playlist-Gen-Id");
        let entry = entry.and_then(|v| entry_id(v, "X-Playlist-Gen-Id").ok());
        self.note_caching(head);
        if let Err(reason) = self.adopt(&message.body, &base, entry) {
            return self.fail(now, format!("{reason} in the reply to Describe"));
        }
        let types = self.content.as_ref().map(|c| c.types).unwrap_or_default();
        self.news(News::Described {
            server: self.server.name.clone(),
            features: report::features(types),
        });
        self.tell_header();
        self.state = State::Described;
        if self.config.autoplay && !self.finishing {
            self.start(now, Place::At(self.position));
        }
        self.close_if_done(now);
    }

    /// Take over a description: of the content, or of the entry that comes next.
    pub(super) fn adopt(
        &mut self,
        body: &[u8],
        base: &str,
        entry: Option<u32>,
    ) -> Result<(), String> {
        let content = sdp_reader::parse(body).map_err(|fault| fault.to_string())?;
        if content.header.is_empty() {
            return Err("no ASF header".to_owned());
        }
        let header = crate::asf::Header::parse(&content.header);
        let header = header.map_err(|fault| format!("{fault} in the ASF header"))?;
        self.base = match content.control.contains("://") {
            true => content.control.clone(),
            false => sdp_reader::resolve(base, &content.control),
        };
        self.entry = entry.unwrap_or(0);
        self.header = Some(Box::new(header));
        self.content = Some(Box::new(content));
        let max = self.packet_max();
        self.lanes.iter_mut().for_each(|l| l.begin_entry(max));
        Ok(())
    }

    /// Largest ASF packet, bytes.
    pub(super) fn packet_max(&self) -> usize {
        let said = self.content.as_ref().and_then(|c| c.packet_size);
        let header = self.header.as_ref().map(|h| h.packet_size());
        said.filter(|n| *n > 0).or(header).unwrap_or(0) as usize
    }

    pub(super) fn tell_header(&mut self) {
        let Some(content) = &self.content else { return };
        let header = bytes::Bytes::copy_from_slice(&content.header);
        let mut metadata = String::new();
        if !content.description.is_empty() {
            crate::wmsp::cdl::put(&content.description, &mut metadata);
        }
        if !metadata.is_empty() {
            self.report(IngestEvent::Metadata(metadata));
        }
        self.report(IngestEvent::Header(header));
    }

    // RTSP-105
    fn redirected(&mut self, now: Time, status: u16, head: &Head) {
        let Some(location) = head.get("Location") else {
            return self.fail(now, format!("status {status} without Location"));
        };
        self.redirects += 1;
        if self.redirects > REDIRECT_MAX {
            return self.fail(now, format!("more than {REDIRECT_MAX} redirections"));
        }
        self.news(News::Redirected(location.to_owned()));
        match Url::parse(location) {
            Ok(url) if status == 305 => self.proxy = Some((url.host, url.port)),
            Ok(url) => self.url = url,
            Err(fault) => return self.fail(now, format!("{fault} in Location")),
        }
        // They were given for the server that was named, not for whom it names.
        self.config.credentials = None;
        self.prover = None;
        self.close(CloseHow::Flush);
        self.connect(now);
    }

    /// Answers what can be answered, once for a request; a nonce that has become stale, too.
    fn challenged(&mut self, now: Time, mut ask: Ask, head: &Head) {
        let proxy = head.status() == Some(407);
        let name = match proxy {
            true => "Proxy-Authenticate",
            false => "WWW-Authenticate",
        };
        let challenges: Vec<String> = head.all(name).map(str::to_owned).collect();
        let to = Answerable::best(challenges.iter().map(String::as_str));
        let stale = matches!(to, Some(Answerable::Digest { stale: true, .. }));
        let refused = self.prover.is_some() && !stale;
        let credentials = self.config.credentials.clone();
        let may = !proxy && !refused && !ask.proven;
        if let (Some(to), Some((user, password)), true) = (to, credentials, may) {
            self.prover = Some(Prover::new(user, password, to));
            ask.proven = true;
            return self.request(now, ask);
        }
        let schemes: Vec<&str> = challenges
            .iter()
            .filter_map(|c| c.split_ascii_whitespace().next())
            .collect();
        let what = match refused {
            true => "the credentials are refused",
            false => "credentials are asked for",
        };
        let status = head.status().unwrap_or(0);
        let reason = format!("status {status}: {what} by {}", schemes.join(", "));
        self.news(News::Challenged { proxy, challenges });
        self.fail(now, reason);
    }

    fn granted(&mut self, head: &Head) {
        let grant = |kind: Streaming| head.get(kind.header()).and_then(|v| kind.parse(v));
        let accel: Option<Accel> = grant(Streaming::Burst).or(grant(Streaming::Accelerate));
        let speed = head.get("Speed").and_then(|v| milli_value(v, "Speed").ok());
        self.news(News::Granted {
            accel,
            speed_milli: speed.and_then(|s| u32::try_from(s).ok()),
            startup_profile: head.get("X-StartupProfile").map(str::to_owned),
        });
    }

    fn played(&mut self, now: Time, head: &Head) {
        self.granted(head);
        self.change_notice = head.get("X-Playlist-Change-Notice").is_some_and(is_set);
        let entries = head.get("RTP-Info").map(rtp_info::parse);
        let entries = entries.and_then(Result::ok).unwrap_or_default();
        if !self.change_notice {
            self.media_begins(now, &entries);
        }
        self.log_connect(now);
        self.close_if_done(now);
    }

    /// The streams that a list names, and the numbers that it gives.
    pub(super) fn sources(&self, entries: &[StreamEntry]) -> Vec<(u32, u16)> {
        let named = entries.iter().filter_map(|entry| {
            let url = sdp_reader::resolve(&self.base, &entry.url);
            let same = |l: &&super::Leg| l.url.trim_end_matches('/') == url.trim_end_matches('/');
            let leg = self.legs.iter().find(same)?;
            Some((leg.ssrc.or(entry.ssrc)?, entry.seq?))
        });
        named.collect()
    }
}
