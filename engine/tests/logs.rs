//! What is written down about sessions: a line each, with what the server sent and what the client said.

mod support;

use engine::Server;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use support::asf::SHORT;
use support::client::*;
use support::*;

const SERVER: &str = r#"
[server]
cores = 2
name = "media.test"
[listen]
http = ["127.0.0.1:0"]
[log]
directory = "logs"
free_space_floor = "0B"
[[point]]
name = "vod"
kind = "on-demand"
source = "content"
cadence = "20ms"
max_accel_bps = "4Gbit/s"
max_accel_duration = "300s"
"#;

/// The legacy log line of a player (44 values) that received so many bytes.
fn log_line(url: &str, bytes: u64) -> String {
    format!(
        "0.0.0.0 2024-05-01 12:00:30 - {url} 0 30 1 200 {{3300AD50-2C39-46c0-AE0A-000000000001}} \
         10.0.0.3802 en-US WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036 - wmplayer.exe 10.0.0.3802 \
         Windows_XP 5.1.0.2600 Pentium 60 1500000 200000 http TCP Windows_Media_Audio_9 \
         Windows_Media_Video_9 - - {bytes} - 240 0 0 0 - 0 0 1 2 100 - - - -"
    )
}

fn serving(name: &str) -> (Folder, Server) {
    let folder = Folder::new(name);
    fs::create_dir(folder.0.join("content")).expect("a folder");
    fs::write(folder.0.join("content/short.wmv"), SHORT.bytes()).expect("a clip");
    let server = start(config(&folder, SERVER));
    (folder, server)
}

/// Lines of the W3C files of a point as columns by name.
fn w3c(folder: &Folder, point: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows = Vec::new();
    let Ok(files) = fs::read_dir(folder.0.join("logs").join(point)) else {
        return rows;
    };
    for file in files.flatten() {
        let text = fs::read_to_string(file.path()).expect("a log");
        let names = text
            .lines()
            .find_map(|l| l.strip_prefix("#Fields: "))
            .expect("#Fields");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let values: Vec<&str> = line.split(' ').collect();
            assert_eq!(values.len(), names.split(' ').count(), "{line}");
            let row = names.split(' ').zip(values);
            rows.push(row.map(|(n, v)| (n.to_owned(), v.to_owned())).collect());
        }
    }
    rows
}

fn json(folder: &Folder) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.0.join("logs/ringcast.json.log")).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("each line is JSON")
}

