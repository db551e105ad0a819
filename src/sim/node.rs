//! What every participant of a simulation can do, and what it tells of itself.
//!
//! A node is a shipped machine and the application above it. It reports what its application does and sees; it never judges.

use std::fmt;
use std::net::SocketAddr;

use super::attendee::Diary;
use super::chatter::Shelf;
use super::deed::Deed;
use super::disk::Disk;
use super::scenario::Action;
use crate::arq::{Closed, Outcome};
use crate::chat::MessageId;
use crate::endpoint::Endpoint;
use crate::machine::{Path, Transmit};
use crate::peer::{self, ConversationId, SeenLetter};
use crate::time::{Instant, Now};
use crate::wire::ConnectionId;

/// The verbs of the machines, and the wishes of the script.
pub trait Node: fmt::Debug {
    /// One datagram arrived.
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]);

    /// A deadline passed, or may have.
    fn handle_timeout(&mut self, now: Now);

    /// The next datagram to send.
    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit>;

    /// When to call `handle_timeout` next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Takes all events and everything that can be taken, and reports it.
    fn follow(&mut self, now: Now, reports: &mut Vec<Report>);

    /// Does what the script says, as far as it is the application's to do.
    fn act(&mut self, now: Now, wish: &Wish<'_>, reports: &mut Vec<Report>);

    /// The endpoint inside, for the checkers.
    fn endpoint(&self) -> &Endpoint;

    /// Whether it reports every connection and every message of them.
    fn is_reporting(&self) -> bool;

    /// Whether nothing is left to do: no connection, no message without an outcome.
    fn is_idle(&self) -> bool;

    /// What its program leaves to the next one when it is killed.
    fn estate(&mut self) -> Estate {
        Estate::Nothing
    }

    /// Whether its program was killed in the middle of what it did, and has to be started anew.
    fn has_fallen(&self) -> bool {
        false
    }

    /// Of a hall: how many members it says that it has, and how many rooms with somebody in them.
    fn attendance(&self) -> Option<(usize, usize)> {
        None
    }
}

/// What outlives a program.
#[derive(Debug)]
pub enum Estate {
    /// Nothing.
    Nothing,
    /// A hall's disk, with what was committed.
    Disk(Box<Disk>),
    /// What an attendee had stored.
    Diary(Box<Diary>),
    /// What a chatter had written down.
    Shelf(Box<Shelf>),
}

impl Estate {
    /// The sealed letters that an attendee was shown.
    pub fn letters(&self) -> Vec<SeenLetter> {
        if let Self::Diary(diary) = self { diary.letters.clone() } else { Vec::new() }
    }
}

/// A line of the script as a node gets it.
#[derive(Debug)]
pub struct Wish<'a> {
    /// What to do.
    pub action: &'a Action,
    /// Where the node that it names is now.
    pub address: Option<SocketAddr>,
    /// What the contents of messages follow from; different for every line.
    pub key: u64,
}

