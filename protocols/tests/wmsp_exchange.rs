//! The worked exchanges of the reference, and real players' requests byte by byte.

mod wmsp_support;

use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use std::time::Duration;
use wmsp_support::*;

const V12: &str = "User-Agent: NSPlayer/12.0.0.1\r\nHost: h\r\n";

// WMSP-19, WMSP-30, WMSP-33, WMSP-34, WMSP-41, WMSP-60, WMSP-67, WMSP-75, WMSP-80, WMSP-84
#[test]
fn new_client_pipelined() {
    let mut b = Bench::new();
    let conn = b.open();
    b.send(
        conn,
        format!(
            "GET /pp HTTP/1.1\r\n{V12}Pragma: no-cache,pipeline-experiment=1\r\n\
             Supported: com.microsoft.wm.startupprofile\r\n\r\n"
        ),
    );
    let r = b.reply(conn);
    assert_eq!(r.line, "HTTP/1.1 200 OK");
    assert_eq!(r.get("Server"), Some("Cougar/9.01.01.3841"));
    assert_eq!(
        r.get("Content-Type"),
        Some("application/vnd.ms.wms-hdr.asfv1")
    );
    assert_eq!(
        r.get("Cache-Control").map(|c| c.starts_with("no-cache")),
        Some(true)
    );
    assert_eq!(r.pragma("pipeline-experiment").as_deref(), Some("1"));
    assert_eq!(r.pragma("features").as_deref(), Some("seekable"));
    assert_eq!(r.pragma("timeout").as_deref(), Some("55000"));
    assert_eq!(r.pragma("xResetStrm"), None);
    assert_eq!(r.get("Transfer-Encoding"), None);
    let want = [metadata(7, 0, "seekable"), H.to_vec()].concat();
    assert_eq!(r.body, want);
    assert_eq!(r.get("Content-Length"), Some(&*want.len().to_string()));
    let id = r.client_id();

    let test = format!(
        "GET /pp HTTP/1.1\r\n{V12}Pragma: no-cache,client-id={id},pipeline-request=1\r\n\r\n"
    );
    b.send(conn, [&*test, &*test].concat());
    let bytes = b.take(conn);
    let first = Reply::parse(&bytes);
    assert_eq!(first.line, "HTTP/1.1 200 OK");
    assert_eq!(first.get("Transfer-Encoding"), Some("chunked"));
    assert_eq!(first.body[..9], hex("34 0D 0A 24 54 00 00 0D 0A"));
    let (_, rest) = dechunk(&first.body);
    let second = Reply::parse(&rest.unwrap());
    assert_eq!(second.line, "HTTP/1.1 204 No Content");
    assert_eq!(second.get("Content-Length"), Some("0"));
    assert_eq!(second.pragma("pipeline-result").as_deref(), Some("1"));

    b.send(
        conn,
        format!(
            "GET /pp HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1, version11-enabled=1\r\n\
             Pragma: client-id={id}\r\nPragma: stream-switch-count=2\r\n\
             Pragma: stream-switch-entry=ffff:1:0 ffff:2:2\r\n\r\n"
        ),
    );
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([1]));
    assert_eq!(b.writes[&conn].len(), 1, "head, $M and $H are one write");
    b.media(flow, 1);
    let bytes = b.take(conn);
    let r = Reply::parse(&bytes);
    assert_eq!(r.get("Content-Type"), Some("application/x-mms-framed"));
    assert_eq!(r.get("Transfer-Encoding"), Some("chunked"));
    assert_eq!(r.get("Content-Length"), None);
    let m = metadata(7, 0, "seekable");
    let want = [
        format!("{:x}\r\n", m.len()).as_bytes(),
        &m,
        b"\r\n10\r\n",
        &H,
        b"\r\n000010\r\n",
        &d(0, 0, 0),
        b"\r\n",
    ]
    .concat();
    assert_eq!(r.body, want);

    b.send(
        conn,
        format!(
            "POST /pp HTTP/1.1\r\n{V12}Pragma: client-id={id}\r\n\
             Content-Type: application/x-wms-LogStats;charset=UTF-8\r\nContent-Length: 11\r\n\r\n<XML></XML>"
        ),
    );
    assert_eq!(
        b.take(conn),
        b"",
        "the reply waits for the end of the media"
    );
    assert_eq!(b.logs(), [&ClientLog::Xml("<XML></XML>".into())]);
    b.end(flow);
    let bytes = b.take(conn);
    let want = [
        &b"8\r\n"[..],
        &E0,
        b"\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n",
    ]
    .concat();
    assert_eq!(bytes[..want.len()], want);
    assert!(b.is_open(conn));
    assert!(b.held.is_empty());
}

