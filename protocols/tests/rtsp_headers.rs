//! Values of RTSP headers and bodies against the reference.

use bytes::Bytes;
use proptest::prelude::*;
use protocols::auth::Scheme;
use protocols::content::{Accel, Caching, Content, ContentId, Level, Start};
use protocols::rtsp::body::{ContentType, EndOfStream, EndReason, PairRequest, StreamSwitch};
use protocols::rtsp::cache_control::CacheControl;
use protocols::rtsp::fec;
use protocols::rtsp::fields::{self, Condition, Role, Session, Skip, Streaming, UserAgent};
use protocols::rtsp::range::{Npt, Range};
use protocols::rtsp::rtp_info::{self, StreamEntry};
use protocols::rtsp::sdp::Types;
use protocols::rtsp::transport::{self, Lower, Pair, Spec};
use protocols::wmsp::features::Supported;
use std::sync::Arc;

fn content(broadcast: bool, allowed: bool) -> Content {
    Content {
        id: ContentId(1),
        header: Bytes::new(),
        packet_size: 96,
        packet_count: 4,
        preroll: 3000,
        duration: Some(40),
        streams: Arc::new([]),
        broadcast,
        seekable: true,
        stridable: false,
        playlist: false,
        entry: 1,
        broadcast_id: 0,
        guarded: false,
        caching: Caching {
            allowed,
            max_age: 86_399,
            ..Caching::default()
        },
        file_size: Some(710),
        description: Arc::new([]),
    }
}

