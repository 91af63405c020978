//! Where media comes from: files, and the cache of their framed pieces.

mod cache;
mod file;
mod indexing;
mod intake;
mod looped;
mod path;

pub use cache::{Cache, Piece, RawChunk, Variant};
pub use file::{AsfFile, CHUNK_BYTES, FileFacts, Growth, OpenError, average_bit_rate, open_facts};
pub use indexing::Indexing;
pub use intake::Intake;
pub use looped::LoopSource;
pub use path::{Root, segments};
