//! What happens at a relay as JSON objects: [`super::super::json`] for members. The forms are part of the stable command line.

use std::net::SocketAddr;

use serde::Serialize;

use super::super::json::milliseconds;
use super::super::notice::Party;
use super::{RelayNotice, text};
use crate::chat::{Attendance, BanInfo, RoomInfo};
use crate::io::trace::timestamp;
use crate::secure::PublicKey;

/// The objects, field by field in the order in which they are printed.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(in crate::ui) enum Object<'a> {
    Connected {
        addr: SocketAddr,
        nick: Option<&'a str>,
        sealed: bool,
        key: Option<PublicKey>,
    },
    Closed {
        addr: SocketAddr,
        reason: String,
    },
    Reconnecting {
        delay_ms: f64,
    },
    Entered {
        nick: &'a str,
        operator: bool,
        r#return: bool,
        motd: Option<&'a str>,
    },
    Error {
        text: String,
        code: &'a str,
        suggestion: Option<&'a str>,
    },
    Joined {
        room: &'a str,
        nick: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        stranger: bool,
    },
    Left {
        room: &'a str,
        nick: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        reason: &'a str,
    },
    Roster {
        room: Option<&'a str>,
        members: Vec<Row<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    Renamed {
        before: &'a str,
        nick: &'a str,
    },
    Topic {
        room: &'a str,
        topic: &'a str,
        by: Option<&'a str>,
    },
    Invited {
        room: &'a str,
        by: &'a str,
    },
    Kicked {
        room: Option<&'a str>,
        by: &'a str,
        reason: &'a str,
    },
    Remark {
        text: &'a str,
    },
    LetterRefused {
        nick: &'a str,
        code: &'a str,
    },
    SharedKey {
        nick: &'a str,
        also: &'a str,
    },
    Closing {
        reason: &'a str,
    },
    Rooms {
        rooms: Vec<Room<'a>>,
    },
    Bans {
        bans: Vec<Ban<'a>>,
    },
    Log {
        lines: &'a [String],
    },
}

#[derive(Debug, Serialize)]
pub(in crate::ui) struct Row<'a> {
    nick: Option<&'a str>,
    addr: SocketAddr,
    since: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    rooms: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_s: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    operator: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::ui) struct Room<'a> {
    room: &'a str,
    count: u64,
    topic: &'a str,
    password: bool,
    invite_only: bool,
    hidden: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::ui) struct Ban<'a> {
    who: &'a str,
    until: Option<String>,
    by: &'a str,
    reason: &'a str,
}

/// The object of a notice; None for chatter.
pub(in crate::ui) fn object(notice: &RelayNotice) -> Option<Object<'_>> {
    Some(match notice {
        RelayNotice::Reached { party: Party { address, nick }, key } => {
            Object::Connected { addr: *address, nick: nick.as_deref(), sealed: key.is_some(), key: *key }
        }
        RelayNotice::Closed { party, reason } => {
            Object::Closed { addr: party.address, reason: reason.to_string() }
        }
        RelayNotice::Reconnecting { delay, .. } => Object::Reconnecting { delay_ms: milliseconds(*delay) },
        RelayNotice::Entered { nick, motd, is_operator, is_return } => {
            Object::Entered { nick, operator: *is_operator, r#return: *is_return, motd: motd.as_deref() }
        }
        RelayNotice::Refused { refusal, .. } => Object::Error {
            text: text::refused(notice),
            code: refusal.code.as_str(),
            suggestion: refusal.suggestion.as_deref(),
        },
        RelayNotice::Joined { room, nick, .. } => Object::Joined { room, nick, stranger: false },
        RelayNotice::Came { room, member, is_stranger } => {
            let nick = member.party.nick.as_deref().unwrap_or_default();
            Object::Joined { room, nick, stranger: *is_stranger }
        }
        RelayNotice::Parted { room, nick } => Object::Left { room, nick, reason: "" },
        RelayNotice::Went { room, nick, reason } => Object::Left { room, nick, reason },
        RelayNotice::Roster { room, members, count, .. } => Object::Roster {
            room: room.as_deref(),
            members: members.iter().map(row).collect(),
            count: (*count > members.len() as u64).then_some(*count),
        },
        RelayNotice::Renamed { before, nick, .. } => Object::Renamed { before, nick },
        RelayNotice::Topic { room, text, by } => Object::Topic { room, topic: text, by: by.as_deref() },
        RelayNotice::Invited { room, by } => Object::Invited { room, by },
        RelayNotice::Removed { room, by, reason } => Object::Kicked { room: room.as_deref(), by, reason },
        RelayNotice::Remark(text) => Object::Remark { text },
        RelayNotice::LetterRefused { nick, code } => Object::LetterRefused { nick, code: code.as_str() },
        RelayNotice::SharedKey { nick, also } => Object::SharedKey { nick, also },
        RelayNotice::Closing { reason } => Object::Closing { reason },
        RelayNotice::Rooms(rooms) => Object::Rooms { rooms: rooms.iter().map(room).collect() },
        RelayNotice::Bans(bans) => Object::Bans { bans: bans.iter().map(ban).collect() },
        RelayNotice::Log(lines) => Object::Log { lines },
        RelayNotice::Silent(_) | RelayNotice::Resumed(_) => return None,
    })
}

