//! The floor's side of WMSP.

use super::{Settings, Verdict, send_all};
use crate::content;
use crate::sys;
use crate::wmsp;

/// Longest request.
const REQUEST_MAX: usize = 16_384;

/// What is answered to everybody.
pub(super) struct Host {
    describe: Vec<u8>,
    play: Vec<u8>,
}

impl Host {
    pub fn new(settings: &Settings) -> Host {
        let header = wmsp::header_packets(&content::noise_header(
            settings.packet_size,
            settings.bit_rate,
        ));
        Host {
            describe: describe_reply(&header),
            play: play_reply(&header),
        }
    }

    /// Answer the request of which `bytes` are all that came so far.
    pub fn answer(&self, fd: i32, bytes: &mut Vec<u8>) -> Verdict {
        if !bytes.ends_with(b"\r\n\r\n") {
            return Verdict::wait_if(bytes.len() < REQUEST_MAX);
        }
        let has = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        let play = has(b"xPlayStrm=1");
        let pair = has(b"packet-pair-experiment=1");
        bytes.clear();
        if play {
            return if send_all(fd, &self.play) {
                Verdict::Play(None)
            } else {
                Verdict::Close
            };
        }
        Verdict::wait_if(if pair {
            send_packet_pair(fd, &self.describe)
        } else {
            send_all(fd, &self.describe)
        })
    }
}

/// Three `$P` before the body of a Describe reply (wmsp.md 2.5), each its own segment.
fn send_packet_pair(fd: i32, describe: &[u8]) -> bool {
    let Ok(Some(plain)) = wmsp::response_head(describe) else {
        return false;
    };
    let body = &describe[plain.len..];
    let head = reply_head(
        "application/vnd.ms.wms-hdr.asfv1",
        ",packet-pair-experiment=1",
        Some(2080 + body.len()),
    );
    let r = head.len().min(504);
    let mut noise = content::Noise::new(sys::now_ns());
    let mut packet = |len: u16, payload: usize| {
        let mut p = vec![b'$', b'P'];
        p.extend(len.to_le_bytes());
        p.extend((r as u32).to_le_bytes());
        let at = p.len();
        p.resize(at + payload, 0);
        noise.fill(&mut p[at..]);
        p
    };
    let first = [head.into_bytes(), packet(504, 504 - r)].concat();
    let second = packet(504, 504);
    let third = [packet(1048, 1048 + r), body.to_vec()].concat();
    send_all(fd, &first) && send_all(fd, &second) && send_all(fd, &third)
}

fn reply_head(content_type: &str, pragma: &str, content_length: Option<usize>) -> String {
    let length = content_length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
    format!(
        "HTTP/1.1 200 OK\r\nServer: Cougar/9.01.01.3841\r\nContent-Type: {content_type}\r\n\
         Cache-Control: no-cache\r\n{length}\
         Pragma: no-cache,client-id=1,features=\"broadcast\"{pragma}\r\n\r\n"
    )
}

fn describe_reply(header: &[u8]) -> Vec<u8> {
    let head = reply_head("application/vnd.ms.wms-hdr.asfv1", "", Some(header.len()));
    [head.into_bytes(), header.to_vec()].concat()
}

fn play_reply(header: &[u8]) -> Vec<u8> {
    let head = reply_head("application/x-mms-framed", "", None);
    [head.into_bytes(), header.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_valid_for_the_swarm() {
        let header = wmsp::header_packets(&content::noise_header(3200, 1_000_000));
        let describe = describe_reply(&header);
        let head = wmsp::response_head(&describe).unwrap().unwrap();
        assert_eq!(
            head.content_length,
            Some((describe.len() - head.len) as u64)
        );
        let play = play_reply(&header);
        let head = wmsp::response_head(&play).unwrap().unwrap();
        assert_eq!((head.status, head.content_length), (200, None));
    }
}
