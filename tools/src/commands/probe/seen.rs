//! What a probe saw, and how it is told.

use super::announcement;
use super::save::Saved;
use crate::commands::asf::kind_name;
use crate::output::{bit_rate, bytes, clock};
use protocols::asf::{Header, Packet};
use protocols::client::Transfer;
use protocols::machine::Time;
use protocols::media::{IngestEvent, News};
use protocols::msb::receiver::ReceiverCounts;
use protocols::rate::packet_pair::UNLIMITED;
use serde::Serialize;

/// Packets whose lateness is kept, for the percentiles.
const LATENESS_COUNT_MAX: usize = 1 << 20;

/// Gathers while media comes.
pub struct Seen {
    playback: Playback,
    /// Play rate, thousandths, other than 0.
    rate_milli: i64,
    packet_size: u32,
    preroll_ms: u32,
    /// Arrival and send time of the first packet of the entry.
    first: Option<(Time, u32)>,
    began: Option<Time>,
    last: Time,
    last_number: Option<u32>,
    lateness: Vec<i32>,
}

/// What is told.
#[derive(Debug, Default, Serialize)]
pub struct Playback {
    pub url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirected_to: Vec<String>,
    pub server: Option<String>,
    pub features: Option<String>,
    pub pipelined: bool,
    /// `TCP` or `UDP`.
    pub transport: Option<&'static str>,
    pub datagrams: Option<DatagramsSeen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast: Option<MulticastSeen>,
    /// Speed of the link, bit/s, as the packet pair measured it.
    pub packet_pair_bps: Option<u64>,
    pub granted: Option<Granted>,
    pub entries: Vec<Entry>,
    pub packets: u64,
    pub bytes: u64,
    /// Numbers that were left out between packets.
    pub gaps: u64,
    /// From the start of the probe, ms.
    pub first_packet_ms: Option<u64>,
    /// When as much content was there as a player gathers before it plays.
    pub preroll_full_ms: Option<u64>,
    /// Reception, first to last packet, ms.
    pub received_ms: u64,
    /// Content received, by send time, ms.
    pub content_ms: u64,
    pub bit_rate: u64,
    /// Packets that came too late for a player that began when its preroll was due.
    pub late_packets: u64,
    /// Arrival against the first packet's and the send times; negative: early.
    pub lateness_ms: Option<Lateness>,
    pub log_sent: bool,
    pub end: Option<End>,
    pub failed: Option<Failed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<String>,
    #[serde(skip)]
    pub announcement: Option<String>,
    /// Where to go on, as nobody sends to the group.
    #[serde(skip)]
    pub rolls_over: Option<String>,
    pub saved: Option<Saved>,
}

/// Datagrams of media.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatagramsSeen {
    /// Came without being asked for.
    pub received: u64,
    /// Never came.
    pub lost: u64,
    /// Came when they were asked for again.
    pub recovered: u64,
    /// Were made good from correction packets.
    pub corrected: u64,
    /// Came twice, or too late.
    pub duplicates: u64,
    pub resend_requests: u64,
    /// Were dropped here on purpose, those that are no media among them.
    pub dropped: u64,
}

/// A group, and its error correction.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MulticastSeen {
    pub beacons: u64,
    pub parity: u64,
    pub lost_before_repair: u64,
    pub repaired: u64,
    pub lost: u64,
    pub lost_in_a_row: u64,
    /// Packets of headers that the station file does not have.
    pub unknown_format: u64,
    /// Datagrams that are not of the protocol.
    pub foreign: u64,
    /// Packets that are no ASF.
    pub damaged: u64,
}

#[derive(Debug, Serialize)]
pub struct Granted {
    pub accel_bps: Option<u32>,
    pub accel_ms: Option<u32>,
    pub speed: Option<f64>,
    pub startup_profile: Option<String>,
}

/// One header that came.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub header_bytes: usize,
    pub packet_size: u32,
    pub preroll_ms: u32,
    pub duration_ms: Option<u64>,
    pub broadcast: bool,
    pub streams: Vec<StreamSeen>,
}

