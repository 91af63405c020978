//! A receiver's states, timers and logs.

mod msb_support;

use msb_support::air::{Air, GROUP, Given, enter, header, send, sender, station};
use msb_support::media;
use protocols::machine::{ConnId, Input};
use protocols::msb::ReceiverConfig;
use protocols::nsc::Station;
use protocols::wmlog::{Field, w3c, web};
use std::time::Duration;

const UNICAST: &str = "http://origin.example/ch1";
const LOG: &str = "http://log.example:81/wmsiislog.dll";

fn config(change: impl FnOnce(&mut ReceiverConfig)) -> ReceiverConfig {
    let mut config = ReceiverConfig::new(station(), 1);
    change(&mut config);
    config
}

fn joined(config: ReceiverConfig) -> Air {
    let mut air = Air::new(config);
    assert_eq!(
        air.take(),
        [Given::Joined(GROUP.parse().expect("an address"))]
    );
    air
}

// MSB-48, MSB-49, MSB-50, MSB-61
#[test]
fn where_nobody_sends_it_rolls_over() {
    let mut air = joined(config(|c| c.station.unicast_url = Some(UNICAST.into())));
    air.sleep_ms(19_900);
    assert_eq!(air.take(), []);
    air.sleep_ms(200);
    assert_eq!(air.take(), [Given::Redirected(UNICAST.into())]);
    assert!(air.receiver.is_done());
}

// MSB-62
#[test]
fn without_another_url_that_is_a_time_out() {
    let mut air = joined(config(|_| {}));
    air.sleep_ms(20_100);
    let what = format!("network time-out: nothing is sent to {GROUP}");
    assert_eq!(air.take(), [Given::Failed(what)]);
    assert!(air.receiver.is_done());
    assert_eq!(air.wake, None);
}

// MSB-47
#[test]
fn the_open_timer_is_what_it_may_be() {
    for (asked, kept) in [(1, 10), (10, 10), (30, 30), (600, 30)] {
        let mut air = joined(config(|c| {
            c.open_timeout = Some(Duration::from_secs(asked))
        }));
        air.sleep_ms(kept * 1000 - 50);
        assert_eq!(air.take(), [], "{asked}");
        air.sleep_ms(100);
        assert_eq!(air.take().len(), 1, "{asked}");
    }
    let mut air = joined(config(|c| c.open_timeout = None));
    air.sleep_ms(10_000_000);
    assert_eq!(air.take(), []);
}

// MSB-50, MSB-51
#[test]
fn a_beacon_stops_the_open_timer() {
    let mut air = joined(config(|_| {}));
    air.sleep_ms(19_000);
    air.datagram(b"MSB ");
    air.sleep_ms(1_000_000);
    assert_eq!(air.take(), []);
    assert_eq!(air.receiver.counts().beacons, 1);
    air.datagrams(&send(&mut sender(Some(10)), &media(1)));
    assert_eq!(air.take().len(), 2);
    // Beacons alone need not be enough for ever.
    let mut air = joined(config(|c| c.ready_timeout = Some(Duration::from_secs(60))));
    air.datagram(b"MSB ");
    air.sleep_ms(50_000);
    air.datagram(b"MSB ");
    air.sleep_ms(11_000);
    assert!(matches!(air.take()[..], [Given::Failed(_)]));
}

// MSB-52, MSB-54
#[test]
fn unknown_formats_are_ignored() {
    let mut air = joined(config(|_| {}));
    let mut sent = send(&mut sender(Some(10)), &media(10));
    sent.iter_mut().for_each(|d| d[4] ^= 1);
    air.datagrams(&sent);
    assert_eq!(air.take(), []);
    let counts = air.receiver.counts();
    assert_eq!((counts.unknown_format, counts.packets.received), (11, 0));
    air.sleep_ms(20_100);
    assert!(
        matches!(air.take()[..], [Given::Failed(_)]),
        "the timer still ran"
    );
}

// MSB-53, MSB-55, MSB-57, MSB-59
#[test]
fn a_stream_ends_when_no_packet_comes() {
    let mut air = joined(config(|_| {}));
    let sent = send(&mut sender(Some(10)), &media(2));
    air.datagram(&sent[0]);
    air.sleep_ms(29_000);
    air.datagram(&sent[1]);
    air.sleep_ms(29_000);
    assert!(
        !air.take().contains(&Given::End(0)),
        "a packet starts it anew"
    );
    // A beacon does not.
    air.datagram(b"MSB ");
    air.sleep_ms(1100);
    assert_eq!(air.take(), [Given::End(0)]);
    assert!(air.receiver.is_done());
}

