//! From a datagram's bytes to types that hold only sense. Everything is checked here, once.

mod handshake;
mod sealed;

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::frame::{
    Ack, Close, Frame, Hello, Messages, Nack, Part, PathFrame, Refuse, SealedHello, Skip, Welcome, Window,
};
use super::{ConnectionId, DecodeError, Kind, VERSION, checksum};
use super::{MAX_ACK_RANGES, MAX_FRAMES, MAX_LIST, MAX_NUMBER, MAX_REASON_BYTES};
pub use sealed::{SealedHead, decode_sealed};

use handshake::{RawHandshake, RawHello, RawRetry, RawWelcome};

/// A datagram of this protocol, intact and sensible.
#[derive(Clone, Debug, PartialEq)]
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
    pub frames: Vec<Frame<'a>>,
    /// How many frames were skipped because their kind is not known.
    pub unknown_frames: usize,
}

/// Reads one datagram (UC-WIRE-001 to UC-WIRE-013). The work is in proportion to its length.
pub fn decode(datagram: &[u8]) -> Result<Datagram<'_>, DecodeError> {
    let (head_bytes, mut payload) = split(datagram);
    let head = parse_head(head_bytes, Place::Outside)?;
    if head.frames.is_none() && head.checksum.is_none() {
        return head.check_sealed(head_bytes.len(), datagram.len()).map(Datagram::Sealed);
    }
    let digits = head.checksum.ok_or(DecodeError::NoChecksum)?;
    let told = checksum::from_digits(digits).ok_or(DecodeError::Malformed)?;
    // `digits` is a part of `head_bytes`, so this is its place in the datagram.
    let digits_at = digits.as_ptr().addr() - datagram.as_ptr().addr();
    if checksum::checksum(datagram, digits_at) != told {
        return Err(DecodeError::ChecksumMismatch);
    }
    let Carried { handshake, frames, unknown_frames } =
        attach_all(head.frames.ok_or(DecodeError::Malformed)?, &mut payload)?;
    match (handshake, head.number) {
        (Some((frame, message)), None) => {
            frame.check(head.to, message, &frames, datagram.len()).map(Datagram::Handshake)
        }
        (None, Some(number)) => {
            let to = head.to.ok_or(DecodeError::Malformed)?;
            check_sequence(number, 1)?;
            head.low.map_or(Ok(()), check_number)?;
            Ok(Datagram::Packet(Packet { to, number, low: head.low, frames, unknown_frames }))
        }
        _ => Err(DecodeError::Misplaced),
    }
}

/// The frames of a datagram, with their bytes.
struct Carried<'a> {
    handshake: Option<(RawHandshake<'a>, &'a [u8])>,
    frames: Vec<Frame<'a>>,
    unknown_frames: usize,
}

fn attach_all<'a>(raw_frames: Vec<RawFrame<'a>>, payload: &mut &'a [u8]) -> Result<Carried<'a>, DecodeError> {
    if raw_frames.len() > MAX_FRAMES {
        return Err(DecodeError::TooMany);
    }
    let frames = Vec::with_capacity(raw_frames.len());
    let mut carried = Carried { handshake: None, frames, unknown_frames: 0 };
    for raw in raw_frames {
        match raw {
            RawFrame::Handshake(frame) if carried.handshake.is_none() => {
                let message = take(payload, frame.message_bytes())?;
                carried.handshake = Some((frame, message));
            }
            RawFrame::Handshake(_) => return Err(DecodeError::Misplaced),
            // UC-WIRE-015
            RawFrame::Unknown(lengths) => {
                skip_bytes(payload, &lengths)?;
                carried.unknown_frames += 1;
            }
            RawFrame::WithoutKind => return Err(DecodeError::FrameWithoutKind),
            raw => carried.frames.push(raw.attach(payload)?),
        }
    }
    // UC-WIRE-016
    if payload.is_empty() { Ok(carried) } else { Err(DecodeError::BytesMismatch) }
}

/// The head's line, and what follows its newline (UC-WIRE-001).
pub(super) fn split(datagram: &[u8]) -> (&[u8], &[u8]) {
    match datagram.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&datagram[..at], &datagram[at + 1..]),
        None => (datagram, &[]),
    }
}

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
        let (checksum, to, number) = (None, None, None);
        let (low, epoch, finish, frames) = (None, None, None, None);
        let mut head = Head { checksum, to, number, low, epoch, finish, frames };
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

/// A frame as its head tells it, before its bytes are attached.
enum RawFrame<'a> {
    Handshake(RawHandshake<'a>),
    Whole(Frame<'a>),
    Path(RawPath),
    Window(RawWindow),
    Msg(RawMessages),
    Part(RawPart),
    Gram(RawLength),
    Pad(RawLength),
    Unknown(Lengths),
    WithoutKind,
}

impl<'de> Deserialize<'de> for RawFrame<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FrameVisitor)
    }
}

/// Reads a frame. Because `t` comes first (UC-WIRE-007), the rest goes straight into the right type; serde's own internally
/// tagged enums would buffer it and take twice as long.
struct FrameVisitor;

