//! When the first bytes of a connection reached this host, as the kernel noted it.
//!
//! The two packets of a pair are 92 us apart on a link of 50 Mbit/s. A thread that sleeps until
//! there is something to read wakes later than that, and finds both in the receive queue as one
//! piece with one time. So the beginning of a connection is watched without sleep, in reads no
//! larger than a packet of the pair, and the times are the kernel's own.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The reply's head with the first packet of a pair, and the second packet (BW-03, BW-06): reads
/// of this size end where they end.
const PIECE_BYTES: usize = 512;
/// A head of 512 bytes, or what MMSP's server says before it, and the whole pair.
const WATCHED_BYTES: usize = 512 + protocols::rate::packet_pair::TOTAL;
/// How long the first byte is watched for.
const FIRST_LIMIT: Duration = Duration::from_millis(100);

/// How long the next byte is watched for.
#[derive(Clone, Copy, Debug)]
pub enum Gaps {
    /// The pair follows at once. With longer gaps the link is so slow that waking up costs nothing.
    Short,
    /// The pair comes a round trip later, asked for.
    RoundTrip,
}

impl Gaps {
    fn limit(self) -> Duration {
        match self {
            Gaps::Short => Duration::from_millis(15),
            Gaps::RoundTrip => FIRST_LIMIT,
        }
    }
}

/// So many datagrams get the kernel's times; behind a pair of them the reader's are good enough.
const NOTED_DATAGRAMS: u32 = 16;

/// While it lives, the kernel notes when packets arrive. It does so only while some socket of the
/// host wants it, and turns to it some time after the first one asks.
pub struct Noting(#[expect(dead_code)] Option<UdpSocket>);

impl Noting {
    /// Begin, ahead of the first connection. Without it the times are those of the reads.
    pub fn begin() -> Noting {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).ok();
        Noting(socket.filter(|s| note_arrivals(s.as_raw_fd()).is_ok()))
    }
}

