//! What a relay keeps: rooms, lines, letters, names, bans; as requests to whoever keeps them, and their replies.
//!
//! A relay asks with [`Job`]s and goes on; the answers come later, as [`Answer`]s, in the order of the jobs. Two things answer:
//! [`MemoryLedger`] here, which forgets everything with the program (`--memory`, and the simulator's disk under its rules), and the
//! database of `store`. Both must give the same answers to the same jobs; `tests/ledger.rs` holds them to that.
//!
//! A room is a log, a mailbox is a log, and what is said to everyone is one. Positions count through all logs of a ledger, so a
//! position names one entry, and in each log they only grow. This module must never decide who may do what: the relay does.

mod memory;
mod names;

pub use crate::chat::folded;
pub use memory::MemoryLedger;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::chat::{MessageId, Party, RefusalCode, Sealed, mixes_scripts};
use crate::secure::{PublicKey, Stretched};
use crate::time::WallTime;

/// Somebody, whatever name they go by. Made at the first entry with a key, or with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u64);

/// What tells that the same person comes back. A token is never a key, whatever it says: who has been here sealed is somebody else
/// than whoever was here in the clear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Sealed: the key of the connection, whose secret the other side has shown to have.
    Key(PublicKey),
    /// In the clear: a secret that was told.
    Token(String),
}

/// Who held a name last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who it is.
    pub identity: Identity,
    /// Their key; None if they were here in the clear.
    pub key: Option<PublicKey>,
}

/// Names a log for as long as the ledger lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKey {
    /// What is said to everyone.
    Everyone,
    /// A room's lines, by the room's number.
    Room(u64),
    /// The letters to somebody.
    Mailbox(Identity),
}

/// What a relay learns when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foundation {
    /// Names this ledger: positions mean nothing in another one. Random, made with it.
    pub log_id: String,
    /// The runs that stored something, oldest first, and as the last one the run that begins. Empty: no other run ever has this ledger.
    pub runs: Vec<Run>,
    /// The last position of [`LogKey::Everyone`]; 0 if it is empty.
    pub everyone_head: u64,
    /// The bans, those that are over too.
    pub bans: Vec<Ban>,
}

/// The time from one start of a relay to the next, as its ledger knows it. Two that began on copies of one ledger are two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its name, random.
    pub id: String,
    /// The last position of all that had been given when it began.
    pub start: u64,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The relay's own number for it.
    pub ticket: u64,
    /// When it was asked for: what is stored counts as stored at this time.
    pub at: WallTime,
    /// What to do.
    pub request: Request,
}

/// What became of a job. Whatever it changed is durable when this is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose.
    pub ticket: u64,
    /// What came of it. After an error nothing of it is stored.
    pub result: Result<Reply, LedgerError>,
}

