//! The order of the messages, from Connect to media (mmsp.md 3.1, 3.2, 3.7, 3.8).

use super::Data;
use crate::media::{DataHead, Player, Subject};
use protocols::mmsp::message::{Position, StartPlaying, SwitchEntry, ToClient, ToServer};
use protocols::mmsp::wire::{self, incarnation};
use std::net::Ipv4Addr;

/// By which way Data packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The connection.
    Tcp,
    /// Datagrams to this address, whose port alone counts.
    Udp(Ipv4Addr, u16),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// What, as whom.
    pub subject: Subject<'a>,
    /// By which way.
    pub transport: Transport,
    /// A packet pair by that way.
    pub pair: bool,
    /// Streams to select.
    pub streams: &'a [u8],
    /// Where to begin.
    pub start_ms: u32,
}

/// What came of a message or a Data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing that matters.
    Nothing,
    /// One packet of a pair, 0 the first.
    Pair(u32),
    /// The ASF header is there, and playing is asked for.
    Header,
    /// A fragment of the ASF header.
    Fragment,
    /// The start is granted.
    Granted,
    /// A packet of media.
    Media(DataHead),
    /// Another entry follows.
    StreamChange,
    /// The end, with its hr.
    End(u32),
    /// Data of no start that is under way.
    Stray,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Connect,
    Funnel,
    File,
    Header,
    Play,
}

/// Ways to a header that takes long: times to ask again, and the longest to wait, s.
const HEADER_RETRIES: u32 = 4;
const HEADER_WAIT_MAX_S: u32 = 30;
/// Fragments of a header that are told apart.
const FRAGMENTS_MAX: u32 = 128;
/// playIncarnation of the first OpenFile; starts count on from it, ReadBlocks have numbers of
/// their own below (mmsp.md 4.2).
const FIRST_PLAY: u8 = 9;
/// That of the first start.
pub const FIRST_START: u8 = FIRST_PLAY + 1;
/// Field that says nothing.
const UNUSED: u32 = u32::MAX;

/// A client's side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    step: Step,
    seq: u16,
    pairs: u32,
    file: u32,
    /// Time that a header takes at the content's rate, s.
    header_s: u32,
    /// Of the last ReadBlock, or that of an entry that the server began.
    header: u8,
    /// ReadBlocks so far.
    blocks: u8,
    play: u8,
    fragments: u128,
    last_fragment: Option<u32>,
    waited_s: u32,
    retries: u32,
}

impl Client {
    /// The connection is there: Connect.
    pub fn open(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        self.play = FIRST_PLAY;
        let play_incarnation = if wish.pair {
            incarnation::PAIR
        } else {
            incarnation::NO_PAIR
        };
        let connect = ToServer::Connect {
            play_incarnation,
            subscriber_name: subscriber(&wish.subject),
        };
        self.say(&connect, out);
    }

    /// A report. What is said next goes to `out`. An error means that nothing will come of it.
    pub fn report(
        &mut self,
        wish: &Wish<'_>,
        report: &ToClient,
        out: &mut Vec<u8>,
    ) -> Result<News, String> {
        use ToClient as C;
        match report {
            C::Ping => self.say(&ToServer::Pong, out),
            C::ReportEndOfStream { hr, .. } => return Ok(News::End(*hr)),
            C::ReportStreamChange { .. } => return Ok(self.next_entry(wish, out)),
            C::ReportConnectedEx { hr, .. } if self.step == Step::Connect => {
                granted("Connect", *hr)?;
                self.step = Step::Funnel;
                if wish.pair || wish.subject.player == Player::Nine {
                    let play_incarnation = pair_wanted(wish);
                    self.say(&ToServer::FunnelInfo { play_incarnation }, out);
                } else {
                    self.connect_funnel(wish, out);
                }
            }
            C::ReportFunnelInfo {
                play_incarnation, ..
            } if self.step == Step::Funnel => {
                return self.funnel_info(wish, *play_incarnation, out);
            }
            C::ReportConnectedFunnel if self.step == Step::Funnel => {
                self.step = Step::File;
                let open = ToServer::OpenFile {
                    play_incarnation: u32::from(self.play),
                    file_name: wish.subject.target.trim_start_matches('/').to_string(),
                    token: Vec::new(),
                };
                self.say(&open, out);
            }
            C::ReportDisconnectedFunnel { hr } => return Err(format!("funnel: {hr:#010x}")),
            C::ReportOpenFile(file) if self.step == Step::File => {
                granted("OpenFile", file.hr)?;
                self.file = file.open_file_id;
                let bits = u64::from(file.header_size) * 8;
                let s = bits.div_ceil(u64::from(file.bit_rate.max(1)));
                self.header_s = u32::try_from(s).unwrap_or(HEADER_WAIT_MAX_S);
                self.step = Step::Header;
                self.read_block(out);
            }
            C::ReportRedirect { location, .. } => return Err(format!("redirect to {location}")),
            C::SecurityChallenge { .. } => return Err("the server wants a password".into()),
            C::ReportReadBlock { hr, .. } => granted("ReadBlock", *hr)?,
            C::ReportStreamSwitch { hr } => granted("StreamSwitch", *hr)?,
            C::ReportStartedPlaying { hr, .. } => {
                granted("StartPlaying", *hr)?;
                return Ok(News::Granted);
            }
            other => return Err(format!("out of order: {other:?}")),
        }
        Ok(News::Nothing)
    }

