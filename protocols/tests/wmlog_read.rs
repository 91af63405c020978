//! Submitted client logs, in every form.

use proptest::prelude::*;
use protocols::machine::ClientLog;
use protocols::wmlog::{
    Entry, Field, Kind, TooLarge, W3C_BYTES_MAX, XML_BYTES_MAX, mmsp, parse, text, w3c, web, xml,
};

const W1: &str = "0.0.0.0 2024-05-01 12:00:30 - http://127.0.0.1/a.wmv 0 30 1 200 \
    {3300AD50-2C39-46c0-AE0A-000000000001} 10.0.0.3802 en-US \
    WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036 - wmplayer.exe 10.0.0.3802 Windows_XP 5.1.0.2600 \
    Pentium 60 1500000 200000 http TCP Windows_Media_Audio_9 Windows_Media_Video_9 - - 750000 - \
    240 0 0 0 - 0 0 1 2 100 - - - -";

fn w3c_log(line: &str) -> Entry {
    parse(&ClientLog::W3c(line.to_owned())).unwrap()
}

fn xml_log(body: &str) -> Entry {
    parse(&ClientLog::Xml(body.to_owned())).unwrap()
}

fn assert_clean(entry: &Entry) {
    assert_eq!(entry.defects, Default::default());
    assert_eq!(entry.raw, None);
}

/// Put `value` at 1-based column `column` of a line.
fn with(line: &str, column: usize, value: &str) -> String {
    let mut tokens: Vec<&str> = line.split_ascii_whitespace().collect();
    tokens[column - 1] = value;
    tokens.join(" ")
}

// W1, WMLOG-01, WMLOG-48
#[test]
fn legacy_line() {
    assert_eq!(W1.split_ascii_whitespace().count(), 44);
    let entry = w3c_log(W1);
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Legacy);
    for (field, value) in [
        (Field::CIp, Some("0.0.0.0")),
        (Field::Time, Some("12:00:30")),
        (Field::CsUriStem, Some("http://127.0.0.1/a.wmv")),
        (
            Field::CPlayerid,
            Some("{3300AD50-2C39-46c0-AE0A-000000000001}"),
        ),
        (Field::Filelength, Some("60")),
        (Field::Transport, Some("TCP")),
        (Field::CBytes, Some("750000")),
        (Field::CResendreqs, None),
        (Field::CQuality, Some("100")),
        (Field::SCpuUtil, None),
        (Field::CsUrl, None),
    ] {
        assert_eq!(entry.get(field), value, "{field:?}");
    }
    assert_eq!(entry.number(Field::CBytes), Some(750_000));
    assert_eq!(
        w3c::line(&entry),
        W1.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    );
}

// W1u: the relations of lost packets and the quality hold.
#[test]
fn legacy_line_over_udp() {
    let mut line = with(W1, 5, "rtsp://127.0.0.1/a.wmv");
    for (i, value) in "240 2 5 3 1 3 1 1 2 99".split(' ').enumerate() {
        line = with(&line, 31 + i, value);
    }
    line = with(&with(&line, 23, "rtsp"), 24, "UDP");
    assert_clean(&w3c_log(&line));
    // WMLOG-12, WMLOG-13: broken ones are counted, nothing is dropped.
    let broken = w3c_log(&with(&with(&line, 33, "6"), 40, "70"));
    assert_eq!((broken.defects.relations, broken.defects.values), (2, 0));
    assert_eq!(broken.get(Field::CQuality), Some("70"));
    assert_clean(&w3c_log(&with(&line, 40, "100")));
}

// W2, WMLOG-02
#[test]
fn legacy_line_with_the_triple() {
    let line = format!("{W1} http://127.0.0.1/a.wmv?WMBitrate=300000 intro.wmv ADVERTISEMENT");
    let entry = w3c_log(&line);
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Legacy);
    assert_eq!(
        entry.get(Field::CsUrl),
        Some("http://127.0.0.1/a.wmv?WMBitrate=300000")
    );
    assert_eq!(entry.get(Field::CsMediaName), Some("intro.wmv"));
    assert_eq!(entry.get(Field::CsMediaRole), Some("ADVERTISEMENT"));
    assert_eq!(entry.get(Field::CsUriStem), Some("http://127.0.0.1/a.wmv"));
    assert_eq!(w3c::line(&entry).split(' ').count(), 47);
}

