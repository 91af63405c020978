//! The bench around MMSP's server machine, and a client's side of the conversation.
#![allow(dead_code, unused_imports)]

#[path = "../support/mod.rs"]
mod support;

use protocols::machine::{ConnId, CoreId};
use protocols::media::FlowId;
pub use protocols::mmsp::hresult;
pub use protocols::mmsp::message::*;
pub use protocols::mmsp::server::{Config, Server};
pub use protocols::mmsp::wire::{self, Item, Reader, incarnation};
pub use support::*;

pub type Bench = support::Bench<Server>;

pub fn config(core: u8, cores: u8) -> Config {
    Config::new(CoreId(core), cores, [core + 1; 32])
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Said(ToClient),
    Data(DataHead, Vec<u8>),
}

pub use Heard::{Data, Said};

pub const TCP: &str = r"\\192.0.2.7\TCP\1242";
pub const UDP: &str = r"\\10.9.9.9\UDP\7000";
pub const WMP9: &str = "NSPlayer/9.0.0.2980; {00112233-4455-6677-8899-AABBCCDDEEFF}";
pub const OLD: &str = "NSPlayer/7.0.0.1956; {0x33000-0x1-0x2-}";

impl Bench {
    pub fn new() -> Bench {
        Bench::with(config(0, 1))
    }

    pub fn with(config: Config) -> Bench {
        let mut b = Bench::around(Server::new(config));
        b.points.insert("/moved".into(), Point::Moved("mmst://b/c"));
        b
    }

    /// Say something.
    pub fn tell(&mut self, conn: ConnId, message: &ToServer) {
        self.send(conn, wire::packet(message, 0, 0));
    }

    /// What came since the last look. Each write holds one packet, or whole Data packets.
    pub fn hear(&mut self, conn: ConnId) -> Vec<Heard> {
        let writes = std::mem::take(self.writes.get_mut(&conn).unwrap());
        writes.iter().flat_map(|w| parse(w)).collect()
    }

    /// Say something and hear what comes of it.
    pub fn talk(&mut self, conn: ConnId, message: &ToServer) -> Vec<Heard> {
        self.tell(conn, message);
        self.hear(conn)
    }

