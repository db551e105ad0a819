//! Dates on the wire: RFC 3339 in UTC, to the microsecond (UC-CHAT-009).

use chrono::{DateTime, SecondsFormat};

use crate::time::WallTime;

/// The moment as text, such as `2026-11-21T12:00:00.123456Z`.
pub fn format_timestamp(at: WallTime) -> String {
    DateTime::from_timestamp_micros(at.as_unix_micros())
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The moment that an RFC 3339 text names, in any zone and precision; None if it names none.
pub fn parse_timestamp(text: &str) -> Option<WallTime> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(WallTime::from_unix_micros(moment.timestamp_micros()))
}

/// A moment as a member of a JSON object: for `#[serde(with = "...")]`.
pub(super) mod rfc3339 {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::WallTime;

    pub(in crate::chat) fn serialize<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_timestamp(*at))
    }

    pub(in crate::chat) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<WallTime, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        super::parse_timestamp(&text).ok_or_else(|| D::Error::custom("it is not a time"))
    }
}

/// The same for one that may be absent.
pub(super) mod rfc3339_option {
    use serde::{Deserializer, Serializer};

    use crate::time::WallTime;

    pub(in crate::chat) fn serialize<S: Serializer>(
        at: &Option<WallTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::rfc3339::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::chat) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<WallTime>, D::Error> {
        super::rfc3339::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-CHAT-009
    #[test]
    fn a_moment_survives_the_wire_to_the_microsecond() {
        let moment = WallTime::from_unix_micros(1_795_262_400_123_456);
        let text = format_timestamp(moment);
        assert_eq!(text, "2026-11-21T12:00:00.123456Z");
        assert_eq!(parse_timestamp(&text), Some(moment));
        assert_eq!(parse_timestamp("2026-11-21T09:00:00.123456-03:00"), Some(moment));
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
