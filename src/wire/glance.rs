//! What can be told of a datagram at a glance, without trusting it: for the bad link, which looks and does not take part.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Kind, decode::split};

/// What a datagram's head says of itself. Nothing was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The connection that it says it is for.
    pub to: Option<Cow<'a, str>>,
    /// The packet number that it says it has.
    pub number: Option<u64>,
    /// The kinds of its frames.
    pub kinds: Kinds,
}

/// A set of frame kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Adds a kind.
    pub const fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u32;
    }

    /// Whether the kind is among them.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Whether any kind is in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kinds in the registry's order.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |&kind| self.contains(kind))
    }
}

/// Looks at a datagram's head; None if it has none that this version could have written.
pub fn glance(datagram: &[u8]) -> Option<Glance<'_>> {
    if datagram.first() != Some(&b'{') {
        return None;
    }
    let (head, _) = split(datagram);
    serde_json::Deserializer::from_slice(head).deserialize_map(GlanceVisitor).ok()
}

/// Whether this looks like a hello that brings no cookie, so much cheaper than reading it that a flood can be left unread. A hello
/// that hides its words behind JSON's escapes is not seen.
pub fn looks_like_bare_hello(datagram: &[u8]) -> bool {
    let head = &datagram[..datagram.len().min(MAX_HELLO_HEAD_BYTES)];
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    holds(b"\"t\":\"hello\"") && !holds(b"\"cookie\"")
}

/// More than any hello's head has in front of its padding: id, form, key, cookie.
const MAX_HELLO_HEAD_BYTES: usize = 320;

struct GlanceVisitor;

impl<'de> Visitor<'de> for GlanceVisitor {
    type Value = Glance<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a head")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Glance<'de>, A::Error> {
        let mut glance = Glance { to: None, number: None, kinds: Kinds::default() };
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "to" => glance.to = Some(Cow::Borrowed(map.next_value()?)),
                "n" => glance.number = Some(map.next_value()?),
                "f" => {
                    for frame in map.next_value::<Vec<KindOnly<'_>>>()? {
                        if let Some(kind) = Kind::from_name(&frame.t) {
                            glance.kinds.insert(kind);
                        }
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(glance)
    }
}

#[derive(serde::Deserialize)]
struct KindOnly<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_tells_receiver_number_and_kinds() {
        let seen =
            glance(br#"{"v":9,"to":"k3f9q2a1","n":42,"f":[{"t":"ack","got":[]},{"t":"new"},{"t":"msg"}]}"#)
                .unwrap();
        assert_eq!(seen.to.as_deref(), Some("k3f9q2a1"));
        assert_eq!(seen.number, Some(42));
        assert_eq!(seen.kinds.iter().collect::<Vec<_>>(), [Kind::Ack, Kind::Msg]);
    }

    #[test]
    fn only_a_hello_without_a_cookie_looks_like_one() {
        let hello = br#"{"v":1,"c":"685a7254","f":[{"t":"hello","id":"b7x0m4zz","mode":"sealed"},{"t":"pad","len":400}]}"#;
        let proven = br#"{"v":1,"c":"685a7254","f":[{"t":"hello","id":"b7x0m4zz","cookie":"00"},{"t":"pad","len":400}]}"#;
        assert!(looks_like_bare_hello(hello));
        assert!(!looks_like_bare_hello(proven));
        for other in [&b""[..], b"hello", br#"{"v":1,"to":"b7x0m4zz","n":1}"#] {
            assert!(!looks_like_bare_hello(other));
        }
    }

    #[test]
    fn other_protocols_tell_nothing() {
        for other in [&b""[..], b"\0\x01", b"{", b"hello", b"[1]", b"{\"n\":-1}"] {
            assert_eq!(glance(other), None);
        }
    }
}
