//! WMSP (ASF over HTTP) as the swarm speaks it: requests out, response head and framed packets in.

use crate::asf;
use crate::media::{DataHead, Player, Subject};
use std::fmt::Write as _;

fn head(subject: &Subject<'_>) -> String {
    let (version, agent) = match subject.player {
        Player::Nine => ("1.1", "NSPlayer/9.0.0.3352"),
        Player::Legacy => ("1.0", "NSPlayer/4.1.0.3856"),
    };
    let mut s = format!(
        "GET {} HTTP/{version}\r\nAccept: */*\r\nUser-Agent: {agent}\r\nHost: {}\r\n\
         Pragma: xClientGUID={{52494E47-4341-5354-0000-{:012X}}}\r\n",
        subject.target, subject.authority, subject.session
    );
    if subject.player == Player::Nine {
        s += "Supported: com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, com.microsoft.wm.predstrm\r\n";
    }
    s
}

/// A Describe request (wmsp.md 3.2).
pub fn describe(subject: &Subject<'_>, packet_pair: bool) -> String {
    let mut s = head(subject);
    match subject.player {
        Player::Nine => s += "Pragma: no-cache\r\nConnection: Keep-Alive\r\n",
        Player::Legacy => {
            s += "Pragma: no-cache,rate=1.000000,stream-time=0,stream-offset=0:0,request-context=1,max-duration=0\r\nConnection: Close\r\n"
        }
    }
    if packet_pair {
        s += "Pragma: packet-pair-experiment=1\r\n";
    }
    s + "\r\n"
}

/// A Play request from `start_ms` with these streams (wmsp.md 3.2).
pub fn play(
    subject: &Subject<'_>,
    client_id: Option<u32>,
    streams: &[u8],
    start_ms: u32,
) -> String {
    let mut s = head(subject);
    let _ = match subject.player {
        Player::Nine => write!(
            s,
            "Pragma: no-cache,rate=1.000,stream-time={start_ms},stream-offset=4294967295:4294967295,packet-num=4294967295,max-duration=0\r\n\
             Pragma: xPlayStrm=1\r\nConnection: Keep-Alive\r\n"
        ),
        Player::Legacy => write!(
            s,
            "Pragma: no-cache,rate=1.000000,stream-time={start_ms},stream-offset=4294967295:4294967295,request-context=2,max-duration=0\r\n\
             Pragma: xPlayStrm=1\r\nConnection: Close\r\n"
        ),
    };
    if let Some(id) = client_id {
        let _ = write!(s, "Pragma: client-id={id}\r\n");
    }
    let _ = write!(
        s,
        "Pragma: stream-switch-count={}\r\nPragma: stream-switch-entry=",
        streams.len()
    );
    for (i, stream) in streams.iter().enumerate() {
        let gap = if i == 0 { "" } else { " " };
        let _ = write!(s, "{gap}ffff:{stream:x}:0");
    }
    s + "\r\n\r\n"
}

/// The head of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes, blank line included.
    pub len: usize,
    /// HTTP status.
    pub status: u16,
    /// Content-Length.
    pub content_length: Option<u64>,
    /// Transfer-Encoding: chunked, which must not be used here.
    pub chunked: bool,
    /// Pragma client-id.
    pub client_id: Option<u32>,
    /// Pragma packet-pair-experiment=1.
    pub packet_pair: bool,
}

/// Parse a response head. `Ok(None)`: more bytes are needed.
pub fn response_head(bytes: &[u8]) -> Result<Option<ResponseHead>, String> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if bytes.len() > 8192 {
            Err("response head longer than 8192 bytes".into())
        } else {
            Ok(None)
        };
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|s| s.split(' ').nth(1))
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| format!("bad status line {status_line:?}"))?;
    let mut head = ResponseHead {
        len: end + 4,
        status,
        ..ResponseHead::default()
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.content_length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value.to_ascii_lowercase().contains("chunked"),
            "pragma" => pragma(value, &mut head),
            _ => {}
        }
    }
    Ok(Some(head))
}

