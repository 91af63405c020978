//! The pair of a WMSP Describe: three `$P` before its body.

use super::{PATIENCE_NS, Pair, Pump, connect};
use crate::media::{Player, Subject};
use crate::swarm::Target;
use crate::sys;
use crate::wmsp;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

/// When the last byte of each `$P` arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrivals {
    /// ns.
    at: [u64; 3],
    /// Bytes of each on the wire, without lower headers.
    size: [usize; 3],
}

/// One Describe with packet pair.
pub(super) fn ask(target: &Target, pump: &mut Pump) -> Result<Pair, String> {
    let fault = |e: io::Error| format!("{}: {e}", target.addr);
    let stream = connect(target).map_err(fault)?;
    let text = wmsp::describe(
        &Subject {
            target: &target.path,
            authority: &target.authority,
            player: Player::Nine,
            session: 0xF000_0001,
        },
        true,
    );
    let fd = stream.as_raw_fd();
    sys::send(fd, text.as_bytes()).map_err(fault)?;
    let mut reader = Reader::default();
    let mut buffer = [0; 4096];
    let begun = sys::now_ns();
    let mut late = false;
    loop {
        match sys::recv_stamped(fd, &mut buffer) {
            Ok((0, _)) => return Err("closed before three $P".into()),
            Ok((n, stamp)) => {
                late |= stamp.is_none();
                reader.push(&buffer[..n], stamp.unwrap_or(0));
                if let Some(found) = reader.arrivals()? {
                    return Ok(Pair {
                        at: [found.at[0], found.at[1]],
                        bytes: found.size[1] as u64,
                        late,
                    });
                }
                // The pair in one read is the server's doing only if it was one segment.
                let segments = sys::data_segments_in(fd).map_err(fault)?;
                late |= reader.marks.len() == 1 && segments > 1 && n > 512;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                pump()?;
                if sys::now_ns() - begun > PATIENCE_NS {
                    return Err("three $P did not arrive in time".into());
                }
            }
            Err(e) => return Err(fault(e)),
        }
    }
}

/// Reads a Describe reply as it arrives and notes when each `$P` was complete.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    /// (bytes so far, time) after every read.
    marks: Vec<(usize, u64)>,
}

impl Reader {
    fn push(&mut self, bytes: &[u8], now_ns: u64) {
        self.bytes.extend_from_slice(bytes);
        self.marks.push((self.bytes.len(), now_ns));
    }

    /// `None`: not complete yet.
    fn arrivals(&self) -> Result<Option<Arrivals>, String> {
        let Some(head) = wmsp::response_head(&self.bytes)? else {
            return Ok(None);
        };
        if head.status != 200 {
            return Err(format!("Describe: status {}", head.status));
        }
        if !head.packet_pair {
            return Err("the server did not grant packet-pair-experiment".into());
        }
        let expect = head.len.min(504);
        let sizes = [512 - expect, 512, 1056 + expect];
        let mut found = Arrivals {
            at: [0; 3],
            size: sizes,
        };
        let mut end = head.len;
        for (i, (size, length)) in sizes.into_iter().zip([504u16, 504, 1048]).enumerate() {
            let start = end;
            end += size;
            let Some(packet) = self.bytes.get(start..end) else {
                return Ok(None);
            };
            check_pair_packet(packet, length, expect)
                .map_err(|e| format!("$P {} at offset {start}: {e}", i + 1))?;
            found.at[i] = self.marks.iter().find(|m| m.0 >= end).map_or(0, |m| m.1);
        }
        Ok(Some(found))
    }
}

// WMSP-22
fn check_pair_packet(packet: &[u8], length: u16, reason: usize) -> Result<(), String> {
    let [b'$', b'P', a, b, r0, r1, r2, r3, ..] = *packet else {
        return Err("not a $P".into());
    };
    let (len, r) = (
        u16::from_le_bytes([a, b]),
        u32::from_le_bytes([r0, r1, r2, r3]),
    );
    if len != length || r as usize != reason {
        return Err(format!(
            "PacketLength {len} and Reason {r}, expected {length} and {reason}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(pair: &str) -> (Vec<u8>, usize) {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\nPragma: no-cache{pair}\r\n\r\n");
        let r = head.len();
        let mut bytes = head.into_bytes();
        for (len, payload) in [(504u16, 504 - r), (504, 504), (1048, 1048 + r)] {
            bytes.extend([b'$', b'P']);
            bytes.extend(len.to_le_bytes());
            bytes.extend((r as u32).to_le_bytes());
            bytes.resize(bytes.len() + payload, 0x5A);
        }
        (bytes, r)
    }

    // WMSP-22: 512, 512 and 1056 + R bytes, 2080 without the head.
    #[test]
    fn sizes_follow_the_head() {
        let (bytes, r) = reply(",packet-pair-experiment=1");
        assert_eq!(bytes.len(), r + 2080);
        let mut reader = Reader::default();
        reader.push(&bytes[..512], 1_000_000);
        assert_eq!(reader.arrivals(), Ok(None));
        reader.push(&bytes[512..1024], 5_416_000);
        reader.push(&bytes[1024..], 20_000_000);
        let a = reader.arrivals().unwrap().unwrap();
        assert_eq!(a.at, [1_000_000, 5_416_000, 20_000_000]);
        assert_eq!(a.size, [512 - r, 512, 1056 + r]);
    }

    #[test]
    fn one_read_for_all_has_one_time() {
        let (bytes, _) = reply(",packet-pair-experiment=1");
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        assert_eq!(reader.arrivals().unwrap().unwrap().at, [7; 3]);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let (bytes, _) = reply("");
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        assert!(reader.arrivals().unwrap_err().contains("grant"));
        let (mut bytes, r) = reply(",packet-pair-experiment=1");
        bytes[r + 512 - r + 2] = 0;
        let mut reader = Reader::default();
        reader.push(&bytes, 7);
        let e = reader.arrivals().unwrap_err();
        assert!(e.contains("$P 2 at offset 512"), "{e}");
    }
}
