//! Station files, `.nsc`: what a receiver of a multicast needs to know (MS-MSB 2.2.1; msb-nsc.md 9).
//!
//! They are ASCII text. What is not, and in practice everything that is no number, stands in *encoded
//! blocks* ([`block`]); the ASF headers of the station do so under their Format IDs ([`FormatIds`]).

pub mod block;
pub mod formats;
pub mod fuzz;
mod properties;
pub mod read;
pub mod station;
pub mod write;

pub use formats::FormatIds;
pub use read::{ReadError, Reading, read};
pub use station::{Format, Station};
pub use write::{Style, WriteError};

/// What a server says that a station file is.
// NSC-43
pub const CONTENT_TYPE: &str = "video/x-ms-asf";

/// What a server says to caches of station files.
// NSC-43
pub const CACHE_CONTROL: &str = "no-cache";

/// Longest line that is read, bytes: a header of 65,531 bytes takes 87,389 characters.
// NSC-39
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// Largest file that is read, bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
