//! What is sent (MS-MMSP 3.1.4).

use super::link::Due;
use super::report;
use super::{CHANNEL, Client, State, V9};
use crate::content::{Level, Selection, Start, StreamSwitch};
use crate::machine::{CloseHow, Output, Time};
use crate::media::{IngestEvent, News};
use crate::mmsp::message::{Position, ResendRequest, StartPlaying, SwitchEntry, ToServer};
use crate::mmsp::wire;
use bytes::Bytes;

/// No stream, in a StreamSwitch; no place, in a position.
const NONE_16: u16 = 0xFFFF;
const NONE_32: u32 = 0xFFFF_FFFF;
/// frameOffset counts from the start point.
const RELATIVE: u32 = 0x8000_0000;
/// From here on frameOffset means no limit to servers (mmsp.md 2.4).
const FRAME_OFFSET_MAX: u32 = 0x00FF_FFFE;

impl Client {
    /// Write one message in a packet of its own (MMSP-08).
    pub(super) fn send(&mut self, now: Time, message: &ToServer) {
        let Some(link) = self.link.as_mut().filter(|l| l.opened()) else {
            return;
        };
        let first = *link.first_sent.get_or_insert(now);
        let bytes = wire::packet(message, link.seq, now.since(first).as_millis() as u64);
        link.seq = link.seq.wrapping_add(1);
        let (conn, bytes) = (link.conn, Bytes::from(bytes));
        self.out.push_back(Output::Send { conn, bytes });
    }

    /// The same, and an answer is due.
    pub(super) fn request(&mut self, now: Time, message: &ToServer, due: Due) {
        self.send(now, message);
        if let Some(link) = &mut self.link {
            link.due.push_back(due);
            link.since = now;
        }
    }

    pub(super) fn send_read_block(&mut self, now: Time) {
        self.gathering = Default::default();
        let message = ToServer::ReadBlock {
            open_file_id: self.file.open_file_id,
            play_incarnation: self.incarnations.next_header(),
        };
        self.request(now, &message, Due::ReadBlock);
        if self.udp {
            self.start_header_timer(now);
        } else if let Some(link) = &mut self.link {
            link.due.push_back(Due::Header);
        }
    }

    /// Play from there, or gather the header first if another entry is served by now.
    pub(super) fn start(&mut self, now: Time, start: Start) {
        self.position = start;
        self.next_play = None;
        if self.header_due {
            self.state = State::Describing;
            self.config.autoplay = true;
            return self.send_read_block(now);
        }
        self.state = State::Starting;
        self.keep_tally();
        self.counters = Default::default();
        self.last_packet = None;
        self.reorder.begin(self.config.rate_milli < 0);
        // MMSP-69
        let entries = self.full_list(self.selection);
        if !entries.is_empty() {
            self.request(now, &ToServer::StreamSwitch { entries }, Due::StreamSwitch);
        }
        let play_incarnation = self.incarnations.next_play();
        if self.config.rate_milli != 1000 {
            let message = ToServer::StartStriding {
                open_file_id: self.file.open_file_id,
                position: position(start),
                play_incarnation,
                rate: f64::from(self.config.rate_milli) / 1000.0,
            };
            return self.request(now, &message, Due::Stride);
        }
        // MMSP-78, BW-35
        let accel = self.config.accel.filter(|_| self.server.version >= V9);
        let accel = accel.map(|a| (a.bits_per_second, a.duration_ms));
        let message = ToServer::StartPlaying(StartPlaying {
            open_file_id: self.file.open_file_id,
            position: position(start),
            frame_offset: frame_offset(self.config.max_duration),
            play_incarnation,
            accel,
            link_bandwidth: self.link_bw().filter(|_| accel.is_some()),
        });
        self.request(now, &message, Due::Start);
    }

    /// Changes while streaming (MMSP-69).
    pub(super) fn send_switches(&mut self, now: Time, switches: &[StreamSwitch]) {
        let entries: Vec<_> = switches.iter().filter_map(change).collect();
        if !entries.is_empty() {
            self.request(now, &ToServer::StreamSwitch { entries }, Due::StreamSwitch);
        }
    }

    // MMSP-93
    pub(super) fn stop_media(&mut self, now: Time) {
        if self.drain.is_some() {
            self.drained(now);
        }
        match self.state {
            State::Starting
            | State::Streaming
            | State::EntryEnded
            | State::Changing
            | State::Waiting => {}
            _ => return,
        }
        self.state = State::Stopping;
        self.header_timer = None;
        if let Some(link) = &mut self.link {
            link.settle(Due::Header);
        }
        let message = ToServer::StopPlaying {
            open_file_id: self.file.open_file_id,
            play_incarnation: self.incarnations.play,
        };
        self.request(now, &message, Due::Stop);
        self.send_log(now);
        self.keep_tally();
        self.reorder.abandon();
    }

