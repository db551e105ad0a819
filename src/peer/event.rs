//! What a peer tells its front end.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::trust::KnownKey;
use super::{ConversationId, MemberEvent};
use crate::chat::MessageId;
use crate::secure::PublicKey;
use crate::time::WallTime;

/// Something happened. Every text in here that came from the network is exact: a front end that shows it filters it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side is there and said who it is.
    Connected {
        /// With whom; new if the other side began.
        conversation: ConversationId,
        /// Where it is.
        address: SocketAddr,
        /// The name that it gives itself, if any.
        nick: Option<String>,
        /// The key that it has proved; None in the clear.
        key: Option<PublicKey>,
    },
    /// Something is to be said of somebody's key.
    Key {
        /// Whose.
        owner: KeyOwner,
        /// Where it was seen.
        address: Option<SocketAddr>,
        /// What.
        news: KeyNews,
    },
    /// The other side goes by another name now.
    Renamed {
        /// Who.
        conversation: ConversationId,
        /// The name before, if any.
        before: Option<String>,
        /// The name now.
        nick: String,
    },
    /// Nothing was heard for so long that a new connection is tried beside the old one.
    Silent {
        /// Who.
        conversation: ConversationId,
        /// Where it was last.
        address: SocketAddr,
    },
    /// A silent partner is back, and nothing was lost.
    Resumed {
        /// Who.
        conversation: ConversationId,
        /// Where it is now.
        address: SocketAddr,
    },
    /// The connection ended; a later message to the same conversation begins a new one.
    Closed {
        /// With whom.
        conversation: ConversationId,
        /// Where it was last.
        address: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// A message arrived, whole and unchanged, and was confirmed to its sender.
    Message(Incoming),
    /// The text of an [`super::Command::Echo`] came back.
    Echoed {
        /// The echo's own identifier.
        id: MessageId,
        /// From whom.
        conversation: ConversationId,
        /// What came back.
        text: String,
        /// From the command to the return.
        rtt: Duration,
    },
    /// The receiver's own word: it has the message (UC-CHAT-012).
    Delivered {
        /// Which.
        id: MessageId,
        /// From the command to the receipt.
        rtt: Duration,
    },
    /// The message was not and will not be shown to the receiver.
    Failed {
        /// Which.
        id: MessageId,
        /// Why.
        reason: FailReason,
    },
    /// The connection died after the message was sent and before it was confirmed: it may have arrived.
    Unknown {
        /// Which.
        id: MessageId,
    },
    /// The run ends before its outcome came; the next one with the same profile says it again. That is the last that this one
    /// tells of it.
    Kept {
        /// Which.
        id: MessageId,
    },
    /// Words wait for the other side to be found again, which is called until then. Told once, after how the connection ended.
    Waiting {
        /// With whom.
        conversation: ConversationId,
        /// Where it was.
        address: SocketAddr,
        /// How many have no receipt.
        count: usize,
    },
    /// A relay keeps the letter until its receiver comes; Delivered or Failed follows.
    Held {
        /// Which.
        id: MessageId,
    },
    /// Something happened at a relay.
    Member {
        /// The conversation with the relay.
        relay: ConversationId,
        /// What.
        event: MemberEvent,
    },
    /// There is room again after [`super::CommandError::WouldBlock`].
    Writable {
        /// To whom.
        conversation: ConversationId,
    },
}

/// Whose key it is, as the user would call them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// Whoever is at an address, as it was typed.
    Address(String),
    /// Somebody who called us and gave itself a name. From the network.
    Caller(String),
    /// A member of a relay. From the network.
    Member(String),
}

/// What is to be said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNews {
    /// It was met for the first time, and is the known one from now on.
    New {
        /// The key.
        key: PublicKey,
        /// Whether it is; there may be no room for it.
        is_kept: bool,
    },
    /// A caller proved a key that is known.
    Known(KnownKey),
    /// Another one answered, and gets no words.
    Changed {
        /// The key that was expected.
        expected: PublicKey,
        /// What is known of it; None if it was typed, or is known for this run only.
        known: Option<KnownKey>,
        /// The key that answered.
        seen: PublicKey,
        /// The user typed the expected one, so that it counts more than whatever is known.
        is_typed: bool,
    },
    /// A caller has a name that is known under another key.
    Other {
        /// What is known under that name.
        known: KnownKey,
        /// The caller's key.
        seen: PublicKey,
    },
    /// The user said that it is the right one.
    Accepted {
        /// What was known before.
        before: Option<KnownKey>,
        /// The key.
        key: PublicKey,
    },
}

