//! Files: what a player is sent, from where to where, on what connections, and how it ends.

mod support;

use engine::Server;
use protocols::asf::trim::pad;
use support::asf::{Clip, PICTURE, SHORT, SOUND, Said, said};
use support::client::*;
use support::*;

/// Several pieces of the cache, at more than a player's real time would let through in a test.
const LARGE: Clip = Clip {
    packet_size: 8000,
    packets: 100,
    interval: 50,
    key_every: 10,
    preroll: 1000,
    seed: 7,
};

/// A file that takes long, for what is done in the middle of it.
const LONG: Clip = Clip {
    packets: 600,
    ..SHORT
};

const SERVER: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "."
cadence = "20ms"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
"#;

/// A server with the three clips.
fn serving(name: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    for (name, clip) in [
        ("short.wmv", SHORT),
        ("large.wmv", LARGE),
        ("long.wmv", LONG),
    ] {
        std::fs::write(folder.0.join(name), clip.bytes()).expect("a clip");
    }
    let server = start(config(&folder, SERVER));
    (folder, server)
}

fn in_file(clip: Clip, numbers: std::ops::Range<u32>) -> Vec<(u32, Said)> {
    let packet = |n| (n, said(&clip.packet(n), clip.packet_size));
    numbers.map(packet).collect()
}

fn received(clip: Clip, data: &[Data]) -> Vec<(u32, Said)> {
    let packet = |d: &Data| (d.number, said(&d.payload, clip.packet_size));
    data.iter().map(packet).collect()
}

fn counts_on(data: &[Data]) -> bool {
    data.windows(2)
        .all(|two| two[1].flags == two[0].flags.wrapping_add(1))
}

