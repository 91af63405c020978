//! WMSP packets and Pragma tokens against the worked examples of the reference.

use proptest::prelude::*;
use protocols::rate::packet_pair;
use protocols::wmsp::packet::{self, Mms, Packet, PacketId, Parsed, Piece, reason};
use protocols::wmsp::pragma::{ReplyPragma, RequestPragma};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

fn object(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (head, part) in packet::pieces(id, 0, payload) {
        out.extend_from_slice(&head);
        out.extend_from_slice(part);
    }
    out
}

fn hex(text: &str) -> Vec<u8> {
    text.split_ascii_whitespace()
        .map(|b| u8::from_str_radix(b, 16).unwrap())
        .collect()
}

// WMSP-05, WMSP-14, WMSP-18, WMSP-24
#[test]
fn packets_without_media() {
    let c = |r| packet::with_reason(PacketId::StreamChange, r).to_vec();
    let e = |r| packet::with_reason(PacketId::End, r).to_vec();
    assert_eq!(c(reason::OK), hex("24 43 04 00 00 00 00 00"));
    assert_eq!(c(reason::PREVIOUS), hex("24 43 04 00 BE 14 0D 40"));
    assert_eq!(e(reason::OK), hex("24 45 04 00 00 00 00 00"));
    assert_eq!(e(reason::MORE), hex("24 45 04 00 01 00 00 00"));
    assert_eq!(e(reason::RECEDING), hex("24 45 04 00 09 2F 0D 00"));
    assert_eq!(packet::TEST.to_vec(), hex("24 54 00 00"));
}

// WMSP-01, WMSP-02, WMSP-09
#[test]
fn heads_of_the_reference() {
    assert_eq!(
        object(PacketId::Header, &[0xAA; 4]),
        hex("24 48 0C 00 00 00 00 00 00 0C 0C 00 AA AA AA AA")
    );
    let d = packet::head(PacketId::Data, false, 0x0102_0304, 2, 0xFE, 4);
    assert_eq!(d.to_vec(), hex("24 44 0C 00 04 03 02 01 02 FE 0C 00"));
    let d = packet::head(PacketId::Data, true, 5, 0, 0, 4);
    assert_eq!(d.to_vec(), hex("A4 44 0C 00 05 00 00 00 00 00 0C 00"));
    let framed = packet::head(PacketId::Data, false, 9, 0, 9, 48);
    assert_eq!(framed.to_vec(), hex("24 44 38 00 09 00 00 00 00 09 38 00"));
}

// WMSP-06, WMSP-07, WMSP-08, ASF-20
#[test]
fn a_long_header_is_split() {
    let parts: Vec<_> = packet::pieces(PacketId::Header, 0, &[0x11; 100_000]).collect();
    assert_eq!(parts.len(), 2);
    assert_eq!(
        parts[0].0.to_vec(),
        hex("24 48 FF FF 00 00 00 00 00 04 FF FF")
    );
    assert_eq!(parts[0].1.len(), 65_527);
    assert_eq!(
        parts[1].0.to_vec(),
        hex("24 48 B1 86 01 00 00 00 00 08 B1 86")
    );
    assert_eq!(parts[1].1.len(), 34_473);

    let parts: Vec<_> = packet::pieces(PacketId::Header, 3, &[0x11; 140_000]).collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(
        parts[1].0.to_vec(),
        hex("24 48 FF FF 01 00 00 00 03 00 FF FF")
    );
    assert_eq!(
        parts[2].0.to_vec(),
        hex("24 48 FA 22 02 00 00 00 03 08 FA 22")
    );
    assert_eq!(parts[2].1.len(), 8946);
    let flags: Vec<_> = parts.iter().map(|p| Piece::from_flags(p.0[9])).collect();
    assert_eq!(flags, [Piece::First, Piece::Middle, Piece::Last]);
}

fn pair(head_len: usize) -> [Vec<u8>; 3] {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    packet_pair::packets(head_len, &mut rng)
}

