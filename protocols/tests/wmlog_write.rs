//! Logs that a client sends, a proxy forwards and the server keeps.

use proptest::prelude::*;
use protocols::machine::ClientLog;
use protocols::wmlog::client::{Playback, Player, anonymous_id, quality};
use protocols::wmlog::file::{ServerFacts, header, utc, write_json, write_w3c};
use protocols::wmlog::relay::{self, Proxy};
use protocols::wmlog::{Entry, Field, Kind, parse, w3c, xml};
use std::net::{IpAddr, Ipv4Addr};

const W1: &str = "0.0.0.0 2024-05-01 12:00:30 - http://127.0.0.1/a.wmv 0 30 1 200 {3300AD50-2C39-46c0-AE0A-000000000001} 10.0.0.3802 en-US WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036 - wmplayer.exe 10.0.0.3802 Windows_XP 5.1.0.2600 Pentium 60 1500000 200000 http TCP Windows_Media_Audio_9 Windows_Media_Video_9 - - 750000 - 240 0 0 0 - 0 0 1 2 100 - - - -";

fn player() -> Player {
    Player {
        id: anonymous_id([0, 0, 0, 0, 0, 1]),
        version: "10.0.0.3802".into(),
        language: "en-US".into(),
        user_agent: "WMFSDK/10.0.0.3802 WMPlayer/10.0.0.4036".into(),
        host_exe: "wmplayer.exe".into(),
        host_exe_version: "10.0.0.3802".into(),
        os: "Windows XP".into(),
        os_version: "5.1.0.2600".into(),
        cpu: "Pentium".into(),
    }
}

fn playback() -> Playback {
    Playback {
        unix_seconds: 1_714_564_830,
        requested_url: "http://127.0.0.1/a.wmv?WMBitrate=300000".into(),
        opened_url: "http://127.0.0.1/a.wmv?WMBitrate=300000".into(),
        rendered_ms: 29_001,
        receiving_ms: 12_300,
        rate: 1,
        playback_rate: 1,
        length_ms: 59_500,
        size: 1_500_000,
        average_bandwidth: 200_000,
        protocol: "http".into(),
        audio_codecs: vec!["Windows Media Audio 9".into()],
        video_codecs: vec!["Windows Media Video 9".into()],
        bytes: 750_000,
        packets_received: 240,
        buffer_count: 1,
        buffering_ms: 1_200,
        ..Playback::default()
    }
}

fn column(line: &str, n: usize) -> &str {
    line.split(' ').nth(n - 1).unwrap()
}

// W1, WMLOG-01, -04, -14, -16, -18, -48
#[test]
fn legacy() {
    assert_eq!(w3c::line(&playback().legacy(&player(), false)), W1);
}

// W1u, WMLOG-12, WMLOG-13
#[test]
fn legacy_over_udp() {
    let log = Playback {
        opened_url: "rtsp://127.0.0.1/a.wmv".into(),
        protocol: "rtsp".into(),
        udp: true,
        packets_lost: 2,
        packets_corrected: 3,
        packets_lost_in_a_row: 3,
        packets_resent: 1,
        resend_requests: Some(1),
        ..playback()
    };
    let line = w3c::line(&log.legacy(&player(), false));
    let tail: Vec<&str> = line.split(' ').skip(30).take(10).collect();
    assert_eq!(tail.join(" "), "240 2 5 3 1 3 1 1 2 99");
    assert_eq!(column(&line, 24), "UDP");
    assert_eq!((quality(0, 0), quality(0, 5), quality(5, 0)), (100, 0, 100));
}

// W2, WMLOG-02, WMLOG-16, WMLOG-19
#[test]
fn legacy_with_the_triple() {
    let log = Playback {
        media_name: Some("intro.wmv".into()),
        media_role: Some("ADVERTISEMENT".into()),
        ..playback()
    };
    let triple = "http://127.0.0.1/a.wmv?WMBitrate=300000 intro.wmv ADVERTISEMENT";
    assert_eq!(
        w3c::line(&log.legacy(&player(), true)),
        format!("{W1} {triple}")
    );
}

