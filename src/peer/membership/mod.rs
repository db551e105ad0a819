//! Being a member of a relay: what the user wants there, and what must be remembered between two runs.
//!
//! The machine is spread over the files beside: `command` takes what the user wants, `send` brings it out, `hear` and `news` take
//! what comes, `reconnect` finds a lost relay again; `member` and `outbox` are what they keep. It must never show a line twice,
//! tell two outcomes of the same words, or believe that it is in a room because somebody says so unasked.

mod command;
mod hear;
mod letters;
mod letters_seen;
mod member;
mod news;
mod outbox;
mod reconnect;
mod send;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ConversationId, Event, Peer};
use crate::chat::{Attendance, MessageId, Moderation, News, RefusalCode, Request};
use crate::secure::Secret;
pub(super) use letters::Seal;
pub(super) use letters_seen::SeenLetters;
pub use letters_seen::{MAX_SEEN as MAX_SEEN_LETTERS, SeenLetter, latest_letters};
pub(super) use member::{Member, Reconnect};
pub(super) use reconnect::is_worth_another_try;

/// As whom to be at a relay, and in which rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The name to go by.
    pub nick: String,
    /// Proves to the relay that the same person comes back. Secret.
    pub token: String,
    /// The rooms to join as soon as the relay lets us in.
    pub rooms: Vec<RoomWish>,
    /// What was shown in earlier runs; empty for a newcomer.
    pub memory: RelayMemory,
    /// How long to try to reach a relay again that was lost, before everything without an outcome becomes unknown and the
    /// conversation ends. None: for ever.
    pub patience: Option<Duration>,
    /// Whether a relay that never answered is tried again as well, as one that was lost is: somebody who was started before
    /// the relay waits for it. Otherwise the first attempt that nobody answers ends the conversation.
    pub keep_calling: bool,
}

/// A room to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomWish {
    /// Which, as [`crate::chat::room_name`] writes it.
    pub room: String,
    /// How many earlier lines to show at the first join, whatever was shown before. None: what was missed since the last run,
    /// everything for a newcomer. [`u64::MAX`] is all of them.
    pub history: Option<u64>,
    /// For a room that has one. Secret.
    pub password: Option<Secret>,
}

/// How far a member has been shown the logs of a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayMemory {
    /// The log that the positions are of.
    pub log: Option<String>,
    /// The runs of the relay that it told last: by them it knows whether its ledger was restored from a copy since.
    pub runs: Vec<String>,
    /// The last letter that was shown.
    pub letters_after: u64,
    /// The last message to everyone that was shown; None before the first entry.
    pub everyone_after: Option<u64>,
    /// The last line of each room that was shown.
    pub rooms: BTreeMap<String, u64>,
    /// Letters that were not shown, and why: if one comes again, because the relay never had the receipt, it gets the same.
    pub letters_refused: BTreeMap<u64, RefusalCode>,
}

impl RelayMemory {
    /// Refusals that are kept; their receipts reach the relay within moments.
    const MAX_REFUSED: usize = 256;

    pub(super) fn refuse_letter(&mut self, pos: u64, code: RefusalCode) {
        self.letters_refused.insert(pos, code);
        if self.letters_refused.len() > Self::MAX_REFUSED {
            self.letters_refused.pop_first();
        }
    }
}

/// Why a relay refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people. From the network.
    pub words: String,
    /// What might be accepted instead, such as a free name. From the network.
    pub suggestion: Option<String>,
}

/// Something happened at a relay that we are, or want to be, a member of. Texts are from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// The relay let us in.
    Entered {
        /// The name that we have there.
        nick: String,
        /// What its operator wants everyone to read; only at the first entry.
        motd: Option<String>,
        /// Whether we are an operator.
        is_operator: bool,
        /// Whether we were in before, in this run.
        is_return: bool,
    },
    /// The relay did not let us in. Another name may help: ask for [`crate::chat::Request::Rename`].
    NotEntered(Refusal),
    /// We are in a room.
    Joined {
        /// Which.
        room: String,
        /// What it is about; may be empty.
        topic: String,
        /// Who is in it, ourselves too; not all in a large room.
        members: Vec<Attendance>,
        /// How many are in it.
        count: u64,
        /// Whether we were in it before, in this run.
        is_return: bool,
    },
    /// We were not let into a room.
    NotJoined {
        /// Which.
        room: String,
        /// Why.
        refusal: Refusal,
    },
    /// We left a room, as we asked.
    Parted {
        /// Which.
        room: String,
    },
    /// Somebody else came into a room of ours.
    Came {
        /// Which room.
        room: String,
        /// Who.
        member: Attendance,
        /// Whether the name was somebody else's before: a warning.
        is_stranger: bool,
    },
    /// Somebody else left a room of ours.
    Went {
        /// Which room.
        room: String,
        /// Who.
        nick: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Who is in a room, after more changes than the relay keeps.
    Roster {
        /// Which.
        room: String,
        /// Who is in it; not all in a large room.
        members: Vec<Attendance>,
        /// How many are in it.
        count: u64,
    },
    /// All other news, as the relay tells it: other names, topics, invitations, removals, remarks, the relay's closing, and what
    /// requests brought. Never `Entered`, `Room` or `Presence`, which have events of their own.
    News(News),
    /// What became of a request.
    Done {
        /// Which.
        id: MessageId,
        /// Carried out, or not.
        result: Result<(), Refusal>,
    },
    /// A name was met for the first time, and has the key of somebody who is known by another name as well: the same person, or
    /// somebody whose words a relay gives under a wrong name.
    SharedKey {
        /// The name.
        nick: String,
        /// The other one.
        also: String,
    },
    /// A letter came that was not shown: somebody changed it, or it was not sealed.
    LetterRefused {
        /// Whose it is said to be.
        nick: String,
        /// Why.
        code: RefusalCode,
    },
    /// The relay was lost and is tried again; what has no outcome waits.
    Reconnecting {
        /// When.
        delay: Duration,
    },
}

impl Peer {
    fn member(&self, id: ConversationId) -> Option<&Member> {
        self.conversations.get(&id)?.member.as_deref()
    }

    fn member_mut(&mut self, id: ConversationId) -> Option<&mut Member> {
        self.conversations.get_mut(&id)?.member.as_deref_mut()
    }

    fn tell_member(&mut self, relay: ConversationId, event: MemberEvent) {
        self.events.push_back(Event::Member { relay, event });
    }
}

/// Whether a request is answered by news of its own.
const fn brings_news(request: &Request) -> bool {
    matches!(
        request,
        Request::Who { .. }
            | Request::Rooms
            | Request::Key { .. }
            | Request::Moderate(Moderation::Bans | Moderation::Log { .. })
    )
}

/// Whether these are the news that a request is answered by.
const fn brings(request: &Request, news: &News) -> bool {
    matches!(
        (request, news),
        (Request::Who { .. }, News::Who { .. })
            | (Request::Rooms, News::Rooms { .. })
            | (Request::Key { .. }, News::Key { .. })
            | (Request::Moderate(Moderation::Bans), News::Bans { .. })
            | (Request::Moderate(Moderation::Log { .. }), News::Log { .. })
    )
}
