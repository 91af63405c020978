//! Our client machine against our server machine, in virtual time, over a network with a delay, a
//! rate and a way of splitting what is written; behind the server an application that serves
//! synthetic clips.

#![allow(dead_code)]

mod air;
mod clip;
mod flow;

pub use air::*;
pub use clip::*;

use flow::Flow;
use protocols::auth::{Challenge, Credentials, Offer};
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use protocols::mmsp;
use protocols::msbd;
use protocols::rate::grant::{Limits, Supply};
use protocols::rate::pacer::Pacer;
use protocols::rate::profile::{Object, Params, profile};
use protocols::rtsp;
use protocols::wmsp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub const SERVER_IP: &str = "192.0.2.1";
pub const CLIENT_IP: &str = "192.0.2.7";

/// A client machine.
pub trait Player: Machine {
    fn is_done(&self) -> bool;
}

impl Player for wmsp::client::Client {
    fn is_done(&self) -> bool {
        self.is_done()
    }
}

impl Player for mmsp::client::Client {
    fn is_done(&self) -> bool {
        self.is_done()
    }
}

impl Player for rtsp::client::Client {
    fn is_done(&self) -> bool {
        self.is_done()
    }
}

impl Player for msbd::client::Client {
    fn is_done(&self) -> bool {
        self.is_done()
    }
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
    /// Of datagrams.
    pub weather: Weather,
}

pub const LAN: Net = Net {
    delay: Duration::from_millis(1),
    split: usize::MAX,
    rate: None,
    weather: FINE,
};

