//! A stretch of a stream on its way into one frame: what is left of a message, whole ones behind it, and the beginning of the next.
//!
//! It knows lengths and room, and nothing of why its bytes are sent.

use smallvec::SmallVec;

use super::super::sent::{Content, Contents};
use crate::wire::{LEAST_PART_BYTES, MAX_LIST, Messages, Part, decimal_digits};

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
    /// Whether messages that may be copied are to stay whole if they can.
    keeps_copied: bool,
    /// What its bytes take, and the digits that tell how many.
    taken: u64,
    /// What the frame may take.
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
    /// Nothing yet, in a frame of at most `room` bytes, those behind the head among them.
    pub(super) fn new(stream: u32, (seq, offset): (u64, u64), unordered: bool, room: usize) -> Self {
        let (lengths, room) = (SmallVec::new(), room as u64);
        Self {
            stream,
            seq,
            offset,
            unordered,
            lengths,
            ends: true,
            has_long: false,
            keeps_copied: true,
            taken: 0,
            room,
        }
    }

    /// The same where nothing is said again unasked, if that `is_uncopied`: then any message fills a packet to its last byte.
    pub(super) const fn cut_as(mut self, is_uncopied: bool) -> Self {
        self.keeps_copied = !is_uncopied;
        self
    }

    /// Adds the next `length` bytes, or as many of them as fit if they `may_be_cut`; tells how many, None if it takes none.
    /// `ends` tells whether the message ends with them.
    pub(super) fn push(&mut self, length: u64, ends: bool, may_be_cut: bool) -> Option<u64> {
        let is_full = self.lengths.len() == MAX_LIST || !self.ends;
        // Nothing of a message stands at neither end of a `part` (UC-STR-006).
        let is_nothing = length == 0 && !self.is_whole();
        if is_full || is_nothing {
            return None;
        }
        let has_long = self.has_long || length > WHOLE_LIMIT_BYTES;
        if (has_long || !ends) && self.lengths.first() == Some(&0) {
            return None;
        }
        if self.taken + self.head_bytes(ends, has_long) + entry_bytes(length) <= self.room {
            self.has_long = has_long;
            return Some(self.add(length, ends));
        }
        let room = self.room.checked_sub(self.taken + self.head_bytes(false, has_long))?;
        let mut cut = room.saturating_sub(entry_bytes(room) - room);
        // With a digit less there may be room for a byte more.
        cut += u64::from(entry_bytes(cut + 1) <= room);
        // Only the word that it is the end may have found no room.
        cut = cut.min(length.saturating_sub(1));
        let may_be_cut =
            may_be_cut && self.lengths.first() != Some(&0) && cut >= self.least_cut_bytes(length);
        may_be_cut.then(|| self.add(cut, false))
    }

    /// The shortest beginning of so many bytes that travels apart (UC-STR-006). What is short cannot leave many holes, however it is
    /// cut, and packets that are full to the last bytes are as long as each other: the system sends them with one call.
    const fn least_cut_bytes(&self, length: u64) -> u64 {
        // What is said again in other ways than in parts stays whole.
        let is_kept = self.keeps_copied && length <= super::copies::KEPT_WHOLE_BYTES;
        if length <= SHORT_BYTES && !is_kept { SHORT_BYTES / 128 } else { LEAST_PART_BYTES as u64 }
    }

    fn add(&mut self, length: u64, ends: bool) -> u64 {
        self.taken += entry_bytes(length);
        self.lengths.push(length);
        self.ends = ends;
        length
    }

    /// What the frame's head takes with one message more, without its lengths.
    fn head_bytes(&self, ends: bool, has_long: bool) -> u64 {
        let is_whole = self.offset == 0 && ends && !has_long;
        let (commas, is_list) = (self.lengths.len(), is_whole || !self.lengths.is_empty());
        let head = if is_whole {
            Messages::head_bytes(self.stream, self.seq, self.unordered)
        } else {
            let head = Part::head_bytes(self.stream, self.seq, self.unordered, self.offset, ends);
            head + if is_list { "[]".len() } else { 0 }
        };
        (head + commas) as u64
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
    pub(super) fn room(&self) -> u64 {
        // As if one more came, which leaves room for its comma.
        self.room.saturating_sub(self.taken + self.head_bytes(self.ends, self.has_long))
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

/// In pieces of a hundred-and-twenty-eighth each this leaves no more than the 64 holes that any message may have.
const SHORT_BYTES: u64 = 2_048;

/// What so many bytes take, and their number in the head.
const fn entry_bytes(length: u64) -> u64 {
    length + decimal_digits(length) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;
    use crate::wire::{ConnectionId, Frame, PacketWriter};

    /// The frame that a stretch says it is, and how long a packet of `limit` bytes became with it.
    fn packet_bytes(stretch: &Stretch, limit: usize) -> usize {
        let bytes = vec![7; 2_000];
        let bodies = stretch.spans().map(|span| &bytes[..span.length as usize]).collect();
        let &Stretch { stream, seq, offset, unordered, .. } = stretch;
        let frame = if stretch.is_whole() {
            Frame::Msg(Messages { stream, seq, unordered, bodies })
        } else {
            Frame::Part(Part { stream, seq, unordered, offset, last: stretch.ends(), bodies })
        };
        let (mut head, mut scratch) = (Vec::new(), Vec::new());
        let to = ConnectionId::random(&mut Random::from_seed(1));
        let mut writer = PacketWriter::new(&mut head, &mut scratch, to, 1, None, limit);
        assert!(writer.push(&frame), "{stretch:?} does not fit");
        writer.finish()
    }

    fn room(limit: usize) -> usize {
        let (mut head, mut scratch) = (Vec::new(), Vec::new());
        let to = ConnectionId::random(&mut Random::from_seed(1));
        PacketWriter::new(&mut head, &mut scratch, to, 1, None, limit).room()
    }

    #[test]
    fn an_end_that_fits_but_for_the_word_that_it_is_one_leaves_a_byte() {
        for room in 300..400 {
            let mut stretch = Stretch::new(0, (7, 5_000), false, room);
            let taken = stretch.push(300, true, true);
            assert!(taken.is_some_and(|taken| taken >= 128), "{room}: {stretch:?}");
        }
    }

    #[test]
    fn an_empty_message_stands_at_neither_end_of_a_part() {
        let mut stretch = Stretch::new(0, (7, 0), false, 1_200);
        assert_eq!([0, 1_001, 1_500].map(|length| stretch.push(length, true, true)), [Some(0), None, None]);
        let mut stretch = Stretch::new(0, (7, 0), false, 1_200);
        assert_eq!(
            [(0, true), (700, false)].map(|(length, ends)| stretch.push(length, ends, true)),
            [Some(0), None]
        );
        let mut stretch = Stretch::new(0, (7, 0), false, 1_200);
        assert_eq!([1_001, 0].map(|length| stretch.push(length, true, true)), [Some(1_001), None]);
    }

    proptest! {
        /// Equal lengths are what lets packets leave together.
        #[test]
        fn what_is_cut_fills_the_packet_to_the_last_byte(
            (stream, seq, offset) in (0..200_u32, 1..1_000_000_u64, prop_oneof![Just(0), 1..100_000_u64]),
            unordered: bool,
            is_uncopied: bool,
            limit in 300..1_500_usize,
            lengths in proptest::collection::vec(0..1_800_u64, 1..40),
        ) {
            let mut stretch = Stretch::new(stream, (seq, offset), unordered, room(limit)).cut_as(is_uncopied);
            let taken = lengths.iter().take_while(|&&length| stretch.push(length, true, true) == Some(length)).count();
            prop_assume!(stretch.len() > 0);
            let packet = packet_bytes(&stretch, limit);
            if stretch.ends() {
                prop_assert!(packet <= limit);
            } else {
                prop_assert_eq!(stretch.len(), taken + 1);
                // One byte less where a digit more has no room: 999 and 1000; more where it is all but the last byte.
                let is_nearly_all = stretch.spans().last().is_some_and(|span| span.length + 1 == lengths[taken]);
                prop_assert!(packet == limit || packet + 1 == limit || is_nearly_all, "{} of {}", packet, limit);
            }
        }
    }
}
