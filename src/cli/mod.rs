//! From the command line to a running program, and back to an exit code.
//!
//! Each command is one handler of [`crate::io::event_loop`]; nothing imports this module but the program itself.

pub mod args;
mod attendee;
mod counts;
mod decode;
mod directory;
pub mod exit;
mod identity;
mod keeping;
mod keys;
mod listen;
mod peer;
mod relay;
mod send;
mod station;
mod talk;

use std::env;
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;

use crate::io::logging;
use crate::io::output::Output;
use args::{Arguments, Command};

/// Runs the program: reads the arguments, does what they say.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(log_level(arguments.verbose));
    let result = match &arguments.command {
        Command::Peer(flags) => peer::run(flags),
        Command::Relay(flags) => relay::run(flags),
        Command::Send(flags) => send::run(flags),
        Command::Listen(flags) => listen::run(flags),
        Command::Id(flags) => keys::show(flags),
        Command::Trust(flags) => keys::trust(flags),
        Command::Decode(flags) => decode::run(flags),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            complain(&failure.to_string());
            failure.exit.into()
        }
    }
}

/// A sentence on standard error.
fn complain(text: &str) {
    let mut stderr = Output::stderr();
    stderr.push_line(&format!("udpchat: {text}"));
    stderr.flush();
}

/// The flag wins over the environment, as everywhere. Errors only by default: what a user must know is told in other ways.
fn log_level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => env::var("UDPCHAT_LOG").ok().and_then(|name| name.parse().ok()).unwrap_or(LevelFilter::Error),
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}
