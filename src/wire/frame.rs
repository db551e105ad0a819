//! Every kind of frame as a type. The names of the fields here are words, those on the wire are short; `spec/02-wire.md` has both.

use std::borrow::Cow;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

use super::{ConnectionId, Kind, object};

/// Closed ranges of packet numbers. While little is lost there are few.
pub type Ranges = SmallVec<[[u64; 2]; 4]>;

/// The bytes of messages. The longest packet has room for no more than thirteen messages of 100 bytes.
pub type Bodies<'a> = SmallVec<[&'a [u8]; 16]>;

/// The frames of a packet: mostly content, perhaps behind an ack and a nack.
pub type Frames<'a> = SmallVec<[Frame<'a>; 3]>;

/// One item inside a packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum Frame<'a> {
    /// Packets that arrived.
    Ack(Ack),
    /// Packets that are missing.
    Nack(Nack),
    /// Messages that arrived, though the packets that carried them did not.
    Have(Have),
    /// Whole messages, consecutive in their stream.
    Msg(Messages<'a>),
    /// A fragment of a message.
    Part(Part<'a>),
    /// Repair symbols: sums of messages, from which those that are missing can be computed.
    Repair(Repair<'a>),
    /// One message that is sent once and never repeated.
    Gram {
        /// The message.
        #[serde(rename = "len", serialize_with = "length")]
        body: &'a [u8],
    },
    /// How much more may be sent.
    Window(Window),
    /// Messages that their sender gave up.
    Skip(Skip),
    /// Nothing but a wish for an ack.
    Ping,
    /// Asks an address to prove itself, or answers.
    Path(PathFrame),
    /// Ends the connection.
    Close(Close<'a>),
    /// Bytes without meaning: they make a packet longer.
    Pad {
        /// The bytes.
        #[serde(rename = "len", serialize_with = "length")]
        bytes: &'a [u8],
    },
}

impl Frame<'_> {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ack(_) => Kind::Ack,
            Self::Nack(_) => Kind::Nack,
            Self::Have(_) => Kind::Have,
            Self::Msg(_) => Kind::Msg,
            Self::Part(_) => Kind::Part,
            Self::Repair(_) => Kind::Repair,
            Self::Gram { .. } => Kind::Gram,
            Self::Window(_) => Kind::Window,
            Self::Skip(_) => Kind::Skip,
            Self::Ping => Kind::Ping,
            Self::Path(_) => Kind::Path,
            Self::Close(_) => Kind::Close,
            Self::Pad { .. } => Kind::Pad,
        }
    }
}

/// The packets that the receiver has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Closed ranges of packet numbers, ascending, with gaps between them; the newest [`super::MAX_ACK_RANGES`].
    pub got: Ranges,
    /// How long the newest packet waited here for this ack, in microseconds; absent on the wire for 0.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub delay_us: u64,
}

/// Packets below the newest one that the receiver does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// Closed ranges of packet numbers, ascending.
    pub miss: Ranges,
}

/// All messages of a stream up to `seq` are here, or were given up by their sender (UC-STR-017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The stream; absent on the wire for 0.
    #[serde(rename = "st", default, skip_serializing_if = "is_zero")]
    pub stream: u32,
    /// The last one's number.
    pub seq: u64,
}

/// Whole messages of one stream, consecutive from `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Messages<'a> {
    /// The stream; absent on the wire for 0.
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub stream: u32,
    /// The first message's number.
    pub seq: u64,
    /// Whether each may be handed over before the ones below it; absent on the wire for false.
    #[serde(skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// The messages.
    #[serde(rename = "len", serialize_with = "lengths")]
    pub bodies: Bodies<'a>,
}

