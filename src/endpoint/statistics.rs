//! What an endpoint counted: every datagram that came has exactly one disposition.

use std::collections::BTreeMap;

use crate::wire::DecodeError;

/// What became of a datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// A packet, handed to its connection.
    Packet,
    /// A packet that its connection had already, or had settled.
    Duplicate,
    /// A hello that was answered.
    Hello,
    /// A hello that was answered in the place of an older one from the same neighbourhood, which had its share.
    Crowd,
    /// A handshake by a key that has as many connections as one may have.
    KeyCrowd,
    /// Our own hello, thrown back at us.
    Reflected,
    /// A welcome that completed a handshake.
    Welcome,
    /// A refusal, kept as a hint.
    Refuse,
    /// A handshake datagram that asks for nothing new, or that nobody waits for.
    StaleHandshake,
    /// A hello that was refused, or not answered for want of room.
    Refused,
    /// A hello that was asked to come again with a cookie.
    Retry,
    /// A request for a cookie, heeded.
    RetryHeeded,
    /// A hello that was not answered because too much was asked at once.
    Overload,
    /// An answer to a hello of ours that was not looked at because too many came.
    TooManyAnswers,
    /// A handshake message that does not verify, or says something else than its frame.
    BadHandshake,
    /// A welcome by somebody who has not the key that was expected.
    WrongKey,
    /// A packet of no connection of ours.
    UnknownConnection,
    /// An unsealed packet of a sealed connection, or the other way round.
    WrongForm,
    /// A sealed packet that does not open: damaged, forged, or of another connection.
    BadSeal,
    /// A sealed packet whose key is forgotten, or not yet known.
    OldKey,
    /// Not of this protocol, or damaged.
    Undecodable(DecodeError),
}

impl Disposition {
    /// A word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Duplicate => "duplicate",
            Self::Hello => "hello",
            Self::Crowd => "crowd",
            Self::KeyCrowd => "key-crowd",
            Self::Reflected => "reflected",
            Self::Welcome => "welcome",
            Self::Refuse => "refuse",
            Self::StaleHandshake => "stale-handshake",
            Self::Refused => "refused",
            Self::Retry => "retry",
            Self::RetryHeeded => "retry-heeded",
            Self::Overload => "overload",
            Self::TooManyAnswers => "too-many-answers",
            Self::BadHandshake => "bad-handshake",
            Self::WrongKey => "wrong-key",
            Self::WrongForm => "wrong-form",
            Self::BadSeal => "bad-seal",
            Self::OldKey => "old-key",
            Self::UnknownConnection => "unknown-connection",
            Self::Undecodable(error) => error.name(),
        }
    }
}

/// Counters of an endpoint. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Datagrams that came.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that left.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Bytes of packets that other sides confirmed: grows with all progress.
    pub bytes_confirmed: u64,
    /// Connections that were closed because most was held for them when too much was held for all.
    pub closed_for_memory: u64,
    dispositions: BTreeMap<&'static str, u64>,
}

impl Statistics {
    /// How many datagrams had this disposition.
    pub fn count_of(&self, disposition: Disposition) -> u64 {
        self.dispositions.get(disposition.name()).copied().unwrap_or(0)
    }

    /// Every disposition that occurred, by name.
    pub fn dispositions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.dispositions.iter().map(|(&name, &count)| (name, count))
    }

    pub(super) fn count(&mut self, disposition: Disposition, bytes: usize) {
        self.datagrams_received += 1;
        self.bytes_received += bytes as u64;
        *self.dispositions.entry(disposition.name()).or_default() += 1;
    }
}
