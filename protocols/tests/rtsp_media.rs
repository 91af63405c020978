//! RTP, RTCP, ASF payloads and error correction against the packets of the reference.

use proptest::prelude::*;
use protocols::rtsp::fec::{Encoder, Params, Recovery, RepairHead};
use protocols::rtsp::pair::{self, Place};
use protocols::rtsp::payload::{Depacketizer, Form, Packetizer, PayloadHead, Unit};
use protocols::rtsp::rtcp::{
    self, Compound, NACK_DOMAIN, Report, Resend, SenderInfo, compound, nack_entries,
};
use protocols::rtsp::rtp::{self, Arrived, Header, Packet, Reorder};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The rewritten packet of rtsp-wme.md 10.4.
fn asf() -> Vec<u8> {
    hex("820000405d30000a0000000a008101000000000814000000c20b0000\
         909192939495969798999a9b9c9d9e9fa0a1a2a3")
}

const SSRC: u32 = 0x3874_dd27;

fn packetizer(form: Form, payload_max: usize) -> Packetizer {
    Packetizer::new(form, 96, SSRC, 26968, payload_max)
}

fn unit() -> Unit {
    Unit {
        send_time: 10,
        key: true,
        ..Unit::default()
    }
}

/// All RTP packets of an ASF packet.
fn sent(p: &mut Packetizer, unit: Unit, bytes: &[u8]) -> Vec<Vec<u8>> {
    p.packets(unit, bytes.len())
        .map(|(head, range)| [head.datagram(), &bytes[range]].concat())
        .collect()
}

// RTSP-03, RTSP-05, RTSP-07, RTSP-09, RTSP-10, RTSP-11, ASF-50
#[test]
fn whole_packets_of_the_reference() {
    let asf = asf();
    assert_eq!(asf.len(), 48);
    let one = |form, unit| sent(&mut packetizer(form, 1460), unit, &asf);
    let with = |head: &str| vec![[hex(head), asf.clone()].concat()];
    assert_eq!(
        one(Form::Inclusive, unit()),
        with("80e069580000000a3874dd27 c0000034")
    );
    assert_eq!(
        one(Form::Exclusive, unit()),
        with("80e069580000000a3874dd27 c0000030")
    );
    assert_eq!(
        one(Form::Fragment, unit()),
        with("80e069580000000a3874dd27 80000000")
    );
    let full = Unit {
        duration: Some(10),
        location: Some(1),
        ..unit()
    };
    assert_eq!(
        one(Form::Inclusive, full),
        with("80e069580000000a3874dd27 d800003c 0000000a 00000001")
    );
    let mut p = packetizer(Form::Inclusive, 1460);
    let (mut head, range) = p.packets(unit(), asf.len()).next().unwrap();
    let framed = head.interleaved(0, range.len()).to_vec();
    assert_eq!(framed, hex("24000040 80e069580000000a3874dd27 c0000034"));
    assert_eq!(p.sequence(), 26969);
}

// RTSP-05, RTSP-13
#[test]
fn fragments_of_the_reference() {
    let asf = asf();
    // 36 bytes of payload leave 32 for the first fragment.
    let got = sent(&mut packetizer(Form::Inclusive, 36), unit(), &asf);
    assert_eq!(got.len(), 2);
    assert_eq!(
        got[0],
        [hex("806069580000000a3874dd27 80000000"), asf[..32].to_vec()].concat()
    );
    assert_eq!(
        got[1],
        [hex("80e069590000000a3874dd27 80000020"), asf[32..].to_vec()].concat()
    );
    // LocationId in the last one only, which may not be empty.
    let located = Unit {
        location: Some(7),
        ..unit()
    };
    let got = sent(&mut packetizer(Form::Inclusive, 52), located, &asf);
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].len(), got[0][12]), (12 + 4 + 47, 0x80));
    assert_eq!((got[1].len(), got[1][12]), (12 + 8 + 1, 0x88));
}

