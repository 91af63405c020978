//! Messages of the server, and what is done next (MS-MMSP 3.1.5).

use super::link::Due;
use super::report::attribute;
use super::url::Url;
use super::{Client, Server, State, V9, report};
use crate::auth::base64;
use crate::client::REDIRECT_MAX;
use crate::machine::{CloseHow, Time};
use crate::media::{IngestEvent, News};
use crate::mmsp::hresult::{self, is_failure};
use crate::mmsp::message::{DataHead, ReportOpenFile, ToClient, ToServer};
use crate::mmsp::names::{Funnel, Subscriber};
use crate::mmsp::wire::{Item, incarnation};
use crate::rate::packet_pair::Estimate;
use crate::version::Version;
use std::net::SocketAddr;

/// ReportRedirect: to a URL, or through a proxy.
const REDIRECT_URL: u16 = 1;
const REDIRECT_PROXY: u16 = 2;

/// One thing off the connection, apart from the bytes that it came in.
enum Event {
    Message(ToClient),
    Data(DataHead, Vec<u8>),
}

impl Client {
    pub(super) fn opened(&mut self, now: Time, peer: SocketAddr, local: SocketAddr) {
        let Some(link) = &mut self.link else { return };
        link.ends = Some((peer, local));
        // MMSP-22, MMSP-23: named also without a proxy, as players of Windows Media 7 and later do.
        let subscriber = Subscriber {
            product: format!("NSPlayer/{}", self.config.version),
            guid: self.guid.clone(),
            host: Some(self.url.authority()),
            ..Subscriber::default()
        };
        let play_incarnation = match self.config.packet_pair {
            true => incarnation::PAIR,
            false => incarnation::NO_PAIR,
        };
        let message = ToServer::Connect {
            play_incarnation,
            subscriber_name: subscriber.name(),
        };
        self.request(now, &message, Due::Connect);
    }

    pub(super) fn receive(&mut self, now: Time, bytes: &[u8]) {
        let Some(link) = &mut self.link else { return };
        let conn = link.conn;
        link.reader.push(bytes);
        // The connection may be another one by then, or none.
        while let Some(link) = self.link.as_mut().filter(|l| l.conn == conn) {
            let event = match link.reader.take() {
                Ok(None) => return,
                Ok(Some(Item::Message(message))) => Event::Message(message),
                Ok(Some(Item::Data { head, payload })) => Event::Data(head, payload.to_vec()),
                Ok(Some(Item::Unknown { .. })) => continue,
                // MMSP-15
                Ok(Some(Item::Malformed { fault, .. })) | Err(fault) => return self.fail_at(fault),
            };
            match event {
                Event::Message(message) => self.message(now, message),
                Event::Data(head, payload) => self.data(now, &head, &payload, false),
            }
        }
    }

    /// A message; behind the end of a stream whose last datagrams are still waited for, it waits, too.
    fn message(&mut self, now: Time, message: ToClient) {
        // MMSP-102
        if message == ToClient::Ping {
            return self.send(now, &ToServer::Pong);
        }
        if let Some(drain) = &mut self.drain {
            if drain.hold(message) {
                return;
            }
            return self.drained(now);
        }
        self.take_message(now, message);
    }

    pub(super) fn take_message(&mut self, now: Time, message: ToClient) {
        if let Some(link) = &mut self.link {
            link.since = now;
        }
        match message {
            ToClient::Ping => {}
            ToClient::ReportConnectedEx {
                hr,
                play_incarnation,
                server_version,
                authen_package,
                ..
            } if self.is_due(Due::Connect, "ReportConnectedEX", hr) => {
                self.server = Server {
                    version: Version::parse(&server_version).unwrap_or_default(),
                    name: server_version,
                    basic: authen_package.eq_ignore_ascii_case("BASIC"),
                    pairs: play_incarnation == incarnation::PAIR,
                    ..Server::default()
                };
                self.send_funnel_info(now);
            }
            ToClient::ReportFunnelInfo {
                play_incarnation,
                client_id,
                pair,
            } => self.funnel_info(now, play_incarnation, client_id, pair.len()),
            ToClient::ReportConnectedFunnel
                if self.is_due(Due::ConnectFunnel, "ReportConnectedFunnel", 0) =>
            {
                let message = ToServer::OpenFile {
                    play_incarnation: self.incarnations.next_play(),
                    file_name: self.url.name.clone(),
                    token: Vec::new(),
                };
                self.request(now, &message, Due::OpenFile);
            }
            ToClient::ReportDisconnectedFunnel { hr } => self.disconnected_funnel(now, hr),
            ToClient::ReportOpenFile(report)
                if self.is_due(Due::OpenFile, "ReportOpenFile", report.hr) =>
            {
                self.file_opened(now, report);
            }
            ToClient::ReportRedirect { kind, location }
                if self.is_due(Due::OpenFile, "ReportRedirect", 0) =>
            {
                self.redirect(now, kind, &location);
            }
            ToClient::SecurityChallenge {
                play_incarnation,
                cookie,
                token,
            } if self.is_due(Due::OpenFile, "SecurityChallenge", 0) => {
                self.challenged(now, play_incarnation, cookie, &token);
            }
            ToClient::ReportReadBlock { hr, .. } => {
                self.is_due(Due::ReadBlock, "ReportReadBlock", hr);
            }
            ToClient::ReportStreamSwitch { hr } => {
                self.is_due(Due::StreamSwitch, "ReportStreamSwitch", hr);
            }
            ToClient::ReportStartedPlaying { hr, .. } => {
                self.started(Due::Start, "ReportStartedPlaying", hr);
            }
            ToClient::ReportStartStriding { hr, .. } => {
                self.started(Due::Stride, "ReportStartStriding", hr);
            }
            ToClient::ReportStreamChange {
                bit_rate,
                header_size,
                ..
            } => {
                self.file.bit_rate = bit_rate;
                self.file.header_size = header_size;
                self.change(now);
            }
            ToClient::ReportEndOfStream {
                hr,
                play_incarnation,
            } => self.end_of_stream(now, hr, play_incarnation),
            // What was due and failed has been told.
            _ => {}
        }
    }

