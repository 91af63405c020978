//! The connection's life, and what is due when (MS-RTSP 3.1.2).

use super::link::{Kind, Link};
use super::measure::Measuring;
use super::setup::Setting;
use super::{Client, Server, State, url};
use crate::machine::{CloseHow, ConnId, Fault, Output, Time};
use crate::rtsp::fields::SESSION_TIMEOUT;
use std::time::Duration;

/// Firewall timer: this and half a round trip (RTSP-122).
const FIREWALL: Duration = Duration::from_secs(10);
const FIREWALL_MIN: Duration = Duration::from_secs(1);
const FIREWALL_MAX: Duration = Duration::from_secs(30);
/// Shortest interval of keep-alives (RTSP-123).
const KEEP_ALIVE_MIN: u32 = 10;

impl Client {
    /// Connect, as a new session.
    pub(super) fn connect(&mut self, now: Time) {
        self.state = State::Opening;
        self.server = Server::default();
        self.session = None;
        self.session_timeout = SESSION_TIMEOUT;
        self.entry = 0;
        self.legs.clear();
        self.corrections.clear();
        self.rtx = None;
        self.setting = Setting::default();
        self.measuring = Measuring::default();
        self.begun_by_server = false;
        self.early.clear();
        self.connect_logged = false;
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.link = Some(Link::new(conn, now));
        let (host, port) = match &self.proxy {
            Some((host, port)) => (host.clone(), *port),
            None => (self.url.host.clone(), self.url.port),
        };
        self.out.push_back(Output::Connect { conn, host, port });
    }

    /// Media does not come in datagrams: connect again, with media on the connection.
    pub(super) fn fall_back(&mut self, now: Time) {
        if !self.may_fall_back {
            return self.fail(now, "no datagram came");
        }
        self.udp = false;
        self.may_fall_back = false;
        if self.session.is_some() {
            self.send_teardown(now);
        }
        self.close(CloseHow::Flush);
        self.connect(now);
    }

    // RTSP-122
    pub(super) fn arm_firewall(&mut self, now: Time) {
        let wait = FIREWALL + self.server.round_trip / 2;
        self.firewall = Some(now + wait.clamp(FIREWALL_MIN, FIREWALL_MAX));
    }

    // RTSP-123
    pub(super) fn arm_keep_alive(&mut self, now: Time) {
        let timeout = self.session_timeout;
        let interval = timeout.saturating_sub(10).max(timeout / 2);
        let interval = Duration::from_secs(interval.max(KEEP_ALIVE_MIN).into());
        self.keep_alive_at = self.session.is_some().then_some(now + interval);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let limit = self.config.reply_timeout;
        let owed = self.link.as_ref().and_then(Link::owed_since);
        let owed = owed.map(|since| since + limit);
        let drain = self.drain.as_ref().map(|d| d.until);
        let orders = self.lanes.iter().filter_map(|l| l.order.deadline()).min();
        let dues = [
            owed,
            drain,
            self.firewall,
            self.measuring.until,
            self.keep_alive_at,
            orders,
        ];
        dues.into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Time) {
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.measuring.until) {
            self.measured_datagrams(now);
        }
        if due(self.firewall) {
            self.firewall = None;
            self.firewall_expired(now);
        }
        self.run_media(now);
        if due(self.keep_alive_at) {
            self.keep_alive_due(now);
        }
        let limit = self.config.reply_timeout;
        let Some(link) = &self.link else { return };
        if link.owed_since().is_none_or(|since| since + limit > now) {
            return;
        }
        let what = match (link.opened(), link.due.front()) {
            (true, Some(ask)) => format!("no reply to {}", ask.kind.name()),
            _ => "no connection".to_owned(),
        };
        self.fail(now, format!("{what} in {} s", limit.as_secs()));
    }

    pub(super) fn closed(&mut self, now: Time) {
        let Some(link) = self.link.take() else { return };
        let first = link.due.front().map(|ask| ask.kind.clone());
        let (opened, offset) = (link.opened(), link.reader.offset());
        self.close(CloseHow::Abort);
        let reason = match (self.state, first) {
            _ if !opened => {
                let at = match &self.proxy {
                    Some((host, port)) => url::authority(host, *port),
                    None => self.url.authority(),
                };
                format!("no connection to {at}")
            }
            // Whoever leaves does not mind.
            (State::Leaving, _) | (State::Ended, _) => {
                self.state = State::Done;
                return;
            }
            (State::Stopping, _) if self.finishing => {
                self.state = State::Done;
                return;
            }
            (
                State::Starting | State::Streaming,
                None | Some(Kind::KeepAlive | Kind::LogConnect),
            ) => "connection closed before EndOfStream".to_owned(),
            (_, Some(kind)) => format!("connection closed before the reply to {}", kind.name()),
            (_, None) => "connection closed".to_owned(),
        };
        self.fail_at(now, Fault { offset, reason });
    }
}
