//! Thread-per-core media engine.

pub mod lanes;
pub mod ops;
pub mod ring;
pub mod rt;
