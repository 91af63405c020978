//! A scripted application and driver around a server machine, in virtual time.
//!
//! It checks the driver contract while it runs: nothing is written to a connection that a flow has or
//! that is gone, every content is released once, flows are commanded in order.
#![allow(dead_code)]

use bytes::Bytes;
use protocols::auth::{Challenge, Credentials, Identity};
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a path leads to.
#[derive(Clone)]
pub enum Point {
    Media(Content),
    Moved(&'static str),
    Document(&'static str, &'static str),
    Refused(Refusal),
}

/// What the machine did to a flow, and what the flow is.
#[derive(Debug)]
pub struct Flow {
    pub conn: ConnId,
    pub start: Option<FlowStart>,
    pub file: Option<(u64, u64)>,
    pub commands: Vec<String>,
    pub sequence: u32,
    pub packets: u32,
    pub state: FlowState,
}

impl Flow {
    /// True if its packets go where the machine's bytes go.
    pub fn writes_there(&self) -> bool {
        self.start.as_ref().is_none_or(|s| s.datagrams.is_none())
    }
}

/// Datagrams with their lanes.
#[derive(Default)]
struct Sink(Vec<(usize, Vec<u8>)>);

impl Spray for Sink {
    fn datagram(&mut self, lane: usize, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.0.push((lane, out));
    }
}

/// See [`Bench::ingested`]. Each is told with its session.
#[derive(Clone, Debug, PartialEq)]
pub enum Ingested {
    Event(u64, IngestEvent),
    /// And whether the point is to go.
    Withdrawn(u64, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    Running,
    Holding,
    Held,
    Ended,
    Dropped,
}

/// What the application thinks of credentials.
pub enum Verdict {
    Pass(Option<Arc<Identity>>),
    Challenge(Challenge),
}

/// What the application says to a publisher.
pub type Publish = Box<dyn FnMut(&PublishRequest) -> Answer>;

pub type Guard = Box<dyn FnMut(Option<&Credentials>, Time) -> Verdict>;

pub struct Bench<S> {
    pub server: S,
    pub now: Time,
    pub points: BTreeMap<String, Point>,
    /// What follows an entry, by its `entry` number.
    pub next: BTreeMap<u32, Content>,
    pub cue: Cue,
    pub refuse_cue: Option<Refusal>,
    /// Questions are answered only by `answer_all` while this is set.
    pub slow: bool,
    pub unanswered: VecDeque<(Ticket, Question)>,
    pub opens: Vec<OpenRequest>,
    /// What publishers asked for.
    pub publishes: Vec<PublishRequest>,
    /// Decides about publishers; everybody may publish without it. Asked after the guard, if `guard_publish`.
    pub publish: Option<Publish>,
    pub guard_publish: bool,
    /// What publishers sent, and how their sessions ended, in order.
    pub ingested: Vec<Ingested>,
    pub cues: Vec<CueRequest>,
    pub flows: BTreeMap<FlowId, Flow>,
    /// Each write, by connection.
    pub writes: BTreeMap<ConnId, Vec<Vec<u8>>>,
    pub closed: BTreeMap<ConnId, (CloseHow, Option<Fault>)>,
    pub moved: BTreeMap<ConnId, (CoreId, Vec<u8>)>,
    pub switched: BTreeMap<ConnId, (Service, Vec<u8>)>,
    /// Each datagram: where to, from which socket, what.
    pub datagrams: Vec<(SocketAddr, Channel, Vec<u8>)>,
    pub passed: Vec<(CoreId, Vec<u8>)>,
    /// Sequences that flows were told to send again.
    pub resent: Vec<Vec<u32>>,
    /// Changes of selection that flows were told of.
    pub selects: Vec<Vec<StreamSwitch>>,
    pub reports: Vec<Report>,
    pub held: BTreeMap<ContentId, Content>,
    pub wake: Option<Time>,
    /// Decides about guarded contents.
    pub guard: Option<Guard>,
    pub rechecks: u32,
    /// This end of all connections.
    pub local: SocketAddr,
    /// The socket that datagrams come to.
    pub hears_on: Channel,
    /// Size of the packets of `media`.
    pub packet_bytes: usize,
    alive: BTreeSet<ConnId>,
    next_conn: u64,
    next_content: u64,
}

/// Audio as stream 1, video as stream 2, on demand; the header is four bytes, as in the reference.
pub fn clip() -> Content {
    let stream = |number, kind, rate| StreamInfo {
        number,
        kind,
        average_bit_rate: rate,
        peak_bit_rate: rate,
        all_key: kind == StreamKind::Audio,
    };
    Content {
        id: ContentId(0),
        header: Bytes::from_static(&[0xAA; 4]),
        packet_size: 3200,
        packet_count: 56,
        preroll: 3100,
        duration: Some(10_000),
        streams: vec![
            stream(1, StreamKind::Audio, 64_000),
            stream(2, StreamKind::Video, 300_000),
        ]
        .into(),
        broadcast: false,
        seekable: true,
        stridable: false,
        playlist: false,
        entry: 7,
        broadcast_id: 0,
        guarded: false,
        caching: Caching::default(),
        file_size: Some(182_000),
        description: vec![("title".into(), "Test".into())].into(),
    }
}

pub fn live() -> Content {
    Content {
        broadcast: true,
        broadcast_id: 5,
        seekable: false,
        packet_count: 0,
        duration: None,
        file_size: None,
        ..clip()
    }
}

/// Entry `n` of a playlist on demand.
pub fn entry(n: u32) -> Content {
    Content {
        playlist: true,
        entry: n,
        ..clip()
    }
}

impl<S: Machine> Bench<S> {
    pub fn around(server: S) -> Bench<S> {
        let mut points = BTreeMap::new();
        points.insert("/pp".to_owned(), Point::Media(clip()));
        points.insert("/live".to_owned(), Point::Media(live()));
        points.insert("/list".to_owned(), Point::Media(entry(1)));
        points.insert("/moved".to_owned(), Point::Moved("http://other/x"));
        points.insert(
            "/pp.asx".to_owned(),
            Point::Document("video/x-ms-asf", "<ASX/>"),
        );
        points.insert("/busy".to_owned(), Point::Refused(Refusal::Busy));
        Bench {
            server,
            now: Time(1_000_000),
            points,
            next: BTreeMap::new(),
            cue: Cue {
                packet: 0,
                send_time: 0,
                accel: None,
                speed_milli: None,
                profile: None,
            },
            refuse_cue: None,
            slow: false,
            unanswered: VecDeque::new(),
            opens: Vec::new(),
            publishes: Vec::new(),
            publish: None,
            guard_publish: false,
            ingested: Vec::new(),
            cues: Vec::new(),
            flows: BTreeMap::new(),
            writes: BTreeMap::new(),
            closed: BTreeMap::new(),
            moved: BTreeMap::new(),
            switched: BTreeMap::new(),
            datagrams: Vec::new(),
            passed: Vec::new(),
            resent: Vec::new(),
            selects: Vec::new(),
            reports: Vec::new(),
            held: BTreeMap::new(),
            wake: None,
            guard: None,
            rechecks: 0,
            local: "192.0.2.1:80".parse().unwrap(),
            hears_on: Channel(0),
            packet_bytes: 4,
            alive: BTreeSet::new(),
            next_conn: 0,
            next_content: 0,
        }
    }