#[derive(Debug, Serialize)]
pub struct StreamSeen {
    pub number: u8,
    pub kind: &'static str,
    pub average_bit_rate: u32,
    pub payloads: u64,
    pub bytes: u64,
    pub key_objects: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lateness {
    pub p50: i32,
    pub p99: i32,
    pub max: i32,
}

#[derive(Debug, Serialize)]
pub struct End {
    pub code: u32,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    pub offset: u64,
    pub reason: String,
}

impl Seen {
    pub fn new(url: &str, rate_milli: i32) -> Seen {
        Seen {
            rate_milli: i64::from(rate_milli),
            playback: Playback {
                url: url.to_owned(),
                ..Playback::default()
            },
            packet_size: 0,
            preroll_ms: 0,
            first: None,
            began: None,
            last: Time::ZERO,
            last_number: None,
            lateness: Vec::new(),
        }
    }

    pub fn take(&mut self, now: Time, event: &IngestEvent) {
        if let Some(text) = announcement(event) {
            self.playback.announcement = Some(text.to_owned());
        }
        let p = &mut self.playback;
        match event {
            IngestEvent::Bandwidth(rate) => p.packet_pair_bps = Some(*rate),
            IngestEvent::Header(blob) => self.header(blob),
            IngestEvent::Packet { number, bytes } => self.packet(now, *number, bytes),
            IngestEvent::End(code) => p.end = Some(End { code: *code }),
            IngestEvent::Failed(fault) => {
                p.failed = Some(Failed {
                    offset: fault.offset,
                    reason: fault.reason.clone(),
                });
            }
            IngestEvent::LogSent => p.log_sent = true,
            IngestEvent::News(news) => self.news(news),
            IngestEvent::Metadata(_) | IngestEvent::EntryEnd => {}
        }
    }

    fn news(&mut self, news: &News) {
        let p = &mut self.playback;
        match news {
            News::Described { server, features } => {
                p.server = Some(server.clone());
                p.features = Some(features.clone());
            }
            News::Granted {
                accel,
                speed_milli,
                startup_profile,
            } => {
                p.granted = Some(Granted {
                    accel_bps: accel.map(|a| a.bits_per_second),
                    accel_ms: accel.map(|a| a.duration_ms),
                    speed: speed_milli.map(|s| f64::from(s) / 1000.0),
                    startup_profile: startup_profile.clone(),
                });
            }
            News::Redirected(url) => p.redirected_to.push(url.clone()),
            News::Challenged { challenges, .. } => p.challenges.clone_from(challenges),
            News::Pipelined(_) | News::Announcement(_) | News::Waiting | News::Stopped => {}
        }
    }

    fn header(&mut self, blob: &[u8]) {
        let Ok(header) = Header::parse(blob) else {
            return;
        };
        self.packet_size = header.packet_size();
        self.preroll_ms = header.preroll_ms();
        self.first = None;
        self.last_number = None;
        let stream = |s: protocols::content::StreamInfo| StreamSeen {
            number: s.number,
            kind: kind_name(s.kind),
            average_bit_rate: s.average_bit_rate,
            payloads: 0,
            bytes: 0,
            key_objects: 0,
        };
        self.playback.entries.push(Entry {
            header_bytes: blob.len(),
            packet_size: header.packet_size(),
            preroll_ms: header.preroll_ms(),
            duration_ms: header.play_duration_ms(),
            broadcast: header.is_broadcast(),
            streams: header.streams().into_iter().map(stream).collect(),
        });
    }

