//! Damage to the bytes of a datagram: flipped bits and a cut end, at keyed places.
//!
//! What leaves here is sent with a fresh and valid UDP checksum, so it tests the receiver's own integrity
//! check. The link under it would have thrown such a datagram away.

use crate::random::{keyed_draw, scale};

/// Flips `count` different bits. Returns how many it could: at most as many as there are.
pub(super) fn flip_bits(bytes: &mut [u8], key: u64, count: u8) -> u8 {
    let total = bytes.len() as u64 * 8;
    let count = u64::from(count).min(total);
    let mut flipped = Vec::with_capacity(usize::from(u8::MAX));
    for round in 0..count {
        let mut position = scale(keyed_draw(&[key, round]), total);
        // Two flips of one bit would undo each other, so the next free one is taken.
        while flipped.contains(&position) {
            position = (position + 1) % total;
        }
        flipped.push(position);
        // Below the length of a slice, so it fits.
        bytes[(position / 8) as usize] ^= 1 << (position % 8);
    }
    // At most the `u8` that came in.
    count as u8
}

/// The length that is left of `length` bytes: at least one, at least one fewer. None if that is impossible.
pub(super) fn cut_length(length: usize, key: u64) -> Option<usize> {
    let choices = length.checked_sub(1).filter(|choices| *choices > 0)?;
    // Below `choices`, which is a usize.
    Some(1 + scale(keyed_draw(&[key]), choices as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_so_many_bits_change() {
        for key in 0..200 {
            for count in [1, 3, 16] {
                let mut bytes = [0; 2];
                assert_eq!(flip_bits(&mut bytes, key, count), count);
                assert_eq!(bytes[0].count_ones() + bytes[1].count_ones(), u32::from(count));
            }
        }
        assert_eq!(flip_bits(&mut [], 1, 4), 0);
        assert_eq!(flip_bits(&mut [0], 1, 200), 8);
    }

    #[test]
    fn a_cut_leaves_something_and_takes_something() {
        assert_eq!([0, 1].map(|length| cut_length(length, 1)), [None, None]);
        assert_eq!(cut_length(2, 1), Some(1));
        let cuts: Vec<usize> = (0..1_000).filter_map(|key| cut_length(5, key)).collect();
        assert_eq!((cuts.iter().min(), cuts.iter().max()), (Some(&1), Some(&4)));
    }
}
