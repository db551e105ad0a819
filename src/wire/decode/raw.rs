//! Frames as their heads tell them, and what makes them frames: their bytes, and the checks of everything that they say.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use smallvec::{SmallVec, smallvec};

use super::super::frame::{
    Ack, Bodies, Close, Frame, Have, Messages, Nack, Part, PathFrame, Ranges, Refuse, Repair, Skip, Window,
};
use super::super::{
    DecodeError, Kind, MAX_ACK_RANGES, MAX_LIST, MAX_NUMBER, MAX_REASON_BYTES, MAX_REPAIR_SPAN, MAX_SYMBOLS,
    SYMBOL_BYTES,
};
use super::handshake::{RawHandshake, RawHello, RawRetry, RawWelcome};

/// A frame as its head tells it, before its bytes are attached.
pub(super) enum RawFrame<'a> {
    Handshake(RawHandshake<'a>),
    Whole(Frame<'a>),
    Path(RawPath),
    Window(RawWindow),
    Msg(RawMessages),
    Part(RawPart),
    Repair(RawRepair),
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
            Some(Kind::Have) => RawFrame::Whole(Frame::Have(Have::deserialize(rest)?)),
            Some(Kind::Repair) => RawFrame::Repair(RawRepair::deserialize(rest)?),
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
pub(super) struct RawLength {
    pub(super) len: u32,
}

#[derive(serde::Deserialize)]
pub(super) struct RawMessages {
    #[serde(default)]
    pub(super) st: u32,
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) unordered: bool,
    pub(super) len: Lengths,
}

#[derive(serde::Deserialize)]
pub(super) struct RawPart {
    #[serde(default)]
    pub(super) st: u32,
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) unordered: bool,
    pub(super) off: u64,
    #[serde(default)]
    pub(super) last: bool,
    pub(super) len: Lengths,
}

#[derive(serde::Deserialize)]
pub(super) struct RawRepair {
    #[serde(default)]
    pub(super) st: u32,
    pub(super) of: Ranges,
    #[serde(default)]
    pub(super) unordered: bool,
    pub(super) len: Lengths,
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
pub(super) struct RawPath {
    challenge: Option<u64>,
    answer: Option<u64>,
}

#[derive(serde::Deserialize)]
pub(super) struct RawWindow {
    pub(super) total: Option<u64>,
    #[serde(default)]
    pub(super) st: u32,
    pub(super) bytes: Option<u64>,
    pub(super) seq: Option<u64>,
}

/// The value of a `len`: one number, or a list of them (UC-WIRE-011).
#[derive(Default)]
pub(super) struct Lengths(pub(super) SmallVec<[u32; 16]>);

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
                Ok(Lengths(smallvec![length]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Lengths, A::Error> {
                let mut lengths = SmallVec::new();
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
    pub(super) fn attach(self, payload: &mut &'a [u8]) -> Result<Frame<'a>, DecodeError> {
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
            Self::Repair(raw) => raw.attach(payload).map(Frame::Repair),
            Self::Gram(raw) => Ok(Frame::Gram { body: take(payload, raw.len)? }),
            Self::Pad(raw) => Ok(Frame::Pad { bytes: take(payload, raw.len)? }),
            Self::Path(_) | Self::Handshake(_) | Self::Unknown(_) | Self::WithoutKind => {
                Err(DecodeError::Malformed)
            }
        }
    }
}

impl Lengths {
    /// As many bytes of each, from the front of `payload`.
    fn take<'a>(&self, payload: &mut &'a [u8]) -> Result<Bodies<'a>, DecodeError> {
        let mut bodies = Bodies::with_capacity(self.0.len());
        for &length in &self.0 {
            bodies.push(take(payload, length)?);
        }
        Ok(bodies)
    }
}

impl RawMessages {
    fn attach<'a>(self, payload: &mut &'a [u8]) -> Result<Messages<'a>, DecodeError> {
        let count = self.len.0.len();
        if count > MAX_LIST {
            return Err(DecodeError::TooMany);
        }
        check_sequence(self.seq, count)?;
        let bodies = self.len.take(payload)?;
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
        let bodies = self.len.take(payload)?;
        let Self { st: stream, seq, unordered, off: offset, last, .. } = self;
        Ok(Part { stream, seq, unordered, offset, last, bodies })
    }
}

impl RawRepair {
    fn attach<'a>(self, payload: &mut &'a [u8]) -> Result<Repair<'a>, DecodeError> {
        check_ranges(&self.of)?;
        let lengths = &self.len.0;
        let span = self.of.last().map_or(0, |last| last[1] - self.of[0][0] + 1);
        if lengths.is_empty() || lengths.len() > MAX_SYMBOLS || span > MAX_REPAIR_SPAN {
            return Err(DecodeError::TooMany);
        }
        if !SYMBOL_BYTES.contains(&(lengths[0] as usize))
            || lengths.iter().any(|length| *length != lengths[0])
        {
            return Err(DecodeError::BadNumber);
        }
        let symbols = self.len.take(payload)?;
        Ok(Repair { stream: self.st, of: self.of, unordered: self.unordered, symbols })
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
        Frame::Have(Have { seq, .. }) => check_sequence(*seq, 1)?,
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
pub(super) fn check_sequence(first: u64, count: usize) -> Result<(), DecodeError> {
    if first == 0 || count == 0 {
        return Err(DecodeError::BadNumber);
    }
    check_number(first.saturating_add(count as u64 - 1))
}

pub(super) const fn check_number(number: u64) -> Result<(), DecodeError> {
    if number <= MAX_NUMBER { Ok(()) } else { Err(DecodeError::BadNumber) }
}

pub(super) const fn check_text(text: &str) -> Result<(), DecodeError> {
    if text.len() <= MAX_REASON_BYTES { Ok(()) } else { Err(DecodeError::TooLong) }
}

pub(super) fn take<'a>(payload: &mut &'a [u8], length: u32) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = payload.split_at_checked(length as usize).ok_or(DecodeError::BytesMismatch)?;
    *payload = rest;
    Ok(taken)
}

pub(super) fn skip_bytes(payload: &mut &[u8], lengths: &Lengths) -> Result<(), DecodeError> {
    lengths.0.iter().try_for_each(|&length| take(payload, length).map(drop))
}
