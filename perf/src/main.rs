//! Load generators and benchmarks for Ringcast.
#[allow(dead_code)] mod asf;
#[allow(dead_code)] mod content;
#[allow(dead_code)] mod floor;
#[allow(dead_code)] mod procfs;
#[allow(dead_code)] mod stats;
#[allow(dead_code)] mod swarm;
#[allow(dead_code)] mod sys;
#[allow(dead_code)] mod wmsp;
fn main() {}
