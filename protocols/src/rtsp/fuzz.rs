//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. The tests
//! replay a kept corpus through them; a fuzzer can call them as they are.

use super::Fault;
use super::body::{EndOfStream, PairRequest, StreamSwitch};
use super::cache_control::CacheControl;
use super::fec::Recovery;
use super::fields::{self, Condition, Session, Streaming, UserAgent};
use super::head::Head;
use super::payload::Depacketizer;
use super::range::Range;
use super::reader::{Limits, Reader, Step};
use super::rtp::{Packet, Reorder};
use super::server::{Config, Server};
use super::{rtcp, rtp_info, sdp_reader, transport};
use crate::content::{Answer, Refusal};
use crate::machine::{Channel, ConnId, CoreId, Input, Machine, Output, Time};
use crate::wmsp::startup;

const LIMITS: Limits = Limits {
    head_bytes_max: 2048,
    body_bytes_max: 4096,
    frame_bytes_max: 2048,
};

/// Bytes of one connection, either way: the split must not change what is read, nor where an error is,
/// and every value of every header is read or refused with a place inside of it.
pub fn stream(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    let split = read(bytes, 1);
    assert_eq!(whole, split, "the split changed the outcome");
}

/// A description: it is read or refused with a place inside of it, and what is written of it is read
/// as the same.
pub fn description(bytes: &[u8]) {
    match sdp_reader::parse(bytes) {
        Err(fault) => assert!(fault.offset <= bytes.len() as u64, "{fault}"),
        Ok(read) => {
            let written = read.write();
            let again = sdp_reader::parse(written.as_bytes()).map(|p| p.write());
            assert_eq!(again.as_deref(), Ok(&*written));
        }
    }
}

/// Datagrams, each behind two bytes of length: nothing but bounded work and packets within limits.
pub fn media(mut bytes: &[u8]) {
    const PACKET_MAX: usize = 1500;
    let mut to = Depacketizer::new(PACKET_MAX);
    let mut queue = Reorder::new(8, None);
    let mut recovery = Recovery::new(1);
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len) & 0x07FF).min(rest.len());
        let (datagram, rest) = rest.split_at(len);
        bytes = rest;
        let resend = rtcp::Resend::parse(datagram);
        assert!(resend.is_none_or(|r| r.lost.len() <= rtcp::LOOKUPS_MAX));
        if let Ok(packet) = Packet::parse(datagram) {
            queue.push(packet.header.sequence, ());
            assert!(queue.missing().count() <= 8);
            let _ = to.push(&packet, |_, asf| {
                assert!((1..=PACKET_MAX).contains(&asf.len()))
            });
            let mut back = recovery.source(&packet);
            back.extend(recovery.repair(packet.payload).unwrap_or_default());
            assert!(back.iter().all(|r| r.body.len() <= 0x07FF));
        }
        while queue.pop().is_some() {}
    }
}

/// What a stream gives, as text, and where it stopped.
fn read(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut reader = Reader::default();
    let mut got = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.next(&LIMITS) {
                Ok(Step::Wait) => break,
                Ok(Step::Message(message)) => {
                    values(&message.head);
                    bodies(&message.body);
                    got.push(format!("{message:?}"));
                }
                Ok(other) => got.push(format!("{other:?}")),
                Err(refused) => {
                    assert!(refused.fault.offset <= bytes.len() as u64, "{refused}");
                    got.push(format!("{refused:?}"));
                    return got;
                }
            }
        }
        assert!(
            reader.buffered() <= LIMITS.head_bytes_max + LIMITS.body_bytes_max + piece.len(),
            "too much is kept"
        );
    }
    got
}

fn values(head: &Head) {
    for (_, value) in head.lines() {
        let mut faults: Vec<Fault> = transport::specs(value).filter_map(Result::err).collect();
        faults.extend(Range::parse(value).err());
        faults.extend(rtp_info::parse(value).err());
        faults.extend(Session::parse(value).err());
        faults.extend(Condition::parse(value, "If-Match").err());
        faults.extend(fields::milli_value(value, "Scale").err());
        faults.extend(fields::entry_id(value, "X-Playlist-Gen-Id").err());
        for fault in faults {
            assert!(fault.offset <= value.len() as u64, "{fault} of {value:?}");
        }
        let _ = (UserAgent::parse(value), startup::parse(value));
        let _ = Streaming::Accelerate.parse(value);
        let cache = CacheControl::parse(value);
        let shown = CacheControl::parse(&cache.to_string()).to_string();
        assert_eq!(shown, cache.to_string());
    }
}

fn bodies(body: &[u8]) {
    let switches = StreamSwitch::parse(body);
    for switch in switches.iter().flatten() {
        let again = StreamSwitch::parse(switch.to_string().as_bytes());
        assert!(again.is_ok(), "{switch}");
    }
    let _ = (EndOfStream::parse(body), PairRequest::parse(body));
}

/// Bytes of one connection to a server that has nothing to give: it must take them in any split
/// alike, answer or close, and keep nothing once the connection is gone.
pub fn server(bytes: &[u8]) {
    let whole = talk(bytes, bytes.len().max(1));
    let split = talk(bytes, 1);
    assert_eq!(whole, split, "the split changed the outcome");
}

/// What the server wrote, and whether it closed.
fn talk(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut server = Server::new(Config::new(CoreId(0), 1, [7; 32]));
    let conn = ConnId(1);
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 554));
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
    let datagram = Input::Datagram {
        channel: Channel(1),
        peer: here,
        bytes,
    };
    step(&mut server, datagram, &mut said);
    if !said.1 {
        step(&mut server, Input::Closed { conn }, &mut said);
    }
    assert_eq!(server.connection_count(), 0, "a connection is left behind");
    assert_eq!(server.session_count(), 0, "a session out of nothing");
    said
}

fn step(server: &mut Server, input: Input<'_>, said: &mut (Vec<u8>, bool)) {
    server.handle(Time::ZERO, input);
    loop {
        match server.poll(Time::ZERO) {
            Output::Idle(_) => return,
            Output::Send { bytes, .. } => said.0.extend_from_slice(&bytes),
            Output::Close { .. } | Output::Move { .. } => said.1 = true,
            Output::Ask { ticket, .. } => {
                let answer = Answer::Refused(Refusal::NotFound);
                server.handle(Time::ZERO, Input::Answer { ticket, answer });
            }
            _ => {}
        }
    }
}
