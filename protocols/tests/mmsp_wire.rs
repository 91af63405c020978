//! The bytes of MMSP: the examples of the reference both ways, every split, anything hostile.

use proptest::prelude::*;
use protocols::machine::Fault;
use protocols::mmsp::hresult;
use protocols::mmsp::message::*;
use protocols::mmsp::wire::*;

const X1: &str = "01000000 cefa0bb0 a0000000 4d4d5320 14000000 00000000 00000000 00000000 12000000 01000300 f0f0f0f0 0b000400 1c000300 4e005300 50006c00 61007900 65007200 2f003900 2e003000 2e003000 2e003200 39003800 30003b00 20007b00 30003000 31003100 32003200 33003300 2d003400 34003500 35002d00 36003600 37003700 2d003800 38003900 39002d00 41004100 42004200 43004300 44004400 45004500 46004600 7d000000 00000000";
const X2: &str = "01000000 cefa0bb0 78000000 4d4d5320 0f000000 00000000 00000000 00000000 0d000000 01000400 00000000 f0f0f0f0 0b000400 1c000300 00000000 0000f03f 01000000 01000000 00800000 80969800 0d000000 00000000 00000000 05000000 39002e00 30003100 2e003000 31002e00 33003800 34003100 00004e00 54004c00 4d000000 00000000";
const X3: &str = "01000000 cefa0bb0 40000000 4d4d5320 08000000 01000000 00000000 00000000 06000000 15000400 00000000 eff0f0f0 08000000 01000000 00000100 4d3c2b1a 00000000 01000000 00000000 00000000";
const X4: &str = "01000000 cefa0bb0 50000000 4d4d5320 0a000000 02000000 00000000 00000000 08000000 02000400 00000000 00000000 00000000 46007500 6e006e00 65006c00 20004f00 66002000 54006800 65002000 47006f00 64007300 00000000 00000000";
const X5: &str = "01000000 cefa0bb0 38000000 4d4d5320 07000000 03000000 00000000 00000000 05000000 05000300 09000000 00000000 00000000 00000000 61006200 63002e00 61007300 66000000";
const X6: &str = "07000000 05000300 09000000 00000000 10000000 09000000 61006200 63002e00 61007300 66000000 64547077 64773d3d 00000000 00000000";
const X7: &str = "01000000 cefa0bb0 88000000 4d4d5320 11000000 03000000 00000000 00000000 0f000000 06000400 00000000 09000000 01000000 00000000 00000000 00008001 00000000 00002940 0d000000 00000000 00000000 00000000 00000000 40060000 93000000 00000000 e08d0500 29030000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000";
const X8: &str = "01000000 cefa0bb0 48000000 4d4d5320 09000000 04000000 00000000 00000000 07000000 15000300 01000000 00000000 00000000 00800000 ffffffff 00000000 00000000 00000000 00000000 0020ac40 01000000 00000000";
const X9: &str = "03000000 11000400 00000000 01000000 00000000 00000000";
const X10: &str = "03000000 33000300 02000000 ffff0100 0000ffff 02000200";
const X11: &str = "03000000 33000300 02000000 ffff0100 00000200 ffff0000";
const X12: &str =
    "05000000 07000300 01000000 00000000 00000000 00003e40 ffffffff ffffffff 00000000 0a000000";
const X13: &str = "07000000 07000300 01000000 00000000 ffffffff ffffef7f ffffffff 61000000 00000000 0b000000 80841e00 88130000 80969800 00000000";
const X14: &str =
    "05000000 05000400 00000000 0a000000 01000000 00000000 00000000 00000000 00000000 00000000";
const X15_1: &str = "02000000 09000300 01000000 0a000000";
const X15_2: &str = "02000000 1e000400 00000000 0a000000";
const X15_3: &str = "02000000 0d000300 00000000 01000000";
const X16_1: &str = "02000000 1b000400 00000000 00000000";
const X16_2: &str = "02000000 1b000300 00000000 00000000";
const X16_3: &str = "02000000 25000300 01000000 00000000";
const X16_4: &str = "02000000 03000400 12000dc0 00000000";
const X17: &str = "04000000 20000400 00000000 ff000000 78050000 ba140000 e0930400 00000000";
const X18: &str =
    "05000000 22000400 00000000 01001600 6d006d00 73007400 3a002f00 2f006200 2f006300 00000000";
