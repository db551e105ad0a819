//! What the application says, as typed JSON: messages, replies, receipts, echoes, introductions; requests to a relay and its news.
//!
//! Each is one JSON object in one message of the layer below. The fields are those that the first direct-messaging project asked
//! for, under English names; `spec/08-chat.md` has the table. This module must never decide when something is said, and never
//! trust a text for anything but its length and its form.

mod id;
mod letter;
mod name;
mod news;
mod request;
mod say;
mod timestamp;

pub use id::MessageId;
pub use letter::{LetterText, MAX_LETTER_QUOTE_BYTES, Sealed};
pub use name::{MAX_NICK_CHARS, composed, folded, is_nick, likenesses, mixes_scripts, numbered};
pub use news::{Attendance, BanInfo, Change, News, RoomInfo};
pub use request::{
    EVERYONE, MAX_REMARK_BYTES, MAX_ROOM_CHARS, MAX_RUN_BYTES, MAX_RUNS, MAX_SECRET_BYTES, Moderation,
    RefusalCode, Request, room_name,
};
pub use say::{ChatError, Place, Receipt, Said, Say, Words};
pub use timestamp::{format_timestamp, parse_timestamp};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The longest text of one message, in bytes (UC-CHAT-007).
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// The longest text that a reply quotes; a longer original is cut between two characters (UC-CHAT-006). Repeating sixteen
/// megabytes to say yes helps nobody.
pub const MAX_QUOTE_BYTES: usize = 64 * 1024;

/// The longest text that is returned, in bytes (UC-CHAT-010). An echo measures, and what measures a link need not fill a memory: what
/// comes back waits at whoever was asked for as long as whoever asked takes nothing.
pub const MAX_ECHO_BYTES: usize = 64 * 1024;

/// The streams of a conversation (UC-CHAT-002).
pub mod stream {
    /// What people say, in order.
    pub const WORDS: u32 = 0;
    /// Receipts, which wait for nothing: not for each other, and not behind a long message. A side that granted only one
    /// stream gets them on that one.
    pub const RECEIPTS: u32 = 1;

    /// Where receipts go, to a side that granted so many streams.
    pub const fn of_receipts(granted: u32) -> u32 {
        if granted > RECEIPTS { RECEIPTS } else { WORDS }
    }
}

/// One end of a message as the message itself tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The name that it goes by; of a letter through a relay, the name that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// The room that words are for, at a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// The address, as the sender knew it: behind a NAT it is not what the receiver sees.
    pub ip: IpAddr,
    /// The UDP port.
    pub port: u16,
}

/// The longest beginning of `text` that has at most `limit` bytes and ends between two characters.
pub fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