// RTSP-04, RTSP-10, RTSP-14
#[test]
fn grouped_packets_of_the_reference() {
    let (first, second) = (asf(), vec![0x55; 52]);
    let mut p = packetizer(Form::Exclusive, 1460);
    let later = Unit {
        send_time: 20,
        ..unit()
    };
    let units = [(unit(), first.len()), (later, second.len())];
    let (head, rest) = p.group(&units).unwrap();
    let rest_bytes = &rest[0].emit()[..rest[0].wire_len()];
    let packet = [head.datagram(), &first, rest_bytes, &second].concat();
    let want = [
        hex("80e069580000000a3874dd27 c0000030"),
        first.clone(),
        hex("e0000034 0000000a"),
        second.clone(),
    ];
    assert_eq!(packet, want.concat());
    assert_eq!(received(&[packet]), [(unit(), first), (later, second)]);
    assert!(packetizer(Form::Inclusive, 1460).group(&units).is_none());
    assert!(packetizer(Form::Exclusive, 100).group(&units).is_none());
    assert!(p.group(&[]).is_none());
}

fn received(packets: &[Vec<u8>]) -> Vec<(Unit, Vec<u8>)> {
    let mut to = Depacketizer::new(1 << 16);
    let mut got = Vec::new();
    for bytes in packets {
        let packet = Packet::parse(bytes).unwrap();
        to.push(&packet, |unit, bytes| got.push((unit, bytes.to_vec())))
            .unwrap();
    }
    assert_eq!(to.dropped(), 0);
    got
}

// RTSP-04, RTSP-12, RTSP-18: all 32 headers, in both readings.
#[test]
fn every_combination_of_flags_is_read() {
    let body = asf();
    for bits in 0..32u8 {
        let head = PayloadHead {
            key: bits & 16 != 0,
            whole: bits & 8 != 0,
            length_or_offset: 0,
            relative: (bits & 4 != 0).then_some(-5),
            duration: (bits & 2 != 0).then_some(40),
            location: (bits & 1 != 0).then_some(9),
        };
        let unit = Unit {
            send_time: if bits & 4 != 0 { 5 } else { 10 },
            key: head.key,
            duration: head.duration,
            location: head.location,
        };
        let lengths = match head.whole {
            true => vec![body.len(), body.len() + head.wire_len(), 60_000],
            false => vec![0],
        };
        for length in lengths {
            let head = PayloadHead {
                length_or_offset: length as u32,
                ..head
            };
            assert_eq!(PayloadHead::parse(&head.emit()), Ok(head));
            let mut payload = head.emit()[..head.wire_len()].to_vec();
            payload[0] |= 0x07;
            payload.extend_from_slice(&body);
            let rtp = Header {
                marker: true,
                timestamp: 10,
                ..Header::default()
            };
            let packet = [&rtp.emit()[..], &payload].concat();
            assert_eq!(
                received(&[packet]),
                [(unit, body.clone())],
                "{bits:05b}, {length}"
            );
        }
    }
}

// RTSP-04
#[test]
fn losses_cost_no_more_than_their_packet() {
    let bytes: Vec<u8> = (0..200u8).collect();
    let mut p = packetizer(Form::Inclusive, 64);
    let all: Vec<_> = (0..4).flat_map(|_| sent(&mut p, unit(), &bytes)).collect();
    assert_eq!(all.len(), 16);
    for lost in 0..16 {
        let mut to = Depacketizer::new(200);
        let mut got = 0;
        for (n, packet) in all.iter().enumerate() {
            if n != lost {
                let packet = Packet::parse(packet).unwrap();
                to.push(&packet, |_, b| {
                    assert_eq!(b, bytes);
                    got += 1;
                })
                .unwrap();
            }
        }
        assert_eq!(got, 3, "without packet {lost}");
        assert_eq!(to.dropped() > 0, lost != 15, "without packet {lost}");
    }
    // Longer than the largest packet.
    let mut to = Depacketizer::new(199);
    for packet in &all {
        let packet = Packet::parse(packet).unwrap();
        to.push(&packet, |_, _| panic!("too long")).unwrap();
    }
    assert_eq!(to.dropped(), 4);
}

