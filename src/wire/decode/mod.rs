//! From a datagram's bytes to types that hold only sense. Everything is checked here, once.

mod canonical;
mod handshake;
mod raw;
mod sealed;

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::frame::{Frames, Hello, Refuse, SealedHello, Welcome};
use super::{ConnectionId, DecodeError, MAX_FRAMES, VERSION, checksum};
use handshake::RawHandshake;
use raw::{RawFrame, check_number, check_sequence, check_text, skip_bytes, take};
pub use sealed::{SealedHead, decode_sealed};

/// A datagram of this protocol, intact and sensible.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are packets, and a box would ask for memory for each"
)]
pub enum Datagram<'a> {
    /// One side of a handshake, which has no packet number.
    Handshake(Handshake<'a>),
    /// A packet of a connection.
    Packet(Packet<'a>),
    /// A sealed packet: nothing but its outer head can be read, and nothing of that is proved.
    Sealed(SealedHead),
}

/// A datagram outside of any connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Handshake<'a> {
    /// Somebody asks for a connection.
    Hello(Hello),
    /// Somebody asks for a sealed one.
    SealedHello(SealedHello<'a>),
    /// Somebody grants one.
    Welcome {
        /// The id that the hello carried.
        to: ConnectionId,
        /// The grant.
        welcome: Welcome,
    },
    /// Somebody grants a sealed one.
    SealedWelcome {
        /// The id that the hello carried.
        to: ConnectionId,
        /// The handshake's second message; its payload is a [`Welcome`].
        message: &'a [u8],
    },
    /// Somebody asks that a hello come again with a cookie.
    Retry {
        /// The id that the hello carried.
        to: ConnectionId,
        /// What to bring back.
        cookie: Cow<'a, str>,
    },
    /// Somebody claims that a hello cannot be answered.
    Refuse {
        /// The id that the hello carried, if it could be read.
        to: Option<ConnectionId>,
        /// The claim.
        refuse: Refuse<'a>,
    },
}

/// A numbered datagram of one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet<'a> {
    /// The connection, by the receiver's name for it.
    pub to: ConnectionId,
    /// Its number, never used twice in its direction.
    pub number: u64,
    /// Everything below is settled: the sender wants no ack for it any more.
    pub low: Option<u64>,
    /// What it carries, in order.
    pub frames: Frames<'a>,
    /// How many frames were skipped because their kind is not known.
    pub unknown_frames: usize,
}

/// Reads one datagram (UC-WIRE-001 to UC-WIRE-013). The work is in proportion to its length.
pub fn decode(datagram: &[u8]) -> Result<Datagram<'_>, DecodeError> {
    let Some(read) = canonical::datagram(datagram) else {
        return decode_any(datagram);
    };
    debug_assert_eq!(decode_any(datagram).as_ref(), Ok(&read), "two ways to read one datagram");
    Ok(read)
}

/// Reads one datagram in whatever form JSON may have.
fn decode_any(datagram: &[u8]) -> Result<Datagram<'_>, DecodeError> {
    let (head_bytes, mut payload) = split(datagram);
    let head = parse_head(head_bytes, Place::Outside)?;
    if head.frames.is_none() && head.checksum.is_none() {
        return head.check_sealed(head_bytes.len(), datagram.len()).map(Datagram::Sealed);
    }
    let digits = head.checksum.ok_or(DecodeError::NoChecksum)?;
    let told =
        digits.as_bytes().try_into().ok().and_then(checksum::from_digits).ok_or(DecodeError::Malformed)?;
    // `digits` is a part of `head_bytes`, so this is its place in the datagram.
    let digits_at = digits.as_ptr().addr() - datagram.as_ptr().addr();
    if checksum::checksum(datagram, digits_at) != told {
        return Err(DecodeError::ChecksumMismatch);
    }
    let mut carried = attach_all(head.frames.ok_or(DecodeError::Malformed)?, &mut payload)?;
    match (carried.handshake.take(), head.number) {
        (Some((frame, message)), None) => {
            frame.check(head.to, message, &carried.frames, datagram.len()).map(Datagram::Handshake)
        }
        (None, Some(number)) => {
            let to = head.to.ok_or(DecodeError::Malformed)?;
            numbered(to, number, head.low, carried).map(Datagram::Packet)
        }
        _ => Err(DecodeError::Misplaced),
    }
}

/// The packet that carries this; there is no handshake in it.
fn numbered<'a>(
    to: ConnectionId,
    number: u64,
    low: Option<u64>,
    carried: Carried<'a>,
) -> Result<Packet<'a>, DecodeError> {
    check_sequence(number, 1)?;
    low.map_or(Ok(()), check_number)?;
    let Carried { frames, unknown_frames, .. } = carried;
    Ok(Packet { to, number, low, frames, unknown_frames })
}

