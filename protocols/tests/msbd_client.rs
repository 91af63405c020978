//! The client machine of MSBD against a scripted server.

mod asf_build;
mod msbd_support;

use msbd_support::*;
use protocols::client::REASON_CLOSED;
use protocols::machine::*;
use protocols::media::IngestEvent;
use protocols::msbd::client::{Client, ClientConfig, UrlFault};
use protocols::msbd::wire::channel_bytes;
use std::net::SocketAddr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What the machine did.
#[derive(Debug, PartialEq)]
enum Did {
    Connect(String, u16),
    Send(Vec<u8>),
    Close(CloseHow),
    Join(SocketAddr),
    Header,
    Packet(u32, usize),
    EntryEnd,
    End(u32),
    Failed(u64, String),
}

struct Script {
    client: Client,
    now: Time,
    conn: Option<ConnId>,
    wake: Option<Time>,
}

impl Script {
    fn new(config: ClientConfig) -> Script {
        Script {
            client: Client::new(config).expect("a URL"),
            now: Time(5_000_000),
            conn: None,
            wake: None,
        }
    }

    /// Connected, with REQ_CONNECT sent.
    fn asked(config: ClientConfig) -> Script {
        let mut script = Script::new(config);
        script.drain();
        script.opened();
        script
    }

    /// What has been done since.
    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        loop {
            did.push(match self.client.poll(self.now) {
                Output::Connect { conn, host, port } => {
                    assert!(self.conn.replace(conn).is_none(), "one at a time");
                    Did::Connect(host, port)
                }
                Output::Send { conn, bytes } => {
                    assert_eq!(Some(conn), self.conn);
                    Did::Send(bytes.to_vec())
                }
                Output::Close { conn, how, .. } => {
                    assert_eq!(self.conn.take(), Some(conn));
                    Did::Close(how)
                }
                Output::Join { channel, group } => {
                    assert_eq!(channel, Channel(3));
                    Did::Join(group)
                }
                Output::Ingest(ingest) => match ingest.event {
                    IngestEvent::Header(header) => {
                        assert_eq!(header, s1());
                        Did::Header
                    }
                    IngestEvent::Packet { number, bytes } => Did::Packet(number, bytes.len()),
                    IngestEvent::EntryEnd => Did::EntryEnd,
                    IngestEvent::End(reason) => Did::End(reason),
                    IngestEvent::Failed(fault) => Did::Failed(fault.offset, fault.reason),
                    other => panic!("{other:?}"),
                },
                Output::Idle(wake) => {
                    self.wake = wake;
                    return did;
                }
                other => panic!("{other:?}"),
            });
        }
    }

    fn opened(&mut self) -> Vec<Did> {
        let conn = self.conn.expect("a connection");
        let end: SocketAddr = "192.0.2.1:7007".parse().unwrap();
        let (peer, local) = (end, end);
        let opened = Input::Opened { conn, peer, local };
        self.client.handle(self.now, opened);
        self.drain()
    }

    fn data(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Did> {
        let conn = self.conn.expect("a connection");
        let bytes = bytes.as_ref();
        self.client.handle(self.now, Input::Data { conn, bytes });
        self.drain()
    }

    fn datagram(&mut self, bytes: &[u8]) -> Vec<Did> {
        let input = Input::Datagram {
            channel: Channel(3),
            peer: "192.0.2.1:9".parse().unwrap(),
            bytes,
        };
        self.client.handle(self.now, input);
        self.drain()
    }

    fn closed(&mut self) -> Vec<Did> {
        let conn = self.conn.take().expect("a connection");
        self.client.handle(self.now, Input::Closed { conn });
        self.drain()
    }

    fn sleep(&mut self, time: Duration) -> Vec<Did> {
        let end = self.now + time;
        let mut did = Vec::new();
        while let Some(wake) = self.wake.filter(|w| *w <= end) {
            self.now = wake.max(self.now);
            self.client.handle(self.now, Input::Timeout);
            did.extend(self.drain());
            assert!(self.wake != Some(wake), "a deadline that does not go away");
        }
        self.now = end;
        did
    }
}

