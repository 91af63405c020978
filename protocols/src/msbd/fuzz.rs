//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. Tests replay a
//! kept corpus through them; a fuzzer can call them as they are.

use super::client::{Client, ClientConfig};
use super::server::{Config, Port, Server};
use super::wire::{Direction, MESSAGE_LEN_MAX, Message, Reader, read_datagram};
use crate::content::{Answer, Refusal};
use crate::machine::{Channel, ConnId, Fault, Input, Machine, Output, Time};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// Bytes of one connection, either way: the split must not change what is read, nor where an error is; and what
/// is written of a message is read as the same.
pub fn stream(bytes: &[u8]) {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let whole = read(direction, bytes, bytes.len().max(1));
        let split = read(direction, bytes, 1);
        assert_eq!(whole, split, "the split changed the outcome");
    }
    if let Ok(packet) = read_datagram(bytes) {
        let mut again = Vec::new();
        packet.put(&mut again);
        assert_eq!(again.get(16..), bytes.get(16..));
    }
}

/// The messages, written anew, and how it ended.
fn read(direction: Direction, bytes: &[u8], split: usize) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut reader = Reader::new(direction);
    let mut messages = Vec::new();
    for part in bytes.chunks(split) {
        reader.push(part);
        loop {
            match reader.take() {
                Ok(Some(message)) => messages.push(again(direction, &message)),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        assert!(
            reader.buffered() < MESSAGE_LEN_MAX,
            "kept more than a message"
        );
    }
    (messages, None)
}

fn again(direction: Direction, message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.put(&mut bytes).expect("it was a message");
    let mut reader = Reader::new(direction);
    reader.push(&bytes);
    assert_eq!(reader.take(), Ok(Some(*message)));
    bytes
}

/// Bytes of a client, to a server that has no stream yet.
pub fn server(bytes: &[u8]) {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, super::PORT));
    let port = Port {
        port: super::PORT,
        path: "/point".into(),
        allow: vec![IpNet::from(IpAddr::V4(Ipv4Addr::LOCALHOST))],
        group: Some(SocketAddrV4::new(Ipv4Addr::new(239, 192, 1, 2), 17_000)),
        announced: true,
        switch_eos: true,
    };
    let mut server = Server::new(Config::new(vec![port]));
    let (conn, now) = (ConnId(1), Time(1_000_000));
    let (peer, local) = (here, here);
    server.handle(now, Input::Opened { conn, peer, local });
    for bytes in bytes.chunks(7) {
        server.handle(now, Input::Data { conn, bytes });
        loop {
            match server.poll(now) {
                Output::Idle(_) => break,
                Output::Close { .. } => return,
                Output::Ask { ticket, .. } => {
                    let answer = Answer::Refused(Refusal::Unavailable);
                    server.handle(now, Input::Answer { ticket, answer });
                }
                Output::Send { bytes, .. } => {
                    let mut reader = Reader::new(Direction::ToClient);
                    reader.push(&bytes);
                    assert!(matches!(reader.take(), Ok(Some(_))));
                }
                Output::Report(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Bytes of a server on a connection, and datagrams of anybody.
pub fn client(bytes: &[u8]) {
    let config = ClientConfig {
        multicast: bytes.first().is_some_and(|b| b & 1 == 1),
        ..ClientConfig::new("msbd://origin")
    };
    let Ok(mut client) = Client::new(config) else {
        return;
    };
    let (here, now) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), Time(0));
    let mut conn = None;
    for bytes in bytes.get(1..).unwrap_or_default().chunks(61) {
        loop {
            match client.poll(now) {
                Output::Idle(_) => break,
                Output::Connect { conn: opened, .. } => {
                    conn = Some(opened);
                    let (peer, local) = (here, here);
                    let conn = opened;
                    client.handle(now, Input::Opened { conn, peer, local });
                }
                Output::Close { .. } => conn = None,
                _ => {}
            }
        }
        let Some(conn) = conn else { return };
        client.handle(now, Input::Data { conn, bytes });
        client.handle(
            now,
            Input::Datagram {
                channel: Channel(0),
                peer: here,
                bytes,
            },
        );
    }
}
