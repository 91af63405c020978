//! Media as it comes, and what follows from it (MS-WMSP 3.1.5.6 to 3.1.5.14).

use super::request::Kind;
use super::stream::{Event, Unexpected};
use super::{Body, Client, REASON_CLOSED, State, Which};
use crate::asf;
use crate::machine::{CloseHow, Time};
use crate::media::{IngestEvent, News};
use crate::wmsp::cdl;
use crate::wmsp::features::Supported;
use crate::wmsp::packet::{FRAME, FRAME_B, reason};
use crate::wmsp::pragma::ReplyPragma;
use bytes::Bytes;

/// Most bytes of a reply that is no media.
const TEXT_BYTES_MAX: usize = 256 * 1024;

impl Client {
    /// Body bytes were added.
    pub(super) fn media(&mut self, now: Time) {
        if let Body::Packets(packets) = &mut self.body
            && let Some(first) = packets.first_byte()
            && self.state == State::Describing
        {
            if first & !FRAME_B != FRAME {
                self.body = Body::Text(std::mem::take(packets.room()));
            } else if self.session.server.is_none() {
                // WMSP-103
                return self.fail(0, "neither Cougar nor Rex in Server");
            }
        }
        if let Body::Text(text) = &mut self.body {
            // What is longer is no announcement either.
            text.truncate(TEXT_BYTES_MAX);
        }
        while let Body::Packets(packets) = &mut self.body {
            match packets.next() {
                Ok(None) => return,
                Ok(Some(event)) => self.event(now, event),
                Err(Unexpected { at, reason }) => {
                    // WMSP-107
                    let body = self.data.as_ref().and_then(|l| l.body);
                    return self.fail(body.unwrap_or(0) + at, reason);
                }
            }
        }
    }

    fn event(&mut self, now: Time, event: Event) {
        match event {
            Event::Pair(len) => {
                self.pair.arrived(len + self.config.segment_headers, now);
                if let Some(rate) = self.pair.bits_per_second() {
                    self.report(IngestEvent::Bandwidth(rate));
                }
            }
            // What was on its way when Stop was sent is of no interest.
            _ if self.state == State::Stopping => {}
            Event::Metadata(bytes) => self.metadata(&bytes),
            Event::Header(bytes) => self.header(now, bytes),
            Event::Data(number, bytes) => self.data(now, number, bytes),
            Event::Change(why) => self.change(now, why),
            Event::End(why) => self.end(now, why),
        }
    }

    fn metadata(&mut self, bytes: &[u8]) {
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        let (tokens, list) = bytes.split_at(end);
        let tokens = String::from_utf8_lossy(tokens);
        let mut pragma = ReplyPragma::default();
        pragma.absorb(&tokens);
        self.session.entry = pragma.playlist_gen_id.or(self.session.entry);
        if let Some(features) = pragma.features {
            self.session.features = features;
        }
        // A description that cannot be read costs nothing but itself.
        self.description = cdl::parse(list.strip_prefix(b"\0").unwrap_or(list))
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .filter(|pair| pair.name != "language")
            .map(|pair| (pair.name, pair.value))
            .collect();
        let mut text = tokens.into_owned();
        for (name, value) in &self.description {
            text.push_str(&format!("\n{name}={value}"));
        }
        self.report(IngestEvent::Metadata(text));
    }

    fn header(&mut self, now: Time, bytes: Bytes) {
        let header = match asf::Header::parse(&bytes) {
            Ok(header) => header,
            Err(fault) => {
                let body = self.data.as_ref().and_then(|l| l.body);
                return self.fail(body.unwrap_or(0), format!("{fault} in $H"));
            }
        };
        let is_new = std::mem::take(&mut self.entry_is_new) || bytes != self.header_bytes;
        if is_new {
            let link_bw = self.link_bw();
            self.selection = self.config.streams.of(&header, &header.streams(), link_bw);
            self.header_bytes = bytes.clone();
            self.header = Some(Box::new(header));
            self.report(IngestEvent::Header(bytes));
        }
        match self.state {
            State::Starting => self.state = State::Streaming,
            State::Changing { goes_on: true } => self.state = State::Streaming,
            State::Changing { goes_on: false } => {
                self.state = State::Waiting;
                self.news(News::Waiting);
                if self.config.autoselect {
                    self.select_entry(now);
                } else {
                    self.rest(now);
                }
            }
            _ => {}
        }
    }

