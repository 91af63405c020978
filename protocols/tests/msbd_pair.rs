//! Client and server machine of MSBD against each other.

mod asf_build;
mod pair_world;

use bytes::Bytes;
use pair_world::*;
use protocols::asf;
use protocols::machine::Channel;
use protocols::media::{Caster as _, IngestEvent, PacketMeta};
use protocols::msbd::caster::Caster;
use protocols::msbd::client::{Client, ClientConfig};
use protocols::msbd::server::{Config, Port, Server};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);
const GROUP: &str = "239.192.1.2:17000";

type Pair = World<Client, Server>;

fn server(group: bool) -> Config {
    Config::new(vec![Port {
        port: 7007,
        path: "/live".into(),
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        group: group.then(|| GROUP.parse().unwrap()),
        announced: group,
        switch_eos: true,
    }])
}

/// A clip whose packets have their padding, as they come where it is kept.
fn padded(mut clip: Clip) -> Clip {
    for packet in &mut clip.packets {
        let mut whole = Vec::new();
        asf::trim::pad(&packet.bytes, PACKET_SIZE, &mut whole).unwrap();
        packet.bytes = whole;
    }
    clip
}

/// Two entries of half a minute.
fn clips() -> [(&'static str, Clip); 2] {
    let clip = |seed| padded(Clip::new(300, seed));
    [("/live", clip(1).then("/more")), ("/more", clip(2))]
}

fn pair(client: ClientConfig, server: Config, net: Net) -> Pair {
    let client = Client::new(client).unwrap();
    World::of(client, Server::new(server), 7007, net, &clips())
}

fn client() -> ClientConfig {
    ClientConfig::new("msbd://server")
}

fn net(delay_ms: u64, split: usize) -> Net {
    Net {
        delay: delay_ms as u32 * MS,
        split,
        ..LAN
    }
}

/// Headers, ends of entries and ends, in their order.
fn course(world: &Pair) -> Vec<&IngestEvent> {
    let events = world.events.iter();
    let course = events.filter(|e| !matches!(e, IngestEvent::Packet { .. }));
    course.collect()
}

fn whole_course() -> Vec<IngestEvent> {
    let [(_, first), (_, second)] = clips();
    vec![
        IngestEvent::Header(first.header),
        IngestEvent::EntryEnd,
        IngestEvent::Header(second.header),
        IngestEvent::End(0),
    ]
}

// MSBD-36, MSBD-37, MSBD-38, MSBD-41, MSBD-44, MSBD-52, MSBD-59
#[test]
fn everything_arrives_on_the_connection() {
    for (delay, split) in [(1, usize::MAX), (80, 1), (200, 37)] {
        let mut world = pair(client(), server(false), net(delay, split));
        world.run(3 * MINUTE);
        assert!(world.client.is_done());
        assert_eq!(course(&world), whole_course().iter().collect::<Vec<_>>());
        let packets = world.packets();
        let numbers: Vec<u32> = packets.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, (0..600).collect::<Vec<u32>>());
        let sent = world.sent_packets();
        let payloads = packets.iter().zip(&sent).map(|(a, b)| (&a.1, &b.1));
        assert!(payloads.clone().all(|(got, sent)| got == sent));
        assert!(packets.iter().all(|(_, p)| p.len() == PACKET_SIZE as usize));
        assert_eq!((world.held(), world.server.connection_count()), (0, 0));
        assert_eq!(world.connections, 1);
    }
}

// MSBD-55, MSBD-56: pings between packets, for ten minutes
#[test]
fn pings_do_not_disturb_the_media() {
    let clips = [("/live", padded(Clip::new(6000, 1)))];
    let client = Client::new(client()).unwrap();
    let mut world = World::of(
        client,
        Server::new(server(false)),
        7007,
        net(150, 1000),
        &clips,
    );
    world.run(11 * MINUTE);
    assert!(world.client.is_done());
    assert_eq!(world.failure(), None);
    assert_eq!(world.packets().len(), 6000);
    // REQ_CONNECT, and an answer every two minutes.
    assert_eq!(world.writes, 1 + 4);
}

