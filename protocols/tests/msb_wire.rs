//! What a sender of a group puts into datagrams, byte for byte, and what datagrams are taken for.

mod msb_support;

use bytes::Bytes;
use msb_support::{CYCLE, P1, P2, P3, S1, hex};
use proptest::prelude::*;
use protocols::asf;
use protocols::media::{Caster, PacketMeta};
use protocols::msb::fec::{self, Number};
use protocols::msb::packet::{self, Datagram, Foreign, MsbPacket, StreamId, classify};
use protocols::msb::{Sender, SenderConfig};
use protocols::nsc::FormatIds;

fn sender(span: Option<u8>, number: Number) -> Sender {
    let config = SenderConfig {
        fec_span: span,
        number,
        ..SenderConfig::new(FormatIds::new())
    };
    Sender::new(config).expect("a possible span")
}

fn header() -> Bytes {
    hex(S1).into()
}

fn meta(packet: &[u8]) -> PacketMeta {
    PacketMeta {
        number: 0,
        send_time: 0,
        duration: 0,
        key: true,
        len: packet.len() as u32,
    }
}

/// Sends packets and gives the datagrams.
fn send(sender: &mut Sender, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for packet in packets {
        sender.packet(&meta(packet), packet, &mut |d| sent.push(d.to_vec()));
    }
    sent
}

fn begin(sender: &mut Sender, entry: u32) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    sender.entry(entry, &header(), &mut |d| sent.push(d.to_vec()));
    sent
}

fn packets() -> Vec<Vec<u8>> {
    [P1, P2, P3].map(hex).to_vec()
}

