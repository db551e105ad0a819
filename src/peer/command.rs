//! What a front end may ask of a peer, and how it is refused.

use std::fmt;
use std::net::SocketAddr;

use super::again::Kept;
use super::trust::{KnownBy, KnownKey};
use super::{Membership, Named};
use crate::chat::{MessageId, Request};

/// Names a conversation at this peer: one other side, across reconnects. Never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub(super) u64);

/// To whom words go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The other side of a conversation.
    Peer(ConversationId),
    /// Everybody in a room of a relay.
    Room {
        /// The conversation with the relay.
        relay: ConversationId,
        /// The room, as [`crate::chat::room_name`] writes it.
        room: String,
    },
    /// One member of a relay, there or not.
    Member {
        /// The conversation with the relay.
        relay: ConversationId,
        /// The member's name.
        nick: String,
    },
    /// Every member of a relay.
    Everyone {
        /// The conversation with the relay.
        relay: ConversationId,
    },
}

impl Destination {
    /// The conversation that the words travel in.
    pub const fn conversation(&self) -> ConversationId {
        match self {
            Self::Peer(conversation)
            | Self::Room { relay: conversation, .. }
            | Self::Member { relay: conversation, .. }
            | Self::Everyone { relay: conversation } => *conversation,
        }
    }
}

impl From<ConversationId> for Destination {
    fn from(conversation: ConversationId) -> Self {
        Self::Peer(conversation)
    }
}

/// A request of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Talk to whoever answers first at these addresses (those of one name). An open conversation with one of them is found
    /// again. Answered with [`Id::Conversation`].
    Open {
        /// At least one; more than [`super::MAX_CANDIDATES`] are ignored.
        addresses: Vec<SocketAddr>,
        /// What the user called them, which is what their key is known by.
        named: Named,
    },
    /// Send a text. Answered with [`Id::Message`]; the outcome follows as exactly one of the events Delivered, Failed, Unknown.
    Say {
        /// To whom.
        to: Destination,
        /// What; at most [`crate::chat::MAX_TEXT_BYTES`], and no more than a relay takes.
        text: String,
    },
    /// Say again what an earlier run kept, before anything else, and only to the key that it is for; the conversation was opened
    /// with that. The outcomes follow as for [`Command::Say`].
    Repeat {
        /// To whom.
        to: ConversationId,
        /// What, in order.
        words: Vec<Kept>,
    },
    /// Be a member of the relay at these addresses, from now on and across reconnects; otherwise as [`Command::Open`].
    Attend {
        /// Where the relay is.
        addresses: Vec<SocketAddr>,
        /// What the user called it.
        named: Named,
        /// As whom, and where.
        membership: Membership,
    },
    /// Ask something of a relay. Answered with [`Id::Message`]; [`super::MemberEvent::Done`] follows, after what it brought. A
    /// room that was asked for is joined again after every reconnect, until it is left.
    Ask {
        /// The conversation with the relay.
        relay: ConversationId,
        /// What.
        request: Request,
    },
    /// Answer the last message that arrived from anyone, quoting it. Otherwise as [`Command::Say`].
    Reply {
        /// The answer.
        text: String,
    },
    /// Ask the other side to return a text: [`super::Event::Echoed`] follows. Otherwise as [`Command::Say`].
    Echo {
        /// From whom.
        to: ConversationId,
        /// What to return.
        text: String,
    },
    /// Use another name from now on; the open conversations are told.
    Rename {
        /// The new name.
        nick: String,
    },
    /// Send what is queued, say goodbye, and end the conversation.
    Close {
        /// Which.
        conversation: ConversationId,
    },
    /// Break a conversation's connections, for a fault on purpose: the other side is told that it was one. Nothing is tried again.
    Fail {
        /// Which.
        conversation: ConversationId,
    },
    /// Trust the key that was seen in place of a known one. [`super::KeyNews::Accepted`] follows.
    Trust {
        /// Whose.
        who: Trusted,
    },
    /// Another program of the same user keeps these keys by now; where one is another than ours, the user accepted it there.
    /// [`super::KeyNews::Accepted`] follows for each of those.
    Learn {
        /// What it is known by, and the key.
        known: Vec<(KnownBy, KnownKey)>,
    },
    /// The run is about to end: tell now what of it is kept for the next one. [`super::Event::Kept`] follows for each.
    KeepRest,
    /// Stop waiting: everything that has no outcome gets it now, and every conversation ends.
    GiveUp,
    /// Close every conversation; new ones are refused from now on. [`super::Peer::is_idle`] tells when all has ended.
    Shutdown,
}

/// Whose changed key the user accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The other side of a conversation.
    Conversation(ConversationId),
    /// Whoever is at an address, as it was typed.
    Address(String),
    /// Somebody who called us under a name.
    Caller(String),
    /// A member of a relay.
    Member {
        /// The conversation with the relay.
        relay: ConversationId,
        /// The member's name.
        nick: String,
    },
}

/// What a command made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A conversation, new or found again.
    Conversation(ConversationId),
    /// A message on its way.
    Message(MessageId),
    /// Nothing that needs a name.
    None,
}

/// Why a command was refused. Nothing was queued, nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No conversation of that name: it was closed, or never opened.
    NoConversation,
    /// `Reply` before any message came.
    NothingToReplyTo,
    /// No address at all, or none that a datagram can be sent to.
    NoAddress,
    /// The queue to this receiver is full; [`super::Event::Writable`] tells when there is room.
    WouldBlock,
    /// The text is longer than a message may be.
    TooLong {
        /// The text as it would travel, in bytes.
        bytes: usize,
        /// The most that may travel.
        limit: usize,
    },
    /// There are as many conversations as a peer may hold.
    TooManyConversations,
    /// The peer is shutting down.
    ShuttingDown,
    /// The nick is empty, too long, or has characters that a terminal would act on.
    BadNick,
    /// The conversation is with a peer, not with a relay, or one that we are no member of.
    NoMember,
    /// No other key was seen than the one that is known.
    NothingToTrust,
    /// Another key than the one that the user looked at came since.
    AnotherKeyCame,
    /// The conversation is with a relay, where words are for a room or for a member.
    NoPlace,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConversation => {
                f.write_str("there is no such conversation; name an address with /msg ADDR text")
            }
            Self::NothingToReplyTo => f.write_str("nobody has written yet, so there is nothing to reply to"),
            Self::NoAddress => f.write_str(
                "that is no address of one machine: 0.0.0.0, broadcast and multicast addresses and port 0 name none; \
                 127.0.0.1 is this machine",
            ),
            Self::WouldBlock => {
                f.write_str("too much is waiting for this receiver; try again when some was delivered")
            }
            Self::TooLong { bytes, limit } => {
                write!(
                    f,
                    "the message takes {bytes} bytes on the way, and {limit} is the most; send it in parts"
                )
            }
            Self::TooManyConversations => f.write_str("too many conversations are open; close one first"),
            Self::ShuttingDown => f.write_str("this peer is closing down"),
            Self::NoMember => {
                f.write_str("that needs a relay that we are a member of; start with --relay ADDR")
            }
            Self::NoPlace => {
                f.write_str("a relay needs to know for whom that is: name a room or a member with /to or /msg")
            }
            Self::NothingToTrust => {
                f.write_str("no key of theirs was refused, so there is none to accept; /verify shows the one that is known")
            }
            Self::AnotherKeyCame => {
                f.write_str("another key came meanwhile; /verify again, and accept it if the words are theirs")
            }
            Self::BadNick => f.write_str("a nick has 1 to 32 visible characters, without spaces"),
        }
    }
}

impl std::error::Error for CommandError {}