/// What a node's application did or saw.
#[derive(Clone, Debug)]
pub enum Report {
    /// It began a connection.
    Dialled {
        /// The connection, by the node's own name for it.
        id: ConnectionId,
        /// Where to.
        to: SocketAddr,
    },
    /// Somebody began a connection with it.
    Accepted {
        /// The connection.
        id: ConnectionId,
    },
    /// A handshake is complete.
    Connected {
        /// The connection.
        id: ConnectionId,
        /// The other side's name for it.
        remote: ConnectionId,
    },
    /// It queued a message.
    Submitted {
        /// On which connection.
        id: ConnectionId,
        /// On which stream.
        stream: u32,
        /// Under which number.
        seq: u64,
        /// What.
        message: Submission,
    },
    /// A message was not queued.
    Refused {
        /// Why.
        why: &'static str,
    },
    /// It took a message.
    Delivered {
        /// Of which connection.
        id: ConnectionId,
        /// Of which stream.
        stream: u32,
        /// Its number.
        seq: u64,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// It learned what became of a message.
    Outcome {
        /// Of which connection.
        id: ConnectionId,
        /// Of which stream.
        stream: u32,
        /// Its number.
        seq: u64,
        /// What.
        outcome: Outcome,
    },
    /// It queued an unreliable message.
    GramSubmitted {
        /// On which connection.
        id: ConnectionId,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// It took an unreliable message.
    GramDelivered {
        /// Of which connection.
        id: ConnectionId,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// Something else happened on a connection.
    Noted {
        /// On which.
        id: ConnectionId,
        /// What, in a word.
        what: &'static str,
    },
    /// A connection is over.
    Closed {
        /// Which.
        id: ConnectionId,
        /// Why.
        closed: Closed,
    },
    /// It asked for the end of a connection.
    Closing {
        /// Which.
        id: ConnectionId,
    },
    /// An event named a connection that was never announced, or that was over.
    Stray {
        /// The event.
        what: String,
    },
    /// It stopped taking messages, or takes them again.
    Reading {
        /// Whether it does.
        on: bool,
    },
    /// A chatter's user named an address.
    Named {
        /// Which.
        to: SocketAddr,
    },
    /// A chatter said something.
    Said {
        /// Its name.
        id: MessageId,
        /// To which node.
        to: SocketAddr,
        /// In which of its conversations; unknown of replies.
        conversation: Option<ConversationId>,
        /// What.
        text: String,
        /// Whether it is to be returned, not shown.
        is_echo: bool,
    },
    /// A chatter was shown something.
    Shown {
        /// Its name.
        id: MessageId,
        /// What.
        text: String,
        /// The text that it answers.
        original: Option<(MessageId, String)>,
    },
    /// A chatter learned what became of its words.
    Fate {
        /// Which words.
        id: MessageId,
        /// What.
        fate: Fate,
    },
    /// A chatter wrote words down that are to outlive its program, or took them off its disk.
    Kept {
        /// Which.
        id: MessageId,
        /// Whether they are there.
        is_kept: bool,
    },
    /// A chatter says again what an earlier run kept.
    SaidAgain {
        /// Which words.
        id: MessageId,
        /// In which of this run's conversations.
        conversation: ConversationId,
    },
    /// A chatter was killed when it had shown something and not written it down.
    Unnoted {
        /// What.
        id: MessageId,
    },
    /// A chatter was killed when it had taken words off its disk and not told their fate: better untold than told and untrue.
    Untold {
        /// Which words.
        id: MessageId,
    },
    /// A chatter's text came back.
    Echoed {
        /// Which.
        id: MessageId,
        /// As what.
        text: String,
    },
    /// A chatter was told something about a conversation.
    Told {
        /// What, in a word.
        what: &'static str,
    },
    /// Something at a relay.
    Deed(Deed),
}

/// What became of a chatter's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has them.
    Delivered,
    /// It was not and will not be shown.
    Failed(peer::FailReason),
    /// Nobody can tell.
    Unknown,
    /// It goes again after the next start.
    Kept,
}

/// A message as the harness remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Its content follows from this.
    pub key: u64,
    /// Its length in bytes.
    pub length: usize,
    /// Whether it waits for none.
    pub unordered: bool,
    /// When it is given up.
    pub deadline: Option<Instant>,
}

impl Submission {
    /// Its bytes.
    pub fn body(&self) -> Vec<u8> {
        body(self.key, self.length)
    }
}

/// Bytes that follow from a key: with eight of them or more, no two keys share any.
pub fn body(key: u64, length: usize) -> Vec<u8> {
    let mut random = crate::random::Random::from_seed(key);
    let mut body = Vec::with_capacity(length + 8);
    while body.len() < length {
        body.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    body.truncate(length);
    body
}

/// A text that follows from a key: letters, and now and then a character of several bytes or one that JSON must escape.
pub fn text(key: u64, length: usize) -> String {
    const ALPHABET: [char; 16] =
        ['a', 'e', 'i', 'o', 'u', 'r', 's', 't', 'n', 'd', ' ', ' ', '"', '\n', 'ç', '日'];
    let mut random = crate::random::Random::from_seed(key);
    let mut text = String::with_capacity(length + 4);
    while text.len() < length {
        // Below 16, so it is an index of the alphabet.
        text.push(ALPHABET[random.below(16) as usize]);
    }
    text
}
