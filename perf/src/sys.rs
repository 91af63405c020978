//! The kernel calls that std does not offer, each behind a safe function. The only module with
//! `unsafe`, with those below it.

pub mod datagram;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is valid for writes; the clocks used here always exist.
    unsafe { libc::clock_gettime(clock, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Monotonic time, ns. Comparable between processes of one machine.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread, ns.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Sleep until `deadline_ns` of [`now_ns`]; may return early on a signal.
pub fn sleep_until_ns(deadline_ns: u64) {
    let ts = libc::timespec {
        tv_sec: (deadline_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (deadline_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: `ts` outlives the call; no remainder is asked for with an absolute deadline.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &ts,
            std::ptr::null_mut(),
        )
    };
}

/// Tie the calling thread (and what it starts later) to these CPUs.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain bits, all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no such CPU number",
            ));
        }
        // SAFETY: the index was checked against CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is initialised and its size is given.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Real-time priority for the calling thread (SCHED_FIFO), 1..=99.
pub fn set_fifo(priority: i32) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `param` is initialised.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) })?;
    Ok(())
}

/// The calling thread runs only where nobody else wants to (SCHED_IDLE).
pub fn set_idle() -> io::Result<()> {
    set_policy(libc::SCHED_IDLE)
}

/// The calling thread has no priority (SCHED_OTHER).
pub fn set_ordinary() -> io::Result<()> {
    set_policy(libc::SCHED_OTHER)
}

fn set_policy(policy: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is initialised.
    check(unsafe { libc::sched_setscheduler(0, policy, &param) })?;
    Ok(())
}

/// Raise the soft limit of open descriptors to the hard one; the limit in force afterwards.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writes.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// A new network namespace for the calling thread and what it starts later.
pub fn unshare_net() -> io::Result<()> {
    // SAFETY: plain flag call.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// A new network namespace with its own view of /sys (for its devices' settings).
pub fn unshare_net_and_sysfs() -> io::Result<()> {
    // SAFETY: plain flag call.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    let none = c"none";
    let root = c"/";
    let sys = c"/sys";
    let sysfs = c"sysfs";
    // SAFETY: all strings are NUL-terminated and live; data pointers may be null.
    check(unsafe {
        libc::mount(
            none.as_ptr(),
            root.as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    })?;
    // SAFETY: as above.
    check(unsafe {
        libc::mount(
            none.as_ptr(),
            sys.as_ptr(),
            sysfs.as_ptr(),
            0,
            std::ptr::null(),
        )
    })?;
    Ok(())
}

/// How a child process is to run.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Its CPUs; empty: as the parent.
    pub cpus: Vec<usize>,
    /// SCHED_FIFO priority.
    pub fifo: Option<i32>,
    /// A file of the network namespace to enter (`/proc/PID/ns/net`).
    pub net: Option<String>,
    /// Begin in a network namespace of its own.
    pub new_net: bool,
}

/// Apply a placement to a command. The child also gets SIGTERM when this process's main thread
/// ends, so that an interrupted benchmark leaves nothing behind.
pub fn place(command: &mut Command, placement: &Placement) -> io::Result<()> {
    let placement = placement.clone();
    let net = match &placement.net {
        Some(path) => Some(OwnedFd::from(std::fs::File::open(path)?)),
        None => None,
    };
    // SAFETY: between fork and exec only system calls on data prepared above are made; nothing
    // allocates or takes a lock.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
            if let Some(fd) = &net {
                check(libc::setns(fd.as_raw_fd(), libc::CLONE_NEWNET))?;
            }
            if placement.new_net {
                unshare_net()?;
            }
            if !placement.cpus.is_empty() {
                pin(&placement.cpus)?;
            }
            if let Some(priority) = placement.fifo {
                set_fifo(priority)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Ask a process to end (SIGTERM). Only ever used on processes started here.
pub fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: plain call; the caller holds the unreaped child, so the id is its own.
    check(unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) })?;
    Ok(())
}

/// Readiness of many descriptors, level-triggered.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// One readiness report.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What was registered with the descriptor.
    pub token: u64,
    /// Can be written, or a connect has finished.
    pub writable: bool,
}

/// Buffer for [`Epoll::wait`].
pub struct Events {
    raw: Vec<libc::epoll_event>,
    count: usize,
}

impl Events {
    /// Room for `capacity` reports.
    pub fn new(capacity: usize) -> Events {
        Events {
            raw: vec![libc::epoll_event { events: 0, u64: 0 }; capacity],
            count: 0,
        }
    }

    /// The `index`th report of the last wait.
    pub fn get(&self, index: usize) -> Option<Ready> {
        let event = self.raw[..self.count].get(index)?;
        Some(Ready {
            token: event.u64,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
        })
    }
}

