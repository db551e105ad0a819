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
        Notice::Key { owner, news, can_type, is_lasting, .. } => key(owner, news, *can_type, *is_lasting),
        // UC-KEY-011
        Notice::Verification { who, theirs, is_seen, is_relay: true, .. } => {
            let now = if *is_seen { " seen now, not the known one," } else { "" };
            plain(&[
                format!("* the key{now} of {who}, in the words that its operator sees when it starts:"),
                format!("    {}", key_words(theirs)),
                format!("  {theirs}"),
                "  ask the operator: the same words, and nobody is in between. Other words: somebody is"
                    .to_owned(),
            ])
        }
        Notice::Verification { who, ours, theirs, is_seen, is_relay: false } => plain(&[
            if *is_seen {
                format!(
                    "* words for the key seen now, not the known one; compare with {who}, by voice or face to face:"
                )
            } else {
                format!("* compare with {who}, by voice or face to face:")
            },
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
            Some(format!("in a shell udpchat trust {seen}@{address} (with the same --nick and --data)"))
        }
        KeyOwner::Caller(_) | KeyOwner::Member(_) => None,
    }
}

/// The same where the key was typed, which counts more than what a shell could say.
fn typed(owner: &KeyOwner, seen: &PublicKey) -> Option<String> {
    match owner {
        KeyOwner::Address(address) => Some(format!("name this key: {seen}@{address}")),
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

fn key(owner: &KeyOwner, news: &KeyNews, can_type: bool, is_lasting: bool) -> Vec<Line> {
    let who = shown(owner);
    match news {
        KeyNews::New { key, is_kept } => {
            let compare = if can_type { "; /verify compares" } else { "" };
            let words = key_words(key);
            let what = match (is_kept, is_lasting) {
                (true, true) => "kept",
                (true, false) => "kept until the end of this run",
                (false, _) => "not kept, since there is no room for more",
            };
            one(
                Tone::Doubt,
                format!("* {who} is met for the first time; the key is {what} ({words}{compare})"),
            )
        }
        KeyNews::Known(known) => {
            let since = date_and_time(known.since);
            let other = known.nick.as_deref().map(filter::nick).filter(|nick| *nick != who);
            let name = other.map_or_else(String::new, |nick| format!("as {nick} "));
            one(Tone::Dim, format!("* {who} is known {name}since {since}, by the key"))
        }
        KeyNews::Changed { expected, known, seen, is_typed } => {
            let since = known.as_ref().map_or_else(
                || "expected".to_owned(),
                |known| format!("known since {}", date_and_time(known.since)),
            );
            let shell = if *is_typed { typed(owner, seen) } else { script(owner, seen) };
            let ways = can_type.then(|| command(owner)).into_iter().chain(shell);
            changed(owner, &since, (expected, seen), ways)
        }
        KeyNews::Other { known, seen } => {
            let mut lines = vec![
                format!("! {who} has another key than the {who} whom you know; perhaps it is somebody else"),
                format!("!   known since {}: {}", date_and_time(known.since), key_words(&known.key)),
                format!("!   this one: {}", key_words(seen)),
            ];
            if can_type {
                let accept = filter::visible(&command(owner)).into_owned();
                lines.push(format!("!   /verify {who} compares; {accept} makes this the one you know"));
            }
            bad(lines)
        }
        KeyNews::Accepted { key, .. } => {
            let until = if is_lasting { "from now on" } else { "until the end of this run" };
            one(Tone::Doubt, format!("* the key of {who} is trusted {until}: {}", key_words(key)))
        }
    }
}

fn changed(
    owner: &KeyOwner,
    since: &str,
    (expected, seen): (&PublicKey, &PublicKey),
    ways: impl Iterator<Item = String>,
) -> Vec<Line> {
    let ways: Vec<String> = ways.map(|way| filter::visible(&way).into_owned()).collect();
    let what = match owner {
        KeyOwner::Member(_) => {
            format!(
                "! {} HAS ANOTHER KEY; letters to it are not sent, letters from it are not shown",
                shown(owner)
            )
        }
        _ => format!("! ANOTHER KEY ANSWERS AT {}; nothing is sent to it", shown(owner)),
    };
    bad(vec![
        what,
        format!("!   {since}: {}", key_words(expected)),
        format!("!   seen now: {}", key_words(seen)),
        "!   Either the other side has a new key, or somebody is in between. Ask them; to accept it:"
            .to_owned(),
        format!("!   {}", ways.join(", or ")),
    ])
}

fn bad(lines: Vec<String>) -> Vec<Line> {
    lines.into_iter().map(|text| Line { tone: Tone::Bad, text }).collect()
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
        /// Of a new one, only where it is not: it is met as new the next time.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept: Option<bool>,
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
        /// Only where it is another one than the known one.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        seen: bool,
        /// Only of a relay: its words are those of its key alone.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        relay: bool,
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
        Notice::Key { owner, address, news, is_lasting, .. } => {
            key_object(owner, *address, news, *is_lasting)
        }
        Notice::Verification { who, ours, theirs, is_seen, is_relay } => {
            let words = if *is_relay { key_words(theirs) } else { comparison_words(ours, theirs) };
            Object::Verify { who, words, key: *ours, their_key: *theirs, seen: *is_seen, relay: *is_relay }
        }
        Notice::Identity(key) => identity(*key),
        _ => return None,
    })
}