// MSB-57
#[test]
fn it_may_stay_for_the_next_stream() {
    let mut air = joined(config(|c| c.stay = true));
    let mut sender = sender(Some(10));
    air.datagrams(&send(&mut sender, &media(3)));
    air.sleep_ms(31_000);
    assert_eq!(air.take().last(), Some(&Given::End(0)));
    assert!(!air.receiver.is_done());
    enter(&mut sender, 2);
    air.sleep_ms(600_000);
    air.datagrams(&send(&mut sender, &media(3)));
    let given = air.take();
    assert_eq!(given[0], Given::Header(header()));
    assert_eq!(given.len(), 4);
}

/// The station, its header with a Play Duration.
fn lasting(seconds: u64) -> Station {
    let mut blob = header().to_vec();
    // File Properties begin at 94; the example has them behind the extension.
    let properties = [0xA1, 0xDC, 0xAB, 0x8C];
    let at = blob
        .windows(4)
        .position(|w| w == properties)
        .expect("properties");
    blob[at + 64..at + 72].copy_from_slice(&(seconds * 10_000_000).to_le_bytes());
    let mut station = station();
    station.formats[0].header = blob.into();
    station
}

// MSB-58
#[test]
fn a_play_duration_ends_the_stream_unless_it_is_0() {
    let with = |station: Station, uses: bool| {
        let mut air = joined(config(|c| {
            c.station = station;
            c.uses_play_duration = uses;
            c.stream_timeout = None;
        }));
        air.datagrams(&send(&mut sender(Some(10)), &media(2)));
        air.take();
        air
    };
    let mut air = with(lasting(60), true);
    air.sleep_ms(59_900);
    assert_eq!(air.take(), []);
    air.sleep_ms(200);
    assert_eq!(air.take(), [Given::End(0)]);
    for mut air in [with(lasting(60), false), with(lasting(0), true)] {
        air.sleep_ms(100_000_000);
        assert_eq!(air.take(), []);
    }
}

// MSB-65
#[test]
fn datagrams_of_others_are_dropped() {
    let filtered = |filters: bool| {
        joined(config(|c| {
            c.filters_source = filters;
            c.station.adapter = Some("192.0.2.10".parse().expect("an address"));
        }))
    };
    let sent = send(&mut sender(Some(10)), &media(1));
    for (filters, from, comes) in [
        (true, "192.0.2.10:1", true),
        (true, "[::ffff:192.0.2.10]:1", true),
        (true, "192.0.2.11:1", false),
        (false, "192.0.2.11:1", true),
    ] {
        let mut air = filtered(filters);
        air.from = from.parse().expect("an address");
        air.datagrams(&sent);
        assert_eq!(
            air.take().len(),
            if comes { 2 } else { 0 },
            "{filters} {from}"
        );
        assert_eq!(air.receiver.counts().foreign, u64::from(!comes));
    }
    let mut air = filtered(false);
    air.datagram(b"hello, group");
    air.datagram(&[]);
    assert_eq!((air.take(), air.receiver.counts().foreign), (vec![], 2));
}

/// Answers the request on the connection that was asked for last.
fn answer(air: &mut Air, reply: &str) -> (ConnId, String) {
    let given = air.take();
    let connect = given.iter().find_map(|g| match g {
        Given::Connect(conn, host, port) => Some((*conn, &**host, *port)),
        _ => None,
    });
    let Some((conn, "log.example", 81)) = connect else {
        panic!("{given:?}");
    };
    let address = "192.0.2.1:81".parse().expect("an address");
    let local = "192.0.2.2:9".parse().expect("an address");
    air.input(Input::Opened {
        conn,
        peer: address,
        local,
    });
    let request = match &air.take()[..] {
        [Given::Sent(on, request)] if *on == conn => request.clone(),
        other => panic!("{other:?}"),
    };
    for piece in reply.as_bytes().chunks(7) {
        let bytes = piece;
        air.input(Input::Data { conn, bytes });
    }
    (conn, request)
}

