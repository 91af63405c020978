//! Who may come in: limits on connections, rates of connects, players and bandwidth, and proof of
//! who a client is.
//!
//! These are the few numbers that all cores share; they are touched when a connection or a
//! player comes or goes, never on the media path.

mod admission;
mod credentials;
pub mod users;

pub use admission::{Admission, Limiter, Player, PointLimiter, RefusedBy};
pub use credentials::{Guard, Verdict, ha1_for};
