//! Running servers: `ringcast serve` on free ports with the bundled content, or any other command line.

use super::{TempDir, content};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A running `ringcast` with a directory of its own. Killed when dropped.
pub struct Ringcast {
    child: Child,
    dir: TempDir,
}

impl Ringcast {
    /// Starts `ringcast` with these arguments, in `dir`, where its output goes to a file.
    pub fn start(args: &[&str], dir: TempDir) -> Ringcast {
        let log = File::create(dir.file("server.log")).expect("temporary directory");
        let child = Command::new(env!("CARGO_BIN_EXE_ringcast"))
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log)
            .spawn()
            .expect("the ringcast binary");
        Ringcast { child, dir }
    }

    /// What it has written to its standard output and error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.file("server.log")).unwrap_or_default()
    }

    /// Waits until something is so. Fails the test if the server ends before, or it takes too long.
    pub fn wait_until<T>(&mut self, what: &str, mut so: impl FnMut(&Ringcast) -> Option<T>) -> T {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(found) = so(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("own child") {
                panic!("the server ended ({status}), not {what}\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "not {what} after {READY_LIMIT:?}\n{}",
                self.log()
            );
            thread::sleep(POLL);
        }
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid])
            .status();
        assert!(sent.is_ok_and(|s| s.success()), "cannot signal the server");
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("own child") {
                return status;
            }
            thread::sleep(POLL);
        }
        panic!(
            "the server did not end within {STOP_LIMIT:?} of SIGTERM\n{}",
            self.log()
        );
    }
}

impl Drop for Ringcast {
    fn drop(&mut self) {
        let log = self.log();
        // Both fail only for a child that has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let tail = log.len().saturating_sub(8000);
            let tail = (tail..log.len())
                .find(|&i| log.is_char_boundary(i))
                .unwrap_or(0);
            eprintln!("--- server log\n{}---", &log[tail..]);
        } else {
            assert!(!log.contains("panicked"), "the server panicked\n{log}");
        }
    }
}

/// Bytes of padding that make `large-header.wmv` out of `clip.wmv`.
pub const LARGE_HEADER: usize = 140_000;

/// The same for headers that stay below MPlayer's limit (8,192), exceed it, stay below libmms's
/// (16,384), and exceed that. The header of `clip.wmv` is 937 bytes with the start of the Data Object.
const PADDED: [(&str, usize); 4] = [
    ("header-8k.wmv", 7_200),
    ("header-12k.wmv", 11_300),
    ("header-16k.wmv", 15_400),
    ("header-17k.wmv", 16_500),
];

/// A server with two cores and these points: `vod` (the whole content directory), `made` (files made
/// out of it: `large-header.wmv` and its smaller sisters), `live`
/// (`clip.wmv` looped), `radio` (`audio.wma` looped), `modern` (`modern.asf` looped) and `rates`
/// (`mbr.wmv` looped).
pub struct Server {
    ringcast: Ringcast,
    ports: Ports,
}

/// Where a server listens.
#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    mms: u16,
    rtsp: u16,
    admin: u16,
}

impl Server {
    /// The server that all tests running at the same time share. It stops with the last of them.
    pub fn shared() -> Arc<Server> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        // A test that panicked while it started the server leaves nothing half done behind.
        let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server for one test alone.
    pub fn start() -> Server {
        Server::start_with(TempDir::new(), "")
    }

    /// A server for one test alone, in `dir`, with more at the end of its configuration.
    pub fn start_with(dir: TempDir, more: &str) -> Server {
        let ports = free_ports();
        let made = dir.file("made");
        fs::create_dir(&made).expect("temporary directory");
        for (name, padding) in [("large-header.wmv", LARGE_HEADER)]
            .into_iter()
            .chain(PADDED)
        {
            fs::write(made.join(name), padded_header(padding)).expect("temporary directory");
        }
        let config = config_text(ports, &dir) + more;
        fs::write(dir.file("ringcast.toml"), config).expect("temporary directory");
        let ringcast = Ringcast::start(&["serve", "--config", "ringcast.toml"], dir);
        let mut server = Server { ringcast, ports };
        server
            .ringcast
            .wait_until("ready", |_| get(ports.admin, "/readyz"));
        server
    }

