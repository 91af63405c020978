//! A client of MMSP and what it wants from its driver, played by hand.

#![allow(dead_code)]

use super::asf_build;
use protocols::machine::*;
use protocols::media::{IngestEvent, News};
use protocols::mmsp::client::{Client, ClientConfig};
use protocols::mmsp::message::*;
use protocols::mmsp::wire::{self, Item, Reader, incarnation};
use std::time::Duration;

pub const SERVER: &str = "192.0.2.1:1755";
pub const LOCAL: &str = "192.0.2.7:4321";
pub const CLIENT_ID: u32 = 0x1A2B_3C4D;
pub const UDP_PORT: u16 = 7000;
pub const PACKET_SIZE: u32 = 400;

/// Results.
pub const MORE: u32 = 1;
pub const REFUSED: u32 = 0xC00D_001A;

pub struct Rig {
    pub client: Client,
    pub now: Time,
    pub connects: Vec<(ConnId, String, u16)>,
    pub closed: Vec<ConnId>,
    pub events: Vec<IngestEvent>,
    pub deadline: Option<Time>,
    /// Messages written and not yet looked at, and the datagrams.
    sent: Vec<ToServer>,
    pub requests: Vec<ResendRequest>,
    /// Sequence numbers of the packets that were written.
    pub seqs: Vec<u16>,
    reader: Reader<ToServer>,
    seq: u16,
}

pub fn config(url: &str) -> ClientConfig {
    ClientConfig {
        udp_port: UDP_PORT,
        packet_pair: false,
        ..ClientConfig::new(url, 5)
    }
}

pub fn header() -> Vec<u8> {
    asf_build::simple_blob(100, PACKET_SIZE, 1000)
}

/// An ASF packet whose payload tells its number.
pub fn media(number: u32) -> Vec<u8> {
    let piece = asf_build::Piece::whole(1, true, number as u8, number * 100, 20);
    asf_build::packet(PACKET_SIZE as usize, number * 100, 100, &[piece])
}

impl Rig {
    pub fn new(config: ClientConfig) -> Rig {
        let mut rig = Rig {
            client: Client::new(config).unwrap(),
            now: Time(5_000_000),
            connects: Vec::new(),
            closed: Vec::new(),
            events: Vec::new(),
            deadline: None,
            sent: Vec::new(),
            requests: Vec::new(),
            seqs: Vec::new(),
            reader: Reader::default(),
            seq: 0,
        };
        rig.pump();
        rig
    }

