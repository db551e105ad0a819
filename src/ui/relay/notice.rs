//! What happens at a relay, as facts to show. Every text in here is from the network, and exact.

use std::time::Duration;

use super::super::notice::Party;
use crate::chat::{Attendance, BanInfo, RefusalCode, RoomInfo};
use crate::peer::{CloseReason, Refusal};
use crate::secure::PublicKey;

/// Why a list of members is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The user asked.
    Asked,
    /// We came into the room.
    Joined,
    /// So many came and went that only the result is told.
    Missed,
}

/// One thing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayNotice {
    /// The relay answered.
    Reached {
        /// Where it is.
        party: Party,
        /// The key that it has proved; None in a clear run.
        key: Option<PublicKey>,
    },
    /// It does not answer.
    Silent(Party),
    /// It answers again.
    Resumed(Party),
    /// It was lost, or never answered, and is tried again.
    Reconnecting {
        /// Whether we were in before, in this run.
        is_return: bool,
        /// When.
        delay: Duration,
    },
    /// It is lost, and not tried again.
    Closed {
        /// Where it was.
        party: Party,
        /// Why.
        reason: CloseReason,
    },
    /// We are a member.
    Entered {
        /// The name that we have.
        nick: String,
        /// What its operator wants everyone to read.
        motd: Option<String>,
        /// Whether we are an operator.
        is_operator: bool,
        /// Whether we were in before, in this run.
        is_return: bool,
    },
    /// Something that was asked for was refused.
    Refused {
        /// What, in words that have been filtered.
        what: String,
        /// Why.
        refusal: Refusal,
        /// What may help, in words.
        hint: &'static str,
    },
    /// We are in a room.
    Joined {
        /// Which.
        room: String,
        /// Our name.
        nick: String,
        /// What it is about; may be empty.
        topic: String,
        /// Whether we were in it before, in this run.
        is_return: bool,
    },
    /// We left a room.
    Parted {
        /// Which.
        room: String,
        /// Our name.
        nick: String,
    },
    /// Somebody else came into a room of ours.
    Came {
        /// Which.
        room: String,
        /// Who.
        member: Attendance,
        /// Whether the name was somebody else's before.
        is_stranger: bool,
    },
    /// Somebody else left a room of ours.
    Went {
        /// Which.
        room: String,
        /// Who.
        nick: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Who is there.
    Roster {
        /// In which room; None: at the relay.
        room: Option<String>,
        /// Who; not all of very many.
        members: Vec<Attendance>,
        /// How many.
        count: u64,
        /// Why it is shown.
        reason: Reason,
    },
    /// Somebody goes by another name.
    Renamed {
        /// The name before.
        before: String,
        /// The name now.
        nick: String,
        /// Whether it is ours.
        is_own: bool,
    },
    /// What a room is about.
    Topic {
        /// Which.
        room: String,
        /// The topic; may be empty.
        text: String,
        /// Who said so; None: we looked.
        by: Option<String>,
    },
    /// We may come into a room.
    Invited {
        /// Which.
        room: String,
        /// Who says so.
        by: String,
    },
    /// We were put out.
    Removed {
        /// Of which room; None: of the relay.
        room: Option<String>,
        /// By whom.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Something about ourselves.
    Remark(String),
    /// The relay closes for everyone.
    Closing {
        /// Why; may be empty.
        reason: String,
    },
    /// A letter came that is not shown.
    LetterRefused {
        /// Whose it is said to be.
        nick: String,
        /// Why.
        code: RefusalCode,
    },
    /// A name has the key of somebody who is known by another name as well.
    SharedKey {
        /// The name.
        nick: String,
        /// The other one.
        also: String,
    },
    /// Which rooms there are.
    Rooms(Vec<RoomInfo>),
    /// Which bans are in force.
    Bans(Vec<BanInfo>),
    /// The end of the relay's log, oldest first.
    Log(Vec<String>),
}