/// Sends what is sent to the group as the engine does, and delivers it to the client.
struct Group {
    caster: Caster,
    path: &'static str,
    entry: u32,
    sent: usize,
    /// Every one of so many datagrams is lost; 0: none.
    loses: usize,
    count: usize,
}

impl Group {
    fn new(loses: usize) -> Group {
        Group {
            caster: Caster::new(),
            path: "",
            entry: 0,
            sent: 0,
            loses,
            count: 0,
        }
    }

    fn cast(&mut self, world: &mut Pair) {
        let mut datagrams: Vec<Bytes> = Vec::new();
        let mut sink = |bytes: &[u8]| datagrams.push(Bytes::copy_from_slice(bytes));
        for &(path, number) in &world.sent[self.sent..] {
            let clip = &world.clips[path];
            if path != self.path {
                self.path = path;
                self.entry += 1;
                self.caster.entry(self.entry, &clip.header, &mut sink);
            }
            let packet = &clip.packets[number as usize];
            let meta = PacketMeta {
                number,
                send_time: packet.send_time,
                duration: STEP as u16,
                key: packet.key,
                len: packet.bytes.len() as u32,
            };
            self.caster.packet(&meta, &packet.bytes, &mut sink);
        }
        self.sent = world.sent.len();
        for bytes in datagrams {
            self.count += 1;
            if self.loses == 0 || !self.count.is_multiple_of(self.loses) {
                world.group_datagram(&bytes);
            }
        }
    }
}

// MSBD-32, MSBD-39, MSBD-40, MSBD-42
#[test]
fn everything_arrives_from_the_group() {
    for loses in [0, 10] {
        let config = ClientConfig {
            multicast: true,
            socket: Channel(2),
            ..client()
        };
        // The datagrams are faster than the connection, which is where entries are told.
        let mut world = pair(config, server(true), net(200, usize::MAX));
        let mut group = Group::new(loses);
        while !world.client.is_done() && world.now.millis() < 77_000 + 180_000 {
            world.run_for(10 * MS);
            group.cast(&mut world);
        }
        assert!(world.client.is_done());
        assert_eq!(world.joined, [(Channel(2), GROUP.parse().unwrap())]);
        assert_eq!(course(&world), whole_course().iter().collect::<Vec<_>>());
        let transfer = world.client.transfer();
        assert!(transfer.udp);
        assert_eq!(world.client.dropped(), 0);
        let packets = world.packets();
        // What comes before the client has joined is lost.
        let first = packets[0].0;
        assert!(first <= 4, "{first}");
        let lost = 600usize.checked_div(loses).unwrap_or(0);
        assert_eq!(packets.len(), 600 - first as usize - lost);
        let sent = world.sent_packets();
        for (number, bytes) in &packets {
            assert_eq!(*bytes, sent[*number as usize].1);
        }
        world.run_for(200 * MS);
        assert_eq!((world.held(), world.server.connection_count()), (0, 0));
    }
}

// MSBD-48: the server sends to no group
#[test]
fn the_connection_stands_in_for_the_group() {
    let config = ClientConfig {
        multicast: true,
        ..client()
    };
    let mut world = pair(config, server(false), LAN);
    world.run(3 * MINUTE);
    assert_eq!(world.connections, 2);
    assert!(world.joined.is_empty());
    assert_eq!(world.packets().len(), 600);
    assert_eq!(world.refused.len(), 1);
}

#[test]
fn broken_connections_are_told() {
    let mut world = pair(client(), server(false), LAN);
    world.run_for(5 * Duration::from_secs(1));
    world.break_connections();
    world.run(MINUTE);
    assert_eq!(world.failure(), Some("connection closed before IND_EOS"));
    assert!(world.client.is_done());
    assert_eq!(world.held(), 0);
}
