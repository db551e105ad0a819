//! What whoever runs a relay sees of it: where it is to be reached, what happens, what was counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use super::filter;
use super::json::escape;
use crate::chat::format_timestamp;
use crate::endpoint::Statistics;
use crate::relay::{PasswordStatistics, Record, What};
use crate::secure::{PublicKey, key_words};

/// What a clear run says (UC-THREAT-001).
const CLEAR: &str = "CLEAR: not encrypted; whoever is on the way can read what is said";

/// A relay that begins.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'a> {
    /// What its socket is bound to.
    pub address: SocketAddr,
    /// Where it can be reached.
    pub reachable: &'a [SocketAddr],
    /// What it does wrong on purpose, as the flag says it.
    pub faults: &'a [String],
    /// Who it is; None in a clear run.
    pub key: Option<PublicKey>,
    /// Whether that was made just now.
    pub has_new_key: bool,
    /// Whether nothing is kept beyond the end.
    pub in_memory: bool,
    /// Whether it ends with the terminal that it was started on.
    pub has_terminal: bool,
    /// Its folder.
    pub data: &'a Path,
    /// The folder of its log.
    pub logs: &'a Path,
    /// The file that makes operators.
    pub admin_secret: &'a Path,
}

/// What was counted in a run.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a> {
    /// By the endpoint.
    pub endpoint: &'a Statistics,
    /// Datagrams that were dropped on purpose.
    pub dropped: u64,
    /// Messages that said nothing.
    pub unreadable: u64,
    /// Of rooms' passwords.
    pub passwords: &'a PasswordStatistics,
}

/// A folder that was lost looks the same as a first start, and members see the difference.
const NEW_KEY: &str = "this key was made just now; who knew a relay here by another one is warned, and enters only after /trust ADDR";

impl Ready<'_> {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("listening on {}", self.address)];
        lines.extend(self.reachable.iter().map(|address| format!("reachable at {address}")));
        match self.key {
            Some(key) => {
                lines.push(format!("sealed; its key is {key}"));
                lines.push(format!("in words: {}", key_words(&key)));
                if self.has_new_key {
                    lines.push(NEW_KEY.to_owned());
                }
            }
            None => lines.push(CLEAR.to_owned()),
        }
        lines.push(if self.in_memory {
            "rooms, names and history are forgotten at the end (--memory)".to_owned()
        } else {
            format!("data in {}", self.data.display())
        });
        lines.push(format!("log in {}", self.logs.display()));
        lines.push(format!("operators join with --admin-secret {}", self.admin_secret.display()));
        lines.push(if self.has_terminal {
            "Ctrl-C ends it, and so does closing this terminal; SIGHUP reads the settings again".to_owned()
        } else {
            "SIGTERM ends it, SIGHUP reads the settings again".to_owned()
        });
        if !self.faults.is_empty() {
            lines.push(format!("FAULTS on purpose (--fault): {}", self.faults.join(", ")));
        }
        lines
    }

    /// For programs.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Event<'a> {
            event: &'static str,
            addr: SocketAddr,
            addrs: &'a [SocketAddr],
            clear: bool,
            sealed: bool,
            key: Option<PublicKey>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            new_key: bool,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            faults: &'a [String],
            memory: bool,
            data: String,
            logs: String,
            admin_secret: String,
        }
        encode(&Event {
            event: "ready",
            addr: self.address,
            addrs: self.reachable,
            clear: self.key.is_none(),
            sealed: self.key.is_some(),
            key: self.key,
            new_key: self.has_new_key,
            faults: self.faults,
            memory: self.in_memory,
            data: self.data.display().to_string(),
            logs: self.logs.display().to_string(),
            admin_secret: self.admin_secret.display().to_string(),
        })
    }
}

impl Counters<'_> {
    /// For people.
    pub fn line(&self) -> String {
        let counted = self.endpoint;
        let fates: Vec<String> =
            counted.dispositions().map(|(name, count)| format!("{name} {count}")).collect();
        let fates = if fates.is_empty() { String::new() } else { format!(" ({})", fates.join(", ")) };
        let mut line = format!(
            "{} datagrams received{fates}, {} sent; {} bytes in, {} out",
            counted.datagrams_received, counted.datagrams_sent, counted.bytes_received, counted.bytes_sent
        );
        if counted.closed_for_memory > 0 {
            line.push_str(&format!("; {} connections closed for want of memory", counted.closed_for_memory));
        }
        if self.unreadable > 0 {
            line.push_str(&format!("; {} messages could not be read", self.unreadable));
        }
        let PasswordStatistics { right, wrong, held_back } = self.passwords;
        if right + wrong + held_back > 0 {
            line.push_str(&format!("; passwords: {right} right, {wrong} wrong, {held_back} held back"));
        }
        line
    }

    /// What was dropped on purpose, of what.
    pub fn dropped_line(&self) -> String {
        let arrived = self.endpoint.datagrams_received + self.dropped;
        format!("--fault receive dropped {} of {arrived} datagrams that arrived", self.dropped)
    }

    /// For programs.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Event {
            event: &'static str,
            datagrams_received: u64,
            datagrams_sent: u64,
            bytes_received: u64,
            bytes_sent: u64,
            dispositions: BTreeMap<&'static str, u64>,
            closed_for_memory: u64,
            unreadable_messages: u64,
            passwords_right: u64,
            passwords_wrong: u64,
            passwords_held_back: u64,
            dropped_on_purpose: u64,
        }
        let counted = self.endpoint;
        encode(&Event {
            event: "counters",
            datagrams_received: counted.datagrams_received,
            datagrams_sent: counted.datagrams_sent,
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
            dispositions: counted.dispositions().collect(),
            closed_for_memory: counted.closed_for_memory,
            unreadable_messages: self.unreadable,
            passwords_right: self.passwords.right,
            passwords_wrong: self.passwords.wrong,
            passwords_held_back: self.passwords.held_back,
            dropped_on_purpose: self.dropped,
        })
    }
}

