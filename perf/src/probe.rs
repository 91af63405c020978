//! Small blocking exchanges: one Describe to learn what is played, a GET of the admin port.

use crate::asf::{self, HeaderFacts};
use crate::media::{Player, Subject};
use crate::mmsp::client::{self, Client, News, Transport};
use crate::mmsp::{self, Whole};
use crate::rtsp;
use crate::swarm::{Protocol, Target};
use crate::wmsp::{self, ResponseHead};
use protocols::mmsp::wire::Reader;
use protocols::rtsp::reader::{Reader as RtspReader, Step};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
const BODY_MAX: u64 = 4 << 20;

/// Take `scheme://host[:port]/path` apart, which must be a URL of the protocol.
pub fn target(url: &str, protocol: Protocol) -> Result<Target, String> {
    let schemes = protocol.schemes();
    let rest = url
        .split_once("://")
        .filter(|(scheme, _)| schemes.contains(scheme))
        .map(|(_, rest)| rest)
        .ok_or_else(|| {
            let known: Vec<_> = schemes.iter().map(|s| format!("{s}://")).collect();
            format!(
                "{url}: with this protocol URLs begin with {}",
                known.join(", ")
            )
        })?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let with_port = if authority.contains(':') {
        authority.to_string()
    } else {
        format!("{authority}:{}", protocol.default_port())
    };
    let addr = with_port
        .to_socket_addrs()
        .map_err(|e| format!("{url}: {e}"))?
        .find(SocketAddr::is_ipv4)
        .ok_or_else(|| format!("{url}: no IPv4 address"))?;
    Ok(Target {
        addr,
        authority: authority.to_string(),
        path: path.to_string(),
    })
}

/// Ask for the ASF header of a target.
pub fn header(target: &Target, protocol: Protocol, player: Player) -> Result<HeaderFacts, String> {
    let subject = Subject {
        target: &target.path,
        authority: &target.authority,
        player,
        session: 0xF000_0000,
    };
    match protocol {
        Protocol::Wmsp => {
            let text = wmsp::describe(&subject, false);
            let (head, body) = exchange(target.addr, &text)?;
            if head.status != 200 {
                return Err(format!("Describe {}: status {}", target.path, head.status));
            }
            asf::header_facts(&header_payload(&body)?)
        }
        // Whichever way media is to come, the header may come over the connection.
        Protocol::Mmst | Protocol::Mmsu => {
            let header = mms_header(target.addr, subject)
                .map_err(|e| format!("mms://{}{}: {e}", target.authority, target.path))?;
            asf::header_facts(&header)
        }
        Protocol::Rtspt | Protocol::Rtspu => {
            let header = rtsp_header(target.addr, subject)
                .map_err(|e| format!("rtsp://{}{}: {e}", target.authority, target.path))?;
            asf::header_facts(&header)
        }
    }
}

/// The ASF header as it stands in a description.
fn rtsp_header(addr: SocketAddr, subject: Subject<'_>) -> Result<Vec<u8>, String> {
    let fault = |e: std::io::Error| e.to_string();
    let wish = rtsp::client::Wish {
        subject,
        transport: rtsp::client::Transport::Tcp,
        streams: &[],
        start_ms: None,
        locid: false,
    };
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT).map_err(fault)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(fault)?;
    let mut out = Vec::new();
    rtsp::client::Client::default().open(&wish, &mut out);
    stream.write_all(&out).map_err(fault)?;
    let mut reader = RtspReader::default();
    let mut buffer = [0; 16_384];
    loop {
        match stream.read(&mut buffer).map_err(fault)? {
            0 => return Err("closed before the description was there".into()),
            n => reader.push(&buffer[..n]),
        }
        let step = reader.next(&rtsp::LIMITS).map_err(|r| r.to_string())?;
        if let Step::Message(message) = step {
            return Ok(rtsp::client::presentation(&message)?.header);
        }
    }
}

/// The ASF header as MMSP sends it.
fn mms_header(addr: SocketAddr, subject: Subject<'_>) -> Result<Vec<u8>, String> {
    let fault = |e: std::io::Error| e.to_string();
    let wish = client::Wish {
        subject,
        transport: Transport::Tcp,
        pair: false,
        streams: &[],
        start_ms: 0,
    };
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT).map_err(fault)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(fault)?;
    let (mut client, mut reader) = (Client::default(), Reader::default());
    let (mut out, mut header) = (Vec::new(), Vec::new());
    let mut buffer = [0; 16_384];
    client.open(&wish, &mut out);
    loop {
        stream.write_all(&out).map_err(fault)?;
        out.clear();
        match stream.read(&mut buffer).map_err(fault)? {
            0 => return Err("closed before the header was there".into()),
            n => reader.push(&buffer[..n]),
        }
        while let Some(whole) = mmsp::take(&mut reader)? {
            match whole {
                Whole::Report(report) => drop(client.report(&wish, &report, &mut out)?),
                Whole::Data(data, payload) => {
                    header.extend_from_slice(payload);
                    // The start is not asked for: the connection ends here.
                    if client.data(&wish, &data, &mut out)? == News::Header {
                        return Ok(header);
                    }
                }
            }
        }
        if header.len() as u64 > BODY_MAX {
            return Err(format!("header of more than {BODY_MAX} bytes"));
        }
    }
}

