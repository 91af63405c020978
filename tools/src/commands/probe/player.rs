//! The client machines that a probe drives, one for each protocol.

use super::Args;
use crate::arrivals::Gaps;
use crate::datagrams::{Datagrams, Interface, Joining, Loss};
use crate::driver::Driver;
use protocols::auth::Password;
use protocols::client::{LowerHeaders, Transfer};
use protocols::content::{Accel, Start};
use protocols::machine::{Machine, Time};
use protocols::msb::receiver::{OPEN_TIMEOUT, Receiver, ReceiverConfig, ReceiverCounts};
use protocols::nsc::Station;
use protocols::{mmsp, msbd, rtsp, wmsp};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of IPv4 (20) and TCP (20, and 12 for the time stamps that Linux asks for) around each
/// segment: they take their time on the link, too.
const SEGMENT_HEADERS: usize = 52;
/// Bytes of IPv4 (20) and UDP (8) around each datagram.
const DATAGRAM_HEADERS: usize = 28;
const LOWER_HEADERS: LowerHeaders = LowerHeaders {
    segment: SEGMENT_HEADERS,
    datagram: DATAGRAM_HEADERS,
};
/// ms of content that Fast Start is asked for.
const ACCEL_MS: u32 = 20_000;

/// What a probe wants of a client machine beside its media.
pub trait Player: Machine {
    /// End the session in order.
    fn finish(&mut self, now: Time);
    /// Nothing more will come.
    fn is_done(&self) -> bool;
    /// Requests go where media comes.
    fn pipelined(&self) -> bool;
    /// How media came.
    fn transfer(&self) -> Transfer;

    /// How long to wait for media that may come late, before the time of playing begins.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Media comes.
    fn has_begun(&self) -> bool {
        true
    }

    /// What came from a group.
    fn multicast(&self) -> Option<ReceiverCounts> {
        None
    }
}

