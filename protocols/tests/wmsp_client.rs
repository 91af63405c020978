//! The WMSP client: what it asks.

mod asf_build;
mod wmsp_rig;

use protocols::content::{Accel, Level, Start};
use protocols::http::head::Version as HttpVersion;
use protocols::media::{IngestEvent, News};
use protocols::wmsp::client::{ClientConfig, Streams};
use protocols::wmsp::packet::PacketId;
use protocols::wmsp::version::ClientToken;
use wmsp_rig::talk::*;
use wmsp_rig::*;

// WMSP-96, WMSP-98
#[test]
fn describe_says_who_asks() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.connects[0].1, "h");
    assert_eq!(rig.connects[0].2, 80);
    let conn = rig.open();
    let request = rig.request(conn);
    assert!(request.starts_with("GET /vod/a.wmv?x=1 HTTP/1.1\r\n"));
    assert!(request.ends_with("\r\n\r\n"));
    assert_eq!(
        header(&request, "User-Agent"),
        Some("NSPlayer/12.0.7601.17514")
    );
    assert_eq!(header(&request, "Host"), Some("h"));
    let supported = header(&request, "Supported").unwrap();
    assert!(supported.contains("com.microsoft.wm.sswitch"));
    assert!(
        !supported.contains("startupprofile"),
        "not before the server names it"
    );
    for token in [
        "no-cache",
        "packet-pair-experiment=1",
        "pipeline-experiment=1",
    ] {
        assert!(has(&request, token), "{token}");
    }
    let guid = pragmas(&request)
        .into_iter()
        .find(|t| t.starts_with("xClientGUID="))
        .unwrap();
    assert_eq!(guid.len(), "xClientGUID=".len() + 38);
    assert!(!request.contains("client-id"));
}

// WMSP-96
#[test]
fn roles() {
    let agent = |config| {
        let mut rig = Rig::new(config);
        let conn = rig.open();
        header(&rig.request(conn), "User-Agent").unwrap().to_owned()
    };
    let server = ClientConfig {
        role: ClientToken::NsServer,
        version: "9.1.1.3841".into(),
        ..config()
    };
    assert_eq!(agent(server.clone()), "NSServer/9.1.1.3841");
    let proxy = ClientConfig {
        via_cache_proxy: true,
        products: "Ringcast/1".into(),
        ..server
    };
    assert_eq!(
        agent(proxy),
        "NSServer/9.1.1.3841; via WMCacheProxy Ringcast/1"
    );
    let player = ClientConfig {
        via_cache_proxy: true,
        ..config()
    };
    assert_eq!(agent(player), "NSPlayer/12.0.7601.17514");
}

// WMSP-102
#[test]
fn a_client_of_http_1_0_does_not_pipeline() {
    let mut rig = Rig::new(ClientConfig {
        http: HttpVersion::Http10,
        ..config()
    });
    let conn = rig.open();
    let request = rig.request(conn);
    assert!(request.starts_with("GET /vod/a.wmv?x=1 HTTP/1.0\r\n"));
    assert!(!request.contains("pipeline") && !request.contains("version11"));
}

#[test]
fn an_old_player_says_nothing_new() {
    let (_, _, play) = playing(ClientConfig {
        version: "7.10.0.3059".into(),
        accel: Some(ACCEL),
        burst: Some(ACCEL),
        ..plain()
    });
    assert_eq!(header(&play, "Supported"), None);
    assert!(!play.contains("Accel") && !play.contains("Burst"));
}

const ACCEL: Accel = Accel {
    bits_per_second: 2_147_483_647,
    duration_ms: 18_000,
};