const FFMPEG: &str = "User-Agent: NSPlayer/4.1.0.3856\r\nAccept: */*\r\nRange: bytes=0-\r\n\
     Connection: Close\r\nHost: h:80\r\nIcy-MetaData: 1\r\n\
     Pragma: xClientGUID={c77e7400-738a-11d2-9add-0020af0a3278}\r\n";

// WMSP-122, WMSP-123, WMSP-55: FFmpeg 5.1 speaks HTTP/1.1 and claims to be version 4.1.
#[test]
fn ffmpeg() {
    let mut b = Bench::new();
    let (conn, r) = b.ask(format!(
        "GET /pp HTTP/1.1\r\n{FFMPEG}Pragma: no-cache,rate=1.000000,stream-time=0,\
         stream-offset=0:0,request-context=1,max-duration=0\r\n\r\n"
    ));
    assert_eq!(r.line, "HTTP/1.1 200 OK");
    assert_eq!(r.body, H, "no $M, one $H");
    assert_eq!(r.get("Content-Length"), Some("16"));
    assert_eq!(r.get("Connection"), Some("close"));
    assert_eq!(r.get("Supported"), None);
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    assert!(
        b.held.is_empty(),
        "what was opened for the description is let go"
    );

    let conn = b.open();
    // Its last Pragma line lacks its end; its entries are decimal with a space behind.
    b.send(
        conn,
        "GET /pp HTTP/1.1\r\nUser-Agent: NSPlayer/4.1.0.3856\r\nAccept: */*\r\nRange: bytes=0-\r\n\
         Host: h:80\r\nIcy-MetaData: 1\r\nPragma: no-cache,rate=1.000000,request-context=2\r\n\
         Pragma: xPlayStrm=1\r\nPragma: xClientGUID={c77e7400-738a-11d2-9add-0020af0a3278}\r\n\
         Pragma: stream-switch-count=2\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0 \r\n\
         Pragma: no-cache,rate=1.000000,stream-time=0Connection: Close\r\n\r\n",
    );
    let flow = b.flow(conn);
    assert_eq!(b.start_of(flow).selection, Selection::of([1, 2]));
    assert!(b.start_of(flow).framer.in_place(), "no chunks");
    b.media(flow, 2);
    b.end(flow);
    let r = b.reply(conn);
    assert_eq!(r.status(), 200);
    assert_eq!(r.get("Transfer-Encoding"), None);
    assert_eq!(r.body, [&H[..], &d(0, 0, 0), &d(1, 0, 1), &E0].concat());
    assert_eq!(b.closed[&conn], (CloseHow::Flush, None));
    assert!(b.held.is_empty());
}

// WMSP-122, WMSP-123
#[test]
fn vlc() {
    let mut b = Bench::new();
    let guid = "Pragma: xClientGUID={0xbabac001-0x1a2b-0x3c4d-0x5e6f}\r\n";
    let head = "Accept: */*\r\nUser-Agent: NSPlayer/7.10.0.3059\r\nHost: h:80\r\n";
    let (conn, r) = b.ask(format!(
        "GET /live HTTP/1.0\r\n{head}Pragma: no-cache,rate=1.000000,stream-time=0,\
         stream-offset=0:0,request-context=1,max-duration=0\r\n{guid}Connection: Close\r\n\r\n"
    ));
    assert_eq!(r.line, "HTTP/1.0 200 OK");
    assert_eq!(r.body, H);
    assert!(r.pragma("features").unwrap().starts_with("broadcast"));
    assert!(!b.is_open(conn));
    // Live: no position at all.
    let conn = b.open();
    b.send(
        conn,
        format!(
            "GET /live HTTP/1.0\r\n{head}Pragma: no-cache,rate=1.000000,request-context=2\r\n\
             Pragma: xPlayStrm=1\r\n{guid}Pragma: stream-switch-count=2\r\n\
             Pragma: stream-switch-entry=ffff:1:0 ffff:2:2 \r\nConnection: Close\r\n\r\n"
        ),
    );
    assert_eq!(b.cues[0].start, Start::Beginning);
    assert_eq!(b.cues[0].selection, Selection::of([1]));
    assert!(b.has_flow(conn));
}

