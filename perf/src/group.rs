//! A receiver of MSB multicast (msb-nsc.md 2): what comes is counted, and placed on the timeline of
//! its send times by the kernel's receive time stamps.

use crate::asf;
use crate::stats::{Percentiles, Timelines};
use crate::sys::{self, Epoll, Events, datagram};
use serde::Serialize;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Before each ASF packet (msb-nsc.md 2.2).
const HEAD: usize = 8;
const BEACON: &[u8] = b"MSB ";
/// Error Correction Present, Opaque Data Present (msb-nsc.md 3.1).
const PARITY: u8 = 0x90;
const BUFFER: usize = 1 << 16;
const RECEIVE_BUFFER: usize = 8 << 20;
/// Datagrams nearer than this come in one burst, ns.
const BURST_NS: u64 = 200_000;
/// Send times that go back by more than this begin anew, ms.
const RESTART_MS: u32 = 1000;
/// Longest wait for a datagram before the clock is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What came in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Reception {
    /// Packets of media.
    pub data: u64,
    /// Of error correction.
    pub parity: u64,
    /// Bytes of these datagrams.
    pub bytes: u64,
    /// Packet ids that were jumped over.
    pub lost: u64,
    /// Ids that are not next and no jump forward, sizes that contradict the datagram's, parity of
    /// another id than the packet before, unreadable ASF heads, datagrams that are no MSB.
    pub faults: u64,
    /// Other entries that began; a file that comes round is one.
    pub entries: u64,
    /// Datagrams without a time stamp of the kernel.
    pub unstamped: u64,
    /// Receive time less send time, above the smallest; of data packets.
    pub lateness_ms: Percentiles,
    /// Timelines that these were on.
    pub timelines: usize,
    /// Most datagrams in a row that came less than 200 us apart, parity counted.
    pub largest_burst: u64,
    /// Datagrams that the own socket dropped.
    pub socket_drops: u64,
}

/// Reads datagrams one by one.
#[derive(Debug, Default)]
struct Listener {
    record: bool,
    seen: Reception,
    timelines: Timelines,
    timeline: usize,
    /// Id of the last packet, its stream and its send time.
    last: Option<(u32, u16, u32)>,
    last_ns: u64,
    burst: u64,
}

impl Listener {
    /// A datagram that came at `stamp`, ns of the realtime clock.
    fn hear(&mut self, datagram: &[u8], stamp: Option<u64>) {
        if datagram == BEACON {
            return;
        }
        let Some((head, packet)) = datagram.split_first_chunk::<HEAD>() else {
            self.fault();
            return;
        };
        let id = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let stream = u16::from_le_bytes([head[4], head[5]]);
        let size = u16::from_le_bytes([head[6], head[7]]);
        if usize::from(size) != datagram.len() || packet.is_empty() {
            self.fault();
            return;
        }
        if self.record {
            self.seen.bytes += datagram.len() as u64;
            self.seen.unstamped += u64::from(stamp.is_none());
        }
        if let Some(at) = stamp {
            self.note_burst(at);
        }
        if packet[0] & PARITY == PARITY {
            self.hear_parity(id, stream);
        } else {
            self.hear_data(id, stream, asf::send_time(packet), stamp);
        }
    }

    // MSB-04: parity repeats the id of the packet before.
    fn hear_parity(&mut self, id: u32, stream: u16) {
        if self.record {
            self.seen.parity += 1;
        }
        match self.last {
            Some((last, of, _)) if (last, of) != (id, stream) => self.fault(),
            _ => {}
        }
    }

