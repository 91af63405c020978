//! An HTTP client that keeps its connection: one request or several, replies in their order, bodies
//! of every kind, WMSP packets out of them.

use super::{Data, Event, PATIENCE};
use protocols::wmsp::packet::{self, Packet, Parsed};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A player of the 9 series.
pub const NINE: &str = "NSPlayer/9.0.0.3352";

/// The text of a request with these header lines; `what` is the method and the path.
pub fn request(agent: &str, what: &str, lines: &[&str]) -> String {
    let mut text = format!("{what} HTTP/1.1\r\nHost: ringcast.test\r\nUser-Agent: {agent}\r\n");
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text + "\r\n"
}

/// A Describe of a 9.x player.
pub fn describe(path: &str) -> String {
    request(NINE, &format!("GET {path}"), &["Pragma: no-cache"])
}

/// A Play of a 9.x player: these streams, these tokens.
pub fn play(path: &str, client_id: Option<u32>, streams: &[u8], tokens: &str) -> String {
    let id = client_id.map_or(String::new(), |id| format!(",client-id={id}"));
    let tokens = format!("Pragma: no-cache,xPlayStrm=1{id}{tokens}");
    request(
        NINE,
        &format!("GET {path}"),
        &[
            &tokens,
            &format!("Pragma: stream-switch-entry={}", on(streams)),
        ],
    )
}

/// Tokens for media as fast as the point allows.
pub const FAST: &str = ",AccelBW=100000000,AccelDuration=600000";

/// The entries that switch these streams on.
pub fn on(streams: &[u8]) -> String {
    let entries: Vec<String> = streams.iter().map(|n| format!("ffff:{n}:0")).collect();
    entries.join(" ")
}

/// A request that names a session.
pub fn of_session(what: &str, client_id: u32, tokens: &str) -> String {
    request(
        NINE,
        what,
        &[&format!("Pragma: client-id={client_id}{tokens}")],
    )
}

/// The head of a reply.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
}

impl Reply {
    /// Value of the first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Value of a token of a Pragma header.
    pub fn pragma(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let list = line.strip_prefix("Pragma:")?;
            list.split(',').find_map(|token| {
                let (n, value) = token.trim().split_once('=')?;
                (n == name).then_some(value)
            })
        })
    }

    /// The session's id.
    pub fn client_id(&self) -> u32 {
        let id = self.pragma("client-id").and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("no client-id: {}", self.head))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    None,
    Length(usize),
    Chunked,
    ToTheEnd,
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    raw: Vec<u8>,
    decoded: Vec<u8>,
    body: Body,
    pairs: u8,
}

impl Client {
    pub fn connect(at: SocketAddr) -> Client {
        Client::on(TcpStream::connect(at).expect("a connection"))
    }

    /// With a small receive buffer, as one whose network takes little.
    pub fn narrow(at: SocketAddr, bytes: usize) -> Client {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a small buffer");
        socket.connect(&at.into()).expect("a connection");
        Client::on(socket.into())
    }

    fn on(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Client {
            stream,
            raw: Vec::new(),
            decoded: Vec::new(),
            body: Body::None,
            pairs: 0,
        }
    }

    /// Connect and ask.
    pub fn ask(at: SocketAddr, request: &str) -> (Client, Reply) {
        let mut client = Client::connect(at);
        client.send(request);
        let reply = client.reply();
        (client, reply)
    }

    pub fn send(&mut self, request: &str) {
        // A server that closed is found out by what it says, or that it says nothing.
        let _ = self.stream.write_all(request.as_bytes());
    }

    /// The head of the next reply; the one before must have been read to its end.
    pub fn reply(&mut self) -> Reply {
        let reply = self.try_reply();
        reply.unwrap_or_else(|| {
            panic!(
                "closed before a reply: {:?}",
                self.raw.escape_ascii().to_string()
            )
        })
    }

