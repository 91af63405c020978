//! The end of media, and what follows it (MS-MMSP 3.2.4.1, 3.2.4.2).

use super::conn::Job;
use super::header::ENTRY_WAIT;
use super::session::{Change, Phase, State, bit_rate};
use super::{Server, Timer};
use crate::content::{Content, CueRequest, Question, Start};
use crate::entry;
use crate::machine::{CloseHow, ConnId, Output, Time};
use crate::media::{FlowEnd, FlowEvent, FlowId};
use crate::mmsp::hresult;
use crate::mmsp::message::{DataHead, ToClient};
use crate::mmsp::wire::{DATA_PAYLOAD_MAX_TCP, incarnation};
use crate::version::Version;
use bytes::Bytes;
use std::time::Duration;

/// How long after the last datagram the end of a stream is told. Players play on from what they have
/// buffered meanwhile.
const TAIL: Duration = Duration::from_millis(300);

/// How often FFmpeg may try to read on after an error.
const FFMPEG_TRIES: usize = 8;

impl Server {
    pub(super) fn on_flow(&mut self, now: Time, flow: FlowId, event: FlowEvent) {
        let Some(conn) = self.conn_of(flow) else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(open) = &mut c.open else { return };
        let Some(f) = open.flow.as_mut().filter(|f| f.id == flow) else {
            return;
        };
        match event {
            FlowEvent::Held(totals) => {
                f.phase = Phase::Held;
                f.totals = totals;
            }
            FlowEvent::Ended(end, totals) => {
                f.phase = Phase::Ended;
                f.totals = totals;
                let on_connection = f.on_connection;
                // Of datagrams the last ones may still be asked for again, and are on their way: players
                // stop listening at EndOfStream.
                if on_connection {
                    open.ended = Some(end);
                    self.drop_flow(conn);
                } else if self.draining {
                    open.ended = Some(end);
                } else {
                    open.tail = Some(end);
                    self.timers.arm(Timer::Tail(conn), now + TAIL);
                }
            }
        }
        self.unpark(now, conn);
        self.pump(now, conn);
    }

    /// The last datagrams should have arrived.
    pub(super) fn on_tail(&mut self, now: Time, conn: ConnId) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        if let Some(end) = open.tail.take() {
            open.ended = Some(end);
            self.unpark(now, conn);
            self.pump(now, conn);
        }
    }

    /// The media of an entry has ended (MMSP-88).
    pub(super) fn advance(&mut self, now: Time, conn: ConnId, end: FlowEnd) {
        let Some(open) = self.conns.get(&conn).and_then(|c| c.open.as_ref()) else {
            return;
        };
        let goes_on = open.rate_milli > 0 && !open.limited && self.tells_of_entries();
        let content = open.content.id;
        match end {
            FlowEnd::SourceLost | FlowEnd::Lagged => {
                self.end_of_stream(now, conn, hresult::NS_E_POINT_STOPPED);
            }
            FlowEnd::Finished if goes_on => {
                let ticket = self.ask(conn, Question::NextEntry(content));
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.job = Some(Job::Next(ticket));
                }
            }
            FlowEnd::Finished => self.end_of_stream(now, conn, hresult::S_OK),
        }
    }

    /// Servers before 9.0 knew no EndOfStream that is not the last; clients go by our version (mmsp.md
    /// 2.12).
    fn tells_of_entries(&self) -> bool {
        Version::parse(&self.config.version).is_none_or(|v| v.major >= 9)
    }

    /// Media is over.
    pub(super) fn end_of_stream(&mut self, now: Time, conn: ConnId, hr: u32) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.state = State::Ready;
        let Some(open) = &mut c.open else { return };
        open.change = Change::None;
        open.ended = None;
        open.tail = None;
        let play_incarnation = open.play_incarnation;
        let end = ToClient::ReportEndOfStream {
            hr,
            play_incarnation,
        };
        self.release_ffmpeg(conn);
        self.say(now, conn, &end);
        if self.draining {
            return self.close(conn, CloseHow::Flush, None);
        }
        self.arm_idle(now, conn);
    }

    /// FFmpeg takes neither EndOfStream nor the end of the connection for an end: after the one it
    /// waits for more for ever, after the other it spins. What ends it is Data that is longer than
    /// the file's packets, which it refuses to read, once for each time that it tries. It has everything
    /// by then.
    ///
    /// A file ends it so: its demultiplexer knows from the header how many packets there are. In a
    /// broadcast it does not, and FFmpeg has no end to be told: its reader of MMS returns 0 for every
    /// fault, which its input layer takes for "nothing yet". Only Data that is too long is a real error,
    /// once, and what follows in it is read as media. It then spins until it is stopped by hand.
    pub(super) fn release_ffmpeg(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Some(open) = c.open.as_ref().filter(|_| c.is_ffmpeg) else {
            return;
        };
        if c.datagrams_to().is_some() {
            return;
        }
        let length = (open.content.packet_size as usize + 1).min(DATA_PAYLOAD_MAX_TCP);
        let head = DataHead::of(u32::MAX, open.play_incarnation as u8, 0, length);
        let mut bytes = head.bytes().to_vec();
        bytes.resize(DataHead::LEN + length, 0);
        let bytes = Bytes::from(bytes.repeat(FFMPEG_TRIES));
        self.out.push_back(Output::Send { conn, bytes });
    }

    /// There is a next entry (MMSP-89).
    pub(super) fn change_to(&mut self, now: Time, conn: ConnId, content: Box<Content>) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if !c.can_carry(&content) {
            self.out.push_back(Output::Release {
                content: content.id,
            });
            return self.end_of_stream(now, conn, hresult::E_FAIL);
        }
        self.drop_flow(conn);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let over_udp = c.datagrams_to().is_some();
        let Some(open) = &mut c.open else { return };
        let change = ToClient::ReportStreamChange {
            packet_size: content.packet_size,
            header_size: u32::try_from(content.header.len()).unwrap_or(u32::MAX),
            bit_rate: bit_rate(&content.streams),
        };
        let end = ToClient::ReportEndOfStream {
            hr: hresult::MORE,
            play_incarnation: open.play_incarnation,
        };
        // Until the client says what it wants (BW-56).
        open.selection = entry::predict(
            &open.content.streams,
            open.selection,
            &content.streams,
            open.link_bw,
        );
        open.header = None;
        let old = std::mem::replace(&mut open.content, content);
        self.out.push_back(Output::Release { content: old.id });
        if over_udp {
            open.change = Change::None;
            c.state = State::Ready;
        } else {
            open.change = Change::Header;
        }
        self.say(now, conn, &end);
        self.say(now, conn, &change);
        self.arm_idle(now, conn);
        if !over_udp {
            self.send_header(now, conn, incarnation::ENTRY);
        }
    }

    /// The client has had its time to start the entry (MMSP-90).
    pub(super) fn on_entry_due(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Some(open) = &c.open else { return };
        if c.job.is_some() || c.state != State::Streaming || open.change != Change::Waiting {
            return;
        }
        if open.header.is_some() {
            return self.timers.arm(Timer::Entry(conn), now + ENTRY_WAIT);
        }
        let request = CueRequest {
            content: open.content.id,
            start: Start::Beginning,
            selection: open.selection,
            accel: None,
            speed_milli: None,
            profile: false,
            rate_milli: 1000,
        };
        let ticket = self.ask(conn, Question::Cue(request));
        if let Some(c) = self.conns.get_mut(&conn) {
            c.job = Some(Job::EntryCue(ticket));
        }
    }
}