/// The packet in a datagram.
fn parts(datagram: &[u8]) -> MsbPacket<'_> {
    match classify(datagram) {
        Ok(Datagram::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

// MSB-01, MSB-04, MSB-06, MSB-07, MSB-08, MSB-11, MSB-16, MSB-22, MSB-23, MSB-24, MSB-26, MSB-27, MSB-28,
// MSB-29, MSB-33, MSB-43, MSB-69
#[test]
fn the_cycle_of_the_example_is_reproduced() {
    let mut sender = sender(Some(3), Number::Sequence);
    assert!(begin(&mut sender, 1).is_empty());
    let sent = send(&mut sender, &packets());
    assert_eq!(sent, CYCLE.map(hex));
    assert_eq!(sender.stream().map(StreamId::bits), Some(0x00DE));
}

// MSB-09, MSB-10, MSB-32, MSB-40, MSB-41
#[test]
fn the_next_entry_has_the_other_toggle_and_the_next_cycle() {
    let mut sender = sender(Some(3), Number::Sequence);
    begin(&mut sender, 1);
    send(&mut sender, &packets());
    assert!(begin(&mut sender, 2).is_empty(), "the cycle was whole");
    let sent = send(&mut sender, &packets()[..1]);
    assert_eq!(sent[0][..6], hex("03 00 00 00 DE 80"));
    assert_eq!(sent[0][8..11], hex("82 11 01"));
    // And back again.
    begin(&mut sender, 3);
    assert_eq!(sender.stream(), Some(StreamId::new(0xDE, false)));
}

// MSB-43, MSB-44
#[test]
fn an_entry_or_a_pause_ends_a_cycle_with_a_short_span() {
    let mut sender = sender(Some(10), Number::Sequence);
    begin(&mut sender, 1);
    let sent = send(&mut sender, &packets()[..2]);
    let close = begin(&mut sender, 2);
    assert_eq!(close.len(), 1);
    let (last, parity) = (parts(&sent[1]), parts(&close[0]));
    assert_eq!((parity.id, parity.stream), (last.id, last.stream));
    assert_eq!(parity.asf[..3], [0x92, 0x32, 0]);
    let mut sum = packets()[0][3..].to_vec();
    fec::xor(&mut sum, &packets()[1][3..]);
    assert_eq!(parity.asf[3..], sum);
    send(&mut sender, &packets()[..1]);
    let mut paused = Vec::new();
    sender.pause(&mut |d| paused.push(d.to_vec()));
    sender.pause(&mut |d| paused.push(d.to_vec()));
    assert_eq!(paused.len(), 1);
    assert_eq!(paused[0][8..11], hex("92 22 01"));
    let after = send(&mut sender, &packets()[..1]);
    assert_eq!(after[0][8..11], hex("82 11 02"));
}

// MSB-30
#[test]
fn numbers_may_be_constant() {
    let mut sender = sender(Some(2), Number::Constant);
    begin(&mut sender, 1);
    let sent = send(&mut sender, &packets()[..2]);
    let numbers: Vec<u8> = sent.iter().map(|d| d[9]).collect();
    assert_eq!(numbers, [0x11, 0x11, 0x12]);
}

// MSB-17, MSB-18, MSB-19
#[test]
fn spans_are_what_the_number_can_say() {
    let span = |span, number| fec::check_span(span, number).map_err(|e| e.max);
    assert_eq!(span(0, Number::Sequence), Err(14));
    assert_eq!(span(1, Number::Sequence), Ok(1));
    assert_eq!(span(14, Number::Sequence), Ok(14));
    assert_eq!(span(15, Number::Sequence), Err(14));
    assert_eq!(span(15, Number::Constant), Ok(15));
    assert_eq!(span(16, Number::Constant), Err(15));
    assert_eq!(SenderConfig::new(FormatIds::new()).fec_span, Some(10));
    let config = SenderConfig {
        fec_span: Some(15),
        ..SenderConfig::default()
    };
    assert!(Sender::new(config).is_err());
}

// MSB-15, MSB-20, MSB-36, NSC-22
#[test]
fn what_is_usual_agrees_with_the_station_file() {
    let mut formats = FormatIds::new();
    formats.id(&header());
    let group = "239.0.0.1:5000".parse().expect("an address");
    let station = protocols::nsc::Station::new(group, &formats);
    let config = SenderConfig::new(formats);
    assert_eq!(station.default_ecc, config.fec_span.map(u32::from));
    let mut sender = Sender::new(config).expect("a possible span");
    begin(&mut sender, 1);
    let many: Vec<_> = (0..10).flat_map(|_| packets()).collect();
    let sent = send(&mut sender, &many);
    let cycles: Vec<usize> = sent
        .split(|d| fec::is_parity(&d[8..]))
        .map(<[_]>::len)
        .collect();
    assert_eq!(cycles, [10, 10, 10, 0]);
    use protocols::msb::sender::{BEACON_INTERVAL, BEACON_INTERVAL_DEFAULT};
    assert!(BEACON_INTERVAL.contains(&BEACON_INTERVAL_DEFAULT));
    let seconds = (
        BEACON_INTERVAL.start().as_secs(),
        BEACON_INTERVAL.end().as_secs(),
    );
    assert_eq!(seconds, (1, 10));
}

// MSB-28, MSB-31
#[test]
fn without_error_correction_its_fields_are_zero() {
    let mut sender = sender(None, Number::Sequence);
    begin(&mut sender, 1);
    let mut relayed = packets();
    relayed[1][1..3].copy_from_slice(&[0x21, 0x07]);
    let sent = send(&mut sender, &relayed);
    assert_eq!(sent.len(), 3);
    for (datagram, packet) in sent.iter().zip(packets()) {
        assert_eq!(datagram[8..], packet);
    }
    let close = begin(&mut sender, 2);
    assert!(close.is_empty());
}

/// P1 without error-correction data, as it is and with a Packet Length.
fn bare() -> (Vec<u8>, Vec<u8>) {
    let plain = hex(P1)[3..].to_vec();
    let mut trimmed = Vec::new();
    let mut whole = plain.clone();
    whole.resize(64, 0);
    whole[2] = 64 - plain.len() as u8;
    asf::trim::trim(&whole, 64, &mut trimmed).expect("trims");
    (plain, trimmed)
}

// MSB-21, MSB-25
#[test]
fn packets_without_error_correction_data_gain_it() {
    let (plain, trimmed) = bare();
    assert!(trimmed[0] < 0x80, "no flags");
    let mut sender = sender(Some(2), Number::Sequence);
    begin(&mut sender, 1);
    let sent = send(&mut sender, &[trimmed.clone(), plain.clone()]);
    assert_eq!(sent[0][8..11], hex("82 11 00"));
    assert_eq!(sent[1][8..11], hex("82 21 00"));
    for (datagram, before) in sent.iter().zip([&trimmed, &plain]) {
        let asf = parts(datagram).asf;
        assert_eq!(asf.len(), before.len() + 3);
        let (new, old) = (
            asf::Packet::parse(asf, 64).expect("a packet"),
            asf::Packet::parse(before, 64).expect("a packet"),
        );
        let payloads =
            |p: &asf::Packet<'_>| p.payloads().map(|p| p.data.to_vec()).collect::<Vec<_>>();
        assert_eq!(payloads(&new), payloads(&old));
        let length = old.explicit_length().map(|n| n + 3);
        assert_eq!(new.explicit_length(), length);
        assert_eq!(new.padding(), 0);
    }
    assert!(
        asf::Packet::parse(&trimmed, 64)
            .expect("a packet")
            .explicit_length()
            .is_some()
    );
    let mut sum = sent[0][11..].to_vec();
    fec::xor(&mut sum, &sent[1][11..]);
    assert_eq!(sent[2][11..], sum);
}

// MSB-25
#[test]
fn a_packet_without_room_ends_error_correction_for_its_entry() {
    let mut sender = sender(Some(3), Number::Sequence);
    begin(&mut sender, 1);
    let (plain, _) = bare();
    let mut full = plain.clone();
    full.resize(62, 0x55);
    let sent = send(&mut sender, &[hex(P1), full.clone(), hex(P2), hex(P3)]);
    let asf: Vec<&[u8]> = sent.iter().map(|d| parts(d).asf).collect();
    assert_eq!(asf.len(), 5);
    assert_eq!(asf[1][..3], hex("92 22 00"), "the cycle is closed");
    assert_eq!(asf[2], full);
    assert_eq!(asf[3..], [hex(P2), hex(P3)]);
    assert_eq!(sender.counts().uncorrected_entries, 1);
    begin(&mut sender, 2);
    assert_eq!(send(&mut sender, &[hex(P1)])[0][8..11], hex("82 11 01"));
}

// MSB-12
#[test]
fn what_is_no_packet_is_not_sent() {
    let mut sender = sender(Some(3), Number::Sequence);
    assert!(send(&mut sender, &packets()).is_empty(), "no entry yet");
    begin(&mut sender, 1);
    let parity = parts(&hex(CYCLE[3])).asf.to_vec();
    let large = [&[0x82, 0, 0, 8, 0x5D][..], &[0; 65_500]].concat();
    assert!(send(&mut sender, &[parity, Vec::new(), large]).is_empty());
    assert_eq!(sender.counts().refused, 6);
    assert_eq!(parts(&send(&mut sender, &packets())[0]).id, 0);
}

// MSB-05, MSB-33, MSB-72
#[test]
fn numbers_may_start_anywhere_and_wrap() {
    let config = SenderConfig {
        fec_span: Some(2),
        first_packet_id: u32::MAX,
        first_cycle: 255,
        ..SenderConfig::new(FormatIds::new())
    };
    let mut sender = Sender::new(config).expect("a possible span");
    begin(&mut sender, 1);
    let sent = send(&mut sender, &packets());
    let seen: Vec<_> = sent
        .iter()
        .map(|d| (parts(d).id, parts(d).asf[2]))
        .collect();
    assert_eq!(seen, [(u32::MAX, 255), (0, 255), (0, 255), (1, 0)]);
    assert_eq!(packet::distance(u32::MAX, 1), 2);
    assert_eq!(packet::distance(1, u32::MAX), -2);
}

// MSB-03
#[test]
fn a_beacon_is_four_bytes() {
    let sender = sender(Some(10), Number::Sequence);
    assert_eq!(sender.beacon(), Some(&b"MSB "[..]));
    assert!(!sender.keeps_padding());
    assert_eq!(classify(b"MSB "), Ok(Datagram::Beacon));
}

// MSB-66
#[test]
fn a_packet_may_begin_like_a_beacon() {
    let mut datagram = hex(CYCLE[0]);
    datagram[..4].copy_from_slice(b"MSB ");
    assert_eq!(parts(&datagram).id, 0x2042_534D);
}

// MSB-65
#[test]
fn what_is_not_ours_is_told_apart() {
    assert_eq!(classify(b""), Err(Foreign::Short(0)));
    assert_eq!(classify(b"MSB"), Err(Foreign::Short(3)));
    assert_eq!(classify(b"MSB \0\0\0"), Err(Foreign::Short(7)));
    let empty = hex("00 00 00 00 DE 00 08 00");
    assert_eq!(classify(&empty), Err(Foreign::Empty));
    for change in [-1, 1] {
        let mut datagram = hex(CYCLE[0]);
        let stated = (49 + change) as u8;
        datagram[6] = stated;
        let stated = u16::from(stated);
        assert_eq!(classify(&datagram), Err(Foreign::Size { stated, len: 49 }));
    }
    let mut reserved = hex(CYCLE[0]);
    reserved[5] = 0x08;
    assert_eq!(classify(&reserved), Err(Foreign::StreamId(0x08DE)));
}

#[test]
fn packets_of_msbd_are_known() {
    let mut msbd = b"MSB \x06\x01\x0A\x00".to_vec();
    msbd.extend_from_slice(&24u32.to_le_bytes());
    msbd.resize(24, 0);
    assert_eq!(classify(&msbd), Ok(Datagram::Msbd));
    msbd.push(0);
    assert!(matches!(classify(&msbd), Err(Foreign::Size { .. })));
}

#[test]
fn links_set_how_large_a_packet_may_be() {
    assert_eq!(packet::unfragmented_len_max(1500, false), 1464);
    assert_eq!(packet::unfragmented_len_max(1500, true), 1444);
    assert_eq!(packet::unfragmented_len_max(1280, true), 1224);
    assert_eq!(packet::ASF_PACKET_LEN_MAX, 65_499);
}

proptest! {
    // MSB-01, MSB-10
    #[test]
    fn heads_come_back(id: u32, format in 0u16..2048, toggle: bool, asf in proptest::collection::vec(any::<u8>(), 1..2000)) {
        let stream = StreamId::new(format, toggle);
        let mut datagram = Vec::new();
        packet::put_head(id, stream, asf.len(), &mut datagram);
        datagram.extend_from_slice(&asf);
        prop_assert_eq!(classify(&datagram), Ok(Datagram::Packet(MsbPacket { id, stream, asf: &asf })));
        prop_assert_eq!((stream.format(), stream.toggle()), (format, toggle));
        prop_assert_eq!(StreamId::from_bits(stream.bits()), Some(stream));
    }

    #[test]
    fn senders_take_anything(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40), span in 1u8..15) {
        let mut sender = sender(Some(span), Number::Sequence);
        begin(&mut sender, 1);
        for datagram in send(&mut sender, &packets) {
            prop_assert!(matches!(classify(&datagram), Ok(Datagram::Packet(_))));
        }
    }
}