/// The joined payloads of the `$H` packets of a Describe body.
fn header_payload(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = body;
    while let &[first, kind, a, b, ref tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([a, b]));
        let offset = body.len() - rest.len();
        let packet = tail
            .get(..len)
            .filter(|_| first & 0x7F == b'$')
            .ok_or_else(|| format!("Describe body, offset {offset}: bad framed packet"))?;
        if kind == b'H' {
            out.extend_from_slice(packet.get(8..).unwrap_or_default());
        }
        rest = &tail[len..];
    }
    Ok(out)
}

/// Send a request; its head and its whole body.
fn exchange(addr: SocketAddr, request: &str) -> Result<(ResponseHead, Vec<u8>), String> {
    let fault = |e: std::io::Error| format!("{addr}: {e}");
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT).map_err(fault)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(fault)?;
    stream.write_all(request.as_bytes()).map_err(fault)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        if let Some(head) = wmsp::response_head(&bytes)? {
            let have = (bytes.len() - head.len) as u64;
            let full = head.content_length.is_some_and(|n| have >= n);
            if full || have > BODY_MAX {
                let body = bytes.split_off(head.len);
                return Ok((head, body));
            }
        }
        let n = stream.read(&mut buffer).map_err(fault)?;
        if n == 0 {
            return match wmsp::response_head(&bytes)? {
                Some(head) => {
                    let body = bytes.split_off(head.len);
                    Ok((head, body))
                }
                None => Err(format!("{addr}: closed without an answer")),
            };
        }
        bytes.extend_from_slice(&buffer[..n]);
    }
}

/// GET of a small document; status and text.
pub fn get(addr: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let (head, body) = exchange(addr, &request)?;
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

/// The sum of a metric over all its labels in Prometheus' text format.
pub fn metric(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, v| Some(sum.unwrap_or(0.0) + v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content;

    #[test]
    fn urls() {
        use Protocol::{Mmst, Mmsu, Rtspt, Rtspu, Wmsp};
        let t = target("http://127.0.0.1:8080/vod/f1.wmv?x=1", Wmsp).unwrap();
        assert_eq!(t.addr, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(
            (t.authority.as_str(), t.path.as_str()),
            ("127.0.0.1:8080", "/vod/f1.wmv?x=1")
        );
        let port = |url, protocol| target(url, protocol).map(|t| t.addr.port());
        assert_eq!(port("mms://127.0.0.1", Wmsp), Ok(80));
        assert_eq!(port("mms://127.0.0.1/x", Mmst), Ok(1755));
        assert_eq!(port("mmsu://127.0.0.1/x", Mmsu), Ok(1755));
        assert_eq!(port("rtsp://127.0.0.1/x", Rtspu), Ok(554));
        assert!(port("rtspu://127.0.0.1/x", Rtspt).is_err());
        let e = port("mmsu://127.0.0.1/x", Mmst).unwrap_err();
        assert!(e.contains("mms://, mmst://"), "{e}");
        assert!(port("rtsp://127.0.0.1/x", Wmsp).is_err());
        assert!(port("127.0.0.1/x", Wmsp).is_err());
    }

    #[test]
    fn header_is_joined_from_its_pieces() {
        let header = content::noise_header(1400, 300_000);
        let mut body = vec![b'$', b'M', 9, 0, 0, 0, 0, 0, 0, 12, 9, 0, 7];
        body.extend(wmsp::header_packets(&header));
        assert_eq!(header_payload(&body).unwrap(), header);
        let facts = asf::header_facts(&header).unwrap();
        assert_eq!((facts.packet_size, facts.streams), (1400, vec![1, 2]));
        body.truncate(40);
        assert!(header_payload(&body).unwrap_err().contains("offset 13"));
    }

    #[test]
    fn metrics_are_summed_over_labels() {
        let text = "# HELP a b\na_total 3\na_total_more 9\nb{x=\"1 } 2\"} 2\nb{x=\"2\"} 0.5 1700\n";
        assert_eq!(metric(text, "a_total"), Some(3.0));
        assert_eq!(metric(text, "b"), Some(2.5));
        assert_eq!(metric(text, "c"), None);
    }
}
