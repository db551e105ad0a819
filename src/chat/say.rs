//! One thing said, to and from its JSON.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    MAX_TEXT_BYTES, MessageId, News, Party, RefusalCode, Request, Sealed, format_timestamp, is_nick,
    parse_timestamp,
};
use crate::secure::PublicKey;
use crate::time::WallTime;
use crate::wire::object;

/// One thing said, from one side to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say<'a> {
    /// Who says it.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// When, by the sender's clock.
    pub at: WallTime,
    /// What.
    pub said: Said<'a>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Who the sender is; the first thing said on every connection, and again after a change of nick.
    Introduce {
        /// Names the program's run: the same text as in all its message ids.
        run: Cow<'a, str>,
        /// Whether it remembers what it shows, and so may be told things again.
        remembers: bool,
    },
    /// A message, or the wish that a text be returned.
    Words(Words<'a>),
    /// The receiver's own word on a message: shown or done, or refused.
    Receipt(Receipt<'a>),
    /// A text returned.
    Echoed {
        /// The wish.
        id: MessageId,
        /// When that was said, by its sender's clock.
        original_at: WallTime,
        /// The text.
        text: Cow<'a, str>,
    },
    /// What a member wants of a relay.
    Request {
        /// Its name: it gets a receipt like words.
        id: MessageId,
        /// What is wanted.
        ask: Request,
    },
    /// What a relay tells a member.
    News(News),
}

/// The receiver's own word on something said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// On what.
    pub id: MessageId,
    /// When that was said, by its sender's clock.
    pub original_at: WallTime,
    /// True: it arrived and is shown, stored or done. False: it arrived intact and is refused.
    pub ack: bool,
    /// A relay's word on a letter: stored, and not yet at its receiver. The final receipt follows.
    pub held: bool,
    /// At a relay: the position of the words in their log.
    pub pos: Option<u64>,
    /// Why it is refused; for people.
    pub reason: Option<Cow<'a, str>>,
    /// Why it is refused; for programs.
    pub code: Option<RefusalCode>,
    /// What might be accepted instead, such as a name that is free.
    pub suggestion: Option<Cow<'a, str>>,
}

impl Receipt<'_> {
    /// It was taken.
    pub const fn taken(id: MessageId, original_at: WallTime) -> Self {
        Self {
            id,
            original_at,
            ack: true,
            held: false,
            pos: None,
            reason: None,
            code: None,
            suggestion: None,
        }
    }
}

impl<'a> Receipt<'a> {
    /// It was refused.
    pub fn refused(id: MessageId, original_at: WallTime, reason: impl Into<Cow<'a, str>>) -> Self {
        Self { ack: false, reason: Some(reason.into()), ..Receipt::taken(id, original_at) }
    }
}

/// Where words stand in a relay's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Their position; positions of one log only grow.
    pub pos: u64,
    /// When the relay stored them, by its clock.
    pub stored_at: WallTime,
}

/// Something that gets a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// Its name.
    pub id: MessageId,
    /// The text; empty if it is sealed.
    pub text: Cow<'a, str>,
    /// A letter's text, and what it answers, as only its receiver can read them. Then the text is empty and nothing is quoted.
    pub sealed: Option<Sealed>,
    /// Whether the text is to be returned.
    pub is_echo: bool,
    /// The message that it answers: its id, its text, and when it was said.
    pub reply_to: Option<(MessageId, Cow<'a, str>, WallTime)>,
    /// Where they stand in a relay's log, once a relay passes them on.
    pub place: Option<Place>,
}

/// Why a message of the layer below says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatError {
    /// It is not JSON of any kind that is known, and has no id by which it could be refused.
    Unreadable,
    /// It has an id and can be refused by it (UC-CHAT-004); the words say why.
    Invalid {
        /// Its name.
        id: MessageId,
        /// When it says that it was said; the epoch if it does not.
        at: WallTime,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("not a chat message"),
            Self::Invalid { why, .. } => f.write_str(why),
        }
    }
}

impl std::error::Error for ChatError {}

