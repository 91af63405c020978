//! A sender to a group in virtual time: what leaves when, over a real socket.

mod support;

use bytes::Bytes;
use engine::multicast::{self, Cast, LEAD};
use engine::ops::metrics::Metrics;
use engine::points::{Batch, BatchBuilder, LiveHead, Point, Tap};
use protocols::asf;
use protocols::machine::Time;
use protocols::msb::fec;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use support::asf::Clip;
use support::group::{Member, OwnedPacket, packets_of};
use support::*;

const CLIP: Clip = Clip {
    packet_size: 900,
    packets: 100,
    interval: 20,
    key_every: 5,
    preroll: 100,
    seed: 9,
};

const START: Time = Time(5_000_000_000);

/// A sender, its receiver, and the time.
struct Scene {
    cast: Option<Cast>,
    member: Member,
    metrics: Arc<Metrics>,
    point: Arc<Point>,
    now: Time,
    _folder: Folder,
}

impl Scene {
    fn new(name: &str, group: &str, more: &str) -> Scene {
        let folder = Folder::new(name);
        let text = format!(
            "[[point]]\nname = \"p\"\nkind = \"broadcast\"\nsource = \"push:\"\n\
             [point.multicast]\ngroup = \"{group}\"\ninterface = \"127.0.0.1\"\nttl = 0\n{more}\n"
        );
        let config = config(&folder, &text).points.remove(0);
        let multicast = config.multicast.clone().expect("it has a group");
        let point = Arc::new(Point::open_later(1, config, 1).expect("a point"));
        let metrics = Metrics::new();
        let member = Member::here(group);
        let cast = Cast::msb(&point, &multicast, &metrics, "host.test", START);
        Scene {
            cast: Some(cast.expect("a sender")),
            member,
            metrics,
            point,
            now: START,
            _folder: folder,
        }
    }

    fn cast(&mut self) -> &mut Cast {
        self.cast.as_mut().expect("it is there")
    }

    fn begin(&mut self, clip: Clip, generation: u32) -> Arc<LiveHead> {
        let blob = asf::broadcast_blob(&clip.head(), None).expect("a header");
        let head = LiveHead::parse(Bytes::from(blob)).expect("a header");
        let head = Arc::new(head.in_generation(generation));
        let now = self.now;
        self.cast().begin(&head, now);
        head
    }

    fn give(&mut self, clip: Clip, numbers: impl IntoIterator<Item = u32>) {
        let (batch, now) = (batch(clip, numbers, None), self.now);
        self.cast().take(&batch, now);
    }

    /// Lets time go by and the sender do what is due just when it is; what came until then.
    fn run(&mut self, span: Duration) -> Vec<Vec<u8>> {
        let until = self.now + span;
        loop {
            let now = self.now;
            let next = self.cast().tick(now).expect("it always wants more");
            assert!(next > now, "asked again at once");
            if next > until {
                self.now = until;
                return self.member.all();
            }
            self.now = next;
        }
    }

    fn stations(&self) -> Vec<(u16, Bytes)> {
        let station = multicast::station(&self.point, "host.test", None);
        let formats = station.map(|s| s.formats).unwrap_or_default();
        formats.into_iter().map(|f| (f.id, f.header)).collect()
    }

    fn parity(&self) -> u64 {
        self.metrics.casts()[0].parity.get()
    }
}

fn batch(clip: Clip, numbers: impl IntoIterator<Item = u32>, turn: Option<u32>) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for n in numbers {
        if turn == Some(n) {
            builder.turn();
        }
        let (packet, change) = (clip.packet(n), |_: &mut [u8]| Ok::<(), Infallible>(()));
        builder.push(n, n * clip.interval, clip.interval as u16, &packet, change);
    }
    builder.finish().expect("packets")
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn data(packets: &[OwnedPacket]) -> Vec<&OwnedPacket> {
    let data = packets.iter().filter(|p| !fec::is_parity(&p.asf));
    data.collect()
}

