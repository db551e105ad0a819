//! What one call to the system received: up to [`BATCH_SIZE`] messages, each of one datagram or of several that the system joined
//! because they came from one sender in one size (GRO). They are handed out one by one, in order.
//!
//! It only divides; it calls nothing.

use std::io::IoSliceMut;

use quinn_udp::{BATCH_SIZE, RecvMeta};

use super::MAX_DATAGRAM_BYTES;

/// Room for what the system hands over at once, and how far it was taken.
#[derive(Debug)]
pub(super) struct Batch {
    /// [`MAX_DATAGRAM_BYTES`] for each message. Most of it is never touched, and then takes no memory.
    bytes: Vec<u8>,
    messages: [RecvMeta; BATCH_SIZE],
    filled: usize,
    /// The message that comes next, and how much of it was taken.
    next: usize,
    taken: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        let messages = [RecvMeta::default(); BATCH_SIZE];
        Self { bytes: vec![0; BATCH_SIZE * MAX_DATAGRAM_BYTES], messages, filled: 0, next: 0, taken: 0 }
    }

    /// Receives anew with `receive`, which fills slices and says how many; what was not taken is lost.
    pub(super) fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<(), E> {
        (self.filled, self.next, self.taken) = (0, 0, 0);
        let mut rooms = self.bytes.chunks_exact_mut(MAX_DATAGRAM_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        self.filled = receive(&mut slices, &mut self.messages)?;
        Ok(())
    }

    /// Whether there is nothing more to take.
    pub(super) const fn is_empty(&self) -> bool {
        self.next == self.filled
    }

    /// The next datagram, and the message that it is of.
    pub(super) fn take(&mut self) -> Option<(RecvMeta, &mut [u8])> {
        if self.is_empty() {
            return None;
        }
        let message = self.messages[self.next];
        let start = self.next * MAX_DATAGRAM_BYTES + self.taken;
        // An empty datagram is one, too.
        let length = message.stride.min(message.len - self.taken);
        self.taken += length;
        if self.taken >= message.len || length == 0 {
            (self.next, self.taken) = (self.next + 1, 0);
        }
        Some((message, &mut self.bytes[start..start + length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(messages: &[(usize, usize)]) -> Batch {
        let mut batch = Batch::new();
        let done: Result<(), ()> = batch.fill(|slices, metas| {
            for (index, &(len, stride)) in messages.iter().enumerate() {
                let mut meta = RecvMeta::default();
                (meta.len, meta.stride) = (len, stride);
                metas[index] = meta;
                for (place, byte) in slices[index][..len].iter_mut().enumerate() {
                    *byte = (16 * index + place / stride.max(1)) as u8;
                }
            }
            Ok(messages.len())
        });
        done.expect("nothing fails here");
        batch
    }

    fn rest(batch: &mut Batch) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| batch.take().map(|(_, datagram)| datagram.to_vec())).collect()
    }

    #[test]
    fn joined_datagrams_come_apart() {
        let mut batch = filled(&[(5, 2), (3, 3)]);
        assert_eq!(rest(&mut batch), [vec![0, 0], vec![1, 1], vec![2], vec![16, 16, 16]]);
        assert!(batch.is_empty());
    }

    #[test]
    fn an_empty_datagram_is_one() {
        let mut batch = filled(&[(0, 0), (2, 2)]);
        assert_eq!(rest(&mut batch), [vec![], vec![16, 16]]);
    }

    #[test]
    fn a_failure_leaves_nothing_of_the_batch_before() {
        let mut batch = filled(&[(2, 2)]);
        assert_eq!(batch.fill(|_, _| Err("no")), Err("no"));
        assert!(batch.is_empty() && batch.take().is_none());
    }
}
