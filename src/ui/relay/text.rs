//! The words for what happens at a relay: [`super::super::text`] for members.

use unicode_width::UnicodeWidthStr;

use super::super::filter;
use super::super::style::Tone;
use super::super::text::{Line, date_and_time, one, reason_of_end, time_of_day};
use super::{Reason, RelayNotice};
use crate::chat::{Attendance, BanInfo, RefusalCode, RoomInfo};
use crate::peer::Refusal;

/// Names in one line about who is in a room; `/who` lists more.
const MAX_NAMES: usize = 12;

/// What is shown of words that come from the network.
const WORDS_COLUMNS: usize = 400;

/// The lines that tell a person of `notice`.
pub fn describe(notice: &RelayNotice) -> Vec<Line> {
    match notice {
        RelayNotice::Reached { .. }
        | RelayNotice::Silent(_)
        | RelayNotice::Resumed(_)
        | RelayNotice::Reconnecting { .. }
        | RelayNotice::Closed { .. }
        | RelayNotice::Closing { .. } => connection(notice),
        RelayNotice::Entered { nick, motd, is_operator, is_return } => {
            entered(nick, motd.as_deref(), *is_operator, *is_return)
        }
        RelayNotice::Refused { .. } => one(Tone::Bad, format!("! {}", filter::visible(&refused(notice)))),
        RelayNotice::Joined { .. }
        | RelayNotice::Parted { .. }
        | RelayNotice::Came { .. }
        | RelayNotice::Went { .. } => coming_and_going(notice),
        RelayNotice::Roster { room, members, count, reason } => {
            roster(room.as_deref(), members, *count, *reason)
        }
        RelayNotice::Renamed { nick, is_own: true, .. } => {
            one(Tone::Dim, format!("* you are called {} now", member(nick)))
        }
        RelayNotice::Renamed { before, nick, is_own: false } => {
            one(Tone::Dim, format!("* {} is now called {}", member(before), member(nick)))
        }
        RelayNotice::Topic { room, text, by } => topic(room, text, by.as_deref()),
        RelayNotice::Invited { room, by } => {
            let room = filter::nick(room);
            one(Tone::Dim, format!("* {} invites you into {room}; /join {room} goes there", member(by)))
        }
        RelayNotice::Removed { room, by, reason } => {
            let place = room.as_deref().map_or_else(|| "the relay".to_owned(), filter::nick);
            one(Tone::Bad, format!("! {} put you out of {place}{}", member(by), because(reason)))
        }
        RelayNotice::LetterRefused { nick, code } => {
            let nick = member(nick);
            let why = match code {
                RefusalCode::Unsealed => "it was not sealed: the relay could read it, or wrote it",
                RefusalCode::BadSeal => {
                    "its seal does not open: it was changed on the way, or is for another key than ours"
                }
                _ => "it cannot be read",
            };
            one(Tone::Bad, format!("! a letter said to be from {nick} is not shown: {why}"))
        }
        RelayNotice::SharedKey { nick, also } => {
            let text = format!("* {} has the same key as {}", member(nick), member(also));
            one(Tone::Doubt, text)
        }
        RelayNotice::Remark(text) => one(Tone::Doubt, format!("* {}", words(text))),
        RelayNotice::Rooms(rooms) => list_rooms(rooms),
        RelayNotice::Bans(bans) => list_bans(bans),
        RelayNotice::Log(lines) => {
            lines.iter().flat_map(|line| one(Tone::Plain, format!("  {}", filter::visible(line)))).collect()
        }
    }
}

/// A member's name as shown. One that could be taken for an address, or for a room, stands in quotation marks.
pub fn member(nick: &str) -> String {
    let shown = filter::nick(nick);
    if shown.contains(['@', ':', '#', '"', '*']) { format!("\"{shown}\"") } else { shown }
}

/// Why something was refused, whole and exact: a view filters it.
pub fn refused(notice: &RelayNotice) -> String {
    let RelayNotice::Refused { what, refusal, hint } = notice else {
        return String::new();
    };
    let Refusal { words, suggestion, code } = refusal;
    let words = if words.is_empty() { code.as_str() } else { words.as_str() };
    let mut sentence = format!("{what}: {words}");
    // Most relays say it themselves.
    if let Some(suggestion) = suggestion.as_ref().filter(|suggestion| !words.contains(suggestion.as_str())) {
        sentence.push_str(&format!("; {suggestion} is free"));
    }
    if !hint.is_empty() {
        sentence.push_str(&format!(" ({hint})"));
    }
    sentence
}

