//! `[limits]` and `[point.limits]`: the limits of Windows Media Services by name, and the bounds
//! that keep one peer from costing more than its share.

use super::units::{BitRate, Size, Span};
use serde::{Deserialize, Serialize};

/// `[limits]`: for the whole server. `None` is "no limit of its own"; what a limit may be set to
/// at most stands in `deploy/ringcast.toml` and is checked by [`super::Config::parse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Limit player connections.
    pub player_connections: u32,
    /// Limit outgoing distribution connections.
    pub outgoing_distribution_connections: u32,
    /// Limit aggregate player bandwidth.
    pub aggregate_player_bandwidth: Option<BitRate>,
    /// Limit aggregate outgoing distribution bandwidth.
    pub aggregate_outgoing_distribution_bandwidth: Option<BitRate>,
    /// Limit bandwidth per player connection.
    pub bandwidth_per_player_connection: Option<BitRate>,
    /// Limit bandwidth per outgoing distribution connection.
    pub bandwidth_per_outgoing_distribution_connection: Option<BitRate>,
    /// Limit connection rate: new player connections per second, the whole server.
    pub connection_rate: u32,
    /// Limit player timeout inactivity: how long a player may stay connected without receiving,
    /// for instance paused.
    pub player_inactivity_timeout: Span,
    /// Limit connection acknowledgement: how long a player may leave a keep-alive unanswered.
    pub connection_acknowledgement_timeout: Span,
    /// Limit Fast Start bandwidth per player connection; points may grant less, never more.
    pub fast_start_bandwidth_per_player_connection: Option<BitRate>,
    /// Limit Fast Cache content delivery rate, times real time; points may grant less.
    pub fast_cache_content_delivery_rate: f64,

    /// Connections from one address, all ports together.
    pub connections_per_address: u32,
    /// New connections per second from one address.
    pub connection_rate_per_address: u32,
    /// A request head must be complete this long after its first byte or the connection's start.
    pub header_timeout: Span,
    /// A connection without a session, or a session whose peer takes no byte, is closed after this.
    pub idle_timeout: Span,
    /// An encoder that sends no media for so long within a request is cut off.
    pub push_idle_timeout: Span,
    /// An encoder's session without a request ends after this.
    pub push_inactivity_timeout: Span,
    /// Largest request head.
    pub max_head: Size,
    /// Largest request body.
    pub max_body: Size,
    /// Bytes that rings and caches may hold together, all cores.
    pub memory: Size,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            player_connections: 100_000,
            outgoing_distribution_connections: 1000,
            aggregate_player_bandwidth: None,
            aggregate_outgoing_distribution_bandwidth: None,
            bandwidth_per_player_connection: None,
            bandwidth_per_outgoing_distribution_connection: None,
            connection_rate: 5000,
            player_inactivity_timeout: Span::secs(86_400),
            connection_acknowledgement_timeout: Span::secs(60),
            fast_start_bandwidth_per_player_connection: None,
            fast_cache_content_delivery_rate: 5.0,
            connections_per_address: 1000,
            connection_rate_per_address: 500,
            header_timeout: Span::secs(10),
            idle_timeout: Span::secs(60),
            push_idle_timeout: Span::secs(60),
            push_inactivity_timeout: Span::secs(120),
            max_head: Size::kib(16),
            max_body: Size::kib(64),
            memory: Size::gib(1),
        }
    }
}

impl Limits {
    /// The Fast Cache limit in thousandths of real time.
    pub fn fast_cache_milli(&self) -> u32 {
        milli(self.fast_cache_content_delivery_rate)
    }
}

/// `[point.limits]`: for one publishing point, beside the server's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PointLimits {
    /// Limit player connections.
    pub player_connections: Option<u32>,
    /// Limit aggregate player bandwidth.
    pub aggregate_player_bandwidth: Option<BitRate>,
    /// Limit bandwidth per player connection.
    pub bandwidth_per_player_connection: Option<BitRate>,
}

/// Thousandths of a rate that was validated to be small and positive.
pub(super) fn milli(rate: f64) -> u32 {
    (rate * 1000.0).round() as u32
}
