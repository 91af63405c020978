//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. The tests
//! replay a kept corpus through them; a fuzzer can call them as they are.

use super::frame::LENGTH_MAX;
use super::server::{Config, Server};
use crate::content::Answer;
use crate::machine::{ConnId, CoreId, Input, Machine, Output, Time};
use crate::media::IngestEvent;

/// A PushStart's head; what is fuzzed follows it.
const START: &str = "POST /live HTTP/1.1\r\nHost: h\r\nUser-Agent: WMEncoder/12.0\r\n\
     Content-Type: application/x-wms-pushstart\r\nContent-Length: 2147483647\r\n\r\n";

/// Bytes of one connection to a server that lets everybody publish: it must take them in any split alike,
/// and keep nothing once the connection and its sessions are gone.
pub fn server(bytes: &[u8]) {
    let whole = talk(&[bytes]);
    let split: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(whole, talk(&split), "the split changed the outcome");
}

/// The body of a PushStart, the same way.
pub fn body(bytes: &[u8]) {
    let whole = [START.as_bytes(), bytes].concat();
    let mut split = vec![START.as_bytes()];
    split.extend(bytes.chunks(1));
    assert_eq!(
        talk(&[&whole]),
        talk(&split),
        "the split changed the outcome"
    );
}

/// What the server wrote, what it passed on, and whether it let go of the connection.
#[derive(Debug, Default, PartialEq)]
struct Said {
    bytes: Vec<u8>,
    events: Vec<IngestEvent>,
    gone: bool,
}

fn talk(pieces: &[&[u8]]) -> Said {
    let mut server = Server::new(Config {
        compat_unknown_id: true,
        ..Config::new(CoreId(0), 1, [7; 32])
    });
    let conn = ConnId(1);
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
    let mut said = Said::default();
    let opened = Input::Opened {
        conn,
        peer: here,
        local: here,
    };
    step(&mut server, Time::ZERO, opened, &mut said);
    for bytes in pieces {
        if said.gone {
            break;
        }
        step(
            &mut server,
            Time::ZERO,
            Input::Data { conn, bytes },
            &mut said,
        );
    }
    if !said.gone {
        step(&mut server, Time::ZERO, Input::Closed { conn }, &mut said);
    }
    step(&mut server, Time(u64::MAX / 2), Input::Timeout, &mut said);
    assert_eq!(server.connection_count(), 0, "a connection is left behind");
    assert_eq!(server.session_count(), 0, "a session is left behind");
    said
}

fn step(server: &mut Server, now: Time, input: Input<'_>, said: &mut Said) {
    server.handle(now, input);
    loop {
        match server.poll(now) {
            Output::Idle(_) => return,
            Output::Send { bytes, .. } => said.bytes.extend_from_slice(&bytes),
            Output::Close { .. } | Output::Move { .. } | Output::Switch { .. } => said.gone = true,
            Output::Ask { ticket, .. } => {
                let answer = Answer::Publishing;
                server.handle(now, Input::Answer { ticket, answer });
            }
            Output::Ingest(ingest) => {
                if let IngestEvent::Header(b) | IngestEvent::Packet { bytes: b, .. } = &ingest.event
                {
                    // A packet may have gained a length of its own.
                    assert!(b.len() <= LENGTH_MAX + 2, "{} bytes", b.len());
                }
                said.events.push(ingest.event);
            }
            _ => {}
        }
    }
}
