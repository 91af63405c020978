//! WMHTTP: an encoder pushes a live stream to a publishing point, over HTTP (MS-WMHTTP).

pub mod client;
pub mod frame;
pub mod fuzz;
pub mod request;
pub mod server;