fn tcp() -> ClientConfig {
    ClientConfig::new("msbd://origin")
}

fn multicast() -> ClientConfig {
    ClientConfig {
        multicast: true,
        socket: Channel(3),
        ..tcp()
    }
}

fn group() -> Did {
    Did::Join(GROUP.parse().unwrap())
}

/// RES_CONNECT and the stream's description came.
fn receiving(config: ClientConfig) -> Script {
    let reply = if config.multicast { 4 } else { 3 };
    let mut script = Script::asked(config);
    let did = script.data([example(reply), info(1)].concat());
    assert_eq!(did.last(), Some(&Did::Header));
    script
}

fn failed(did: &[Did]) -> (u64, &str) {
    match did {
        [Did::Failed(offset, reason), Did::Close(CloseHow::Abort)] => (*offset, reason),
        [Did::Failed(offset, reason)] => (*offset, reason),
        other => panic!("{other:?}"),
    }
}

// MSBD-01, MSBD-10, MSBD-13, MSBD-27, MSBD-28, MSBD-57, MSBD-59, MSBD-65: example 16
#[test]
fn a_whole_session_in_any_split() {
    for split in [1, 7, 666] {
        let mut script = Script::new(tcp());
        assert_eq!(script.drain(), [Did::Connect("origin".into(), 7007)]);
        assert_eq!(script.opened(), [Did::Send(example(1))]);
        let server = example(16);
        let parts = server.chunks(split);
        let did: Vec<Did> = parts.flat_map(|part| script.data(part)).collect();
        let expected = [
            Did::Header,
            Did::Packet(0, 64),
            Did::Packet(1, 64),
            Did::Send(example(9)),
            Did::End(0),
            Did::Close(CloseHow::Flush),
        ];
        assert_eq!(did, expected);
        assert!(script.client.is_done());
        assert_eq!(script.client.transfer().received, 2);
        assert_eq!(script.sleep(1000 * SECOND), []);
    }
}

// MSBD-63, MSBD-65: example 17, and without IND_EOS
#[test]
fn entries_follow_each_other_in_both_forms() {
    let eos = example(17);
    let bare = [&eos[..498], &eos[514..]].concat();
    for bytes in [eos, bare] {
        let mut script = Script::asked(tcp());
        let did = script.data(bytes);
        let expected = [
            Did::Header,
            Did::Packet(0, 64),
            Did::EntryEnd,
            Did::Header,
            Did::Packet(1, 64),
            Did::End(0),
            Did::Close(CloseHow::Flush),
        ];
        assert_eq!(did, expected);
    }
}

// msbd.md 3.4: IND_EOS alone changes nothing
#[test]
fn the_end_is_told_when_it_is_known() {
    let mut script = receiving(tcp());
    assert_eq!(script.data(example(10)), []);
    // The same number again is another entry all the same.
    assert_eq!(script.data(info(1)), [Did::EntryEnd, Did::Header]);
    // Without an end it is not.
    assert_eq!(script.data(info(1)), []);
    assert_eq!(script.data(example(11)), [], "msbd.md 3.6");
    assert_eq!(script.data(example(14)), [Did::Packet(0, 64)]);
    script.data(example(10));
    assert_eq!(script.closed(), [Did::End(REASON_CLOSED)]);
    assert!(script.client.is_done());
}

