//! The order of the messages, from DESCRIBE to media (rtsp-wme.md 4, 6.2).

use super::Data;
use crate::media::{DataHead, Subject};
use protocols::http::reply::ReplyHead;
use protocols::rtsp::body::{ContentType, EndOfStream, EndReason};
use protocols::rtsp::fields::{BANDWIDTH_ANY, Session};
use protocols::rtsp::head::{self, Method, Start};
use protocols::rtsp::range::{Npt, Range};
use protocols::rtsp::reader::Message;
use protocols::rtsp::rtp_info;
use protocols::rtsp::sdp::{Encoding, Presentation};
use protocols::rtsp::sdp_reader;
use protocols::rtsp::transport::{Lower, Pair, Spec};
use std::collections::VecDeque;

/// By which way packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The connection.
    Tcp,
    /// Datagrams to this port of the connection's address.
    Udp(u16),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// What, as whom.
    pub subject: Subject<'a>,
    /// By which way.
    pub transport: Transport,
    /// Streams to select; none: all.
    pub streams: &'a [u8],
    /// Where to begin; `None`: where the server does (live).
    pub start_ms: Option<u32>,
    /// LocationIds are asked for.
    pub locid: bool,
}

/// What came of a message or a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The start is granted.
    Granted,
    /// A packet of media; the sequence counts from the announced first one.
    Media(DataHead),
    /// Another entry follows.
    StreamChange,
    /// The end; of an entry only, with another behind it.
    End {
        /// Another entry follows.
        more: bool,
    },
    /// A packet of nothing that was set up.
    Stray,
}

/// A request without an answer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Describe,
    Setup,
    Play,
    KeepAlive,
}

/// Datagrams that may overtake the answer to PLAY.
const EARLY_MAX: usize = 1024;
/// Channels for RTP and RTCP, as Windows Media Player asks for them each time.
const CHANNELS: Pair<u8> = Pair::of(0, 1);

/// What all media of a session has in common (rtsp-wme.md 2.6).
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    payload_type: u8,
    /// Of the first stream, if the server said so.
    ssrc: Option<u32>,
    channel: u8,
    /// Sequence of the first packet, once PLAY is answered.
    first: Option<u16>,
}

/// A client's side.
#[derive(Debug, Default)]
pub struct Client {
    cseq: u32,
    /// In the order in which they were sent: so answers come.
    asked: VecDeque<Asked>,
    session: String,
    base: String,
    /// Control URLs of streams that are still to be set up, and the first of all.
    controls: VecDeque<String>,
    first_control: String,
    /// What the axis of play times begins with, ms.
    axis_ms: u64,
    entry: Option<String>,
    flow: Flow,
    granted: bool,
    early: Vec<DataHead>,
}

/// The description in an answer to DESCRIBE.
pub fn presentation(message: &Message) -> Result<Presentation, String> {
    match message.head.status() {
        Some(200) => sdp_reader::parse(&message.body).map_err(|f| f.to_string()),
        Some(status) => Err(format!("DESCRIBE: status {status}")),
        None => Err("a request in place of an answer".into()),
    }
}

impl Client {
    /// The connection is there: DESCRIBE.
    pub fn open(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        let url = url(&wish.subject);
        let mut request = self.request(wish, &Method::Describe, &url, Asked::Describe);
        request.header("Accept", "application/sdp");
        request.header("Supported", supported(wish));
        out.extend(request.finish());
    }