    fn funnel_info(
        &mut self,
        wish: &Wish<'_>,
        play_incarnation: u32,
        out: &mut Vec<u8>,
    ) -> Result<News, String> {
        if wish.pair && play_incarnation != pair_wanted(wish) {
            return Err(format!(
                "the server did not grant a packet pair: {play_incarnation:#010x}"
            ));
        }
        let index = self.pairs;
        self.pairs += 1;
        // MMSP-35
        if wish.pair && wish.transport == Transport::Tcp {
            if index == 2 {
                self.connect_funnel(wish, out);
            }
            return if index < 3 {
                Ok(News::Pair(index))
            } else {
                Err("a fourth ReportFunnelInfo".into())
            };
        }
        self.connect_funnel(wish, out);
        Ok(News::Nothing)
    }

    /// A Data packet, of either transport.
    pub fn data(
        &mut self,
        wish: &Wish<'_>,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<News, String> {
        let head = &data.head;
        if is_pair(data) {
            return Ok(News::Pair(head.location.unwrap_or_default() & 1));
        }
        if self.step == Step::Header && data.incarnation == self.header {
            return self.fragment(wish, head, out);
        }
        if self.step == Step::Play
            && (data.incarnation == self.play || data.incarnation == incarnation::ENTRY)
        {
            return Ok(News::Media(*head));
        }
        let of_a_header = (1..FIRST_PLAY).contains(&data.incarnation);
        if wish.transport != Transport::Tcp && of_a_header {
            // Of an earlier ReadBlock, late.
            return Ok(News::Nothing);
        }
        Ok(News::Stray)
    }

    // MMSP-63
    fn fragment(
        &mut self,
        wish: &Wish<'_>,
        head: &DataHead,
        out: &mut Vec<u8>,
    ) -> Result<News, String> {
        let number = head.location.unwrap_or(FRAGMENTS_MAX);
        if number >= FRAGMENTS_MAX {
            return Err(format!("header of more than {FRAGMENTS_MAX} fragments"));
        }
        self.fragments |= 1 << number;
        if head.sequence & 0x08 != 0 {
            self.last_fragment = Some(number);
        }
        let Some(last) = self.last_fragment else {
            return Ok(News::Fragment);
        };
        if self.fragments.trailing_ones() <= last {
            return match wish.transport {
                Transport::Tcp => Err("header with a fragment left out".into()),
                Transport::Udp(..) => Ok(News::Fragment),
            };
        }
        self.step = Step::Play;
        self.start(wish, out);
        Ok(News::Header)
    }

    /// To be called once a second: a header that got lost on the way is asked for again.
    // MMSP-64
    pub fn remind(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        if self.step != Step::Header || wish.transport == Transport::Tcp {
            return Ok(());
        }
        self.waited_s += 1;
        // One more: it may have been asked for just before.
        if self.waited_s <= (1 + self.header_s).min(HEADER_WAIT_MAX_S) {
            return Ok(());
        }
        if self.retries == HEADER_RETRIES {
            return Err("the header did not come, by far".into());
        }
        self.retries += 1;
        let play_incarnation = u32::from(self.header);
        self.say(&ToServer::CancelReadBlock { play_incarnation }, out);
        self.read_block(out);
        Ok(())
    }

    // MMSP-91
    fn next_entry(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) -> News {
        self.step = Step::Header;
        self.retries = 0;
        match wish.transport {
            Transport::Udp(..) => self.read_block(out),
            Transport::Tcp => self.await_header(incarnation::ENTRY),
        }
        News::StreamChange
    }

    fn await_header(&mut self, incarnation: u8) {
        self.header = incarnation;
        self.fragments = 0;
        self.last_fragment = None;
        self.waited_s = 0;
    }

