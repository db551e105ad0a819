//! What can be written on the command line. Scripts rely on it: a flag is never renamed, and none is there that does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::relay::{FaultSwitch, FloodLimit};
use crate::chat::room_name;
use crate::io::resolve::{AddressError, Target};
use crate::ui::input::InputError;

/// Messaging over UDP that stays fast when the network is bad.
#[derive(Debug, Parser)]
#[command(name = "udpchat", version, max_term_width = 100)]
pub struct Arguments {
    /// Log what happens to standard error; twice for more. `UDPCHAT_LOG` takes a level by name
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk: send to anybody, see what anybody sends
    Peer(PeerArgs),
    /// Serve rooms, names and history to any number of members
    Relay(RelayArgs),
    /// Send a text, or each line of standard input, and end when all of it was acknowledged
    Send(SendArgs),
    /// Print the messages that come
    Listen(ListenArgs),
    /// Print your key, as text and as words
    Id(IdArgs),
    /// Say which key is the right one for an address, instead of the one that is known
    Trust(TrustArgs),
    /// Print datagrams, in hex one a line or as --trace writes them, as JSON
    Decode(DecodeArgs),
}

/// The flags of `peer`.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// Listen on this address [default: 0.0.0.0:6000, or the next port that is free]
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<Target>,

    /// The name that others see, and whose profile, with its key, is used [default: no name, and the profile of the user]
    #[arg(long)]
    pub nick: Option<String>,

    /// Send plain lines to this address, or to KEY@ADDR: to nobody without this key
    #[arg(long, value_name = "ADDR")]
    pub to: Option<Target>,

    /// Be a member of the relay at this address (port 6100 unless another is given), or at KEY@ADDR: of none without this key
    #[arg(long, value_name = "ADDR", value_parser = parse_relay)]
    pub relay: Option<Target>,

    /// Join this room of the relay, and send plain lines to the first one. A room's password is asked for, or taken from the
    /// environment as UDPCHAT_ROOM_PASSWORD
    #[arg(long = "room", value_name = "NAME", value_parser = parse_room, requires = "relay")]
    pub rooms: Vec<String>,

    /// Show this many earlier lines of each room [default: what was missed since the last time; the first time, all]
    #[arg(long, value_name = "N|all|none", value_parser = parse_history, requires = "relay")]
    pub history: Option<History>,

    /// Become an operator of the relay, by the secret in this file
    #[arg(long, value_name = "FILE", requires = "relay")]
    pub admin_secret: Option<PathBuf>,

    /// Keep profiles in this folder [default: udpchat in the folder that the system has for data]
    #[arg(long, value_name = "DIR", env = "UDPCHAT_DATA")]
    pub data: Option<PathBuf>,

    /// Fail on purpose, to show what happens: `connect` breaks the first connection
    #[arg(long, value_name = "FAULT")]
    pub fault: Option<PeerFault>,

    /// Encryption.
    #[command(flatten)]
    pub clear: ClearArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,

    /// Only append lines: no cursor movements, no line editor
    #[arg(long)]
    pub plain: bool,

    /// Write every datagram to this file as a line of hex (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<String>,
}

/// The flags of `relay`. A flag wins over its variable in the environment, that one over the file.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Listen on this address [default: 0.0.0.0:6100]
    #[arg(long, value_name = "ADDR", env = "UDPCHAT_RELAY_BIND")]
    pub bind: Option<Target>,

    /// Keep the relay's key, history, logs and the operators' secret in this folder [default: udpchat/relay in the folder that the system has
    /// for data]
    #[arg(long, value_name = "DIR", env = "UDPCHAT_RELAY_DATA")]
    pub data: Option<PathBuf>,

    /// Forget rooms, names and history when the relay ends (its key is kept, and logs are still written)
    #[arg(long, env = "UDPCHAT_RELAY_MEMORY")]
    pub memory: bool,

    /// How fast a member may talk: so many lines at once, then so many a second; or off [default: 200,50]
    #[arg(long, value_name = "BURST,RATE", env = "UDPCHAT_RELAY_FLOOD")]
    pub flood: Option<FloodLimit>,

    /// Tell everyone who comes in what is in this file; SIGHUP reads it again, as with --config
    #[arg(long, value_name = "FILE", env = "UDPCHAT_RELAY_MOTD")]
    pub motd: Option<PathBuf>,

    /// Read settings from this file; SIGHUP reads it again (closing the terminal that the relay runs on ends it in order)
    #[arg(long, value_name = "FILE", env = "UDPCHAT_RELAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Print a settings file with everything in it, and end
    #[arg(long)]
    pub example_config: bool,

    /// Fail on purpose, to show what happens: `connect` lets nobody in, `send` refuses every line, `receive=0.3` loses 30 % of
    /// what arrives; may be repeated
    #[arg(long = "fault", value_name = "FAULT", env = "UDPCHAT_RELAY_FAULT", value_delimiter = ',')]
    pub faults: Vec<FaultSwitch>,

    /// Encryption.
    #[command(flatten)]
    pub clear: ClearArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,

    /// Write every datagram to this file as a line of hex (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<String>,
}