    /// A message. What is said next goes to `out`. An error means that nothing will come of it.
    pub fn message(
        &mut self,
        wish: &Wish<'_>,
        message: &Message,
        out: &mut Vec<u8>,
        mut each: impl FnMut(News),
    ) -> Result<(), String> {
        let status = match &message.head.start {
            Start::Request { method, .. } => {
                return self.asked_for(wish, method, message, out, each);
            }
            Start::Response { status, .. } => *status,
        };
        let asked = self.asked.pop_front().ok_or("an answer to nothing")?;
        // All other failures are no failures (rtsp-wme.md 4.2).
        if status != 200 && asked != Asked::KeepAlive {
            return Err(format!("{asked:?}: status {status}"));
        }
        match asked {
            Asked::Describe => {
                let presentation = presentation(message)?;
                let base = message.head.get("Content-Base");
                let base = base.map_or_else(|| url(&wish.subject), str::to_owned);
                self.select(wish, presentation, &base, out)
            }
            Asked::Setup => self.set_up(wish, message, out),
            Asked::Play => {
                self.play_answered(message)?;
                each(News::Granted);
                for head in std::mem::take(&mut self.early) {
                    each(News::Media(self.numbered(head)));
                }
                Ok(())
            }
            Asked::KeepAlive => Ok(()),
        }
    }

    /// A packet that came on this channel, or as a datagram.
    pub fn data(&mut self, wish: &Wish<'_>, channel: Option<u8>, data: &Data) -> Option<News> {
        // RTSP-03: the odd one of a pair is RTCP's.
        if channel.is_some_and(|c| c & 1 == 1) {
            return None;
        }
        let flow = &self.flow;
        let ours = data.payload_type == flow.payload_type
            && flow.ssrc.is_none_or(|s| s == data.ssrc)
            && channel.is_none_or(|c| c == flow.channel)
            && channel.is_none() == matches!(wish.transport, Transport::Udp(_));
        if !ours {
            return Some(News::Stray);
        }
        if self.granted {
            return Some(News::Media(self.numbered(data.head)));
        }
        // Only a datagram can overtake the answer.
        if channel.is_some() || self.early.len() == EARLY_MAX {
            return Some(News::Stray);
        }
        self.early.push(data.head);
        None
    }

    /// Say that the session is still wanted (RTSP-90). Not before it plays.
    pub fn keep_alive(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        if self.granted {
            let base = self.base.clone();
            let request = self.request(wish, &Method::GetParameter, &base, Asked::KeepAlive);
            out.extend(request.finish());
        }
    }

    /// Bring what is described into play.
    fn select(
        &mut self,
        wish: &Wish<'_>,
        presentation: Presentation,
        base: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        // RTSP-50
        self.base = sdp_reader::resolve(base, &presentation.control);
        self.axis_ms = match presentation.range {
            Some(Range::Npt {
                start: Some(Npt::Millis(ms)),
                ..
            }) => ms,
            _ => 0,
        };
        self.controls.clear();
        for media in &presentation.media {
            let number = media.stream.and_then(|n| u8::try_from(n).ok());
            let wanted =
                wish.streams.is_empty() || number.is_some_and(|n| wish.streams.contains(&n));
            if media.encoding != Encoding::Asf || !wanted {
                continue;
            }
            let control = sdp_reader::resolve(&self.base, &media.control);
            if self.controls.is_empty() {
                self.flow.payload_type = media.payload_type;
            }
            if !self.controls.contains(&control) {
                self.controls.push_back(control);
            }
        }
        let first = self.controls.front().ok_or("no stream of ASF to select")?;
        self.first_control.clone_from(first);
        // RTSP-101: one alone until there is a session.
        let most = if self.session.is_empty() {
            1
        } else {
            usize::MAX
        };
        self.ask_to_set_up(wish, most, out);
        Ok(())
    }

    fn ask_to_set_up(&mut self, wish: &Wish<'_>, most: usize, out: &mut Vec<u8>) {
        let spec = match wish.transport {
            Transport::Tcp => Spec {
                lower: Lower::Tcp,
                interleaved: Some(CHANNELS),
                ..Spec::default()
            },
            // RTSP-73, RTSP-75
            Transport::Udp(port) => Spec {
                client_port: Some(Pair::one(port)),
                ..Spec::default()
            },
        };
        let spec = Spec {
            unicast: true,
            play: Some(true),
            ..spec
        };
        for _ in 0..most {
            let Some(control) = self.controls.pop_front() else {
                return;
            };
            let entry = self.entry.clone();
            let mut request = self.request(wish, &Method::Setup, &control, Asked::Setup);
            request.header("Transport", &spec);
            if let Some(entry) = entry {
                request.header("X-Playlist-Gen-Id", entry);
            }
            out.extend(request.finish());
        }
    }