// MSB-03, MSB-36, MSB-38, MSB-42, MSB-45, MSB-46
#[test]
fn beacons_are_sent_while_there_is_nothing_else() {
    let mut scene = Scene::new("cast-beacons", "239.192.77.10:5010", "beacon = \"2s\"");
    let beacon = b"MSB ".to_vec();
    assert_eq!(scene.run(ms(0)), vec![beacon.clone()], "at once");
    assert_eq!(scene.run(ms(1999)), [] as [Vec<u8>; 0]);
    assert_eq!(scene.run(ms(2001)), vec![beacon.clone(); 2]);
    // Packets come, and no more beacons.
    scene.begin(CLIP, 1);
    let mut sent = Vec::new();
    for n in 0..10 {
        scene.give(CLIP, n * 10..n * 10 + 10);
        sent.extend(scene.run(ms(200)));
    }
    sent.extend(scene.run(ms(50)));
    let (packets, beacons) = packets_of(&sent);
    assert_eq!((data(&packets).len(), beacons), (100, 0));
    // The last packet left 20 ms ago. It stops without a word: two seconds later that is noticed.
    let (packets, beacons) = packets_of(&scene.run(ms(1979)));
    assert_eq!((packets.len(), beacons), (0, 0));
    assert_eq!(scene.run(ms(1)), vec![beacon.clone()]);
    // It ends: receivers know it at once.
    scene.give(CLIP, 100..103);
    scene.run(ms(200));
    let now = scene.now;
    scene.cast().end(now);
    let sent = scene.run(ms(0));
    assert_eq!(sent.len(), 2, "parity and a beacon");
    assert!(fec::is_parity(&packets_of(&sent).0[0].asf));
    assert_eq!(sent[1], beacon);
}

// MSB-39
#[test]
fn a_beacon_precedes_the_first_packet() {
    let mut scene = Scene::new("cast-begin", "239.192.77.17:5017", "");
    scene.begin(CLIP, 1);
    scene.give(CLIP, 0..3);
    let sent = scene.run(ms(300));
    assert_eq!(sent[0], b"MSB ");
    let (packets, beacons) = packets_of(&sent);
    assert_eq!((data(&packets).len(), beacons), (3, 1));
}

/// A packet of the clip's size with one payload of 100 bytes.
fn with_one_payload(send_time: u32) -> Vec<u8> {
    let head = 28;
    let mut packet = vec![0x82, 0, 0, 0x10, 0x5D];
    packet.extend((CLIP.packet_size as u16 - head - 100).to_le_bytes());
    packet.extend(send_time.to_le_bytes());
    packet.extend([20, 0, 0x81, 0, 0, 0, 0, 0, 8]);
    packet.extend(100u32.to_le_bytes());
    packet.extend(send_time.to_le_bytes());
    assert_eq!(packet.len(), usize::from(head));
    packet.extend([0x77; 100]);
    packet.resize(CLIP.packet_size, 0);
    packet
}

// MSB-13, MSB-14, MSB-71
#[test]
fn packets_are_cut_and_one_with_one_payload_says_its_length() {
    let mut scene = Scene::new("cast-cut", "239.192.77.18:5018", "");
    scene.begin(CLIP, 1);
    let mut builder = BatchBuilder::default();
    for (n, packet) in [(0, with_one_payload(0)), (1, CLIP.packet(1))] {
        let change = |_: &mut [u8]| Ok::<(), Infallible>(());
        builder.push(n, n * CLIP.interval, CLIP.interval as u16, &packet, change);
    }
    let (batch, now) = (builder.finish().expect("packets"), scene.now);
    scene.cast().take(&batch, now);
    let (packets, _) = packets_of(&scene.run(ms(300)));
    let data = data(&packets);
    let size = CLIP.packet_size as u32;
    let parse = |n: usize| asf::Packet::parse(&data[n].asf, size).expect("a packet");
    let (one, many) = (parse(0), parse(1));
    for (n, packet) in [&one, &many].into_iter().enumerate() {
        assert!(data[n].asf.len() < CLIP.packet_size);
        assert_eq!(packet.padding(), 0);
    }
    assert_eq!(one.explicit_length(), Some(data[0].asf.len() as u32));
    let payloads: Vec<_> = one.payloads().map(|p| p.data.to_vec()).collect();
    assert_eq!(payloads, [[0x77; 100]]);
    assert_eq!(many.payloads().count(), 2);
}

