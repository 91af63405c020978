//! Broadcasts to groups: what members get, the station file that leads them there, and what loss does.

mod support;

use engine::ops::startup::{self, Scope};
use protocols::asf;
use protocols::machine::{Channel, Input, Machine, Output, Time};
use protocols::media::IngestEvent;
use protocols::msb::packet::{Datagram, classify};
use protocols::msb::sap::Announcement;
use protocols::msb::{Receiver, ReceiverConfig, fec};
use protocols::nsc::{self, Station};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use support::asf::{Clip, Said, said};
use support::client::*;
use support::group::{Member, OwnedPacket};
use support::net::*;
use support::*;

/// Half a second: a test sees many turns. 25 packets are two cycles and a half.
const BRIEF: Clip = Clip {
    packet_size: 1300,
    packets: 25,
    interval: 20,
    key_every: 5,
    preroll: 100,
    seed: 5,
};

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("brief.wmv"), BRIEF.bytes()).expect("a clip");
    folder
}

/// A server on loopback with a broadcast to a group.
fn server(group: &str, more: &str) -> String {
    format!(
        "[server]\ncores = 2\n[listen]\nhttp = [\"127.0.0.1:0\"]\n\
         [[point]]\nname = \"brief\"\nkind = \"broadcast\"\nsource = \"brief.wmv\"\nbuffer = \"4s\"\n\
         [point.multicast]\ngroup = \"{group}\"\ninterface = \"127.0.0.1\"\nttl = 0\n{more}\n\
         [[point]]\nname = \"plain\"\nkind = \"broadcast\"\nsource = \"brief.wmv\"\n"
    )
}

fn get(at: SocketAddr, path: &str) -> (Reply, Vec<u8>) {
    let (mut client, reply) = Client::ask(at, &request("curl/8", &format!("GET {path}"), &[]));
    let body = client.body();
    (reply, body)
}

fn station_of(at: SocketAddr, path: &str) -> Station {
    let (reply, body) = get(at, path);
    assert_eq!(reply.status, 200, "{}", reply.head);
    let reading = nsc::read(&body).expect("a station file");
    assert_eq!(reading.warnings, []);
    reading.station
}

/// What the packet with this send time must say: the file's packet, moved on by the turns before it.
fn on_timeline(clip: Clip, send: u32) -> (u32, Said) {
    let number = send / clip.interval;
    let turn = number / clip.packets;
    let shift = turn * clip.packets * clip.interval;
    let mut packet = said(&clip.packet(number % clip.packets), clip.packet_size);
    packet.send += shift;
    for payload in &mut packet.payloads {
        payload.shown = payload.shown.map(|at| at + shift);
    }
    (number, packet)
}

/// Checks a run of packets from the first one on: numbers, toggles, contents, parity.
fn check(clip: Clip, packets: &[OwnedPacket]) {
    let mut next_id = 0;
    let mut cycle: Vec<&OwnedPacket> = Vec::new();
    let mut cycles = 0u8;
    let mut number = None;
    let mut toggle = false;
    for packet in packets {
        let [flags, ec, cycle_number, ..] = packet.asf[..] else {
            panic!("a packet of {} bytes", packet.asf.len());
        };
        assert_eq!(cycle_number, cycles, "the cycle");
        if fec::is_parity(&packet.asf) {
            assert_eq!((flags, usize::from(ec >> 4)), (0x92, cycle.len() + 1));
            assert_eq!(packet.id + 1, next_id, "the number of the packet before");
            let longest = cycle.iter().map(|p| p.asf.len()).max();
            assert_eq!(Some(packet.asf.len()), longest);
            let mut sum = vec![0; packet.asf.len() - 3];
            for packet in &cycle {
                fec::xor(&mut sum, &packet.asf[3..]);
            }
            assert_eq!(sum, &packet.asf[3..], "parity of cycle {cycles}");
            cycle.clear();
            cycles = cycles.wrapping_add(1);
            continue;
        }
        cycle.push(packet);
        assert_eq!((flags, usize::from(ec >> 4)), (0x82, cycle.len()));
        assert!(cycle.len() <= 10);
        assert_eq!(packet.id, next_id, "a gap");
        next_id += 1;
        assert!(packet.asf.len() < clip.packet_size, "its padding is gone");
        let parsed = asf::Packet::parse(&packet.asf, clip.packet_size as u32);
        assert_eq!(parsed.expect("a packet").padding(), 0);
        let packet_said = said(&packet.asf, clip.packet_size);
        let (this, expected) = on_timeline(clip, packet_said.send);
        assert_eq!(packet_said, expected);
        assert!(number.is_none_or(|before| this == before + 1), "{this}");
        if number.is_some() && this % clip.packets == 0 {
            assert_eq!(cycle.len(), 1, "the turn begins a cycle");
            toggle = !toggle;
        }
        assert_eq!(packet.toggle, toggle, "packet {this} of the timeline");
        number = Some(this);
    }
}