/// W6: 52 values.
fn rendering_line() -> String {
    let head: Vec<&str> = W1.split_ascii_whitespace().take(21).collect();
    format!(
        "{} - Cache - Windows_Media_Audio_9 Windows_Media_Video_9 - - 0 - - - - - - - - - - 100 \
         - - - - - - - http://127.0.0.1/a.wmv - - - 0",
        head.join(" ")
    )
}

// W6, WMLOG-03
#[test]
fn rendering_line_has_52_values() {
    let line = rendering_line();
    assert_eq!(line.split_ascii_whitespace().count(), 52);
    let entry = w3c_log(&line);
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Rendering);
    assert_eq!(entry.get(Field::SProxied), Some("0"));
    assert_eq!(entry.get(Field::CsUrl), Some("http://127.0.0.1/a.wmv"));
    assert_eq!(w3c::line(&entry), line);
}

// W9, WMLOG-49
#[test]
fn user_agent_with_spaces_is_put_together() {
    for tail in ["", " http://h/a?b name role"] {
        for agent in [
            "Application/2.3 (WMFSDK/9.0.1234)",
            "a b  c d",
            "x 1 2 3 4 5 6 7 8 9",
        ] {
            let line = with(W1, 13, agent) + tail;
            let entry = w3c_log(&line);
            assert!(entry.defects.recovered, "{line}");
            assert_eq!(entry.defects.values, 0);
            let joined = agent.split_ascii_whitespace().collect::<Vec<_>>().join("_");
            assert_eq!(entry.get(Field::CsUserAgent), Some(&*joined));
            assert_eq!(entry.get(Field::CHostexe), Some("wmplayer.exe"));
            assert_eq!(entry.get(Field::CQuality), Some("100"));
            assert_eq!(
                entry.get(Field::CsMediaRole),
                (!tail.is_empty()).then_some("role")
            );
        }
    }
}

#[test]
fn three_spaces_in_the_user_agent_are_no_triple() {
    // 47 values, but not the 47-value line.
    let entry = w3c_log(&with(W1, 13, "A/1 B/2 C/3 D/4"));
    assert!(entry.defects.recovered);
    assert_eq!(entry.get(Field::CsUserAgent), Some("A/1_B/2_C/3_D/4"));
    assert_eq!(entry.get(Field::CsUrl), None);
}

#[test]
fn wrapped_lines_and_runs_of_spaces_separate() {
    let wrapped = W1
        .replace("en-US ", "en-US\r\n  ")
        .replace("TCP ", "TCP \t ");
    assert_eq!(w3c_log(&wrapped), w3c_log(W1));
}

// W11, WMLOG-24, WMLOG-26
#[test]
fn bad_values_are_dropped_and_counted() {
    let entry = w3c_log(&with(W1, 7, "12abc"));
    assert_eq!(entry.get(Field::XDuration), None);
    assert_eq!(entry.defects.values, 1);
    for (column, bad, good) in [
        (1, ".0.0.0.0", "::1"),
        (2, "2024-13-01", "2024-12-31"),
        (3, "24:00:00", "23:59:60"),
        (8, "abc", "-5"),
        (8, "123", "0.5"),
        (9, "2000", "404"),
        (40, "101", "0"),
        (20, "4294967296", "4294967295"),
        (29, "-1", "00000"),
    ] {
        let field = Field::ALL[column - 1];
        assert_eq!(
            w3c_log(&with(W1, column, bad)).get(field),
            None,
            "{field:?} {bad}"
        );
        assert_eq!(
            w3c_log(&with(W1, column, good)).get(field),
            Some(good),
            "{field:?}"
        );
    }
}