fn words(text: &str) -> String {
    filter::shorten(text, WORDS_COLUMNS)
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({})", filter::shorten(reason, 120)) }
}

fn connection(notice: &RelayNotice) -> Vec<Line> {
    match notice {
        RelayNotice::Reached { party, .. } => {
            one(Tone::Dim, format!("* the relay at {} answers", party.address))
        }
        RelayNotice::Silent(_) => {
            one(Tone::Doubt, "* the relay does not answer; trying to reach it again".to_owned())
        }
        RelayNotice::Resumed(_) => one(Tone::Dim, "* the relay is back, nothing was lost".to_owned()),
        RelayNotice::Reconnecting { is_return, delay } => {
            let seconds = delay.as_secs_f64();
            let text = if *is_return {
                format!("* the relay is lost; reconnecting in {seconds:.1} s, what was not confirmed waits")
            } else {
                format!("* no relay there yet; calling again in {seconds:.1} s, what is typed waits")
            };
            one(Tone::Doubt, text)
        }
        RelayNotice::Closed { party, reason } => {
            let (tone, reason) = reason_of_end(reason);
            one(tone, format!("* the relay at {}: {reason}", party.address))
        }
        RelayNotice::Closing { reason } => {
            one(Tone::Doubt, format!("* the relay closes for everyone{}", because(reason)))
        }
        _ => Vec::new(),
    }
}

fn entered(nick: &str, motd: Option<&str>, is_operator: bool, is_return: bool) -> Vec<Line> {
    let nick = member(nick);
    let rank = if is_operator { " · you are an operator" } else { "" };
    if is_return {
        return one(Tone::Dim, format!("* back at the relay as {nick}{rank}"));
    }
    let mut lines = one(Tone::Good, format!("* welcome, {nick}{rank}"));
    for line in motd.into_iter().flat_map(filter::visible_lines).take(MAX_NAMES) {
        lines.extend(one(Tone::Plain, format!("  │ {line}")));
    }
    lines
}

fn coming_and_going(notice: &RelayNotice) -> Vec<Line> {
    match notice {
        RelayNotice::Joined { room, topic, is_return, .. } => {
            let verb = if *is_return { "you are back in" } else { "you are in" };
            let about = if topic.is_empty() { String::new() } else { format!(" · topic: {}", words(topic)) };
            one(Tone::Dim, format!("* {verb} {}{about}", filter::nick(room)))
        }
        RelayNotice::Parted { room, .. } => one(Tone::Dim, format!("* you left {}", filter::nick(room))),
        RelayNotice::Came { room, member: who, is_stranger } => {
            let nick = member(who.party.nick.as_deref().unwrap_or("?"));
            let mut lines = one(Tone::Dim, format!("* {nick} joined {}", filter::nick(room)));
            if *is_stranger {
                let text = format!(
                    "! careful: this {nick} is somebody else than the {nick} whom the relay knew before"
                );
                lines.extend(one(Tone::Doubt, text));
            }
            lines
        }
        RelayNotice::Went { room, nick, reason } => {
            let text = format!("* {} left {}{}", member(nick), filter::nick(room), because(reason));
            one(Tone::Dim, text)
        }
        _ => Vec::new(),
    }
}

fn topic(room: &str, text: &str, by: Option<&str>) -> Vec<Line> {
    let room = filter::nick(room);
    let by = by.map_or_else(String::new, |by| format!(" (by {})", member(by)));
    let text = if text.is_empty() { "none".to_owned() } else { words(text) };
    one(Tone::Dim, format!("* topic of {room}: {text}{by}"))
}

fn roster(room: Option<&str>, members: &[Attendance], count: u64, reason: Reason) -> Vec<Line> {
    let place = room.map_or_else(|| "at the relay".to_owned(), |room| format!("in {}", filter::nick(room)));
    let hidden = count.saturating_sub(members.len() as u64);
    if reason == Reason::Asked {
        let mut lines = one(Tone::Dim, format!("* {place}: {count}"));
        lines.extend(table(members));
        if hidden > 0 {
            lines.extend(one(Tone::Dim, format!("  … and {hidden} more")));
        }
        return lines;
    }
    let names: Vec<String> = members.iter().take(MAX_NAMES).map(name).collect();
    let hidden = count.saturating_sub(names.len() as u64);
    let more = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
    let since = if reason == Reason::Missed { " (many came and went)" } else { "" };
    one(Tone::Dim, format!("* {place}: {}{more}{since}", names.join(", ")))
}