impl Epoll {
    /// A new set.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: plain call; the descriptor is fresh and owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    fn control(&self, op: libc::c_int, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` is valid; a bad descriptor gives an error.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd, &mut event) })?;
        Ok(())
    }

    /// Watch for reading.
    pub fn add_read(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN as u32, token)
    }

    /// Watch for writing (a connect that is under way).
    pub fn add_write(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLOUT as u32, token)
    }

    /// From writing to reading.
    pub fn turn_to_read(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN as u32, token)
    }

    /// Watch no longer.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Wait; the number of reports.
    pub fn wait(&self, events: &mut Events, timeout: Duration) -> io::Result<usize> {
        let ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the buffer is valid for its length.
        let n = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.raw.as_mut_ptr(),
                events.raw.len() as libc::c_int,
                ms,
            )
        };
        events.count = match check(n) {
            Ok(n) => n as usize,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Err(e) => return Err(e),
        };
        Ok(events.count)
    }
}

/// recv without waiting.
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for its length.
    let n = unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Have the kernel note when each segment reached this host, for [`recv_stamped`].
pub fn stamp_arrivals(fd: RawFd) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// recv without waiting, with the time (of the realtime clock, ns) at which the last segment read
/// reached this host, if the kernel noted it.
pub fn recv_stamped(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
    let mut iov = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // u64 for the alignment that control messages need.
    let mut control = [0u64; 16];
    // SAFETY: msghdr is plain data, all-zero is valid.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all pointers in `msg` are to live locals of the given sizes.
    let n = unsafe { libc::recvmsg(fd, &mut msg, libc::MSG_DONTWAIT) };
    let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: `msg` was filled by recvmsg and its control buffer lives.
    let mut cmsg = unsafe { libc::CMSG_FIRSTHDR(&msg) };
    while !cmsg.is_null() {
        // SAFETY: the CMSG functions gave a valid header inside the control buffer.
        let head = unsafe { *cmsg };
        if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPNS {
            // SAFETY: the kernel puts a timespec there; it may be unaligned.
            let ts: libc::timespec = unsafe {
                libc::CMSG_DATA(cmsg)
                    .cast::<libc::timespec>()
                    .read_unaligned()
            };
            let ns = ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64;
            return Ok((n, Some(ns).filter(|&t| t > 0)));
        }
        // SAFETY: as above.
        cmsg = unsafe { libc::CMSG_NXTHDR(&msg, cmsg) };
    }
    Ok((n, None))
}

/// send without waiting and without SIGPIPE.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice is valid for its length.
    let n = unsafe {
        libc::send(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Enter a network namespace, given as a file (`/proc/PID/ns/net`), with the calling thread.
pub fn enter_net(path: &str) -> io::Result<()> {
    let file = std::fs::File::open(path)?;
    // SAFETY: the descriptor is open; plain flag.
    check(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// struct virtio_net_hdr: what the kernel says of a frame's checksum and segmentation.
pub const VNET_HEAD: usize = 10;

/// Whole frames of one device, each behind its [`VNET_HEAD`] bytes. Only those that come in.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// On a device of the calling thread's namespace. Needs CAP_NET_RAW.
    pub fn open(device: &str) -> io::Result<PacketSocket> {
        let name = CString::new(device)?;
        // SAFETY: `name` is NUL-terminated and lives.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: plain call; the descriptor is fresh and owned.
        let fd = check(unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: as above.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        for option in [libc::PACKET_VNET_HDR, libc::PACKET_IGNORE_OUTGOING] {
            set_int(fd.as_raw_fd(), libc::SOL_PACKET, option, 1)?;
        }
        // SAFETY: sockaddr_ll is plain data, all-zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = i32::try_from(index).unwrap_or(0);
        if address.sll_ifindex == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such device"));
        }
        // SAFETY: pointer and size describe the address.
        check(unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        })?;
        Ok(PacketSocket(fd))
    }

    /// One frame, without waiting.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        recv(self.0.as_raw_fd(), buffer)
    }

    /// Send one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<usize> {
        send(self.0.as_raw_fd(), frame)
    }
}

/// Let the kernel choose the local port at connect time, so that one address serves as many
/// connections as there are ports for each destination.
pub fn bind_without_port(fd: RawFd) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

fn set_int(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: pointer and size describe one int.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Choose the congestion control. Do it on a listener before `listen`, not on accepted sockets.
pub fn set_congestion(fd: RawFd, name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: pointer and length describe the string without its NUL.
    check(unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            name.as_ptr().cast(),
            name.as_bytes().len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Data segments that a TCP socket has received so far.
pub fn data_segments_in(fd: RawFd) -> io::Result<u32> {
    // tcp_info up to and with tcpi_data_segs_in, kernel 4.6 and later (include/uapi/linux/tcp.h).
    const OFFSET: usize = 152;
    let mut info = [0u8; OFFSET + 4];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the buffer is valid for `len` bytes.
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut len,
        )
    })?;
    if (len as usize) < info.len() {
        return Err(io::Error::other(
            "this kernel's TCP_INFO has no data_segs_in",
        ));
    }
    let [.., a, b, c, d] = info;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Bytes that a read would find now.
pub fn bytes_waiting(fd: RawFd) -> io::Result<usize> {
    let mut n: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    check(unsafe { libc::ioctl(fd, libc::FIONREAD, &mut n) })?;
    Ok(usize::try_from(n).unwrap_or(0))
}