// WMLOG-15, WMLOG-17
#[test]
fn live_multicast() {
    let log = Playback {
        live: true,
        multicast: true,
        start_ms: 5000,
        channel_url: Some("http://h/s.nsc".into()),
        ..playback()
    };
    let line = w3c::line(&log.legacy(&player(), true));
    for (n, value) in [
        (5, "asfm://127.0.0.1/a.wmv"),
        (6, "0"),
        (20, "0"),
        (21, "0"),
    ] {
        assert_eq!(column(&line, n), value);
    }
    assert_eq!(column(&line, 23), "asfm");
    assert_eq!(column(&line, 27), "http://h/s.nsc");
    assert_eq!(column(&line, 45), "asfm://127.0.0.1/a.wmv?WMBitrate=300000");
}

// WMLOG-06
#[test]
fn streaming() {
    let entry = playback().streaming(&player());
    let line = w3c::line(&entry);
    assert_eq!(line.split(' ').count(), 47);
    assert_eq!((column(&line, 25), column(&line, 26)), ("-", "-"));
    assert_eq!(column(&line, 7), "13", "time spent receiving");
    assert_eq!(parse(&ClientLog::Xml(xml::write(&entry))), Ok(entry));
}

// W6, WMLOG-03, WMLOG-07
#[test]
fn rendering() {
    let log = Playback {
        requested_url: "http://127.0.0.1/a.wmv".into(),
        ..playback()
    };
    let entry = log.rendering(&player());
    let line = w3c::line(&entry);
    let tail: Vec<&str> = line.split(' ').skip(22).collect();
    assert_eq!(
        tail.join(" "),
        "Cache - Windows_Media_Audio_9 Windows_Media_Video_9 - - 0 - - - - - - - - - - 100 - - - - \
         - - - http://127.0.0.1/a.wmv - - - 0"
    );
    assert_eq!((column(&line, 7), column(&line, 22)), ("30", "-"));
    assert_eq!(w3c::web_line(&entry).split(' ').count(), 47);
    assert_eq!(parse(&ClientLog::Xml(xml::write(&entry))), Ok(entry));
}

// W4, WMLOG-08
#[test]
fn connect() {
    let player = Player {
        os: "Windows".into(),
        os_version: "6.0.0.6000".into(),
        ..player()
    };
    let log = Playback {
        unix_seconds: 1_714_564_800,
        udp: true,
        ..playback()
    };
    assert_eq!(
        xml::write(&log.connect(&player)),
        "<XML><Summary></Summary><c-dns>-</c-dns><c-ip>0.0.0.0</c-ip><c-os>Windows</c-os>\
         <c-osversion>6.0.0.6000</c-osversion><date>2024-05-01</date><time>12:00:00</time>\
         <c-cpu>Pentium</c-cpu><transport>UDP</transport></XML>"
    );
}

// WMLOG-09, WMLOG-10
#[test]
fn xml_order() {
    let plain = xml::write(&playback().legacy(&player(), true));
    assert!(!plain.contains("ContentDescription"));
    let log = Playback {
        description: vec![("WMS_TITLE".into(), "A < B & C".into())],
        ..playback()
    };
    let body = xml::write(&log.legacy(&player(), true));
    let mut at = body.find("</Summary>").unwrap();
    for field in Field::common().iter().chain(&[Field::CsUrl]) {
        let tag = format!("<{}>", field.name());
        let next = body.find(&tag).expect(&tag);
        assert!(next > at, "{tag}");
        at = next;
    }
    assert!(body.ends_with(
        "</cs-url><ContentDescription><WMS_TITLE>A &lt; B &amp; C</WMS_TITLE></ContentDescription></XML>"
    ));
    assert!(!body.contains("<cs-media-name>"));
}

const PROXY: Proxy<'_> = Proxy {
    address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    host: None,
    product: "WMCacheProxy/9.00.00.1234",
    clients: 201,
    cpu: 40,
    client: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)),
};

// W6, WMLOG-42
#[test]
fn proxy_forwards_a_rendering_log() {
    let log = playback().rendering(&player());
    let line = w3c::line(&relay::upstream(&log, &PROXY).unwrap());
    for (n, value) in [
        (1, "127.0.0.9"),
        (13, "_via_HTTP/1.0_WMCacheProxy/9.00.00.1234"),
        (41, "127.0.0.2"),
        (42, "-"),
        (43, "201"),
        (44, "40"),
        (52, "1"),
    ] {
        assert_eq!(column(&line, n), value, "{n}");
    }
    // A second proxy replaces the first.
    let second = Proxy {
        product: "WMCacheProxy/9.5",
        host: Some("edge.example"),
        ..PROXY
    };
    let line =
        w3c::line(&relay::upstream(&relay::upstream(&log, &PROXY).unwrap(), &second).unwrap());
    assert_eq!(column(&line, 13), "_via_HTTP/1.0_WMCacheProxy/9.5");
    assert_eq!(column(&line, 42), "edge.example");
}

