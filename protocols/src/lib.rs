//! The Windows Media streaming protocols, pure: no sockets, no clock, no files, no runtime.
//!
//! Every protocol is a [`machine::Machine`]: it takes one [`machine::Input`] at a time together
//! with the current [`machine::Time`], and is then drained of [`machine::Output`] until it says
//! how long it can be left alone. Media bytes do not pass through a server machine: it describes
//! a [`media::FlowStart`] and the driver sends the packets.

mod access;
pub mod asf;
pub mod auth;
pub mod client;
pub mod content;
mod entry;
mod home;
pub mod http;
pub mod machine;
pub mod media;
pub mod mmsp;
pub mod msb;
pub mod msbd;
pub mod nsc;
pub mod playlist;
pub mod rate;
pub mod rtsp;
mod timers;
pub mod version;
pub mod wmhttp;
pub mod wmlog;
pub mod wmsp;
