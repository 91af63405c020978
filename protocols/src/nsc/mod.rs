//! Station files, `.nsc`: what a receiver of a multicast needs to know (MS-MSB 2.2.1).

pub mod formats;

pub use formats::FormatIds;
