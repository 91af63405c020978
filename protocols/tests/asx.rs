//! Announcement files.

use proptest::prelude::*;
use protocols::playlist::asx::{
    Announcement, BYTES_MAX, Item, Reference, announcement, read, time_ms,
};

fn plain(url: &str) -> Reference {
    Reference {
        url: url.to_owned(),
        ..Reference::default()
    }
}

// PL-01, PL-02
#[test]
fn announces_with_everything_escaped() {
    let urls = [
        "rtsp://h/live".to_owned(),
        "http://h/live?a=1&b=\"<é>".to_owned(),
    ];
    let text = announcement(&Announcement {
        urls: &urls,
        title: Some("Tom & \"Jérôme\" <1>"),
        author: Some("x\ny"),
        log_url: Some("http://h/log?a&b"),
        ..Announcement::default()
    });
    assert_eq!(
        text,
        "<ASX VERSION=\"3.0\">\r\n\
         <PARAM NAME=\"Encoding\" VALUE=\"utf-8\"/>\r\n\
         <ENTRY>\r\n\
         <TITLE>Tom &amp; &quot;Jérôme&quot; &lt;1&gt;</TITLE>\r\n\
         <AUTHOR>x y</AUTHOR>\r\n\
         <LOGURL HREF=\"http://h/log?a&amp;b\"/>\r\n\
         <REF HREF=\"rtsp://h/live\"/>\r\n\
         <REF HREF=\"http://h/live?a=1&amp;b=%22%3C%C3%A9%3E\"/>\r\n\
         </ENTRY>\r\n\
         </ASX>\r\n"
    );
    assert_eq!(
        read(&text),
        Some(vec![Item::Entry(vec![
            plain("rtsp://h/live"),
            plain("http://h/live?a=1&b=%22%3C%C3%A9%3E")
        ])])
    );
}

// P9, PL-03
#[test]
fn reads_roll_over_times_and_includes() {
    let text = r#"<asx version="3.0"><entry><ref href="rtsp://127.0.0.1/a.wmv"/>
        <ref href="http://127.0.0.1/a.wmv"/><starttime value="1:00"/><duration value="0:30"/></entry>
        <entryref href="http://127.0.0.1/more.asx"/></asx>"#;
    let timed = |url| Reference {
        start_ms: Some(60_000),
        duration_ms: Some(30_000),
        ..plain(url)
    };
    assert_eq!(
        read(text),
        Some(vec![
            Item::Entry(vec![
                timed("rtsp://127.0.0.1/a.wmv"),
                timed("http://127.0.0.1/a.wmv")
            ]),
            Item::Include("http://127.0.0.1/more.asx".into()),
        ])
    );
}

#[test]
fn a_refs_own_times_go_before_its_entrys() {
    let text = "<ASX><ENTRY><DURATION VALUE='9'/><REF HREF='a'><DURATION VALUE='1.5'/></REF>\
                <REF HREF='b'/><STARTTIME VALUE='0:02'/></ENTRY></ASX>";
    let items = read(text).unwrap();
    let [Item::Entry(refs)] = &items[..] else {
        panic!("one entry, not {items:?}");
    };
    assert_eq!(refs[0].duration_ms, Some(1500));
    assert_eq!(
        (refs[1].duration_ms, refs[1].start_ms),
        (Some(9000), Some(2000))
    );
}

#[test]
fn reads_what_is_found_in_the_wild() {
    for text in [
        "\u{feff}\r\n<Asx Version=3 >\n<Title>a > b & c</Title>\n<Entry><Ref hRef = mms://h/a?x&y=1 />",
        "<ASX VERSION='3'><!-- <REF HREF='no'/> --><ENTRY CLIENTSKIP=\"NO\">\
         <REF\n\tTARGET=\"<>\" HREF=' mms://h/a?x&amp;y=1 '></ENTRY></ASX>",
        "[Reference]\r\nRef1=mms://h/a?x&y=1\r\nfoo=bar\r\nRefX=no\r\n",
        "[reference]\nref1 = mms://h/a?x&y=1",
        "<ASX><ENTRY><REF HREF=\"mms://h/a?x&y=1></ENTRY></ASX>",
    ] {
        assert_eq!(
            read(text),
            Some(vec![Item::Entry(vec![plain("mms://h/a?x&y=1")])]),
            "{text}"
        );
    }
    assert_eq!(read("<ASX/>"), Some(vec![]));
    assert_eq!(read("[Reference]"), Some(vec![]));
    for text in ["", "<html>", "<?xml version='1.0'?><ASX>", "mms://h/a"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn is_bounded() {
    let many = format!("<ASX>{}", "<REF HREF=a/>".repeat(9000));
    let Some(items) = read(&many) else { panic!() };
    assert_eq!(items.len(), 1);
    assert!(matches!(&items[0], Item::Entry(refs) if refs.len() == 1024));
    assert_eq!(read(&format!("<ASX>{}", " ".repeat(BYTES_MAX))), None);
}

#[test]
fn times() {
    for (text, ms) in [
        ("30", Some(30_000)),
        ("1:30.0", Some(90_000)),
        ("1:02:03.4567", Some(3_723_456)),
        ("90", Some(90_000)),
        (".5", None),
        ("1:75", None),
        ("1:2:3:4", None),
        ("+5", None),
        ("99999999999", None),
        ("1.x", None),
        ("", None),
    ] {
        assert_eq!(time_ms(text), ms, "{text}");
    }
}

proptest! {
    // PL-02
    #[test]
    fn announcements_are_read_back(
        urls in proptest::collection::vec("[a-z]{3,5}://[!-~]{1,30}", 1..5),
        title in proptest::option::of("(?s).{0,40}"),
    ) {
        let text = announcement(&Announcement {
            urls: &urls, title: title.as_deref(), ..Announcement::default()
        });
        let safe = |u: &String| plain(
            &u.replace('<', "%3C").replace('>', "%3E").replace('"', "%22").replace('\'', "%27")
        );
        let refs: Vec<_> = urls.iter().map(safe).collect();
        // Entities in the URL itself are escaped again, so they survive.
        prop_assert_eq!(read(&text), Some(vec![Item::Entry(refs)]));
    }

    #[test]
    fn any_text_is_taken(s in "(?s).{0,200}") {
        read(&format!("<ASX{s}"));
        read(&format!("<ASX><REF HREF={s}<REF HREF='{s}'>"));
        read(&format!("[Reference]\n{s}"));
        time_ms(&s);
    }
}