/// How many earlier lines; [`u64::MAX`] is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(pub u64);

/// What a peer can be made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PeerFault {
    /// The first connection fails as soon as it is there.
    Connect,
}

/// The flags of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Send to this address, or to KEY@ADDR: to nobody without this key
    #[arg(long, value_name = "ADDR")]
    pub to: Target,

    /// Whose key is used.
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Give up after this long without progress, such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// Encryption.
    #[command(flatten)]
    pub clear: ClearArgs,

    /// Write every datagram to this file as a line of hex (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<String>,

    /// The text; - sends each line of standard input as one message
    #[arg(value_name = "TEXT|-")]
    pub text: String,
}

/// The flags of `listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:6000")]
    pub bind: Target,

    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Whose key is used.
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Encryption.
    #[command(flatten)]
    pub clear: ClearArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,

    /// Write every datagram to this file as a line of hex (- is standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<String>,
}

/// The flags of `id`.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// Whose key.
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The flags of `trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The address as it is typed elsewhere, with the key before it
    #[arg(value_name = "KEY@ADDR")]
    pub who: Target,

    /// Who trusts it.
    #[command(flatten)]
    pub profile: ProfileArgs,
}

#[expect(missing_docs, reason = "a doc comment would become the help of every command that has the flags")]
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// The name that others see, and whose profile, with its key, is used [default: no name, and the profile of the user]
    #[arg(long)]
    pub nick: Option<String>,

    /// Keep profiles in this folder [default: udpchat in the folder that the system has for data]
    #[arg(long, value_name = "DIR", env = "UDPCHAT_DATA")]
    pub data: Option<PathBuf>,
}

/// The flags of `decode`.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// The file; - is standard input
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub file: String,
}

#[expect(missing_docs, reason = "a doc comment would become the help of every command that has the flag")]
#[derive(Debug, Args)]
pub struct ClearArgs {
    /// Do not encrypt, for learning and testing: whoever is on the way can read and change what is said. Both sides must say so
    #[arg(long)]
    pub clear: bool,
}

/// The port of a relay that is not told otherwise.
const RELAY_PORT: u16 = 6100;

fn parse_relay(text: &str) -> Result<Target, AddressError> {
    match text.parse() {
        Err(AddressError::NoPort { .. }) => format!("{text}:{RELAY_PORT}").parse(),
        result => result,
    }
}

fn parse_room(text: &str) -> Result<String, InputError> {
    room_name(text).ok_or(InputError::NoRoom)
}

fn parse_history(text: &str) -> Result<History, String> {
    match text {
        "all" => Ok(History(u64::MAX)),
        "none" => Ok(History(0)),
        number => number.parse().map(History).map_err(|_| "write a number, all or none".to_owned()),
    }
}

/// A number with a unit, or of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let mistake = || "write a time such as 500ms, 10s or 2m".to_owned();
    let digits =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| mistake())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" | "" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(mistake()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| mistake())?;
    if duration.is_zero() { Err("the time must be longer than nothing".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_relay_has_a_usual_port() {
        let shown =
            |text| parse_relay(text).map(|target| target.to_string()).map_err(|error| error.to_string());
        assert_eq!(shown("host").as_deref(), Ok("host:6100"));
        assert_eq!(shown("host:7").as_deref(), Ok("host:7"));
        assert_eq!(shown("[::1]").as_deref(), Ok("[::1]:6100"));
        assert_eq!(shown("127.0.0.1").as_deref(), Ok("127.0.0.1:6100"));
        assert!(shown("::1").is_err_and(|error| error.contains("brackets")));
    }

    #[test]
    fn history_is_a_number_or_a_word() {
        for (text, expected) in [("all", u64::MAX), ("none", 0), ("20", 20)] {
            assert_eq!(parse_history(text), Ok(History(expected)));
        }
        assert!(parse_history("-1").is_err() && parse_history("some").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1s", "10 parsecs", "0", "1.2.3s", "9999999999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
