//! Datagrams on their way: some are lost, late or doubled, the same ones for the same seed.

use super::{CLIENT_IP, SERVER_IP};
use protocols::machine::{Channel, Time};
use protocols::media::FlowId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How datagrams fare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Of 1000, so many are lost.
    pub loss: u32,
    /// Of 1000, so many come twice.
    pub doubles: u32,
    /// Each takes up to so much longer.
    pub jitter: Duration,
    pub seed: u64,
}

pub const FINE: Weather = Weather {
    loss: 0,
    doubles: 0,
    jitter: Duration::ZERO,
    seed: 1,
};

/// A media datagram: of which flow, its sequence there, how often it was sent before.
pub type Media = Option<(FlowId, u32, u8)>;

/// What became of a media datagram.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    pub flow: FlowId,
    pub n: u32,
    pub again: u8,
    pub sent: Time,
    /// `None` if it was lost.
    pub arrived: Option<Time>,
}

#[derive(Clone)]
pub struct Flying {
    pub to_client: bool,
    /// From which socket of the server, and to which of the client; the other way round upward.
    pub from: Channel,
    pub to: Channel,
    pub bytes: Vec<u8>,
}

pub struct Air {
    pub weather: Weather,
    pub delay: Duration,
    /// Toward the client, bit/s.
    pub rate: Option<u64>,
    pub trace: Vec<Trace>,
    /// Datagrams of the client that were lost.
    pub lost_up: Vec<Vec<u8>>,
    /// Nothing toward the client gets through.
    pub blocked: bool,
    /// Of its sockets, in their order.
    pub client_ports: Vec<u16>,
    pub server_ports: Vec<u16>,
    rng: ChaCha8Rng,
    flying: BTreeMap<(Time, u64), Flying>,
    count: u64,
    busy_until: Time,
}

impl Air {
    pub fn new(weather: Weather, delay: Duration, rate: Option<u64>, port: u16) -> Air {
        Air {
            weather,
            delay,
            rate,
            trace: Vec::new(),
            lost_up: Vec::new(),
            blocked: false,
            client_ports: vec![7000],
            server_ports: vec![port],
            rng: ChaCha8Rng::seed_from_u64(weather.seed),
            flying: BTreeMap::new(),
            count: 0,
            busy_until: Time::ZERO,
        }
    }

    /// Toward the client.
    pub fn down(
        &mut self,
        now: Time,
        (from, to): (Channel, SocketAddr),
        bytes: Vec<u8>,
        media: Media,
    ) {
        let channel = self.client_ports.iter().position(|p| *p == to.port());
        let channel = channel.expect("a port of the client");
        assert_eq!(to.ip().to_string(), CLIENT_IP);
        let mut left = now;
        if let Some(rate) = self.rate {
            let micros = bytes.len() as u64 * 8_000_000 / rate;
            self.busy_until = Time(self.busy_until.max(now).micros() + micros);
            left = self.busy_until;
        }
        let arrived = if self.blocked { None } else { self.fate(left) };
        if let Some((flow, n, again)) = media {
            self.trace.push(Trace {
                flow,
                n,
                again,
                sent: now,
                arrived,
            });
        }
        let (from, to) = (from, Channel(channel as u8));
        self.fly(
            arrived,
            Flying {
                to_client: true,
                from,
                to,
                bytes,
            },
        );
    }

    /// Toward the server.
    pub fn up(&mut self, now: Time, (from, to): (Channel, SocketAddr), bytes: Vec<u8>) {
        let channel = self.server_ports.iter().position(|p| *p == to.port());
        let channel = channel.expect("a port of the server");
        assert_eq!(to.ip().to_string(), SERVER_IP);
        let arrives = self.fate(now);
        if arrives.is_none() {
            self.lost_up.push(bytes.clone());
        }
        let flying = Flying {
            to_client: false,
            from,
            to: Channel(channel as u8),
            bytes,
        };
        self.fly(arrives, flying);
    }

    pub fn next(&self) -> Option<Time> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn arrived(&mut self, now: Time) -> Option<Flying> {
        let first = self.flying.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn fly(&mut self, arrives: Option<Time>, flying: Flying) {
        let Some(at) = arrives else { return };
        let double = self.chance(self.weather.doubles);
        for at in [Some(at), double.then(|| at + Duration::from_millis(3))] {
            let Some(at) = at else { continue };
            self.count += 1;
            self.flying.insert((at, self.count), flying.clone());
        }
    }

    /// When one that leaves now arrives, if it does.
    fn fate(&mut self, now: Time) -> Option<Time> {
        let lost = self.chance(self.weather.loss);
        let jitter = self.weather.jitter.as_micros() as u64;
        let extra = match jitter {
            0 => 0,
            jitter => self.rng.next_u64() % jitter,
        };
        (!lost).then(|| now + self.delay + Duration::from_micros(extra))
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        of_1000 > 0 && self.rng.next_u32() % 1000 < of_1000
    }
}
