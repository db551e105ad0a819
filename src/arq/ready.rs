//! The messages of a stream that are ready to be taken, in one buffer: a short message costs a copy and no memory of its own.
//!
//! At the buffer's end may stand the beginning of the next message, which is no message yet. What is longer than [`SHORT_BYTES`]
//! does not belong here until it is whole.

use std::collections::VecDeque;

use super::recv::Received;

/// What is longer is kept by itself: a buffer that grows with one long message would be copied while it grows, and once more when
/// the message is taken.
pub const SHORT_BYTES: usize = 16 * 1024;

/// A front that was taken is moved away once it is so long and no less than half of the buffer.
const SLACK_BYTES: usize = 64 * 1024;

/// The queue.
#[derive(Debug, Default)]
pub struct Ready {
    entries: VecDeque<Entry>,
    /// Short messages one after the other, and the beginning of one.
    bytes: Vec<u8>,
    /// How much at the front of `bytes` was taken.
    taken: usize,
    /// How much at the end of `bytes` is the beginning of a message.
    begun: usize,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// The next so many bytes of the buffer.
    Short(u32),
    Long(Vec<u8>),
}

impl Ready {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Gives back what an empty queue keeps for the next message.
    pub fn rest(&mut self) {
        if self.entries.is_empty() && self.begun == 0 {
            *self = Self::default();
        }
    }

    /// Adds a message. There must be no beginning of another one.
    pub fn push(&mut self, seq: u64, body: &[u8]) {
        if body.len() > SHORT_BYTES {
            self.push_long(seq, body.to_vec());
        } else {
            self.begin(body);
            self.finish(seq);
        }
    }

    /// Adds one that has memory of its own.
    pub fn push_long(&mut self, seq: u64, body: Vec<u8>) {
        self.entries.push_back(Entry { seq, body: Body::Long(body) });
    }

    /// Adds bytes to the beginning of a message.
    pub fn begin(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.begun += bytes.len();
    }

    /// How much there is of the message that was begun.
    pub const fn begun_bytes(&self) -> usize {
        self.begun
    }

    /// The message that was begun is whole.
    pub fn finish(&mut self, seq: u64) {
        let length = u32::try_from(std::mem::take(&mut self.begun)).expect("short messages only");
        self.entries.push_back(Entry { seq, body: Body::Short(length) });
    }

    /// What there is of the message that was begun; it is forgotten here.
    pub fn take_begun(&mut self) -> Vec<u8> {
        let begun = std::mem::take(&mut self.begun);
        self.bytes.split_off(self.bytes.len() - begun)
    }

    /// The next message, copied into `body`, whose former content is of no account; its number.
    pub fn take_into(&mut self, body: &mut Vec<u8>) -> Option<u64> {
        let Entry { seq, body: entry } = self.entries.pop_front()?;
        match entry {
            Body::Short(length) => {
                body.clear();
                body.extend_from_slice(self.front(length));
                self.forget_front(length);
            }
            Body::Long(long) => *body = long,
        }
        Some(seq)
    }

    /// The next message.
    pub fn take(&mut self) -> Option<Received> {
        let Entry { seq, body } = self.entries.pop_front()?;
        let body = match body {
            Body::Short(length) => {
                let body = self.front(length).to_vec();
                self.forget_front(length);
                body
            }
            Body::Long(body) => body,
        };
        Some(Received { seq, body })
    }

    fn front(&self, length: u32) -> &[u8] {
        &self.bytes[self.taken..self.taken + length as usize]
    }

    fn forget_front(&mut self, length: u32) {
        self.taken += length as usize;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken >= SLACK_BYTES && self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_ones_come_out_as_they_went_in() {
        let mut ready = Ready::default();
        let bodies: Vec<Vec<u8>> =
            (0..200).map(|number: usize| vec![number as u8; number * number % 20_000]).collect();
        let mut out = Vec::new();
        for (seq, body) in (1..).zip(&bodies) {
            ready.push(seq, body);
            // It is never empty, so the buffer's front has to go on the way.
            if seq > 50 {
                out.extend(ready.take());
            }
        }
        let mut body = vec![9; 9];
        while let Some(seq) = ready.take_into(&mut body) {
            out.push(Received { seq, body: body.clone() });
        }
        let expected: Vec<Received> = (1..).zip(bodies).map(|(seq, body)| Received { seq, body }).collect();
        assert_eq!(out, expected);
        assert_eq!((ready.len(), ready.bytes.len(), ready.taken), (0, 0, 0));
    }

    #[test]
    fn what_was_begun_is_finished_or_taken_back() {
        let mut ready = Ready::default();
        ready.push(1, b"one");
        ready.begin(b"tw");
        ready.begin(b"o");
        ready.finish(2);
        ready.begin(b"thr");
        assert_eq!((ready.len(), ready.begun_bytes()), (2, 3));
        assert_eq!(ready.take_begun(), b"thr");
        ready.push_long(3, b"three".to_vec());
        let bodies: Vec<Vec<u8>> = std::iter::from_fn(|| ready.take()).map(|it| it.body).collect();
        assert_eq!(bodies, [&b"one"[..], b"two", b"three"]);
    }
}