    /// Settles what was due; false if the session failed with it.
    fn is_due(&mut self, due: Due, name: &str, hr: u32) -> bool {
        if !self.link.as_mut().is_some_and(|l| l.settle(due)) {
            self.fail(format!("{name} that nothing asked for"));
            return false;
        }
        if is_failure(hr) {
            self.fail(format!("{name} says {}", code(hr)));
            return false;
        }
        true
    }

    // MMSP-34
    fn send_funnel_info(&mut self, now: Time) {
        let wants = self.config.packet_pair && self.server.pairs;
        let play_incarnation = match (wants, self.udp) {
            (false, _) => incarnation::NO_PAIR,
            (true, false) => incarnation::PAIR_TCP,
            (true, true) => incarnation::PAIR_UDP,
        };
        let message = ToServer::FunnelInfo { play_incarnation };
        self.request(now, &message, Due::FunnelInfo);
    }

    /// One of one or three reports (MMSP-35, BW-18, BW-19).
    fn funnel_info(&mut self, now: Time, play_incarnation: u32, client_id: u32, pair: usize) {
        if !self.is_due(Due::FunnelInfo, "ReportFunnelInfo", 0) {
            return;
        }
        self.server.client_id = client_id;
        if play_incarnation == incarnation::PAIR_TCP {
            let wire_len = report::FUNNEL_INFO_BYTES + pair + self.config.lower_headers.segment;
            self.pair.arrived(wire_len, now);
            match self.pair.bits_per_second() {
                Some(rate) => self.measured(rate),
                None => {
                    // More of them come.
                    if let Some(link) = &mut self.link {
                        link.due.push_front(Due::FunnelInfo);
                    }
                    return;
                }
            }
        } else if self.pair != Estimate::default() {
            return self.fail("a packet pair that is not complete");
        }
        self.send_connect_funnel(now);
    }

    pub(super) fn measured(&mut self, rate: u64) {
        self.pair_bps = Some(rate);
        self.report(IngestEvent::Bandwidth(rate));
    }

    fn send_connect_funnel(&mut self, now: Time) {
        let Some((_, local)) = self.link.as_ref().and_then(|l| l.ends) else {
            return;
        };
        let funnel = match self.udp {
            true => Funnel::Udp(self.config.udp_port),
            false => Funnel::Tcp,
        };
        let funnel_name = funnel.name(local.ip().to_canonical(), local.port());
        let message = ToServer::ConnectFunnel { funnel_name };
        self.request(now, &message, Due::ConnectFunnel);
    }

    // MMSP-36
    fn disconnected_funnel(&mut self, now: Time, hr: u32) {
        if self.udp && self.may_fall_back {
            self.udp = false;
            if let Some(link) = &mut self.link {
                link.settle(Due::ConnectFunnel);
            }
            return self.send_connect_funnel(now);
        }
        let hr = if is_failure(hr) { hr } else { hresult::E_FAIL };
        self.is_due(Due::ConnectFunnel, "ReportDisconnectedFunnel", hr);
    }

    /// Connect again, with media on the connection: no datagram came.
    pub(super) fn fall_back(&mut self, now: Time) {
        self.udp = false;
        self.may_fall_back = false;
        self.close(CloseHow::Flush);
        self.connect(now);
    }

    fn file_opened(&mut self, now: Time, report: ReportOpenFile) {
        self.file = report;
        self.news(News::Described {
            server: self.server.name.clone(),
            features: attribute::names(report.attributes),
        });
        self.state = State::Describing;
        self.send_read_block(now);
        self.close_if_done(now);
    }

