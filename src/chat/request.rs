//! What a member asks of a relay (UC-RELAY-003): typed, and refused with a code that a program can act on.

use serde::{Deserialize, Serialize};

use super::name::{folded, is_visible};
use crate::secure::Secret;

/// The room that everybody is in: words to it reach every member of every room once (UC-RELAY-014).
pub const EVERYONE: &str = "*";

/// The longest name of a room, in characters, the `#` not counted: as long as a nick.
pub const MAX_ROOM_CHARS: usize = 32;

/// The longest topic, message of the day or reason, in bytes: a line or two of a screen.
pub const MAX_REMARK_BYTES: usize = 512;

/// The longest password, secret or token, in bytes.
pub const MAX_SECRET_BYTES: usize = 128;

/// The most runs of a relay that are told, and told back: so many restarts between a copy of its ledger and the last one before the
/// copy takes its place cost nobody a line twice.
pub const MAX_RUNS: usize = 16;

/// The longest name of a run, in bytes; `udpchat` has 12.
pub const MAX_RUN_BYTES: usize = 32;

/// Something that a member wants of a relay. Each gets exactly one receipt; what it brings comes before that as
/// [`super::News`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Request {
    /// To be a member. The first request on every connection; all others need it.
    Enter {
        /// The name to go by.
        nick: String,
        /// In the clear: proves that the same person comes back; known to nobody else. Sealed, the connection's key does; then
        /// it is empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        token: String,
        /// The log that the cursors are from; absent without any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// The runs of the relay that `entered` told, when the cursors are from there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        runs: Vec<String>,
        /// The last letter (message to this member alone) that was shown.
        #[serde(default)]
        letters_after: u64,
        /// The last message to everyone that was shown; absent: only new ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        everyone_after: Option<u64>,
    },
    /// To be in a room, which is made if there is none of that name.
    Join {
        /// Which.
        room: String,
        /// The last line of it that was shown, in the log that `enter` named: what was missed follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// Without `after`: how many earlier lines are wanted; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        history: Option<u64>,
        /// For a room that has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// To be in a room no longer.
    Part {
        /// Which.
        room: String,
        /// For those who stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// To go by another name.
    Rename {
        /// The new one.
        nick: String,
    },
    /// To set what a room is about.
    Topic {
        /// Which.
        room: String,
        /// The topic; empty for none.
        text: String,
    },
    /// To let somebody into a room for the invited.
    Invite {
        /// Which.
        room: String,
        /// Whom.
        nick: String,
    },
    /// To change who may come into a room: its owner's, and operators'. What is absent stays.
    Guard {
        /// Which.
        room: String,
        /// A password from now on; empty for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        /// Only the invited may join.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite_only: Option<bool>,
        /// Only those inside see that it exists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hidden: Option<bool>,
    },
    /// Who is there: in one room, or all that the member may see.
    Who {
        /// Which room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
    },
    /// Which rooms there are.
    Rooms,
    /// The public key of whoever goes by a name, or did last.
    Key {
        /// The name.
        nick: String,
    },
    /// To become an operator.
    Authorize {
        /// The relay's own.
        secret: Secret,
    },
    /// An operator's action.
    Moderate(Moderation),
}

/// What only operators may do. Each is logged (UC-RELAY-020).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Moderation {
    /// Put somebody out: of the relay, or of one room.
    Kick {
        /// Whom.
        nick: String,
        /// Of which room; absent: of the relay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Put somebody out and not let them in again, by identity, or by address if `who` is one.
    Ban {
        /// A nick, or an IP address.
        who: String,
        /// For how long; absent: for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End a ban.
    Unban {
        /// The nick or the address that was banned.
        who: String,
    },
    /// List the bans.
    Bans,
    /// Refuse what somebody says.
    Mute {
        /// Whom.
        nick: String,
        /// For how long; absent: until unmuted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Take it again.
    Unmute {
        /// Whose.
        nick: String,
    },
    /// Make somebody an operator, until the relay ends.
    Op {
        /// Whom.
        nick: String,
    },
    /// End that.
    Deop {
        /// Whose.
        nick: String,
    },
    /// Show the end of the relay's log.
    Log {
        /// How many lines.
        lines: u64,
    },
    /// Close the relay for everyone.
    Shutdown {
        /// What everyone is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Why a relay refused, as far as a program can act on it; the words beside it are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// Somebody else goes by that name.
    NameTaken,
    /// It is no name.
    BadName,
    /// The room would look like another one.
    LookAlike,
    /// The room has a password, and this is not it.
    Password,
    /// Only the invited may join.
    InviteOnly,
    /// Banned.
    Banned,
    /// Muted.
    Muted,
    /// Not a member yet.
    NotEntered,
    /// Not in that room.
    NotJoined,
    /// Nobody goes by that name, or ever did.
    NoSuchName,
    /// No such room.
    NoSuchRoom,
    /// The absent receiver's mailbox is full.
    MailboxFull,
    /// Not kept for the absent receiver any longer.
    Expired,
    /// Only for operators, or for the room's owner.
    Forbidden,
    /// Longer than the relay takes.
    TooLong,
    /// More rooms, members, wrong passwords or the like than there may be.
    TooMany,
    /// The relay cannot store it.
    Storage,
    /// A fault switch is on.
    Fault,
    /// The relay is closing.
    Closing,
    /// It makes no sense.
    Invalid,
    /// Whoever goes by that name has no key: they were here in the clear.
    NoKey,
    /// The letter is sealed for another key than that of whoever goes by that name.
    ChangedKey,
    /// The letter's receiver knows another key under its sender's name.
    UnknownKey,
    /// The letter's receiver could not open it.
    BadSeal,
    /// A letter must be sealed here.
    Unsealed,
    /// A code of a later program.
    Other,
}

impl RefusalCode {
    /// Every code that is written.
    pub const ALL: [Self; 25] = [
        Self::NameTaken,
        Self::BadName,
        Self::LookAlike,
        Self::Password,
        Self::InviteOnly,
        Self::Banned,
        Self::Muted,
        Self::NotEntered,
        Self::NotJoined,
        Self::NoSuchName,
        Self::NoSuchRoom,
        Self::MailboxFull,
        Self::Expired,
        Self::Forbidden,
        Self::TooLong,
        Self::TooMany,
        Self::Storage,
        Self::Fault,
        Self::Closing,
        Self::Invalid,
        Self::NoKey,
        Self::ChangedKey,
        Self::UnknownKey,
        Self::BadSeal,
        Self::Unsealed,
    ];

    /// The code as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NameTaken => "name-taken",
            Self::BadName => "bad-name",
            Self::LookAlike => "look-alike",
            Self::Password => "password",
            Self::InviteOnly => "invite-only",
            Self::Banned => "banned",
            Self::Muted => "muted",
            Self::NotEntered => "not-entered",
            Self::NotJoined => "not-joined",
            Self::NoSuchName => "no-such-name",
            Self::NoSuchRoom => "no-such-room",
            Self::MailboxFull => "mailbox-full",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::TooLong => "too-long",
            Self::TooMany => "too-many",
            Self::Storage => "storage",
            Self::Fault => "fault",
            Self::Closing => "closing",
            Self::Invalid => "invalid",
            Self::NoKey => "no-key",
            Self::ChangedKey => "changed-key",
            Self::UnknownKey => "unknown-key",
            Self::BadSeal => "bad-seal",
            Self::Unsealed => "unsealed",
            Self::Other => "other",
        }
    }

    /// The code that was written so.
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::Other)
    }
}