/// Every packet leaves at the distance of its send time from the first, however it came.
#[test]
fn packets_leave_at_their_times() {
    let more = "fec_span = 0";
    let mut scene = Scene::new("cast-times", "239.192.77.11:5011", more);
    scene.run(ms(0));
    scene.begin(CLIP, 1);
    let begun = scene.now;
    scene.give(CLIP, 0..1);
    let mut left = Vec::new();
    // Batches come every 40 ms with two packets each.
    for turn in 0..20 {
        for _ in 0..40 {
            for datagram in scene.run(ms(1)) {
                let (packets, beacons) = packets_of(&[datagram]);
                assert_eq!(beacons, 0);
                let packet = support::asf::said(&packets[0].asf, CLIP.packet_size);
                left.push((packet.send, scene.now.since(begun)));
            }
        }
        scene.give(CLIP, 1 + turn * 2..3 + turn * 2);
    }
    assert!(left.len() > 35, "{}", left.len());
    for (send, at) in left {
        let ideal = LEAD + ms(send.into());
        // Looked at once in a millisecond; what is due within two leaves together.
        assert!(at + ms(3) >= ideal && at <= ideal + ms(2), "{send}: {at:?}");
    }
}

// MSB-08, MSB-09, MSB-37, MSB-40, MSB-41, MSB-43, MSB-44, NSC-30
#[test]
fn every_entry_flips_the_toggle_and_another_header_is_listed_first() {
    let mut scene = Scene::new("cast-entries", "239.192.77.12:5012", "");
    assert_eq!(scene.stations(), []);
    let other = Clip {
        preroll: 700,
        ..CLIP
    };
    let foreseen = asf::broadcast_blob(&other.head(), None).expect("a header");
    let foreseen = Arc::new(LiveHead::parse(Bytes::from(foreseen)).expect("a header"));
    let now = scene.now;
    scene.cast().expect(&foreseen, now);
    assert_eq!(scene.stations().len(), 1, "what may come is listed");
    let mut sent = Vec::new();
    for (generation, clip) in [(1, CLIP), (2, CLIP), (3, other), (4, CLIP)] {
        let head = scene.begin(clip, generation);
        let listed = scene.stations();
        assert!(listed.iter().any(|(_, header)| *header == head.blob));
        assert_eq!(scene.member.all().len(), 0, "listed before it is sent");
        scene.give(clip, 0..12);
        sent.extend(scene.run(ms(400)));
    }
    let listed = scene.stations();
    assert_eq!(listed.len(), 2);
    let id_of = |clip: Clip| {
        let blob = asf::broadcast_blob(&clip.head(), None).expect("a header");
        let listed = listed.iter().find(|(_, header)| *header == blob);
        listed.expect("it is listed").0
    };
    drop(scene.cast.take());
    sent.extend(scene.member.all());
    let (packets, _) = packets_of(&sent);
    let data = data(&packets);
    for (n, packet) in data.iter().enumerate() {
        assert_eq!(packet.id, n as u32, "numbers go on over all entries");
        let entry = n / 12;
        let clip = if entry == 2 { other } else { CLIP };
        assert_eq!(
            (packet.format, packet.toggle),
            (id_of(clip), entry % 2 == 1),
            "packet {n}"
        );
    }
    assert_eq!(data.len(), 48);
    // A cycle of ten, and one of two that the next entry or the end closes.
    let parity: Vec<u32> = packets
        .iter()
        .filter(|p| fec::is_parity(&p.asf))
        .map(|p| p.id)
        .collect();
    assert_eq!(parity, [9, 11, 21, 23, 33, 35, 45, 47]);
}

// MSB-09
#[test]
fn every_turn_of_a_looped_file_flips_the_toggle() {
    let mut scene = Scene::new("cast-turns", "239.192.77.13:5013", "");
    scene.begin(CLIP, 1);
    let (batch, now) = (batch(CLIP, 0..9, Some(5)), scene.now);
    scene.cast().take(&batch, now);
    let (packets, _) = packets_of(&scene.run(ms(300)));
    let toggles: Vec<bool> = data(&packets).iter().map(|p| p.toggle).collect();
    assert_eq!(toggles, [[false; 5].as_slice(), &[true; 4]].concat());
    assert_eq!(data(&packets)[4].format, data(&packets)[5].format);
    assert_eq!(scene.parity(), 1, "the turn has closed the cycle");
}

