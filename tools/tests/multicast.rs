//! Stations and groups as users of the command meet them: a sender on this host's loopback interface.

use protocols::asf::{Header, Packet, broadcast_blob, trim};
use protocols::media::{Caster, PacketMeta};
use protocols::msb::{Sender, SenderConfig};
use protocols::nsc::{FormatIds, Station, Style};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that the command is to do.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIP: &[u8] = include_bytes!("../content/clip.wmv");

fn ringcast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = ringcast(args).output().expect("the command");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in\n{text}"))
}

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let name = format!("ringcast-multicast-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The clip as a broadcast, and its packets.
fn broadcast() -> (Vec<u8>, Vec<Vec<u8>>) {
    let header = Header::parse(CLIP).expect("a header");
    let blob = &CLIP[..header.blob_len() as usize];
    let size = header.packet_size() as usize;
    let count = header.packet_count().expect("a count") as usize;
    let packets = CLIP[blob.len()..].chunks_exact(size).take(count);
    let live = broadcast_blob(blob, None).expect("a broadcast");
    (live, packets.map(<[u8]>::to_vec).collect())
}

/// The station of the clip in a group of its own.
fn station(group: SocketAddr) -> Station {
    let mut formats = FormatIds::new();
    formats.id(&broadcast().0.into());
    Station {
        name: Some("test, clip".into()),
        ..Station::new(group, &formats)
    }
}

/// A port that nobody else on this host has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

/// Waits until somebody on this host is a member of the group.
fn await_member(group: SocketAddr, child: &mut Child) {
    let IpAddr::V4(ip) = group.ip() else {
        panic!("{group}")
    };
    let name = format!("{:08X}", u32::from_le_bytes(ip.octets()));
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string("/proc/net/igmp")
        .expect("groups")
        .contains(&name)
    {
        assert!(Instant::now() < deadline, "nobody joined");
        assert!(child.try_wait().expect("a child").is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends the clip to the group. What the packets were before they were trimmed.
fn send_clip(group: SocketAddr) -> Vec<Vec<u8>> {
    let (live, packets) = broadcast();
    let size = Header::parse(&live).expect("a header").packet_size();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket
        .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
        .expect("the interface");
    let to = SockAddr::from(group);
    let mut sink = |datagram: &[u8]| {
        let sent = socket.send_to(datagram, &to).expect("send");
        assert_eq!(sent, datagram.len());
        // Not faster than it is read.
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut sender = Sender::new(SenderConfig::new(FormatIds::new())).expect("a sender");
    sink(sender.beacon().expect("a beacon"));
    sender.entry(1, &live.into(), &mut sink);
    for packet in &packets {
        let parsed = Packet::parse(packet, size).expect("a packet");
        let mut cut = Vec::new();
        trim::trim(packet, size, &mut cut).expect("a packet");
        let meta = PacketMeta {
            number: 0,
            send_time: parsed.send_time(),
            duration: parsed.duration(),
            key: false,
            len: cut.len() as u32,
        };
        sender.packet(&meta, &cut, &mut sink);
    }
    sender.pause(&mut sink);
    packets
}

/// The packets of a file that was saved.
fn saved_packets(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("the file");
    let header = Header::parse(&bytes).expect("a header");
    let count = header.packets_in(bytes.len() as u64) as usize;
    let size = header.packet_size() as usize;
    let packets = bytes[header.blob_len() as usize..].chunks_exact(size);
    packets.take(count).map(<[u8]>::to_vec).collect()
}

/// Probes a station on the loopback interface while the clip is sent; its JSON, and the packets sent.
fn probe(group: SocketAddr, place: &str, more: &[&str]) -> (Value, Vec<Vec<u8>>) {
    let usual = [
        "probe",
        place,
        "--json",
        "--interface",
        "127.0.0.1",
        "--duration",
        "3s",
    ];
    let mut child = ringcast(&[&usual, more].concat())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command");
    await_member(group, &mut child);
    let packets = send_clip(group);
    let output = child.wait_with_output().expect("its end");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    (json(&text), packets)
}

// MSB-02, MSB-48, NSC-41
#[test]
fn a_group_is_received_and_saved() {
    let directory = Directory::new("saved");
    let group = SocketAddr::from(([239, 255, 83, 1], free_port()));
    let file = directory.path("clip.nsc");
    let text = station(group).write(Style::Encoded).expect("a station");
    fs::write(&file, text).expect("a file");
    let saved = directory.path("clip.asf");
    let (seen, packets) = probe(group, &file, &["--save", &saved]);
    assert_eq!(saved_packets(Path::new(&saved)), packets, "byte for byte");
    assert_eq!(seen["transport"], "UDP");
    assert_eq!(seen["packets"], packets.len());
    assert_eq!(seen["gaps"], 0);
    assert_eq!(seen["multicast"]["beacons"], 1);
    assert_eq!(seen["multicast"]["parity"], packets.len().div_ceil(10));
    assert_eq!(seen["multicast"]["lost_before_repair"], 0);
}

/// Serves a station file and takes logs; the last body that was posted.
fn serve(listener: TcpListener, nsc: String) -> String {
    loop {
        let (mut stream, _) = listener.accept().expect("accept");
        let request = read_request(&mut stream);
        let page = protocols::wmlog::web::page([9, 0, 0, 3372]);
        let body = match &request {
            r if r.starts_with("GET /clip.nsc ") => &nsc,
            r if r.starts_with("GET /log ") => &page,
            r if r.starts_with("POST /log ") => "",
            other => panic!("{other}"),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).expect("write");
        if request.starts_with("POST ") {
            return request.split_once("\r\n\r\n").expect("a body").1.to_owned();
        }
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |l| l.parse().expect("a length"));
            if body.len() >= length {
                return text;
            }
        }
        let n = stream.read(&mut chunk).expect("read");
        assert!(n > 0, "closed early: {text}");
        bytes.extend_from_slice(&chunk[..n]);
    }
}

// MSB-56, MSB-60
#[test]
fn losses_are_made_good_and_the_session_is_logged() {
    let directory = Directory::new("lossy");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let group = SocketAddr::from(([239, 255, 83, 2], free_port()));
    let station = Station {
        log_url: Some(format!("http://127.0.0.1:{port}/log")),
        ..station(group)
    };
    let text = station.write(Style::Plain).expect("a station");
    let server = std::thread::spawn(move || serve(listener, text));
    let url = format!("http://127.0.0.1:{port}/clip.nsc");
    let saved = directory.path("clip.asf");
    let (seen, packets) = probe(group, &url, &["--drop", "8%", "--save", &saved]);
    let number = |name: &str| seen["multicast"][name].as_u64().expect(name) as usize;
    let (before, repaired, lost) = (
        number("lost_before_repair"),
        number("repaired"),
        number("lost"),
    );
    assert!(repaired > 0 && before == repaired + lost, "{seen}");
    assert!(
        seen["datagrams"]["dropped"].as_u64() >= Some(before as u64),
        "{seen}"
    );
    let kept = saved_packets(Path::new(&saved));
    assert_eq!(seen["packets"], kept.len());
    let mut rest = packets.iter();
    for (n, packet) in kept.iter().enumerate() {
        assert!(
            rest.any(|p| p == packet),
            "number {n} is none of those sent, or out of order"
        );
    }
    assert_eq!(seen["log_sent"], true);
    let body = server.join().expect("the server");
    let line = protocols::wmlog::web::line(&body).expect("a line");
    assert!(line.contains(&format!(" asfm://{group} ")), "{line}");
    assert!(line.contains(&format!(" {url} ")), "{line}");
}

#[test]
fn a_station_without_a_group_leads_elsewhere() {
    let directory = Directory::new("elsewhere");
    let nobody = format!("http://127.0.0.1:{}/ch1", free_port());
    let file = directory.path("odd.nsc");
    let group = SocketAddr::from(([239, 255, 83, 3], 5000));
    let station = Station {
        unicast_url: Some(nobody.clone()),
        ..station(group)
    };
    let text = station.write(Style::Plain).expect("a station");
    fs::write(&file, text.replace("239.255.83.3", "192.0.2.1")).expect("a file");
    let (code, out, _) = run(&["probe", &file, "--json", "--timeout", "2s"]);
    assert_eq!(code, 2, "{out}");
    // What was seen, and then what is wrong.
    let mut documents = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
    let seen = documents.next().and_then(Result::ok).expect("JSON");
    assert_eq!(seen["redirected_to"][0], nobody.as_str(), "{out}");
    fs::write(&file, "[Address]\r\n").expect("a file");
    let (code, _, error) = run(&["probe", &file]);
    assert_eq!(
        (code, error.contains("no section [Formats]")),
        (2, true),
        "{error}"
    );
}

// NSC-08, NSC-34, NSC-36
#[test]
fn station_files_are_shown_and_rewritten() {
    let directory = Directory::new("files");
    let group = "[ff1e::83:1]:17000".parse().expect("an address");
    let station = station(group);
    let (encoded, plain) = (
        station.write(Style::Encoded).expect("a station"),
        station.write(Style::Plain).expect("a station"),
    );
    let file = directory.path("clip.nsc");
    fs::write(&file, &encoded).expect("a file");
    let (code, out, _) = run(&["nsc", "show", &file]);
    assert_eq!(code, 0, "{out}");
    for said in [
        "test, clip",
        "[ff1e::83:1]:17000",
        "1 for each 10 packets",
        "format 0x",
    ] {
        assert!(out.contains(said), "{said} in\n{out}");
    }
    let (code, out, _) = run(&["nsc", "show", &file, "--json"]);
    let shown = json(&out);
    assert_eq!((code, &shown["valid"]), (0, &Value::Bool(true)));
    assert_eq!(shown["station"]["time_to_live"], 32);
    let header = Header::parse(CLIP).expect("a header");
    assert_eq!(
        shown["station"]["formats"][0]["packet_size"],
        header.packet_size()
    );
    assert_eq!(run(&["nsc", "decode", "--file", &file]).1, plain);
    fs::write(&file, &plain).expect("a file");
    assert_eq!(run(&["nsc", "encode", "--file", &file]).1, encoded);
    fs::write(&file, "no station\r\n").expect("a file");
    let (code, out, _) = run(&["nsc", "show", &file]);
    assert_eq!(code, 1);
    assert!(out.contains("INVALID: no section [Address]"), "{out}");
    assert_eq!(run(&["nsc", "show", &directory.path("absent.nsc")]).0, 2);
}

// NSC-36, NSC-40
#[test]
fn values_are_encoded_and_decoded() {
    let value = "029G0000000008Cm0k0300000";
    assert_eq!(run(&["nsc", "encode", "3.0"]).1, format!("{value}\n"));
    assert_eq!(run(&["nsc", "decode", value]).1, "3.0\n");
    let stale = "029W000000000YJG1P05y0Gm1F04q0K01L05G0HG1I02m0801Y0700S00000";
    let (code, out, _) = run(&["nsc", "decode", stale]);
    assert_eq!(
        (code, &*out),
        (1, "MY_COMPUTER, bpp  (the checksum is wrong)\n")
    );
    assert_eq!(run(&["nsc", "decode", "029G0"]).0, 2);
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("content/clip.wmv");
    let (code, format, _) = run(&["nsc", "encode", "--header", clip.to_str().expect("UTF-8")]);
    assert_eq!(code, 0);
    let (code, out, _) = run(&["nsc", "decode", format.trim(), "--json"]);
    assert_eq!((code, &json(&out)["asf_header"]), (0, &Value::Bool(true)));
    // One thing at a time.
    assert_eq!(run(&["nsc", "encode"]).0, 2);
    assert_eq!(run(&["nsc", "encode", "a", "--file", "b"]).0, 2);
}
