//! Ringcast played by the programs that people play it with.
//!
//! Each test plays something from a real server with a real player and compares what the player
//! got with the file: the frames it decoded, or the payloads it received. Expectations are derived
//! from the files with the same tools, never written down by hand.
//!
//! A player that is not installed skips its tests, unless `CI` is set: then it fails them.

mod archive;
mod auth;
mod cores;
mod demo;
mod encode;
mod live;
mod mms_control;
mod mms_live;
mod mms_play;
mod mms_refuse;
mod mms_seek;
mod mms_wire;
mod multicast;
mod on_demand;
mod own_client;
mod rtsp_live;
mod rtsp_play;
mod rtsp_select;
mod seek;
mod selection;
mod support;
mod wire;
