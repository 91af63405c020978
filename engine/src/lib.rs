//! Thread-per-core media engine: rings, lanes, pacing, publishing points.
//!
//! [`Server`] is all that a program needs; the modules are public so that their documentation is
//! read and their parts are tested.

pub mod archive;
pub mod front;
pub mod lanes;
pub mod multicast;
pub mod ops;
pub mod points;
pub mod policy;
pub mod pull;
pub mod ring;
pub mod rt;
mod server;
pub mod shard;
pub mod source;

pub use server::{Addresses, Feed, NotTaken, ReloadReport, Server, SourceState, StartError};
