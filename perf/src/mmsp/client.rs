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
            return Ok(News::Pair(head.location & 1));
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
        let number = head.location;
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
        && data.head.location & !1 == 0xF0F0_F000
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
