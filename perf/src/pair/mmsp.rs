//! The pair of MMSP: three ReportFunnelInfo on the connection, or two datagrams before the header.

use super::{PATIENCE_NS, Pair, Pump, connect};
use crate::media::{Player, Subject};
use crate::mmsp::client::{Client, News, Transport, Wish};
use crate::mmsp::{self, HEAD_MAX, Whole};
use crate::swarm::Target;
use crate::sys;
use protocols::mmsp::message::ToClient;
use protocols::mmsp::wire::Reader;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

/// Bytes of the second packet: TcpMessageHeader, fields and 432 of noise; or the datagram.
const BYTES_TCP: u64 = 512;
const BYTES_UDP: u64 = 1472;
/// Noise in the three packets (MMSP-29).
const NOISE: [usize; 3] = [432, 432, 976];

/// One dialogue as far as its pair.
pub(super) fn ask(target: &Target, udp: bool, pump: &mut Pump) -> Result<Pair, String> {
    let fault = |e: io::Error| format!("{}: {e}", target.addr);
    let stream = connect(target).map_err(fault)?;
    let inbox = match udp {
        true => Some(inbox(&stream).map_err(fault)?),
        false => None,
    };
    let wish = Wish {
        subject: Subject {
            target: &target.path,
            authority: &target.authority,
            player: Player::Nine,
            session: 0xF000_0001,
        },
        transport: match &inbox {
            None => Transport::Tcp,
            Some((_, ip, port)) => Transport::Udp(*ip, *port),
        },
        pair: true,
        streams: &[],
        start_ms: 0,
    };
    let mut dialogue = Dialogue {
        wish,
        client: Client::default(),
        reader: Reader::default(),
        out: Vec::new(),
        at: [None; 3],
        late: false,
        segments: 0,
    };
    dialogue.client.open(&dialogue.wish, &mut dialogue.out);
    let begun = sys::now_ns();
    loop {
        if !dialogue.out.is_empty() {
            sys::send(stream.as_raw_fd(), &dialogue.out).map_err(fault)?;
            dialogue.out.clear();
        }
        let mut quiet = true;
        // Datagrams first: what is said after them must not overtake them.
        if let Some((socket, ..)) = &inbox {
            quiet &= !dialogue
                .take_datagram(socket.as_raw_fd())
                .map_err(told(fault))?;
        }
        quiet &= !dialogue
            .take_bytes(stream.as_raw_fd())
            .map_err(told(fault))?;
        if let Some(pair) = dialogue.pair(udp) {
            return Ok(pair);
        }
        if quiet {
            pump()?;
            if sys::now_ns() - begun > PATIENCE_NS {
                return Err("the packets of a pair did not arrive in time".into());
            }
        }
    }
}

/// A socket for datagrams at this end's address.
fn inbox(stream: &TcpStream) -> io::Result<(UdpSocket, Ipv4Addr, u16)> {
    let IpAddr::V4(ip) = stream.local_addr()?.ip() else {
        return Err(io::Error::other("not IPv4"));
    };
    let socket = UdpSocket::bind((ip, 0))?;
    sys::stamp_arrivals(socket.as_raw_fd())?;
    let port = socket.local_addr()?.port();
    Ok((socket, ip, port))
}

/// What went wrong with a socket, or was said wrongly.
enum Fault {
    Socket(io::Error),
    Dialogue(String),
}

fn told(fault: impl Fn(io::Error) -> String) -> impl Fn(Fault) -> String {
    move |f| match f {
        Fault::Socket(e) => fault(e),
        Fault::Dialogue(reason) => reason,
    }
}

struct Dialogue<'a> {
    wish: Wish<'a>,
    client: Client,
    reader: Reader<ToClient>,
    out: Vec<u8>,
    /// When the packets of the pair were complete.
    at: [Option<u64>; 3],
    late: bool,
    /// Of the connection, when it was read last.
    segments: u32,
}

