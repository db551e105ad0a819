//! `--json`: one object a line on standard output, for programs. Chatter goes to standard error as in line mode.
//!
//! Texts are exact: nothing is filtered, cut or reworded. What a terminal would act on is escaped as JSON allows, which a
//! reader does not notice, so that looking at the output is safe too. The forms are part of the stable command line.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::filter;
use super::notice::{Arrival, Member, Notice, Outgoing, Party, Receiver, Way};
use super::relay;
use super::style::Style;
use super::text::{self, Limit};
use super::trust;
use super::view::{Status, View};
use crate::chat::EVERYONE;
use crate::io::output::Output;
use crate::io::trace::timestamp;
use crate::peer::Quote;
use crate::secure::PublicKey;
use crate::time::WallTime;

/// Prints objects.
#[derive(Debug)]
pub struct JsonView {
    data: Output,
    chatter: Output,
    style: Style,
}

impl JsonView {
    /// A view whose chatter has a style.
    pub fn new(style: Style) -> Self {
        Self { data: Output::stdout(), chatter: Output::stderr(), style }
    }
}

impl View for JsonView {
    fn show(&mut self, notice: &Notice, at: WallTime) {
        if let Some(object) = printed(notice) {
            self.data.push_line(&encode(&object));
            return;
        }
        for line in text::describe(notice, at, Limit::SCREEN) {
            self.chatter.push_line(&self.style.paint(line.tone, &line.text));
        }
    }

    fn flush(&mut self, _status: &Status) {
        self.data.flush();
        self.chatter.flush();
    }

    fn is_for_programs(&self) -> bool {
        true
    }

    fn failure(&self) -> Option<&std::io::Error> {
        self.data.failure()
    }
}

/// The objects, field by field in the order in which they are printed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Printed<'a> {
    Own(Object<'a>),
    Relay(relay::json::Object<'a>),
    Trust(trust::Object<'a>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Object<'a> {
    Ready {
        addr: SocketAddr,
        sealed: bool,
        key: Option<PublicKey>,
    },
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
    Sent {
        id: &'a str,
        to: String,
        text: &'a str,
        /// Whether an earlier run sent it already.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    Held {
        id: &'a str,
        to: String,
    },
    Kept {
        id: &'a str,
        to: String,
    },
    Waiting {
        addr: SocketAddr,
        count: usize,
    },
    Delivered {
        id: &'a str,
        to: String,
        rtt_ms: f64,
    },
    Failed {
        id: &'a str,
        to: String,
        reason: String,
    },
    Unknown {
        id: &'a str,
        to: String,
    },
    Message(Message<'a>),
    Echoed {
        id: &'a str,
        from: From<'a>,
        text: &'a str,
        rtt_ms: f64,
    },
    Roster {
        room: Option<&'a str>,
        members: Vec<Row<'a>>,
    },
    Error {
        text: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    id: &'a str,
    from: From<'a>,
    room: Option<&'a str>,
    /// Whether it came through a relay for us alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    private: bool,
    /// Of such a letter: whether the relay could not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<bool>,
    text: &'a str,
    ts: String,
    history: bool,
    re: Option<Re<'a>>,
}

#[derive(Debug, Serialize)]
struct From<'a> {
    nick: Option<&'a str>,
    addr: SocketAddr,
}

#[derive(Debug, Serialize)]
struct Re<'a> {
    id: &'a str,
    text: &'a str,
    ts: String,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    nick: Option<&'a str>,
    addr: SocketAddr,
    since: String,
}

fn printed(notice: &Notice) -> Option<Printed<'_>> {
    match notice {
        Notice::Relay(notice) => relay::json::object(notice).map(Printed::Relay),
        Notice::Key { .. } | Notice::Verification { .. } | Notice::Identity(_) => {
            trust::object(notice).map(Printed::Trust)
        }
        notice => object(notice).map(Printed::Own),
    }
}

fn object(notice: &Notice) -> Option<Object<'_>> {
    Some(match notice {
        Notice::Ready { address, key, .. } => {
            Object::Ready { addr: *address, sealed: key.is_some(), key: *key }
        }
        Notice::Connected { party, key } => Object::Connected {
            addr: party.address,
            nick: party.nick.as_deref(),
            sealed: key.is_some(),
            key: *key,
        },
        Notice::Closed { party, reason } => {
            Object::Closed { addr: party.address, reason: reason.to_string() }
        }
        Notice::Sent { message, text, .. } => {
            Object::Sent { id: message.id.as_str(), to: to(message), text, again: false }
        }
        Notice::SentAgain { message, text } => {
            Object::Sent { id: message.id.as_str(), to: to(message), text, again: true }
        }
        Notice::Kept { message } => Object::Kept { id: message.id.as_str(), to: to(message) },
        Notice::Waiting { party, count } => Object::Waiting { addr: party.address, count: *count },
        Notice::Held { message } => Object::Held { id: message.id.as_str(), to: to(message) },
        Notice::Delivered { message, rtt } => {
            Object::Delivered { id: message.id.as_str(), to: to(message), rtt_ms: milliseconds(*rtt) }
        }
        Notice::Failed { message, reason } => {
            Object::Failed { id: message.id.as_str(), to: to(message), reason: reason.to_string() }
        }
        Notice::Unknown { message } => Object::Unknown { id: message.id.as_str(), to: to(message) },
        Notice::Message(arrival) => Object::Message(message(arrival)),
        Notice::Echoed { id, from, text, rtt } => {
            Object::Echoed { id: id.as_str(), from: self::from(from), text, rtt_ms: milliseconds(*rtt) }
        }
        Notice::Roster(members) => Object::Roster { room: None, members: members.iter().map(row).collect() },
        Notice::Error(text) => Object::Error { text },
        Notice::Renamed { .. }
        | Notice::Silent(_)
        | Notice::Resumed(_)
        | Notice::Receiver(_)
        | Notice::Relay(_)
        | Notice::Key { .. }
        | Notice::Verification { .. }
        | Notice::Identity(_)
        | Notice::Help
        | Notice::Info(_) => return None,
    })
}

/// A room, a member's name, `*` or an address.
fn to(message: &Outgoing) -> String {
    match &message.to {
        Receiver::Peer(party) => party.address.to_string(),
        Receiver::Room(name) | Receiver::Member(name) => name.clone(),
        Receiver::Everyone => EVERYONE.to_owned(),
    }
}

fn message(arrival: &Arrival) -> Message<'_> {
    Message {
        id: arrival.id.as_str(),
        from: from(&arrival.from),
        room: match &arrival.way {
            Way::Direct | Way::Letter { .. } => None,
            Way::Room { room, .. } => Some(room),
            Way::Everyone => Some(EVERYONE),
        },
        private: matches!(arrival.way, Way::Letter { .. }),
        sealed: if let Way::Letter { is_sealed } = arrival.way { Some(is_sealed) } else { None },
        text: &arrival.text,
        ts: timestamp(arrival.sent_at),
        history: arrival.is_history,
        re: arrival.reply_to.as_ref().map(re),
    }
}

