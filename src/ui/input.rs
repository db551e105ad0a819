//! A line that the user typed, as what the user wants.
//!
//! Nothing that begins with a slash and is not understood is ever sent; what does not begin with a slash is sent as it stands.

use std::fmt;

use super::relay::{self, RelayAction};

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a text to the current receiver.
    Say {
        /// The text.
        text: String,
    },
    /// Send a text to somebody, who is the receiver from now on.
    Message {
        /// An address, a nick, a room or `*`, as typed.
        who: String,
        /// The text.
        text: String,
    },
    /// Answer the last message that came.
    Reply {
        /// The text.
        text: String,
    },
    /// Have the receiver return a text.
    Echo {
        /// The text.
        text: String,
    },
    /// Choose the receiver.
    To {
        /// An address, a nick, a room or `*`, as typed.
        who: String,
    },
    /// List who is there.
    Who {
        /// In a room of the relay; None: everybody.
        room: Option<String>,
    },
    /// Show what to compare with somebody, to be sure that nobody is in between.
    Verify {
        /// An address or a nick, as typed; None: the receiver.
        who: Option<String>,
    },
    /// Accept a key that was refused.
    Trust {
        /// An address or a nick, as typed.
        who: String,
    },
    /// Show our own key.
    Identity,
    /// Something that needs a relay.
    Relay(RelayAction),
    /// Use another name.
    Nick {
        /// The name.
        nick: String,
    },
    /// End a conversation: somebody's, or the receiver's.
    Close {
        /// An address or a nick, as typed.
        who: Option<String>,
    },
    /// Explain the commands.
    Help,
    /// End the program.
    Quit,
}

/// Why a line means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputError {
    /// There is no such command.
    Unknown {
        /// The word after the slash.
        command: String,
    },
    /// Something is missing.
    Incomplete {
        /// How the command is written.
        usage: &'static str,
    },
    /// There is something that does not belong there.
    Excess {
        /// How the command is written.
        usage: &'static str,
    },
    /// What begins with a digit where a time may stand is none.
    NoTime {
        /// How the command is written.
        usage: &'static str,
    },
    /// What stands where a room should is no name of one.
    NoRoom,
    /// A password was typed where everybody can read it.
    Spoken {
        /// How the command is written.
        usage: &'static str,
    },
}

impl InputError {
    /// Whether the line was to choose a receiver.
    pub fn names_receiver(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::NoTime { .. } => false,
            // Whichever command it was: rather no receiver than the wrong one.
            Self::NoRoom => true,
            Self::Incomplete { usage } | Self::Excess { usage } | Self::Spoken { usage } => {
                usage.starts_with("/to ") || usage.starts_with("/msg") || usage.starts_with("/join")
            }
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { command } => {
                let command = super::filter::shorten(command, 20);
                write!(
                    f,
                    "there is no command /{command}; /help lists them, //{command} sends the text /{command}"
                )
            }
            Self::Incomplete { usage } => write!(f, "something is missing; write {usage}"),
            Self::Excess { usage } => write!(f, "that is too much; write {usage}"),
            Self::NoTime { usage } => {
                write!(f, "that is no time, such as 30s, 10m, 2h or 7d; write {usage}")
            }
            Self::NoRoom => {
                f.write_str("that is no name of a room: 1 to 32 characters, without spaces, commas, # and *")
            }
            Self::Spoken { usage } => {
                let room = if usage.starts_with("/join") { "a room's name has no spaces, and " } else { "" };
                write!(
                    f,
                    "{room}a password is never part of a line; write {usage} alone, and it is asked for"
                )
            }
        }
    }
}

impl std::error::Error for InputError {}

/// Reads a line.
pub fn parse(line: &str) -> Result<Action, InputError> {
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(Action::Say { text: line.to_owned() });
    };
    if rest.starts_with('/') {
        return Ok(Action::Say { text: rest.to_owned() });
    }
    let (command, argument) = rest.split_once(' ').unwrap_or((rest, ""));
    let lower = command.to_lowercase();
    match lower.as_str() {
        "msg" => message(argument),
        "reply" | "r" | "responder" => Ok(Action::Reply { text: required(argument, "/reply text")? }),
        "echo" | "eco" => Ok(Action::Echo { text: required(argument, "/echo text")? }),
        "to" | "para" => Ok(Action::To { who: word(argument, "/to WHO")? }),
        "nick" | "apelido" => Ok(Action::Nick { nick: word(argument, "/nick NAME")? }),
        "close" | "fechar" => close(argument),
        "who" | "names" | "usuarios" | "usuários" => who(argument),
        "verify" | "verificar" => Ok(Action::Verify { who: optional_word(argument, "/verify [WHO]")? }),
        "trust" | "confiar" => Ok(Action::Trust { who: word(argument, "/trust WHO")? }),
        "id" | "identidade" => nothing(argument, Action::Identity, "/id"),
        "help" | "ajuda" => nothing(argument, Action::Help, "/help"),
        "quit" | "exit" | "sair" => nothing(argument, Action::Quit, "/quit"),
        lower => match relay::input::parse(lower, argument) {
            Some(result) => result.map(Action::Relay),
            None => Err(InputError::Unknown { command: command.to_owned() }),
        },
    }
}