    /// As [`Client::reply`]; `None` if the server closed.
    pub fn try_reply(&mut self) -> Option<Reply> {
        assert_eq!(
            (self.body, self.decoded.len()),
            (Body::None, 0),
            "the last body is read"
        );
        let end = loop {
            if let Some(end) = self.raw.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.raw.drain(..end).collect()).expect("a head in ASCII");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let reply = Reply {
            status: status.expect("a status"),
            head,
        };
        self.pairs = 0;
        self.body = if reply.header("Transfer-Encoding") == Some("chunked") {
            Body::Chunked
        } else if [204, 304].contains(&reply.status) {
            Body::None
        } else {
            match reply
                .header("Content-Length")
                .map(|n| n.parse().expect("a length"))
            {
                Some(0) => Body::None,
                Some(n) => Body::Length(n),
                None => Body::ToTheEnd,
            }
        };
        Some(reply)
    }

    /// The reply was to HEAD: its length tells of a body that does not come.
    pub fn no_body(&mut self) {
        self.body = Body::None;
    }

    /// The whole body.
    pub fn body(&mut self) -> Vec<u8> {
        while self.body != Body::None && self.more() {}
        std::mem::take(&mut self.decoded)
    }

    /// Part of the body: at least so many bytes, unless it ends.
    pub fn part(&mut self, bytes: usize) -> Vec<u8> {
        while self.decoded.len() < bytes && self.body != Body::None && self.more() {}
        std::mem::take(&mut self.decoded)
    }

    /// The next packet of the body; [`Event::Closed`] at its end.
    pub fn next(&mut self) -> Event {
        loop {
            if let Parsed::Whole(packet, len) =
                packet::parse(&self.decoded, self.pairs).expect("WMSP")
            {
                let event = match packet {
                    Packet::Header(mms) => Event::Header(mms.payload.to_vec()),
                    Packet::Data { hurried, mms } => Event::Data(Data {
                        number: mms.location,
                        flags: mms.flags,
                        hurried,
                        payload: mms.payload.to_vec(),
                    }),
                    Packet::End(reason) => Event::End(reason),
                    Packet::Pair { .. } => {
                        self.pairs += 1;
                        Event::Other
                    }
                    _ => Event::Other,
                };
                self.decoded.drain(..len);
                return event;
            }
            if self.body == Body::None || !self.more() {
                assert!(self.decoded.is_empty(), "ends inside a packet");
                return Event::Closed;
            }
        }
    }

    /// The next `$D`, past what stands before it.
    pub fn data(&mut self) -> Data {
        loop {
            match self.next() {
                Event::Data(data) => return data,
                Event::Header(_) | Event::Other => {}
                other => panic!("no data: {other:?}"),
            }
        }
    }

    /// All `$D` until something else comes, and that.
    pub fn all_data(&mut self) -> (Vec<Data>, Event) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Event::Data(data) => all.push(data),
                Event::Header(_) | Event::Other => {}
                other => return (all, other),
            }
        }
    }

    /// Wait for the end of the connection; true if nothing came before it.
    pub fn closes(&mut self) -> bool {
        let silent = self.raw.is_empty() && self.decoded.is_empty();
        !self.fill() && silent
    }

    /// Decode some more of the body; false if the connection ended.
    fn more(&mut self) -> bool {
        if self.raw.is_empty() && !self.fill() {
            assert_eq!(self.body, Body::ToTheEnd, "closed inside a body");
            self.body = Body::None;
            return false;
        }
        match self.body {
            Body::None => {}
            Body::ToTheEnd => self.decoded.append(&mut self.raw),
            Body::Length(left) => {
                let n = left.min(self.raw.len());
                self.decoded.extend(self.raw.drain(..n));
                self.body = match left - n {
                    0 => Body::None,
                    left => Body::Length(left),
                };
            }
            Body::Chunked => {
                let Some(line) = self.raw.windows(2).position(|w| w == b"\r\n") else {
                    return self.fill();
                };
                let text = std::str::from_utf8(&self.raw[..line]).expect("ASCII");
                let size = usize::from_str_radix(text, 16).expect("a chunk's size");
                // The line end behind a chunk, or behind the last one's trailer.
                while self.raw.len() < line + 2 + size + 2 {
                    assert!(self.fill(), "closed inside a chunk");
                }
                self.raw.drain(..line + 2);
                self.decoded.extend(self.raw.drain(..size));
                let end: Vec<u8> = self.raw.drain(..2).collect();
                assert_eq!(end, b"\r\n", "behind a chunk");
                if size == 0 {
                    self.body = Body::None;
                }
            }
        }
        true
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.raw.extend_from_slice(&piece[..n]);
                true
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("nothing came: {e}"),
        }
    }
}
