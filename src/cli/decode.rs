//! `udpchat decode`: datagrams in hex to JSON lines.

use super::args::DecodeArgs;
use super::exit::{Exit, Failure};

/// Runs the command.
pub(super) fn run(_flags: &DecodeArgs) -> Result<Exit, Failure> {
    Err(Failure::failed("not built yet"))
}
