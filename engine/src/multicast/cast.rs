//! A live stream's sender to one group.

use super::announcer::Announcer;
use super::line::Line;
use super::schedule::{Item, Schedule, Waiting};
use super::station::Listed;
use crate::ops::config::{MsbdConfig, MulticastConfig};
use crate::ops::metrics::{CastCounters, Metrics};
use crate::points::{Batch, LiveHead, Point, Tap};
use crate::rt::{GroupOptions, route_to_group};
use crossbeam::utils::CachePadded;
use protocols::asf;
use protocols::machine::Time;
use protocols::media::{Caster, PacketMeta};
use protocols::msb::fec::{Number, SpanError};
use protocols::msb::packet::unfragmented_len_max;
use protocols::msb::{Pacing, Sender, SenderConfig};
use protocols::msbd;
use protocols::nsc::FormatIds;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What leaves within this time leaves at once: each wake-up of a core costs as much as dozens of sends.
const GATHER: Duration = Duration::from_millis(2);

/// At the end what is due within this time leaves at once: no more, because it comes as a burst.
const FAREWELL: Duration = Duration::from_millis(200);

/// A packet that leaves later than this is counted as late.
const LATE: Duration = Duration::from_millis(20);

/// Silence after which a cycle that waits for its packets is closed, where no beacons say when.
const PAUSE: Duration = Duration::from_secs(5);

/// MSBMSGBASE, which stands before what is a packet of MSB otherwise (msb-nsc.md 2.2).
const MSBD_MORE_OVERHEAD: usize = 16;

/// See the module.
pub struct Cast {
    point: Arc<Point>,
    group: GroupOptions,
    speaker: Speaker,
    line: Line,
    counters: Arc<CachePadded<CastCounters>>,
    schedule: Schedule,
    pacing: Pacing,
    /// No packet of the entry has been sent yet.
    fresh: bool,
    /// The entry that is sent.
    head: Option<Arc<LiveHead>>,
    beacon_interval: Duration,
    /// When silence has lasted so long that something should be said.
    beacon_at: Time,
    /// Silence has lasted so long.
    silent: bool,
    announcer: Option<Announcer>,
    /// Station files name the address that datagrams come from.
    tells_adapter: bool,
    /// Largest ASF packet that no network cuts, as far as the first interface knows.
    unfragmented_max: Option<usize>,
    /// Packet size that was complained about.
    warned_of: u32,
    scratch: Vec<u8>,
}

/// The protocols that groups are sent to by.
enum Speaker {
    Msb(Box<Sender>),
    Msbd(msbd::caster::Caster),
}

impl Speaker {
    fn caster(&mut self) -> &mut dyn Caster {
        match self {
            Speaker::Msb(sender) => &mut **sender,
            Speaker::Msbd(caster) => caster,
        }
    }

    /// Bytes around a packet beyond those of MSB.
    fn more_overhead(&self) -> usize {
        match self {
            Speaker::Msb(_) => 0,
            Speaker::Msbd(_) => MSBD_MORE_OVERHEAD,
        }
    }

    /// True if each turn of a looped file is an entry (msb-nsc.md 2.3).
    fn is_turned(&self) -> bool {
        matches!(self, Speaker::Msb(_))
    }
}

/// The senders that a point is configured to have.
pub fn casts_of(point: &Arc<Point>, metrics: &Metrics, host: &str, now: Time) -> Vec<Box<dyn Tap>> {
    let mut casts: Vec<Box<dyn Tap>> = Vec::new();
    if let Some(config) = &point.config.multicast {
        match Cast::msb(point, config, metrics, host, now) {
            Ok(cast) => casts.push(Box::new(cast)),
            // The configuration was checked: this is about another limit than the one checked there.
            Err(error) => tracing::error!(point = point.config.name, %error, "no multicast"),
        }
    }
    if let Some(cast) = point.config.msbd.as_ref().and_then(|config| {
        let group = config.group?;
        Some(Cast::msbd(point, config, group, metrics, now))
    }) {
        casts.push(Box::new(cast));
    }
    casts
}

impl Cast {
    /// By MSB. The first beacon leaves at once. `host` is the server's name for those who hear of the group
    /// by an announcement.
    ///
    /// # Errors
    /// If the span of error correction is not possible.
    pub fn msb(
        point: &Arc<Point>,
        config: &MulticastConfig,
        metrics: &Metrics,
        host: &str,
        now: Time,
    ) -> Result<Cast, SpanError> {
        let sender = Sender::new(SenderConfig {
            fec_span: Some(config.fec_span).filter(|span| *span > 0),
            number: match config.fec_constant_number {
                true => Number::Constant,
                false => Number::Sequence,
            },
            formats: match config.stable_format_ids {
                true => FormatIds::stable(),
                false => FormatIds::new(),
            },
            // MSB-04, MSB-33
            first_packet_id: 0,
            first_cycle: 0,
        })?;
        let group = GroupOptions {
            group: config.group,
            ttl: config.ttl,
            interface: config.interface,
            loopback: config.loopback,
        };
        let speaker = Speaker::Msb(Box::new(sender));
        let mut cast = Cast::new(point, group, speaker, metrics, now);
        cast.beacon_interval = config.beacon.get();
        cast.tells_adapter = config.publish_interface;
        if config.sap {
            let name = &point.config.name;
            let announcer = Announcer::new(name, &cast.group, host, &cast.counters, now);
            cast.announcer = Some(announcer);
        }
        Ok(cast)
    }