fn name(attendance: &Attendance) -> String {
    member(attendance.party.nick.as_deref().unwrap_or("?"))
}

fn table(members: &[Attendance]) -> Vec<Line> {
    let mut rows = vec![["nick", "address", "rooms", "since", "idle"].map(str::to_owned)];
    for attendance in members {
        let rooms: Vec<String> = attendance.rooms.iter().map(|room| filter::nick(room)).collect();
        let rank = if attendance.operator { " (operator)" } else { "" };
        rows.push([
            format!("{}{rank}", name(attendance)),
            std::net::SocketAddr::new(attendance.party.ip, attendance.party.port).to_string(),
            rooms.join(" "),
            time_of_day(attendance.since),
            attendance.idle_s.map(span).unwrap_or_default(),
        ]);
    }
    align(&rows)
}

/// Columns as wide as what stands in them; the last one is not filled up.
fn align<const N: usize>(rows: &[[String; N]]) -> Vec<Line> {
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |(index, row): (usize, &[String; N])| {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(widths) {
            text.push_str("  ");
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.width()));
        }
        let tone = if index == 0 { Tone::Dim } else { Tone::Plain };
        Line { tone, text: text.trim_end().to_owned() }
    };
    rows.iter().enumerate().map(line).collect()
}

/// A time span in the largest unit that it fills.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn list_rooms(rooms: &[RoomInfo]) -> Vec<Line> {
    if rooms.is_empty() {
        return one(Tone::Dim, "* no rooms yet; /join ROOM makes one".to_owned());
    }
    let mut rows = vec![["room", "members", "kind", "topic"].map(str::to_owned)];
    for info in rooms {
        let kinds =
            [(info.password, "password"), (info.invite_only, "invited only"), (info.hidden, "hidden")];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind).collect();
        let kind = if kinds.is_empty() { "open".to_owned() } else { kinds.join(", ") };
        let topic = filter::shorten(&info.topic, 60);
        rows.push([filter::nick(&info.room), info.count.to_string(), kind, topic]);
    }
    align(&rows)
}

