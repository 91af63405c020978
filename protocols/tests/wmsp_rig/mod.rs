//! A client machine and what it wants from its driver, played by hand.

#![allow(dead_code)]

pub mod talk;

use protocols::machine::{CloseHow, ConnId, Input, Machine, Output, Time};
use protocols::media::{IngestEvent, News};
use protocols::wmsp::client::{Client, ClientConfig};
use protocols::wmsp::packet::{self, PacketId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub struct Rig {
    pub client: Client,
    pub now: Time,
    /// Connections asked for: where to.
    pub connects: Vec<(ConnId, String, u16)>,
    /// Requests written and not yet looked at.
    pub sent: BTreeMap<ConnId, Vec<String>>,
    pub closed: Vec<(ConnId, CloseHow)>,
    pub events: Vec<IngestEvent>,
    pub deadline: Option<Time>,
}

impl Rig {
    pub fn new(config: ClientConfig) -> Rig {
        let mut rig = Rig {
            client: Client::new(config).unwrap(),
            now: Time(5_000_000),
            connects: Vec::new(),
            sent: BTreeMap::new(),
            closed: Vec::new(),
            events: Vec::new(),
            deadline: None,
        };
        rig.pump();
        rig
    }

    pub fn pump(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Connect { conn, host, port } => self.connects.push((conn, host, port)),
                Output::Send { conn, bytes } => {
                    assert!(
                        !self.closed.iter().any(|(c, _)| *c == conn),
                        "sent after close"
                    );
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    self.sent.entry(conn).or_default().push(text);
                }
                Output::Close { conn, how, .. } => {
                    assert!(!self.closed.iter().any(|(c, _)| *c == conn), "closed twice");
                    self.closed.push((conn, how));
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

    pub fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.pump();
    }

    /// Do something by hand.
    pub fn with(&mut self, act: impl FnOnce(&mut Client, Time)) {
        act(&mut self.client, self.now);
        self.pump();
    }

    /// Open the newest connection.
    pub fn open(&mut self) -> ConnId {
        let conn = self.connects.last().unwrap().0;
        let at: SocketAddr = "127.0.0.1:80".parse().unwrap();
        self.handle(Input::Opened {
            conn,
            peer: at,
            local: at,
        });
        conn
    }

    pub fn feed(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        self.handle(Input::Data {
            conn,
            bytes: bytes.as_ref(),
        });
    }

    /// The same, `size` bytes at a time, as long as the connection is there.
    pub fn feed_split(&mut self, conn: ConnId, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            if !self.is_closed(conn) {
                self.feed(conn, piece);
            }
        }
    }

    pub fn peer_closes(&mut self, conn: ConnId) {
        if !self.is_closed(conn) {
            self.handle(Input::Closed { conn });
        }
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.iter().any(|(c, _)| *c == conn)
    }

    /// The only request written on a connection since last asked.
    pub fn request(&mut self, conn: ConnId) -> String {
        let mut requests = self.requests(conn);
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    pub fn requests(&mut self, conn: ConnId) -> Vec<String> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    /// Let time pass up to the deadline that the machine gave.
    pub fn wait(&mut self) -> Duration {
        let at = self.deadline.expect("a deadline");
        let waited = at.since(self.now);
        self.now = at;
        self.handle(Input::Timeout);
        waited
    }

    pub fn take_events(&mut self) -> Vec<IngestEvent> {
        std::mem::take(&mut self.events)
    }

    /// LocationIds and bytes of the packets that came.
    pub fn packets(&self) -> Vec<(u32, Vec<u8>)> {
        let packets = self.events.iter().filter_map(|e| match e {
            IngestEvent::Packet { number, bytes } => Some((*number, bytes.to_vec())),
            _ => None,
        });
        packets.collect()
    }

    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|e| match e {
            IngestEvent::Failed(fault) => Some(&*fault.reason),
            _ => None,
        })
    }

    pub fn news(&self) -> Vec<&News> {
        let news = self.events.iter().filter_map(|e| match e {
            IngestEvent::News(news) => Some(&**news),
            _ => None,
        });
        news.collect()
    }
}

/// Tokens of all Pragma lines of a request, in order.
pub fn pragmas(request: &str) -> Vec<String> {
    let lines = request.lines().filter_map(|l| l.strip_prefix("Pragma: "));
    lines
        .flat_map(|l| l.split(','))
        .map(|t| t.trim().to_owned())
        .collect()
}

pub fn has(request: &str, token: &str) -> bool {
    pragmas(request).iter().any(|t| t == token)
}

/// The value of a header.
pub fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next().unwrap();
    head.lines()
        .filter_map(|l| l.split_once(": "))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

/// All pieces of an object.
pub fn object(id: PacketId, bytes: &[u8]) -> Vec<u8> {
    packet::pieces(id, 0, bytes)
        .flat_map(|(head, part)| [&head[..], part].concat())
        .collect()
}

pub fn data(location: u32, bytes: &[u8]) -> Vec<u8> {
    let flags = location as u8;
    let head = packet::head(PacketId::Data, false, location, 0, flags, bytes.len());
    [&head[..], bytes].concat()
}

pub fn end(reason: u32) -> [u8; 8] {
    packet::with_reason(PacketId::End, reason)
}

pub fn change(reason: u32) -> [u8; 8] {
    packet::with_reason(PacketId::StreamChange, reason)
}

pub fn metadata(entry: u32) -> Vec<u8> {
    let text = format!(
        "playlist-gen-id={entry}, broadcast-id=0, features=\"seekable\"\0\
         8,language,31,0,,28,WMS_CONTENT_DESCRIPTION_ROLE,31,2,AD\r\n"
    );
    object(PacketId::Metadata, text.as_bytes())
}

pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// A reply with a length.
pub fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: Cougar/9.01.01.3841\r\nCache-Control: no-cache\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of a reply without a length.
pub fn open_reply(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nServer: Cougar/9.01.01.3841\r\n{headers}\r\n").into_bytes()
}