fn pragma(value: &str, head: &mut ResponseHead) {
    for token in value.split(',') {
        let Some((name, value)) = token.trim().split_once('=') else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "client-id" => head.client_id = value.parse().ok(),
            "packet-pair-experiment" => head.packet_pair = value == "1",
            _ => {}
        }
    }
}

/// What a framed packet says, as far as the swarm looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `$D`: media (wmsp.md 2.1, 2.2); the frame is PacketLength.
    Data(DataHead),
    /// `$H` or `$M`: MMS payload length.
    Header(u16),
    /// `$C`: another entry follows.
    StreamChange,
    /// `$E` with its Reason (0 if none was sent).
    End(u32),
    /// `$T`. (`$P` is never asked for here; see `pair`.)
    Test,
}

const FRAME: usize = 4;
const MMS: usize = 8;
const HEAD_MAX: usize = FRAME + MMS + asf::SEND_TIME_WITHIN;

/// Splits a stream into framed packets whatever way it arrives, keeping only heads.
#[derive(Clone, Debug)]
pub struct Deframer {
    skip: u32,
    have: u8,
    buffer: [u8; HEAD_MAX],
}

impl Default for Deframer {
    fn default() -> Deframer {
        Deframer {
            skip: 0,
            have: 0,
            buffer: [0; HEAD_MAX],
        }
    }
}

impl Deframer {
    /// Take bytes; `each` gets every packet as soon as its head is complete. An error means that
    /// the stream is not WMSP any more.
    pub fn feed(&mut self, mut data: &[u8], mut each: impl FnMut(Packet)) -> Result<(), String> {
        while !data.is_empty() {
            if self.skip > 0 {
                let n = data.len().min(self.skip as usize);
                self.skip -= n as u32;
                data = &data[n..];
                continue;
            }
            if self.have == 0
                && let Some(want) = wanted(data)?
                && data.len() >= want
            {
                let (packet, total) = parse(&data[..want]);
                each(packet);
                let n = total.min(data.len());
                self.skip = (total - n) as u32;
                data = &data[n..];
                continue;
            }
            data = self.gather(data, &mut each)?;
        }
        Ok(())
    }

    /// True between two packets.
    pub fn at_boundary(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    fn gather<'a>(
        &mut self,
        data: &'a [u8],
        each: &mut impl FnMut(Packet),
    ) -> Result<&'a [u8], String> {
        let have = usize::from(self.have);
        let want = wanted(&self.buffer[..have])?.unwrap_or(FRAME);
        let n = (want - have).min(data.len());
        self.buffer[have..have + n].copy_from_slice(&data[..n]);
        let have = have + n;
        self.have = have as u8;
        if let Some(want) = wanted(&self.buffer[..have])?
            && have >= want
        {
            let (packet, total) = parse(&self.buffer[..want]);
            self.have = 0;
            self.skip = (total - want) as u32;
            each(packet);
        }
        Ok(&data[n..])
    }
}

/// Bytes of head needed for the packet that starts here; `None` until the framing header is there.
fn wanted(head: &[u8]) -> Result<Option<usize>, String> {
    if let Some(&first) = head.first()
        && first & 0x7F != b'$'
    {
        return Err(format!(
            "byte {first:#04x} where a framed packet must start"
        ));
    }
    let &[_, kind, a, b, ..] = head else {
        return Ok(None);
    };
    let len = usize::from(u16::from_le_bytes([a, b]));
    match kind {
        b'D' if len < MMS => Err(format!("$D of {len} bytes has no MMS header")),
        b'D' => Ok(Some(FRAME + len.min(MMS + asf::SEND_TIME_WITHIN))),
        b'E' => Ok(Some(FRAME + len.min(4))),
        b'C' | b'H' | b'M' | b'T' => Ok(Some(FRAME)),
        other => Err(format!("packet of unknown kind {other:#04x}")),
    }
}

