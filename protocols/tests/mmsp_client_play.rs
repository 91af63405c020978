//! The client of MMSP while it plays: ends, entries, stops, logs.

mod asf_build;
mod mmsp_rig;

use mmsp_rig::*;
use protocols::content::{Level, Start, StreamSwitch};
use protocols::machine::{ClientLog, Input};
use protocols::media::{IngestEvent, News};
use protocols::mmsp::client::ClientConfig;
use protocols::mmsp::message::*;
use protocols::wmlog::{self, Field};
use std::time::Duration;

fn tcp() -> ClientConfig {
    config("mmst://h/a.wmv")
}

fn change() -> ToClient {
    ToClient::ReportStreamChange {
        packet_size: PACKET_SIZE,
        header_size: header().len() as u32,
        bit_rate: 24_000,
    }
}

fn names(messages: &[ToServer]) -> Vec<&'static str> {
    let name = |m: &ToServer| match m {
        ToServer::StopPlaying { .. } => "stop",
        ToServer::Logging(_) => "log",
        ToServer::CloseFile { .. } => "close",
        ToServer::StreamSwitch { .. } => "switch",
        ToServer::StartPlaying(_) => "start",
        ToServer::StartStriding { .. } => "stride",
        ToServer::ReadBlock { .. } => "read",
        ToServer::CancelReadBlock { .. } => "cancel",
        ToServer::Pong => "pong",
        _ => "other",
    };
    messages.iter().map(name).collect()
}

// MMSP-92, MMSP-94, MMSP-107
#[test]
fn the_end_is_logged_and_closed() {
    let (mut rig, inc) = playing(tcp());
    for n in 0..10 {
        rig.now = rig.now + Duration::from_millis(100);
        rig.media(inc, n, n, false);
    }
    rig.end(0, inc);
    assert_eq!(rig.numbers(), (0..10).collect::<Vec<_>>());
    let messages = rig.sent();
    assert_eq!(names(&messages), ["log", "close"]);
    assert_eq!(messages[1], ToServer::CloseFile { open_file_id: 1 });
    assert!(rig.client.is_done());
    assert!(rig.events.contains(&IngestEvent::End(0)));
    assert!(rig.events.contains(&IngestEvent::LogSent));
    let ToServer::Logging(log) = &messages[0] else {
        panic!()
    };
    assert_eq!(log.len(), 1490);
    let entry = wmlog::parse(&ClientLog::Mmsp(log.clone())).unwrap();
    assert_eq!(entry.defects, Default::default());
    for (field, value) in [
        (Field::CsUrl, "mmst://h/a.wmv"),
        (Field::Protocol, "mms"),
        (Field::Transport, "TCP"),
        (Field::CPktsReceived, "10"),
        (Field::CBytes, "4000"),
        (Field::CPktsLostClient, "0"),
        (Field::CResendreqs, "0"),
        (Field::CQuality, "100"),
        (Field::CRate, "1"),
        (Field::CPlayerversion, "9.0.0.3372"),
        (Field::CPlayerlanguage, "en-US"),
        // 0.9 s from the first packet to the last.
        (Field::XDuration, "1"),
        (Field::CHostexe, "ringcast"),
    ] {
        assert_eq!(entry.get(field), Some(value), "{field:?}");
    }
}

// MMSP-92
#[test]
fn the_end_depends_on_server_and_content() {
    for (version, attributes, hr, ends) in [
        ("9.1", 0, 0, true),
        ("9.1", 0x0200_0000, 0, true),
        ("9.1", 0, MORE, false),
        ("9.1", 0, 0xC00D_145E, true),
        ("4.1", 0, 0, true),
        ("4.1", 0x0200_0000, 0, false),
        ("4.1", 0x0200_0000, MORE, true),
        ("4.1", 0, MORE, true),
    ] {
        let mut rig = Rig::new(tcp());
        rig.open_up_to_file(version);
        let report = ReportOpenFile {
            attributes,
            ..opened()
        };
        let start = rig.describe(report, false);
        let inc = rig.started(&start);
        rig.media(inc, 0, 0, false);
        rig.end(hr, inc);
        assert_eq!(
            rig.client.is_done(),
            ends,
            "{version} {attributes:x} {hr:x}"
        );
        assert_eq!(rig.events.contains(&IngestEvent::End(hr)), ends);
        assert_eq!(rig.events.contains(&IngestEvent::EntryEnd), !ends);
        assert_eq!(rig.failure(), None);
    }
}