// WMSP-22, BW-04
#[test]
fn packet_pair_sizes() {
    let set = pair(300);
    assert_eq!(set[0][..8], hex("24 50 F8 01 2C 01 00 00"));
    assert_eq!(set[1][..8], hex("24 50 F8 01 2C 01 00 00"));
    assert_eq!(set[2][..8], hex("24 50 18 04 2C 01 00 00"));
    assert_eq!(set.each_ref().map(Vec::len), [212, 512, 1356]);
    assert_eq!(set[0].len() + 300, 512);

    let set = pair(700);
    assert_eq!(set.each_ref().map(Vec::len), [8, 512, 1560]);
    assert_eq!(set[0], hex("24 50 F8 01 F8 01 00 00"));
    let set = pair(380);
    assert_eq!(set[0][..8], hex("24 50 F8 01 7C 01 00 00"));
    assert_eq!(set[2][..8], hex("24 50 18 04 7C 01 00 00"));
    for head_len in [0, 1, 503, 504, 505, 65_535] {
        let total: usize = pair(head_len).iter().map(Vec::len).sum();
        assert_eq!(total, packet_pair::TOTAL);
    }
}

// WMSP-23, BW-05
#[test]
fn packet_pair_payload_is_random() {
    let set = pair(300);
    assert_ne!(set[0][8..212], set[1][8..212]);
    assert_ne!(set[1][8..512], set[2][8..512]);
    let mut seen = [0u32; 256];
    for byte in set.iter().flat_map(|p| &p[8..]) {
        seen[usize::from(*byte)] += 1;
    }
    let n: u32 = seen.iter().sum();
    let entropy: f64 = seen
        .iter()
        .filter(|&&c| c > 0)
        .map(|&c| f64::from(c) / f64::from(n))
        .map(|p| -p * p.log2())
        .sum();
    assert!(entropy > 7.8, "{entropy} bits a byte");
}

// BW-08, BW-09
#[test]
fn packet_pair_is_read_by_reason_and_ordinal() {
    let set = pair(300);
    let bytes: Vec<u8> = set.concat();
    let mut at = 0;
    for ordinal in 0..3 {
        let Ok(Parsed::Whole(Packet::Pair { reason: 300 }, n)) =
            packet::parse(&bytes[at..], ordinal)
        else {
            panic!("packet {ordinal}");
        };
        at += n;
    }
    assert_eq!(at, bytes.len());
    assert_eq!(packet::parse(&set[0], 3).unwrap_err().at, 1);
    assert_eq!(
        packet::parse(&hex("24 50 F8 01 F9 01 00 00"), 0)
            .unwrap_err()
            .at,
        4
    );
}

// FFmpeg's asf_stream muxer writes `$E` with eight bytes and AFFlags 0 in `$D`.
#[test]
fn odd_packets_of_others_are_read() {
    let e = hex("24 45 08 00 00 00 00 00 00 00 00 00");
    assert_eq!(packet::parse(&e, 0), Ok(Parsed::Whole(Packet::End(0), 12)));
    let unknown = hex("24 5A 02 00 AA BB");
    assert_eq!(
        packet::parse(&unknown, 0),
        Ok(Parsed::Whole(Packet::Unknown(0x5A, &[0xAA, 0xBB]), 6))
    );
    assert_eq!(
        packet::parse(&packet::TEST, 0),
        Ok(Parsed::Whole(Packet::Test, 4))
    );
}

