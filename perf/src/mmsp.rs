//! MMSP (mms:// over TCP and UDP) as the swarm reads it: of Data packets only heads, of everything
//! else whole packets. The order of the messages is in [`client`].

pub mod client;

use crate::asf;
use crate::media::DataHead;
use protocols::machine::Fault;
use protocols::mmsp::message::{DataHead as MmsHead, ToClient};
use protocols::mmsp::wire::{Item, PACKET_MAX, Reader, SESSION_ID};

/// Bytes of a Data packet that hold all that is looked at.
pub const HEAD_MAX: usize = MmsHead::LEN + asf::SEND_TIME_WITHIN;
/// Bytes of a packet that messageLength does not count (mmsp.md 2.1).
const UNCOUNTED: usize = 16;

/// One thing out of a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A whole packet with a report.
    Report(&'a [u8]),
    /// Head of a Data packet.
    Data(Data),
}

/// Head of a Data packet (mmsp.md 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// playIncarnation.
    pub incarnation: u8,
    /// The rest; the sequence is AFFlags.
    pub head: DataHead,
}

/// One thing out of a connection's bytes, whole.
#[derive(Debug)]
pub enum Whole<'a> {
    /// What the server says.
    Report(ToClient),
    /// A Data packet.
    Data(Data, &'a [u8]),
}

/// The next thing of a connection that is read whole. An error names the place.
pub fn take(reader: &mut Reader<ToClient>) -> Result<Option<Whole<'_>>, String> {
    let told = |f: Fault| format!("offset {}: {}", f.offset, f.reason);
    match reader.take().map_err(told)? {
        None => Ok(None),
        Some(Item::Message(report)) => Ok(Some(Whole::Report(report))),
        Some(Item::Data { head, payload }) => {
            let len = MmsHead::LEN + payload.len();
            Ok(Some(Whole::Data(data(head.bytes(), payload, len), payload)))
        }
        Some(Item::Unknown { mid, offset }) => Err(format!(
            "offset {offset}: message of unknown MID {mid:#010x}"
        )),
        Some(Item::Malformed { mid, fault }) => {
            Err(format!("message {mid:#010x}: {}", told(fault)))
        }
    }
}

/// A datagram of which these are the first bytes, [`HEAD_MAX`] of them if it is not shorter, and
/// this the length.
pub fn datagram(head: &[u8], len: usize) -> Result<Data, String> {
    let fault = || format!("datagram of {len} bytes has no Data header");
    let bytes = head.first_chunk().ok_or_else(fault)?;
    Ok(data(*bytes, &head[MmsHead::LEN..], len))
}

fn data(bytes: [u8; MmsHead::LEN], payload: &[u8], len: usize) -> Data {
    let head = MmsHead::read(bytes);
    Data {
        incarnation: head.play_incarnation,
        head: DataHead {
            location: Some(head.location_id),
            sequence: u16::from(head.af_flags),
            frame_len: u16::try_from(len).unwrap_or(u16::MAX),
            size_field: head.packet_size,
            send_time: asf::send_time(payload),
        },
    }
}

/// Splits a connection's bytes whatever way they arrive, keeping heads and reports only.
#[derive(Debug, Default)]
pub struct Deframer {
    skip: u32,
    held: Vec<u8>,
}

/// What the bytes at hand are the beginning of.
#[derive(Clone, Copy)]
enum Begun {
    /// Unknown before there are so many.
    Less(usize),
    /// A report of this length.
    Report(usize),
    /// A Data packet of this length.
    Data(usize),
}

impl Begun {
    /// How much of it is gathered before it is given on.
    fn wanted(self) -> usize {
        match self {
            Begun::Less(n) | Begun::Report(n) => n,
            Begun::Data(n) => n.min(HEAD_MAX),
        }
    }
}

