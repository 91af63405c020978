//! A receiver and what happens to it, in virtual time.

use super::{S1, hex};
use bytes::Bytes;
use protocols::machine::{Channel, ConnId, Input, Machine, Output, Time};
use protocols::media::{Caster, IngestEvent, News, PacketMeta};
use protocols::msb::{Receiver, ReceiverConfig, Sender, SenderConfig};
use protocols::nsc::{FormatIds, Station};
use std::net::SocketAddr;

pub const GROUP: &str = "239.192.1.2:17000";

pub fn header() -> Bytes {
    hex(S1).into()
}

/// The station of one header.
pub fn station() -> Station {
    let mut formats = FormatIds::new();
    formats.id(&header());
    Station::new(GROUP.parse().expect("an address"), &formats)
}

/// A sender of that station, with an entry begun.
pub fn sender(span: Option<u8>) -> Sender {
    let config = SenderConfig {
        fec_span: span,
        ..SenderConfig::new(FormatIds::new())
    };
    let mut sender = Sender::new(config).expect("a possible span");
    enter(&mut sender, 1);
    sender
}

/// Begins an entry with the same header; what closes the one before.
pub fn enter(sender: &mut Sender, entry: u32) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    sender.entry(entry, &header(), &mut |d| sent.push(d.to_vec()));
    sent
}

/// Sends packets; the datagrams.
pub fn send(sender: &mut Sender, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for packet in packets {
        let meta = PacketMeta {
            number: 0,
            send_time: 0,
            duration: 0,
            key: true,
            len: packet.len() as u32,
        };
        sender.packet(&meta, packet, &mut |d| sent.push(d.to_vec()));
    }
    sent
}

/// What a receiver gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    Joined(SocketAddr),
    Header(Bytes),
    Packet(u32, Vec<u8>),
    EntryEnd,
    End(u32),
    Failed(String),
    Redirected(String),
    LogSent,
    Connect(ConnId, String, u16),
    Sent(ConnId, String),
    Close(ConnId),
}

pub struct Air {
    pub receiver: Receiver,
    pub now: Time,
    pub given: Vec<Given>,
    /// When the receiver wants to be woken.
    pub wake: Option<Time>,
    pub from: SocketAddr,
}

impl Air {
    pub fn new(config: ReceiverConfig) -> Air {
        let mut air = Air {
            receiver: Receiver::new(config),
            now: Time::ZERO,
            given: Vec::new(),
            wake: None,
            from: "192.0.2.10:4000".parse().expect("an address"),
        };
        air.drain();
        air
    }

    /// With the usual settings, joined already.
    pub fn usual() -> Air {
        let mut air = Air::new(ReceiverConfig::new(station(), 1));
        assert_eq!(
            air.take(),
            [Given::Joined(GROUP.parse().expect("an address"))]
        );
        air
    }

    pub fn datagram(&mut self, bytes: &[u8]) {
        let (channel, peer) = (Channel(0), self.from);
        self.input(Input::Datagram {
            channel,
            peer,
            bytes,
        });
    }

    pub fn datagrams(&mut self, all: &[Vec<u8>]) {
        for bytes in all {
            self.datagram(bytes);
        }
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.receiver.handle(self.now, input);
        self.drain();
    }

    pub fn finish(&mut self) {
        self.receiver.finish(self.now);
        self.drain();
    }

    /// Lets time go by; timers come when they are due.
    pub fn sleep_ms(&mut self, ms: u64) {
        let until = Time(self.now.0 + ms * 1000);
        while let Some(wake) = self.wake.filter(|wake| *wake <= until) {
            assert!(wake > self.now, "woken for nothing at {wake:?}");
            self.now = wake;
            self.input(Input::Timeout);
        }
        self.now = until;
    }

    /// What was given since the last time.
    pub fn take(&mut self) -> Vec<Given> {
        std::mem::take(&mut self.given)
    }

    /// The packets of what was given since the last time.
    pub fn packets(&mut self) -> Vec<Vec<u8>> {
        let packet = |given| match given {
            Given::Packet(_, bytes) => Some(bytes),
            _ => None,
        };
        self.take().into_iter().filter_map(packet).collect()
    }

    fn drain(&mut self) {
        loop {
            let given = match self.receiver.poll(self.now) {
                Output::Idle(wake) => {
                    self.wake = wake;
                    return;
                }
                Output::Join { channel, group } => {
                    assert_eq!(channel, Channel(0));
                    Given::Joined(group)
                }
                Output::Connect { conn, host, port } => Given::Connect(conn, host, port),
                Output::Send { conn, bytes } => {
                    Given::Sent(conn, String::from_utf8_lossy(&bytes).into_owned())
                }
                Output::Close { conn, .. } => Given::Close(conn),
                Output::Ingest(ingest) => match ingest.event {
                    IngestEvent::Header(blob) => Given::Header(blob),
                    IngestEvent::Packet { number, bytes } => Given::Packet(number, bytes.to_vec()),
                    IngestEvent::EntryEnd => Given::EntryEnd,
                    IngestEvent::End(code) => Given::End(code),
                    IngestEvent::Failed(fault) => Given::Failed(fault.reason),
                    IngestEvent::LogSent => Given::LogSent,
                    IngestEvent::News(news) => match *news {
                        News::Redirected(url) => Given::Redirected(url),
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            self.given.push(given);
        }
    }
}
