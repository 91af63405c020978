//! The header, the packets and the messages of the reference (msbd.md 7, msb-nsc.md 10).
#![allow(dead_code)]

use super::asf_build::hex;
use bytes::Bytes;
use protocols::content::*;
use protocols::msbd::server::{Config, Port};
use protocols::msbd::wire::{Described, Message, StreamInfo};
use sha2::{Digest, Sha256};
use std::net::SocketAddrV4;

pub const GROUP: &str = "239.192.1.2:17000";

/// S1: a Header Object of 276 bytes and 50 bytes of a Data Object.
pub fn s1() -> Vec<u8> {
    hex("
        30 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C
        14 01 00 00 00 00 00 00 03 00 00 00 01 02 A1 DC
        AB 8C 47 A9 CF 11 8E E4 00 C0 0C 20 53 65 68 00
        00 00 00 00 00 00 10 11 12 13 14 15 16 17 18 19
        1A 1B 1C 1D 1E 1F 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 01 00 00 00 40 00 00 00 40 00
        00 00 00 FA 00 00 B5 03 BF 5F 2E A9 CF 11 8E E3
        00 C0 0C 20 53 65 2E 00 00 00 00 00 00 00 11 D2
        D3 AB BA A9 CF 11 8E E6 00 C0 0C 20 53 65 06 00
        00 00 00 00 91 07 DC B7 B7 A9 CF 11 8E E6 00 C0
        0C 20 53 65 60 00 00 00 00 00 00 00 40 9E 69 F8
        4D 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 57 FB 20
        55 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 00 00 00
        00 00 00 00 12 00 00 00 00 00 00 00 01 00 00 00
        00 00 01 00 01 00 40 1F 00 00 40 1F 00 00 01 00
        08 00 00 00 36 26 B2 75 8E 66 CF 11 A6 D9 00 AA
        00 62 CE 6C 00 00 00 00 00 00 00 00 10 11 12 13
        14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 00 00 00 00
        00 00 00 00 01 01")
}

pub fn f1() -> Vec<u8> {
    hex(
        "82 00 00 08 5D 17 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 00 00 00
        41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00",
    )
}

pub fn f2() -> Vec<u8> {
    hex("82 00 00 08 5D 1D 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 00 00 00
        50 41 43 4B 45 54 2D 32 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00")
}

/// Example `n` of the reference, byte for byte.
pub fn example(n: u32) -> Vec<u8> {
    match n {
        1 => hex("4D 53 42 20 06 01 07 00 22 00 00 00 00 00 00 00 01 00 00 00
            4E 00 65 00 74 00 53 00 68 00 6F 00 77 00"),
        2 => hex("4D 53 42 20 06 01 07 00 22 00 00 00 00 00 00 00 02 00 00 00
            4E 00 65 00 74 00 53 00 68 00 6F 00 77 00"),
        3 => hex(
            "4D 53 42 20 06 01 08 00 24 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00",
        ),
        4 => hex(
            "4D 53 42 20 06 01 08 00 24 00 00 00 00 00 00 00 02 00 00 00 02 00 42 68
            EF C0 01 02 00 00 00 00 00 00 00 00",
        ),
        5 => hex(
            "4D 53 42 20 06 01 08 00 24 00 00 00 1A 00 0D C0 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00",
        ),
        6 => hex(
            "4D 53 42 20 06 01 08 00 24 00 00 00 57 00 07 80 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00",
        ),
        7 => hex("4D 53 42 20 06 01 03 00 10 00 00 00 00 00 00 00"),
        8 => hex("4D 53 42 20 06 01 01 00 10 00 00 00 00 00 00 00"),
        9 => hex("4D 53 42 20 06 01 02 00 10 00 00 00 00 00 00 00"),
        10 => hex("4D 53 42 20 06 01 09 00 10 00 00 00 00 00 00 00"),
        11 => hex(
            "4D 53 42 20 06 01 05 00 30 00 00 00 33 00 0D C0 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        ),
        12 => [
            hex(
                "4D 53 42 20 06 01 05 00 76 01 00 00 00 00 00 00 01 00 40 00 00 00 00 00
                00 FA 00 00 FF FF FF FF 00 00 00 00 00 00 00 00 00 00 00 00 46 01 00 00",
            ),
            s1(),
        ]
        .concat(),
        13 => with(example(12), 6, &[4]),
        14 | 18 => [
            hex("4D 53 42 20 06 01 0A 00 58 00 00 00 00 00 00 00 00 00 00 00 01 00 48 00"),
            f1(),
        ]
        .concat(),
        15 => [
            hex("4D 53 42 20 06 01 0A 00 58 00 00 00 00 00 00 00 01 00 00 00 01 00 48 00"),
            f2(),
        ]
        .concat(),
        16 => [3, 12, 14, 15, 8, 10, 11].map(example).concat(),
        17 => [
            [3, 12, 14, 10].map(example).concat(),
            with(example(12), 16, &[2]),
            // dwPacketId 1 of stream 2.
            with(with(example(14), 16, &[1]), 20, &[2]),
            [10, 11].map(example).concat(),
        ]
        .concat(),
        _ => panic!("no example {n}"),
    }
}

/// The bytes with others at a place.
pub fn with(mut bytes: Vec<u8>, at: usize, others: &[u8]) -> Vec<u8> {
    bytes[at..at + others.len()].copy_from_slice(others);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn s1_info(header: &[u8]) -> StreamInfo<'_> {
    StreamInfo {
        stream_id: 1,
        packet_size: 64,
        bit_rate: 64_000,
        header,
        ..StreamInfo::default()
    }
}

pub fn bytes_of(message: Message<'_>) -> Vec<u8> {
    message.bytes().expect("it fits").to_vec()
}

/// An IND_STREAMINFO of S1 with another number.
pub fn info(stream_id: u16) -> Vec<u8> {
    with(example(12), 16, &stream_id.to_le_bytes())
}

pub fn described(header: &[u8]) -> Vec<u8> {
    bytes_of(Message::IndStreamInfo(Described::Stream(s1_info(header))))
}

/// A packet of the given number and stream.
pub fn packet(id: u32, stream_id: u16) -> Vec<u8> {
    let bytes = with(example(14), 16, &id.to_le_bytes());
    with(bytes, 20, &stream_id.to_le_bytes())
}

/// S1, live, as entry `entry`.
pub fn s1_content(entry: u32) -> Content {
    Content {
        id: ContentId(0),
        header: Bytes::from(s1()),
        packet_size: 64,
        packet_count: 0,
        preroll: 0,
        duration: None,
        streams: vec![StreamInfoOf {
            number: 1,
            kind: StreamKind::Audio,
            average_bit_rate: 64_000,
            peak_bit_rate: 64_000,
            all_key: true,
        }]
        .into(),
        broadcast: true,
        seekable: false,
        stridable: false,
        playlist: false,
        entry,
        broadcast_id: 1,
        guarded: false,
        caching: Caching::default(),
        file_size: None,
        description: Vec::new().into(),
    }
}

use protocols::content::StreamInfo as StreamInfoOf;

/// A port with a group if there is one, for everybody of 192.0.2.0/24.
pub fn port(port: u16, path: &str, group: Option<&str>) -> Port {
    Port {
        port,
        path: path.to_owned(),
        allow: vec!["192.0.2.0/24".parse().expect("a prefix")],
        group: group.map(|g| g.parse::<SocketAddrV4>().expect("a group")),
        announced: group.is_some(),
        switch_eos: true,
    }
}

pub fn config(group: Option<&str>) -> Config {
    Config::new(vec![port(7007, "/point", group)])
}
