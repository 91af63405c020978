//! Bodies of fuzz targets: they hold for any bytes, and panic where something is wrong.

use super::receiver::{Receiver, ReceiverConfig};
use crate::asf::trim;
use crate::machine::{Channel, Input, Machine, Output, Time};
use crate::media::IngestEvent;
use crate::nsc::{FormatIds, Station};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A header of one stream, 64 bytes a packet.
const HEADER: &[u8] = include_bytes!("receiver/fuzz_header.bin");

/// A receiver takes any datagrams. The bytes are those of several, each behind its length in one byte;
/// bit 7 of the length lets a second pass first.
pub fn receiver(bytes: &[u8]) {
    let mut formats = FormatIds::new();
    let header = Bytes::from_static(HEADER);
    let format = formats.id(&header);
    let group = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 0, 0, 1)), 5000);
    let station = Station::new(group, &formats);
    let mut receiver = Receiver::new(ReceiverConfig::new(station, 1));
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    let mut now = Time::ZERO;
    let mut rest = bytes;
    let mut entered = false;
    drain(&mut receiver, now, &mut entered);
    while let Some((&length, behind)) = rest.split_first() {
        now = Time(now.0 + if length >= 0x80 { 1_000_000 } else { 1000 });
        let (one, after) = behind.split_at(behind.len().min(usize::from(length & 0x7F)));
        rest = after;
        // Most bytes would be refused for their format and size: let those be right.
        let mut datagram = one.to_vec();
        if let [_, _, _, _, s0, s1, l0, l1, ..] = &mut datagram[..] {
            let [low, high] = format.to_le_bytes();
            (*s0, *s1) = (low, *s1 & 0x80 | high);
            (*l0, *l1) = (one.len() as u8, 0);
        }
        for bytes in [one, &datagram] {
            let channel = Channel(0);
            receiver.handle(
                now,
                Input::Datagram {
                    channel,
                    peer,
                    bytes,
                },
            );
            drain(&mut receiver, now, &mut entered);
        }
        receiver.handle(now, Input::Timeout);
        drain(&mut receiver, now, &mut entered);
    }
    receiver.finish(now);
    drain(&mut receiver, now, &mut entered);
}

/// What is given is a header first, and then packets that can be stored.
fn drain(receiver: &mut Receiver, now: Time, entered: &mut bool) {
    loop {
        match receiver.poll(now) {
            Output::Idle(_) => return,
            Output::Ingest(ingest) => match ingest.event {
                IngestEvent::Header(blob) => {
                    assert_eq!(blob, HEADER);
                    *entered = true;
                }
                IngestEvent::Packet { bytes, .. } => {
                    assert!(*entered, "a packet without a header");
                    let mut padded = Vec::new();
                    let fits = trim::pad(&bytes, 64, &mut padded);
                    assert_eq!((fits, padded.len()), (Ok(()), 64), "{bytes:02x?}");
                }
                _ => {}
            },
            _ => {}
        }
    }
}