fn key_object<'a>(
    owner: &'a KeyOwner,
    addr: Option<SocketAddr>,
    news: &'a KeyNews,
    is_lasting: bool,
) -> Object<'a> {
    let (state, key, known) = match news {
        KeyNews::New { key, .. } => ("new", *key, None),
        KeyNews::Known(known) => ("known", known.key, Some(self::known(known))),
        KeyNews::Changed { expected, known, seen, .. } => {
            let of_this_run =
                || Known { key: *expected, words: key_words(expected), nick: None, since: None };
            ("changed", *seen, Some(known.as_ref().map_or_else(of_this_run, self::known)))
        }
        KeyNews::Other { known, seen } => ("other", *seen, Some(self::known(known))),
        KeyNews::Accepted { before, key } => ("accepted", *key, before.as_ref().map(self::known)),
    };
    let accept = matches!(news, KeyNews::Changed { .. } | KeyNews::Other { .. }).then(|| command(owner));
    let is_lost = matches!(news, KeyNews::New { is_kept, .. } if !is_kept || !is_lasting);
    let kept = is_lost.then_some(false);
    Object::Key { state, who: name(owner), addr, key, words: key_words(&key), kept, known, accept }
}

fn known(known: &KnownKey) -> Known<'_> {
    let KnownKey { key, nick, since, .. } = known;
    Known { key: *key, words: key_words(key), nick: nick.as_deref(), since: Some(timestamp(*since)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::KeyPair;
    use crate::time::WallTime;
    use crate::ui::json::encode;

    fn keys() -> [PublicKey; 2] {
        [1, 2].map(|secret| KeyPair::from_secret([secret; 32]).public())
    }

    fn notice(owner: KeyOwner, news: KeyNews, can_type: bool) -> Notice {
        let address = Some(([127, 0, 0, 1], 6000).into());
        Notice::Key { owner, address, news, can_type, is_lasting: true }
    }

    fn lines(notice: &Notice) -> Vec<String> {
        describe(notice).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_changed_key_is_loud_and_says_what_to_do() {
        let [expected, seen] = keys();
        let owner = || KeyOwner::Address("host:6000".to_owned());
        let news = |is_typed| KeyNews::Changed { expected, known: None, seen, is_typed };
        let shell = format!("in a shell udpchat trust {seen}@host:6000 (with the same --nick and --data)");
        let shown = |last: &str| {
            vec![
                "! ANOTHER KEY ANSWERS AT host:6000; nothing is sent to it".to_owned(),
                format!("!   expected: {}", key_words(&expected)),
                format!("!   seen now: {}", key_words(&seen)),
                "!   Either the other side has a new key, or somebody is in between. Ask them; to accept it:"
                    .to_owned(),
                format!("!   {last}"),
            ]
        };
        let typed = format!("/trust host:6000, or {shell}");
        assert_eq!(lines(&notice(owner(), news(false), true)), shown(&typed));
        assert_eq!(lines(&notice(owner(), news(false), false)), shown(&shell));
        let named = format!("name this key: {seen}@host:6000");
        assert_eq!(lines(&notice(owner(), news(true), false)), shown(&named));
        let object = format!(
            r#"{{"event":"key","state":"changed","who":"host:6000","addr":"127.0.0.1:6000","key":"{seen}","words":"{}","known":{{"key":"{expected}","words":"{}","nick":null,"since":null}},"accept":"/trust host:6000"}}"#,
            key_words(&seen),
            key_words(&expected)
        );
        let notice = notice(owner(), news(false), true);
        assert_eq!(super::object(&notice).map(|object| encode(&object)), Some(object));
    }

    // UC-KEY-012
    #[test]
    fn a_key_is_said_to_be_kept_only_if_it_is() {
        let [key, _] = keys();
        let shown = |is_kept, is_lasting| {
            let (owner, news) = (KeyOwner::Caller("bob".to_owned()), KeyNews::New { key, is_kept });
            let notice = Notice::Key { owner, address: None, news, can_type: false, is_lasting };
            let object = encode(&super::object(&notice).unwrap());
            (lines(&notice).concat(), object.contains(r#""kept":false"#))
        };
        let line =
            |kept: &str| format!("* bob is met for the first time; the key is {kept} ({})", key_words(&key));
        assert_eq!(shown(true, true), (line("kept"), false));
        assert_eq!(shown(true, false), (line("kept until the end of this run"), true));
        assert_eq!(shown(false, true), (line("not kept, since there is no room for more"), true));
    }

    #[test]
    fn names_from_the_network_are_harmless() {
        let [key, seen] = keys();
        let known = KnownKey {
            key,
            nick: Some("\x1b[2J".to_owned()),
            since: WallTime::default(),
            address: None,
            is_chosen: false,
        };
        for news in [
            KeyNews::New { key, is_kept: true },
            KeyNews::Known(known.clone()),
            KeyNews::Other { known, seen },
            KeyNews::Accepted { before: None, key },
        ] {
            let notice = notice(KeyOwner::Caller("bob\u{202e}\x1b".to_owned()), news, true);
            for line in lines(&notice) {
                assert!(!line.contains(['\u{202e}', '\x1b']), "{line}");
            }
        }
    }

    // UC-KEY-011
    #[test]
    fn both_sides_are_shown_the_same_words() {
        let [ours, theirs] = keys();
        let verification = |ours, theirs, is_seen, is_relay| Notice::Verification {
            who: "bob".to_owned(),
            ours,
            theirs,
            is_seen,
            is_relay,
        };
        let notice = |ours, theirs| verification(ours, theirs, false, false);
        let [here, there] = [notice(ours, theirs), notice(theirs, ours)].map(|notice| lines(&notice));
        assert_eq!(here[1], there[1]);
        assert_eq!(here[1].trim(), comparison_words(&ours, &theirs));
        let relay = verification(ours, theirs, false, true);
        assert_eq!(lines(&relay)[1].trim(), key_words(&theirs), "a relay's operator sees no other words");
        assert!(encode(&super::object(&relay).unwrap()).ends_with(r#","relay":true}"#));
        let seen = verification(ours, theirs, true, false);
        assert!(lines(&seen)[0].starts_with("* words for the key seen now, not the known one"));
        assert!(encode(&super::object(&seen).unwrap()).ends_with(r#","seen":true}"#));
    }
}
