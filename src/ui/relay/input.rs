//! The commands that need a relay, as typed.
//!
//! A room is told from other words by its `#`, except where nothing but a room can stand. Secrets are never part of a line: a
//! password is asked for, and the operators' secret is in a file.

use super::super::input::{InputError, nothing, required, word};
use crate::chat::{MAX_REMARK_BYTES, Moderation, room_name};

/// Lines of the log without a number: a screen.
const LOG_LINES: u64 = 20;

/// What the user wants of a relay. A room that is not named is the one that plain lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayAction {
    /// To be in a room.
    Join {
        /// Which.
        room: String,
    },
    /// To be in it no longer.
    Part {
        /// Which.
        room: Option<String>,
        /// For those who stay.
        reason: Option<String>,
    },
    /// Which rooms there are.
    Rooms,
    /// To tell every member of every room.
    Broadcast {
        /// What.
        text: String,
    },
    /// To see what the room is about, or to set it.
    Topic {
        /// What; empty for nothing.
        text: Option<String>,
    },
    /// To let somebody in.
    Invite {
        /// Whom.
        nick: String,
        /// Where.
        room: Option<String>,
    },
    /// To give the room a password, which is asked for.
    SetPassword,
    /// To change who may come into the room. What is absent stays.
    Guard {
        /// The password shall be none.
        open: bool,
        /// Only the invited may join.
        invite_only: Option<bool>,
        /// Only those inside see that it exists.
        hidden: Option<bool>,
    },
    /// To become an operator.
    Admin {
        /// The file with the secret.
        file: String,
    },
    /// An operator's action.
    Moderate(Moderation),
}

/// Reads a command; None if there is none of that name, in lower case.
pub fn parse(command: &str, argument: &str) -> Option<Result<RelayAction, InputError>> {
    Some(match command {
        "join" | "entrar" => join(argument),
        "part" | "deixar" => Ok(part(argument)),
        "rooms" | "salas" => nothing(argument, RelayAction::Rooms, "/rooms"),
        "broadcast" | "todos" => {
            required(argument, "/broadcast text").map(|text| RelayAction::Broadcast { text })
        }
        "topic" | "assunto" => topic(argument),
        "invite" | "convidar" => invite(argument),
        "room" | "sala" => guard(argument),
        "admin" => required(argument.trim(), "/admin FILE").map(|file| RelayAction::Admin { file }),
        _ => return moderation(command, argument).map(|result| result.map(RelayAction::Moderate)),
    })
}

fn moderation(command: &str, argument: &str) -> Option<Result<Moderation, InputError>> {
    Some(match command {
        "kick" | "expulsar" => kick(argument),
        "ban" | "banir" => ban(argument),
        "unban" => word(argument, "/unban WHO").map(|who| Moderation::Unban { who }),
        "bans" => nothing(argument, Moderation::Bans, "/bans"),
        "mute" | "silenciar" => mute(argument),
        "unmute" => word(argument, "/unmute NICK").map(|nick| Moderation::Unmute { nick }),
        "op" => word(argument, "/op NICK").map(|nick| Moderation::Op { nick }),
        "deop" => word(argument, "/deop NICK").map(|nick| Moderation::Deop { nick }),
        "log" => log(argument),
        "shutdown" | "encerrar" => {
            remark(argument, "/shutdown [reason]").map(|reason| Moderation::Shutdown { reason })
        }
        _ => return None,
    })
}

/// A room as everybody writes it; its `#` may be left out.
pub(in crate::ui) fn room(argument: &str, usage: &'static str) -> Result<String, InputError> {
    room_name(&word(argument, usage)?).ok_or(InputError::NoRoom)
}

fn join(argument: &str) -> Result<RelayAction, InputError> {
    match room(argument, "/join ROOM") {
        Ok(room) => Ok(RelayAction::Join { room }),
        // What else would stand there?
        Err(InputError::Excess { usage }) => Err(InputError::Spoken { usage }),
        Err(error) => Err(error),
    }
}