// MSB-01, MSB-04, MSB-06, MSB-07, MSB-09, MSB-11, MSB-12, MSB-13, MSB-14, MSB-16, MSB-17, MSB-22, MSB-24,
// MSB-25, MSB-26, MSB-27, MSB-29, MSB-32, MSB-33, MSB-43, NSC-33
#[test]
fn a_member_gets_the_file_again_and_again() {
    let group = "239.192.77.1:5001";
    let mut member = Member::here(group);
    let folder = folder("multicast-file");
    let server = start(config(&folder, &server(group, "")));
    let mut packets = Vec::new();
    while packets.len() < 130 {
        packets.push(member.packet());
    }
    check(BRIEF, &packets);
    assert!(packets.iter().any(|p| p.toggle), "the file was repeated");
    let counters = &server.metrics().casts()[0];
    assert!(counters.packets.get() >= 115 && counters.parity.get() >= 10);
    assert!(counters.bytes.get() > 100_000);
    assert_eq!(counters.errors.get(), 0);
    let text = server.metrics().exposition();
    let labels = "{point=\"brief\",protocol=\"msb\"}";
    for name in ["datagrams_total", "lateness_seconds_count"] {
        let sample = format!("ringcast_multicast_{name}{labels} ");
        assert!(text.contains(&sample), "{sample} is missing in\n{text}");
    }
    // Nobody asked to tell it: behind a translator of addresses it would be wrong.
    assert_eq!(station_of(http(&server), "/brief.nsc").adapter, None);
    // MSB-44: the end of the session completes its cycle.
    server.stop();
    let last = member.all().pop();
    if let Some(last) = last {
        let Ok(Datagram::Packet(last)) = classify(&last) else {
            panic!("not a packet at the end");
        };
        assert!(fec::is_parity(last.asf));
    }
}

// MSB-67
#[test]
fn viewers_of_the_same_point_see_nothing_of_it() {
    let group = "239.192.77.2:5002";
    let mut member = Member::here(group);
    let folder = folder("multicast-viewers");
    let server = start(config(&folder, &server(group, "")));
    member.packet();
    let (mut client, reply) = Client::ask(http(&server), &play("/brief", None, &[1, 2], ""));
    assert_eq!(reply.status, 200);
    for _ in 0..40 {
        let data = client.data();
        assert_eq!(data.payload[..3], [0x82, 0, 0]);
    }
    server.stop();
}

