//! A message of which some is here: fragments in any order, in any cut, overlapping.
//!
//! It must never take more memory than in proportion to what came: one fragment may belong at the end of a message of many
//! megabytes of which nothing else will ever come.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::ranges::Ranges;
use crate::wire::{LEAST_PART_BYTES, Piece};

/// What an entry costs beside its bytes: its share of the tree's nodes and of the list of ranges, and the allocation's own.
const PIECE_COST: u64 = 96;

/// Neighbours that are no longer than this together become one piece, so that fragments of a byte each cannot make an entry for
/// each. Copying so little costs less than the packet that brought it.
const MERGED_BYTES: usize = 1_024;

/// A piece that is this long is not made longer: growing doubles its room, and nobody knows what else will come.
const PIECE_BYTES: usize = 64 * 1024;

/// A message of which some is here.
#[derive(Debug, Default)]
pub struct Assembly {
    /// All that is here before the first hole. Nearly every fragment comes in order and goes here.
    front: Vec<u8>,
    /// What is here behind it, by its place. Pieces do not overlap.
    beyond: BTreeMap<u64, Vec<u8>>,
    /// The same as ranges of bytes, front and all.
    have: Ranges,
    /// How many bytes that are.
    bytes: u64,
    /// Up to where the message has shown itself.
    extent: u64,
    length: Option<u64>,
}

impl Assembly {
    /// One of which the beginning is here.
    pub fn from_front(front: Vec<u8>) -> Self {
        let bytes = front.len() as u64;
        let mut have = Ranges::default();
        if bytes > 0 {
            have.insert_range(0, bytes - 1);
        }
        Self { front, beyond: BTreeMap::new(), have, bytes, extent: bytes, length: None }
    }

    /// Takes what is new of a fragment.
    pub fn insert(&mut self, piece: &Piece<'_>) {
        let end = piece.offset + piece.body.len() as u64;
        let new: SmallVec<[[u64; 2]; 4]> = self.have.gaps(piece.offset, end - 1).collect();
        for [first, last] in new {
            let (from, to) = ((first - piece.offset) as usize, (last - piece.offset) as usize);
            self.put(first, &piece.body[from..=to]);
        }
        self.bytes += self.have.insert_range(piece.offset, end - 1);
        self.extent = self.extent.max(end);
        if piece.last {
            self.length = Some(end);
        }
    }

    /// Whether a fragment says something else than those before about where the message ends.
    pub fn contradicts(&self, piece: &Piece<'_>) -> bool {
        let end = piece.offset + piece.body.len() as u64;
        let differs = self.length.is_some_and(|length| end > length || (piece.last && end != length));
        differs || (piece.last && self.extent > end)
    }

    /// Up to where the message has shown itself: what the other side has charged for it so far (UC-STR-009).
    pub const fn extent(&self) -> u64 {
        self.extent
    }

    /// The memory that it takes.
    pub fn held_bytes(&self) -> u64 {
        self.bytes + PIECE_COST * self.beyond.len() as u64
    }

    /// Entries in its tables, for the bound's checker.
    pub fn entries(&self) -> usize {
        self.have.as_slice().len().max(self.beyond.len())
    }

