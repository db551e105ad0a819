//! Keys as they are shown: what is said of them, what two people compare, who we are. In words for people, as objects for programs.
//!
//! A changed key is loud, and says what to do about it; a new one is one line. The forms of the objects are part of the stable
//! command line.

use std::net::SocketAddr;

use serde::Serialize;

use super::filter;
use super::notice::Notice;
use super::style::Tone;
use super::text::{Line, date_and_time, one};
use crate::io::trace::timestamp;
use crate::peer::trust::KnownKey;
use crate::peer::{KeyNews, KeyOwner};
use crate::secure::{PublicKey, comparison_words, key_words};

/// The lines that tell a person of a notice about keys.
pub fn describe(notice: &Notice) -> Vec<Line> {
    match notice {
        Notice::Key { owner, news, .. } => key(owner, news),
        Notice::Verification { who, ours, theirs } => plain(&[
            format!("* compare with {who}, by voice or face to face:"),
            format!("    {}", comparison_words(ours, theirs)),
            "  the same words on both sides: nobody is in between. Other words: somebody is".to_owned(),
            format!("  your key   {ours}"),
            format!("  their key  {theirs}"),
        ]),
        Notice::Identity(key) => {
            plain(&[format!("* your key: {key}"), format!("  in words: {}", key_words(key))])
        }
        _ => Vec::new(),
    }
}

/// What to type to accept a changed key, where commands can be typed.
pub fn command(owner: &KeyOwner) -> String {
    format!("/trust {}", name(owner))
}

/// How a script accepts a changed key; None where only a conversation knows of it.
pub fn script(owner: &KeyOwner, seen: &PublicKey) -> Option<String> {
    match owner {
        KeyOwner::Address(address) => {
            Some(format!("udpchat trust {seen}@{address} (with the same --nick and --data)"))
        }
        KeyOwner::Caller(_) | KeyOwner::Member(_) => None,
    }
}

fn plain(lines: &[String]) -> Vec<Line> {
    lines.iter().flat_map(|line| one(Tone::Plain, line.clone())).collect()
}

fn name(owner: &KeyOwner) -> &str {
    match owner {
        KeyOwner::Address(name) | KeyOwner::Caller(name) | KeyOwner::Member(name) => name,
    }
}

/// The owner as shown: filtered.
fn shown(owner: &KeyOwner) -> String {
    filter::nick(name(owner))
}

fn key(owner: &KeyOwner, news: &KeyNews) -> Vec<Line> {
    let who = shown(owner);
    match news {
        KeyNews::New { key } => one(
            Tone::Doubt,
            format!("* {who} is met for the first time; the key is kept: {} (/verify compares)", key_words(key)),
        ),
        KeyNews::Known(known) => {
            let since = date_and_time(known.since);
            let other = known.nick.as_deref().map(filter::nick).filter(|nick| *nick != who);
            let name = other.map_or_else(String::new, |nick| format!("as {nick} "));
            one(Tone::Dim, format!("* {who} is known {name}since {since}, by the key"))
        }
        KeyNews::Changed { expected, known, seen } => changed(owner, expected, known.as_ref(), seen),
        KeyNews::Other { known, seen } => {
            let lines = [
                format!("! {who} has another key than the {who} whom you know; perhaps it is somebody else"),
                format!("!   known since {}: {}", date_and_time(known.since), key_words(&known.key)),
                format!("!   this one:                      {}", key_words(seen)),
                format!("!   /verify {who} compares; {} makes this the one you know", filter::visible(&command(owner))),
            ];
            lines.into_iter().flat_map(|line| one(Tone::Bad, line)).collect()
        }
        KeyNews::Accepted { key, .. } => {
            one(Tone::Doubt, format!("* the key of {who} is trusted from now on: {}", key_words(key)))
        }
    }
}

fn changed(owner: &KeyOwner, expected: &PublicKey, known: Option<&KnownKey>, seen: &PublicKey) -> Vec<Line> {
    let since = known
        .map_or_else(|| "expected".to_owned(), |known| format!("known since {}", date_and_time(known.since)));
    let script = script(owner, seen).map_or_else(String::new, |script| format!(", in a shell {script}"));
    let lines = [
        format!("! ANOTHER KEY ANSWERS AT {}. Nothing is sent to it", shown(owner)),
        format!("!   {since}: {}", key_words(expected)),
        format!("!   seen now: {}", key_words(seen)),
        "!   Either the other side has a new key, or somebody is in between. Ask before you accept it:".to_owned(),
        format!("!   {}{}", filter::visible(&command(owner)), filter::visible(&script)),
    ];
    lines.into_iter().flat_map(|line| one(Tone::Bad, line)).collect()
}

/// The objects, field by field in the order in which they are printed.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Object<'a> {
    Key {
        state: &'static str,
        who: &'a str,
        addr: Option<SocketAddr>,
        key: PublicKey,
        words: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        known: Option<Known<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        accept: Option<String>,
    },
    Verify {
        who: &'a str,
        words: String,
        key: PublicKey,
        their_key: PublicKey,
    },
    Id {
        key: PublicKey,
        words: String,
    },
}

/// A known key.
#[derive(Debug, Serialize)]
pub(super) struct Known<'a> {
    key: PublicKey,
    words: String,
    nick: Option<&'a str>,
    since: Option<String>,
}

/// Our own key as an object.
pub(super) fn identity(key: PublicKey) -> Object<'static> {
    Object::Id { key, words: key_words(&key) }
}

/// The same as a line of JSON.
pub fn identity_json(key: PublicKey) -> String {
    super::json::encode(&identity(key))
}

/// The object of a notice about keys.
pub(super) fn object(notice: &Notice) -> Option<Object<'_>> {
    Some(match notice {
        Notice::Key { owner, address, news } => key_object(owner, *address, news),
        Notice::Verification { who, ours, theirs } => {
            Object::Verify { who, words: comparison_words(ours, theirs), key: *ours, their_key: *theirs }
        }
        Notice::Identity(key) => identity(*key),
        _ => return None,
    })
}

fn key_object<'a>(owner: &'a KeyOwner, addr: Option<SocketAddr>, news: &'a KeyNews) -> Object<'a> {
    let (state, key, known) = match news {
        KeyNews::New { key } => ("new", *key, None),
        KeyNews::Known(known) => ("known", known.key, Some(self::known(known))),
        KeyNews::Changed { expected, known, seen } => {
            let of_this_run = || Known { key: *expected, words: key_words(expected), nick: None, since: None };
            ("changed", *seen, Some(known.as_ref().map_or_else(of_this_run, self::known)))
        }
        KeyNews::Other { known, seen } => ("other", *seen, Some(self::known(known))),
        KeyNews::Accepted { before, key } => ("accepted", *key, before.as_ref().map(self::known)),
    };
    let accept = matches!(news, KeyNews::Changed { .. } | KeyNews::Other { .. }).then(|| command(owner));
    Object::Key { state, who: name(owner), addr, key, words: key_words(&key), known, accept }
}

fn known(known: &KnownKey) -> Known<'_> {
    let KnownKey { key, nick, since, .. } = known;
    Known { key: *key, words: key_words(key), nick: nick.as_deref(), since: Some(timestamp(*since)) }
}
