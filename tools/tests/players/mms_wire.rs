//! What players and the server say to each other, as it passed by, and as another program reads it.

use crate::need;
use crate::support::mms::{self, Item, Session};
use crate::support::{
    Libmms, Relay, Server, Side, TempDir, Xine, at_once, packets, run, vlc_dump, vlc_udp,
};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Plays `clip.wmv` through a relay, and returns that once both sides have closed.
fn played(server: &Server, player: &str) -> Relay {
    let relay = Relay::to(server.mms_address());
    let scheme = if player == "VLC by UDP" {
        "mmsu"
    } else {
        "mmst"
    };
    let url = relay.url(scheme, "vod/clip.wmv");
    match player {
        "ffmpeg" => drop(packets(&url, &[])),
        "libmms" => drop(Libmms::default().play(&url, LIMIT)),
        "xine" => drop(Xine::default().play(&url, "320x240", LIMIT)),
        _ => drop(vlc_dump(&url, &[], LIMIT)),
    }
    relay.wait_for("end", LIMIT, |r| {
        (r.closed(r.last(), Side::Player) && r.closed(r.last(), Side::Server)).then_some(())
    });
    relay
}

const BY_TCP: [&str; 4] = ["ffmpeg", "VLC", "libmms", "xine"];

// MMSP-01, MMSP-02, MMSP-03, MMSP-04, MMSP-05, MMSP-07, MMSP-14, MMSP-80, MMSP-83
#[test]
fn every_session_by_tcp_is_exact() {
    need!(Ffmpeg, Vlc, Libmms, Xine);
    let server = Server::shared();
    at_once(&BY_TCP, |player| {
        let relay = played(&server, player);
        let session = relay.look(Session::of);
        session.assert_counted();
        assert_ends(player, &session);
    });
}

// MMSP-56, MMSP-80, MMSP-83, MMSP-96
#[test]
fn a_session_by_udp_is_exact() {
    need!(Vlc);
    let server = Server::shared();
    let _port = vlc_udp();
    let relay = played(&server, "VLC by UDP");
    let session = relay.look(Session::of);
    session.assert_counted();
    assert_ends("VLC by UDP", &session);
}

/// Holds a session to what a play from the beginning to the end says.
fn assert_ends(player: &str, session: &Session) {
    let said = mms::messages(&session.items);
    let order = [
        mms::CONNECTED_EX,
        mms::CONNECTED_FUNNEL,
        mms::REPORT_OPEN_FILE,
        mms::REPORT_READ_BLOCK,
        mms::REPORT_STREAM_SWITCH,
        mms::REPORT_STARTED_PLAYING,
        mms::END_OF_STREAM,
    ];
    let known: Vec<u32> = said
        .iter()
        .copied()
        .filter(|id| order.contains(id))
        .collect();
    match mms::message(&session.items, mms::END_OF_STREAM) {
        Some(ended) => {
            assert_eq!(known, order, "{player}: {said:x?}");
            assert_eq!(mms::field(ended, 8), 0, "{player}: hr of EndOfStream");
        }
        // FFmpeg counts packets and leaves after the last one.
        None => {
            assert_eq!(player, "ffmpeg", "no EndOfStream: {said:x?}");
            assert_eq!(known, order[..order.len() - 1], "{player}: {said:x?}");
        }
    }
    let locations: Vec<u32> = session.media.iter().map(|d| d.location).collect();
    assert!(locations.is_sorted(), "{player}: {locations:?}");
    assert!(
        session
            .items
            .iter()
            .all(|i| matches!(i, Item::Message { .. })),
        "{player}"
    );
}

/// What Wireshark's dissector sees in a recording.
#[derive(Default)]
struct Dissected {
    to_server: Vec<u32>,
    to_client: Vec<u32>,
    /// LocationIds, of headers and media.
    locations: Vec<u32>,
    /// Descriptions of the frames with messages.
    descriptions: Vec<String>,
    /// Complaints of it, with the frames' numbers.
    complaints: Vec<String>,
}

