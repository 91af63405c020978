//! A small HTTP client for the server's admin port.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, dechunked.
    pub body: Vec<u8>,
}

/// `GET target` from `authority` (host and port). The body of an answer is read to its end, which
/// must come within `limit`.
///
/// # Errors
/// If the server cannot be reached, is too slow, or does not speak HTTP.
pub fn get(
    authority: &str,
    target: &str,
    user_agent: &str,
    limit: Duration,
) -> Result<Answer, String> {
    let fault = |what: String| format!("http://{authority}{target}: {what}");
    let bytes = exchange(authority, target, user_agent, limit).map_err(|e| fault(e.to_string()))?;
    parse(&bytes).map_err(|e| fault(e.to_owned()))
}

fn exchange(
    authority: &str,
    target: &str,
    user_agent: &str,
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(mut stream) => {
                stream.set_write_timeout(Some(limit))?;
                let request = format!(
                    "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {user_agent}\r\n\
                     Accept: */*\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes())?;
                return read_to_end(&stream, deadline);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn read_to_end(mut stream: &TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Answer, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        return Err("the answer is not HTTP");
    };
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        found.map_or(String::new(), |h| {
            String::from_utf8_lossy(h.value).trim().to_owned()
        })
    };
    let rest = bytes.get(length..).unwrap_or_default();
    let body = if header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        dechunk(rest).ok_or("the chunked body is damaged")?
    } else {
        let length = header("content-length").parse().unwrap_or(rest.len());
        if rest.len() < length {
            return Err("the answer ends early");
        }
        rest.get(..length).unwrap_or_default().to_vec()
    };
    Ok(Answer {
        status: head.code.unwrap_or(0),
        body,
    })
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            return None;
        };
        if size == 0 {
            return Some(body);
        }
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(rest.get(start..end)?);
        rest = rest.get(end..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_shape_are_read() {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nokxx");
        let plain = plain.expect("plain");
        assert_eq!((plain.status, &plain.body[..]), (200, &b"ok"[..]));
        let chunked =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n");
        assert_eq!(chunked.expect("chunked").body, b"ok!");
        let closed = parse(b"HTTP/1.0 503 Busy\r\n\r\nrest");
        let closed = closed.expect("closed");
        assert_eq!((closed.status, &closed.body[..]), (503, &b"rest"[..]));
    }

    #[test]
    fn what_is_cut_off_or_not_http_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").is_err());
        assert!(parse(b"ICY 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok").is_err());
    }
}