// W11
#[test]
fn nothing_can_break_a_line() {
    let entry = w3c_log(&with(W1, 14, "http://x/%0d%0aFake"));
    assert_eq!(entry.get(Field::CsReferer), Some("http://x/%0d%0aFake"));
    let body = format!(
        "<XML><Summary>{W1}</Summary><cs-Referer>http://x/\r\ny z\u{2028}é\u{85}q</cs-Referer>\
         <c-os>a\t\"b\u{a0}c\u{7f}</c-os></XML>"
    );
    let entry = xml_log(&body);
    assert_eq!(
        entry.get(Field::CsReferer),
        Some("http://x/__y%20z%E2%80%A8%C3%A9_q")
    );
    assert_eq!(entry.get(Field::COs), Some("a__b_c_"));
}

#[test]
fn values_are_bounded() {
    let entry = w3c_log(&with(W1, 13, &"é".repeat(1000)));
    assert_eq!(entry.get(Field::CsUserAgent).unwrap().len(), 256);
    assert_eq!(entry.defects.values, 1);
    let entry = w3c_log(&with(W1, 14, &format!("http://x/{}", "a".repeat(7000))));
    assert_eq!(entry.get(Field::CsReferer).unwrap().len(), 4096);
    let long = "x".repeat(W3C_BYTES_MAX + 1);
    assert_eq!(
        parse(&ClientLog::W3c(long.clone())),
        Err(TooLarge {
            len: W3C_BYTES_MAX + 1,
            max: W3C_BYTES_MAX
        })
    );
    assert!(parse(&ClientLog::Xml(long)).is_ok());
    assert!(parse(&ClientLog::Xml(" ".repeat(XML_BYTES_MAX + 1))).is_err());
}

#[test]
fn other_counts_are_kept_raw() {
    let line = W1.rsplit_once(' ').unwrap().0;
    let entry = w3c_log(&format!("{line}\r\n\x07"));
    // The stray control character makes it 44, and 12:00:30 is where it should be; only real
    // garbage fails.
    assert!(!entry.defects.invalid);
    let entry = w3c_log(&format!("{line}\r\n"));
    assert!(entry.defects.invalid);
    assert!(entry.raw.unwrap().starts_with("0.0.0.0 2024-05-01"));
    assert!(w3c_log("").defects.invalid);
}

// W8, WMLOG-38, WMLOG-39, WMLOG-40
#[test]
fn web_posts() {
    let page = web::page([9, 0, 0, 3372]);
    assert!(page.contains("<body><h1>WMS ISAPI Log Dll/9.0.0.3372</h1></body>"));
    assert!(web::is_log_resource(&page));
    for good in [
        "<html><body><h1>NetShow ISAPI Log Dll</h1></body></html>",
        "<body><h1>WMS ISAPI Log Dll/9.00.00.3372</h1> </body>",
    ] {
        assert!(web::is_log_resource(good), "{good}");
    }
    for bad in [
        "",
        "<body><h1>Apache</h1></body>",
        "<body><h1>WMS ISAPI Log Dll/9.00.00</h1></body>",
        "<body><h1>WMS ISAPI Log Dll/9.00.00.33720</h1></body>",
        "<body><h1>WMS ISAPI Log Dll/9.00.00.</h1></body>",
        "<body><h1>NetShow ISAPI Log Dll</h1>",
    ] {
        assert!(!web::is_log_resource(bad), "{bad}");
    }
    assert_eq!(web::body(W1), format!("MX_STATS_LogLine: \t{W1}"));
    for gap in ["", " ", "\t", " \t", "\t \t "] {
        let body = format!("MX_STATS_LogLine:{gap}{W1}");
        assert_eq!(web::line(&body), Some(W1));
        assert_eq!(w3c_log(&body), w3c_log(W1));
    }
    assert_eq!(web::line(W1), None);
}

/// XML log with all elements of an entry.
fn full_xml(entry: &Entry) -> String {
    xml::write(entry)
}

// WMLOG-05, WMLOG-09
#[test]
fn xml_and_w3c_say_the_same() {
    for line in [
        W1.to_owned(),
        format!("{W1} http://127.0.0.1/a.wmv?b&c name role"),
        rendering_line(),
    ] {
        let entry = w3c_log(&line);
        let body = full_xml(&entry);
        assert_eq!(xml_log(&body), entry, "{body}");
    }
}

#[test]
fn streaming_is_told_by_its_missing_codecs() {
    let line = with(&with(W1, 25, "-"), 26, "-") + " http://h/a - -";
    let entry = xml_log(&format!("<XML><Summary>{line}</Summary></XML>"));
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Streaming);
}