    fn hear_data(&mut self, id: u32, stream: u16, send_time: Option<u32>, stamp: Option<u64>) {
        if self.record {
            self.seen.data += 1;
        }
        let Some(send_time) = send_time else {
            self.fault();
            return;
        };
        let mut begins = true;
        if let Some((last, of, before)) = self.last {
            let ahead = id.wrapping_sub(last).wrapping_sub(1) as i32;
            match u64::try_from(ahead) {
                Ok(lost) if self.record => self.seen.lost += lost,
                Ok(_) => {}
                Err(_) => self.fault(),
            }
            begins = stream != of || before.saturating_sub(send_time) > RESTART_MS;
            self.seen.entries += u64::from(self.record && stream != of);
        }
        if let Some(at) = stamp {
            let delta = (at / 1000) as i64 - i64::from(send_time) * 1000;
            if begins {
                self.timeline = self.timelines.restart(delta);
            }
            self.timelines.note(self.timeline, delta, self.record);
        }
        self.last = Some((id, stream, send_time));
    }

    fn note_burst(&mut self, at: u64) {
        let near = at.saturating_sub(self.last_ns) < BURST_NS;
        self.burst = if near { self.burst + 1 } else { 1 };
        self.last_ns = at;
        if self.record {
            self.seen.largest_burst = self.seen.largest_burst.max(self.burst);
        }
    }

    fn fault(&mut self) {
        self.seen.faults += u64::from(self.record);
    }

    fn reception(&self) -> Reception {
        Reception {
            lateness_ms: self.timelines.percentiles(),
            timelines: self.timelines.count(),
            ..self.seen
        }
    }
}

/// A member of a group.
pub struct Member {
    socket: Socket,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
    listener: Listener,
}