fn list_bans(bans: &[BanInfo]) -> Vec<Line> {
    if bans.is_empty() {
        return one(Tone::Dim, "* nobody is banned".to_owned());
    }
    let mut rows = vec![["who", "until", "by", "reason"].map(str::to_owned)];
    for ban in bans {
        let until = ban.until.map_or_else(|| "for good".to_owned(), date_and_time);
        rows.push([member(&ban.who), until, member(&ban.by), filter::shorten(&ban.reason, 60)]);
    }
    align(&rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{Party, RefusalCode};
    use crate::time::WallTime;

    #[track_caller]
    fn check(notice: &RelayNotice, expected: &[&str]) {
        let lines: Vec<String> = describe(notice).into_iter().map(|line| line.text).collect();
        assert_eq!(lines, expected);
    }

    fn attendance(nick: &str, port: u16) -> Attendance {
        let party = Party { nick: Some(nick.to_owned()), room: None, ip: [127, 0, 0, 1].into(), port };
        let since = WallTime::default();
        Attendance { party, since, rooms: Vec::new(), idle_s: None, operator: false }
    }

    fn sala() -> String {
        "#sala".to_owned()
    }

    #[test]
    fn a_stay_from_the_welcome_to_the_end() {
        let entered = |is_return: bool| RelayNotice::Entered {
            nick: "ana".to_owned(),
            motd: (!is_return).then(|| "be kind\n\x1b[2J".to_owned()),
            is_operator: is_return,
            is_return,
        };
        check(&entered(false), &["* welcome, ana", "  │ be kind", "  │ ␛[2J"]);
        let joined = RelayNotice::Joined {
            room: sala(),
            nick: "ana".to_owned(),
            topic: "tests".to_owned(),
            is_return: false,
        };
        check(&joined, &["* you are in #sala · topic: tests"]);
        let came =
            |is_stranger| RelayNotice::Came { room: sala(), member: attendance("bob", 6001), is_stranger };
        check(&came(false), &["* bob joined #sala"]);
        check(
            &came(true),
            &[
                "* bob joined #sala",
                "! careful: this bob is somebody else than the bob whom the relay knew before",
            ],
        );
        let went = RelayNotice::Went { room: sala(), nick: "bob".to_owned(), reason: "silent".to_owned() };
        check(&went, &["* bob left #sala (silent)"]);
        check(
            &RelayNotice::Reconnecting { is_return: true, delay: Duration::from_millis(1_500) },
            &["* the relay is lost; reconnecting in 1.5 s, what was not confirmed waits"],
        );
        check(
            &RelayNotice::Reconnecting { is_return: false, delay: Duration::from_millis(250) },
            &["* no relay there yet; calling again in 0.2 s, what is typed waits"],
        );
        check(&entered(true), &["* back at the relay as ana · you are an operator"]);
        let by = || "eve".to_owned();
        let removed = |room| RelayNotice::Removed { room, by: by(), reason: "enough".to_owned() };
        check(&removed(Some(sala())), &["! eve put you out of #sala (enough)"]);
        check(&removed(None), &["! eve put you out of the relay (enough)"]);
        check(&RelayNotice::Closing { reason: String::new() }, &["* the relay closes for everyone"]);
    }

    #[test]
    fn a_refused_name_comes_with_a_free_one() {
        let refusal = Refusal {
            code: RefusalCode::NameTaken,
            words: "somebody else is called ana".to_owned(),
            suggestion: Some("ana-2".to_owned()),
        };
        let what = "the relay did not let us in".to_owned();
        check(
            &RelayNotice::Refused { what, refusal, hint: "/nick NAME tries another name" },
            &[
                "! the relay did not let us in: somebody else is called ana; ana-2 is free (/nick NAME tries another name)",
            ],
        );
    }

    #[test]
    fn who_is_a_table_and_a_join_one_line() {
        let mut ana = attendance("ana", 6001);
        ana.rooms = vec![sala(), "#b".to_owned()];
        ana.idle_s = Some(61);
        ana.operator = true;
        let members = vec![ana, attendance("漢字", 6002)];
        let roster =
            |reason| RelayNotice::Roster { room: Some(sala()), members: members.clone(), count: 3, reason };
        let time = time_of_day(WallTime::default());
        check(
            &roster(Reason::Asked),
            &[
                "* in #sala: 3",
                "  nick            address         rooms     since     idle",
                &format!("  ana (operator)  127.0.0.1:6001  #sala #b  {time}  1 min"),
                &format!("  漢字            127.0.0.1:6002            {time}"),
                "  … and 1 more",
            ],
        );
        check(&roster(Reason::Joined), &["* in #sala: ana, 漢字 and 1 more"]);
        check(&roster(Reason::Missed), &["* in #sala: ana, 漢字 and 1 more (many came and went)"]);
    }

    #[test]
    fn rooms_and_bans_are_tables() {
        let info = |room: &str, password, topic: &str| RoomInfo {
            room: room.to_owned(),
            count: 2,
            topic: topic.to_owned(),
            password,
            invite_only: false,
            hidden: password,
        };
        check(
            &RelayNotice::Rooms(vec![info("#sala", false, "tests"), info("#b", true, "")]),
            &[
                "  room   members  kind              topic",
                "  #sala  2        open              tests",
                "  #b     2        password, hidden",
            ],
        );
        check(&RelayNotice::Bans(Vec::new()), &["* nobody is banned"]);
        let ban = BanInfo {
            who: "127.0.0.1".to_owned(),
            until: None,
            by: "eve".to_owned(),
            reason: "flood".to_owned(),
        };
        check(
            &RelayNotice::Bans(vec![ban]),
            &["  who        until     by   reason", "  127.0.0.1  for good  eve  flood"],
        );
    }

    #[test]
    fn names_that_look_like_something_else_are_quoted() {
        assert_eq!(member("ana"), "ana");
        assert_eq!(member("bob@127.0.0.1:6000"), "\"bob@127.0.0.1:6000\"");
        assert_eq!(member("#sala"), "\"#sala\"");
        assert_eq!(member("\x1b[31m"), "␛[31m");
    }
}
