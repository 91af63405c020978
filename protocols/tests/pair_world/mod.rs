//! Our client machine against our server machine, in virtual time, over a network with a delay, a
//! rate and a way of splitting what is written; behind the server an application that serves
//! synthetic clips.

#![allow(dead_code)]

use super::asf_build::{self, Piece};
use bytes::Bytes;
use protocols::asf;
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use protocols::rate::grant::{Limits, Supply};
use protocols::rate::pacer::Pacer;
use protocols::rate::profile::{Object, Params, profile};
use protocols::wmsp::client::{Client, ClientConfig};
use protocols::wmsp::server::{Config, Server};
use protocols::wmsp::switch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub const PACKET_SIZE: u32 = 400;
/// ms between two packets.
pub const STEP: u32 = 100;
/// Every so many packets a key frame.
pub const KEY_EVERY: u32 = 5;

/// One ASF packet of a clip: video (stream 1) in even ones, audio (stream 2) in odd ones.
#[derive(Clone, Debug)]
pub struct Pkt {
    pub stream: u8,
    pub key: bool,
    pub send_time: u32,
    pub len: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Clip {
    pub header: Bytes,
    pub packets: Vec<Pkt>,
    pub live: bool,
    pub playlist: bool,
    /// What follows.
    pub next: Option<&'static str>,
    /// bit/s of the two streams.
    pub rates: [u32; 2],
}

impl Clip {
    /// `count` packets, whose payloads differ with `seed`.
    pub fn new(count: u32, seed: u8) -> Clip {
        let packets = (0..count).map(|n| {
            let stream = if n % 2 == 0 { 1 } else { 2 };
            let key = stream == 2 || n % (2 * KEY_EVERY) == 0;
            let len = 20 + (n as usize * 37) % 300;
            let mut piece = Piece::whole(stream, key, n as u8, 1000 + n * STEP, len);
            piece
                .data
                .iter_mut()
                .for_each(|b| *b = b.wrapping_add(seed));
            let whole = asf_build::packet(PACKET_SIZE as usize, n * STEP, STEP as u16, &[piece]);
            let mut bytes = Vec::new();
            asf::trim::trim(&whole, PACKET_SIZE, &mut bytes).unwrap();
            Pkt {
                stream,
                key,
                send_time: n * STEP,
                len: len as u32,
                bytes,
            }
        });
        Clip {
            header: asf_build::simple_blob(u64::from(count), PACKET_SIZE, 1000 + u64::from(seed))
                .into(),
            packets: packets.collect(),
            live: false,
            playlist: false,
            next: None,
            rates: [16_000, 8_000],
        }
    }

    pub fn live(self) -> Clip {
        Clip { live: true, ..self }
    }

    pub fn then(self, next: &'static str) -> Clip {
        Clip {
            next: Some(next),
            playlist: true,
            ..self
        }
    }

    fn streams(&self) -> Vec<StreamInfo> {
        let kinds = [StreamKind::Video, StreamKind::Audio];
        let streams = kinds.iter().zip(self.rates).zip(1..);
        streams
            .map(|((&kind, rate), number)| StreamInfo {
                number,
                kind,
                average_bit_rate: rate,
                peak_bit_rate: rate,
                all_key: kind == StreamKind::Audio,
            })
            .collect()
    }

    fn content(&self, id: u64, entry: u32) -> Content {
        Content {
            id: ContentId(id),
            header: self.header.clone(),
            packet_size: PACKET_SIZE,
            packet_count: if self.live {
                0
            } else {
                self.packets.len() as u64
            },
            preroll: 1000,
            duration: (!self.live).then_some(self.packets.len() as u64 * u64::from(STEP)),
            streams: self.streams().into(),
            broadcast: self.live,
            seekable: !self.live,
            stridable: false,
            playlist: self.playlist,
            entry,
            broadcast_id: if self.live { 9 } else { 0 },
            guarded: false,
            caching: Caching::default(),
            file_size: None,
            description: vec![("title".into(), "A clip".into())].into(),
        }
    }

