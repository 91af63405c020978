//! What a scenario loads the server with, and the content for it.

use super::config::Point;
use super::desk::Desk;
use crate::content::Recipe;
use crate::floor::Sending;
use crate::media::Player;
use crate::swarm::{Plan, Protocol};
use std::path::PathBuf;
use std::time::Duration;

/// One load of a scenario.
#[derive(Clone, Debug)]
pub struct Load {
    pub sessions: usize,
    pub point: Point,
    /// URL path with `{}` for the file's number.
    pub path: String,
    pub files: usize,
    pub live: bool,
    pub start_spread: Duration,
    pub ramp: Duration,
    pub warm_up: Duration,
    pub window: Duration,
    pub slow: usize,
    pub cores: usize,
    /// Compare with the floor.
    pub floor: bool,
    pub protocol: Protocol,
    /// How the floor sends datagrams.
    pub sending: Sending,
}

/// A live session begins at a key frame of the past and comes up to the head within some seconds.
const WARM_UP: Duration = Duration::from_secs(8);
/// For joining and for starting.
pub const SETTLE: Duration = Duration::from_secs(30);
/// Longest window that content is made for.
const WINDOW_MAX: Duration = Duration::from_secs(20);

impl Load {
    /// What its sessions do, as far as it is known before the server runs.
    pub fn plan(&self) -> Plan {
        Plan {
            targets: Vec::new(),
            sessions: 0,
            ramp: self.ramp,
            settle: SETTLE,
            warm_up: self.warm_up,
            window: self.window,
            protocol: self.protocol,
            player: Player::Nine,
            describe: false,
            locid: false,
            streams: Vec::new(),
            packet_size: 0,
            live: self.live,
            start_spread_ms: u32::try_from(self.start_spread.as_millis()).unwrap_or(u32::MAX),
            slow: self.slow,
            slow_bytes_per_s: 0.0,
            pushed: None,
        }
    }
}

/// Bytes of a packet of live content over TCP.
const LIVE_PACKET_SIZE: u16 = 3200;

/// Content of a live load.
pub fn live_recipe(bit_rate: u32) -> Recipe {
    Recipe {
        seconds: 120,
        bit_rate,
        packet_size: LIVE_PACKET_SIZE,
        audio_only: bit_rate == AUDIO_RATE,
        even: false,
        seed: 1,
    }
}

/// A live load from a file that does not come round within the run.
pub fn live(
    desk: &Desk<'_>,
    sessions: usize,
    bit_rate: u32,
    cadence_ms: u64,
) -> Result<Load, String> {
    let source = desk.live_file(bit_rate, LIVE_PACKET_SIZE)?;
    Ok(live_from(source, desk, sessions, cadence_ms))
}

/// As the source of a point: an encoder that pushes.
pub const PUSH_SOURCE: &str = "push:";

/// A live load that an encoder pushes.
pub fn pushed(desk: &Desk<'_>, sessions: usize, cadence_ms: u64) -> Load {
    Load {
        window: desk.window(20),
        cores: 2,
        ..live_from(PUSH_SOURCE.into(), desk, sessions, cadence_ms)
    }
}

fn live_from(source: PathBuf, desk: &Desk<'_>, sessions: usize, cadence_ms: u64) -> Load {
    Load {
        sessions,
        point: Point {
            name: "live".into(),
            broadcast: true,
            source,
            cadence_ms,
            multicast: None,
        },
        path: "/live".into(),
        files: 1,
        live: true,
        start_spread: Duration::ZERO,
        ramp: Duration::from_millis(sessions as u64),
        warm_up: WARM_UP,
        window: desk.window(10),
        slow: 0,
        cores: 1,
        floor: false,
        protocol: Protocol::Wmsp,
        sending: Sending::Sendto,
    }
}

/// Rate of the audio scenario, bit/s.
pub const AUDIO_RATE: u32 = 138_000;

/// An on-demand load over this many files.
pub fn on_demand(
    desk: &Desk<'_>,
    sessions: usize,
    files: usize,
    bit_rate: u32,
) -> Result<Load, String> {
    let recipe = Recipe {
        seconds: 60,
        bit_rate,
        packet_size: 3200,
        audio_only: false,
        even: false,
        seed: 1,
    };
    let dir = desk.content(&recipe, files)?;
    let sessions = desk.sessions(sessions)?;
    Ok(Load {
        sessions,
        point: Point {
            name: "vod".into(),
            broadcast: false,
            source: dir,
            cadence_ms: 100,
            multicast: None,
        },
        path: "/vod/f{}.wmv".into(),
        files,
        live: false,
        start_spread: Duration::from_secs(20),
        ramp: Duration::from_millis(2 * sessions as u64),
        warm_up: WARM_UP,
        window: desk.window(10).min(WINDOW_MAX),
        slow: 0,
        cores: 1,
        floor: false,
        protocol: Protocol::Wmsp,
        sending: Sending::Sendto,
    })
}
