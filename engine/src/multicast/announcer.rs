//! Tells session directories about a group (SAP, RFC 2974), and takes that back at the end.

use super::line::Line;
use super::station::station;
use crate::ops::metrics::CastCounters;
use crate::points::Point;
use crate::rt::{self, GroupOptions};
use crossbeam::utils::CachePadded;
use protocols::machine::Time;
use protocols::msb::sap::{self, Announcement, Session};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// When to look again, as long as there is nothing to announce.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Announcer {
    host: String,
    group: SocketAddr,
    line: Line,
    counters: Arc<CachePadded<CastCounters>>,
    /// What was announced last.
    said: Option<Announcement>,
    at: Time,
}

impl Announcer {
    /// Announce a point's group, in the scope that the group has, under the server's name.
    pub fn new(
        point: &str,
        session: &GroupOptions,
        host: &str,
        counters: &Arc<CachePadded<CastCounters>>,
        now: Time,
    ) -> Announcer {
        let mut group = sap::group_for(session.group.ip());
        if let (SocketAddr::V6(to), SocketAddr::V6(from)) = (&mut group, session.group) {
            to.set_scope_id(from.scope_id());
        }
        let options = GroupOptions {
            group,
            ttl: sap::TTL,
            ..*session
        };
        Announcer {
            host: host.to_owned(),
            group: session.group,
            line: Line::open(point, options, Arc::clone(counters), now),
            counters: Arc::clone(counters),
            said: None,
            at: now,
        }
    }

    /// What is to be said has changed.
    pub fn hurry(&mut self, now: Time) {
        self.at = now;
    }

    /// Say it if it is time. Returns when it will be time again.
    pub fn tick(&mut self, point: &Point, origin: impl Fn() -> Option<IpAddr>, now: Time) -> Time {
        if now < self.at {
            return self.at;
        }
        self.at = now + LOOK_AGAIN;
        let Some((station, origin)) = station(point, &self.host).zip(origin()) else {
            return self.at;
        };
        let bit_rate = station.formats.iter().filter_map(|format| {
            let header = protocols::asf::Header::parse(&format.header).ok()?;
            Some(u64::from(header.max_bit_rate()))
        });
        let session = Session {
            origin,
            id: session_id(self.group),
            version: 0,
            nsc_url: &format!("http://{}/{}.nsc", self.host, point.config.name),
            bit_rate: bit_rate.max().unwrap_or(0),
        };
        let again = self.said.take().filter(|said| {
            // Only what the version says may differ.
            let version = version_in(&said.sdp).unwrap_or(0);
            sap::describe(&station, &Session { version, ..session }) == said.sdp
        });
        let announcement = again.unwrap_or_else(|| {
            let version = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let version = version.map_or(1, |since| since.as_secs());
            let sdp = sap::describe(&station, &Session { version, ..session });
            Announcement::new(origin, sdp)
        });
        let packet = announcement.emit();
        self.line.send(&packet, now);
        self.counters.announcements.inc();
        self.said = Some(announcement);
        self.at = now + sap::interval(packet.len() as u64, dice());
        self.at
    }

    /// The session is over.
    pub fn take_back(&mut self, now: Time) {
        if let Some(said) = self.said.take() {
            self.line.send(&said.deletion().emit(), now);
        }
    }
}

/// The same for the same group at every start.
fn session_id(group: SocketAddr) -> u64 {
    let address = match group.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip) as u64 & 0xFFFF_FFFF_FFFF,
    };
    address << 16 | u64::from(group.port())
}

/// The third word of the line `o=`.
fn version_in(sdp: &str) -> Option<u64> {
    let line = sdp.lines().find(|line| line.starts_with("o="))?;
    line.split(' ').nth(2)?.parse().ok()
}

fn dice() -> u32 {
    match rt::random_seed() {
        Ok([a, b, c, d, ..]) => u32::from_le_bytes([a, b, c, d]),
        Err(_) => 0,
    }
}