    /// The one message that came of it.
    pub fn reply(&mut self, conn: ConnId, message: &ToServer) -> ToClient {
        match &self.talk(conn, message)[..] {
            [Said(reply)] => reply.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn connected(&mut self, name: &str) -> ConnId {
        let conn = self.open();
        let reply = self.reply(conn, &connect(name));
        assert!(matches!(reply, ToClient::ReportConnectedEx { hr: 0, .. }));
        conn
    }

    pub fn funneled(&mut self, name: &str, funnel: &str) -> ConnId {
        let conn = self.connected(name);
        let reply = self.reply(conn, &connect_funnel(funnel));
        assert_eq!(reply, ToClient::ReportConnectedFunnel);
        conn
    }

    pub fn opened(&mut self, name: &str, funnel: &str, file: &str) -> (ConnId, ReportOpenFile) {
        let conn = self.funneled(name, funnel);
        match self.reply(conn, &open_file(file)) {
            ToClient::ReportOpenFile(report) => (conn, report),
            other => panic!("{other:?}"),
        }
    }

    /// A client with the header of a content of which everything is selected.
    pub fn ready(&mut self, name: &str, funnel: &str, file: &str) -> ConnId {
        let (conn, report) = self.opened(name, funnel, file);
        assert_eq!(report.hr, 0);
        self.talk(conn, &read_block(2));
        let reply = self.reply(conn, &select(&[(NONE, 1, 0), (NONE, 2, 0)]));
        assert_eq!(reply, ToClient::ReportStreamSwitch { hr: 0 });
        conn
    }

    /// A client that gets media, with incarnation 4.
    pub fn streaming(&mut self, name: &str, funnel: &str, file: &str) -> (ConnId, FlowId) {
        let conn = self.ready(name, funnel, file);
        assert_eq!(self.reply(conn, &start(4)), started(4));
        let flow = self.flow(conn);
        (conn, flow)
    }

    pub fn is_quiet(&mut self, conn: ConnId) -> bool {
        self.hear(conn).is_empty()
    }
}

fn parse(write: &[u8]) -> Vec<Heard> {
    let mut reader = Reader::<ToClient>::default();
    reader.push(write);
    let mut heard = Vec::new();
    while let Some(item) = reader.take().expect("a readable write") {
        heard.push(match item {
            Item::Message(message) => Said(message),
            Item::Data { head, payload } => Data(head, payload.to_vec()),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(reader.buffered(), 0, "a write that ends in the middle");
    // MMSP-09
    let messages = heard.iter().filter(|h| matches!(h, Said(_))).count();
    assert!(
        messages == 0 || heard.len() == 1,
        "more than a message in one write"
    );
    heard
}

pub const NONE: u16 = 0xFFFF;

pub fn connect(name: &str) -> ToServer {
    ToServer::Connect {
        play_incarnation: incarnation::NO_PAIR,
        subscriber_name: name.into(),
    }
}

pub fn funnel_info(play_incarnation: u32) -> ToServer {
    ToServer::FunnelInfo { play_incarnation }
}

pub fn connect_funnel(name: &str) -> ToServer {
    ToServer::ConnectFunnel {
        funnel_name: name.into(),
    }
}

pub fn open_file(name: &str) -> ToServer {
    ToServer::OpenFile {
        play_incarnation: 9,
        file_name: name.into(),
        token: Vec::new(),
    }
}

pub fn read_block(play_incarnation: u32) -> ToServer {
    ToServer::ReadBlock {
        open_file_id: 1,
        play_incarnation,
    }
}

pub fn select(entries: &[(u16, u16, u16)]) -> ToServer {
    let entry = |&(src, dst, thinning)| SwitchEntry { src, dst, thinning };
    ToServer::StreamSwitch {
        entries: entries.iter().map(entry).collect(),
    }
}

pub fn playing(play_incarnation: u32) -> StartPlaying {
    StartPlaying {
        open_file_id: 1,
        position: Position {
            seconds: 0.0,
            asf_offset: u32::MAX,
            location_id: u32::MAX,
        },
        frame_offset: 0x00FF_FFFF,
        play_incarnation,
        accel: None,
        link_bandwidth: None,
    }
}

pub fn start(play_incarnation: u32) -> ToServer {
    ToServer::StartPlaying(playing(play_incarnation))
}

pub fn seek(play_incarnation: u32, seconds: f64) -> ToServer {
    let start = playing(play_incarnation);
    ToServer::StartPlaying(StartPlaying {
        position: Position {
            seconds,
            ..start.position
        },
        ..start
    })
}

pub fn stride(play_incarnation: u32, rate: f64) -> ToServer {
    ToServer::StartStriding {
        open_file_id: 1,
        position: playing(0).position,
        play_incarnation,
        rate,
    }
}

pub fn stop(play_incarnation: u32) -> ToServer {
    ToServer::StopPlaying {
        open_file_id: 1,
        play_incarnation,
    }
}

pub const CLOSE: ToServer = ToServer::CloseFile { open_file_id: 1 };

pub fn started(play_incarnation: u32) -> ToClient {
    ToClient::ReportStartedPlaying {
        hr: 0,
        play_incarnation,
        tiger_file_id: 1,
    }
}

pub fn end(hr: u32, play_incarnation: u32) -> ToClient {
    ToClient::ReportEndOfStream {
        hr,
        play_incarnation,
    }
}

pub fn opened_ok() -> ReportOpenFile {
    ReportOpenFile {
        hr: 0,
        play_incarnation: 9,
        open_file_id: 1,
        attributes: 0x0100_0000,
        duration: 10.0,
        blocks: 10,
        packet_size: 3200,
        packet_count: 56,
        bit_rate: 364_000,
        header_size: 4,
    }
}
