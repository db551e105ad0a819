//! Why a datagram is not one of ours.

use std::fmt;

/// Why a datagram was dropped. It identifies nobody: the sender may be a bad link, another program, or an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecodeError {
    /// The head is no JSON object on one line, or a field has the wrong type.
    Malformed,
    /// The head's first member is not `v`.
    NoVersion,
    /// The version is one that this program does not speak. Nothing after it was read.
    UnknownVersion(u64),
    /// There is no `c`.
    NoChecksum,
    /// `c` does not match: a bit was flipped on the way.
    ChecksumMismatch,
    /// A frame's first member is not `t`.
    FrameWithoutKind,
    /// There are more frames, or more entries in a list, than a datagram may have.
    TooMany,
    /// A number is above 2^53 - 1, or stands where it makes no sense (ranges that overlap, a part past its end).
    BadNumber,
    /// A text is too long.
    TooLong,
    /// The bytes behind the head are not as many as the frames announce.
    BytesMismatch,
    /// A handshake frame beside others or with a packet number, or another frame without one.
    Misplaced,
    /// A hello shorter than it must be.
    ShortHello,
    /// A sealed packet without room for its seal, or one that claims a handshake message of another length.
    ShortSeal,
}

impl DecodeError {
    /// Every kind of error, for counters and reports.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::NoVersion,
        Self::UnknownVersion(0),
        Self::NoChecksum,
        Self::ChecksumMismatch,
        Self::FrameWithoutKind,
        Self::TooMany,
        Self::BadNumber,
        Self::TooLong,
        Self::BytesMismatch,
        Self::Misplaced,
        Self::ShortHello,
        Self::ShortSeal,
    ];

    /// A short name for counters and test vectors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoVersion => "no-version",
            Self::UnknownVersion(_) => "unknown-version",
            Self::NoChecksum => "no-checksum",
            Self::ChecksumMismatch => "checksum-mismatch",
            Self::FrameWithoutKind => "frame-without-kind",
            Self::TooMany => "too-many",
            Self::BadNumber => "bad-number",
            Self::TooLong => "too-long",
            Self::BytesMismatch => "bytes-mismatch",
            Self::Misplaced => "misplaced",
            Self::ShortHello => "short-hello",
            Self::ShortSeal => "short-seal",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the head is not the JSON that the protocol asks for"),
            Self::NoVersion => f.write_str("the head does not begin with its version"),
            Self::UnknownVersion(version) => write!(f, "version {version} is not spoken here"),
            Self::NoChecksum => f.write_str("an unsealed datagram without its checksum"),
            Self::ChecksumMismatch => f.write_str("the checksum does not match: damaged on the way"),
            Self::FrameWithoutKind => f.write_str("a frame does not begin with its kind"),
            Self::TooMany => f.write_str("more frames or list entries than a datagram may have"),
            Self::BadNumber => f.write_str("a number is out of its range"),
            Self::TooLong => f.write_str("a text is longer than it may be"),
            Self::BytesMismatch => {
                f.write_str("the bytes behind the head are not as many as its frames announce")
            }
            Self::Misplaced => f.write_str("a frame that may not stand in this kind of datagram"),
            Self::ShortHello => f.write_str("a hello that is not padded to its least length"),
            Self::ShortSeal => f.write_str("a sealed packet that is too short for its seal"),
        }
    }
}

impl std::error::Error for DecodeError {}
