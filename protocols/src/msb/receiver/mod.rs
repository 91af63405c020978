//! The receiver of a group: joins, waits, plays what comes, logs (MS-MSB 3.2; msb-nsc.md 7).
//!
//! One [`Receiver`] is one session. It joins its group when it is polled for the first time; what it gives
//! then are the header of each entry and its packets in order, rebuilt where that is possible, without
//! the group's error-correction data, and each with a length of its own.

mod config;
mod cycles;
mod length;
mod log;
mod order;
mod report;

pub use config::{OPEN_TIMEOUT, ReceiverConfig};
pub use order::Tally;

use self::log::{Came, LogPost};
use self::order::{Order, Ordered};
use super::packet::{self, Datagram, MsbPacket, StreamId, classify};
use crate::asf;
use crate::client::{Counters, Transfer};
use crate::machine::{Channel, Fault, Input, Machine, Output, Time};
use crate::media::{Ingest, IngestEvent, News};
use crate::timers::Timers;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// The only socket.
const CHANNEL: Channel = Channel(0);

/// Code of the end of a stream that nobody announced: there is nobody who could.
const END: u32 = 0;

/// What came beside the packets of [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverCounts {
    /// Signs of life.
    pub beacons: u64,
    /// Datagrams that are not MSB's, or from elsewhere.
    pub foreign: u64,
    /// Packets of headers that the station file does not have.
    pub unknown_format: u64,
    /// Packets that are not ASF.
    pub damaged: u64,
    /// Entries that began.
    pub entries: u64,
    /// Data and parity packets.
    pub packets: Tally,
}

/// A receiver's session.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    state: State,
    timers: Timers<Timer>,
    order: Order,
    /// What is received now.
    entry: Option<Entry>,
    /// Headers by Format ID, as far as packets of them came.
    headers: Vec<(u16, Option<Box<asf::Header>>)>,
    log: Option<LogPost>,
    counts: ReceiverCounts,
    out: VecDeque<Output>,
}

/// States of msb-nsc.md 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Opening,
    Ready,
    Receiving,
    /// Only logs are still to be submitted.
    Closing,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// No sign of a sender.
    Open,
    /// Beacons only.
    Ready,
    /// No packets any more.
    EndOfStream,
    /// All of the entry must have come.
    PlayDuration,
    /// A missing packet is given up.
    Gap,
    /// The log's resource is too slow.
    Log,
}

/// What plays.
#[derive(Debug)]
struct Entry {
    stream: StreamId,
    packet_size: u32,
    counters: Counters,
    /// What came of it, in its order.
    came: Tally,
    /// Packets that were lost before it began.
    lost_before: u64,
}

impl Receiver {
    /// Make a session; it joins when it is polled.
    pub fn new(mut config: ReceiverConfig) -> Receiver {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        crate::wmlog::client::identify(&mut rng, &mut config.player);
        let user_agent = config.player.user_agent.clone();
        let log_url = config.station.log_url.as_deref();
        let log = log_url.filter(|_| config.send_log);
        Receiver {
            log: log.and_then(|url| LogPost::new(url, &user_agent)),
            config,
            state: State::New,
            timers: Timers::default(),
            order: Order::default(),
            entry: None,
            headers: Vec::new(),
            counts: ReceiverCounts::default(),
            out: VecDeque::new(),
        }
    }

    /// End the session: what plays is over, and logged.
    // MSB-63
    pub fn finish(&mut self, now: Time) {
        if self.state == State::Receiving {
            self.order.end();
            self.deliver(now);
            self.log_entry(now);
        }
        self.close(now);
    }

    /// True when nothing more will come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How media came.
    pub fn transfer(&self) -> Transfer {
        let tally = self.order.tally();
        Transfer {
            udp: true,
            received: tally.received,
            corrected: tally.repaired,
            duplicates: tally.duplicates,
            lost: tally.lost,
            ..Transfer::default()
        }
    }

    /// What came.
    pub fn counts(&self) -> ReceiverCounts {
        ReceiverCounts {
            packets: self.order.tally(),
            ..self.counts
        }
    }

    fn give(&mut self, event: IngestEvent) {
        self.out.push_back(Output::Ingest(Ingest {
            session: self.config.session,
            event,
        }));
    }

    fn arm(&mut self, timer: Timer, now: Time, after: Option<Duration>) {
        match after {
            Some(after) => self.timers.arm(timer, now + after),
            None => self.timers.disarm(timer),
        }
    }

    // MSB-48, MSB-50
    fn join(&mut self, now: Time) {
        self.state = State::Opening;
        self.out.push_back(Output::Join {
            channel: CHANNEL,
            group: self.config.station.group,
        });
        let (least, most) = (*OPEN_TIMEOUT.start(), *OPEN_TIMEOUT.end());
        let after = self.config.open_timeout.map(|t| t.clamp(least, most));
        self.arm(Timer::Open, now, after);
    }