// WMLOG-21, WMLOG-22, WMLOG-24, WMLOG-44, WMLOG-45, WMLOG-46
#[test]
fn every_session_has_its_line_with_the_server_s_figures_and_the_client_s() {
    let (folder, server) = serving("logs");
    let at = http(&server);
    let path = "/vod/short.wmv?ref=a%20b";

    // One that sends its log when it has all, on the connection that it played on.
    let tokens = format!("{FAST},version11-enabled=1");
    let mut good = Client::connect(at);
    good.send(&play(path, None, &[1, 2], &tokens));
    let id = good.reply().client_id();
    let (data, _) = good.all_data();
    assert!(matches!(good.next(), Event::Closed));
    let sent: u64 = data.iter().map(|d| d.payload.len() as u64 + 12).sum();
    let line = log_line("http://wrong.test/claimed.wmv", 4711);
    let logging = [
        &*format!("Pragma: client-id={id}"),
        &*format!("Pragma: log-line={line}"),
        "Content-Length: 0",
    ];
    good.send(&request(NINE, &format!("POST {path}"), &logging));
    assert_eq!(good.reply().status, 204);
    drop(good);

    // One that leaves without a word, one that gets nothing, and one that talks nonsense.
    let (mut silent, _) = Client::ask(at, &play(path, None, &[1, 2], ""));
    silent.data();
    let own = silent.stream.local_addr().expect("an address");
    drop(silent);
    let (_, reply) = Client::ask(at, &play("/vod/none.wmv", None, &[1, 2], ""));
    assert_eq!(reply.status, 404);
    let mut bad = Client::connect(at);
    bad.send("\u{1}\u{2}\r\n\r\n");
    assert_eq!(bad.reply().status, 400);
    // A download is a session like any other.
    let (mut download, _) = Client::ask(at, &request("curl/8", "GET /vod/short.wmv", &[]));
    let len = download.body().len() as u64;
    drop(download);

    until("all sessions are over", || {
        server.metrics().totals().sessions == 0
    });
    // Stopping writes what waits.
    server.stop();

    let rows = w3c(&folder, "vod");
    assert_eq!(rows.len(), 3, "played, left and downloaded: {rows:#?}");
    let row = |agent: &str, bytes: &dyn Fn(u64) -> bool| {
        let matches = |row: &&BTreeMap<String, String>| {
            row["cs(User-Agent)"].contains(agent)
                && bytes(row["sc-bytes"].parse().expect("a number"))
        };
        rows.iter()
            .find(matches)
            .unwrap_or_else(|| panic!("{agent} in {rows:#?}"))
    };
    let played = row("WMPlayer", &|bytes| bytes >= sent);
    assert_eq!(played["s-pkts-sent"], SHORT.packets.to_string());
    assert_eq!(
        played["c-ip"], "127.0.0.1",
        "the server's word, not the client's"
    );
    assert_eq!(
        played["c-bytes"], "4711",
        "the client's word on what it got"
    );
    assert_eq!(
        played["c-playerid"],
        "{3300AD50-2C39-46c0-AE0A-000000000001}"
    );
    assert_eq!(played["s-dns"], "media.test");
    assert_eq!(played["cs-url"], format!("http://ringcast.test{path}"));
    let left = row("NSPlayer", &|bytes| bytes < sent);
    assert_eq!(left["c-bytes"], "-");
    let saved = row("curl", &|bytes| bytes == len);
    assert_eq!(saved["c-status"], "200");
    // What belongs to no point.
    let rows = w3c(&folder, "[Global]");
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["c-status"], "404");

    let lines = json(&folder);
    let of = |event: &str| {
        lines
            .iter()
            .filter(|l| l["event"] == event)
            .collect::<Vec<_>>()
    };
    let (ended, logged, refused, faults) =
        (of("ended"), of("client_log"), of("refused"), of("fault"));
    assert_eq!(
        (ended.len(), logged.len(), refused.len(), faults.len()),
        (3, 1, 1, 1),
        "{lines:#?}"
    );
    assert_eq!(logged[0]["client_log"]["fields"]["c-bytes"], "4711");
    assert_eq!(logged[0]["point"], "vod");
    assert_eq!(logged[0]["sent_packets"], SHORT.packets);
    assert!(logged[0]["sent_bytes"].as_u64().is_some_and(|n| n >= sent));
    assert_eq!(logged[0]["target"], path);
    let same = ended.iter().find(|l| l["session"] == logged[0]["session"]);
    assert_eq!(same.expect("its end")["sent_packets"], SHORT.packets);
    assert!(ended.iter().any(|l| l["peer"] == own.to_string()));
    assert_eq!(
        (&refused[0]["status"], &refused[0]["target"]),
        (&404.into(), &"/vod/none.wmv".into())
    );
    assert!(faults[0]["offset"].as_u64().is_some() && faults[0]["reason"].is_string());
}

/// However the server stops, who was watching has a line.
#[test]
fn sessions_that_a_stop_ends_are_written_down() {
    for patience in [None, Some(Duration::ZERO)] {
        let (folder, server) = serving("logs-stop");
        let at = http(&server);
        let (mut watching, _) = Client::ask(at, &play("/vod/short.wmv", None, &[1, 2], ""));
        watching.data();
        match patience {
            None => server.stop(),
            Some(patience) => server.drain(patience),
        }
        let rows = w3c(&folder, "vod");
        assert_eq!(rows.len(), 1, "{patience:?}: {rows:#?}");
        assert!(rows[0]["sc-bytes"].parse::<u64>().is_ok_and(|n| n > 0));
        assert_eq!(server.metrics().totals().sessions, 0);
    }
}

