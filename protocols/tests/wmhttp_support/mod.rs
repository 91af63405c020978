//! The bench around WMHTTP's server machine, and what an encoder sends to it.
#![allow(dead_code)]

#[path = "../asf_build/mod.rs"]
mod asf_build;
#[path = "../support/mod.rs"]
mod support;
#[path = "../wmsp_support/wire.rs"]
mod wire;

pub use asf_build::hex as unhex;
use protocols::asf::trim;
use protocols::machine::{ConnId, CoreId};
use protocols::media::IngestEvent;
use protocols::wmhttp::frame::{self, Kind};
use protocols::wmhttp::server::{Config, Server};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
pub use support::*;
pub use wire::Reply;

/// The synthetic header of the references: PCM, packets of 64 bytes.
pub const S1: &str = "30 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C \
     14 01 00 00 00 00 00 00 03 00 00 00 01 02 A1 DC \
     AB 8C 47 A9 CF 11 8E E4 00 C0 0C 20 53 65 68 00 \
     00 00 00 00 00 00 10 11 12 13 14 15 16 17 18 19 \
     1A 1B 1C 1D 1E 1F 00 00 00 00 00 00 00 00 00 00 \
     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \
     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \
     00 00 00 00 00 00 01 00 00 00 40 00 00 00 40 00 \
     00 00 00 FA 00 00 B5 03 BF 5F 2E A9 CF 11 8E E3 \
     00 C0 0C 20 53 65 2E 00 00 00 00 00 00 00 11 D2 \
     D3 AB BA A9 CF 11 8E E6 00 C0 0C 20 53 65 06 00 \
     00 00 00 00 91 07 DC B7 B7 A9 CF 11 8E E6 00 C0 \
     0C 20 53 65 60 00 00 00 00 00 00 00 40 9E 69 F8 \
     4D 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 57 FB 20 \
     55 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 00 00 00 \
     00 00 00 00 12 00 00 00 00 00 00 00 01 00 00 00 \
     00 00 01 00 01 00 40 1F 00 00 40 1F 00 00 01 00 \
     08 00 00 00 36 26 B2 75 8E 66 CF 11 A6 D9 00 AA \
     00 62 CE 6C 00 00 00 00 00 00 00 00 10 11 12 13 \
     14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 00 00 00 00 \
     00 00 00 00 01 01";
pub const F1: &str = "82 00 00 08 5D 17 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 \
     00 00 00 41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45 00 00 00 00 00 00 00 \
     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
pub const F2: &str = "82 00 00 08 5D 1D 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 \
     00 00 00 50 41 43 4B 45 54 2D 32 00 00 00 00 00 00 00 00 00 00 00 00 00 \
     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
pub const F3: &str = "82 00 00 08 5D 11 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 \
     00 00 00 74 68 65 2D 74 68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D 00 \
     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
pub const P1: &str = "82 00 00 08 5D 00 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 \
     00 00 00 41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45";
pub const P2: &str = "82 00 00 08 5D 00 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 \
     00 00 00 50 41 43 4B 45 54 2D 32";
pub const P3: &str = "82 00 00 08 5D 00 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 \
     00 00 00 74 68 65 2D 74 68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D";

pub const AGENT: &str = "WMEncoder/11.0.5721.5145";
/// 2026-01-01 00:00:00 GMT.
pub const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
pub const ENDLESS: u64 = 2_147_483_647;

pub type Bench = support::Bench<Server>;

