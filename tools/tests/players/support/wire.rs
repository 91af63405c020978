//! Requests typed by hand, for what no installed player asks, and the packets of the answer.

use super::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, whole: the server closed after it.
pub struct Reply {
    /// Status line and headers.
    pub head: String,
    /// What followed.
    pub body: Vec<u8>,
}

/// One packet of WMSP's framing, `$P` excepted.
#[derive(Debug)]
pub struct Framed {
    /// The letter after `$`.
    pub kind: char,
    /// The B bit.
    pub followed: bool,
    /// LocationId; zero where there is none.
    pub location: u32,
    /// AFFlags; zero where there are none.
    pub flags: u8,
    /// What is inside; for `$C` and `$E` the Reason.
    pub payload: Vec<u8>,
}

/// Sends a request of `agent` over HTTP/1.0 with these further header lines, and reads
/// the answer to the end.
pub fn exchange(server: &Server, line: &str, agent: &str, headers: &[&str], body: &[u8]) -> Reply {
    let mut stream = send(server, line, agent, headers, body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer that ends");
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let body = bytes.split_off(end);
    Reply {
        head: String::from_utf8(bytes).expect("text"),
        body,
    }
}

/// Sends a request as [`exchange`] does and reads the head of the answer.
pub fn begin(server: &Server, line: &str, agent: &str, headers: &[&str]) -> (String, TcpStream) {
    let mut stream = send(server, line, agent, headers, b"");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut byte).expect("an answer");
        assert_eq!(read, 1, "cut: {}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    (String::from_utf8(head).expect("text"), stream)
}

/// `line` is the method and the path; a version may follow.
fn send(server: &Server, line: &str, agent: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let address = server.http_address();
    let version = if line.ends_with("HTTP/1.1") {
        ""
    } else {
        " HTTP/1.0"
    };
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    let mut request = format!("{line}{version}\r\nHost: {address}\r\nUser-Agent: {agent}\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    if line.starts_with("POST") {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    stream.write_all(body).expect("the server reads");
    stream
}

/// The session's name in an answer's head.
pub fn client_id(head: &str) -> Option<u32> {
    let digits = head.split_once("client-id=")?.1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Takes a body apart. Everything in it must be whole.
pub fn framed(mut body: &[u8]) -> Vec<Framed> {
    let mut packets = Vec::new();
    while let [first, kind, low, high, rest @ ..] = body {
        assert_eq!(first & 0x7f, b'$', "after {} packets", packets.len());
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (inside, after) = rest.split_at_checked(length).expect("a whole packet");
        let has_mms_header = matches!(kind, b'D' | b'H' | b'M');
        let (location, flags, payload) = if has_mms_header {
            let [a, b, c, d, _incarnation, flags, _, _, payload @ ..] = inside else {
                panic!("${} with {length} bytes", char::from(*kind));
            };
            (u32::from_le_bytes([*a, *b, *c, *d]), *flags, payload)
        } else {
            (0, 0, inside)
        };
        packets.push(Framed {
            kind: char::from(*kind),
            followed: first & 0x80 != 0,
            location,
            flags,
            payload: payload.to_vec(),
        });
        body = after;
    }
    assert!(
        body.is_empty(),
        "{} bytes after the last packet",
        body.len()
    );
    packets
}

/// The object that the packets of one kind carry in pieces.
pub fn joined(packets: &[Framed], kind: char) -> Vec<u8> {
    packets
        .iter()
        .filter(|p| p.kind == kind)
        .flat_map(|p| p.payload.iter().copied())
        .collect()
}
