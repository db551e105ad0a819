//! The relay's own words against their registries: one value of each, with everything that it may have.

mod numbers;

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use udpchat::chat::{
    Attendance, BanInfo, Change, MessageId, Moderation, News, Party, RefusalCode, Request, RoomInfo,
};
use udpchat::secure::{PublicKey, Secret};
use udpchat::time::WallTime;

use super::{list, names_in, registry};

// UC-RELAY-003
#[test]
fn the_requests_are_the_codes_own() {
    let (nick, room) = (|| "ana".to_owned(), || "#sala".to_owned());
    let (some, number) = (|| Some("text".to_owned()), || Some(7));
    let secret = || Some(Secret::from("s"));
    let all = [
        Request::Enter {
            nick: nick(),
            token: "t".to_owned(),
            log: some(),
            runs: vec!["r".to_owned()],
            letters_after: 7,
            everyone_after: number(),
        },
        Request::Join { room: room(), after: number(), history: number(), password: secret() },
        Request::Part { room: room(), reason: some() },
        Request::Rename { nick: nick() },
        Request::Topic { room: room(), text: String::new() },
        Request::Invite { room: room(), nick: nick() },
        Request::Guard { room: room(), password: secret(), invite_only: Some(true), hidden: Some(false) },
        Request::Who { room: some() },
        Request::Rooms,
        Request::Key { nick: nick() },
        Request::Authorize { secret: "s".into() },
        Request::Moderate(Moderation::Bans),
    ];
    for request in &all {
        // A new one stops this from compiling: it belongs into the list above, into the registry and into the chapter.
        match request {
            Request::Enter { .. } | Request::Join { .. } | Request::Part { .. } | Request::Rename { .. } => {}
            Request::Topic { .. } | Request::Invite { .. } | Request::Guard { .. } => {}
            Request::Key { .. }
            | Request::Who { .. }
            | Request::Rooms
            | Request::Authorize { .. }
            | Request::Moderate(_) => {}
        }
    }
    check("requests.json", "what", &all);
}

// UC-RELAY-019
#[test]
fn the_acts_are_the_codes_own() {
    let nick = || "ana".to_owned();
    let (some, number) = (|| Some("text".to_owned()), || Some(7));
    let all = [
        Moderation::Kick { nick: nick(), room: some(), reason: some() },
        Moderation::Ban { who: nick(), seconds: number(), reason: some() },
        Moderation::Unban { who: nick() },
        Moderation::Bans,
        Moderation::Mute { nick: nick(), seconds: number() },
        Moderation::Unmute { nick: nick() },
        Moderation::Op { nick: nick() },
        Moderation::Deop { nick: nick() },
        Moderation::Log { lines: 7 },
        Moderation::Shutdown { reason: some() },
    ];
    for act in &all {
        match act {
            Moderation::Kick { .. } | Moderation::Ban { .. } | Moderation::Unban { .. } => {}
            Moderation::Bans | Moderation::Mute { .. } | Moderation::Unmute { .. } => {}
            Moderation::Op { .. } | Moderation::Deop { .. } => {}
            Moderation::Log { .. } | Moderation::Shutdown { .. } => {}
        }
    }
    check("acts.json", "act", &all);
}

// UC-RELAY-004
#[test]
fn the_news_are_the_codes_own() {
    let re = MessageId::parse("k3-1").unwrap();
    let (text, room) = (|| "text".to_owned(), || "#sala".to_owned());
    let all = [
        News::Entered {
            nick: text(),
            log: text(),
            runs: vec![text()],
            void_after: Some(7),
            operator: true,
            everyone_head: 7,
            motd: Some(text()),
        },
        News::Room { room: room(), head: 7, topic: text(), members: vec![member()], count: 1 },
        News::Presence { room: room(), changes: Vec::new() },
        News::Renamed { before: text(), nick: text() },
        News::Topic { room: room(), text: text(), by: text() },
        News::Invited { room: room(), by: text() },
        News::Removed { room: Some(room()), by: text(), reason: text() },
        News::Remark { text: text() },
        News::Closing { reason: text() },
        News::Who { re: re.clone(), room: Some(room()), members: vec![member()], count: 1 },
        News::Rooms { re: re.clone(), rooms: Vec::new() },
        News::Key { re: re.clone(), nick: text(), key: PublicKey::from_bytes([7; 32]) },
        News::Bans { re: re.clone(), bans: Vec::new() },
        News::Log { re, lines: Vec::new() },
    ];
    for news in &all {
        match news {
            News::Entered { .. } | News::Room { .. } | News::Presence { .. } | News::Renamed { .. } => {}
            News::Topic { .. } | News::Invited { .. } | News::Removed { .. } | News::Remark { .. } => {}
            News::Closing { .. } | News::Who { .. } | News::Rooms { .. } => {}
            News::Key { .. } | News::Bans { .. } | News::Log { .. } => {}
        }
    }
    check("news.json", "what", &all);
}

