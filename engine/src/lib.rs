//! Thread-per-core media engine.
pub mod rt;
pub mod lanes;
pub mod ring;
