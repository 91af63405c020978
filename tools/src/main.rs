//! The `ringcast` command: the server and the tools around it.
//!
//! Exit codes of every command: 0 fine, 1 the thing asked was false, 2 it could not be found out.

mod arrivals;
mod commands;
mod datagrams;
mod driver;
mod http;
mod logging;
mod notify;
mod output;

use clap::{Parser, Subcommand};
use output::Output;
use std::process::ExitCode;

/// A Windows Media streaming server for Linux, and its tools
#[derive(Parser)]
#[command(name = "ringcast", version, max_term_width = 100)]
struct Cli {
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    logging: logging::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(commands::serve::Args),
    /// Run a server with bundled content on this machine's loopback address
    Demo(commands::demo::Args),
    /// Say whether a configuration is valid, and what is wrong with it
    Check(commands::check::Args),
    /// Push ASF to a publishing point, as an encoder does
    Push(commands::push::Args),
    /// Serve ASF as an encoder that servers fetch it from
    Encode(commands::encode::Args),
    /// Play a URL without decoding and say what came
    Probe(commands::probe::Args),
    /// Set or delete a user of points that ask for a password
    Passwd(commands::passwd::Args),
    /// Inspect, verify or index an ASF file
    Asf(commands::asf::Args),
    /// List what an .asx file or a [Reference] file points to
    Asx(commands::asx::Args),
    /// Read and write station files of multicast, .nsc
    Nsc(commands::nsc::Args),
    /// Read client logs: server log files, XML logs, binary MMS logs
    Wmlog(commands::wmlog::Args),
    /// Watch a running server
    Top(commands::top::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json };
    let answer = match cli.command {
        Command::Serve(args) => commands::serve::run(&args, &cli.logging, output),
        Command::Demo(args) => commands::demo::run(&args, &cli.logging, output),
        Command::Check(args) => commands::check::run(&args, output),
        Command::Push(args) => commands::push::run(&args, output),
        Command::Encode(args) => commands::encode::run(&args, &cli.logging, output),
        Command::Probe(args) => commands::probe::run(&args, output),
        Command::Passwd(args) => commands::passwd::run(&args, output),
        Command::Asf(args) => commands::asf::run(&args, output),
        Command::Asx(args) => commands::asx::run(&args, output),
        Command::Nsc(args) => commands::nsc::run(&args, output),
        Command::Wmlog(args) => commands::wmlog::run(&args, output),
        Command::Top(args) => commands::top::run(&args, output),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(what) => {
            output.failed(&what);
            ExitCode::from(2)
        }
    }
}
