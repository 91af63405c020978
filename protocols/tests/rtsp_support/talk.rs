//! Requests as clients write them, and what comes back, taken apart.

use super::{Bench, Point, tone};
use protocols::machine::*;
use protocols::rtsp::reader::{Limits, Reader, Step};
use protocols::rtsp::server::{Config, Server};

pub type Rtsp = Bench<Server>;

pub const PLAYER: &str = "WMPlayer/9.0.0.2833 guid/B64345F5-8C45-4818-8A1A-4775F0923FAC";
pub const ABLE: &str =
    "com.microsoft.wm.sswitch, com.microsoft.wm.eosmsg, com.microsoft.wm.srvppair";
pub const ALL_ABLE: &str = "com.microsoft.wm.sswitch, com.microsoft.wm.eosmsg, \
     com.microsoft.wm.predstrm, com.microsoft.wm.startupprofile";

pub fn config() -> Config {
    Config::new(CoreId(0), 1, [7; 32])
}

pub fn bench() -> Rtsp {
    bench_with(config())
}

pub fn bench_with(config: Config) -> Rtsp {
    let mut b = Bench::around(Server::new(config));
    b.local = "192.0.2.10:554".parse().unwrap();
    b.hears_on = Channel(1);
    b.packet_bytes = 48;
    b.points
        .insert("/tone.wma".to_owned(), Point::Media(tone()));
    b
}

/// A message or a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Reply {
        status: u16,
        head: protocols::rtsp::head::Head,
        body: Vec<u8>,
    },
    Request {
        method: String,
        uri: String,
        head: protocols::rtsp::head::Head,
        body: Vec<u8>,
    },
    Frame(u8, Vec<u8>),
}

impl Got {
    pub fn status(&self) -> u16 {
        match self {
            Got::Reply { status, .. } => *status,
            other => panic!("no reply: {other:?}"),
        }
    }

    pub fn method(&self) -> &str {
        match self {
            Got::Request { method, .. } => method,
            other => panic!("no request: {other:?}"),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        match self {
            Got::Reply { head, .. } | Got::Request { head, .. } => head.get(name),
            Got::Frame(..) => None,
        }
    }

    pub fn body(&self) -> &str {
        match self {
            Got::Reply { body, .. } | Got::Request { body, .. } => {
                std::str::from_utf8(body).unwrap()
            }
            Got::Frame(..) => panic!("a frame"),
        }
    }
}

pub fn parse(bytes: &[u8]) -> Vec<Got> {
    let limits = Limits {
        head_bytes_max: 1 << 16,
        body_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 16,
    };
    let mut reader = Reader::default();
    reader.push(bytes);
    let mut all = Vec::new();
    loop {
        match reader.next(&limits).unwrap() {
            Step::Wait => {
                assert_eq!(reader.buffered(), 0, "half a message");
                return all;
            }
            Step::Message(m) => all.push(match (m.head.status(), m.head.target()) {
                (Some(status), _) => Got::Reply {
                    status,
                    head: *m.head,
                    body: m.body,
                },
                (None, Some(target)) => Got::Request {
                    method: m.head.method().unwrap().to_string(),
                    uri: target.uri.clone(),
                    head: *m.head,
                    body: m.body,
                },
                _ => panic!(),
            }),
            Step::Frame { channel, bytes } => all.push(Got::Frame(channel, bytes.to_vec())),
            Step::Skipped { .. } => panic!(),
        }
    }
}

/// A request: `line` is method and URL, `headers` are lines parted by `|`.
pub fn request(cseq: u32, line: &str, headers: &str, body: &str) -> String {
    let mut out = format!("{line} RTSP/1.0\r\nCSeq: {cseq}\r\n");
    for header in headers.split('|').filter(|h| !h.is_empty()) {
        out += header.trim();
        out += "\r\n";
    }
    if !body.is_empty() {
        out += &format!("Content-Length: {}\r\n", body.len());
    }
    out + "\r\n" + body
}

/// A client on one connection.
pub struct Client {
    pub conn: ConnId,
    pub cseq: u32,
    pub session: String,
    pub agent: String,
    pub supported: String,
    pub base: String,
}

pub fn url(path: &str) -> String {
    format!("rtsp://wme.example{path}")
}

impl Client {
    /// Windows Media Player 9.
    pub fn player(b: &mut Rtsp, path: &str) -> Client {
        Client::of(b, path, PLAYER, ABLE)
    }