/// A fragment of one message, or a stretch of a stream: the end of a message, whole ones behind it, and the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part<'a> {
    /// The stream; absent on the wire for 0.
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub stream: u32,
    /// The first message's number.
    pub seq: u64,
    /// Whether each may be handed over before the ones below it; absent on the wire for false.
    #[serde(skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// Where in the first message its bytes belong.
    #[serde(rename = "off")]
    pub offset: u64,
    /// Whether the last message ends with its bytes; absent on the wire for false. The ones before it do.
    #[serde(skip_serializing_if = "is_false")]
    pub last: bool,
    /// What there is of each message, at least one; a number on the wire if it is one.
    #[serde(rename = "len", serialize_with = "length_or_lengths")]
    pub bodies: Bodies<'a>,
}

/// What a [`Part`] has of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The message's number.
    pub seq: u64,
    /// Where in the message the bytes belong.
    pub offset: u64,
    /// Whether the message ends with them.
    pub last: bool,
    /// The bytes.
    pub body: &'a [u8],
}

impl<'a> Part<'a> {
    /// What it has, message by message.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'a>> + use<'a, '_> {
        let count = self.bodies.len();
        (self.seq..).zip(self.bodies.iter().enumerate()).map(move |(seq, (place, &body))| Piece {
            seq,
            offset: if place == 0 { self.offset } else { 0 },
            last: self.last || place + 1 < count,
            body,
        })
    }
}

/// Repair symbols: sums of messages of one stream (UC-STR-015).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair<'a> {
    /// The stream; absent on the wire for 0.
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub stream: u32,
    /// Closed ranges of the messages' numbers, ascending, with gaps between them, over at most [`super::MAX_REPAIR_SPAN`] numbers.
    pub of: Ranges,
    /// Whether each may be handed over before the ones below it; absent on the wire for false.
    #[serde(skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// The symbols, at most [`super::MAX_SYMBOLS`], all of one length.
    #[serde(rename = "len", serialize_with = "lengths")]
    pub symbols: Bodies<'a>,
}

/// A new upper edge of what may be sent. Edges never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Window {
    /// For all streams together.
    Connection {
        /// Bytes of messages since the connection began.
        #[serde(rename = "total")]
        bytes: u64,
    },
    /// For one stream.
    Stream {
        /// Which; absent on the wire for 0.
        #[serde(rename = "st", skip_serializing_if = "is_zero")]
        stream: u32,
        /// Bytes of messages since the stream began.
        bytes: u64,
        /// The highest message number.
        seq: u64,
    },
}

/// Messages that their sender gave up, consecutive from `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// The stream; absent on the wire for 0.
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub stream: u32,
    /// The first one's number.
    pub seq: u64,
    /// The length of each in bytes: what it had used of the windows.
    pub sizes: Vec<u64>,
}

/// A question to an address, or the answer that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathFrame {
    /// An unpredictable number.
    Challenge(u64),
    /// The same number, returned from where the question went.
    Answer(u64),
}

/// The end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close<'a> {
    /// A word from the registry of close codes; an unknown one is only shown (UC-CLOSE-007).
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// For people, possibly empty.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
}

/// Asks for a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The name that the sender gives its half of the connection: packets to it carry this in `to`.
    pub id: ConnectionId,
    /// How the connection is to be protected: here always in a way that needs no more than this. A sealed one is asked for by a
    /// [`SealedHello`].
    pub mode: Mode,
    /// What the sender accepts.
    #[serde(default, deserialize_with = "object")]
    pub limits: Limits,
    /// The receiver's id of an earlier connection between the two that fell silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<ConnectionId>,
}

/// Asks for a sealed connection (UC-SEAL-003).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHello<'a> {
    /// The name that the sender gives its half, for whoever answers without reading further.
    pub id: ConnectionId,
    /// What a retry asked to be brought back.
    pub cookie: Option<Cow<'a, str>>,
    /// The handshake's first message; its payload is a [`Wish`].
    pub message: &'a [u8],
}

/// What a sealed hello says of itself, under the handshake: all that a clear one has in its frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The same id as in the frame, which nobody has changed on the way (UC-SEAL-003).
    pub id: ConnectionId,
    /// What the sender accepts.
    #[serde(default, deserialize_with = "object")]
    pub limits: Limits,
    /// The receiver's id of an earlier connection between the two that fell silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<ConnectionId>,
}