// W7, WMLOG-43
#[test]
fn proxy_makes_a_rendering_log_of_a_legacy_one() {
    let legacy = parse(&ClientLog::W3c(W1.into())).unwrap();
    let line = w3c::line(&relay::rendering(&legacy));
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(fields.len(), 52);
    assert_eq!(fields[21..24], ["-", "Cache", "-"]);
    assert_eq!(fields[30..39], ["-"; 9]);
    assert_eq!(
        (fields[39], fields[6], fields[47]),
        ("100", "30", "http://127.0.0.1/a.wmv")
    );
    assert!(relay::upstream(&legacy, &PROXY).is_some());
    assert_eq!(
        relay::upstream(&playback().streaming(&player()), &PROXY),
        None
    );
    assert_eq!(
        relay::upstream(&playback().connect(&player()), &PROXY),
        None
    );
}

fn facts() -> ServerFacts<'static> {
    ServerFacts {
        unix_seconds: 1_714_564_801,
        peer: "::ffff:127.0.0.7".parse().unwrap(),
        local: "127.0.0.1".parse().unwrap(),
        host: Some("media example"),
        url: "http://127.0.0.1/vod/a.wmv?b=1",
        user_agent: "NSPlayer/10.0.0.3802 x",
        protocol: "http",
        transport: "TCP",
        status: 200,
        sent_ms: 29_100,
        sent_bytes: 5_000_000_000,
        sent_packets: 7,
        clients: 12,
        cpu: 3,
        user: None,
        session: 99,
        content_path: "/srv/My Videos/a.wmv",
        granted_bps: Some(3_500_000),
    }
}

fn server_line(entry: Option<&Entry>, facts: &ServerFacts<'_>) -> String {
    let mut out = String::new();
    write_w3c(entry, facts, &mut out);
    assert!(out.ends_with("\r\n"));
    out.truncate(out.len() - 2);
    out
}

// WMLOG-44
#[test]
fn file_header() {
    let text = header(1_714_564_800, "media1", "127.0.0.1".parse().unwrap());
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "#StartDate: 2024-05-01 12:00:00");
    assert!(lines.iter().all(|l| l.starts_with('#')));
    assert_eq!(
        *lines.last().unwrap(),
        "#Fields: c-ip date time c-dns cs-uri-stem c-starttime x-duration c-rate c-status c-playerid \
         c-playerversion c-playerlanguage cs(User-Agent) cs(Referer) c-hostexe c-hostexever c-os \
         c-osversion c-cpu filelength filesize avgbandwidth protocol transport audiocodec videocodec \
         channelURL sc-bytes c-bytes s-pkts-sent c-pkts-received c-pkts-lost-client c-pkts-lost-net \
         c-pkts-lost-cont-net c-resendreqs c-pkts-recovered-ECC c-pkts-recovered-resent \
         c-buffercount c-totalbuffertime c-quality s-ip s-dns s-totalclients s-cpu-util \
         cs-user-name s-session-id s-content-path cs-url cs-media-name c-max-bandwidth \
         cs-media-role s-proxied"
    );
}

// WMLOG-44, WMLOG-45
#[test]
fn server_columns_come_from_the_server() {
    let mut log = playback().legacy(&player(), true);
    for (field, claim) in [
        (Field::ScBytes, "1"),
        (Field::SPktsSent, "1"),
        (Field::SIp, "1.1.1.1"),
        (Field::STotalclients, "1"),
        (Field::CsUserName, "root"),
        (Field::SSessionId, "1"),
        (Field::SContentPath, "/etc"),
        (Field::CMaxBandwidth, "1"),
        (Field::CIp, "1.1.1.1"),
    ] {
        log.set(field, claim);
    }
    let line = server_line(Some(&log), &facts());
    assert_eq!(line.split(' ').count(), 52);
    for (n, value) in [
        (1, "127.0.0.7"),
        (2, "2024-05-01"),
        (3, "12:00:01"),
        (5, "/a.wmv"),
        (7, "30"),
        (13, "WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036"),
        (28, "5000000000"),
        (29, "750000"),
        (30, "7"),
        (41, "127.0.0.1"),
        (42, "media_example"),
        (43, "12"),
        (44, "3"),
        (45, "-"),
        (46, "99"),
        (47, "/srv/My_Videos/a.wmv"),
        (48, "http://127.0.0.1/a.wmv?WMBitrate=300000"),
        (50, "3500000"),
        (52, "0"),
    ] {
        assert_eq!(column(&line, n), value, "{n}");
    }
    // Behind a proxy, what the proxy says of its client.
    log.set(Field::SProxied, "1");
    let line = server_line(Some(&log), &facts());
    assert_eq!((column(&line, 1), column(&line, 52)), ("1.1.1.1", "1"));
}