/// The frames of a datagram, with their bytes.
#[derive(Default)]
struct Carried<'a> {
    handshake: Option<(RawHandshake<'a>, &'a [u8])>,
    frames: Frames<'a>,
    unknown_frames: usize,
}

fn attach_all<'a>(raw_frames: Vec<RawFrame<'a>>, payload: &mut &'a [u8]) -> Result<Carried<'a>, DecodeError> {
    if raw_frames.len() > MAX_FRAMES {
        return Err(DecodeError::TooMany);
    }
    let mut carried = Carried::default();
    raw_frames.into_iter().try_for_each(|raw| carried.add(raw, payload))?;
    // UC-WIRE-016
    if payload.is_empty() { Ok(carried) } else { Err(DecodeError::BytesMismatch) }
}

impl<'a> Carried<'a> {
    /// Adds a frame with its bytes, which are taken from the front of `payload`.
    fn add(&mut self, raw: RawFrame<'a>, payload: &mut &'a [u8]) -> Result<(), DecodeError> {
        match raw {
            RawFrame::Handshake(frame) if self.handshake.is_none() => {
                let message = take(payload, frame.message_bytes())?;
                self.handshake = Some((frame, message));
            }
            RawFrame::Handshake(_) => return Err(DecodeError::Misplaced),
            // UC-WIRE-015
            RawFrame::Unknown(lengths) => {
                skip_bytes(payload, &lengths)?;
                self.unknown_frames += 1;
            }
            RawFrame::WithoutKind => return Err(DecodeError::FrameWithoutKind),
            raw => self.frames.push(raw.attach(payload)?),
        }
        Ok(())
    }
}

/// The head's line, and what follows its newline (UC-WIRE-001).
pub(super) fn split(datagram: &[u8]) -> (&[u8], &[u8]) {
    let mut behind = datagram;
    // The standard library's way to look for a byte many at a time; reading from bytes in memory cannot fail.
    let read = behind.skip_until(b'\n').unwrap_or(datagram.len());
    match datagram[..read].split_last() {
        Some((b'\n', head)) => (head, behind),
        _ => (datagram, &[]),
    }
}

#[derive(Default)]
struct Head<'a> {
    checksum: Option<&'a str>,
    to: Option<ConnectionId>,
    number: Option<u64>,
    low: Option<u64>,
    epoch: Option<u64>,
    finish: Option<u64>,
    frames: Option<Vec<RawFrame<'a>>>,
}

/// Where a head stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the front of a datagram, where its version comes first.
    Outside,
    /// Under a seal, which tells the version.
    Sealed,
}

fn parse_head(bytes: &[u8], place: Place) -> Result<Head<'_>, DecodeError> {
    let mut stop = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let head = HeadSeed { stop: &mut stop, place }.deserialize(&mut deserializer);
    match (head, stop) {
        (_, Some(error)) => Err(error),
        (Ok(head), None) if deserializer.end().is_ok() => Ok(head),
        _ => Err(DecodeError::Malformed),
    }
}

/// Reads a head (UC-WIRE-002); `stop` tells why it stopped before the end, which serde's own error type cannot say.
struct HeadSeed<'s> {
    stop: &'s mut Option<DecodeError>,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for HeadSeed<'_> {
    type Value = Head<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Head<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadSeed<'_> {
    type Value = Head<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a datagram's head")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
        use serde::de::Error;

        if self.place == Place::Outside {
            let Some("v") = map.next_key::<&str>()? else {
                *self.stop = Some(DecodeError::NoVersion);
                return Err(A::Error::custom("no version"));
            };
            let version = map.next_value::<u64>()?;
            if version != VERSION {
                *self.stop = Some(DecodeError::UnknownVersion(version));
                return Err(A::Error::custom("unknown version"));
            }
        }
        let mut head = Head::default();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match key.as_ref() {
                "v" => return Err(A::Error::duplicate_field("v")),
                "c" => fill(&mut head.checksum, &mut map)?,
                "to" => fill(&mut head.to, &mut map)?,
                "n" => fill(&mut head.number, &mut map)?,
                "low" => fill(&mut head.low, &mut map)?,
                "k" => fill(&mut head.epoch, &mut map)?,
                "finish" => fill(&mut head.finish, &mut map)?,
                "f" => fill(&mut head.frames, &mut map)?,
                // UC-WIRE-004
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(head)
    }
}

fn fill<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    use serde::de::Error;

    if field.is_some() {
        return Err(A::Error::custom("a member stands twice"));
    }
    *field = Some(map.next_value()?);
    Ok(())
}
