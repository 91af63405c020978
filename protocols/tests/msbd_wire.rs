//! Bytes of MSBD against the reference's examples, in any split, and hostile ones.

mod asf_build;
mod msbd_support;

use bytes::Bytes;
use msbd_support::*;
use proptest::prelude::*;
use protocols::media::{Caster as _, Framer, PacketMeta};
use protocols::msbd::caster::Caster;
use protocols::msbd::framer::MsbdFramer;
use protocols::msbd::wire::*;
use protocols::msbd::{fuzz, hresult, stream_id};

fn read(direction: Direction, bytes: &[u8]) -> Result<String, String> {
    let mut reader = Reader::new(direction);
    reader.push(bytes);
    let message = reader.take().map_err(|f| f.reason)?;
    let message = message.map(|m| format!("{m:?}"));
    assert_eq!(reader.buffered(), 0);
    Ok(message.expect("a whole message"))
}

fn fault(direction: Direction, bytes: &[u8]) -> (u64, String) {
    let mut reader = Reader::new(direction);
    reader.push(bytes);
    let fault = reader.take().expect_err("no message");
    (fault.offset, fault.reason)
}

// MSBD-04, MSBD-05, MSBD-06, MSBD-07, MSBD-08, MSBD-09, MSBD-26, MSBD-27, MSBD-28, MSBD-31, MSBD-32,
// MSBD-33, MSBD-53, MSBD-54, MSBD-65
#[test]
fn the_examples_are_written_and_read() {
    let channel = channel_bytes("NetShow");
    let connect = |flags| {
        Message::ReqConnect(ReqConnect {
            flags,
            channel: &channel,
        })
    };
    let group = Some(GROUP.parse().unwrap());
    let (s1, f1, f2) = (s1(), f1(), f2());
    let stream = Described::Stream(s1_info(&s1));
    let packet = |id, payload| {
        Message::IndPacket(Packet {
            id,
            stream_id: 1,
            payload,
        })
    };
    let refused = |hr| Message::ResConnect(ResConnect::refused(hr));
    let examples = [
        (1, connect(flags::TCP)),
        (2, connect(flags::MULTICAST)),
        (3, Message::ResConnect(ResConnect::accepted(None, false))),
        (4, Message::ResConnect(ResConnect::accepted(group, true))),
        (5, refused(hresult::NS_E_FILE_NOT_FOUND)),
        (6, refused(hresult::E_INVALIDARG)),
        (7, Message::ReqStreamInfo),
        (8, Message::ReqPing),
        (9, Message::ResPing),
        (10, Message::IndEos),
        (
            11,
            Message::IndStreamInfo(Described::Empty(hresult::NS_E_NO_STREAM)),
        ),
        (12, Message::IndStreamInfo(stream)),
        (13, Message::ResStreamInfo(stream)),
        (14, packet(0, &f1)),
        (15, packet(1, &f2)),
    ];
    for (n, message) in examples {
        let bytes = example(n);
        assert_eq!(bytes_of(message), bytes, "example {n}");
        let direction = match n {
            1 | 2 | 7 | 9 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        assert_eq!(read(direction, &bytes), Ok(format!("{message:?}")), "{n}");
    }
    let hashes = [
        (
            12,
            "9d5768808fb5e6f28d4193ad382ecd484e9ed417a3c3c19dd75d790b98406cdd",
        ),
        (
            13,
            "12cba267a4c8d2e6b82c5063de01f90b2b8c37fbb96373cb9399466dd059f081",
        ),
        (
            16,
            "88306cd0615b7b8b4fa49fd979f43eb04b2140ad4565a48d7bd185a3cdb25056",
        ),
    ];
    for (n, hash) in hashes {
        assert_eq!(sha256(&example(n)), hash, "example {n}");
    }
    assert_eq!(
        sha256(&info(2)),
        "7f560be603b0d4f0e14a8e3e7781247d9ed353edac17a4c9ca1a8f81138e18fe"
    );
    assert_eq!(example(16).len(), 666);
}

// MSBD-65: example 18
#[test]
fn a_datagram_is_a_packet() {
    let bytes = example(18);
    let packet = read_datagram(&bytes).unwrap();
    assert_eq!((packet.id, packet.stream_id), (0, 1));
    assert_eq!(packet.payload, f1());
    assert!(!packet.is_parity());
    let parity = with(bytes.clone(), 24, &[0x92]);
    assert!(read_datagram(&parity).unwrap().is_parity());
    // MSBD-66, msbd.md 5.3
    for (at, others) in [
        (0, &[0x4E][..]),
        (5, &[0x02]),
        (6, &[5]),
        (8, &[0x57]),
        (22, &[0x49]),
    ] {
        let damaged = with(bytes.clone(), at, others);
        assert!(read_datagram(&damaged).is_err(), "byte {at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    for bad in [&bytes[..87], &bytes[..23], &[], b"MSB ", &longer] {
        assert!(read_datagram(bad).is_err());
    }
}

// MSBD-36, MSBD-37, MSBD-41, MSBD-42, MSBD-43, MSBD-44
#[test]
fn flows_frame_packets_with_their_padding() {
    let framer = MsbdFramer {
        first_id: u32::MAX,
        stream_id: 1,
    };
    assert!(framer.keeps_padding() && !framer.in_place());
    assert_eq!(framer.overhead(), 24);
    let meta = PacketMeta {
        number: 9,
        send_time: 0,
        duration: 0,
        key: true,
        len: 64,
    };
    let mut out = Vec::new();
    framer.begin(&mut out);
    framer.put(0, &meta, false, &f1(), &mut out);
    framer.put(1, &meta, false, &f1(), &mut out);
    framer.put(2, &meta, false, &f2(), &mut out);
    framer.finish(0, &mut out);
    let first = with(example(14), 16, &[0xFF; 4]);
    // The number wraps.
    assert_eq!(out, [first, example(14), example(15)].concat());
}

// MSBD-39, MSBD-40, MSBD-41, MSBD-42, MSBD-44, MSBD-65, MSBD-67
#[test]
fn the_caster_makes_datagrams() {
    let mut caster = Caster::new();
    assert!(caster.keeps_padding() && caster.beacon().is_none());
    let meta = PacketMeta {
        number: 70,
        send_time: 0,
        duration: 0,
        key: true,
        len: 64,
    };
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let header = Bytes::from(s1());
    let mut sink = |bytes: &[u8]| sent.push(bytes.to_vec());
    caster.entry(1, &header, &mut sink);
    caster.packet(&meta, &f1(), &mut sink);
    caster.packet(&meta, &f2(), &mut sink);
    caster.pause(&mut sink);
    caster.entry(0x0800, &header, &mut sink);
    caster.packet(&meta, &vec![0x82; 65_484], &mut sink);
    caster.packet(&meta, &f1(), &mut sink);
    assert_eq!(caster.dropped(), 1);
    assert_eq!(stream_id(0x0800), 0x8000);
    assert_eq!(sent, [example(18), example(15), packet(2, 0x8000)]);
}

// MSBD-66
#[test]
fn negative_vectors() {
    let to_server = |at, others: &[u8]| fault(Direction::ToServer, &with(example(1), at, others));
    assert_eq!(to_server(0, &[0x4E]), (0, "no dwSignature".into()));
    assert_eq!(to_server(8, &[15]), (8, "15 as cbMessage".into()));
    let (offset, reason) = to_server(8, &[0, 0, 1]);
    assert_eq!((offset, &*reason), (8, "65536 as cbMessage"));
    let odd = with(example(1), 8, &[33]);
    let mut reader = Reader::new(Direction::ToServer);
    reader.push(&odd[..33]);
    let Ok(Some(Message::ReqConnect(connect))) = reader.take() else {
        panic!("a request")
    };
    // MSBD-29
    assert_eq!(connect.channel_name(), None);

    let mut garbage = example(11);
    garbage[16..48].fill(0xFF);
    let empty = format!("IndStreamInfo(Empty({}))", hresult::NS_E_NO_STREAM);
    assert_eq!(read(Direction::ToClient, &garbage), Ok(empty));
    let huge = with(example(12), 32, &[0xFF; 4]);
    let (offset, reason) = fault(Direction::ToClient, &huge);
    assert_eq!(
        (offset, &*reason),
        (48, "message ends in what cbTitle tells of")
    );
    let (offset, _) = fault(Direction::ToClient, &with(example(14), 22, &[0x49]));
    assert_eq!(offset, 22);

    // An unknown message is passed over.
    let mut unknown = with(example(1), 6, &[6])[..20].to_vec();
    unknown[8] = 20;
    let mut reader = Reader::new(Direction::ToServer);
    reader.push(&[unknown, example(9)].concat());
    assert_eq!(reader.take(), Ok(Some(Message::ResPing)));
    assert_eq!(reader.oddities().unknown, 1);
}

// MSBD-58, MSBD-62: whatever is behind the header of an empty STREAMINFO
#[test]
fn what_is_empty_is_looked_at_no_further() {
    for len in [16u32, 17, 47, 48] {
        let mut bytes = vec![0xFF; len as usize];
        bytes[..16].copy_from_slice(&example(10));
        let bytes = with(with(bytes, 6, &[5]), 8, &len.to_le_bytes());
        let message = read(Direction::ToClient, &bytes);
        assert_eq!(message, Ok("IndStreamInfo(Empty(0))".into()), "{len}");
    }
    // A failure, with as much garbage as there can be.
    let mut bytes = vec![0xFF; 65_535];
    bytes[..16].copy_from_slice(&example(11)[..16]);
    let bytes = with(bytes, 8, &65_535u32.to_le_bytes());
    let empty = format!("IndStreamInfo(Empty({}))", hresult::NS_E_NO_STREAM);
    assert_eq!(read(Direction::ToClient, &bytes), Ok(empty));
}

// MSBD-21, MSBD-22, MSBD-23, MSBD-24, MSBD-60
#[test]
fn texts_are_taken_apart_and_tails_ignored() {
    let header = s1();
    let info = StreamInfo {
        title: b"T\0",
        description: b"some",
        link: b"http://",
        duration_ms: Some(7),
        total_packets: 9,
        ..s1_info(&header)
    };
    let bytes = bytes_of(Message::IndStreamInfo(Described::Stream(info)));
    assert_eq!(&bytes[48..61], b"T\0somehttp://");
    assert_eq!((bytes[20], bytes[28], bytes.len()), (9, 7, 374 + 13));
    let mut longer = [&bytes[..], b"tail"].concat();
    longer[8] += 4;
    let read = read(Direction::ToClient, &longer);
    let info = Message::IndStreamInfo(Described::Stream(info));
    assert_eq!(read, Ok(format!("{info:?}")));
}

// MSBD-24, MSBD-29
#[test]
fn what_is_too_long_is_not_written() {
    let most = vec![0; 65_487];
    let whole = Described::Stream(s1_info(&most));
    assert_eq!(bytes_of(Message::IndStreamInfo(whole)).len(), 65_535);
    let info = StreamInfo {
        title: b"x",
        ..s1_info(&most)
    };
    assert!(!info.fits());
    assert_eq!(
        Message::IndStreamInfo(Described::Stream(info)).bytes(),
        None
    );
    let packet = |len| {
        let payload = vec![0; len];
        let packet = Packet {
            id: 0,
            stream_id: 0,
            payload: &payload,
        };
        Message::IndPacket(packet).bytes().map(|b| b.len())
    };
    assert_eq!(packet(PAYLOAD_LEN_MAX_TCP), Some(65_535));
    assert_eq!(packet(PAYLOAD_LEN_MAX_TCP + 1), None);
}

#[test]
fn messages_come_from_their_side_and_are_long_enough() {
    for n in [1, 2, 7, 9] {
        let (offset, reason) = fault(Direction::ToClient, &example(n));
        assert_eq!(offset, 6);
        assert!(reason.ends_with("from the wrong side"), "{reason}");
    }
    for n in [3, 8, 10, 11, 12, 13, 14] {
        assert_eq!(fault(Direction::ToServer, &example(n)).0, 6, "{n}");
    }
    for (n, len, direction) in [
        (1, 19, Direction::ToServer),
        (3, 35, Direction::ToClient),
        (14, 23, Direction::ToClient),
    ] {
        let (offset, _) = fault(direction, &with(example(n), 8, &[len]));
        assert_eq!(offset, 8, "example {n}");
    }
    // Minor versions are tolerated, major ones are not.
    let mut reader = Reader::new(Direction::ToClient);
    reader.push(&with(example(8), 4, &[7]));
    assert_eq!(reader.take(), Ok(Some(Message::ReqPing)));
    assert_eq!(reader.oddities().versions, 1);
    assert_eq!(fault(Direction::ToClient, &with(example(8), 5, &[2])).0, 4);
}

// MSBD-32, MSBD-34
#[test]
fn groups_are_checked() {
    let group = |bytes: Vec<u8>| {
        let mut reader = Reader::new(Direction::ToClient);
        reader.push(&bytes);
        match reader.take() {
            Ok(Some(Message::ResConnect(reply))) => reply.group(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(group(example(4)), Some(GROUP.parse().unwrap()));
    // sin_zero
    assert!(group(with(example(4), 28, &[0xFF; 8])).is_some());
    assert_eq!(group(with(example(4), 20, &[3])), None);
    assert_eq!(group(with(example(4), 22, &[0, 0])), None);
    assert_eq!(group(with(example(4), 24, &[192, 0, 2, 1])), None);
    assert_eq!(group(example(3)), None);
}

#[test]
fn channels_are_utf16_without_a_nul_that_is_none_of_theirs() {
    let name = |channel: &[u8]| ReqConnect { flags: 1, channel }.channel_name();
    assert_eq!(name(&channel_bytes("é")).as_deref(), Some("é"));
    assert_eq!(name(&channel_bytes("x\0")).as_deref(), Some("x"));
    assert_eq!(name(&[]).as_deref(), Some(""));
    assert_eq!(name(&[0x00, 0xD8]), None);
    assert_eq!(name(&[1]), None);
}

#[test]
fn every_split_reads_the_same() {
    for n in [16, 17] {
        let bytes = example(n);
        for at in 0..bytes.len() {
            let mut reader = Reader::new(Direction::ToClient);
            let mut written = Vec::new();
            for part in [&bytes[..at], &bytes[at..]] {
                reader.push(part);
                while let Some(message) = reader.take().unwrap() {
                    message.put(&mut written).unwrap();
                }
            }
            assert_eq!(written, bytes, "split at {at}");
        }
        fuzz::stream(&bytes);
    }
}

#[test]
fn the_corpus_is_taken() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/msbd");
    let files = std::fs::read_dir(dir).expect("the corpus");
    let mut count = 0;
    for file in files {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("a file");
        fuzz::stream(&bytes);
        fuzz::server(&bytes);
        fuzz::client(&[&[0], &bytes[..]].concat());
        fuzz::client(&[&[1], &bytes[..]].concat());
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let binary = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (any::<u32>(), binary()).prop_map(|(id, payload)| bytes_of(Message::IndPacket(Packet {
            id,
            stream_id: stream_id(id),
            payload: &payload,
        }))),
        (
            any::<[u32; 3]>(),
            any::<u16>(),
            binary(),
            binary(),
            binary(),
            binary()
        )
            .prop_map(
                |(
                    [total_packets, bit_rate, duration],
                    packet_size,
                    title,
                    description,
                    link,
                    header,
                )| {
                    let info = StreamInfo {
                        stream_id: stream_id(duration),
                        packet_size,
                        total_packets,
                        bit_rate,
                        duration_ms: (duration != u32::MAX).then_some(duration),
                        title: &title,
                        description: &description,
                        link: &link,
                        header: &header,
                    };
                    bytes_of(Message::IndStreamInfo(Described::Stream(info)))
                }
            ),
        (any::<u32>(), any::<[u8; 4]>(), any::<u16>()).prop_map(|(hr, ip, port)| {
            bytes_of(Message::ResConnect(ResConnect {
                hr,
                flags: 2,
                family: 2,
                address: std::net::SocketAddrV4::new(ip.into(), port),
            }))
        }),
        Just(example(8)),
        Just(example(10)),
        any::<u32>().prop_map(|hr| {
            let empty = Described::Empty(hr | 0x8000_0000);
            bytes_of(Message::IndStreamInfo(empty))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_split(
        messages in proptest::collection::vec(message(), 1..8),
        split in 1usize..100,
    ) {
        let bytes = messages.concat();
        let mut reader = Reader::new(Direction::ToClient);
        let mut read = Vec::new();
        for part in bytes.chunks(split) {
            reader.push(part);
            while let Some(message) = reader.take().unwrap() {
                read.push(bytes_of(message));
            }
        }
        // Messages whose parts are all empty say nothing of a stream.
        let said = |m: &Vec<u8>| m.len() > 48 || m[6] != 5 || m[15] & 0x80 != 0;
        let pairs = read.iter().zip(&messages).filter(|(_, m)| said(m));
        for (read, message) in pairs {
            prop_assert_eq!(read, message);
        }
        prop_assert_eq!(read.len(), messages.len());
    }

    #[test]
    fn damage_is_survived(
        which in 1u32..19,
        at in 0usize..400,
        with in proptest::collection::vec(any::<u8>(), 0..12),
        multicast: bool,
    ) {
        let mut bytes = [example(3), example(which), example(12), example(15)].concat();
        let at = at % bytes.len();
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        fuzz::stream(&bytes);
        fuzz::client(&[&[u8::from(multicast)], &bytes[..]].concat());
        let bytes = [example(1), bytes].concat();
        fuzz::server(&bytes);
    }

    #[test]
    fn anything_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz::stream(&bytes);
        fuzz::server(&bytes);
        fuzz::client(&bytes);
    }
}