    pub fn open(&mut self) -> ConnId {
        self.open_from("192.0.2.7:4321")
    }

    pub fn open_from(&mut self, peer: &str) -> ConnId {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.alive.insert(conn);
        self.writes.insert(conn, Vec::new());
        let (peer, local) = (peer.parse().unwrap(), self.local);
        self.input(Input::Opened { conn, peer, local });
        conn
    }

    /// A datagram comes from the address of all connections.
    pub fn datagram(&mut self, bytes: &[u8]) {
        self.datagram_from("192.0.2.7:7000", bytes);
    }

    pub fn datagram_from(&mut self, peer: &str, bytes: &[u8]) {
        self.input(Input::Datagram {
            channel: self.hears_on,
            peer: peer.parse().unwrap(),
            bytes,
        });
    }

    pub fn send(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        assert!(self.alive.contains(&conn), "{conn:?} is gone");
        self.input(Input::Data {
            conn,
            bytes: bytes.as_ref(),
        });
    }

    pub fn hang_up(&mut self, conn: ConnId) {
        assert!(self.alive.remove(&conn));
        self.flows
            .values_mut()
            .filter(|f| f.conn == conn)
            .for_each(|f| f.state = FlowState::Dropped);
        self.input(Input::Closed { conn });
    }

    pub fn is_open(&self, conn: ConnId) -> bool {
        self.alive.contains(&conn)
    }