/// A message from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The sender's identifier of the message.
    pub id: MessageId,
    /// Which conversation it belongs to; [`super::Command::Say`] with it answers.
    pub conversation: ConversationId,
    /// Through a relay: the room that it was said in, or [`crate::chat::EVERYONE`]; None for a letter to us alone.
    pub room: Option<String>,
    /// Whether it came through a relay. Then nick and address are the sender's, as the relay sees them.
    pub is_relayed: bool,
    /// Whether it had been said before we came, or while we were away.
    pub is_history: bool,
    /// Of a letter: whether it was sealed by its sender for us alone, so that the relay could not read it.
    pub is_sealed: bool,
    /// The address it came from.
    pub address: SocketAddr,
    /// The name that the sender gives itself, if any.
    pub nick: Option<String>,
    /// What was written.
    pub text: String,
    /// The sender's clock when it was written.
    pub sent_at: WallTime,
    /// The message that this one answers.
    pub reply_to: Option<Quote>,
}

/// The message that a reply answers, as the reply quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Its identifier.
    pub id: MessageId,
    /// Its text.
    pub text: String,
    /// Its sender's clock.
    pub sent_at: WallTime,
}

/// Why a conversation's connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The other side said goodbye.
    ByPeer {
        /// The other side's words, possibly empty. From the network.
        words: String,
    },
    /// The other side broke the connection on purpose, to show what happens.
    Fault {
        /// The other side's words, possibly empty. From the network.
        words: String,
    },
    /// Another program of the same person came in, and a relay has everybody once.
    Replaced,
    /// We said goodbye.
    ByUs,
    /// Nobody answered the attempts to connect.
    NoAnswer {
        /// What an unauthenticated answer claimed meanwhile, such as an unknown version. From the network.
        hint: Option<String>,
    },
    /// Nobody answered but somebody who has not the key that was expected.
    WrongKey {
        /// The key of whoever answered.
        seen: PublicKey,
    },
    /// The other side was silent for too long.
    Silent,
    /// The other side started anew and knows nothing of the connection.
    Restarted,
    /// The other side broke the protocol; the text says which rule.
    Violation {
        /// The rule.
        rule: &'static str,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer { words } if words.is_empty() => f.write_str("the other side left"),
            Self::ByPeer { words } => write!(f, "the other side left: {words}"),
            Self::Fault { words } if words.is_empty() => f.write_str("a fault switch failed the connection"),
            Self::Fault { words } => write!(f, "the connection failed: {words}"),
            Self::Replaced => f.write_str("another program came in as you, so this one is out"),
            Self::ByUs => f.write_str("closed here"),
            Self::NoAnswer { hint: None } => f.write_str("no answer"),
            Self::NoAnswer { hint: Some(hint) } => {
                write!(f, "no answer that could be used; somebody said: {hint}")
            }
            Self::WrongKey { seen } => write!(f, "somebody with another key answered: {seen}"),
            Self::Silent => f.write_str("the other side fell silent"),
            Self::Restarted => f.write_str("the other side was started anew"),
            Self::Violation { rule } => write!(f, "the other side broke the protocol: {rule}"),
        }
    }
}

/// Why a message failed. In every case the receiver has not shown it and will not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// Nobody answered at that address, so it was never sent.
    NoAnswer,
    /// The connection ended before it was sent.
    NotSent,
    /// Somebody else's key answered, so it was not sent.
    WrongKey,
    /// It was not sent: the receiver's name has another key than the one that we know.
    OtherKey {
        /// The name.
        nick: String,
    },
    /// It arrived intact and was refused.
    Refused {
        /// The receiver's words. From the network.
        words: String,
    },
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer"),
            Self::NotSent => f.write_str("the connection ended before it was sent"),
            Self::WrongKey => f.write_str("another key answered, so it was not sent"),
            Self::OtherKey { nick } => {
                write!(f, "not sent: {nick} has another key than before; /verify {nick}, then /trust {nick}")
            }
            Self::Refused { words } => write!(f, "refused: {words}"),
        }
    }
}
