//! The relay machine: a room is a log, a member is a cursor.
//!
//! Whatever is said goes to the ledger first. When the ledger has it, it has a position, its sender gets the receipt, and every
//! member's cursor can move over it; whoever is slow, away or new is behind, and nothing else. This module must never give a receipt
//! for what is not stored, never let one member wait for another, and hold nothing that grows with a member's slowness.

mod config;
mod event;

pub use config::{Faults, Flood, RelayConfig, RelayLimits};
pub use event::{Command, Event, Record, What};

use crate::endpoint::{self, Endpoint};
use crate::ledger::Foundation;
use crate::machine::{Path, Transmit};
use crate::time::{Instant, Now};

/// Why a relay wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The endpoint's own reason.
    Endpoint(endpoint::Reason),
}

impl Reason {
    /// A word for traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint(reason) => reason.name(),
        }
    }
}

/// A relay: many members on one socket.
#[derive(Debug)]
pub struct Relay {
    endpoint: Endpoint,
}

impl Relay {
    /// A relay without members, on what its ledger holds; its ids follow from `seed`.
    pub fn new(config: RelayConfig, _foundation: Foundation, seed: u64, _now: Now) -> Self {
        Self { endpoint: Endpoint::new(config.endpoint, seed) }
    }

    /// One datagram arrived. The bytes may be changed in place.
    pub fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, path, datagram);
    }

    /// The outside tells something.
    pub fn handle_command(&mut self, _now: Now, _command: Command) {}

    /// A deadline passed, or may have.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
    }

    /// The next datagram to send, in `buffer` (cleared and filled).
    #[must_use]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buffer)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When to call `handle_timeout` next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.endpoint.poll_timeout().map(|(at, reason)| (at, Reason::Endpoint(reason)))
    }

    /// Whether nobody is left, no job is under way, and everything was said.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        0
    }

    /// The layer below, for statistics and checkers.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
