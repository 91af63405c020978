//! `ringcast encode`: an encoder without a codec that waits to be fetched from, over WMSP and MSBD.
//!
//! It is a server of one point, which its root path and its MSBD port name.

use super::push::files::live_header;
use super::push::reader::{Piece, Reader};
use super::push::stop::Stop;
use super::serve;
use crate::logging;
use crate::output::{self, Answer, Output};
use engine::ops::config::{Config, MsbdConfig, PointConfig, PointKind, Source};
use engine::points::Airing;
use engine::{Feed, Server};
use ipnet::IpNet;
use protocols::media::IngestEvent;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// Name of the only point; nobody has to know it.
const POINT: &str = "encode";
/// Those who fetch over HTTP; an encoder feeds servers, and these feed players.
const PLAYER_COUNT_MAX: u32 = 1000;
/// How often it is looked whether anything has ended.
const LOOK: Duration = Duration::from_millis(100);
/// From one word about how it goes to the next.
const JSON_INTERVAL: Duration = Duration::from_secs(5);
const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);
/// How long those who fetch may take to be told of the end.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `encode`.
#[derive(clap::Args)]
pub struct Args {
    /// Address and port where servers and players fetch the stream over HTTP, as http://host:port/
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Address and port where servers fetch it over MSBD
    #[arg(long, value_name = "ADDR")]
    msbd: Option<SocketAddr>,
    /// Networks that may fetch over MSBD; default: all, there is no other protection
    #[arg(long, value_name = "NET", requires = "msbd")]
    msbd_allow: Vec<IpNet>,
    /// Play the files once, from the first one who fetches on, and end
    #[arg(long)]
    once: bool,
    /// ASF files (.wmv, .wma, .asf), played at their real rate one after the other, over and over, or - for
    /// standard input: what ffmpeg writes with -f asf_stream or -f asf, passed on as it comes
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Exit 0 if the stream ended in order or on request, 2 if the input cannot be read or nothing can be served.
pub fn run(args: &Args, logging: &logging::Options, output: Output) -> Answer {
    let _guard = logging::init(logging)?;
    let stop = Stop::listen()?;
    let is_input = |p: &PathBuf| p == Path::new("-");
    let live = args.files.iter().any(is_input);
    if live && (args.files.len() > 1 || args.once) {
        return Err("standard input (-) goes alone and once".to_owned());
    }
    if !live {
        args.files.iter().try_for_each(|path| look_at(path))?;
    }
    let server = serve::start(&args.config(live))?;
    let addresses = server.addresses();
    let listening = Event::Listening {
        http: addresses
            .http
            .iter()
            .map(|a| format!("http://{a}/"))
            .collect(),
        msbd: addresses
            .msbd
            .iter()
            .map(|(_, a)| format!("msbd://{a}/"))
            .collect(),
    };
    output.print_line(&listening, |event| match event {
        Event::Listening { http, msbd } => {
            let urls: Vec<&str> = http.iter().chain(msbd).map(String::as_str).collect();
            format!("fetch it from {}\n", urls.join(" or "))
        }
        _ => String::new(),
    });
    let input = match live {
        true => Some(pass_on(&server)?),
        false => None,
    };
    let mut watch = Watch::new(output);
    let ended = watch.until_the_end(&server, &stop, input.as_ref());
    server.drain(END_PATIENCE);
    watch.summary(&server, &ended);
    match ended {
        Ended::Finished | Ended::Interrupted => Ok(true),
        Ended::Broken(reason) => Err(reason),
    }
}

impl Args {
    fn config(&self, live: bool) -> Config {
        let first = self.files.first().cloned().unwrap_or_default();
        let mut point = PointConfig::new(POINT, PointKind::Broadcast, first);
        if live {
            point.source = Source::Push;
            point.always = true;
        } else if self.files.len() > 1 {
            point.source = Source::Files(self.files.clone());
        }
        point.repeat = !self.once;
        point.msbd = self.msbd.map(|listen| MsbdConfig {
            listen,
            allow: match self.msbd_allow.is_empty() {
                true => vec![everybody()],
                false => self.msbd_allow.clone(),
            },
            group: None,
            ttl: 1,
            interface: None,
            loopback: true,
            switch_eos: true,
        });
        let mut config = Config::default();
        config.server.cores = Some(1);
        config.server.root = Some(POINT.to_owned());
        config.server.encoder = true;
        config.listen.http = vec![self.listen];
        config.limits.player_connections = PLAYER_COUNT_MAX;
        config.points = vec![point];
        config
    }
}

fn everybody() -> IpNet {
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)
}

/// A file that is none is said before anybody connects.
fn look_at(path: &Path) -> Result<(), String> {
    let named = |what: String| format!("{}: {what}", path.display());
    let file = File::open(path).map_err(|e| named(e.to_string()))?;
    let first = Reader::new(BufReader::new(file)).next();
    match first.map_err(|e| named(e.to_string()))? {
        Some(Piece::Header(blob)) => live_header(&blob)
            .map(drop)
            .map_err(|e| named(e.to_string())),
        _ => Err(named("no ASF header".to_owned())),
    }
}

