//! What happens in a gathering: what a hall's disk stored and its relay logged, what attendees did and saw.
//!
//! Reports only. Nothing here knows whether it should have happened.

use super::node::Fate;
use crate::chat::MessageId;
use crate::ledger::{Identity, LogKey};

/// Something at a relay.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A hall begins, on that log.
    Opened {
        /// Which log; a hall that forgets has another one in each life.
        log: u64,
    },
    /// The disk has who somebody is, and their name.
    Named {
        /// Who, as the ledger says.
        identity: Identity,
        /// The attendee, if the job told it.
        node: Option<usize>,
        /// The name, folded.
        name: String,
    },
    /// The disk did not store who somebody is: an earlier session of theirs has ended for nothing.
    Unnamed {
        /// Who.
        node: usize,
    },
    /// The disk has an entry that it did not have before.
    Stored {
        /// In which log of the ledger.
        key: LogKey,
        /// Where.
        pos: u64,
        /// By whom, as the relay says.
        author: Identity,
        /// Which words.
        id: MessageId,
        /// What.
        text: String,
        /// The room, or `*`, that they are for; None for a letter.
        room: Option<String>,
        /// The name that a letter is for.
        to: Option<String>,
        /// Whether what it says is sealed, and hidden from the relay.
        is_sealed: bool,
    },
    /// The disk did not store words.
    Rejected {
        /// Which.
        id: MessageId,
    },
    /// The relay's log: somebody became a member.
    Admitted {
        /// Under which name.
        nick: String,
        /// From where.
        node: Option<usize>,
    },
    /// The relay's log: a member has another name.
    Renamed {
        /// Before.
        before: String,
        /// Now.
        nick: String,
    },
    /// The relay's log: somebody with a name is gone.
    Dismissed {
        /// Which name.
        nick: String,
        /// Whose.
        node: Option<usize>,
    },
    /// An attendee was let in.
    Entered {
        /// Under which name.
        nick: String,
        /// The log that positions are of.
        log: u64,
    },
    /// An attendee goes by another name.
    Called {
        /// Which.
        nick: String,
    },
    /// An attendee lost the relay.
    Lost,
    /// An attendee said goodbye, or was sent away, for good.
    Left {
        /// Why.
        why: String,
    },
    /// An attendee is in a room.
    Joined {
        /// Which.
        room: String,
    },
    /// An attendee is in a room no longer.
    Parted {
        /// Which.
        room: String,
    },
    /// An attendee wants, or does not want, to be in a room.
    Wished {
        /// Which.
        room: String,
        /// Whether it does.
        is_wish: bool,
    },
    /// An attendee said something.
    Spoke {
        /// Its name.
        id: MessageId,
        /// For whom.
        to: Audience,
        /// What.
        text: String,
    },
    /// An attendee was shown something.
    Shown {
        /// Its name.
        id: MessageId,
        /// By whom.
        nick: Option<String>,
        /// In which room; None: a letter.
        room: Option<String>,
        /// What.
        text: String,
    },
    /// An attendee's words came back from the relay.
    Echoed {
        /// Which.
        id: MessageId,
        /// As what.
        text: String,
    },
    /// An attendee learned that its letter waits.
    Held {
        /// Which.
        id: MessageId,
    },
    /// An attendee learned what became of its words.
    Fate {
        /// Which.
        id: MessageId,
        /// What.
        fate: Fate,
    },
    /// An attendee stored how far it was shown.
    Noted,
    /// Something else, in a word.
    Told {
        /// What.
        what: &'static str,
    },
}

/// For whom words are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// A room.
    Room(String),
    /// Everybody.
    Everyone,
    /// Whoever goes by the name, or did last.
    Member(String),
    /// The relay.
    Relay,
}

impl Deed {
    /// A word for what occurred.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "hall-opened",
            Self::Named { .. } => "named",
            Self::Unnamed { .. } => "unnamed",
            Self::Stored { key: LogKey::Everyone, .. } => "stored-broadcast",
            Self::Stored { key: LogKey::Room(_), .. } => "stored-line",
            Self::Stored { key: LogKey::Mailbox(_), .. } => "stored-letter",
            Self::Rejected { .. } => "not-stored",
            Self::Admitted { .. } => "admitted",
            Self::Renamed { .. } => "renamed",
            Self::Dismissed { .. } => "dismissed",
            Self::Entered { .. } => "entered",
            Self::Called { .. } => "called",
            Self::Lost => "relay-lost",
            Self::Left { .. } => "left",
            Self::Joined { .. } => "joined",
            Self::Parted { .. } => "parted",
            Self::Wished { is_wish: true, .. } => "wants-in",
            Self::Wished { is_wish: false, .. } => "wants-out",
            Self::Spoke { to: Audience::Room(_), .. } => "line-said",
            Self::Spoke { to: Audience::Everyone, .. } => "broadcast-said",
            Self::Spoke { to: Audience::Member(_), .. } => "letter-said",
            Self::Spoke { to: Audience::Relay, .. } => "echo-asked",
            Self::Shown { room: None, .. } => "letter-shown",
            Self::Shown { .. } => "line-shown",
            Self::Echoed { .. } => "relay-echoed",
            Self::Held { .. } => "held",
            Self::Fate { fate: Fate::Delivered, .. } => "words-delivered",
            Self::Fate { fate: Fate::Failed(_), .. } => "words-failed",
            Self::Fate { fate: Fate::Unknown, .. } => "words-unknown",
            Self::Fate { fate: Fate::Kept, .. } => "words-kept",
            Self::Noted => "noted",
            Self::Told { what } => what,
        }
    }

    /// The words that it is about.
    pub const fn subject(&self) -> Option<&MessageId> {
        match self {
            Self::Stored { id, .. }
            | Self::Rejected { id }
            | Self::Spoke { id, .. }
            | Self::Shown { id, .. }
            | Self::Echoed { id, .. }
            | Self::Held { id }
            | Self::Fate { id, .. } => Some(id),
            _ => None,
        }
    }
}