/// Held up for half a second: what waited leaves little faster than real time.
#[test]
fn a_sender_that_was_held_up_catches_up_without_a_burst() {
    let mut scene = Scene::new("cast-stall", "239.192.77.14:5014", "fec_span = 0");
    scene.begin(CLIP, 1);
    scene.give(CLIP, 0..5);
    scene.run(ms(130));
    scene.now = scene.now + ms(500);
    scene.give(CLIP, 5..32);
    let mut most = 0;
    let mut count = 0;
    for _ in 0..60 {
        let sent = scene.run(ms(20)).len();
        most = most.max(sent);
        count += sent;
    }
    assert_eq!(count, 27);
    assert!(most <= 3, "{most} packets within 20 ms, one is usual");
    assert!(scene.metrics.casts()[0].late.get() > 5);
}

/// At the end nothing is kept back: what waits leaves, and then its parity.
// MSB-44
#[test]
fn what_waits_leaves_before_the_sender_goes() {
    let mut scene = Scene::new("cast-close", "239.192.77.17:5017", "");
    scene.begin(CLIP, 1);
    scene.give(CLIP, 0..3);
    let now = scene.now;
    scene.cast().close(now);
    let (packets, _) = packets_of(&scene.member.all());
    assert_eq!(data(&packets).len(), 3);
    assert!(packets.last().is_some_and(|p| fec::is_parity(&p.asf)));
    assert_eq!(packets.len(), 4);
}

/// Servers get the packets at full size, one datagram each, under the entry's stream id.
// MSBD-39, MSBD-40, MSBD-41, MSBD-42, MSBD-44
#[test]
fn servers_get_whole_packets_over_msbd() {
    let group = "239.192.77.16:5016";
    let mut member = Member::here(group);
    let folder = Folder::new("cast-msbd");
    let text = format!(
        "[[point]]\nname = \"p\"\nkind = \"broadcast\"\nsource = \"push:\"\n\
         [point.msbd]\nlisten = \"127.0.0.1:7007\"\ngroup = \"{group}\"\n\
         interface = \"127.0.0.1\"\nttl = 0\n"
    );
    let config = config(&folder, &text).points.remove(0);
    let point = Arc::new(Point::open_later(1, config, 1).expect("a point"));
    let metrics = Metrics::new();
    let mut casts = multicast::casts_of(&point, &metrics, "host.test", START);
    assert_eq!(casts.len(), 1);
    let cast = &mut casts[0];
    let mut id = 0u32;
    for generation in [7, 8] {
        let blob = asf::broadcast_blob(&CLIP.head(), None).expect("a header");
        let head = LiveHead::parse(Bytes::from(blob)).expect("a header");
        cast.begin(&Arc::new(head.in_generation(generation)), START);
        cast.take(&batch(CLIP, 0..5, Some(3)), START);
        let end = START + ms(1000);
        let mut now = START;
        while now < end {
            now = cast.tick(now).expect("it wants more");
        }
        let datagrams = member.all();
        assert_eq!(datagrams.len(), 5);
        for (n, datagram) in (0..).zip(datagrams) {
            assert_eq!(datagram[..8], *b"MSB \x06\x01\x0A\x00");
            assert_eq!(datagram[16..20], id.to_le_bytes(), "dwPacketId");
            let stream = protocols::msbd::stream_id(generation);
            assert_eq!(datagram[20..22], stream.to_le_bytes());
            assert_eq!(
                datagram[24..],
                CLIP.packet(n),
                "packet {n}, padding and all"
            );
            id += 1;
        }
    }
    assert!(multicast::station(&point, "host.test", None).is_none());
}

// The network is not there: it is counted, and nothing stops.
#[test]
fn what_cannot_be_sent_is_counted() {
    let folder = Folder::new("cast-nowhere");
    let text = "[[point]]\nname = \"p\"\nkind = \"broadcast\"\nsource = \"push:\"\n\
                [point.multicast]\ngroup = \"239.192.77.15:5015\"\ninterface = \"192.0.2.77\"\n";
    let config = config(&folder, text).points.remove(0);
    let multicast = config.multicast.clone().expect("it has a group");
    let point = Arc::new(Point::open_later(1, config, 1).expect("a point"));
    let metrics = Metrics::new();
    let mut cast = Cast::msb(&point, &multicast, &metrics, "host.test", START).expect("a sender");
    let next = cast.tick(START).expect("it wants more");
    assert_eq!(next.since(START), Duration::from_secs(5));
    let counters = &metrics.casts()[0];
    assert_eq!((counters.errors.get(), counters.datagrams.get()), (1, 0));
}