/// What a relay asks of its ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Somebody comes in and takes a name: [`Reply::Entered`], [`Reply::NameResembles`], or [`Reply::NameMixes`].
    Enter {
        /// Whoever shows the same one is the same person.
        proof: Proof,
        /// The name; names are the same if they are when [`folded`].
        nick: String,
    },
    /// Somebody takes another name: [`Reply::Entered`], [`Reply::NameResembles`], or [`Reply::NameMixes`].
    TakeName {
        /// Who.
        identity: Identity,
        /// The name.
        nick: String,
    },
    /// Who held a name last: [`Reply::Holder`].
    FindHolder {
        /// The name.
        nick: String,
    },
    /// A room: [`Reply::Room`], [`Reply::RoomResembles`], or [`Reply::NameMixes`].
    OpenRoom {
        /// Its name, as [`crate::chat::room_name`] writes it.
        name: String,
        /// Whose it is to be if it is new; None: it is not to be made.
        creator: Option<Identity>,
    },
    /// Change what a room is like, except its log and its name: [`Reply::Done`], whether there is such a room or not.
    SaveRoom(Room),
    /// Forget a room in which nothing was ever said, and about which nothing was: [`Reply::Done`], whether it was one or not.
    ForgetRoom {
        /// Its number. The next room may get the same.
        number: u64,
    },
    /// The rooms that there are, with 0 as their heads, for what they are called and about: [`Reply::Rooms`].
    ListRooms {
        /// The most of them.
        most: usize,
    },
    /// Add a line to a room or to everyone's log, unless its author said it before, be it as a letter: [`Reply::Appended`].
    AppendLine {
        /// Which log; no mailbox: that is an error.
        log: LogKey,
        /// What. Shared: whoever asked keeps it until it is stored, and so does a ledger in memory.
        draft: Arc<Draft>,
    },
    /// Add a letter to the mailbox of whoever held a name last, unless its author sent it before, to whomever:
    /// [`Reply::Appended`], [`Reply::Holder`] if that is nobody, or somebody with another key than the letter is sealed for (one
    /// that is not sealed is for somebody without a key), or [`Reply::MailboxFull`].
    AppendLetter {
        /// The name.
        nick: String,
        /// What. Shared: whoever asked keeps it until it is stored, and so does a ledger in memory.
        draft: Arc<Draft>,
        /// How much may wait in one mailbox.
        bounds: MailboxBounds,
    },
    /// What a log holds after a position, oldest first, of a mailbox only what is open: [`Reply::Page`].
    Read {
        /// Which log.
        log: LogKey,
        /// Entries up to here, this one included, are not wanted.
        after: u64,
        /// The most bytes of [`Draft::text_bytes`], unless the first entry alone has more: then that one alone.
        most_bytes: usize,
        /// The most entries.
        most_entries: usize,
    },
    /// Where to begin reading so that so many entries follow, of a mailbox only what is open: [`Reply::Sought`].
    Seek {
        /// Which log.
        log: LogKey,
        /// How many.
        newest: u64,
    },
    /// A letter's receiver has it, or refused it: its text is forgotten, its fate is kept: [`Reply::Settled`].
    Settle {
        /// Whose mailbox.
        mailbox: Identity,
        /// Which letter.
        pos: u64,
        /// Its fate.
        fate: LetterFate,
    },
    /// Every letter that is open and older than this has waited too long, and its fate is [`RefusalCode::Expired`]:
    /// [`Reply::Expired`]. Fates that were decided before it are forgotten.
    Expire {
        /// Letters stored, and fates decided, before this time.
        before: WallTime,
    },
    /// Keep a ban, in place of one for the same `who`: [`Reply::Done`].
    Ban(Ban),
    /// Forget a ban: [`Reply::Done`], whether there was one or not.
    Unban {
        /// The name or address that was banned.
        who: String,
    },
}

impl Request {
    /// Whether it may give a position away.
    pub const fn appends(&self) -> bool {
        matches!(self, Self::AppendLine { .. } | Self::AppendLetter { .. })
    }

    /// Whether it may change something. Others can be answered even if nothing can be stored.
    pub const fn writes(&self) -> bool {
        !matches!(
            self,
            Self::FindHolder { .. }
                | Self::OpenRoom { creator: None, .. }
                | Self::ListRooms { .. }
                | Self::Read { .. }
                | Self::Seek { .. }
        )
    }
}

/// What comes of a request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Somebody is known.
    Entered {
        /// As whom.
        identity: Identity,
        /// Whether the name was somebody else's before.
        is_stranger: bool,
        /// Whether letters wait in the mailbox.
        has_letters: bool,
    },
    /// The name looks like one that somebody else held last: nothing was stored.
    NameResembles {
        /// Which one, as it was written.
        other: String,
        /// One that comes near, is nobody else's and looks like nobody else's, if there is one.
        free: Option<String>,
    },
    /// The name mixes scripts, and is nobody's, or somebody else's: nothing was stored. Also of a room that would be new.
    NameMixes,
    /// Who held a name last, if anybody did.
    Holder(Option<Holder>),
    /// A room; None if there is none and it was not to be made.
    Room(Option<Room>),
    /// The room would be new, and look like this one: nothing was stored.
    RoomResembles(Room),
    /// Rooms, in the order of the folded names.
    Rooms(Vec<Room>),
    /// Something was stored, now or before.
    Appended {
        /// The log that it is in.
        log: LogKey,
        /// Its position.
        pos: u64,
        /// Whether it had been stored before: then nothing was added.
        is_duplicate: bool,
        /// Of a letter that is a duplicate: what became of it.
        fate: Option<LetterFate>,
    },
    /// The mailbox has no room; nothing was stored.
    MailboxFull,
    /// Some of a log.
    Page {
        /// Oldest first.
        entries: Vec<Entry>,
    },
    /// A position to read after.
    Sought {
        /// The position; 0: from the start.
        after: u64,
    },
    /// A letter was settled.
    Settled {
        /// Which it was, unless it had been settled before or never was.
        letter: Option<LetterInfo>,
    },
    /// Letters that waited too long.
    Expired {
        /// Which they were.
        letters: Vec<LetterInfo>,
    },
    /// It was done.
    Done,
}