impl<'a> Say<'a> {
    /// The JSON of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            kind: Cow::Borrowed(self.kind()),
            from: Some(self.from.clone()),
            to: Some(self.to.clone()),
            ts: Cow::Owned(format_timestamp(self.at)),
            ..Wire::default()
        };
        match &self.said {
            Said::Introduce { run, remembers } => {
                wire.run = Some(Cow::Borrowed(run));
                wire.remembers = remembers.then_some(true);
            }
            Said::Words(words) => {
                wire.id = Some(Cow::Borrowed(words.id.as_str()));
                match &words.sealed {
                    Some(sealed) => {
                        (wire.from_key, wire.to_key) = (Some(sealed.from), Some(sealed.to));
                        wire.sealed = Some(Cow::Owned(sealed.encode_message()));
                    }
                    None => wire.text = Some(Cow::Borrowed(&words.text)),
                }
                if let Some((id, original, original_at)) = &words.reply_to {
                    wire.re = Some(Cow::Borrowed(id.as_str()));
                    wire.original = Some(Cow::Borrowed(original));
                    wire.ts_original = Some(Cow::Owned(format_timestamp(*original_at)));
                }
                if let Some(Place { pos, stored_at }) = words.place {
                    wire.pos = Some(pos);
                    wire.ts_stored = Some(Cow::Owned(format_timestamp(stored_at)));
                }
            }
            Said::Receipt(receipt) => {
                wire.id = Some(Cow::Borrowed(receipt.id.as_str()));
                wire.ts_original = Some(Cow::Owned(format_timestamp(receipt.original_at)));
                wire.ack = Some(receipt.ack);
                wire.held = receipt.held.then_some(true);
                wire.pos = receipt.pos;
                wire.reason = receipt.reason.as_deref().map(Cow::Borrowed);
                wire.code = receipt.code.map(|code| Cow::Borrowed(code.as_str()));
                wire.suggestion = receipt.suggestion.as_deref().map(Cow::Borrowed);
            }
            Said::Echoed { id, original_at, text } => {
                wire.id = Some(Cow::Borrowed(id.as_str()));
                wire.ts_original = Some(Cow::Owned(format_timestamp(*original_at)));
                wire.text = Some(Cow::Borrowed(text));
            }
            Said::Request { id, ask } => {
                wire.id = Some(Cow::Borrowed(id.as_str()));
                wire.ask = Some(Cow::Borrowed(ask));
            }
            Said::News(news) => wire.tell = Some(Cow::Borrowed(news)),
        }
        serde_json::to_vec(&wire).expect("texts and numbers are always JSON")
    }

    /// What the JSON says (UC-CHAT-001).
    pub fn decode(json: &'a [u8]) -> Result<Self, ChatError> {
        let wire: Wire<'a> = read_object(json).ok_or_else(|| refusal(json, "it is not valid"))?;
        wire.read().map_err(|why| refusal(json, why))
    }

    fn kind(&self) -> &'static str {
        match &self.said {
            Said::Introduce { .. } => "introduce",
            Said::Words(Words { is_echo: true, .. }) => "echo",
            Said::Words(Words { reply_to: Some(_), .. }) => "reply",
            Said::Words(_) => "message",
            Said::Receipt(_) => "receipt",
            Said::Echoed { .. } => "echoed",
            Said::Request { .. } => "request",
            Said::News(_) => "news",
        }
    }
}

/// The members of every kind, in the order in which they are written. Flat, because serde reads a tagged enum twice as slowly.
#[derive(Default, Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    re: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    from: Option<Party>,
    #[serde(default, deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    to: Option<Party>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ts_original: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ts: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ts_stored: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<bool>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    suggestion: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    run: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembers: Option<bool>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    original: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_key: Option<PublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_key: Option<PublicKey>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sealed: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "some_owned", skip_serializing_if = "Option::is_none")]
    ask: Option<Cow<'a, Request>>,
    #[serde(default, deserialize_with = "some_owned", skip_serializing_if = "Option::is_none")]
    tell: Option<Cow<'a, News>>,
}