impl<'de> Visitor<'de> for FrameVisitor {
    type Value = RawFrame<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawFrame<'de>, A::Error> {
        let first = map.next_key::<&str>()?;
        if first != Some("t") {
            if first.is_some() {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            }
            return Ok(RawFrame::WithoutKind);
        }
        let name = map.next_value::<Cow<'_, str>>()?;
        let kind = Kind::from_name(&name);
        let rest = MapAccessDeserializer::new(map);
        Ok(match kind {
            Some(Kind::Hello) => RawFrame::Handshake(RawHandshake::Hello(RawHello::deserialize(rest)?)),
            Some(Kind::Welcome) => RawFrame::Handshake(RawHandshake::Welcome(RawWelcome::deserialize(rest)?)),
            Some(Kind::Retry) => RawFrame::Handshake(RawHandshake::Retry(RawRetry::deserialize(rest)?)),
            Some(Kind::Refuse) => RawFrame::Handshake(RawHandshake::Refuse(Refuse::deserialize(rest)?)),
            Some(Kind::Ack) => RawFrame::Whole(Frame::Ack(Ack::deserialize(rest)?)),
            Some(Kind::Nack) => RawFrame::Whole(Frame::Nack(Nack::deserialize(rest)?)),
            Some(Kind::Msg) => RawFrame::Msg(RawMessages::deserialize(rest)?),
            Some(Kind::Part) => RawFrame::Part(RawPart::deserialize(rest)?),
            Some(Kind::Gram) => RawFrame::Gram(RawLength::deserialize(rest)?),
            Some(Kind::Window) => RawFrame::Window(RawWindow::deserialize(rest)?),
            Some(Kind::Skip) => RawFrame::Whole(Frame::Skip(RawSkip::deserialize(rest)?.into())),
            Some(Kind::Ping) => {
                RawEmpty::deserialize(rest)?;
                RawFrame::Whole(Frame::Ping)
            }
            Some(Kind::Path) => RawFrame::Path(RawPath::deserialize(rest)?),
            Some(Kind::Close) => RawFrame::Whole(Frame::Close(Close::deserialize(rest)?)),
            Some(Kind::Pad) => RawFrame::Pad(RawLength::deserialize(rest)?),
            None => RawFrame::Unknown(RawUnknown::deserialize(rest)?.len),
        })
    }
}

#[derive(serde::Deserialize)]
struct RawEmpty {}

#[derive(serde::Deserialize)]
struct RawUnknown {
    #[serde(default)]
    len: Lengths,
}

#[derive(serde::Deserialize)]
struct RawLength {
    len: u32,
}

#[derive(serde::Deserialize)]
struct RawMessages {
    #[serde(default)]
    st: u32,
    seq: u64,
    #[serde(default)]
    unordered: bool,
    len: Lengths,
}

#[derive(serde::Deserialize)]
struct RawPart {
    #[serde(default)]
    st: u32,
    seq: u64,
    #[serde(default)]
    unordered: bool,
    off: u64,
    #[serde(default)]
    last: bool,
    len: Lengths,
}

#[derive(serde::Deserialize)]
struct RawSkip {
    #[serde(default)]
    st: u32,
    seq: u64,
    sizes: Vec<u64>,
}

impl From<RawSkip> for Skip {
    fn from(raw: RawSkip) -> Self {
        Self { stream: raw.st, seq: raw.seq, sizes: raw.sizes }
    }
}

#[derive(serde::Deserialize)]
struct RawPath {
    challenge: Option<u64>,
    answer: Option<u64>,
}

#[derive(serde::Deserialize)]
struct RawWindow {
    total: Option<u64>,
    #[serde(default)]
    st: u32,
    bytes: Option<u64>,
    seq: Option<u64>,
}

/// The value of a `len`: one number, or a list of them (UC-WIRE-011).
#[derive(Default)]
struct Lengths(Vec<u32>);

impl<'de> Deserialize<'de> for Lengths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthsVisitor;

        impl<'de> Visitor<'de> for LengthsVisitor {
            type Value = Lengths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length or a list of lengths")
            }

            fn visit_u64<E: serde::de::Error>(self, length: u64) -> Result<Lengths, E> {
                let length = u32::try_from(length).map_err(|_| E::custom("a length above any datagram's"))?;
                Ok(Lengths(vec![length]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Lengths, A::Error> {
                let mut lengths = Vec::new();
                while let Some(length) = list.next_element()? {
                    lengths.push(length);
                }
                Ok(Lengths(lengths))
            }
        }

        deserializer.deserialize_any(LengthsVisitor)
    }
}

