//! What is sent: requests, and the frames of a body (MS-WMHTTP 3.1.4).

use super::body::{Body, Part};
use super::config::CONTENT_LENGTH;
use super::link::Link;
use super::queue::{Item, MORE};
use super::{Client, State};
use crate::client::url::target;
use crate::http::reply::ReplyHead;
use crate::machine::{ConnId, Output, Time};
use crate::wmhttp::frame::Kind;
use bytes::Bytes;

const SETUP_TYPE: &str = "application/x-wms-pushsetup";
const START_TYPE: &str = "application/x-wms-pushstart";
const METHOD: &str = "POST";

/// Seconds of the stream in a body, if a proxy is in the path (WMHTTP-34).
const PROXIED_SECONDS: u64 = 60;

impl Client {
    /// Ask for the session, on the connection that is there or a new one.
    pub(super) fn setup(&mut self, now: Time) {
        self.state = State::Setup;
        match self.reusable() {
            true => self.send_setup(now),
            false => self.connect(now),
        }
    }

    /// Begin the next body, on the connection that is there or a new one.
    // WMHTTP-38, WMHTTP-51
    pub(super) fn start(&mut self, now: Time) {
        self.state = State::Starting;
        match self.reusable() {
            true => self.send_start(now),
            false => self.connect(now),
        }
    }

    fn reusable(&self) -> bool {
        self.link.as_ref().is_some_and(|l| l.opened && !l.last)
    }

    // WMHTTP-24
    pub(super) fn connect(&mut self, now: Time) {
        self.close(crate::machine::CloseHow::Flush);
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.link = Some(Link::new(conn, now));
        let at = self.proxy.as_ref().unwrap_or(&self.url);
        self.out.push_back(Output::Connect {
            conn,
            host: at.host.clone(),
            port: at.port,
        });
    }

    pub(super) fn send_setup(&mut self, now: Time) {
        let body = self.setup_body();
        let proof = self.access.header(METHOD, &self.url.target, &mut self.rng);
        let mut bytes = self.request(SETUP_TYPE, body.len() as u64, proof);
        bytes.extend_from_slice(body.as_bytes());
        self.asked(now);
        self.write(bytes);
    }

    // WMHTTP-33, WMHTTP-36, WMHTTP-37
    pub(super) fn send_start(&mut self, now: Time) {
        let length = self.content_length();
        let proof = match self.proves_start {
            true => self.access.header(METHOD, &self.url.target, &mut self.rng),
            // As the encoder of Windows: the push-id is known by now.
            false => None,
        };
        let mut bytes = self.request(START_TYPE, length, proof);
        self.body = Body::new(length);
        self.sent.ends_body = false;
        self.totals.bodies += 1;
        if !self.sent.begun
            && let Some(entry) = &self.sent.entry
        {
            let frame = entry.frame(Kind::Header);
            self.body.sent(frame.len());
            self.totals.bytes += frame.len() as u64;
            bytes.extend_from_slice(&frame);
            self.sent.begun = true;
        }
        self.state = State::InProgress;
        self.asked(now);
        self.write(bytes);
        self.pump(now);
    }

