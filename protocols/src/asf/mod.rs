//! ASF: headers, packets, indexes; what a streaming server reads, checks, rewrites and serves.
//!
//! A *header blob* is the whole Header Object and the first 50 bytes of the Data Object, as every
//! protocol carries it. A *packet* is one data packet, of full size or cut. Nothing here knows of
//! sessions, files or transports.
//!
//! The functions that run once per packet ([`packet::Packet::parse`], [`trim::trim`],
//! [`filter::Filter::apply`], [`digest::object_starts`]) allocate nothing but the room in the
//! caller's buffer.

pub mod check;
pub mod clock;
pub mod digest;
pub mod error;
pub mod file_index;
pub mod filter;
pub mod fuzz;
pub mod guid;
pub mod header;
mod header_reader;
pub mod index;
mod object_readers;
pub mod objects;
pub mod packet;
mod read;
pub mod recording;
pub mod retime;
pub mod rewrite;
pub mod seek;
pub mod select;
pub mod trim;

pub use error::{Error, Reason};
pub use filter::{Filter, Kept};
pub use guid::Guid;
pub use header::{FIXED_HEAD, Header, header_len};
pub use index::{Indexer, KeyIndex};
pub use packet::{Packet, Payload};
pub use retime::retime;
pub use rewrite::{broadcast_blob, redirect_blob};
pub use seek::{Seek, SeekStep, SeekTarget};