impl Dialogue<'_> {
    /// The pair, once all of it is there.
    fn pair(&self, udp: bool) -> Option<Pair> {
        let [first, second, third] = self.at;
        if !udp {
            third?;
        }
        Some(Pair {
            at: [first?, second?],
            bytes: if udp { BYTES_UDP } else { BYTES_TCP },
            late: self.late,
        })
    }

    /// True: something came.
    fn take_bytes(&mut self, fd: i32) -> Result<bool, Fault> {
        let mut buffer = [0; 4096];
        let (n, stamp) = match sys::recv_stamped(fd, &mut buffer) {
            Ok((0, _)) => return Err(Fault::Dialogue("closed before the pair".into())),
            Ok(came) => came,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(Fault::Socket(e)),
        };
        let before = self.at;
        self.push(&buffer[..n], stamp.unwrap_or(0))
            .map_err(Fault::Dialogue)?;
        let segments = sys::data_segments_in(fd).map_err(Fault::Socket)?;
        if self.at != before {
            // Two in one read are the server's doing only if they were one segment.
            let together = before[0].is_none() && self.at[1].is_some();
            self.late |= stamp.is_none() || (together && segments > self.segments + 1);
        }
        self.segments = segments;
        Ok(true)
    }

    /// Bytes of the connection that reached this host then.
    fn push(&mut self, bytes: &[u8], at: u64) -> Result<(), String> {
        self.reader.push(bytes);
        while let Some(whole) = mmsp::take(&mut self.reader)? {
            let Whole::Report(report) = whole else {
                return Err("Data on the connection before it was asked for".into());
            };
            let news = self.client.report(&self.wish, &report, &mut self.out)?;
            if let (News::Pair(index), ToClient::ReportFunnelInfo { pair, .. }) = (news, &report) {
                let index = index as usize;
                if Some(&pair.len()) != NOISE.get(index) {
                    let (got, want) = (pair.len(), NOISE.get(index));
                    return Err(format!(
                        "{got} bytes of noise in packet {} of the pair, expected {want:?}",
                        index + 1
                    ));
                }
                self.note(index, at);
            }
        }
        Ok(())
    }

    /// True: something came.
    fn take_datagram(&mut self, fd: i32) -> Result<bool, Fault> {
        let mut buffer = [0; 2048];
        let (n, stamp) = match sys::recv_stamped(fd, &mut buffer) {
            Ok(came) => came,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(Fault::Socket(e)),
        };
        self.late |= stamp.is_none();
        self.datagram(&buffer[..n], stamp.unwrap_or(0))
            .map_err(Fault::Dialogue)?;
        Ok(true)
    }

    /// A datagram that reached this host then.
    fn datagram(&mut self, bytes: &[u8], at: u64) -> Result<(), String> {
        let data = mmsp::datagram(&bytes[..bytes.len().min(HEAD_MAX)], bytes.len())?;
        match self.client.data(&self.wish, &data, &mut self.out)? {
            News::Pair(index) => {
                if bytes.len() as u64 != BYTES_UDP || data.head.size_field != data.head.frame_len {
                    return Err(format!(
                        "packet {} of the pair has {} bytes and says {}, expected {BYTES_UDP}",
                        index + 1,
                        bytes.len(),
                        data.head.size_field
                    ));
                }
                self.note(index as usize, at);
            }
            News::Header if self.at[1].is_none() => {
                return Err("a header and no pair before it".into());
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, index: usize, at: u64) {
        if let Some(slot) = self.at.get_mut(index) {
            *slot = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::mmsp::message::DataHead;
    use protocols::mmsp::wire::{self, incarnation};

    fn dialogue(transport: Transport) -> Dialogue<'static> {
        let mut d = Dialogue {
            wish: Wish {
                subject: Subject {
                    target: "/live",
                    authority: "h",
                    player: Player::Nine,
                    session: 1,
                },
                transport,
                pair: true,
                streams: &[],
                start_ms: 0,
            },
            client: Client::default(),
            reader: Reader::default(),
            out: Vec::new(),
            at: [None; 3],
            late: false,
            segments: 0,
        };
        d.client.open(&d.wish, &mut d.out);
        let connected = ToClient::ReportConnectedEx {
            hr: 0,
            play_incarnation: incarnation::PAIR,
            server_version: "9.01.01.3841".into(),
            version_info: String::new(),
            version_url: String::new(),
            authen_package: String::new(),
        };
        d.push(&wire::packet(&connected, 0, 0), 1).unwrap();
        d
    }

    fn funnel_info(granted: u32, noise: usize) -> Vec<u8> {
        let report = ToClient::ReportFunnelInfo {
            play_incarnation: granted,
            client_id: 9,
            pair: vec![0x5A; noise],
        };
        wire::packet(&report, 1, 0)
    }

    // MMSP-29, MMSP-35
    #[test]
    fn three_packets_of_512_512_and_1056_bytes() {
        let mut d = dialogue(Transport::Tcp);
        for (noise, size, at) in [(432, 512, 10), (432, 512, 20), (976, 1056, 30)] {
            assert_eq!(d.pair(false), None);
            let bytes = funnel_info(incarnation::PAIR_TCP, noise);
            assert_eq!(bytes.len(), size);
            let (a, b) = bytes.split_at(100);
            d.push(a, at - 5).unwrap();
            d.push(b, at).unwrap();
        }
        let pair = d.pair(false).unwrap();
        assert_eq!((pair.at, pair.bytes, pair.late), ([10, 20], 512, false));
        let fourth = d.push(&funnel_info(incarnation::PAIR_TCP, 432), 40);
        assert!(fourth.is_err());
    }

    #[test]
    fn wrong_sizes_and_refusals_are_told() {
        let mut d = dialogue(Transport::Tcp);
        let e = d
            .push(&funnel_info(incarnation::PAIR_TCP, 400), 1)
            .unwrap_err();
        assert!(e.contains("400 bytes of noise in packet 1"), "{e}");
        let mut d = dialogue(Transport::Tcp);
        let e = d
            .push(&funnel_info(incarnation::NO_PAIR, 0), 1)
            .unwrap_err();
        assert!(e.contains("did not grant"), "{e}");
    }

    // MMSP-61
    #[test]
    fn two_datagrams_of_1472_bytes() {
        let mut d = dialogue(Transport::Udp(Ipv4Addr::LOCALHOST, 7000));
        d.push(&funnel_info(incarnation::PAIR_UDP, 0), 1).unwrap();
        let packet = |index, size: usize| {
            let head = DataHead::of_pair(index, size).bytes();
            [&head[..], &vec![7; size]].concat()
        };
        d.datagram(&packet(0, 1464), 100).unwrap();
        assert_eq!(d.pair(true), None);
        let e = d.datagram(&packet(1, 1400), 110).unwrap_err();
        assert!(e.contains("packet 2 of the pair has 1408 bytes"), "{e}");
        d.datagram(&packet(1, 1464), 120).unwrap();
        let pair = d.pair(true).unwrap();
        assert_eq!((pair.at, pair.bytes, pair.late), ([100, 120], 1472, false));
    }
}
