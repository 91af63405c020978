//! MMSP, the Microsoft Media Server protocol (MS-MMSP): `mms://`, `mmst://` and `mmsu://`.

pub mod client;
pub mod framer;
pub mod hresult;
pub mod message;
pub mod names;
pub mod server;
pub mod wire;