fn from(party: &Party) -> From<'_> {
    From { nick: party.nick.as_deref(), addr: party.address }
}

fn re(quote: &Quote) -> Re<'_> {
    Re { id: quote.id.as_str(), text: &quote.text, ts: timestamp(quote.sent_at) }
}

fn row(member: &Member) -> Row<'_> {
    Row { nick: member.party.nick.as_deref(), addr: member.party.address, since: timestamp(member.since) }
}

/// To the microsecond: the clock has no more, and a sum of digits that nobody measured would look like precision.
pub(super) fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

pub(super) fn encode(object: &impl Serialize) -> String {
    // Strings and numbers only: there is nothing that JSON cannot say.
    escape(serde_json::to_string(object).unwrap_or_default())
}

/// The same JSON without any character that a terminal would act on. Outside of ASCII, JSON has characters in strings only,
/// and there an escape means the same as the character.
pub fn escape(json: String) -> String {
    if json.is_ascii() && !json.contains('\x7f') {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if filter::visible_char(character) == character {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MessageId;
    use crate::peer::{CloseReason, FailReason};
    use crate::ui::notice::Presence;

    #[track_caller]
    fn check(notice: &Notice, expected: &str) {
        assert_eq!(printed(notice).map(|object| encode(&object)).as_deref(), Some(expected));
    }

    fn address() -> SocketAddr {
        ([127, 0, 0, 1], 6000).into()
    }

    fn party() -> Party {
        Party { address: address(), nick: Some("bob".to_owned()) }
    }

    fn outgoing() -> Outgoing {
        Outgoing { id: MessageId::new("abc", 7), to: Receiver::Peer(party()), preview: String::new() }
    }

    #[test]
    fn connections() {
        check(
            &Notice::Ready {
                address: address(),
                reachable: None,
                busy: None,
                talks: true,
                at_relay: false,
                key: None,
            },
            r#"{"event":"ready","addr":"127.0.0.1:6000","sealed":false,"key":null}"#,
        );
        check(
            &Notice::Connected { party: party(), key: None },
            r#"{"event":"connected","addr":"127.0.0.1:6000","nick":"bob","sealed":false,"key":null}"#,
        );
        let key = Some(crate::secure::KeyPair::from_secret([1; 32]).public());
        check(
            &Notice::Connected { party: party(), key },
            r#"{"event":"connected","addr":"127.0.0.1:6000","nick":"bob","sealed":true,"key":"utqjfevwkhbhrolxfrlj6x5jxmj5sbvunk3izhpz3qvuicpyuieq"}"#,
        );
        check(
            &Notice::Closed { party: party(), reason: CloseReason::Silent },
            r#"{"event":"closed","addr":"127.0.0.1:6000","reason":"the other side fell silent"}"#,
        );
    }

    #[test]
    fn outcomes() {
        let message = outgoing();
        check(
            &Notice::Sent { message: message.clone(), text: "a\n\"b\"".to_owned(), is_echo: false },
            r#"{"event":"sent","id":"abc-7","to":"127.0.0.1:6000","text":"a\n\"b\""}"#,
        );
        check(
            &Notice::Delivered { message: message.clone(), rtt: Duration::from_nanos(50_400_400) },
            r#"{"event":"delivered","id":"abc-7","to":"127.0.0.1:6000","rtt_ms":50.4}"#,
        );
        check(
            &Notice::Failed { message: message.clone(), reason: FailReason::NoAnswer },
            r#"{"event":"failed","id":"abc-7","to":"127.0.0.1:6000","reason":"no answer"}"#,
        );
        check(
            &Notice::SentAgain { message: message.clone(), text: "a".to_owned() },
            r#"{"event":"sent","id":"abc-7","to":"127.0.0.1:6000","text":"a","again":true}"#,
        );
        check(
            &Notice::Kept { message: message.clone() },
            r#"{"event":"kept","id":"abc-7","to":"127.0.0.1:6000"}"#,
        );
        check(
            &Notice::Waiting { party: party(), count: 2 },
            r#"{"event":"waiting","addr":"127.0.0.1:6000","count":2}"#,
        );
        check(
            &Notice::Held { message: message.clone() },
            r#"{"event":"held","id":"abc-7","to":"127.0.0.1:6000"}"#,
        );
        check(&Notice::Unknown { message }, r#"{"event":"unknown","id":"abc-7","to":"127.0.0.1:6000"}"#);
    }

    #[test]
    fn messages() {
        let mut arrival = Arrival {
            id: MessageId::new("xyz", 1),
            from: Party { address: address(), nick: None },
            way: Way::Direct,
            is_history: false,
            text: "oi".to_owned(),
            sent_at: WallTime::from_unix_micros(1_500_000),
            reply_to: None,
        };
        check(
            &Notice::Message(arrival.clone()),
            r#"{"event":"message","id":"xyz-1","from":{"nick":null,"addr":"127.0.0.1:6000"},"room":null,"text":"oi","ts":"1970-01-01T00:00:01.500000Z","history":false,"re":null}"#,
        );
        arrival.from = party();
        arrival.reply_to = Some(Quote {
            id: MessageId::new("abc", 7),
            text: "hi".to_owned(),
            sent_at: WallTime::from_unix_micros(0),
        });
        check(
            &Notice::Message(arrival.clone()),
            r#"{"event":"message","id":"xyz-1","from":{"nick":"bob","addr":"127.0.0.1:6000"},"room":null,"text":"oi","ts":"1970-01-01T00:00:01.500000Z","history":false,"re":{"id":"abc-7","text":"hi","ts":"1970-01-01T00:00:00.000000Z"}}"#,
        );
        arrival.reply_to = None;
        arrival.way = Way::Room { room: "#sala".to_owned(), is_only: true };
        arrival.is_history = true;
        check(
            &Notice::Message(arrival.clone()),
            r##"{"event":"message","id":"xyz-1","from":{"nick":"bob","addr":"127.0.0.1:6000"},"room":"#sala","text":"oi","ts":"1970-01-01T00:00:01.500000Z","history":true,"re":null}"##,
        );
        (arrival.way, arrival.is_history) = (Way::Letter { is_sealed: true }, false);
        check(
            &Notice::Message(arrival),
            r#"{"event":"message","id":"xyz-1","from":{"nick":"bob","addr":"127.0.0.1:6000"},"room":null,"private":true,"sealed":true,"text":"oi","ts":"1970-01-01T00:00:01.500000Z","history":false,"re":null}"#,
        );
    }

    #[test]
    fn the_rest() {
        check(&Notice::Error("no".to_owned()), r#"{"event":"error","text":"no"}"#);
        let member =
            Member { party: party(), presence: Presence::Here, since: WallTime::from_unix_micros(0) };
        check(
            &Notice::Roster(vec![member]),
            r#"{"event":"roster","room":null,"members":[{"nick":"bob","addr":"127.0.0.1:6000","since":"1970-01-01T00:00:00.000000Z"}]}"#,
        );
        check(
            &Notice::Echoed {
                id: MessageId::new("abc", 8),
                from: party(),
                text: "hello".to_owned(),
                rtt: Duration::from_micros(400),
            },
            r#"{"event":"echoed","id":"abc-8","from":{"nick":"bob","addr":"127.0.0.1:6000"},"text":"hello","rtt_ms":0.4}"#,
        );
        assert!(printed(&Notice::Info("chatter".to_owned())).is_none());
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_read_back_exactly() {
        let text = "\x1b[2J\u{9b}2J\u{202e}\u{7f}é漢\u{e0041}";
        let line = encode(&Object::Error { text });
        assert_eq!(line, r#"{"event":"error","text":"\u001b[2J\u009b2J\u202e\u007fé漢\udb40\udc41"}"#);
        let read: serde_json::Value = serde_json::from_str(&line).expect("our own line");
        assert_eq!(read["text"], text);
    }
}
