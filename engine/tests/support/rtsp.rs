//! A small blocking player of RTSP-WME.

use super::PATIENCE;
use protocols::rtsp::payload::Depacketizer;
use protocols::rtsp::reader::{Limits, Message, Reader, Step};
use protocols::rtsp::rtp;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits {
    head_bytes_max: 16 << 10,
    body_bytes_max: 64 << 10,
    frame_bytes_max: 65_535,
};

/// A session that plays.
pub struct Player {
    stream: TcpStream,
    udp: Option<UdpSocket>,
    reader: Reader,
    cseq: u32,
    session: String,
    url: String,
    /// RTP packets in the order of their arrival: sequence and packet.
    pub rtp: Vec<Vec<u8>>,
    pub sdp: String,
}

impl Player {
    /// Describe, set up the streams `audio` and `video`, and play.
    pub fn play(server: SocketAddr, path: &str, udp: bool) -> Player {
        let stream = TcpStream::connect(server).expect("a connection");
        let udp = udp.then(|| UdpSocket::bind((server.ip(), 0)).expect("a socket"));
        let mut player = Player {
            stream,
            udp,
            reader: Reader::default(),
            cseq: 0,
            session: String::new(),
            url: format!("rtsp://{server}{path}"),
            rtp: Vec::new(),
            sdp: String::new(),
        };
        let described = player.ask("DESCRIBE", "", "Accept: application/sdp\r\n");
        player.sdp = String::from_utf8(described.body).expect("text");
        let transport = match &player.udp {
            Some(socket) => {
                let port = socket.local_addr().expect("an address").port();
                format!("Transport: RTP/AVP/UDP;unicast;client_port={port};mode=PLAY\r\n")
            }
            None => "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=PLAY\r\n".to_owned(),
        };
        let streams: Vec<String> = (player.sdp.split("m=").skip(1))
            .filter(|m| m.contains("x-asf-pf"))
            .filter_map(|m| m.lines().find_map(|l| l.strip_prefix("a=control:")))
            .map(str::to_owned)
            .collect();
        assert_eq!(streams.len(), 2, "{}", player.sdp);
        for control in streams {
            let reply = player.ask("SETUP", &format!("/{control}"), &transport);
            let session = reply.head.get("Session").expect("a session");
            player.session = session.split(';').next().unwrap_or_default().to_owned();
        }
        player.ask("PLAY", "/", "Range: npt=0-\r\nScale: 1\r\n");
        player
    }

    fn ask(&mut self, method: &str, below: &str, lines: &str) -> Message {
        self.cseq += 1;
        let session = match self.session.as_str() {
            "" => String::new(),
            id => format!("Session: {id}\r\n"),
        };
        let text = format!(
            "{method} {}{below} RTSP/1.0\r\nCSeq: {}\r\n{session}{lines}\
             User-Agent: WMPlayer/9.0.0.2833 guid/B64345F5-8C45-4818-8A1A-4775F0923FAC\r\n\
             Supported: com.microsoft.wm.sswitch, com.microsoft.wm.eosmsg, com.microsoft.wm.locid\r\n\r\n",
            self.url, self.cseq
        );
        self.stream.write_all(text.as_bytes()).expect("writes");
        let reply = self.message();
        assert!(reply.head.status().is_some_and(|s| s == 200), "{method}");
        reply
    }

    /// The next message; media before it is kept.
    fn message(&mut self) -> Message {
        let begun = Instant::now();
        let mut buffer = vec![0; 70_000];
        loop {
            match self.reader.next(&LIMITS).expect("well-formed") {
                Step::Message(message) => return message,
                Step::Frame { channel: 0, bytes } => self.rtp.push(bytes.to_vec()),
                Step::Frame { .. } | Step::Skipped { .. } => {}
                Step::Wait => {
                    self.read_datagrams(&mut buffer);
                    self.stream
                        .set_read_timeout(Some(Duration::from_millis(2)))
                        .expect("an option");
                    match self.stream.read(&mut buffer) {
                        Ok(0) => panic!("closed"),
                        Ok(n) => self.reader.push(&buffer[..n]),
                        Err(e)
                            if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
        }
    }

    fn read_datagrams(&mut self, buffer: &mut [u8]) {
        if let Some(socket) = &self.udp {
            socket.set_nonblocking(true).expect("an option");
            while let Ok((n, _)) = socket.recv_from(buffer) {
                self.rtp.push(buffer[..n].to_vec());
            }
        }
    }

    /// Play to the end. Gives the ASF packets by their LocationIds, in the order of their sequences.
    pub fn all_packets(mut self, packet_max: usize) -> BTreeMap<u32, Vec<u8>> {
        let end = self.message();
        assert!(String::from_utf8_lossy(&end.body).contains("EOF: true"));
        self.read_datagrams(&mut vec![0; 70_000]);
        let mut packets = BTreeMap::new();
        let mut depacketizer = Depacketizer::new(packet_max);
        let mut last: Option<u16> = None;
        for bytes in &self.rtp {
            let packet = rtp::Packet::parse(bytes).expect("an RTP packet");
            let sequence = packet.header.sequence;
            assert!(last.is_none_or(|l| l.wrapping_add(1) == sequence), "a gap");
            last = Some(sequence);
            let whole = |unit: protocols::rtsp::payload::Unit, data: &[u8]| {
                let location = unit.location.expect("asked for with locid");
                assert!(packets.insert(location, data.to_vec()).is_none());
            };
            depacketizer.push(&packet, whole).expect("a payload header");
        }
        assert_eq!(depacketizer.dropped(), 0);
        packets
    }
}