impl Player for wmsp::client::Client {
    fn finish(&mut self, now: Time) {
        self.finish(now);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn pipelined(&self) -> bool {
        self.is_pipelined()
    }

    fn transfer(&self) -> Transfer {
        Transfer::default()
    }
}

impl Player for mmsp::client::Client {
    fn finish(&mut self, now: Time) {
        self.finish(now);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn pipelined(&self) -> bool {
        false
    }

    fn transfer(&self) -> Transfer {
        self.transfer()
    }
}

impl Player for rtsp::client::Client {
    fn finish(&mut self, now: Time) {
        self.finish(now);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    /// As ever in RTSP.
    fn pipelined(&self) -> bool {
        false
    }

    fn transfer(&self) -> Transfer {
        self.transfer()
    }
}

impl Player for msbd::client::Client {
    fn finish(&mut self, now: Time) {
        self.finish(now);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    /// It requests nothing.
    fn pipelined(&self) -> bool {
        false
    }

    fn transfer(&self) -> Transfer {
        self.transfer()
    }
}

impl Player for Receiver {
    fn finish(&mut self, now: Time) {
        self.finish(now);
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    /// It requests nothing.
    fn pipelined(&self) -> bool {
        false
    }

    fn transfer(&self) -> Transfer {
        self.transfer()
    }

    /// The session ends by itself when nobody sends; between beacons it may wait as long again.
    fn patience(&self) -> Duration {
        *OPEN_TIMEOUT.end() * 2
    }

    fn has_begun(&self) -> bool {
        self.counts().packets.received > 0
    }

    fn multicast(&self) -> Option<ReceiverCounts> {
        Some(self.counts())
    }
}

/// A receiver of a station, whose file came from `channel_url` if it has one.
pub fn msb(args: &Args, station: Station, channel_url: Option<&str>) -> Driver<Receiver> {
    let since = since_1970();
    let joining = args.joining(station.adapter);
    let mut config = ReceiverConfig {
        channel_url: channel_url.map(str::to_owned),
        ready_timeout: Some(*OPEN_TIMEOUT.end()),
        send_log: !args.no_log,
        unix_seconds: since.as_secs(),
        reply_timeout: args.timeout,
        ..ReceiverConfig::new(station, seed(since))
    };
    if let Some(version) = &args.player_version {
        config.player.version.clone_from(version);
    }
    Driver::new(Receiver::new(config)).with_groups(joining)
}

/// A client of ASF over HTTP.
pub fn wmsp(args: &Args, url: &str) -> Result<Driver<wmsp::client::Client>, String> {
    let since = since_1970();
    let mut config = wmsp::client::ClientConfig {
        packet_pair: args.packet_pair,
        segment_headers: SEGMENT_HEADERS,
        pipelined: args.pipelined,
        accel: args.accel(),
        speed_milli: args.speed(),
        rate_milli: args.rate,
        start: args.start(),
        streams: args.streams.0.clone(),
        send_log: !args.no_log,
        unix_seconds: since.as_secs(),
        reply_timeout: args.timeout,
        ..wmsp::client::ClientConfig::new(url, seed(since))
    };
    if let Some(version) = &args.player_version {
        config.version.clone_from(version);
    }
    let client = wmsp::client::Client::new(config).map_err(|e| format!("{url}: {e}"))?;
    Ok(driving(client, args, Gaps::Short))
}

/// A client of MMS.
pub fn mmsp(args: &Args, url: &str) -> Result<Driver<mmsp::client::Client>, String> {
    let since = since_1970();
    let datagrams = Datagrams::bind(args.loss(0))?;
    let mut config = mmsp::client::ClientConfig {
        udp_port: datagrams.port()?,
        packet_pair: args.packet_pair,
        lower_headers: LOWER_HEADERS,
        accel: args.accel(),
        rate_milli: args.rate,
        start: args.start(),
        streams: args.streams.0.clone(),
        credentials: args.credentials()?,
        send_log: !args.no_log,
        unix_seconds: since.as_secs(),
        reply_timeout: args.timeout,
        ..mmsp::client::ClientConfig::new(url, seed(since))
    };
    if let Some(version) = &args.player_version {
        config.version.clone_from(version);
    }
    let client = mmsp::client::Client::new(config).map_err(|e| format!("{url}: {e}"))?;
    let driver = driving(client, args, Gaps::RoundTrip);
    driver.with_datagrams(datagrams)
}

/// A client of RTSP.
pub fn rtsp(args: &Args, url: &str) -> Result<Driver<rtsp::client::Client>, String> {
    let since = since_1970();
    // In the order of the machine's numbers of them.
    let sockets = [
        Datagrams::bind(args.loss(0))?,
        Datagrams::bind(args.loss(1))?,
    ];
    let mut config = rtsp::client::ClientConfig {
        media_port: sockets[0].port()?,
        rtx_port: sockets[1].port()?,
        packet_pair: args.packet_pair,
        lower_headers: LOWER_HEADERS,
        accel: args.accel(),
        speed_milli: args.speed(),
        rate_milli: args.rate,
        start: args.start(),
        streams: args.streams.0.clone(),
        credentials: args.credentials()?,
        send_log: !args.no_log,
        unix_seconds: since.as_secs(),
        reply_timeout: args.timeout,
        ..rtsp::client::ClientConfig::new(url, seed(since))
    };
    if let Some(version) = &args.player_version {
        config.version.clone_from(version);
    }
    let client = rtsp::client::Client::new(config).map_err(|e| format!("{url}: {e}"))?;
    let driver = driving(client, args, Gaps::RoundTrip);
    let [media, rtx] = sockets;
    driver.with_datagrams(media)?.with_datagrams(rtx)
}

/// A client of MSBD. It has no packet pair to time.
pub fn msbd(args: &Args, url: &str) -> Result<Driver<msbd::client::Client>, String> {
    let mut config = msbd::client::ClientConfig {
        multicast: args.multicast,
        reply_timeout: args.timeout,
        ..msbd::client::ClientConfig::new(url)
    };
    if let Some(channel) = &args.channel {
        config.channel.clone_from(channel);
    }
    let client = msbd::client::Client::new(config).map_err(|e| format!("{url}: {e}"))?;
    Ok(Driver::new(client).with_groups(args.joining(None)))
}

/// A driver that times the beginning of connections if a packet pair is asked for.
fn driving<M: Machine>(machine: M, args: &Args, gaps: Gaps) -> Driver<M> {
    let driver = Driver::new(machine).with_groups(args.joining(None));
    match args.packet_pair {
        true => driver.precise(gaps),
        false => driver,
    }
}

impl Args {
    fn speed(&self) -> Option<u32> {
        let milli = |s: f64| (s * 1000.0).round().clamp(0.0, 1e9) as u32;
        self.speed.map(milli)
    }

    /// Of the socket of this number: each loses others.
    fn loss(&self, socket: u64) -> Option<Loss> {
        let seed = self.drop_seed.wrapping_add(socket << 32);
        self.drop.map(|share| Loss::new(share, seed))
    }

    /// Of sockets that join groups. A sender on the loopback interface is heard nowhere else.
    fn joining(&self, sender: Option<IpAddr>) -> Joining {
        let near = match sender {
            Some(IpAddr::V4(address)) if address.is_loopback() => Interface::Address(address),
            _ => Interface::Routed,
        };
        Joining {
            interface: self.interface.unwrap_or(near),
            loss: self.loss(0),
        }
    }

    fn credentials(&self) -> Result<Option<(String, Password)>, String> {
        let Some(pair) = &self.user else {
            return Ok(None);
        };
        let (user, password) = pair
            .split_once(':')
            .ok_or("no colon between name and password in --user")?;
        Ok(Some((user.to_owned(), Password::new(password.to_owned()))))
    }

    fn start(&self) -> Start {
        match u32::try_from(self.start.as_millis()).unwrap_or(u32::MAX) {
            0 => Start::Beginning,
            ms => Start::Time(ms),
        }
    }

    fn accel(&self) -> Option<Accel> {
        self.accel.map(|bits_per_second| Accel {
            bits_per_second,
            duration_ms: ACCEL_MS,
        })
    }
}

fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

fn seed(since: Duration) -> u64 {
    since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
}