// RTSP-33, RTSP-34, RTSP-35, RTSP-36, RTSP-37, BW-14, BW-15, BW-16, BW-17
#[test]
fn packet_pairs_of_the_reference() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let fixed = pair::packets(false, 96, 0x2f73_682b, 0x0100, &mut rng);
    assert_eq!(fixed[0][..16], hex("80e00100000000002f73682b c00005ae"));
    assert_eq!(fixed[1][..16], hex("80e00101000000002f73682b 400005af"));
    assert_eq!(fixed[2][12..16], hex("400005b0"));
    assert_eq!(fixed.each_ref().map(|p| p.len() - 16), [1454, 1455, 1456]);
    let variable = pair::packets(true, 96, 1, 0xFFFF, &mut rng);
    assert_eq!(variable[0].len() - 16, 1283);
    assert_eq!(variable[1][2..4], [0, 0]);
    for set in [&fixed, &variable] {
        let places = set.each_ref().map(|p| pair::place(p.len() - 16).unwrap());
        assert_eq!(places, [Place::First, Place::LastButOne, Place::Last]);
        assert!(set.iter().all(|p| p.len() - 16 >= pair::VARIABLE_MIN));
    }
    let mut starts: Vec<_> = fixed.iter().chain(&variable).map(|p| &p[16..48]).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts.len(), 6, "payloads repeat");
    assert_eq!(pair::place(481), None);
}

// RTSP-38, RTSP-39, RTSP-40, RTSP-44
#[test]
fn the_nack_of_the_reference() {
    let want = hex(
        "80c9000111223344 81ca000f112233440132 3739363039323435394057 \
         4d533a37666634326530372d336337632d346562352d396331372d36626464313161643930646500000000 \
         91cd0003112233443874dd2769580005",
    );
    assert_eq!(want.len(), 88);
    let got = rtcp::resend_requests(0x1122_3344, 796_092_459, SSRC, [26968, 26969, 26971]);
    assert_eq!(got, std::slice::from_ref(&want));
    let read = Resend::parse(&want).unwrap();
    assert_eq!((read.rtx_ssrc, read.sender), (0x2f73_682b, 0x1122_3344));
    let lost: Vec<_> = [26968, 26969, 26971].map(|n| (SSRC, n)).to_vec();
    assert_eq!(read.lost, lost);
    // E clear is the same.
    let mut clear = want;
    clear[72] = 0x81;
    assert_eq!(Resend::parse(&clear), Some(read));
}

// RTSP-43, RTSP-44
#[test]
fn nacks_are_bounded_and_checked() {
    let lost: Vec<u16> = (0..200).map(|n| n * 20).collect();
    let asked = rtcp::resend_requests(1, 2, 3, lost.iter().copied());
    assert_eq!(asked.len(), 7, "32 entries each");
    let read: Vec<u16> = asked
        .iter()
        .flat_map(|c| Resend::parse(c).unwrap().lost)
        .map(|(_, seq)| seq)
        .collect();
    assert_eq!(read, lost);
    let make = |name: &str, entries: &[(u16, u16)]| {
        let mut c = Compound::default();
        c.receiver_report(1, &[]).name(1, name).nack(1, 2, entries);
        c.finish()
    };
    let good = format!("7@{NACK_DOMAIN}");
    let many = Resend::parse(&make(&good, &[(0, 0xFFFF); 20])).unwrap();
    assert_eq!(many.lost.len(), rtcp::LOOKUPS_MAX);
    for name in [
        "",
        "7",
        "@WMS",
        "7@WMS:0",
        &format!("-7@{NACK_DOMAIN}"),
        &format!("4294967296@{NACK_DOMAIN}"),
    ] {
        assert_eq!(Resend::parse(&make(name, &[(0, 0)])), None, "{name}");
    }
    assert_eq!(Resend::parse(&make(&good, &[])), None);
    // What FFmpeg sends to open a path, and half a compound.
    assert_eq!(Resend::parse(&hex("80c9000100000000")), None);
    let whole = make(&good, &[(0, 0)]);
    for len in 0..whole.len() {
        assert_eq!(Resend::parse(&whole[..len]), None, "{len} bytes");
    }
}

