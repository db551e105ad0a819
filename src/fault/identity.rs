//! What makes a datagram this one and no other: the key of its draws and its place in its flow's sequence.
//!
//! Reads the head where there is one and takes any other bytes as they are; never keeps them, never fails.

use crate::random::keyed_draw;

/// What every draw about one datagram depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Stands for the datagram.
    pub(super) key: u64,
    /// Stands for the sequence that it belongs to.
    pub(super) sequence: u64,
    /// Its place in that sequence.
    pub(super) index: u64,
}

impl Identity {
    /// Of the `occurrence`th datagram with this connection id and number.
    pub(super) fn of_number(to: u64, number: u64, occurrence: u64) -> Self {
        Self {
            key: keyed_draw(&[BY_NUMBER, to, number, occurrence]),
            sequence: keyed_draw(&[BY_NUMBER, to, occurrence]),
            index: number,
        }
    }

    /// Of the `occurrence`th datagram with exactly these bytes, which is the `ordinal`th one without a number
    /// in its flow.
    pub(super) fn of_bytes(bytes: u64, occurrence: u64, flow: u64, ordinal: u64) -> Self {
        Self { key: keyed_draw(&[BY_BYTES, bytes, occurrence]), ..Self::of_ordinal(flow, ordinal) }
    }

    /// Of the `ordinal`th datagram without a number in its flow.
    pub(super) fn of_ordinal(flow: u64, ordinal: u64) -> Self {
        Self {
            key: keyed_draw(&[BY_ORDINAL, flow, ordinal]),
            sequence: keyed_draw(&[BY_ORDINAL, flow]),
            index: ordinal,
        }
    }
}

/// Keeps the three ways to name a datagram apart.
const BY_NUMBER: u64 = 1;
const BY_BYTES: u64 = 2;
const BY_ORDINAL: u64 = 3;

/// One number for some bytes. Not secure against somebody who looks for two texts with the same number, and
/// need not be.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = keyed_draw(&[state, u64::from_le_bytes(word)]);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_length_and_content() {
        assert_ne!(digest(b""), digest(b"\0"));
        assert_ne!(digest(b"12345678"), digest(b"12345678\0"));
        assert_eq!(digest(b"the same"), digest(b"the same"));
    }
}