    /// Everything written to a connection since the last look.
    pub fn take(&mut self, conn: ConnId) -> Vec<u8> {
        std::mem::take(self.writes.get_mut(&conn).unwrap()).concat()
    }

    pub fn sleep(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(wake) = self.wake.filter(|w| *w <= end) {
            self.now = wake.max(self.now);
            let before = self.wake;
            self.input(Input::Timeout);
            assert!(self.wake != before, "a deadline that does not go away");
        }
        self.now = end;
    }

    pub fn drain(&mut self) {
        self.input(Input::Drain);
    }

    /// The flow that runs, or was last held, on a connection.
    pub fn flow(&self, conn: ConnId) -> FlowId {
        let mut running = self.flows.iter().filter(|(_, f)| {
            f.conn == conn && !matches!(f.state, FlowState::Ended | FlowState::Dropped)
        });
        let (id, _) = running.next().expect("no flow on this connection");
        assert!(running.next().is_none(), "two flows on one connection");
        *id
    }

    pub fn has_flow(&self, conn: ConnId) -> bool {
        self.flows
            .values()
            .any(|f| f.conn == conn && f.state == FlowState::Running)
    }

    pub fn start_of(&self, flow: FlowId) -> &FlowStart {
        self.flows[&flow].start.as_ref().unwrap()
    }

    /// Send media as the driver does: `count` packets, 10 ms apart, in one write.
    pub fn media(&mut self, flow: FlowId, count: u32) {
        let packet = vec![0xBB; self.packet_bytes];
        self.packets(flow, count, &packet);
    }

    /// Send one packet as the driver does.
    pub fn packet(&mut self, flow: FlowId, packet: &[u8]) {
        self.packets(flow, 1, packet);
    }

    fn packets(&mut self, flow: FlowId, count: u32, packet: &[u8]) {
        let f = self.flows.get_mut(&flow).unwrap();
        assert!(matches!(f.state, FlowState::Running | FlowState::Holding));
        let start = f.start.as_ref().unwrap();
        let mut out = Vec::new();
        if start.datagrams.is_none() {
            start.framer.begin(&mut out);
        }
        for _ in 0..count {
            let meta = PacketMeta {
                number: start.packet + f.packets,
                send_time: start.send_time + 10 * f.packets,
                duration: 0,
                key: true,
                len: packet.len() as u32,
            };
            f.packets += 1;
            let Some(datagrams) = &start.datagrams else {
                start.framer.put(f.sequence, &meta, false, packet, &mut out);
                f.sequence += 1;
                continue;
            };
            let mut sink = Sink::default();
            let framer = &start.framer;
            framer.spray(f.sequence, &meta, false, packet, &mut sink);
            f.sequence += sink.0.iter().filter(|d| d.0 == 0).count() as u32;
            for (lane, bytes) in sink.0 {
                let lane = datagrams.lanes[lane];
                self.datagrams.push((lane.to, lane.channel, bytes));
            }
        }
        if start.datagrams.is_none() {
            start.framer.finish(0, &mut out);
            self.writes.get_mut(&f.conn).unwrap().push(out);
        }
    }

    pub fn totals(&self, flow: FlowId) -> FlowTotals {
        FlowTotals {
            packets: u64::from(self.flows[&flow].packets),
            bytes: 0,
            sequence: self.flows[&flow].sequence,
        }
    }

    pub fn held(&mut self, flow: FlowId) {
        let totals = self.totals(flow);
        let f = self.flows.get_mut(&flow).unwrap();
        assert_eq!(f.state, FlowState::Holding, "nobody asked to hold");
        f.state = FlowState::Held;
        let event = FlowEvent::Held(totals);
        self.input(Input::Flow { flow, event });
    }

    pub fn end(&mut self, flow: FlowId) {
        self.end_with(flow, FlowEnd::Finished);
    }

    pub fn end_with(&mut self, flow: FlowId, end: FlowEnd) {
        let totals = self.totals(flow);
        let f = self.flows.get_mut(&flow).unwrap();
        assert!(matches!(f.state, FlowState::Running | FlowState::Holding));
        f.state = FlowState::Ended;
        let event = FlowEvent::Ended(end, totals);
        self.input(Input::Flow { flow, event });
    }

    /// Statuses of the refusals that were reported.
    pub fn refused(&self) -> Vec<u16> {
        self.reports
            .iter()
            .filter_map(|r| match r {
                Report::Refused { status, .. } => Some(*status),
                Report::ClientLog { .. } => None,
            })
            .collect()
    }