pub struct World<C = wmsp::client::Client, S = wmsp::server::Server> {
    pub now: Time,
    pub client: C,
    pub server: S,
    pub net: Net,
    pub air: Air,
    /// TCP port of the server.
    port: u16,
    pub limits: Limits,
    pub clips: BTreeMap<&'static str, Clip>,
    /// Paths that are elsewhere.
    pub moved: BTreeMap<&'static str, String>,
    /// Who wants anything must be this user.
    pub user: Option<(&'static str, &'static str)>,
    /// ms of a live content that are kept for those who join.
    pub ring_ms: u32,
    /// What the client was told.
    pub events: Vec<IngestEvent>,
    /// When.
    pub event_times: Vec<Time>,
    /// What flows sent: path, packet number.
    pub sent: Vec<(&'static str, u32)>,
    /// B bits were set on so many of them.
    pub rushed: u32,
    /// Datagrams that were another thing when they were sent again.
    pub changed: u32,
    pub logs: Vec<ClientLog>,
    pub refused: Vec<(u16, String)>,
    pub connections: u32,
    /// Writes of the client.
    pub writes: u32,
    /// Groups that the client joined.
    pub joined: Vec<(Channel, SocketAddr)>,
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
    /// The machines of WMSP.
    pub fn new(
        config: wmsp::client::ClientConfig,
        net: Net,
        clips: &[(&'static str, Clip)],
    ) -> World {
        let client = wmsp::client::Client::new(config).unwrap();
        let server = wmsp::server::Config::new(CoreId(0), 1, [3; 32]);
        World::of(client, wmsp::server::Server::new(server), 80, net, clips)
    }
}

impl<C: Player, S: Machine> World<C, S> {
    /// Any two machines; the server's listens on `port`.
    pub fn of(
        client: C,
        server: S,
        port: u16,
        net: Net,
        clips: &[(&'static str, Clip)],
    ) -> World<C, S> {
        let now = Time(77_000_000);
        World {
            now,
            client,
            server,
            air: Air::new(net.weather, net.delay, net.rate, port),
            port,
            moved: BTreeMap::new(),
            user: None,
            net,
            limits: Limits::default(),
            clips: clips.iter().cloned().collect(),
            ring_ms: 5000,
            events: Vec::new(),
            event_times: Vec::new(),
            sent: Vec::new(),
            rushed: 0,
            changed: 0,
            logs: Vec::new(),
            refused: Vec::new(),
            connections: 0,
            writes: 0,
            joined: Vec::new(),
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
    pub fn with(&mut self, act: impl FnOnce(&mut C, Time)) {
        act(&mut self.client, self.now);
        self.poll_client();
    }

    /// Somebody sends to the groups that the client joined.
    pub fn group_datagram(&mut self, bytes: &[u8]) {
        let peer = address(SERVER_IP, 9);
        for (channel, _) in self.joined.clone() {
            let input = Input::Datagram {
                channel,
                peer,
                bytes,
            };
            self.client.handle(self.now, input);
            self.poll_client();
        }
    }

    /// Contents that the server has not given back.
    pub fn held(&self) -> usize {
        self.contents.len()
    }

    /// The server is gone from the network.
    pub fn break_connections(&mut self) {
        for conn in std::mem::take(&mut self.accepted) {
            self.flows.retain(|_, f| f.start.conn != conn);
            self.server.handle(self.now, Input::Closed { conn });
            let wire = self.to_client.get_mut(&conn).unwrap();
            wire.shut = true;
            wire.queue
                .push_back((self.now + self.net.delay, Thing::Closed));
        }
        self.poll_server();
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
            .chain(self.air.next())
            .chain(dues)
            .chain(wakes)
            .min()
            .filter(|t| *t <= end)
        else {
            return false;
        };
        self.now = self.now.max(next);
        self.deliver();
        self.deliver_datagrams();
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
        let local = address(SERVER_IP, self.port);
        let peer = address(CLIENT_IP, 4321);
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
                let gone = |w: &World<C, S>| w.to_server[&conn].shut;
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

    fn deliver_datagrams(&mut self) {
        while let Some(flying) = self.air.arrived(self.now) {
            let (channel, bytes) = (flying.to, &flying.bytes[..]);
            let from = usize::from(flying.from.0);
            let peer = match flying.to_client {
                true => address(SERVER_IP, self.air.server_ports[from]),
                false => address(CLIENT_IP, self.air.client_ports[from]),
            };
            let input = Input::Datagram {
                channel,
                peer,
                bytes,
            };
            if flying.to_client {
                self.client.handle(self.now, input);
                self.poll_client();
            } else {
                self.server.handle(self.now, input);
                self.poll_server();
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Connect { conn, host, port } => {
                    assert_eq!((&*host, port), ("server", self.port));
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
                    self.writes += 1;
                    wire.queue.push_back((at, Thing::Bytes(bytes.to_vec())));
                }
                Output::Close { conn, .. } => {
                    let at = self.now + self.net.delay;
                    let wire = self.to_server.get_mut(&conn).unwrap();
                    assert!(!wire.shut, "the client closes {conn:?} twice");
                    wire.shut = true;
                    wire.queue.push_back((at, Thing::Closed));
                }
                Output::SendTo {
                    channel,
                    peer,
                    bytes,
                    ..
                } => {
                    self.air.up(self.now, (channel, peer), bytes.to_vec());
                }
                Output::Join { channel, group } => self.joined.push((channel, group)),
                Output::Ingest(ingest) => {
                    self.event_times.push(self.now);
                    self.events.push(ingest.event);
                }
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
                    let busy = |f: &Flow| {
                        let here = f.start.conn == conn && f.start.datagrams.is_none();
                        here && !f.held && !f.over
                    };
                    assert!(!self.flows.values().any(busy), "written under a flow");
                    self.write(conn, bytes.to_vec());
                }
                Output::SendTo {
                    channel,
                    peer,
                    bytes,
                    ..
                } => {
                    let way = (channel, peer);
                    self.air.down(self.now, way, bytes.to_vec(), None);
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
            Question::Open(open) if self.moved.contains_key(&*open.path) => {
                let url = self.moved[&*open.path].clone();
                Answer::Moved { url }
            }
            Question::Open(open) if !self.believes(&open) => {
                let realm = "clips".into();
                Answer::Challenge(Box::new(Challenge {
                    offers: vec![Offer::Basic { realm }],
                    rejected: None,
                }))
            }
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
            Question::Publish(_) => Answer::Publishing,
        }
    }

    fn believes(&self, open: &OpenRequest) -> bool {
        match (self.user, &open.credentials) {
            (None, _) => true,
            (Some((name, word)), Some(Credentials::Basic { user, password })) => {
                (name, word) == (user, password.reveal())
            }
            _ => false,
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
}

fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}
