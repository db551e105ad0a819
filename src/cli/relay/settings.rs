//! From flags, environment and file to what a relay is started with, and again at SIGHUP.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::super::args::RelayArgs;
use super::flags::FloodLimit;
use crate::chat::MAX_REMARK_BYTES;
use crate::io::resolve::Target;
use crate::relay::RelayLimits;

/// A settings file with everything in it, as a comment.
pub(super) const EXAMPLE: &str = include_str!("example.toml");

/// Longer files were not written by people.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What a line may have at the most: with its escapes it still fits the messages that a relay takes.
const MAX_TEXT_BYTES: usize = 128 * 1024;

/// A hundred years.
const MAX_LETTER_DAYS: u64 = 36_500;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    bind: Option<String>,
    data: Option<PathBuf>,
    memory: bool,
    motd: Option<String>,
    motd_file: Option<PathBuf>,
    limits: WrittenLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenLimits {
    flood: Option<String>,
    connections: Option<String>,
    members: Option<usize>,
    rooms_per_member: Option<usize>,
    text_bytes: Option<usize>,
    mailbox_letters: Option<u64>,
    mailbox_bytes: Option<u64>,
    letter_days: Option<u64>,
}

/// What flags, environment and file amount to.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    /// None: the default.
    pub(super) bind: Option<Target>,
    /// None: the default.
    pub(super) data: Option<PathBuf>,
    /// Whether nothing is kept.
    pub(super) in_memory: bool,
    /// What may change while it runs.
    pub(super) limits: RelayLimits,
}

impl Settings {
    /// Reads the files that the flags name. The error is a sentence that names the file and what is wrong in it.
    pub(super) fn read(flags: &RelayArgs) -> Result<Self, String> {
        let (written, name) = match &flags.config {
            Some(file) => (parse(&read_file(file)?, file)?, file.display().to_string()),
            None => (Written::default(), String::new()),
        };
        let bind = written.bind.as_deref().map(str::parse).transpose();
        let bind = bind.map_err(|error| format!("{name}: bind: {error}"))?;
        if written.motd.is_some() && written.motd_file.is_some() {
            return Err(format!("{name}: motd and motd_file are both there; leave one out"));
        }
        let mut limits = written.limits.checked().map_err(|error| format!("{name}: {error}"))?;
        limits.motd = match flags.motd.as_ref().or(written.motd_file.as_ref()) {
            Some(file) => Some(read_file(file)?),
            None => written.motd,
        };
        limits.motd = limits.motd.map(|motd| motd.trim_end().to_owned()).filter(|motd| !motd.is_empty());
        if limits.motd.as_ref().is_some_and(|motd| motd.len() > MAX_REMARK_BYTES) {
            return Err(format!("the message of the day may have {MAX_REMARK_BYTES} bytes, and has more"));
        }
        if let Some(FloodLimit(flood)) = flags.flood {
            limits.flood = flood;
        }
        Ok(Self {
            bind: flags.bind.clone().or(bind),
            data: flags.data.clone().or(written.data),
            in_memory: flags.memory || written.memory,
            limits,
        })
    }