impl Deframer {
    /// Take bytes; `each` gets every Data packet as soon as its head is complete, and every report
    /// when it is whole. An error means that the bytes cannot be followed any further, or is that
    /// of `each`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Packet<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = bytes.len().min(self.skip as usize);
                self.skip -= n as u32;
                bytes = &bytes[n..];
                continue;
            }
            if self.held.is_empty() {
                let begun = begun(bytes)?;
                if !matches!(begun, Begun::Less(_)) && bytes.len() >= begun.wanted() {
                    let n = self.give(begun, bytes, &mut each)?;
                    bytes = &bytes[n..];
                    continue;
                }
            }
            bytes = self.gather(bytes, &mut each)?;
        }
        Ok(())
    }

    /// True between two packets.
    pub fn at_boundary(&self) -> bool {
        self.skip == 0 && self.held.is_empty()
    }

    /// Give on what begins here; how many of the bytes it took.
    fn give(
        &mut self,
        begun: Begun,
        bytes: &[u8],
        each: &mut impl FnMut(Packet<'_>) -> Result<(), String>,
    ) -> Result<usize, String> {
        let wanted = begun.wanted();
        match (begun, bytes.first_chunk()) {
            (Begun::Data(len), Some(head)) => {
                self.skip = (len - wanted) as u32;
                let data = data(*head, &bytes[MmsHead::LEN..wanted], len);
                each(Packet::Data(data))?;
            }
            _ => each(Packet::Report(&bytes[..wanted]))?,
        }
        Ok(wanted)
    }

    fn gather<'a>(
        &mut self,
        mut bytes: &'a [u8],
        each: &mut impl FnMut(Packet<'_>) -> Result<(), String>,
    ) -> Result<&'a [u8], String> {
        loop {
            let begun = begun(&self.held)?;
            let lacks = begun.wanted() - self.held.len();
            let n = lacks.min(bytes.len());
            self.held.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if n < lacks {
                return Ok(bytes);
            }
            if matches!(begun, Begun::Less(_)) {
                continue;
            }
            let mut held = std::mem::take(&mut self.held);
            let given = self.give(begun, &held, each);
            // The room for a head is worth keeping, that for a report is not.
            if held.capacity() <= 2 * HEAD_MAX {
                held.clear();
                self.held = held;
            }
            return given.map(|_| bytes);
        }
    }
}

