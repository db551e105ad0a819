//! The name of one side's half of a connection.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::random::Random;

/// Eight characters of `0-9a-z`, chosen by the side that receives with it (UC-WIRE-006): 41 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId([u8; Self::BYTES]);

impl ConnectionId {
    /// Its length on the wire.
    pub const BYTES: usize = 8;

    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

    /// A fresh one. The caller checks that it is not in use.
    pub fn random(random: &mut Random) -> Self {
        Self(std::array::from_fn(|_| {
            // `below(36)` is an index of the alphabet, so neither the cast nor the indexing can fail.
            Self::ALPHABET[random.below(36) as usize]
        }))
    }

    /// The identifier that `text` spells; None if it is no identifier.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes().try_into().ok()?)
    }

    /// The same from its bytes.
    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')).then_some(Self(*bytes))
    }

    /// Its characters, which are all ASCII.
    pub(super) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The identifier as it travels.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = ConnectionId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("eight characters of 0-9a-z")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ConnectionId, E> {
                ConnectionId::parse(text).ok_or_else(|| E::custom("not a connection id"))
            }
        }

        deserializer.deserialize_str(IdVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-WIRE-006
    #[test]
    fn only_eight_small_letters_and_digits_are_an_id() {
        assert_eq!(ConnectionId::parse("k3f9q2a1").unwrap().as_str(), "k3f9q2a1");
        for bad in ["", "k3f9q2a", "k3f9q2a12", "K3f9q2a1", "k3f9q2a ", "k3f9q2é"] {
            assert_eq!(ConnectionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn random_ids_parse_and_differ() {
        let mut random = Random::from_seed(1);
        let first = ConnectionId::random(&mut random);
        let second = ConnectionId::random(&mut random);
        assert_ne!(first, second);
        assert_eq!(ConnectionId::parse(first.as_str()), Some(first));
    }
}
