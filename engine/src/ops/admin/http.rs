//! As much of HTTP as an admin port needs: one request, one answer, then the connection closes.

use serde::Serialize;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const HEAD_BYTES_MAX: usize = 8 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
const HEADER_COUNT_MAX: usize = 48;

/// A request, read whole.
pub(super) struct Request {
    pub(super) method: String,
    /// Without query.
    pub(super) path: String,
    pub(super) body: String,
    /// A browser says on whose behalf it asks; programs do not.
    pub(super) from_browser: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Response {
    pub(super) fn text(status: u16, body: &str) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.to_owned(),
        }
    }

    pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
        match serde_json::to_string_pretty(value) {
            Ok(body) => Response {
                status,
                content_type: "application/json",
                body: body + "\n",
            },
            Err(e) => Response::text(500, &format!("{e}\n")),
        }
    }

    pub(super) fn error(status: u16, what: &str) -> Response {
        Response::json(status, &serde_json::json!({ "error": what }))
    }
}

/// Reads one request. `None`: the peer left or was too slow, and nothing is to be answered.
///
/// # Errors
/// The answer to a request that is malformed or too large.
pub(super) fn read(stream: &TcpStream, deadline: Instant) -> Result<Option<Request>, Response> {
    let mut bytes = Vec::new();
    loop {
        if let Some((mut request, head, length)) = parse_head(&bytes)? {
            while bytes.len() < head + length {
                if !more(stream, &mut bytes, deadline) {
                    return Ok(None);
                }
            }
            let body = bytes.get(head..head + length).unwrap_or_default().to_vec();
            request.body = String::from_utf8(body)
                .map_err(|_| Response::error(400, "the body is not UTF-8"))?;
            return Ok(Some(request));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Response::error(431, "the request's head is too large"));
        }
        if !more(stream, &mut bytes, deadline) {
            return Ok(None);
        }
    }
}

/// The request without its body, the length of its head, the length of its body; `None` if the
/// head is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed
        .parse(bytes)
        .map_err(|e| Response::error(400, &format!("this is not an HTTP request: {e}")))?;
    let httparse::Status::Complete(head) = status else {
        return Ok(None);
    };
    let mut length = 0;
    let mut from_browser = false;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value)
                .ok()
                .and_then(|v| v.trim().parse().ok())
                .ok_or_else(|| Response::error(400, "Content-Length is not a number"))?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Response::error(411, "send the body with Content-Length"));
        } else if header.name.eq_ignore_ascii_case("origin") {
            from_browser = true;
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(Response::error(413, "the body is too large"));
    }
    let target = parsed.path.unwrap_or_default();
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        body: String::new(),
        from_browser,
    };
    Ok(Some((request, head, length)))
}

/// Reads what there is; false if the peer closed or the deadline passed.
fn more(mut stream: &TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
        return false;
    }
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk) {
        Ok(n) if n > 0 => {
            bytes.extend_from_slice(chunk.get(..n).unwrap_or_default());
            true
        }
        _ => false,
    }
}

/// Writes the answer and closes. A peer that does not take it in time does not get it.
pub(super) fn write(mut stream: &TcpStream, response: &Response, deadline: Instant) {
    let Response {
        status,
        content_type,
        body,
    } = response;
    let reason = match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    };
    let message = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut rest = message.as_bytes();
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_write_timeout(Some(left)).is_err() {
            return;
        }
        match stream.write(rest) {
            Ok(n) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
            _ => return,
        }
    }
    // Unread bytes of a refused body would turn the close into a reset that eats the answer.
    let _ = stream.shutdown(Shutdown::Write);
    let linger = deadline.min(Instant::now() + Duration::from_secs(1));
    let mut rest = Vec::new();
    while rest.len() <= BODY_BYTES_MAX && more(stream, &mut rest, linger) {}
}