    /// Leave the group; what is to be logged is logged first.
    fn close(&mut self, now: Time) {
        for timer in [
            Timer::Open,
            Timer::Ready,
            Timer::EndOfStream,
            Timer::PlayDuration,
            Timer::Gap,
        ] {
            self.timers.disarm(timer);
        }
        self.state = State::Closing;
        self.watch_log(now);
    }

    /// Done when the last log is through.
    fn watch_log(&mut self, now: Time) {
        let is_idle = self.log.as_ref().is_none_or(LogPost::is_idle);
        if is_idle {
            self.timers.disarm(Timer::Log);
        } else if !self.timers.is_armed(Timer::Log) {
            self.arm(Timer::Log, now, Some(self.config.reply_timeout));
        }
        if is_idle && self.state == State::Closing {
            self.state = State::Done;
        }
    }
}

// What comes from the group

impl Receiver {
    // MSB-51, MSB-65
    fn datagram(&mut self, now: Time, sender: IpAddr, bytes: &[u8]) {
        let adapter = self.config.station.adapter;
        let expected = adapter.filter(|_| self.config.filters_source);
        if expected.is_some_and(|ip| ip != sender.to_canonical()) {
            self.counts.foreign += 1;
            return;
        }
        match classify(bytes) {
            Ok(Datagram::Beacon) => self.beacon(now),
            Ok(Datagram::Packet(packet)) => self.packet(now, packet),
            Ok(Datagram::Msbd) | Err(_) => self.counts.foreign += 1,
        }
    }

    fn beacon(&mut self, now: Time) {
        self.counts.beacons += 1;
        // MSB-50
        if self.state == State::Opening {
            self.timers.disarm(Timer::Open);
            self.state = State::Ready;
            self.arm(Timer::Ready, now, self.config.ready_timeout);
        }
    }

    fn packet(&mut self, now: Time, packet: MsbPacket<'_>) {
        // MSB-52, MSB-54
        let Some(packet_size) = self.packet_size(packet.stream.format()) else {
            self.counts.unknown_format += 1;
            return;
        };
        // MSB-53
        self.timers.disarm(Timer::Open);
        self.timers.disarm(Timer::Ready);
        self.arm(Timer::EndOfStream, now, self.config.stream_timeout);
        self.state = State::Receiving;
        self.order.push(now, packet, packet_size);
        self.deliver(now);
    }

    /// The packet size of a format; `None` if the station has none of that id, or not a sound one.
    fn packet_size(&mut self, format: u16) -> Option<u32> {
        self.header(format).map(asf::Header::packet_size)
    }

    fn header(&mut self, format: u16) -> Option<&asf::Header> {
        let at = match self.headers.iter().position(|(id, _)| *id == format) {
            Some(at) => at,
            None => {
                let blob = self.config.station.header(format)?;
                let header = asf::Header::parse(blob).ok().map(Box::new);
                self.headers.push((format, header));
                self.headers.len() - 1
            }
        };
        self.headers.get(at)?.1.as_deref()
    }

    /// Give what is in order.
    fn deliver(&mut self, now: Time) {
        while let Some(ordered) = self.order.pop(now) {
            self.begin_entry_of(now, ordered.stream);
            self.give_packet(now, &ordered);
        }
        match self.order.deadline() {
            Some(at) => self.timers.arm(Timer::Gap, at),
            None => self.timers.disarm(Timer::Gap),
        }
    }

    // MSB-64
    fn begin_entry_of(&mut self, now: Time, stream: StreamId) {
        if self.entry.as_ref().is_some_and(|e| e.stream == stream) {
            return;
        }
        if self.entry.is_some() {
            self.log_entry(now);
            self.give(IngestEvent::EntryEnd);
        }
        let format = stream.format();
        let (Some(packet_size), Some(blob)) = (
            self.packet_size(format),
            self.config.station.header(format).cloned(),
        ) else {
            return;
        };
        let header = self.header(format).map(asf::Header::file_properties);
        // MSB-58: in units of 100 ns.
        let duration = header.map_or(0, |p| p.play_duration) / 10;
        let uses = self.config.uses_play_duration && duration > 0;
        let after = uses.then(|| Duration::from_micros(duration));
        self.arm(Timer::PlayDuration, now, after);
        self.counts.entries += 1;
        self.entry = Some(Entry {
            stream,
            packet_size,
            counters: Counters::default(),
            came: Tally::default(),
            lost_before: self.order.tally().lost,
        });
        self.give(IngestEvent::Header(blob));
    }