    fn set_up(
        &mut self,
        wish: &Wish<'_>,
        message: &Message,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if self.session.is_empty() {
            let session = message.head.get("Session").ok_or("SETUP without Session")?;
            self.session = Session::parse(session).map_err(|f| f.to_string())?.id;
            // RTSP-76
            let spec = message
                .head
                .get("Transport")
                .ok_or("SETUP without Transport")?;
            let spec = Spec::parse(spec).map_err(|f| f.to_string())?;
            let lower = match wish.transport {
                Transport::Tcp => Lower::Tcp,
                Transport::Udp(_) => Lower::Udp,
            };
            if spec.lower != lower {
                return Err(format!("SETUP answered with another transport: {spec}"));
            }
            self.flow.ssrc = spec.ssrc;
            self.flow.channel = spec.interleaved.unwrap_or(CHANNELS).first;
        }
        self.ask_to_set_up(wish, usize::MAX, out);
        if !self.asked.contains(&Asked::Setup) {
            self.ask_to_play(wish, out);
        }
        Ok(())
    }

    fn ask_to_play(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        let base = self.base.clone();
        let entry = self.entry.clone();
        let start = wish.start_ms.filter(|_| !self.granted);
        let start = start.map(|ms| self.axis_ms + u64::from(ms));
        let mut request = self.request(wish, &Method::Play, &base, Asked::Play);
        if let Some(ms) = start {
            request.header("Range", format_args!("npt={}.{:03}-", ms / 1000, ms % 1000));
        }
        if let Some(entry) = entry {
            request.header("X-Playlist-Seek-Id", entry);
        }
        request
            .header("Scale", "1.000")
            .header("Bandwidth", BANDWIDTH_ANY)
            .header("Supported", supported(wish));
        out.extend(request.finish());
    }

    fn play_answered(&mut self, message: &Message) -> Result<(), String> {
        // The counter goes on in the entries that follow.
        if !std::mem::replace(&mut self.granted, true)
            && let Some(value) = message.head.get("RTP-Info")
        {
            let entries = rtp_info::parse(value).map_err(|f| f.to_string())?;
            let named = |e: &&rtp_info::StreamEntry| {
                sdp_reader::resolve(&self.base, &e.url) == self.first_control
            };
            let entry = entries.iter().find(named).or(entries.first());
            self.flow.first = entry.and_then(|e| e.seq);
        }
        Ok(())
    }

    /// Count from the announced sequence, or from the first that comes.
    fn numbered(&mut self, head: DataHead) -> DataHead {
        let first = *self.flow.first.get_or_insert(head.sequence);
        DataHead {
            sequence: head.sequence.wrapping_sub(first),
            ..head
        }
    }

    /// The server asks for something.
    fn asked_for(
        &mut self,
        wish: &Wish<'_>,
        method: &Method,
        message: &Message,
        out: &mut Vec<u8>,
        mut each: impl FnMut(News),
    ) -> Result<(), String> {
        let kind = message.head.get("Content-Type");
        let kind = kind.and_then(ContentType::parse);
        let known = *method == Method::Announce || kind == Some(ContentType::ExtensionCommand);
        let mut reply = head::response(if known { 200 } else { 501 });
        if let Some(cseq) = message.head.cseq() {
            reply.header("CSeq", cseq);
        }
        reply.header("User-Agent", user_agent(&wish.subject));
        out.extend(reply.finish());
        if *method == Method::Announce {
            // RTSP-117
            let entry = message.head.get("X-Playlist-Gen-Id");
            self.entry = entry.map(str::to_owned);
            each(News::StreamChange);
            let next = sdp_reader::parse(&message.body).map_err(|f| f.to_string())?;
            let base = self.base.clone();
            return self.select(wish, next, &base, out);
        }
        if known {
            // RTSP-116
            let end = EndOfStream::parse(&message.body).map_err(|f| f.to_string())?;
            let more = end.reason == Some(EndReason::EndOfPlaylistEntry);
            each(News::End { more });
        }
        Ok(())
    }

