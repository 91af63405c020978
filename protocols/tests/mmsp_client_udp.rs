//! The client of MMSP and its datagrams: header, order, requests to send again.

mod asf_build;
mod mmsp_rig;

use mmsp_rig::*;
use proptest::prelude::*;
use protocols::machine::ClientLog;
use protocols::media::IngestEvent;
use protocols::mmsp::client::{ClientConfig, Transfer};
use protocols::mmsp::message::*;
use protocols::wmlog::{self, Field};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn udp() -> ClientConfig {
    config("mmsu://h/a.wmv")
}

fn asked(rig: &mut Rig) -> Vec<Vec<u32>> {
    let requests = std::mem::take(&mut rig.requests);
    let ids = |r: &ResendRequest| assert_eq!((r.client_id, r.source_id), (CLIENT_ID, 1));
    requests.iter().for_each(ids);
    requests.into_iter().map(|r| r.sequences).collect()
}

// MMSP-63
#[test]
fn a_header_comes_in_any_order() {
    let mut rig = Rig::new(udp());
    rig.open_up_to_file("9.1");
    rig.say(ToClient::ReportOpenFile(opened()));
    rig.sent();
    let header = header();
    let pieces: Vec<_> = protocols::mmsp::wire::fragments(&header, 100, 1).collect();
    assert!(pieces.len() > 3);
    for (head, payload) in pieces.iter().rev() {
        assert_eq!(rig.sent(), []);
        rig.data(*head, payload, true);
        rig.data(*head, payload, true);
    }
    assert_eq!(rig.sent().len(), 2, "StreamSwitch and StartPlaying");
    assert!(rig.events.contains(&IngestEvent::Header(header.into())));
}

// MMSP-64
#[test]
fn a_header_that_does_not_come_is_asked_for_again() {
    let mut rig = Rig::new(udp());
    rig.open_up_to_file("9.1");
    let report = ReportOpenFile {
        header_size: 3000,
        bit_rate: 24_000,
        ..opened()
    };
    rig.say(ToClient::ReportOpenFile(report));
    for inc in 1..=5 {
        let read = ToServer::ReadBlock {
            open_file_id: 1,
            play_incarnation: inc,
        };
        let mut sent = rig.sent();
        assert_eq!(sent.pop(), Some(read));
        if inc > 1 {
            let cancel = ToServer::CancelReadBlock {
                play_incarnation: inc - 1,
            };
            assert_eq!(sent, [cancel]);
        }
        rig.say(ToClient::ReportReadBlock {
            hr: 0,
            play_incarnation: inc,
        });
        // What is left of the one before is of no use.
        rig.data(DataHead::of(0, inc as u8 - 1, 0x0C, 5), b"trash", true);
        // A second, and 24,000 bits at 24,000 bit/s.
        assert_eq!(rig.wait(), Duration::from_secs(2));
    }
    assert_eq!(
        rig.failure(),
        Some("no header in datagrams after 5 requests")
    );

    // Bounds: an unknown rate, and one that would take for ever.
    for (bit_rate, seconds) in [(0, 1), (1, 30)] {
        let mut rig = Rig::new(udp());
        rig.open_up_to_file("9.1");
        rig.say(ToClient::ReportOpenFile(ReportOpenFile {
            bit_rate,
            ..opened()
        }));
        assert_eq!(rig.wait().as_secs(), seconds);
        rig.read_block_again();
        assert_eq!(rig.failure(), None);
    }
}

impl Rig {
    /// The second ReadBlock is out: let its header come.
    fn read_block_again(&mut self) {
        self.sent();
        self.header(2, true);
        assert_eq!(self.sent().len(), 2, "StreamSwitch and StartPlaying");
    }
}

#[test]
fn only_the_server_is_listened_to() {
    let (mut rig, inc) = playing(udp());
    let payload = media(0);
    let mut bytes = DataHead::of(0, inc as u8, 0, payload.len())
        .bytes()
        .to_vec();
    bytes.extend(&payload);
    rig.datagram("192.0.2.2:1755", &bytes);
    rig.datagram("[2001:db8::1]:1755", &bytes);
    assert_eq!(rig.numbers(), []);
    // From any of its ports, however its address is written.
    rig.datagram("[::ffff:192.0.2.1]:9", &bytes);
    assert_eq!(rig.numbers(), [0]);
    // Rubbish does no harm.
    rig.datagram(SERVER, &[]);
    rig.datagram(SERVER, &bytes[..20]);
    assert_eq!(rig.failure(), None);
}