    fn read_block(&mut self, out: &mut Vec<u8>) {
        self.blocks = self.blocks % (FIRST_PLAY - 1) + 1;
        self.await_header(self.blocks);
        let read = ToServer::ReadBlock {
            open_file_id: self.file,
            play_incarnation: u32::from(self.blocks),
        };
        self.say(&read, out);
    }

    // MMSP-69
    fn start(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        let on = |&stream: &u8| SwitchEntry {
            src: 0xFFFF,
            dst: u16::from(stream),
            thinning: 0,
        };
        let entries = wish.streams.iter().map(on).collect();
        self.say(&ToServer::StreamSwitch { entries }, out);
        self.play = match self.play {
            0xFE => FIRST_PLAY,
            n => n + 1,
        };
        let start = StartPlaying {
            open_file_id: self.file,
            position: Position {
                seconds: f64::from(wish.start_ms) / 1000.0,
                asf_offset: UNUSED,
                location_id: UNUSED,
            },
            frame_offset: 0,
            play_incarnation: u32::from(self.play),
            accel: None,
            link_bandwidth: None,
        };
        self.say(&ToServer::StartPlaying(start), out);
    }

    fn connect_funnel(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        let funnel_name = match wish.transport {
            Transport::Tcp => r"\\127.0.0.1\TCP\1755".to_string(),
            Transport::Udp(ip, port) => format!(r"\\{ip}\UDP\{port}"),
        };
        self.say(&ToServer::ConnectFunnel { funnel_name }, out);
    }

    fn say(&mut self, message: &ToServer, out: &mut Vec<u8>) {
        out.extend(wire::packet(message, self.seq, 0));
        self.seq = self.seq.wrapping_add(1);
    }
}

fn is_pair(data: &Data) -> bool {
    data.incarnation == incarnation::ENTRY
        && data.head.sequence == 0x10
        && data.head.location.is_some_and(|l| l & !1 == 0xF0F0_F000)
}

fn pair_wanted(wish: &Wish<'_>) -> u32 {
    match (wish.pair, wish.transport) {
        (false, _) => incarnation::NO_PAIR,
        (true, Transport::Tcp) => incarnation::PAIR_TCP,
        (true, Transport::Udp(..)) => incarnation::PAIR_UDP,
    }
}

fn granted(what: &str, hr: u32) -> Result<(), String> {
    if hr & 0x8000_0000 == 0 {
        Ok(())
    } else {
        Err(format!("{what}: {hr:#010x}"))
    }
}