    pub fn logs(&self) -> Vec<&ClientLog> {
        self.reports
            .iter()
            .filter_map(|r| match r {
                Report::ClientLog { log, .. } => Some(log),
                Report::Refused { .. } => None,
            })
            .collect()
    }

    pub fn answer_one(&mut self) {
        let (ticket, question) = self.unanswered.pop_front().expect("no question");
        let answer = self.answer(question);
        self.input(Input::Answer { ticket, answer });
    }

    pub fn answer_all(&mut self) {
        while !self.unanswered.is_empty() {
            self.answer_one();
        }
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.server.handle(self.now, input);
        self.run();
        while !self.slow && !self.unanswered.is_empty() {
            self.answer_all();
        }
    }

    fn run(&mut self) {
        loop {
            match self.server.poll(self.now) {
                Output::Send { conn, bytes } => {
                    assert!(
                        self.alive.contains(&conn),
                        "write to {conn:?}, which is gone"
                    );
                    assert!(!bytes.is_empty());
                    let busy = self.flows.values().any(|f| {
                        f.conn == conn
                            && f.writes_there()
                            && matches!(f.state, FlowState::Running | FlowState::Holding)
                    });
                    assert!(!busy, "write to {conn:?} under its flow");
                    self.writes.get_mut(&conn).unwrap().push(bytes.to_vec());
                }
                Output::Close { conn, how, fault } => {
                    assert!(self.alive.remove(&conn), "{conn:?} closed twice");
                    self.drop_flows(conn);
                    self.closed.insert(conn, (how, fault));
                }
                Output::Move { conn, core, unread } => {
                    assert!(self.alive.remove(&conn));
                    self.drop_flows(conn);
                    self.moved.insert(conn, (core, unread.to_vec()));
                }
                Output::Switch {
                    conn,
                    service,
                    unread,
                } => {
                    assert!(self.alive.remove(&conn));
                    self.drop_flows(conn);
                    self.switched.insert(conn, (service, unread.to_vec()));
                }
                Output::SendTo {
                    conn,
                    peer,
                    channel,
                    bytes,
                } => {
                    assert!(self.alive.contains(&conn), "datagram with {conn:?}");
                    self.datagrams.push((peer, channel, bytes.to_vec()));
                }
                Output::Pass { core, bytes, .. } => self.passed.push((core, bytes.to_vec())),
                Output::Ask { ticket, question } => {
                    match &*question {
                        Question::Open(o) => self.opens.push(o.clone()),
                        Question::Cue(c) => {
                            assert!(
                                self.held.contains_key(&c.content),
                                "cue of a closed content"
                            );
                            self.cues.push(c.clone());
                        }
                        Question::NextEntry(c) => assert!(self.held.contains_key(c)),
                        Question::Publish(p) => self.publishes.push(p.clone()),
                        Question::Recheck(r) => {
                            assert!(self.held.contains_key(&r.content));
                            self.rechecks += 1;
                        }
                    }
                    self.unanswered.push_back((ticket, *question));
                }
                Output::Flow { flow, command } => self.command(flow, command),
                Output::Release { content } => {
                    assert!(
                        self.held.remove(&content).is_some(),
                        "{content:?} released twice"
                    );
                }
                Output::Ingest(Ingest { session, event }) => {
                    self.ingested.push(Ingested::Event(session, event));
                }
                Output::Withdraw { session, destroy } => {
                    self.ingested.push(Ingested::Withdrawn(session, destroy));
                }
                Output::Report(report) => self.reports.push(*report),
                Output::Idle(wake) => {
                    self.wake = wake;
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn drop_flows(&mut self, conn: ConnId) {
        for f in self.flows.values_mut().filter(|f| f.conn == conn) {
            f.state = FlowState::Dropped;
        }
    }

    fn command(&mut self, flow: FlowId, command: FlowCommand) {
        let name = match &command {
            FlowCommand::Start(_) => "start".to_owned(),
            FlowCommand::StartFile { .. } => "file".to_owned(),
            FlowCommand::Select(list) => format!("select {}", list.len()),
            FlowCommand::Resend(list) => format!("resend {}", list.len()),
            FlowCommand::Hold => "hold".to_owned(),
            FlowCommand::Go => "go".to_owned(),
            FlowCommand::Drop => "drop".to_owned(),
        };
        match command {
            FlowCommand::Start(start) => {
                assert!(self.held.contains_key(&start.content));
                assert!(self.alive.contains(&start.conn));
                self.new_flow(flow, start.conn, Some(*start), None);
            }
            FlowCommand::StartFile {
                conn, offset, len, ..
            } => self.new_flow(flow, conn, None, Some((offset, len))),
            FlowCommand::Select(list) => {
                let state = self.flows[&flow].state;
                assert!(!matches!(state, FlowState::Ended | FlowState::Dropped));
                self.selects.push(list);
            }
            FlowCommand::Resend(list) => {
                let f = &self.flows[&flow];
                assert!(!f.writes_there() && f.state != FlowState::Dropped);
                self.resent.push(list);
            }
            FlowCommand::Hold => {
                let f = self.flows.get_mut(&flow).unwrap();
                assert_eq!(f.state, FlowState::Running);
                f.state = FlowState::Holding;
            }
            FlowCommand::Go => {
                let f = self.flows.get_mut(&flow).unwrap();
                assert_eq!(f.state, FlowState::Held);
                f.state = FlowState::Running;
            }
            FlowCommand::Drop => {
                let f = self.flows.get_mut(&flow).unwrap();
                assert!(
                    matches!(f.state, FlowState::Held | FlowState::Ended),
                    "{:?}",
                    f.state
                );
                f.state = FlowState::Dropped;
            }
        }
        self.flows.get_mut(&flow).unwrap().commands.push(name);
    }

    fn new_flow(
        &mut self,
        id: FlowId,
        conn: ConnId,
        start: Option<FlowStart>,
        file: Option<(u64, u64)>,
    ) {
        let flow = Flow {
            conn,
            start,
            file,
            commands: Vec::new(),
            sequence: 0,
            packets: 0,
            state: FlowState::Running,
        };
        assert!(self.flows.insert(id, flow).is_none(), "flow id used twice");
    }

    fn hand_out(&mut self, mut content: Content) -> Answer {
        self.next_content += 1;
        content.id = ContentId(self.next_content);
        self.held.insert(content.id, content.clone());
        Answer::Opened(Box::new(content))
    }

    fn answer(&mut self, question: Question) -> Answer {
        let (guarded, credentials) = match &question {
            Question::Open(open) => (
                matches!(self.points.get(&open.path), Some(Point::Media(c)) if c.guarded),
                open.credentials.clone(),
            ),
            Question::Recheck(recheck) => (true, recheck.credentials.clone()),
            Question::Publish(p) => (self.guard_publish, p.credentials.clone()),
            _ => (false, None),
        };
        match self.guard.as_mut().filter(|_| guarded) {
            None => self.answer_freely(question),
            Some(guard) => match guard(credentials.as_ref(), self.now) {
                Verdict::Pass(None) => self.answer_freely(question),
                Verdict::Pass(Some(identity)) => Answer::Verified {
                    identity,
                    answer: Box::new(self.answer_freely(question)),
                },
                Verdict::Challenge(challenge) => Answer::Challenge(Box::new(challenge)),
            },
        }
    }

    fn answer_freely(&mut self, question: Question) -> Answer {
        match question {
            Question::Recheck(_) => Answer::Allowed,
            Question::Publish(request) => match &mut self.publish {
                Some(publish) => publish(&request),
                None => Answer::Publishing,
            },
            Question::Open(open) => match self.points.get(&open.path).cloned() {
                Some(Point::Media(content)) => self.hand_out(content),
                Some(Point::Moved(url)) => Answer::Moved { url: url.into() },
                Some(Point::Document(content_type, body)) => Answer::Document {
                    content_type,
                    body: Bytes::from_static(body.as_bytes()),
                },
                Some(Point::Refused(refusal)) => Answer::Refused(refusal),
                None => Answer::Refused(Refusal::NotFound),
            },
            Question::Cue(cue) => match self.refuse_cue {
                Some(refusal) => Answer::Refused(refusal),
                None => {
                    let mut granted = self.cue.clone();
                    granted.accel = cue.accel.and(granted.accel);
                    granted.speed_milli = cue.speed_milli.and(granted.speed_milli);
                    granted.profile = granted.profile.filter(|_| cue.profile);
                    Answer::Cued(Box::new(granted))
                }
            },
            Question::NextEntry(id) => {
                let entry = self.held.get(&id).map_or(0, |c| c.entry);
                match self.next.get(&entry).cloned() {
                    Some(content) => self.hand_out(content),
                    None => Answer::Refused(Refusal::NotFound),
                }
            }
        }
    }
}
