//! What an operator sees of the server: configuration, counters, the admin port, log files and
//! the checks before it starts. Nothing here touches media, and nothing here runs on a core's
//! thread except the counters.

pub mod admin;
pub mod config;
pub mod log;
pub mod metrics;
pub mod startup;
pub(crate) mod sys;