fn row(attendance: &Attendance) -> Row<'_> {
    let Attendance { party, since, rooms, idle_s, operator } = attendance;
    Row {
        nick: party.nick.as_deref(),
        addr: SocketAddr::new(party.ip, party.port),
        since: timestamp(*since),
        rooms,
        idle_s: *idle_s,
        operator: *operator,
    }
}

fn room(info: &RoomInfo) -> Room<'_> {
    let RoomInfo { room, count, topic, password, invite_only, hidden } = info;
    let (password, invite_only, hidden) = (*password, *invite_only, *hidden);
    Room { room, count: *count, topic, password, invite_only, hidden }
}

fn ban(ban: &BanInfo) -> Ban<'_> {
    Ban { who: &ban.who, until: ban.until.map(timestamp), by: &ban.by, reason: &ban.reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::json::encode;
    use super::super::Reason;
    use super::*;
    use crate::chat::{self, RefusalCode};
    use crate::peer::{CloseReason, Refusal};
    use crate::time::WallTime;

    #[track_caller]
    fn check(notice: &RelayNotice, expected: &str) {
        assert_eq!(object(notice).map(|object| encode(&object)).as_deref(), Some(expected));
    }

    fn sala() -> String {
        "#sala".to_owned()
    }

    fn bob() -> Attendance {
        let nick = Some("bob".to_owned());
        let party = chat::Party { nick, room: None, ip: [127, 0, 0, 1].into(), port: 6001 };
        let since = WallTime::default();
        Attendance { party, since, rooms: Vec::new(), idle_s: None, operator: false }
    }

    #[test]
    fn coming_and_going() {
        let (room, nick) = (sala(), "ana".to_owned());
        let joined =
            RelayNotice::Joined { room: room.clone(), nick: nick.clone(), topic: sala(), is_return: false };
        check(&joined, r##"{"event":"joined","room":"#sala","nick":"ana"}"##);
        let came = RelayNotice::Came { room: room.clone(), member: bob(), is_stranger: true };
        check(&came, r##"{"event":"joined","room":"#sala","nick":"bob","stranger":true}"##);
        let parted = RelayNotice::Parted { room: room.clone(), nick: nick.clone() };
        check(&parted, r##"{"event":"left","room":"#sala","nick":"ana"}"##);
        let went = RelayNotice::Went { room, nick, reason: "quit".to_owned() };
        check(&went, r##"{"event":"left","room":"#sala","nick":"ana","reason":"quit"}"##);
    }

    #[test]
    fn rosters() {
        let mut members = vec![bob()];
        let roster = |members, count| RelayNotice::Roster {
            room: Some(sala()),
            members,
            count,
            reason: Reason::Joined,
        };
        check(
            &roster(members.clone(), 1),
            r##"{"event":"roster","room":"#sala","members":[{"nick":"bob","addr":"127.0.0.1:6001","since":"1970-01-01T00:00:00.000000Z"}]}"##,
        );
        members[0].rooms = vec![sala()];
        members[0].idle_s = Some(3);
        members[0].operator = true;
        check(
            &roster(members, 2),
            r##"{"event":"roster","room":"#sala","members":[{"nick":"bob","addr":"127.0.0.1:6001","since":"1970-01-01T00:00:00.000000Z","rooms":["#sala"],"idle_s":3,"operator":true}],"count":2}"##,
        );
    }

    #[test]
    fn a_refused_name_carries_its_suggestion_alone_too() {
        let refusal = Refusal {
            code: RefusalCode::NameTaken,
            words: "taken".to_owned(),
            suggestion: Some("ana-2".to_owned()),
        };
        check(
            &RelayNotice::Refused { what: "not let in".to_owned(), refusal, hint: "" },
            r#"{"event":"error","text":"not let in: taken; ana-2 is free","code":"name-taken","suggestion":"ana-2"}"#,
        );
    }

    #[test]
    fn the_relay_itself() {
        let entered =
            RelayNotice::Entered { nick: "ana".to_owned(), motd: None, is_operator: false, is_return: false };
        check(&entered, r#"{"event":"entered","nick":"ana","operator":false,"return":false,"motd":null}"#);
        let delay = Duration::from_millis(500);
        check(
            &RelayNotice::Reconnecting { is_return: true, delay },
            r#"{"event":"reconnecting","delay_ms":500.0}"#,
        );
        let party = Party { address: ([127, 0, 0, 1], 6100).into(), nick: None };
        check(
            &RelayNotice::Closed { party, reason: CloseReason::NoAnswer { hint: None } },
            r#"{"event":"closed","addr":"127.0.0.1:6100","reason":"no answer"}"#,
        );
        let removed = RelayNotice::Removed { room: None, by: "eve".to_owned(), reason: String::new() };
        check(&removed, r#"{"event":"kicked","room":null,"by":"eve","reason":""}"#);
        check(&RelayNotice::Closing { reason: "x".to_owned() }, r#"{"event":"closing","reason":"x"}"#);
        check(&RelayNotice::Log(vec!["a".to_owned()]), r#"{"event":"log","lines":["a"]}"#);
        let ban = BanInfo { who: "eve".to_owned(), until: None, by: "ana".to_owned(), reason: String::new() };
        check(
            &RelayNotice::Bans(vec![ban]),
            r#"{"event":"bans","bans":[{"who":"eve","until":null,"by":"ana","reason":""}]}"#,
        );
    }
}