    pub fn of(b: &mut Rtsp, path: &str, agent: &str, supported: &str) -> Client {
        Client {
            conn: b.open(),
            cseq: 0,
            session: String::new(),
            agent: agent.to_owned(),
            supported: supported.to_owned(),
            base: url(path),
        }
    }

    /// Write a request without taking its reply.
    pub fn text(&mut self, method: &str, rest: &str, headers: &str, body: &str) -> String {
        self.cseq += 1;
        let mut all = String::new();
        if !self.agent.is_empty() {
            all += &format!("User-Agent: {}|", self.agent);
        }
        if !self.supported.is_empty() {
            all += &format!("Supported: {}|", self.supported);
        }
        if !self.session.is_empty() {
            all += &format!("Session: {}|", self.session);
        }
        all += headers;
        request(
            self.cseq,
            &format!("{method} {}{rest}", self.base),
            &all,
            body,
        )
    }

    pub fn send(&mut self, b: &mut Rtsp, method: &str, rest: &str, headers: &str, body: &str) {
        let text = self.text(method, rest, headers, body);
        b.send(self.conn, text);
    }

    /// Ask, and take the one reply.
    pub fn ask(&mut self, b: &mut Rtsp, method: &str, rest: &str, headers: &str) -> Got {
        self.ask_with(b, method, rest, headers, "")
    }

    pub fn ask_with(
        &mut self,
        b: &mut Rtsp,
        method: &str,
        rest: &str,
        headers: &str,
        body: &str,
    ) -> Got {
        self.send(b, method, rest, headers, body);
        let mut got = self.got(b);
        assert_eq!(got.len(), 1, "{method}: {got:?}");
        let reply = got.remove(0);
        assert_eq!(reply.get("CSeq").unwrap(), self.cseq.to_string());
        reply
    }

    pub fn got(&mut self, b: &mut Rtsp) -> Vec<Got> {
        parse(&b.take(self.conn))
    }

    pub fn describe(&mut self, b: &mut Rtsp) -> Got {
        let got = self.ask(b, "DESCRIBE", "", "Accept: application/sdp");
        assert_eq!(got.status(), 200);
        got
    }

    pub fn setup(&mut self, b: &mut Rtsp, control: &str, transport: &str) -> Got {
        let got = self.ask(b, "SETUP", control, &format!("Transport: {transport}"));
        if let Some(session) = got.get("Session") {
            self.session = session.split(';').next().unwrap().to_owned();
        }
        got
    }

    pub fn play(&mut self, b: &mut Rtsp, headers: &str) -> Got {
        let got = self.ask(b, "PLAY", "/", headers);
        assert_eq!(got.status(), 200, "{got:?}");
        got
    }

    /// Describe, set up everything over TCP on channel 0, and play.
    pub fn plays_tcp(b: &mut Rtsp, path: &str) -> Client {
        let mut c = Client::player(b, path);
        c.set_up_tcp(b);
        c.play(b, "Range: npt=0.000-");
        c
    }

    pub fn set_up_tcp(&mut self, b: &mut Rtsp) {
        self.describe(b);
        for control in ["/audio", "/video"] {
            let got = self.setup(b, control, "RTP/AVP/TCP;unicast;interleaved=0-1;mode=PLAY");
            assert_eq!(got.status(), 200);
        }
    }

    pub fn set_up_udp(&mut self, b: &mut Rtsp) {
        self.describe(b);
        let udp = "RTP/AVP/UDP;unicast;client_port=4958-4959;mode=PLAY";
        assert_eq!(self.setup(b, "/rtx", udp).status(), 200);
        for control in ["/audio", "/video"] {
            let got = self.setup(b, control, "RTP/AVP/UDP;unicast;client_port=2408;mode=PLAY");
            assert_eq!(got.status(), 200);
        }
    }

    pub fn plays_udp(b: &mut Rtsp, path: &str) -> Client {
        let mut c = Client::player(b, path);
        c.set_up_udp(b);
        c.play(b, "Range: npt=0.000-");
        c
    }

    /// Answer a request of the server.
    pub fn answer(&mut self, b: &mut Rtsp, status: u16, cseq: Option<&str>) {
        let cseq = cseq.map_or_else(String::new, |c| format!("CSeq: {c}\r\n"));
        b.send(self.conn, format!("RTSP/1.0 {status} X\r\n{cseq}\r\n"));
    }

    /// Do something while the flow holds for what waits.
    pub fn hold(&mut self, b: &mut Rtsp) {
        let flow = b.flow(self.conn);
        b.held(flow);
    }
}