/// The packet and its whole length on the wire. `head` has as many bytes as [`wanted`] says.
fn parse(head: &[u8]) -> (Packet, usize) {
    let len = u16::from_le_bytes([head[2], head[3]]);
    let total = FRAME + usize::from(len);
    let dword =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let packet = match head[1] {
        b'D' => Packet::Data(DataHead {
            location: Some(dword(FRAME)),
            sequence: u16::from(head[FRAME + 5]),
            frame_len: len,
            size_field: u16::from_le_bytes([head[FRAME + 6], head[FRAME + 7]]),
            send_time: asf::send_time(&head[FRAME + MMS..]),
        }),
        b'E' => Packet::End(if len >= 4 { dword(FRAME) } else { 0 }),
        b'C' => Packet::StreamChange,
        b'H' | b'M' => Packet::Header(len.saturating_sub(MMS as u16)),
        _ => Packet::Test,
    };
    (packet, total)
}

/// Frame one payload as `$H` pieces (wmsp.md 2.2), for the floor sender and tests.
pub fn header_packets(payload: &[u8]) -> Vec<u8> {
    const PIECE_MAX: usize = 65_535 - MMS;
    let count = payload.len().div_ceil(PIECE_MAX);
    let mut out = Vec::with_capacity(payload.len() + count * (FRAME + MMS));
    for (i, piece) in payload.chunks(PIECE_MAX).enumerate() {
        let flags = match (i == 0, i + 1 == count) {
            (true, true) => 0x0C,
            (true, false) => 0x04,
            (false, true) => 0x08,
            (false, false) => 0,
        };
        let size = ((piece.len() + MMS) as u16).to_le_bytes();
        out.extend([b'$', b'H', size[0], size[1]]);
        out.extend((i as u32).to_le_bytes());
        out.extend([0, flags, size[0], size[1]]);
        out.extend(piece);
    }
    out
}