    fn packet(&mut self, now: Time, number: u32, bytes: &[u8]) {
        let p = &mut self.playback;
        p.packets += 1;
        p.bytes += bytes.len() as u64;
        p.first_packet_ms.get_or_insert(now.millis());
        self.began.get_or_insert(now);
        self.last = now;
        if let Some(last) = self.last_number.replace(number) {
            p.gaps += u64::from(number.wrapping_sub(last) != 1);
        }
        let Ok(packet) = Packet::parse(bytes, self.packet_size) else {
            return;
        };
        if let Some(entry) = p.entries.last_mut() {
            for payload in packet.payloads() {
                if let Some(stream) = entry
                    .streams
                    .iter_mut()
                    .find(|s| s.number == payload.stream)
                {
                    stream.payloads += 1;
                    stream.bytes += payload.data.len() as u64;
                    stream.key_objects += u64::from(payload.key && payload.starts_object());
                }
            }
        }
        let (t0, s0) = *self.first.get_or_insert((now, packet.send_time()));
        let content = i64::from(packet.send_time().wrapping_sub(s0).cast_signed());
        // At another rate, or backwards, less of time is due for it.
        let content = content * self.rate_milli.signum();
        p.content_ms = p.content_ms.max(u64::try_from(content).unwrap_or(0));
        let content = content * 1000 / self.rate_milli.abs().max(1);
        let elapsed = i64::try_from(now.since(t0).as_millis()).unwrap_or(i64::MAX);
        let late = elapsed.saturating_sub(content);
        if self.lateness.len() < LATENESS_COUNT_MAX {
            self.lateness
                .push(late.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        }
        if late > i64::from(self.preroll_ms) {
            p.late_packets += 1;
        }
        if content >= i64::from(self.preroll_ms) {
            p.preroll_full_ms.get_or_insert(now.millis());
        }
    }

    /// One line for a terminal.
    pub fn progress(&self, now: Time) -> String {
        let p = &self.playback;
        let seconds = now.millis() as f64 / 1000.0;
        format!(
            "{seconds:>6.1} s  {} packets  {}",
            p.packets,
            bytes(p.bytes as f64)
        )
    }

    /// How it came.
    pub fn transfer(&mut self, pipelined: bool, transfer: Transfer) {
        let p = &mut self.playback;
        p.pipelined = pipelined;
        p.transport = Some(if transfer.udp { "UDP" } else { "TCP" });
        p.datagrams = transfer.udp.then_some(DatagramsSeen {
            received: transfer.received,
            lost: transfer.lost,
            recovered: transfer.recovered,
            corrected: transfer.corrected,
            duplicates: transfer.duplicates,
            resend_requests: transfer.requests,
            dropped: 0,
        });
    }

    /// What came from a group, if it did.
    pub fn multicast(&mut self, counts: Option<ReceiverCounts>) {
        self.playback.multicast = counts.map(|counts| MulticastSeen {
            beacons: counts.beacons,
            parity: counts.packets.parity,
            lost_before_repair: counts.packets.lost_before_repair,
            repaired: counts.packets.repaired,
            lost: counts.packets.lost,
            lost_in_a_row: counts.packets.lost_in_a_row,
            unknown_format: counts.unknown_format,
            foreign: counts.foreign,
            damaged: counts.damaged,
        });
    }

    /// Everything. `dropped` datagrams were lost on purpose.
    pub fn finish(mut self, dropped: u64, faults: &[String], saved: Option<Saved>) -> Playback {
        let began = self.began.unwrap_or(self.last);
        let micros = self.last.since(began).as_micros().max(1);
        let p = &mut self.playback;
        p.received_ms = u64::try_from(micros / 1000).unwrap_or(u64::MAX);
        if p.packets > 1 {
            p.bit_rate =
                u64::try_from(u128::from(p.bytes) * 8_000_000 / micros).unwrap_or(u64::MAX);
        }
        self.lateness.sort_unstable();
        let at = |per_cent: usize| {
            let last = self.lateness.len().checked_sub(1)?;
            self.lateness.get(last * per_cent / 100).copied()
        };
        if let (Some(p50), Some(p99), Some(max)) = (at(50), at(99), at(100)) {
            p.lateness_ms = Some(Lateness { p50, p99, max });
        }
        if let Some(datagrams) = &mut p.datagrams {
            datagrams.dropped = dropped;
        }
        p.faults = faults.to_vec();
        p.saved = saved;
        self.playback
    }
}

impl Playback {
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.url);
        for url in &self.redirected_to {
            text += &format!("  redirected to {url}\n");
        }
        if let Some(server) = &self.server {
            let features = self.features.as_deref().unwrap_or_default();
            let pipelined = if self.pipelined { ", pipelined" } else { "" };
            let transport = self.transport.map_or(String::new(), |t| format!(", {t}"));
            text += &format!("  server {server}, features \"{features}\"{transport}{pipelined}\n");
        }
        match self.packet_pair_bps {
            Some(UNLIMITED) => text += "  packet pair: too fast to measure\n",
            Some(rate) => text += &format!("  packet pair: {}\n", bit_rate(rate as f64)),
            None => {}
        }
        if let Some(granted) = &self.granted {
            text += &granted.text();
        }
        for entry in &self.entries {
            text += &entry.text();
        }
        if self.packets > 0 {
            text += &self.media_text();
        }
        if let Some(multicast) = &self.multicast {
            text += &multicast.text();
        }
        if let Some(saved) = &self.saved {
            let (file, packets) = (saved.file.display(), saved.packets);
            text += &format!(
                "  saved {packets} packets, {} to {file}\n",
                bytes(saved.bytes as f64)
            );
        }
        if self.announcement.is_some() {
            text += "  an announcement file\n";
        }
        text += if self.log_sent {
            "  client log accepted\n"
        } else {
            ""
        };
        if let Some(end) = &self.end {
            text += &format!("  ended by the server, code 0x{:08x}\n", end.code);
        }
        for challenge in &self.challenges {
            text += &format!("  credentials are asked for: {challenge}\n");
        }
        if let Some(failed) = &self.failed {
            text += &format!("  FAILED at byte {}: {}\n", failed.offset, failed.reason);
        }
        for fault in &self.faults {
            text += &format!("  fault: {fault}\n");
        }
        text
    }

