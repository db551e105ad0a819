//! What an endpoint tells its owner, how it refuses, and why it wants to be woken.

use std::fmt;

use super::Handle;
use crate::arq;
use crate::secure::PublicKey;

/// Something happened at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody began a connection with us.
    Accepted {
        /// The new connection.
        handle: Handle,
    },
    /// Something happened on a connection.
    Connection {
        /// Which.
        handle: Handle,
        /// What.
        event: arq::Event,
    },
    /// The other side was started anew: `new` takes the place of `old`, whose own end is told as well.
    Replaced {
        /// The connection that the other side forgot.
        old: Handle,
        /// The one that it granted.
        new: Handle,
    },
    /// Somebody answers who has not the key that was expected. The attempt goes on, in case the right one answers too.
    WrongKey {
        /// The attempt.
        handle: Handle,
        /// The key that answered.
        seen: PublicKey,
    },
}

/// Why a connection was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// There is no address to try.
    NoAddress,
    /// There are as many connections as may be.
    TooMany,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("there is no address to connect to"),
            Self::TooMany => f.write_str("there are as many connections as this endpoint may hold"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Why an endpoint wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A hello is to be repeated, or the attempt given up.
    Hello,
    /// A connection's own reason.
    Connection(arq::Reason),
}

impl Reason {
    /// A word for traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Connection(reason) => reason.name(),
        }
    }
}