// MSBD-58, MSBD-62, MSBD-64
#[test]
fn streams_that_are_late_are_waited_for() {
    let mut script = Script::asked(tcp());
    assert_eq!(script.data(example(3)), []);
    assert_eq!(script.sleep(299 * SECOND), []);
    let mut garbage = example(11);
    garbage[16..].fill(0xFF);
    assert_eq!(script.data(garbage), []);
    assert!(script.client.is_waiting());
    assert_eq!(script.sleep(299 * SECOND), []);
    assert_eq!(script.data(info(0x87FF)), [Did::Header]);
    assert_eq!(script.data(packet(9, 0x87FF)), [Did::Packet(9, 64)]);
    // Then there is nobody.
    let did = script.sleep(300 * SECOND);
    assert_eq!(failed(&did).1, "nothing came in 300 s");
}

#[test]
fn who_waited_for_nothing_is_told_so() {
    let mut script = Script::asked(tcp());
    script.data([example(3), example(11)].concat());
    script.client.finish(script.now);
    let none = Did::End(0xC00D_0033);
    assert_eq!(script.drain(), [none, Did::Close(CloseHow::Flush)]);
    assert!(script.client.is_done());
}

#[test]
fn clients_can_stay_for_the_next_stream() {
    let mut script = receiving(ClientConfig {
        stay: true,
        ..tcp()
    });
    let end = [example(10), example(11)].concat();
    assert_eq!(script.data(end), [Did::End(0)]);
    assert!(script.client.is_waiting());
    assert_eq!(script.data(example(8)), [Did::Send(example(9))]);
    assert_eq!(script.data(info(2)), [Did::Header]);
    assert_eq!(script.data(packet(5, 2)), [Did::Packet(5, 64)]);
    script.client.finish(script.now);
    assert_eq!(script.drain(), [Did::Close(CloseHow::Flush)]);
    assert!(script.client.is_done());
}

// MSBD-32, MSBD-34, MSBD-65: examples 2, 4 and 18
#[test]
fn media_comes_to_the_group() {
    let mut script = Script::new(multicast());
    script.drain();
    assert_eq!(script.opened(), [Did::Send(example(2))]);
    assert_eq!(script.datagram(&example(18)), [], "not before it is joined");
    let reply = with(example(4), 28, &[0xAA; 8]);
    assert_eq!(script.data(reply), [group()]);
    // It is faster than the description.
    assert_eq!(script.datagram(&packet(6, 1)), []);
    assert_eq!(script.data(info(1)), [Did::Header, Did::Packet(6, 64)]);
    assert_eq!(script.datagram(&packet(7, 1)), [Did::Packet(7, 64)]);
    // Lost, doubled, late.
    assert_eq!(script.datagram(&packet(9, 1)), [Did::Packet(9, 64)]);
    assert_eq!(script.datagram(&packet(9, 1)), []);
    assert_eq!(script.datagram(&packet(8, 1)), []);
    // Parity, nothing, and no packets.
    assert_eq!(script.datagram(&with(packet(9, 1), 24, &[0x92])), []);
    let empty = with(with(packet(10, 1), 8, &[24]), 22, &[8]);
    assert_eq!(script.datagram(&empty[..24]), []);
    assert_eq!(script.datagram(b"MSB "), []);
    assert_eq!(script.datagram(&example(10)), []);
    // MSBD-66
    assert_eq!(script.datagram(&with(packet(10, 1), 22, &[0x49])), []);
    // And none on the connection.
    assert_eq!(script.data(packet(10, 1)), []);
    let transfer = script.client.transfer();
    assert_eq!((transfer.udp, transfer.received), (true, 3));
    assert_eq!((transfer.lost, transfer.duplicates), (1, 2));
    assert_eq!(script.client.dropped(), 6);
}