    fn media_text(&self) -> String {
        let ms = |t: Option<u64>| t.map_or("never".to_owned(), |t| format!("after {t} ms"));
        let mut text = format!(
            "  first packet {}, preroll full {}\n  {} packets, {} in {}, {} of content, {}, {} gaps\n",
            ms(self.first_packet_ms),
            ms(self.preroll_full_ms),
            self.packets,
            bytes(self.bytes as f64),
            clock(self.received_ms),
            clock(self.content_ms),
            bit_rate(self.bit_rate as f64),
            self.gaps
        );
        if let Some(d) = &self.datagrams {
            text += &d.text();
        }
        if let Some(l) = &self.lateness_ms {
            text += &format!(
                "  {} late packets; lateness p50 {} ms, p99 {} ms, most {} ms\n",
                self.late_packets, l.p50, l.p99, l.max
            );
        }
        text
    }
}

impl MulticastSeen {
    fn text(&self) -> String {
        let mut text = format!(
            "  group: {} beacons, {} parity packets",
            self.beacons, self.parity
        );
        for (count, what) in [
            (self.unknown_format, "of unknown formats"),
            (self.foreign, "foreign"),
            (self.damaged, "damaged"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        format!(
            "{text}\n  error correction: {} lost on the way, {} in a row; {} repaired, {} lost for good\n",
            self.lost_before_repair, self.lost_in_a_row, self.repaired, self.lost
        )
    }
}

impl DatagramsSeen {
    fn text(&self) -> String {
        let dropped = match self.dropped {
            0 => String::new(),
            n => format!(", {n} dropped on purpose"),
        };
        let corrected = match self.corrected {
            0 => String::new(),
            n => format!(", {n} made good"),
        };
        format!(
            "  datagrams: {} received, {} lost, {} recovered by {} requests{corrected}, {} duplicate{dropped}\n",
            self.received, self.lost, self.recovered, self.resend_requests, self.duplicates
        )
    }
}

impl Granted {
    fn text(&self) -> String {
        let mut text = String::new();
        if let (Some(rate), Some(ms)) = (self.accel_bps, self.accel_ms) {
            text += &format!(
                "  Fast Start: {} for {} of content\n",
                bit_rate(rate.into()),
                clock(ms.into())
            );
        }
        if let Some(speed) = self.speed {
            text += &format!("  speed: {speed}\n");
        }
        text
    }
}

impl Entry {
    fn text(&self) -> String {
        let kind = if self.broadcast {
            "broadcast"
        } else {
            "on demand"
        };
        let duration = self.duration_ms.map_or("unknown".to_owned(), clock);
        let mut text = format!(
            "  {kind}, duration {duration}, preroll {} ms, packets of {} bytes, header {} bytes\n",
            self.preroll_ms, self.packet_size, self.header_bytes
        );
        for s in &self.streams {
            text += &format!(
                "  stream {:<3} {:<8} {:>12}, {} payloads, {} key objects, {}\n",
                s.number,
                s.kind,
                bit_rate(s.average_bit_rate.into()),
                s.payloads,
                s.key_objects,
                bytes(s.bytes as f64)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const CLIP: &[u8] = include_bytes!("../../../content/clip.wmv");

    #[test]
    fn lateness_is_arrival_against_send_time() {
        let header = Header::parse(CLIP).expect("a header");
        let mut seen = Seen::new("http://x/", 1000);
        let blob = Bytes::copy_from_slice(&CLIP[..header.blob_len() as usize]);
        seen.take(Time(0), &IngestEvent::Header(blob));
        let mut s0 = None;
        for number in 0..20 {
            let at = header.packet_offset(number) as usize;
            let bytes = Bytes::copy_from_slice(&CLIP[at..at + header.packet_size() as usize]);
            let send = Packet::parse(&bytes, header.packet_size())
                .expect("a packet")
                .send_time();
            let due = send - *s0.get_or_insert(send);
            // All in time, but the last comes a minute late; number 7 does not come.
            let late = if number == 19 { 60_000 } else { 0 };
            let now = Time(u64::from(due + late + 1000) * 1000);
            if number != 7 {
                seen.take(now, &IngestEvent::Packet { number, bytes });
            }
        }
        let transfer = Transfer {
            udp: true,
            received: 18,
            recovered: 1,
            lost: 1,
            requests: 5,
            ..Transfer::default()
        };
        seen.transfer(false, transfer);
        let playback = seen.finish(3, &[], None);
        assert_eq!(
            (playback.packets, playback.gaps, playback.late_packets),
            (19, 1, 1)
        );
        assert_eq!(playback.first_packet_ms, Some(1000));
        assert_eq!(
            playback.lateness_ms,
            Some(Lateness {
                p50: 0,
                p99: 0,
                max: 60_000
            })
        );
        let payloads: u64 = playback.entries[0].streams.iter().map(|s| s.payloads).sum();
        assert!(payloads >= 19, "{payloads}");
        let text = playback.text();
        assert!(
            text.contains("19 packets") && text.contains("1 late packets"),
            "{text}"
        );
        let datagrams = "18 received, 1 lost, 1 recovered by 5 requests, 0 duplicate, 3 dropped";
        assert!(text.contains(datagrams), "{text}");
        assert!(playback.bit_rate > 0);
    }

    #[test]
    fn another_rate_has_other_times() {
        let header = Header::parse(CLIP).expect("a header");
        for rate in [5000, -5000] {
            let mut seen = Seen::new("mms://x/", rate);
            let blob = Bytes::copy_from_slice(&CLIP[..header.blob_len() as usize]);
            seen.take(Time(0), &IngestEvent::Header(blob));
            let mut s0 = None;
            for n in 0..20 {
                let number = if rate < 0 { 40 - n } else { 40 + n };
                let at = header.packet_offset(number) as usize;
                let bytes = Bytes::copy_from_slice(&CLIP[at..at + header.packet_size() as usize]);
                let send = Packet::parse(&bytes, header.packet_size())
                    .expect("a packet")
                    .send_time();
                let played = send.abs_diff(*s0.get_or_insert(send)) / 5;
                let now = Time(u64::from(played) * 1000);
                seen.take(now, &IngestEvent::Packet { number, bytes });
            }
            let playback = seen.finish(0, &[], None);
            let lateness = playback.lateness_ms.expect("packets");
            assert_eq!((lateness.p50, lateness.max), (0, 0), "{rate}");
            assert!(playback.content_ms > 1000, "{}", playback.content_ms);
        }
    }
}