// MSB-35, MSB-37, NSC-01, NSC-05, NSC-07, NSC-12, NSC-20, NSC-21, NSC-22, NSC-23, NSC-24, NSC-26, NSC-28,
// NSC-34, NSC-43, WMLOG-41
#[test]
fn the_station_file_leads_to_the_group() {
    let group = "239.192.77.3:5003";
    let mut member = Member::here(group);
    let folder = folder("multicast-nsc");
    let more = "fec_span = 8\nnetwork_buffer = \"750ms\"\nlog_url = \"http://log.test/w.dll\"\n\
                publish_interface = true";
    let server = start(config(&folder, &server(group, more)));
    let at = http(&server);
    let (reply, body) = get(at, "/brief.nsc");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("Content-Type"), Some("video/x-ms-asf"));
    let caching = reply.header("Cache-Control").unwrap_or_default();
    assert!(caching.contains("no-cache"), "{caching}");
    assert!(body.is_ascii() && body.starts_with(b"[Address]\r\nName=02"));
    let station = station_of(at, "/brief.nsc");
    let own = "http://ringcast.test/brief";
    assert_eq!(station.name.as_deref(), Some("ringcast.test, brief"));
    assert_eq!(station.group, group.parse().expect("a group"));
    assert_eq!(station.ttl, Some(0));
    assert_eq!(station.default_ecc, Some(8));
    assert_eq!(station.adapter, Some(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(station.log_url.as_deref(), Some("http://log.test/w.dll"));
    assert_eq!(station.unicast_url.as_deref(), Some(own));
    assert_eq!(station.network_buffer_ms, Some(750));
    let packet = member.packet();
    assert_eq!(member.from.map(|from| from.ip()), station.adapter);
    let header = station.header(packet.format).expect("its header is listed");
    let served = asf::broadcast_blob(&BRIEF.head(), None).expect("a header");
    assert_eq!(*header, served);

    assert_eq!(get(at, "/plain.nsc").0.status, 404);
    assert_eq!(get(at, "/nobody.nsc").0.status, 404);
    // Playlists: the group first, then unicast.
    let refs = |path: &str| {
        let (_, body) = get(at, path);
        let text = String::from_utf8(body).expect("text").to_ascii_lowercase();
        let refs = text.match_indices("href=\"").map(|(i, m)| {
            let rest = &text[i + m.len()..];
            rest.split('"').next().unwrap_or_default().to_owned()
        });
        refs.collect::<Vec<String>>()
    };
    let announced = refs("/brief.asx");
    assert_eq!(announced[0], format!("{own}.nsc"));
    assert_eq!(announced[1], own);
    assert!(refs("/plain.asx").iter().all(|url| !url.contains(".nsc")));
    server.stop();
}

#[test]
fn the_station_file_of_a_guarded_point_is_guarded() {
    let folder = folder("multicast-guard");
    std::fs::write(
        folder.0.join("users.toml"),
        "[alice]\nrealm = \"r\"\nha1 = \"00112233445566778899aabbccddeeff\"\n",
    )
    .expect("users");
    let text = server("239.192.77.4:5004", "").replace(
        "[[point]]\nname = \"plain\"",
        "[point.auth]\nmethods = [\"digest\"]\nrealm = \"r\"\nusers = \"users.toml\"\n\
         [[point]]\nname = \"plain\"",
    );
    let server = start(config(&folder, &text));
    let (reply, body) = get(http(&server), "/brief.nsc");
    assert_eq!(reply.status, 401);
    assert!(!String::from_utf8_lossy(&body).contains("[Address]"));
    server.stop();
}

/// A point whose source does not come beacons, and has no station file yet.
#[test]
fn a_point_without_a_source_beacons_and_its_station_file_is_not_there() {
    let group = "239.192.77.5:5005";
    let mut member = Member::here(group);
    let folder = folder("multicast-silent");
    let text = server(group, "").replacen("source = \"brief.wmv\"", "source = \"push:\"", 1);
    let server = start(config(&folder, &text));
    assert_eq!(member.next(), b"MSB ");
    let (reply, _) = get(http(&server), "/brief.nsc");
    assert!((500..600).contains(&reply.status), "{}", reply.status);
    server.stop();
}

// MSB-02, MSB-35, NSC-21
#[test]
fn groups_of_ipv6_are_sent_to() {
    let group: SocketAddr = "[ff15::77]:5006".parse().expect("a group");
    let folder = folder("multicast-v6");
    let text = server(&group.to_string(), "").replace(
        "interface = \"127.0.0.1\"\nttl = 0",
        &format!("interface = \"{NEAR6}\"\nttl = 3\npublish_interface = true"),
    );
    let far = || Member::join(group, IpAddr::V6(FAR6), net::number_of("far0"));
    across_a_cable(far, |mut member| {
        // This side hears it too, unless that is switched off.
        let mut own = Member::join(group, IpAddr::V6(NEAR6), net::number_of("near0"));
        let server = start(config(&folder, &text));
        let first = member.packet();
        let mut id = first.id;
        for _ in 0..60 {
            let packet = member.packet();
            id += u32::from(!fec::is_parity(&packet.asf));
            assert_eq!(packet.id, id, "a gap");
        }
        assert_eq!(member.from.map(|from| from.ip()), Some(IpAddr::V6(NEAR6)));
        let station = station_of(http(&server), "/brief.nsc");
        assert_eq!(
            (station.group, station.adapter),
            (group, Some(IpAddr::V6(NEAR6)))
        );
        assert!(station.header(first.format).is_some());
        own.packet();
        server.stop();
    });
}

/// Sender and receiver in networks of their own. One packet of each cycle is lost on the way, and sometimes
/// the parity: a receiver that lost nothing and one that did give the same bytes.
// MSB-15, MSB-34, MSB-35, MSB-56, NSC-21
#[test]
fn what_is_lost_between_two_networks_is_repaired() {
    let group: SocketAddr = "239.192.77.7:5007".parse().expect("a group");
    let folder = folder("multicast-loss");
    let text = server(&group.to_string(), "publish_interface = true").replace(
        "interface = \"127.0.0.1\"\nttl = 0",
        &format!("interface = \"{NEAR4}\"\nttl = 7\nloopback = false"),
    );
    let far = || {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a raw socket");
        raw.set_recv_buffer_size(4 << 20).expect("an option");
        let SocketAddr::V4(v4) = group else { panic!() };
        raw.join_multicast_v4(v4.ip(), &FAR4).expect("joined");
        (Member::join(group, IpAddr::V4(FAR4), 0), raw)
    };
    across_a_cable(far, |(mut member, mut raw)| {
        let mut own = Member::join(group, IpAddr::V4(NEAR4), 0);
        let server = start(config(&folder, &text));
        let station = station_of(http(&server), "/brief.nsc");
        assert_eq!(station.adapter, Some(IpAddr::V4(NEAR4)));
        let mut whole = Hearer::new(&station);
        let mut lossy = Hearer::new(&station);
        let (mut place, mut cycles, mut lost) = (0, 0, 0);
        for _ in 0..200 {
            let datagram = member.next();
            assert_eq!(member.from.map(|from| from.ip()), station.adapter);
            whole.hear(&datagram);
            let Ok(Datagram::Packet(packet)) = classify(&datagram) else {
                lossy.hear(&datagram);
                continue;
            };
            let parity = fec::is_parity(packet.asf);
            // After two whole cycles: another place each time, or the parity.
            let drops = cycles >= 2
                && match parity {
                    true => cycles % 4 == 3,
                    false => cycles % 4 != 3 && place == cycles % 5,
                };
            place = if parity { 0 } else { place + 1 };
            cycles += usize::from(parity);
            match drops {
                true => lost += usize::from(!parity),
                false => lossy.hear(&datagram),
            }
        }
        whole.finish();
        lossy.finish();
        assert!(lost > 8, "{lost}");
        let tally = lossy.receiver.counts().packets;
        assert_eq!((tally.lost, tally.repaired), (0, lost as u64));
        assert_eq!(whole.receiver.counts().packets.repaired, 0);
        assert!(whole.packets.len() > 150);
        assert_eq!(lossy.packets, whole.packets);
        for packet in &whole.packets {
            let packet = said(packet, BRIEF.packet_size);
            assert_eq!(packet, on_timeline(BRIEF, packet.send).1);
        }
        // The IPv4 header as it came: time to live and source.
        let mut head = [0; 2000];
        let n = raw.read(&mut head).expect("a packet");
        assert!(n > 28, "{n} bytes");
        assert_eq!((head[0] >> 4, head[8]), (4, 7), "version and time to live");
        assert_eq!(head[12..16], NEAR4.octets());
        assert_eq!(own.all().len(), 0, "loopback is off");
        server.stop();
    });
}

/// An announcement at the start, and its deletion at the end.
#[test]
fn groups_are_announced_and_taken_back() {
    let (group, far_group) = ("239.195.77.8:5008", "239.195.255.255:9875");
    let folder = folder("multicast-sap");
    let text = server(group, "sap = true")
        .replace("cores = 2", "cores = 2\nname = \"media.test\"")
        .replace(
            "interface = \"127.0.0.1\"\nttl = 0",
            &format!("interface = \"{NEAR4}\"\nttl = 4"),
        );
    let far = || Member::join(far_group.parse().expect("a group"), IpAddr::V4(FAR4), 0);
    across_a_cable(far, |mut directory| {
        let server = start(config(&folder, &text));
        let said = Announcement::parse(&directory.next()).expect("an announcement");
        assert_eq!((said.origin, said.is_deletion), (IpAddr::V4(NEAR4), false));
        for line in ["c=IN IP4 239.195.77.8/4", "m=application 5008 "] {
            assert!(
                said.sdp.contains(line),
                "{line} is missing in\n{}",
                said.sdp
            );
        }
        let url = said.sdp.lines().find_map(|line| line.strip_prefix("u="));
        assert!(url.is_some_and(
            |url| url.starts_with("http://media.test:") && url.ends_with("/brief.nsc")
        ));
        let count = || server.metrics().casts()[0].announcements.get();
        until("it is counted", || count() == 1);
        server.stop();
        let gone = Announcement::parse(&directory.next()).expect("a deletion");
        assert!(gone.is_deletion);
        assert_eq!((gone.hash, gone.origin), (said.hash, said.origin));
    });
}

/// What is wrong with a group is said before the start, and does not prevent it.
#[test]
fn a_group_that_cannot_be_sent_to_is_told_at_the_start() {
    let folder = folder("multicast-startup");
    let thick = Clip {
        packet_size: 3000,
        ..BRIEF
    };
    std::fs::write(folder.0.join("thick.wmv"), thick.bytes()).expect("a clip");
    let findings = |group: &str, interface: &str, file: &str| -> Vec<String> {
        let text = server(group, "")
            .replace("interface = \"127.0.0.1\"", interface)
            .replacen("brief.wmv", file, 1);
        let report = startup::check(&config(&folder, &text), Scope::LOOK);
        assert_eq!(report.fatal().map(ToString::to_string), None);
        let of_groups = report.findings.iter().map(ToString::to_string);
        of_groups.filter(|f| f.contains("\"brief\"")).collect()
    };
    across_a_cable(
        || (),
        |()| {
            let here = format!("interface = \"{NEAR4}\"");
            let group = "239.192.77.9:5009";
            assert_eq!(findings(group, &here, "brief.wmv"), [] as [&str; 0]);
            let nowhere = findings(group, "interface = \"192.0.2.77\"", "brief.wmv");
            assert!(
                nowhere[0].contains("192.0.2.77 is no address of this machine"),
                "{nowhere:?}"
            );
            let routeless = findings(group, "", "brief.wmv");
            assert!(routeless[0].contains("no route leads to"), "{routeless:?}");
            // 1500 - 20 - 8 - 8.
            let thick = findings(group, &here, "thick.wmv");
            assert!(
                thick[0].contains("3000") && thick[0].contains("1464"),
                "{thick:?}"
            );
        },
    );
}

/// A receiver, and the packets that it gave.
struct Hearer {
    receiver: Receiver,
    now: Time,
    packets: Vec<Vec<u8>>,
}

impl Hearer {
    fn new(station: &Station) -> Hearer {
        let config = ReceiverConfig {
            send_log: false,
            ..ReceiverConfig::new(station.clone(), 1)
        };
        let mut hearer = Hearer {
            receiver: Receiver::new(config),
            now: Time(1_000_000),
            packets: Vec::new(),
        };
        hearer.drain();
        hearer
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.now = Time(self.now.micros() + 1000);
        let peer = SocketAddr::new(IpAddr::V4(NEAR4), 1);
        let channel = Channel(0);
        let input = Input::Datagram {
            channel,
            peer,
            bytes,
        };
        self.receiver.handle(self.now, input);
        self.drain();
    }

    fn finish(&mut self) {
        self.receiver.finish(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.receiver.poll(self.now) {
                Output::Idle(_) => return,
                Output::Ingest(ingest) => match ingest.event {
                    IngestEvent::Packet { bytes, .. } => self.packets.push(bytes.to_vec()),
                    IngestEvent::Failed(fault) => panic!("{fault:?}"),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

// NSC-23, WMLOG-38, WMLOG-41
#[test]
fn players_are_sent_to_the_server_s_own_log_sink() {
    let folder = folder("multicast-sink");
    let server = start(config(&folder, &server("239.192.77.12:5012", "")));
    let at = http(&server);
    let station = station_of(at, "/brief.nsc");
    let url = station.log_url.expect("a log URL");
    assert_eq!(url, "http://ringcast.test/wmsiislog.dll");
    let (reply, page) = get(at, url.trim_start_matches("http://ringcast.test"));
    assert_eq!(reply.status, 200);
    let page = String::from_utf8(page).expect("text");
    assert!(protocols::wmlog::web::is_log_resource(&page), "{page}");
    server.stop();
}