    /// What is otherwise than it was, in words.
    pub(super) fn changes_from(&self, before: &Self) -> String {
        let (now, was) = (&self.limits, &before.limits);
        let taken = [
            ("motd", now.motd != was.motd),
            ("flood", now.flood != was.flood),
            ("connections", now.connections != was.connections),
            ("members", now.members != was.members),
            ("rooms_per_member", now.rooms_per_member != was.rooms_per_member),
            ("text_bytes", now.text_bytes != was.text_bytes),
            ("mailbox_letters", now.mailbox.letters != was.mailbox.letters),
            ("mailbox_bytes", now.mailbox.bytes != was.mailbox.bytes),
            ("letter_days", now.letter_lifetime != was.letter_lifetime),
        ];
        let kept = [
            ("bind", self.bind != before.bind),
            ("data", self.data != before.data),
            ("memory", self.in_memory != before.in_memory),
        ];
        let names = |all: &[(&'static str, bool)]| {
            let changed: Vec<&str> = all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
            changed.join(", ")
        };
        let (taken, kept) = (names(&taken), names(&kept));
        let taken = if taken.is_empty() { "nothing changed".to_owned() } else { format!("new: {taken}") };
        let kept = if kept.is_empty() { kept } else { format!("; only a restart changes {kept}") };
        format!("settings were read again: {taken}{kept}")
    }
}

impl WrittenLimits {
    fn checked(&self) -> Result<RelayLimits, String> {
        let mut limits = RelayLimits::default();
        for (key, text, limit) in [
            ("flood", &self.flood, &mut limits.flood),
            ("connections", &self.connections, &mut limits.connections),
        ] {
            if let Some(text) = text {
                let FloodLimit(flood) = text.parse().map_err(|error| format!("limits.{key}: {error}"))?;
                *limit = flood;
            }
        }
        let at_least_one = |key: &str, number: usize| {
            if number == 0 { Err(format!("limits.{key}: it must be at least 1")) } else { Ok(number) }
        };
        if let Some(members) = self.members {
            limits.members = at_least_one("members", members)?;
        }
        if let Some(rooms) = self.rooms_per_member {
            limits.rooms_per_member = at_least_one("rooms_per_member", rooms)?;
        }
        if let Some(bytes) = self.text_bytes {
            if bytes > MAX_TEXT_BYTES {
                return Err(format!("limits.text_bytes: it may be {MAX_TEXT_BYTES} at the most"));
            }
            limits.text_bytes = at_least_one("text_bytes", bytes)?;
        }
        if let Some(letters) = self.mailbox_letters {
            limits.mailbox.letters = letters;
        }
        if let Some(bytes) = self.mailbox_bytes {
            limits.mailbox.bytes = bytes;
        }
        if let Some(days) = self.letter_days {
            if !(1..=MAX_LETTER_DAYS).contains(&days) {
                return Err(format!("limits.letter_days: it is from 1 to {MAX_LETTER_DAYS}"));
            }
            limits.letter_lifetime = Duration::from_secs(days * 24 * 3600);
        }
        Ok(limits)
    }
}

fn parse(text: &str, file: &Path) -> Result<Written, String> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}, line {line}: {}", file.display(), error.message())
    })
}

fn read_file(file: &Path) -> Result<String, String> {
    let failed = |error| format!("{} cannot be read: {error}", file.display());
    let mut text = String::new();
    let opened = File::open(file).map_err(failed)?;
    opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{} is longer than {MAX_FILE_BYTES} bytes", file.display()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Flood;

    #[track_caller]
    fn check(text: &str, expected: Result<RelayLimits, &str>) {
        let parsed = parse(text, Path::new("f")).and_then(|written| written.limits.checked());
        assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn example_says_the_defaults() {
        check(EXAMPLE, Ok(RelayLimits::default()));
        let spoken: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .filter(|line| !line.starts_with("motd_file"))
            .flat_map(|line| [line, "\n"])
            .collect();
        check(&spoken, Ok(RelayLimits::default()));
        assert!(spoken.contains("\nletter_days = 30\n"), "{spoken}");
    }

    #[test]
    fn file_changes_what_it_names() {
        let flood = Some(Flood { burst: 3, per_second: 2 });
        let limits = RelayLimits { flood, connections: None, members: 7, ..RelayLimits::default() };
        check("[limits]\nflood = \"3,2\"\nconnections = \"off\"\nmembers = 7", Ok(limits));
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = "f, line 2: unknown field `membres`, expected one of `flood`, `connections`, `members`, \
                       `rooms_per_member`, `text_bytes`, `mailbox_letters`, `mailbox_bytes`, `letter_days`";
        check("[limits]\nmembres = 7", Err(unknown));
        check("[limits]\nmembers = 0", Err("limits.members: it must be at least 1"));
        check("[limits]\ntext_bytes = 999999", Err("limits.text_bytes: it may be 131072 at the most"));
        check("[limits]\nletter_days = 0", Err("limits.letter_days: it is from 1 to 36500"));
        let flood =
            "limits.flood: write how many at once and how many a second after that, such as 200,50, or off";
        check("[limits]\nflood = \"fast\"", Err(flood));
    }

    #[test]
    fn changes_are_named_and_so_is_what_needs_a_restart() {
        let settings = |bind: Option<&str>, members| Settings {
            bind: bind.map(|bind| bind.parse().expect("an address")),
            data: None,
            in_memory: false,
            limits: RelayLimits { members, ..RelayLimits::default() },
        };
        let before = settings(None, 5);
        for (after, expected) in [
            (settings(None, 5), "settings were read again: nothing changed"),
            (settings(None, 6), "settings were read again: new: members"),
            (
                settings(Some("127.0.0.1:7"), 5),
                "settings were read again: nothing changed; only a restart changes bind",
            ),
        ] {
            assert_eq!(after.changes_from(&before), expected);
        }
    }
}