// WMSP-122, WMSP-123
#[test]
fn mplayer() {
    let mut b = Bench::new();
    // Hexadecimal numbers, only the streams that are on, entries before their count.
    if let Some(Point::Media(c)) = b.points.get_mut("/pp") {
        let mut streams = c.streams.to_vec();
        streams[1].number = 17;
        c.streams = streams.into();
    }
    let conn = b.open();
    b.send(
        conn,
        "GET /pp HTTP/1.0\r\nAccept: */*\r\nUser-Agent: NSPlayer/4.1.0.3856\r\nHost: h:80\r\n\
         Pragma: no-cache,rate=1.000000,stream-time=0,stream-offset=0:0,request-context=2,max-duration=0\r\n\
         Pragma: xPlayStrm=1\r\nPragma: xClientGUID={c77e7400-738a-11d2-9add-0020af0a3278}\r\n\
         Pragma: stream-switch-entry=ffff:1:0 ffff:11:0\r\nPragma: stream-switch-count=2\r\n\
         Connection: Close\r\n\r\n",
    );
    assert_eq!(b.cues[0].selection, Selection::of([1, 17]));
    let r = b.reply(conn);
    assert_eq!(r.line, "HTTP/1.0 200 OK");
    assert_eq!(r.get("Content-Type"), Some("application/x-mms-framed"));
}

// Logitech Media Server plays without describing first (wmsp.md 8). BW-25, BW-33
#[test]
fn logitech() {
    let mut b = Bench::new();
    b.cue.accel = Some(Accel {
        bits_per_second: 1_048_576,
        duration_ms: 20_000,
    });
    b.cue.speed_milli = Some(5000);
    let (_, r) = b.ask(
        "GET /pp HTTP/1.0\r\nUser-Agent: NSPlayer/8.0.0.3802\r\nHost: h\r\n\
         Pragma: xClientGUID={01020304-0506-0708-090a-0b0c0d0e0f00}\r\n\
         Pragma: no-cache,rate=1.0000000,stream-time=0,stream-offset=0:0,request-context=2,\
         LinkBW=2147483647, AccelBW=1048576, AccelDuration=21000, Speed=5.000\r\n\
         Pragma: xPlayStrm=1\r\nPragma: stream-switch-count=1\r\n\
         Pragma: stream-switch-entry=ffff:1:0\r\n\r\n",
    );
    assert_eq!(r.pragma("AccelBW").as_deref(), Some("1048576"));
    assert_eq!(r.pragma("AccelDuration").as_deref(), Some("20000"));
    assert_eq!(r.pragma("Speed").as_deref(), Some("5.000"));
    assert_eq!(r.get("Supported"), None);
    assert_eq!(r.body, H);
}