    /// Whether its holes are more than honest parts can leave (UC-STR-006): each costs an entry, and no window covers entries.
    pub fn is_scattered(&self) -> bool {
        self.have.as_slice().len() as u64 > 64 + self.extent / LEAST_PART_BYTES as u64
    }

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.length == Some(self.front.len() as u64)
    }

    /// The message, once it is whole.
    pub fn into_body(self) -> Vec<u8> {
        self.front
    }

    /// Keeps bytes that were not here before.
    fn put(&mut self, at: u64, bytes: &[u8]) {
        if at != self.front.len() as u64 {
            return self.put_beyond(at, bytes);
        }
        self.front.extend_from_slice(bytes);
        // The hole may be filled, and then everything up to the next one follows.
        while let Some(next) = self.beyond.first_entry()
            && *next.key() == self.front.len() as u64
        {
            self.front.append(&mut next.remove());
        }
    }

    fn put_beyond(&mut self, at: u64, bytes: &[u8]) {
        let before = self.beyond.range_mut(..at).next_back();
        let before = before.filter(|(place, piece)| **place + piece.len() as u64 == at);
        let start = match before {
            Some((&place, piece)) if piece.len() < PIECE_BYTES => {
                piece.extend_from_slice(bytes);
                place
            }
            _ => {
                self.beyond.insert(at, bytes.to_vec());
                at
            }
        };
        let after = at + bytes.len() as u64;
        let next_length = self.beyond.get(&after).map(Vec::len);
        if let (Some(next_length), Some(piece)) = (next_length, self.beyond.get(&start))
            && piece.len() + next_length <= MERGED_BYTES
        {
            let next = self.beyond.remove(&after).unwrap_or_default();
            self.beyond.entry(start).or_default().extend_from_slice(&next);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn insert(assembly: &mut Assembly, offset: u64, body: &[u8], last: bool) {
        assembly.insert(&Piece { seq: 1, offset, last, body });
        let pieces: usize = assembly.beyond.values().map(Vec::len).sum();
        assert_eq!(assembly.bytes, (assembly.front.len() + pieces) as u64);
    }

    // UC-STR-006
    #[test]
    fn one_far_fragment_takes_what_it_is_long() {
        let mut assembly = Assembly::default();
        insert(&mut assembly, 16 * 1024 * 1024, &[7; 162], false);
        assert_eq!((assembly.extent(), assembly.held_bytes()), (16 * 1024 * 1024 + 162, 162 + PIECE_COST));
        assert_eq!(assembly.front.capacity(), 0);
        assert!(assembly.beyond.values().all(|piece| piece.capacity() <= 162));
        assert!(!assembly.is_whole() && !assembly.is_scattered());
    }

    #[test]
    fn what_comes_in_order_is_in_one_piece_and_what_comes_backwards_in_few() {
        let message: Vec<u8> = (0..20_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for length in [1, 7, 500, 1_300] {
            let mut forwards = Assembly::default();
            let mut backwards = Assembly::default();
            for (number, part) in message.chunks(length).enumerate() {
                insert(&mut forwards, (number * length) as u64, part, (number + 1) * length >= message.len());
                assert!(forwards.beyond.is_empty());
            }
            for (number, part) in message.chunks(length).enumerate().rev() {
                insert(
                    &mut backwards,
                    (number * length) as u64,
                    part,
                    (number + 1) * length >= message.len(),
                );
                let few = 2 + 2 * backwards.bytes as usize / MERGED_BYTES.min(length.max(500));
                assert!(backwards.beyond.len() <= few, "{} of {length}", backwards.beyond.len());
            }
            assert!(forwards.is_whole() && backwards.is_whole());
            assert_eq!(backwards.held_bytes(), message.len() as u64);
            assert_eq!((&forwards.into_body(), &backwards.into_body()), (&message, &message));
        }
    }

    proptest! {
        #[test]
        fn any_cut_in_any_order_makes_the_message(
            message in proptest::collection::vec(any::<u8>(), 1..3_000),
            cuts in proptest::collection::vec((0.0..1.0_f64, 1..900_usize), 0..60),
        ) {
            let mut assembly = Assembly::default();
            let all = cuts.iter().map(|&(place, length)| {
                let from = (place * message.len() as f64) as usize;
                (from, (from + length).min(message.len()))
            });
            // Whatever is missing in the end comes last.
            let rest = (0..message.len()).step_by(100).map(|from| (from, (from + 100).min(message.len())));
            for (from, to) in all.chain(rest.collect::<Vec<_>>().into_iter().rev()) {
                insert(&mut assembly, from as u64, &message[from..to], to == message.len());
                let pieces = assembly.have.as_slice().len() + 2 * assembly.bytes as usize / MERGED_BYTES;
                prop_assert!(assembly.beyond.len() <= pieces);
                prop_assert!(assembly.held_bytes() <= assembly.bytes + PIECE_COST * pieces as u64);
            }
            prop_assert!(assembly.is_whole());
            prop_assert_eq!(assembly.into_body(), message);
        }
    }
}