impl<'a> RawFrame<'a> {
    /// The frame with its bytes, which are taken from the front of `payload`.
    fn attach(self, payload: &mut &'a [u8]) -> Result<Frame<'a>, DecodeError> {
        match self {
            Self::Whole(frame) => check_frame(frame),
            Self::Path(RawPath { challenge: Some(token), answer: None }) => {
                check_number(token).map(|()| Frame::Path(PathFrame::Challenge(token)))
            }
            Self::Path(RawPath { challenge: None, answer: Some(token) }) => {
                check_number(token).map(|()| Frame::Path(PathFrame::Answer(token)))
            }
            Self::Window(raw) => raw.check().map(Frame::Window),
            Self::Msg(raw) => raw.attach(payload).map(Frame::Msg),
            Self::Part(raw) => raw.attach(payload).map(Frame::Part),
            Self::Gram(raw) => Ok(Frame::Gram { body: take(payload, raw.len)? }),
            Self::Pad(raw) => Ok(Frame::Pad { bytes: take(payload, raw.len)? }),
            Self::Path(_) | Self::Handshake(_) | Self::Unknown(_) | Self::WithoutKind => {
                Err(DecodeError::Malformed)
            }
        }
    }
}

impl RawMessages {
    fn attach<'a>(self, payload: &mut &'a [u8]) -> Result<Messages<'a>, DecodeError> {
        let count = self.len.0.len();
        if count > MAX_LIST {
            return Err(DecodeError::TooMany);
        }
        check_sequence(self.seq, count)?;
        let bodies = self.len.0.iter().map(|&length| take(payload, length)).collect::<Result<_, _>>()?;
        Ok(Messages { stream: self.st, seq: self.seq, unordered: self.unordered, bodies })
    }
}

impl RawPart {
    fn attach<'a>(self, payload: &mut &'a [u8]) -> Result<Part<'a>, DecodeError> {
        let lengths = &self.len.0;
        if lengths.len() > MAX_LIST {
            return Err(DecodeError::TooMany);
        }
        check_sequence(self.seq, lengths.len())?;
        // At either end, nothing of a message would be an entry in every table for no gain; an empty message is a `msg`.
        let (Some(&first @ 1..), Some(1..)) = (lengths.first(), lengths.last()) else {
            return Err(DecodeError::BadNumber);
        };
        check_number(self.off.saturating_add(u64::from(first)))?;
        let bodies = lengths.iter().map(|&length| take(payload, length)).collect::<Result<_, _>>()?;
        let Self { st: stream, seq, unordered, off: offset, last, .. } = self;
        Ok(Part { stream, seq, unordered, offset, last, bodies })
    }
}

impl RawWindow {
    fn check(self) -> Result<Window, DecodeError> {
        match self {
            Self { total: Some(bytes), bytes: None, seq: None, .. } => {
                check_number(bytes)?;
                Ok(Window::Connection { bytes })
            }
            Self { total: None, bytes: Some(bytes), seq: Some(seq), st } => {
                check_number(bytes)?;
                check_number(seq)?;
                Ok(Window::Stream { stream: st, bytes, seq })
            }
            _ => Err(DecodeError::Malformed),
        }
    }
}

fn check_frame(frame: Frame<'_>) -> Result<Frame<'_>, DecodeError> {
    match &frame {
        Frame::Ack(Ack { got, delay_us }) => {
            check_ranges(got)?;
            check_number(*delay_us)?;
        }
        Frame::Nack(Nack { miss }) => check_ranges(miss)?,
        Frame::Skip(Skip { seq, sizes, .. }) => {
            if sizes.len() > MAX_LIST {
                return Err(DecodeError::TooMany);
            }
            check_sequence(*seq, sizes.len())?;
            sizes.iter().try_for_each(|&size| check_number(size))?;
        }
        Frame::Close(Close { code, reason }) => {
            check_text(code)?;
            check_text(reason)?;
        }
        _ => {}
    }
    Ok(frame)
}

/// Ranges ascend and have gaps between them (UC-ARQ-003); the first number of all is 1.
fn check_ranges(ranges: &[[u64; 2]]) -> Result<(), DecodeError> {
    if ranges.is_empty() || ranges.len() > MAX_ACK_RANGES {
        return Err(DecodeError::TooMany);
    }
    let mut least = 1;
    for &[first, last] in ranges {
        if first < least || last < first || last > MAX_NUMBER {
            return Err(DecodeError::BadNumber);
        }
        least = last + 2;
    }
    Ok(())
}

/// Packets and messages are numbered from 1, there is at least one, and the last one is still exact.
fn check_sequence(first: u64, count: usize) -> Result<(), DecodeError> {
    if first == 0 || count == 0 {
        return Err(DecodeError::BadNumber);
    }
    check_number(first.saturating_add(count as u64 - 1))
}

const fn check_number(number: u64) -> Result<(), DecodeError> {
    if number <= MAX_NUMBER { Ok(()) } else { Err(DecodeError::BadNumber) }
}

const fn check_text(text: &str) -> Result<(), DecodeError> {
    if text.len() <= MAX_REASON_BYTES { Ok(()) } else { Err(DecodeError::TooLong) }
}

fn take<'a>(payload: &mut &'a [u8], length: u32) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = payload.split_at_checked(length as usize).ok_or(DecodeError::BytesMismatch)?;
    *payload = rest;
    Ok(taken)
}

fn skip_bytes(payload: &mut &[u8], lengths: &Lengths) -> Result<(), DecodeError> {
    lengths.0.iter().try_for_each(|&length| take(payload, length).map(drop))
}