// MMSP-102
#[test]
fn ping_is_answered_in_any_state() {
    let mut rig = Rig::new(tcp());
    rig.open();
    rig.say(ToClient::Ping);
    assert_eq!(rig.only(), ToServer::Pong);
    let (mut rig, _) = playing(tcp());
    rig.say(ToClient::Ping);
    assert_eq!(rig.only(), ToServer::Pong);
    rig.with(|c, now| c.stop(now));
    rig.sent();
    rig.say(ToClient::Ping);
    assert_eq!(rig.only(), ToServer::Pong);
}

// MMSP-93
#[test]
fn stops_logs_waits_and_goes_on() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    rig.media(inc, 1, 1, false);
    rig.with(|c, now| c.stop(now));
    let messages = rig.sent();
    assert_eq!(names(&messages), ["stop", "log"]);
    let stop = ToServer::StopPlaying {
        open_file_id: 1,
        play_incarnation: inc,
    };
    assert_eq!(messages[0], stop);
    // What was on its way is dropped.
    rig.media(inc, 2, 2, false);
    assert_eq!(rig.numbers(), [0, 1]);
    assert!(!rig.has_news(&News::Stopped));
    rig.end(0, inc);
    assert!(rig.has_news(&News::Stopped));
    assert_eq!(rig.sent(), [], "paused");
    assert_eq!(rig.deadline, None, "for as long as one likes");
    rig.with(|c, now| c.resume(now));
    let start = rig.sent();
    let ToServer::StartPlaying(at) = &start[1] else {
        panic!()
    };
    assert_eq!(at.position.location_id, 2, "behind the last packet");
    let next = rig.started(&start);
    assert_eq!(next, inc + 1);
    // The old start is over for good.
    rig.media(inc, 3, 3, false);
    rig.media(next, 3, 2, false);
    assert_eq!(rig.numbers(), [0, 1, 2]);
    rig.with(|c, now| c.finish(now));
    assert_eq!(names(&rig.sent()), ["stop", "log"]);
    assert!(!rig.client.is_done());
    rig.end(0, next);
    assert_eq!(names(&rig.sent()), ["close"]);
    assert!(rig.client.is_done());
}

#[test]
fn a_seek_waits_for_the_stop() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    rig.with(|c, now| c.play(now, Start::Time(5000)));
    assert_eq!(names(&rig.sent()), ["stop", "log"]);
    rig.with(|c, now| c.play(now, Start::Time(7000)));
    assert_eq!(rig.sent(), []);
    rig.end(0, inc);
    let start = rig.sent();
    assert_eq!(names(&start), ["switch", "start"]);
    let ToServer::StartPlaying(at) = &start[1] else {
        panic!()
    };
    assert_eq!(at.position.seconds, 7.0);
    // The stream had ended by itself just as it was stopped: both ends come.
    rig.end(0, inc);
    let next = rig.started(&start);
    rig.media(next, 1, 70, false);
    assert_eq!(rig.numbers(), [0, 70]);
    rig.with(|c, now| c.play_at_rate(now, Start::Time(9000), 5000));
    rig.end(0, next);
    assert_eq!(names(&rig.sent()), ["stop", "log", "switch", "stride"]);
}

#[test]
fn incarnations_wrap() {
    let (mut rig, mut inc) = playing(tcp());
    assert_eq!(inc, 10);
    for _ in 0..300 {
        let last = inc;
        rig.with(|c, now| c.play(now, Start::Beginning));
        rig.sent();
        rig.end(0, last);
        let start = rig.sent();
        inc = rig.started(&start);
        assert_eq!(inc, if last == 0xFE { 9 } else { last + 1 });
    }
}

// MMSP-91, exchange 7
#[test]
fn the_next_entry_comes_over_tcp() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    rig.end(MORE, inc);
    assert_eq!(names(&rig.sent()), ["log"]);
    rig.say(change());
    assert_eq!(rig.sent(), [], "the header comes by itself");
    rig.header(0xFF, false);
    let start = rig.sent();
    assert_eq!(names(&start), ["switch", "start"]);
    // Media of the new entry may come before the answer, still with the server's incarnation.
    rig.media(0xFF, 1, 0, false);
    let next = rig.started(&start);
    assert_eq!(next, inc + 1);
    rig.media(0xFF, 2, 1, false);
    rig.media(next, 3, 2, false);
    rig.media(0xFF, 4, 3, false);
    assert_eq!(rig.numbers(), [0, 0, 1, 2]);
    rig.end(0, next);
    assert_eq!(rig.failure(), None);
    assert!(rig.client.is_done());
    let headers = rig
        .events
        .iter()
        .filter(|e| matches!(e, IngestEvent::Header(_)));
    assert_eq!(headers.count(), 2);
}

