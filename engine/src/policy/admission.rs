//! Counting connections and players against the configured limits.

use crate::ops::config::{Limits, PointLimits};
use protocols::machine::Time;
use protocols::rate::bucket::TokenBucket;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Separately locked parts of the table of addresses.
const ADDRESS_SHARDS: usize = 64;

/// Addresses remembered per shard; idle ones beyond it are forgotten first.
const ADDRESSES_PER_SHARD_MAX: usize = 4096;

/// Which limit said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// `limits.connections_per_address`
    ConnectionsPerAddress,
    /// `limits.connection_rate` or `limits.connection_rate_per_address`
    ConnectionRate,
    /// `player_connections` of the server or the point.
    PlayerConnections,
    /// `aggregate_player_bandwidth` or `bandwidth_per_player_connection`.
    Bandwidth,
}

/// The limits of a server and what is used of them.
pub struct Limiter {
    limits: RwLock<Limits>,
    connects: Mutex<TokenBucket>,
    addresses: Vec<Mutex<HashMap<IpAddr, Address>>>,
    players: Usage,
    /// Other servers that are served.
    relays: Usage,
}

#[derive(Clone, Copy)]
struct Address {
    open: u32,
    rate: TokenBucket,
}

#[derive(Default)]
struct Usage {
    players: AtomicU64,
    bits_per_second: AtomicU64,
}

/// The limits of one publishing point and what is used of them.
#[derive(Default)]
pub struct PointLimiter {
    limits: PointLimits,
    usage: Usage,
}

/// A connection's place in the limits; given back when dropped.
pub struct Admission {
    limiter: Arc<Limiter>,
    address: IpAddr,
}

/// A player's place in the limits; given back when dropped.
pub struct Player {
    limiter: Arc<Limiter>,
    point: Arc<PointLimiter>,
    bits_per_second: u64,
    relays: bool,
}

impl Limiter {
    /// Nothing is used yet.
    pub fn new(limits: Limits, now: Time) -> Arc<Limiter> {
        Arc::new(Limiter {
            connects: Mutex::new(bucket(limits.connection_rate, now)),
            addresses: (0..ADDRESS_SHARDS).map(|_| Mutex::default()).collect(),
            players: Usage::default(),
            relays: Usage::default(),
            limits: RwLock::new(limits),
        })
    }

    /// Put new limits in force; what is in use stays.
    pub fn set(&self, limits: Limits, now: Time) {
        *lock(&self.connects) = bucket(limits.connection_rate, now);
        for shard in &self.addresses {
            for address in lock(shard).values_mut() {
                address.rate = bucket(limits.connection_rate_per_address, now);
            }
        }
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// May this address open one more connection?
    ///
    /// # Errors
    /// Says which limit is reached.
    pub fn connect(self: &Arc<Self>, address: IpAddr, now: Time) -> Result<Admission, RefusedBy> {
        let (per_address, rate) = {
            let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
            (
                limits.connections_per_address,
                limits.connection_rate_per_address,
            )
        };
        let mut shard = lock(self.shard(address));
        if shard.len() >= ADDRESSES_PER_SHARD_MAX {
            shard.retain(|_, a| a.open > 0);
        }
        let entry = shard.entry(address).or_insert_with(|| Address {
            open: 0,
            rate: bucket(rate, now),
        });
        if entry.open >= per_address {
            return Err(RefusedBy::ConnectionsPerAddress);
        }
        if !entry.rate.take(1, now) || !lock(&self.connects).take(1, now) {
            return Err(RefusedBy::ConnectionRate);
        }
        entry.open += 1;
        drop(shard);
        Ok(Admission {
            limiter: Arc::clone(self),
            address,
        })
    }

    /// May one more player have content of this rate from this point?
    ///
    /// # Errors
    /// Says which limit is reached.
    pub fn play(
        self: &Arc<Self>,
        point: &Arc<PointLimiter>,
        bits_per_second: u64,
    ) -> Result<Player, RefusedBy> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        let per_player = [
            limits.bandwidth_per_player_connection,
            point.limits.bandwidth_per_player_connection,
        ];
        if per_player
            .iter()
            .flatten()
            .any(|max| bits_per_second > max.bits_per_second())
        {
            return Err(RefusedBy::Bandwidth);
        }
        self.players.take(
            bits_per_second,
            u64::from(limits.player_connections),
            limits
                .aggregate_player_bandwidth
                .map(|b| b.bits_per_second()),
        )?;
        let at_point = point.usage.take(
            bits_per_second,
            point.limits.player_connections.map_or(u64::MAX, u64::from),
            point
                .limits
                .aggregate_player_bandwidth
                .map(|b| b.bits_per_second()),
        );
        if let Err(refused) = at_point {
            self.players.give_back(bits_per_second);
            return Err(refused);
        }
        Ok(Player {
            limiter: Arc::clone(self),
            point: Arc::clone(point),
            bits_per_second,
            relays: false,
        })
    }