    pub fn pump(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Connect { conn, host, port } => {
                    self.connects.push((conn, host, port));
                    self.reader = Reader::default();
                    self.seq = 0;
                }
                Output::Send { conn, bytes } => {
                    assert!(!self.closed.contains(&conn), "sent after close");
                    self.seqs.push(u16::from_le_bytes([bytes[20], bytes[21]]));
                    self.reader.push(&bytes);
                    let item = self.reader.take().unwrap();
                    let Some(Item::Message(message)) = item else {
                        panic!("{item:?}");
                    };
                    self.sent.push(message);
                    // MMSP-08
                    assert!(self.reader.take().unwrap().is_none(), "one in each packet");
                }
                Output::SendTo {
                    channel,
                    peer,
                    bytes,
                    ..
                } => {
                    assert_eq!((channel, peer), (Channel(0), SERVER.parse().unwrap()));
                    self.requests.push(ResendRequest::read(&bytes).unwrap());
                }
                Output::Close { conn, .. } => {
                    assert!(!self.closed.contains(&conn), "closed twice");
                    self.closed.push(conn);
                }
                Output::Ingest(ingest) => self.events.push(ingest.event),
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                other => panic!("a client has no use for {other:?}"),
            }
        }
    }

    pub fn conn(&self) -> ConnId {
        self.connects.last().unwrap().0
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.pump();
    }

    pub fn with(&mut self, act: impl FnOnce(&mut Client, Time)) {
        act(&mut self.client, self.now);
        self.pump();
    }

    /// Open the newest connection; gives what Connect says.
    pub fn open(&mut self) -> (u32, String) {
        let conn = self.conn();
        let (peer, local) = (SERVER.parse().unwrap(), LOCAL.parse().unwrap());
        self.handle(Input::Opened { conn, peer, local });
        match self.only() {
            ToServer::Connect {
                play_incarnation,
                subscriber_name,
            } => (play_incarnation, subscriber_name),
            other => panic!("{other:?}"),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let conn = self.conn();
        if !self.closed.contains(&conn) {
            self.handle(Input::Data { conn, bytes });
        }
    }

    pub fn say(&mut self, message: ToClient) {
        let bytes = wire::packet(&message, self.seq, 0);
        self.seq += 1;
        self.bytes(&bytes);
    }

    /// A Data packet, on the connection or as a datagram.
    pub fn data(&mut self, head: DataHead, payload: &[u8], udp: bool) {
        let mut bytes = head.bytes().to_vec();
        bytes.extend_from_slice(payload);
        if udp {
            self.datagram(SERVER, &bytes);
        } else {
            self.bytes(&bytes);
        }
    }

    pub fn datagram(&mut self, from: &str, bytes: &[u8]) {
        self.handle(Input::Datagram {
            channel: Channel(0),
            peer: from.parse().unwrap(),
            bytes,
        });
    }

    /// Media of a start, numbered in the file by `location`.
    pub fn media(&mut self, inc: u32, sequence: u32, location: u32, udp: bool) {
        let payload = media(location);
        let head = DataHead::of(location, inc as u8, sequence as u8, payload.len());
        self.data(head, &payload, udp);
    }

    /// The messages written since last asked.
    pub fn sent(&mut self) -> Vec<ToServer> {
        std::mem::take(&mut self.sent)
    }

    pub fn only(&mut self) -> ToServer {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.deadline.filter(|t| *t <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    /// Let time pass up to the deadline that the machine gave.
    pub fn wait(&mut self) -> Duration {
        let at = self.deadline.expect("a deadline");
        let waited = at.since(self.now);
        self.now = at;
        self.handle(Input::Timeout);
        waited
    }

    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::Failed(fault) => Some(&*fault.reason),
            _ => None,
        })
    }

    pub fn numbers(&self) -> Vec<u32> {
        let numbers = self.events.iter().filter_map(|e| match e {
            IngestEvent::Packet { number, .. } => Some(*number),
            _ => None,
        });
        numbers.collect()
    }

    pub fn has_news(&self, news: &News) -> bool {
        let is = |e: &IngestEvent| matches!(e, IngestEvent::News(n) if **n == *news);
        self.events.iter().any(is)
    }

    /// Up to OpenFile, which is left to be answered; gives it.
    pub fn open_up_to_file(&mut self, version: &str) -> ToServer {
        self.open();
        self.say(connected(version, false));
        assert_eq!(
            self.only(),
            ToServer::FunnelInfo {
                play_incarnation: incarnation::NO_PAIR
            }
        );
        self.say(funnel(incarnation::NO_PAIR, 0));
        assert!(matches!(self.only(), ToServer::ConnectFunnel { .. }));
        self.say(ToClient::ReportConnectedFunnel);
        self.only()
    }

    /// The file is opened and the header sent; gives the messages that start it.
    pub fn describe(&mut self, report: ReportOpenFile, udp: bool) -> Vec<ToServer> {
        self.say(ToClient::ReportOpenFile(report));
        self.read_block(1, udp)
    }

    /// ReadBlock with this incarnation was sent: the header follows, in three pieces.
    pub fn read_block(&mut self, inc: u32, udp: bool) -> Vec<ToServer> {
        let message = ToServer::ReadBlock {
            open_file_id: 1,
            play_incarnation: inc,
        };
        assert_eq!(self.only(), message);
        self.say(ToClient::ReportReadBlock {
            hr: 0,
            play_incarnation: inc,
        });
        self.header(inc as u8, udp);
        self.sent()
    }

    pub fn header(&mut self, inc: u8, udp: bool) {
        let header = header();
        let size = header.len().div_ceil(3);
        for (head, payload) in wire::fragments(&header, size, inc) {
            self.data(head, payload, udp);
        }
    }

    /// The starting messages are answered; gives the start's incarnation.
    pub fn started(&mut self, messages: &[ToServer]) -> u32 {
        let [ToServer::StreamSwitch { .. }, start] = messages else {
            panic!("{messages:#?}");
        };
        self.say(ToClient::ReportStreamSwitch { hr: 0 });
        match start {
            ToServer::StartPlaying(start) => {
                self.say(ToClient::ReportStartedPlaying {
                    hr: 0,
                    play_incarnation: start.play_incarnation,
                    tiger_file_id: 1,
                });
                start.play_incarnation
            }
            ToServer::StartStriding {
                play_incarnation, ..
            } => {
                self.say(ToClient::ReportStartStriding {
                    hr: 0,
                    play_incarnation: *play_incarnation,
                });
                *play_incarnation
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn end(&mut self, hr: u32, inc: u32) {
        self.say(ToClient::ReportEndOfStream {
            hr,
            play_incarnation: inc,
        });
    }
}

/// A session that plays, from the start on.
pub fn playing(config: ClientConfig) -> (Rig, u32) {
    let udp = config.url.starts_with("mmsu");
    let mut rig = Rig::new(config);
    rig.open_up_to_file("9.01.01.3841");
    let start = rig.describe(opened(), udp);
    let inc = rig.started(&start);
    (rig, inc)
}

pub fn connected(version: &str, pair: bool) -> ToClient {
    ToClient::ReportConnectedEx {
        hr: 0,
        play_incarnation: match pair {
            true => incarnation::PAIR,
            false => incarnation::NO_PAIR,
        },
        server_version: version.into(),
        version_info: String::new(),
        version_url: String::new(),
        authen_package: "BASIC".into(),
    }
}

pub fn funnel(play_incarnation: u32, pair: usize) -> ToClient {
    ToClient::ReportFunnelInfo {
        play_incarnation,
        client_id: CLIENT_ID,
        pair: vec![7; pair],
    }
}

pub fn opened() -> ReportOpenFile {
    ReportOpenFile {
        hr: 0,
        play_incarnation: 9,
        open_file_id: 1,
        attributes: 0x0180_0000,
        duration: 10.0,
        blocks: 10,
        packet_size: PACKET_SIZE,
        packet_count: 100,
        bit_rate: 24_000,
        header_size: header().len() as u32,
    }
}