fn page() -> String {
    let page = web::page([9, 0, 0, 3372]);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

const ACCEPTED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn logging() -> Air {
    joined(config(|c| {
        c.station.log_url = Some(LOG.into());
        c.channel_url = Some("http://192.0.2.10/ch1.nsc".into());
        c.unix_seconds = 1_714_565_000;
    }))
}

// MSB-60, MSB-63
#[test]
fn what_was_played_is_logged() {
    let mut air = logging();
    let mut sent = send(&mut sender(Some(10)), &media(30));
    // One that is repaired, two that are lost.
    for lost in [28, 27, 13] {
        sent.remove(lost);
    }
    for datagram in &sent {
        air.sleep_ms(100);
        air.datagram(datagram);
    }
    air.sleep_ms(1000);
    air.finish();
    assert!(!air.receiver.is_done(), "the log is to be submitted");
    let (first, request) = answer(&mut air, &page());
    assert!(
        request.starts_with("GET /wmsiislog.dll HTTP/1.1\r\nHost: log.example:81\r\n"),
        "{request}"
    );
    assert_eq!(air.given[0], Given::Close(first));
    let (second, request) = answer(&mut air, ACCEPTED);
    assert_ne!(first, second);
    assert_eq!(air.take(), [Given::Close(second), Given::LogSent]);
    assert!(air.receiver.is_done());
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    assert!(
        head.starts_with("POST /wmsiislog.dll HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    assert!(body.starts_with("MX_STATS_LogLine: \t"), "{body}");
    let line = web::line(body).expect("a line");
    assert_eq!(line.split(' ').count(), 47);
    let entry = w3c::parse(line);
    for (field, value) in [
        (Field::CsUrl, "asfm://239.192.1.2:17000"),
        (Field::CsUriStem, "asfm://239.192.1.2:17000"),
        (Field::CChannelUrl, "http://192.0.2.10/ch1.nsc"),
        (Field::Protocol, "asfm"),
        (Field::Transport, "UDP"),
        (Field::SIp, "239.192.1.2"),
        (Field::CPktsReceived, "27"),
        (Field::CPktsLostNet, "3"),
        (Field::CPktsLostClient, "2"),
        (Field::CPktsRecoveredEcc, "1"),
        (Field::CPktsLostContNet, "2"),
    ] {
        assert_eq!(entry.get(field), Some(value), "{field:?} of {line}");
    }
    assert_eq!(entry.get(Field::CResendreqs), None);
}

// MSB-64
#[test]
fn every_entry_is_logged() {
    let mut air = logging();
    let mut sender = sender(Some(10));
    air.datagrams(&send(&mut sender, &media(5)));
    let mut next = enter(&mut sender, 2);
    next.extend(send(&mut sender, &media(1)));
    air.datagrams(&next);
    answer(&mut air, &page());
    let (conn, _) = answer(&mut air, ACCEPTED);
    assert_eq!(air.take(), [Given::Close(conn), Given::LogSent]);
    air.sleep_ms(30_100);
    // The resource is known by now.
    let (_, request) = answer(&mut air, ACCEPTED);
    assert!(request.starts_with("POST "), "{request}");
    assert!(air.receiver.is_done());
}

// MSB-60
#[test]
fn nothing_is_posted_where_logs_are_not_taken() {
    for reply in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "junk that is no reply\r\n\r\n",
    ] {
        let mut air = logging();
        air.datagrams(&send(&mut sender(Some(10)), &media(2)));
        air.finish();
        let (conn, _) = answer(&mut air, reply);
        assert_eq!(air.take(), [Given::Close(conn)]);
        assert!(air.receiver.is_done());
    }
    // A connection that fails, and a reply that does not come.
    let mut air = logging();
    air.datagrams(&send(&mut sender(Some(10)), &media(2)));
    air.finish();
    air.input(Input::Closed { conn: ConnId(1) });
    assert!(air.receiver.is_done());
    let mut air = logging();
    air.datagrams(&send(&mut sender(Some(10)), &media(2)));
    air.finish();
    air.take();
    air.sleep_ms(10_100);
    assert_eq!(air.take(), [Given::Close(ConnId(1))]);
    assert!(air.receiver.is_done());
}

// MSB-63
#[test]
fn nothing_is_logged_of_nothing() {
    let mut air = logging();
    air.datagram(b"MSB ");
    air.finish();
    assert_eq!(air.take(), []);
    assert!(air.receiver.is_done());
    let mut air = joined(config(|c| {
        c.station.log_url = Some(LOG.into());
        c.send_log = false;
    }));
    air.datagrams(&send(&mut sender(Some(10)), &media(2)));
    air.take();
    air.finish();
    assert_eq!(air.take(), []);
    assert!(air.receiver.is_done());
}