// MMSP-100
#[test]
fn what_is_missing_is_asked_for_in_bounded_batches() {
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.media(inc, 41, 41, true);
    assert_eq!(rig.numbers(), [0]);
    rig.pass(9 * MS);
    assert_eq!(asked(&mut rig), [[0u32; 0]; 0], "it may only be late");
    // Late, but there.
    rig.media(inc, 5, 5, true);
    rig.pass(MS);
    let wanted: Vec<u32> = (1..41).filter(|n| *n != 5).collect();
    assert_eq!(asked(&mut rig), [&wanted[..32], &wanted[32..]]);
    for n in wanted.iter().rev() {
        rig.media(inc, *n, *n, true);
    }
    assert_eq!(rig.numbers(), (0..42).collect::<Vec<_>>());
    rig.media(inc, 7, 7, true);
    let transfer = Transfer {
        udp: true,
        received: 3,
        recovered: 39,
        duplicates: 1,
        lost: 0,
        requests: 2,
        corrected: 0,
    };
    assert_eq!(rig.client.transfer(), transfer);
    rig.pass(Duration::from_secs(60));
    assert_eq!(asked(&mut rig), [[0u32; 0]; 0]);
}

// MMSP-100: the low byte goes round, the Sequence goes on.
#[test]
fn sequences_are_rebuilt_across_wraps() {
    let (mut rig, inc) = playing(udp());
    for n in 0..1000 {
        // Every third place in the file was not sent.
        if n % 50 != 17 {
            rig.media(inc, n, n + n / 3, true);
        }
        if n % 50 == 20 {
            rig.pass(10 * MS);
            assert_eq!(asked(&mut rig), [[n - 3]]);
            rig.media(inc, n - 3, n - 3 + (n - 3) / 3, true);
        }
    }
    let places: Vec<u32> = (0..1000).map(|n| n + n / 3).collect();
    assert_eq!(rig.numbers(), places);
    // An outage of 700 packets: what comes then is named rightly all the same.
    rig.media(inc, 1700, 1700 + 1700 / 3, true);
    rig.pass(10 * MS);
    let batches = asked(&mut rig);
    assert_eq!(batches.concat(), (1460..1700).collect::<Vec<_>>());
    assert!(batches.iter().all(|b| b.len() <= 32));
    assert_eq!(rig.client.transfer().lost, 460);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.client.transfer().lost, 700);
    assert_eq!(rig.numbers().len(), 1001);
}

#[test]
fn requests_are_repeated_and_then_given_up() {
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.media(inc, 2, 2, true);
    let mut waits = Vec::new();
    let mut before = rig.now;
    while rig.numbers().len() < 2 {
        rig.wait();
        waits.push(rig.now.since(before).as_millis());
        before = rig.now;
    }
    // 10 ms for reordering; 200 ms as long as nothing is known of the way, and twice that each time.
    assert_eq!(waits[..4], [10, 200, 400, 800]);
    assert_eq!(asked(&mut rig), [[1]; 4]);
    assert_eq!(rig.numbers(), [0, 2]);
    let transfer = rig.client.transfer();
    assert_eq!((transfer.lost, transfer.requests), (1, 4));
    // Too late.
    rig.media(inc, 1, 1, true);
    assert_eq!(rig.numbers(), [0, 2]);
    assert_eq!(rig.client.transfer().duplicates, 1);
}

// MMSP-81
#[test]
fn sequences_go_on_behind_a_start() {
    let (mut rig, inc) = playing(udp());
    for n in 0..=0xFE {
        rig.media(inc, n, n, true);
    }
    assert_eq!(rig.numbers().len(), 0xFF);
    rig.with(|c, now| c.play(now, protocols::content::Start::Beginning));
    rig.sent();
    rig.end(0, inc);
    let start = rig.sent();
    let inc = rig.started(&start);
    // FF is skipped, and nobody asks for it.
    rig.media(inc, 0x100, 0, true);
    rig.media(inc, 0x102, 2, true);
    rig.pass(10 * MS);
    assert_eq!(asked(&mut rig), [[0x101]]);
    rig.media(inc, 0x101, 1, true);
    assert_eq!(rig.numbers()[0xFF..], [0, 1, 2]);
}

