//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. The tests
//! replay a kept corpus through them; a fuzzer can call them as they are.

use super::packet::{self, Parsed};
use super::server::{Config, Server};
use crate::content::{Answer, Refusal};
use crate::machine::{ConnId, CoreId, Input, Machine, Output, Time};

/// Bytes of one connection to a server that has nothing to give: it must take them in any split
/// alike, answer or close, and keep nothing once the connection is gone.
pub fn server(bytes: &[u8]) {
    let whole = talk(bytes, bytes.len().max(1));
    let split = talk(bytes, 1);
    assert_eq!(whole, split, "the split changed the outcome");
}

/// A stream of packets: every parse ends, moves on, and stays inside the bytes.
pub fn packets(bytes: &[u8]) {
    let mut rest = bytes;
    let mut pairs = 0;
    loop {
        match packet::parse(rest, pairs) {
            Ok(Parsed::Whole(packet, len)) => {
                assert!(len > 0 && len <= rest.len(), "a packet of {len} bytes");
                if matches!(packet, packet::Packet::Pair { .. }) {
                    pairs += 1;
                }
                rest = &rest[len..];
            }
            Ok(Parsed::Needs(len)) => {
                assert!(len > rest.len(), "more is wanted, {len}, than is there");
                return;
            }
            Err(fault) => {
                assert!(!fault.reason.is_empty());
                return;
            }
        }
    }
}

/// What the server wrote, and whether it closed.
fn talk(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut server = Server::new(Config::new(CoreId(0), 1, [7; 32]));
    let conn = ConnId(1);
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
    let mut said = (Vec::new(), false);
    let opened = Input::Opened {
        conn,
        peer: here,
        local: here,
    };
    step(&mut server, opened, &mut said);
    for bytes in bytes.chunks(piece) {
        if said.1 {
            break;
        }
        step(&mut server, Input::Data { conn, bytes }, &mut said);
    }
    if !said.1 {
        step(&mut server, Input::Closed { conn }, &mut said);
    }
    assert_eq!(server.connection_count(), 0, "a connection is left behind");
    said
}

fn step(server: &mut Server, input: Input<'_>, said: &mut (Vec<u8>, bool)) {
    server.handle(Time::ZERO, input);
    loop {
        match server.poll(Time::ZERO) {
            Output::Idle(_) => return,
            Output::Send { bytes, .. } => said.0.extend_from_slice(&bytes),
            Output::Close { .. } | Output::Move { .. } | Output::Switch { .. } => said.1 = true,
            Output::Ask { ticket, .. } => {
                let answer = Answer::Refused(Refusal::NotFound);
                server.handle(Time::ZERO, Input::Answer { ticket, answer });
            }
            _ => {}
        }
    }
}
