//! MSBD: other servers are given a point's stream whole, on the port that stands for it.

mod support;

use protocols::asf::broadcast_blob;
use protocols::machine::CoreId;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use support::asf::{Clip, FIRST, SECOND};
use support::*;

/// 3.2 Mbit/s.
const THICK: Clip = Clip {
    packet_size: 16_000,
    packets: 50,
    interval: 40,
    key_every: 10,
    preroll: 100,
    seed: 4,
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
sndbuf = "16KiB"
[[point]]
name = "list"
kind = "broadcast"
source = ["first.wmv", "second.wmv"]
cadence = "20ms"
[point.msbd]
listen = "127.0.0.1:0"
[[point]]
name = "quiet"
kind = "broadcast"
source = ["first.wmv", "second.wmv"]
cadence = "20ms"
[point.msbd]
listen = "127.0.0.1:0"
switch_eos = false
[[point]]
name = "thick"
kind = "broadcast"
source = "thick.wmv"
buffer = "2s"
cadence = "20ms"
[point.msbd]
listen = "127.0.0.1:0"
[[point]]
name = "far"
kind = "broadcast"
source = "first.wmv"
[point.msbd]
listen = "127.0.0.1:0"
allow = ["192.0.2.0/24"]
[[point]]
name = "late"
kind = "broadcast"
source = "late/first.wmv"
[point.msbd]
listen = "127.0.0.1:0"
[[point]]
name = "guarded"
kind = "broadcast"
source = "first.wmv"
[point.auth]
users = "users.toml"
[point.msbd]
listen = "127.0.0.1:0"
"#;

fn serving(name: &str) -> (Folder, engine::Server) {
    let folder = Folder::new(name);
    for (name, clip) in [("first", FIRST), ("second", SECOND), ("thick", THICK)] {
        let path = folder.0.join(format!("{name}.wmv"));
        std::fs::write(path, clip.bytes()).expect("a clip");
    }
    std::fs::write(folder.0.join("users.toml"), "").expect("no users");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

fn port_of(server: &engine::Server, point: &str) -> SocketAddr {
    let all = &server.addresses().msbd;
    all.iter()
        .find(|(name, _)| name == point)
        .expect("a port")
        .1
}

/// A message: its id, its hr, and what follows the sixteen bytes.
type Message = (u16, u32, Vec<u8>);

const REQ_PING: u16 = 1;
const IND_STREAMINFO: u16 = 5;
const RES_CONNECT: u16 = 8;
const IND_EOS: u16 = 9;
const IND_PACKET: u16 = 10;

const NS_E_FILE_NOT_FOUND: u32 = 0xC00D_001A;
const NS_E_NO_STREAM: u32 = 0xC00D_0033;

struct Relay(TcpStream);

/// Its id, its stream's id, and the packet of ASF.
type Packet = (u32, u16, Vec<u8>);

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Relay {
    /// Ask for the stream on the connection.
    fn connect(at: SocketAddr) -> Relay {
        let mut stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(&req_connect(1)).expect("written");
        Relay(stream)
    }

    /// The next message; `None` if the server closed.
    fn next(&mut self) -> Option<Message> {
        let mut base = [0; 16];
        if !self.fill(&mut base) {
            return None;
        }
        assert_eq!(base[..6], *b"MSB \x06\x01");
        let mut rest = vec![0; u32_at(&base, 8) as usize - 16];
        if !self.fill(&mut rest) {
            return None;
        }
        Some((u16_at(&base, 6), u32_at(&base, 12), rest))
    }

    fn message(&mut self, id: u16) -> (u32, Vec<u8>) {
        let (got, hr, rest) = self.next().expect("a message");
        assert_eq!(got, id);
        (hr, rest)
    }

    /// The id of a stream and its header.
    fn stream(&mut self) -> (u16, Vec<u8>) {
        let (hr, rest) = self.message(IND_STREAMINFO);
        assert_eq!(hr, 0);
        let texts: u32 = (16..28).step_by(4).map(|at| u32_at(&rest, at)).sum();
        assert_eq!((texts, u32_at(&rest, 28) as usize), (0, rest.len() - 32));
        (u16_at(&rest, 0), rest[32..].to_vec())
    }

    /// Packets up to something else, which is given too.
    fn packets(&mut self) -> (Vec<Packet>, Option<Message>) {
        let mut packets = Vec::new();
        loop {
            match self.next() {
                Some((IND_PACKET, 0, rest)) => {
                    assert_eq!(usize::from(u16_at(&rest, 6)), rest.len());
                    let (id, stream) = (u32_at(&rest, 0), u16_at(&rest, 4));
                    packets.push((id, stream, rest[8..].to_vec()));
                }
                other => return (packets, other),
            }
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> bool {
        match self.0.read_exact(into) {
            Ok(()) => true,
            Err(e)
                if [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&e.kind()) =>
            {
                false
            }
            Err(e) => panic!("nothing came: {e}"),
        }
    }
}

fn req_connect(flags: u32) -> Vec<u8> {
    let name: Vec<u8> = "NetShow"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut bytes = b"MSB \x06\x01\x07\x00\x22\x00\x00\x00\x00\x00\x00\x00".to_vec();
    bytes.extend(flags.to_le_bytes());
    bytes.extend(name);
    bytes
}

fn head_of(clip: &Clip) -> Vec<u8> {
    broadcast_blob(&clip.head(), None).expect("a header")
}

/// From which packet of the file on these are its rest, byte for byte.
fn end_of(clip: &Clip, packets: &[(u32, u16, Vec<u8>)]) -> u32 {
    let first = (0..clip.packets).find(|n| clip.packet(*n) == packets[0].2);
    let first = first.expect("a packet of the file");
    let all: Vec<_> = (first..clip.packets).map(|n| clip.packet(n)).collect();
    assert!(
        all.iter().eq(packets.iter().map(|p| &p.2)),
        "from {first} on"
    );
    first
}

// MSBD-16, MSBD-17, MSBD-18, MSBD-30, MSBD-35, MSBD-38, MSBD-41, MSBD-42
#[test]
fn a_server_gets_every_byte_of_every_entry() {
    let (_folder, server) = serving("msbd-bytes");
    for (point, eos) in [("list", true), ("quiet", false)] {
        let at = port_of(&server, point);
        let relays: Vec<Relay> = (0..6).map(|_| Relay::connect(at)).collect();
        for mut relay in relays {
            let (hr, rest) = relay.message(RES_CONNECT);
            assert_eq!((hr, rest), (0, vec![0; 20]));
            let clips = [FIRST, SECOND];
            let (mut stream, header) = relay.stream();
            let mut clip = clips.iter().position(|c| head_of(c) == header);
            let mut next_id = 0;
            for entry in 0..3 {
                let playing = &clips[clip.expect("a header of a file")];
                let (packets, then) = relay.packets();
                for packet in &packets {
                    assert_eq!((packet.0, packet.1), (next_id, stream), "no gap");
                    next_id += 1;
                }
                let begun = end_of(playing, &packets);
                assert!(entry == 0 || begun == 0, "entry {entry} from {begun} on");
                let (id, header) = match (eos, then) {
                    (true, Some((IND_EOS, 0, rest))) if rest.is_empty() => relay.stream(),
                    (false, Some((IND_STREAMINFO, 0, rest))) => {
                        (u16_at(&rest, 0), rest[32..].to_vec())
                    }
                    (_, other) => panic!("{other:?} after an entry"),
                };
                assert_ne!(id, stream, "another stream");
                stream = id;
                clip = clip.map(|at| (at + 1) % clips.len());
                assert!(clip.is_some_and(|at| head_of(&clips[at]) == header));
            }
        }
    }
    let totals = server.metrics().point_totals();
    let mine = totals.iter().find(|t| t.point == "list").expect("counted");
    assert_eq!((mine.protocol, mine.connects >= 6), ("msbd", true));
    assert!(mine.packets > 0 && mine.bytes > mine.packets * 1000);
    server.stop();
}

#[test]
fn late_ones_join_and_are_told_of_the_same_stream() {
    let (_folder, server) = serving("msbd-late");
    let at = port_of(&server, "thick");
    let mut first = Relay::connect(at);
    first.message(RES_CONNECT);
    let (id, header) = first.stream();
    assert_eq!(header, head_of(&THICK));
    // Somewhere in the middle.
    let begun = first.message(IND_PACKET).1[8..].to_vec();
    for _ in 0..20 {
        first.message(IND_PACKET);
    }
    let mut late = Relay::connect(at);
    late.message(RES_CONNECT);
    assert_eq!(late.stream(), (id, header));
    let (_, packet) = late.message(IND_PACKET);
    assert_eq!(u32_at(&packet, 0), 0, "its own numbers");
    assert_ne!(packet[8..], begun, "not from the past");
    server.stop();
}

// MSBD-46: packets are never left out; whoever is too slow is closed.
#[test]
fn one_that_lags_is_closed_and_harms_nobody() {
    let (_folder, server) = serving("msbd-lag");
    let at = port_of(&server, "thick");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&at.into()).expect("a connection");
    let mut slow = Relay(socket.into());
    slow.0.write_all(&req_connect(1)).expect("written");
    slow.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    slow.message(RES_CONNECT);
    slow.stream();
    let mut other = Relay::connect(at);
    other.message(RES_CONNECT);
    other.stream();
    let faults = || {
        let of = |core| server.metrics().core(CoreId(core)).peer_faults.get();
        of(0) + of(1)
    };
    let mut next_id = 0;
    until("the slow one is given up", || {
        let (_, packet) = other.message(IND_PACKET);
        assert_eq!(u32_at(&packet, 0), next_id, "the other one lost something");
        next_id += 1;
        faults() > 0
    });
    let mut next_id = 0;
    while let Some((id, _, rest)) = slow.next() {
        assert_eq!((id, u32_at(&rest, 0)), (IND_PACKET, next_id));
        next_id += 1;
    }
    let of = |core| server.metrics().core(CoreId(core)).slow_client_skips.get();
    assert_eq!(of(0) + of(1), 0, "nobody jumped");
    server.stop();
}

// MSBD-16, MSBD-48, MSBD-68
#[test]
fn who_may_not_is_refused_and_who_is_early_waits() {
    let (folder, server) = serving("msbd-allow");
    let mut far = Relay::connect(port_of(&server, "far"));
    assert_eq!(far.message(RES_CONNECT).0, NS_E_FILE_NOT_FOUND);
    assert!(far.next().is_none(), "closed");

    let mut group = TcpStream::connect(port_of(&server, "list")).expect("a connection");
    group.write_all(&req_connect(2)).expect("written");
    let mut group = Relay(group);
    assert_eq!(group.message(RES_CONNECT).0, NS_E_FILE_NOT_FOUND);
    assert!(group.next().is_none(), "closed");

    // Players must prove who they are; servers cannot, and are in the list.
    let mut guarded = Relay::connect(port_of(&server, "guarded"));
    assert_eq!(guarded.message(RES_CONNECT).0, 0);
    assert_eq!(guarded.stream().1, head_of(&FIRST));

    let refused = || {
        let totals = server.metrics().totals();
        totals.refused
    };
    let before = refused();
    let mut early = Relay::connect(port_of(&server, "late"));
    assert_eq!(early.message(RES_CONNECT).0, 0);
    let (hr, _) = early.message(IND_STREAMINFO);
    assert_eq!(hr, NS_E_NO_STREAM, "not yet");
    std::fs::create_dir(folder.0.join("late")).expect("a folder");
    std::fs::write(folder.0.join("late/first.wmv"), FIRST.bytes()).expect("a clip");
    assert_eq!(early.stream().1, head_of(&FIRST));
    early.message(IND_PACKET);
    assert_eq!(refused(), before, "to wait is not to be refused");
    server.stop();
}

#[test]
fn garbage_harms_nobody() {
    let (_folder, server) = serving("msbd-garbage");
    let at = port_of(&server, "thick");
    let mut good = Relay::connect(at);
    good.message(RES_CONNECT);
    good.stream();
    let mut bad_base = req_connect(1);
    bad_base[8..12].copy_from_slice(&3u32.to_le_bytes());
    let from_server = [&b"MSB \x06\x01\x09\x00\x10\x00\x00\x00"[..], &[0; 4]].concat();
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        &[0xFF; 64],
        &bad_base,
        &from_server,
    ] {
        let mut bad = TcpStream::connect(at).expect("a connection");
        bad.write_all(garbage).expect("written");
        bad.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert!(Relay(bad).next().is_none(), "closed");
    }
    // In the middle of the stream, too.
    let mut turns = Relay::connect(at);
    turns.message(RES_CONNECT);
    turns.0.write_all(&[0x55; 100]).expect("written");
    while turns.next().is_some() {}
    let first = u32_at(&good.message(IND_PACKET).1, 0);
    for n in 1..20 {
        let (id, _, rest) = good.next().expect("goes on");
        assert!(id == IND_PACKET || id == REQ_PING);
        assert_eq!(u32_at(&rest, 0), first + n);
    }
    server.stop();
}

#[test]
fn other_ports_need_a_restart() {
    let (folder, server) = serving("msbd-reload");
    let report = server.reload(config(&folder, SERVER)).expect("a reload");
    assert!(report.needs_restart.is_empty());
    let other = SERVER.replace("allow = [\"192.0.2.0/24\"]", "allow = [\"127.0.0.0/8\"]");
    let report = server.reload(config(&folder, &other)).expect("a reload");
    assert_eq!(report.needs_restart, ["point.msbd"]);
    assert_eq!(report.replaced, ["far"]);
    server.stop();
}
