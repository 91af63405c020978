//! A small blocking player of MMSP.

use super::PATIENCE;
use protocols::mmsp::message::{
    DataHead, Position, ReportOpenFile, ResendRequest, StartPlaying, SwitchEntry, ToClient,
    ToServer,
};
use protocols::mmsp::wire::{self, Item, Reader, incarnation};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// What comes from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Message(ToClient),
    Data(DataHead, Vec<u8>),
    /// The server closed.
    Closed,
}

/// A session.
pub struct Player {
    pub stream: TcpStream,
    pub udp: Option<UdpSocket>,
    pub client_id: u32,
    server: SocketAddr,
    reader: Reader<ToClient>,
    seq: u16,
    buffer: Vec<u8>,
}

impl Player {
    /// Connect, up to the funnel.
    pub fn connect(server: SocketAddr, udp: bool) -> Player {
        let mut player = Player::greet(server, udp);
        match player.message() {
            ToClient::ReportConnectedFunnel => player,
            other => panic!("{other:?} instead of a funnel"),
        }
    }

    /// Connect, up to the question for a funnel.
    pub fn greet(server: SocketAddr, udp: bool) -> Player {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let udp = udp.then(|| UdpSocket::bind((server.ip(), 0)).expect("a socket"));
        let mut player = Player {
            stream,
            udp,
            client_id: 0,
            server,
            reader: Reader::default(),
            seq: 0,
            buffer: vec![0; 70_000],
        };
        player.send(&ToServer::Connect {
            play_incarnation: incarnation::NO_PAIR,
            subscriber_name: "NSPlayer/7.0.0.1956; {00112233-4455-6677-8899-AABBCCDDEEFF}\0"
                .to_owned(),
        });
        assert!(matches!(
            player.message(),
            ToClient::ReportConnectedEx { hr: 0, .. }
        ));
        player.send(&ToServer::FunnelInfo {
            play_incarnation: incarnation::NO_PAIR,
        });
        match player.message() {
            ToClient::ReportFunnelInfo { client_id, .. } => player.client_id = client_id,
            other => panic!("{other:?} instead of a ReportFunnelInfo"),
        }
        player.ask_for_funnel();
        player
    }

    /// Name the transport.
    pub fn ask_for_funnel(&mut self) {
        let funnel_name = match &self.udp {
            Some(socket) => {
                let port = socket.local_addr().expect("an address").port();
                // The address in the name counts for nothing.
                format!("\\\\192.168.0.1\\UDP\\{port}\0")
            }
            None => "\\\\192.168.0.1\\TCP\\1037\0".to_owned(),
        };
        self.send(&ToServer::ConnectFunnel { funnel_name });
    }

    /// Open a file and read its header.
    pub fn open(&mut self, path: &str) -> (ReportOpenFile, Vec<u8>) {
        self.send(&ToServer::OpenFile {
            play_incarnation: 9,
            file_name: path.to_owned(),
            token: Vec::new(),
        });
        let report = match self.message() {
            ToClient::ReportOpenFile(report) => report,
            other => panic!("{other:?} instead of a ReportOpenFile"),
        };
        if report.hr != 0 {
            return (report, Vec::new());
        }
        self.send(&ToServer::ReadBlock {
            open_file_id: 1,
            play_incarnation: 2,
        });
        let mut pieces = std::collections::BTreeMap::new();
        let (mut last, mut reported) = (None, false);
        loop {
            match self.next() {
                Event::Message(ToClient::ReportReadBlock { hr: 0, .. }) => reported = true,
                Event::Data(head, bytes) => {
                    assert_eq!(head.play_incarnation, 2);
                    if head.af_flags == 0x0C {
                        last = Some(head.location_id);
                    }
                    pieces.insert(head.location_id, bytes);
                }
                other => panic!("{other:?} instead of a header"),
            }
            if reported && last.is_some_and(|last| pieces.len() as u32 == last + 1) {
                return (report, pieces.into_values().flatten().collect());
            }
        }
    }