impl<'a> Wire<'a> {
    fn read(self) -> Result<Say<'a>, &'static str> {
        let mut from = self.from.ok_or("it does not say from whom it is")?;
        let to = self.to.ok_or("it does not say for whom it is")?;
        let at = parse_timestamp(&self.ts).ok_or("its time is not a time")?;
        // A name that cannot be shown is no name; the words are shown all the same.
        from.nick = from.nick.filter(|nick| is_nick(nick));
        let id =
            self.id.as_deref().map(|id| MessageId::parse(id).ok_or("its id is not an id")).transpose()?;
        let moment = |at: &str| parse_timestamp(at).ok_or("its original's time is not a time");
        let original_at = self.ts_original.as_deref().map(moment).transpose()?;
        if self.text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
            return Err("its text is too long");
        }
        let place = match (self.pos, &self.ts_stored) {
            (Some(pos), Some(at)) => {
                Some(Place { pos, stored_at: parse_timestamp(at).ok_or("its time is not a time")? })
            }
            _ => None,
        };
        let said = match (self.kind.as_ref(), id) {
            ("introduce", _) => introduction(self.run, self.remembers)?,
            ("receipt", Some(id)) => Said::Receipt(Receipt {
                id,
                original_at: original_at.ok_or("it does not tell its original's time")?,
                ack: self.ack.ok_or("it has no ack")?,
                held: self.held.unwrap_or(false),
                pos: self.pos,
                reason: self.reason,
                code: self.code.as_deref().map(RefusalCode::parse),
                suggestion: self.suggestion,
            }),
            ("request", Some(id)) => {
                Said::Request { id, ask: self.ask.ok_or("it does not say what it wants")?.into_owned() }
            }
            ("news", _) => Said::News(self.tell.ok_or("it does not say what is new")?.into_owned()),
            ("echoed", Some(id)) => Said::Echoed {
                id,
                original_at: original_at.ok_or("it does not tell its original's time")?,
                text: self.text.ok_or("it has no text")?,
            },
            ("reply", Some(id)) => {
                let re =
                    self.re.as_deref().and_then(MessageId::parse).ok_or("it does not say what it answers")?;
                let original = self.original.ok_or("it does not quote what it answers")?;
                let original_at = original_at.ok_or("it does not tell its original's time")?;
                let text = self.text.ok_or("it has no text")?;
                let reply_to = Some((re, original, original_at));
                Said::Words(Words { id, text, sealed: None, is_echo: false, reply_to, place })
            }
            ("message", Some(id)) if self.sealed.is_some() => {
                let keys = self.from_key.zip(self.to_key);
                let (text, sealed) = (Cow::Borrowed(""), Some(read_sealed(keys, self.sealed, self.text)?));
                Said::Words(Words { id, text, sealed, is_echo: false, reply_to: None, place })
            }
            (kind @ ("message" | "echo"), Some(id)) => {
                let text = self.text.ok_or("it has no text")?;
                let is_echo = kind == "echo";
                Said::Words(Words { id, text, sealed: None, is_echo, reply_to: None, place })
            }
            _ => return Err("its kind is not known here"),
        };
        Ok(Say { from, to, at, said })
    }
}

/// A sealed text, whose it is and for whom; there is no other beside it.
fn read_sealed(
    keys: Option<(PublicKey, PublicKey)>,
    sealed: Option<Cow<'_, str>>,
    text: Option<Cow<'_, str>>,
) -> Result<Sealed, &'static str> {
    let (from, to) = keys.ok_or("it does not say whose seal it has")?;
    if text.is_some() {
        return Err("it has a text beside the sealed one");
    }
    Sealed::decode(from, to, &sealed.unwrap_or_default())
}

fn introduction<'a>(run: Option<Cow<'a, str>>, remembers: Option<bool>) -> Result<Said<'a>, &'static str> {
    let run = run.filter(|run| run.len() <= MessageId::MAX_BYTES).ok_or("it does not name its run")?;
    Ok(Said::Introduce { run, remembers: remembers.unwrap_or(false) })
}

/// The whole of `json` as one object.
pub(super) fn read_object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = object(&mut deserializer).ok()?;
    deserializer.end().ok().map(|()| value)
}

fn some_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

fn some_owned<'de, T: Clone + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'static, T>>, D::Error> {
    object(deserializer).map(|value| Some(Cow::Owned(value)))
}