const X19: &str =
    "05000000 1a000400 09000000 77000000 12000000 72006500 61006c00 6d003d00 22002200 00000000";
const X20: &str = "04000000 1a000300 09000000 77000000 09000000 64547077 64773d3d 00000000";
const X21: &str = "0df0efbe 4d3c2b1a 01000200 01010000 05010000";
const X22_1: &str = "00000000 01048005";
const X22_2: &str = "01000000 010cfc01";
const X22_3: &str = "61000000 0a054806";
const X22_4: &str = "00f0f0f0 ff10c005";
const X22_5: &str = "01f0f0f0 ff10c005";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What a reader gives, with payloads of its own.
#[derive(Debug, PartialEq)]
enum Got<M> {
    Message(M),
    Unknown(u32, u64),
    Malformed(u32, Fault),
    Data(DataHead, Vec<u8>),
}

fn drain<M: Message>(reader: &mut Reader<M>, got: &mut Vec<Got<M>>) -> Option<Fault> {
    loop {
        match reader.take() {
            Ok(None) => return None,
            Ok(Some(Item::Message(m))) => got.push(Got::Message(m)),
            Ok(Some(Item::Unknown { mid, offset })) => got.push(Got::Unknown(mid, offset)),
            Ok(Some(Item::Malformed { mid, fault })) => got.push(Got::Malformed(mid, fault)),
            Ok(Some(Item::Data { head, payload })) => got.push(Got::Data(head, payload.to_vec())),
            Err(fault) => return Some(fault),
        }
    }
}

fn read_in<M: Message>(pieces: &[&[u8]]) -> (Vec<Got<M>>, Option<Fault>) {
    let mut reader = Reader::<M>::default();
    let mut got = Vec::new();
    for piece in pieces {
        reader.push(piece);
        if let Some(fault) = drain(&mut reader, &mut got) {
            return (got, Some(fault));
        }
    }
    (got, None)
}

fn read<M: Message>(bytes: &[u8]) -> (Vec<Got<M>>, Option<Fault>) {
    read_in(&[bytes])
}

/// A packet of the reference: our bytes are its bytes, and its bytes are our message.
fn is_packet<M: Message + PartialEq + std::fmt::Debug>(text: &str, seq: u16, value: M) {
    let bytes = hex(text);
    assert_eq!(packet(&value, seq, 0), bytes);
    assert_eq!(read(&bytes), (vec![Got::Message(value)], None));
}

fn is_message<M: Message + PartialEq + std::fmt::Debug>(text: &str, value: M) {
    let bytes = hex(text);
    assert_eq!(message(&value), bytes);
    assert_eq!(read_message(&bytes), Ok(Some(value)));
}

const PLAYER: &str = "NSPlayer/9.0.0.2980; {00112233-4455-6677-8899-AABBCCDDEEFF}";

