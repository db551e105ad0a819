//! A stretch of a stream on its way into one frame: what is left of a message, whole ones behind it, and the beginning of the next.
//!
//! It knows lengths and room, and nothing of why its bytes are sent.

use smallvec::SmallVec;

use super::super::sent::{Content, Contents};
use crate::wire::{LEAST_PART_BYTES, MAX_LIST, Messages, Part};

/// The longest message that is repeated whole. The rest of the shortest packet is for its head, that of a `msg` frame, and an ack
/// of a few ranges.
pub(super) const WHOLE_LIMIT_BYTES: u64 = crate::wire::BASE_DATAGRAM_BYTES as u64 - 200;

/// Consecutive bytes of a stream.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) stream: u32,
    /// The first message's number.
    pub(super) seq: u64,
    /// Where in the first message it begins.
    pub(super) offset: u64,
    pub(super) unordered: bool,
    /// How much of each message.
    lengths: SmallVec<[u64; 16]>,
    /// Whether the last message ends with it.
    ends: bool,
    /// Whether a message is longer than what travels whole.
    has_long: bool,
    room: u64,
}

/// What a stretch has of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) seq: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Whether the message ends with it.
    pub(super) ends: bool,
}

impl Stretch {
    /// Nothing yet, in a frame of at most `room` bytes.
    pub(super) fn new(stream: u32, (seq, offset): (u64, u64), unordered: bool, room: usize) -> Self {
        // The head of a `part` is the longer one.
        let room = room.saturating_sub(Part::head_bytes(stream, seq, unordered, offset)) as u64;
        Self { stream, seq, offset, unordered, lengths: SmallVec::new(), ends: true, has_long: false, room }
    }

    /// Adds the next `length` bytes, or as many of them as fit if they `may_be_cut`; tells how many, None if it takes none.
    /// `ends` tells whether the message ends with them.
    pub(super) fn push(&mut self, length: u64, ends: bool, may_be_cut: bool) -> Option<u64> {
        let room = self.room.saturating_sub(Messages::ENTRY_BYTES as u64);
        let is_full = self.lengths.len() == MAX_LIST || !self.ends;
        // Nothing of a message stands at neither end of a `part` (UC-STR-006).
        let is_nothing = length == 0 && !self.is_whole();
        let may_be_cut = may_be_cut && self.lengths.first() != Some(&0) && room >= LEAST_PART_BYTES as u64;
        if is_full || is_nothing || (length > room && !may_be_cut) {
            return None;
        }
        let taken = length.min(room);
        self.room -= taken + Messages::ENTRY_BYTES as u64;
        self.lengths.push(taken);
        self.ends = ends && taken == length;
        self.has_long |= taken > WHOLE_LIMIT_BYTES;
        Some(taken)
    }

    /// How many messages it has something of.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The number of the message that comes next.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq + self.lengths.len() as u64
    }

    /// Whether it is of whole messages only, and of such as travel whole.
    pub(super) const fn is_whole(&self) -> bool {
        self.offset == 0 && self.ends && !self.has_long
    }

    /// How many bytes of the frame's room it leaves.
    pub(super) const fn room(&self) -> u64 {
        self.room
    }

    /// What it has, message by message.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        let count = self.lengths.len();
        (self.seq..).zip(self.lengths.iter().enumerate()).map(move |(seq, (place, &length))| Span {
            seq,
            offset: if place == 0 { self.offset } else { 0 },
            length,
            ends: self.ends || place + 1 < count,
        })
    }

    /// Whether the last message ends with it.
    pub(super) const fn ends(&self) -> bool {
        self.ends
    }

    /// Adds what it has to a packet's contents.
    pub(super) fn name(&self, contents: &mut Contents) {
        let stream = self.stream;
        for Span { seq, offset, length, ends } in self.spans() {
            if offset > 0 || !ends || length > WHOLE_LIMIT_BYTES {
                contents.push(Content::Part { stream, seq, offset, length });
                continue;
            }
            match contents.last_mut() {
                Some(Content::Messages { stream: of, seq: first, count })
                    if *of == stream && *first + u64::from(*count) == seq =>
                {
                    *count += 1;
                }
                _ => contents.push(Content::Messages { stream, seq, count: 1 }),
            }
        }
    }
}