// W4, WMLOG-08
#[test]
fn connect_time_log() {
    let body = "<XML><Summary></Summary><c-dns>-</c-dns><c-ip>0.0.0.0</c-ip><c-os>Windows</c-os>\
        <c-osversion>6.0.0.6000</c-osversion><date>2024-05-01</date><time>12:00:00</time>\
        <c-cpu>Pentium</c-cpu><transport>UDP</transport></XML>";
    let entry = xml_log(body);
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Connect);
    assert_eq!(entry.get(Field::COsversion), Some("6.0.0.6000"));
    assert_eq!(xml::write(&entry), body);
}

#[test]
fn elements_go_before_the_summary_and_the_first_wins() {
    let entry = xml_log(&format!(
        "<XML>\r\n <Summary> {W1} </Summary>\r\n <c-os>Windows Server 2003</c-os><C-OS>x</C-OS>\
         <c-cpu foo='bar'>A &amp; B & C &lt;&#65;</c-cpu><c-dns/>\r\n</XML>"
    ));
    assert_clean(&entry);
    assert_eq!(entry.get(Field::COs), Some("Windows_Server_2003"));
    assert_eq!(entry.get(Field::CCpu), Some("A_&_B_&_C_<&#65;"));
    assert_eq!(entry.get(Field::CDns), None);
    assert_eq!(entry.get(Field::CBytes), Some("750000"));
}

#[test]
fn missing_end_tags_are_made_up() {
    for body in [
        // The grammar's own mistake: a start tag where the end tag should be.
        "<XML><Summary/><c-playerid>{A}<c-playerid><cs-Referer>http://r<cs-Referer>\
         <c-os>O</c-os><cs-uri-stem>u</cs-uri-stem></XML>",
        "<XML><Summary/><c-playerid>{A}<cs-Referer>http://r<c-os>O</c-os>\
         <cs-uri-stem>u</cs-uri-stem></XML>",
        "<XML><Summary></Summary><c-playerid>{A}</c-playerid></nonsense><cs-Referer>http://r\
         </cs-Referer><c-os>O</c-os><cs-uri-stem>u</cs-uri-stem>",
        "<?xml version='1.0'?><!DOCTYPE x><XML><c-playerid>{A}</c-playerid><cs-Referer>http://r\
         </cs-Referer><c-os>O</c-os><cs-uri-stem>u</cs-uri-stem></XML>",
    ] {
        let entry = xml_log(body);
        assert_clean(&entry);
        assert_eq!(entry.get(Field::CPlayerid), Some("{A}"), "{body}");
        assert_eq!(entry.get(Field::CsReferer), Some("http://r"), "{body}");
        assert_eq!(entry.get(Field::COs), Some("O"), "{body}");
        assert_eq!(entry.kind, Kind::Legacy);
    }
}

// WMLOG-11
#[test]
fn custom_namespaces_and_the_content_description_are_kept() {
    let entry = xml_log(&format!(
        "<XML><Summary>{W1}</Summary><ContentDescription><TITLE>A film</TITLE>\
         </ContentDescription><acme><user>joe</user><x><y><z>deep</z></y></x><id>7</id></acme>\
         <stray>s</stray></XML>"
    ));
    assert_clean(&entry);
    let got: Vec<_> = entry
        .extensions
        .iter()
        .map(|e| (&*e.namespace, &*e.name, &*e.value))
        .collect();
    assert_eq!(
        got,
        [
            ("ContentDescription", "TITLE", "A film"),
            ("acme", "user", "joe"),
            ("acme", "id", "7"),
            ("", "stray", "s"),
        ]
    );
    assert_eq!(xml_log(&xml::write(&entry)), entry);
}

#[test]
fn extensions_are_bounded() {
    let many = "<a>b</a>".repeat(5000);
    let entry = xml_log(&format!("<XML><Summary>{W1}</Summary><n>{many}</n></XML>"));
    assert_eq!(entry.extensions.len(), 64);
    assert_eq!(entry.defects.values, 5000 - 64);
}