// MMSP-13
fn begun(bytes: &[u8]) -> Result<Begun, String> {
    let Some(head) = bytes.first_chunk::<{ MmsHead::LEN }>() else {
        return Ok(Begun::Less(MmsHead::LEN));
    };
    let [_, _, _, _, session @ ..] = *head;
    if u32::from_le_bytes(session) != SESSION_ID {
        let len = usize::from(MmsHead::read(*head).packet_size);
        return if len < MmsHead::LEN {
            Err(format!("Data packet with {len} as PacketSize"))
        } else {
            Ok(Begun::Data(len))
        };
    }
    let Some(&[_, _, _, _, _, _, _, _, a, b, c, d]) = bytes.first_chunk::<12>() else {
        return Ok(Begun::Less(12));
    };
    let len = (u32::from_le_bytes([a, b, c, d]) as usize).saturating_add(UNCOUNTED);
    if !(40..=PACKET_MAX).contains(&len) {
        return Err(format!("packet of {len} bytes"));
    }
    Ok(Begun::Report(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocols::mmsp::message::ToClient;
    use protocols::mmsp::wire;

    fn data_packet(location: u32, sequence: u8, send_time: u32, size: usize) -> Vec<u8> {
        let mut out = MmsHead::of(location, 10, sequence, size).bytes().to_vec();
        let mut asf = vec![0x82, 0, 0, 0, 0x5D];
        asf.extend(send_time.to_le_bytes());
        asf.resize(size, 0x24);
        out.extend(asf);
        out
    }

    #[derive(Debug, PartialEq)]
    enum Seen {
        Report(Vec<u8>),
        Data(Data),
    }

    fn all(bytes: &[u8], split: impl Iterator<Item = usize>) -> (Vec<Seen>, bool) {
        let mut deframer = Deframer::default();
        let mut seen = Vec::new();
        let mut note = |p: Packet<'_>| {
            seen.push(match p {
                Packet::Report(r) => Seen::Report(r.to_vec()),
                Packet::Data(d) => Seen::Data(d),
            });
            Ok(())
        };
        let mut rest = bytes;
        for n in split {
            let n = n.min(rest.len());
            deframer.feed(&rest[..n], &mut note).unwrap();
            rest = &rest[n..];
        }
        deframer.feed(rest, &mut note).unwrap();
        (seen, deframer.at_boundary())
    }

    fn stream() -> (Vec<u8>, Vec<Seen>) {
        let ping = wire::packet(&ToClient::Ping, 7, 0);
        let (mut bytes, mut expect) = (Vec::new(), Vec::new());
        for (i, size) in [(0u32, 200usize), (1, 9), (2, 1400), (3, 0)] {
            bytes.extend(data_packet(5 + i, i as u8, 1000 + i, size));
            expect.push(Seen::Data(Data {
                incarnation: 10,
                head: DataHead {
                    location: Some(5 + i),
                    sequence: i as u16,
                    frame_len: size as u16 + 8,
                    size_field: size as u16 + 8,
                    send_time: (size > 0).then_some(1000 + i),
                },
            }));
            bytes.extend(&ping);
            expect.push(Seen::Report(ping.clone()));
        }
        (bytes, expect)
    }

    // MMSP-13
    #[test]
    fn every_single_split_gives_the_same_packets() {
        let (bytes, expect) = stream();
        for at in 0..bytes.len() {
            let (seen, boundary) = all(&bytes, [at].into_iter());
            assert_eq!(seen, expect, "split at {at}");
            assert!(boundary);
        }
        let (seen, _) = all(&bytes, std::iter::repeat_n(1, bytes.len()));
        assert_eq!(seen, expect, "byte by byte");
    }

    // mmsp.md 10, X22: media packet 97, Sequence 0x105, incarnation 10, 1600 bytes.
    #[test]
    fn a_datagram_is_judged_by_its_own_length() {
        let mut bytes = vec![0x61, 0, 0, 0, 0x0A, 5, 0x48, 6];
        bytes.extend([0x82, 0, 0, 0, 0x5D, 9, 0, 0, 0]);
        let d = datagram(&bytes, 1608).unwrap();
        let h = d.head;
        assert_eq!((d.incarnation, h.location, h.sequence), (10, Some(97), 5));
        assert_eq!((h.frame_len, h.size_field), (1608, 1608));
        assert_eq!(h.send_time, Some(9));
        let short = datagram(&bytes, 1607).unwrap().head;
        assert_ne!(short.frame_len, short.size_field);
        assert!(datagram(&bytes[..7], 7).unwrap_err().contains("7 bytes"));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        let mut long = wire::packet(&ToClient::Ping, 0, 0);
        long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        for bad in [&long[..], &[1, 0, 0, 0, 10, 0, 7, 0]] {
            assert!(Deframer::default().feed(bad, |_| Ok(())).is_err());
        }
        let refuse = |_: Packet<'_>| Err("enough".to_string());
        let ping = wire::packet(&ToClient::Ping, 0, 0);
        assert_eq!(
            Deframer::default().feed(&ping, refuse),
            Err("enough".into())
        );
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_packets(cuts in prop::collection::vec(1usize..900, 0..12)) {
            let (bytes, expect) = stream();
            let (seen, boundary) = all(&bytes, cuts.into_iter());
            prop_assert_eq!(seen, expect);
            prop_assert!(boundary);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            let at = at.min(bytes.len());
            let mut deframer = Deframer::default();
            let mut count = 0;
            let mut each = |_: Packet<'_>| { count += 1; Ok(()) };
            if deframer.feed(&bytes[..at], &mut each).is_ok() {
                let _ = deframer.feed(&bytes[at..], &mut each);
            }
            prop_assert!(count <= bytes.len() / 8 + 1);
        }
    }
}
