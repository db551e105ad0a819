//! What a relay tells a member beside other people's words: who came and went, what a request brought (UC-RELAY-004).

use serde::{Deserialize, Serialize};

use super::{MessageId, Party, timestamp};
use crate::secure::PublicKey;
use crate::time::WallTime;

/// Something that a relay tells a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum News {
    /// The member is in: the answer to `enter`.
    Entered {
        /// The name that it goes by here.
        nick: String,
        /// Which log positions are of. Another one than before: all cursors are void.
        log: String,
        /// The latest runs of the relay that its ledger knows, the present one last; none if each run begins another log.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        runs: Vec<String>,
        /// Cursors above this are void: the ledger was restored from a copy. Absent: all hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        void_after: Option<u64>,
        /// Whether it is an operator.
        operator: bool,
        /// The last message to everyone so far: one at or below it is history.
        everyone_head: u64,
        /// What the relay's operator wants everyone to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        motd: Option<String>,
    },
    /// The member is in a room: the answer to `join`, before the first line.
    Room {
        /// Which.
        room: String,
        /// The last position of its log so far: a line at or below it is history.
        head: u64,
        /// What it is about; empty: nothing was said.
        topic: String,
        /// Who is in it, the member too; not all in a large room.
        members: Vec<Attendance>,
        /// How many are in it.
        count: u64,
    },
    /// Who is in a room has changed. Several changes may come at once, oldest first.
    Presence {
        /// Which.
        room: String,
        /// How.
        changes: Vec<Change>,
    },
    /// Somebody goes by another name.
    Renamed {
        /// The name before.
        before: String,
        /// The name now.
        nick: String,
    },
    /// A room is about something else now.
    Topic {
        /// Which.
        room: String,
        /// What.
        text: String,
        /// Who says so.
        by: String,
    },
    /// Somebody let the member into a room.
    Invited {
        /// Which.
        room: String,
        /// Who.
        by: String,
    },
    /// The member was put out of a room; of the relay: the connection's close says so too.
    Removed {
        /// Of which room; absent: of the relay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// By whom.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Something about the member itself, in words: muted, made an operator.
    Remark {
        /// The words.
        text: String,
    },
    /// The relay closes for everyone.
    Closing {
        /// Why; may be empty.
        reason: String,
    },
    /// The answer to `who`.
    Who {
        /// The request.
        re: MessageId,
        /// The room that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// Who is there; not all if there are very many.
        members: Vec<Attendance>,
        /// How many are there.
        count: u64,
    },
    /// The answer to `rooms`.
    Rooms {
        /// The request.
        re: MessageId,
        /// Those that the member may see.
        rooms: Vec<RoomInfo>,
    },
    /// The answer to `key`.
    Key {
        /// The request.
        re: MessageId,
        /// The name, as it was asked for.
        nick: String,
        /// Its holder's public key.
        key: PublicKey,
    },
    /// The answer to `bans`.
    Bans {
        /// The request.
        re: MessageId,
        /// Those in force.
        bans: Vec<BanInfo>,
    },
    /// The answer to `log`.
    Log {
        /// The request.
        re: MessageId,
        /// Oldest first.
        lines: Vec<String>,
    },
}

/// One member as the others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// Its name and the address that the relay sees.
    #[serde(flatten)]
    pub party: Party,
    /// Since when it is in the room, or, asked without one, at the relay.
    #[serde(with = "timestamp::rfc3339")]
    pub since: WallTime,
    /// The rooms that the asker may see it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// For how long it has said nothing, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// Whether it is an operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator: bool,
}

/// One change of who is in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Somebody came.
    Joined {
        /// Who.
        #[serde(flatten)]
        member: Attendance,
        /// Whether the name belonged to somebody else before: a warning.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stranger: bool,
    },
    /// Somebody went.
    Left {
        /// Who.
        nick: String,
        /// Why; may be empty.
        reason: String,
    },
    /// There were more changes than the relay keeps: whoever is not named from here on is not known to be there.
    Missed {
        /// Who is there now.
        members: Vec<Attendance>,
        /// How many.
        count: u64,
    },
}

/// One room as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its name.
    pub room: String,
    /// How many are in it.
    pub count: u64,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Whether it has a password.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password: bool,
    /// Whether only the invited may join.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invite_only: bool,
    /// Whether only those inside see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanInfo {
    /// The name or address.
    pub who: String,
    /// Until when; absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "timestamp::rfc3339_option")]
    pub until: Option<WallTime>,
    /// Which operator.
    pub by: String,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
