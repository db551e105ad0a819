//! The peer machine. (to be written)

mod command;
mod event;

pub use command::{Command, CommandError, ConversationId, Id};
pub use event::{CloseReason, Event, FailReason, Incoming, Quote};

use crate::machine::{Path, Transmit};
use crate::time::{Instant, Now};

/// The most addresses of one name that are tried.
pub const MAX_CANDIDATES: usize = 8;

/// What a peer is started with.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// The name shown to others.
    pub nick: Option<String>,
    /// The port that the socket is bound to, for the address fields of messages.
    pub local_port: u16,
    /// How long to go on saying hello before a conversation is given up as unanswered.
    pub connect_timeout: std::time::Duration,
}

/// A peer: many conversations on one socket.
#[derive(Debug)]
pub struct Peer {}

/// Why a peer wants to be woken.
pub type Reason = &'static str;

impl Peer {
    /// A peer; `seed` makes its connection ids and message ids.
    pub fn new(_config: PeerConfig, _seed: u64, _now: Now) -> Self {
        Self {}
    }
    /// One datagram arrived. The bytes may be changed in place.
    pub fn handle_datagram(&mut self, _now: Now, _path: Path, _datagram: &mut [u8]) {}
    /// The user wants something.
    pub fn handle_command(&mut self, _now: Now, _command: Command) -> Result<Id, CommandError> {
        Ok(Id::None)
    }
    /// A deadline passed.
    pub fn handle_timeout(&mut self, _now: Now) {}
    /// The next datagram to send, in `buffer` (cleared and filled).
    pub fn poll_transmit(&mut self, _now: Now, _buffer: &mut Vec<u8>) -> Option<Transmit> {
        None
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// When to call `handle_timeout` next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        None
    }
    /// A number that grows whenever the other side acknowledged something: for "time without progress".
    pub fn progress(&self) -> u64 {
        0
    }
    /// Messages whose outcome is still open.
    pub fn pending_messages(&self) -> usize {
        0
    }
    /// After `Shutdown`: nothing left to send or to wait for.
    pub fn is_idle(&self) -> bool {
        true
    }
}