#[test]
fn damaged_packets_say_where() {
    for (bytes, at) in [
        ("25", 0),
        ("24 45 02 00 00 00", 2),
        ("24 44 07 00 00 00 00 00 00 00 00", 2),
        ("24 44 08 00 00 00 00 00 00 00 09 00", 10),
        ("24 44 08 00 00 00 00 00 00 00 07 00", 10),
    ] {
        assert_eq!(packet::parse(&hex(bytes), 0).unwrap_err().at, at, "{bytes}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        location: u32, incarnation: u8, flags: u8, hurried: bool,
    ) {
        let mut bytes =
            packet::head(PacketId::Data, hurried, location, incarnation, flags, payload.len()).to_vec();
        bytes.extend_from_slice(&payload);
        for end in 0..bytes.len() {
            match packet::parse(&bytes[..end], 0) {
                Ok(Parsed::Needs(n)) => prop_assert!(n > end && n <= bytes.len()),
                other => prop_assert!(false, "{other:?} at {end}"),
            }
        }
        let mms = Mms { location, incarnation, flags, payload: &payload };
        prop_assert_eq!(
            packet::parse(&bytes, 0),
            Ok(Parsed::Whole(Packet::Data { hurried, mms }, bytes.len()))
        );
    }

    #[test]
    fn nothing_read_is_longer_than_the_buffer(bytes: Vec<u8>, pairs in 0u8..5) {
        if let Ok(Parsed::Whole(_, n)) = packet::parse(&bytes, pairs) {
            prop_assert!(n >= 4 && n <= bytes.len());
        }
    }

    #[test]
    fn request_tokens_survive(line in "[ -~]{0,200}") {
        let mut p = RequestPragma::default();
        p.absorb(&line);
        let again = reread(&p);
        let twice = reread(&again);
        prop_assert_eq!(again, twice);
    }
}

fn reread(p: &RequestPragma) -> RequestPragma {
    let mut text = String::new();
    p.emit(&mut text);
    let mut q = RequestPragma::default();
    for line in text.split_terminator("\r\n") {
        q.absorb(line.strip_prefix("Pragma: ").unwrap());
    }
    q
}

fn request(lines: &[&str]) -> RequestPragma {
    let mut p = RequestPragma::default();
    for line in lines {
        p.absorb(line);
    }
    p
}

// WMSP-123: the Play of FFmpeg 5.1, whose last Pragma line lacks its end.
#[test]
fn ffmpeg_glues_connection_to_stream_time() {
    let p = request(&[
        "no-cache,rate=1.000000,request-context=2",
        "xPlayStrm=1",
        "xClientGUID={c77e7400-738a-11d2-9add-0020af0a3278}",
        "stream-switch-count=2",
        "stream-switch-entry=ffff:1:0 ffff:2:0 ",
        "no-cache,rate=1.000000,stream-time=0Connection: Close",
    ]);
    assert!(p.play && p.no_cache);
    assert_eq!(p.stream_time, Some(0));
    assert_eq!(p.rate_milli, Some(1000));
    assert_eq!(p.request_context, Some(2));
    assert_eq!(p.switches.len(), 2);
    assert_eq!(p.switch_count, Some(2));
}

// WMSP-29, WMSP-123
#[test]
fn tokens_in_any_shape() {
    let p = request(&[
        "NO-CACHE , Client-ID=77,,xclientGuid={0xbabac001-0x1234-0x5678-0x9abc},bogus,x=\"a,b\", SPEED=91268.0551",
        "stream-offset=4294967295:4294967295, packet-num=4294967295,max-duration=99999999999",
        "rate=-5.000, pl-offset=-1, client-lag=7x",
        "log-line=10.0.0.1 a,b c",
    ]);
    assert_eq!(p.client_id, Some(77));
    assert_eq!(p.speed_milli, Some(91_268_055));
    assert_eq!(p.rate_milli, Some(-5000));
    assert_eq!(p.pl_offset, Some(-1));
    assert_eq!(p.client_lag, Some(7));
    assert_eq!(p.stream_offset, Some(u64::MAX));
    assert_eq!(p.max_duration, None, "more than ten digits");
    assert_eq!(
        p.client_guid.as_deref(),
        Some("{0xbabac001-0x1234-0x5678-0x9abc}")
    );
    // WMLOG-21
    assert_eq!(p.log_line.as_deref(), Some("10.0.0.1 a,b c"));
    // The examples of the protocol document misprint the name.
    let p = request(&["switch-stream-entry=ffff:1:0", "switch-stream-count=1"]);
    assert_eq!((p.switches.len(), p.switch_count), (1, Some(1)));
}

#[test]
fn entries_are_bounded() {
    let many = "ffff:1:0 ".repeat(10_000);
    let p = request(&[&format!("stream-switch-entry={many}")]);
    assert_eq!(p.switches.len(), 128);
}

#[test]
fn reply_tokens() {
    let reply = ReplyPragma {
        client_id: Some(77),
        features: Some("seekable,stridable".into()),
        timeout: Some(55_000),
        pipeline_experiment: true,
        accel_bw: Some(3_500_000),
        accel_duration: Some(18_000),
        speed_milli: Some(5000),
        ..ReplyPragma::default()
    };
    let mut text = String::new();
    reply.emit(&mut text);
    assert_eq!(
        text,
        "Pragma: no-cache, client-id=77, pipeline-experiment=1, features=\"seekable,stridable\", \
         timeout=55000, AccelBW=3500000, AccelDuration=18000, Speed=5.000\r\n"
    );
    let mut read = ReplyPragma::default();
    read.absorb(text.trim_end().strip_prefix("Pragma: ").unwrap());
    assert_eq!(read, reply);
}
