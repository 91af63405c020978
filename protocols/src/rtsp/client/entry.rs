//! What the server asks: the end of an entry, and what follows it (MS-RTSP 3.1.5.13, 3.1.5.15, 3.1.5.16).

use super::link::LIMITS;
use super::media::Drain;
use super::setup::Leg;
use super::{Client, State};
use crate::client::HEADER_BYTES_MAX;
use crate::machine::{Output, Time};
use crate::media::{IngestEvent, News};
use crate::rtsp::body::{ContentType, EndOfStream, EndReason};
use crate::rtsp::fields::entry_id;
use crate::rtsp::head::{self, Head, Method};
use crate::rtsp::reader::Message;
use crate::rtsp::rtp_info::{self, StreamEntry};
use crate::rtsp::sdp::Encoding;
use crate::rtsp::sdp_reader::{self, resolve};
use crate::rtsp::transport::Lower;
use bytes::Bytes;

/// Reasons of [`IngestEvent::End`]: all was sent; or the operator ended it, as MMSP says it of a source that is
/// gone.
const END: u32 = 0;
const END_BY_OPERATOR: u32 = crate::mmsp::hresult::NS_E_POINT_STOPPED;

const _: () = assert!(LIMITS.body_bytes_max <= HEADER_BYTES_MAX);

impl Client {
    /// A request of the server: answered at once.
    pub(super) fn asked(&mut self, now: Time, message: Message) {
        let head = &message.head;
        let kind = head.get("Content-Type").and_then(ContentType::parse);
        match (head.method(), kind) {
            (Some(Method::SetParameter), Some(ContentType::ExtensionCommand)) => {
                match EndOfStream::parse(&message.body) {
                    Ok(end) => {
                        self.answer(head, 200);
                        self.end_of_stream(now, &message, &end);
                    }
                    Err(_) => self.answer(head, 400),
                }
            }
            // RTSP-117
            (Some(Method::Announce), _) => {
                let readable = sdp_reader::parse(&message.body).is_ok_and(|c| !c.header.is_empty());
                let entry = head.get("X-Playlist-Gen-Id");
                let entry = entry.is_none_or(|v| entry_id(v, "X-Playlist-Gen-Id").is_ok());
                let info = head.get("X-RTP-Info");
                let info = info.is_none_or(|v| rtp_info::parse(v).is_ok());
                match readable && entry && info {
                    true => {
                        self.answer(head, 200);
                        self.announced(now, message);
                    }
                    false => self.answer(head, 400),
                }
            }
            (Some(Method::Options | Method::GetParameter | Method::SetParameter), _) => {
                self.answer(head, 200);
            }
            _ => self.answer(head, 501),
        }
    }

    fn answer(&mut self, asked: &Head, status: u16) {
        let user_agent = self.user_agent();
        let Some(link) = &self.link else { return };
        let mut out = head::response(status);
        if let Some(cseq) = asked.cseq() {
            out.header("CSeq", cseq);
        }
        if let Some(session) = &self.session {
            out.header("Session", session);
        }
        out.header("User-Agent", user_agent);
        let bytes = Bytes::from(out.finish());
        let conn = link.conn;
        self.out.push_back(Output::Send { conn, bytes });
    }

    // RTSP-116
    fn end_of_stream(&mut self, now: Time, message: &Message, end: &EndOfStream) {
        self.arm_keep_alive(now);
        let begun = self.begun_by_server;
        let plays = match self.state {
            State::Starting | State::Streaming => true,
            State::Waiting | State::SettingUp => begun,
            _ => false,
        };
        if !plays || self.drain.is_some() {
            return;
        }
        self.firewall = None;
        if !self.udp {
            return self.ended(now, end.reason);
        }
        let entries = message.head.get("RTP-Info").map(rtp_info::parse);
        let entries = entries.and_then(Result::ok).unwrap_or_default();
        for (n, (ssrc, sequence)) in self.sources(&entries).into_iter().enumerate() {
            // All streams go with one, mostly: the numbers of the others say nothing.
            let speaks = |l: &&mut super::media::Lane| l.ssrc == ssrc && (l.heard || n == 0);
            if let Some(lane) = self.lanes.iter_mut().find(speaks) {
                lane.order.stop_at(now, sequence);
            }
        }
        self.hand_on(now);
        if self.is_complete() {
            return self.ended(now, end.reason);
        }
        self.drain = Some(Drain::new(now, end.reason));
    }

