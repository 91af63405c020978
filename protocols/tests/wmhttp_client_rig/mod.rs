//! A scripted server around the client machine of WMHTTP, in virtual time, and the data of the
//! reference's worked exchanges.
#![allow(dead_code, unused_imports)]

pub mod sha256;

use bytes::Bytes;
use protocols::machine::*;
use protocols::media::{IngestEvent, News};
use protocols::wmhttp::client::{Client, ClientConfig, Packets};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

pub use sha256::sha256;

/// The synthetic header, 326 bytes.
pub fn s1() -> Bytes {
    let text = include_str!("s1.hex");
    let bytes = hex(text);
    assert_eq!(bytes.len(), 326);
    Bytes::from(bytes)
}

/// The synthetic packets as stored, 64 bytes each, and cut as the exchanges have them.
pub const F1: &str = "82 00 00 08 5D 17 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 00 00 00 \
    41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \
    00 00 00";
pub const P1: &str = "82 00 00 08 5D 00 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 00 00 00 \
    41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45";
pub const P2: &str = "82 00 00 08 5D 00 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 00 00 00 \
    50 41 43 4B 45 54 2D 32";
pub const P3: &str = "82 00 00 08 5D 00 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 00 00 00 \
    74 68 65 2D 74 68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D";

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

/// The encoder of the worked exchanges: what it is given is cut already.
pub fn config() -> ClientConfig {
    ClientConfig {
        auto_destroy: Some(true),
        accept_authentication: "Negotiate, NTLM, Digest".into(),
        packets: Packets::AsGiven,
        ..ClientConfig::new("http://media.example/live/ch1", 1)
    }
}

/// The 204 of exchange A.
pub const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\
    Server: Cougar/9.01.01.3814\r\n\
    Content-Length: 0\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Pragma: no-cache, timeout=60000\r\n\
    Cache-Control: no-cache\r\n\
    Set-Cookie: push-id=3735928559\r\n\
    Supported: com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, com.microsoft.wm.predstrm, \
    com.microsoft.wm.fastcache, com.microsoft.wm.startupprofile\r\n\r\n";

/// The machine and what it did.
pub struct Rig {
    pub client: Client,
    pub now: Time,
    /// Every connection asked for: name, host, port.
    pub connects: Vec<(ConnId, String, u16)>,
    /// Written and not yet looked at.
    sent: BTreeMap<ConnId, Vec<u8>>,
    live: BTreeSet<ConnId>,
    pub closed: Vec<(ConnId, CloseHow)>,
    pub events: Vec<IngestEvent>,
    pub deadline: Option<Time>,
    /// Bytes of each piece in which replies arrive.
    pub piece: usize,
}

impl Rig {
    pub fn new(config: ClientConfig) -> Rig {
        let mut rig = Rig {
            client: Client::new(config).unwrap(),
            now: Time::ZERO,
            connects: Vec::new(),
            sent: BTreeMap::new(),
            live: BTreeSet::new(),
            closed: Vec::new(),
            events: Vec::new(),
            deadline: None,
            piece: usize::MAX,
        };
        rig.drain();
        rig
    }

    /// With a session that was accepted, and its connection.
    pub fn established(config: ClientConfig) -> (Rig, ConnId) {
        let mut rig = Rig::new(config);
        let conn = rig.open();
        rig.take(conn);
        rig.reply(conn, NO_CONTENT);
        (rig, conn)
    }

    /// The connection that was asked for last is there.
    pub fn open(&mut self) -> ConnId {
        let conn = self.connects.last().expect("a connection").0;
        let peer = SocketAddr::from(([127, 0, 0, 1], 80));
        let local = SocketAddr::from(([127, 0, 0, 1], 40_000));
        self.input(Input::Opened { conn, peer, local });
        conn
    }

    pub fn reply(&mut self, conn: ConnId, text: &str) {
        for piece in text.as_bytes().chunks(self.piece.min(text.len())) {
            if self.live.contains(&conn) {
                self.input(Input::Data { conn, bytes: piece });
            }
        }
    }

    /// The server closes.
    pub fn hang_up(&mut self, conn: ConnId) {
        self.live.remove(&conn);
        self.input(Input::Closed { conn });
    }

    pub fn wait(&mut self, by: Duration) {
        self.now = self.now + by;
        if self.deadline.is_some_and(|t| t <= self.now) {
            self.input(Input::Timeout);
        }
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.drain();
    }

    pub fn header(&mut self, header: Bytes) {
        self.client.header(self.now, header).unwrap();
        self.drain();
    }

    pub fn packet(&mut self, text: &str) {
        self.client.packet(self.now, &hex(text)).unwrap();
        self.drain();
    }

    pub fn entry_end(&mut self, end: protocols::wmhttp::client::EntryEnd) {
        self.client.entry_end(self.now, end).unwrap();
        self.drain();
    }

    pub fn finish(&mut self) {
        self.client.finish(self.now);
        self.drain();
    }

    /// Carries out what the machine wants, and holds it to the contract.
    pub fn drain(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Output::Connect { conn, host, port } => {
                    assert!(self.live.is_empty(), "one connection at a time");
                    assert!(self.connects.iter().all(|c| c.0 != conn), "a new name");
                    self.live.insert(conn);
                    self.connects.push((conn, host, port));
                }
                Output::Send { conn, bytes } => {
                    assert!(self.live.contains(&conn), "written to one that is gone");
                    assert!(!bytes.is_empty());
                    self.sent.entry(conn).or_default().extend_from_slice(&bytes);
                }
                Output::Close { conn, how, .. } => {
                    assert!(self.live.remove(&conn), "closed one that is gone");
                    self.closed.push((conn, how));
                }
                Output::Ingest(ingest) => self.events.push(ingest.event),
                other => panic!("a client does not want {other:?}"),
            }
        }
    }

    /// What was written since the last look.
    pub fn take(&mut self, conn: ConnId) -> Vec<u8> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    /// One request's head, as text, and what was written behind it.
    pub fn request(&mut self, conn: ConnId) -> (String, Vec<u8>) {
        let bytes = self.take(conn);
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head")
            + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        (head, bytes[end..].to_vec())
    }

    /// What the session failed of.
    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::Failed(fault) => Some(&*fault.reason),
            _ => None,
        })
    }

    pub fn news(&self) -> Vec<&News> {
        let news = |e: &'_ IngestEvent| matches!(e, IngestEvent::News(_));
        let news = self.events.iter().filter(|e| news(e));
        news.map(|e| match e {
            IngestEvent::News(news) => &**news,
            _ => unreachable!(),
        })
        .collect()
    }

    pub fn ended(&self) -> Option<u32> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::End(reason) => Some(*reason),
            _ => None,
        })
    }
}

/// Value of a header line; its name in exactly this spelling.
pub fn line<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

/// A frame: its letter, and the bytes behind its length.
pub fn frames(mut bytes: &[u8]) -> Vec<(char, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[0], 0x24, "WMHTTP-12");
        let len = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        frames.push((char::from(bytes[1]), bytes[4..4 + len].to_vec()));
        bytes = &bytes[4 + len..];
    }
    frames
}

pub fn letters(bytes: &[u8]) -> String {
    frames(bytes).iter().map(|f| f.0).collect()
}