#[test]
fn logs_are_opened_anew_when_a_rotation_asks_for_it() {
    let (folder, server) = serving("logs-reopen");
    let at = http(&server);
    let refused = |n: u32| {
        let (_, reply) = Client::ask(at, &describe(&format!("/vod/none-{n}.wmv")));
        assert_eq!(reply.status, 404);
    };
    refused(1);
    let current = folder.0.join("logs/ringcast.json.log");
    until("the first line is there", || json(&folder).len() == 1);
    let aside = folder.0.join("logs/aside.log");
    fs::rename(&current, &aside).expect("set aside");
    server.reopen_logs();
    refused(2);
    until("the second line is in a new file", || {
        json(&folder)
            .iter()
            .any(|l| l["target"] == "/vod/none-2.wmv")
    });
    let old = fs::read_to_string(&aside).expect("the old one");
    assert!(old.contains("none-1") && !old.contains("none-2"));
    server.stop();
}

/// A multicast's viewer asks the sink what it is and posts its log, which goes to the point that it
/// names.
// WMLOG-38, WMLOG-39, WMLOG-17
#[test]
fn viewers_of_a_multicast_post_their_logs() {
    let folder = Folder::new("logs-sink");
    fs::create_dir(folder.0.join("content")).expect("a folder");
    fs::write(folder.0.join("content/short.wmv"), SHORT.bytes()).expect("a clip");
    let text =
        format!("{SERVER}[[point]]\nname = \"studio\"\nkind = \"broadcast\"\nsource = \"push:\"\n");
    let server = start(config(&folder, &text));
    let at = http(&server);
    let ask = |method: &str, body: &str| {
        let length = format!("Content-Length: {}", body.len());
        let head = request("WMFSDK/10", &format!("{method} /wmsiislog.dll"), &[&length]);
        Client::ask(at, &format!("{head}{body}"))
    };
    let (mut client, reply) = ask("GET", "");
    assert_eq!(reply.status, 200);
    let page = String::from_utf8(client.body()).expect("a page");
    assert!(protocols::wmlog::web::is_log_resource(&page), "{page}");
    let of_channel = |channel: &str| {
        let line = log_line("asfm://239.192.1.1:5555", 4711);
        line.replace(
            "Windows_Media_Video_9 - -",
            &format!("Windows_Media_Video_9 {channel} -"),
        )
    };
    for (line, status) in [
        (of_channel("http://media.test/Studio.nsc"), 200),
        (log_line("http://media.test/vod/short.wmv", 12), 200),
        (of_channel("http://media.test/gone.nsc"), 200),
        ("too short".to_owned(), 400),
        ("x".repeat(20_000), 413),
    ] {
        let (mut client, reply) = ask("POST", &protocols::wmlog::web::body(&line));
        assert_eq!(reply.status, status, "{}", reply.head);
        client.body();
        assert!(
            client.closes(),
            "so that logs are as few as connections may be"
        );
    }
    server.stop();
    let rows = w3c(&folder, "studio");
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let row = &rows[0];
    assert_eq!(row["c-bytes"], "4711");
    assert_eq!(row["cs-uri-stem"], "asfm://239.192.1.1:5555");
    assert_eq!(row["cs-url"], "asfm://239.192.1.1:5555");
    assert_eq!(row["c-ip"], "127.0.0.1");
    assert_eq!((&*row["sc-bytes"], &*row["s-session-id"]), ("0", "0"));
    let rows = w3c(&folder, "vod");
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["cs-uri-stem"], "/vod/short.wmv");
    // A point that is gone, and what was refused.
    let rows = w3c(&folder, "[Global]");
    let statuses: Vec<&str> = rows.iter().map(|r| &*r["c-status"]).collect();
    assert_eq!(statuses.len(), 3, "{rows:#?}");
    let lines = json(&folder);
    let mut points: Vec<_> = lines
        .iter()
        .filter(|l| l["event"] == "client_log")
        .map(|l| l["point"].as_str())
        .collect();
    // Each post is a connection of its own, on any core.
    points.sort_unstable();
    assert_eq!(points, [None, Some("studio"), Some("vod")]);
}