fn who(argument: &str) -> Result<Action, InputError> {
    let is_everybody = argument.trim().is_empty();
    let room = if is_everybody { None } else { Some(relay::input::room(argument, "/who [#room]")?) };
    Ok(Action::Who { room })
}

fn message(argument: &str) -> Result<Action, InputError> {
    let usage = "/msg WHO text";
    let (who, text) = argument.trim_start().split_once(' ').ok_or(InputError::Incomplete { usage })?;
    Ok(Action::Message { who: who.to_owned(), text: required(text, usage)? })
}

fn close(argument: &str) -> Result<Action, InputError> {
    Ok(Action::Close { who: optional_word(argument, "/close ADDR")? })
}

fn optional_word(argument: &str, usage: &'static str) -> Result<Option<String>, InputError> {
    if argument.trim().is_empty() { Ok(None) } else { word(argument, usage).map(Some) }
}

/// A text is taken exactly as it stands, spaces at its ends included.
pub(super) fn required(argument: &str, usage: &'static str) -> Result<String, InputError> {
    if argument.is_empty() { Err(InputError::Incomplete { usage }) } else { Ok(argument.to_owned()) }
}

pub(super) fn word(argument: &str, usage: &'static str) -> Result<String, InputError> {
    let mut words = argument.split_whitespace();
    let word = words.next().ok_or(InputError::Incomplete { usage })?;
    if words.next().is_some() { Err(InputError::Excess { usage }) } else { Ok(word.to_owned()) }
}

pub(super) fn nothing<T>(argument: &str, action: T, usage: &'static str) -> Result<T, InputError> {
    if argument.trim().is_empty() { Ok(action) } else { Err(InputError::Excess { usage }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Action) {
        assert_eq!(parse(line), Ok(expected), "{line:?}");
    }

    #[track_caller]
    fn refuse(line: &str, expected: &str) {
        let error = parse(line).expect_err(line);
        assert_eq!(error.to_string(), expected, "{line:?}");
    }

    fn say(text: &str) -> Action {
        Action::Say { text: text.to_owned() }
    }

    #[test]
    fn text_is_sent_as_it_stands() {
        check("hello", say("hello"));
        check("  spaces  ", say("  spaces  "));
        check(" /not a command", say(" /not a command"));
        check("", say(""));
    }

    #[test]
    fn two_slashes_send_one() {
        check("//quit", say("/quit"));
        check("//", say("/"));
        check("///x", say("//x"));
    }

    #[test]
    fn commands_take_the_rest_of_the_line() {
        let who = "127.0.0.1:6001".to_owned();
        check(
            "/msg 127.0.0.1:6001  two  spaces",
            Action::Message { who: who.clone(), text: " two  spaces".to_owned() },
        );
        check("/reply /quit", Action::Reply { text: "/quit".to_owned() });
        check("/echo a\nb", Action::Echo { text: "a\nb".to_owned() });
        check("/to 127.0.0.1:6001 ", Action::To { who: who.clone() });
        check("/close", Action::Close { who: None });
        check("/close 127.0.0.1:6001", Action::Close { who: Some(who) });
        check("/nick bob", Action::Nick { nick: "bob".to_owned() });
    }

    #[test]
    fn portuguese_names_and_capitals_do_the_same() {
        check("/sair", Action::Quit);
        check("/QUIT", Action::Quit);
        check("/usuarios", Action::Who { room: None });
        check("/USUÁRIOS Sala", Action::Who { room: Some("#sala".to_owned()) });
        check("/ajuda", Action::Help);
        check("/verificar", Action::Verify { who: None });
        check("/confiar bob", Action::Trust { who: "bob".to_owned() });
        check("/identidade", Action::Identity);
        check("/eco olá", Action::Echo { text: "olá".to_owned() });
    }

    #[test]
    fn mistakes_are_explained_and_never_sent() {
        refuse("/hlep", "there is no command /hlep; /help lists them, //hlep sends the text /hlep");
        refuse("/", "there is no command /; /help lists them, // sends the text /");
        refuse("/msg", "something is missing; write /msg WHO text");
        refuse("/msg 127.0.0.1:6001", "something is missing; write /msg WHO text");
        refuse("/reply", "something is missing; write /reply text");
        refuse("/nick two words", "that is too much; write /nick NAME");
        refuse("/quit now", "that is too much; write /quit");
        refuse("/\x1b[2J", "there is no command /␛[2J; /help lists them, //␛[2J sends the text /␛[2J");
    }
}