/// Hands on what a new connection brings first, in pieces with their arrival times, until there is a pause
/// or as much as a packet pair has, or until nobody wants more. An end or a fault is left for the next
/// read to find.
pub fn first(stream: &TcpStream, gaps: Gaps, mut give: impl FnMut(Instant, Vec<u8>) -> bool) {
    let fd = stream.as_raw_fd();
    let _ = note_arrivals(fd);
    let clock = Clock::read();
    let mut begun = false;
    let mut buffer = [0; PIECE_BYTES];
    let mut left = WATCHED_BYTES;
    let mut last = Instant::now();
    while left > 0 {
        match receive(fd, &mut buffer) {
            Ok((0, _)) => break,
            Ok((n, noted)) => {
                last = Instant::now();
                let at = noted.and_then(|t| clock.instant(t)).unwrap_or(last);
                begun = true;
                left = left.saturating_sub(n);
                if !give(at, buffer.get(..n).unwrap_or_default().to_vec()) {
                    return;
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let limit = if begun { gaps.limit() } else { FIRST_LIMIT };
                if last.elapsed() > limit {
                    break;
                }
                // Whoever handles events may share this CPU.
                std::thread::yield_now();
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}

/// Reads datagrams with their arrival times.
pub struct DatagramReader {
    clock: Clock,
    noted: u32,
}

impl DatagramReader {
    /// For a socket from which nothing was read yet.
    pub fn new(socket: &UdpSocket) -> DatagramReader {
        let _ = note_arrivals(socket.as_raw_fd());
        DatagramReader {
            clock: Clock::read(),
            noted: 0,
        }
    }

    /// The next datagram, as much of it as fits: when it came, its length, its sender. Waits as long as the
    /// socket's timeout says.
    pub fn next(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(Instant, usize, SocketAddr)> {
        if self.noted >= NOTED_DATAGRAMS {
            let (n, sender) = socket.recv_from(buffer)?;
            return Ok((Instant::now(), n, sender));
        }
        let (_, sender) = socket.peek_from(&mut [0])?;
        let (n, noted) = receive(socket.as_raw_fd(), buffer)?;
        self.noted += 1;
        let at = noted.and_then(|t| self.clock.instant(t));
        Ok((at.unwrap_or_else(Instant::now), n, sender))
    }
}

/// The same moment on both clocks: the kernel notes wall time.
struct Clock {
    wall: SystemTime,
    instant: Instant,
}

impl Clock {
    /// Of several readings the one in which the least time passed between the clocks. One for all
    /// arrivals, so that its error is in none of their distances.
    fn read() -> Clock {
        let one = |_| {
            let instant = Instant::now();
            let wall = SystemTime::now();
            (instant.elapsed(), Clock { wall, instant })
        };
        let best = (0..8).map(one).min_by_key(|(took, _)| *took);
        best.map_or_else(
            || Clock {
                wall: SystemTime::now(),
                instant: Instant::now(),
            },
            |(_, clock)| clock,
        )
    }

    fn instant(&self, at: SystemTime) -> Option<Instant> {
        match at.duration_since(self.wall) {
            Ok(later) => self.instant.checked_add(later),
            Err(earlier) => self.instant.checked_sub(earlier.duration()),
        }
    }
}

fn note_arrivals(fd: RawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: pointer and size describe one int.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Read without waiting; with it the time at which the last segment read reached this host, if the
/// kernel noted it.
fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<SystemTime>)> {
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // u64 for the alignment that control messages need.
    let mut control = [0u64; 16];
    // SAFETY: msghdr is plain data, all-zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all pointers in `message` are to live locals of the given sizes.
    let n = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT) };
    let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: `message` was filled by recvmsg and its control buffer lives.
    let mut head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !head.is_null() {
        // SAFETY: the CMSG functions gave a valid header inside the control buffer.
        let found = unsafe { *head };
        if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
            // SAFETY: the kernel puts a timespec there; it may be unaligned.
            let at = unsafe {
                let data = libc::CMSG_DATA(head).cast::<libc::timespec>();
                data.read_unaligned()
            };
            return Ok((n, wall_time(at)));
        }
        // SAFETY: as above.
        head = unsafe { libc::CMSG_NXTHDR(&raw const message, head) };
    }
    Ok((n, None))
}

fn wall_time(at: libc::timespec) -> Option<SystemTime> {
    let seconds = u64::try_from(at.tv_sec).ok().filter(|s| *s > 0)?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, u32::try_from(at.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        (near, listener.accept().expect("accept").0)
    }

    fn pieces(near: &TcpStream) -> Vec<(Instant, Vec<u8>)> {
        let mut pieces = Vec::new();
        first(near, Gaps::Short, |at, bytes| {
            pieces.push((at, bytes));
            true
        });
        pieces
    }

    #[test]
    fn datagrams_come_with_sender_and_rising_times() {
        let near = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let far = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let mut reader = DatagramReader::new(&near);
        let mut buffer = [0; 100];
        let mut last = None;
        for n in 0..2 * NOTED_DATAGRAMS as u8 {
            let to = near.local_addr().expect("address");
            far.send_to(&[n; 7], to).expect("send");
            let (at, len, sender) = reader.next(&near, &mut buffer).expect("a datagram");
            assert_eq!((len, sender), (7, far.local_addr().expect("address")));
            assert_eq!(buffer[..len], [n; 7]);
            assert!(last.replace(at).is_none_or(|last| last <= at));
        }
    }

    #[test]
    fn who_wants_no_more_gets_no_more() {
        let (near, mut far) = connection();
        far.write_all(&[1; 2000]).expect("write");
        let mut taken = 0;
        first(&near, Gaps::RoundTrip, |_, bytes| {
            taken += bytes.len();
            false
        });
        assert!((1..=PIECE_BYTES).contains(&taken));
    }

    #[test]
    fn all_bytes_come_in_order_in_pieces_whose_times_rise() {
        let (near, mut far) = connection();
        let sent: Vec<u8> = (0..1500u32).map(|i| (i % 251) as u8).collect();
        far.write_all(&sent[..700]).expect("write");
        far.write_all(&sent[700..]).expect("write");
        drop(far);
        let pieces = pieces(&near);
        assert!(pieces.iter().all(|(_, b)| b.len() <= PIECE_BYTES));
        assert!(pieces.is_sorted_by_key(|(at, _)| *at));
        let all: Vec<u8> = pieces.into_iter().flat_map(|(_, b)| b).collect();
        assert_eq!(all, sent);
    }

    #[test]
    fn no_more_is_taken_than_a_pair_and_silence_is_not_waited_out() {
        let (mut near, mut far) = connection();
        assert!(pieces(&near).is_empty());
        far.write_all(&[7; 2 * WATCHED_BYTES]).expect("write");
        drop(far);
        let taken: usize = pieces(&near).iter().map(|(_, b)| b.len()).sum();
        assert!((WATCHED_BYTES..WATCHED_BYTES + PIECE_BYTES).contains(&taken));
        let mut rest = Vec::new();
        io::Read::read_to_end(&mut near, &mut rest).expect("read");
        assert_eq!(taken + rest.len(), 2 * WATCHED_BYTES);
    }

    #[test]
    fn wall_time_is_carried_over() {
        let clock = Clock::read();
        let later = clock.wall + Duration::from_micros(92);
        let earlier = clock.wall - Duration::from_micros(92);
        let (a, b) = (clock.instant(earlier), clock.instant(later));
        let distance = b.zip(a).map(|(b, a)| b.duration_since(a));
        assert_eq!(distance, Some(Duration::from_micros(184)));
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 5,
        };
        assert_eq!(wall_time(none), None);
    }
}
