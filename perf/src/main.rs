//! Load generators and benchmarks for Ringcast. See README.md beside this crate.

mod asf;
mod bench;
mod cli;
mod content;
mod encoder;
mod environment;
mod floor;
mod group;
mod link;
mod measure;
mod media;
mod mmsp;
mod pair;
mod probe;
mod procfs;
mod report;
mod rtsp;
mod scenario;
mod server;
mod stats;
mod svg;
mod swarm;
mod sys;
mod wire;
mod wmsp;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("ringcast-perf: {reason}");
            ExitCode::from(2)
        }
    }
}
