//! A letter through a relay that only its receiver can read: what the relay sees of it, and what it says.
//!
//! The seal itself is `secure`'s. This module must never take a sealed text for one that was opened: nothing in here is checked but
//! its form.

use std::borrow::Cow;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64_NOPAD};
use serde::{Deserialize, Serialize};

use super::{MessageId, cut, format_timestamp, parse_timestamp};
use crate::secure::{LETTER_OVERHEAD_BYTES, MAX_LETTER_BYTES, PublicKey};
use crate::time::WallTime;

/// The longest text that a sealed reply quotes. A sealed letter is short, and what it answers must leave it room.
pub const MAX_LETTER_QUOTE_BYTES: usize = 4 * 1024;

/// A letter's text as the relay sees it (UC-LETTER-003).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Whose seal it has.
    pub from: PublicKey,
    /// Whose key opens it.
    pub to: PublicKey,
    /// One Noise X message.
    pub message: Arc<[u8]>,
}

impl Sealed {
    /// The message as it travels.
    pub(super) fn encode_message(&self) -> String {
        BASE64_NOPAD.encode(&self.message)
    }

    /// A message as it came, with padding or without.
    pub(super) fn decode(from: PublicKey, to: PublicKey, text: &str) -> Result<Self, &'static str> {
        /// What the longest message takes, with padding.
        const MOST_CHARS: usize = (MAX_LETTER_BYTES + LETTER_OVERHEAD_BYTES).div_ceil(3) * 4;
        if text.len() > MOST_CHARS {
            return Err("its sealed text is too long");
        }
        let encoding = if text.ends_with('=') { BASE64 } else { BASE64_NOPAD };
        let message = encoding.decode(text.as_bytes()).map_err(|_| "its sealed text is no base64")?;
        if !(LETTER_OVERHEAD_BYTES..=LETTER_OVERHEAD_BYTES + MAX_LETTER_BYTES).contains(&message.len()) {
            return Err("its sealed text has not the length of one");
        }
        Ok(Self { from, to, message: message.into() })
    }

    /// How long the text in it is, with its JSON.
    pub fn text_bytes(&self) -> usize {
        self.message.len().saturating_sub(LETTER_OVERHEAD_BYTES)
    }
}

/// What a sealed letter says (UC-LETTER-002).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterText<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// When it was said, by its sender's clock. The relay could change what is beside the seal.
    pub at: Option<WallTime>,
    /// The message that it answers: its id, its text, and when it was said.
    pub reply_to: Option<(MessageId, Cow<'a, str>, WallTime)>,
}

/// Its members, named as in a letter that is not sealed.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    re: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ts_original: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    original: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ts: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl<'a> LetterText<'a> {
    /// The JSON to seal; a quote that is too long is cut.
    pub fn encode(&self) -> Vec<u8> {
        let reply = self.reply_to.as_ref();
        let wire = Wire {
            re: reply.map(|(id, _, _)| Cow::Borrowed(id.as_str())),
            ts_original: reply.map(|(_, _, at)| Cow::Owned(format_timestamp(*at))),
            original: reply.map(|(_, original, _)| Cow::Borrowed(cut(original, MAX_LETTER_QUOTE_BYTES))),
            ts: self.at.map(|at| Cow::Owned(format_timestamp(at))),
            text: Cow::Borrowed(&self.text),
        };
        serde_json::to_vec(&wire).expect("texts are always JSON")
    }

    /// What the JSON says; None if it is none.
    pub fn decode(json: &'a [u8]) -> Option<Self> {
        let wire: Wire<'a> = crate::chat::say::read_object(json)?;
        let reply_to = match (wire.re, wire.original, wire.ts_original) {
            (None, None, None) => None,
            (Some(re), Some(original), Some(at)) => {
                Some((MessageId::parse(&re)?, original, parse_timestamp(&at)?))
            }
            _ => return None,
        };
        let at = match wire.ts {
            Some(at) => Some(parse_timestamp(&at)?),
            None => None,
        };
        Some(Self { text: wire.text, at, reply_to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"re":"b7-9","ts_original":"2026-11-21T11:59:59.000000Z","original":"oi","ts":"2026-11-21T11:59:59.000000Z","text":"tudo"}"#;

    #[test]
    fn a_letter_says_what_it_said() {
        let at = WallTime::from_unix_micros(1_795_262_399_000_000);
        let id = MessageId::parse("b7-9").unwrap();
        let plain = LetterText { text: "oi".into(), at: None, reply_to: None };
        let answer = LetterText { text: "tudo".into(), at: Some(at), reply_to: Some((id, "oi".into(), at)) };
        for (text, json) in [(plain, r#"{"text":"oi"}"#), (answer, ANSWER)] {
            assert_eq!(std::str::from_utf8(&text.encode()).unwrap(), json);
            assert_eq!(LetterText::decode(json.as_bytes()), Some(text));
        }
        for bad in
            ["", "[]", "{}", r#"{"text":1}"#, r#"{"text":"a","re":"b"}"#, &ANSWER.replace("b7-9", "b 9")]
        {
            assert_eq!(LetterText::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_long_quote_leaves_room() {
        let id = MessageId::parse("b7-9").unwrap();
        let original = "é".repeat(MAX_LETTER_QUOTE_BYTES);
        let reply_to = Some((id, original.as_str().into(), WallTime::default()));
        let json = LetterText { text: "a".into(), at: None, reply_to }.encode();
        let quoted = LetterText::decode(&json).unwrap().reply_to.unwrap().1;
        assert_eq!(quoted, original[..MAX_LETTER_QUOTE_BYTES]);
    }

    #[test]
    fn a_sealed_text_has_the_length_of_one() {
        let key = PublicKey::from_bytes([1; 32]);
        for (length, is_one) in
            [(95, false), (96, true), (97, true), (98, true), (65_535, true), (65_536, false)]
        {
            let bytes = vec![7; length];
            for text in [BASE64.encode(&bytes), BASE64_NOPAD.encode(&bytes)] {
                let sealed = Sealed::decode(key, key, &text);
                assert_eq!(sealed.as_ref().is_ok_and(|sealed| *sealed.message == *bytes), is_one, "{length}");
            }
        }
        assert_eq!(Sealed::decode(key, key, &"*".repeat(200)), Err("its sealed text is no base64"));
    }
}