impl Reply {
    /// What the free one of [`Self::NameResembles`] is made of: the name, unless it mixes scripts, as then every longer one would.
    pub(crate) fn stem<'a>(nick: &'a str, other: &'a str) -> &'a str {
        if mixes_scripts(nick) { other } else { nick }
    }
}

/// Something to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who says it.
    pub author: Identity,
    /// Their name for it: an author's second draft with the same one is the same message.
    pub id: MessageId,
    /// The name that the author goes by, and the address that the relay sees.
    pub nick: String,
    /// See `nick`.
    pub address: SocketAddr,
    /// For whom, as the author wrote it.
    pub to: Party,
    /// When, by the author's clock.
    pub sent_at: WallTime,
    /// What; empty if it is sealed.
    pub text: String,
    /// The same, as only its receiver can read it.
    pub sealed: Option<Box<Sealed>>,
    /// The message that it answers: its id, its text, when it was said.
    pub reply_to: Option<(MessageId, String, WallTime)>,
}

impl Draft {
    /// How many bytes its text, sealed or not, and the text that it answers have together.
    pub fn text_bytes(&self) -> usize {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.message.len());
        self.text.len() + sealed + self.reply_to.as_ref().map_or(0, |(_, original, _)| original.len())
    }

    /// Whether somebody can read it: whose key it is sealed for, or who has none and it is not sealed.
    pub fn is_readable_by(&self, holder: Holder) -> bool {
        self.sealed.as_ref().map(|sealed| sealed.to) == holder.key
    }
}

/// Something that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub pos: u64,
    /// When it was stored.
    pub stored_at: WallTime,
    /// What.
    pub draft: Arc<Draft>,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterFate {
    /// Its receiver has it.
    Delivered,
    /// Its receiver, or time, refused it.
    Refused(RefusalCode),
}

/// What its author is told of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterInfo {
    /// Who wrote it.
    pub author: Identity,
    /// Their name for it.
    pub id: MessageId,
    /// When it was said.
    pub sent_at: WallTime,
    /// Its position.
    pub pos: u64,
}

/// How much may wait in one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxBounds {
    /// Letters.
    pub letters: u64,
    /// Bytes of [`Draft::text_bytes`].
    pub bytes: u64,
}

/// A room as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its number: [`LogKey::Room`].
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub owner: Identity,
    /// What it is about; empty: nothing was said.
    pub topic: String,
    /// What one must know to join.
    pub password: Option<Stretched>,
    /// Whether only the invited may join.
    pub is_invite_only: bool,
    /// Whether only those inside see it.
    pub is_hidden: bool,
    /// Who is invited.
    pub invited: Vec<Identity>,
    /// The last position of its log; 0 if it is empty. Saving a room does not change it.
    pub head: u64,
}

impl Room {
    /// Whether it is as it was made: nobody would miss what is known of it.
    pub fn is_plain(&self) -> bool {
        self.topic.is_empty()
            && self.password.is_none()
            && !self.is_invite_only
            && !self.is_hidden
            && self.invited.is_empty()
    }
}

/// Somebody who is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The name or address that was written.
    pub who: String,
    /// Whom it keeps out.
    pub target: BanTarget,
    /// Until when; None: for good.
    pub until: Option<WallTime>,
    /// Which operator, by the name of that time.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Whom a ban keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BanTarget {
    /// Somebody, under any name.
    Identity(Identity),
    /// Everybody at an address.
    Address(IpAddr),
}

/// Why a job was not carried out: nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerError {
    /// Of which sort.
    pub kind: LedgerErrorKind,
    /// What the operator should know.
    pub words: String,
}

/// What is in the way of storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerErrorKind {
    /// No room on the disk.
    Full,
    /// Another program has it.
    Locked,
    /// It cannot be read as what it was.
    Damaged,
    /// The system says no.
    Unusable,
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for LedgerError {}