#[test]
fn what_may_belong_to_the_start_before_is_no_loss() {
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.with(|c, now| c.play(now, protocols::content::Start::Time(5000)));
    rig.sent();
    rig.end(0, inc);
    let start = rig.sent();
    let next = rig.started(&start);
    // 1 to 3 were sent before the stop, and are on their way or lost; 4 is late.
    rig.media(next, 5, 51, true);
    rig.media(next, 4, 50, true);
    rig.media(inc, 1, 1, true);
    rig.pass(10 * MS);
    assert_eq!(asked(&mut rig), [[2, 3]]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(asked(&mut rig), [[2, 3]]);
    assert_eq!(rig.numbers(), [0, 50, 51]);
    assert_eq!(rig.client.transfer().lost, 0);
}

// MMSP-92, WMLOG-12
#[test]
fn the_end_waits_for_the_last_datagrams() {
    let (mut rig, inc) = playing(udp());
    for n in 0..98 {
        rig.media(inc, n, n, true);
    }
    // The header says 100 packets: two were lost, and the end has overtaken them.
    rig.end(0, inc);
    rig.say(ToClient::Ping);
    assert_eq!(rig.sent(), [ToServer::Pong]);
    rig.pass(10 * MS);
    assert_eq!(asked(&mut rig), [[98, 99]]);
    rig.media(inc, 99, 99, true);
    assert!(!rig.client.is_done());
    rig.media(inc, 98, 98, true);
    assert!(rig.client.is_done());
    assert_eq!(rig.numbers(), (0..100).collect::<Vec<_>>());
    let sent = rig.sent();
    let ToServer::Logging(log) = &sent[0] else {
        panic!()
    };
    let entry = wmlog::parse(&ClientLog::Mmsp(log.clone())).unwrap();
    assert_eq!(entry.defects, Default::default());
    for (field, value) in [
        (Field::Transport, "UDP"),
        (Field::CPktsReceived, "98"),
        (Field::CPktsRecoveredResent, "2"),
        (Field::CResendreqs, "1"),
        (Field::CPktsLostClient, "0"),
        (Field::CPktsLostNet, "0"),
        (Field::CQuality, "100"),
    ] {
        assert_eq!(entry.get(field), Some(value), "{field:?}");
    }
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.media(inc, 2, 2, true);
    rig.end(0, inc);
    rig.pass(Duration::from_secs(3));
    assert!(rig.client.is_done());
    assert_eq!(rig.numbers(), [0, 2]);
    assert_eq!(rig.client.transfer().lost, 1);
    // When everything is there it does not wait at all.
    let (mut rig, inc) = playing(udp());
    (0..100).for_each(|n| rig.media(inc, n, n, true));
    rig.end(0, inc);
    assert!(rig.client.is_done());
    // A stop is an end that nobody waits for.
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.end(0, inc);
    rig.with(|c, now| c.finish(now));
    assert!(rig.client.is_done());
    assert!(rig.events.contains(&IngestEvent::End(0)));
}

#[test]
fn the_end_is_not_a_place_to_pile_up_messages() {
    let (mut rig, inc) = playing(udp());
    rig.media(inc, 0, 0, true);
    rig.end(0, inc);
    for _ in 0..1000 {
        rig.end(0, inc);
    }
    assert!(rig.client.is_done());
    assert!(rig.events.contains(&IngestEvent::End(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order datagrams come in within the reordering delay, they are handed on in theirs,
    /// once, and nothing is asked for.
    #[test]
    fn any_order_is_put_right(
        shuffled in Just((0..60u32).collect::<Vec<_>>()).prop_shuffle(),
        doubles in proptest::collection::vec(0..60usize, 0..20),
    ) {
        let (mut rig, inc) = playing(udp());
        for (at, n) in shuffled.iter().enumerate() {
            rig.media(inc, *n, 3 * n, true);
            for double in doubles.iter().filter(|d| **d == at) {
                rig.media(inc, shuffled[*double], 3 * shuffled[*double], true);
            }
        }
        // Those in front of the very first that came may be further away than is looked for.
        let first = shuffled[0];
        let from = if first > 32 { first } else { 0 };
        let want: Vec<u32> = (from..60).map(|n| 3 * n).collect();
        prop_assert_eq!(rig.numbers(), want);
        prop_assert!(rig.requests.is_empty());
    }

    /// Hostile datagrams cost nothing but themselves.
    #[test]
    fn anything_is_survived(
        heads in proptest::collection::vec((any::<u32>(), 9u8..12, any::<u8>()), 0..300),
    ) {
        let (mut rig, _) = playing(udp());
        for (location, inc, flags) in heads {
            rig.data(DataHead::of(location, inc, flags, 4), b"abcd", true);
            rig.pass(MS);
            prop_assert!(rig.requests.iter().all(|r| r.sequences.len() <= 32));
        }
        prop_assert_eq!(rig.failure(), None);
    }
}
