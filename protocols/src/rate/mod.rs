//! Rates: what is granted, when a packet is due, what a link can carry. Bytes and times only; nothing
//! here sends or sleeps.
//!
//! [`grant`] decides how fast a client may start, [`pacer`] turns the grant into deadlines,
//! [`profile`] computes what a player may know about its start, [`packet_pair`] writes and judges the
//! three packets that measure a link, [`bucket`] limits events and bytes over time.

pub mod bucket;
pub mod grant;
pub mod pacer;
pub mod packet_pair;
pub mod profile;
