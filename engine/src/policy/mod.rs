//! Who may come in: limits on connections, rates of connects, players and bandwidth.
//!
//! These are the few numbers that all cores share; they are touched when a connection or a
//! player comes or goes, never on the media path.

mod admission;

pub use admission::{Admission, Limiter, Player, PointLimiter, RefusedBy};