#[test]
fn compounds_round_trip() {
    let report = Report {
        ssrc: 9,
        fraction_lost: 1,
        lost: -3,
        highest: 0x0001_0005,
        jitter: 2,
        last_sr: 3,
        delay: 4,
    };
    let info = SenderInfo {
        ntp: 0x0102_0304_0506_0708,
        timestamp: 9,
        packets: 10,
        bytes: 11,
    };
    let mut c = Compound::default();
    c.sender_report(1, &info, &[report])
        .receiver_report(2, &[report; 31]);
    c.name(3, "abc")
        .name(3, "abcd")
        .bye(4)
        .nack(5, 6, &[(65535, 1)]);
    let bytes = c.finish();
    let got: Vec<_> = compound(&bytes).map(Result::unwrap).collect();
    assert_eq!(got.len(), 6);
    assert_eq!(
        got[0],
        rtcp::Packet::SenderReport {
            ssrc: 1,
            info,
            reports: vec![report]
        }
    );
    assert_eq!(
        got[1],
        rtcp::Packet::ReceiverReport {
            ssrc: 2,
            reports: vec![report; 31]
        }
    );
    assert_eq!(got[2], rtcp::Packet::Names(vec![(3, b"abc")]));
    assert_eq!(got[3], rtcp::Packet::Names(vec![(3, b"abcd")]));
    assert_eq!(got[4], rtcp::Packet::Bye(vec![4]));
    let rtcp::Packet::Nack(nack) = &got[5] else {
        panic!("{:?}", got[5])
    };
    assert_eq!(nack.lost().collect::<Vec<_>>(), [65535, 0]);
    let faults: Vec<_> = compound(&bytes[..bytes.len() - 1])
        .filter_map(Result::err)
        .collect();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].offset, bytes.len() as u64 - 16);
}