    /// Submit what is to be said of what was played (MMSP-94). There is no reply to it.
    pub(super) fn send_log(&mut self, now: Time) {
        let due = std::mem::take(&mut self.log_due);
        if !due || !self.config.send_log {
            return;
        }
        let log = report::log(self, now);
        self.send(now, &ToServer::Logging(log));
        self.report(IngestEvent::LogSent);
    }

    /// Ask for datagrams again; each list of Sequences is one request (MMSP-100).
    pub(super) fn send_resend_requests(&mut self, requests: Vec<Vec<u32>>) {
        let Some(link) = &self.link else { return };
        let Some((peer, _)) = link.ends else { return };
        for sequences in requests {
            let request = ResendRequest {
                client_id: self.server.client_id,
                source_id: self.file.open_file_id as u16,
                sequences,
            };
            self.out.push_back(Output::SendTo {
                conn: link.conn,
                channel: CHANNEL,
                peer,
                bytes: request.bytes().into(),
            });
        }
    }

    /// Leave, if that is wanted and nothing plays (MMSP-107).
    pub(super) fn close_if_done(&mut self, now: Time) {
        let plays = matches!(self.state, State::Stopping | State::Done);
        if !self.finishing || plays || self.drain.is_some() {
            return;
        }
        if self.file.open_file_id != 0 {
            let open_file_id = self.file.open_file_id;
            self.send(now, &ToServer::CloseFile { open_file_id });
        }
        self.close(CloseHow::Flush);
        self.state = State::Done;
    }

    /// Sending was stopped on request.
    pub(super) fn stopped(&mut self, now: Time) {
        self.state = State::Stopped;
        self.begun_by_server = false;
        self.news(News::Stopped);
        if let Some(start) = self.next_play.take() {
            self.start(now, start);
        }
        self.close_if_done(now);
    }

    pub(super) fn link_bw(&self) -> Option<u32> {
        let measured = self.pair_bps;
        let measured = measured.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        self.config.link_bw.or(measured)
    }

    /// Every stream, on or off.
    fn full_list(&self, selection: Selection) -> Vec<SwitchEntry> {
        let streams = self.header.as_ref().map(|h| h.streams());
        let streams = streams.unwrap_or_default();
        let entry = |number: u8| set(number, selection.level(number));
        streams.iter().map(|s| entry(s.number)).collect()
    }
}

/// One stream, whatever it was before. Off is said so that also those understand it who ignore the
/// thinning of a stream that replaces none.
fn set(number: u8, level: Level) -> SwitchEntry {
    let number = u16::from(number);
    let (src, dst) = match level {
        Level::Off => (number, NONE_16),
        _ => (NONE_16, number),
    };
    let thinning = match level {
        Level::KeyOnly => 1,
        _ => 0,
    };
    SwitchEntry { src, dst, thinning }
}

fn change(switch: &StreamSwitch) -> Option<SwitchEntry> {
    match (switch.from, switch.to) {
        (None, None) => None,
        (None, Some(to)) => Some(set(to, switch.level)),
        (Some(from), None) => Some(set(from, Level::Off)),
        (Some(from), Some(to)) => Some(SwitchEntry {
            src: from.into(),
            dst: to.into(),
            thinning: match switch.level {
                Level::Whole => 0,
                Level::KeyOnly => 1,
                Level::Off => 2,
            },
        }),
    }
}

/// A packet or byte of 0 is the beginning, since 0 says that the field is not used.
fn position(start: Start) -> Position {
    let mut position = Position {
        seconds: 0.0,
        asf_offset: NONE_32,
        location_id: NONE_32,
    };
    match start {
        Start::Beginning | Start::Packet(0) | Start::Byte(0) => {}
        Start::Time(ms) => position.seconds = f64::from(ms) / 1000.0,
        Start::Packet(number) => {
            position.seconds = f64::MAX;
            position.location_id = number;
        }
        Start::Byte(offset) => {
            position.seconds = f64::MAX;
            position.asf_offset = u32::try_from(offset).unwrap_or(NONE_32 - 1);
        }
    }
    position
}

fn frame_offset(max_duration: Option<u32>) -> u32 {
    match max_duration {
        None | Some(FRAME_OFFSET_MAX..) => 0,
        Some(ms) => RELATIVE | ms,
    }
}