    /// Choose streams; the answer is left to come.
    pub fn switch(&mut self, entries: &[(u16, u16, u16)]) {
        let entries = entries
            .iter()
            .map(|&(src, dst, thinning)| SwitchEntry { src, dst, thinning })
            .collect();
        self.send(&ToServer::StreamSwitch { entries });
    }

    /// Choose streams and start at a packet, or at the beginning.
    pub fn play(&mut self, streams: &[u16], packet: Option<u32>) {
        let entries: Vec<_> = streams.iter().map(|n| (0xFFFF, *n, 0)).collect();
        self.switch(&entries);
        assert_eq!(self.message(), ToClient::ReportStreamSwitch { hr: 0 });
        self.send(&ToServer::StartPlaying(StartPlaying {
            open_file_id: 1,
            position: Position {
                seconds: 0.0,
                asf_offset: u32::MAX,
                location_id: packet.unwrap_or(u32::MAX),
            },
            frame_offset: 0x00FF_FFFF,
            play_incarnation: 10,
            accel: None,
            link_bandwidth: None,
        }));
    }

    /// Ask for datagrams again, from a socket.
    pub fn ask_again(&self, from: &UdpSocket, client_id: u32, sequences: &[u32]) {
        let request = ResendRequest {
            client_id,
            source_id: 1,
            sequences: sequences.to_vec(),
        };
        from.send_to(&request.bytes(), self.server)
            .expect("sends a request");
    }

    pub fn send(&mut self, message: &ToServer) {
        let packet = wire::packet(message, self.seq, 0);
        self.seq = self.seq.wrapping_add(1);
        self.stream.write_all(&packet).expect("writes");
    }

    /// The next message; media before it is dropped.
    pub fn message(&mut self) -> ToClient {
        loop {
            match self.next() {
                Event::Message(ToClient::Ping) => self.send(&ToServer::Pong),
                Event::Message(message) => return message,
                Event::Data(..) => {}
                Event::Closed => panic!("closed"),
            }
        }
    }

    /// The next packet of media; messages before it are dropped.
    pub fn data(&mut self) -> (DataHead, Vec<u8>) {
        loop {
            match self.next() {
                Event::Data(head, bytes) => return (head, bytes),
                Event::Message(_) => {}
                Event::Closed => panic!("closed"),
            }
        }
    }

    /// Media up to the end of it.
    pub fn all_data(&mut self) -> Vec<(DataHead, Vec<u8>)> {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Event::Data(head, bytes) => all.push((head, bytes)),
                Event::Message(ToClient::ReportEndOfStream { hr, .. }) => {
                    assert_eq!(hr, 0);
                    // Datagrams may come behind it.
                    while let Some(Event::Data(head, bytes)) = self.datagram() {
                        all.push((head, bytes));
                    }
                    return all;
                }
                Event::Message(_) => {}
                Event::Closed => panic!("closed"),
            }
        }
    }

    /// What comes next.
    pub fn next(&mut self) -> Event {
        let begun = Instant::now();
        loop {
            if let Some(item) = self.reader.take().expect("well-formed") {
                return match item {
                    Item::Message(message) => Event::Message(message),
                    Item::Data { head, payload } => Event::Data(head, payload.to_vec()),
                    other => panic!("{other:?}"),
                };
            }
            if let Some(event) = self.datagram() {
                return event;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
            let wait = match self.udp {
                Some(_) => Duration::from_millis(2),
                None => PATIENCE,
            };
            self.stream.set_read_timeout(Some(wait)).expect("an option");
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Event::Closed,
                Ok(n) => self.reader.push(&self.buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Event::Closed,
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// A datagram that has come.
    pub fn datagram(&mut self) -> Option<Event> {
        let socket = self.udp.as_ref()?;
        socket.set_nonblocking(true).expect("an option");
        let (n, from) = socket.recv_from(&mut self.buffer).ok()?;
        assert_eq!(from, self.server, "from the port that was connected to");
        let (head, payload) = wire::split_data(&self.buffer[..n]).expect("a Data packet");
        Some(Event::Data(head, payload.to_vec()))
    }
}
