//! What every stack under test must be able to do, and nothing that only one of them can.
//!
//! An end has no socket and no clock: whoever measures hands it datagrams and moments, so all of them meet the same link in the
//! same loop.

use std::net::SocketAddr;

use udpchat::machine::Transmit;
use udpchat::time::{Instant, Now};

/// A stack with its settings.
pub trait Stack: Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// How it is set up, for readers.
    fn settings(&self) -> String;

    /// Whether it repeats what was lost. If not, nothing is waited for.
    fn is_reliable(&self) -> bool {
        true
    }

    /// Whether it may find out that a path takes longer datagrams than Ethernet: then it is measured beside its like.
    fn is_large(&self) -> bool {
        false
    }

    /// One end of a connection, made in the thread that it stays in.
    fn end(&self, now: Now, meeting: &Meeting) -> Box<dyn End>;
}

/// One end of one connection.
pub trait End {
    /// A datagram came.
    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]);

    /// The moment that [`Self::poll_timeout`] named has come.
    fn handle_timeout(&mut self, now: Now);

    /// What is to be sent next, in `buffer`.
    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit>;

    /// When to call [`Self::handle_timeout`]; asked after [`Self::poll_transmit`] had nothing more.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// How the connection is.
    fn state(&self) -> State;

    /// Takes a message to send, reliably and in order; false if it has no room.
    fn send(&mut self, now: Now, message: &[u8]) -> bool;

    /// The next message that came, into `message`, whose former content is of no account; false if there is none.
    fn receive(&mut self, now: Now, message: &mut Vec<u8>) -> bool;
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet there.
    Opening,
    /// Messages may be sent.
    Open,
    /// It was given up.
    Dead,
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It calls, and sends the messages.
    Sender,
    /// It is called, and takes them.
    Receiver,
}

/// What an end is for.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Which of the two.
    pub side: Side,
    /// Where the other one is.
    pub remote: SocketAddr,
    /// What it will do; a stack may have a better setting for one than for the other.
    pub purpose: Purpose,
    /// Every message's length.
    pub message_bytes: usize,
    /// For identifiers and keys.
    pub seed: u64,
}

/// What a connection will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Few small messages, each as soon as possible.
    Latency,
    /// Many megabytes, as many a second as possible, through a link.
    Bulk,
    /// The same between two threads of one machine.
    Loopback,
}

/// The longest datagram under IPv4, for those that may look for it.
pub const LARGE_DATAGRAM_BYTES: usize = udpchat::wire::MAX_DATAGRAM_BYTES;

/// The longest datagram that all others may send: what passes Ethernet under IPv6, and quinn's own upper bound.
pub const MAX_DATAGRAM_BYTES: usize = 1_452;