// MMSP-91, exchange 8
#[test]
fn the_next_entry_is_asked_for_over_udp() {
    let (mut rig, inc) = playing(config("mmsu://h/a.wmv"));
    rig.media(inc, 0, 99, true);
    rig.end(MORE, inc);
    assert_eq!(names(&rig.sent()), ["log"]);
    rig.say(change());
    let start = rig.read_block(2, true);
    assert_eq!(names(&start), ["switch", "start"]);
    let next = rig.started(&start);
    rig.media(next, 1, 0, true);
    assert_eq!(rig.numbers(), [99, 0]);
}

#[test]
fn an_entry_may_be_chosen_by_hand() {
    let (mut rig, inc) = playing(ClientConfig {
        autoselect: false,
        ..tcp()
    });
    rig.media(inc, 0, 0, false);
    rig.end(MORE, inc);
    rig.say(change());
    rig.header(0xFF, false);
    assert!(rig.has_news(&News::Waiting));
    assert_eq!(names(&rig.sent()), ["log"]);
    let off = StreamSwitch {
        from: None,
        to: Some(2),
        level: Level::Off,
    };
    rig.with(|c, now| c.select(now, &[off]));
    let start = rig.sent();
    let ToServer::StreamSwitch { entries } = &start[0] else {
        panic!()
    };
    assert_eq!(
        entries[1],
        SwitchEntry {
            src: 2,
            dst: 0xFFFF,
            thinning: 0
        }
    );
    rig.started(&start);
}

// MMSP-69
#[test]
fn only_changes_are_named_while_streaming() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    let switch = |from, to, level| StreamSwitch { from, to, level };
    rig.with(|c, now| {
        let all = [
            switch(Some(1), Some(2), Level::Whole),
            switch(None, Some(1), Level::KeyOnly),
            switch(Some(2), None, Level::Off),
            switch(Some(2), Some(2), Level::KeyOnly),
        ];
        c.select(now, &all);
    });
    let entry = |src, dst, thinning| SwitchEntry { src, dst, thinning };
    let entries = vec![
        entry(1, 2, 0),
        entry(0xFFFF, 1, 1),
        entry(2, 0xFFFF, 0),
        entry(2, 2, 1),
    ];
    assert_eq!(rig.only(), ToServer::StreamSwitch { entries });
}

#[test]
fn stopping_between_two_entries_reads_the_header_again() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    rig.end(MORE, inc);
    rig.say(change());
    rig.with(|c, now| c.stop(now));
    assert_eq!(names(&rig.sent()), ["log", "stop"]);
    // The header was on its way.
    rig.header(0xFF, false);
    rig.end(0, inc);
    rig.with(|c, now| c.play(now, Start::Beginning));
    let start = rig.read_block(2, false);
    assert_eq!(names(&start), ["switch", "start"]);
    rig.started(&start);
    assert_eq!(rig.failure(), None);
}

#[test]
fn a_connection_that_breaks_is_an_error() {
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    let conn = rig.conn();
    rig.handle(Input::Closed { conn });
    assert_eq!(rig.failure(), Some("connection closed before EndOfStream"));
    assert!(rig.client.is_done());
    // Who is leaving has what it wants.
    let (mut rig, inc) = playing(tcp());
    rig.media(inc, 0, 0, false);
    rig.with(|c, now| c.finish(now));
    rig.handle(Input::Closed { conn });
    assert_eq!(rig.failure(), None);
    assert!(rig.client.is_done());
}

#[test]
fn nothing_is_logged_of_nothing() {
    let (mut rig, inc) = playing(tcp());
    rig.with(|c, now| c.finish(now));
    assert_eq!(names(&rig.sent()), ["stop"]);
    rig.end(0, inc);
    assert_eq!(names(&rig.sent()), ["close"]);
    let mut rig = Rig::new(tcp());
    rig.open();
    rig.with(|c, now| c.finish(now));
    assert_eq!(rig.sent(), []);
    assert!(rig.client.is_done());
}

#[test]
fn who_stays_may_play_again() {
    let (mut rig, inc) = playing(ClientConfig {
        stay: true,
        ..tcp()
    });
    rig.media(inc, 0, 0, false);
    rig.end(0, inc);
    assert_eq!(names(&rig.sent()), ["log"]);
    rig.with(|c, now| c.play(now, Start::Beginning));
    let start = rig.sent();
    let next = rig.started(&start);
    rig.media(next, 1, 0, false);
    assert_eq!(rig.numbers(), [0, 0]);
}