fn spec(text: &str) -> Spec {
    Spec::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

// Every Transport of the reference, read and written back.
#[test]
fn transports_of_the_reference() {
    for text in [
        "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=6095d7d7;mode=PLAY",
        "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=3874dd27;mode=PLAY",
        "RTP/AVP/UDP;unicast;client_port=4958-4959;ssrc=b58db0de;mode=PLAY",
        "RTP/AVP/UDP;unicast;server_port=5004-5005;client_port=4958-4959;ssrc=2f73682b;mode=PLAY",
        "RTP/AVP/UDP;unicast;client_port=2408;ssrc=6dded651;mode=PLAY",
        "RTP/AVP/UDP;unicast;server_port=5004;client_port=2408;ssrc=3874dd27;mode=PLAY",
        "RTP/AVP/UDP;unicast;client_port=2408;mode=PLAY;FecSpan=4;FecPerSpan=1;FecBurstMargin=6",
    ] {
        assert_eq!(spec(text).to_string(), text);
        assert!(spec(text).is_acceptable(), "{text}");
    }
    let rtx = spec("RTP/AVP/UDP;unicast;server_port=5004-5005;client_port=4958-4959;ssrc=2f73682b");
    assert_eq!(rtx.server_port, Some(Pair::of(5004, 5005)));
    assert_eq!(rtx.client_port, Some(Pair::of(4958, 4959)));
    assert_eq!((rtx.ssrc, rtx.play), (Some(796_092_459), None));
}

// RTSP-61
#[test]
fn alternatives_in_order_of_preference() {
    let value = "RTP/AVP/UDP;unicast;client_port=2408;ssrc=6dded651;mode=PLAY, \
         RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=6dded651;mode=PLAY,x-real-rdt/tcp;mode=play";
    let offered: Vec<_> = transport::specs(value).collect();
    assert_eq!(offered.len(), 3);
    assert_eq!(
        offered[0].as_ref().unwrap().client_port,
        Some(Pair::one(2408))
    );
    assert_eq!(offered[1].as_ref().unwrap().lower, Lower::Tcp);
    let fault = offered[2].as_ref().unwrap_err();
    assert_eq!(
        (fault.production, fault.offset),
        ("Transport", value.find("x-real").unwrap() as u64)
    );
}

// RTSP-61: FFmpeg writes `play`, GStreamer no mode and no `/UDP`.
#[test]
fn transports_of_players() {
    let gst = spec("RTP/AVP;unicast;client_port=40000-40001");
    assert_eq!((gst.lower, gst.play), (Lower::Udp, None));
    assert!(gst.is_acceptable());
    assert_eq!(
        spec("RTP/AVP/UDP;unicast;client_port=1-2;mode=play").play,
        Some(true)
    );
    assert_eq!(spec("RTP/AVP/TCP;mode=\"PLAY\"").play, Some(true));
    assert!(!spec("RTP/AVP/TCP;unicast;mode=RECORD").is_acceptable());
    assert!(!spec("RTP/AVP/UDP;unicast").is_acceptable());
    assert!(!spec("RTP/AVP/UDP;client_port=4-5").is_acceptable());
    assert!(!spec("RTP/AVP/UDP;unicast;client_port=0").is_acceptable());
    assert!(spec("RTP/AVP/TCP;unicast").is_acceptable());
    let odd = spec("rtp/avp/udp; Unicast ; destination=1.2.3.4;x-foo = bar;;CLIENT_PORT = 7 - 8");
    assert_eq!(odd.client_port, Some(Pair::of(7, 8)));
    assert_eq!(odd.other, ["destination=1.2.3.4", "x-foo = bar"]);
    assert!(odd.unicast);
}

// RTSP-74
#[test]
fn correction_parameters_are_hexadecimal_and_bounded() {
    let fec = spec("RTP/AVP;FecSpan=18;FecPerSpan=A;FecBurstMargin=1")
        .fec
        .unwrap();
    assert_eq!((fec.span(), fec.per_span(), fec.margin()), (24, 10, 1));
    let fec = spec("RTP/AVP;FecSpan=02;FecPerSpan=1").fec.unwrap();
    assert_eq!(fec.margin(), 1);
    for bad in [
        "FecSpan=19;FecPerSpan=1;FecBurstMargin=1",
        "FecSpan=0;FecPerSpan=1;FecBurstMargin=1",
        "FecSpan=4;FecPerSpan=5;FecBurstMargin=1",
        "FecSpan=4;FecPerSpan=0;FecBurstMargin=1",
        "FecSpan=4;FecPerSpan=1;FecBurstMargin=D",
        "FecSpan=4;FecPerSpan=1;FecBurstMargin=8",
        "FecSpan=4;FecBurstMargin=1",
        "FecSpan=x;FecPerSpan=1;FecBurstMargin=1",
    ] {
        assert!(Spec::parse(&format!("RTP/AVP;{bad}")).is_err(), "{bad}");
    }
    // The text's limit of 24 does not fit the mask; 23 does.
    assert!(fec::Params::new(4, 1, 7).is_some());
    assert!(fec::Params::new(3, 1, 12).is_none());
    assert!(fec::Params::new(24, 24, 1).is_some());
}

#[test]
fn damaged_transports_are_placed() {
    let fault = |text: &str| {
        let f = Spec::parse(text).unwrap_err();
        (f.production, f.offset)
    };
    assert_eq!(fault(""), ("Transport", 0));
    assert_eq!(fault("RTP/AVP;client_port=70000"), ("client_port", 8));
    assert_eq!(
        fault("RTP/AVP;unicast;interleaved=0-256"),
        ("interleaved", 16)
    );
    assert_eq!(fault("RTP/AVP;ssrc=123456789"), ("ssrc", 8));
    assert_eq!(
        fault(&format!("RTP/AVP{}", ";a".repeat(33))),
        ("Transport", 72)
    );
}

// RTSP-67
#[test]
fn ranges() {
    for text in [
        "npt=3.000-3.040",
        "npt=0.000-",
        "npt=now-",
        "npt=-9.100",
        "smpte=00:00:10-",
        "smpte-25=10:07:33-10:07:53:12.50",
        "x-asf-byte=0-",
        "x-asf-packet=18446744073709551614-18446744073709551614",
    ] {
        assert_eq!(Range::parse(text).unwrap().to_string(), text);
    }
    let npt = |text: &str| match Range::parse(text).unwrap() {
        Range::Npt {
            start: Some(Npt::Millis(start)),
            end,
        } => (start, end),
        other => panic!("{other:?}"),
    };
    assert_eq!(npt("npt=3.1-9.1"), (3100, Some(Npt::Millis(9100))));
    assert_eq!(npt("NPT = 1:02:03.4567-"), (3_723_456, None));
    assert_eq!(npt("npt=02:03-;time=19970123T143720Z"), (123_000, None));
    assert_eq!(npt("npt=.5-"), (500, None));
    let smpte = |text: &str| match Range::parse(text).unwrap() {
        Range::Smpte { rate, start, .. } => start.millis(rate),
        other => panic!("{other:?}"),
    };
    assert_eq!(smpte("smpte=0:00:10-"), 10_010);
    assert_eq!(smpte("smpte-25=0:00:10:05-"), 10_200);
    // Ten minutes of drop-frame time code are ten minutes but for 0.6 ms.
    assert_eq!(smpte("smpte-30-drop=0:10:00-"), 599_999);
    for bad in [
        "",
        "npt",
        "npt=",
        "npt=-",
        "npt=1",
        "npt=1-2,3-4",
        "npt=a-",
        "npt=99999999999999999999-",
        "npt=1:1:1:1-",
        "clock=19961108T142300Z-",
        "bytes=0-",
        "smpte=1:2-",
        "smpte=1:60:00-",
        "smpte=1:2:3:4:5-",
        "x-asf-byte=-5",
        "x-asf-packet=18446744073709551615-",
    ] {
        assert!(Range::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(Range::parse(" npt=1-2,3-4").unwrap_err().offset, 5);
}

// RTSP-68
#[test]
fn rtp_info_of_the_reference() {
    let text = "url=rtsp://wme.example/tone.wma/audio;seq=26967;rtptime=0";
    let list = rtp_info::parse(text).unwrap();
    assert_eq!((list[0].seq, list[0].rtp_time), (Some(26967), Some(0)));
    assert_eq!(rtp_info::write(&list), text);
    let list = rtp_info::parse("URL = rtsp://h/d?url=1 ; SEQ = 7;ssrc=0;other").unwrap();
    assert_eq!((&*list[0].url, list[0].seq), ("rtsp://h/d?url=1", Some(7)));
    assert_eq!(
        rtp_info::parse("rtsp://h/d?url=1").unwrap()[0].url,
        "rtsp://h/d?url=1"
    );
    let list = rtp_info::parse("url=\"rtsp://h/a,b;c\";seq=1, url=rtsp://h/d;seq=65535").unwrap();
    assert_eq!(
        (&*list[0].url, &*list[1].url),
        ("rtsp://h/a,b;c", "rtsp://h/d")
    );
    assert_eq!(
        rtp_info::write(&list),
        "url=\"rtsp://h/a,b;c\";seq=1,url=rtsp://h/d;seq=65535"
    );
    let with = |n: usize| rtp_info::parse(&format!("url=a{}", ";x=1".repeat(n)));
    assert!(with(32).is_ok());
    assert_eq!(with(33).unwrap_err().reason, "too many parameters");
}

#[test]
fn x_rtp_info_of_the_reference() {
    let text = "url=rtsp://wme.example/list/audio;transport=RTP/AVP/UDP;unicast;server_port=5004;\
                client_port=2408;ssrc=3874dd27;mode=PLAY;blocksize=1460;thinlevel=0;seq=26971;rtptime=0";
    let list = rtp_info::parse(text).unwrap();
    assert_eq!(rtp_info::write(&list), text);
    let entry = &list[0];
    assert!(entry.unicast && entry.play && !entry.is_bare());
    assert_eq!(
        (entry.block_size, entry.thin),
        (Some(1460), Some(Level::Whole))
    );
    assert_eq!(entry.ssrc, Some(0x3874_dd27));
    // In Play: URLs alone, with and without the word.
    let list =
        rtp_info::parse("url=rtsp://wme.example/list/audio,rtsp://wme.example/list/video").unwrap();
    assert!(list.iter().all(StreamEntry::is_bare));
    assert_eq!(list[1], StreamEntry::url("rtsp://wme.example/list/video"));
    for bad in [
        "",
        ",",
        "url=",
        "url=\"a",
        "url=a;seq=65536",
        "url=a;seq=-1",
        "url=a;thinlevel=3",
        "url=a;transport=RAW",
        "url=a;ssrc=x",
        "url=a;interleaved=0-999",
        ";seq=1",
    ] {
        assert!(rtp_info::parse(bad).is_err(), "{bad:?}");
    }
    assert!(rtp_info::parse(&"url=a,".repeat(129)).is_err());
    assert_eq!(
        rtp_info::parse("url=a, url=b;seq=x").unwrap_err().offset,
        13
    );
}

#[test]
fn sessions() {
    let s = Session::parse("4242424242424242424;timeout=60").unwrap();
    assert_eq!((&*s.id, s.timeout), ("4242424242424242424", Some(60)));
    assert_eq!(s.to_string(), "4242424242424242424;timeout=60");
    let s = Session::parse(" 12345678901234567890 ; Timeout = 30 ;x").unwrap();
    assert_eq!((s.id.len(), s.timeout), (20, Some(30)));
    assert_eq!(Session::parse("a").unwrap().to_string(), "a");
    assert!(Session::parse("123456789012345678901").is_err());
    assert!(Session::parse(";timeout=3").is_err());
}

// BW-28
// BW-55
#[test]
fn accelerated_starts() {
    let accel = Accel {
        duration_ms: 8000,
        bits_per_second: 1_024_128,
    };
    let text = "AccelDuration=8000;AccelBandwidth=1024128";
    assert_eq!(Streaming::Accelerate.parse(text), Some(accel));
    assert_eq!(Streaming::Accelerate.write(accel), text);
    // Older download tools.
    let spaced = "AccelBandwidth = 1024128; AccelDuration = 8000;";
    assert_eq!(Streaming::Accelerate.parse(spaced), Some(accel));
    assert_eq!(Streaming::Burst.parse(text), None);
    let burst = "BurstDuration=8000;BurstBandwidth=1024128";
    assert_eq!(Streaming::Burst.parse(burst), Some(accel));
    assert_eq!(
        Streaming::Burst.parse("BurstDuration=1;BurstBandwidth=2147483648"),
        None
    );
    for bad in [
        "",
        "AccelDuration=8000",
        "AccelDuration=0;AccelBandwidth=1",
        "AccelDuration=1;AccelBandwidth=4294967296",
    ] {
        assert_eq!(Streaming::Accelerate.parse(bad), None, "{bad:?}");
    }
    let most = Accel {
        duration_ms: 1,
        bits_per_second: u32::MAX,
    };
    assert_eq!(
        Streaming::Burst.write(most),
        "BurstDuration=1;BurstBandwidth=2147483647"
    );
    assert_eq!(Streaming::Burst.header(), "X-Burst-Streaming");
}

#[test]
fn supported_tokens() {
    let text = "com.microsoft.wm.sswitch, com.microsoft.wm.eosmsg, com.microsoft.wm.srvppair, \
                com.microsoft.wm.fastcache, com.microsoft.wm.locid, com.microsoft.wm.packetpairssrc, x";
    let s = Supported::parse(text.split(',').map(str::trim));
    for has in [
        Supported::SWITCH,
        Supported::END_OF_STREAM,
        Supported::PACKET_PAIR,
        Supported::FAST_CACHE,
        Supported::LOCATION_ID,
        Supported::PACKET_PAIR_SSRC,
    ] {
        assert!(s.has(has), "{has:?}");
    }
    assert!(!s.has(Supported::PREDICTIVE) && !s.has(Supported::STARTUP_PROFILE));
    assert_eq!(Supported::parse(s.text().split(", ")), s);
}

#[test]
fn user_agents() {
    let ua =
        UserAgent::parse("WMPlayer/9.0.0.2833 guid/B64345F5-8C45-4818-8A1A-4775F0923FAC").unwrap();
    assert_eq!((ua.role, ua.version.major), (Role::Player, 9));
    assert_eq!(
        ua.guid.as_deref(),
        Some("B64345F5-8C45-4818-8A1A-4775F0923FAC")
    );
    assert_eq!(UserAgent::parse("WMServer/9.5").unwrap().guid, None);
    let proxy =
        UserAgent::parse("WMCacheProxy/9.1 guid/{B64345F5-8C45-4818-8A1A-4775F0923FAC} x/1")
            .unwrap();
    assert_eq!(
        (proxy.role, proxy.guid.map(|g| g.len())),
        (Role::CacheProxy, Some(36))
    );
    for foreign in [
        "",
        "Lavf59.27.100",
        "GStreamer/1.22.0",
        "NSPlayer/9.0",
        "WMPlayer",
        "WMPlayer/x",
    ] {
        assert_eq!(UserAgent::parse(foreign), None, "{foreign:?}");
    }
    assert!(fields::wants_one_control("GStreamer/1.22.0"));
    assert!(!fields::wants_one_control("Lavf59.27.100"));
}

#[test]
fn small_values() {
    assert_eq!(
        fields::u32_value("2147483647", "Bandwidth"),
        Ok(fields::BANDWIDTH_ANY)
    );
    assert!(fields::u32_value("4294967296", "Bandwidth").is_err());
    assert!(fields::u32_value("-1", "Bandwidth").is_err());
    assert_eq!(fields::entry_id("1", "X-Playlist-Gen-Id"), Ok(1));
    assert!(fields::entry_id("0", "X-Playlist-Gen-Id").is_err());
    assert_eq!(fields::milli_value("1.000", "Scale"), Ok(1000));
    assert_eq!(fields::milli_value("-5", "Scale"), Ok(-5000));
    assert_eq!(fields::milli_value("1.2949", "Speed"), Ok(1294));
    assert!(fields::milli_value("", "Speed").is_err());
    assert!(fields::milli_value("1e3", "Speed").is_err());
    assert!(fields::milli_value("2147484", "Speed").is_err());
    assert_eq!(fields::milli_text(-500), "-0.500");
    assert_eq!(fields::milli_text(1000), "1.000");
    assert_eq!(Skip::parse("pl-offset=1"), Ok(Skip::Forward));
    assert_eq!(Skip::parse(" PL-Offset = -1"), Ok(Skip::Backward));
    assert!(Skip::parse("pl-offset=2").is_err());
    assert_eq!(Skip::Backward.text(), "pl-offset=-1");
    assert!(fields::is_set("true") && fields::is_set("1") && !fields::is_set("0"));
    assert_eq!(fields::notice(fields::NOTICE_END_OF_STREAM), Some(2101));
    let schemes = fields::accepted_schemes("Negotiate, NTLM, Digest, NTLM, basic".split(','));
    assert_eq!(schemes, [Scheme::Ntlm, Scheme::Digest, Scheme::Basic]);
}

#[test]
fn conditions() {
    let tag = "{11111111-2222-3333-4444-555555555555}";
    let one = Condition::parse(&format!("\"{tag}\""), "If-Match").unwrap();
    assert!(one.holds(tag) && !one.holds("x"));
    assert_eq!(one.to_string(), format!("\"{tag}\""));
    assert!(Condition::parse(" * ", "If-Match").unwrap().holds("x"));
    let two = Condition::parse("\"a\", W/\"b\"", "If-None-Match").unwrap();
    assert_eq!(two.to_string(), "\"a\", \"b\"");
    for bad in ["", "a", "\"a\",", "\"a\"b\"", "\"", "*, \"a\""] {
        assert!(Condition::parse(bad, "If-Match").is_err(), "{bad:?}");
    }
    assert!(Condition::parse(&vec!["\"a\""; 32].join(","), "If-Match").is_ok());
    assert!(Condition::parse(&vec!["\"a\""; 33].join(","), "If-Match").is_err());
}

// RTSP-62, RTSP-63, RTSP-89
#[test]
fn cache_directives() {
    let text = "max-age=86399, must-revalidate, proxy-revalidate, x-wms-content-size=710";
    let c = CacheControl::parse(text);
    assert_eq!(c.to_string(), text);
    assert_eq!((c.max_age, c.content_size), (Some(86399), Some(710)));
    assert!(c.client_may_keep() && c.proxy_may_keep());
    assert_eq!(CacheControl::default().to_string(), "no-cache");
    assert!(!CacheControl::parse("max-age=5").client_may_keep());
    assert!(!CacheControl::parse("public, no-cache").client_may_keep());
    assert!(!CacheControl::parse("public, no-user-cache").client_may_keep());
    assert!(CacheControl::parse("public, no-user-cache").proxy_may_keep());
    assert!(!CacheControl::parse("public, private").proxy_may_keep());
    let all = "no-cache, max-age=1, no-store, no-user-cache, private, public, must-revalidate, \
               proxy-revalidate, x-wms-event-subscription=\"remote-open,remote-close,remote-log\", \
               x-wms-proxy-split, x-wms-stream-type=\"broadcast,playlist\"";
    let c = CacheControl::parse(all);
    assert!(c.proxy_split && c.events.open && c.events.close && c.events.log);
    assert_eq!(c.to_string(), all);
    let broadcast = CacheControl {
        broadcast: true,
        content_size: Some(9),
        ..CacheControl::default()
    };
    assert_eq!(broadcast.to_string(), "x-wms-stream-type=\"broadcast\"");
    assert_eq!(
        CacheControl::parse("x, max-age=y,, =").to_string(),
        "no-cache"
    );
}

// RTSP-63, RTSP-89
#[test]
fn what_a_content_says_of_itself() {
    let file = content(false, true);
    assert_eq!(
        CacheControl::of(&file, false).to_string(),
        "max-age=86399, must-revalidate, proxy-revalidate, x-wms-content-size=710"
    );
    assert_eq!(
        CacheControl::of(&content(true, false), true).to_string(),
        "no-cache"
    );
    let live = content(true, true);
    assert_eq!(
        CacheControl::of(&live, true).to_string(),
        "max-age=0, must-revalidate, proxy-revalidate, x-wms-event-subscription=\"remote-log\", \
         x-wms-proxy-split, x-wms-stream-type=\"broadcast\""
    );
    assert_eq!(Range::of(&file).to_string(), "npt=3.000-3.040");
    assert_eq!(Range::of(&live).to_string(), "npt=3.000-");
    let types = Types::of(&file);
    assert!(types.not_stridable && !types.not_seekable && !types.broadcast);
    let types = Types::of(&live);
    assert!(types.broadcast && types.not_seekable && !types.skip_forward);
    let entry = Content {
        playlist: true,
        ..file
    };
    assert!(Types::of(&entry).skip_forward && Types::of(&entry).playlist);
    assert!(
        !CacheControl::of(&entry, false)
            .to_string()
            .contains("content-size")
    );
}

// Values below the preroll are the beginning: FFmpeg asks for 0, GStreamer for what the SDP says.
#[test]
fn ranges_as_places_to_start() {
    let start = |text: &str| Range::parse(text).unwrap().start(3100);
    for beginning in [
        "npt=0.000-",
        "npt=3.1-9.1",
        "npt=now-",
        "npt=-5",
        "smpte=0:00:00-",
    ] {
        assert_eq!(start(beginning), Start::Beginning, "{beginning}");
    }
    assert_eq!(start("npt=5.1-"), Start::Time(2000));
    assert_eq!(start("smpte-25=0:00:10:05-"), Start::Time(7100));
    assert_eq!(start("npt=99999999999-"), Start::Time(u32::MAX));
    assert_eq!(start("x-asf-packet=7-"), Start::Packet(7));
    assert_eq!(start("x-asf-byte=5000-"), Start::Byte(5000));
}

// WMLOG-32
#[test]
fn content_types() {
    let t = ContentType::parse;
    assert_eq!(
        t("application/x-wms-Logconnectstats;charset=UTF-8"),
        Some(ContentType::LogConnect)
    );
    assert_eq!(
        t("APPLICATION/X-WMS-LOGPLAYSTATS ; a"),
        Some(ContentType::LogPlay)
    );
    assert_eq!(
        t("application/x-rtsp-packetpair"),
        Some(ContentType::PacketPair)
    );
    assert_eq!(t("text/parameters"), None);
    assert_eq!(
        ContentType::ExtensionCommand.name(),
        "application/x-wms-extension-cmd"
    );
}

// RTSP-96
#[test]
fn stream_switches_of_the_reference() {
    let text = "SSEntry: 7 6 0 rtsp://wme.example/mbr.wmv/stream=7 rtsp://wme.example/mbr.wmv/stream=6\r\n";
    assert_eq!(text.len(), 88);
    let list = StreamSwitch::parse(text.as_bytes()).unwrap();
    assert_eq!(
        list[0].old,
        Some((7, "rtsp://wme.example/mbr.wmv/stream=7".into()))
    );
    assert_eq!(list[0].to_string(), text);
    let text = "SSEntry: 5 4294967295 0 rtsp://wme.example/mbr.wmv/audio=5\r\n";
    assert_eq!(text.len(), 60);
    let list = StreamSwitch::parse(text.as_bytes()).unwrap();
    assert_eq!((list[0].new.is_none(), list[0].thin), (true, Level::Whole));
    assert_eq!(list[0].to_string(), text);
    // What examples of the protocol document have.
    let list = StreamSwitch::parse(b"4294967295 3 1 rtsp://h/3").unwrap();
    assert_eq!(
        (list[0].old.is_none(), list[0].thin),
        (true, Level::KeyOnly)
    );
    assert_eq!(list[0].new, Some((3, "rtsp://h/3".into())));
    let list =
        StreamSwitch::parse(b"\r\nssentry: 3 3 2 u u\r\n\r\nSSEntry: 1 2 0\r\n\r\n").unwrap();
    assert_eq!((list.len(), list[0].thin), (2, Level::Off));
    assert_eq!(list[1].new, Some((2, String::new())));
    for bad in [
        "",
        "\r\n",
        "SSEntry:",
        "SSEntry: 1",
        "SSEntry: 1 2",
        "SSEntry: 1 2 3 a b",
        "SSEntry: -1 2 0",
        "SSEntry: 1 4294967296 0",
        "SSEntry: 1 2 0 a b c",
        "x",
    ] {
        assert!(StreamSwitch::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert_eq!(StreamSwitch::parse(b"1 2 0\n1 2").unwrap_err().offset, 6);
    assert!(StreamSwitch::parse(&"1 2 0\n".repeat(129).into_bytes()).is_err());
    assert!(StreamSwitch::parse(b"1 2 \xff").is_err());
}

#[test]
fn ends_of_streams_of_the_reference() {
    let end = EndOfStream {
        session: "4242424242424242424".into(),
        reason: None,
    };
    assert_eq!(
        end.to_string(),
        "Session: 4242424242424242424\r\nEOF: true\r\n"
    );
    assert_eq!(end.to_string().len(), 41);
    let entry = EndOfStream {
        reason: Some(EndReason::EndOfPlaylistEntry),
        ..end.clone()
    };
    assert_eq!(entry.to_string().len(), 70);
    for reason in [
        EndReason::AdministrativeDisconnection,
        EndReason::EndOfPlaylistEntry,
        EndReason::RecedingEos,
    ] {
        let end = EndOfStream {
            reason: Some(reason),
            ..end.clone()
        };
        assert_eq!(EndOfStream::parse(end.to_string().as_bytes()), Ok(end));
    }
    assert_eq!(
        EndOfStream::parse(b"eof:true\0"),
        Ok(EndOfStream {
            session: String::new(),
            reason: None
        })
    );
    assert!(EndOfStream::parse(b"EOF: false\r\n").is_err());
}

#[test]
fn packet_pair_requests() {
    let variable = PairRequest {
        variable_size: true,
    };
    assert_eq!(variable.text().len(), 43);
    for variable_size in [true, false] {
        let request = PairRequest { variable_size };
        assert_eq!(PairRequest::parse(request.text().as_bytes()), Ok(request));
    }
    assert!(PairRequest::parse(b"type: other").is_err());
    assert!(PairRequest::parse(b"").is_err());
}

fn pair_of() -> impl Strategy<Value = Pair<u16>> {
    (any::<u16>(), any::<Option<u16>>()).prop_map(|(first, second)| Pair { first, second })
}

fn fec_params() -> impl Strategy<Value = fec::Params> {
    (1u32..=24, 1u32..=24, 1u32..=12)
        .prop_filter_map("limits", |(s, p, m)| fec::Params::new(s, p, m))
}

proptest! {
    #[test]
    fn any_transport_round_trips(
        tcp: bool, unicast: bool, ssrc in any::<Option<u32>>(), play: bool,
        server_port in proptest::option::of(pair_of()), client_port in proptest::option::of(pair_of()),
        channels in any::<Option<(u8, u8)>>(), fec in proptest::option::of(fec_params()),
    ) {
        let spec = Spec {
            lower: if tcp { Lower::Tcp } else { Lower::Udp },
            unicast, ssrc, server_port, client_port, fec,
            interleaved: channels.map(|(a, b)| Pair::of(a, b)),
            play: play.then_some(true),
            ..Spec::default()
        };
        prop_assert_eq!(Spec::parse(&spec.to_string()), Ok(spec));
    }

    #[test]
    fn any_rtp_info_round_trips(
        urls in proptest::collection::vec("rtsp://[a-z,;=/]{1,20}", 1..5),
        seq in any::<Option<u16>>(), rtp_time in any::<Option<u32>>(), fec in proptest::option::of(fec_params()),
        client_port in proptest::option::of(pair_of()), unicast: bool,
    ) {
        let list: Vec<_> = urls.into_iter().map(|url| StreamEntry {
            url, seq, rtp_time, fec, client_port, unicast, ..StreamEntry::default()
        }).collect();
        prop_assert_eq!(rtp_info::parse(&rtp_info::write(&list)), Ok(list));
    }

    #[test]
    fn npt_round_trips(start in 0u64..1 << 50, end in proptest::option::of(0u64..1 << 50)) {
        let range = Range::npt(start, end);
        prop_assert_eq!(Range::parse(&range.to_string()), Ok(range));
    }

    // Whatever a value holds, it is read or refused with a place inside of it.
    #[test]
    fn values_of_anything(text in "[ -~]{0,60}|[a-zA-Z]{1,12}=[0-9a-f:.;,-]{0,40}") {
        let inside = |offset: u64| offset <= text.len() as u64;
        for fault in [
            Spec::parse(&text).err(),
            Range::parse(&text).err(),
            rtp_info::parse(&text).err(),
            Session::parse(&text).err(),
            Condition::parse(&text, "If-Match").err(),
            StreamSwitch::parse(text.as_bytes()).err(),
        ].into_iter().flatten() {
            prop_assert!(inside(fault.offset), "{fault}");
        }
        let _ = (UserAgent::parse(&text), CacheControl::parse(&text), Streaming::Burst.parse(&text));
    }
}