#[test]
fn rtp_with_everything() {
    let bytes = hex("b1600001 00000002 00000003 0000000a bede0001 01020304 aabb 0002");
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.payload, [0xaa, 0xbb]);
    assert_eq!(packet.body.len(), bytes.len() - 12);
    assert_eq!(packet.header.payload_type, 96);
    for len in 0..bytes.len() - 4 {
        assert!(Packet::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
    assert_eq!(
        Packet::parse(&hex("406000010000000200000003"))
            .unwrap_err()
            .offset,
        0
    );
    assert!(Packet::parse(&hex("a06000010000000200000003 00")).is_err());
    assert!(Packet::parse(&hex("a06000010000000200000003 02")).is_err());
    assert_eq!(rtp::ticks(1000, 90_000), 90_000);
    assert_eq!(rtp::ticks(u64::from(u32::MAX), 1000), u32::MAX);
}

fn drain(queue: &mut Reorder<u16>) -> Vec<Arrived<u16>> {
    std::iter::from_fn(|| queue.pop()).collect()
}

// RTSP-121
#[test]
fn packets_wait_for_those_before_them() {
    let p = Arrived::Packet;
    let mut q = Reorder::new(3, None);
    for n in [65534, 0, 65535] {
        assert!(q.push(n, n));
    }
    assert_eq!(drain(&mut q), [p(65534), p(65535), p(0)]);
    assert!(!q.push(0, 0) && !q.push(65000, 0), "too late");
    assert!(q.push(3, 3) && !q.push(3, 3) && q.push(2, 2));
    assert_eq!(q.missing().collect::<Vec<_>>(), [1]);
    assert_eq!(drain(&mut q), []);
    assert!(q.push(5, 5));
    assert_eq!(
        drain(&mut q),
        [Arrived::Lost { first: 1, count: 1 }, p(2), p(3)]
    );
    assert_eq!(q.missing().collect::<Vec<_>>(), [4]);
    q.flush();
    assert_eq!(drain(&mut q), [Arrived::Lost { first: 4, count: 1 }, p(5)]);
    assert!(q.push(1006, 1006));
    assert_eq!(
        drain(&mut q),
        [Arrived::Lost {
            first: 6,
            count: 997
        }]
    );
    q.flush();
    assert_eq!(
        drain(&mut q),
        [
            Arrived::Lost {
                first: 1003,
                count: 3
            },
            p(1006)
        ]
    );
    let mut q = Reorder::new(0, Some(5));
    assert!(!q.push(4, 4) && q.push(7, 7));
    assert_eq!(drain(&mut q), [Arrived::Lost { first: 5, count: 2 }, p(7)]);
}

// RTSP-23, RTSP-24, RTSP-25, RTSP-28
#[test]
fn the_corrections_of_the_reference() {
    let params = Params::new(4, 2, 1).unwrap();
    let mut encoder = Encoder::new(params, 98, 0x6dde_d651, 0x0200);
    let sources = [
        (100, "4000000401020304"),
        (110, "40000002aabb"),
        (110, "4000000411223344"),
        (120, "40000003fefdfc"),
    ];
    let mut out = Vec::new();
    for (n, (timestamp, body)) in sources.into_iter().enumerate() {
        assert!(out.is_empty());
        let header = Header {
            marker: true,
            payload_type: 96,
            sequence: 0x10 + n as u16,
            timestamp,
            ssrc: 5,
        };
        out = encoder.push(&header, &hex(body));
    }
    assert_eq!(
        out,
        [
            hex(
                "80e20200000000786dded651 0010 00e7 60 00000f 00000021 00 02 00 00 400000599fc4abdd"
            ),
            hex(
                "80e20201000000786dded651 0010 0028 60 00000f 00000099 01 02 00 00 400000e79d2060f6"
            ),
        ]
    );
    let (head, data) = RepairHead::parse(&out[1][12..]).unwrap();
    assert_eq!(
        (head.base, head.mask, head.index, head.count, data.len()),
        (0x10, 15, 1, 2, 8)
    );
    // The padding fields say nothing.
    let mut odd = out[1][12..].to_vec();
    odd[12] |= 0xE0;
    odd[13] |= 0xE0;
    assert_eq!(RepairHead::parse(&odd).unwrap().0, head);
    odd[7] &= 0xFE;
    assert!(RepairHead::parse(&odd).is_err());
}

// RTSP-28, RTSP-29: rtsp-wme.md 10.3, 24 sources, then 6 corrections with bits 0, 6, 12, 18.
#[test]
fn spans_are_interleaved() {
    let mut encoder = Encoder::new(Params::new(4, 1, 6).unwrap(), 98, 1, 0);
    let mut out = Vec::new();
    // One that does not follow begins anew.
    for sequence in std::iter::once(7)
        .chain(65530..65535)
        .chain(65535..65536)
        .chain(0..18)
    {
        let header = Header {
            payload_type: 96,
            sequence: sequence as u16,
            ..Header::default()
        };
        out = encoder.push(&header, &[1]);
    }
    let heads: Vec<_> = out
        .iter()
        .map(|p| RepairHead::parse(&p[12..]).unwrap().0)
        .collect();
    let bases: Vec<_> = heads.iter().map(|h| h.base).collect();
    assert_eq!(bases, [65530, 65531, 65532, 65533, 65534, 65535]);
    assert!(
        heads
            .iter()
            .all(|h| h.mask == 1 | 1 << 6 | 1 << 12 | 1 << 18)
    );

    let mut encoder = Encoder::new(Params::new(2, 2, 2).unwrap(), 98, 1, 0);
    for sequence in 0..4 {
        let header = Header {
            sequence,
            ..Header::default()
        };
        out = encoder.push(&header, &[1]);
    }
    let order: Vec<_> = out
        .iter()
        .map(|p| RepairHead::parse(&p[12..]).unwrap().0)
        .collect();
    let order: Vec<_> = order.iter().map(|h| (h.base, h.index)).collect();
    assert_eq!(order, [(0, 0), (1, 0), (0, 1), (1, 1)]);
}

fn params() -> impl Strategy<Value = Params> {
    (1u32..=24, 1u32..=24, 1u32..=12).prop_filter_map("limits", |(span, per, margin)| {
        let margin = if span > 1 {
            margin.min(23 / (span - 1))
        } else {
            margin
        };
        Params::new(span, per.min(span), margin)
    })
}

/// Source packets of one block, and the corrections for them.
fn block(params: Params, first: u16, bodies: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut encoder = Encoder::new(params, 98, 7, 100);
    let mut repairs = Vec::new();
    let count = params.span() * params.margin();
    let sources = (0..count)
        .map(|n| {
            // All are whole ASF packets, so that the marker can be told.
            let body = [&[0x40, 0, 0, 0][..], &bodies[n % bodies.len()]].concat();
            let header = Header {
                marker: true,
                payload_type: 96,
                sequence: first.wrapping_add(n as u16),
                timestamp: n as u32 * 1_000_003,
                ssrc: SSRC,
            };
            repairs = encoder.push(&header, &body);
            [&header.emit()[..], &body].concat()
        })
        .collect();
    (sources, repairs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // RTSP-26, RTSP-27: whatever is lost of a span, up to as many as there are corrections, returns.
    #[test]
    fn any_erasures_up_to_the_limit_are_recovered(
        params in params(),
        first: u16,
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..30),
        choice in proptest::collection::vec(any::<u32>(), 60),
        repairs_first: bool,
    ) {
        let (sources, repairs) = block(params, first, &bodies);
        prop_assert_eq!(repairs.len(), params.per_span() * params.margin());
        // In each span, lose some sources, and keep just as many of its corrections.
        let mut lost = Vec::new();
        let mut kept_repairs = Vec::new();
        for s in 0..params.margin() {
            let pick = |n: usize| choice[(s + n) % choice.len()];
            let count = pick(0) as usize % (params.per_span() + 1);
            let mut places: Vec<usize> = (0..params.span()).collect();
            places.sort_by_key(|n| pick(n + 1).wrapping_mul(*n as u32 + 1));
            lost.extend(places[..count].iter().map(|n| n * params.margin() + s));
            let mut indexes: Vec<usize> = (0..params.per_span()).collect();
            indexes.sort_by_key(|n| pick(n + 2).wrapping_mul(*n as u32 + 3));
            kept_repairs.extend(indexes[..count].iter().map(|f| f * params.margin() + s));
        }
        let mut recovery = Recovery::new(SSRC);
        let mut back = Vec::new();
        let give_repairs = |recovery: &mut Recovery, back: &mut Vec<_>| {
            for &n in &kept_repairs {
                back.extend(recovery.repair(&repairs[n][12..]).unwrap());
            }
        };
        if repairs_first {
            give_repairs(&mut recovery, &mut back);
        }
        for (n, source) in sources.iter().enumerate() {
            if !lost.contains(&n) {
                back.extend(recovery.source(&Packet::parse(source).unwrap()));
            }
        }
        if !repairs_first {
            give_repairs(&mut recovery, &mut back);
        }
        let mut got: Vec<Vec<u8>> = back.iter().map(|r| [&r.header.emit()[..], &r.body].concat()).collect();
        let mut want: Vec<Vec<u8>> = lost.iter().map(|n| sources[*n].clone()).collect();
        got.sort();
        want.sort();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn one_loss_too_many_brings_nothing_back(
        params in params().prop_filter("room for a loss", |p| p.per_span() < p.span()),
        first: u16,
    ) {
        let (sources, repairs) = block(params, first, &[vec![1, 2, 3]]);
        let mut recovery = Recovery::new(SSRC);
        for (n, source) in sources.iter().enumerate() {
            if n / params.margin() > params.per_span() {
                prop_assert!(recovery.source(&Packet::parse(source).unwrap()).is_empty());
            }
        }
        for repair in &repairs {
            prop_assert!(recovery.repair(&repair[12..]).unwrap().is_empty());
        }
    }

    // RTSP-04, RTSP-05, RTSP-13, RTSP-15, RTSP-121: out and in again, in any order
    // that the queue can mend.
    #[test]
    fn asf_packets_round_trip(
        form in prop_oneof![Just(Form::Inclusive), Just(Form::Exclusive), Just(Form::Fragment)],
        payload_max in 0usize..300,
        first: u16,
        units in proptest::collection::vec(
            (any::<u32>(), any::<bool>(), any::<Option<u32>>(), any::<Option<u32>>(), 1usize..600), 1..12),
        swaps in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let mut p = Packetizer::new(form, 96, SSRC, first, payload_max);
        let mut packets = Vec::new();
        let mut want = Vec::new();
        for (n, (send_time, key, duration, location, len)) in units.into_iter().enumerate() {
            let unit = Unit { send_time, key, duration, location };
            let bytes: Vec<u8> = (0..len).map(|i| (i + n) as u8).collect();
            let new = sent(&mut p, unit, &bytes);
            for (i, packet) in new.iter().enumerate() {
                let packet = Packet::parse(packet).unwrap();
                prop_assert!(packet.payload.len() <= payload_max.max(32));
                prop_assert_eq!(packet.header.marker, i + 1 == new.len());
                prop_assert_eq!(packet.header.timestamp, send_time);
                let head = PayloadHead::parse(packet.payload).unwrap();
                prop_assert_eq!(head.location, location.filter(|_| packet.header.marker));
                prop_assert_eq!((head.key, head.duration, head.relative), (key, duration, None));
                prop_assert!(!head.whole || (new.len() == 1 && form != Form::Fragment));
            }
            packets.extend(new);
            want.push((unit, bytes));
        }
        for (n, swap) in swaps.iter().enumerate() {
            let n = n * 2;
            if *swap && n + 1 < packets.len() {
                packets.swap(n, n + 1);
            }
        }
        let mut queue = Reorder::new(8, Some(first));
        for packet in packets {
            let sequence = Packet::parse(&packet).unwrap().header.sequence;
            prop_assert!(queue.push(sequence, packet));
        }
        let mut in_order = Vec::new();
        while let Some(Arrived::Packet(packet)) = queue.pop() {
            in_order.push(packet);
        }
        prop_assert_eq!(received(&in_order), want);
    }

    #[test]
    fn nack_entries_name_what_was_lost(mut lost in proptest::collection::vec(any::<u16>(), 0..60)) {
        lost.sort_unstable();
        lost.dedup();
        let mut c = Compound::default();
        c.nack(1, 2, &nack_entries(lost.iter().copied()));
        let bytes = c.finish();
        let Some(Ok(rtcp::Packet::Nack(nack))) = compound(&bytes).next() else {
            panic!("no NACK");
        };
        prop_assert_eq!(nack.lost().collect::<Vec<_>>(), lost);
    }

    #[test]
    fn media_of_anything(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..12)) {
        let mut to = Depacketizer::new(100);
        let mut recovery = Recovery::new(1);
        for mut bytes in pieces {
            let _ = Resend::parse(&bytes);
            let len: usize = compound(&bytes).count();
            prop_assert!(len <= bytes.len() / 4 + 1);
            for r in recovery.repair(&bytes).unwrap_or_default() {
                prop_assert!(r.body.len() <= 80);
            }
            if let Some(flags) = bytes.first_mut() {
                *flags = *flags & 0x3F | 0x80;
            }
            let _ = Resend::parse(&bytes);
            if let Ok(packet) = Packet::parse(&bytes) {
                let _ = to.push(&packet, |_, b| assert!(!b.is_empty() && b.len() <= 100));
                recovery.source(&packet);
            }
        }
    }
}