    fn asked(&mut self, now: Time) {
        if let Some(link) = &mut self.link {
            link.due = true;
            link.answered = false;
            link.since = now;
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        if let Some(link) = &self.link
            && !bytes.is_empty()
        {
            self.out.push_back(Output::Send {
                conn: link.conn,
                bytes: Bytes::from(bytes),
            });
        }
    }

    /// Send what waits as far as the body goes.
    // WMHTTP-39, WMHTTP-40, WMHTTP-41
    pub(super) fn pump(&mut self, now: Time) {
        if self.state != State::InProgress {
            return;
        }
        let mut out = Vec::new();
        let mut over = None;
        while over.is_none()
            && let Some(part) = self.queue.front().map(Item::part)
        {
            if !self.body.has_room(part) {
                let start = out.len();
                while self.body.fill(&mut out) {}
                self.totals.filler += (out.len() - start) as u64;
            }
            if self.body.left() == 0 {
                break;
            }
            let Some(item) = self.queue.pop() else { break };
            let start = out.len();
            item.put(&mut out);
            self.body.sent(out.len() - start);
            over = self.note(item, part);
        }
        self.totals.bytes += out.len() as u64;
        self.write(out);
        if let Some(reason) = over {
            self.end(reason);
        } else if self.body.left() == 0 {
            self.full(now);
        }
    }

    /// Keep in mind what was sent; a Reason if that was all.
    fn note(&mut self, item: Item, part: Part) -> Option<u32> {
        match item {
            Item::Packet(_) => self.totals.packets += 1,
            Item::End(MORE) => {
                self.sent.ended = true;
                self.sent.ends_body = self.body.left() == 0;
            }
            Item::End(reason) => {
                debug_assert_eq!(part, Part::End);
                return Some(reason);
            }
            Item::Change(entry) => {
                self.sent.entry = Some(entry);
                self.sent.ended = false;
            }
        }
        None
    }

    /// The body is complete.
    fn full(&mut self, now: Time) {
        let Some(link) = &mut self.link else { return };
        link.since = now;
        let answered = link.answered;
        self.state = State::Full;
        if answered {
            self.start(now);
        }
    }

    /// Content-Length of the next PushStart.
    // WMHTTP-34, WMHTTP-35
    fn content_length(&self) -> u64 {
        let current = self.sent.entry.as_deref();
        let wanted = match self.using_proxy {
            false => self.config.content_length,
            true => self.config.proxied_length.unwrap_or_else(|| {
                let rate = current.map_or(0, |e| u64::from(e.bit_rate));
                match rate * PROXIED_SECONDS / 8 {
                    0 => CONTENT_LENGTH,
                    bytes => bytes,
                }
            }),
        };
        let least = current.map_or(0, |e| e.body_min(Kind::Header));
        let least = self
            .queue
            .entries()
            .map(|e| e.body_min(Kind::Change))
            .fold(least, u64::max);
        wanted.max(least)
    }

    // WMHTTP-10, WMHTTP-29, WMHTTP-30, WMHTTP-31
    fn setup_body(&self) -> String {
        let mut body = String::new();
        let mut auto_destroy = self.config.auto_destroy;
        if let Some(template) = &self.config.template {
            body = format!("Template-URL: \"{}\"\r\n", target(template));
            auto_destroy = auto_destroy.or(Some(false));
        }
        if let Some(wanted) = auto_destroy {
            body += &format!("AutoDestroy: {}\r\n", u8::from(wanted));
        }
        body
    }

    /// Head of a request, its lines in the order of the encoder of Windows.
    // WMHTTP-05, WMHTTP-06, WMHTTP-07, WMHTTP-25, WMHTTP-26, WMHTTP-27, WMHTTP-32
    fn request(&mut self, content_type: &str, length: u64, proof: Option<String>) -> Vec<u8> {
        let uri = match &self.proxy {
            Some(_) => self.url.to_string(),
            None => self.url.target.clone(),
        };
        let proxy_proof = self.proxy_access.header(METHOD, &uri, &mut self.rng);
        let mut head = ReplyHead::of(format_args!("{METHOD} {uri} {}", self.config.http.name()));
        head.header("Content-Type", content_type)
            .header(
                "X-Accept-Authentication",
                &self.config.accept_authentication,
            )
            .header("User-Agent", &self.config.user_agent)
            .header("Host", self.url.authority())
            .header("Content-Length", length)
            .header("Connection", "Keep-Alive")
            .header("Cache-Control", "no-cache")
            .header("Cookie", self.cookies.header());
        if let Some(proof) = proof {
            head.header("Authorization", proof);
        }
        if let Some(proof) = proxy_proof {
            head.header("Proxy-Authorization", proof);
        }
        head.finish()
    }
}
