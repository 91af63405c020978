//! A server in this process, and a small blocking player of WMSP to look at it with.

#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

pub mod asf;
#[path = "../../../protocols/tests/asf_build/mod.rs"]
mod asf_build;
pub mod client;
pub mod group;
pub mod machine;
pub mod mms;
pub mod net;
pub mod push;
pub mod rtsp;

use engine::Server;
use engine::ops::config::Config;
use protocols::asf::Header;
use protocols::wmsp::packet::{self, Packet, Parsed};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No wait in a test is longer: what has not happened by then does not happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The bundled clip: 8 s, video with a key frame every 2 s, and audio.
pub fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/content/clip.wmv")
}

/// A folder that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ringcast-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    /// With a copy of the clip.
    pub fn with_clip(name: &str) -> Folder {
        let folder = Folder::new(name);
        std::fs::copy(clip(), folder.0.join("clip.wmv")).expect("the clip");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Parse a configuration whose paths are relative to a folder.
pub fn config(folder: &Folder, text: &str) -> Config {
    Config::parse(text, &folder.0.join("test.toml")).unwrap_or_else(|e| panic!("{e}"))
}

pub fn start(config: Config) -> Server {
    Server::start(config).unwrap_or_else(|e| panic!("{e}"))
}

pub fn http(server: &Server) -> SocketAddr {
    server.addresses().http[0]
}

/// Wait until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One `$D`.
#[derive(Clone, Debug)]
pub struct Data {
    pub number: u32,
    pub flags: u8,
    pub hurried: bool,
    pub payload: Vec<u8>,
}

/// What comes on a playing connection.
#[derive(Clone, Debug)]
pub enum Event {
    Header(Vec<u8>),
    Data(Data),
    End(u32),
    Other,
    /// The server closed.
    Closed,
}

/// A connection on which a Play was asked for.
pub struct Player {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    pub head: String,
}

impl Player {
    /// Ask for a path as an old player does, with these streams.
    pub fn play(server: SocketAddr, path: &str, streams: &[u8], extra: &str) -> Player {
        let entries: Vec<String> = streams.iter().map(|n| format!("ffff:{n}:0")).collect();
        let request = format!(
            "GET {path} HTTP/1.0\r\nUser-Agent: NSPlayer/4.1.0.3856\r\nHost: {server}\r\n\
             Pragma: no-cache,rate=1.000000,xPlayStrm=1\r\n{extra}\
             Pragma: stream-switch-count={}\r\nPragma: stream-switch-entry={}\r\n\r\n",
            streams.len(),
            entries.join(" "),
        );
        Player::ask(server, &request)
    }

    /// Send a request and read the head of the answer.
    pub fn ask(server: SocketAddr, request: &str) -> Player {
        let mut stream = TcpStream::connect(server).expect("a connection");
        stream.write_all(request.as_bytes()).expect("written");
        Player::answered(stream)
    }

    /// Read the head of the answer on a connection.
    pub fn answered(stream: TcpStream) -> Player {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut player = Player {
            stream,
            buffer: Vec::new(),
            head: String::new(),
        };
        loop {
            let end = player.buffer.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                let head = player.buffer.drain(..end + 4).collect();
                player.head = String::from_utf8(head).expect("a head in ASCII");
                return player;
            }
            if !player.fill() {
                return player;
            }
        }
    }

    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).and_then(|s| s.parse().ok());
        code.unwrap_or(0)
    }

    /// The next packet; the connection must not stand still.
    pub fn next(&mut self) -> Event {
        loop {
            let parsed = packet::parse(&self.buffer, 0).expect("WMSP");
            if let Parsed::Whole(packet, len) = parsed {
                let event = match packet {
                    Packet::Header(mms) => Event::Header(mms.payload.to_vec()),
                    Packet::Data { hurried, mms } => Event::Data(Data {
                        number: mms.location,
                        flags: mms.flags,
                        hurried,
                        payload: mms.payload.to_vec(),
                    }),
                    Packet::End(reason) => Event::End(reason),
                    _ => Event::Other,
                };
                self.buffer.drain(..len);
                return event;
            }
            if !self.fill() {
                return Event::Closed;
            }
        }
    }

    /// The header that the media begins with.
    pub fn header(&mut self) -> Header {
        match self.next() {
            Event::Header(blob) => Header::parse(&blob).expect("an ASF header"),
            other => panic!("no header: {other:?}; {}", self.head),
        }
    }

    /// The next `$D`.
    pub fn data(&mut self) -> Data {
        match self.next() {
            Event::Data(data) => data,
            other => panic!("no data: {other:?}"),
        }
    }

    /// All that comes until the server closes.
    pub fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.next() {
                Event::Closed => return events,
                event => events.push(event),
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                true
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("nothing came: {e}"),
        }
    }
}
