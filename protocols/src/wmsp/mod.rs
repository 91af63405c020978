//! WMSP, Windows Media streaming over HTTP (MS-WMSP).

pub mod cache_control;
pub mod cdl;
pub mod client;
pub mod features;
pub mod framer;
pub mod fuzz;
pub mod packet;
pub mod pragma;
pub mod remote_event;
pub mod server;
pub mod startup;
pub mod switch;
pub mod version;