/// The error for JSON that says nothing: by its id, if it has one and is not itself an answer.
fn refusal(json: &[u8], why: &'static str) -> ChatError {
    #[derive(Deserialize)]
    struct Named {
        id: String,
        #[serde(default)]
        kind: String,
        #[serde(default)]
        ts: String,
    }

    let Some(named) = read_object::<Named>(json) else {
        return ChatError::Unreadable;
    };
    if matches!(named.kind.as_str(), "receipt" | "echoed" | "introduce" | "news") {
        return ChatError::Unreadable;
    }
    let at = parse_timestamp(&named.ts).unwrap_or_default();
    MessageId::parse(&named.id).map_or(ChatError::Unreadable, |id| ChatError::Invalid { id, at, why })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn party(nick: Option<&str>, port: u16) -> Party {
        Party { nick: nick.map(str::to_owned), room: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port }
    }

    #[track_caller]
    fn check(said: Said<'_>, json: &str) {
        let at = WallTime::from_unix_micros(1_795_262_400_000_001);
        let say = Say { from: party(Some("ana"), 6000), to: party(None, 6001), at, said };
        let encoded = say.encode();
        assert_eq!(std::str::from_utf8(&encoded).unwrap(), json);
        assert_eq!(Say::decode(&encoded), Ok(say));
    }

    fn id(text: &str) -> MessageId {
        MessageId::parse(text).unwrap()
    }

    const FROM_TO: &str =
        r#""from":{"nick":"ana","ip":"127.0.0.1","port":6000},"to":{"ip":"127.0.0.1","port":6001}"#;
    const TS: &str = r#""ts":"2026-11-21T12:00:00.000001Z""#;

    // UC-CHAT-001
    #[test]
    fn a_message_has_every_field_of_the_seed() {
        check(
            Said::Words(Words {
                id: id("k3-1"),
                text: "oi \"você\"".into(),
                sealed: None,
                is_echo: false,
                reply_to: None,
                place: None,
            }),
            &format!(r#"{{"kind":"message","id":"k3-1",{FROM_TO},{TS},"text":"oi \"você\""}}"#),
        );
    }

    #[test]
    fn a_reply_carries_its_original_and_both_times() {
        let original_at = WallTime::from_unix_micros(1_795_262_399_000_000);
        check(
            Said::Words(Words {
                id: id("k3-2"),
                text: "tudo".into(),
                sealed: None,
                is_echo: false,
                reply_to: Some((id("b7-9"), "oi".into(), original_at)),
                place: None,
            }),
            &format!(
                r#"{{"kind":"reply","id":"k3-2","re":"b7-9",{FROM_TO},"ts_original":"2026-11-21T11:59:59.000000Z",{TS},"original":"oi","text":"tudo"}}"#
            ),
        );
    }

    #[test]
    fn a_sealed_letter_says_whose_seal_it_has_and_nothing_else() {
        let [from, to] = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
        let sealed = Some(Sealed { from, to, message: vec![0; 97].into() });
        let words =
            Words { id: id("k3-1"), text: "".into(), sealed, is_echo: false, reply_to: None, place: None };
        let zeros = "A".repeat(130);
        let json = format!(
            r#"{{"kind":"message","id":"k3-1",{FROM_TO},{TS},"from_key":"{from}","to_key":"{to}","sealed":"{zeros}"}}"#
        );
        check(Said::Words(words), &json);
        for (this, that, why) in [
            (r#""from_key":"#, r#""other_key":"#, "it does not say whose seal it has"),
            (r#""sealed":"#, r#""text":"oi","sealed":"#, "it has a text beside the sealed one"),
            ("AAAA", "AA A", "its sealed text is no base64"),
        ] {
            let json = json.replacen(this, that, 1);
            let (id, at) = (id("k3-1"), WallTime::from_unix_micros(1_795_262_400_000_001));
            assert_eq!(Say::decode(json.as_bytes()), Err(ChatError::Invalid { id, at, why }));
        }
    }

    #[test]
    fn a_receipt_is_true_or_false_with_a_reason() {
        let original_at = WallTime::from_unix_micros(1_795_262_399_000_000);
        check(
            Said::Receipt(Receipt::refused(id("b7-9"), original_at, "full")),
            &format!(
                r#"{{"kind":"receipt","id":"b7-9",{FROM_TO},"ts_original":"2026-11-21T11:59:59.000000Z",{TS},"ack":false,"reason":"full"}}"#
            ),
        );
    }

    // UC-CHAT-015
    #[test]
    fn an_introduction_tells_whether_its_sender_remembers() {
        for (remembers, member) in [(false, ""), (true, r#","remembers":true"#)] {
            check(
                Said::Introduce { run: "k3".into(), remembers },
                &format!(r#"{{"kind":"introduce",{FROM_TO},{TS},"run":"k3"{member}}}"#),
            );
        }
    }

    // UC-CHAT-004
    #[test]
    fn what_cannot_be_read_is_refused_by_its_id_or_dropped() {
        let cases = [
            (r#"{"kind":"message","id":"a-1"}"#, Some("it is not valid")),
            (
                r#"{"kind":"song","id":"a-1","ts":"2026-11-21T12:00:00Z","from":{"ip":"::1","port":1},"to":{"ip":"::1","port":1}}"#,
                Some("its kind is not known here"),
            ),
            (
                r#"{"kind":"message","id":"a-1","ts":"noon","from":{"ip":"::1","port":1},"to":{"ip":"::1","port":1},"text":""}"#,
                Some("its time is not a time"),
            ),
            (r#"{"kind":"receipt","id":"a-1"}"#, None),
            (r#"{"kind":"message","id":"a 1"}"#, None),
            ("hello", None),
            ("[]", None),
        ];
        for (json, expected) in cases {
            let why = match Say::decode(json.as_bytes()) {
                Err(ChatError::Invalid { why, .. }) => Some(why),
                Err(ChatError::Unreadable) => None,
                Ok(say) => panic!("{say:?}"),
            };
            assert_eq!(why, expected, "{json}");
        }
    }

    // UC-CHAT-011
    #[test]
    fn a_name_that_a_terminal_would_act_on_is_no_name() {
        let json = format!(
            r#"{{"kind":"message","id":"a-1","from":{{"nick":"a\u001b[2J","ip":"::1","port":1}},"to":{{"ip":"::1","port":1}},{TS},"text":"x"}}"#
        );
        assert_eq!(Say::decode(json.as_bytes()).unwrap().from.nick, None);
    }
}
