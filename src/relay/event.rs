//! What a relay asks of whoever runs it, and what it is told.

use std::fmt;
use std::net::SocketAddr;

use crate::chat::{MAX_REMARK_BYTES, cut, format_timestamp};
use crate::ledger::{Answer, Job};
use crate::secure::{Stretch, StretchOutcome};
use crate::time::WallTime;

use super::RelayLimits;

/// What the outside tells a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The ledger did something.
    Answer(Answer),
    /// What became of something that takes time, which was asked for with [`Event::Stretch`].
    Stretched {
        /// The number that it had.
        ticket: u64,
        /// What came of it.
        outcome: StretchOutcome,
    },
    /// The end of the log, which was asked for with [`Event::LogWanted`]; oldest line first.
    LogTail {
        /// The number that the request had.
        ticket: u64,
        /// The lines, or why there are none.
        lines: Result<Vec<String>, String>,
    },
    /// Other limits from now on.
    Reconfigure(RelayLimits),
    /// Tell everyone, and end: [`super::Relay::is_idle`] tells when.
    Shutdown {
        /// What everyone is told; may be empty.
        reason: String,
    },
}

/// What a relay tells the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something for the ledger to do.
    Job(Job),
    /// Something that takes time, and memory: somebody else is to do it, while the relay goes on. There are never more than
    /// [`super::MOST_STRETCHES`] under way.
    Stretch {
        /// To be told with the outcome.
        ticket: u64,
        /// What.
        stretch: Stretch,
    },
    /// Something for the log.
    Log(Record),
    /// An operator wants to see the end of the log.
    LogWanted {
        /// To be told with the answer.
        ticket: u64,
        /// How many lines.
        lines: usize,
    },
    /// An operator closed the relay: nothing new comes in any more.
    ShuttingDown,
}

/// One line of the log. Texts in it are from the network: whoever writes it filters it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: WallTime,
    /// What.
    pub what: What,
}

/// What the log tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody connected.
    Connected {
        /// From where.
        address: SocketAddr,
    },
    /// A connection ended.
    Disconnected {
        /// From where it was.
        address: SocketAddr,
        /// Whose it was, if they had entered.
        nick: Option<String>,
        /// Why.
        reason: String,
    },
    /// Somebody became a member.
    Entered {
        /// Who.
        nick: String,
        /// From where.
        address: SocketAddr,
    },
    /// Something was refused.
    Refused {
        /// Who asked; empty before they had a name.
        nick: String,
        /// From where.
        address: SocketAddr,
        /// What, and why.
        why: String,
    },
    /// Somebody came into a room.
    Joined {
        /// Which.
        room: String,
        /// Who.
        nick: String,
    },
    /// Somebody left a room.
    Left {
        /// Which.
        room: String,
        /// Who.
        nick: String,
        /// Why.
        reason: String,
    },
    /// A line was stored; `*` is everyone's.
    Line {
        /// Where.
        room: String,
        /// By whom.
        nick: String,
        /// What.
        text: String,
    },
    /// A letter was stored. What it says is nobody's business.
    Letter {
        /// From whom.
        from: String,
        /// To whom.
        to: String,
    },
    /// Somebody took another name.
    Renamed {
        /// The name before.
        before: String,
        /// The name now.
        nick: String,
    },
    /// Somebody set a topic, made a room, guarded it.
    Room {
        /// Which.
        room: String,
        /// Who.
        nick: String,
        /// What they did.
        action: String,
    },
    /// An operator did something.
    Action {
        /// Who.
        by: String,
        /// What.
        action: String,
    },
    /// The relay itself: started, closing.
    Relay {
        /// What.
        text: String,
    },
    /// Something is wrong, and the operator must know.
    Trouble {
        /// What, and what to do.
        text: String,
    },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", format_timestamp(self.at), self.what)
    }
}

impl What {
    /// The same, with no text in it longer than a remark: a stranger must not fill the disk through the log. Only a line is told
    /// whole, and it was stored before that.
    pub(super) fn bounded(mut self) -> Self {
        let (first, second) = match &mut self {
            Self::Connected { .. } | Self::Line { .. } | Self::Relay { .. } | Self::Trouble { .. } => {
                return self;
            }
            Self::Disconnected { reason, .. } => (reason, None),
            Self::Entered { nick, .. } => (nick, None),
            Self::Refused { nick, why, .. } => (nick, Some(why)),
            Self::Joined { room, nick } | Self::Left { room, nick, reason: _ } => (room, Some(nick)),
            Self::Letter { from, to } => (from, Some(to)),
            Self::Renamed { before, nick } => (before, Some(nick)),
            Self::Room { room, action, .. } => (room, Some(action)),
            Self::Action { by, action } => (by, Some(action)),
        };
        for text in [Some(first), second].into_iter().flatten() {
            let length = cut(text, MAX_REMARK_BYTES).len();
            text.truncate(length);
        }
        self
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { address } => write!(f, "+ {address} connected"),
            Self::Disconnected { address, nick: None, reason } => {
                write!(f, "- {address} disconnected: {reason}")
            }
            Self::Disconnected { address, nick: Some(nick), reason } => {
                write!(f, "- {address} disconnected ({nick}): {reason}")
            }
            Self::Entered { nick, address } => write!(f, "= {address} is {nick}"),
            Self::Refused { nick, address, why } if nick.is_empty() => {
                write!(f, "! {address} refused: {why}")
            }
            Self::Refused { nick, address, why } => write!(f, "! {address} ({nick}) refused: {why}"),
            Self::Joined { room, nick } => write!(f, "{room} > {nick} joined"),
            Self::Left { room, nick, reason } if reason.is_empty() => write!(f, "{room} < {nick} left"),
            Self::Left { room, nick, reason } => write!(f, "{room} < {nick} left: {reason}"),
            Self::Line { room, nick, text } => write!(f, "{room} {nick}: {text}"),
            Self::Letter { from, to } => write!(f, "letter from {from} to {to}"),
            Self::Renamed { before, nick } => write!(f, "= {before} is now {nick}"),
            Self::Room { room, nick, action } => write!(f, "{room} {nick} {action}"),
            Self::Action { by, action } => write!(f, "* {by} {action}"),
            Self::Relay { text } => write!(f, "* {text}"),
            Self::Trouble { text } => write!(f, "! {text}"),
        }
    }
}