// section 12.2: no log came.
#[test]
fn a_line_without_a_client_log() {
    let line = server_line(None, &facts());
    assert_eq!(line.split(' ').count(), 52);
    for (n, value) in [
        (5, "/vod/a.wmv"),
        (7, "30"),
        (9, "200"),
        (10, "-"),
        (13, "NSPlayer/10.0.0.3802_x"),
        (24, "TCP"),
        (40, "-"),
        (48, "http://127.0.0.1/vod/a.wmv?b=1"),
    ] {
        assert_eq!(column(&line, n), value, "{n}");
    }
    let refused = ServerFacts {
        status: 404,
        ..facts()
    };
    assert_eq!(column(&server_line(None, &refused), 9), "404");
}

#[test]
fn an_invalid_log_still_gives_a_line() {
    let entry = parse(&ClientLog::W3c("garbage".into())).unwrap();
    assert_eq!(
        server_line(Some(&entry), &facts()),
        server_line(None, &facts())
    );
    let mut json = String::new();
    write_json(Some(&entry), &facts(), &mut json);
    assert!(json.contains("\"raw\":\"garbage\""));
}

#[test]
fn json_line() {
    let mut log = playback().legacy(&player(), false);
    log.extend("acme", "say", "a \"b\" \\ c");
    let mut out = String::from("before\r\n");
    write_json(Some(&log), &facts(), &mut out);
    let line = out.strip_prefix("before\r\n").unwrap();
    assert!(line.starts_with("{\"c-ip\":\"127.0.0.7\",\"date\":\"2024-05-01\""));
    assert!(line.contains(",\"sc-bytes\":5000000000,\"c-bytes\":750000,"));
    assert!(line.contains(",\"c-status\":200,"));
    assert!(line.contains(",\"cs-User-Agent\":\"WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036\","));
    assert!(!line.contains("c-resendreqs"), "no value, no key");
    assert!(line.ends_with(
        ",\"log\":\"legacy\",\"extensions\":[[\"acme\",\"say\",\"a \\\"b\\\" \\\\ c\"]]}\r\n"
    ));
    assert_eq!(log.kind, Kind::Legacy);
}

#[test]
fn dates() {
    for (seconds, date, time) in [
        (0, "1970-01-01", "00:00:00"),
        (951_782_399, "2000-02-28", "23:59:59"),
        (951_782_400, "2000-02-29", "00:00:00"),
        (951_868_800, "2000-03-01", "00:00:00"),
        (4_107_542_400, "2100-03-01", "00:00:00"),
        (253_402_300_799, "9999-12-31", "23:59:59"),
        (u64::MAX, "9999-12-31", "23:59:59"),
    ] {
        assert_eq!(utc(seconds), (date.into(), time.into()));
    }
}

proptest! {
    // WMLOG-44
    #[test]
    fn every_line_has_52_values(
        log in proptest::option::of("(?s).{0,200}"), url in "(?s).{0,50}", agent in "(?s).{0,50}",
        path in "(?s).{0,50}", user in proptest::option::of("(?s).{0,20}"),
    ) {
        let entry = log.map(|xml| {
            parse(&ClientLog::Xml(format!("<XML><Summary/><c-os>{xml}</c-os></XML>"))).unwrap()
        });
        let facts = ServerFacts {
            url: &url, user_agent: &agent, content_path: &path, user: user.as_deref(), ..facts()
        };
        let line = server_line(entry.as_ref(), &facts);
        prop_assert_eq!(line.split(' ').count(), 52);
        prop_assert!(!line.chars().any(char::is_control));
        let mut json = String::new();
        write_json(entry.as_ref(), &facts, &mut json);
        prop_assert!(!json.trim_end().chars().any(char::is_control));
    }
}
