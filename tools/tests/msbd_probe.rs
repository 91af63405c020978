//! `ringcast probe msbd://` against a scripted server, over real sockets.

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// REQ_CONNECT for the channel `NetShow`, and its dwFlags.
const REQUEST_BYTES: usize = 34;
const FLAGS: usize = 16;
/// RES_CONNECT, a STREAMINFO of a header of 326 bytes, and packets of 64 bytes.
const REPLY_BYTES: usize = 36;
const INFO_BYTES: usize = 374;
const PACKET_BYTES: usize = 88;
const PING_BYTES: usize = 16;

/// What a server says in a session of two packets: RES_CONNECT, STREAMINFO, two packets, REQ_PING, IND_EOS and the
/// empty STREAMINFO.
fn session() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../protocols/tests/corpus/msbd")
        .join("session.bin");
    std::fs::read(path).expect("the corpus")
}

/// A server that serves one client; its URL.
fn serve(
    script: impl FnOnce(TcpStream, [u8; REQUEST_BYTES]) + Send + 'static,
) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("msbd://{}", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; REQUEST_BYTES];
        stream.read_exact(&mut request).expect("REQ_CONNECT");
        script(stream, request);
    });
    (url, server)
}

fn probe(args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringcast"))
        .args(["probe", "--json"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the command");
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {output:?}"));
    (output.status.code().expect("an exit code"), value)
}

#[test]
fn a_session_on_the_connection() {
    let (url, server) = serve(|mut stream, request| {
        assert_eq!(request[FLAGS], 1);
        stream.write_all(&session()).expect("a client");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("its end");
        assert_eq!((answer.len(), answer[6]), (PING_BYTES, 2));
    });
    let (code, seen) = probe(&[&url]);
    server.join().expect("the server");
    assert_eq!(code, 0, "{seen}");
    assert_eq!((&seen["packets"], &seen["bytes"]), (&2.into(), &128.into()));
    let entry = &seen["entries"][0];
    assert_eq!(entry["header_bytes"], 326);
    assert_eq!(entry["streams"][0]["payloads"], 2);
    assert_eq!(
        (&seen["transport"], &seen["end"]["code"]),
        (&"TCP".into(), &0.into())
    );
}

#[test]
fn a_session_from_the_group() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|s| s.local_addr());
    let port = free.expect("a free port").port();
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 9), port);
    let (url, server) = serve(move |mut stream, request| {
        assert_eq!(request[FLAGS], 2);
        let mut said = session();
        let packets = said.split_off(REPLY_BYTES + INFO_BYTES);
        said[20] = 2;
        said[22..24].copy_from_slice(&port.to_be_bytes());
        said[24..28].copy_from_slice(&group.ip().octets());
        let media = &packets[..2 * PACKET_BYTES];
        let ping = &packets[2 * PACKET_BYTES..][..PING_BYTES];
        stream.write_all(&[&said, ping].concat()).expect("a client");
        // It answers after it has joined.
        let mut answer = [0; PING_BYTES];
        stream.read_exact(&mut answer).expect("RES_PING");
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .expect("loopback");
        for packet in media.chunks(PACKET_BYTES) {
            let to = SockAddr::from(SocketAddr::V4(group));
            socket.send_to(packet, &to).expect("sent");
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("its end");
        assert!(rest.is_empty());
    });
    let args = ["--multicast", "--interface", "lo", "--duration", "3s", &url];
    let (code, seen) = probe(&args);
    server.join().expect("the server");
    assert_eq!(code, 0, "{seen}");
    assert_eq!((&seen["packets"], &seen["gaps"]), (&2.into(), &0.into()));
    assert_eq!(seen["transport"], "UDP");
    assert_eq!(seen["datagrams"]["received"], 2);
}

#[test]
fn refusals_and_waiting_are_told() {
    let (url, server) = serve(|mut stream, _| {
        let mut refused = session();
        refused.truncate(REPLY_BYTES);
        refused[12..16].copy_from_slice(&0xC00D_001A_u32.to_le_bytes());
        stream.write_all(&refused).expect("a client");
    });
    let (code, seen) = probe(&[&url]);
    server.join().expect("the server");
    assert_eq!(code, 1);
    assert_eq!(seen["failed"]["reason"], "refused with C00D001A");
    let (url, server) = serve(|mut stream, _| {
        let said = session();
        let empty = &said[said.len() - 48..];
        let waits = [&said[..REPLY_BYTES], empty].concat();
        stream.write_all(&waits).expect("a client");
        stream.read_to_end(&mut Vec::new()).expect("its end");
    });
    let (code, seen) = probe(&["--duration", "500ms", &url]);
    server.join().expect("the server");
    assert_eq!((code, &seen["end"]["code"]), (1, &0xC00D_0033_u32.into()));
}