    fn average(&self, selection: Selection) -> u64 {
        let on = self
            .streams()
            .into_iter()
            .filter(|s| selection.level(s.number) != Level::Off);
        on.map(|s| u64::from(s.average_bit_rate)).sum()
    }
}

/// A flow of the server, as a driver runs it.
struct Flow {
    start: FlowStart,
    path: &'static str,
    next: usize,
    sequence: u32,
    pacer: Pacer,
    selection: Selection,
    held: bool,
    over: bool,
}

enum Thing {
    Bytes(Vec<u8>),
    Opened,
    Closed,
}

/// One direction of a connection.
#[derive(Default)]
struct Wire {
    queue: VecDeque<(Time, Thing)>,
    /// When the last bit of what was written is on its way.
    busy_until: Time,
    shut: bool,
}

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub delay: Duration,
    /// Most bytes that are handed over at once.
    pub split: usize,
    /// Toward the client, bit/s.
    pub rate: Option<u64>,
}

pub const LAN: Net = Net {
    delay: Duration::from_millis(1),
    split: usize::MAX,
    rate: None,
};

pub struct World {
    pub now: Time,
    pub client: Client,
    pub server: Server,
    pub net: Net,
    pub limits: Limits,
    pub clips: BTreeMap<&'static str, Clip>,
    /// ms of a live content that are kept for those who join.
    pub ring_ms: u32,
    /// What the client was told.
    pub events: Vec<IngestEvent>,
    /// What flows sent: path, packet number.
    pub sent: Vec<(&'static str, u32)>,
    /// B bits were set on so many of them.
    pub rushed: u32,
    pub logs: Vec<ClientLog>,
    pub refused: Vec<(u16, String)>,
    pub connections: u32,
    to_client: BTreeMap<ConnId, Wire>,
    to_server: BTreeMap<ConnId, Wire>,
    client_wake: Option<Time>,
    server_wake: Option<Time>,
    flows: BTreeMap<FlowId, Flow>,
    contents: BTreeMap<ContentId, &'static str>,
    next_content: u64,
    entry: u32,
    /// Connections as the server sees them.
    accepted: BTreeSet<ConnId>,
    live_since: Time,
}

impl World {
    pub fn new(config: ClientConfig, net: Net, clips: &[(&'static str, Clip)]) -> World {
        let now = Time(77_000_000);
        World {
            now,
            client: Client::new(config).unwrap(),
            server: Server::new(Config::new(CoreId(0), 1, [3; 32])),
            net,
            limits: Limits::default(),
            clips: clips.iter().cloned().collect(),
            ring_ms: 5000,
            events: Vec::new(),
            sent: Vec::new(),
            rushed: 0,
            logs: Vec::new(),
            refused: Vec::new(),
            connections: 0,
            to_client: BTreeMap::new(),
            to_server: BTreeMap::new(),
            client_wake: Some(now),
            server_wake: None,
            flows: BTreeMap::new(),
            contents: BTreeMap::new(),
            next_content: 0,
            entry: 0,
            accepted: BTreeSet::new(),
            live_since: Time(now.micros() - 20_000_000),
        }
    }

    /// Run until the client is done or nothing happens any more; at most so long.
    pub fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        self.poll_client();
        while !self.client.is_done() && self.step(end) {}
        // What is on its way still arrives: closings, to begin with.
        let end = self.now + self.net.delay + self.net.delay + Duration::from_millis(1);
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.poll_client();
        while self.step(end) {}
        self.now = end;
    }

    /// Do something to the client.
    pub fn with(&mut self, act: impl FnOnce(&mut Client, Time)) {
        act(&mut self.client, self.now);
        self.poll_client();
    }

    /// Contents that the server has not given back.
    pub fn held(&self) -> usize {
        self.contents.len()
    }

    pub fn packets(&self) -> Vec<(u32, Vec<u8>)> {
        let packets = self.events.iter().filter_map(|e| match e {
            IngestEvent::Packet { number, bytes } => Some((*number, bytes.to_vec())),
            _ => None,
        });
        packets.collect()
    }

    /// What was sent, with the bytes of the clips.
    pub fn sent_packets(&self) -> Vec<(u32, Vec<u8>)> {
        let bytes =
            |&(path, n): &(&str, u32)| (n, self.clips[path].packets[n as usize].bytes.clone());
        self.sent.iter().map(bytes).collect()
    }

    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::Failed(fault) => Some(&*fault.reason),
            _ => None,
        })
    }

    pub fn count(&self, is: impl Fn(&IngestEvent) -> bool) -> usize {
        self.events.iter().filter(|e| is(e)).count()
    }

    /// Let the next thing happen if it is due by `end`.
    fn step(&mut self, end: Time) -> bool {
        let wires = self.to_client.values().chain(self.to_server.values());
        let arrivals = wires.filter_map(|w| w.queue.front().map(|(at, _)| *at));
        let flows: Vec<_> = self.flows.keys().copied().collect();
        let dues = flows.iter().filter_map(|&id| self.due(id));
        let wakes = self.client_wake.into_iter().chain(self.server_wake);
        let Some(next) = arrivals
            .chain(dues)
            .chain(wakes)
            .min()
            .filter(|t| *t <= end)
        else {
            return false;
        };
        self.now = self.now.max(next);
        self.deliver();
        for id in flows {
            if self.due(id).is_some_and(|t| t <= self.now) {
                self.send_media(id);
            }
        }
        if self.client_wake.is_some_and(|t| t <= self.now) {
            self.client_wake = None;
            self.client.handle(self.now, Input::Timeout);
            self.poll_client();
        }
        if self.server_wake.is_some_and(|t| t <= self.now) {
            self.server_wake = None;
            self.server.handle(self.now, Input::Timeout);
            self.poll_server();
        }
        true
    }

    fn deliver(&mut self) {
        let local = "192.0.2.1:80".parse().unwrap();
        let peer = "192.0.2.7:4321".parse().unwrap();
        let due = |w: &mut Wire, now: Time| {
            let at = w.queue.front()?.0;
            (at <= now).then(|| w.queue.pop_front().unwrap().1)
        };
        let conns: Vec<ConnId> = self.to_server.keys().copied().collect();
        for conn in conns {
            while let Some(thing) = due(self.to_server.get_mut(&conn).unwrap(), self.now) {
                match thing {
                    Thing::Opened => {
                        self.accepted.insert(conn);
                        self.server
                            .handle(self.now, Input::Opened { conn, peer, local });
                        self.poll_server();
                    }
                    Thing::Closed if self.accepted.remove(&conn) => {
                        self.flows.retain(|_, f| f.start.conn != conn);
                        self.server.handle(self.now, Input::Closed { conn });
                        self.poll_server();
                    }
                    Thing::Bytes(bytes) => {
                        for bytes in bytes.chunks(self.net.split) {
                            if self.accepted.contains(&conn) {
                                self.server.handle(self.now, Input::Data { conn, bytes });
                                self.poll_server();
                            }
                        }
                    }
                    Thing::Closed => {}
                }
            }
        }
        let conns: Vec<ConnId> = self.to_client.keys().copied().collect();
        for conn in conns {
            while let Some(thing) = due(self.to_client.get_mut(&conn).unwrap(), self.now) {
                let gone = |w: &World| w.to_server[&conn].shut;
                match thing {
                    Thing::Opened if !gone(self) => {
                        let (peer, local) = (local, peer);
                        self.client
                            .handle(self.now, Input::Opened { conn, peer, local });
                    }
                    Thing::Closed if !gone(self) => {
                        self.to_server.get_mut(&conn).unwrap().shut = true;
                        self.client.handle(self.now, Input::Closed { conn });
                    }
                    Thing::Bytes(bytes) => {
                        for bytes in bytes.chunks(self.net.split) {
                            if !gone(self) {
                                self.client.handle(self.now, Input::Data { conn, bytes });
                                self.poll_client();
                            }
                        }
                    }
                    _ => {}
                }
                self.poll_client();
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Connect { conn, host, port } => {
                    assert_eq!((&*host, port), ("server", 80));
                    self.connections += 1;
                    let mut wire = Wire::default();
                    wire.queue
                        .push_back((self.now + self.net.delay, Thing::Opened));
                    self.to_server.insert(conn, wire);
                    let mut wire = Wire::default();
                    let back = self.now + self.net.delay + self.net.delay;
                    wire.queue.push_back((back, Thing::Opened));
                    self.to_client.insert(conn, wire);
                }
                Output::Send { conn, bytes } => {
                    let at = self.now + self.net.delay;
                    let wire = self.to_server.get_mut(&conn).unwrap();
                    assert!(!wire.shut, "the client writes to {conn:?}, which is closed");
                    wire.queue.push_back((at, Thing::Bytes(bytes.to_vec())));
                }
                Output::Close { conn, .. } => {
                    let at = self.now + self.net.delay;
                    let wire = self.to_server.get_mut(&conn).unwrap();
                    assert!(!wire.shut, "the client closes {conn:?} twice");
                    wire.shut = true;
                    wire.queue.push_back((at, Thing::Closed));
                }
                Output::Ingest(ingest) => self.events.push(ingest.event),
                Output::Idle(wake) => {
                    self.client_wake = wake;
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn poll_server(&mut self) {
        loop {
            match self.server.poll(self.now) {
                Output::Send { conn, bytes } => {
                    let busy = |f: &Flow| f.start.conn == conn && !f.held && !f.over;
                    assert!(!self.flows.values().any(busy), "written under a flow");
                    self.write(conn, bytes.to_vec());
                }
                Output::Close { conn, .. } => {
                    assert!(
                        self.accepted.remove(&conn),
                        "the server closes {conn:?} twice"
                    );
                    self.flows.retain(|_, f| f.start.conn != conn);
                    let wire = self.to_client.get_mut(&conn).unwrap();
                    let at = wire.busy_until.max(self.now) + self.net.delay;
                    wire.shut = true;
                    wire.queue.push_back((at, Thing::Closed));
                }
                Output::Ask { ticket, question } => {
                    let answer = self.answer(*question);
                    self.server
                        .handle(self.now, Input::Answer { ticket, answer });
                }
                Output::Flow { flow, command } => self.command(flow, command),
                Output::Release { content } => {
                    assert!(self.contents.remove(&content).is_some(), "released twice");
                }
                Output::Report(report) => match *report {
                    Report::ClientLog { log, .. } => self.logs.push(log),
                    Report::Refused { status, reason, .. } => self.refused.push((status, reason)),
                },
                Output::Idle(wake) => {
                    self.server_wake = wake;
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// One write of the server: as one segment if it arrives at once, else bit by bit at the rate.
    fn write(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let wire = self.to_client.get_mut(&conn).unwrap();
        assert!(!wire.shut, "the server writes to {conn:?}, which is closed");
        if let Some(rate) = self.net.rate {
            let micros = bytes.len() as u64 * 8_000_000 / rate;
            wire.busy_until = Time(wire.busy_until.max(self.now).micros() + micros);
        } else {
            wire.busy_until = self.now;
        }
        let at = wire.busy_until + self.net.delay;
        wire.queue.push_back((at, Thing::Bytes(bytes)));
    }

    fn hand_out(&mut self, path: &'static str) -> Answer {
        self.next_content += 1;
        self.entry += 1;
        self.contents.insert(ContentId(self.next_content), path);
        Answer::Opened(Box::new(
            self.clips[path].content(self.next_content, self.entry),
        ))
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Open(open) => match self.clips.keys().copied().find(|p| *p == open.path) {
                Some(path) => self.hand_out(path),
                None => Answer::Refused(Refusal::NotFound),
            },
            Question::NextEntry(id) => match self.clips[self.contents[&id]].next {
                Some(path) => self.hand_out(path),
                None => Answer::Refused(Refusal::NotFound),
            },
            Question::Cue(cue) => self.cue(&cue),
            Question::Recheck(_) => Answer::Allowed,
        }
    }

    fn cue(&self, cue: &CueRequest) -> Answer {
        let clip = &self.clips[self.contents[&cue.content]];
        let head = self.now.since(self.live_since).as_millis() as u32 / STEP;
        let wanted = match cue.start {
            _ if clip.live => head.saturating_sub(self.ring_ms / STEP),
            Start::Beginning => 0,
            Start::Time(ms) => ms / STEP,
            Start::Packet(n) => n,
            Start::Byte(at) => {
                (at.saturating_sub(clip.header.len() as u64) / u64::from(PACKET_SIZE)) as u32
            }
        };
        // Back to a key frame of video.
        let packet = wanted - wanted % (2 * KEY_EVERY);
        let Some(first) = clip.packets.get(packet as usize) else {
            return Answer::Refused(Refusal::NotFound);
        };
        let supply = Supply {
            average_bps: clip.average(cue.selection),
            buffered_ms: clip.live.then_some(self.ring_ms),
            free_bps: u64::MAX,
        };
        let accel = self.limits.accel(cue.accel, supply);
        let objects = clip.packets[packet as usize..].iter().map(|p| Object {
            kind: if p.stream == 1 {
                StreamKind::Video
            } else {
                StreamKind::Audio
            },
            selected: cue.selection.level(p.stream) != Level::Off,
            key: p.key,
            size: p.len,
            presentation: 1000 + p.send_time,
            send_time: p.send_time,
        });
        let params = Params {
            accel_ms: accel.map_or(0, |a| a.duration_ms),
            average_bps: supply.average_bps,
            live: clip.live,
            video: cue.selection.level(1) != Level::Off,
        };
        Answer::Cued(Box::new(Cue {
            packet,
            send_time: first.send_time,
            accel,
            speed_milli: self.limits.speed(cue.speed_milli, clip.live),
            profile: profile(&params, objects).filter(|_| cue.profile),
        }))
    }

    fn command(&mut self, id: FlowId, command: FlowCommand) {
        match command {
            FlowCommand::Start(start) => {
                let path = self.contents[&start.content];
                let next = start.packet as usize;
                let first = self.clips[path].packets[next].send_time;
                let flow = Flow {
                    pacer: Pacer::new(self.now, first, start.pace),
                    selection: start.selection,
                    start: *start,
                    path,
                    next,
                    sequence: 0,
                    held: false,
                    over: false,
                };
                assert!(self.flows.insert(id, flow).is_none());
            }
            FlowCommand::StartFile { .. } => panic!("nobody downloads"),
            FlowCommand::Resend(_) => panic!("no datagrams"),
            FlowCommand::Select(switches) => {
                let flow = self.flows.get_mut(&id).unwrap();
                flow.selection = switch::changed(flow.selection, &switches);
            }
            FlowCommand::Hold => {
                let flow = self.flows.get_mut(&id).unwrap();
                if !flow.over {
                    flow.held = true;
                    let event = FlowEvent::Held(totals(flow));
                    self.server
                        .handle(self.now, Input::Flow { flow: id, event });
                }
            }
            FlowCommand::Go => self.flows.get_mut(&id).unwrap().held = false,
            FlowCommand::Drop => {
                let flow = self.flows.remove(&id);
                assert!(
                    flow.is_none_or(|f| f.held || f.over),
                    "dropped while it runs"
                );
            }
        }
    }

    /// When the next thing of a flow is to be done.
    fn due(&self, id: FlowId) -> Option<Time> {
        let flow = self.flows.get(&id).filter(|f| !f.held && !f.over)?;
        let clip = &self.clips[flow.path];
        let Some(packet) = clip.packets.get(flow.next) else {
            // The end comes when the last packet has had its time.
            let last = clip.packets.last().unwrap();
            return Some(flow.pacer.due(last.send_time + STEP));
        };
        let due = flow.pacer.due(packet.send_time);
        let made = self.live_since + Duration::from_millis(u64::from(packet.send_time));
        Some(if clip.live { due.max(made) } else { due })
    }

    /// All that is due, in one write.
    fn send_media(&mut self, id: FlowId) {
        let mut out = Vec::new();
        let conn = self.flows[&id].start.conn;
        if !self.flows[&id].start.framer.in_place() {
            self.flows[&id].start.framer.begin(&mut out);
        }
        let mut ended = false;
        while self.due(id).is_some_and(|t| t <= self.now) {
            let flow = self.flows.get_mut(&id).unwrap();
            let Some(packet) = self.clips[flow.path].packets.get(flow.next) else {
                flow.over = true;
                ended = true;
                break;
            };
            let number = flow.next as u32;
            flow.next += 1;
            if flow.selection.level(packet.stream) == Level::Off
                || flow.selection.level(packet.stream) == Level::KeyOnly && !packet.key
            {
                flow.pacer.sent(packet.send_time, 0);
                continue;
            }
            let meta = PacketMeta {
                number,
                send_time: packet.send_time,
                duration: STEP as u16,
                key: packet.key,
                len: packet.bytes.len() as u32,
            };
            let rushed = flow.pacer.rushed_at(packet.send_time);
            let framer = &flow.start.framer;
            if framer.in_place() {
                let mut head = [0; SLOT_HEAD];
                framer.stamp(flow.sequence, &meta, rushed, &mut head);
                out.extend_from_slice(&head);
                out.extend_from_slice(&packet.bytes);
            } else {
                framer.put(flow.sequence, &meta, rushed, &packet.bytes, &mut out);
            }
            self.rushed += u32::from(rushed);
            flow.sequence += 1;
            flow.pacer
                .sent(packet.send_time, meta.len + framer.overhead());
            self.sent.push((flow.path, number));
        }
        let flow = &self.flows[&id];
        if !flow.start.framer.in_place() {
            flow.start.framer.finish(0, &mut out);
        }
        let totals = totals(flow);
        if !out.is_empty() {
            self.write(conn, out);
        }
        if ended {
            let event = FlowEvent::Ended(FlowEnd::Finished, totals);
            self.server
                .handle(self.now, Input::Flow { flow: id, event });
            self.poll_server();
        }
    }
}

fn totals(flow: &Flow) -> FlowTotals {
    FlowTotals {
        packets: u64::from(flow.sequence),
        sequence: flow.sequence,
        bytes: 0,
    }
}