/// Grants a connection: in the clear as a frame, sealed as the payload of the handshake's second message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The name that the sender gives its half.
    pub id: ConnectionId,
    /// What the sender accepts.
    #[serde(default, deserialize_with = "object")]
    pub limits: Limits,
    /// Whether the connection that the hello called `old` is still known: then the old one goes on and this one is not needed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alive: bool,
}

/// Says why a hello cannot be answered. It is not authenticated, so it is a hint and never ends an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse<'a> {
    /// A word from the registry: `version`, `mode`, `busy`.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The versions that are spoken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speaks: Vec<u64>,
    /// The mode that is accepted, if that is what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Mode>,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not at all: for learning and testing.
    Clear,
    /// By a Noise handshake, and every packet sealed.
    Sealed,
    /// In a way that this program does not know (UC-HS-012, UC-WIRE-019).
    #[serde(other)]
    Unknown,
}

impl Wish {
    /// The JSON of it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Reads it; None if it is none, or asks for nonsense.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok().filter(|wish: &Self| wish.limits.are_numbers())
    }
}

impl Welcome {
    /// The JSON of it, for the handshake's second message.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Reads it; None if it is none, or grants nonsense.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok().filter(|welcome: &Self| welcome.limits.are_numbers())
    }
}

/// What one side accepts, told once in its handshake frame. An absent field has the value that [`Limits::default`] gives it,
/// small enough for the smallest partner (UC-HS-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The longest message, in bytes.
    pub message_bytes: u64,
    /// The first upper edge of all streams together, in bytes.
    pub connection_bytes: u64,
    /// The first upper edge of every stream, in bytes.
    pub stream_bytes: u64,
    /// The first upper edge of every stream, in messages.
    pub stream_messages: u64,
    /// How many streams; they are numbered from 0.
    pub streams: u32,
    /// The longest datagram that it can receive, in bytes.
    pub datagram_bytes: u64,
    /// The longest time that it withholds an ack, in microseconds.
    pub ack_delay_us: u64,
    /// After this much silence it forgets the connection, in milliseconds.
    pub idle_ms: u64,
    /// How many of a stream's newest messages it keeps to repair others from; absent on the wire for 0: it repairs nothing.
    #[serde(skip_serializing_if = "is_nothing")]
    pub repair_messages: u64,
}

impl Limits {
    /// Whether all are numbers as they may stand in a head (UC-WIRE-009).
    pub(super) fn are_numbers(&self) -> bool {
        let Self { message_bytes, connection_bytes, stream_bytes, stream_messages, streams: _, .. } = *self;
        let Self { datagram_bytes, ack_delay_us, idle_ms, repair_messages, .. } = *self;
        [
            message_bytes,
            connection_bytes,
            stream_bytes,
            stream_messages,
            datagram_bytes,
            ack_delay_us,
            idle_ms,
            repair_messages,
        ]
        .into_iter()
        .all(|number| number <= super::MAX_NUMBER)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            connection_bytes: 256 * 1024,
            stream_bytes: 128 * 1024,
            stream_messages: 256,
            streams: 1,
            datagram_bytes: super::BASE_DATAGRAM_BYTES as u64,
            ack_delay_us: 25_000,
            idle_ms: 45_000,
            repair_messages: 0,
        }
    }
}

fn length<S: Serializer>(body: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(body.len() as u64)
}

fn length_or_lengths<S: Serializer>(bodies: &Bodies<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    if let [body] = bodies[..] { length(&body, serializer) } else { lengths(bodies, serializer) }
}

fn lengths<S: Serializer>(bodies: &Bodies<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(bodies.len()))?;
    for body in bodies {
        list.serialize_element(&body.len())?;
    }
    list.end()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
const fn is_nothing(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands skip_serializing_if a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