    /// Let another server in that relays what it gets. Limits of players, the point's among them, are not
    /// about it.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn relay(
        self: &Arc<Self>,
        point: &Arc<PointLimiter>,
        bits_per_second: u64,
    ) -> Result<Player, RefusedBy> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        let each = limits.bandwidth_per_outgoing_distribution_connection;
        if each.is_some_and(|max| bits_per_second > max.bits_per_second()) {
            return Err(RefusedBy::Bandwidth);
        }
        let all = limits.aggregate_outgoing_distribution_bandwidth;
        self.relays.take(
            bits_per_second,
            u64::from(limits.outgoing_distribution_connections),
            all.map(|max| max.bits_per_second()),
        )?;
        Ok(Player {
            limiter: Arc::clone(self),
            point: Arc::clone(point),
            bits_per_second,
            relays: true,
        })
    }

    /// Egress that is not spoken for, bit/s; `u64::MAX` without a limit.
    pub fn free_bits_per_second(&self) -> u64 {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        limits.aggregate_player_bandwidth.map_or(u64::MAX, |max| {
            max.bits_per_second()
                .saturating_sub(self.players.bits_per_second.load(Relaxed))
        })
    }

    /// Players now.
    pub fn players(&self) -> u64 {
        self.players.players.load(Relaxed)
    }

    fn shard(&self, address: IpAddr) -> &Mutex<HashMap<IpAddr, Address>> {
        let last = match address {
            IpAddr::V4(v4) => v4.octets().iter().map(|b| usize::from(*b)).sum::<usize>(),
            IpAddr::V6(v6) => v6.octets().iter().map(|b| usize::from(*b)).sum(),
        };
        &self.addresses[last % ADDRESS_SHARDS]
    }
}

impl PointLimiter {
    /// Nothing is used yet.
    pub fn new(limits: PointLimits) -> Arc<PointLimiter> {
        Arc::new(PointLimiter {
            limits,
            usage: Usage::default(),
        })
    }

    /// Players now.
    pub fn players(&self) -> u64 {
        self.usage.players.load(Relaxed)
    }
}

impl Usage {
    fn take(&self, bits: u64, players_max: u64, bits_max: Option<u64>) -> Result<(), RefusedBy> {
        let players = self.players.fetch_add(1, Relaxed) + 1;
        let total = self.bits_per_second.fetch_add(bits, Relaxed) + bits;
        let refused = if players > players_max {
            RefusedBy::PlayerConnections
        } else if bits_max.is_some_and(|max| total > max) {
            RefusedBy::Bandwidth
        } else {
            return Ok(());
        };
        self.give_back(bits);
        Err(refused)
    }

    fn give_back(&self, bits: u64) {
        self.players.fetch_sub(1, Relaxed);
        self.bits_per_second.fetch_sub(bits, Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut shard = lock(self.limiter.shard(self.address));
        if let Some(entry) = shard.get_mut(&self.address) {
            entry.open = entry.open.saturating_sub(1);
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if self.relays {
            return self.limiter.relays.give_back(self.bits_per_second);
        }
        self.limiter.players.give_back(self.bits_per_second);
        self.point.usage.give_back(self.bits_per_second);
    }
}

/// A second's worth may come at once.
fn bucket(per_second: u32, now: Time) -> TokenBucket {
    TokenBucket::new(u64::from(per_second), u64::from(per_second).max(1), now)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::config::BitRate;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    #[test]
    fn connections_are_counted_per_address_and_given_back() {
        let limits = Limits {
            connections_per_address: 2,
            ..Limits::default()
        };
        let limiter = Limiter::new(limits, Time(0));
        let first = limiter.connect(A, Time(0)).unwrap();
        let _second = limiter.connect(A, Time(0)).unwrap();
        assert_eq!(
            limiter.connect(A, Time(0)).err(),
            Some(RefusedBy::ConnectionsPerAddress)
        );
        assert!(limiter.connect(B, Time(0)).is_ok(), "others are not harmed");
        drop(first);
        assert!(limiter.connect(A, Time(0)).is_ok());
    }

    #[test]
    fn the_rate_of_connects_is_bounded_and_recovers() {
        let limits = Limits {
            connection_rate: 10,
            connection_rate_per_address: 4,
            ..Limits::default()
        };
        let limiter = Limiter::new(limits, Time(0));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(limiter.connect(A, Time(0)).unwrap());
        }
        assert_eq!(
            limiter.connect(A, Time(0)).err(),
            Some(RefusedBy::ConnectionRate)
        );
        assert!(limiter.connect(A, Time(1_000_000)).is_ok());
    }

    #[test]
    fn players_and_bandwidth_are_bounded_for_the_server_and_the_point() {
        let limits = Limits {
            player_connections: 3,
            aggregate_player_bandwidth: Some(BitRate(2_500_000)),
            ..Limits::default()
        };
        let limiter = Limiter::new(limits, Time(0));
        let point = PointLimiter::new(PointLimits {
            player_connections: Some(2),
            ..PointLimits::default()
        });
        let other = PointLimiter::new(PointLimits::default());
        let a = limiter.play(&point, 1_000_000).unwrap();
        let _b = limiter.play(&point, 1_000_000).unwrap();
        assert_eq!(
            limiter.play(&point, 1).err(),
            Some(RefusedBy::PlayerConnections)
        );
        assert_eq!(
            limiter.play(&other, 600_000).err(),
            Some(RefusedBy::Bandwidth)
        );
        assert_eq!(limiter.free_bits_per_second(), 500_000);
        let _c = limiter.play(&other, 500_000).unwrap();
        assert_eq!(
            limiter.play(&other, 0).err(),
            Some(RefusedBy::PlayerConnections)
        );
        drop(a);
        assert_eq!((limiter.players(), point.players()), (2, 1));
        assert!(limiter.play(&point, 1_000_000).is_ok());
    }
}