// UC-RELAY-008
#[test]
fn the_changes_are_the_codes_own() {
    let all = [
        Change::Joined { member: member(), stranger: true },
        Change::Left { nick: "ana".to_owned(), reason: String::new() },
        Change::Missed { members: vec![member()], count: 1 },
    ];
    for change in &all {
        match change {
            Change::Joined { .. } | Change::Left { .. } | Change::Missed { .. } => {}
        }
    }
    check("changes.json", "change", &all);
}

#[test]
fn the_rows_of_lists_are_the_codes_own() {
    let text = || "text".to_owned();
    let room =
        RoomInfo { room: text(), count: 1, topic: text(), password: true, invite_only: true, hidden: true };
    let ban = BanInfo { who: text(), until: Some(WallTime::default()), by: text(), reason: text() };
    assert_eq!(names_in("rows.json"), ["member", "room", "ban"]);
    check_members::<Attendance>("rows.json", "member", None, &object(&member()));
    check_members::<RoomInfo>("rows.json", "room", None, &object(&room));
    check_members::<BanInfo>("rows.json", "ban", None, &object(&ban));
}

// UC-RELAY-003
#[test]
fn the_refusal_codes_are_the_codes_own() {
    assert_eq!(names_in("refusal-codes.json"), RefusalCode::ALL.map(RefusalCode::as_str));
}

fn member() -> Attendance {
    let party = Party { nick: Some("ana".to_owned()), room: None, ip: [127, 0, 0, 1].into(), port: 1 };
    let rooms = vec!["#sala".to_owned()];
    Attendance { party, since: WallTime::default(), rooms, idle_s: Some(7), operator: true }
}

/// The registry names these values in this order, by their member `tag`, and all their members.
fn check<T: Serialize + DeserializeOwned>(file: &str, tag: &str, all: &[T]) {
    let objects: Vec<Map<String, Value>> = all.iter().map(object).collect();
    let names: Vec<&str> = objects.iter().map(|object| object[tag].as_str().unwrap()).collect();
    assert_eq!(names_in(file), names, "{file}");
    for (name, object) in names.iter().zip(&objects) {
        check_members::<T>(file, name, Some(tag), object);
    }
}

/// The members are those that the registry names; a value is read without any that it may have, and not without one that it needs.
fn check_members<T: DeserializeOwned>(
    file: &str,
    name: &str,
    tag: Option<&str>,
    object: &Map<String, Value>,
) {
    let entries = registry(file);
    let entry = list(&entries).iter().find(|entry| entry["name"] == name).unwrap();
    let members =
        |of: &str| list(&entry[of]).iter().map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (needs, may) = (members("needs"), members("may"));
    let named: BTreeSet<&str> = needs.iter().chain(&may).map(String::as_str).chain(tag).collect();
    assert_eq!(named, object.keys().map(String::as_str).collect(), "{file}: {name}");
    let reads =
        |object: &Map<String, Value>| serde_json::from_value::<T>(Value::Object(object.clone())).is_ok();
    let mut least = object.clone();
    least.retain(|member, _| !may.contains(member));
    assert!(reads(&least), "{file}: {name} needs more than {needs:?}");
    for member in &needs {
        let mut less = least.clone();
        less.remove(member);
        assert!(!reads(&less), "{file}: {name} does not need {member}");
    }
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(object)) = serde_json::to_value(value) else { panic!("it is an object") };
    object
}
