//! What a front end shows, whichever it is: facts without words, colours or cursor movements.

use std::net::SocketAddr;
use std::time::Duration;

use super::relay::RelayNotice;
use crate::chat::MessageId;
use crate::peer::{CloseReason, FailReason, KeyNews, KeyOwner, Quote};
use crate::secure::PublicKey;
use crate::time::WallTime;

/// The other side of a conversation. The nick is what it claims; only the address is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Where it is.
    pub address: SocketAddr,
    /// The name that it gives itself, exactly as it came.
    pub nick: Option<String>,
}

/// Whom words go to, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// The other side of a conversation.
    Peer(Party),
    /// Everybody in a room of the relay.
    Room(String),
    /// One member of the relay.
    Member(String),
    /// Every member of the relay.
    Everyone,
}

/// How a message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the sender's own machine. All others: through the relay, which knows its members' names.
    Direct,
    /// To us alone.
    Letter {
        /// Whether it was sealed, so that the relay could not read it.
        is_sealed: bool,
    },
    /// To a room.
    Room {
        /// Which.
        room: String,
        /// Whether it is the only one that we are in, so that it need not be named.
        is_only: bool,
    },
    /// To every member of the relay.
    Everyone,
}

/// One line of `/who`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub party: Party,
    /// Whether it is there.
    pub presence: Presence,
    /// Since when it is so, on our clock.
    pub since: WallTime,
}

/// Whether the other side of a conversation is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// We said hello and wait for an answer.
    Awaited,
    /// It answered.
    Here,
    /// It was here and does not answer now.
    Silent,
    /// The conversation ended.
    Gone,
}

/// A message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its identifier.
    pub id: MessageId,
    /// To whom.
    pub to: Receiver,
    /// Its beginning; the whole text is not kept.
    pub preview: String,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The sender's identifier of it.
    pub id: MessageId,
    /// From whom.
    pub from: Party,
    /// How it came.
    pub way: Way,
    /// Whether it had been said before we came, or while we were away.
    pub is_history: bool,
    /// The text, exactly as it came.
    pub text: String,
    /// The sender's clock when it was written.
    pub sent_at: WallTime,
    /// What it answers.
    pub reply_to: Option<Quote>,
}

/// One thing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The program listens.
    Ready {
        /// Where.
        address: SocketAddr,
        /// What to type elsewhere to reach it, where that is another address.
        reachable: Option<SocketAddr>,
        /// The port that was wanted, if another program has it.
        busy: Option<u16>,
        /// Whether lines can be typed here.
        talks: bool,
        /// Whether they are for a relay.
        at_relay: bool,
        /// Our own key; None in a clear run.
        key: Option<PublicKey>,
    },
    /// The other side is there.
    Connected {
        /// Who.
        party: Party,
        /// The key that it has proved; None in a clear run.
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
        /// Whether commands can be typed here.
        can_type: bool,
        /// Whether keys that are kept outlive the run.
        is_lasting: bool,
    },
    /// What two people compare.
    Verification {
        /// With whom, in words that have been filtered.
        who: String,
        /// Our key.
        ours: PublicKey,
        /// Theirs.
        theirs: PublicKey,
        /// Whether theirs was seen in place of the known one, and waits to be accepted.
        is_seen: bool,
        /// Whether it is the relay, which compares nothing: its key has words of its own, which its operator sees.
        is_relay: bool,
    },
    /// Who we are.
    Identity(PublicKey),
    /// It goes by another name.
    Renamed {
        /// Who, with its new name.
        party: Party,
        /// The name before.
        before: Option<String>,
    },
    /// It does not answer.
    Silent(Party),
    /// It answers again.
    Resumed(Party),
    /// The conversation ended.
    Closed {
        /// With whom.
        party: Party,
        /// Why.
        reason: CloseReason,
    },
    /// A message came.
    Message(Arrival),
    /// A message of ours is on its way.
    Sent {
        /// Which.
        message: Outgoing,
        /// The whole text.
        text: String,
        /// Whether the other side is to return it.
        is_echo: bool,
    },
    /// A message that the run before this one left without a receipt is on its way again.
    SentAgain {
        /// Which.
        message: Outgoing,
        /// The whole text.
        text: String,
    },
    /// A message of ours is kept until the next start, which sends it again.
    Kept {
        /// Which.
        message: Outgoing,
    },
    /// Messages without a receipt wait until the other side is found again.
    Waiting {
        /// Who.
        party: Party,
        /// How many.
        count: usize,
    },
    /// The relay keeps a letter of ours until its receiver comes.
    Held {
        /// Which.
        message: Outgoing,
    },
    /// The other side has it.
    Delivered {
        /// Which.
        message: Outgoing,
        /// How long it took.
        rtt: Duration,
    },
    /// The other side has it not.
    Failed {
        /// Which.
        message: Outgoing,
        /// Why.
        reason: FailReason,
    },
    /// Nobody knows whether the other side has it.
    Unknown {
        /// Which.
        message: Outgoing,
    },
    /// An echo came back.
    Echoed {
        /// The echo's identifier.
        id: MessageId,
        /// From whom.
        from: Party,
        /// What came.
        text: String,
        /// How long it took.
        rtt: Duration,
    },
    /// Plain lines go to somebody else from now on.
    Receiver(Receiver),
    /// Something happened at the relay.
    Relay(RelayNotice),
    /// Everybody we talk to.
    Roster(Vec<Member>),
    /// How the commands are written.
    Help,
    /// Chatter, in words that have been filtered.
    Info(String),
    /// Something that was asked for was not done, in words that have been filtered.
    Error(String),
}