    // MMSP-53, MMSP-54
    fn challenged(&mut self, now: Time, play_incarnation: u32, cookie: u32, token: &[u8]) {
        let zero = token.starts_with(&[0, 0]) || token.len() < 2;
        let basic = match (self.server.version >= V9, zero) {
            (_, false) => true,
            (true, true) => false,
            (false, true) => self.server.basic,
        };
        let text: Vec<u16> = token
            .chunks_exact(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .take_while(|c| *c != 0)
            .collect();
        let challenge = match basic {
            true => format!("Basic {}", String::from_utf16_lossy(&text)),
            false => "NTLM".to_owned(),
        };
        let credentials = self.config.credentials.as_ref();
        let Some((user, password)) = credentials.filter(|_| basic && !self.answered_challenge)
        else {
            let refused = self.answered_challenge;
            let reason = match refused {
                true => format!("the credentials are refused by {challenge}"),
                false => format!("credentials are asked for by {challenge}"),
            };
            self.news(News::Challenged {
                proxy: false,
                challenges: vec![challenge],
            });
            return self.fail(reason);
        };
        self.answered_challenge = true;
        let pair = format!("{user}:{}", password.reveal());
        let mut token = base64::encode(pair.as_bytes()).into_bytes();
        token.push(0);
        let message = ToServer::SecurityResponse {
            play_incarnation,
            cookie,
            token,
        };
        self.request(now, &message, Due::OpenFile);
    }

    // MMSP-47
    fn redirect(&mut self, now: Time, kind: u16, location: &str) {
        self.redirects += 1;
        if self.redirects > REDIRECT_MAX {
            return self.fail(format!("more than {REDIRECT_MAX} redirections"));
        }
        self.news(News::Redirected(location.to_owned()));
        match (kind, location) {
            (REDIRECT_PROXY, "") => self.proxy = None,
            (REDIRECT_URL | REDIRECT_PROXY, _) => match Url::parse(location) {
                Ok(url) if kind == REDIRECT_PROXY => self.proxy = Some((url.host, url.port)),
                Ok(url) => self.url = url,
                Err(fault) => return self.fail(format!("{fault} in ReportRedirect")),
            },
            _ => return self.fail(format!("RedirectType {kind} in ReportRedirect")),
        }
        // They were given for the server that was named, not for whom it names.
        self.config.credentials = None;
        self.close(CloseHow::Flush);
        self.connect(now);
    }

    fn started(&mut self, due: Due, name: &str, hr: u32) {
        if self.is_due(due, name, hr) && self.state == State::Starting {
            self.state = State::Streaming;
        }
    }

    // MMSP-92
    fn end_of_stream(&mut self, now: Time, hr: u32, play_incarnation: u32) {
        match self.state {
            State::Stopping => {
                // The stream may have ended by itself just before: then a second one comes.
                if let Some(link) = &mut self.link {
                    link.settle(Due::Stop);
                }
                self.stopped(now);
            }
            State::Starting | State::Streaming if self.is_stale(play_incarnation) => {}
            State::Starting | State::Streaming if self.udp && !self.is_complete() => {
                self.start_drain(now, hr);
            }
            State::Starting | State::Streaming => self.ended(now, hr),
            _ => {}
        }
    }

    /// The end of the start before this one.
    fn is_stale(&self, play_incarnation: u32) -> bool {
        play_incarnation == self.incarnations.before && play_incarnation != self.incarnations.play
    }

    pub(super) fn ended(&mut self, now: Time, hr: u32) {
        self.send_log(now);
        let goes_on = match self.server.version >= V9 {
            true => hr == hresult::MORE,
            false => hr == hresult::S_OK && self.is_broadcast(),
        };
        if goes_on {
            self.report(IngestEvent::EntryEnd);
            self.state = State::EntryEnded;
            return;
        }
        self.state = State::Ended;
        self.report(IngestEvent::End(hr));
        self.finishing |= !self.config.stay;
        self.close_if_done(now);
    }

    // MMSP-91
    fn change(&mut self, now: Time) {
        match self.state {
            // It was on its way when the stop was sent.
            State::Stopping | State::Stopped | State::Ended => self.header_due = true,
            State::EntryEnded | State::Starting | State::Streaming => {
                if self.state != State::EntryEnded {
                    self.send_log(now);
                    self.report(IngestEvent::EntryEnd);
                }
                self.state = State::Changing;
                self.header_due = true;
                self.begun_by_server = true;
                if self.udp {
                    return self.send_read_block(now);
                }
                self.gathering = Default::default();
                if let Some(link) = &mut self.link {
                    link.due.push_back(Due::Header);
                }
            }
            _ => self.fail("ReportStreamChange before anything played"),
        }
    }

    pub(super) fn datagram(&mut self, now: Time, peer: SocketAddr, bytes: &[u8]) {
        let ends = self.link.as_ref().and_then(|l| l.ends);
        let ours =
            ends.is_some_and(|(server, _)| server.ip().to_canonical() == peer.ip().to_canonical());
        if !self.udp || !ours {
            return;
        }
        // Who forges one of these can do no more than be ignored.
        if let Ok((head, payload)) = crate::mmsp::wire::split_data(bytes) {
            self.data(now, &head, payload, true);
            self.run_datagrams(now);
        }
    }
}

/// A result code for people.
pub(super) fn code(hr: u32) -> String {
    match hresult::name(hr) {
        Some(name) => format!("0x{hr:08X} ({name})"),
        None => format!("0x{hr:08X}"),
    }
}