    /// By MSBD: for servers whose connections tell them of the group.
    // MSBD-39
    pub fn msbd(
        point: &Arc<Point>,
        config: &MsbdConfig,
        group: SocketAddr,
        metrics: &Metrics,
        now: Time,
    ) -> Cast {
        let group = GroupOptions {
            group,
            ttl: config.ttl,
            interface: config.interface,
            loopback: config.loopback,
        };
        let speaker = Speaker::Msbd(msbd::caster::Caster::new());
        Cast::new(point, group, speaker, metrics, now)
    }

    fn new(
        point: &Arc<Point>,
        group: GroupOptions,
        speaker: Speaker,
        metrics: &Metrics,
        now: Time,
    ) -> Cast {
        let name = &point.config.name;
        let protocol = match &speaker {
            Speaker::Msb(_) => "msb",
            Speaker::Msbd(_) => "msbd",
        };
        let counters = metrics.cast(name, protocol);
        Cast {
            line: Line::open(name, group, Arc::clone(&counters), now),
            point: Arc::clone(point),
            group,
            speaker,
            counters,
            schedule: Schedule::new(now),
            pacing: Pacing::new(0),
            fresh: true,
            head: None,
            beacon_interval: PAUSE,
            // MSB-38
            beacon_at: now,
            silent: true,
            announcer: None,
            tells_adapter: false,
            unfragmented_max: None,
            warned_of: 0,
            scratch: Vec::new(),
        }
    }

    /// A header that is sent or may be: station files list it before its first packet leaves.
    // MSB-37, NSC-29, NSC-30
    fn list(&mut self, head: &LiveHead, now: Time) {
        let Speaker::Msb(sender) = &mut self.speaker else {
            return;
        };
        let before = sender.formats().revision();
        sender.expect(&head.blob);
        if sender.formats().revision() == before {
            return;
        }
        let formats = sender.formats().clone();
        let adapter = self.tells_adapter.then(|| source_of(&self.group)).flatten();
        self.point.station.publish(Listed { formats, adapter });
        if let Some(announcer) = &mut self.announcer {
            announcer.hurry(now);
        }
    }

    /// Receivers lose a whole packet with each piece of it.
    fn mind_size(&mut self, packet_size: u32) {
        if self.unfragmented_max.is_none() {
            self.unfragmented_max = route_to_group(&self.group).ok().map(|route| {
                let mtu = u16::try_from(route.mtu).unwrap_or(u16::MAX);
                let max = unfragmented_len_max(mtu, self.group.group.is_ipv6());
                max.saturating_sub(self.speaker.more_overhead())
            });
        }
        let Some(max) = self.unfragmented_max else {
            return;
        };
        if packet_size as usize > max && packet_size != self.warned_of {
            self.warned_of = packet_size;
            tracing::warn!(
                point = self.point.config.name,
                packet_size,
                max,
                "its packets are cut into pieces on the way to the group; encode with smaller packets"
            );
        }
    }

    fn enter(&mut self, head: &Arc<LiveHead>, now: Time) {
        self.pacing.rebase(head.header.max_bit_rate());
        self.fresh = true;
        self.head = Some(Arc::clone(head));
        self.speak_entry(now);
    }

    // MSB-09, MSB-41
    fn speak_entry(&mut self, now: Time) {
        let Some(head) = &self.head else { return };
        let line = &mut self.line;
        let entry = head.generation;
        let sink = &mut |datagram: &[u8]| line.send(datagram, now);
        self.speaker.caster().entry(entry, &head.blob, sink);
        self.counters.entries.inc();
        self.count_parity();
    }