/// A room at the beginning, if one is there, and the rest.
fn leading_room(argument: &str) -> Result<(Option<String>, &str), InputError> {
    let argument = argument.trim();
    if !argument.starts_with('#') {
        return Ok((None, argument));
    }
    let (name, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    Ok((Some(room_name(name).ok_or(InputError::NoRoom)?), rest.trim()))
}

fn part(argument: &str) -> RelayAction {
    match leading_room(argument) {
        Ok((room, reason)) => RelayAction::Part { room, reason: optional(reason) },
        // No room that anybody could be in; the words are for those who stay.
        Err(_) => RelayAction::Part { room: None, reason: optional(argument.trim()) },
    }
}

fn topic(argument: &str) -> Result<RelayAction, InputError> {
    let text = match argument.trim() {
        "-" => Some(String::new()),
        text => remark(text, "/topic [text] (- for none)")?,
    };
    Ok(RelayAction::Topic { text })
}

fn invite(argument: &str) -> Result<RelayAction, InputError> {
    let usage = "/invite NICK [#room]";
    let (nick, rest) = first(argument, usage)?;
    let (room, rest) = leading_room(rest)?;
    nothing(rest, RelayAction::Invite { nick, room }, usage)
}

fn guard(argument: &str) -> Result<RelayAction, InputError> {
    let usage = "/room password | nopassword | invite on|off | hidden on|off";
    let lower = argument.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let guard = |open, invite_only, hidden| Ok(RelayAction::Guard { open, invite_only, hidden });
    match words[..] {
        ["password"] => Ok(RelayAction::SetPassword),
        ["nopassword"] => guard(true, None, None),
        ["invite", "on"] => guard(false, Some(true), None),
        ["invite", "off"] => guard(false, Some(false), None),
        ["hidden", "on"] => guard(false, None, Some(true)),
        ["hidden", "off"] => guard(false, None, Some(false)),
        ["password", ..] => Err(InputError::Spoken { usage: "/room password" }),
        _ => Err(InputError::Incomplete { usage }),
    }
}

fn kick(argument: &str) -> Result<Moderation, InputError> {
    let usage = "/kick NICK [#room] [reason]";
    let (nick, rest) = first(argument, usage)?;
    let (room, rest) = leading_room(rest)?;
    Ok(Moderation::Kick { nick, room, reason: remark(rest, usage)? })
}

fn ban(argument: &str) -> Result<Moderation, InputError> {
    let usage = "/ban WHO [10m] [reason]";
    let (who, rest) = first(argument, usage)?;
    let (seconds, rest) = leading_time(rest, usage)?;
    Ok(Moderation::Ban { who, seconds, reason: remark(rest, usage)? })
}

fn mute(argument: &str) -> Result<Moderation, InputError> {
    let usage = "/mute NICK [10m]";
    let (nick, rest) = first(argument, usage)?;
    let (seconds, rest) = leading_time(rest, usage)?;
    nothing(rest, Moderation::Mute { nick, seconds }, usage)
}

fn log(argument: &str) -> Result<Moderation, InputError> {
    let usage = "/log [N]";
    let lines = match argument.trim() {
        "" => LOG_LINES,
        number => number.parse().map_err(|_| InputError::Excess { usage })?,
    };
    Ok(Moderation::Log { lines })
}

/// A number with a unit at the beginning, in seconds, and the rest. A mistyped time must not become a ban for good.
fn leading_time<'a>(argument: &'a str, usage: &'static str) -> Result<(Option<u64>, &'a str), InputError> {
    let argument = argument.trim();
    let (time, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    match seconds(time) {
        Some(seconds) => Ok((Some(seconds), rest.trim())),
        None if time.starts_with(|character: char| character.is_ascii_digit()) => {
            Err(InputError::NoTime { usage })
        }
        None => Ok((None, argument)),
    }
}

fn seconds(time: &str) -> Option<u64> {
    let digits = time.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = time.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|&seconds| seconds > 0)
}