#[test]
fn a_bad_summary_does_not_spoil_the_elements() {
    // The document's own example has 46 values, `-0` for `- 0`.
    let line = with(W1, 35, "-0").replacen(" - http", " http", 1);
    let entry = xml_log(&format!(
        "<XML><Summary>{line}</Summary><cs-uri-stem>http://h/a</cs-uri-stem>\
         <cs-url>http://h/a?b</cs-url></XML>"
    ));
    assert_eq!(entry.defects.values, 1);
    assert!(!entry.defects.invalid);
    assert_eq!(entry.get(Field::CsUrl), Some("http://h/a?b"));
}

#[test]
fn what_is_no_log_is_kept_raw() {
    for body in [
        "",
        "<",
        "<>",
        "<XML>",
        "<XML></XML>",
        "<html><body>x</body></html>",
        W1,
    ] {
        assert!(xml_log(body).defects.invalid, "{body}");
    }
}

// section 11: old players send the ANSI code page.
#[test]
fn text_that_is_not_utf8_is_windows_1252() {
    assert_eq!(text("é€".as_bytes()), "é€");
    assert_eq!(text(b"caf\xe9 \x80"), "café €");
}

/// A CLIENT_LOG with the values of the references.
fn client_log() -> Vec<u8> {
    let mut log = vec![0u8; mmsp::CLIENT_LOG_BYTES];
    let mut put =
        |offset: usize, bytes: &[u8]| log[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &1490u32.to_le_bytes());
    put(4, &1142u32.to_le_bytes());
    put(8, b"mms://127.0.0.1/a.wmv?x=1\0junk");
    put(528, b"NSPlayer/4.1.0.3856\0");
    put(852, &[0xDA, 0x0E, 0, 0, 0, 0, 0x0A, 0]);
    put(860, b"en-US");
    put(876, b"{3300AD50-2C39-46c0-AE0A-000000000001}");
    put(916, &[b'x'; 32]);
    put(956, &60_001u32.to_le_bytes());
    put(960, &5_000_000_000u64.to_le_bytes());
    put(968, &200_000u32.to_le_bytes());
    put(972, b"caf\xe9 codec");
    put(1100, &1999u32.to_le_bytes());
    put(1104, &29_001u32.to_le_bytes());
    put(1108, &(-5i16).to_le_bytes());
    put(1110, &1u32.to_le_bytes());
    put(1114, &1500u32.to_le_bytes());
    put(1118, &750_000u64.to_le_bytes());
    put(1126, &240u32.to_le_bytes());
    put(1130, &2u32.to_le_bytes());
    put(1134, &3u32.to_le_bytes());
    put(1138, &99u32.to_le_bytes());
    put(1146, &77u32.to_le_bytes());
    put(1150, &u32::MAX.to_le_bytes());
    put(1414, b"Windows_XP");
    put(1454, b"mms");
    put(1462, b"UDP");
    put(1470, &5u32.to_le_bytes());
    put(1474, &4u32.to_le_bytes());
    put(1478, &6u32.to_le_bytes());
    put(1482, &1u32.to_le_bytes());
    put(1486, &8u32.to_le_bytes());
    log
}

