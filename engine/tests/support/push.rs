//! A small blocking encoder: sets a session up, pushes packets when it is told to.

use super::PATIENCE;
use super::client::{Client, Reply};
use protocols::wmhttp::frame::{self, Kind};
use std::net::SocketAddr;

/// The Windows Media Encoder.
pub const ENCODER: &str = "WMEncoder/11.0.5721.5145";

/// A Content-Length that is never reached.
pub const ENDLESS: u64 = 2_147_483_647;

/// The text of a request; `push_id` goes into the cookie, `lines` are further header lines.
pub fn request(kind: &str, path: &str, push_id: &str, length: u64, lines: &[&str]) -> String {
    let mut text = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/x-wms-{kind}\r\n\
         User-Agent: {ENCODER}\r\nHost: ringcast.test\r\nContent-Length: {length}\r\n\
         Connection: Keep-Alive\r\nCache-Control: no-cache\r\nCookie: push-id={push_id}\r\n"
    );
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text + "\r\n"
}

/// The push-id that a reply sets.
pub fn push_id(reply: &Reply) -> Option<String> {
    let cookie = reply.header("Set-Cookie")?;
    let id = cookie.strip_prefix("push-id=")?;
    Some(id.split(';').next().unwrap_or(id).to_owned())
}

/// Ask to push, with this body of directives.
pub fn setup(at: SocketAddr, path: &str, lines: &[&str], body: &str) -> (Client, Reply) {
    let text = request("pushsetup", path, "0", body.len() as u64, lines);
    Client::ask(at, &(text + body))
}

/// An encoder whose PushStart has begun.
pub struct Encoder {
    pub client: Client,
    pub push_id: String,
}

impl Encoder {
    /// Set a session up and begin its first PushStart with a header.
    pub fn begin(at: SocketAddr, path: &str, header: &[u8]) -> Encoder {
        Encoder::begin_with(at, path, header, "")
    }

    /// The same with directives.
    pub fn begin_with(at: SocketAddr, path: &str, header: &[u8], body: &str) -> Encoder {
        let (client, reply) = setup(at, path, &[], body);
        assert_eq!(reply.status, 204, "{}", reply.head);
        let push_id = push_id(&reply).expect("a push-id");
        let mut encoder = Encoder { client, push_id };
        encoder.start(path, ENDLESS);
        encoder.frame(Kind::Header, 0, header);
        encoder
    }

    /// Send the head of a PushStart.
    pub fn start(&mut self, path: &str, length: u64) {
        let text = request("pushstart", path, &self.push_id, length, &[]);
        self.client.send(&text);
    }

    /// Send a frame.
    pub fn frame(&mut self, kind: Kind, reason: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        assert!(frame::put(kind, reason, payload, &mut bytes));
        self.bytes(&bytes);
    }

    /// Send a packet.
    pub fn packet(&mut self, packet: &[u8]) {
        self.frame(Kind::Data, 0, packet);
    }

    /// Send anything.
    pub fn bytes(&mut self, bytes: &[u8]) {
        use std::io::Write;
        // A server that closed is found out by what it says, or that it says nothing.
        let _ = self.client.stream.write_all(bytes);
    }

    /// End the stream in order.
    pub fn end(mut self) {
        self.frame(Kind::End, 0, &[]);
        self.client
            .stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out");
    }
}