fn utf16z(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

// MMSP-01, MMSP-02, MMSP-03, MMSP-04, MMSP-05, MMSP-06, MMSP-07, MMSP-22
// MMSP-17, MMSP-20: X2
#[test]
fn x1_to_x4_connect() {
    is_packet(
        X1,
        0,
        ToServer::Connect {
            play_incarnation: incarnation::PAIR,
            subscriber_name: PLAYER.into(),
        },
    );
    // MMSP-16, MMSP-17, MMSP-20
    is_packet(
        X2,
        0,
        ToClient::ReportConnectedEx {
            hr: hresult::S_OK,
            play_incarnation: incarnation::PAIR,
            server_version: "9.01.01.3841".into(),
            version_info: String::new(),
            version_url: String::new(),
            authen_package: "NTLM".into(),
        },
    );
    // MMSP-27, BW-21
    is_packet(
        X3,
        1,
        ToClient::ReportFunnelInfo {
            play_incarnation: incarnation::NO_PAIR,
            client_id: 0x1A2B_3C4D,
            pair: Vec::new(),
        },
    );
    // MMSP-31
    is_packet(X4, 2, ToClient::ReportConnectedFunnel);
}

// MMSP-39, MMSP-40, MMSP-44, MMSP-53
#[test]
fn x5_to_x7_open() {
    is_packet(
        X5,
        3,
        ToServer::OpenFile {
            play_incarnation: 9,
            file_name: "abc.asf".into(),
            token: Vec::new(),
        },
    );
    is_message(
        X6,
        ToServer::OpenFile {
            play_incarnation: 9,
            file_name: "abc.asf".into(),
            token: b"dTpwdw==\0".to_vec(),
        },
    );
    is_packet(
        X7,
        3,
        ToClient::ReportOpenFile(ReportOpenFile {
            hr: hresult::S_OK,
            play_incarnation: 9,
            open_file_id: 1,
            attributes: 0x0180_0000,
            duration: 12.5,
            blocks: 13,
            packet_size: 1600,
            packet_count: 147,
            bit_rate: 364_000,
            header_size: 809,
        }),
    );
}

#[test]
fn x8_to_x13_play() {
    is_packet(
        X8,
        4,
        ToServer::ReadBlock {
            open_file_id: 1,
            play_incarnation: 1,
        },
    );
    is_message(
        X9,
        ToClient::ReportReadBlock {
            hr: hresult::S_OK,
            play_incarnation: 1,
        },
    );
    let entry = |src, dst, thinning| SwitchEntry { src, dst, thinning };
    // MMSP-66
    is_message(
        X10,
        ToServer::StreamSwitch {
            entries: vec![entry(0xFFFF, 1, 0), entry(0xFFFF, 2, 2)],
        },
    );
    is_message(
        X11,
        ToServer::StreamSwitch {
            entries: vec![entry(0xFFFF, 1, 0), entry(2, 0xFFFF, 0)],
        },
    );
    let start = StartPlaying {
        open_file_id: 1,
        position: Position {
            seconds: 30.0,
            asf_offset: u32::MAX,
            location_id: u32::MAX,
        },
        frame_offset: 0,
        play_incarnation: 10,
        accel: None,
        link_bandwidth: None,
    };
    is_message(X12, ToServer::StartPlaying(start));
    // MMSP-77, BW-34, BW-35
    is_message(
        X13,
        ToServer::StartPlaying(StartPlaying {
            position: Position {
                seconds: f64::MAX,
                asf_offset: u32::MAX,
                location_id: 97,
            },
            play_incarnation: 11,
            accel: Some((2_000_000, 5000)),
            link_bandwidth: Some(10_000_000),
            ..start
        }),
    );
}

#[test]
fn x14_to_x16_reports() {
    is_message(
        X14,
        ToClient::ReportStartedPlaying {
            hr: hresult::S_OK,
            play_incarnation: 10,
            tiger_file_id: 1,
        },
    );
    is_message(
        X15_1,
        ToServer::StopPlaying {
            open_file_id: 1,
            play_incarnation: 10,
        },
    );
    is_message(
        X15_2,
        ToClient::ReportEndOfStream {
            hr: hresult::S_OK,
            play_incarnation: 10,
        },
    );
    is_message(X15_3, ToServer::CloseFile { open_file_id: 1 });
    is_message(X16_1, ToClient::Ping);
    is_message(X16_2, ToServer::Pong);
    is_message(
        X16_3,
        ToServer::CancelReadBlock {
            play_incarnation: 1,
        },
    );
    is_message(
        X16_4,
        ToClient::ReportDisconnectedFunnel {
            hr: hresult::NS_E_PROTOCOL_MISMATCH,
        },
    );
}

#[test]
fn x17_to_x20_change_redirect_challenge() {
    is_message(
        X17,
        ToClient::ReportStreamChange {
            packet_size: 1400,
            header_size: 5306,
            bit_rate: 300_000,
        },
    );
    // MMSP-46
    is_message(
        X18,
        ToClient::ReportRedirect {
            kind: 1,
            location: "mmst://b/c".into(),
        },
    );
    // MMSP-50
    is_message(
        X19,
        ToClient::SecurityChallenge {
            play_incarnation: 9,
            cookie: 0x77,
            token: utf16z("realm=\"\""),
        },
    );
    // MMSP-53
    is_message(
        X20,
        ToServer::SecurityResponse {
            play_incarnation: 9,
            cookie: 0x77,
            token: b"dTpwdw==\0".to_vec(),
        },
    );
}

// MMSP-97, MMSP-100
#[test]
fn x21_resend_request() {
    let request = ResendRequest {
        client_id: 0x1A2B_3C4D,
        source_id: 1,
        sequences: vec![0x101, 0x105],
    };
    let bytes = hex(X21);
    assert_eq!(request.bytes(), bytes);
    assert_eq!(ResendRequest::read(&bytes), Some(request.clone()));
    // More bytes than needed are fine, fewer are not, nor are 0 or 33 Sequences.
    let longer = [&bytes[..], &[0; 3]].concat();
    assert_eq!(ResendRequest::read(&longer), Some(request.clone()));
    for len in 0..bytes.len() {
        assert_eq!(ResendRequest::read(&bytes[..len]), None);
    }
    for count in [0u16, 33, u16::MAX] {
        let mut bad = [&bytes[..], &[0; 200]].concat();
        bad[10..12].copy_from_slice(&count.to_le_bytes());
        assert_eq!(ResendRequest::read(&bad), None, "{count}");
    }
    let mut other = bytes.clone();
    other[0] ^= 1;
    assert_eq!(ResendRequest::read(&other), None);
    let many = ResendRequest {
        sequences: (0..40).collect(),
        ..request
    };
    let kept = ResendRequest::read(&many.bytes()).unwrap().sequences;
    assert_eq!(kept, (0..32).collect::<Vec<u32>>());
}

// MMSP-57, MMSP-58, MMSP-61, MMSP-83
#[test]
fn x22_data_heads() {
    for (text, head) in [
        (X22_1, DataHead::of(0, 1, 0x04, 1400)),
        (X22_2, DataHead::of(1, 1, 0x0C, 500)),
        (X22_3, DataHead::of(97, 10, 0x05, 1600)),
        (X22_4, DataHead::of_pair(0, 1464)),
        (X22_5, DataHead::of_pair(1, 1464)),
    ] {
        assert_eq!(head.bytes().to_vec(), hex(text));
        assert_eq!(DataHead::read(head.bytes()), head);
    }
    assert!(DataHead::of_pair(1, 1464).is_pair());
    assert!(!DataHead::of(0xF0F0_F000, 1, 0x0C, 8).is_pair());
    let mut datagram = DataHead::of(5, 10, 6, 3).bytes().to_vec();
    assert!(split_data(&datagram).is_err());
    datagram.extend(b"abcd");
    assert_eq!(
        split_data(&datagram),
        Ok((DataHead::of(5, 10, 6, 3), &b"abc"[..]))
    );
    assert!(split_data(&[0; 8]).is_err(), "PacketSize below its head");
    assert!(split_data(&[0; 7]).is_err());
}

// MMSP-29, BW-19
#[test]
fn packet_pairs_have_their_sizes() {
    let pair = |len| {
        let report = ToClient::ReportFunnelInfo {
            play_incarnation: incarnation::PAIR_TCP,
            client_id: 7,
            pair: vec![0xAB; len],
        };
        let bytes = packet(&report, 9, 0);
        assert_eq!(read(&bytes), (vec![Got::Message(report)], None));
        bytes.len()
    };
    assert_eq!([432, 432, 976].map(pair), [512, 512, 1056]);
}

// MMSP-38, mmsp.md 6
#[test]
fn a_refused_open_is_told_at_full_length() {
    let report = ReportOpenFile {
        hr: hresult::NS_E_FILE_NOT_FOUND,
        play_incarnation: 3,
        ..ReportOpenFile::default()
    };
    let bytes = message(&ToClient::ReportOpenFile(report));
    assert_eq!(bytes.len(), 120);
    // Of other servers less is taken as well.
    let short = read_message::<ToClient>(&bytes[..24]);
    assert_eq!(short, Ok(Some(ToClient::ReportOpenFile(report))));
    let mut success = bytes;
    success[8..12].fill(0);
    assert!(read_message::<ToClient>(&success[..24]).is_err());
}

// MMSP-57, MMSP-58, MMSP-59
#[test]
fn headers_in_fragments() {
    let header: Vec<u8> = (0..2500u32)
        .map(|n| (n % 251) as u8)
        .chain([1, 1])
        .collect();
    for max in [1, 2, 7, 100, 1250, 1251, 2501, 2502, 5000, 70_000] {
        let parts: Vec<_> = fragments(&header, max, 3).collect();
        let whole: Vec<u8> = parts.iter().flat_map(|(_, p)| p.to_vec()).collect();
        assert_eq!(whole, header);
        for (n, (head, payload)) in parts.iter().enumerate() {
            let last = n + 1 == parts.len();
            assert_eq!(head.location_id, n as u32);
            assert_eq!(head.play_incarnation, 3);
            assert_eq!(head.af_flags, if last { 0x0C } else { 0x04 });
            assert_eq!(usize::from(head.packet_size), payload.len() + 8);
            assert!(payload.len() <= max);
        }
    }
    // Where the cut would leave 01 01 at an end, it moves.
    let mut header = vec![7; 30];
    header[8..12].fill(1);
    header.extend([1, 1]);
    let lens: Vec<usize> = fragments(&header, 11, 1).map(|(_, p)| p.len()).collect();
    assert_eq!(lens, [9, 11, 11, 1]);
    for (head, payload) in fragments(&header, 12, 1) {
        assert!(
            head.af_flags == 0x0C || !payload.ends_with(&[1, 1]),
            "{head:?}"
        );
    }
    // It ends even where every cut is bad.
    assert_eq!(fragments(&[1; 100], 10, 1).count(), 10);
    assert_eq!(fragments(&[], 10, 1).count(), 0);
}

/// A client's stream as players of all ages send it.
fn client_stream() -> Vec<u8> {
    let mut bytes = hex(X1);
    bytes.extend(hex(X5));
    bytes.extend(area(&[hex(X12), hex(X16_2), hex(X16_3)].concat()));
    bytes.extend(area(&unknown(0x0003_0030)));
    bytes.extend(hex(X8));
    bytes
}

/// A packet around a message area of any length.
fn area(messages: &[u8]) -> Vec<u8> {
    let mut bytes = hex(X8)[..32].to_vec();
    let length = messages.len() as u32 + 16;
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    // What is ignored: padding, chunkCount, seq of 32 bits, timeSent.
    bytes[3] = 0x77;
    bytes[16..32].fill(0x99);
    bytes.extend_from_slice(messages);
    bytes
}

fn unknown(mid: u32) -> Vec<u8> {
    [2u32, mid, 0, 0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

fn mids(got: &[Got<ToServer>]) -> Vec<u32> {
    got.iter()
        .map(|g| match g {
            Got::Message(m) => m.mid(),
            Got::Unknown(mid, _) => *mid,
            other => panic!("{other:?}"),
        })
        .collect()
}

// MMSP-06, MMSP-10, MMSP-11, MMSP-15
#[test]
fn every_split_reads_the_same() {
    let bytes = client_stream();
    let (whole, fault) = read::<ToServer>(&bytes);
    assert_eq!(fault, None);
    assert_eq!(
        mids(&whole),
        [
            0x30001, 0x30005, 0x30007, 0x3001B, 0x30025, 0x30030, 0x30015
        ]
    );
    for cut in 1..bytes.len() {
        assert_eq!(
            read_in(&[&bytes[..cut], &bytes[cut..]]).0,
            whole,
            "cut at {cut}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read_in(&single).0, whole);
}

// MMSP-13, MMSP-14
#[test]
fn every_split_of_a_servers_stream_reads_the_same() {
    let mut bytes = hex(X2);
    let header: Vec<u8> = (0..300u32).map(|n| n as u8).collect();
    for (head, payload) in fragments(&header, 128, 2) {
        bytes.extend(head.bytes());
        bytes.extend(payload);
    }
    bytes.extend(hex(X7));
    // One byte short of looking like a packet.
    bytes.extend(DataHead::of(1, 0xCE, 0xFA, 45_066 - 8).bytes());
    bytes.extend(vec![0x5A; 45_066 - 8]);
    bytes.extend(packet(&ToClient::Ping, 3, 9));
    let (whole, fault) = read::<ToClient>(&bytes);
    assert_eq!(fault, None);
    assert_eq!(whole.len(), 7);
    assert!(matches!(&whole[1], Got::Data(h, p) if h.af_flags == 4 && p.len() == 128));
    assert!(matches!(&whole[5], Got::Data(_, p) if p.len() == 45_058));
    for cut in (1..700).chain(bytes.len() - 50..bytes.len()) {
        assert_eq!(
            read_in(&[&bytes[..cut], &bytes[cut..]]).0,
            whole,
            "cut at {cut}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(7).collect();
    assert_eq!(read_in(&single).0, whole);
}

// MMSP-12: xine sends lengths that are no multiples of 8, and a chunkLen that does not fit them.
#[test]
fn lengths_of_old_xine() {
    let mut open = hex(X5)[32..].to_vec();
    open.truncate(24 + 14);
    let want = |name: &str| {
        vec![Got::Message(ToServer::OpenFile {
            play_incarnation: 9,
            file_name: name.into(),
            token: Vec::new(),
        })]
    };
    for chunk_len in [0u32, 1, 3, 4, 5, 6, 100, u32::MAX] {
        open[..4].copy_from_slice(&chunk_len.to_le_bytes());
        let mut bytes = area(&open);
        assert_eq!(read(&bytes), (want("abc.asf"), None), "{chunk_len}");
        // The stream goes on behind it.
        bytes.extend(hex(X8));
        assert_eq!(read::<ToServer>(&bytes).0.len(), 2);
    }
    open.truncate(24 + 13);
    assert_eq!(read(&area(&open)).0, want("abc.as"));
}

// MMSP-11: FFmpeg's FunnelInfo carries 0x0004000B where the padding is.
#[test]
fn padding_need_not_be_zero() {
    let mut info = message(&ToServer::FunnelInfo {
        play_incarnation: 0x00F0_F0F0,
    });
    info[12..16].copy_from_slice(&0x0004_000Bu32.to_le_bytes());
    let want = ToServer::FunnelInfo {
        play_incarnation: 0x00F0_F0F0,
    };
    assert_eq!(read(&area(&info)).0, [Got::Message(want)]);
    // Garbage behind a message is not another one.
    let mut bytes = hex(X16_2);
    bytes.extend([0xEE; 8]);
    assert_eq!(read(&area(&bytes)).0, [Got::Message(ToServer::Pong)]);
}

#[test]
fn an_acceleration_is_there_only_if_announced() {
    let mut start = hex(X12);
    start.extend([0xEE; 8]);
    let (got, _) = read::<ToServer>(&area(&start));
    assert!(matches!(&got[..], [Got::Message(ToServer::StartPlaying(s))] if s.accel.is_none()));
}

// MMSP-95
#[test]
fn logs_of_any_size_are_read() {
    let log = |len: usize| {
        let bytes = packet(&ToServer::Logging(vec![b'x'; len]), 0, 0);
        match read::<ToServer>(&bytes).0.pop() {
            Some(Got::Message(ToServer::Logging(log))) => log.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(packet(&ToServer::Logging(vec![0; 1490]), 0, 0).len(), 1536);
    assert_eq!(log(1490), 1490);
    assert_eq!(log(8), 8);
    assert_eq!(log(1480), 1480);
    assert_eq!(log(1504), 1504);
}

// MMSP-15
#[test]
fn what_is_no_packet_is_a_fault_with_its_place() {
    let broken = |at: usize, with: &[u8]| {
        let mut bytes = hex(X8);
        bytes.extend(hex(X8));
        let at = 88 + at;
        bytes[at..at + with.len()].copy_from_slice(with);
        let (got, fault) = read::<ToServer>(&bytes);
        assert_eq!(got.len(), 1);
        fault.expect("a fault")
    };
    assert_eq!(broken(0, &[2]).offset, 88);
    assert_eq!(broken(4, &[0]).offset, 92);
    for length in [0u32, 16, 23, 65_537, u32::MAX] {
        let fault = broken(8, &length.to_le_bytes());
        assert_eq!(fault.offset, 96);
        assert!(fault.reason.contains(&length.to_string()), "{fault:?}");
    }
    assert_eq!(broken(12, b"XXXX").offset, 100);
    // A Data packet that is shorter than its head.
    let bytes = DataHead {
        packet_size: 7,
        ..DataHead::of(0, 1, 4, 0)
    }
    .bytes();
    assert_eq!(read::<ToClient>(&bytes).1.expect("a fault").offset, 6);
}

// MMSP-15
#[test]
fn fields_that_reach_beyond_their_message() {
    let bad = |text: &str, at: usize, value: u32| {
        let mut bytes = hex(text);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        match &read::<ToServer>(&area(&bytes)).0[..] {
            [Got::Malformed(_, fault)] => fault.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert!(bad(X6, 16, 60).reason.contains("tokenData"));
    assert!(bad(X6, 16, u32::MAX).reason.contains("tokenData"));
    assert!(bad(X6, 20, 1000).reason.contains("tokenData"));
    assert!(bad(X20, 16, 13).reason.contains("pToken"));
    assert!(bad(X10, 8, 3).reason.contains("StreamSwitch"));
    assert!(bad(X10, 8, u32::MAX).reason.contains("StreamSwitch"));
    // Every message cut short is told as such, or is whole without what is missing.
    for text in [X6, X10, X12, X13, X15_1, X15_3, X20] {
        let bytes = hex(text);
        for len in 8..bytes.len() {
            let (got, fault) = read::<ToServer>(&area(&bytes[..len]));
            assert_eq!((got.len(), fault), (1, None));
        }
    }
}

fn to_server() -> impl Strategy<Value = ToServer> {
    let text = "[a-zA-Z0-9/;:{}é𝄞 ]{0,40}";
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    let position = (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(s, a, l)| Position {
        seconds: f64::from(s),
        asf_offset: a,
        location_id: l,
    });
    let entry = (any::<u16>(), any::<u16>(), any::<u16>());
    let entry = entry.prop_map(|(src, dst, thinning)| SwitchEntry { src, dst, thinning });
    let accel = (any::<u32>(), any::<u32>());
    let tail = proptest::option::of((accel, proptest::option::of(any::<u32>())));
    prop_oneof![
        (any::<u32>(), text).prop_map(|(play_incarnation, subscriber_name)| ToServer::Connect {
            play_incarnation,
            subscriber_name,
        }),
        text.prop_map(|funnel_name| ToServer::ConnectFunnel { funnel_name }),
        (any::<u32>(), text, bytes.clone()).prop_map(|(play_incarnation, file_name, token)| {
            ToServer::OpenFile {
                play_incarnation,
                file_name,
                token,
            }
        }),
        (any::<u32>(), any::<u32>(), bytes).prop_map(|(play_incarnation, cookie, token)| {
            ToServer::SecurityResponse {
                play_incarnation,
                cookie,
                token,
            }
        }),
        proptest::collection::vec(entry, 0..20)
            .prop_map(|entries| ToServer::StreamSwitch { entries }),
        (
            any::<u32>(),
            position.clone(),
            any::<u32>(),
            any::<u32>(),
            tail
        )
            .prop_map(
                |(open_file_id, position, frame_offset, play_incarnation, tail)| {
                    ToServer::StartPlaying(StartPlaying {
                        open_file_id,
                        position,
                        frame_offset,
                        play_incarnation,
                        accel: tail.map(|t| t.0),
                        link_bandwidth: tail.and_then(|t| t.1),
                    })
                }
            ),
        (any::<u32>(), position, any::<u32>(), -5000i32..5000).prop_map(
            |(open_file_id, position, play_incarnation, milli)| ToServer::StartStriding {
                open_file_id,
                position,
                play_incarnation,
                rate: f64::from(milli) / 1000.0,
            }
        ),
        Just(ToServer::Pong),
    ]
}

fn to_client() -> impl Strategy<Value = ToClient> {
    let text = "[a-zA-Z0-9/:.é𝄞]{0,40}";
    prop_oneof![
        (any::<u32>(), any::<u32>(), [text; 4]).prop_map(|(hr, play_incarnation, strings)| {
            let [server_version, version_info, version_url, authen_package] = strings;
            ToClient::ReportConnectedEx {
                hr,
                play_incarnation,
                server_version,
                version_info,
                version_url,
                authen_package,
            }
        }),
        (any::<u16>(), text)
            .prop_map(|(kind, location)| ToClient::ReportRedirect { kind, location }),
        (any::<[u32; 7]>(), any::<u64>(), any::<u32>()).prop_map(|(v, packet_count, ms)| {
            ToClient::ReportOpenFile(ReportOpenFile {
                hr: v[0],
                play_incarnation: v[1],
                open_file_id: v[2],
                attributes: v[3],
                duration: f64::from(ms) / 1000.0,
                blocks: ms.div_ceil(1000),
                packet_size: v[4],
                packet_count,
                bit_rate: v[5],
                header_size: v[6],
            })
        }),
        (any::<u32>(), any::<u32>()).prop_map(|(hr, play_incarnation)| {
            ToClient::ReportEndOfStream {
                hr,
                play_incarnation,
            }
        }),
        any::<u32>().prop_map(|hr| ToClient::ReportStreamSwitch { hr }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // MMSP-07, MMSP-15
    #[test]
    fn messages_of_clients_survive_the_way(value in to_server(), seq: u16, time: u64) {
        let bytes = packet(&value, seq, time);
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(&bytes[20..22], &seq.to_le_bytes());
        prop_assert_eq!(&bytes[24..32], &time.to_le_bytes());
        prop_assert_eq!(read(&bytes), (vec![Got::Message(value)], None));
    }

    #[test]
    fn messages_of_servers_survive_the_way(value in to_client(), seq: u16) {
        let bytes = packet(&value, seq, 0);
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(read(&bytes), (vec![Got::Message(value)], None));
    }

    // MMSP-15
    #[test]
    fn anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
        let cut = cut.min(bytes.len());
        prop_assert_eq!(
            read::<ToServer>(&bytes),
            read_in::<ToServer>(&[&bytes[..cut], &bytes[cut..]])
        );
        prop_assert_eq!(
            read::<ToClient>(&bytes),
            read_in::<ToClient>(&[&bytes[..cut], &bytes[cut..]])
        );
        let _ = ResendRequest::read(&bytes);
        let _ = split_data(&bytes);
    }

    // MMSP-12, MMSP-15
    #[test]
    fn damaged_packets_stay_inside_their_bytes(
        at in 0usize..400,
        with in proptest::collection::vec(any::<u8>(), 1..12),
        cut in 0usize..600,
    ) {
        let mut bytes = client_stream();
        let at = at % bytes.len();
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        let cut = cut % bytes.len();
        // As text: a damaged position may be a NaN, which is not equal to itself.
        prop_assert_eq!(
            format!("{:?}", read::<ToServer>(&bytes)),
            format!("{:?}", read_in::<ToServer>(&[&bytes[..cut], &bytes[cut..]]))
        );
    }
}