    fn data(&mut self, now: Time, number: u32, bytes: Bytes) {
        // An entry that waited may be started by the server all the same.
        self.state = State::Streaming;
        self.keep_alive_at = None;
        let size = self.header.as_ref().map_or(u32::MAX, |h| h.packet_size());
        let send_time = asf::Packet::parse(&bytes, size).ok().map(|p| p.send_time());
        self.counters.packet(now, bytes.len(), send_time);
        self.log_due = true;
        self.report(IngestEvent::Packet { number, bytes });
    }

    fn change(&mut self, now: Time, why: u32) {
        if self.state != State::EntryEnded {
            self.entry_ended(now);
        }
        // Nobody chooses streams of an entry that is passed on the way back.
        let goes_on = why != reason::PREVIOUS && self.is_predictive();
        self.state = State::Changing { goes_on };
        self.entry_is_new = true;
    }

    fn entry_ended(&mut self, now: Time) {
        self.report(IngestEvent::EntryEnd);
        self.send_log(now);
    }

    fn end(&mut self, now: Time, why: u32) {
        if why == reason::MORE {
            self.entry_ended(now);
            self.state = State::EntryEnded;
            return;
        }
        self.state = State::Ended;
        self.report(IngestEvent::End(why));
        if !self.session.pipelined {
            // WMSP-109: without pipelining this connection carries nothing more.
            self.close(Which::Data, CloseHow::Flush);
        }
        self.send_log(now);
        self.finishing |= !self.config.stay;
        self.close_if_done();
        self.rest(now);
    }

    /// The body of a Play or its kin came to its end.
    pub(super) fn media_ended(&mut self, now: Time, offset: u64) {
        let Body::Packets(packets) = std::mem::replace(&mut self.body, Body::Ignored) else {
            return;
        };
        let streaming = matches!(
            self.state,
            State::Starting
                | State::Streaming
                | State::EntryEnded
                | State::Changing { .. }
                | State::Waiting
        );
        if !streaming {
            return;
        }
        if packets.is_cut() {
            return self.fail(offset, "the body ended inside a packet");
        }
        let more = self
            .data
            .as_ref()
            .is_some_and(|l| !l.gone && (l.due.iter().chain(&l.waiting)).any(|r| r.kind.streams()));
        if !more {
            self.end(now, REASON_CLOSED);
        }
    }

    /// The reply to Stop came, or the data connection was closed.
    pub(super) fn stopped(&mut self, now: Time) {
        self.state = State::Stopped;
        self.news(News::Stopped);
        self.send_log(now);
        match self.next_play {
            // Replies come in order; without pipelining the log's reply is waited for, which
            // also gives the server time to see the connection closed.
            Some(_) if !self.session.pipelined && self.logs_pending() => {}
            Some(position) => {
                self.next_play = None;
                self.position = position;
                self.play_retries = 0;
                self.send_play(now);
            }
            None => self.rest(now),
        }
        self.close_if_done();
    }

    /// A log was submitted, or given up.
    pub(super) fn logged(&mut self, now: Time) {
        if self.state == State::Stopped
            && !self.logs_pending()
            && let Some(position) = self.next_play.take()
        {
            self.position = position;
            self.play_retries = 0;
            return self.send_play(now);
        }
        self.close_if_done();
        self.rest(now);
    }

    fn logs_pending(&self) -> bool {
        [&self.data, &self.side]
            .into_iter()
            .flatten()
            .any(|l| l.has(Kind::Log) || l.has(Kind::Event))
    }

    pub(super) fn close_if_done(&mut self) {
        let over = !matches!(self.state, State::Done | State::Stopping);
        if self.finishing && over && !self.logs_pending() {
            self.close_all(CloseHow::Flush);
        }
    }

    fn is_predictive(&self) -> bool {
        self.config.predictive && self.session.supported.has(Supported::PREDICTIVE)
    }

    pub(super) fn link_bw(&self) -> Option<u32> {
        let measured = self.pair.bits_per_second();
        let measured = measured.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        self.config.link_bw.or(measured)
    }
}