pub fn config(core: u8, cores: u8) -> Config {
    // The bench begins a second after its origin.
    Config {
        unix_origin: Some(NEW_YEAR - Duration::from_secs(1)),
        ..Config::new(CoreId(core), cores, [core + 1; 32])
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(config(0, 1))
    }

    pub fn with(config: Config) -> Bench {
        Bench::around(Server::new(config))
    }

    /// Open a connection, send, and give what came back.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> (ConnId, Reply) {
        let conn = self.open();
        self.send(conn, bytes);
        let reply = self.reply(conn);
        (conn, reply)
    }

    pub fn reply(&mut self, conn: ConnId) -> Reply {
        Reply::parse(&self.take(conn))
    }

    /// A session that is set up for /live/ch1: its connection and its push-id.
    pub fn set_up(&mut self) -> (ConnId, String) {
        let (conn, reply) = self.ask(setup("0", "AutoDestroy: 1\r\n"));
        assert_eq!(reply.line, "HTTP/1.1 204 No Content");
        (conn, id_of(&reply))
    }

    /// The same, with the header and one packet received.
    pub fn streaming(&mut self) -> (ConnId, String) {
        let (conn, id) = self.set_up();
        self.send(conn, start(&id, ENDLESS));
        self.send(conn, [header(S1), data(P1)].concat());
        assert_eq!(self.take(conn), b"");
        self.ingested.clear();
        (conn, id)
    }

    /// What was published, the sessions left out; each end as its debug text.
    pub fn published(&self) -> Vec<String> {
        self.ingested
            .iter()
            .map(|i| match i {
                Ingested::Event(_, IngestEvent::Header(h)) => format!("header {}", h.len()),
                Ingested::Event(_, IngestEvent::Packet { number, bytes }) => {
                    format!("packet {number} {}", bytes.len())
                }
                Ingested::Event(_, IngestEvent::EntryEnd) => "entry end".to_owned(),
                Ingested::Event(_, IngestEvent::End(reason)) => format!("end {reason}"),
                Ingested::Event(_, IngestEvent::Failed(f)) => format!("failed: {}", f.reason),
                Ingested::Event(_, other) => format!("{other:?}"),
                Ingested::Withdrawn(_, destroy) => format!("withdrawn {destroy}"),
            })
            .collect()
    }
}

/// A request with the headers of the worked exchanges, in their order.
pub fn request(kind: &str, cookie: &str, length: u64) -> String {
    format!(
        "POST /live/ch1 HTTP/1.1\r\n\
         Content-Type: application/x-wms-{kind}\r\n\
         X-Accept-Authentication: Negotiate, NTLM, Digest\r\n\
         User-Agent: {AGENT}\r\n\
         Host: media.example\r\n\
         Content-Length: {length}\r\n\
         Connection: Keep-Alive\r\n\
         Cache-Control: no-cache\r\n\
         Cookie: push-id={cookie}\r\n\r\n"
    )
}

pub fn setup(cookie: &str, body: &str) -> String {
    request("pushsetup", cookie, body.len() as u64) + body
}

pub fn start(cookie: &str, length: u64) -> String {
    request("pushstart", cookie, length)
}

/// The request with more header lines.
pub fn with(request: &str, lines: &str) -> String {
    request.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}

/// The request without one of its header lines.
pub fn without(request: &str, name: &str) -> String {
    let lines = request.split_inclusive("\r\n");
    lines
        .filter(|l| !l.starts_with(&format!("{name}: ")))
        .collect()
}

pub fn put(kind: Kind, reason: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(frame::put(kind, reason, payload, &mut out));
    out
}

pub fn header(text: &str) -> Vec<u8> {
    put(Kind::Header, 0, &unhex(text))
}

pub fn change(text: &str) -> Vec<u8> {
    put(Kind::Change, 0, &unhex(text))
}

pub fn data(text: &str) -> Vec<u8> {
    put(Kind::Data, 0, &unhex(text))
}

pub fn end(reason: u32) -> Vec<u8> {
    put(Kind::End, reason, b"")
}

/// A filler frame of so many bytes in all.
pub fn filler(len: usize) -> Vec<u8> {
    put(Kind::Filler, 0, &vec![0; len - 4])
}

/// A packet as it is passed on: with a length of its own.
pub fn passed_on(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    trim::trim(&unhex(text), 64, &mut out).unwrap();
    assert!(out.len() > unhex(text).len());
    out
}

pub fn sha256(bytes: &[u8]) -> String {
    protocols::auth::hex(&Sha256::digest(bytes))
}

pub fn id_of(reply: &Reply) -> String {
    let cookie = reply.get("Set-Cookie").expect("a push-id");
    let id = cookie.strip_prefix("push-id=").unwrap();
    assert_eq!(id.len(), 10);
    id.to_owned()
}
