//! The name of one chat message.

use std::fmt;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What names a message for as long as anybody remembers it: chosen by its sender, unique among the sender's messages, at most
/// [`MessageId::MAX_BYTES`] long (UC-CHAT-008). Cloning copies no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Arc<str>);

impl MessageId {
    /// Ours have about 12 bytes; the rest is room for other programs' habits (a UUID has 36).
    pub const MAX_BYTES: usize = 64;

    /// The `number`th message of the run that `origin` names.
    pub fn new(origin: &str, number: u64) -> Self {
        Self(format!("{origin}-{number}").into())
    }

    /// An identifier as it came from the network; None if it is empty, too long or not printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (printable && (1..=Self::MAX_BYTES).contains(&text.len())).then(|| Self(text.into()))
    }

    /// The identifier as it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("it is not an id"))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