// W10, WMLOG-35, WMLOG-37
#[test]
fn mmsp_structure() {
    let entry = parse(&ClientLog::Mmsp(client_log())).unwrap();
    assert_clean(&entry);
    assert_eq!(entry.kind, Kind::Legacy);
    for (field, value) in [
        (Field::CsUriStem, Some("mms://127.0.0.1/a.wmv")),
        (Field::CsUrl, Some("mms://127.0.0.1/a.wmv?x=1")),
        (Field::CsUserAgent, Some("NSPlayer/4.1.0.3856")),
        (Field::CsReferer, None),
        (Field::CChannelUrl, None),
        (Field::CPlayerversion, Some("10.0.0.3802")),
        (Field::CPlayerlanguage, Some("en-US")),
        (
            Field::CPlayerid,
            Some("{3300AD50-2C39-46c0-AE0A-000000000001}"),
        ),
        (Field::CHostexe, Some("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")),
        (Field::CHostexever, None),
        (Field::Filelength, Some("61")),
        (Field::Filesize, Some("4294967295")),
        (Field::Avgbandwidth, Some("200000")),
        (Field::Audiocodec, Some("café_codec")),
        (Field::CStarttime, Some("1")),
        (Field::XDuration, Some("30")),
        (Field::CRate, Some("-5")),
        (Field::CTotalbuffertime, Some("2")),
        (Field::CBytes, Some("750000")),
        (Field::CPktsReceived, Some("240")),
        (Field::CPktsLostClient, Some("2")),
        (Field::CPktsRecoveredEcc, Some("3")),
        (Field::CQuality, Some("99")),
        (Field::CStatus, Some("200")),
        (Field::CIp, None),
        (Field::COs, Some("Windows_XP")),
        (Field::Protocol, Some("mms")),
        (Field::Transport, Some("UDP")),
        (Field::CPktsLostNet, Some("5")),
        (Field::CPktsLostContNet, Some("4")),
        (Field::CResendreqs, Some("6")),
        (Field::CPktsRecoveredResent, Some("1")),
    ] {
        assert_eq!(entry.get(field), value, "{field:?}");
    }
    assert_eq!(entry.extensions[0].value, "77");
}

#[test]
fn mmsp_structure_cut_short() {
    let log = client_log();
    for len in [0, 1, 8, 1489] {
        let entry = parse(&ClientLog::Mmsp(log[..len].to_vec())).unwrap();
        assert!(entry.defects.invalid);
    }
    // The carrier's padding does no harm.
    let mut padded = client_log();
    padded.extend([0; 6]);
    assert_clean(&parse(&ClientLog::Mmsp(padded)).unwrap());
}

/// What every entry must keep, whatever came.
fn assert_writable(entry: &Entry) {
    for field in Field::ALL {
        if let Some(value) = entry.get(field) {
            assert!(!value.is_empty() && value.len() <= 4096);
            assert!(
                !value
                    .chars()
                    .any(|c| c.is_control() || c.is_whitespace() || c == '"'),
                "{field:?} {value:?}"
            );
        }
    }
    for e in &entry.extensions {
        assert!(!e.value.chars().any(char::is_control));
    }
    assert!(!entry.raw.iter().any(|r| r.chars().any(char::is_control)));
}

proptest! {
    #[test]
    fn any_text_is_taken(s in "\\PC{0,300}|(?s).{0,300}") {
        assert_writable(&w3c_log(&s));
        assert_writable(&xml_log(&s));
        assert_writable(&xml_log(&format!("<XML><Summary>{s}</Summary><c-os>{s}</XML>")));
    }

    #[test]
    fn any_tag_soup_is_taken(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("<XML>"), Just("</XML>"), Just("<Summary>"), Just("</Summary>"), Just("<c-os>"),
                Just("</c-os>"), Just("<a>"), Just("</a>"), Just("<"), Just(">"), Just("&amp;"),
                Just("<b/>"), Just("x y"), Just("\r\n"), Just(W1),
            ],
            0..60,
        )
    ) {
        let entry = xml_log(&parts.concat());
        assert_writable(&entry);
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in proptest::collection::vec(any::<u8>(), 1490..1500)) {
        bytes[0..4].copy_from_slice(&1490u32.to_le_bytes());
        assert_writable(&parse(&ClientLog::Mmsp(bytes.clone())).unwrap());
        assert_writable(&parse(&ClientLog::RemoteEvent(bytes)).unwrap());
    }

    #[test]
    fn lines_round_trip(values in proptest::collection::vec("[A-Za-z0-9./]{1,20}", 52), tail in 0usize..3) {
        let count = [44, 47, 52][tail];
        let mut tokens: Vec<&str> = values.iter().take(count).map(|s| &**s).collect();
        for (column, token) in tokens.iter_mut().enumerate() {
            let plain = [3, 4, 9, 11, 12, 13, 14, 16, 18, 24, 25, 26];
            if !plain.contains(&column) { *token = "-"; }
        }
        tokens[1] = "2024-02-29";
        tokens[2] = "00:00:00";
        if count == 47 { tokens[44] = "http://h/"; }
        let line = tokens.join(" ");
        prop_assert_eq!(w3c::line(&w3c_log(&line)), line);
    }
}