/// Write the 12 bytes before a `$D` packet's payload.
pub fn data_head(location: u32, sequence: u8, payload_len: u16, out: &mut [u8; FRAME + MMS]) {
    let size = (payload_len + MMS as u16).to_le_bytes();
    let l = location.to_le_bytes();
    *out = [
        b'$', b'D', size[0], size[1], l[0], l[1], l[2], l[3], 0, sequence, size[0], size[1],
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data_packet(location: u32, sequence: u8, send_time: u32, size: usize) -> Vec<u8> {
        let mut asf = vec![0x82, 0, 0, 0, 0x5D];
        asf.extend(send_time.to_le_bytes());
        asf.resize(size, 0x24);
        let mut head = [0; 12];
        data_head(location, sequence, size as u16, &mut head);
        let mut out = head.to_vec();
        out.extend(asf);
        out
    }

    fn all(bytes: &[u8], split: impl Iterator<Item = usize>) -> (Vec<Packet>, bool) {
        let mut deframer = Deframer::default();
        let mut seen = Vec::new();
        let mut rest = bytes;
        for n in split {
            let n = n.min(rest.len());
            deframer.feed(&rest[..n], |p| seen.push(p)).unwrap();
            rest = &rest[n..];
        }
        deframer.feed(rest, |p| seen.push(p)).unwrap();
        (seen, deframer.at_boundary())
    }

    fn stream() -> (Vec<u8>, Vec<Packet>) {
        let mut bytes = header_packets(&[0xAA; 70_000]);
        let mut expect = vec![Packet::Header(65_527), Packet::Header(4_473)];
        for (i, size) in [(0u32, 200usize), (1, 9), (2, 1400)] {
            bytes.extend(data_packet(5 + i, i as u8, 1000 + i, size));
            expect.push(Packet::Data(DataHead {
                location: Some(5 + i),
                sequence: i as u16,
                frame_len: size as u16 + 8,
                size_field: size as u16 + 8,
                send_time: Some(1000 + i),
            }));
        }
        // wmsp.md 10: $C(0), $E(1), $T.
        bytes.extend([0x24, 0x43, 4, 0, 0, 0, 0, 0, 0x24, 0x45, 4, 0, 1, 0, 0, 0]);
        bytes.extend([0x24, 0x54, 0, 0]);
        expect.extend([Packet::StreamChange, Packet::End(1), Packet::Test]);
        (bytes, expect)
    }

    #[test]
    fn every_single_split_gives_the_same_packets() {
        let (bytes, expect) = stream();
        let start = 70_000;
        for at in start..bytes.len() {
            let (seen, boundary) = all(&bytes, [at].into_iter());
            assert_eq!(seen, expect, "split at {at}");
            assert!(boundary);
        }
        let (seen, _) = all(&bytes, std::iter::repeat_n(1, bytes.len()));
        assert_eq!(seen, expect, "byte by byte");
    }

    // wmsp.md 10: "$D loc 5, B=1".
    #[test]
    fn the_b_bit_changes_nothing_else() {
        let bytes = [
            0xA4, 0x44, 0x0C, 0, 5, 0, 0, 0, 0, 0, 0x0C, 0, 0xBB, 0xBB, 0xBB, 0xBB,
        ];
        let (seen, boundary) = all(&bytes, std::iter::empty());
        assert!(boundary);
        let [Packet::Data(d)] = seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!((d.location, d.frame_len, d.size_field), (Some(5), 12, 12));
        assert_eq!(d.send_time, None, "0xBB is no ASF packet");
    }

    #[test]
    fn foreign_bytes_are_an_error() {
        for bad in [&b"HTTP"[..], b"$X\0\0", b"$P\xF8\x01", b"$D\x07\0"] {
            assert!(Deframer::default().feed(bad, |_| ()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn header_pieces_are_as_the_worked_example() {
        let out = header_packets(&[0xAA; 4]);
        assert_eq!(
            out,
            [
                0x24, 0x48, 0x0C, 0, 0, 0, 0, 0, 0, 0x0C, 0x0C, 0, 0xAA, 0xAA, 0xAA, 0xAA
            ]
        );
        let big = header_packets(&[0; 100_000]);
        assert_eq!(
            big[..12],
            [0x24, 0x48, 0xFF, 0xFF, 0, 0, 0, 0, 0, 4, 0xFF, 0xFF]
        );
        assert_eq!(
            big[65_539..65_551],
            [0x24, 0x48, 0xB1, 0x86, 1, 0, 0, 0, 0, 8, 0xB1, 0x86]
        );
    }

    #[test]
    fn response_heads() {
        let text = b"HTTP/1.1 200 OK\r\nServer: Cougar/9.01.01.3841\r\nContent-Length: 129\r\n\
            Pragma: no-cache, client-id=77, packet-pair-experiment=1,features=\"seekable,stridable\"\r\n\r\n$H";
        let head = response_head(text).unwrap().unwrap();
        assert_eq!(head.len, text.len() - 2);
        assert_eq!(
            (head.status, head.content_length, head.client_id),
            (200, Some(129), Some(77))
        );
        assert!(head.packet_pair && !head.chunked);
        assert_eq!(response_head(&text[..60]), Ok(None));
        assert!(response_head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(response_head(&[b'x'; 9000]).is_err());
    }

    #[test]
    fn requests_name_streams_and_position() {
        let subject = Subject {
            target: "/live",
            authority: "h:80",
            player: Player::Nine,
            session: 255,
        };
        let text = play(&subject, Some(7), &[1, 18], 1500);
        assert!(text.starts_with("GET /live HTTP/1.1\r\n"));
        assert!(text.contains("\r\nPragma: stream-switch-count=2\r\n"));
        assert!(text.contains("\r\nPragma: stream-switch-entry=ffff:1:0 ffff:12:0\r\n"));
        assert!(text.contains("stream-time=1500,"));
        assert!(text.contains("\r\nPragma: client-id=7\r\n"));
        assert!(text.contains("-0000-0000000000FF}"));
        assert!(text.ends_with("\r\n\r\n"));
        let legacy = describe(
            &Subject {
                player: Player::Legacy,
                ..subject
            },
            false,
        );
        assert!(legacy.contains("HTTP/1.0\r\n") && legacy.contains("NSPlayer/4.1"));
        assert!(!legacy.contains("Supported"));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_packets(sizes in prop::collection::vec(1usize..5000, 0..60)) {
            let (bytes, expect) = stream();
            let (seen, _) = all(&bytes, sizes.into_iter());
            prop_assert_eq!(seen, expect);
        }

        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = b"$D\x20\0".to_vec();
            bytes.extend(noise);
            let _ = Deframer::default().feed(&bytes, |_| ());
            let _ = asf::send_time(&bytes);
            let _ = asf::header_facts(&bytes);
            let _ = response_head(&bytes);
        }
    }
}