/// The name of a room as everybody writes it: lower case, with its `#`, which the user may leave out. None if it is no name.
pub fn room_name(text: &str) -> Option<String> {
    let bare = text.strip_prefix('#').unwrap_or(text);
    // A name that is far too long is not looked at.
    if bare.chars().nth(4 * MAX_ROOM_CHARS).is_some() || !bare.chars().all(is_visible) {
        return None;
    }
    // Some characters become several, or others that no name has.
    let bare = folded(bare);
    let is_fit = |c: char| is_visible(c) && !matches!(c, ',' | '#' | '*');
    let count = bare.chars().count();
    ((1..=MAX_ROOM_CHARS).contains(&count) && bare.chars().all(is_fit)).then(|| format!("#{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_have_one_spelling() {
        assert_eq!(room_name("Sala").as_deref(), Some("#sala"));
        assert_eq!(room_name("#SALA").as_deref(), Some("#sala"));
        assert_eq!(room_name("ｓａｌａ").as_deref(), Some("#sala"));
        assert_eq!(room_name("sala\u{303}o").as_deref(), Some("#salão"));
        for wrong in [
            "",
            "#",
            "a b",
            "##x",
            "*",
            "#a,b",
            "a\n",
            "a\u{200b}",
            "a\u{ad}",
            "a，b",
            "\u{fdfa}",
            &"x".repeat(33),
        ] {
            assert_eq!(room_name(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn codes_survive_the_wire() {
        for code in RefusalCode::ALL {
            assert_eq!(RefusalCode::parse(code.as_str()), code);
        }
        assert_eq!(RefusalCode::parse("tomorrow"), RefusalCode::Other);
    }
}