fn first<'a>(argument: &'a str, usage: &'static str) -> Result<(String, &'a str), InputError> {
    let argument = argument.trim();
    let (first, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    if first.is_empty() { Err(InputError::Incomplete { usage }) } else { Ok((first.to_owned(), rest.trim())) }
}

fn remark(text: &str, usage: &'static str) -> Result<Option<String>, InputError> {
    let text = text.trim();
    if text.len() > MAX_REMARK_BYTES { Err(InputError::Excess { usage }) } else { Ok(optional(text)) }
}

fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::input::{self, Action};
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: RelayAction) {
        assert_eq!(input::parse(line), Ok(Action::Relay(expected)), "{line:?}");
    }

    #[track_caller]
    fn refuse(line: &str, expected: &str) {
        let error = input::parse(line).expect_err(line);
        assert_eq!(error.to_string(), expected, "{line:?}");
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn rooms_need_no_sign_where_nothing_else_can_stand() {
        check("/join Sala", RelayAction::Join { room: "#sala".to_owned() });
        check("/entrar #sala", RelayAction::Join { room: "#sala".to_owned() });
        check("/part", RelayAction::Part { room: None, reason: None });
        check("/deixar #sala até já", RelayAction::Part { room: some("#sala"), reason: some("até já") });
        check("/part good night", RelayAction::Part { room: None, reason: some("good night") });
        refuse("/join", "something is missing; write /join ROOM");
        refuse("/join a,b", "that is no name of a room: 1 to 32 characters, without spaces, commas, # and *");
    }

    #[test]
    fn rooms_are_managed() {
        check("/rooms", RelayAction::Rooms);
        check("/todos olá a todos", RelayAction::Broadcast { text: "olá a todos".to_owned() });
        check("/topic", RelayAction::Topic { text: None });
        check("/assunto um dois", RelayAction::Topic { text: some("um dois") });
        check("/topic -", RelayAction::Topic { text: some("") });
        check("/invite bob", RelayAction::Invite { nick: "bob".to_owned(), room: None });
        check("/convidar bob #X", RelayAction::Invite { nick: "bob".to_owned(), room: some("#x") });
        check("/room password", RelayAction::SetPassword);
        check("/room NoPassword", RelayAction::Guard { open: true, invite_only: None, hidden: None });
        check("/sala invite on", RelayAction::Guard { open: false, invite_only: Some(true), hidden: None });
        check("/room hidden off", RelayAction::Guard { open: false, invite_only: None, hidden: Some(false) });
        refuse(
            "/room password 1234",
            "a password is never part of a line; write /room password alone, and it is asked for",
        );
        refuse(
            "/join #sala 1234",
            "a room's name has no spaces, and a password is never part of a line; write /join ROOM alone, and it is \
             asked for",
        );
        refuse(
            "/room",
            "something is missing; write /room password | nopassword | invite on|off | hidden on|off",
        );
    }

    #[test]
    fn operators_have_times_and_reasons() {
        let bob = || "bob".to_owned();
        let ban = |seconds, reason| RelayAction::Moderate(Moderation::Ban { who: bob(), seconds, reason });
        check("/ban bob", ban(None, None));
        check("/ban bob 10m", ban(Some(600), None));
        check("/banir bob 2h no more", ban(Some(7_200), some("no more")));
        check("/ban bob ten minutes", ban(None, some("ten minutes")));
        for wrong in ["/ban bob 99999999999999999999d", "/ban bob 10x reason", "/ban bob 0m", "/ban bob 10"] {
            refuse(wrong, "that is no time, such as 30s, 10m, 2h or 7d; write /ban WHO [10m] [reason]");
        }
        let kick = |room, reason| RelayAction::Moderate(Moderation::Kick { nick: bob(), room, reason });
        check("/kick bob", kick(None, None));
        check("/expulsar bob #sala chega", kick(some("#sala"), some("chega")));
        check("/mute bob 30s", RelayAction::Moderate(Moderation::Mute { nick: bob(), seconds: Some(30) }));
        check("/log", RelayAction::Moderate(Moderation::Log { lines: 20 }));
        check("/encerrar", RelayAction::Moderate(Moderation::Shutdown { reason: None }));
        check("/admin /a file", RelayAction::Admin { file: "/a file".to_owned() });
        refuse("/mute bob now", "that is too much; write /mute NICK [10m]");
        refuse("/ban", "something is missing; write /ban WHO [10m] [reason]");
    }
}
