//! What a connection tells its owner, and how it refuses.

use std::fmt;

use crate::machine::Path;
use crate::secure::PublicKey;

/// Something happened on a connection. Payloads stay where they are until they are taken; events only announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete.
    Connected,
    /// A stream has messages to take.
    Readable {
        /// Which.
        stream: u32,
    },
    /// Unreliable messages are there to take.
    GramReadable,
    /// A message's fate is known; told once for each message.
    Outcome {
        /// Its stream.
        stream: u32,
        /// Its number.
        seq: u64,
        /// Its fate.
        outcome: Outcome,
    },
    /// Messages whose outcome nobody wants ([`super::SendOptions::is_quiet`]) arrived, or will not: once for all of them.
    Settled,
    /// There is room again after [`SendError::WouldBlock`].
    Writable,
    /// An answer has been owed for so long that a fresh hello is worth trying.
    Silent,
    /// The silent side was heard again.
    Resumed,
    /// The other side proved that it is at another address now.
    Moved {
        /// Where.
        path: Path,
    },
    /// The connection is over; nothing follows.
    Closed(Closed),
}

/// What became of a message, as far as this layer can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it, whole and unchanged.
    Arrived,
    /// Its deadline passed before any of it was sent.
    Expired,
    /// The connection ended before any of it was sent.
    NotSent,
    /// It was sent, and then given up or cut off: it may have arrived.
    Unknown,
    /// The other side accepts nothing that long. Nothing was sent.
    TooLong,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We closed it.
    ByUs,
    /// The other side closed it.
    ByPeer {
        /// The code, from the registry or not.
        code: String,
        /// For people. From the network.
        reason: String,
    },
    /// Nobody answered the hellos.
    NoAnswer {
        /// What an unauthenticated answer claimed. From the network.
        hint: Option<String>,
    },
    /// Nobody answered but somebody who has not the key that was expected.
    WrongKey {
        /// The key of whoever answered.
        seen: PublicKey,
    },
    /// The other side was silent for too long.
    Silent,
    /// The other side was started anew.
    Restarted,
    /// The other side broke a rule.
    Violation(Violation),
}

/// A rule that the other side broke; the connection is closed with it (UC-CLOSE-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// More bytes or messages than the windows allowed (UC-STR-009).
    WindowOverrun,
    /// A stream that was not granted (UC-STR-002).
    StreamLimit,
    /// A message longer than was accepted (UC-STR-005).
    MessageLimit,
    /// Parts that contradict each other about the message's end (UC-STR-006).
    PartMismatch,
    /// Parts so short and so far apart that their holes would fill the memory (UC-STR-006).
    Scattered,
}

impl Violation {
    /// The rule in a few words.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::WindowOverrun => "it sent more than it was allowed to",
            Self::StreamLimit => "it used a stream that it was not granted",
            Self::MessageLimit => "it sent a message longer than accepted",
            Self::PartMismatch => "its fragments contradict each other",
            Self::Scattered => "its fragments are too short and too far apart",
        }
    }
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Too much is waiting; [`Event::Writable`] tells when there is room.
    WouldBlock,
    /// The other side accepts no message of that length.
    TooLong {
        /// The most bytes.
        limit: u64,
    },
    /// The other side granted fewer streams.
    NoSuchStream {
        /// How many; they are numbered from 0.
        limit: u32,
    },
    /// The connection is closing or closed.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => {
                f.write_str("too much is waiting already; try again when some of it has arrived")
            }
            Self::TooLong { limit } => write!(f, "the other side accepts messages of at most {limit} bytes"),
            Self::NoSuchStream { limit } => write!(f, "the other side granted {limit} streams"),
            Self::Closed => f.write_str("the connection is closing"),
        }
    }
}

impl std::error::Error for SendError {}