    /// `scheme://` and this server's HTTP address and `path`.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/{path}", self.ports.http)
    }

    /// `scheme://` and this server's MMS address and `path`.
    pub fn mms_url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/{path}", self.ports.mms)
    }

    /// `rtsp://` and this server's RTSP address and `path`.
    pub fn rtsp_url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.ports.rtsp)
    }

    /// Where it serves WMSP and plain HTTP.
    pub fn http_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.http))
    }

    /// Where it serves MMSP, by TCP and UDP.
    pub fn mms_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.mms))
    }

    /// Where it serves RTSP.
    pub fn rtsp_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.rtsp))
    }

    /// The body of `GET path` on the admin listener, if the answer is 200.
    pub fn admin(&self, path: &str) -> Option<String> {
        get(self.ports.admin, path)
    }

    /// Waits until a broadcast's source does this, as the metrics call it.
    pub fn wait_for_source(&self, point: &str, state: &str) {
        let line = format!("ringcast_source_state{{point=\"{point}\",state=\"{state}\"}} 1\n");
        let deadline = Instant::now() + READY_LIMIT;
        while !self.admin("/metrics").is_some_and(|m| m.contains(&line)) {
            let late = Instant::now() >= deadline;
            assert!(!late, "{point} never {state}\n{}", self.ringcast.log());
            thread::sleep(POLL);
        }
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.ringcast.dir.file(name)
    }

    /// The process.
    pub fn ringcast(&mut self) -> &mut Ringcast {
        &mut self.ringcast
    }
}

fn config_text(ports: Ports, dir: &TempDir) -> String {
    let Ports {
        http,
        mms,
        rtsp,
        admin,
    } = ports;
    let mut text = format!(
        "[server]\ncores = 2\ndrain_timeout = \"1s\"\ncache_dir = {:?}\n\
         [listen]\nhttp = [\"127.0.0.1:{http}\"]\nmms = [\"127.0.0.1:{mms}\"]\nrtsp = [\"127.0.0.1:{rtsp}\"]\n\
         admin = \"127.0.0.1:{admin}\"\n\
         [log]\ndirectory = {:?}\n\
         [[point]]\nname = \"vod\"\nkind = \"on-demand\"\nsource = {:?}\n",
        dir.file("cache"),
        dir.file("logs"),
        content("")
    );
    text += &format!(
        "[[point]]\nname = \"made\"\nkind = \"on-demand\"\nsource = {:?}\n",
        dir.file("made")
    );
    for (name, file) in [
        ("live", "clip.wmv"),
        ("radio", "audio.wma"),
        ("modern", "modern.asf"),
        ("rates", "mbr.wmv"),
    ] {
        text += &format!(
            "[[point]]\nname = \"{name}\"\nkind = \"broadcast\"\nsource = {:?}\n",
            content(file)
        );
    }
    text
}

/// `clip.wmv` with a padding object of this size at the end of its header.
fn padded_header(padding: usize) -> Vec<u8> {
    const PADDING: [u8; 16] = *b"\x74\xd4\x06\x18\xdf\xca\x09\x45\xa4\xba\x9a\xab\xcb\x96\xaa\xe8";
    let mut file = fs::read(content("clip.wmv")).expect("bundled content");
    let size = u64::from_le_bytes(file[16..24].try_into().expect("eight bytes"));
    let count = u32::from_le_bytes(file[24..28].try_into().expect("four bytes"));
    let mut object = PADDING.to_vec();
    object.extend((padding as u64).to_le_bytes());
    object.resize(padding, 0);
    file[16..24].copy_from_slice(&(size + padding as u64).to_le_bytes());
    file[24..28].copy_from_slice(&(count + 1).to_le_bytes());
    file.splice(size as usize..size as usize, object);
    file
}

/// Ports that were free a moment ago. All are held until all are known, so they differ.
fn free_ports() -> Ports {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let (http, rtsp, admin, (mms, _udp)) = (bind(), bind(), bind(), free_twice());
    let port = |l: &TcpListener| l.local_addr().expect("bound").port();
    Ports {
        http: port(&http),
        mms: port(&mms),
        rtsp: port(&rtsp),
        admin: port(&admin),
    }
}

/// A port that is free for TCP and for UDP, bound for both.
pub fn free_twice() -> (TcpListener, UdpSocket) {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = tcp.local_addr().expect("bound");
        if let Ok(udp) = UdpSocket::bind(address) {
            return (tcp, udp);
        }
    }
    panic!("no port is free for TCP and UDP after {TRIES} tries");
}

/// The body of the answer, if it comes and is a 200.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1)? == "200").then(|| body.to_owned())
}