// msbd.md 3.2
#[test]
fn packets_that_are_too_early_are_kept_for_a_while() {
    let mut script = receiving(multicast());
    for id in 0..70 {
        assert_eq!(script.datagram(&packet(id, 2)), []);
    }
    // Of the old stream they come all the while.
    assert_eq!(script.datagram(&packet(0, 1)), [Did::Packet(0, 64)]);
    script.data(example(10));
    assert_eq!(script.datagram(&packet(1, 1)), [Did::Packet(1, 64)]);
    script.sleep(499 * MS);
    let did = script.data(info(2));
    assert_eq!(did[..2], [Did::EntryEnd, Did::Header]);
    let numbers: Vec<Did> = (6..70).map(|id| Did::Packet(id, 64)).collect();
    assert_eq!(did[2..], numbers);
    // Then no longer.
    assert_eq!(script.datagram(&packet(71, 1)), []);
    script.sleep(250 * MS);
    assert_eq!(script.datagram(&packet(72, 3)), []);
    script.sleep(250 * MS);
    assert_eq!(script.data(info(1)), [Did::EntryEnd, Did::Header]);
    assert_eq!(script.client.dropped(), 7);
    assert_eq!(
        script.data(info(3)),
        [Did::EntryEnd, Did::Header, Did::Packet(72, 64)]
    );
}

// MSBD-48, MSBD-65: examples 5 and 6
#[test]
fn without_a_group_media_comes_on_the_connection() {
    for n in [5, 6] {
        let mut script = Script::asked(multicast());
        let did = script.data([example(n), example(8)].concat());
        let again = Did::Connect("origin".into(), 7007);
        assert_eq!(did, [Did::Close(CloseHow::Flush), again]);
        assert_eq!(script.opened(), [Did::Send(example(1))]);
        assert_eq!(script.data([example(3), info(1)].concat()), [Did::Header]);
        assert_eq!(script.data(example(14)), [Did::Packet(0, 64)]);
        assert!(!script.client.transfer().udp);
        assert_eq!(script.datagram(&packet(1, 1)), [], "nothing was joined");
    }
}

// MSBD-02
#[test]
fn servers_are_of_ipv4() {
    let mut script = Script::new(ClientConfig::new("msbd://[2001:db8::1]"));
    script.drain();
    let conn = script.conn.unwrap();
    let end: SocketAddr = "[2001:db8::1]:7007".parse().unwrap();
    let (peer, local) = (end, end);
    let opened = Input::Opened { conn, peer, local };
    script.client.handle(script.now, opened);
    let did = script.drain();
    assert!(failed(&did).1.contains("IPv4"), "{did:?}");
}

#[test]
fn refusals_and_impossible_groups_are_told() {
    let mut script = Script::asked(tcp());
    let did = script.data(example(5));
    assert_eq!(failed(&did), (0, "refused with C00D001A"));
    assert!(script.client.is_done());
    for (at, bytes) in [(20, &[0, 0][..]), (22, &[0, 0]), (24, &[10, 0, 0, 1])] {
        let mut script = Script::asked(multicast());
        let did = script.data(with(example(4), at, bytes));
        assert!(failed(&did).1.ends_with("as multicast group"), "{did:?}");
    }
}

// MSBD-60, MSBD-66
#[test]
fn faults_end_the_session_with_their_place() {
    let after_reply = |bytes: Vec<u8>| {
        let mut script = Script::asked(tcp());
        script.data(example(3));
        let did = script.data(bytes);
        assert!(script.client.is_done());
        let (offset, reason) = failed(&did);
        (offset - 36, reason.to_owned())
    };
    let huge = with(example(12), 32, &[0xFF; 4]);
    assert_eq!(after_reply(huge).0, 48);
    assert_eq!(after_reply(example(9)).0, 6);
    assert_eq!(after_reply(example(3)).1, "a second RES_CONNECT");
    assert_eq!(after_reply([example(10), vec![0; 16]].concat()).0, 16);
    // What is described must be ASF.
    let (offset, reason) = after_reply(with(example(12), 48, &[0]));
    assert_eq!(offset, 0);
    assert!(!reason.is_empty());
    let cut = with(with(example(12), 8, &[0x00, 0x01]), 44, &[0xD0, 0]);
    let (_, reason) = after_reply(cut[..256].to_vec());
    assert_eq!(reason, "208 of the 276 bytes of the ASF header");
    let mut script = Script::asked(tcp());
    let did = script.data(example(14));
    assert_eq!(failed(&did), (0, "media before RES_CONNECT"));
    // A wrong length of a packet: close.
    let mut script = receiving(tcp());
    let did = script.data(with(example(14), 22, &[0x49]));
    assert_eq!(failed(&did).0, 36 + 374 + 22);
}