/// A record of the log for people.
pub fn record_line(record: &Record) -> String {
    filter::visible(&record.to_string()).into_owned()
}

/// A record of the log for programs; what the operator must know is an error.
pub fn record_json(record: &Record) -> String {
    #[derive(Serialize)]
    struct Event {
        event: &'static str,
        at: String,
        text: String,
    }
    let event = if is_trouble(record) { "error" } else { "log" };
    encode(&Event { event, at: format_timestamp(record.at), text: record.what.to_string() })
}

fn encode(event: &impl Serialize) -> String {
    escape(serde_json::to_string(event).expect("texts and numbers are always JSON"))
}

/// Whether it tells of a failure that a fault switch made, of the relay's or of a member's: it is there to be seen.
pub fn is_fault(record: &Record) -> bool {
    match &record.what {
        What::Refused { why, .. } => why.contains("fault: the relay was started with --fault"),
        What::Disconnected { reason, .. } => reason == "connection fault (switch)",
        _ => false,
    }
}

/// Whether the operator must know of it, whatever else is shown.
pub const fn is_trouble(record: &Record) -> bool {
    matches!(record.what, What::Trouble { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;

    #[test]
    fn texts_from_the_network_are_harmless_for_people_and_exact_for_programs() {
        let at = WallTime::from_unix_micros(1_795_262_400_000_001);
        let text = "a\n\u{1b}[2J".to_owned();
        let record =
            Record { at, what: What::Line { room: "#sala".to_owned(), nick: "ana".to_owned(), text } };
        assert_eq!(record_line(&record), "2026-11-21T12:00:00.000001Z #sala ana: a␊␛[2J");
        assert_eq!(
            record_json(&record),
            r##"{"event":"log","at":"2026-11-21T12:00:00.000001Z","text":"#sala ana: a\n\u001b[2J"}"##
        );
    }

    #[test]
    fn beginning_tells_where_and_that_it_is_clear() {
        let address = "0.0.0.0:6100".parse().expect("it is one");
        let reachable = ["10.0.0.1:6100".parse().expect("it is one")];
        let (data, logs, admin_secret) = (Path::new("d"), Path::new("d/logs"), Path::new("d/admin-secret"));
        let faults = ["connect".to_owned(), "receive=0.3".to_owned()];
        let ready = Ready {
            address,
            reachable: &reachable,
            faults: &faults,
            key: None,
            has_new_key: false,
            in_memory: false,
            has_terminal: false,
            data,
            logs,
            admin_secret,
        };
        let lines = [
            "listening on 0.0.0.0:6100",
            "reachable at 10.0.0.1:6100",
            "CLEAR: not encrypted; whoever is on the way can read what is said",
            "data in d",
            "log in d/logs",
            "operators join with --admin-secret d/admin-secret",
            "SIGTERM ends it, SIGHUP reads the settings again",
            "FAULTS on purpose (--fault): connect, receive=0.3",
        ];
        assert_eq!(ready.lines(), lines);
        let key = crate::secure::KeyPair::from_secret([1; 32]).public();
        let sealed = Ready { key: Some(key), ..ready }.lines();
        assert_eq!(
            sealed[2..4],
            [format!("sealed; its key is {key}"), format!("in words: {}", key_words(&key))]
        );
        let fresh = Ready { key: Some(key), has_new_key: true, ..ready };
        assert_eq!(fresh.lines()[4], NEW_KEY);
        assert!(fresh.json().contains(r#""new_key":true"#) && !ready.json().contains("new_key"));
    }

    #[test]
    fn a_failure_on_purpose_is_seen() {
        let record = |what| Record { at: WallTime::default(), what };
        let address = ([127, 0, 0, 1], 6001).into();
        let refused = |why: &str| What::Refused { nick: String::new(), address, why: why.to_owned() };
        let ended = |reason: &str| What::Disconnected { address, nick: None, reason: reason.to_owned() };
        for (what, expected) in [
            (refused("connection: connection fault: the relay was started with --fault connect"), true),
            (refused("a message: send fault: the relay was started with --fault send"), true),
            (refused("a message: you are muted"), false),
            (ended("connection fault (switch)"), true),
            (ended("no answer"), false),
        ] {
            assert_eq!(is_fault(&record(what.clone())), expected, "{what}");
        }
    }
}