    fn send(&mut self, waiting: &Waiting, now: Time) {
        // A turn in what was left out of an entry's past is none for those who get the rest.
        let began = std::mem::take(&mut self.fresh);
        if waiting.turn && !began && self.speaker.is_turned() {
            self.speak_entry(now);
        }
        let (Some(head), Some((packet, bytes))) = (&self.head, waiting.packet()) else {
            return;
        };
        let caster = self.speaker.caster();
        let packet_size = head.header.packet_size();
        self.scratch.clear();
        // MSB-13, MSB-14, MSB-71
        let fitted = match caster.keeps_padding() {
            true => asf::trim::pad(bytes, packet_size, &mut self.scratch),
            false => asf::trim::trim(bytes, packet_size, &mut self.scratch),
        };
        if fitted.is_err() {
            self.counters.dropped.inc();
            return;
        }
        let meta = PacketMeta {
            number: packet.number,
            send_time: packet.send_time,
            duration: packet.duration,
            key: false,
            len: self.scratch.len() as u32,
        };
        let (line, mut sent) = (&mut self.line, 0);
        caster.packet(&meta, &self.scratch, &mut |datagram| {
            sent += datagram.len();
            line.send(datagram, now);
        });
        if sent == 0 {
            self.counters.dropped.inc();
            return;
        }
        self.pacing.sent(clock_of(waiting.due), sent as u32, now);
        let late = now.since(waiting.due);
        self.counters.packets.inc();
        self.counters.lateness.record(late.as_millis() as u32);
        if late > LATE {
            self.counters.late.inc();
        }
        self.count_parity();
        // MSB-42
        self.silent = false;
        self.beacon_at = now + self.beacon_interval;
    }

    /// Nothing comes for now.
    // MSB-43, MSB-44
    fn pause(&mut self, now: Time) {
        let line = &mut self.line;
        let sink = &mut |datagram: &[u8]| line.send(datagram, now);
        self.speaker.caster().pause(sink);
        self.count_parity();
    }

    fn count_parity(&self) {
        if let Speaker::Msb(sender) = &self.speaker {
            self.counters.parity.set(sender.counts().parity);
        }
    }

    /// Say that there is nothing to say. Returns when that should be said again.
    // MSB-36, MSB-45, MSB-46
    fn stay_alive(&mut self, now: Time) -> Time {
        if now >= self.beacon_at {
            if !std::mem::replace(&mut self.silent, true) {
                self.pause(now);
            }
            if let Some(beacon) = self.speaker.caster().beacon() {
                self.line.send(beacon, now);
                self.counters.beacons.inc();
            }
            self.beacon_at = now + self.beacon_interval;
        }
        self.beacon_at
    }
}

impl Tap for Cast {
    fn expect(&mut self, head: &Arc<LiveHead>, now: Time) {
        self.list(head, now);
    }

    fn begin(&mut self, head: &Arc<LiveHead>, now: Time) {
        self.list(head, now);
        self.mind_size(head.header.packet_size());
        self.schedule.begin(head, now);
    }

    fn take(&mut self, batch: &Arc<Batch>, now: Time) {
        let left_out = self.schedule.take(batch, now);
        self.counters.dropped.add(left_out);
    }

    fn end(&mut self, now: Time) {
        self.schedule.end(now);
    }

    fn close(&mut self, now: Time) {
        self.end(now);
        while let Some(item) = self.schedule.front() {
            if matches!(item, Item::Packet(waiting) if waiting.due > now + FAREWELL) {
                break;
            }
            self.send_next(now);
        }
    }

    fn tick(&mut self, now: Time) -> Option<Time> {
        let group = self.group;
        let announces = self
            .announcer
            .as_mut()
            .map(|announcer| announcer.tick(&self.point, || source_of(&group), now));
        let sends = self.send_due(now);
        Some(announces.map_or(sends, |at| at.min(sends)))
    }
}

impl Cast {
    /// Send what is due. Returns when something is due again.
    fn send_due(&mut self, now: Time) -> Time {
        while let Some(item) = self.schedule.front() {
            if let Item::Packet(waiting) = item {
                let due = self.pacing.due(clock_of(waiting.due), waiting.due);
                if due > now + GATHER {
                    return due.min(self.stay_alive(now));
                }
            }
            self.send_next(now);
        }
        self.stay_alive(now)
    }

    /// Send what is next, whatever its time.
    fn send_next(&mut self, now: Time) {
        match self.schedule.pop() {
            Some(Item::Entry(head)) => self.enter(&head, now),
            Some(Item::Packet(waiting)) => self.send(&waiting, now),
            Some(Item::Over) => {
                self.pause(now);
                self.silent = true;
                self.beacon_at = now;
            }
            None => {}
        }
    }
}

/// The address that datagrams come from.
// MSB-35, NSC-21
fn source_of(group: &GroupOptions) -> Option<IpAddr> {
    let routed = || Some(route_to_group(group).ok()?.source);
    group.interface.or_else(routed)
}

/// The last packet of all completes a cycle.
// MSB-44
impl Drop for Cast {
    fn drop(&mut self) {
        let now = crate::rt::now();
        self.pause(now);
        if let Some(announcer) = &mut self.announcer {
            announcer.take_back(now);
        }
    }
}

/// Our clock as send times, ms, for what paces by them.
fn clock_of(due: Time) -> u32 {
    due.millis() as u32
}