// MSBD-66: unknown messages are passed over; on TCP so are packets of unknown streams
#[test]
fn what_is_not_known_is_passed_over() {
    let mut script = receiving(tcp());
    let mut unknown = with(example(1), 6, &[6])[..20].to_vec();
    unknown[8] = 20;
    let bytes = [unknown, packet(3, 9), example(13), packet(4, 1)].concat();
    assert_eq!(script.data(bytes), [Did::Packet(4, 64)]);
    assert_eq!(script.client.dropped(), 1);
    assert_eq!(script.client.oddities().unknown, 1);
}

// MSBD-25, msbd.md 5.1: senders that count the 50 bytes differently
#[test]
fn headers_are_made_whole() {
    let whole = s1();
    let longer = [&whole[..], &[7; 30]].concat();
    let mut script = Script::asked(tcp());
    script.data(example(3));
    assert_eq!(script.data(described(&longer)), [Did::Header]);
    // The Header Object alone: the rest is nothing but names and zeros.
    let mut script = Script::asked(tcp());
    script.data(example(3));
    let conn = script.conn.unwrap();
    let bytes = &described(&whole[..276]);
    script
        .client
        .handle(script.now, Input::Data { conn, bytes });
    let Output::Ingest(ingest) = script.client.poll(script.now) else {
        panic!("a header")
    };
    let IngestEvent::Header(header) = ingest.event else {
        panic!("{ingest:?}")
    };
    let mut made = whole.clone();
    made[300..316].fill(0);
    assert_eq!(header, made);
}

#[test]
fn connections_that_end_or_do_not_begin_are_told() {
    let mut script = Script::new(ClientConfig::new("msbd://[::1]:7008"));
    assert_eq!(script.drain(), [Did::Connect("::1".into(), 7008)]);
    let did = script.closed();
    assert_eq!(failed(&did), (0, "no connection to [::1]:7008"));
    let mut script = Script::new(tcp());
    script.drain();
    let did = script.sleep(30 * SECOND);
    assert_eq!(failed(&did).1, "no connection in 30 s");
    let mut script = Script::asked(tcp());
    let did = script.sleep(30 * SECOND);
    assert_eq!(failed(&did).1, "no RES_CONNECT in 30 s");
    let mut script = Script::asked(tcp());
    let did = script.closed();
    assert_eq!(failed(&did), (0, "connection closed before RES_CONNECT"));
    let mut script = receiving(tcp());
    let did = script.closed();
    assert_eq!(failed(&did), (410, "connection closed before IND_EOS"));
    assert_eq!(script.client.poll(script.now + SECOND).idle(), None);
}

trait Idle {
    fn idle(self) -> Option<Time>;
}

impl Idle for Output {
    fn idle(self) -> Option<Time> {
        match self {
            Output::Idle(until) => until,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn other_channels_can_be_asked_for() {
    let mut script = Script::new(ClientConfig {
        channel: "point".into(),
        ..tcp()
    });
    script.drain();
    let request = with(example(1), 8, &[30])[..20].to_vec();
    let request = [request, channel_bytes("point")].concat();
    assert_eq!(script.opened(), [Did::Send(request)]);
    let mut script = Script::new(ClientConfig {
        channel: "x".repeat(40_000),
        ..tcp()
    });
    script.drain();
    let did = script.opened();
    assert_eq!(failed(&did).1, "the channel's name is too long");
    assert_eq!(
        Client::new(ClientConfig::new("http://origin")).err(),
        Some(UrlFault::Scheme)
    );
}