/// Reads standard input on a thread of its own. What becomes of it arrives at the end.
fn pass_on(server: &Server) -> Result<Receiver<Result<(), String>>, String> {
    let feed = server.feed(POINT).ok_or("there is no point to feed")?;
    let (sender, end) = mpsc::channel();
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let read = read(io::stdin(), &feed);
            let _ = sender.send(read);
        })
        .map_err(|e| format!("no thread for standard input: {e}"))?;
    Ok(end)
}

/// Passes on all that comes, and the end.
fn read(input: impl Read, feed: &Feed) -> Result<(), String> {
    let mut reader = Reader::new(input);
    let mut number = 0;
    let named = |what: String| format!("standard input: {what}");
    let read = loop {
        let event = match reader.next() {
            Ok(Some(Piece::Header(blob))) => match live_header(&blob) {
                Ok((_, blob)) => IngestEvent::Header(blob),
                Err(e) => break Err(named(e.to_string())),
            },
            Ok(Some(Piece::Packet(packet))) => {
                number += 1;
                IngestEvent::Packet {
                    number: number - 1,
                    bytes: packet.into(),
                }
            }
            Ok(None) => break Ok(()),
            Err(e) => break Err(named(e.to_string())),
        };
        feed.give(event).map_err(|e| e.to_string())?;
    };
    if let Some(remark) = reader.remark() {
        tracing::warn!("standard input: {remark}");
    }
    feed.give(IngestEvent::End(0)).map_err(|e| e.to_string())?;
    read
}

/// How it ended.
enum Ended {
    Finished,
    Interrupted,
    Broken(String),
}

impl Ended {
    fn name(&self) -> &'static str {
        match self {
            Ended::Finished => "finished",
            Ended::Interrupted => "interrupted",
            Ended::Broken(_) => "broken",
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Listening {
        http: Vec<String>,
        msbd: Vec<String>,
    },
    Progress(Numbers),
    Summary {
        ended: &'static str,
        #[serde(flatten)]
        numbers: Numbers,
    },
}

#[derive(Clone, Copy, Serialize)]
struct Numbers {
    seconds: u64,
    /// Sessions that fetch now.
    sessions: u64,
    /// Sessions that began to.
    connects: u64,
    packets: u64,
    bytes: u64,
    entries: u32,
    skipped: u64,
    damaged: u64,
}

impl Numbers {
    fn text(&self) -> String {
        format!(
            "{} fetching ({} so far), {} packets and {} sent, {} s",
            self.sessions,
            self.connects,
            self.packets,
            output::bytes(self.bytes as f64),
            self.seconds
        )
    }
}

struct Watch {
    output: Output,
    terminal: bool,
    begun: Instant,
    told: Instant,
}

impl Watch {
    fn new(output: Output) -> Watch {
        Watch {
            output,
            terminal: io::stderr().is_terminal(),
            begun: Instant::now(),
            told: Instant::now(),
        }
    }

    fn until_the_end(
        &mut self,
        server: &Server,
        stop: &Stop,
        input: Option<&Receiver<Result<(), String>>>,
    ) -> Ended {
        loop {
            if stop.wait(LOOK) {
                return Ended::Interrupted;
            }
            match input.map(Receiver::try_recv) {
                Some(Ok(Ok(()))) => return Ended::Finished,
                Some(Ok(Err(reason))) => return Ended::Broken(reason),
                Some(Err(TryRecvError::Disconnected)) => {
                    return Ended::Broken("standard input cannot be read".to_owned());
                }
                None if server
                    .source(POINT)
                    .is_some_and(|s| s.airing == Airing::Over) =>
                {
                    return Ended::Finished;
                }
                _ => {}
            }
            self.progress(server);
        }
    }

    fn progress(&mut self, server: &Server) {
        let interval = match self.output.json {
            true => JSON_INTERVAL,
            false => TERMINAL_INTERVAL,
        };
        if self.told.elapsed() < interval {
            return;
        }
        self.told = Instant::now();
        let numbers = self.numbers(server);
        if self.output.json {
            self.output
                .print_line(&Event::Progress(numbers), |_| String::new());
        } else if self.terminal {
            let mut err = io::stderr();
            let _ = write!(err, "\r\x1b[K{} ", numbers.text()).and_then(|()| err.flush());
        }
    }

    fn summary(&self, server: &Server, ended: &Ended) {
        if self.terminal && !self.output.json {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        let numbers = self.numbers(server);
        let ended = ended.name();
        let summary = Event::Summary { ended, numbers };
        self.output
            .print_line(&summary, |_| format!("{ended}\n{}\n", numbers.text()));
    }

    fn numbers(&self, server: &Server) -> Numbers {
        let totals = server.metrics().point_totals();
        let sum = |of: fn(&engine::ops::metrics::PointTotals) -> u64| totals.iter().map(of).sum();
        let source = server.source(POINT);
        Numbers {
            seconds: self.begun.elapsed().as_secs(),
            sessions: sum(|t| t.sessions),
            connects: sum(|t| t.connects),
            packets: sum(|t| t.packets),
            bytes: sum(|t| t.bytes),
            entries: source.map_or(0, |s| s.entries),
            skipped: source.map_or(0, |s| s.skipped),
            damaged: source.map_or(0, |s| s.damaged),
        }
    }
}
