//! An encoder that pushes over HTTP (wmhttp.md): PushSetup, PushStart, `$H`, then each packet in a
//! `$D` of its own when its send time has come. Notes when each packet was given to the socket.

use crate::content::Recipe;
use crate::{asf, sys};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// For each answer of the server, and for the room for one frame in the socket.
const PATIENCE: Duration = Duration::from_secs(5);
/// A body that is long enough for everything (wmhttp.md 4.1).
const BODY: u64 = 2_147_483_647;
/// Longest sleep, so that a pusher is soon told to stop.
const NAP_NS: u64 = 50_000_000;
const FRAME: usize = 4;
/// Largest answer.
const ANSWER_MAX: usize = 16 << 10;

/// What is pushed.
#[derive(Debug)]
pub struct Content {
    header: Vec<u8>,
    packets: Vec<u8>,
    packet_size: usize,
}

impl Content {
    /// Make it. All of it is in memory.
    pub fn new(recipe: &Recipe) -> Content {
        let (header, packets) = recipe.live();
        Content {
            header,
            packets,
            packet_size: usize::from(recipe.packet_size),
        }
    }

    fn count(&self) -> usize {
        self.packets.len() / self.packet_size.max(1)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.packets.chunks_exact(self.packet_size.max(1))
    }
}

/// When each packet was pushed. Shared with those who receive them.
#[derive(Debug)]
pub struct Pushed {
    /// By packet number; 0: not yet.
    at_ns: Vec<AtomicU64>,
    count: AtomicU64,
    bytes: AtomicU64,
    latest_ns: AtomicU64,
}

impl Pushed {
    fn new(packets: usize) -> Pushed {
        Pushed {
            at_ns: (0..packets).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            latest_ns: AtomicU64::new(0),
        }
    }

    /// When the write of the packet with this number began, ns of [`sys::now_ns`]; `None`: there was
    /// none yet.
    pub fn at(&self, number: u32) -> Option<u64> {
        let at = self.at_ns.get(number as usize)?.load(Ordering::Acquire);
        (at > 0).then_some(at)
    }

    /// Packets that there are in all, pushed or not.
    pub fn capacity(&self) -> usize {
        self.at_ns.len()
    }

    /// Packets pushed so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Bytes of `$D` frames pushed so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// How far behind its send time the pusher was at worst, ms: what it adds to the server's doing
    /// is not in the ages, but makes packets come in heaps.
    pub fn worst_delay_ms(&self) -> f64 {
        self.latest_ns.load(Ordering::Acquire) as f64 / 1e6
    }

    /// Packets that were pushed at these times, ns; 0: not yet.
    #[cfg(test)]
    pub fn at_times(times: &[u64]) -> Pushed {
        let pushed = Pushed::new(times.len());
        for (number, at) in times.iter().enumerate() {
            pushed.begins(number, *at, *at);
        }
        pushed
    }

    fn begins(&self, number: usize, now: u64, due: u64) {
        self.latest_ns
            .fetch_max(now.saturating_sub(due), Ordering::AcqRel);
        if let Some(at) = self.at_ns.get(number) {
            at.store(now, Ordering::Release);
        }
    }

    fn written(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
    }
}

/// Where it is pushed to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Server.
    pub addr: SocketAddr,
    /// Path of the publishing point.
    pub path: String,
}