/// As Windows Media Format 9 does, or as FFmpeg (mmsp.md 2.12, 8).
// MMSP-22
fn subscriber(subject: &Subject<'_>) -> String {
    let (version, host) = match subject.player {
        Player::Nine => ("9.0.0.2980", format!("HOST: {}\0", subject.authority)),
        Player::Legacy => ("7.0.0.1956", String::new()),
    };
    format!(
        "NSPlayer/{version}; {{52494E47-4341-5354-0000-{:012X}}}; Host: {}\0{host}",
        subject.session, subject.authority
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::mmsp::message::ReportOpenFile;
    use protocols::mmsp::wire::{Item, Reader};

    fn wish(player: Player, transport: Transport) -> Wish<'static> {
        Wish {
            subject: Subject {
                target: "/live/a.wmv?x=1",
                authority: "h:1755",
                player,
                session: 7,
            },
            transport,
            pair: false,
            streams: &[1, 2],
            start_ms: 30_500,
        }
    }

    const UDP: Transport = Transport::Udp(Ipv4Addr::new(127, 64, 0, 2), 7000);

    /// A client that has said what led to `step`.
    struct Talk {
        client: Client,
        wish: Wish<'static>,
        said: Vec<u8>,
        reader: Reader<ToServer>,
    }

    impl Talk {
        fn new(player: Player, transport: Transport) -> Talk {
            let mut talk = Talk {
                client: Client::default(),
                wish: wish(player, transport),
                said: Vec::new(),
                reader: Reader::default(),
            };
            talk.client.open(&talk.wish, &mut talk.said);
            talk
        }

        fn hears(&mut self, report: ToClient) -> Result<News, String> {
            self.client.report(&self.wish, &report, &mut self.said)
        }

        fn gets(&mut self, location: u32, incarnation: u8, flags: u8) -> Result<News, String> {
            let head = DataHead {
                location: Some(location),
                sequence: u16::from(flags),
                frame_len: 100,
                size_field: 100,
                send_time: Some(0),
            };
            let data = Data { incarnation, head };
            self.client.data(&self.wish, &data, &mut self.said)
        }

        /// What it has said since the last time.
        fn says(&mut self) -> Vec<ToServer> {
            self.reader.push(&std::mem::take(&mut self.said));
            let mut all = Vec::new();
            while let Some(item) = self.reader.take().unwrap() {
                match item {
                    Item::Message(m) => all.push(m),
                    other => panic!("{other:?}"),
                }
            }
            all
        }

        /// As far as the first ReadBlock.
        fn with_file(player: Player, transport: Transport) -> Talk {
            let mut talk = Talk::new(player, transport);
            for report in [connected(), ToClient::ReportConnectedFunnel, file(0)] {
                assert_eq!(talk.hears(report), Ok(News::Nothing));
            }
            talk.says();
            talk
        }
    }

    fn connected() -> ToClient {
        ToClient::ReportConnectedEx {
            hr: 0,
            play_incarnation: incarnation::NO_PAIR,
            server_version: "9.01.01.3841".into(),
            version_info: String::new(),
            version_url: String::new(),
            authen_package: String::new(),
        }
    }

    fn file(hr: u32) -> ToClient {
        ToClient::ReportOpenFile(ReportOpenFile {
            hr,
            open_file_id: 1,
            bit_rate: 8000,
            header_size: 1500,
            ..ReportOpenFile::default()
        })
    }

    fn read_block(play_incarnation: u32) -> ToServer {
        ToServer::ReadBlock {
            open_file_id: 1,
            play_incarnation,
        }
    }

    // MMSP-08, MMSP-22, MMSP-34, MMSP-69; mmsp.md 3.1
    #[test]
    fn the_way_to_media_over_tcp() {
        let mut t = Talk::new(Player::Nine, Transport::Tcp);
        let [
            ToServer::Connect {
                play_incarnation,
                subscriber_name,
            },
        ] = &t.says()[..]
        else {
            panic!("no Connect");
        };
        assert_eq!(*play_incarnation, incarnation::NO_PAIR);
        assert_eq!(
            subscriber_name.trim_end_matches('\0'),
            "NSPlayer/9.0.0.2980; {52494E47-4341-5354-0000-000000000007}; Host: h:1755\0HOST: h:1755"
        );
        t.hears(connected()).unwrap();
        let no_pair = incarnation::NO_PAIR;
        assert_eq!(
            t.says(),
            [ToServer::FunnelInfo {
                play_incarnation: no_pair
            }]
        );
        t.hears(ToClient::ReportFunnelInfo {
            play_incarnation: no_pair,
            client_id: 5,
            pair: Vec::new(),
        })
        .unwrap();
        let [ToServer::ConnectFunnel { funnel_name }] = &t.says()[..] else {
            panic!("no ConnectFunnel");
        };
        assert!(funnel_name.contains(r"\TCP\"), "{funnel_name}");
        t.hears(ToClient::ReportConnectedFunnel).unwrap();
        assert_eq!(
            t.says(),
            [ToServer::OpenFile {
                play_incarnation: 9,
                file_name: "live/a.wmv?x=1".into(),
                token: Vec::new(),
            }]
        );
        t.hears(file(0)).unwrap();
        assert_eq!(t.says(), [read_block(1)]);
        assert_eq!(t.gets(0, 1, 0x04), Ok(News::Fragment));
        assert_eq!(t.gets(1, 1, 0x0C), Ok(News::Header));
        let said = t.says();
        let [
            ToServer::StreamSwitch { entries },
            ToServer::StartPlaying(start),
        ] = &said[..]
        else {
            panic!("{said:?}");
        };
        let shown: Vec<_> = entries.iter().map(|e| (e.src, e.dst, e.thinning)).collect();
        assert_eq!(shown, [(0xFFFF, 1, 0), (0xFFFF, 2, 0)]);
        assert_eq!((start.open_file_id, start.play_incarnation), (1, 10));
        assert_eq!(start.position.seconds, 30.5);
        assert_eq!((start.position.location_id, start.accel), (u32::MAX, None));
        t.hears(ToClient::ReportStreamSwitch { hr: 0 }).unwrap();
        let started = ToClient::ReportStartedPlaying {
            hr: 0,
            play_incarnation: 10,
            tiger_file_id: 1,
        };
        assert_eq!(t.hears(started), Ok(News::Granted));
        assert!(matches!(t.gets(40, 10, 0), Ok(News::Media(h)) if h.location == Some(40)));
        assert_eq!(t.gets(41, 9, 1), Ok(News::Stray));
        assert_eq!(t.hears(ToClient::Ping), Ok(News::Nothing));
        assert_eq!(t.says(), [ToServer::Pong], "MMSP-102");
    }

    #[test]
    fn an_older_player_goes_straight_to_the_funnel() {
        let mut t = Talk::new(Player::Legacy, UDP);
        t.says();
        t.hears(connected()).unwrap();
        assert_eq!(
            t.says(),
            [ToServer::ConnectFunnel {
                funnel_name: r"\\127.64.0.2\UDP\7000".into()
            }]
        );
    }

    // MMSP-63
    #[test]
    fn fragments_come_in_any_order_over_udp_and_in_order_over_tcp() {
        let mut t = Talk::with_file(Player::Legacy, UDP);
        assert_eq!(t.gets(2, 1, 0x08), Ok(News::Fragment));
        assert_eq!(t.gets(0, 1, 0x04), Ok(News::Fragment));
        assert_eq!(t.gets(0, 1, 0x04), Ok(News::Fragment));
        assert_eq!(t.gets(1, 1, 0x04), Ok(News::Header));
        assert_eq!(t.gets(1, 1, 0x04), Ok(News::Nothing), "one that came twice");
        let mut t = Talk::with_file(Player::Legacy, Transport::Tcp);
        assert!(t.gets(1, 1, 0x0C).unwrap_err().contains("left out"));
        let mut t = Talk::with_file(Player::Legacy, UDP);
        assert!(t.gets(128, 1, 0x04).is_err());
        assert_eq!(t.gets(127, 1, 0x0C), Ok(News::Fragment));
    }

    // MMSP-64: 1,500 bytes at 8,000 bit/s are two seconds.
    #[test]
    fn a_lost_header_is_asked_for_again_and_not_for_ever() {
        let mut t = Talk::with_file(Player::Legacy, UDP);
        t.gets(0, 1, 0x04).unwrap();
        for retry in 0..4u32 {
            for _ in 0..3 {
                t.client.remind(&t.wish, &mut t.said).unwrap();
                assert_eq!(t.says(), []);
            }
            t.client.remind(&t.wish, &mut t.said).unwrap();
            let play_incarnation = retry + 1;
            assert_eq!(
                t.says(),
                [
                    ToServer::CancelReadBlock { play_incarnation },
                    read_block(retry + 2)
                ]
            );
        }
        assert_eq!(
            t.gets(0, 4, 0x0C),
            Ok(News::Nothing),
            "of an earlier request"
        );
        let mut last = t.client;
        assert!((0..4).any(|_| last.remind(&t.wish, &mut t.said).is_err()));
        assert_eq!(t.gets(0, 5, 0x0C), Ok(News::Header));
        t.says();
        t.client.remind(&t.wish, &mut t.said).unwrap();
        assert_eq!(t.says(), [], "nothing is missing any more");
    }

    // MMSP-91
    #[test]
    fn the_next_entry_is_begun_as_its_transport_wants() {
        let change = || ToClient::ReportStreamChange {
            packet_size: 1400,
            header_size: 100,
            bit_rate: 8000,
        };
        let mut t = Talk::with_file(Player::Legacy, Transport::Tcp);
        t.gets(0, 1, 0x0C).unwrap();
        t.says();
        let next = ToClient::ReportEndOfStream {
            hr: 1,
            play_incarnation: 10,
        };
        assert_eq!(t.hears(next), Ok(News::End(1)));
        assert_eq!(t.hears(change()), Ok(News::StreamChange));
        assert_eq!(t.says(), []);
        assert_eq!(t.gets(0, 0xFF, 0x0C), Ok(News::Header));
        let said = t.says();
        let ToServer::StartPlaying(start) = &said[1] else {
            panic!("{said:?}");
        };
        assert_eq!(start.play_incarnation, 11);
        assert!(matches!(t.gets(0, 0xFF, 5), Ok(News::Media(_))));
        assert!(matches!(t.gets(1, 11, 6), Ok(News::Media(_))));

        let mut t = Talk::with_file(Player::Legacy, UDP);
        t.gets(0, 1, 0x0C).unwrap();
        t.says();
        t.hears(change()).unwrap();
        assert_eq!(t.says(), [read_block(2)]);
    }

    #[test]
    fn refusals_are_told_with_their_reason() {
        let mut t = Talk::new(Player::Legacy, Transport::Tcp);
        t.hears(connected()).unwrap();
        let full = ToClient::ReportDisconnectedFunnel { hr: 0xC00D_0012 };
        assert!(t.hears(full).unwrap_err().contains("0xc00d0012"));
        t.hears(ToClient::ReportConnectedFunnel).unwrap();
        let e = t.hears(file(0xC00D_001A)).unwrap_err();
        assert_eq!(e, "OpenFile: 0xc00d001a");
        let e = t.hears(connected()).unwrap_err();
        assert!(e.starts_with("out of order"), "{e}");
    }
}