// WMSP-97, WMSP-98, WMSP-99
#[test]
fn play_names_every_stream() {
    let (rig, _, play) = playing(ClientConfig {
        streams: Streams::Only(vec![(2, Level::KeyOnly), (9, Level::Whole)]),
        ..plain()
    });
    for token in [
        "xPlayStrm=1",
        "client-id=77",
        "rate=1.000",
        "stream-time=0",
        "stream-offset=4294967295:4294967295",
        "packet-num=4294967295",
        "stream-switch-count=2",
    ] {
        assert!(has(&play, token), "{token} in {play}");
    }
    assert!(play.contains("\r\nPragma: stream-switch-entry=ffff:1:2 ffff:2:1\r\n"));
    assert!(!play.contains("version11") && !play.contains("Speed") && !play.contains("Accel"));
    assert!(
        header(&play, "Supported")
            .unwrap()
            .contains("startupprofile")
    );
    assert!(
        rig.events
            .iter()
            .any(|e| *e == IngestEvent::Header(asf_header().into()))
    );
}

// WMSP-99: a distribution server below 9.0 takes everything.
#[test]
fn an_old_server_takes_all_streams() {
    let (_, _, play) = playing(ClientConfig {
        role: ClientToken::NsServer,
        version: "4.1.0.3917".into(),
        ..plain()
    });
    assert!(!play.contains("stream-switch"));
}

#[test]
fn positions() {
    for (start, tokens) in [
        (
            Start::Time(5000),
            [
                "stream-time=5000",
                "packet-num=4294967295",
                "stream-offset=4294967295:4294967295",
            ],
        ),
        (
            Start::Packet(9),
            [
                "stream-time=4294967295",
                "packet-num=9",
                "stream-offset=4294967295:4294967295",
            ],
        ),
        (
            Start::Byte((1 << 32) + 5),
            [
                "stream-time=4294967295",
                "packet-num=4294967295",
                "stream-offset=1:5",
            ],
        ),
    ] {
        let (_, _, play) = playing(ClientConfig { start, ..plain() });
        for token in tokens {
            assert!(has(&play, token), "{token}");
        }
    }
}

// WMSP-100, BW-52
#[test]
fn rates_are_asked_for_where_they_are_known() {
    let eager = ClientConfig {
        accel: Some(ACCEL),
        burst: Some(ACCEL),
        speed_milli: Some(91_268_055),
        link_bw: Some(1_000_000),
        max_duration: Some(30_000),
        ..plain()
    };
    let (_, _, play) = playing(eager.clone());
    for token in [
        "AccelBW=2147483647",
        "AccelDuration=18000",
        "Speed=91268.055",
        "LinkBW=1000000",
        "max-duration=30000",
    ] {
        assert!(has(&play, token), "{token}");
    }
    assert!(!play.contains("Burst"), "a player has no burst");
    let (_, _, play) = playing(ClientConfig {
        role: ClientToken::NsServer,
        version: "9.0".into(),
        ..eager.clone()
    });
    assert!(has(&play, "BurstBW=2147483647") && has(&play, "BurstDuration=18000"));

    let play_to = |headers: &str, server: &str| {
        let mut rig = Rig::new(eager.clone());
        let conn = rig.open();
        rig.requests(conn);
        let body = object(PacketId::Header, &asf_header());
        let text = format!(
            "HTTP/1.1 200 OK\r\nServer: {server}\r\n{DESCRIBED}{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        rig.feed(conn, [text.as_bytes(), &body].concat());
        rig.request(conn)
    };
    // Fast cache is not announced.
    let play = play_to("", "Cougar/9.0");
    assert!(!play.contains("Speed") && play.contains("AccelBW"));
    // Servers of 4.x know none of it.
    let play = play_to(SUPPORTS, "Cougar 4.1.0.3921");
    for token in ["Speed", "Accel", "LinkBW"] {
        assert!(!play.contains(token), "{token}");
    }
}

#[test]
fn what_is_granted_is_reported() {
    let (mut rig, conn, _) = playing(plain());
    rig.feed(
        conn,
        open_reply(
            "Content-Type: application/x-mms-framed\r\nPragma: no-cache, AccelBW=3500000, \
             AccelDuration=18000, Speed=5.000\r\nX-StartupProfile: Rate=10;\r\n",
        ),
    );
    assert!(rig.news().contains(&&News::Granted {
        accel: Some(Accel {
            bits_per_second: 3_500_000,
            duration_ms: 18_000
        }),
        speed_milli: Some(5000),
        startup_profile: Some("Rate=10;".into()),
    }));
}