    fn request(&mut self, wish: &Wish<'_>, method: &Method, url: &str, asked: Asked) -> ReplyHead {
        self.cseq += 1;
        self.asked.push_back(asked);
        let mut request = head::request(method, url);
        request
            .header("CSeq", self.cseq)
            .header("User-Agent", user_agent(&wish.subject));
        if !self.session.is_empty() {
            request.header("Session", &self.session);
        }
        request
    }
}

/// `rtspt` and `rtspu` stay with the player (rtsp-wme.md 1).
fn url(subject: &Subject<'_>) -> String {
    format!("rtsp://{}{}", subject.authority, subject.target)
}

// RTSP-77
fn user_agent(subject: &Subject<'_>) -> String {
    format!(
        "WMPlayer/9.0.0.2980 guid/52494E47-4341-5354-0000-{:012X}",
        subject.session
    )
}

// RTSP-72
fn supported(wish: &Wish<'_>) -> String {
    let mut tokens = vec!["eosmsg", "sswitch"];
    if wish.locid {
        tokens.push("locid");
    }
    let tokens = tokens.iter().map(|t| format!("com.microsoft.wm.{t}"));
    tokens.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Player;
    use protocols::rtsp::reader::{Reader, Step};

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\na=range:npt=3.100-9.100\r\n\
        m=audio 0 RTP/AVP 96\r\na=rtpmap:96 x-asf-pf/1000\r\na=control:audio\r\na=stream:1\r\n\
        m=video 0 RTP/AVP 96\r\na=rtpmap:96 x-asf-pf/1000\r\na=control:video\r\na=stream:2\r\n\
        m=application 0 RTP/AVP 96\r\na=rtpmap:96 x-wms-rtx/1000\r\na=control:rtx\r\na=stream:65536\r\n";
    const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=3874dd27;mode=PLAY";
    const UDP: &str =
        "RTP/AVP/UDP;unicast;server_port=5004;client_port=7000;ssrc=3874dd27;mode=PLAY";
    const PLAYS: &str =
        "RTP-Info: url=rtsp://h/live/video;seq=7, url=rtsp://h/live/audio;seq=65535\r\n";

    struct Talk {
        client: Client,
        wish: Wish<'static>,
        said: Vec<u8>,
        news: Vec<News>,
    }

    fn messages(bytes: &[u8]) -> Vec<Message> {
        let mut reader = Reader::default();
        reader.push(bytes);
        let mut all = Vec::new();
        while let Step::Message(message) = reader.next(&super::super::LIMITS).unwrap() {
            all.push(message);
        }
        all
    }

    impl Talk {
        fn new(transport: Transport) -> Talk {
            let subject = Subject {
                target: "/live",
                authority: "h",
                player: Player::Nine,
                session: 7,
            };
            let wish = Wish {
                subject,
                transport,
                streams: &[],
                start_ms: Some(2000),
                locid: true,
            };
            let mut talk = Talk {
                client: Client::default(),
                wish,
                said: Vec::new(),
                news: Vec::new(),
            };
            talk.client.open(&talk.wish, &mut talk.said);
            talk
        }

        fn hears(&mut self, start: &str, headers: &str, body: &str) -> Result<(), String> {
            let length = body.len();
            let text = format!("{start}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
            let [message] = &messages(text.as_bytes())[..] else {
                panic!("not one message: {text}");
            };
            let news = &mut self.news;
            self.client
                .message(&self.wish, message, &mut self.said, |n| news.push(n))
        }

        fn ok(&mut self, headers: &str, body: &str) {
            self.hears("RTSP/1.0 200 OK", headers, body).unwrap();
        }

        fn says(&mut self) -> Vec<Message> {
            messages(&std::mem::take(&mut self.said))
        }

        fn lines(&mut self) -> Vec<String> {
            let line = |m: &Message| match &m.head.start {
                Start::Request { method, target } => format!("{method} {}", target.uri),
                Start::Response { status, .. } => status.to_string(),
            };
            self.says().iter().map(line).collect()
        }

        fn plays(transport: Transport, answer: &str) -> Talk {
            let mut t = Talk::new(transport);
            t.ok("", SDP);
            t.ok(
                &format!("Session: 9;timeout=60\r\nTransport: {answer}\r\n"),
                "",
            );
            t.ok("Session: 9\r\n", "");
            t.says();
            t
        }
    }

    fn packet(sequence: u16, ssrc: u32) -> Data {
        Data {
            payload_type: 96,
            ssrc,
            head: DataHead {
                location: None,
                sequence,
                frame_len: 100,
                size_field: 100,
                send_time: Some(0),
            },
        }
    }

    const OURS: u32 = 0x3874_DD27;

    fn sequence(news: Option<News>) -> Option<u16> {
        match news {
            Some(News::Media(head)) => Some(head.sequence),
            _ => None,
        }
    }

    // RTSP-72, RTSP-77, RTSP-101
    #[test]
    fn the_way_to_media_over_tcp() {
        let mut t = Talk::new(Transport::Tcp);
        let [describe] = &t.says()[..] else {
            panic!("not one request");
        };
        assert_eq!(
            describe.head.get("User-Agent"),
            Some("WMPlayer/9.0.0.2980 guid/52494E47-4341-5354-0000-000000000007")
        );
        assert_eq!(
            describe.head.get("Supported"),
            Some("com.microsoft.wm.eosmsg, com.microsoft.wm.sswitch, com.microsoft.wm.locid")
        );
        t.ok("Content-Base: rtsp://h/live/\r\n", SDP);
        let said = t.says();
        assert_eq!(said.len(), 1, "one SETUP until there is a session");
        assert_eq!(said[0].head.target().unwrap().uri, "rtsp://h/live/audio");
        assert_eq!(
            said[0].head.get("Transport"),
            Some("RTP/AVP/TCP;unicast;interleaved=0-1;mode=PLAY")
        );
        t.ok(
            &format!("Session: 9;timeout=60\r\nTransport: {TCP}\r\n"),
            "",
        );
        let said = t.says();
        assert_eq!(said.len(), 1, "retransmission is not wanted");
        assert_eq!(said[0].head.target().unwrap().uri, "rtsp://h/live/video");
        assert_eq!(said[0].head.get("Session"), Some("9"));
        t.ok("Session: 9\r\n", "");
        let said = t.says();
        assert_eq!(said[0].head.method(), Some(&Method::Play));
        assert_eq!(said[0].head.get("Range"), Some("npt=5.100-"));
        let early = t.client.data(&t.wish, Some(0), &packet(65535, OURS));
        assert_eq!(early, Some(News::Stray), "it cannot overtake the answer");
        t.ok(PLAYS, "");
        assert_eq!(t.news, [News::Granted]);
        let mut gets = |channel, n, ssrc| t.client.data(&t.wish, channel, &packet(n, ssrc));
        assert_eq!(sequence(gets(Some(0), 65535, OURS)), Some(0));
        assert_eq!(sequence(gets(Some(0), 0, OURS)), Some(1));
        assert_eq!(gets(Some(0), 1, OURS + 1), Some(News::Stray));
        assert_eq!(gets(Some(2), 1, OURS), Some(News::Stray));
        assert_eq!(gets(None, 1, OURS), Some(News::Stray));
        assert_eq!(gets(Some(1), 1, OURS), None, "RTCP");
    }

    #[test]
    fn datagrams_that_overtake_the_answer_are_not_lost() {
        let mut t = Talk::plays(Transport::Udp(7000), UDP);
        assert_eq!(t.client.data(&t.wish, None, &packet(0, OURS)), None);
        t.client.keep_alive(&t.wish, &mut t.said);
        assert!(t.says().is_empty(), "not before it plays");
        t.ok(PLAYS, "");
        let [News::Granted, News::Media(head)] = t.news[..] else {
            panic!("{:?}", t.news);
        };
        assert_eq!(head.sequence, 1, "the first one is lost so far");
        // RTSP-90: its failure is none.
        t.client.keep_alive(&t.wish, &mut t.said);
        assert_eq!(t.lines(), ["GET_PARAMETER rtsp://h/live"]);
        t.hears("RTSP/1.0 503 No", "", "").unwrap();
    }

    // RTSP-116, RTSP-117
    #[test]
    fn the_next_entry_is_followed() {
        let mut t = Talk::plays(Transport::Tcp, TCP);
        t.ok(PLAYS, "");
        let kind = "CSeq: 5\r\nContent-Type: application/x-wms-extension-cmd\r\n";
        let request = "SET_PARAMETER rtsp://h/live RTSP/1.0";
        let body = "Session: 9\r\nEOF: true\r\nEnd-Of-Playlist-Entry: true\r\n";
        t.hears(request, kind, body).unwrap();
        let said = t.says();
        assert_eq!(
            (said[0].head.status(), said[0].head.cseq()),
            (Some(200), Some(5))
        );
        let kind = "CSeq: 6\r\nContent-Type: application/sdp\r\nX-Playlist-Gen-Id: 31\r\n";
        t.hears("ANNOUNCE rtsp://h/live RTSP/1.0", kind, SDP)
            .unwrap();
        let setups = [
            "200",
            "SETUP rtsp://h/live/audio",
            "SETUP rtsp://h/live/video",
        ];
        assert_eq!(t.lines(), setups, "there is a session: all at once");
        t.ok("", "");
        assert!(t.says().is_empty());
        t.ok("", "");
        let said = t.says();
        assert_eq!(said[0].head.get("X-Playlist-Seek-Id"), Some("31"));
        assert_eq!(said[0].head.get("Range"), None);
        t.ok("RTP-Info: url=rtsp://h/live/audio;seq=500\r\n", "");
        // The counter goes on from where it began.
        let n = t.client.data(&t.wish, Some(0), &packet(9, OURS));
        assert_eq!(sequence(n), Some(10));
        t.hears(
            request,
            "CSeq: 7\r\nContent-Type: application/x-wms-extension-cmd\r\n",
            "EOF: true\r\n",
        )
        .unwrap();
        let [
            News::Granted,
            News::End { more: true },
            News::StreamChange,
            News::Granted,
            News::End { more: false },
        ] = t.news[..]
        else {
            panic!("{:?}", t.news);
        };
    }

    #[test]
    fn refusals_are_told_with_their_reason() {
        let mut t = Talk::new(Transport::Udp(7000));
        let e = t.hears("RTSP/1.0 404 No", "", "").unwrap_err();
        assert_eq!(e, "Describe: status 404");
        let e = t.hears("RTSP/1.0 200 OK", "", "").unwrap_err();
        assert!(e.contains("nothing"), "{e}");
        let mut t = Talk::new(Transport::Udp(7000));
        t.ok("", SDP);
        let answer = format!("Session: 9\r\nTransport: {TCP}\r\n");
        let e = t.hears("RTSP/1.0 200 OK", &answer, "").unwrap_err();
        assert!(e.contains("another transport"), "{e}");
        let mut t = Talk::new(Transport::Tcp);
        let e = t.hears("RTSP/1.0 200 OK", "", "v=0\r\n").unwrap_err();
        assert!(e.contains("no stream"), "{e}");
    }
}