    // MSB-67, MSB-68, MSB-71
    fn give_packet(&mut self, now: Time, ordered: &Ordered) {
        let Some(entry) = &mut self.entry else {
            return;
        };
        let came = &mut entry.came;
        came.repaired += u64::from(ordered.rebuilt);
        came.received += u64::from(!ordered.rebuilt);
        if !ordered.rebuilt {
            came.bytes += ordered.asf.len() as u64;
        }
        let mut plain = ordered.asf.to_vec();
        packet::clear_correction(&mut plain);
        let mut out = Vec::with_capacity(plain.len() + 2);
        let parsed = asf::Packet::parse(&plain, entry.packet_size);
        let send_time = match parsed.and_then(|p| {
            asf::trim::trim(&plain, entry.packet_size, &mut out)?;
            Ok(p.send_time())
        }) {
            Ok(send_time) => send_time,
            Err(_) => {
                self.counts.damaged += 1;
                return;
            }
        };
        entry.counters.packet(now, out.len(), Some(send_time));
        let (number, bytes) = (ordered.id, Bytes::from(out));
        self.give(IngestEvent::Packet { number, bytes });
    }
}

// How it ends

impl Receiver {
    /// The stream is over.
    // MSB-57
    fn end_stream(&mut self, now: Time) {
        self.order.end();
        self.deliver(now);
        self.log_entry(now);
        self.give(IngestEvent::End(END));
        self.timers.disarm(Timer::EndOfStream);
        self.timers.disarm(Timer::PlayDuration);
        if self.config.stay {
            self.state = State::Ready;
            self.arm(Timer::Ready, now, self.config.ready_timeout);
        } else {
            self.close(now);
        }
    }

    /// Nobody sends.
    // MSB-61, MSB-62
    fn nobody(&mut self, now: Time) {
        match self.config.station.unicast_url.clone() {
            Some(url) => self.give(IngestEvent::News(Box::new(News::Redirected(url)))),
            None => {
                let group = self.config.station.group;
                self.give(IngestEvent::Failed(Fault {
                    offset: 0,
                    reason: format!("network time-out: nothing is sent to {group}"),
                }));
            }
        }
        self.close(now);
    }

    /// Submit what is to be said of the entry that is over.
    // MSB-60, MSB-63, MSB-64
    fn log_entry(&mut self, now: Time) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        if entry.counters.packets == 0 || self.log.is_none() {
            return;
        }
        let all = self.order.tally();
        let lost = all.lost - entry.lost_before;
        let lost_before_repair = lost + entry.came.repaired;
        let tally = Tally {
            lost,
            lost_before_repair,
            lost_in_a_row: all.lost_in_a_row.min(lost_before_repair),
            ..entry.came
        };
        let format = entry.stream.format();
        let header = self.headers.iter().find(|(id, _)| *id == format);
        let header = header.and_then(|(_, header)| header.as_deref());
        let record = report::record(&self.config, &entry.counters, &tally, header, now);
        if let Some(log) = &mut self.log {
            log.push(record, &mut self.out);
        }
        self.watch_log(now);
    }

    fn timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Open | Timer::Ready => self.nobody(now),
            Timer::EndOfStream | Timer::PlayDuration => self.end_stream(now),
            Timer::Gap => self.deliver(now),
            Timer::Log => {
                if let Some(log) = &mut self.log {
                    log.give_up(&mut self.out);
                }
                self.watch_log(now);
            }
        }
    }
}

impl Machine for Receiver {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        // A driver that is busy with datagrams may not come to say that a time is over.
        while let Some(timer) = self.timers.pop(now) {
            self.timer(now, timer);
        }
        let is_over = matches!(self.state, State::Closing | State::Done);
        let came = match (input, &mut self.log) {
            (
                Input::Datagram {
                    channel,
                    peer,
                    bytes,
                },
                _,
            ) => {
                if channel == CHANNEL && !is_over && self.state != State::New {
                    self.datagram(now, peer.ip(), bytes);
                }
                return;
            }
            (Input::Opened { conn, .. }, Some(log)) => {
                log.opened(conn, &mut self.out);
                return;
            }
            (Input::Data { conn, bytes }, Some(log)) => log.data(conn, bytes, &mut self.out),
            (Input::Closed { conn }, Some(log)) => log.closed(conn, &mut self.out),
            _ => return,
        };
        if came == Came::Sent {
            self.give(IngestEvent::LogSent);
        }
        self.watch_log(now);
    }

    fn poll(&mut self, now: Time) -> Output {
        if self.state == State::New {
            self.join(now);
        }
        let waiting = self.out.pop_front();
        waiting.unwrap_or_else(|| Output::Idle(self.timers.next()))
    }
}
