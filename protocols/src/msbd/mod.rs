//! MSBD: live content from an encoder or a server to a server (MS-MSBD).
//!
//! The one who receives the media connects. There is no authentication, no choice of content and no
//! seeking: each listening port is one publishing point. Media comes on the connection, or to a multicast group
//! beside it.

pub mod caster;
pub mod client;
pub mod framer;
pub mod fuzz;
pub mod hresult;
pub mod server;
mod stream;
pub mod wire;

pub use stream::stream_id;

/// The customary port; none is assigned (MSBD-03).
pub const PORT: u16 = 7007;

/// The only name of a channel in use: it says that the stream is ASF (MSBD-27).
pub const CHANNEL: &str = "NetShow";