fn dissected(relay: &Relay) -> Dissected {
    const FIELDS: [&str; 6] = [
        "msmms.command.to-server-id",
        "msmms.command.to-client-id",
        "msmms.data.sequence",
        "_ws.col.Info",
        "_ws.malformed",
        "frame.number",
    ];
    let dir = TempDir::new();
    let file = dir.file("session.pcap");
    relay.look(|r| r.write_pcap(&file));
    let mut tshark = Command::new("tshark");
    tshark
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path());
    tshark.arg("-r").arg(&file);
    tshark.args(["-Y", "msmms || _ws.malformed", "-T", "fields"]);
    tshark.args(["-E", "separator=|", "-E", "occurrence=a"]);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let out = run(&mut tshark, LIMIT);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "tshark: {errors}");
    let mut all = Dissected::default();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [
            to_server,
            to_client,
            locations,
            description,
            malformed,
            number,
        ] = fields[..]
        else {
            panic!("not a line with {} fields: {line}", FIELDS.len());
        };
        all.to_server.extend(numbers(to_server));
        all.to_client.extend(numbers(to_client));
        all.locations
            .extend(numbers(locations).filter(|&l| l != u32::MAX));
        if !(to_server.is_empty() && to_client.is_empty()) {
            all.descriptions.push(description.to_owned());
        }
        if !malformed.is_empty() {
            all.complaints
                .push(format!("frame {number}: {description}"));
        }
    }
    all
}

/// Numbers with commas between them, decimal or hexadecimal.
fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.split(',').filter(|n| !n.is_empty()).map(|number| {
        let parsed = match number.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        parsed.unwrap_or_else(|_| panic!("not a number: {number}"))
    })
}

/// Fails unless the dissector sees exactly what is there, and knows all of it by name.
fn assert_dissected(player: &str, relay: &Relay) {
    /// Data by TCP with other AFFlags it takes for something else.
    const TCP_FLAGS: [u8; 5] = [0x00, 0x04, 0x08, 0x0c, 0x10];
    let is_udp = relay.look(|r| !r.datagrams(Side::Server).is_empty());
    let seen = dissected(relay);
    assert_eq!(seen.complaints, Vec::<String>::new(), "{player}");
    let (mut to_server, mut to_client, mut locations) = (Vec::new(), Vec::new(), Vec::new());
    relay.look(|r| {
        for connection in 0..r.connections() {
            let low = |id: u32| id & 0xffff;
            to_server.extend(
                mms::ids(&r.bytes(connection, Side::Player))
                    .into_iter()
                    .map(low),
            );
            to_client.extend(
                mms::ids(&r.bytes(connection, Side::Server))
                    .into_iter()
                    .map(low),
            );
        }
        let session = Session::of(r);
        let data = session.header.iter().chain(&session.media);
        let seen = data.filter(|d| is_udp || TCP_FLAGS.contains(&d.flags));
        locations.extend(seen.map(|d| d.location));
    });
    assert_eq!(
        seen.to_server, to_server,
        "{player}: messages of the player"
    );
    assert_eq!(
        seen.to_client, to_client,
        "{player}: messages of the server"
    );
    assert!(
        seen.locations.ends_with(&locations),
        "{player}: Data: {:?}, not {locations:?}",
        seen.locations
    );
    for description in &seen.descriptions {
        assert!(!description.contains("nknown"), "{player}: {description}");
    }
}

// MMSP-02, MMSP-07, MMSP-83
#[test]
fn wireshark_reads_every_session() {
    need!(Tshark, Ffmpeg, Vlc, Libmms, Xine);
    let server = Server::shared();
    at_once(&BY_TCP, |player| {
        assert_dissected(player, &played(&server, player));
    });
    let _port = vlc_udp();
    let player = "VLC by UDP";
    assert_dissected(player, &played(&server, player));
}