impl Member {
    /// Join on the interface with this address.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn join(group: SocketAddrV4, interface: Ipv4Addr) -> io::Result<Member> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        // To the group's address and not to all: what is for others on this port does not come.
        socket.bind(&SockAddr::from(group))?;
        socket.join_multicast_v4(group.ip(), &interface)?;
        let fd = socket.as_raw_fd();
        datagram::set_receive_buffer(fd, RECEIVE_BUFFER)?;
        sys::stamp_arrivals(fd)?;
        let epoll = Epoll::new()?;
        epoll.add_read(fd, 0)?;
        Ok(Member {
            socket,
            epoll,
            events: Events::new(1),
            buffer: vec![0; BUFFER],
            listener: Listener::default(),
        })
    }

    /// Listen until there is media, or for so long.
    ///
    /// # Errors
    /// Those of the kernel; if nothing comes.
    pub fn wait(&mut self, patience: Duration) -> Result<(), String> {
        let end = sys::now_ns() + patience.as_nanos() as u64;
        while self.listener.last.is_none() {
            if sys::now_ns() > end {
                return Err(format!("no packet within {} s", patience.as_secs()));
            }
            self.round(LOOK).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Listen for so long, counting or not.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn listen(&mut self, time: Duration, record: bool) -> io::Result<()> {
        self.listener.record = record;
        let end = sys::now_ns() + time.as_nanos() as u64;
        loop {
            let now = sys::now_ns();
            if now >= end {
                return Ok(());
            }
            self.round(Duration::from_nanos(end - now).min(LOOK))?;
        }
    }

    /// What came.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn reception(&self) -> io::Result<Reception> {
        Ok(Reception {
            socket_drops: datagram::receive_drops(self.socket.as_raw_fd())?.into(),
            ..self.listener.reception()
        })
    }

    fn round(&mut self, longest: Duration) -> io::Result<()> {
        self.epoll.wait(&mut self.events, longest)?;
        loop {
            match sys::recv_stamped(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok((n, stamp)) => self.listener.hear(&self.buffer[..n], stamp),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const MS: u64 = 1_000_000;

    fn packet(id: u32, stream: u16, send_time: u32) -> Vec<u8> {
        let mut asf = vec![0x82, 0x11, 0, 0, 0x5D];
        asf.extend(send_time.to_le_bytes());
        asf.extend([0; 4]);
        framed(id, stream, &asf)
    }

    fn parity(id: u32) -> Vec<u8> {
        framed(id, 1, &[0x92, 0xB2, 0, 9, 9, 9])
    }

    fn framed(id: u32, stream: u16, asf: &[u8]) -> Vec<u8> {
        let mut out = id.to_le_bytes().to_vec();
        out.extend(stream.to_le_bytes());
        out.extend((asf.len() as u16 + 8).to_le_bytes());
        out.extend(asf);
        out
    }

    fn recording() -> Listener {
        Listener {
            record: true,
            ..Listener::default()
        }
    }

    // MSB-01, MSB-04
    #[test]
    fn data_parity_and_beacons_are_told_apart() {
        let mut l = recording();
        l.hear(BEACON, Some(MS));
        for (id, at) in [(0, 1000), (1, 1040), (2, 1083)] {
            l.hear(&packet(id, 1, id * 40), Some(at * MS));
        }
        l.hear(&parity(2), Some(1083 * MS + 100_000));
        l.hear(&packet(3, 1, 120), Some(1120 * MS));
        let r = l.reception();
        assert_eq!((r.data, r.parity, r.lost, r.faults), (4, 1, 0, 0));
        assert_eq!(r.bytes, 4 * (8 + 13) + 8 + 6);
        assert_eq!((r.largest_burst, r.entries, r.timelines), (2, 0, 1));
        assert!((r.lateness_ms.max - 3.0).abs() < 0.01, "{r:?}");
        assert_eq!(r.lateness_ms.count, 4);
    }

    #[test]
    fn what_is_missing_or_wrong_is_counted() {
        let mut l = recording();
        l.hear(&packet(u32::MAX - 1, 1, 0), Some(0));
        l.hear(&packet(1, 1, 40), Some(40 * MS));
        assert_eq!((l.seen.lost, l.seen.faults), (2, 0));
        l.hear(&packet(1, 1, 80), Some(80 * MS));
        l.hear(&parity(7), Some(80 * MS));
        l.hear(b"MSB", Some(81 * MS));
        l.hear(&packet(2, 1, 80)[..20], Some(81 * MS));
        l.hear(&framed(2, 1, &[]), Some(81 * MS));
        l.hear(&framed(2, 1, &[0x82, 0]), None);
        assert_eq!((l.seen.faults, l.seen.lost), (6, 2));
        assert_eq!(l.seen.unstamped, 1);
    }

    #[test]
    fn only_the_window_counts_but_what_came_before_gives_the_zero() {
        let mut l = Listener::default();
        l.hear(&packet(5, 1, 0), Some(100 * MS));
        l.hear(b"", None);
        l.record = true;
        l.hear(&packet(6, 1, 10), Some(117 * MS));
        let r = l.reception();
        assert_eq!(
            (r.data, r.lost, r.faults, r.lateness_ms.count),
            (1, 0, 0, 1)
        );
        assert!((r.lateness_ms.max - 7.0).abs() < 0.01);
    }

    #[test]
    fn another_entry_has_another_timeline() {
        let mut l = recording();
        l.hear(&packet(5, 1, 90_000), Some(100_000 * MS));
        l.hear(&packet(6, 0x8001, 0), Some(100_010 * MS));
        let r = l.reception();
        assert_eq!((r.entries, r.timelines, r.lost), (1, 2, 0));
        assert!(r.lateness_ms.max < 0.01);
    }

    #[test]
    fn a_member_hears_its_group_on_loopback() {
        let sender = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let sender = UdpSocket::from(sender);
        // A port of its own keeps tests that run at the same time apart.
        let held = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 1), port);
        let mut member = Member::join(group, Ipv4Addr::LOCALHOST).unwrap();
        assert!(
            member
                .wait(Duration::ZERO)
                .unwrap_err()
                .contains("no packet")
        );
        sender.send_to(&packet(0, 1, 0), group).unwrap();
        member.wait(Duration::from_secs(20)).unwrap();
        member.listener.record = true;
        for id in 1..4 {
            sender.send_to(&packet(id, 1, id * 2), group).unwrap();
        }
        member.round(Duration::from_secs(20)).unwrap();
        let r = member.reception().unwrap();
        assert_eq!((r.data, r.lost, r.faults, r.unstamped), (3, 0, 0, 0));
        assert_eq!(r.socket_drops, 0);
        member.listen(Duration::ZERO, false).unwrap();
        assert!(!member.listener.record);
    }
}
