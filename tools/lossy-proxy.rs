//! `lossy-proxy`: makes any UDP link bad on purpose, the same way every time.
//!
//! It stands between clients and a target, and leads what each sends through one direction of the bad link
//! ([`udpchat::fault`]). This file only puts the parts together: `options` reads the command line, `proxy` is
//! the loop, `flows` and `socket` are the ends towards the system, `record` is what it tells.

use std::process::ExitCode;

use clap::Parser;

#[path = "lossy_proxy/flows.rs"]
mod flows;
#[path = "lossy_proxy/options.rs"]
mod options;
#[path = "lossy_proxy/proxy.rs"]
mod proxy;
#[path = "lossy_proxy/record.rs"]
mod record;
#[path = "lossy_proxy/socket.rs"]
mod socket;

use options::Options;
use proxy::Proxy;
use record::Record;

fn main() -> ExitCode {
    let setup = Options::parse().into_setup().unwrap_or_else(|error| error.exit());
    let mut record = Record::new(&setup);
    match Proxy::start(setup, &mut record) {
        Ok(proxy) => {
            proxy.run(&mut record);
            ExitCode::SUCCESS
        }
        Err(error) => {
            record.complain(&error);
            ExitCode::FAILURE
        }
    }
}
