//! WMSP, Windows Media streaming over HTTP (MS-WMSP).

pub mod framer;
pub mod packet;
pub mod pragma;
pub mod switch;
pub mod version;