// WMSP-10, WMSP-11, WMSP-15, WMSP-16, WMSP-18, WMSP-60, WMSP-83, WMSP-85, ASF-42
#[test]
fn a_file_arrives_whole_on_every_kind_of_connection() {
    let (_folder, server) = serving("vod-whole");
    let at = http(&server);
    for (name, clip) in [("short.wmv", SHORT), ("large.wmv", LARGE)] {
        let path = format!("/vod/{name}");
        let check = |data: &[Data], what: &str| {
            assert_eq!(
                received(clip, data),
                in_file(clip, 0..clip.packets),
                "{what}"
            );
            assert_eq!(data[0].flags, 0, "{what}: AFFlags begin at 0");
            assert!(counts_on(data), "{what}: AFFlags count");
            for packet in data {
                assert!(
                    packet.payload.len() < clip.packet_size,
                    "{what}: padding is left out"
                );
                let mut padded = Vec::new();
                pad(&packet.payload, clip.packet_size as u32, &mut padded).expect("a packet");
                assert_eq!(
                    padded,
                    clip.packet(packet.number),
                    "{what}: padded, it is the file's"
                );
            }
        };

        // HTTP/1.1 without chunks: 512 times the end, and the connection stays.
        let (mut nine, reply) = Client::ask(at, &play(&path, None, &[1, 2], FAST));
        assert_eq!(reply.status, 200, "{}", reply.head);
        assert_eq!(reply.header("Transfer-Encoding"), None);
        assert_eq!(
            reply.header("Content-Type"),
            Some("application/x-mms-framed")
        );
        let (data, end) = nine.all_data();
        check(&data, "9.x");
        assert!(matches!(end, Event::End(0)), "{end:?}");
        for _ in 1..512 {
            assert!(matches!(nine.next(), Event::End(0)));
        }
        drop(nine);

        // Chunks: one end, and the body ends, not the connection.
        let tokens = format!("{FAST},version11-enabled=1");
        let (mut chunked, reply) = Client::ask(at, &play(&path, None, &[1, 2], &tokens));
        assert_eq!(reply.header("Transfer-Encoding"), Some("chunked"));
        let (data, end) = chunked.all_data();
        check(&data, "chunked");
        assert!(matches!(end, Event::End(0)), "{end:?}");
        assert!(
            matches!(chunked.next(), Event::Closed),
            "one $E, then the last chunk"
        );
        chunked.send(&of_session(
            &format!("OPTIONS {path}"),
            reply.client_id(),
            "",
        ));
        assert_eq!(
            chunked.reply().status,
            200,
            "the connection is good for more"
        );
    }

    // HTTP/1.0: one end, and the connection is closed. In real time: the file takes two seconds.
    let mut old = Player::play(at, "/vod/short.wmv", &[1, 2], "");
    assert_eq!(old.header().packet_size() as usize, SHORT.packet_size);
    let events = old.rest();
    let data: Vec<Data> = events
        .iter()
        .filter_map(|e| match e {
            Event::Data(data) => Some(data.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(received(SHORT, &data), in_file(SHORT, 0..SHORT.packets));
    assert_eq!(events.len(), data.len() + 1, "nothing but data and one end");
    assert!(matches!(events.last(), Some(Event::End(0))));
    server.stop();
}

// WMSP-16, WMSP-58
#[test]
fn an_old_server_gets_every_stream_with_its_padding() {
    let (_folder, server) = serving("vod-padding");
    let request = "GET /vod/short.wmv HTTP/1.0\r\nUser-Agent: NSServer/4.1.0.3928\r\n\
                   Pragma: no-cache,xPlayStrm=1\r\n\r\n";
    let mut upstream = Player::ask(http(&server), request);
    upstream.header();
    for number in 0..SHORT.packets {
        let data = upstream.data();
        assert_eq!(data.number, number);
        assert_eq!(
            data.payload,
            SHORT.packet(number),
            "as in the file, byte for byte"
        );
    }
    server.stop();
}

// WMSP-59, ASF-54, ASF-55
#[test]
fn positions_are_time_before_packet_before_offset() {
    let (_folder, server) = serving("vod-seek");
    let at = http(&server);
    let blob = LARGE.head().len() as u32;
    let size = LARGE.packet_size as u32;
    // Key frames are at every tenth packet, 500 ms apart; pictures are shown a second after their
    // packet was sent.
    let unused = "stream-time=4294967295";
    let cases = [
        (
            format!(
                ",stream-time=2500,packet-num=90,stream-offset=0:{}",
                blob + 70 * size
            ),
            50,
        ),
        (",stream-time=2700".to_owned(), 50),
        (
            format!(",{unused},packet-num=33,stream-offset=0:{blob}"),
            33,
        ),
        (
            format!(
                ",{unused},packet-num=4294967295,stream-offset=0:{}",
                blob + 60 * size
            ),
            60,
        ),
        (
            format!(",{unused},packet-num=4294967295,stream-offset=4294967295:4294967295"),
            0,
        ),
        (",stream-time=0".to_owned(), 0),
        (String::new(), 0),
    ];
    for (tokens, first) in cases {
        let tokens = format!("{FAST}{tokens}");
        let (mut player, reply) = Client::ask(at, &play("/vod/large.wmv", None, &[1, 2], &tokens));
        assert_eq!(reply.status, 200, "{tokens}");
        let (data, end) = player.all_data();
        // A packet that is named is where it begins; pictures come from the next key frame on.
        let mut want = in_file(LARGE, first..LARGE.packets);
        for (number, packet) in &mut want {
            if *number < first.next_multiple_of(LARGE.key_every) {
                *packet = packet.clone().only(&[SOUND]);
            }
        }
        assert_eq!(received(LARGE, &data), want, "{tokens}");
        assert!(matches!(end, Event::End(0)));
    }
    // Behind the end there is nothing to play, which is an end or an error, and never a hang.
    let late = format!("{FAST},stream-time=3600000");
    let (mut player, reply) = Client::ask(at, &play("/vod/large.wmv", None, &[1, 2], &late));
    if reply.status == 200 {
        let (data, end) = player.all_data();
        assert!(data.len() <= 10, "at most from the last key frame");
        assert!(matches!(end, Event::End(0)));
    }
    server.stop();
}

#[test]
fn a_duration_ends_the_play_where_it_says() {
    let (_folder, server) = serving("vod-duration");
    let at = http(&server);
    // 20 packets a second: a second of them, from the key frame at 1000 ms on.
    let relative = ",stream-time=1000,max-duration=1000";
    let absolute = format!(",stream-time=1000,max-duration={}", 2000 | 1u32 << 31);
    for tokens in [relative, &absolute] {
        let tokens = format!("{FAST}{tokens}");
        let (mut player, _) = Client::ask(at, &play("/vod/large.wmv", None, &[1, 2], &tokens));
        let (data, end) = player.all_data();
        assert_eq!(received(LARGE, &data), in_file(LARGE, 20..40), "{tokens}");
        assert!(matches!(end, Event::End(0)));
    }
    server.stop();
}

// WMSP-69, ASF-43
#[test]
fn only_the_selected_streams_are_sent() {
    let (_folder, server) = serving("vod-subset");
    let at = http(&server);
    for streams in [&[SOUND][..], &[PICTURE]] {
        let request = play("/vod/large.wmv", None, streams, FAST);
        let (mut player, _) = Client::ask(at, &request);
        let (data, _) = player.all_data();
        let want: Vec<(u32, Said)> = in_file(LARGE, 0..LARGE.packets)
            .into_iter()
            .map(|(n, packet)| (n, packet.only(streams)))
            .collect();
        assert_eq!(received(LARGE, &data), want, "{streams:?}");
        assert!(counts_on(&data));
    }
    // Key frames only: level 1 (WMSP-74).
    let request = play("/vod/large.wmv", None, &[], FAST).replace("entry=", "entry=ffff:1:1");
    let (mut player, _) = Client::ask(at, &request);
    let (data, _) = player.all_data();
    let numbers: Vec<u32> = data.iter().map(|d| d.number).collect();
    assert_eq!(numbers, (0..LARGE.packets).step_by(10).collect::<Vec<_>>());
    // A 9.x player that selects nothing is sent nothing (WMSP-58).
    let nothing = request.replace("Pragma: stream-switch-entry=ffff:1:1\r\n", "");
    let (mut player, _) = Client::ask(at, &nothing);
    let (data, end) = player.all_data();
    assert_eq!(data.len(), 0);
    assert!(matches!(end, Event::End(0)));
    server.stop();
}

// WMSP-73, WMSP-75, WMSP-79, WMSP-80, WMSP-84
#[test]
fn pipelined_requests_are_answered_in_order_behind_the_media() {
    let (_folder, server) = serving("vod-pipelined");
    let at = http(&server);
    let path = "/vod/short.wmv";
    let tokens = format!("{FAST},version11-enabled=1");
    let mut player = Client::connect(at);
    player.send(&play(path, None, &[1, 2], &tokens));
    let id = player.reply().client_id();
    let first = player.data();
    assert_eq!(first.number, 0);
    // One log and one KeepAlive while media flows; the log's reply has no body.
    let log = "Content-Type: application/x-wms-LogStats;charset=UTF-8\r\nContent-Length: 0";
    let logging = of_session(&format!("POST {path}"), id, "")
        .replace("\r\n\r\n", &format!("\r\n{log}\r\n\r\n"));
    player.send(&logging);
    player.send(&of_session(&format!("OPTIONS {path}"), id, ""));
    let (rest, end) = player.all_data();
    assert_eq!(rest.len() as u32 + 1, SHORT.packets, "media goes on");
    assert!(matches!(end, Event::End(0)));
    assert!(matches!(player.next(), Event::Closed));
    assert_eq!(player.reply().status, 204, "the log's");
    let last = player.reply();
    assert_eq!(
        (last.status, last.header("Allow").is_some()),
        (200, true),
        "OPTIONS"
    );

    // SelectStream on the data connection: the body ends at a packet, and another goes on.
    let mut player = Client::connect(at);
    player.send(&play(
        "/vod/long.wmv",
        None,
        &[1, 2],
        ",version11-enabled=1",
    ));
    let id = player.reply().client_id();
    let mut all = vec![player.data()];
    let off =
        format!("Pragma: client-id={id}\r\nPragma: stream-switch-entry={PICTURE:x}:{PICTURE:x}:2");
    player.send(&request(NINE, "GET /vod/long.wmv", &[&off]));
    let (data, end) = player.all_data();
    all.extend(data);
    assert!(matches!(end, Event::Closed), "no $E: {end:?}");
    let reply = player.reply();
    assert_eq!(
        (reply.status, reply.header("Transfer-Encoding")),
        (200, Some("chunked"))
    );
    let before = all.len();
    all.extend((0..5).map(|_| player.data()));
    for (n, data) in all.iter().enumerate() {
        assert_eq!(data.number as usize, n, "no packet is lost or sent twice");
        let streams: Vec<u8> = said(&data.payload, LONG.packet_size)
            .payloads
            .iter()
            .map(|p| p.stream)
            .collect();
        match n < before {
            true => assert_eq!(streams, [PICTURE, SOUND]),
            false => assert_eq!(streams, [SOUND]),
        }
    }
    assert!(counts_on(&all), "AFFlags go on");

    // Stop, then Play again on the same connection: the incarnation's AFFlags go on.
    player.send(&of_session("POST /vod/long.wmv", id, ",xStopStrm=1"));
    let (data, end) = player.all_data();
    let last = data.last().or(all.last()).expect("some").flags;
    assert!(matches!(end, Event::Closed), "{end:?}");
    assert_eq!(player.reply().status, 200);
    player.send(&play(
        "/vod/long.wmv",
        Some(id),
        &[1, 2],
        ",version11-enabled=1,stream-time=30000",
    ));
    assert_eq!(player.reply().client_id(), id);
    let again = player.data();
    assert_eq!((again.number, again.flags), (300, last.wrapping_add(1)));
    server.stop();
}

// WMSP-56, WMSP-71, WMSP-79, WMSP-124
#[test]
fn other_connections_steer_a_session_but_do_not_take_it() {
    let (_folder, server) = serving("vod-steer");
    let at = http(&server);
    let (mut player, reply) = Client::ask(at, &play("/vod/long.wmv", None, &[SOUND], ""));
    let id = reply.client_id();
    let mut last = player.data();
    // Whoever guesses the id must not take the media away.
    for _ in 0..4 {
        let (_, refused) = Client::ask(at, &play("/vod/long.wmv", Some(id), &[1, 2], ""));
        assert_eq!(refused.status, 400, "a Play of a session that plays");
    }
    // From several connections, so that some are on the other core.
    let both = format!(
        "Pragma: client-id={id}\r\nPragma: stream-switch-entry={}",
        on(&[PICTURE])
    );
    for _ in 0..4 {
        let (_, reply) = Client::ask(at, &request(NINE, "GET /vod/long.wmv", &[&both]));
        assert_eq!(reply.status, 200, "{}", reply.head);
    }
    let first = loop {
        let data = player.data();
        assert_eq!(data.number, last.number + 1);
        let says = said(&data.payload, LONG.packet_size);
        last = data;
        if says.payloads.iter().any(|p| p.stream == PICTURE) {
            break says;
        }
    };
    let key = first.payloads.iter().find(|p| p.stream == PICTURE);
    assert!(
        key.is_some_and(|p| p.key),
        "a new stream starts with a key frame"
    );
    // Stop from elsewhere ends the data connection, whose body has no other end.
    let (_, reply) = Client::ask(at, &of_session("POST /vod/long.wmv", id, ",xStopStrm=1"));
    assert_eq!(reply.status, 200);
    let (_, end) = player.all_data();
    assert!(matches!(end, Event::Closed), "{end:?}");
    until("the session's flow is over", || {
        server.metrics().totals().sessions == 0
    });
    // It still exists, and can be played again from any connection.
    let (mut player, reply) = Client::ask(at, &play("/vod/long.wmv", Some(id), &[1, 2], ""));
    assert_eq!((reply.status, reply.client_id()), (200, id));
    assert_eq!(player.data().number, 0);
    server.stop();
}

// WMSP-10, WMSP-18, WMSP-74
#[test]
fn other_rates_send_key_frames_forward_and_backward() {
    let (_folder, server) = serving("vod-rates");
    let at = http(&server);
    let rated = |tokens: &str| {
        let request = play("/vod/large.wmv", None, &[1, 2], tokens);
        let (mut player, reply) = Client::ask(at, &request);
        assert_eq!(reply.status, 200, "{tokens}: {}", reply.head);
        let (data, end) = player.all_data();
        for packet in &data {
            let want = said(&LARGE.packet(packet.number), LARGE.packet_size).only(&[PICTURE]);
            assert_eq!(said(&packet.payload, LARGE.packet_size), want, "{tokens}");
        }
        assert!(counts_on(&data), "{tokens}");
        let numbers: Vec<u32> = data.iter().map(|d| d.number).collect();
        (numbers, end)
    };
    let (numbers, end) = rated(",rate=5.000");
    assert_eq!(numbers, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert!(matches!(end, Event::End(0)), "{end:?}");
    let (numbers, end) = rated(",rate=-5.000,stream-time=3000");
    assert_eq!(numbers, [60, 50, 40, 30, 20, 10, 0]);
    assert!(
        matches!(end, Event::End(0x000D_2F09)),
        "the beginning is reached: {end:?}"
    );
    // Rates that are not offered are refused, and so is any but the normal one of a broadcast.
    for tokens in [",rate=0.000", ",rate=50.000", ",rate=-50.000"] {
        let request = play("/vod/large.wmv", None, &[1, 2], tokens);
        assert_eq!(Client::ask(at, &request).1.status, 400, "{tokens}");
    }
    server.stop();
}

// BW-33, BW-34
#[test]
fn a_speed_is_granted_up_to_the_point_s() {
    let (_folder, server) = serving("vod-speed");
    let at = http(&server);
    for (asked, granted) in [("3.000", "3.000"), ("50.000", "5.000")] {
        let tokens = format!(",Speed={asked}");
        let (mut player, reply) = Client::ask(at, &play("/vod/short.wmv", None, &[1, 2], &tokens));
        assert_eq!(reply.pragma("Speed"), Some(granted), "{}", reply.head);
        let (data, end) = player.all_data();
        assert_eq!(received(SHORT, &data), in_file(SHORT, 0..SHORT.packets));
        assert!(matches!(end, Event::End(0)));
    }
    server.stop();
}

// ASF-32
#[test]
fn a_file_whose_first_piece_is_damaged_begins_where_it_can_be_read() {
    let (folder, server) = serving("vod-damage");
    let mut bytes = LARGE.bytes();
    let blob = LARGE.head().len();
    bytes[blob..blob + 35 * LARGE.packet_size].fill(0xEE);
    std::fs::write(folder.0.join("damaged.wmv"), &bytes).expect("a clip");
    for tokens in [
        "",
        ",stream-time=4294967295,packet-num=31",
        ",stream-time=4294967295,packet-num=3",
    ] {
        let request = play(
            "/vod/damaged.wmv",
            None,
            &[1, 2],
            &format!("{FAST}{tokens}"),
        );
        let (mut player, reply) = Client::ask(http(&server), &request);
        assert_eq!(reply.status, 200, "{tokens}: {}", reply.head);
        let (data, end) = player.all_data();
        let numbers: Vec<u32> = data.iter().map(|d| d.number).collect();
        let first = numbers.first().copied().unwrap_or_default();
        assert!([35, 40].contains(&first), "{tokens}: {numbers:?}");
        assert_eq!(numbers, (first..LARGE.packets).collect::<Vec<_>>());
        assert!(matches!(end, Event::End(0)));
    }
    server.stop();
}