/// A pusher on a thread of its own, which ends with it.
pub struct Encoder {
    pushed: Arc<Pushed>,
    over: Arc<AtomicBool>,
    go: Sender<()>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Encoder {
    /// Agree with the server and send the header; packets wait for [`Encoder::start`]. `priority`:
    /// SCHED_FIFO for the thread, so that company does not make it late.
    ///
    /// # Errors
    /// If the server does not answer, or refuses.
    pub fn connect(
        to: &Destination,
        content: Arc<Content>,
        priority: Option<i32>,
    ) -> Result<Encoder, String> {
        let fault = |e: io::Error| format!("push to {}{}: {e}", to.addr, to.path);
        let mut stream = TcpStream::connect_timeout(&to.addr, PATIENCE).map_err(fault)?;
        stream.set_nodelay(true).map_err(fault)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(fault)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(fault)?;
        stream.write_all(setup(to).as_bytes()).map_err(fault)?;
        let id = granted(&answer(&mut stream).map_err(fault)?)
            .map_err(|e| format!("push to {}{}: {e}", to.addr, to.path))?;
        let mut opening = start(to, &id).into_bytes();
        frame(b'H', &content.header, &mut opening);
        stream.write_all(&opening).map_err(fault)?;

        let pushed = Arc::new(Pushed::new(content.count()));
        let over = Arc::new(AtomicBool::new(false));
        let (go, started) = mpsc::channel();
        let pusher = Pusher {
            stream,
            content,
            pushed: Arc::clone(&pushed),
            over: Arc::clone(&over),
        };
        let thread = std::thread::Builder::new()
            .name("encoder".into())
            .spawn(move || {
                if let Some(priority) = priority {
                    sys::set_fifo(priority).map_err(|e| format!("priority {priority}: {e}"))?;
                }
                pusher.run(&started)
            })
            .map_err(fault)?;
        Ok(Encoder {
            pushed,
            over,
            go,
            thread: Some(thread),
        })
    }

    /// The first packet's send time is now.
    pub fn start(&self) {
        // A thread that has ended already tells why at the end.
        let _ = self.go.send(());
    }

    /// What was pushed when.
    pub fn pushed(&self) -> Arc<Pushed> {
        Arc::clone(&self.pushed)
    }

    /// End the stream and the connection.
    ///
    /// # Errors
    /// If the server did not take everything.
    pub fn finish(mut self) -> Result<(), String> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), String> {
        self.over.store(true, Ordering::Release);
        self.start();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err("the encoder's thread panicked".into()),
            None => Ok(()),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

struct Pusher {
    stream: TcpStream,
    content: Arc<Content>,
    pushed: Arc<Pushed>,
    over: Arc<AtomicBool>,
}

impl Pusher {
    fn run(mut self, started: &Receiver<()>) -> Result<(), String> {
        let _ = started.recv();
        let content = Arc::clone(&self.content);
        let start = sys::now_ns();
        let mut bytes = Vec::new();
        for (number, packet) in content.iter().enumerate() {
            let send_time = asf::send_time(packet).ok_or("a packet without a send time")?;
            let due = start + u64::from(send_time) * 1_000_000;
            bytes.clear();
            frame(b'D', packet, &mut bytes);
            strip(&mut bytes);
            if !self.wait(due) {
                return self.end();
            }
            self.pushed.begins(number, sys::now_ns(), due);
            if let Err(e) = self.stream.write_all(&bytes) {
                return Err(self.explained(number, &e));
            }
            self.pushed.written(bytes.len());
        }
        Err("the encoder ran out of content".into())
    }

    /// False: it is over.
    fn wait(&self, until_ns: u64) -> bool {
        loop {
            if self.over.load(Ordering::Acquire) {
                return false;
            }
            let now = sys::now_ns();
            if now >= until_ns {
                return true;
            }
            sys::sleep_until_ns(until_ns.min(now + NAP_NS));
        }
    }

    fn end(mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        frame(b'E', &0u32.to_le_bytes(), &mut bytes);
        let done = self.stream.write_all(&bytes);
        done.map_err(|e| format!("end of the stream: {e}"))
    }

    /// Servers that give up say why.
    fn explained(&mut self, number: usize, error: &io::Error) -> String {
        let said = answer(&mut self.stream).unwrap_or_default();
        let first = said.lines().next().unwrap_or("no word");
        format!("packet {number} was not taken: {error}; the server says {first:?}")
    }
}

const COMMON: &str = "X-Accept-Authentication: Negotiate, NTLM, Digest\r\n\
                      User-Agent: WMEncoder/11.0.5721.5145\r\n";

/// wmhttp.md 3, 9.2.
fn setup(to: &Destination) -> String {
    const DIRECTIVES: &str = "AutoDestroy: 0\r\n";
    format!(
        "POST {} HTTP/1.1\r\nContent-Type: application/x-wms-pushsetup\r\n{COMMON}Host: {}\r\n\
         Content-Length: {}\r\nConnection: Keep-Alive\r\nCache-Control: no-cache\r\n\
         Cookie: push-id=0\r\n\r\n{DIRECTIVES}",
        to.path,
        to.addr,
        DIRECTIVES.len()
    )
}

/// wmhttp.md 4, 9.2.
fn start(to: &Destination, id: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nContent-Type: application/x-wms-pushstart\r\n{COMMON}Host: {}\r\n\
         Content-Length: {BODY}\r\nConnection: Keep-Alive\r\nCache-Control: no-cache\r\n\
         Cookie: push-id={id}\r\n\r\n",
        to.path, to.addr
    )
}

/// The head of an answer; these have no bodies that matter.
fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && bytes.len() < ANSWER_MAX {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        bytes.extend(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The push-id of a PushSetup that succeeded.
fn granted(head: &str) -> Result<String, String> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 2") {
        return Err(format!("PushSetup: {status:?}"));
    }
    lines
        .filter_map(|l| l.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .flat_map(|(_, value)| value.split([';', ',']))
        .find_map(|c| Some(c.trim().strip_prefix("push-id=")?.to_string()))
        .ok_or_else(|| "PushSetup: no push-id".into())
}

/// wmhttp.md 5.1.
fn frame(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend([b'$', kind]);
    out.extend((payload.len() as u16).to_le_bytes());
    out.extend(payload);
}

/// Take the padding from a `$D` of our own content, whose packets all have several payloads and a
/// WORD of padding length (wmhttp.md 5.1).
fn strip(bytes: &mut Vec<u8>) {
    const PADDING: usize = FRAME + 3 + 2;
    let Some(&[low, high]) = bytes.get(PADDING..PADDING + 2) else {
        return;
    };
    let len = bytes
        .len()
        .saturating_sub(usize::from(u16::from_le_bytes([low, high])));
    bytes.truncate(len);
    bytes[PADDING..PADDING + 2].fill(0);
    bytes[2..FRAME].copy_from_slice(&((len - FRAME) as u16).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn recipe() -> Recipe {
        Recipe {
            seconds: 1,
            bit_rate: 300_000,
            packet_size: 1000,
            audio_only: false,
            even: true,
            seed: 3,
        }
    }

    /// Takes one push and gives back what it was: the heads of both requests and the body.
    fn server(answer: &'static str) -> (SocketAddr, JoinHandle<(String, String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let setup = super::answer(&mut stream).unwrap();
            let mut directives = [0; 16];
            stream.read_exact(&mut directives).unwrap();
            assert_eq!(&directives, b"AutoDestroy: 0\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            let start = super::answer(&mut stream).unwrap();
            let mut body = Vec::new();
            stream.read_to_end(&mut body).unwrap();
            (setup, start, body)
        });
        (addr, thread)
    }

    fn frames(mut body: &[u8]) -> Vec<(u8, &[u8])> {
        let mut frames = Vec::new();
        while let [b'$', kind, low, high, rest @ ..] = body {
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            frames.push((*kind, &rest[..len]));
            body = &rest[len..];
        }
        assert!(body.is_empty());
        frames
    }

    // WMHTTP-05, WMHTTP-13, WMHTTP-17, WMHTTP-33, WMHTTP-37
    #[test]
    fn packets_are_pushed_in_order_not_before_their_time_and_noted() {
        let (addr, thread) = server(
            "HTTP/1.1 204 No Content\r\nServer: x/9.1\r\nContent-Length: 0\r\n\
             Set-Cookie: a=b; push-id=77\r\n\r\n",
        );
        let content = Arc::new(Content::new(&recipe()));
        let to = Destination {
            addr,
            path: "/in".into(),
        };
        let encoder = Encoder::connect(&to, Arc::clone(&content), None).unwrap();
        let pushed = encoder.pushed();
        assert_eq!((pushed.count(), pushed.at(0)), (0, None));
        encoder.start();
        while pushed.count() < 8 {
            std::thread::yield_now();
        }
        encoder.finish().unwrap();
        let (setup, start, body) = thread.join().unwrap();
        assert!(
            setup.starts_with("POST /in HTTP/1.1\r\nContent-Type: application/x-wms-pushsetup")
        );
        assert!(setup.contains("\r\nCookie: push-id=0\r\n"));
        assert!(start.contains("\r\nContent-Length: 2147483647\r\n"));
        assert!(start.contains("\r\nUser-Agent: WMEncoder/11.0.5721.5145\r\n"));
        assert!(start.contains("\r\nCookie: push-id=77\r\n"));

        let frames = frames(&body);
        assert_eq!(frames[0], (b'H', &content.header[..]));
        assert_eq!(frames[frames.len() - 1], (b'E', &[0; 4][..]));
        let packets = &frames[1..frames.len() - 1];
        assert_eq!(packets.len() as u64, pushed.count());
        let first = pushed.at(0).unwrap();
        let mut bytes = 0;
        for (n, ((kind, got), sent)) in packets.iter().zip(content.iter()).enumerate() {
            bytes += got.len() + FRAME;
            assert_eq!(*kind, b'D');
            let padding = usize::from(u16::from_le_bytes([sent[5], sent[6]]));
            assert_eq!(got.len(), sent.len() - padding);
            assert_eq!((&got[..5], &got[5..7]), (&sent[..5], &[0, 0][..]));
            assert_eq!(got[7..], sent[7..got.len()]);
            // Clocks only go forward and nobody sends early; lateness has no bound here.
            let since = pushed.at(n as u32).unwrap() + pushed.latest_ns.load(Ordering::Acquire);
            let due = u64::from(asf::send_time(got).unwrap()) * 1_000_000;
            assert!(since - first >= due, "{n}");
        }
        assert_eq!(bytes as u64, pushed.bytes());
        assert_eq!(pushed.at(packets.len() as u32), None);
        assert_eq!(pushed.at(u32::MAX), None);
    }

    #[test]
    fn refusals_are_told() {
        for (answer, word) in [
            ("HTTP/1.1 409 Conflict\r\n\r\n", "409 Conflict"),
            ("HTTP/1.1 204 No Content\r\n\r\n", "no push-id"),
        ] {
            let (addr, thread) = server(answer);
            let to = Destination {
                addr,
                path: "/in".into(),
            };
            let content = Arc::new(Content::new(&recipe()));
            let error = Encoder::connect(&to, content, None).err().unwrap();
            assert!(error.contains(word), "{error}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn content_that_runs_out_is_an_error() {
        let (addr, thread) = server("HTTP/1.1 200 OK\r\nset-cookie: push-id=x\r\n\r\n");
        let to = Destination {
            addr,
            path: "/in".into(),
        };
        let mut content = Content::new(&recipe());
        content.packets.truncate(2000);
        let encoder = Encoder::connect(&to, Arc::new(content), None).unwrap();
        encoder.start();
        while encoder.pushed().count() < 2 {
            std::thread::yield_now();
        }
        // Only the thread's end tells for certain.
        while !encoder.thread.as_ref().unwrap().is_finished() {
            std::thread::yield_now();
        }
        assert!(encoder.finish().unwrap_err().contains("ran out"));
        assert_eq!(frames(&thread.join().unwrap().2).len(), 3);
    }
}