// msdl posts KeepAlive without Content-Length (wmsp.md 8). WMSP-76, WMSP-123
#[test]
fn msdl() {
    let mut b = Bench::new();
    let ua = "User-Agent: NSPlayer/11.08.0005.0000\r\nHost: h\r\n";
    let (conn, r) = b.ask(format!("GET /pp HTTP/1.1\r\n{ua}Pragma: no-cache\r\n\r\n"));
    let id = r.client_id();
    b.send(
        conn,
        format!(
            "GET /pp HTTP/1.1\r\n{ua}Pragma: no-cache,xPlayStrm=1,version11-enabled=1,client-id={id}\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ),
    );
    assert_eq!(b.opens.len(), 1, "the described content is played");
    let (side, r) = b.ask(format!(
        "POST /pp HTTP/1.1\r\n{ua}Pragma: client-id={id}, xKeepAliveInPause=1\r\n\r\n"
    ));
    assert_eq!((r.status(), r.get("Content-Length")), (200, Some("0")));
    assert_eq!(r.client_id(), id);
    assert!(!b.is_open(side));
    assert!(b.has_flow(conn));
}

// BW-01, BW-02, BW-03, BW-04, BW-05, BW-06, BW-07, WMSP-52, WMSP-53, WMSP-54
#[test]
fn packet_pair() {
    let mut b = Bench::new();
    let conn = b.open();
    b.send(
        conn,
        format!("GET /pp HTTP/1.1\r\n{V12}Pragma: no-cache,packet-pair-experiment=1\r\n\r\n"),
    );
    let writes = b.writes[&conn].clone();
    assert_eq!(writes.len(), 3);
    let r = Reply::parse(&writes[0]);
    assert_eq!(r.pragma("packet-pair-experiment").as_deref(), Some("1"));
    let head_len = writes[0].len() - r.body.len();
    let reason = head_len.min(504) as u32;
    assert_eq!(r.body[..4], [0x24, 0x50, 0xF8, 0x01]);
    assert_eq!(r.body[4..8], reason.to_le_bytes());
    assert_eq!(r.body.len(), 512 - reason as usize);
    assert_eq!(writes[1].len(), 512);
    let media = [metadata(7, 0, "seekable"), H.to_vec()].concat();
    assert_eq!(writes[2].len(), 1056 + reason as usize + media.len());
    assert!(writes[2].ends_with(&media));
    assert_eq!(
        r.get("Content-Length"),
        Some(&*(2080 + media.len()).to_string())
    );
    let (_, r) = b.ask(format!(
        "GET /pp HTTP/1.1\r\n{V12}Pragma: packet-pair-experiment=0\r\n\r\n"
    ));
    assert_eq!(r.pragma("packet-pair-experiment"), None);
    assert_eq!(r.body, media);
}

// BW-23, BW-24, BW-33, BW-37, BW-40, WMSP-61, WMSP-63, WMSP-65: example E10.
#[test]
fn fast_start_is_negotiated() {
    let play = |ua: &str, more: &str| {
        let mut b = Bench::new();
        b.cue.accel = Some(Accel {
            bits_per_second: 3_500_000,
            duration_ms: 18_000,
        });
        b.cue.speed_milli = Some(5000);
        b.cue.profile = Some(StartupProfile {
            max_bytes: [7800, 7320, 6600, 5400, 4400],
            time: [120, 120, 120, 120, 0],
            start_time: 3100,
            last_time: 160,
            max_diff_time: 100,
            max_diff_snd_time: 20,
            byte_rate: [20000; 5],
        });
        let (_, r) = b.ask(format!(
            "GET /pp HTTP/1.1\r\nUser-Agent: {ua}\r\nHost: h\r\n{more}\
             Pragma: xPlayStrm=1, AccelBW=2147483647, AccelDuration=18000, Speed=91268.055\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        let cue = b.cues[0].clone();
        (r, cue)
    };
    let (r, cue) = play(
        "NSPlayer/9.0.0.2980",
        "Supported: com.microsoft.wm.startupprofile\r\n",
    );
    assert_eq!(r.pragma("AccelBW").as_deref(), Some("3500000"));
    assert_eq!(r.pragma("AccelDuration").as_deref(), Some("18000"));
    assert_eq!(r.pragma("Speed").as_deref(), Some("5.000"));
    assert_eq!(cue.speed_milli, Some(91_268_055));
    assert!(cue.profile);
    assert!(
        r.get("X-StartupProfile")
            .unwrap()
            .starts_with("Rate=10,12,15,20,30;MaxBytes=7800,")
    );
    assert!(
        r.get("Supported")
            .unwrap()
            .contains("com.microsoft.wm.sswitch")
    );

    let (r, cue) = play("NSPlayer/9.0.0.2980", "");
    assert!(!cue.profile && r.get("X-StartupProfile").is_none());

    let (r, cue) = play("NSPlayer/8.0.0.4477", "");
    assert_eq!(cue.accel.unwrap().bits_per_second, 1_048_576);
    assert_eq!(r.pragma("AccelBW").as_deref(), Some("1048576"));

    let (r, cue) = play("NSPlayer/7.1.0.3055", "");
    assert_eq!(cue.accel, None);
    assert_eq!(r.pragma("AccelBW"), None);
    assert_eq!(r.pragma("AccelDuration"), None);
}

// BW-26, BW-27, BW-28, BW-29, WMSP-62, WMSP-64
#[test]
fn burst_is_for_intermediaries() {
    let play = |ua: &str, tokens: &str| {
        let mut b = Bench::new();
        b.cue.accel = Some(Accel {
            bits_per_second: 2_000_000,
            duration_ms: 9000,
        });
        let (conn, r) = b.ask(format!(
            "GET /pp HTTP/1.1\r\nUser-Agent: {ua}\r\nHost: h\r\nPragma: xPlayStrm=1, {tokens}\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        let flow = b.flow(conn);
        let pace = b.start_of(flow).pace;
        let cue = b.cues[0].clone();
        (r, cue, pace)
    };
    let all = "AccelBW=1048576, AccelDuration=5000, BurstBW=2097152, BurstDuration=10000";
    let (r, cue, pace) = play("NSServer/9.0.0.3372", all);
    let asked = Accel {
        bits_per_second: 2_097_152,
        duration_ms: 10_000,
    };
    assert_eq!(cue.accel, Some(asked), "the intermediary's own wish counts");
    assert_eq!(r.pragma("BurstBW").as_deref(), Some("2000000"));
    assert_eq!(r.pragma("BurstDuration").as_deref(), Some("9000"));
    assert_eq!(r.pragma("AccelBW").as_deref(), Some("1048576"));
    assert_eq!(r.pragma("AccelDuration").as_deref(), Some("5000"));
    assert!(matches!(
        pace,
        Pace::Media {
            accel: Some(_),
            speed_milli: 1000
        }
    ));

    let (r, cue, _) = play("NSPlayer/9.0.0.3372", all);
    assert_eq!(cue.accel.unwrap().bits_per_second, 1_048_576);
    assert_eq!(r.pragma("BurstBW"), None);
    assert_eq!(r.pragma("Speed"), None);
    for useless in [
        "AccelBW=1048576",
        "AccelDuration=5000",
        "AccelBW=0, AccelDuration=5000",
        "AccelBW=9, AccelDuration=0",
    ] {
        let (r, cue, _) = play("NSPlayer/9.0", useless);
        assert_eq!((cue.accel, r.pragma("AccelBW")), (None, None), "{useless}");
    }
}

// WMSP-59
#[test]
fn where_to_start() {
    let start = |path: &str, tokens: &str| {
        let mut b = Bench::new();
        let line = if tokens.is_empty() {
            String::new()
        } else {
            format!(", {tokens}")
        };
        b.ask(format!(
            "GET {path} HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1{line}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        b.cues[0].start
    };
    let max = u32::MAX;
    for (tokens, want) in [
        (String::new(), Start::Beginning),
        ("stream-time=5000, packet-num=3".into(), Start::Time(5000)),
        (
            "stream-time=0, packet-num=3, stream-offset=0:9".into(),
            Start::Packet(3),
        ),
        (format!("stream-time={max}, packet-num=3"), Start::Packet(3)),
        (
            format!("packet-num={max}, stream-offset=1:2"),
            Start::Byte((1 << 32) + 2),
        ),
        (
            format!("packet-num={max}, stream-offset={max}:{max}"),
            Start::Beginning,
        ),
        ("stream-offset=0:0".into(), Start::Beginning),
    ] {
        assert_eq!(start("/pp", &tokens), want, "{tokens}");
    }
    assert_eq!(start("/live", "stream-time=5000"), Start::Beginning);
}

// WMSP-11, WMSP-12, WMSP-13, WMSP-57
#[test]
fn the_sequence_goes_on_over_plays() {
    let mut b = Bench::new();
    let play = |id: Option<u32>| {
        let id = id.map_or(String::new(), |id| format!(", client-id={id}"));
        format!(
            "GET /pp HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1, version11-enabled=1{id}\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        )
    };
    let conn = b.open();
    b.send(conn, play(None));
    let id = b.reply(conn).client_id();
    let mut first = Vec::new();
    for count in [3, 252, 5] {
        let flow = b.flow(conn);
        b.media(flow, count);
        let bytes = b.take(conn);
        let at = bytes.windows(2).position(|w| w == b"$D").unwrap();
        first.push((bytes[at + 8], bytes[at + 9]));
        b.end(flow);
        b.take(conn);
        b.send(conn, play(Some(id)));
        let r = b.reply(conn);
        let at = r.body.windows(2).position(|w| w == b"$H").unwrap();
        let incarnation = r.body[at + 8];
        assert_eq!(usize::from(incarnation), first.len(), "$H agrees with $D");
    }
    // The second flow ended with 254, so that the third starts at 0 again.
    assert_eq!(first, [(0, 0), (1, 3), (2, 0)]);
}

// WMSP-16, WMSP-58, ASF-41
#[test]
fn old_servers_get_everything_with_its_padding() {
    let play = |ua: &str| {
        let mut b = Bench::new();
        let (conn, _) = b.ask(format!(
            "GET /pp HTTP/1.0\r\nUser-Agent: {ua}\r\nHost: h\r\nPragma: xPlayStrm=1\r\n\r\n"
        ));
        let flow = b.flow(conn);
        let start = b.start_of(flow);
        (start.selection, start.framer.keeps_padding())
    };
    assert_eq!(play("NSServer/4.1.0.3856"), (Selection::of([1, 2]), true));
    assert_eq!(play("NSServer/5.0"), (Selection::of([1, 2]), false));
    assert_eq!(play("NSPlayer/4.1"), (Selection::NONE, false));
    assert_eq!(play("NSServer/9.0"), (Selection::NONE, false));
}

// WMSP-68
#[test]
fn an_old_client_that_lost_its_session() {
    let play = |ua: &str, context: u32| {
        let mut b = Bench::new();
        let (_, r) = b.ask(format!(
            "GET /pp HTTP/1.0\r\nUser-Agent: {ua}\r\nHost: h\r\nPragma: xPlayStrm=1, client-id=4711, \
             request-context={context}\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        assert_eq!(r.pragma("xResetStrm").as_deref(), Some("1"));
        r.body
    };
    let through_the_end = [&H[..], &E1, &C0, &H].concat();
    assert_eq!(play("NSPlayer/6.4", 2), through_the_end);
    assert_eq!(play("NSServer/4.1", 3), through_the_end);
    assert_eq!(play("NSPlayer/6.4", 3), H);
    assert_eq!(play("NSPlayer/7.1", 2), H);
}

// WMSP-85, WMSP-91
#[test]
fn an_unchunked_body_that_stays_open_ends_with_512_packets() {
    let mut b = Bench::new();
    let (conn, r) = b.ask(format!(
        "GET /pp HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
    ));
    assert_eq!(r.get("Transfer-Encoding"), None);
    let flow = b.flow(conn);
    b.end(flow);
    assert_eq!(b.take(conn), E0.repeat(512));
    assert!(b.is_open(conn));
    b.sleep(Duration::from_secs(61));
    assert!(!b.is_open(conn));
    assert_eq!(b.server.session_count(), 0);
}

// WMSP-03, WMSP-04, ASF-49, BW-36: the flow's framer sets the B bit only for those who know it.
#[test]
fn haste_is_marked_by_version() {
    let first_byte = |ua: &str| {
        let mut b = Bench::new();
        let (conn, _) = b.ask(format!(
            "GET /pp HTTP/1.0\r\nUser-Agent: {ua}\r\nPragma: xPlayStrm=1\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ));
        let flow = b.flow(conn);
        let meta = PacketMeta {
            number: 5,
            send_time: 0,
            duration: 0,
            key: false,
            len: 4,
        };
        let mut head = [0; SLOT_HEAD];
        b.start_of(flow).framer.stamp(0, &meta, true, &mut head);
        head[0]
    };
    assert_eq!(first_byte("NSPlayer/9.0.0.2980"), 0xA4);
    assert_eq!(first_byte("NSPlayer/8.0.0.4477"), 0x24);
    assert_eq!(first_byte("NSPlayer/4.1.0.3856"), 0x24);
}

// BW-33, WMSP-46: what was not announced is not asked for either.
#[test]
fn live_content_has_no_speed() {
    let mut b = Bench::new();
    b.cue.speed_milli = Some(5000);
    let play = |path: &str, speed: &str| {
        format!(
            "GET {path} HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1, Speed={speed}\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        )
    };
    let (_, r) = b.ask(play("/live", "5.000"));
    assert_eq!(b.cues[0].speed_milli, None);
    assert_eq!(r.pragma("Speed"), None);
    b.ask(play("/pp", "0.500"));
    assert_eq!(b.cues[1].speed_milli, None, "below 1 it is none");
    let (conn, r) = b.ask(play("/pp", "5"));
    assert_eq!(r.pragma("Speed").as_deref(), Some("5.000"));
    let flow = b.flow(conn);
    let pace = b.start_of(flow).pace;
    assert!(matches!(
        pace,
        Pace::Media {
            speed_milli: 5000,
            ..
        }
    ));
}

// WMSP-91: how much of a broken flow was sent is not known; the sequence starts anew.
#[test]
fn a_broken_connection_starts_the_sequence_anew() {
    let mut b = Bench::new();
    let play = |id: String| {
        format!(
            "GET /pp HTTP/1.1\r\n{V12}Pragma: xPlayStrm=1, version11-enabled=1{id}\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        )
    };
    let (conn, r) = b.ask(play(String::new()));
    let id = r.client_id();
    let flow = b.flow(conn);
    b.media(flow, 9);
    b.end(flow);
    b.take(conn);
    b.send(conn, play(format!(", client-id={id}")));
    let flow = b.flow(conn);
    b.media(flow, 1);
    b.hang_up(conn);
    let conn = b.open();
    b.send(conn, play(format!(", client-id={id}")));
    b.take(conn);
    let flow = b.flow(conn);
    b.media(flow, 1);
    assert_eq!(dechunk(&b.take(conn)).0, d(0, 2, 0));
}
