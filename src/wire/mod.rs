//! What a datagram says: the head, its frames, the bytes behind it, and nothing about what they are for.
//!
//! A datagram is one JSON object on one line, the head, then optionally a newline and the bytes that the head's frames announce,
//! in order. [`decode()`] turns it into types that cannot hold nonsense, [`PacketWriter`] and [`encode_handshake`] are the way
//! back. `spec/02-wire.md` is the rule; every limit here stands there too.
//!
//! This module must never panic on any bytes, never allocate more than in proportion to a datagram's length, and never keep
//! anything from one datagram to the next.

mod checksum;
mod decode;
mod encode;
mod error;
mod frame;
mod glance;
mod id;
mod kind;
mod object;

pub use decode::{Datagram, Handshake, Packet, SealedHead, decode, decode_sealed};
pub use encode::{Form, PacketWriter, decimal_digits, encode_handshake};
pub use error::DecodeError;
pub use frame::{
    Ack, Bodies, Close, Frame, Frames, Have, Hello, Limits, Messages, Mode, Nack, Part, PathFrame, Piece,
    Ranges, Refuse, Repair, SealedHello, Skip, Welcome, Window, Wish,
};
pub use glance::{Glance, Kinds, glance, looks_like_bare_hello};
pub use id::ConnectionId;
pub use kind::Kind;
pub use object::object;

/// The version of the protocol that this code speaks (UC-WIRE-003).
pub const VERSION: u64 = 1;

/// No UDP payload over IPv4 is longer: 65 535 bytes less the two headers.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;

/// What a path carries without asking it (UC-WIRE-020): IPv6 guarantees 1280 bytes, and tunnels take some of it.
pub const BASE_DATAGRAM_BYTES: usize = 1_200;

/// A hello is padded to this (UC-HS-002), so that the answer stays below three times what came in.
pub const HELLO_BYTES: usize = 512;

/// Packet numbers, message numbers and byte counts stay below 2^53 (UC-WIRE-009): more is not exact in every JSON reader.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A part is no shorter than this, unless it is the rest of what was to be sent (UC-STR-006): its head takes half as much.
pub const LEAST_PART_BYTES: usize = 128;

/// The most ranges in one ack (UC-ARQ-003): a full one takes about 500 bytes, and the newest matter most.
pub const MAX_ACK_RANGES: usize = 32;

/// The most frames in one datagram (UC-WIRE-010), far above what fits usefully; it bounds the work for one datagram.
pub const MAX_FRAMES: usize = 64;

/// The most entries in one `len` or `sizes` list (UC-WIRE-011).
pub const MAX_LIST: usize = 256;

/// How many message numbers the first and the last message of a `repair` may be apart, both included (UC-STR-015): a round trip of
/// a busy talk. It bounds what a receiver keeps, and the work for one symbol.
pub const MAX_REPAIR_SPAN: u64 = 64;

/// The most symbols of one `repair` (UC-STR-015). Where two packets of five are lost, four for each message are enough.
pub const MAX_SYMBOLS: usize = 4;

/// How long a symbol is (UC-STR-015): two bytes for a length, and a message of at most 400 bytes. Longer ones fill packets, and are
/// not said twice.
pub const SYMBOL_BYTES: std::ops::RangeInclusive<usize> = 3..=402;

/// The longest cookie, in bytes (UC-SEAL-012).
pub const MAX_COOKIE_BYTES: usize = 128;

/// What the handshake's third message takes in front of a sealed packet (UC-SEAL-005).
pub const FINISH_BYTES: usize = 64;

/// What sealing adds behind a packet.
pub const SEAL_BYTES: usize = 16;

/// The longest reason in a close or refuse frame, in bytes (UC-WIRE-012).
pub const MAX_REASON_BYTES: usize = 256;