    /// The end counts, everything before it came or is lost.
    pub(super) fn ended(&mut self, now: Time, reason: Option<EndReason>) {
        if !self.change_notice {
            self.send_log(now);
        }
        if reason == Some(EndReason::EndOfPlaylistEntry) {
            self.report(IngestEvent::EntryEnd);
            // Streams of it that are still to be chosen no longer matter.
            self.setting.waiting.clear();
            self.state = State::EntryEnded;
            return;
        }
        self.state = State::Ended;
        self.begun_by_server = false;
        self.report(IngestEvent::End(match reason {
            Some(EndReason::AdministrativeDisconnection) => END_BY_OPERATOR,
            _ => END,
        }));
        self.finishing |= !self.config.stay;
        self.close_if_done(now);
    }

    /// Behind the end of an entry whose last datagrams are still waited for, it waits, too.
    fn announced(&mut self, now: Time, message: Message) {
        if let Some(drain) = &mut self.drain
            && drain.announced.is_none()
        {
            drain.announced = Some(Box::new(message));
            return;
        }
        if self.drain.is_some() {
            self.drained(now);
        }
        self.take_entry(now, &message);
    }

    /// The next entry is the one that counts now.
    pub(super) fn take_entry(&mut self, now: Time, message: &Message) {
        let head = &message.head;
        self.note_supported(head);
        let entry = head.get("X-Playlist-Gen-Id");
        let entry = entry.and_then(|v| entry_id(v, "X-Playlist-Gen-Id").ok());
        let base = self.base.clone();
        if let Err(reason) = self.adopt(&message.body, &base, entry) {
            return self.fail(now, format!("{reason} in Announce"));
        }
        let info = head.get("X-RTP-Info").map(rtp_info::parse);
        let begun = info.and_then(Result::ok).unwrap_or_default();
        self.legs = self.begun_legs(&begun);
        let ssrcs: Vec<u32> = self.legs.iter().filter_map(|l| l.ssrc).collect();
        ssrcs.into_iter().for_each(|ssrc| {
            self.lane(ssrc);
        });
        self.tell_header();
        match self.state {
            State::EntryEnded | State::Starting | State::Streaming | State::Waiting => {}
            // It was on its way when the stop was sent, or comes after the end.
            _ => return,
        }
        self.begun_by_server = !self.legs.is_empty();
        self.change_notice = false;
        self.count_anew();
        self.next_number = 0;
        self.last_packet = None;
        self.state = State::Waiting;
        self.news(News::Waiting);
        if self.begun_by_server {
            self.lanes.iter_mut().for_each(|l| l.order.go_on());
            self.hand_on(now);
        }
        if self.config.autoselect {
            self.enter(now);
        }
    }

    /// The streams that the server began by itself.
    fn begun_legs(&self, begun: &[StreamEntry]) -> Vec<Leg> {
        let sections = self.content.as_ref().map(|c| &c.media[..]).unwrap_or(&[]);
        let leg = |entry: &StreamEntry| {
            let url = resolve(&self.base, &entry.url);
            let same = |control: &str| {
                let control = resolve(&self.base, control);
                control.trim_end_matches('/') == url.trim_end_matches('/')
            };
            let mut asf = sections.iter().filter(|m| m.encoding == Encoding::Asf);
            let section = asf.find(|m| same(&m.control))?;
            Some(Leg {
                number: u8::try_from(section.stream?).ok()?,
                url: resolve(&self.base, &section.control),
                udp: match entry.transport {
                    Some(lower) => lower == Lower::Udp,
                    None => self.udp,
                },
                ssrc: entry.ssrc,
            })
        };
        begun.iter().filter_map(leg).collect()
    }
}
